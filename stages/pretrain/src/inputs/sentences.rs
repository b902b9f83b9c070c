//! Where sentences end, found from tokens: the shards hold no text.
//!
//! A sentence ends behind a full stop, question or exclamation mark (Western or Chinese), with what
//! closes quotations and brackets behind it, and behind a line end where tokens have those. "Mr."
//! ends one, too; the papers' "sentences" are any span of text.

use std::ops::Range;

use athanor_text::{Marks, Tokenizer};

/// What each token of a vocabulary does to a sentence.
#[derive(Clone, Debug)]
pub struct Ends {
    kinds: Vec<Kind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Other,
    End,
    /// Closes what a sentence had opened: still part of it.
    Close,
    /// An end mark and the beginning of the next sentence in one token, as byte-level vocabularies have them
    /// where no space is between: the next sentence takes the mark along.
    Both,
}

impl Ends {
    /// Of a tokeniser's vocabulary.
    pub fn new(tokenizer: &Tokenizer) -> Self {
        let marks = tokenizer.marks();
        let kinds = (0..tokenizer.vocab_size() as u32)
            .map(|id| match tokenizer.token(id) {
                Some(name) if !tokenizer.is_special(id) => kind(&plain(&name, marks)),
                _ => Kind::Other,
            })
            .collect();
        Self { kinds }
    }

    fn kind(&self, id: u32) -> Kind {
        self.kinds.get(id as usize).copied().unwrap_or(Kind::Other)
    }

    /// The sentences of a document, one behind the other.
    pub fn sentences(&self, tokens: &[u32]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut from = 0;
        let mut ended = false;
        for (i, &id) in tokens.iter().enumerate() {
            match self.kind(id) {
                Kind::End => ended = true,
                Kind::Both if i > from => {
                    found.push(from..i);
                    (from, ended) = (i, false);
                }
                Kind::Other if ended => {
                    found.push(from..i);
                    (from, ended) = (i, false);
                }
                Kind::Close | Kind::Both | Kind::Other => {}
            }
        }
        if from < tokens.len() {
            found.push(from..tokens.len());
        }
        found
    }
}

/// A token's text, without the marks of its vocabulary. Of a byte-level one, characters that are
/// whole; `None` in its place for the rest.
pub fn plain(name: &str, marks: Marks) -> String {
    match marks {
        Marks::WordPiece => name.strip_prefix("##").unwrap_or(name).into(),
        Marks::Metaspace => name.replace('▁', " "),
        Marks::Bytes => String::from_utf8_lossy(&byte_text(name)).into_owned(),
    }
}

/// The bytes that a token of a byte-level vocabulary stands for: GPT-2's `bytes_to_unicode`
/// backwards.
pub fn byte_text(name: &str) -> Vec<u8> {
    let printable = |c: char| matches!(c, '!'..='~' | '\u{A1}'..='\u{AC}' | '\u{AE}'..='\u{FF}');
    let mut other = (0..=255u8).filter(|&b| !printable(char::from(b))).collect::<Vec<u8>>();
    other.sort_unstable();
    name.chars()
        .filter_map(|c| match printable(c) {
            true => u8::try_from(c as u32).ok(),
            false => other.get((c as usize).wrapping_sub(256)).copied(),
        })
        .collect()
}

fn kind(text: &str) -> Kind {
    if text.contains('\n') {
        return Kind::End;
    }
    let trimmed = text.trim();
    let all = |of: &str| !trimmed.is_empty() && trimmed.chars().all(|c| of.contains(c));
    if all(")]}»”’」』）》") {
        Kind::Close
    } else if all(".!?…。！？．)]}»”’」』）》") {
        Kind::End
    } else if trimmed.starts_with(['。', '！', '？', '…']) {
        Kind::Both
    } else {
        Kind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use athanor_text::{ALGORITHMS, Training};

    fn tokenizer(kind: &str, special: &str) -> Tokenizer {
        let texts = ["He came (at last!) home. Did he? 春風來。花開了！」 夜雨\n"; 4];
        let algorithm = ALGORITHMS.find(kind).unwrap();
        let specials = algorithm.specials(special).unwrap();
        let training = Training { vocab_size: 500, lowercase: false, specials };
        algorithm.train(&mut texts.iter().map(|t| t.to_string()), &training).unwrap()
    }

    #[test]
    fn sentences_of_every_kind_of_vocabulary() {
        for (kind, special) in [("byte_bpe", "gpt"), ("wordpiece", "bert"), ("unigram", "xlnet")] {
            let tokenizer = tokenizer(kind, special);
            let ids =
                tokenizer.encode("He came. Did he? (At last!) 春風來。花開了！」夜雨").unwrap();
            let ends = Ends::new(&tokenizer);
            let found = ends.sentences(&ids);
            let texts: Vec<String> = found
                .iter()
                .map(|r| {
                    let text = tokenizer.decode(&ids[r.clone()]).unwrap();
                    text.chars().filter(|c| !c.is_whitespace()).collect()
                })
                .collect();
            let want = ["Hecame.", "Didhe?", "(Atlast!)", "春風來。", "花開了！」", "夜雨"];
            // XLNet's normalisation makes ！ an !.
            let narrow = |t: &str| t.replace('！', "!").replace('。', ".").replace("[UNK]", "");
            let (texts, want): (Vec<String>, Vec<String>) = (
                texts.iter().map(|t| narrow(t)).collect(),
                want.iter().map(|t| narrow(t)).collect(),
            );
            assert_eq!(texts.len(), want.len(), "{kind}: {texts:?}");
            // Together they are the text, none empty.
            assert!(found.iter().all(|r| !r.is_empty()));
            assert!(found.windows(2).all(|w| w[0].end == w[1].start));
            assert_eq!(found.last().unwrap().end, ids.len());
        }
        assert_eq!(byte_text("Ġåľ"), [b' ', 0xE5, 0x9C]);
    }
}
