//! Which tokens a masked language model has to guess, and what it sees in their place.
//!
//! Devlin et al. 2019, section 3.1 and appendix A.1: 15 % of the tokens; of these 80 % become the
//! mask, 10 % another token, 10 % stay. Whole words: the targets are all the tokens of a word
//! (BERT's release of May 2019; Cui et al. 2021 for Chinese). Spans: Joshi et al. 2020, section 3.1,
//! where lengths are geometric in whole words, and all tokens of a span share one fate.

use athanor_store::figures::Masking as Shares;

use super::rng_stream::RngStream;

/// What is chosen at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unit {
    /// Single tokens.
    Token,
    /// All tokens of a word.
    Word,
    /// Words side by side; their number is geometric with this parameter, up to this many.
    Span {
        /// Parameter of the geometric distribution.
        p: f64,
        /// Most words of a span.
        most: usize,
    },
}

/// How tokens are masked.
#[derive(Clone, Debug)]
pub struct Masking {
    /// Share of the tokens that are targets.
    pub rate: f64,
    /// Share of the targets that become the mask.
    pub mask_share: f64,
    /// Share of the targets that become a random token; the rest stays.
    pub random_share: f64,
    /// What is chosen at once.
    pub unit: Unit,
    /// The mask's id.
    pub mask: u32,
    /// Ids that a random token may have.
    pub random: std::ops::Range<u32>,
}

/// What became of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The mask.
    Mask,
    /// A random token.
    Random,
    /// Itself.
    Kept,
}

/// A row with its targets hidden.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Masked {
    /// What the model sees.
    pub ids: Vec<u32>,
    /// Places of the targets, rising.
    pub places: Vec<usize>,
    /// The tokens that stood there.
    pub targets: Vec<u32>,
    /// What became of each target.
    pub fates: Vec<Fate>,
    /// Number of units chosen: tokens, words, or spans.
    pub units: usize,
}

impl Masking {
    /// Number of targets among `candidates` tokens: at least one, as in BERT's code.
    pub fn budget(&self, candidates: usize) -> usize {
        let wanted = (candidates as f64 * self.rate).round() as usize;
        wanted.max(1).min(candidates)
    }

    /// Hides targets in a row. `word[i]` is the number of token i's word, equal for tokens side by
    /// side that belong together, none for tokens that are never targets (special ones). A whole
    /// word or span that would exceed the budget is skipped; if even the first does not fit, its first
    /// tokens up to the budget are taken.
    pub fn apply(&self, ids: &[u32], word: &[Option<u32>], draw: &mut RngStream) -> Masked {
        let words = words(word);
        let candidates: usize = words.iter().map(|w| w.1 - w.0).sum();
        let mut out = Masked { ids: ids.to_vec(), ..Masked::default() };
        if candidates == 0 {
            return out;
        }
        let budget = self.budget(candidates);
        let chosen = match self.unit {
            Unit::Token => {
                let tokens = words.iter().flat_map(|&(from, to)| (from..to).map(|i| (i, i + 1)));
                take(tokens.collect(), budget, draw)
            }
            Unit::Word => take(words, budget, draw),
            Unit::Span { p, most } => spans(&words, budget, p, most, draw),
        };
        out.units = chosen.len();
        let mut hidden: Vec<(usize, Fate)> = Vec::with_capacity(budget);
        for (from, to) in chosen {
            let mut fate = self.fate(draw);
            for i in from..to {
                // Only a span decides once for all of its tokens.
                if i > from && !matches!(self.unit, Unit::Span { .. }) {
                    fate = self.fate(draw);
                }
                match fate {
                    Fate::Mask => out.ids[i] = self.mask,
                    Fate::Random => {
                        let n = self.random.len();
                        out.ids[i] = self.random.start + draw.below(n) as u32;
                    }
                    Fate::Kept => {}
                }
                hidden.push((i, fate));
            }
        }
        hidden.sort_by_key(|h| h.0);
        out.targets = hidden.iter().map(|&(i, _)| ids[i]).collect();
        (out.places, out.fates) = hidden.into_iter().unzip();
        out
    }

    fn fate(&self, draw: &mut RngStream) -> Fate {
        let x = draw.uniform();
        if x < self.mask_share {
            Fate::Mask
        } else if x < self.mask_share + self.random_share {
            Fate::Random
        } else {
            Fate::Kept
        }
    }
}

/// First token and end of each word.
pub fn words(word: &[Option<u32>]) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (i, w) in word.iter().enumerate() {
        if w.is_none() {
            continue;
        }
        match found.last_mut() {
            Some(last) if last.1 == i && word[i - 1] == *w => last.1 = i + 1,
            _ => found.push((i, i + 1)),
        }
    }
    found
}

/// Units in random order, as long as they fit.
fn take(
    mut units: Vec<(usize, usize)>,
    budget: usize,
    draw: &mut RngStream,
) -> Vec<(usize, usize)> {
    draw.shuffle(&mut units);
    let mut left = budget;
    let mut chosen = Vec::new();
    for &(from, to) in &units {
        if to - from <= left {
            left -= to - from;
            chosen.push((from, to));
        }
        if left == 0 {
            break;
        }
    }
    if let (true, Some(&(from, _))) = (chosen.is_empty(), units.first()) {
        chosen.push((from, from + budget));
    }
    chosen
}

/// Spans of whole words until the budget is spent; none overlaps another.
fn spans(
    words: &[(usize, usize)],
    budget: usize,
    p: f64,
    most: usize,
    draw: &mut RngStream,
) -> Vec<(usize, usize)> {
    let mut taken = vec![false; words.len()];
    let mut left = budget;
    let mut chosen = Vec::new();
    // Most tries fit at once; a bound keeps a row of one long word from trying for ever.
    for _ in 0..20 * words.len() {
        if left == 0 {
            break;
        }
        let length = draw.geometric(p, most);
        let first = draw.below(words.len());
        let mut end = first;
        let mut tokens = 0;
        while end < words.len() && end - first < length && !taken[end] {
            let (from, to) = words[end];
            // A special token ends a span, and so does the budget.
            if (end > first && words[end - 1].1 != from) || tokens + to - from > left {
                break;
            }
            tokens += to - from;
            end += 1;
        }
        if end == first {
            continue;
        }
        taken[first..end].fill(true);
        left -= tokens;
        chosen.push((words[first].0, words[end - 1].1));
    }
    if chosen.is_empty() {
        return take(words.to_vec(), budget, draw);
    }
    chosen
}

/// Sums over rows, from which the shares follow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Tokens that could have been targets.
    pub candidates: usize,
    /// Targets.
    pub targets: usize,
    /// Targets that became the mask.
    pub masked: usize,
    /// Targets that became a random token.
    pub random: usize,
    /// Units chosen.
    pub units: usize,
    /// Words with a target, and those with all tokens as targets.
    pub words: [usize; 2],
}

impl Counts {
    /// Counts a row.
    pub fn add(&mut self, word: &[Option<u32>], masked: &Masked) {
        self.candidates += word.iter().filter(|w| w.is_some()).count();
        self.targets += masked.places.len();
        let fates = |wanted| masked.fates.iter().filter(|f| **f == wanted).count();
        self.masked += fates(Fate::Mask);
        self.random += fates(Fate::Random);
        self.units += masked.units;
        for (from, to) in words(word) {
            let hit = (from..to).filter(|i| masked.places.binary_search(i).is_ok()).count();
            self.words[0] += usize::from(hit > 0);
            self.words[1] += usize::from(hit == to - from);
        }
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        self.candidates += other.candidates;
        self.targets += other.targets;
        self.masked += other.masked;
        self.random += other.random;
        self.units += other.units;
        self.words[0] += other.words[0];
        self.words[1] += other.words[1];
    }

    /// Shares by name: of targets among tokens, of the three fates, of whole words, and the mean
    /// length of a unit in tokens.
    pub fn shares(&self) -> Shares {
        let of = |a: usize, b: usize| Some(a as f64 / b.max(1) as f64);
        Shares {
            rate: of(self.targets, self.candidates),
            mask_share: of(self.masked, self.targets),
            random_share: of(self.random, self.targets),
            kept_share: of(self.targets - self.masked - self.random, self.targets),
            whole_words: of(self.words[1], self.words[0]),
            unit_length: of(self.targets, self.units),
            ..Shares::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use athanor_tensor::Rng;
    use proptest::prelude::*;

    fn masking(unit: Unit) -> Masking {
        Masking { rate: 0.15, mask_share: 0.8, random_share: 0.1, unit, mask: 4, random: 5..1000 }
    }

    const SPAN: Unit = Unit::Span { p: 0.2, most: 10 };

    /// A row: special tokens at both ends and sometimes between, words of one to four tokens.
    fn row() -> impl Strategy<Value = Vec<Option<u32>>> {
        let word = prop_oneof![1 => Just(0usize), 9 => 1usize..5];
        prop::collection::vec(word, 0..60).prop_map(|words| {
            let mut row = vec![None];
            for (i, n) in words.into_iter().enumerate() {
                match n {
                    0 => row.push(None),
                    n => row.extend(vec![Some(i as u32); n]),
                }
            }
            row.push(None);
            row
        })
    }

    fn ids(row: &[Option<u32>]) -> Vec<u32> {
        (0..row.len() as u32).map(|i| 5 + i % 900).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

        #[test]
        fn targets_are_what_they_should_be(row in row(), seed in 0u64..1 << 40, kind in 0usize..3) {
            let unit = [Unit::Token, Unit::Word, SPAN][kind];
            let m = masking(unit);
            let ids = ids(&row);
            let masked = m.apply(&ids, &row, &mut RngStream::new(Rng::new(seed)));
            let candidates = row.iter().flatten().count();
            // Never more than the share; all of it for single tokens; at least one.
            let budget = if candidates == 0 { 0 } else { m.budget(candidates) };
            prop_assert!(masked.places.len() <= budget);
            prop_assert_eq!(masked.places.is_empty(), budget == 0);
            if unit == Unit::Token {
                prop_assert_eq!(masked.places.len(), budget);
            }
            prop_assert!(masked.places.windows(2).all(|p| p[0] < p[1]));
            for (i, &id) in masked.ids.iter().enumerate() {
                match masked.places.binary_search(&i) {
                    Err(_) => prop_assert_eq!(id, ids[i], "place {} is no target", i),
                    Ok(at) => {
                        prop_assert!(row[i].is_some(), "special token {} is a target", i);
                        prop_assert_eq!(masked.targets[at], ids[i]);
                        match masked.fates[at] {
                            Fate::Mask => prop_assert_eq!(id, 4),
                            Fate::Random => prop_assert!((5..1000).contains(&id)),
                            Fate::Kept => prop_assert_eq!(id, ids[i]),
                        }
                    }
                }
            }
            // Words are whole, except a single one that is longer than the whole budget.
            if kind > 0 {
                let mut counts = Counts::default();
                counts.add(&row, &masked);
                let [touched, whole] = counts.words;
                prop_assert!(touched == whole || (touched == 1 && masked.places.len() == budget));
            }
            // The same stream gives the same row, another one another.
            prop_assert_eq!(&masked, &m.apply(&ids, &row, &mut RngStream::new(Rng::new(seed))));
        }
    }

    fn shares(unit: Unit, row: &[Option<u32>]) -> Shares {
        let (m, ids) = (masking(unit), ids(row));
        let mut counts = Counts::default();
        for i in 0..600 {
            let masked = m.apply(&ids, row, &mut RngStream::new(Rng::new(1).at(i)));
            counts.add(row, &masked);
        }
        counts.shares()
    }

    /// Over many rows: 15 %, and 80, 10 and 10 % of these, in each way of choosing.
    #[test]
    fn rates_are_the_papers() {
        let row: Vec<Option<u32>> = (0..130).map(|i| (i % 43 != 0).then_some(i / 2)).collect();
        for unit in [Unit::Token, Unit::Word, SPAN] {
            let shares = shares(unit, &row);
            for (found, want, off) in [
                (shares.rate, 0.15, 0.005),
                (shares.mask_share, 0.8, 0.04),
                (shares.random_share, 0.1, 0.03),
                (shares.kept_share, 0.1, 0.03),
            ] {
                assert!((found.unwrap() - want).abs() < off, "{unit:?} {shares:?}");
            }
        }
    }

    /// Spans of single-token words in a long row have SpanBERT's mean, a little less where the
    /// budget cuts the last one and where two meet.
    #[test]
    fn spans_are_as_long_as_in_the_paper() {
        let row: Vec<Option<u32>> = (0..2000).map(Some).collect();
        let length = shares(SPAN, &row).unit_length.unwrap();
        assert!((3.2..3.8).contains(&length), "{length}");
        assert_eq!(shares(Unit::Token, &row).unit_length, Some(1.0));
    }

    /// Each place is a target equally often.
    #[test]
    fn no_place_is_preferred() {
        let row: Vec<Option<u32>> = (0..40).map(Some).collect();
        let (m, ids) = (masking(Unit::Token), ids(&row));
        let mut hits = [0usize; 40];
        for i in 0..4000 {
            for p in m.apply(&ids, &row, &mut RngStream::new(Rng::new(2).at(i))).places {
                hits[p] += 1;
            }
        }
        assert!(hits.iter().all(|h| (500..700).contains(h)), "{hits:?}");
    }
}
