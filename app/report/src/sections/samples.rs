//! What the model wrote on the same prompts before and after each stage.

use std::collections::BTreeMap;

use serde::Serialize;

use super::prelude::*;
use crate::run_files::Status;

/// Prompts shown, and characters of each text.
const PROMPTS: usize = 24;
const CHARACTERS: usize = 2000;

/// Prompts as rows, moments of the run as columns.
#[derive(Debug, Default, Serialize)]
pub struct Grid {
    columns: Vec<String>,
    rows: Vec<Row>,
    /// Prompts that were left out.
    more: usize,
}

#[derive(Debug, Serialize)]
struct Row {
    prompt: String,
    cells: Vec<Option<Cell>>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Cell {
    text: String,
    reward: Option<f64>,
}

struct Column {
    label: String,
    cells: BTreeMap<String, Cell>,
}

/// The samples that `stage` took at its first and at its last step.
pub fn first_and_last(stage: &StageFiles) -> Grid {
    grid(columns(stage), 6, &stage.samples)
}

pub fn view(run: &RunFiles) -> Option<Value> {
    let columns: Vec<Column> = run.stages.iter().flat_map(columns).collect();
    let every: Vec<Json> = run.stages.iter().flat_map(|s| s.samples.iter().cloned()).collect();
    let grid = grid(columns, PROMPTS, &every);
    Some(view! { grid => grid })
}

fn step(row: &Json) -> f64 {
    number(row, &["step"]).filter(|s| s.is_finite()).unwrap_or(0.0)
}

fn columns(stage: &StageFiles) -> Vec<Column> {
    let steps = || stage.samples.iter().map(step);
    let (Some(first), Some(last)) = (steps().reduce(f64::min), steps().reduce(f64::max)) else {
        return Vec::new();
    };
    let at = |which: f64, when: &str| {
        let mut cells = BTreeMap::new();
        for row in stage.samples.iter().filter(|row| step(row) == which) {
            let text = format::clip(&words(row.get("text")), CHARACTERS);
            cells
                .entry(words(row.get("prompt")))
                .or_insert(Cell { text, reward: number(row, &["reward"]) });
        }
        // The state before a stage is that of step 0, and the one after it that of a stage that is done.
        let when = match when {
            "before" if which == 0.0 => "before ",
            "after" if stage.status == Status::Done => "after ",
            _ => "",
        };
        Column { label: format!("{when}{} · step {}", stage.name, format::number(which)), cells }
    };
    if first == last {
        vec![at(last, "after")]
    } else {
        vec![at(first, "before"), at(last, "after")]
    }
}

/// Puts columns side by side; one that says the same as the one before it (a stage's start is the end of the
/// stage before) is left out. Prompts are in the order in which they were first written.
fn grid(mut columns: Vec<Column>, limit: usize, samples: &[Json]) -> Grid {
    columns.dedup_by(|later, kept| {
        let same = kept.cells.len() == later.cells.len()
            && kept
                .cells
                .iter()
                .all(|(prompt, cell)| later.cells.get(prompt).is_some_and(|c| c.text == cell.text));
        if same {
            for (prompt, cell) in &mut kept.cells {
                cell.reward = cell.reward.or_else(|| later.cells.get(prompt)?.reward);
            }
        }
        same
    });
    // Prompts in most columns come first: those are the ones that can be compared.
    let mut prompts: Vec<(usize, String)> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for row in samples {
        let prompt = words(row.get("prompt"));
        let shared = columns.iter().filter(|c| c.cells.contains_key(&prompt)).count();
        if shared > 0 && seen.insert(prompt.clone()) {
            prompts.push((shared, prompt));
        }
    }
    prompts.sort_by_key(|(shared, _)| std::cmp::Reverse(*shared));
    let rows = prompts.iter().take(limit).map(|(_, prompt)| Row {
        prompt: format::clip(prompt, CHARACTERS),
        cells: columns.iter().map(|c| c.cells.get(prompt).cloned()).collect(),
    });
    let rows = rows.collect();
    let more = prompts.len().saturating_sub(limit);
    Grid { columns: columns.into_iter().map(|c| c.label).collect(), rows, more }
}
