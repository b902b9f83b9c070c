//! `athanor compare` on a small grid: two models, a task of texts and one of words, two seeds.

mod small;

use std::fs;

use serde_json::Value;
use small::{Small, good, stderr};

const TRAIN: &str = "[pretrain.train]\nsteps = 20\nbatch_size = 4\nschedule.warmup_steps = 2\nevaluate.every = 0\nevaluate.items = 4\n";

fn recipes(small: &Small) {
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data");
    let write = |name: &str, text: String| fs::write(small.path(name), text).unwrap();
    let sources = format!(
        "[[corpus.sources]]\nname = \"brown\"\npath = {:?}\nmax_bytes = 200000\n",
        data.join("brown.jsonl.gz")
    );
    let sizes = "hidden_size = 16\nlayers = 1\nheads = 2\ncontext = 32\n";
    for (name, family, objective) in [("bert", "bert", "masked_lm"), ("gpt", "gpt2", "causal")] {
        write(
            &format!("{name}.toml"),
            format!(
                "[corpus]\nheldout_per_thousand = 200\ntokenizer.kind = \"wordpiece\"\n\
                 tokenizer.vocab_size = 400\n{sources}[pretrain]\nobjective = \"{objective}\"\n\
                 [pretrain.model]\nfamily = \"{family}\"\n{sizes}{TRAIN}"
            ),
        );
    }
    let train = TRAIN.replace("pretrain", "finetune");
    write(
        "mood.toml",
        format!(
            "[finetune]\ntask = \"classification\"\nheldout_per_thousand = 300\n[[finetune.data]]\n\
             [finetune.data.examples]\npath = \"all.jsonl\"\nlimit = 300\n\
             label = \"{{{{ 'good' if (ratings | mean) > 0 else 'bad' }}}}\"\n{train}"
        ),
    );
    write(
        "tags.toml",
        format!(
            "[finetune]\ntask = \"token_classification\"\nheldout_per_thousand = 300\n[[finetune.data]]\n\
             [finetune.data.examples]\npath = {:?}\nformat = \"brown\"\nlimit = 200\n\
             labels = \"labels | map('first')\"\n{train}",
            data.join("brown_tagged.txt.gz")
        ),
    );
    write(
        "small.toml",
        "[comparison]\nseeds = [1, 2]\n\
         [[comparison.models]]\nname = \"BERT, small\"\nrecipe = \"bert.toml\"\n\
         [[comparison.models]]\nname = \"GPT\"\nrecipe = \"gpt.toml\"\nset = [\"pretrain.train.steps=10\"]\n\
         [[comparison.tasks]]\nname = \"mood\"\nrecipe = \"mood.toml\"\nmetric = \"macro_f1\"\n\
         [[comparison.tasks]]\nname = \"tags\"\nrecipe = \"tags.toml\"\n"
            .to_owned(),
    );
}

/// Writes the comparison `text` with `from` as `to` instead; it is an input error that `says` so.
fn fails(small: &Small, name: &str, out: &str, text: &str, (from, to, says): (&str, &str, &str)) {
    assert!(text.contains(from), "{from}");
    fs::write(small.path(name), text.replace(from, to)).unwrap();
    let output = small.athanor(&["compare", name, "--out", out, "--quiet"]).output().unwrap();
    let error = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{to}: {error}");
    assert!(error.contains(says), "{to}: {error}");
}

#[test]
fn a_grid_is_run_once_and_its_table_printed() {
    let small = Small::new(0);
    recipes(&small);
    let check = small.athanor(&["recipe", "--check", "small.toml"]).output().unwrap();
    good(&check);
    // One corpus for both, four models, eight fine-tunings.
    assert!(String::from_utf8_lossy(&check.stdout).contains("a comparison of 13 runs"));
    let output = small.command("compare", "grid", &["--threads", "2"]).output().unwrap();
    let told = good(&output);
    assert!(told.contains("13 of 13"), "{told}");
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    for word in ["BERT, small", "GPT", "mood: macro f1", "tags: accuracy", "±", "(baseline)"] {
        assert!(table.contains(word), "{word} is not in\n{table}");
    }
    let text = fs::read_to_string(small.path("grid/comparison.json")).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    let values = |pointer: &str| all.pointer(pointer).and_then(Value::as_array).unwrap().clone();
    assert_eq!(values("/models").len(), 2);
    for model in 0..2 {
        for task in 0..2 {
            let at = format!("/models/{model}/tasks/{task}");
            let seeds: Vec<f64> =
                values(&format!("{at}/values")).iter().map(|v| v.as_f64().unwrap()).collect();
            let mean = all.pointer(&format!("{at}/mean")).unwrap().as_f64().unwrap();
            assert_eq!(seeds.len(), 2);
            assert!((seeds.iter().sum::<f64>() / 2.0 - mean).abs() < 1e-12);
        }
    }
    let steps = |path: &str| {
        let text = fs::read_to_string(small.path("grid").join(path)).unwrap();
        text.lines().filter(|l| l.contains("\"train\"")).count()
    };
    assert_eq!(steps("bert-small/seed-1/pretrain/metrics.jsonl"), 20);
    assert_eq!(steps("gpt/seed-2/pretrain/metrics.jsonl"), 10);
    let page = fs::read_to_string(small.path("grid/report.html")).unwrap();
    assert!(page.contains("BERT, small") && page.matches("<circle").count() == 8);
    assert!(fs::read_to_string(small.path("grid/comparison.md")).unwrap().contains("| GPT |"));

    // Again: nothing is trained, the result is the same; one model more trains that one only.
    let model = small.path("grid/gpt/seed-1/pretrain/model/model.safetensors");
    let before = model.metadata().unwrap().modified().unwrap();
    good(&small.command("compare", "grid", &[]).output().unwrap());
    assert_eq!(fs::read_to_string(small.path("grid/comparison.json")).unwrap(), text);
    assert_eq!(model.metadata().unwrap().modified().unwrap(), before);
}

#[test]
fn texts_and_the_time_to_quality() {
    let small = Small::new(0);
    recipes(&small);
    fs::write(small.path("some.txt"), "It was a good day for the jury.\n".repeat(20)).unwrap();
    let toml = "[comparison]\nseeds = [1, 2]\nreach = \"slow\"\n\
         set = [\"pretrain.train.schedule.warmup_steps=3\"]\n\
         [[comparison.models]]\nname = \"slow\"\nrecipe = \"gpt.toml\"\n\
         set = [\"corpus.write_texts=true\", \"pretrain.train.learning_rate=1e-4\"]\n\
         [[comparison.models]]\nname = \"quick\"\nrecipe = \"gpt.toml\"\ntokenizer_of = \"slow\"\n\
         set = [\"pretrain.train.learning_rate=1e-2\", \"pretrain.train.evaluate.every=5\"]\n\
         [[comparison.models]]\nname = \"once\"\nrecipe = \"gpt.toml\"\nseeds = 1\n\
         set = [\"pretrain.train.schedule.warmup_steps=5\"]\n\
         [[comparison.texts]]\nname = \"held out\"\nheldout_of = \"slow\"\n\
         only = \"source == 'brown'\"\nlimit = 5\n\
         [[comparison.texts]]\nname = \"a file\"\npath = \"some.txt\"\n";
    fs::write(small.path("time.toml"), toml).unwrap();
    let run = |out| small.athanor(&["compare", "time.toml", "--out", out, "--quiet"]).output();
    let output = run("time").unwrap();
    good(&output);
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    for word in
        ["held-out loss", "as good as slow after", "1.00 ± 0.00 times", "a file: bits per byte"]
    {
        assert!(table.contains(word), "{word} is not in\n{table}");
    }
    let read = |path: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(small.path(path)).unwrap()).unwrap()
    };
    let all = read("time/comparison.json");
    let number = |pointer: &str| all.pointer(pointer).and_then(Value::as_f64).unwrap();
    assert!(number("/models/1/heldout_loss/mean") < number("/models/0/heldout_loss/mean"));
    assert_eq!(number("/models/1/reached/seeds"), 2.0);
    assert!(number("/models/1/reached/steps/mean") < number("/models/0/reached/steps/mean"));
    // Each model with its own seeds, with what is set for all behind what is set for it.
    let count = |pointer: &str| all.pointer(pointer).and_then(Value::as_array).unwrap().len();
    assert_eq!([1, 2].map(|m| count(&format!("/models/{m}/heldout_loss/values"))), [2, 1]);
    assert_eq!(all.pointer("/models/2/reached/of"), Some(&Value::from(1)));
    let warmup = |name: &str| {
        let text = fs::read_to_string(small.path(&format!("time/{name}/seed-1/recipe.toml")));
        text.unwrap().lines().find(|l| l.starts_with("warmup_steps")).unwrap().to_owned()
    };
    assert_eq!(warmup("quick"), "warmup_steps = 3");
    assert_eq!(warmup("once"), "warmup_steps = 5");
    // The two corpora have the same tokenizer, and the texts are those of the first's held-out share.
    let tokenizer = |name: &str| {
        fs::read(small.path(&format!("time/corpora/{name}/corpus/tokenizer/tokenizer.json")))
    };
    assert_eq!(tokenizer("slow").unwrap(), tokenizer("quick").unwrap());
    let texts = fs::read_to_string(small.path("time/texts/held-out.jsonl")).unwrap();
    assert_eq!(texts.lines().count(), 5);
    let kept = fs::read_to_string(small.path("time/corpora/slow/corpus/texts.jsonl")).unwrap();
    let held: Vec<Value> = kept
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap())
        .filter(|d| d["heldout"] == true)
        .collect();
    let texts: Vec<Value> = texts.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(texts.iter().zip(&held).all(|(a, b)| a["text"] == b["text"]));
    // As `athanor eval` measures it.
    let eval = small
        .athanor(&[
            "eval",
            "time/quick/seed-2",
            "--task",
            "bits-per-byte",
            "--data",
            "some.txt",
            "--json",
        ])
        .output()
        .unwrap();
    let lines = String::from_utf8_lossy(&eval.stdout).into_owned();
    let eval: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(
        eval["figures"]["bits_per_byte"].as_f64(),
        Some(number("/models/1/texts/1/values/1"))
    );
    let page = fs::read_to_string(small.path("time/report.html")).unwrap();
    assert!(page.contains("class=\"curve") && page.matches("<circle").count() == 10);
    // Again: what was measured stays; other texts are measured anew.
    let kept = small.path("time/quick/seed-1/texts/a-file.json");
    let before = fs::read_to_string(&kept).unwrap();
    run("time").unwrap();
    assert_eq!(fs::read_to_string(&kept).unwrap(), before);
    fs::write(small.path("some.txt"), "Other words.\n").unwrap();
    run("time").unwrap();
    assert_ne!(fs::read_to_string(&kept).unwrap(), before);

    for (from, to, says) in [
        ("reach = \"slow\"", "reach = \"slew\"", "must be the name of a model"),
        (
            "tokenizer_of = \"slow\"",
            "tokenizer_of = \"quick\"",
            "not the name of a model before it",
        ),
        ("heldout_of = \"slow\"", "heldout_of = \"quick\"", "keeps no texts"),
        ("path = \"some.txt\"", "path = \"none.txt\"", "none.txt"),
        ("path = \"some.txt\"", "text = \"text\"", "heldout_of, and not both"),
        ("source == 'brown'", "source == 'green'", "no text is left"),
        ("source == 'brown'", "source ==", "only"),
    ] {
        fails(&small, "time.toml", "time", toml, (from, to, says));
    }
}

#[test]
fn mistakes_are_errors_before_anything_runs() {
    let small = Small::new(0);
    recipes(&small);
    let good_text = fs::read_to_string(small.path("small.toml")).unwrap();
    for (from, to, says) in [
        ("bert.toml", "bret.toml", "there is no such recipe"),
        ("bert.toml", "mood.toml", "has no section [pretrain]"),
        ("mood.toml", "gpt.toml", "has no section [finetune]"),
        ("\"GPT\"", "\"bert small\"", "two entries of the same name"),
        ("seeds = [1, 2]", "seeds = [1, 1]", "names a seed twice"),
        ("seeds = [1, 2]", "seeds = []", "at least one seed"),
        ("pretrain.train.steps=10", "pretrain.train.stepz=10", "did you mean `steps`"),
        ("metric =", "metrik =", "did you mean `metric`"),
        ("[comparison]", "[run]\n[comparison]", "[run]"),
    ] {
        fails(&small, "small.toml", "bad", &good_text, (from, to, says));
        assert!(!small.path("bad").exists(), "{to}: something was written");
    }
    fs::remove_file(small.path("all.jsonl")).unwrap();
    fs::write(small.path("small.toml"), good_text).unwrap();
    let told = stderr(&small.command("compare", "bad", &[]).output().unwrap());
    assert!(told.contains("there is no file or folder") && !small.path("bad").exists(), "{told}");
    let told = stderr(&small.athanor(&["compare", "bert.toml"]).output().unwrap());
    assert!(told.contains("no section [comparison]"), "{told}");
}
