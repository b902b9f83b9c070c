//! Figures: what a number of a summary, a table or a plot means. Those that several stages and the report know are
//! declared here; those of a task stand in the task, and summary.json carries their meaning. Titles of plots, the
//! report's glossary and the table in docs/contracts.md come from the declarations.

use serde::{Deserialize, Serialize};

/// A figure's name and meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Its name in JSON.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// What it is counted in.
    pub unit: Unit,
    /// What it says, in a sentence or two, with the source of its definition.
    pub about: &'static str,
    /// Which values are better.
    pub better: Better,
}

/// What a figure is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A share from 0 to 1, shown as percent.
    Share,
    /// A number without a unit.
    Number,
    /// Something that has a name: nats, bytes a token.
    Named(&'static str),
}

/// Which values are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Greater ones.
    Higher,
    /// Smaller ones.
    Lower,
    /// Neither: it is watched.
    Neither,
}

impl Unit {
    /// In words; empty for a plain number.
    pub fn words(self) -> &'static str {
        match self {
            Self::Share => "share",
            Self::Number => "",
            Self::Named(unit) => unit,
        }
    }
}

impl Better {
    /// In a word.
    pub fn words(self) -> &'static str {
        match self {
            Self::Higher => "higher",
            Self::Lower => "lower",
            Self::Neither => "",
        }
    }
}

impl Figure {
    /// A value with its unit, for people.
    pub fn show(&self, value: f64) -> String {
        match self.unit {
            Unit::Share => format!("{:.1} %", 100.0 * value),
            Unit::Number => format!("{value:.3}"),
            Unit::Named(unit) => format!("{value:.3} {unit}"),
        }
    }
}

macro_rules! figures {
    ($(
        $(#[doc = $doc:literal])+
        $id:ident = $name:literal, $title:literal, $unit:expr, $better:ident, $about:literal;
    )+) => {
        $(
            $(#[doc = $doc])+
            pub static $id: Figure = Figure {
                name: $name,
                title: $title,
                unit: $unit,
                about: $about,
                better: Better::$better,
            };
        )+

        /// The figures that stages and the report share, in the report's order.
        pub static ALL: &[&Figure] = &[$(&$id),+];
    };
}

figures! {
    /// Mean loss.
    LOSS = "loss", "loss", Unit::Named("nats"), Lower,
        "Mean negative log-probability of the right token, in nats (natural logarithm).";
    /// e to the mean loss.
    PERPLEXITY = "perplexity", "perplexity", Unit::Number, Lower,
        "e to the mean loss of a token: compares only models with the same tokenizer.";
    /// Loss by bytes.
    BITS_PER_BYTE = "bits_per_byte", "bits per byte", Unit::Named("bits"), Lower,
        "Loss in bits, summed over the text and divided by its bytes in UTF-8: comparable between tokenizers.";
    /// Text of a token.
    BYTES_PER_TOKEN = "bytes_per_token", "bytes per token", Unit::Named("bytes"), Neither,
        "How much text one token stands for, on average; more means shorter sequences.";
    /// Norm of all gradients.
    GRAD_NORM = "grad_norm", "gradient norm", Unit::Number, Neither,
        "Euclidean norm of all gradients together, before clipping; spikes announce trouble.";
    /// Learning rate.
    LEARNING_RATE = "learning_rate", "learning rate", Unit::Number, Neither,
        "The size of the optimiser's step, after warm-up and decay.";
    /// Tokens in a second.
    SPEED = "tokens_per_second", "speed", Unit::Named("tokens / s"), Higher,
        "Tokens that training reads in a second.";
    /// Accuracy of a reward model.
    HELDOUT_ACCURACY = "heldout_accuracy", "held-out accuracy", Unit::Share, Higher,
        "Share of held-out pairs in which the reward model scores the text that people preferred higher; 50 % is chance.";
    /// Accuracy of word counts.
    TFIDF_ACCURACY = "tfidf_accuracy", "TF-IDF baseline", Unit::Share, Higher,
        "Ridge regression of the texts' mean ratings on TF-IDF word weights, fitted on the same training texts: what can be known without a language model.";
    /// Expected calibration error.
    ECE = "ece", "ECE", Unit::Share, Lower,
        "Expected calibration error: distance between predicted and observed shares in bins, weighted by pairs (Naeini et al. 2015). Of the pairs that the model calls 80 % sure, are 80 % right?";
    /// Mean reward.
    REWARD = "reward", "reward", Unit::Number, Higher,
        "Mean score of what the policy writes.";
    /// Distance from the reference.
    KL = "kl", "KL", Unit::Named("nats"), Neither,
        "Kullback-Leibler divergence of the policy from the reference model over a whole text, in nats: how far it has moved. Reward against KL shows what each nat bought; a curve that goes right without going up is being over-optimised.";
    /// Entropy of the policy.
    ENTROPY = "entropy", "entropy", Unit::Named("nats per token"), Neither,
        "Mean entropy of the next-token distribution, in nats; a fall to 0 means that the policy always writes the same.";
    /// Clipped tokens.
    CLIP_FRACTION = "clip_fraction", "clip fraction", Unit::Named("share of tokens"), Neither,
        "Share of tokens whose probability ratio left PPO's trust interval (Schulman et al. 2017, eq. 7).";
    /// How good values are.
    EXPLAINED_VARIANCE = "explained_variance", "explained variance", Unit::Number, Higher,
        "1 − Var(return − value) / Var(return): 1 is a perfect value function, 0 is no better than the mean.";
    /// Diversity of texts.
    DISTINCT2 = "distinct2", "distinct-2", Unit::Share, Neither,
        "Different pairs of neighbouring words divided by all of them, all texts together; a Chinese character counts as a word. A fall means repetition (Li et al. 2016).";
    /// Whether generation and training compute the same.
    LOGPROB_GAP = "logprob_gap", "log-probability gap", Unit::Named("nats"), Lower,
        "Difference between a token's log-probability when it was written and when training computes it again; should be near 0.";
}

/// A figure of a task in summary.json, with its meaning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskFigure {
    /// The source that was measured.
    pub name: String,
    /// The figure's name in JSON.
    pub metric: String,
    /// Its name for people.
    pub title: String,
    /// What it says.
    pub about: String,
    /// Its value.
    pub value: Option<f64>,
    /// The value of another way to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
    /// Which way that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline_is: Option<String>,
    /// How many examples, or words, were measured.
    pub n: u64,
    /// Values of further ways to answer, by their names.
    #[serde(flatten)]
    pub others: serde_json::Map<String, serde_json::Value>,
}

impl TaskFigure {
    /// A figure's value on a source.
    pub fn new(source: &str, figure: &Figure, value: f64, n: u64) -> Self {
        Self {
            name: source.to_owned(),
            metric: figure.name.to_owned(),
            title: figure.title.to_owned(),
            about: figure.about.to_owned(),
            value: value.is_finite().then_some(value),
            n,
            ..Self::default()
        }
    }
}

/// summary.json of the stage finetune.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FinetuneSummary {
    /// The task.
    pub task: String,
    /// Seconds that the work took.
    pub seconds: f64,
    /// Parameters of the model.
    pub parameters: u64,
    /// Tokens that training read.
    pub tokens: u64,
    /// Mean loss of held-out targets.
    pub heldout_loss: Option<f64>,
    /// e to the loss, where targets are tokens.
    pub heldout_perplexity: Option<f64>,
    /// Figures of held-out examples, source by source.
    pub tasks: Vec<TaskFigure>,
    /// Updates that were withheld because loss or gradient was not finite.
    pub withheld_updates: u64,
    /// Rows that were learned from.
    pub examples_train: u64,
    /// What else the task tells: `per_label`, `per_entity`, `confusion`, `confused`.
    #[serde(flatten)]
    pub details: serde_json::Map<String, serde_json::Value>,
}

/// The shared figures as a table in Markdown, for docs/contracts.md.
pub fn table() -> String {
    let row = |f: &&Figure| {
        let (unit, better) = (f.unit.words(), f.better.words());
        format!("| `{}` | {} | {unit} | {better} | {} |\n", f.name, f.title, f.about)
    };
    let head = "| name | title | unit | better | meaning |\n|---|---|---|---|---|\n";
    head.to_owned() + &ALL.iter().map(row).collect::<String>()
}
