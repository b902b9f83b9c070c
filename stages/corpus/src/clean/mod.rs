//! From the sources through the steps to the documents that are kept.
//!
//! The input is cut into units ([`crate::inputs`]); each streams through the steps in batches, up to a step
//! that has to see all documents ([`crate::steps::Whole`]). That ends a phase: what came so far waits in a
//! file for each unit, the step looks at all of them, and the next phase begins with what it leaves.
//! Everything between is kept under the hash of what it is made from ([`crate::cache`]).

mod applied;
mod compare;
mod first;
pub(crate) mod kept;
mod later;

use std::sync::OnceLock;

use athanor_store::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Account, CorpusSection, Example, SourceAccount, StepAccount,
    cache::{self, Cache},
    clean::{applied::Applied, kept::Kept},
    inputs::{Unit, Units},
    steps::{self, Preparation, Step},
};

/// Text cleaned at once, in bytes and documents.
const BATCH_BYTES: usize = 8 << 20;
const BATCH_DOCUMENTS: usize = 8192;
/// Kept documents of each source in the account.
const KEPT_EXAMPLES: usize = 3;

/// What a phase made of a unit.
#[derive(Serialize, Deserialize)]
struct Part {
    /// What was read; of the first phase only.
    source: Option<SourceAccount>,
    steps: Vec<StepAccount>,
    documents: u64,
    bytes: u64,
    heldout_documents: u64,
    examples: Vec<Example>,
}

/// A step of the recipe.
struct Entry {
    name: String,
    raw: Box<dyn Step>,
    /// Made when it is first needed: it may have to learn.
    prepared: OnceLock<Option<Box<dyn Step>>>,
    /// By source: whether its documents pass by.
    passed_by: Vec<bool>,
    /// What decides what it does.
    key: Value,
}

/// Reads all sources and cleans their documents.
pub(crate) fn clean(
    cache: &Cache,
    section: &CorpusSection,
    units: &Units,
    files: &[(String, String)],
) -> Result<(Account, Vec<Kept>)> {
    let phases = phases(section, units, files)?;
    let cleaner = Cleaner {
        cache,
        section,
        units: &units.units,
        names: section.sources.iter().map(|s| s.name.as_str()).collect(),
    };
    let mut account = Account {
        sources: section.sources.iter().map(SourceAccount::new).collect(),
        ..Account::default()
    };
    for (source, fetched) in account.sources.iter_mut().zip(&units.fetched) {
        source.fetched = fetched.clone();
    }
    let mut keys: Vec<Vec<String>> = Vec::new();
    for phase in &phases {
        keys.push(match keys.last() {
            None => cleaner.first_keys(phase),
            Some(before) => Cleaner::later_keys(phase, before),
        });
    }
    // Of what was made before, the last phase that is whole; what came before it may be gone.
    let last = phases.len() - 1;
    let whole = |keys: &Vec<String>| {
        keys.iter().all(|k| cache.is_done(k) && cache.path(k, "docs").exists())
    };
    let done =
        (0..=last).rev().find(|&n| whole(&keys[n]) && cleaner.has_accounts(&phases, &keys, n));
    for (number, phase) in phases.iter().enumerate() {
        let next = &keys[number];
        if done.is_none_or(|done| number > done) {
            cleaner.forget_halves(next);
            match number {
                0 => cleaner.first(phase, next)?,
                _ => cleaner.later(phase, &keys[number - 1], next)?,
            }
        }
        let notes: Value = match number {
            0 => Value::Null,
            _ => cache.read(&Cleaner::marks_key(phase, &keys[number - 1]))?,
        };
        cleaner.enter(&mut account, next, notes, number == last)?;
        if number > 0 {
            cleaner.forget(&keys[number - 1]);
        }
    }
    Example::order_kept(&mut account.kept_examples);
    balance(&account)?;
    let kept = units.units.iter().zip(keys.remove(last)).map(|(unit, key)| Kept {
        source: unit.source,
        path: cache.path(&key, "docs"),
        key,
    });
    Ok((account, kept.collect()))
}

/// The steps of the recipe in phases: each ends before a step that must see everything.
fn phases(
    section: &CorpusSection,
    units: &Units,
    files: &[(String, String)],
) -> Result<Vec<Vec<Entry>>> {
    let mut entries = Vec::new();
    for name in &section.steps {
        let raw = steps::STEPS.find(name)?.step(&section.settings);
        let passed_by: Vec<bool> =
            section.sources.iter().map(|s| s.skip_steps.iter().any(|n| n == name)).collect();
        let learns: Vec<&String> = raw
            .learns_from()
            .iter()
            .filter_map(|n| section.sources.iter().position(|s| s.name == *n))
            .map(|n| &units.sources[n])
            .collect();
        // The files' hashes: "STEP.NUMBER".
        let files: Vec<&String> = files
            .iter()
            .filter(|(n, _)| n.rsplit_once('.').is_some_and(|(n, _)| n == name))
            .map(|(_, hash)| hash)
            .collect();
        let key = json!([name, raw.parameters(), passed_by, learns, files]);
        entries.push(Entry { name: name.clone(), raw, prepared: OnceLock::new(), passed_by, key });
    }
    let mut phases: Vec<Vec<Entry>> = vec![Vec::new()];
    for entry in entries {
        if entry.raw.whole().is_some() {
            phases.push(Vec::new());
        }
        if let Some(last) = phases.last_mut() {
            last.push(entry);
        }
    }
    Ok(phases)
}

struct Cleaner<'a> {
    cache: &'a Cache<'a>,
    section: &'a CorpusSection,
    units: &'a [Unit],
    names: Vec<&'a str>,
}

impl Entry {
    /// The step, ready to judge.
    fn ready(&self, cleaner: &Cleaner) -> Result<&dyn Step> {
        if self.prepared.get().is_none() {
            let run = cleaner.cache.run;
            let preparation = Preparation {
                recipe: &run.recipe,
                console: run.console.clone(),
                interrupt: run.interrupt.clone(),
                sources: &cleaner.section.sources,
            };
            let place = |e: Error| e.at(format!("step {:?}", self.name));
            let step = self.raw.prepare(&preparation).map_err(place)?;
            // Who came first has set the same.
            let _ = self.prepared.set(step);
        }
        let prepared = self.prepared.get().and_then(|p| p.as_deref());
        Ok(prepared.unwrap_or(self.raw.as_ref()))
    }
}

impl Cleaner<'_> {
    /// Enters what a phase made of the units into the account; the last one also counts what is kept.
    fn enter(
        &self,
        account: &mut Account,
        keys: &[String],
        notes: Value,
        last: bool,
    ) -> Result<()> {
        let mut merged: Vec<StepAccount> = Vec::new();
        for (unit, key) in self.units.iter().zip(keys) {
            let part: Part = self.cache.read(key)?;
            let source = &mut account.sources[unit.source];
            if let Some(read) = part.source {
                source.merge(read);
            }
            if merged.is_empty() {
                merged = part.steps.iter().map(StepAccount::empty).collect();
            }
            for (own, step) in merged.iter_mut().zip(part.steps) {
                own.merge(step);
            }
            if last {
                source.kept_documents += part.documents;
                source.kept_bytes += part.bytes;
                source.heldout_documents += part.heldout_documents;
                for example in part.examples {
                    Example::keep_one(&mut account.kept_examples, KEPT_EXAMPLES, example);
                }
            }
        }
        merged.iter_mut().for_each(StepAccount::order_examples);
        if let Some(first) = merged.first_mut().filter(|_| !notes.is_null()) {
            first.notes = notes;
        }
        account.steps.extend(merged);
        Ok(())
    }

    fn stages<'a>(&self, entries: &'a [Entry]) -> Result<Vec<Applied<'a>>> {
        let ready = |e: &'a Entry| Ok(Applied::new(&e.name, e.ready(self)?, &e.passed_by));
        entries.iter().map(ready).collect()
    }

    /// What decides the first phase's results.
    fn first_keys(&self, phase: &[Entry]) -> Vec<String> {
        let steps: Vec<&Value> = phase.iter().map(|e| &e.key).collect();
        let per_thousand = self.section.heldout_per_thousand;
        self.units
            .iter()
            .map(|unit| {
                let source = &self.section.sources[unit.source];
                let mut parts = json!(["read", unit.key(source), per_thousand, steps]);
                // What it says next time is not known.
                if unit.is_stdin() {
                    let now = std::time::SystemTime::now();
                    parts = json!([parts, std::process::id(), format!("{now:?}")]);
                }
                cache::key(&parts)
            })
            .collect()
    }

    /// What decides a later phase's results.
    fn later_keys(phase: &[Entry], before: &[String]) -> Vec<String> {
        let whole = Self::whole_key(phase, before);
        let steps: Vec<&Value> = phase.iter().skip(1).map(|e| &e.key).collect();
        before.iter().map(|k| cache::key(&json!(["after", whole, k, steps]))).collect()
    }

    /// What decides what the documents have in common.
    fn whole_key(phase: &[Entry], before: &[String]) -> String {
        cache::key(&json!(["whole", phase.first().map(|e| &e.key), before]))
    }

    fn marks_key(phase: &[Entry], before: &[String]) -> String {
        cache::key(&json!(["marks", Self::whole_key(phase, before)]))
    }

    /// Whether the accounts up to a phase are there.
    fn has_accounts(&self, phases: &[Vec<Entry>], keys: &[Vec<String>], upto: usize) -> bool {
        (0..=upto).all(|n| {
            keys[n].iter().all(|k| self.cache.is_done(k))
                && (n == 0 || self.cache.is_done(&Self::marks_key(&phases[n], &keys[n - 1])))
        })
    }

    /// Accounts of documents that are gone do not count.
    fn forget_halves(&self, keys: &[String]) {
        for key in keys.iter().filter(|k| !self.cache.path(k, "docs").exists()) {
            if self.cache.run.task.is_none() {
                self.cache.forget(key, "json");
            }
        }
    }

    fn finish(&self, key: &str, part: Option<Part>, stages: Vec<Applied>) -> Result<()> {
        let part = part.ok_or_else(|| Error::failed("a unit gave no account"))?;
        let steps = stages.into_iter().map(|s| s.account).collect();
        self.cache.finish(key, &Part { steps, ..part })
    }

    /// Removes the documents of a phase whose successors are there, where nobody needs them any more.
    fn forget(&self, keys: &[String]) {
        if self.section.cache.is_none() && self.cache.run.task.is_none() {
            for key in keys {
                self.cache.forget(key, "docs");
            }
        }
    }
}

/// Documents and bytes from the sources through every step to what is kept.
fn balance(account: &Account) -> Result<()> {
    let mut flow: (u64, u64) =
        account.sources.iter().fold((0, 0), |(d, b), s| (d + s.documents, b + s.bytes));
    let kept =
        account.sources.iter().fold((0, 0), |(d, b), s| (d + s.kept_documents, b + s.kept_bytes));
    let mut whole = account.sources.iter().all(SourceAccount::balances);
    for step in &account.steps {
        step.balance()?;
        whole &= flow == (step.documents_in, step.bytes_in);
        flow = (step.documents_out, step.bytes_out);
    }
    if whole && flow == kept {
        return Ok(());
    }
    Err(Error::failed(format!("the corpus's account does not add up: {account:?}"))
        .hint("this is a bug: please report it with the recipe"))
}
