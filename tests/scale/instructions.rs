//! How many instructions each stage takes, at two sizes, counted by Valgrind: a search through everything in every turn
//! allocates nothing, and is seen here.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::{
    growth::{Figures, outgrown},
    shapes::{Kind, Shape},
    stages::{self, Gauge, Stage},
};

/// Services of the smaller and of the larger project.
const SIZES: [usize; 2] = [100, 400];
/// How much faster than services or edges they may grow, in percent.
const SLACK: u64 = 5;
/// For the program under Valgrind: of how many services its project is.
const SERVICES: &str = "DOCKER_ORCH_SERVICES";
/// Where functions are by which Valgrind tells the stages apart.
const FUNCTIONS: &str = "scale::instructions::counted::in_";

/// One function for each stage.
mod counted {
    macro_rules! stages {
        ($($stage:ident => $name:ident),*) => {
            pub(super) fn stage(stage: super::Stage, work: &mut dyn FnMut()) {
                match stage { $(super::Stage::$stage => $name(work)),* }
            }

            /// The stage that a function counts.
            pub(super) fn stage_of(function: &str) -> Option<super::Stage> {
                match function { $(stringify!($name) => Some(super::Stage::$stage),)* _ => None }
            }

            $(#[inline(never)]
            fn $name(work: &mut dyn FnMut()) {
                work();
            })*
        };
    }
    stages!(
        Load => in_load, Plan => in_plan, Run => in_run, Fail => in_fail, Show => in_show, Again => in_again,
        RunAgain => in_run_again, Replace => in_replace, Undo => in_undo, Down => in_down
    );
}

struct Counted;

impl Gauge for Counted {
    fn stage<T>(&mut self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let (mut work, mut result) = (Some(work), None);
        let mut work = || result = work.take().map(|work| work());
        counted::stage(stage, &mut work);
        result.expect("it was counted")
    }
}

fn kind(services: usize) -> Kind {
    Kind { shape: Shape::Mixed, checked: true, services }
}

#[test]
#[ignore = "the program that the other test has counted"]
fn under_valgrind() {
    stages::all(kind(std::env::var(SERVICES).unwrap().parse().unwrap()), &mut Counted);
}

fn count(services: usize, file: &Path) -> Child {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--quiet", &format!("--callgrind-out-file={}", file.display())]);
    valgrind.arg(format!("--toggle-collect={FUNCTIONS}*")).arg(std::env::current_exe().unwrap());
    valgrind.args(["--exact", "instructions::under_valgrind", "--ignored"]);
    valgrind.env(SERVICES, services.to_string()).stdout(Stdio::null());
    valgrind.spawn().expect("valgrind, which `tests/run` installs")
}

/// What Valgrind has counted in each stage.
fn counts(services: usize, file: &Path) -> Figures {
    let mut annotate = Command::new("callgrind_annotate");
    annotate.args(["--inclusive=yes", "--threshold=100", "--auto=no"]).arg(file);
    let text = String::from_utf8(annotate.output().expect("callgrind_annotate").stdout).unwrap();
    let mut counts = Figures::new();
    for line in text.lines() {
        let Some((cost, function)) = line.split_once(FUNCTIONS) else { continue };
        let name: String = function.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let digits = cost.trim_start().chars().take_while(|c| c.is_ascii_digit() || *c == ',');
        let digits: String = digits.filter(|c| *c != ',').collect();
        if let (Some(stage), Ok(count)) = (counted::stage_of(&format!("in_{name}")), digits.parse::<u64>()) {
            let most = counts.entry(format!("{stage}; instructions")).or_insert(0);
            *most = count.max(*most);
        }
    }
    assert_eq!(counts.len(), 10, "{services} services: {text}");
    counts
}

#[test]
#[ignore = "takes a minute, and needs Valgrind"]
fn they_grow_with_services_and_edges() {
    let folder = tempfile::tempdir().unwrap();
    let files = SIZES.map(|services| folder.path().join(services.to_string()));
    // Both at the same time: what else the machine does changes no count.
    let running = [0, 1].map(|n| count(SIZES[n], &files[n]));
    for mut valgrind in running {
        assert!(valgrind.wait().unwrap().success());
    }
    let [small, large] = [0, 1].map(|n| counts(SIZES[n], &files[n]));
    for (stage, count) in &small {
        println!("{stage}: {count} with {} services, {} with {}", SIZES[0], large[stage], SIZES[1]);
    }
    let wrong = outgrown(SIZES.map(kind), [&small, &large], SLACK);
    assert!(wrong.is_empty(), "\n  {}\n", wrong.join("\n  "));
}
