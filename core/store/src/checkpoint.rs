//! Checkpoints: whole states of a run, one folder for each, found by looking at the disk.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Array, ArrayRef, Error, Result, StagedDir,
    arrays::{load_arrays, write_arrays},
    durable::{self, Hashing, json_bytes},
    read_json, sha256_file, write_json,
};

/// All that training needs to go on as if it had not been stopped.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Optimiser steps done.
    pub step: u64,
    /// The arrays of each file, by the file's name without `.safetensors` (`weights`, `optimizer`).
    pub files: Vec<(String, Vec<Array>)>,
    /// Whatever else: RNG, data cursor, schedules.
    pub state: Value,
}

impl Checkpoint {
    /// Takes the arrays of one file out.
    ///
    /// # Errors
    /// An input error when the checkpoint has no such file.
    pub fn take(&mut self, name: &str) -> Result<Vec<Array>> {
        match self.files.iter().position(|(n, _)| n == name) {
            Some(i) => Ok(self.files.swap_remove(i).1),
            None => Err(Error::input(format_args!(
                "the checkpoint of step {} has no {name}.safetensors",
                self.step
            ))),
        }
    }
}

/// A run's checkpoints: `step-00000500/` and its kin in one folder.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    dir: PathBuf,
    keep: usize,
}

/// What `manifest.json` says: the step, and each file with its hash and size.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    athanor: String,
    step: u64,
    files: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    name: String,
    bytes: u64,
    sha256: String,
}

const MANIFEST: &str = "manifest.json";
const STATE: &str = "state.json";
const ARRAYS: &str = ".safetensors";

impl Checkpoints {
    /// The checkpoints in `dir`, of which the newest `keep` (at least 1) are kept.
    pub fn new(dir: &Path, keep: usize) -> Self {
        Self { dir: dir.to_owned(), keep: keep.max(1) }
    }

    /// Writes the checkpoint of `step`: each of `files` as `NAME.safetensors`, `state.json`, and a
    /// manifest with their hashes. Once it is durable, older ones are removed down to `keep`, and so
    /// are those of later steps: they belong to a future that a resume from an older checkpoint
    /// has left. Returns the checkpoint's folder.
    ///
    /// # Errors
    /// Those of [`Error::io`], a full disk among them; the checkpoints that were there are then
    /// still there, and nothing partial is.
    pub fn save(
        &self,
        step: u64,
        files: &[(&str, &[ArrayRef<'_>])],
        state: &Value,
    ) -> Result<PathBuf> {
        let target = self.path(step);
        self.sweep()?;
        let staged = StagedDir::new(&target)?;
        let mut entries = Vec::with_capacity(files.len() + 1);
        let mut write =
            |name: String, fill: &mut dyn FnMut(&mut dyn std::io::Write, &Path) -> Result<()>| {
                let path = staged.path().join(&name);
                let fail = |e| Error::io("write", &path, e);
                let file = File::create_new(&path).map_err(fail)?;
                // Hashed on the way, so that the manifest tells what we meant to write.
                let mut out = Hashing::new(BufWriter::with_capacity(1 << 20, file));
                fill(&mut out, &path)?;
                let (sha256, bytes) = out.finish().map_err(fail)?;
                entries.push(Entry { name, bytes, sha256 });
                Ok(())
            };
        for (name, arrays) in files {
            write(format!("{name}{ARRAYS}"), &mut |out, path| {
                write_arrays(out, path, arrays, &Default::default())
            })?;
        }
        write(STATE.into(), &mut |out, path| {
            out.write_all(&json_bytes(path, state)?).map_err(|e| Error::io("write", path, e))
        })?;
        let athanor = env!("CARGO_PKG_VERSION").to_owned();
        write_json(&staged.path().join(MANIFEST), &Manifest { athanor, step, files: entries })?;
        staged.commit()?;
        self.prune(step)?;
        Ok(target)
    }

    /// The newest checkpoint that is whole; `None` if there is none at all.
    ///
    /// # Errors
    /// Those of [`latest_with_warnings`](Self::latest_with_warnings).
    pub fn latest(&self) -> Result<Option<Checkpoint>> {
        Ok(self.latest_with_warnings()?.0)
    }

    /// The newest checkpoint that is whole, and a line for each newer one that is not.
    ///
    /// # Errors
    /// An input error when there are checkpoints and none is whole; those of [`Error::io`] for the
    /// folder.
    pub fn latest_with_warnings(&self) -> Result<(Option<Checkpoint>, Vec<String>)> {
        self.sweep()?;
        let mut warnings = Vec::new();
        for (_, path) in self.list()?.into_iter().rev() {
            match Self::load(&path) {
                Ok(checkpoint) => return Ok((Some(checkpoint), warnings)),
                Err(e) => warnings.push(format!("checkpoint skipped: {e}")),
            }
        }
        if warnings.is_empty() {
            return Ok((None, warnings));
        }
        Err(Error::input(format_args!(
            "{} checkpoint(s), and none is whole:\n  {}",
            warnings.len(),
            warnings.join("\n  ")
        ))
        .at(self.dir.display())
        .hint("restore one from a backup, or remove this folder to start the stage anew"))
    }

    /// Reads one checkpoint folder and checks every file's size and hash.
    ///
    /// # Errors
    /// An input error that names the file, what its manifest says and what was found.
    pub fn load(path: &Path) -> Result<Checkpoint> {
        let manifest: Manifest = read_json(&path.join(MANIFEST))?;
        for entry in &manifest.files {
            let Entry { name, bytes, sha256 } = entry;
            // A manifest is input too: it must not lead out of its folder.
            if Path::new(name).file_name() != Some(name.as_ref()) {
                return Err(Error::input(format_args!("{name:?} is no file name"))
                    .at(path.join(MANIFEST).display()));
            }
            let file = path.join(name);
            let found = fs::metadata(&file).map_err(|e| Error::io("read", &file, e))?.len();
            if found != *bytes {
                return Err(Error::input(format_args!(
                    "damaged: {found} bytes, its manifest says {bytes}"
                ))
                .at(file.display()));
            }
            let found = sha256_file(&file)?;
            if found != *sha256 {
                return Err(Error::input(format_args!(
                    "damaged: its SHA-256 is {found}, its manifest says {sha256}"
                ))
                .at(file.display()));
            }
        }
        let mut files = Vec::new();
        for entry in &manifest.files {
            if let Some(name) = entry.name.strip_suffix(ARRAYS) {
                files.push((name.to_owned(), load_arrays(&path.join(&entry.name))?));
            }
        }
        Ok(Checkpoint { step: manifest.step, files, state: read_json(&path.join(STATE))? })
    }

    /// All checkpoint folders, by rising step, good or not. A folder that is not there has none.
    ///
    /// # Errors
    /// Those of [`Error::io`].
    pub fn list(&self) -> Result<Vec<(u64, PathBuf)>> {
        let fail = |e| Error::io("read", &self.dir, e);
        let entries = match fs::read_dir(&self.dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(fail)?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry.map_err(fail)?.file_name();
            let step = name.to_str().and_then(step_of);
            found.extend(step.map(|step| (step, self.path(step))));
        }
        found.sort();
        Ok(found)
    }

    /// The folder of a step's checkpoint, there or not.
    pub fn path(&self, step: u64) -> PathBuf {
        self.dir.join(step_name(step))
    }

    /// Half-written checkpoints of dead processes go, also those of steps that never come again:
    /// they are as large as whole ones.
    fn sweep(&self) -> Result<()> {
        durable::sweep_folder(&self.dir, |name| step_of(name).is_some())
    }

    fn prune(&self, saved: u64) -> Result<()> {
        let (past, future): (Vec<_>, Vec<_>) =
            self.list()?.into_iter().partition(|(step, _)| *step <= saved);
        let old = past.len().saturating_sub(self.keep);
        for (_, path) in past.iter().take(old).chain(&future) {
            fs::remove_dir_all(path).map_err(|e| Error::io("remove", path, e))?;
        }
        Ok(())
    }
}

fn step_name(step: u64) -> String {
    format!("step-{step:08}")
}

fn step_of(name: &str) -> Option<u64> {
    let step = name.strip_prefix("step-")?.parse().ok()?;
    (step_name(step) == name).then_some(step)
}
