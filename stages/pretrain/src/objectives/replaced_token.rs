//! Replaced-token detection: Clark et al. 2020, "ELECTRA: Pre-training text encoders as discriminators
//! rather than generators", section 2. A small generator guesses hidden tokens; what it draws takes
//! their places, and the discriminator says for each token whether it is the original one:
//! loss = masked LM loss of the generator + λ · binary cross-entropy of the discriminator over all
//! tokens. No gradient goes through the drawing. Generator and discriminator share their embeddings
//! (section 3.2). A token that the generator guesses right counts as not replaced.

use athanor_models::{Dropout, Guest, Head, Model, Pass, heads::losses};
use athanor_store::{
    Check, OwnKeys, Problem, Result,
    figures::{
        ACCURACY, F1, GENERATOR_ACCURACY, GENERATOR_LOSS, LOSS, Logged, MAJORITY, PRECISION, RECALL,
    },
    section,
};
use athanor_tensor::{Graph, Var, ops};
use athanor_training::{Figures, Forward, Loss, MicroBatch, Task, Trainer, fit};
use serde_json::Value;

use super::{Context, Objective, Outcome, Settings, masked_lm::guesses};
use crate::{
    masked::{MaskedBatch, MaskedRows, MaskingSection, ids, layout},
    ngrams::{GUESSES, Ngrams},
};

/// The objective's line in the registry.
pub(super) const OBJECTIVE: Objective = Objective {
    name: "replaced_token",
    about: "which tokens were exchanged; ELECTRA",
    keys: Some(OwnKeys::of::<ReplacedTokenSection>()),
    logged: Logged {
        train: &[&GENERATOR_LOSS, &DISCRIMINATOR_LOSS, &REPLACED],
        eval: &[
            &ACCURACY,
            &MAJORITY,
            &PRECISION,
            &RECALL,
            &F1,
            &GENERATOR_LOSS,
            &GENERATOR_ACCURACY,
        ],
        eval_also: GUESSES,
    },
    head: |_| Head::REPLACED_TOKEN,
    config: |_, _| (),
    guest,
    steps: |m, model, seed| {
        let mut rows = rows(m, model, seed)?;
        Ok(Box::new(move |step| Ok(rows.batches(step).iter().map(MaskedBatch::tokens).sum())))
    },
    train,
};

athanor_store::figures! {
    /// Binary cross-entropy of the discriminator over all tokens of a training step.
    DISCRIMINATOR_LOSS = "discriminator_loss", "discriminator's loss", "nats", Lower;
    /// Share of the tokens of a training step that the generator replaced by another token.
    REPLACED = "replaced", "replaced tokens", "share", Neither;
}

section! {
    /// Replaced-token detection (ELECTRA). The defaults are the paper's.
    pub struct ReplacedTokenSection {
        /// Rows: full_sentences or doc_sentences.
        input: String = "full_sentences".into(),
        /// Width of the generator, as a share of the discriminator's.
        generator_size: f64 = 0.25,
        /// Layers of the generator; 0 takes as many as the discriminator's.
        generator_layers: usize = 0,
        /// Weight of the discriminator's loss: the paper's λ.
        discriminator_weight: f64 = 50.0,
        /// What is hidden from the generator.
        masking: MaskingSection = MaskingSection {
            schedule: "dynamic".into(),
            mask_share: 1.0,
            random_share: 0.0,
            ..MaskingSection::default()
        },
    }
}

impl Check for ReplacedTokenSection {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless_one_of("input", &self.input, &["full_sentences", "doc_sentences"])?;
        Problem::unless(
            self.generator_size > 0.0 && self.generator_size <= 1.0,
            "generator_size",
            "must be above 0 and at most 1",
        )?;
        Problem::unless(
            self.discriminator_weight >= 0.0 && self.discriminator_weight.is_finite(),
            "discriminator_weight",
            "must be 0 or more",
        )
    }
}

/// The generator: the host's family, narrower, with the masked-LM head.
fn guest(section: &Settings<'_>, model: &mut Model, seed: u64) -> Result<Option<Guest>> {
    let keys: ReplacedTokenSection = section.objective.own();
    let sizes = model.sizes();
    let embedding = model.config.get("embedding_size").and_then(Value::as_u64);
    // Heads stay about as wide as the discriminator's.
    let wanted = (sizes.hidden as f64 * keys.generator_size).round().max(1.0) as usize;
    let heads = (wanted / sizes.head_dim).max(1);
    let hidden = wanted.div_ceil(heads) * heads;
    let mut config = model.config.clone();
    config.insert("embedding_size".into(), embedding.unwrap_or(sizes.hidden as u64).into());
    config.insert("hidden_size".into(), hidden.into());
    config.insert("num_attention_heads".into(), heads.into());
    config.insert("intermediate_size".into(), (4 * hidden).into());
    if keys.generator_layers > 0 {
        config.insert("num_hidden_layers".into(), keys.generator_layers.into());
    }
    let shared = [
        "embeddings.word_embeddings.weight",
        "embeddings.position_embeddings.weight",
        "embeddings.token_type_embeddings.weight",
        "embeddings.LayerNorm.weight",
        "embeddings.LayerNorm.bias",
    ];
    model.add_guest(model.family(), config, Head::MASKED_LM, &shared, seed).map(Some)
}

struct ReplacedToken<'m> {
    rows: MaskedRows,
    generator: &'m Model,
    section: ReplacedTokenSection,
    context: &'m Context<'m>,
    baseline: Option<Figures>,
}

/// A batch, and the tokens of its whole step.
struct Batch {
    rows: MaskedBatch,
    step_tokens: usize,
}

fn rows(m: &Context<'_>, model: &Model, seed: u64) -> Result<MaskedRows> {
    let section: ReplacedTokenSection = m.section.objective.own();
    MaskedRows::new(m, model, layout(&section.input, ""), 0.0, &section.masking, seed)
}

fn train(trainer: &mut Trainer<'_>, m: &Context<'_>) -> Result<Outcome> {
    let section: ReplacedTokenSection = m.section.objective.own();
    let Some(Guest { model: generator, .. }) = &m.guest else {
        return Err(athanor_store::Error::failed("replaced_token needs its generator"));
    };
    let rows = rows(m, &trainer.model, trainer.context.run.seed)?;
    let mut task = ReplacedToken { rows, generator, section, context: m, baseline: None };
    let figures = fit(trainer, &mut task)?;
    let masking = task.rows.statistics(trainer.steps());
    let mut baseline = task.baseline.take().unwrap_or_default();
    baseline.extend(figures.iter().find(|(name, _)| *name == MAJORITY.name));
    Ok(Outcome::hidden(figures, masking, Some(baseline)))
}

/// What both models made of a batch.
struct Both {
    /// Loss of the generator, divided by the targets.
    generator: Var,
    /// Its right guesses, where they were asked for.
    right: usize,
    /// Scores of the discriminator for each token that is not padding, and whether it was replaced.
    scores: Var,
    replaced: Vec<bool>,
}

impl ReplacedToken<'_> {
    fn both(
        &self,
        model: &Model,
        graph: &Graph<'_>,
        batch: &MaskedBatch,
        total: f64,
        dropout: Option<Dropout>,
    ) -> Both {
        let generator = self.generator;
        let side = |name: &str| dropout.map(|d| Dropout { rng: d.rng.fork(name), ..d });
        let input = batch.input(generator, batch.ids.clone());
        let pass = Pass::new(graph, &input).with_dropout(side("generator"));
        let hidden = generator.hidden(&mut pass.skip_padding());
        let rows = generator.rows(&hidden, batch.places.clone());
        let targets = ids(model.device(), &batch.targets);
        let weights = vec![(1.0 / total) as f32; batch.targets.len()];
        let (loss, _) = generator.token_loss(graph, &rows, &targets, &weights);
        // Drawn from the generator, without gradient.
        let logits = generator.logits(graph, &rows.detach());
        let (drawn, right) = ops::draw_rows(logits.value(), batch.rng.fork("sample"));
        let right = right.iter().zip(&batch.targets).filter(|(g, t)| g == t).count();
        let mut seen = batch.whole.clone();
        for (&place, &token) in batch.places.iter().zip(&drawn) {
            seen[place as usize] = token;
        }
        let input = batch.input(model, seen.clone());
        let pass = Pass::new(graph, &input).with_dropout(side("discriminator"));
        let hidden = model.hidden(&mut pass.skip_padding());
        let places: Vec<i32> =
            (0..seen.len()).filter(|&i| batch.keys[i] != 0).map(|i| i as i32).collect();
        let replaced =
            places.iter().map(|&i| seen[i as usize] != batch.whole[i as usize]).collect();
        let count = places.len();
        let scores = model.logits(graph, &model.rows(&hidden, places));
        Both { generator: loss, right, scores: ops::reshape(&scores, [count]), replaced }
    }
}

impl Task for ReplacedToken<'_> {
    type Batch = Batch;

    fn batches(&mut self, step: u64) -> Result<Vec<MicroBatch<Batch>>> {
        let batches = self.rows.batches(step);
        let step_tokens = batches.iter().map(MaskedBatch::tokens).sum();
        Ok(batches
            .into_iter()
            .map(|rows| {
                let (weight, tokens) = (rows.targets.len() as f64, rows.tokens());
                MicroBatch { batch: Batch { rows, step_tokens }, weight, tokens }
            })
            .collect())
    }

    fn loss(&self, forward: Forward<'_>, batch: &Batch, total: f64) -> Result<Loss> {
        let Forward { model, graph, dropout } = forward;
        let both = self.both(model, graph, &batch.rows, total, dropout);
        let share = 1.0 / batch.step_tokens.max(1) as f32;
        let told = ops::scale(&losses::yes_or_no(&both.scores, &both.replaced), share);
        let replaced = both.replaced.iter().filter(|&&r| r).count() as f32;
        let figures = vec![
            (GENERATOR_LOSS.name, f64::from(both.generator.value().item())),
            (DISCRIMINATOR_LOSS.name, f64::from(told.value().item())),
            (REPLACED.name, f64::from(replaced * share)),
        ];
        let weight = self.section.discriminator_weight as f32;
        Ok(Loss { loss: ops::add(&both.generator, &ops::scale(&told, weight)), figures })
    }

    fn evaluate(&mut self, model: &Model) -> Result<Figures> {
        let batches = self.rows.heldout();
        if batches.is_empty() {
            return Ok(Vec::new());
        }
        let (mut nats, mut guessed, mut told) = (0.0, 0usize, 0.0);
        // Tokens by (replaced, called replaced).
        let mut table = [[0usize; 2]; 2];
        let mut targets = 0;
        for batch in &batches {
            let graph = Graph::inference(&model.params);
            let both = self.both(model, &graph, batch, 1.0, None);
            nats += f64::from(both.generator.value().item());
            guessed += both.right;
            targets += batch.targets.len();
            told += f64::from(losses::yes_or_no(&both.scores, &both.replaced).value().item());
            for (score, replaced) in both.scores.value().to_vec().iter().zip(&both.replaced) {
                table[usize::from(*replaced)][usize::from(*score > 0.0)] += 1;
            }
        }
        if self.baseline.is_none() {
            let tokenizer = self.context.tokenizer;
            let ngrams = Ngrams::new(self.rows.shards(), |id| tokenizer.is_special(id));
            self.baseline = Some(guesses(&ngrams, &batches, self.rows.mask()));
        }
        let [[kept_right, kept_wrong], [missed, found]] = table.map(|row| row.map(|n| n as f64));
        let all = kept_right + kept_wrong + missed + found;
        let of = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
        let (precision, recall) = (of(found, found + kept_wrong), of(found, found + missed));
        let replaced = of(missed + found, all);
        let targets = targets.max(1) as f64;
        let mut figures = vec![
            (LOSS.name, of(told, all)),
            (ACCURACY.name, of(kept_right + found, all)),
            (MAJORITY.name, replaced.max(1.0 - replaced)),
            (PRECISION.name, precision),
            (RECALL.name, recall),
            (F1.name, of(2.0 * precision * recall, precision + recall)),
            (GENERATOR_LOSS.name, nats / targets),
            (GENERATOR_ACCURACY.name, guessed as f64 / targets),
        ];
        figures.extend(self.baseline.iter().flatten().copied());
        Ok(figures)
    }

    fn cursor(&self, step: u64) -> Value {
        self.rows.cursor(step)
    }
}
