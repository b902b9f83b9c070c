//! The few templates with words in the middle of sentences. All others show boxes, notes and
//! numbers that are no prose, and give nothing.

use super::{arguments::Arguments, values};

fn name_of(part: &str) -> String {
    let name = part.trim().replace('_', " ").to_lowercase();
    name.trim_start_matches("template:").trim_start_matches("subst:").trim().into()
}

/// Whether it shows a fraction, which a digit before it makes a mixed number.
pub(super) fn is_fraction(inside: &str) -> bool {
    matches!(
        name_of(inside.split('|').next().unwrap_or("")).as_str(),
        "frac" | "fraction" | "sfrac"
    )
}

/// What a template shows; `inside` is without its braces, its own templates rendered.
pub(super) fn render(inside: &str) -> String {
    let parts = split(inside);
    let name = name_of(&parts[0]);
    let name = name.as_str();
    if let Some(number) = name.strip_prefix("formatnum:") {
        return number.trim().into();
    }
    let arguments = Arguments::new(&parts[1..]);
    let at = |n: usize| arguments.at(n).to_string();
    let first_of = |name: &str, list: &[&str]| list.iter().any(|p| name.starts_with(p));
    match name {
        "!" => "|".into(),
        "=" => "=".into(),
        "'" | "'-" | "`" => "'".into(),
        "'s" => "'s".into(),
        "'\"" | "' \"" => "'\"".into(),
        "\"'" | "\" '" => "\"'".into(),
        "-\"" => "\"".into(),
        "ndash" | "en dash" => "–".into(),
        "mdash" | "mdashb" | "em dash" | "emdash" | "—" => "—".into(),
        "snd" | "snds" | "spaced ndash" | "spnd" | "spndash" | "–" | "dash" => " – ".into(),
        "·" | "dot" | "middot" | "•" | "bullet" => " · ".into(),
        "nbsp" | "space" | "spaces" | "pad" | "thinsp" | "thin space" | "hair space" | "hairsp" => {
            " ".into()
        }
        "lang" | "transl" | "transliteration" | "lang-x" | "script" | "rtl-lang" => {
            arguments.last()
        }
        "langx" => at(1),
        _ if name.starts_with("script/") => arguments.last(),
        "nihongo" | "nihongo2" | "nihongo3" => nihongo(&arguments),
        "convert" | "cvt" | "unit" | "conv" => values::convert(&arguments),
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
        | "bibleref"
        | "hw"
        | "keypress"
        | "key press"
        | "music"
        | "brackets"
        | "iast"
        | "nq"
        | "nastaliq"
        | "railgauge"
        | "track gauge"
        | "僻字"
        | "red"
        | "noitalic"
        | "nonfree"
        | "en" => match name {
            "color" | "font color" => arguments.last(),
            "nowrap" => arguments.all().join("|"),
            "math" => arguments.last(),
            "music" => music(&at(0)),
            "bibleverse" | "bible verse" | "bibleref" => {
                format!("{} {}", at(0), at(1)).trim().into()
            }
            _ => at(0),
        },
        "ill" | "interlanguage link" | "illm" => {
            // `{{ill|de|Titel|Title}}` is the old order, `{{ill|Title|de|Titel}}` the new one.
            let code =
                |s: &str| (2..=3).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_lowercase());
            match arguments.get("lt") {
                shown if !shown.is_empty() => shown,
                _ if code(arguments.at(0)) && !arguments.at(1).is_empty() => at(1),
                _ => at(0),
            }
        }
        "sup" | "sub" => values::raised(arguments.at(0), name == "sup").unwrap_or_else(|| at(0)),
        "ordered list" => {
            let first: usize = arguments.get("start").parse().unwrap_or(1);
            let items = arguments.all().iter().filter(|i| !i.is_empty()).zip(first..);
            items.fold("\n".into(), |out, (item, n)| format!("{out}{n}. {item}\n"))
        }
        "unordered list" | "bulleted list" | "unbulleted list" | "ubl" => {
            let items = arguments.all().iter().filter(|i| !i.is_empty());
            items.fold("\n".into(), |out, item| format!("{out}* {item}\n"))
        }
        "plainlist" | "flatlist" => format!("\n{}\n", at(0)),
        "quote" | "blockquote" | "cquote" | "quotation" | "rquote" | "quote box" | "bquote"
        | "poemquote" | "poem quote" => {
            let text = [at(0), arguments.get("text"), arguments.get("quote")];
            let text = text.iter().find(|t| !t.is_empty()).cloned().unwrap_or_default();
            format!("\n{text}\n")
        }
        "frac" | "fraction" | "sfrac" => match arguments.all().len() {
            0 => String::new(),
            1 => format!("1/{}", at(0)),
            2 => format!("{}/{}", at(0), at(1)),
            _ => format!("{} {}/{}", at(0), at(1), at(2)),
        },
        "circa" | "c." | "c" | "ca." => format!("c. {}", at(0)).trim().into(),
        "as of" => values::as_of(&arguments),
        "oldstyledate" => values::old_style_date(&arguments),
        "coord" | "coor" => values::coordinates(&arguments),
        "chem" => values::chem(&arguments),
        "chem2" => values::chem2(arguments.at(0)),
        "eqm" => "⇌".into(),
        "nuclide" | "nuclide2" => format!("{}-{}", at(0), at(1)).trim_matches('-').into(),
        "e" => values::power_of_ten(arguments.at(0)),
        "us$" | "usd" => format!("US${}", at(0)),
        "linktext" => arguments.all().concat(),
        "harvtxt" | "harv" | "harvnb" | "harvcoltxt" => cited(name, &arguments),
        // In Chinese a doubted sentence is inside.
        "fact" | "cn" | "来源请求" | "來源請求" if !arguments.at(0).is_ascii() => at(0),
        "citation needed span" | "cns" => at(0),
        "sortname" | "sort name" => format!("{} {}", at(0), at(1)).trim().into(),
        "sort" => arguments.last(),
        "ship" | "uss" | "hms" | "ss" | "mv" | "rms" | "sms" | "hmas" | "hmcs" => {
            ship(name, &arguments)
        }
        "sclass" | "sclass2" | "sclass-" => format!("{}-class {}", at(0), at(1)).trim().into(),
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
            let date: Vec<&str> = arguments.all().iter().take(3).map(String::as_str).collect();
            date.join("-")
        }
        "ipa" => at(0),
        "ipaslink" | "ipalink" => format!("/{}/", at(0)),
        "ipablink" => format!("[{}]", at(0)),
        "val" => values::val(&arguments),
        "ipac-en" => sounds(&arguments),
        _ if name.starts_with("ipa-") && !at(0).is_empty() => format!("[{}]", at(0)),
        "angbr" | "angbr ipa" | "angle bracket" | "grapheme" | "vr" => format!("⟨{}⟩", at(0)),
        _ if first_of(name, &["lang-", "link-", "nts", "ntsh"]) => {
            if name.starts_with("lang-") {
                at(0)
            } else {
                arguments.at(0).into()
            }
        }
        _ => values::element(name).unwrap_or_default().into(),
    }
}

/// `{{IPAc-en|UK|ə|ˈ|d|oʊ|b}}`: /əˈdoʊb/.
fn sounds(arguments: &Arguments) -> String {
    // These say how it is introduced.
    const NO_SOUNDS: &[&str] = &["pron", "lang", "local", "also", "us", "uk", "ulsalso", "ipa"];
    let says = |p: &&String| !p.is_empty() && !NO_SOUNDS.contains(&p.to_lowercase().as_str());
    let sounds = arguments.all().iter().filter(says);
    let sounds: Vec<&str> = sounds.map(|p| if p == "'" { "ˈ" } else { p }).collect();
    let sounds = sounds.concat().replace('_', " ");
    if sounds.is_empty() { String::new() } else { format!("/{}/", sounds.trim()) }
}

/// `{{harvtxt|Boolos|Jeffrey|1974}}`: who says something, within a sentence.
fn cited(name: &str, arguments: &Arguments) -> String {
    let Some((year, authors)) = arguments.all().split_last() else { return String::new() };
    let authors = match authors.split_last() {
        None => return year.clone(),
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} & {last}", before.join(", ")),
    };
    match name {
        "harv" => format!("({authors} {year})"),
        "harvnb" => format!("{authors} {year}"),
        _ => format!("{authors} ({year})"),
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
    let (english, rest) = (arguments.at(0), &arguments.all()[1.min(arguments.all().len())..]);
    let rest: Vec<&str> =
        rest.iter().take(2).map(String::as_str).filter(|s| !s.is_empty()).collect();
    match (english.is_empty(), rest.is_empty()) {
        (false, false) => format!("{english} ({})", rest.join(", ")),
        (false, true) => english.into(),
        (true, _) => rest.join(", "),
    }
}

fn ship(kind: &str, arguments: &Arguments) -> String {
    let prefix = match kind {
        "uss" => "USS ",
        "hms" => "HMS ",
        "ss" => "SS ",
        "mv" => "MV ",
        "rms" => "RMS ",
        "sms" => "SMS ",
        "hmas" => "HMAS ",
        "hmcs" => "HMCS ",
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
        // Flags, or the variants to which it is restricted.
        Some((flags, words))
            if flags.len() <= 60
                && flags.bytes().all(|b| b.is_ascii_alphanumeric() || b"-; ".contains(&b)) =>
        {
            (flags.trim(), words)
        }
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
