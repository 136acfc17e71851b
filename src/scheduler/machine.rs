//! The machine: steps, units and waves as they go.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    AfterReady, ContainerChange, Effect, FailureKind, Input, Outcome, Owner, StepFailure, StepOutput,
    again::is_ending,
    agenda::{Agenda, Timer},
    cursor::Cursor,
    finish::{Fault, Trouble},
    gate::{Broken, UnitRun},
    lane::{Lane, Lanes},
    replica::ReplicaRun,
    wave::WaveRun,
    window::WindowRun,
};
use crate::{
    event::{CancelReason, EventKind, ServiceState, StepAction},
    plan::{
        Action, Cause, ContainerRef, Done, GateOn, ImageInfo, Observed, Pace, Phase, Plan, Step, StepId,
        UnitId,
    },
    project::Replica,
    time::Elapsed,
};

/// Runs one plan: decides what may happen next, does nothing itself.
#[derive(Debug, Clone)]
pub struct Scheduler {
    pub(super) plan: Arc<Plan>,
    pub(super) after_ready: AfterReady,
    pub(super) steps: Vec<StepRun>,
    /// Steps that are not over, by phase.
    open: [usize; 2],
    /// Steps whose predecessors are done and whose gate is open, by lane.
    ready: [BTreeSet<StepId>; Lane::ALL.len()],
    pub(super) lanes: Lanes,
    pub(super) agenda: Agenda,
    pub(super) units: Vec<UnitRun>,
    /// Which unit a service is.
    by_service: HashMap<String, UnitId>,
    pub(super) waves: Vec<WaveRun>,
    /// Units that are to be looked at again, with the places of those gates that may have changed.
    pub(super) dirty: BTreeMap<UnitId, BTreeSet<usize>>,
    /// Waves that are to be looked at again.
    pub(super) dirty_waves: BTreeSet<usize>,
    /// Units with an update in which something has changed since it was looked at.
    pub(super) dirty_updates: BTreeSet<UnitId>,
    /// Critical units of which some replica will not become ready.
    pub(super) lost: BTreeSet<UnitId>,
    /// Where looking for a unit that is not ready stopped last, and for one that still runs.
    pub(super) unready: Cursor,
    pub(super) running: Cursor,
    /// Whose container it is, by ID.
    pub(super) containers: BTreeMap<String, (UnitId, usize)>,
    pub(super) images: BTreeMap<String, ImageInfo>,
    pub(super) cancel: Option<CancelReason>,
    /// Everything was ready.
    pub(super) was_ready: bool,
    pub(super) course: Course,
    /// The rollback window, while it is open.
    pub(super) window: Option<WindowRun>,
    /// Something in it makes the run roll back: how.
    pub(super) rolls_back: Option<Pace>,
    pub(super) troubles: Vec<Trouble>,
    /// Something went wrong with the run as a whole.
    pub(super) is_in_trouble: bool,
    pub(super) exits: Vec<(Replica, i64)>,
    pub(super) created: BTreeMap<Replica, ContainerRef>,
    pub(super) out: Vec<Effect>,
}

/// How far the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// Not begun.
    New,
    /// Steps of the run phase are done, units become ready.
    Running,
    /// Everything is ready; it watches before what ran before is let go.
    Window,
    /// Everything is ready, for good; what had to wait for that is done.
    Committing,
    /// All is done; it watches.
    Watching,
    /// Nothing more comes.
    Over,
}

/// A step as it goes.
#[derive(Debug, Clone)]
pub(super) struct StepRun {
    state: StepState,
    /// Predecessors that are not over.
    pub(super) waiting: usize,
    pub(super) dependents: Vec<StepId>,
    pub(super) began: Elapsed,
    /// How often the engine did not do it, and since when.
    pub(super) failures: u32,
    pub(super) failed_first: Option<Elapsed>,
}

impl StepRun {
    /// The steps of a plan, before it begins.
    fn all(plan: &Plan) -> Vec<Self> {
        let mut dependents: Vec<Vec<StepId>> = vec![Vec::new(); plan.steps.len()];
        for (id, step) in (0u32..).zip(&plan.steps) {
            for before in &step.after {
                dependents[before.index()].push(StepId(id));
            }
        }
        let run = |(step, dependents): (&Step, Vec<StepId>)| Self {
            state: StepState::Blocked,
            waiting: step.after.len(),
            dependents,
            began: Elapsed::ZERO,
            failures: 0,
            failed_first: None,
        };
        plan.steps.iter().zip(dependents).map(run).collect()
    }

    pub(super) fn state(&self) -> StepState {
        self.state
    }
}

/// The life of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// It has not begun.
    Blocked,
    /// The engine is at it.
    Running,
    /// It is done.
    Done,
    /// The engine did not do it.
    Failed,
    /// Nobody knows whether the engine did it.
    Unknown,
    /// It will not be done.
    Skipped,
}

impl StepState {
    /// Whether nothing more becomes of it.
    pub fn is_over(self) -> bool {
        match self {
            Self::Blocked | Self::Running => false,
            Self::Done | Self::Failed | Self::Unknown | Self::Skipped => true,
        }
    }
}

impl Scheduler {
    /// A run of `plan`. What was observed gives what images are known of.
    pub fn new(plan: Arc<Plan>, observed: &Observed, after_ready: AfterReady) -> Self {
        let steps = StepRun::all(&plan);
        let mut open = [0; 2];
        let mut units: Vec<UnitRun> = plan.units.iter().map(UnitRun::new).collect();
        for (id, step) in (0u32..).zip(&plan.steps) {
            open[step.phase as usize] += 1;
            if let Some(unit) = step.unit {
                units[unit.index()].steps.push(StepId(id));
            }
        }
        let mut waves: Vec<WaveRun> = plan.waves.iter().map(|wave| WaveRun::new(wave, &plan)).collect();
        let mut containers = BTreeMap::new();
        for (id, unit) in (0u32..).map(UnitId).zip(&plan.units) {
            for (place, gate) in unit.gates.iter().enumerate() {
                if let GateOn::Wave(wave) = gate.on {
                    waves[wave].waiters.push((id, place));
                } else if let Some(on) = gate.on.unit() {
                    units[on.index()].waiters.push((id, place));
                }
            }
            for (place, replica) in unit.replicas.iter().enumerate() {
                if let Some(existing) = &replica.existing {
                    containers.insert(existing.id.clone(), (id, place));
                }
            }
        }
        let by_service = (0u32..).zip(&plan.units).map(|(id, unit)| (unit.service.clone(), UnitId(id)));
        Self {
            steps,
            open,
            ready: Default::default(),
            lanes: Lanes::new(&plan.limits),
            agenda: Agenda::default(),
            by_service: by_service.collect(),
            waves,
            dirty: BTreeMap::new(),
            dirty_waves: BTreeSet::new(),
            dirty_updates: BTreeSet::new(),
            lost: BTreeSet::new(),
            unready: Cursor::default(),
            running: Cursor::default(),
            units,
            containers,
            images: observed.images.clone(),
            cancel: None,
            was_ready: false,
            course: Course::New,
            window: None,
            rolls_back: None,
            troubles: Vec::new(),
            is_in_trouble: false,
            exits: Vec::new(),
            created: BTreeMap::new(),
            out: Vec::new(),
            after_ready,
            plan,
        }
    }

    /// Takes what happened at `now` and says what is to be done, in order.
    pub fn step(&mut self, now: Elapsed, input: Input) -> Vec<Effect> {
        if self.course == Course::Over {
            return Vec::new();
        }
        if self.course == Course::New {
            self.begin(now);
        }
        match input {
            Input::Tick => {}
            Input::StepFinished { step, result } => self.step_finished(now, step, result),
            Input::ProcessEnded { step } => self.process_ended(step),
            Input::Probed { key, result } => self.probed(now, key, &result),
            Input::Moved { key, movement } => self.moved(now, key, movement.as_ref()),
            Input::Restarted { unit, place, result } => self.restarted(now, unit, place, result),
            Input::Container { id, change } => self.container_changed(now, &id, change),
            Input::Cancel(reason) => self.cancel(reason),
        }
        for timer in self.agenda.due(now) {
            self.time_is_up(now, timer);
        }
        self.settle(now);
        while self.conclude(now) {
            self.settle(now);
        }
        std::mem::take(&mut self.out)
    }

    /// When a [`Input::Tick`] is due, if nothing happens before.
    pub fn next_deadline(&self) -> Option<Elapsed> {
        if self.course == Course::Over { None } else { self.agenda.next() }
    }

    /// What undoing this run would have to cover.
    pub fn done(&self) -> Done {
        let covered = |state: StepState| match state {
            StepState::Done | StepState::Unknown | StepState::Running => true,
            StepState::Blocked | StepState::Failed | StepState::Skipped => false,
        };
        let mut created = self.created.clone();
        // A container that may have been created is known by its name alone.
        for (run, step) in self.steps.iter().zip(&self.plan.steps) {
            if let (Action::CreateContainer { replica, name, .. }, StepState::Unknown | StepState::Running) =
                (&step.action, run.state)
            {
                created.insert(replica.clone(), ContainerRef { id: name.clone(), name: name.clone() });
            }
        }
        let steps = (0u32..).zip(&self.steps).filter(|(_, s)| covered(s.state)).map(|(n, _)| StepId(n));
        Done { steps: steps.collect(), created }
    }

    /// The container of a replica, once there is one.
    pub fn container(&self, replica: &Replica) -> Option<&ContainerRef> {
        let unit = self.unit_of(&replica.service)?;
        let place = self.find_place(unit, replica)?;
        self.units[unit.index()].replicas[place].container.as_ref()
    }

    /// Whose container an ID is.
    pub fn replica_of(&self, container: &str) -> Option<Replica> {
        self.containers.get(container).map(|(unit, place)| self.replica_name(*unit, *place))
    }

    /// IDs of all containers that it knows.
    pub fn containers(&self) -> Vec<String> {
        self.containers.keys().cloned().collect()
    }

    /// IDs of a service's containers.
    pub fn containers_of(&self, service: &str) -> Vec<String> {
        let found = self.unit_of(service);
        let replicas = found.map(|unit| self.units[unit.index()].replicas.iter()).into_iter().flatten();
        replicas.filter_map(|r| r.container.as_ref().map(|c| c.id.clone())).collect()
    }

    /// Whether everything is ready, and what was kept for undoing is gone.
    pub fn stands(&self) -> bool {
        let over = self.course == Course::Over && self.was_ready && self.cancel.is_none();
        over || self.is_watching()
    }

    /// Whether everything is done and it only watches.
    pub fn is_watching(&self) -> bool {
        self.course == Course::Watching
    }

    /// Ends the run without waiting for what is under way.
    pub fn abandon(&mut self) -> Outcome {
        self.finish();
        self.out.clear();
        self.outcome()
    }

    /// Every replica's state, stages and last probe results, for saving and showing.
    pub fn health(&self) -> Vec<(Replica, ServiceState, Option<crate::health::MonitorReport>)> {
        let mut all = Vec::new();
        for (unit, run) in self.plan.units.iter().zip(&self.units) {
            for (replica, state) in unit.replicas.iter().zip(&run.replicas) {
                let replica = Replica { service: unit.service.clone(), number: replica.number };
                let report = state.monitor.as_ref().map(crate::health::Monitor::report);
                all.push((replica, state.shown, report.or_else(|| state.last_report.clone())));
            }
        }
        all
    }

    fn begin(&mut self, now: Elapsed) {
        self.course = Course::Running;
        self.agenda.set(Timer::Run, self.plan.limits.timeout.map(|t| now + t));
        let units: Vec<UnitId> = (0u32..).map(UnitId).take(self.units.len()).collect();
        let gates = |id: &UnitId| (*id, (0..self.plan.units[id.index()].gates.len()).collect());
        self.dirty = units.iter().map(gates).collect();
        self.dirty_waves = (0..self.waves.len()).take(1).collect();
        for index in 0..self.steps.len() {
            self.queue(StepId(u32::try_from(index).expect("fewer than 2^32 steps")));
        }
        for unit in units {
            self.update_changed(unit);
            self.begin_found(now, unit);
        }
    }

    pub(super) fn announce(&mut self, kind: EventKind) {
        self.out.push(Effect::Announce(kind));
    }

    /// Lets a step be performed once nothing holds it back.
    pub(super) fn queue(&mut self, id: StepId) {
        let (run, step) = (&self.steps[id.index()], &self.plan.steps[id.index()]);
        let in_phase = match step.phase {
            Phase::Run => true,
            Phase::Commit => self.course == Course::Committing,
        };
        let open = step.gate.is_none_or(|unit| self.units[unit.index()].open);
        if in_phase && open && self.is_awaited(step) && run.waiting == 0 && run.state == StepState::Blocked {
            self.ready[Lane::of(&step.action) as usize].insert(id);
        }
    }

    /// What becomes of a step.
    pub(super) fn set_state(&mut self, id: StepId, state: StepState) {
        let (run, step) = (&mut self.steps[id.index()], &self.plan.steps[id.index()]);
        let open = &mut self.open[step.phase as usize];
        *open = *open + usize::from(run.state.is_over()) - usize::from(state.is_over());
        run.state = state;
        if state != StepState::Blocked {
            self.ready[Lane::of(&step.action) as usize].remove(&id);
        }
        if let Some(unit) = step.unit {
            self.update_changed(unit);
        }
    }

    /// Whether all steps of a phase are over.
    pub(super) fn is_done(&self, phase: Phase) -> bool {
        self.open[phase as usize] == 0
    }

    /// Performs what may be performed, as far as there is room.
    fn perform(&mut self, now: Elapsed) {
        // What is about to end the run lets nothing more begin.
        if self.cancel.is_some() || self.is_to_end() {
            return;
        }
        let plan = Arc::clone(&self.plan);
        while let Some((id, lane)) = self.next_step() {
            let step = &plan.steps[id.index()];
            self.lanes.enter(lane);
            self.set_state(id, StepState::Running);
            self.steps[id.index()].began = now;
            self.announce(EventKind::StepStarted {
                step: id.0,
                action: StepAction::from(&step.action),
                cause: step.cause.to_string(),
            });
            self.show_step_started(id, &step.action, &step.cause);
            self.out.push(Effect::Perform(id));
        }
    }

    /// The first step in the plan's order for which there is room.
    fn next_step(&self) -> Option<(StepId, Lane)> {
        let with_room = Lane::ALL.into_iter().filter(|lane| self.lanes.has_room(*lane));
        with_room
            .filter_map(|lane| Some((*self.ready[lane as usize].first()?, lane)))
            .min_by_key(|(id, _)| *id)
    }

    fn step_finished(&mut self, now: Elapsed, id: StepId, result: Result<StepOutput, StepFailure>) {
        let plan = Arc::clone(&self.plan);
        let step = &plan.steps[id.index()];
        let took = now.since(self.steps[id.index()].began);
        self.lanes.leave(Lane::of(&step.action));
        let action = StepAction::from(&step.action);
        match result {
            Ok(output) => {
                self.set_state(id, StepState::Done);
                self.lanes.done(Lane::of(&step.action), took);
                self.announce(EventKind::StepDone { step: id.0, action, took });
                self.take_output(now, &step.action, output);
                self.release(id);
            }
            Err(failure) => {
                let state = match failure.kind {
                    FailureKind::Refused => StepState::Failed,
                    FailureKind::Failed | FailureKind::NotAsked | FailureKind::NoAnswer => StepState::Unknown,
                };
                self.set_state(id, state);
                self.announce(EventKind::StepFailed { step: id.0, action, error: failure.message.clone() });
                if !self.ask_again(now, id, &failure) {
                    self.step_failed(now, id, &failure.message);
                }
            }
        }
    }

    fn take_output(&mut self, now: Elapsed, action: &Action, output: StepOutput) {
        match output {
            StepOutput::Image(info) => {
                if let Action::PullImage { image, .. } | Action::BuildImage { image, .. } = action {
                    self.images.insert(image.clone(), *info);
                }
            }
            StepOutput::Created(container) => {
                if let Action::CreateContainer { replica, .. } = action {
                    self.created.insert(replica.clone(), container.clone());
                    self.container_created(replica, container);
                }
            }
            // Whoever made this plan makes the next one with it.
            StepOutput::Said(_) => {}
            StepOutput::Done => self.show_step_done(now, action),
        }
    }

    /// A step is over: those that waited only for it may follow.
    pub(super) fn release(&mut self, id: StepId) {
        for dependent in self.steps[id.index()].dependents.clone() {
            self.hold_no_longer(dependent);
        }
    }

    /// One step less to wait for.
    pub(super) fn hold_no_longer(&mut self, id: StepId) {
        let run = &mut self.steps[id.index()];
        run.waiting = run.waiting.saturating_sub(1);
        self.queue(id);
    }

    fn step_failed(&mut self, now: Elapsed, id: StepId, message: &str) {
        let plan = Arc::clone(&self.plan);
        let step = &plan.steps[id.index()];
        match (&step.action, step.unit) {
            (Action::StartContainer { replica, .. }, Some(unit)) => {
                let place = self.place(unit, replica);
                self.start_failed(now, unit, place, Fault::new(message));
                // What is put back is put back, whatever becomes of it.
                if step.cause == Cause::Undo && self.run_of(unit, place).is_lost() {
                    self.release(id);
                }
            }
            // What is replaced is in the way of everything that follows.
            (_, None) if matches!(step.cause, Cause::NetworkReplaced(_) | Cause::VolumeReplaced(_)) => {
                self.trouble(None, Fault::new(message));
            }
            (Action::RemoveNetwork { .. } | Action::RemoveVolume { .. } | Action::RemoveImage { .. }, _) => {
                self.announce(EventKind::Warning { message: message.to_owned() });
                self.left_behind(&step.action, message);
                self.release(id);
            }
            // What ends things goes on with the rest, so that as little as possible is left.
            _ if is_ending(step) => {
                self.left_behind(&step.action, message);
                self.release(id);
            }
            (Action::CallProvider { .. } | Action::SetUpModel { .. }, _) => {
                // Once the run is to end, tools are killed: that is no news.
                if self.cancel.is_none() {
                    let target = StepAction::from(&step.action).target;
                    self.trouble(None, Fault::new(format!("{target}: {message}")));
                }
            }
            (action, Some(unit)) => {
                let place = action.replica().and_then(|replica| self.find_place(unit, replica));
                // What is left of a replica that is not wanted any more stands in the way of all.
                let all = 0..plan.units[unit.index()].replicas.len();
                for place in place.map_or(all, |place| place..place + 1) {
                    self.fail(unit, place, Fault::new(message));
                }
                self.pass_over(id, message);
            }
            (_, None) => self.fail_dependents(id, message),
        }
    }

    /// A step of a unit will not be done: what waits for it in other replicas and units must not wait for ever.
    pub(super) fn pass_over(&mut self, id: StepId, message: &str) {
        let plan = Arc::clone(&self.plan);
        let step = &plan.steps[id.index()];
        let Some(own) = step.unit else { return };
        for dependent in self.steps[id.index()].dependents.clone() {
            let waits = &plan.steps[dependent.index()];
            if waits.is_held_back() {
                self.hold_no_longer(dependent);
                continue;
            }
            let (Some(unit), StepState::Blocked) = (waits.unit, self.steps[dependent.index()].state) else {
                continue;
            };
            if unit == own {
                if let Some(place) = waits.action.replica().and_then(|r| self.find_place(unit, r)) {
                    self.fail(unit, place, Fault::new(message));
                }
            } else if matches!(step.action, Action::StopContainer { .. }) {
                // It was to be stopped first, for its own sake.
                self.hold_no_longer(dependent);
            } else {
                let why = format!("`{}` failed", plan.units[own.index()].service);
                self.break_unit(unit, Broken { because: Some(own), why });
            }
        }
    }

    /// Everything that waits for a failed network, volume or image fails with it.
    fn fail_dependents(&mut self, id: StepId, message: &str) {
        let plan = Arc::clone(&self.plan);
        let mut any = false;
        let mut open = vec![id];
        let mut seen = BTreeSet::new();
        while let Some(next) = open.pop() {
            if !seen.insert(next) {
                continue;
            }
            for dependent in self.steps[next.index()].dependents.clone() {
                // It only was to come later. A failure that matters ends the run before it begins.
                if plan.steps[dependent.index()].is_held_back() {
                    self.hold_no_longer(dependent);
                    continue;
                }
                match (&plan.steps[dependent.index()].action, plan.steps[dependent.index()].unit) {
                    (Action::CreateContainer { replica, .. }, Some(unit)) => {
                        any = true;
                        let place = self.place(unit, replica);
                        self.fail(unit, place, Fault::new(message));
                    }
                    _ => open.push(dependent),
                }
            }
        }
        if !any {
            self.trouble(None, Fault::new(message));
        }
    }

    /// Looks at what has changed until nothing changes any more, then performs what may be performed.
    fn settle(&mut self, now: Elapsed) {
        while let Some((unit, changed)) = self.dirty.pop_first() {
            self.look_at_gates(now, unit, &changed);
            self.look_at_waves(now);
        }
        self.look_at_waves(now);
        self.look_at_updates(now);
        if !self.dirty.is_empty() {
            return self.settle(now);
        }
        self.perform(now);
    }

    fn time_is_up(&mut self, now: Elapsed, timer: Timer) {
        match timer {
            Timer::Owner(owner) => self.poll(now, owner),
            Timer::Step(id) => self.queue(id),
            Timer::Batch(unit) => self.batch_is_over(unit),
            Timer::Wave(wave) => self.wave_timed_out(wave),
            Timer::Run => self.run_timed_out(now),
            Timer::Window => self.window_is_over(now),
        }
    }

    fn container_changed(&mut self, now: Elapsed, id: &str, change: ContainerChange) {
        if let Some(&(unit, place)) = self.containers.get(id) {
            self.replica_changed(now, unit, place, change);
        }
    }

    /// Takes a request to end. A weaker reason does not replace a stronger one.
    pub(super) fn cancel(&mut self, reason: CancelReason) {
        if self.cancel < Some(reason) {
            self.cancel = Some(reason);
            self.announce(EventKind::CancelRequested { reason });
        }
    }

    /// Which unit a service is.
    pub(super) fn unit_of(&self, service: &str) -> Option<UnitId> {
        self.by_service.get(service).copied()
    }

    /// The place of a replica that the unit has.
    pub(super) fn place(&self, unit: UnitId, replica: &Replica) -> usize {
        self.find_place(unit, replica).expect("a replica that is created or started is one of its unit's")
    }

    /// The place of a replica; `None` where the unit does not want it any more.
    pub(super) fn find_place(&self, unit: UnitId, replica: &Replica) -> Option<usize> {
        self.plan.units[unit.index()].replicas.iter().position(|r| r.number == replica.number)
    }

    pub(super) fn replica_name(&self, unit: UnitId, place: usize) -> Replica {
        let unit = &self.plan.units[unit.index()];
        Replica { service: unit.service.clone(), number: unit.replicas[place].number }
    }

    pub(super) fn run_of(&mut self, unit: UnitId, place: usize) -> &mut ReplicaRun {
        &mut self.units[unit.index()].replicas[place]
    }

    pub(super) fn owner_timer(owner: Owner) -> Timer {
        Timer::Owner(owner)
    }
}
