//! What the model says without writing it: the default network, implied dependencies, names on the engine.

use crate::{
    compose::{
        Environment,
        tree::{Mapping, Node, Value},
    },
    diagnostic::Span,
};

/// Writes out what is implied, for a project of this name.
pub(crate) fn normalise(tree: &mut Node, project: &str, environment: &Environment) {
    let at = tree.span;
    if let Some(top) = tree.as_mapping_mut() {
        top.insert("name", at, Node::string(project, at));
    }
    default_network(tree);
    if let Some(services) = tree.get_mut("services") {
        for (_, entry) in services.entries_mut() {
            if let Some(service) = entry.value.as_mapping_mut() {
                normalise_service(service, environment);
            }
        }
    }
    for kind in ["networks", "volumes", "configs", "secrets"] {
        if let Some(definitions) = tree.get_mut(kind) {
            for (key, entry) in definitions.entries_mut() {
                name_on_engine(&mut entry.value, project, key);
            }
        }
    }
}

/// Services that say nothing about networks are on `default`, which exists where somebody is on it.
fn default_network(tree: &mut Node) {
    let span = tree.span;
    let mut used = false;
    if let Some(services) = tree.get_mut("services") {
        for (_, entry) in services.entries_mut() {
            let span = entry.value.span;
            let Some(service) = entry.value.as_mapping_mut() else { continue };
            if service.contains_key("provider") || service.contains_key("network_mode") {
                continue;
            }
            let networks = service.get("networks").and_then(Node::as_mapping);
            if networks.is_none_or(Mapping::is_empty) {
                let mut networks = Mapping::default();
                networks.insert("default", span, Node::null(span));
                service.insert("networks", span, Node::mapping(networks, span));
                used = true;
            } else if networks.is_some_and(|networks| networks.contains_key("default")) {
                used = true;
            }
        }
    }
    if !used {
        return;
    }
    let Some(top) = tree.as_mapping_mut() else { return };
    if top.get("networks").is_none_or(Node::is_null) {
        top.insert("networks", span, Node::mapping(Mapping::default(), span));
    }
    if let Some(networks) = top.get_mut("networks").and_then(Node::as_mapping_mut) {
        networks.insert_default("default", Node::null(span));
    }
}

fn normalise_service(service: &mut Mapping, environment: &Environment) {
    if let Some(policy) = service.get_mut("pull_policy")
        && policy.as_str() == Some("if_not_present")
    {
        policy.value = Value::String("missing".to_owned());
    }
    if let Some(node) = service.get_mut("build") {
        let span = node.span;
        if let Some(build) = node.as_mapping_mut() {
            normalise_build(build, span, environment);
        }
    }
    if let Some(variables) = service.get_mut("environment") {
        take_from(variables, environment, true);
    }
    for volume in service.get_mut("volumes").and_then(Node::as_sequence_mut).into_iter().flatten() {
        if let Some(target) = volume.get_mut("target")
            && let Some(text) = target.as_str()
        {
            target.value = Value::String(super::paths::clean(text));
        }
    }
    implied_dependencies(service);
}

fn normalise_build(build: &mut Mapping, span: Span, environment: &Environment) {
    let unset = |build: &Mapping, key: &str| build.get(key).is_none_or(Node::is_null);
    if unset(build, "context") {
        build.insert("context", span, Node::string(".", span));
    }
    if unset(build, "dockerfile") && unset(build, "dockerfile_inline") {
        build.insert("dockerfile", span, Node::string("Dockerfile", span));
    }
    if let Some(args) = build.get_mut("args") {
        take_from(args, environment, false);
    }
}

/// Gives variables without a value the one of the environment; those that it has not stay, or go.
pub(crate) fn take_from(variables: &mut Node, environment: &Environment, keep: bool) {
    match &mut variables.value {
        Value::Sequence(items) => items.retain_mut(|item| {
            let Some(name) = item.as_str().filter(|text| !text.contains('=')) else { return true };
            match environment.get(name) {
                Some(value) => {
                    item.value = Value::String(format!("{name}={value}"));
                    true
                }
                None => keep,
            }
        }),
        Value::Mapping(entries) => entries.retain(|name, entry| {
            if !entry.value.is_null() {
                return true;
            }
            match environment.get(name) {
                Some(value) => {
                    entry.value.value = Value::String(value.to_owned());
                    true
                }
                None => keep,
            }
        }),
        _ => {}
    }
}

/// Links and shared namespaces make the service start after the other one; what the file says itself stays.
fn implied_dependencies(service: &mut Mapping) {
    let mut implied: Vec<(String, Span, bool)> = Vec::new();
    for link in service.get("links").into_iter().flat_map(Node::items) {
        let Some(text) = link.as_str() else { continue };
        let name = match text.split(':').collect::<Vec<_>>()[..] {
            [name, _alias] => name,
            _ => text,
        };
        implied.push((name.to_owned(), link.span, true));
    }
    for namespace in ["network_mode", "ipc", "pid", "uts", "cgroup"] {
        if let Some(node) = service.get(namespace)
            && let Some(name) = node.as_str().and_then(|text| text.strip_prefix("service:"))
        {
            implied.push((name.to_owned(), node.span, true));
        }
    }
    for source in service.get("volumes_from").into_iter().flat_map(Node::items) {
        if let Some(text) = source.as_str().filter(|text| !text.starts_with("container:")) {
            implied.push((text.split(':').next().unwrap_or_default().to_owned(), source.span, false));
        }
    }
    if implied.is_empty() {
        return;
    }
    if service.get("depends_on").is_none_or(Node::is_null) {
        let span = implied[0].1;
        service.insert("depends_on", span, Node::mapping(Mapping::default(), span));
    }
    let Some(dependencies) = service.get_mut("depends_on").and_then(Node::as_mapping_mut) else { return };
    for (name, span, restart) in implied {
        let mut dependency = Mapping::default();
        dependency.insert("condition", span, Node::string("service_started", span));
        dependency.insert("restart", span, Node::bool(restart, span));
        dependency.insert("required", span, Node::bool(true, span));
        dependencies.insert_default(&name, Node::mapping(dependency, span));
    }
}

/// Definitions without a name are named after the project and their key; external ones after their key alone.
fn name_on_engine(definition: &mut Node, project: &str, key: &str) {
    let span = definition.span;
    if definition.is_null() {
        definition.value = Value::Mapping(Mapping::default());
    }
    let Some(fields) = definition.as_mapping_mut() else { return };
    if fields.get("name").is_none_or(Node::is_null) {
        let external = fields.get("external").is_some_and(|node| match &node.value {
            Value::Bool(external) => *external,
            Value::String(text) => matches!(text.as_str(), "1" | "t" | "T" | "true" | "TRUE" | "True"),
            _ => false,
        });
        let name = if external { key.to_owned() } else { format!("{project}_{key}") };
        fields.insert("name", span, Node::string(name, span));
    }
}
