//! Dependencies that end where they began.

use super::place::at;
use crate::{compose::circle::circle, diagnostic::Diagnostic, project::Project};

/// Names that a message about a cycle shows at most.
const SHOWN: usize = 10;

/// No service waits for itself.
pub(super) fn dependencies(project: &Project, problems: &mut Vec<Diagnostic>) {
    let next = |name| {
        let service = project.services.get(name);
        service.into_iter().flat_map(|service| service.depends_on.keys()).map(|on| (on.as_str(), ()))
    };
    if let Some(circle) = circle(project.services.keys().map(String::as_str), next) {
        let mut names: Vec<&str> = circle.into_iter().map(|(name, ())| name).collect();
        names.extend(names.first().copied());
        problems.push(describe(project, &names));
    }
}

fn describe(project: &Project, cycle: &[&str]) -> Diagnostic {
    let (first, rest) = cycle.split_at(cycle.len().min(SHOWN));
    let more = if rest.is_empty() { String::new() } else { format!(" → … ({} more)", rest.len()) };
    let message = format!("services wait for each other: {}{more}", first.join(" → "));
    let mut error = Diagnostic::error("dependency-cycle", message);
    for pair in cycle.windows(2).take(SHOWN) {
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
