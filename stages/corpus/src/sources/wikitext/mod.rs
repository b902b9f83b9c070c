//! Wikitext (MediaWiki's markup) as plain text: templates, tables, references, files and categories go;
//! headings (`##`) and lists stay; of links their words stay.
//!
//! Markup: <https://www.mediawiki.org/wiki/Markup_spec>. It is not expanded: a template's words are
//! lost, except those few that are part of sentences (templates.rs). All passes are loops
//! over the text with stacks on the heap: nesting, however deep, is no recursion.

mod arguments;
mod lines;
mod templates;
mod values;

/// Templates or links within each other, as in MediaWiki; deeper ones are taken for text. A pass over
/// what is inside costs its length at each level.
const DEEPEST: usize = 100;
/// Bytes in which the end of an external link or a language variant is looked for.
const NEAR: usize = 4096;

/// The text's first bytes, [`NEAR`] at most.
fn near(text: &str) -> &str {
    let end = (0..=NEAR.min(text.len())).rev().find(|&n| text.is_char_boundary(n));
    &text[..end.unwrap_or(0)]
}

/// Characters of markup inside `<nowiki>` and its like wait here, in Unicode's private use area.
const LITERAL: &[(char, char)] = &[
    ('[', '\u{F0000}'),
    (']', '\u{F0001}'),
    ('{', '\u{F0002}'),
    ('}', '\u{F0003}'),
    ('|', '\u{F0004}'),
    ('\'', '\u{F0005}'),
    ('=', '\u{F0006}'),
    ('*', '\u{F0007}'),
    ('#', '\u{F0008}'),
    (';', '\u{F0009}'),
    (':', '\u{F000A}'),
    ('<', '\u{F000B}'),
    ('>', '\u{F000C}'),
    ('_', '\u{F000D}'),
    (' ', '\u{F000E}'),
    ('-', '\u{F000F}'),
];

/// Is between two marks of emphasis that a tag, template or link kept apart.
const APART: char = '\u{F0010}';

/// The text of a page.
pub fn to_text(wikitext: &str) -> String {
    let text = tags(wikitext);
    let text = braces(&text);
    let text = links(&text);
    let text = lines::render(&text);
    let plain = |c: char| LITERAL.iter().find(|l| l.1 == c).map_or(c, |l| l.0);
    text.chars().filter(|&c| c != APART).map(plain).collect()
}

/// Appends what is behind something that has gone: `''a''<b>''b''` has no four apostrophes.
fn join(out: &mut String, text: &str) {
    if out.ends_with('\'') && text.starts_with('\'') {
        out.push(APART);
    }
    out.push_str(text);
}

fn literal(text: &str, out: &mut String) {
    out.extend(text.chars().map(|c| LITERAL.iter().find(|l| l.0 == c).map_or(c, |l| l.1)));
}

/// Elements without prose in them.
const DROPPED: &[&str] = &[
    "ref",
    "references",
    "gallery",
    "timeline",
    "score",
    "imagemap",
    "hiero",
    "graph",
    "mapframe",
    "maplink",
    "templatedata",
    "templatestyles",
    "inputbox",
    "indicator",
    "section",
    "style",
    "script",
    "ce",
    "chem",
    "categorytree",
];
/// Elements with content that is taken to the letter.
const VERBATIM: &[&str] = &["nowiki", "pre", "source", "syntaxhighlight", "code", "tt", "math"];

/// Comments, references, verbatim parts and HTML's tags.
fn tags<'a>(text: &'a str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // Elements that nothing closes any more.
    let mut unclosed: Vec<String> = Vec::new();
    let mut close = |text: &'a str, name: &str| {
        if unclosed.iter().any(|n| n == name) {
            return None;
        }
        let found = close(text, name);
        if found.is_none() {
            unclosed.push(name.to_owned());
        }
        found
    };
    while let Some(at) = rest.find('<') {
        plain(&mut out, &rest[..at]);
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            // A line that held a comment alone is no empty line.
            if out.ends_with('\n') && rest.starts_with('\n') {
                rest = &rest[1..];
            }
            continue;
        }
        let Some(tag) = Tag::at(rest) else {
            out.push('<');
            rest = &rest[1..];
            continue;
        };
        let behind = &rest[tag.length..];
        let name = tag.name.as_str();
        let opens = !tag.closes && !tag.empty;
        if DROPPED.contains(&name) {
            rest =
                if opens { close(behind, name).map_or(behind, |(_, tail)| tail) } else { behind };
        } else if matches!(name, "sup" | "sub")
            && opens
            && let Some((inside, tail)) = close(behind, name)
            && let Some(raised) = values::raised(inside, name == "sup")
        {
            // 10<sup>7</sup> is not 107.
            out.push_str(&raised);
            rest = tail;
        } else if VERBATIM.contains(&name) && opens {
            match close(behind, name) {
                Some((inside, tail)) => {
                    verbatim(name, inside, &mut out);
                    rest = tail;
                }
                None => rest = behind,
            }
        } else {
            match name {
                "br" | "hr" => out.push('\n'),
                "p" | "div" | "center" | "blockquote" | "poem" | "li" | "tr" | "ul" | "ol"
                | "table"
                    if !out.ends_with('\n') =>
                {
                    out.push('\n');
                }
                _ => {}
            }
            rest = behind;
        }
    }
    plain(&mut out, rest);
    out
}

/// Text between tags. A line that begins with spaces is shown as it is written: the first of them says
/// so, the others indent it.
fn plain(out: &mut String, text: &str) {
    let mut lines = text.split('\n');
    join(out, lines.next().unwrap_or(""));
    for line in lines {
        out.push('\n');
        let words = line.trim_start_matches(' ');
        let spaces = line.len() - words.len();
        // Indented parts of tables and templates are none, nor is what begins with a mark.
        if spaces > 1 && !words.is_empty() && !words.starts_with(INDENTED) {
            literal(&line[1..spaces], out);
            out.push_str(words);
        } else {
            out.push_str(line);
        }
    }
}

/// What may stand behind spaces and is no text.
const INDENTED: [char; 12] = ['|', '!', '{', '}', '<', '[', '*', '#', ':', ';', '=', ' '];

fn verbatim(name: &str, inside: &str, out: &mut String) {
    match name {
        "math" => {
            let formula = inside.trim();
            if !formula.is_empty() {
                out.push('$');
                literal(&formula.replace('\n', " "), out);
                out.push('$');
            }
        }
        "pre" | "source" | "syntaxhighlight" => {
            if !out.ends_with('\n') {
                out.push('\n');
            }
            literal(inside.trim_matches('\n'), out);
            out.push('\n');
        }
        // Markup works inside these two, but what they show is mostly code.
        "code" | "tt" if ["{{", "[[", "''"].iter().any(|m| inside.contains(m)) => {
            out.push_str(inside)
        }
        _ => literal(inside, out),
    }
}

/// What is inside an element that was opened, and what is behind it.
fn close<'a>(text: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find("</")?;
        let tail = &text[at + 2..];
        let same = tail.get(..name.len()).is_some_and(|n| n.eq_ignore_ascii_case(name));
        if same
            && let Some(end) = tail[name.len()..].find('>')
            && tail[name.len()..][..end].trim().is_empty()
        {
            return Some((&text[..at], &tail[name.len() + end + 1..]));
        }
        from = at + 2;
    }
}

struct Tag {
    name: String,
    closes: bool,
    empty: bool,
    length: usize,
}

impl Tag {
    /// The tag that a text begins with.
    fn at(text: &str) -> Option<Self> {
        let inside = &text[1..];
        let closes = inside.starts_with('/');
        let name: String = inside
            .trim_start_matches('/')
            .chars()
            .take(20)
            .take_while(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_ascii_lowercase();
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return None;
        }
        // `>` in a quoted attribute is rare, and a tag that long is none.
        let window = (0..=2000.min(text.len())).rev().find(|&n| text.is_char_boundary(n))?;
        let end = text[..window].find('>')?;
        if text[1..end].contains('<') {
            return None;
        }
        Some(Self { name, closes, empty: text[..end].ends_with('/'), length: end + 1 })
    }
}

/// What is open: its text so far waits here.
enum Open {
    Template(String),
    Table(String),
    Parameter(String),
}

/// Templates, parameters, tables and language variants.
fn braces(text: &str) -> String {
    let mut stack: Vec<Open> = Vec::new();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let bytes = text.as_bytes();
    while at < bytes.len() {
        let rest = &text[at..];
        let line_start = text[..at].trim_end_matches([' ', ':', '\t']).ends_with('\n') || at == 0;
        let room = stack.len() < DEEPEST;
        if room && rest.starts_with("{{{") && !rest.starts_with("{{{{") {
            stack.push(Open::Parameter(String::new()));
            at += 3;
        } else if room && rest.starts_with("{{") {
            stack.push(Open::Template(String::new()));
            at += 2;
        } else if room && line_start && rest.starts_with("{|") {
            stack.push(Open::Table(String::new()));
            at += 2;
        } else if rest.starts_with("}}}") && matches!(stack.last(), Some(Open::Parameter(_))) {
            stack.pop();
            at += 3;
        } else if rest.starts_with("}}") && matches!(stack.last(), Some(Open::Template(_))) {
            if let Some(Open::Template(inside)) = stack.pop() {
                let mut rendered = templates::render(&inside);
                // 1{{sfrac|1|4}} is not 11/4.
                if now(&stack, &out).ends_with(|c: char| c.is_ascii_digit())
                    && templates::is_fraction(&inside)
                {
                    rendered.insert(0, ' ');
                }
                // A line that held templates alone is none.
                let alone = rendered.is_empty() && line_start_of(&stack, &out);
                push(&mut stack, &mut out, &rendered);
                at += 2;
                // What is shown there parted the words.
                let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
                if rendered.is_empty()
                    && stack.is_empty()
                    && letter(out.chars().next_back())
                    && letter(text[at..].chars().next())
                {
                    out.push(' ');
                }
                if alone && text[at..].starts_with('\n') {
                    at += 1;
                }
                continue;
            }
        } else if line_start
            && rest.starts_with("|}")
            && let Some(table) = stack.iter().rposition(|o| matches!(o, Open::Table(_)))
            // `|}}` closes a template that is inside the table.
            && (table + 1 == stack.len() || !rest.starts_with("|}}"))
        {
            stack.truncate(table);
            at += 2;
        } else if rest.starts_with("-{")
            && let Some(end) = near(rest).find("}-")
            && !rest[2..end].contains("-{")
        {
            push(&mut stack, &mut out, templates::variant(&rest[2..end]));
            at += end + 2;
        } else {
            // Up to the next character that may mean something.
            let first = rest.chars().next().map_or(1, char::len_utf8);
            let next = rest[first..].find(['{', '}', '|', '-']).map_or(rest.len(), |n| n + first);
            push(&mut stack, &mut out, &rest[..next]);
            at += next;
        }
    }
    // Unclosed markup is text: its words stay, except a table's.
    for open in stack {
        match open {
            Open::Template(inside) | Open::Parameter(inside) => out.push_str(&inside),
            Open::Table(_) => {}
        }
    }
    out
}

/// The text that is being written.
fn now<'a>(stack: &'a [Open], out: &'a str) -> &'a str {
    match stack.last() {
        Some(Open::Template(t) | Open::Table(t) | Open::Parameter(t)) => t,
        None => out,
    }
}

fn line_start_of(stack: &[Open], out: &str) -> bool {
    let now = now(stack, out);
    now.is_empty() || now.ends_with('\n')
}

fn push(stack: &mut [Open], out: &mut String, text: &str) {
    match stack.last_mut() {
        Some(Open::Template(t) | Open::Parameter(t)) => join(t, text),
        // What is inside a table is not kept.
        Some(Open::Table(_)) => {}
        None => join(out, text),
    }
}

/// Internal and external links.
fn links(text: &str) -> String {
    let mut stack: Vec<String> = Vec::new();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['[', ']']) {
        join(stack.last_mut().unwrap_or(&mut out), &rest[..at]);
        rest = &rest[at..];
        if let Some(tail) = rest.strip_prefix("[[").filter(|_| stack.len() < DEEPEST) {
            stack.push(String::new());
            rest = tail;
        } else if rest.starts_with("]]") && !stack.is_empty() {
            let inside = stack.pop().unwrap_or_default();
            let words = link(&inside);
            join(stack.last_mut().unwrap_or(&mut out), &words);
            rest = &rest[2..];
        } else if let Some((words, length)) = external(rest) {
            join(stack.last_mut().unwrap_or(&mut out), words);
            rest = &rest[length..];
        } else {
            stack.last_mut().unwrap_or(&mut out).push_str(&rest[..1]);
            rest = &rest[1..];
        }
    }
    join(stack.last_mut().unwrap_or(&mut out), rest);
    for open in stack {
        out.push_str(&open);
    }
    out
}

/// Namespaces with links that show nothing in the text.
const HIDDEN: &[&str] = &[
    "file",
    "image",
    "category",
    "media",
    "文件",
    "檔案",
    "档案",
    "图像",
    "圖像",
    "分类",
    "分類",
    "datei",
    "bild",
    "kategorie",
    "fichier",
    "catégorie",
    "archivo",
    "categoría",
    "ファイル",
    "画像",
    "カテゴリ",
    "файл",
    "изображение",
    "категория",
    "categoria",
    "categorie",
    "bestand",
    "afbeelding",
    "kategoria",
    "plik",
    "grafika",
    "immagine",
    "imagem",
    "ficheiro",
    "fil",
    "kategori",
    "картинка",
    "зображення",
    "категорія",
    "파일",
    "그림",
    "분류",
];

/// The words that an internal link shows.
fn link(inside: &str) -> String {
    let target = inside.split('|').next().unwrap_or("").trim();
    if let Some(prefix) = target.split_once(':').map(|(p, _)| p.trim().to_lowercase()) {
        // `[[:Category:X]]` is a visible link, with an empty prefix.
        if HIDDEN.contains(&prefix.as_str()) {
            return String::new();
        }
        // `[[de:Titel]]` at a page's end is the same page in another language.
        let code = (2..=3).contains(&prefix.len()) || LONG_CODES.contains(&prefix.as_str());
        let lower = prefix.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        if code && lower && !inside.contains('|') {
            return String::new();
        }
    }
    match inside.rsplit_once('|') {
        Some((_, words)) if !words.trim().is_empty() => words.to_string(),
        // The pipe trick: `[[Title (kind)|]]`.
        Some(_) => {
            let title = target.rsplit_once(':').map_or(target, |(_, t)| t);
            title.split(" (").next().unwrap_or("").to_string()
        }
        None => target.trim_start_matches(':').replace('_', " "),
    }
}

const LONG_CODES: &[&str] = &[
    "simple",
    "zh-min-nan",
    "zh-yue",
    "zh-classical",
    "be-x-old",
    "be-tarask",
    "bat-smg",
    "roa-rup",
    "roa-tara",
    "fiu-vro",
    "map-bms",
    "cbk-zam",
    "nds-nl",
    "zh-cn",
    "zh-tw",
    "tokipona",
];

/// The words of an external link and its length; `[https://x]` has none.
fn external(text: &str) -> Option<(&str, usize)> {
    let inside = text.strip_prefix('[')?;
    let known = ["http://", "https://", "ftp://", "//", "mailto:", "irc://", "news:"];
    known.iter().find(|k| inside.starts_with(**k))?;
    let end = near(inside).find([']', '\n'])?;
    if !inside[end..].starts_with(']') {
        return None;
    }
    let words = inside[..end].split_once(char::is_whitespace).map_or("", |(_, w)| w.trim());
    Some((words, end + 2))
}
