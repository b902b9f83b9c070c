//! The stage: from token shards to a model folder.

use athanor_models::{Model, families};
use athanor_store::{Done, Input, Result, Stage, StageKind, StagedDir, Work};
use athanor_tensor::{Device, pool_stats};
use athanor_text::Tokenizer;
use athanor_training::{
    StageContext, SystemMemory, Trainer, forecast::check_weights, load_tokenizer, save_model,
    say_left_over, set_tokens,
};
use serde_json::{Value, json};

use crate::{
    objectives::{self, Outcome},
    section::PretrainSection,
};

struct Pretrain;

impl Stage for Pretrain {
    type Section = PretrainSection;
    const NAME: &'static str = "pretrain";
    const ABOUT: &'static str = "Train a language model on the corpus, without labels";

    fn inputs(section: &PretrainSection) -> Vec<Input> {
        let corpus = Input::shards("corpus", section.corpus.as_deref(), "corpus");
        let init = section.init.iter().map(|path| Input::file("init", "init", path));
        std::iter::once(corpus).chain(init).collect()
    }

    fn work(work: &Work<'_, PretrainSection>) -> Result<Done> {
        pretrain(work)
    }
}

/// The stage's entry.
pub const STAGE: StageKind = StageKind::of::<Pretrain>();

/// Pretrains a model and writes RUN/pretrain/model.
fn pretrain(work: &Work<'_, PretrainSection>) -> Result<Done> {
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
    let Outcome { figures, summary: more } = (objective.train)(&mut trainer, &work)?;

    let figure = |name: &str| figures.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
    let expected = trainer.memory().map(|m| m.total());
    let (seconds, tokens, withheld) = (trainer.seconds(), trainer.tokens(), trainer.withheld());
    let told = match (figure("bits_per_byte"), figure("loss")) {
        (Some(bits), _) => format!("held-out {bits:.3} bits per byte"),
        (None, Some(loss)) => format!("held-out loss {loss:.3}"),
        (None, None) => String::new(),
    };
    let mut model = trainer.close(&told)?;
    save_model(&context.folder.path("model"), &mut model, &tokenizer, None)?;
    if let Some(guest) = &work.guest {
        let staged = StagedDir::new(&context.folder.path("generator"))?;
        model.save_guest(guest, staged.path())?;
        tokenizer.save(staged.path())?;
        staged.commit()?;
    }
    let mut summary = json!({
        "objective": section.objective,
        "seconds": seconds,
        "parameters": parameters,
        "tokens": tokens,
        "heldout_loss": figure("loss"),
        "heldout_bits_per_byte": figure("bits_per_byte"),
        "heldout_perplexity": figure("perplexity"),
        "withheld_updates": withheld,
        "expected_memory_bytes": expected,
        "resident_memory_bytes": SystemMemory::peak(),
        "peak_memory_bytes": pool_stats().peak,
    });
    if let Some(summary) = summary.as_object_mut() {
        // Baselines have a place of their own.
        let baseline = more.get("baseline").and_then(Value::as_object).cloned().unwrap_or_default();
        for (name, value) in &figures {
            if !baseline.contains_key(*name) {
                let value = if value.is_finite() { json!(value) } else { Value::Null };
                summary.entry(format!("heldout_{name}")).or_insert(value);
            }
        }
        summary.extend(more);
    }
    Ok(Done { seconds, summary })
}
