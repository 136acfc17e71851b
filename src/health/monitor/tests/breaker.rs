//! Checks on somebody else that are left alone after failures.

use super::*;

fn guarded(name: &str) -> Check {
    let breaker = Some(BreakerSpec { failures: 2, open: Duration::from_secs(5) });
    Check { probe: ProbeSpec::Tcp { host: Some("db".to_owned()), port: 1 }, breaker, ..check(name) }
}

fn opened(changes: &[Change]) -> Vec<Breaker> {
    let breaker = |change: &Change| match change {
        Change::Breaker { breaker, .. } => Some(*breaker),
        _ => None,
    };
    changes.iter().filter_map(breaker).collect()
}

#[test]
fn a_check_is_left_alone_then_tried_once_then_let_through() {
    let mut m = monitor(vec![stage("s", vec![guarded("db"), check("own")])], None);
    assert_eq!(orders(&mut m, 0).len(), 2);
    assert_eq!(opened(&m.probed(ms(0), id(0, 0), &result(false))), []);
    assert_eq!(orders(&mut m, 20), [id(0, 0)]);
    let changes = m.probed(ms(30), id(0, 0), &result(false));
    assert_eq!(opened(&changes), [Breaker::Open { until: ms(5030) }]);
    m.probed(ms(30), id(0, 1), &result(false));
    assert_eq!(orders(&mut m, 50), [id(0, 1)], "only what has no breaker");
    m.probed(ms(60), id(0, 1), &result(true));
    assert_eq!(orders(&mut m, 5029), []);
    assert_eq!(m.next_deadline(), Some(ms(5030)));
    assert!(m.report().stages[0].checks[0].breaker.is_some_and(|breaker| breaker.open_until().is_some()));
    assert_eq!(m.report().stages[0].checks[1].breaker, None);

    let (orders_now, changes) = m.poll(ms(5030));
    assert_eq!(orders_now, [Order::Probe(id(0, 0))]);
    assert_eq!(opened(&changes), [Breaker::HalfOpen]);
    let changes = m.probed(ms(5040), id(0, 0), &result(false));
    assert_eq!(opened(&changes), [Breaker::Open { until: ms(10_040) }]);
    assert_eq!(m.last_result(id(0, 0)).unwrap().detail, "refused");

    let (_, changes) = m.poll(ms(10_040));
    assert_eq!(opened(&changes), [Breaker::HalfOpen]);
    let changes = m.probed(ms(10_041), id(0, 0), &result(true));
    assert_eq!(opened(&changes), [Breaker::Closed { failures: 0 }]);
    assert_eq!(m.health(), &Health::Ready);
}

#[test]
fn failures_in_the_start_period_do_not_open_it() {
    let early = Check { start_period: Duration::from_secs(1), ..guarded("db") };
    let mut m = monitor(vec![stage("s", vec![early])], None);
    for now in (0..1000).step_by(100) {
        for id in orders(&mut m, now) {
            assert_eq!(opened(&m.probed(ms(now), id, &result(false))), [], "at {now}");
        }
    }
    let mut changes = Vec::new();
    for now in [1000, 1100] {
        for id in orders(&mut m, now) {
            changes.extend(m.probed(ms(now), id, &result(false)));
        }
    }
    assert_eq!(opened(&changes), [Breaker::Open { until: ms(6100) }]);
}

#[test]
fn a_deadline_that_passes_meanwhile_says_so() {
    let timed = Stage { timeout: Some(Duration::from_secs(1)), ..stage("s", vec![guarded("db")]) };
    let mut m = monitor(vec![timed], None);
    for now in [0, 20] {
        for id in orders(&mut m, now) {
            m.probed(ms(now), id, &result(false));
        }
    }
    m.poll(ms(1000));
    let why = "stage s timed out after 1s (db: breaker open, refused)".to_owned();
    assert_eq!(m.health(), &Health::Failed { why, timed_out: true });
}

#[test]
fn after_ready_it_outlasts_the_interval() {
    let slow = BreakerSpec { failures: 2, open: Duration::from_mins(1) };
    let beside = Check { critical: false, breaker: Some(slow), ..guarded("db") };
    let mut m = monitor(vec![stage("s", vec![check("own"), beside])], None);
    orders(&mut m, 0);
    m.probed(ms(0), id(0, 1), &result(false));
    orders(&mut m, 20);
    m.probed(ms(20), id(0, 1), &result(false));
    m.probed(ms(30), id(0, 0), &result(true));
    assert!(matches!(m.health(), Health::Degraded { .. }));
    assert_eq!(orders(&mut m, 10_030), [live(0)]);
    m.probed(ms(10_031), live(0), &result(true));
    let mut asked = Vec::new();
    for now in (10_100..70_000).step_by(100) {
        for id in orders(&mut m, now) {
            asked.push((now, id));
            m.probed(ms(now), id, &result(true));
        }
    }
    let first = asked.iter().find(|(_, asked)| *asked == live(1));
    assert_eq!(first, Some(&(60_100, live(1))));
    assert_eq!(m.health(), &Health::Ready);
}
