//! Values that are filled in where the files are silent, before paths are resolved and names are made.

use crate::compose::tree::{Mapping, Node};

/// Fills in what Compose fills in.
pub(crate) fn fill_in(tree: &mut Node) {
    let Some(services) = tree.get_mut("services") else { return };
    for (_, entry) in services.entries_mut() {
        if let Some(service) = entry.value.as_mapping_mut() {
            fill_in_service(service);
        }
    }
}

fn fill_in_service(service: &mut Mapping) {
    if let Some(build) = service.get_mut("build") {
        let span = build.span;
        if let Some(build) = build.as_mapping_mut() {
            build.insert_default("context", Node::string(".", span));
        }
    }
    each(service.get_mut("secrets"), |secret, span| {
        let source = secret.get("source").and_then(Node::as_str).unwrap_or_default();
        let target = format!("/run/secrets/{source}");
        secret.insert_default("target", Node::string(target, span));
    });
    each(service.get_mut("ports"), |port, span| {
        port.insert_default("protocol", Node::string("tcp", span));
        port.insert_default("mode", Node::string("ingress", span));
    });
    each(service.get_mut("gpus"), all_devices);
    if let Some(deploy) = service.get_mut("deploy") {
        each(deploy.at_mut(&["resources", "reservations", "devices"]), all_devices);
    }
}

/// A request that neither counts nor names devices wants all of them.
fn all_devices(request: &mut Mapping, span: crate::diagnostic::Span) {
    if !request.contains_key("device_ids") {
        request.insert_default("count", Node::string("all", span));
    }
}

fn each(list: Option<&mut Node>, mut change: impl FnMut(&mut Mapping, crate::diagnostic::Span)) {
    for item in list.and_then(Node::as_sequence_mut).into_iter().flatten() {
        let span = item.span;
        if let Some(mapping) = item.as_mapping_mut() {
            change(mapping, span);
        }
    }
}
