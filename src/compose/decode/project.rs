//! The project as a whole.

use indexmap::IndexMap;

use super::{
    extensions,
    fields::{Fields, Problems},
    resources::{file_object, model, network, volume},
    service::service,
};
use crate::{
    compose::{
        Environment,
        tree::{Entry, Node},
    },
    diagnostic::{Diagnostic, Span},
    project::{Extensions, Project},
};

/// Decodes a canonical tree: everything that stands in it, services of any profile included. What could not be
/// converted is missing from the project and said in the diagnostics.
pub(crate) fn project(tree: &Node, name: &str, environment: &Environment) -> (Project, Vec<Diagnostic>) {
    let problems = Problems::default();
    let variable = |name: &str| environment.get(name).map(str::to_owned);
    let mut project = Project {
        name: name.to_owned(),
        environment: environment.0.clone(),
        services: definitions(tree, "services", &problems, service),
        networks: definitions(tree, "networks", &problems, |_, fields| network(fields)),
        volumes: definitions(tree, "volumes", &problems, |_, fields| volume(fields)),
        secrets: definitions(tree, "secrets", &problems, |_, fields| file_object(fields, &variable)),
        configs: definitions(tree, "configs", &problems, |_, fields| file_object(fields, &variable)),
        models: definitions(tree, "models", &problems, |_, fields| model(fields)),
        extensions: top_extensions(tree),
        places: places(tree),
        ..Project::default()
    };
    // A service without a body has been decoded from nothing.
    for (name, service) in &mut project.services {
        service.name.clone_from(name);
    }
    (project, problems.into_inner())
}

fn definitions<T: Default>(
    tree: &Node,
    kind: &str,
    problems: &Problems,
    decode: impl Fn(&str, &Fields<'_>) -> T,
) -> IndexMap<String, T> {
    let mut entries: Vec<(&str, &Entry)> = tree.get(kind).into_iter().flat_map(Node::entries).collect();
    entries.sort_unstable_by_key(|(name, _)| *name);
    entries
        .into_iter()
        .map(|(name, entry)| {
            let fields = Fields::of(&entry.value, format!("{kind}.{name}"), problems);
            (name.to_owned(), fields.map(|fields| decode(name, &fields)).unwrap_or_default())
        })
        .collect()
}

fn top_extensions(tree: &Node) -> Extensions {
    let mut found: Extensions = tree
        .entries()
        .filter(|(key, _)| key.starts_with("x-"))
        .map(|(key, entry)| (key.to_owned(), extensions::to_json(&entry.value)))
        .collect();
    found.sort_unstable_keys();
    found
}

/// Where services, their dependencies, what they use, and tenants were written.
fn places(tree: &Node) -> IndexMap<String, Span> {
    let mut places = IndexMap::new();
    for (name, entry) in tree.get("services").into_iter().flat_map(Node::entries) {
        places.insert(format!("services.{name}"), entry.key);
        for (attribute, inner) in entry.value.entries() {
            places.insert(format!("services.{name}.{attribute}"), inner.key);
            if ["depends_on", "networks", "secrets", "configs", "models"].contains(&attribute) {
                for (key, inner) in inner.value.entries() {
                    places.insert(format!("services.{name}.{attribute}.{key}"), inner.key);
                }
            }
            for (index, item) in inner.value.items().enumerate() {
                places.insert(format!("services.{name}.{attribute}[{index}]"), item.span);
            }
        }
    }
    let tenants = ("x-orch.tenants", tree.at(&["x-orch", "tenants"]));
    let kinds = ["networks", "volumes", "secrets", "configs", "models"].map(|kind| (kind, tree.get(kind)));
    for (kind, definitions) in kinds.into_iter().chain([tenants]) {
        for (name, entry) in definitions.into_iter().flat_map(Node::entries) {
            places.insert(format!("{kind}.{name}"), entry.key);
            for (attribute, inner) in entry.value.entries() {
                places.insert(format!("{kind}.{name}.{attribute}"), inner.key);
            }
        }
    }
    places
}
