//! Reinforcement: did the reward rise, at what distance from the reference, and is the arithmetic sound.

use athanor_store::{
    Figure,
    figures::{
        ACCURACY, CLIP_FRACTION, ENTROPY, EXPLAINED_VARIANCE, KL, LOSS, MARGIN, POLICY_LOSS,
        REWARD, ReinforceSummary, Training, VALUE_LOSS,
    },
};

use super::{prelude::*, samples, training::curve};
use crate::plot::{Dot, frontier};

pub fn key(stage: &StageFiles) -> String {
    let summary: ReinforceSummary = stage.summary();
    let (Some(before), Some(after)) = (summary.reward_before, summary.reward_after) else {
        // A method that learns from comparisons has no reward.
        let say = |accuracy| format!("held-out {} {}", ACCURACY.title, ACCURACY.show(accuracy));
        return summary.heldout_accuracy.map_or_else(String::new, say);
    };
    let at = |kl| format!(" at {} {} {}", KL.title, format::number(kl), KL.unit.words());
    let kl = summary.kl.map_or_else(String::new, at);
    format!("{} {} → {}{kl}", REWARD.title, format::number(before), format::number(after))
}

pub fn view(run: &RunFiles) -> Option<Value> {
    let (stage, summary) = shown::<ReinforceSummary>(run)?;
    let rest = ReinforceSummary {
        training: Training::default(),
        reward_before: None,
        reward_after: None,
        reward_std_before: None,
        reward_std_after: None,
        kl: None,
        distinct2_before: None,
        distinct2_after: None,
        logprob_gap_max: None,
        logprob_gap_mean: None,
        heldout_loss_before: None,
        heldout_loss: None,
        heldout_accuracy: None,
        heldout_margin: None,
        ..summary.clone()
    };
    let gain = summary.reward_after.zip(summary.reward_before).map(|(a, b)| a - b);
    let spread = summary.reward_std_before.filter(|s| *s > 0.0);
    Some(view! {
        stage => header(stage, &rest),
        gain => gain,
        gain_in_std => gain.zip(spread).map(|(g, s)| g / s),
        summary => summary,
        figures => figures(stage),
        grid => samples::first_and_last(stage),
    })
}

fn figures(stage: &StageFiles) -> Figures {
    let metrics = &stage.metrics;
    let train = |figure| column(metrics, Rows::Train, figure);
    let mut figures = Figures::default();
    let mut add = |figure: &Figure, over, heldout| {
        let plot = LinePlot::of(figure).over(over);
        figures.add(figure.title, curve(plot, metrics, figure, heldout).figure());
    };
    if !train(&MARGIN).is_empty() {
        // A method that learns from comparisons.
        for figure in [&LOSS, &ACCURACY, &MARGIN] {
            add(figure, "step", "held-out");
        }
        return figures;
    }
    const OVER: &str = "iteration";
    for figure in [&REWARD, &KL] {
        add(figure, OVER, "held-out prompts");
    }
    let dots = metrics.iter().filter_map(|row| {
        let (x, y) = (value(row, &KL)?, value(row, &REWARD)?);
        Some(Dot { x, y, weight: row.step.map_or(f64::NAN, |step| step as f64) })
    });
    let dots: Vec<Dot> = dots.collect();
    figures.add("reward against KL", frontier([&KL, &REWARD], &dots));
    for figure in [&ENTROPY, &CLIP_FRACTION, &EXPLAINED_VARIANCE] {
        let plot = LinePlot::of(figure).over(OVER);
        figures.add(figure.title, curve(plot, metrics, figure, "").figure());
    }
    let mut losses = LinePlot::new("Losses", "").over(OVER);
    for (figure, class) in [(&POLICY_LOSS, "s1"), (&VALUE_LOSS, "s2")] {
        losses = losses.curve(figure.title, class, train(figure));
    }
    figures.add("losses", losses.figure());
    figures
}
