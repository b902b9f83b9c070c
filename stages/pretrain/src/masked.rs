//! Rows with hidden tokens, step by step: what masked language models and ELECTRA's generator are
//! given. The rows of a step depend on the step alone.

use athanor_data::{Shards, Split};
use athanor_models::{Input, Model};
use athanor_store::{Check, Error, Problem, Result, figures::Masking as Shares, section};
use athanor_tensor::{Device, Ids, Rng, host, ops::Mask};
use athanor_text::Tokenizer;
use athanor_training::EpochSampler;
use serde_json::{Value, json};

use crate::{
    inputs::{
        masking::{Counts, Masking, Unit},
        rng_stream::RngStream,
        rows::{Pairs, Row, Sentences, assemble},
        sentences::Ends,
        words::Words,
    },
    objectives::Context,
};

section! {
    /// What is hidden, and how.
    pub struct MaskingSection {
        /// dynamic draws other targets each time a row is seen (RoBERTa), static the same ones in
        /// each of `copies` copies of the corpus (BERT).
        schedule: String = "static".into(),
        /// Copies of a corpus with static masks; and of segment pairs, which are drawn for each copy.
        copies: usize = 10,
        /// Share of the tokens that are targets.
        rate: f64 = 0.15,
        /// Share of the targets that become the mask.
        mask_share: f64 = 0.8,
        /// Share of the targets that become a random token; the rest stays as it is.
        random_share: f64 = 0.1,
        /// What is chosen at once: token, word (whole words) or span (SpanBERT).
        unit: String = "token".into(),
        /// Parameter of the geometric distribution of a span's length in words.
        span_p: f64 = 0.2,
        /// Most words of a span.
        span_most: usize = 10,
        /// Chinese words that are learnt from the corpus, so that they are hidden as a whole; 0 takes
        /// each character for a word.
        chinese_words: usize = 8000,
    }
}

impl MaskingSection {
    /// How targets are hidden: by the token `mask`, or by one of `random`.
    fn masking(&self, mask: u32, random: std::ops::Range<u32>) -> Masking {
        Masking {
            rate: self.rate,
            mask_share: self.mask_share,
            random_share: self.random_share,
            unit: match self.unit.as_str() {
                "word" => Unit::Word,
                "span" => Unit::Span { p: self.span_p, most: self.span_most },
                _ => Unit::Token,
            },
            mask,
            random,
        }
    }
}

impl Check for MaskingSection {
    fn check(&self) -> Result<(), Problem> {
        Problem::unless_one_of("schedule", &self.schedule, &["static", "dynamic"])?;
        Problem::unless_one_of("unit", &self.unit, &["token", "word", "span"])?;
        Problem::unless((1..=1000).contains(&self.copies), "copies", "must be 1 to 1000")?;
        Problem::unless(self.rate > 0.0 && self.rate < 1.0, "rate", "must be between 0 and 1")?;
        let share = |x: f64| (0.0..=1.0).contains(&x);
        Problem::unless(share(self.mask_share), "mask_share", "must be 0 to 1")?;
        Problem::unless(
            share(self.random_share) && self.mask_share + self.random_share <= 1.0 + 1e-9,
            "random_share",
            "must be 0 or more, and at most 1 together with mask_share",
        )?;
        Problem::unless(
            self.span_p > 0.0 && self.span_p <= 1.0,
            "span_p",
            "must be above 0 and at most 1",
        )?;
        Problem::unless((1..=1000).contains(&self.span_most), "span_most", "must be 1 to 1000")
    }
}

/// How rows are cut out of the corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Two segments.
    Pairs(Pairs),
    /// Sentences side by side; `across` documents or within one.
    Sentences { across: bool },
}

/// The rows of one split.
struct Part {
    shards: Shards,
    rows: Vec<Row>,
}

/// Steps with rows of one length.
struct Phase {
    train: Part,
    /// Over rows and their static copies.
    walk: EpochSampler,
    /// The step it begins with.
    first: u64,
    /// Rows of a micro-batch.
    batch_size: usize,
}

/// Rows of training and held-out text, and how tokens are hidden in them.
pub(crate) struct MaskedRows {
    /// In their order; one, or short rows and then whole ones.
    phases: Vec<Phase>,
    heldout: Option<Part>,
    /// How often each row is there: static copies.
    copies: usize,
    dynamic: bool,
    masking: Masking,
    words: Words,
    special: [u32; 3],
    batch_size: usize,
    accumulate: usize,
    eval_items: usize,
    rng: Rng,
}

/// Rows side by side, padded to the longest.
pub(crate) struct MaskedBatch {
    /// What the model sees, [rows · time].
    pub ids: Vec<i32>,
    /// What stood there.
    pub whole: Vec<i32>,
    pub types: Vec<i32>,
    /// 1 for tokens, 0 for padding.
    pub keys: Vec<i32>,
    pub rows: usize,
    pub time: usize,
    /// Places of the targets in [rows · time], and their tokens.
    pub places: Vec<i32>,
    pub targets: Vec<i32>,
    /// Label of each row that is a pair.
    pub labels: Vec<i32>,
    /// Rows of the whole step.
    pub rows_of_step: usize,
    pub counts: Counts,
    /// A stream of random numbers for this batch alone.
    pub rng: Rng,
}

impl MaskedBatch {
    /// Tokens that are not padding.
    pub fn tokens(&self) -> usize {
        self.keys.iter().filter(|&&k| k != 0).count()
    }

    /// As a model takes it, `ids` being [rows · time].
    pub fn input(&self, model: &Model, ids: Vec<i32>) -> Input {
        let shape = [self.rows, self.time];
        let device = model.device();
        let mut input = model.input(ids, self.rows, self.time);
        if model.type_limit() > 1 {
            input.types = Some(Ids::new(device, self.types.clone(), shape));
        }
        if self.keys.contains(&0) {
            let keys = Some(Ids::new(device, self.keys.clone(), shape));
            input.mask = Mask { keys, ..input.mask };
        }
        input
    }
}

/// # Errors
/// Input, if the tokenizer lacks a token that rows are built with.
pub(crate) fn need(id: Option<u32>, what: &str, objective: &str) -> Result<u32> {
    id.ok_or_else(|| {
        Error::input(format!("the tokenizer has no {what} token, which {objective} needs"))
            .at("pretrain.objective")
            .hint(
                "set corpus.tokenizer.kind to wordpiece (BERT, ELECTRA) or unigram (XLNet), or \
                 corpus.tokenizer.special_tokens to roberta",
            )
    })
}

impl MaskedRows {
    pub fn new(
        m: &Context<'_>,
        model: &Model,
        layout: Layout,
        short: f64,
        section: &MaskingSection,
        seed: u64,
    ) -> Result<Self> {
        let (tokenizer, objective) = (m.tokenizer, m.section.objective.name());
        let cls = need(tokenizer.cls_id(), "first ([CLS])", objective)?;
        let sep = need(tokenizer.sep_id(), "separating ([SEP])", objective)?;
        let mask = need(tokenizer.mask_id(), "mask", objective)?;
        let pad = need(tokenizer.pad_id(), "padding", objective)?;
        let time = model.sizes().context;
        let special = match layout {
            Layout::Pairs(_) => 3,
            Layout::Sentences { .. } => 2,
        };
        if time < special + 2 {
            return Err(Error::input(format!("{time}, at least {} are needed", special + 2))
                .at("pretrain.model.context"));
        }
        let ends = Ends::new(tokenizer);
        let rng = Rng::new(seed).fork("pretrain").fork(objective);
        let dynamic = section.schedule == "dynamic";
        let open = |split: Split, copies: usize, time: usize| -> Result<Part> {
            let shards = m.open(split)?;
            let sentences = Sentences::of(&shards, &ends);
            let room = time - special;
            let rows = match layout {
                Layout::Sentences { across } => sentences.full(room, across),
                Layout::Pairs(pairs) => (0..copies as u64)
                    .flat_map(|copy| {
                        let mut draw =
                            RngStream::new(rng.fork("pairs").fork(&split.to_string()).at(copy));
                        sentences.pairs(pairs, room, short, &mut draw)
                    })
                    .collect(),
            };
            Ok(Part { shards, rows })
        };
        let copies = match layout {
            Layout::Sentences { .. } if !dynamic => section.copies,
            _ => 1,
        };
        let phase = |time: usize, first: u64, batch_size: usize| -> Result<Phase> {
            let train = open(Split::Train, section.copies, time)?;
            if train.rows.is_empty() {
                return Err(Error::input("no row could be made of the training text")
                    .at(m.corpus.display())
                    .hint(
                        "segment pairs need documents of two sentences and more; full_sentences takes any",
                    ));
            }
            let walk = EpochSampler::new(train.rows.len() * copies, seed);
            Ok(Phase { train, walk, first, batch_size })
        };
        let (short_rows, train) = (&m.section.short_rows, &m.section.train);
        let whole = short_rows.steps(train.steps);
        let mut phases = Vec::new();
        if whole > 0 {
            if !(special + 2..time).contains(&short_rows.context) {
                let wrong =
                    format!("{}, it must be {} to {}", short_rows.context, special + 2, time - 1);
                return Err(Error::input(wrong).at("pretrain.short_rows.context"));
            }
            // As many tokens in a step.
            let rows = train.batch_size * time / short_rows.context;
            phases.push(phase(short_rows.context, 0, rows)?);
        }
        phases.push(phase(time, whole, train.batch_size)?);
        let heldout = Some(open(Split::Heldout, 1, time)?).filter(|part| !part.rows.is_empty());
        let mut words = Words::new(tokenizer);
        if section.unit != "token" && section.chinese_words > 0 {
            words = words.learn(&phases[0].train.shards, section.chinese_words);
        }
        let first = first_plain(tokenizer);
        Ok(Self {
            phases,
            heldout,
            copies,
            dynamic,
            masking: section.masking(mask, first..(tokenizer.vocab_size() as u32).max(first + 1)),
            words,
            special: [cls, sep, pad],
            batch_size: train.batch_size,
            accumulate: train.accumulate,
            eval_items: train.evaluate.items,
            rng,
        })
    }

    /// Where a step's phase is in `phases`.
    fn phase(&self, step: u64) -> usize {
        self.phases.iter().rposition(|p| p.first <= step).unwrap_or(0)
    }

    /// The micro-batches of a step.
    pub fn batches(&mut self, step: u64) -> Vec<MaskedBatch> {
        let (which, accumulate) = (self.phase(step), self.accumulate);
        let phase = &mut self.phases[which];
        let (batch_size, items) = (phase.batch_size, (phase.train.rows.len() * self.copies) as u64);
        let per_step = batch_size * accumulate;
        let position = (step - phase.first) * per_step as u64;
        let taken = phase.walk.items(step - phase.first, per_step);
        let rows_of = phase.train.rows.len();
        let drawn: Vec<(usize, Rng)> = taken
            .into_iter()
            .zip(position..)
            .map(|(item, at)| {
                let epoch = if self.dynamic { at / items } else { 0 };
                let rng = self.rng.fork("mask").at(epoch).at(item as u64);
                (item % rows_of, rng)
            })
            .collect();
        let part = &self.phases[which].train;
        (drawn.chunks(batch_size).zip(0..))
            .map(|(rows, i)| {
                let rng = self.rng.fork("batch").at(step).at(i);
                let mut batch = self.batch(part, rows, &self.masking, rng);
                batch.rows_of_step = per_step;
                batch
            })
            .collect()
    }

    /// Rows of held-out text, spread over all of it, always the same ones with the same targets. All
    /// targets become the mask: copying one that was left gives no point.
    pub fn heldout(&self) -> Vec<MaskedBatch> {
        let Some(part) = &self.heldout else { return Vec::new() };
        let masking = Masking { mask_share: 1.0, random_share: 0.0, ..self.masking.clone() };
        let count = part.rows.len().min(self.eval_items.max(1));
        let rows: Vec<(usize, Rng)> = (0..count)
            .map(|i| i * part.rows.len() / count)
            .map(|row| (row, self.rng.fork("heldout").at(row as u64)))
            .collect();
        (rows.chunks(self.batch_size).zip(0..))
            .map(|(rows, i)| self.batch(part, rows, &masking, self.rng.fork("evaluate").at(i)))
            .collect()
    }

    fn batch(
        &self,
        part: &Part,
        rows: &[(usize, Rng)],
        masking: &Masking,
        rng: Rng,
    ) -> MaskedBatch {
        let [cls, sep, pad] = self.special;
        let built: Vec<_> = rows
            .iter()
            .map(|&(row, rng)| {
                let row = &part.rows[row];
                let (ids, types) = assemble(&part.shards, row, cls, sep);
                let word = self.words.number(&ids);
                let masked = masking.apply(&ids, &word, &mut RngStream::new(rng));
                (row, ids, types, word, masked)
            })
            .collect();
        let time = built.iter().map(|b| b.1.len()).max().unwrap_or(1);
        let places = rows.len() * time;
        let mut batch = MaskedBatch {
            ids: vec![pad as i32; places],
            whole: vec![pad as i32; places],
            types: vec![0; places],
            keys: vec![0; places],
            rows: rows.len(),
            time,
            places: Vec::new(),
            targets: Vec::new(),
            labels: Vec::new(),
            rows_of_step: rows.len(),
            counts: Counts::default(),
            rng,
        };
        for (i, (row, ids, types, word, masked)) in built.iter().enumerate() {
            let at = i * time;
            for (j, &id) in ids.iter().enumerate() {
                batch.whole[at + j] = id as i32;
                batch.ids[at + j] = masked.ids[j] as i32;
                batch.types[at + j] = types[j] as i32;
                batch.keys[at + j] = 1;
            }
            batch.places.extend(masked.places.iter().map(|p| (at + p) as i32));
            batch.targets.extend(masked.targets.iter().map(|&t| t as i32));
            batch.labels.extend(row.second.iter().map(|_| row.label as i32));
            batch.counts.add(word, masked);
        }
        batch
    }

    /// What the masks of the first steps are like, for the summary.
    pub fn statistics(&mut self, steps: u64) -> Shares {
        let mut counts = Counts::default();
        let (mut rows, mut tokens, mut foreign, mut pairs) = (0, 0, 0, 0);
        for step in 0..steps.min(100) {
            for batch in self.batches(step) {
                rows += batch.rows;
                tokens += batch.tokens();
                pairs += batch.labels.len();
                foreign += batch.labels.iter().filter(|&&l| l == 1).count();
                counts.merge(&batch.counts);
            }
        }
        let mut all = counts.shares();
        all.targets = Some(counts.targets as u64);
        all.rows = Some(rows as u64);
        all.tokens_per_row = Some(tokens as f64 / rows.max(1) as f64);
        all.foreign_pairs = (pairs > 0).then(|| foreign as f64 / pairs as f64);
        let chinese = self.words.chinese();
        if !chinese.is_empty() {
            all.chinese_words = Some(chinese.len() as u64);
            let first: Vec<String> = chinese.into_iter().take(24).collect();
            all.chinese_words_first = Some(first.join(" "));
        }
        all
    }

    /// The training tokens.
    pub fn shards(&self) -> &Shards {
        &self.phases[0].train.shards
    }

    /// The mask's id.
    pub fn mask(&self) -> u32 {
        self.masking.mask
    }

    /// Where a step begins.
    pub fn cursor(&self, step: u64) -> Value {
        let phase = &self.phases[self.phase(step)];
        json!(phase.walk.cursor(step - phase.first, phase.batch_size * self.accumulate))
    }
}

/// The first id behind the special tokens that begin a vocabulary.
fn first_plain(tokenizer: &Tokenizer) -> u32 {
    (0..tokenizer.vocab_size() as u32).find(|&id| !tokenizer.is_special(id)).unwrap_or(0)
}

/// The layout that a recipe names.
pub(crate) fn layout(input: &str, pairs: &str) -> Layout {
    match (input, pairs) {
        ("segment_pairs", "sentence_order") => Layout::Pairs(Pairs::SentenceOrder),
        ("segment_pairs", _) => Layout::Pairs(Pairs::NextSentence),
        ("doc_sentences", _) => Layout::Sentences { across: false },
        _ => Layout::Sentences { across: true },
    }
}

/// Ids as a tensor of indices.
pub(crate) fn ids(device: Device, values: &[i32]) -> Ids {
    Ids::new(device, values.to_vec(), [values.len()])
}

/// Place of the greatest value in each row of `width`; the first of equal ones.
pub(crate) fn argmax(values: &[f32], width: usize) -> Vec<usize> {
    values.chunks(width.max(1)).map(host::argmax).collect()
}
