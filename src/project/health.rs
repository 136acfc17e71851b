//! What counts as ready: the checks of a service, in one shape.
//!
//! Single, composite and staged checks are all a list of stages: a single check is one stage with one check, a
//! composite check is one stage with several.

use std::time::Duration;

use serde::Serialize;

/// When a service is ready, and how it is watched after that.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HealthSpec {
    /// Passed in order, each once. Never empty.
    pub stages: Vec<Stage>,
    /// Checked after ready. `None`: the last stage's checks go on.
    pub liveness: Option<Stage>,
    /// The recipe it was made from, for a known model server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe: Option<&'static str>,
}

impl HealthSpec {
    /// How long the stages that say so may take in all.
    pub fn longest(&self) -> Duration {
        let of = |stage: &Stage| {
            let progress = stage.progress.as_ref().map(|progress| progress.at_most);
            stage.timeout.max(progress).unwrap_or_default()
        };
        self.stages.iter().map(of).fold(Duration::ZERO, Duration::saturating_add)
    }
}

/// One stage: checks that run together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stage {
    /// Shown to the user and named by `depends_on: {…: {stage: NAME}}`.
    pub name: String,
    /// At least one.
    pub checks: Vec<Check>,
    /// How many of the critical checks must pass.
    pub require: Require,
    /// From the stage's beginning until it must have passed. `None`: the service's start timeout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Failures this early in the stage do not count.
    #[serde(skip_serializing_if = "Duration::is_zero")]
    pub start_period: Duration,
    /// `false`: when its deadline passes the service goes on, degraded.
    pub critical: bool,
    /// What moves its deadline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
}

/// A stage's deadline waits while its log moves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Progress {
    /// A regular expression, checked while loading. A line that matches with another first group than the one before
    /// is a movement.
    pub log: String,
    /// The deadline is at least this long after the last movement.
    pub extend: Duration,
    /// Never longer than this after the stage's beginning.
    pub at_most: Duration,
}

/// How many of several things must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Require {
    /// Every one.
    #[default]
    All,
    /// At least one.
    Any,
    /// At least this many.
    Count(u32),
    /// At least this share, 1–100.
    Percent(u8),
}

impl Require {
    /// How many of `total` must hold: at most `total`, and at least one where there is one.
    pub fn needed(self, total: usize) -> usize {
        match self {
            Self::All => total,
            Self::Any => total.min(1),
            Self::Count(n) => total.min(n as usize),
            Self::Percent(p) => (total * usize::from(p)).div_ceil(100).min(total),
        }
    }
}

/// One check and how often it runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// Shown to the user.
    pub name: String,
    /// What is done.
    pub probe: ProbeSpec,
    /// Between two probes of a ready service.
    pub interval: Duration,
    /// Of one probe.
    pub timeout: Duration,
    /// Successes in a row that make it pass; at least 1.
    pub success_threshold: u32,
    /// Failures in a row that make a ready service unhealthy; at least 1.
    pub failure_threshold: u32,
    /// Failures this early after the stage's beginning do not count.
    pub start_period: Duration,
    /// `false`: its failure makes the service degraded, not failed.
    pub critical: bool,
    /// When it is left alone; only where it is about something else than the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerSpec>,
}

/// When a check that fails is left alone for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BreakerSpec {
    /// Failures in a row that open it; at least 1.
    pub failures: u32,
    /// How long it stays open.
    pub open: Duration,
}

/// What one probe does.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeSpec {
    /// An HTTP request whose answer is as expected.
    Http(HttpProbe),
    /// A TCP connection is accepted.
    Tcp {
        /// `None`: the container itself. A service's name: that service. Else any host.
        host: Option<String>,
        /// 1–65535.
        port: u16,
    },
    /// The standard gRPC health service answers SERVING.
    Grpc {
        /// `None`: the container itself. A service's name: that service. Else any host.
        host: Option<String>,
        /// 1–65535.
        port: u16,
        /// Empty: the server as a whole.
        service: String,
    },
    /// A command in the container exits with 0.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
    },
    /// A line of the container's log, since this start, matches.
    Log {
        /// A regular expression, checked while loading.
        pattern: String,
    },
    /// The engine says so.
    Container(ContainerCondition),
    /// Another service of the project is ready, or has passed the stage.
    Service {
        /// Its key.
        name: String,
        /// `None`: its whole readiness.
        stage: Option<String>,
    },
}

impl ProbeSpec {
    /// Whether it can be asked only of a container that is there.
    pub fn is_of_container(&self) -> bool {
        match self {
            Self::Http(http) => http.host.is_none(),
            Self::Tcp { host, .. } | Self::Grpc { host, .. } => host.is_none(),
            Self::Exec { .. } | Self::Log { .. } | Self::Container(_) => true,
            Self::Service { .. } => false,
        }
    }

    /// The service or host that it asks, where that is another service or something outside the project.
    pub fn dependency(&self) -> Option<&str> {
        match self {
            _ if !self.is_elsewhere() => None,
            Self::Http(http) => http.host.as_deref(),
            Self::Tcp { host, .. } | Self::Grpc { host, .. } => host.as_deref(),
            Self::Service { name, .. } => Some(name),
            Self::Exec { .. } | Self::Log { .. } | Self::Container(_) => None,
        }
    }

    /// Whether it asks another service, or something outside the project.
    pub fn is_elsewhere(&self) -> bool {
        // A recognised command names the container's own loopback address.
        let is_own = |host: &str| matches!(host, "localhost" | "127.0.0.1" | "[::1]" | "::1" | "0.0.0.0");
        match self {
            Self::Http(http) => http.host.as_deref().is_some_and(|host| !is_own(host)),
            Self::Tcp { host, .. } | Self::Grpc { host, .. } => {
                host.as_deref().is_some_and(|host| !is_own(host))
            }
            Self::Service { .. } => true,
            Self::Exec { .. } | Self::Log { .. } | Self::Container(_) => false,
        }
    }
}

/// What the engine must say of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerCondition {
    /// It runs.
    Running,
    /// Its own HEALTHCHECK passes.
    Healthy,
    /// It has exited with 0.
    Exited,
}

/// An HTTP request and what its answer must be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HttpProbe {
    /// `http` or `https`.
    pub scheme: String,
    /// `None`: the container itself. A service's name: that service. Else any host.
    pub host: Option<String>,
    /// 1–65535.
    pub port: u16,
    /// With its query; starts with `/`.
    pub path: String,
    /// `GET`, …
    pub method: String,
    /// Sent as they are.
    pub headers: Vec<(String, String)>,
    /// Sent as the request's body.
    pub body: Option<String>,
    /// Accepted status codes, as inclusive ranges. Default 200–299.
    pub status: Vec<(u16, u16)>,
    /// Must occur in the answer's body.
    pub body_contains: Option<String>,
    /// JSON pointers or dotted paths and the values that they must have.
    pub json: Vec<(String, serde_json::Value)>,
    /// The command that the request was recognised in. It runs in the container where the request cannot be made
    /// from outside, or where the answer is a redirect that the command would follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
}
