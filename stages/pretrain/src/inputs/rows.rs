//! Rows for masked language models, as ranges of the shards' tokens.
//!
//! Segment pairs: Devlin et al. 2019, appendix A.2, and `create_instances_from_document` of BERT's
//! create_pretraining_data.py. Sentence order: Lan et al. 2020 (ALBERT), section 3.1. Full and
//! document sentences: Liu et al. 2019 (RoBERTa), section 4.2.
//!
//! Departures: BERT gives a text of one sentence a foreign second segment always; here it makes no
//! pair, so lengths do not tell the label. ALBERT does the same with a single sentence; it has no
//! order and makes no pair here.

use std::ops::Range;

use athanor_data::Shards;

use super::{rng_stream::RngStream, sentences::Ends};

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The first segment.
    pub first: Range<u64>,
    /// The second one, if the row is a pair.
    pub second: Option<Range<u64>>,
    /// 0 if the second segment follows the first, 1 if not (transformers' next_sentence_label).
    pub label: u32,
}

/// What the second segment of a pair may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// What follows, or a piece of another document.
    NextSentence,
    /// What follows, or the same two segments the other way round.
    SentenceOrder,
}

/// The sentences of a corpus.
#[derive(Clone, Debug, Default)]
pub struct Sentences {
    /// Where each sentence begins; and at last the end of the last.
    starts: Vec<u64>,
    /// Sentences of each document.
    documents: Vec<Range<usize>>,
    /// End of each document's text, before its closing token.
    ends: Vec<u64>,
}

impl Sentences {
    /// Finds them all.
    pub fn of(shards: &Shards, ends: &Ends) -> Self {
        let mut found = Self::default();
        for i in 0..shards.documents() {
            let range = shards.document_range(i);
            let mut tokens = shards.tokens(range.clone());
            tokens.pop();
            found.add(range.start, ends.sentences(&tokens));
        }
        found
    }

    fn add(&mut self, start: u64, sentences: Vec<Range<usize>>) {
        let Some(last) = sentences.last() else { return };
        self.ends.push(start + last.end as u64);
        let from = self.starts.len();
        self.starts.extend(sentences.iter().map(|s| start + s.start as u64));
        self.documents.push(from..self.starts.len());
    }

    /// The range of these sentences of a document.
    fn range(&self, document: usize, sentences: Range<usize>) -> Range<u64> {
        let end = if sentences.end == self.documents[document].end {
            self.ends[document]
        } else {
            self.starts[sentences.end]
        };
        self.starts[sentences.start]..end
    }

    /// Segment pairs of at most `room` tokens, about half of them with a label of 1. `short` is the
    /// share of rows with a length drawn at random.
    pub fn pairs(&self, kind: Pairs, room: usize, short: f64, draw: &mut RngStream) -> Vec<Row> {
        let mut rows = Vec::new();
        for document in 0..self.documents.len() {
            self.pairs_of(document, kind, room, short, draw, &mut rows);
        }
        rows
    }

    fn pairs_of(
        &self,
        document: usize,
        kind: Pairs,
        room: usize,
        short: f64,
        draw: &mut RngStream,
        rows: &mut Vec<Row>,
    ) {
        let length = |r: &Range<u64>| (r.end - r.start) as usize;
        let target = |draw: &mut RngStream| match draw.chance(short) {
            true => 2 + draw.below(room.saturating_sub(1)),
            false => room,
        };
        let all = self.documents[document].clone();
        let mut wanted = target(draw);
        let mut from = all.start;
        let mut to = from;
        while to < all.end {
            to += 1;
            if to < all.end && length(&self.range(document, from..to)) < wanted {
                continue;
            }
            if to - from < 2 {
                from = to;
                continue;
            }
            let split = from + 1 + draw.below(to - from - 1);
            let mut first = self.range(document, from..split);
            let mut second = self.range(document, split..to);
            let mut label = u32::from(draw.chance(0.5));
            let mut next = to;
            match kind {
                Pairs::NextSentence if label == 1 => {
                    match self.elsewhere(document, wanted.saturating_sub(length(&first)), draw) {
                        // The segment that was not used begins the next row.
                        Some(other) => (second, next) = (other, split),
                        None => label = 0,
                    }
                }
                Pairs::SentenceOrder if label == 1 => std::mem::swap(&mut first, &mut second),
                _ => {}
            }
            truncate(&mut first, &mut second, room, draw);
            rows.push(Row { first, second: Some(second), label });
            (from, to) = (next, next);
            wanted = target(draw);
        }
    }

    /// Sentences of about `wanted` tokens of another document; none if there is no other.
    fn elsewhere(
        &self,
        document: usize,
        wanted: usize,
        draw: &mut RngStream,
    ) -> Option<Range<u64>> {
        if self.documents.len() < 2 {
            return None;
        }
        let mut other = draw.below(self.documents.len() - 1);
        other += usize::from(other >= document);
        let all = self.documents[other].clone();
        let from = all.start + draw.below(all.len());
        let mut to = from + 1;
        let mut range = self.range(other, from..to);
        while to < all.end && ((range.end - range.start) as usize) < wanted {
            to += 1;
            range = self.range(other, from..to);
        }
        Some(range)
    }

    /// Sentences side by side, as many as fit into `room` tokens. With `across` rows go on into the
    /// next document, the token that closes a document between them.
    pub fn full(&self, room: usize, across: bool) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        let mut open: Option<Range<u64>> = None;
        let row = |first: Range<u64>| Row { first, second: None, label: 0 };
        for document in 0..self.documents.len() {
            for s in self.documents[document].clone() {
                let mut sentence = self.range(document, s..s + 1);
                if let Some(range) = &mut open {
                    if (sentence.end - range.start) as usize <= room {
                        range.end = sentence.end;
                        continue;
                    }
                    rows.push(row(range.clone()));
                }
                // A sentence that is longer than a row is cut.
                while (sentence.end - sentence.start) as usize > room {
                    let cut = sentence.start + room as u64;
                    rows.push(row(sentence.start..cut));
                    sentence.start = cut;
                }
                open = Some(sentence);
            }
            if !across {
                rows.extend(open.take().map(row));
            }
        }
        rows.extend(open.map(row));
        rows.retain(|r| r.first.start < r.first.end);
        rows
    }
}

/// Takes tokens off the longer segment, from its front or its end by chance, until both fit.
fn truncate(first: &mut Range<u64>, second: &mut Range<u64>, room: usize, draw: &mut RngStream) {
    let length = |r: &Range<u64>| r.end - r.start;
    while length(first) + length(second) > room as u64 {
        let longer = if length(first) > length(second) { &mut *first } else { &mut *second };
        match draw.chance(0.5) {
            true => longer.start += 1,
            false => longer.end -= 1,
        }
    }
}

/// `[CLS] first [SEP]`, or `[CLS] first [SEP] second [SEP]`: ids and the type of each.
pub fn assemble(shards: &Shards, row: &Row, cls: u32, sep: u32) -> (Vec<u32>, Vec<u32>) {
    let mut ids = vec![cls];
    ids.extend(shards.tokens(row.first.clone()));
    ids.push(sep);
    let mut types = vec![0; ids.len()];
    if let Some(second) = &row.second {
        ids.extend(shards.tokens(second.clone()));
        ids.push(sep);
        types.resize(ids.len(), 1);
    }
    (ids, types)
}

#[cfg(test)]
mod tests {
    use super::*;
    use athanor_tensor::Rng;
    use proptest::prelude::*;

    /// Documents of sentences of these lengths, a closing token between documents.
    fn corpus(documents: &[Vec<usize>]) -> Sentences {
        let mut found = Sentences::default();
        let mut start = 0;
        for lengths in documents {
            let mut at = 0;
            let sentences: Vec<Range<usize>> = lengths
                .iter()
                .map(|n| {
                    at += n;
                    at - n..at
                })
                .collect();
            found.add(start, sentences);
            start += at as u64 + 1;
        }
        found
    }

    fn document_of(s: &Sentences, at: u64) -> usize {
        s.ends.partition_point(|&e| e <= at)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

        #[test]
        fn pairs_are_what_their_label_says(
            documents in prop::collection::vec(prop::collection::vec(1usize..30, 1..12), 1..8),
            room in 4usize..60,
            seed in any::<u64>(),
            order in any::<bool>(),
        ) {
            let s = corpus(&documents);
            let kind = if order { Pairs::SentenceOrder } else { Pairs::NextSentence };
            for row in s.pairs(kind, room, 0.1, &mut RngStream::new(Rng::new(seed))) {
                let (a, b) = (row.first, row.second.unwrap());
                prop_assert!(a.start < a.end && b.start < b.end);
                prop_assert!((a.end - a.start + b.end - b.start) as usize <= room);
                let (da, db) = (document_of(&s, a.start), document_of(&s, b.start));
                prop_assert_eq!(da, document_of(&s, a.end - 1));
                prop_assert_eq!(db, document_of(&s, b.end - 1));
                match (kind, row.label) {
                    (Pairs::NextSentence, 1) => prop_assert!(da != db),
                    (Pairs::SentenceOrder, 1) => prop_assert!(da == db && b.end <= a.start),
                    _ => prop_assert!(da == db && a.end <= b.start),
                }
            }
        }

        /// Every token of the text is in one row, in order; nothing else but closing tokens is.
        #[test]
        fn full_sentences_leave_nothing_out(
            documents in prop::collection::vec(prop::collection::vec(1usize..30, 1..12), 0..8),
            room in 1usize..60,
            across in any::<bool>(),
        ) {
            let s = corpus(&documents);
            let rows = s.full(room, across);
            let mut seen = Vec::new();
            for row in &rows {
                prop_assert!((row.first.end - row.first.start) as usize <= room);
                if !across {
                    prop_assert_eq!(document_of(&s, row.first.start), document_of(&s, row.first.end - 1));
                }
                seen.extend(row.first.clone());
            }
            let closing = |t: &u64| s.ends.contains(t);
            seen.retain(|t| !closing(t));
            let all: u64 = documents.iter().map(|d| 1 + d.iter().sum::<usize>() as u64).sum();
            prop_assert!((0..all).filter(|t| !closing(t)).eq(seen));
        }
    }

    #[test]
    fn half_of_the_pairs_are_foreign() {
        let s = corpus(&vec![vec![8; 40]; 60]);
        for kind in [Pairs::NextSentence, Pairs::SentenceOrder] {
            let rows = s.pairs(kind, 40, 0.1, &mut RngStream::new(Rng::new(4)));
            let foreign = rows.iter().filter(|r| r.label == 1).count();
            let share = foreign as f64 / rows.len() as f64;
            assert!(rows.len() > 400 && (0.44..0.56).contains(&share), "{share} of {}", rows.len());
            // The length does not tell.
            let mean = |label| {
                let of: Vec<f64> = (rows.iter().filter(|r| r.label == label))
                    .map(|r| (r.second.clone().unwrap().count() + r.first.clone().count()) as f64)
                    .collect();
                of.iter().sum::<f64>() / of.len() as f64
            };
            assert!((mean(0) - mean(1)).abs() < 2.5, "{} {}", mean(0), mean(1));
        }
    }
}
