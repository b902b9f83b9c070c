//! Files and folders that survive a crash: written beside, synced, renamed.
//!
//! A reader sees the old bytes or the new ones, never a mixture, also after `kill -9`, a power cut
//! or a full disk. A file that is being written is beside its target as `.NAME.partial-PID`. Its
//! writer holds an advisory lock on it: so the leftovers of a dead process differ from what a living
//! one is still writing. (A process id alone may belong to another process by now, or to another
//! container.)

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// Writes `bytes` to `path`, whole or not at all.
///
/// # Errors
/// Those of [`Error::io`]; the file that was there before is then untouched.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic_with(path, |w| w.write_all(bytes).map_err(|e| Error::io("write", path, e)))
}

/// Writes what `fill` writes to `path` (buffered), whole or not at all.
///
/// # Errors
/// `fill`'s own, and those of [`Error::io`]; the file that was there before is then untouched and
/// nothing partial stays behind.
pub fn write_atomic_with(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let folder = parent(path);
    fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
    if path.is_dir() {
        return Err(Error::io("write", path, io::ErrorKind::IsADirectory.into()));
    }
    sweep(path)?;
    let (file, beside) = create_beside(path)?;
    let fail = |e| Error::io("write", path, e);
    let mut out = BufWriter::with_capacity(1 << 20, &file);
    fill(&mut out)?;
    out.flush().map_err(fail)?;
    drop(out);
    file.sync_all().map_err(fail)?;
    fs::rename(&beside.0, path).map_err(fail)?;
    beside.keep();
    sync_folder(folder)
}

/// Gives a file that grew under another name in the same folder, over several runs perhaps, its own name.
///
/// # Errors
/// Those of [`Error::io`].
pub fn publish(from: &Path, to: &Path) -> Result<()> {
    let fail = |e| Error::io("write", to, e);
    File::options().append(true).open(from).and_then(|f| f.sync_all()).map_err(fail)?;
    fs::rename(from, to).map_err(fail)?;
    sync_folder(parent(to))
}

/// Writes `value` as indented JSON with a final newline, whole or not at all.
///
/// # Errors
/// Those of [`write_atomic`].
pub fn write_json<T: Serialize + ?Sized>(path: &Path, value: &T) -> Result<()> {
    write_atomic(path, &json_bytes(path, value)?)
}

pub(crate) fn json_bytes<T: Serialize + ?Sized>(path: &Path, value: &T) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|e| {
        Error::failed(format_args!("cannot be written as JSON: {e}")).at(path.display())
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads a JSON file.
///
/// # Errors
/// Those of [`read_text`]; bad JSON is an input error at `FILE:LINE:COLUMN`.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_str(&read_text(path)?).map_err(|e| {
        // serde_json ends its messages with the place, which we say in front.
        let what = e.to_string();
        let what = what.rsplit_once(" at line ").map_or(what.as_str(), |(what, _)| what);
        Error::input(format_args!("bad JSON: {what}")).at(format_args!(
            "{}:{}:{}",
            path.display(),
            e.line(),
            e.column()
        ))
    })
}

/// Reads a UTF-8 file; a byte order mark at its start is left out.
///
/// # Errors
/// Those of [`Error::io`]; bytes that are not UTF-8 are an input error at `FILE:LINE`.
pub fn read_text(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(|e| Error::io("read", path, e))?;
    let mut text = String::from_utf8(bytes).map_err(|e| {
        let good = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|b| **b == b'\n').count();
        Error::input("not UTF-8 text").at(format_args!("{}:{line}", path.display()))
    })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

/// SHA-256 of a file, as 64 hexadecimal digits.
///
/// # Errors
/// Those of [`Error::io`].
pub fn sha256_file(path: &Path) -> Result<String> {
    let fail = |e| Error::io("read", path, e);
    let mut file = File::open(path).map_err(fail)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(n) => hash.update(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(fail(e)),
        }
    }
}

/// SHA-256 of bytes, as 64 hexadecimal digits.
pub fn sha256_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a folder's contents: of the sorted relative paths of its files and of their hashes.
/// Links are followed (Hugging Face's cache is made of them); hidden files are left out.
///
/// # Errors
/// Those of [`Error::io`].
pub fn sha256_folder(path: &Path) -> Result<String> {
    let mut all = Sha256::new();
    for (name, file) in files_below(path)? {
        all.update(format!("{}  {name}\n", sha256_file(&file)?));
    }
    Ok(hex(&all.finalize()))
}

/// The files below `path`, without hidden ones: (relative path with `/`, path), sorted.
pub(crate) fn files_below(path: &Path) -> Result<Vec<(String, PathBuf)>> {
    /// A loop of links ends here; no folder of ours is nearly as deep.
    const DEEPEST: usize = 32;
    fn walk(
        at: &Path,
        prefix: &str,
        depth: usize,
        found: &mut Vec<(String, PathBuf)>,
    ) -> Result<()> {
        if depth == 0 {
            return Err(
                Error::input("folders too deep; is there a loop of links?").at(at.display())
            );
        }
        let fail = |e| Error::io("read", at, e);
        for entry in fs::read_dir(at).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            let name = format!("{prefix}{name}");
            let path = entry.path();
            if path.is_dir() {
                walk(&path, &format!("{name}/"), depth - 1, found)?;
            } else {
                found.push((name, path));
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(path, "", DEEPEST, &mut found)?;
    found.sort();
    Ok(found)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}

/// A writer that hashes and counts what passes.
pub(crate) struct Hashing<W> {
    inner: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Hashing<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }

    /// The SHA-256 in hexadecimal, and the number of bytes.
    pub(crate) fn finish(mut self) -> io::Result<(String, u64)> {
        self.inner.flush()?;
        Ok((hex(&self.hash.finalize()), self.bytes))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hash.update(&bytes[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A folder that appears under its name whole or not at all.
///
/// ```
/// # fn main() -> athanor_store::Result<()> {
/// # let scratch = std::env::temp_dir().join(format!("athanor-doc-{}", std::process::id()));
/// let staged = athanor_store::StagedDir::new(&scratch.join("model"))?;
/// athanor_store::write_atomic(&staged.path().join("config.json"), b"{}")?;
/// staged.commit()?; // dropped without it, nothing stays
/// # std::fs::remove_dir_all(&scratch).ok();
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct StagedDir {
    target: PathBuf,
    beside: Beside,
    _lock: Option<File>,
}

impl StagedDir {
    /// Starts a folder beside `target`, creating the folders above it. Leftovers of dead processes
    /// for the same target are removed, and a `target` that a dead process had moved aside in the
    /// middle of [`commit`](Self::commit) is put back.
    ///
    /// # Errors
    /// Those of [`Error::io`]; an input error when `target` is a file; a failure when this process
    /// is writing the same target already.
    pub fn new(target: &Path) -> Result<Self> {
        let folder = parent(target);
        fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        if target.exists() && !target.is_dir() {
            return Err(Error::input("a file is there, a folder was to be written")
                .at(target.display())
                .hint("move it away, or choose another name"));
        }
        sweep(target)?;
        let path = folder.join(hidden(target, &format!("partial-{}", std::process::id()))?);
        loop {
            fs::create_dir(&path).map_err(|e| match e.kind() {
                io::ErrorKind::AlreadyExists => {
                    Error::failed("is being written already").at(target.display())
                }
                _ => Error::io("create", &path, e),
            })?;
            let beside = Beside(path.clone());
            // Folders cannot be opened as files everywhere; without a lock they are merely not
            // recognised as dead later.
            let lock = File::open(&path).ok().filter(|f| f.lock().is_ok());
            // Another process may have taken it for a leftover before we had the lock.
            if path.is_dir() {
                return Ok(Self { target: target.to_owned(), beside, _lock: lock });
            }
        }
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        &self.beside.0
    }

    /// Syncs every file and folder, then gives the folder its name. An existing target is moved
    /// aside first and removed last; a crash in between is mended by [`recover`].
    ///
    /// # Errors
    /// Those of [`Error::io`]; the target that was there before is then still there.
    pub fn commit(self) -> Result<()> {
        let Self { target, beside, _lock } = self;
        let fail = |e| Error::io("write", &target, e);
        sync_below(&beside.0)?;
        let old = parent(&target).join(hidden(&target, &format!("old-{}", std::process::id()))?);
        let replaces = target.exists();
        if replaces {
            fs::rename(&target, &old).map_err(fail)?;
        }
        if let Err(e) = fs::rename(&beside.0, &target) {
            if replaces {
                fs::rename(&old, &target).map_err(fail)?;
            }
            return Err(fail(e));
        }
        beside.keep();
        sync_folder(parent(&target))?;
        if replaces {
            remove(&old).map_err(|e| Error::io("remove", &old, e))?;
        }
        Ok(())
    }
}

/// Mends what a crash during [`StagedDir::commit`] or [`write_atomic`] left beside `target`:
/// leftovers of dead processes are removed; if the crash came after the old folder was moved aside
/// and before the new one had its name, the old one gets its name back.
///
/// # Errors
/// Those of [`Error::io`].
pub fn recover(target: &Path) -> Result<()> {
    sweep(target)
}

fn sweep(target: &Path) -> Result<()> {
    sweep_folder(parent(target), |name| target.file_name().is_some_and(|n| n == name))
}

/// [`recover`] for every target in `folder` whose name is `wanted`.
pub(crate) fn sweep_folder(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    let (mut living, mut old) = (Vec::new(), Vec::new());
    for path in entries.flatten().map(|e| e.path()) {
        let Some(hidden) = path.file_name().and_then(|n| n.to_str()?.strip_prefix('.')) else {
            continue;
        };
        if let Some((name, _)) = hidden.rsplit_once(".old-").filter(|(n, _)| wanted(n)) {
            old.push((folder.join(name), path));
        } else if let Some((name, _)) = hidden.rsplit_once(".partial-").filter(|(n, _)| wanted(n))
            && let Ok(file) = File::open(&path)
        {
            if file.try_lock().is_ok() {
                // The lock was free, so its writer is dead. We hold the lock until the file is gone.
                remove(&path).map_err(|e| Error::io("remove", &path, e))?;
            } else {
                living.push(folder.join(name));
            }
        }
    }
    for (target, path) in old {
        if target.exists() {
            remove(&path).map_err(|e| Error::io("remove", &path, e))?;
        } else if !living.contains(&target) {
            // A living writer may be between its two renames; a dead one never got further.
            fs::rename(&path, &target).map_err(|e| Error::io("restore", &target, e))?;
            sync_folder(folder)?;
        }
    }
    Ok(())
}

/// Removes a file or a folder; none there is fine.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let gone = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match gone {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Something half-written, removed when dropped.
#[derive(Debug)]
struct Beside(PathBuf);

impl Beside {
    /// It has its name now: nothing to remove.
    fn keep(mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            let _ = remove(&self.0);
        }
    }
}

fn create_beside(path: &Path) -> Result<(File, Beside)> {
    // Two threads may write the same path at once; the last rename wins.
    static COUNT: AtomicU64 = AtomicU64::new(0);
    loop {
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = hidden(path, &format!("partial-{}-{n}", std::process::id()))?;
        let beside = Beside(parent(path).join(name));
        let file = File::create_new(&beside.0);
        let file = match file {
            // A dead process with our number, on a file system without locks.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                beside.keep();
                continue;
            }
            other => other.map_err(|e| Error::io("write", path, e))?,
        };
        let _ = file.lock();
        // Another process may have taken it for a leftover before we had the lock.
        if beside.0.exists() {
            return Ok((file, beside));
        }
    }
}

/// `.NAME.SUFFIX` for a path that ends in NAME.
fn hidden(path: &Path, suffix: &str) -> Result<OsString> {
    let name = path.file_name().ok_or_else(|| {
        Error::input("a path that ends in a name was expected").at(path.display())
    })?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(".");
    hidden.push(suffix);
    Ok(hidden)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

fn sync_below(folder: &Path) -> Result<()> {
    let fail = |e| Error::io("read", folder, e);
    for entry in fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let path = entry.path();
        let kind = entry.file_type().map_err(fail)?;
        if kind.is_dir() {
            sync_below(&path)?;
        } else if kind.is_file() {
            File::open(&path)
                .and_then(|f| f.sync_all())
                .map_err(|e| Error::io("sync", &path, e))?;
        }
    }
    sync_folder(folder)
}

/// Makes a rename in `folder` last.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    // Only Unix can open a folder to sync it; elsewhere the file system's journal has to do.
    if cfg!(unix) {
        File::open(folder).and_then(|f| f.sync_all()).map_err(|e| Error::io("sync", folder, e))?;
    }
    Ok(())
}
