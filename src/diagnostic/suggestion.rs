//! The name that was probably meant.

/// The candidate nearest to what was written, where one is near enough to be a slip: about one wrong, missing,
/// added or swapped letter in three. Of equally near ones the first.
pub fn did_you_mean<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (written.chars().count() / 3).clamp(1, 3);
    let near = candidates.into_iter().filter(|candidate| *candidate != written).filter_map(|candidate| {
        let distance = distance(&written.to_lowercase(), &candidate.to_lowercase());
        (distance <= limit).then_some((distance, candidate))
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// Insertions, removals, replacements and swaps of neighbours that turn one text into the other.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, letter) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let replaced = last[column] + usize::from(letter != other);
            let mut best = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            let swapped = row > 0 && column > 0 && *letter == right[column - 1] && left[row - 1] == *other;
            if swapped {
                best = best.min(before_last[column - 1] + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised() {
        let known = ["image", "depends_on", "healthcheck", "env_file"];
        assert_eq!(did_you_mean("imgae", known), Some("image"));
        assert_eq!(did_you_mean("depend_on", known), Some("depends_on"));
        assert_eq!(did_you_mean("healtcheck", known), Some("healthcheck"));
        assert_eq!(did_you_mean("EnvFile", known), Some("env_file"));
    }

    #[test]
    fn far_names_are_not_guessed() {
        assert_eq!(did_you_mean("x", ["image"]), None);
        assert_eq!(did_you_mean("volumes", ["networks", "secrets"]), None);
        assert_eq!(did_you_mean("same", ["same"]), None);
    }

    #[test]
    fn the_nearest_wins() {
        assert_eq!(did_you_mean("databse", ["database2", "database"]), Some("database"));
    }
}
