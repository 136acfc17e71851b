//! The plan: steps for the engine, and units whose readiness opens gates.

use std::{fmt, sync::Arc, time::Duration};

use super::{Endpoint, ObservedNetwork, OneOff};
use crate::project::{
    Check, HealthSpec, Healthcheck, OnFailure, Replica, Require, RollbackCondition, StartPolicy,
};

/// What will be done: an immutable value that leaves the execution no choice but time.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The project's name.
    pub project: String,
    /// Every engine call, in a total order that is also a good order to do them in.
    pub steps: Vec<Step>,
    /// Every service whose readiness matters to this plan.
    pub units: Vec<Unit>,
    /// Waves in order.
    pub waves: Vec<Wave>,
    /// How much at once, and how long.
    pub limits: Limits,
    /// What happens between ready and [`Phase::Commit`]; `None`: nothing.
    pub window: Option<Window>,
    /// What the user should know before it begins.
    pub warnings: Vec<String>,
}

/// How much is done at once, and how long the whole may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Container starts in flight, at first where they adapt.
    pub starts: usize,
    /// As many when the engine turns out to sustain them; `None`: their number does not adapt.
    pub most_starts: Option<usize>,
    /// Other container and network calls in flight.
    pub calls: usize,
    /// Ends of containers in flight that wait for nothing: kills and removals.
    pub ends: usize,
    /// Pulls and builds in flight.
    pub images: usize,
    /// From the run's beginning until every unit must be ready.
    pub timeout: Option<Duration>,
}

impl Plan {
    /// Its units with their IDs, in order.
    pub fn ids(&self) -> impl Iterator<Item = (UnitId, &Unit)> {
        (0u32..).map(UnitId).zip(&self.units)
    }

    /// What follows when the update of this service fails, where the service itself says so.
    pub fn failure_action(&self, service: &str) -> Option<OnFailure> {
        let unit = self.units.iter().find(|unit| unit.service == service)?;
        unit.update.as_ref()?.on_failure
    }

    /// The window, where the plan starts or stops something: what changes nothing is not watched.
    pub fn window(&self) -> Option<&Window> {
        let changes = |step: &Step| step.action.changes_what_runs();
        self.window.as_ref().filter(|_| self.steps.iter().any(changes))
    }

    /// Names of the containers that are kept until the last steps: what going back needs.
    pub fn kept(&self) -> Vec<String> {
        let kept = |step: &Step| match &step.action {
            Action::RemoveContainer { container, .. }
                if step.phase == Phase::Commit && step.cause != Cause::Leftover =>
            {
                Some(container.name.clone())
            }
            _ => None,
        };
        self.steps.iter().filter_map(kept).collect()
    }
}

/// The time after ready in which what ran before is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// How long it is; never zero.
    pub length: Duration,
    /// What makes the run roll back, beside a critical service that becomes unhealthy. The first one counts.
    pub conditions: Vec<RollbackCondition>,
}

/// A step's place in [`Plan::steps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(pub u32);

impl StepId {
    /// As an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A unit's place in [`Plan::units`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitId(pub u32);

impl UnitId {
    /// As an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One engine call.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What is asked for.
    pub action: Action,
    /// Steps that must be done before.
    pub after: Vec<StepId>,
    /// The unit whose gates must be open before.
    pub gate: Option<UnitId>,
    /// What it waits for in its unit's update, beside that.
    pub awaits: Option<Awaits>,
    /// The unit that fails when this step fails; `None`: the run fails.
    pub unit: Option<UnitId>,
    /// Why.
    pub cause: Cause,
    /// When in the run.
    pub phase: Phase,
}

impl Step {
    /// Whether it takes away what runs, and only comes after what may fail before: to the order alone it owes its
    /// predecessors.
    pub fn is_held_back(&self) -> bool {
        self.unit.is_none()
            && matches!(self.cause, Cause::NetworkReplaced(_) | Cause::VolumeReplaced(_))
            && matches!(self.action, Action::StopContainer { .. } | Action::RemoveContainer { .. })
    }
}

/// What a step that takes part in its unit's update waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaits {
    /// The batch of this place in [`Update::batches`] is due.
    Batch(usize),
    /// The step's replica is ready.
    Ready,
}

/// When in a run a step is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// As soon as its predecessors and gates allow.
    Run,
    /// Once everything is ready: what cannot be undone waits until nothing needs undoing.
    Commit,
}

/// What the engine is asked for: one call each.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Create the project's network of this key.
    CreateNetwork {
        /// Key in the file.
        key: String,
        /// Name on the engine.
        name: String,
    },
    /// Remove a network.
    RemoveNetwork {
        /// Name on the engine.
        name: String,
        /// What brings it back when the removal is undone; `None`: nothing does.
        replaced: Option<Box<ObservedNetwork>>,
    },
    /// Make a network once more that was there before.
    RestoreNetwork(Box<ObservedNetwork>),
    /// Put a container that does not run on the network that has this name now.
    Reconnect {
        /// Which.
        replica: Option<Replica>,
        /// Its container.
        container: ContainerRef,
        /// Name on the engine.
        network: String,
        /// What it was on the network that had the name before.
        endpoint: Box<Endpoint>,
    },
    /// Create the project's volume of this key.
    CreateVolume {
        /// Key in the file.
        key: String,
        /// Name on the engine.
        name: String,
    },
    /// Remove a volume.
    RemoveVolume {
        /// Name on the engine.
        name: String,
    },
    /// Pull an image; where that fails and `or_build` names a service, build that.
    PullImage {
        /// The reference.
        image: String,
        /// For one platform.
        platform: Option<String>,
        /// The service whose `build` gives this image too.
        or_build: Option<String>,
    },
    /// Build a service's image.
    BuildImage {
        /// The service's key.
        service: String,
        /// The name of the result.
        image: String,
    },
    /// Remove an image.
    RemoveImage {
        /// The reference.
        image: String,
    },
    /// Have the tool that provides a service act on it.
    CallProvider {
        /// The service's key.
        service: String,
        /// The tool's name: the provider's type.
        provider: String,
        /// What it is to do.
        verb: ProviderVerb,
    },
    /// Have Docker's model plugin get a model and configure it.
    SetUpModel {
        /// The model's key in the file.
        key: String,
    },
    /// Create a container of a service.
    CreateContainer {
        /// Which.
        replica: Replica,
        /// The name it is created under.
        name: String,
        /// The container whose place it takes.
        replaces: Option<ContainerRef>,
        /// What is special about a one-off container.
        one_off: Option<OneOff>,
        /// It gets fresh anonymous volumes instead of those of the container whose place it takes.
        renew_volumes: bool,
        /// Networks, by key, on which the container whose place it takes keeps their names for now.
        unnamed: Vec<String>,
    },
    /// Give a container that this plan creates the names of its service on networks where it has none yet. It leaves
    /// each network for a moment and comes back with another address.
    TakeNames {
        /// Which.
        replica: Replica,
        /// The container's name.
        name: String,
        /// Keys of the networks in the file.
        networks: Vec<String>,
    },
    /// Start a container.
    StartContainer {
        /// Which.
        replica: Replica,
        /// The container's name.
        name: String,
        /// The one that is there already; `None`: the one that this plan creates.
        existing: Option<ContainerRef>,
    },
    /// Stop a container within its grace period.
    StopContainer {
        /// Its replica, where its service is known.
        replica: Option<Replica>,
        /// Which.
        container: ContainerRef,
        /// `None`: as the container says.
        grace: Option<Duration>,
    },
    /// Kill a container.
    KillContainer {
        /// Its replica, where its service is known.
        replica: Option<Replica>,
        /// Which.
        container: ContainerRef,
    },
    /// Give a container another name.
    RenameContainer {
        /// Its replica.
        replica: Replica,
        /// The one that is there already; `None`: the one that this plan creates.
        existing: Option<ContainerRef>,
        /// The new name.
        to: String,
    },
    /// Remove a container.
    RemoveContainer {
        /// Its replica, where its service is known.
        replica: Option<Replica>,
        /// Which.
        container: ContainerRef,
        /// Its anonymous volumes too.
        volumes: bool,
    },
}

impl Action {
    /// Whether it starts or stops a container.
    pub fn changes_what_runs(&self) -> bool {
        self.stops() || matches!(self, Self::StartContainer { .. })
    }

    /// Whether it stops a container.
    pub fn stops(&self) -> bool {
        matches!(self, Self::StopContainer { .. } | Self::KillContainer { .. })
    }

    /// The replica that it is about, where it is about one.
    pub fn replica(&self) -> Option<&Replica> {
        match self {
            Self::CreateContainer { replica, .. }
            | Self::TakeNames { replica, .. }
            | Self::StartContainer { replica, .. }
            | Self::RenameContainer { replica, .. } => Some(replica),
            Self::StopContainer { replica, .. }
            | Self::Reconnect { replica, .. }
            | Self::KillContainer { replica, .. }
            | Self::RemoveContainer { replica, .. } => replica.as_ref(),
            Self::CreateNetwork { .. }
            | Self::RemoveNetwork { .. }
            | Self::RestoreNetwork(_)
            | Self::CreateVolume { .. }
            | Self::RemoveVolume { .. }
            | Self::PullImage { .. }
            | Self::BuildImage { .. }
            | Self::RemoveImage { .. }
            | Self::CallProvider { .. }
            | Self::SetUpModel { .. } => None,
        }
    }
}

/// What a provider can be asked to do with a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderVerb {
    /// Make it what the file says.
    Up,
    /// End it and remove what belongs to it.
    Down,
    /// End it and keep what belongs to it, where the provider can.
    Stop,
}

impl ProviderVerb {
    /// As the provider is called with it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Stop => "stop",
        }
    }
}

/// A container that was there before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRef {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name when the plan was made.
    pub name: String,
}

/// A service whose readiness matters.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Unit {
    /// Its key.
    pub service: String,
    /// Its containers.
    pub replicas: Vec<UnitReplica>,
    /// `false`: its failure makes the run degraded, never failed.
    pub critical: bool,
    /// What must hold before it starts.
    pub gates: Vec<Gate>,
    /// Its wave's place in [`Plan::waves`].
    pub wave: Option<usize>,
    /// What makes it ready.
    pub readiness: Readiness,
    /// Exiting with 0 is what it is for.
    pub oneshot: bool,
    /// How its start is tried again.
    pub start: StartPolicy,
    /// It is looked after once it is ready: its end, or ill health, counts as a failure then too.
    pub supervised: bool,
    /// The engine starts it again when it exits.
    pub restarted_by_engine: RestartedByEngine,
    /// How its containers are replaced, where that is done a few at a time.
    pub update: Option<Update>,
    /// How they are put back; `None`: nobody said.
    pub rollback: Option<Rollback>,
    /// A container of it can run beside the one that takes its place.
    pub beside: bool,
}

/// How the containers of a unit are put back: `deploy.rollback_config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback {
    /// So many at a time; 0: all.
    pub parallelism: usize,
    /// From the end of one batch to the beginning of the next.
    pub delay: Duration,
    /// How long a batch is watched, once it is ready, before it is over.
    pub monitor: Duration,
    /// The old container is ready before the new one goes, where both can run at the same time.
    pub start_first: bool,
}

/// How the containers of a unit are replaced: `deploy.update_config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The numbers of the containers that are replaced together; one batch after the other.
    pub batches: Vec<Vec<u32>>,
    /// From the end of one batch to the beginning of the next.
    pub delay: Duration,
    /// How long a batch is watched, once it is ready, before it is over.
    pub monitor: Duration,
    /// So many of these containers may fail without failing the service.
    pub tolerated: usize,
    /// What happens to the project when more fail; `None`: what the project's policy says.
    pub on_failure: Option<OnFailure>,
}

impl Update {
    /// Numbers of containers, so many at a time; 0: all together.
    pub(super) fn batched(numbers: &[u32], at_once: usize) -> Vec<Vec<u32>> {
        let at_once = if at_once == 0 { numbers.len().max(1) } else { at_once };
        numbers.chunks(at_once).map(<[u32]>::to_vec).collect()
    }
}

/// When the engine starts a container again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartedByEngine {
    /// Never.
    No,
    /// When its exit code is not 0, so many times at most; `None`: without end.
    OnFailure(Option<u64>),
    /// Whenever it exits.
    Always,
}

/// One container of a unit.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitReplica {
    /// From 1; 0 for a one-off container.
    pub number: u32,
    /// The step that starts it; `None`: it is left as it is.
    pub start: Option<StepId>,
    /// The container that is there already and stays.
    pub existing: Option<ContainerRef>,
    /// What is known of one that is left as it is.
    pub found: Found,
}

/// What is known of a container before anything is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It will be started.
    ToStart,
    /// It runs; whether it is ready is to be probed.
    Running,
    /// It runs and its own health check passes.
    Healthy,
    /// It has done its one-shot work.
    Completed,
}

/// What makes a unit ready.
#[derive(Debug, Clone, PartialEq)]
pub enum Readiness {
    /// Its `x-orch` checks.
    Spec(Arc<HealthSpec>),
    /// Its Compose healthcheck.
    Healthcheck(Box<Healthcheck>),
    /// The HEALTHCHECK of this image where it has one, else that it runs.
    Image(String),
    /// That it runs.
    Running,
}

/// Something that must hold before a unit starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// What.
    pub on: GateOn,
    /// `false`: a failure opens the gate too, and the unit is degraded.
    pub required: bool,
}

/// What a gate waits for.
#[derive(Debug, Clone, PartialEq)]
pub enum GateOn {
    /// Its containers are started.
    Started(UnitId),
    /// It is ready.
    Ready(UnitId),
    /// It has exited with 0.
    Completed(UnitId),
    /// It has passed this stage.
    Stage(UnitId, String),
    /// This wave is ready.
    Wave(usize),
    /// Something outside the project answers.
    Outside {
        /// The name it is shown under.
        name: String,
        /// What is asked.
        check: Box<Check>,
    },
}

impl GateOn {
    /// The unit it waits for, if it waits for one.
    pub fn unit(&self) -> Option<UnitId> {
        match self {
            Self::Started(unit) | Self::Ready(unit) | Self::Completed(unit) | Self::Stage(unit, _) => {
                Some(*unit)
            }
            Self::Wave(_) | Self::Outside { .. } => None,
        }
    }
}

/// Units that are released together.
#[derive(Debug, Clone, PartialEq)]
pub struct Wave {
    /// Its name.
    pub name: String,
    /// Its units.
    pub units: Vec<UnitId>,
    /// How much of its critical part must be ready.
    pub ready_when: Require,
    /// From its opening until it must be ready.
    pub timeout: Option<Duration>,
}

/// Why a step is in the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// There is none yet.
    Missing,
    /// The service's definition is another, in these attributes; none: nobody noted what it was.
    ConfigChanged(Vec<String>),
    /// The image behind the name is another.
    ImageChanged,
    /// The user asked for it.
    Forced,
    /// The container is not on this network.
    NetworkMissing(String),
    /// This volume is not mounted.
    VolumeMissing(String),
    /// This network is not as the files say, and is replaced.
    NetworkReplaced(String),
    /// This volume is not as the files say, and is replaced.
    VolumeReplaced(String),
    /// The container whose namespace or volumes it shares is recreated.
    SharesWith(String),
    /// It does not run.
    NotRunning,
    /// It goes with the service it depends on, which is recreated.
    RestartsWith(String),
    /// The service wants fewer containers.
    ScaledDown,
    /// Its service is not in the files.
    Orphan,
    /// An earlier run was killed half-way.
    Leftover,
    /// The pull policy says so.
    PullPolicy(String),
    /// Containers are made with what a tool says.
    FromTool,
    /// The user ended it, or asked for the project's end.
    Requested,
    /// Another container takes its place.
    Replaced,
    /// It goes back to where it was.
    Undo,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is none yet"),
            Self::ConfigChanged(what) => f.write_str(&changed(what)),
            Self::ImageChanged => f.write_str("its image changed"),
            Self::Forced => f.write_str("recreation was asked for"),
            Self::NetworkMissing(name) => write!(f, "it is not on network `{name}`"),
            Self::VolumeMissing(name) => write!(f, "volume `{name}` is not mounted"),
            Self::NetworkReplaced(name) => write!(f, "network `{name}` changed"),
            Self::VolumeReplaced(name) => write!(f, "volume `{name}` is replaced"),
            Self::SharesWith(name) => write!(f, "it shares with `{name}`, which is recreated"),
            Self::NotRunning => f.write_str("it does not run"),
            Self::RestartsWith(name) => write!(f, "it restarts with `{name}`"),
            Self::ScaledDown => f.write_str("the service wants fewer containers"),
            Self::Orphan => f.write_str("its service is not in the files"),
            Self::Leftover => f.write_str("an earlier run was interrupted"),
            Self::PullPolicy(policy) => write!(f, "pull policy `{policy}`"),
            Self::FromTool => f.write_str("others are made with what it says"),
            Self::Requested => f.write_str("asked for"),
            Self::Replaced => f.write_str("another container takes its place"),
            Self::Undo => f.write_str("put back as it was"),
        }
    }
}

/// Attributes of a definition that are named; of more there is only a number.
const NAMED: usize = 3;

fn changed(what: &[String]) -> String {
    let named = what.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match what.len() {
        0 => "its definition changed (in what is not known: it was created elsewhere)".to_owned(),
        n if n <= NAMED => format!("{named} changed"),
        n => format!("{named} and {} more changed", n - NAMED),
    }
}
