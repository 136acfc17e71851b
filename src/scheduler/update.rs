//! A unit's update: its containers are replaced a few at a time, and a new one takes an old one's place when it is
//! ready.

use std::ops::Bound;

use super::{
    Scheduler,
    agenda::Timer,
    machine::{Course, StepState},
    replica::{Life, ReplicaRun},
};
use crate::{
    event::ServiceState,
    plan::{Awaits, Cause, Phase, Step, UnitId},
    project::Replica,
    time::Elapsed,
};

impl Scheduler {
    /// Whether what a step waits for in its unit's update holds.
    pub(super) fn is_awaited(&self, step: &Step) -> bool {
        let (Some(awaits), Some(unit)) = (step.awaits, step.unit) else { return true };
        let run = &self.units[unit.index()];
        match awaits {
            Awaits::Batch(index) => run.batch >= index,
            Awaits::Ready => {
                let place = step.action.replica().and_then(|replica| self.find_place(unit, replica));
                // What is put back is put back, whatever becomes of it.
                let is_over =
                    |run: &ReplicaRun| run.is_ready() || (run.is_lost() && step.cause == Cause::Undo);
                place.is_some_and(|place| is_over(&run.replicas[place]))
            }
        }
    }

    /// Moves updates on: what became ready may take its place, and a batch that is over makes room for the next.
    pub(super) fn look_at_updates(&mut self, now: Elapsed) {
        if self.course != Course::Running {
            return;
        }
        let mut next = self.dirty_updates.first().copied();
        while let Some(id) = next {
            self.dirty_updates.remove(&id);
            self.queue_steps(id);
            self.look_at_batch(now, id);
            next = self.dirty_updates.range((Bound::Excluded(id), Bound::Unbounded)).next().copied();
        }
    }

    /// Something of a unit's containers or steps is another than before: its update may go on.
    pub(super) fn update_changed(&mut self, id: UnitId) {
        if self.plan.units[id.index()].update.is_some() {
            self.dirty_updates.insert(id);
        }
    }

    fn look_at_batch(&mut self, now: Elapsed, id: UnitId) {
        let plan = std::sync::Arc::clone(&self.plan);
        let Some(update) = &plan.units[id.index()].update else { return };
        let batch = self.units[id.index()].batch;
        let Some(numbers) = update.batches.get(batch) else { return };
        if self.units[id.index()].is_failed() && !self.puts_back() {
            return self.end_update(id);
        }
        if !numbers.iter().all(|number| self.is_replaced(id, *number)) {
            return self.agenda.set(Timer::Batch(id), None);
        }
        if self.agenda.is_set(Timer::Batch(id)) {
            return;
        }
        let is_last = batch + 1 == update.batches.len();
        let pause = update.monitor + if is_last { std::time::Duration::ZERO } else { update.delay };
        if pause.is_zero() {
            self.batch_is_over(id);
            return self.look_at_batch(now, id);
        }
        self.agenda.set(Timer::Batch(id), Some(now + pause));
    }

    /// Whether the update of one container is over, one way or the other.
    fn is_replaced(&self, id: UnitId, number: u32) -> bool {
        let run = &self.units[id.index()];
        let place = self.plan.units[id.index()].replicas.iter().position(|r| r.number == number);
        let is_settled = place.is_none_or(|place| run.replicas[place].is_settled());
        is_settled
            && run.steps.iter().all(|step| {
                let planned = &self.plan.steps[step.index()];
                let is_its = planned.action.replica().is_some_and(|replica| replica.number == number);
                !is_its || planned.phase == Phase::Commit || self.steps[step.index()].state().is_over()
            })
    }

    /// The next batch is due.
    pub(super) fn batch_is_over(&mut self, id: UnitId) {
        self.units[id.index()].batch += 1;
        self.update_changed(id);
        self.queue_steps(id);
    }

    /// Too many have failed: those that are still to come stay as they are.
    fn end_update(&mut self, id: UnitId) {
        let plan = std::sync::Arc::clone(&self.plan);
        for place in 0..self.units[id.index()].replicas.len() {
            let is_untouched = |run: &ReplicaRun| run.life == Life::Waiting;
            if is_untouched(&self.units[id.index()].replicas[place]) && self.has_not_begun(id, place) {
                self.lose(id, place, Life::Skipped);
                self.show(id, place, ServiceState::Skipped, "the update of its service failed");
                self.skip_steps(id, place, "the update of its service failed");
            }
        }
        let batches = plan.units[id.index()].update.as_ref().map_or(0, |update| update.batches.len());
        self.units[id.index()].batch = batches;
        self.unit_changed(id);
    }

    /// No step of a replica that waits for its batch has begun.
    fn has_not_begun(&self, id: UnitId, place: usize) -> bool {
        self.units[id.index()].steps.iter().all(|step| {
            let planned = &self.plan.steps[step.index()];
            let is_its = planned.action.replica().and_then(|r| self.find_place(id, r)) == Some(place);
            let waits = matches!(planned.awaits, Some(Awaits::Batch(_)));
            !is_its || !waits || self.steps[step.index()].state() == StepState::Blocked
        })
    }

    pub(super) fn is_update_over(&self, index: usize) -> bool {
        let update = self.plan.units[index].update.as_ref();
        update.is_none_or(|update| self.units[index].batch >= update.batches.len())
    }

    /// A new container answers to its service's names, from another address than before: its checks begin again.
    pub(super) fn names_taken(&mut self, now: Elapsed, replica: &Replica) {
        let Some(unit) = self.unit_of(&replica.service) else { return };
        let Some(place) = self.find_place(unit, replica) else { return };
        if self.run_of(unit, place).is_ready() && self.run_of(unit, place).life == Life::Up {
            self.come_up(now, unit, place);
        }
    }
}
