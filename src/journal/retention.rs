//! Which runs are kept.

use std::{collections::BTreeSet, fs, io, path::Path};

use super::{Applied, KeptRun, applied, last_event, runs};
use crate::event::{EventKind, Verdict};

/// Runs kept per project, beside those that something still needs.
pub const KEPT_RUNS: usize = 20;

/// Removes a project's oldest runs beyond the newest `keep`; answers with how many went. What a `rollback` would go back
/// from and to stays, and so do the last run that failed and those that go on.
///
/// # Errors
///
/// The project's folder cannot be read, or a run cannot be removed.
pub fn retain(state: &Path, project: &str, keep: usize) -> io::Result<usize> {
    let runs = runs(state, project)?;
    if runs.len() <= keep {
        return Ok(0);
    }
    let needed = needed(&runs);
    let gone: Vec<&KeptRun> =
        runs.iter().skip(keep).filter(|run| !needed.contains(&run.id) && !run.is_live()).collect();
    for run in &gone {
        fs::remove_dir_all(&run.folder)?;
    }
    Ok(gone.len())
}

fn needed(runs: &[KeptRun]) -> BTreeSet<String> {
    let engines: BTreeSet<String> =
        runs.iter().filter_map(Applied::of).map(|applied| applied.engine).collect();
    let states = engines.iter().flat_map(|engine| applied(runs, engine).into_iter().take(2));
    let failed = runs.iter().find(|run| has_failed(run));
    states.map(|(run, _)| run.id).chain(failed.map(|run| run.id.clone())).collect()
}

fn has_failed(run: &KeptRun) -> bool {
    let last = last_event(&run.events()).ok().flatten();
    last.is_some_and(
        |last| matches!(last.kind, EventKind::RunFinished(end) if end.verdict == Verdict::Failed),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        event::{Aftermath, Event, RunFinished, Sink as _},
        journal::{Journal, RunFolder},
        time::Elapsed,
    };

    fn folder(state: &Path, day: usize) -> RunFolder {
        RunFolder::create(state, "shop", &format!("202601{day:02}T000000.000-1")).unwrap()
    }

    fn left(state: &Path) -> Vec<String> {
        runs(state, "shop").unwrap().into_iter().map(|run| run.id[6..8].to_owned()).collect()
    }

    #[test]
    fn the_oldest_runs_go_and_nothing_else() {
        let state = tempfile::tempdir().unwrap();
        for day in 1..=4 {
            drop(Journal::create(&folder(state.path(), day)).unwrap());
        }
        fs::create_dir(state.path().join("shop/0-notes")).unwrap();
        let watching = Journal::create(&folder(state.path(), 1)).unwrap();
        assert_eq!(retain(state.path(), "shop", 2).unwrap(), 1);
        assert_eq!(left(state.path()), ["04", "03", "01"]);
        drop(watching);
        assert_eq!(retain(state.path(), "shop", 2).unwrap(), 1);
        assert_eq!(retain(state.path(), "shop", 2).unwrap(), 0);
        assert!(state.path().join("shop/0-notes").exists());
    }

    #[test]
    fn what_a_rollback_needs_stays_and_the_last_failure() {
        let state = tempfile::tempdir().unwrap();
        for (day, version) in [(1, 1), (2, 1), (3, 2), (4, 3), (5, 3)] {
            let model = json!({"services": {"web": {"scale": version}}});
            Applied::new("e", model).write(folder(state.path(), day).path()).unwrap();
        }
        for day in [6, 7] {
            let mut journal = Journal::create(&folder(state.path(), day)).unwrap();
            let end = RunFinished {
                verdict: Verdict::Failed,
                aftermath: Aftermath::RolledBack,
                failures: Vec::new(),
                degraded: Vec::new(),
                left: Vec::new(),
            };
            let kind = EventKind::RunFinished(end);
            journal.emit(&Event { seq: 0, at: Elapsed::ZERO, kind }).unwrap();
        }
        folder(state.path(), 8);
        assert_eq!(retain(state.path(), "shop", 1).unwrap(), 4);
        assert_eq!(left(state.path()), ["08", "07", "05", "03"]);
    }
}
