//! The few templates whose words stand in the middle of sentences. All others show boxes, notes and
//! numbers that are no prose, and give nothing.

/// What a template shows; `inside` is without its braces, its own templates rendered.
pub(super) fn render(inside: &str) -> String {
    let parts = split(inside);
    let name = parts[0].trim().replace('_', " ").to_lowercase();
    let name = name.trim_start_matches("template:").trim_start_matches("subst:").trim();
    let arguments = Arguments::new(&parts[1..]);
    let at = |n: usize| arguments.at(n).to_string();
    let first_of = |name: &str, list: &[&str]| list.iter().any(|p| name.starts_with(p));
    match name {
        "!" => "|".into(),
        "=" => "=".into(),
        "'" => "'".into(),
        "'-" | "'\"" => "'\"".into(),
        "ndash" | "en dash" => "–".into(),
        "mdash" | "em dash" | "—" => "—".into(),
        "snd" | "spaced ndash" | "spnd" | "–" | "dash" => " – ".into(),
        "·" | "dot" | "middot" | "•" | "bullet" => " · ".into(),
        "nbsp" | "space" | "spaces" | "pad" => " ".into(),
        "lang" | "transl" | "transliteration" | "lang-x" | "script" => arguments.last(),
        "nihongo" | "nihongo2" | "nihongo3" => nihongo(&arguments),
        "convert" | "cvt" | "unit" | "conv" => convert(&arguments),
        "nowrap"
        | "nobr"
        | "nobreak"
        | "nowrapped"
        | "small"
        | "smaller"
        | "midsize"
        | "big"
        | "larger"
        | "sc"
        | "smallcaps"
        | "em"
        | "strong"
        | "abbr"
        | "tooltip"
        | "ill"
        | "interlanguage link"
        | "flag"
        | "flagcountry"
        | "flagu"
        | "flagicon text"
        | "unicode"
        | "polytonic"
        | "math"
        | "mvar"
        | "var"
        | "kbd"
        | "code"
        | "samp"
        | "mono"
        | "tt"
        | "underline"
        | "u"
        | "sup"
        | "sub"
        | "nowiki"
        | "formatnum"
        | "num"
        | "ship name"
        | "visible anchor"
        | "vanchor"
        | "link"
        | "le"
        | "internal link helper"
        | "not a typo"
        | "sic"
        | "typo"
        | "color"
        | "font color"
        | "bible verse"
        | "bibleverse"
        | "hw"
        | "keypress"
        | "key press"
        | "music"
        | "brackets"
        | "iast"
        | "red"
        | "noitalic"
        | "nonfree"
        | "en" => match name {
            "color" | "font color" => arguments.last(),
            "nowrap" => arguments.positional.join("|"),
            "math" => arguments.last(),
            "music" => music(&at(0)),
            "bibleverse" | "bible verse" => format!("{} {}", at(0), at(1)).trim().into(),
            _ => at(0),
        },
        "quote" | "blockquote" | "cquote" | "quotation" | "rquote" | "quote box" | "bquote" => {
            let text = [at(0), arguments.get("text"), arguments.get("quote")];
            let text = text.iter().find(|t| !t.is_empty()).cloned().unwrap_or_default();
            format!("\n{text}\n")
        }
        "frac" | "fraction" | "sfrac" => match arguments.positional.len() {
            0 => String::new(),
            1 => format!("1/{}", at(0)),
            2 => format!("{}/{}", at(0), at(1)),
            _ => format!("{} {}/{}", at(0), at(1), at(2)),
        },
        "circa" | "c." | "c" | "ca." => format!("c. {}", at(0)).trim().into(),
        "as of" => format!("As of {}", arguments.positional.join(" ")).trim().into(),
        "sortname" | "sort name" => format!("{} {}", at(0), at(1)).trim().into(),
        "sort" => arguments.last(),
        "ship" | "uss" | "hms" | "ss" | "sclass" => ship(name, &arguments),
        "zh" | "zh-c" | "chinese" => {
            let keys = ["c", "s", "t", "hz", "j", "p"];
            keys.iter().map(|k| arguments.get(k)).find(|v| !v.is_empty()).unwrap_or_default()
        }
        "tsl" | "translink" => {
            let shown = [at(2), at(1)];
            shown.into_iter().find(|s| !s.is_empty()).unwrap_or_default()
        }
        "birth date" | "death date" | "start date" | "end date" | "birth date and age"
        | "death date and age" => {
            let date: Vec<&str> = arguments.positional.iter().take(3).map(String::as_str).collect();
            date.join("-")
        }
        "ipa" => at(0),
        "ipaslink" | "ipalink" => format!("/{}/", at(0)),
        "ipablink" => format!("[{}]", at(0)),
        "val" => val(&arguments),
        // "pron" and the like say how it is introduced.
        "ipac-en" => {
            let says = |p: &&String| {
                p.chars().count() > 0
                    && !matches!(p.as_str(), "pron" | "lang" | "local" | "also" | "us" | "uk")
            };
            let sounds: Vec<&str> = arguments
                .positional
                .iter()
                .filter(says)
                .map(|p| if p == "'" { "ˈ" } else { p })
                .collect();
            if sounds.is_empty() { String::new() } else { format!("/{}/", sounds.concat()) }
        }
        _ if name.starts_with("ipa-") && !at(0).is_empty() => format!("[{}]", at(0)),
        "angbr" | "angbr ipa" | "angle bracket" | "grapheme" | "vr" => format!("⟨{}⟩", at(0)),
        _ if first_of(name, &["lang-", "link-", "nts", "ntsh"]) => {
            if name.starts_with("lang-") {
                at(0)
            } else {
                arguments.at(0).into()
            }
        }
        _ => String::new(),
    }
}

/// A number with its exponent and unit.
fn val(arguments: &Arguments) -> String {
    let mut out = arguments.at(0).to_string();
    let exponent = arguments.get("e");
    if !exponent.is_empty() {
        out.push_str("×10");
        out.push_str(&raised(&exponent, true).unwrap_or_else(|| format!("^{exponent}")));
    }
    for (key, between) in [("u", " "), ("ul", " "), ("up", "/"), ("upl", "/")] {
        let unit = arguments.get(key);
        if !unit.is_empty() {
            out.push_str(between);
            out.push_str(&unit);
        }
    }
    out
}

/// Digits and signs as superscripts or subscripts; none if there is anything else.
pub(super) fn raised(text: &str, up: bool) -> Option<String> {
    let (digits, signs) = match up {
        true => (['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'], ['⁺', '⁻']),
        false => (['₀', '₁', '₂', '₃', '₄', '₅', '₆', '₇', '₈', '₉'], ['₊', '₋']),
    };
    let one = |c: char| match c {
        '+' => Some(signs[0]),
        '-' | '−' | '–' => Some(signs[1]),
        _ => c.to_digit(10).and_then(|d| digits.get(d as usize).copied()),
    };
    let text = text.trim().replace("&minus;", "−");
    (!text.is_empty()).then(|| text.chars().map(one).collect()).flatten()
}

struct Arguments {
    positional: Vec<String>,
    named: Vec<(String, String)>,
}

impl Arguments {
    fn new(parts: &[String]) -> Self {
        let mut found = Self { positional: Vec::new(), named: Vec::new() };
        for part in parts {
            let named = part.split_once('=').filter(|(key, _)| {
                let key = key.trim();
                !key.is_empty()
                    && key.len() <= 30
                    && key.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-'))
            });
            match named {
                Some((key, value)) => match key.trim().parse::<usize>() {
                    // `1=` gives the first positional one.
                    Ok(n @ 1..=20) => {
                        if found.positional.len() < n {
                            found.positional.resize(n, String::new());
                        }
                        found.positional[n - 1] = value.trim().into();
                    }
                    _ => found.named.push((key.trim().to_lowercase(), value.trim().into())),
                },
                None => found.positional.push(part.trim().into()),
            }
        }
        found
    }

    fn at(&self, n: usize) -> &str {
        self.positional.get(n).map_or("", String::as_str)
    }

    fn last(&self) -> String {
        self.positional.last().cloned().unwrap_or_default()
    }

    fn get(&self, key: &str) -> String {
        self.named.iter().find(|(k, _)| k == key).map_or(String::new(), |(_, v)| v.clone())
    }
}

/// The parts between bars; those inside links stay whole.
fn split(inside: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0usize;
    let mut rest = inside;
    while let Some(c) = rest.chars().next() {
        let last = parts.len() - 1;
        let size = if rest.starts_with("[[") {
            depth += 1;
            2
        } else if rest.starts_with("]]") {
            depth = depth.saturating_sub(1);
            2
        } else {
            c.len_utf8()
        };
        if c == '|' && depth == 0 {
            parts.push(String::new());
        } else {
            parts[last].push_str(&rest[..size]);
        }
        rest = &rest[size..];
    }
    parts
}

fn nihongo(arguments: &Arguments) -> String {
    let (english, rest) =
        (arguments.at(0), &arguments.positional[1.min(arguments.positional.len())..]);
    let rest: Vec<&str> =
        rest.iter().take(2).map(String::as_str).filter(|s| !s.is_empty()).collect();
    match (english.is_empty(), rest.is_empty()) {
        (false, false) => format!("{english} ({})", rest.join(", ")),
        (false, true) => english.into(),
        (true, _) => rest.join(", "),
    }
}

/// `{{convert|5|to|10|km|mi}}`: numbers, words between, the first unit.
fn convert(arguments: &Arguments) -> String {
    let mut out: Vec<&str> = Vec::new();
    for part in &arguments.positional {
        let number =
            part.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '.' | '−' | '+'));
        let between = ["to", "-", "–", "and", "by", "x", "×", "or", "+/-", "to(-)"];
        if number || (between.contains(&part.as_str()) && !out.is_empty()) {
            out.push(part);
        } else {
            if !out.is_empty() {
                out.push(part);
            }
            break;
        }
    }
    out.join(" ")
}

fn ship(kind: &str, arguments: &Arguments) -> String {
    let prefix = match kind {
        "uss" => "USS ",
        "hms" => "HMS ",
        "ss" => "SS ",
        _ => "",
    };
    match kind {
        "ship" => format!("{} {}", arguments.at(0), arguments.at(1)).trim().into(),
        _ => format!("{prefix}{}", arguments.at(0)),
    }
}

fn music(sign: &str) -> String {
    match sign {
        "flat" | "b" => "♭",
        "sharp" | "#" => "♯",
        "natural" => "♮",
        _ => "",
    }
    .into()
}

/// A part in language variants, `zh-hans:…;zh-hant:…` inside `-{ }-`: the simplified one.
pub(super) fn variant(inside: &str) -> &str {
    let (flags, words) = match inside.split_once('|') {
        Some((flags, words)) if flags.len() <= 12 && flags.is_ascii() => (flags.trim(), words),
        _ => ("", inside),
    };
    // These define conversions and show nothing.
    if ["H", "T", "-"].contains(&flags) {
        return "";
    }
    if !words.contains(':') {
        return words;
    }
    for wanted in ["zh-hans", "zh-cn", "zh", "zh-sg", "zh-hant", "zh-tw", "zh-hk"] {
        let found = words.split(';').find_map(|pair| {
            let (variant, word) = pair.split_once(':')?;
            (variant.trim() == wanted).then(|| word.trim())
        });
        if let Some(found) = found {
            return found;
        }
    }
    words
}
