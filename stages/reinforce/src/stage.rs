//! The stage: from a policy, a reward and requests to a better policy.

use std::path::Path;

use athanor_generation::{Sampling, text::stops};
use athanor_models::{Head, Model};
use athanor_store::{Error, Key, Recipe, Result, Run, Section, sha256_file, sha256_folder};
use athanor_tensor::{Device, pool_stats};
use athanor_text::{ChatTemplate, Message};
use athanor_training::{
    StageContext, SystemMemory, Trainer, load_tokenizer, load_writer, save_model, say_left_over,
    stage_model,
};
use serde_json::{Map, Value, json};

use crate::{
    algorithms,
    evaluate::Bench,
    prompts::{Prompt, Prompts},
    rewards,
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
    match &section.reward_model {
        Some(path) => recipe.needs_file("reinforce.reward_model", path),
        None if section.reward == "model" => {
            recipe.needs_stage(run, NAME, "reward", "reward_model")
        }
        None => Ok(()),
    }
}

/// What an algorithm works with.
pub(crate) struct Materials<'a> {
    pub section: &'a ReinforceSection,
    pub prompts: &'a Prompts,
    pub samples: &'a [Prompt],
    pub bench: Bench<'a>,
}

/// Improves a policy and writes RUN/reinforce/model.
///
/// # Errors
/// Input for a wrong recipe, model or data, Interrupted after a checkpoint, Failed otherwise.
pub fn run(run: &Run) -> Result<()> {
    let section: ReinforceSection = run.recipe.section(NAME)?;
    if section.prompts.is_empty() {
        return Err(Error::input("there are no requests to answer")
            .at(format!("{}: [reinforce]", run.recipe.name()))
            .hint("add [[reinforce.prompts]] path = \"requests.jsonl\""));
    }
    let kind = rewards::REWARDS.iter().find(|r| r.name == section.reward);
    let kind = kind.ok_or_else(|| Error::input(format!("unknown reward {:?}", section.reward)))?;
    let algorithm = algorithms::ALGORITHMS.iter().find(|a| a.name == section.algorithm);
    let algorithm = algorithm
        .ok_or_else(|| Error::input(format!("unknown algorithm {:?}", section.algorithm)))?;
    let folder = stage_model(run, "finetune", "reinforce.model", section.model.as_deref())?;
    let mut fingerprint = run
        .fingerprint(&section)
        .input("model", sha256_folder(&folder)?)
        .input("reward", (kind.hash)(run, &section)?);
    for (i, source) in section.prompts.iter().enumerate() {
        fingerprint = fingerprint
            .input(&format!("prompts.{i}"), sha256_file(&run.recipe.resolve(&source.path))?);
    }
    let Some(context) = StageContext::open(run, NAME, fingerprint)? else { return Ok(()) };

    let mut policy = load_writer(&folder)?;
    say_left_over(&*run.console, &folder, &policy);
    policy.add_head(Head::VALUE, Some(&folder))?;
    let reference = Model::load(&folder, Device::Cpu)?;
    let tokenizer = load_tokenizer(&folder, &policy)?;
    let template = ChatTemplate::load(&folder).unwrap_or_default();
    let reward = (kind.open)(run, &section, &tokenizer)?;
    let longest = policy.sizes().context.min(reward.longest());
    let prompts = Prompts::read(&section, &run.recipe, &tokenizer, &template, longest)?;
    let samples = section
        .sample_prompts
        .iter()
        .map(|p| {
            let prompt = Prompt::new(&tokenizer, &template, &[Message::user(p)])?;
            let tokens = prompt.tokens.len();
            if tokens + section.max_new_tokens > longest {
                return Err(Error::input(format!(
                    "{p:?} has {tokens} tokens, with max_new_tokens = {} more than {longest}",
                    section.max_new_tokens
                ))
                .at("reinforce.sample_prompts")
                .hint("shorten the request or max_new_tokens"));
            }
            Ok(prompt)
        })
        .collect::<Result<Vec<_>>>()?;
    let stops = stops(&tokenizer);
    let sampling = Sampling {
        temperature: section.temperature,
        max_new_tokens: section.max_new_tokens,
        ..Sampling::default()
    };
    let bench = Bench {
        tokenizer: &tokenizer,
        reference: &reference,
        reward: &*reward,
        stops: &stops,
        sampling,
        seed: run.seed,
    };
    let parameters = policy.params.count();
    let steps = section.train.steps;
    let updates = steps * (algorithm.updates)(&section);
    let mut trainer = Trainer::open(&context, &section.train, policy, steps, updates)?;
    let materials = Materials { section: &section, prompts: &prompts, samples: &samples, bench };
    let figures = (algorithm.train)(&mut trainer, &materials)?;

    let figure =
        |name: &str| figures.iter().find(|(n, _)| *n == name).map_or(f64::NAN, |(_, v)| *v);
    let told = format!(
        "held-out reward {:+.3} → {:+.3} at {:.1} nats",
        figure("reward_before"),
        figure("reward_after"),
        figure("kl")
    );
    let (seconds, tokens) = (trainer.seconds(), trainer.tokens());
    let expected = trainer.memory().map(|m| m.total());
    let mut model = trainer.close(&told)?;
    save_model(&context.folder.path("model"), &mut model, &tokenizer, Some(&template))?;
    let mut summary = Map::new();
    for (name, value) in [
        ("seconds", json!(seconds)),
        ("parameters", json!(parameters)),
        ("tokens", json!(tokens)),
        ("expected_memory_bytes", json!(expected)),
        ("resident_memory_bytes", json!(SystemMemory::peak())),
        ("peak_memory_bytes", json!(pool_stats().peak)),
    ] {
        summary.insert(name.into(), value);
    }
    summary.extend(figures.iter().map(|(n, v)| ((*n).to_owned(), json!(v))));
    context.folder.finish(&context.fingerprint, seconds, &Value::Object(summary))
}
