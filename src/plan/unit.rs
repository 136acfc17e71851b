//! Units: what a service waits for, and what makes it ready.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use indexmap::IndexMap;

use super::{Gate, GateOn, Limits, Readiness, RestartedByEngine, Unit, UnitId, UnitReplica, Wave};
use crate::project::{Condition, Dependency, Mode, OrchDependencyOn, Project, Service};

/// Services by the unit they are.
pub(super) type UnitIds = IndexMap<String, UnitId>;

/// What the project as a whole says about each of a plan's services.
pub(super) struct Lineup<'a> {
    pub(super) project: &'a Project,
    /// Services that have a unit, in the plan's order.
    pub(super) ids: UnitIds,
    /// The wave of each service.
    waves: HashMap<&'a str, usize>,
    /// The service before it, where its wave starts them one after the other.
    before: HashMap<&'a str, &'a String>,
    oneshots: HashSet<&'a str>,
}

impl<'a> Lineup<'a> {
    /// Gives every service in `order` a unit.
    pub(super) fn new(project: &'a Project, order: &[String]) -> Self {
        let (mut waves, mut before) = (HashMap::new(), HashMap::new());
        if mode(project) == Mode::Waves {
            for (index, wave) in project.orch.waves.iter().enumerate() {
                for service in wave.services() {
                    waves.entry(service.as_str()).or_insert(index);
                }
                for pair in wave.sequential.windows(2) {
                    before.entry(pair[1].as_str()).or_insert(&pair[0]);
                }
            }
        }
        let completed =
            |dependency: &Dependency| dependency.condition == Condition::ServiceCompletedSuccessfully;
        let depended = project.services.values().flat_map(|service| &service.depends_on);
        Self {
            project,
            ids: (0u32..).zip(order).map(|(n, name)| (name.clone(), UnitId(n))).collect(),
            waves,
            before,
            oneshots: depended.filter(|(_, d)| completed(d)).map(|(on, _)| on.as_str()).collect(),
        }
    }

    /// Whether exiting with 0 is what a service is for: something waits for just that.
    pub(super) fn is_oneshot(&self, service: &Service) -> bool {
        self.oneshots.contains(service.name.as_str())
    }

    /// The unit of a service, without its containers.
    pub(super) fn unit(&self, service: &Service, replicas: Vec<UnitReplica>) -> Unit {
        Unit {
            service: service.name.clone(),
            replicas,
            critical: service.orch.critical,
            gates: self.gates(service),
            wave: self.waves.get(service.name.as_str()).copied(),
            readiness: readiness(self.project, service),
            oneshot: self.is_oneshot(service),
            start: service.orch.start.clone(),
            // A plain Compose file behaves as with Compose: what exits later is only reported.
            supervised: [&self.project.extensions, &service.extensions]
                .iter()
                .any(|e| e.contains_key("x-orch")),
            restarted_by_engine: restarted_by_engine(service),
            update: None,
            rollback: None,
            beside: false,
        }
    }

    /// The unit of a one-off container: it waits as its service does, and nobody waits for it.
    pub(super) fn one_off(&self, service: &Service, replica: UnitReplica) -> Unit {
        Unit {
            wave: None,
            readiness: Readiness::Running,
            oneshot: false,
            critical: true,
            supervised: false,
            ..self.unit(service, vec![replica])
        }
    }

    /// The waves of the plan: those of the project, without services that are not part of the run.
    pub(super) fn waves(&self) -> Vec<Wave> {
        if mode(self.project) != Mode::Waves {
            return Vec::new();
        }
        let wave = |spec: &crate::project::WaveSpec| Wave {
            name: spec.name.clone(),
            units: spec.services().filter_map(|s| self.ids.get(s).copied()).collect(),
            ready_when: spec.ready_when,
            timeout: spec.timeout,
        };
        self.project.orch.waves.iter().map(wave).collect()
    }

    fn gates(&self, service: &Service) -> Vec<Gate> {
        let ids = &self.ids;
        let mut gates: Vec<Gate> = Vec::new();
        for (name, dependency) in &service.depends_on {
            let Some(&on) = ids.get(name) else { continue };
            let on = match dependency.condition {
                Condition::ServiceStarted => GateOn::Started(on),
                Condition::ServiceHealthy => GateOn::Ready(on),
                Condition::ServiceCompletedSuccessfully => GateOn::Completed(on),
            };
            gates.push(Gate { on, required: dependency.required });
        }
        for (shown, dependency) in &service.orch.depends_on {
            let on = match &dependency.on {
                OrchDependencyOn::Service { name, stage } => match (ids.get(name), stage) {
                    (Some(&on), Some(stage)) => GateOn::Stage(on, stage.clone()),
                    (Some(&on), None) => GateOn::Ready(on),
                    (None, _) => continue,
                },
                OrchDependencyOn::Check(check) => {
                    GateOn::Outside { name: shown.clone(), check: check.clone() }
                }
            };
            gates.push(Gate { on, required: dependency.required });
        }
        gates.extend(self.order_gates(service));
        gates
    }

    /// The gates that come from waves or from the sequential mode rather than from dependencies.
    fn order_gates(&self, service: &Service) -> Vec<Gate> {
        let (project, ids) = (self.project, &self.ids);
        let after = |name: &String| {
            let required = project.services.get(name).is_some_and(|s| s.orch.critical);
            ids.get(name).map(|&on| Gate { on: GateOn::Ready(on), required })
        };
        match mode(project) {
            Mode::Graph => Vec::new(),
            Mode::Sequential => {
                let before = ids.get_index_of(&service.name).and_then(|n| n.checked_sub(1));
                let before = before.and_then(|n| ids.get_index(n));
                before.and_then(|(name, _)| after(name)).into_iter().collect()
            }
            Mode::Waves => {
                let Some(wave) = self.waves.get(service.name.as_str()) else { return Vec::new() };
                let mut gates = Vec::new();
                if let Some(before) = wave.checked_sub(1) {
                    gates.push(Gate { on: GateOn::Wave(before), required: true });
                }
                gates.extend(self.before.get(service.name.as_str()).and_then(|before| after(before)));
                gates
            }
        }
    }
}

/// What decides the order: what was asked for, else waves where there are any, else the graph.
pub fn mode(project: &Project) -> Mode {
    project.orch.startup.mode.unwrap_or(if project.orch.waves.is_empty() { Mode::Graph } else { Mode::Waves })
}

/// Starts, other calls, ends and pulls at once. The engine, not the client, is the limit. Unless a number is given, starts
/// begin with two a core and follow what the engine sustains.
pub fn limits(project: &Project, cores: usize) -> Limits {
    let auto = (2 * cores).clamp(4, 16);
    let given = project.orch.startup.max_parallel.map(|n| (n as usize).max(1));
    Limits {
        starts: given.unwrap_or(auto),
        most_starts: given.is_none().then_some(8 * auto),
        calls: auto.max(given.unwrap_or(auto)),
        // An engine is done with 50 containers on two cores in 4.1 s with eight at once, in 4.8 s with four, in 5.0 s with all.
        ends: 2 * auto,
        images: 3,
        timeout: project.orch.startup.timeout,
    }
}

fn readiness(project: &Project, service: &Service) -> Readiness {
    if let Some(spec) = &service.orch.health_check {
        return Readiness::Spec(Arc::new(spec.clone()));
    }
    match &service.healthcheck {
        Some(check) if check.is_disabled() => Readiness::Running,
        Some(check) if check.test.as_ref().is_some_and(|t| !t.is_empty()) => {
            Readiness::Healthcheck(Box::new(check.clone()))
        }
        _ => Readiness::Image(project.image_name(service)),
    }
}

fn restarted_by_engine(service: &Service) -> RestartedByEngine {
    let policy = service.deploy.as_ref().and_then(|d| d.restart_policy.as_ref());
    let word = policy.map_or(service.restart.as_deref(), |p| p.condition.as_deref()).unwrap_or("no");
    let (word, count) = word.split_once(':').unwrap_or((word, ""));
    match word {
        "always" | "unless-stopped" | "any" => RestartedByEngine::Always,
        "on-failure" => {
            let most = policy.and_then(|p| p.max_attempts).or_else(|| count.parse().ok());
            // The engine takes 0 for no limit.
            RestartedByEngine::OnFailure(most.filter(|most| *most > 0))
        }
        _ => RestartedByEngine::No,
    }
}
