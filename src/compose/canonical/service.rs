//! The attributes of services, and the walk over all of them.

use super::{Unreadable, build, ports, resources, volumes};
use crate::{
    compose::tree::{Mapping, Node, Value},
    diagnostic::Diagnostic,
};

/// Turns every short form in the tree into its long form.
pub(crate) fn canonicalise(tree: &mut Node, unreadable: Unreadable, problems: &mut Vec<Diagnostic>) {
    if let Some(services) = tree.get_mut("services") {
        for (_, entry) in services.entries_mut() {
            if let Some(service) = entry.value.as_mapping_mut() {
                canonicalise_service(service, unreadable, problems);
            }
        }
    }
    for kind in ["volumes", "networks", "secrets", "configs"] {
        if let Some(definitions) = tree.get_mut(kind) {
            for (name, entry) in definitions.entries_mut() {
                resources::external(kind, name, &mut entry.value, problems);
            }
        }
    }
}

fn canonicalise_service(service: &mut Mapping, unreadable: Unreadable, problems: &mut Vec<Diagnostic>) {
    for (name, entry) in service.iter_mut() {
        let node = &mut entry.value;
        match name {
            "build" => build::build(node, unreadable, problems),
            "depends_on" => depends_on(node),
            "env_file" => env_file(node),
            "label_file" => one_to_list(node),
            "dns" => {
                one_to_list(node);
                if let Some(items) = node.as_sequence_mut() {
                    items.retain(|item| !item.is_null() && item.as_str() != Some(""));
                }
            }
            "extends" => wrap_text(node, "service"),
            "gpus" => gpus(node),
            "networks" | "models" => list_to_keys(node),
            "volumes" => volumes::volumes(node, unreadable, problems),
            "devices" => each_item(node, |item| device(item, unreadable, problems)),
            "secrets" | "configs" => each_item(node, |item| wrap_text(item, "source")),
            "ports" => ports::ports(node, unreadable, problems),
            "develop" => watch(node),
            _ => {}
        }
    }
}

/// `item` becomes `[item]`.
pub(super) fn one_to_list(node: &mut Node) {
    if node.as_str().is_some() {
        let span = node.span;
        let item = std::mem::replace(node, Node::null(span));
        *node = Node::sequence(vec![item], span);
    }
}

/// `text` becomes `{key: text}`.
pub(super) fn wrap_text(node: &mut Node, key: &str) {
    if node.as_str().is_some() {
        let span = node.span;
        let text = std::mem::replace(node, Node::null(span));
        let mut mapping = Mapping::default();
        mapping.insert(key, span, text);
        *node = Node::mapping(mapping, span);
    }
}

pub(super) fn each_item(node: &mut Node, mut change: impl FnMut(&mut Node)) {
    if let Some(items) = node.as_sequence_mut() {
        items.iter_mut().for_each(&mut change);
    }
}

/// `[a, b]` becomes `{a: null, b: null}`.
fn list_to_keys(node: &mut Node) {
    let Some(items) = node.as_sequence() else { return };
    let mut keys = Mapping::default();
    for item in items {
        if let Some(name) = item.as_str() {
            keys.insert(name, item.span, Node::null(item.span));
        }
    }
    node.value = Value::Mapping(keys);
}

/// A list becomes a map of `service_started`; `required` is filled in.
fn depends_on(node: &mut Node) {
    if let Some(items) = node.as_sequence() {
        let mut entries = Mapping::default();
        for item in items {
            if let Some(name) = item.as_str() {
                let mut entry = Mapping::default();
                entry.insert("condition", item.span, Node::string("service_started", item.span));
                entry.insert("required", item.span, Node::bool(true, item.span));
                entries.insert(name, item.span, Node::mapping(entry, item.span));
            }
        }
        node.value = Value::Mapping(entries);
        return;
    }
    for (_, entry) in node.entries_mut() {
        let span = entry.value.span;
        if let Some(mapping) = entry.value.as_mapping_mut() {
            mapping.insert_default("required", Node::bool(true, span));
        }
    }
}

fn env_file(node: &mut Node) {
    one_to_list(node);
    each_item(node, |item| {
        wrap_text(item, "path");
        let span = item.span;
        if let Some(mapping) = item.as_mapping_mut() {
            mapping.insert_default("required", Node::bool(true, span));
        }
    });
}

/// `all` becomes one request for everything.
fn gpus(node: &mut Node) {
    if node.as_str().is_some() {
        let span = node.span;
        let mut request = Mapping::default();
        request.insert("count", span, Node::string("all", span));
        *node = Node::sequence(vec![Node::mapping(request, span)], span);
    }
}

/// `source[:target[:permissions]]`.
fn device(node: &mut Node, unreadable: Unreadable, problems: &mut Vec<Diagnostic>) {
    let Some(text) = node.as_str() else { return };
    let span = node.span;
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, permissions) = match parts[..] {
        [source] => (source, "", "rwm"),
        [source, target] => (source, target, "rwm"),
        [source, target, permissions] => (source, target, permissions),
        _ => {
            if unreadable == Unreadable::Refuse {
                problems.push(
                    Diagnostic::error("device-syntax", format!("device `{text}` has too many parts"))
                        .at(span, "expected `source[:target[:permissions]]`")
                        .help("use the long form: `{source: …, target: …, permissions: …}`"),
                );
                return;
            }
            ("", "", "rwm")
        }
    };
    let mut mapping = Mapping::default();
    mapping.insert("source", span, Node::string(source, span));
    mapping.insert("target", span, Node::string(if target.is_empty() { source } else { target }, span));
    mapping.insert("permissions", span, Node::string(permissions, span));
    *node = Node::mapping(mapping, span);
}

fn watch(node: &mut Node) {
    let Some(watch) = node.get_mut("watch") else { return };
    each_item(watch, |item| {
        for key in ["ignore", "include"] {
            if let Some(patterns) = item.get_mut(key) {
                one_to_list(patterns);
            }
        }
    });
}
