//! The vocabulary of a file as tokenizer.json, and back.
//!
//! | `tokenizer.ggml.model` | is | tokenizer.json |
//! |---|---|---|
//! | gpt2 | byte-level BPE with merges | BPE with the pre-tokeniser that `tokenizer.ggml.pre` names |
//! | llama | SentencePiece's BPE: the neighbours with the best score of their union merge | BPE with byte fallback; merges from the scores |

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use athanor_store::{Error, Result, read_json, read_text, write_json};
use serde_json::{Map, Value as Json, json};

use crate::{
    file::{File, Value},
    write::Entries,
};

/// llama.cpp's kinds of tokens, by its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Normal = 1,
    Unknown,
    Control,
    User,
    Unused,
    Byte,
}

/// SentencePiece's space.
const SPACE: char = '▁';

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// `tokenizer.ggml.pre` and the pattern that it stands for; the first of a pattern is written.
const PATTERNS: [(&str, &str); 6] = [
    ("gpt-2", GPT2),
    ("qwen2", QWEN2),
    ("deepseek-r1-qwen", QWEN2),
    ("llama-bpe", LLAMA3),
    ("llama3", LLAMA3),
    ("llama-v3", LLAMA3),
];

/// A file's vocabulary.
struct Vocabulary<'a> {
    tokens: &'a [String],
    scores: &'a [f32],
    kinds: &'a [i32],
}

impl Vocabulary<'_> {
    fn is(&self, id: usize, kinds: &[Kind]) -> bool {
        let number = self.kinds.get(id).copied().unwrap_or(Kind::Normal as i32);
        kinds.iter().any(|&kind| kind as i32 == number)
    }
}

/// Writes tokenizer.json and tokenizer_config.json, if the file has a vocabulary; what was guessed.
pub(crate) fn to_folder(file: &File, folder: &Path) -> Result<Vec<String>> {
    let Some(Value::Texts(tokens)) = file.get("tokenizer.ggml.tokens") else {
        return Ok(vec!["the file has no vocabulary: the model cannot read or write text".into()]);
    };
    let scores: &[f32] = match file.get("tokenizer.ggml.scores") {
        Some(Value::Floats(all)) => all,
        _ => &[],
    };
    let kinds: &[i32] = match file.get("tokenizer.ggml.token_type") {
        Some(Value::Signeds(all)) => all,
        _ => &[],
    };
    let vocabulary = Vocabulary { tokens, scores, kinds };
    let mut warnings = Vec::new();
    let id = |name: &str| {
        let id = file.size(&format!("tokenizer.ggml.{name}_token_id"), None).ok()?;
        Some((id, tokens.get(id)?.as_str()))
    };
    let mut json = match file.text("tokenizer.ggml.model") {
        Some("gpt2") => byte_level(file, &vocabulary, &mut warnings)?,
        Some("llama") => pieces(file, &vocabulary, id("unknown"))?,
        other => {
            return Err(Error::input(format!("tokeniser {:?} is not read", other.unwrap_or("")))
                .hint("known: gpt2 (byte-level BPE) and llama (SentencePiece's BPE)"));
        }
    };
    let bos = id("bos").filter(|_| file.flag("tokenizer.ggml.add_bos_token") == Some(true));
    if let Some((number, text)) = bos {
        json["post_processor"] = json!({
            "type": "TemplateProcessing",
            "single": [special(text, 0), sequence("A", 0)],
            "pair": [special(text, 0), sequence("A", 0), special(text, 1), sequence("B", 1)],
            "special_tokens": { text: { "id": text, "ids": [number], "tokens": [text] } },
        });
    }
    write_json(&folder.join("tokenizer.json"), &json)?;
    let mut config = Map::new();
    for (key, name) in [
        ("bos_token", "bos"),
        ("eos_token", "eos"),
        ("pad_token", "padding"),
        ("unk_token", "unknown"),
    ] {
        if let Some((_, text)) = id(name) {
            config.insert(key.into(), text.into());
        }
    }
    config.insert("add_bos_token".into(), bos.is_some().into());
    config.insert("tokenizer_class".into(), "PreTrainedTokenizerFast".into());
    config.insert("clean_up_tokenization_spaces".into(), false.into());
    if let Some(template) = file.text("tokenizer.chat_template") {
        config.insert("chat_template".into(), template.into());
    }
    write_json(&folder.join("tokenizer_config.json"), &config)?;
    Ok(warnings)
}

fn special(text: &str, side: u32) -> Json {
    json!({ "SpecialToken": { "id": text, "type_id": side } })
}

fn sequence(name: &str, side: u32) -> Json {
    json!({ "Sequence": { "id": name, "type_id": side } })
}

/// The added tokens: control tokens are special, those of the user are found in texts.
fn added(vocabulary: &Vocabulary<'_>) -> Vec<Json> {
    let one = |(id, content): (usize, &String)| {
        let control = vocabulary.is(id, &[Kind::Control, Kind::Unknown]);
        // What is written with SentencePiece's space is found after spaces became that.
        let normalized = content.contains(SPACE);
        (control || vocabulary.is(id, &[Kind::User])).then(|| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false,
                   "rstrip": false, "normalized": normalized && !control, "special": control})
        })
    };
    vocabulary.tokens.iter().enumerate().filter_map(one).collect()
}

fn vocab(tokens: &[String]) -> Result<Map<String, Json>> {
    let mut map = Map::new();
    for (id, token) in tokens.iter().enumerate() {
        // A padded vocabulary may repeat a token; the first counts.
        map.entry(token.as_str()).or_insert_with(|| json!(id));
    }
    Ok(map)
}

fn byte_level(
    file: &File,
    vocabulary: &Vocabulary<'_>,
    warnings: &mut Vec<String>,
) -> Result<Json> {
    let Some(Value::Texts(merges)) = file.get("tokenizer.ggml.merges") else {
        return Err(Error::input("`tokenizer.ggml.merges`: a list of texts was expected"));
    };
    // Neither side of a merge begins with a space; a space may stand in one all the same.
    let split = |m: &String| {
        let at = m.char_indices().skip(1).find(|(_, c)| *c == ' ').map(|(at, _)| at)?;
        Some(json!([&m[..at], &m[at + 1..]]))
    };
    let merges: Vec<Json> = merges
        .iter()
        .map(|m| split(m).ok_or_else(|| Error::input(format!("`tokenizer.ggml.merges`: {m:?}"))))
        .collect::<Result<_>>()?;
    let pre = file.text("tokenizer.ggml.pre").unwrap_or("default");
    let known = PATTERNS.iter().find(|(name, _)| *name == pre);
    if known.is_none() && pre != "default" {
        let names: Vec<&str> = PATTERNS.iter().map(|(name, _)| *name).collect();
        return Err(Error::input(format!("`tokenizer.ggml.pre` is {pre:?}, which is not read"))
            .hint(format!("known: {}", names.join(", "))));
    }
    if known.is_none() {
        warnings.push("the file does not name its pre-tokeniser: GPT-2's was taken".into());
    }
    let pattern = known.map_or(GPT2, |(_, p)| p);
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false,
                       "use_regex": false});
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added(vocabulary),
        "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false},
            bytes.clone(),
        ]},
        "post_processor": bytes.clone(),
        "decoder": bytes,
        "model": {"type": "BPE", "dropout": null, "unk_token": null,
                  "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
                  "byte_fallback": false, "ignore_merges": pattern == LLAMA3,
                  "vocab": vocab(vocabulary.tokens)?, "merges": merges},
    }))
}

/// SentencePiece's BPE: each way to cut a piece in two that are pieces is a merge; the best scores
/// come first, as in transformers' `generate_merges`.
fn pieces(
    file: &File,
    vocabulary: &Vocabulary<'_>,
    unknown: Option<(usize, &str)>,
) -> Result<Json> {
    let Vocabulary { tokens, scores, .. } = *vocabulary;
    if scores.len() != tokens.len() {
        return Err(Error::input("`tokenizer.ggml.scores` must have a score for each token"));
    }
    let mut places: HashMap<&str, u32> = HashMap::with_capacity(tokens.len());
    for (id, token) in tokens.iter().enumerate() {
        if !vocabulary.is(id, &[Kind::Control, Kind::Unknown, Kind::Byte, Kind::Unused]) {
            places.entry(token).or_insert(id as u32);
        }
    }
    let mut order: Vec<u32> = places.values().copied().collect();
    order.sort_unstable_by(|&a, &b| {
        scores[b as usize].total_cmp(&scores[a as usize]).then(a.cmp(&b))
    });
    let mut merges = Vec::new();
    // A crafted vocabulary, each token the next one's beginning, has far more merges than bytes.
    let mut room = 4 * file.length() + (1 << 20);
    for id in order {
        let token = tokens[id as usize].as_str();
        let mut ways: Vec<(u32, u32, usize)> = token
            .char_indices()
            .skip(1)
            .filter_map(|(at, _)| {
                Some((*places.get(&token[..at])?, *places.get(&token[at..])?, at))
            })
            .collect();
        ways.sort_unstable();
        let taken = (ways.len() * token.len()) as u64;
        room = room.checked_sub(taken).ok_or_else(|| {
            Error::input("the vocabulary can be cut into pieces in too many ways")
                .hint("the file is damaged, or was made to fill memory")
        })?;
        merges.extend(ways.into_iter().map(|(_, _, at)| json!([&token[..at], &token[at..]])));
    }
    let prefix = file.flag("tokenizer.ggml.add_space_prefix").unwrap_or(true);
    let replace =
        json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE.to_string()});
    let mut normalizers = vec![replace];
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": SPACE.to_string()}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if prefix {
        normalizers.insert(0, json!({"type": "Prepend", "prepend": SPACE.to_string()}));
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added(vocabulary),
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": null,
        "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {"type": "BPE", "dropout": null, "unk_token": unknown.map(|u| u.1),
                  "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": true,
                  "byte_fallback": true, "ignore_merges": false,
                  "vocab": vocab(tokens)?, "merges": merges},
    }))
}

/// The metadata of a folder's tokenizer.json for a model of `size` tokens.
///
/// # Errors
/// Input, naming the file, for a tokeniser that llama.cpp has no like of.
pub(crate) fn to_metadata(folder: &Path, size: usize, out: &mut Entries) -> Result<()> {
    let path = folder.join("tokenizer.json");
    let json: Json = read_json(&path)?;
    let refuse = |what: String| {
        Error::input(what).at(path.display()).hint(
            "written as GGUF are BPE over bytes (GPT-2's, Qwen2's and Llama 3's pattern) and \
             SentencePiece's BPE with byte fallback",
        )
    };
    let model = &json["model"];
    if model["type"] != "BPE" {
        return Err(refuse(format!("a tokeniser of type {}", model["type"])));
    }
    let mut tokens: Vec<Option<String>> = vec![None; size];
    let mut kinds = vec![Kind::Unused; size];
    let vocab = model["vocab"].as_object().into_iter().flatten();
    let added = json["added_tokens"].as_array().into_iter().flatten();
    let added = added.filter_map(|t| {
        let kind = if t["special"] == true { Kind::Control } else { Kind::User };
        Some((t["content"].as_str()?, t["id"].as_u64()?, kind))
    });
    let plain = vocab.filter_map(|(text, id)| Some((text.as_str(), id.as_u64()?, Kind::Normal)));
    for (text, id, kind) in plain.chain(added) {
        let place = usize::try_from(id).ok().filter(|&i| i < size);
        let place = place.ok_or_else(|| {
            refuse(format!("token {text:?} has id {id}, the model only {size} tokens"))
        })?;
        (tokens[place], kinds[place]) = (Some(text.into()), kind);
    }
    let merges: Vec<(String, String)> = model["merges"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|m| match m {
            Json::String(line) => line.split_once(' ').map(|(a, b)| (a.into(), b.into())),
            pair => Some((pair[0].as_str()?.into(), pair[1].as_str()?.into())),
        })
        .collect();
    let texts: Vec<String> = tokens
        .iter()
        .enumerate()
        .map(|(id, t)| t.clone().unwrap_or_else(|| format!("[PAD{id}]")))
        .collect();
    if model["byte_fallback"] == true {
        // A union scores better the earlier it is merged.
        let mut rank: HashMap<String, usize> = HashMap::new();
        for (i, (a, b)) in merges.iter().enumerate() {
            rank.entry(format!("{a}{b}")).or_insert(i);
        }
        let score = |t: &String| rank.get(t).map_or(-1e9, |&r| -(r as f32) - 1.0);
        let scores: Vec<f32> = texts.iter().map(score).collect();
        let unknown = model["unk_token"].as_str();
        for (text, kind) in texts.iter().zip(&mut kinds) {
            let byte = text.len() == 6 && text.starts_with("<0x") && text.ends_with('>');
            *kind = match *kind {
                Kind::Normal if byte => Kind::Byte,
                _ if Some(text.as_str()) == unknown => Kind::Unknown,
                kind => kind,
            };
        }
        out.text("tokenizer.ggml.model", "llama");
        out.text("tokenizer.ggml.pre", "default");
        out.texts("tokenizer.ggml.tokens", &texts);
        out.floats("tokenizer.ggml.scores", &scores);
        out.flag(
            "tokenizer.ggml.add_space_prefix",
            json["normalizer"].to_string().contains("Prepend"),
        );
        if let Some(id) = unknown.and_then(|u| texts.iter().position(|t| t == u)) {
            out.unsigned("tokenizer.ggml.unknown_token_id", id as u32);
        }
    } else {
        let found = pattern(&json["pre_tokenizer"]).ok_or_else(|| {
            refuse(format!("pre-tokeniser {} has no name in llama.cpp", json["pre_tokenizer"]))
        })?;
        let lines: Vec<String> = merges.iter().map(|(a, b)| format!("{a} {b}")).collect();
        out.text("tokenizer.ggml.model", "gpt2");
        out.text("tokenizer.ggml.pre", found);
        out.texts("tokenizer.ggml.tokens", &texts);
        out.texts("tokenizer.ggml.merges", &lines);
    }
    let numbers: Vec<i32> = kinds.into_iter().map(|kind| kind as i32).collect();
    out.signeds("tokenizer.ggml.token_type", &numbers);
    settings(folder, &json, &texts, out)
}

/// llama.cpp's name of a pre-tokeniser.
fn pattern(pre: &Json) -> Option<&'static str> {
    let parts = match &pre["pretokenizers"] {
        Json::Array(parts) => parts.iter().collect(),
        _ => vec![pre],
    };
    let split: Vec<&str> = parts.iter().filter_map(|p| p["pattern"]["Regex"].as_str()).collect();
    let bytes = parts.iter().find(|p| p["type"] == "ByteLevel")?;
    if bytes["add_prefix_space"] == true {
        return None;
    }
    match (split.as_slice(), bytes["use_regex"] != false) {
        ([], true) => Some("gpt-2"),
        ([one], false) => PATTERNS.iter().find(|(_, p)| p == one).map(|(name, _)| *name),
        _ => None,
    }
}

/// Special tokens, whether a text begins with one, and the chat template.
fn settings(folder: &Path, json: &Json, texts: &[String], out: &mut Entries) -> Result<()> {
    let path = folder.join("tokenizer_config.json");
    let config: Json = if path.is_file() { read_json(&path)? } else { Json::Null };
    let token = |key: &str| {
        let value = &config[key];
        let text = value.as_str().or_else(|| value["content"].as_str())?;
        texts.iter().position(|t| t == text)
    };
    for (key, name) in [("bos_token", "bos"), ("eos_token", "eos"), ("pad_token", "padding")] {
        if let Some(id) = token(key) {
            out.unsigned(&format!("tokenizer.ggml.{name}_token_id"), id as u32);
        }
    }
    let post = json["post_processor"].to_string();
    let names: HashSet<&str> = config["bos_token"].as_str().into_iter().collect();
    let adds =
        names.iter().any(|bos| post.contains(&format!("\"SpecialToken\":{{\"id\":{:?}", bos)));
    let adds = config["add_bos_token"].as_bool().unwrap_or(adds);
    out.flag("tokenizer.ggml.add_bos_token", adds);
    let file = folder.join("chat_template.jinja");
    let template = if file.is_file() { Some(read_text(&file)?) } else { None };
    let template = template.or_else(|| config["chat_template"].as_str().map(String::from));
    if let Some(template) = template {
        out.text("tokenizer.chat_template", &template);
    }
    Ok(())
}
