//! Objects of a bucket, against a server that speaks as much of S3 as is needed.
#![cfg(feature = "object-store")]

mod hub;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use athanor_corpus::sources::remote::{Fetch, Settings, fetch};
use athanor_store::{Interrupt, Kind, Result, Silent};
use hub::{Request, Response, Server, answer};

fn objects() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("data/a.jsonl", b"{\"text\": \"a\"}\n".to_vec()),
        ("data/b.jsonl", b"{\"text\": \"b\"}\n".repeat(100_000)),
        ("data/deep/c.jsonl", b"{\"text\": \"c\"}\n".to_vec()),
        ("data/d.txt", b"d\n".to_vec()),
        ("other/e.jsonl", b"{}\n".to_vec()),
    ]
}

/// ListObjectsV2, two keys a page; HeadObject; GetObject.
fn s3(request: &Request) -> Response {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let get = |name: &str| {
        let value = query.split('&').find_map(|p| p.strip_prefix(&format!("{name}=")));
        value.map(|v| v.replace("%2F", "/"))
    };
    if path.trim_end_matches('/') == "/bucket" {
        let prefix = get("prefix").unwrap_or_default();
        let keys: Vec<_> = objects().into_iter().filter(|(k, _)| k.starts_with(&prefix)).collect();
        let from: usize = get("continuation-token").map_or(0, |t| t.parse().unwrap());
        let contents: String = keys
            .iter()
            .skip(from)
            .take(2)
            .map(|(k, c)| {
                format!(
                    "<Contents><Key>{k}</Key><Size>{}</Size><ETag>&quot;e{}&quot;</ETag>\
                     <LastModified>2026-01-02T03:04:05.000Z</LastModified></Contents>",
                    c.len(),
                    c.len()
                )
            })
            .collect();
        let next = match from + 2 < keys.len() {
            true => format!(
                "<IsTruncated>true</IsTruncated><NextContinuationToken>{}</NextContinuationToken>",
                from + 2
            ),
            false => "<IsTruncated>false</IsTruncated>".to_string(),
        };
        let xml = format!(
            "<?xml version=\"1.0\"?><ListBucketResult><Name>bucket</Name>{contents}{next}</ListBucketResult>"
        );
        return answer(200, xml);
    }
    let found = objects().into_iter().find(|(k, _)| path == format!("/bucket/{k}"));
    match found {
        Some((_, content)) => {
            let etag = format!("\"e{}\"", content.len());
            answer(200, content)
                .with("ETag", etag)
                .with("Last-Modified", "Fri, 02 Jan 2026 03:04:05 GMT")
        }
        None => answer(404, "<Error><Code>NoSuchKey</Code></Error>"),
    }
}

fn get(
    folder: &Path,
    endpoint: &str,
    more: &[(&str, &str)],
    address: &str,
) -> Result<Vec<PathBuf>> {
    let cache = folder.display().to_string();
    let mut variables = vec![
        ("ATHANOR_CACHE", cache.as_str()),
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "topsecret"),
        ("AWS_REGION", "here"),
    ];
    variables.extend(more);
    let variables = variables.iter().map(|(n, v)| (n.to_string(), v.to_string()));
    let (settings, interrupt) = (Settings::of(variables), Interrupt::new());
    let settings = settings.patience(Duration::from_millis(1));
    let how = Fetch { settings: &settings, console: &Silent, interrupt: &interrupt };
    fetch(Path::new(address), &how).map(|f| f.files.into_iter().map(|f| f.path).collect())
}

#[test]
fn objects_of_a_bucket() {
    let server = Server::start(|r, _| s3(r));
    let dir = tempfile::tempdir().unwrap();
    let names = |address: &str| -> Vec<String> {
        let got = get(dir.path(), &server.address, &[], address).unwrap_or_else(|e| panic!("{e}"));
        got.iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(names("s3://bucket/data/*.jsonl"), ["a.jsonl", "b.jsonl"]);
    assert_eq!(names("s3://bucket/data"), ["a.jsonl", "b.jsonl", "d.txt", "c.jsonl"]);
    assert_eq!(names("s3://bucket/**/*.jsonl"), ["a.jsonl", "b.jsonl", "c.jsonl", "e.jsonl"]);
    assert_eq!(names("s3://bucket/data/d.txt"), ["d.txt"]);
    let got = get(dir.path(), &server.address, &[], "s3://bucket/data/b.jsonl").unwrap();
    assert_eq!(std::fs::read(&got[0]).unwrap(), objects()[1].1);
    // Each object came once, signed.
    let gets: Vec<Request> = server
        .asked()
        .into_iter()
        .filter(|r| r.method == "GET" && r.path.starts_with("/bucket/"))
        .collect();
    assert_eq!(gets.len(), objects().len());
    assert!(gets.iter().all(|r| r.headers["authorization"].starts_with("AWS4-HMAC-SHA256")));

    let offline = [("HF_HUB_OFFLINE", "1")];
    let nowhere = "http://127.0.0.1:9";
    assert_eq!(get(dir.path(), nowhere, &offline, "s3://bucket/data/*.jsonl").unwrap().len(), 2);
    let error = get(dir.path(), nowhere, &offline, "s3://bucket/none").unwrap_err().to_string();
    assert!(error.contains("offline, and not in the cache"), "{error}");
    for address in ["s3://bucket/none/*.jsonl", "s3://bucket/none"] {
        let error = get(dir.path(), &server.address, &[], address).unwrap_err();
        assert!(
            error.kind() == Kind::Input && error.to_string().contains("no object matches"),
            "{error}"
        );
    }
    let closed = Server::start(|_, _| answer(403, "<Error><Code>AccessDenied</Code></Error>"));
    let error = get(dir.path(), &closed.address, &[], "s3://bucket/data/*.jsonl").unwrap_err();
    let told = error.to_string();
    assert!(error.kind() == Kind::Input && told.contains("check the credentials"), "{told}");
    assert!(!told.contains("topsecret"), "{told}");
}

#[test]
fn a_cut_object_goes_on() {
    // More often than the crate itself tries again; then the next call goes on with what there is.
    let server = Server::start(|r, before| {
        let cut =
            if r.path == "/bucket/data/b.jsonl" && before == 0 { 100_000 } else { usize::MAX };
        Response { cut, ..s3(r) }
    });
    let dir = tempfile::tempdir().unwrap();
    let once = || get(dir.path(), &server.address, &[], "s3://bucket/data/b.jsonl");
    let got = once().or_else(|_| once()).unwrap();
    assert_eq!(std::fs::read(&got[0]).unwrap(), objects()[1].1);
    let went_on =
        |r: &Request| r.headers.get("range").is_some_and(|v| v.starts_with("bytes=100000-"));
    assert!(server.asked().iter().any(went_on), "{:?}", server.asked());
}
