//! Interrupts: what a command leaves when it is told to end.

use std::time::{Duration, Instant};

use crate::support::stack::{Stack, chain_of_three};

/// The last of the three needs a moment.
fn file() -> String {
    chain_of_three("1s")
}

/// The same with new containers for `api` and `web`, of which `web` is never ready.
fn never_ready() -> String {
    chain_of_three("never").replace("VERSION: '1'", "VERSION: '2'")
}

/// When each service was ended, dependents first.
fn ends(stack: &Stack) -> Vec<String> {
    ["web", "api", "db"].iter().map(|s| stack.container(s).finished).collect()
}

#[test]
fn one_interrupt_stops_a_new_project_in_reverse_order() {
    for signal in ["INT", "TERM"] {
        let stack = Stack::new(&format!("{}1", signal.to_lowercase()), &never_ready());
        let mut up = stack.spawn("up -d");
        up.until("web-1  probing");
        up.signal(signal);
        up.end().code(130).says(&["interrupted"]);
        assert!(stack.running().is_empty(), "{signal}");
        assert!(ends(&stack).is_sorted(), "{signal}: {:?}", ends(&stack));
        assert_eq!(stack.short_names(), ["api-1", "db-1", "web-1"]);
    }
}

#[test]
fn an_interrupt_before_all_are_started_starts_no_more() {
    let yaml = file().replace("command: --port 80\n", "command: --port 80 --ready-after never\n");
    let stack = Stack::new("early", &yaml);
    let mut up = stack.spawn("up -d");
    up.until("api-1  probing");
    up.signal("INT");
    up.end().code(130);
    assert!(stack.running().is_empty());
    assert!(stack.container("web").started.starts_with("0001"), "web was started");
}

#[test]
fn an_interrupted_update_brings_the_old_containers_back() {
    let stack = Stack::new("intupdate", &file());
    stack.run("up -d").code(0);
    let before = stack.running_ids();
    stack.write("compose.yaml", &never_ready());
    let mut up = stack.spawn("up -d");
    up.until("web-1  starting");
    up.signal("INT");
    up.end().code(130).says(&["rolled back"]);
    assert_eq!(stack.running_ids(), before);
    assert_eq!(stack.short_names(), ["api-1", "db-1", "web-1"]);
}

#[test]
fn two_interrupts_kill() {
    let yaml = never_ready().replace("--tcp 5432", "--tcp 5432 --ignore-term");
    let stack = Stack::new("twice", &yaml);
    let mut up = stack.spawn("up -d");
    up.until("web-1  probing");
    up.signal("INT");
    up.until("db-1   stopping");
    let second = Instant::now();
    up.signal("INT");
    up.end().code(130).says(&["killing"]);
    assert!(second.elapsed() < Duration::from_secs(8), "a grace of 10 s was waited for");
    assert!(stack.running().is_empty());
    assert_eq!(stack.container("db").exit_code, 137);
}

#[test]
fn an_interrupt_of_an_attached_run_stops_in_reverse_order() {
    let stack = Stack::new("attached", &file());
    let mut up = stack.spawn("up");
    up.until(&format!("{}  ready", stack.name));
    up.signal("INT");
    let ran = up.end().code(130);
    assert!(ran.out.contains("stopping on signal 15"), "{}", ran.out);
    assert!(stack.running().is_empty());
    assert!(ends(&stack).is_sorted(), "{:?}", ends(&stack));
}

#[test]
fn an_interrupted_down_is_finished_by_the_next() {
    let stack = Stack::new("intdown", &file().replace("--tcp 5432", "--tcp 5432 --term-after 2s"));
    stack.run("up -d").code(0);
    let mut down = stack.spawn("down");
    down.until("db-1   stopping");
    down.signal("INT");
    down.end().code(130);
    stack.run("down").code(0);
    stack.is_gone_but(&["data"]);
}
