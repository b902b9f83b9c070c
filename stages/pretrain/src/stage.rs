//! The stage: from token shards to a model folder.

use athanor_models::{Model, families};
use athanor_store::{
    Done, Input, Result, Stage, StageKind, StagedDir, Work,
    figures::{BITS_PER_BYTE, LOSS, Memory, PERPLEXITY, PretrainSummary, Training},
};
use athanor_tensor::{Device, pool_stats};
use athanor_text::Tokenizer;
use athanor_training::{
    StageContext, SystemMemory, Trainer, forecast::check_weights, load_tokenizer, save_model,
    say_left_over, set_tokens,
};
use serde_json::json;

use crate::{
    objectives::{self, Outcome},
    section::PretrainSection,
};

struct Pretrain;

impl Stage for Pretrain {
    type Section = PretrainSection;
    type Summary = PretrainSummary;
    const ABOUT: &'static str = "Train a language model on the corpus, without labels";

    fn inputs(section: &PretrainSection) -> Vec<Input> {
        let corpus = Input::shards("corpus", section.corpus.as_deref(), "corpus");
        let init = section.init.iter().map(|path| Input::file("init", "init", path));
        std::iter::once(corpus).chain(init).collect()
    }

    fn work(work: &Work<'_, PretrainSection>) -> Result<Done<PretrainSummary>> {
        pretrain(work)
    }
}

/// The stage's entry.
pub const STAGE: StageKind = StageKind::of::<Pretrain>();

/// Pretrains a model and writes RUN/pretrain/model.
fn pretrain(work: &Work<'_, PretrainSection>) -> Result<Done<PretrainSummary>> {
    let Work { run, section, .. } = work;
    let context = StageContext::of(work)?;
    let (corpus, init) = (work.place("corpus"), work.optional("init"));
    let tokenizer = Tokenizer::load(corpus.join("tokenizer"))?;
    let objective = section.objective.entry()?;
    let settings = section.settings();
    let head = (objective.head)(&settings);
    let mut model = match init {
        Some(dir) => Model::load_with_head(dir, head, run.seed, context.device())?,
        None => {
            let family = families::by_name(&section.model.family)?;
            let shape = section.model.shape(tokenizer.vocab_size());
            let mut config = (family.config)(&shape);
            (objective.config)(&settings, &mut config);
            let plan = Model::from_config(family, config.clone(), head, 0, Device::Plan);
            check_weights(
                Pretrain::NAME,
                &plan.map_err(|e| e.at("pretrain.objective"))?,
                &section.train,
            )?;
            Model::from_config(family, config, head, run.seed, context.device())
                .map_err(|e| e.at("pretrain.objective"))?
        }
    };
    if let Some(dir) = init {
        say_left_over(&*run.console, dir, &model);
        load_tokenizer(dir, &model)?;
    }
    set_tokens(&mut model, &tokenizer)?;
    let guest = (objective.guest)(&settings, &mut model, run.seed)?;
    let start = context.folder.path("init");
    if !start.join("config.json").exists() {
        save_model(&start, &mut model, &tokenizer, None)?;
    }
    let parameters = model.params.count();
    let steps = section.train.steps;
    let mut trainer = Trainer::open(&context, &section.train, model, steps, steps)?;
    let device = context.device();
    let work =
        objectives::Context { section: settings, tokenizer: &tokenizer, corpus, guest, device };
    let Outcome { figures, masking, baseline } = (objective.train)(&mut trainer, &work)?;

    let figure = |name: &str| figures.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
    let expected = trainer.memory().map(|m| m.total());
    let (seconds, tokens, withheld) = (trainer.seconds(), trainer.tokens(), trainer.withheld());
    let last_word = match (figure(BITS_PER_BYTE.name), figure(LOSS.name)) {
        (Some(bits), _) => format!("held-out {bits:.3} bits per byte"),
        (None, Some(loss)) => format!("held-out loss {loss:.3}"),
        (None, None) => String::new(),
    };
    let mut model = trainer.close(&last_word)?;
    save_model(&context.folder.path("model"), &mut model, &tokenizer, None)?;
    if let Some(guest) = &work.guest {
        let staged = StagedDir::new(&context.folder.path("generator"))?;
        model.save_guest(guest, staged.path())?;
        tokenizer.save(staged.path())?;
        staged.commit()?;
    }
    // Baselines, and the figures with a field, are not written again.
    let fields = [LOSS.name, BITS_PER_BYTE.name, PERPLEXITY.name];
    let is_further = |name: &str| {
        !fields.contains(&name) && !baseline.as_ref().is_some_and(|b| b.contains_key(name))
    };
    let further = figures.iter().filter(|(name, _)| is_further(name));
    let summary = PretrainSummary {
        objective: section.objective.name().to_owned(),
        training: Training {
            seconds: Some(seconds),
            parameters: Some(parameters as u64),
            tokens: Some(tokens),
        },
        heldout_loss: figure(LOSS.name),
        heldout_bits_per_byte: figure(BITS_PER_BYTE.name),
        heldout_perplexity: figure(PERPLEXITY.name),
        withheld_updates: Some(withheld),
        memory: Memory {
            expected_memory_bytes: expected,
            resident_memory_bytes: SystemMemory::peak(),
            peak_memory_bytes: Some(pool_stats().peak as u64),
        },
        others: further.map(|(name, value)| (format!("heldout_{name}"), json!(value))).collect(),
        masking,
        baseline,
    };
    Ok(Done { seconds, summary })
}
