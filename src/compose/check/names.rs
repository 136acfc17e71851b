//! Rules on names of containers.

use std::collections::HashMap;

use super::place::{at, on_service};
use crate::{diagnostic::Diagnostic, project::Project};

/// No two of the services that will run have one container name.
pub(crate) fn container_names(project: &Project) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let mut taken: HashMap<&str, &str> = HashMap::new();
    for service in project.services.values() {
        let Some(name) = service.container_name.as_deref() else { continue };
        if let Some(earlier) = taken.insert(name, &service.name) {
            let message =
                format!("services `{earlier}` and `{}` have one container name, `{name}`", service.name);
            let error = on_service(project, &service.name, "container_name", "conflict", message);
            let other = format!("services.{earlier}.container_name");
            problems.push(at(error, project, &[other], "already taken here"));
        }
    }
    problems
}
