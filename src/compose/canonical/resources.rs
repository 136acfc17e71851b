//! Networks, volumes, secrets and configs.

use crate::{
    compose::tree::{Node, Value},
    diagnostic::Diagnostic,
};

/// `external: {name: n}` becomes `external: true` and `name: n`.
pub(super) fn external(kind: &str, key: &str, node: &mut Node, problems: &mut Vec<Diagnostic>) {
    let Some(definition) = node.as_mapping_mut() else { return };
    let Some(external) = definition.get_mut("external") else { return };
    let Value::Mapping(fields) = &mut external.value else { return };
    let inner = fields.remove("name");
    let span = external.span;
    external.value = Value::Bool(true);
    let Some(inner) = inner else { return };
    problems.push(
        Diagnostic::warning("deprecated", format!("{kind}.{key}: `external.name` is deprecated"))
            .at(inner.span, "")
            .help("write `name` beside `external: true`"),
    );
    match definition.get("name") {
        None => {
            definition.insert("name", span, inner);
        }
        Some(name) if name.as_str() != inner.as_str() => problems.push(
            Diagnostic::error("conflict", format!("{kind}.{key}: `name` and `external.name` differ"))
                .at(inner.span, "this name")
                .at(name.span, "and this one")
                .help("keep only `name`"),
        ),
        Some(_) => {}
    }
}
