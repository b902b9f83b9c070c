//! What text went in, what each cleaning step did to it, and what came out.

use std::collections::BTreeMap;

use minijinja::Value;
use serde_json::Value as Json;

use super::{Section, header, shown, view, words};
use crate::{
    format,
    plot::{Figures, histogram, stacked},
    run_files::{RunFiles, StageFiles, list, number},
};

pub const SECTION: Section = Section {
    id: "corpus",
    title: "Corpus",
    template: include_str!("../../templates/corpus.html"),
    view,
    key: Some(key),
};

/// Examples shown for each step, and characters of each.
const EXAMPLES: usize = 12;
const EXAMPLE_CHARACTERS: usize = 600;

fn key(stage: &StageFiles) -> String {
    let tokens = tokens(stage, "train").or_else(|| number(&stage.summary, &["tokens"]));
    let mut parts: Vec<String> =
        tokens.map(|n| format!("{} training tokens", format::count(n))).into_iter().collect();
    if let Some(share) = kept_share(&stage.account) {
        parts.push(format!("{} of the bytes kept", format::percent(share)));
    }
    parts.join(", ")
}

fn tokens(stage: &StageFiles, split: &str) -> Option<f64> {
    number(stage.account.get("tokens")?, &[split])
}

/// The sum of a key over rows; none where no row has it.
fn total(rows: &[Json], key: &str) -> Option<f64> {
    rows.iter().filter_map(|row| number(row, &[key])).reduce(|a, b| a + b)
}

fn kept_share(account: &Json) -> Option<f64> {
    let sources = list(account, "sources");
    let (all, kept) = (total(sources, "bytes")?, total(sources, "kept_bytes")?);
    (all > 0.0).then_some(kept / all)
}

fn view(run: &RunFiles) -> Option<Value> {
    let stage = shown(run, "corpus")?;
    let account = &stage.account;
    let (sources, steps) = (list(account, "sources"), list(account, "steps"));
    let mut figures = Figures::default();
    if !account.is_null() {
        figures.add("document lengths", lengths(account));
    }
    let tokens_of = |s: &Json| (words(s.get("name")), number(s, &["tokens"]).unwrap_or(f64::NAN));
    let by_source: Vec<_> = sources.iter().map(tokens_of).collect();
    let first =
        steps.first().and_then(|s| number(s, &["bytes_in"])).or_else(|| total(sources, "bytes"));
    Some(view! {
        stage => header(stage, &["seconds", "tokens", "parameters"]),
        summary => stage.summary,
        account => account,
        train_tokens => tokens(stage, "train").or_else(|| number(&stage.summary, &["tokens"])),
        heldout_tokens => tokens(stage, "heldout"),
        kept_share => kept_share(account),
        totals => view! {
            documents => total(sources, "documents"),
            bytes => total(sources, "bytes"),
            kept_documents => total(sources, "kept_documents"),
            kept_bytes => total(sources, "kept_bytes"),
            heldout_documents => total(sources, "heldout_documents"),
            tokens => total(sources, "tokens"),
        },
        sources => sources,
        steps => steps.iter().map(|s| step(s, first)).collect::<Vec<_>>(),
        by_source => if by_source.len() > 1 { stacked("Tokens by source", &by_source, format::count) } else { None },
        went => went(steps),
        figures => figures,
    })
}

/// Where the bytes of the sources went: one share for what was kept, one for each step that took some.
fn went(steps: &[Json]) -> Option<crate::plot::Figure> {
    let out = steps.last().and_then(|s| number(s, &["bytes_out"]))?;
    let mut parts = vec![("kept".to_owned(), out)];
    for step in steps {
        let lost = number(step, &["bytes_in"])? - number(step, &["bytes_out"])?;
        if lost > 0.0 {
            parts.push((words(step.get("name")), lost));
        }
    }
    stacked("Where the bytes went", &parts, format::bytes)
}

fn lengths(account: &Json) -> Option<crate::plot::Figure> {
    let lengths = account.get("lengths")?;
    let numbers =
        |key| list(lengths, key).iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect::<Vec<_>>();
    let unit = lengths.get("unit").and_then(Json::as_str).unwrap_or("tokens");
    histogram(
        "Document lengths",
        &format!("{unit} in a document"),
        &numbers("edges"),
        &numbers("counts"),
    )
}

fn step(step: &Json, first: Option<f64>) -> Value {
    let share = |key: &str| {
        let whole = first.filter(|f| *f > 0.0)?;
        Some((number(step, &[key])? / whole * 100.0).clamp(0.0, 100.0)).filter(|s| s.is_finite())
    };
    let reasons: BTreeMap<String, f64> = match step.get("dropped") {
        Some(Json::Object(map)) => {
            map.iter().filter_map(|(k, v)| Some((k.clone(), v.as_f64()?))).collect()
        }
        _ => BTreeMap::new(),
    };
    let mut reasons: Vec<(String, f64)> = reasons.into_iter().collect();
    reasons.sort_by(|a, b| b.1.total_cmp(&a.1));
    let parameters = match step.get("parameters") {
        Some(Json::Object(map)) => map
            .iter()
            .map(|(k, v)| format!("{k} = {}", words(Some(v))))
            .collect::<Vec<_>>()
            .join(", "),
        other => words(other),
    };
    let all = list(step, "examples");
    let examples = all.iter().take(EXAMPLES).map(|e| {
        view! {
            reason => words(e.get("reason")),
            source => words(e.get("source")),
            id => words(e.get("id")),
            text => format::clip(&words(e.get("text")), EXAMPLE_CHARACTERS),
        }
    });
    view! {
        name => words(step.get("name")),
        parameters => format::clip(&parameters, 300),
        documents_in => number(step, &["documents_in"]),
        documents_out => number(step, &["documents_out"]),
        bytes_in => number(step, &["bytes_in"]),
        bytes_out => number(step, &["bytes_out"]),
        changed => number(step, &["changed"]),
        out_share => share("bytes_out").map(|s| format!("{s:.1}")),
        in_share => share("bytes_in").map(|s| format!("{s:.1}")),
        reasons => reasons,
        examples => examples.collect::<Vec<_>>(),
        more_examples => all.len().saturating_sub(EXAMPLES),
    }
}
