//! What people see when they ask for help, make a mistake or close a pipe.

mod common;

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use athanor_store::Recipe;
use common::{athanor, bad, fixtures, good, run, stderr};

#[test]
fn help_version_and_wrong_flags() {
    let help = good(&run(["--help"]));
    for word in ["demo", "run", "corpus", "eval", "generate", "chat", "forward", "Exit codes"] {
        assert!(help.contains(word), "{word} is missing in\n{help}");
    }
    assert!(help.find("  corpus").unwrap() < help.find("  eval").unwrap(), "stages come before");
    assert!(good(&run(["eval", "--help"])).contains("bits-per-byte"));
    assert!(good(&run(["--version"])).starts_with("athanor 0."));
    let error = bad(&run(["inspect", "--frobnicate"]), 2);
    assert!(error.starts_with("error: unexpected argument '--frobnicate'"), "{error}");
    bad(&run(["frobnicate"]), 2);
    bad(&run::<&str>([]), 2);
}

#[test]
fn a_device_is_one_that_this_build_has() {
    let (dir, model) = common::model_in_a_folder(false);
    let model = model.to_str().unwrap();
    let generate =
        |more: &[&str]| run([&["generate", model, "--prompt", "the cat"], more].concat());
    let text = good(&generate(&[]));
    assert_eq!(good(&generate(&["--device", "cpu"])), text);
    for name in ["gpu", "plan"] {
        let error = bad(&generate(&["--device", name]), 2);
        assert!(error.contains(&format!("no device \"{name}\"; this build has cpu")), "{error}");
        let recipe = dir.path().join("run.toml");
        fs::write(&recipe, format!("[run]\ndevice = {name:?}\n[reward]\n")).unwrap();
        for set in ["run.seed=1", "run.device=\"cpu\""] {
            let args = ["recipe", "--check", recipe.to_str().unwrap(), "--set", set];
            match set.contains("device") {
                true => assert!(good(&run(args)).contains("good")),
                false => {
                    let error = bad(&run(args), 2);
                    assert!(error.contains("run.toml:2"), "{error}");
                    assert!(error.contains("this build has cpu"), "{error}");
                }
            }
        }
    }
}

#[test]
fn missing_things_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let nothing = dir.path().join("nothing");
    let nothing = nothing.to_str().unwrap();
    for args in [
        vec!["generate", nothing, "--prompt", "a"],
        vec!["chat", nothing],
        vec!["forward", nothing, "--input", "i", "--output", "o"],
        vec!["eval", nothing, "--task", "perplexity", "--data", "d"],
        vec!["import", nothing, "x"],
        vec!["inspect", nothing],
        vec!["run", nothing],
        vec!["corpus", nothing],
        vec!["report", nothing],
    ] {
        let error = bad(&run(&args), 2);
        assert!(error.starts_with("error: ") && error.contains(nothing), "{args:?}: {error}");
    }
    let error = bad(&run(["generate", dir.path().to_str().unwrap(), "--prompt", "a"]), 2);
    assert!(error.contains("no model in this folder"), "{error}");
    let error = bad(&run(["eval", ".", "--task", "perplexiti", "--data", "d"]), 2);
    assert!(error.contains("no task `perplexiti`; did you mean `perplexity`?"), "{error}");
    let gguf = dir.path().join("a.gguf");
    fs::write(&gguf, "GGUF").unwrap();
    let error = bad(&run(["import", gguf.to_str().unwrap(), "x"]), 2);
    assert!(error.contains("a.gguf: the file ends at byte 4 within the header"), "{error}");
    // Programs get the error as JSON on standard output, too.
    let output = run(["--json", "inspect", nothing]);
    let json = String::from_utf8(output.stdout).unwrap();
    assert!(json.starts_with(r#"{"event":"error","kind":"input","message":"#), "{json}");
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.toml");
    fs::write(&path, "[run]\nsede = 3\n\n[corpus]\n").unwrap();
    let path = path.to_str().unwrap();
    let expected = format!(
        "error: {path}:2: unknown key `sede` in [run]; did you mean `seed`?\n  \
         help: its keys are name, out, folder, seed, threads, device\n"
    );
    for args in [vec!["run", path], vec!["recipe", "--check", path]] {
        assert_eq!(bad(&run(&args), 2), expected);
    }
    fs::write(path, "[run]\nname = \"a\"\n").unwrap();
    assert!(bad(&run(["run", path]), 2).contains("the recipe names no stage"));
    let error = bad(&run(["run", path, "--set", "run.threads=many"]), 2);
    assert!(error.starts_with("error: --set run.threads=many: `threads` in [run]"), "{error}");
    assert!(!dir.path().join("runs").exists(), "nothing is written for a bad recipe");
}

#[test]
fn the_annotated_recipe_is_a_recipe() {
    let text = good(&run(["recipe"]));
    assert!(text.contains("# What all randomness comes from.\nseed = 1\n"), "{text}");
    let recipe = Recipe::parse("recipe", &text, &[]).unwrap();
    assert!(recipe.has("run") && recipe.has("corpus"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.toml");
    fs::write(&path, &text).unwrap();
    // All names in it are known; only what has no default is missing.
    let error = bad(&run(["recipe", "--check", path.to_str().unwrap()]), 2);
    assert!(error.contains("no sources"), "{error}");
    fs::write(dir.path().join("a.txt"), "text").unwrap();
    fs::write(&path, "[[corpus.sources]]\nname = \"a\"\npath = \"a.txt\"\n").unwrap();
    let checked = good(&run(["recipe", "--check", path.to_str().unwrap()]));
    assert!(checked.ends_with("good; stages: corpus; run folder: runs/mine\n"), "{checked}");
    let error = bad(&run(["recipe", "corpsu"]), 2);
    assert!(error.contains("did you mean `corpus`?"), "{error}");
    let json = good(&run(["recipe", "run", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["keys"][3]["name"], "seed");
}

#[test]
fn a_closed_pipe_is_no_error() {
    // More output than a pipe holds, and a reader that leaves after the first line.
    for args in [vec!["recipe"], vec!["recipe", "--json"]] {
        let mut child =
            athanor().args(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        drop(child.stdout.take().map(|out| BufReader::new(out).read_line(&mut first)));
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
        assert!(!first.is_empty());
    }
    // The reader is gone before the first byte.
    let mut child = athanor().arg("recipe").stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn inspect_tells_what_a_model_is() {
    let path = fixtures().join("gpt2-padded");
    let path = path.to_str().unwrap();
    assert!(good(&run(["inspect", path])).contains("model"));
    let json: serde_json::Value =
        serde_json::from_str(&good(&run(["inspect", path, "--json"]))).unwrap();
    assert_eq!(json["path"], path);
}

#[test]
fn bench_gives_one_object_for_programs() {
    let text = good(&run([
        "bench",
        "train",
        "--shape",
        "S",
        "--seconds",
        "0.1",
        "--threads",
        "2",
        "--json",
    ]));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    for key in ["tokens_per_second", "peak_memory_bytes", "peak_flops_per_second"] {
        assert!(json[key].as_f64().unwrap() > 0.0, "{key}: {text}");
    }
    // A fresh model knows nothing: ln 4096. The optimiser learns even in these few steps.
    let (first, last) = (json["loss_first"].as_f64().unwrap(), json["loss_last"].as_f64().unwrap());
    assert!((first - 4096f64.ln()).abs() < 0.1 && last < first, "{text}");
    assert!(bad(&run(["bench", "train", "--shape", "XL"]), 2).contains("known: S, M"));
    assert!(bad(&run(["bench", "trian"]), 2).contains("known: train ("));
}
