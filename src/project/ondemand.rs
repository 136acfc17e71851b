//! The `x-orch` nouns of services that are loaded on demand: when they are loaded, what they need, how they are
//! reached, and what the project as a whole says of its GPUs.

use std::{borrow::Cow, net::SocketAddr, time::Duration};

use indexmap::IndexMap;
use serde::Serialize;

use super::{Bytes, Port, ProbeSpec, Service};

/// What makes a service start. Without it a service starts as Compose starts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// The first request.
    OnDemand,
    /// `up`, with its wave, also where `scale: 0` keeps plain Compose from starting it.
    Preload,
    /// Somebody, by hand.
    Manual,
}

impl Load {
    /// The word in a file.
    pub fn word(self) -> &'static str {
        match self {
            Self::OnDemand => "on_demand",
            Self::Preload => "preload",
            Self::Manual => "manual",
        }
    }
}

/// GPU memory that a service needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Vram {
    /// So much in all, spread evenly over its GPUs.
    InAll(Bytes),
    /// So much on each of its GPUs.
    PerGpu(Bytes),
}

impl Vram {
    /// Bytes on each of `gpus` GPUs, rounded up; 0 GPUs count as 1.
    pub fn on_each(self, gpus: usize) -> u64 {
        let bytes = |bytes: Bytes| u64::try_from(bytes.0).unwrap_or(0);
        match self {
            Self::InAll(all) => bytes(all).div_ceil(gpus.max(1) as u64),
            Self::PerGpu(each) => bytes(each),
        }
    }
}

/// When a service that nobody asks any more is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Idle {
    /// After the last byte of its last connection. `None`: what the project says.
    pub stop_after: Option<Duration>,
}

/// What becomes of a request that meets a service that is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cold {
    /// What the client gets meanwhile.
    pub mode: ColdMode,
    /// How long a request waits at most.
    pub max_wait: Duration,
    /// How many wait at most; further ones are refused.
    pub queue: u32,
}

impl Default for Cold {
    fn default() -> Self {
        Self { mode: ColdMode::Hold, max_wait: Duration::from_mins(10), queue: 512 }
    }
}

/// What a client gets while a service is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ColdMode {
    /// Nothing: its request is held until it can be passed on.
    #[default]
    Hold,
    /// A page that asks again, where it takes HTML; else as [`Self::Hold`].
    Page,
    /// A refusal at once that says when to come again.
    Reject,
    /// Comments in a stream of events, where it takes one; else as [`Self::Hold`].
    Sse,
}

/// How hard a service is to evict, from the first to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The first to go.
    Never,
    /// As its reload costs.
    #[default]
    Normal,
    /// Only where others do not make enough room.
    Prefer,
    /// Never evicted, and never stopped for being idle unless it says after what time.
    Always,
}

/// One way to a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    /// The container's port. `None`: the only one that it has.
    pub port: Option<u16>,
    /// What is spoken.
    pub protocol: Protocol,
    /// Only requests to this host.
    pub host: Option<String>,
    /// Only requests below this path; begins with `/`.
    pub path: Option<String>,
    /// A router that picks this service, rather than a published port.
    pub router: Option<String>,
    /// Names that the router picks it by.
    pub models: Vec<String>,
    /// What counts as being asked, where raw TCP is spoken.
    pub wake_on: WakeOn,
    /// Where the file names tenants: the service gets the key that its client sends.
    pub pass_key: bool,
}

impl Service {
    /// The ways to it: those that the file gives, else one for each published port: HTTP where it is checked over HTTP,
    /// else TCP, which carries anything.
    pub fn routes(&self) -> Cow<'_, [Route]> {
        if !self.orch.routes.is_empty() {
            return Cow::Borrowed(&self.orch.routes);
        }
        let checks =
            self.orch.health_check.iter().flat_map(|spec| &spec.stages).flat_map(|stage| &stage.checks);
        let is_http = checks.into_iter().any(|check| matches!(check.probe, ProbeSpec::Http(_)));
        let plain = |port: &Port| Route {
            port: port.target.and_then(|target| u16::try_from(target).ok()),
            protocol: if is_http { Protocol::Http } else { Protocol::Tcp },
            host: None,
            path: None,
            router: None,
            models: Vec::new(),
            wake_on: WakeOn::Data,
            pass_key: false,
        };
        self.ports.iter().map(plain).collect()
    }
}

/// What is spoken on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP.
    #[default]
    Http,
    /// Anything over TCP.
    Tcp,
}

/// What on a TCP connection loads a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WakeOn {
    /// The client's first byte: a port scan loads nothing.
    #[default]
    Data,
    /// The connection, for protocols in which the server speaks first.
    Connect,
}

/// How a project's services that are loaded on demand share what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct OnDemand {
    /// How many are loaded at once. `None`: as many as fit.
    pub max_loaded: Option<u32>,
    /// Which goes first when room is needed.
    pub evict: Evict,
    /// How long after it was loaded a service is not evicted.
    pub min_resident: Duration,
    /// How long a service is idle before it is stopped, where it says nothing itself.
    pub idle_timeout: Duration,
}

impl Default for OnDemand {
    fn default() -> Self {
        Self {
            max_loaded: None,
            evict: Evict::Cost,
            min_resident: Duration::from_mins(1),
            idle_timeout: Duration::from_mins(30),
        }
    }
}

/// Which service goes first when room is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evict {
    /// The one that has been idle longest.
    Lru,
    /// The one that has been idle longest for the time that loading it again takes.
    #[default]
    Cost,
    /// The one with the most memory.
    Largest,
}

/// What may be taken of the machine's GPUs, and how.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gpu {
    /// The most that services take of a GPU, where it has no budget of its own. `None`: all of it.
    pub budget: Option<Bytes>,
    /// Budgets by the GPU's UUID.
    pub budgets: IndexMap<String, Bytes>,
    /// Left free on every GPU, whatever is asked for.
    pub reserve: Bytes,
    /// How memory is waited for after a service was stopped.
    pub settle: Settle,
    /// Loads that go on at once on one GPU.
    pub loads_per_device: u32,
}

impl Default for Gpu {
    fn default() -> Self {
        Self {
            budget: None,
            budgets: IndexMap::new(),
            reserve: Bytes(0),
            settle: Settle::default(),
            loads_per_device: 1,
        }
    }
}

/// How memory is waited for after a service was stopped: a driver gives it back later than the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Settle {
    /// Waited no longer than this.
    pub timeout: Duration,
    /// Waited until so much of what was reserved is free again, above 0 and at most 1.
    pub fraction: f64,
}

impl Default for Settle {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(15), fraction: 0.75 }
    }
}

/// An address that stands for several services; each request says which it wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Router {
    /// Where it listens, on this machine.
    pub listen: SocketAddr,
    /// What in a request says which service is meant.
    pub by: RouteBy,
    /// Further names of models: each stands for one of a route's.
    pub alias: IndexMap<String, String>,
}

/// What in a request says which service is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteBy {
    /// The `model` field of the request's body.
    #[default]
    Model,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_in_all_is_spread_over_the_gpus() {
        assert_eq!(Vram::InAll(Bytes(9)).on_each(2), 5);
        assert_eq!(Vram::InAll(Bytes(9)).on_each(0), 9);
        assert_eq!(Vram::PerGpu(Bytes(9)).on_each(2), 9);
        assert_eq!(Vram::PerGpu(Bytes(-1)).on_each(2), 0);
    }
}
