//! Where runs are kept.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::read_events;
use crate::event::{Event, EventKind};

/// The state folder, from environment variables: `$XDG_STATE_HOME/docker-orch`, else below the home folder.
pub fn state_dir<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> Option<PathBuf> {
    // The XDG rules: a relative path counts as not set.
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("docker-orch"))
}

/// One run's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes the folder of a run; only its user can read it.
    ///
    /// # Errors
    ///
    /// It cannot be made, or a name is no plain file name.
    pub fn create(state: &Path, project: &str, run: &str) -> io::Result<Self> {
        check_name(run)?;
        let path = project_dir(state, project)?.join(run);
        make_private_dir(&path)?;
        Ok(Self { path })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it where its run never began: it waited in vain, or could not be planned.
    ///
    /// # Errors
    ///
    /// It cannot be removed.
    pub fn discard_unused(&self) -> io::Result<()> {
        let events = read_events(&self.events())?.events;
        let is_trace = |event: &Event| !matches!(event.kind, EventKind::Waiting { .. });
        if events.iter().any(is_trace) { Ok(()) } else { self.discard() }
    }

    /// Removes it, with all that is in it.
    ///
    /// # Errors
    ///
    /// It cannot be removed.
    pub fn discard(&self) -> io::Result<()> {
        fs::remove_dir_all(&self.path)
    }

    /// The file of events.
    pub fn events(&self) -> PathBuf {
        self.path.join("events.jsonl")
    }
}

/// Whether no run of a project is kept. What cannot be read may hold one.
pub fn is_first(state: &Path, project: &str) -> bool {
    let Ok(path) = project_dir(state, project) else { return false };
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().all(|entry| !entry.path().is_dir()),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// The folder of a project.
pub(super) fn project_dir(state: &Path, project: &str) -> io::Result<PathBuf> {
    check_name(project)?;
    Ok(state.join(project))
}

/// A name that stays in its folder.
fn check_name(name: &str) -> io::Result<()> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{name}` is no file name")));
    }
    Ok(())
}

/// Makes a folder and those above it.
pub(super) fn make_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Opens a file for appending, making it where it is missing.
pub(super) fn open_private_file(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_run_is_the_one_before_which_none_is_kept() {
        let state = tempfile::tempdir().unwrap();
        assert!(is_first(state.path(), "shop") && !is_first(state.path(), "../shop"));
        RunFolder::create(state.path(), "shop", "1").unwrap();
        assert!(!is_first(state.path(), "shop") && is_first(state.path(), "other"));
    }

    #[test]
    fn a_run_that_never_began_leaves_nothing() {
        let state = tempfile::tempdir().unwrap();
        let line = |kind: &str| {
            format!(
                "{{\"seq\":0,\"at\":0.0,\"event\":\"{kind}\",\"message\":\"\",\"command\":\"up\",\"pid\":1,\"held\":0,\"at_most\":30}}\n"
            )
        };
        for (text, stays) in
            [(String::new(), false), (line("waiting"), false), (line("waiting") + &line("warning"), true)]
        {
            let folder = RunFolder::create(state.path(), "shop", "1").unwrap();
            fs::write(folder.events(), &text).unwrap();
            folder.discard_unused().unwrap();
            assert_eq!(folder.path().exists(), stays, "{text}");
        }
    }

    #[test]
    fn the_state_folder_follows_the_xdg_rules() {
        let of = |vars: &[(&str, &'static str)]| {
            let vars = vars.to_vec();
            state_dir(move |name| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| *value))
        };
        assert_eq!(of(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]), Some("/s/docker-orch".into()));
        assert_eq!(
            of(&[("XDG_STATE_HOME", "s"), ("HOME", "/h")]),
            Some("/h/.local/state/docker-orch".into())
        );
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_name_cannot_lead_out_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        for (project, run) in [("..", "r"), ("a/b", "r"), ("", "r"), ("p", "../r")] {
            assert!(RunFolder::create(dir.path(), project, run).is_err(), "{project} {run}");
        }
        let folder = RunFolder::create(dir.path(), "shop", "r1").unwrap();
        assert!(folder.path().is_dir());
    }
}
