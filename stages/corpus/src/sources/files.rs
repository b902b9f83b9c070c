//! Which files a path means: itself, a folder's, or those that a glob matches.

use std::path::{Path, PathBuf};

use athanor_store::{Console, Error, Interrupt, Result, Silent};

use super::remote::{self, Fetch, RemoteFile, Settings};

/// A file of a source: here, or fetched when it is read.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Where it is, or will be.
    pub path: PathBuf,
    /// Of one that is elsewhere.
    pub remote: Option<RemoteFile>,
}

impl From<PathBuf> for SourceFile {
    fn from(path: PathBuf) -> Self {
        Self { path, remote: None }
    }
}

/// The files of a path or an address, and what the address came to ("commit 0123…"). None is fetched yet.
///
/// # Errors
/// Those of [`files`] and [`remote::list`].
pub fn found(
    path: &Path,
    console: &dyn Console,
    interrupt: &Interrupt,
) -> Result<(Vec<SourceFile>, String)> {
    if !remote::is_remote(path) {
        return Ok((files(path)?.into_iter().map(SourceFile::from).collect(), String::new()));
    }
    let listed = remote::listed(path, console, interrupt)?;
    let file = |f: RemoteFile| SourceFile { path: f.path.clone(), remote: Some(f) };
    Ok((listed.files.into_iter().map(file).collect(), listed.version))
}

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
        let (settings, interrupt) = (Settings::of_environment(), Interrupt::new());
        let how = Fetch { settings: &settings, console: &Silent, interrupt: &interrupt };
        let listed = remote::fetch(path, &how)?;
        return Ok(listed.files.into_iter().map(|f| f.path).collect());
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
