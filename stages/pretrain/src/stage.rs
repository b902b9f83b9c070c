//! The stage: from token shards to a model folder.

use std::path::Path;

use athanor_data::{Shards, Split};
use athanor_models::{Guest, Model, families};
use athanor_store::{Error, Key, Recipe, Result, Run, Section, StagedDir, sha256_folder};
use athanor_tensor::{Device, pool_stats};
use athanor_text::Tokenizer;
use athanor_training::{
    StageContext, Trainer, load_tokenizer,
    memory::{SystemMemory, check_weights},
    save_model, say_left_over, set_tokens,
};
use serde_json::{Value, json};

use crate::{
    objectives::{self, Outcome},
    section::PretrainSection,
};

/// The stage's name.
pub const NAME: &str = "pretrain";

/// The stage's keys.
pub fn keys() -> Vec<Key> {
    PretrainSection::keys()
}

/// The stage's section with every key, checked.
///
/// # Errors
/// Input, with the key's place.
pub fn resolved(recipe: &Recipe) -> Result<Value> {
    Ok(athanor_store::recipe::json(&recipe.section::<PretrainSection>(NAME)?))
}

/// Fails unless the files, and the earlier stages' results, that the stage works on are there or
/// will be: asked before the first stage of a recipe begins.
///
/// # Errors
/// Input, with the key's place.
pub fn check_files(recipe: &Recipe, run: &Path) -> Result<()> {
    let section = recipe.section::<PretrainSection>(NAME)?;
    match &section.corpus {
        Some(path) => recipe.needs_file("pretrain.corpus", path)?,
        None => recipe.needs_stage(run, NAME, "corpus", "corpus")?,
    }
    section.init.iter().try_for_each(|path| recipe.needs_file("pretrain.init", path))
}

/// What an objective works with.
pub(crate) struct Materials<'a> {
    pub section: &'a PretrainSection,
    pub tokenizer: &'a Tokenizer,
    pub corpus: &'a Path,
    /// The second model, where the objective has one.
    pub guest: Option<Guest>,
}

impl Materials<'_> {
    pub fn open(&self, split: Split) -> Result<Shards> {
        Shards::open(self.corpus, split)
    }
}

/// Pretrains a model and writes RUN/pretrain/model.
///
/// # Errors
/// Input for a wrong recipe or corpus, Interrupted after a checkpoint, Failed otherwise.
pub fn run(run: &Run) -> Result<()> {
    let section: PretrainSection = run.recipe.section(NAME)?;
    let corpus = match &section.corpus {
        Some(path) => run.recipe.resolve(path),
        None => run.stage("corpus").dir().to_owned(),
    };
    if !corpus.join("index.json").exists() {
        return Err(Error::input("no token shards here (index.json is missing)")
            .at(corpus.display())
            .hint("run `athanor corpus` first, or name a folder of shards with pretrain.corpus"));
    }
    let mut fingerprint = run
        .fingerprint(&section)
        .input("corpus", athanor_store::sha256_file(&corpus.join("index.json"))?);
    let init = section.init.as_ref().map(|p| run.recipe.resolve(p));
    if let Some(init) = &init {
        fingerprint = fingerprint.input("init", sha256_folder(init)?);
    }
    let Some(context) = StageContext::open(run, NAME, fingerprint)? else { return Ok(()) };

    let tokenizer = Tokenizer::load(corpus.join("tokenizer"))?;
    let objective = objectives::by_name(&section.objective)?;
    let head = (objective.head)(&section);
    let mut model = match &init {
        Some(dir) => Model::load_with_head(dir, head, run.seed, Device::Cpu)?,
        None => {
            let family = families::by_name(&section.model.family)?;
            let shape = section.model.shape(tokenizer.vocab_size());
            let mut config = (family.config)(&shape);
            (objective.config)(&section, &mut config);
            let plan = Model::from_config(family, config.clone(), head, 0, Device::Plan);
            check_weights(NAME, &plan.map_err(|e| e.at("pretrain.objective"))?, &section.train)?;
            Model::from_config(family, config, head, run.seed, Device::Cpu)
                .map_err(|e| e.at("pretrain.objective"))?
        }
    };
    if let Some(dir) = &init {
        say_left_over(&*run.console, dir, &model);
        load_tokenizer(dir, &model)?;
    }
    set_tokens(&mut model, &tokenizer)?;
    let guest = (objective.guest)(&section, &mut model, run.seed)?;
    let start = context.folder.path("init");
    if !start.join("config.json").exists() {
        save_model(&start, &mut model, &tokenizer, None)?;
    }
    let parameters = model.params.count();
    let steps = section.train.steps;
    let mut trainer = Trainer::open(&context, &section.train, model, steps, steps)?;
    let materials = Materials { section: &section, tokenizer: &tokenizer, corpus: &corpus, guest };
    let Outcome { figures, summary: more } = (objective.train)(&mut trainer, &materials)?;

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
    if let Some(guest) = &materials.guest {
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
    context.folder.finish(&context.fingerprint, seconds, &summary)
}
