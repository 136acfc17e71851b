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
