//! What text went in, what each cleaning step did to it, and what came out.

use std::collections::BTreeMap;

use athanor_store::figures::{
    CorpusSummary, DOCUMENT_LENGTH, DOCUMENT_PERPLEXITY, PAIR_CHANCE, VOCABULARY_GROWTH,
};

use super::prelude::*;
use crate::plot::{histogram, stacked};

/// Hits shown.
const HITS: usize = 50;
/// Languages with a plot of perplexities.
const BANDS: usize = 4;
/// Examples shown for each step, and characters of each.
const EXAMPLES: usize = 12;
const EXAMPLE_CHARACTERS: usize = 600;

pub fn key(stage: &StageFiles) -> String {
    let mut parts: Vec<String> = train_tokens(stage)
        .map(|n| format!("{} training tokens", format::count(n)))
        .into_iter()
        .collect();
    if let Some(share) = kept_share(&stage.account) {
        parts.push(format!("{} of the bytes kept", format::percent(share)));
    }
    parts.join(", ")
}

fn tokens(stage: &StageFiles, split: &str) -> Option<f64> {
    number(stage.account.get("tokens")?, &[split])
}

/// Tokens to train on; all tokens if the account does not say.
fn train_tokens(stage: &StageFiles) -> Option<f64> {
    let all = || stage.summary::<CorpusSummary>().tokens.map(|n| n as f64);
    tokens(stage, "train").or_else(all)
}

/// The sum of a key over rows; none if no row has it.
fn total(rows: &[Json], key: &str) -> Option<f64> {
    rows.iter().filter_map(|row| number(row, &[key])).reduce(|a, b| a + b)
}

fn kept_share(account: &Json) -> Option<f64> {
    let sources = list(account, "sources");
    let (all, kept) = (total(sources, "bytes")?, total(sources, "kept_bytes")?);
    (all > 0.0).then_some(kept / all)
}

pub fn view(run: &RunFiles) -> Option<Value> {
    let (stage, summary) = shown::<CorpusSummary>(run)?;
    let account = &stage.account;
    let (sources, steps) = (list(account, "sources"), list(account, "steps"));
    let mut figures = Figures::default();
    if !account.is_null() {
        figures.add(DOCUMENT_LENGTH.title, lengths(account));
        if account.get("diversity").is_some() {
            figures.add(VOCABULARY_GROWTH.title, growth(account));
        }
        for step in steps.iter().filter(|s| s.pointer("/notes/curve").is_some()) {
            figures.add(PAIR_CHANCE.title, curve(step));
        }
        let notes = steps.iter().filter_map(|s| s.get("notes"));
        for band in notes.flat_map(|n| list(n, "bands")).take(BANDS) {
            figures.add(DOCUMENT_PERPLEXITY.title, perplexities(band));
        }
    }
    let tokens_of = |s: &Json| (words(s.get("name")), number(s, &["tokens"]).unwrap_or(f64::NAN));
    let by_source: Vec<_> = sources.iter().map(tokens_of).collect();
    let first =
        steps.first().and_then(|s| number(s, &["bytes_in"])).or_else(|| total(sources, "bytes"));
    Some(view! {
        stage => header(stage, &CorpusSummary { seconds: None, tokens: None, ..summary }),
        account => account,
        train_tokens => train_tokens(stage),
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
        languages => languages(steps),
        mix => account.pointer("/mix/groups"),
        diversity => account.get("diversity"),
        hits => steps.iter().flat_map(|s| list(s, "hits")).take(HITS).collect::<Vec<_>>(),
        hits_more => steps.iter().map(|s| list(s, "hits").len()).sum::<usize>().saturating_sub(HITS),
        kept_examples => list(account, "kept_examples").iter().take(EXAMPLES).map(example).collect::<Vec<_>>(),
        figures => figures,
    })
}

/// Where the bytes of the sources went: one share for what was kept, one for each step that took some.
fn went(steps: &[Json]) -> Option<Plot> {
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

fn lengths(account: &Json) -> Option<Plot> {
    let lengths = account.get("lengths")?;
    let numbers =
        |key| list(lengths, key).iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect::<Vec<_>>();
    let (title, unit) = (DOCUMENT_LENGTH.heading(), DOCUMENT_LENGTH.unit.words());
    histogram(&title, unit, &numbers("edges"), &numbers("counts"))
}

fn example(e: &Json) -> Value {
    view! {
        reason => words(e.get("reason")),
        source => words(e.get("source")),
        id => words(e.get("id")),
        text => format::clip(&words(e.get("text")), EXAMPLE_CHARACTERS),
        after => e.get("after").map(|a| format::clip(&words(Some(a)), EXAMPLE_CHARACTERS)),
    }
}

/// Pairs of numbers.
fn points(value: Option<&Json>) -> Vec<(f64, f64)> {
    let pairs = value.and_then(Json::as_array).into_iter().flatten();
    pairs.filter_map(|p| Some((p.get(0)?.as_f64()?, p.get(1)?.as_f64()?))).collect()
}

fn growth(account: &Json) -> Option<Plot> {
    let points = points(account.pointer("/diversity/growth"));
    LinePlot::of(&VOCABULARY_GROWTH)
        .over("words read")
        .curve(VOCABULARY_GROWTH.unit.words(), "s1", points)
        .figure()
}

fn curve(step: &Json) -> Option<Plot> {
    LinePlot::of(&PAIR_CHANCE)
        .over("Jaccard similarity of the pair")
        .curve(PAIR_CHANCE.unit.words(), "s1", points(step.pointer("/notes/curve")))
        .figure()
}

/// How perplexities are spread in a language's documents.
fn perplexities(band: &Json) -> Option<Plot> {
    let values = list(band, "percentiles");
    let last = values.len().checked_sub(1)?.max(1) as f64;
    let points =
        values.iter().enumerate().map(|(n, v)| (n as f64 / last, v.as_f64().unwrap_or(f64::NAN)));
    let language = match words(band.get("language")) {
        empty if empty.is_empty() => "all languages".to_owned(),
        code => code,
    };
    LinePlot::of(&DOCUMENT_PERPLEXITY)
        .about(&language)
        .over("share of the judged documents")
        .log_beyond(20.0)
        .curve(DOCUMENT_PERPLEXITY.unit.words(), "s1", points.collect())
        .figure()
}

/// Languages of what the last step let through; none if they were not looked for.
fn languages(steps: &[Json]) -> Vec<Value> {
    let Some(Json::Object(flows)) = steps.last().and_then(|s| s.get("by_language")) else {
        return Vec::new();
    };
    let bytes = |flow: &Json| number(flow, &["bytes_out"]).unwrap_or(0.0);
    let all: f64 = flows.values().map(bytes).sum();
    let mut rows: Vec<_> = flows.iter().filter(|(name, _)| !name.is_empty()).collect();
    rows.sort_by(|a, b| bytes(b.1).total_cmp(&bytes(a.1)).then_with(|| a.0.cmp(b.0)));
    let row = |(name, flow): (&String, &Json)| {
        view! {
            name => name,
            documents => number(flow, &["documents_out"]),
            bytes => bytes(flow),
            share => bytes(flow) / all.max(1.0),
        }
    };
    rows.into_iter().map(row).collect()
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
    let examples = all.iter().take(EXAMPLES).map(example);
    view! {
        name => words(step.get("name")),
        parameters => format::clip(&parameters, 300),
        bands => step.pointer("/notes/bands"),
        looked_at => step.pointer("/notes/sources"),
        not_judged => step.pointer("/notes/not_judged"),
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
