//! Who goes: the fewest that are enough, and of those the ones that are missed least.

use std::cmp::Ordering;

use super::input::ServiceId;
use crate::project::Keep;

/// Somebody who could go.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidate {
    pub(super) id: ServiceId,
    /// What is gained.
    pub(super) bytes: u64,
    /// Whether it is answering, how much it is to be kept, and its priority: nobody of a higher level goes where those of
    /// lower ones are enough.
    pub(super) level: Level,
    /// How gladly it is let go.
    pub(super) score: f64,
}

/// See [`Candidate::level`].
pub(super) type Level = (bool, Keep, i32);

impl Candidate {
    /// Which of two groups is missed less: the one of lower levels, then the smaller, then the one let go more gladly.
    pub(super) fn compare(mine: &[Self], others: &[Self]) -> Ordering {
        let level = |group: &[Self]| group.iter().map(|one| one.level).max();
        let worst = |group: &[Self]| group.iter().map(|one| one.score).fold(f64::INFINITY, f64::min);
        (level(mine).cmp(&level(others)))
            .then_with(|| mine.len().cmp(&others.len()))
            .then_with(|| worst(others).total_cmp(&worst(mine)))
    }
}

/// The fewest of the lowest levels that give `short` bytes together; `None` where not even all do.
pub(super) fn fewest(pool: &[Candidate], short: i128) -> Option<Vec<Candidate>> {
    if short <= 0 {
        return Some(Vec::new());
    }
    let mut levels: Vec<Level> = pool.iter().map(|one| one.level).collect();
    levels.sort_unstable();
    levels.dedup();
    levels.into_iter().find_map(|level| {
        let open: Vec<Candidate> = pool.iter().filter(|one| one.level <= level).cloned().collect();
        of_one_level(open, short)
    })
}

/// As few as can be; each in turn the one let go most gladly with which that number is still enough.
fn of_one_level(mut pool: Vec<Candidate>, short: i128) -> Option<Vec<Candidate>> {
    pool.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.id.cmp(&b.id)));
    let sum = |of: &[Candidate]| of.iter().map(|one| i128::from(one.bytes)).sum::<i128>();
    let count = (1..=pool.len()).find(|count| sum(&pool[..*count]) >= short)?;
    let (mut chosen, mut left) = (Vec::new(), short);
    for missing in (0..count).rev() {
        let enough = |index: usize| {
            let rest = pool.iter().enumerate().filter(|(other, _)| *other != index).take(missing);
            i128::from(pool[index].bytes) + rest.map(|(_, one)| i128::from(one.bytes)).sum::<i128>() >= left
        };
        let fit = (0..pool.len()).filter(|index| enough(*index));
        let best = fit.min_by(|a, b| gladly(&pool[*a], &pool[*b]))?;
        let one = pool.remove(best);
        left -= i128::from(one.bytes);
        chosen.push(one);
    }
    Some(chosen)
}

/// Lower levels first, then higher scores.
fn gladly(a: &Candidate, b: &Candidate) -> Ordering {
    a.level.cmp(&b.level).then_with(|| b.score.total_cmp(&a.score)).then_with(|| a.id.cmp(&b.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Candidates with ids from 0 on.
    fn pool(of: &[(u64, Keep, f64)]) -> Vec<Candidate> {
        let one = |(id, (bytes, keep, score)): (u32, &(u64, Keep, f64))| Candidate {
            id: ServiceId(id),
            bytes: *bytes,
            level: (false, *keep, 0),
            score: *score,
        };
        (0..).zip(of).map(one).collect()
    }

    #[test]
    fn the_fewest_go_and_of_those_the_ones_missed_least() {
        use Keep::{Never, Normal, Prefer};
        for (of, short, expected) in [
            // One alone is enough: the gladliest of those.
            (vec![(4, Normal, 9.0), (8, Normal, 1.0), (9, Normal, 2.0)], 8, Some(vec![2])),
            // Two are needed.
            (vec![(4, Normal, 9.0), (5, Normal, 1.0), (3, Normal, 5.0)], 8, Some(vec![0, 1])),
            (vec![(4, Normal, 9.0), (4, Normal, 1.0), (4, Normal, 5.0)], 8, Some(vec![0, 2])),
            // Two that matter little rather than one that is to be kept.
            (vec![(9, Prefer, 9.0), (4, Normal, 1.0), (4, Never, 0.0)], 8, Some(vec![2, 1])),
            (vec![(9, Prefer, 0.0), (4, Normal, 1.0)], 8, Some(vec![0])),
            (vec![(3, Normal, 0.0), (4, Normal, 1.0)], 8, None),
            (vec![], 0, Some(vec![])),
            (vec![], 1, None),
        ] {
            let chosen = fewest(&pool(&of), short);
            let ids = chosen.map(|chosen| chosen.iter().map(|one| one.id.0).collect::<Vec<_>>());
            assert_eq!(ids, expected, "{of:?} for {short}");
        }
    }

    #[test]
    fn of_two_groups_the_one_missed_less_is_known() {
        use Keep::{Normal, Prefer};
        let (one, two) = (pool(&[(1, Normal, 1.0)]), pool(&[(1, Normal, 5.0), (1, Normal, 9.0)]));
        let (kept, glad) = (pool(&[(1, Prefer, 9.0)]), pool(&[(1, Normal, 2.0)]));
        assert_eq!(Candidate::compare(&one, &two), Ordering::Less);
        assert_eq!(Candidate::compare(&two, &kept), Ordering::Less);
        assert_eq!(Candidate::compare(&glad, &one), Ordering::Less);
        assert_eq!(Candidate::compare(&[], &one), Ordering::Less);
    }
}
