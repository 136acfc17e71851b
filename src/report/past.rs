//! A run that is over, or that goes on elsewhere, as its record tells it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};

use super::RunView;
use crate::{
    event::{Aftermath, Event, EventKind, StageStatus, StepAction, Verb, Verdict},
    project::Replica,
    time::Elapsed,
};

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything critical is as it should be.
    Succeeded,
    /// The same, with something else missing.
    Degraded,
    /// Something critical failed, and this was done about it.
    Failed(Aftermath),
    /// Somebody asked it to end.
    Cancelled(Aftermath),
    /// It goes on.
    Running,
    /// It was killed: its record has no end.
    Interrupted,
}

impl Outcome {
    /// In words: `failed, rolled back`.
    pub fn words(self) -> String {
        let (word, aftermath) = match self {
            Self::Succeeded => ("succeeded", None),
            Self::Degraded => ("degraded", None),
            Self::Failed(aftermath) => ("failed", Some(aftermath)),
            Self::Cancelled(aftermath) => ("cancelled", Some(aftermath)),
            Self::Running => ("running", None),
            Self::Interrupted => ("interrupted", None),
        };
        match aftermath {
            None | Some(Aftermath::Kept) => word.to_owned(),
            Some(Aftermath::RolledBack) => format!("{word}, rolled back"),
            Some(Aftermath::TornDown) => format!("{word}, torn down"),
            Some(Aftermath::Stopped) => format!("{word}, stopped"),
            Some(Aftermath::Stuck) => format!("{word}, not all undone"),
        }
    }
}

/// Something that a run asked the engine, or a tool, for.
#[derive(Debug, Clone, PartialEq)]
pub struct PastStep {
    /// What and on what.
    pub action: StepAction,
    /// Done to undo or end what was done before.
    pub undoing: bool,
    /// What came of it; `None`: nobody knows, the run was killed.
    pub result: Option<Result<Duration, String>>,
}

/// Where the time of one container went.
#[derive(Debug, Clone, PartialEq)]
pub struct Timing {
    /// Which.
    pub replica: Replica,
    /// How long its creation took.
    pub created: Option<Duration>,
    /// When it was first started, since the run began.
    pub started: Option<Elapsed>,
    /// When it was first ready, completed or degraded.
    pub ready: Option<Elapsed>,
    /// Its stages that are over, in order, and how long each took.
    pub stages: Vec<(String, Duration, StageStatus)>,
}

/// What became of the services of a run, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// They have containers where they had none.
    pub created: BTreeSet<String>,
    /// They have other containers.
    pub recreated: BTreeSet<String>,
    /// Their containers are gone.
    pub removed: BTreeSet<String>,
    /// Containers that were there were started.
    pub started: BTreeSet<String>,
    /// Containers were stopped and kept.
    pub stopped: BTreeSet<String>,
}

/// A run as its record tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct PastRun {
    /// Everything as its last event left it.
    pub view: RunView,
    /// When it began: RFC 3339 in UTC; empty where its record does not say.
    pub time: String,
    /// The address of its engine; empty where its record does not say.
    pub engine: String,
    /// What came of it.
    pub outcome: Outcome,
    /// What was asked, in order.
    pub steps: Vec<PastStep>,
    /// Where the time went, by container.
    pub timings: Vec<Timing>,
    /// Of each check of a container the last probe before it was ready.
    pub probes: Vec<PastProbe>,
}

/// A probe that was made.
#[derive(Debug, Clone, PartialEq)]
pub struct PastProbe {
    /// Of which container.
    pub replica: Replica,
    /// The check's name.
    pub check: String,
    /// When it was over.
    pub at: Elapsed,
    /// It passed.
    pub passed: bool,
    /// How long it took.
    pub took: Duration,
}

impl PastRun {
    /// What events tell. `live`: more may come.
    pub fn of(events: &[Event], live: bool) -> Self {
        let mut past = Self {
            view: RunView::default(),
            time: String::new(),
            engine: String::new(),
            outcome: Outcome::Interrupted,
            steps: Vec::new(),
            timings: Vec::new(),
            probes: Vec::new(),
        };
        let mut stages: BTreeMap<&Replica, Vec<(String, Duration, StageStatus)>> = BTreeMap::new();
        let mut began: BTreeMap<(&Replica, &str), Elapsed> = BTreeMap::new();
        let mut probes: BTreeMap<(&Replica, &str), PastProbe> = BTreeMap::new();
        let mut undoing = false;
        for event in events {
            past.view.apply(event);
            match &event.kind {
                EventKind::RunStarted(started) => {
                    past.time.clone_from(&started.time);
                    past.engine.clone_from(&started.engine);
                }
                EventKind::StepStarted { action, .. } => {
                    past.steps.push(PastStep { action: action.clone(), undoing, result: None });
                }
                EventKind::StepDone { action, took, .. } => past.end_step(action, Ok(*took)),
                EventKind::StepFailed { action, error, .. } => past.end_step(action, Err(error.clone())),
                EventKind::Stage { replica, stage, status: StageStatus::Started, .. } => {
                    began.insert((replica, stage), event.at);
                }
                EventKind::Stage { replica, stage, status, .. } => {
                    let since = began.get(&(replica, stage.as_str())).copied().unwrap_or(event.at);
                    let took = event.at.since(since);
                    stages.entry(replica).or_default().push((stage.clone(), took, *status));
                }
                EventKind::Probed { replica, check, passed, took, .. } if past.is_on_its_way(replica) => {
                    let (at, passed, took) = (event.at, *passed, *took);
                    let probe =
                        PastProbe { replica: replica.clone(), check: check.clone(), at, passed, took };
                    probes.insert((replica, check.as_str()), probe);
                }
                EventKind::CancelRequested { .. } | EventKind::Unwinding { .. } => undoing = true,
                _ => {}
            }
        }
        past.outcome = past.how_it_ended(live);
        past.probes = probes.into_values().collect();
        past.timings = past.timings_with(&stages);
        past
    }

    fn is_on_its_way(&self, replica: &Replica) -> bool {
        self.view.replica(replica).is_some_and(|view| view.ready_at.is_none())
    }

    fn end_step(&mut self, action: &StepAction, result: Result<Duration, String>) {
        let open = self.steps.iter_mut().rev().find(|step| step.action == *action && step.result.is_none());
        if let Some(step) = open {
            step.result = Some(result);
        }
    }

    fn how_it_ended(&self, live: bool) -> Outcome {
        match &self.view.finished {
            None if live => Outcome::Running,
            None => Outcome::Interrupted,
            Some(finished) => match finished.verdict {
                Verdict::Succeeded if finished.degraded.is_empty() => Outcome::Succeeded,
                Verdict::Succeeded => Outcome::Degraded,
                Verdict::Failed => Outcome::Failed(finished.aftermath),
                Verdict::Cancelled => Outcome::Cancelled(finished.aftermath),
            },
        }
    }

    fn timings_with(&self, stages: &BTreeMap<&Replica, Vec<(String, Duration, StageStatus)>>) -> Vec<Timing> {
        let created = |replica: &Replica| {
            let mut steps = self.steps.iter().filter(|s| s.action.action == Verb::CreateContainer);
            let step = steps.find(|s| s.action.replica.as_ref() == Some(replica))?;
            step.result.clone()?.ok()
        };
        let of = |view: &super::ReplicaView| Timing {
            replica: view.replica.clone(),
            created: created(&view.replica),
            started: view.began,
            ready: view.ready_at,
            stages: stages.get(&view.replica).cloned().unwrap_or_default(),
        };
        self.view.replicas.iter().map(of).collect()
    }

    /// How long it took: until everything was ready, else until its end, or the last that is known of it.
    pub fn took(&self) -> Duration {
        let up = matches!(self.outcome, Outcome::Succeeded | Outcome::Degraded | Outcome::Running);
        self.view.ready_at.filter(|_| up).unwrap_or(self.view.at).since_start()
    }

    /// What became of its services. Nothing where it was rolled back.
    pub fn changes(&self) -> Changes {
        let mut changes = Changes::default();
        let aftermath = match self.outcome {
            Outcome::Failed(aftermath) | Outcome::Cancelled(aftermath) => Some(aftermath),
            Outcome::Succeeded | Outcome::Degraded | Outcome::Running | Outcome::Interrupted => None,
        };
        if aftermath == Some(Aftermath::RolledBack) {
            return changes;
        }
        let torn_down = aftermath == Some(Aftermath::TornDown);
        let service = |action: &StepAction| {
            action.replica.as_ref().map_or_else(|| action.target.clone(), |replica| replica.service.clone())
        };
        let of = |verbs: &[Verb]| -> BTreeSet<String> {
            let done =
                self.steps.iter().filter(|s| matches!(s.result, Some(Ok(_))) && s.undoing == torn_down);
            done.filter(|s| verbs.contains(&s.action.action)).map(|s| service(&s.action)).collect()
        };
        let (created, removed) = (of(&[Verb::CreateContainer]), of(&[Verb::RemoveContainer]));
        changes.recreated = created.intersection(&removed).cloned().collect();
        changes.created = &created - &changes.recreated;
        changes.removed = &removed - &changes.recreated;
        let rest = |verbs: &[Verb]| &(&of(verbs) - &created) - &removed;
        let restarted = rest(&[Verb::RestartContainer]);
        changes.started = &rest(&[Verb::StartContainer]) | &restarted;
        changes.stopped = &rest(&[Verb::StopContainer, Verb::KillContainer]) - &changes.started;
        changes
    }

    /// Where the time went, for programs.
    pub fn timings_json(&self) -> Value {
        let seconds = |at: Elapsed| round(at.since_start());
        let stage = |(name, took, status): &(String, Duration, StageStatus)| json!({"stage": name, "seconds": round(*took), "status": status});
        let one = |timing: &Timing| {
            json!({
                "service": timing.replica.service,
                "number": timing.replica.number,
                "create_seconds": timing.created.map(round),
                "started_at": timing.started.map(seconds),
                "ready_at": timing.ready.map(seconds),
                "stages": timing.stages.iter().map(stage).collect::<Vec<_>>(),
            })
        };
        json!({
            "seconds": round(self.view.at.since_start()),
            "ready_at": self.view.ready_at.map(seconds),
            "containers": self.timings.iter().map(one).collect::<Vec<_>>(),
        })
    }
}

/// Seconds, to the millisecond.
pub(super) fn round(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e3).round() / 1e3
}

impl Changes {
    /// `created db, web; recreated api`; empty where nothing changed. Names beyond the first few are counted.
    pub fn words(&self) -> String {
        let kinds = self.kinds().into_iter().filter(|(_, services)| !services.is_empty());
        let words: Vec<String> = kinds.map(|(verb, services)| format!("{verb} {}", few(services))).collect();
        words.join("; ")
    }

    /// Each kind of change and its services.
    pub fn kinds(&self) -> [(&'static str, &BTreeSet<String>); 5] {
        [
            ("created", &self.created),
            ("recreated", &self.recreated),
            ("removed", &self.removed),
            ("started", &self.started),
            ("stopped", &self.stopped),
        ]
    }
}

fn few(services: &BTreeSet<String>) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<&str> = services.iter().take(SHOWN).map(String::as_str).collect();
    match services.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        event::RunFinished,
        report::view::tests::{events, stage, started},
    };

    pub(in crate::report) fn step(verb: Verb, service: &str) -> [EventKind; 2] {
        let replica = Some(Replica { service: service.to_owned(), number: 1 });
        let action = StepAction { action: verb, target: format!("shop-{service}-1"), replica };
        let done = EventKind::StepDone { step: 0, action: action.clone(), took: Duration::from_millis(20) };
        [EventKind::StepStarted { step: 0, action, cause: String::new() }, done]
    }

    pub(in crate::report) fn finished(verdict: Verdict, aftermath: Aftermath) -> EventKind {
        let (failures, degraded, left) = (Vec::new(), Vec::new(), Vec::new());
        EventKind::RunFinished(RunFinished { verdict, aftermath, failures, degraded, left })
    }

    fn run(kinds: impl IntoIterator<Item = EventKind>) -> PastRun {
        PastRun::of(&events((0u64..).step_by(100).zip(kinds).collect()), false)
    }

    #[test]
    fn what_changed_is_told_by_service() {
        let steps = [
            step(Verb::CreateContainer, "db"),
            step(Verb::CreateContainer, "web"),
            step(Verb::StopContainer, "web"),
            step(Verb::RemoveContainer, "web"),
            step(Verb::StartContainer, "web"),
            step(Verb::RemoveContainer, "old"),
            step(Verb::StartContainer, "cache"),
            step(Verb::StopContainer, "mail"),
        ];
        let end = |verdict, aftermath| {
            let all = [started()].into_iter().chain(steps.iter().flatten().cloned());
            run(all.chain([finished(verdict, aftermath)]))
        };
        let words = |verdict, aftermath| end(verdict, aftermath).changes().words();
        assert_eq!(
            words(Verdict::Succeeded, Aftermath::Kept),
            "created db; recreated web; removed old; started cache; stopped mail"
        );
        assert_eq!(words(Verdict::Failed, Aftermath::RolledBack), "");
        let killed =
            run([started()].into_iter().chain(step(Verb::CreateContainer, "db").into_iter().take(1)));
        assert_eq!((killed.changes().words(), killed.outcome), (String::new(), Outcome::Interrupted));
        assert_eq!(killed.steps[0].result, None);
        let many: BTreeSet<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
        assert_eq!(Changes { created: many, ..Changes::default() }.words(), "created a, b, c and 2 more");
    }

    #[test]
    fn every_outcome_has_its_words() {
        for (verdict, aftermath, words) in [
            (Verdict::Succeeded, Aftermath::Kept, "succeeded"),
            (Verdict::Failed, Aftermath::Kept, "failed"),
            (Verdict::Failed, Aftermath::RolledBack, "failed, rolled back"),
            (Verdict::Failed, Aftermath::TornDown, "failed, torn down"),
            (Verdict::Cancelled, Aftermath::Stopped, "cancelled, stopped"),
            (Verdict::Cancelled, Aftermath::Stuck, "cancelled, not all undone"),
        ] {
            assert_eq!(run([started(), finished(verdict, aftermath)]).outcome.words(), words);
        }
        assert_eq!(PastRun::of(&[], false).outcome, Outcome::Interrupted);
        assert_eq!(PastRun::of(&[], true).outcome, Outcome::Running);
    }

    #[test]
    fn times_of_stages_are_those_between_their_events() {
        let mut kinds = vec![started()];
        kinds.extend(step(Verb::CreateContainer, "web"));
        kinds.push(stage("web", "listening", 1, 2, StageStatus::Started));
        kinds.push(stage("web", "listening", 1, 2, StageStatus::Passed));
        let past = run(kinds);
        let timing = past.timings.iter().find(|t| t.replica.service == "web").unwrap();
        assert_eq!(timing.created, Some(Duration::from_millis(20)));
        assert_eq!(
            timing.stages,
            [("listening".to_owned(), Duration::from_millis(100), StageStatus::Passed)]
        );
        assert_eq!(past.timings_json()["containers"][1]["stages"][0]["seconds"], 0.1);
    }
}
