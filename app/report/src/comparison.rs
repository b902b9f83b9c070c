//! The page of a comparison: a table, the losses over time, and for each task and text a picture of how far seeds
//! and models lie apart.

use std::path::{Path, PathBuf};

use athanor_store::{
    Error, Result,
    figures::{BITS_PER_BYTE, LOSS},
    read_text, write_atomic,
};
use serde_json::Value as Json;

use crate::{
    page::environment,
    plot::{Figure, Figures, LinePlot, strip, strip_of_numbers},
    run_files::{list, number, string},
    sections::view,
};

/// Writes DIR/report.html from DIR/comparison.json and gives its path.
///
/// # Errors
/// Input for a comparison.json that is missing or not JSON; Failed when the page cannot be written.
pub fn write_comparison(dir: &Path) -> Result<PathBuf> {
    let from = dir.join("comparison.json");
    let json: Json =
        serde_json::from_str(&read_text(&from)?).map_err(|e| Error::input(e).at(from.display()))?;
    let html = page(&json)
        .map_err(|e| Error::failed(format!("cannot build the report: {e:#}")).at(dir.display()))?;
    let path = dir.join("report.html");
    write_atomic(&path, html.as_bytes())?;
    Ok(path)
}

/// The first seed's held-out loss over time, of each model.
fn curves(models: &[Json]) -> Option<Figure> {
    const CLASSES: [&str; 6] = ["s1", "s2", "s3", "s5", "s6", "s4"];
    let what = "held-out, over the time of training, first seed";
    let mut plot = LinePlot::of(&LOSS).about(what).over("seconds");
    for (model, class) in models.iter().zip(CLASSES.iter().cycle()) {
        let curve = list(model, "curves").first().and_then(Json::as_array);
        // The first is before any training and would flatten the rest.
        let points = curve.map(Vec::as_slice).unwrap_or_default().iter().skip(1);
        let points = points.filter_map(|p| Some((p.get(0)?.as_f64()?, p.get(1)?.as_f64()?)));
        plot = plot.curve(string(model, "name").to_owned(), class, points.collect());
    }
    plot.figure()
}

fn page(json: &Json) -> Result<String, minijinja::Error> {
    let models = list(json, "models");
    let tasks = models.first().map(|m| list(m, "tasks")).unwrap_or_default();
    let texts = models.first().map(|m| list(m, "texts")).unwrap_or_default();
    // Each model's values of the i-th entry of a list.
    let groups = |key: &str, i: usize| -> Vec<(String, Vec<f64>)> {
        let of = |model: &Json| {
            let values = list(model, key).get(i).map(|t| list(t, "values")).unwrap_or_default();
            let values = values.iter().filter_map(Json::as_f64).collect();
            (string(model, "name").to_owned(), values)
        };
        models.iter().map(of).collect()
    };
    let mut figures = Figures::default();
    if json.get("reach").is_some() {
        figures.add("held-out loss by time", curves(models));
    }
    for (i, task) in tasks.iter().enumerate() {
        let title =
            format!("{}: {}", string(task, "name"), string(task, "metric").replace('_', " "));
        let reference = number(task, &["baseline"]);
        figures.add(&title, strip(&title, &groups("tasks", i), reference));
    }
    for (i, text) in texts.iter().enumerate() {
        let title = format!("{}: {}", string(text, "name"), BITS_PER_BYTE.title);
        figures.add(&title, strip_of_numbers(&title, &groups("texts", i)));
    }
    environment()?.render_str(
        include_str!("../templates/comparison.html"),
        view! {
            title => string(json, "name"),
            kind => "comparison",
            source => "comparison.json",
            seeds => list(json, "seeds").len(),
            models => models,
            tasks => tasks,
            texts => texts,
            reach => json.get("reach"),
            figures => figures,
            version => env!("CARGO_PKG_VERSION"),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_from_whatever_is_there() {
        let task = serde_json::json!({
            "name": "<tags>", "metric": "accuracy", "values": [0.5, 0.6], "mean": 0.55, "deviation": 0.07,
            "baseline": 0.2
        });
        let model =
            |tasks| serde_json::json!({ "name": "BERT", "parameters": 1000, "tasks": tasks });
        let all =
            serde_json::json!({ "name": "c", "seeds": [1, 2], "models": [model(vec![task])] });
        let html = page(&all).unwrap();
        assert!(html.contains("&lt;tags&gt;") && html.contains("<circle") && html.contains("55.0"));
        for odd in
            [serde_json::json!({}), serde_json::json!({ "models": [1, { "tasks": [null] }] })]
        {
            page(&odd).unwrap();
        }
    }
}
