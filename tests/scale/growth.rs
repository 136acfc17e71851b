//! What each stage allocates, at two sizes: it may grow with services and edges, and it may not grow from one commit to
//! the next. What is allowed stands in `figures.txt`; [`TAKE`] takes new figures.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use allocation_counter::AllocationInfo;

use crate::{
    shapes::{Kind, Shape},
    stages::{self, Gauge, Stage},
};

/// Figures by what they are of: `chain, checked; load; allocations`.
pub(crate) type Figures = BTreeMap<String, u64>;

/// Services of the smaller and of the larger project.
const SIZES: [usize; 2] = [200, 800];
/// How much faster than services or edges a figure may grow, and how much greater than noted it may be, in percent:
/// lists that grow have room to spare.
const SLACK: u64 = 15;
/// Set to anything, it has the figures noted instead of looked at.
const TAKE: &str = "DOCKER_ORCH_TAKE_FIGURES";

#[derive(Default)]
struct Allocations(Vec<(Stage, AllocationInfo)>);

impl Gauge for Allocations {
    fn stage<T>(&mut self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let mut result = None;
        let allocated = allocation_counter::measure(|| result = Some(work()));
        self.0.push((stage, allocated));
        result.expect("it was measured")
    }
}

fn figures(kind: Kind) -> Figures {
    let mut allocations = Allocations::default();
    stages::all(kind, &mut allocations);
    let named = |(stage, info): (Stage, AllocationInfo)| {
        [("allocations", info.count_total), ("bytes", info.bytes_total), ("peak bytes", info.bytes_max)]
            .map(|(what, figure)| (format!("{kind}; {stage}; {what}"), figure))
    };
    allocations.0.into_iter().flat_map(named).collect()
}

/// What has grown faster than the project, by so many percent, in words.
pub(crate) fn outgrown([small, large]: [Kind; 2], [before, after]: [&Figures; 2], slack: u64) -> Vec<String> {
    let percent = |of: fn(Kind) -> usize| (of(large) * 100 / of(small).max(1)) as u64;
    let limit = percent(|kind| kind.services).max(percent(Kind::edges)) * (100 + slack) / 100;
    let grown = before.iter().map(|(name, figure)| (name, *figure, after[name]));
    let too_fast = grown.filter(|(_, figure, then)| *then * 100 > *figure * limit);
    let words = |(name, figure, then): (&String, u64, u64)| {
        format!(
            "{name}: {figure} with {} services and {} edges, {then} with {} and {}: {} %, and {limit} % are allowed",
            small.services,
            small.edges(),
            large.services,
            large.edges(),
            then * 100 / figure.max(1),
        )
    };
    too_fast.map(words).collect()
}

/// What is greater than it was when figures were taken last, in words.
fn increased(known: &Figures, now: &Figures) -> Vec<String> {
    let words = |(name, now): (&String, &u64)| match known.get(name) {
        Some(figure) if *now <= figure * (100 + SLACK) / 100 => None,
        Some(figure) => Some(format!("{name}: {figure} when figures were taken, {now} now")),
        None => Some(format!("{name}: {now}, and no figure to compare it with")),
    };
    now.iter().filter_map(words).collect()
}

fn look_at(shape: Shape) {
    let kinds = SIZES.map(|services| Kind { shape, checked: true, services });
    let [small, large] = kinds.map(figures);
    let mut wrong = outgrown(kinds, [&small, &large], SLACK);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scale/figures.txt");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    let mut known: Figures = lines.map(|(name, figure)| (name.to_owned(), figure.parse().unwrap())).collect();
    if std::env::var_os(TAKE).is_some() {
        known.extend(large);
        let text = known.iter().fold(String::new(), |mut text, (name, figure)| {
            writeln!(text, "{name}: {figure}").unwrap();
            text
        });
        std::fs::write(path, text).unwrap();
    } else {
        wrong.extend(increased(&known, &large));
    }
    let wrong = wrong.join("\n  ");
    assert!(
        wrong.is_empty(),
        "\n  {wrong}\n\nwhere that is meant, `{TAKE}=1 cargo test --test scale growth -- --test-threads 1` takes new \
         figures; nothing but a change of the limit lets something grow faster than the project\n"
    );
}

#[test]
fn a_chain() {
    look_at(Shape::Chain);
}

#[test]
fn layers() {
    look_at(Shape::Layers);
}

#[test]
fn many_side_by_side() {
    look_at(Shape::Wide);
}

#[test]
fn waves() {
    look_at(Shape::Waves);
}

#[test]
fn one_on_all_others() {
    look_at(Shape::Star);
}
