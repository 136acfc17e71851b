//! What the simulated engine has: containers, networks, volumes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{facts, record::Standing, script::Behaviour};
use crate::{
    engine::ContainerRequest,
    plan::{
        Container, ContainerDetail, ContainerMount, ContainerState, Endpoint, EngineHealth, PublishedPort,
    },
    project::{Healthcheck, SignedDuration},
};

/// One container.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "five facts that have nothing to do with each other")]
pub(super) struct SimContainer {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) service: String,
    pub(super) replica: String,
    pub(super) image: String,
    pub(super) image_id: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) created: Duration,
    pub(super) state: ContainerState,
    pub(super) exit_code: i64,
    pub(super) oom: bool,
    pub(super) error: String,
    pub(super) pid: u32,
    pub(super) started: Option<Duration>,
    pub(super) finished: Option<Duration>,
    pub(super) restarts: u64,
    /// Its runs: from when until when, and with what code.
    pub(super) lives: Vec<Life>,
    /// Its HEALTHCHECK has passed.
    pub(super) was_healthy: bool,
    /// Counts starts, so that timers of an earlier run find that they are late.
    pub(super) run: u32,
    pub(super) health: Option<EngineHealth>,
    pub(super) healthcheck: Option<SimHealthcheck>,
    pub(super) networks: BTreeMap<String, Endpoint>,
    pub(super) mounts: Vec<ContainerMount>,
    pub(super) anonymous: BTreeSet<String>,
    pub(super) ports: Vec<PublishedPort>,
    pub(super) network_mode: String,
    pub(super) tty: bool,
    pub(super) stop_timeout: Option<Duration>,
    pub(super) restart: String,
    /// A stop was asked for: the restart policy rests.
    pub(super) stopped: bool,
    /// `stop` waits for its end.
    pub(super) stopping: bool,
    pub(super) auto_remove: bool,
    pub(super) log: Vec<SimLine>,
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) probes: Vec<Vec<String>>,
    pub(super) behaviour: Behaviour,
}

/// One run of a container's process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    pub(super) began: Duration,
    /// When it ended, and its code.
    pub(super) ended: Option<(Duration, i64)>,
}

/// One line that a container wrote.
#[derive(Debug, Clone)]
pub(super) struct SimLine {
    pub(super) at: Duration,
    pub(super) stderr: bool,
    pub(super) text: String,
}

/// A HEALTHCHECK, with the engine's defaults filled in.
#[derive(Debug, Clone)]
pub(super) struct SimHealthcheck {
    pub(super) test: Vec<String>,
    pub(super) interval: Duration,
    pub(super) start_interval: Duration,
    pub(super) start_period: Duration,
    pub(super) retries: u64,
}

/// One network.
#[derive(Debug, Clone, Default)]
pub(super) struct SimNetwork {
    pub(super) id: String,
    pub(super) labels: BTreeMap<String, String>,
    /// The third part of its addresses.
    pub(super) subnet: u8,
    /// The IDs of the containers that were last given an address, by its fourth part.
    pub(super) given: BTreeMap<u8, String>,
}

/// One volume.
#[derive(Debug, Clone, Default)]
pub(super) struct SimVolume {
    pub(super) labels: BTreeMap<String, String>,
}

impl SimHealthcheck {
    /// The file's words over the image's; `None` where there is no check, or where it is switched off.
    pub(super) fn new(file: Option<&Healthcheck>, image: Option<&Vec<String>>) -> Option<Self> {
        if file.is_some_and(Healthcheck::is_disabled) {
            return None;
        }
        let test = file.and_then(|h| h.test.as_ref()).or(image)?.clone();
        let set = |pick: fn(&Healthcheck) -> Option<SignedDuration>, default: Duration| {
            file.and_then(pick).and_then(SignedDuration::positive).unwrap_or(default)
        };
        Some(Self {
            test,
            interval: set(|h| h.interval, Duration::from_secs(30)),
            start_interval: set(|h| h.start_interval, Duration::from_secs(5)),
            start_period: set(|h| h.start_period, Duration::ZERO),
            retries: file.and_then(|h| h.retries).filter(|r| *r > 0).unwrap_or(3),
        })
    }

    /// The command as `exec` takes it.
    pub(super) fn command(test: &[String]) -> Vec<String> {
        match test.split_first() {
            Some((word, rest)) if word == "CMD" => rest.to_vec(),
            Some((word, rest)) if word == "CMD-SHELL" => {
                ["/bin/sh", "-c"].iter().map(|w| (*w).to_owned()).chain(rest.iter().cloned()).collect()
            }
            _ => test.to_vec(),
        }
    }
}

impl SimContainer {
    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, ContainerState::Running | ContainerState::Paused)
    }

    /// Whether a check of this stage passes now.
    pub(super) fn is_ready(&self, stage: &str, now: Duration) -> bool {
        let (ContainerState::Running, Some(started)) = (self.state, self.started) else { return false };
        let age = now.saturating_sub(started);
        let b = &self.behaviour;
        b.stages.get(stage).copied().or(b.ready_after).is_some_and(|t| age >= t)
            && !b.unready.iter().any(|(from, until)| (*from..*until).contains(&age))
    }

    /// Whether the checks of this stage passed at some moment up to now.
    fn was_ready(&self, stage: &str, now: Duration) -> bool {
        let b = &self.behaviour;
        let Some(first) = b.stages.get(stage).copied().or(b.ready_after) else { return false };
        let unready = |age: Duration| b.unready.iter().any(|(from, until)| (*from..*until).contains(&age));
        let moments =
            || [first].into_iter().chain(b.unready.iter().map(|(_, until)| *until).filter(|u| *u > first));
        self.lives.iter().any(|life| {
            let age = life.ended.map_or(now, |(at, _)| at).saturating_sub(life.began);
            moments().any(|moment| moment <= age && !unready(moment))
        })
    }

    /// What has become of it by now.
    pub(super) fn standing(&self, now: Duration) -> Standing {
        let stages = self.behaviour.stages.keys().filter(|stage| self.was_ready(stage, now));
        Standing {
            id: self.id.clone(),
            name: self.name.clone(),
            service: self.service.clone(),
            image: self.image.clone(),
            was_up: !self.lives.is_empty(),
            was_ready: self.was_healthy || self.was_ready("", now),
            stages: stages.cloned().collect(),
            completed: self.lives.iter().any(|life| life.ended.is_some_and(|(_, code)| code == 0)),
        }
    }

    /// What a command gives.
    pub(super) fn answer(&self, command: &[String], now: Duration) -> (i64, String) {
        let words = command.join(" ");
        if let Some((_, code, output)) = self.behaviour.exec.iter().find(|(w, ..)| words.contains(w.as_str()))
        {
            return (*code, output.clone());
        }
        // Commands that check the service answer what its checks answer; `sh` may be written in several ways.
        let is_check = self.probes.iter().any(|p| p.last().is_some() && p.last() == command.last());
        if is_check && !self.is_ready("", now) { (1, "not ready".to_owned()) } else { (0, String::new()) }
    }

    /// As `docker ps` lists it.
    pub(super) fn listed(&self) -> Container {
        let ended = matches!(self.state, ContainerState::Exited | ContainerState::Dead);
        let health = match self.health {
            Some(EngineHealth::Starting) => " (health: starting)",
            Some(EngineHealth::Healthy) => " (healthy)",
            Some(EngineHealth::Unhealthy) => " (unhealthy)",
            None => "",
        };
        Container {
            id: self.id.clone(),
            name: self.name.clone(),
            image: self.image.clone(),
            image_id: self.image_id.clone(),
            state: self.state,
            health: self.health,
            exit_code: ended.then_some(self.exit_code),
            labels: self.labels.clone(),
            created: i64::try_from(facts::EPOCH + self.created.as_secs()).unwrap_or(i64::MAX),
            networks: self.networks.clone(),
            mounts: self.mounts.clone(),
            ports: if self.is_running() { self.ports.clone() } else { Vec::new() },
            status: match self.state {
                ContainerState::Created => "Created".to_owned(),
                ContainerState::Running => format!("Up{health}"),
                ContainerState::Paused => "Up (Paused)".to_owned(),
                ContainerState::Restarting => format!("Restarting ({})", self.exit_code),
                ContainerState::Exited => format!("Exited ({})", self.exit_code),
                ContainerState::Removing => "Removal In Progress".to_owned(),
                ContainerState::Dead => "Dead".to_owned(),
            },
            command: String::new(),
        }
    }

    /// As `docker inspect` tells it.
    pub(super) fn detail(&self) -> ContainerDetail {
        let never = "0001-01-01T00:00:00Z";
        let time = |t: Option<Duration>| t.map_or_else(|| never.to_owned(), facts::rfc3339);
        ContainerDetail {
            id: self.id.clone(),
            name: self.name.clone(),
            state: self.state,
            exit_code: self.exit_code,
            oom_killed: self.oom,
            error: self.error.clone(),
            pid: if self.is_running() { self.pid } else { 0 },
            started_at: time(self.started),
            finished_at: time(self.finished),
            restart_count: self.restarts,
            health: self.health,
            healthcheck: self.healthcheck.as_ref().map(|h| h.test.clone()),
            networks: self.networks.clone(),
            network_mode: self.network_mode.clone(),
            tty: self.tty,
            last_health_output: None,
            stop_timeout: self.stop_timeout,
            raw: serde_json::json!({
                "Id": self.id,
                "Name": format!("/{}", self.name),
                "Image": self.image_id,
                "State": { "ExitCode": self.exit_code, "OOMKilled": self.oom, "Error": self.error },
                "RestartCount": self.restarts,
                "Config": { "Image": self.image, "Labels": self.labels, "Tty": self.tty },
                "HostConfig": { "NetworkMode": self.network_mode },
            }),
        }
    }
}

/// The commands that check a service: its HEALTHCHECK and its own exec checks.
pub(super) fn probes(
    request: &ContainerRequest<'_>,
    healthcheck: Option<&SimHealthcheck>,
) -> Vec<Vec<String>> {
    let own = request.service.orch.health_check.iter().flat_map(|h| h.stages.iter().chain(&h.liveness));
    let own = own.flat_map(|s| &s.checks).filter_map(|c| match &c.probe {
        crate::project::ProbeSpec::Exec { command } => Some(command.clone()),
        _ => None,
    });
    healthcheck.map(|h| SimHealthcheck::command(&h.test)).into_iter().chain(own).collect()
}
