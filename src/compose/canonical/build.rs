//! `build`.

use super::{
    Unreadable,
    service::{each_item, wrap_text},
};
use crate::{
    compose::tree::{Mapping, Node, Value},
    diagnostic::Diagnostic,
};

pub(super) fn build(node: &mut Node, unreadable: Unreadable, problems: &mut Vec<Diagnostic>) {
    wrap_text(node, "context");
    for (name, entry) in node.entries_mut() {
        let value = &mut entry.value;
        match name {
            "secrets" => each_item(value, |item| wrap_text(item, "source")),
            "provenance" | "sbom" => {
                if let Value::Bool(on) = value.value {
                    value.value = Value::String(on.to_string());
                }
            }
            "additional_contexts" => contexts(value, unreadable, problems),
            "ssh" => ssh(value, problems),
            _ => {}
        }
    }
}

/// `[name=where]` becomes a map.
fn contexts(node: &mut Node, unreadable: Unreadable, problems: &mut Vec<Diagnostic>) {
    let Some(items) = node.as_sequence() else { return };
    let mut contexts = Mapping::default();
    for item in items {
        let Some(text) = item.as_str() else { continue };
        if let Some((name, value)) = text.split_once('=') {
            contexts.insert(name, item.span, Node::string(value, item.span));
        } else if unreadable == Unreadable::Keep {
            return;
        } else {
            problems.push(
                Diagnostic::error("context-syntax", format!("additional context `{text}` has no value"))
                    .at(item.span, "expected `name=where`"),
            );
        }
    }
    node.value = Value::Mapping(contexts);
}

/// `[default, id=path]` becomes a map.
fn ssh(node: &mut Node, problems: &mut Vec<Diagnostic>) {
    let Some(items) = node.as_sequence() else { return };
    let mut keys = Mapping::default();
    for item in items {
        let Some(text) = item.as_str() else { continue };
        match text.split_once('=') {
            Some((id, path)) => {
                keys.insert(id, item.span, Node::string(path, item.span));
            }
            None if text == "default" => {
                keys.insert(text, item.span, Node::null(item.span));
            }
            None => problems.push(
                Diagnostic::error("ssh-syntax", format!("SSH key `{text}` has no path"))
                    .at(item.span, "expected `id=path`; only `default` stands alone"),
            ),
        }
    }
    node.value = Value::Mapping(keys);
}
