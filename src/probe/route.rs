//! By which ways a port is reached, in the order in which they are tried.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Target;
use crate::{engine::EngineInfo, plan::ContainerDetail};

/// One way to a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// From here, to this address.
    Address(SocketAddr),
    /// From here, to this name.
    Name(String, u16),
    /// From inside the network namespace of this container, to its own localhost.
    Inside {
        /// Of its main process.
        pid: u32,
        /// Whose process that must be.
        container: String,
        /// Of the server.
        port: u16,
    },
}

/// All ways to a port.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Routes {
    /// To try in turn.
    pub(super) open: Vec<Route>,
    /// Through the engine host's published port, which proves less: only where a server must answer, and after all others.
    pub(super) published: Option<Route>,
    /// What is wrong where there are none.
    pub(super) why_none: String,
}

impl Routes {
    /// The ways to `port` of `host`: the container itself for `None`, a service, localhost, or any other name.
    pub(super) fn find(host: Option<&str>, port: u16, target: &Target, engine: &EngineInfo) -> Self {
        match host {
            Some(name) if is_localhost(name) => Self::own(true, port, target, engine),
            None => Self::own(false, port, target, engine),
            Some(name) => match target.peers.get(name) {
                Some(peer) if engine.local => Self {
                    open: peer.addresses.iter().map(|ip| Route::Address((*ip, port).into())).collect(),
                    published: None,
                    why_none: format!("service {name} has no address yet"),
                },
                Some(_) => Self {
                    why_none: format!("service {name} cannot be reached: the engine is on another machine"),
                    ..Self::default()
                },
                None => Self { open: vec![Route::Name(name.to_owned(), port)], ..Self::default() },
            },
        }
    }

    /// The ways to a port of the container itself.
    fn own(localhost: bool, port: u16, target: &Target, engine: &EngineInfo) -> Self {
        let detail = &target.detail;
        if !engine.local {
            return Self {
                open: Vec::new(),
                published: published(detail, port, &engine.host),
                why_none: format!(
                    "port {port} cannot be reached: the engine is on another machine and the port is not published"
                ),
            };
        }
        if detail.network_mode == "host" {
            let local = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
            return Self {
                open: local.into_iter().map(|ip| Route::Address((ip, port).into())).collect(),
                ..Self::default()
            };
        }
        let inside =
            (detail.pid > 0).then(|| Route::Inside { pid: detail.pid, container: detail.id.clone(), port });
        let addresses = addresses(detail).map(|ip| Route::Address((ip, port).into()));
        let open = if localhost {
            inside.into_iter().chain(addresses).collect()
        } else {
            addresses.chain(inside).collect()
        };
        Self { open, published: None, why_none: "the container does not run".to_owned() }
    }
}

/// Whether a name means the container's own loopback.
pub(super) fn is_localhost(name: &str) -> bool {
    name == "localhost"
        || name
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
}

/// The container's addresses on all of its networks, IPv4 before IPv6.
fn addresses(detail: &ContainerDetail) -> impl Iterator<Item = IpAddr> {
    let endpoints = || detail.networks.values();
    (endpoints().filter_map(|e| e.ip_address.parse().ok()))
        .chain(endpoints().filter_map(|e| e.ipv6_address.parse().ok()))
}

/// Where the engine's host publishes a TCP port of the container.
fn published(detail: &ContainerDetail, port: u16, engine_host: &str) -> Option<Route> {
    let bindings = detail.raw.pointer("/NetworkSettings/Ports")?.get(format!("{port}/tcp"))?.as_array()?;
    bindings.iter().find_map(|binding| {
        let public = binding.get("HostPort")?.as_str()?.parse().ok()?;
        let ip = binding.get("HostIp").and_then(|ip| ip.as_str()?.parse::<IpAddr>().ok());
        match ip {
            // Bound to the loopback of another machine: not for us.
            Some(ip) if ip.is_loopback() => None,
            Some(ip) if !ip.is_unspecified() => Some(Route::Address((ip, public).into())),
            Some(_) | None => Some(Route::Name(host_name(engine_host)?, public)),
        }
    })
}

/// The machine in `tcp://host:2376`, `ssh://user@host`, …
fn host_name(engine_host: &str) -> Option<String> {
    let (scheme, rest) = engine_host.split_once("://")?;
    if !matches!(scheme, "tcp" | "http" | "https" | "ssh") {
        return None;
    }
    let authority = rest.split('/').next()?.rsplit('@').next()?;
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next()?,
        None => authority.split(':').next()?,
    };
    (!host.is_empty()).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use super::*;
    use crate::{plan::Endpoint, probe::Peer};

    fn local() -> EngineInfo {
        EngineInfo { local: true, host: "unix:///var/run/docker.sock".to_owned(), ..EngineInfo::default() }
    }

    fn bridged() -> ContainerDetail {
        let endpoint = Endpoint { ip_address: "10.0.0.2".to_owned(), ..Endpoint::default() };
        ContainerDetail {
            id: "c1".to_owned(),
            pid: 7,
            network_mode: "p_default".to_owned(),
            networks: BTreeMap::from([("p_default".to_owned(), endpoint)]),
            ..ContainerDetail::default()
        }
    }

    fn find(host: Option<&str>, detail: ContainerDetail, engine: &EngineInfo) -> Routes {
        let peers = BTreeMap::from([(
            "redis".to_owned(),
            Peer { addresses: vec!["10.0.0.9".parse().unwrap()], ..Peer::default() },
        )]);
        let target = Target { detail: Arc::new(detail), peers: Arc::new(peers) };
        Routes::find(host, 80, &target, engine)
    }

    fn address(text: &str) -> Route {
        Route::Address(text.parse().unwrap())
    }

    fn inside() -> Route {
        Route::Inside { pid: 7, container: "c1".to_owned(), port: 80 }
    }

    #[test]
    fn each_kind_of_host_has_its_own_ways() {
        let alone = ContainerDetail { networks: BTreeMap::new(), ..bridged() };
        let host = ContainerDetail { network_mode: "host".to_owned(), ..alone.clone() };
        let loopback = vec![address("127.0.0.1:80"), address("[::1]:80")];
        for (name, detail, expected) in [
            (None, bridged(), vec![address("10.0.0.2:80"), inside()]),
            (Some("localhost"), bridged(), vec![inside(), address("10.0.0.2:80")]),
            (Some("127.0.0.1"), bridged(), vec![inside(), address("10.0.0.2:80")]),
            (Some("redis"), bridged(), vec![address("10.0.0.9:80")]),
            (Some("db.corp"), bridged(), vec![Route::Name("db.corp".to_owned(), 80)]),
            (None, alone, vec![inside()]),
            (None, host.clone(), loopback.clone()),
            (Some("localhost"), host, loopback),
            (None, ContainerDetail { pid: 0, networks: BTreeMap::new(), ..bridged() }, vec![]),
        ] {
            let routes = find(name, detail, &local());
            assert_eq!(routes.open, expected, "{name:?}");
            assert_eq!(routes.published, None, "never a published port on a local engine");
        }
    }

    #[test]
    fn an_engine_elsewhere_is_reached_through_published_ports() {
        let published = |ip: &str| ContainerDetail {
            raw: serde_json::json!({"NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": ip, "HostPort": "8080"}]}}}),
            ..bridged()
        };
        let name = Some(Route::Name("far".to_owned(), 8080));
        for (host, ip, expected) in [
            ("tcp://far:2376", "0.0.0.0", name.clone()),
            ("ssh://me@far", "", name),
            ("tcp://[2001:db8::1]:2376", "::", Some(Route::Name("2001:db8::1".to_owned(), 8080))),
            ("tcp://far:2376", "192.0.2.7", Some(address("192.0.2.7:8080"))),
            ("tcp://far:2376", "127.0.0.1", None),
        ] {
            let engine = EngineInfo { host: host.to_owned(), ..EngineInfo::default() };
            let routes = find(None, published(ip), &engine);
            assert_eq!((routes.open, routes.published), (vec![], expected), "{host} {ip}");
        }
    }
}
