//! Time as a value: moments since the start of a run, and pauses that grow.
//!
//! *Owns* [`Elapsed`] and [`Backoff`]. *Must not know* any clock: whoever has one passes the moment in.

use std::{
    fmt,
    ops::{Add, Sub},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// A moment, as the time since the run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Elapsed(Duration);

impl Elapsed {
    /// The run's beginning.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// A moment this long after the run's beginning.
    pub const fn new(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// The time since the run's beginning.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// The time from `earlier` to this moment; zero where `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Elapsed {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

impl Sub for Elapsed {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}s", self.0.as_secs_f64())
    }
}

/// A pause that doubles up to a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
}

impl Backoff {
    /// Pauses from `first` to `max`; a `max` below `first` counts as `first`.
    pub fn new(first: Duration, max: Duration) -> Self {
        Self { first, max: max.max(first) }
    }

    /// The pause before attempt number `attempt` (from 0).
    pub fn pause(&self, attempt: u32) -> Duration {
        self.first.saturating_mul(2u32.saturating_pow(attempt.min(31))).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_limit() {
        let backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(100));
        let pauses: Vec<u128> = (0..5).map(|n| backoff.pause(n).as_millis()).collect();
        assert_eq!(pauses, [20, 40, 80, 100, 100]);
        assert_eq!(backoff.pause(u32::MAX), Duration::from_millis(100));
    }
}
