//! What is made on the way to the shards, under the hash of what it is made from.
//!
//! A piece of work has a key: the hash of everything that decides its result. `KEY.json` says that it is
//! done; what it made stands in files of the same name. So what was made once is not made again: not after
//! a kill, not when a step behind it has changed, not by another process on the same work. Several
//! processes may share the folder ([`athanor_store::Task`]): each makes the pieces that fall to it first, then
//! unclaimed ones. A process claims a piece by `KEY.claim`, which it holds locked and touches as long as it
//! lives. If it stops, another takes over: at once on the same machine, where the lock falls with its holder,
//! and after [`STALE`] on others, because their file system may not show the lock. Claims only save work: every
//! process makes the same result and renames it into its place, so two may make it at the same time.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::{OnceLock, mpsc},
    time::{Duration, Instant, SystemTime},
};

use athanor_store::{Error, Result, Run, read_json, sha256_bytes, write_json};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// How often a claim is touched.
const TOUCH: Duration = Duration::from_secs(10);
/// A claim that has not been touched for so long is free.
const STALE: Duration = Duration::from_secs(90);

/// The key of work that these values decide.
pub(crate) fn key(parts: &Value) -> String {
    // A change in what the files hold needs another number.
    let whole = format!("athanor corpus 2 {parts}");
    sha256_bytes(whole.as_bytes())[..32].to_string()
}

/// The folder of intermediate results.
pub(crate) struct Cache<'a> {
    pub(crate) run: &'a Run,
    folder: PathBuf,
}

impl<'a> Cache<'a> {
    pub(crate) fn open(run: &'a Run, folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        Ok(Self { run, folder })
    }

    pub(crate) fn path(&self, key: &str, ending: &str) -> PathBuf {
        // Folders stay small enough to be listed.
        self.folder.join(&key[..2]).join(format!("{key}.{ending}"))
    }

    pub(crate) fn is_done(&self, key: &str) -> bool {
        self.path(key, "json").exists()
    }

    pub(crate) fn read<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        read_json(&self.path(key, "json"))
            .map_err(|e| e.hint("an intermediate result is damaged: remove it and run again"))
    }

    /// Says that work is done; its files are there by now.
    pub(crate) fn finish<T: Serialize>(&self, key: &str, result: &T) -> Result<()> {
        write_json(&self.path(key, "json"), result)
    }

    /// Removes files that are no longer needed, unless they are kept for later runs or may be
    /// needed by another process.
    pub(crate) fn forget(&self, key: &str, ending: &str) {
        // A leftover costs disk only.
        let _ = fs::remove_file(self.path(key, ending));
    }

    /// In which order this process goes through pieces: its own first.
    pub(crate) fn order(&self, pieces: usize) -> Vec<usize> {
        let (index, count) = self.run.task.map_or((0, 1), |t| (t.index, t.count));
        let mut order: Vec<usize> = (0..pieces).collect();
        order.sort_by_key(|&n| ((n + count - index % count) % count, n));
        order
    }

    /// Sees to it that all this work is done, by this process or by others: `make` does the piece of
    /// this number, if it is not done.
    ///
    /// # Errors
    /// Those of `make`; interrupted, if asked to stop.
    pub(crate) fn all(
        &self,
        keys: &[String],
        mut make: impl FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        let mut left = self.order(keys.len());
        let mut seen: HashMap<usize, (SystemTime, Instant)> = HashMap::new();
        while !left.is_empty() {
            let before = left.len();
            let mut waiting = Vec::new();
            for number in left {
                self.run.interrupt.check()?;
                let key = &keys[number];
                if self.is_done(key) {
                    continue;
                }
                if self.run.task.is_none() {
                    make(number)?;
                    continue;
                }
                match self.claim(key, seen.get(&number))? {
                    Claim::Ours(lock) => {
                        let claim = self.path(key, "claim");
                        // It may have been done between the look and the claim.
                        let work = || if self.is_done(key) { Ok(()) } else { make(number) };
                        touching(&claim, work)?;
                        drop(lock);
                    }
                    Claim::Others(time) => {
                        // By our own clock since we saw this time: the machines' may differ.
                        let same = seen.get(&number).is_some_and(|(t, _)| *t == time);
                        if !same {
                            seen.insert(number, (time, Instant::now()));
                        }
                        waiting.push(number);
                    }
                }
            }
            left = waiting;
            if !left.is_empty() && left.len() == before {
                self.given_up()?;
                std::thread::sleep(Duration::from_millis(500));
            }
        }
        Ok(())
    }

    /// Takes a piece of work, or says when it was last touched by who has it.
    fn claim(&self, key: &str, seen: Option<&(SystemTime, Instant)>) -> Result<Claim> {
        let path = self.path(key, "claim");
        let fail = |e| Error::io("write", &path, e);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        }
        match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
            Ok(file) => return sign(file).map(Claim::Ours).map_err(fail),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(fail(e)),
        }
        if let Some(lock) = orphan(&path) {
            return Ok(Claim::Ours(lock));
        }
        // It may be gone by now: then the next look will tell.
        let touched = fs::metadata(&path).and_then(|m| m.modified());
        let touched = touched.unwrap_or(SystemTime::UNIX_EPOCH);
        match seen {
            Some((time, since)) if *time == touched && since.elapsed() > STALE => {
                let file = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .open(&path)
                    .map_err(fail)?;
                sign(file).map(Claim::Ours).map_err(fail)
            }
            _ => Ok(Claim::Others(touched)),
        }
    }

    /// Another process may have finished everything and cleared the folder away.
    fn given_up(&self) -> Result<()> {
        if self.folder.exists() {
            return Ok(());
        }
        Err(Error::failed("the folder of intermediate results is gone").at(self.folder.display()))
    }
}

/// Who works on a piece.
enum Claim {
    /// We; the lock says so as long as it is held.
    Ours(File),
    /// Another process, which touched it then.
    Others(SystemTime),
}

/// Locks a claim and writes whose it is.
fn sign(mut file: File) -> std::io::Result<File> {
    // Without locks on its file system it is taken over after a while.
    let _ = file.try_lock();
    writeln!(file, "{} {}", machine().unwrap_or("-"), std::process::id())?;
    Ok(file)
}

/// The claim of a process of this machine that is dead: its lock has fallen.
fn orphan(path: &Path) -> Option<File> {
    let mut file = OpenOptions::new().read(true).write(true).open(path).ok()?;
    let mut text = String::new();
    (&mut file).take(200).read_to_string(&mut text).ok()?;
    if text.split_whitespace().next()? != machine()? {
        return None;
    }
    file.try_lock().ok()?;
    Some(file)
}

/// A name of this machine, another after each start; none where it is not known.
fn machine() -> Option<&'static str> {
    static NAME: OnceLock<Option<String>> = OnceLock::new();
    let read = || fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let name = NAME.get_or_init(|| read().map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()));
    name.as_deref()
}

/// Does something while touching a file, which is then removed.
fn touching(path: &Path, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let (stop, stopped) = mpsc::channel::<()>();
    let result = std::thread::scope(|scope| {
        scope.spawn(move || {
            while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(TOUCH) {
                // If it cannot be touched, another process may do the same work: no harm.
                let _ = File::options()
                    .write(true)
                    .open(path)
                    .and_then(|f| f.set_modified(SystemTime::now()));
            }
        });
        let result = work();
        drop(stop);
        result
    });
    let _ = fs::remove_file(path);
    result
}
