//! When a check on somebody else is left alone: a circuit breaker as a machine without a clock.

use serde::Serialize;

use crate::{project::BreakerSpec, time::Elapsed};

/// Whether a check is let through.
///
/// ```text
///            failures in a row                time is over
///  Closed ──────────────────────► Open ────────────────────► HalfOpen
///    ▲ ▲                           ▲                          │   │
///    │ └── a late success ─────────┤         it fails         │   │
///    │                             └──────────────────────────┘   │
///    └────────────────────── the one probe passes ────────────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Breaker {
    /// Probes go through.
    Closed {
        /// Failures in a row so far.
        failures: u32,
    },
    /// No probe goes through.
    Open {
        /// Until then.
        until: Elapsed,
    },
    /// One probe goes through; what it finds decides.
    HalfOpen,
}

/// What happens to a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// A probe is wanted.
    Wanted,
    /// A probe passed.
    Passed,
    /// A probe failed, and that counts.
    Failed,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// What it is after `signal` at `now`.
    #[must_use]
    pub fn after(self, signal: Signal, spec: BreakerSpec, now: Elapsed) -> Self {
        match (self, signal) {
            (Self::Closed { .. } | Self::Open { .. } | Self::HalfOpen, Signal::Passed) => Self::default(),
            (Self::Closed { failures }, Signal::Failed) => match failures.saturating_add(1) {
                failures if failures >= spec.failures => Self::Open { until: now + spec.open },
                failures => Self::Closed { failures },
            },
            (Self::HalfOpen, Signal::Failed) => Self::Open { until: now + spec.open },
            (Self::Open { until }, Signal::Wanted) if now >= until => Self::HalfOpen,
            (Self::Open { .. }, Signal::Failed | Signal::Wanted)
            | (Self::Closed { .. } | Self::HalfOpen, Signal::Wanted) => self,
        }
    }

    /// Until when nothing goes through; `None`: something does.
    pub fn open_until(self) -> Option<Elapsed> {
        match self {
            Self::Open { until } => Some(until),
            Self::Closed { .. } | Self::HalfOpen => None,
        }
    }

    /// Whether it is in the same state, however many failures it has counted.
    pub(super) fn is_as(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SPEC: BreakerSpec = BreakerSpec { failures: 2, open: Duration::from_mins(1) };

    fn at(seconds: u64) -> Elapsed {
        Elapsed::new(Duration::from_secs(seconds))
    }

    #[test]
    fn every_signal_in_every_state_leads_somewhere() {
        use Breaker::{Closed, HalfOpen, Open};
        use Signal::{Failed, Passed, Wanted};
        let closed = |failures| Closed { failures };
        let open = |until| Open { until: at(until) };
        // At the 100th second.
        for (before, signal, after) in [
            (closed(0), Wanted, closed(0)),
            (closed(0), Passed, closed(0)),
            (closed(0), Failed, closed(1)),
            (closed(1), Wanted, closed(1)),
            (closed(1), Passed, closed(0)),
            (closed(1), Failed, open(160)),
            (open(101), Wanted, open(101)),
            (open(100), Wanted, HalfOpen),
            (open(99), Wanted, HalfOpen),
            (open(101), Passed, closed(0)),
            (open(101), Failed, open(101)),
            (open(99), Failed, open(99)),
            (HalfOpen, Wanted, HalfOpen),
            (HalfOpen, Passed, closed(0)),
            (HalfOpen, Failed, open(160)),
        ] {
            assert_eq!(before.after(signal, SPEC, at(100)), after, "{before:?} {signal:?}");
        }
        let once = BreakerSpec { failures: 1, ..SPEC };
        assert_eq!(closed(0).after(Failed, once, at(100)), open(160));
        assert_eq!(open(160).open_until(), Some(at(160)));
        assert_eq!((closed(1).open_until(), HalfOpen.open_until()), (None, None));
    }
}
