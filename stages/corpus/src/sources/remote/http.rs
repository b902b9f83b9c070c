//! HTTP for what is fetched: redirects, waiting and trying again, and files that go on where they were cut.
//!
//! A credential goes to the host that it is for and to no other: behind a redirect to another scheme, host or
//! port it is left out.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use athanor_store::{Error, Interrupt, Result, durable};
use ureq::{
    Agent, Body,
    http::{HeaderMap, Response},
    tls::{PemItem, RootCerts, TlsConfig, parse_pem},
};

const MAX_REDIRECTS: usize = 10;
/// Tries in a row that bring nothing.
const TRIES: u32 = 6;
const TRIES_TO_CONNECT: u32 = 2;
/// A server that is silent for so long counts as dead.
const SILENCE: Duration = Duration::from_secs(60);
/// The longest wait before another try.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// A list of files is not larger.
const MAX_TEXT: u64 = 64 << 20;

/// An HTTP client with retries.
pub(super) struct Client<'a> {
    agent: Agent,
    interrupt: &'a Interrupt,
    /// The wait before the second try; doubled with each.
    patience: Duration,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server answered with a status that is no success.
    Status(Status),
    /// There was no answer, or it was cut off; `reached` says whether there was a connection.
    Connection { url: String, what: String, reached: bool },
    /// Anything else: files, a stop.
    Other(Error),
}

/// An answer that is no success.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) code: u16,
    pub(super) url: String,
    /// The Hub's headers X-Error-Code and X-Error-Message.
    pub(super) error: String,
    pub(super) message: String,
    wait: Option<Duration>,
}

impl Failure {
    /// Whether another try may bring more.
    fn passes(&self) -> bool {
        match self {
            Self::Status(s) => matches!(s.code, 408 | 429 | 500 | 502 | 503 | 504),
            Self::Connection { .. } => true,
            Self::Other(_) => false,
        }
    }

    /// Whether there was no connection.
    pub(super) fn is_connection(&self) -> bool {
        matches!(self, Self::Connection { .. })
    }

    /// As an error for the user, where nothing better is known.
    pub(super) fn explain(self) -> Error {
        match self {
            Self::Other(error) => error,
            Self::Connection { url, what, .. } => Error::failed(format!("no answer: {what}"))
                .at(url)
                .hint("check the network (HTTPS_PROXY is honoured) and run again: it goes on with what it has"),
            Self::Status(s) => {
                let said = if s.message.is_empty() { String::new() } else { format!(": {}", s.message) };
                let what = format!("the server answered {}{said}", s.code);
                match s.code {
                    429 => Error::failed(what).hint("it wants fewer requests: wait, then run again"),
                    500.. => Error::failed(what).hint("run again later: it goes on with what it has"),
                    _ => Error::input(what).hint("check the address"),
                }
                .at(s.url)
            }
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// A file to be fetched.
pub(super) struct Transfer<'a> {
    pub(super) url: &'a str,
    pub(super) token: Option<&'a str>,
    /// Where it grows, and what it is called when it is whole.
    pub(super) partial: &'a Path,
    pub(super) target: &'a Path,
    /// Its size, if it is known.
    pub(super) size: Option<u64>,
    /// What tells that it is still the same file (an ETag), if its address does not.
    pub(super) validator: Option<&'a str>,
    /// Bytes that have come, of all transfers.
    pub(super) come: &'a AtomicU64,
}

impl<'a> Client<'a> {
    pub(super) fn new(
        interrupt: &'a Interrupt,
        patience: Duration,
        certificates: Option<&Path>,
    ) -> Result<Self> {
        // One for all: it keeps connections.
        static AGENTS: Mutex<BTreeMap<Option<PathBuf>, Agent>> = Mutex::new(BTreeMap::new());
        let known = || AGENTS.lock().unwrap_or_else(PoisonError::into_inner);
        let key = certificates.map(Path::to_path_buf);
        if let Some(agent) = known().get(&key) {
            return Ok(Self { agent: agent.clone(), interrupt, patience });
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("athanor/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_connect(Some(SILENCE))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE));
        if let Some(path) = certificates {
            let pem = fs::read(path).map_err(|e| Error::io("read", path, e))?;
            let certificates: Vec<_> = parse_pem(&pem)
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            if certificates.is_empty() {
                let error = Error::input("no certificates in PEM form").at(path.display());
                return Err(error.hint("SSL_CERT_FILE names the authorities to trust"));
            }
            let roots = RootCerts::new_with_certs(&certificates);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        let agent = config.build().new_agent();
        known().insert(key, agent.clone());
        Ok(Self { agent, interrupt, patience })
    }

    /// One request, through its redirects.
    fn once(
        &self,
        head: bool,
        url: &str,
        mut token: Option<&str>,
        headers: &[(&str, String)],
    ) -> Result<Response<Body>, Failure> {
        let mut at = url.to_string();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = if head { self.agent.head(&at) } else { self.agent.get(&at) };
            if let Some(token) = token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            for (name, value) in headers {
                request = request.header(*name, value);
            }
            let answer = request.call().map_err(|e| no_answer(&at, &e))?;
            let code = answer.status().as_u16();
            match code {
                200..=299 | 304 => return Ok(answer),
                301 | 302 | 303 | 307 | 308 => {
                    let Some(next) = text(answer.headers(), "location") else {
                        return Err(broken(&at, "a redirect that does not say where to"));
                    };
                    let next = join(&at, next);
                    if at.starts_with("https://") && !next.starts_with("https://") {
                        return Err(broken(&at, "a redirect away from https"));
                    }
                    if origin(&next) != origin(&at) {
                        token = None;
                    }
                    at = next;
                }
                code => {
                    let said = |name| text(answer.headers(), name).unwrap_or("").to_string();
                    let after =
                        text(answer.headers(), "retry-after").and_then(|s| s.trim().parse().ok());
                    let wait =
                        after.or_else(|| text(answer.headers(), "ratelimit").and_then(reset));
                    return Err(Failure::Status(Status {
                        code,
                        url: shown(&at),
                        error: said("x-error-code"),
                        message: said("x-error-message"),
                        wait: wait.map(Duration::from_secs),
                    }));
                }
            }
        }
        Err(broken(url, "redirects without end"))
    }

    /// Waits before the next try; fails with the failure if there should be none.
    fn wait(&self, failure: Failure, tries: u32) -> Result<(), Failure> {
        // Where there is no network another try finds none.
        let most = match &failure {
            Failure::Connection { reached: false, .. } => TRIES_TO_CONNECT,
            _ => TRIES,
        };
        if !failure.passes() || tries >= most {
            return Err(failure);
        }
        let asked = match &failure {
            Failure::Status(s) => s.wait,
            _ => None,
        };
        let mut left = asked.unwrap_or(self.patience * 2u32.pow(tries - 1)).min(LONGEST_WAIT);
        while !left.is_zero() {
            self.interrupt.check()?;
            let step = left.min(Duration::from_millis(100));
            std::thread::sleep(step);
            left -= step;
        }
        Ok(self.interrupt.check()?)
    }

    /// The headers of an address.
    pub(super) fn head(&self, url: &str) -> Result<HeaderMap, Failure> {
        let mut tries = 0;
        loop {
            match self.once(true, url, None, &[]) {
                Ok(answer) => return Ok(answer.into_parts().0.headers),
                Err(failure) => {
                    tries += 1;
                    self.wait(failure, tries)?;
                }
            }
        }
    }

    /// A text, and where its continuation is (a header Link with rel="next").
    pub(super) fn page(
        &self,
        url: &str,
        token: Option<&str>,
    ) -> Result<(String, Option<String>), Failure> {
        let mut tries = 0;
        loop {
            let read = self.once(false, url, token, &[]).and_then(|answer| {
                let next = text(answer.headers(), "link").and_then(next_link).map(|n| join(url, n));
                let body = answer.into_body().into_with_config().limit(MAX_TEXT).read_to_string();
                let body = body.map_err(|e| cut(url, e))?;
                Ok((body, next.filter(|n| origin(n) == origin(url))))
            });
            match read {
                Ok(page) => return Ok(page),
                Err(failure) => {
                    tries += 1;
                    self.wait(failure, tries)?;
                }
            }
        }
    }

    /// Fetches a file, or what is missing of it.
    pub(super) fn fetch(&self, transfer: &Transfer) -> Result<(), Failure> {
        let mut tries = 0;
        let mut have = fs::metadata(transfer.partial).map_or(0, |m| m.len());
        transfer.come.fetch_add(have, Ordering::Relaxed);
        loop {
            let before = have;
            match self.more(transfer, &mut have) {
                Ok(()) if transfer.size.is_none_or(|size| size == have) => break,
                Ok(()) => {
                    let size = transfer.size.unwrap_or(0);
                    let failure = cut(transfer.url, format!("{have} bytes came of {size}"));
                    tries = if have > before { 1 } else { tries + 1 };
                    self.wait(failure, tries)?;
                }
                Err(failure) => {
                    tries = if have > before { 1 } else { tries + 1 };
                    self.wait(failure, tries)?;
                }
            }
        }
        Ok(durable::publish(transfer.partial, transfer.target)?)
    }

    /// One request for the rest of a file; `have` is how much of it is there.
    fn more(&self, transfer: &Transfer, have: &mut u64) -> Result<(), Failure> {
        let fail = |e| Error::io("write", transfer.partial, e);
        let mut file =
            File::options().create(true).append(true).open(transfer.partial).map_err(fail)?;
        let again = |file: &File, have: &mut u64| -> Result<(), Error> {
            transfer.come.fetch_sub(*have, Ordering::Relaxed);
            *have = 0;
            file.set_len(0).map_err(fail)
        };
        // What nothing identifies cannot be gone on with.
        let known = transfer.size.is_some() || transfer.validator.is_some();
        if transfer.size.is_some_and(|size| *have > size) || (*have > 0 && !known) {
            again(&file, have)?;
        }
        if *have > 0 && transfer.size == Some(*have) {
            return Ok(());
        }
        let mut headers = Vec::new();
        if *have > 0 {
            headers.push(("range", format!("bytes={have}-")));
            headers.extend(transfer.validator.map(|v| ("if-range", v.to_string())));
        }
        let answer = match self.once(false, transfer.url, transfer.token, &headers) {
            // Nothing is behind what is there: it is whole, or another file.
            Err(Failure::Status(s)) if s.code == 416 && *have > 0 => {
                again(&file, have)?;
                self.once(false, transfer.url, transfer.token, &[])?
            }
            other => other?,
        };
        if *have > 0 {
            let range = text(answer.headers(), "content-range").unwrap_or("");
            let goes_on = answer.status().as_u16() == 206
                && range.trim_start_matches("bytes ").starts_with(&format!("{have}-"));
            if !goes_on {
                again(&file, have)?;
            }
            if !goes_on && answer.status().as_u16() == 206 {
                let what = format!("another part of the file came than was asked for ({range})");
                return Err(cut(transfer.url, what));
            }
        }
        let mut body = answer.into_body().into_reader();
        let mut buffer = vec![0; 1 << 18];
        loop {
            self.interrupt.check()?;
            let read = match body.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(e) => return Err(cut(transfer.url, format!("{e} after {have} bytes"))),
            };
            file.write_all(&buffer[..read]).map_err(fail)?;
            *have += read as u64;
            transfer.come.fetch_add(read as u64, Ordering::Relaxed);
            if transfer.size.is_some_and(|size| *have > size) {
                again(&file, have)?;
                return Err(cut(transfer.url, "more came than the file has"));
            }
        }
    }
}

/// An answer that broke off.
fn cut(url: &str, what: impl std::fmt::Display) -> Failure {
    Failure::Connection { url: shown(url), what: what.to_string(), reached: true }
}

/// What is in the way of an answer. A certificate that is not trusted will not be at the next try, either.
fn no_answer(url: &str, error: &ureq::Error) -> Failure {
    let what = error.to_string();
    if what.contains("certificate") {
        let error = Error::failed(format!("the server's certificate is not trusted: {what}"));
        return Failure::Other(error.at(shown(url)).hint(
            "SSL_CERT_FILE names a file of authorities (PEM) to trust instead of Mozilla's list",
        ));
    }
    Failure::Connection { url: shown(url), what, reached: is_reached(error) }
}

/// Whether there was a server at all.
fn is_reached(error: &ureq::Error) -> bool {
    use std::io::ErrorKind as K;
    match error {
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => false,
        ureq::Error::Io(e) => !matches!(
            e.kind(),
            K::ConnectionRefused | K::NetworkUnreachable | K::HostUnreachable | K::AddrNotAvailable
        ),
        _ => true,
    }
}

fn broken(url: &str, what: &str) -> Failure {
    Failure::Other(Error::failed(format!("the server answered with {what}")).at(shown(url)))
}

/// A header's value.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// An address as it may be shown: what may be secret in it, a name with a password and a query, is left out.
pub(super) fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or(url);
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_string() };
    let (host, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// Scheme, host and port.
fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or("");
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host).to_ascii_lowercase();
    let scheme = scheme.to_ascii_lowercase();
    let port = if scheme == "https" { ":443" } else { ":80" };
    format!("{scheme}://{}", host.strip_suffix(port).unwrap_or(&host))
}

/// A reference from an address (the part of RFC 3986 that servers use).
fn join(base: &str, reference: &str) -> String {
    let reference = reference.split('#').next().unwrap_or("");
    let (scheme, rest) = base.split_once("://").unwrap_or(("https", base));
    let (host, _) = rest.split_once(['/', '?']).unwrap_or((rest, ""));
    if reference.starts_with("https://") || reference.starts_with("http://") {
        reference.to_string()
    } else if let Some(rest) = reference.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if reference.starts_with('/') {
        format!("{scheme}://{host}{reference}")
    } else {
        let path = rest.split(['?', '#']).next().unwrap_or(rest);
        if reference.starts_with('?') {
            return format!("{scheme}://{path}{reference}");
        }
        let folder = path.rsplit_once('/').map_or(host, |(folder, _)| folder);
        format!("{scheme}://{folder}/{reference}")
    }
}

/// Seconds until more may be asked, of a header such as `"api";r=0;t=55` (the IETF's draft, as the Hub has it).
fn reset(header: &str) -> Option<u64> {
    let parts: Vec<&str> = header.split(';').map(str::trim).collect();
    let value = |name: &str| parts.iter().find_map(|p| p.strip_prefix(name)?.parse::<u64>().ok());
    value("t=").filter(|_| value("r=") == Some(0))
}

/// The address in `<…>; rel="next"`.
fn next_link(header: &str) -> Option<&str> {
    let next = header.split(',').find(|l| l.contains("rel=\"next\"") || l.contains("rel=next"))?;
    Some(next.split_once('<')?.1.split_once('>')?.0)
}

/// A lock that programs share: one of them fetches a file, the others wait for it.
pub(super) struct Lock(#[allow(dead_code)] Option<File>);

impl Lock {
    /// None if another one has it.
    pub(super) fn take(path: PathBuf) -> Result<Option<Self>> {
        let fail = |e| Error::io("write", &path, e);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        }
        let file =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(Some(file)))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            // File systems without locks exist.
            Err(fs::TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => {
                Ok(Some(Self(None)))
            }
            Err(fs::TryLockError::Error(e)) => Err(fail(e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let base = "https://a.org:443/x/y?z";
        for (reference, want) in [
            ("https://b.org/c", "https://b.org/c"),
            ("//b.org/c", "https://b.org/c"),
            ("/c?d#e", "https://a.org:443/c?d"),
            ("c", "https://a.org:443/x/c"),
            ("?cursor=1", "https://a.org:443/x/y?cursor=1"),
        ] {
            assert_eq!(join(base, reference), want);
        }
        assert_eq!(origin(base), origin("HTTPS://u:p@A.org/other"));
        assert_ne!(origin(base), origin("http://a.org/"));
        assert_ne!(origin(base), origin("https://a.org:444/"));
        assert_ne!(origin(base), origin("https://a.org.evil.example/"));
        assert_eq!(shown("https://u:p@a.org/b?sig=secret"), "https://a.org/b");
        assert_eq!(shown("https://a.org/datasets/o/n@main/x"), "https://a.org/datasets/o/n@main/x");
        assert_eq!(
            next_link("<https://a/?b=1>; rel=\"next\", <c>; rel=\"last\""),
            Some("https://a/?b=1")
        );
        assert_eq!((reset("\"api\";r=0;t=55"), reset("\"api\";r=3;t=55")), (Some(55), None));
        assert_eq!(next_link("<c>; rel=\"last\""), None);
    }
}
