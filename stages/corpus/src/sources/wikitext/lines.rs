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
    "参考",
    "參考",
    "参考来源",
    "參考來源",
    "参考书目",
    "參考書目",
    "註腳",
    "脚注",
    "注释与参考资料",
    "外部リンク",
    "関連項目",
    "出典",
    "注釈",
    "関連文献",
    "각주",
    "같이 보기",
    "외부 링크",
    "참고 문헌",
    "anmerkungen",
    "fußnoten",
    "quellen",
    "notes et références",
    "bibliographie",
    "lien externe",
    "notas",
    "notas y referencias",
    "bibliografía",
    "note",
    "bibliografia",
    "voci correlate",
    "altri progetti",
    "collegamenti esterni",
    "referências",
    "ligações externas",
    "ver também",
    "przypisy",
    "zobacz też",
    "linki zewnętrzne",
    "referenties",
    "externe links",
    "zie ook",
    "referenser",
    "externa länkar",
    "se även",
    "примечания",
    "ссылки",
    "см. также",
    "литература",
    "источники",
    "примітки",
    "посилання",
    "див. також",
    "джерела",
    "література",
    "бележки",
    "източници",
    "вижте също",
    "външни препратки",
    "литература и източници",
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
    /// Counters of the numbered lists that are open; as many as the list is deep.
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
                // What is below may go on as deep.
                self.numbers.fill(0);
            }
            return;
        }
        // Rules, and what is left of tables that never began.
        if words.starts_with("----") || (marks.is_empty() && table_scrap(words)) {
            return;
        }
        let last = marks.chars().next_back();
        // `:` before `*` makes it deeper, but none is deeper than one below what it is in.
        let depth = marks.chars().count().min(self.numbers.len() + 1);
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
            Some(_) => format!("{indent}{words}"),
            None => words.to_string(),
        };
        match last {
            // The list goes on at its depth, and numbers below begin anew.
            Some('*') => {
                self.numbers.resize(depth, 0);
                self.numbers[depth - 1] = 0;
            }
            Some('#') => {}
            // What continues a list leaves it as deep as it was; what explains a term is none.
            _ => self.numbers.truncate(depth),
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
    let mut out = if text.contains("''") { without_emphasis(text) } else { text.to_string() };
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

/// A line without the apostrophes of emphasis, by MediaWiki's rules (`Parser::doQuotes`): four are one
/// and bold, more than five are some and both; and where bold and italic are both left open, one bold
/// was an apostrophe and italic (`L'''Iliade''`).
fn without_emphasis(line: &str) -> String {
    // Where marks begin, and how long they are.
    let mut runs: Vec<(usize, usize)> = Vec::new();
    let mut at = 0;
    while let Some(found) = line[at..].find("''") {
        let start = at + found;
        let length = line[start..].bytes().take_while(|&b| b == b'\'').count();
        at = start + length;
        let marks = match length {
            4 => 3,
            n => n.min(5),
        };
        runs.push((at - marks, marks));
    }
    let count = |what: usize| runs.iter().filter(|r| r.1 == what || r.1 == 5).count();
    if count(2) % 2 == 1 && count(3) % 2 == 1 {
        // Best behind a word of one letter, then behind a longer one, then behind a space.
        let rank = |&(at, _): &(usize, usize)| {
            let mut before = line[..at].chars().rev();
            match (before.next(), before.next()) {
                (Some(' '), _) => 2,
                (Some(_), None | Some(' ')) => 0,
                _ => 1,
            }
        };
        let bold = runs.iter().enumerate().filter(|(_, r)| r.1 == 3);
        if let Some((n, _)) = bold.min_by_key(|(n, r)| (rank(r), *n)) {
            runs[n] = (runs[n].0 + 1, 2);
        }
    }
    let mut out = String::with_capacity(line.len());
    let mut from = 0;
    for (at, length) in runs {
        out.push_str(&line[from..at]);
        from = at + length;
    }
    out.push_str(&line[from..]);
    out
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
                // ". . ." is no end of a sentence.
                let before = out.trim_end_matches(' ');
                let dots = before.ends_with('.') || text[at + 1..].trim_start().starts_with('.');
                out.truncate(if dots { out.len() } else { before.len() });
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out.truncate(out.trim_end().len());
    out
}
