//! Crafted tokenizer.json files: each is refused with a reason, or stays within eight times its size and
//! 16 MiB, and within its time. Files named in ATHANOR_TOKENIZERS (paths joined by colons) are measured too.

use std::{fmt::Write, fs, path::Path};

use athanor_text::{SpecialTokens, Tokenizer};
use peak_alloc::PeakAlloc;
use serde_json::{Value, json};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// As docs/contracts.md has it.
const FIXED: usize = 16 << 20;

/// Loads a file's text and uses it; what it said, and the memory taken.
fn load(dir: &Path, text: &str) -> (Result<Tokenizer, String>, usize) {
    fs::write(dir.join("tokenizer.json"), text).unwrap();
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let loaded = Tokenizer::load(dir).map_err(|e| e.to_string());
    if let Ok(t) = &loaded {
        let ids = t.encode("the cat sat\n 人之初 <|end|> 12 aaaaaaaaaa").unwrap_or_default();
        let _ = t.decode(&ids);
        let _ = t.encode_input_with_specials("a", Some("b"));
    }
    let taken = MEMORY.peak_usage().saturating_sub(before);
    if let Ok(t) = &loaded {
        let written = tempfile::tempdir().unwrap();
        t.save(written.path()).unwrap();
    }
    (loaded, taken)
}

fn check(name: &str, text: &str, refused: Option<&str>) {
    let dir = tempfile::tempdir().unwrap();
    let (loaded, taken) = load(dir.path(), text);
    let times = taken as f64 / text.len() as f64;
    let said = loaded.as_ref().err().map_or("read", |e| e.split_once(": ").map_or("", |e| e.1));
    let said: String = said.chars().take(110).collect();
    println!("{name}: {} bytes, {taken} taken, {times:.1} times: {said}", text.len());
    assert!(taken <= 8 * text.len() + FIXED, "{name}: {taken} bytes for {}", text.len());
    match (refused, loaded) {
        (None, Ok(_)) => {}
        (Some(why), Err(e)) => assert!(e.contains(why), "{name}: {e}"),
        (_, loaded) => panic!("{name}: {:?}", loaded.map(|_| "read")),
    }
}

/// A small tokeniser with one key set.
fn with(key: &str, value: Value) -> String {
    let mut base = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "unk_token": "a", "vocab": { "a": 0, "b": 1 } },
    });
    base[key] = value;
    base.to_string()
}

fn model(kind: &str, rest: &str) -> String {
    with("model", json!(null)).replace(
        "\"model\":null",
        &format!(
            "\"model\":{{\"type\":\"{kind}\",\"unk_token\":\"a\",\"continuing_subword_prefix\":\"##\",\
             \"max_input_chars_per_word\":100,{rest}}}"
        ),
    )
}

fn split(pattern: &str) -> Value {
    json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated",
            "invert": false })
}

/// The n-th of short and different tokens.
fn short(mut n: usize) -> String {
    let mut out = String::new();
    loop {
        out.push((b'#' + (n % 56) as u8) as char);
        n /= 56;
        if n == 0 {
            return out;
        }
    }
}

fn vocabularies() {
    // Ids all zero, so that an entry is as short as can be; and true ones.
    let mut zeros = String::from("\"a\":0");
    let mut ids = zeros.clone();
    for n in 0..600_000 {
        write!(zeros, ",\"{}\":0", short(n)).unwrap();
        if n < 400_000 {
            write!(ids, ",\"{}\":{n}", short(n)).unwrap();
        }
    }
    let zeros = zeros.replace('\\', "~");
    check(
        "short tokens",
        &model("WordLevel", &format!("\"vocab\":{{{zeros}}}")),
        Some("would take"),
    );
    check("ids", &model("WordPiece", &format!("\"vocab\":{{{}}}", ids.replace('\\', "~"))), None);
    check("one id", &model("WordLevel", r#""vocab":{"a":4294967295}"#), Some("ids up to"));
    check("an id", &model("WordLevel", r#""vocab":{"a":-1}"#), Some("bad vocabulary"));
    let long = "a".repeat(1 << 20);
    check(
        "a long token",
        &model("WordLevel", &format!("\"vocab\":{{\"{long}\":0}}")),
        Some("4096"),
    );
    check("a long piece", &model("Unigram", &format!("\"vocab\":[[\"{long}\",0]]")), Some("1024"));
    let piece = |n: usize| format!("[\"{:x}{}\",-1]", n, "b".repeat(1000));
    let pieces: Vec<String> = (0..3000).map(piece).collect();
    check("long pieces", &model("Unigram", &format!("\"vocab\":[{}]", pieces.join(","))), None);
    let pieces: Vec<String> =
        (0..300_000).map(|n| format!("[\"{}\",-1]", short(n).replace('\\', "~"))).collect();
    check("short pieces", &model("Unigram", &format!("\"vocab\":[{}]", pieces.join(","))), None);
    check("a far unk_id", &model("Unigram", r#""unk_id":9,"vocab":[["a",0]]"#), Some("unk_id"));
    let merges = vec!["[\"a\",\"b\"]"; 1_000_000].join(",");
    let bpe = |merges: &str| {
        model("BPE", &format!(r#""vocab":{{"a":0,"%%b":1,"ab":2}},"merges":[{merges}]"#))
            .replace("%%", "##")
    };
    check("merges in the millions", &bpe(&merges.replace("\"b\"", "\"%%b\"")), Some("take"));
    check("no such token", &bpe(r#"["a","c"]"#), Some("no token"));
    check("less than the prefix", &bpe("[\"%%b\",\"a\"]"), Some("no token"));
    check("three of them", &bpe(r#""a %%b c""#), Some("no two tokens"));
    check("depth", &with("model", json!(null)).replace("null", &"[".repeat(100_000)), Some(""));
}

fn parts() {
    for (pattern, refused) in [
        ("a{1000}{1000}", Some("would take")),
        ("(?=a{900})(?=b{900})(?=c{900})(?=[^d]{900})x", None),
        (r"\p{L}{100}{5}(?!x)", Some("would take")),
        (r"((\w{10}){10}){10}", Some("would take")),
        (r"[\w-]{200}(?=a)", Some("bad regex")),
        (
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
            None,
        ),
        ("(a*)*(a*)*(a*)*b(?=c)", None),
        ("(?=(a+)+b)", None),
        ("(", Some("bad regex")),
        ("", None),
    ] {
        check(pattern, &with("pre_tokenizer", split(pattern)), refused);
    }
    let deep = "(".repeat(2000) + &")".repeat(2000);
    check("brackets", &with("pre_tokenizer", split(&deep)), Some("bad regex"));
    let sequence = |key: &str, all: Vec<Value>| json!({ "type": "Sequence", key: all });
    let digits = json!({ "type": "Digits", "individual_digits": true });
    check(
        "10,000 normalisers",
        &with("normalizer", sequence("normalizers", vec![json!({ "type": "Lowercase" }); 10_000])),
        Some("at most"),
    );
    check(
        "500 pre-tokenisers",
        &with("pre_tokenizer", sequence("pretokenizers", vec![digits; 500])),
        Some("parts"),
    );
    let regexes = vec![split(r"\p{L}+(?!\w)"); 17];
    check("17 regexes", &with("pre_tokenizer", sequence("pretokenizers", regexes)), Some("16 at"));
    let regexes = vec![split(r"\p{L}+(?!\w)|\p{N}{1,3}|[^\s\p{L}]+"); 16];
    check("16 regexes", &with("pre_tokenizer", sequence("pretokenizers", regexes)), None);
    let mut nested = json!({ "type": "Lowercase" });
    for _ in 0..100 {
        nested = sequence("normalizers", vec![nested]);
    }
    check("depth of sequences", &with("normalizer", nested), Some(""));
    let replace = json!({ "type": "Replace", "pattern": { "String": "" }, "content": "ab" });
    check(
        "doubling",
        &with("normalizer", sequence("normalizers", vec![replace; 100])),
        Some("16 at"),
    );
    let replace =
        json!({ "type": "Replace", "pattern": { "String": "a" }, "content": "a".repeat(1000) });
    let grows = with("normalizer", sequence("normalizers", vec![replace; 40]));
    let dir = tempfile::tempdir().unwrap();
    let (loaded, taken) = load(dir.path(), &grows);
    let error = loaded.unwrap().encode("a cat").unwrap_err().to_string();
    assert!(error.contains("would make"), "{error}");
    assert!(taken <= 8 * grows.len() + FIXED, "{taken}");
    check("no table", &with("normalizer", precompiled("AAAA")), Some("charsmap"));
    check("a table", &with("normalizer", precompiled(&"/".repeat(400_000))), Some("charsmap"));
    check("an expected panic", &with("decoder", json!(7)), Some("object"));
    // Found by the fuzzer, as was BPEDecoder of no tokens.
    let none = json!({ "type": "FixedLength", "length": 0 });
    check("no length", &with("pre_tokenizer", none), Some("length 0"));
    let untyped = json!({ "content": "a", "start": 0, "stop": 9 });
    check("a Strip without its type", &with("decoder", untyped), Some("`type`"));
    let unknown = json!({ "type": "Strips", "content": "a", "start": 0, "stop": 9 });
    check("a Strip of another name", &with("decoder", unknown), Some("not known"));
    let suffix = json!({ "type": "BPEDecoder", "suffix": "</w>" });
    check("no tokens", &with("decoder", suffix), None);
    let strip =
        json!({ "type": "Strip", "content": "a", "start": 0, "stop": 1_000_000_000_000_u64 });
    check("strip", &with("decoder", strip), None);
    let template = |single: Value| {
        json!({ "type": "TemplateProcessing", "single": single, "pair": [],
                "special_tokens": { "a": { "id": "a", "ids": [0], "tokens": ["a"] } } })
    };
    let special = |id: &str| json!({ "SpecialToken": { "id": id, "type_id": 0 } });
    let text = |id: &str| json!({ "Sequence": { "id": id, "type_id": 0 } });
    let post = |value: Value| with("post_processor", value);
    check("template", &post(template(json!([special("a"), text("A")]))), None);
    check("a token that is not there", &post(template(json!([special("c")]))), Some("lacks"));
    check("a second text", &post(template(json!([text("B")]))), Some("second text"));
    check("many texts", &post(template(json!(vec![text("A"); 10_000]))), Some("at most"));
    let twice = json!({ "type": "Sequence", "processors": vec![template(json!([text("A")])); 2] });
    check("twice", &post(twice), Some("that add tokens"));
}

fn precompiled(table: &str) -> Value {
    json!({ "type": "Precompiled", "precompiled_charsmap": table })
}

fn added() {
    let token = |n: usize| {
        json!({ "id": n, "content": format!("<{n}>"), "single_word": false, "lstrip": n.is_multiple_of(3),
                "rstrip": n.is_multiple_of(5), "normalized": n.is_multiple_of(2), "special": n.is_multiple_of(7) })
    };
    let many: Vec<Value> = (0..60_000).map(token).collect();
    check("added tokens", &with("added_tokens", json!(many)), None);
    let mut one = token(1);
    one["content"] = "x".repeat(2000).into();
    check("a long one", &with("added_tokens", json!([one.clone()])), Some("1024"));
    one["content"] = "x".repeat(1000).into();
    let long: Vec<Value> = (0..2000)
        .map(|n| {
            let mut one = one.clone();
            one["content"] = format!("{n}{}", "x".repeat(1000)).into();
            one
        })
        .collect();
    check("long ones", &with("added_tokens", json!(long)), Some("would take"));
}

/// What real tokenisers take; and a text that a pattern cannot cope with is an error, in bounded time.
fn real() {
    let texts = ["the cat sat on the mat", "人之初，性本善。", "Hello, world!"];
    let tokenizer = Tokenizer::train_byte_bpe(texts, 300, &SpecialTokens::default()).unwrap();
    check("our own", &tokenizer.to_json().unwrap(), None);
    for path in std::env::var("ATHANOR_TOKENIZERS").iter().flat_map(|p| p.split(':')) {
        check(path, &fs::read_to_string(path).unwrap(), None);
    }
}

/// One test: the peak of memory is that of the whole process.
#[test]
fn crafted_files() {
    real();
    vocabularies();
    parts();
    added();
}
