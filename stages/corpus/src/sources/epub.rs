//! Books as EPUB (2 and 3): the chapters of the spine in order, one document a book. Navigation
//! documents and covers are left out.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufReader, Read},
};

use athanor_data::compressed::Counts;
use athanor_store::{Error, Result};
use quick_xml::{Reader, events::Event};
use zip::ZipArchive;

use super::{Body, Converted, Input, Item, Items, charset, files::is_stdin, html};

/// A chapter is no larger, unpacked; nor is the package file.
const MAX_CHAPTER_BYTES: u64 = 32 << 20;
/// Nor is a book: beyond it lies what was packed to burst.
const MAX_BOOK_BYTES: u64 = 256 << 20;
/// Attributes of an element that are looked at.
const MAX_ATTRIBUTES: usize = 100;
/// Chapters of a book.
const MAX_CHAPTERS: usize = 20_000;

pub(super) fn open(input: &Input) -> Result<Items> {
    if is_stdin(input.path) {
        return Err(Error::input("EPUB cannot be read from standard input")
            .hint("an EPUB's index is at its end: give its file"));
    }
    let path = input.path.to_path_buf();
    let size = std::fs::metadata(&path).map_err(|e| Error::io("read", &path, e))?.len();
    let counts = std::sync::Arc::new(Counts::default());
    counts.add(size, size);
    input.tally.add(counts);
    let id = input.name();
    let make = move || -> Converted {
        let file = File::open(&path).map_err(|_| "unreadable file")?;
        book(BufReader::new(file))
    };
    let body = Body::Later(Box::new(make));
    Ok(Box::new(std::iter::once(Ok(Item { id, url: String::new(), bytes: size, body }))))
}

type Archive = ZipArchive<BufReader<File>>;

struct Book {
    archive: Archive,
    left: u64,
}

impl Book {
    /// A file of the book, unpacked, within the bounds.
    fn read(&mut self, name: &str) -> std::result::Result<Vec<u8>, &'static str> {
        let mut file = self.archive.by_name(name).map_err(|_| "no EPUB: a file is missing")?;
        let most = MAX_CHAPTER_BYTES.min(self.left);
        let mut bytes = Vec::new();
        (&mut file).take(most + 1).read_to_end(&mut bytes).map_err(|_| "damaged zip file")?;
        if bytes.len() as u64 > most {
            return Err("unpacks to more than a book's size (zip bomb)");
        }
        self.left -= bytes.len() as u64;
        Ok(bytes)
    }
}

fn book(file: BufReader<File>) -> Converted {
    let archive = ZipArchive::new(file).map_err(|_| "damaged zip file")?;
    let mut book = Book { archive, left: MAX_BOOK_BYTES };
    let container = book.read("META-INF/container.xml")?;
    let mut package = None;
    elements(&container, |name, attributes, _| {
        if name == "rootfile" && package.is_none() {
            package = attributes.get("full-path").cloned();
        }
    })?;
    let package = package.ok_or("no EPUB: no package document")?;
    let folder = package.rsplit_once('/').map_or("", |(folder, _)| folder).to_string();
    let (mut manifest, mut spine) = (HashMap::new(), Vec::new());
    let (mut title, mut in_title) = (String::new(), false);
    elements(&book.read(&package)?, |name, attributes, text| match name {
        "item" => {
            let get = |key: &str| attributes.get(key).cloned().unwrap_or_default();
            let page = ["application/xhtml+xml", "text/html", "application/x-dtbook+xml"]
                .contains(&get("media-type").as_str());
            let navigation = get("properties").split(' ').any(|p| p == "nav");
            if page && !navigation {
                manifest.insert(get("id"), get("href"));
            }
        }
        "itemref" if attributes.get("linear").is_none_or(|l| l != "no") => {
            spine.extend(attributes.get("idref").cloned());
        }
        "title" => in_title = true,
        "" if in_title => {
            if title.is_empty() {
                title = text.trim().into();
            }
            in_title = false;
        }
        _ => {}
    })?;
    if spine.len() > MAX_CHAPTERS {
        return Err("more chapters than a book has");
    }
    let mut out = String::new();
    if !title.is_empty() {
        out = format!("# {title}\n\n");
    }
    let before = out.len();
    let mut missing = 0;
    for id in &spine {
        let Some(href) = manifest.get(id) else { continue };
        let name = resolve(&folder, href);
        let bytes = match book.read(&name) {
            Err("no EPUB: a file is missing") => {
                missing += 1;
                continue;
            }
            other => other?,
        };
        let chapter = html::whole_text(&charset::decode(&bytes, None))?;
        // Tables of contents in the spine of EPUB 2 are lists of links and little else.
        if !chapter.is_empty() {
            out.push_str(&chapter);
            out.push_str("\n\n");
        }
    }
    if out.len() == before {
        return Err(if missing > 0 { "no EPUB: a file is missing" } else { "no text" });
    }
    Ok(out.trim_end().to_string())
}

/// A path of the manifest in the archive: relative to the package, percent-encoded.
fn resolve(folder: &str, href: &str) -> String {
    let href = href.split('#').next().unwrap_or("");
    let mut bytes = Vec::new();
    let mut rest = href.as_bytes();
    while let Some((&b, tail)) = rest.split_first() {
        let hex = (b == b'%').then(|| tail.get(..2)).flatten();
        let hex = hex.and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(b);
                rest = tail;
            }
        }
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|p| !p.is_empty()).collect();
    let href = String::from_utf8_lossy(&bytes).into_owned();
    for part in href.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Calls back for every element with its local name and attributes, and with an empty name for text.
fn elements(
    xml: &[u8],
    mut each: impl FnMut(&str, &HashMap<String, String>, &str),
) -> std::result::Result<(), &'static str> {
    let text = charset::decode(xml, None);
    let mut reader = Reader::from_str(&text);
    reader.config_mut().check_end_names = false;
    loop {
        match reader.read_event().map_err(|_| "no EPUB: bad XML")? {
            Event::Start(e) | Event::Empty(e) => {
                let name = e.local_name().as_ref().to_string();
                let mut attributes = HashMap::new();
                // Looking for those that stand there twice takes the square of their number.
                for a in e.attributes().with_checks(false).take(MAX_ATTRIBUTES).flatten() {
                    let key = a.key.local_name().as_ref().to_string();
                    attributes
                        .insert(key, html_escape::decode_html_entities(&a.value).into_owned());
                }
                each(&name, &attributes, "");
            }
            Event::Text(t) => {
                each("", &HashMap::new(), &html_escape::decode_html_entities(&t));
            }
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}
