//! Numbers, units, dates and chemical formulas in templates.

use super::arguments::Arguments;

#[rustfmt::skip]
const MONTHS: [&str; 12] = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
];

/// A number with its exponent and unit: `{{val|6.2|e=18|u=C}}`.
pub(super) fn val(arguments: &Arguments) -> String {
    let mut out = arguments.at(0).to_string();
    let exponent = arguments.get("e");
    if !exponent.is_empty() {
        out.push_str(&power_of_ten(&exponent));
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

pub(super) fn power_of_ten(exponent: &str) -> String {
    format!("×10{}", raised(exponent, true).unwrap_or_else(|| format!("^{exponent}")))
}

/// Digits and signs as superscripts or subscripts; none if there is anything else. A link and emphasis
/// around them go.
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
    let text = text.trim().trim_matches('\'');
    let text = match text.strip_prefix("[[").and_then(|t| t.strip_suffix("]]")) {
        Some(link) => link.rsplit_once('|').map_or(link, |(_, words)| words),
        None => text,
    };
    let text = text.trim_matches('\'').replace("&minus;", "−");
    (!text.is_empty()).then(|| text.chars().map(one).collect()).flatten()
}

/// `{{convert|5|to|10|km|mi}}`: numbers, words between, the first unit. `{{convert|6|ft|1|in|m}}` has two.
pub(super) fn convert(arguments: &Arguments) -> String {
    const BETWEEN: &[&str] =
        &["to", "-", "–", "and", "by", "x", "×", "or", "+/-", "to(-)", "and(-)", "*", "xx"];
    let number = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '.' | '−' | '+'))
            && part.contains(|c: char| c.is_ascii_digit())
    };
    let mut parts = arguments.all().iter().map(String::as_str).peekable();
    let mut out: Vec<String> = Vec::new();
    while let Some(part) = parts.next() {
        if number(part) {
            out.push(part.into());
        } else if out.is_empty() {
            break;
        } else if BETWEEN.contains(&part) {
            out.push(part.trim_end_matches("(-)").into());
        } else {
            out.push(unit(part));
            // Feet and inches, pounds and ounces.
            match parts.peek() {
                Some(next) if number(next) && out.len() == 2 => {
                    let next = parts.next().unwrap_or_default();
                    match parts.next().filter(|u| ["in", "oz", "lb", "ft", "yd"].contains(u)) {
                        Some(smaller) => out.extend([next.into(), unit(smaller)]),
                        None => break,
                    }
                }
                _ => {}
            }
            break;
        }
    }
    out.join(" ")
}

/// A unit as `convert` shows it: "km2" is km².
fn unit(code: &str) -> String {
    match code {
        "C" => return "°C".into(),
        "F" => return "°F".into(),
        "sqmi" => return "sq mi".into(),
        "sqft" => return "sq ft".into(),
        "cuft" => return "cu ft".into(),
        "kph" => return "km/h".into(),
        _ => {}
    }
    match code.strip_suffix(['2', '3']).filter(|u| u.ends_with(|c: char| c.is_ascii_lowercase())) {
        Some(base) => format!("{base}{}", if code.ends_with('2') { '²' } else { '³' }),
        None => code.into(),
    }
}

/// `{{as of|2015|6|30}}`: "As of 30 June 2015".
pub(super) fn as_of(arguments: &Arguments) -> String {
    let shown = arguments.get("alt");
    if !shown.is_empty() {
        return shown;
    }
    let mut date: Vec<&str> = arguments.all().iter().take(3).map(String::as_str).collect();
    if let Some(month) = date.get_mut(1)
        && let Some(name) = month.parse::<usize>().ok().and_then(|n| MONTHS.get(n.wrapping_sub(1)))
    {
        *month = name;
    }
    let american = arguments.get("df").eq_ignore_ascii_case("us");
    let date = match date.as_slice() {
        [year, month, day] if american => format!("{month} {day}, {year}"),
        _ => date.into_iter().rev().collect::<Vec<_>>().join(" "),
    };
    let small = !arguments.get("lc").is_empty();
    let since = !arguments.get("since").is_empty();
    let before = match (since, small) {
        _ if !arguments.get("bare").is_empty() => return date,
        (false, false) => "As of",
        (false, true) => "as of",
        (true, false) => "Since",
        (true, true) => "since",
    };
    format!("{before} {date}").trim().into()
}

/// `{{OldStyleDate|February 2|1905|January 20}}`.
pub(super) fn old_style_date(arguments: &Arguments) -> String {
    let (day, year, old) = (arguments.at(0), arguments.at(1), arguments.at(2));
    let old = if old.is_empty() { String::new() } else { format!(" [O.S. {old}]") };
    let american = day.starts_with(char::is_alphabetic);
    match (year.is_empty(), american) {
        (true, _) => format!("{day}{old}"),
        (false, true) => format!("{day}, {year}{old}"),
        (false, false) => format!("{day} {year}{old}"),
    }
}

/// `{{coord|13|19|N|169|9|W|display=inline}}`; those that stand in a page's title only show nothing.
pub(super) fn coordinates(arguments: &Arguments) -> String {
    let display = arguments.get("display");
    if !display.is_empty() && !display.contains("inline") && display != "i" {
        return String::new();
    }
    let number =
        |p: &str| !p.is_empty() && p.chars().all(|c| c.is_ascii_digit() || ".-−".contains(c));
    let parts = arguments.all().iter().map(String::as_str);
    let parts: Vec<&str> =
        parts.take_while(|p| number(p) || ["N", "S", "E", "W"].contains(p)).collect();
    if parts.iter().all(|p| number(p)) {
        return match parts.as_slice() {
            [north, east] => format!("{north}, {east}"),
            _ => String::new(),
        };
    }
    let mut out = String::new();
    let mut signs = ['°', '′', '″'].into_iter();
    for part in parts {
        out.push_str(part);
        if number(part) {
            out.extend(signs.next());
        } else {
            out.push(' ');
            signs = ['°', '′', '″'].into_iter();
        }
    }
    out.trim_end().into()
}

/// `{{chem|H|2|O}}`, `{{chem|SO|4|2-}}`: letters as they are, numbers below, charges above; a number at
/// the beginning is an isotope's.
pub(super) fn chem(arguments: &Arguments) -> String {
    let mut out = String::new();
    for part in arguments.all().iter().map(|p| p.trim()) {
        let sign = part.ends_with(['+', '-', '−', '–']);
        let digits = !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
        let charge = sign && part.chars().all(|c| c.is_ascii_digit() || "+-−–".contains(c));
        let up = charge || (digits && out.is_empty());
        match raised(part, up).filter(|_| charge || digits) {
            Some(small) => out.push_str(&small),
            None => out.push_str(part),
        }
    }
    out
}

/// `{{chem2|Na2SO4 + 2H+}}`: numbers behind a letter or a bracket stand below, charges above.
pub(super) fn chem2(formula: &str) -> String {
    let mut out = String::new();
    let mut rest = formula;
    while let Some(c) = rest.chars().next() {
        let behind = out.ends_with(|c: char| c.is_alphabetic() || matches!(c, ')' | ']'));
        // `(2+)` is a charge, and so is a sign where nothing follows.
        if let Some((charge, tail)) = rest.strip_prefix('(').and_then(|r| r.split_once(')'))
            && charge.ends_with(['+', '-', '−'])
            && let Some(up) = raised(charge, true)
        {
            out.push_str(&up);
            rest = tail;
            continue;
        }
        let size = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let after = rest[c.len_utf8()..].chars().next();
        let ends = after.is_none_or(|a| a.is_whitespace() || matches!(a, ')' | ']' | ','));
        let small = out.ends_with(|c: char| ('₀'..='₉').contains(&c));
        if size > 0 && behind {
            out.push_str(&raised(&rest[..size], false).unwrap_or_default());
            rest = &rest[size..];
        } else if matches!(c, '+' | '-' | '−') && ends && (behind || small) {
            out.push(if c == '+' { '⁺' } else { '⁻' });
            rest = &rest[c.len_utf8()..];
        } else {
            let size = size.max(c.len_utf8());
            out.push_str(&rest[..size]);
            rest = &rest[size..];
        }
    }
    out.replace("<->", "⇌").replace("->", "→")
}

/// The symbols of the elements that have templates of their names in formulas.
pub(super) fn element(name: &str) -> Option<&'static str> {
    const ELEMENTS: &[(&str, &str)] = &[
        ("hydrogen", "H"),
        ("helium", "He"),
        ("lithium", "Li"),
        ("boron", "B"),
        ("carbon", "C"),
        ("nitrogen", "N"),
        ("oxygen", "O"),
        ("fluorine", "F"),
        ("sodium", "Na"),
        ("magnesium", "Mg"),
        ("aluminium", "Al"),
        ("silicon", "Si"),
        ("phosphorus", "P"),
        ("sulfur", "S"),
        ("chlorine", "Cl"),
        ("potassium", "K"),
        ("calcium", "Ca"),
        ("iron", "Fe"),
        ("copper", "Cu"),
        ("zinc", "Zn"),
        ("bromine", "Br"),
        ("iodine", "I"),
    ];
    ELEMENTS.iter().find(|e| e.0 == name).map(|e| e.1)
}
