//! `https://…`: a single file. It is kept with its ETag or date under the hash of its address, and asked for again
//! only if the server has another one. HTTP has no lists: patterns are for hf:// and object stores.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use athanor_store::{Error, Result, read_json, sha256_bytes, write_json};
use serde::{Deserialize, Serialize};

use super::{
    Fetch, Fetched, Wanted, fetch_all,
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
    fn fetched(&self, file: PathBuf) -> Fetched {
        let date = self.last_modified.iter().map(|d| format!("of {d}"));
        let tag = self.etag.iter().map(|e| format!("ETag {e}"));
        let version = tag.chain(date).collect::<Vec<_>>().join(", ");
        Fetched { files: vec![file], version }
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

pub(super) fn fetch(address: &str, how: &Fetch) -> Result<Fetched> {
    let settings = how.settings;
    let client = Client::new(how.interrupt, settings.patience, settings.certificates.as_deref())?;
    let folder = settings.cache.join("downloads").join(&sha256_bytes(address.as_bytes())[..16]);
    let target = folder.join(name(address).unwrap_or("file"));
    let (kept, growing) = (folder.join(".known.json"), folder.join(".growing.json"));
    let at = shown(address);
    let known = |path: &PathBuf| path.exists().then(|| read_json::<Known>(path).ok()).flatten();
    let before = known(&kept).filter(|_| target.exists());
    if settings.offline {
        return match before {
            Some(known) => Ok(known.fetched(target)),
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
                // Nobody there: what was fetched before.
                Some(known) if unreachable => {
                    let why = failure.explain();
                    how.console.warn(&format!("{at}: taken from the cache ({why})"));
                    return Ok(known.fetched(target));
                }
                _ if unreachable => return Err(failure.explain()),
                // Some servers answer requests for the file alone; a refusal will come again.
                _ => Known { url: at.clone(), ..Known::default() },
            }
        }
    };
    let validator = now.etag.clone().filter(|e| !e.starts_with("W/")).or(now.last_modified.clone());
    let identified = now.etag.is_some() || now.last_modified.is_some();
    if identified && before.as_ref() == Some(&now) {
        return Ok(now.fetched(target));
    }
    fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
    let fresh = || identified && target.exists() && known(&kept).as_ref() == Some(&now);
    let get = |come: &AtomicU64| -> Result<()> {
        let partial = folder.join(".partial");
        // Half of another file is no beginning.
        if validator.is_none() || known(&growing).as_ref() != Some(&now) {
            if partial.exists() {
                fs::remove_file(&partial).map_err(|e| Error::io("remove", &partial, e))?;
            }
            write_json(&growing, &now)?;
        }
        let transfer = Transfer {
            url: address,
            token: None,
            partial: &partial,
            target: &target,
            size: now.size,
            validator: validator.as_deref(),
            come,
        };
        client.fetch(&transfer).map_err(|f| f.explain())?;
        if now.size.is_none() {
            come.fetch_add(0, Ordering::Relaxed);
        }
        write_json(&kept, &now)
    };
    let wanted = Wanted {
        size: now.size,
        lock: folder.join(".lock"),
        is_there: Box::new(fresh),
        fetch: Box::new(get),
    };
    fetch_all(vec![wanted], &at, how)?;
    Ok(now.fetched(target))
}
