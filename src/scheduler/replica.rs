//! One container's way from waiting to ready, and what becomes of it after that.

use std::{sync::Arc, time::Duration};

use super::{
    AfterReady, ContainerChange, Effect, Exit, Owner, ProbeKey, RestartOrder, Scheduler, StepFailure,
    finish::Fault,
    lane::Lane,
    machine::{Course, StepState},
};
use crate::{
    event::ServiceState,
    health::{Monitor, MonitorReport, ProbeId, ProbeResult},
    plan::{ContainerRef, Found, Readiness, RestartedByEngine, UnitId, UnitReplica},
    project::{HealthSpec, Replica, go_duration},
    time::{Backoff, Elapsed},
};

/// What ran this long has recovered: the tries of its start count from 0 again (as Kubernetes' back-off does).
const STEADY: Duration = Duration::from_mins(10);

/// A replica as it goes.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; where it is, `life` says")]
pub(super) struct ReplicaRun {
    pub(super) life: Life,
    pub(super) monitor: Option<Monitor>,
    /// What the last monitor had found when it was given up.
    pub(super) last_report: Option<MonitorReport>,
    /// Tries of the start so far, from 0.
    pub(super) attempt: u32,
    /// When the first try began; `None` once it was ready.
    pub(super) first_try: Option<Elapsed>,
    /// When it last came up.
    up_since: Elapsed,
    /// Exits in this try since it got further than ever.
    early_exits: u32,
    /// Stages that it passed at most, in this try.
    furthest: usize,
    /// How often the engine started it again by itself, since we last asked it to start it.
    restarts: u64,
    /// The engine said that it started, since we last asked it to.
    pub(super) seen_start: bool,
    /// It exited before the answer to its start came.
    pub(super) early_exit: Option<Exit>,
    pub(super) out_of_memory: bool,
    pub(super) was_up: bool,
    /// It was ready at least once.
    pub(super) was_ready: bool,
    pub(super) container: Option<ContainerRef>,
    pub(super) shown: ServiceState,
}

/// Where a replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// Not started, or between two starts.
    Waiting,
    /// The engine is asked to start it.
    Starting,
    /// Its process runs, or the engine is about to start it again.
    Up,
    /// Its start will be tried again.
    Backoff,
    /// It has exited with 0.
    Completed,
    /// It will not become ready.
    Failed,
    /// It will not be started.
    Skipped,
}

/// What an exit means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It has done what it was for.
    Completed,
    /// It should still run; words on when it ended, where the code does not say enough.
    Failed(&'static str),
}

impl ReplicaRun {
    pub(super) fn new(replica: &UnitReplica) -> Self {
        Self {
            life: Life::Waiting,
            monitor: None,
            last_report: None,
            attempt: 0,
            first_try: None,
            up_since: Elapsed::ZERO,
            early_exits: 0,
            furthest: 0,
            restarts: 0,
            seen_start: false,
            early_exit: None,
            out_of_memory: false,
            was_up: false,
            was_ready: false,
            container: replica.existing.clone(),
            shown: ServiceState::Pending,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        match self.life {
            Life::Completed => true,
            Life::Up => matches!(self.shown, ServiceState::Ready | ServiceState::Degraded),
            Life::Waiting | Life::Starting | Life::Backoff | Life::Failed | Life::Skipped => false,
        }
    }

    /// It will not become ready.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self.life, Life::Failed | Life::Skipped)
    }

    /// Nothing more becomes of it before ready.
    pub(super) fn is_settled(&self) -> bool {
        self.is_ready() || self.is_lost()
    }

    /// The engine is about to be asked to start it.
    pub(super) fn begin_start(&mut self) {
        self.life = Life::Starting;
        self.seen_start = false;
        self.early_exit = None;
        self.out_of_memory = false;
    }

    /// It has passed so many stages. One that exits again and again at the same point is in a crash loop, also where
    /// its process was up long enough to pass the first of them.
    pub(super) fn has_got_to(&mut self, stages: usize) {
        if stages > self.furthest {
            (self.furthest, self.early_exits) = (stages, 0);
        }
    }

    /// Ends its checks and keeps what they found.
    pub(super) fn give_up_checks(&mut self) {
        if let Some(monitor) = self.monitor.take() {
            self.last_report = Some(monitor.report());
        }
    }

    /// Whether a stage of that name has passed.
    pub(super) fn has_passed(&self, stage: &str) -> bool {
        self.monitor.as_ref().is_some_and(|m| m.stage_passed(stage))
    }
}

impl Scheduler {
    /// Takes up what was running before.
    pub(super) fn begin_found(&mut self, now: Elapsed, id: UnitId) {
        let plan = Arc::clone(&self.plan);
        for (place, replica) in plan.units[id.index()].replicas.iter().enumerate() {
            match replica.found {
                Found::ToStart => {}
                Found::Completed => {
                    self.run_of(id, place).life = Life::Completed;
                    self.run_of(id, place).was_up = true;
                    self.show(id, place, ServiceState::Completed, "");
                }
                // Its own checks tell more than the engine's word.
                Found::Healthy if self.counts_results() => {
                    self.run_of(id, place).seen_start = true;
                    self.come_up(now, id, place);
                }
                Found::Healthy => {
                    self.run_of(id, place).life = Life::Up;
                    self.run_of(id, place).was_up = true;
                    self.run_of(id, place).seen_start = true;
                    self.become_ready(id, place, ServiceState::Ready, "");
                }
                Found::Running => {
                    self.run_of(id, place).seen_start = true;
                    self.come_up(now, id, place);
                }
            }
        }
    }

    pub(super) fn container_created(&mut self, replica: &Replica, container: ContainerRef) {
        let Some(unit) = self.unit_of(&replica.service) else { return };
        let place = self.place(unit, replica);
        self.containers.insert(container.id.clone(), (unit, place));
        self.run_of(unit, place).container = Some(container);
        self.show(unit, place, ServiceState::Created, "");
        self.dirty.entry(unit).or_default();
    }

    /// Its process runs: from now on it is watched.
    pub(super) fn come_up(&mut self, now: Elapsed, id: UnitId, place: usize) {
        let run = self.run_of(id, place);
        run.life = Life::Up;
        run.was_up = true;
        run.up_since = now;
        let first_try = *run.first_try.get_or_insert(now);
        if let Some(exit) = run.early_exit.take() {
            self.unit_changed(id);
            return self.exited(now, id, place, exit);
        }
        let deadline = self.deadline(first_try, self.plan.units[id.index()].start.timeout);
        match self.spec(id) {
            Some(spec) => {
                let monitor = Monitor::new(spec, now, deadline);
                self.run_of(id, place).monitor = Some(monitor);
                self.show(id, place, ServiceState::Probing, "");
                self.poll(now, Owner::Replica(id, place));
            }
            // What is to exit with 0 is not ready before it has.
            None if self.plan.units[id.index()].oneshot => {
                let limit = self.plan.units[id.index()].start.timeout.map(|t| first_try + t);
                self.agenda.set(Self::owner_timer(Owner::Replica(id, place)), limit);
                self.show(id, place, ServiceState::Probing, "runs to its end");
            }
            None => self.become_ready(id, place, ServiceState::Ready, ""),
        }
        self.unit_changed(id);
    }

    /// What makes a unit ready; `None`: that it runs.
    pub(super) fn spec(&self, id: UnitId) -> Option<Arc<HealthSpec>> {
        let unit = &self.plan.units[id.index()];
        match &unit.readiness {
            Readiness::Spec(spec) => Some(Arc::clone(spec)),
            Readiness::Healthcheck(check) => {
                HealthSpec::of_healthcheck(check.test.as_deref()?, Some(check)).map(Arc::new)
            }
            Readiness::Image(image) => {
                let test = self.images.get(image)?.healthcheck.clone()?;
                HealthSpec::of_healthcheck(&test, None).map(Arc::new)
            }
            Readiness::Running => None,
        }
    }

    /// Whether the engine's own HEALTHCHECK is what makes a unit ready.
    pub(super) fn trusts_engine(&self, id: UnitId) -> bool {
        matches!(self.plan.units[id.index()].readiness, Readiness::Healthcheck(_) | Readiness::Image(_))
    }

    pub(super) fn deadline(&self, from: Elapsed, timeout: Option<Duration>) -> Elapsed {
        // Without any limit a monitor still needs a moment: one that no run reaches.
        let far = Duration::from_hours(10 * 365 * 24);
        let own = timeout.map(|t| from + t);
        // The time for the whole start is over once everything was ready.
        let run = self.plan.limits.timeout.filter(|_| !self.was_ready).map(|t| Elapsed::ZERO + t);
        own.into_iter().chain(run).min().unwrap_or(Elapsed::ZERO + far)
    }

    pub(super) fn become_ready(&mut self, id: UnitId, place: usize, state: ServiceState, why: &str) {
        let lacks = self.units[id.index()].lacks.clone();
        let (state, why) = match (state, lacks.is_empty()) {
            (_, true) => (state, why.to_owned()),
            (ServiceState::Ready, false) => (ServiceState::Degraded, lacks.join(", ")),
            (state, false) => (state, format!("{why}; {}", lacks.join(", "))),
        };
        let trusts_engine = self.trusts_engine(id);
        let watches = matches!(self.after_ready, AfterReady::Watch(_)) || self.plan.window.is_some();
        let counts_results = self.counts_results();
        let run = self.run_of(id, place);
        run.was_ready = true;
        run.first_try = None;
        // The engine goes on with its own check and tells; probing beside it would only cost.
        if (trusts_engine && !counts_results) || !watches {
            run.monitor = None;
        }
        self.show(id, place, state, &why);
        self.unit_changed(id);
    }

    /// It was ready and its checks fail: it is started again as often as its policy says.
    pub(super) fn unhealthy(&mut self, now: Elapsed, id: UnitId, place: usize, why: &str) {
        self.show(id, place, ServiceState::Unhealthy, why);
        if self.decides_window(id) {
            return self.fail_in_window(now, id, place, Fault::new(format!("became unhealthy: {why}")));
        }
        let unit = &self.plan.units[id.index()];
        let (supervised, critical, retries) = (unit.supervised, unit.critical, unit.start.retries);
        let none_left = self.run_of(id, place).attempt >= retries;
        // What fails nothing and is not started again is left running, as it may recover; what waits for it to be ready
        // must not wait for ever, so that holds only once all of that is over.
        if !critical && none_left && matches!(self.course, Course::Window | Course::Watching) {
            return;
        }
        if supervised {
            self.start_failed(now, id, place, Fault::new(format!("became unhealthy: {why}")));
        }
    }

    /// Takes what the engine says of a container.
    pub(super) fn replica_changed(
        &mut self,
        now: Elapsed,
        id: UnitId,
        place: usize,
        change: ContainerChange,
    ) {
        let engine_decides = self.trusts_engine(id);
        let run = self.run_of(id, place);
        match (change, run.life) {
            (ContainerChange::OutOfMemory, _) => run.out_of_memory = true,
            (ContainerChange::Started, Life::Starting) => {
                run.seen_start = true;
                // The engine started it again before it answered.
                if run.early_exit.take().is_some() {
                    run.early_exits += 1;
                    run.restarts += 1;
                }
            }
            (ContainerChange::Started, Life::Up) => {
                // The engine started it again after an exit.
                let again = run.seen_start && run.shown == ServiceState::Restarting;
                run.seen_start = true;
                if again {
                    self.come_up(now, id, place);
                }
            }
            (ContainerChange::Died(exit), Life::Starting) if run.seen_start => run.early_exit = Some(exit),
            (ContainerChange::Died(exit), Life::Up) if run.seen_start => self.exited(now, id, place, exit),
            (ContainerChange::Healthy, Life::Up) if engine_decides => {
                let probe = ProbeId { stage: 0, check: 0, live: false };
                if run.monitor.is_some() {
                    let (detail, took) = ("the engine says healthy".to_owned(), Duration::ZERO);
                    let result = ProbeResult { passed: true, detail, took, report: None };
                    let key = ProbeKey { owner: Owner::Replica(id, place), id: probe, attempt: run.attempt };
                    self.probed(now, key, &result);
                } else {
                    self.become_ready(id, place, ServiceState::Ready, "");
                }
            }
            (ContainerChange::Unhealthy, Life::Up) if engine_decides && run.was_ready => {
                self.unhealthy(now, id, place, "the engine says unhealthy");
            }
            (
                ContainerChange::Started
                | ContainerChange::Died(_)
                | ContainerChange::Healthy
                | ContainerChange::Unhealthy,
                Life::Waiting
                | Life::Starting
                | Life::Up
                | Life::Backoff
                | Life::Completed
                | Life::Failed
                | Life::Skipped,
            ) => {}
        }
    }

    /// Its process has ended by itself.
    pub(super) fn exited(&mut self, now: Elapsed, id: UnitId, place: usize, exit: Exit) {
        let code = exit.code;
        let unit = self.plan.units[id.index()].clone();
        self.exits.push((self.replica_name(id, place), code));
        let ending = self.ending(id, place, exit);
        let run = self.run_of(id, place);
        run.give_up_checks();
        let comes_back = match unit.restarted_by_engine {
            RestartedByEngine::Always => true,
            RestartedByEngine::OnFailure(most) => code != 0 && most.is_none_or(|most| run.restarts < most),
            RestartedByEngine::No => false,
        };
        let memory = if run.out_of_memory { " (out of memory)" } else { "" };
        if comes_back && !(unit.oneshot && code == 0) {
            run.early_exits += 1;
            run.restarts += 1;
            let again = run.early_exits >= 2 && !run.was_ready;
            if again || self.exits_again_in_window(id, place) {
                let why = format!("keeps exiting, last with code {code}{memory}");
                return self.start_failed(now, id, place, Fault::exit(why, code));
            }
            let why = format!("exited with code {code}{memory}");
            self.show(id, place, ServiceState::Restarting, &why);
        } else if ending == Ending::Completed {
            run.life = Life::Completed;
            self.agenda.set(Self::owner_timer(Owner::Replica(id, place)), None);
            self.show(id, place, ServiceState::Completed, "");
        } else {
            let when = match ending {
                Ending::Failed(when) => when,
                Ending::Completed => "",
            };
            let why = format!("exited with code {code}{memory}{when}");
            self.start_failed(now, id, place, Fault::exit(why, code));
        }
        self.unit_changed(id);
        self.look_at_abort(id, code);
    }

    /// What an exit means that the engine does not answer by a start.
    ///
    /// What has a check serves: others count on it, so while they start it may not end, also not with 0. What has none
    /// may be a job, as for Compose, and 0 its end; not where the engine was away, as nobody knows who ended it.
    fn ending(&mut self, id: UnitId, place: usize, exit: Exit) -> Ending {
        let unit = &self.plan.units[id.index()];
        let own_check = matches!(unit.readiness, Readiness::Spec(_) | Readiness::Healthcheck(_));
        let (oneshot, checked) = (unit.oneshot, self.spec(id).is_some());
        let settled = self.course == Course::Watching;
        let was_ready = self.run_of(id, place).was_ready;
        match exit.code {
            0 if oneshot => Ending::Completed,
            0 if own_check && !was_ready => Ending::Failed(" before it was ready"),
            0 if settled => Ending::Completed,
            0 if checked && self.course == Course::Window => Ending::Failed(", although it has a check"),
            0 if checked && was_ready => Ending::Failed(" while others were starting"),
            0 if !exit.told => Ending::Failed(" while the engine was away"),
            0 => Ending::Completed,
            _ => Ending::Failed(""),
        }
    }

    /// A start, or what came of it, failed: it is tried again as often as its policy says.
    pub(super) fn start_failed(&mut self, now: Elapsed, id: UnitId, place: usize, fault: Fault) {
        if self.decides_window(id) {
            return self.fail_in_window(now, id, place, fault);
        }
        let policy = self.plan.units[id.index()].start.clone();
        let run = self.run_of(id, place);
        if run.life == Life::Up && now.since(run.up_since) >= STEADY {
            run.attempt = 0;
        }
        let (attempt, container) = (run.attempt, run.container.is_some());
        let first_try = *run.first_try.get_or_insert(now);
        run.give_up_checks();
        let pause = Backoff::new(policy.backoff, policy.max_backoff).pause(attempt);
        let in_time = now + pause < self.deadline(first_try, policy.timeout);
        if attempt >= policy.retries || !container || !in_time || self.cancel.is_some() {
            return self.fail(id, place, fault);
        }
        let run = self.run_of(id, place);
        run.life = Life::Backoff;
        run.attempt += 1;
        run.early_exits = 0;
        run.furthest = 0;
        run.restarts = 0;
        self.agenda.set(Self::owner_timer(Owner::Replica(id, place)), Some(now + pause));
        let (number, of) = (attempt + 2, policy.retries + 1);
        let cause = format!("{}; try {number} of {of} in {}", fault.reason, go_duration(pause));
        self.show(id, place, ServiceState::Restarting, &cause);
        self.unit_changed(id);
    }

    pub(super) fn try_again(&mut self, id: UnitId, place: usize) {
        let Some(step) = self.plan.units[id.index()].replicas[place].start else {
            return self.restart(id, place);
        };
        self.run_of(id, place).life = Life::Waiting;
        self.set_state(step, StepState::Blocked);
        self.queue(step);
    }

    /// Starts again what was running before this run: there is no step that does.
    fn restart(&mut self, id: UnitId, place: usize) {
        let replica = self.replica_name(id, place);
        let run = self.run_of(id, place);
        let Some(container) = run.container.clone() else { return };
        if self.cancel.is_some() {
            return;
        }
        let run = self.run_of(id, place);
        run.begin_start();
        self.lanes.enter(Lane::Starts);
        self.show(id, place, ServiceState::Starting, "");
        let order = RestartOrder { unit: id, place, replica, container };
        self.out.push(Effect::Restart(Box::new(order)));
    }

    /// Takes what came of that.
    pub(super) fn restarted(
        &mut self,
        now: Elapsed,
        id: UnitId,
        place: usize,
        result: Result<(), StepFailure>,
    ) {
        self.lanes.leave(Lane::Starts);
        match result {
            Ok(()) if self.run_of(id, place).life == Life::Starting => self.come_up(now, id, place),
            Ok(()) => {}
            Err(failure) => self.start_failed(now, id, place, Fault::new(failure.message)),
        }
    }

    /// It will not become ready: it has failed, or is not started.
    pub(super) fn lose(&mut self, id: UnitId, place: usize, life: Life) {
        self.run_of(id, place).life = life;
        if self.plan.units[id.index()].critical {
            self.lost.insert(id);
        }
    }

    /// It will not become ready.
    pub(super) fn fail(&mut self, id: UnitId, place: usize, fault: Fault) {
        let run = self.run_of(id, place);
        if matches!(run.life, Life::Failed | Life::Skipped) {
            return;
        }
        run.give_up_checks();
        self.lose(id, place, Life::Failed);
        self.agenda.set(Self::owner_timer(Owner::Replica(id, place)), None);
        self.show(id, place, ServiceState::Failed, &fault.reason);
        self.skip_steps(id, place, &fault.reason);
        self.trouble(Some(id), fault);
        self.unit_changed(id);
    }

    /// Everything of a unit that has not settled fails for want of time.
    pub(super) fn fail_waiting(&mut self, id: UnitId, why: &str) {
        for place in 0..self.units[id.index()].replicas.len() {
            let settled = self.run_of(id, place).is_ready();
            if !settled {
                let last = self.run_of(id, place).monitor.as_ref().map(last_words).unwrap_or_default();
                self.fail(id, place, Fault::late(format!("{why}{last}")));
            }
        }
    }
}

/// The stage a monitor is in and what its last probe found, for a failure's reason.
fn last_words(monitor: &Monitor) -> String {
    let Some((index, stage)) = monitor.current_stage() else { return String::new() };
    let report = monitor.report();
    let last = report.stages.get(index).and_then(|s| s.checks.iter().find_map(|c| c.last.clone()));
    let last = last.map(|r| format!(", last: {}", r.detail)).unwrap_or_default();
    format!(" (stage `{}`{last})", stage.name)
}
