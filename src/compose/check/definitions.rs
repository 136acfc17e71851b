//! Rules on single definitions.

use std::net::IpAddr;

use super::place::at;
use crate::{
    compose::tree::{Node, Value},
    diagnostic::Diagnostic,
    project::Project,
};

/// An external volume is made by somebody else: nothing but its name can be said about it.
pub(super) fn external_volumes(tree: &Node, problems: &mut Vec<Diagnostic>) {
    for (name, entry) in tree.get("volumes").into_iter().flat_map(Node::entries) {
        let Some(external) = entry.value.get("external").filter(|node| node.value == Value::Bool(true))
        else {
            continue;
        };
        for (key, inner) in entry.value.entries() {
            if !["name", "external"].contains(&key) && !key.starts_with("x-") {
                problems.push(
                    Diagnostic::error("conflict", format!("volume `{name}` is external and sets `{key}`"))
                        .at(inner.key, "this would have no effect")
                        .at(external.span, "the volume is made elsewhere")
                        .help(format!("remove `{key}` or `external`")),
                );
            }
        }
    }
}

/// A config or secret comes from exactly one place.
pub(super) fn sources(tree: &Node, kind: &str, keys: &[&str], problems: &mut Vec<Diagnostic>) {
    let listed = keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    let singular = kind.trim_end_matches('s');
    for (name, entry) in tree.get(kind).into_iter().flat_map(Node::entries) {
        let Some(definition) = entry.value.as_mapping() else { continue };
        let given: Vec<_> = keys.iter().filter_map(|key| definition.entry(key)).collect();
        if let [first, second, ..] = given[..] {
            problems.push(
                Diagnostic::error("conflict", format!("{singular} `{name}` has two sources"))
                    .at(second.key, "this is one")
                    .at(first.key, "this is the other")
                    .help(format!("keep one of {listed}")),
            );
        }
        if given.is_empty() && !definition.contains_key("driver") && !definition.contains_key("external") {
            problems.push(
                Diagnostic::error("missing-attribute", format!("{singular} `{name}` has no source"))
                    .at(entry.key, "")
                    .help(format!("add one of {listed}, or `external: true`")),
            );
        }
    }
}

/// A secret of the project's own is read from a file or a variable.
pub(super) fn secrets(project: &Project, problems: &mut Vec<Diagnostic>) {
    for (name, secret) in &project.secrets {
        if !secret.external && secret.file.is_none() && secret.environment.is_none() {
            let error = Diagnostic::error("missing-attribute", format!("secret `{name}` has no source"))
                .help("add `file` or `environment`");
            problems.push(at(error, project, &[format!("secrets.{name}")], ""));
        }
    }
}

/// Addresses, device requests and watched paths.
pub(super) fn service_values(tree: &Node, problems: &mut Vec<Diagnostic>) {
    for (_, entry) in tree.get("services").into_iter().flat_map(Node::entries) {
        let service = &entry.value;
        for port in service.get("ports").into_iter().flat_map(Node::items) {
            let Some(node) = port.get("host_ip") else { continue };
            if let Some(ip) = node.as_str().filter(|ip| ip.parse::<IpAddr>().is_err()) {
                problems.push(
                    Diagnostic::error("bad-value", format!("`{ip}` is no IP address"))
                        .at(node.span, "")
                        .help("an address of the engine's machine, such as `127.0.0.1`"),
                );
            }
        }
        let reserved = service.at(&["deploy", "resources", "reservations", "devices"]);
        for request in [service.get("gpus"), reserved].into_iter().flatten().flat_map(Node::items) {
            let (Some(count), Some(ids)) = (request.get("count"), request.get("device_ids")) else {
                continue;
            };
            problems.push(
                Diagnostic::error("conflict", "a device request has both `count` and `device_ids`")
                    .at(ids.span, "these are named")
                    .at(count.span, "this counts")
                    .help("keep one of them"),
            );
        }
        for watch in service.at(&["develop", "watch"]).into_iter().flat_map(Node::items) {
            if let Some(path) = watch.get("path").filter(|path| path.as_str() == Some("")) {
                problems.push(
                    Diagnostic::error("missing-attribute", "the path to watch is empty")
                        .at(path.span, "")
                        .help("name what to watch, relative to the file: `path: ./src`"),
                );
            }
        }
    }
}
