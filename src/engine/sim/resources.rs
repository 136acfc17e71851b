//! Networks, volumes, and the making of containers.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    container::{SimContainer, SimHealthcheck, SimVolume, probes},
    facts,
    world::{Inner, World},
};
use crate::{
    engine::{ContainerRequest, EngineAction, EngineError, EngineErrorKind as Kind, Scope},
    plan::{
        ContainerMount, ContainerState, Endpoint, Observed, ObservedNetwork, ObservedVolume, PublishedPort,
    },
    project::{Port, SignedDuration},
};

impl World {
    /// Names of the containers that mount a volume.
    pub(super) fn volume_users(&self, volume: &str) -> Vec<String> {
        let uses = |c: &&SimContainer| c.mounts.iter().any(|m| m.name == volume);
        self.containers.values().filter(uses).map(|c| c.id.clone()).collect()
    }

    /// The name of a network, by name or ID.
    pub(super) fn network_name(&self, key: &str) -> Result<String, EngineError> {
        let by_id = || self.networks.iter().find(|(_, n)| n.id == key).map(|(name, _)| name.clone());
        self.networks
            .contains_key(key)
            .then(|| key.to_owned())
            .or_else(by_id)
            .ok_or_else(|| EngineError::new(Kind::NotFound, format!("network {key} not found")))
    }

    /// Removes a network that no running container is on.
    pub(super) fn remove_network(&mut self, key: &str) -> Result<(), EngineError> {
        let name = self.network_name(key)?;
        if self.containers.values().any(|c| c.is_running() && c.networks.contains_key(&name)) {
            return Err(EngineError::new(
                Kind::Conflict,
                format!("error while removing network: network {name} has active endpoints"),
            ));
        }
        self.networks.remove(&name);
        Ok(())
    }

    /// Removes a volume that no container mounts; fine if there is none, as the engine is asked with `force`.
    pub(super) fn remove_volume(&mut self, name: &str) -> Result<(), EngineError> {
        let users = self.volume_users(name);
        if !users.is_empty() {
            let words = format!("remove {name}: volume is in use - [{}]", users.join(", "));
            return Err(EngineError::new(Kind::Conflict, words));
        }
        self.volumes.remove(name);
        Ok(())
    }

    /// Removes an image that was pulled or built, or that the script gave.
    pub(super) fn remove_image(&mut self, reference: &str) -> Result<(), EngineError> {
        let removed =
            self.images.remove(reference).or_else(|| self.script.images.as_mut()?.remove(reference));
        let missing = || EngineError::new(Kind::NotFound, format!("No such image: {reference}"));
        removed.map(drop).ok_or_else(missing)
    }

    /// What `observe` answers.
    pub(super) fn observed(&self, scope: &Scope) -> Observed {
        let own = |labels: &BTreeMap<String, String>| {
            labels.get("com.docker.compose.project").is_some_and(|p| *p == scope.project)
        };
        let mut containers: Vec<_> =
            self.containers.values().filter(|c| own(&c.labels)).map(SimContainer::listed).collect();
        containers.sort_by(|a, b| a.name.cmp(&b.name));
        let network = |(name, n): (&String, &super::container::SimNetwork)| {
            let seen = ObservedNetwork {
                id: n.id.clone(),
                name: name.clone(),
                labels: n.labels.clone(),
                ..ObservedNetwork::default()
            };
            (own(&n.labels) || scope.networks.contains(name)).then(|| (name.clone(), seen))
        };
        let volume = |(name, v): (&String, &SimVolume)| {
            let seen =
                ObservedVolume { name: name.clone(), labels: v.labels.clone(), ..ObservedVolume::default() };
            (own(&v.labels) || scope.volumes.contains(name)).then(|| (name.clone(), seen))
        };
        let image = |(reference, _): &(String, Option<String>)| {
            self.image_info(reference).map(|info| (reference.clone(), info))
        };
        Observed {
            containers,
            networks: self.networks.iter().filter_map(network).collect(),
            volumes: self.volumes.iter().filter_map(volume).collect(),
            images: scope.images.iter().filter_map(image).collect(),
        }
    }
}

impl Inner {
    /// Makes a container of what was asked; it is there, and announced, when this returns.
    pub(super) fn make(&self, world: &mut World, mut container: SimContainer) -> Result<String, EngineError> {
        if let Some(other) = world.named(&container.name) {
            return Err(EngineError::new(
                Kind::Conflict,
                format!(
                    "Conflict. The container name \"/{}\" is already in use by container \"{}\". You have to \
                     remove (or rename) that container to be able to reuse that name.",
                    container.name, other.id
                ),
            ));
        }
        let Some(image) = world.image_info(&container.image) else {
            return Err(EngineError::new(Kind::NotFound, format!("No such image: {}", container.image)));
        };
        container.image_id = image.id;
        container.id = world.fresh_id("container");
        container.created = self.now();
        let covered: BTreeSet<String> = container.mounts.iter().map(|m| m.destination.clone()).collect();
        for target in image.volumes.into_iter().filter(|t| !covered.contains(t)) {
            container.mounts.push(mount("volume", "", &target, true));
        }
        let mut mounts = std::mem::take(&mut container.mounts);
        for mount in mounts.iter_mut().filter(|m| m.r#type == "volume") {
            if mount.name.is_empty() {
                mount.name = world.fresh_id("volume");
                container.anonymous.insert(mount.name.clone());
            }
            mount.source = format!("/var/lib/docker/volumes/{}/_data", mount.name);
            world.volumes.entry(mount.name.clone()).or_default();
        }
        container.mounts = mounts;
        let id = container.id.clone();
        world.names.insert(container.name.clone(), id.clone());
        world.containers.insert(id.clone(), container.clone());
        self.announce(world, &container, EngineAction::Created, &[]);
        Ok(id)
    }
}

fn mount(kind: &str, name: &str, target: &str, rw: bool) -> ContainerMount {
    ContainerMount {
        r#type: kind.to_owned(),
        name: name.to_owned(),
        source: String::new(),
        destination: target.to_owned(),
        rw,
    }
}

/// A container as its request describes it, without what only the engine knows.
pub(super) fn described(world: &World, request: &ContainerRequest<'_>) -> SimContainer {
    let (project, service) = (request.project, request.service);
    let image = project.image_name(service);
    let behaviour = world.script.by_image.get(&image).or_else(|| world.script.services.get(&service.name));
    let info = world.image_info(&image);
    let healthcheck =
        SimHealthcheck::new(service.healthcheck.as_ref(), info.as_ref().and_then(|i| i.healthcheck.as_ref()));
    let keys = if service.network_mode.is_some() { Vec::new() } else { service.networks.keys().collect() };
    let network = |key: &String| project.networks.get(key).map_or_else(|| key.clone(), |n| n.name.clone());
    let networks: Vec<(String, Endpoint)> =
        keys.into_iter().map(|key| (network(key), endpoint(request, key))).collect();
    let network_mode = service
        .network_mode
        .clone()
        .unwrap_or_else(|| networks.first().map_or_else(|| "none".to_owned(), |(name, _)| name.clone()));
    SimContainer {
        id: String::new(),
        name: request.name.clone(),
        service: service.name.clone(),
        replica: format!("{}-{}", service.name, request.number),
        labels: facts::container_labels(request),
        created: Duration::ZERO,
        image_id: String::new(),
        state: ContainerState::Created,
        exit_code: 0,
        oom: false,
        error: String::new(),
        pid: 0,
        started: None,
        finished: None,
        restarts: 0,
        lives: Vec::new(),
        was_healthy: false,
        run: 0,
        health: None,
        probes: probes(request, healthcheck.as_ref()),
        healthcheck,
        networks: networks.into_iter().collect(),
        mounts: mounts(request),
        anonymous: BTreeSet::new(),
        ports: if request.oneoff.is_some() { Vec::new() } else { ports(&service.ports) },
        network_mode,
        tty: service.tty,
        stop_timeout: service.stop_grace_period.map(stop_timeout),
        restart: service.restart.clone().filter(|_| request.oneoff.is_none()).unwrap_or_default(),
        stopped: false,
        stopping: false,
        auto_remove: request.oneoff.as_ref().is_some_and(|o| o.auto_remove),
        log: Vec::new(),
        files: BTreeMap::new(),
        behaviour: behaviour.cloned().unwrap_or_default(),
        image,
    }
}

/// What a container is on the service's network `key`.
pub(super) fn endpoint(request: &ContainerRequest<'_>, key: &str) -> Endpoint {
    if request.service.orch.nameless {
        return Endpoint { aliases: vec![request.final_name.clone()], ..Endpoint::default() };
    }
    let is_unnamed = request.unnamed.iter().any(|unnamed| unnamed == key);
    let names = [&request.final_name, &request.service.name];
    let own = request.service.networks.get(key).and_then(Option::as_ref);
    let aliases = names.into_iter().chain(own.iter().flat_map(|network| &network.aliases)).cloned();
    Endpoint { aliases: aliases.filter(|_| !is_unnamed).collect(), ..Endpoint::default() }
}

/// How long a stop waits: for ever where the seconds are negative, as on the engine.
fn stop_timeout(grace: SignedDuration) -> Duration {
    if grace.whole_seconds() < 0 { Duration::MAX } else { grace.positive().unwrap_or_default() }
}

fn mounts(request: &ContainerRequest<'_>) -> Vec<ContainerMount> {
    let inherited = &request.inherited;
    let named = |source: &String| {
        request.project.volumes.get(source).map_or_else(|| source.clone(), |v| v.name.clone())
    };
    let own = request.service.volumes.iter().filter_map(|v| {
        let target = v.target.as_deref().unwrap_or_default();
        if inherited.iter().any(|i| i.target == target) {
            return None;
        }
        let is_volume = v.r#type == "volume";
        let name = v.source.as_ref().filter(|_| is_volume).map(named).unwrap_or_default();
        let mut mount = mount(&v.r#type, &name, target, !v.read_only);
        if !is_volume {
            mount.source = v.source.clone().unwrap_or_default();
        }
        Some(mount)
    });
    own.chain(inherited.iter().map(|i| mount("volume", &i.name, &i.target, !i.read_only))).collect()
}

/// Published ports with one host port each; a free port of the engine's choice is 0 until it matters to a test.
fn ports(ports: &[Port]) -> Vec<PublishedPort> {
    ports
        .iter()
        .map(|p| PublishedPort {
            ip: p.host_ip.clone().unwrap_or_else(|| "0.0.0.0".to_owned()),
            public: p.published.as_ref().and_then(|t| t.parse().ok()).unwrap_or(0),
            private: p.target.and_then(|t| u16::try_from(t).ok()).unwrap_or(0),
            protocol: p.protocol.clone().unwrap_or_else(|| "tcp".to_owned()),
        })
        .collect()
}
