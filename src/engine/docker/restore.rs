//! Networks and endpoints that were there before, once more.

use bollard::{
    Docker,
    models::{
        EndpointIpamConfig, EndpointSettings, Ipam, IpamConfig, NetworkConnectRequest, NetworkCreateRequest,
        NetworkDisconnectRequest,
    },
    query_parameters::InspectNetworkOptions,
};

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::error::within;
use crate::{
    engine::{EngineError, EngineErrorKind, EngineInfo},
    plan::{AddressPool, Endpoint, ObservedNetwork},
};

/// Makes a network as it was, unless it still is there.
pub(super) async fn network(
    docker: &Docker,
    network: &ObservedNetwork,
    limit: Duration,
) -> Result<(), EngineError> {
    let there = docker.inspect_network(&network.id, None::<InspectNetworkOptions>);
    match within(limit, "inspect network", there).await {
        Ok(_) => return Ok(()),
        Err(e) if e.kind == EngineErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let definition = &network.definition;
    let pools: Vec<IpamConfig> = definition.pools.iter().map(pool).collect();
    let body = NetworkCreateRequest {
        name: network.name.clone(),
        driver: some(&definition.driver),
        options: map(&definition.options),
        internal: Some(definition.internal),
        attachable: Some(definition.attachable),
        enable_ipv4: definition.enable_ipv4,
        enable_ipv6: definition.enable_ipv6,
        ipam: Some(Ipam {
            driver: some(&definition.ipam_driver),
            config: (!pools.is_empty()).then_some(pools),
            options: map(&definition.ipam_options),
        }),
        labels: map(&network.labels),
        ..NetworkCreateRequest::default()
    };
    within(limit, "create network", docker.create_network(body)).await.map(drop)
}

/// Moves a container from a network that is gone to the one that has its name.
pub(super) async fn endpoint(
    docker: &Docker,
    info: &EngineInfo,
    (network, container): (&str, &str),
    endpoint: &Endpoint,
    limit: Duration,
) -> Result<(), EngineError> {
    let body = NetworkDisconnectRequest { container: container.to_owned(), force: Some(true) };
    // It may be on none of this name, after an earlier try: what the connection says counts.
    let _gone: Result<(), EngineError> =
        within(limit, "disconnect network", docker.disconnect_network(network, body)).await;
    let body = NetworkConnectRequest {
        container: container.to_owned(),
        endpoint_config: Some(settings(container, endpoint, info)),
    };
    within(limit, "connect network", docker.connect_network(network, body)).await
}

/// Without a MAC address: engines take that at a container's creation alone (seen on 28.5).
fn settings(container: &str, endpoint: &Endpoint, info: &EngineInfo) -> EndpointSettings {
    // Older engines add the beginning of the ID by themselves.
    let aliases = endpoint.aliases.iter().filter(|a| !container.starts_with(a.as_str()));
    let asked = &endpoint.asked;
    EndpointSettings {
        aliases: Some(aliases.cloned().collect()),
        links: (!endpoint.links.is_empty()).then(|| endpoint.links.clone()),
        driver_opts: map(&endpoint.driver_opts),
        gw_priority: Some(endpoint.gw_priority).filter(|p| *p != 0 && info.api_at_least(1, 48)),
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: some(&asked.ipv4),
            ipv6_address: some(&asked.ipv6),
            link_local_ips: (!asked.link_local.is_empty()).then(|| asked.link_local.clone()),
        }),
        ..EndpointSettings::default()
    }
}

fn pool(pool: &AddressPool) -> IpamConfig {
    IpamConfig {
        subnet: some(&pool.subnet),
        ip_range: some(&pool.ip_range),
        gateway: some(&pool.gateway),
        auxiliary_addresses: map(&pool.auxiliary),
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn map(entries: &BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    (!entries.is_empty()).then(|| entries.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_asked_for_as_it_was() {
        let endpoint = Endpoint {
            ip_address: "10.0.0.7".to_owned(),
            aliases: vec!["0123456789ab".to_owned(), "db".to_owned()],
            gw_priority: 3,
            asked: crate::plan::AskedAddresses { ipv4: "10.0.0.7".to_owned(), ..Default::default() },
            ..Endpoint::default()
        };
        let of = |api: &str| {
            let info = EngineInfo { api_version: api.to_owned(), ..EngineInfo::default() };
            settings("0123456789abcdef", &endpoint, &info)
        };
        let settings = of("1.51");
        assert_eq!(settings.aliases, Some(vec!["db".to_owned()]));
        assert_eq!(settings.gw_priority, Some(3));
        assert_eq!(settings.ipam_config.unwrap().ipv4_address.as_deref(), Some("10.0.0.7"));
        // An address that was given, and not asked for, is not asked for now.
        assert_eq!(settings.ip_address, None);
        assert_eq!(of("1.41").gw_priority, None);
    }
}
