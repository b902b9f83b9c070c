//! The page around the sections.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use athanor_store::{Error, Result, figures, write_atomic};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, syntax::SyntaxConfig};

use crate::{
    format,
    run_files::{RunFiles, Status, number, string},
    sections::{SECTIONS, key_line, view},
};

/// Writes RUN/report.html from what the run folder holds and gives its path.
///
/// One file that needs nothing from outside: styles and plots are in it, and no scripts.
/// A file of the run that is missing or damaged is named in the report instead of stopping it.
///
/// # Errors
/// Input when `run_dir` is no folder; Failed when the page cannot be written.
pub fn write_report(run_dir: &Path) -> Result<PathBuf> {
    let html = render(&RunFiles::load(run_dir)?)?;
    let path = run_dir.join("report.html");
    write_atomic(&path, html.as_bytes())?;
    Ok(path)
}

/// The page as text.
fn render(run: &RunFiles) -> Result<String> {
    page(run)
        .map_err(|error| Error::failed(format!("cannot build the report: {error:#}")).at(&run.name))
}

fn page(run: &RunFiles) -> Result<String, minijinja::Error> {
    let env = environment()?;
    let mut sections = Vec::new();
    for section in SECTIONS {
        if let Some(view) = (section.view)(run) {
            let html = env.get_template(&format!("{}.html", section.id))?.render(view)?;
            sections.push(view! { id => section.id, title => section.title, html => html });
        }
    }
    let run = summary(run);
    env.get_template("page.html")?.render(view! {
        title => run.get_attr("name")?,
        kind => "report of a run",
        version => run.get_attr("version")?,
        source => "the files of this run",
        run => run,
        sections => sections,
    })
}

pub(crate) fn environment() -> Result<Environment<'static>, minijinja::Error> {
    let mut env = Environment::new();
    // Figures that a stage did not write are shown as missing.
    env.set_undefined_behavior(UndefinedBehavior::Chainable);
    env.set_auto_escape_callback(|_| AutoEscape::Html);
    env.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    env.add_template("base.html", include_str!("../templates/base.html"))?;
    env.add_template("page.html", include_str!("../templates/page.html"))?;
    env.add_template("macros.html", include_str!("../templates/macros.html"))?;
    for section in SECTIONS {
        env.add_template_owned(format!("{}.html", section.id), section.template)?;
    }
    env.add_global("style", include_str!("../templates/style.css"));
    let figures = figures::ALL.iter().flat_map(|(_, figures)| figures.iter());
    let titles: BTreeMap<&str, String> = figures.map(|f| (f.name, f.heading())).collect();
    env.add_global("titles", Value::from(titles));
    fn of(value: &Value) -> f64 {
        f64::try_from(value.clone()).unwrap_or(f64::NAN)
    }
    env.add_filter("number", |v: &Value| format::number(of(v)));
    env.add_filter("signed", |v: &Value| format::signed(of(v)));
    env.add_filter("count", |v: &Value| format::count(of(v)));
    env.add_filter("bytes", |v: &Value| format::bytes(of(v)));
    env.add_filter("percent", |v: &Value| format::percent(of(v)));
    env.add_filter("seconds", |v: &Value| format::seconds(of(v)));
    Ok(env)
}

/// What is at the top.
fn summary(run: &RunFiles) -> Value {
    let stages = run.stages.iter().map(|stage| {
        view! {
            name => stage.name,
            status => stage.status,
            words => stage.status.words(),
            there => stage.status != Status::NotInRun,
            key => key_line(stage),
            seconds => stage.seconds(),
        }
    });
    let seconds: Vec<f64> =
        run.stages.iter().filter_map(|s| s.seconds()).filter(|s| s.is_finite()).collect();
    let version =
        ["athanor", "version"].iter().map(|k| string(&run.manifest, k)).find(|v| !v.is_empty());
    let missing =
        run.stages.iter().filter(|s| matches!(s.status, Status::CutOff | Status::NotStarted));
    view! {
        name => run.name,
        date => run.date.map(format::date),
        machine => machine(&run.manifest),
        version => version,
        seed => run.manifest.get("seed").and_then(|s| s.as_u64()).map(|s| s.to_string()).or_else(|| seed(run)),
        seconds => if seconds.is_empty() { None } else { Some(seconds.iter().sum::<f64>()) },
        stages => stages.collect::<Vec<_>>(),
        unfinished => missing.map(|s| format!("{} ({})", s.name, s.status.words())).collect::<Vec<_>>(),
        notes => run.notes,
    }
}

/// The machine in a line: `machine` of the manifest, or its cpu, cores, os and arch.
fn machine(manifest: &serde_json::Value) -> String {
    let whole = string(manifest, "machine");
    if !whole.is_empty() {
        return whole.into();
    }
    let source = manifest.get("machine").filter(|m| m.is_object()).unwrap_or(manifest);
    let cores =
        number(source, &["cores", "threads"]).map(|n| format!("{} cores", format::number(n)));
    let memory =
        number(source, &["memory_bytes", "memory"]).map(|n| format!("{} memory", format::bytes(n)));
    let system = [string(source, "os"), string(source, "arch")].join(" ");
    let words =
        [string(source, "cpu").to_owned(), cores.unwrap_or_default(), memory.unwrap_or_default()];
    let gpus = source.get("gpu").map(|g| g.as_str().map_or_else(|| g.to_string(), str::to_owned));
    let parts = words.into_iter().chain(gpus).chain([system.trim().to_owned()]);
    parts.filter(|p| !p.is_empty() && p != "null").collect::<Vec<_>>().join(" · ")
}

fn seed(run: &RunFiles) -> Option<String> {
    let table: toml::Table = run.recipe.as_deref()?.parse().ok()?;
    let inner = table.get("run").and_then(|r| r.get("seed"));
    Some(table.get("seed").or(inner)?.as_integer()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A template that asks for the title of a figure that was renamed would show nothing.
    #[test]
    fn titles_in_templates_are_those_of_figures() {
        let known = |name: &str| {
            figures::ALL.iter().any(|(_, figures)| figures.iter().any(|f| f.name == name))
        };
        for section in SECTIONS {
            for rest in section.template.split("titles.").skip(1) {
                let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next();
                assert!(name.is_some_and(known), "{}: {name:?}", section.id);
            }
        }
    }
}
