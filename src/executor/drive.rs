//! The loop: what happens goes into the scheduler, what it decides is carried out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::StreamExt as _;
use tokio::{
    sync::{mpsc, oneshot, watch as watch_channel},
    task::{JoinError, JoinSet},
};
use tracing::Instrument as _;

use super::{
    AskError, CancelRequest, Run, exit,
    follow::{FollowTask, Log},
    task::{ProbeTask, StepDone, StepTask},
    watch::{self, Reconnected},
};
use crate::{
    event::{CancelReason, EventKind, ServiceState},
    health::{MonitorReport, Movement, ProbeResult},
    plan::{
        Action, Cause, Container, ContainerDetail, ContainerRef, ContainerState, Done, Found, ImageInfo,
        Observed, Phase, Plan, Step, StepId, Unit, UnitId, references,
    },
    project::{Mapping, ProbeSpec, Project, Replica},
    scheduler::{
        AfterReady, ContainerChange, Effect, FailureKind, FollowKey, FollowOrder, Input, Outcome, ProbeOrder,
        RestartOrder, Scheduler, StepFailure, StepOutput,
    },
};

/// What a driven plan came to.
#[derive(Debug, Clone)]
pub struct Driven {
    /// How it ended.
    pub outcome: Outcome,
    /// What undoing it would have to cover.
    pub done: Done,
    /// What tools said, by what they were asked.
    pub said: Vec<(Action, Mapping)>,
    /// Each replica's last state and probe results.
    pub health: Vec<(Replica, ServiceState, Option<MonitorReport>)>,
}

/// What a task gave.
enum Finished {
    Step(StepId, Box<StepDone>),
    /// With what it knew of its container, and how often that had started when it began.
    Probe(Box<ProbeOrder>, ProbeResult, Option<(u64, Arc<ContainerDetail>)>),
    /// Whether the process that this step stops is seen to have ended.
    ProcessEnded(StepId, bool),
    /// What a log said, and the rest of it.
    Moved(FollowKey, Option<Movement>, Log),
    Restarted(Box<RestartOrder>, Box<StepDone>),
    /// A new stream, and the containers that were known before it.
    Reconnected(Reconnected, Vec<String>),
}

/// What must not be waited for for ever when its task panics.
#[derive(Debug, Clone, Copy)]
enum Work {
    Step(StepId),
    Restart(UnitId, usize),
}

/// A plan on its way.
struct Drive {
    scheduler: Scheduler,
    plan: Arc<Plan>,
    observed: Arc<Observed>,
    images: Arc<BTreeMap<String, ImageInfo>>,
    tasks: JoinSet<Finished>,
    running: BTreeMap<tokio::task::Id, Work>,
    /// Logs that somebody may want to read on in.
    logs: BTreeMap<FollowKey, Log>,
    tries: BTreeMap<StepId, u32>,
    /// Stops the end of whose process is worth looking for.
    awaited: BTreeSet<StepId>,
    progress: mpsc::UnboundedSender<EventKind>,
    said: Vec<(Action, Mapping)>,
    /// Everything was ready for good.
    stood: bool,
    /// Whether the plan is to end: tools, unlike the engine, are not waited for.
    ending: watch_channel::Sender<bool>,
}

impl Run {
    /// Carries a plan out to its end. Returns when nothing that it began is under way any more, or at once when a
    /// second request to end has come.
    pub async fn drive(&mut self, plan: Arc<Plan>, observed: Arc<Observed>, after: AfterReady) -> Driven {
        let mut inputs = vec![Input::Tick];
        if !plan.units.is_empty() {
            match self.listen().await {
                Ok(()) => {}
                Err(AskError::Ended(reason)) => inputs.push(Input::Cancel(reason)),
                Err(AskError::Engine(error)) => self.announce(EventKind::Warning {
                    message: format!("the engine's events cannot be heard yet: {error}"),
                }),
            }
        }
        self.watch.reconnecting = false;
        let (progress, mut told) = mpsc::unbounded_channel();
        let mut images = observed.images.clone();
        images.extend(self.images.clone());
        let mut drive = Drive {
            scheduler: Scheduler::new(Arc::clone(&plan), &observed, after),
            observed,
            images: Arc::new(images),
            tasks: JoinSet::new(),
            running: BTreeMap::new(),
            logs: BTreeMap::new(),
            tries: BTreeMap::new(),
            awaited: if self.engine.info().local { exit::awaited(&plan) } else { BTreeSet::new() },
            progress,
            said: Vec::new(),
            stood: false,
            plan,
            ending: watch_channel::Sender::new(false),
        };
        self.follow_found(&drive);
        loop {
            for input in inputs.drain(..) {
                if let Some(outcome) = self.take(&mut drive, input) {
                    self.images.extend(Arc::unwrap_or_clone(drive.images));
                    return Driven {
                        outcome,
                        done: drive.scheduler.done(),
                        said: drive.said,
                        health: drive.scheduler.health(),
                    };
                }
            }
            self.keep_listening(&mut drive);
            let deaf = self.watch.deaf_at();
            let deadline = drive.scheduler.next_deadline().map(|at| self.instant(at));
            // Requests to end come first, then what the engine tells: a container that is gone again when the answer to
            // its start comes must not pass for ready. Every source can be dropped and asked again without a loss.
            tokio::select! {
                biased;
                Some(request) = self.requests.next() => inputs.push(self.request(request)),
                event = self.watch.next(), if self.watch.is_live() => {
                    if let Some(event) = event {
                        inputs.extend(watch::input(&event));
                    }
                }
                () = tokio::time::sleep_until(deaf.unwrap_or_else(tokio::time::Instant::now)), if deaf.is_some() => {
                    self.watch.give_up();
                }
                // What a task tells comes before its end.
                Some(kind) = told.recv() => self.announce(kind),
                Some(joined) = drive.tasks.join_next_with_id() => inputs.extend(self.finished(&mut drive, joined)),
                () = tokio::time::sleep_until(deadline.unwrap_or_else(tokio::time::Instant::now)), if deadline.is_some() => {
                    inputs.push(Input::Tick);
                }
            }
        }
    }

    /// Carries out the plan that undoes or ends what an earlier one began. A first request to end asks for nothing
    /// else, so only a second one changes anything.
    pub async fn put_back(&mut self, plan: Arc<Plan>, observed: Arc<Observed>) -> Driven {
        self.putting_back = true;
        let driven = self.drive(plan, observed, AfterReady::Finish).await;
        self.putting_back = false;
        driven
    }

    pub(super) fn request(&mut self, request: CancelRequest) -> Input {
        self.requested += 1;
        let forced = request == CancelRequest::Force || self.requested > 1;
        if self.putting_back && !forced {
            let message = "it is already being ended; once more, and it is killed".to_owned();
            self.announce(EventKind::Warning { message });
            return Input::Tick;
        }
        Input::Cancel(if forced { CancelReason::Forced } else { CancelReason::Interrupt })
    }

    /// Hands one input to the scheduler and carries out what it says. The outcome, when that is the end.
    fn take(&mut self, drive: &mut Drive, input: Input) -> Option<Outcome> {
        if let Input::Container { id, change: ContainerChange::Started } = &input {
            self.details.started(id);
            self.follow(drive, id);
        }
        let forced = input == Input::Cancel(CancelReason::Forced);
        let now = self.now();
        let mut outcome = None;
        for effect in drive.scheduler.step(now, input) {
            match effect {
                Effect::Announce(kind) => {
                    if matches!(kind, EventKind::CancelRequested { .. }) {
                        drive.ending.send_replace(true);
                    }
                    self.announce(kind);
                }
                Effect::Perform(step) => self.perform(drive, step),
                Effect::Probe(order) => self.probe(drive, *order),
                Effect::Follow(order) => self.read_on(drive, *order),
                Effect::Restart(order) => self.restart(drive, *order),
                Effect::Finish(finished) => outcome = Some(finished),
            }
        }
        if drive.scheduler.stands() && !drive.stood && !drive.plan.units.is_empty() && !self.putting_back {
            drive.stood = true;
            let images = drive.images_that_run(&self.project);
            self.stands(&images);
        }
        if drive.scheduler.is_watching() {
            // It changes nothing any more, until something fails.
            self.unlock();
        }
        // Nobody wanted to.
        drive.logs.clear();
        if forced && outcome.is_none() {
            // Not waited for: what the engine was asked for may still be done.
            outcome = Some(drive.scheduler.abandon());
        }
        outcome
    }

    /// What runs and stays is followed too.
    fn follow_found(&self, drive: &Drive) {
        let replicas = drive.plan.units.iter().flat_map(|unit| &unit.replicas);
        for replica in
            replicas.filter(|r| r.start.is_none() && matches!(r.found, Found::Running | Found::Healthy))
        {
            if let Some(existing) = &replica.existing {
                self.follow(drive, &existing.id);
            }
        }
    }

    fn follow(&self, drive: &Drive, id: &str) {
        if let Some(replica) = drive.scheduler.replica_of(id) {
            self.tell_followers(&replica, id);
        }
    }

    fn perform(&self, drive: &mut Drive, id: StepId) {
        let step = drive.plan.steps[id.index()].clone();
        let tries = drive.tries.entry(id).or_insert(0);
        *tries += 1;
        let again = *tries > 1;
        let mut task = self.step_task(drive, step, again);
        if let Some(container) = task.stops().filter(|_| drive.awaited.contains(&id))
            && let Some(machine) = self.machine()
        {
            let (tell, told) = oneshot::channel();
            let container = container.id.clone();
            drive.tasks.spawn(async move {
                Finished::ProcessEnded(id, exit::ended(machine, container, told).await)
            });
            task.tell_process = Some(tell);
        }
        let span = task.span();
        let handle = drive
            .tasks
            .spawn(async move { Finished::Step(id, Box::new(task.perform().instrument(span).await)) });
        drive.running.insert(handle.id(), Work::Step(id));
    }

    /// Starts again what no step of the plan starts.
    fn restart(&mut self, drive: &mut Drive, order: RestartOrder) {
        let (unit, place) = (order.unit, order.place);
        if drive.scheduler.is_watching() && self.is_left_to_others() {
            let message = "another command changes the project".to_owned();
            let result = Err(StepFailure { message, kind: FailureKind::Refused });
            let done = StepDone { result, detail: None, fingerprint: None };
            let handle =
                drive.tasks.spawn(async move { Finished::Restarted(Box::new(order), Box::new(done)) });
            drive.running.insert(handle.id(), Work::Restart(unit, place));
            return;
        }
        let RestartOrder { replica, container, .. } = order.clone();
        let name = container.name.clone();
        let action = Action::StartContainer { replica, name, existing: Some(container) };
        let (cause, phase) = (Cause::Requested, Phase::Run);
        let step =
            Step { action, after: Vec::new(), gate: None, awaits: None, unit: Some(unit), cause, phase };
        let task = self.step_task(drive, step, true);
        let handle = drive
            .tasks
            .spawn(async move { Finished::Restarted(Box::new(order), Box::new(task.perform().await)) });
        drive.running.insert(handle.id(), Work::Restart(unit, place));
    }

    fn step_task(&self, drive: &Drive, step: Step, again: bool) -> StepTask {
        let replica = match &step.action {
            Action::StartContainer { replica, .. }
            | Action::TakeNames { replica, .. }
            | Action::RenameContainer { replica, .. } => Some(replica),
            _ => None,
        };
        StepTask {
            project: Arc::clone(&self.project),
            engine: Arc::clone(&self.engine),
            tools: Arc::clone(&self.tools),
            ending: drive.ending.subscribe(),
            observed: Arc::clone(&drive.observed),
            container: replica.and_then(|r| drive.scheduler.container(r).cloned()),
            containers: drive.referenced(&self.project, &step.action),
            images: Arc::clone(&drive.images),
            again,
            progress: drive.progress.clone(),
            tell_process: None,
            fingerprints: Arc::clone(&self.fingerprints),
            quiet: self.quiet,
            step,
        }
    }

    /// Reads on where the last reading stopped, or from the container's start.
    fn read_on(&self, drive: &mut Drive, order: FollowOrder) {
        let (key, log) = (order.key, drive.logs.remove(&order.key));
        let detail = self.details.of(&order.container);
        let task = FollowTask { engine: Arc::clone(&self.engine), order, detail, log };
        drive.tasks.spawn(async move {
            let (movement, log) = task.run().await;
            Finished::Moved(key, movement, log)
        });
    }

    fn probe(&self, drive: &mut Drive, order: ProbeOrder) {
        let host = match &order.check.probe {
            ProbeSpec::Http(http) => http.host.clone(),
            ProbeSpec::Tcp { host, .. } | ProbeSpec::Grpc { host, .. } => host.clone(),
            ProbeSpec::Exec { .. }
            | ProbeSpec::Log { .. }
            | ProbeSpec::Container(_)
            | ProbeSpec::Service { .. } => None,
        };
        let peers = host.map(|service| {
            let mut ids = drive.scheduler.containers_of(&service);
            if ids.is_empty() {
                ids = drive.running(&service);
            }
            (service, ids)
        });
        let task = ProbeTask {
            engine: Arc::clone(&self.engine),
            prober: Arc::clone(&self.prober),
            detail: order.container.as_ref().and_then(|id| self.details.of(id)),
            peers: peers.into_iter().filter(|(_, ids)| !ids.is_empty()).collect(),
            order,
        };
        let starts = task.order.container.as_ref().map_or(0, |id| self.details.starts(id));
        let span = task.span();
        drive.tasks.spawn(async move {
            let (order, result, detail) = task.run().instrument(span).await;
            Finished::Probe(Box::new(order), result, detail.map(|detail| (starts, detail)))
        });
    }

    fn finished(
        &mut self,
        drive: &mut Drive,
        joined: Result<(tokio::task::Id, Finished), JoinError>,
    ) -> Vec<Input> {
        match joined {
            Ok((task, Finished::Step(step, done))) => {
                drive.running.remove(&task);
                self.step_done(drive, step, *done)
            }
            Ok((_, Finished::Probe(order, result, detail))) => {
                if let (Some(id), Some((starts, detail))) = (&order.container, detail) {
                    self.details.learn(id, starts, detail);
                }
                vec![Input::Probed { key: order.key, result }]
            }
            Ok((_, Finished::ProcessEnded(step, seen))) => {
                seen.then_some(Input::ProcessEnded { step }).into_iter().collect()
            }
            Ok((_, Finished::Moved(key, movement, log))) => {
                if movement.is_some() {
                    drive.logs.insert(key, log);
                }
                vec![Input::Moved { key, movement }]
            }
            Ok((task, Finished::Restarted(order, done))) => {
                drive.running.remove(&task);
                let RestartOrder { unit, place, container, .. } = *order;
                if done.result.is_ok() {
                    self.came_up(drive, &container.id);
                }
                vec![Input::Restarted { unit, place, result: done.result.map(|_| ()) }]
            }
            Ok((_, Finished::Reconnected(new, known))) => self.watch.resume(new, &known),
            Err(error) => {
                let failure =
                    StepFailure { message: format!("internal error: {error}"), kind: FailureKind::NoAnswer };
                match drive.running.remove(&error.id()) {
                    Some(Work::Step(step)) => vec![Input::StepFinished { step, result: Err(failure) }],
                    Some(Work::Restart(unit, place)) => {
                        vec![Input::Restarted { unit, place, result: Err(failure) }]
                    }
                    None => Vec::new(),
                }
            }
        }
    }

    /// A container was started: it may be somewhere else than before. Whoever probes it looks where.
    fn came_up(&mut self, drive: &Drive, id: &str) {
        self.details.started(id);
        if !self.watch.is_live() {
            self.follow(drive, id);
        }
    }

    fn step_done(&mut self, drive: &mut Drive, step: StepId, done: StepDone) -> Vec<Input> {
        if let Ok(StepOutput::Image(info)) = &done.result
            && let Action::PullImage { image, .. } | Action::BuildImage { image, .. } =
                &drive.plan.steps[step.index()].action
        {
            Arc::make_mut(&mut drive.images).insert(image.clone(), (**info).clone());
        }
        if let Ok(StepOutput::Said(variables)) = &done.result {
            let action = drive.plan.steps[step.index()].action.clone();
            drive.said.push((action, variables.clone()));
        }
        if let (Ok(StepOutput::Created(container)), Some(fingerprint)) = (&done.result, &done.fingerprint) {
            self.note_fingerprint(&container.id, fingerprint);
        }
        if let (Ok(_), Action::StartContainer { replica, .. }) =
            (&done.result, &drive.plan.steps[step.index()].action)
            && let Some(container) = drive.scheduler.container(replica)
        {
            let id = container.id.clone();
            self.watch.expect_start(&id);
            self.came_up(drive, &id);
        }
        if let Action::TakeNames { .. } = &drive.plan.steps[step.index()].action {
            // It has another address.
            if let Some(detail) = done.detail {
                self.details.moved(detail);
            }
        }
        vec![Input::StepFinished { step, result: done.result }]
    }

    /// A stream that has ended is replaced.
    fn keep_listening(&mut self, drive: &mut Drive) {
        if !self.watch.is_live() && !self.watch.reconnecting && !drive.plan.units.is_empty() {
            self.watch.reconnecting = true;
            let (engine, project) = (Arc::clone(&self.engine), drive.plan.project.clone());
            let known = drive.scheduler.containers();
            drive
                .tasks
                .spawn(async move { Finished::Reconnected(watch::reconnect(engine, project).await, known) });
        }
    }
}

impl Drive {
    /// IDs of the images that the plan's containers run, by service.
    fn images_that_run(&self, project: &Project) -> BTreeMap<String, String> {
        let label = |id: &str| {
            let container = self.observed.containers.iter().find(|c| c.id == id)?;
            container.compose_label("image").map(str::to_owned)
        };
        let of = |unit: &Unit| {
            let kept = unit.replicas.iter().find_map(|replica| label(&replica.existing.as_ref()?.id));
            let service = project.services.get(&unit.service)?;
            let made = || self.images.get(&project.image_name(service)).map(|image| image.id.clone());
            Some((unit.service.clone(), kept.or_else(made)?))
        };
        self.plan.units.iter().filter_map(of).collect()
    }

    /// IDs of containers of a service that is no part of the plan, and ran before it.
    fn running(&self, service: &str) -> Vec<String> {
        let of_it = |c: &&Container| c.service() == Some(service) && !c.is_oneoff();
        let runs = self.observed.containers.iter().filter(|c| c.state == ContainerState::Running);
        runs.filter(of_it).map(|c| c.id.clone()).collect()
    }

    /// First containers of the services that an action's own service names.
    fn referenced(&self, project: &Project, action: &Action) -> BTreeMap<String, ContainerRef> {
        let (Action::CreateContainer { replica, .. } | Action::TakeNames { replica, .. }) = action else {
            return BTreeMap::new();
        };
        let names = project.services.get(&replica.service).map(references).unwrap_or_default();
        let first = |name: String| {
            let unit = self.plan.units.iter().find(|unit| unit.service == name)?;
            let number = unit.replicas.iter().map(|r| r.number).min()?;
            let container = self.scheduler.container(&Replica { service: name.clone(), number })?;
            Some((name, container.clone()))
        };
        names.into_iter().filter_map(first).collect()
    }
}
