//! What one probe found.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one probe found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// It passed.
    pub passed: bool,
    /// In a few words: `200 OK`, `connection refused`, `exit 1: …`.
    pub detail: String,
    /// How long it took.
    pub took: Duration,
    /// The standard health report, where the answer was one.
    pub report: Option<serde_json::Value>,
}

/// What a probe says of its check, with the health report taken into account.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Finding {
    /// All is well.
    Good,
    /// It passed, and the report says `degraded`.
    Limping(String),
    /// It failed, or the report says `unhealthy`.
    Bad(String),
}

impl ProbeResult {
    /// What this says of the check.
    pub(super) fn finding(&self) -> Finding {
        if !self.passed {
            return Finding::Bad(self.detail.clone());
        }
        let status = self.report.as_ref().and_then(|report| report.get("status"));
        match status.and_then(serde_json::Value::as_str) {
            Some("degraded") => Finding::Limping("reports degraded".to_owned()),
            Some("unhealthy") => Finding::Bad("reports unhealthy".to_owned()),
            Some(_) | None => Finding::Good,
        }
    }
}
