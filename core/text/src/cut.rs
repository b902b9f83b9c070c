//! The patterns of GPT-2, and of GPT-4, Llama 3 and Qwen 2, by hand: the same cuts as the regex, in one pass
//! over the text and without stepping back. core/text/src/json/pattern.rs takes any other.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// GPT-2's pattern (`encoder.py`), which ByteLevel has, too.
pub(crate) const GPT2: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// cl100k's (tiktoken) as Llama 3 has it.
const CL100K: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The pattern of Qwen2's tokeniser, which is cl100k's (tiktoken) with single digits: contractions,
/// words with the space or sign before them, digits one by one, punctuation, line ends, spaces.
/// Chinese clauses are runs of letters, so merges are learnt within a clause and never across its
/// punctuation.
pub(crate) const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// A pattern that is cut by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cutter {
    /// [`GPT2`].
    Gpt2,
    /// [`CL100K`], with so many digits at most.
    Cl100k(usize),
}

/// What a character is to these patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Other,
    /// `\p{L}`
    Letter,
    /// `\p{N}`
    Number,
    /// `\s` except the two below.
    Space,
    /// `\r` or `\n`
    LineEnd,
}

/// Kinds of the characters up to U+FFFF; ranges of letters and numbers above.
struct Kinds {
    low: Box<[Kind]>,
    high: Vec<(u32, u32, Kind)>,
}

static KINDS: LazyLock<Kinds> = LazyLock::new(|| {
    let mut kinds = Kinds { low: vec![Kind::Other; 1 << 16].into(), high: Vec::new() };
    // The tables that the regexes are compiled with.
    for (class, kind) in [(r"\s", Kind::Space), (r"\p{L}", Kind::Letter), (r"\p{N}", Kind::Number)]
    {
        let parsed = regex_syntax::parse(class);
        let Ok(HirKind::Class(Class::Unicode(ranges))) = parsed.map(|p| p.into_kind()) else {
            unreachable!("{class} is a class of characters");
        };
        for range in ranges.ranges() {
            let (from, to) = (range.start() as u32, range.end() as u32);
            for c in from..=to.min(0xFFFF) {
                kinds.low[c as usize] = kind;
            }
            if to > 0xFFFF {
                kinds.high.push((from.max(0x1_0000), to, kind));
            }
        }
    }
    kinds.low[usize::from(b'\r')] = Kind::LineEnd;
    kinds.low[usize::from(b'\n')] = Kind::LineEnd;
    kinds.high.sort_unstable_by_key(|r| r.0);
    kinds
});

impl Kinds {
    /// The kind of the character at `at`, which is inside of the text, and its bytes.
    #[inline]
    fn at(&self, text: &str, at: usize) -> (Kind, usize) {
        let first = text.as_bytes()[at];
        if first < 0x80 {
            return (self.low[usize::from(first)], 1);
        }
        let c = text[at..].chars().next().unwrap_or(' ');
        let kind = match self.low.get(c as usize) {
            Some(kind) => *kind,
            None => {
                let n = self.high.partition_point(|r| r.1 < c as u32);
                self.high.get(n).filter(|r| r.0 <= c as u32).map_or(Kind::Other, |r| r.2)
            }
        };
        (kind, c.len_utf8())
    }

    /// Where the characters of a kind from `at` on end.
    #[inline]
    fn run(&self, text: &str, mut at: usize, kind: Kind) -> usize {
        while at < text.len() {
            let (found, bytes) = self.at(text, at);
            if found != kind {
                break;
            }
            at += bytes;
        }
        at
    }

    /// Where the white space from `at` on ends, where its last character begins, and where its last line
    /// end ends, if there is one.
    fn spaces(&self, text: &str, mut at: usize) -> (usize, usize, Option<usize>) {
        let (mut last, mut line) = (at, None);
        while at < text.len() {
            let (kind, bytes) = self.at(text, at);
            match kind {
                Kind::Space => {}
                Kind::LineEnd => line = Some(at + bytes),
                _ => break,
            }
            last = at;
            at += bytes;
        }
        (at, last, line)
    }
}

impl Cutter {
    /// Of a regex, where it is one that we cut by hand.
    pub(crate) fn of(pattern: &str) -> Option<Self> {
        match pattern {
            GPT2 => Some(Self::Gpt2),
            CL100K => Some(Self::Cl100k(3)),
            QWEN2 => Some(Self::Cl100k(1)),
            _ => None,
        }
    }

    /// Calls `word` for each piece of `text`, in order; together they are the text.
    pub(crate) fn words(self, text: &str, mut word: impl FnMut(&str)) {
        let kinds = &*KINDS;
        let mut at = 0;
        while at < text.len() {
            let end = match self {
                Self::Gpt2 => gpt2(kinds, text, at),
                Self::Cl100k(digits) => cl100k(kinds, text, at, digits),
            };
            word(&text[at..end]);
            at = end;
        }
    }
}

/// Bytes of what is behind an apostrophe in a contraction; where case counts for nothing, `ſ` is an s.
fn contraction(rest: &[u8], any_case: bool) -> Option<usize> {
    let lower = |n: usize| rest.get(n).map(|b| if any_case { b.to_ascii_lowercase() } else { *b });
    match (lower(0)?, lower(1)) {
        (b's' | b't' | b'm' | b'd', _) => Some(1),
        (b'r' | b'v', Some(b'e')) | (b'l', Some(b'l')) => Some(2),
        (0xC5, Some(0xBF)) if any_case => Some(2),
        _ => None,
    }
}

fn gpt2(kinds: &Kinds, text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    if bytes[at] == b'\''
        && let Some(n) = contraction(&bytes[at + 1..], false)
    {
        return at + 1 + n;
    }
    let from = if bytes[at] == b' ' { at + 1 } else { at };
    if from < text.len() {
        let (kind, len) = kinds.at(text, from);
        if !matches!(kind, Kind::Space | Kind::LineEnd) {
            return kinds.run(text, from + len, kind);
        }
    }
    let (end, last, _) = kinds.spaces(text, at);
    if end < text.len() && last > at { last } else { end }
}

fn cl100k(kinds: &Kinds, text: &str, at: usize, digits: usize) -> usize {
    let bytes = text.as_bytes();
    if bytes[at] == b'\''
        && let Some(n) = contraction(&bytes[at + 1..], true)
    {
        return at + 1 + n;
    }
    let (kind, len) = kinds.at(text, at);
    let behind = at + len;
    match kind {
        Kind::Letter => return kinds.run(text, behind, Kind::Letter),
        Kind::Number => {
            let mut end = behind;
            for _ in 1..digits {
                match (end < text.len()).then(|| kinds.at(text, end)) {
                    Some((Kind::Number, len)) => end += len,
                    _ => break,
                }
            }
            return end;
        }
        Kind::Space | Kind::Other if behind < text.len() => {
            let (kind, len) = kinds.at(text, behind);
            if kind == Kind::Letter {
                return kinds.run(text, behind + len, Kind::Letter);
            }
        }
        _ => {}
    }
    let from = if bytes[at] == b' ' { at + 1 } else { at };
    if from < text.len() && kinds.at(text, from).0 == Kind::Other {
        let end = kinds.run(text, from, Kind::Other);
        return kinds.run(text, end, Kind::LineEnd);
    }
    match kinds.spaces(text, at) {
        (_, _, Some(line)) => line,
        (end, last, None) if end < text.len() && last > at => last,
        (end, ..) => end,
    }
}

#[cfg(test)]
mod tests {
    use fancy_regex::Regex;
    use proptest::prelude::*;

    use super::*;

    static REGEXES: LazyLock<Vec<(Cutter, Regex)>> = LazyLock::new(|| {
        let known = [GPT2, CL100K, QWEN2];
        known.map(|p| (Cutter::of(p).unwrap(), Regex::new(p).unwrap())).into()
    });

    fn same(text: &str) {
        for (cutter, regex) in &*REGEXES {
            let want: Vec<&str> = regex.find_iter(text).map(|m| m.unwrap().as_str()).collect();
            let mut got = Vec::new();
            cutter.words(text, |w| got.push(w.to_owned()));
            assert_eq!(got, want, "{cutter:?} {text:?}");
        }
    }

    /// Every character, alone, behind and before letters, spaces, digits and apostrophes.
    #[test]
    fn every_character() {
        for c in '\0'..=char::MAX {
            // Those that are far from every border of a class, in samples.
            if !(c as u32).is_multiple_of(7)
                && matches!(c as u32, 0x4E10..0x9F00 | 0xAC10..0xD700 | 0x2_0000..)
            {
                continue;
            }
            same(&format!("{c}a {c} 1{c}'{c}\n{c}"));
        }
    }

    #[test]
    fn contractions() {
        for a in "sStTrRvVmMlLdDſeExK\u{212A}".chars() {
            for b in "eElLsx ".chars() {
                same(&format!("I'{a}{b} '{a} {a}'{b}"));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]
        #[test]
        fn cuts_as_the_regex_does(
            text in "[aZéſ春𠀀1٣½ \t\n\r\u{a0}\u{3000}\u{85}'.,!—\u{301}🙂s]{0,24}",
            any in "\\PC{0,12}",
        ) {
            same(&text);
            same(&any);
        }
    }
}
