//! `RUN/manifest.json`: what made a run, and which of its stages are done.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{Result, read_json, write_json};

/// `RUN/manifest.json`: what made the run, on what.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Manifest {
    athanor: String,
    os: String,
    arch: String,
    cpu: String,
    cores: usize,
    seed: u64,
    #[serde(default)]
    stages: BTreeMap<String, StageRecord>,
}

/// A finished stage in the manifest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct StageRecord {
    /// Of its fingerprint.
    pub(crate) hash: String,
    pub(crate) seconds: f64,
}

/// The manifest in its file; every change is written at once.
#[derive(Debug)]
pub(crate) struct ManifestFile {
    path: PathBuf,
    manifest: Mutex<Manifest>,
}

impl ManifestFile {
    pub(crate) fn open(path: &Path, seed: u64) -> Result<Self> {
        let old: Manifest = if path.exists() { read_json(path)? } else { Manifest::default() };
        let manifest = Manifest {
            athanor: env!("CARGO_PKG_VERSION").into(),
            os: std::env::consts::OS.into(),
            arch: std::env::consts::ARCH.into(),
            cpu: cpu_model(),
            cores: std::thread::available_parallelism().map_or(1, |n| n.get()),
            seed,
            stages: old.stages,
        };
        write_json(path, &manifest)?;
        Ok(Self { path: path.to_owned(), manifest: Mutex::new(manifest) })
    }

    /// Enters a finished stage; nothing is written where the manifest says so already.
    pub(crate) fn enter(&self, stage: &str, record: StageRecord) -> Result<()> {
        // A panic elsewhere cannot leave it half-changed.
        let mut manifest = self.manifest.lock().unwrap_or_else(PoisonError::into_inner);
        if manifest.stages.get(stage) == Some(&record) {
            return Ok(());
        }
        manifest.stages.insert(stage.to_owned(), record);
        write_json(&self.path, &*manifest)
    }
}

/// The processor's name, where the system tells it.
fn cpu_model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|l| l.starts_with("model name"));
    line.and_then(|l| l.split_once(':')).map_or("unknown", |(_, name)| name.trim()).to_owned()
}
