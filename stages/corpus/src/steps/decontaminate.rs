//! Decontamination: documents that have an n-gram in common with an evaluation set go, and the account
//! lists which (Brown et al. 2020, <https://arxiv.org/abs/2005.14165>, appendix C: 13-grams of words; a
//! shorter question counts whole from 8 words on). Words are normalised as for near-duplicates; in
//! Chinese text two ideographs are a word.

use std::{collections::HashMap, path::PathBuf};

use athanor_data::{compressed, splitmix64};
use athanor_store::{Check, Error, Problem, Result, section};
use serde_json::Value;

use super::{
    Outcome, Preparation, Step,
    grams::{self, Fast},
    parameters, script,
};

section! {
    /// Decontamination.
    pub struct Decontaminate {
        /// The evaluation sets.
        sets: Vec<EvaluationSet> = Vec::new(),
        /// Words of an n-gram.
        words: usize = 13,
        /// A shorter question counts as a whole if it has as many words.
        min_words: usize = 8,
    }
}

section! {
    /// An evaluation set.
    pub struct EvaluationSet {
        /// Its name in the account.
        name: String = String::new(),
        /// JSON, JSON lines (both packed or not), or text, one question a line.
        path: PathBuf = PathBuf::new(),
        /// Fields of the JSON whose texts are looked for, at any depth; empty: all texts.
        fields: Vec<String> = Vec::new(),
    }
}

impl Check for EvaluationSet {
    fn check(&self) -> std::result::Result<(), Problem> {
        Problem::unless(!self.name.is_empty(), "name", "an evaluation set needs a name")?;
        Problem::unless(!self.path.as_os_str().is_empty(), "path", "an evaluation set needs a path")
    }
}

impl Check for Decontaminate {
    fn check(&self) -> std::result::Result<(), Problem> {
        Problem::unless(self.words >= 3, "words", "must be at least 3")?;
        Problem::unless(
            (1..=self.words).contains(&self.min_words),
            "min_words",
            "must be in 1..words",
        )
    }
}

impl Step for Decontaminate {
    fn apply(&self, _: &str) -> Outcome {
        Outcome::Keep
    }

    fn parameters(&self) -> Value {
        parameters(self)
    }

    fn files(&self) -> Vec<PathBuf> {
        self.sets.iter().map(|s| s.path.clone()).collect()
    }

    fn prepare(&self, preparation: &Preparation) -> Result<Option<Box<dyn Step>>> {
        if self.sets.is_empty() {
            return Err(Error::input("no evaluation sets to look for")
                .hint("give [[corpus.settings.decontaminate.sets]] with name and path"));
        }
        let mut index = Index {
            section: self.clone(),
            grams: HashMap::default(),
            lengths: Vec::new(),
            items: vec![0; self.sets.len()],
            short: vec![0; self.sets.len()],
        };
        for (number, set) in self.sets.iter().enumerate() {
            let path = preparation.recipe.resolve(&set.path);
            for text in texts(&path, &set.fields)? {
                index.add(&text, number as u32);
            }
            if index.items[number] == 0 {
                return Err(Error::input("no text in the evaluation set")
                    .at(path.display())
                    .hint("check `fields`, and that the questions are long enough"));
            }
        }
        index.lengths.sort_unstable();
        index.lengths.dedup();
        Ok(Some(Box::new(index)))
    }
}

/// The texts of a set.
fn texts(path: &std::path::Path, fields: &[String]) -> Result<Vec<String>> {
    use std::io::Read;
    let mut reader = compressed::open(path)?;
    let mut bytes = Vec::new();
    const MOST: u64 = 1 << 30;
    let read = (&mut reader).take(MOST).read_to_end(&mut bytes);
    read.map_err(|e| reader.error(e, path.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    let mut out = Vec::new();
    let start = text.trim_start();
    if !start.starts_with(['{', '[']) {
        return Ok(text.lines().map(String::from).collect());
    }
    if let Ok(whole) = serde_json::from_str::<Value>(start) {
        collect(whole, fields, fields.is_empty(), &mut out);
        return Ok(out);
    }
    for (number, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let value: Value = serde_json::from_str(line).map_err(|e| {
            Error::input(format!("bad JSON: {e}")).at(format!("{}:{}", path.display(), number + 1))
        })?;
        collect(value, fields, fields.is_empty(), &mut out);
    }
    Ok(out)
}

/// serde_json bounds the depth to 128, and so this.
fn collect(value: Value, fields: &[String], wanted: bool, out: &mut Vec<String>) {
    match value {
        Value::String(text) if wanted => out.push(text),
        Value::Array(list) => list.into_iter().for_each(|v| collect(v, fields, wanted, out)),
        Value::Object(map) => {
            for (key, v) in map {
                collect(v, fields, wanted || fields.contains(&key), out);
            }
        }
        _ => {}
    }
}

const BASE: u64 = 0x9E37_79B9_7F4A_7C15;

/// The n-grams of all sets.
struct Index {
    section: Decontaminate,
    grams: HashMap<u64, u32, Fast>,
    /// Lengths of n-grams that there are.
    lengths: Vec<usize>,
    items: Vec<usize>,
    /// Questions too short to be looked for.
    short: Vec<usize>,
}

/// Words, with two ideographs for one, as hashes; where each begins in the normalised text.
fn units_of(normal: &str) -> Vec<(u64, f64)> {
    let words = script::words(normal).into_iter();
    words
        .map(|w| {
            let weight = if w.starts_with(script::is_ideograph) { 0.5 } else { 1.0 };
            (grams::hash(w), weight)
        })
        .collect()
}

impl Index {
    fn add(&mut self, text: &str, set: u32) {
        let words = units_of(&script::normal(text));
        let weight: f64 = words.iter().map(|w| w.1).sum();
        if weight < self.section.min_words as f64 {
            self.short[set as usize] += 1;
            return;
        }
        self.items[set as usize] += 1;
        // As many as weigh `words`: the same number for Chinese all along, and for English.
        let ideographs = words.iter().filter(|w| w.1 < 1.0).count();
        let unit = if 2 * ideographs > words.len() { 2 } else { 1 };
        let length = (self.section.words * unit).min(words.len());
        if !self.lengths.contains(&length) {
            self.lengths.push(length);
        }
        let hashes: Vec<u64> = words.iter().map(|w| w.0).collect();
        roll(&hashes, length, |gram, _| {
            self.grams.entry(gram).or_insert(set);
            false
        });
    }
}

/// The hash of each n-gram and its place, until the callback says stop.
fn roll(words: &[u64], n: usize, mut each: impl FnMut(u64, usize) -> bool) {
    let power = (0..n).fold(1u64, |p, _| p.wrapping_mul(BASE));
    let mut hash = 0u64;
    for (at, word) in words.iter().enumerate() {
        hash = hash.wrapping_mul(BASE).wrapping_add(*word);
        if at >= n {
            hash = hash.wrapping_sub(words[at - n].wrapping_mul(power));
        }
        if at + 1 >= n && each(splitmix64(hash ^ (n as u64) << 56), at + 1 - n) {
            return;
        }
    }
}

impl Step for Index {
    fn apply(&self, text: &str) -> Outcome {
        let normal = script::normal(text);
        let words = script::words(&normal);
        let hashes: Vec<u64> = words.iter().map(|w| grams::hash(w)).collect();
        for &n in &self.lengths {
            let mut hit = None;
            roll(&hashes, n, |gram, at| {
                if let Some(&set) = self.grams.get(&gram) {
                    hit = Some((set, at));
                }
                hit.is_some()
            });
            if let Some((set, at)) = hit {
                let chinese = words[at].starts_with(script::is_ideograph);
                let what = words[at..at + n].join(if chinese { "" } else { " " });
                let with = self.section.sets[set as usize].name.clone();
                return Outcome::Hit { reason: "in an evaluation set", with, what };
            }
        }
        Outcome::Keep
    }

    fn parameters(&self) -> Value {
        parameters(&self.section)
    }

    fn notes(&self) -> Value {
        let sets = self.section.sets.iter().zip(self.items.iter().zip(&self.short));
        let sets: Vec<Value> = sets
            .map(|(s, (n, short))| {
                serde_json::json!({ "name": s.name, "looked_for": n, "too_short": short })
            })
            .collect();
        serde_json::json!({ "sets": sets, "ngrams": self.grams.len() })
    }
}
