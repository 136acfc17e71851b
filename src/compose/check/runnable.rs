//! Rules on what a service runs, builds and is tested with.

use super::place::{at, on_service, suggest};
use crate::{
    diagnostic::Diagnostic,
    project::{Project, Service},
};

/// A service runs an image, builds one, or is provided by another tool.
pub(super) fn image_or_build(project: &Project, service: &Service, problems: &mut Vec<Diagnostic>) {
    if service.build.is_none() && service.image.is_none() && service.provider.is_none() {
        let message = format!("service `{}` has neither an image nor a build", service.name);
        let error = Diagnostic::error("missing-attribute", message).help("add `image` or `build`");
        problems.push(at(error, project, &[format!("services.{}", service.name)], ""));
    }
}

/// Dockerfiles, platforms and further contexts.
pub(super) fn build(project: &Project, service: &Service, problems: &mut Vec<Diagnostic>) {
    let Some(build) = &service.build else { return };
    let name = &service.name;
    let on_build = |code, message| on_service(project, name, "build", code, message);
    if build.dockerfile.is_some() && build.dockerfile_inline.is_some() {
        let message = format!("service `{name}` has both `dockerfile` and `dockerfile_inline`");
        problems.push(on_build("conflict", message).help("keep one of them"));
    }
    if let Some(platform) = &service.platform
        && !build.platforms.is_empty()
        && !build.platforms.contains(platform)
    {
        let message = format!("service `{name}` runs on `{platform}`, for which it is not built");
        problems.push(on_build("conflict", message).help(format!("add `{platform}` to `build.platforms`")));
    }
    for (context, source) in &build.additional_contexts {
        let Some(other) = source.strip_prefix("service:") else { continue };
        match project.services.get(other) {
            None => {
                let message = format!(
                    "additional context `{context}` of service `{name}` is an unknown service `{other}`"
                );
                let error = on_build("unknown-service", message);
                problems.push(suggest(
                    error,
                    other,
                    project.services.keys(),
                    "define the service".to_owned(),
                ));
            }
            Some(found) if found.build.is_none() => {
                let message =
                    format!("additional context `{context}` of service `{name}`: `{other}` is not built");
                problems.push(on_build("conflict", message).help(format!("give `{other}` a `build`")));
            }
            Some(_) => {}
        }
    }
}

/// The first word of a test says how it runs.
pub(super) fn healthcheck(project: &Project, service: &Service, problems: &mut Vec<Diagnostic>) {
    let first = service.healthcheck.as_ref().and_then(|check| check.test.as_ref()?.first());
    if let Some(first) = first.filter(|first| !["CMD", "CMD-SHELL", "NONE"].contains(&first.as_str())) {
        let message = format!("the healthcheck test of service `{}` starts with `{first}`", service.name);
        problems.push(
            on_service(project, &service.name, "healthcheck", "bad-value", message)
                .help("start it with `CMD`, `CMD-SHELL` or `NONE`, or write it as one text"),
        );
    }
}

/// Syncing needs to know where to.
pub(super) fn watch(project: &Project, service: &Service, problems: &mut Vec<Diagnostic>) {
    for watch in service.develop.iter().flat_map(|develop| &develop.watch) {
        if watch.target.is_none() && !["rebuild", "restart"].contains(&watch.action.as_str()) {
            let message = format!(
                "service `{}` watches `{}` with `{}` but has no target",
                service.name, watch.path, watch.action
            );
            problems.push(
                on_service(project, &service.name, "develop", "missing-attribute", message)
                    .help("add `target`, the path in the container"),
            );
        }
    }
}
