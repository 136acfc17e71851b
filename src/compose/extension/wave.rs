//! The project's own `x-orch`: waves with the services that name them, start-up, and the failure policy.

use indexmap::IndexMap;

use super::{
    check::duration,
    keys,
    shape::{share, text, whole},
};
use crate::{
    compose::tree::{Node, Value},
    diagnostic::{Diagnostic, Span, did_you_mean},
    project::{
        ConditionKind, Mode, OnFailure, Orch, Project, RollbackAction, RollbackCondition, RollbackSpec,
        Startup, WaveSpec,
    },
};

/// Where each service is put into its wave: the wave's index and the place.
pub(super) type Places = IndexMap<String, (usize, Span)>;

/// Reads the top-level `x-orch` and every service's `wave` into the project.
pub(super) fn read(
    tree: &Node,
    top: Option<&Node>,
    project: &mut Project,
    problems: &mut Vec<Diagnostic>,
) -> Places {
    let mut waves = Waves::default();
    match top.and_then(|top| top.get("waves")).map(|node| &node.value) {
        Some(Value::Sequence(items)) => {
            for (index, item) in items.iter().enumerate() {
                let name = item.get("name").map_or_else(|| format!("wave-{}", index + 1), text);
                waves.add(name, item, item.span, problems);
            }
        }
        Some(Value::Mapping(mapping)) => {
            for (name, entry) in mapping.iter() {
                waves.add(name.to_owned(), &entry.value, entry.key, problems);
            }
        }
        Some(_) | None => {}
    }
    waves.join(tree, problems);
    waves.check(project, problems);
    project.orch = Orch {
        waves: waves.specs,
        startup: top.and_then(|top| top.get("startup")).map(startup).unwrap_or_default(),
        on_failure: top
            .and_then(|top| top.get("on_failure"))
            .map(|word| on_failure(&text(word)))
            .unwrap_or_default(),
        rollback: top
            .and_then(|top| top.get("rollback"))
            .map(|node| rollback(node, problems))
            .unwrap_or_default(),
        ..Orch::default()
    };
    waves.places
}

#[derive(Default)]
struct Waves {
    specs: Vec<WaveSpec>,
    spans: Vec<Span>,
    /// Services as they are listed, each with its place.
    members: Vec<(usize, String, Span)>,
    places: Places,
}

impl Waves {
    fn add(&mut self, name: String, node: &Node, span: Span, problems: &mut Vec<Diagnostic>) {
        if let Some(first) = self.specs.iter().position(|wave| wave.name == name) {
            problems.push(
                Diagnostic::error("duplicate-wave", format!("there are two waves named `{name}`"))
                    .at(span, "")
                    .at(self.spans[first], "the first")
                    .help("put their services in one, or give each a name of its own"),
            );
        }
        let index = self.specs.len();
        let mut wave = WaveSpec { name, ..WaveSpec::default() };
        let mut list = |items: Option<&Node>, into: &mut Vec<String>| {
            for item in items.into_iter().flat_map(Node::items) {
                into.push(text(item));
                self.members.push((index, text(item), item.span));
            }
        };
        if node.as_sequence().is_some() {
            list(Some(node), &mut wave.parallel);
        } else {
            list(node.get("services"), &mut wave.parallel);
            list(node.get("parallel"), &mut wave.parallel);
            list(node.get("sequential"), &mut wave.sequential);
            wave.ready_when =
                node.get("ready_when").and_then(|node| share(&text(node)).ok()).unwrap_or_default();
            wave.timeout = duration(node, "timeout");
        }
        self.specs.push(wave);
        self.spans.push(span);
    }

    /// Adds the services that name their wave themselves.
    fn join(&mut self, tree: &Node, problems: &mut Vec<Diagnostic>) {
        for (service, entry) in tree.get("services").into_iter().flat_map(Node::entries) {
            let Some(named) = entry.value.at(&["x-orch", "wave"]).filter(|node| !node.is_null()) else {
                continue;
            };
            let name = text(named);
            let Some(index) = self.specs.iter().position(|wave| wave.name == name) else {
                let problem = Diagnostic::error("unknown-wave", format!("there is no wave `{name}`"))
                    .at(named.span, "");
                let known = self.specs.iter().map(|wave| wave.name.as_str());
                problems.push(match did_you_mean(&name, known) {
                    Some(near) => problem.help(format!("did you mean `{near}`?")),
                    None => problem
                        .help("list it under the top-level `x-orch: {waves: …}`, which gives its place"),
                });
                continue;
            };
            let wave = &self.specs[index];
            // Said in both places, the same: no contradiction.
            if !wave.services().any(|member| member == service) {
                self.specs[index].parallel.push(service.to_owned());
                self.members.push((index, service.to_owned(), named.span));
            }
        }
    }

    /// Every service exists and stands in one wave.
    fn check(&mut self, project: &Project, problems: &mut Vec<Diagnostic>) {
        for (index, service, span) in &self.members {
            let is_known =
                project.services.contains_key(service) || project.disabled_services.contains_key(service);
            if !is_known {
                let names = project.services.keys().chain(project.disabled_services.keys());
                let problem =
                    Diagnostic::error("unknown-service", format!("there is no service `{service}`"))
                        .at(*span, format!("in wave `{}`", self.specs[*index].name));
                problems.push(match did_you_mean(service, names.map(String::as_str)) {
                    Some(near) => problem.help(format!("did you mean `{near}`?")),
                    None => problem,
                });
            }
            if let Some((first, place)) = self.places.get(service) {
                let message = format!("service {service} stands in two places of the waves");
                problems.push(
                    Diagnostic::error("service-in-two-waves", message)
                        .at(*span, format!("in wave `{}`", self.specs[*index].name))
                        .at(*place, format!("in wave `{}`", self.specs[*first].name))
                        .help("a service starts once: keep one of the two"),
                );
            } else {
                self.places.insert(service.clone(), (*index, *span));
            }
        }
        for (wave, span) in self.specs.iter().zip(&self.spans) {
            if wave.services().next().is_none() {
                problems.push(
                    Diagnostic::error("empty-wave", format!("wave `{}` has no services", wave.name))
                        .at(*span, "")
                        .help("name some, or remove the wave"),
                );
            }
        }
    }
}

fn startup(node: &Node) -> Startup {
    Startup {
        mode: node.get("mode").and_then(|word| mode(&text(word))),
        max_parallel: node.get("max_parallel").and_then(whole).and_then(|n| u32::try_from(n).ok()),
        timeout: duration(node, "timeout"),
    }
}

/// The word for a mode.
pub(super) fn mode(word: &str) -> Option<Mode> {
    debug_assert!(keys::MODES.len() == 3, "every mode is read here");
    match word {
        "waves" => Some(Mode::Waves),
        "graph" => Some(Mode::Graph),
        "sequential" => Some(Mode::Sequential),
        _ => None,
    }
}

/// The word for a failure policy; the default for any other.
pub(super) fn on_failure(word: &str) -> OnFailure {
    match word {
        "teardown" => OnFailure::Teardown,
        "stop" => OnFailure::Stop,
        "keep" => OnFailure::Keep,
        _ => OnFailure::Rollback,
    }
}

fn rollback(node: &Node, problems: &mut Vec<Diagnostic>) -> RollbackSpec {
    let items = node.get("conditions").into_iter().flat_map(Node::items);
    RollbackSpec {
        window: duration(node, "window"),
        conditions: items.filter_map(|item| condition(item, problems)).collect(),
    }
}

fn condition(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<RollbackCondition> {
    let written = node.get("condition").map(text).unwrap_or_default();
    let share = |name: &str| {
        let percent = written.strip_prefix(name)?.trim().strip_prefix('>')?.trim().strip_suffix('%')?;
        percent.trim().parse::<f32>().ok().filter(|p| (0.0..=100.0).contains(p))
    };
    let kind = if written == "critical_service_unhealthy" {
        Some(ConditionKind::CriticalServiceUnhealthy)
    } else {
        (share("health_check_failures").map(ConditionKind::HealthCheckFailures))
            .or_else(|| share("error_rate").map(ConditionKind::ErrorRate))
    };
    let Some(condition) = kind else {
        problems.push(
            Diagnostic::error("wrong-value", format!("`{written}` is no condition"))
                .at(node.get("condition").unwrap_or(node).span, "")
                .help(
                    "write critical_service_unhealthy, `health_check_failures > 50%` or `error_rate > 10%`",
                ),
        );
        return None;
    };
    let gradual = node.get("action").map(text).as_deref() == keys::ACTIONS.last().copied();
    let action = if gradual { RollbackAction::GradualRollback } else { RollbackAction::ImmediateRollback };
    Some(RollbackCondition { condition, action })
}
