//! A health check in any of its forms, lowered to a list of stages.

use std::time::Duration;

use super::{
    http::Scope,
    probe::{self, Lowered},
    recipe,
    shape::{boolean, share, text, whole},
};
use crate::{
    compose::{tree::Node, units},
    diagnostic::{Diagnostic, Span},
    project::{BreakerSpec, Check, HealthSpec, ProbeSpec, Progress, Require, Stage},
};

/// The name of a stage whose file gives it none.
const READY: &str = "ready";

/// What is wrong, and which services and stages are named.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) problems: Vec<Diagnostic>,
    pub(super) references: Vec<Reference>,
}

/// A service, or a stage of one, that another service names.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    /// Who names it.
    pub(super) from: String,
    /// The service named.
    pub(super) on: String,
    /// Where.
    pub(super) span: Span,
    /// The stage named, and where.
    pub(super) stage: Option<(String, Span)>,
    /// The start waits on it, rather than only the readiness.
    pub(super) before_start: bool,
}

impl Found {
    /// Notes that a health check of `from` names `on`.
    pub(super) fn refer(&mut self, from: &str, on: &str, span: Span, stage: Option<(String, Span)>) {
        let (from, on) = (from.to_owned(), on.to_owned());
        self.references.push(Reference { from, on, span, stage, before_start: false });
    }
}

/// What a group of checks gives to each of them.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    interval: Option<Duration>,
    timeout: Option<Duration>,
    start_period: Option<Duration>,
    successes: Option<u32>,
    failures: Option<u32>,
}

impl Times {
    /// What stands in this mapping, else what was given before.
    fn read(node: &Node, given: Self) -> Self {
        Self {
            interval: duration(node, "interval").or(given.interval),
            timeout: duration(node, "timeout").or(given.timeout),
            start_period: duration(node, "start_period").or(given.start_period),
            successes: count(node, "success_threshold").or(given.successes),
            failures: count(node, "failure_threshold").or_else(|| count(node, "retries")).or(given.failures),
        }
    }
}

/// Reads a service's `health_check`. `None` where something is wrong, which is then said in `found`.
pub(super) fn health(node: &Node, scope: &Scope<'_>, found: &mut Found) -> Option<HealthSpec> {
    if node.as_mapping().is_none() || node.get("recipe").is_some_and(|recipe| !recipe.is_null()) {
        return recipe::read(node, scope, found);
    }
    let declared = node.get("type").map(text);
    let is = |kind: &str, key: &str| {
        declared.as_deref() == Some(kind) || (declared.is_none() && node.get(key).is_some())
    };
    let (is_staged, is_composite) = (is("staged", "stages"), is("composite", "checks"));
    let only_others = node.get("dependency_checks").is_some() && !says_what(node);
    let mut stages = if is_staged {
        read_stages(node, scope, found)?
    } else if is_composite || only_others {
        vec![group(node, name_of(node), Times::read(node, Times::default()), scope, found)]
    } else {
        let check = one(node, Some(READY), Times::default(), scope, found)?;
        // The one check and its stage are the same thing: what is not critical is the stage.
        let critical = check.critical;
        let name = check.name.clone();
        let mut stage = stage_of(name, vec![Check { critical: true, ..check }]);
        stage.critical = critical;
        vec![stage]
    };
    let others = node.get("dependency_checks").into_iter().flat_map(Node::items);
    let others: Vec<Check> =
        others.filter_map(|other| one(other, None, Times::default(), scope, found)).collect();
    if let Some(last) = stages.last_mut() {
        last.checks.extend(others);
    }
    if is_staged {
        guard(node, stages.iter_mut().flat_map(|stage| &mut stage.checks), found);
    }
    let progress = progress(node, found);
    for stage in &mut stages {
        follow(stage, progress.as_ref());
    }
    let liveness = node.get("liveness").map(|node| liveness(node, scope, found));
    if let Some(empty) = stages.iter().chain(&liveness).find(|stage| stage.checks.is_empty()) {
        let message = format!("stage {} has no checks", empty.name);
        if found.problems.is_empty() {
            let missing = Diagnostic::error("missing-check", message).at(node.span, "");
            found.problems.push(missing.help("give it one, such as `http: :8080/health` or `tcp: 5432`"));
        }
        return None;
    }
    Some(HealthSpec { stages, liveness, recipe: None })
}

/// Gives a stage without progress of its own the one that stands above it. What must move is given up where it never
/// does.
fn follow(stage: &mut Stage, above: Option<&Progress>) {
    stage.progress = stage.progress.take().or_else(|| above.cloned());
    stage.timeout = stage.timeout.or(stage.progress.as_ref().map(|progress| progress.extend));
}

/// Reads `progress`.
pub(super) fn progress(node: &Node, found: &mut Found) -> Option<Progress> {
    let node = node.get("progress").filter(|node| !node.is_null())?;
    let Some(log) = node.get("log").filter(|log| !log.is_null()) else {
        let problem = Diagnostic::error("missing-pattern", "progress needs the `log` pattern that shows it");
        found.problems.push(problem.at(node.span, "").help("write `progress: {log: 'loaded (\\d+)%'}`"));
        return None;
    };
    Some(Progress {
        log: probe::pattern(log, found)?,
        extend: duration(node, "extend").filter(|d| !d.is_zero()).unwrap_or(Duration::from_mins(1)),
        at_most: duration(node, "at_most").filter(|d| !d.is_zero()).unwrap_or(Duration::from_mins(15)),
    })
}

fn read_stages(node: &Node, scope: &Scope<'_>, found: &mut Found) -> Option<Vec<Stage>> {
    let given = Times::read(node, Times::default());
    let mut stages: Vec<(Stage, Span)> = Vec::new();
    for (index, item) in node.get("stages").into_iter().flat_map(Node::items).enumerate() {
        let name = item.get("name").map_or_else(|| format!("stage-{}", index + 1), text);
        if let Some((_, first)) = stages.iter().find(|(stage, _)| stage.name == name) {
            found.problems.push(
                Diagnostic::error("duplicate-stage", format!("there are two stages named `{name}`"))
                    .at(item.span, "")
                    .at(*first, "the first")
                    .help("others wait for a stage by its name: give each its own"),
            );
        }
        // The timeout is the stage's: its own checks do not inherit it.
        let times = Times { timeout: given.timeout, ..Times::read(item, given) };
        let mut stage = if item.get("checks").is_some() {
            group(item, name, times, scope, found)
        } else {
            let check = one(item, Some(&name), times, scope, found)?;
            stage_of(
                name,
                vec![Check {
                    timeout: default_timeout(&check.probe, times.timeout),
                    critical: true,
                    ..check
                }],
            )
        };
        stage.timeout = duration(item, "timeout");
        stage.progress = progress(item, found);
        stage.start_period = duration(item, "start_period").unwrap_or_default();
        stage.critical = item.get("critical").and_then(boolean).unwrap_or(true);
        stages.push((stage, item.span));
    }
    if stages.is_empty() {
        found.problems.push(
            Diagnostic::error("missing-check", "a staged check needs `stages`").at(node.span, "").help(
                "list them in order: `stages: [{name: listening, tcp: 8080}, {name: ready, http: /health}]`",
            ),
        );
        return None;
    }
    Some(stages.into_iter().map(|(stage, _)| stage).collect())
}

/// Checks that run together, each with what is given to all.
fn group(node: &Node, name: String, times: Times, scope: &Scope<'_>, found: &mut Found) -> Stage {
    let items = node.get("checks").into_iter().flat_map(Node::items);
    let mut checks: Vec<Check> = items.filter_map(|item| one(item, None, times, scope, found)).collect();
    guard(node, &mut checks, found);
    let mut stage = stage_of(name, checks);
    stage.require = node.get("require").and_then(|node| share(&text(node)).ok()).unwrap_or_default();
    stage
}

pub(super) fn liveness(node: &Node, scope: &Scope<'_>, found: &mut Found) -> Stage {
    let name = node.get("name").map_or_else(|| "liveness".to_owned(), text);
    let mut stage = if node.get("checks").is_some() {
        group(node, name, Times::read(node, Times::default()), scope, found)
    } else {
        let check = one(node, Some(&name), Times::default(), scope, found);
        stage_of(name, check.into_iter().map(|check| Check { critical: true, ..check }).collect())
    };
    stage.start_period = duration(node, "start_period").unwrap_or_default();
    stage.critical = node.get("critical").and_then(boolean).unwrap_or(true);
    stage
}

/// One check. `title`: its name where the file gives none; `None`: what it does.
pub(super) fn single(node: &Node, title: &str, scope: &Scope<'_>, found: &mut Found) -> Option<Check> {
    one(node, Some(title), Times::default(), scope, found)
}

fn one(
    node: &Node,
    title: Option<&str>,
    given: Times,
    scope: &Scope<'_>,
    found: &mut Found,
) -> Option<Check> {
    let Lowered { probe, name, timeout } = probe::lower(node, scope, found)?;
    let times = Times::read(node, given);
    let name = match (node.get("name"), title) {
        (Some(given), _) => text(given),
        (None, Some(title)) => title.to_owned(),
        (None, None) => name,
    };
    let limit = default_timeout(&probe, times.timeout);
    let mut check = Check {
        name,
        breaker: None,
        interval: times.interval.filter(|d| !d.is_zero()).unwrap_or(Duration::from_secs(10)),
        timeout: timeout.map_or(limit, |own| own.min(limit)),
        success_threshold: times.successes.unwrap_or(1),
        failure_threshold: times.failures.unwrap_or(3),
        start_period: times.start_period.unwrap_or_default(),
        critical: node.get("critical").and_then(boolean).unwrap_or(true),
        probe,
    };
    guard(node, [&mut check], found);
    Some(check)
}

/// Gives the `breaker` of this mapping to those checks that ask somebody else and have none of their own.
fn guard<'a>(node: &Node, checks: impl IntoIterator<Item = &'a mut Check>, found: &mut Found) {
    let Some(breaker) = node.get("breaker").filter(|breaker| !breaker.is_null()) else { return };
    let mut elsewhere = checks.into_iter().filter(|check| check.probe.is_elsewhere()).peekable();
    if elsewhere.peek().is_none() {
        let what = "a breaker is for a check on another service or on something outside";
        let problem = Diagnostic::error("misplaced-breaker", "no check here asks anybody but the service");
        found.problems.push(problem.at(breaker.span, what));
    }
    for check in elsewhere {
        check.breaker = check.breaker.or(Some(BreakerSpec {
            failures: count(breaker, "failures").unwrap_or(check.failure_threshold),
            open: duration(breaker, "open").filter(|d| !d.is_zero()).unwrap_or(Duration::from_mins(1)),
        }));
    }
}

/// A log is followed rather than asked again and again; a command may be slow.
fn default_timeout(probe: &ProbeSpec, given: Option<Duration>) -> Duration {
    given.filter(|d| !d.is_zero()).unwrap_or(match probe {
        ProbeSpec::Log { .. } => Duration::from_mins(10),
        ProbeSpec::Exec { .. } => Duration::from_secs(30),
        ProbeSpec::Http(_)
        | ProbeSpec::Tcp { .. }
        | ProbeSpec::Grpc { .. }
        | ProbeSpec::Container(_)
        | ProbeSpec::Service { .. } => Duration::from_secs(5),
    })
}

fn stage_of(name: String, checks: Vec<Check>) -> Stage {
    Stage {
        name,
        checks,
        require: Require::All,
        timeout: None,
        start_period: Duration::ZERO,
        critical: true,
        progress: None,
    }
}

fn name_of(node: &Node) -> String {
    node.get("name").map_or_else(|| READY.to_owned(), text)
}

/// Whether the mapping has a check of its own.
fn says_what(node: &Node) -> bool {
    let keys = [
        "http",
        "endpoint",
        "tcp",
        "grpc",
        "exec",
        "test",
        "command",
        "log",
        "pattern",
        "container",
        "service",
    ];
    node.get("type").is_some() || keys.iter().any(|key| node.get(key).is_some())
}

/// A duration that has been checked.
pub(super) fn duration(node: &Node, key: &str) -> Option<Duration> {
    node.get(key).filter(|node| !node.is_null()).and_then(|node| units::duration(&text(node)).ok())
}

/// A whole number that has been checked.
pub(super) fn count(node: &Node, key: &str) -> Option<u32> {
    node.get(key).and_then(whole).and_then(|number| u32::try_from(number).ok())
}
