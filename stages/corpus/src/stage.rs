//! A cleaning step at work: what it decided is done, counted and shown.

use std::collections::{HashMap, HashSet};

use athanor_data::heldout;
use rayon::prelude::*;

use crate::{
    Document, Hit, SourceSection, StepAccount,
    steps::{Outcome, Pieces, Step, Verdict},
};

/// Hits that the account lists; all are counted.
const HITS: usize = 1000;

/// A step with its account and what it has seen.
///
/// In memory: 16 bytes for every document that `duplicates` has seen, 12 for every line that `lines`
/// has seen, times what a hash table needs (about two).
pub(crate) struct Stage {
    pub(crate) step: Box<dyn Step>,
    pub(crate) account: StepAccount,
    /// By source: whether its documents pass by.
    passed_by: Vec<bool>,
    seen: HashSet<[u8; 16]>,
    pieces: HashMap<u64, u32>,
}

impl Stage {
    pub(crate) fn new(name: &str, step: Box<dyn Step>, sources: &[SourceSection]) -> Self {
        let parameters = step.parameters();
        let account = StepAccount { name: name.into(), parameters, ..StepAccount::default() };
        let passed_by = sources.iter().map(|s| s.skip_steps.iter().any(|n| n == name)).collect();
        Self { step, account, passed_by, seen: HashSet::new(), pieces: HashMap::new() }
    }

    /// Documents through the step.
    pub(crate) fn pass(
        &mut self,
        batch: Vec<Document>,
        names: &[&str],
        per_thousand: u32,
    ) -> Vec<Document> {
        let judge = |d: &Document| match self.passed_by[d.source] {
            true => Outcome::Keep,
            false => self.step.judge(d),
        };
        let outcomes: Vec<Outcome> = batch.par_iter().map(judge).collect();
        let mut out = Vec::with_capacity(batch.len());
        for (document, outcome) in batch.into_iter().zip(outcomes) {
            let source = names[document.source];
            self.account.came(source, &document);
            let outcome = self.remember(&document, outcome);
            let from = out.len();
            self.act(document, outcome, source, per_thousand, &mut out);
            for document in &out[from..] {
                self.account.went(source, document);
            }
        }
        out
    }

    /// A document through a step that has seen all of them.
    pub(crate) fn verdict(
        &mut self,
        document: Document,
        verdict: Verdict,
        names: &[&str],
    ) -> Option<Document> {
        let source = names[document.source];
        self.account.came(source, &document);
        let document = match verdict {
            _ if self.passed_by[document.source] => document,
            Verdict::Keep => document,
            Verdict::Drop(reason, _) => {
                self.account.drop(source, &document, reason);
                return None;
            }
            Verdict::Cut(ranges) => {
                let mut text = String::with_capacity(document.text.len());
                let mut from = 0;
                for range in ranges {
                    text.push_str(&document.text[from..range.start]);
                    from = range.end;
                }
                text.push_str(&document.text[from..]);
                if text.trim().is_empty() {
                    self.account.drop(source, &document, "nothing of its own");
                    return None;
                }
                self.account.change(source, &document, &text);
                Document { text, ..document }
            }
        };
        self.account.went(source, &document);
        Some(document)
    }

    /// Decides what depends on the documents before.
    fn remember(&mut self, document: &Document, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Once(key, reason) => {
                let mut short = [0; 16];
                short.copy_from_slice(&key[..16]);
                if self.seen.insert(short) { Outcome::Keep } else { Outcome::Drop(reason) }
            }
            Outcome::Pieces(Pieces { pieces, copies, min_characters }) => {
                let mut text = String::with_capacity(document.text.len());
                let (mut from, mut removed) = (0, 0);
                for (range, key) in pieces {
                    let seen = self.pieces.entry(key).or_default();
                    *seen = seen.saturating_add(1);
                    if *seen > copies {
                        text.push_str(&document.text[from..range.start]);
                        from = range.end;
                        removed += 1;
                    }
                }
                if removed == 0 {
                    return Outcome::Keep;
                }
                text.push_str(&document.text[from..]);
                let text = text.trim_matches('\n').to_string();
                if text.chars().filter(|c| !c.is_whitespace()).count() < min_characters {
                    return Outcome::Drop("little but lines that came before");
                }
                Outcome::Edit(text, vec![("lines removed", removed)])
            }
            Outcome::Split(pieces) if pieces.is_empty() => Outcome::Drop("empty"),
            other => other,
        }
    }

    fn act(
        &mut self,
        document: Document,
        outcome: Outcome,
        source: &str,
        per_thousand: u32,
        out: &mut Vec<Document>,
    ) {
        let account = &mut self.account;
        match outcome {
            Outcome::Keep | Outcome::Once(..) | Outcome::Pieces(_) => out.push(document),
            Outcome::Language(language) => out.push(Document { language, ..document }),
            Outcome::Change(text) => {
                account.change(source, &document, &text);
                out.push(Document { text, ..document });
            }
            Outcome::Edit(text, counts) => {
                for (what, n) in counts {
                    *account.counters.entry(what.into()).or_default() += n;
                }
                if text != document.text {
                    account.change(source, &document, &text);
                }
                out.push(Document { text, ..document });
            }
            Outcome::Split(pieces) => {
                account.example(source, &document, "split", None);
                account.changed += 1;
                account.documents_added += pieces.len() as u64 - 1;
                account.bytes_removed += document.text.len() as i64;
                for (n, text) in pieces.into_iter().enumerate() {
                    account.bytes_removed -= text.len() as i64;
                    let heldout = heldout(&text, per_thousand);
                    let id = format!("{}#{}", document.id, n + 1);
                    out.push(Document { id, text, heldout, url: document.url.clone(), ..document });
                }
            }
            Outcome::Drop(reason) => account.drop(source, &document, reason),
            Outcome::Hit { reason, with, what } => {
                account.drop(source, &document, reason);
                *account.counters.entry(format!("{reason}: {with}")).or_default() += 1;
                if account.hits.len() < HITS {
                    account.hits.push(Hit { with, what, source: source.into(), id: document.id });
                }
            }
        }
    }
}
