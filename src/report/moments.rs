//! When what happened to a container on its way to ready, and what each stretch of that way went to.

use std::time::Duration;

use super::{ReplicaView, RunView};
use crate::{
    event::{ServiceState, StageStatus, Verb},
    time::Elapsed,
};

/// What lies between two stages is none of its own where it is shorter than this.
const HAIR: Duration = Duration::from_millis(20);

/// Moments on a container's way to ready; nothing after that is noted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Moments {
    /// The container whose place it takes was asked to stop, and had stopped.
    pub stopping: Option<Elapsed>,
    /// See [`Moments::stopping`].
    pub stopped: Option<Elapsed>,
    /// Its creation began.
    pub creating: Option<Elapsed>,
    /// It was created.
    pub created: Option<Elapsed>,
    /// Its start was asked for the last time; the first is [`ReplicaView::began`].
    pub tried: Option<Elapsed>,
    /// Its process ran for the first time.
    pub ran: Option<Elapsed>,
    /// Its process ran after the last try.
    pub up: Option<Elapsed>,
    /// It failed.
    pub failed: Option<Elapsed>,
    /// Stages that it entered since its last try, in order.
    pub stages: Vec<StageSpan>,
}

/// A stage from its beginning to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct StageSpan {
    /// Its name.
    pub name: String,
    /// When it began.
    pub from: Elapsed,
    /// When it was over.
    pub until: Option<Elapsed>,
    /// What became of it.
    pub status: StageStatus,
}

/// What a stretch of time went to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// To what comes before a container: networks, volumes, the run's own work.
    Prepare,
    /// To getting its image.
    Pull,
    /// To building its image.
    Build,
    /// To its creation.
    Create,
    /// To the end of the container whose place it takes.
    Stop,
    /// It could have started and did not: so many others started at the time, or something outside did not answer.
    Held,
    /// To tries of its start that failed, and pauses after them.
    Retry,
    /// To the engine's start of its process.
    Start,
    /// To a stage of its checks.
    Stage(String),
    /// To becoming ready without named stages, or between them.
    Probe,
}

impl Part {
    /// In a word or two; for a stage its name.
    pub fn words(&self) -> &str {
        match self {
            Self::Prepare => "preparation",
            Self::Pull => "pull",
            Self::Build => "build",
            Self::Create => "create",
            Self::Stop => "stop of the old container",
            Self::Held => "held back",
            Self::Retry => "failed tries",
            Self::Start => "start",
            Self::Stage(name) => name,
            Self::Probe => "until ready",
        }
    }
}

/// A stretch of a container's time.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// What it went to.
    pub part: Part,
    /// From when.
    pub from: Elapsed,
    /// Until when; never before `from`.
    pub until: Elapsed,
}

impl Span {
    /// How long it is.
    pub fn took(&self) -> Duration {
        self.until.since(self.from)
    }
}

impl Moments {
    pub(super) fn enter(&mut self, state: ServiceState, at: Elapsed) {
        match state {
            ServiceState::Stopping if self.tried.is_none() => self.stopping = Some(at),
            ServiceState::Stopped if self.tried.is_none() => self.stopped = Some(at),
            ServiceState::Creating => (self.creating, self.created) = (Some(at), None),
            ServiceState::Created => self.created = Some(at),
            ServiceState::Starting => {
                (self.tried, self.up) = (Some(at), None);
                self.stages.clear();
            }
            ServiceState::Probing
            | ServiceState::Ready
            | ServiceState::Degraded
            | ServiceState::Completed => {
                self.up.get_or_insert(at);
                self.ran.get_or_insert(at);
            }
            ServiceState::Failed => self.failed = Some(at),
            ServiceState::Pending
            | ServiceState::Blocked
            | ServiceState::Pulling
            | ServiceState::Building
            | ServiceState::Unhealthy
            | ServiceState::Recovering
            | ServiceState::Restarting
            | ServiceState::Stopping
            | ServiceState::Stopped
            | ServiceState::Removed
            | ServiceState::Skipped => {}
        }
    }

    pub(super) fn stage(&mut self, name: &str, status: StageStatus, at: Elapsed) {
        if status == StageStatus::Started {
            self.stages.push(StageSpan { name: name.to_owned(), from: at, until: None, status });
        } else if let Some(stage) = self.stages.iter_mut().rev().find(|stage| stage.name == name) {
            (stage.until, stage.status) = (Some(at), status);
        }
    }

    /// When a stage was over, in whatever way but failure.
    pub fn stage_passed(&self, name: &str) -> Option<Elapsed> {
        let passed = |stage: &&StageSpan| stage.name == name && stage.status != StageStatus::Failed;
        self.stages.iter().find(passed)?.until
    }
}

/// Where the time of a container went until it was ready, failed, or `now`: in order, without overlaps, perhaps with gaps in
/// which it waited. Empty where nothing was done for it.
pub fn spans(view: &RunView, replica: &ReplicaView, now: Elapsed) -> Vec<Span> {
    let moments = &replica.moments;
    if moments.up.is_some() && !was_brought_up(replica) {
        return Vec::new();
    }
    let end = replica.ready_at.or(moments.failed).unwrap_or(now);
    let mut all: Vec<Span> = Vec::new();
    let mut add = |part: Part, from: Option<Elapsed>, until: Option<Elapsed>| {
        if let Some(from) = from {
            let until = until.unwrap_or(end).min(end);
            all.push(Span { part, from, until: until.max(from) });
        }
    };
    if let Some((part, from, until)) = image_of(view, replica) {
        add(part, Some(from), until.or(moments.creating));
    }
    add(Part::Create, moments.creating, moments.created.or(replica.began));
    add(Part::Stop, moments.stopping.filter(|_| replica.began.is_some()), moments.stopped.or(replica.began));
    if moments.tried > replica.began {
        add(Part::Retry, replica.began, moments.tried);
    }
    add(Part::Start, moments.tried, moments.up);
    let mut at = moments.up;
    for stage in &moments.stages {
        if let Some(before) = at.filter(|before| stage.from.since(*before) >= HAIR) {
            add(Part::Probe, Some(before), Some(stage.from));
        }
        add(
            Part::Stage(stage.name.clone()),
            at.filter(|at| stage.from.since(*at) < HAIR).or(Some(stage.from)),
            stage.until,
        );
        at = Some(stage.until.unwrap_or(end));
    }
    if let Some(at) = at.filter(|at| moments.stages.is_empty() || end.since(*at) >= HAIR) {
        add(Part::Probe, Some(at), None);
    }
    in_order(all)
}

/// Whether the run did something for its readiness: what was ready when it was found was not brought up.
pub(super) fn was_brought_up(replica: &ReplicaView) -> bool {
    let ran = replica.moments.ran;
    replica.began.is_some() || (ran.is_some() && replica.ready_at != ran)
}

/// Sorts, and cuts what overlaps with the one before it.
fn in_order(mut all: Vec<Span>) -> Vec<Span> {
    all.sort_by_key(|span| (span.from, span.until));
    let mut at = Elapsed::ZERO;
    for span in &mut all {
        span.from = span.from.max(at);
        span.until = span.until.max(span.from);
        at = span.until;
    }
    // A stage that passed at once is still a stage.
    all.retain(|span| span.from < span.until || matches!(span.part, Part::Stage(_)));
    all
}

/// The pull or build of its image, where there was one and it needed it.
fn image_of(view: &RunView, replica: &ReplicaView) -> Option<(Part, Elapsed, Option<Elapsed>)> {
    let info = view.services.get(&replica.replica.service)?;
    let image = view.images.get(&info.image)?;
    let part = match image.verb? {
        Verb::PullImage => Part::Pull,
        Verb::BuildImage => Part::Build,
        _ => return None,
    };
    let until = image.ended.as_ref().map(|(at, _)| *at);
    let needed = match (replica.moments.creating, until) {
        (Some(creating), Some(until)) => until <= creating,
        (creating, _) => creating.is_none() && replica.began.is_none() && replica.ready_at.is_none(),
    };
    needed.then_some((part, image.since, until))
}
