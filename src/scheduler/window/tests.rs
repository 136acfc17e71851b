//! What meets which condition, fed with results by hand.

use std::collections::VecDeque;

use serde_json::json;

use super::*;
use crate::{
    event::Verdict,
    plan::{
        Action, Cause, ContainerRef, Found, Limits, Observed, Phase, Plan, Readiness, RestartedByEngine,
        Step, StepId, Unit, UnitReplica, Window,
    },
    project::{Check, HealthSpec, ProbeSpec, Replica, Require, RollbackCondition, Stage, StartPolicy},
    scheduler::{Effect, Input, Outcome, ProbeOrder, StepOutput},
};

/// A check every second; it takes so many failures in a row to make its service unhealthy.
fn spec(failure_threshold: u32, start_period: u64) -> HealthSpec {
    let check = Check {
        name: "answers".to_owned(),
        probe: ProbeSpec::Tcp { host: None, port: 1 },
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        success_threshold: 1,
        failure_threshold,
        start_period: Duration::from_secs(start_period),
        critical: true,
        breaker: None,
    };
    let stage = Stage {
        name: "ready".to_owned(),
        checks: vec![check],
        require: Require::All,
        timeout: None,
        start_period: Duration::ZERO,
        critical: true,
        progress: None,
    };
    HealthSpec { stages: vec![stage], liveness: None, recipe: None }
}

/// Starts `web`, which is critical, and `job`, which is not, and watches them for ten seconds.
fn plan(conditions: &[(ConditionKind, RollbackAction)], spec: &HealthSpec) -> Plan {
    let unit = |(id, service): (u32, &&str)| {
        let container = ContainerRef { id: (*service).to_owned(), name: format!("p-{service}-1") };
        let step = Step {
            action: Action::StartContainer {
                replica: Replica { service: (*service).to_owned(), number: 1 },
                name: container.name.clone(),
                existing: Some(container.clone()),
            },
            after: Vec::new(),
            gate: None,
            awaits: None,
            unit: Some(UnitId(id)),
            cause: Cause::NotRunning,
            phase: Phase::Run,
        };
        let replica = UnitReplica {
            number: 1,
            start: Some(StepId(id)),
            existing: Some(container),
            found: Found::ToStart,
        };
        let unit = Unit {
            rollback: None,
            beside: false,
            service: (*service).to_owned(),
            replicas: vec![replica],
            critical: *service == "web",
            gates: Vec::new(),
            wave: None,
            readiness: Readiness::Spec(Arc::new(spec.clone())),
            oneshot: false,
            start: StartPolicy { retries: 5, ..StartPolicy::default() },
            supervised: true,
            restarted_by_engine: RestartedByEngine::No,
            update: None,
        };
        (step, unit)
    };
    let (steps, units) = (0..).zip(&["web", "job"]).map(unit).unzip();
    let condition = |(condition, action): &(ConditionKind, RollbackAction)| RollbackCondition {
        condition: *condition,
        action: *action,
    };
    let conditions = conditions.iter().map(condition).collect();
    Plan {
        project: "p".to_owned(),
        steps,
        units,
        waves: Vec::new(),
        limits: Limits { starts: 2, most_starts: None, calls: 2, ends: 2, images: 1, timeout: None },
        window: Some(Window { length: Duration::from_secs(10), conditions }),
        warnings: Vec::new(),
    }
}

/// What checks find, by the service and the seconds since the beginning.
type Answers = fn(&str, u64) -> ProbeResult;

/// Its name, failures in a row that make unhealthy, what checks find, and what is said of a condition, and when.
type Case = (&'static str, u32, Answers, Option<(&'static str, u64)>);

/// Runs it to its end: what was said of conditions, and when after ready; and the end.
fn run(plan: Plan, answers: Answers) -> (Option<(String, u64)>, Outcome) {
    let mut scheduler = Scheduler::new(Arc::new(plan), &Observed::default(), AfterReady::Finish);
    let (mut now, mut inputs, mut met) = (Elapsed::ZERO, VecDeque::from([Input::Tick]), None);
    loop {
        let input = inputs.pop_front().unwrap_or_else(|| {
            now = scheduler.next_deadline().expect("something to wait for");
            Input::Tick
        });
        for effect in scheduler.step(now, input) {
            match effect {
                Effect::Perform(step) => {
                    inputs.push_back(Input::StepFinished { step, result: Ok(StepOutput::Done) });
                }
                Effect::Probe(order) => {
                    let ProbeOrder { key, container, .. } = *order;
                    let service = container.expect("one of them");
                    inputs.push_back(Input::Probed {
                        key,
                        result: answers(&service, now.since_start().as_secs()),
                    });
                }
                Effect::Announce(EventKind::ConditionMet { condition, action, after, reason }) => {
                    assert!(met.is_none(), "the first one counts");
                    met = Some((format!("{condition}: {reason} ({action})"), after.as_secs()));
                }
                Effect::Announce(_) => {}
                Effect::Finish(outcome) => return (met, outcome),
                Effect::Follow(_) | Effect::Restart(_) => panic!("{effect:?}"),
            }
        }
    }
}

fn result(passed: bool) -> ProbeResult {
    ProbeResult { passed, detail: "503".to_owned(), took: Duration::ZERO, report: None }
}

fn reporting(error_rate: f64) -> ProbeResult {
    let report = json!({"status": "healthy", "metrics": {"error_rate": error_rate}});
    ProbeResult { report: Some(report), ..result(true) }
}

const FAILURES: (ConditionKind, RollbackAction) =
    (ConditionKind::HealthCheckFailures(30.0), RollbackAction::GradualRollback);
const ERRORS: (ConditionKind, RollbackAction) =
    (ConditionKind::ErrorRate(10.0), RollbackAction::ImmediateRollback);

#[test]
fn conditions_are_met_by_what_they_say_and_by_nothing_less() {
    let cases: [Case; 10] = [
        ("all is well", 100, |_, _| reporting(0.0), None),
        ("a single failure", 100, |service, at| result(service != "web" || at != 1), None),
        // The fifth result: two of them failed.
        (
            "two of the first five",
            100,
            |service, at| result(service != "job" || at == 0 || at > 2),
            Some((
                "health_check_failures > 30%: 40% of 5 health checks failed, more than 30% (job: 2 of 2) \
                 (gradual_rollback)",
                3,
            )),
        ),
        ("three of ten", 100, |service, at| result(service != "job" || ![1, 5, 9].contains(&at)), None),
        ("errors, as many as allowed", 100, |_, _| reporting(0.1), None),
        (
            "too many errors",
            100,
            |service, at| reporting(if service == "web" && at >= 4 { 0.125 } else { 0.0 }),
            Some((
                "error_rate > 10%: web: reports an error rate of 12.5%, more than 10% (immediate_rollback)",
                4,
            )),
        ),
        (
            "errors of what is not critical",
            100,
            |service, _| reporting(if service == "job" { 1.0 } else { 0.0 }),
            None,
        ),
        (
            "a critical service is unhealthy",
            1,
            |service, at| result(service != "web" || at < 2),
            Some(("critical_service_unhealthy: web: became unhealthy: answers: 503 (immediate_rollback)", 2)),
        ),
        (
            "errors, as many as allowed, and what calculating adds",
            100,
            |_, _| reporting(0.100_000_000_1),
            None,
        ),
        ("nonsense for a rate", 100, |_, _| reporting(f64::NAN), None),
    ];
    for (name, threshold, answers, expected) in cases {
        let (met, outcome) = run(plan(&[FAILURES, ERRORS], &spec(threshold, 0)), answers);
        assert_eq!(met, expected.map(|(text, at)| (text.to_owned(), at)), "{name}");
        let verdict = if met.is_some() { Verdict::Failed } else { Verdict::Succeeded };
        assert_eq!(
            (outcome.verdict, outcome.in_window, outcome.was_ready),
            (verdict, met.is_some(), true),
            "{name}"
        );
    }
}

#[test]
fn the_action_is_that_of_the_first_condition_of_the_kind() {
    let unhealthy = |action| (ConditionKind::CriticalServiceUnhealthy, action);
    let conditions =
        [ERRORS, unhealthy(RollbackAction::GradualRollback), unhealthy(RollbackAction::ImmediateRollback)];
    let (_, outcome) = run(plan(&conditions, &spec(1, 0)), |_, at| result(at < 3));
    assert_eq!(outcome.rolls_back, Some(Pace::Gradual));
    let failure = &outcome.failures[0];
    assert_eq!(
        (failure.service.as_str(), failure.reason.as_str()),
        ("web", "inside the rollback window (after 3s of 10s): became unhealthy: answers: 503")
    );
}

#[test]
fn failures_inside_the_start_period_do_not_count() {
    let (met, _) = run(plan(&[FAILURES], &spec(100, 8)), |_, at| result(at == 0 || at >= 8));
    assert_eq!(met, None);
    let (met, _) = run(plan(&[FAILURES], &spec(100, 5)), |_, at| result(at == 0 || at >= 8));
    assert_eq!(met.map(|(_, at)| at), Some(7));
}

#[test]
fn without_a_condition_on_results_none_are_asked_for_beside_the_engine() {
    for (conditions, counts) in [(&[][..], false), (&[FAILURES][..], true), (&[ERRORS][..], true)] {
        let plan = plan(conditions, &spec(1, 0));
        let scheduler = Scheduler::new(Arc::new(plan), &Observed::default(), AfterReady::Finish);
        assert_eq!(scheduler.counts_results(), counts);
    }
}
