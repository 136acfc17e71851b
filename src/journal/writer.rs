//! The append-only file of events.

use std::{
    fs::File,
    io::{self, Write as _},
};

use super::{RunFolder, folder::open_private_file};
use crate::event::{Event, Sink};

/// Writes every event of a run as one line of JSON, at once.
///
/// Writing may fail (a full disk): that is said once, and the run goes on without a journal.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: String,
    broken: bool,
}

impl Journal {
    /// Writes into the run's folder.
    ///
    /// # Errors
    ///
    /// The file cannot be made.
    pub fn create(folder: &RunFolder) -> io::Result<Self> {
        let path = folder.events();
        let file = open_private_file(&path)?;
        // So that others can tell a run that goes on from one that was killed. Who tries that just now has it for a moment.
        if let Err(error) = file.lock() {
            tracing::debug!("{}: {error}", path.display());
        }
        Ok(Self { file, path: path.display().to_string(), broken: false })
    }
}

impl Sink for Journal {
    fn emit(&mut self, event: &Event) -> io::Result<()> {
        if self.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        // One write per line: a reader sees whole lines, or one torn line at the end.
        self.file.write_all(&line).inspect_err(|error| {
            self.broken = true;
            tracing::warn!("the run goes on without its journal: failed to write {}: {error}", self.path);
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        event::EventKind,
        journal::{is_written, read_events, reader::ReadEvents},
        time::Elapsed,
    };

    fn event(seq: u64) -> Event {
        let at = Elapsed::new(Duration::from_millis(seq * 10));
        Event { seq, at, kind: EventKind::Warning { message: format!("number {seq}") } }
    }

    #[test]
    fn events_read_back_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(dir.path(), "shop", "r1").unwrap();
        let mut journal = Journal::create(&folder).unwrap();
        let events = [event(0), event(1)];
        for event in &events {
            journal.emit(event).unwrap();
        }
        assert_eq!(
            read_events(&folder.events()).unwrap(),
            ReadEvents { events: events.to_vec(), ..ReadEvents::default() }
        );
    }

    #[test]
    fn a_run_that_goes_on_is_told_from_one_that_was_killed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(dir.path(), "shop", "r1").unwrap();
        assert!(!is_written(&folder.events()));
        let journal = Journal::create(&folder).unwrap();
        assert!(is_written(&folder.events()));
        drop(journal);
        assert!(!is_written(&folder.events()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_breaks_the_journal_once() {
        let file = File::options().write(true).open("/dev/full").unwrap();
        let mut journal = Journal { file, path: "/dev/full".into(), broken: false };
        assert_eq!(journal.emit(&event(0)).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(journal.emit(&event(1)).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
