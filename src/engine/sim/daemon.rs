//! What becomes of everything when the daemon, or the way to it, goes away.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    life::restarts,
    world::{Inner, SimEngine, World},
};
use crate::plan::{ContainerState, EngineHealth};

/// How a daemon goes away, and what that means for its containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// With `live-restore`: they run on.
    LiveRestore,
    /// They die with it; those whose restart policy says so are started when it is back.
    TakesAll,
}

impl SimEngine {
    /// The daemon is gone now, and back after a while. Whoever waits for an answer gets none, what was not done by now
    /// is never done, and nobody is told of anything.
    pub fn restart_daemon(&self, away: Duration, outage: Outage) {
        let back = self.inner.now() + away;
        {
            let mut world = self.inner.lock();
            world.away_until = back;
            world.listeners.clear();
            world.deaf.clear();
            match outage {
                Outage::LiveRestore => world.look_again(),
                Outage::TakesAll => world.take_all(self.inner.now()),
            }
        }
        self.inner.cut.notify_waiters();
        self.inner.changed.notify_waiters();
        if outage == Outage::TakesAll {
            let inner = Arc::clone(&self.inner);
            tokio::spawn(async move {
                sleep(away).await;
                inner.start_by_policy();
            });
        }
    }

    /// Connections on which events are told break; new ones are fine.
    pub fn break_events(&self) {
        self.inner.lock().listeners.clear();
    }

    /// Connections on which events are told stay, and tell nothing any more; new ones are fine.
    pub fn deafen(&self) {
        let mut world = self.inner.lock();
        let deaf = std::mem::take(&mut world.listeners).into_iter().map(|(_, sender)| sender);
        world.deaf.extend(deaf);
    }

    /// The kernel ends the container's process for memory, now.
    pub fn out_of_memory(&self, container: &str) {
        let mut world = self.inner.lock();
        if let Some(id) = world.find(container).map(|c| c.id.clone()) {
            Inner::die(&self.inner, &mut world, &id, 137, true);
        }
    }
}

impl Inner {
    pub(super) fn is_away(&self) -> bool {
        self.now() < self.lock().away_until
    }

    /// Waits until the daemon is there.
    pub(super) async fn until_back(&self) {
        while self.is_away() {
            let left = self.lock().away_until.saturating_sub(self.now());
            sleep(left).await;
        }
    }

    /// What a daemon that is started again does with what has run before and does not run now. A container that was
    /// stopped by request is started too where its policy is `always`.
    fn start_by_policy(self: &Arc<Self>) {
        let mut world = self.lock();
        let wanted = world.containers.values().filter(|c| {
            let by_hand = c.stopped && c.restart != "always";
            c.started.is_some()
                && !c.is_running()
                && !by_hand
                && restarts(&c.restart, c.exit_code, c.restarts)
        });
        let wanted: Vec<String> = wanted.map(|c| c.id.clone()).collect();
        for id in wanted {
            if world.start_refusal(&id).is_none() {
                Self::run(self, &mut world, &id);
            }
        }
    }
}

impl World {
    /// Health counts from the beginning again.
    fn look_again(&mut self) {
        for container in self.containers.values_mut().filter(|c| c.is_running() && c.health.is_some()) {
            container.health = Some(EngineHealth::Starting);
        }
    }

    /// Every process ends.
    fn take_all(&mut self, now: Duration) {
        let was_up = |state| {
            matches!(state, ContainerState::Running | ContainerState::Paused | ContainerState::Restarting)
        };
        for container in self.containers.values_mut().filter(|c| was_up(c.state)) {
            container.state = ContainerState::Exited;
            container.exit_code = 137;
            container.finished = Some(now);
            container.run += 1;
            if let Some(life) = container.lives.last_mut().filter(|life| life.ended.is_none()) {
                life.ended = Some((now, 137));
            }
            if container.health.is_some() {
                container.health = Some(EngineHealth::Unhealthy);
            }
            for endpoint in container.networks.values_mut() {
                endpoint.ip_address.clear();
            }
        }
    }
}
