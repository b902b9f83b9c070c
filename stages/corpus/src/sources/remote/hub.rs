//! `hf://datasets/OWNER/NAME[@REVISION][/PATH]`: files of a data set on the Hugging Face Hub, by its HTTP API
//! (https://huggingface.co/docs/hub/api: `revision`, `tree`, `resolve`), in the cache that huggingface_hub keeps,
//! so that what Python has fetched is here, and the other way round: `blobs/HASH`, `snapshots/COMMIT/PATH`,
//! `refs/REVISION`. Beside these `athanor/` holds the lists of files, so that a later run can do without the Hub.
//!
//! The crate hf-hub is not used: with version 1.0 it came to tokio, reqwest, Xet and 326 packages.

use std::{
    fs,
    path::{Component, Path, PathBuf},
    sync::atomic::Ordering,
};

use athanor_store::{
    Error, Result, durable, read_json, sha256_bytes, sha256_file, write_atomic, write_json,
};
use glob::{MatchOptions, Pattern};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha1::{Digest, Sha1};

use super::{
    Fetch, Fetched, Wanted, fetch_all,
    http::{Client, Failure, Status, Transfer},
};

/// Of a list that goes on for ever.
const MAX_PAGES: usize = 10_000;

/// An address, taken apart.
#[derive(Debug, PartialEq)]
struct Address {
    /// OWNER/NAME.
    name: String,
    revision: String,
    /// A file, a folder or a pattern; empty: everything.
    path: String,
}

/// A file of a data set.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    path: String,
    folder: bool,
    size: u64,
    /// SHA-256 of a file in LFS, else git's hash: the blob's name in the cache.
    hash: String,
}

impl Address {
    fn parse(address: &str) -> Result<Self> {
        let form = "expected hf://datasets/OWNER/NAME, with @REVISION and /PATH if wanted";
        let bad = |what: &str| Err(Error::input(what).hint(form));
        let Some(rest) = address.strip_prefix("hf://datasets/") else {
            return bad("only data sets are sources: hf://datasets/…");
        };
        let Some((owner, rest)) = rest.split_once('/') else {
            return bad("a data set's name has an owner: OWNER/NAME");
        };
        let end = rest.find(['/', '@']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let (revision, path) = match rest.strip_prefix('@') {
            None => ("main", rest),
            Some(rest) => {
                // The two kinds of revisions that have slashes.
                let parts = match rest.starts_with("refs/convert/") || rest.starts_with("refs/pr/")
                {
                    true => 3,
                    false => 1,
                };
                let end = rest.match_indices('/').nth(parts - 1).map_or(rest.len(), |(at, _)| at);
                rest.split_at(end)
            }
        };
        let word = |s: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !s.is_empty() && s.chars().all(known) && !s.contains("..")
        };
        if !word(owner) || !word(name) {
            return bad("a name of letters, digits, -, _ and . was expected");
        }
        let revision = match revision {
            "~parquet" => "refs/convert/parquet".to_string(),
            other => other.replace("%2F", "/").replace("%2f", "/"),
        };
        if revision.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            return bad("a branch, a tag or a commit was expected behind @");
        }
        let path = path.trim_matches('/').to_string();
        Pattern::new(&path).map_err(|e| Error::input(format!("a bad pattern: {e}")))?;
        Ok(Self { name: format!("{owner}/{name}"), revision, path })
    }

    /// The folder of which the files are asked for, and whether those of folders below it are.
    fn folder(&self) -> (&str, bool) {
        let wild = self.path.find(['*', '?', '[']).unwrap_or(self.path.len());
        let folder = self.path[..wild].rsplit_once('/').map_or("", |(folder, _)| folder);
        let rest = &self.path[folder.len()..];
        // Of a pattern for names alone the folder itself is enough.
        (
            folder,
            wild < self.path.len() && rest.trim_start_matches('/').contains('/')
                || self.path.is_empty(),
        )
    }

    fn is_pattern(&self) -> bool {
        self.path.contains(['*', '?', '['])
    }
}

pub(super) fn check(address: &str) -> Result<()> {
    Address::parse(address).map(|_| ())
}

pub(super) fn fetch(address: &str, how: &Fetch) -> Result<Fetched> {
    let settings = how.settings;
    let client = Client::new(how.interrupt, settings.patience, settings.certificates.as_deref())?;
    let at = Address::parse(address)?;
    let folder = settings.hub.join(format!("datasets--{}", at.name.replace('/', "--")));
    let hub = Hub { at: &at, address, how, client, folder };
    let commit = hub.commit()?;
    let mut files = hub.files(&commit)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    let bytes: u64 = files.iter().map(|f| f.size).sum();
    how.console
        .say(&format!("{address}: {} files, {bytes} bytes, at commit {commit}", files.len()));
    Ok(Fetched { files: hub.all(&commit, &files)?, version: format!("commit {commit}") })
}

struct Hub<'a> {
    at: &'a Address,
    address: &'a str,
    how: &'a Fetch<'a>,
    client: Client<'a>,
    /// The data set's in the cache.
    folder: PathBuf,
}

impl Hub<'_> {
    /// The commit that the revision means.
    fn commit(&self) -> Result<String> {
        let revision = &self.at.revision;
        if is_hex(revision, 40) {
            return Ok(revision.clone());
        }
        let known = self.folder.join("refs").join(revision);
        let before = || fs::read_to_string(&known).ok().filter(|c| is_hex(c.trim(), 40));
        if self.how.settings.offline {
            return before().map(|c| c.trim().to_string()).ok_or_else(|| self.offline());
        }
        let url = format!(
            "{}/api/datasets/{}/revision/{}",
            self.how.settings.endpoint,
            self.at.name,
            quoted(revision, false)
        );
        match self.client.page(&url, self.token()) {
            Ok((text, _)) => {
                let info: Value = serde_json::from_str(&text).unwrap_or_default();
                let commit = info["sha"].as_str().unwrap_or_default().to_string();
                if !is_hex(&commit, 40) {
                    return Err(strange("no commit in it").at(url).at(self.address));
                }
                if before().is_none_or(|b| b.trim() != commit) {
                    write_atomic(&known, commit.as_bytes())?;
                }
                Ok(commit)
            }
            // Nobody there: what was last known, as huggingface_hub does.
            Err(failure) if failure.is_connection() => match before() {
                Some(commit) => {
                    let why = failure.explain();
                    self.how.console.warn(&format!(
                        "{}: the Hub cannot be reached; {revision} is taken as it was when it last was asked ({why})",
                        self.address
                    ));
                    Ok(commit.trim().to_string())
                }
                None => Err(failure.explain().at(self.address)),
            },
            Err(failure) => Err(self.explain(failure)),
        }
    }

    fn token(&self) -> Option<&str> {
        self.how.settings.token.as_deref()
    }

    /// The files that the address means.
    fn files(&self, commit: &str) -> Result<Vec<Entry>> {
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
                out.push(Entry { path, folder, size, hash: String::new() });
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

    fn offline(&self) -> Error {
        Error::input("offline, and not in the cache")
            .at(self.folder.display())
            .at(self.address)
            .hint("unset HF_HUB_OFFLINE, or name the cache that has it: HF_HOME or HF_HUB_CACHE")
    }

    /// Fetches the files; their paths in the cache.
    fn all(&self, commit: &str, files: &[Entry]) -> Result<Vec<PathBuf>> {
        let snapshot = self.folder.join("snapshots").join(commit);
        let locks = self.how.settings.hub.join(".locks");
        let locks = locks.join(self.folder.file_name().unwrap_or_default());
        let mut wanted = Vec::new();
        for file in files {
            let path = snapshot.join(&file.path);
            let blob = self.folder.join("blobs").join(&file.hash);
            let there = path.clone();
            if self.how.settings.offline && !there.exists() {
                return Err(self.offline().at(&file.path));
            }
            wanted.push(Wanted {
                size: Some(file.size),
                lock: locks.join(format!("{}.lock", file.hash)),
                is_there: Box::new(move || there.exists()),
                fetch: Box::new(move |come| {
                    self.blob(commit, file, &blob, come)?;
                    link(&blob, &path, &file.path)
                }),
            });
        }
        fetch_all(wanted, self.address, self.how)?;
        Ok(files.iter().map(|f| snapshot.join(&f.path)).collect())
    }

    fn blob(
        &self,
        commit: &str,
        file: &Entry,
        blob: &Path,
        come: &std::sync::atomic::AtomicU64,
    ) -> Result<()> {
        if fs::metadata(blob).is_ok_and(|m| m.len() == file.size) {
            come.fetch_add(file.size, Ordering::Relaxed);
            return Ok(());
        }
        let folder = blob.parent().unwrap_or(blob);
        fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        let url = format!(
            "{}/datasets/{}/resolve/{commit}/{}",
            self.how.settings.endpoint,
            self.at.name,
            quoted(&file.path, true)
        );
        // Python's are NAME.incomplete; they may be in the making.
        let partial = folder.join(format!("{}.athanor-incomplete", file.hash));
        let whole = folder.join(format!("{}.athanor-whole", file.hash));
        for last in [false, true] {
            let transfer = Transfer {
                url: &url,
                token: self.token(),
                partial: &partial,
                target: &whole,
                size: Some(file.size),
                validator: None,
                come,
            };
            self.client.fetch(&transfer).map_err(|f| self.explain(f))?;
            let hash = match file.hash.len() {
                40 => git_hash(&whole, file.size)?,
                _ => sha256_file(&whole)?,
            };
            if hash == file.hash {
                return durable::publish(&whole, blob);
            }
            fs::remove_file(&whole).map_err(|e| Error::io("remove", &whole, e))?;
            come.fetch_sub(file.size, Ordering::Relaxed);
            if last {
                let what = format!(
                    "what comes is not the file: its hash is {hash}, expected {}",
                    file.hash
                );
                return Err(Error::failed(what)
                    .at(url)
                    .at(self.address)
                    .hint("is there a proxy that changes files?"));
            }
        }
        Ok(())
    }

    /// What the Hub's refusals mean, and what to do.
    fn explain(&self, failure: Failure) -> Error {
        let endpoint = &self.how.settings.endpoint;
        let name = &self.at.name;
        let status = match failure {
            Failure::Status(status) => status,
            other => return other.explain().at(self.address),
        };
        let Status { code, url, error, message, .. } = &status;
        let said = if message.is_empty() { String::new() } else { format!(": {message}") };
        let tokens = "https://huggingface.co/settings/tokens";
        let explained = match (*code, error.as_str(), self.token()) {
            (_, "GatedRepo", _) | (403, _, _) => Some((
                format!("access to {name} has to be granted ({code}{said})"),
                match self.token() {
                    Some(_) => format!(
                        "accept its terms at {endpoint}/datasets/{name} as the user whose token HF_TOKEN is, then run again"
                    ),
                    None => format!(
                        "accept its terms at {endpoint}/datasets/{name}, then set HF_TOKEN to a token of yours ({tokens})"
                    ),
                },
            )),
            (401, _, None) => Some((
                format!("the Hub wants to know who asks for {name} ({code}{said})"),
                format!(
                    "check the name; if it is private, set HF_TOKEN to a token that may read it ({tokens})"
                ),
            )),
            (401, _, Some(_)) => Some((
                format!("the Hub does not accept the token, or there is no {name} ({code}{said})"),
                format!(
                    "check the name, and HF_TOKEN or the token that `hf auth login` left ({tokens})"
                ),
            )),
            (404, "RevisionNotFound", _) => Some((
                format!("{name} has no branch, tag or commit {} ({code}{said})", self.at.revision),
                format!("its branches are listed at {endpoint}/datasets/{name}/tree/main"),
            )),
            (404, "EntryNotFound", _) => Some((
                format!("{name} has no such file or folder ({code}{said})"),
                format!(
                    "its files are listed at {endpoint}/datasets/{name}/tree/{}",
                    self.at.revision
                ),
            )),
            (404, _, _) => Some((
                format!("there is no data set {name}, or no such file in it ({code}{said})"),
                "check the name and the path; one that is private is shown to its HF_TOKEN only"
                    .to_string(),
            )),
            (429, _, None) => {
                let what = format!("the Hub wants fewer requests ({code}{said})");
                let hint = format!(
                    "wait and run again, or set HF_TOKEN: who is known may ask more ({tokens})"
                );
                return Error::failed(what).at(url).at(self.address).hint(hint);
            }
            _ => None,
        };
        match explained {
            Some((what, hint)) => Error::input(what).at(url).at(self.address).hint(hint),
            None => Failure::Status(status).explain().at(self.address),
        }
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

fn strange(what: &str) -> Error {
    Error::failed(format!("the answer is not that of a Hub: {what}")).hint("check HF_ENDPOINT")
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Percent-encoding of what stands in a path.
fn quoted(text: &str, keep_slashes: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(byte as char)
            }
            b'/' if keep_slashes => out.push('/'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// What git calls a file: SHA-1 of a head and the content.
fn git_hash(path: &Path, size: u64) -> Result<String> {
    let fail = |e| Error::io("read", path, e);
    let mut hash = Sha1::new();
    hash.update(format!("blob {size}\0"));
    // Only what is not in LFS comes here: ten megabytes at most.
    hash.update(fs::read(path).map_err(fail)?);
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

/// `snapshots/COMMIT/PATH` shows what is in `blobs/`.
fn link(blob: &Path, path: &Path, name: &str) -> Result<()> {
    let fail = |e| Error::io("write", path, e);
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
    // One that leads nowhere is left of a blob that is gone.
    if path.symlink_metadata().is_ok() && !path.exists() {
        fs::remove_file(path).map_err(fail)?;
    }
    #[cfg(unix)]
    let made = {
        let up = "../".repeat(name.matches('/').count() + 2);
        let to = Path::new(&up).join("blobs").join(blob.file_name().unwrap_or_default());
        std::os::unix::fs::symlink(to, path)
    };
    #[cfg(not(unix))]
    let made = {
        let _ = name;
        fs::hard_link(blob, path).or_else(|_| fs::copy(blob, path).map(|_| ()))
    };
    let _ = blob;
    match made {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(fail(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let parse = |a: &str| Address::parse(&format!("hf://datasets/{a}")).unwrap();
        let is = |a: &str, revision: &str, path: &str| {
            let got = parse(a);
            assert_eq!(
                (got.name.as_str(), got.revision.as_str(), got.path.as_str()),
                ("o/n", revision, path),
                "{a}"
            );
        };
        is("o/n", "main", "");
        is("o/n/", "main", "");
        is("o/n/data/a@b.jsonl", "main", "data/a@b.jsonl");
        is("o/n@v1.0/data/*.parquet", "v1.0", "data/*.parquet");
        is(
            "o/n@refs/convert/parquet/x/train/*.parquet",
            "refs/convert/parquet",
            "x/train/*.parquet",
        );
        is("o/n@refs%2Fpr%2F1/x", "refs/pr/1", "x");
        is("o/n@~parquet/x", "refs/convert/parquet", "x");
        for bad in [
            "hf://o/n/x",
            "hf://datasets/n",
            "hf://datasets/o/../x",
            "hf://datasets/o/n@/x",
            "hf://datasets/o/n@a%2F..%2Fb/x",
            "hf://datasets/o/n/[",
            "hf://datasets/o n/x",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
        for (path, want) in [
            ("o/n", ("", true)),
            ("o/n/a.jsonl", ("", false)),
            ("o/n/d/a.jsonl", ("d", false)),
            ("o/n/d/*.jsonl", ("d", false)),
            ("o/n/d/*/x.jsonl", ("d", true)),
            ("o/n/**/x.jsonl", ("", true)),
            ("o/n/d*/x", ("", true)),
        ] {
            assert_eq!(parse(path).folder(), want, "{path}");
        }
    }

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
