//! The daemon is killed and started again in the middle of an `up`: it ends in success, or in a rollback that is
//! explained.

#![expect(clippy::print_stdout, reason = "what a test did is part of its record")]

use std::time::Duration;

use crate::support::{
    chance::Random,
    daemon::Daemon,
    stack::{Ran, Running, Stack},
};

const YAML: &str = "
services:
  db:
    image: docker-orch-example
    command: --log-when-ready 'db is up'
    volumes: [data:/data]
    stop_grace_period: 2s
    x-orch: {health_check: {log: db is up}}
  api:
    image: docker-orch-example
    command: --port 80 --ready-after 4s
    depends_on: {db: {condition: service_healthy}}
    stop_grace_period: 2s
    x-orch: {health_check: {http: ':80/health'}}
  web:
    image: docker-orch-example
    depends_on: {api: {condition: service_healthy}}
    stop_grace_period: 2s
volumes: {data: {}}
";

fn call(stack: &Stack, daemon: &Daemon, words: &str) -> Running {
    let mut command = stack.orch(words);
    command.env("DOCKER_HOST", daemon.host());
    Running::spawn(command)
}

/// What the daemon has, as the Docker CLI lists it.
fn listed(stack: &Stack, daemon: &Daemon, words: &[&str]) -> Vec<String> {
    let filter = format!("label=com.docker.compose.project={}", stack.name);
    let mut command = stack.hermetic("docker");
    command.env("DOCKER_HOST", daemon.host()).args(words).args(["--filter", &filter]);
    let output = command.output().expect("the Docker CLI");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

fn running(stack: &Stack, daemon: &Daemon) -> usize {
    listed(stack, daemon, &["ps", "-q"]).len()
}

fn is_gone(stack: &Stack, daemon: &Daemon) {
    let containers = listed(stack, daemon, &["ps", "-a", "--format", "{{.Names}} {{.Status}}"]);
    let networks = listed(stack, daemon, &["network", "ls", "--format", "{{.Name}}"]);
    assert_eq!((containers, networks), (vec![], vec![]));
    assert_eq!(listed(stack, daemon, &["volume", "ls", "-q"]).len(), 1, "the volume stays");
}

/// Kills the daemon when the `up` has said these words, starts it again, and looks at what came of it.
fn killed_at(words: &str, daemon: &mut Daemon, stack: &Stack) -> Ran {
    let mut up = call(stack, daemon, "up -d");
    up.until(words);
    survived(up, words, daemon, stack)
}

/// The same at random moments; `DOCKER_ORCH_MOMENTS` says at how many.
fn killed_at_random(daemon: &mut Daemon, stack: &Stack) {
    let given = std::env::var("DOCKER_ORCH_MOMENTS").ok();
    let moments = given.map_or(2, |text| text.parse().expect("a number"));
    let mut random = Random::new();
    for _ in 0..moments {
        let (lines, on) = (random.below(14), Duration::from_millis(random.below(400)));
        let mut up = call(stack, daemon, "up -d");
        // What has ended before the daemon does is nothing to look at.
        if !up.let_run(usize::try_from(lines).unwrap_or_default(), on) {
            drop(up.end().code(0));
            drop(call(stack, daemon, "down").end().code(0));
            continue;
        }
        drop(survived(up, &format!("{lines} lines and {on:?}"), daemon, stack));
    }
}

fn survived(up: Running, moment: &str, daemon: &mut Daemon, stack: &Stack) -> Ran {
    daemon.kill();
    daemon.start_again();
    let ran = up.end();
    println!("killed at `{moment}`: {}\n{}", ran.exit_code(), ran.err);
    assert!(!ran.err.contains("panicked") && !ran.err.contains("internal error"), "{}", ran.err);
    match ran.exit_code() {
        0 => assert_eq!(running(stack, daemon), 3, "{}", ran.err),
        1 | 3 | 4 => {
            assert!(ran.err.contains("rolled back"), "{}", ran.err);
            is_gone(stack, daemon);
        }
        code => panic!("it ended with {code}:\n{}", ran.err),
    }
    call(stack, daemon, "down").end().code(0);
    is_gone(stack, daemon);
    ran
}

fn with_daemon(test: &str, options: &[&str], each: impl Fn(&mut Daemon, &Stack)) {
    match Daemon::start(options) {
        Ok(mut daemon) => each(&mut daemon, &Stack::new(test, YAML)),
        Err(why) => println!("nothing is tested here: {why}"),
    }
}

#[test]
fn a_daemon_that_takes_its_containers_along_is_survived() {
    with_daemon("daemon", &[], |daemon, stack| {
        for words in ["network created", "db-1   starting", "api-1  probing"] {
            killed_at(words, daemon, stack);
        }
        killed_at_random(daemon, stack);
    });
}

#[test]
fn with_live_restore_the_start_goes_on() {
    with_daemon("liverestore", &["--live-restore"], |daemon, stack| {
        for words in ["network created", "db-1   starting"] {
            killed_at(words, daemon, stack);
        }
        // Nothing was asked for meanwhile, and nothing was lost.
        drop(killed_at("api-1  probing", daemon, stack).code(0));
        killed_at_random(daemon, stack);
    });
}
