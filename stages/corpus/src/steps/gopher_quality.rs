//! Gopher's quality rules: Rae et al. 2021, <https://arxiv.org/abs/2112.11446>, appendix A1.1, as
//! datatrove 0.10.1 has them (pipeline/filters/gopher_quality_filter.py), word for word.
//!
//! Chinese (and Japanese) text has no spaces and other stop words: there an ideograph counts half a
//! word, and the rules that speak of words speak of ideographs.

use athanor_store::{Check, section};

use super::{
    ByScript, Outcome, english,
    script::{self, Script, is_punctuation},
};

section! {
    /// Gopher's quality rules. A limit of 0 is none.
    pub struct GopherQuality {
        /// Words at least, those of punctuation alone left out; Chinese: twice as many ideographs.
        min_words: usize = 50,
        /// Words at most.
        max_words: usize = 100_000,
        /// Mean length of a word at least, in characters. Not for Chinese.
        min_mean_word: f64 = 3.0,
        /// Mean length of a word at most. Not for Chinese.
        max_mean_word: f64 = 10.0,
        /// Hash signs, and ellipses, for each word at most.
        max_symbols: f64 = 0.1,
        /// Share of lines that begin with a bullet at most.
        max_bullet_lines: f64 = 0.9,
        /// Share of lines that end with an ellipsis at most.
        max_ellipsis_lines: f64 = 0.3,
        /// Share of words with a letter at least; Chinese: ideographs among all characters.
        min_letters: f64 = 0.8,
        /// The same for Chinese, where punctuation counts as a character.
        min_ideographs: f64 = 0.6,
        /// Different stop words at least.
        min_stop_words: usize = 2,
        /// English stop words.
        stop_words: Vec<String> =
            ["the", "be", "to", "of", "and", "that", "have", "with"].map(String::from).to_vec(),
        /// Chinese stop words, old and new, in both scripts.
        chinese_stop_words: Vec<String> = ["的", "是", "了", "在", "和", "有", "不", "这", "這", "我", "他",
            "为", "為", "之", "其", "而", "以", "者", "无", "無", "人", "一"].map(String::from).to_vec(),
        /// Whose rules: "auto" by the text's script, "english" or "chinese" for all.
        rules: String = "auto".to_string(),
    }
}

impl Check for GopherQuality {
    fn check(&self) -> Result<(), athanor_store::Problem> {
        script::check_rules(&self.rules)
    }
}

impl ByScript for GopherQuality {
    fn rules(&self) -> &str {
        &self.rules
    }

    fn judge_as(&self, text: &str, script: Script) -> Outcome {
        let reason = match script {
            Script::Spaced => self.spaced(text),
            Script::Chinese => self.chinese(text),
        };
        reason.map_or(Outcome::Keep, Outcome::Drop)
    }
}

impl GopherQuality {
    fn spaced(&self, text: &str) -> Option<&'static str> {
        let words = english::words(text);
        let (mut count, mut characters, mut alphabetic) = (0usize, 0usize, 0usize);
        let mut stop = vec![false; self.stop_words.len()];
        for word in &words {
            if word.chars().any(|c| !is_punctuation(c)) {
                count += 1;
                characters += word.chars().count();
            }
            alphabetic += usize::from(word.chars().any(char::is_alphabetic));
            if let Some(at) = self.stop_words.iter().position(|s| s == word) {
                stop[at] = true;
            }
        }
        if self.min_words > 0 && count < self.min_words {
            return Some("few words");
        }
        if self.max_words > 0 && count > self.max_words {
            return Some("many words");
        }
        let mean = characters as f64 / count as f64;
        if self.min_mean_word > 0.0 && mean < self.min_mean_word {
            return Some("short words");
        }
        if self.max_mean_word > 0.0 && mean > self.max_mean_word {
            return Some("long words");
        }
        if let Some(reason) = self.symbols(text, words.len() as f64) {
            return Some(reason);
        }
        if self.min_letters > 0.0 && (alphabetic as f64 / words.len() as f64) < self.min_letters {
            return Some("words without letters");
        }
        let found = stop.into_iter().filter(|s| *s).count();
        (found < self.min_stop_words).then_some("few stop words")
    }

    /// Hash signs, ellipses, bullets.
    fn symbols(&self, text: &str, words: f64) -> Option<&'static str> {
        if self.max_symbols > 0.0 {
            if text.matches('#').count() as f64 / words > self.max_symbols {
                return Some("hash signs");
            }
            let ellipses = text.matches("...").count() + text.matches('…').count();
            if ellipses as f64 / words > self.max_symbols {
                return Some("ellipses");
            }
        }
        let lines = english::lines(text);
        let share = |n: usize| n as f64 / lines.len() as f64;
        let bullet = |l: &&&str| l.trim_start_matches(english::is_space).starts_with(['•', '-']);
        if self.max_bullet_lines > 0.0
            && share(lines.iter().filter(bullet).count()) > self.max_bullet_lines
        {
            return Some("lines with bullets");
        }
        let ellipsis = |l: &&&str| {
            let line = l.trim_end_matches(english::is_space);
            line.ends_with("...") || line.ends_with('…')
        };
        (self.max_ellipsis_lines > 0.0
            && share(lines.iter().filter(ellipsis).count()) > self.max_ellipsis_lines)
            .then_some("lines that end with an ellipsis")
    }

    fn chinese(&self, text: &str) -> Option<&'static str> {
        let (mut solid, mut ideographs) = (0usize, 0usize);
        for c in text.chars().filter(|c| !is_space_wide(*c)) {
            solid += 1;
            ideographs += usize::from(script::is_ideograph(c));
        }
        let words = script::words(text).len().saturating_sub(ideographs) + ideographs / 2;
        if self.min_words > 0 && words < self.min_words {
            return Some("few words");
        }
        if self.max_words > 0 && words > self.max_words {
            return Some("many words");
        }
        if let Some(reason) = self.symbols(text, words as f64) {
            return Some(reason);
        }
        if self.min_ideographs > 0.0 && (ideographs as f64) < self.min_ideographs * solid as f64 {
            return Some("words without letters");
        }
        let found = self.chinese_stop_words.iter().filter(|w| text.contains(w.as_str())).count();
        (found < self.min_stop_words).then_some("few stop words")
    }
}

fn is_space_wide(c: char) -> bool {
    english::is_space(c) || c == '\u{3000}'
}
