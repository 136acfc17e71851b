//! The rollback window on the real engine.

use std::time::{Duration, Instant};

use crate::support::stack::Stack;

/// `web` behind `db`; whatever happens to `web` is seen within a moment. `FLAGS` and `ROLLBACK` are put in.
const YAML: &str = "
services:
  db:
    image: docker-orch-example
    command: --tcp 5432
    x-orch: {health_check: {tcp: 5432}}
  web:
    image: docker-orch-example
    command: --port 80 FLAGS
    depends_on: {db: {condition: service_healthy}}
    x-orch:
      start: {retries: 3}
      health_check: {http: ':80/health', interval: 200ms, failure_threshold: 2}
x-orch: {rollback: {ROLLBACK}}
";

fn yaml(flags: &str, rollback: &str) -> String {
    YAML.replace("FLAGS", flags).replace("ROLLBACK", rollback)
}

/// Both services, up without a window.
fn running(test: &str) -> Stack {
    let stack = Stack::new(test, &yaml("", "window: 0s"));
    stack.run("up -d").code(0);
    stack
}

/// An update inside whose window something goes wrong: the very same containers run again.
#[track_caller]
fn is_rolled_back(test: &str, new: &str, says: &[&str]) {
    let stack = running(test);
    let before = stack.running_ids();
    stack.write("compose.yaml", new);
    let began = Instant::now();
    stack.run("up -d").code(1).says(says).says(&["rolled back: the project is as it was before"]);
    assert!(began.elapsed() < Duration::from_secs(25), "the window was waited for");
    assert_eq!(stack.running_ids(), before);
    assert_eq!(stack.short_names(), ["db-1", "web-1"]);
}

#[test]
fn what_ran_before_is_let_go_when_the_window_is_over() {
    let stack = running("winpass");
    let old = stack.container("web").id;
    stack.write("compose.yaml", &yaml("--log new", "window: 3s"));
    let mut up = stack.spawn("up -d");
    up.until("watching for 3s before what ran before is let go");
    let opened = Instant::now();
    assert_eq!(stack.short_names(), ["db-1", "web-1", "web-1.previous"]);
    up.until("all went well: what ran before is let go");
    assert!(opened.elapsed() > Duration::from_millis(2500), "{:?}", opened.elapsed());
    up.end().code(0).says(&["2 services ready"]);
    assert_eq!(stack.short_names(), ["db-1", "web-1"]);
    assert_ne!(stack.container("web").id, old);
    // Nothing changes, so nothing is watched.
    let again = Instant::now();
    let ran = stack.run("up -d").code(0);
    assert!(!ran.err.contains("watching") && again.elapsed() < Duration::from_secs(3), "{}", ran.err);
}

#[test]
fn a_service_that_becomes_unhealthy_is_rolled_back() {
    let says = [
        "web: inside the rollback window (after ",
        " of 30s): became unhealthy: 503",
        "--rollback-window 0s",
    ];
    is_rolled_back("winsick", &yaml("--fail-health-after 2s", "window: 30s"), &says);
}

#[test]
fn a_service_that_exits_is_rolled_back() {
    // No check is due before the engine tells of it.
    let new = yaml("--exit-after 2s --exit-code 7 --log boom", "window: 30s").replace("200ms", "20s");
    is_rolled_back("winexit", &new, &[" of 30s): exited with code 7", "| boom"]);
}

#[test]
fn errors_that_a_health_report_tells_of_are_rolled_back_one_service_after_another() {
    let rollback = "window: 30s, conditions: [{condition: error_rate > 10%, action: gradual_rollback}]";
    let says =
        ["error_rate > 10%: web: reports an error rate of 50%, more than 10%", "inside the rollback window"];
    is_rolled_back("winerrors", &yaml("--errors-after 1500ms", rollback), &says);
}

#[test]
fn too_many_failures_are_rolled_back() {
    let stack = running("winshare");
    let before = stack.running_ids();
    let rollback = "window: 30s, conditions: [{condition: health_check_failures > 30%}]";
    let text =
        yaml("--fail-health-after 2s", rollback).replace("failure_threshold: 2", "failure_threshold: 1000");
    stack.write("compose.yaml", &text);
    stack.run("up -d").code(1).says(&["health checks failed, more than 30% (web: "]);
    assert_eq!(stack.running_ids(), before);
}

#[test]
fn an_interrupt_inside_the_window_rolls_back() {
    let stack = running("winint");
    let before = stack.running_ids();
    stack.write("compose.yaml", &yaml("--log new", "window: 60s"));
    let mut up = stack.spawn("up -d");
    up.until("watching for 1m0s");
    up.signal("INT");
    up.end().code(130).says(&["rolled back"]);
    assert_eq!(stack.running_ids(), before);
    assert_eq!(stack.short_names(), ["db-1", "web-1"]);
}

#[test]
fn an_attached_up_that_is_ended_inside_the_window_keeps_what_ran_before() {
    let stack = running("winattached");
    stack.write("compose.yaml", &yaml("--log new", "window: 60s"));
    let mut up = stack.spawn("up");
    up.until("watching for 1m0s");
    up.signal("INT");
    up.end().code(130).says(&["web-1.previous", "the next `up` lets it go"]);
    assert_eq!(stack.running_ids().len(), 0);
    assert_eq!(stack.short_names(), ["db-1", "web-1", "web-1.previous"]);
    stack.run("up -d --rollback-window 0s").code(0);
    assert_eq!(stack.short_names(), ["db-1", "web-1"]);
}

#[test]
fn killed_inside_the_window_the_next_up_finishes() {
    let stack = running("winkill");
    stack.write("compose.yaml", &yaml("--log new", "window: 60s"));
    let mut up = stack.spawn("up -d");
    up.until("watching for 1m0s");
    let new = stack.running_ids();
    up.kill();
    stack.run("up -d").code(0);
    assert_eq!(stack.running_ids(), new);
    assert_eq!(stack.short_names(), ["db-1", "web-1"]);
}
