//! Paints frames over each other, and what stays above them.

use std::{
    cell::OnceCell,
    fmt::Write as _,
    io::{self, Write as _},
    sync::mpsc::Receiver,
};

use anstyle::{AnsiColor, Style};

use super::{StyledLine, frame};
use crate::{
    event::{Event, EventKind},
    report::{
        Expected, Report, RunView, Streams, human_duration,
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
    /// What earlier runs say, once it has come.
    expected: OnceCell<Expected>,
    coming: Option<Receiver<Expected>>,
    /// How wide each line of the frame on the screen is.
    painted: Vec<usize>,
    /// Between the codes that hold a terminal's display back.
    held: bool,
    now: Elapsed,
    /// That everything is ready. The final words of a run that ends with that say it, too: it is written a little later.
    ready: Option<StyledLine>,
}

impl TtyReport {
    /// A display on a terminal whose columns and rows `size` gives.
    pub fn new(size: Box<dyn Fn() -> (usize, usize) + Send>, colour: bool) -> Self {
        Self {
            size,
            colour,
            expected: OnceCell::new(),
            coming: None,
            painted: Vec::new(),
            held: false,
            now: Elapsed::ZERO,
            ready: None,
        }
    }

    /// Shows how long a start should still take, once what earlier runs say has come.
    #[must_use]
    pub fn expecting(mut self, coming: Option<Receiver<Expected>>) -> Self {
        self.coming = coming;
        self
    }

    fn expected(&self) -> Option<&Expected> {
        if let (None, Some(come)) =
            (self.expected.get(), self.coming.as_ref().and_then(|c| c.try_recv().ok()))
        {
            return Some(self.expected.get_or_init(|| come));
        }
        self.expected.get()
    }

    /// Replaces the frame, with `above` (whole lines) written over it.
    fn paint(&mut self, streams: &mut Streams, view: &RunView, above: &str) -> io::Result<()> {
        let (width, height) = (self.size)();
        // While everything is ready and nothing happens, the terminal belongs to the logs.
        let idle = view.finished.is_some()
            || view.replicas.is_empty()
            || (view.is_settled() && view.unwinding.is_none() && view.open_window().is_none());
        let lines = if idle { Vec::new() } else { frame(view, self.now, (width, height), self.expected()) };
        if lines.is_empty() && above.is_empty() && self.painted.is_empty() {
            return self.release(streams);
        }
        let mut text = self.hold().to_owned();
        if above.is_empty() {
            self.back(&mut text, width);
        } else {
            self.erase(&mut text, width);
            text.push_str(above);
        }
        for line in &lines {
            text.push_str(&self.line(line));
            // What stood there before goes only now: an empty screen is never seen.
            text.push_str("\x1b[K\n");
        }
        if above.is_empty() {
            text.push_str("\x1b[J");
        }
        self.painted = lines.iter().map(StyledLine::width).collect();
        streams.err.write_all(text.as_bytes())?;
        self.release(streams)
    }

    /// Where the frame on the screen begins.
    fn back(&mut self, text: &mut String, width: usize) {
        // A terminal that became narrower has wrapped its lines.
        let rows: usize = self.painted.drain(..).map(|line| line.div_ceil(width.max(1)).max(1)).sum();
        if rows > 0 {
            write!(text, "\r\x1b[{rows}A").expect("writing to a String cannot fail");
        }
    }

    /// The control codes that remove the frame on the screen.
    fn erase(&mut self, text: &mut String, width: usize) {
        if !self.painted.is_empty() {
            self.back(text, width);
            text.push_str("\x1b[J");
        }
    }

    fn hold(&mut self) -> &'static str {
        if std::mem::replace(&mut self.held, true) { "" } else { BEGIN }
    }

    fn release(&mut self, streams: &mut Streams) -> io::Result<()> {
        if std::mem::take(&mut self.held) {
            streams.err.write_all(END.as_bytes())?;
            streams.err.flush()?;
        }
        Ok(())
    }

    fn line(&self, line: &StyledLine) -> String {
        if self.colour { line.ansi() } else { line.plain() }
    }

    /// What is said once and stays.
    fn lasting(&mut self, view: &RunView, event: &Event) -> Option<StyledLine> {
        let line = StyledLine::default();
        match &event.kind {
            EventKind::Warning { message } => Some(line.with(yellow(), "warning: ").text(message)),
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
            EventKind::Ready { degraded } => {
                let took = human_duration(event.at.since_start());
                let ready = format!("{} is ready after {took}", view.project);
                let green = Style::new().fg_color(Some(AnsiColor::Green.into()));
                self.ready = Some(match degraded.as_slice() {
                    [] => line.with(green, "✔ ").text(ready),
                    some => line.with(yellow(), "! ").text(format!("{ready}, degraded: {}", some.join(", "))),
                });
                None
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
        if !self.painted.is_empty() {
            let (width, _) = (self.size)();
            let mut text = self.hold().to_owned();
            self.erase(&mut text, width);
            streams.err.write_all(text.as_bytes())?;
            streams.err.flush()?;
        }
        streams.out.write_all(lines.as_bytes())?;
        streams.out.flush()?;
        self.paint(streams, view, "")
    }

    fn tick(&mut self, streams: &mut Streams, view: &RunView, now: Elapsed) -> io::Result<()> {
        self.now = now;
        match self.ready.take().filter(|_| view.finished.is_none()) {
            Some(line) => {
                let above = format!("{}\n", self.line(&line));
                self.paint(streams, view, &above)
            }
            None => self.paint(streams, view, ""),
        }
    }

    fn finish(&mut self, streams: &mut Streams) -> io::Result<()> {
        let (width, _) = (self.size)();
        let mut text = String::new();
        self.erase(&mut text, width);
        streams.err.write_all(text.as_bytes())?;
        streams.err.flush()
    }
}

fn yellow() -> Style {
    Style::new().fg_color(Some(AnsiColor::Yellow.into()))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;
    use crate::{
        event::ServiceState,
        report::{
            reporter::tests::Shared,
            view::tests::{events, service, started, view_of},
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
        assert!(first.starts_with(BEGIN) && first.ends_with(END) && !first.contains("\x1b[3A"), "{first:?}");
        assert_eq!(first.matches('\n').count(), 3);

        report.logs(&mut streams, &view, "db-1  | hello\n").unwrap();
        let second = &err.text()[first.len()..];
        assert!(second.starts_with("\x1b[?2026h\r\x1b[3A\x1b[J"), "{second:?}");
        assert_eq!(
            second.matches(END).count(),
            1,
            "the frame is painted anew before anything is seen: {second:?}"
        );
        assert_eq!(out.text(), "db-1  | hello\n");

        report.finish(&mut streams).unwrap();
        assert!(err.text().ends_with("\r\x1b[3A\x1b[J"));
    }

    #[test]
    fn a_terminal_that_became_narrower_has_wrapped_what_is_painted_over() {
        let err = Shared::default();
        let mut streams = Streams { out: Box::new(io::sink()), err: Box::new(err.clone()) };
        let width = Arc::new(AtomicUsize::new(80));
        let wide = Arc::clone(&width);
        let size = Box::new(move || (wide.load(Ordering::Relaxed), 24));
        let mut report = TtyReport::new(size, false);
        let view = view_of(vec![(0, started()), (10, service("db", ServiceState::Starting, ""))]);
        report.tick(&mut streams, &view, view.at).unwrap();
        let painted = err.text().len();
        width.store(20, Ordering::Relaxed);
        report.tick(&mut streams, &view, view.at).unwrap();
        // Lines of 28, 30 and 25 columns stand on two rows each.
        let again = &err.text()[painted..];
        assert!(again.starts_with("\x1b[?2026h\r\x1b[6A"), "{again:?}");
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
            (1000, EventKind::Ready { degraded: Vec::new() }),
        ]) {
            view.apply(&event);
            report.event(&mut streams, &view, &event).unwrap();
        }
        assert_eq!(err.text(), "", "the final words may say it");
        report.tick(&mut streams, &view, view.at).unwrap();
        let said = err.text();
        assert_eq!(said, format!("{BEGIN}✔ shop is ready after 1.0s\n{END}"));
        report.tick(&mut streams, &view, view.at).unwrap();
        assert_eq!(err.text(), said);
    }
}
