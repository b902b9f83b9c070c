//! Remote sources: an address becomes a list of files, and each file is fetched when it is going to be read
//! ([`Feed`]). Until then the server's description of the file (SHA-256, ETag …) identifies its content.
//!
//! A file is fetched once, into a cache that runs share; where the connection is cut it goes on, and it has its
//! name only when it is whole and its size and hash are right. A kind of address is one file here and one line
//! in [`PLACES`].

mod feed;
mod http;
mod hub;
#[cfg(feature = "object-store")]
mod objects;
mod web;

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use athanor_store::{Console, Error, Interrupt, Result, recipe::scheme};

pub use self::feed::Feed;
use self::http::Lock;

/// Files that are fetched at once.
const AT_ONCE: usize = 4;

/// A kind of address.
struct Place {
    /// What addresses begin with, without `://`.
    schemes: &'static [&'static str],
    /// Refuses an address that cannot be one, without a request.
    check: fn(&str) -> Result<()>,
    /// Lists what an address means.
    list: fn(&str, &Fetch) -> Result<Listed>,
}

/// All kinds of addresses.
static PLACES: &[Place] = &[
    Place { schemes: &["hf"], check: hub::check, list: hub::list },
    Place { schemes: &["https", "http"], check: web::check, list: web::list },
    #[cfg(feature = "object-store")]
    Place { schemes: objects::SCHEMES, check: objects::check, list: objects::list },
];

/// Addresses that other builds know, and the cargo feature that they have for it.
#[cfg(not(feature = "object-store"))]
const OTHERS: &[(&[&str], &str)] = &[(&["s3", "s3a", "gs", "az", "abfs", "abfss"], "object-store")];
#[cfg(feature = "object-store")]
const OTHERS: &[(&[&str], &str)] = &[];

/// What the user's environment says of the way out.
#[derive(Clone)]
pub struct Settings {
    /// The Hub: HF_ENDPOINT.
    endpoint: String,
    /// HF_TOKEN, or what `hf auth login` has left in HF_HOME.
    token: Option<String>,
    /// The Hub's cache, as huggingface_hub has it: HF_HUB_CACHE, HF_HOME/hub.
    hub: PathBuf,
    /// The cache for all else: ATHANOR_CACHE.
    cache: PathBuf,
    /// What the object stores' own tools heed: AWS_…, GOOGLE_…, AZURE_….
    #[cfg_attr(
        not(feature = "object-store"),
        allow(dead_code, reason = "object stores are not built in")
    )]
    stores: Vec<(String, String)>,
    /// HF_HUB_OFFLINE: no requests.
    offline: bool,
    /// SSL_CERT_FILE: authorities to trust instead of Mozilla's list.
    certificates: Option<PathBuf>,
    /// The wait before the second try.
    patience: Duration,
}

impl Settings {
    /// The environment's.
    pub fn of_environment() -> Self {
        let text = |v: std::ffi::OsString| v.into_string().ok();
        Self::of(std::env::vars_os().filter_map(|(name, value)| text(name).zip(text(value))))
    }

    /// Those of other variables.
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let variables: BTreeMap<String, String> = variables.into_iter().collect();
        let get = |name: &str| variables.get(name).cloned().filter(|v| !v.trim().is_empty());
        let path = |name: &str| get(name).map(|v| expanded(&v, get("HOME").as_deref()));
        let on = |name: &str| {
            get(name).is_some_and(|v| {
                matches!(v.to_ascii_lowercase().as_str(), "1" | "on" | "yes" | "true")
            })
        };
        let home = path("HOME").or_else(|| path("USERPROFILE")).unwrap_or_default();
        let caches = path("XDG_CACHE_HOME").unwrap_or_else(|| home.join(".cache"));
        let hf = path("HF_HOME").unwrap_or_else(|| caches.join("huggingface"));
        let hub = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let file = path("HF_TOKEN_PATH").unwrap_or_else(|| hf.join("token"));
        let left = || match on("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            true => None,
            false => std::fs::read_to_string(file).ok(),
        };
        let token = get("HF_TOKEN").or_else(|| get("HUGGING_FACE_HUB_TOKEN")).or_else(left);
        let token = token.map(|t| t.trim().to_string()).filter(|t| !t.is_empty());
        let endpoint = get("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        Self {
            endpoint: endpoint.trim().trim_end_matches('/').to_string(),
            token,
            hub: hub.unwrap_or_else(|| hf.join("hub")),
            cache: path("ATHANOR_CACHE").unwrap_or_else(|| caches.join("athanor")),
            stores: variables
                .iter()
                .filter(|(n, _)| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|p| n.starts_with(p)))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            offline: on("HF_HUB_OFFLINE") || on("TRANSFORMERS_OFFLINE"),
            certificates: path("SSL_CERT_FILE"),
            patience: Duration::from_secs(1),
        }
    }

    /// Whether there is a token for the Hub.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The same, with another wait before the second try (1 s).
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

/// Without what is secret.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Self { endpoint, hub, cache, offline, certificates, patience, .. } = self;
        f.debug_struct("Settings")
            .field("endpoint", endpoint)
            .field("token", &self.has_token())
            .field("hub", hub)
            .field("cache", cache)
            .field("offline", offline)
            .field("certificates", certificates)
            .field("patience", patience)
            .finish()
    }
}

fn expanded(path: &str, home: Option<&str>) -> PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => Path::new(home).join(rest),
        _ => PathBuf::from(path),
    }
}

/// A fetch: what it may know, and whom it tells.
pub struct Fetch<'a> {
    /// What the environment says.
    pub settings: &'a Settings,
    /// Where progress is shown.
    pub console: &'a dyn Console,
    /// Set when the user wants to stop; what has come so far stays.
    pub interrupt: &'a Interrupt,
}

/// What an address came to.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// The files, in their order.
    pub files: Vec<RemoteFile>,
    /// What tells this state of them from others, for the account: "commit 0123…".
    pub version: String,
}

/// A file that is elsewhere, or was.
#[derive(Clone)]
pub struct RemoteFile {
    /// Where it is as soon as it is fetched.
    pub path: PathBuf,
    /// Bytes, if they are known.
    pub size: Option<u64>,
    /// What stands for its content: SHA-256 in hexadecimal, or what its place has for that, with a word in front.
    /// None if only the content tells; then it has been fetched.
    pub identity: Option<String>,
    /// What programs lock while they fetch it.
    lock: PathBuf,
    origin: Arc<dyn Origin>,
    /// Whether this process has fetched it.
    ours: Arc<AtomicBool>,
}

/// Where a file comes from.
trait Origin: Send + Sync {
    /// Whether it is here.
    fn is_there(&self) -> bool;
    /// Fetches it, adding to the bytes that have come.
    fn fetch(&self, how: &Fetch, come: &AtomicU64) -> Result<()>;
    /// Takes it out of the cache.
    fn remove(&self);
}

impl RemoteFile {
    fn new(
        path: PathBuf,
        size: Option<u64>,
        identity: Option<String>,
        lock: PathBuf,
        origin: impl Origin + 'static,
    ) -> Self {
        let (origin, ours) = (Arc::new(origin), Arc::default());
        Self { path, size, identity, lock, origin, ours }
    }

    /// Takes it out of the cache, if this process has put it there.
    pub fn forget(&self) {
        if self.ours.swap(false, Ordering::Relaxed) {
            self.origin.remove();
        }
    }
}

impl std::fmt::Debug for RemoteFile {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("RemoteFile").field("path", &self.path).field("size", &self.size).finish()
    }
}

/// A path as it may be shown to others: of an address of the web without what may be secret in it.
pub fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    if matches!(scheme(path), Some("https" | "http")) { http::shown(&text) } else { text }
}

/// Whether a path is an address.
pub fn is_remote(path: &Path) -> bool {
    scheme(path).is_some()
}

/// Refuses an address that cannot be one, without a request.
///
/// # Errors
/// Input.
pub fn check(path: &Path) -> Result<()> {
    let address = path.to_string_lossy();
    (place(path)?.check)(&address).map_err(|e| e.at(address))
}

fn place(path: &Path) -> Result<&'static Place> {
    let scheme = scheme(path).unwrap_or_default();
    PLACES.iter().find(|p| p.schemes.contains(&scheme)).ok_or_else(|| {
        let known: Vec<String> =
            PLACES.iter().flat_map(|p| p.schemes).map(|s| format!("{s}://")).collect();
        let error = Error::input(format!("no source is reached by {scheme}://")).at(path.display());
        match OTHERS.iter().find(|(schemes, _)| schemes.contains(&scheme)) {
            Some((_, feature)) => error.hint(format!("build with `--features {feature}`")),
            None => error.hint(format!("known are {}", known.join(", "))),
        }
    })
}

/// The files that an address means.
///
/// # Errors
/// Input: a bad address, nothing there, no right to it. Failed: no answer. Interrupted: a stop was asked for.
pub fn list(path: &Path, how: &Fetch) -> Result<Listed> {
    check(path)?;
    (place(path)?.list)(&path.to_string_lossy(), how)
}

/// The files that an address means, all of them fetched if they are not there.
///
/// # Errors
/// Those of [`list`]. Failed: a file that is not what it should be.
pub fn fetch(path: &Path, how: &Fetch) -> Result<Listed> {
    let listed = list(path, how)?;
    fetch_all(&listed.files, &shown(path), how)?;
    Ok(listed)
}

/// [`list`] by the environment. In one process an address means the same files from first to last: a branch
/// may move while a run is under way.
///
/// # Errors
/// Those of [`list`].
pub fn listed(path: &Path, console: &dyn Console, interrupt: &Interrupt) -> Result<Listed> {
    static KNOWN: Mutex<BTreeMap<PathBuf, Listed>> = Mutex::new(BTreeMap::new());
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(before) = known().get(path) {
        return Ok(before.clone());
    }
    let now = list(path, &Fetch { settings: &Settings::of_environment(), console, interrupt })?;
    known().insert(path.to_path_buf(), now.clone());
    Ok(now)
}

/// Fetches what is not there, several at once. What another process is fetching is left for later, and then
/// most likely there.
fn fetch_all(files: &[RemoteFile], what: &str, how: &Fetch) -> Result<()> {
    let missing: Vec<&RemoteFile> = files.iter().filter(|f| !f.origin.is_there()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let total = missing.iter().map(|f| f.size).sum::<Option<u64>>().unwrap_or(0);
    let (count, workers) = (missing.len(), missing.len().min(AT_ONCE));
    let bar = how.console.bar("fetch", total, "bytes");
    bar.message(&format!("{what}: {count} files"));
    let (come, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let failed = AtomicBool::new(false);
    let queue = Mutex::new(VecDeque::from(missing));
    let work = || -> Result<()> {
        loop {
            if failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            how.interrupt.check()?;
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(next) = next else { return Ok(()) };
            if !next.origin.is_there() {
                let Some(_lock) = Lock::take(next.lock.clone())? else {
                    queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(next);
                    std::thread::sleep(Duration::from_millis(100));
                    continue;
                };
                if !next.origin.is_there() {
                    next.origin.fetch(how, &come)?;
                    next.ours.store(true, Ordering::Relaxed);
                }
            }
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    let result = std::thread::scope(|scope| {
        let worker = || {
            let result = work();
            if result.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            result
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        while !workers.iter().all(|w| w.is_finished()) {
            bar.set(come.load(Ordering::Relaxed));
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut results = workers.into_iter().map(|w| w.join());
        results.try_for_each(|r| r.unwrap_or_else(|_| Err(Error::failed("a download broke down"))))
    });
    let come = come.load(Ordering::Relaxed);
    bar.finish(&format!("{what}: {} of {count} files, {come} bytes", done.load(Ordering::Relaxed)));
    result
}
