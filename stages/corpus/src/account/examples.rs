//! Some of the documents that were dropped, changed or kept: fair samples, whatever order they came in.

use athanor_data::splitmix64;
use serde::{Deserialize, Serialize};

use super::StepAccount;
use crate::{Document, steps::grams};

/// Examples for each step and reason.
pub(super) const EXAMPLES: usize = 3;
/// Characters of an example.
const EXAMPLE_CHARACTERS: usize = 300;

/// A document, cut.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Example {
    /// Why it was dropped; "changed", "split" or "kept".
    pub reason: String,
    /// Its source's name.
    pub source: String,
    /// Its name there.
    pub id: String,
    /// Its beginning; of a changed one, from shortly before the first change.
    pub text: String,
    /// The same place after the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Its place in an order by chance.
    #[serde(skip)]
    rank: u64,
}

impl Example {
    pub(crate) fn new(
        source: &str,
        document: &Document,
        reason: &str,
        after: Option<&str>,
    ) -> Self {
        let same = after.map_or(0, |after| {
            let pairs = document.text.chars().zip(after.chars());
            pairs.take_while(|(a, b)| a == b).count().saturating_sub(20)
        });
        let cut = |t: &str| t.chars().skip(same).take(EXAMPLE_CHARACTERS).collect::<String>();
        Self {
            reason: reason.into(),
            source: source.into(),
            id: document.id.clone(),
            text: cut(&document.text),
            after: after.map(cut),
            rank: 0,
        }
    }

    /// Adds a kept document to a fair sample of its source's, of `most` of them.
    pub(crate) fn keep(examples: &mut Vec<Self>, most: usize, source: &str, document: &Document) {
        let rank = rank("", "kept", source, &document.id);
        let same = |e: &Self| e.source == source;
        offer(examples, most, same, rank, || Self::new(source, document, "kept", None));
    }

    /// The same for one that a part of the input has kept.
    pub(crate) fn keep_one(examples: &mut Vec<Self>, most: usize, example: Self) {
        let (rank, source) =
            (rank("", "kept", &example.source, &example.id), example.source.clone());
        offer(examples, most, |e| e.source == source, rank, || example);
    }

    /// Puts kept ones in order, which stand source by source: one of each source, then the next of each.
    pub(crate) fn order_kept(examples: &mut Vec<Self>) {
        for own in examples.chunk_by_mut(|a, b| a.source == b.source) {
            own.sort_by_key(|e| e.rank);
        }
        take_turns(examples, |e| &e.source);
    }
}

impl StepAccount {
    /// Puts the examples in order: one of each reason, then the next of each.
    pub(crate) fn order_examples(&mut self) {
        self.examples.sort_by(|a, b| (&a.reason, a.rank).cmp(&(&b.reason, b.rank)));
        take_turns(&mut self.examples, |e| &e.reason);
    }
}

/// Examples that stand in groups: the first of each group, then the second of each, and so on.
fn take_turns(examples: &mut Vec<Example>, group: impl Fn(&Example) -> &str) {
    let mut turns: Vec<usize> = Vec::with_capacity(examples.len());
    for (n, example) in examples.iter().enumerate() {
        let goes_on = n > 0 && group(&examples[n - 1]) == group(example);
        turns.push(if goes_on { turns[n - 1] + 1 } else { 0 });
    }
    let mut all: Vec<_> = turns.into_iter().zip(std::mem::take(examples)).collect();
    all.sort_by_key(|(turn, _)| *turn);
    examples.extend(all.into_iter().map(|(_, e)| e));
}

/// A document's place in an order by chance: its own for each step and reason, and always the same.
pub(super) fn rank(step: &str, reason: &str, source: &str, id: &str) -> u64 {
    [step, reason, source, id].iter().fold(0, |h, part| splitmix64(h ^ grams::hash(part)))
}

/// A fair sample of the examples that are the `same`: those `most` that have the lowest ranks. So every document is as
/// likely to be shown as any other, however many its source has before it, and the samples of parts give that
/// of the whole (Cohen 1997, "Size-estimation framework": bottom-k).
pub(super) fn offer(
    examples: &mut Vec<Example>,
    most: usize,
    same: impl Fn(&Example) -> bool,
    rank: u64,
    make: impl FnOnce() -> Example,
) {
    let (mut have, mut last) = (0, None::<usize>);
    for (n, example) in examples.iter().enumerate().filter(|(_, e)| same(e)) {
        have += 1;
        if last.is_none_or(|last| examples[last].rank < example.rank) {
            last = Some(n);
        }
    }
    if have < most {
        examples.push(Example { rank, ..make() });
    } else if let Some(last) = last.filter(|&last| rank < examples[last].rank) {
        examples[last] = Example { rank, ..make() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A large source and a small one: each document is as likely to be an example, and parts give the whole.
    #[test]
    fn examples_are_a_fair_sample() {
        let document = |n: usize| Document { id: format!("d{n}"), ..Document::default() };
        let source = |n: usize| if n < 900 { "large" } else { "small" };
        let mut small = 0;
        for round in 0..400 {
            let account =
                || StepAccount { name: format!("step {round}"), ..StepAccount::default() };
            let mut whole = account();
            let mut parts = [account(), account(), account()];
            for n in 0..1000 {
                whole.drop(source(n), &document(n), "tail");
                parts[n / 400].drop(source(n), &document(n), "tail");
            }
            let mut merged = account();
            for part in parts {
                // As they come back from the disk.
                merged.merge(serde_json::from_value(serde_json::to_value(part).unwrap()).unwrap());
            }
            whole.order_examples();
            merged.order_examples();
            let ids = |a: &StepAccount| a.examples.iter().map(|e| e.id.clone()).collect::<Vec<_>>();
            assert_eq!(ids(&whole), ids(&merged));
            assert_eq!(whole.examples.len(), EXAMPLES);
            small += whole.examples.iter().filter(|e| e.source == "small").count();
        }
        // A tenth of 1,200; the standard deviation is 10.
        assert!((80..160).contains(&small), "{small}");
    }

    #[test]
    fn one_example_of_each_reason_comes_first() {
        let mut account = StepAccount::default();
        for n in 0..20 {
            let document = Document { id: format!("d{n}"), ..Document::default() };
            account.drop("s", &document, ["a", "b", "c"][n % 3]);
        }
        account.order_examples();
        let reasons: String = account.examples.iter().map(|e| e.reason.as_str()).collect();
        assert_eq!(reasons, "abcabcabc");
    }
}
