//! The snapshot of a project: one list of containers, and what they need, looked up at the same time.

use std::{collections::BTreeMap, time::Duration};

use bollard::{
    Docker,
    models::{
        ContainerSummary, ContainerSummaryStateEnum as State, EndpointSettings, Ipam, IpamConfig, MountPoint,
        PortSummary, PortSummaryTypeEnum,
    },
    query_parameters::{ListContainersOptions, ListNetworksOptions, ListVolumesOptions},
};
use futures::{future::try_join_all, try_join};

use super::{error::within, image};
use crate::{
    engine::{EngineError, Scope, Used},
    plan::{
        AddressPool, AskedAddresses, Container, ContainerMount, ContainerState, Endpoint, EngineHealth,
        ImageInfo, NetworkDefinition, Observed, ObservedNetwork, ObservedVolume, PublishedPort,
    },
};

const PROJECT_LABEL: &str = "com.docker.compose.project";

/// Lists everything of a project, exited containers and leftovers included.
pub(super) async fn observe(
    docker: &Docker,
    scope: &Scope,
    limit: Duration,
) -> Result<Observed, EngineError> {
    let images = try_join_all(scope.images.iter().map(async |(reference, platform)| {
        let found = image::lookup(docker, reference, platform.as_deref(), limit).await?;
        Ok::<_, EngineError>(found.map(|info| (reference.clone(), info)))
    }));
    let (containers, networks, volumes, images) = try_join!(
        containers(docker, &scope.project, limit),
        networks(docker, scope, limit),
        volumes(docker, scope, limit),
        images
    )?;
    let images: BTreeMap<String, ImageInfo> = images.into_iter().flatten().collect();
    Ok(Observed { containers, networks, volumes, images })
}

async fn containers(docker: &Docker, project: &str, limit: Duration) -> Result<Vec<Container>, EngineError> {
    listed(docker, ("label", format!("{PROJECT_LABEL}={project}")), limit).await
}

/// Containers that use something, of whatever project.
pub(super) async fn users(
    docker: &Docker,
    of: Used<'_>,
    limit: Duration,
) -> Result<Vec<Container>, EngineError> {
    match of {
        Used::Network(id) => listed(docker, ("network", id.to_owned()), limit).await,
        Used::Volume(name) => {
            // The engine takes a part of a name, and a path in a container, too.
            let mut users = listed(docker, ("volume", name.to_owned()), limit).await?;
            users.retain(|c| c.mounts.iter().any(|m| m.name == name));
            Ok(users)
        }
    }
}

/// Containers of whatever project.
pub(super) async fn all_containers(docker: &Docker, limit: Duration) -> Result<Vec<Container>, EngineError> {
    listed(docker, None, limit).await
}

async fn listed(
    docker: &Docker,
    filter: impl Into<Option<(&str, String)>>,
    limit: Duration,
) -> Result<Vec<Container>, EngineError> {
    let filters = filter.into().map(|(filter, value)| [(filter.to_owned(), vec![value])].into());
    let options = ListContainersOptions { all: true, filters, ..ListContainersOptions::default() };
    let listed = within(limit, "list containers", docker.list_containers(Some(options))).await?;
    let mut containers: Vec<Container> = listed.into_iter().map(container).collect();
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(containers)
}

/// The project's networks, and those that it names (by name or ID). One unfiltered list serves both.
async fn networks(
    docker: &Docker,
    scope: &Scope,
    limit: Duration,
) -> Result<BTreeMap<String, ObservedNetwork>, EngineError> {
    let listed = within(limit, "list networks", docker.list_networks(None::<ListNetworksOptions>)).await?;
    let mut found = BTreeMap::new();
    for network in listed {
        let (id, name) = (network.id.unwrap_or_default(), network.name.unwrap_or_default());
        let labels: BTreeMap<String, String> = network.labels.unwrap_or_default().into_iter().collect();
        let ours = labels.get(PROJECT_LABEL) == Some(&scope.project);
        let definition = NetworkDefinition {
            driver: network.driver.unwrap_or_default(),
            options: network.options.unwrap_or_default().into_iter().collect(),
            internal: network.internal.unwrap_or_default(),
            attachable: network.attachable.unwrap_or_default(),
            enable_ipv4: network.enable_ipv4,
            enable_ipv6: network.enable_ipv6,
            ..pools(network.ipam)
        };
        let observed =
            ObservedNetwork { id: id.clone(), name: name.clone(), labels, definition, users: Vec::new() };
        if scope.networks.contains(&id) {
            found.insert(id, observed.clone());
        }
        if ours || (scope.networks.contains(&name) && !found.contains_key(&name)) {
            found.insert(name, observed);
        }
    }
    Ok(found)
}

/// A definition's part about addresses.
fn pools(ipam: Option<Ipam>) -> NetworkDefinition {
    let ipam = ipam.unwrap_or_default();
    let pool = |pool: IpamConfig| AddressPool {
        subnet: pool.subnet.unwrap_or_default(),
        ip_range: pool.ip_range.unwrap_or_default(),
        gateway: pool.gateway.unwrap_or_default(),
        auxiliary: pool.auxiliary_addresses.unwrap_or_default().into_iter().collect(),
    };
    NetworkDefinition {
        ipam_driver: ipam.driver.unwrap_or_default(),
        ipam_options: ipam.options.unwrap_or_default().into_iter().collect(),
        pools: ipam.config.unwrap_or_default().into_iter().map(pool).collect(),
        ..NetworkDefinition::default()
    }
}

/// The project's volumes, and those that it names.
async fn volumes(
    docker: &Docker,
    scope: &Scope,
    limit: Duration,
) -> Result<BTreeMap<String, ObservedVolume>, EngineError> {
    let listed = within(limit, "list volumes", docker.list_volumes(None::<ListVolumesOptions>)).await?;
    let observed = listed.volumes.unwrap_or_default().into_iter().filter_map(|volume| {
        let labels: BTreeMap<String, String> = volume.labels.into_iter().collect();
        let wanted =
            labels.get(PROJECT_LABEL) == Some(&scope.project) || scope.volumes.contains(&volume.name);
        let observed = |name| ObservedVolume { name, labels, users: Vec::new() };
        wanted.then(|| (volume.name.clone(), observed(volume.name)))
    });
    Ok(observed.collect())
}

fn container(summary: ContainerSummary) -> Container {
    let status = summary.status.unwrap_or_default();
    let name = summary.names.unwrap_or_default().into_iter().find(|n| n.matches('/').count() == 1);
    let networks = summary.network_settings.and_then(|s| s.networks).unwrap_or_default();
    let mut ports: Vec<PublishedPort> = summary.ports.unwrap_or_default().into_iter().map(port).collect();
    ports.sort();
    Container {
        id: summary.id.unwrap_or_default(),
        name: name.unwrap_or_default().trim_start_matches('/').to_owned(),
        image: summary.image.unwrap_or_default(),
        image_id: summary.image_id.unwrap_or_default(),
        state: state(summary.state),
        health: health_in_status(&status),
        exit_code: exit_code_in_status(&status),
        labels: summary.labels.unwrap_or_default().into_iter().collect(),
        created: summary.created.unwrap_or_default(),
        networks: endpoints(networks),
        mounts: summary.mounts.unwrap_or_default().into_iter().map(mount).collect(),
        ports,
        status,
        command: summary.command.unwrap_or_default(),
    }
}

fn state(state: Option<State>) -> ContainerState {
    match state {
        Some(State::RUNNING | State::STOPPING) => ContainerState::Running,
        Some(State::PAUSED) => ContainerState::Paused,
        Some(State::RESTARTING) => ContainerState::Restarting,
        Some(State::EXITED) => ContainerState::Exited,
        Some(State::REMOVING) => ContainerState::Removing,
        Some(State::DEAD) => ContainerState::Dead,
        Some(State::CREATED | State::EMPTY) | None => ContainerState::Created,
    }
}

/// `Up 5 minutes (healthy)`: only the list's text tells the health, before API 1.52.
fn health_in_status(status: &str) -> Option<EngineHealth> {
    if status.contains("(healthy)") {
        Some(EngineHealth::Healthy)
    } else if status.contains("(unhealthy)") {
        Some(EngineHealth::Unhealthy)
    } else if status.contains("(health: starting)") {
        Some(EngineHealth::Starting)
    } else {
        None
    }
}

/// `Exited (137) 5 minutes ago`, `Restarting (1) 3 seconds ago`.
fn exit_code_in_status(status: &str) -> Option<i64> {
    let rest = status.strip_prefix("Exited (").or_else(|| status.strip_prefix("Restarting ("))?;
    rest.split_once(')')?.0.parse().ok()
}

/// Endpoints by network name.
pub(super) fn endpoints(
    networks: impl IntoIterator<Item = (String, EndpointSettings)>,
) -> BTreeMap<String, Endpoint> {
    let endpoint = |settings: EndpointSettings| {
        let asked = settings.ipam_config.unwrap_or_default();
        Endpoint {
            network_id: settings.network_id.unwrap_or_default(),
            ip_address: settings.ip_address.unwrap_or_default(),
            ipv6_address: settings.global_ipv6_address.unwrap_or_default(),
            aliases: settings.aliases.unwrap_or_default(),
            links: settings.links.unwrap_or_default(),
            driver_opts: settings.driver_opts.unwrap_or_default().into_iter().collect(),
            asked: AskedAddresses {
                ipv4: asked.ipv4_address.unwrap_or_default(),
                ipv6: asked.ipv6_address.unwrap_or_default(),
                link_local: asked.link_local_ips.unwrap_or_default(),
            },
            gw_priority: settings.gw_priority.unwrap_or_default(),
        }
    };
    networks.into_iter().map(|(name, settings)| (name, endpoint(settings))).collect()
}

fn mount(point: MountPoint) -> ContainerMount {
    ContainerMount {
        r#type: point.typ.unwrap_or_default(),
        name: point.name.unwrap_or_default(),
        source: point.source.unwrap_or_default(),
        destination: point.destination.unwrap_or_default(),
        rw: point.rw.unwrap_or_default(),
    }
}

fn port(port: PortSummary) -> PublishedPort {
    PublishedPort {
        ip: port.ip.unwrap_or_default(),
        public: port.public_port.unwrap_or_default(),
        private: port.private_port,
        protocol: match port.typ {
            Some(PortSummaryTypeEnum::UDP) => "udp",
            Some(PortSummaryTypeEnum::SCTP) => "sctp",
            Some(PortSummaryTypeEnum::TCP | PortSummaryTypeEnum::EMPTY) | None => "tcp",
        }
        .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_text_tells_health_and_exit_code() {
        use EngineHealth::{Healthy, Starting, Unhealthy};
        for (status, health, code) in [
            ("Up 5 minutes (healthy)", Some(Healthy), None),
            ("Up 5 minutes (unhealthy)", Some(Unhealthy), None),
            ("Up 2 seconds (health: starting)", Some(Starting), None),
            ("Up 2 seconds", None, None),
            ("Exited (137) 5 minutes ago", None, Some(137)),
            ("Restarting (1) 3 seconds ago", None, Some(1)),
            ("Created", None, None),
        ] {
            assert_eq!((health_in_status(status), exit_code_in_status(status)), (health, code), "{status}");
        }
    }

    #[test]
    fn a_linked_container_is_listed_under_its_own_name() {
        let names = Some(vec!["/other/db".to_owned(), "/p-db-1".to_owned()]);
        assert_eq!(container(ContainerSummary { names, ..ContainerSummary::default() }).name, "p-db-1");
    }
}
