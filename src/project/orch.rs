//! The `x-orch` nouns: waves, start-up, failure policy, and a service's own settings.

use std::{fmt, time::Duration};

use indexmap::IndexMap;
use serde::Serialize;

use super::{
    Check, Cold, Gpu, HealthSpec, Idle, Keep, Load, OnDemand, Require, Route, Router, Tenant, Tier, Vram,
};

/// The top-level `x-orch`, with waves that services name themselves already gathered in.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Orch {
    /// In their order. Empty: no waves.
    pub waves: Vec<WaveSpec>,
    /// How the start is driven.
    pub startup: Startup,
    /// What happens when something critical fails.
    pub on_failure: OnFailure,
    /// What is watched after ready.
    pub rollback: RollbackSpec,
    /// How services that are loaded on demand share what there is.
    pub on_demand: OnDemand,
    /// What may be taken of the machine's GPUs.
    pub gpu: Gpu,
    /// Addresses that stand for several services, by name.
    pub routers: IndexMap<String, Router>,
    /// What tenants may have, by name.
    pub tiers: IndexMap<String, Tier>,
    /// Whom requests are served to, by name. Empty: everybody who can reach the addresses.
    pub tenants: IndexMap<String, Tenant>,
}

/// Services that are released together.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct WaveSpec {
    /// Unique in the project.
    pub name: String,
    /// Started together.
    pub parallel: Vec<String>,
    /// Started one after the other, each ready before the next; beside the parallel ones.
    pub sequential: Vec<String>,
    /// How much of the wave's critical part must be ready before the next wave opens.
    pub ready_when: Require,
    /// From the wave's opening until it must be ready.
    pub timeout: Option<Duration>,
}

impl WaveSpec {
    /// All services of the wave.
    pub fn services(&self) -> impl Iterator<Item = &String> {
        self.parallel.iter().chain(&self.sequential)
    }
}

/// How the start is driven.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Startup {
    /// `None`: waves where waves are given, else graph.
    pub mode: Option<Mode>,
    /// Starts in flight. `None`: follow what the engine sustains.
    pub max_parallel: Option<u32>,
    /// From the start of the run until everything must be ready. `None`: 5 minutes.
    pub timeout: Option<Duration>,
}

/// What decides the order of starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A wave opens when the one before is ready.
    Waves,
    /// `depends_on` alone.
    Graph,
    /// One service at a time.
    Sequential,
}

/// What happens when something critical fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Back to what ran before this command.
    #[default]
    Rollback,
    /// Everything of the project is removed, but volumes.
    Teardown,
    /// Everything is stopped and kept.
    Stop,
    /// Everything is left as it is.
    Keep,
}

/// What is watched after ready.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct RollbackSpec {
    /// How long after ready the old containers are kept. `None`: not at all.
    pub window: Option<Duration>,
    /// What makes the run roll back inside the window, beside a critical service that becomes unhealthy.
    pub conditions: Vec<RollbackCondition>,
}

/// One condition inside the rollback window.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RollbackCondition {
    /// What is observed.
    pub condition: ConditionKind,
    /// What is done then.
    pub action: RollbackAction,
}

/// What is observed inside the rollback window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionKind {
    /// A critical service becomes unhealthy, exits, or keeps exiting. What has no check may end with 0.
    CriticalServiceUnhealthy,
    /// More than this percentage of the health checks since ready failed, from 0 to 100.
    HealthCheckFailures(f32),
    /// More than this percentage of a critical service's requests failed, as its health report says, from 0 to 100.
    ErrorRate(f32),
}

impl fmt::Display for ConditionKind {
    /// As it is written in a file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CriticalServiceUnhealthy => f.write_str("critical_service_unhealthy"),
            Self::HealthCheckFailures(most) => write!(f, "health_check_failures > {most}%"),
            Self::ErrorRate(most) => write!(f, "error_rate > {most}%"),
        }
    }
}

/// How a rollback goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackAction {
    /// All services at once.
    #[default]
    ImmediateRollback,
    /// One service at a time, the old one ready before the new one goes.
    GradualRollback,
}

impl RollbackAction {
    /// The word in a file.
    pub fn word(self) -> &'static str {
        match self {
            Self::ImmediateRollback => "immediate_rollback",
            Self::GradualRollback => "gradual_rollback",
        }
    }
}

/// A service's own `x-orch`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceOrch {
    /// `false`: its failure makes the project degraded, never failed.
    pub critical: bool,
    /// How its start is tried again.
    pub start: StartPolicy,
    /// What makes it start. `None`: Compose's rules.
    pub load: Option<Load>,
    /// GPU memory that it needs.
    pub vram: Option<Vram>,
    /// When it is stopped because nobody asks it.
    pub idle: Idle,
    /// Ways to it. Empty: its published ports.
    pub routes: Vec<Route>,
    /// What becomes of requests while it is not ready.
    pub cold: Cold,
    /// How hard it is to evict.
    pub keep: Keep,
    /// Higher: loaded before others, and not evicted for lower ones. From -1000 to 1000.
    pub priority: i32,
    /// Its own readiness. `None`: the Compose healthcheck, else that it runs.
    pub health_check: Option<HealthSpec>,
    /// What Compose's `depends_on` cannot say, by the name it is shown under.
    pub depends_on: IndexMap<String, OrchDependency>,
    /// A one-shot runs again on every `up`.
    pub rerun_always: bool,
    /// Others find something else by its names: its containers do not take them. Never in a file.
    #[serde(skip)]
    pub nameless: bool,
}

impl Default for ServiceOrch {
    fn default() -> Self {
        Self {
            critical: true,
            start: StartPolicy::default(),
            load: None,
            vram: None,
            idle: Idle::default(),
            routes: Vec::new(),
            cold: Cold::default(),
            keep: Keep::default(),
            priority: 0,
            health_check: None,
            depends_on: IndexMap::new(),
            rerun_always: false,
            nameless: false,
        }
    }
}

/// How a start is tried again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StartPolicy {
    /// Further tries after the first.
    pub retries: u32,
    /// Before the first further try; doubles each time.
    pub backoff: Duration,
    /// The backoff grows no further than this.
    pub max_backoff: Duration,
    /// From the first try until ready. `None`: the startup timeout.
    pub timeout: Option<Duration>,
}

impl Default for StartPolicy {
    fn default() -> Self {
        Self {
            retries: 0,
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(30),
            timeout: None,
        }
    }
}

/// One entry of a service's `x-orch: depends_on`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OrchDependency {
    /// What must hold before the service starts.
    pub on: OrchDependencyOn,
    /// `false`: when it fails, the service starts all the same and the project is degraded.
    pub required: bool,
}

/// What an `x-orch` dependency waits for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OrchDependencyOn {
    /// Another service has passed a stage; `None`: is ready.
    Service {
        /// Its key.
        name: String,
        /// One of its stages.
        stage: Option<String>,
    },
    /// Something outside the project answers.
    Check(Box<Check>),
}
