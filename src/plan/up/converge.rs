//! From the containers a service has to the containers it wants.

use super::{
    Builder, First, Outcome,
    diverge::references,
    update::{Replacement, obstacle, rollback, update},
};
use crate::{
    plan::{
        Action, Awaits, Cause, Container, ContainerRef, ContainerState, EngineHealth, Found, OneOffTarget,
        Phase, Place, Step, StepId, Unit, UnitId, UnitReplica, Update, down::is_up, names, place,
        unit::Lineup,
    },
    project::{Replica, Service},
};

/// A service on its way to the containers it wants.
struct Target<'a> {
    service: &'a Service,
    unit: UnitId,
    /// The step that gets its image, where one does.
    image: Option<StepId>,
    /// Its own steps begin here.
    first: StepId,
}

impl Builder<'_> {
    pub(super) fn converge(&mut self, name: &str) {
        let service = &self.project.services[name];
        let image = self.image(service);
        let target = Target { service, unit: self.lineup.ids[name], image, first: self.next_step() };
        self.remove_successors(&target);
        let existing = self.sorted_existing(service);
        let wanted = service.replicas() as usize;
        let mut next = existing.iter().map(|(c, _)| c.number()).max().unwrap_or(0);
        self.services.insert(name.to_owned(), Outcome::default());
        let mut replicas = Vec::new();
        let surplus: Vec<Container> = existing.iter().skip(wanted).map(|(c, _)| c.clone()).collect();
        let mut keep: Vec<(Container, Option<Cause>)> = existing.into_iter().take(wanted).collect();
        keep.sort_by_key(|(c, _)| c.number());
        let missing = wanted - keep.len();
        let replaced: Vec<u32> =
            keep.iter().filter(|(_, cause)| cause.is_some()).map(|(c, _)| c.number()).collect();
        // What is not started is never ready: no batch would end.
        let update = update(service, &replaced).filter(|_| !self.options.no_start).map(|update| Update {
            on_failure: update.on_failure.filter(|_| !self.options.on_failure_given),
            ..update
        });
        let start_first = !replaced.is_empty() && self.is_start_first(service);
        if start_first {
            self.warn_of_taking_names(service);
        }
        let batch = |number: u32| {
            update.as_ref().and_then(|u| u.batches.iter().position(|batch| batch.contains(&number)))
        };
        for (container, cause) in keep {
            let replica = Replica { service: name.to_owned(), number: container.number() };
            replicas.push(match cause {
                None => self.keep(&target, &replica, &container),
                Some(cause) => {
                    let batch = batch(replica.number);
                    let start_first = start_first && self.runs_on(&container);
                    let replacement = Replacement { container: &container, batch, start_first };
                    self.recreate(&target, &replica, &replacement, cause)
                }
            });
        }
        for _ in 0..missing {
            next += 1;
            let replica = Replica { service: name.to_owned(), number: next };
            replicas.push(self.create(&target, &replica));
        }
        self.retire_all(name, &surplus);
        let unit = self.lineup.unit(service, replicas);
        let rollback = rollback(service);
        self.units.push(Unit { update, rollback, beside: obstacle(service).is_none(), ..unit });
    }

    /// Whether a container runs until its own update.
    fn runs_on(&self, container: &Container) -> bool {
        is_up(container.state) && self.stopped_already(&container.id).is_none()
    }

    /// Existing containers with why they cannot stay: up-to-date ones first, then by number.
    fn sorted_existing(&self, service: &Service) -> Vec<(Container, Option<Cause>)> {
        let mut existing: Vec<(Container, Option<Cause>)> = self
            .current(&service.name)
            .into_iter()
            .map(|c| {
                let cause = self.divergence(service, &c);
                (c, cause)
            })
            .collect();
        existing.sort_by_key(|(c, cause)| (cause.is_some(), c.number()));
        existing
    }

    /// Containers under their final names; where only a set-aside one is left, that.
    fn current(&self, service: &str) -> Vec<Container> {
        let mut current: Vec<Container> =
            self.containers_of(service, Place::Current).into_iter().cloned().collect();
        for previous in self.containers_of(service, Place::Previous) {
            if !current.iter().any(|c| c.number() == previous.number()) {
                current.push(previous.clone());
            }
        }
        current
    }

    /// Successors that never took their place are removed first: their names are needed.
    fn remove_successors(&mut self, target: &Target<'_>) {
        let name = &target.service.name;
        let left: Vec<Container> = self.containers_of(name, Place::Successor).into_iter().cloned().collect();
        for container in left {
            let replica = Replica { service: name.clone(), number: container.number() };
            let action = Action::RemoveContainer {
                replica: Some(replica),
                container: ContainerRef::from(&container),
                volumes: false,
            };
            self.plain(action, Cause::Leftover, Vec::new(), Some(target.unit));
        }
    }

    /// Steps that remove left-over successors of a service.
    fn removed_successors(&self, target: &Target<'_>) -> Vec<StepId> {
        let is_it = |s: &Step| s.unit == Some(target.unit) && s.cause == Cause::Leftover && s.gate.is_none();
        let own = (target.first.0..).zip(&self.steps[target.first.index()..]);
        own.filter(|(_, s)| is_it(s)).map(|(n, _)| StepId(n)).collect()
    }

    fn keep(&mut self, target: &Target<'_>, replica: &Replica, container: &Container) -> UnitReplica {
        let mut kept = ContainerRef::from(container);
        let mut after = Vec::new();
        let final_name = self.project.container_name(target.service, replica.number);
        if place(container) == Place::Previous {
            let action = Action::RenameContainer {
                replica: replica.clone(),
                existing: Some(kept.clone()),
                to: final_name.clone(),
            };
            after.push(self.plain(action, Cause::Leftover, Vec::new(), Some(target.unit)));
            kept.name = final_name;
        } else {
            self.discard_previous(replica);
        }
        self.outcome(target).first.get_or_insert(First::Kept(kept.clone()));
        let mut found = found(&self.lineup, target.service, container);
        let mut cause = Cause::NotRunning;
        if let Some((reconnected, stopped)) = self.reconnect(&container.id) {
            after.extend(reconnected);
            if let Some(why) = stopped {
                (found, cause) = (Found::ToStart, why);
            }
        }
        let start = (found == Found::ToStart && !self.options.no_start)
            .then(|| self.start(target.unit, replica, Some(kept.clone()), after, cause));
        if matches!(found, Found::Running | Found::Healthy) {
            self.outcome(target).kept.push((replica.clone(), kept.clone()));
        }
        UnitReplica { number: replica.number, start, existing: Some(kept), found }
    }

    fn outcome(&mut self, target: &Target<'_>) -> &mut Outcome {
        self.services.entry(target.service.name.clone()).or_default()
    }

    /// What an interrupted run kept aside under a number whose container is there too.
    fn shadowed(&self, replica: &Replica) -> Option<ContainerRef> {
        let previous = self.containers_of(&replica.service, Place::Previous);
        previous.into_iter().find(|c| c.number() == replica.number).map(ContainerRef::from)
    }

    /// A predecessor of a container that stays was kept by an interrupted run; it goes once everything is ready.
    fn discard_previous(&mut self, replica: &Replica) {
        if let Some(container) = self.shadowed(replica) {
            self.commit_removal(Some(replica.clone()), container, Vec::new(), Cause::Leftover);
        }
    }

    fn commit_removal(
        &mut self,
        replica: Option<Replica>,
        container: ContainerRef,
        after: Vec<StepId>,
        cause: Cause,
    ) {
        let action = Action::RemoveContainer { replica, container, volumes: false };
        self.step(Step { action, after, gate: None, awaits: None, unit: None, cause, phase: Phase::Commit });
    }

    fn create(&mut self, target: &Target<'_>, replica: &Replica) -> UnitReplica {
        let name = self.project.container_name(target.service, replica.number);
        let after = self.needs(target);
        let action = Action::CreateContainer {
            replica: replica.clone(),
            name,
            replaces: None,
            renew_volumes: false,
            unnamed: Vec::new(),
            one_off: None,
        };
        let cause = match self.vacated.get(&target.service.name) {
            Some((volume, _)) => Cause::VolumeReplaced(volume.clone()),
            None => Cause::Missing,
        };
        let created = self.plain(action, cause, after, Some(target.unit));
        let outcome = self.outcome(target);
        outcome.first.get_or_insert(First::Created(created));
        outcome.changed = true;
        let start = (!self.options.no_start)
            .then(|| self.start(target.unit, replica, None, vec![created], Cause::Missing));
        UnitReplica { number: replica.number, start, existing: None, found: Found::ToStart }
    }

    fn recreate(
        &mut self,
        target: &Target<'_>,
        replica: &Replica,
        replacement: &Replacement<'_>,
        cause: Cause,
    ) -> UnitReplica {
        let (container, old) = (replacement.container, replacement.old());
        let unit = target.unit;
        let final_name = self.project.container_name(target.service, replica.number);
        let unnamed = if replacement.start_first { self.asked_on(target.service) } else { Vec::new() };
        let created = {
            let name = names::temporary_name(&old, &final_name);
            let after = self.needs(target);
            let action = Action::CreateContainer {
                replica: replica.clone(),
                name,
                replaces: Some(old.clone()),
                renew_volumes: self.options.renew_anonymous_volumes,
                unnamed: unnamed.clone(),
                one_off: None,
            };
            self.plain(action, cause.clone(), after, Some(unit))
        };
        let outcome = self.outcome(target);
        outcome.first.get_or_insert(First::Created(created));
        outcome.changed = true;
        let (start, mut last) = if replacement.start_first {
            self.start_first(target, replica, replacement, (created, unnamed), cause)
        } else {
            let first = self.steps.len();
            let aside = self.set_aside(unit, replica, replacement, created);
            let action = Action::RenameContainer { replica: replica.clone(), existing: None, to: final_name };
            let renamed = self.gated(unit, action, cause.clone(), aside);
            self.steps[first].awaits = replacement.batch.map(Awaits::Batch);
            let start =
                (!self.options.no_start).then(|| self.start(unit, replica, None, vec![renamed], cause));
            (start, start.unwrap_or(renamed))
        };
        let is_stopped = self.stopped_already(&container.id).is_some();
        if self.options.no_start && is_up(container.state) && !is_stopped {
            // Its successor only stands ready: it runs until all of them do.
            let action = Action::StopContainer {
                replica: Some(replica.clone()),
                container: old.clone(),
                grace: self.options.stop_grace,
            };
            let (after, cause) = (vec![last], Cause::Replaced);
            last = self.step(Step {
                action,
                after,
                gate: None,
                awaits: None,
                unit: None,
                cause,
                phase: Phase::Commit,
            });
        }
        let name = names::previous_name(&self.project.container_name(target.service, replica.number));
        let previous = ContainerRef { id: old.id, name };
        self.commit_removal(Some(replica.clone()), previous, vec![last], Cause::Replaced);
        UnitReplica { number: replica.number, start, existing: None, found: Found::ToStart }
    }

    /// Starts the new container beside the old one; when it is ready it takes over names and place. The step that
    /// starts it, and the last one.
    fn start_first(
        &mut self,
        target: &Target<'_>,
        replica: &Replica,
        replacement: &Replacement<'_>,
        (created, unnamed): (StepId, Vec<String>),
        cause: Cause,
    ) -> (Option<StepId>, StepId) {
        let unit = target.unit;
        let final_name = self.project.container_name(target.service, replica.number);
        let start = self.start(unit, replica, None, vec![created], cause.clone());
        self.steps[start.index()].awaits = replacement.batch.map(Awaits::Batch);
        let mut ready = start;
        if !unnamed.is_empty() {
            let action =
                Action::TakeNames { replica: replica.clone(), name: final_name.clone(), networks: unnamed };
            ready = self.gated(unit, action, cause.clone(), vec![start]);
            self.steps[ready.index()].awaits = Some(Awaits::Ready);
        }
        let first = self.steps.len();
        let aside = self.set_aside(unit, replica, replacement, ready);
        self.steps[first].awaits = Some(Awaits::Ready);
        let action = Action::RenameContainer { replica: replica.clone(), existing: None, to: final_name };
        (Some(start), self.gated(unit, action, cause, aside))
    }

    /// Stops a container that is replaced and gives its name away. The last of the steps.
    fn set_aside(
        &mut self,
        unit: UnitId,
        replica: &Replica,
        replacement: &Replacement<'_>,
        created: StepId,
    ) -> Vec<StepId> {
        let (container, old) = (replacement.container, replacement.old());
        let mut aside = vec![created];
        if let Some(stopped) = self.stopped_already(&container.id) {
            self.services.entry(replica.service.clone()).or_default().stops.push(stopped);
            aside.push(stopped);
        } else if is_up(container.state) && !self.options.no_start {
            let action = Action::StopContainer {
                replica: Some(replica.clone()),
                container: old.clone(),
                grace: self.options.stop_grace,
            };
            let stopped = self.gated(unit, action, Cause::Replaced, aside);
            self.services.entry(replica.service.clone()).or_default().stops.push(stopped);
            aside = vec![stopped];
        }
        let service = &self.project.services[replica.service.as_str()];
        let previous = names::previous_name(&self.project.container_name(service, replica.number));
        if old.name == previous {
            return aside;
        }
        // An interrupted run kept an older one: the name is needed, and this one is the newer.
        if let Some(older) = self.shadowed(replica) {
            let action =
                Action::RemoveContainer { replica: Some(replica.clone()), container: older, volumes: false };
            aside = vec![self.gated(unit, action, Cause::Leftover, aside)];
        }
        let action = Action::RenameContainer { replica: replica.clone(), existing: Some(old), to: previous };
        vec![self.gated(unit, action, Cause::Replaced, aside)]
    }

    /// What must be there before a container can be created.
    fn needs(&self, target: &Target<'_>) -> Vec<StepId> {
        let service = target.service;
        let networks = service.networks.keys().filter_map(|k| self.networks.get(k));
        let named = service.volumes.iter().filter_map(|m| m.source.as_ref());
        let volumes = named.filter_map(|k| self.volumes.get(k));
        let shared =
            references(service).into_iter().filter_map(|name| match self.services.get(&name)?.first {
                Some(First::Created(step)) => Some(step),
                Some(First::Kept(_)) | None => None,
            });
        let mut needs: Vec<StepId> = networks.chain(volumes).copied().collect();
        if let Some((_, removed)) = self.vacated.get(&service.name) {
            needs.extend(removed);
        }
        needs.extend(target.image.into_iter().chain(shared).chain(self.removed_successors(target)));
        needs
    }

    fn gated(&mut self, unit: UnitId, action: Action, cause: Cause, after: Vec<StepId>) -> StepId {
        // What is not started waits for nobody.
        let gate = (!self.options.no_start).then_some(unit);
        self.step(Step { action, after, gate, awaits: None, unit: Some(unit), cause, phase: Phase::Run })
    }

    fn start(
        &mut self,
        unit: UnitId,
        replica: &Replica,
        existing: Option<ContainerRef>,
        after: Vec<StepId>,
        cause: Cause,
    ) -> StepId {
        let name =
            self.project.container_name(&self.project.services[replica.service.as_str()], replica.number);
        let action = Action::StartContainer { replica: replica.clone(), name, existing };
        self.gated(unit, action, cause, after)
    }

    /// Retires containers that are too many, with what was kept aside for them.
    fn retire_all(&mut self, service: &str, containers: &[Container]) {
        for container in containers {
            self.retire(container, Cause::ScaledDown);
            if place(container) == Place::Current {
                self.discard_previous(&Replica { service: service.to_owned(), number: container.number() });
            }
        }
    }

    /// Stops a container now and removes it once everything is ready.
    fn retire(&mut self, container: &Container, cause: Cause) {
        let replica = container
            .service()
            .map(|service| Replica { service: service.to_owned(), number: container.number() });
        let which = ContainerRef::from(container);
        let mut after: Vec<StepId> = self.stopped_already(&container.id).into_iter().collect();
        if is_up(container.state) && after.is_empty() {
            let action = Action::StopContainer {
                replica: replica.clone(),
                container: which.clone(),
                grace: self.options.stop_grace,
            };
            after.push(self.plain(action, cause.clone(), Vec::new(), None));
        }
        self.commit_removal(replica, which, after, cause);
    }

    /// Services that want no container lose those they have, but for those that something else loads.
    pub(super) fn scaled_to_nothing(&mut self) {
        let project = self.project;
        for (name, service) in &project.services {
            if service.provider.is_none() && service.replicas() == 0 && service.orch.load.is_none() {
                let containers = self.current(name);
                self.retire_all(name, &containers);
                let left: Vec<Container> =
                    self.containers_of(name, Place::Successor).into_iter().cloned().collect();
                for container in &left {
                    self.retire(container, Cause::Leftover);
                }
            }
        }
    }

    /// Containers that stay, of services whose dependency with `restart: true` is recreated, are stopped before it
    /// and started again behind their gates.
    pub(super) fn restart_dependents(&mut self) {
        let project = self.project;
        for index in 0..self.units.len() {
            let name = self.units[index].service.clone();
            let service = &project.services[name.as_str()];
            let recreated = service.depends_on.iter().find(|(on, dependency)| {
                dependency.restart && self.services.get(*on).is_some_and(|o| !o.stops.is_empty())
            });
            let Some((on, _)) = recreated else { continue };
            let kept = std::mem::take(&mut self.services[name.as_str()].kept);
            for (replica, container) in kept {
                let cause = Cause::RestartsWith(on.clone());
                let action = Action::StopContainer {
                    replica: Some(replica.clone()),
                    container: container.clone(),
                    grace: self.options.stop_grace,
                };
                let unit = self.lineup.ids[name.as_str()];
                let stop = self.plain(action, cause.clone(), Vec::new(), Some(unit));
                for step in self.services[on.as_str()].stops.clone() {
                    self.steps[step.index()].after.push(stop);
                }
                self.services[name.as_str()].stops.push(stop);
                let start = self.start(unit, &replica, Some(container), vec![stop], cause);
                if let Some(r) = self.units[index].replicas.iter_mut().find(|r| r.number == replica.number) {
                    r.start = Some(start);
                    r.found = Found::ToStart;
                }
            }
        }
    }

    /// The one-off container: created once its gates are open, and started by whoever attaches to it.
    pub(super) fn one_off(&mut self, wanted: &OneOffTarget) {
        let service = &self.project.services[wanted.service.as_str()];
        let image = self.image(service);
        let unit = self.lineup.ids[wanted.service.as_str()];
        let target = Target { service, unit, image, first: self.next_step() };
        self.services.insert(wanted.service.clone(), Outcome::default());
        let replica = Replica::one_off(&wanted.service);
        let action = Action::CreateContainer {
            name: self.project.container_name(service, replica.number),
            replica: replica.clone(),
            replaces: None,
            renew_volumes: false,
            unnamed: Vec::new(),
            one_off: Some(wanted.container.clone()),
        };
        let after = self.needs(&target);
        self.gated(target.unit, action, Cause::Requested, after);
        let replica =
            UnitReplica { number: replica.number, start: None, existing: None, found: Found::ToStart };
        self.units.push(self.lineup.one_off(service, replica));
    }

    /// What belongs to no service of the files, and one-off containers that have ended.
    pub(super) fn orphans(&mut self) {
        let known = |name: &str| {
            self.project.services.contains_key(name) || self.project.disabled_services.contains_key(name)
        };
        let ended = |c: &Container| matches!(c.state, ContainerState::Exited | ContainerState::Dead);
        let is_orphan =
            |c: &Container| if c.is_oneoff() { ended(c) } else { c.service().is_some_and(|s| !known(s)) };
        let orphans: Vec<Container> =
            self.observed.containers.iter().filter(|c| is_orphan(c)).cloned().collect();
        let leaves = |c: &Container| {
            self.options.remove_orphans
                || (!c.is_oneoff() && c.service().is_some_and(|s| self.options.leaving.contains(s)))
        };
        let (leaving, orphans): (Vec<Container>, Vec<Container>) = orphans.into_iter().partition(leaves);
        for container in &leaving {
            self.retire(container, Cause::Orphan);
        }
        if !orphans.is_empty() && !self.options.ignore_orphans {
            let names: Vec<&str> = orphans.iter().map(|c| c.name.as_str()).collect();
            self.warnings.push(format!(
                "containers that belong to no service of the files, or have ended after `run`: {} (remove them with `--remove-orphans`)",
                names.join(", ")
            ));
        }
    }
}

/// What is known of a container that stays.
pub(in crate::plan) fn found(lineup: &Lineup<'_>, service: &Service, container: &Container) -> Found {
    let done = container.state == ContainerState::Exited
        && container.exit_code == Some(0)
        && lineup.is_oneshot(service)
        && !service.orch.rerun_always;
    match container.state {
        _ if done => Found::Completed,
        ContainerState::Running | ContainerState::Restarting | ContainerState::Paused => {
            // The engine's word counts where its own check is the one that decides.
            let own = service.orch.health_check.is_none() && container.health == Some(EngineHealth::Healthy);
            if own { Found::Healthy } else { Found::Running }
        }
        ContainerState::Created
        | ContainerState::Exited
        | ContainerState::Removing
        | ContainerState::Dead => Found::ToStart,
    }
}
