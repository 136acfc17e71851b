//! Events read back.

use std::{
    fs,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use crate::event::Event;

/// Most last lines are shorter than this, in bytes.
const TAIL: u64 = 4096;

/// What a file of events holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReadEvents {
    /// In the order in which they happened.
    pub events: Vec<Event>,
    /// The last line is no whole event: its writer was killed. It is left out.
    pub torn: bool,
    /// Lines before it that are no event that this version knows; they are left out.
    pub unread: usize,
}

/// Reads a file of events.
///
/// # Errors
///
/// The file cannot be read.
pub fn read_events(path: &Path) -> io::Result<ReadEvents> {
    let bytes = fs::read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut read = ReadEvents::default();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let is_last = lines.peek().is_none();
        match serde_json::from_str(line) {
            // A whole event without its line end may still miss digits of its last number.
            Ok(_) if is_last && !text.ends_with('\n') => read.torn = true,
            Ok(event) => read.events.push(event),
            Err(_) if is_last => read.torn = true,
            Err(_) => read.unread += 1,
        }
    }
    Ok(read)
}

/// The last event of a file, without reading those before it; `None` where its last line is no whole event.
///
/// # Errors
///
/// The file cannot be read.
pub fn last_event(path: &Path) -> io::Result<Option<Event>> {
    let mut file = fs::File::open(path)?;
    let size = file.metadata()?.len();
    let mut tail = Vec::new();
    // Longer for a line that is longer: that of a run with many failures.
    for part in [TAIL, u64::MAX] {
        tail.clear();
        file.seek(SeekFrom::Start(size.saturating_sub(part)))?;
        file.read_to_end(&mut tail)?;
        let Some(lines) = tail.strip_suffix(b"\n") else { return Ok(None) };
        let start = lines.iter().rposition(|byte| *byte == b'\n');
        if let Some(start) = start.map(|n| n + 1).or((size <= part).then_some(0)) {
            return Ok(serde_json::from_slice(&lines[start..]).ok());
        }
    }
    Ok(None)
}

/// A file of events that is read as it grows.
#[derive(Debug)]
pub struct Tail {
    file: fs::File,
    /// The beginning of a line whose end is not there yet.
    rest: Vec<u8>,
}

impl Tail {
    /// From the first event on.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: fs::File::open(path)?, rest: Vec::new() })
    }

    /// What has been added. Lines that are no event that this version knows are left out.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn read(&mut self) -> io::Result<Vec<Event>> {
        self.file.read_to_end(&mut self.rest)?;
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return Ok(Vec::new()) };
        let after = self.rest.split_off(end + 1);
        let lines = std::mem::replace(&mut self.rest, after);
        Ok(lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }
}

/// Whether the process that writes a file of events lives. Where file systems know no locks, nobody can tell: no.
pub fn is_written(path: &Path) -> bool {
    let Ok(file) = fs::File::open(path) else { return false };
    matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_event_is_read_alone_however_long_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let line = |seq: u64, message: &str| {
            let kind = crate::event::EventKind::Warning { message: message.to_owned() };
            let event = Event { seq, at: crate::time::Elapsed::ZERO, kind };
            format!("{}\n", serde_json::to_string(&event).unwrap())
        };
        let seq = |text: &str| {
            fs::write(&path, text).unwrap();
            last_event(&path).unwrap().map(|event| event.seq)
        };
        assert_eq!(seq(&line(0, "a")), Some(0));
        assert_eq!(seq(&(line(0, "a") + &line(1, "b"))), Some(1));
        assert_eq!(seq(&(line(0, "a") + &line(1, &"b".repeat(9000)))), Some(1));
        assert_eq!(seq(&line(2, &"b".repeat(9000))), Some(2));
        for torn in ["", "{", "{\n", line(0, "a").trim_end()] {
            assert_eq!(seq(torn), None, "{torn}");
        }
    }

    #[test]
    fn a_file_that_grows_is_read_event_by_event() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let line = "{\"seq\":0,\"at\":0.0,\"event\":\"warning\",\"message\":\"a\"}\n";
        let append = |text: &str| {
            let mut file = fs::File::options().append(true).create(true).open(&path).unwrap();
            io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        };
        append("");
        let mut tail = Tail::open(&path).unwrap();
        let (begin, end) = line.split_at(20);
        for (text, events) in
            [("", 0), (line, 1), (begin, 0), (end, 1), ("nonsense\n", 0), (&line.repeat(2), 2)]
        {
            append(text);
            assert_eq!(tail.read().unwrap().len(), events, "{text}");
        }
    }

    #[test]
    fn a_torn_last_line_is_left_out_wherever_it_was_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let first = "{\"seq\":0,\"at\":0.0,\"event\":\"warning\",\"message\":\"a\"}\n";
        let second = "{\"seq\":1,\"at\":0.5,\"event\":\"saved\",\"path\":\"/ä\"}\n";
        let whole = format!("{first}{second}");
        for cut in 0..=whole.len() {
            fs::write(&path, &whole.as_bytes()[..cut]).unwrap();
            let read = read_events(&path).unwrap();
            let lines = usize::from(cut >= first.len()) + usize::from(cut >= whole.len());
            let torn = cut != 0 && cut != first.len() && cut != whole.len();
            assert_eq!((read.events.len(), read.torn), (lines, torn), "cut at {cut}");
        }
    }

    #[test]
    fn what_this_version_does_not_know_is_left_out_and_the_rest_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let known = "{\"seq\":2,\"at\":0.5,\"event\":\"warning\",\"message\":\"a\"}\n";
        let later = "{\"seq\":1,\"at\":0.5,\"event\":\"later_kind\",\"x\":1}\n";
        let verb = "{\"seq\":1,\"at\":0.5,\"event\":\"step_done\",\"step\":0,\"action\":\"later\",\"target\":\"x\",\"took\":0}\n";
        fs::write(&path, format!("nonsense\n\u{0}\n{later}{verb}{known}")).unwrap();
        let read = read_events(&path).unwrap();
        assert_eq!((read.events.len(), read.unread, read.torn), (2, 3, false));
        assert_eq!(read.events[0].kind, crate::event::EventKind::Unknown);
        fs::write(&path, "").unwrap();
        assert_eq!(read_events(&path).unwrap(), ReadEvents::default());
        assert!(read_events(&dir.path().join("none")).is_err());
    }
}
