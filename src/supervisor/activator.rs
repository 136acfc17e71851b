//! Which services have an activator in their networks, and what it is made of. Pure.
//!
//! An activator is a container that has a service's names and addresses while nothing of it may run: other services
//! reach it as they always do, and it hands their connections on to whoever loads the service.

use std::{
    collections::{BTreeMap, btree_map},
    path::Path,
    sync::Arc,
};

use super::{doors::entry, standing::hash};
use crate::{
    ondemand::ServiceId,
    plan::{OneOff, OneOffChanges, OneOffTarget},
    project::{Project, Protocol, Service, ServiceMount, WakeOn},
    proxy::{Activated, Entry, Site},
};

/// Marks an activator; its value is what it was made of, in short.
pub(super) const LABEL: &str = "docker-orch.activator";
/// Marks containers that do not take their service's names.
const NAMELESS: &str = "docker-orch.nameless";
/// Where it finds the socket's folder.
const FOLDER: &str = "/run/docker-orch";
/// Its only program.
pub(super) const PROGRAM: &str = "/activator";

/// A service's activator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activator {
    /// The service.
    pub service: String,
    /// The ports that it listens on, and what makes it hand a connection on.
    pub ports: BTreeMap<u16, WakeOn>,
}

/// The activators of a project's services, each service by the number it has in `ids`, and what is behind their ports.
/// A service that shares the network of another, or has none, needs none.
///
/// # Errors
///
/// In words: a port that cannot be told.
pub fn activators(
    project: &Project,
    ids: &BTreeMap<String, ServiceId>,
) -> Result<(Vec<Activator>, Activated), String> {
    let (mut all, mut sites) = (Vec::new(), Activated::new());
    for (name, &id) in ids {
        let Some(service) = project.services.get(name) else { continue };
        if service.network_mode.is_some() {
            continue;
        }
        let mut ports = BTreeMap::new();
        for route in service.routes().iter() {
            // Whoever comes by the service's name has named it: how others are told apart does not matter.
            let entry = Entry { host: None, path: None, ..entry(service, id, route)? };
            if let btree_map::Entry::Vacant(port) = ports.entry(entry.port) {
                // The first bytes of HTTP are a request in any case.
                port.insert(entry.wake_on);
                let site = Site { entries: vec![Arc::new(entry.clone())], ..Site::default() };
                sites.insert((name.clone(), entry.port), Arc::new(site));
            }
        }
        // Whatever else it listens on was reached by its name, too.
        for port in other_ports(service) {
            if let btree_map::Entry::Vacant(free) = ports.entry(port) {
                free.insert(WakeOn::Data);
                let entry = plain(service, id, port);
                let site = Site { entries: vec![Arc::new(entry)], ..Site::default() };
                sites.insert((name.clone(), port), Arc::new(site));
            }
        }
        if !ports.is_empty() {
            all.push(Activator { service: name.clone(), ports });
        }
    }
    Ok((all, sites))
}

impl Activator {
    /// The project with nothing but the activator, in the place of its service, and what is run of it. `folder`: that of
    /// the socket, on the engine's machine.
    pub(super) fn alone(
        &self,
        project: &Project,
        image: &str,
        folder: &Path,
        slug: String,
        mark: String,
    ) -> (Project, OneOffTarget) {
        let container = OneOff { slug, auto_remove: false, use_aliases: true, interactive: false };
        let target = OneOffTarget { service: self.service.clone(), container, no_deps: true };
        let mut project = project.clone();
        project.orch.waves.clear();
        project.services.retain(|name, _| *name == self.service);
        if let Some(service) = project.services.get_mut(&self.service) {
            *service = self.definition(service, image, folder);
        }
        let name = format!("{}{1}{2}{1}activator", project.name, project.separator(), self.service);
        let labels = [(LABEL.to_owned(), mark)].into_iter().collect();
        project
            .become_one_off(&target, &OneOffChanges { name: Some(name), labels, ..OneOffChanges::default() });
        (project, target)
    }

    /// What it is made of, in short: one that has another mark is replaced.
    pub(super) fn mark(&self, project: &Project, image: &str, folder: &Path) -> String {
        let service =
            project.services.get(&self.service).map(|service| self.definition(service, image, folder));
        format!("{:016x}", hash(format!("{service:?} {:?}", project.networks).as_bytes()))
    }

    fn definition(&self, service: &Service, image: &str, folder: &Path) -> Service {
        let port = |(port, wake): (&u16, &WakeOn)| {
            let wake = if *wake == WakeOn::Data { "data" } else { "connect" };
            format!("{port}:{wake}")
        };
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        Service {
            name: service.name.clone(),
            image: Some(image.to_owned()),
            entrypoint: Some(words(&[PROGRAM])),
            command: Some([self.service.clone()].into_iter().chain(self.ports.iter().map(port)).collect()),
            networks: service.networks.clone(),
            volumes: vec![ServiceMount {
                r#type: "bind".to_owned(),
                source: Some(folder.display().to_string()),
                target: Some(FOLDER.to_owned()),
                read_only: true,
                ..ServiceMount::default()
            }],
            // It listens on low ports, and opens a socket that only its user may.
            cap_drop: words(&["ALL"]),
            cap_add: words(&["DAC_OVERRIDE", "NET_BIND_SERVICE"]),
            security_opt: words(&["no-new-privileges:true"]),
            read_only: true,
            pids_limit: Some(2_100),
            // It has nothing to end, and as a container's first program it would not hear of it.
            stop_signal: Some("SIGKILL".to_owned()),
            ..Service::default()
        }
    }
}

/// The TCP ports that a file says a service listens on.
fn other_ports(service: &Service) -> Vec<u16> {
    let is_tcp = |protocol: Option<&str>| protocol.is_none_or(|protocol| protocol == "tcp");
    let published = service.ports.iter().filter(|port| is_tcp(port.protocol.as_deref()));
    let published = published.filter_map(|port| u16::try_from(port.target?).ok());
    let exposed = service.expose.iter().filter_map(|port| {
        let (number, protocol) = port.split_once('/').map_or((port.as_str(), None), |(n, p)| (n, Some(p)));
        number.parse().ok().filter(|_| is_tcp(protocol))
    });
    published.chain(exposed).collect()
}

/// A way to a port that no route names: whatever is spoken there.
fn plain(service: &Service, id: ServiceId, port: u16) -> Entry {
    Entry {
        service: id,
        name: service.name.clone(),
        port,
        protocol: Protocol::Tcp,
        host: None,
        path: None,
        models: Vec::new(),
        cold: service.orch.cold.mode,
        wake_on: WakeOn::Data,
        closed: Vec::new(),
        pass_key: false,
    }
}

/// Takes the names and addresses of a service from its containers: its activator has them.
pub(super) fn without_names(service: &mut Service) {
    service.orch.nameless = true;
    // Part of what it is compared by: one that was made with its names is made anew.
    service.labels.insert(NAMELESS.to_owned(), "true".to_owned());
    service.labels.sort_unstable_keys();
    for network in service.networks.values_mut().flatten() {
        network.aliases.clear();
        network.ipv4_address = None;
        network.ipv6_address = None;
        network.link_local_ips.clear();
        network.mac_address = None;
    }
}
