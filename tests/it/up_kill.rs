//! `kill -9` at fifty random moments: the next command finishes the job.
//!
//! Each test prints its seed; `DOCKER_ORCH_SEED` gives it again.

use std::time::Duration;

use crate::support::{
    chance::Random,
    stack::{Running, Stack, chain_of_three},
};

/// The last of the three is ready soon.
fn file() -> String {
    chain_of_three("100ms")
}

/// Kills the program once it has printed fewer than `lines` lines, and a little later. Which moment it was.
fn kill(random: &mut Random, mut running: Running, lines: u64) -> String {
    // Between two lines is where the engine works.
    let (lines, on) = (random.below(lines), Duration::from_millis(random.below(80)));
    let runs = running.let_run(usize::try_from(lines).unwrap_or_default(), on);
    running.kill();
    format!("{} {lines} lines and {on:?}", if runs { "killed after" } else { "it ended before" })
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
    let (stack, mut random) = (Stack::new("killup", &file()), Random::new());
    for _ in 0..14 {
        let killed = kill(&mut random, stack.spawn("up -d"), 26);
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
    let (stack, mut random) = (Stack::new("killupdate", &file()), Random::new());
    stack.run("up -d").code(0);
    for round in 1..15 {
        let version = |n: u32| file().replace("VERSION: '1'", &format!("VERSION: '{n}'"));
        stack.write("compose.yaml", &version(round + 1));
        let killed = kill(&mut random, stack.spawn("up -d"), 20);
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
    let (stack, mut random) = (Stack::new("killundo", &file()), Random::new());
    stack.run("up -d").code(0);
    let broken = file()
        .replace("VERSION: '1'", "VERSION: '2'")
        .replace("--ready-after 100ms", "--exit-after 50ms --exit-code 3");
    for _ in 0..10 {
        stack.write("compose.yaml", &broken);
        let killed = kill(&mut random, stack.spawn("up -d"), 34);
        println!("{killed}");
        stack.write("compose.yaml", &file());
        can_go_on(&stack, &killed);
    }
    stack.run("down -v").code(0);
    stack.is_gone_but(&[]);
}

#[test]
fn killed_at_any_moment_of_a_down_the_next_command_finishes() {
    let (stack, mut random) = (Stack::new("killdown", &file()), Random::new());
    for _ in 0..12 {
        stack.run("up -d").code(0);
        let killed = kill(&mut random, stack.spawn("down"), 10);
        println!("{killed}");
        if random.below(2) == 0 {
            can_go_on(&stack, &killed);
        }
        stack.run("down").code(0);
        stack.is_gone_but(&["data"]);
    }
}
