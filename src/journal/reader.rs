//! Events read back.

use std::{fs, io, path::Path};

use crate::event::Event;

/// What a file of events holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReadEvents {
    /// In the order in which they happened.
    pub events: Vec<Event>,
    /// The last line is no whole event: its writer was killed. It is left out.
    pub torn: bool,
}

/// Reads a file of events.
///
/// # Errors
///
/// The file cannot be read, or a line before the last is no event; the message has its number.
pub fn read_events(path: &Path) -> io::Result<ReadEvents> {
    let bytes = fs::read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut read = ReadEvents::default();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let is_last = lines.peek().is_none();
        match serde_json::from_str(line) {
            // A whole event without its line end may still miss digits of its last number.
            Ok(_) if is_last && !text.ends_with('\n') => read.torn = true,
            Ok(event) => read.events.push(event),
            Err(_) if is_last => read.torn = true,
            Err(error) => {
                let message = format!("{}:{}: no event: {error}", path.display(), index + 1);
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_broken_line_in_the_middle_is_an_error_and_a_new_kind_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        fs::write(&path, "nonsense\n{\"seq\":1,\"at\":0.5,\"event\":\"later_kind\"}\n").unwrap();
        let error = read_events(&path).unwrap_err().to_string();
        assert!(error.contains("events.jsonl:1: no event"), "{error}");
        fs::write(&path, "{\"seq\":1,\"at\":0.5,\"event\":\"later_kind\",\"x\":1}\n").unwrap();
        assert_eq!(read_events(&path).unwrap().events[0].kind, crate::event::EventKind::Unknown);
    }
}
