//! The result of a comparison: its figures and its table.

use std::path::{Path, PathBuf};

use athanor_store::{Error, Result, read_json, write_atomic, write_json};
use serde_json::{Value, json};

use super::{
    Comparison, EntrySection, TextsSection,
    reach::{self, Evaluation},
    slug,
};

/// Mean and standard deviation (of a sample; none for a single value).
fn spread(values: &[f64]) -> (f64, Option<f64>) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()))
}

fn figure(values: Vec<f64>) -> Value {
    let (mean, deviation) = spread(&values);
    let mean = (!values.is_empty()).then_some(mean);
    json!({ "values": values, "mean": mean, "deviation": deviation })
}

/// Where a model's figures on texts are kept.
pub(super) fn text_file(run: &Path, texts: &TextsSection) -> PathBuf {
    run.join("texts").join(format!("{}.json", slug(&texts.name)))
}

/// A pretraining's evaluations, one curve a seed.
type Curves = Vec<Vec<Evaluation>>;

/// Adds the figures that `reach` asks for to a model's entry.
fn add_reach(entry: &mut Value, own: &Curves, yardstick: &Curves) {
    let curve = |c: &Vec<Evaluation>| -> Value {
        c.iter().map(|e| json!([e.seconds, e.loss, e.step])).collect()
    };
    entry["curves"] = own.iter().map(curve).collect();
    let reached = reach::reached(own, yardstick);
    let of = |key: &str| figure(reached.iter().filter_map(|r| r.get(key)?.as_f64()).collect());
    entry["reached"] = json!({
        "seeds": reached.iter().filter(|r| !r.is_null()).count(),
        "of": reached.len(),
        "seconds": of("seconds"),
        "steps": of("steps"),
        "share": of("share"),
    });
}

/// Reads the summaries and writes comparison.json, comparison.md and report.html.
pub(super) fn write(
    comparison: &Comparison,
    folder: impl Fn(&EntrySection, u64) -> PathBuf,
) -> Result<Value> {
    let section = &comparison.section;
    let runs_of = |entry: &EntrySection| -> Vec<PathBuf> {
        section.seeds_of(entry).iter().map(|&seed| folder(entry, seed)).collect()
    };
    let curves = |entry: &EntrySection| -> Result<Curves> {
        runs_of(entry).iter().map(|run| reach::curve(run)).collect()
    };
    let yardstick = section.models.iter().find(|m| m.name == section.reach);
    let yardstick = yardstick.map(curves).transpose()?;
    let mut models = Vec::new();
    for entry in &section.models {
        let runs = runs_of(entry);
        let summaries: Vec<Value> = runs
            .iter()
            .map(|run| read_json(&run.join("pretrain/summary.json")))
            .collect::<Result<_>>()?;
        let of = |key: &str| -> Vec<f64> {
            summaries.iter().filter_map(|s| s.get(key)?.as_f64()).collect()
        };
        let mut tasks = Vec::new();
        for task in &section.tasks {
            let mut found = Vec::new();
            for run in &runs {
                let path = run.join("tasks").join(slug(&task.name)).join("finetune/summary.json");
                found.push(
                    measure(&read_json(&path)?, &task.metric).map_err(|e| e.at(path.display()))?,
                );
            }
            let values = found.iter().map(|f| f.1).collect();
            let mut entry = figure(values);
            let baselines: Vec<f64> = found.iter().filter_map(|f| f.2).collect();
            entry["name"] = json!(task.name);
            entry["metric"] = json!(found.first().map(|f| f.0.as_str()));
            entry["baseline"] = json!((!baselines.is_empty()).then(|| spread(&baselines).0));
            tasks.push(entry);
        }
        let mut texts = Vec::new();
        for on in &section.texts {
            let all = runs.iter().map(|run| read_json(&text_file(run, on)));
            let all: Vec<Value> = all.collect::<Result<_>>()?;
            let of = |key: &str| all.first().map(|f| f[key].clone());
            let mut found =
                figure(all.iter().filter_map(|f| f["bits_per_byte"].as_f64()).collect());
            found["name"] = json!(on.name);
            found["documents"] = json!(of("documents"));
            found["bytes"] = json!(of("bytes"));
            texts.push(found);
        }
        let mut line = json!({
            "name": entry.name,
            "objective": summaries.first().and_then(|s| s.get("objective")),
            "parameters": summaries.first().and_then(|s| s.get("parameters")),
            "tokens": figure(of("tokens")),
            "seconds": figure(of("seconds")),
            "heldout_loss": figure(of("heldout_loss")),
            "tasks": tasks,
            "texts": texts,
        });
        if let Some(yardstick) = &yardstick {
            add_reach(&mut line, &curves(entry)?, yardstick);
        }
        models.push(line);
    }
    let mut all = json!({ "name": comparison.name, "seeds": section.seeds, "models": models });
    if yardstick.is_some() {
        all["reach"] = json!(section.reach);
    }
    write_json(&comparison.out.join("comparison.json"), &all)?;
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

/// `0.123 ± 0.004`, or without a spread.
fn with_spread(figure: &Value, factor: f64, decimals: usize) -> String {
    let of = |key: &str| Some(factor * figure[key].as_f64()?);
    match (of("mean"), of("deviation")) {
        (Some(mean), Some(d)) => format!("{mean:.decimals$} ± {d:.decimals$}"),
        (Some(mean), None) => format!("{mean:.decimals$}"),
        _ => String::new(),
    }
}

/// Rows of cells: the heading first.
pub fn rows(all: &Value) -> Vec<Vec<String>> {
    let entries = |of: &Value, key: &str| of[key].as_array().cloned().unwrap_or_default();
    let models = entries(all, "models");
    let mut heading: Vec<String> =
        ["model", "parameters", "tokens", "seconds"].map(str::to_owned).to_vec();
    let reach = all["reach"].as_str();
    if let Some(name) = reach {
        heading.push("held-out loss".to_owned());
        heading.push(format!("as good as {name} after"));
    }
    let word = |of: &Value, key: &str| of[key].as_str().unwrap_or("").replace('_', " ");
    let first = models.first().cloned().unwrap_or_default();
    let tasks = entries(&first, "tasks");
    heading.extend(tasks.iter().map(|t| format!("{}: {}", word(t, "name"), word(t, "metric"))));
    let texts = entries(&first, "texts");
    heading.extend(texts.iter().map(|t| format!("{}: bits per byte", word(t, "name"))));
    let mut rows = vec![heading];
    let number = |v: &Value| v.as_f64().unwrap_or(f64::NAN);
    for model in &models {
        let mut row = vec![
            model["name"].as_str().unwrap_or("").to_owned(),
            format!("{:.2} M", number(&model["parameters"]) / 1e6),
            format!("{:.2} M", number(&model["tokens"]["mean"]) / 1e6),
            format!("{:.0}", number(&model["seconds"]["mean"])),
        ];
        if reach.is_some() {
            row.push(with_spread(&model["heldout_loss"], 1.0, 3));
            let reached = &model["reached"];
            let seconds = number(&reached["seconds"]["mean"]);
            row.push(match reached["seeds"].as_u64() {
                Some(1..) => {
                    format!("{seconds:.0} s, {} times", with_spread(&reached["share"], 1.0, 2))
                }
                _ => "not reached".to_owned(),
            });
        }
        row.extend(entries(model, "tasks").iter().map(|t| with_spread(t, 100.0, 2)));
        row.extend(entries(model, "texts").iter().map(|t| with_spread(t, 1.0, 3)));
        rows.push(row);
    }
    if tasks.iter().any(|t| t["baseline"].is_number()) {
        let mut row = vec!["(baseline)".to_owned()];
        row.resize(rows[0].len() - tasks.len() - texts.len(), String::new());
        row.extend(tasks.iter().map(|t| match t["baseline"].as_f64() {
            Some(b) => format!("{:.2}", 100.0 * b),
            None => String::new(),
        }));
        row.resize(rows[0].len(), String::new());
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
