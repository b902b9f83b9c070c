//! Forums: Stack Exchange's dump (Posts.xml): each question with its answers, best score first, as one
//! document. The file has answers anywhere behind their questions; it is read once for every
//! [`PART_BYTES`] of it, each time for the questions of one part, so that memory stays bounded.

use std::{cmp::Reverse, collections::BTreeMap, path::Path};

use athanor_data::compressed::{Compression, Line, Reader};
use athanor_store::{Error, Result};
use quick_xml::{Reader as Xml, events::Event};

use super::{Bad, Body, Converted, Input, Item, Items, files::is_stdin, html};

/// A post's row is no longer; the site allows 30,000 characters.
const MAX_ROW_BYTES: usize = 4 << 20;
/// Attributes of a row that are looked at; the site writes some twenty.
const MAX_ATTRIBUTES: usize = 100;
/// Posts of this many bytes of the file, unpacked, are held at once.
const PART_BYTES: u64 = 256 << 20;

/// A post.
#[derive(Default)]
struct Post {
    id: u64,
    kind: u8,
    parent: u64,
    score: i64,
    accepted: u64,
    title: String,
    body: String,
    bytes: u64,
}

pub(super) fn open(input: &Input) -> Result<Items> {
    let parts = match is_stdin(input.path) {
        true => 1,
        false => unpacked_size(input.path)? / PART_BYTES + 1,
    };
    let path = input.path.to_path_buf();
    let (bad, file) = (input.bad(), input.name());
    let most = MAX_ROW_BYTES.min(input.most());
    // The first pass counts what is read, and names what is no post.
    let mut first = Some(input.reader()?);
    let mut items: std::vec::IntoIter<Result<Item>> = Vec::new().into_iter();
    let mut part = 0;
    Ok(Box::new(std::iter::from_fn(move || {
        loop {
            if let Some(item) = items.next() {
                return Some(item);
            }
            if part == parts {
                return None;
            }
            let reader = match first.take() {
                Some(reader) => Ok(reader),
                None => athanor_data::compressed::open(&path),
            };
            let found = match reader {
                Ok(reader) => pass(reader, &file, bad, most, part, parts),
                Err(e) => vec![Err(e)],
            };
            part += 1;
            if matches!(found.last(), Some(Err(_))) {
                part = parts;
            }
            items = found.into_iter();
        }
    })))
}

/// How long a file is, unpacked; one that is packed is read for it.
fn unpacked_size(path: &Path) -> Result<u64> {
    let mut reader = athanor_data::compressed::open(path)?;
    if reader.compression() == Compression::None {
        return std::fs::metadata(path).map(|m| m.len()).map_err(|e| Error::io("read", path, e));
    }
    // Damage is reported when reading meets it again, with the place.
    let _ = reader.skip(u64::MAX);
    Ok(reader.counts().unpacked())
}

/// One pass over the file: the threads of one part, in the order of their numbers.
fn pass(
    mut reader: Reader,
    file: &str,
    bad: Bad,
    most: usize,
    part: u64,
    parts: u64,
) -> Vec<Result<Item>> {
    let place = reader.path().display().to_string();
    let mut out = Vec::new();
    let mut threads: BTreeMap<u64, Vec<Post>> = BTreeMap::new();
    let mut held = 0;
    let mut any = false;
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        number += 1;
        let id = || format!("{file}:{number}");
        let read = match reader.line(&mut line, most) {
            Ok(read) => read,
            Err(e) => {
                out.push(Err(reader.error(e, format!("{place}:{number}"))));
                break;
            }
        };
        match read {
            Line::End => {
                if !any && number > 1 {
                    out.push(Err(Error::input("no <row> in the file")
                        .at(&place)
                        .hint("is it Stack Exchange's Posts.xml, and in UTF-8?")));
                }
                break;
            }
            Line::TooLong(bytes) if part == 0 => {
                any = true;
                out.push(Ok(Item::skip(id(), bytes, "post too large")));
            }
            Line::TooLong(_) => any = true,
            Line::Whole => {
                let row = line.trim_ascii();
                if !row.starts_with(b"<row ") {
                    continue;
                }
                any = true;
                let bytes = line.len() as u64;
                match std::str::from_utf8(row).ok().and_then(post) {
                    Some(mut post) => {
                        let thread = if post.kind == 1 { post.id } else { post.parent };
                        if !matches!(post.kind, 1 | 2) || thread == 0 {
                            if part == 0 {
                                let reason = "neither question nor answer";
                                out.push(Ok(Item::skip(id(), bytes, reason)));
                            }
                        } else if thread % parts == part {
                            post.bytes = bytes;
                            held += bytes;
                            if parts == 1 && held > 4 * PART_BYTES {
                                out.push(Err(Error::input("too many posts for standard input")
                                    .at(format!("{place}:{number}"))
                                    .hint("give the file, which can be read more than once")));
                                break;
                            }
                            threads.entry(thread).or_default().push(post);
                        }
                    }
                    None if part == 0 => {
                        let error = Error::input("bad XML in a row of Posts.xml")
                            .at(format!("{place}:{number}"))
                            .hint("on_error = \"skip\" leaves such rows out and counts them");
                        let item = bad.record(id(), bytes, "bad XML row", error);
                        let stop = item.is_err();
                        out.push(item);
                        if stop {
                            break;
                        }
                    }
                    None => {}
                }
            }
        }
    }
    let failed = matches!(out.last(), Some(Err(_))).then(|| out.pop()).flatten();
    for (id, posts) in threads {
        let bytes = posts.iter().map(|p| p.bytes).sum();
        let id = id.to_string();
        if !posts.iter().any(|p| p.kind == 1) {
            out.push(Ok(Item::skip(id, bytes, "answers without their question")));
            continue;
        }
        let body = Body::Later(Box::new(move || thread(posts)));
        out.push(Ok(Item { id, url: String::new(), bytes, body }));
    }
    out.extend(failed);
    out
}

/// A question, and its answers: the accepted one first among equals, then by number.
fn thread(mut posts: Vec<Post>) -> Converted {
    let accepted = posts.iter().find(|p| p.kind == 1).map_or(0, |p| p.accepted);
    posts.sort_by_key(|p| (p.kind, Reverse(p.score), p.id != accepted, p.id));
    let mut out = String::new();
    for (n, post) in posts.iter().enumerate() {
        if n > 0 {
            out.push_str("\n\n");
        }
        match post.kind {
            1 if !post.title.is_empty() => out.push_str(&format!("# {}\n\n", post.title.trim())),
            1 => {}
            _ => out.push_str(&format!("## Answer ({} points)\n\n", post.score)),
        }
        out.push_str(&html::whole_text(&post.body)?);
    }
    if out.trim().is_empty() { Err("no text") } else { Ok(out) }
}

/// A row's attributes.
fn post(row: &str) -> Option<Post> {
    let mut reader = Xml::from_str(row);
    let (Event::Empty(e) | Event::Start(e)) = reader.read_event().ok()? else { return None };
    let mut post = Post::default();
    // Looking for attributes that stand there twice takes the square of their number.
    for attribute in e.attributes().with_checks(false).take(MAX_ATTRIBUTES) {
        let attribute = attribute.ok()?;
        let value: &str = &attribute.value;
        let number = || value.parse::<i64>().ok();
        match attribute.key.as_ref() {
            "Id" => post.id = number()?.try_into().ok()?,
            "PostTypeId" => post.kind = number()?.try_into().ok()?,
            "ParentId" => post.parent = number()?.try_into().ok()?,
            "Score" => post.score = number()?,
            "AcceptedAnswerId" => post.accepted = number()?.try_into().ok()?,
            "Title" => post.title = html_escape::decode_html_entities(value).into_owned(),
            "Body" => post.body = html_escape::decode_html_entities(value).into_owned(),
            _ => {}
        }
    }
    (post.id > 0 && post.kind > 0).then_some(post)
}
