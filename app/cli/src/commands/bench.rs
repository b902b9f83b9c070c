//! `athanor bench`: how fast this machine is with Athanor.

use std::path::PathBuf;

use athanor_bench::{BENCHES, Bench, Options, Row, shape};
use athanor_report::{
    format,
    table::{Align, Table},
};
use athanor_store::{Error, Result};
use serde_json::{Value, json};

use super::demo::DATA;
use crate::{context::Context, out};

/// Measure speed on this machine
#[derive(clap::Args)]
#[command(after_help = after_help())]
pub struct Args {
    /// What is measured; left out: everything, at the default shapes
    name: Option<String>,
    /// Sizes of the work
    #[arg(long, value_name = "SHAPE")]
    shape: Option<String>,
    /// About how long each benchmark takes
    #[arg(long, value_name = "S", default_value_t = 20.0)]
    seconds: f64,
    /// Keeps what tokenizer and loader make (tokenizers, texts, shards) in this folder
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

fn after_help() -> String {
    let width = BENCHES.iter().map(|b| b.name.len()).max().unwrap_or(0);
    let list: String = BENCHES
        .iter()
        .map(|b| {
            let shapes = b.shapes.join(", ");
            format!("  {:width$}  {} (shapes: {shapes})\n", b.name, b.about)
        })
        .collect();
    format!(
        "Benchmarks:\n{list}\nEvery figure is a median. Shares are of a loop of multiply-adds, \
         measured in the same run.\n\nExamples:\n  athanor bench train --shape M --threads 2\n  \
         athanor bench train --shape S --seconds 20 --json"
    )
}

pub fn run(context: &Context, args: Args) -> Result<()> {
    if !(args.seconds > 0.0 && args.seconds <= 3600.0) {
        return Err(Error::input(format!("{} seconds", args.seconds))
            .at("--seconds")
            .hint("give a number above 0 and at most 3600"));
    }
    let chosen: Vec<&Bench> = match &args.name {
        Some(name) => vec![BENCHES.find(name)?],
        None if args.shape.is_some() => {
            return Err(Error::input("which benchmark is the shape of?")
                .at("--shape")
                .hint("name one, as in `athanor bench train --shape M`"));
        }
        None => BENCHES.iter().collect(),
    };
    context.set_threads();
    let limits = athanor_tensor::limits();
    let options = Options {
        shape: args.shape,
        seconds: args.seconds,
        limits,
        interrupt: context.session.interrupt.clone(),
        texts: DATA,
        keep: args.keep,
    };
    for bench in &chosen {
        shape(bench, &options)?;
    }
    let machine = json!({
        "peak_flops_per_second": limits.flops_per_second,
        "copy_bytes_per_second": limits.copy_bytes_per_second,
        "threads": limits.threads,
        "processor": processor(),
    });
    if !context.json {
        out::line(&format!(
            "{}, {} threads: {}FLOP/s peak, {}B/s copied",
            processor(),
            limits.threads,
            si(limits.flops_per_second),
            si(limits.copy_bytes_per_second),
        ))?;
    }
    for bench in &chosen {
        let rows = (bench.run)(&options)?;
        if context.json {
            for row in rows {
                let mut object = json!({ "bench": bench.name, "name": row.name });
                for part in [Value::Object(row.figures), machine.clone()] {
                    if let (Some(to), Value::Object(from)) = (object.as_object_mut(), part) {
                        to.extend(from);
                    }
                }
                out::json(&object)?;
            }
        } else {
            out::print(&format!("\n{}", table(bench, &rows)))?;
        }
    }
    Ok(())
}

/// Rows side by side: one column for each figure that some row has.
fn table(bench: &Bench, rows: &[Row]) -> Table {
    let mut names: Vec<&str> = Vec::new();
    for name in rows.iter().flat_map(|r| r.figures.keys()) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let titles: Vec<String> = names
        .iter()
        .map(|n| n.replace("_bytes", "").replace("_per_second", "/s").replace('_', " "))
        .collect();
    let mut columns = vec![(bench.name, Align::Left)];
    columns.extend(titles.iter().map(|t| (t.as_str(), Align::Right)));
    let mut table = Table::new(&columns);
    for row in rows {
        let cells = names.iter().map(|n| row.figures.get(*n).map_or(String::new(), |v| cell(n, v)));
        table.row(std::iter::once(row.name.clone()).chain(cells));
    }
    table
}

fn cell(name: &str, value: &Value) -> String {
    if let Some(text) = value.as_str() {
        return text.to_owned();
    }
    let x = value.as_f64().unwrap_or(f64::NAN);
    match name {
        "seconds" | "seconds_per_step" => format!("{}s", si(x)),
        n if n.starts_with("seconds_to") => format!("{}s", si(x)),
        n if n.contains("bytes_per_second") => format!("{}B", si(x)),
        "flops_per_second" => si(x),
        n if n.ends_with("bytes") => format::bytes(x),
        n if n.starts_with("share") && x < 0.01 => format!("{:.3} %", 100.0 * x),
        n if n.starts_with("share") => format!("{:.0} %", 100.0 * x),
        n if n.starts_with("loss") => format!("{x:.3}"),
        "tokens_per_second" => format::count(x.round()),
        _ => format::count(x),
    }
}

/// Three digits and a metric prefix.
fn si(x: f64) -> String {
    let (scale, prefix) = match x.abs() {
        x if x >= 1e12 => (1e-12, "T"),
        x if x >= 1e9 => (1e-9, "G"),
        x if x >= 1e6 => (1e-6, "M"),
        x if x >= 1e3 => (1e-3, "k"),
        x if x >= 1.0 => (1.0, ""),
        x if x >= 1e-3 => (1e3, "m"),
        _ => (1e6, "µ"),
    };
    let y = x * scale;
    let digits = if y.abs() >= 99.95 { 0 } else if y.abs() >= 9.995 { 1 } else { 2 };
    format!("{y:.digits$} {prefix}")
}

/// The processor's name, as Linux gives it, and the instructions that the kernels use on it.
fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':'));
    let name = name.map_or(std::env::consts::ARCH, |(_, name)| name.trim());
    format!("{name} with {}", athanor_tensor::instructions())
}

#[cfg(test)]
mod tests {
    #[test]
    fn prefixes() {
        assert_eq!(super::si(1_234e6), "1.23 G");
        assert_eq!(super::si(0.0456), "45.6 m");
        assert_eq!(super::si(999.6), "1000 ");
    }
}
