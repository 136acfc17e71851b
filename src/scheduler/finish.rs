//! When a run is over, and what it comes to.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Abort, AfterReady, Effect, Outcome, Scheduler,
    agenda::Timer,
    gate::UnitRun,
    machine::{Course, StepRun, StepState},
    replica::{Life, ReplicaRun},
};
use crate::{
    event::{CancelReason, Dependent, EventKind, Failure, StepAction, Verdict},
    plan::{Action, Cause, Found, Phase, Step, StepId, UnitId},
    project::{Require, go_duration},
    time::Elapsed,
};

/// Something that went wrong by itself, not because of something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The unit it is about; `None`: the run as a whole.
    unit: Option<UnitId>,
    fault: Fault,
    /// It does not fail the run: an undo or a removal that left something behind.
    left: bool,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// In words: `exited with code 1`.
    pub(super) reason: String,
    /// The exit code, where something exited.
    pub(super) code: Option<i64>,
    /// A deadline passed, rather than something going wrong.
    pub(super) timed_out: bool,
}

impl Fault {
    /// Something went wrong.
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), code: None, timed_out: false }
    }

    /// A container exited.
    pub(super) fn exit(reason: impl Into<String>, code: i64) -> Self {
        Self { code: Some(code), ..Self::new(reason) }
    }

    /// A deadline passed.
    pub(super) fn late(reason: impl Into<String>) -> Self {
        Self { timed_out: true, ..Self::new(reason) }
    }
}

impl Scheduler {
    /// Notes what went wrong; once for each unit.
    pub(super) fn trouble(&mut self, unit: Option<UnitId>, fault: Fault) {
        let is_known = match unit {
            Some(id) => std::mem::replace(&mut self.units[id.index()].in_trouble, true),
            None => false,
        };
        self.is_in_trouble |= unit.is_none();
        if !is_known {
            self.troubles.push(Trouble { unit, fault, left: false });
        }
    }

    /// Notes what an ending could not end.
    pub(super) fn left_behind(&mut self, action: &Action, message: &str) {
        let what = StepAction::from(action).target;
        let reason = format!("{what}: {message}");
        self.troubles.push(Trouble { unit: None, fault: Fault::new(reason), left: true });
    }

    /// The time for the whole start is over.
    pub(super) fn run_timed_out(&mut self, _now: Elapsed) {
        if self.course != Course::Running || self.cancel.is_some() {
            return;
        }
        let text = go_duration(self.plan.limits.timeout.unwrap_or_default());
        let why = format!("not ready when the {text} for the whole start were over");
        for index in 0..self.units.len() {
            let id = UnitId(u32::try_from(index).expect("fewer than 2^32 units"));
            let begun = self.units[index].replicas.iter().any(|r| r.life != Life::Waiting);
            // Those that only wait for others are not to blame.
            if begun && !self.units[index].is_settled() {
                self.fail_waiting(id, &why);
            }
        }
        if self.troubles.iter().all(|t| t.left) {
            self.trouble(None, Fault::late(format!("{why}{}", self.tools_at_work())));
        }
        self.cancel(CancelReason::Timeout);
    }

    /// What no unit stands for and is still waited for.
    fn tools_at_work(&self) -> String {
        let at_work = |(run, _): &(&StepRun, &Step)| run.state() == StepState::Running;
        let steps = self.steps.iter().zip(&self.plan.steps).filter(at_work);
        let targets = steps.map(|(_, step)| StepAction::from(&step.action).target);
        let targets: Vec<String> = targets.collect();
        if targets.is_empty() { String::new() } else { format!(", waiting for {}", targets.join(", ")) }
    }

    /// Whether a failed or skipped unit fails the run.
    fn is_fatal(&self, id: UnitId) -> bool {
        let unit = &self.plan.units[id.index()];
        if !unit.critical {
            return false;
        }
        // After ready, only what is looked after can fail the run.
        if self.course == Course::Watching && !unit.supervised {
            return false;
        }
        match unit.wave {
            Some(wave) if self.plan.waves[wave].ready_when != Require::All => {
                self.waves[wave].failed.is_some()
            }
            Some(_) | None => true,
        }
    }

    /// An exit may end a watched run.
    pub(super) fn look_at_abort(&mut self, id: UnitId, code: i64) {
        let AfterReady::Watch(abort) = self.after_ready else { return };
        let ends = match abort {
            Abort::Never => false,
            Abort::OnExit => true,
            Abort::OnFailure => code != 0,
            Abort::OnExitOf(unit) => unit == id || code != 0,
        };
        if ends {
            self.cancel(CancelReason::ContainerExited);
        }
    }

    /// Whether something has failed that fails the run.
    pub(super) fn is_to_end(&self) -> bool {
        let fatal = || self.lost.iter().any(|id| self.units[id.index()].is_failed() && self.is_fatal(*id));
        // While the last steps are done nothing can be put back any more: a failure acts after them.
        self.course != Course::Committing && (self.is_in_trouble || fatal())
    }

    /// Moves the run on as a whole: to its end, if that has come. Whether there is more to look at.
    pub(super) fn conclude(&mut self, now: Elapsed) -> bool {
        if self.cancel.is_none() && self.is_to_end() {
            self.cancel(CancelReason::Failure);
        }
        if self.cancel.is_some() {
            if self.lanes.total() == 0 {
                self.finish();
            }
            return false;
        }
        let course = self.course;
        match course {
            Course::Running if self.is_all_ready() => self.all_ready(now),
            Course::Window if self.is_window_decided() => self.close_window(),
            Course::Committing if self.is_done(Phase::Commit) => self.course = Course::Watching,
            // What exited while the last steps were done is being started again: that is waited for.
            Course::Watching if self.lanes.total() > 0 => return false,
            Course::Watching if self.after_ready == AfterReady::Finish || self.is_all_over() => self.finish(),
            Course::New
            | Course::Running
            | Course::Window
            | Course::Committing
            | Course::Watching
            | Course::Over => {
                debug_assert!(!self.is_stuck(), "nothing under way, nothing due, and not over: {self:?}");
                return false;
            }
        }
        self.course != Course::Over
    }

    fn is_all_ready(&mut self) -> bool {
        if !self.is_done(Phase::Run) || self.lanes.total() > 0 {
            return false;
        }
        let mut unready = self.unready;
        let is_all =
            unready.all(self.units.len(), |index| self.is_update_over(index) && self.is_there(index));
        self.unready = unready;
        is_all
    }

    /// Whether nothing more becomes of a unit before ready.
    fn is_there(&self, index: usize) -> bool {
        // Created and not to be started (`--no-start`) is all that was asked for.
        self.units[index].replicas.iter().zip(&self.plan.units[index].replicas).all(|(run, planned)| {
            run.is_settled() || (planned.start.is_none() && planned.found == Found::ToStart)
        })
    }

    /// Everything that is watched has ended.
    pub(super) fn is_all_over(&mut self) -> bool {
        let is_over = |r: &ReplicaRun| matches!(r.life, Life::Completed | Life::Failed | Life::Skipped);
        self.running.all(self.units.len(), |index| self.units[index].replicas.iter().all(is_over))
    }

    fn is_stuck(&self) -> bool {
        let is_probing = |u: &UnitRun| {
            u.outside.iter().any(Option::is_some) || u.replicas.iter().any(|r| r.life == Life::Up)
        };
        self.course == Course::Running
            && self.lanes.total() == 0
            && self.agenda.next().is_none()
            && !self.units.iter().any(is_probing)
    }

    /// Everything is ready: what was kept for undoing can go, or is kept for a while longer.
    fn all_ready(&mut self, now: Elapsed) {
        self.was_ready = true;
        let degraded = self.degraded();
        if !self.plan.units.is_empty() && !self.puts_back() {
            self.announce(EventKind::Ready { degraded });
        }
        self.agenda.set(Timer::Run, None);
        if !self.open_window(now) {
            self.commit();
        }
    }

    /// That it is ready is no news: it was before.
    pub(super) fn puts_back(&self) -> bool {
        self.plan.steps.first().is_some_and(|step| step.cause == Cause::Undo)
    }

    /// What was kept for undoing can go.
    pub(super) fn commit(&mut self) {
        self.course = Course::Committing;
        self.give_up_window_checks();
        for index in 0..self.steps.len() {
            let id = StepId(u32::try_from(index).expect("fewer than 2^32 steps"));
            // What it waited for may have been skipped with its unit: then there is nothing to remove.
            let step = &self.plan.steps[index];
            let skipped = |s: &StepId| {
                let state = self.steps[s.index()].state();
                state.is_over() && state != StepState::Done
            };
            if step.phase == Phase::Commit && step.after.iter().any(skipped) {
                self.set_state(id, StepState::Skipped);
            }
            self.queue(id);
        }
    }

    pub(super) fn finish(&mut self) {
        self.course = Course::Over;
        self.leave_window();
        let outcome = self.outcome();
        self.out.push(Effect::Finish(outcome));
    }

    pub(super) fn outcome(&self) -> Outcome {
        let verdict = match self.cancel {
            None => {
                let left = self.troubles.iter().any(|t| t.left) && self.plan.units.is_empty();
                if left { Verdict::Failed } else { Verdict::Succeeded }
            }
            Some(CancelReason::ContainerExited) => match self.exits.last() {
                Some((_, 0)) | None => Verdict::Succeeded,
                Some(_) => Verdict::Failed,
            },
            Some(CancelReason::Failure | CancelReason::Timeout) => Verdict::Failed,
            Some(CancelReason::Interrupt | CancelReason::Forced) => Verdict::Cancelled,
        };
        Outcome {
            verdict,
            was_ready: self.was_ready,
            in_window: self.window.is_some(),
            rolls_back: self.rolls_back,
            reason: self.cancel,
            failures: self.failures(),
            left: self.troubles.iter().filter(|t| t.left).map(|t| t.fault.reason.clone()).collect(),
            degraded: self.degraded(),
            exits: self.exits.clone(),
        }
    }

    fn failures(&self) -> Vec<Failure> {
        let mut because_of: BTreeMap<UnitId, Vec<UnitId>> = BTreeMap::new();
        for (id, run) in (0u32..).map(UnitId).zip(&self.units) {
            if let Some(because) = run.broken.as_ref().and_then(|broken| broken.because) {
                because_of.entry(because).or_default().push(id);
            }
        }
        let failure = |trouble: &Trouble| Failure {
            service: trouble.unit.map(|u| self.plan.units[u.index()].service.clone()).unwrap_or_default(),
            reason: trouble.fault.reason.clone(),
            exit_code: trouble.fault.code,
            dependents: trouble.unit.map(|u| self.dependents(u, &because_of)).unwrap_or_default(),
            log: Vec::new(),
            health: Vec::new(),
            timed_out: trouble.fault.timed_out,
        };
        self.troubles.iter().filter(|t| !t.left).map(failure).collect()
    }

    /// Units that were not started because of this one, the nearest first.
    fn dependents(&self, root: UnitId, because_of: &BTreeMap<UnitId, Vec<UnitId>>) -> Vec<Dependent> {
        let mut seen = BTreeSet::from([root]);
        let name = |id: UnitId| self.plan.units[id.index()].service.clone();
        let mut dependents = Vec::new();
        let mut level = vec![root];
        while !level.is_empty() {
            let of = |because: UnitId| {
                because_of.get(&because).into_iter().flatten().map(move |id| (*id, because))
            };
            let mut next: Vec<(UnitId, UnitId)> = level.drain(..).flat_map(of).collect();
            next.sort_unstable();
            next.retain(|(id, _)| seen.insert(*id));
            for (id, because) in next {
                dependents.push(Dependent { service: name(id), because: name(because) });
                level.push(id);
            }
        }
        dependents
    }

    fn degraded(&self) -> Vec<String> {
        let is_degraded = |run: &UnitRun| {
            use crate::event::ServiceState::{Degraded, Recovering, Unhealthy};
            let is_unwell = |state| matches!(state, Degraded | Unhealthy | Recovering);
            let is_unwell = |r: &ReplicaRun| is_unwell(r.shown) || (r.was_ready && !r.is_ready());
            run.is_lessened() || run.replicas.iter().any(is_unwell)
        };
        let units = self.plan.units.iter().zip(&self.units);
        units.filter(|(_, run)| is_degraded(run)).map(|(unit, _)| unit.service.clone()).collect()
    }
}
