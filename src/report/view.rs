//! The picture of a run, folded from its events.

use std::{collections::BTreeMap, time::Duration};

use super::Moments;
use crate::{
    event::{
        BreakerState, CancelReason, Event, EventKind, Holder, RunFinished, RunStarted, ServiceInfo,
        ServiceState, StageStatus, StepAction, Verb, WindowEnd,
    },
    project::{Replica, go_duration},
    time::Elapsed,
};

/// A run as its events so far show it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunView {
    /// Unique; empty before the first event.
    pub run: String,
    /// Project name.
    pub project: String,
    /// `up`, `down`, …
    pub command: String,
    /// What another command is waited for, in words.
    pub waiting: Option<String>,
    /// What the run said of its services as it began, by name.
    pub services: BTreeMap<String, ServiceInfo>,
    /// Every container, in the order in which the run names them.
    pub replicas: Vec<ReplicaView>,
    /// The place of each among them, and how many of them are ready, completed or degraded.
    places: BTreeMap<Replica, usize>,
    up: usize,
    /// Every wave, in order.
    pub waves: Vec<WaveView>,
    /// Pulls and builds by image; what tools do, by service or model.
    pub images: BTreeMap<String, ImageView>,
    /// Warnings, in order.
    pub warnings: Vec<String>,
    /// The greatest reason that the run was asked to end for.
    pub cancelled: Option<CancelReason>,
    /// The rollback window, once it was opened.
    pub window: Option<WindowView>,
    /// The policy by which what was done is dealt with, and why; once that began.
    pub unwinding: Option<(String, String)>,
    /// Folders with saved logs.
    pub saved: Vec<String>,
    /// Steps that failed: what was asked and what the engine said.
    pub failed_steps: Vec<(StepAction, String)>,
    /// When everything was first settled: ready, completed or degraded.
    pub ready_at: Option<Elapsed>,
    /// How it ended.
    pub finished: Option<RunFinished>,
    /// When the last event happened.
    pub at: Elapsed,
}

/// One container.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplicaView {
    /// Which.
    pub replica: Replica,
    /// Its wave's name.
    pub wave: Option<String>,
    /// Its failure fails the run.
    pub critical: bool,
    /// What it is.
    pub state: ServiceState,
    /// Why, or what it waits for; empty where it goes without saying.
    pub cause: String,
    /// When it became so.
    pub since: Elapsed,
    /// The stage it is in, or was in last.
    pub stage: Option<StageView>,
    /// What the last probe found.
    pub last_probe: Option<ProbeView>,
    /// Its checks on something else that are left alone.
    pub open: Vec<OpenView>,
    /// Its container's ID.
    pub container: Option<String>,
    /// When its container was first started: what it waited for before is not its own time.
    pub began: Option<Elapsed>,
    /// When it was first ready, completed or degraded.
    pub ready_at: Option<Elapsed>,
    /// When what happened on its way there.
    pub moments: Moments,
}

/// A stage of a container's start-up.
#[derive(Debug, Clone, PartialEq)]
pub struct StageView {
    /// Its name.
    pub name: String,
    /// From 1.
    pub index: u32,
    /// How many there are.
    pub of: u32,
    /// What became of it.
    pub status: StageStatus,
    /// When it began.
    pub since: Elapsed,
    /// What its log says of how far it is.
    pub moved: Option<String>,
}

/// A check that is left alone for a while.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenView {
    /// Its name.
    pub check: String,
    /// Until when.
    pub until: Elapsed,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeView {
    /// The check's name.
    pub check: String,
    /// It passed.
    pub passed: bool,
    /// What was found.
    pub detail: String,
}

/// The time in which what ran before is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowView {
    /// Until when.
    pub until: Elapsed,
    /// Something ran before and is kept.
    pub keeps: bool,
    /// What closed it, once it is closed.
    pub end: Option<WindowEnd>,
}

/// A wave.
#[derive(Debug, Clone, PartialEq)]
pub struct WaveView {
    /// Its name.
    pub name: String,
    /// How far it is.
    pub status: WaveStatus,
    /// When it became so.
    pub since: Elapsed,
    /// When it was opened.
    pub opened: Option<Elapsed>,
    /// When as much of it was ready as it asks for.
    pub ready: Option<Elapsed>,
}

/// How far a wave is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaveStatus {
    /// The waves before it are not ready.
    Closed,
    /// Its services may start.
    Open,
    /// As much of it is ready as it asks for.
    Ready,
    /// It cannot become ready.
    Failed,
}

/// A pull, a build, or a tool at work.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ImageView {
    /// What is done; `None`: nothing was said of it but its progress.
    pub verb: Option<Verb>,
    /// What is going on.
    pub text: String,
    /// Bytes done.
    pub current: Option<u64>,
    /// Bytes in all.
    pub total: Option<u64>,
    /// When it began.
    pub since: Elapsed,
    /// When it was over, and the error where it failed.
    pub ended: Option<(Elapsed, Option<String>)>,
}

impl RunView {
    /// Takes the next event in.
    pub fn apply(&mut self, event: &Event) {
        self.at = event.at;
        match &event.kind {
            EventKind::Waiting { holder, at_most } => {
                self.waiting = Some(waiting_words(holder, *at_most));
            }
            EventKind::RunStarted(started) => self.start(started, event.at),
            EventKind::WaveOpened { wave } => self.wave(wave, WaveStatus::Open),
            EventKind::WaveReady { wave } => self.wave(wave, WaveStatus::Ready),
            EventKind::WaveFailed { wave, .. } => self.wave(wave, WaveStatus::Failed),
            EventKind::StepStarted { action, .. } => {
                if let Some(image) = self.image_of(action) {
                    *image = ImageView { verb: Some(action.action), since: event.at, ..ImageView::default() };
                }
            }
            EventKind::StepDone { action, .. } => {
                // It was asked for again.
                self.failed_steps.retain(|(failed, _)| failed != action);
                if let Some(image) = self.image_of(action) {
                    image.ended = Some((event.at, None));
                }
            }
            EventKind::StepFailed { action, error, .. } => {
                if let Some(image) = self.image_of(action) {
                    image.ended = Some((event.at, Some(error.clone())));
                }
                self.failed_steps.push((action.clone(), error.clone()));
            }
            EventKind::Service { replica, state, cause, container } => {
                self.service(replica, *state, cause, container.as_deref());
            }
            EventKind::Stage { replica, stage, index, of, status, cause: _ } => {
                self.stage(replica, stage, (*index, *of), *status);
            }
            EventKind::StageMoved { replica, stage, text, .. } => {
                let now = self.replica_mut(replica).stage.as_mut().filter(|now| now.name == *stage);
                if let Some(now) = now {
                    now.moved = Some(text.clone());
                }
            }
            EventKind::Breaker { replica, check, breaker, open_for, cause: _ } => {
                let until = event.at + *open_for;
                let open = &mut self.replica_mut(replica).open;
                open.retain(|open| open.check != *check);
                if *breaker == BreakerState::Open {
                    open.push(OpenView { check: check.clone(), until });
                }
            }
            EventKind::Probed { replica, check, passed, detail, .. } => {
                self.replica_mut(replica).last_probe =
                    Some(ProbeView { check: check.clone(), passed: *passed, detail: detail.clone() });
            }
            EventKind::Progress { image, text, current, total } => {
                let at = self.at;
                let view = self
                    .images
                    .entry(image.clone())
                    .or_insert_with(|| ImageView { since: at, ..ImageView::default() });
                (view.text, view.current, view.total) = (text.clone(), *current, *total);
            }
            EventKind::Told { target, text } => {
                self.images.entry(target.clone()).or_default().text.clone_from(text);
            }
            EventKind::Ready { .. } => {
                self.ready_at.get_or_insert(event.at);
            }
            EventKind::WindowOpened { length, kept } => self.window_opened(*length, !kept.is_empty()),
            EventKind::WindowClosed { end } => self.window_closed(*end),
            EventKind::CancelRequested { reason } => self.cancelled = self.cancelled.max(Some(*reason)),
            EventKind::Unwinding { policy, reason } => {
                self.unwinding = Some((policy.clone(), reason.clone()));
            }
            EventKind::Saved { path } => self.saved.push(path.clone()),
            EventKind::Warning { message } => self.warnings.push(message.clone()),
            EventKind::RunFinished(finished) => self.finished = Some(finished.clone()),
            // What follows from a condition tells it too.
            EventKind::ConditionMet { .. } | EventKind::Hook { .. } | EventKind::Unknown => {}
        }
    }

    /// The rollback window, while it is open and nothing ends the run.
    pub fn open_window(&self) -> Option<&WindowView> {
        let is_open = |window: &&WindowView| window.end.is_none() && self.cancelled.is_none();
        self.window.as_ref().filter(is_open)
    }

    /// Whether every container is where it is meant to end up, or cannot get there.
    pub fn is_settled(&self) -> bool {
        self.replicas.iter().all(|r| is_settled(r.state))
    }

    /// How many containers are ready, completed or degraded.
    pub fn ready(&self) -> usize {
        self.replicas.iter().filter(|r| is_up(r.state)).count()
    }

    /// The containers of a service.
    pub fn replicas_of(&self, service: &str) -> impl Iterator<Item = &ReplicaView> {
        let of = |number| Replica { service: service.to_owned(), number };
        let numbers = self.services.get(service).map(|info| info.replicas.as_slice()).unwrap_or_default();
        numbers.iter().filter_map(move |&number| self.replica(&of(number)))
    }

    /// One container.
    pub fn replica(&self, replica: &Replica) -> Option<&ReplicaView> {
        self.places.get(replica).and_then(|&place| self.replicas.get(place))
    }

    fn start(&mut self, started: &RunStarted, at: Elapsed) {
        self.waiting = None;
        self.run.clone_from(&started.run);
        self.project.clone_from(&started.project);
        self.command.clone_from(&started.command);
        self.waves = started
            .waves
            .iter()
            .map(|name| WaveView {
                name: name.clone(),
                status: WaveStatus::Closed,
                since: at,
                opened: None,
                ready: None,
            })
            .collect();
        for info in &started.services {
            self.services.insert(info.service.clone(), info.clone());
            for &number in &info.replicas {
                let mut view = ReplicaView::new(Replica { service: info.service.clone(), number }, at);
                view.wave.clone_from(&info.wave);
                view.critical = info.critical;
                self.add(view);
            }
        }
    }

    fn window_opened(&mut self, length: Duration, keeps: bool) {
        self.window = Some(WindowView { until: self.at + length, keeps, end: None });
    }

    fn window_closed(&mut self, end: WindowEnd) {
        if let Some(window) = &mut self.window {
            window.end = Some(end);
        }
    }

    fn wave(&mut self, name: &str, status: WaveStatus) {
        if let Some(wave) = self.waves.iter_mut().find(|w| w.name == name) {
            match status {
                WaveStatus::Open => wave.opened = Some(self.at),
                WaveStatus::Ready => wave.ready = Some(self.at),
                WaveStatus::Closed | WaveStatus::Failed => {}
            }
            wave.status = status;
            wave.since = self.at;
        }
    }

    fn stage(&mut self, replica: &Replica, name: &str, (index, of): (u32, u32), status: StageStatus) {
        let at = self.at;
        let view = self.replica_mut(replica);
        if view.ready_at.is_none() {
            view.moments.stage(name, status, at);
        }
        let known = view.stage.take().filter(|now| now.name == name && status != StageStatus::Started);
        let (since, moved) = known.map_or((at, None), |now| (now.since, now.moved));
        view.stage = Some(StageView { name: name.to_owned(), index, of, status, since, moved });
        if status == StageStatus::Started {
            view.last_probe = None;
        }
    }

    fn service(&mut self, replica: &Replica, state: ServiceState, cause: &str, container: Option<&str>) {
        let at = self.at;
        let view = self.replica_mut(replica);
        let was_up = is_up(view.state);
        if view.state != state {
            view.since = at;
        }
        view.state = state;
        cause.clone_into(&mut view.cause);
        if let Some(container) = container {
            view.container = Some(container.to_owned());
        }
        if view.ready_at.is_none() {
            view.moments.enter(state, at);
        }
        if view.began.is_none() && state == ServiceState::Starting {
            view.began = Some(at);
        }
        if view.ready_at.is_none() && is_up(state) {
            view.ready_at = Some(at);
        }
        self.up = self.up + usize::from(is_up(state)) - usize::from(was_up);
        if self.ready_at.is_none() && self.up == self.replicas.len() {
            self.ready_at = Some(at);
        }
    }

    fn replica_mut(&mut self, replica: &Replica) -> &mut ReplicaView {
        // A container that the run's first event does not name: an orphan, a replica too many.
        let index = match self.places.get(replica) {
            Some(&index) => index,
            None => self.add(ReplicaView::new(replica.clone(), self.at)),
        };
        &mut self.replicas[index]
    }

    fn add(&mut self, view: ReplicaView) -> usize {
        let index = self.replicas.len();
        self.places.insert(view.replica.clone(), index);
        self.up += usize::from(is_up(view.state));
        self.replicas.push(view);
        index
    }

    fn image_of(&mut self, action: &StepAction) -> Option<&mut ImageView> {
        doing(action.action).map(|_| self.images.entry(action.target.clone()).or_default())
    }
}

impl ReplicaView {
    fn new(replica: Replica, at: Elapsed) -> Self {
        Self {
            replica,
            wave: None,
            critical: true,
            state: ServiceState::Pending,
            cause: String::new(),
            since: at,
            stage: None,
            last_probe: None,
            open: Vec::new(),
            container: None,
            began: None,
            ready_at: None,
            moments: Moments::default(),
        }
    }
}

/// That another command is waited for.
fn waiting_words(holder: &Holder, at_most: Duration) -> String {
    format!("{holder} is changing the project; waiting up to {}", go_duration(at_most))
}

/// What goes on while something takes long; `None`: it is not shown.
pub(super) fn doing(verb: Verb) -> Option<&'static str> {
    match verb {
        Verb::PullImage => Some("pulling"),
        Verb::BuildImage => Some("building"),
        Verb::ProviderUp => Some("creating"),
        Verb::ProviderDown => Some("removing"),
        Verb::ProviderStop => Some("stopping"),
        Verb::SetUpModel => Some("setting up"),
        Verb::CreateNetwork
        | Verb::RemoveNetwork
        | Verb::CreateVolume
        | Verb::RemoveVolume
        | Verb::RemoveImage
        | Verb::CreateContainer
        | Verb::TakeNames
        | Verb::StartContainer
        | Verb::StopContainer
        | Verb::KillContainer
        | Verb::RestartContainer
        | Verb::RenameContainer
        | Verb::ReconnectContainer
        | Verb::RemoveContainer => None,
    }
}

/// Serves, or has done its work.
pub fn is_up(state: ServiceState) -> bool {
    matches!(state, ServiceState::Ready | ServiceState::Degraded | ServiceState::Completed)
}

/// Nothing further is under way.
pub fn is_settled(state: ServiceState) -> bool {
    match state {
        ServiceState::Ready
        | ServiceState::Degraded
        | ServiceState::Completed
        | ServiceState::Failed
        | ServiceState::Stopped
        | ServiceState::Removed
        | ServiceState::Skipped => true,
        ServiceState::Pending
        | ServiceState::Blocked
        | ServiceState::Pulling
        | ServiceState::Building
        | ServiceState::Creating
        | ServiceState::Created
        | ServiceState::Starting
        | ServiceState::Probing
        | ServiceState::Unhealthy
        | ServiceState::Recovering
        | ServiceState::Restarting
        | ServiceState::Stopping => false,
    }
}

/// Something is being done for it, rather than waited for.
pub(super) fn is_at_work(state: ServiceState) -> bool {
    !is_settled(state)
        && !matches!(state, ServiceState::Pending | ServiceState::Blocked | ServiceState::Created)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A run of `db`, and `web` with two stages, without waves.
    pub(in crate::report) fn started() -> EventKind {
        let info = |service: &str, stages: &[&str]| ServiceInfo {
            service: service.into(),
            replicas: vec![1],
            wave: None,
            critical: true,
            stages: stages.iter().map(|&s| s.into()).collect(),
            depends_on: Vec::new(),
            image: String::new(),
        };
        EventKind::RunStarted(RunStarted {
            format: 1,
            run: "20261122T015000-1".into(),
            time: "2026-11-22T01:50:00Z".into(),
            project: "shop".into(),
            command: "up".into(),
            engine: String::new(),
            waves: vec![],
            services: vec![info("db", &["ready"]), info("web", &["listening", "ready"])],
        })
    }

    pub(in crate::report) fn service(name: &str, state: ServiceState, cause: &str) -> EventKind {
        EventKind::Service {
            replica: Replica { service: name.into(), number: 1 },
            state,
            cause: cause.into(),
            container: None,
        }
    }

    pub(in crate::report) fn stage(
        name: &str,
        stage: &str,
        index: u32,
        of: u32,
        status: StageStatus,
    ) -> EventKind {
        EventKind::Stage {
            replica: Replica { service: name.into(), number: 1 },
            stage: stage.into(),
            index,
            of,
            status,
            cause: String::new(),
        }
    }

    pub(in crate::report) fn probed(name: &str, detail: &str) -> EventKind {
        EventKind::Probed {
            replica: Replica { service: name.into(), number: 1 },
            check: "http :80/".into(),
            stage: "ready".into(),
            passed: false,
            detail: detail.into(),
            took: Duration::from_millis(3),
            dependency: None,
        }
    }

    /// Numbered events from moments in milliseconds.
    pub(in crate::report) fn events(kinds: Vec<(u64, EventKind)>) -> Vec<Event> {
        kinds
            .into_iter()
            .zip(0..)
            .map(|((millis, kind), seq)| Event { seq, at: Elapsed::new(Duration::from_millis(millis)), kind })
            .collect()
    }

    pub(in crate::report) fn view_of(kinds: Vec<(u64, EventKind)>) -> RunView {
        let mut view = RunView::default();
        for event in events(kinds) {
            view.apply(&event);
        }
        view
    }

    #[test]
    fn a_view_knows_states_stages_and_when_all_is_ready() {
        let mut kinds = vec![
            (0, started()),
            (10, service("db", ServiceState::Starting, "")),
            (20, service("web", ServiceState::Blocked, "waits for db")),
            (500, service("db", ServiceState::Ready, "")),
            (510, service("web", ServiceState::Probing, "")),
            (510, stage("web", "ready", 2, 2, StageStatus::Started)),
            (600, probed("web", "connection refused")),
        ];
        let view = view_of(kinds.clone());
        assert_eq!((view.ready(), view.is_settled(), view.ready_at), (1, false, None));
        let web = &view.replicas[1];
        assert_eq!(web.stage.as_ref().unwrap().name, "ready");
        assert_eq!(web.last_probe.as_ref().unwrap().detail, "connection refused");
        assert_eq!(view.replicas[0].ready_at, Some(Elapsed::new(Duration::from_millis(500))));

        kinds.push((900, service("web", ServiceState::Ready, "")));
        let view = view_of(kinds);
        assert_eq!((view.ready(), view.is_settled()), (2, true));
        assert_eq!(view.ready_at, Some(Elapsed::new(Duration::from_millis(900))));
    }

    #[test]
    fn a_pull_is_followed_from_its_step_to_its_end() {
        let action = StepAction { action: Verb::PullImage, target: "nginx".into(), replica: None };
        let view = view_of(vec![
            (0, started()),
            (10, EventKind::StepStarted { step: 0, action: action.clone(), cause: String::new() }),
            (
                20,
                EventKind::Progress {
                    image: "nginx".into(),
                    text: "downloading".into(),
                    current: Some(5),
                    total: Some(9),
                },
            ),
        ]);
        assert_eq!(view.images["nginx"].current, Some(5));
        assert_eq!(view.images["nginx"].ended, None);
        let view = view_of(vec![
            (10, EventKind::StepStarted { step: 0, action: action.clone(), cause: String::new() }),
            (20, EventKind::StepFailed { step: 0, action, error: "no such host".into() }),
        ]);
        assert_eq!(view.images["nginx"].ended.as_ref().unwrap().1.as_deref(), Some("no such host"));
        assert_eq!(view.failed_steps.len(), 1);
    }

    #[test]
    fn containers_that_were_not_announced_are_shown_too() {
        let view =
            view_of(vec![(0, started()), (1, service("orphan", ServiceState::Removed, "not in the file"))]);
        assert_eq!(view.replicas.len(), 3);
    }
}
