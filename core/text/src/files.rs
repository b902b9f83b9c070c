//! A tokeniser's files in a model folder.

use std::path::Path;

use athanor_store::{Error, Result, read_json, read_text, write_atomic_with, write_json};
use serde_json::{Map, Value, json};

use crate::{
    SpecialTokens, Tokenizer, json,
    wordpiece::{self, VOCABULARY},
};

pub(crate) const CONFIG: &str = "tokenizer_config.json";
const TOKENIZER: &str = "tokenizer.json";
const SPECIALS: &str = "special_tokens_map.json";

impl Tokenizer {
    /// Loads a model folder, or a tokenizer.json with what is beside it.
    ///
    /// # Errors
    /// Input, if tokenizer.json is missing or is not one.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        load(path.as_ref())
    }

    /// Writes tokenizer.json, tokenizer_config.json and special_tokens_map.json into `folder`,
    /// which must exist: what `AutoTokenizer.from_pretrained(folder)` opens.
    ///
    /// # Errors
    /// Those of writing.
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<()> {
        save(self, folder.as_ref())
    }
}

fn load(path: &Path) -> Result<Tokenizer> {
    let vocabulary =
        |path: &Path| !path.join(TOKENIZER).exists() && path.join(VOCABULARY).is_file();
    let file = match path.is_dir() {
        true if vocabulary(path) => path.join(VOCABULARY),
        true => path.join(TOKENIZER),
        false => path.to_path_buf(),
    };
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut config = optional(&folder.join(CONFIG))?;
    let text = match pair(&file, folder)? {
        Some(json) => json,
        None => read_text(&file).map_err(|e| {
            e.hint("a tokeniser is a folder with tokenizer.json, as `athanor tokenizer` writes it")
        })?,
    };
    let text = match file.file_name().is_some_and(|name| name == VOCABULARY) {
        true => {
            wordpiece::complete(&mut config);
            let json = wordpiece::from_lines(&text, &config).map_err(|e| e.at(file.display()))?;
            json.to_string()
        }
        false => text,
    };
    let map = optional(&folder.join(SPECIALS))?;
    // tokenizer_config.json wins, as in transformers.
    let named = |key: &str| [&config, &map].iter().find_map(|m| token_text(m.get(key)?));
    let specials = SpecialTokens::from_roles(named);
    Tokenizer::from_text(&text, specials, config)
        .map(Tokenizer::with_added_specials)
        .map_err(|e| e.at(file.display()))
}

/// GPT-2's first form, without tokenizer.json: vocab.json (also encoder.json) with merges.txt (also
/// vocab.bpe); transformers makes the same tokeniser of them.
fn pair(file: &Path, folder: &Path) -> Result<Option<String>> {
    let found = |names: [&str; 2]| names.map(|n| folder.join(n)).into_iter().find(|p| p.is_file());
    let (Some(vocab), Some(merges)) =
        (found(["vocab.json", "encoder.json"]), found(["merges.txt", "vocab.bpe"]))
    else {
        return Ok(None);
    };
    if file.exists() || !file.ends_with(TOKENIZER) {
        return Ok(None);
    }
    let vocabulary = read_text(&vocab)?;
    let end = SpecialTokens::END_OF_TEXT;
    let mut end_id = None;
    json::entries(&vocabulary, |token, id| end_id = end_id.or((token == end).then_some(id)))
        .map_err(|e| Error::input(format!("no vocabulary: {e}")).at(vocab.display()))?;
    let lines = read_text(&merges)?;
    // The two files become one, without a tree of either.
    let mut rules = String::with_capacity(lines.len() * 2);
    for (number, line) in lines.lines().enumerate() {
        if (number == 0 && line.starts_with("#version")) || line.is_empty() {
            continue;
        }
        let rule = line.split_once(' ').ok_or_else(|| {
            Error::input(format!("two tokens were expected, found {line:?}")).at(format!(
                "{}:{}",
                merges.display(),
                number + 1
            ))
        })?;
        let comma = if rules.is_empty() { "" } else { "," };
        rules += &format!("{comma}[{},{}]", json!(rule.0), json!(rule.1));
    }
    let added: Vec<Value> = end_id
        .map(|id| {
            json!({"id": id, "content": end, "single_word": false, "lstrip": false,
                   "rstrip": false, "normalized": false, "special": true})
        })
        .into_iter()
        .collect();
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                       "use_regex": true});
    let (added, bytes) = (json!(added), bytes.to_string());
    Ok(Some(format!(
        "{{\"version\":\"1.0\",\"added_tokens\":{added},\"pre_tokenizer\":{bytes},\
         \"post_processor\":{bytes},\"decoder\":{bytes},\"model\":{{\"type\":\"BPE\",\
         \"continuing_subword_prefix\":\"\",\"end_of_word_suffix\":\"\",\
         \"vocab\":{vocabulary},\"merges\":[{rules}]}}}}"
    )))
}

fn save(tokenizer: &Tokenizer, folder: &Path) -> Result<()> {
    let path = folder.join(TOKENIZER);
    write_atomic_with(&path, |out| tokenizer.write_json(out).map_err(|e| e.at(path.display())))?;
    let specials = tokenizer.specials();
    let mut config = tokenizer.config().clone();
    let mut map = Map::new();
    for (key, token) in specials.roles() {
        config.insert(key.into(), json!(token));
        map.insert(key.into(), json!(token));
    }
    if config.get("tokenizer_class").is_none() {
        // Without these, transformers guesses a class or "cleans up" spaces before punctuation.
        config.insert("tokenizer_class".into(), json!("PreTrainedTokenizerFast"));
        config.insert("clean_up_tokenization_spaces".into(), json!(false));
        config.insert("model_max_length".into(), json!(1_000_000_000_000_000_u64));
    }
    write_json(&folder.join(SPECIALS), &map)?;
    write_json(&folder.join(CONFIG), &config)
}

/// A JSON object, or an empty one where there is no file.
pub(crate) fn optional(path: &Path) -> Result<Map<String, Value>> {
    if !path.is_file() {
        return Ok(Map::new());
    }
    match read_json(path)? {
        Value::Object(map) => Ok(map),
        other => {
            let found = other.to_string().chars().take(40).collect::<String>();
            Err(Error::input(format!("a JSON object was expected, found {found}"))
                .at(path.display()))
        }
    }
}

/// A special token is written as a string or as an AddedToken object.
fn token_text(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value.get("content")?.as_str()).map(String::from)
}
