//! What the runs of a comparison came to.

use std::{
    fs,
    path::{Path, PathBuf},
};

use athanor_store::{Error, Result, write_atomic};
use serde_json::{Value, json};

use super::{Comparison, EntrySection, slug};

fn read(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
    serde_json::from_str(&text).map_err(|e| Error::failed(e).at(path.display()))
}

/// Mean and standard deviation (of a sample; none for a single value).
fn spread(values: &[f64]) -> (f64, Option<f64>) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()))
}

fn figure(values: Vec<f64>) -> Value {
    let (mean, deviation) = spread(&values);
    json!({ "values": values, "mean": mean, "deviation": deviation })
}

/// Reads the summaries and writes comparison.json, comparison.md and report.html.
pub(super) fn write(
    comparison: &Comparison,
    folder: impl Fn(&EntrySection, u64) -> PathBuf,
) -> Result<Value> {
    let section = &comparison.section;
    let mut models = Vec::new();
    for entry in &section.models {
        let runs: Vec<PathBuf> = section.seeds.iter().map(|&seed| folder(entry, seed)).collect();
        let summaries: Vec<Value> = runs
            .iter()
            .map(|run| read(&run.join("pretrain/summary.json")))
            .collect::<Result<_>>()?;
        let of = |key: &str| -> Vec<f64> {
            summaries.iter().filter_map(|s| s.get(key)?.as_f64()).collect()
        };
        let mut tasks = Vec::new();
        for task in &section.tasks {
            let mut found = Vec::new();
            for run in &runs {
                let path = run.join("tasks").join(slug(&task.name)).join("finetune/summary.json");
                found.push(measure(&read(&path)?, &task.metric).map_err(|e| e.at(path.display()))?);
            }
            let values = found.iter().map(|f| f.1).collect();
            let mut entry = figure(values);
            let baselines: Vec<f64> = found.iter().filter_map(|f| f.2).collect();
            entry["name"] = json!(task.name);
            entry["metric"] = json!(found.first().map(|f| f.0.as_str()));
            entry["baseline"] = json!((!baselines.is_empty()).then(|| spread(&baselines).0));
            tasks.push(entry);
        }
        models.push(json!({
            "name": entry.name,
            "objective": summaries.first().and_then(|s| s.get("objective")),
            "parameters": summaries.first().and_then(|s| s.get("parameters")),
            "tokens": figure(of("tokens")),
            "seconds": figure(of("seconds")),
            "heldout_loss": figure(of("heldout_loss")),
            "tasks": tasks,
        }));
    }
    let all = json!({ "name": comparison.name, "seeds": section.seeds, "models": models });
    let text = serde_json::to_string_pretty(&all).map_err(Error::failed)?;
    write_atomic(&comparison.out.join("comparison.json"), text.as_bytes())?;
    write_atomic(&comparison.out.join("comparison.md"), markdown(&all).as_bytes())?;
    athanor_report::write_comparison(&comparison.out)?;
    Ok(all)
}

/// A task's measure: its name, value and baseline.
fn measure(summary: &Value, wanted: &str) -> Result<(String, f64, Option<f64>)> {
    let tasks = summary["tasks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names: Vec<&str> = tasks.iter().filter_map(|t| t["metric"].as_str()).collect();
    let found = tasks.iter().find(|t| wanted.is_empty() || t["metric"] == wanted);
    let value = found.and_then(|t| Some((t, t["value"].as_f64()?)));
    let Some((task, value)) = value else {
        let list = names.join(", ");
        return Err(Error::input(format!("no measure {wanted:?}; there are: {list}"))
            .hint("name one of these with comparison.tasks.metric, or none for the first"));
    };
    Ok((task["metric"].as_str().unwrap_or("").into(), value, task["baseline"].as_f64()))
}

/// Rows of cells: the heading first.
pub fn rows(all: &Value) -> Vec<Vec<String>> {
    let models = all["models"].as_array().map(Vec::as_slice).unwrap_or_default();
    let tasks = |model: &Value| model["tasks"].as_array().cloned().unwrap_or_default();
    let mut heading: Vec<String> =
        ["model", "parameters", "tokens", "seconds"].map(str::to_owned).to_vec();
    let first = models.first().map(tasks).unwrap_or_default();
    heading.extend(first.iter().map(|t| {
        let word = |key: &str| t[key].as_str().unwrap_or("").replace('_', " ");
        format!("{}: {}", word("name"), word("metric"))
    }));
    let mut rows = vec![heading];
    let number = |v: &Value| v.as_f64().unwrap_or(f64::NAN);
    for model in models {
        let mut row = vec![
            model["name"].as_str().unwrap_or("").to_owned(),
            format!("{:.2} M", number(&model["parameters"]) / 1e6),
            format!("{:.2} M", number(&model["tokens"]["mean"]) / 1e6),
            format!("{:.0}", number(&model["seconds"]["mean"])),
        ];
        row.extend(tasks(model).iter().map(|t| match t["deviation"].as_f64() {
            Some(d) => format!("{:.2} ± {:.2}", 100.0 * number(&t["mean"]), 100.0 * d),
            None => format!("{:.2}", 100.0 * number(&t["mean"])),
        }));
        rows.push(row);
    }
    if first.iter().any(|t| t["baseline"].is_number()) {
        let mut row = vec!["(baseline)".to_owned(), String::new(), String::new(), String::new()];
        row.extend(first.iter().map(|t| match t["baseline"].as_f64() {
            Some(b) => format!("{:.2}", 100.0 * b),
            None => String::new(),
        }));
        rows.push(row);
    }
    rows
}

/// The table for a README.
fn markdown(all: &Value) -> String {
    let mut text = String::new();
    for (i, row) in rows(all).iter().enumerate() {
        text += &format!("| {} |\n", row.join(" | "));
        if i == 0 {
            text += &format!("|---{}|\n", "|---:".repeat(row.len() - 1));
        }
    }
    text
}
