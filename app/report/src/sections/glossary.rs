//! Every figure of the report in one line: those of this run's stages and tasks.

use athanor_store::{
    Better, Figure,
    figures::{self, FinetuneSummary},
};

use super::prelude::*;
use crate::run_files::Status;

pub fn view(run: &RunFiles) -> Option<Value> {
    let is_there = |stage: &str| run.stage(stage).is_none_or(|s| s.status != Status::NotInRun);
    let figures = figures::ALL.iter().filter(|(stage, _)| is_there(stage));
    let mut all: Vec<(String, String)> =
        figures.flat_map(|(_, figures)| figures.iter().map(|figure| entry(figure))).collect();
    all.extend(WORDS.iter().map(|(word, about)| ((*word).to_owned(), (*about).to_owned())));
    let tasks = run.stages.iter().flat_map(|stage| stage.summary::<FinetuneSummary>().tasks);
    for task in tasks.filter(|task| !task.title.is_empty() && !task.about.is_empty()) {
        let entry = (task.title, task.about);
        if !all.contains(&entry) {
            all.push(entry);
        }
    }
    Some(view! { words => all })
}

fn entry(figure: &Figure) -> (String, String) {
    let better = match figure.better {
        Better::Higher => " Higher is better.",
        Better::Lower => " Lower is better.",
        Better::Neither => "",
    };
    (figure.title.to_owned(), format!("{}{better}", figure.about))
}

/// Words that are no figures.
const WORDS: &[(&str, &str)] = &[
    ("held-out", "measured on documents that no stage trains on, chosen by a hash of their text."),
    (
        "fingerprint",
        "hash of a stage's settings and of what it was made from; a stage with the same fingerprint is not done again.",
    ),
];
