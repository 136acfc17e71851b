//! What time brings, and who is next.

use std::{collections::BTreeSet, time::Duration};

use super::{
    input::{Change, DeviceId, Refusal, ServiceId},
    machine::Machine,
    room::Place,
    service::{Drain, Phase, Run},
};
use crate::{
    project::{Keep, go_duration},
    time::Elapsed,
};

impl Machine {
    /// When time alone changes something; a [`super::Input::Tick`] is due then.
    pub fn next_deadline(&self) -> Option<Elapsed> {
        let of_services = self.services.values().filter_map(|run| self.deadline(run)).min();
        let somebody_waits = self.services.values().any(|run| matches!(run.phase, Phase::Waiting(_)));
        // Who may not be evicted yet may be soon.
        let young = self.services.values().filter(|_| somebody_waits).map(Self::may_go);
        of_services.into_iter().chain(young.filter(|at| *at > self.now)).min()
    }

    /// When time alone changes something of a service.
    fn deadline(&self, run: &Run) -> Option<Elapsed> {
        let waiters =
            run.waiters.iter().map(|waiter| waiter.until).chain(run.want.map(|want| want.until)).min();
        let phase = match &run.phase {
            Phase::Cold | Phase::Blocked(_) | Phase::Draining(..) => None,
            Phase::Waiting(waiting) => {
                let patience = Self::patience_ends(run).filter(|end| *end > self.now);
                patience.into_iter().chain(waiting.plan.as_ref().and_then(|plan| plan.until)).min()
            }
            Phase::Loading(loading) => Some(loading.until),
            Phase::Ready(_) => Self::idles_out(run),
            Phase::Unloading(unloading) => Some(unloading.until),
            Phase::Settling(settling) => Some(settling.until.min(settling.measure)),
            Phase::Failed => run.trouble.as_ref().map(|trouble| trouble.until),
            Phase::Stuck(stuck) => Some(stuck.again),
        };
        waiters.into_iter().chain(phase).min()
    }

    /// When what is loaded is stopped because nobody asks it.
    pub(super) fn idles_out(run: &Run) -> Option<Elapsed> {
        match &run.phase {
            Phase::Ready(resident) if run.in_flight.is_empty() && !run.pinned => {
                Some(resident.idle_since + run.spec.stop_after?)
            }
            _ => None,
        }
    }

    /// Does what was due.
    pub(super) fn expire(&mut self) {
        let ids: Vec<ServiceId> = self.services.keys().copied().collect();
        for id in ids {
            self.expire_phase(id);
            self.refuse_late(id);
            self.stop_idle(id);
            self.give_up(id);
        }
    }

    fn stop_idle(&mut self, id: ServiceId) {
        let Some(run) = self.services.get(&id) else { return };
        if Self::idles_out(run).is_some_and(|at| at <= self.now) {
            let after = run.spec.stop_after.map(go_duration).unwrap_or_default();
            self.drain(id, Drain::Idle, format!("nobody has asked it for {after}"));
        }
    }

    /// Room that is not made in time: those who are answering go on, and patience begins anew.
    fn give_up(&mut self, id: ServiceId) {
        let now = self.now;
        let Some(plan) = self.services.get(&id).and_then(Run::plan) else { return };
        if plan.until.is_none_or(|until| until > now) {
            return;
        }
        let is_answering = |victim: &ServiceId| {
            let run = self.services.get(victim);
            run.is_some_and(|run| matches!(run.phase, Phase::Draining(..)) && !run.in_flight.is_empty())
        };
        if plan.victims.iter().any(is_answering) {
            self.drop_plan(id, "what was to make room has been answering for too long");
            if let Some(Phase::Waiting(waiting)) = self.services.get_mut(&id).map(|run| &mut run.phase) {
                waiting.gave_up = Some(now);
            }
        } else if let Some(Phase::Waiting(waiting)) = self.services.get_mut(&id).map(|run| &mut run.phase)
            && let Some(plan) = &mut waiting.plan
        {
            plan.until = None;
        }
    }

    /// Lets everything happen that can.
    pub(super) fn advance(&mut self) {
        // Each service goes on only a few times before something outside has to happen.
        for _ in 0..4 * self.services.len() + 4 {
            let drained = self.stop_drained();
            let settled = self.settle_all();
            let placed = self.place_all();
            if !(drained || settled || placed) {
                return;
            }
        }
    }

    /// Stops what has been drained, where it is its turn on its devices.
    fn stop_drained(&mut self) -> bool {
        let mut changed = false;
        let ids: Vec<ServiceId> = self.services.keys().copied().collect();
        for id in ids {
            let Some(run) = self.services.get(&id) else { continue };
            let Phase::Draining(resident, drain) = &run.phase else { continue };
            let force = *drain == Drain::Hand(true);
            let is_free = force || run.in_flight.is_empty();
            if is_free && resident.share.keys().all(|device| self.is_unlocked(device)) {
                let reason = run.past.get(&Change::Draining).map(|(_, reason)| reason.clone());
                self.unload(id, force, reason.unwrap_or_default());
                changed = true;
            }
        }
        changed
    }

    fn settle_all(&mut self) -> bool {
        let ids: Vec<ServiceId> = self.services.keys().copied().collect();
        let mut changed = false;
        for id in ids {
            changed |= self.settle(id);
        }
        changed
    }

    /// Finds places for those who wait: first those for whom room is being made, then those who have waited beyond their
    /// patience, then by priority, then in the order in which they came.
    fn place_all(&mut self) -> bool {
        let mut changed = false;
        let mut closed: BTreeSet<DeviceId> = BTreeSet::new();
        for id in self.in_order() {
            if self.makes_room(id) {
                closed.extend(self.services[&id].plan().into_iter().flat_map(|plan| plan.devices.clone()));
                continue;
            }
            match self.place(id, &closed) {
                Some(Place::Here(share, reason)) => {
                    self.load(id, share, reason);
                    changed = true;
                }
                Some(Place::Making(plan, reason)) => {
                    closed.extend(plan.devices.iter().cloned());
                    changed |= !plan.victims.is_empty();
                    self.follow(id, plan, reason);
                }
                Some(Place::Later(reason)) => {
                    if let Some(Phase::Waiting(waiting)) =
                        self.services.get_mut(&id).map(|run| &mut run.phase)
                    {
                        waiting.plan = None;
                        waiting.reason = reason;
                    }
                }
                Some(Place::Never(message)) => {
                    let refusal = Refusal::NeverFits { message: message.clone() };
                    self.enter(id, Phase::Blocked(message.clone()), Change::Blocked, message);
                    self.refuse_all(id, &refusal);
                    changed = true;
                }
                None => {}
            }
        }
        changed
    }

    fn in_order(&self) -> Vec<ServiceId> {
        let waiting = self.services.iter().filter(|(_, run)| matches!(run.phase, Phase::Waiting(_)));
        let mut order: Vec<_> = waiting
            .map(|(id, run)| {
                let aged = self.is_aged(run);
                let priority = if aged { 0 } else { -run.spec.priority };
                (run.plan().is_none(), !aged, priority, run.wanted_since(), *id)
            })
            .collect();
        order.sort_unstable();
        order.into_iter().map(|(.., id)| id).collect()
    }

    /// Whether somebody is still on the way out for a service.
    fn makes_room(&self, id: ServiceId) -> bool {
        let Some(plan) = self.services.get(&id).and_then(Run::plan) else { return false };
        plan.victims.iter().any(|victim| self.services.get(victim).is_some_and(Run::is_leaving))
    }

    /// How long until what is loaded is stopped because nobody asks it.
    pub(super) fn idle_left(&self, run: &Run) -> Option<Duration> {
        Self::idles_out(run).map(|at| at.since(self.now))
    }

    /// Whether a service stays whatever comes.
    pub(super) fn stays(run: &Run) -> bool {
        run.pinned || run.spec.keep == Keep::Always
    }
}
