//! What a run that was killed had asked the engine for: the engine may still be doing it.

use std::{fs, path::Path, time::Duration};

use super::read_events;
use crate::event::{EventKind, StepAction};

/// What was asked longer ago than this is done, or will never be.
const OLD: Duration = Duration::from_mins(1);

/// Steps that a project's last run began and said no more about; empty where it ended by itself, or a while ago.
pub fn interrupted(state: &Path, project: &str) -> Vec<StepAction> {
    let Ok(entries) = fs::read_dir(state.join(project)) else { return Vec::new() };
    let journals = entries.filter_map(Result::ok).map(|entry| entry.path().join("events.jsonl"));
    let Some(last) = journals.filter(|path| path.is_file()).max() else { return Vec::new() };
    let age = fs::metadata(&last).and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
    if age.is_some_and(|age| age > OLD) {
        return Vec::new();
    }
    let Ok(read) = read_events(&last) else { return Vec::new() };
    let mut open: Vec<StepAction> = Vec::new();
    for event in read.events {
        match event.kind {
            EventKind::StepStarted { action, .. } => open.push(action),
            EventKind::StepDone { action, .. } | EventKind::StepFailed { action, .. } => {
                open.retain(|begun| *begun != action);
            }
            EventKind::RunFinished(_) => open.clear(),
            _ => {}
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Event, Sink as _, Verb},
        journal::{Journal, RunFolder},
        time::Elapsed,
    };

    #[test]
    fn steps_without_an_end_are_told_of_the_last_run_alone() {
        let state = tempfile::tempdir().unwrap();
        let action = |target: &str| StepAction {
            action: Verb::CreateContainer,
            target: target.to_owned(),
            replica: None,
        };
        let begun =
            |target: &str| EventKind::StepStarted { step: 0, action: action(target), cause: String::new() };
        let done =
            |target: &str| EventKind::StepDone { step: 0, action: action(target), took: Duration::ZERO };
        for (run, kinds) in [("1", vec![begun("a")]), ("2", vec![begun("b"), begun("c"), done("b")])] {
            let folder = RunFolder::create(state.path(), "p", run).unwrap();
            let mut journal = Journal::create(&folder).unwrap();
            for (seq, kind) in (0u64..).zip(kinds) {
                journal.emit(&Event { seq, at: Elapsed::ZERO, kind }).unwrap();
            }
        }
        assert_eq!(interrupted(state.path(), "p"), [action("c")]);
        assert_eq!(interrupted(state.path(), "q"), []);
    }
}
