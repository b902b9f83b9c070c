//! Lists of the user's: addresses of pages and words that are not wanted. No list comes with Athanor:
//! what is unwanted is for those to say who use the corpus. The forms are those of the UT1 lists (a domain
//! a line) and of LDNOOBW (a word or phrase a line), as C4 and RefinedWeb use them.

use std::{collections::HashSet, path::PathBuf};

use athanor_data::records;
use athanor_store::{Check, Error, Problem, Result, section};
use serde_json::{Value, json};

use super::{
    Outcome, Preparation, Step,
    grams::{self, Fast},
    parameters, script,
};
use crate::Document;

section! {
    /// Addresses.
    pub struct Urls {
        /// A file with a domain a line: pages of it and of its subdomains go. Packed or not; # begins a
        /// comment.
        domains: Option<PathBuf> = None,
        /// Pages whose address has one of these words between its marks go.
        words: Vec<String> = Vec::new(),
        /// Drop documents without an address.
        need_url: bool = false,
    }
}

impl Check for Urls {}

section! {
    /// Words.
    pub struct Words {
        /// A file with a word or phrase a line. Packed or not; # begins a comment.
        list: Option<PathBuf> = None,
        /// Drop documents with more of them than this.
        max_found: usize = 0,
        /// … and than this share of their words.
        max_share: f64 = 0.0,
    }
}

impl Check for Words {
    fn check(&self) -> std::result::Result<(), Problem> {
        Problem::unless((0.0..=1.0).contains(&self.max_share), "max_share", "must be in 0..1")
    }
}

/// A list's lines.
fn lines(preparation: &Preparation, path: &std::path::Path) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for line in records::lines(preparation.recipe.resolve(path))? {
        let line = line?;
        let line = line.split('#').next().unwrap_or("").trim().to_lowercase();
        if !line.is_empty() {
            out.push(line);
        }
    }
    Ok(out)
}

impl Step for Urls {
    fn apply(&self, _: &str) -> Outcome {
        Outcome::Keep
    }

    fn parameters(&self) -> Value {
        parameters(self)
    }

    fn files(&self) -> Vec<PathBuf> {
        self.domains.iter().cloned().collect()
    }

    fn prepare(&self, preparation: &Preparation) -> Result<Option<Box<dyn Step>>> {
        let domains = match &self.domains {
            Some(path) => lines(preparation, path)?.into_iter().collect(),
            None => HashSet::new(),
        };
        let words = self.words.iter().map(|w| w.to_lowercase()).collect();
        Ok(Some(Box::new(UrlList { section: self.clone(), domains, words })))
    }
}

struct UrlList {
    section: Urls,
    domains: HashSet<String>,
    words: HashSet<String>,
}

impl Step for UrlList {
    fn apply(&self, _: &str) -> Outcome {
        Outcome::Keep
    }

    fn judge(&self, document: &Document) -> Outcome {
        let url = document.url.to_lowercase();
        if url.is_empty() {
            return if self.section.need_url { Outcome::Drop("no address") } else { Outcome::Keep };
        }
        let behind = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        let host = behind.split(['/', '?', '#']).next().unwrap_or("");
        let host = host.rsplit('@').next().unwrap_or("").split(':').next().unwrap_or("");
        let mut domain = host;
        loop {
            if self.domains.contains(domain) {
                return Outcome::Drop("domain on the list");
            }
            match domain.split_once('.') {
                Some((_, above)) => domain = above,
                None => break,
            }
        }
        if url.split(|c: char| !c.is_alphanumeric()).any(|w| self.words.contains(w)) {
            return Outcome::Drop("word of the list in the address");
        }
        Outcome::Keep
    }

    fn parameters(&self) -> Value {
        parameters(&self.section)
    }

    fn notes(&self) -> Value {
        json!({ "domains": self.domains.len() })
    }
}

impl Step for Words {
    fn apply(&self, _: &str) -> Outcome {
        Outcome::Keep
    }

    fn parameters(&self) -> Value {
        parameters(self)
    }

    fn files(&self) -> Vec<PathBuf> {
        self.list.iter().cloned().collect()
    }

    fn prepare(&self, preparation: &Preparation) -> Result<Option<Box<dyn Step>>> {
        let path = self.list.as_ref().ok_or_else(|| {
            Error::input("no list of words").hint("give corpus.settings.words.list a file")
        })?;
        let mut list =
            WordList { section: self.clone(), phrases: HashSet::default(), lengths: Vec::new() };
        for line in lines(preparation, path)? {
            let normal = script::normal(&line);
            let words = script::words(&normal);
            if !words.is_empty() {
                list.phrases.insert(join(&words));
                if !list.lengths.contains(&words.len()) {
                    list.lengths.push(words.len());
                }
            }
        }
        Ok(Some(Box::new(list)))
    }
}

fn join(words: &[&str]) -> u64 {
    words
        .iter()
        .fold(words.len() as u64, |h, w| h.rotate_left(11).wrapping_mul(31) ^ grams::hash(w))
}

struct WordList {
    section: Words,
    phrases: HashSet<u64, Fast>,
    lengths: Vec<usize>,
}

impl Step for WordList {
    fn apply(&self, text: &str) -> Outcome {
        let normal = script::normal(text);
        let words = script::words(&normal);
        let mut found = 0;
        for &n in &self.lengths {
            found += words.windows(n).filter(|w| self.phrases.contains(&join(w))).count();
        }
        let share = self.section.max_share * words.len() as f64;
        if found > self.section.max_found && found as f64 > share {
            Outcome::Drop("words of the list")
        } else {
            Outcome::Keep
        }
    }

    fn parameters(&self) -> Value {
        parameters(&self.section)
    }

    fn notes(&self) -> Value {
        json!({ "phrases": self.phrases.len() })
    }
}
