//! FineWeb's rules: Penedo et al. 2024, <https://arxiv.org/abs/2406.17557>, section 3.5, as datatrove
//! 0.10.1 has them (pipeline/filters/fineweb_quality_filter.py).
//!
//! In Chinese text an ideograph is half a word, and a short line has as many characters fewer.

use athanor_store::{Check, section};

use super::{
    ByScript, Outcome, english,
    gopher_repetition::duplicates,
    script::{self, Script, TERMINAL},
};

section! {
    /// FineWeb's rules.
    pub struct FineWeb {
        /// Share of lines that end with a mark at least.
        min_ended_lines: f64 = 0.12,
        /// Share of short lines at most.
        max_short_lines: f64 = 0.67,
        /// Characters of a short line at most.
        short_line: usize = 30,
        /// Characters of a short line at most in Chinese text.
        chinese_short_line: usize = 12,
        /// Characters in lines that came before, among the text's, at most.
        max_duplicate_characters: f64 = 0.01,
        /// Line ends for each word at most.
        max_line_ends: f64 = 0.3,
        /// Whose rules: "auto" by the text's script, "english" or "chinese" for all.
        rules: String = "auto".to_string(),
    }
}

impl Check for FineWeb {
    fn check(&self) -> Result<(), athanor_store::Problem> {
        script::check_rules(&self.rules)
    }
}

impl ByScript for FineWeb {
    fn rules(&self) -> &str {
        &self.rules
    }

    fn judge_as(&self, text: &str, script: Script) -> Outcome {
        self.reason(text, script).map_or(Outcome::Keep, Outcome::Drop)
    }
}

impl FineWeb {
    fn reason(&self, text: &str, script: Script) -> Option<&'static str> {
        let chinese = script == Script::Chinese;
        let full = |l: &&str| !l.trim_matches(english::is_space).is_empty();
        let lines: Vec<&str> = text.split('\n').filter(full).collect();
        if lines.is_empty() {
            return Some("empty");
        }
        let share = |n: usize| n as f64 / lines.len() as f64;
        let closing = ['”', '’', '」', '』', '）', '…'];
        let ended =
            |l: &&&str| l.ends_with(|c| TERMINAL.contains(c)) || (chinese && l.ends_with(closing));
        if share(lines.iter().filter(ended).count()) < self.min_ended_lines {
            return Some("lines do not end like sentences");
        }
        let most = if chinese { self.chinese_short_line } else { self.short_line };
        let short = |l: &&&str| l.len() <= most || l.chars().take(most + 1).count() <= most;
        if share(lines.iter().filter(short).count()) > self.max_short_lines {
            return Some("short lines");
        }
        let line_ends = text.bytes().filter(|&b| b == b'\n').count();
        let characters = text.chars().count() - line_ends;
        if duplicates(&lines).1 as f64 / characters as f64 > self.max_duplicate_characters {
            return Some("characters in duplicate lines");
        }
        let words = if chinese {
            script::words(text).len().div_ceil(2)
        } else {
            english::words(text).len()
        };
        (line_ends as f64 / words as f64 > self.max_line_ends).then_some("a list")
    }
}
