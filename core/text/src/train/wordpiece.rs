//! WordPiece (Schuster and Nakajima 2012; as in BERT, Devlin et al. 2019): BERT's normalisation and
//! pre-tokenisation, in which each Chinese character is a word, then pieces of words, those that go
//! on a word written with `##`. Encoding is greedy, the longest piece first.
//!
//! Pieces are merged by how often they stand side by side, as in BPE and as Hugging Face's trainer
//! does it; the paper takes the pair that raises the likelihood of the text the most. BERT's own
//! trainer was never published.

use std::collections::HashMap;

use athanor_store::{Error, Result};
use serde_json::{Map, Value, json};
use tokenizers::normalizers::bert::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::tokenizer::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};

use super::{Algorithm, Texts, Training, alphabet, bpe, check_size, config, count_words};
use crate::{
    Tokenizer,
    wordpiece::{CONTINUES, MAX_WORD_CHARS, complete, tokenizer},
};

/// The algorithm's line in the registry.
pub(super) const ALGORITHM: Algorithm =
    Algorithm { name: "wordpiece", about: "BERT, ELECTRA", specials: &["bert"], train };

fn train(texts: Texts<'_>, training: &Training) -> Result<Tokenizer> {
    let specials = &training.specials;
    check_size(training, 1, "an alphabet")?;
    let normalizer = BertNormalizer::new(true, true, None, training.lowercase);
    let words = count_words(texts, |text, word| split(&normalizer, text, word))?;
    let room = training.vocab_size - specials.tokens.len();
    let mut counts: HashMap<String, u64> = HashMap::new();
    for (word, n) in &words {
        for symbol in symbols(word) {
            *counts.entry(symbol).or_default() += n;
        }
    }
    // The rest of the vocabulary is for longer pieces.
    let letters = alphabet(counts, (room * 3 / 4).max(1));
    let ids: HashMap<&str, u32> = (letters.iter().map(String::as_str)).zip(0..).collect();
    // A word with a rare character is unknown as a whole: nothing is to be learnt from it.
    let words = words
        .iter()
        .filter(|(word, _)| word.chars().nth(MAX_WORD_CHARS).is_none())
        .filter_map(|(word, n)| {
            let known = symbols(word).map(|s| ids.get(s.as_str()).copied());
            Some((known.collect::<Option<Vec<u32>>>()?, *n))
        })
        .collect();
    let letters = letters.iter().map(|l| l.as_bytes().to_vec()).collect();
    let (tokens, _) = bpe::learn(words, letters, room, |a, b| {
        [a, b.strip_prefix(CONTINUES.as_bytes()).unwrap_or(b)].concat()
    });
    let learnt = tokens.iter().map(|t| String::from_utf8_lossy(t).into_owned());
    let all = specials.tokens.iter().cloned().chain(learnt);
    let vocabulary: Map<String, Value> = all.zip((0..).map(|i| json!(i))).collect();
    let mut settings = config(json!({
        "tokenizer_class": "BertTokenizer", "do_lower_case": training.lowercase,
        "tokenize_chinese_chars": true, "strip_accents": null,
        "clean_up_tokenization_spaces": false,
        "model_max_length": 1_000_000_000_000_000_u64,
    }));
    complete(&mut settings);
    Tokenizer::from_json(&tokenizer(vocabulary, &settings)?, specials, settings)
}

/// The words of a text as [`BertPreTokenizer`] finds them.
fn split(normalizer: &BertNormalizer, text: &str, word: &mut dyn FnMut(&str)) -> Result<()> {
    let wrong = |e: tokenizers::Error| Error::input(format!("cannot split this text: {e}"));
    let mut normalized = NormalizedString::from(text);
    normalizer.normalize(&mut normalized).map_err(wrong)?;
    let mut cut = PreTokenizedString::from(normalized);
    BertPreTokenizer.pre_tokenize(&mut cut).map_err(wrong)?;
    for (w, _, _) in cut.get_splits(OffsetReferential::Normalized, OffsetType::None) {
        word(w);
    }
    Ok(())
}

/// `word` → `w`, `##o`, `##r`, `##d`.
fn symbols(word: &str) -> impl Iterator<Item = String> {
    word.chars().enumerate().map(|(i, c)| match i {
        0 => c.to_string(),
        _ => format!("{CONTINUES}{c}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SpecialTokens;

    #[test]
    fn words_are_berts() {
        let mut words = Vec::new();
        let lower = BertNormalizer::new(true, true, None, true);
        split(&lower, "Élan, 春風 isn't\u{0}", &mut |w| words.push(w.to_owned())).unwrap();
        assert_eq!(words, ["elan", ",", "春", "風", "isn", "'", "t"]);
        assert_eq!(symbols("春風x").collect::<Vec<_>>(), ["春", "##風", "##x"]);
    }

    #[test]
    fn pieces_by_hand() {
        let texts = ["low low low lower newest newest widest", "low newest"];
        let training =
            Training { vocab_size: 5 + 12 + 2, lowercase: true, specials: SpecialTokens::bert() };
        let tokenizer = train(&mut texts.iter().map(|t| t.to_string()), &training).unwrap();
        let ids = tokenizer.encode("lowest").unwrap();
        let pieces: Vec<_> = ids.iter().filter_map(|&i| tokenizer.token(i)).collect();
        assert_eq!(pieces, ["low", "##es", "##t"], "{}", tokenizer.to_json().unwrap());
        assert_eq!(tokenizer.token(tokenizer.encode("xx").unwrap()[0]).unwrap(), "[UNK]");
    }
}
