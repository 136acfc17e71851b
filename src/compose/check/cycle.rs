//! Dependencies that end where they began.

use std::collections::HashSet;

use super::place::at;
use crate::{diagnostic::Diagnostic, project::Project};

/// No service waits for itself.
pub(super) fn dependencies(project: &Project, problems: &mut Vec<Diagnostic>) {
    let mut finished = HashSet::new();
    for name in project.services.keys() {
        if let Some(cycle) = follow(project, name, &mut Vec::new(), &mut finished) {
            problems.push(describe(project, &cycle));
            return;
        }
    }
}

/// The services of a cycle that can be reached from here, the first one again at the end.
fn follow<'a>(
    project: &'a Project,
    name: &'a str,
    path: &mut Vec<&'a str>,
    finished: &mut HashSet<&'a str>,
) -> Option<Vec<&'a str>> {
    if let Some(start) = path.iter().position(|earlier| *earlier == name) {
        let mut cycle = path[start..].to_vec();
        cycle.push(name);
        return Some(cycle);
    }
    if finished.contains(name) {
        return None;
    }
    path.push(name);
    let dependencies = project.services.get(name).into_iter().flat_map(|service| service.depends_on.keys());
    for dependency in dependencies {
        if let Some(cycle) = follow(project, dependency, path, finished) {
            return Some(cycle);
        }
    }
    path.pop();
    finished.insert(name);
    None
}

fn describe(project: &Project, cycle: &[&str]) -> Diagnostic {
    let mut error =
        Diagnostic::error("dependency-cycle", format!("services wait for each other: {}", cycle.join(" → ")));
    for pair in cycle.windows(2) {
        let [from, to] = pair else { continue };
        let paths = ["depends_on", "links", "volumes_from", "network_mode", "ipc", "pid", "uts", "cgroup"]
            .map(|attribute| match attribute {
                "depends_on" => format!("services.{from}.depends_on.{to}"),
                _ => format!("services.{from}.{attribute}"),
            });
        error = at(error, project, &paths, &format!("`{from}` waits for `{to}`"));
    }
    error.help("remove one of these dependencies")
}
