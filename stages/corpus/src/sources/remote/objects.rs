//! Object stores: `s3://BUCKET/KEY`, `gs://…`, `az://…` (and s3a, abfs, abfss), by the crate object_store, with
//! the cargo feature `object-store`. A key is an object, what objects' keys begin with up to a `/`, or a pattern.
//!
//! Credentials and endpoints are those of the environment, by the names that the stores' own tools have:
//! AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL, AWS_SKIP_SIGNATURE …, GOOGLE_APPLICATION_CREDENTIALS …,
//! AZURE_STORAGE_ACCOUNT_NAME ….

use std::{
    fs,
    io::Write,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use athanor_store::{Error, Result, durable, read_json, sha256_bytes, write_json};
use futures_util::StreamExt;
use glob::{MatchOptions, Pattern};
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, path::Path as Key};
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};
use url::Url;

use super::{Fetch, Listed, Origin, RemoteFile};

/// Kinds of addresses.
pub(super) const SCHEMES: &[&str] = &["s3", "s3a", "gs", "az", "abfs", "abfss"];
/// How often a stop is looked for while nothing comes.
const GLANCE: Duration = Duration::from_millis(200);

/// An object as it was listed.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Object {
    key: String,
    size: u64,
    etag: Option<String>,
    modified: String,
}

impl Object {
    fn of(meta: ObjectMeta) -> Self {
        Self {
            key: meta.location.to_string(),
            size: meta.size,
            etag: meta.e_tag,
            modified: meta.last_modified.to_rfc3339(),
        }
    }

    fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or(&self.key)
    }
}

/// The address without its pattern, and the pattern of keys.
fn parts(address: &str) -> Result<(Url, Option<Pattern>)> {
    let bad = |what: String| {
        Error::input(what).hint("s3://BUCKET/KEY, gs://BUCKET/KEY, az://CONTAINER/KEY")
    };
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(bad("a bucket was expected".into()));
    }
    let wild = key.find(['*', '?', '[']);
    let folder = match wild {
        Some(at) => key[..at].rsplit_once('/').map_or("", |(folder, _)| folder),
        None => key,
    };
    let pattern = match wild {
        Some(_) => Some(Pattern::new(key).map_err(|e| bad(format!("a bad pattern: {e}")))?),
        None => None,
    };
    let mut url = Url::parse(&format!("{scheme}://{bucket}/")).map_err(|e| bad(e.to_string()))?;
    url.set_path(folder);
    Ok((url, pattern))
}

pub(super) fn check(address: &str) -> Result<()> {
    parts(address).map(|_| ())
}

pub(super) fn list(address: &str, how: &Fetch) -> Result<Listed> {
    let root = how.settings.cache.join("objects");
    let kept = root.join("lists").join(format!("{}.json", &sha256_bytes(address.as_bytes())[..16]));
    let (url, pattern) = parts(address)?;
    let variables = how.settings.stores.iter().map(|(n, v)| (n.to_ascii_lowercase(), v.clone()));
    let explain = |e| explain(e).at(address);
    let (store, key) = object_store::parse_url_opts(&url, variables).map_err(explain)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Error::failed(format!("no threads to wait for the network: {e}")))?;
    let objects: Vec<Object> = if how.settings.offline {
        if !kept.exists() {
            return Err(Error::input("offline, and not in the cache").at(address));
        }
        read_json(&kept)?
    } else {
        let found = runtime.block_on(listed(&*store, &key, pattern.as_ref())).map_err(explain)?;
        write_json(&kept, &found)?;
        found
    };
    if objects.is_empty() {
        return Err(Error::input("no object matches")
            .at(address)
            .hint("check bucket, key and pattern"));
    }
    let latest = objects.iter().map(|o| o.modified.as_str()).max().unwrap_or_default();
    let version = format!("{} objects, the latest of {latest}", objects.len());
    let bucket = Arc::new(Bucket { store, runtime, address: address.into() });
    let mut files = Vec::new();
    for object in objects {
        let version = (
            &url[..url::Position::BeforePath],
            &object.key,
            &object.etag,
            &object.modified,
            object.size,
        );
        let hash = sha256_bytes(format!("{version:?}").as_bytes());
        let folder = root.join(&hash[..32]);
        let (path, lock, size) = (folder.join(object.name()), folder.join(".lock"), object.size);
        if how.settings.offline && !path.exists() {
            return Err(Error::input("offline, and not in the cache").at(&object.key).at(address));
        }
        let file = File { bucket: bucket.clone(), object, folder };
        files.push(RemoteFile::new(path, Some(size), Some(format!("object {hash}")), lock, file));
    }
    Ok(Listed { files, version })
}

/// Whom to ask.
struct Bucket {
    store: Box<dyn ObjectStore>,
    runtime: Runtime,
    /// As the recipe has it.
    address: String,
}

/// An object, and its own folder in the cache.
struct File {
    bucket: Arc<Bucket>,
    object: Object,
    folder: PathBuf,
}

impl File {
    fn path(&self) -> PathBuf {
        self.folder.join(self.object.name())
    }
}

impl Origin for File {
    fn is_there(&self) -> bool {
        self.path().exists()
    }

    fn fetch(&self, how: &Fetch, come: &AtomicU64) -> Result<()> {
        let partial = self.folder.join(".partial");
        let Bucket { store, runtime, address } = &*self.bucket;
        get(&**store, runtime, &self.object, &partial, how, come).map_err(|e| e.at(address))?;
        durable::publish(&partial, &self.path())
    }

    fn remove(&self) {
        // What is left costs disk only.
        let _ = fs::remove_file(self.path());
    }
}

/// The objects that are meant, in the order of their keys.
async fn listed(
    store: &dyn ObjectStore,
    key: &Key,
    pattern: Option<&Pattern>,
) -> object_store::Result<Vec<Object>> {
    if pattern.is_none() && !key.as_ref().is_empty() {
        let head = GetOptions { head: true, ..GetOptions::default() };
        match store.get_opts(key, head).await {
            Ok(found) => return Ok(vec![Object::of(found.meta)]),
            // No object: a folder, perhaps.
            Err(object_store::Error::NotFound { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
    let mut all = store.list(Some(key));
    let mut out = Vec::new();
    while let Some(meta) = all.next().await {
        let object = Object::of(meta?);
        let wanted = match pattern {
            Some(pattern) => pattern.matches_with(&object.key, options),
            None => !object.key.split('/').any(|part| part.starts_with('.')),
        };
        let name = object.name();
        if wanted && object.size > 0 && !name.is_empty() && name != ".." && name != "." {
            out.push(object);
        }
    }
    out.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(out)
}

/// Fetches what is missing of an object. The crate itself tries again what passes.
fn get(
    store: &dyn ObjectStore,
    runtime: &Runtime,
    object: &Object,
    partial: &PathBuf,
    how: &Fetch,
    come: &AtomicU64,
) -> Result<()> {
    let fail = |e| Error::io("write", partial, e);
    let mut file = fs::File::options().create(true).append(true).open(partial).map_err(fail)?;
    let mut have = fs::metadata(partial).map_err(fail)?.len();
    if have > object.size {
        file.set_len(0).map_err(fail)?;
        have = 0;
    }
    come.fetch_add(have, Ordering::Relaxed);
    if have == object.size {
        return Ok(());
    }
    let place = |e: object_store::Error| explain(e).at(&object.key);
    let key = Key::parse(&object.key).map_err(|e| Error::failed(e).at(&object.key))?;
    let options = GetOptions {
        range: (have > 0).then_some(GetRange::Offset(have)),
        if_match: object.etag.clone().filter(|e| !e.starts_with("W/")),
        ..GetOptions::default()
    };
    runtime.block_on(async {
        let mut stream = store.get_opts(&key, options).await.map_err(place)?.into_stream();
        loop {
            how.interrupt.check()?;
            let next = match tokio::time::timeout(GLANCE, stream.next()).await {
                Err(_) => continue,
                Ok(None) => break,
                Ok(Some(bytes)) => bytes.map_err(place)?,
            };
            file.write_all(&next).map_err(fail)?;
            have += next.len() as u64;
            come.fetch_add(next.len() as u64, Ordering::Relaxed);
        }
        match have == object.size {
            true => Ok(()),
            false => {
                Err(Error::failed(format!("{have} bytes came of {}", object.size)).at(&object.key))
            }
        }
    })
}

/// What a store's refusals mean, and what to do.
fn explain(error: object_store::Error) -> Error {
    use object_store::Error as E;
    let what = without_queries(&error.to_string());
    // Of a refused list the crate knows the text alone.
    let refused = ["401 Unauthorized", "403 Forbidden"].iter().any(|s| what.contains(s));
    match error {
        E::NotFound { .. } => Error::input(what).hint("check bucket, region and key"),
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => no_right(what),
        E::Generic { .. } if refused => no_right(what),
        E::Precondition { .. } => {
            Error::failed(what).hint("the object was changed while it came; run again")
        }
        E::InvalidPath { .. } | E::UnknownConfigurationKey { .. } => Error::input(what),
        _ => Error::failed(what).hint(
            "check the network and the environment (AWS_REGION, AWS_ENDPOINT_URL …); run again: it goes on with what it has",
        ),
    }
}

fn no_right(what: String) -> Error {
    Error::input(what).hint(
        "check the credentials in the environment (AWS_ACCESS_KEY_ID and so on); with \
         AWS_SKIP_SIGNATURE=true public buckets need none",
    )
}

/// Queries of addresses may hold signatures.
fn without_queries(text: &str) -> String {
    let shown = |word: &str| match (word.find("://"), word.find('?')) {
        (Some(scheme), Some(query)) if scheme < query => word[..query].to_string(),
        _ => word.to_string(),
    };
    text.split(' ').map(shown).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (address, path, pattern) in [
            ("s3://b/k/x.jsonl", "k/x.jsonl", None),
            ("s3://b", "", None),
            ("gs://b/k/*.parquet", "k", Some("k/*.parquet")),
            ("az://c/**/x?.jsonl", "", Some("**/x?.jsonl")),
        ] {
            let (url, found) = parts(address).unwrap();
            assert_eq!(
                (url.path().trim_matches('/'), found.as_ref().map(|p| p.as_str())),
                (path, pattern)
            );
        }
        assert!(parts("s3:///k").is_err() && parts("s3://b/[").is_err());
        let text = "Error GET https://a/b?sig=secret failed";
        assert_eq!(without_queries(text), "Error GET https://a/b failed");
    }
}
