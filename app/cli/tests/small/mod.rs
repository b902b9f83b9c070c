//! A recipe that passes all the stages in seconds, and its data.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use athanor_data::records;
use serde_json::{Map, Value};

/// The stages in their order.
pub const STAGES: [&str; 5] = ["corpus", "pretrain", "finetune", "reward", "reinforce"];

/// A folder with the recipe, its data and the binary.
pub struct Small {
    pub dir: tempfile::TempDir,
    binary: PathBuf,
}

impl Small {
    /// With `texts` short texts of the human ratings, and all of them for the corpus.
    pub fn new(texts: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::copy(here.join("tests/data/small.toml"), dir.path().join("small.toml")).unwrap();
        let mut all = String::new();
        let mut short = String::new();
        let mut left = texts;
        for record in records::open(here.join("../../data/human_ratings.jsonl.gz")).unwrap() {
            let record = record.unwrap();
            let line = format!("{}\n", serde_json::Value::Object(record.0.clone()));
            if left > 0 && (20..70).contains(&record.text("text").unwrap().len()) {
                short.push_str(&line);
                left -= 1;
            }
            all.push_str(&line);
        }
        assert_eq!(left, 0, "so many short texts");
        fs::write(dir.path().join("ratings.jsonl"), short).unwrap();
        fs::write(dir.path().join("all.jsonl"), all).unwrap();
        // The same binary from beginning to end, whatever is built meanwhile.
        let binary = dir.path().join("athanor");
        let built = env!("CARGO_BIN_EXE_athanor");
        if fs::hard_link(built, &binary).is_err() {
            fs::copy(built, &binary).unwrap();
        }
        Self { dir, binary }
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `athanor COMMAND small.toml --out OUT`, in the folder.
    pub fn command(&self, command: &str, out: &str, more: &[&str]) -> Command {
        let mut athanor = self.athanor(&[command, "small.toml", "--out", out]);
        athanor.args(more);
        athanor
    }

    /// `athanor ARGS`, in the folder.
    pub fn athanor(&self, args: &[&str]) -> Command {
        let mut athanor = Command::new(&self.binary);
        athanor
            .args(args)
            .current_dir(self.dir.path())
            .env_remove("NO_COLOR")
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        athanor
    }

    /// Kills a stage of the recipe once it has made three checkpoints; false if it was too quick.
    pub fn kill(&self, stage: &str, out: &str) -> bool {
        let mut child = self.command(stage, out, &["--threads", "1"]).spawn().unwrap();
        let began = Instant::now();
        while checkpoints(&self.path(out), stage).len() < 3 && child.try_wait().unwrap().is_none() {
            assert!(began.elapsed().as_secs() < 300, "no checkpoints");
            sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap().code().is_none()
    }

    /// Edits the recipe.
    pub fn edit(&self, from: &str, to: &str) {
        let path = self.path("small.toml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from} is not in the recipe");
        fs::write(path, text.replace(from, to)).unwrap();
    }
}

/// Standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A run that went well; its standard error.
pub fn good(output: &Output) -> String {
    assert!(output.status.success(), "{:?}: {}", output.status, stderr(output));
    stderr(output)
}

/// All files below a folder, as sorted relative paths; hidden ones too.
pub fn files(dir: &Path) -> Vec<String> {
    fn walk(at: &Path, base: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, base, found);
            }
            found.push(path.strip_prefix(base).unwrap().to_str().unwrap().to_owned());
        }
    }
    let mut found = Vec::new();
    walk(dir, dir, &mut found);
    found.sort();
    found
}

/// Fails if something half-written is below a folder.
pub fn nothing_partial(dir: &Path) {
    let bad: Vec<String> = files(dir)
        .into_iter()
        .filter(|f| f.contains(".partial-") || f.contains(".old-") || f.ends_with(".kept"))
        .collect();
    assert!(bad.is_empty(), "half-written: {bad:?}");
}

/// Copies a folder.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What depends on the clock.
const CLOCK: [&str; 3] = ["seconds", "tokens_per_second", "flops_per_second"];

/// JSON lines without what depends on the clock.
pub fn lines(path: &Path) -> Vec<Map<String, Value>> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| {
            let mut line: Map<String, Value> = serde_json::from_str(line).unwrap();
            line.retain(|name, _| !CLOCK.contains(&name.as_str()));
            line
        })
        .collect()
}

/// A stage's result is byte for byte that of the undisturbed run, and its metrics have every step
/// exactly once.
pub fn same(a: &Path, other: &Path, stage: &str) {
    let (a, other) = (a.join(stage), other.join(stage));
    nothing_partial(&other);
    let mut whole: Vec<PathBuf> = files(&a)
        .into_iter()
        .map(PathBuf::from)
        .filter(|f| !f.starts_with("checkpoints") && a.join(f).is_file())
        .collect();
    // What holds the clock's figures is compared without them, or not at all.
    whole.retain(|f| {
        let name = f.to_str().unwrap();
        !name.starts_with("events.out")
            && !["metrics.jsonl", "summary.json", "done.json"].contains(&name)
    });
    assert!(stage == "corpus" || whole.contains(&PathBuf::from("model/model.safetensors")));
    for file in &whole {
        let equal = fs::read(a.join(file)).unwrap() == fs::read(other.join(file)).unwrap();
        assert!(equal, "{stage}: {} differs", file.display());
    }
    let summary = |dir: &Path| {
        let text = fs::read_to_string(dir.join("summary.json")).unwrap();
        let mut summary: Map<String, Value> = serde_json::from_str(&text).unwrap();
        summary.retain(|name, _| name != "seconds" && !name.ends_with("_memory_bytes"));
        summary
    };
    assert_eq!(summary(&a), summary(&other), "{stage}");
    if stage == "corpus" {
        return;
    }
    let metrics = lines(&other.join("metrics.jsonl"));
    let steps: Vec<u64> = metrics
        .iter()
        .filter(|l| l["kind"] == "train")
        .map(|l| l["step"].as_u64().unwrap())
        .collect();
    assert!(steps.iter().copied().eq(1..=steps.len() as u64), "{stage}: steps {steps:?}");
    assert_eq!(lines(&a.join("metrics.jsonl")), metrics, "{stage}");
}

/// Checkpoints of a stage, by rising step.
pub fn checkpoints(run: &Path, stage: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(run.join(stage).join("checkpoints")) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .map(|e| e.unwrap().path())
        .filter(|p| p.file_name().unwrap().to_str().unwrap().starts_with("step-"))
        .collect();
    found.sort();
    found
}
