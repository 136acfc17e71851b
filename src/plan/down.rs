//! What ends things: `down`, `stop`, `kill`; and what brings stopped containers back: `start`, `restart`.
//!
//! All of them work from containers alone, so that a project can be ended without its files.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use indexmap::IndexMap;

use super::{
    Action, Cause, Container, ContainerRef, ContainerState, Found, Limits, Observed, Phase, Place, Plan,
    ProviderVerb, Step, StepId, UnitReplica, graph, place,
    unit::{self, Lineup},
    up::by_service,
};
use crate::project::{Project, Replica};

/// What is ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EndOptions {
    /// Only these services; empty: all.
    pub services: Vec<String>,
    /// Services that are not in the files too.
    pub orphans: bool,
    /// Named volumes of the files, and anonymous ones, too: `down --volumes`.
    pub volumes: bool,
    /// Images too: `down --rmi`.
    pub images: Option<RemoveImages>,
    /// Grace of each stop; `None`: the container's own.
    pub grace: Option<Duration>,
    /// How much at once: the machine's cores.
    pub cores: usize,
    /// A restart takes along the services whose `depends_on` asks for it.
    pub dependents: bool,
}

/// Which images `down --rmi` removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveImages {
    /// Those without a name of their own in the file.
    Local,
    /// All that services use.
    All,
}

/// Plans a `down`: containers are stopped and removed, dependents before what they depend on; then networks go.
pub fn down(project: &Project, observed: &Observed, options: &EndOptions) -> Plan {
    let mut ending = Ending::new(project, observed, options);
    let stops = ending.stop_all();
    let removed = ending.remove_all(&stops, options.volumes);
    ending.providers(ProviderVerb::Down, &removed);
    if options.volumes {
        ending.inherited_volumes(&removed);
    }
    if options.services.is_empty() {
        ending.networks(&removed);
        if options.volumes {
            ending.volumes(&removed);
        }
        if let Some(which) = options.images {
            ending.images(which, &removed);
        }
    }
    ending.plan()
}

/// Plans a `stop`: dependents before what they depend on.
pub fn stop(project: &Project, observed: &Observed, options: &EndOptions) -> Plan {
    let mut ending = Ending::of_services(project, observed, options);
    let stops = ending.stop_all();
    let stops: Vec<StepId> = stops.into_values().collect();
    ending.providers(ProviderVerb::Stop, &stops);
    ending.plan()
}

/// Plans the end of everything that runs, at once.
pub fn kill(project: &Project, observed: &Observed, options: &EndOptions) -> Plan {
    let mut ending = Ending::new(project, observed, options);
    for container in ending.running() {
        let action = Action::KillContainer { replica: replica(&container), container: (&container).into() };
        ending.step(action, Vec::new());
    }
    ending.plan()
}

/// Plans a `start`: containers that are there and do not run are started, dependencies first.
///
/// Services that have no container are left out; their names are in the plan's warnings.
pub fn start(project: &Project, observed: &Observed, options: &EndOptions) -> Plan {
    starting(project, observed, options, false)
}

/// Plans a `restart`: what runs is stopped, dependents first, and everything is started, dependencies first.
pub fn restart(project: &Project, observed: &Observed, options: &EndOptions) -> Plan {
    starting(project, observed, options, true)
}

/// Whether the engine chose a volume's name, as it does for volumes that nobody names.
pub fn is_anonymous_volume(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What a restart of these services restarts: them, and all whose `depends_on` has `restart: true` for one of these.
pub fn restarted_with(project: &Project, services: &[String]) -> Vec<String> {
    let mut restart_with: HashMap<&str, Vec<&String>> = HashMap::new();
    for (name, service) in &project.services {
        for (on, _) in service.depends_on.iter().filter(|(_, dependency)| dependency.restart) {
            restart_with.entry(on).or_default().push(name);
        }
    }
    let mut known: HashSet<&str> = services.iter().map(String::as_str).collect();
    let (mut restarted, mut next) = (services.to_vec(), 0);
    while let Some(more) = restarted.get(next).map(|on| restart_with.remove(on.as_str())) {
        restarted.extend(more.into_iter().flatten().filter(|name| known.insert(name)).cloned());
        next += 1;
    }
    restarted
}

fn starting(project: &Project, observed: &Observed, options: &EndOptions, stop_first: bool) -> Plan {
    let mut ending = Ending::of_services(project, observed, options);
    let stops = if stop_first { ending.stop_all() } else { BTreeMap::new() };
    let order = graph::dependency_order(project).unwrap_or_default();
    let chosen: HashSet<&String> = options.services.iter().collect();
    let chosen = |name: &String| chosen.is_empty() || chosen.contains(name);
    let lineup = Lineup::new(project, &order);
    let there = ending.containers.clone();
    let there = by_service(&there);
    let mut units = Vec::new();
    for name in &order {
        let service = &project.services[name.as_str()];
        let containers = there.get(name.as_str()).map(|of_it| startable(of_it)).unwrap_or_default();
        if containers.is_empty() && chosen(name) {
            ending.warnings.push(format!("service `{name}` has no container to start"));
        }
        let mut replicas = Vec::new();
        for container in containers {
            let runs = is_up(container.state) && !stop_first;
            let existing = ContainerRef::from(container);
            let replica = Replica { service: name.clone(), number: container.number() };
            let start = (chosen(name) && !runs).then(|| {
                let after = stops.get(&container.id).copied().into_iter().collect();
                let action = Action::StartContainer {
                    replica: replica.clone(),
                    name: container.name.clone(),
                    existing: Some(existing.clone()),
                };
                ending.gated(action, after, lineup.ids[name.as_str()])
            });
            let found = if start.is_some() { Found::ToStart } else { Found::Running };
            if start.is_some() || runs {
                replicas.push(UnitReplica { number: replica.number, start, existing: Some(existing), found });
            }
        }
        units.push(lineup.unit(service, replicas));
    }
    let waves = lineup.waves();
    Plan { units, waves, limits: unit::limits(project, options.cores), ..ending.plan() }
}

/// One container for each number: where an interrupted update left more, the one with the final name.
fn startable<'a>(of_service: &[&'a Container]) -> Vec<&'a Container> {
    let is_one = |c: &&Container| !c.is_oneoff() && place(c) != Place::Successor;
    let mut of_it: Vec<&Container> = of_service.iter().copied().filter(is_one).collect();
    of_it.sort_by_key(|c| (c.number(), place(c) == Place::Previous));
    of_it.dedup_by_key(|c| c.number());
    of_it
}

/// A plan in the making that starts from containers.
struct Ending<'a> {
    project: &'a Project,
    observed: &'a Observed,
    options: &'a EndOptions,
    containers: Vec<Container>,
    steps: Vec<Step>,
    warnings: Vec<String>,
}

impl<'a> Ending<'a> {
    fn new(project: &'a Project, observed: &'a Observed, options: &'a EndOptions) -> Self {
        let named: HashSet<&str> = options.services.iter().map(String::as_str).collect();
        let chosen = |c: &&Container| {
            let service = c.service().unwrap_or_default();
            if !named.is_empty() {
                return named.contains(service);
            }
            // `run` makes containers of services that no active profile brings.
            let disabled = project.disabled_services.contains_key(service);
            project.services.contains_key(service) || if disabled { c.is_oneoff() } else { options.orphans }
        };
        let containers = observed.containers.iter().filter(chosen).cloned().collect();
        Self { project, observed, options, containers, steps: Vec::new(), warnings: Vec::new() }
    }

    /// Without one-off containers: `run` made them, and only `down` ends them, as in Compose.
    fn of_services(project: &'a Project, observed: &'a Observed, options: &'a EndOptions) -> Self {
        let mut ending = Self::new(project, observed, options);
        ending.containers.retain(|c| !c.is_oneoff());
        ending
    }

    fn plan(self) -> Plan {
        Plan {
            project: self.project.name.clone(),
            steps: self.steps,
            units: Vec::new(),
            waves: Vec::new(),
            limits: Limits { timeout: None, ..unit::limits(self.project, self.options.cores) },
            window: None,
            warnings: self.warnings,
        }
    }

    fn step(&mut self, action: Action, after: Vec<StepId>) -> StepId {
        let id = StepId(u32::try_from(self.steps.len()).expect("fewer than 2^32 steps"));
        self.steps.push(Step {
            action,
            after,
            gate: None,
            awaits: None,
            unit: None,
            cause: Cause::Requested,
            phase: Phase::Run,
        });
        id
    }

    fn gated(&mut self, action: Action, after: Vec<StepId>, gate: super::UnitId) -> StepId {
        let id = self.step(action, after);
        self.steps[id.index()].gate = Some(gate);
        self.steps[id.index()].unit = Some(gate);
        id
    }

    fn running(&self) -> Vec<Container> {
        self.containers.iter().filter(|c| is_up(c.state)).cloned().collect()
    }

    /// Stops what runs, each service once all that depend on it are stopped. Step by container ID.
    fn stop_all(&mut self) -> BTreeMap<String, StepId> {
        let edges = dependents_first(self.project, &self.containers);
        let order = graph::order(&edges).unwrap_or_else(|_| edges.keys().cloned().collect());
        let running = self.running();
        let running = by_service(&running);
        let mut of_service: IndexMap<String, Vec<StepId>> = IndexMap::new();
        let mut of_container = BTreeMap::new();
        for service in order {
            // A dependent that has nothing to stop passes on what it waits for itself.
            let mut after: Vec<StepId> = edges[&service].iter().flat_map(|d| of_service[d].clone()).collect();
            after.sort_unstable();
            after.dedup();
            let mut steps = Vec::new();
            for container in running.get(service.as_str()).into_iter().flatten().copied() {
                let action = Action::StopContainer {
                    replica: replica(container),
                    container: container.into(),
                    grace: self.options.grace,
                };
                let step = self.step(action, after.clone());
                of_container.insert(container.id.clone(), step);
                steps.push(step);
            }
            of_service.insert(service, if steps.is_empty() { after } else { steps });
        }
        of_container
    }

    fn remove_all(&mut self, stops: &BTreeMap<String, StepId>, volumes: bool) -> Vec<StepId> {
        let containers = self.containers.clone();
        let remove = |container: &Container| {
            let action =
                Action::RemoveContainer { replica: replica(container), container: container.into(), volumes };
            self.step(action, stops.get(&container.id).copied().into_iter().collect())
        };
        containers.iter().map(remove).collect()
    }

    /// Has providers end what they provide: once no container is left that may use it, dependents first.
    fn providers(&mut self, verb: ProviderVerb, after: &[StepId]) {
        let order = graph::dependency_order(self.project).unwrap_or_default();
        let chosen: HashSet<&String> = self.options.services.iter().collect();
        let mut after = after.to_vec();
        for service in order.into_iter().rev().filter(|name| chosen.is_empty() || chosen.contains(name)) {
            if let Some(provider) = &self.project.services[service.as_str()].provider {
                let provider = provider.r#type.clone();
                after = vec![self.step(Action::CallProvider { service, provider, verb }, after)];
            }
        }
    }

    fn networks(&mut self, removed: &[StepId]) {
        let mut names: Vec<String> = self
            .observed
            .networks
            .values()
            .filter(|n| n.labels.get("com.docker.compose.project") == Some(&self.project.name))
            .map(|n| n.name.clone())
            .collect();
        names.sort();
        for name in names {
            self.step(Action::RemoveNetwork { name, replaced: None }, removed.to_vec());
        }
    }

    fn volumes(&mut self, removed: &[StepId]) {
        let ours = |name: &&String| {
            let volume = &self.observed.volumes[*name];
            volume.labels.get("com.docker.compose.project") == Some(&self.project.name)
        };
        let names: Vec<String> = self.observed.volumes.keys().filter(ours).cloned().collect();
        let in_files = self.project.volumes.values().filter(|v| !v.external);
        let in_files: HashSet<&String> = in_files.map(|v| &v.name).collect();
        let in_file = |name: &String| self.project.volumes.is_empty() || in_files.contains(name);
        let names: Vec<String> = names.into_iter().filter(|n| in_file(n) || self.options.orphans).collect();
        for name in names {
            self.step(Action::RemoveVolume { name }, removed.to_vec());
        }
    }

    /// Anonymous volumes that moved from a container to its successor: the engine takes them for named ones, and leaves
    /// them behind.
    fn inherited_volumes(&mut self, removed: &[StepId]) {
        let successors = self.containers.iter().filter(|c| c.compose_label("replace").is_some());
        let mounts = successors.flat_map(|c| &c.mounts).filter(|m| m.r#type == "volume");
        let mut names: Vec<String> =
            mounts.map(|m| m.name.clone()).filter(|name| is_anonymous_volume(name)).collect();
        names.sort();
        names.dedup();
        for name in names {
            self.step(Action::RemoveVolume { name }, removed.to_vec());
        }
    }

    fn images(&mut self, which: RemoveImages, removed: &[StepId]) {
        let project = self.project;
        let mut images: Vec<String> = project
            .services
            .values()
            .filter(|s| which == RemoveImages::All || s.image.is_none())
            .map(|s| project.image_name(s))
            .filter(|i| self.observed.images.contains_key(i))
            .collect();
        images.sort();
        images.dedup();
        for image in images {
            self.step(Action::RemoveImage { image }, removed.to_vec());
        }
    }
}

/// For each service the services that must be ended before it: its dependents, by the files or by the labels that
/// its containers were given.
fn dependents_first(project: &Project, containers: &[Container]) -> IndexMap<String, Vec<String>> {
    let mut edges: IndexMap<String, Vec<String>> = IndexMap::new();
    for container in containers {
        edges.entry(container.service().unwrap_or_default().to_owned()).or_default();
    }
    let services: Vec<String> = edges.keys().cloned().collect();
    let there = by_service(containers);
    for name in services {
        let on: Vec<String> = match project.services.get(&name) {
            Some(service) => graph::dependencies(service).map(str::to_owned).collect(),
            None => there
                .get(name.as_str())
                .into_iter()
                .flatten()
                .filter_map(|c| c.compose_label("depends_on"))
                .flat_map(|label| label.split(',').filter_map(|entry| entry.split(':').next()))
                .map(str::to_owned)
                .collect(),
        };
        for dependency in on {
            if dependency != name
                && let Some(before) = edges.get_mut(&dependency)
            {
                before.push(name.clone());
            }
        }
    }
    edges
}

pub(super) fn replica(container: &Container) -> Option<Replica> {
    let service = container.service()?;
    Some(Replica { service: service.to_owned(), number: container.number() })
}

pub(super) fn is_up(state: ContainerState) -> bool {
    matches!(state, ContainerState::Running | ContainerState::Restarting | ContainerState::Paused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Service;

    fn container(name: &str, service: &str, oneoff: &str) -> Container {
        let label = |key: &str, value: &str| (format!("com.docker.compose.{key}"), value.to_owned());
        Container {
            id: name.to_owned(),
            name: name.to_owned(),
            state: ContainerState::Running,
            labels: [label("service", service), label("oneoff", oneoff)].into(),
            ..Container::default()
        }
    }

    #[test]
    fn stop_leaves_one_off_containers_alone_and_down_does_not() {
        let mut project = Project { name: "p".to_owned(), ..Project::default() };
        project.services.insert("web".to_owned(), Service { name: "web".to_owned(), ..Service::default() });
        let observed = Observed {
            containers: vec![container("p-web-1", "web", "False"), container("p-web-run-1", "web", "True")],
            ..Observed::default()
        };
        let stopped = |plan: Plan| plan.steps.len();
        assert_eq!(stopped(stop(&project, &observed, &EndOptions::default())), 1);
        // Each is stopped and removed.
        assert_eq!(stopped(down(&project, &observed, &EndOptions::default())), 4);
    }
}
