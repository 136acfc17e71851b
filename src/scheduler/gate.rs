//! When a unit may start.

use std::collections::BTreeSet;

use super::{
    Owner, Scheduler,
    machine::StepState,
    replica::{Life, ReplicaRun},
    wave::Counted,
};
use crate::{
    event::ServiceState,
    health::{Health, Monitor},
    plan::{Cause, Gate, GateOn, StepId, Unit, UnitId},
    project::{HealthSpec, Require, Stage},
    time::Elapsed,
};

/// A unit as it goes.
#[derive(Debug, Clone)]
pub(super) struct UnitRun {
    pub(super) replicas: Vec<ReplicaRun>,
    /// Monitors of the gates on something outside, by their place among the gates.
    pub(super) outside: Vec<Option<Monitor>>,
    /// Its gates have opened; they do not close again.
    pub(super) open: bool,
    /// What keeps it from ever starting.
    pub(super) broken: Option<Broken>,
    /// What it goes without.
    pub(super) lacks: Vec<String>,
    /// Units that wait for it, each with the place of the gate.
    pub(super) waiters: Vec<(UnitId, usize)>,
    /// The first gate that was closed when they were looked at. A hint alone.
    closed: usize,
    /// How its wave counts it.
    pub(super) counted: Counted,
    /// Something went wrong with it by itself.
    pub(super) in_trouble: bool,
    /// Steps that are about it.
    pub(super) steps: Vec<StepId>,
    /// How many of its containers may fail in its update without failing it.
    tolerated: usize,
    /// The batch of its update that is due.
    pub(super) batch: usize,
}

/// Why a unit will not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    /// The unit that failed it; `None` for a wave or something outside.
    pub(super) because: Option<UnitId>,
    /// In words.
    pub(super) why: String,
}

/// What a gate says.
enum GateState {
    Open,
    Closed(String),
    Broken(Broken),
}

impl UnitRun {
    pub(super) fn new(unit: &Unit) -> Self {
        Self {
            replicas: unit.replicas.iter().map(ReplicaRun::new).collect(),
            outside: unit.gates.iter().map(|_| None).collect(),
            open: false,
            broken: None,
            lacks: Vec::new(),
            waiters: Vec::new(),
            closed: 0,
            counted: Counted::default(),
            in_trouble: false,
            steps: Vec::new(),
            tolerated: unit.update.as_ref().map_or(0, |update| update.tolerated),
            batch: 0,
        }
    }

    /// Every replica has been started at least once.
    pub(super) fn is_started(&self) -> bool {
        self.replicas.iter().all(|r| r.was_up || self.goes_without(r))
    }

    /// Every replica is ready, degraded or has completed.
    pub(super) fn is_ready(&self) -> bool {
        let ready = self.replicas.iter().filter(|replica| replica.is_ready()).count();
        !self.is_failed()
            && ready + self.failed() == self.replicas.len()
            && (ready > 0 || self.replicas.is_empty())
    }

    /// How many of its replicas will not become ready.
    fn failed(&self) -> usize {
        self.replicas.iter().filter(|r| r.is_lost()).count()
    }

    /// Every replica has exited with 0.
    pub(super) fn is_completed(&self) -> bool {
        self.replicas.iter().all(|r| r.life == Life::Completed || self.goes_without(r))
    }

    /// So many replicas will not become ready that it will not either.
    pub(super) fn is_failed(&self) -> bool {
        let failed = self.failed();
        failed > 0 && (failed > self.tolerated || failed == self.replicas.len())
    }

    /// A replica is lost, and its loss fails nothing.
    fn goes_without(&self, replica: &ReplicaRun) -> bool {
        replica.is_lost() && !self.is_failed()
    }

    /// Some replica will not become ready.
    pub(super) fn is_lessened(&self) -> bool {
        self.failed() > 0
    }

    /// Nothing more becomes of it before ready.
    pub(super) fn is_settled(&self) -> bool {
        self.replicas.iter().all(ReplicaRun::is_settled)
    }
}

impl Scheduler {
    /// Opens a unit whose gates are open, and gives up one whose gates can never open. Only gates that may have
    /// changed can newly be broken.
    pub(super) fn look_at_gates(&mut self, now: Elapsed, id: UnitId, changed: &BTreeSet<usize>) {
        let run = &self.units[id.index()];
        if run.open || run.broken.is_some() {
            return;
        }
        let plan = std::sync::Arc::clone(&self.plan);
        let unit = &plan.units[id.index()];
        if self.units[id.index()].steps.iter().all(|step| plan.steps[step.index()].gate.is_none()) {
            self.units[id.index()].open = true;
            return self.queue_steps(id);
        }
        for place in changed {
            let gate = &unit.gates[*place];
            if let GateState::Broken(broken) = self.gate_state(now, id, *place, gate)
                && gate.required
            {
                return self.break_unit(id, broken);
            }
        }
        if self.is_closed(now, id, unit) && !self.is_wait_to_show(id) {
            return;
        }
        let mut waits = Vec::new();
        let mut lacks = Vec::new();
        for (place, gate) in unit.gates.iter().enumerate() {
            match self.gate_state(now, id, place, gate) {
                GateState::Open => {}
                GateState::Closed(what) => waits.push(what),
                GateState::Broken(broken) if gate.required => return self.break_unit(id, broken),
                GateState::Broken(broken) => lacks.push(broken.why),
            }
        }
        if waits.is_empty() {
            self.units[id.index()].open = true;
            self.units[id.index()].lacks = lacks;
            self.leave_outside(id);
            self.queue_steps(id);
        } else {
            self.show_waiting(id, &waits);
        }
    }

    /// Whether a gate is closed: the one that was when they were last looked at, or one behind it.
    fn is_closed(&mut self, now: Elapsed, id: UnitId, unit: &Unit) -> bool {
        let mut place = self.units[id.index()].closed;
        while let Some(gate) = unit.gates.get(place)
            && !matches!(self.gate_state(now, id, place, gate), GateState::Closed(_))
        {
            place += 1;
        }
        let is_closed = place < unit.gates.len();
        // One before it may have closed again.
        self.units[id.index()].closed = if is_closed { place } else { 0 };
        is_closed
    }

    /// What a unit waited for outside is not asked any more: its gates do not close again.
    fn leave_outside(&mut self, id: UnitId) {
        for place in 0..self.units[id.index()].outside.len() {
            self.units[id.index()].outside[place] = None;
            self.agenda.set(Self::owner_timer(Owner::Outside(id, place)), None);
        }
    }

    pub(super) fn queue_steps(&mut self, id: UnitId) {
        for step in self.units[id.index()].steps.clone() {
            self.queue(step);
        }
    }

    fn gate_state(&mut self, now: Elapsed, id: UnitId, place: usize, gate: &Gate) -> GateState {
        match &gate.on {
            GateOn::Started(on) => self.unit_gate(*on, UnitRun::is_started, "to start"),
            GateOn::Ready(on) => self.unit_gate(*on, UnitRun::is_ready, "to be ready"),
            GateOn::Completed(on) => self.unit_gate(*on, UnitRun::is_completed, "to complete"),
            GateOn::Stage(on, stage) => {
                let passed = |run: &UnitRun| {
                    let passed = |r: &ReplicaRun| r.is_ready() || r.has_passed(stage) || run.goes_without(r);
                    run.replicas.iter().all(passed)
                };
                self.unit_gate(*on, passed, &format!("to pass stage `{stage}`"))
            }
            GateOn::Wave(wave) => match (self.waves[*wave].ready, &self.waves[*wave].failed) {
                (true, _) => GateState::Open,
                (false, Some(why)) => GateState::Broken(Broken {
                    because: self.waves[*wave].failed_by,
                    why: format!("wave `{}` failed: {why}", self.plan.waves[*wave].name),
                }),
                (false, None) => GateState::Closed(format!("wave `{}`", self.plan.waves[*wave].name)),
            },
            GateOn::Outside { name, check } => {
                if self.units[id.index()].outside[place].is_none() {
                    let stage = Stage {
                        name: name.clone(),
                        checks: vec![(**check).clone()],
                        require: Require::All,
                        timeout: None,
                        start_period: std::time::Duration::ZERO,
                        critical: true,
                        progress: None,
                    };
                    let spec = HealthSpec { stages: vec![stage], liveness: None, recipe: None };
                    // What the unit can go without gets the time in which a check of a ready service would have failed.
                    let patience =
                        check.start_period + check.interval.saturating_mul(check.failure_threshold);
                    let deadline = self.deadline(now, (!gate.required).then_some(patience));
                    let monitor = Monitor::new(spec.into(), now, deadline);
                    self.units[id.index()].outside[place] = Some(monitor);
                    self.poll(now, Owner::Outside(id, place));
                }
                let monitor = self.units[id.index()].outside[place].as_ref();
                match monitor.map(Monitor::health) {
                    Some(Health::Starting) | None => GateState::Closed(format!("`{name}`")),
                    Some(Health::Failed { why, .. }) => {
                        GateState::Broken(Broken { because: None, why: format!("`{name}`: {why}") })
                    }
                    Some(
                        Health::Ready
                        | Health::Degraded { .. }
                        | Health::Unhealthy { .. }
                        | Health::Recovering,
                    ) => GateState::Open,
                }
            }
        }
    }

    fn unit_gate(&self, on: UnitId, holds: impl Fn(&UnitRun) -> bool, what: &str) -> GateState {
        let run = &self.units[on.index()];
        let service = &self.plan.units[on.index()].service;
        if holds(run) {
            GateState::Open
        } else if run.is_failed() || run.broken.is_some() {
            GateState::Broken(Broken { because: Some(on), why: format!("`{service}` failed") })
        } else {
            GateState::Closed(format!("`{service}` {what}"))
        }
    }

    /// Gives a unit up: what has not begun of it is skipped.
    pub(super) fn break_unit(&mut self, id: UnitId, broken: Broken) {
        if self.units[id.index()].broken.is_some() {
            return;
        }
        for place in 0..self.units[id.index()].replicas.len() {
            if self.run_of(id, place).life == Life::Waiting {
                self.lose(id, place, Life::Skipped);
                self.show(id, place, ServiceState::Skipped, &broken.why);
            }
        }
        let why = broken.why.clone();
        self.units[id.index()].broken = Some(broken);
        for step in self.units[id.index()].steps.clone() {
            self.skip_step(step, &why);
        }
        self.unit_changed(id);
    }

    /// Steps of a replica that have not begun will not be done.
    pub(super) fn skip_steps(&mut self, id: UnitId, place: usize, why: &str) {
        let plan = std::sync::Arc::clone(&self.plan);
        for step in self.units[id.index()].steps.clone() {
            let replica = plan.steps[step.index()].action.replica();
            if replica.and_then(|r| self.find_place(id, r)) == Some(place) {
                self.skip_step(step, why);
            }
        }
    }

    fn skip_step(&mut self, step: StepId, why: &str) {
        let is_undo = self.plan.steps[step.index()].cause == Cause::Undo;
        if !is_undo && self.steps[step.index()].state() == StepState::Blocked {
            self.set_state(step, StepState::Skipped);
            self.pass_over(step, why);
        }
    }

    /// Whoever waits for a unit looks again.
    pub(super) fn unit_changed(&mut self, id: UnitId) {
        for (waiter, gate) in &self.units[id.index()].waiters {
            self.dirty.entry(*waiter).or_default().insert(*gate);
        }
        self.dirty_waves.extend(self.plan.units[id.index()].wave);
        self.count_again(id);
        self.update_changed(id);
    }
}
