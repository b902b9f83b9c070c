//! Fine-tuning on labels from the command line: texts, pairs and words, on real slices and small random
//! models; the same bytes on one thread or two, killed and resumed; errors name the place of the mistake.

mod small;

use std::{fs, path::Path};

use athanor_data::records;
use athanor_models::{Head, Model, Shape, families};
use athanor_text::{ALGORITHMS, Training};
use serde_json::{Value, json};
use small::{Small, good, same, stderr};

/// Tokenizer and head of each family, as pretraining leaves them.
const FAMILIES: [(&str, &str, &str, Head); 3] = [
    ("bert", "wordpiece", "bert", Head::PRETRAINING),
    ("xlnet", "unigram", "xlnet", Head::PERMUTATION_LM),
    ("llama", "byte_bpe", "gpt", Head::CAUSAL_LM),
];

fn data() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data")
}

/// Texts of two domains, every so many of the human ratings.
fn texts() -> Vec<(String, String)> {
    let records = records::open(data().join("human_ratings.jsonl.gz")).unwrap();
    let all = records.map(|r| r.unwrap());
    let of = |r: &records::Record, name: &str| r.text(name).unwrap().to_owned();
    let some = all.filter(|r| ["tweet", "movie"].contains(&r.text("domain").unwrap()));
    some.step_by(25).map(|r| (of(&r, "text"), of(&r, "domain"))).collect()
}

/// Models by chance in the folder `m_FAMILY`, files, and a recipe.
fn prepare() -> Small {
    let small = Small::new(0);
    let texts = texts();
    assert!(texts.len() > 400, "{}", texts.len());
    for (family, kind, specials, head) in FAMILIES {
        let algorithm = ALGORITHMS.find(kind).unwrap();
        let training = Training {
            vocab_size: 900,
            lowercase: true,
            specials: algorithm.specials(specials).unwrap(),
        };
        let tokenizer = algorithm.train(&mut texts.iter().map(|t| t.0.clone()), &training).unwrap();
        let shape = Shape {
            vocabulary: tokenizer.vocab_size(),
            hidden: 32,
            heads: 2,
            kv_heads: 2,
            intermediate: 64,
            ..Shape::default()
        };
        let dir = small.path(&format!("m_{family}"));
        fs::create_dir(&dir).unwrap();
        let family = families::by_name(family).unwrap();
        let device = athanor_tensor::Device::default();
        Model::new(family, &shape, head, 3, device).unwrap().save(&dir).unwrap();
        tokenizer.save(&dir).unwrap();
    }
    let lines: Vec<String> = texts
        .iter()
        .map(|(text, domain)| json!({ "says": text, "domain": domain }).to_string())
        .collect();
    fs::write(small.path("texts.jsonl"), lines.join("\n")).unwrap();
    // Whether two texts are of one domain.
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let pairs = texts.iter().zip(texts.iter().rev().cycle().skip(7));
    let rows: Vec<String> = pairs
        .map(|(a, b)| format!("{}\t{}\t{}", flat(&a.0), flat(&b.0), i32::from(a.1 == b.1)))
        .collect();
    let table = |rows: &[String]| format!("one\ttwo\tlabel\n{}\n", rows.join("\n"));
    fs::write(small.path("pairs.tsv"), table(&rows[40..])).unwrap();
    fs::write(small.path("dev.tsv"), table(&rows[..40])).unwrap();
    small
}

fn recipe(small: &Small, task: &str, family: &str, keys: &str) {
    let text = format!(
        "[run]\nname = \"small\"\nseed = 5\n[finetune]\ntask = {task:?}\nmodel = \"m_{family}\"\n\
         heldout_per_thousand = 150\nvalidation_per_thousand = 50\nsample_prompts = [\"a good film\"]\n\
         [finetune.train]\nsteps = 60\nbatch_size = 8\naccumulate = 2\nlearning_rate = 5e-3\n\
         schedule.warmup_steps = 5\ndropout = 0.1\nevaluate.every = 20\nevaluate.items = 30\n\
         evaluate.keep_best = true\n\
         checkpoint_seconds = 0.0\nkeep_checkpoints = 3\n[[finetune.data]]\n{keys}\n"
    );
    fs::write(small.path("small.toml"), text).unwrap();
}

const TEXTS: &str =
    "examples.path = \"texts.jsonl\"\nexamples.text = \"says\"\nexamples.label = \"domain\"";
const SCORES: &str = "examples.path = \"texts.jsonl\"\nexamples.text = \"says\"\nexamples.label = \"{{ 1 if domain == 'tweet' else -1 }}\"";
const PAIRS: &str = "examples.path = \"pairs.tsv\"\nexamples.heldout = \"dev.tsv\"\nexamples.text = \"one\"\nexamples.pair = \"two\"";

fn words() -> String {
    format!(
        "examples.path = {:?}\nexamples.format = \"brown\"\nexamples.limit = 400\n\
         examples.label = \"{{{{ label.split('-')[0].split('+')[0] or '--' }}}}\"",
        data().join("brown_tagged.txt.gz")
    )
}

fn summary(small: &Small, out: &str) -> Value {
    let path = small.path(out).join("finetune/summary.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn figure(summary: &Value, metric: &str, key: &str) -> f64 {
    let tasks = summary["tasks"].as_array().unwrap();
    let task = tasks.iter().find(|t| t["metric"] == metric).unwrap();
    task[key].as_f64().unwrap()
}

#[test]
fn labels_are_learned_with_the_same_bytes_on_one_thread_or_two_killed_and_resumed() {
    let small = prepare();
    let mut killed = 0;
    let tags = words();
    let cases = [
        ("classification", "bert", TEXTS, 0.1),
        ("classification", "xlnet", TEXTS, 0.1),
        ("classification", "llama", TEXTS, 0.1),
        ("classification", "bert", PAIRS, -1.0),
        ("regression", "bert", SCORES, 0.0),
        ("token_classification", "bert", &tags, 0.0),
        ("token_classification", "llama", &tags, 0.0),
    ];
    for (i, (task, family, keys, lead)) in cases.into_iter().enumerate() {
        recipe(&small, task, family, keys);
        let (a, b) = (&format!("A{i}"), &format!("B{i}"));
        good(&small.command("finetune", a, &["--threads", "2"]).output().unwrap());
        killed += usize::from(small.kill("finetune", b));
        good(&small.command("finetune", b, &["--threads", "1"]).output().unwrap());
        same(&small.path(a), &small.path(b), "finetune");
        let told = summary(&small, a);
        if task == "regression" {
            assert!(figure(&told, "mse", "value") < figure(&told, "mse", "baseline"), "{told}");
            continue;
        }
        let base = if task == "classification" { "baseline" } else { "majority" };
        let (value, base) = (figure(&told, "accuracy", "value"), figure(&told, "accuracy", base));
        assert!(value > base + lead, "{task} {family}: {value}, baseline {base}");
        let n: u64 = told["per_label"]
            .as_array()
            .unwrap()
            .iter()
            .map(|l| l["support"].as_u64().unwrap())
            .sum();
        assert_eq!(n as f64, figure(&told, "accuracy", "n"), "{task} {family}");
    }
    assert!(killed >= 3, "{killed} were killed in time");

    // What the folder says of itself, and what the other commands make of it.
    let config = fs::read_to_string(small.path("A0/finetune/model/config.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["architectures"], json!(["BertForSequenceClassification"]));
    assert_eq!(config["id2label"], json!({ "0": "movie", "1": "tweet" }));
    assert_eq!(config["label2id"], json!({ "movie": 0, "tweet": 1 }));
    let run = |args: &[&str]| -> String {
        let output = small.athanor(args).output().unwrap();
        good(&output);
        String::from_utf8(output.stdout).unwrap()
    };
    let eval = run(&[
        "eval",
        "A3",
        "--task",
        "classification",
        "--data",
        "dev.tsv",
        "--text",
        "one",
        "--pair",
        "two",
        "--json",
        "--quiet",
    ]);
    let eval: Value = serde_json::from_str(&eval).unwrap();
    let told = summary(&small, "A3");
    for metric in ["accuracy", "macro_f1", "matthews", "f1"] {
        assert_eq!(
            eval["figures"][metric].as_f64(),
            Some(figure(&told, metric, "value")),
            "{metric}"
        );
    }
    let told = run(&["predict", "A0", "--text", "a good film", "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let shares = told["probabilities"].as_object().unwrap();
    assert!((shares.values().map(|v| v.as_f64().unwrap()).sum::<f64>() - 1.0).abs() < 1e-9);
    assert_eq!(shares.keys().next().unwrap(), told["label"].as_str().unwrap());
    let line = run(&["classify", "A5", "--text", "The jury said so ."]);
    assert_eq!(line.split_whitespace().count(), 5, "{line}");
    assert!(line.split_whitespace().all(|w| w.contains('/')), "{line}");
    // A fine-tuned model is a start like any other: its head is for other labels.
    recipe(&small, "classification", "bert", TEXTS);
    small.edit("m_bert", "A5/finetune/model");
    good(&small.command("finetune", "again", &[]).output().unwrap());
}

#[test]
fn errors_name_the_place_of_the_mistake() {
    let small = prepare();
    let write = |name: &str, text: &str| fs::write(small.path(name), text).unwrap();
    let second = |name: &str, line: &str| {
        write(name, &format!("{{\"text\": \"a\", \"label\": 1}}\n{line}\n"));
    };
    second("one.jsonl", r#"{"text": "b", "label": 1}"#);
    second("field.jsonl", r#"{"text": "b", "lable": 2}"#);
    second("blank.jsonl", r#"{"text": " ", "label": 2}"#);
    second("train.jsonl", r#"{"text": "b", "label": 2}"#);
    write("none.jsonl", "");
    write("other.jsonl", "{\"text\": \"a\", \"label\": 3}\n");
    write("bad.conll", "the O\ncat B-X\n\nsat\n");
    write("long.jsonl", "{\"words\": [\"a\", \"b\"], \"labels\": [\"O\"]}\n");
    write("table.tsv", "text\tlabel\na\t1\nb\n");
    write("plain.txt", "a\n");
    let path = |name: &str| format!("examples.path = \"{name}\"");
    let text = "classification";
    let token = "token_classification";
    for (task, keys, says) in [
        (
            text,
            path("one.jsonl"),
            "every example has the label \"1\": there is nothing to tell apart",
        ),
        (text, path("field.jsonl"), "field.jsonl:2: no field `label`; did you mean `lable`?"),
        (text, path("none.jsonl"), "none.jsonl: no example is left of this file"),
        (text, path("blank.jsonl"), "blank.jsonl:2: the text has no tokens"),
        (
            text,
            path("train.jsonl") + "\nexamples.heldout = \"other.jsonl\"",
            "other.jsonl:1: \"3\" is none of the labels",
        ),
        (text, path("table.tsv"), "table.tsv:3: 1 columns, 2 were expected"),
        (text, path("plain.txt"), "say which it is with `format`"),
        (text, path("missing.jsonl"), "there is no file or folder"),
        (text, "dialogue.path = \"one.jsonl\"".into(), "must have `examples` and no `dialogue`"),
        ("conversation", path("one.jsonl"), "must have `dialogue` and no `examples`"),
        ("clasification", path("one.jsonl"), "did you mean \"classification\""),
        (
            text,
            path("train.jsonl") + "\nmetric = \"accuracy\"",
            "`metric` in [finetune.data.0]: has no meaning for the task classification, only for conversation",
        ),
        (
            token,
            path("train.jsonl") + "\nexamples.pair = \"other\"",
            "has no meaning for the task token_classification, only for classification, regression",
        ),
        (token, path("bad.conll"), "bad.conll:4: 2 columns were expected, found 1 in \"sat\""),
        (token, path("long.jsonl"), "long.jsonl:1: 2 words, 1 labels"),
        (
            token,
            path("train.jsonl"),
            "train.jsonl:1: `words`: a field that this record does not have",
        ),
        (text, path("train.jsonl") + "\nexamples.format = \"cvs\"", "did you mean \"csv\""),
    ] {
        recipe(&small, task, "bert", &keys);
        small.edit(
            "heldout_per_thousand = 150\nvalidation_per_thousand = 50",
            "heldout_per_thousand = 0",
        );
        let output = small.command("finetune", "bad", &["--force"]).output().unwrap();
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{keys}: {told}");
        assert!(told.contains(says), "{keys}: {told}");
    }
    let output = small.athanor(&["classify", "m_bert", "--text", "a"]).output().unwrap();
    assert!(stderr(&output).contains("has no labels"), "{}", stderr(&output));
    let output = small
        .athanor(&[
            "eval",
            "m_bert",
            "--task",
            "classification",
            "--data",
            "one.jsonl",
            "--only",
            "a =",
        ])
        .output()
        .unwrap();
    assert!(stderr(&output).contains("--only"), "{}", stderr(&output));
}
