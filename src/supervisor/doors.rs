//! Which addresses are listened on in place of services, from a project. Pure.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use crate::{
    ondemand::ServiceId,
    project::{Port, Project, Protocol, Route, RouteBy, Service},
    proxy::{Entry, Site},
};

/// An address and what is behind it.
#[derive(Debug, Clone)]
pub struct Door {
    /// Where it is listened.
    pub listen: SocketAddr,
    /// What is behind.
    pub site: Site,
}

/// Paths of model servers that only their administrators may ask for: they put a model to sleep, swap its weights, or run
/// code. vLLM's development endpoints, SGLang's, Triton's repository, llama-server's slots.
const CLOSED: [&str; 13] = [
    "/sleep",
    "/wake_up",
    "/is_sleeping",
    "/collective_rpc",
    "/reset_prefix_cache",
    "/update_weights_from_disk",
    "/flush_cache",
    "/start_profile",
    "/stop_profile",
    "/v2/repository",
    "/models/load",
    "/models/unload",
    "/slots",
];

/// The addresses of a project's services that are loaded on demand or by hand, each service by the number it has in
/// `ids`. Loopback where the file names no address.
///
/// # Errors
///
/// In words: a port that cannot be told, or two services that ask for one address in ways that do not go together.
pub fn doors(project: &Project, ids: &BTreeMap<String, ServiceId>) -> Result<Vec<Door>, String> {
    let mut doors: BTreeMap<SocketAddr, Site> = BTreeMap::new();
    for (name, router) in &project.orch.routers {
        let by_model = router.by == RouteBy::Model;
        let site = Site { by_model, alias: router.alias.clone(), ..Site::default() };
        if doors.insert(router.listen, site).is_some() {
            return Err(format!("router `{name}` listens on {}, as another does", router.listen));
        }
    }
    for (name, &id) in ids {
        let Some(service) = project.services.get(name) else { continue };
        for route in service.routes().iter() {
            let entry = Arc::new(entry(service, id, route)?);
            for listen in addresses(project, service, route, &entry)? {
                let site = doors.entry(listen).or_default();
                if entry.protocol == Protocol::Tcp && !site.entries.is_empty() || site.raw().is_some() {
                    return Err(format!(
                        "`{name}` and `{}` both want {listen}, and only HTTP can be shared",
                        site.entries[0].name
                    ));
                }
                site.entries.push(Arc::clone(&entry));
            }
        }
    }
    Ok(doors.into_iter().map(|(listen, site)| Door { listen, site }).collect())
}

pub(super) fn entry(service: &Service, id: ServiceId, route: &Route) -> Result<Entry, String> {
    let target = |port: &Port| port.target.and_then(|target| u16::try_from(target).ok());
    let exposed = service.expose.iter().filter_map(|port| port.split('/').next()?.parse().ok());
    let mut known: Vec<u16> = service.ports.iter().filter_map(target).chain(exposed).collect();
    known.sort_unstable();
    known.dedup();
    let port = match (route.port, known.as_slice()) {
        (Some(port), _) => port,
        (None, [only]) => *only,
        (None, []) => {
            return Err(format!("`{}` has a route without a port, and names none itself", service.name));
        }
        (None, _) => return Err(format!("`{}` has a route without a port, and several ports", service.name)),
    };
    let closed = if service.orch.health_check.as_ref().is_some_and(|spec| spec.recipe.is_some()) {
        CLOSED.map(str::to_owned).to_vec()
    } else {
        Vec::new()
    };
    Ok(Entry {
        service: id,
        name: service.name.clone(),
        port,
        protocol: route.protocol,
        host: route.host.clone(),
        path: route.path.clone(),
        models: if route.models.is_empty() { vec![service.name.clone()] } else { route.models.clone() },
        cold: service.orch.cold.mode,
        wake_on: route.wake_on,
        pass_key: route.pass_key,
        closed,
    })
}

/// Where a route's clients come: its router's address, or those under which its port is published.
fn addresses(
    project: &Project,
    service: &Service,
    route: &Route,
    entry: &Entry,
) -> Result<Vec<SocketAddr>, String> {
    if let Some(name) = &route.router {
        let router = project.orch.routers.get(name);
        let missing =
            || format!("`{}` has a route through `{name}`, and there is no such router", service.name);
        return Ok(vec![router.ok_or_else(missing)?.listen]);
    }
    let published = service.ports.iter().filter(|port| port.target == Some(u32::from(entry.port)));
    published.filter(|port| port.published.is_some()).map(|port| address(service, port)).collect()
}

fn address(service: &Service, port: &Port) -> Result<SocketAddr, String> {
    let published = port.published.as_deref().unwrap_or_default();
    let number = published.parse().map_err(|_| {
        format!(
            "`{}` publishes `{published}`, and a service that is loaded on demand needs one port",
            service.name
        )
    })?;
    let ip = match port.host_ip.as_deref().filter(|ip| !ip.is_empty()) {
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(ip) => {
            ip.parse().map_err(|_| format!("`{}` publishes on `{ip}`, which is no address", service.name))?
        }
    };
    Ok(SocketAddr::new(ip, number))
}
