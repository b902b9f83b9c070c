//! How fast Athanor is on this machine. A benchmark is a file here and a line in [`BENCHES`].
//!
//! Every figure is a median, and each table opens with what the processor can do at best: the FMA
//! peak and the copy bandwidth, measured in the same process by [`athanor_tensor::limits`].

mod decode;
mod files;
mod loader;
mod ops;
mod optimizer;
mod products;
mod tokenizer;
mod train;

use std::{path::PathBuf, time::Instant};

use athanor_store::{Entry, Error, Interrupt, Registry, Result};
use athanor_training::SystemMemory;
use serde_json::{Map, Value, json};

/// All benchmarks.
pub static BENCHES: Registry<Bench> = Registry::new(
    "benchmark",
    &[
        train::BENCH,
        products::BENCH,
        ops::BENCH,
        decode::BENCH,
        optimizer::BENCH,
        tokenizer::BENCH,
        loader::BENCH,
    ],
);

/// One benchmark.
pub struct Bench {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it measures.
    pub about: &'static str,
    /// The shapes it knows, the first being the default.
    pub shapes: &'static [&'static str],
    /// Measures.
    pub run: fn(&Options) -> Result<Vec<Row>>,
}

impl Bench {
    /// From its fields.
    const fn new(
        name: &'static str,
        about: &'static str,
        shapes: &'static [&'static str],
        run: fn(&Options) -> Result<Vec<Row>>,
    ) -> Self {
        Self { name, about, shapes, run }
    }
}

impl Entry for Bench {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }
}

/// What the command line asks for.
#[derive(Clone)]
pub struct Options {
    /// Name of a shape; `None`: the default one.
    pub shape: Option<String>,
    /// About how long each figure is measured.
    pub seconds: f64,
    /// What the processor can do.
    pub limits: athanor_tensor::Limits,
    /// Set when the user wants to stop.
    pub interrupt: Interrupt,
    /// Files of JSON lines with texts, by name: what tokenizers are trained on and loaders read.
    pub texts: &'static [(&'static str, &'static [u8])],
    /// A folder for what is made on the way (tokenizers, texts, shards); `None`: a temporary one.
    pub keep: Option<PathBuf>,
}

impl Options {
    /// The same with a part of the time and the default shape.
    fn share(&self, parts: usize) -> Self {
        Self { shape: None, seconds: self.seconds / parts.max(1) as f64, ..self.clone() }
    }
}

/// One measured thing: its name and its figures in the order they are shown.
pub struct Row {
    /// What was measured.
    pub name: String,
    /// Figures by name; names end in their unit.
    pub figures: Map<String, Value>,
}

impl Row {
    fn new(name: impl Into<String>, figures: Value) -> Self {
        let figures = match figures {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        Self { name: name.into(), figures }
    }
}

/// The shape that the options name, checked against those of a benchmark.
///
/// # Errors
/// Input, for an unknown shape.
pub fn shape<'a>(bench: &Bench, options: &'a Options) -> Result<&'a str> {
    match &options.shape {
        None => Ok(bench.shapes.first().copied().unwrap_or("")),
        Some(name) if bench.shapes.contains(&name.as_str()) => Ok(name),
        Some(name) => Err(Error::input(format!("`bench {}` has no shape `{name}`", bench.name))
            .hint(match bench.shapes {
                [] => "it has one shape only: leave --shape out".to_owned(),
                all => format!("known: {}", all.join(", ")),
            })),
    }
}

/// Seconds of each call of `f`: warmed up once, at least three calls, and as many as fit in the time.
fn seconds_of(options: &Options, mut f: impl FnMut()) -> Result<Vec<f64>> {
    f();
    let began = Instant::now();
    let mut all = Vec::new();
    while all.len() < 3 || began.elapsed().as_secs_f64() < options.seconds {
        options.interrupt.check()?;
        let from = Instant::now();
        f();
        all.push(from.elapsed().as_secs_f64());
    }
    Ok(all)
}

/// The median.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

/// A figure with four significant digits: more would be noise.
fn figure(x: f64) -> Value {
    if x == 0.0 || !x.is_finite() {
        return json!(x);
    }
    let scale = 10f64.powi(3 - x.abs().log10().floor() as i32);
    json!((x * scale).round() / scale)
}

/// Forgets the peak of memory up to now, the arrays with which the limits were measured among it: Linux
/// sets it back to what is held now (`proc_pid_clear_refs(5)`).
fn forget_peak_memory() {
    // Elsewhere the figure is that of the whole process.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The most memory that this process has held, in bytes; 0 where the system does not say.
fn peak_memory() -> u64 {
    SystemMemory::peak().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use athanor_tensor::splitmix64;

    use super::*;

    /// Documents of sentences of made-up words, as JSON lines.
    fn made_up() -> &'static [u8] {
        let below = |i: u64, n: u64| (splitmix64(i) >> 20) % n;
        let word = |i: u64| {
            let n = below(i, 40) * below(i + 1, 40);
            format!(
                "{}{}",
                ["ba", "lo", "ti", "su"][n as usize % 4],
                "mer ane ok ist".split(' ').nth(n as usize / 4 % 4).unwrap_or("")
            )
        };
        let sentence = |i: u64| {
            let words: Vec<String> = (0..9).map(|w| word(i * 100 + w)).collect();
            format!("The {}. ", words.join(" "))
        };
        let document = |d: u64| (0..30).map(|s| sentence(d * 1000 + s)).collect::<String>();
        let lines: String =
            (0..90).map(|d| json!({ "text": document(d) }).to_string() + "\n").collect();
        lines.into_bytes().leak()
    }

    #[test]
    fn tokenizers_and_loaders_of_small_texts() {
        let kept = tempfile::tempdir().unwrap();
        let options = Options {
            shape: None,
            seconds: 0.05,
            limits: athanor_tensor::Limits {
                flops_per_second: 1e9,
                copy_bytes_per_second: 1e9,
                threads: 1,
            },
            interrupt: Interrupt::new(),
            texts: vec![("brown.jsonl.gz", made_up())].leak(),
            keep: Some(kept.path().to_owned()),
        };
        let rows = (tokenizer::BENCH.run)(&options).unwrap();
        assert_eq!(rows.len(), 3);
        for name in ["texts.jsonl", "byte_bpe/tokenizer.json", "unigram/tokenizer.json"] {
            assert!(kept.path().join(name).is_file(), "{name}");
        }
        // Every objective, shards made and then found again.
        for _ in 0..2 {
            let rows = (loader::BENCH.run)(&options).unwrap();
            assert_eq!(rows.len(), 4);
            for row in rows {
                let good = row.figures.values().all(|v| v.as_f64().is_some_and(|v| v > 0.0));
                assert!(good, "{}: {:?}", row.name, row.figures);
            }
        }
    }

    #[test]
    fn medians_and_digits() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 2.5);
        assert_eq!(figure(123_456.0), json!(123_500.0));
        assert_eq!(figure(0.000_123_456), json!(0.000_123_5));
    }
}
