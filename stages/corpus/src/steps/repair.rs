//! Encodings that went wrong, and Unicode's several ways to write the same letter.
//!
//! Mojibake, in the manner of ftfy (Speer 2019, <https://doi.org/10.5281/zenodo.2591652>), a subset: text
//! in UTF-8 that was read as Windows-1252 ("â€™", "Ã©", "ä½ å¥½"), and Chinese in GBK that was read as
//! Latin-1 ("ÖÐ¹ú"). A run is turned back only if it decodes whole and the result is likelier than what
//! stands there. Then normalisation (UAX 15).

use std::borrow::Cow;

use athanor_store::{Check, Problem, section};
use encoding_rs::{GBK, WINDOWS_1252};
use serde_json::Value;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick, is_nfkc_quick};

use super::{Outcome, Step, parameters};

section! {
    /// Repairs.
    pub struct Repair {
        /// Turn mojibake back.
        mojibake: bool = true,
        /// "nfc", "nfkc" (which also makes full-width letters and ligatures plain), or "none".
        normalization: String = "nfc".to_string(),
        /// Make Windows' quotes from C1 controls, which stand for them in wrongly labelled pages.
        c1_controls: bool = true,
    }
}

impl Check for Repair {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless_one_of("normalization", &self.normalization, &["nfc", "nfkc", "none"])
    }
}

impl Step for Repair {
    fn apply(&self, text: &str) -> Outcome {
        if text.is_ascii() {
            return Outcome::Keep;
        }
        let mut counts = Vec::new();
        let mut out = Cow::Borrowed(text);
        if self.mojibake {
            let mut runs = 0;
            // What was misread twice is turned back twice.
            for _ in 0..3 {
                let (next, n) = turn_back(&out);
                if n == 0 {
                    break;
                }
                runs += n;
                out = Cow::Owned(next);
            }
            if runs > 0 {
                counts.push(("runs of mojibake", runs));
            }
        }
        if self.c1_controls
            && out.chars().any(|c| ('\u{80}'..='\u{9F}').contains(&c) && c != '\u{85}')
        {
            out = Cow::Owned(out.chars().map(windows).collect());
            counts.push(("texts with C1 controls", 1));
        }
        let normal: Option<String> = match self.normalization.as_str() {
            "nfc" if is_nfc_quick(out.chars()) != IsNormalized::Yes => Some(out.nfc().collect()),
            "nfkc" if is_nfkc_quick(out.chars()) != IsNormalized::Yes => Some(out.nfkc().collect()),
            _ => None,
        };
        if let Some(normal) = normal.filter(|n| *n != out) {
            counts.push(("texts normalised", 1));
            out = Cow::Owned(normal);
        }
        if counts.is_empty() { Outcome::Keep } else { Outcome::Edit(out.into_owned(), counts) }
    }

    fn parameters(&self) -> Value {
        parameters(self)
    }
}

/// What a C1 control is in Windows-1252.
fn windows(c: char) -> char {
    match c {
        '\u{80}'..='\u{9F}' if c != '\u{85}' => {
            let bytes = [c as u8];
            let (text, _) = WINDOWS_1252.decode_without_bom_handling(&bytes);
            text.chars().next().unwrap_or(c)
        }
        c => c,
    }
}

/// The byte that Windows-1252 (or Latin-1, where that has none) has for a character.
fn byte(c: char) -> Option<u8> {
    match c as u32 {
        n @ 0x80..=0xFF => Some(n as u8),
        0x152..=0x2122 => {
            let mut buffer = [0; 4];
            let (bytes, _, bad) = WINDOWS_1252.encode(c.encode_utf8(&mut buffer));
            (!bad && bytes.len() == 1).then(|| bytes[0])
        }
        _ => None,
    }
}

/// A text with its runs of mojibake turned back, and how many there were.
fn turn_back(text: &str) -> (String, u64) {
    let mut out = String::with_capacity(text.len());
    let mut count = 0;
    let mut run: Vec<u8> = Vec::new();
    let mut start = 0;
    let mut flush = |run: &mut Vec<u8>, raw: &str, out: &mut String| {
        let fixed = if run.len() >= 2 { utf8(run).or_else(|| gbk(run)) } else { None };
        match fixed {
            Some(fixed) => {
                out.push_str(&fixed);
                count += 1;
            }
            None => out.push_str(raw),
        }
        run.clear();
    };
    for (at, c) in text.char_indices() {
        match byte(c) {
            Some(b) => {
                if run.is_empty() {
                    start = at;
                }
                run.push(b);
            }
            // A no-break space that was cleaned to a space is a byte of many sequences: "Ã ".
            None => {
                if !run.is_empty() {
                    flush(&mut run, &text[start..at], &mut out);
                }
                out.push(c);
            }
        }
    }
    if !run.is_empty() {
        flush(&mut run, &text[start..], &mut out);
    }
    (out, count)
}

/// A run as UTF-8, if that is likelier. Runs may have whole letters around: those are tried to be kept.
fn utf8(run: &[u8]) -> Option<String> {
    let mut out = String::new();
    let mut rest = run;
    let mut sure = 0;
    while !rest.is_empty() {
        let size = match rest[0] {
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => 0,
        };
        let decoded = (size > 0)
            .then(|| rest.get(..size))
            .flatten()
            .and_then(|b| std::str::from_utf8(b).ok())
            .and_then(|s| s.chars().next());
        match decoded {
            Some(c) => {
                sure += match (size, c) {
                    // "É…" and "ß“" are what they seem to be: of two bytes only letters that
                    // Latin, Greek or Cyrillic text is full of are believed.
                    (2, '\u{80}'..='\u{9F}') => 0,
                    (2, '\u{A0}'..='\u{FF}') => 2,
                    (2, '\u{100}'..='\u{17F}' | 'α'..='ω' | 'а'..='я' | 'А'..='Я' | 'Α'..='Ω') => {
                        1
                    }
                    // Of what was misread twice.
                    (2, c) if byte(c).is_some() => 1,
                    (2, _) => return None,
                    _ => 2,
                };
                out.push(c);
                rest = &rest[size..];
            }
            None => return None,
        }
    }
    (sure >= 2).then_some(out)
}

/// A run as GBK, if it is four characters and more and nearly all are of GB 2312's first level.
fn gbk(run: &[u8]) -> Option<String> {
    if run.len() < 8 || run.len() % 2 == 1 {
        return None;
    }
    let pairs = run.chunks_exact(2);
    let count = pairs.len();
    let common = pairs.filter(|p| matches!(p[0], 0xB0..=0xD7) && p[1] >= 0xA1).count();
    let (text, bad) = GBK.decode_without_bom_handling(run);
    (!bad && common * 10 >= count * 8).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(text: &str) -> String {
        match Repair::default().apply(text) {
            Outcome::Keep => text.into(),
            Outcome::Edit(text, _) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn turns_back_and_leaves_alone() {
        let misread =
            |t: &str| WINDOWS_1252.decode_without_bom_handling(t.as_bytes()).0.into_owned();
        for text in ["It’s “fine” — café, naïve.", "你好，世界", "😀 Grüße", "Привет, мир", "€5"]
        {
            let once = misread(text);
            assert_eq!(clean(&once), text, "{once}");
            assert_eq!(clean(&misread(&once)), text, "twice");
            assert_eq!(clean(text), text, "nothing to do");
        }
        for fine in
            ["É… Ü– „Fuß“ À «là»", "Ångström Übermaß ÀÉÎ", "São Paulo, NÃO", "x² ± 5 µm", "£5–£7"]
        {
            assert_eq!(clean(fine), fine);
        }
        let bytes = GBK.encode("中国人民大学").0;
        let (latin, _) = WINDOWS_1252.decode_without_bom_handling(&bytes);
        assert_eq!(clean(&latin), "中国人民大学");
        assert_eq!(clean("cafe\u{301} \u{93}x\u{94}"), "café “x”");
    }
}
