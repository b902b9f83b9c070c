//! Pieces of the input: files that are read, cleaned and encoded together.

use std::{fs, path::PathBuf};

use athanor_store::{Error, Result, sha256_bytes, sha256_file};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    CorpusSection, SourceSection, sources,
    work::{self, Work},
};

/// Small files are read together, up to about this many bytes.
const UNIT_BYTES: u64 = 64 << 20;

/// Files of one source that are read together.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    /// The source's number.
    pub(crate) source: usize,
    pub(crate) files: Vec<PathBuf>,
    /// The hash of the files' contents.
    pub(crate) sha256: String,
}

/// The units of all sources in their order, and each source's hash.
pub(crate) struct Units {
    pub(crate) units: Vec<Unit>,
    pub(crate) sources: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Hashed {
    sha256: String,
}

impl Units {
    /// Lists and hashes the sources' files. A file's hash is kept with its size and time.
    pub(crate) fn find(work: &Work, section: &CorpusSection) -> Result<Self> {
        let mut files: Vec<(usize, PathBuf, u64)> = Vec::new();
        let mut keys = Vec::new();
        for (number, source) in section.sources.iter().enumerate() {
            let place = |e: Error| e.at(format!("source {:?}", source.name));
            for path in source.all_paths() {
                if sources::is_stdin(&path) {
                    if work.run.task.is_some() {
                        let error = Error::input("standard input cannot be shared by tasks");
                        return Err(place(error).hint("give files, or leave --task out"));
                    }
                    keys.push(String::new());
                    files.push((number, path, 0));
                    continue;
                }
                for file in sources::files(&work.run.recipe.resolve(&path)).map_err(place)? {
                    let meta = fs::metadata(&file).map_err(|e| Error::io("read", &file, e))?;
                    let time = meta.modified().ok();
                    let time = time.and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
                    let time = time.map_or(0, |t| t.as_nanos() as u64);
                    let path = std::path::absolute(&file).unwrap_or_else(|_| file.clone());
                    keys.push(work::key(&json!(["file", path, meta.len(), time])));
                    files.push((number, file, meta.len()));
                }
            }
        }
        let wanted: Vec<String> = keys.iter().filter(|k| !k.is_empty()).cloned().collect();
        let places: Vec<usize> = (0..keys.len()).filter(|&n| !keys[n].is_empty()).collect();
        work.all(&wanted, |n| {
            let sha256 = sha256_file(&files[places[n]].1)?;
            work.finish(&wanted[n], &Hashed { sha256 })
        })?;
        let mut units: Vec<(Unit, u64, Vec<String>)> = Vec::new();
        let mut hashes = vec![Vec::new(); section.sources.len()];
        for ((source, file, size), key) in files.into_iter().zip(&keys) {
            let sha256 = match key.as_str() {
                "" => "standard input".into(),
                key => work.read::<Hashed>(key)?.sha256,
            };
            hashes[source].push(sha256.clone());
            // A bound on a source's bytes is counted over its files in their order.
            let whole = section.sources[source].max_bytes > 0;
            match units.last_mut() {
                Some((unit, bytes, hashes))
                    if unit.source == source && (whole || *bytes + size <= UNIT_BYTES) =>
                {
                    unit.files.push(file);
                    hashes.push(sha256);
                    *bytes += size;
                }
                _ => {
                    let unit = Unit { source, files: vec![file], sha256: String::new() };
                    units.push((unit, size, vec![sha256]));
                }
            }
        }
        let units =
            units.into_iter().map(|(unit, _, hashes)| Unit { sha256: joined(&hashes), ..unit });
        Ok(Self { units: units.collect(), sources: hashes.iter().map(|h| joined(h)).collect() })
    }
}

impl Unit {
    /// Whether it can be read again.
    pub(crate) fn is_stdin(&self) -> bool {
        self.files.iter().any(|f| sources::is_stdin(f))
    }

    /// What decides which documents it gives.
    pub(crate) fn key(&self, source: &SourceSection) -> serde_json::Value {
        let SourceSection { format, text, only, on_error, max_bytes, .. } = source;
        let names: Vec<_> = self
            .files
            .iter()
            .map(|f| f.file_name())
            .map(|n| n.map(|n| n.to_string_lossy().into_owned()))
            .collect();
        json!([self.source, self.sha256, names, format, text, only, on_error, max_bytes])
    }
}

/// One hash of several; of one it is itself.
pub(crate) fn joined(hashes: &[String]) -> String {
    match hashes {
        [one] => one.clone(),
        many => sha256_bytes(many.join(" ").as_bytes()),
    }
}
