//! `athanor fill` and `athanor embed` on small random models.

mod common;

use std::{fs, path::Path};

use athanor_models::{Head, Model, Shape, families};
use athanor_store::{ArrayData, load_arrays};
use common::{bad, good, model, run, stderr};
use serde_json::Value;

const VOCABULARY: [&str; 12] =
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "春", "眠", "on", "mat"];

/// An encoder with a vocab.txt.
fn encoder(dir: &Path, family: &str, head: Head) {
    let shape = Shape {
        vocabulary: VOCABULARY.len(),
        context: 9,
        hidden: 8,
        heads: 2,
        kv_heads: 2,
        intermediate: 12,
        ..Shape::default()
    };
    let family = families::by_name(family).unwrap();
    Model::new(family, &shape, head, 3, athanor_tensor::Device::Cpu).unwrap().save(dir).unwrap();
    fs::write(dir.join("vocab.txt"), VOCABULARY.join("\n")).unwrap();
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&good(&run(args))).unwrap()
}

#[test]
fn fill_guesses_each_gap() {
    for (family, head) in [
        ("bert", Head::MASKED_LM),
        ("bert", Head::PRETRAINING),
        ("electra", Head::MASKED_LM),
        ("xlnet", Head::PERMUTATION_LM),
    ] {
        let dir = tempfile::tempdir().unwrap();
        encoder(dir.path(), family, head);
        let folder = text(dir.path());
        let args = ["fill", folder, "--text", "the [MASK] on 春[MASK]", "--top-k", "12", "--json"];
        let told = json(&args);
        let gaps = told["texts"][0]["gaps"].as_array().unwrap();
        assert_eq!((gaps.len(), told["mask"].as_str()), (2, Some("[MASK]")), "{family}");
        for gap in gaps {
            let shares: Vec<f64> = gap
                .as_array()
                .unwrap()
                .iter()
                .map(|g| g["probability"].as_f64().unwrap())
                .collect();
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{shares:?}");
            assert!(shares.is_sorted_by(|a, b| a >= b), "best first: {shares:?}");
        }
        let first = gaps[0].as_array().unwrap().iter().find(|g| g["token"] == "cat").unwrap();
        assert!(first["text"].as_str().unwrap().starts_with("the cat on"), "{first}");
        let table = good(&run(&args[..6]));
        assert!(
            table.contains("gap 1") && table.contains("gap 2") && table.contains('%'),
            "{table}"
        );
        assert_eq!(json(&args), told, "the same again");
    }
}

#[test]
fn fill_says_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let (writer, other) = (dir.path().join("writer"), dir.path().join("other"));
    model(&writer, false);
    let error = bad(&run(["fill", text(&writer), "--text", "a [MASK]"]), 2);
    assert!(error.contains("causal-lm") && error.contains("ForMaskedLM"), "{error}");
    fs::create_dir(&other).unwrap();
    encoder(&other, "bert", Head::MASKED_LM);
    let error = bad(&run(["fill", text(&other), "--text", "the cat"]), 2);
    assert!(error.contains("no [MASK] in"), "{error}");
    let long = "the ".repeat(9) + "[MASK]";
    let error = bad(&run(["fill", text(&other), "--text", &long]), 2);
    assert!(error.contains("12 tokens, the model takes 9"), "{error}");
    // A vocabulary with a hole: an id that the model has no row for.
    let hole = tempfile::tempdir().unwrap();
    encoder(hole.path(), "bert", Head::MASKED_LM);
    let lines = VOCABULARY.join("\n") + "\nthe\ncat";
    fs::write(hole.path().join("vocab.txt"), lines).unwrap();
    for command in ["fill", "embed"] {
        let error = bad(&run([command, text(hole.path()), "--text", "cat [MASK]"]), 2);
        assert!(error.contains("ids go up to 13, the model has 12"), "{error}");
    }
    // And the other way round.
    let error = bad(&run(["generate", text(&other), "--prompt", "the"]), 2);
    assert!(error.contains("does not write any"), "{error}");
}

#[test]
fn embed_gives_the_same_vectors_every_way() {
    let dir = tempfile::tempdir().unwrap();
    encoder(dir.path(), "bert", Head::MASKED_LM);
    let folder = text(dir.path());
    let texts = ["the cat sat", "春眠", "the cat sat on the mat on the mat"];
    let mut args = vec!["embed", folder];
    texts.iter().for_each(|t| args.extend(["--text", t]));
    let output = run(&args);
    let lines: Vec<Vec<f32>> =
        good(&output).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(
        stderr(&output).contains("1 of 3 texts were cut off at 9 tokens"),
        "{}",
        stderr(&output)
    );
    assert_eq!((lines.len(), lines[0].len()), (3, 8));
    for line in &lines {
        assert!((line.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
    }
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-6);

    let data = dir.path().join("texts.jsonl");
    let all = texts.map(|t| serde_json::json!({ "says": t }).to_string()).join("\n");
    fs::write(&data, all).unwrap();
    let out = dir.path().join("out.safetensors");
    let args = ["embed", folder, "--data", text(&data), "--field", "says", "--output", text(&out)];
    good(&run(args));
    let array = load_arrays(&out).unwrap().remove(0);
    let ArrayData::F32(values) = array.data else { panic!("integers") };
    assert_eq!((array.name.as_str(), &array.shape[..]), ("embeddings", &[3, 8][..]));
    assert!(values.chunks(8).zip(&lines).all(|(a, b)| near(a, b)));

    let plain = dir.path().join("texts.txt");
    fs::write(&plain, format!("{}\n\n{}\n", texts[0], texts[1])).unwrap();
    let told = json(&["embed", folder, "--data", text(&plain), "--json", "--limit", "1"]);
    assert_eq!((told["texts"].as_u64(), told["width"].as_u64()), (Some(1), Some(8)));
    let vector: Vec<f32> = serde_json::from_value(told["embeddings"][0].clone()).unwrap();
    assert!(near(&vector, &lines[0]));

    let first = json(&["embed", folder, "--text", texts[0], "--pooling", "cls", "--json"]);
    assert_ne!(first["embeddings"][0], told["embeddings"][0]);
    let error = bad(&run(["embed", folder, "--text", "a", "--pooling", "sum"]), 2);
    assert!(error.contains("--pooling") && error.contains("known: mean"), "{error}");
    let error = bad(&run(["embed", folder, "--data", text(&data)]), 2);
    assert!(error.contains("texts.jsonl:1") && error.contains("--field"), "{error}");
}
