//! Web crawls: WARC (ISO 28500), with pages in `response` and `resource` records, and WET, with texts in
//! `conversion` records. Each record may be a gzip member or Zstandard frame of its own, as
//! Common Crawl has it.

use std::io::{BufRead, Read};

use athanor_data::compressed::{Line, Reader};
use athanor_store::{Error, Result};

use super::{Body, Converted, Input, Item, Items, html, until_error};

/// A header line is no longer than this.
const MAX_HEADER_LINE: usize = 1 << 16;
/// Lines of a header.
const MAX_HEADERS: usize = 1000;

pub(super) fn open(input: &Input) -> Result<Items> {
    let mut records = Records {
        reader: input.reader()?,
        file: input.name(),
        place: input.path.display().to_string(),
        number: 0,
        most: html::MAX_PAGE_BYTES.min(input.most()) as u64,
    };
    Ok(Box::new(until_error(move || records.next())))
}

struct Records {
    reader: Reader,
    file: String,
    place: String,
    number: u64,
    /// A record has at most so many bytes.
    most: u64,
}

/// A header's fields, their names in lower case.
#[derive(Default)]
struct Header(Vec<(String, String)>);

impl Header {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

impl Records {
    fn at(&self) -> String {
        format!("{}, record {}", self.place, self.number)
    }

    fn line(&mut self) -> Result<Option<String>> {
        let mut line = Vec::new();
        match self.reader.line(&mut line, MAX_HEADER_LINE) {
            Ok(Line::End) => Ok(None),
            Ok(Line::Whole) => Ok(Some(String::from_utf8_lossy(&line).trim_end().to_string())),
            Ok(Line::TooLong(_)) => Err(self.damaged("a header line of more than 64 KiB")),
            Err(e) => Err(self.reader.error(e, self.at())),
        }
    }

    fn damaged(&self, what: &str) -> Error {
        Error::input(format!("no WARC record: {what}"))
            .at(self.at())
            .hint("is the file whole, and is it a WARC file?")
    }

    /// The next record; what is no page is passed on as skipped.
    fn next(&mut self) -> Result<Option<Item>> {
        self.number += 1;
        // Two empty lines end a record; some writers leave more.
        let version = loop {
            match self.line()? {
                None => return Ok(None),
                Some(line) if line.is_empty() => {}
                Some(line) => break line,
            }
        };
        if !version.starts_with("WARC/") {
            let found: String = version.chars().take(40).collect();
            return Err(self.damaged(&format!("expected WARC/1.x, found {found:?}")));
        }
        let mut header = Header::default();
        loop {
            let line = self.line()?.ok_or_else(|| self.damaged("it ends in its header"))?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                header.0.push((name.trim().to_ascii_lowercase(), value.trim().to_string()));
            }
            if header.0.len() > MAX_HEADERS {
                return Err(self.damaged("a header of more than 1000 fields"));
            }
        }
        let size: u64 = header
            .get("content-length")
            .and_then(|n| n.parse().ok())
            .ok_or_else(|| self.damaged("no Content-Length"))?;
        let url = header.get("warc-target-uri").unwrap_or("");
        let url = url.trim_start_matches('<').trim_end_matches('>').to_string();
        let id = match header.get("warc-record-id") {
            Some(id) => id.trim_matches(['<', '>']).to_string(),
            None => format!("{}#{}", self.file, self.number),
        };
        let reason = match header.get("warc-type").unwrap_or("") {
            "response" | "resource" | "conversion" => None,
            "request" => Some("record: request"),
            "warcinfo" => Some("record: warcinfo"),
            "metadata" => Some("record: metadata"),
            "revisit" => Some("record: revisit"),
            "continuation" => Some("record: continuation"),
            _ => Some("record: of unknown type"),
        };
        let reason = reason.or((size > self.most).then_some("page too large"));
        if let Some(reason) = reason {
            let there = self.reader.skip(size).map_err(|e| self.reader.error(e, self.at()))?;
            self.whole(there, size)?;
            return Ok(Some(Item { url, ..Item::skip(id, size, reason) }));
        }
        let mut body = Vec::new();
        let read = (&mut self.reader).take(size).read_to_end(&mut body);
        read.map_err(|e| self.reader.error(e, self.at()))?;
        self.whole(body.len() as u64, size)?;
        let kind = header.get("warc-type").unwrap_or("").to_string();
        let content = header.get("content-type").unwrap_or("").to_string();
        let make = move || match kind.as_str() {
            "conversion" => plain(&body, None),
            "resource" => by_type(&body, &content),
            _ => response(&body),
        };
        Ok(Some(Item { id, url, bytes: size, body: Body::Later(Box::new(make)) }))
    }

    fn whole(&self, there: u64, size: u64) -> Result<()> {
        if there == size {
            return Ok(());
        }
        let what = format!("the file is torn: {there} of the record's {size} bytes are there");
        Err(Error::input(what).at(self.at()).hint("copy or download the file again"))
    }
}

fn plain(bytes: &[u8], charset: Option<&str>) -> Converted {
    let text = super::charset::decode(bytes, charset);
    if text.trim().is_empty() { Err("no text") } else { Ok(text) }
}

/// A body by its Content-Type.
fn by_type(bytes: &[u8], content_type: &str) -> Converted {
    let mut parts = content_type.split(';').map(str::trim);
    let kind = parts.next().unwrap_or("").to_ascii_lowercase();
    let charset = parts.find_map(|p| {
        let (name, value) = p.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim_matches(['"', '\'', ' ']))
    });
    match kind.as_str() {
        "text/html" | "application/xhtml+xml" => html::page(bytes, charset),
        "text/plain" => plain(bytes, charset),
        "" if bytes.trim_ascii_start().starts_with(b"<") => html::page(bytes, charset),
        _ => Err("no page of text"),
    }
}

/// An HTTP response: status, header, body.
fn response(bytes: &[u8]) -> Converted {
    let mut lines = bytes;
    let mut line = Vec::new();
    let mut header = Header::default();
    let mut first = true;
    loop {
        line.clear();
        let read = (&mut lines).take(MAX_HEADER_LINE as u64).read_until(b'\n', &mut line);
        if !read.is_ok_and(|n| n > 0) {
            return Err("no HTTP response");
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if std::mem::take(&mut first) {
            let status = text.split_whitespace().nth(1).unwrap_or("");
            if !text.starts_with("HTTP/") {
                return Err("no HTTP response");
            }
            if !status.starts_with('2') {
                return Err("HTTP status is not 2xx");
            }
        } else if text.is_empty() {
            break;
        } else if let Some((name, value)) = text.split_once(':') {
            if header.0.len() == MAX_HEADERS {
                return Err("no HTTP response");
            }
            header.0.push((name.trim().to_ascii_lowercase(), value.trim().to_string()));
        }
    }
    let chunked =
        header.get("transfer-encoding").is_some_and(|v| v.to_ascii_lowercase().contains("chunked"));
    let unchunked = chunked.then(|| dechunk(lines)).flatten();
    let body = unchunked.as_deref().unwrap_or(lines);
    let packed = header.get("content-encoding").unwrap_or("").to_ascii_lowercase();
    let content_type = header.get("content-type").unwrap_or("");
    match packed.as_str() {
        "" | "identity" | "none" => by_type(body, content_type),
        "gzip" | "x-gzip" | "deflate" => {
            let mut plain = Vec::new();
            let most = html::MAX_PAGE_BYTES as u64 + 1;
            let read = if packed == "deflate" {
                flate2::read::ZlibDecoder::new(body).take(most).read_to_end(&mut plain)
            } else {
                flate2::read::MultiGzDecoder::new(body).take(most).read_to_end(&mut plain)
            };
            match read {
                Ok(_) => by_type(&plain, content_type),
                // Crawlers often store what they have unpacked under the header as it came.
                Err(_) if !body.starts_with(&[0x1F, 0x8B]) => by_type(body, content_type),
                Err(_) => Err("damaged Content-Encoding"),
            }
        }
        // Common Crawl unpacks brotli and keeps the header.
        _ if std::str::from_utf8(body).is_ok() => by_type(body, content_type),
        _ => Err("unknown Content-Encoding"),
    }
}

/// The chunks of a body joined; nothing if they are none (crawlers join them and keep the header).
fn dechunk(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len());
    loop {
        let end = body.iter().take(64).position(|&b| b == b'\n')?;
        let size = std::str::from_utf8(&body[..end]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        body = &body[end + 1..];
        if size == 0 {
            return Some(out);
        }
        // A crawl may have been cut off inside a chunk.
        let there = size.min(body.len());
        out.extend_from_slice(&body[..there]);
        body = &body[there..];
        if there < size || body.is_empty() {
            return Some(out);
        }
        body = body.strip_prefix(b"\r").unwrap_or(body);
        body = body.strip_prefix(b"\n").unwrap_or(body);
    }
}
