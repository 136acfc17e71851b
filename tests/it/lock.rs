//! The project lock: two commands on one project never race, and nobody waits for one that is gone.

use crate::support::stack::Stack;

/// `web` takes a while to be ready.
const SLOW: &str = "
services:
  db:
    image: docker-orch-example
    command: --tcp 5432
    x-orch: {health_check: {tcp: 5432}}
  web:
    image: docker-orch-example
    command: --port 80 --ready-after 2s
    depends_on: {db: {condition: service_healthy}}
    x-orch: {health_check: {http: ':80/health'}}
";

#[test]
fn two_ups_at_once_end_well_with_one_set_of_containers() {
    let stack = Stack::new("lockups", SLOW);
    let (first, second) = (stack.spawn("up -d"), stack.spawn("up -d"));
    let (first, second) = (first.end().code(0), second.end().code(0));
    assert_eq!(stack.short_names(), ["db-1", "web-1"]);
    assert_eq!(stack.running_ids().len(), 2);
    let waited = [&first.err, &second.err].into_iter().filter(|err| {
        err.contains("`docker orch up` (PID ") && err.contains("is changing the project; waiting up to 30s")
    });
    assert_eq!(waited.count(), 1, "{}{}", first.err, second.err);
}

#[test]
fn a_down_waits_for_an_up_or_says_who_is_in_the_way() {
    let stack = Stack::new("lockdown", SLOW);
    let mut up = stack.spawn("up -d");
    up.until("web-1  probing");
    let refused = stack.run("down --lock-timeout 0s").code(4);
    refused.says(&["error: `docker orch up` (PID ", "is changing the project", "--lock-timeout 5m"]);
    let down = stack.spawn("down");
    up.end().code(0);
    down.end().code(0).says(&["`docker orch up` (PID ", "waiting up to 30s"]);
    stack.is_gone_but(&[]);
    // What never began leaves no trace among the runs.
    let runs = stack.kept().into_keys().filter(|path| path.ends_with("events.jsonl"));
    assert_eq!(runs.count(), 2);
}

#[test]
fn a_killed_holder_is_no_holder() {
    let stack = Stack::new("lockkill", SLOW);
    let mut up = stack.spawn("up -d");
    up.until("web-1  probing");
    let mut down = stack.spawn("down");
    down.until("waiting up to");
    up.kill();
    down.end().code(0);
    stack.is_gone_but(&[]);
    let mut up = stack.spawn("up -d");
    up.until("web-1  probing");
    up.kill();
    let ran = stack.run("up -d").code(0);
    assert!(!ran.err.contains("waiting up to"), "{}", ran.err);
    assert_eq!(stack.short_names(), ["db-1", "web-1"]);
}

#[test]
fn an_interrupt_while_waiting_ends_it_before_anything_is_changed() {
    let stack = Stack::new("lockint", SLOW);
    let mut up = stack.spawn("up -d");
    up.until("web-1  probing");
    let mut down = stack.spawn("down");
    down.until("waiting up to");
    down.signal("INT");
    down.end().code(130);
    up.end().code(0);
    assert_eq!(stack.running_ids().len(), 2);
}

#[test]
fn an_attached_up_that_only_watches_lets_others_work() {
    let stack = Stack::new("lockwatch", SLOW);
    let mut up = stack.spawn("up");
    up.until(&format!("{}  ready", stack.name));
    for words in ["up -d db", "restart db", "stop web"] {
        let ran = stack.run(words).code(0);
        assert!(!ran.err.contains("waiting up to"), "{words}: {}", ran.err);
    }
    let down = stack.run("down --lock-timeout 20s").code(0);
    assert!(!down.err.contains("waiting up to"), "{}", down.err);
    stack.is_gone_but(&[]);
    up.end();
    stack.is_gone_but(&[]);
}

#[test]
fn an_attached_up_that_is_interrupted_waits_for_another_command() {
    let stack = Stack::new("lockagain", SLOW);
    let mut up = stack.spawn("up");
    up.until(&format!("{}  ready", stack.name));
    stack.write("compose.yaml", &SLOW.replace("--ready-after 2s", "--ready-after 3s"));
    let mut other = stack.spawn("up -d web");
    other.until("web-1  probing");
    up.signal("INT");
    other.end().code(0);
    up.end().code(130).says(&["`docker orch up` (PID ", "waiting up to"]);
    assert!(stack.running().is_empty());
}

#[test]
fn a_state_folder_that_cannot_be_written_is_said_and_stops_nothing() {
    let stack = Stack::new("locknostate", SLOW);
    stack.write("nowhere", "a file");
    let mut up = stack.orch("up -d");
    up.env("XDG_STATE_HOME", stack.folder().join("nowhere"));
    let ran = crate::support::stack::Running::spawn(up).end().code(0);
    assert!(ran.err.contains("nothing keeps other commands from this project"), "{}", ran.err);
    assert_eq!(stack.running_ids().len(), 2);
}

#[test]
fn an_attached_up_does_not_undo_what_another_command_has_changed() {
    let yaml = SLOW.replace("--ready-after 2s", "--ready-after 100ms --term-code 143");
    let stack = Stack::new("locktaken", &yaml);
    let mut up = stack.spawn("up");
    up.until(&format!("{}  ready", stack.name));
    let db = stack.container("db").id;
    // The container that `up` watches ends with a code that is a failure, because another command replaces it.
    stack.write("compose.yaml", &yaml.replace("100ms", "200ms"));
    stack.run("up -d").code(0);
    up.end().code(1).says(&["another command has changed the project since it was ready"]);
    assert_eq!(stack.container("db").id, db);
    assert_eq!(stack.running_ids().len(), 2);
}
