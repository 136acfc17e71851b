//! Putting back what a plan has done: unwinding is planning again.
//!
//! The order: what the plan created is stopped, dependents first, and removed; containers that were kept aside get
//! their names back; those that ran before are started, dependencies first; networks that the plan made go last.
//! Volumes stay: nothing that may hold data is removed without being asked for.

mod gradual;

pub use gradual::{is_paced, unwind_gradually};

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use super::{
    Action, Cause, Container, ContainerRef, Limits, Observed, Phase, Plan, ProviderVerb, Step, StepId,
    UnitId, up::reconnection,
};
use crate::project::{Replica, RollbackAction};

/// How much is put back at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// All of it.
    #[default]
    Immediate,
    /// One service after another.
    Gradual,
}

impl From<RollbackAction> for Pace {
    fn from(action: RollbackAction) -> Self {
        match action {
            RollbackAction::ImmediateRollback => Self::Immediate,
            RollbackAction::GradualRollback => Self::Gradual,
        }
    }
}

/// What became of a plan's steps, as far as undoing goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// Steps that the engine did, or may have done.
    pub steps: Vec<StepId>,
    /// Containers that the plan created, by replica.
    pub created: BTreeMap<Replica, ContainerRef>,
}

/// Whether undoing `plan` would not bring back what there was: containers that were kept for it are gone.
pub fn is_past_undoing(plan: &Plan, done: &Done) -> bool {
    let is_final = |id: &StepId| {
        let step = &plan.steps[id.index()];
        let loses = matches!(step.action, Action::RemoveContainer { .. } | Action::RemoveVolume { .. });
        (step.phase == Phase::Commit && step.cause != Cause::Leftover)
            || (loses && matches!(step.cause, Cause::VolumeReplaced(_)))
    };
    done.steps.iter().any(is_final)
}

/// What there is to undo of `done` as the engine has it now: where an answer was lost, a look tells what was done.
pub fn confirmed(plan: &Plan, done: &Done, now: &Observed) -> Done {
    let by_id: HashMap<&str, &Container> = now.containers.iter().map(|c| (c.id.as_str(), c)).collect();
    let by_name: HashMap<&str, &Container> = now.containers.iter().map(|c| (c.name.as_str(), c)).collect();
    // The list gives IDs; one whose ID no answer told is known by the name it was to get.
    let find = |c: &ContainerRef| by_id.get(c.id.as_str()).or(by_name.get(c.id.as_str())).copied();
    let created = done.created.iter().filter_map(|(replica, c)| Some((replica.clone(), find(c)?.into())));
    let is = |id: &&StepId| match &plan.steps[id.index()].action {
        Action::CreateNetwork { name, .. } => now.networks.contains_key(name),
        Action::RemoveNetwork { name, replaced: Some(old) } => {
            now.networks.get(name).is_none_or(|network| network.id != old.id)
        }
        Action::RenameContainer { existing: Some(old), to, .. } => {
            by_id.get(old.id.as_str()).is_some_and(|c| c.name == *to)
        }
        _ => true,
    };
    Done { steps: done.steps.iter().filter(is).copied().collect(), created: created.collect() }
}

/// Names of containers whose creation was asked for, that no answer told of, and that are not there.
pub fn unanswered<'a>(done: &'a Done, now: &Observed) -> Vec<&'a str> {
    // Without an answer the name stands for the ID.
    let unheard = done.created.values().filter(|container| container.id == container.name);
    let there: HashSet<&str> = now.containers.iter().map(|found| found.name.as_str()).collect();
    let is_missing = |container: &&ContainerRef| !there.contains(container.name.as_str());
    unheard.filter(is_missing).map(|container| container.name.as_str()).collect()
}

/// Plans the undoing of what was done of `plan`.
pub fn unwind(plan: &Plan, done: &Done, grace: Option<Duration>) -> Plan {
    let mut unwinding = Unwinding { plan, done, grace, steps: Vec::new() };
    unwinding.build();
    Plan {
        project: plan.project.clone(),
        steps: unwinding.steps,
        units: Vec::new(),
        waves: Vec::new(),
        limits: Limits { timeout: None, ..plan.limits },
        window: None,
        warnings: Vec::new(),
    }
}

struct Unwinding<'a> {
    plan: &'a Plan,
    done: &'a Done,
    grace: Option<Duration>,
    steps: Vec<Step>,
}

impl Unwinding<'_> {
    fn build(&mut self) {
        let removed = self.remove_created();
        let renamed = self.rename_back(&removed);
        let reconnected = self.restore_networks(&removed);
        self.start_again(&removed, &renamed, &reconnected);
        self.remove_networks(&removed);
        self.take_down_provided();
    }

    fn did(&self) -> Vec<(StepId, Action)> {
        self.done.steps.iter().map(|id| (*id, self.plan.steps[id.index()].action.clone())).collect()
    }

    fn step(&mut self, action: Action, after: Vec<StepId>) -> StepId {
        let id = StepId(u32::try_from(self.steps.len()).expect("fewer than 2^32 steps"));
        self.steps.push(Step {
            action,
            after,
            gate: None,
            awaits: None,
            unit: None,
            cause: Cause::Undo,
            phase: Phase::Run,
        });
        id
    }

    /// Stops and removes containers that were created, and stops those that were there and only started; a service
    /// once its dependents are stopped. The last step of each replica.
    fn remove_created(&mut self) -> BTreeMap<Replica, StepId> {
        let did = self.did();
        let started: Vec<(Replica, Option<ContainerRef>)> = did
            .iter()
            .filter_map(|(_, action)| match action {
                Action::StartContainer { replica, existing, .. } => Some((replica.clone(), existing.clone())),
                _ => None,
            })
            .collect();
        let mut started_of: HashMap<&str, Vec<&(Replica, Option<ContainerRef>)>> = HashMap::new();
        for one in &started {
            started_of.entry(&one.0.service).or_default().push(one);
        }
        let dependents = self.dependents();
        let mut last = BTreeMap::new();
        // Units stand in dependency order: backwards, every dependent comes before what it depends on.
        let mut stops_of: Vec<Vec<StepId>> = vec![Vec::new(); self.plan.units.len()];
        for index in (0..self.plan.units.len()).rev() {
            let after: Vec<StepId> = dependents[index].iter().flat_map(|d| stops_of[*d].clone()).collect();
            let of_it = started_of.remove(self.plan.units[index].service.as_str()).unwrap_or_default();
            for (replica, existing) in of_it {
                let Some(container) = existing.clone().or_else(|| self.done.created.get(replica).cloned())
                else {
                    continue;
                };
                let action =
                    Action::StopContainer { replica: Some(replica.clone()), container, grace: self.grace };
                let stop = self.step(action, after.clone());
                stops_of[index].push(stop);
                last.insert(replica.clone(), stop);
            }
            if stops_of[index].is_empty() {
                stops_of[index] = after;
            }
        }
        // What no unit stands for ran on a network that was replaced: it, too, holds the new one.
        let is_of_no_unit = |replica: &Replica| started_of.contains_key(replica.service.as_str());
        for (replica, existing) in started.iter().filter(|(replica, _)| is_of_no_unit(replica)) {
            let Some(container) = existing.clone() else { continue };
            let after = last.get(replica).copied().into_iter().collect();
            let action =
                Action::StopContainer { replica: Some(replica.clone()), container, grace: self.grace };
            let stop = self.step(action, after);
            last.insert(replica.clone(), stop);
        }
        for (replica, container) in self.done.created.clone() {
            let after = last.get(&replica).copied().into_iter().collect();
            let action =
                Action::RemoveContainer { replica: Some(replica.clone()), container, volumes: false };
            let id = self.step(action, after);
            last.insert(replica, id);
        }
        last
    }

    /// Of each unit, those whose gates wait for it.
    fn dependents(&self) -> Vec<Vec<usize>> {
        let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); self.plan.units.len()];
        for (index, unit) in self.plan.units.iter().enumerate() {
            for on in unit.gates.iter().filter_map(|gate| gate.on.unit()).map(UnitId::index) {
                if on != index && dependents[on].last() != Some(&index) {
                    dependents[on].push(index);
                }
            }
        }
        dependents
    }

    fn rename_back(&mut self, removed: &BTreeMap<Replica, StepId>) -> BTreeMap<String, StepId> {
        let mut renamed = BTreeMap::new();
        for (_, action) in self.did() {
            let Action::RenameContainer { replica, existing: Some(old), to } = action else { continue };
            // An interrupted run's rename is not undone: it was this one's beginning to mend.
            if old.name.ends_with(".previous") || !to.ends_with(".previous") {
                continue;
            }
            let after = removed.get(&replica).copied().into_iter().collect();
            let back = Action::RenameContainer {
                replica,
                existing: Some(ContainerRef { id: old.id.clone(), name: to }),
                to: old.name,
            };
            let id = self.step(back, after);
            renamed.insert(old.id, id);
        }
        renamed
    }

    /// Starts what the plan stopped, dependencies first.
    fn start_again(
        &mut self,
        removed: &BTreeMap<Replica, StepId>,
        renamed: &BTreeMap<String, StepId>,
        reconnected: &BTreeMap<String, Vec<StepId>>,
    ) {
        let stopped: Vec<(Option<Replica>, ContainerRef)> = self
            .did()
            .into_iter()
            .filter_map(|(_, action)| match action {
                Action::StopContainer { replica, container, .. } => Some((replica, container)),
                _ => None,
            })
            .collect();
        let units = self.plan.units.iter().enumerate();
        let places: HashMap<&str, usize> = units.map(|(n, unit)| (unit.service.as_str(), n)).collect();
        let order = |replica: &Option<Replica>| {
            let place = replica.as_ref().and_then(|r| places.get(r.service.as_str()));
            place.copied().unwrap_or(usize::MAX)
        };
        let mut sorted: Vec<(usize, Option<Replica>, ContainerRef)> =
            stopped.into_iter().map(|(r, c)| (order(&r), r, c)).collect();
        sorted.sort_by_key(|(n, ..)| *n);
        let mut starts_of: BTreeMap<usize, Vec<StepId>> = BTreeMap::new();
        for (index, replica, container) in sorted {
            // Whatever is removed may hold a port that this one needs.
            let mut after: Vec<StepId> = removed.values().copied().collect();
            after.extend(renamed.get(&container.id));
            after.extend(reconnected.get(&container.id).into_iter().flatten());
            if let Some(unit) = self.plan.units.get(index) {
                let gates = unit.gates.iter().filter_map(|g| g.on.unit());
                after.extend(gates.flat_map(|u| starts_of.get(&u.index()).cloned().unwrap_or_default()));
            }
            let replica = replica.unwrap_or(Replica { service: String::new(), number: 0 });
            let action =
                Action::StartContainer { replica, name: container.name.clone(), existing: Some(container) };
            let id = self.step(action, after);
            starts_of.entry(index).or_default().push(id);
        }
    }

    /// What providers brought up they take down again, the last one first.
    fn take_down_provided(&mut self) {
        let mut after = Vec::new();
        for (_, action) in self.did().into_iter().rev() {
            if let Action::CallProvider { service, provider, verb: ProviderVerb::Up } = action {
                let action = Action::CallProvider { service, provider, verb: ProviderVerb::Down };
                after = vec![self.step(action, after)];
            }
        }
    }

    /// Brings back the networks that were replaced, and what was on them. The steps that did so, by container ID.
    fn restore_networks(&mut self, removed: &BTreeMap<Replica, StepId>) -> BTreeMap<String, Vec<StepId>> {
        let did = self.did();
        let (mut gone, mut made) = (HashSet::new(), HashSet::new());
        for (_, action) in &did {
            match action {
                Action::RemoveContainer { container, .. } => drop(gone.insert(container.id.as_str())),
                Action::CreateNetwork { name, .. } => drop(made.insert(name)),
                _ => {}
            }
        }
        let mut reconnected: BTreeMap<String, Vec<StepId>> = BTreeMap::new();
        for (_, action) in &did {
            let Action::RemoveNetwork { name, replaced: Some(old) } = action else { continue };
            let mut after: Vec<StepId> = removed.values().copied().collect();
            if made.contains(name) {
                after = vec![self.step(Action::RemoveNetwork { name: name.clone(), replaced: None }, after)];
            }
            let restored = self.step(Action::RestoreNetwork(old.clone()), after);
            for user in old.users.iter().filter(|user| !gone.contains(user.id.as_str())) {
                let endpoint = user.networks.get(name).cloned().unwrap_or_default();
                let step = self.step(reconnection(user, name, endpoint), vec![restored]);
                reconnected.entry(user.id.clone()).or_default().push(step);
            }
        }
        reconnected
    }

    /// Networks that the plan made, and that took no other's place.
    fn remove_networks(&mut self, removed: &BTreeMap<Replica, StepId>) {
        let after: Vec<StepId> = removed.values().copied().collect();
        let did = self.did();
        let restored = did.iter().filter_map(|(_, action)| match action {
            Action::RemoveNetwork { name, replaced: Some(_) } => Some(name),
            _ => None,
        });
        let restored: HashSet<&String> = restored.collect();
        for (_, action) in &did {
            if let Action::CreateNetwork { name, .. } = action
                && !restored.contains(name)
            {
                let action = Action::RemoveNetwork { name: name.clone(), replaced: None };
                self.step(action, after.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ObservedNetwork;

    #[test]
    fn only_what_is_there_is_undone() {
        let replica = |number| Replica { service: "a".to_owned(), number };
        let named = |id: &str, name: &str| ContainerRef { id: id.to_owned(), name: name.to_owned() };
        let network = |name: &str| Action::CreateNetwork { key: name.to_owned(), name: name.to_owned() };
        let rename = |old: ContainerRef| Action::RenameContainer {
            replica: replica(1),
            to: format!("{}.previous", old.name),
            existing: Some(old),
        };
        let actions =
            [network("made"), network("not-made"), rename(named("1", "p-a-1")), rename(named("2", "p-a-2"))];
        let step = |action| Step {
            action,
            after: Vec::new(),
            gate: None,
            awaits: None,
            unit: None,
            cause: Cause::Missing,
            phase: Phase::Run,
        };
        let plan = Plan {
            project: "p".to_owned(),
            steps: actions.into_iter().map(step).collect(),
            units: Vec::new(),
            waves: Vec::new(),
            limits: Limits { starts: 1, most_starts: None, calls: 1, ends: 1, images: 1, timeout: None },
            window: None,
            warnings: Vec::new(),
        };
        // Of the first nobody heard the ID, of the second nobody knows whether there is one.
        let created = [(replica(3), named("p-a-3", "p-a-3")), (replica(4), named("p-a-4", "p-a-4"))];
        let done = Done { steps: (0..4).map(StepId).collect(), created: created.into() };
        let container = |id: &str, name: &str| Container {
            id: id.to_owned(),
            name: name.to_owned(),
            ..Container::default()
        };
        let now = Observed {
            containers: vec![
                container("1", "p-a-1.previous"),
                container("2", "p-a-2"),
                container("3", "p-a-3"),
            ],
            networks: [("made".to_owned(), ObservedNetwork::default())].into(),
            ..Observed::default()
        };
        assert_eq!(unanswered(&done, &now), ["p-a-4"]);
        let confirmed = confirmed(&plan, &done, &now);
        assert_eq!(confirmed.steps, [StepId(0), StepId(2)]);
        assert_eq!(confirmed.created, [(replica(3), named("3", "p-a-3"))].into());
    }
}
