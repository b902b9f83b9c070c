//! A recipe that passes all the stages in seconds, and its data.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use athanor_data::records;

/// The stages in their order.
pub const STAGES: [&str; 5] = ["corpus", "pretrain", "finetune", "reward", "reinforce"];

/// A folder with the recipe, its data and the binary.
pub struct Small {
    pub dir: tempfile::TempDir,
    binary: PathBuf,
}

impl Small {
    /// Takes `texts` short texts of the human ratings.
    pub fn new(texts: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::copy(here.join("tests/data/small.toml"), dir.path().join("small.toml")).unwrap();
        let lines: Vec<String> = records::open(here.join("../../data/human_ratings.jsonl.gz"))
            .unwrap()
            .map(Result::unwrap)
            .filter(|r| (20..70).contains(&r.text("text").unwrap().len()))
            .take(texts)
            .map(|r| serde_json::Value::Object(r.0).to_string())
            .collect();
        assert_eq!(lines.len(), texts, "so many short texts");
        fs::write(dir.path().join("ratings.jsonl"), lines.join("\n") + "\n").unwrap();
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
