//! The kinds of events.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::project::{Replica, go_duration};

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// Another command is changing the project: this one waits for it. May come before the run begins.
    Waiting {
        /// The other one.
        #[serde(flatten)]
        holder: Holder,
        /// It is not waited for any longer.
        #[serde(with = "seconds")]
        at_most: Duration,
    },
    /// A run begins. Always the first event, but for [`EventKind::Waiting`].
    RunStarted(RunStarted),
    /// A wave's services may start.
    WaveOpened {
        /// Its name.
        wave: String,
    },
    /// As much of a wave is ready as it asks for.
    WaveReady {
        /// Its name.
        wave: String,
    },
    /// A wave cannot become ready any more.
    WaveFailed {
        /// Its name.
        wave: String,
        /// Why.
        reason: String,
    },
    /// The engine is about to be asked for something.
    StepStarted {
        /// The step's number in its plan.
        step: u32,
        /// What and on what.
        #[serde(flatten)]
        action: StepAction,
        /// Why, in a few words.
        cause: String,
    },
    /// The engine did it.
    StepDone {
        /// The step's number in its plan.
        step: u32,
        /// What and on what.
        #[serde(flatten)]
        action: StepAction,
        /// How long it took.
        #[serde(with = "seconds")]
        took: Duration,
    },
    /// The engine did not do it, or nobody knows whether it did.
    StepFailed {
        /// The step's number in its plan.
        step: u32,
        /// What and on what.
        #[serde(flatten)]
        action: StepAction,
        /// What the engine said.
        error: String,
    },
    /// A container of a service enters a state of its life.
    Service {
        /// Which.
        #[serde(flatten)]
        replica: Replica,
        /// What it is now.
        state: ServiceState,
        /// Why, in a few words; empty where it goes without saying.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        cause: String,
        /// Its container's ID, once there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        container: Option<String>,
    },
    /// A stage of a container's start-up begins, passes or fails.
    Stage {
        /// Which container.
        #[serde(flatten)]
        replica: Replica,
        /// The stage's name.
        stage: String,
        /// From 1.
        index: u32,
        /// How many stages there are.
        of: u32,
        /// What became of it.
        status: StageStatus,
        /// Why it failed, or how it is degraded.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        cause: String,
    },
    /// A stage's log has moved, and its deadline perhaps with it.
    StageMoved {
        /// Which container.
        #[serde(flatten)]
        replica: Replica,
        /// The stage's name.
        stage: String,
        /// From 1.
        index: u32,
        /// How many stages there are.
        of: u32,
        /// What its log says: `loaded 42%`.
        text: String,
    },
    /// A check on something else is left alone after failures, tried again, or let through again.
    Breaker {
        /// Whose check it is.
        #[serde(flatten)]
        replica: Replica,
        /// The check's name.
        check: String,
        /// What its breaker is now.
        breaker: BreakerState,
        /// How long it stays open.
        #[serde(default, with = "seconds", skip_serializing_if = "Duration::is_zero")]
        open_for: Duration,
        /// What failed last.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        cause: String,
    },
    /// One probe was made. Droppable.
    Probed {
        /// Of which container.
        #[serde(flatten)]
        replica: Replica,
        /// The check's name.
        check: String,
        /// Its stage's name.
        stage: String,
        /// It passed.
        passed: bool,
        /// What was found.
        detail: String,
        /// How long it took.
        #[serde(with = "seconds")]
        took: Duration,
        /// The service or host that was asked, where that is not the container itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dependency: Option<String>,
    },
    /// A pull or build goes on. Droppable.
    Progress {
        /// The image.
        image: String,
        /// What is going on.
        text: String,
        /// Bytes done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        current: Option<u64>,
        /// Bytes in all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
    },
    /// A tool tells how far it is with a service or a model.
    Told {
        /// The service or model.
        target: String,
        /// Its words.
        text: String,
    },
    /// A hook of a container says something.
    Hook {
        /// Whose hook.
        replica: Replica,
        /// One line.
        text: String,
    },
    /// Everything that was asked for is ready. An attached run goes on and watches.
    Ready {
        /// Services that are not as they should be.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        degraded: Vec<String>,
    },
    /// Everything is ready, and is watched for a while before what ran before is let go.
    WindowOpened {
        /// How long.
        #[serde(with = "seconds")]
        length: Duration,
        /// Containers that are kept until then, by name; empty where nothing ran before.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        kept: Vec<String>,
    },
    /// Something happened inside the window that makes the run roll back.
    ConditionMet {
        /// As it is written in a file: `health_check_failures > 50%`.
        condition: String,
        /// What follows: `immediate_rollback` or `gradual_rollback`.
        action: String,
        /// Since the window was opened.
        #[serde(with = "seconds")]
        after: Duration,
        /// What was found, in words.
        reason: String,
    },
    /// The window is over.
    WindowClosed {
        /// What closed it.
        end: WindowEnd,
    },
    /// Somebody asks the run to end.
    CancelRequested {
        /// Why.
        reason: CancelReason,
    },
    /// The run failed or was cancelled and what it did is being dealt with.
    Unwinding {
        /// How: `rollback`, `teardown`, `stop` or `keep`.
        policy: String,
        /// What made it necessary, in words.
        reason: String,
    },
    /// Logs, health results and inspect output were saved before their containers are removed.
    Saved {
        /// The folder.
        path: String,
    },
    /// Something the user should know that stops nothing.
    Warning {
        /// What.
        message: String,
    },
    /// A run ends. Always the last event, exactly once.
    RunFinished(RunFinished),
    /// From a newer version of this program.
    #[serde(other)]
    Unknown,
}

impl EventKind {
    /// Everything in it that is free text: what engines, tools, checks and containers say, as against names.
    pub fn texts_mut(&mut self) -> Vec<&mut String> {
        match self {
            Self::WaveFailed { reason: text, .. }
            | Self::StepFailed { error: text, .. }
            | Self::Service { cause: text, .. }
            | Self::Stage { cause: text, .. }
            | Self::StageMoved { text, .. }
            | Self::Breaker { cause: text, .. }
            | Self::Probed { detail: text, .. }
            | Self::Progress { text, .. }
            | Self::Told { text, .. }
            | Self::Hook { text, .. }
            | Self::ConditionMet { reason: text, .. }
            | Self::Unwinding { reason: text, .. }
            | Self::Warning { message: text } => vec![text],
            Self::RunFinished(finished) => finished.texts_mut(),
            Self::Waiting { .. }
            | Self::RunStarted(_)
            | Self::WaveOpened { .. }
            | Self::WaveReady { .. }
            | Self::StepStarted { .. }
            | Self::StepDone { .. }
            | Self::Ready { .. }
            | Self::WindowOpened { .. }
            | Self::WindowClosed { .. }
            | Self::CancelRequested { .. }
            | Self::Saved { .. }
            | Self::Unknown => Vec::new(),
        }
    }

    /// Whether a reader that cannot keep up may lose it.
    pub fn is_droppable(&self) -> bool {
        matches!(self, Self::Probed { .. } | Self::Progress { .. } | Self::StageMoved { .. })
    }
}

/// A command that has a project's lock. All zero where it has not said who it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// `up`, `down`, …
    pub command: String,
    /// Its process.
    pub pid: u32,
    /// For how long it has had it, in whole seconds.
    #[serde(with = "seconds")]
    pub held: Duration,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pid {
            0 => f.write_str("another command"),
            pid => write!(f, "`docker orch {}` (PID {pid}, for {})", self.command, go_duration(self.held)),
        }
    }
}

/// How a run begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    /// Of the event format.
    pub format: u32,
    /// Unique, and sorts by time.
    pub run: String,
    /// Wall time, RFC 3339 in UTC.
    pub time: String,
    /// Project name.
    pub project: String,
    /// `up`, `down`, …
    pub command: String,
    /// The address of the engine that it talks to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub engine: String,
    /// Waves, in order; empty where there are none.
    pub waves: Vec<String>,
    /// Every container that the run deals with.
    pub services: Vec<ServiceInfo>,
}

/// A service as a run begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceInfo {
    /// Its key.
    pub service: String,
    /// Numbers of its containers.
    pub replicas: Vec<u32>,
    /// Its wave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<String>,
    /// Its failure fails the run.
    pub critical: bool,
    /// Names of the stages to pass.
    pub stages: Vec<String>,
    /// What it waits for before it starts, beside its wave. Empty in records from before this was noted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<DependsOn>,
    /// Its image's name; empty where it has none, and in records from before this was noted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
}

/// What a service waits for before it starts: `depends_on`, links, a shared network, or the one before it in its order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DependsOn {
    /// The service; with [`Until::Outside`] the name of a check.
    pub on: String,
    /// How far that must be.
    pub until: Until,
    /// The stage that it must have passed, with [`Until::Stage`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
}

/// How far something must be for another to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// It was started.
    Started,
    /// It is ready.
    Ready,
    /// It has exited with 0.
    Completed,
    /// It has passed a stage.
    Stage,
    /// It lies outside the project, and answers.
    Outside,
    /// From a newer version of this program.
    #[serde(other)]
    Unknown,
}

/// How a run ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFinished {
    /// What came of it.
    pub verdict: Verdict,
    /// What was done about a failure.
    pub aftermath: Aftermath,
    /// Chains of causes, the outermost first: one list per failure.
    pub failures: Vec<Failure>,
    /// Services that are not as they should be, though the run succeeded.
    pub degraded: Vec<String>,
    /// What an undo could not remove or restore, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
}

impl RunFinished {
    fn texts_mut(&mut self) -> Vec<&mut String> {
        let mut texts: Vec<&mut String> = self.left.iter_mut().collect();
        for failure in &mut self.failures {
            texts.push(&mut failure.reason);
            texts.extend(failure.log.iter_mut().chain(&mut failure.health));
        }
        texts
    }
}

/// One thing that failed, and what it took with it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The service at the root.
    pub service: String,
    /// What is wrong with it: `exited with code 1`, `stage ready timed out after 60s`, …
    pub reason: String,
    /// Its exit code, where it exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// Services that could not start because of it, the nearest first.
    pub dependents: Vec<Dependent>,
    /// Its last log lines.
    pub log: Vec<String>,
    /// Its last probe results, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health: Vec<String>,
    /// Whether a deadline passed, rather than something going wrong.
    pub timed_out: bool,
}

/// A service that could not start because of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependent {
    /// Its key.
    pub service: String,
    /// The service that it waited for in vain: one step nearer to the root.
    pub because: String,
}

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything critical is as it should be.
    Succeeded,
    /// Something critical failed.
    Failed,
    /// Somebody asked it to end.
    Cancelled,
}

/// What was done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aftermath {
    /// What was done stays.
    Kept,
    /// Things are as they were before.
    RolledBack,
    /// Everything of the project was removed.
    TornDown,
    /// Everything was stopped.
    Stopped,
    /// Undoing did not work everywhere: see `left`.
    Stuck,
}

/// What the engine, or a tool, is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepAction {
    /// What is done.
    pub action: Verb,
    /// The network, volume, image, container, provided service or model it is done to, by name.
    pub target: String,
    /// The container's service and number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<Replica>,
}

/// One word per thing that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "Docker's verbs, and those of the tools beside it")]
pub enum Verb {
    CreateNetwork,
    RemoveNetwork,
    CreateVolume,
    RemoveVolume,
    PullImage,
    BuildImage,
    RemoveImage,
    ProviderUp,
    ProviderDown,
    ProviderStop,
    SetUpModel,
    CreateContainer,
    TakeNames,
    StartContainer,
    StopContainer,
    KillContainer,
    RestartContainer,
    RenameContainer,
    RemoveContainer,
    ReconnectContainer,
}

/// The life of a container, as the user sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// Known, nothing done yet.
    Pending,
    /// Waits for its dependencies or its wave.
    Blocked,
    /// Its image is pulled.
    Pulling,
    /// Its image is built.
    Building,
    /// Its container is created.
    Creating,
    /// Its container is there, not started.
    Created,
    /// Its container is started.
    Starting,
    /// It runs and is not yet ready.
    Probing,
    /// It is ready.
    Ready,
    /// It serves, with something non-critical missing.
    Degraded,
    /// It was ready and is not any more.
    Unhealthy,
    /// It was unhealthy and its checks pass again, not yet often enough.
    Recovering,
    /// It is started again.
    Restarting,
    /// A one-shot that has exited with 0.
    Completed,
    /// It will not become ready.
    Failed,
    /// It is being stopped.
    Stopping,
    /// It is stopped.
    Stopped,
    /// Its container is gone.
    Removed,
    /// It was not started, because of something else.
    Skipped,
}

impl ServiceState {
    /// The word for it, as in the serialised form.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Blocked => "blocked",
            Self::Pulling => "pulling",
            Self::Building => "building",
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Starting => "starting",
            Self::Probing => "probing",
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
            Self::Recovering => "recovering",
            Self::Restarting => "restarting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Removed => "removed",
            Self::Skipped => "skipped",
        }
    }
}

/// What became of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageStatus {
    /// It begins.
    Started,
    /// Its checks passed.
    Passed,
    /// Its deadline passed; it was not critical.
    Degraded,
    /// It failed for good.
    Failed,
}

/// Whether a check is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// It is.
    Closed,
    /// It is not, for a while.
    Open,
    /// Once; what comes of it decides.
    HalfOpen,
}

/// What closed the rollback window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowEnd {
    /// Its time is over, and nothing went wrong.
    Passed,
    /// Nothing runs any more that could go wrong.
    NothingRuns,
    /// A condition is met: what was done is undone.
    ConditionMet,
    /// The run was asked to end.
    RunEnded,
}

/// Why a run is asked to end; a later reason counts only if it is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// A container exited, and that was to end the run.
    ContainerExited,
    /// Something critical failed.
    Failure,
    /// The time for the whole start is over.
    Timeout,
    /// Ctrl+C, SIGTERM, or the Docker CLI is gone.
    Interrupt,
    /// The second signal: kill, do not wait.
    Forced,
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((took.as_secs_f64() * 1e6).round() / 1e6)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
