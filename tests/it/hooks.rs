//! Hooks: what they say, what their failure says, and that none of them lasts for ever. On the simulated engine.

use std::time::Duration;

use docker_orch::{
    engine::sim::{Behaviour, Script, SimEngine},
    event::{EventKind, Verdict},
    executor::CancelRequest,
};

use crate::support::lab::{Asked, Ran, up_as, up_of};

const YAML: &str = "
services:
  web:
    image: web
    x-orch: {start: {timeout: 20s}}
    stop_grace_period: 2s
    post_start: [{command: [warm, up]}]
    pre_stop: [{command: [drain]}]
";

fn sim(web: Behaviour) -> SimEngine {
    SimEngine::new(Script::new().service("web", web))
}

fn said(ran: &Ran) -> Vec<String> {
    let events = ran.events.iter().filter_map(|event| match &event.kind {
        EventKind::Hook { replica, text } => Some(format!("{replica} -> {text}")),
        EventKind::Warning { message } => Some(message.clone()),
        _ => None,
    });
    events.collect()
}

/// An `up` that is interrupted after this many milliseconds.
async fn interrupted(sim: &SimEngine, at: u64) -> Ran {
    let asked = Asked { watch: true, cancels: vec![(at, CancelRequest::Graceful)], ..Asked::default() };
    up_as(sim, YAML, &asked).await.expect("nobody kills it").expect("a beginning")
}

#[tokio::test(start_paused = true)]
async fn what_a_hook_says_is_told() {
    let web = Behaviour::new().exec("warm up", 0, "one\r\n\ntwo\n").exec("drain", 0, "three");
    let ran = interrupted(&sim(web), 5000).await;
    assert_eq!(said(&ran), ["web-1 -> one", "web-1 -> two", "web-1 -> three"]);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_is_quoted_with_its_last_lines() {
    let long = (1..=40).fold(String::new(), |text, n| text + &format!("line {n}\n"));
    let web = Behaviour::new().exec("warm up", 3, &long);
    let ran = up_of(&sim(web), YAML).await;
    assert_eq!(
        ran.ended.finished.failures[0].reason,
        "post_start hook `warm up` exited with 3: line 36\nline 37\nline 38\nline 39\nline 40"
    );
    let web = Behaviour::new().exec("drain", 4, "no\nway\n");
    let ran = interrupted(&sim(web), 5000).await;
    assert_eq!(said(&ran)[2..], ["web-1: pre_stop hook `drain` exited with 4: no\nway"]);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_does_not_end_is_not_waited_for() {
    let endless = || Behaviour::new().exec_takes(Duration::from_hours(1));
    let ran = up_of(&sim(endless()), YAML).await;
    let reason = &ran.ended.finished.failures[0].reason;
    assert!(reason.starts_with("post_start hook `warm up` failed: "), "{reason}");
    // The start's 20 s, and the minute of the hook before the stop.
    assert!(ran.took < Duration::from_secs(85), "{:?}", ran.took);
    // Whoever interrupts does not wait for it either.
    let ran = interrupted(&sim(endless()), 3000).await;
    assert_eq!(ran.ended.finished.verdict, Verdict::Cancelled);
    assert!(ran.took < Duration::from_secs(75), "{:?}", ran.took);
}
