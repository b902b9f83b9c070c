//! HTML: the main text of a page. Which part that is, Mozilla's Readability decides (the crate
//! dom_smoothie); what it finds is written as text here, with headings, lists, tables and preformatted
//! lines kept. A page in which it finds nothing gives its body without navigation.

use std::{cell::Cell, io::Read};

use dom_query::{Document, NodeId, NodeRef};
use dom_smoothie::{Config, Readability};
use html5ever::{
    ParseOpts,
    interface::Tracer,
    parse_document,
    tendril::{StrTendril, TendrilSink},
    tree_builder::TreeBuilderOpts,
};

use super::{Converted, Input, Item, Items, charset};
use athanor_store::Result;

/// Larger pages are left out: no text is that long, and the parser's tree is many times its size.
pub(super) const MAX_PAGE_BYTES: usize = 16 << 20;
/// Deeper trees are left out: they are attacks or damage.
const MAX_DEPTH: usize = 400;
/// A page's elements at most.
const MAX_NODES: usize = 1_000_000;
/// Bytes that are parsed between two looks at the tree.
const CHUNK: usize = 512;

pub(super) fn open(input: &Input) -> Result<Items> {
    let mut reader = input.reader()?;
    let (id, bad) = (input.name(), input.bad());
    let mut bytes = Vec::new();
    let most = MAX_PAGE_BYTES.min(input.most());
    let read = (&mut reader).take(most as u64 + 1).read_to_end(&mut bytes);
    let size = bytes.len() as u64;
    let item = match read {
        Err(e) => {
            let error = reader.error(e, input.path.display());
            bad.record(id, size, "damaged file", error)
        }
        Ok(_) if bytes.len() > most => {
            let rest = reader.skip(u64::MAX).unwrap_or(0);
            Ok(Item::skip(id, size + rest, "page too large"))
        }
        Ok(_) => Ok(Item::later(id, size, move || page(&bytes, None))),
    };
    Ok(Box::new(std::iter::once(item)))
}

/// The main text of a page's bytes. `charset` is what the server says.
pub(super) fn page(bytes: &[u8], charset: Option<&str>) -> Converted {
    if bytes.len() > MAX_PAGE_BYTES {
        return Err("page too large");
    }
    main_text(&charset::decode(bytes, charset))
}

/// The main text of a page, or why there is none.
///
/// # Errors
/// A reason.
pub fn main_text(html: &str) -> Converted {
    let document = parse(html)?;
    // Readability takes what HTML5 no longer knows for blocks, and breaks paragraphs there.
    for node in document.select("acronym, tt, big, strike, s, u, font, nobr").nodes() {
        node.rename("span");
    }
    let config = Config { disable_json_ld: true, ..Config::default() };
    let mut article = None;
    if let Ok(mut readability) = Readability::with_document(document, None, Some(config)) {
        article = readability.parse().ok();
    }
    if let Some(article) = article {
        let content = parse(&article.content)?;
        let body = text_of(&content.root());
        if !body.is_empty() {
            let title = article.title.trim();
            let first = body.lines().next().unwrap_or("").trim_start_matches('#').trim();
            if title.is_empty() || first == title {
                return Ok(body);
            }
            return Ok(format!("# {title}\n\n{body}"));
        }
    }
    // Readability has changed the first tree.
    let whole = parse(html)?;
    for selector in ["nav", "header", "footer", "aside", "form"] {
        for node in whole.select(selector).nodes() {
            node.remove_from_parent();
        }
    }
    let text = text_of(&whole.root());
    if text.is_empty() { Err("no text") } else { Ok(text) }
}

/// All the text of a page: for books, where nothing is navigation.
///
/// # Errors
/// A reason.
pub fn whole_text(html: &str) -> Converted {
    Ok(text_of(&parse(html)?.root()))
}

/// Counts what the parser keeps open: elements, and formatting to be opened again.
struct Open(Cell<usize>);

impl Tracer for Open {
    type Handle = NodeId;

    fn trace_handle(&self, _: &NodeId) {
        self.0.set(self.0.get() + 1);
    }
}

/// Parses a page, a little at a time: between them the tree is looked at, since a small page may make a
/// huge one (formatting that is left open is opened again in each paragraph), and the parser takes time
/// that grows with the square of its depth.
fn parse(html: &str) -> std::result::Result<Document, &'static str> {
    let options = ParseOpts {
        tree_builder: TreeBuilderOpts { scripting_enabled: false, ..TreeBuilderOpts::default() },
        ..ParseOpts::default()
    };
    let mut parser = parse_document(Document::default(), options);
    let mut rest = html;
    while !rest.is_empty() {
        let at = (0..=CHUNK.min(rest.len())).rev().find(|&n| rest.is_char_boundary(n));
        let (chunk, behind) = rest.split_at(at.filter(|&n| n > 0).unwrap_or(rest.len()));
        rest = behind;
        parser.process(StrTendril::from_slice(chunk));
        let builder = &parser.tokenizer.sink;
        let open = Open(Cell::new(0));
        builder.trace_handles(&open);
        if open.0.get() > 2 * MAX_DEPTH {
            return Err("nested too deep");
        }
        if builder.sink.tree.len() > MAX_NODES {
            return Err("too many elements");
        }
        // They are never read, and a malformed page can have one a byte.
        builder.sink.errors.borrow_mut().clear();
    }
    let document = parser.finish();
    let mut stack = vec![(document.root(), 0)];
    while let Some((node, depth)) = stack.pop() {
        if depth > MAX_DEPTH {
            return Err("nested too deep");
        }
        stack.extend(node.children_it(false).map(|c| (c, depth + 1)));
    }
    drop(stack);
    Ok(document)
}

/// Text under construction.
#[derive(Default)]
struct Text {
    out: String,
    /// Empty lines wanted before what comes next: 0 none, 1 a new line, 2 an empty one.
    breaks: usize,
    /// White space wanted before what comes next.
    space: bool,
    /// What begins the next line, as "- ".
    mark: String,
    lists: Vec<Option<usize>>,
    preformatted: usize,
    /// Cells of the table row so far.
    cells: usize,
}

impl Text {
    fn end_line(&mut self, breaks: usize) {
        self.breaks = self.breaks.max(breaks);
        self.space = false;
    }

    fn push(&mut self, text: &str) {
        if self.breaks > 0 {
            let have = self.out.len() - self.out.trim_end_matches('\n').len();
            if !self.out.is_empty() {
                for _ in have..self.breaks {
                    self.out.push('\n');
                }
            }
            self.breaks = 0;
            self.space = false;
        }
        if !self.mark.is_empty() {
            let indent = self.lists.len().saturating_sub(1);
            self.out.push_str(&"  ".repeat(indent));
            self.out.push_str(&std::mem::take(&mut self.mark));
            self.space = false;
        }
        if self.space {
            let before = self.out.chars().next_back();
            let after = text.chars().next();
            // A line break in the source of Chinese text is no space.
            let chinese = before.is_some_and(wide) && after.is_some_and(wide);
            if !chinese && !self.out.ends_with([' ', '\n']) {
                self.out.push(' ');
            }
            self.space = false;
        }
        self.out.push_str(text);
    }

    fn words(&mut self, text: &str) {
        if self.preformatted > 0 {
            for (n, line) in text.split('\n').enumerate() {
                if n > 0 {
                    if self.breaks > 0 || self.out.is_empty() {
                        continue;
                    }
                    self.out.push('\n');
                }
                if !line.is_empty() {
                    self.push(line);
                }
            }
            return;
        }
        let space = |c: char| c.is_whitespace();
        if text.starts_with(space) {
            self.space = true;
        }
        for word in text.split_whitespace() {
            self.push(word);
            self.space = true;
        }
        if !text.is_empty() && !text.ends_with(space) {
            self.space = false;
        }
    }
}

fn wide(c: char) -> bool {
    crate::steps::script::is_ideograph(c)
        || matches!(c, '\u{3000}'..='\u{303F}' | '\u{FF00}'..='\u{FFEF}')
}

/// The text below a node.
fn text_of(root: &NodeRef) -> String {
    let mut text = Text::default();
    let mut stack = vec![(*root, false)];
    while let Some((node, leave)) = stack.pop() {
        if node.is_text() {
            text.words(&node.text());
            continue;
        }
        let name = node.node_name();
        let name = name.as_deref().unwrap_or("");
        if node.is_comment() || IGNORED.contains(&name) {
            continue;
        }
        if leave {
            left(&mut text, name);
            continue;
        }
        entered(&mut text, name);
        stack.push((node, true));
        stack.extend(node.children_it(true).map(|c| (c, false)));
    }
    let lines: Vec<&str> = text.out.lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_string()
}

const IGNORED: &[&str] = &[
    "script", "style", "noscript", "template", "svg", "iframe", "object", "embed", "button",
    "select", "option", "input", "textarea", "head", "title", "meta", "link", "img", "picture",
    "video", "audio", "canvas", "map", "nav", "math",
];

fn entered(text: &mut Text, name: &str) {
    match name {
        "br" => {
            text.breaks = text.breaks.max(1);
            text.space = false;
        }
        "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
            text.end_line(2);
            let level = usize::from(name.as_bytes()[1] - b'0');
            text.mark = format!("{} ", "#".repeat(level));
        }
        "ul" | "ol" => {
            text.end_line(if text.lists.is_empty() { 2 } else { 1 });
            text.lists.push((name == "ol").then_some(0));
        }
        "li" => {
            text.end_line(1);
            text.mark = match text.lists.last_mut() {
                Some(Some(n)) => {
                    *n += 1;
                    format!("{n}. ")
                }
                _ => "- ".into(),
            };
        }
        "pre" => {
            text.end_line(2);
            text.preformatted += 1;
        }
        "tr" => {
            text.end_line(1);
            text.cells = 0;
        }
        "td" | "th" => {
            if text.cells > 0 && !text.out.ends_with('\n') && text.breaks == 0 {
                text.out.truncate(text.out.trim_end_matches(' ').len());
                text.out.push_str(" | ");
            }
            text.cells += 1;
            text.space = false;
        }
        "dt" | "dd" => text.end_line(1),
        // A paragraph right behind an item's mark stays in its line; within an item or a cell no
        // empty line is wanted.
        "p" if !text.mark.is_empty() => {}
        "p" if !text.lists.is_empty() => text.end_line(1),
        "p" | "blockquote" | "table" | "figure" | "dl" | "hr" => text.end_line(2),
        _ if BLOCKS.contains(&name) && text.mark.is_empty() => text.end_line(1),
        _ => {}
    }
}

fn left(text: &mut Text, name: &str) {
    match name {
        "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
            text.mark.clear();
            text.end_line(2);
        }
        "ul" | "ol" => {
            text.lists.pop();
            text.end_line(if text.lists.is_empty() { 2 } else { 1 });
        }
        "li" => {
            text.mark.clear();
            text.end_line(1);
        }
        "pre" => {
            text.preformatted = text.preformatted.saturating_sub(1);
            text.end_line(2);
        }
        "p" if !text.lists.is_empty() || text.cells > 0 => text.end_line(1),
        "table" => {
            text.cells = 0;
            text.end_line(2);
        }
        // What paragraphs in a cell asked for.
        "td" | "th" if text.cells > 0 => text.breaks = 0,
        "tr" => text.end_line(1),
        "p" | "blockquote" | "figure" | "dl" => text.end_line(2),
        "dt" | "dd" => text.end_line(1),
        _ if BLOCKS.contains(&name) => text.end_line(1),
        _ => {}
    }
}

const BLOCKS: &[&str] = &[
    "div",
    "section",
    "article",
    "main",
    "header",
    "footer",
    "aside",
    "address",
    "figcaption",
    "body",
    "html",
    "center",
    "fieldset",
    "form",
    "details",
    "summary",
    "caption",
    "thead",
    "tbody",
    "tfoot",
];
