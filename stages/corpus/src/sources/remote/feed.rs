//! Files that come shortly before they are read: the one that is asked for, and a few behind it, so that reading
//! waits for the network as little as it can and the disk holds no more than it must.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use athanor_store::{Console, Interrupt, Result, Silent};

use super::{AT_ONCE, Fetch, RemoteFile, Settings, fetch_all};

/// Files on their way to who reads them. Dropped, it leaves off; what came of a file stays for the next time.
pub struct Feed {
    settings: Settings,
    console: Arc<dyn Console>,
    interrupt: Interrupt,
    ahead: Arc<Ahead>,
    failed: AtomicBool,
}

/// What the threads share that fetch ahead.
struct Ahead {
    files: Vec<RemoteFile>,
    numbers: HashMap<PathBuf, usize>,
    state: Mutex<State>,
    changed: Condvar,
    /// Set when reading has ended.
    stop: Interrupt,
}

#[derive(Default)]
struct State {
    /// Files that may be fetched by now: up to `AT_ONCE` behind the one that is read.
    upto: usize,
    next: usize,
}

impl Ahead {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next file to be fetched, as soon as there is one; none at the end.
    fn next(&self) -> Option<&RemoteFile> {
        let mut state = self.state();
        loop {
            if self.stop.is_set() || state.next >= self.files.len() {
                return None;
            }
            if state.next < state.upto {
                state.next += 1;
                return self.files.get(state.next - 1);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Feed {
    /// For these files in the order in which they are going to be read.
    pub fn new(
        files: Vec<RemoteFile>,
        settings: Settings,
        console: Arc<dyn Console>,
        interrupt: Interrupt,
    ) -> Self {
        let numbers = files.iter().map(|f| f.path.clone()).zip(0..).collect();
        let (state, changed, stop) = (Mutex::default(), Condvar::new(), Interrupt::new());
        let workers = files.len().min(AT_ONCE);
        let ahead = Arc::new(Ahead { files, numbers, state, changed, stop });
        for _ in 0..workers {
            let (ahead, settings) = (ahead.clone(), settings.clone());
            // The end does not wait for this thread: a server may be silent for a minute.
            std::thread::spawn(move || {
                let how = Fetch { settings: &settings, console: &Silent, interrupt: &ahead.stop };
                while let Some(file) = ahead.next() {
                    // Who needs it meets the same error, and tells it.
                    let _ = fetch_all(std::slice::from_ref(file), "", &how);
                }
            });
        }
        Self { settings, console, interrupt, ahead, failed: AtomicBool::new(false) }
    }

    /// [`Feed::new`] by the environment.
    pub fn by_environment(
        files: Vec<RemoteFile>,
        console: Arc<dyn Console>,
        interrupt: Interrupt,
    ) -> Arc<Self> {
        Arc::new(Self::new(files, Settings::of_environment(), console, interrupt))
    }

    /// Waits until a file is here.
    ///
    /// # Errors
    /// Those of fetching.
    pub fn need(&self, file: &RemoteFile) -> Result<()> {
        if let Some(number) = self.ahead.numbers.get(&file.path) {
            let mut state = self.ahead.state();
            state.upto = state.upto.max(number + 1 + AT_ONCE);
            // What is asked for is not fetched ahead any more.
            state.next = state.next.max(number + 1);
            self.ahead.changed.notify_all();
        }
        let how =
            Fetch { settings: &self.settings, console: &*self.console, interrupt: &self.interrupt };
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        let got = fetch_all(std::slice::from_ref(file), &name, &how);
        if got.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        got
    }

    /// Whether a file could not be fetched: that is no damage of the file, which a recipe may want passed over.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.ahead.stop.set();
        self.ahead.changed.notify_all();
    }
}
