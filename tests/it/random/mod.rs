//! Ten thousand random runs on the simulated engine: what must hold however a run goes.
//!
//! A *world* ([`generate`]) is a random project in three versions ([`project`]) and a few commands on it, each with what
//! goes wrong meanwhile ([`acts`]). It is played in virtual time ([`play`]), and after each command it is looked at from
//! outside ([`invariants`]). What was reached is counted ([`tally`]).
//!
//! Worlds are numbered. `DOCKER_ORCH_SEED=N` plays one world again, `DOCKER_ORCH_WORLDS=N` plays more or fewer,
//! `DOCKER_ORCH_FIRST=N` begins at another one.

#![expect(clippy::print_stdout, reason = "what was reached is part of the record")]

mod acts;
mod generate;
mod invariants;
mod play;
mod project;
mod tally;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use proptest::{strategy::ValueTree as _, test_runner::TestCaseError};

use acts::{Act, Command, Kill, World};
use generate::{runner, tree};
use invariants::Broken;
use play::{Played, play};
use tally::Tally;

/// Runs that are to be made at least.
const RUNS: u64 = 10_000;
/// Worlds that make so many runs.
const WORLDS: u64 = 2800;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// Plays a world in virtual time, on an engine and with a journal of its own.
fn play_alone(world: &World, folder: &Path, tally: &mut Tally) -> Result<Played, Broken> {
    let state = tempfile::tempdir_in(folder).expect("a folder");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let played = catch_unwind(AssertUnwindSafe(|| runtime.block_on(play(world, state.path(), tally))));
    played.unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        let words =
            words.or_else(|| panic.downcast_ref::<&str>().map(|w| (*w).to_owned())).unwrap_or_default();
        Err(Broken::new("nothing panics", words))
    })
}

/// Where journals are written: memory, where there is a folder for that.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("a folder")
}

/// What is wrong in the world of a number, and in the smallest world like it.
fn check(test: &str, seed: u64, each: &dyn Fn(&World) -> Result<(), Broken>) -> Result<(), String> {
    let mut runner = runner(seed);
    let tree = tree(&mut runner);
    let Err(broken) = each(&tree.current()) else { return Ok(()) };
    let again = format!("DOCKER_ORCH_SEED={seed} cargo nextest run --no-capture -E 'test(={test})'");
    if goes_on() {
        return Err(format!("{again}\n  {}", broken.to_string().lines().next().unwrap_or_default()));
    }
    let smallest =
        runner.run_one(tree, |world| each(&world).map_err(|broken| TestCaseError::fail(broken.to_string())));
    let smallest = smallest.err().map(|e| e.to_string()).unwrap_or_default();
    Err(format!("{broken}\n\nthe smallest world like it: {smallest}\n\nto see it again:\n  {again}\n"))
}

/// Whether worlds are played on after one in which something is wrong.
fn goes_on() -> bool {
    std::env::var_os("DOCKER_ORCH_GO_ON").is_some()
}

/// Plays many worlds at once. What is wrong in the first that is wrong fails the test.
fn check_all(
    test: &str,
    count: u64,
    each: impl Fn(&World, &Path, &mut Tally) -> Result<(), Broken> + Sync,
) -> Tally {
    let first = number("DOCKER_ORCH_FIRST").unwrap_or(0);
    let seeds = match number("DOCKER_ORCH_SEED") {
        Some(seed) => seed..seed + 1,
        None => first..first + number("DOCKER_ORCH_WORLDS").unwrap_or(count),
    };
    let began = Instant::now();
    let (next, all, wrong) =
        (AtomicU64::new(seeds.start), Mutex::new(Tally::default()), Mutex::new(Vec::<String>::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let (folder, mine) = (scratch(), Mutex::new(Tally::default()));
                while goes_on() || wrong.lock().unwrap().is_empty() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !seeds.contains(&seed) {
                        break;
                    }
                    let looked =
                        check(test, seed, &|world| each(world, folder.path(), &mut mine.lock().unwrap()));
                    wrong.lock().unwrap().extend(looked.err());
                }
                all.lock().unwrap().add(mine.into_inner().unwrap());
            });
        }
    });
    let (tally, wrong) = (all.into_inner().unwrap(), wrong.into_inner().unwrap());
    println!("{tally}\n{:.1} s", began.elapsed().as_secs_f64());
    assert!(wrong.is_empty(), "after {} worlds: {}", tally.worlds, wrong.join("\n"));
    tally
}

#[test]
fn ten_thousand_runs_keep_their_word() {
    let tally = check_all("random::ten_thousand_runs_keep_their_word", WORLDS, |world, folder, tally| {
        play_alone(world, folder, tally).map(drop)
    });
    let chosen = ["DOCKER_ORCH_SEED", "DOCKER_ORCH_WORLDS"].iter().any(|name| number(name).is_some());
    assert!(chosen || tally.runs() >= RUNS, "only {} runs", tally.runs());
}

/// The world without trouble in its last `up`, killed at every record of that.
#[test]
fn killed_at_any_record_the_next_command_finishes() {
    check_all("random::killed_at_any_record_the_next_command_finishes", 12, |world, folder, tally| {
        let mut world = world.clone();
        world.acts.truncate(2);
        let Some(last) = world.acts.iter().rposition(|act| matches!(act.command, Command::Up(_))) else {
            return Ok(());
        };
        world.acts.truncate(last + 1);
        for act in &mut world.acts {
            *act = Act { pause: act.pause.min(1000), ..Act::calm(act.command) };
        }
        let told = play_alone(&world, folder, tally)?.events;
        // Probes change nothing.
        let changes = |e: &&docker_orch::event::Event| !e.kind.is_droppable();
        for record in told[last].iter().filter(changes).map(|e| e.seq) {
            world.acts[last].killed = Some(Kill::AtRecord(record));
            play_alone(&world, folder, tally)?;
        }
        Ok(())
    });
}

#[test]
fn the_same_world_goes_the_same_way_again() {
    check_all("random::the_same_world_goes_the_same_way_again", 60, |world, folder, tally| {
        let (one, two) = (play_alone(world, folder, tally)?, play_alone(world, folder, tally)?);
        if one == two {
            Ok(())
        } else {
            Err(Broken::new("a world goes the same way again", format!("{one:#?}\n{two:#?}")))
        }
    });
}
