//! `https://…`: a single file. It is kept with its ETag or date under the hash of its address, and asked for again
//! only if the server has another one. HTTP has no lists: patterns are for hf:// and object stores.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use athanor_store::{Error, Result, read_json, sha256_bytes, write_json};
use serde::{Deserialize, Serialize};

use super::{
    Fetch, Listed, Origin, RemoteFile, fetch_all,
    http::{Client, Transfer, shown, text},
};

/// What is known of a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Known {
    /// Its address, without what may be secret in it.
    url: String,
    etag: Option<String>,
    last_modified: Option<String>,
    size: Option<u64>,
}

impl Known {
    fn version(&self) -> String {
        let date = self.last_modified.iter().map(|d| format!("of {d}"));
        let tag = self.etag.iter().map(|e| format!("ETag {e}"));
        tag.chain(date).collect::<Vec<_>>().join(", ")
    }

    /// Whether the server tells this file from others that have its address.
    fn is_identified(&self) -> bool {
        self.etag.is_some() || self.last_modified.is_some()
    }

    /// What stands for the content.
    fn identity(&self) -> Option<String> {
        let what = format!("{:?}", (&self.url, &self.etag, &self.last_modified, self.size));
        self.is_identified().then(|| format!("web {}", sha256_bytes(what.as_bytes())))
    }
}

/// The file's name: the last part of the path.
fn name(address: &str) -> Option<&str> {
    let shown = address.split(['?', '#']).next()?;
    let (_, rest) = shown.split_once("://")?;
    let (_, name) =
        rest.split_once('/')?.1.rsplit_once('/').unwrap_or(("", rest.split_once('/')?.1));
    let plain =
        !name.is_empty() && name != "." && name != ".." && !name.contains(['\\', ':', '\0']);
    plain.then_some(name)
}

pub(super) fn check(address: &str) -> Result<()> {
    let Some(name) = name(address) else {
        return Err(
            Error::input("the address of a file was expected").hint("https://HOST/PATH/NAME.jsonl")
        );
    };
    if name.contains(['*', '[']) {
        let error = Error::input("HTTP lists no files, so there is nothing to match");
        return Err(error.hint("name each file in `paths`"));
    }
    Ok(())
}

pub(super) fn list(address: &str, how: &Fetch) -> Result<Listed> {
    let settings = how.settings;
    let client = Client::new(how.interrupt, settings.patience, settings.certificates.as_deref())?;
    let folder = settings.cache.join("downloads").join(&sha256_bytes(address.as_bytes())[..16]);
    let target = folder.join(name(address).unwrap_or("file"));
    let at = shown(address);
    let before = known(&folder.join(KEPT)).filter(|_| target.exists());
    let found = |now: Known, have: bool| {
        let have = AtomicBool::new(have);
        let (lock, size) = (folder.join(".lock"), now.size);
        let (identity, version) = (now.identity(), now.version());
        let file = File { address: address.into(), folder: folder.clone(), now, have };
        let file = RemoteFile::new(target.clone(), size, identity, lock, file);
        Listed { files: vec![file], version }
    };
    if settings.offline {
        return match before {
            Some(known) => Ok(found(known, true)),
            None => Err(Error::input("offline, and not in the cache")
                .at(target.display())
                .at(at)
                .hint("unset HF_HUB_OFFLINE")),
        };
    }
    let now = match client.head(address) {
        Ok(headers) => {
            let said = |name| text(&headers, name).map(String::from);
            let encoded = said("content-encoding").is_some_and(|e| e != "identity");
            Known {
                url: at.clone(),
                etag: said("etag"),
                last_modified: said("last-modified"),
                size: said("content-length").filter(|_| !encoded).and_then(|s| s.parse().ok()),
            }
        }
        Err(failure) => {
            let unreachable = failure.is_connection();
            match before {
                // No connection: the file that was fetched before.
                Some(known) if unreachable => {
                    let why = failure.explain();
                    how.console.warn(&format!("{at}: taken from the cache ({why})"));
                    return Ok(found(known, true));
                }
                _ if unreachable => return Err(failure.explain()),
                // Some servers answer requests for the file alone; a refusal will come again.
                _ => Known { url: at.clone(), ..Known::default() },
            }
        }
    };
    let listed = found(now, false);
    if listed.files.iter().any(|f| f.identity.is_none()) {
        // Only its content tells which file it is.
        fetch_all(&listed.files, &at, how)?;
    }
    Ok(listed)
}

/// What is known of the file that is there, and of the one that is coming.
const KEPT: &str = ".known.json";
const GROWING: &str = ".growing.json";

fn known(path: &Path) -> Option<Known> {
    path.exists().then(|| read_json::<Known>(path).ok()).flatten()
}

/// A file of the web.
struct File {
    address: String,
    /// Its own in the cache.
    folder: PathBuf,
    now: Known,
    /// Whether what is there is taken as it is.
    have: AtomicBool,
}

impl File {
    fn target(&self) -> PathBuf {
        self.folder.join(name(&self.address).unwrap_or("file"))
    }
}

impl Origin for File {
    fn is_there(&self) -> bool {
        let same = || {
            self.now.is_identified() && known(&self.folder.join(KEPT)).as_ref() == Some(&self.now)
        };
        self.target().exists() && (self.have.load(Ordering::Relaxed) || same())
    }

    fn fetch(&self, how: &Fetch, come: &AtomicU64) -> Result<()> {
        let (settings, folder, now) = (how.settings, &self.folder, &self.now);
        let client =
            Client::new(how.interrupt, settings.patience, settings.certificates.as_deref())?;
        let validator =
            now.etag.clone().filter(|e| !e.starts_with("W/")).or(now.last_modified.clone());
        fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        let (partial, growing) = (folder.join(".partial"), folder.join(GROWING));
        // Half of another file is no beginning.
        if validator.is_none() || known(&growing).as_ref() != Some(now) {
            if partial.exists() {
                fs::remove_file(&partial).map_err(|e| Error::io("remove", &partial, e))?;
            }
            write_json(&growing, now)?;
        }
        let transfer = Transfer {
            url: &self.address,
            token: None,
            partial: &partial,
            target: &self.target(),
            size: now.size,
            validator: validator.as_deref(),
            come,
        };
        client.fetch(&transfer).map_err(|f| f.explain())?;
        write_json(&folder.join(KEPT), now)?;
        self.have.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn remove(&self) {
        // What is left costs disk only.
        let _ = fs::remove_file(self.folder.join(KEPT));
        let _ = fs::remove_file(self.target());
    }
}
