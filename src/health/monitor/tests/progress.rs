//! Stages whose deadline waits while their log moves.

use super::*;

/// A stage of 10 s, that waits 20 s after each movement, 60 s at most.
fn loading() -> Stage {
    let progress = Progress {
        log: r"(\d+)%".to_owned(),
        extend: Duration::from_secs(20),
        at_most: Duration::from_mins(1),
    };
    let timeout = Some(Duration::from_secs(10));
    Stage { progress: Some(progress), timeout, ..stage("load", vec![check("load")]) }
}

fn long(stages: Vec<Stage>) -> Monitor {
    Monitor::new(Arc::new(HealthSpec { stages, liveness: None, recipe: None }), ms(0), ms(600_000))
}

fn at(percent: &str) -> Movement {
    Movement { value: percent.to_owned(), text: format!("loaded {percent}%") }
}

fn why(monitor: &Monitor) -> &str {
    match monitor.health() {
        Health::Failed { why, timed_out: true } => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_movement_moves_the_deadline_and_the_same_again_does_not() {
    let mut m = long(vec![loading()]);
    let (orders, _) = m.poll(ms(0));
    assert_eq!(orders, [Order::Probe(id(0, 0)), Order::Follow(0)]);
    assert_eq!(m.poll(ms(1)).0, [], "the log is read once at a time");
    let text = "loaded 1%".to_owned();
    assert_eq!(m.moved(ms(8000), 0, Some(&at("1"))), [Change::StageMoved { index: 0, text }]);
    assert_eq!(m.poll(ms(8000)).0, [Order::Follow(0)], "and read on");
    assert_eq!(m.next_deadline(), Some(ms(28_000)));
    assert_eq!(m.moved(ms(27_000), 0, Some(&at("1"))), [], "nothing new");
    m.poll(ms(27_000));
    assert_eq!(m.next_deadline(), Some(ms(28_000)));
    assert_eq!(m.report().stages[0].moved.as_deref(), Some("loaded 1%"));
    m.poll(ms(28_000));
    assert_eq!(why(&m), "stage load stood still for 20s at `loaded 1%` (no answer yet)");
}

#[test]
fn a_movement_never_shortens_a_deadline() {
    let long_stage = Stage { timeout: Some(Duration::from_secs(50)), ..loading() };
    let mut m = long(vec![long_stage]);
    m.poll(ms(0));
    m.moved(ms(1000), 0, Some(&at("1")));
    m.poll(ms(1000));
    assert_eq!(m.next_deadline(), Some(ms(50_000)));
    m.poll(ms(50_000));
    assert_eq!(why(&m), "stage load timed out after 50s (no answer yet)");
}

#[test]
fn the_bound_counts_from_the_beginning_of_the_stage() {
    let mut m = long(vec![stage("first", vec![check("first")]), loading()]);
    m.poll(ms(0));
    m.probed(ms(5000), id(0, 0), &result(true));
    m.poll(ms(5000));
    for n in 0..12u64 {
        m.moved(ms(5000 + n * 5000), 1, Some(&at(&n.to_string())));
        m.poll(ms(5000 + n * 5000));
    }
    assert_eq!(m.next_deadline(), Some(ms(65_000)));
    m.poll(ms(65_000));
    assert_eq!(
        why(&m),
        "stage load timed out after 60s, the most it may take, at `loaded 11%` (no answer yet)"
    );
}

#[test]
fn what_comes_late_or_for_another_stage_moves_nothing() {
    let mut m = long(vec![loading(), loading()]);
    m.poll(ms(0));
    assert_eq!(m.moved(ms(1000), 1, Some(&at("1"))), []);
    assert_eq!(m.moved(ms(1000), 7, Some(&at("1"))), []);
    assert_eq!(m.moved(ms(1000), 0, None), [], "the log has ended");
    assert_eq!(m.poll(ms(1001)).0, [], "and is not read again");
    let changes = m.moved(ms(10_000), 0, Some(&at("9")));
    assert!(matches!(changes[..], [Change::StageFailed { .. }, Change::Became(_)]), "{changes:?}");
}

#[test]
fn the_whole_start_is_over_when_its_time_is() {
    let mut m = monitor(vec![loading()], None);
    m.poll(ms(0));
    for n in 0..6u64 {
        m.moved(ms(n * 9000), 0, Some(&at(&n.to_string())));
        m.poll(ms(n * 9000));
    }
    m.poll(ms(60_000));
    assert!(matches!(m.health(), Health::Failed { .. }));
}
