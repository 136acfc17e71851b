//! What everybody is told of a replica's life.

use std::{sync::Arc, time::Duration};

use super::{
    Owner, Scheduler,
    replica::{Life, ReplicaRun},
};
use crate::{
    event::{BreakerState, EventKind, ServiceState, StageStatus},
    health::{Breaker, ProbeId},
    plan::{Action, Cause, StepId, UnitId},
    time::Elapsed,
};

impl Scheduler {
    /// What a unit waits for, as long as it does.
    pub(super) fn show_waiting(&mut self, id: UnitId, waits: &[String]) {
        let cause = format!("waits for {}", waits.join(", "));
        for place in 0..self.units[id.index()].replicas.len() {
            if is_unexplained(&self.units[id.index()].replicas[place]) {
                self.show(id, place, ServiceState::Blocked, &cause);
            }
        }
    }

    /// Whether nobody was told yet what a unit waits for.
    pub(super) fn is_wait_to_show(&self, id: UnitId) -> bool {
        self.units[id.index()].replicas.iter().any(is_unexplained)
    }

    pub(super) fn show_step_started(&mut self, id: StepId, action: &Action, cause: &Cause) {
        let Some(unit) = self.plan.steps[id.index()].unit else { return self.show_image_step(id, action) };
        // That there was none before goes without saying.
        let cause = if *cause == Cause::Missing { String::new() } else { cause.to_string() };
        match action {
            Action::CreateContainer { replica, .. } => {
                let place = self.place(unit, replica);
                self.show(unit, place, ServiceState::Creating, &cause);
            }
            Action::StartContainer { replica, .. } => {
                let place = self.place(unit, replica);
                self.run_of(unit, place).begin_start();
                self.show(unit, place, ServiceState::Starting, &cause);
            }
            Action::StopContainer { .. }
            | Action::KillContainer { .. }
            | Action::RemoveContainer { .. }
            | Action::RenameContainer { .. }
            | Action::TakeNames { .. }
            | Action::CreateNetwork { .. }
            | Action::RemoveNetwork { .. }
            | Action::RestoreNetwork(_)
            | Action::Reconnect { .. }
            | Action::CreateVolume { .. }
            | Action::RemoveVolume { .. }
            | Action::PullImage { .. }
            | Action::BuildImage { .. }
            | Action::RemoveImage { .. }
            | Action::CallProvider { .. }
            | Action::SetUpModel { .. } => self.show_ending(action),
        }
    }

    /// Everybody who waits for an image is shown as pulling or building it.
    pub(super) fn show_image_step(&mut self, id: StepId, action: &Action) {
        let state = match action {
            Action::PullImage { .. } => ServiceState::Pulling,
            Action::BuildImage { .. } => ServiceState::Building,
            _ => return self.show_ending(action),
        };
        let plan = Arc::clone(&self.plan);
        for dependent in self.steps[id.index()].dependents.clone() {
            let step = &plan.steps[dependent.index()];
            if let (Action::CreateContainer { replica, .. }, Some(unit)) = (&step.action, step.unit) {
                let place = self.place(unit, replica);
                self.show(unit, place, state, "");
            }
        }
    }

    /// Stops and removals are shown for containers that no unit stands for.
    pub(super) fn show_ending(&mut self, action: &Action) {
        let (Action::StopContainer { replica: Some(replica), container, .. }
        | Action::KillContainer { replica: Some(replica), container }) = action
        else {
            return;
        };
        self.announce(EventKind::Service {
            replica: replica.clone(),
            state: ServiceState::Stopping,
            cause: String::new(),
            container: Some(container.id.clone()),
        });
    }

    pub(super) fn show_step_done(&mut self, now: Elapsed, action: &Action) {
        let (replica, state, container) = match action {
            Action::StartContainer { replica, existing, .. } => {
                let unit = self.unit_of(&replica.service);
                // A unit may stand for other containers of the service alone: for the one of a `run`.
                if let Some((unit, place)) =
                    unit.and_then(|unit| Some((unit, self.find_place(unit, replica)?)))
                {
                    // One that was given up while the engine was at it stays given up.
                    if self.run_of(unit, place).life == Life::Starting {
                        self.come_up(now, unit, place);
                    }
                    return;
                }
                let id = existing.as_ref().map(|c| c.id.clone());
                return self.announce(EventKind::Service {
                    replica: replica.clone(),
                    state: ServiceState::Starting,
                    cause: String::new(),
                    container: id,
                });
            }
            Action::TakeNames { replica, .. } => return self.names_taken(now, replica),
            Action::StopContainer { replica: Some(replica), container, .. }
            | Action::KillContainer { replica: Some(replica), container } => {
                (replica, ServiceState::Stopped, container)
            }
            Action::RemoveContainer { replica: Some(replica), container, .. }
                if self.plan.units.is_empty() =>
            {
                (replica, ServiceState::Removed, container)
            }
            _ => return,
        };
        let (replica, container) = (replica.clone(), Some(container.id.clone()));
        self.announce(EventKind::Service { replica, state, cause: String::new(), container });
    }

    /// Announces a replica's state where it is another than before.
    pub(super) fn show(&mut self, id: UnitId, place: usize, state: ServiceState, cause: &str) {
        let replica = self.replica_name(id, place);
        let run = self.run_of(id, place);
        if run.shown == state && state != ServiceState::Restarting {
            return;
        }
        run.shown = state;
        let container = run.container.as_ref().map(|c| c.id.clone());
        self.count_again(id);
        self.update_changed(id);
        self.announce(EventKind::Service { replica, state, cause: cause.to_owned(), container });
    }

    pub(super) fn show_stage(
        &mut self,
        id: UnitId,
        place: usize,
        index: usize,
        status: StageStatus,
        cause: &str,
    ) {
        let Some(spec) = self.spec(id) else { return };
        let Some(stage) = spec.stages.get(index) else { return };
        self.announce(EventKind::Stage {
            replica: self.replica_name(id, place),
            stage: stage.name.clone(),
            index: u32::try_from(index + 1).unwrap_or(u32::MAX),
            of: u32::try_from(spec.stages.len()).unwrap_or(u32::MAX),
            status,
            cause: cause.to_owned(),
        });
    }
    pub(super) fn show_movement(&mut self, id: UnitId, place: usize, index: usize, text: String) {
        let Some(spec) = self.spec(id) else { return };
        let Some(stage) = spec.stages.get(index) else { return };
        self.announce(EventKind::StageMoved {
            replica: self.replica_name(id, place),
            stage: stage.name.clone(),
            index: u32::try_from(index + 1).unwrap_or(u32::MAX),
            of: u32::try_from(spec.stages.len()).unwrap_or(u32::MAX),
            text,
        });
    }

    pub(super) fn show_breaker(&mut self, now: Elapsed, owner: Owner, probe: ProbeId, breaker: Breaker) {
        let Some(monitor) = self.monitor_mut(owner) else { return };
        let check = monitor.check(probe).name.clone();
        let last = monitor.last_result(probe).filter(|last| !last.passed);
        let (state, open_for, cause) = match breaker {
            Breaker::Closed { .. } => (BreakerState::Closed, Duration::ZERO, String::new()),
            Breaker::HalfOpen => (BreakerState::HalfOpen, Duration::ZERO, String::new()),
            Breaker::Open { until } => {
                let cause = last.map(|last| last.detail.clone()).unwrap_or_default();
                (BreakerState::Open, until.since(now), cause)
            }
        };
        let (id, places) = match owner {
            Owner::Replica(id, place) => (id, place..place + 1),
            Owner::Outside(id, _) => (id, 0..self.units[id.index()].replicas.len()),
        };
        for place in places {
            let replica = self.replica_name(id, place);
            let (check, cause) = (check.clone(), cause.clone());
            self.announce(EventKind::Breaker { replica, check, breaker: state, open_for, cause });
        }
    }
}

/// Whether it is not known yet that it waits for something.
fn is_unexplained(run: &ReplicaRun) -> bool {
    matches!(run.shown, ServiceState::Pending | ServiceState::Created)
}
