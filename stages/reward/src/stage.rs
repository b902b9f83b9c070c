//! The stage: from rated texts to a reward model and its account.

use athanor_data::{Split, preferences::Comparison};
use athanor_models::{Head, Model};
use athanor_store::{
    Done, Error, Input, Result, Stage, StageKind, Work,
    figures::{GroupRow, RewardSummary, Training},
};
use athanor_text::{ChatTemplate, SpecialTokens};
use athanor_training::{StageContext, Trainer, fit, load_tokenizer, save_model, say_left_over};

use crate::{
    baseline,
    figures::{accuracy, by_gap, calibration},
    pairs,
    scores::Scores,
    section::RewardSection,
    task::Comparisons,
    texts::Texts,
};

/// The stage's entry.
pub const STAGE: StageKind = StageKind::of::<Reward>();

struct Reward;

impl Stage for Reward {
    type Section = RewardSection;
    type Summary = RewardSummary;
    const ABOUT: &'static str = "Train a reward model on human comparisons and ratings";

    fn inputs(section: &RewardSection) -> Vec<Input> {
        let mut all = vec![Input::model("model", section.model.as_deref(), "finetune")];
        for (i, data) in section.data.iter().enumerate() {
            let key = format!("data.{i}.dialogue.path");
            all.push(Input::file(format!("data.{i}"), key, &data.dialogue.path));
        }
        all
    }

    fn work(work: &Work<'_, RewardSection>) -> Result<Done<RewardSummary>> {
        let run = work.run;
        if work.section.data.is_empty() {
            return Err(Error::input("there are no judged texts")
                .at(format!("{}: [reward]", run.recipe.name()))
                .hint("add [[reward.data]] with [reward.data.dialogue] path = \"ratings.jsonl\""));
        }
        train(work, &StageContext::of(work)?)
    }
}

/// Trains a reward model and writes RUN/reward/model.
fn train(
    work: &Work<'_, RewardSection>,
    context: &StageContext<'_>,
) -> Result<Done<RewardSummary>> {
    let (run, section, folder) = (work.run, &work.section, work.place("model"));
    let model = Model::load_with_head(folder, Head::SCALAR, run.seed, context.device())?;
    say_left_over(&*run.console, folder, &model);
    let tokenizer = load_tokenizer(folder, &model)?;
    let template = ChatTemplate::load(folder).unwrap_or_default();
    let most = model.sizes().context;
    let limit = if section.context == 0 { most } else { section.context.min(most) };
    let texts = Texts::read(section, &run.recipe, &tokenizer, &template, limit)?;
    if texts.left_out > 0 {
        run.console.say(&format!(
            "reward: {} of {} texts were left out: they have no tokens, or more than {limit}",
            texts.left_out,
            texts.left_out + texts.all.len()
        ));
    }
    let held = pairs::draw(&texts, Split::Heldout, section, run.seed);
    if held.is_empty() {
        return Err(Error::input("no held-out pair is sure enough")
            .at("reward.data")
            .hint("lower reward.heldout_gap or reward.heldout_confidence"));
    }
    texts.write(&context.folder.path("texts.jsonl"))?;
    pairs::write(&context.folder.path("pairs.heldout.jsonl"), &texts, &held)?;

    let validation = pairs::draw(&texts, Split::Validation, section, run.seed);
    let hidden = tokenizer.require(SpecialTokens::PAD)?;
    let parameters = model.params.count();
    let steps = section.train.steps;
    let mut task = Comparisons::new(&texts, &validation, section, hidden, run.seed);
    let mut trainer = Trainer::open(context, &section.train, model, steps, steps)?;
    fit(&mut trainer, &mut task)?;

    let scores = Scores::of_heldout(&trainer.model, &texts);
    let tfidf = baseline::tfidf(&texts);
    let ours = |p: &Comparison| scores.margin(p) > 0.0;
    let theirs = |p: &Comparison| tfidf[p.better] > tfidf[p.worse];
    let (table, ece) = calibration(&texts, &scores, run.seed);
    let (own, other) = (accuracy(&held, ours), accuracy(&held, theirs));
    let group = |(g, name): (usize, &String)| {
        let inside = held.iter().copied().filter(|p| texts.all[p.better].group == g);
        let inside: Vec<Comparison> = inside.collect();
        GroupRow {
            name: name.clone(),
            pairs: Some(inside.len() as u64),
            accuracy: Some(accuracy(&inside, ours)),
            tfidf: Some(accuracy(&inside, theirs)),
        }
    };
    let groups = texts.groups.iter().enumerate().map(group).collect();
    let (seconds, tokens) = (trainer.seconds(), trainer.tokens());
    let mut model = trainer.close(&format!(
        "held-out accuracy {:.1} % (TF-IDF {:.1} %)",
        own * 100.0,
        other * 100.0
    ))?;
    save_model(&context.folder.path("model"), &mut model, &tokenizer, Some(&template))?;
    let of_split = |split| Some(texts.all.iter().filter(|t| t.split == split).count() as u64);
    let summary = RewardSummary {
        training: Training {
            seconds: Some(seconds),
            parameters: Some(parameters as u64),
            tokens: Some(tokens),
        },
        texts_left_out: Some(texts.left_out as u64),
        texts_train: of_split(Split::Train),
        texts_validation: of_split(Split::Validation),
        texts_heldout: of_split(Split::Heldout),
        pairs_heldout: Some(held.len() as u64),
        heldout_accuracy: Some(own),
        tfidf_accuracy: Some(other),
        by_gap: by_gap(&held, ours, theirs),
        by_group: groups,
        calibration: table,
        ece: Some(ece),
        ..RewardSummary::default()
    };
    Ok(Done { seconds, summary })
}
