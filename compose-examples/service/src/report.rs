//! What the service says about itself: its state at a moment, and the standard health report.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::options::{Moment, Options};

/// The running service.
pub(crate) struct State {
    pub(crate) options: Options,
    pub(crate) started: Instant,
    pub(crate) ready: AtomicBool,
    pub(crate) failing: AtomicBool,
    pub(crate) degraded: AtomicBool,
    pub(crate) hanging: AtomicBool,
    /// It takes no more requests.
    pub(crate) draining: AtomicBool,
    /// Open ports and requests that are not answered yet.
    pub(crate) under_way: AtomicU64,
}

/// The words of the standard health report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Healthy,
    Degraded,
    Unhealthy,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }

    pub(crate) fn code(self) -> u16 {
        if self == Self::Unhealthy { 503 } else { 200 }
    }
}

impl State {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            started: Instant::now(),
            ready: AtomicBool::new(false),
            failing: AtomicBool::new(false),
            degraded: AtomicBool::new(false),
            hanging: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            under_way: AtomicU64::new(0),
        }
    }

    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    fn reached(&self, at: Moment) -> bool {
        at.is_some_and(|at| self.age() >= at)
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::SeqCst)
    }

    pub(crate) fn is_hanging(&self) -> bool {
        self.hanging.load(Ordering::SeqCst) || self.reached(self.options.hang_after)
    }

    pub(crate) fn status(&self) -> Status {
        let recovered = self.reached(self.options.recover_after);
        let failing = self.failing.load(Ordering::SeqCst)
            || (self.reached(self.options.fail_health_after) && !recovered);
        let degraded =
            self.degraded.load(Ordering::SeqCst) || (self.reached(self.options.degraded_after) && !recovered);
        if !self.is_ready() || failing {
            Status::Unhealthy
        } else if degraded {
            Status::Degraded
        } else {
            Status::Healthy
        }
    }

    /// The share of requests that fail, as the health report says.
    fn error_rate(&self) -> f64 {
        let fails = self.reached(self.options.errors_after) && !self.reached(self.options.recover_after);
        if fails { 0.5 } else { 0.0 }
    }

    /// The answer to `/health/NAME`; `None`: there is no such stage or dependency.
    pub(crate) fn stage(&self, name: &str) -> Option<bool> {
        if let Some((_, at)) = self.options.stages.iter().find(|(n, _)| n == name) {
            return Some(self.reached(*at));
        }
        if let Some((_, address)) = self.options.dependencies.iter().find(|(n, _)| n == name) {
            return Some(accepts(address).is_some());
        }
        match name {
            "startup" => Some(true),
            "live" => Some(self.status() != Status::Unhealthy || !self.is_ready()),
            "ready" => Some(self.status() != Status::Unhealthy),
            _ => None,
        }
    }

    /// The standard health report as JSON.
    pub(crate) fn report(&self) -> String {
        let own = self.status();
        let mut dependencies = Vec::new();
        for (name, address) in &self.options.dependencies {
            let (status, latency) = match accepts(address) {
                Some(took) => ("healthy", took.as_millis()),
                None => ("unhealthy", 0),
            };
            dependencies.push(format!("\"{name}\":{{\"status\":\"{status}\",\"latency_ms\":{latency}}}"));
        }
        format!(
            "{{\"status\":\"{status}\",\"service\":{{\"name\":\"{name}\",\"version\":\"1.0.0\",\"uptime_seconds\":{up:.3}}},\
             \"checks\":{{\"self\":{{\"status\":\"{status}\",\"latency_ms\":0}},\"dependencies\":{{{dependencies}}},\
             \"resources\":{{\"memory_mb\":{memory},\"threads\":1}}}},\
             \"metrics\":{{\"requests_per_second\":0,\"error_rate\":{errors:.1},\"average_latency_ms\":0}}}}\n",
            status = own.word(),
            name = self.options.name,
            up = self.age().as_secs_f64(),
            dependencies = dependencies.join(","),
            memory = self.options.memory >> 20,
            errors = self.error_rate(),
        )
    }
}

/// How long a connection took, where one was accepted.
fn accepts(address: &str) -> Option<Duration> {
    let began = Instant::now();
    crate::http::connect(address, Duration::from_secs(2)).ok().map(|_| began.elapsed())
}
