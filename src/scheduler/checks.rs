//! Monitors: what they order, and what their findings change.

use std::time::Duration;

use super::{
    Effect, FollowKey, FollowOrder, Owner, ProbeKey, ProbeOrder, Scheduler, finish::Fault, replica::Life,
};
use crate::{
    event::{EventKind, ServiceState, StageStatus},
    health::{Change, Health, Monitor, Movement, Order, ProbeId, ProbeResult, Status},
    plan::UnitId,
    project::{ProbeSpec, go_duration},
    time::Elapsed,
};

impl Scheduler {
    /// Gives a monitor its turn, or tries a start again.
    pub(super) fn poll(&mut self, now: Elapsed, owner: Owner) {
        if let Owner::Replica(id, place) = owner
            && self.run_of(id, place).life == Life::Backoff
        {
            return self.try_again(id, place);
        }
        let Some(monitor) = self.monitor_mut(owner) else {
            return self.one_shot_timed_out(now, owner);
        };
        let (orders, changes) = monitor.poll(now);
        self.changed(now, owner, changes);
        for order in orders {
            match order {
                Order::Probe(probe) => self.order(now, owner, probe),
                Order::Follow(stage) => self.follow(owner, stage),
            }
        }
        self.set_timer(owner);
    }

    /// Has a container's log read on. Only containers have one.
    fn follow(&mut self, owner: Owner, stage: u32) {
        let Owner::Replica(unit, place) = owner else { return };
        let progress = self.spec(unit).and_then(|spec| spec.stages.get(stage as usize)?.progress.clone());
        let run = self.run_of(unit, place);
        let (attempt, container) = (run.attempt, run.container.as_ref().map(|c| c.id.clone()));
        if let (Some(progress), Some(container)) = (progress, container) {
            let key = FollowKey { unit, place, stage, attempt };
            self.out.push(Effect::Follow(Box::new(FollowOrder { key, progress, container })));
        }
    }

    /// Takes what a log says of how far its container is.
    pub(super) fn moved(&mut self, now: Elapsed, key: FollowKey, movement: Option<&Movement>) {
        let owner = Owner::Replica(key.unit, key.place);
        let run = self.run_of(key.unit, key.place);
        if run.attempt != key.attempt || run.life != Life::Up {
            return;
        }
        let Some(monitor) = run.monitor.as_mut() else { return };
        let changes = monitor.moved(now, key.stage, movement);
        self.changed(now, owner, changes);
        self.set_timer(owner);
    }

    /// What runs to its end has no monitor; only its time is looked at.
    pub(super) fn one_shot_timed_out(&mut self, now: Elapsed, owner: Owner) {
        let Owner::Replica(id, place) = owner else { return };
        let unit = &self.plan.units[id.index()];
        let (oneshot, timeout) = (unit.oneshot, unit.start.timeout);
        let run = self.run_of(id, place);
        let runs = run.life == Life::Up && !run.is_ready();
        let (Some(timeout), Some(first_try)) = (timeout, run.first_try) else { return };
        if oneshot && runs && now >= first_try + timeout {
            let why = format!("did not end within {}", go_duration(timeout));
            self.start_failed(now, id, place, Fault::late(why));
        }
    }

    pub(super) fn set_timer(&mut self, owner: Owner) {
        let backing_off =
            matches!(owner, Owner::Replica(id, place) if self.run_of(id, place).life == Life::Backoff);
        if !backing_off {
            let next = self.monitor_mut(owner).and_then(|m| m.next_deadline());
            self.agenda.set(Self::owner_timer(owner), next);
        }
    }

    pub(super) fn monitor_mut(&mut self, owner: Owner) -> Option<&mut Monitor> {
        match owner {
            Owner::Replica(id, place) => self.run_of(id, place).monitor.as_mut(),
            Owner::Outside(id, place) => self.units[id.index()].outside[place].as_mut(),
        }
    }

    pub(super) fn order(&mut self, now: Elapsed, owner: Owner, id: ProbeId) {
        let Some(monitor) = self.monitor_mut(owner) else { return };
        let check = monitor.check(id).clone();
        // The state of other services is known here; nobody needs to be asked.
        if let ProbeSpec::Service { name, stage } = &check.probe {
            let result = self.ask_service(name, stage.as_deref());
            let Some(monitor) = self.monitor_mut(owner) else { return };
            let changes = monitor.probed(now, id, &result);
            return self.changed(now, owner, changes);
        }
        let (attempt, container) = match owner {
            Owner::Replica(unit, place) => {
                let run = self.run_of(unit, place);
                (run.attempt, run.container.as_ref().map(|c| c.id.clone()))
            }
            Owner::Outside(..) => (0, None),
        };
        self.out.push(Effect::Probe(Box::new(ProbeOrder {
            key: ProbeKey { owner, id, attempt },
            check,
            container,
        })));
    }

    pub(super) fn ask_service(&self, name: &str, stage: Option<&str>) -> ProbeResult {
        // A plan for some services waits for no others: they were there before it.
        let passed = self.unit_of(name).is_none_or(|unit| {
            let run = &self.units[unit.index()];
            stage.map_or_else(
                || run.is_ready(),
                |s| run.replicas.iter().all(|r| r.is_ready() || r.has_passed(s)),
            )
        });
        let detail = match (passed, stage) {
            (true, _) => format!("`{name}` is ready"),
            (false, None) => format!("`{name}` is not ready"),
            (false, Some(stage)) => format!("`{name}` has not passed stage `{stage}`"),
        };
        ProbeResult { passed, detail, took: Duration::ZERO, report: None }
    }

    /// Takes a probe's result.
    pub(super) fn probed(&mut self, now: Elapsed, key: ProbeKey, result: &ProbeResult) {
        if let Owner::Replica(id, place) = key.owner {
            let run = self.run_of(id, place);
            if run.attempt != key.attempt || run.life != Life::Up {
                return;
            }
        }
        let Some(monitor) = self.monitor_mut(key.owner) else { return };
        let (check, stage) = (monitor.check(key.id).name.clone(), monitor.stage_of(key.id).to_owned());
        let counts =
            key.id.live && (result.status() != Status::Unhealthy || monitor.failures_count(now, key.id));
        let dependency = monitor.check(key.id).probe.dependency().map(str::to_owned);
        let changes = monitor.probed(now, key.id, result);
        let replica = match key.owner {
            Owner::Replica(id, place) => self.replica_name(id, place),
            // It is asked once for all of them.
            Owner::Outside(id, _) => self.replica_name(id, 0),
        };
        let (passed, detail, took) = (result.passed, result.detail.clone(), result.took);
        self.announce(EventKind::Probed { replica, check, stage, passed, detail, took, dependency });
        self.changed(now, key.owner, changes);
        self.set_timer(key.owner);
        if let (true, Owner::Replica(unit, _)) = (counts, key.owner) {
            self.count_in_window(now, unit, result);
        }
    }

    /// Acts on what a monitor says.
    pub(super) fn changed(&mut self, now: Elapsed, owner: Owner, changes: Vec<Change>) {
        let (id, place) = match owner {
            Owner::Replica(id, place) => (id, place),
            Owner::Outside(id, gate) => {
                for change in changes {
                    self.dirty.entry(id).or_default().insert(gate);
                    if let Change::Breaker { id: probe, breaker } = change {
                        self.show_breaker(now, owner, probe, breaker);
                    }
                }
                return;
            }
        };
        for change in changes {
            match change {
                Change::StageMoved { index, text } => self.show_movement(id, place, index, text),
                Change::Breaker { id: probe, breaker } => self.show_breaker(now, owner, probe, breaker),
                Change::StageStarted { index } => self.show_stage(id, place, index, StageStatus::Started, ""),
                Change::StagePassed { index } => {
                    self.run_of(id, place).has_got_to(index + 1);
                    self.show_stage(id, place, index, StageStatus::Passed, "");
                }
                Change::StageDegraded { index, why } => {
                    self.show_stage(id, place, index, StageStatus::Degraded, &why);
                }
                Change::StageFailed { index, why, .. } => {
                    self.show_stage(id, place, index, StageStatus::Failed, &why);
                }
                Change::Became(health) => self.became(now, id, place, health),
            }
        }
        self.unit_changed(id);
    }

    pub(super) fn became(&mut self, now: Elapsed, id: UnitId, place: usize, health: Health) {
        match health {
            Health::Starting => {}
            Health::Ready => self.become_ready(id, place, ServiceState::Ready, ""),
            Health::Degraded { why } => self.become_ready(id, place, ServiceState::Degraded, &why),
            Health::Unhealthy { why } => self.unhealthy(now, id, place, &why),
            Health::Recovering => self.show(id, place, ServiceState::Recovering, ""),
            Health::Failed { why, timed_out } => {
                self.start_failed(now, id, place, Fault { timed_out, ..Fault::new(why) });
            }
        }
    }
}
