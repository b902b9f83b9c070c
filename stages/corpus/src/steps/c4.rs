//! C4's rules: Raffel et al. 2020, <https://jmlr.org/papers/volume21/20-074/20-074.pdf>, section 2.2, as
//! datatrove 0.10.1 has them (pipeline/filters/c4_filters.py, C4QualityFilter). The list of bad words is
//! a step of its own (`words`). The step changes what it keeps: lines that break a rule go.
//!
//! In Chinese text a line needs characters rather than words, and sentences end with 。！？….

use athanor_store::{Check, section};

use super::{
    ByScript, Outcome, english,
    script::{self, Script},
};

section! {
    /// C4's rules. A limit of 0 is none.
    pub struct C4 {
        /// Remove marks of citation: [1], [edit], [citation needed].
        remove_citations: bool = true,
        /// Lines have to end like a sentence.
        terminal_punctuation: bool = true,
        /// Sentences at least, of the lines that are left.
        min_sentences: usize = 5,
        /// Words of a line at least.
        min_line_words: usize = 3,
        /// Chinese: characters of a line at least.
        min_line_characters: usize = 5,
        /// Lines with a word of more characters go. Not for Chinese.
        max_word_characters: usize = 1000,
        /// Documents with "lorem ipsum" go.
        lorem_ipsum: bool = true,
        /// Lines with "javascript" go.
        javascript: bool = true,
        /// Documents with a curly bracket go.
        curly_bracket: bool = true,
        /// Lines about cookies and terms of use go.
        policy: bool = true,
        /// Whose rules: "auto" by the text's script, "english" or "chinese" for all.
        rules: String = "auto".to_string(),
    }
}

impl Check for C4 {
    fn check(&self) -> Result<(), athanor_store::Problem> {
        script::check_rules(&self.rules)
    }
}

const ENDS: [char; 5] = ['.', '?', '!', '"', '\''];
const POLICY: &[&str] = &[
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
];
const CHINESE_ENDS: [char; 14] =
    ['。', '！', '？', '…', '；', '”', '’', '」', '』', '）', '!', '?', '.', '"'];
const CHINESE_SENTENCE_ENDS: [char; 6] = ['。', '！', '？', '!', '?', '…'];
const CHINESE_POLICY: &[&str] = &[
    "隐私政策",
    "隱私政策",
    "隱私權政策",
    "使用条款",
    "使用條款",
    "服务条款",
    "服務條款",
    "cookie",
    "版权所有",
    "版權所有",
    "免责声明",
    "免責聲明",
    "备案号",
    "icp备",
];

impl ByScript for C4 {
    fn rules(&self) -> &str {
        &self.rules
    }

    fn judge_as(&self, text: &str, script: Script) -> Outcome {
        let chinese = script == Script::Chinese;
        let mut kept: Vec<String> = Vec::new();
        let mut counts: [(&'static str, u64); 5] = [
            ("lines with too long a word", 0),
            ("lines that do not end like a sentence", 0),
            ("lines of few words", 0),
            ("lines with javascript", 0),
            ("lines about policies", 0),
        ];
        let mut sentences = 0;
        let policies = if chinese { CHINESE_POLICY } else { POLICY };
        for line in english::lines(text) {
            let line = line.trim_matches(english::is_space);
            let mut words = 0;
            let mut long = false;
            for word in line.split(english::is_space).filter(|w| !w.is_empty()) {
                words += 1;
                long |= self.max_word_characters > 0
                    && word.len() > self.max_word_characters
                    && word.chars().count() > self.max_word_characters;
            }
            if long && !chinese {
                counts[0].1 += 1;
                continue;
            }
            let line = if self.remove_citations { without_citations(line) } else { line.into() };
            let ends = if chinese {
                line.ends_with(CHINESE_ENDS)
            } else {
                line.ends_with(ENDS) && !line.ends_with("...")
            };
            if self.terminal_punctuation && !ends {
                counts[1].1 += 1;
                continue;
            }
            let short = if chinese {
                line.chars().filter(|c| c.is_alphanumeric()).count() < self.min_line_characters
            } else {
                words < self.min_line_words
            };
            if short {
                counts[2].1 += 1;
                continue;
            }
            let lower = line.to_lowercase();
            if self.lorem_ipsum && lower.contains("lorem ipsum") {
                return Outcome::Drop("lorem ipsum");
            }
            if self.javascript && lower.contains("javascript") {
                counts[3].1 += 1;
                continue;
            }
            if self.curly_bracket && line.contains('{') {
                return Outcome::Drop("curly bracket");
            }
            if self.policy && policies.iter().any(|p| lower.contains(p)) {
                counts[4].1 += 1;
                continue;
            }
            if self.min_sentences > 0 {
                sentences +=
                    if chinese { chinese_sentences(&line) } else { english::sentences(&line) };
            }
            kept.push(line.into_owned());
        }
        if sentences < self.min_sentences {
            return Outcome::Drop("few sentences");
        }
        let text = kept.join("\n").trim_matches(english::is_space).to_string();
        if text.is_empty() {
            return Outcome::Drop("few sentences");
        }
        Outcome::Edit(text, counts.into_iter().filter(|(_, n)| *n > 0).collect())
    }
}
/// A line without `[12]`, `[]`, `[edit]`, `[citation needed]`.
fn without_citations(line: &str) -> std::borrow::Cow<'_, str> {
    if !line.contains('[') {
        return line.into();
    }
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('[') {
        out.push_str(&rest[..at]);
        let inside = &rest[at + 1..];
        let named = ["edit]", "citation needed]"].iter().find(|n| inside.starts_with(**n));
        // Python's \d is a digit of any script.
        let digits: usize =
            inside.chars().take_while(|c| script::is_decimal(*c)).map(char::len_utf8).sum();
        rest = match named {
            Some(named) => &inside[named.len()..],
            None if inside[digits..].starts_with(']') => &inside[digits + 1..],
            None => {
                out.push('[');
                inside
            }
        };
    }
    out.push_str(rest);
    out.into()
}

/// Runs of what ends a sentence.
fn chinese_sentences(line: &str) -> usize {
    let mut count = 0;
    let mut open = false;
    for c in line.chars() {
        if CHINESE_SENTENCE_ENDS.contains(&c) {
            count += usize::from(open);
            open = false;
        } else if c.is_alphanumeric() {
            open = true;
        }
    }
    count + usize::from(open)
}
