//! Putting back one service after another: what others depend on first, the next one once this one is ready again. Where
//! both can run at the same time the old container is ready before the new one goes.
//!
//! What is to be undone is what [`unwind`](super::unwind()) plans; here it gets another order, and units that are waited for.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use super::{Done, unwind};
use crate::{
    plan::{
        Action, Awaits, Found, Gate, GateOn, Phase, Plan, Rollback, Step, StepId, Unit, UnitId, UnitReplica,
        Update, up::namespaces,
    },
    project::{Project, StartPolicy},
};

/// How long a service that is put back is waited for.
const PATIENCE: Duration = Duration::from_mins(1);
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
    let mut undone = undone(&whole);
    // Dependencies first, as units stand: nothing is ready without what it needs.
    let services: Vec<&Unit> =
        plan.units.iter().filter(|unit| undone.contains_key(unit.service.as_str())).collect();
    let names: HashSet<&str> = services.iter().map(|unit| unit.service.as_str()).collect();
    let shares = |service: &&Unit| {
        let known = project.services.get(&service.service);
        known.is_some_and(|known| namespaces(known).any(|with| names.contains(with.as_str())))
    };
    let of_networks =
        |step: &Step| matches!(step.action, Action::RestoreNetwork(_) | Action::Reconnect { .. });
    if whole.steps.iter().any(of_networks) || services.iter().any(shares) {
        return None;
    }
    let (placed, endings) = (BTreeMap::new(), Vec::new());
    let mut gradual = Gradual { whole: &whole, steps: Vec::new(), placed, units: Vec::new(), endings };
    for unit in services {
        let undone = undone.remove(unit.service.as_str()).unwrap_or_default();
        gradual.put_back(unit, undone, plan.limits.timeout);
    }
    gradual.rest();
    let Gradual { steps, units, .. } = gradual;
    Some(Plan { steps, units, ..whole })
}

/// Whether a service of which something is to be undone says how.
pub fn is_paced(plan: &Plan, done: &Done) -> bool {
    let paced = plan.units.iter().filter(|unit| unit.rollback.is_some());
    let paced: HashSet<&str> = paced.map(|unit| unit.service.as_str()).collect();
    done.steps.iter().map(|id| &plan.steps[id.index()]).any(|step| {
        step.phase == Phase::Run
            && step.action.changes_what_runs()
            && step.action.replica().is_some_and(|replica| paced.contains(replica.service.as_str()))
    })
}

/// What is to be undone, in order: by service, and by the number of the container it is about.
fn undone(whole: &Plan) -> HashMap<&str, BTreeMap<u32, Vec<StepId>>> {
    let mut undone: HashMap<&str, BTreeMap<u32, Vec<StepId>>> = HashMap::new();
    for (id, step) in (0u32..).map(StepId).zip(&whole.steps) {
        if let Some(replica) = step.action.replica() {
            undone.entry(&replica.service).or_default().entry(replica.number).or_default().push(id);
        }
    }
    undone
}

struct Gradual<'a> {
    whole: &'a Plan,
    steps: Vec<Step>,
    /// Where a step of the whole stands now.
    placed: BTreeMap<StepId, StepId>,
    units: Vec<Unit>,
    /// Steps of the last unit that are followed by others also where they fail; a start is waited for by a gate.
    endings: Vec<StepId>,
}

impl Gradual<'_> {
    /// All that is to be undone of a service, once the one before it is ready again.
    fn put_back(&mut self, unit: &Unit, undone: BTreeMap<u32, Vec<StepId>>, timeout: Option<Duration>) {
        let id = UnitId(u32::try_from(self.units.len()).expect("fewer than 2^32 units"));
        let before = std::mem::take(&mut self.endings);
        let numbers: Vec<u32> = undone.keys().copied().collect();
        let at_once = unit.rollback.as_ref().map_or(0, |rollback| rollback.parallelism);
        let batches = Update::batched(&numbers, at_once);
        let start_first = unit.beside && unit.rollback.as_ref().is_none_or(|rollback| rollback.start_first);
        let mut replicas = Vec::new();
        for (number, mut old) in undone {
            let is_start =
                |id: &StepId| matches!(self.whole.steps[id.index()].action, Action::StartContainer { .. });
            let start = old.iter().position(is_start);
            let goes =
                |id: &StepId| matches!(self.whole.steps[id.index()].action, Action::RemoveContainer { .. });
            let old_first = start.filter(|_| start_first && old.iter().any(goes));
            if let Some(start) = old_first {
                let start = old.remove(start);
                old.insert(0, start);
            }
            let mut after = before.clone();
            for (place, old) in old.into_iter().enumerate() {
                let step = &self.whole.steps[old.index()];
                let awaits = match place {
                    0 => batches.iter().position(|batch| batch.contains(&number)).map(Awaits::Batch),
                    1 => old_first.map(|_| Awaits::Ready),
                    _ => None,
                };
                let step = Step { after, gate: Some(id), unit: Some(id), awaits, ..step.clone() };
                let now = StepId(u32::try_from(self.steps.len()).expect("fewer than 2^32 steps"));
                if let Action::StartContainer { existing, .. } = &step.action {
                    let (start, existing) = (Some(now), existing.clone());
                    replicas.push(UnitReplica { number, start, existing, found: Found::ToStart });
                } else {
                    self.endings.push(now);
                }
                self.place(old, step);
                after = vec![now];
            }
        }
        let gates = id.0.checked_sub(1).map(|n| Gate { on: GateOn::Ready(UnitId(n)), required: false });
        // What it is checked by may be new, and never pass.
        let timeout = unit.start.timeout.or(timeout).map_or(PATIENCE, |timeout| timeout.min(PATIENCE));
        let pause = |pause: fn(&Rollback) -> Duration| unit.rollback.as_ref().map_or(Duration::ZERO, pause);
        let update = Update {
            batches,
            delay: pause(|rollback| rollback.delay),
            monitor: pause(|rollback| rollback.monitor),
            tolerated: usize::MAX,
            on_failure: None,
        };
        self.units.push(Unit {
            replicas,
            // All the rest is put back too, whatever becomes of it.
            critical: false,
            // One that becomes unhealthy again is over too: the next one must not wait for ever.
            supervised: true,
            wave: None,
            update: Some(update),
            gates: gates.into_iter().collect(),
            start: StartPolicy { retries: RETRIES, timeout: Some(timeout), ..StartPolicy::default() },
            ..unit.clone()
        });
    }

    /// What is of no service, or belongs to all of them, comes last.
    fn rest(&mut self) {
        let before = std::mem::take(&mut self.endings);
        for (old, step) in (0u32..).zip(&self.whole.steps) {
            if !self.placed.contains_key(&StepId(old)) {
                let after = self.now_at(&step.after).into_iter().chain(before.iter().copied()).collect();
                self.place(StepId(old), Step { after, ..step.clone() });
            }
        }
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
