//! Tokenisers and chats on the demo's own data.

use std::{fs, io::Read, path::PathBuf};

use athanor_text::{ChatTemplate, Message, SpecialTokens, Tokenizer, encode_chat, encode_prompt};
use proptest::prelude::*;
use serde_json::Value;

/// The texts of a file in data/.
fn texts(file: &str) -> Vec<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data").join(file);
    let mut text = String::new();
    flate2::read::GzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let field =
        |l: &str| serde_json::from_str::<Value>(l).unwrap()["text"].as_str().unwrap().to_string();
    text.lines().map(field).collect()
}

fn small() -> Tokenizer {
    let mut all = texts("zh.jsonl.gz");
    all.extend(texts("human_ratings.jsonl.gz").into_iter().take(2000));
    Tokenizer::train_byte_bpe(&all, 1000, &SpecialTokens::default()).unwrap()
}

#[test]
fn training_depends_on_the_texts_alone() {
    let mut all = texts("zh.jsonl.gz");
    all.extend(texts("human_ratings.jsonl.gz").into_iter().take(3000));
    let train = |texts: &[String], threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            Tokenizer::train_byte_bpe(texts, 1500, &SpecialTokens::default())
                .unwrap()
                .to_json()
                .unwrap()
        })
    };
    let first = train(&all, 1);
    for threads in [1, 2, 3, 8] {
        assert!(train(&all, threads) == first, "{threads} threads");
    }
    all.reverse();
    assert!(train(&all, 2) == first, "reversed");
}

#[test]
fn every_text_comes_back() {
    let tokenizer = small();
    assert_eq!(tokenizer.vocab_size(), 1000);
    let texts = texts("zh.jsonl.gz");
    let batch = tokenizer.encode_batch(&texts).unwrap();
    for (text, ids) in texts.iter().zip(&batch) {
        assert_eq!(&tokenizer.decode(ids).unwrap(), text);
        assert_eq!(&tokenizer.encode(text).unwrap(), ids);
    }
}

#[test]
fn saved_and_loaded_it_is_the_same() {
    let tokenizer = small();
    let folder = tempfile::tempdir().unwrap();
    tokenizer.save(folder.path()).unwrap();
    let template = ChatTemplate::default();
    template.save(folder.path()).unwrap();
    let loaded = Tokenizer::load(folder.path()).unwrap();
    assert_eq!(loaded.to_json().unwrap(), tokenizer.to_json().unwrap());
    assert_eq!(loaded.specials(), tokenizer.specials());
    assert_eq!(loaded.pad_id(), Some(1));
    assert_eq!(ChatTemplate::load(folder.path()).unwrap().source(), template.source());
    // Saved once more as a chat model's, the template stays.
    let chat = loaded.with_eos("<|end|>").unwrap();
    chat.save(folder.path()).unwrap();
    let again = Tokenizer::load(folder.path().join("tokenizer.json")).unwrap();
    assert_eq!(again.eos_id(), again.id("<|end|>"));
    assert_eq!(ChatTemplate::load(folder.path()).unwrap().source(), template.source());
    assert!(Tokenizer::load(folder.path().join("none")).unwrap_err().to_string().contains("none"));
}

#[test]
fn streaming_never_shows_half_a_character() {
    let tokenizer = small();
    let text = "A tale 🙂 of 春風，and more — told.";
    let ids = tokenizer.encode(text).unwrap();
    let mut stream = tokenizer.stream();
    let mut out = String::new();
    for id in ids {
        let piece = stream.push(id).unwrap();
        assert!(!piece.contains('\u{FFFD}'));
        out += &piece;
    }
    assert_eq!(out + &stream.finish().unwrap(), text);
}

#[test]
fn vocabulary_too_small_is_refused() {
    let error = Tokenizer::train_byte_bpe(["a b"], 100, &SpecialTokens::default()).unwrap_err();
    assert!(error.to_string().contains("at least 262"), "{error}");
    let empty: [&str; 0] = [];
    assert!(Tokenizer::train_byte_bpe(empty, 300, &SpecialTokens::default()).is_err());
}

fn assistant_text(tokenizer: &Tokenizer, tokens: &[(u32, bool)]) -> String {
    let ids: Vec<u32> = tokens.iter().filter(|t| t.1).map(|t| t.0).collect();
    tokenizer.decode_with_specials(&ids).unwrap()
}

#[test]
fn masks_cover_the_assistants_turns() {
    let tokenizer = small();
    let chat = [
        Message::system("Be kind."),
        Message::user("Hello"),
        Message::assistant("Hi there"),
        Message::user("春?"),
        Message::assistant("花。"),
    ];
    let template = ChatTemplate::default();
    let tokens = encode_chat(&tokenizer, &template, &chat).unwrap();
    assert_eq!(assistant_text(&tokenizer, &tokens), "Hi there<|end|>花。<|end|>");
    let ids: Vec<u32> = tokens.iter().map(|t| t.0).collect();
    let text = template.render(&chat, false).unwrap();
    assert_eq!(ids, tokenizer.encode_with_specials(&text).unwrap());
    // What generation starts from is a prefix of what was trained on.
    let prompt = encode_prompt(&tokenizer, &template, &chat[..4]).unwrap();
    assert_eq!(prompt, ids[..prompt.len()]);
    assert!(tokens[prompt.len()].1 && !tokens[prompt.len() - 1].1);

    // ChatML writes a line end behind the closing token: outside of the mask. And generation marks.
    let chatml = "{% for m in messages %}<|user|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}\
        {% if add_generation_prompt %}<|user|>assistant\n{% endif %}";
    let marked = "{% for m in messages %}<|user|>{{ m.role }}\n{% if m.role == 'assistant' %}\
        {% generation %}{{ m.content }}<|end|>{% endgeneration %}{% else %}{{ m.content }}<|end|>{% endif %}\
        {{ '\\n' }}{% endfor %}";
    let mut both = Vec::new();
    for source in [chatml, marked] {
        let template = ChatTemplate::compile(source, Default::default()).unwrap();
        let tokens = encode_chat(&tokenizer, &template, &chat).unwrap();
        assert_eq!(assistant_text(&tokenizer, &tokens), "Hi there<|end|>花。<|end|>");
        both.push(tokens);
    }
    assert_eq!(both[0], both[1]);
}

#[test]
fn a_template_that_rewrites_history_is_refused() {
    let source = "{% for m in messages %}{{ m.content if loop.last else 'x' }}<|end|>{% endfor %}";
    let template = ChatTemplate::compile(source, Default::default()).unwrap();
    let chat = [Message::assistant("one"), Message::assistant("two")];
    let error = encode_chat(&small(), &template, &chat).unwrap_err().to_string();
    assert!(error.contains("message 1") && error.contains("generation"), "{error}");
}

/// Pieces that try to become special tokens.
fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("<|end|>".to_string()),
        Just("<|assistant|>".to_string()),
        Just("<|end|".to_string()),
        Just("<".to_string()),
        Just("|>".to_string()),
        Just(">".to_string()),
        Just("<|<|end|>end|>".to_string()),
        Just("\u{F0000}".to_string()),
        "[ a-z春。\n]{0,6}",
    ];
    prop::collection::vec(piece, 0..6).prop_map(|p| p.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn content_never_becomes_a_special_token(contents in prop::collection::vec(nasty(), 1..5)) {
        static TOKENIZER: std::sync::LazyLock<Tokenizer> = std::sync::LazyLock::new(small);
        let tokenizer = &*TOKENIZER;
        let chat: Vec<Message> = contents.iter().enumerate()
            .map(|(i, c)| if i % 2 == 0 { Message::user(c.as_str()) } else { Message::assistant(c.as_str()) })
            .collect();
        let template = ChatTemplate::default();
        let tokens = encode_chat(tokenizer, &template, &chat).unwrap();
        let specials = tokens.iter().filter(|t| t.0 < 6).count();
        prop_assert_eq!(specials, 2 * chat.len());
        let ids: Vec<u32> = tokens.iter().map(|t| t.0).collect();
        let text = tokenizer.decode_with_specials(&ids).unwrap();
        prop_assert_eq!(text, template.render(&chat, false).unwrap());
        let want: String = contents.iter().skip(1).step_by(2).map(|c| format!("{c}<|end|>")).collect();
        prop_assert_eq!(assistant_text(tokenizer, &tokens), want);
    }
}
