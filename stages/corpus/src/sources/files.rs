//! Which files a path means: itself, a folder's, or those that a glob matches.

use std::path::{Path, PathBuf};

use athanor_store::{Error, Interrupt, Result, Silent};

use super::remote;

/// Whether a path stands for standard input.
pub fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The files of a path, or of an address ([`remote`]): itself, a folder's and those of the folders below, sorted by path and hidden
/// ones left out, or what a glob (`*`, `?`, `[…]`, `**`) matches, sorted. A path that exists is no
/// glob, whatever its characters.
///
/// # Errors
/// Input: nothing there, an empty folder, a bad glob. Those of fetching.
pub fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if is_stdin(path) {
        return Ok(vec![path.to_path_buf()]);
    }
    if remote::is_remote(path) {
        return remote::fetched(path, &Silent, &Interrupt::new()).map(|f| f.files);
    }
    let pattern = path.to_string_lossy();
    if path.exists() || !pattern.contains(['*', '?', '[']) {
        return list(path);
    }
    let matches = glob::glob(&pattern).map_err(|e| {
        Error::input(format!("a bad pattern: {e}"))
            .at(path.display())
            .hint("see `*`, `?`, `[a-z]`, `**`")
    })?;
    let mut found = Vec::new();
    for entry in matches {
        let entry = entry.map_err(|e| Error::io("read", e.path(), e.error().kind().into()))?;
        found.extend(list(&entry)?);
    }
    found.sort();
    found.dedup();
    if found.is_empty() {
        return Err(Error::input("no file matches").at(path.display()).hint("check the pattern"));
    }
    Ok(found)
}

fn list(path: &Path) -> Result<Vec<PathBuf>> {
    let fail = |e| Error::io("read", path, e);
    if !std::fs::metadata(path).map_err(fail)?.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            entries.push(entry.path());
        }
    }
    entries.sort();
    let mut files = Vec::new();
    for entry in entries {
        match list(&entry) {
            Err(_)
                if entry.is_dir()
                    && std::fs::read_dir(&entry).is_ok_and(|mut d| d.next().is_none()) => {}
            other => files.extend(other?),
        }
    }
    if files.is_empty() {
        return Err(Error::input("the folder has no files").at(path.display()));
    }
    Ok(files)
}
