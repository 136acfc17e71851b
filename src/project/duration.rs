//! Durations as Go holds and writes them, which is what Compose prints and hashes.

use std::{fmt, time::Duration};

use serde::{Serialize, Serializer};

/// A time span in nanoseconds that may be negative.
///
/// Compose takes negative ones, prints them and hands them to the engine. Nothing here waits for one: see
/// [`SignedDuration::positive`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct SignedDuration(pub i64);

impl SignedDuration {
    /// Whether it is no time at all.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The span as a time to wait; nothing where it is zero or negative, for which the engine uses its default.
    pub fn positive(self) -> Option<Duration> {
        u64::try_from(self.0).ok().filter(|nanos| *nanos > 0).map(Duration::from_nanos)
    }

    /// Whole seconds, what is behind the point cut off.
    pub fn whole_seconds(self) -> i64 {
        self.0 / 1_000_000_000
    }
}

impl From<Duration> for SignedDuration {
    /// What does not fit becomes the longest span there is, 292 years.
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// Go's text: `1m30s`, `26h0m0s`, `-1.5s`, `500ms`, `0s`.
impl fmt::Display for SignedDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}", text(u128::from(self.0.unsigned_abs())))
    }
}

impl Serialize for SignedDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Go's text of a duration: `1m30s`, `26h0m0s`, `1.5s`, `500ms`, `0s`.
pub fn go_duration(duration: Duration) -> String {
    text(duration.as_nanos())
}

fn text(nanos: u128) -> String {
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < 1_000_000_000 {
        let (unit, size) = match nanos {
            1..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        return decimal(nanos, size) + unit;
    }
    let seconds = nanos / 1_000_000_000;
    let hours = if seconds >= 3600 { format!("{}h", seconds / 3600) } else { String::new() };
    let minutes = if seconds >= 60 { format!("{}m", seconds / 60 % 60) } else { String::new() };
    hours + &minutes + &decimal(nanos % 60_000_000_000, 1_000_000_000) + "s"
}

/// `value / size` as a decimal without trailing zeros.
fn decimal(value: u128, size: u128) -> String {
    let (whole, rest) = (value / size, value % size);
    if rest == 0 {
        return whole.to_string();
    }
    let width = size.ilog10() as usize;
    format!("{whole}.{}", format!("{rest:0width$}").trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_print_as_go_prints_them() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (500_000_000, "500ms"),
            (1_500_000_000, "1.5s"),
            (90_000_000_000, "1m30s"),
            (60_000_000_000, "1m0s"),
            (93_600_000_000_000, "26h0m0s"),
            (3_600_000_000_000, "1h0m0s"),
            (-1, "-1ns"),
            (-90_500_000_000, "-1m30.5s"),
            (i64::MAX, "2562047h47m16.854775807s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(SignedDuration(nanos).to_string(), text);
            if let Ok(nanos) = u64::try_from(nanos) {
                assert_eq!(go_duration(Duration::from_nanos(nanos)), text);
            }
        }
    }

    #[test]
    fn only_a_positive_span_can_be_waited_for() {
        assert_eq!(SignedDuration(1).positive(), Some(Duration::from_nanos(1)));
        assert_eq!((SignedDuration(0).positive(), SignedDuration(i64::MIN).positive()), (None, None));
        assert_eq!(SignedDuration(-1_900_000_000).whole_seconds(), -1);
    }
}
