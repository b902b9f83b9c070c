//! `inspect` on everything that Athanor writes, whole and damaged.

mod synthetic;

use std::{collections::BTreeMap, fs, path::Path};

use athanor_report::inspect::{inspect, inspect_json};
use athanor_store::{ArrayDataRef, ArrayRef, Kind, save_arrays, sha256_file};
use serde_json::{Value, json};

fn weights(path: &Path) {
    let data = [0.5f32; 12];
    let array = |name| ArrayRef { name, shape: &[3, 4], data: ArrayDataRef::F32(&data) };
    save_arrays(
        path,
        &[array("h.0.attn.weight"), array("h.1.attn.weight"), array("wte.weight")],
        &BTreeMap::new(),
    )
    .unwrap();
}

fn put(path: &Path, value: &Value) {
    fs::write(path, value.to_string()).unwrap();
}

#[test]
fn a_run_and_its_stages() {
    let dir = tempfile::tempdir().unwrap();
    synthetic::write(dir.path());
    let text = inspect(dir.path()).unwrap();
    assert!(text.contains("furnace, small") && text.contains("held-out loss 3.274 nats"), "{text}");
    let json = inspect_json(dir.path()).unwrap();
    assert_eq!(json["kind"], "run");
    assert_eq!(json["stages"][3]["summary"]["ece"], 0.0312);
    let stage = inspect_json(&dir.path().join("reward")).unwrap();
    assert_eq!((&stage["kind"], &stage["status"]), (&json!("stage"), &json!("done")));
    assert!(inspect(&dir.path().join("recipe.toml")).unwrap().contains("pretrain"));
}

#[test]
fn a_checkpoint_and_a_damaged_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    weights(&path.join("weights.safetensors"));
    put(&path.join("state.json"), &json!({"rng": 1}));
    let entry =
        |name: &str| json!({"name":name,"bytes":1,"sha256":sha256_file(&path.join(name)).unwrap()});
    let files = [entry("weights.safetensors"), entry("state.json")];
    put(&path.join("manifest.json"), &json!({"athanor":"0.1.0","step":500,"files":files}));
    let text = inspect(path).unwrap();
    for figure in ["500", "every file matches its hash", "h.*.attn.weight", "[3, 4]", "36 elements"]
    {
        assert!(text.contains(figure), "{figure}: {text}");
    }
    put(&path.join("state.json"), &json!({"rng": 2}));
    let json = inspect_json(path).unwrap();
    assert_eq!(json["intact"], false);
    assert_eq!(json["files"][1]["state"], "damaged: the hash differs");
    assert!(inspect(path).unwrap().contains("DAMAGED"));
}

#[test]
fn shards() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let tokens: Vec<u8> = [7u16, 300, 1].iter().flat_map(|t| t.to_le_bytes()).collect();
    fs::write(path.join("train-00000.bin"), tokens).unwrap();
    let hash = sha256_file(&path.join("train-00000.bin")).unwrap();
    let shard = |file: &str| json!({"file":file,"tokens":3,"documents":1,"bytes":11,"sha256":hash});
    put(
        &path.join("index.json"),
        &json!({"dtype":"u16","vocab_size":512,"shards":[shard("train-00000.bin")]}),
    );
    let json = inspect_json(path).unwrap();
    assert_eq!(json["shards"][0]["first"], json!([7, 300, 1]));
    assert_eq!(json["intact"], true);
    assert!(inspect(path).unwrap().contains("7 300 1"));
    // A name that leads out of the folder is not followed.
    put(&path.join("index.json"), &json!({"dtype":"u16","shards":[shard("../../etc/passwd")]}));
    let json = inspect_json(path).unwrap();
    assert_eq!((&json["shards"][0]["first"], &json["intact"]), (&Value::Null, &json!(false)));
}

#[test]
fn a_model_and_its_arrays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    put(
        &path.join("config.json"),
        &json!({"architectures":["GPT2LMHeadModel"],"model_type":"gpt2","n_embd":4,"vocab_size":3}),
    );
    weights(&path.join("model.safetensors"));
    let tokenizer = json!({"model":{"type":"BPE","vocab":{"a":0,"b":1}},"added_tokens":[{"content":"<|end|>"}]});
    put(&path.join("tokenizer.json"), &tokenizer);
    let text = inspect(path).unwrap();
    for figure in [
        "GPT2LMHeadModel",
        "36 (36 F32)",
        "BPE, 2 entries; special: <|end|>",
        "n_embd",
        "wte.weight",
    ] {
        assert!(text.contains(figure), "{figure}: {text}");
    }
    let json = inspect_json(&path.join("model.safetensors")).unwrap();
    assert_eq!((&json["kind"], &json["elements"]), (&json!("arrays"), &json!(36)));
}

#[test]
fn anything_else_is_an_input_error_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    fs::write(path.join("notes.txt"), "hello").unwrap();
    fs::write(path.join("other.toml"), "[package]\nname = 1\n").unwrap();
    fs::write(path.join("broken.toml"), "[pretrain]\nsteps = = 3\n").unwrap();
    fs::write(path.join("broken.safetensors"), [1, 2, 3]).unwrap();
    for name in ["", "notes.txt", "other.toml", "broken.toml", "broken.safetensors"] {
        let error = inspect(&path.join(name)).unwrap_err();
        assert_eq!(error.kind(), Kind::Input, "{error}");
    }
    let error = inspect(&path.join("broken.toml")).unwrap_err().to_string();
    assert!(error.contains("broken.toml:2"), "{error}");
    assert!(inspect(&path.join("notes.txt")).unwrap_err().to_string().contains("expected a run"));
    fs::create_dir(path.join("model")).unwrap();
    put(&path.join("model/config.json"), &json!([]));
    assert!(inspect(&path.join("model")).is_ok());
    fs::create_dir(path.join("shards")).unwrap();
    put(&path.join("shards/index.json"), &json!({}));
    assert_eq!(inspect(&path.join("shards")).unwrap_err().kind(), Kind::Input);
}
