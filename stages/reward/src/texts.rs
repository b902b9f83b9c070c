//! Judged texts.

use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
    path::Path,
};

use athanor_data::{
    Shares, Split,
    preferences::{JudgedText, Judgement, preference},
};
use athanor_store::{Error, Recipe, Result, write_atomic_with};
use athanor_text::{ChatTemplate, Tokenizer, encode_chat};
use serde_json::json;

use crate::section::RewardSection;

/// A text that people judged.
pub(crate) struct Text {
    pub id: String,
    /// Number of the set within which it is compared.
    pub set: usize,
    /// Number of its group, for accounts.
    pub group: usize,
    /// What was judged, without the request.
    pub answer: String,
    /// Request and answer as the model reads them.
    pub tokens: Vec<u32>,
    pub split: Split,
    pub judgement: Judgement,
}

/// All texts and the names of their groups.
pub(crate) struct Texts {
    pub all: Vec<Text>,
    pub groups: Vec<String>,
    /// Texts that were left out: they have no tokens or more than the limit.
    pub left_out: usize,
}

impl Texts {
    pub fn read(
        section: &RewardSection,
        recipe: &Recipe,
        tokenizer: &Tokenizer,
        template: &ChatTemplate,
        limit: usize,
    ) -> Result<Self> {
        let (mut sets, mut groups) = (Names::default(), Names::default());
        let (mut all, mut left_out) = (Vec::new(), 0);
        let shares = Shares {
            heldout: section.heldout_per_thousand as u64,
            validation: section.validation_per_thousand as u64,
        };
        for source in &section.data {
            for judged in source.read(recipe, shares)? {
                let encoded = encode_chat(tokenizer, template, &judged.messages);
                let encoded = encoded.map_err(|e| e.at(&judged.place))?;
                let tokens: Vec<u32> = encoded.into_iter().map(|(t, _)| t).collect();
                let (set, group) = (sets.number(&judged.set), groups.number(&judged.group));
                if tokens.is_empty() || tokens.len() > limit {
                    left_out += 1;
                    continue;
                }
                let answer = judged.answer().to_owned();
                let JudgedText { id, split, judgement, .. } = judged;
                all.push(Text { id, set, group, answer, tokens, split, judgement });
            }
        }
        let texts = Self { all, groups: groups.all, left_out };
        for (split, what) in [(Split::Train, "to learn from"), (Split::Heldout, "held out")] {
            if texts.indices(split).values().all(|v| v.len() < 2) {
                return Err(Error::input(format!("there are no two texts to compare {what}"))
                    .at("reward.data")
                    .hint("add data, or change reward.heldout_per_thousand"));
            }
        }
        Ok(texts)
    }

    /// Probability that a person prefers the first text to the second.
    pub fn preference(&self, a: usize, b: usize) -> f64 {
        preference(&self.all[a].judgement, &self.all[b].judgement)
    }

    /// Places of a split's texts by set.
    pub fn indices(&self, split: Split) -> BTreeMap<usize, Vec<usize>> {
        let mut by_set: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (i, text) in self.all.iter().enumerate().filter(|(_, t)| t.split == split) {
            by_set.entry(text.set).or_default().push(i);
        }
        by_set
    }

    /// Writes texts.jsonl, so that others can measure themselves on the same split.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_atomic_with(path, |w: &mut dyn Write| {
            for t in &self.all {
                let mut line = json!({
                    "id": t.id,
                    "split": t.split,
                    "group": self.groups[t.group],
                    "text": t.answer,
                });
                if let Some(line) = line.as_object_mut() {
                    line.extend(t.judgement.fields());
                }
                writeln!(w, "{line}").map_err(|e| Error::io("write", path, e))?;
            }
            Ok(())
        })
    }
}

/// Names by the order in which they came.
#[derive(Default)]
struct Names {
    all: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Names {
    fn number(&mut self, name: &str) -> usize {
        *self.numbers.entry(name.to_owned()).or_insert_with(|| {
            self.all.push(name.to_owned());
            self.all.len() - 1
        })
    }
}
