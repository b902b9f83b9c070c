//! Numbers for people: `12.3 M`, `3 min 12 s`, four significant digits.
//!
//! ```
//! use athanor_report::format;
//! assert_eq!(format::count(12_345_678.0), "12.3 M");
//! assert_eq!(format::seconds(192.0), "3 min 12 s");
//! assert_eq!(format::number(3.27149), "3.271");
//! ```

/// In place of a number that is missing or is not one.
pub const NONE: &str = "–";

/// A real number with four significant digits; whole numbers in full, with thousands separators.
pub fn number(x: f64) -> String {
    if x.is_nan() {
        return NONE.into();
    }
    if x.is_infinite() {
        return if x > 0.0 { "∞" } else { "−∞" }.into();
    }
    if x == 0.0 {
        return "0".into();
    }
    let size = x.abs();
    let exponent = size.log10().floor();
    let text = if x.fract() == 0.0 && size < 1e9 {
        thousands(&format!("{size:.0}"))
    } else if (-4.0..9.0).contains(&exponent) {
        let decimals = (3.0 - exponent).clamp(0.0, 8.0) as usize;
        thousands(&format!("{size:.decimals$}"))
    } else {
        format!("{size:.3e}")
    };
    if x < 0.0 { format!("−{text}") } else { text }
}

/// As [`number`], without zeros at the end: for labels such as `0.5`.
pub fn short(x: f64) -> String {
    let text = number(x);
    match text.contains('.') && !text.contains('e') {
        true => text.trim_end_matches('0').trim_end_matches('.').into(),
        false => text,
    }
}

/// A number of things with its noun: `1 value`, `2 values`.
pub fn plural(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// As [`number`], with a plus before what is not negative: for differences.
pub fn signed(x: f64) -> String {
    if x.is_finite() && x > 0.0 { format!("+{}", number(x)) } else { number(x) }
}

/// A share between 0 and 1 as a percentage with three digits: `71.4 %`.
pub fn percent(x: f64) -> String {
    if !x.is_finite() {
        return number(x);
    }
    let p = 100.0 * x;
    let decimals = if p.abs() >= 99.95 || p == 0.0 {
        0
    } else if p.abs() >= 9.995 {
        1
    } else {
        2
    };
    format!("{p:.decimals$} %").replace('-', "−")
}

/// A count of things with three significant digits from ten thousand on: `9,876`, `12.3 k`, `1.24 B`.
pub fn count(n: f64) -> String {
    if n.is_finite() && n.abs() < 10_000.0 {
        number(n.round())
    } else {
        scaled(n, &["", "k", "M", "B", "T"])
    }
}

/// A size in bytes, in decimal units: `1.23 MB`.
pub fn bytes(n: f64) -> String {
    if n.is_finite() && n.abs() < 1000.0 {
        format!("{} B", number(n.round()))
    } else {
        scaled(n, &["B", "kB", "MB", "GB", "TB", "PB"])
    }
}

fn scaled(n: f64, units: &[&str]) -> String {
    if !n.is_finite() {
        return number(n);
    }
    let mut value = n;
    for (i, unit) in units.iter().enumerate() {
        // 999.5 would be written as "1000": it belongs to the next unit.
        if value.abs() < 999.5 || i + 1 == units.len() {
            let decimals = match value.abs() {
                v if v < 9.995 && i > 0 => 2,
                v if v < 99.95 && i > 0 => 1,
                _ => 0,
            };
            return format!("{} {unit}", thousands(&format!("{value:.decimals$}")))
                .trim_end()
                .into();
        }
        value /= 1000.0;
    }
    number(n)
}

/// A duration: `0.42 s`, `12.3 s`, `3 min 12 s`, `2 h 5 min`, `3 d 4 h`.
pub fn seconds(s: f64) -> String {
    if !s.is_finite() || s < 0.0 {
        return NONE.into();
    }
    if s < 9.995 {
        return format!("{s:.2} s");
    }
    if s < 59.95 {
        return format!("{s:.1} s");
    }
    let whole = s.round() as u64;
    let pair = |big: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big} {unit}"),
        _ => format!("{big} {unit} {small} {small_unit}"),
    };
    match whole {
        0..3600 => pair(whole / 60, "min", whole % 60, "s"),
        3600..86_400 => pair(whole / 3600, "h", whole % 3600 / 60, "min"),
        _ => pair(whole / 86_400, "d", whole % 86_400 / 3600, "h"),
    }
}

/// A moment (seconds since 1970, UTC) as `2026-03-14 15:09 UTC`.
pub fn date(unix: f64) -> String {
    // Years 1970 to 9999; anything else is not a date of ours.
    let moment = (0.0..253_402_300_800.0).contains(&unix).then_some(unix as i64);
    let moment = moment.and_then(|s| jiff::Timestamp::from_second(s).ok());
    moment.map_or(NONE.into(), |m| m.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

/// Commas between groups of three digits in front of the decimal point.
fn thousands(text: &str) -> String {
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |r| ("−", r));
    let (whole, fraction) = rest.split_once('.').map_or((rest, None), |(w, f)| (w, Some(f)));
    let mut out = String::from(sign);
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// The first `limit` characters of a text, with `…` if something was cut.
pub fn clip(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        for (x, want) in [
            (3.27149, "3.271"),
            (0.001234567, "0.001235"),
            (12345.67, "12,346"),
            (2000.0, "2,000"),
            (-0.5, "−0.5000"),
            (0.00001234, "1.234e-5"),
            (f64::NAN, "–"),
            (f64::INFINITY, "∞"),
        ] {
            assert_eq!(number(x), want);
        }
        assert_eq!(signed(0.25), "+0.2500");
        assert_eq!(percent(0.7142), "71.4 %");
        assert_eq!(percent(1.0), "100 %");
    }

    /// Checks what a function writes for numbers.
    fn writes<const N: usize>(show: fn(f64) -> String, cases: [(f64, &str); N]) {
        for (x, want) in cases {
            assert_eq!(show(x), want);
        }
    }

    #[test]
    fn counts_and_sizes_roll_over() {
        let counts = [
            (0.0, "0"),
            (9876.0, "9,876"),
            (12_345.0, "12.3 k"),
            (999_999.0, "1.00 M"),
            (7e9, "7.00 B"),
        ];
        writes(count, counts);
        writes(bytes, [(512.0, "512 B"), (1_234_567.0, "1.23 MB"), (f64::NAN, "–")]);
    }

    #[test]
    fn durations_and_dates() {
        let durations = [
            (0.4199, "0.42 s"),
            (59.96, "1 min"),
            (192.0, "3 min 12 s"),
            (7500.0, "2 h 5 min"),
            (-1.0, "–"),
        ];
        writes(seconds, durations);
        writes(date, [(0.0, "1970-01-01 00:00 UTC"), (1_773_500_940.0, "2026-03-14 15:09 UTC")]);
        assert_eq!(clip("炼金炉", 2), "炼金…");
    }
}
