//! Gaps in a text: the model's scores of the tokens that could fill them.

use athanor_tensor::{Graph, Ids, Tensor, Var};

use crate::{
    input::{Extra, TwoStreams},
    model::Model,
    pass::Pass,
};

impl Model {
    /// Whether its scores say which token fills a gap, given the text on both sides.
    pub fn fills_gaps(&self) -> bool {
        self.head().kind().gaps
    }

    /// Scores [gaps, vocabulary] of the tokens at places `gaps` of one row of ids with types (none, or
    /// one for each). A model with two streams is asked for those places, and no place sees them; any
    /// other reads the mask token that is there.
    ///
    /// # Panics
    /// If an id or a place is out of range or the head has no scores over the vocabulary.
    pub fn gap_scores(&self, graph: &Graph<'_>, ids: &[i32], types: &[i32], gaps: &[usize]) -> Var {
        let (time, device) = (ids.len(), self.device());
        let mut input = self.input(ids.to_vec(), 1, time);
        if types.len() == time && types.iter().all(|&t| (t as usize) < self.type_limit()) {
            input.types = Some(Ids::new(device, types.to_vec(), [1, time]));
        }
        let places: Vec<i32> = gaps.iter().map(|&g| g as i32).collect();
        if !self.family().has_two_streams() {
            let hidden = self.hidden(&mut Pass::new(graph, &input));
            return self.logits(graph, &self.rows(&hidden, places));
        }
        let hidden = (0..time * time).map(|n| f32::from(u8::from(gaps.contains(&(n % time)))));
        let hidden: Vec<f32> = hidden.collect();
        input.extra = Extra::TwoStreams(TwoStreams {
            permutation: Some(Tensor::from_slice(device, &hidden, [1, time, time])),
            targets: Some(Ids::new(device, places, [1, gaps.len()])),
            memory: Vec::new(),
        });
        let hidden = self.hidden(&mut Pass::new(graph, &input));
        self.logits(graph, &self.rows(&hidden, (0..gaps.len() as i32).collect()))
    }
}
