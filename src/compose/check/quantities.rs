//! Rules on numbers that are said twice.

use super::place::on_service;
use crate::{
    diagnostic::Diagnostic,
    project::{Project, Service},
};

/// `scale` and `deploy.replicas` agree, and a fixed container name allows only one.
pub(super) fn replicas(project: &Project, service: &Service, problems: &mut Vec<Diagnostic>) {
    let name = &service.name;
    let replicas = service.deploy.as_ref().and_then(|deploy| deploy.replicas);
    if let (Some(scale), Some(replicas)) = (service.scale, replicas)
        && scale != replicas
    {
        let message = format!("service `{name}` has `scale: {scale}` and `deploy.replicas: {replicas}`");
        problems.push(on_service(project, name, "scale", "conflict", message).help("keep one of them"));
    }
    if service.replicas() > 1 && service.container_name.is_some() {
        let attribute = if service.scale.is_some() { "scale" } else { "deploy.replicas" };
        let message = format!("service `{name}` has a `container_name` and `{attribute}` above 1");
        problems.push(
            on_service(project, name, "container_name", "conflict", message)
                .help("container names are unique; remove `container_name`"),
        );
    }
}

/// Limits that can be written in two places are the same in both.
pub(super) fn twins(project: &Project, service: &Service, problems: &mut Vec<Diagnostic>) {
    let Some(resources) = service.deploy.as_ref().map(|deploy| &deploy.resources) else { return };
    let mut differ = |attribute: &str, twin: &str, differ: bool| {
        if differ {
            let name = &service.name;
            let message =
                format!("service `{name}` sets `{attribute}` and not the same in `deploy.resources.{twin}`");
            problems.push(
                on_service(project, name, attribute, "conflict", message)
                    .help(format!("remove `{attribute}`, or write it in both places")),
            );
        }
    };
    if let Some(limits) = &resources.limits {
        differ("cpus", "limits.cpus", service.cpus.is_some() && service.cpus != limits.cpus);
        differ(
            "mem_limit",
            "limits.memory",
            service.mem_limit.is_some() && service.mem_limit != limits.memory,
        );
        differ(
            "pids_limit",
            "limits.pids",
            service.pids_limit.is_some() && service.pids_limit != limits.pids,
        );
    }
    if let Some(reservations) = &resources.reservations {
        differ(
            "mem_reservation",
            "reservations.memory",
            service.mem_reservation.is_some() && service.mem_reservation != reservations.memory,
        );
    }
}
