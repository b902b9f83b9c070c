//! Packing: short sequences side by side in one context, so that little of it is padding.

/// How many items may be sorted together. Larger packs tighter, and moves items further from their
/// order.
const WINDOW: usize = 1024;

/// Groups items so that each group's lengths sum to at most `context`: first-fit decreasing
/// (Johnson 1973; at most 11/9 of the best number of groups, and 6/9) within windows of 1,024
/// items, so that a shuffled order stays shuffled. Each item is in exactly one group; a longer
/// item than `context` has one of its own, to be cut by the caller. Items within a group keep
/// their order. The same lengths give the same groups.
///
/// ```
/// assert_eq!(athanor_data::pack(&[3, 7, 5, 1, 2], 8), [vec![1, 3], vec![0, 2], vec![4]]);
/// ```
pub fn pack(lengths: &[usize], context: usize) -> Vec<Vec<usize>> {
    let mut groups = Vec::new();
    for start in (0..lengths.len()).step_by(WINDOW) {
        let mut window: Vec<usize> = (start..lengths.len().min(start + WINDOW)).collect();
        window.sort_by_key(|&i| std::cmp::Reverse(lengths[i])); // stable: ties keep their order
        let mut open: Vec<(usize, Vec<usize>)> = Vec::new();
        for i in window {
            let length = lengths[i];
            match open.iter_mut().find(|(room, _)| *room >= length) {
                Some((room, group)) => {
                    *room -= length;
                    group.push(i);
                }
                None => open.push((context.saturating_sub(length), vec![i])),
            }
        }
        groups.extend(open.into_iter().map(|(_, mut group)| {
            group.sort_unstable();
            group
        }));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_item_once_and_within_the_context(
            lengths in prop::collection::vec(0usize..300, 0..3000),
            context in 1usize..256,
        ) {
            let groups = pack(&lengths, context);
            let mut seen: Vec<usize> = groups.iter().flatten().copied().collect();
            seen.sort_unstable();
            prop_assert!(seen.into_iter().eq(0..lengths.len()));
            for group in &groups {
                let sum: usize = group.iter().map(|&i| lengths[i]).sum();
                // A too long item may share its group only with empty ones.
                let longest = group.iter().map(|&i| lengths[i]).max().unwrap_or(0);
                prop_assert!(sum <= context.max(longest));
            }
            prop_assert_eq!(groups, pack(&lengths, context));
        }
    }
}
