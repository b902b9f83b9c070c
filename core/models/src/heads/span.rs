//! Where in a text an answer starts and ends: a score of each for every token, and the mean of two
//! cross-entropies over the places (Devlin et al. 2019, section 4.2). A position at or beyond the end of
//! the row does not count.

use athanor_store::Result;
use athanor_tensor::{Ids, Tensor, Var, ops};

use super::{Call, Kind, Place, Stack, Width};

pub const HEAD: Kind = Kind {
    name: "span",
    suffix: "ForQuestionAnswering",
    standard: Some(&[Stack::new(
        Place::Every,
        &[],
        "qa_outputs.weight",
        "qa_outputs.bias",
        Width::Fixed(2),
    )]),
    labelled: false,
    labels: &["start_positions", "end_positions"],
    choices: false,
    gaps: false,
    forward,
};

fn forward(call: &mut Call<'_>) -> Result<()> {
    call.scores(0);
    let scores = call.withdraw("logits");
    let [batch, time] = call.places();
    let device = call.model.device();
    let mut losses = Vec::new();
    let names = ["start", "end"];
    for (column, name) in names.into_iter().enumerate() {
        // Column `column` of [batch·time, 2], as rows of a table of single values.
        let single = ops::reshape(&scores, [batch * time * 2, 1]);
        let rows = (0..batch * time).map(|i| (2 * i + column) as i32).collect();
        let picked = ops::embedding(&single, &Ids::new(device, rows, [batch * time]));
        let logits = ops::reshape(&picked, [batch, time]);
        let label = format!("{name}_positions");
        if let Some(places) = call.given.positions(&label, batch, time)? {
            losses.push(place_loss(&logits, &places, time));
        }
        call.give(&format!("{name}_logits"), logits);
    }
    call.given.both(losses.len(), "start_positions", "end_positions")?;
    if let [start, end] = &losses[..] {
        call.loss = Some(ops::scale(&ops::add(start, end), 0.5));
    }
    Ok(())
}

/// Mean cross-entropy of the rows whose place counts.
fn place_loss(logits: &Var, places: &[Option<usize>], time: usize) -> Var {
    let count = places.iter().flatten().count();
    let mut weights = vec![0.0; places.len() * time];
    for (row, place) in places.iter().enumerate() {
        if let Some(place) = place {
            weights[row * time + place] = -1.0 / count as f32;
        }
    }
    let weights = Tensor::from_slice(logits.value().device(), &weights, [places.len(), time]);
    ops::sum(&ops::mul(&ops::log_softmax(logits), &Var::constant(weights)))
}
