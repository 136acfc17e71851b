//! One check as it is watched: when it is probed next, and what its results so far say.

use std::time::Duration;

use super::{Breaker, ProbeResult, Signal, result::Finding};
use crate::{project::Check, time::Elapsed};

/// The shortest pause between two probes of one check.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause during start-up, unless the probe itself is slow.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// Between these, a pause is this part of the time since the stage began.
const PATIENCE: u32 = 8;

/// What a check's results say of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Standing {
    /// Not decided yet.
    Unknown,
    /// Passed often enough.
    Passing,
    /// Passed, and reports that something is missing.
    Limping(String),
    /// Failed often enough, or never passed and its stage is over.
    Failing(String),
}

/// One check and its results.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    /// When its stage began; `start_period` counts from here.
    pub(super) began: Elapsed,
    /// When it is probed next, unless a probe is in flight.
    pub(super) due: Elapsed,
    /// A probe is under way.
    pub(super) in_flight: bool,
    /// What its results say.
    pub(super) standing: Standing,
    /// Successes in a row.
    pub(super) successes: u32,
    /// Failures in a row that count.
    pub(super) failures: u32,
    /// The last result.
    pub(super) last: Option<ProbeResult>,
    /// Finished probes.
    pub(super) probes: u64,
    /// Those of them that failed.
    pub(super) failed: u64,
    /// Whether it is let through; closed for good where the check has none.
    pub(super) breaker: Breaker,
}

impl Watch {
    /// A check whose stage begins at `began`, first probed at `due`.
    pub(super) fn new(began: Elapsed, due: Elapsed, standing: Standing) -> Self {
        Self {
            began,
            due,
            in_flight: false,
            standing,
            successes: 0,
            failures: 0,
            last: None,
            probes: 0,
            failed: 0,
            breaker: Breaker::default(),
        }
    }

    /// Passed, whatever it reports beside.
    pub(super) fn is_passing(&self) -> bool {
        match &self.standing {
            Standing::Passing | Standing::Limping(_) => true,
            Standing::Unknown | Standing::Failing(_) => false,
        }
    }

    /// A probe goes out.
    pub(super) fn order(&mut self, now: Elapsed, check: &Check) {
        self.in_flight = true;
        self.signal(now, check, Signal::Wanted);
    }

    fn signal(&mut self, now: Elapsed, check: &Check, signal: Signal) {
        if let Some(spec) = check.breaker {
            self.breaker = self.breaker.after(signal, spec, now);
        }
    }

    /// The next probe is due at `at`, or when the breaker lets it through.
    pub(super) fn wait_until(&mut self, at: Elapsed) {
        self.due = self.breaker.open_until().map_or(at, |open| open.max(at));
    }

    /// Goes on with the breaker of the same check before.
    pub(super) fn inherit(&mut self, breaker: Breaker) {
        self.breaker = breaker;
        self.wait_until(self.due);
    }

    /// Why it has not passed, or is not quite well, in words.
    pub(super) fn why(&self) -> String {
        let why = self.finding();
        if self.breaker.open_until().is_some() { format!("breaker open, {why}") } else { why }
    }

    fn finding(&self) -> String {
        match &self.standing {
            Standing::Limping(why) | Standing::Failing(why) => why.clone(),
            Standing::Unknown | Standing::Passing => match &self.last {
                Some(result) => result.detail.clone(),
                None if self.in_flight => "no answer yet".to_owned(),
                None => "not probed yet".to_owned(),
            },
        }
    }

    /// Takes a result during start-up: failures never count against the check, they only make it wait longer.
    pub(super) fn probed_starting(&mut self, now: Elapsed, check: &Check, result: &ProbeResult) {
        let pause = match self.take(now, check.start_period, check, result) {
            Finding::Good => {
                self.pass(check, Standing::Passing);
                FIRST_PAUSE
            }
            Finding::Limping(why) => {
                self.pass(check, Standing::Limping(why));
                FIRST_PAUSE
            }
            // What was waited for long may wait a little longer: that loses a small part of it, and few probes are made.
            Finding::Bad(_) => (now.since(self.began) / PATIENCE).clamp(FIRST_PAUSE, LONGEST_PAUSE),
        };
        // A slow probe (an exec, a query) must not keep the container busy with nothing else.
        self.wait_until(now + pause.max(result.took / 2));
    }

    /// Takes a result after ready. Failures before `began + grace` do not count.
    pub(super) fn probed_live(&mut self, now: Elapsed, grace: Duration, check: &Check, result: &ProbeResult) {
        match self.take(now, grace, check, result) {
            Finding::Good => self.pass(check, Standing::Passing),
            Finding::Limping(why) => self.pass(check, Standing::Limping(why)),
            Finding::Bad(why) => {
                if self.failures >= check.failure_threshold.max(1) {
                    self.standing = Standing::Failing(why);
                }
            }
        }
        self.wait_until(now + check.interval.max(FIRST_PAUSE));
    }

    /// Keeps a result that comes too late to matter.
    pub(super) fn probed_late(&mut self, now: Elapsed, check: &Check, result: &ProbeResult) {
        self.take(now, check.start_period, check, result);
    }

    /// Counts a result.
    fn take(&mut self, now: Elapsed, grace: Duration, check: &Check, result: &ProbeResult) -> Finding {
        self.in_flight = false;
        self.probes += 1;
        self.last = Some(result.clone());
        let finding = result.finding();
        match finding {
            Finding::Good | Finding::Limping(_) => {
                self.failures = 0;
                self.successes = self.successes.saturating_add(1);
                self.signal(now, check, Signal::Passed);
            }
            Finding::Bad(_) => {
                self.failed += 1;
                self.successes = 0;
                if now >= self.began + grace.max(check.start_period) {
                    self.failures = self.failures.saturating_add(1);
                    self.signal(now, check, Signal::Failed);
                }
            }
        }
        finding
    }

    /// A success: enough of them in a row make the check pass; one keeps a passing check passing.
    fn pass(&mut self, check: &Check, standing: Standing) {
        if self.is_passing() || self.successes >= check.success_threshold.max(1) {
            self.standing = standing;
        }
    }
}
