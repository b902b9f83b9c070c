//! A comparison as a program without a terminal runs it.

use std::{fs, path::Path};

use athanor_lab::{
    Session, comparison,
    plan::{self, RunOptions},
};
use athanor_store::{Silent, read_json};
use serde_json::Value;

/// A comparison of a tiny model with each of these seeds; `models` are their entries.
fn recipes(folder: &Path, models: &str) -> std::path::PathBuf {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/brown.jsonl.gz");
    let write = |name: &str, text: String| fs::write(folder.join(name), text).unwrap();
    write(
        "tiny.toml",
        format!(
            "[corpus]\nheldout_per_thousand = 200\ntokenizer.vocab_size = 300\n\
             [[corpus.sources]]\nname = \"brown\"\npath = {data:?}\nmax_bytes = 100000\n\
             [pretrain.model]\nhidden_size = 16\nlayers = 1\nheads = 2\ncontext = 32\n\
             [pretrain.train]\nsteps = 6\nbatch_size = 4\nschedule.warmup_steps = 2\nevaluate.items = 4\n"
        ),
    );
    write("some.txt", "It was a good day for the jury.\n".repeat(9));
    write(
        "grid.toml",
        format!(
            "[comparison]\nseeds = [1, 2]\n{models}\
             [[comparison.texts]]\nname = \"some text\"\npath = \"some.txt\"\n"
        ),
    );
    folder.join("grid.toml")
}

const TINY: &str = "[[comparison.models]]\nname = \"tiny\"\nrecipe = \"tiny.toml\"\n";

#[test]
fn two_seeds_of_a_recipe_without_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipes(folder.path(), TINY);
    let out = folder.path().join("out");
    let wanted = comparison::load(&recipe, &[], Some(&out)).unwrap();
    assert_eq!(comparison::check(&wanted).unwrap(), 3, "one corpus and two models");
    let session = Session { threads: Some(1), ..Session::new(std::sync::Arc::new(Silent)) };
    let all = comparison::run(&session, &wanted, false).unwrap();
    let kept: Value = read_json(&out.join("comparison.json")).unwrap();
    assert_eq!(all, kept);
    // The figures are those of each run's own summary.
    for (i, seed) in [1, 2].into_iter().enumerate() {
        let run = out.join(format!("tiny/seed-{seed}"));
        let summary: Value = read_json(&run.join("pretrain/summary.json")).unwrap();
        let at = |pointer: &str| all.pointer(pointer).cloned().unwrap();
        assert_eq!(at(&format!("/models/0/heldout_loss/values/{i}")), summary["heldout_loss"]);
        let texts: Value = read_json(&run.join("texts/some-text.json")).unwrap();
        assert_eq!(at(&format!("/models/0/texts/0/values/{i}")), texts["bits_per_byte"]);
    }
    for name in ["comparison.md", "report.html", "tiny/seed-1/report.html"] {
        assert!(out.join(name).is_file(), "{name}");
    }
    let rows = comparison::rows(&all);
    assert_eq!((rows.len(), rows[1][0].as_str()), (2, "tiny"));
    // Nothing is left to do.
    let model = out.join("tiny/seed-2/pretrain/model/model.safetensors");
    let before = model.metadata().unwrap().modified().unwrap();
    assert_eq!(comparison::run(&session, &wanted, false).unwrap(), all);
    assert_eq!(model.metadata().unwrap().modified().unwrap(), before);
    // A caller that asks to stop gets an error that says so.
    session.interrupt.set();
    let again = comparison::load(&recipe, &[], Some(&folder.path().join("again"))).unwrap();
    assert_eq!(comparison::run(&session, &again, false).unwrap_err().exit_code(), 130);
}

#[test]
fn a_name_that_two_models_have_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipes(folder.path(), &TINY.repeat(2));
    let out = folder.path().join("out");
    let Err(error) = comparison::load(&recipe, &[], Some(&out)) else { panic!("two of a name") };
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("two entries of the same name"), "{error}");
    assert!(!out.exists());
}

#[test]
fn a_device_that_this_build_does_not_have_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipes(folder.path(), TINY);
    let set = ["comparison.device=\"gpu\"".to_owned()];
    let Err(error) = comparison::load(&recipe, &set, None) else { panic!("no such device") };
    assert!(error.exit_code() == 2 && error.to_string().contains("this build has cpu"), "{error}");
    let set = vec!["run.device=\"gpu\"".to_owned()];
    let one = folder.path().join("tiny.toml");
    for options in [
        RunOptions { set, ..RunOptions::default() },
        RunOptions { device: Some("plan".into()), ..RunOptions::default() },
    ] {
        let Err(error) = plan::load(&one, &options) else { panic!("no such device") };
        assert!(error.to_string().contains("this build has cpu"), "{error}");
    }
}
