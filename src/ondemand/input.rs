//! What goes into the machine and what comes out.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::spec::{GpuRules, ServiceSpec};
use crate::project::go_duration;

/// A service, by a number that the caller gives it and never gives another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ServiceId(pub u32);

/// A request, or a connection, by a number that the caller never gives twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct RequestId(pub u64);

/// One try to load a service. What is said of an earlier one does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct LoadId(pub u64);

/// A GPU, by its UUID.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct DeviceId(pub String);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The memory of a device, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What nobody holds. `None`: it cannot be measured, and what is reserved counts alone.
    pub free: Option<u64>,
}

/// Something that happened outside, or is wanted.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// What may be taken of the GPUs.
    Gpus(GpuRules),
    /// A service is there, or is to be another than before. What it needs counts at once, also while it is loaded.
    Declared {
        /// Which.
        service: ServiceId,
        /// What is known of it.
        spec: Box<ServiceSpec>,
    },
    /// A service is none of ours any more: who waits for it is refused, and what runs of it does not count.
    Forgotten {
        /// Which.
        service: ServiceId,
    },
    /// A device, measured. To be said regularly, and soon after [`Effect::Measure`].
    Device {
        /// Which.
        device: DeviceId,
        /// What it has; `None`: it is gone.
        memory: Option<Memory>,
    },
    /// A request has come. It is answered by exactly one [`Effect::Serve`] or [`Effect::Refuse`], unless it goes away
    /// before.
    Asked {
        /// A new number.
        request: RequestId,
        /// What it is for.
        service: ServiceId,
        /// How it waits.
        wait: Wait,
    },
    /// A request's client went away, or the last byte of what was served has passed. A connection that is open and
    /// silent for long may be ended in this way, and asked for again with its next byte.
    Ended {
        /// Which.
        request: RequestId,
    },
    /// An ordered load has passed a stage.
    Stage {
        /// Whose.
        service: ServiceId,
        /// Which load.
        load: LoadId,
        /// The stage that it is in now.
        stage: String,
    },
    /// An ordered load is over: the service is ready.
    Loaded {
        /// Which.
        service: ServiceId,
        /// Which load.
        load: LoadId,
    },
    /// An ordered load has failed, and what was begun of it is stopped.
    LoadFailed {
        /// Which.
        service: ServiceId,
        /// Which load.
        load: LoadId,
        /// Why.
        failure: LoadFailure,
    },
    /// An ordered unload is over: nothing of the service runs.
    Unloaded {
        /// Which.
        service: ServiceId,
    },
    /// An ordered unload has failed: the service may still run.
    UnloadFailed {
        /// Which.
        service: ServiceId,
        /// In the engine's words.
        message: String,
    },
    /// A service runs that was not loaded by this machine: somebody started it, or it has run since before this machine
    /// began.
    Found {
        /// Which.
        service: ServiceId,
        /// Where its memory is.
        devices: Vec<DeviceId>,
        /// Whether it is ready. Where it is not, a load is ordered that waits for it.
        ready: bool,
    },
    /// A request is being served since before this machine began: to be said after [`Self::Found`].
    Serving {
        /// Its number.
        request: RequestId,
        /// By what.
        service: ServiceId,
    },
    /// A service's container has ended, and nobody here asked for it. While it is loaded or unloaded this says nothing:
    /// whoever does that tells what came of it.
    Died {
        /// Which.
        service: ServiceId,
        /// What is known of why: `exit code 137`.
        message: String,
    },
    /// Somebody wants it loaded, by hand. As a request does, the wish ends with the service's longest wait.
    Load {
        /// Which.
        service: ServiceId,
    },
    /// Somebody wants it unloaded, by hand.
    Unload {
        /// Which.
        service: ServiceId,
        /// Whatever it is answering.
        force: bool,
    },
    /// From now on it is not evicted and not stopped for being idle, or it is again.
    Pin {
        /// Which.
        service: ServiceId,
        /// Whether it stays.
        pinned: bool,
    },
}

/// How a request waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// As long as the service allows, or no longer than this.
    Held(Option<Duration>),
    /// Not at all: what is not ready is loaded, and the client told to come again.
    ComeAgain,
    /// Not at all, and nothing is loaded for it.
    OnlyIfReady,
}

/// Why a load failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadFailure {
    /// There was not enough memory: worth another try once there is more.
    pub out_of_memory: bool,
    /// What happened, for the user.
    pub message: String,
}

/// Something to be done, in the order given.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Pass a request on. It counts as being served until [`Input::Ended`].
    Serve {
        /// Which.
        request: RequestId,
        /// To what.
        service: ServiceId,
    },
    /// Answer a request with an error.
    Refuse {
        /// Which.
        request: RequestId,
        /// Why.
        refusal: Refusal,
    },
    /// Start a service and tell when it is ready. Ends with [`Input::Loaded`] or [`Input::LoadFailed`], unless an
    /// [`Effect::Unload`] comes before.
    Load {
        /// Which.
        service: ServiceId,
        /// Comes back with what is said of it.
        load: LoadId,
        /// The devices that it is to use; empty where it uses none.
        devices: Vec<DeviceId>,
        /// It runs already: only to be waited for.
        adopt: bool,
    },
    /// Stop a service; give up a load that is under way. Ends with [`Input::Unloaded`] or [`Input::UnloadFailed`].
    Unload {
        /// Which.
        service: ServiceId,
        /// At once, with no grace.
        force: bool,
    },
    /// Measure these devices soon.
    Measure {
        /// Which.
        devices: Vec<DeviceId>,
    },
    /// Something was decided or has happened; for `events`, logs and `why`.
    Tell(Told),
}

/// What was decided, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Of which service.
    pub service: ServiceId,
    /// What.
    pub change: Change,
    /// In words, for the user.
    pub reason: String,
}

/// What can be told of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is wanted, and has to wait for room.
    Waiting,
    /// It is being loaded.
    Loading,
    /// It is ready.
    Ready,
    /// No new request is passed on to it; what it is answering goes on.
    Draining,
    /// What it was drained for is over: it goes on.
    Resumed,
    /// It is being stopped.
    Unloading,
    /// It is stopped, and its memory is waited for.
    Settling,
    /// It is not loaded.
    Cold,
    /// It could not be loaded, or died.
    Failed,
    /// It can never fit.
    Blocked,
    /// It does not stop.
    Stuck,
    /// A request was refused.
    Refused,
    /// It is pinned, or no longer.
    Pinned,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Refusal {
    /// There is no such service.
    Unknown,
    /// It is not loaded, and this does not load it: it is loaded by hand only, or the client said so.
    NotLoaded,
    /// It is being loaded, and the client would not wait.
    Loading {
        /// When to come again.
        retry_after: Duration,
    },
    /// As many as may are waiting.
    QueueFull {
        /// How many that are.
        limit: u32,
        /// When to come again.
        retry_after: Duration,
    },
    /// It was not ready in time.
    TooLate {
        /// How long the request waited.
        waited: Duration,
        /// What it waited for.
        reason: String,
        /// When to come again.
        retry_after: Duration,
    },
    /// It could not be loaded.
    Failed {
        /// What happened.
        message: String,
        /// When it may be tried again.
        retry_after: Duration,
    },
    /// It can never fit: asking again changes nothing.
    NeverFits {
        /// By how much.
        message: String,
    },
    /// Somebody unloaded it by hand.
    Unloaded,
}

impl Refusal {
    /// When to come again, where that may help.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Loading { retry_after }
            | Self::QueueFull { retry_after, .. }
            | Self::TooLate { retry_after, .. }
            | Self::Failed { retry_after, .. } => Some(*retry_after),
            Self::Unknown | Self::NotLoaded | Self::NeverFits { .. } | Self::Unloaded => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no such service"),
            Self::NotLoaded => f.write_str("it is not loaded, and is not loaded for this"),
            Self::Loading { .. } => f.write_str("it is being loaded"),
            Self::QueueFull { limit, .. } => write!(f, "{limit} requests wait for it already"),
            Self::TooLate { waited, reason, .. } => {
                write!(f, "it was not ready within {}: {reason}", go_duration(*waited))
            }
            Self::Failed { message, .. } | Self::NeverFits { message } => f.write_str(message),
            Self::Unloaded => f.write_str("it was unloaded by hand"),
        }
    }
}
