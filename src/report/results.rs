//! What came of a run, service by service: what JUnit reports, summaries for programs and tables are made from.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::{Outcome, PastRun, past::round};
use crate::{
    event::{Event, EventKind, Failure, ServiceState},
    project::Replica,
    time::Elapsed,
};

/// The version of [`Results::json`]; grows when a field changes its meaning.
const FORMAT: u32 = 1;

/// What came of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// Everything that its events tell.
    pub past: PastRun,
    /// A case for each container, in the order in which the run names them.
    pub cases: Vec<Case>,
    /// How the program ended, once it has.
    pub exit_code: Option<u8>,
    /// What went wrong that is no service's doing.
    pub error: Option<String>,
}

/// What came of one container.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Which.
    pub replica: Replica,
    /// Its service's name, with its number where there are several.
    pub name: String,
    /// Its wave's name.
    pub wave: Option<String>,
    /// Its failure fails the run.
    pub critical: bool,
    /// In one word.
    pub verdict: CaseVerdict,
    /// Why; empty where it passed.
    pub reason: String,
    /// From its start until it was ready, had done its work, or failed.
    pub took: Option<Duration>,
    /// Its own exit code, where that is known to have mattered.
    pub exit_code: Option<i64>,
    /// The last result of each of its checks.
    pub checks: Vec<CheckResult>,
    /// Its last log lines.
    pub log: Vec<String>,
}

/// What came of a container, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaseVerdict {
    /// It was ready, or did its work.
    Passed,
    /// It failed, and that counts.
    Failed,
    /// It failed or is not as it should be, and that does not count.
    Degraded,
    /// It was not started, because of something else.
    Skipped,
    /// The run ended before anybody knew.
    Interrupted,
}

impl CaseVerdict {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Degraded => "degraded",
            Self::Skipped => "skipped",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What a check found last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    /// Its stage's name.
    pub stage: String,
    /// Its name.
    pub check: String,
    /// It passed.
    pub passed: bool,
    /// What was found.
    pub detail: String,
}

impl CheckResult {
    /// `ready/http: passed: 200 OK`.
    pub fn words(&self) -> String {
        let name = if self.stage == self.check {
            self.stage.clone()
        } else {
            format!("{}/{}", self.stage, self.check)
        };
        let word = if self.passed { "passed" } else { "failed" };
        format!("{name}: {word}: {}", self.detail)
    }
}

/// What events say of one container, so far.
#[derive(Default)]
struct Known {
    /// Its state, but for what was done to it at the end.
    state: Option<(ServiceState, String)>,
    since: Elapsed,
    checks: Vec<CheckResult>,
}

impl Results {
    /// What events tell. `live`: more may come. `ends`: a service that has not passed before it has ended.
    pub fn of(events: &[Event], live: bool, ends: Option<&str>) -> Self {
        let past = PastRun::of(events, live);
        let mut known: BTreeMap<&Replica, Known> = BTreeMap::new();
        let mut ending = false;
        for event in events {
            match &event.kind {
                EventKind::Service { replica, state, cause, .. } => {
                    let known = known.entry(replica).or_default();
                    if counts(*state, ending) {
                        known.state = Some((*state, cause.clone()));
                        known.since = event.at;
                    }
                }
                EventKind::Probed { replica, check, stage, passed, detail, .. } => {
                    let checks = &mut known.entry(replica).or_default().checks;
                    checks.retain(|c| (&c.stage, &c.check) != (stage, check));
                    let (stage, check) = (stage.clone(), check.clone());
                    checks.push(CheckResult { stage, check, passed: *passed, detail: detail.clone() });
                }
                EventKind::CancelRequested { .. } | EventKind::Unwinding { .. } => ending = true,
                _ => {}
            }
        }
        let cases = past.view.replicas.iter().map(|view| {
            let several =
                past.view.replicas.iter().filter(|r| r.replica.service == view.replica.service).count() > 1;
            let known = known.remove(&view.replica).unwrap_or_default();
            let ends = ends == Some(view.replica.service.as_str());
            case(&past, view, known, Asked { several, ends })
        });
        let cases = cases.collect();
        Self { past, cases, exit_code: None, error: None }
    }

    /// How many cases came out so.
    pub fn count(&self, verdict: CaseVerdict) -> usize {
        self.cases.iter().filter(|case| case.verdict == verdict).count()
    }

    /// In words: `failed, rolled back`.
    pub fn outcome(&self) -> String {
        match self.past.outcome {
            Outcome::Interrupted if self.error.is_some() => "failed".to_owned(),
            outcome => outcome.words(),
        }
    }

    /// Everything, for programs. Logs are left out.
    pub fn json(&self) -> Value {
        let view = &self.past.view;
        let finished = view.finished.as_ref();
        json!({
            "format": FORMAT,
            "project": view.project,
            "command": view.command,
            "run": view.run,
            "time": self.past.time,
            "engine": self.past.engine,
            "outcome": self.outcome(),
            "exit_code": self.exit_code,
            "error": self.error,
            "seconds": round(view.at.since_start()),
            "ready_seconds": view.ready_at.map(|at| round(at.since_start())),
            "counts": {
                "services": self.cases.len(),
                "passed": self.count(CaseVerdict::Passed),
                "failed": self.count(CaseVerdict::Failed),
                "degraded": self.count(CaseVerdict::Degraded),
                "skipped": self.count(CaseVerdict::Skipped),
                "interrupted": self.count(CaseVerdict::Interrupted),
            },
            "services": self.cases.iter().map(Case::json).collect::<Vec<_>>(),
            "failures": finished.map(|f| f.failures.as_slice()).unwrap_or_default(),
            "left": finished.map(|f| f.left.as_slice()).unwrap_or_default(),
            "warnings": view.warnings,
        })
    }

    /// The last result of every check, by container, for programs.
    pub fn health_json(&self) -> Value {
        let one = |case: &Case| {
            let check = |c: &CheckResult| json!({"stage": c.stage, "check": c.check, "passed": c.passed, "detail": c.detail});
            json!({
                "service": case.replica.service,
                "number": case.replica.number,
                "outcome": case.verdict.word(),
                "checks": case.checks.iter().map(check).collect::<Vec<_>>(),
            })
        };
        self.cases.iter().map(one).collect()
    }
}

impl Case {
    fn json(&self) -> Value {
        json!({
            "service": self.replica.service,
            "number": self.replica.number,
            "wave": self.wave,
            "critical": self.critical,
            "outcome": self.verdict.word(),
            "reason": self.reason,
            "seconds": self.took.map(round),
            "exit_code": self.exit_code,
            "checks": self.checks.iter().map(CheckResult::words).collect::<Vec<_>>(),
        })
    }
}

/// Whether a state says what came of a container, rather than what was done to it at the end.
fn counts(state: ServiceState, ending: bool) -> bool {
    match state {
        ServiceState::Failed => true,
        ServiceState::Stopping | ServiceState::Stopped | ServiceState::Removed => false,
        _ => !ending,
    }
}

/// What is known of a container beside its events.
#[derive(Clone, Copy)]
struct Asked {
    /// Its service has others.
    several: bool,
    /// It is to run to its end.
    ends: bool,
}

fn case(past: &PastRun, view: &super::ReplicaView, known: Known, asked: Asked) -> Case {
    let replica = view.replica.clone();
    let failures = past.view.finished.iter().flat_map(|finished| &finished.failures);
    let failure = failures.clone().find(|failure| failure.service == replica.service);
    let because = failures.flat_map(|f| &f.dependents).find(|d| d.service == replica.service);
    let (mut verdict, mut reason) = told(past, known.state.as_ref());
    let completed = known.state.as_ref().is_some_and(|(state, _)| *state == ServiceState::Completed);
    if let Some(failure) = failure {
        (verdict, reason) = (CaseVerdict::Failed, failure.reason.clone());
    } else if let (Some(because), true) = (because, verdict != CaseVerdict::Passed) {
        (verdict, reason) = (CaseVerdict::Skipped, format!("not started: {} was not ready", because.because));
    } else if asked.ends && !completed && verdict == CaseVerdict::Passed {
        (verdict, reason) = (CaseVerdict::Interrupted, "interrupted: it had not ended".to_owned());
    }
    if verdict == CaseVerdict::Failed && !view.critical {
        verdict = CaseVerdict::Degraded;
    }
    let until = if verdict == CaseVerdict::Passed && !completed { view.ready_at } else { Some(known.since) };
    let took = view.began.and_then(|began| Some(until?.since(began)));
    Case {
        name: if asked.several { replica.to_string() } else { replica.service.clone() },
        replica,
        wave: view.wave.clone(),
        critical: view.critical,
        verdict,
        took,
        exit_code: failure.and_then(|failure| failure.exit_code).or_else(|| code_in(&reason)),
        reason,
        checks: known.checks,
        log: failure.map(|failure| failure.log.clone()).unwrap_or_default(),
    }
}

/// What its last state says of a container.
fn told(past: &PastRun, state: Option<&(ServiceState, String)>) -> (CaseVerdict, String) {
    let Some((state, cause)) = state else { return unknown(past, "nothing was done for it yet") };
    let because = |word: &str| if cause.is_empty() { word.to_owned() } else { cause.clone() };
    match state {
        ServiceState::Ready | ServiceState::Completed => (CaseVerdict::Passed, String::new()),
        ServiceState::Degraded => (CaseVerdict::Degraded, because("degraded")),
        ServiceState::Failed => (CaseVerdict::Failed, because("failed")),
        ServiceState::Unhealthy => {
            (CaseVerdict::Failed, format!("unhealthy: {}", because("its checks fail")))
        }
        ServiceState::Skipped => (CaseVerdict::Skipped, because("not started")),
        state if cause.is_empty() => unknown(past, &format!("it was {}", state.word())),
        state => unknown(past, &format!("it was {}: {cause}", state.word())),
    }
}

/// A container of which nobody knows whether it would have been ready.
fn unknown(past: &PastRun, was: &str) -> (CaseVerdict, String) {
    match past.outcome {
        Outcome::Failed(_) => (CaseVerdict::Skipped, format!("given up: {was}")),
        Outcome::Succeeded | Outcome::Degraded => (CaseVerdict::Passed, String::new()),
        Outcome::Cancelled(_) | Outcome::Interrupted | Outcome::Running => {
            (CaseVerdict::Interrupted, format!("interrupted: {was}"))
        }
    }
}

/// `7` of `exited with code 7`.
fn code_in(reason: &str) -> Option<i64> {
    let (_, rest) = reason.split_once("exited with code ")?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// The failure that a case is about.
pub(super) fn failure_of<'a>(results: &'a Results, case: &Case) -> Option<&'a Failure> {
    let mut failures = results.past.view.finished.iter().flat_map(|finished| &finished.failures);
    failures.find(|failure| failure.service == case.replica.service)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        event::{Aftermath, CancelReason, Dependent, RunFinished, Verdict},
        report::view::tests::{events, probed, service, started},
    };

    pub(in crate::report) fn finished(verdict: Verdict, failures: Vec<Failure>) -> EventKind {
        EventKind::RunFinished(RunFinished {
            verdict,
            aftermath: Aftermath::RolledBack,
            failures,
            degraded: Vec::new(),
            left: Vec::new(),
        })
    }

    pub(in crate::report) fn of(kinds: Vec<EventKind>) -> Results {
        ends_with(kinds, None)
    }

    fn ends_with(kinds: Vec<EventKind>, service: Option<&str>) -> Results {
        Results::of(&events((0u64..).step_by(500).zip(kinds).collect()), false, service)
    }

    fn verdicts(results: &Results) -> Vec<(&str, &str, &str)> {
        results.cases.iter().map(|c| (c.name.as_str(), c.verdict.word(), c.reason.as_str())).collect()
    }

    #[test]
    fn a_case_is_what_a_container_was_before_it_was_taken_down() {
        let results = of(vec![
            started(),
            service("db", ServiceState::Starting, ""),
            service("db", ServiceState::Ready, ""),
            service("web", ServiceState::Starting, ""),
            probed("web", "connection refused"),
            service("web", ServiceState::Failed, "exited with code 7"),
            EventKind::CancelRequested { reason: CancelReason::ContainerExited },
            service("db", ServiceState::Stopping, ""),
            service("db", ServiceState::Stopped, ""),
            // What ran before is put back.
            service("web", ServiceState::Starting, ""),
            service("web", ServiceState::Ready, ""),
            finished(Verdict::Failed, vec![]),
        ]);
        assert_eq!(verdicts(&results), [("db", "passed", ""), ("web", "failed", "exited with code 7")]);
        let web = &results.cases[1];
        assert_eq!((web.exit_code, web.took), (Some(7), Some(Duration::from_secs(1))));
        assert_eq!(web.checks[0].words(), "ready/http :80/: failed: connection refused");
        assert_eq!(results.cases[0].took, Some(Duration::from_millis(500)));
        assert_eq!(results.json()["counts"]["failed"], 1);
        assert_eq!(results.health_json()[1]["checks"][0]["passed"], false);
    }

    #[test]
    fn what_waited_in_vain_was_skipped() {
        let failure = Failure {
            service: "db".into(),
            reason: "exited with code 1".into(),
            exit_code: Some(1),
            dependents: vec![Dependent { service: "web".into(), because: "db".into() }],
            log: vec!["no space left".into()],
            ..Failure::default()
        };
        let results = of(vec![
            started(),
            service("web", ServiceState::Blocked, "waits for db"),
            finished(Verdict::Failed, vec![failure]),
        ]);
        assert_eq!(
            verdicts(&results),
            [("db", "failed", "exited with code 1"), ("web", "skipped", "not started: db was not ready")]
        );
        assert_eq!(results.cases[0].log, ["no space left"]);
    }

    #[test]
    fn tests_that_hang_have_not_passed() {
        let hung = || vec![started(), service("web", ServiceState::Ready, "")];
        let verdict = |kinds, service| ends_with(kinds, Some(service)).cases[1].verdict;
        assert_eq!(verdict(hung(), "web"), CaseVerdict::Interrupted);
        assert_eq!(verdict(hung(), "db"), CaseVerdict::Passed);
        let ended = [hung(), vec![service("web", ServiceState::Completed, "")]].concat();
        assert_eq!(verdict(ended, "web"), CaseVerdict::Passed);
    }

    #[test]
    fn without_an_end_nobody_knows() {
        let results = of(vec![started(), service("db", ServiceState::Probing, "")]);
        assert_eq!(
            verdicts(&results),
            [
                ("db", "interrupted", "interrupted: it was probing"),
                ("web", "interrupted", "interrupted: nothing was done for it yet")
            ]
        );
        assert_eq!(results.outcome(), "interrupted");
        let failed = Results { error: Some("no engine".into()), ..Results::of(&[], false, None) };
        assert_eq!((failed.outcome().as_str(), failed.cases.len()), ("failed", 0));
    }
}
