//! The labels by which Compose and we know what is whose.

use std::{collections::HashMap, path::PathBuf};

use crate::{
    engine::{ContainerRequest, NetworkRequest, VolumeRequest},
    project::{Condition, Project, Service},
};

/// What every label begins with.
const PREFIX: &str = "com.docker.compose.";

/// Our own version, for the `version` label.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The labels of a container: the user's first, Compose's over them.
pub(super) fn container_labels(request: &ContainerRequest<'_>) -> HashMap<String, String> {
    let (project, service) = (request.project, request.service);
    let mut labels: HashMap<String, String> =
        service.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut set = |name: &str, value: String| {
        labels.insert(format!("{PREFIX}{name}"), value);
    };
    set("project", project.name.clone());
    set("service", service.name.clone());
    set("version", VERSION.to_owned());
    set("project.working_dir", project.working_dir.display().to_string());
    set("project.config_files", paths(&project.config_files));
    if !project.environment_files.is_empty() {
        set("project.environment_file", paths(&project.environment_files));
    }
    set("config-hash", request.config_hash.clone());
    set("image", request.image_id.clone());
    set("depends_on", depends_on(project, service));
    if let Some(replaced) = &request.replaces {
        set("replace", replaced.clone());
    }
    if let Some(oneoff) = &request.oneoff {
        set("oneoff", "True".to_owned());
        set("slug", oneoff.slug.clone());
    } else {
        set("oneoff", "False".to_owned());
        set("container-number", request.number.to_string());
    }
    labels
}

/// `dependency:condition:restart`, separated by commas; empty without dependencies. An optional one on a service that
/// no active profile has is none.
fn depends_on(project: &Project, service: &Service) -> String {
    let entries: Vec<String> = service
        .depends_on
        .iter()
        .filter(|(name, _)| project.services.contains_key(*name))
        .map(|(name, dependency)| {
            let condition = match dependency.condition {
                Condition::ServiceStarted => "service_started",
                Condition::ServiceHealthy => "service_healthy",
                Condition::ServiceCompletedSuccessfully => "service_completed_successfully",
            };
            format!("{name}:{condition}:{}", dependency.restart)
        })
        .collect();
    entries.join(",")
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(",")
}

/// The labels of a network.
pub(in crate::engine::docker) fn network_labels(request: &NetworkRequest<'_>) -> HashMap<String, String> {
    resource_labels(
        request.project,
        ("network", request.key),
        &request.config_hash,
        request.network.labels.iter(),
    )
}

/// The labels of a volume.
pub(in crate::engine::docker) fn volume_labels(request: &VolumeRequest<'_>) -> HashMap<String, String> {
    resource_labels(
        request.project,
        ("volume", request.key),
        &request.config_hash,
        request.volume.labels.iter(),
    )
}

fn resource_labels<'a>(
    project: &Project,
    (kind, key): (&str, &str),
    config_hash: &str,
    own: impl Iterator<Item = (&'a String, &'a String)>,
) -> HashMap<String, String> {
    let mut labels: HashMap<String, String> = own.map(|(k, v)| (k.clone(), v.clone())).collect();
    for (name, value) in
        [("project", project.name.as_str()), (kind, key), ("version", VERSION), ("config-hash", config_hash)]
    {
        labels.insert(format!("{PREFIX}{name}"), value.to_owned());
    }
    labels
}
