//! Circles in what points to what.

use std::{collections::HashSet, hash::Hash};

use indexmap::IndexMap;

/// The first circle that a walk from `starts` comes upon: each node with why the walk went on from it. A loop of its
/// own, not recursion: a file may have a chain of thousands.
pub(super) fn circle<N, W, I>(
    starts: impl IntoIterator<Item = N>,
    next: impl Fn(N) -> I,
) -> Option<Vec<(N, W)>>
where
    N: Copy + Eq + Hash,
    I: Iterator<Item = (N, W)>,
{
    let mut seen = HashSet::new();
    for start in starts {
        let mut way: IndexMap<N, (I, Option<W>)> = IndexMap::new();
        if seen.insert(start) {
            way.insert(start, (next(start), None));
        }
        while let Some(mut last) = way.last_entry() {
            let (edges, taken) = last.get_mut();
            let Some((node, why)) = edges.next() else {
                way.pop();
                continue;
            };
            *taken = Some(why);
            if let Some(from) = way.get_index_of(&node) {
                return Some(
                    way.into_iter().skip(from).filter_map(|(node, (_, why))| Some((node, why?))).collect(),
                );
            }
            if seen.insert(node) {
                way.insert(node, (next(node), None));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_found_with_its_reasons() {
        let edges = [(1, 2, "a"), (2, 3, "b"), (1, 4, "c"), (4, 3, "d"), (4, 5, "e"), (5, 4, "f")];
        let next = |from| edges.iter().filter(move |edge| edge.0 == from).map(|edge| (edge.1, edge.2));
        assert_eq!(circle([1, 2, 3, 4, 5], next), Some(vec![(4, "e"), (5, "f")]));
        assert_eq!(circle([2, 3], next), None);
    }
}
