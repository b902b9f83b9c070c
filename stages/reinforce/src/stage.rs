//! The stage: from a policy, rewards and an environment to a better policy.

use std::path::Path;

use athanor_generation::{Sampling, text::stops};
use athanor_models::{Head, Model};
use athanor_store::{Key, Recipe, Result, Run, Section, sha256_file, sha256_folder};
use athanor_tensor::pool_stats;
use athanor_text::ChatTemplate;
use athanor_training::{
    Figures, StageContext, SystemMemory, Trainer, load_tokenizer, load_writer, save_model,
    say_left_over, stage_model,
};
use serde_json::{Map, Value, json};

use crate::{
    environments::{Part, Setup},
    evaluate::Evaluator,
    iterate::iterate,
    rewards::Rewards,
    rollout::Generator,
    section::ReinforceSection,
};

/// The stage's name.
pub const NAME: &str = "reinforce";

/// The stage's keys.
pub fn keys() -> Vec<Key> {
    ReinforceSection::keys()
}

/// The stage's section with every key, checked.
///
/// # Errors
/// Input, with the key's place.
pub fn resolved(recipe: &Recipe) -> Result<Value> {
    Ok(athanor_store::recipe::json(&recipe.section::<ReinforceSection>(NAME)?))
}

/// Fails unless the files, and the earlier stages' results, that the stage works on are there or
/// will be: asked before the first stage of a recipe begins.
///
/// # Errors
/// Input, with the key's place.
pub fn check_files(recipe: &Recipe, run: &Path) -> Result<()> {
    let section = recipe.section::<ReinforceSection>(NAME)?;
    match &section.model {
        Some(path) => recipe.needs_file("reinforce.model", path)?,
        None => recipe.needs_stage(run, NAME, "finetune", "model")?,
    }
    for (i, prompts) in section.prompts.iter().enumerate() {
        recipe.needs_file(&format!("{NAME}.prompts.{i}.path"), &prompts.path)?;
    }
    for (i, reward) in section.rewards().iter().enumerate() {
        let key = format!("{NAME}.rewards.{i}");
        (reward.kind.entry()?.check_files)(recipe, run, [NAME, &key], &reward.kind)?;
    }
    Ok(())
}

/// Improves a policy and writes RUN/reinforce/model.
///
/// # Errors
/// Input for a wrong recipe, model or data, Interrupted after a checkpoint, Failed otherwise.
pub fn run(run: &Run) -> Result<()> {
    let section: ReinforceSection = run.recipe.section(NAME)?;
    let folder = stage_model(run, "finetune", "reinforce.model", section.model.as_deref())?;
    let mut fingerprint = run.fingerprint(&section).input("model", sha256_folder(&folder)?);
    for (i, reward) in section.rewards().iter().enumerate() {
        if let Some(hash) = (reward.kind.entry()?.hash)(run, &reward.kind)? {
            fingerprint = fingerprint.input(&format!("rewards.{i}"), hash);
        }
    }
    for (i, source) in section.prompts.iter().enumerate() {
        fingerprint = fingerprint
            .input(&format!("prompts.{i}"), sha256_file(&run.recipe.resolve(&source.path))?);
    }
    let Some(context) = StageContext::open(run, NAME, fingerprint)? else { return Ok(()) };
    let mut algorithm = (section.algorithm.entry()?.open)(&section.algorithm);
    let needs = algorithm.needs();

    let mut policy = load_writer(&folder)?;
    say_left_over(&*run.console, &folder, &policy);
    if needs.values {
        policy.add_head(Head::VALUE, Some(&folder))?;
    }
    let reference = Model::load(&folder, context.device())?;
    let tokenizer = load_tokenizer(&folder, &policy)?;
    let template = ChatTemplate::load(&folder).unwrap_or_default();
    let rewards = Rewards::open(run, &section.rewards(), &tokenizer)?;
    // The token that closes a turn comes behind one that was cut off.
    let judges = rewards.models().into_iter().map(|m| m.sizes().context - 1).min();
    let longest = policy.sizes().context.min(judges.unwrap_or(usize::MAX));
    let setup = Setup {
        run,
        choice: &section.environment,
        tokenizer: &tokenizer,
        template: &template,
        longest,
        max_new_tokens: section.max_new_tokens,
        heldout_per_thousand: section.heldout_per_thousand,
        heldout_prompts: section.heldout_prompts,
        prompts: &section.prompts,
        sample_prompts: &section.sample_prompts,
    };
    let environment = (section.environment.entry()?.open)(&setup)?;
    let generator = Generator {
        environment: &*environment,
        tokenizer: &tokenizer,
        template: &template,
        stops: &stops(&tokenizer),
        sampling: Sampling {
            temperature: section.temperature,
            max_new_tokens: section.max_new_tokens,
            ..Sampling::default()
        },
        longest,
    };
    let heldout = environment.examples(Part::Heldout).min(section.heldout_prompts);
    let mut evaluator =
        Evaluator { generator, reference: &reference, rewards, seed: run.seed, heldout };
    let parameters = policy.params.count();
    let steps = section.train.steps;
    let minibatch = section.train.batch_size * section.train.accumulate;
    let updates = steps * (section.answers / minibatch * needs.epochs) as u64;
    let mut trainer = Trainer::open(&context, &section.train, policy, steps, updates)?;
    let figures = iterate(&mut trainer, &section, &mut evaluator, &mut *algorithm)?;

    let summary = summary(&trainer, parameters, &figures);
    let seconds = trainer.seconds();
    let mut model = trainer.close(&last_word(&figures))?;
    save_model(&context.folder.path("model"), &mut model, &tokenizer, Some(&template))?;
    context.folder.finish(&context.fingerprint, seconds, &summary)
}

/// What the progress bar ends with.
fn last_word(figures: &Figures) -> String {
    let figure =
        |name: &str| figures.iter().find(|(n, _)| *n == name).map_or(f64::NAN, |(_, v)| *v);
    format!(
        "held-out reward {:+.3} → {:+.3} at {:.1} nats",
        figure("reward_before"),
        figure("reward_after"),
        figure("kl")
    )
}

/// summary.json.
fn summary(trainer: &Trainer<'_>, parameters: usize, figures: &Figures) -> Value {
    let mut summary = Map::new();
    for (name, value) in [
        ("seconds", json!(trainer.seconds())),
        ("parameters", json!(parameters)),
        ("tokens", json!(trainer.tokens())),
        ("expected_memory_bytes", json!(trainer.memory().map(|m| m.total()))),
        ("resident_memory_bytes", json!(SystemMemory::peak())),
        ("peak_memory_bytes", json!(pool_stats().peak)),
    ] {
        summary.insert(name.into(), value);
    }
    summary.extend(figures.iter().map(|(n, v)| ((*n).to_owned(), json!(v))));
    Value::Object(summary)
}
