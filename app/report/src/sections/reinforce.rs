//! Reinforcement: did the reward rise, at what distance from the reference, and is the arithmetic sound.

use athanor_store::{
    Figure,
    figures::{CLIP_FRACTION, ENTROPY, EXPLAINED_VARIANCE, KL, REWARD},
};
use minijinja::Value;

use super::{Section, header, samples, shown, training::with_mean, view};
use crate::{
    format,
    plot::{Dot, Figures, LinePlot, frontier},
    run_files::{RunFiles, StageFiles, number},
    series::{Rows, column},
};

pub const SECTION: Section = Section {
    id: "reinforce",
    title: "Reinforce",
    template: include_str!("../../templates/reinforce.html"),
    view,
    key: Some(key),
};

fn key(stage: &StageFiles) -> String {
    let get = |key| number(&stage.summary, &[key]);
    let (Some(before), Some(after)) = (get("reward_before"), get("reward_after")) else {
        // A method that learns from comparisons has no reward.
        let accuracy = get("heldout_accuracy");
        return accuracy
            .map_or_else(String::new, |a| format!("held-out accuracy {:.1} %", 100.0 * a));
    };
    let kl = get("kl").map_or_else(String::new, |kl| format!(" at KL {} nats", format::number(kl)));
    format!("reward {} → {}{kl}", format::number(before), format::number(after))
}

fn view(run: &RunFiles) -> Option<Value> {
    const TOLD: &[&str] = &[
        "seconds",
        "parameters",
        "tokens",
        "reward_before",
        "reward_after",
        "reward_std_before",
        "reward_std_after",
        "kl",
        "distinct2_before",
        "distinct2_after",
        "logprob_gap_max",
        "logprob_gap_mean",
    ];
    let stage = shown(run, "reinforce")?;
    let get = |key| number(&stage.summary, &[key]);
    let gain = get("reward_after").zip(get("reward_before")).map(|(a, b)| a - b);
    Some(view! {
        stage => header(stage, TOLD),
        summary => stage.summary,
        gain => gain,
        gain_in_std => gain.zip(get("reward_std_before").filter(|s| *s > 0.0)).map(|(g, s)| g / s),
        figures => figures(stage),
        grid => samples::first_and_last(stage),
    })
}

fn figures(stage: &StageFiles) -> Figures {
    let train = |key| column(&stage.metrics, Rows::Train, &[key]);
    let plot = |title, unit| LinePlot::new(title, unit).over("iteration");
    let of = |figure: &Figure| {
        let plot = LinePlot::of(figure).over("iteration");
        with_mean(plot, "running mean", train(figure.name))
    };
    if !train("margin").is_empty() {
        return of_comparisons(stage);
    }
    let reward = train(REWARD.name);
    let mut figures = Figures::default();
    let heldout = column(&stage.metrics, Rows::Heldout, &["reward"]);
    let rewards = with_mean(plot("Reward", "mean reward"), "running mean", reward.clone());
    figures.add("reward", rewards.marked("held-out prompts", "s2", heldout).figure());
    figures.add(KL.title, of(&KL).figure());
    let dots = stage.metrics.iter().filter_map(|row| {
        let (x, y) = (number(row, &["kl"])?, number(row, &["reward"])?);
        Some(Dot { x, y, weight: number(row, &["step"]).unwrap_or(f64::NAN) })
    });
    figures.add("reward against KL", frontier("Reward against KL", &dots.collect::<Vec<_>>()));
    for figure in [&ENTROPY, &CLIP_FRACTION, &EXPLAINED_VARIANCE] {
        figures.add(figure.title, of(figure).figure());
    }
    let losses = plot("Losses", "").curve("policy", "s1", train("policy_loss")).curve(
        "value",
        "s2",
        train("value_loss"),
    );
    figures.add("losses", losses.figure());
    figures
}

/// Curves of a method that learns from comparisons.
fn of_comparisons(stage: &StageFiles) -> Figures {
    let mut figures = Figures::default();
    for (name, title, unit) in [
        ("loss", "Loss", "nats a comparison"),
        ("accuracy", "Accuracy", "share of comparisons"),
        ("margin", "Margin", "β times the log-probability ratio"),
    ] {
        let curve = |rows| column(&stage.metrics, rows, &[name]);
        let plot = LinePlot::new(title, unit).over("step");
        let plot = with_mean(plot, "running mean", curve(Rows::Train));
        figures.add(name, plot.marked("held-out", "s2", curve(Rows::Heldout)).figure());
    }
    figures
}
