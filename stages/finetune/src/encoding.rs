//! Texts, pairs and sentences of words as rows of tokens, with the special tokens that the tokeniser's
//! model expects.

use athanor_models::{Model, Row};
use athanor_store::{Error, Result};
use athanor_text::{ModelInput, Tokenizer};

/// Tokens and their types.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encoded {
    pub ids: Vec<u32>,
    pub types: Vec<u32>,
}

impl Encoded {
    pub fn row(&self) -> Row<'_> {
        Row { ids: &self.ids, types: &self.types }
    }
}

impl From<ModelInput> for Encoded {
    fn from(input: ModelInput) -> Self {
        Self { ids: input.ids, types: input.types }
    }
}

fn check(input: &ModelInput) -> Result<()> {
    match input.sequence.iter().any(Option::is_some) {
        true => Ok(()),
        false => Err(Error::input("the text has no tokens")
            .hint("leave such records out, for instance with only = \"text | trim\"")),
    }
}

/// A text or a pair in at most `limit` tokens, cut from the longer text first. Where the tokeniser puts
/// nothing between two texts (a decoder's), what ends a document stands there.
pub(crate) fn texts(
    tokenizer: &Tokenizer,
    text: &str,
    pair: Option<&str>,
    limit: usize,
) -> Result<Encoded> {
    let mut input = tokenizer.encode_input(text, pair)?;
    check(&input)?;
    let bare = input.sequence.iter().all(Option::is_some);
    let between = if bare && pair.is_some() { tokenizer.document_end_id() } else { None };
    input.truncate_longest_first(limit - usize::from(between.is_some()));
    let second = input.sequence.iter().position(|s| *s == Some(1));
    let mut encoded = Encoded::from(input);
    if let (Some(id), Some(place)) = (between, second) {
        encoded.ids.insert(place, id);
        encoded.types.insert(place, 0);
    }
    Ok(encoded)
}

/// Which of a word's tokens has its label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WordAnchor {
    /// The first, as Devlin et al. 2019 have it.
    First,
    /// The last: a causal model knows the whole word there only.
    Last,
}

impl WordAnchor {
    /// As a model needs it.
    pub fn of(causal: bool) -> Self {
        if causal { Self::Last } else { Self::First }
    }

    fn piece(self, input: ModelInput, mut words: Vec<(usize, usize)>) -> Piece {
        if self == Self::Last {
            let specials = input.sequence.iter().rev().take_while(|s| s.is_none()).count();
            let mut next = input.ids.len() - specials;
            for (_, place) in words.iter_mut().rev() {
                (*place, next) = (next.saturating_sub(1).max(*place), *place);
            }
        }
        Piece { tokens: input.into(), words }
    }
}

/// A sentence, or a part of one that fits into the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    pub tokens: Encoded,
    /// The word's number and the place of the token that stands for it, for each word that has a token.
    pub words: Vec<(usize, usize)>,
}

/// A sentence of words, in pieces of at most `limit` tokens that are cut between words. The words stand
/// with a space between them; a token is of the word that holds its last byte. A word's first token stands for it,
/// or its last for a model that sees no token behind (`WordAnchor::Last`).
pub(crate) fn words(
    tokenizer: &Tokenizer,
    words: &[String],
    limit: usize,
    anchor: WordAnchor,
) -> Result<Vec<Piece>> {
    let (whole, firsts) = run(tokenizer, words, 0)?;
    check(&whole)?;
    if whole.ids.len() <= limit {
        return Ok(vec![anchor.piece(whole, firsts)]);
    }
    let special = whole.sequence.iter().filter(|s| s.is_none()).count();
    let room = limit.saturating_sub(special).max(1);
    // A word's tokens go up to the first of the next word that has one.
    let end = whole.ids.len() - whole.sequence.iter().rev().take_while(|s| s.is_none()).count();
    let ends = firsts.iter().skip(1).map(|f| f.1).chain([end]);
    let lengths: Vec<(usize, usize)> =
        firsts.iter().zip(ends).map(|(&(word, first), end)| (word, end - first)).collect();
    let mut pieces = Vec::new();
    let (mut begin, mut filled) = (0, 0);
    for (word, length) in lengths.into_iter().chain([(words.len(), room + 1)]) {
        if filled > 0 && filled + length > room {
            let (mut input, mut firsts) = run(tokenizer, &words[begin..word], begin)?;
            input.truncate(limit);
            firsts.retain(|f| input.sequence.get(f.1).is_some_and(Option::is_some));
            pieces.push(anchor.piece(input, firsts));
            (begin, filled) = (word, 0);
        }
        filled += length;
    }
    Ok(pieces)
}

/// Words in a row, and the first token of each; their numbers count from `first`.
fn run(
    tokenizer: &Tokenizer,
    words: &[String],
    first: usize,
) -> Result<(ModelInput, Vec<(usize, usize)>)> {
    let mut ends = Vec::with_capacity(words.len());
    let mut text = String::new();
    for word in words {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
        ends.push(text.len());
    }
    let input = tokenizer.encode_input(&text, None)?;
    let mut firsts: Vec<(usize, usize)> = Vec::new();
    for (place, (&(from, to), sequence)) in input.offsets.iter().zip(&input.sequence).enumerate() {
        if sequence.is_none() {
            continue;
        }
        let byte = if to > from { to - 1 } else { from };
        let word = ends.partition_point(|&end| end <= byte) + first;
        if firsts.last().is_none_or(|(last, _)| word > *last) && word < first + words.len() {
            firsts.push((word, place));
        }
    }
    Ok((input, firsts))
}

/// The most tokens of a row: what the recipe says (0: nothing), the model and the tokeniser allow.
pub(crate) fn limit(section: usize, model: &Model, tokenizer: &Tokenizer) -> usize {
    let section = if section == 0 { usize::MAX } else { section };
    section.min(model.sizes().context).min(tokenizer.longest().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use athanor_text::{ALGORITHMS, SpecialTokens, Training};

    fn wordpiece() -> Tokenizer {
        let text = "the cat sat on the mat unbelievably quickly ";
        let training =
            Training { vocab_size: 60, lowercase: true, specials: SpecialTokens::bert() };
        let kind = ALGORITHMS.find("wordpiece").unwrap();
        kind.train(&mut [text.repeat(3)].into_iter(), &training).unwrap()
    }

    fn list(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn each_word_has_its_first_token_and_long_sentences_are_cut_between_words() {
        let tokenizer = wordpiece();
        let sentence = list("the unbelievably cat quickly sat");
        let all = words(&tokenizer, &sentence, 1000, WordAnchor::First).unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].words.iter().map(|w| w.0).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        let head = |w: &str| tokenizer.encode(w).unwrap()[0];
        for limit in 4..all[0].tokens.ids.len() {
            let pieces = words(&tokenizer, &sentence, limit, WordAnchor::First).unwrap();
            let mut seen = Vec::new();
            for piece in &pieces {
                assert!(piece.tokens.ids.len() <= limit && piece.tokens.ids[0] == 2);
                for &(word, place) in &piece.words {
                    assert_eq!(piece.tokens.ids[place], head(&sentence[word]), "{limit}");
                    seen.push(word);
                }
            }
            assert_eq!(seen, [0, 1, 2, 3, 4], "limit {limit}");
            // The last token of each word, for models that do not look ahead.
            for piece in words(&tokenizer, &sentence, limit, WordAnchor::Last).unwrap() {
                for &(word, place) in &piece.words {
                    let tokens = tokenizer.encode(&sentence[word]).unwrap();
                    let last = if tokens.len() + 2 > limit { limit - 3 } else { tokens.len() - 1 };
                    assert_eq!(piece.tokens.ids[place], tokens[last], "{limit}");
                }
            }
        }
        assert!(
            words(&tokenizer, &[], 9, WordAnchor::First)
                .unwrap_err()
                .to_string()
                .contains("no tokens")
        );
    }

    #[test]
    fn the_longer_text_is_cut_first() {
        let tokenizer = wordpiece();
        let (a, b) = ("the cat", "the mat sat on the cat");
        let whole = texts(&tokenizer, a, Some(b), 1000).unwrap();
        let cut = texts(&tokenizer, a, Some(b), whole.ids.len() - 1).unwrap();
        let firsts = |e: &Encoded| e.types.iter().filter(|t| **t == 0).count();
        assert_eq!(firsts(&cut), firsts(&whole));
        assert_eq!(cut.ids.len() + 1, whole.ids.len());
        let short = texts(&tokenizer, a, Some(b), 6).unwrap();
        assert_eq!((short.ids.len(), firsts(&short)), (6, 3));
        assert!(texts(&tokenizer, "", None, 9).is_err());
    }
}
