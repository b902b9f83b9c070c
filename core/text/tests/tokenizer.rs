//! Tokenisers and chats on the demo's own data.

mod common;

use std::fs;

use athanor_text::{
    ALGORITHMS, Algorithm, ChatTemplate, Message, Segmenter, SpecialTokens, Tokenizer, Training,
    encode_chat, encode_continuation, encode_prompt,
};
use common::texts;
use proptest::prelude::*;

fn small() -> Tokenizer {
    let mut all = texts("zh.jsonl.gz");
    all.extend(texts("human_ratings.jsonl.gz").into_iter().take(2000));
    Tokenizer::train_byte_bpe(&all, 1000, &SpecialTokens::default()).unwrap()
}

#[test]
fn training_depends_on_the_texts_alone() {
    let mut all = texts("zh.jsonl.gz");
    all.extend(texts("human_ratings.jsonl.gz").into_iter().take(3000));
    let train = |algorithm: &Algorithm, texts: &[String], threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| trained(algorithm, texts, 1500).to_json().unwrap())
    };
    let mut reversed = all.clone();
    reversed.reverse();
    for algorithm in &ALGORITHMS {
        let first = train(algorithm, &all, 1);
        for threads in [1, 2, 5] {
            assert!(train(algorithm, &all, threads) == first, "{}: {threads}", algorithm.name);
        }
        assert!(train(algorithm, &reversed, 2) == first, "{}: reversed", algorithm.name);
    }
}

fn trained(algorithm: &Algorithm, texts: &[String], vocab_size: usize) -> Tokenizer {
    let specials = algorithm.specials("").unwrap();
    let training = Training { vocab_size, lowercase: false, specials };
    algorithm.train(&mut texts.iter().cloned(), &training).unwrap()
}

/// Every kind keeps its size and its special tokens, and its text where it can.
#[test]
fn kinds_of_tokenisers() {
    let mut all = texts("zh.jsonl.gz");
    all.extend(texts("human_ratings.jsonl.gz").into_iter().take(2000));
    let text = "the film is good [SEP] <sep> </s>, 春風 <|endoftext|>";
    for algorithm in &ALGORITHMS {
        let tokenizer = trained(algorithm, &all, 5000);
        assert_eq!(tokenizer.vocab_size(), 5000, "{}", algorithm.name);
        let folder = tempfile::tempdir().unwrap();
        tokenizer.save(folder.path()).unwrap();
        let loaded = Tokenizer::load(folder.path()).unwrap();
        assert_eq!(loaded.to_json().unwrap(), tokenizer.to_json().unwrap());
        assert_eq!(loaded.specials(), tokenizer.specials());
        assert_eq!(loaded.marks(), tokenizer.marks());
        // What a text says is no special token, unless it is asked for.
        let specials = tokenizer.specials().tokens.len() as u32;
        let ids = tokenizer.encode(text).unwrap();
        assert_eq!(loaded.encode(text).unwrap(), ids);
        let unknown = tokenizer.specials().unk.as_deref().and_then(|t| tokenizer.id(t));
        let special =
            |ids: &[u32]| ids.iter().filter(|&&i| i < specials && Some(i) != unknown).count();
        assert_eq!(special(&ids), 0, "{}", algorithm.name);
        assert!(special(&tokenizer.encode_with_specials(text).unwrap()) > 0, "{}", algorithm.name);
        let Some(cls) = tokenizer.cls_id() else { continue };
        let pair = tokenizer.encode_input("the film", Some("春風")).unwrap();
        assert_eq!(pair.ids.iter().filter(|&&i| i == cls).count(), 1);
        let back = tokenizer.decode(&tokenizer.encode("the film is good").unwrap()).unwrap();
        assert_eq!(back, "the film is good");
        // Few characters are outside of the alphabet.
        let all_ids = tokenizer.encode_batch(&all).unwrap().concat();
        let unknown = all_ids.iter().filter(|&&i| Some(i) == unknown).count();
        assert!(unknown * 500 < all_ids.len(), "{}: {unknown} unknown", algorithm.name);
    }
}

/// Words of two characters and more that a reader of Chinese sees in these reviews.
#[test]
fn chinese_words_are_found_without_a_dictionary() {
    let reviews: Vec<String> = texts("zh.jsonl.gz").split_off(300);
    let mut counts = std::collections::HashMap::<Box<str>, u64>::new();
    for row in
        reviews.iter().flat_map(|t| t.split(|c: char| !('\u{4E00}'..='\u{9FFF}').contains(&c)))
    {
        if !row.is_empty() {
            *counts.entry(row.into()).or_default() += 1;
        }
    }
    let mut rows: Vec<_> = counts.into_iter().collect();
    rows.sort();
    let segmenter = Segmenter::train(rows, 4000);
    let cut = |text: &str| {
        let chars: Vec<char> = text.chars().collect();
        let mut at = 0;
        let mut words = Vec::new();
        for n in segmenter.cut(&chars) {
            words.push(chars[at..at + n].iter().collect::<String>());
            at += n;
        }
        words.join(" ")
    };
    assert_eq!(cut("作者没有自己"), "作者 没有 自己");
    assert_eq!(cut("龘作者"), "龘 作者");
    assert_eq!(cut(""), "");
}

#[test]
fn berts_vocabulary_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vocab.txt");
    let vocab = "[PAD]\n[unused0]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncat\n##s\n春\n!\n";
    fs::write(&path, vocab).unwrap();
    for from in [folder.path(), &path] {
        let tokenizer = Tokenizer::load(from).unwrap();
        let input = tokenizer.encode_input("The cats春!", None).unwrap();
        assert_eq!(input.ids, [3, 6, 7, 8, 9, 10, 4]);
        assert_eq!(tokenizer.mask_id(), Some(5));
        assert_eq!(tokenizer.encode_with_specials("[MASK] dog").unwrap(), [5, 2]);
    }
    fs::write(folder.path().join("tokenizer_config.json"), r#"{"do_lower_case": false}"#).unwrap();
    assert_eq!(Tokenizer::load(&path).unwrap().encode("The cat").unwrap(), [2, 7]);
    fs::write(&path, "the\n").unwrap();
    assert!(Tokenizer::load(&path).unwrap_err().to_string().contains("no [UNK]"));
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

/// Two questions and two answers behind a system message.
fn talk() -> Vec<Message> {
    vec![
        Message::system("Be kind."),
        Message::user("Hello"),
        Message::assistant("Hi there"),
        Message::user("春? <|end|>"),
        Message::assistant("花。"),
    ]
}

/// ChatML writes a line end behind the closing token: outside of the mask.
const CHATML: &str = "{% for m in messages %}<|user|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|user|>assistant\n{% endif %}";

fn assistant_text(tokenizer: &Tokenizer, tokens: &[(u32, bool)]) -> String {
    let ids: Vec<u32> = tokens.iter().filter(|t| t.1).map(|t| t.0).collect();
    tokenizer.decode_with_specials(&ids).unwrap()
}

#[test]
fn masks_cover_the_assistants_turns() {
    let tokenizer = small();
    let mut chat = talk();
    chat[3] = Message::user("春?");
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

    // ChatML, and generation marks.
    let marked = "{% for m in messages %}<|user|>{{ m.role }}\n{% if m.role == 'assistant' %}\
        {% generation %}{{ m.content }}<|end|>{% endgeneration %}{% else %}{{ m.content }}<|end|>{% endif %}\
        {{ '\\n' }}{% endfor %}";
    let mut both = Vec::new();
    for source in [CHATML, marked] {
        let template = ChatTemplate::compile(source, Default::default()).unwrap();
        let tokens = encode_chat(&tokenizer, &template, &chat).unwrap();
        assert_eq!(assistant_text(&tokenizer, &tokens), "Hi there<|end|>花。<|end|>");
        both.push(tokens);
    }
    assert_eq!(both[0], both[1]);
}

/// Tokens that were read and drawn, and then what is said to them, are the whole conversation's.
#[test]
fn a_conversation_goes_on_from_its_tokens() {
    let tokenizer = small();
    let mut talk = talk();
    talk.push(Message::user("and?"));
    for template in
        [ChatTemplate::default(), ChatTemplate::compile(CHATML, Default::default()).unwrap()]
    {
        let mut tokens = encode_prompt(&tokenizer, &template, &talk[..2]).unwrap();
        for at in [2, 4] {
            // What the policy writes: its words and the token that closes its turn.
            tokens.extend(tokenizer.encode(&talk[at].content).unwrap());
            tokens.push(tokenizer.require(SpecialTokens::END).unwrap());
            let (before, said) = (&talk[..=at], &talk[at + 1..at + 2]);
            tokens.extend(encode_continuation(&tokenizer, &template, before, said).unwrap());
        }
        assert_eq!(tokens, encode_prompt(&tokenizer, &template, &talk).unwrap());
    }
    let rewrites = "{% for m in messages[-2:] %}<|user|>{{ m.content }}<|end|>{% endfor %}";
    let template = ChatTemplate::compile(rewrites, Default::default()).unwrap();
    let error = encode_continuation(&tokenizer, &template, &talk[..3], &talk[3..4]).unwrap_err();
    assert!(error.to_string().contains("a conversation cannot go on"), "{error}");
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
