//! Rated texts.

use std::{collections::BTreeMap, io::Write, path::Path};

use athanor_data::{Expression, Template, hash64};
use athanor_store::{Error, Recipe, Result, write_atomic_with};
use athanor_text::{ChatTemplate, Tokenizer, encode_chat};
use serde_json::{Value, json};

use crate::section::RewardSection;

/// What a text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Split {
    Train,
    /// Chooses the best weights.
    Validation,
    /// Measures them.
    Heldout,
}

impl Split {
    fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Heldout => "heldout",
        }
    }
}

/// A text that people rated.
pub(crate) struct Text {
    pub id: String,
    /// Number of its group.
    pub group: usize,
    /// What was rated, without the request.
    pub answer: String,
    /// Request and answer as the model reads them.
    pub tokens: Vec<u32>,
    pub split: Split,
    /// Mean rating.
    pub mean: f64,
    /// Variance among the raters.
    pub variance: f64,
    /// Variance of the mean: that of the raters over their number.
    pub error: f64,
}

/// All texts and the names of their groups.
pub(crate) struct Texts {
    pub all: Vec<Text>,
    pub groups: Vec<String>,
}

impl Texts {
    pub fn read(
        section: &RewardSection,
        recipe: &Recipe,
        tokenizer: &Tokenizer,
        template: &ChatTemplate,
        limit: usize,
    ) -> Result<Self> {
        let mut all = Vec::new();
        let mut groups: Vec<String> = Vec::new();
        for source in &section.data {
            let ratings = Expression::new(&source.ratings)?;
            let group = Template::new(&source.group)?;
            let title = source.dialogue.title();
            for (i, d) in source
                .dialogue
                .read(recipe, section.heldout_per_thousand as u32)?
                .into_iter()
                .enumerate()
            {
                let at = |e: Error| e.at(&d.place);
                let (mean, variance, raters) =
                    statistics(&source.ratings, &ratings.value(&d.record).map_err(at)?)
                        .map_err(at)?;
                let name =
                    format!("{title} {}", group.render(&d.record).map_err(at)?).trim().to_owned();
                let group = groups.iter().position(|g| *g == name).unwrap_or_else(|| {
                    groups.push(name);
                    groups.len() - 1
                });
                let tokens: Vec<u32> = encode_chat(tokenizer, template, &d.messages)?
                    .into_iter()
                    .map(|(t, _)| t)
                    .collect();
                if tokens.is_empty() || tokens.len() > limit {
                    continue;
                }
                let id = d
                    .record
                    .0
                    .get("id")
                    .and_then(Value::as_str)
                    .map_or(format!("{title}-{i}"), str::to_owned);
                let answer = d.messages.last().map_or(String::new(), |m| m.content.clone());
                // The thousandths next to the held-out ones, by the same hash.
                let place = hash64(answer.trim().as_bytes()) % 1000;
                let first = section.heldout_per_thousand as u64;
                let validation = first..first + section.validation_per_thousand as u64;
                let split = if d.heldout {
                    Split::Heldout
                } else if validation.contains(&place) {
                    Split::Validation
                } else {
                    Split::Train
                };
                let error = variance / raters;
                all.push(Text { id, group, answer, tokens, split, mean, variance, error });
            }
        }
        let texts = Self { all, groups };
        for (split, what) in [(Split::Train, "to learn from"), (Split::Heldout, "held out")] {
            if texts.indices(split).values().all(|v| v.len() < 2) {
                return Err(Error::input(format!(
                    "there are no two rated texts of one group {what}"
                ))
                .at("reward.data")
                .hint("add data, or change reward.heldout_per_thousand"));
            }
        }
        Ok(texts)
    }

    /// Places of a split's texts by group.
    pub fn indices(&self, split: Split) -> BTreeMap<usize, Vec<usize>> {
        let mut by_group: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (i, text) in self.all.iter().enumerate().filter(|(_, t)| t.split == split) {
            by_group.entry(text.group).or_default().push(i);
        }
        by_group
    }

    /// Writes texts.jsonl, so that others can measure themselves on the same split.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_atomic_with(path, |w: &mut dyn Write| {
            for t in &self.all {
                let line = json!({
                    "id": t.id,
                    "split": t.split.name(),
                    "group": self.groups[t.group],
                    "text": t.answer,
                    "mean": t.mean,
                    "error": t.error,
                });
                writeln!(w, "{line}").map_err(|e| Error::io("write", path, e))?;
            }
            Ok(())
        })
    }
}

/// Mean of the ratings, their variance and their number.
fn statistics(source: &str, ratings: &Value) -> Result<(f64, f64, f64)> {
    let wrong = || {
        let found: String = ratings.to_string().chars().take(60).collect();
        Error::input(format!(
            "`{source}` gives {found}, a list of at least two numbers was expected"
        ))
        .hint("reward.data.ratings is an expression over a record's fields: one number for each rater")
    };
    let list: Vec<f64> = ratings
        .as_array()
        .ok_or_else(wrong)?
        .iter()
        .map(|v| v.as_f64().filter(|x| x.is_finite()).ok_or_else(wrong))
        .collect::<Result<_>>()?;
    if list.len() < 2 {
        return Err(wrong());
    }
    let n = list.len() as f64;
    let mean = list.iter().sum::<f64>() / n;
    let variance = list.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    Ok((mean, variance, n))
}
