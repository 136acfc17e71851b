//! The project lock of a command, and how long it waits for another one's.

use std::{path::PathBuf, time::Duration};

use super::{CliError, Invocation, args::parse_duration};
use crate::{
    executor::{Lock, Taken},
    journal::{ProjectLock, interrupted, state_dir},
};

/// How long a command waits where nobody says.
const PATIENCE: Duration = Duration::from_secs(30);
/// Says otherwise.
const VARIABLE: &str = "DOCKER_ORCH_LOCK_TIMEOUT";

/// The lock of a project as a file. Where it cannot be had for reasons of the file system, the command goes on
/// without.
pub(super) struct FileLock {
    state: PathBuf,
    project: String,
    engine: String,
    command: String,
    held: Option<ProjectLock>,
    /// That there is none was said.
    warned: bool,
    /// Its turn when it was let go last.
    left: Option<u64>,
    /// Others have had it since.
    others: bool,
}

impl FileLock {
    /// For a command on a project, on the engine at an address; `None`: there is no place for it.
    pub(super) fn new(invocation: &Invocation, project: &str, engine: &str, command: &str) -> Option<Self> {
        Some(Self {
            state: state_dir(|name| invocation.env(name))?,
            project: project.to_owned(),
            engine: engine.to_owned(),
            command: command.to_owned(),
            held: None,
            warned: false,
            left: None,
            others: false,
        })
    }
}

impl Lock for FileLock {
    fn take(&mut self) -> Taken {
        if self.held.is_none() {
            match ProjectLock::take(&self.state, &self.project, &self.engine, &self.command) {
                Ok(Ok(lock)) => {
                    self.others |= self.left.is_some_and(|left| lock.turn() != left.wrapping_add(1));
                    self.held = Some(lock);
                }
                Ok(Err(holder)) => return Taken::Theirs(holder),
                Err(error) if self.warned => tracing::debug!("still no lock: {error}"),
                Err(error) => {
                    let below = self.state.display();
                    tracing::warn!(
                        "nothing keeps other commands from this project: no lock in {below}: {error}"
                    );
                    self.warned = true;
                }
            }
        }
        Taken::Ours { interrupted: interrupted(&self.state, &self.project), others: self.others }
    }

    fn release(&mut self) {
        self.left = self.held.take().map(|lock| lock.turn()).or(self.left);
    }
}

/// How long another command is waited for.
///
/// # Errors
///
/// The environment says something that is no duration.
pub(super) fn patience(invocation: &Invocation) -> Result<Duration, CliError> {
    if let Some(given) = invocation.project.lock_timeout {
        return Ok(given);
    }
    let Some(text) = invocation.env(VARIABLE) else { return Ok(PATIENCE) };
    parse_duration(text).map_err(|why| CliError::usage(format!("{VARIABLE}: `{text}`: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invocation(state: &str) -> Invocation {
        let mut invocation = Invocation::default();
        invocation.env.insert("XDG_STATE_HOME".to_owned(), state.to_owned());
        invocation
    }

    #[test]
    fn the_flag_beats_the_environment_beats_the_default() {
        let mut invocation = Invocation::default();
        assert_eq!(patience(&invocation).unwrap(), PATIENCE);
        invocation.env.insert(VARIABLE.to_owned(), "2m".to_owned());
        assert_eq!(patience(&invocation).unwrap(), Duration::from_mins(2));
        invocation.project.lock_timeout = Some(Duration::ZERO);
        assert_eq!(patience(&invocation).unwrap(), Duration::ZERO);
        invocation.project.lock_timeout = None;
        invocation.env.insert(VARIABLE.to_owned(), "soon".to_owned());
        assert!(patience(&invocation).unwrap_err().message.contains("`soon`"));
    }

    #[test]
    fn it_goes_from_command_to_command_and_a_place_that_cannot_be_written_stops_none() {
        let state = tempfile::tempdir().unwrap();
        let invocation = invocation(&state.path().display().to_string());
        let lock = |command| FileLock::new(&invocation, "shop", "unix:///e.sock", command).unwrap();
        let (mut up, mut down) = (lock("up"), lock("down"));
        let ours = Taken::Ours { interrupted: Vec::new(), others: false };
        assert_eq!((up.take(), up.take()), (ours.clone(), ours.clone()));
        assert!(matches!(down.take(), Taken::Theirs(holder) if holder.command == "up"));
        up.release();
        assert_eq!(down.take(), ours);
        assert!(matches!(up.take(), Taken::Theirs(holder) if holder.command == "down"));
        let nowhere = self::invocation("/proc/none");
        let mut lock = FileLock::new(&nowhere, "shop", "unix:///e.sock", "up").unwrap();
        assert_eq!((lock.take(), lock.take()), (ours.clone(), ours));
        assert!(FileLock::new(&Invocation::default(), "shop", "e", "up").is_none());
    }
}
