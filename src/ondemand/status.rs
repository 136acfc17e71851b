//! What the machine shows of itself.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::input::{Change, DeviceId, ServiceId};
use crate::time::Elapsed;

/// A service as it is now: a line of `ps`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceStatus {
    /// Which.
    pub service: ServiceId,
    /// As it is shown.
    pub name: String,
    /// In one word.
    pub state: State,
    /// The stage of its load.
    pub stage: Option<String>,
    /// Since when it is in that state.
    pub since: Elapsed,
    /// The devices that it has or is about to get, each with what is reserved on it, in bytes.
    pub devices: Vec<(DeviceId, u64)>,
    /// Requests being served.
    pub in_flight: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// Until it is stopped for being idle.
    pub idle_left: Option<Duration>,
    /// How long its last load took.
    pub last_load: Option<Duration>,
    /// It stays whatever comes.
    pub pinned: bool,
}

/// The state of a service, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not loaded, and nobody wants it.
    Cold,
    /// Wanted; waits for room or for its turn.
    Waiting,
    /// Being loaded.
    Loading,
    /// Loaded, nobody is served.
    Ready,
    /// Loaded, somebody is served.
    Busy,
    /// What it is answering goes on, then it is stopped.
    Draining,
    /// Being stopped.
    Unloading,
    /// Stopped; its memory is waited for.
    Settling,
    /// Could not be loaded; left alone for a while.
    Failed,
    /// Can never fit.
    Blocked,
    /// Does not stop.
    Stuck,
}

impl State {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 11] = [
        Self::Cold,
        Self::Waiting,
        Self::Loading,
        Self::Ready,
        Self::Busy,
        Self::Draining,
        Self::Unloading,
        Self::Settling,
        Self::Failed,
        Self::Blocked,
        Self::Stuck,
    ];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cold => "cold",
            Self::Waiting => "waiting",
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Busy => "busy",
            Self::Draining => "draining",
            Self::Unloading => "unloading",
            Self::Settling => "settling",
            Self::Failed => "failed",
            Self::Blocked => "blocked",
            Self::Stuck => "stuck",
        })
    }
}

/// A device as it is now: a line of `gpu`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceStatus {
    /// Which.
    pub device: DeviceId,
    /// All of its memory, in bytes.
    pub total: u64,
    /// As it was measured last, in bytes.
    pub free: Option<u64>,
    /// The most that services may take of it, in bytes.
    pub budget: u64,
    /// Who holds memory of it, and how much, in bytes.
    pub reserved: Vec<(ServiceId, u64)>,
    /// Who is being loaded or unloaded on it.
    pub locked_by: Vec<ServiceId>,
    /// What a load could take of it now, in bytes.
    pub available: u64,
}

/// Why a service is as it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Why {
    /// In one word.
    pub state: State,
    /// What it waits for, or why it is as it is, in words.
    pub now: String,
    /// What was decided last of each kind, and when; by time.
    pub past: Vec<(Elapsed, Change, String)>,
}
