//! Entities marked word by word (B-PER, I-PER, O), counted as seqeval 1.2.2 does by default, which is as
//! CoNLL's script: an entity is right if its type, its first and its last word are. An I- that continues
//! nothing begins an entity.

use std::collections::{BTreeMap, BTreeSet};

/// Type, first and last word.
pub type Entity<'a> = (&'a str, usize, usize);

/// The entities of a sentence's labels.
pub fn entities<'a>(labels: &[&'a str]) -> Vec<Entity<'a>> {
    let mut found = Vec::new();
    let (mut before, mut kind_before, mut begin) = ('O', "_", 0);
    for (i, label) in labels.iter().copied().chain(["O"]).enumerate() {
        let mark = label.chars().next().unwrap_or('O');
        // seqeval: `chunk[1:].split('-', maxsplit=1)[-1] or '_'`.
        let rest = &label[mark.len_utf8().min(label.len())..];
        let kind = rest.split_once('-').map_or(rest, |(_, kind)| kind);
        let kind = if kind.is_empty() { "_" } else { kind };
        if ends(before, mark, kind_before, kind) {
            found.push((kind_before, begin, i - 1));
        }
        if starts(before, mark, kind_before, kind) {
            begin = i;
        }
        (before, kind_before) = (mark, kind);
    }
    found
}

fn ends(before: char, mark: char, kind_before: &str, kind: &str) -> bool {
    matches!(before, 'E' | 'S')
        || matches!((before, mark), ('B' | 'I', 'B' | 'S' | 'O'))
        || before != 'O' && before != '.' && kind_before != kind
}

fn starts(before: char, mark: char, kind_before: &str, kind: &str) -> bool {
    matches!(mark, 'B' | 'S')
        || matches!((before, mark), ('E' | 'S' | 'O', 'E' | 'I'))
        || mark != 'O' && mark != '.' && kind_before != kind
}

/// What was found of a kind of entity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EntityFigures {
    /// Predicted and right.
    pub hits: u64,
    /// Right.
    pub support: u64,
    /// Predicted.
    pub predicted: u64,
}

impl EntityFigures {
    /// Share of the predicted ones that are right.
    pub fn precision(&self) -> f64 {
        self.hits as f64 / self.predicted.max(1) as f64
    }

    /// Share of the right ones that were predicted.
    pub fn recall(&self) -> f64 {
        self.hits as f64 / self.support.max(1) as f64
    }

    /// Their harmonic mean.
    pub fn f1(&self) -> f64 {
        2.0 * self.hits as f64 / (self.support + self.predicted).max(1) as f64
    }
}

/// Entities of many sentences.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entities {
    /// By type.
    pub kinds: BTreeMap<String, EntityFigures>,
}

impl Entities {
    /// Counts a sentence.
    pub fn add(&mut self, right: &[&str], predicted: &[&str]) {
        let right: BTreeSet<Entity<'_>> = entities(right).into_iter().collect();
        let predicted: BTreeSet<Entity<'_>> = entities(predicted).into_iter().collect();
        for entity in &right {
            let kind = self.kinds.entry(entity.0.to_owned()).or_default();
            kind.support += 1;
            kind.hits += u64::from(predicted.contains(entity));
        }
        for entity in &predicted {
            self.kinds.entry(entity.0.to_owned()).or_default().predicted += 1;
        }
    }

    /// All types together: seqeval's `f1_score` and its kin (micro average).
    pub fn all(&self) -> EntityFigures {
        self.kinds.values().fold(EntityFigures::default(), |sum, k| EntityFigures {
            hits: sum.hits + k.hits,
            support: sum.support + k.support,
            predicted: sum.predicted + k.predicted,
        })
    }
}
