//! A set of pieces that answers which of them a text begins with.

/// Pieces by their characters: a node's children lie side by side, sorted.
#[derive(Clone, Debug)]
pub(crate) struct Trie {
    /// The character that leads to each node; the root's is not used.
    labels: Vec<char>,
    /// Children of each node.
    children: Vec<(u32, u32)>,
    /// The piece that ends at each node.
    piece: Vec<Option<u32>>,
}

impl Trie {
    /// Of pieces, each the number of its place.
    pub(crate) fn new(pieces: &[Vec<char>]) -> Self {
        let mut order: Vec<u32> = (0..pieces.len() as u32).collect();
        order.sort_by(|&a, &b| pieces[a as usize].cmp(&pieces[b as usize]));
        let mut trie = Self { labels: vec!['\0'], children: vec![(0, 0)], piece: vec![None] };
        // Breadth first: ranges of `order` that share a beginning.
        let mut queue = std::collections::VecDeque::from([(0usize, 0usize, order.len(), 0usize)]);
        while let Some((node, mut from, to, depth)) = queue.pop_front() {
            while from < to && pieces[order[from] as usize].len() == depth {
                trie.piece[node] = Some(order[from]);
                from += 1;
            }
            let first = trie.labels.len() as u32;
            while from < to {
                let label = pieces[order[from] as usize][depth];
                let same = order[from..to]
                    .iter()
                    .take_while(|&&p| pieces[p as usize][depth] == label)
                    .count();
                queue.push_back((trie.labels.len(), from, from + same, depth + 1));
                trie.labels.push(label);
                trie.children.push((0, 0));
                trie.piece.push(None);
                from += same;
            }
            trie.children[node] = (first, trie.labels.len() as u32);
        }
        trie
    }

    /// Calls `found` with (length, piece) for each piece that `text` begins with, shortest first.
    #[inline]
    pub(crate) fn prefixes(&self, text: &[char], mut found: impl FnMut(usize, u32)) {
        let mut node = 0;
        for (i, c) in text.iter().enumerate() {
            let (from, to) = self.children[node];
            let Ok(at) = self.labels[from as usize..to as usize].binary_search(c) else { return };
            node = from as usize + at;
            if let Some(piece) = self.piece[node] {
                found(i + 1, piece);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]
        #[test]
        fn finds_what_a_list_finds(
            pieces in prop::collection::btree_set("[ab春]{1,4}", 0..12),
            text in "[ab春]{0,8}",
        ) {
            let pieces: Vec<Vec<char>> = pieces.iter().rev().map(|p| p.chars().collect()).collect();
            let text: Vec<char> = text.chars().collect();
            let mut found = Vec::new();
            Trie::new(&pieces).prefixes(&text, |n, p| found.push((n, p)));
            let mut want: Vec<(usize, u32)> = (pieces.iter().zip(0..))
                .filter(|(p, _)| text.starts_with(p))
                .map(|(p, i)| (p.len(), i))
                .collect();
            want.sort_unstable();
            prop_assert_eq!(found, want);
        }
    }
}
