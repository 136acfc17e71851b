//! How a command begins: what it must know of the engine, and the event that says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use indexmap::IndexMap;

use crate::{
    diagnostic::Diagnostic,
    engine::{EngineError, Scope},
    event::{
        CancelReason, DependsOn, EventKind, FORMAT_VERSION, Holder, RunFinished, RunStarted, ServiceInfo,
        Until,
    },
    executor::{AskError, LockError, Run},
    plan::{Gate, GateOn, Observed, Plan, Readiness},
    project::{Project, Replica},
};

/// What a trace calls a part of the command.
pub(super) fn phase(name: &'static str) -> tracing::Span {
    tracing::trace_span!("phase", name)
}

/// Why a command could not begin.
#[derive(Debug, Clone, PartialEq)]
pub enum RunError {
    /// The engine did not answer, or refused.
    Engine(EngineError),
    /// The project cannot be planned.
    Plan(Vec<Diagnostic>),
    /// Somebody asked it to end.
    Ended(CancelReason),
    /// Another command goes on changing the project.
    Busy {
        /// Which.
        holder: Holder,
        /// How long was waited for it.
        waited: Duration,
    },
}

impl From<AskError> for RunError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Engine(error) => Self::Engine(error),
            AskError::Ended(reason) => Self::Ended(reason),
        }
    }
}

impl From<LockError> for RunError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Busy { holder, waited } => Self::Busy { holder, waited },
            LockError::Ended(reason) => Self::Ended(reason),
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// The last event.
    pub finished: RunFinished,
    /// What made it end early, if anything did.
    pub reason: Option<CancelReason>,
    /// Containers that exited while it ran, with their codes, in order.
    pub exits: Vec<(Replica, i64)>,
}

/// What names a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunLabel {
    /// Unique, and sorts by time.
    pub id: String,
    /// When it began: RFC 3339 in UTC.
    pub time: String,
    /// `up`, `down`, …
    pub command: String,
}

/// What a project needs to know of the engine.
pub fn scope(project: &Project) -> Scope {
    let images: BTreeSet<(String, Option<String>)> =
        project.services.values().map(|s| (project.image_name(s), s.platform.clone())).collect();
    Scope {
        project: project.name.clone(),
        images: images.into_iter().collect(),
        networks: project.networks.values().map(|n| n.name.clone()).collect(),
        volumes: project.volumes.values().map(|v| v.name.clone()).collect(),
    }
}

/// Says that a run begins, and what it deals with.
pub(super) fn announce_start(run: &mut Run, label: &RunLabel, plan: &Plan, observed: &Observed) {
    let services = if plan.units.is_empty() { listed(observed) } else { planned(plan, run.project()) };
    let started = RunStarted {
        format: FORMAT_VERSION,
        run: label.id.clone(),
        time: label.time.clone(),
        project: plan.project.clone(),
        command: label.command.clone(),
        engine: run.engine().info().host.clone(),
        waves: plan.waves.iter().map(|w| w.name.clone()).collect(),
        services,
    };
    run.announce(EventKind::RunStarted(started));
    for message in plan.warnings.clone() {
        run.announce(EventKind::Warning { message });
    }
}

/// The services of a plan, as the first event of its run lists them.
pub fn planned(plan: &Plan, project: &Project) -> Vec<ServiceInfo> {
    let stages = |readiness: &Readiness| match readiness {
        Readiness::Spec(spec) => spec.stages.iter().map(|s| s.name.clone()).collect(),
        Readiness::Healthcheck(_) => vec!["healthy".to_owned()],
        Readiness::Image(_) | Readiness::Running => Vec::new(),
    };
    // Of two that name a service the first counts.
    let waves = project.orch.waves.iter().rev();
    let waves: BTreeMap<&str, &str> = waves
        .flat_map(|wave| wave.services().map(|service| (service.as_ref(), wave.name.as_str())))
        .collect();
    let info = |unit: &crate::plan::Unit| ServiceInfo {
        service: unit.service.clone(),
        replicas: unit.replicas.iter().map(|r| r.number).collect(),
        wave: waves.get(unit.service.as_str()).map(|&wave| wave.to_owned()),
        critical: unit.critical,
        stages: stages(&unit.readiness),
        depends_on: unit.gates.iter().filter_map(|gate| awaited(plan, gate)).collect(),
        image: project.services.get(unit.service.as_str()).map(|s| project.image_name(s)).unwrap_or_default(),
    };
    plan.units.iter().map(info).collect()
}

/// What a gate waits for; waves are told by themselves.
fn awaited(plan: &Plan, gate: &Gate) -> Option<DependsOn> {
    let (unit, until) = match &gate.on {
        GateOn::Started(unit) => (unit, Until::Started),
        GateOn::Ready(unit) => (unit, Until::Ready),
        GateOn::Completed(unit) => (unit, Until::Completed),
        GateOn::Stage(unit, _) => (unit, Until::Stage),
        GateOn::Outside { name, .. } => {
            return Some(DependsOn { on: name.clone(), until: Until::Outside, stage: None });
        }
        GateOn::Wave(_) => return None,
    };
    let stage = if let GateOn::Stage(_, stage) = &gate.on { Some(stage.clone()) } else { None };
    Some(DependsOn { on: plan.units[unit.index()].service.clone(), until, stage })
}

fn listed(observed: &Observed) -> Vec<ServiceInfo> {
    let mut services: IndexMap<&str, Vec<u32>> = IndexMap::new();
    for container in &observed.containers {
        if let Some(service) = container.service() {
            services.entry(service).or_default().push(container.number());
        }
    }
    let info = |(service, replicas): (&str, Vec<u32>)| ServiceInfo {
        service: service.to_owned(),
        replicas,
        wave: None,
        critical: true,
        stages: Vec::new(),
        depends_on: Vec::new(),
        image: String::new(),
    };
    services.into_iter().map(info).collect()
}
