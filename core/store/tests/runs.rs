//! Checkpoints that are damaged, runs that are cut off, stages made from something else.
#![allow(missing_docs)]

use std::{fs, path::Path, sync::Arc};

use athanor_store::{
    Array, ArrayData, ArrayDataRef, ArrayRef, Check, Checkpoints, Fingerprint, Interrupt,
    JsonLines, Kind, Recipe, Run, Silent, read_json, read_jsonl, section,
};
use serde_json::{Value, json};

fn weights(step: u64) -> Array {
    Array { name: "w".into(), shape: vec![2], data: ArrayData::F32(vec![step as f32, 0.5]) }
}

fn save(all: &Checkpoints, step: u64) {
    let (w, m) = (weights(step), weights(step + 1));
    let path = all
        .save(
            step,
            &[("weights", &[w.as_ref()]), ("optimizer", &[m.as_ref()])],
            &json!({"cursor": {"epoch": 1, "position": step}}),
        )
        .unwrap();
    assert_eq!(path, all.path(step));
}

fn steps(all: &Checkpoints) -> Vec<u64> {
    all.list().unwrap().into_iter().map(|(step, _)| step).collect()
}

#[test]
fn checkpoints_round_trip_and_are_pruned() {
    let dir = tempfile::tempdir().unwrap();
    let all = Checkpoints::new(&dir.path().join("checkpoints"), 2);
    assert_eq!(all.latest().unwrap(), None);
    [1, 2, 3, 100_000_000].into_iter().for_each(|s| save(&all, s));
    assert_eq!(steps(&all), [3, 100_000_000]);
    let (found, warnings) = all.latest_with_warnings().unwrap();
    let mut found = found.unwrap();
    assert_eq!(warnings, [""; 0]);
    assert_eq!(found.step, 100_000_000);
    assert_eq!(found.state, json!({"cursor": {"epoch": 1, "position": 100_000_000}}));
    assert_eq!(found.take("weights").unwrap(), [weights(100_000_000)]);
    assert_eq!(found.take("optimizer").unwrap(), [weights(100_000_001)]);
    assert!(found.take("weights").unwrap_err().to_string().contains("has no weights.safetensors"));
    let mut names: Vec<_> = fs::read_dir(all.path(3))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["manifest.json", "optimizer.safetensors", "state.json", "weights.safetensors"]
    );
}

#[test]
fn a_damaged_checkpoint_falls_back_to_the_one_before() {
    type Damage = fn(&Path);
    let damages: [(Damage, &str); 6] = [
        (|p| fs::remove_file(p.join("manifest.json")).unwrap(), "manifest.json"),
        (|p| fs::write(p.join("manifest.json"), "{").unwrap(), "manifest.json:1:1"),
        (|p| fs::write(p.join("state.json"), "{}").unwrap(), "state.json: damaged: 2 bytes"),
        (|p| fs::remove_file(p.join("weights.safetensors")).unwrap(), "weights.safetensors"),
        (
            |p| {
                let file = p.join("weights.safetensors");
                let mut bytes = fs::read(&file).unwrap();
                *bytes.last_mut().unwrap() ^= 1;
                fs::write(file, bytes).unwrap();
            },
            "weights.safetensors: damaged: its SHA-256 is",
        ),
        (
            |p| {
                let file = p.join("optimizer.safetensors");
                let bytes = fs::read(&file).unwrap();
                fs::write(file, &bytes[..bytes.len() - 1]).unwrap();
            },
            "optimizer.safetensors: damaged: ",
        ),
    ];
    for (damage, says) in damages {
        let dir = tempfile::tempdir().unwrap();
        let all = Checkpoints::new(dir.path(), 2);
        save(&all, 500);
        save(&all, 1000);
        damage(&all.path(1000));
        let (found, warnings) = all.latest_with_warnings().unwrap();
        assert_eq!(found.unwrap().step, 500);
        assert!(warnings.len() == 1 && warnings[0].contains(says), "{warnings:?}");
        assert_eq!(Checkpoints::load(&all.path(1000)).unwrap_err().kind(), Kind::Input);

        damage(&all.path(500));
        let e = all.latest().unwrap_err();
        assert_eq!(e.kind(), Kind::Input);
        assert!(e.to_string().contains("2 checkpoint(s), and none is whole:"), "{e}");
        assert!(e.to_string().contains("\n  help: restore one"), "{e}");
    }
}

#[test]
fn going_on_from_an_older_checkpoint_drops_the_later_ones() {
    let dir = tempfile::tempdir().unwrap();
    let all = Checkpoints::new(dir.path(), 1);
    save(&all, 1000);
    fs::remove_file(all.path(1000).join("manifest.json")).unwrap();
    save(&all, 750);
    // Were the damaged one counted as the newest, this one would have been pruned.
    assert_eq!(steps(&all), [750]);
    assert_eq!(all.latest().unwrap().unwrap().step, 750);
}

#[test]
fn saved_twice_and_crashed_in_the_middle() {
    let dir = tempfile::tempdir().unwrap();
    let all = Checkpoints::new(dir.path(), 2);
    save(&all, 500);
    save(&all, 500);
    fs::rename(all.path(500), dir.path().join(".step-00000500.old-1")).unwrap();
    assert_eq!(all.latest().unwrap().unwrap().step, 500);
    // A manifest that leads out of its folder is refused.
    let manifest = all.path(500).join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap().replace("state.json", "../state.json");
    fs::write(&manifest, text).unwrap();
    assert!(all.latest().unwrap_err().to_string().contains("is no file name"));
}

#[test]
fn a_checkpoint_that_cannot_be_written_leaves_the_last_and_nothing_partial() {
    let dir = tempfile::tempdir().unwrap();
    let all = Checkpoints::new(dir.path(), 2);
    save(&all, 500);
    let (a, b) = (weights(1), weights(2));
    // Two tensors of one name: refused in the middle of writing, as a full disk would be.
    all.save(
        1000,
        &[("weights", &[a.as_ref()]), ("optimizer", &[b.as_ref(), b.as_ref()])],
        &Value::Null,
    )
    .unwrap_err();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(all.latest().unwrap().unwrap().step, 500);
}

/// `mount -t tmpfs -o size=256k tmpfs /tmp/tiny` makes such a folder.
#[test]
#[ignore = "wants ATHANOR_TINY_DISK: a folder on an empty file system of 256 kB"]
fn a_full_disk_leaves_the_last_checkpoint_and_nothing_partial() {
    let disk = std::env::var_os("ATHANOR_TINY_DISK").expect("ATHANOR_TINY_DISK");
    let all = Checkpoints::new(&Path::new(&disk).join("checkpoints"), 3);
    save(&all, 500);
    // Full in a file's middle, and full within the last few bytes that a buffer holds.
    for n in [100_000, 62_000] {
        let big = vec![1.0; n];
        let big = ArrayRef { name: "w", shape: &[n], data: ArrayDataRef::F32(&big) };
        let e = all.save(1000, &[("weights", &[big])], &Value::Null).unwrap_err();
        assert_eq!(e.kind(), Kind::Failed);
        assert!(e.to_string().contains("the disk is full\n  help: free some space"), "{e}");
        assert_eq!(fs::read_dir(Path::new(&disk).join("checkpoints")).unwrap().count(), 1);
        assert_eq!(all.latest().unwrap().unwrap().step, 500);
    }
    save(&all, 1000);
}

section! {
    /// A stage.
    pub struct Stage {
        /// Steps.
        steps: u64 = 500,
        /// Name.
        name: String = "gpt".into(),
        /// Log every so many steps.
        #[watch]
        log_every: u64 = 10,
    }
}

impl Check for Stage {}

fn open(dir: &Path, seed: u64, force: bool) -> athanor_store::Result<Run> {
    let recipe = Recipe::parse("demo.toml", "", &[]).unwrap();
    Run::open(dir, recipe, seed, Arc::new(Silent), Interrupt::new(), force)
}

mod newer {
    use athanor_store::{Check, section};

    section! {
        /// What [`super::Stage`] became.
        pub struct Stage {
            /// Steps.
            steps: u64 = 500,
            /// Name.
            name: String = "gpt".into(),
            /// A new key.
            dropout: f64 = 0.5,
            /// A new section.
            part: Part = Part { width: 3 },
            /// Log every so many steps.
            #[watch]
            log_every: u64 = 10,
        }
    }

    section! {
        /// A section within.
        pub struct Part {
            /// Its key, whose default the outer section changes.
            width: u64 = 1,
        }
    }

    impl Check for Stage {}
    impl Check for Part {}
}

#[test]
fn a_new_key_at_its_default_does_not_make_another_run() {
    let dir = tempfile::tempdir().unwrap();
    let run = open(&dir.path().join("run"), 1, false).unwrap();
    let stage = run.stage("pretrain");
    assert!(!stage.is_done(&run.fingerprint(&Stage::default())).unwrap());
    save(&Checkpoints::new(&stage.path("checkpoints"), 1), 20);
    let at = |dropout, width| {
        let part = newer::Part { width };
        run.fingerprint(&newer::Stage { dropout, part, ..newer::Stage::default() })
    };
    assert!(!stage.is_done(&at(0.5, 3)).unwrap());
    let e = stage.is_done(&at(0.1, 1)).unwrap_err().to_string();
    assert!(e.contains("pretrain.dropout: 0.5 → 0.1"), "{e}");
    assert!(e.contains("pretrain.part.width: 3 → 1") && !e.contains("steps"), "{e}");
    stage.finish(&run.fingerprint(&Stage::default()), 1.0, &json!({})).unwrap();
    assert!(stage.is_done(&at(0.5, 3)).unwrap());
    assert!(stage.is_done(&at(0.5, 1)).is_err());
}

#[test]
fn a_stage_is_done_once_and_only_for_its_fingerprint() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("run");
    let run = open(&dir, 1, false).unwrap();
    let made = run.fingerprint(&Stage::default()).input("tokenizer", "a".repeat(64));
    let stage = run.stage("pretrain");
    assert!(!stage.is_done(&made).unwrap());
    assert!(!stage.is_done(&made).unwrap());
    athanor_store::write_atomic(&stage.path("model/config.json"), b"abc").unwrap();

    let other = |steps, tokenizer: &str, seed| {
        let section = Stage { steps, log_every: 99, ..Stage::default() };
        Fingerprint::new(&section, seed).input("tokenizer", tokenizer.repeat(64))
    };
    assert!(!stage.is_done(&other(500, "a", 1)).unwrap());
    // Nothing to lose without a checkpoint: begun anew.
    assert!(!stage.is_done(&other(550, "a", 1)).unwrap());
    assert!(!stage.path("model").exists());
    assert!(!stage.is_done(&made).unwrap());
    athanor_store::write_atomic(&stage.path("model/config.json"), b"abc").unwrap();
    save(&Checkpoints::new(&stage.path("checkpoints"), 1), 20);
    let e = stage.is_done(&other(600, "b", 2)).unwrap_err();
    assert_eq!(e.kind(), Kind::Input);
    assert_eq!(
        e.to_string(),
        format!(
            "{}: this stage was started with another recipe:\n  input tokenizer: sha256 \
             aaaaaaaaaaaa… → sha256 bbbbbbbbbbbb…\n  pretrain.steps: 500 → 600\n  seed: 1 → 2\n  \
             help: --force redoes this stage, or choose another --out",
            dir.join("pretrain").display()
        )
    );

    stage.finish(&made, 1.5, &json!({"heldout_loss": 2.0})).unwrap();
    assert!(stage.is_done(&made).unwrap());
    assert!(!stage.path("started.json").exists());
    let done: Value = read_json(&stage.path("done.json")).unwrap();
    assert_eq!(done["seconds"], json!(1.5));
    assert_eq!(done["files"]["model/config.json"], json!(athanor_store::sha256_bytes(b"abc")));
    assert!(done["files"]["summary.json"].is_string());
    let manifest: Value = read_json(&dir.join("manifest.json")).unwrap();
    assert_eq!(manifest["stages"]["pretrain"], json!({"hash": made.hash(), "seconds": 1.5}));
    assert!(
        stage.is_done(&other(600, "a", 1)).unwrap_err().to_string().contains("was finished with")
    );
    drop(run);

    // Opened again, the manifest still knows; with force, the stage is redone, once.
    let run = open(&dir, 1, true).unwrap();
    let manifest: Value = read_json(&dir.join("manifest.json")).unwrap();
    assert_eq!(manifest["stages"]["pretrain"]["seconds"], json!(1.5));
    drop(run);
    // Killed between done.json and the manifest: it is entered when the stage is next looked at.
    fs::remove_file(dir.join("manifest.json")).unwrap();
    let run = open(&dir, 1, true).unwrap();
    let stage = run.stage("pretrain");
    assert!(stage.is_done(&made).unwrap());
    assert_eq!(read_json::<Value>(&dir.join("manifest.json")).unwrap(), manifest);
    assert!(!stage.is_done(&other(600, "a", 1)).unwrap());
    assert!(!stage.path("model").exists() && !stage.path("done.json").exists());
    athanor_store::write_atomic(&stage.path("half"), b"").unwrap();
    assert!(!stage.is_done(&other(600, "a", 1)).unwrap());
    assert!(stage.path("half").exists());
    assert!(!stage.is_done(&other(700, "a", 1)).unwrap());
    assert!(!stage.path("half").exists());
}

/// The processor leaves no trace in a fingerprint, so old stages stay done.
#[test]
fn another_device_makes_another_result() {
    let dir = tempfile::tempdir().unwrap();
    let run = open(&dir.path().join("run"), 1, false).unwrap();
    let stage = run.stage("pretrain");
    let made = run.fingerprint(&Stage::default());
    let text = json!(made).to_string();
    assert!(!text.contains("device"), "{text}");
    assert_eq!(made.clone().on(None).hash(), made.hash());
    let elsewhere = made.clone().on(Some("other"));
    assert_ne!(elsewhere.hash(), made.hash());
    assert!(!stage.is_done(&made).unwrap());
    stage.finish(&made, 1.0, &json!({})).unwrap();
    assert!(stage.is_done(&made).unwrap());
    let error = stage.is_done(&elsewhere).unwrap_err().to_string();
    assert!(error.contains("run.device: the processor → other"), "{error}");
}

#[test]
fn a_run_is_open_once() {
    let dir = tempfile::tempdir().unwrap();
    let run = open(dir.path(), 1, false).unwrap();
    let e = open(dir.path(), 1, false).err().unwrap();
    assert_eq!(e.kind(), Kind::Failed);
    assert_eq!(
        e.to_string(),
        format!(
            "{}: another athanor (process {}) is writing this run\n  help: wait for it, stop it, \
             or choose another --out",
            dir.path().display(),
            std::process::id()
        )
    );
    drop(run);
    open(dir.path(), 1, false).unwrap();
}

/// Names the run in which the child of the next test works until it is killed.
const CHILD: &str = "ATHANOR_TEST_CHILD";

/// Not a test of its own: what the child of the next one does.
#[test]
fn child_that_saves_until_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let run = open(Path::new(&dir), 1, false).unwrap();
    let all = Checkpoints::new(&run.stage("pretrain").path("checkpoints"), 2);
    let mut lines = JsonLines::append(&run.stage("pretrain").path("metrics.jsonl")).unwrap();
    let start = all.latest().unwrap().map_or(0, |c| c.step);
    for step in start + 1.. {
        lines.write(&json!({"step": step, "text": "x".repeat(3000)})).unwrap();
        save(&all, step);
        save(&all, step);
    }
}

#[test]
fn killed_at_any_moment_a_run_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let stage = dir.path().join("pretrain");
    let all = Checkpoints::new(&stage.join("checkpoints"), 2);
    let mut last = 0;
    for round in 0..20u64 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_saves_until_killed"])
            .env(CHILD, dir.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(40 + 7 * round));
        child.kill().unwrap();
        child.wait().unwrap();

        // The lock went with the process; the newest whole checkpoint never goes back.
        drop(open(dir.path(), 1, false).unwrap());
        let (found, warnings) = all.latest_with_warnings().unwrap();
        assert_eq!(warnings, [""; 0], "round {round}");
        let step = found.map_or(0, |c| c.step);
        assert!(step >= last, "round {round}: {step} after {last}");
        last = step;
        let lines = stage.join("metrics.jsonl");
        if lines.exists() {
            read_jsonl(&lines).unwrap();
            JsonLines::truncate_after(&lines, |v| v["step"].as_u64() <= Some(last)).unwrap();
        }
    }
    assert!(last > 0);
    // What the dead left behind goes with the next save; no more than the last one's stays.
    save(&all, last + 1);
    let left: Vec<_> = fs::read_dir(stage.join("checkpoints"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.starts_with('.'))
        .collect();
    assert_eq!(left, [""; 0]);
}
