//! English text as words and sentences, exactly as spaCy 3.8's blank English pipeline with its
//! sentencizer has them: what datatrove counts in its filters.
//!
//! Source: spacy/tokenizer.pyx, spacy/lang/punctuation.py, char_classes.py and en/ (MIT licence);
//! specials.txt holds the tokenizer's special cases, made by bench/peers/spacy_specials.py. A departure:
//! of spaCy's scripts, letters are all that Unicode calls so.

mod icons;

use std::{collections::HashMap, sync::LazyLock};

use regex::Regex;

/// The special cases: a word and its parts' lengths in bytes.
static SPECIALS: LazyLock<HashMap<&'static str, Vec<usize>>> = LazyLock::new(|| {
    let lines = include_str!("specials.txt").lines();
    let mut map = HashMap::new();
    for line in lines {
        let parts: Vec<usize> = line.split('\t').map(str::len).collect();
        // The word without its tabs lives as long as the program: there are 1,343.
        let word: &'static str = Box::leak(line.replace('\t', "").into_boxed_str());
        map.insert(word, parts);
    }
    map
});

static PUNCTUATION: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{P}+$").ok());

/// Whether a character is white space to Python.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1C}'..='\u{1F}')
}

/// A text's lines, as Python's `splitlines` has them.
pub(crate) fn lines(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let ends = matches!(
            c,
            '\n' | '\r' | '\u{B}' | '\u{C}' | '\u{1C}'
                ..='\u{1E}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        );
        if !ends {
            continue;
        }
        out.push(&text[start..at]);
        start = at + c.len_utf8();
        if c == '\r' && chars.peek().is_some_and(|(_, n)| *n == '\n') {
            chars.next();
            start += 1;
        }
    }
    if start < text.len() {
        out.push(&text[start..]);
    }
    out
}

/// The words of a text, without those that are white space.
pub(crate) fn words(text: &str) -> Vec<&str> {
    let mut out = Vec::with_capacity(text.len() / 5);
    tokens(text, |token| {
        let token = token.trim_matches(is_space);
        if !token.is_empty() {
            out.push(token);
        }
    });
    out
}

/// How many sentences a text has.
pub(crate) fn sentences(text: &str) -> usize {
    let (mut count, mut seen, mut blank) = (0, false, true);
    tokens(text, |token| {
        let mut chars = token.chars();
        let ends = matches!((chars.next(), chars.next()), (Some(c), None) if END.contains(c));
        if seen && !ends && !is_punctuation(token) {
            count += usize::from(!blank);
            (seen, blank) = (false, true);
        } else if ends {
            seen = true;
        }
        blank &= token.chars().all(is_space);
    });
    count + usize::from(!blank)
}

/// What ends sentences: the sentencizer's list.
const END: &str = "!.?։؟۔܀܁܂߹।॥၊။።፧፨᙮᜵᜶᠃᠉᥄᥅᪨᪩᪪᪫᭚᭛᭞᭟᰻᰼᱾᱿‼‽⁇⁈⁉⸮⸼꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫﹒﹖﹗！．？𐩖𐩗𑁇𑁈𑂾𑂿𑃀𑃁𑅁𑅂𑅃𑇅𑇆𑇍𑇞𑇟𑈸𑈹𑈻𑈼𑊩𑑋𑑌𑗂𑗃𑗉𑗊𑗋𑗌𑗍𑗎𑗏𑗐𑗑𑗒𑗓𑗔𑗕𑗖𑗗𑙁𑙂𑜼𑜽𑜾𑩂𑩃𑪛𑪜𑱁𑱂𖩮𖩯𖫵𖬷𖬸𖭄𛲟𝪈｡。";

fn is_punctuation(token: &str) -> bool {
    match token.as_bytes() {
        [b] if b.is_ascii() => b.is_ascii_punctuation() && !b"$+<=>^`|~".contains(b),
        _ if token.is_ascii() && token.bytes().any(|b| b.is_ascii_alphanumeric()) => false,
        _ => PUNCTUATION.as_ref().is_some_and(|p| p.is_match(token)),
    }
}

/// Special cases that are split before they are looked for, by their first part: all parts, and what
/// they are joined to.
type Joins = HashMap<&'static str, Vec<(Vec<&'static str>, &'static [usize])>>;

static JOINS: LazyLock<Joins> = LazyLock::new(|| {
    let mut joins: Joins = HashMap::new();
    for (&word, parts) in SPECIALS.iter() {
        if prefix(word) == 0 && suffix(word) == 0 {
            let (mut before, mut any) = (None, false);
            for (at, c) in word.char_indices() {
                any |= infix(&word[at..], c, before) > 0;
                before = Some(c);
            }
            if !any {
                continue;
            }
        }
        let mut split = Vec::new();
        split_word(word, false, &mut |t| split.push(t));
        joins.entry(split[0]).or_default().push((split, parts));
    }
    for list in joins.values_mut() {
        list.sort_by_key(|(split, _)| (std::cmp::Reverse(split.len()), split.concat()));
    }
    joins
});

/// Calls back for every token; white space other than single spaces is a token, too.
fn tokens<'a>(text: &'a str, mut each: impl FnMut(&'a str)) {
    let mut all = Vec::with_capacity(text.len() / 5);
    split_text(text, |t| all.push(t));
    // Special cases come out again where a word was split through them.
    let mut at = 0;
    while at < all.len() {
        let token = all[at];
        let joined = JOINS.get(token).and_then(|list| {
            list.iter().find(|(split, _)| {
                at + split.len() <= all.len()
                    && split.iter().zip(&all[at..]).all(|(a, b)| a == b)
                    && all[at..at + split.len()]
                        .windows(2)
                        .all(|w| offset(text, w[0]) + w[0].len() == offset(text, w[1]))
            })
        });
        match joined {
            Some((split, parts)) => {
                let start = offset(text, token);
                let size: usize = split.iter().map(|s| s.len()).sum();
                special(&text[start..start + size], parts, &mut each);
                at += split.len();
            }
            None => {
                each(token);
                at += 1;
            }
        }
    }
}

/// Where a part of a text begins in it.
fn offset(text: &str, part: &str) -> usize {
    part.as_ptr() as usize - text.as_ptr() as usize
}

fn split_text<'a>(text: &'a str, mut each: impl FnMut(&'a str)) {
    let mut start = 0;
    let mut in_space = match text.chars().next() {
        Some(c) => is_space(c),
        None => return,
    };
    for (at, c) in text.char_indices() {
        if is_space(c) != in_space {
            if start < at {
                span(&text[start..at], in_space, &mut each);
            }
            start = if c == ' ' { at + 1 } else { at };
            in_space = !in_space;
        }
    }
    if start < text.len() {
        span(&text[start..], in_space, &mut each);
    }
}

fn span<'a>(span: &'a str, space: bool, each: &mut impl FnMut(&'a str)) {
    if space {
        each(span);
    } else if let Some(parts) = SPECIALS.get(span) {
        special(span, parts, each);
    } else if span.bytes().all(|b| b.is_ascii_lowercase()) {
        // Nothing to split: the most of all words.
        each(span);
    } else {
        split_word(span, true, each);
    }
}

fn special<'a>(word: &'a str, parts: &[usize], each: &mut impl FnMut(&'a str)) {
    let mut from = 0;
    for size in parts {
        each(&word[from..from + size]);
        from += size;
    }
}

/// Takes off what stands before and behind a word, then splits what is left.
fn split_word<'a>(word: &'a str, specials: bool, each: &mut impl FnMut(&'a str)) {
    let known = |w: &str| specials && SPECIALS.contains_key(w);
    let mut suffixes: Vec<&str> = Vec::new();
    let mut rest = word;
    let mut last = usize::MAX;
    while !rest.is_empty() && rest.len() != last {
        if known(rest) {
            break;
        }
        last = rest.len();
        let before = prefix(rest);
        if before > 0 && known(&rest[before..]) {
            each(&rest[..before]);
            rest = &rest[before..];
            break;
        }
        let behind = suffix(&rest[before..]);
        let end = rest.len() - behind;
        if behind > 0 && known(&rest[..end]) {
            suffixes.push(&rest[end..]);
            rest = &rest[..end];
            break;
        }
        if before > 0 {
            each(&rest[..before]);
        }
        if behind > 0 {
            suffixes.push(&rest[end..]);
        }
        rest = &rest[before..end];
    }
    if let Some(parts) = SPECIALS.get(rest).filter(|_| specials) {
        special(rest, parts, each);
    } else if !rest.is_empty() {
        if url(rest) {
            each(rest);
        } else {
            inside(rest, each);
        }
    }
    suffixes.into_iter().rev().for_each(each);
}

/// A letter of the scripts that spaCy lists.
fn letter(c: char) -> bool {
    let listed = !matches!(c as u32, 0x530..=0x58F | 0x7C0..=0x8FF | 0xA00..=0xB7F | 0xD00..=0xD7F
        | 0xE00..=0x11FF | 0x1380..=0x1CFF);
    c.is_alphabetic() && (listed || ('\u{1100}'..='\u{11FF}').contains(&c))
}

fn lower(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_lowercase() } else { letter(c) && !c.is_uppercase() }
}

fn upper(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_uppercase() } else { letter(c) && !c.is_lowercase() }
}

fn icon(c: char) -> bool {
    let c = c as u32;
    c >= 0xA6 && {
        let at = icons::ICONS.partition_point(|&(from, _)| from <= c);
        at > 0 && c <= icons::ICONS[at - 1].1
    }
}

const PUNCT: &str = "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪";
const QUOTES: &str = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉〈〉⟦⟧";
const CURRENCY: &str = "$£€¥฿₽﷼₴₠₡₢₣₤₥₦₧₨₩₪₫€₭₮₯₰₱₲₳₴₵₶₷₸₹₺₻₼₽₾₿";
const UNITS: &[&str] = &[
    "km", "km²", "km³", "m", "m²", "m³", "dm", "dm²", "dm³", "cm", "cm²", "cm³", "mm", "mm²",
    "mm³", "ha", "µm", "nm", "yd", "in", "ft", "kg", "g", "mg", "µg", "t", "lb", "oz", "m/s",
    "km/h", "kmh", "mph", "hPa", "Pa", "mbar", "mb", "MB", "kb", "KB", "gb", "GB", "tb", "TB", "T",
    "G", "M", "K", "%", "км", "км²", "км³", "м", "м²", "м³", "дм", "дм²", "дм³", "см", "см²",
    "см³", "мм", "мм²", "мм³", "нм", "кг", "г", "мг", "м/с", "км/ч", "кПа", "Па", "мбар", "Кб",
    "КБ", "кб", "Мб", "МБ", "мб", "Гб", "ГБ", "гб", "Тб", "ТБ", "م", "كم", "سم", "مم", "غرام",
    "جرام", "جم", "كغ", "ملغ",
];

/// Bytes of what stands before a word.
fn prefix(word: &str) -> usize {
    let mut chars = word.chars();
    let Some(first) = chars.next() else { return 0 };
    let size = first.len_utf8();
    match first {
        '+' => usize::from(!chars.next().is_some_and(|c| c.is_ascii_digit())),
        '.' => {
            let dots = word.bytes().take_while(|&b| b == b'.').count();
            if dots >= 2 { dots } else { 0 }
        }
        'U' if word.starts_with("US$") => 3,
        'C' | 'A' if word[1..].starts_with('$') => 2,
        c if c.is_ascii_alphanumeric() => 0,
        c if "§%=—–".contains(c)
            || PUNCT.contains(c)
            || QUOTES.contains(c)
            || CURRENCY.contains(c)
            || icon(c) =>
        {
            size
        }
        _ => 0,
    }
}

/// Bytes of what stands behind a word: the longest, for the search finds the leftmost.
fn suffix(word: &str) -> usize {
    let mut chars = word.chars().rev();
    let Some(last) = chars.next() else { return 0 };
    let (before, second) = (chars.next(), chars.next());
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    match last {
        '.' => {
            let dots = word.bytes().rev().take_while(|&b| b == b'.').count();
            if dots >= 2 {
                return dots;
            }
            let Some(c) = before else { return 0 };
            let degrees = second == Some('°') && "FfCcKk".contains(c);
            let sentence = c.is_ascii_digit()
                || lower(c)
                || "%²-+|(?:)".contains(c)
                || PUNCT.contains(c)
                || QUOTES.contains(c);
            let letters = upper(c) && second.is_some_and(upper);
            usize::from(degrees || sentence || letters)
        }
        's' | 'S' if matches!(before, Some('\'' | '’')) => 1 + before.map_or(0, char::len_utf8),
        '…' => {
            let run = word.chars().rev().take_while(|&c| c == '…').count();
            // "……" is one of the list; a longer run ends with one.
            last.len_utf8() * run.min(2)
        }
        c if PUNCT.contains(c) || QUOTES.contains(c) || icon(c) || "—–".contains(c) => {
            c.len_utf8()
        }
        '+' => usize::from(digit(before)),
        '$' if before.is_some_and(|c| "CA".contains(c)) && digit(second) => 2,
        '$' if word.ends_with("US$") && digit(word.chars().rev().nth(3)) => 3,
        c if CURRENCY.contains(c) && digit(before) => c.len_utf8(),
        c if CURRENCY.contains(c) => 0,
        c if c.is_alphabetic() || "%²³".contains(c) => {
            let ends = |unit: &&&str| {
                word.strip_suffix(**unit).is_some_and(|w| digit(w.chars().next_back()))
            };
            UNITS.iter().filter(ends).map(|u| u.len()).max().unwrap_or(0)
        }
        _ => 0,
    }
}

/// Splits a word at what stands inside it.
fn inside<'a>(word: &'a str, each: &mut impl FnMut(&'a str)) {
    let mut start = 0;
    let mut at = 0;
    let mut before: Option<char> = None;
    while let Some(c) = word[at..].chars().next() {
        let size = infix(&word[at..], c, before);
        if size == 0 {
            before = Some(c);
            at += c.len_utf8();
            continue;
        }
        before = word[at..at + size].chars().next_back();
        // spaCy passes over one at the beginning, which then belongs to what follows.
        if at > 0 {
            if at > start {
                each(&word[start..at]);
            }
            each(&word[at..at + size]);
            start = at + size;
        }
        at += size;
    }
    if start < word.len() {
        each(&word[start..]);
    }
}

/// Bytes of what splits a word here, given the character before.
fn infix(rest: &str, c: char, before: Option<char>) -> usize {
    if c.is_ascii_alphanumeric() {
        return 0;
    }
    let size = c.len_utf8();
    if c == '.' {
        let dots = rest.bytes().take_while(|&b| b == b'.').count();
        if dots >= 2 {
            return dots;
        }
    }
    if c == '…' || icon(c) {
        return size;
    }
    let Some(before) = before else { return 0 };
    let next = rest[size..].chars().next();
    let alpha = letter;
    if "+-*^".contains(c)
        && before.is_ascii_digit()
        && next.is_some_and(|n| n.is_ascii_digit() || n == '-')
    {
        return size;
    }
    if c == '.'
        && (lower(before) || QUOTES.contains(before))
        && next.is_some_and(|n| upper(n) || QUOTES.contains(n))
    {
        return size;
    }
    if c == ',' && alpha(before) && next.is_some_and(alpha) {
        return size;
    }
    let known = alpha(before) || before.is_ascii_digit();
    if known && "-–—~".contains(c) {
        for hyphen in ["-", "–", "—", "--", "---", "——", "~"] {
            let behind = rest.strip_prefix(hyphen).and_then(|r| r.chars().next());
            if behind.is_some_and(alpha) {
                return hyphen.len();
            }
        }
    }
    if known && ":<>=/".contains(c) && next.is_some_and(alpha) {
        return size;
    }
    0
}

/// Whether a word is an address on the web: it stays whole.
fn url(word: &str) -> bool {
    if !word.contains('.') {
        return false;
    }
    let scheme = word.find("://").filter(|&at| {
        at >= 2 && word[..at].chars().all(|c| c.is_alphanumeric() || "_+-.".contains(c))
    });
    let rest = scheme.map_or(word, |at| &word[at + 3..]);
    // A name before the host.
    host(rest) || rest.match_indices('@').any(|(at, _)| at > 0 && host(&rest[at + 1..]))
}

fn host(text: &str) -> bool {
    let end = text.find(['/', '?', '#']).unwrap_or(text.len());
    let mut name = &text[..end];
    if let Some((front, port)) = name.rsplit_once(':') {
        if !(2..=5).contains(&port.len()) || !port.bytes().all(|b| b.is_ascii_digit()) {
            return false;
        }
        name = front;
    }
    let mut labels: Vec<&str> = name.split('.').collect();
    let Some(top) = labels.pop() else { return false };
    if labels.len() == 3 && labels.iter().chain([&top]).all(|l| l.parse::<u8>().is_ok()) {
        let first: u8 = labels[0].parse().unwrap_or(0);
        let private =
            matches!((labels[0], labels[1]), ("10" | "127", _) | ("192", "168") | ("169", "254"));
        return (1..=223).contains(&first) && !private;
    }
    let letter = |c: char| c.is_ascii_alphanumeric() || c >= '\u{A1}';
    let label = |l: &&str| {
        l.starts_with(letter)
            && l.ends_with(letter)
            && l.chars().all(|c| letter(c) || c == '_' || c == '-')
            && l.chars().count() <= 64
    };
    let letters = top.chars().count();
    !labels.is_empty()
        && labels.iter().all(label)
        && (2..=63).contains(&letters)
        && top.chars().all(lower)
}

/// tests/words.jsonl is made by bench/peers/spacy_words.py: lines of e-mails, books and source code.
#[test]
fn words_are_those_of_spacy() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/words.jsonl");
    let path = std::env::var("WORDS").unwrap_or(path.into());
    let (mut all, mut wrong) = (0, 0);
    for record in athanor_data::records::open(path).unwrap() {
        let record = record.unwrap();
        let text = record.text("text").unwrap();
        let want: Vec<&str> =
            record.0["words"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
        let got = words(text);
        all += 1;
        let same = got == want && sentences(text) as u64 == record.0["sentences"].as_u64().unwrap();
        if !same {
            wrong += 1;
            let at = got.iter().zip(&want).position(|(a, b)| a != b).unwrap_or(0);
            println!("{text:?}\n  {:?}\n  {:?}", &got[at..], &want[at..]);
        }
    }
    assert!(all > 0 && wrong * 500 <= all, "{wrong} of {all} differ");
}
