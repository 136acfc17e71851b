//! `kill -9` at fifty random moments: the next command finishes the job.
//!
//! Each test prints its seed; `DOCKER_ORCH_SEED` gives it again.

#![expect(clippy::print_stdout, reason = "what a test did is part of its record")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// Random numbers (splitmix64).
struct Random(u64);

impl Random {
    /// From a seed that is printed.
    fn new() -> Self {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos().into();
        let given = std::env::var("DOCKER_ORCH_SEED").ok().map(|seed| seed.parse().expect("a number"));
        let seed = given.unwrap_or_else(now);
        println!("DOCKER_ORCH_SEED={seed}");
        Self(seed)
    }

    /// A number below another.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    /// Kills the program once it has printed fewer than `lines` lines, and a little later. Which moment it was.
    fn kill(&mut self, mut running: Running, lines: u64) -> String {
        // Between two lines is where the engine works.
        let (lines, on) = (self.below(lines), Duration::from_millis(self.below(80)));
        let runs = running.let_run(usize::try_from(lines).unwrap_or_default(), on);
        running.kill();
        format!("{} {lines} lines and {on:?}", if runs { "killed after" } else { "it ended before" })
    }
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
    let (stack, mut random) = (Stack::new("killup", YAML), Random::new());
    for _ in 0..14 {
        let killed = random.kill(stack.spawn("up -d"), 26);
        println!("{killed}");
        if random.below(2) == 0 {
            can_go_on(&stack, &killed);
        }
        stack.run("down -v").code(0);
        stack.is_gone_but(&[]);
    }
}

#[test]
fn killed_at_any_moment_of_an_update_the_next_one_finishes() {
    let (stack, mut random) = (Stack::new("killupdate", YAML), Random::new());
    stack.run("up -d").code(0);
    for round in 1..15 {
        let version = |n: u32| YAML.replace("VERSION: '1'", &format!("VERSION: '{n}'"));
        stack.write("compose.yaml", &version(round + 1));
        let killed = random.kill(stack.spawn("up -d"), 20);
        println!("{killed}");
        // Now and then what follows is not the same update, but the end, or the way back.
        match random.below(4) {
            0 => {
                stack.run("down").code(0);
                stack.is_gone_but(&["data"]);
            }
            1 => stack.write("compose.yaml", &version(round)),
            _ => {}
        }
        can_go_on(&stack, &killed);
    }
    stack.run("down -v").code(0);
    stack.is_gone_but(&[]);
}

#[test]
fn killed_at_any_moment_of_a_failing_update_the_next_one_finishes() {
    let (stack, mut random) = (Stack::new("killundo", YAML), Random::new());
    stack.run("up -d").code(0);
    let broken = YAML
        .replace("VERSION: '1'", "VERSION: '2'")
        .replace("--ready-after 100ms", "--exit-after 50ms --exit-code 3");
    for _ in 0..10 {
        stack.write("compose.yaml", &broken);
        let killed = random.kill(stack.spawn("up -d"), 34);
        println!("{killed}");
        stack.write("compose.yaml", YAML);
        can_go_on(&stack, &killed);
    }
    stack.run("down -v").code(0);
    stack.is_gone_but(&[]);
}

#[test]
fn killed_at_any_moment_of_a_down_the_next_command_finishes() {
    let (stack, mut random) = (Stack::new("killdown", YAML), Random::new());
    for _ in 0..12 {
        stack.run("up -d").code(0);
        let killed = random.kill(stack.spawn("down"), 10);
        println!("{killed}");
        if random.below(2) == 0 {
            can_go_on(&stack, &killed);
        }
        stack.run("down").code(0);
        stack.is_gone_but(&["data"]);
    }
}
