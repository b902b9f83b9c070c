//! The stage: from rated texts to a reward model and its account.

use std::path::Path;

use athanor_data::preferences::Comparison;
use athanor_models::{Head, Model};
use athanor_store::{Error, Key, Recipe, Result, Run, Section, sha256_file, sha256_folder};
use athanor_tensor::Device;
use athanor_text::{ChatTemplate, SpecialTokens};
use athanor_training::{
    StageContext, Trainer, fit, load_tokenizer, save_model, say_left_over, stage_model,
};
use serde_json::{Value, json};

use crate::{
    baseline,
    figures::{accuracy, by_gap, calibration},
    pairs,
    section::RewardSection,
    task::{Comparisons, Scores},
    texts::{Split, Texts},
};

/// The stage's name.
pub const NAME: &str = "reward";

/// The stage's keys.
pub fn keys() -> Vec<Key> {
    RewardSection::keys()
}

/// The stage's section with every key, checked.
///
/// # Errors
/// Input, with the key's place.
pub fn resolved(recipe: &Recipe) -> Result<Value> {
    Ok(athanor_store::recipe::json(&recipe.section::<RewardSection>(NAME)?))
}

/// Fails unless the files, and the earlier stages' results, that the stage works on are there or
/// will be: asked before the first stage of a recipe begins.
///
/// # Errors
/// Input, with the key's place.
pub fn check_files(recipe: &Recipe, run: &Path) -> Result<()> {
    let section = recipe.section::<RewardSection>(NAME)?;
    match &section.model {
        Some(path) => recipe.needs_file("reward.model", path)?,
        None => recipe.needs_stage(run, NAME, "finetune", "model")?,
    }
    for (i, data) in section.data.iter().enumerate() {
        recipe.needs_file(&format!("{NAME}.data.{i}.dialogue.path"), &data.dialogue.path)?;
    }
    Ok(())
}

/// Trains a reward model and writes RUN/reward/model.
///
/// # Errors
/// Input for a wrong recipe, model or data, Interrupted after a checkpoint, Failed otherwise.
pub fn run(run: &Run) -> Result<()> {
    let section: RewardSection = run.recipe.section(NAME)?;
    if section.data.is_empty() {
        return Err(Error::input("there are no rated texts")
            .at(format!("{}: [reward]", run.recipe.name()))
            .hint("add [[reward.data]] with [reward.data.dialogue] path = \"ratings.jsonl\""));
    }
    let folder = stage_model(run, "finetune", "reward.model", section.model.as_deref())?;
    let mut fingerprint = run.fingerprint(&section).input("model", sha256_folder(&folder)?);
    for (i, data) in section.data.iter().enumerate() {
        let path = run.recipe.resolve(&data.dialogue.path);
        fingerprint = fingerprint.input(&format!("data.{i}"), sha256_file(&path)?);
    }
    let Some(context) = StageContext::open(run, NAME, fingerprint)? else { return Ok(()) };

    let model = Model::load_with_head(&folder, Head::SCALAR, run.seed, Device::Cpu)?;
    say_left_over(&*run.console, &folder, &model);
    let tokenizer = load_tokenizer(&folder, &model)?;
    let template = ChatTemplate::load(&folder).unwrap_or_default();
    let most = model.sizes().context;
    let limit = if section.context == 0 { most } else { section.context.min(most) };
    let texts = Texts::read(&section, &run.recipe, &tokenizer, &template, limit)?;
    if texts.left_out > 0 {
        run.console.say(&format!(
            "{NAME}: {} of {} texts were left out: they have no tokens, or more than {limit}",
            texts.left_out,
            texts.left_out + texts.all.len()
        ));
    }
    let held = pairs::draw(&texts, Split::Heldout, &section, run.seed);
    if held.is_empty() {
        return Err(Error::input("no held-out pair is sure enough")
            .at("reward.data")
            .hint("lower reward.heldout_gap or reward.heldout_confidence"));
    }
    texts.write(&context.folder.path("texts.jsonl"))?;
    pairs::write(&context.folder.path("pairs.heldout.jsonl"), &texts, &held)?;

    let validation = pairs::draw(&texts, Split::Validation, &section, run.seed);
    let hidden = tokenizer.require(SpecialTokens::PAD)?;
    let parameters = model.params.count();
    let steps = section.train.steps;
    let mut task = Comparisons::new(&texts, &validation, &section, hidden, run.seed);
    let mut trainer = Trainer::open(&context, &section.train, model, steps, steps)?;
    fit(&mut trainer, &mut task)?;

    let scores = Scores::of_heldout(&trainer.model, &texts);
    let tfidf = baseline::tfidf(&texts);
    let ours = |p: &Comparison| scores.margin(p) > 0.0;
    let theirs = |p: &Comparison| tfidf[p.better] > tfidf[p.worse];
    let (table, ece) = calibration(&texts, &scores, run.seed);
    let (own, other) = (accuracy(&held, ours), accuracy(&held, theirs));
    let groups: Vec<Value> = texts
        .groups
        .iter()
        .enumerate()
        .map(|(g, name)| {
            let inside: Vec<Comparison> = held.iter().copied().filter(|p| texts.all[p.better].group == g).collect();
            json!({ "name": name, "pairs": inside.len(), "accuracy": accuracy(&inside, ours), "tfidf": accuracy(&inside, theirs) })
        })
        .collect();
    let (seconds, tokens) = (trainer.seconds(), trainer.tokens());
    let mut model = trainer.close(&format!(
        "held-out accuracy {:.1} % (TF-IDF {:.1} %)",
        own * 100.0,
        other * 100.0
    ))?;
    save_model(&context.folder.path("model"), &mut model, &tokenizer, Some(&template))?;
    let summary = json!({
        "seconds": seconds,
        "parameters": parameters,
        "tokens": tokens,
        "texts_left_out": texts.left_out,
        "texts_train": texts.all.iter().filter(|t| t.split == Split::Train).count(),
        "texts_validation": texts.all.iter().filter(|t| t.split == Split::Validation).count(),
        "texts_heldout": texts.all.iter().filter(|t| t.split == Split::Heldout).count(),
        "pairs_heldout": held.len(),
        "heldout_accuracy": own,
        "tfidf_accuracy": other,
        "by_gap": by_gap(&held, ours, theirs),
        "by_group": groups,
        "calibration": table,
        "ece": ece,
    });
    context.folder.finish(&context.fingerprint, seconds, &summary)
}
