//! The networks of a container and its endpoints on them.

use std::collections::HashMap;

use bollard::models::{EndpointIpamConfig, EndpointSettings, NetworkingConfig};

use super::{invalid, needs};
use crate::{
    engine::{ContainerRequest, EngineError, EngineInfo},
    project::{Service, ServiceNetwork},
};

/// Driver option by which an interface gets its name.
const INTERFACE_NAME: &str = "com.docker.network.endpoint.ifname";

/// Where a container stands.
pub(super) struct Placement {
    /// `HostConfig.NetworkMode`.
    pub(super) mode: String,
    pub(super) config: Option<NetworkingConfig>,
    /// Networks to connect after the creation.
    pub(super) connect_after: Vec<(String, EndpointSettings)>,
}

/// Places a container on its networks: the first by priority, then key, is the primary one.
pub(super) fn placement(request: &ContainerRequest<'_>, info: &EngineInfo) -> Result<Placement, EngineError> {
    let (project, service) = (request.project, request.service);
    let without_endpoints =
        |mode: &str| Placement { mode: mode.to_owned(), config: None, connect_after: Vec::new() };
    if let Some(mode) = service.network_mode.as_deref().filter(|m| !m.is_empty()) {
        return Ok(without_endpoints(mode));
    }
    if project.networks.is_empty() {
        return Ok(without_endpoints("none"));
    }
    let mut endpoints = Vec::new();
    for key in by_priority(service) {
        endpoints.push((network_name(request, key), endpoint(request, info, key)?));
    }
    if endpoints.is_empty() {
        endpoints.push((network_name(request, "default"), endpoint(request, info, "default")?));
    }
    let mode = endpoints[0].0.clone();
    let connect_after = if info.api_at_least(1, 44) { Vec::new() } else { endpoints.split_off(1) };
    let config = NetworkingConfig { endpoints_config: Some(endpoints.into_iter().collect()) };
    Ok(Placement { mode, config: Some(config), connect_after })
}

/// The keys of the service's networks: highest priority first, then by name.
pub(super) fn by_priority(service: &Service) -> Vec<&str> {
    let mut keys: Vec<(&str, i64)> = service
        .networks
        .iter()
        .map(|(key, network)| (key.as_str(), network.as_ref().and_then(|n| n.priority).unwrap_or(0)))
        .collect();
    keys.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    keys.into_iter().map(|(key, _)| key).collect()
}

/// The engine's name of a network's key.
fn network_name(request: &ContainerRequest<'_>, key: &str) -> String {
    let project = request.project;
    match project.networks.get(key).map(|n| n.name.as_str()).filter(|n| !n.is_empty()) {
        Some(name) => name.to_owned(),
        None => format!("{}_{key}", project.name),
    }
}

/// The container's endpoint on the service's network `key`.
pub(in crate::engine::docker) fn endpoint(
    request: &ContainerRequest<'_>,
    info: &EngineInfo,
    key: &str,
) -> Result<EndpointSettings, EngineError> {
    let service = request.service;
    let network = service.networks.get(key).and_then(Option::as_ref);
    let links = links(request);
    let mut settings = EndpointSettings {
        aliases: Some(aliases(request, key, network)),
        links: (!links.is_empty()).then_some(links),
        ..EndpointSettings::default()
    };
    let own_mac = network.and_then(|n| n.mac_address.as_ref());
    let primary = by_priority(service).first().is_none_or(|first| *first == key);
    settings.mac_address = match (own_mac, service.mac_address.as_ref().filter(|_| primary)) {
        (Some(own), Some(all)) if own != all => {
            return Err(invalid(
                service,
                &format!(
                    "mac_address is {all} for the service and {own} on network `{key}`: give one of them"
                ),
            ));
        }
        (own, all) => own.or(all).cloned(),
    };
    let Some(network) = network else { return Ok(settings) };
    let mut driver_opts: HashMap<String, String> =
        network.driver_opts.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    if let Some(name) = &network.interface_name {
        needs(service, info, &format!("networks.{key}.interface_name"), (1, 49))?;
        driver_opts.insert(INTERFACE_NAME.to_owned(), name.clone());
    }
    settings.driver_opts = (!driver_opts.is_empty()).then_some(driver_opts);
    settings.gw_priority = network.gw_priority.filter(|_| info.api_at_least(1, 48));
    settings.ipam_config = Some(EndpointIpamConfig {
        ipv4_address: network.ipv4_address.clone(),
        ipv6_address: network.ipv6_address.clone(),
        link_local_ips: (!network.link_local_ips.is_empty()).then(|| network.link_local_ips.clone()),
    });
    Ok(settings)
}

/// The names by which others on the network reach the container.
fn aliases(request: &ContainerRequest<'_>, key: &str, network: Option<&ServiceNetwork>) -> Vec<String> {
    if request.unnamed.iter().any(|unnamed| unnamed == key) {
        return Vec::new();
    }
    let mut aliases = vec![request.final_name.clone()];
    if request.service.orch.nameless {
        return aliases;
    }
    if request.oneoff.as_ref().is_none_or(|o| o.use_aliases) {
        aliases.push(request.service.name.clone());
        aliases.extend(network.iter().flat_map(|n| n.aliases.iter().cloned()));
    }
    aliases
}

/// `container:alias` texts of links to services and to containers outside the project.
pub(super) fn links(request: &ContainerRequest<'_>) -> Vec<String> {
    let external = request.service.external_links.iter().map(|link| match link.split_once(':') {
        Some(_) => link.clone(),
        None => format!("{link}:{link}"),
    });
    request.links.iter().cloned().chain(external).collect()
}
