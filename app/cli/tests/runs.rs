//! A run from a recipe to its report.

mod common;

use std::{fs, path::Path};

use common::{athanor, bad, good, run, stderr};
use serde_json::Value;

fn recipe(dir: &Path) -> String {
    let texts: Vec<String> = (0..60)
        .map(|i| {
            let text = format!("Document {i} says that the cat sat on mat number {}. ", i * 7);
            serde_json::json!({ "text": text.repeat(3) }).to_string()
        })
        .collect();
    fs::write(dir.join("texts.jsonl"), texts.join("\n")).unwrap();
    let path = dir.join("small.toml");
    let text = "[run]\nseed = 3\n\n[corpus]\nsteps = []\n\n[corpus.tokenizer]\nvocab_size = 300\n\n\
                [[corpus.sources]]\nname = \"texts\"\npath = \"texts.jsonl\"\n";
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_recipe_runs_and_is_skipped_when_done() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = recipe(dir.path());
    let run_in = |args: &[&str]| athanor().current_dir(dir.path()).args(args).output().unwrap();
    let first = run_in(&["run", &recipe]);
    good(&first);
    assert!(stderr(&first).contains("report: runs/small/report.html"), "{}", stderr(&first));
    let out = dir.path().join("runs/small");
    for file in ["recipe.toml", "manifest.json", "report.html", "corpus/tokenizer/tokenizer.json"] {
        assert!(out.join(file).is_file(), "{file}");
    }
    let resolved = fs::read_to_string(out.join("recipe.toml")).unwrap();
    assert!(resolved.contains("seed = 3") && resolved.contains("heldout_per_thousand"));

    let again = run_in(&["corpus", &recipe]);
    good(&again);
    assert!(stderr(&again).contains("done already"), "{}", stderr(&again));
    // Another seed is another run.
    let error = bad(&run_in(&["corpus", &recipe, "--seed", "4"]), 2);
    assert!(error.contains("--force redoes this stage"), "{error}");
    good(&run_in(&["corpus", &recipe, "--seed", "4", "--force"]));
    good(&run_in(&["tokenizer", &recipe, "--out", "other"]));
    assert!(dir.path().join("other/corpus/tokenizer/tokenizer.json").is_file());

    fs::remove_file(out.join("report.html")).unwrap();
    assert!(good(&run_in(&["report", "runs/small"])).ends_with("report.html\n"));
    assert!(out.join("report.html").is_file());
    assert!(good(&run(["inspect", out.to_str().unwrap()])).contains("corpus"));
}

#[test]
fn progress_for_programs_and_none_with_quiet() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = recipe(dir.path());
    let out = dir.path().join("out");
    let out = out.to_str().unwrap();
    let output = run(["run", &recipe, "--out", out, "--json"]);
    for line in good(&output).lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert!(event["event"].is_string(), "{line}");
    }
    assert_eq!(stderr(&output), "");
    let output = run(["run", &recipe, "--out", out, "--quiet"]);
    assert_eq!((good(&output).as_str(), stderr(&output).as_str()), ("", ""));
}
