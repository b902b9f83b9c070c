//! A run: its folder, its recipe, and the way it speaks to the user.

use std::{
    fs::{self, File, TryLockError},
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    Error, Fingerprint, Recipe, Result, Section, StageFolder, manifest::ManifestFile, write_atomic,
};

/// Set by Ctrl-C or SIGTERM; long loops poll it, write a checkpoint and leave.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the loops to stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether a stop was asked for.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Fails if a stop was asked for.
    ///
    /// # Errors
    /// Interrupted.
    pub fn check(&self) -> Result<()> {
        if !self.is_set() {
            return Ok(());
        }
        Err(Error::interrupted("stopped, as asked")
            .hint("run the same command again: it goes on where it was stopped"))
    }
}

/// Where a run shows its progress; the app decides how.
pub trait Console: Send + Sync {
    /// Starts a bar of `total` units (0: unknown).
    fn bar(&self, stage: &str, total: u64, unit: &str) -> Box<dyn Bar>;
    /// A line for the user.
    fn say(&self, line: &str);
    /// A warning.
    fn warn(&self, line: &str);
}

/// One progress bar.
pub trait Bar: Send {
    /// Units done so far.
    fn set(&self, done: u64);
    /// Loss, rate and the like, behind the bar.
    fn message(&self, text: &str);
    /// Closes the bar with a last word.
    fn finish(&self, text: &str);
}

/// A console that says nothing, for tests and libraries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Console for Silent {
    fn bar(&self, _: &str, _: u64, _: &str) -> Box<dyn Bar> {
        Box::new(Silent)
    }
    fn say(&self, _: &str) {}
    fn warn(&self, _: &str) {}
}

impl Bar for Silent {
    fn set(&self, _: u64) {}
    fn message(&self, _: &str) {}
    fn finish(&self, _: &str) {}
}

/// One of several processes that share a stage's work, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Which of them.
    pub index: usize,
    /// How many there are.
    pub count: usize,
}

/// A run: one folder, one recipe, all its stages. Only one process at a time has it open, or several
/// tasks of one stage.
pub struct Run {
    /// The run's folder.
    pub dir: PathBuf,
    /// The recipe as read.
    pub recipe: Recipe,
    /// What all randomness comes from.
    pub seed: u64,
    /// Where progress is shown.
    pub console: Arc<dyn Console>,
    /// Set when the user wants to stop.
    pub interrupt: Interrupt,
    /// The name of the device that stages compute on; `None` is the processor.
    pub device: Option<String>,
    /// Which of several processes this is, if there are several.
    pub task: Option<Task>,
    force: bool,
    manifest: Arc<ManifestFile>,
    /// Locked as long as the run is open; the operating system unlocks it for a killed process.
    _lock: File,
}

impl Run {
    /// Opens a run, creating its folder, and writes its manifest. With `force`, a stage that was
    /// made from something else is redone instead of refused.
    ///
    /// # Errors
    /// A failure when another process has the run open; those of [`Error::io`].
    pub fn open(
        dir: &Path,
        recipe: Recipe,
        seed: u64,
        console: Arc<dyn Console>,
        interrupt: Interrupt,
        force: bool,
    ) -> Result<Self> {
        Self::open_as(dir, recipe, seed, console, interrupt, force, None)
    }

    /// Opens a run as one of several processes that share its work, or alone (`None`).
    ///
    /// # Errors
    /// Those of [`Run::open`].
    pub fn open_as(
        dir: &Path,
        recipe: Recipe,
        seed: u64,
        console: Arc<dyn Console>,
        interrupt: Interrupt,
        force: bool,
        task: Option<Task>,
    ) -> Result<Self> {
        fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
        let lock = lock(&dir.join(".lock"), task.is_some())?;
        let manifest = Arc::new(ManifestFile::open(&dir.join("manifest.json"), seed)?);
        Ok(Self {
            dir: dir.to_owned(),
            recipe,
            seed,
            console,
            interrupt,
            device: None,
            task,
            force,
            manifest,
            _lock: lock,
        })
    }

    /// The same with stages that compute on another device than the processor, by its name.
    #[must_use]
    pub fn on(self, device: Option<String>) -> Self {
        Self { device, ..self }
    }

    /// A stage's folder; [`StageFolder::is_done`] creates it.
    pub fn stage(&self, name: &str) -> StageFolder {
        StageFolder {
            name: name.to_owned(),
            dir: self.dir.join(name),
            force: self.force,
            manifest: self.manifest.clone(),
        }
    }

    /// What decides the result of a stage with this section; add its inputs.
    pub fn fingerprint<S: Section>(&self, section: &S) -> Fingerprint {
        Fingerprint::new(section, self.seed)
    }

    /// Writes `RUN/recipe.toml`: the text of [`Recipe::resolved`].
    ///
    /// # Errors
    /// Those of [`Error::io`].
    pub fn write_recipe(&self, resolved: &str) -> Result<()> {
        write_atomic(&self.dir.join("recipe.toml"), resolved.as_bytes())
    }
}

/// Takes the run's lock, or says who has it. Tasks share it.
fn lock(path: &Path, shared: bool) -> Result<File> {
    let fail = |e| Error::io("lock", path, e);
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(fail)?;
    match if shared { file.try_lock_shared() } else { file.try_lock() } {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            let run = path.parent().unwrap_or(path);
            return Err(Error::failed(format_args!(
                "another athanor (process {}) is writing this run",
                pid.trim()
            ))
            .at(run.display())
            .hint("wait for it, stop it, or choose another --out"));
        }
        // File systems without locks exist; one process is then the user's own care.
        Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => {}
        Err(TryLockError::Error(e)) => return Err(fail(e)),
    }
    if shared {
        return Ok(file);
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(fail)?;
    Ok(file)
}
