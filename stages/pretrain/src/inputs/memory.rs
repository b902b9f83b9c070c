//! XLNet's rows: Yang et al. 2019, sections 2.4 and 2.5, and `_create_data` of the authors'
//! data_utils.py.
//!
//! The corpus is cut into lanes that are read side by side. A row is the next `reuse` tokens of its
//! lane (their hidden states become memory for the lane's next row), and behind them two segments. The
//! second follows the first or is from elsewhere: `reuse first <sep> second <sep> <cls>`.

use std::ops::Range;

use athanor_data::Shards;

use super::{
    permutation::{Order, Targets},
    rng_stream::RngStream,
    sentences::Ends,
};

/// Lanes over a row of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes {
    /// Tokens in all.
    pub tokens: u64,
    /// How many are read side by side.
    pub lanes: usize,
    /// Tokens of a row.
    pub time: usize,
    /// Tokens by which a lane moves on from row to row.
    pub reuse: usize,
}

/// Where a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its first token.
    pub from: u64,
    /// How often its lane was read before.
    pub epoch: u64,
    /// Whether it begins its lane, so that there is no memory.
    pub fresh: bool,
}

impl Lanes {
    /// Rows of a lane; 0 if the corpus is too small.
    pub fn rows(&self) -> u64 {
        let each = self.tokens / self.lanes.max(1) as u64;
        each.saturating_sub(self.time as u64) / self.reuse.max(1) as u64
    }

    /// The row of a lane at a step.
    pub fn place(&self, lane: usize, step: u64) -> Place {
        let each = self.tokens / self.lanes.max(1) as u64;
        let (epoch, row) = (step / self.rows().max(1), step % self.rows().max(1));
        let from = lane as u64 * each + row * self.reuse as u64;
        Place { from, epoch, fresh: row == 0 }
    }

    /// Tokens of the two segments together.
    fn room(&self) -> usize {
        self.time - self.reuse - 3
    }
}

/// A row for a permutation language model.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Tokens.
    pub ids: Vec<u32>,
    /// Segment of each: 0, 1, and 2 for `<cls>`.
    pub types: Vec<u32>,
    /// Special tokens put in between: they are never targets.
    pub fixed: Vec<bool>,
}

impl Lanes {
    /// The ranges of a row: what is reused, and two segments. The second follows the first in half
    /// of the rows, and begins anywhere in the others.
    pub fn segments(
        &self,
        from: u64,
        sentences: &[Range<usize>],
        draw: &mut RngStream,
    ) -> [Range<u64>; 3] {
        let (reuse, room) = (self.reuse as u64, self.room() as u64);
        let begin = from + reuse;
        // The first segment ends with a sentence, where one ends.
        let inside: Vec<u64> =
            (sentences.iter().map(|s| s.end as u64)).filter(|&e| e > 0 && e < room).collect();
        let length = match inside.is_empty() {
            true => (room / 2).max(1),
            false => inside[draw.below(inside.len())],
        };
        let first = begin..begin + length;
        let second = match draw.chance(0.5) {
            true => first.end..begin + room,
            false => {
                let most = self.tokens.saturating_sub(room - length).max(1);
                let at = draw.below(most as usize) as u64;
                at..at + room - length
            }
        };
        [from..begin, first, second]
    }

    /// The tokens of a row.
    pub fn row(
        &self,
        shards: &Shards,
        ends: &Ends,
        place: Place,
        sep: u32,
        cls: u32,
        draw: &mut RngStream,
    ) -> Row {
        let begin = place.from + self.reuse as u64;
        let ahead = shards.tokens(begin..begin + self.room() as u64);
        let [reuse, first, second] = self.segments(place.from, &ends.sentences(&ahead), draw);
        let mut ids = shards.tokens(reuse);
        ids.extend(shards.tokens(first));
        ids.push(sep);
        let mut types = vec![0; ids.len()];
        ids.extend(shards.tokens(second));
        ids.push(sep);
        types.resize(ids.len(), 1);
        ids.push(cls);
        types.push(2);
        let n = ids.len();
        let first_sep = types.iter().rposition(|&t| t == 0).unwrap_or(0);
        let fixed = (0..n).map(|i| i == first_sep || i + 2 >= n).collect();
        Row { ids, types, fixed }
    }

    /// The order of a row: the reused part and the rest are ordered apart, and the rest comes behind
    /// all of the reused part, so that the memory of the next row has seen nothing else.
    pub fn order(&self, fixed: &[bool], targets: &Targets, draw: &mut RngStream) -> Order {
        let (head, tail) = fixed.split_at(self.reuse.min(fixed.len()));
        let mut order = targets.order(head, draw);
        let second = targets.order(tail, draw);
        // What is no target in the rest ranks between the two: seen by the rest alone.
        let base = order.targets.len() as u32 + 1;
        order.rank.extend(second.rank.iter().map(|r| base + r));
        order.targets.extend(second.targets.iter().map(|t| t + head.len()));
        order.spans += second.spans;
        order.context = vec![0, base];
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use athanor_tensor::Rng;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

        #[test]
        fn lanes_read_everything_in_order(
            tokens in 0u64..5000, lanes in 1usize..6, reuse in 1usize..40, more in 4usize..40,
        ) {
            let l = Lanes { tokens, lanes, time: reuse + more, reuse };
            let rows = l.rows();
            for lane in 0..lanes {
                for step in 0..rows.min(50) {
                    let place = l.place(lane, step);
                    prop_assert!(place.from + l.time as u64 <= (lane as u64 + 1) * (tokens / lanes as u64));
                    prop_assert_eq!(place.fresh, step == 0);
                    // Each row goes on where the reused part of the one before ended.
                    if step > 0 {
                        prop_assert_eq!(place.from, l.place(lane, step - 1).from + reuse as u64);
                    }
                    let again = l.place(lane, step + rows);
                    prop_assert_eq!((again.from, again.epoch), (place.from, 1));
                }
            }
        }

        #[test]
        fn segments_fill_the_row(
            reuse in 1usize..40, more in 5usize..60, seed in any::<u64>(),
            cuts in prop::collection::vec(1usize..20, 0..8),
        ) {
            let l = Lanes { tokens: 4000, lanes: 2, time: reuse + more, reuse };
            let mut at = 0;
            let sentences: Vec<Range<usize>> = cuts.iter().map(|n| { at += n; at - n..at }).collect();
            let mut draw = RngStream::new(Rng::new(seed));
            let [a, b, c] = l.segments(100, &sentences, &mut draw);
            prop_assert_eq!(a, 100..100 + reuse as u64);
            prop_assert_eq!(b.start, 100 + reuse as u64);
            prop_assert!(b.start < b.end && c.start < c.end && c.end <= 4000);
            prop_assert_eq!((b.end - b.start + c.end - c.start) as usize, l.time - reuse - 3);
        }

        /// The factorisation over both parts: the reused part sees nothing of the rest, the rest
        /// sees all of it, and no target sees itself or what is later.
        #[test]
        fn the_rest_comes_behind_the_reused_part(
            fixed in prop::collection::vec(prop::bool::weighted(0.1), 6..60), seed in any::<u64>(),
        ) {
            let reuse = fixed.len() / 2;
            let l = Lanes { tokens: 0, lanes: 1, time: fixed.len(), reuse };
            let targets = Targets { part: 3, longest: 3 };
            let order = l.order(&fixed, &targets, &mut RngStream::new(Rng::new(seed)));
            for i in 0..fixed.len() {
                for j in 0..fixed.len() {
                    let want = match (i < reuse, j < reuse) {
                        (true, false) => true,
                        (false, true) => false,
                        _ if !order.targets.contains(&j) => false,
                        _ => order.rank[i] <= order.rank[j],
                    };
                    prop_assert_eq!(order.hides(i, j), want, "{} {} {:?}", i, j, order);
                }
            }
            prop_assert!(order.targets.iter().all(|&t| order.hides(t, t) && !fixed[t]));
        }
    }
}
