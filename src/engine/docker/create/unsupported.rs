//! What a file says and the engine ignores, in sentences for the user.

use super::{files::bound_with_owner, mounts::bind_is_plain, networks::by_priority, newer};
use crate::{
    engine::EngineInfo,
    project::{Project, Service},
};

/// One sentence for each attribute of the project that has no effect on this engine.
pub fn unsupported(project: &Project, info: &EngineInfo) -> Vec<String> {
    let of = |service| of_service(service, info).into_iter().chain(of_files(project, service));
    let services = project.services.values().flat_map(of);
    services.chain(of_networks(project, info)).collect()
}

fn of_service(service: &Service, info: &EngineInfo) -> Vec<String> {
    let mut found = Vec::new();
    let mut say = |holds: bool, attribute: &str, why: &str| {
        if holds {
            found.push(format!("service `{}`: ignoring {attribute}: {why}", service.name));
        }
    };
    say(service.credential_spec.is_some(), "credential_spec", "Compose does not hand it to the engine");
    let mode = |v: &String| v.ends_with(":ro") || v.ends_with(":rw");
    say(
        service.volumes_from.iter().any(mode),
        "the access mode in volumes_from",
        "Compose does not hand it to the engine",
    );
    say(
        service.mem_swappiness.is_some_and(|s| s.0 == 0),
        "mem_swappiness: 0",
        "the engine takes 0 for its default",
    );
    let selinux_lost = |m: &&crate::project::ServiceMount| {
        m.bind.as_ref().is_some_and(|b| b.selinux.is_some()) && !bind_is_plain(m.bind.as_ref())
    };
    for volume in service.volumes.iter().filter(selinux_lost) {
        let target = volume.target.as_deref().unwrap_or_default();
        say(
            true,
            &format!("bind.selinux of `{target}`"),
            "it cannot be combined with the bind's other options",
        );
    }
    let windows = info.os == "windows";
    say(!windows && service.cpu_count.is_some(), "cpu_count", "it exists on Windows only");
    say(!windows && service.cpu_percent.is_some(), "cpu_percent", "it exists on Windows only");
    deploy(service, &mut found);
    old_engine(service, info, &mut found);
    found
}

/// Secrets and configs whose owner or mode has no effect, because their file is bound as it is.
fn of_files(project: &Project, service: &Service) -> Vec<String> {
    bound_with_owner(project, service)
        .map(|what| {
            format!(
                "service `{}`: ignoring uid, gid and mode of {what}: it is a file of the host and keeps its own",
                service.name
            )
        })
        .collect()
}

/// What the engine is too old for in networks that it is to make.
fn of_networks(project: &Project, info: &EngineInfo) -> Vec<String> {
    let ignored =
        project.networks.iter().filter(|(_, network)| !network.external && network.enable_ipv4.is_some());
    let ignored = ignored.filter(|_| !info.api_at_least(1, 48));
    ignored
        .map(|(key, _)| format!("network `{key}`: ignoring enable_ipv4: it needs {}", newer((1, 48), info)))
        .collect()
}

/// What only swarm does.
fn deploy(service: &Service, found: &mut Vec<String>) {
    let Some(deploy) = &service.deploy else { return };
    let reserved = deploy.resources.reservations.as_ref();
    let restart = deploy.restart_policy.as_ref();
    let placement = &deploy.placement;
    let placed = !placement.constraints.is_empty()
        || !placement.preferences.is_empty()
        || placement.max_replicas_per_node.is_some();
    for (holds, attribute) in [
        (deploy.mode.as_ref().is_some_and(|m| m != "replicated"), "mode"),
        (!deploy.labels.is_empty(), "labels"),
        (deploy.endpoint_mode.is_some(), "endpoint_mode"),
        (placed, "placement"),
        (reserved.is_some_and(|r| r.cpus.is_some()), "resources.reservations.cpus"),
        (
            reserved.is_some_and(|r| !r.generic_resources.is_empty()),
            "resources.reservations.generic_resources",
        ),
        (restart.is_some_and(|r| r.delay.is_some()), "restart_policy.delay"),
        (restart.is_some_and(|r| r.window.is_some()), "restart_policy.window"),
    ] {
        if holds {
            found.push(format!(
                "service `{}`: ignoring deploy.{attribute}: only swarm honours it",
                service.name
            ));
        }
    }
}

/// What the engine is too old for and silently drops.
fn old_engine(service: &Service, info: &EngineInfo, found: &mut Vec<String>) {
    let networks = || service.networks.values().flatten();
    // The primary network's address can be given to old engines too.
    let has_mac = |key: &&str| {
        service.networks.get(*key).and_then(Option::as_ref).is_some_and(|n| n.mac_address.is_some())
    };
    let mac = by_priority(service).iter().skip(1).any(has_mac);
    let created = service
        .volumes
        .iter()
        .any(|m| m.bind.as_ref().is_some_and(|b| b.create_host_path) && !bind_is_plain(m.bind.as_ref()));
    for (holds, attribute, api) in [
        (!service.annotations.is_empty(), "annotations", (1, 43)),
        (created, "bind.create_host_path", (1, 42)),
        (mac, "mac_address of further networks", (1, 44)),
        (networks().any(|n| n.gw_priority.is_some()), "networks.gw_priority", (1, 48)),
    ] {
        if holds && !info.api_at_least(api.0, api.1) {
            found.push(format!(
                "service `{}`: ignoring {attribute}: it needs {}",
                service.name,
                newer(api, info)
            ));
        }
    }
}
