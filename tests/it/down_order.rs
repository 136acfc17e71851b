//! The end of a chain of services on the real engine: dependents first, by the engine's own times, and none later than
//! it has to be.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::stack::{Seen, Stack};

/// `a`, which `b` needs, which `c` needs. Each takes a while to stop.
const CHAIN: &str = "
services:
  a: {image: docker-orch-example, command: --term-after 200ms}
  b: {image: docker-orch-example, command: --term-after 200ms, depends_on: [a]}
  c: {image: docker-orch-example, command: --term-after 200ms, depends_on: [b]}
";

/// The order in which they end.
const ENDS: [&str; 3] = ["c", "b", "a"];

/// Whether stops need not wait for each other on this engine, and the processes of its containers are seen from here.
/// Asked while they run.
fn is_told_early(stack: &Stack) -> bool {
    let api = stack.docker(&["version", "--format", "{{.Server.APIVersion}}"]);
    let minor: u32 = api.trim().strip_prefix("1.").and_then(|minor| minor.parse().ok()).expect("a version");
    let is_seen = |c: &Seen| {
        let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", c.raw["State"]["Pid"]));
        groups.is_ok_and(|groups| groups.contains(&c.id))
    };
    minor >= 44 && stack.containers().iter().all(is_seen)
}

/// Events of the newest run: what, of which step, in the order in which they happened.
fn steps(stack: &Stack, command: &str) -> Vec<(String, String)> {
    let kept = stack.kept();
    let of =
        |text: &&String| text.lines().next().is_some_and(|first| first.contains(&format!("\"{command}\"")));
    let text = kept.iter().filter(|(path, _)| path.ends_with("/events.jsonl")).map(|(_, t)| t).rfind(of);
    let events = text
        .expect("the record of a run")
        .lines()
        .map(|line| -> Value { serde_json::from_str(line).expect("JSON") });
    events
        .filter(|event| event["event"].as_str().is_some_and(|kind| kind.starts_with("step_")))
        .map(|event| {
            let name = format!("{} {}", event["action"].as_str().unwrap(), event["target"].as_str().unwrap());
            (event["event"].as_str().unwrap().to_owned(), name)
        })
        .collect()
}

#[track_caller]
fn position(steps: &[(String, String)], kind: &str, name: &str) -> usize {
    let wanted = (kind.to_owned(), name.to_owned());
    steps.iter().position(|step| *step == wanted).unwrap_or_else(|| panic!("no {wanted:?} in {steps:?}"))
}

/// Every dependent's stop was asked for before that of what it needs, which on an engine that answers late did not wait
/// for the answer.
#[track_caller]
fn stops_are_in_order(stack: &Stack, command: &str, early: bool) {
    let steps = steps(stack, command);
    for two in ENDS.windows(2) {
        let [before, after] = [two[0], two[1]].map(|s| format!("stop_container {}-{s}-1", stack.name));
        let asked = position(&steps, "step_started", &after);
        assert!(position(&steps, "step_started", &before) < asked, "{steps:?}");
        if early {
            assert!(asked < position(&steps, "step_done", &before), "{before} was waited for: {steps:?}");
        }
    }
}

#[test]
fn a_chain_stops_from_its_end_each_when_the_process_before_it_has_ended() {
    let stack = Stack::new("downorder", CHAIN);
    for (stop, code) in [("stop", 0), ("stop -t 0", 137)] {
        stack.run("up -d").code(0);
        let early = is_told_early(&stack);
        stack.run(stop).code(0);
        stops_are_in_order(&stack, "stop", early);
        let ended: BTreeMap<String, Seen> =
            stack.containers().into_iter().map(|c| (c.service.clone(), c)).collect();
        for two in ENDS.windows(2) {
            let (before, after) = (&ended[two[0]], &ended[two[1]]);
            assert!(before.finished < after.finished, "{stop}: {} {}", before.finished, after.finished);
        }
        for container in ended.values() {
            assert_eq!((container.running, container.exit_code), (false, code), "{stop}: {}", container.name);
        }
    }
}

#[test]
fn a_chain_goes_down_from_its_end() {
    let stack = Stack::new("downchain", CHAIN);
    for down in ["down", "down -t 0"] {
        stack.run("up -d").code(0);
        let early = is_told_early(&stack);
        stack.run(down).code(0);
        stack.is_gone_but(&[]);
        stops_are_in_order(&stack, "down", early);
        let steps = steps(&stack, "down");
        for service in ENDS {
            let of = |verb: &str| format!("{verb} {}-{service}-1", stack.name);
            // A container is removed only when the engine has answered to its stop.
            let stopped = position(&steps, "step_done", &of("stop_container"));
            assert!(stopped < position(&steps, "step_started", &of("remove_container")), "{steps:?}");
        }
    }
}

/// A hook of `web` ends its process, and the engine starts it again while other hooks go on.
const AGAIN: &str = "
services:
  db: {image: docker-orch-example}
  web:
    image: docker-orch-example
    command: --port 80
    restart: always
    depends_on: [db]
    pre_stop: [{command: [curl, -X, POST, 'http://localhost/control/exit/0']}, TRIES {command: [sleep, '1']}]
";

#[test]
fn a_process_that_the_engine_starts_again_was_not_the_end() {
    // What runs in between fails until it is there again.
    let tries = "{command: ['true']},".repeat(25);
    let stack = Stack::new("downagain", &AGAIN.replace("TRIES", &tries));
    stack.run("up -d").code(0);
    stack.run("stop").code(0);
    let [db, web] = ["db", "web"].map(|service| stack.container(service));
    assert_eq!(web.raw["RestartCount"], 1);
    assert!(web.finished < db.finished, "{} {}", web.finished, db.finished);
}
