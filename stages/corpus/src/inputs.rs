//! Pieces of the input: files that are read, cleaned and encoded together.

use std::{fs, path::PathBuf};

use athanor_store::{Error, Result, sha256_bytes, sha256_file};
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::{
    CorpusSection, SourceSection,
    cache::{self, Cache},
    sources::{self, SourceFile, remote::RemoteFile},
};

/// Small files are read together, up to about this many bytes.
const UNIT_BYTES: u64 = 64 << 20;

/// Files of one source that are read together.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    /// The source's number.
    pub(crate) source: usize,
    pub(crate) files: Vec<SourceFile>,
    /// The hash of the files' contents.
    pub(crate) sha256: String,
}

/// The units of all sources in their order, and each source's hash.
pub(crate) struct Units {
    pub(crate) units: Vec<Unit>,
    pub(crate) sources: Vec<String>,
    /// What each source's addresses came to.
    pub(crate) fetched: Vec<Vec<String>>,
}

/// A file of a source.
struct File {
    source: usize,
    path: PathBuf,
    size: u64,
    /// What tells that it is still the same.
    stamp: Value,
    /// Of one that is elsewhere.
    remote: Option<RemoteFile>,
}

impl File {
    fn at(source: usize, file: SourceFile) -> Result<Self> {
        let SourceFile { path, remote } = file;
        // Its place tells what it is: it need not be here yet.
        if let Some(far) = remote.as_ref().filter(|f| f.identity.is_some()) {
            // A file of unknown length is a unit of its own.
            let size = far.size.unwrap_or(UNIT_BYTES);
            return Ok(Self { source, path, size, stamp: Value::Null, remote });
        }
        let meta = fs::metadata(&path).map_err(|e| Error::io("read", &path, e))?;
        let time = meta.modified().ok();
        let time = time.and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
        let time = time.map_or(0, |t| t.as_nanos() as u64);
        let full = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        let size = meta.len();
        Ok(Self { source, path, size, stamp: json!([full, size, time]), remote })
    }
}

/// What stands for each file's content: its hash, or what its place has for that.
fn identities(cache: &Cache, files: &[File], keep: bool) -> Result<Vec<String>> {
    let known = |f: &File| f.remote.as_ref().and_then(|r| r.identity.clone());
    let here: Vec<&File> = files.iter().filter(|f| known(f).is_none()).collect();
    let mut hashes = hashes(cache, &here, keep)?.into_iter();
    let one = |f| known(f).or_else(|| hashes.next()).unwrap_or_default();
    Ok(files.iter().map(one).collect())
}

/// The files' hashes. They are kept, many small files' together.
fn hashes(cache: &Cache, files: &[&File], keep: bool) -> Result<Vec<String>> {
    let mut groups: Vec<&[&File]> = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (n, file) in files.iter().enumerate() {
        bytes += file.size;
        if bytes >= UNIT_BYTES || n + 1 == files.len() {
            groups.push(&files[start..=n]);
            (start, bytes) = (n + 1, 0);
        }
    }
    let stamps = |g: &&[&File]| json!(["hash", g.iter().map(|f| &f.stamp).collect::<Vec<_>>()]);
    let keys: Vec<String> = groups.iter().map(|g| cache::key(&stamps(g))).collect();
    let hash = |f: &&File| match f.stamp.is_null() {
        true => Ok("standard input".to_string()),
        false => cache.run.interrupt.check().and_then(|()| sha256_file(&f.path)),
    };
    if !keep {
        return files.par_iter().map(hash).collect();
    }
    cache.all(&keys, |n| {
        let hashes: Vec<String> = groups[n].par_iter().map(hash).collect::<Result<_>>()?;
        cache.finish(&keys[n], &hashes)
    })?;
    let mut out = Vec::with_capacity(files.len());
    for key in &keys {
        out.extend(cache.read::<Vec<String>>(key)?);
    }
    Ok(out)
}

impl Units {
    /// Lists and hashes the sources' files; what is elsewhere is only listed. With `keep` the hashes are kept, each with its file's size and
    /// time.
    pub(crate) fn find(cache: &Cache, section: &CorpusSection, keep: bool) -> Result<Self> {
        let mut files: Vec<File> = Vec::new();
        let mut fetched = vec![Vec::new(); section.sources.len()];
        for (number, source) in section.sources.iter().enumerate() {
            let place = |e: Error| e.at(format!("source {:?}", source.name));
            for path in source.all_paths() {
                if !sources::is_stdin(&path) {
                    let (console, interrupt) = (&*cache.run.console, &cache.run.interrupt);
                    let path = cache.run.recipe.resolve(&path);
                    let (found, version) =
                        sources::found(&path, console, interrupt).map_err(place)?;
                    for file in found {
                        files.push(File::at(number, file)?);
                    }
                    fetched[number].extend(Some(version).filter(|v| !v.is_empty()));
                } else if cache.run.task.is_some() {
                    let error = Error::input("standard input cannot be shared by tasks");
                    return Err(place(error).hint("give files, or leave --task out"));
                } else {
                    let stamp = Value::Null;
                    files.push(File { source: number, path, size: 0, stamp, remote: None });
                }
            }
        }
        let hashes = identities(cache, &files, keep)?;
        let mut units: Vec<(Unit, u64, Vec<String>)> = Vec::new();
        let mut by_source = vec![Vec::new(); section.sources.len()];
        for (File { source, path, size, remote, .. }, sha256) in files.into_iter().zip(hashes) {
            let file = SourceFile { path, remote };
            by_source[source].push(sha256.clone());
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
        let sources = by_source.iter().map(|h| joined(h)).collect();
        Ok(Self { units: units.collect(), sources, fetched })
    }
}

impl Unit {
    /// Whether it can be read again.
    pub(crate) fn is_stdin(&self) -> bool {
        self.files.iter().any(|f| sources::is_stdin(&f.path))
    }

    /// What decides which documents it gives.
    pub(crate) fn key(&self, source: &SourceSection) -> serde_json::Value {
        let SourceSection { format, text, only, on_error, max_bytes, max_record_bytes, .. } =
            source;
        let names: Vec<_> = self
            .files
            .iter()
            .map(|f| f.path.file_name())
            .map(|n| n.map(|n| n.to_string_lossy().into_owned()))
            .collect();
        let bounds = [*max_bytes, *max_record_bytes as u64];
        json!([self.source, self.sha256, names, format, text, only, on_error, bounds])
    }
}

/// One hash of several; of one it is itself.
pub(crate) fn joined(hashes: &[String]) -> String {
    match hashes {
        [one] => one.clone(),
        many => sha256_bytes(many.join(" ").as_bytes()),
    }
}
