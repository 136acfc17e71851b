//! What one look at a service says: every check asked once, nothing remembered.

use serde::Serialize;

use super::{ProbeResult, result::Finding};
use crate::project::Stage;

/// How a service is. Greater is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All is well.
    #[default]
    Healthy,
    /// It works, and something that is not critical does not.
    Degraded,
    /// Something critical fails.
    Unhealthy,
}

impl Status {
    /// The word of the standard health report.
    pub fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl ProbeResult {
    /// How the check is, with the health report taken into account.
    pub fn status(&self) -> Status {
        match self.finding() {
            Finding::Good => Status::Healthy,
            Finding::Limping(_) => Status::Degraded,
            Finding::Bad(_) => Status::Unhealthy,
        }
    }

    /// Why it is so, in a few words.
    pub fn why(&self) -> String {
        match self.finding() {
            Finding::Good => self.detail.clone(),
            Finding::Limping(why) | Finding::Bad(why) => why,
        }
    }
}

/// How a stage is; `results` are those of its checks, in their order.
pub fn look(stage: &Stage, results: &[ProbeResult]) -> Status {
    let all_beside = stage.checks.iter().all(|check| !check.critical);
    let (mut total, mut standing, mut worst) = (0, 0, Status::Healthy);
    for (check, result) in stage.checks.iter().zip(results) {
        let status = result.status();
        if check.critical || all_beside {
            total += 1;
            standing += usize::from(status != Status::Unhealthy);
            // A failure within what `require` allows is no trouble.
            worst = worst.max(if status == Status::Degraded { status } else { Status::Healthy });
        } else {
            worst = worst.max(status.min(Status::Degraded));
        }
    }
    if standing >= stage.require.needed(total) {
        worst
    } else if stage.critical && !all_beside {
        Status::Unhealthy
    } else {
        Status::Degraded
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::project::{Check, ContainerCondition, ProbeSpec, Require};

    fn stage(critical: bool, require: Require, checks: &[bool]) -> Stage {
        let check = |critical: &bool| Check {
            name: "c".to_owned(),
            probe: ProbeSpec::Container(ContainerCondition::Running),
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
            success_threshold: 1,
            failure_threshold: 1,
            start_period: Duration::ZERO,
            critical: *critical,
            breaker: None,
        };
        let checks = checks.iter().map(check).collect();
        let (timeout, start_period) = (None, Duration::ZERO);
        Stage { name: "s".to_owned(), checks, require, timeout, start_period, critical, progress: None }
    }

    /// `+` passed, `-` failed, `d` passed and reports degraded, `u` passed and reports unhealthy.
    fn results(marks: &str) -> Vec<ProbeResult> {
        let result = |mark| ProbeResult {
            passed: mark != '-',
            detail: String::new(),
            took: Duration::ZERO,
            report: match mark {
                'd' => Some(serde_json::json!({"status": "degraded"})),
                'u' => Some(serde_json::json!({"status": "unhealthy"})),
                _ => None,
            },
        };
        marks.chars().map(result).collect()
    }

    #[test]
    fn a_stage_is_as_its_critical_checks_are() {
        use Status::{Degraded, Healthy, Unhealthy};
        for (critical, require, checks, marks, status) in [
            (true, Require::All, &[true, true][..], "++", Healthy),
            (true, Require::All, &[true, true], "+-", Unhealthy),
            (true, Require::All, &[true, false], "+-", Degraded),
            (true, Require::Any, &[true, true], "+-", Healthy),
            (true, Require::Any, &[true, true], "--", Unhealthy),
            (true, Require::Percent(50), &[true, true], "-+", Healthy),
            (true, Require::All, &[true], "d", Degraded),
            (true, Require::All, &[true], "u", Unhealthy),
            (true, Require::All, &[true, false], "+u", Degraded),
            // Neither a stage nor checks that are not critical make a service unhealthy.
            (false, Require::All, &[true], "-", Degraded),
            (true, Require::All, &[false], "-", Degraded),
        ] {
            assert_eq!(
                look(&stage(critical, require, checks), &results(marks)),
                status,
                "{checks:?} {marks}"
            );
        }
    }
}
