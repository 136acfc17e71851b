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
    /// The share of requests that failed, as the health report says: `metrics.error_rate`, from 0 to 1.
    pub fn error_rate(&self) -> Option<f64> {
        self.report.as_ref()?.pointer("/metrics/error_rate")?.as_f64()
    }

    /// What this says of the check.
    pub(super) fn finding(&self) -> Finding {
        let unwell = self.report.as_ref().map(unwell).unwrap_or_default();
        let with = |text: &str| if unwell.is_empty() { text.to_owned() } else { format!("{text}: {unwell}") };
        if !self.passed {
            return Finding::Bad(with(&self.detail));
        }
        match self.report.as_ref().and_then(status) {
            Some("degraded") => Finding::Limping(with("reports degraded")),
            Some("unhealthy") => Finding::Bad(with("reports unhealthy")),
            Some(_) | None => Finding::Good,
        }
    }
}

fn status(report: &serde_json::Value) -> Option<&str> {
    report.get("status")?.as_str()
}

/// What a health report says is not well: `redis unhealthy, disk degraded`.
fn unwell(report: &serde_json::Value) -> String {
    let groups = ["/checks/dependencies", "/checks/resources"];
    let entries = groups.iter().filter_map(|group| report.pointer(group)?.as_object()).flatten();
    let bad = entries.filter_map(|(name, entry)| Some((name, status(entry)?)));
    let bad = bad.filter(|(_, status)| matches!(*status, "degraded" | "unhealthy"));
    let bad: Vec<String> = bad.map(|(name, status)| format!("{name} {status}")).collect();
    bad.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn why(passed: bool, report: serde_json::Value) -> String {
        let result =
            ProbeResult { passed, detail: "503".to_owned(), took: Duration::ZERO, report: Some(report) };
        match result.finding() {
            Finding::Good => "good".to_owned(),
            Finding::Limping(why) | Finding::Bad(why) => why,
        }
    }

    #[test]
    fn a_report_names_what_is_not_well() {
        let checks = json!({
            "self": {"status": "healthy"},
            "dependencies": {"redis": {"status": "unhealthy"}, "db": {"status": "healthy"}},
            "resources": {"disk": {"status": "degraded"}, "memory": {"used": 3}},
        });
        let degraded = json!({"status": "degraded", "checks": checks});
        assert_eq!(why(true, degraded), "reports degraded: redis unhealthy, disk degraded");
        let unhealthy = json!({"status": "unhealthy", "checks": checks});
        assert_eq!(why(false, unhealthy), "503: redis unhealthy, disk degraded");
        assert_eq!(why(true, json!({"status": "degraded"})), "reports degraded");
        assert_eq!(why(true, json!({"status": "healthy", "checks": 1})), "good");
    }
}
