//! Commands on models: parity, writing, evaluation, import.

mod common;

use std::{fs, path::Path};

use athanor_store::{Array, ArrayData, load_arrays};
use common::{bad, fixtures, good, model, run, run_with_input, stderr};
use serde_json::Value;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn json(output: &std::process::Output) -> Value {
    serde_json::from_str(&good(output)).unwrap()
}

#[test]
fn forward_equals_transformers() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.safetensors");
    let mut checked = 0;
    for entry in fs::read_dir(fixtures()).unwrap() {
        let fixture = entry.unwrap().path();
        let expected = fixture.join("out.safetensors");
        if !expected.is_file() || !supported(&fixture) {
            continue;
        }
        let expected = load_arrays(&expected).unwrap();
        let input = fixture.join("in.safetensors");
        let mut args = vec!["forward", text(&fixture), "--input", text(&input)];
        args.extend(["--output", text(&out)]);
        if expected.iter().any(|a| a.name.starts_with("grad.")) {
            args.push("--grad");
        }
        good(&run(&args));
        let found = load_arrays(&out).unwrap();
        let given = load_arrays(&input).unwrap();
        let mask = given.iter().find(|a| a.name == "attention_mask");
        for a in &expected {
            let Some(b) = found.iter().find(|b| b.name == a.name) else {
                panic!("{}: no {}", fixture.display(), a.name);
            };
            let (x, y) = (seen(a, mask), seen(b, mask));
            let far = x.iter().zip(&y).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
            assert!(x.len() == y.len() && far < 1e-4, "{} {}: {far}", fixture.display(), a.name);
        }
        checked += 1;
    }
    assert!(checked >= 8, "{checked} fixtures");
}

/// The values of `a`, without places of [batch, time, …] that are padding: a query there may see
/// nothing, implementations differ, and nothing reads the result.
fn seen(a: &Array, mask: Option<&Array>) -> Vec<f32> {
    let ArrayData::F32(values) = &a.data else { panic!("{} holds integers", a.name) };
    let (Some(Array { data: ArrayData::I64(mask), .. }), [_, _, width]) = (mask, &a.shape[..])
    else {
        return values.clone();
    };
    let rows = values.chunks(*width).zip(mask).filter(|(_, seen)| **seen == 1);
    rows.flat_map(|(row, _)| row.to_vec()).collect()
}

/// Families that are not there yet have fixtures already.
fn supported(fixture: &Path) -> bool {
    let config = fs::read_to_string(fixture.join("config.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    athanor_models::families::by_model_type(config["model_type"].as_str().unwrap()).is_ok()
}

#[test]
fn gguf_goes_out_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (source, file, back) =
        (dir.path().join("model"), dir.path().join("m.gguf"), dir.path().join("back"));
    model(&source, true);
    for (kind, most) in [("f32", 0.0), ("bf16", 0.02), ("q8_0", 0.02)] {
        let args = ["export", text(&source), "--output", text(&file), "--type", kind, "--force"];
        good(&run(args));
        let shown = good(&run(["inspect", text(&file)]));
        assert!(shown.contains("GGUF file") && shown.contains("blk.*.attn_q.weight"), "{shown}");
        good(&run(["import", text(&file), "--output", text(&back), "--force"]));
        let tensors = |folder: &Path| {
            let mut all = load_arrays(&folder.join("model.safetensors")).unwrap();
            all.sort_by(|a, b| a.name.cmp(&b.name));
            all
        };
        for (a, b) in tensors(&source).iter().zip(tensors(&back)) {
            let (ArrayData::F32(x), ArrayData::F32(y)) = (&a.data, &b.data) else { panic!() };
            assert_eq!((&a.name, &a.shape), (&b.name, &b.shape));
            let far = x.iter().zip(y).fold(0.0f32, |m, (x, y)| m.max((x - y).abs()));
            assert!(far <= most * x.iter().fold(0.0f32, |m, v| m.max(v.abs())), "{} {far}", a.name);
        }
        // The same tokens, and the same text from the same weights.
        for words in ["the cat sat", "人之初，Hello 12!\n\n  x"] {
            let tokens = |folder: &Path| {
                json(&run(["tokenize", text(folder), "--text", words, "--json"]))["tokens"].clone()
            };
            assert_eq!(tokens(&source), tokens(&back));
        }
        if kind == "f32" {
            let write = |folder: &Path| good(&run(["generate", text(folder), "--prompt", "the"]));
            assert_eq!(write(&source), write(&back));
        }
    }
    let wrong =
        run(["export", text(&source), "--output", text(&file), "--type", "q4_k", "--force"]);
    assert!(bad(&wrong, 2).contains("known: f32, f16, bf16, q8_0"));
    let exists = run(["export", text(&source), text(&file)]);
    assert!(bad(&exists, 2).contains("this file exists already"));
}

#[test]
fn beams_find_likelier_texts_than_greedy_choice() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), false);
    let base = ["generate", text(dir.path()), "--prompt", "the cat", "--max-tokens", "8", "--json"];
    let total = |v: &Value| -> f64 {
        v["log_probs"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).sum()
    };
    let greedy = json(&run(base.iter().copied().chain(["--temperature", "0"])));
    let beams = ["--beams", "4", "-n", "2", "--length-penalty", "0"];
    let found = json(&run(base.iter().copied().chain(beams)));
    let texts = found["completions"].as_array().unwrap();
    assert_eq!(texts.len(), 2);
    assert!(total(&texts[0]) >= total(&texts[1]));
    assert!(total(&texts[0]) >= total(&greedy["completions"][0]) - 1e-4);
    let error = bad(&run(base.iter().copied().chain(["--beams", "2", "-n", "3"])), 2);
    assert!(error.contains("beams"), "{error}");
    for wrong in [["--min-p", "2"], ["--repetition-penalty", "0"]] {
        assert!(bad(&run(base.iter().copied().chain(wrong)), 2).contains(&wrong[0][2..]));
    }
}

#[test]
fn forward_names_what_is_wrong() {
    let fixture = fixtures().join("gpt2-padded");
    let input = fixture.join("out.safetensors");
    let args = ["forward", text(&fixture), "--input", text(&input), "--output", "x"];
    let error = bad(&run(args), 2);
    assert!(error.contains("out.safetensors") && error.contains("input_ids"), "{error}");
    let args = ["forward", text(&fixture), "--input", "none", "--output", "x"];
    assert!(bad(&run(args), 2).contains("none: cannot read"));
}

#[test]
fn generate_writes_the_same_text_each_time() {
    let dir = tempfile::tempdir().unwrap();
    // A run folder: the model of its stage is taken, and its path is printed.
    let folder = dir.path().join("pretrain/model");
    model(&folder, false);
    let run_dir = text(dir.path());
    let args = ["generate", run_dir, "--prompt", "the cat", "--max-tokens", "12", "--seed", "5"];
    let first = run(args);
    let written = good(&first);
    assert!(stderr(&first).contains("model: ") && stderr(&first).contains("pretrain/model"));
    assert!(written.ends_with('\n') && !written.is_empty());
    assert_eq!(written, good(&run(args)));

    // The first of several rows is the single one.
    let more = json(&run(args.iter().copied().chain(["-n", "3", "--json"])));
    let texts: Vec<&str> =
        (0..3).map(|i| more["completions"][i]["text"].as_str().unwrap()).collect();
    assert_eq!(texts[0].trim_end(), written.trim_end());
    assert!(texts[1] != texts[0] || texts[2] != texts[0], "rows differ");
    let one = &more["completions"][0];
    assert_eq!(one["tokens"].as_array().unwrap().len(), one["log_probs"].as_array().unwrap().len());

    // A stop string ends it before itself.
    let stop: String = texts[0].chars().skip(2).take(2).collect();
    if !stop.is_empty() && !stop.contains('\u{fffd}') {
        let cut = json(&run(args.iter().copied().chain(["--stop", &stop, "--json"])));
        let text = cut["completions"][0]["text"].as_str().unwrap();
        assert!(!text.contains(&stop) && texts[0].starts_with(text), "{text:?} {stop:?}");
        assert_eq!(cut["completions"][0]["finish"], "stop");
    }

    let rounded = args.iter().copied().chain(["--weights", "int8", "--json", "-n", "2"]);
    let rounded = json(&run(rounded));
    let close = |i: usize| {
        let p = |v: &Value| v["completions"][i]["log_probs"][0].as_f64().unwrap();
        (p(&rounded) - p(&more)).abs() < 0.1
    };
    assert!(close(0) && close(1), "{rounded}");

    let prompt = dir.path().join("prompt.txt");
    fs::write(&prompt, "the cat").unwrap();
    let file = ["generate", run_dir, "--file", text(&prompt), "--max-tokens", "12", "--seed", "5"];
    assert_eq!(good(&run(file)), written);
    let piped = ["generate", run_dir, "--file", "-", "--max-tokens", "12", "--seed", "5"];
    assert_eq!(good(&run_with_input(&piped, "the cat")), written);

    let long = "the cat ".repeat(60);
    let error = bad(&run(["generate", run_dir, "--prompt", &long]), 2);
    assert!(error.contains("the model's context is 48"), "{error}");
    let error = bad(&run(["generate", run_dir, "--prompt", "a", "--top-p", "2"]), 2);
    assert!(error.contains("`top-p`: must be above 0"), "{error}");
    let error = bad(&run(["chat", run_dir]), 2);
    assert!(error.contains("no chat template"), "{error}");
    // What scores texts cannot write any.
    let error = bad(&run(["generate", text(&fixtures().join("llama-reward")), "--prompt", "a"]), 2);
    assert!(error.contains("this model scores texts"), "{error}");
}

#[test]
fn chat_over_a_pipe() {
    let (dir, folder) = common::model_in_a_folder(true);
    let saved = dir.path().join("talk.json");
    // More turns than the context of 48 tokens holds.
    let input = format!(
        "hello\n你好，人之初\n/temperature 0\nthe cat sat on the mat\n//slash\n/save {}\n/quit\nnot read\n",
        saved.display()
    );
    let output = run_with_input(&["chat", text(&folder), "--max-tokens", "6"], &input);
    assert!(good(&output).matches('\n').count() >= 4);
    let talk: Value = serde_json::from_str(&fs::read_to_string(&saved).unwrap()).unwrap();
    let messages = talk["messages"].as_array().unwrap();
    assert_eq!(messages.last().unwrap()["role"], "assistant");
    let said: Vec<_> = messages.iter().filter_map(|m| m["content"].as_str()).collect();
    assert!(said.contains(&"/slash") && !said.contains(&"not read"), "{said:?}");

    let chat = ["chat", text(&folder), "--json", "--weights", "int8"];
    let lines = good(&run_with_input(&chat, "a\nb\n"));
    let answers: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!((answers.len(), &answers[0]["role"]), (2, &"assistant".into()));
    let error = bad(&run_with_input(&["chat", text(&folder)], "/frob\n"), 2);
    assert!(error.contains("no command /frob"), "{error}");
    let error = bad(&run_with_input(&["chat", text(&folder)], &"the cat ".repeat(90)), 2);
    assert!(error.contains("say it in fewer words"), "{error}");
}

#[test]
fn eval_counts_each_token_once() {
    let (dir, folder) = common::model_in_a_folder(false);
    let data = dir.path().join("data.jsonl");
    let long = "人之初，性本善。the cat sat on the mat. ".repeat(8);
    let line = |text: &str| serde_json::json!({ "body": text }).to_string();
    fs::write(&data, [line("hello"), line(&long), line("")].join("\n")).unwrap();
    let base =
        ["eval", text(&folder), "--data", text(&data), "--text", "body", "--json", "--quiet"];
    let figures = |more: &[&str]| {
        json(&run(base.iter().copied().chain(more.iter().copied())))["figures"].clone()
    };
    let all = figures(&["--task", "perplexity"]);
    assert_eq!(all["documents"], 3);
    assert_eq!(all["bytes"], 5 + long.len());
    let number = |v: &Value, key: &str| v[key].as_f64().unwrap();
    assert!((number(&all, "perplexity").ln() - number(&all, "loss_per_token")).abs() < 1e-9);
    let bits = number(&all, "loss_per_token") * number(&all, "tokens")
        / number(&all, "bytes")
        / std::f64::consts::LN_2;
    assert!((bits - number(&all, "bits_per_byte")).abs() < 1e-9);
    let other = figures(&["--task", "bits-per-byte", "--window", "16", "--stride", "3"]);
    assert_eq!(other["tokens"], all["tokens"]);
    assert!((number(&other, "loss_per_token") - number(&all, "loss_per_token")).abs() < 0.2);

    // Rounded weights predict a little otherwise.
    let rounded = figures(&["--task", "bits-per-byte", "--weights", "int8"]);
    let off = (number(&rounded, "loss_per_token") - number(&all, "loss_per_token")).abs();
    assert!(rounded["tokens"] == all["tokens"] && off > 0.0 && off < 0.01, "{rounded} {all}");
    let error =
        bad(&run(base.iter().copied().chain(["--task", "perplexity", "--weights", "int4"])), 2);
    assert!(error.contains("'int4' for '--weights <TYPE>'") && error.contains("int8"), "{error}");
    let classes = ["--task", "classification", "--weights", "int8"];
    let error = bad(&run(base.iter().copied().chain(classes)), 2);
    assert!(error.contains("--weights int8 with the task `classification`"), "{error}");

    let whole = dir.path().join("whole.txt");
    fs::write(&whole, "hello\n").unwrap();
    let args = ["eval", text(&folder), "--task", "perplexity", "--data", text(&whole)];
    let output = run(args);
    assert!(good(&output).contains("loss per token"));
    let error =
        bad(&run(["eval", text(&folder), "--task", "perplexity", "--data", text(&data)]), 2);
    assert!(error.contains("data.jsonl:1: no field `text`"), "{error}");
}

#[test]
fn import_makes_a_checked_copy() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    model(&from, true);
    let said = good(&run(["import", text(&from), text(&to)]));
    assert!(said.contains("parameters") && said.contains("checked"), "{said}");
    for file in ["config.json", "model.safetensors", "tokenizer.json", "generation_config.json"] {
        assert!(to.join(file).is_file(), "{file}");
    }
    let weights = |d: &Path| fs::read(d.join("model.safetensors")).unwrap();
    assert_eq!(weights(&from), weights(&to));
    assert!(bad(&run(["export", text(&from), text(&to)]), 2).contains("exists already"));
    good(&run(["export", text(&from), text(&to), "--force"]));
    // No tokenizer: copied, with a warning.
    let other = dir.path().join("other");
    let output = run(["import", text(&fixtures().join("gpt2-reward")), text(&other)]);
    good(&output);
    assert!(stderr(&output).contains("warning: no tokenizer.json"));
}

#[test]
fn tokenize_shows_tokens() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), true);
    let tokens = json(&run(["tokenize", text(dir.path()), "--text", "the 春<|end|>", "--json"]));
    assert_eq!(tokens["bytes"], 14);
    let plain = tokens["tokens"].as_array().unwrap().len();
    let args = ["tokenize", text(dir.path()), "--text", "the 春<|end|>", "--json", "--specials"];
    assert!(json(&run(args))["tokens"].as_array().unwrap().len() < plain);
}
