//! Which files a data set has, and which of them an address means.

use std::{
    fs,
    path::{Component, Path},
};

use athanor_store::{Error, Result, read_json, sha256_bytes, write_json};
use glob::{MatchOptions, Pattern};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Hub, is_hex, quoted, strange};

/// Of a list that goes on for ever.
const MAX_PAGES: usize = 10_000;

/// A file of a data set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) folder: bool,
    pub(super) size: u64,
    /// SHA-256 of a file in LFS, else git's hash: the blob's name in the cache.
    pub(super) hash: String,
}
impl Entry {
    /// What stands for the content; SHA-256 is what a file here is known by, too.
    pub(super) fn identity(&self) -> Option<String> {
        match self.hash.len() {
            0 => None,
            64 => Some(self.hash.clone()),
            _ => Some(format!("git {}", self.hash)),
        }
    }
}

impl Hub<'_> {
    /// The files that the address means.
    pub(super) fn files(&self, commit: &str) -> Result<Vec<Entry>> {
        let (folder, deep) = self.at.folder();
        let entries = self.list(commit, folder, deep)?;
        let visible = |e: &Entry| !e.folder && !e.path.split('/').any(|part| part.starts_with('.'));
        let files: Vec<Entry> = if self.at.is_pattern() {
            let pattern = Pattern::new(&self.at.path)
                .map_err(|e| Error::input(format!("a bad pattern: {e}")).at(self.address))?;
            let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
            let matches = |e: &Entry| !e.folder && pattern.matches_with(&e.path, options);
            entries.into_iter().filter(matches).collect()
        } else if self.at.path.is_empty() {
            // The data set's description is none of its texts.
            entries.into_iter().filter(|e| visible(e) && e.path != "README.md").collect()
        } else {
            match entries.into_iter().find(|e| e.path == self.at.path) {
                Some(entry) if entry.folder => {
                    self.list(commit, &entry.path, true)?.into_iter().filter(visible).collect()
                }
                Some(file) => vec![file],
                None => Vec::new(),
            }
        };
        if files.is_empty() {
            let what = format!("no file of {} at {} matches", self.at.name, self.at.revision);
            let page = format!(
                "{}/datasets/{}/tree/{}",
                self.how.settings.endpoint, self.at.name, self.at.revision
            );
            return Err(Error::input(what)
                .at(self.address)
                .hint(format!("its files are listed at {page}")));
        }
        Ok(files)
    }

    /// What is in a folder at a commit; kept, as it cannot change.
    fn list(&self, commit: &str, folder: &str, deep: bool) -> Result<Vec<Entry>> {
        let name = &sha256_bytes(format!("{folder} {deep}").as_bytes())[..16];
        let kept = self.folder.join("athanor").join(format!("{commit}-{name}.json"));
        if kept.exists() {
            return read_json(&kept);
        }
        if self.how.settings.offline {
            return self.snapshot(commit);
        }
        let mut url = format!(
            "{}/api/datasets/{}/tree/{commit}{}{}?recursive={deep}",
            self.how.settings.endpoint,
            self.at.name,
            if folder.is_empty() { "" } else { "/" },
            quoted(folder, true)
        );
        let mut entries = Vec::new();
        for _ in 0..MAX_PAGES {
            self.how.interrupt.check()?;
            let (text, next) = match self.client.page(&url, self.token()) {
                Ok(page) => page,
                Err(failure)
                    if failure.is_connection()
                        && self.folder.join("snapshots").join(commit).exists() =>
                {
                    return self.snapshot(commit);
                }
                Err(failure) => return Err(self.explain(failure)),
            };
            let page: Vec<Value> = serde_json::from_str(&text).map_err(|e| {
                strange(&format!("no list of files: {e}")).at(&url).at(self.address)
            })?;
            for value in page {
                entries.push(entry(&value).map_err(|e| e.at(&url).at(self.address))?);
            }
            match next {
                Some(next) => url = next,
                None => {
                    write_json(&kept, &entries)?;
                    return Ok(entries);
                }
            }
        }
        Err(strange("a list of files without end").at(url).at(self.address))
    }

    /// What of a commit is in the cache, where the Hub's list is not: as much as others have fetched.
    fn snapshot(&self, commit: &str) -> Result<Vec<Entry>> {
        fn walk(root: &Path, prefix: &str, out: &mut Vec<Entry>) {
            for file in fs::read_dir(root).into_iter().flatten().flatten() {
                let path = format!("{prefix}{}", file.file_name().to_string_lossy());
                let folder = file.path().is_dir();
                if folder {
                    walk(&file.path(), &format!("{path}/"), out);
                }
                let size = fs::metadata(file.path()).map_or(0, |m| m.len());
                // What it shows is called by its hash.
                let blob = fs::read_link(file.path()).ok();
                let hash = blob.as_deref().and_then(Path::file_name).and_then(|n| n.to_str());
                let hash = hash.filter(|h| is_hex(h, 40) || is_hex(h, 64)).unwrap_or_default();
                out.push(Entry { path, folder, size, hash: hash.to_string() });
            }
        }
        let mut out = Vec::new();
        walk(&self.folder.join("snapshots").join(commit), "", &mut out);
        if out.is_empty() {
            return Err(self.offline());
        }
        self.how.console.warn(&format!(
            "{}: without the Hub its files are those that the cache has, perhaps not all",
            self.address
        ));
        Ok(out)
    }
}

/// A part of the Hub's list; nothing in it may lead out of the cache.
fn entry(value: &Value) -> Result<Entry> {
    let path = value["path"].as_str().unwrap_or_default().to_string();
    let inside = |c: Component| matches!(c, Component::Normal(_));
    let plain = !path.is_empty()
        && !path.contains(['\\', '\0', ':'])
        && Path::new(&path).components().all(inside);
    if !plain {
        return Err(strange(&format!("a file with the path {path:?}")));
    }
    let folder = value["type"] == "directory";
    let lfs = &value["lfs"]["oid"];
    let hash = lfs.as_str().or(value["oid"].as_str()).unwrap_or_default();
    let hash = hash.trim_start_matches("sha256:").to_string();
    let size = value["lfs"]["size"].as_u64().or(value["size"].as_u64()).unwrap_or(0);
    if !folder && !is_hex(&hash, if lfs.is_null() { 40 } else { 64 }) {
        return Err(strange(&format!("a file {path} without a hash")));
    }
    Ok(Entry { path, folder, size, hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out_of_the_cache() {
        let hash = "0".repeat(40);
        for path in ["../x", "/x", "a/../../x", "C:\\x", "", "a\0b"] {
            assert!(
                entry(&serde_json::json!({"type": "file", "path": path, "oid": hash, "size": 1}))
                    .is_err(),
                "{path}"
            );
        }
        let file = |oid: &str| {
            entry(&serde_json::json!({"type": "file", "path": "a/b", "oid": oid, "size": 1}))
        };
        assert!(file(&hash).is_ok() && file("../../x").is_err() && file("").is_err());
    }
}
