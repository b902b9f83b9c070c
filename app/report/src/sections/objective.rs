//! What an objective of pretraining hides and how well it is guessed, beside guesses that need no
//! network.

use athanor_store::{
    Figure, Unit,
    figures::{
        ACCURACY, BIGRAM_ACCURACY, BIGRAM_LOSS, BOTH_SIDES_ACCURACY, BOTH_SIDES_LOSS, F1,
        GENERATOR_ACCURACY, GENERATOR_LOSS, LOSS, MAJORITY, Masking, PAIRS_ACCURACY,
        PAIRS_MAJORITY, PRECISION, PretrainSummary, RECALL, Shape, UNIGRAM_ACCURACY, UNIGRAM_LOSS,
    },
};

use super::prelude::*;

/// A figure of the model and the same figure of the guesses: by frequency, by the token before, by both neighbours.
type Guessed = (&'static Figure, [&'static Figure; 3]);

const LOSSES: [&Figure; 3] = [&UNIGRAM_LOSS, &BIGRAM_LOSS, &BOTH_SIDES_LOSS];
const SHARES: [&Figure; 3] = [&UNIGRAM_ACCURACY, &BIGRAM_ACCURACY, &BOTH_SIDES_ACCURACY];

pub fn view(run: &RunFiles) -> Option<Value> {
    let (stage, summary) = shown::<PretrainSummary>(run)?;
    let held = |figure: &Figure| column(&stage.metrics, Rows::Heldout, figure);
    let there = |figure: &Figure| !held(figure).is_empty();
    if !there(&UNIGRAM_LOSS) && summary.masking.is_none() {
        return None;
    }
    let mut figures = Figures::default();
    let guessed: [Guessed; 2] = match there(&GENERATOR_LOSS) {
        true => [(&GENERATOR_LOSS, LOSSES), (&GENERATOR_ACCURACY, SHARES)],
        false => [(&LOSS, LOSSES), (&ACCURACY, SHARES)],
    };
    for (own, [unigram, bigram, both]) in guessed {
        let plot = LinePlot::of(own).about("hidden tokens").marked(own.title, "s1", held(own));
        let guesses = [(unigram, "s2"), (bigram, "s3"), (both, "s4")];
        let plot = guesses.iter().fold(plot, |p, (f, class)| p.curve(f.title, class, held(f)));
        figures.add(own.title, plot.figure());
    }
    if there(&PAIRS_ACCURACY) {
        let points = held(&PAIRS_ACCURACY);
        let majority = summary.baseline.as_ref().and_then(|b| b.get(PAIRS_MAJORITY.name)?.as_f64());
        let level = majority.map(|y| points.iter().map(|p| (p.0, y)).collect());
        let plot = LinePlot::of(&PAIRS_ACCURACY).marked("model", "s1", points);
        let plot = plot.curve(PAIRS_MAJORITY.title, "s2", level.unwrap_or_default());
        figures.add(PAIRS_ACCURACY.title, plot.figure());
    }
    if there(&MAJORITY) {
        let plot = LinePlot::of(&ACCURACY).about("discriminator");
        let plot = plot.marked("discriminator", "s1", held(&ACCURACY));
        figures.add(ACCURACY.title, plot.curve(MAJORITY.title, "s2", held(&MAJORITY)).figure());
        let plot = LinePlot::of(&F1).about("replaced tokens");
        let parts = [(&F1, "s1"), (&PRECISION, "s2"), (&RECALL, "s3")];
        let plot = parts.iter().fold(plot, |p, (f, class)| p.marked(f.title, class, held(f)));
        figures.add(F1.title, plot.figure());
    }
    let masking = summary.masking.unwrap_or_default();
    let first = masking.chinese_words_first.as_ref().map(|words| format::clip(words, 200));
    Some(view! { figures => figures, rows => rows(&masking), words => first })
}

/// The numbers of what was hidden, with the meaning of each.
fn rows(masking: &Masking) -> Vec<(String, String)> {
    let values = serde_json::to_value(masking).unwrap_or_default();
    let row = |field: athanor_store::figures::Field| {
        let value = values.get(field.name)?.as_f64()?;
        let show = if field.unit == Unit::Share { format::percent } else { format::number };
        Some((field.about.trim_end_matches('.').to_owned(), show(value)))
    };
    Masking::fields().into_iter().filter_map(row).collect()
}
