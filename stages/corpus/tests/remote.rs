//! Sources that are elsewhere, against a small server that speaks the Hub's API: redirects, cut connections,
//! refusals, and who gets to see the token.

mod hub;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use athanor_corpus::sources::remote::{Feed, Fetch, RemoteFile, Settings, fetch, list};
use athanor_store::{Interrupt, Kind, Result, Silent};
use hub::{COMMIT, Response, Server, answer, files, hash, hub, store};

fn settings(variables: &[(&str, &str)]) -> Settings {
    Settings::of(variables.iter().map(|(name, value)| (name.to_string(), value.to_string())))
}

struct Place {
    folder: tempfile::TempDir,
    endpoint: String,
    token: Option<&'static str>,
    offline: bool,
}

impl Place {
    fn new(endpoint: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, endpoint: endpoint.into(), token: Some("hf_secret"), offline: false }
    }

    fn settings(&self) -> Settings {
        let home = self.folder.path().display().to_string();
        let endpoint = format!("{}/", self.endpoint);
        let mut variables = vec![("HOME", home.as_str()), ("HF_ENDPOINT", &endpoint)];
        variables.extend(self.token.map(|t| ("HF_TOKEN", t)));
        variables.extend(self.offline.then_some(("HF_HUB_OFFLINE", "1")));
        settings(&variables).patience(Duration::from_millis(1))
    }

    fn fetch(&self, address: &str) -> Result<Vec<PathBuf>> {
        let (settings, interrupt) = (self.settings(), Interrupt::new());
        let how = Fetch { settings: &settings, console: &Silent, interrupt: &interrupt };
        fetch(Path::new(address), &how).map(|f| f.files.into_iter().map(|f| f.path).collect())
    }

    fn error(&self, address: &str) -> String {
        self.fetch(address).unwrap_err().to_string()
    }

    /// Names below the snapshot.
    fn names(&self, address: &str) -> Vec<String> {
        let snapshot = self.hub().join("snapshots").join(COMMIT);
        let files = self.fetch(address).unwrap_or_else(|e| panic!("{address}: {e}"));
        files.iter().map(|f| f.strip_prefix(&snapshot).unwrap().display().to_string()).collect()
    }

    fn hub(&self) -> PathBuf {
        self.folder.path().join(".cache/huggingface/hub/datasets--o--n")
    }
}

/// A hub that answers everything, the store that its large files are in, and a place to fetch them to.
fn sound() -> ([Server; 2], Place) {
    let elsewhere = Server::start(|r, _| store(r));
    let address = elsewhere.address.clone();
    let server = Server::start(move |r, _| hub(r, &address));
    let place = Place::new(&server.address);
    ([elsewhere, server], place)
}

#[test]
fn a_data_set_of_the_hub() {
    let ([elsewhere, server], mut place) = sound();
    let train = ["data/train-0.jsonl", "data/train-1.jsonl"];
    assert_eq!(place.names("hf://datasets/o/n/data/train-*.jsonl"), train);
    for (name, content, lfs) in files() {
        if train.contains(&name) {
            assert_eq!(
                std::fs::read(place.hub().join("snapshots").join(COMMIT).join(name)).unwrap(),
                content
            );
            assert_eq!(
                std::fs::read(place.hub().join("blobs").join(hash(&content, lfs))).unwrap(),
                content
            );
        }
    }
    assert_eq!(std::fs::read_to_string(place.hub().join("refs/main")).unwrap(), COMMIT);
    // The token goes to the Hub alone.
    assert!(server.asked().iter().all(|r| r.headers["authorization"] == "Bearer hf_secret"));
    assert_eq!(elsewhere.asked().len(), 2);
    assert!(elsewhere.asked().iter().all(|r| !r.headers.contains_key("authorization")));

    // What is there is not fetched again, and a list is not asked for twice.
    let (resolved, trees) = (server.times("/resolve/"), server.times("/tree/"));
    assert_eq!(place.names("hf://datasets/o/n@refs/convert/parquet/data/train-*.jsonl"), train);
    assert_eq!((server.times("/resolve/"), server.times("/tree/")), (resolved, trees));

    let all = [
        "data/a b/caf\u{e9}#1.jsonl",
        "data/test.jsonl",
        "data/train-0.jsonl",
        "data/train-1.jsonl",
    ];
    assert_eq!(place.names("hf://datasets/o/n"), all);
    assert_eq!(place.names("hf://datasets/o/n/data"), all);
    assert_eq!(place.names("hf://datasets/o/n/**/*1.jsonl"), [all[0], all[3]]);
    assert_eq!(place.names(&format!("hf://datasets/o/n@{COMMIT}/data/test.jsonl")), [all[1]]);
    assert_eq!(place.names("hf://datasets/o/n/README.md"), ["README.md"]);

    // Without the Hub: what the cache has.
    let asked = server.asked().len();
    place.offline = true;
    assert_eq!(place.names("hf://datasets/o/n/data"), all);
    assert!(place.error("hf://datasets/o/n@other/data").contains("offline, and not in the cache"));
    assert_eq!(server.asked().len(), asked);
    place.offline = false;
    place.endpoint = "http://127.0.0.1:9".into();
    assert_eq!(place.names("hf://datasets/o/n/data"), all, "the Hub is not reached");
    let error = Place::new("http://127.0.0.1:9").fetch("hf://datasets/o/n").unwrap_err();
    assert!(error.kind() == Kind::Failed && error.to_string().contains("no answer"), "{error}");
}

#[test]
fn cut_connections_and_a_busy_hub() {
    // Each answer breaks off behind 100 kB; every third is a refusal that passes.
    let elsewhere = Server::start(|r, before| match before % 3 {
        2 => answer(503, ""),
        _ => Response { cut: 100_000, ..store(r) },
    });
    let address = elsewhere.address.clone();
    let server = Server::start(move |r, before| match before {
        0 => answer(429, "").with("Retry-After", "0"),
        _ => hub(r, &address),
    });
    let place = Place::new(&server.address);
    let got = place.fetch("hf://datasets/o/n/data/train-1.jsonl").unwrap();
    assert_eq!(std::fs::read(&got[0]).unwrap(), files()[3].1);
    let ranges: Vec<String> =
        elsewhere.asked().iter().filter_map(|r| r.headers.get("range").cloned()).collect();
    assert!(ranges.contains(&"bytes=100000-".to_string()), "{ranges:?}");
    // Nothing half-made is left.
    assert_eq!(std::fs::read_dir(place.hub().join("blobs")).unwrap().count(), 1);

    // It never gets further: an error, and what has come stays for the next time.
    let mended = Arc::new(AtomicBool::new(false));
    let now = mended.clone();
    let elsewhere = Server::start(move |r, before| match before {
        0 => Response { cut: 100_000, ..store(r) },
        _ if now.load(Ordering::SeqCst) => store(r),
        _ => answer(500, ""),
    });
    let address = elsewhere.address.clone();
    let server = Server::start(move |r, _| hub(r, &address));
    let place = Place::new(&server.address);
    let error = place.fetch("hf://datasets/o/n/data/train-1.jsonl").unwrap_err();
    assert!(error.kind() == Kind::Failed && error.to_string().contains("500"), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    let blobs = std::fs::read_dir(place.hub().join("blobs")).unwrap();
    assert!(blobs.flatten().any(|b| b.metadata().unwrap().len() == 100_000));
    mended.store(true, Ordering::SeqCst);
    let got = place.fetch("hf://datasets/o/n/data/train-1.jsonl").unwrap();
    assert_eq!(std::fs::read(&got[0]).unwrap(), files()[3].1);
    assert_eq!(elsewhere.asked().last().unwrap().headers["range"], "bytes=100000-");
}

#[test]
fn a_file_that_is_another_one_is_refused() {
    let elsewhere = Server::start(|r, before| {
        let mut response = store(r);
        if before == 0 {
            response.body[0] ^= 1;
        }
        response
    });
    let address = elsewhere.address.clone();
    let server = Server::start(move |r, _| hub(r, &address));
    // Once is an accident.
    let place = Place::new(&server.address);
    place.fetch("hf://datasets/o/n/data/train-0.jsonl").unwrap();
    let server = Server::start(move |r, _| match r.path.contains("/resolve/") {
        true => answer(200, "{\"text\": \"line X\"}\n"),
        false => hub(r, ""),
    });
    let place = Place::new(&server.address);
    for name in ["train-0", "test"] {
        let error = place.error(&format!("hf://datasets/o/n/data/{name}.jsonl"));
        assert!(error.contains("its hash is"), "{error}");
    }
    assert!(!place.hub().join("snapshots").exists());
}

#[test]
fn refusals_say_what_to_do() {
    let server = Server::start(|r, _| hub(r, ""));
    let place = Place::new(&server.address);
    for (address, parts) in [
        (
            "hf://datasets/o/n@v9/data",
            &["o/n has no branch, tag or commit v9", "Invalid rev id"][..],
        ),
        ("hf://datasets/o/n/none/x.jsonl", &["no such file or folder", "/datasets/o/n/tree/main"]),
        ("hf://datasets/o/n/data/none-*.jsonl", &["no file of o/n at main matches"]),
        (
            "hf://datasets/o/other/data",
            &["there is no data set o/other", "/api/datasets/o/other/revision/main"],
        ),
        ("hf://spaces/o/n", &["hf://datasets/OWNER/NAME"]),
        ("s4://bucket/x", &["no source is reached by s4://", "hf://"]),
    ] {
        let error = place.fetch(address).unwrap_err();
        assert_eq!(error.kind(), Kind::Input, "{error}");
        let error = error.to_string();
        assert!(parts.iter().all(|p| error.contains(p)), "{error}");
        assert!(error.contains(address) && !error.contains("hf_secret"), "{error}");
    }
    let refuse = |status: u16, code: &'static str| {
        Server::start(move |_, _| answer(status, "").with("X-Error-Code", code))
    };
    for (status, code, token, part) in [
        (401, "RepoNotFound", None, "set HF_TOKEN"),
        (401, "", Some("hf_old"), "does not accept the token"),
        (401, "GatedRepo", None, "accept its terms at"),
        (403, "GatedRepo", Some("hf_mine"), "/datasets/o/n as the user of HF_TOKEN"),
        (429, "", None, "who is known may ask more"),
        (418, "", None, "the server answered 418"),
    ] {
        let server = refuse(status, code);
        let place = Place { token, ..Place::new(&server.address) };
        let error = place.error("hf://datasets/o/n/data");
        assert!(error.contains(part) && error.contains(&status.to_string()), "{error}");
    }
    // A Hub that is none.
    let server = Server::start(|_, _| answer(200, "<html>"));
    assert!(
        Place::new(&server.address).error("hf://datasets/o/n/data").contains("check HF_ENDPOINT")
    );
    // Redirects without end, and one that leaves TLS cannot be shown here.
    let server = Server::start(|_, _| answer(302, "").with("Location", "/round"));
    assert!(
        Place::new(&server.address)
            .error("hf://datasets/o/n/data")
            .contains("redirects without end")
    );
}

#[test]
fn several_at_once_fetch_each_file_once() {
    let elsewhere = Server::start(|r, _| {
        std::thread::sleep(Duration::from_millis(30));
        store(r)
    });
    let address = elsewhere.address.clone();
    let server = Server::start(move |r, _| hub(r, &address));
    let place = Place::new(&server.address);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(place.names("hf://datasets/o/n/data").len(), 4));
        }
    });
    assert_eq!(elsewhere.asked().len(), 2);
    assert_eq!(server.times("/resolve/"), 4);

    // Asked to stop, it stops.
    let place = Place::new(&server.address);
    let (settings, interrupt) = (place.settings(), Interrupt::new());
    interrupt.set();
    let how = Fetch { settings: &settings, console: &Silent, interrupt: &interrupt };
    let error = fetch(Path::new("hf://datasets/o/n/data"), &how).unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted);
}

#[test]
fn a_file_of_the_web() {
    let content = Arc::new(Mutex::new(b"one\ntwo\n".repeat(10_000)));
    let served = content.clone();
    let server = Server::start(move |r, before| {
        if r.path != "/x/lines.txt?key=secret" {
            return answer(404, "");
        }
        let body = served.lock().unwrap().clone();
        let etag = format!("\"{}\"", body.len());
        // As a server does that has another file than the one asked for.
        let fits = r.headers.get("if-range").is_none_or(|e| *e == etag);
        let response = answer(200, body).with("ETag", etag);
        let cut = if r.method == "GET" && before == 0 { 1000 } else { usize::MAX };
        assert!(fits || !r.headers.contains_key("range"));
        Response { cut, ..response }
    });
    let mut place = Place::new("http://127.0.0.1:9");
    let address = format!("{}/x/lines.txt?key=secret", server.address);
    let got = place.fetch(&address).unwrap();
    assert_eq!(got[0].file_name().unwrap(), "lines.txt");
    assert_eq!(std::fs::read(&got[0]).unwrap(), *content.lock().unwrap());
    let gets = || server.asked().iter().filter(|r| r.method == "GET").cloned().collect::<Vec<_>>();
    assert_eq!(gets()[1].headers["range"], "bytes=1000-");
    assert!(gets().iter().all(|r| !r.headers.contains_key("authorization")));
    // Asked again, not fetched again; another one is.
    assert_eq!(place.fetch(&address).unwrap(), got);
    assert_eq!(gets().len(), 2);
    content.lock().unwrap().extend(b"three\n");
    assert_eq!(place.fetch(&address).unwrap(), got);
    assert_eq!(std::fs::read(&got[0]).unwrap(), *content.lock().unwrap());
    place.offline = true;
    assert_eq!(place.fetch(&address).unwrap(), got);
    place.offline = false;
    let error = place.error(&format!("{}/none.txt?key=secret", server.address));
    assert!(error.contains("the server answered 404") && error.contains("/none.txt"), "{error}");
    assert!(!error.contains("secret"), "{error}");
    assert!(place.error("https://example.org/").contains("the address of a file"));
    assert!(place.error("https://example.org/*.txt").contains("HTTP lists no files"));
}

#[test]
fn files_come_as_they_are_read() {
    let server = Server::start(|r, _| match (r.method.as_str(), r.path.as_str()) {
        ("GET", "/d/11.txt") => answer(404, ""),
        ("GET" | "HEAD", path) => {
            answer(200, path.repeat(1000)).with("ETag", format!("\"{path}\""))
        }
        _ => answer(405, ""),
    });
    let mut place = Place::new("http://127.0.0.1:9");
    let (settings, interrupt) = (place.settings(), Interrupt::new());
    let listed = |n: usize| -> RemoteFile {
        let how = Fetch { settings: &settings, console: &Silent, interrupt: &interrupt };
        let address = format!("{}/d/{n}.txt", server.address);
        list(Path::new(&address), &how).unwrap().files.remove(0)
    };
    let all: Vec<RemoteFile> = (0..12).map(listed).collect();
    // What they are is known without them.
    let identities: std::collections::BTreeSet<_> = all.iter().map(|f| &f.identity).collect();
    assert!(identities.len() == 12 && all.iter().all(|f| f.identity.is_some()));
    let gets = || server.asked().iter().filter(|r| r.method == "GET").count();
    assert_eq!(gets(), 0);
    let feed = Feed::new(all.clone(), settings.clone(), Arc::new(Silent), interrupt.clone());
    let wait = |most: usize| {
        let until = std::time::Instant::now() + Duration::from_secs(20);
        while gets() < most && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        // Nothing more comes of itself.
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(gets(), most);
    };
    for (n, most) in [(0, 5), (1, 6), (5, 10)] {
        feed.need(&all[n]).unwrap();
        let content = std::fs::read_to_string(&all[n].path).unwrap();
        assert_eq!(content, format!("/d/{n}.txt").repeat(1000));
        wait(most);
    }
    // What has come is not fetched again; one that is not there is an error when it is needed.
    feed.need(&all[3]).unwrap();
    assert_eq!(gets(), 10);
    let error = feed.need(&all[11]).unwrap_err().to_string();
    assert!(error.contains("the server answered 404") && feed.has_failed(), "{error}");
    // What was there before stays, what this process has fetched goes.
    let again = listed(1);
    again.forget();
    assert!(again.path.exists());
    all[1].forget();
    assert!(!again.path.exists() && all[0].path.exists());
    place.offline = true;
    assert!(place.fetch(&format!("{}/d/0.txt", server.address)).is_ok());
    assert!(place.error(&format!("{}/d/1.txt", server.address)).contains("not in the cache"));
}

#[test]
fn a_list_tells_what_the_files_are() {
    let ([_elsewhere, server], mut place) = sound();
    let identities = |place: &Place| -> Vec<String> {
        let (settings, interrupt) = (place.settings(), Interrupt::new());
        let how = Fetch { settings: &settings, console: &Silent, interrupt: &interrupt };
        let listed = list(Path::new("hf://datasets/o/n/data/t*.jsonl"), &how).unwrap();
        listed.files.into_iter().filter_map(|f| f.identity).collect()
    };
    let want: Vec<String> = ["data/test.jsonl", "data/train-0.jsonl", "data/train-1.jsonl"]
        .into_iter()
        .map(|name| files().into_iter().find(|f| f.0 == name).unwrap())
        .map(|(_, content, lfs)| {
            format!("{}{}", if lfs { "" } else { "git " }, hash(&content, lfs))
        })
        .collect();
    assert_eq!(identities(&place), want);
    assert_eq!(server.times("/resolve/"), 0);
    place.fetch("hf://datasets/o/n/data/t*.jsonl").unwrap();
    // From what others have left, without lists of ours.
    std::fs::remove_dir_all(place.hub().join("athanor")).unwrap();
    place.offline = true;
    assert_eq!(identities(&place), want);
}

#[test]
fn what_the_environment_says() {
    let shown = |variables: &[(&str, &str)]| format!("{:?}", settings(variables));
    assert!(shown(&[("HOME", "/h")]).contains("\"/h/.cache/huggingface/hub\""));
    assert!(shown(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/c")]).contains("\"/c/huggingface/hub\""));
    assert!(shown(&[("HOME", "/h"), ("HF_HOME", "~/f")]).contains("\"/h/f/hub\""));
    assert!(shown(&[("HF_HOME", "/f"), ("HF_HUB_CACHE", "/g")]).contains("\"/g\""));
    assert!(shown(&[("ATHANOR_CACHE", "/a")]).contains("\"/a\""));
    assert!(shown(&[("HF_HUB_OFFLINE", "ON")]).contains("offline: true"));
    assert!(!shown(&[("HF_TOKEN", " hf_x \n")]).contains("hf_x"), "a token is not shown");
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("token"), "hf_left\n").unwrap();
    let home = home.path().display().to_string();
    assert!(settings(&[("HF_HOME", &home)]).has_token());
    assert!(!settings(&[("HF_HOME", &home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]).has_token());
}
