//! Every Compose attribute reaches the engine as Docker Compose sends it: the engine's inspect of everything that a
//! project is made of is the same after `docker compose up` and after `docker orch up`, and neither of the two finds
//! anything to change in what the other one made.
//!
//! A stack is a file in `stacks/`. What Compose ignores in it is for [`bench`], which brings it up.

mod bench;
mod seen;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use bench::Bench;
use seen::{Seen, differences};

macro_rules! stacks {
    ($($test:ident $file:literal $first:ident,)*) => {
        $(#[test]
        fn $test() {
            same_as_compose($file, &First::$first);
        })*

        #[test]
        fn every_stack_is_tried() {
            let files = std::fs::read_dir(bench::folder()).unwrap();
            let files = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let tried = [$($file),*].map(|file| format!("{file}.yaml"));
            assert_eq!(files.collect::<BTreeSet<_>>(), tried.into());
        }
    };
}

stacks! {
    build "build" Compose,
    build_from "build-from" Orch,
    created "created" Orch,
    depends "depends" Compose,
    deploy "deploy" Orch,
    devices "devices" Compose,
    devices_by_name "devices-by-name" Orch,
    environment "environment" Compose,
    files "files" Orch,
    health "health" Compose,
    links "links" Orch,
    logging "logging" Compose,
    namespaces "namespaces" Orch,
    networks "networks" Compose,
    newer "newer" Orch,
    plain "plain" Compose,
    ports "ports" Orch,
    process "process" Compose,
    resources "resources" Orch,
    security "security" Compose,
    socket "socket" Orch,
    volumes "volumes" Compose,
}

/// Who brings a stack up first: each then finds the machine as the other one left it.
enum First {
    Compose,
    Orch,
}

/// Brings the stack up with both programs, one after the other, under the same name, and compares.
fn same_as_compose(file: &str, first: &First) {
    let Some(bench) = Bench::new(file) else { return };
    let (by_compose, by_orch) = match first {
        First::Compose => {
            let by_compose = by_compose(&bench);
            (by_compose, by_orch(&bench))
        }
        First::Orch => {
            let by_orch = by_orch(&bench);
            (self::by_compose(&bench), by_orch)
        }
    };
    let told = differences(&by_compose, &by_orch);
    if !told.is_empty() {
        let again = differences(&by_compose, &self::by_compose(&bench));
        assert!(again.is_empty(), "Compose itself does not make the same twice:\n{}", again.join("\n"));
    }
    assert!(told.is_empty(), "Compose's value, then ours:\n{}", told.join("\n"));
}

/// What Compose makes. Ours finds nothing to do, and takes it down.
fn by_compose(bench: &Bench) -> Seen {
    bench.compose(bench.up());
    let seen = bench.seen();
    let plan = bench.orch(&bench.up().replace("up", "plan --format json").replace(" -d", "")).out;
    let plan: Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(plan["steps"], json!([]), "the plan after Compose's `up`");
    bench.orch("down -v -t 0");
    bench.stack.is_gone_but(&[]);
    seen
}

/// What ours makes. Compose finds nothing to do, and takes it down.
fn by_orch(bench: &Bench) -> Seen {
    bench.orch(bench.up());
    let seen = bench.seen();
    let dry = bench.compose(&format!("--dry-run {}", bench.up())).err;
    let changes: Vec<&str> = dry.lines().filter(|l| l.contains("reat") || l.contains("Remov")).collect();
    assert_eq!(changes, Vec::<&str>::new(), "what Compose would do after our `up`");
    bench.compose("down -v -t 0");
    bench.stack.is_gone_but(&[]);
    seen
}
