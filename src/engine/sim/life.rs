//! How containers start, live by their script, and end.

use std::{net::Ipv4Addr, pin::pin, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use super::{
    container::{Life, SimLine},
    world::{Inner, World},
};
use crate::{
    engine::{EngineAction, EngineError, EngineErrorKind as Kind},
    plan::{ContainerState, Endpoint, EngineHealth},
};

impl Inner {
    /// Starts a container; what stands in its way is found before any time passes, as real engines do.
    pub(super) async fn start(self: Arc<Self>, key: String) -> Result<(), EngineError> {
        let (id, takes) = {
            let mut world = self.lock();
            let container = world.expect(&key)?;
            if container.state == ContainerState::Running {
                return Ok(());
            }
            if container.state == ContainerState::Paused {
                let words = "cannot start a paused container, try unpause instead";
                return Err(EngineError::new(Kind::Conflict, words));
            }
            let (id, takes) = (container.id.clone(), container.behaviour.start_takes);
            if let Some(refusal) = world.start_refusal(&id) {
                world.note_failed_start(&id, &refusal);
                return Err(refusal);
            }
            (id, takes)
        };
        sleep(takes).await;
        let mut world = self.lock();
        if world.expect(&id)?.is_running() {
            return Ok(());
        }
        if let Some(refusal) = world.start_refusal(&id) {
            world.note_failed_start(&id, &refusal);
            return Err(refusal);
        }
        Self::run(&self, &mut world, &id);
        Ok(())
    }

    /// The process runs from now on.
    pub(super) fn run(inner: &Arc<Self>, world: &mut World, id: &str) {
        world.attach(id);
        let now = inner.now();
        let pid = 1000 + world.starts.values().sum::<u32>();
        let Some(container) = world.containers.get_mut(id) else { return };
        container.state = ContainerState::Running;
        container.started = Some(now);
        container.exit_code = 0;
        container.oom = false;
        container.stopped = false;
        container.stopping = false;
        container.error.clear();
        container.pid = pid;
        container.run += 1;
        container.lives.push(Life { began: now, ended: None });
        container.health = container.healthcheck.as_ref().map(|_| EngineHealth::Starting);
        let starts = world.starts.entry(container.replica.clone()).or_default();
        *starts += 1;
        let (starts, container) = (*starts, container.clone());
        inner.announce(world, &container, EngineAction::Started, &[]);
        let (run, b) = (container.run, container.behaviour);
        for (at, stderr, text) in b.log {
            inner.later(id, run, at, move |inner, world, id| {
                let line = SimLine { at: inner.now(), stderr, text };
                if let Some(container) = world.containers.get_mut(id) {
                    container.log.push(line);
                }
                inner.changed.notify_waiters();
            });
        }
        for (at, health) in b.health {
            inner.later(id, run, at, move |inner, world, id| inner.set_health(world, id, health));
        }
        if let Some(exit) = b.exit.filter(|e| e.starts.is_none_or(|n| starts <= n)) {
            inner.later(id, run, exit.after, move |inner, world, id| {
                Self::die(inner, world, id, exit.code, exit.oom);
            });
        }
        if container.healthcheck.is_some() {
            tokio::spawn(Arc::clone(inner).watch_health(id.to_owned(), run));
        }
    }

    /// Does something to a container when this run of it has lasted so long.
    fn later(
        self: &Arc<Self>,
        id: &str,
        run: u32,
        after: Duration,
        act: impl FnOnce(&Arc<Self>, &mut World, &str) + Send + 'static,
    ) {
        let (inner, id) = (Arc::clone(self), id.to_owned());
        tokio::spawn(async move {
            sleep(after).await;
            let mut world = inner.lock();
            if world.containers.get(&id).is_some_and(|c| c.run == run && c.is_running()) {
                act(&inner, &mut world, &id);
            }
        });
    }

    /// The engine's own checks, at their interval.
    async fn watch_health(self: Arc<Self>, id: String, run: u32) {
        let mut failures = 0;
        loop {
            let pause = {
                let world = self.lock();
                let Some(container) = world.containers.get(&id) else { return };
                let Some(check) = container.healthcheck.as_ref() else { return };
                let age = self.now().saturating_sub(container.started.unwrap_or_default());
                let starting = container.health == Some(EngineHealth::Starting) && age < check.start_period;
                // Even where that is longer than the interval and the start period: seen on 28.5.
                let pause = if starting { check.start_interval } else { check.interval };
                if self.info.api_at_least(1, 44) { pause } else { check.interval }
            };
            sleep(pause).await;
            let now = self.now();
            let mut world = self.lock();
            let Some(container) = world.containers.get(&id).filter(|c| c.run == run && c.is_running()) else {
                return;
            };
            let Some(check) = container.healthcheck.as_ref() else { return };
            let age = now.saturating_sub(container.started.unwrap_or_default());
            if container.is_ready("", now) {
                failures = 0;
                self.set_health(&mut world, &id, EngineHealth::Healthy);
            } else if container.health != Some(EngineHealth::Starting) || age >= check.start_period {
                failures += 1;
                if failures >= check.retries {
                    self.set_health(&mut world, &id, EngineHealth::Unhealthy);
                }
            }
        }
    }

    /// The HEALTHCHECK says this; announced where it is new.
    pub(super) fn set_health(&self, world: &mut World, id: &str, health: EngineHealth) {
        let Some(container) = world.containers.get_mut(id).filter(|c| c.health != Some(health)) else {
            return;
        };
        container.health = Some(health);
        container.was_healthy |= health == EngineHealth::Healthy;
        let container = container.clone();
        self.announce(world, &container, EngineAction::Health(health), &[]);
    }

    /// The process has ended. The restart policy acts where no stop was asked for.
    pub(super) fn die(inner: &Arc<Self>, world: &mut World, id: &str, code: i64, oom: bool) {
        let now = inner.now();
        let Some(container) = world.containers.get_mut(id).filter(|c| c.is_running()) else { return };
        container.state = ContainerState::Exited;
        container.exit_code = code;
        container.oom = oom;
        container.finished = Some(now);
        if let Some(life) = container.lives.last_mut() {
            life.ended = Some((now, code));
        }
        if container.health.is_some() {
            container.health = Some(EngineHealth::Unhealthy);
        }
        for endpoint in container.networks.values_mut() {
            endpoint.ip_address.clear();
        }
        let again = !container.stopped && restarts(&container.restart, code, container.restarts);
        if again {
            container.state = ContainerState::Restarting;
        }
        let (copy, run) = (container.clone(), container.run);
        if oom {
            inner.announce(world, &copy, EngineAction::OutOfMemory, &[]);
        }
        // Newer engines (seen on 28.5) say `stop` before `die`, older ones (20.10) after it.
        let stop_first = copy.stopping && inner.info.api_at_least(1, 44);
        if stop_first {
            inner.announce(world, &copy, EngineAction::Stopped, &[]);
        }
        inner.announce(world, &copy, EngineAction::Died { code }, &[("exitCode", code.to_string())]);
        if copy.stopping && !stop_first {
            inner.announce(world, &copy, EngineAction::Stopped, &[]);
        }
        if again {
            let pause = Duration::from_millis(100).saturating_mul(1 << copy.restarts.min(9));
            tokio::spawn(Arc::clone(inner).start_again(id.to_owned(), run, pause));
        } else if copy.auto_remove {
            inner.drop_container(world, id, true);
        }
    }

    /// What a restart policy does after its pause.
    async fn start_again(self: Arc<Self>, id: String, run: u32, pause: Duration) {
        sleep(pause).await;
        self.until_back().await;
        let mut world = self.lock();
        let Some(container) = world.containers.get_mut(&id) else { return };
        if container.run == run && container.state == ContainerState::Restarting {
            container.restarts += 1;
            Self::run(&self, &mut world, &id);
        }
    }

    /// Sends a signal: KILL ends the process, TERM and its like make it end as the script says.
    pub(super) fn signal(inner: &Arc<Self>, world: &mut World, id: &str, signal: &str) {
        let Some(container) = world.containers.get(id).cloned() else { return };
        if container.state == ContainerState::Restarting {
            // Nothing runs: the engine only forgets to start it again.
            if let Some(container) = world.containers.get_mut(id) {
                container.state = ContainerState::Exited;
            }
            return;
        }
        let bare = signal.trim_start_matches("SIG");
        let number = match bare {
            "KILL" | "9" => "9",
            "INT" | "2" => "2",
            "QUIT" | "3" => "3",
            "TERM" | "15" => "15",
            other => other,
        };
        inner.announce(
            world,
            &container,
            EngineAction::Other("kill".to_owned()),
            &[("signal", number.to_owned())],
        );
        match (number, container.behaviour.term_exit) {
            ("9", _) => Self::die(inner, world, id, 137, false),
            ("2" | "3" | "15", Some(code)) => {
                let takes = container.behaviour.stop_takes;
                inner.later(id, container.run, takes, move |inner, world, id| {
                    Self::die(inner, world, id, code, false);
                });
            }
            _ => {}
        }
    }

    /// Stops a container: TERM, and KILL when the grace period is over.
    pub(super) async fn stop(
        self: Arc<Self>,
        key: String,
        grace: Option<Duration>,
    ) -> Result<(), EngineError> {
        let (id, grace) = {
            let mut world = self.lock();
            let container = world.expect(&key)?;
            let default = container.stop_timeout.unwrap_or(Duration::from_secs(10));
            let (id, was) = (container.id.clone(), container.state);
            if !matches!(was, ContainerState::Running | ContainerState::Paused | ContainerState::Restarting) {
                return Ok(());
            }
            if let Some(container) = world.containers.get_mut(&id) {
                container.stopped = true;
                container.stopping = true;
            }
            Self::signal(&self, &mut world, &id, "SIGTERM");
            (id, grace.unwrap_or(default))
        };
        if timeout(grace, self.ended(&id)).await.is_err() {
            Self::signal(&self, &mut self.lock(), &id, "SIGKILL");
        }
        Ok(())
    }

    /// Waits until a container does not run.
    async fn ended(&self, id: &str) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if !self.lock().containers.get(id).is_some_and(super::container::SimContainer::is_running) {
                return;
            }
            changed.await;
        }
    }

    /// Removes a container at once, with its anonymous volumes where asked.
    pub(super) fn drop_container(&self, world: &mut World, id: &str, volumes: bool) {
        let Some(container) = world.containers.remove(id) else { return };
        world.names.remove(&container.name);
        if volumes {
            for name in &container.anonymous {
                if world.volume_users(name).is_empty() {
                    world.volumes.remove(name);
                }
            }
        }
        self.announce(world, &container, EngineAction::Removed, &[]);
    }
}

/// Whether a restart policy starts a container again that ended so.
pub(super) fn restarts(policy: &str, code: i64, restarts: u64) -> bool {
    match policy.split_once(':').unwrap_or((policy, "")) {
        ("always" | "unless-stopped", _) => true,
        ("on-failure", limit) => code != 0 && limit.parse().map_or(true, |n: u64| n == 0 || restarts < n),
        _ => false,
    }
}

impl World {
    /// Why the engine cannot start a container now.
    pub(super) fn start_refusal(&self, id: &str) -> Option<EngineError> {
        let container = self.containers.get(id)?;
        // What never ran looks for its networks by name, later it looks for those that it was on.
        let is_gone = |name: &str, endpoint: &Endpoint| {
            let wanted = &endpoint.network_id;
            self.networks.get(name).is_none_or(|n| !wanted.is_empty() && *wanted != n.id)
        };
        if let Some((name, _)) = container.networks.iter().find(|(name, e)| is_gone(name, e)) {
            return Some(EngineError::new(
                Kind::NotFound,
                format!("failed to set up container networking: network {name} not found"),
            ));
        }
        if let Some(other) = container.network_mode.strip_prefix("container:") {
            let Some(other) = self.find(other) else {
                return Some(EngineError::new(Kind::NotFound, format!("No such container: {other}")));
            };
            if !other.is_running() {
                return Some(EngineError::new(
                    Kind::Conflict,
                    format!("cannot join network namespace of a non running container: {}", other.name),
                ));
            }
        }
        let running = || self.containers.values().filter(|c| c.is_running() && c.id != id);
        let taken = container.ports.iter().filter(|p| p.public != 0).find(|p| {
            self.script.taken_ports.contains(&p.public)
                || running().flat_map(|c| &c.ports).any(|o| {
                    (o.public, &o.protocol) == (p.public, &p.protocol)
                        && (o.ip == p.ip || o.ip == "0.0.0.0" || p.ip == "0.0.0.0")
                })
        })?;
        Some(EngineError::new(
            Kind::Failed,
            format!(
                "failed to set up container networking: driver failed programming external connectivity on \
                 endpoint {}: Bind for {}:{} failed: port is already allocated",
                container.name, taken.ip, taken.public
            ),
        ))
    }

    /// What a failed start leaves in a container.
    fn note_failed_start(&mut self, id: &str, refusal: &EngineError) {
        if let Some(container) = self.containers.get_mut(id) {
            container.exit_code = 128;
            container.error.clone_from(&refusal.message);
        }
    }

    /// Gives a container an address on each of its networks.
    pub(super) fn attach(&mut self, id: &str) {
        let Some(container) = self.containers.get(id) else { return };
        let names: Vec<String> = container.networks.keys().cloned().collect();
        for name in names {
            let Some((network_id, address)) = self.address_on(&name) else { continue };
            let endpoint = self.containers.get_mut(id).and_then(|c| c.networks.get_mut(&name));
            let Some(endpoint) = endpoint else { continue };
            endpoint.network_id = network_id;
            if let (Some((part, address)), true) = (address, endpoint.ip_address.is_empty()) {
                endpoint.ip_address = address;
                if let Some(network) = self.networks.get_mut(&name) {
                    network.given.insert(part, id.to_owned());
                }
            }
        }
    }

    /// A network's ID, and the first address on it that nobody has, with its fourth part.
    fn address_on(&self, name: &str) -> Option<(String, Option<(u8, String)>)> {
        let network = self.networks.get(name)?;
        let holds = |id: &String, address: &str| {
            let endpoint = self.containers.get(id).and_then(|c| c.networks.get(name));
            endpoint.is_some_and(|endpoint| endpoint.ip_address == address)
        };
        let free = (2..=254).find_map(|part: u8| {
            let address = Ipv4Addr::new(172, network.subnet, 0, part).to_string();
            let taken = network.given.get(&part).is_some_and(|id| holds(id, &address));
            (!taken).then_some((part, address))
        });
        Some((network.id.clone(), free))
    }
}
