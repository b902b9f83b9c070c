//! A stage's folder in a run: whether its work is done, and what it was made from.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Checkpoints, Error, Result, Section,
    durable::{files_below, remove, sync_folder},
    fingerprint_value,
    manifest::{ManifestFile, StageRecord},
    read_json,
    recipe::complete_fingerprint,
    sha256_bytes, sha256_file, write_json,
};

/// What decides a stage's result: its section (without keys about watching), the seed and the
/// hashes of its inputs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The run's seed.
    pub seed: u64,
    /// The resolved section.
    pub section: Value,
    /// SHA-256 of each input, by its name.
    pub inputs: BTreeMap<String, String>,
    /// The device that computes it, if it is another than the processor: results may differ between devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Gives a section written by an older Athanor the keys that it did not know, at their defaults.
    #[serde(skip, default = "nothing_to_complete")]
    complete: fn(&mut Value),
}

fn nothing_to_complete() -> fn(&mut Value) {
    |_| {}
}

impl PartialEq for Fingerprint {
    fn eq(&self, other: &Self) -> bool {
        self.seed == other.seed
            && self.section == other.section
            && self.inputs == other.inputs
            && self.device == other.device
    }
}

impl Fingerprint {
    /// The fingerprint of a stage without inputs.
    pub fn new<S: Section>(section: &S, seed: u64) -> Self {
        let section = fingerprint_value(section);
        let (inputs, complete) = (BTreeMap::new(), complete_fingerprint::<S>);
        Self { seed, section, inputs, device: None, complete }
    }

    /// One that was read from a file, with this one's newer keys.
    fn completed(&self, mut old: Self) -> Self {
        (self.complete)(&mut old.section);
        old
    }

    /// Adds an input's hash.
    #[must_use]
    pub fn input(mut self, name: &str, sha256: impl Into<String>) -> Self {
        self.inputs.insert(name.to_owned(), sha256.into());
        self
    }

    /// Names the device; `None` is the processor.
    #[must_use]
    pub fn on(self, device: Option<&str>) -> Self {
        Self { device: device.map(str::to_owned), ..self }
    }

    /// SHA-256 of the fingerprint.
    pub fn hash(&self) -> String {
        sha256_bytes(serde_json::json!(self).to_string().as_bytes())
    }

    /// The keys that differ: `pretrain.train.steps: 500 → 600`.
    fn differences(&self, new: &Self, stage: &str) -> Vec<String> {
        let flat = |f: &Self| {
            let mut flat = BTreeMap::new();
            flatten(stage, &f.section, &mut flat);
            flat.insert("seed".into(), f.seed.to_string());
            let device = f.device.as_deref().unwrap_or("the processor");
            flat.insert("run.device".into(), device.to_owned());
            for (name, hash) in &f.inputs {
                let short = hash.get(..12).unwrap_or(hash);
                flat.insert(format!("input {name}"), format!("sha256 {short}…"));
            }
            flat
        };
        let (old, new) = (flat(self), flat(new));
        let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
        keys.into_iter()
            .filter(|k| old.get(*k) != new.get(*k))
            .map(|k| {
                let side =
                    |m: &BTreeMap<String, String>| m.get(k).cloned().unwrap_or("nothing".into());
                format!("{k}: {} → {}", side(&old), side(&new))
            })
            .collect()
    }
}

fn flatten(name: &str, value: &Value, out: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.iter().for_each(|(k, v)| flatten(&format!("{name}.{k}"), v, out));
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            list.iter().enumerate().for_each(|(i, v)| flatten(&format!("{name}.{i}"), v, out));
        }
        Value::Null => {
            out.insert(name.to_owned(), "not set".to_owned());
        }
        _ => {
            out.insert(name.to_owned(), value.to_string());
        }
    }
}

/// A stage's folder; from [`Run::stage`](crate::Run::stage).
#[derive(Clone, Debug)]
pub struct StageFolder {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    pub(crate) force: bool,
    pub(crate) manifest: Arc<ManifestFile>,
}

/// `started.json` and `done.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Stamp {
    fingerprint: Fingerprint,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    files: BTreeMap<String, String>,
}

impl Stamp {
    /// What the run's manifest says of the stage.
    fn record(&self) -> StageRecord {
        StageRecord { hash: self.fingerprint.hash(), seconds: self.seconds.unwrap_or(0.0) }
    }
}

const STARTED: &str = "started.json";
const DONE: &str = "done.json";

impl StageFolder {
    /// The stage's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file or folder in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Whether this work is done already. If not, it may begin, or go on where it was cut off:
    /// what it is made from is then written to `started.json`.
    ///
    /// # Errors
    /// An input error that lists the keys that differ when the folder has checkpoints or results made
    /// from something else, unless the run was opened with `force`: then it is emptied.
    /// Those of [`Error::io`].
    pub fn is_done(&self, fingerprint: &Fingerprint) -> Result<bool> {
        for (file, done) in [(DONE, true), (STARTED, false)] {
            let path = self.path(file);
            if !path.exists() {
                continue;
            }
            // An unreadable stamp is as good as another fingerprint.
            let differences = match read_json::<Stamp>(&path) {
                Ok(stamp) => {
                    let record = stamp.record();
                    let old = fingerprint.completed(stamp.fingerprint);
                    if old == *fingerprint {
                        if done {
                            // A crash may have come between the stamp and the manifest.
                            self.manifest.enter(&self.name, record)?;
                        }
                        return Ok(done);
                    }
                    old.differences(fingerprint, &self.name)
                }
                Err(e) if self.force || !(done || self.has_checkpoints()) => vec![e.to_string()],
                Err(e) => return Err(e.hint("--force redoes this stage")),
            };
            // What was only begun and has no checkpoint has nothing to lose: a mistake in the data or
            // the recipe is mended without more ado.
            if self.force || !(done || self.has_checkpoints()) {
                break;
            }
            let was = if done { "finished" } else { "started" };
            return Err(Error::input(format_args!(
                "this stage was {was} with another recipe:\n  {}",
                differences.join("\n  ")
            ))
            .at(self.dir.display())
            .hint("--force redoes this stage, or choose another --out"));
        }
        if self.path(DONE).exists() || self.differs(fingerprint) {
            self.empty()?;
        }
        let stamp =
            Stamp { fingerprint: fingerprint.clone(), seconds: None, files: BTreeMap::new() };
        write_json(&self.path(STARTED), &stamp)?;
        Ok(false)
    }

    /// Empties the folder, its stamps last: were they gone first, a crash would leave checkpoints of
    /// the old recipe that the new one takes for its own.
    fn empty(&self) -> Result<()> {
        let fail = |e| Error::io("remove", &self.dir, e);
        let mut stamps = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.ends_with(STARTED) || path.ends_with(DONE) {
                stamps.push(path);
            } else {
                remove(&path).map_err(|e| Error::io("remove", &path, e))?;
            }
        }
        sync_folder(&self.dir)?;
        stamps.iter().try_for_each(|path| remove(path).map_err(|e| Error::io("remove", path, e)))
    }

    fn has_checkpoints(&self) -> bool {
        Checkpoints::new(&self.path("checkpoints"), 1).list().map_or(true, |all| !all.is_empty())
    }

    fn differs(&self, fingerprint: &Fingerprint) -> bool {
        let path = self.path(STARTED);
        path.exists()
            && read_json::<Stamp>(&path)
                .map_or(true, |stamp| fingerprint.completed(stamp.fingerprint) != *fingerprint)
    }

    /// Marks the stage as done: writes `summary.json`, then `done.json` with the fingerprint, the
    /// seconds of work (all sessions) and the SHA-256 of the folder's files (except checkpoints and
    /// event files), and enters the stage into the run's manifest.
    ///
    /// # Errors
    /// Those of [`Error::io`].
    pub fn finish(
        &self,
        fingerprint: &Fingerprint,
        seconds: f64,
        summary: &impl Serialize,
    ) -> Result<()> {
        write_json(&self.path("summary.json"), summary)?;
        let mut files = BTreeMap::new();
        for (name, path) in files_below(&self.dir)? {
            let passing = name.starts_with("checkpoints/")
                || name.starts_with("events.out.tfevents.")
                || name == STARTED
                || name == DONE;
            if !passing {
                files.insert(name, sha256_file(&path)?);
            }
        }
        let stamp = Stamp { fingerprint: fingerprint.clone(), seconds: Some(seconds), files };
        write_json(&self.path(DONE), &stamp)?;
        let started = self.path(STARTED);
        if started.exists() {
            fs::remove_file(&started).map_err(|e| Error::io("remove", &started, e))?;
        }
        self.manifest.enter(&self.name, stamp.record())
    }
}
