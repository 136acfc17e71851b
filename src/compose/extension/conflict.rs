//! Orders that contradict each other: waves, `depends_on`, and health checks that wait on other services.
//!
//! Each service starts and then is ready; each wave has a gate that opens when the services before it are ready. What
//! waits on what is a graph over these, and a way in it that comes back to itself can never be walked.

use std::collections::BTreeMap;

use super::{check::Reference, wave::Places};
use crate::{
    compose::{circle::circle, tree::Node},
    diagnostic::{Diagnostic, Span},
    project::{Condition, Mode, Project, Require, Service},
};

/// Something that happens once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Moment<'a> {
    Start(&'a str),
    Ready(&'a str),
    Gate(usize),
}

/// Why one moment waits on another.
#[derive(Debug, Clone)]
struct Why {
    /// `None` for what goes without saying: a service is ready after it started.
    said: Option<(Span, String)>,
    /// It is from the waves.
    is_wave: bool,
    /// It is no more than Compose's own `depends_on`, whose cycles are found elsewhere.
    is_compose: bool,
}

type Graph<'a> = BTreeMap<Moment<'a>, Vec<(Moment<'a>, Why)>>;

/// Finds one contradiction, shown from all its sides.
pub(super) fn find(
    tree: &Node,
    project: &Project,
    places: &Places,
    references: &[Reference],
) -> Option<Diagnostic> {
    let mut graph = Graph::new();
    let plain = || Why { said: None, is_wave: false, is_compose: true };
    for (name, service) in &project.services {
        graph.entry(Moment::Ready(name)).or_default().push((Moment::Start(name), plain()));
        add_depends_on(&mut graph, tree, project, name, service);
    }
    for Reference { from, on, span, before_start, stage } in references {
        let what = if *before_start { "waits for" } else { "is ready only with" };
        let why =
            Why { said: Some((*span, format!("{from} {what} {on}"))), is_wave: false, is_compose: false };
        let from = if *before_start { Moment::Start(from) } else { Moment::Ready(from) };
        // A stage may pass long before the service is ready: only that it started is certain to come first.
        let to = if stage.is_some() { Moment::Start(on) } else { Moment::Ready(on) };
        graph.entry(from).or_default().push((to, why));
    }
    if project.orch.startup.mode.is_none_or(|mode| mode == Mode::Waves) {
        add_waves(&mut graph, project, places);
    }
    let next = |moment| graph.get(&moment).into_iter().flatten().map(|(to, why)| (*to, why));
    let cycle: Vec<&Why> = circle(graph.keys().copied(), next)?.into_iter().map(|(_, why)| why).collect();
    describe(&cycle)
}

fn add_depends_on<'a>(
    graph: &mut Graph<'a>,
    tree: &Node,
    project: &'a Project,
    name: &'a str,
    service: &'a Service,
) {
    let block = tree.at(&["services", name, "depends_on"]);
    for (on, dependency) in &service.depends_on {
        if !project.services.contains_key(on) {
            continue;
        }
        let span = block.and_then(|block| match block.as_mapping() {
            Some(mapping) => mapping.entry(on).map(|entry| entry.key),
            None => block.items().find(|item| item.as_str() == Some(on)).map(|item| item.span),
        });
        let moment = match dependency.condition {
            Condition::ServiceStarted => Moment::Start(on),
            Condition::ServiceHealthy | Condition::ServiceCompletedSuccessfully => Moment::Ready(on),
        };
        let said = span.map(|span| (span, format!("{name} depends on {on}")));
        let why = Why { said, is_wave: false, is_compose: true };
        graph.entry(Moment::Start(name)).or_default().push((moment, why));
    }
}

fn add_waves<'a>(graph: &mut Graph<'a>, project: &'a Project, places: &Places) {
    let waves = &project.orch.waves;
    let mut add = |from: Moment<'a>, to: Moment<'a>, said: Option<(Span, String)>| {
        graph.entry(from).or_default().push((to, Why { said, is_wave: true, is_compose: false }));
    };
    for (index, wave) in waves.iter().enumerate() {
        let said = |service: &str| {
            let (_, span) = places.get(service)?;
            Some((*span, format!("{service} is in wave `{}`", wave.name)))
        };
        if index > 0 {
            add(Moment::Gate(index), Moment::Gate(index - 1), None);
        }
        for service in wave.services() {
            if index > 0 {
                add(Moment::Start(service), Moment::Gate(index - 1), said(service));
            }
            let is_critical = project.services.get(service).is_some_and(|service| service.orch.critical);
            if is_critical && wave.ready_when == Require::All {
                add(Moment::Gate(index), Moment::Ready(service), said(service));
            }
        }
        for pair in wave.sequential.windows(2) {
            let said = places
                .get(&pair[1])
                .map(|(_, span)| (*span, format!("{} is started after {}", pair[1], pair[0])));
            add(Moment::Start(&pair[1]), Moment::Ready(&pair[0]), said);
        }
    }
}

/// `None` for a cycle of Compose's own dependencies, which is refused elsewhere.
fn describe(cycle: &[&Why]) -> Option<Diagnostic> {
    if cycle.iter().all(|why| why.is_compose) {
        return None;
    }
    let has_wave = cycle.iter().any(|why| why.is_wave);
    let mut problem = if has_wave {
        Diagnostic::error("wave-order", "the order of the waves contradicts what the services wait for")
            .help("move one of the services to another wave, or drop the dependency")
    } else {
        Diagnostic::error("dependency-cycle", "these services wait for each other")
    };
    // What the waves say comes last: the dependency is the nearer place to edit.
    let (waves, others): (Vec<&Why>, Vec<&Why>) = cycle.iter().partition(|why| why.is_wave);
    let mut seen = Vec::new();
    for (span, text) in others.iter().chain(&waves).filter_map(|why| why.said.as_ref()) {
        if !seen.contains(text) {
            seen.push(text.clone());
            problem = problem.at(*span, text.clone());
        }
    }
    Some(problem)
}
