//! The events of one run that a reader may still ask for.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use crate::event::{Event, EventKind};

/// How much is kept at most: beyond it, what a later event makes needless goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    /// Events that readers may lose.
    pub(super) droppable: usize,
    /// All others.
    pub(super) lasting: usize,
}

/// A run's events as lines of JSON, in order. Numbers of events rise, with gaps where something was let go.
#[derive(Debug)]
pub(super) struct History {
    most: Most,
    lines: VecDeque<Line>,
    droppable: usize,
}

/// One event.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) seq: u64,
    pub(super) json: Arc<str>,
    droppable: bool,
}

impl Default for History {
    fn default() -> Self {
        Self::new(Most { droppable: 2_000, lasting: 20_000 })
    }
}

impl History {
    pub(super) fn new(most: Most) -> Self {
        Self { most, lines: VecDeque::new(), droppable: 0 }
    }

    /// Adds the next event.
    pub(super) fn push(&mut self, event: &Event) {
        let Ok(json) = serde_json::to_string(event) else { return };
        let droppable = event.kind.is_droppable();
        self.lines.push_back(Line { seq: event.seq, json: json.into(), droppable });
        self.droppable += usize::from(droppable);
        // Half of it at once, so that this is rare.
        if self.droppable > self.most.droppable {
            let mut surplus = self.droppable - self.most.droppable / 2;
            self.droppable -= surplus;
            self.lines.retain(|line| {
                let goes = line.droppable && surplus > 0;
                surplus -= usize::from(goes);
                !goes
            });
        }
        if self.lines.len() - self.droppable > self.most.lasting {
            self.compact();
        }
    }

    /// Of the older ones keeps only the last about each thing: a picture made from the rest is the same.
    fn compact(&mut self) {
        let recent = self.lines.len() - self.most.lasting / 2;
        let mut told = BTreeSet::new();
        let mut kept = VecDeque::with_capacity(self.lines.len());
        for (index, line) in std::mem::take(&mut self.lines).into_iter().enumerate().rev() {
            let about = serde_json::from_str::<Event>(&line.json).ok().and_then(|event| about(&event.kind));
            let is_news = about.is_some_and(|about| told.insert(about));
            if is_news || index >= recent {
                kept.push_front(line);
            }
        }
        self.droppable = kept.iter().filter(|line| line.droppable).count();
        self.lines = kept;
    }

    /// The next events after a number, or from the first one on; at most so many.
    pub(super) fn after(&self, seq: Option<u64>, most: usize) -> Vec<Line> {
        let start = seq.map_or(0, |seq| self.lines.partition_point(|line| line.seq <= seq));
        self.lines.iter().skip(start).take(most).cloned().collect()
    }

    /// The number of the last event.
    pub(super) fn last(&self) -> Option<u64> {
        self.lines.back().map(|line| line.seq)
    }
}

/// What an event is the last word about; `None`: it stands for itself and is let go when it is old.
fn about(kind: &EventKind) -> Option<String> {
    match kind {
        EventKind::RunStarted(_) => Some("run".to_owned()),
        EventKind::RunFinished(_) => Some("end".to_owned()),
        EventKind::Ready { .. } => Some("ready".to_owned()),
        EventKind::WindowOpened { .. } => Some("window opened".to_owned()),
        EventKind::WindowClosed { .. } => Some("window closed".to_owned()),
        EventKind::CancelRequested { .. } => Some("cancel".to_owned()),
        EventKind::Unwinding { .. } => Some("unwinding".to_owned()),
        EventKind::WaveOpened { wave }
        | EventKind::WaveReady { wave }
        | EventKind::WaveFailed { wave, .. } => Some(format!("wave {wave}")),
        EventKind::Service { replica, .. } => Some(format!("service {replica}")),
        EventKind::Stage { replica, .. } => Some(format!("stage {replica}")),
        EventKind::Waiting { .. }
        | EventKind::StepStarted { .. }
        | EventKind::StepDone { .. }
        | EventKind::StepFailed { .. }
        | EventKind::StageMoved { .. }
        | EventKind::Breaker { .. }
        | EventKind::Probed { .. }
        | EventKind::Progress { .. }
        | EventKind::Told { .. }
        | EventKind::Hook { .. }
        | EventKind::ConditionMet { .. }
        | EventKind::Saved { .. }
        | EventKind::Warning { .. }
        | EventKind::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::ServiceState, project::Replica, time::Elapsed};

    fn event(seq: u64, kind: EventKind) -> Event {
        Event { seq, at: Elapsed::ZERO, kind }
    }

    fn state(service: &str, state: ServiceState) -> EventKind {
        let replica = Replica { service: service.into(), number: 1 };
        EventKind::Service { replica, state, cause: String::new(), container: None }
    }

    fn progress() -> EventKind {
        EventKind::Progress { image: "i".into(), text: String::new(), current: None, total: None }
    }

    fn seqs(history: &History, after: Option<u64>) -> Vec<u64> {
        history.after(after, usize::MAX).iter().map(|line| line.seq).collect()
    }

    #[test]
    fn a_reader_goes_on_where_it_was() {
        let mut history = History::default();
        for seq in 0..5 {
            history.push(&event(seq, progress()));
        }
        assert_eq!(seqs(&history, None), [0, 1, 2, 3, 4]);
        assert_eq!(seqs(&history, Some(2)), [3, 4]);
        assert_eq!(seqs(&history, Some(9)), [0; 0]);
        assert_eq!(history.after(None, 2).len(), 2);
        assert_eq!(history.last(), Some(4));
    }

    #[test]
    fn old_progress_goes_first() {
        let mut history = History::new(Most { droppable: 4, lasting: 100 });
        history.push(&event(0, state("db", ServiceState::Ready)));
        for seq in 1..=5 {
            history.push(&event(seq, progress()));
        }
        assert_eq!(seqs(&history, None), [0, 4, 5]);
    }

    #[test]
    fn the_last_word_about_each_service_stays_however_old() {
        let mut history = History::new(Most { droppable: 100, lasting: 8 });
        history.push(&event(0, state("db", ServiceState::Starting)));
        history.push(&event(1, state("db", ServiceState::Ready)));
        history.push(&event(2, EventKind::Warning { message: "old".into() }));
        for seq in 3..=8 {
            history.push(&event(seq, state("web", ServiceState::Restarting)));
        }
        assert_eq!(seqs(&history, None), [1, 5, 6, 7, 8]);
    }
}
