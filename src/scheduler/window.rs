//! The rollback window: what is watched for between ready and the moment when what ran before is let go.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{
    AfterReady, Owner, Scheduler,
    agenda::Timer,
    finish::Fault,
    machine::{Course, StepState},
    replica::Life,
};
use crate::{
    event::{CancelReason, EventKind, WindowEnd},
    health::{ProbeResult, Status},
    plan::{Pace, UnitId},
    project::{ConditionKind, RollbackAction, go_duration},
    time::Elapsed,
};

/// Results, and failures among them, before which their share says nothing: one failure of one check is no 100%.
const ENOUGH: (u32, u32) = (5, 2);

/// The window while it is open.
#[derive(Debug, Clone)]
pub(super) struct WindowRun {
    opened: Elapsed,
    /// Its time is over.
    is_over: bool,
    /// Results of health checks in it, and failures among them.
    total: (u32, u32),
    /// The same by unit.
    results: BTreeMap<UnitId, (u32, u32)>,
    /// Containers that exited in it and that the engine started again.
    exited: BTreeSet<(UnitId, usize)>,
}

impl Scheduler {
    /// Opens the window, where there is one and something could be undone; whether it did.
    pub(super) fn open_window(&mut self, now: Elapsed) -> bool {
        let Some(length) = self.plan.window.as_ref().map(|window| window.length) else { return false };
        if !self.has_changed_what_runs() || self.is_all_over() {
            return false;
        }
        self.course = Course::Window;
        let (results, exited) = (BTreeMap::new(), BTreeSet::new());
        self.window = Some(WindowRun { opened: now, is_over: false, total: (0, 0), results, exited });
        self.agenda.set(Timer::Window, Some(now + length));
        let kept = self.plan.kept();
        self.announce(EventKind::WindowOpened { length, kept });
        true
    }

    /// Whether something was started or stopped that undoing would stop or start.
    fn has_changed_what_runs(&self) -> bool {
        self.steps
            .iter()
            .zip(&self.plan.steps)
            .any(|(run, step)| step.action.changes_what_runs() && run.state() == StepState::Done)
    }

    /// Whether single results matter, rather than only what they make of a service.
    pub(super) fn counts_results(&self) -> bool {
        let conditions = self.plan.window.iter().flat_map(|window| &window.conditions);
        conditions.into_iter().any(|condition| match condition.condition {
            ConditionKind::CriticalServiceUnhealthy => false,
            ConditionKind::HealthCheckFailures(_) | ConditionKind::ErrorRate(_) => true,
        })
    }

    /// Whether a failure of this unit, now, makes the run roll back.
    pub(super) fn decides_window(&self, id: UnitId) -> bool {
        self.course == Course::Window && self.cancel.is_none() && self.plan.units[id.index()].critical
    }

    /// A critical service fails inside the window: it is not started again.
    pub(super) fn fail_in_window(&mut self, now: Elapsed, id: UnitId, place: usize, fault: Fault) {
        let Fault { reason: why, code, timed_out } = fault;
        self.fail(id, place, Fault { reason: self.inside_window(now, &why), code, timed_out });
        let service = self.plan.units[id.index()].service.clone();
        self.roll_back(now, ConditionKind::CriticalServiceUnhealthy, format!("{service}: {why}"));
    }

    /// Whether a container that the engine starts again has exited inside the window before.
    pub(super) fn exits_again_in_window(&mut self, id: UnitId, place: usize) -> bool {
        self.decides_window(id)
            && self.window.as_mut().is_some_and(|window| !window.exited.insert((id, place)))
    }

    /// Takes a result of a check that goes on after ready, and looks at what it makes of the conditions.
    pub(super) fn count_in_window(&mut self, now: Elapsed, id: UnitId, result: &ProbeResult) {
        let Some(window) = self.window.as_mut().filter(|_| self.cancel.is_none()) else { return };
        let failed = u32::from(result.status() == Status::Unhealthy);
        for of in [&mut window.total, window.results.entry(id).or_default()] {
            *of = (of.0 + 1, of.1 + failed);
        }
        let plan = Arc::clone(&self.plan);
        for condition in plan.window.iter().flat_map(|window| &window.conditions) {
            let (unit, why) = match condition.condition {
                ConditionKind::CriticalServiceUnhealthy => continue,
                ConditionKind::HealthCheckFailures(most) => (None, self.too_many_failures(most.into())),
                ConditionKind::ErrorRate(most) => (Some(id), self.too_many_errors(id, result, most.into())),
            };
            if let Some(why) = why {
                self.trouble(unit, Fault::new(self.inside_window(now, &why)));
                let service = unit.map(|unit| format!("{}: ", plan.units[unit.index()].service));
                let reason = format!("{}{why}", service.unwrap_or_default());
                return self.roll_back(now, condition.condition, reason);
            }
        }
    }

    /// What is said where more than this percentage of the results so far are failures.
    fn too_many_failures(&self, most: f64) -> Option<String> {
        let WindowRun { total: (results, failed), results: by_unit, .. } = self.window.as_ref()?;
        let (results, failed) = (*results, *failed);
        let share = f64::from(failed) / f64::from(results) * 100.0;
        if results < ENOUGH.0 || failed < ENOUGH.1 || !is_more(share, most) {
            return None;
        }
        let (worst, (of, most_failed)) = by_unit.iter().max_by_key(|(_, (_, failed))| *failed)?;
        let worst = format!("{}: {most_failed} of {of}", self.plan.units[worst.index()].service);
        let share = percent(share);
        Some(format!("{share} of {results} health checks failed, more than {} ({worst})", percent(most)))
    }

    /// What is said where a critical service reports more errors than this percentage.
    fn too_many_errors(&self, id: UnitId, result: &ProbeResult, most: f64) -> Option<String> {
        let rate = result.error_rate().filter(|_| self.plan.units[id.index()].critical)? * 100.0;
        is_more(rate, most)
            .then(|| format!("reports an error rate of {}, more than {}", percent(rate), percent(most)))
    }

    /// The run is to be rolled back, as the first condition of this kind says. Only the first reason counts.
    fn roll_back(&mut self, now: Elapsed, kind: ConditionKind, reason: String) {
        let Some(opened) = self.window.as_ref().map(|window| window.opened) else { return };
        if self.rolls_back.is_some() {
            return;
        }
        let mut conditions = self.plan.window.iter().flat_map(|window| &window.conditions);
        let action = conditions.find(|c| c.condition == kind).map_or(RollbackAction::default(), |c| c.action);
        self.rolls_back = Some(Pace::from(action));
        let (condition, action) = (kind.to_string(), action.word().to_owned());
        self.announce(EventKind::ConditionMet { condition, action, after: now.since(opened), reason });
        self.cancel(CancelReason::Failure);
    }

    /// What happened inside the window, as the reason of a failure.
    fn inside_window(&self, now: Elapsed, what: &str) -> String {
        let length = self.plan.window.as_ref().map(|window| window.length).unwrap_or_default();
        let after = self.window.as_ref().map(|window| now.since(window.opened)).unwrap_or_default();
        let (after, length) = (go_duration(tenths(after)), go_duration(length));
        format!("inside the rollback window (after {after} of {length}): {what}")
    }

    /// Its time is over: what is critical and on its way back is late.
    pub(super) fn window_is_over(&mut self, now: Elapsed) {
        if let Some(window) = &mut self.window {
            window.is_over = true;
        }
        for index in 0..self.units.len() {
            let id = UnitId(u32::try_from(index).expect("fewer than 2^32 units"));
            for place in 0..self.units[index].replicas.len() {
                if self.decides_window(id) && !self.units[index].replicas[place].is_settled() {
                    let fault = Fault::new("exited, and was not ready again when the window was over");
                    self.fail_in_window(now, id, place, fault);
                }
            }
        }
    }

    /// Whether nothing more is to be waited for: also a container that is started again is waited for.
    pub(super) fn is_window_decided(&mut self) -> bool {
        let is_over = self.window.as_ref().is_some_and(|window| window.is_over);
        (is_over || self.is_all_over()) && self.lanes.total() == 0
    }

    /// Nothing went wrong: what ran before is let go.
    pub(super) fn close_window(&mut self) {
        let is_over = self.window.take().is_some_and(|window| window.is_over);
        self.agenda.set(Timer::Window, None);
        let end = if is_over { WindowEnd::Passed } else { WindowEnd::NothingRuns };
        self.announce(EventKind::WindowClosed { end });
        self.commit();
    }

    /// The run ends inside the window.
    pub(super) fn leave_window(&mut self) {
        if self.window.is_some() {
            let met = self.rolls_back.is_some();
            let end = if met { WindowEnd::ConditionMet } else { WindowEnd::RunEnded };
            self.announce(EventKind::WindowClosed { end });
        }
    }

    /// Ends the checks that only the window asked for.
    pub(super) fn give_up_window_checks(&mut self) {
        let stays = matches!(self.after_ready, AfterReady::Watch(_));
        for index in 0..self.units.len() {
            let id = UnitId(u32::try_from(index).expect("fewer than 2^32 units"));
            for place in 0..self.units[index].replicas.len() {
                let run = &self.units[index].replicas[place];
                let only_here = run.life == Life::Up && run.is_ready() && (self.trusts_engine(id) || !stays);
                if only_here && run.monitor.is_some() {
                    self.run_of(id, place).give_up_checks();
                    self.agenda.set(Self::owner_timer(Owner::Replica(id, place)), None);
                }
            }
        }
    }
}

/// To a tenth of a second.
fn tenths(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from((time.as_millis() + 50) / 100 * 100).unwrap_or(u64::MAX))
}

/// Whether one percentage is greater than another, by more than what calculating with them loses.
fn is_more(share: f64, most: f64) -> bool {
    share - most > 1e-6
}

/// `60%`, `0.25%`.
fn percent(share: f64) -> String {
    format!("{}%", (share * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests;
