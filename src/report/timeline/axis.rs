//! Where the marks of a time axis stand, and what they say.

use std::time::Duration;

/// Distances between marks that are easy to read, in milliseconds.
const STEPS: [u64; 22] = [
    10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000,
    600_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000, 43_200_000,
];

/// At most so many marks up to `end`, each with its words; the first is 0.
pub(super) fn marks(end: Duration, most: usize) -> Vec<(Duration, String)> {
    let fits = |step: &&u64| end.as_millis() / u128::from(**step) < most.max(1) as u128;
    let step = STEPS.iter().find(fits).copied().unwrap_or(86_400_000).max(1);
    let count = (end.as_millis() / u128::from(step)).min(most.max(1) as u128);
    let at = |n: u128| Duration::from_millis(step.saturating_mul(u64::try_from(n).unwrap_or(u64::MAX)));
    (0..=count).map(|n| (at(n), words(at(n)))).collect()
}

/// `0s`, `0.5s`, `12s`, `1m30s`, `2h`.
fn words(at: Duration) -> String {
    let millis = at.as_millis();
    let (seconds, rest) = (millis / 1000, millis % 1000);
    let part = |n: u128, unit: &str| if n == 0 { String::new() } else { format!("{n}{unit}") };
    match seconds {
        0 if rest == 0 => "0s".to_owned(),
        0..60 if rest != 0 => format!("{seconds}.{}s", format!("{rest:03}").trim_end_matches('0')),
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}{}", part(seconds / 60, "m"), part(seconds % 60, "s")),
        _ => format!("{}{}", part(seconds / 3600, "h"), part(seconds / 60 % 60, "m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_few_and_round() {
        for (millis, most, expected) in [
            (0, 5, "0s"),
            (950, 6, "0s 0.2s 0.4s 0.6s 0.8s"),
            (11_300, 6, "0s 2s 4s 6s 8s 10s"),
            (11_300, 3, "0s 5s 10s"),
            (100_000, 4, "0s 30s 1m 1m30s"),
            (9_000_000, 3, "0s 1h 2h"),
            (250, 6, "0s 0.05s 0.1s 0.15s 0.2s 0.25s"),
        ] {
            let marks = marks(Duration::from_millis(millis), most);
            let words: Vec<&str> = marks.iter().map(|(_, words)| words.as_str()).collect();
            assert_eq!(words.join(" "), expected);
        }
        assert!(marks(Duration::MAX, 8).len() <= 9);
    }
}
