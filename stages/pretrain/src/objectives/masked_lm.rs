//! Masked language modelling: Devlin et al. 2019, "BERT: Pre-training of deep bidirectional
//! Transformers for language understanding", section 3.1: -ln p(token | the row with it hidden) as a
//! mean over the targets; with segment pairs also -ln p(whether the second follows the first) as a
//! mean over rows, and the loss is the sum of both.
//!
//! RoBERTa (Liu et al. 2019) is this with `input = "full_sentences"` and dynamic masks, SpanBERT's
//! masks (Joshi et al. 2020) are `masking.unit = "span"`, ALBERT's sentence order (Lan et al. 2020) is
//! `pairs = "sentence_order"`. SpanBERT's span boundary objective is not built.

use athanor_models::{Dropout, Head, Model, Pass};
use athanor_store::{
    Check, OwnKeys, Problem, Result,
    figures::{ACCURACY, LOSS, Logged, PAIRS_ACCURACY, PAIRS_LOSS, PAIRS_MAJORITY, PERPLEXITY},
    section,
};
use athanor_tensor::{Graph, Var, ops};
use athanor_training::{Figures, Forward, Loss, MicroBatch, Task, Trainer, fit};
use serde_json::Value;

use super::{Context, Objective, Outcome, Settings, steps_of};
use crate::{
    masked::{Layout, MaskedBatch, MaskedRows, MaskingSection, argmax, ids, layout},
    ngrams::{GUESSES, Ngrams, Score, mean_scores},
};

/// The objective's line in the registry.
pub(super) const OBJECTIVE: Objective = Objective {
    name: "masked_lm",
    about: "hidden tokens; BERT, RoBERTa",
    keys: Some(OwnKeys::of::<MaskedLmSection>()),
    logged: Logged {
        train: &[&MASKED_LOSS, &PAIRS_LOSS],
        eval: &[&PERPLEXITY, &ACCURACY, &PAIRS_LOSS, &PAIRS_ACCURACY, &PAIRS_MAJORITY],
        eval_also: GUESSES,
    },
    head,
    config: |_, _| (),
    guest: |_, _, _| Ok(None),
    steps: |m, model, seed| Ok(steps_of(task(m, model, seed)?)),
    train,
};

athanor_store::figures! {
    /// Loss of the hidden tokens of a training step, without that of the segment pairs.
    MASKED_LOSS = "masked_loss", "loss of hidden tokens", "nats", Lower;
}

section! {
    /// Masked language modelling. The defaults are BERT's.
    pub struct MaskedLmSection {
        /// Rows: segment_pairs (BERT), full_sentences (RoBERTa) or doc_sentences (the same, but no row
        /// goes over the end of a document).
        input: String = "segment_pairs".into(),
        /// What is asked of a segment pair: next_sentence (BERT) or sentence_order (ALBERT).
        pairs: String = "next_sentence".into(),
        /// Share of segment pairs with a length drawn at random.
        short_share: f64 = 0.1,
        /// What is hidden.
        masking: MaskingSection = MaskingSection::default(),
    }
}

impl Check for MaskedLmSection {
    fn check(&self) -> Result<(), Problem> {
        let inputs = ["segment_pairs", "full_sentences", "doc_sentences"];
        Problem::unless_one_of("input", &self.input, &inputs)?;
        Problem::unless_one_of("pairs", &self.pairs, &["next_sentence", "sentence_order"])?;
        Problem::unless((0.0..=1.0).contains(&self.short_share), "short_share", "must be 0 to 1")
    }
}

fn section_layout(section: &Settings<'_>) -> Layout {
    let keys: MaskedLmSection = section.objective.own();
    layout(&keys.input, &keys.pairs)
}

fn head(section: &Settings<'_>) -> Head {
    match section_layout(section) {
        Layout::Pairs(_) => Head::PRETRAINING,
        Layout::Sentences { .. } => Head::MASKED_LM,
    }
}

struct MaskedLm<'m> {
    rows: MaskedRows,
    context: &'m Context<'m>,
    baseline: Option<Figures>,
}

fn task<'a>(m: &'a Context<'a>, model: &Model, seed: u64) -> Result<MaskedLm<'a>> {
    let section: MaskedLmSection = m.section.objective.own();
    let layout = section_layout(&m.section);
    let rows = MaskedRows::new(m, model, layout, section.short_share, &section.masking, seed)?;
    Ok(MaskedLm { rows, context: m, baseline: None })
}

fn train(trainer: &mut Trainer<'_>, m: &Context<'_>) -> Result<Outcome> {
    let mut task = task(m, &trainer.model, trainer.context.run.seed)?;
    let figures = fit(trainer, &mut task)?;
    let masking = task.rows.statistics(trainer.steps());
    Ok(Outcome::hidden(figures, masking, task.baseline.take()))
}

/// How well counts guess the targets, by name: loss and accuracy of each kind.
pub(crate) fn guesses(ngrams: &Ngrams, batches: &[MaskedBatch], hidden: u32) -> Figures {
    let mut sums = [Score::default(); 3];
    let mut count = 0;
    for batch in batches {
        for (&place, &target) in batch.places.iter().zip(&batch.targets) {
            let (row, at) = (place as usize / batch.time, place as usize % batch.time);
            let seen = |at: Option<usize>| {
                let at = at.filter(|&at| at < batch.time)?;
                let id = batch.ids[row * batch.time + at] as u32;
                (id != hidden).then_some(id)
            };
            let scores = ngrams.guess(target as u32, seen(at.checked_sub(1)), seen(Some(at + 1)));
            for (sum, score) in sums.iter_mut().zip(scores) {
                sum.nats += score.nats;
                sum.right += score.right;
            }
            count += 1;
        }
    }
    let n = f64::from(count.max(1));
    mean_scores(&sums, n)
}

impl MaskedLm<'_> {
    /// Loss over the targets, divided by `total`; log-probabilities; the hidden states.
    fn tokens(
        model: &Model,
        graph: &Graph<'_>,
        batch: &MaskedBatch,
        total: f64,
        dropout: Option<Dropout>,
    ) -> (Var, Var, Var) {
        let input = batch.input(model, batch.ids.clone());
        let pass = Pass::new(graph, &input).with_dropout(dropout);
        let hidden = model.hidden(&mut pass.skip_padding());
        let rows = model.rows(&hidden, batch.places.clone());
        let targets = ids(model.device(), &batch.targets);
        let weights = vec![(1.0 / total) as f32; batch.targets.len()];
        let (loss, _) = model.token_loss(graph, &rows, &targets, &weights);
        (loss, rows, hidden)
    }

    /// Loss over the pairs, divided by `rows`; the pairs' hidden states.
    fn pairs(
        model: &Model,
        graph: &Graph<'_>,
        batch: &MaskedBatch,
        hidden: &Var,
        rows: usize,
    ) -> Option<(Var, Var)> {
        if batch.labels.len() != batch.rows {
            return None;
        }
        let picked = model.pick(1, hidden, &batch.ids);
        let labels = ids(model.device(), &batch.labels);
        let weights = vec![1.0 / rows as f32; batch.rows];
        let (loss, _) = model.dropped_loss(graph, 1, &picked, &labels, &weights, &mut |x| x);
        Some((loss, picked))
    }
}

impl Task for MaskedLm<'_> {
    type Batch = MaskedBatch;

    fn batches(&mut self, step: u64) -> Result<Vec<MicroBatch<MaskedBatch>>> {
        let batches = self.rows.batches(step).into_iter();
        Ok(batches
            .map(|batch| {
                let (weight, tokens) = (batch.targets.len() as f64, batch.tokens());
                MicroBatch { batch, weight, tokens }
            })
            .collect())
    }

    fn loss(&self, forward: Forward<'_>, batch: &MaskedBatch, total: f64) -> Result<Loss> {
        let Forward { model, graph, dropout } = forward;
        let (tokens, _, hidden) = Self::tokens(model, graph, batch, total, dropout);
        let mut figures = vec![(MASKED_LOSS.name, f64::from(tokens.value().item()))];
        let mut loss = tokens;
        if let Some((pairs, _)) = Self::pairs(model, graph, batch, &hidden, batch.rows_of_step) {
            figures.push(("pairs_loss", f64::from(pairs.value().item())));
            loss = ops::add(&loss, &pairs);
        }
        Ok(Loss { loss, figures })
    }

    fn evaluate(&mut self, model: &Model) -> Result<Figures> {
        let batches = self.rows.heldout();
        if batches.is_empty() {
            return Ok(Vec::new());
        }
        let (mut nats, mut right, mut targets) = (0.0, 0usize, 0usize);
        let (mut pair_nats, mut pair_right, mut pairs, mut foreign) = (0.0, 0usize, 0usize, 0usize);
        for batch in &batches {
            let graph = Graph::inference(&model.params);
            let (loss, rows, hidden) = Self::tokens(model, &graph, batch, 1.0, None);
            nats += f64::from(loss.value().item());
            let logits = model.logits(&graph, &rows).value().to_vec();
            let guesses = argmax(&logits, model.sizes().vocabulary);
            right +=
                guesses.iter().zip(&batch.targets).filter(|(g, t)| **g == **t as usize).count();
            targets += batch.targets.len();
            if let Some((loss, picked)) = Self::pairs(model, &graph, batch, &hidden, 1) {
                pair_nats += f64::from(loss.value().item());
                let scores = model.scores_of(&graph, 1, &picked, &mut |x| x).value().to_vec();
                let guesses = argmax(&scores, 2);
                pair_right +=
                    guesses.iter().zip(&batch.labels).filter(|(g, l)| **g == **l as usize).count();
                foreign += batch.labels.iter().filter(|&&l| l == 1).count();
                pairs += batch.rows;
            }
        }
        if self.baseline.is_none() {
            let tokenizer = self.context.tokenizer;
            let ngrams = Ngrams::new(self.rows.shards(), |id| tokenizer.is_special(id));
            let mut baseline = guesses(&ngrams, &batches, self.rows.mask());
            if pairs > 0 {
                let share = foreign as f64 / pairs as f64;
                baseline.push((PAIRS_MAJORITY.name, share.max(1.0 - share)));
            }
            self.baseline = Some(baseline);
        }
        let loss = nats / targets.max(1) as f64;
        let mut figures = vec![
            (LOSS.name, loss),
            (PERPLEXITY.name, loss.exp()),
            (ACCURACY.name, right as f64 / targets.max(1) as f64),
        ];
        if pairs > 0 {
            figures.push((PAIRS_LOSS.name, pair_nats / pairs as f64));
            figures.push((PAIRS_ACCURACY.name, pair_right as f64 / pairs as f64));
        }
        figures.extend(self.baseline.iter().flatten().copied());
        Ok(figures)
    }

    fn cursor(&self, step: u64) -> Value {
        self.rows.cursor(step)
    }
}
