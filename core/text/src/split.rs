//! The pre-tokeniser: where a text may be cut before BPE merges bytes.

use crate::cut::Cutter;

pub(crate) use crate::cut::QWEN2 as PATTERN;

/// [`PATTERN`], by hand.
pub(crate) const CUTTER: Cutter = Cutter::Cl100k(1);

/// The first place at or behind `at` where the pattern is sure to cut: between a line end and
/// something that is not white space. The text's end if there is none.
pub(crate) fn line_cut(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    let mut i = at.max(1);
    while i < bytes.len() {
        if bytes[i - 1] == b'\n'
            && text.get(i..).is_some_and(|t| !t.starts_with(char::is_whitespace))
        {
            return i;
        }
        i += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut out = Vec::new();
        assert_eq!(Cutter::of(PATTERN), Some(CUTTER));
        CUTTER.words(text, |w| out.push(w.to_string()));
        out
    }

    #[test]
    fn splits_english_digits_and_chinese() {
        assert_eq!(
            words("Don't pay 1995, 九衢塵裏一書生，多達。\n\n  x"),
            [
                "Don",
                "'t",
                " pay",
                " ",
                "1",
                "9",
                "9",
                "5",
                ",",
                " 九衢塵裏一書生",
                "，多達",
                "。\n\n",
                " ",
                " x"
            ]
        );
    }

    #[test]
    fn cutting_at_lines_changes_nothing() {
        let text =
            "O, that this too\nToo  solid flesh!\r\n\n \nwould 12\n\tmelt,\n— 春。\n花".repeat(40);
        let whole = words(&text);
        for at in [1, 7, 30, 100] {
            let mut rest = text.as_str();
            let mut pieces = Vec::new();
            while !rest.is_empty() {
                let (a, b) = rest.split_at(line_cut(rest, at));
                pieces.extend(words(a));
                rest = b;
            }
            assert_eq!(pieces, whole, "cut at {at}");
        }
    }
}
