//! When a wave opens, is ready, or fails.

use std::collections::BTreeSet;

use super::{Scheduler, agenda::Timer};
use crate::{
    event::EventKind,
    plan::{Plan, UnitId, Wave},
    time::Elapsed,
};

/// A wave as it goes.
#[derive(Debug, Clone)]
pub(super) struct WaveRun {
    pub(super) opened: bool,
    pub(super) ready: bool,
    /// Why it can never become ready.
    pub(super) failed: Option<String>,
    /// The unit that failed it.
    pub(super) failed_by: Option<UnitId>,
    /// Units that wait for it, each with the place of the gate.
    pub(super) waiters: Vec<(UnitId, usize)>,
    /// Its critical units.
    critical: usize,
    /// Those of them that are ready.
    ready_units: usize,
    /// Those of them that have failed.
    failed_units: usize,
    /// Units of it, critical or not, that are settled.
    settled_units: usize,
    /// Units of it that are to be counted again.
    uncounted: BTreeSet<UnitId>,
}

/// How a wave counts one of its units.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    ready: bool,
    failed: bool,
    settled: bool,
}

impl WaveRun {
    pub(super) fn new(wave: &Wave, plan: &Plan) -> Self {
        Self {
            opened: false,
            ready: false,
            failed: None,
            failed_by: None,
            waiters: Vec::new(),
            critical: wave.units.iter().filter(|u| plan.units[u.index()].critical).count(),
            ready_units: 0,
            failed_units: 0,
            settled_units: 0,
            uncounted: wave.units.iter().copied().collect(),
        }
    }

    fn count(&mut self, counted: Counted, is_critical: bool, by: impl Fn(usize, bool) -> usize) {
        self.settled_units = by(self.settled_units, counted.settled);
        if is_critical {
            self.ready_units = by(self.ready_units, counted.ready);
            self.failed_units = by(self.failed_units, counted.failed);
        }
    }
}

impl Scheduler {
    /// Opens, passes and fails waves, in order.
    pub(super) fn look_at_waves(&mut self, now: Elapsed) {
        while let Some(wave) = self.dirty_waves.pop_first() {
            let before_ready = wave == 0 || self.waves[wave - 1].ready;
            if !self.waves[wave].opened && before_ready {
                self.waves[wave].opened = true;
                let name = self.plan.waves[wave].name.clone();
                self.announce(EventKind::WaveOpened { wave: name });
                self.agenda.set(Timer::Wave(wave), self.plan.waves[wave].timeout.map(|t| now + t));
            }
            self.look_at_wave(wave);
        }
    }

    fn look_at_wave(&mut self, wave: usize) {
        if self.waves[wave].ready || self.waves[wave].failed.is_some() {
            return;
        }
        self.count_units(wave);
        let run = &self.waves[wave];
        let needed = self.plan.waves[wave].ready_when.needed(run.critical);
        // Where nothing in it is critical, a wave is over when all of it is settled.
        let settled = run.settled_units == self.plan.waves[wave].units.len();
        let passed = run.opened && run.ready_units >= needed && (run.critical > 0 || settled);
        let name = self.plan.waves[wave].name.clone();
        if passed {
            self.waves[wave].ready = true;
            self.agenda.set(Timer::Wave(wave), None);
            self.announce(EventKind::WaveReady { wave: name });
            self.wave_changed(wave);
            self.dirty_waves.extend(Some(wave + 1).filter(|next| *next < self.waves.len()));
        } else if run.critical - run.failed_units < needed {
            let mut failed = self.critical_units(wave);
            failed.retain(|u| self.units[u.index()].is_failed());
            let names: Vec<String> =
                failed.iter().map(|u| format!("`{}`", self.plan.units[u.index()].service)).collect();
            self.fail_wave(wave, format!("{} failed", names.join(", ")), failed.first().copied());
        }
    }

    /// A unit may be another than its wave counts it.
    pub(super) fn count_again(&mut self, id: UnitId) {
        if let Some(wave) = self.plan.units[id.index()].wave {
            self.waves[wave].uncounted.insert(id);
        }
    }

    fn count_units(&mut self, wave: usize) {
        for id in std::mem::take(&mut self.waves[wave].uncounted) {
            let (run, is_critical) = (&mut self.units[id.index()], self.plan.units[id.index()].critical);
            let now = Counted { ready: run.is_ready(), failed: run.is_failed(), settled: run.is_settled() };
            let before = std::mem::replace(&mut run.counted, now);
            self.waves[wave].count(before, is_critical, |sum, one| sum - usize::from(one));
            self.waves[wave].count(now, is_critical, |sum, one| sum + usize::from(one));
        }
    }

    fn fail_wave(&mut self, wave: usize, reason: String, by: Option<UnitId>) {
        let name = self.plan.waves[wave].name.clone();
        self.agenda.set(Timer::Wave(wave), None);
        self.announce(EventKind::WaveFailed { wave: name, reason: reason.clone() });
        self.waves[wave].failed = Some(reason);
        self.waves[wave].failed_by = by;
        self.wave_changed(wave);
    }

    /// Whoever waits for a wave looks again.
    fn wave_changed(&mut self, wave: usize) {
        for (waiter, gate) in &self.waves[wave].waiters {
            self.dirty.entry(*waiter).or_default().insert(*gate);
        }
    }

    fn critical_units(&self, wave: usize) -> Vec<UnitId> {
        let units = &self.plan.waves[wave].units;
        units.iter().copied().filter(|u| self.plan.units[u.index()].critical).collect()
    }

    /// The wave's own time is over: what is not ready in it has failed.
    pub(super) fn wave_timed_out(&mut self, wave: usize) {
        if self.waves[wave].ready || self.waves[wave].failed.is_some() {
            return;
        }
        let name = self.plan.waves[wave].name.clone();
        let timeout = self.plan.waves[wave].timeout.unwrap_or_default();
        let text = crate::project::go_duration(timeout);
        let mut by = None;
        let critical = self.critical_units(wave);
        // What is not critical cannot fail a wave, but where there is nothing else its time is over too.
        let late = if critical.is_empty() { self.plan.waves[wave].units.clone() } else { critical };
        for unit in late {
            if !self.units[unit.index()].is_settled() {
                by = by.or(Some(unit));
                self.fail_waiting(unit, &format!("not ready when the {text} of wave `{name}` were over"));
            }
        }
        if !self.critical_units(wave).is_empty() {
            self.fail_wave(wave, format!("not ready within {text}"), by);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        plan::{
            Action, Cause, Found, Gate, GateOn, Limits, Observed, Phase, Readiness, RestartedByEngine, Step,
            StepId, Unit, UnitReplica,
        },
        project::{Replica, Require, StartPolicy},
        scheduler::{AfterReady, ContainerChange, Effect, Input, StepOutput},
    };

    /// A unit whose container runs already, in a wave or behind one.
    fn unit(service: &str, wave: Option<usize>, gate: Option<GateOn>, start: Option<StepId>) -> Unit {
        let container = crate::plan::ContainerRef { id: service.to_owned(), name: service.to_owned() };
        Unit {
            service: service.to_owned(),
            replicas: vec![UnitReplica {
                number: 0,
                start,
                existing: Some(container),
                found: Found::ToStart,
            }],
            critical: true,
            gates: gate.into_iter().map(|on| Gate { on, required: true }).collect(),
            wave,
            readiness: Readiness::Running,
            oneshot: false,
            start: StartPolicy::default(),
            supervised: false,
            restarted_by_engine: RestartedByEngine::No,
            update: None,
            rollback: None,
            beside: false,
        }
    }

    fn start(service: &str, id: u32) -> Step {
        let replica = Replica { service: service.to_owned(), number: 0 };
        let (name, unit) = (service.to_owned(), Some(UnitId(id)));
        let action = Action::StartContainer { replica, name, existing: None };
        let (cause, phase) = (Cause::NotRunning, Phase::Run);
        Step { action, after: Vec::new(), gate: unit, awaits: None, unit, cause, phase }
    }

    #[test]
    fn what_waits_for_a_wave_and_is_in_none_starts_after_it() {
        let units = vec![
            unit("a", Some(0), None, Some(StepId(0))),
            unit("job", None, Some(GateOn::Wave(0)), Some(StepId(1))),
        ];
        let wave = |name: &str, units| crate::plan::Wave {
            name: name.to_owned(),
            units,
            ready_when: Require::All,
            timeout: None,
        };
        let plan = crate::plan::Plan {
            project: "p".to_owned(),
            steps: vec![start("a", 0), start("job", 1)],
            units,
            waves: vec![wave("first", vec![UnitId(0)]), wave("second", Vec::new())],
            limits: Limits { starts: 1, most_starts: None, calls: 1, ends: 1, images: 1, timeout: None },
            window: None,
            warnings: Vec::new(),
        };
        let mut scheduler = Scheduler::new(Arc::new(plan), &Observed::default(), AfterReady::Finish);
        let performed = |effects: Vec<Effect>| -> Vec<StepId> {
            let steps = effects.into_iter();
            steps.filter_map(|e| if let Effect::Perform(step) = e { Some(step) } else { None }).collect()
        };
        assert_eq!(performed(scheduler.step(Elapsed::ZERO, Input::Tick)), [StepId(0)]);
        let change = ContainerChange::Started;
        scheduler.step(Elapsed::ZERO, Input::Container { id: "a".to_owned(), change });
        let input = Input::StepFinished { step: StepId(0), result: Ok(StepOutput::Done) };
        assert_eq!(performed(scheduler.step(Elapsed::ZERO, input)), [StepId(1)]);
    }
}
