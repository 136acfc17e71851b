//! `kill -9` at any moment: the next command finishes the job.

use std::time::Duration;

use crate::support::stack::{Running, Stack};

/// Three services, one behind the other.
const YAML: &str = "
services:
  db:
    image: docker-orch-example
    command: --tcp 5432
    volumes: [data:/data]
    x-orch: {health_check: {tcp: 5432}}
  api:
    image: docker-orch-example
    command: --port 80
    environment: {VERSION: '1'}
    depends_on: {db: {condition: service_healthy}}
    x-orch: {health_check: {http: ':80/health'}}
  web:
    image: docker-orch-example
    command: --port 80 --ready-after 100ms
    environment: {VERSION: '1'}
    depends_on: {api: {condition: service_healthy}}
    x-orch: {health_check: {http: ':80/health'}}
volumes:
  data: {}
";

/// Kills the program after so many lines of its output, and a little later, until it ends before that.
/// `ended`: it ran to its end, so every moment has been tried.
fn killed_after(mut running: Running, lines: usize) -> bool {
    // Between two lines is where the engine works.
    let on = Duration::from_millis([0, 15, 60][lines / 3 % 3]);
    let runs = running.let_run(lines, on);
    running.kill();
    runs
}

/// The next `up` succeeds and leaves the containers under their names; the next `down` leaves nothing.
#[track_caller]
fn can_go_on(stack: &Stack, killed: &str) {
    stack.run("up -d").code(0);
    assert_eq!(stack.short_names(), ["api-1", "db-1", "web-1"], "{killed}");
    assert_eq!(stack.running_ids().len(), 3, "{killed}");
}

#[test]
fn killed_at_any_moment_of_a_first_up_the_next_one_finishes() {
    let stack = Stack::new("killup", YAML);
    for lines in (1..).step_by(3) {
        let runs = killed_after(stack.spawn("up -d"), lines);
        if lines % 2 == 0 {
            can_go_on(&stack, &format!("after {lines} lines"));
        }
        stack.run("down -v").code(0);
        stack.is_gone_but(&[]);
        if !runs {
            assert!(lines > 12, "only {lines} moments were tried");
            break;
        }
    }
}

#[test]
fn killed_at_any_moment_of_an_update_the_next_one_finishes() {
    let stack = Stack::new("killupdate", YAML);
    stack.run("up -d").code(0);
    for lines in (1..).step_by(3) {
        let version = format!("VERSION: '{}'", lines + 1);
        stack.write("compose.yaml", &YAML.replace("VERSION: '1'", &version));
        let runs = killed_after(stack.spawn("up -d"), lines);
        // Now and then what follows is not the same update, but the end, or the way back.
        match lines % 4 {
            1 => {
                stack.run("down").code(0);
                stack.is_gone_but(&["data"]);
            }
            3 => stack.write("compose.yaml", &YAML.replace("VERSION: '1'", &format!("VERSION: '{lines}'"))),
            _ => {}
        }
        can_go_on(&stack, &format!("after {lines} lines"));
        if !runs {
            assert!(lines > 8, "only {lines} moments were tried");
            break;
        }
    }
    stack.run("down -v").code(0);
    stack.is_gone_but(&[]);
}

#[test]
fn killed_at_any_moment_of_a_failing_update_the_next_one_finishes() {
    let stack = Stack::new("killundo", YAML);
    stack.run("up -d").code(0);
    let broken = YAML
        .replace("VERSION: '1'", "VERSION: '2'")
        .replace("--ready-after 100ms", "--exit-after 50ms --exit-code 3");
    for lines in (8..).step_by(3) {
        stack.write("compose.yaml", &broken);
        let runs = killed_after(stack.spawn("up -d"), lines);
        stack.write("compose.yaml", YAML);
        can_go_on(&stack, &format!("after {lines} lines"));
        if !runs {
            assert!(lines > 16, "only {lines} moments were tried");
            break;
        }
    }
    stack.run("down -v").code(0);
    stack.is_gone_but(&[]);
}

#[test]
fn killed_at_any_moment_of_a_down_the_next_command_finishes() {
    let stack = Stack::new("killdown", YAML);
    for lines in (1..).step_by(3) {
        stack.run("up -d").code(0);
        let runs = killed_after(stack.spawn("down"), lines);
        if lines % 2 == 0 {
            can_go_on(&stack, &format!("after {lines} lines"));
        }
        stack.run("down").code(0);
        stack.is_gone_but(&["data"]);
        if !runs {
            assert!(lines > 4, "only {lines} moments were tried");
            break;
        }
    }
}
