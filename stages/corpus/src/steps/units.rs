//! Words, in scripts with spaces and without.

/// Whether a character is a word by itself for counting: Chinese and Japanese write no spaces.
pub(crate) fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}'
        | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{323AF}')
}

/// The words of a text: what stands between spaces, and each ideograph by itself. The punctuation of
/// Chinese text is no word.
pub(crate) fn words(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    for run in text.split_whitespace() {
        let mut start = 0;
        for (at, c) in run.char_indices() {
            let end = at + c.len_utf8();
            if is_ideograph(c)
                || ('\u{3000}'..='\u{303F}').contains(&c)
                || ('\u{FF01}'..='\u{FF0F}').contains(&c)
            {
                if start < at {
                    out.push(&run[start..at]);
                }
                if is_ideograph(c) {
                    out.push(&run[at..end]);
                }
                start = end;
            }
        }
        if start < run.len() {
            out.push(&run[start..]);
        }
    }
    out
}

#[test]
fn counts_both_scripts() {
    assert_eq!(words("Two words, 春風，abc 又"), ["Two", "words,", "春", "風", "abc", "又"]);
}
