//! Where in a text an answer starts and ends: a score of each for every token, and the mean of two
//! cross-entropies over the places (Devlin et al. 2019, section 4.2). A position at or beyond the end of
//! the row does not count.

use athanor_store::{Error, Result};

use super::{
    Call, HeadKind, Readout, Stack, Width,
    losses::{self, Span},
};

pub const HEAD: HeadKind = HeadKind {
    standard: Some(&[Stack::new(
        Readout::Every,
        &[],
        "qa_outputs.weight",
        "qa_outputs.bias",
        Width::Fixed(2),
    )]),
    labels: &["start_positions", "end_positions"],
    ..HeadKind::new("span", "ForQuestionAnswering", forward)
};

fn forward(call: &mut Call<'_>) -> Result<()> {
    call.scores(0);
    let [batch, time] = call.places();
    let scores = losses::span_scores(&call.withdraw("logits"), [batch, time]);
    let starts = call.given.positions("start_positions", batch, time)?;
    let ends = call.given.positions("end_positions", batch, time)?;
    call.loss = match (starts, ends) {
        (Some(starts), Some(ends)) => {
            let mean = |p: &[Option<usize>]| vec![1.0 / p.iter().flatten().count() as f32; p.len()];
            let weights = [mean(&starts), mean(&ends)];
            let spans = starts.into_iter().zip(ends).map(|(start, end)| Span { start, end });
            let spans: Vec<Span> = spans.collect();
            Some(losses::span(&scores, &spans, [&weights[0], &weights[1]], None))
        }
        (None, None) => None,
        _ => {
            return Err(Error::input("the loss needs both `start_positions` and `end_positions`"));
        }
    };
    let [starts, ends] = scores;
    call.give("start_logits", starts);
    call.give("end_logits", ends);
    Ok(())
}
