//! What is ready, decided from probe results: a machine without a clock.
//!
//! *Owns* the words of health. *Must not know* how a probe is executed, nor the order of services.

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
