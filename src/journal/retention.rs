//! How many runs are kept.

use std::{fs, io, path::Path};

/// Runs kept per project.
pub const KEPT_RUNS: usize = 20;

/// Removes a project's oldest runs, so that at most `keep` remain; answers with how many went. IDs sort by time.
///
/// # Errors
///
/// The project's folder cannot be read, or a run cannot be removed.
pub fn retain(state: &Path, project: &str, keep: usize) -> io::Result<usize> {
    let mut runs = Vec::new();
    for entry in fs::read_dir(state.join(project))? {
        let entry = entry?;
        // Only what a run has made: a folder with its events.
        if entry.file_type()?.is_dir() && entry.path().join("events.jsonl").is_file() {
            runs.push(entry.path());
        }
    }
    runs.sort();
    let gone = runs.len().saturating_sub(keep);
    for run in &runs[..gone] {
        fs::remove_dir_all(run)?;
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Journal, RunFolder};

    #[test]
    fn the_oldest_runs_go_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for run in ["20260103T000000.000-1", "20260101T000000.000-9", "20260102T000000.000-5"] {
            Journal::create(&RunFolder::create(dir.path(), "shop", run).unwrap()).unwrap();
        }
        fs::create_dir(dir.path().join("shop/0-notes")).unwrap();
        assert_eq!(retain(dir.path(), "shop", 2).unwrap(), 1);
        let mut left: Vec<_> =
            fs::read_dir(dir.path().join("shop")).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["0-notes", "20260102T000000.000-5", "20260103T000000.000-1"]);
        assert_eq!(retain(dir.path(), "shop", 2).unwrap(), 0);
    }
}
