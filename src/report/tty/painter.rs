//! Paints frames over each other, and what stays above them.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use anstyle::{AnsiColor, Style};

use super::{StyledLine, frame};
use crate::{
    event::{Event, EventKind},
    report::{
        Report, RunView, Streams, human_duration,
        plain::{closed_words, watching_words},
    },
    time::Elapsed,
};

/// Terminals that know them show everything between the two at once; others ignore them.
const BEGIN: &str = "\x1b[?2026h";
const END: &str = "\x1b[?2026l";

/// A live display at the foot of the terminal; lines that stay scroll above it.
pub struct TtyReport {
    size: Box<dyn Fn() -> (usize, usize) + Send>,
    colour: bool,
    /// Lines of the frame on the screen, and the width they were painted at.
    painted: (usize, usize),
    now: Elapsed,
    /// The words about everything being ready were written.
    said_ready: bool,
}

impl TtyReport {
    /// A display on a terminal whose columns and rows `size` gives.
    pub fn new(size: Box<dyn Fn() -> (usize, usize) + Send>, colour: bool) -> Self {
        Self { size, colour, painted: (0, 0), now: Elapsed::ZERO, said_ready: false }
    }

    /// Replaces the frame, with `above` (whole lines) written over it.
    fn paint(&mut self, streams: &mut Streams, view: &RunView, above: &str) -> io::Result<()> {
        let (width, height) = (self.size)();
        // While everything is ready and nothing happens, the terminal belongs to the logs.
        let idle = view.finished.is_some()
            || view.replicas.is_empty()
            || (view.is_settled() && view.unwinding.is_none() && view.open_window().is_none());
        let lines = if idle { Vec::new() } else { frame(view, self.now, width, height) };
        if lines.is_empty() && above.is_empty() && self.painted.0 == 0 {
            return Ok(());
        }
        let mut text = String::from(BEGIN);
        self.erase(&mut text, width);
        text.push_str(above);
        for line in &lines {
            text.push_str(&self.line(line));
            text.push('\n');
        }
        text.push_str(END);
        self.painted = (lines.len(), width);
        streams.err.write_all(text.as_bytes())?;
        streams.err.flush()
    }

    /// The control codes that remove the frame on the screen.
    fn erase(&mut self, text: &mut String, width: usize) {
        let (mut lines, painted_width) = std::mem::take(&mut self.painted);
        // A terminal that became narrower has wrapped the lines, at worst every one of them as often as this.
        if width < painted_width && width > 0 {
            lines *= painted_width.div_ceil(width);
        }
        if lines > 0 {
            write!(text, "\r\x1b[{lines}A\x1b[J").expect("writing to a String cannot fail");
        }
    }

    fn line(&self, line: &StyledLine) -> String {
        if self.colour { line.ansi() } else { line.plain() }
    }

    /// What is said once and stays.
    fn lasting(&mut self, view: &RunView, event: &Event) -> Option<StyledLine> {
        let line = StyledLine::default();
        match &event.kind {
            EventKind::Warning { message } => {
                let yellow = Style::new().fg_color(Some(AnsiColor::Yellow.into()));
                Some(line.with(yellow, "warning: ").text(message))
            }
            EventKind::WindowOpened { length, kept } => {
                Some(line.text(format!("  {}", watching_words(*length, !kept.is_empty()))))
            }
            EventKind::WindowClosed { end } => {
                let green = Style::new().fg_color(Some(AnsiColor::Green.into()));
                Some(line.with(green, "✔ ").text(closed_words(*end, view)?))
            }
            EventKind::CancelRequested { reason } => {
                Some(line.text(crate::report::plain::cancel_words(*reason)))
            }
            EventKind::Unwinding { policy, reason } => {
                Some(line.with(Style::new().bold(), format!("{policy}: ")).text(reason))
            }
            EventKind::Service { .. }
                if !self.said_ready && view.ready_at.is_some() && view.command == "up" =>
            {
                self.said_ready = true;
                let green = Style::new().fg_color(Some(AnsiColor::Green.into()));
                let took = human_duration(event.at.since_start());
                Some(line.with(green, "✔ ").text(format!("{} is ready after {took}", view.project)))
            }
            _ => None,
        }
    }
}

impl Report for TtyReport {
    fn event(&mut self, streams: &mut Streams, view: &RunView, event: &Event) -> io::Result<()> {
        self.now = event.at;
        // The next tick shows everything else.
        match self.lasting(view, event) {
            Some(line) => {
                let above = format!("{}\n", self.line(&line));
                self.paint(streams, view, &above)
            }
            None => Ok(()),
        }
    }

    fn logs(&mut self, streams: &mut Streams, view: &RunView, lines: &str) -> io::Result<()> {
        if self.painted.0 > 0 {
            let (width, _) = (self.size)();
            let mut text = String::from(BEGIN);
            self.erase(&mut text, width);
            text.push_str(END);
            streams.err.write_all(text.as_bytes())?;
            streams.err.flush()?;
        }
        streams.out.write_all(lines.as_bytes())?;
        streams.out.flush()?;
        self.paint(streams, view, "")
    }

    fn tick(&mut self, streams: &mut Streams, view: &RunView, now: Elapsed) -> io::Result<()> {
        self.now = now;
        self.paint(streams, view, "")
    }

    fn finish(&mut self, streams: &mut Streams) -> io::Result<()> {
        let (width, _) = (self.size)();
        let mut text = String::new();
        self.erase(&mut text, width);
        streams.err.write_all(text.as_bytes())?;
        streams.err.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::ServiceState,
        report::{
            reporter::tests::Shared,
            view::tests::{events, service, started},
        },
    };

    #[test]
    fn frames_replace_each_other_and_logs_scroll_above() {
        let (out, err) = (Shared::default(), Shared::default());
        let mut streams = Streams { out: Box::new(out.clone()), err: Box::new(err.clone()) };
        let mut report = TtyReport::new(Box::new(|| (80, 24)), false);
        let mut view = RunView::default();
        for event in events(vec![(0, started()), (10, service("db", ServiceState::Starting, ""))]) {
            view.apply(&event);
            report.event(&mut streams, &view, &event).unwrap();
        }
        assert_eq!(err.text(), "", "events alone wait for the tick");
        report.tick(&mut streams, &view, view.at).unwrap();
        let first = err.text();
        assert!(first.starts_with(BEGIN) && first.ends_with(END) && !first.contains("\x1b[J"), "{first:?}");
        assert_eq!(first.matches('\n').count(), 3);

        report.logs(&mut streams, &view, "db-1  | hello\n").unwrap();
        let second = &err.text()[first.len()..];
        assert!(second.starts_with("\x1b[?2026h\r\x1b[3A\x1b[J\x1b[?2026l"), "{second:?}");
        assert_eq!(second.matches("\x1b[J").count(), 1, "the frame is painted anew under the lines");
        assert_eq!(out.text(), "db-1  | hello\n");

        report.finish(&mut streams).unwrap();
        assert!(err.text().ends_with("\r\x1b[3A\x1b[J"));
    }

    #[test]
    fn nothing_is_painted_while_everything_is_ready() {
        let err = Shared::default();
        let mut streams = Streams { out: Box::new(io::sink()), err: Box::new(err.clone()) };
        let mut report = TtyReport::new(Box::new(|| (80, 24)), false);
        let mut view = RunView::default();
        for event in events(vec![
            (0, started()),
            (900, service("db", ServiceState::Ready, "")),
            (1000, service("web", ServiceState::Ready, "")),
        ]) {
            view.apply(&event);
            report.event(&mut streams, &view, &event).unwrap();
        }
        let said = err.text();
        assert_eq!(said, format!("{BEGIN}✔ shop is ready after 1.0s\n{END}"));
        report.tick(&mut streams, &view, view.at).unwrap();
        assert_eq!(err.text(), said);
    }
}
