//! Every figure of the report in one line: those that stages share, and those of this run's tasks.

use athanor_store::{Better, figures};
use minijinja::Value;
use serde_json::Value as Json;

use super::{Section, view};
use crate::run_files::{RunFiles, list, string};

pub const SECTION: Section = Section {
    id: "glossary",
    title: "Glossary",
    template: include_str!("../../templates/glossary.html"),
    view,
    key: None,
};

fn view(run: &RunFiles) -> Option<Value> {
    let shared = figures::ALL.iter().map(|figure| {
        let better = match figure.better {
            Better::Higher => " Higher is better.",
            Better::Lower => " Lower is better.",
            Better::Neither => "",
        };
        (figure.title.to_owned(), format!("{}{better}", figure.about))
    });
    let words = WORDS.iter().map(|(word, about)| ((*word).to_owned(), (*about).to_owned()));
    let mut all: Vec<(String, String)> = shared.chain(words).collect();
    for stage in &run.stages {
        for figure in list(&stage.summary, "tasks") {
            let entry = (words_of(figure, "title"), words_of(figure, "about"));
            if !entry.0.is_empty() && !entry.1.is_empty() && !all.contains(&entry) {
                all.push(entry);
            }
        }
    }
    Some(view! { words => all })
}

fn words_of(figure: &Json, key: &str) -> String {
    string(figure, key).to_owned()
}

/// Words that are no figures.
const WORDS: &[(&str, &str)] = &[
    ("held-out", "measured on documents that no stage trains on, chosen by a hash of their text."),
    (
        "fingerprint",
        "hash of a stage's settings and of what it was made from; a stage with the same fingerprint is not done again.",
    ),
];
