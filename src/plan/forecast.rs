//! What is to be expected of a plan, as plain figures. *Must not know* where they come from.

use std::{collections::BTreeMap, time::Duration};

use crate::{project::go_duration, time::Elapsed};

/// What is to be expected of a whole start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Forecast {
    /// When each service should be where, by name.
    pub services: BTreeMap<String, Due>,
    /// When each wave should be ready, and the service that makes it so, by name.
    pub waves: BTreeMap<String, (Elapsed, Option<String>)>,
    /// When everything should be ready.
    pub ready: Elapsed,
    /// The services whose starts lie end to end and take that long, in order: the critical path.
    pub critical: Vec<String>,
    /// Services that are to be started and of which nothing is known: they count as ready at once.
    pub unknown: Vec<String>,
}

/// When a service is expected where, since the run's beginning.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Due {
    /// Its containers are started.
    pub start: Elapsed,
    /// They are ready.
    pub ready: Elapsed,
    /// The service that its start waits for last.
    pub after: Option<String>,
}

impl Forecast {
    /// From a service's start until it is ready; `None`: nothing is known of it, or nothing has to be done.
    pub fn takes(&self, service: &str) -> Option<Duration> {
        let due = self.services.get(service).filter(|_| !self.unknown.iter().any(|name| name == service))?;
        Some(due.ready.since(due.start)).filter(|takes| !takes.is_zero())
    }
}

/// To the tenth of a second: `2.3s`.
pub(super) fn rounded(duration: Duration) -> String {
    let tenths = u64::try_from((duration.as_millis() + 50) / 100).unwrap_or(u64::MAX);
    go_duration(Duration::from_millis(tenths.saturating_mul(100)))
}
