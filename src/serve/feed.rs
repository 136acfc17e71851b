//! What readers are told: the run that is shown, its events, and the figures of all runs so far.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use super::{
    history::{History, Line},
    project::project_json,
};
use crate::{
    event::{Event, ServiceState, Sink},
    metrics::Metrics,
    report::RunView,
};

/// Runs whose events are known to be counted, at most: of older ones nothing more comes.
const MOST_COUNTED: usize = 100;

/// What the command that serves is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The run that is shown is its own: `up --dashboard`.
    #[default]
    Running,
    /// It keeps watch over a project that runs.
    Monitoring,
    /// It shows what another command does.
    Following,
    /// It shows what came of the last run: something failed, and nobody keeps watch.
    Waiting,
    /// Nothing of the project runs.
    Down,
}

/// Where events come in and readers take them from. Cloning gives another way in.
#[derive(Debug, Clone)]
pub struct Feed(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Grows with everything that changes.
    version: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    project: String,
    mode: Mode,
    /// Its ID; empty before the first.
    run: String,
    history: History,
    view: RunView,
    metrics: Metrics,
    /// The first number that is not yet counted, by run: a run may be shown again.
    counted: BTreeMap<String, u64>,
}

/// Where a reader is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The run that it has been told of.
    pub(super) run: Option<String>,
    /// The last event of that run that it has.
    pub(super) seq: Option<u64>,
    /// The mode that it has been told of.
    pub(super) mode: Option<Mode>,
}

/// What is new to a reader.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Another run is shown from here on.
    pub(super) run: Option<String>,
    /// Something else is being done from here on.
    pub(super) mode: Option<Mode>,
    pub(super) lines: Vec<Line>,
}

impl News {
    pub(super) fn is_empty(&self) -> bool {
        self.run.is_none() && self.mode.is_none() && self.lines.is_empty()
    }
}

impl Feed {
    /// Of a project that nothing is known of.
    pub fn of(project: &str) -> Self {
        let (project, metrics) = (project.to_owned(), Metrics::of(project));
        let state = Mutex::new(State { project, metrics, ..State::default() });
        Self(Arc::new(Shared { state, version: watch::Sender::new(0) }))
    }

    /// Shows another run from now on; what comes of those before is left out.
    pub fn begin(&self, run: &str) -> FeedSink {
        self.change(|state| {
            run.clone_into(&mut state.run);
            state.history = History::default();
            state.view = RunView::default();
        });
        FeedSink { feed: self.clone(), run: run.to_owned() }
    }

    /// Says what is being done.
    pub fn set_mode(&self, mode: Mode) {
        self.change(|state| {
            state.mode = mode;
            if mode == Mode::Down {
                state.metrics.nothing_runs();
            }
        });
    }

    /// The run that is shown: its ID; empty before the first.
    pub fn run(&self) -> String {
        self.state().run.clone()
    }

    /// Wakes whoever waits for something new.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    /// What a reader does not have yet, at most so many events; its cursor moves on.
    pub(super) fn news(&self, cursor: &mut Cursor, most: usize) -> News {
        let state = self.state();
        let mut news = News::default();
        if cursor.run.as_ref() != Some(&state.run) {
            cursor.run = Some(state.run.clone());
            cursor.seq = None;
            news.run = Some(state.run.clone());
        }
        news.lines = state.history.after(cursor.seq, most);
        cursor.seq = news.lines.last().map(|line| line.seq).or(cursor.seq);
        // Said after what has been: with it a reader knows that it has caught up.
        if cursor.mode != Some(state.mode) && news.lines.len() < most {
            cursor.mode = Some(state.mode);
            news.mode = Some(state.mode);
        }
        news
    }

    /// The metrics as a scrape reads them.
    pub(super) fn metrics(&self) -> String {
        let metrics = self.state().metrics.clone();
        metrics.text()
    }

    /// The project as it is now.
    pub(super) fn project(&self) -> Value {
        let state = self.state();
        let last = state.history.last().map(|seq| event_id(&state.run, seq));
        project_json(&state.project, state.mode, &state.view, last.as_deref())
    }

    /// Whether a service is known, from the run that is shown.
    pub(super) fn knows(&self, service: &str) -> bool {
        self.state().view.replicas.iter().any(|view| view.replica.service == service)
    }

    /// IDs of the containers that a service has now, as far as events tell.
    pub(super) fn containers(&self, service: &str) -> BTreeSet<String> {
        let state = self.state();
        let of_it = state.view.replicas.iter().filter(|view| view.replica.service == service);
        let there = of_it.filter(|view| !matches!(view.state, ServiceState::Stopped | ServiceState::Removed));
        there.filter_map(|view| view.container.clone()).collect()
    }

    fn take(&self, run: &str, event: &Event) {
        self.change(|state| {
            let counted = state.counted.entry(run.to_owned()).or_default();
            if event.seq >= *counted {
                *counted = event.seq + 1;
                state.metrics.fold(event);
            }
            if state.counted.len() > MOST_COUNTED {
                state.counted.pop_first();
            }
            if state.run == run {
                state.view.apply(event);
                state.history.push(event);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.0.version.send_modify(|version| *version = version.wrapping_add(1));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The events of one run, on their way to readers.
#[derive(Debug)]
pub struct FeedSink {
    feed: Feed,
    run: String,
}

impl Sink for FeedSink {
    fn emit(&mut self, event: &Event) -> io::Result<()> {
        self.feed.take(&self.run, event);
        Ok(())
    }
}

/// What tells an event from those of all runs: `RUN:SEQ`.
pub(super) fn event_id(run: &str, seq: u64) -> String {
    format!("{run}:{seq}")
}

/// Where a reader is whose last event had this ID.
pub(super) fn cursor_of(id: &str) -> Cursor {
    let parsed = id.rsplit_once(':').and_then(|(run, seq)| Some((run, seq.parse().ok()?)));
    parsed.map_or_else(Cursor::default, |(run, seq)| Cursor {
        run: Some(run.to_owned()),
        seq: Some(seq),
        mode: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::EventKind, project::Replica, time::Elapsed};

    fn event(seq: u64, state: ServiceState) -> Event {
        let replica = Replica { service: "db".into(), number: 1 };
        let kind = EventKind::Service { replica, state, cause: String::new(), container: None };
        Event { seq, at: Elapsed::ZERO, kind }
    }

    #[test]
    fn a_reader_that_comes_back_gets_what_it_has_missed() {
        let feed = Feed::of("shop");
        let mut sink = feed.begin("r1");
        for seq in 0..3 {
            sink.emit(&event(seq, ServiceState::Probing)).unwrap();
        }
        let mut new = Cursor::default();
        let news = feed.news(&mut new, 100);
        assert_eq!((news.run.as_deref(), news.lines.len()), (Some("r1"), 3));
        assert!(feed.news(&mut new, 100).is_empty());

        let mut back = cursor_of("r1:0");
        let news = feed.news(&mut back, 100);
        assert_eq!((news.run, news.lines[0].seq), (None, 1));
        assert_eq!(back.seq, Some(2));
    }

    #[test]
    fn a_reader_of_another_run_begins_again() {
        let feed = Feed::of("shop");
        let mut old = feed.begin("r1");
        let mut reader = Cursor::default();
        feed.news(&mut reader, 100);
        feed.begin("r2").emit(&event(0, ServiceState::Ready)).unwrap();
        // What is late of the run before is not shown.
        old.emit(&event(0, ServiceState::Failed)).unwrap();
        let news = feed.news(&mut reader, 100);
        assert_eq!((news.run.as_deref(), news.lines.len()), (Some("r2"), 1));
        for odd in ["", "r1", "r1:", "r1:x", "0:0:0"] {
            assert_eq!(feed.news(&mut cursor_of(odd), 100).run.as_deref(), Some("r2"), "{odd}");
        }
    }

    #[test]
    fn a_run_that_is_shown_twice_is_counted_once() {
        let feed = Feed::of("shop");
        for _ in 0..2 {
            let mut sink = feed.begin("r1");
            sink.emit(&event(0, ServiceState::Restarting)).unwrap();
        }
        let text = feed.metrics();
        let line = text.lines().find(|line| line.starts_with("restart_count_total")).unwrap();
        assert!(line.ends_with(" 1"), "{line}");
    }

    #[test]
    fn whoever_waits_is_woken() {
        let feed = Feed::of("shop");
        let mut version = feed.subscribe();
        version.mark_unchanged();
        feed.set_mode(Mode::Monitoring);
        assert!(version.has_changed().unwrap());
    }
}
