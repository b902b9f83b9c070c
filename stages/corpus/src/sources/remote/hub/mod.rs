//! `hf://datasets/OWNER/NAME[@REVISION][/PATH]`: files of a data set on the Hugging Face Hub, by its HTTP API
//! (https://huggingface.co/docs/hub/api: `revision`, `tree`, `resolve`), in the cache that huggingface_hub keeps,
//! so that what Python has fetched is here, and the other way round: `blobs/HASH`, `snapshots/COMMIT/PATH`,
//! `refs/REVISION`. Beside these `athanor/` holds the lists of files, so that a later run can do without the Hub.
//!
//! The crate hf-hub is not used: with version 1.0 it came to tokio, reqwest, Xet and 326 packages.

mod address;
mod list;
mod refusals;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use athanor_store::{Error, Result, durable, sha256_file, write_atomic};
use serde_json::Value;
use sha1::{Digest, Sha1};

use self::{address::Address, list::Entry};
use super::{
    Fetch, Listed, Origin, RemoteFile,
    http::{Client, Transfer},
};

pub(super) fn check(address: &str) -> Result<()> {
    Address::parse(address).map(|_| ())
}

pub(super) fn list(address: &str, how: &Fetch) -> Result<Listed> {
    let at = Address::parse(address)?;
    let folder = how.settings.hub.join(format!("datasets--{}", at.name.replace('/', "--")));
    let mut set = Set { at, address: address.into(), folder, commit: String::new() };
    let hub = set.hub(how)?;
    let commit = hub.commit()?;
    let mut files = hub.files(&commit)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    let bytes: u64 = files.iter().map(|f| f.size).sum();
    how.console
        .say(&format!("{address}: {} files, {bytes} bytes, at commit {commit}", files.len()));
    set.commit = commit;
    let set = Arc::new(set);
    let locks = how.settings.hub.join(".locks");
    let locks = locks.join(set.folder.file_name().unwrap_or_default());
    let mut out = Vec::with_capacity(files.len());
    for entry in files {
        let lock = locks.join(format!("{}.lock", entry.hash));
        let (size, identity) = (Some(entry.size), entry.identity());
        let file = File { set: set.clone(), entry };
        if how.settings.offline && !file.is_there() {
            return Err(set.hub(how)?.offline().at(&file.entry.path));
        }
        out.push(RemoteFile::new(file.path(), size, identity, lock, file));
    }
    Ok(Listed { files: out, version: format!("commit {}", set.commit) })
}

/// A data set at a commit.
struct Set {
    at: Address,
    /// As the recipe has it.
    address: String,
    /// Its folder in the cache.
    folder: PathBuf,
    commit: String,
}

impl Set {
    fn hub<'a>(&'a self, how: &'a Fetch) -> Result<Hub<'a>> {
        let client = Client::new(
            how.interrupt,
            how.settings.patience,
            how.settings.certificates.as_deref(),
        )?;
        let (at, address, folder) = (&self.at, self.address.as_str(), self.folder.as_path());
        Ok(Hub { at, address, how, client, folder })
    }
}

/// A file of it.
struct File {
    set: Arc<Set>,
    entry: Entry,
}

impl File {
    fn path(&self) -> PathBuf {
        self.set.folder.join("snapshots").join(&self.set.commit).join(&self.entry.path)
    }

    fn blob(&self) -> PathBuf {
        self.set.folder.join("blobs").join(&self.entry.hash)
    }
}

impl Origin for File {
    fn is_there(&self) -> bool {
        self.path().exists()
    }

    fn fetch(&self, how: &Fetch, come: &AtomicU64) -> Result<()> {
        let blob = self.blob();
        self.set.hub(how)?.blob(&self.set.commit, &self.entry, &blob, come)?;
        link(&blob, &self.path(), &self.entry.path)
    }

    fn remove(&self) {
        // What is left costs disk only.
        let _ = fs::remove_file(self.path());
        let _ = fs::remove_file(self.blob());
    }
}

struct Hub<'a> {
    at: &'a Address,
    address: &'a str,
    how: &'a Fetch<'a>,
    client: Client<'a>,
    /// The data set's in the cache.
    folder: &'a Path,
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
            // No connection: the last known commit, as huggingface_hub does.
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

    fn offline(&self) -> Error {
        Error::input("offline, and not in the cache")
            .at(self.folder.display())
            .at(self.address)
            .hint("unset HF_HUB_OFFLINE, or name the cache that has it: HF_HOME or HF_HUB_CACHE")
    }

    fn blob(&self, commit: &str, file: &Entry, blob: &Path, come: &AtomicU64) -> Result<()> {
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
}

fn strange(what: &str) -> Error {
    Error::failed(format!("the answer is not that of a Hub: {what}")).hint("check HF_ENDPOINT")
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Percent-encoding of a part of a path.
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
