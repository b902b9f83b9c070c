//! Lines of wikitext: headings, lists, indents, emphasis, character references, and what is left of
//! brackets when templates are gone.

/// Sections that hold references and links, and no prose; in lower case.
const DROPPED: &[&str] = &[
    "references",
    "external links",
    "see also",
    "further reading",
    "notes",
    "bibliography",
    "sources",
    "footnotes",
    "notes and references",
    "references and notes",
    "citations",
    "works cited",
    "external link",
    "gallery",
    "source notes",
    "endnotes",
    "literature",
    "general references",
    "references and further reading",
    "references and external links",
    "external links and references",
    "参考文献",
    "參考文獻",
    "外部链接",
    "外部連結",
    "外部連接",
    "参见",
    "參見",
    "参看",
    "參看",
    "注释",
    "註釋",
    "注釋",
    "注解",
    "註解",
    "参考资料",
    "參考資料",
    "资料来源",
    "資料來源",
    "延伸阅读",
    "延伸閱讀",
    "相关条目",
    "相關條目",
    "einzelnachweise",
    "weblinks",
    "siehe auch",
    "literatur",
    "références",
    "liens externes",
    "voir aussi",
    "referencias",
    "enlaces externos",
    "véase también",
    "脚注",
    "外部リンク",
    "関連項目",
];

/// Lines as text.
pub(super) fn render(text: &str) -> String {
    let mut out = Out::default();
    // The level of a section that is left out.
    let mut dropped: Option<usize> = None;
    for raw in text.split('\n') {
        let line = raw.trim_end();
        if let Some((level, title)) = heading(line) {
            let title = inline(title);
            let same_or_above = dropped.is_none_or(|d| level <= d);
            if same_or_above {
                let name = title.trim().trim_end_matches([':', '：']).to_lowercase();
                dropped = DROPPED.contains(&name.as_str()).then_some(level);
                if dropped.is_none() {
                    out.heading(level, title.trim());
                }
            }
            continue;
        }
        if dropped.is_some() {
            continue;
        }
        out.line(line);
    }
    out.finish()
}

/// `== Title ==`.
fn heading(line: &str) -> Option<(usize, &str)> {
    let line = line.trim();
    let level = line.bytes().take_while(|&b| b == b'=').count().min(6);
    let title = line.get(level..line.len().checked_sub(level)?)?;
    let closed = line.bytes().rev().take_while(|&b| b == b'=').count() >= level;
    (level > 0 && closed && !title.trim().is_empty()).then_some((level, title))
}

#[derive(Default)]
struct Out {
    text: String,
    /// Headings that wait for text below them, with their levels.
    headings: Vec<(usize, String)>,
    /// Counters of the numbered lists that are open.
    numbers: Vec<usize>,
    empty: bool,
    in_list: bool,
}

impl Out {
    fn heading(&mut self, level: usize, title: &str) {
        while self.headings.last().is_some_and(|(l, _)| *l >= level) {
            self.headings.pop();
        }
        if !title.is_empty() {
            self.headings.push((level, title.into()));
        }
        self.empty = true;
        self.numbers.clear();
    }

    fn line(&mut self, line: &str) {
        let marks: &str = &line[..line.len() - line.trim_start_matches(['*', '#', ';', ':']).len()];
        let words = inline(&line[marks.len()..]);
        let words = words.trim();
        if words.is_empty() {
            self.empty = true;
            if marks.is_empty() {
                self.numbers.clear();
            }
            return;
        }
        // Rules, and what is left of tables that never began.
        if words.starts_with("----") || (marks.is_empty() && table_scrap(words)) {
            return;
        }
        let last = marks.chars().next_back();
        let depth = marks.chars().filter(|c| matches!(c, '*' | '#')).count();
        let indent = "  ".repeat(depth.saturating_sub(1));
        let line = match last {
            Some('#') => {
                self.numbers.resize(depth, 0);
                let n = self.numbers.last_mut().map_or(1, |n| {
                    *n += 1;
                    *n
                });
                format!("{indent}{n}. {words}")
            }
            Some('*') => format!("{indent}- {words}"),
            Some(';') => match words.split_once(" : ") {
                Some((term, meaning)) => format!("{term}: {meaning}"),
                None => words.to_string(),
            },
            _ => words.to_string(),
        };
        if last != Some('#') {
            self.numbers.truncate(depth);
        }
        let list = !marks.is_empty();
        for (level, title) in std::mem::take(&mut self.headings) {
            self.paragraph();
            self.text.push_str(&"#".repeat(level));
            self.text.push(' ');
            self.text.push_str(&title);
            self.empty = true;
        }
        if self.empty || list != self.in_list {
            self.paragraph();
        } else if !self.text.is_empty() {
            // Lines that follow each other are one paragraph; in lists and poems they are not.
            self.text.push('\n');
        }
        self.text.push_str(&line);
        self.empty = false;
        self.in_list = list;
    }

    fn paragraph(&mut self) {
        if !self.text.is_empty() {
            self.text.push_str("\n\n");
        }
    }

    fn finish(self) -> String {
        self.text
    }
}

fn table_scrap(words: &str) -> bool {
    words.starts_with("|-")
        || words.starts_with("|}")
        || words.starts_with("{|")
        || words.starts_with("||")
        || words == "|"
        || words.starts_with("! ")
}

/// Emphasis, magic words, references, and brackets that templates have left empty.
fn inline(text: &str) -> String {
    let mut out = text.to_string();
    if out.contains("''") {
        for marks in ["'''''", "'''", "''"] {
            out = out.replace(marks, "");
        }
    }
    if out.contains("__") {
        out = without_magic_words(&out);
    }
    if out.contains('&') {
        out = html_escape::decode_html_entities(&html_escape::decode_html_entities(&out))
            .into_owned();
    }
    let out = out.replace('\u{A0}', " ");
    brackets(&out)
}

/// A text without `__NOTOC__` and its like.
fn without_magic_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("__") {
        let behind = &rest[at + 2..];
        // The name and what closes it, no further.
        let near = behind.char_indices().nth(32).map_or(behind.len(), |(n, _)| n);
        let word = behind[..near].find("__").filter(|&n| {
            (1..=30).contains(&n)
                && behind[..n].chars().all(|c| c.is_alphabetic() && !c.is_lowercase())
        });
        let Some(n) = word else {
            // As ever: from the first that is none on, all stays.
            break;
        };
        out.push_str(&rest[..at]);
        rest = &behind[n + 2..];
    }
    out.push_str(rest);
    out
}

/// "( ; , )" goes, "(; 1 May 1900, )" becomes "(1 May 1900)", spaces become single, and so does what
/// stood around a template in a sentence: "word ." becomes "word.".
fn brackets(text: &str) -> String {
    const OPEN: [char; 2] = ['(', '（'];
    const BETWEEN: [char; 6] = [' ', ',', ';', '，', '；', '、'];
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        match c {
            ' ' | '\t' if out.is_empty() || out.ends_with([' ', '(', '（']) => {}
            ' ' | '\t' => out.push(' '),
            ',' | ';' | '，' | '；' | '、' if out.trim_end_matches(' ').ends_with(OPEN) => {}
            // ", , and" where templates stood.
            ',' if out.trim_end_matches(' ').ends_with(',') => {}
            ')' | '）' => {
                out.truncate(out.trim_end_matches(BETWEEN).len());
                let before = out.strip_suffix(OPEN);
                // `main()` keeps its brackets.
                match before.filter(|b| b.is_empty() || b.ends_with(' ') || !b.is_ascii()) {
                    Some(before) => out.truncate(before.len()),
                    None => out.push(c),
                }
            }
            // "in .NET" and ".5" keep their space.
            ',' => {
                out.truncate(out.trim_end_matches(' ').len());
                out.push(c);
            }
            '.' if text[at + 1..].chars().next().is_none_or(char::is_whitespace) => {
                out.truncate(out.trim_end_matches(' ').len());
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out.truncate(out.trim_end().len());
    out
}
