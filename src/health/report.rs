//! What a monitor knows, for display and for saving.

use serde::Serialize;

use super::{Breaker, Health, ProbeResult};
use crate::time::Elapsed;

/// Everything that a monitor knows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MonitorReport {
    /// The whole.
    pub health: Health,
    /// Every stage of the start-up, in order.
    pub stages: Vec<StageReport>,
    /// The checks that go on after ready; empty before.
    pub liveness: Vec<CheckReport>,
}

/// One stage of the start-up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageReport {
    /// Its name.
    pub name: String,
    /// How far it is.
    pub progress: StageProgress,
    /// When it began, once it has.
    pub began: Option<Elapsed>,
    /// When it was over, once it is.
    pub ended: Option<Elapsed>,
    /// What its log said last of how far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved: Option<String>,
    /// Its checks.
    pub checks: Vec<CheckReport>,
}

/// How far a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StageProgress {
    /// The stages before it are not over.
    Pending,
    /// Its checks are probed.
    Current,
    /// Its checks passed.
    Passed,
    /// Its deadline passed; it was not critical.
    Degraded,
    /// Its deadline passed.
    Failed,
}

/// One check and its results so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckReport {
    /// Its name.
    pub name: String,
    /// Its failure fails the stage.
    pub critical: bool,
    /// It has passed, or passes.
    pub passing: bool,
    /// Finished probes.
    pub probes: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Failures in a row that count, at this moment.
    pub failures_in_a_row: u32,
    /// The last result.
    pub last: Option<ProbeResult>,
    /// Whether it is let through, where it has a breaker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
}
