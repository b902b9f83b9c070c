//! Personal data: e-mail addresses, IP addresses, telephone numbers, Chinese identity numbers and bank
//! cards, replaced or the document dropped.
//!
//! E-mail and IP as datatrove has them (pipeline/formatters/pii.py: public addresses only). Identity
//! numbers are those of GB 11643-1999 (18 digits, a date, ISO 7064 MOD 11-2), bank cards those of ISO/IEC
//! 7812 (an issuer's prefix, the length it has, the Luhn digit). Telephone numbers: international with +,
//! Chinese mobile and landline, North American; digits alone are a number of something.

use std::sync::LazyLock;

use athanor_store::{Check, Problem, section};
use regex::Regex;
use serde_json::Value;

use super::{Outcome, Step, parameters};

section! {
    /// Personal data.
    pub struct Personal {
        /// What is looked for.
        kinds: Vec<String> = KINDS.iter().map(|k| k.name.to_string()).collect(),
        /// "replace" it, or "drop" the document.
        action: String = "replace".to_string(),
        /// Drop a document with more than this many, whatever the action; 0: no bound.
        max_found: usize = 0,
        /// What stands in their place: "tag" (<email>), or "example" (an address that is nobody's).
        replacement: String = "tag".to_string(),
    }
}

struct Kind {
    name: &'static str,
    counter: &'static str,
    tag: &'static str,
    example: &'static str,
    pattern: fn() -> Option<&'static Regex>,
    valid: fn(&str, &str, usize) -> bool,
    /// A character without which there is none.
    needs: fn(&str) -> bool,
}

macro_rules! pattern {
    ($pattern:expr) => {
        || {
            static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new($pattern).ok());
            PATTERN.as_ref()
        }
    };
}

fn digits(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_digit())
}

/// In this order: an identity number is no telephone number.
static KINDS: &[Kind] = &[
    Kind {
        name: "email",
        counter: "e-mail addresses",
        tag: "<email>",
        example: "email@example.com",
        pattern: pattern!(
            r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
        ),
        valid: |_, _, _| true,
        needs: |t| t.contains('@'),
    },
    Kind {
        name: "identity",
        counter: "identity numbers",
        tag: "<identity>",
        example: "000000000000000000",
        pattern: pattern!(
            r"[1-9][0-9]{5}(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9Xx]"
        ),
        valid: |found, text, at| alone(found, text, at) && identity(found),
        needs: digits,
    },
    Kind {
        name: "card",
        counter: "bank cards",
        tag: "<card>",
        example: "0000 0000 0000 0000",
        pattern: pattern!(
            r"[2-6][0-9]{3}[ -]?(?:[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{1,7}|[0-9]{6}[ -]?[0-9]{5})"
        ),
        valid: |found, text, at| alone(found, text, at) && card(found),
        needs: digits,
    },
    Kind {
        name: "ip",
        counter: "IP addresses",
        tag: "<ip>",
        example: "192.0.2.1",
        pattern: pattern!(
            r"(?:(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)\.){3}(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)|(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}|(?:[0-9A-Fa-f]{1,4}:){1,6}(?::[0-9A-Fa-f]{1,4}){1,6}"
        ),
        valid: |found, text, at| alone(found, text, at) && public(found),
        needs: digits,
    },
    Kind {
        name: "phone",
        counter: "telephone numbers",
        tag: "<phone>",
        example: "555-0100",
        pattern: pattern!(
            r"\+[1-9][0-9]{0,2}[ .-]?(?:\([0-9]{1,4}\)[ .-]?)?[0-9]{2,5}(?:[ .-]?[0-9]{2,5}){1,4}|1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}|0[1-9][0-9]{1,2}-[0-9]{7,8}|\(0[1-9][0-9]{1,2}\) ?[0-9]{7,8}|\([2-9][0-9]{2}\) ?[2-9][0-9]{2}[-. ][0-9]{4}|[2-9][0-9]{2}[-.][2-9][0-9]{2}[-.][0-9]{4}"
        ),
        valid: |found, text, at| alone(found, text, at) && phone(found),
        needs: digits,
    },
];

impl Check for Personal {
    fn check(&self) -> Result<(), Problem> {
        let names: Vec<&str> = KINDS.iter().map(|k| k.name).collect();
        for (i, kind) in self.kinds.iter().enumerate() {
            Problem::unless_one_of(format!("kinds.{i}"), kind, &names)?;
        }
        Problem::unless_one_of("action", &self.action, &["replace", "drop"])?;
        Problem::unless_one_of("replacement", &self.replacement, &["tag", "example"])
    }
}

impl Step for Personal {
    fn apply(&self, text: &str) -> Outcome {
        let mut out = text.to_string();
        let mut counts = Vec::new();
        let mut total = 0;
        for kind in KINDS.iter().filter(|k| self.kinds.iter().any(|n| n == k.name)) {
            if !(kind.needs)(&out) {
                continue;
            }
            let Some(pattern) = (kind.pattern)() else { continue };
            let place = if self.replacement == "tag" { kind.tag } else { kind.example };
            let mut next = String::new();
            let (mut from, mut search, mut found) = (0, 0, 0u64);
            while let Some(hit) = pattern.find_at(&out, search) {
                if (kind.valid)(hit.as_str(), &out, hit.start()) {
                    next.push_str(&out[from..hit.start()]);
                    next.push_str(place);
                    from = hit.end();
                    search = hit.end();
                    found += 1;
                } else {
                    // A right one may begin inside: go on behind the first character.
                    let step = out[hit.start()..].chars().next().map_or(1, char::len_utf8);
                    search = hit.start() + step;
                }
            }
            if found > 0 {
                next.push_str(&out[from..]);
                out = next;
                counts.push((kind.counter, found));
                total += found as usize;
            }
        }
        if total == 0 {
            return Outcome::Keep;
        }
        if self.action == "drop" {
            return Outcome::Drop("personal data");
        }
        if self.max_found > 0 && total > self.max_found {
            return Outcome::Drop("much personal data");
        }
        Outcome::Edit(out, counts)
    }

    fn parameters(&self) -> Value {
        parameters(self)
    }
}

/// Whether a number is not a part of a longer one, or of a word.
fn alone(found: &str, text: &str, at: usize) -> bool {
    let before = text[..at].chars().next_back();
    let mut after = text[at + found.len()..].chars();
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if before.is_some_and(|c| part(c) || c == '.' || c == '-' || c == '/') {
        return false;
    }
    match after.next() {
        Some(c) if part(c) => false,
        // "1.2.3.4.5" is a version.
        Some('.' | '-' | ':') => !after.next().is_some_and(|c| c.is_ascii_digit()),
        _ => true,
    }
}

fn identity(text: &str) -> bool {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    // The first two digits are a province.
    let province = matches!(
        &text[..2],
        "11" | "12"
            | "13"
            | "14"
            | "15"
            | "21"
            | "22"
            | "23"
            | "31"
            | "32"
            | "33"
            | "34"
            | "35"
            | "36"
            | "37"
            | "41"
            | "42"
            | "43"
            | "44"
            | "45"
            | "46"
            | "50"
            | "51"
            | "52"
            | "53"
            | "54"
            | "61"
            | "62"
            | "63"
            | "64"
            | "65"
            | "71"
            | "81"
            | "82"
            | "83"
            | "91"
    );
    let digits = text.chars().filter_map(|c| c.to_digit(10));
    let sum: u32 = digits.zip(WEIGHTS).map(|(d, w)| d * w).sum();
    let want = b"10X98765432"[(sum % 11) as usize];
    province && text.as_bytes()[17].to_ascii_uppercase() == want
}

fn card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let start = |n: usize| digits[..n].iter().fold(0, |s, d| s * 10 + d);
    let issuer = match digits.len() {
        13 => start(1) == 4,
        14 => matches!(start(2), 36 | 38 | 39),
        15 => matches!(start(2), 34 | 37),
        16 => {
            start(1) == 4
                || (51..=55).contains(&start(2))
                || (2221..=2720).contains(&start(4))
                || matches!(start(2), 35 | 62 | 65)
                || start(4) == 6011
                || matches!(start(2), 60 | 81)
        }
        17..=19 => matches!(start(2), 62 | 60 | 65) || start(1) == 4,
        _ => false,
    };
    let luhn = digits.iter().rev().enumerate().fold(0, |sum, (n, &d)| {
        let d = if n % 2 == 1 { d * 2 } else { d };
        sum + if d > 9 { d - 9 } else { d }
    });
    issuer && luhn % 10 == 0
}

fn public(text: &str) -> bool {
    match text.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(ip)) => {
            let [a, b, c, _] = ip.octets();
            // What IANA's registry of special addresses calls globally reachable.
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_documentation()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (b == 18 || b == 19)))
        }
        Ok(std::net::IpAddr::V6(ip)) => {
            let first = ip.segments()[0];
            (0x2000..0x4000).contains(&first) && !(first == 0x2001 && ip.segments()[1] == 0xDB8)
        }
        Err(_) => false,
    }
}

fn phone(text: &str) -> bool {
    let n = text.bytes().filter(u8::is_ascii_digit).count();
    (8..=15).contains(&n) || (n == 7 && text.starts_with('+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(text: &str) -> String {
        match Personal::default().apply(text) {
            Outcome::Keep => text.into(),
            Outcome::Edit(text, _) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn found_and_left() {
        for (text, want) in [
            ("Write to a.b+c@mail.example.org.", "Write to <email>."),
            ("邮箱：zhang_san@163.com，谢谢", "邮箱：<email>，谢谢"),
            ("from 8.8.8.8 to 192.168.0.1", "from <ip> to 192.168.0.1"),
            ("see 2001:4860:4860::8888!", "see <ip>!"),
            ("version 1.2.3.4.5 and 10.0.0.1", "version 1.2.3.4.5 and 10.0.0.1"),
            ("身份证11010519491231002X，姓名", "身份证<identity>，姓名"),
            ("身份证110105194912310021，姓名", "身份证110105194912310021，姓名"),
            ("card 4111 1111 1111 1111 ok", "card <card> ok"),
            ("卡号6222021234567890128。", "卡号<card>。"),
            ("not 4111 1111 1111 1112", "not 4111 1111 1111 1112"),
            ("电话13812345678或010-62345678", "电话<phone>或<phone>"),
            ("call (212) 555-0187 or +44 20 7946 0958", "call <phone> or <phone>"),
            (
                "1838-1918, 3.14159265, 2020-01-01 12:00:00",
                "1838-1918, 3.14159265, 2020-01-01 12:00:00",
            ),
            ("commit 13812345678901", "commit 13812345678901"),
        ] {
            assert_eq!(clean(text), want);
        }
    }

    #[test]
    fn many_are_a_reason() {
        let step = Personal { max_found: 1, ..Personal::default() };
        assert_eq!(step.apply("a@b.org, c@d.org"), Outcome::Drop("much personal data"));
        let step = Personal { action: "drop".into(), ..Personal::default() };
        assert_eq!(step.apply("a@b.org"), Outcome::Drop("personal data"));
    }
}
