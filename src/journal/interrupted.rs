//! What a run that was killed had asked the engine for: the engine may still be doing it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{is_written, read_events};
use crate::event::{Event, EventKind, StepAction};

/// What was asked longer ago than this is done, or will never be.
const OLD: Duration = Duration::from_mins(1);

/// Steps that the last run of a project to end began and said no more about: it was killed, or would not wait for
/// them. Empty where that was a while ago. Runs that go on, and those that never began, do not count.
pub fn interrupted(state: &Path, project: &str) -> Vec<StepAction> {
    let Ok(entries) = fs::read_dir(state.join(project)) else { return Vec::new() };
    let journals = entries.filter_map(Result::ok).map(|entry| entry.path().join("events.jsonl"));
    let mut recent: Vec<(SystemTime, PathBuf)> = journals
        .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
        .filter(|(at, _)| at.elapsed().is_ok_and(|age| age <= OLD))
        .collect();
    recent.sort();
    let events = |path: &Path| read_events(path).map(|read| read.events).unwrap_or_default();
    let last = recent.iter().rev().filter(|(_, path)| !is_written(path));
    last.map(|(_, path)| events(path)).find(|events| has_begun(events)).map(open_steps).unwrap_or_default()
}

fn has_begun(events: &[Event]) -> bool {
    let is_step = |kind: &EventKind| matches!(kind, EventKind::RunStarted(_) | EventKind::StepStarted { .. });
    events.iter().any(|event| is_step(&event.kind))
}

fn open_steps(events: Vec<Event>) -> Vec<StepAction> {
    let mut open: Vec<StepAction> = Vec::new();
    for event in events {
        match event.kind {
            EventKind::StepStarted { action, .. } => open.push(action),
            EventKind::StepDone { action, .. } | EventKind::StepFailed { action, .. } => {
                open.retain(|begun| *begun != action);
            }
            _ => {}
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Aftermath, Holder, RunFinished, Sink as _, Verb, Verdict},
        journal::{Journal, RunFolder},
        time::Elapsed,
    };

    fn action(target: &str) -> StepAction {
        StepAction { action: Verb::CreateContainer, target: target.to_owned(), replica: None }
    }

    fn begun(target: &str) -> EventKind {
        EventKind::StepStarted { step: 0, action: action(target), cause: String::new() }
    }

    fn done(target: &str) -> EventKind {
        EventKind::StepDone { step: 0, action: action(target), took: Duration::ZERO }
    }

    fn write(state: &Path, run: &str, kinds: Vec<EventKind>) -> Journal {
        let mut journal = Journal::create(&RunFolder::create(state, "p", run).unwrap()).unwrap();
        for (seq, kind) in (0u64..).zip(kinds) {
            journal.emit(&Event { seq, at: Elapsed::ZERO, kind }).unwrap();
        }
        journal
    }

    #[test]
    fn steps_without_an_end_are_told_of_the_last_run_alone() {
        let state = tempfile::tempdir().unwrap();
        for (run, kinds) in [("1", vec![begun("a")]), ("2", vec![begun("b"), begun("c"), done("b")])] {
            drop(write(state.path(), run, kinds));
        }
        assert_eq!(interrupted(state.path(), "p"), [action("c")]);
        assert_eq!(interrupted(state.path(), "q"), []);
    }

    #[test]
    fn what_a_run_did_not_wait_for_is_told_though_it_ended() {
        let state = tempfile::tempdir().unwrap();
        let finished = RunFinished {
            verdict: Verdict::Cancelled,
            aftermath: Aftermath::Stopped,
            failures: Vec::new(),
            degraded: Vec::new(),
            left: Vec::new(),
        };
        let kinds = vec![begun("a"), begun("b"), done("a"), EventKind::RunFinished(finished)];
        drop(write(state.path(), "1", kinds));
        assert_eq!(interrupted(state.path(), "p"), [action("b")]);
    }

    #[test]
    fn a_run_that_goes_on_and_one_that_only_waited_hide_none() {
        let state = tempfile::tempdir().unwrap();
        let watching = write(state.path(), "1", vec![begun("a"), done("a")]);
        drop(write(state.path(), "2", vec![begun("b")]));
        let waiting = EventKind::Waiting { holder: Holder::default(), at_most: OLD };
        drop(write(state.path(), "3", vec![waiting]));
        drop(write(state.path(), "4", vec![]));
        fs::create_dir(state.path().join("p/5")).unwrap();
        fs::create_dir(state.path().join("p/6")).unwrap();
        fs::write(state.path().join("p/6/events.jsonl"), "{\"seq\":0,\"at\"").unwrap();
        assert_eq!(interrupted(state.path(), "p"), [action("b")]);
        drop(watching);
    }
}
