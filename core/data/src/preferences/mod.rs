//! What people said of texts, whatever the form it came in: texts with a judgement each, and comparisons of two.
//!
//! A form is a file here and a line in [`FORMS`]. Reward modelling and the direct methods of reinforcement
//! learning read the same comparisons.

mod pairs;
mod rankings;
mod ratings;
mod thumbs;

use athanor_store::{Check, Choice, Error, OwnKeys, Problem, Recipe, Registry, Result, section};
use athanor_text::Message;
use serde_json::{Map, Value, json};

use crate::{Dialogue, DialogueSection, Expression, Record, Shares, Split, Template};

section! {
    /// A source of judged texts.
    pub struct PreferenceSection {
        /// What people did.
        form: Choice<Form> = "ratings".into(),
        /// The conversations: with the judged answer for ratings and thumbs, up to where it begins for pairs and rankings.
        dialogue: DialogueSection = DialogueSection::default(),
        /// For ratings: the expression that gives their list, one for each rater.
        ratings: String = "ratings".into(),
        /// Template of the group of a text, for accounts; ratings are compared within a group. All of the source if empty.
        group: String = String::new(),
    }
}

impl Check for PreferenceSection {
    fn check(&self) -> std::result::Result<(), Problem> {
        let plain = self.form.name() == "ratings" || self.ratings == Self::default().ratings;
        Problem::unless(plain, "ratings", format!("has no meaning for form = \"{}\"", self.form))?;
        Expression::check("ratings", &self.ratings)?;
        Template::check("group", &self.group)
    }
}

/// What was said of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Judgement {
    /// Ratings by two people or more.
    Rated {
        /// Their mean.
        mean: f64,
        /// Their variance, of a sample.
        variance: f64,
        /// Their number.
        raters: f64,
    },
    /// A place in a ranking; equal places are ties.
    Ranked {
        /// From 0, the best.
        place: usize,
    },
    /// A thumb.
    Thumb {
        /// Up or down.
        up: bool,
    },
}

impl Judgement {
    /// What the text is worth by this judgement alone, on the scale that was used: the mean rating, minus the place, 1
    /// or 0.
    pub fn worth(&self) -> f64 {
        match *self {
            Self::Rated { mean, .. } => mean,
            Self::Ranked { place } => -(place as f64),
            Self::Thumb { up } => f64::from(u8::from(up)),
        }
    }

    /// As fields of a JSON line; of ratings their mean and its squared standard error.
    pub fn fields(&self) -> Map<String, Value> {
        let value = match *self {
            Self::Rated { mean, variance, raters } => {
                json!({ "mean": mean, "error": variance / raters })
            }
            Self::Ranked { place } => json!({ "place": place }),
            Self::Thumb { up } => json!({ "up": up }),
        };
        value.as_object().cloned().unwrap_or_default()
    }
}

/// A text with a judgement.
#[derive(Clone, Debug)]
pub struct JudgedText {
    /// The record's `id`, with the place in the record where there are several; else the source and a number.
    pub id: String,
    /// The conversation, the judged answer last.
    pub messages: Vec<Message>,
    /// Texts are compared with those of the same set.
    pub set: String,
    /// The group for accounts.
    pub group: String,
    /// What it is for: what its record is for, so texts that are compared as a pair or a ranking stay together.
    pub split: Split,
    /// What was said of it.
    pub judgement: Judgement,
    /// `FILE:LINE` of the record.
    pub place: String,
}

impl JudgedText {
    /// What was judged, without what came before.
    pub fn answer(&self) -> &str {
        self.messages.last().map_or("", |m| &m.content)
    }
}

/// Two texts by their places in a list, in the order of their worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// The text of more worth.
    pub better: usize,
    /// The other.
    pub worse: usize,
    /// Probability that a person prefers the better.
    pub preference: f64,
    /// What the better is worth more.
    pub gap: f64,
    /// Probability that the order is right.
    pub confidence: f64,
}

impl Comparison {
    /// Of the texts at two places.
    pub fn new([a, b]: [usize; 2], [first, second]: [&Judgement; 2]) -> Self {
        let swap = first.worth() <= second.worth();
        let (better, worse) = if swap { (b, a) } else { (a, b) };
        let [up, down] = if swap { [second, first] } else { [first, second] };
        Self {
            better,
            worse,
            preference: preference(up, down),
            gap: up.worth() - down.worth(),
            confidence: confidence(up, down),
        }
    }
}

/// Probability that a person prefers the first text. Of ratings: that one rater, drawn at random, rates the first
/// above what another rates the second, Φ of the gap over the spread of both. Of places and thumbs: 1, 0, and 0.5
/// for a tie.
pub fn preference(a: &Judgement, b: &Judgement) -> f64 {
    let variance = |j: &Judgement| match *j {
        Judgement::Rated { variance, .. } => variance,
        _ => 0.0,
    };
    above(a.worth() - b.worth(), variance(a) + variance(b))
}

/// Probability that the first text's true worth is above the second's. Of ratings: Φ of the gap over its standard
/// error, both means being about normal; of places and thumbs as [`preference`].
pub fn confidence(a: &Judgement, b: &Judgement) -> f64 {
    let error = |j: &Judgement| match *j {
        Judgement::Rated { variance, raters, .. } => variance / raters,
        _ => 0.0,
    };
    above(a.worth() - b.worth(), error(a) + error(b))
}

/// Φ(gap / √variance).
fn above(gap: f64, variance: f64) -> f64 {
    if variance > 0.0 {
        return normal_cdf(gap / variance.sqrt());
    }
    if gap > 0.0 {
        1.0
    } else if gap < 0.0 {
        0.0
    } else {
        0.5
    }
}

/// Φ(x) within 1e-7: Abramowitz and Stegun 7.1.26.
fn normal_cdf(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let p = ((((1.061_405_429 * t - 1.453_152_027) * t + 1.421_413_741) * t - 0.284_496_736) * t
        + 0.254_829_592)
        * t;
    let erf = 1.0 - p * (-z * z).exp();
    0.5 * (1.0 + erf.copysign(x))
}

/// A form of judgements: what people did with texts.
pub struct Form {
    name: &'static str,
    about: &'static str,
    keys: Option<OwnKeys>,
    /// Makes a reader of the conversations of a source.
    open: fn(&PreferenceSection) -> Result<Reader>,
}

/// The texts of a conversation and its record: answer and judgement each. An answer that is `None` is the
/// conversation's own last message.
type Reader = Box<dyn Fn(&Record) -> Result<Vec<(Option<String>, Judgement)>>>;

/// All forms.
pub static FORMS: Registry<Form> = Registry::new(
    "form of judgements",
    &[ratings::FORM, pairs::FORM, rankings::FORM, thumbs::FORM],
);

athanor_store::registered!(Form, FORMS, keys);

impl PreferenceSection {
    /// Reads all judged texts, each with what its record is for by the hash of `dialogue.identity`.
    ///
    /// # Errors
    /// Input, naming file and line.
    pub fn read(&self, recipe: &Recipe, shares: impl Into<Shares>) -> Result<Vec<JudgedText>> {
        let reader = (self.form.entry()?.open)(self)?;
        let group = Template::new(&self.group)?;
        let title = self.dialogue.title();
        let mut all = Vec::new();
        for (i, dialogue) in self.dialogue.read(recipe, shares)?.into_iter().enumerate() {
            let Dialogue { messages, split, record, place, .. } = dialogue;
            let at = |e: Error| e.at(&place);
            let judged = reader(&record).map_err(at)?;
            let group = format!("{title} {}", group.render(&record).map_err(at)?).trim().to_owned();
            let id = record.0.get("id").and_then(Value::as_str);
            let id = id.map_or(format!("{title}-{i}"), str::to_owned);
            let several = judged.len() > 1;
            for (n, (answer, judgement)) in judged.into_iter().enumerate() {
                let mut messages = messages.clone();
                if let Some(answer) = answer {
                    while messages.last().is_some_and(|m| m.role == "assistant") {
                        messages.pop();
                    }
                    messages.push(Message::new("assistant", answer));
                }
                all.push(JudgedText {
                    id: if several { format!("{id}-{n}") } else { id.clone() },
                    messages,
                    set: if several { format!("{place} {i}") } else { group.clone() },
                    group: group.clone(),
                    split,
                    judgement,
                    place: place.clone(),
                });
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests;
