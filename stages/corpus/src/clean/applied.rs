//! A cleaning step at work: what it decided is done, counted and shown.

use athanor_data::heldout;
use rayon::prelude::*;

use crate::{
    Document, Hit, StepAccount,
    account::HITS,
    steps::{Mark, Outcome, Step, Whole},
};

/// A step at work on a unit, with its account.
pub(crate) struct Applied<'a> {
    step: &'a dyn Step,
    pub(crate) account: StepAccount,
    /// By source: whether its documents pass by.
    passed_by: &'a [bool],
}

impl<'a> Applied<'a> {
    pub(crate) fn new(name: &str, step: &'a dyn Step, passed_by: &'a [bool]) -> Self {
        let account = StepAccount {
            name: name.into(),
            parameters: step.parameters(),
            notes: step.notes(),
            ..StepAccount::default()
        };
        Self { step, account, passed_by }
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
        self.act_on(batch, outcomes, names, per_thousand)
    }

    /// Documents through a step that has seen all of them: each with its marks.
    pub(crate) fn verdicts(
        &mut self,
        whole: &dyn Whole,
        batch: Vec<(Document, Vec<Mark>)>,
        names: &[&str],
        per_thousand: u32,
    ) -> Vec<Document> {
        let judge = |(d, marks): &(Document, Vec<Mark>)| match self.passed_by[d.source] {
            true => Outcome::Keep,
            false => whole.verdict(d, marks),
        };
        let outcomes: Vec<Outcome> = batch.par_iter().map(judge).collect();
        let batch = batch.into_iter().map(|(d, _)| d).collect();
        self.act_on(batch, outcomes, names, per_thousand)
    }

    fn act_on(
        &mut self,
        batch: Vec<Document>,
        outcomes: Vec<Outcome>,
        names: &[&str],
        per_thousand: u32,
    ) -> Vec<Document> {
        let mut out = Vec::with_capacity(batch.len());
        for (document, outcome) in batch.into_iter().zip(outcomes) {
            let source = names[document.source];
            self.account.came(source, &document);
            let from = out.len();
            self.act(document, outcome, source, per_thousand, &mut out);
            for document in &out[from..] {
                self.account.went(source, document);
            }
        }
        out
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
            Outcome::Keep => out.push(document),
            Outcome::Quality(quality) => out.push(Document { quality: Some(quality), ..document }),
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
            Outcome::Split(pieces) if pieces.is_empty() => account.drop(source, &document, "empty"),
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
