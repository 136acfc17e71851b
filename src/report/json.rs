//! One event per line, as JSON.

use std::io::{self, Write};

use super::{Report, RunView, Streams};
use crate::event::{Event, Sink};

/// Writes every event as one line of JSON.
#[derive(Debug, Default)]
pub struct JsonReport;

impl Report for JsonReport {
    fn event(&mut self, streams: &mut Streams, _: &RunView, event: &Event) -> io::Result<()> {
        write_event(&mut streams.err, event)
    }
}

/// Events as lines of JSON in a file: what `--events FILE` is given.
impl<W: Write + Send> Sink for JsonLines<W> {
    fn emit(&mut self, event: &Event) -> io::Result<()> {
        write_event(&mut self.0, event)
    }
}

/// A [`Sink`] over any writer.
#[derive(Debug)]
pub struct JsonLines<W>(pub W);

fn write_event(writer: &mut (impl Write + ?Sized), event: &Event) -> io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    writer.write_all(&line)?;
    writer.flush()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::{
        event::ServiceState,
        report::view::tests::{events, service},
    };

    #[test]
    fn an_event_is_one_line_that_reads_back() {
        let events = events(vec![(1500, service("db", ServiceState::Ready, ""))]);
        let mut lines = JsonLines(Vec::new());
        lines.emit(&events[0]).unwrap();
        let text = String::from_utf8(lines.0).unwrap();
        assert_snapshot!(text.trim_end(), @r#"{"seq":0,"at":1.5,"event":"service","service":"db","number":1,"state":"ready"}"#);
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), events[0]);
    }
}
