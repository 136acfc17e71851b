//! The one thread that writes what a run shows.
//!
//! Events and log lines come in over a channel, so a slow or dead terminal never holds a run up; everything that
//! reaches standard output and standard error while a run goes on is written here, so nothing tears the display.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{LogPrinter, LogRecord, LogStyle, RunView};
use crate::{
    event::{Event, Sink},
    time::Elapsed,
};

/// Between two paintings of a live display.
const TICK: Duration = Duration::from_millis(100);

/// Waiting messages from which on droppable events are dropped, and log readers should pause.
const CROWDED: usize = 4096;

/// Where a report writes.
pub struct Streams {
    /// Container logs.
    pub out: Box<dyn Write + Send>,
    /// Progress.
    pub err: Box<dyn Write + Send>,
}

/// One way of showing a run. An `Err` ends the report, never the run.
pub trait Report: Send {
    /// Shows an event, which the view has already taken in.
    fn event(&mut self, _streams: &mut Streams, _view: &RunView, _event: &Event) -> io::Result<()> {
        Ok(())
    }

    /// Shows lines of container logs, in order, each with its line end.
    fn logs(&mut self, streams: &mut Streams, _view: &RunView, lines: &str) -> io::Result<()> {
        streams.out.write_all(lines.as_bytes())?;
        streams.out.flush()
    }

    /// Time has passed.
    fn tick(&mut self, _streams: &mut Streams, _view: &RunView, _now: Elapsed) -> io::Result<()> {
        Ok(())
    }

    /// Nothing further comes: clears what is not meant to stay.
    fn finish(&mut self, _streams: &mut Streams) -> io::Result<()> {
        Ok(())
    }
}

/// The thread that writes, seen from the run. Cloning gives another way in.
#[derive(Debug, Clone)]
pub struct Reporter {
    messages: mpsc::Sender<Message>,
    waiting: Arc<AtomicUsize>,
}

#[derive(Debug)]
enum Message {
    Event(Box<Event>),
    Log(LogRecord),
    Finish,
}

impl Reporter {
    /// Starts the thread. Joining it after [`Reporter::finish`] gives the picture of the run.
    ///
    /// # Errors
    ///
    /// The machine has no thread left.
    pub fn spawn(
        report: Box<dyn Report>,
        streams: Streams,
        logs: LogStyle,
    ) -> io::Result<(Self, JoinHandle<RunView>)> {
        let (messages, receiver) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let writer = Writer {
            report: Some(report),
            streams,
            logs: LogPrinter::new(logs),
            view: RunView::default(),
            received: Instant::now(),
            waiting: Arc::clone(&waiting),
        };
        let thread =
            std::thread::Builder::new().name("report".to_owned()).spawn(move || writer.run(&receiver))?;
        Ok((Self { messages, waiting }, thread))
    }

    /// Shows a line of a container's log.
    ///
    /// # Errors
    ///
    /// The thread has ended.
    pub fn log(&self, record: LogRecord) -> io::Result<()> {
        self.send(Message::Log(record))
    }

    /// Whether so much waits to be written that readers of logs should pause.
    pub fn is_crowded(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) >= CROWDED
    }

    /// Lets the thread write what waits, clear the display and end.
    pub fn finish(&self) {
        // An error means that it has already ended.
        drop(self.send(Message::Finish));
    }

    fn send(&self, message: Message) -> io::Result<()> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.messages.send(message).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Sink for Reporter {
    fn emit(&mut self, event: &Event) -> io::Result<()> {
        if event.kind.is_droppable() && self.is_crowded() {
            return Ok(());
        }
        self.send(Message::Event(Box::new(event.clone())))
    }
}

struct Writer {
    /// `None` once it could not write.
    report: Option<Box<dyn Report>>,
    streams: Streams,
    logs: LogPrinter,
    view: RunView,
    /// When the last event came in: the run's clock goes on from its moment.
    received: Instant,
    waiting: Arc<AtomicUsize>,
}

impl Writer {
    fn run(mut self, messages: &mpsc::Receiver<Message>) -> RunView {
        let mut painted = Instant::now();
        loop {
            let pause = TICK.saturating_sub(painted.elapsed());
            match messages.recv_timeout(pause) {
                Ok(first) => {
                    if self.take(first, messages) {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if painted.elapsed() >= TICK {
                painted = Instant::now();
                let now = self.view.at + self.received.elapsed();
                self.write(|report, streams, view| report.tick(streams, view, now));
            }
        }
        self.write(|report, streams, _| report.finish(streams));
        self.view
    }

    /// Takes in a message and those that wait behind it; true at the end. Log lines in a row are written at once.
    fn take(&mut self, first: Message, messages: &mpsc::Receiver<Message>) -> bool {
        let mut lines = String::new();
        let mut end = false;
        for message in std::iter::once(first).chain(messages.try_iter().take(CROWDED)) {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            match message {
                Message::Log(record) => lines.push_str(&self.logs.format(&record)),
                Message::Event(event) => {
                    self.write_logs(&mut lines);
                    self.view.apply(&event);
                    self.received = Instant::now();
                    self.write(|report, streams, view| report.event(streams, view, &event));
                }
                Message::Finish => {
                    end = true;
                    break;
                }
            }
        }
        self.write_logs(&mut lines);
        end
    }

    fn write_logs(&mut self, lines: &mut String) {
        if !lines.is_empty() {
            let lines = std::mem::take(lines);
            self.write(|report, streams, view| report.logs(streams, view, &lines));
        }
    }

    fn write(&mut self, act: impl FnOnce(&mut dyn Report, &mut Streams, &RunView) -> io::Result<()>) {
        if let Some(report) = &mut self.report
            && act(report.as_mut(), &mut self.streams, &self.view).is_err()
        {
            self.report = None;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{
        event::ServiceState,
        report::{
            PlainReport,
            view::tests::{events, service, started},
        },
    };

    /// A writer that several owners can read.
    #[derive(Debug, Clone, Default)]
    pub(in crate::report) struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Shared {
        pub(in crate::report) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a report writes to standard error for these events.
    pub(in crate::report) fn rendered(mut report: impl Report, events: &[Event]) -> String {
        let err = Shared::default();
        let mut streams = Streams { out: Box::new(io::sink()), err: Box::new(err.clone()) };
        let mut view = RunView::default();
        for event in events {
            view.apply(event);
            report.event(&mut streams, &view, event).unwrap();
        }
        report.finish(&mut streams).unwrap();
        err.text()
    }

    #[test]
    fn events_and_logs_are_written_in_order_and_the_view_comes_back() {
        let (out, err) = (Shared::default(), Shared::default());
        let streams = Streams { out: Box::new(out.clone()), err: Box::new(err.clone()) };
        let (mut reporter, thread) =
            Reporter::spawn(Box::new(PlainReport::default()), streams, LogStyle::default()).unwrap();
        for event in events(vec![(0, started()), (100, service("db", ServiceState::Ready, ""))]) {
            reporter.emit(&event).unwrap();
        }
        reporter.log(LogRecord::new("db-1", "db", "hello")).unwrap();
        reporter.finish();
        let view = thread.join().unwrap();
        assert_eq!(view.ready(), 1);
        assert_eq!(out.text(), "db-1  | hello\n");
        assert!(err.text().contains("db-1   ready"), "{}", err.text());
        assert!(reporter.log(LogRecord::new("db-1", "db", "late")).is_err());
    }

    #[test]
    fn a_reader_that_is_gone_ends_the_report_and_not_the_run() {
        let streams = Streams { out: Box::new(Closed), err: Box::new(Closed) };
        let (mut reporter, thread) =
            Reporter::spawn(Box::new(PlainReport::default()), streams, LogStyle::default()).unwrap();
        for event in events(vec![(0, started()), (100, service("db", ServiceState::Ready, ""))]) {
            reporter.emit(&event).unwrap();
        }
        reporter.finish();
        assert_eq!(thread.join().unwrap().ready(), 1, "the view goes on");
    }
}
