//! Encyclopaedias: MediaWiki's XML export, plain, .bz2 (multistream too) or packed otherwise. One
//! document an article; redirects and pages outside the main namespace are left out.
//!
//! The exporter writes `<page>` and `</page>` on lines of their own, and text never contains them
//! unescaped. So the file is cut there without parsing, a damaged page harms no other, and memory holds
//! one page.

use athanor_data::compressed::{Line, Reader};
use athanor_store::{Error, Result};
use quick_xml::{Reader as Xml, events::Event};

use super::{Bad, Body, Converted, Input, Item, Items, TOO_LONG, until_error, wikitext};

/// A page of more wikitext is left out; MediaWiki itself allows 2 MiB.
const MAX_TEXT_BYTES: usize = 8 << 20;
/// Elements within each other.
const MAX_DEPTH: usize = 100;

pub(super) fn open(input: &Input) -> Result<Items> {
    let mut pages = Pages {
        reader: input.reader()?,
        place: input.path.display().to_string(),
        line: 0,
        base: String::new(),
        most: input.most(),
        begun: None,
        any: false,
    };
    let bad = input.bad();
    let file = input.name();
    let items = until_error(move || {
        let page = pages.next()?;
        Ok(page.map(|page| item(&pages, &file, bad, page)))
    });
    Ok(Box::new(items.map(Result::flatten)))
}

/// What a page gives.
fn item(pages: &Pages, file: &str, bad: Bad, (bytes, size, line): Raw) -> Result<Item> {
    let id = format!("{file}:{line}");
    if bytes.is_empty() {
        return Ok(Item::skip(id, size, TOO_LONG));
    }
    let parsed = std::str::from_utf8(&bytes).map_err(|_| "bad XML page").and_then(page);
    let page = match parsed {
        Ok(page) => page,
        Err(reason) => {
            let error = Error::input("no page of a MediaWiki export in it, or bad XML")
                .at(format!("{}:{line}", pages.place))
                .hint("on_error = \"skip\" leaves such pages out and counts them");
            return bad.record(id, size, reason, error);
        }
    };
    let id = if page.id.is_empty() { id } else { page.id.clone() };
    if page.namespace != "0" && !page.namespace.is_empty() {
        return Ok(Item::skip(id, size, "outside the main namespace"));
    }
    if page.redirect {
        return Ok(Item::skip(id, size, "redirect"));
    }
    if page.text.len() > MAX_TEXT_BYTES {
        return Ok(Item::skip(id, size, "page too large"));
    }
    if !page.wikitext {
        return Ok(Item::skip(id, size, "no wikitext"));
    }
    let url = pages.url(&page.title);
    let make = move || -> Converted {
        let body = wikitext::to_text(&page.text);
        if body.is_empty() { Err("no text") } else { Ok(format!("# {}\n\n{body}", page.title)) }
    };
    Ok(Item { id, url, bytes: size, body: Body::Later(Box::new(make)) })
}

struct Pages {
    reader: Reader,
    place: String,
    line: u64,
    /// `<base>`: the main page's address.
    base: String,
    /// A page with all its revisions has at most so many bytes.
    most: usize,
    /// A page that began where another had not ended.
    begun: Option<Raw>,
    /// Whether there was any page.
    any: bool,
}

/// A page's bytes, none of one that is too large; its size and first line.
type Raw = (Vec<u8>, u64, u64);

impl Pages {
    fn url(&self, title: &str) -> String {
        match self.base.rsplit_once('/') {
            Some((base, _)) => format!("{base}/{}", title.replace(' ', "_")),
            None => String::new(),
        }
    }

    /// The next page.
    fn next(&mut self) -> Result<Option<Raw>> {
        let mut line = Vec::new();
        let mut page = self.begun.take();
        if page.as_ref().is_some_and(|(text, ..)| text.trim_ascii_end().ends_with(b"</page>")) {
            return Ok(page);
        }
        loop {
            self.line += 1;
            let read = self.reader.line(&mut line, self.most);
            let at = || format!("{}:{}", self.place, self.line);
            match read.map_err(|e| self.reader.error(e, at()))? {
                Line::End => {
                    return match page {
                        None if !self.any && self.line > 1 => {
                            Err(Error::input("no <page> in the file")
                                .at(&self.place)
                                .hint("is it an export of MediaWiki, and in UTF-8?"))
                        }
                        None => Ok(None),
                        // Its end was in a line that was too long.
                        Some((ref text, ..)) if text.is_empty() => Ok(page),
                        Some(_) => Err(Error::input("the file ends within a page")
                            .at(at())
                            .hint("copy or download the file again")),
                    };
                }
                Line::TooLong(bytes) => {
                    self.any = true;
                    // Whether it ends the page is not known: it does where the next begins.
                    let Some((text, size, _)) = &mut page else {
                        return Ok(Some((Vec::new(), bytes, self.line)));
                    };
                    text.clear();
                    *size += bytes;
                }
                Line::Whole => {
                    let trimmed = line.trim_ascii();
                    if trimmed.starts_with(b"<page>") {
                        self.any = true;
                        // A page that never ended is given up for the one that begins.
                        if let Some(broken) = page.take() {
                            let size = line.len() as u64;
                            self.begun = Some((std::mem::take(&mut line), size, self.line));
                            return Ok(Some(broken));
                        }
                        page = Some((Vec::new(), 0, self.line));
                    }
                    let Some((text, size, _)) = &mut page else {
                        if let Some(base) = trimmed.strip_prefix(b"<base>") {
                            let base = String::from_utf8_lossy(base);
                            self.base = base.trim_end_matches("</base>").to_string();
                        }
                        continue;
                    };
                    *size += line.len() as u64;
                    if *size <= self.most as u64 {
                        text.extend_from_slice(&line);
                    } else {
                        text.clear();
                    }
                    if trimmed.ends_with(b"</page>") {
                        return Ok(page);
                    }
                }
            }
        }
    }
}

#[derive(Default)]
struct Page {
    id: String,
    title: String,
    namespace: String,
    redirect: bool,
    wikitext: bool,
    text: String,
}

fn page(xml: &str) -> std::result::Result<Page, &'static str> {
    let mut page = Page { wikitext: true, ..Page::default() };
    let mut reader = Xml::from_str(xml);
    let mut path: Vec<String> = Vec::new();
    loop {
        match reader.read_event().map_err(|_| "bad XML page")? {
            Event::Start(e) => {
                path.push(e.local_name().as_ref().to_string());
                if path.len() > MAX_DEPTH {
                    return Err("bad XML page");
                }
                // Of several revisions the last one counts.
                if path.last().is_some_and(|n| n == "text") {
                    page.text.clear();
                }
            }
            Event::End(_) => {
                path.pop();
                if path.is_empty() {
                    return Ok(page);
                }
            }
            Event::Empty(e) => page.redirect |= e.local_name().as_ref() == "redirect",
            Event::Text(t) => page.add(&path, &t),
            Event::GeneralRef(r) => {
                let reference = format!("&{};", &*r);
                page.add(&path, &html_escape::decode_html_entities(&reference));
            }
            Event::CData(t) => page.add(&path, &t),
            Event::Eof => return Err("bad XML page"),
            _ => {}
        }
    }
}

impl Page {
    fn add(&mut self, path: &[String], text: &str) {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["page", "id"] => self.id.push_str(text),
            ["page", "title"] => self.title.push_str(text),
            ["page", "ns"] => self.namespace.push_str(text.trim()),
            ["page", "revision", "text"] => self.text.push_str(text),
            ["page", "revision", "model"] => self.wikitext = text.trim() == "wikitext",
            _ => {}
        }
    }
}
