//! The lists of rules.

use super::{cycle, definitions, quantities, references, runnable, targets};
use crate::{compose::tree::Node, diagnostic::Diagnostic, project::Project};

/// Rules on a canonical tree with its defaults, before its paths are absolute.
pub(crate) fn tree(tree: &Node) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    definitions::external_volumes(tree, &mut problems);
    definitions::sources(tree, "configs", &["file", "environment", "content"], &mut problems);
    definitions::sources(tree, "secrets", &["file", "environment"], &mut problems);
    definitions::service_values(tree, &mut problems);
    problems
}

/// Rules on the active services of a project and everything that it defines.
pub(crate) fn project(project: &Project) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    for service in project.services.values() {
        runnable::image_or_build(project, service, &mut problems);
        runnable::build(project, service, &mut problems);
        runnable::healthcheck(project, service, &mut problems);
        runnable::watch(project, service, &mut problems);
        references::networks(project, service, &mut problems);
        references::dependencies(project, service, &mut problems);
        references::storage(project, service, &mut problems);
        quantities::replicas(project, service, &mut problems);
        quantities::twins(project, service, &mut problems);
        targets::mounts(project, service, &mut problems);
    }
    definitions::secrets(project, &mut problems);
    if problems.is_empty() {
        cycle::dependencies(project, &mut problems);
    }
    problems
}
