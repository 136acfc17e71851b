//! Networks and volumes that are not as the files say any more.
//!
//! A network cannot be changed, and two cannot have one name: what runs on the old one is stopped, the old one goes,
//! the new one comes, and what stays gets the endpoint there that it had. Undone, the same happens the other way round.
//!
//! A volume goes with its data, and with the containers that use it. It is replaced only where that is wanted in so many
//! words, once everything else is made that can be made before: what fails until then loses nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{Builder, Detached, diverge::namespaces, graph};
use crate::{
    diagnostic::Diagnostic,
    plan::{
        Action, Cause, Container, ContainerRef, Endpoint, Observed, ObservedNetwork, Step, StepId,
        down::{is_up, replica},
        network_hash, volume_hash,
    },
    project::{Project, Replica, Service},
};

const PROJECT: &str = "com.docker.compose.project";
const HASH: &str = "com.docker.compose.config-hash";

/// Names on the engine of what is there, belongs to the project, and is not as its files say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Drift {
    /// Networks.
    pub networks: Vec<String>,
    /// Volumes.
    pub volumes: Vec<String>,
}

/// What is not as the files say.
pub fn drift(project: &Project, observed: &Observed) -> Drift {
    let is_ours = |labels: &BTreeMap<String, String>| labels.get(PROJECT) == Some(&project.name);
    let networks = project.networks.iter().filter(|(key, network)| {
        let labels = observed.networks.get(&network.name).map(|found| &found.labels);
        !network.external
            && labels.is_some_and(|l| {
                // One of another key is refused.
                is_ours(l)
                    && l.get("com.docker.compose.network") == Some(*key)
                    && l.get(HASH).is_some_and(|hash| *hash != network_hash(network))
            })
    });
    let volumes = project.volumes.values().filter(|volume| {
        let labels = observed.volumes.get(&volume.name).map(|found| &found.labels);
        !volume.external
            && labels
                .is_some_and(|l| is_ours(l) && l.get(HASH).is_some_and(|hash| *hash != volume_hash(volume)))
    });
    Drift {
        networks: networks.map(|(_, network)| network.name.clone()).collect(),
        volumes: volumes.map(|volume| volume.name.clone()).collect(),
    }
}

impl Builder<'_> {
    /// Replaces the networks that are not as the files say.
    pub(super) fn replace_networks(&mut self) {
        let (project, observed) = (self.project, self.observed);
        let drifted: HashSet<String> = drift(project, observed).networks.into_iter().collect();
        let networks: Vec<(&String, &ObservedNetwork)> = project
            .networks
            .iter()
            .filter(|(_, network)| drifted.contains(&network.name))
            .filter_map(|(key, network)| Some((key, observed.networks.get(&network.name)?)))
            .collect();
        for (_, network) in &networks {
            self.refuse_strangers(network);
        }
        self.stop_users(&networks);
        for (key, network) in networks {
            let cause = Cause::NetworkReplaced(network.name.clone());
            let users = || network.users.iter().filter_map(|user| self.detached.get(&user.id));
            let stops: Vec<StepId> = users().filter_map(|user| user.stop).collect();
            let name = network.name.clone();
            let action =
                Action::RemoveNetwork { name: name.clone(), replaced: Some(Box::new(network.clone())) };
            let removed = self.plain(action, cause.clone(), stops, None);
            let action = Action::CreateNetwork { key: key.clone(), name: name.clone() };
            let created = self.plain(action, cause, vec![removed], None);
            self.networks.insert(key.clone(), created);
            for user in &network.users {
                if let Some(detached) = self.detached.get_mut(&user.id) {
                    let endpoint = user.networks.get(&name).cloned().unwrap_or_default();
                    detached.networks.push((created, name.clone(), endpoint));
                }
            }
        }
    }

    /// What other projects have on a network would be cut off; what `run` made would be, too.
    fn refuse_strangers(&mut self, network: &ObservedNetwork) {
        let is_stranger = |c: &&Container| {
            c.labels.get(PROJECT) != Some(&self.project.name) || (c.is_oneoff() && is_up(c.state))
        };
        let strangers: Vec<&str> =
            network.users.iter().filter(is_stranger).map(|c| c.name.as_str()).collect();
        if strangers.is_empty() {
            return;
        }
        let message = format!(
            "network `{}` is not as the file says any more, and cannot be replaced: {} {} on it",
            network.name,
            strangers.join(", "),
            if strangers.len() == 1 { "is" } else { "are" },
        );
        let help = format!(
            "remove {} first, or take the change of the network back",
            if strangers.len() == 1 { "that container" } else { "those containers" }
        );
        self.errors.push(Diagnostic::error("network-in-use", message).help(help));
    }

    /// Stops what runs on these networks, dependents first.
    fn stop_users(&mut self, networks: &[(&String, &ObservedNetwork)]) {
        let place = |c: &Container| c.service().and_then(|s| self.lineup.ids.get_index_of(s));
        let (mut users, mut known): (Vec<(&Container, &str)>, HashSet<&str>) = Default::default();
        for (_, network) in networks {
            for user in &network.users {
                if known.insert(&user.id) {
                    users.push((user, &network.name));
                }
            }
        }
        users.extend(sharers(self.project, self.observed, &users));
        // What the files do not have depends on what they have, if on anything.
        users.sort_by_key(|(c, _)| std::cmp::Reverse(place(c).unwrap_or(usize::MAX)));
        let dependents = graph::dependents(self.project);
        let mut stops_of: BTreeMap<String, Vec<StepId>> = BTreeMap::new();
        for (user, network) in users {
            let service = user.service().unwrap_or_default();
            let dependents = dependents.get(service).into_iter().flatten();
            let after: Vec<StepId> =
                dependents.flat_map(|s| stops_of.get(*s).cloned().unwrap_or_default()).collect();
            let stop = is_up(user.state).then(|| {
                let action = Action::StopContainer {
                    replica: replica(user),
                    container: user.into(),
                    grace: self.options.stop_grace,
                };
                self.plain(action, Cause::NetworkReplaced(network.to_owned()), after, None)
            });
            stops_of.entry(service.to_owned()).or_default().extend(stop);
            let because = network.to_owned();
            let detached = Detached { container: user.clone(), stop, networks: Vec::new(), because };
            self.detached.insert(user.id.clone(), detached);
        }
    }

    /// The step that has stopped a container because of its network, if there is one.
    pub(super) fn stopped_already(&self, container: &str) -> Option<StepId> {
        self.detached.get(container).and_then(|detached| detached.stop)
    }

    /// Replaces the volumes that are not as the files say, where that is wanted.
    pub(super) fn replace_volumes(&mut self) {
        let (project, observed) = (self.project, self.observed);
        for name in drift(project, observed).volumes {
            if !self.options.replace_volumes.contains(&name) {
                let how = if self.options.one_off.is_some() { "`up --yes`" } else { "`--yes`" };
                self.warnings.push(format!(
                    "volume `{name}` is not as the file says any more, and is kept: {how} replaces it, and its data \
                     is lost"
                ));
                continue;
            }
            let users = &observed.volumes[&name].users;
            let is_stranger = |c: &&Container| {
                c.labels.get(PROJECT) != Some(&project.name)
                    || c.is_oneoff()
                    || !c.service().is_some_and(|s| self.lineup.ids.contains_key(s))
            };
            let strangers: Vec<&str> = users.iter().filter(is_stranger).map(|c| c.name.as_str()).collect();
            if !strangers.is_empty() {
                let message = format!("volume `{name}` cannot be replaced: used by {}", strangers.join(", "));
                let help = "remove what uses it first, or keep the volume: answer no, or leave `--yes` out";
                self.errors.push(Diagnostic::error("volume-in-use", message).help(help));
                continue;
            }
            self.warnings.push(format!(
                "volume `{name}` is replaced: its data is lost, and what fails after that cannot be rolled back"
            ));
            let removed = users.iter().map(|user| self.vacate(user, &name)).collect();
            let cause = Cause::VolumeReplaced(name.clone());
            let gone = self.plain(Action::RemoveVolume { name: name.clone() }, cause.clone(), removed, None);
            let keys = project.volumes.iter().filter(|(_, volume)| volume.name == name);
            let key = keys.map(|(key, _)| key.clone()).next().unwrap_or_default();
            let action = Action::CreateVolume { key: key.clone(), name };
            let created = self.plain(action, cause, vec![gone], None);
            self.volumes.insert(key, created);
        }
    }

    /// Stops and removes a container that uses a volume; the last step.
    fn vacate(&mut self, user: &Container, volume: &str) -> StepId {
        // It may use several of them.
        if let Some(removed) = self.gone.get(&user.id) {
            return *removed;
        }
        let cause = Cause::VolumeReplaced(volume.to_owned());
        let mut after: Vec<StepId> = self.stopped_already(&user.id).into_iter().collect();
        if after.is_empty() && is_up(user.state) {
            let action = Action::StopContainer {
                replica: replica(user),
                container: user.into(),
                grace: self.options.stop_grace,
            };
            after.push(self.plain(action, cause.clone(), Vec::new(), None));
        }
        let action =
            Action::RemoveContainer { replica: replica(user), container: user.into(), volumes: false };
        let removed = self.plain(action, cause, after, None);
        self.gone.insert(user.id.clone(), removed);
        let service = user.service().unwrap_or_default().to_owned();
        self.vacated.entry(service).or_insert_with(|| (volume.to_owned(), Vec::new())).1.push(removed);
        removed
    }

    /// How many services stand between a container and one that shares nobody's namespaces.
    fn depth(&self, container: &Container) -> usize {
        let mut depth = 0;
        let mut at = container.service().and_then(|s| definition(self.project, s));
        // What shares in a circle is refused elsewhere.
        while let Some(service) = at.filter(|_| depth < self.observed.containers.len()) {
            let next = namespaces(service).next();
            depth += usize::from(next.is_some());
            at = next.and_then(|name| definition(self.project, &name));
        }
        depth
    }

    /// What runs on a network that is replaced runs on until the images are there.
    pub(super) fn stop_after_images(&mut self) {
        let is_image =
            |step: &Step| matches!(step.action, Action::PullImage { .. } | Action::BuildImage { .. });
        let steps = (0u32..).zip(&self.steps);
        let images: Vec<StepId> = steps.filter(|(_, s)| is_image(s)).map(|(n, _)| StepId(n)).collect();
        for step in self.steps.iter_mut().filter(|step| step.is_held_back()) {
            step.after.extend(&images);
        }
    }

    /// Lets everything be made that can be made before anything goes that cannot be brought back.
    pub(super) fn hold_data_back(&mut self) {
        let is_end = |step: &Step| matches!(step.cause, Cause::VolumeReplaced(_)) && step.is_held_back();
        let mut behind: Vec<bool> = self.steps.iter().map(is_end).collect();
        if !behind.contains(&true) {
            return;
        }
        let ends = behind.clone();
        let mut followers: Vec<Vec<usize>> = vec![Vec::new(); self.steps.len()];
        for (n, step) in self.steps.iter().enumerate() {
            step.after.iter().for_each(|before| followers[before.index()].push(n));
        }
        let mut open: Vec<usize> = (0..ends.len()).filter(|n| ends[*n]).collect();
        while let Some(n) = open.pop() {
            for follower in &followers[n] {
                if !std::mem::replace(&mut behind[*follower], true) {
                    open.push(*follower);
                }
            }
        }
        let is_made = |step: &Step| {
            matches!(
                step.action,
                Action::PullImage { .. }
                    | Action::BuildImage { .. }
                    | Action::CreateNetwork { .. }
                    | Action::CreateVolume { .. }
                    | Action::CreateContainer { .. }
            )
        };
        let steps = (0u32..).zip(&self.steps);
        let first: Vec<StepId> =
            steps.filter(|(n, step)| !behind[*n as usize] && is_made(step)).map(|(n, _)| StepId(n)).collect();
        for (step, _) in self.steps.iter_mut().zip(ends).filter(|(_, is_end)| *is_end) {
            step.after.extend(&first);
        }
    }

    /// A network that is replaced, and on which the container has a MAC address of its own: that is given when a
    /// container is created, and at no other time.
    pub(super) fn loses_its_mac_address(&self, service: &Service, container: &str) -> Option<String> {
        let asks = |key: &String| {
            let own = service.networks.get(key).and_then(Option::as_ref);
            service.mac_address.is_some() || own.is_some_and(|network| network.mac_address.is_some())
        };
        let mut replaced = self.detached.get(container)?.networks.iter().map(|(_, network, _)| network);
        let found = replaced.find(|name| {
            self.project.networks.iter().any(|(key, network)| network.name == **name && asks(key))
        });
        found.cloned()
    }

    /// Puts a container that stays on its networks again. Steps after which it can be started; whether it ran, and why
    /// it does not any more.
    pub(super) fn reconnect(&mut self, container: &str) -> Option<(Vec<StepId>, Option<Cause>)> {
        let detached = self.detached.remove(container)?;
        let user = detached.container;
        let mut steps: Vec<StepId> = detached.stop.into_iter().collect();
        for (created, network, endpoint) in detached.networks {
            let why = Cause::NetworkReplaced(network.clone());
            let action = reconnection(&user, &network, endpoint);
            let after: Vec<StepId> = [created].into_iter().chain(detached.stop).collect();
            steps.push(self.plain(action, why, after, None));
        }
        Some((steps, detached.stop.map(|_| Cause::NetworkReplaced(detached.because))))
    }

    /// Containers that this plan is not about, and that were on a network that is replaced, go on as they were.
    pub(super) fn reconnect_the_rest(&mut self) {
        let retired: HashSet<String> = self
            .steps
            .iter()
            .filter_map(|step| match &step.action {
                Action::RemoveContainer { container, .. } => Some(container.id.clone()),
                _ => None,
            })
            .collect();
        let mut rest: Vec<Container> = self.detached.values().map(|d| d.container.clone()).collect();
        // Whose namespaces are shared comes before those that share them.
        rest.sort_by_key(|container| self.depth(container));
        let mut starts = self.starts();
        for container in rest.into_iter().filter(|c| !retired.contains(&c.id)) {
            let Some((mut steps, cause)) = self.reconnect(&container.id) else { continue };
            let Some(cause) = cause else { continue };
            let shared: Vec<String> = container
                .service()
                .and_then(|s| definition(self.project, s))
                .into_iter()
                .flat_map(namespaces)
                .collect();
            if shared.iter().flat_map(|name| self.found_of(name)).any(|c| retired.contains(&c.id)) {
                self.warnings.push(format!(
                    "container `{}` is stopped: what it shares namespaces with is recreated; `up` recreates it too",
                    container.name
                ));
                continue;
            }
            let owners: BTreeSet<StepId> =
                shared.iter().filter_map(|name| starts.get(name)).flatten().copied().collect();
            steps.extend(owners);
            let replica = replica(&container).unwrap_or(Replica { service: String::new(), number: 0 });
            let existing = Some(ContainerRef::from(&container));
            let service = replica.service.clone();
            let action = Action::StartContainer { replica, name: container.name.clone(), existing };
            let start = self.plain(action, cause, steps, None);
            starts.entry(service).or_default().push(start);
        }
    }

    /// The steps that start containers, by service.
    fn starts(&self) -> HashMap<String, Vec<StepId>> {
        let mut starts: HashMap<String, Vec<StepId>> = HashMap::new();
        for (n, step) in (0u32..).zip(&self.steps) {
            if let Action::StartContainer { replica, .. } = &step.action {
                starts.entry(replica.service.clone()).or_default().push(StepId(n));
            }
        }
        starts
    }
}

/// A service of the files, whether it is part of this run or not.
fn definition<'a>(project: &'a Project, service: &str) -> Option<&'a Service> {
    project.services.get(service).or_else(|| project.disabled_services.get(service))
}

/// What shares a namespace with one of these, and would stay in a dead one, each with the same network.
fn sharers<'a>(
    project: &'a Project,
    observed: &'a Observed,
    users: &[(&'a Container, &'a str)],
) -> Vec<(&'a Container, &'a str)> {
    let known: HashSet<&str> = users.iter().map(|(c, _)| c.id.as_str()).collect();
    let shared = |c: &'a Container| -> Vec<String> {
        let is_one = is_up(c.state) && !c.is_oneoff() && !known.contains(c.id.as_str());
        let service = c.service().filter(|_| is_one).and_then(|s| definition(project, s));
        service.into_iter().flat_map(namespaces).collect()
    };
    let candidates = observed.containers.iter().map(|c| (c, shared(c)));
    let mut candidates: Vec<(&Container, Vec<String>)> =
        candidates.filter(|(_, shared)| !shared.is_empty()).collect();
    // The first container of each service that stops: its place among all of them, and the network.
    let mut owners: HashMap<&str, (usize, &str)> = HashMap::new();
    let (mut all, mut seen) = (users.to_vec(), 0);
    while seen < all.len() {
        for (place, (owner, network)) in all.iter().enumerate().skip(seen) {
            if let Some(service) = owner.service().filter(|_| is_up(owner.state)) {
                owners.entry(service).or_insert((place, network));
            }
        }
        seen = all.len();
        candidates.retain(|(c, shared)| {
            let owner = shared.iter().filter_map(|name| owners.get(name.as_str())).min();
            all.extend(owner.map(|(_, network)| (*c, *network)));
            owner.is_none()
        });
    }
    all.split_off(users.len())
}

/// Puts a container on the network of this name, as what it was there.
pub(in crate::plan) fn reconnection(container: &Container, network: &str, endpoint: Endpoint) -> Action {
    Action::Reconnect {
        replica: replica(container),
        container: container.into(),
        network: network.to_owned(),
        endpoint: Box::new(endpoint),
    }
}
