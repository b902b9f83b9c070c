//! XLNet's factorisation orders: Yang et al. 2019, sections 2.2 to 2.4, and `_local_perm` and
//! `_sample_mask` of the authors' data_utils.py.
//!
//! A row is predicted in part: about 1/K of its tokens are targets, chosen as spans with what is
//! around them. What is no target comes first in the order and is seen by all; the targets follow in
//! random order. A target is predicted from what comes before it in the order, and from its own place,
//! but neither from itself nor from what comes later.

use super::rng_stream::RngStream;

/// How targets are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Targets {
    /// One token of this many is a target: the paper's K.
    pub part: usize,
    /// Longest span in tokens: 5 in the paper, each length equally likely.
    pub longest: usize,
}

/// A row's order and what follows from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Place of each token in the order: 0 for what all may see, then 1, 2, … for the targets.
    pub rank: Vec<u32>,
    /// The ranks that are not one target's but all of the context's: seen from that rank on.
    pub context: Vec<u32>,
    /// Places of the targets, rising.
    pub targets: Vec<usize>,
    /// Spans chosen.
    pub spans: usize,
}

impl Targets {
    /// Chooses targets among the tokens that are not `fixed` (special tokens), and an order.
    pub fn order(&self, fixed: &[bool], draw: &mut RngStream) -> Order {
        let mut rank = vec![0; fixed.len()];
        let (mut targets, spans) = self.spans(fixed, draw);
        draw.shuffle(&mut targets);
        for (target, at) in targets.iter().zip(1..) {
            rank[*target] = at;
        }
        targets.sort_unstable();
        Order { rank, context: vec![0], targets, spans }
    }

    /// Spans of 1 to `longest` tokens, each somewhere in a stretch K times as long, from left to
    /// right, until there are enough targets.
    fn spans(&self, fixed: &[bool], draw: &mut RngStream) -> (Vec<usize>, usize) {
        let free = fixed.iter().filter(|f| !**f).count();
        let wanted = free / self.part.max(1);
        let wanted = if free == 0 { 0 } else { wanted.max(1) };
        let mut targets: Vec<usize> = Vec::with_capacity(wanted);
        let mut spans = 0;
        let mut at = 0;
        while at < fixed.len() && targets.len() < wanted {
            let length = (1 + draw.below(self.longest)).min(wanted - targets.len());
            let stretch = length * self.part.max(1);
            let before = draw.below(stretch - length + 1);
            let from = at + before;
            let span: Vec<usize> =
                (from..fixed.len()).take_while(|&i| !fixed[i]).take(length).collect();
            spans += usize::from(!span.is_empty());
            targets.extend(span);
            at += stretch;
        }
        // Special tokens and the row's end take a part of the spans: single ones fill up.
        let mut rest: Vec<usize> =
            (0..fixed.len()).filter(|i| !fixed[*i] && !targets.contains(i)).collect();
        draw.shuffle(&mut rest);
        let more: Vec<usize> = rest.into_iter().take(wanted - targets.len()).collect();
        spans += more.len();
        targets.extend(more);
        (targets, spans)
    }
}

impl Order {
    /// Whether the query at `i` is kept from the token at `j`: transformers' `perm_mask[i, j]`. The
    /// content at a place always sees itself; that is the model's part.
    pub fn hides(&self, i: usize, j: usize) -> bool {
        // Context does not see targets, or they would leak through it.
        match self.context.contains(&self.rank[j]) {
            true => self.rank[i] < self.rank[j],
            false => self.rank[i] <= self.rank[j],
        }
    }

    /// `perm_mask` of the row, [time, time]: 1 where the query must not look.
    pub fn mask(&self) -> Vec<f32> {
        let n = self.rank.len();
        let mut mask = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..n {
                mask[i * n + j] = f32::from(u8::from(self.hides(i, j)));
            }
        }
        mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use athanor_tensor::Rng;
    use proptest::prelude::*;

    const PAPER: Targets = Targets { part: 6, longest: 5 };

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

        #[test]
        fn a_target_sees_neither_itself_nor_what_is_later(
            fixed in prop::collection::vec(prop::bool::weighted(0.1), 1..80),
            part in 1usize..8,
            longest in 1usize..6,
            seed in any::<u64>(),
        ) {
            let order = Targets { part, longest }.order(&fixed, &mut RngStream::new(Rng::new(seed)));
            let free = fixed.iter().filter(|f| !**f).count();
            let wanted = if free == 0 { 0 } else { (free / part).max(1) };
            prop_assert_eq!(order.targets.len(), wanted);
            prop_assert!(order.targets.iter().all(|&t| !fixed[t]));
            // The order is a permutation: context at 0, then each target one place of its own.
            let mut ranks: Vec<u32> = order.targets.iter().map(|&t| order.rank[t]).collect();
            ranks.sort_unstable();
            prop_assert!(ranks.into_iter().eq(1..=wanted as u32));
            prop_assert!((0..fixed.len()).all(|i| order.targets.contains(&i) || order.rank[i] == 0));
            let n = fixed.len();
            let mask = order.mask();
            for i in 0..n {
                for j in 0..n {
                    let hidden = mask[i * n + j] == 1.0;
                    // p(x_t | x before t in the order): all context and no more targets than those.
                    let before = order.rank[j] < order.rank[i] || order.rank[j] == 0;
                    prop_assert_eq!(hidden, !before, "{} {}", i, j);
                }
            }
            // Nothing leaks over two steps either: what a target sees has not seen it.
            for &t in &order.targets {
                for j in (0..n).filter(|&j| j != t && !order.hides(t, j)) {
                    prop_assert!(order.hides(j, t), "{} knows {}", j, t);
                }
            }
        }
    }

    #[test]
    fn spans_and_orders_are_the_papers() {
        let fixed = vec![false; 512];
        let mut first = 0;
        let (mut targets, mut spans) = (0, 0);
        for i in 0..400 {
            let order = PAPER.order(&fixed, &mut RngStream::new(Rng::new(5).at(i)));
            targets += order.targets.len();
            spans += order.spans;
            let [a, b] = [order.targets[0], order.targets[1]].map(|t| order.rank[t]);
            first += usize::from(a < b);
        }
        assert_eq!(targets, 400 * 85);
        let length = targets as f64 / spans as f64;
        assert!((2.5..3.1).contains(&length), "mean length of 1 to 5 is 3: {length}");
        // Of two targets each comes first in half of the orders.
        assert!((160..240).contains(&first), "{first}");
    }
}
