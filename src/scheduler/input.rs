//! What goes into the scheduler and what comes out.

use crate::{
    event::{CancelReason, EventKind, Failure, Verdict},
    health::{Movement, ProbeId, ProbeResult},
    plan::{ContainerRef, ImageInfo, Pace, StepId, UnitId},
    project::{Check, Mapping, Progress, Replica},
};

/// Something that happened outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The run begins, or time has passed.
    Tick,
    /// A performed step is over.
    StepFinished {
        /// Which.
        step: StepId,
        /// What came of it.
        result: Result<StepOutput, StepFailure>,
    },
    /// The process of the container that a performed step stops has ended. The engine is still at its clean-up, and the
    /// step is not over.
    ProcessEnded {
        /// Which step.
        step: StepId,
    },
    /// An ordered probe is over.
    Probed {
        /// Which.
        key: ProbeKey,
        /// What it found.
        result: ProbeResult,
    },
    /// An ordered reading of a log is over.
    Moved {
        /// Which.
        key: FollowKey,
        /// What it said; `None`: it has ended.
        movement: Option<Movement>,
    },
    /// A container that ran before this plan has been started again, or has not.
    Restarted {
        /// Whose.
        unit: UnitId,
        /// Its place in the unit.
        place: usize,
        /// What the engine said where it did not.
        result: Result<(), StepFailure>,
    },
    /// The engine says that something happened to a container.
    Container {
        /// Its ID.
        id: String,
        /// What.
        change: ContainerChange,
    },
    /// Somebody asks the run to end.
    Cancel(CancelReason),
}

/// What a step gave.
#[derive(Debug, Clone, PartialEq)]
pub enum StepOutput {
    /// It is done.
    Done,
    /// It made this container.
    Created(ContainerRef),
    /// It got this image.
    Image(Box<ImageInfo>),
    /// A tool said these variables.
    Said(Mapping),
}

/// What went wrong with a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepFailure {
    /// In the engine's words.
    pub message: String,
    /// What it means for what is there.
    pub kind: FailureKind,
}

/// What a failure means for what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// It is not done, and asking again changes nothing.
    Refused,
    /// It was tried and failed: some of it may be done.
    Failed,
    /// Nobody could be asked for it, or for the rest of it.
    NotAsked,
    /// No answer came: it may be done.
    NoAnswer,
}

/// Something that happened to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerChange {
    /// Its process runs.
    Started,
    /// Its process ended.
    Died(Exit),
    /// It ran out of memory.
    OutOfMemory,
    /// Its own HEALTHCHECK passes.
    Healthy,
    /// Its own HEALTHCHECK failed too often.
    Unhealthy,
}

/// How a container's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Exit code; -1: not known.
    pub code: i64,
    /// The engine told of it as it happened. Otherwise it was found when the engine could be asked again, and who
    /// ended it is not known: a daemon that is started again ends what it finds, also with code 0.
    pub told: bool,
}

/// Which probe a result belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeKey {
    /// Whose monitor ordered it.
    pub owner: Owner,
    /// Which of that monitor's checks.
    pub id: ProbeId,
    /// Which try of the start: results of an earlier one do not count.
    pub attempt: u32,
}

/// Which stage's log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FollowKey {
    /// Whose.
    pub unit: UnitId,
    /// Its place in the unit.
    pub place: usize,
    /// The stage's place, from 0.
    pub stage: u32,
    /// Which try of the start: what an earlier one logged does not count.
    pub attempt: u32,
}

/// Who has a monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A unit's replica, by its place in the unit.
    Replica(UnitId, usize),
    /// A unit's gate on something outside, by its place in the unit's gates.
    Outside(UnitId, usize),
}

/// Something to be done, in the order given.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Tell everybody.
    Announce(EventKind),
    /// Perform a step of the plan.
    Perform(StepId),
    /// Run a probe.
    Probe(Box<ProbeOrder>),
    /// Read on in a container's log until it says how far it is.
    Follow(Box<FollowOrder>),
    /// Stop a container that ran before this plan, and start it again.
    Restart(Box<RestartOrder>),
    /// The run is over. Always last, exactly once.
    Finish(Outcome),
}

/// A probe to run.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeOrder {
    /// Comes back with the result.
    pub key: ProbeKey,
    /// What to do.
    pub check: Check,
    /// The container it is about; `None` for something outside the project.
    pub container: Option<String>,
}

/// A log to read on in.
#[derive(Debug, Clone, PartialEq)]
pub struct FollowOrder {
    /// Comes back with what it says.
    pub key: FollowKey,
    /// What to look for.
    pub progress: Progress,
    /// The container's ID.
    pub container: String,
}

/// A container to start again.
#[derive(Debug, Clone, PartialEq)]
pub struct RestartOrder {
    /// Whose; comes back with what came of it.
    pub unit: UnitId,
    /// Its place in the unit.
    pub place: usize,
    /// Its name among the service's.
    pub replica: Replica,
    /// The container.
    pub container: ContainerRef,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What came of it.
    pub verdict: Verdict,
    /// Everything was ready before it ended.
    pub was_ready: bool,
    /// It ended inside the rollback window: what ran before is still kept.
    pub in_window: bool,
    /// Something inside the window makes it roll back, whatever else is to follow from failures: how.
    pub rolls_back: Option<Pace>,
    /// What made it end early, if anything did.
    pub reason: Option<CancelReason>,
    /// What failed; log lines are not filled in.
    pub failures: Vec<Failure>,
    /// What was to be removed or put back and was not, with the reason.
    pub left: Vec<String>,
    /// Services that are not as they should be.
    pub degraded: Vec<String>,
    /// Containers that exited, with their codes, in the order in which they did.
    pub exits: Vec<(Replica, i64)>,
}

/// What happens once everything is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterReady {
    /// The run is over.
    Finish,
    /// It goes on watching until it is cancelled or nothing runs any more.
    Watch(Abort),
}

/// Which exit ends a watched run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abort {
    /// Only the last one.
    Never,
    /// Any (`--abort-on-container-exit`).
    OnExit,
    /// Any with a code other than 0 (`--abort-on-container-failure`).
    OnFailure,
    /// That of this unit, or any with a code other than 0 (`--exit-code-from`).
    OnExitOf(UnitId),
}
