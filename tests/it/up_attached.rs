//! An attached `up`: logs, what ends it, and the exit code.

use crate::support::stack::Stack;

#[test]
fn logs_carry_the_containers_name_and_the_run_ends_with_the_last_container() {
    let yaml = "
services:
  one: {image: docker-orch-example, command: --oneshot --log 'hello from one'}
  two: {image: docker-orch-example, command: --oneshot --log 'hello from two', depends_on: [one]}
";
    let stack = Stack::new("logs", yaml);
    let ran = stack.run("up").code(0);
    for line in ["one-1  | hello from one", "two-1  | hello from two"] {
        assert!(ran.out.lines().any(|l| l == line), "no `{line}` in:\n{}", ran.out);
    }
    assert!(!ran.err.contains("hello from"), "{}", ran.err);
    assert!(!ran.out.contains('\u{1b}') && !ran.err.contains('\u{1b}'));
}

/// A service, and tests that end with this code once it is ready.
fn ci(code: u8) -> String {
    format!(
        "
services:
  db:
    image: docker-orch-example
    command: --tcp 5432
    x-orch: {{health_check: {{tcp: 5432}}}}
  tests:
    image: docker-orch-example
    command: --requires db:5432 --exit-after 300ms --exit-code {code}
    depends_on: {{db: {{condition: service_healthy}}}}
"
    )
}

#[test]
fn exit_code_from_gives_the_code_of_the_service_and_ends_the_others() {
    for code in [0, 42] {
        let stack = Stack::new(&format!("code{code}"), &ci(code));
        let ran = stack.run("up --exit-code-from tests").code(i32::from(code));
        assert!(ran.out.contains("exiting with"), "{}", ran.out);
        assert!(stack.running().is_empty());
        assert_eq!(stack.short_names(), ["db-1", "tests-1"]);
    }
}

#[test]
fn abort_on_container_exit_ends_with_the_first_exit() {
    let stack = Stack::new("abort", &ci(7));
    stack.run("up --abort-on-container-exit").code(7).says(&["stopping: a container exited"]);
    assert!(stack.running().is_empty());
}

#[test]
fn abort_on_container_failure_goes_on_after_a_success() {
    let yaml = ci(0) + "  late: {image: docker-orch-example, command: --exit-after 1s --exit-code 9}\n";
    let stack = Stack::new("abortfail", &yaml);
    stack.run("up --abort-on-container-failure").code(9);
    assert!(stack.running().is_empty());
}

#[test]
fn a_container_that_the_engine_restarts_is_followed_through_its_lives() {
    let yaml = "
services:
  web:
    image: docker-orch-example
    command: --fail-starts 1 --log 'a new life' --port 80
    restart: on-failure
    x-orch: {health_check: {http: ':80/health'}}
";
    let stack = Stack::new("lives", yaml);
    let mut up = stack.spawn("up");
    up.until(&format!("{}  ready", stack.name));
    assert_eq!(stack.container("web").raw["RestartCount"], 1);
    up.signal("INT");
    let ran = up.end().code(130);
    assert_eq!(ran.out.matches("a new life").count(), 2, "{}", ran.out);
}

#[test]
fn what_was_running_goes_on_when_an_attached_up_is_interrupted_only_to_be_stopped() {
    let stack = Stack::new("reattach", &ci(0).replace("--exit-after 300ms", "--tcp 1"));
    stack.run("up -d").code(0);
    let mut up = stack.spawn("up");
    up.until(&format!("{}  ready", stack.name));
    up.signal("INT");
    up.end().code(130);
    assert!(stack.running().is_empty());
    assert_eq!(stack.short_names(), ["db-1", "tests-1"]);
}
