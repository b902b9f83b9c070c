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

/// Whether a character is a decimal digit of any script (Unicode's Nd), as Python's `\\d` has it.
pub(super) fn is_decimal(c: char) -> bool {
    // Those of other scripts are numeric and come in runs of ten; superscripts and fractions do not.
    c.is_ascii_digit()
        || matches!(c, '٠'..='٩' | '۰'..='۹' | '०'..='९' | '০'..='৯' | '௦'..='௯' | '๐'..='๙' | '０'..='９')
}

/// A text for comparison, as datatrove's `simplify_text` has it: lower case, numbers as 0, punctuation
/// as space, no accents.
pub(crate) fn normal(text: &str) -> String {
    use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
    let mut out = String::with_capacity(text.len());
    let mut number = false;
    let mut push = |c: char| {
        let digit = is_decimal(c);
        if digit && number {
            return;
        }
        number = digit;
        if digit {
            out.push('0');
        } else if is_punctuation(c) || c.is_whitespace() {
            out.push(' ');
        } else {
            out.extend(c.to_lowercase());
        }
    };
    if text.is_ascii() {
        text.chars().for_each(&mut push);
    } else {
        text.nfd().filter(|c| !is_combining_mark(*c)).for_each(push);
    }
    out
}

/// What ends a line of prose in any script: datatrove's list (utils/text.py).
pub(super) const TERMINAL: &str = "!.?։؝؞؟۔܀܁܂߹࠷࠹࠽࠾।॥၊။።፧፨᙮᜵᜶។៕៖៙៚᠃᠉᥄᥅᪨᪩᪪᪫᭚᭛᭞᭟᭽᭾᰻᰼᱾᱿‼‽⁇⁈⁉⸮⸼⹓⹔。꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫﹒﹖﹗！．？｡𐩖𐩗𐽕𐽖𐽗𐽘𐽙𐾆𐾇𐾈𐾉𑁇𑁈𑂾𑂿𑃀𑃁𑅁𑅂𑅃𑇅𑇆𑇍𑇞𑇟𑈸𑈹𑈻𑈼𑊩𑑋𑑌𑗂𑗃𑗉𑗊𑗋𑗌𑗍𑗎𑗏𑗐𑗑𑗒𑗓𑗔𑗕𑗖𑗗𑙁𑙂𑜼𑜽𑜾𑥄𑥆𑩂𑩃𑪛𑪜𑱁𑱂𑻷𑻸\u{11F43}\u{11F44}𖩮𖩯𖫵𖬷𖬸𖭄𖺘𛲟𝪈";

/// datatrove's further punctuation; besides these, controls except line feed.
const PUNCTUATION: &str =
    "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»";

/// Whether a character is punctuation to datatrove.
pub(super) fn is_punctuation(c: char) -> bool {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => false,
        '\n' | ' ' => false,
        c if c.is_control() => true,
        c => PUNCTUATION.contains(c) || TERMINAL.contains(c),
    }
}

/// Whose rules a text is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    /// Words with spaces between.
    Spaced,
    /// Ideographs without.
    Chinese,
}

impl Script {
    /// By `rules`, else by the language, else by which letters are more.
    pub(super) fn of(text: &str, rules: &str, language: &str) -> Self {
        match (rules, language) {
            ("english", _) => Self::Spaced,
            ("chinese", _) | (_, "zh" | "ja") => Self::Chinese,
            (_, "" | "und") => {
                let (mut wide, mut others) = (0usize, 0usize);
                for c in text.chars() {
                    if is_ideograph(c) {
                        wide += 1;
                    } else {
                        others += usize::from(c.is_alphabetic());
                    }
                }
                // An ideograph is half a word, a word has about five letters.
                if wide * 2 > others { Self::Chinese } else { Self::Spaced }
            }
            _ => Self::Spaced,
        }
    }
}

/// Checks the key `rules`.
pub(super) fn check_rules(rules: &str) -> Result<(), athanor_store::Problem> {
    athanor_store::Problem::unless_one_of("rules", rules, &["auto", "english", "chinese"])
}

#[test]
fn counts_both_scripts() {
    assert_eq!(words("Two words, 春風，abc 又"), ["Two", "words,", "春", "風", "abc", "又"]);
}
