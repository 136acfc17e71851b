//! The machine, case by case and at random.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::project::{BreakerSpec, Progress, Require};

mod breaker;
mod progress;

fn ms(n: u64) -> Elapsed {
    Elapsed::new(Duration::from_millis(n))
}

fn check(name: &str) -> Check {
    Check {
        name: name.to_owned(),
        probe: ProbeSpec::Tcp { host: None, port: 1 },
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(1),
        success_threshold: 1,
        failure_threshold: 3,
        start_period: Duration::ZERO,
        critical: true,
        breaker: None,
    }
}

fn optional(name: &str) -> Check {
    Check { critical: false, ..check(name) }
}

fn stage(name: &str, checks: Vec<Check>) -> Stage {
    Stage {
        name: name.to_owned(),
        checks,
        require: Require::All,
        timeout: None,
        start_period: Duration::ZERO,
        critical: true,
        progress: None,
    }
}

fn monitor(stages: Vec<Stage>, liveness: Option<Stage>) -> Monitor {
    Monitor::new(Arc::new(HealthSpec { stages, liveness, recipe: None }), ms(0), ms(60_000))
}

fn result(passed: bool) -> ProbeResult {
    let detail = if passed { "200 OK" } else { "refused" };
    ProbeResult { passed, detail: detail.to_owned(), took: Duration::from_millis(1), report: None }
}

fn reporting(status: &str) -> ProbeResult {
    ProbeResult { report: Some(serde_json::json!({"status": status})), ..result(true) }
}

fn id(stage: u32, check: u32) -> ProbeId {
    ProbeId { stage, check, live: false }
}

fn live(check: u32) -> ProbeId {
    ProbeId { stage: 0, check, live: true }
}

fn orders(monitor: &mut Monitor, now: u64) -> Vec<ProbeId> {
    let probe = |order| match order {
        Order::Probe(id) => Some(id),
        Order::Follow(_) => None,
    };
    monitor.poll(ms(now)).0.into_iter().filter_map(probe).collect()
}

/// Takes a monitor with one stage to ready; its liveness is due 10 s later.
fn ready(mut monitor: Monitor) -> Monitor {
    for now in [0, 20] {
        for id in orders(&mut monitor, now) {
            monitor.probed(ms(now), id, &result(true));
        }
    }
    assert!(matches!(monitor.health(), Health::Ready | Health::Degraded { .. }), "{:?}", monitor.health());
    monitor
}

#[test]
fn stages_pass_in_order_and_the_last_one_makes_ready() {
    let mut m = monitor(vec![stage("a", vec![check("a")]), stage("b", vec![check("b")])], None);
    assert_eq!(m.next_deadline(), Some(ms(0)));
    assert_eq!(m.poll(ms(0)), (vec![Order::Probe(id(0, 0))], vec![Change::StageStarted { index: 0 }]));
    assert_eq!(m.current_stage().map(|(n, s)| (n, s.name.as_str())), Some((0, "a")));
    assert_eq!(
        m.probed(ms(5), id(0, 0), &result(true)),
        [Change::StagePassed { index: 0 }, Change::StageStarted { index: 1 }]
    );
    assert!(m.stage_passed("a") && !m.stage_passed("b"));
    assert_eq!(m.next_deadline(), Some(ms(5)), "the next stage is probed at once");
    assert_eq!(orders(&mut m, 5), [id(1, 0)]);
    assert_eq!(
        m.probed(ms(6), id(1, 0), &result(true)),
        [Change::StagePassed { index: 1 }, Change::Became(Health::Ready)]
    );
    assert_eq!(m.current_stage(), None);
    assert_eq!(m.next_deadline(), Some(ms(10_006)), "from now on at `interval`");
}

#[test]
fn all_checks_of_a_stage_run_at_once_and_a_passed_one_is_left_alone() {
    let mut m = monitor(vec![stage("s", vec![check("a"), check("b")])], None);
    assert_eq!(orders(&mut m, 0), [id(0, 0), id(0, 1)]);
    m.probed(ms(1), id(0, 0), &result(true));
    m.probed(ms(1), id(0, 1), &result(false));
    assert_eq!(orders(&mut m, 20), []);
    assert_eq!(orders(&mut m, 21), [id(0, 1)]);
    assert_eq!(orders(&mut m, 5_000), [], "in flight");
}

#[test]
fn pauses_are_an_eighth_of_what_was_waited_from_20_to_100_ms_and_never_below_half_of_the_probe() {
    let mut m = monitor(vec![stage("s", vec![check("a")])], None);
    for (now, pause) in [(0, 20), (160, 20), (400, 50), (800, 100), (20_000, 100)] {
        assert_eq!(orders(&mut m, now).len(), 1);
        m.probed(ms(now), id(0, 0), &result(false));
        assert_eq!(m.next_deadline(), Some(ms(now + pause)), "after {now} ms");
    }
    orders(&mut m, 20_100);
    let slow = ProbeResult { took: Duration::from_secs(4), ..result(false) };
    m.probed(ms(20_100), id(0, 0), &slow);
    assert_eq!(m.next_deadline(), Some(ms(22_100)));
}

#[test]
fn a_check_passes_after_enough_successes_in_a_row() {
    let mut m = monitor(vec![stage("s", vec![Check { success_threshold: 2, ..check("a") }])], None);
    for (now, passed, ready) in [(0, true, false), (100, false, false), (300, true, false), (400, true, true)]
    {
        assert_eq!(orders(&mut m, now), [id(0, 0)]);
        m.probed(ms(now), id(0, 0), &result(passed));
        assert_eq!(m.health() == &Health::Ready, ready, "at {now}");
    }
}

#[test]
fn a_stage_passes_when_as_many_critical_checks_passed_as_required() {
    for (require, passes_after) in
        [(Require::Any, 1), (Require::Count(2), 2), (Require::Percent(60), 2), (Require::All, 3)]
    {
        let checks = vec![check("a"), check("b"), check("c"), optional("d")];
        let mut m = monitor(vec![Stage { require, ..stage("s", checks) }], None);
        orders(&mut m, 0);
        m.probed(ms(1), id(0, 3), &result(true));
        for n in 0..passes_after {
            assert!(!m.stage_passed("s"), "{require:?} after {n}");
            m.probed(ms(1), id(0, n), &result(true));
        }
        assert!(m.stage_passed("s"), "{require:?}");
        assert_eq!(m.health(), &Health::Ready, "{require:?}");
    }
}

#[test]
fn a_non_critical_check_degrades_until_it_passes() {
    let mut m = monitor(vec![stage("s", vec![check("api"), optional("cache")])], None);
    orders(&mut m, 0);
    m.probed(ms(1), id(0, 1), &result(false));
    let changes = m.probed(ms(2), id(0, 0), &result(true));
    let why = "cache: refused".to_owned();
    assert_eq!(changes, [Change::StagePassed { index: 0 }, Change::Became(Health::Degraded { why })]);
    assert_eq!(orders(&mut m, 10_002), [live(0), live(1)]);
    assert_eq!(m.probed(ms(10_003), live(1), &result(true)), [Change::Became(Health::Ready)]);
}

#[test]
fn what_an_earlier_stage_went_without_is_probed_after_ready_too() {
    let first = stage("first", vec![check("api"), optional("cache")]);
    let mut m = ready_after(monitor(vec![first, stage("last", vec![check("up")])], None));
    assert!(matches!(m.health(), Health::Degraded { .. }));
    assert_eq!(orders(&mut m, 10_002), [id(0, 1), live(0)]);
    assert_eq!(m.probed(ms(10_003), id(0, 1), &result(true)), [Change::Became(Health::Ready)]);
    assert_eq!(orders(&mut m, 20_003), [], "passed: only liveness goes on, which is in flight");
}

fn ready_after(mut m: Monitor) -> Monitor {
    orders(&mut m, 0);
    m.probed(ms(1), id(0, 1), &result(false));
    m.probed(ms(1), id(0, 0), &result(true));
    assert_eq!(orders(&mut m, 1), [id(1, 0)]);
    m.probed(ms(2), id(1, 0), &result(true));
    m
}

#[test]
fn failures_fail_a_stage_only_at_its_deadline() {
    let timed = Stage { timeout: Some(Duration::from_secs(1)), ..stage("s", vec![check("api")]) };
    let mut m = monitor(vec![timed], None);
    for now in (0..1000).step_by(20) {
        for id in orders(&mut m, now) {
            assert_eq!(m.probed(ms(now), id, &result(false)), [], "at {now}");
        }
    }
    let why = "stage s timed out after 1s (api: refused)".to_owned();
    assert_eq!(
        m.poll(ms(1000)),
        (
            vec![],
            vec![
                Change::StageFailed { index: 0, why: why.clone(), timed_out: true },
                Change::Became(Health::Failed { why, timed_out: true })
            ]
        )
    );
    assert_eq!(m.next_deadline(), None);
    assert_eq!(m.probed(ms(1001), id(0, 0), &result(true)), [], "for good");
}

#[test]
fn the_deadline_of_the_whole_start_bounds_every_stage() {
    let long = Stage { timeout: Some(Duration::from_mins(10)), ..stage("load", vec![check("load")]) };
    let mut m = monitor(vec![long], None);
    orders(&mut m, 0);
    assert_eq!(m.next_deadline(), Some(ms(60_000)));
    m.poll(ms(60_000));
    let why = "start timed out after 60s, in stage load (no answer yet)".to_owned();
    assert_eq!(m.health(), &Health::Failed { why, timed_out: true });
}

#[test]
fn a_stage_that_is_not_critical_degrades_at_its_deadline_and_the_next_begins() {
    let second = Duration::from_secs(1);
    for soft in [
        Stage { critical: false, timeout: Some(second), ..stage("soft", vec![check("soft")]) },
        Stage { timeout: Some(second), ..stage("soft", vec![optional("soft")]) },
    ] {
        let mut m = monitor(vec![soft, stage("last", vec![check("last")])], None);
        orders(&mut m, 0);
        let (orders, changes) = m.poll(ms(1000));
        let why = "stage soft timed out after 1s (no answer yet)".to_owned();
        assert_eq!(changes, [Change::StageDegraded { index: 0, why }, Change::StageStarted { index: 1 }]);
        assert_eq!(orders, [Order::Probe(id(1, 0))]);
        assert!(!m.stage_passed("soft"));
        m.probed(ms(1001), id(1, 0), &result(true));
        assert_eq!(m.health(), &Health::Degraded { why: "no answer yet".to_owned() });
        assert_eq!(m.probed(ms(1002), id(0, 0), &result(true)), [Change::Became(Health::Ready)]);
    }
}

#[test]
fn ready_becomes_unhealthy_after_failures_in_a_row_and_recovers() {
    let mut m = ready(monitor(vec![stage("s", vec![Check { success_threshold: 2, ..check("a") }])], None));
    let cases = [
        (false, "ready"),
        (false, "ready"),
        (true, "ready"),
        (false, "ready"),
        (false, "ready"),
        (false, "unhealthy"),
        (true, "recovering"),
        (false, "unhealthy"),
        (true, "recovering"),
        (true, "ready"),
    ];
    for (n, (passed, word)) in cases.into_iter().enumerate() {
        let now = 10_100 + n as u64 * 10_000;
        assert_eq!(orders(&mut m, now), [live(0)], "probe {n}");
        m.probed(ms(now), live(0), &result(passed));
        let health = serde_json::to_value(m.health()).unwrap();
        assert_eq!(health["state"], word, "after probe {n}");
    }
}

#[test]
fn a_liveness_stage_replaces_the_last_stage() {
    let liveness = stage("alive", vec![Check { interval: Duration::from_secs(2), ..check("ping") }]);
    let mut m = ready(monitor(vec![stage("s", vec![check("a")])], Some(liveness)));
    assert_eq!(m.next_deadline(), Some(ms(2000)));
    assert_eq!(orders(&mut m, 2000), [live(0)]);
    assert_eq!(m.check(live(0)).name, "ping");
    assert_eq!(m.stage_of(live(0)), "alive");
}

#[test]
fn failures_inside_the_start_period_do_not_count() {
    let grace = Stage {
        start_period: Duration::from_secs(25),
        ..stage("alive", vec![Check { failure_threshold: 1, ..check("ping") }])
    };
    let mut m = ready(monitor(vec![stage("s", vec![check("a")])], Some(grace)));
    for (now, word) in [(10_000, "ready"), (20_000, "ready"), (30_000, "unhealthy")] {
        assert_eq!(orders(&mut m, now), [live(0)]);
        m.probed(ms(now), live(0), &result(false));
        assert_eq!(serde_json::to_value(m.health()).unwrap()["state"], word, "at {now}");
    }
}

#[test]
fn a_health_report_degrades_or_fails_a_check_that_answered() {
    let mut m = monitor(vec![stage("s", vec![check("api")])], None);
    orders(&mut m, 0);
    assert_eq!(m.probed(ms(0), id(0, 0), &reporting("unhealthy")), []);
    orders(&mut m, 20);
    let why = "api: reports degraded".to_owned();
    assert_eq!(
        m.probed(ms(20), id(0, 0), &reporting("degraded")),
        [Change::StagePassed { index: 0 }, Change::Became(Health::Degraded { why })]
    );
    orders(&mut m, 10_020);
    assert_eq!(m.probed(ms(10_020), live(0), &reporting("healthy")), [Change::Became(Health::Ready)]);
}

#[test]
fn a_check_in_flight_since_start_up_is_not_probed_beside_itself() {
    let any = Stage { require: Require::Any, ..stage("s", vec![check("a"), check("b")]) };
    let mut m = monitor(vec![any], None);
    orders(&mut m, 0);
    m.probed(ms(0), id(0, 0), &result(true));
    assert_eq!(m.health(), &Health::Ready);
    assert_eq!(orders(&mut m, 10_000), [live(0)], "b is still in flight");
    m.probed(ms(10_001), id(0, 1), &result(false));
    assert_eq!(orders(&mut m, 10_001), [live(1)]);
}

#[test]
fn a_line_once_logged_is_not_looked_for_again() {
    let log = Check { probe: ProbeSpec::Log { pattern: "ready".to_owned() }, ..check("log") };
    let m = ready(monitor(vec![stage("s", vec![log])], None));
    assert_eq!(m.next_deadline(), None);
}

#[test]
fn the_report_tells_every_stage_and_check() {
    let mut m = monitor(vec![stage("a", vec![check("a")]), stage("b", vec![optional("b")])], None);
    orders(&mut m, 0);
    m.probed(ms(3), id(0, 0), &result(false));
    orders(&mut m, 23);
    m.probed(ms(25), id(0, 0), &result(true));
    let report = m.report();
    assert_eq!(report.stages[0].progress, StageProgress::Passed);
    assert_eq!((report.stages[0].began, report.stages[0].ended), (Some(ms(0)), Some(ms(25))));
    assert_eq!((report.stages[0].checks[0].probes, report.stages[0].checks[0].failed), (2, 1));
    assert_eq!(report.stages[1].progress, StageProgress::Current);
    assert_eq!(report.liveness, []);
}

prop_compose! {
    fn any_check()(
        critical in any::<bool>(), success in 1u32..3, failure in 1u32..3, interval in 0u64..300,
        breaker in prop::option::of((1u32..4, 0u64..500)),
    ) -> Check {
        Check {
            breaker: breaker.map(|(failures, open)| BreakerSpec { failures, open: Duration::from_millis(open) }),
            critical,
            success_threshold: success,
            failure_threshold: failure,
            interval: Duration::from_millis(interval),
            ..check("c")
        }
    }
}

prop_compose! {
    fn any_stage()(
        checks in prop::collection::vec(any_check(), 1..4),
        require in prop_oneof![
            Just(Require::All), Just(Require::Any), (1u32..4).prop_map(Require::Count), (1u8..=100).prop_map(Require::Percent)
        ],
        timeout in prop::option::of(0u64..2000),
        critical in any::<bool>(),
        progress in prop::option::of((0u64..400, 0u64..2000)),
    ) -> Stage {
        let millis = Duration::from_millis;
        let progress = progress.map(|(extend, most)| Progress {
            log: String::new(), extend: millis(extend), at_most: millis(most),
        });
        Stage { progress, require, timeout: timeout.map(Duration::from_millis), critical, ..stage("s", checks) }
    }
}

proptest! {
    /// Random stages and results: at every turn the machine keeps its promises.
    #[test]
    fn every_run_keeps_its_promises(
        stages in prop::collection::vec(any_stage(), 1..4),
        liveness in prop::option::of(any_stage()),
        turns in prop::collection::vec((0u64..200, 0usize..4, 0u8..4, 0u8..6), 1..200),
    ) {
        let deadline = ms(3000);
        let mut m = Monitor::new(Arc::new(HealthSpec { stages: stages.clone(), liveness: liveness.clone(), recipe: None }), ms(0), deadline);
        let (mut now, mut in_flight, mut over) = (0, BTreeSet::new(), BTreeSet::new());
        let (mut open, mut reading, mut began) = (BTreeMap::new(), None, (0, 0));
        // Without a liveness of its own, a live check is the last stage's check of the same number.
        let same = |id: ProbeId| if liveness.is_none() && id.live {
            ProbeId { stage: u32::try_from(stages.len()).unwrap() - 1, check: id.check, live: false }
        } else { id };
        for (pause, pick, answer, percent) in turns {
            now += pause;
            let (orders, mut changes) = m.poll(ms(now));
            for order in orders {
                let id = match order {
                    Order::Probe(id) => id,
                    Order::Follow(stage) => {
                        prop_assert!(reading.is_none_or(|other| other != stage), "the log of {stage} twice");
                        reading = Some(stage);
                        continue;
                    }
                };
                prop_assert!(in_flight.insert(same(id)), "{id:?} twice at {now}");
                prop_assert!(!m.check(id).name.is_empty());
                let until = open.get(&same(id)).copied().unwrap_or_default();
                prop_assert!(ms(now) >= until, "{id:?} is open until {until} at {now}");
            }
            prop_assert!(m.next_deadline().is_none_or(|at| at > ms(now)), "nothing is due after a poll");
            if let Some(stage) = reading.filter(|_| percent > 2) {
                reading = None;
                let value = percent.to_string();
                let movement = Movement { text: value.clone(), value };
                changes.extend(m.moved(ms(now), stage, (percent < 5).then_some(&movement)));
                if percent == 5 {
                    reading = Some(stage);
                }
            }
            let ids: Vec<ProbeId> = in_flight.iter().copied().collect();
            if let Some(id) = ids.get(pick) {
                in_flight.remove(id);
                // The probe may have been ordered under either number.
                let answer = match answer { 0 => result(false), 1 => result(true), 2 => reporting("degraded"), _ => reporting("unhealthy") };
                let as_live = ProbeId { stage: 0, live: true, ..*id };
                let id = if same(as_live) == *id && m.live_in_flight(id.check) { as_live } else { *id };
                changes.extend(m.probed(ms(now), id, &answer));
            }
            for change in changes {
                match change {
                    Change::StagePassed { index } | Change::StageDegraded { index, .. } | Change::StageFailed { index, .. } => {
                        prop_assert!(over.insert(index), "stage {index} was over already");
                    }
                    Change::StageStarted { index } => {
                        prop_assert_eq!(over.len(), index, "in order");
                        began = (index, now);
                    }
                    Change::Breaker { id, breaker } => {
                        open.insert(same(id), breaker.open_until().unwrap_or_default());
                    }
                    Change::StageMoved { index, .. } => prop_assert_eq!(began.0, index, "only the current one"),
                    Change::Became(_) => {}
                }
            }
            if let Some((index, stage)) = m.current_stage()
                && let Some(timeout) = stage.timeout
            {
                let most = stage.progress.as_ref().map_or(timeout, |p| p.at_most.max(timeout));
                // It is only looked at when something happens.
                prop_assert!(began.0 != index || ms(now) < ms(began.1) + most, "beyond its bound at {now}");
            }
            if ms(now) >= deadline {
                prop_assert!(m.health() != &Health::Starting, "it ends by its deadline");
            }
        }
    }
}

impl Monitor {
    fn live_in_flight(&self, check: u32) -> bool {
        self.live.get(check as usize).is_some_and(|watch| watch.in_flight)
    }
}
