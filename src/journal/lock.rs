//! The project lock: of the commands that change a project, one at a time. Beside it another one: of those that load its
//! services on demand, one at all.
//!
//! An operating system's lock on a file: it is gone with its process, however that ends, so none is ever stale. The
//! file stays; it says who has the lock. It keeps apart what one user does on one machine, for each engine.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Seek as _, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{
    clock::{from_rfc3339, rfc3339},
    folder::{make_private_dir, open_private_file, project_dir},
};
use crate::event::Holder;

/// How the name of a lock's file ends.
const CHANGES: &str = ".lock";
const ON_DEMAND: &str = ".on-demand.lock";

/// A project's lock. Free again when this is dropped.
#[derive(Debug)]
pub struct ProjectLock {
    file: File,
    turn: u64,
}

/// What the file says; of nobody where nobody has it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Entry {
    command: String,
    pid: u32,
    since: String,
    /// How often it was taken.
    #[serde(default)]
    turn: u64,
}

impl ProjectLock {
    /// Takes the lock of a project on the engine at an address, for a command; or says who has it.
    ///
    /// # Errors
    ///
    /// The file cannot be made, or its file system knows no locks.
    pub fn take(
        state: &Path,
        project: &str,
        engine: &str,
        command: &str,
    ) -> io::Result<Result<Self, Holder>> {
        Self::take_file(&path(state, project, engine, CHANGES)?, command)
    }

    /// Takes the lock of whoever loads a project's services on demand, for as long as it stays; or says who has it.
    ///
    /// # Errors
    ///
    /// As of [`Self::take`].
    pub fn take_on_demand(
        state: &Path,
        project: &str,
        engine: &str,
        command: &str,
    ) -> io::Result<Result<Self, Holder>> {
        Self::take_file(&path(state, project, engine, ON_DEMAND)?, command)
    }

    fn take_file(path: &Path, command: &str) -> io::Result<Result<Self, Holder>> {
        path.parent().map_or(Ok(()), make_private_dir)?;
        let file = open_private_file(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Err(holder(path, SystemTime::now()))),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let turn = entry(path).map_or(1, |entry| entry.turn.wrapping_add(1));
        let since = rfc3339(SystemTime::now());
        let entry = Entry { command: command.to_owned(), pid: std::process::id(), since, turn };
        let mut this = Self { file, turn };
        // Who has it is said to others; that they cannot be told takes nothing from the lock.
        if let Err(error) = this.write(&entry) {
            tracing::debug!("{} cannot be written: {error}", path.display());
        }
        Ok(Ok(this))
    }

    /// Who has the lock of a project; `None`: nobody, as far as can be seen.
    pub fn holder(state: &Path, project: &str, engine: &str) -> Option<Holder> {
        let path = path(state, project, engine, CHANGES).ok()?;
        match File::open(&path).ok()?.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(holder(&path, SystemTime::now())),
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }

    /// How often the lock was taken, with this time: two that follow each other say that nobody had it in between.
    pub fn turn(&self) -> u64 {
        self.turn
    }

    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(&serde_json::to_vec(entry)?)
    }
}

impl Drop for ProjectLock {
    fn drop(&mut self) {
        // Closing the file would do, but a child that was just forked may have it too.
        let nobody = Entry { turn: self.turn, ..Entry::default() };
        drop(self.write(&nobody));
        drop(self.file.unlock());
    }
}

/// Addresses differ in more than file names may; two that fall together only wait for each other.
fn path(state: &Path, project: &str, engine: &str, what: &str) -> io::Result<PathBuf> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let mut name: String = engine.chars().map(plain).collect();
    while name.contains("--") {
        name = name.replace("--", "-");
    }
    name.truncate(100);
    Ok(project_dir(state, project)?.join(name + what))
}

fn entry(path: &Path) -> Option<Entry> {
    fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok())
}

/// Who has it, as the file says; nothing is known of one that has not written yet.
fn holder(path: &Path, now: SystemTime) -> Holder {
    let Some(entry) = entry(path) else { return Holder::default() };
    let since = from_rfc3339(&entry.since).and_then(|since| now.duration_since(since).ok());
    Holder {
        command: entry.command,
        pid: entry.pid,
        held: Duration::from_secs(since.unwrap_or_default().as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGINE: &str = "unix:///var/run/docker.sock";

    #[test]
    fn one_command_has_it_and_the_next_is_told_who() {
        let state = tempfile::tempdir().unwrap();
        let take = |engine, command| ProjectLock::take(state.path(), "shop", engine, command).unwrap();
        assert_eq!(ProjectLock::holder(state.path(), "shop", ENGINE), None);
        let held = take(ENGINE, "up").unwrap();
        assert_eq!(ProjectLock::holder(state.path(), "shop", ENGINE).unwrap().command, "up");
        let holder = take(ENGINE, "down").unwrap_err();
        assert_eq!((holder.command.as_str(), holder.pid), ("up", std::process::id()));
        assert!(holder.held < Duration::from_mins(1));
        // Another engine's project of that name is another project.
        let other = take("tcp://host:2376", "up").unwrap();
        drop(held);
        assert_eq!(ProjectLock::holder(state.path(), "shop", ENGINE), None);
        let held = take(ENGINE, "down").unwrap();
        assert_eq!(take(ENGINE, "up").unwrap_err().command, "down");
        drop((held, other));
        let names = fs::read_dir(state.path().join("shop")).unwrap();
        let mut names: Vec<_> = names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["tcp-host-2376.lock", "unix-var-run-docker.sock.lock"]);
    }

    #[test]
    fn who_loads_services_on_demand_keeps_nobody_from_changing_the_project() {
        let state = tempfile::tempdir().unwrap();
        let take = |command| ProjectLock::take_on_demand(state.path(), "shop", ENGINE, command).unwrap();
        let held = take("serve").unwrap();
        assert_eq!(take("up").unwrap_err().command, "serve");
        assert_eq!(ProjectLock::holder(state.path(), "shop", ENGINE), None);
        drop(ProjectLock::take(state.path(), "shop", ENGINE, "up").unwrap().unwrap());
        drop(held);
        drop(take("up").unwrap());
    }

    #[test]
    fn a_holder_that_has_not_said_who_it_is_is_held_for_one() {
        let state = tempfile::tempdir().unwrap();
        let take = || ProjectLock::take(state.path(), "shop", ENGINE, "up").unwrap();
        let held = take().unwrap();
        fs::write(path(state.path(), "shop", ENGINE, CHANGES).unwrap(), "{\"comm").unwrap();
        assert_eq!(take().unwrap_err(), Holder::default());
        drop(held);
        drop(take().unwrap());
    }

    #[test]
    fn what_a_killed_holder_wrote_keeps_nobody_out() {
        let state = tempfile::tempdir().unwrap();
        fs::create_dir(state.path().join("shop")).unwrap();
        let left = "{\"command\":\"up\",\"pid\":1,\"since\":\"2026-11-22T01:50:00.123Z\",\"and\":\"more\"}";
        fs::write(path(state.path(), "shop", ENGINE, CHANGES).unwrap(), left).unwrap();
        let held = ProjectLock::take(state.path(), "shop", ENGINE, "up").unwrap().unwrap();
        let holder = ProjectLock::take(state.path(), "shop", ENGINE, "up").unwrap().unwrap_err();
        assert_eq!(holder.pid, std::process::id());
        drop(held);
    }

    #[test]
    fn where_nothing_can_be_written_that_is_said() {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join("shop"), "in the way").unwrap();
        assert!(ProjectLock::take(state.path(), "shop", ENGINE, "up").is_err());
        assert!(ProjectLock::take(state.path(), "../shop", ENGINE, "up").is_err());
    }
}
