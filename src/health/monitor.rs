//! The machine: stages in order, then liveness.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::{
    Breaker, CheckReport, MonitorReport, Movement, ProbeResult, StageProgress, StageReport,
    progress::{Motion, Reading},
    watch::{Standing, Watch},
};
use crate::{
    project::{Check, ContainerCondition, HealthSpec, ProbeSpec, Stage, go_duration},
    time::Elapsed,
};

/// Which check a probe is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeId {
    /// Its stage, from 0; 0 for liveness.
    pub stage: u32,
    /// Its place in the stage, from 0.
    pub check: u32,
    /// It is one of the checks that go on after ready.
    pub live: bool,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Run this probe, and hand its result to [`Monitor::probed`].
    Probe(ProbeId),
    /// Read on in the log until the stage of this place, from 0, has moved, and tell [`Monitor::moved`].
    Follow(u32),
}

/// What has changed, in the order in which it happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A stage begins; its checks are due.
    StageStarted {
        /// From 0.
        index: usize,
    },
    /// A stage's checks passed.
    StagePassed {
        /// From 0.
        index: usize,
    },
    /// A stage that is not critical reached its deadline; the next one begins.
    StageDegraded {
        /// From 0.
        index: usize,
        /// What did not pass.
        why: String,
    },
    /// A stage failed for good.
    StageFailed {
        /// From 0.
        index: usize,
        /// What did not pass.
        why: String,
        /// A deadline passed.
        timed_out: bool,
    },
    /// A stage's log has moved, and its deadline perhaps with it.
    StageMoved {
        /// From 0.
        index: usize,
        /// What matched: `loaded 42%`.
        text: String,
    },
    /// A check is left alone, tried again, or let through again.
    Breaker {
        /// Which.
        id: ProbeId,
        /// What its breaker is now.
        breaker: Breaker,
    },
    /// The whole is in another state.
    Became(Health),
}

/// How a container is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Health {
    /// Its stages are not over.
    Starting,
    /// All is well.
    Ready,
    /// It serves, with something non-critical missing.
    Degraded {
        /// What.
        why: String,
    },
    /// It was ready and is not any more.
    Unhealthy {
        /// What fails.
        why: String,
    },
    /// It was unhealthy and its checks pass again, not yet often enough.
    Recovering,
    /// It did not become ready.
    Failed {
        /// What did not pass.
        why: String,
        /// A deadline passed.
        timed_out: bool,
    },
}

/// Watches one container from its start.
#[derive(Debug, Clone)]
pub struct Monitor {
    spec: Arc<HealthSpec>,
    started: Elapsed,
    deadline: Elapsed,
    phase: Phase,
    health: Health,
    runs: Vec<StageRun>,
    /// Beside the checks of [`live_stage`]; empty before ready.
    live: Vec<Watch>,
}

/// How far the start-up is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The first stage has not begun.
    New,
    /// This stage's checks are probed.
    Stage(usize),
    /// Ready at least once.
    Live,
    /// It did not become ready: nothing more is done.
    Failed,
}

/// A stage as it goes.
#[derive(Debug, Clone)]
struct StageRun {
    progress: StageProgress,
    began: Option<Elapsed>,
    ended: Option<Elapsed>,
    motion: Motion,
    watches: Vec<Watch>,
}

impl Monitor {
    /// For a container that started at `started` and must be ready at `deadline`. Nothing happens before
    /// the first [`poll`](Self::poll).
    pub fn new(spec: Arc<HealthSpec>, started: Elapsed, deadline: Elapsed) -> Self {
        let run = |stage: &Stage| StageRun {
            progress: StageProgress::Pending,
            began: None,
            ended: None,
            motion: Motion::default(),
            watches: vec![Watch::new(started, started, Standing::Unknown); stage.checks.len()],
        };
        let runs = spec.stages.iter().map(run).collect();
        Self { spec, started, deadline, phase: Phase::New, health: Health::Starting, runs, live: Vec::new() }
    }

    /// What is due at `now`: the probes to run, and what deadlines that have passed change.
    pub fn poll(&mut self, now: Elapsed) -> (Vec<Order>, Vec<Change>) {
        let mut changes = Vec::new();
        if self.phase == Phase::New && now >= self.started {
            self.begin(0, now, &mut changes);
        }
        self.settle(now, &mut changes);
        let due: Vec<ProbeId> = self.free().filter(|(_, at)| *at <= now).map(|(id, _)| id).collect();
        let spec = Arc::clone(&self.spec);
        for &id in &due {
            if let (Some(check), Some(watch)) = (check_of(&spec, id), self.watch(id)) {
                let before = watch.breaker;
                watch.order(now, check);
                changes.extend(breaker_change(id, before, watch.breaker));
            }
        }
        let mut orders: Vec<Order> = due.into_iter().map(Order::Probe).collect();
        if let Some(index) = self.unread() {
            self.runs[index].motion.reading = Reading::UnderWay;
            orders.push(Order::Follow(number(index)));
        }
        (orders, changes)
    }

    /// Takes what the log said of how far a stage is; `None`: it has ended.
    pub fn moved(&mut self, now: Elapsed, stage: u32, movement: Option<&Movement>) -> Vec<Change> {
        let index = stage as usize;
        let mut changes = Vec::new();
        // A deadline that has passed is not moved any more.
        self.settle(now, &mut changes);
        if self.phase == Phase::Stage(index) && self.runs[index].motion.take(now, movement) {
            let text = self.runs[index].motion.text().unwrap_or_default().to_owned();
            changes.push(Change::StageMoved { index, text });
        }
        changes
    }

    /// The stage whose next movement is to be asked for.
    fn unread(&self) -> Option<usize> {
        let (index, stage) = self.current_stage()?;
        let wanted = stage.progress.is_some() && self.runs[index].motion.reading == Reading::Wanted;
        wanted.then_some(index)
    }

    /// Takes the result of an ordered probe. A result that comes too late to matter is only kept.
    pub fn probed(&mut self, now: Elapsed, id: ProbeId, result: &ProbeResult) -> Vec<Change> {
        let spec = Arc::clone(&self.spec);
        let phase = self.phase;
        let grace = live_stage(&spec).map_or(Duration::ZERO, |stage| stage.start_period);
        let (Some(check), Some(watch)) = (check_of(&spec, id), self.watch(id)) else { return Vec::new() };
        let before = watch.breaker;
        if id.live {
            watch.probed_live(now, grace, check, result);
        } else if phase == Phase::Stage(id.stage as usize) {
            watch.probed_starting(now, check, result);
        } else if is_trouble(&watch.standing) {
            watch.probed_live(now, Duration::ZERO, check, result);
        } else {
            watch.probed_late(now, check, result);
        }
        let breaker = watch.breaker;
        let mut changes: Vec<Change> = breaker_change(id, before, breaker).into_iter().collect();
        // A probe of the start-up that ends after it: what goes on in its place is left alone with it.
        if !id.live
            && phase == Phase::Live
            && self.is_covered(id.stage as usize)
            && let Some(heir) = self.live.get_mut(id.check as usize)
        {
            heir.inherit(breaker);
        }
        self.settle(now, &mut changes);
        changes
    }

    /// When [`poll`](Self::poll) has something to do, if no result comes before.
    pub fn next_deadline(&self) -> Option<Elapsed> {
        let deadline = match self.phase {
            Phase::New => Some(self.started),
            Phase::Stage(index) => Some(self.stage_deadline(index)),
            Phase::Live | Phase::Failed => None,
        };
        let unread = self.unread().map(|_| self.started);
        self.free().map(|(_, at)| at).chain(deadline).chain(unread).min()
    }

    /// How the container is.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The stage whose checks are probed, with its place from 0; `None` before the first and after the last.
    pub fn current_stage(&self) -> Option<(usize, &Stage)> {
        match self.phase {
            Phase::Stage(index) => self.spec.stages.get(index).map(|stage| (index, stage)),
            Phase::New | Phase::Live | Phase::Failed => None,
        }
    }

    /// Whether a stage of this name has passed. One that is over because its deadline passed has not.
    pub fn stage_passed(&self, name: &str) -> bool {
        let mut stages = self.spec.stages.iter().zip(&self.runs);
        stages.any(|(stage, run)| stage.name == name && run.progress == StageProgress::Passed)
    }

    /// The check that a probe is for.
    ///
    /// # Panics
    ///
    /// Panics on an `id` that this monitor did not order.
    pub fn check(&self, id: ProbeId) -> &Check {
        check_of(&self.spec, id).expect("an ordered probe has a check")
    }

    /// What the last probe of a check found.
    pub fn last_result(&self, id: ProbeId) -> Option<&ProbeResult> {
        let watches = if id.live { &self.live } else { &self.runs.get(id.stage as usize)?.watches };
        watches.get(id.check as usize)?.last.as_ref()
    }

    /// Whether a failure of a check that goes on after ready counts by now: not inside its `start_period`.
    pub fn failures_count(&self, now: Elapsed, id: ProbeId) -> bool {
        let grace = live_stage(&self.spec).map_or(Duration::ZERO, |stage| stage.start_period);
        let watch = self.live.get(id.check as usize);
        watch.is_some_and(|watch| now >= watch.began + grace.max(self.check(id).start_period))
    }

    /// The stage that a probe belongs to: its name for events.
    pub fn stage_of(&self, id: ProbeId) -> &str {
        let stage = if id.live { live_stage(&self.spec) } else { self.spec.stages.get(id.stage as usize) };
        stage.map_or("", |stage| stage.name.as_str())
    }

    /// Everything that is known, for display and for saving.
    pub fn report(&self) -> MonitorReport {
        let checks = |stage: &Stage, watches: &[Watch]| {
            stage.checks.iter().zip(watches).map(|(check, watch)| check_report(check, watch)).collect()
        };
        MonitorReport {
            health: self.health.clone(),
            stages: (self.spec.stages.iter().zip(&self.runs))
                .map(|(stage, run)| StageReport {
                    name: stage.name.clone(),
                    progress: run.progress,
                    began: run.began,
                    ended: run.ended,
                    moved: run.motion.text().map(str::to_owned),
                    checks: checks(stage, &run.watches),
                })
                .collect(),
            liveness: live_stage(&self.spec).map_or_else(Vec::new, |stage| checks(stage, &self.live)),
        }
    }

    /// Moves on as far as the results and the deadlines allow.
    fn settle(&mut self, now: Elapsed, changes: &mut Vec<Change>) {
        while let Phase::Stage(index) = self.phase {
            if self.has_passed(index) {
                self.end(index, now, StageProgress::Passed);
                changes.push(Change::StagePassed { index });
            } else if now < self.stage_deadline(index) {
                return;
            } else if is_critical(&self.spec.stages[index]) {
                let why = self.timed_out(index);
                self.end(index, now, StageProgress::Failed);
                self.phase = Phase::Failed;
                changes.push(Change::StageFailed { index, why: why.clone(), timed_out: true });
                self.become_health(Health::Failed { why, timed_out: true }, changes);
                return;
            } else {
                let why = self.timed_out(index);
                self.end(index, now, StageProgress::Degraded);
                changes.push(Change::StageDegraded { index, why });
            }
            self.begin(index + 1, now, changes);
        }
        if self.phase == Phase::Live {
            self.become_health(self.live_health(), changes);
        }
    }

    /// Begins a stage, or the time after the last one.
    fn begin(&mut self, index: usize, now: Elapsed, changes: &mut Vec<Change>) {
        let Some(run) = self.runs.get_mut(index) else {
            self.begin_live(now);
            return;
        };
        run.progress = StageProgress::Current;
        run.began = Some(now);
        for watch in &mut run.watches {
            *watch = Watch::new(now, now, Standing::Unknown);
        }
        self.phase = Phase::Stage(index);
        changes.push(Change::StageStarted { index });
    }

    fn begin_live(&mut self, now: Elapsed) {
        self.phase = Phase::Live;
        for (run, stage) in self.runs.iter_mut().zip(&self.spec.stages) {
            for (watch, check) in run.watches.iter_mut().zip(&stage.checks) {
                watch.wait_until(now + check.interval);
            }
        }
        let Some(stage) = live_stage(&self.spec) else { return };
        let fresh = |check: &Check| Watch::new(now, now + check.interval, Standing::Unknown);
        self.live = match (&self.spec.liveness, self.runs.last()) {
            (None, Some(last)) => (last.watches.iter().zip(&stage.checks))
                .map(|(watch, check)| Watch {
                    standing: watch.standing.clone(),
                    began: watch.began,
                    ..fresh(check)
                })
                .collect(),
            (None, None) | (Some(_), _) => stage.checks.iter().map(fresh).collect(),
        };
        if let (None, Some(last)) = (&self.spec.liveness, self.runs.last()) {
            for (live, watch) in self.live.iter_mut().zip(&last.watches) {
                live.inherit(watch.breaker);
            }
        }
    }

    /// Ends a stage: what it went on without is remembered as failing.
    fn end(&mut self, index: usize, now: Elapsed, progress: StageProgress) {
        let (run, stage) = (&mut self.runs[index], &self.spec.stages[index]);
        run.progress = progress;
        run.ended = Some(now);
        for (watch, check) in run.watches.iter_mut().zip(&stage.checks) {
            if !watch.is_passing() && (!check.critical || progress != StageProgress::Passed) {
                watch.standing = Standing::Failing(watch.why());
            }
        }
    }

    /// Probes that may be ordered, and when. Never one that is in flight.
    fn free(&self) -> impl Iterator<Item = (ProbeId, Elapsed)> {
        let current = match self.phase {
            Phase::Stage(index) => Some(index),
            Phase::New | Phase::Live | Phase::Failed => None,
        };
        let is_live = self.phase == Phase::Live;
        let starting = self.runs.iter().enumerate().flat_map(move |(index, run)| {
            run.watches.iter().enumerate().filter_map(move |(at, watch)| {
                let wanted = if is_live {
                    // What start-up went on without: until it passes, so that the service can become whole.
                    !self.is_covered(index) && is_trouble(&watch.standing)
                } else {
                    current == Some(index) && !watch.is_passing()
                };
                (wanted && !watch.in_flight).then(|| (probe_id(index, at, false), watch.due))
            })
        });
        let checks = live_stage(&self.spec).map_or(&[][..], |stage| &stage.checks);
        let live = self.live.iter().zip(checks).enumerate().filter_map(move |(at, (watch, check))| {
            let wanted = is_live && !watch.in_flight && !self.still_starting(at) && goes_on(check, watch);
            wanted.then(|| (probe_id(0, at, true), watch.due))
        });
        starting.chain(live)
    }

    /// Whether the checks after ready are those of this stage.
    fn is_covered(&self, index: usize) -> bool {
        self.spec.liveness.is_none() && index + 1 == self.runs.len()
    }

    /// Whether a probe of the same check is in flight since start-up.
    fn still_starting(&self, check: usize) -> bool {
        let last = self.runs.last().filter(|_| self.spec.liveness.is_none());
        last.and_then(|run| run.watches.get(check)).is_some_and(|watch| watch.in_flight)
    }

    fn watch(&mut self, id: ProbeId) -> Option<&mut Watch> {
        if id.live {
            self.live.get_mut(id.check as usize)
        } else {
            self.runs.get_mut(id.stage as usize)?.watches.get_mut(id.check as usize)
        }
    }

    fn has_passed(&self, index: usize) -> bool {
        let stage = &self.spec.stages[index];
        let (mut total, mut passed) = (0, 0);
        for (check, watch) in stage.checks.iter().zip(&self.runs[index].watches) {
            if counts(stage, check) {
                total += 1;
                passed += usize::from(watch.is_passing());
            }
        }
        passed >= stage.require.needed(total)
    }

    fn stage_deadline(&self, index: usize) -> Elapsed {
        let (stage, run) = (&self.spec.stages[index], &self.runs[index]);
        let own = stage.timeout.map(|timeout| run.began.unwrap_or(self.started) + timeout);
        own.max(self.moved_deadline(index)).map_or(self.deadline, |own| own.min(self.deadline))
    }

    /// The deadline that progress gives to a stage with a timeout.
    fn moved_deadline(&self, index: usize) -> Option<Elapsed> {
        let (stage, run) = (&self.spec.stages[index], &self.runs[index]);
        stage.timeout?;
        run.motion.deadline(stage.progress.as_ref()?, run.began.unwrap_or(self.started))
    }

    /// Why a stage did not pass in time, in words.
    fn timed_out(&self, index: usize) -> String {
        let (stage, run) = (&self.spec.stages[index], &self.runs[index]);
        let began = run.began.unwrap_or(self.started);
        let own = stage.timeout.map(|timeout| began + timeout);
        let what = match (self.moved_deadline(index), own) {
            (Some(moved), Some(own)) if own < moved && moved <= self.deadline => {
                let moved = moved.since(run.motion.last.as_ref().map_or(began, |(at, _)| *at));
                let text = run.motion.text().unwrap_or_default();
                let still = format!("stage {} stood still for {} at `{text}`", stage.name, seconds(moved));
                let most = stage.progress.as_ref().filter(|progress| moved < progress.extend);
                most.map_or(still, |progress| {
                    let most = seconds(progress.at_most);
                    format!("stage {} timed out after {most}, the most it may take, at `{text}`", stage.name)
                })
            }
            (_, Some(own)) if own <= self.deadline => {
                format!("stage {} timed out after {}", stage.name, seconds(own.since(began)))
            }
            _ => {
                let start = seconds(self.deadline - self.started);
                format!("start timed out after {start}, in stage {}", stage.name)
            }
        };
        let waited = stage.checks.iter().zip(&run.watches).filter(|(_, watch)| !watch.is_passing());
        let waited: Vec<String> = waited.map(|(check, watch)| said(stage, check, watch)).collect();
        format!("{what} ({})", waited.join("; "))
    }

    /// How a container is that has been ready.
    fn live_health(&self) -> Health {
        let mut missing = Vec::new();
        for (index, (run, stage)) in self.runs.iter().zip(&self.spec.stages).enumerate() {
            if !self.is_covered(index) {
                let trouble = stage.checks.iter().zip(&run.watches).filter(|(_, w)| is_trouble(&w.standing));
                missing.extend(trouble.map(|(check, watch)| said(stage, check, watch)));
            }
        }
        if let Some(stage) = live_stage(&self.spec) {
            let (mut total, mut standing, mut returning) = (0, 0, 0);
            let (mut down, mut beside) = (Vec::new(), Vec::new());
            for (check, watch) in stage.checks.iter().zip(&self.live) {
                let fails = matches!(watch.standing, Standing::Failing(_));
                let counted = counts(stage, check);
                total += usize::from(counted);
                standing += usize::from(counted && !fails);
                returning += usize::from(counted && fails && watch.successes > 0);
                if is_trouble(&watch.standing) {
                    let list = if counted && fails { &mut down } else { &mut beside };
                    list.push(said(stage, check, watch));
                }
            }
            let needed = stage.require.needed(total);
            if standing < needed && is_critical(stage) {
                let why = down.join("; ");
                return if standing + returning < needed {
                    Health::Unhealthy { why }
                } else {
                    Health::Recovering
                };
            }
            missing.extend(if standing < needed { down } else { Vec::new() });
            missing.extend(beside);
        }
        if missing.is_empty() { Health::Ready } else { Health::Degraded { why: missing.join("; ") } }
    }

    /// A new reason in the same state is kept without being announced again.
    fn become_health(&mut self, health: Health, changes: &mut Vec<Change>) {
        if std::mem::discriminant(&health) != std::mem::discriminant(&self.health) {
            changes.push(Change::Became(health.clone()));
        }
        self.health = health;
    }
}

/// The checks that go on after ready.
fn live_stage(spec: &HealthSpec) -> Option<&Stage> {
    spec.liveness.as_ref().or(spec.stages.last())
}

/// Whether a check is one of those of which `require` must pass: the critical ones, or all where none is.
fn counts(stage: &Stage, check: &Check) -> bool {
    check.critical || stage.checks.iter().all(|check| !check.critical)
}

/// Whether the service fails with the stage.
fn is_critical(stage: &Stage) -> bool {
    stage.critical && stage.checks.iter().any(|check| check.critical)
}

fn is_trouble(standing: &Standing) -> bool {
    match standing {
        Standing::Limping(_) | Standing::Failing(_) => true,
        Standing::Unknown | Standing::Passing => false,
    }
}

/// Whether a check can change its mind after it has passed: a line once logged stays logged.
fn goes_on(check: &Check, watch: &Watch) -> bool {
    match &check.probe {
        ProbeSpec::Log { .. } | ProbeSpec::Container(ContainerCondition::Exited) => !watch.is_passing(),
        ProbeSpec::Container(ContainerCondition::Running | ContainerCondition::Healthy)
        | ProbeSpec::Http(_)
        | ProbeSpec::Tcp { .. }
        | ProbeSpec::Grpc { .. }
        | ProbeSpec::Exec { .. }
        | ProbeSpec::Service { .. } => true,
    }
}

fn probe_id(stage: usize, check: usize, live: bool) -> ProbeId {
    ProbeId { stage: number(stage), check: number(check), live }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).expect("a file has fewer than 2^32 checks")
}

/// The check that a probe is for.
fn check_of(spec: &HealthSpec, id: ProbeId) -> Option<&Check> {
    let stage = if id.live { live_stage(spec) } else { spec.stages.get(id.stage as usize) };
    stage?.checks.get(id.check as usize)
}

fn breaker_change(id: ProbeId, before: Breaker, now: Breaker) -> Option<Change> {
    (!before.is_as(now)).then_some(Change::Breaker { id, breaker: now })
}

/// What is said of a check; its name only where it is not the stage's.
fn said(stage: &Stage, check: &Check, watch: &Watch) -> String {
    if check.name == stage.name { watch.why() } else { format!("{}: {}", check.name, watch.why()) }
}

fn check_report(check: &Check, watch: &Watch) -> CheckReport {
    CheckReport {
        name: check.name.clone(),
        critical: check.critical,
        passing: watch.is_passing(),
        probes: watch.probes,
        failed: watch.failed,
        failures_in_a_row: watch.failures,
        last: watch.last.clone(),
        breaker: check.breaker.map(|_| watch.breaker),
    }
}

/// `60s`, `0.5s`; from two minutes on `2m0s`.
fn seconds(duration: Duration) -> String {
    if duration < Duration::from_mins(2) {
        format!("{}s", (duration.as_secs_f64() * 100.0).round() / 100.0)
    } else {
        go_duration(duration)
    }
}

#[cfg(test)]
mod tests;
