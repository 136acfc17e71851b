//! The whole language of one project: decoded, checked against its services, and put into the project.

use std::time::Duration;

use indexmap::IndexMap;

use super::{
    check::{self, Found, Reference, count, duration},
    conflict, demand,
    http::Scope,
    keys,
    shape::{self, Shape, boolean, text},
    tenants, wave,
};
use crate::{
    compose::tree::{Entry, Node},
    diagnostic::{Diagnostic, Severity, did_you_mean},
    project::{OrchDependency, OrchDependencyOn, Project, Service, ServiceOrch, StartPolicy},
};

/// Reads every `x-orch` of a canonical tree into the project that was decoded from it.
pub(crate) fn apply(tree: &Node, project: &mut Project) -> Vec<Diagnostic> {
    let mut all: IndexMap<String, Service> = project.services.clone();
    all.extend(project.disabled_services.clone());
    let mut found = Found::default();
    let mut decoded: IndexMap<String, ServiceOrch> = IndexMap::new();
    for (name, entry) in tree.get("services").into_iter().flat_map(Node::entries) {
        if let Some(node) = entry.value.get("x-orch").filter(|node| !node.is_null())
            && all.contains_key(name)
            && is_sound(node, &keys::SERVICE, &format!("services.{name}.x-orch"), &mut found.problems)
        {
            let scope = Scope { own: name, services: &all };
            decoded.insert(name.to_owned(), service(node, &scope, &mut found));
        }
    }
    for (name, orch) in decoded {
        let services = [&mut project.services, &mut project.disabled_services];
        for service in services.into_iter().filter_map(|services| services.get_mut(&name)) {
            service.orch = orch.clone();
        }
    }
    let Found { mut problems, references } = found;
    stages_exist(project, &references, &mut problems);
    let top = tree.get("x-orch").filter(|node| !node.is_null());
    let sound = top.is_none_or(|node| is_sound(node, &keys::PROJECT, "x-orch", &mut problems));
    if sound {
        let waves = wave::read(tree, top, project, &mut problems);
        demand::project(top, &mut project.orch, &mut problems);
        demand::check(tree, project, &mut problems);
        tenants::read(top, project, &mut problems);
        tenants::check(tree, project, &mut problems);
        demand::sleepers(project, &references, &mut problems);
        if problems.iter().all(|problem| problem.severity != Severity::Error) {
            problems.extend(conflict::find(tree, project, &waves, &references));
        }
    }
    problems
}

/// Takes services that are not part of the run out of the waves.
pub(crate) fn keep_active(project: &mut Project) {
    for wave in &mut project.orch.waves {
        wave.parallel.retain(|service| project.services.contains_key(service));
        wave.sequential.retain(|service| project.services.contains_key(service));
    }
}

/// Whether a value is as the language wants it, warnings aside.
fn is_sound(node: &Node, shape: &Shape, path: &str, problems: &mut Vec<Diagnostic>) -> bool {
    let before = problems.len();
    shape::check(node, shape, path, problems);
    problems[before..].iter().all(|problem| problem.severity != Severity::Error)
}

fn service(node: &Node, scope: &Scope<'_>, found: &mut Found) -> ServiceOrch {
    let is_set = |key: &str| node.get(key).filter(|node| !node.is_null());
    let mut depends_on = IndexMap::new();
    for (name, entry) in is_set("depends_on").into_iter().flat_map(Node::entries) {
        if let Some(on) = dependency(name, entry, scope, found) {
            depends_on.insert(name.to_owned(), on);
        }
    }
    let mut orch = ServiceOrch {
        critical: is_set("critical").and_then(boolean).unwrap_or(true),
        start: is_set("start").map(start).unwrap_or_default(),
        health_check: is_set("health_check").and_then(|node| check::health(node, scope, found)),
        depends_on,
        rerun_always: is_set("rerun").is_some_and(|word| text(word) == "always"),
        ..ServiceOrch::default()
    };
    demand::service(node, &mut orch, &mut found.problems);
    orch
}

fn start(node: &Node) -> StartPolicy {
    let default = StartPolicy::default();
    StartPolicy {
        retries: count(node, "retries").unwrap_or(default.retries),
        backoff: duration(node, "backoff").unwrap_or(default.backoff),
        max_backoff: duration(node, "max_backoff").unwrap_or(default.max_backoff),
        timeout: duration(node, "timeout").filter(|timeout| *timeout > Duration::ZERO),
    }
}

fn dependency(name: &str, entry: &Entry, scope: &Scope<'_>, found: &mut Found) -> Option<OrchDependency> {
    let node = &entry.value;
    let required = node.get("required").and_then(boolean).unwrap_or(true);
    let stage = node.get("stage").filter(|stage| !stage.is_null());
    let on = match (node.get("check").filter(|check| !check.is_null()), stage) {
        (Some(_), Some(stage)) => {
            found.problems.push(
                Diagnostic::error(
                    "two-checks",
                    "a dependency waits for a stage or for a check, not for both",
                )
                .at(stage.span, "")
                .help("remove one of the two"),
            );
            return None;
        }
        (Some(node), None) => {
            let check = check::single(node, name, scope, found)?;
            if check.probe.is_of_container() {
                let what = "it is to be asked before the service starts";
                let problem = Diagnostic::error("misplaced-check", "this check asks the service itself");
                let help = "write where to ask: `check: {tcp: \"host:port\"}`";
                found.problems.push(problem.at(node.span, what).help(help));
                return None;
            }
            OrchDependencyOn::Check(Box::new(check))
        }
        (None, stage) => {
            let stage = stage.map(|stage| (text(stage), stage.span));
            found.references.push(Reference {
                from: scope.own.to_owned(),
                on: name.to_owned(),
                span: entry.key,
                stage: stage.clone(),
                before_start: true,
            });
            OrchDependencyOn::Service { name: name.to_owned(), stage: stage.map(|(stage, _)| stage) }
        }
    };
    Some(OrchDependency { on, required })
}

/// Every service and stage that is named must be there.
fn stages_exist(project: &Project, references: &[Reference], problems: &mut Vec<Diagnostic>) {
    for reference in references {
        let on = reference.on.as_str();
        let known = || project.services.keys().chain(project.disabled_services.keys()).map(String::as_str);
        let Some(service) = project.services.get(on).or_else(|| project.disabled_services.get(on)) else {
            let problem = Diagnostic::error("unknown-service", format!("there is no service `{on}`"))
                .at(reference.span, "");
            problems.push(match did_you_mean(on, known()) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None if reference.before_start => {
                    problem.help("for something outside the project write `check: {tcp: \"host:port\"}`")
                }
                None => problem,
            });
            continue;
        };
        if on == reference.from {
            problems.push(
                Diagnostic::error("dependency-cycle", format!("service {on} waits for itself"))
                    .at(reference.span, "")
                    .help("remove it: a service is never started before it is started"),
            );
        }
        let Some((stage, span)) = &reference.stage else { continue };
        let stages: Vec<&str> = match &service.orch.health_check {
            Some(health) => health.stages.iter().map(|stage| stage.name.as_str()).collect(),
            None if service.healthcheck.as_ref().is_some_and(|check| !check.is_disabled()) => {
                vec!["healthcheck"]
            }
            None => Vec::new(),
        };
        if !stages.contains(&stage.as_str()) {
            let problem = Diagnostic::error("unknown-stage", format!("service {on} has no stage `{stage}`"))
                .at(*span, "");
            problems.push(match (did_you_mean(stage, stages.iter().copied()), stages.is_empty()) {
                (Some(near), _) => problem.help(format!("did you mean `{near}`?")),
                (None, true) => {
                    problem.help(format!("give {on} an `x-orch: {{health_check: …}}` with stages"))
                }
                (None, false) => problem.help(format!("it has {}", stages.join(", "))),
            });
        }
    }
}
