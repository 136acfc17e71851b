//! Rules on what a service refers to.

use super::place::{on_service, suggest};
use crate::{
    diagnostic::Diagnostic,
    project::{Project, Service},
};

/// Networks exist, and exclude `network_mode`, which in turn names an active service.
pub(super) fn networks(project: &Project, service: &Service, problems: &mut Vec<Diagnostic>) {
    let name = &service.name;
    if let Some(mode) = &service.network_mode {
        if !service.networks.is_empty() {
            let message = format!("service `{name}` has both `network_mode` and `networks`");
            problems.push(
                on_service(project, name, "network_mode", "conflict", message).help("keep one of them"),
            );
        }
        if let Some(other) =
            mode.strip_prefix("service:").filter(|other| !project.services.contains_key(*other))
        {
            let message =
                format!("service `{name}` shares the network of `{other}`, which is no active service");
            let error = on_service(project, name, "network_mode", "unknown-service", message);
            problems.push(suggest(error, other, project.services.keys(), "define the service".to_owned()));
        }
    }
    for network in service.networks.keys().filter(|network| !project.networks.contains_key(*network)) {
        let place = format!("networks.{network}");
        problems.push(undefined(
            project,
            name,
            &Use { kind: "network", name: network, place: &place },
            project.networks.keys(),
        ));
    }
}

/// Dependencies are services; those that are required are active.
pub(super) fn dependencies(project: &Project, service: &Service, problems: &mut Vec<Diagnostic>) {
    for (other, dependency) in &service.depends_on {
        if project.services.contains_key(other) {
            continue;
        }
        let disabled = project.disabled_services.get(other);
        if disabled.is_some() && !dependency.required {
            continue;
        }
        let place = format!("depends_on.{other}");
        let (code, message) = match disabled {
            Some(_) => (
                "inactive-service",
                format!("service `{}` depends on `{other}`, whose profile is not active", service.name),
            ),
            None => (
                "unknown-service",
                format!("service `{}` depends on `{other}`, which is not defined", service.name),
            ),
        };
        let error = on_service(project, &service.name, &place, code, message);
        problems.push(match disabled {
            Some(disabled) => {
                let profile = disabled.profiles.first().cloned().unwrap_or_default();
                error.help(format!("activate it with `--profile {profile}`, or write `required: false`"))
            }
            None => suggest(error, other, project.services.keys(), format!("define a service `{other}`")),
        });
    }
}

/// Volumes, secrets, configs and models exist.
pub(super) fn storage(project: &Project, service: &Service, problems: &mut Vec<Diagnostic>) {
    let name = &service.name;
    for (index, mount) in service.volumes.iter().enumerate() {
        let Some(source) = mount.source.as_ref().filter(|_| mount.r#type == "volume") else { continue };
        if !project.volumes.contains_key(source) {
            let place = format!("volumes[{index}]");
            let error = undefined(
                project,
                name,
                &Use { kind: "volume", name: source, place: &place },
                project.volumes.keys(),
            );
            let looks_like_path = source.contains('/');
            problems.push(if looks_like_path {
                error.help(format!("for a path on the host write `./{source}`"))
            } else {
                error
            });
        }
    }
    let build_secrets = service.build.iter().flat_map(|build| &build.secrets);
    for (references, kind, attribute) in [
        (service.secrets.iter().collect::<Vec<_>>(), "secret", "secrets"),
        (build_secrets.collect(), "secret", "build"),
        (service.configs.iter().collect(), "config", "configs"),
    ] {
        let known = if kind == "secret" { &project.secrets } else { &project.configs };
        for (index, reference) in references.into_iter().enumerate() {
            let source = reference.source.as_deref().unwrap_or_default();
            if !known.contains_key(source) {
                let place = format!("{attribute}[{index}]");
                problems.push(undefined(
                    project,
                    name,
                    &Use { kind, name: source, place: &place },
                    known.keys(),
                ));
            }
        }
    }
    for model in service.models.keys().filter(|model| !project.models.contains_key(*model)) {
        let place = format!("models.{model}");
        problems.push(undefined(
            project,
            name,
            &Use { kind: "model", name: model, place: &place },
            project.models.keys(),
        ));
    }
}

/// What kind of thing is used, by which name, and at which attribute.
struct Use<'a> {
    kind: &'a str,
    name: &'a str,
    place: &'a str,
}

fn undefined<'a>(
    project: &Project,
    service: &str,
    used: &Use<'_>,
    known: impl Iterator<Item = &'a String>,
) -> Diagnostic {
    let Use { kind, name, place } = *used;
    let message = format!("service `{service}` uses {kind} `{name}`, which is not defined");
    let error = on_service(project, service, place, "undefined", message);
    suggest(error, name, known, format!("define it under the top-level `{kind}s`"))
}
