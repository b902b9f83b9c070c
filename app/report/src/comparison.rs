//! The page of a comparison: a table, and for each task a picture of how far seeds and models lie apart.

use std::path::{Path, PathBuf};

use athanor_store::{Error, Result, read_text, write_atomic};
use serde_json::Value as Json;

use crate::{
    page::environment,
    plot::{Figures, strip},
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

fn page(json: &Json) -> Result<String, minijinja::Error> {
    let models = list(json, "models");
    let tasks = models.first().map(|m| list(m, "tasks")).unwrap_or_default();
    let mut figures = Figures::default();
    for (i, task) in tasks.iter().enumerate() {
        let title =
            format!("{}: {}", string(task, "name"), string(task, "metric").replace('_', " "));
        let groups: Vec<_> = models
            .iter()
            .map(|model| {
                let values = list(model, "tasks").get(i).map(|t| list(t, "values"));
                let values = values.unwrap_or_default().iter().filter_map(Json::as_f64);
                (string(model, "name").to_owned(), values.collect())
            })
            .collect();
        figures.add(&title, strip(&title, &groups, number(task, &["baseline"])));
    }
    environment()?.render_str(
        include_str!("../templates/comparison.html"),
        view! {
            style => include_str!("../templates/style.css"),
            name => string(json, "name"),
            seeds => list(json, "seeds").len(),
            models => models,
            tasks => tasks,
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
