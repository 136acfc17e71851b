//! Names of containers that others have.

use std::collections::HashMap;

use super::intent::Intent;
use crate::{
    diagnostic::Diagnostic,
    plan::{Container, Surroundings},
};

/// Names that this plan gives to containers and that others hold.
pub(super) fn held(intent: &Intent<'_>, around: &Surroundings) -> Vec<Diagnostic> {
    let containers = around.containers.iter().flatten();
    let keeps_its_name = |c: &&Container| !intent.nameless.contains(c.id.as_str());
    // The first that gives a name counts.
    let names: HashMap<&str, &str> = intent.names.iter().rev().copied().collect();
    let held = containers.filter(keeps_its_name).filter_map(|holder| {
        let service = names.get(holder.name.as_str())?;
        let message = format!(
            "the name `{}`, for a container of service `{service}`, is held by a container of {}",
            holder.name,
            project_of(holder)
        );
        let help = format!("rename it with `docker rename {0} …`, remove it with `docker rm {0}`, or give the service another `container_name`", holder.name);
        let error = Diagnostic::error("name-held", message).help(help);
        let own = format!("services.{service}");
        Some(intent.project.point(error, &[format!("{own}.container_name"), own], ""))
    });
    held.collect()
}

/// Whose a container is.
pub(super) fn project_of(container: &Container) -> String {
    match container.compose_label("project") {
        Some(project) => format!("project `{project}`"),
        None => "no project".to_owned(),
    }
}
