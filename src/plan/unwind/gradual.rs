//! Putting back one service after another: what depends on others first, the next one once this one is ready again.
//!
//! What is to be undone is what [`unwind`](super::unwind()) plans; here it gets another order, and units that are waited for.

use std::{collections::BTreeMap, time::Duration};

use super::{Done, unwind};
use crate::{
    plan::{Action, Found, Gate, GateOn, Plan, Step, StepId, Unit, UnitId, UnitReplica, up::namespaces},
    project::{Project, StartPolicy},
};

/// Further tries of a start that puts back: an engine that was away for a moment is no reason to leave it undone.
const RETRIES: u32 = 2;

/// Plans the undoing of what was done of `plan`, one service after another. `None` where that is not possible: a network
/// takes down all that is on it, and what shares namespaces goes together.
pub fn unwind_gradually(
    plan: &Plan,
    done: &Done,
    project: &Project,
    grace: Option<Duration>,
) -> Option<Plan> {
    let whole = unwind(plan, done, grace);
    let services = services(plan, &whole);
    let shares = |service: &&Unit| {
        let known = project.services.get(&service.service);
        known.is_some_and(|known| namespaces(known).any(|with| services.iter().any(|s| s.service == with)))
    };
    let of_networks =
        |step: &Step| matches!(step.action, Action::RestoreNetwork(_) | Action::Reconnect { .. });
    if whole.steps.iter().any(of_networks) || services.iter().any(shares) {
        return None;
    }
    let mut gradual =
        Gradual { whole: &whole, steps: Vec::new(), placed: BTreeMap::new(), units: Vec::new() };
    for unit in services {
        gradual.put_back(unit, plan.limits.timeout);
    }
    gradual.rest();
    let Gradual { steps, units, .. } = gradual;
    Some(Plan { steps, units, ..whole })
}

/// Services of which something is undone, dependents first: units stand in dependency order.
fn services<'a>(plan: &'a Plan, whole: &Plan) -> Vec<&'a Unit> {
    let is_undone = |unit: &&Unit| whole.steps.iter().any(|step| is_of(step, &unit.service));
    plan.units.iter().rev().filter(is_undone).collect()
}

fn is_of(step: &Step, service: &str) -> bool {
    step.action.replica().is_some_and(|replica| replica.service == service)
}

struct Gradual<'a> {
    whole: &'a Plan,
    steps: Vec<Step>,
    /// Where a step of the whole stands now.
    placed: BTreeMap<StepId, StepId>,
    units: Vec<Unit>,
}

impl Gradual<'_> {
    /// All that is to be undone of a service, once the one before it is ready again.
    fn put_back(&mut self, unit: &Unit, timeout: Option<Duration>) {
        let id = UnitId(u32::try_from(self.units.len()).expect("fewer than 2^32 units"));
        let before: Vec<StepId> = self.endings_of(id.0.checked_sub(1).map(UnitId));
        let mut replicas = Vec::new();
        for (old, step) in (0u32..).zip(&self.whole.steps).filter(|(_, step)| is_of(step, &unit.service)) {
            let own: Vec<StepId> = step.after.iter().filter(|s| self.is_of_unit(**s, id)).copied().collect();
            let after = if own.is_empty() { before.clone() } else { self.now_at(&own) };
            let step = Step { after, gate: Some(id), unit: Some(id), ..step.clone() };
            if let Action::StartContainer { replica, existing, .. } = &step.action {
                let (number, existing) = (replica.number, existing.clone());
                let start = Some(StepId(u32::try_from(self.steps.len()).expect("fewer than 2^32 steps")));
                replicas.push(UnitReplica { number, start, existing, found: Found::ToStart });
            }
            self.place(StepId(old), step);
        }
        let gates = id.0.checked_sub(1).map(|n| Gate { on: GateOn::Ready(UnitId(n)), required: false });
        let timeout = unit.start.timeout.or(timeout);
        self.units.push(Unit {
            replicas,
            // All the rest is put back too, whatever becomes of it.
            critical: false,
            supervised: false,
            wave: None,
            update: None,
            gates: gates.into_iter().collect(),
            start: StartPolicy { retries: RETRIES, timeout, ..StartPolicy::default() },
            ..unit.clone()
        });
    }

    /// What is of no service, or belongs to all of them, comes last.
    fn rest(&mut self) {
        let before =
            self.endings_of(self.units.len().checked_sub(1).and_then(|n| u32::try_from(n).ok()).map(UnitId));
        for (old, step) in (0u32..).zip(&self.whole.steps) {
            if !self.placed.contains_key(&StepId(old)) {
                let after = self.now_at(&step.after).into_iter().chain(before.iter().copied()).collect();
                self.place(StepId(old), Step { after, ..step.clone() });
            }
        }
    }

    /// Steps of a unit that are followed by others also where they fail; a start is waited for by a gate.
    fn endings_of(&self, unit: Option<UnitId>) -> Vec<StepId> {
        let is_it = |step: &Step| {
            step.unit.is_some() && step.unit == unit && !matches!(step.action, Action::StartContainer { .. })
        };
        (0u32..).zip(&self.steps).filter(|(_, step)| is_it(step)).map(|(n, _)| StepId(n)).collect()
    }

    /// Whether a step of the whole already stands in this unit.
    fn is_of_unit(&self, old: StepId, unit: UnitId) -> bool {
        self.placed.get(&old).is_some_and(|id| self.steps[id.index()].unit == Some(unit))
    }

    fn now_at(&self, old: &[StepId]) -> Vec<StepId> {
        old.iter().filter_map(|id| self.placed.get(id)).copied().collect()
    }

    fn place(&mut self, old: StepId, step: Step) {
        let id = StepId(u32::try_from(self.steps.len()).expect("fewer than 2^32 steps"));
        self.steps.push(step);
        self.placed.insert(old, id);
    }
}
