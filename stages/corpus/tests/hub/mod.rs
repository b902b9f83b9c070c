//! A small HTTP server, and on it a Hub with one data set.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use athanor_store::sha256_bytes;

/// The commit that every branch means.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A request: method, path with query, headers in small letters.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
}

/// What the server answers.
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Break off behind so many bytes of the body.
    pub cut: usize,
}

/// A whole answer.
pub fn answer(status: u16, body: impl Into<Vec<u8>>) -> Response {
    Response { status, headers: Vec::new(), body: body.into(), cut: usize::MAX }
}

impl Response {
    /// With a header.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// A server; what it was asked.
pub struct Server {
    pub address: String,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(handle: impl Fn(&Request, usize) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, handle) = (asked.clone(), Arc::new(handle));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, handle) = (log.clone(), handle.clone());
                std::thread::spawn(move || serve(stream, &log, &*handle));
            }
        });
        Self { address, asked }
    }

    pub fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }

    pub fn times(&self, part: &str) -> usize {
        self.asked().iter().filter(|r| r.path.contains(part)).count()
    }
}

fn serve(
    stream: TcpStream,
    log: &Mutex<Vec<Request>>,
    handle: &dyn Fn(&Request, usize) -> Response,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_string(), words.next()?.to_string());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_string());
    }
    let request = Request { method, path, headers };
    let before = {
        let mut log = log.lock().unwrap();
        log.push(request.clone());
        log.iter().filter(|r| r.path == request.path && r.method == request.method).count() - 1
    };
    let mut response = handle(&request, before);
    if response.status == 200
        && let Some(range) = request.headers.get("range")
    {
        let start: usize = range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()?;
        let size = response.body.len();
        if start >= size {
            response = answer(416, "");
        } else {
            response.status = 206;
            response.body.drain(..start);
            response = response.with("Content-Range", format!("bytes {start}-{}/{size}", size - 1));
        }
    }
    let mut out = stream;
    let mut head = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", response.status);
    for (name, value) in &response.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", response.body.len());
    out.write_all(head.as_bytes()).ok()?;
    if request.method != "HEAD" {
        let end = response.cut.min(response.body.len());
        out.write_all(&response.body[..end]).ok()?;
    }
    out.flush().ok()
}

/// Files of a data set `o/n`: path, content, whether in LFS.
pub fn files() -> Vec<(&'static str, Vec<u8>, bool)> {
    let line = |n: usize| format!("{{\"text\": \"line {n}\"}}\n").into_bytes();
    vec![
        ("README.md", b"# a card".to_vec(), false),
        (".gitattributes", b"*".to_vec(), false),
        ("data/train-0.jsonl", line(0), true),
        ("data/train-1.jsonl", line(1).repeat(50_000), true),
        ("data/a b/caf\u{e9}#1.jsonl", line(2), false),
        ("data/test.jsonl", line(3), false),
    ]
}

fn git_hash(content: &[u8]) -> String {
    use sha1::Digest;
    let mut hash = sha1::Sha1::new();
    hash.update(format!("blob {}\0", content.len()));
    hash.update(content);
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

pub fn hash(content: &[u8], lfs: bool) -> String {
    if lfs { sha256_bytes(content) } else { git_hash(content) }
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                out.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            other => out.push(other),
        }
    }
    String::from_utf8(out).unwrap()
}

/// The Hub: revision, tree in pages of two, resolve; what is in LFS is elsewhere.
pub fn hub(request: &Request, elsewhere: &str) -> Response {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let path = percent_decoded(path);
    for revision in ["main", COMMIT, "refs/convert/parquet"] {
        if path == format!("/api/datasets/o/n/revision/{revision}") {
            return answer(200, format!("{{\"sha\": \"{COMMIT}\"}}"));
        }
    }
    if path.starts_with("/api/datasets/o/n/revision/") {
        return answer(404, "")
            .with("X-Error-Code", "RevisionNotFound")
            .with("X-Error-Message", "Invalid rev id");
    }
    if let Some(folder) = path.strip_prefix(&format!("/api/datasets/o/n/tree/{COMMIT}")) {
        let folder = folder.trim_start_matches('/');
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut out: BTreeMap<String, serde_json::Value> = BTreeMap::new();
        for (path, content, lfs) in files() {
            let Some(rest) = path.strip_prefix(&prefix) else { continue };
            let mut at = prefix.clone();
            let parts: Vec<&str> = rest.split('/').collect();
            for (n, part) in parts.iter().enumerate() {
                at += part;
                let value = if n + 1 < parts.len() {
                    serde_json::json!({"type": "directory", "path": at, "oid": COMMIT, "size": 0})
                } else if lfs {
                    serde_json::json!({"type": "file", "path": at, "oid": COMMIT, "size": content.len(),
                        "lfs": {"oid": hash(&content, true), "size": content.len(), "pointerSize": 130}})
                } else {
                    serde_json::json!({"type": "file", "path": at, "oid": hash(&content, false), "size": content.len()})
                };
                if n == 0 || query.contains("recursive=true") {
                    out.insert(at.clone(), value);
                }
                at += "/";
            }
        }
        if out.is_empty() {
            return answer(404, "").with("X-Error-Code", "EntryNotFound");
        }
        let from: usize = query.rsplit_once("cursor=").map_or(0, |(_, n)| n.parse().unwrap());
        let list: Vec<_> = out.into_values().collect();
        let page = &list[from..list.len().min(from + 2)];
        let response = answer(200, serde_json::to_string(page).unwrap());
        if from + 2 >= list.len() {
            return response;
        }
        let first = query.split("&cursor").next().unwrap();
        let host = &request.headers["host"];
        let tree = request.path.split('?').next().unwrap();
        return response.with(
            "Link",
            format!("<http://{host}{tree}?{first}&cursor={}>; rel=\"next\"", from + 2),
        );
    }
    if let Some(name) = path.strip_prefix("/api/resolve-cache/") {
        let found = files().into_iter().find(|(_, content, _)| hash(content, false) == name);
        return found.map_or_else(|| answer(404, ""), |(_, content, _)| answer(200, content));
    }
    if let Some(name) = path.strip_prefix(&format!("/datasets/o/n/resolve/{COMMIT}/")) {
        for (path, content, lfs) in files() {
            if path == name {
                return match lfs {
                    true => answer(302, "").with(
                        "Location",
                        format!("{elsewhere}/{}?signature=secret", hash(&content, true)),
                    ),
                    false => answer(307, "")
                        .with("Location", format!("/api/resolve-cache/{}", hash(&content, false))),
                };
            }
        }
    }
    answer(404, "")
        .with("X-Error-Code", "RepoNotFound")
        .with("X-Error-Message", "Repository not found")
}

/// Where files in LFS are.
pub fn store(request: &Request) -> Response {
    let name = request.path.trim_start_matches('/').split('?').next().unwrap();
    let found = files().into_iter().find(|(_, content, lfs)| *lfs && hash(content, true) == name);
    found.map_or_else(|| answer(404, ""), |(_, content, _)| answer(200, content))
}
