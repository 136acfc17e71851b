//! This machine: plugins of the Docker CLI, and where runs are recorded.

use std::{path::Path, time::Duration};

use rustix::fs::{Access, access};
use tokio::time::timeout;

use super::finding::Finding;
use crate::{cli::Invocation, journal::state_dir, tool::Tools};

/// For a plugin to say what it is.
const PATIENCE: Duration = Duration::from_secs(10);

/// Compose and buildx, as far as anything here needs them.
pub(super) async fn plugins(tools: &Tools) -> Vec<Finding> {
    let (compose, buildx) = tokio::join!(
        plugin(tools, "compose", "compose", "docker orch does not need it"),
        plugin(tools, "buildx", "buildx", "images are built with the engine's classic builder")
    );
    vec![compose, buildx]
}

async fn plugin(tools: &Tools, check: &'static str, name: &str, without: &str) -> Finding {
    match timeout(PATIENCE, tools.plugin_version(name)).await {
        Ok(Ok(Some(version))) => Finding::fine(check, version),
        Ok(Ok(None)) => Finding::note(check, format!("not installed: {without}")),
        Ok(Err(error)) => Finding::warning(check, format!("does not work: {}", error.message)),
        Err(_) => Finding::warning(check, format!("gave no answer within {} s", PATIENCE.as_secs())),
    }
}

/// Whether runs can be recorded.
pub(super) fn state_folder(invocation: &Invocation) -> Finding {
    let Some(state) = state_dir(|name| invocation.env(name)) else {
        return Finding::warning("record", "neither HOME nor XDG_STATE_HOME is set: runs are not recorded")
            .hint("set one of them: without a record nothing tells why a run failed");
    };
    let shown = state.display();
    // What is not there yet is made below the nearest folder that is.
    let nearest = state.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    match access(nearest, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) if nearest.is_dir() => Finding::fine("record", format!("runs are recorded in {shown}")),
        Ok(()) => Finding::warning("record", format!("runs are not recorded in {shown}"))
            .hint(format!("{} is no folder", nearest.display())),
        Err(error) => Finding::warning("record", format!("runs are not recorded in {shown}: {error}"))
            .hint(format!("let this user write in {}, or set XDG_STATE_HOME", nearest.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Mark;

    #[test]
    fn runs_are_recorded_where_something_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let check = |state: Option<&Path>| {
            let mut invocation = Invocation::default();
            if let Some(state) = state {
                invocation.env.insert("XDG_STATE_HOME".to_owned(), state.display().to_string());
            }
            state_folder(&invocation)
        };
        assert_eq!(check(Some(&folder.path().join("a/b"))).mark, Mark::Fine);
        assert_eq!(check(Some(&file)).mark, Mark::Warning);
        assert!(check(None).words.contains("neither HOME nor XDG_STATE_HOME"));
        assert!(!folder.path().join("a").exists(), "looking makes nothing");
    }
}
