//! When which timer is due.

use std::collections::{BTreeMap, BTreeSet};

use super::Owner;
use crate::{
    plan::{StepId, UnitId},
    time::Elapsed,
};

/// What a moment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A monitor wants to be polled, or a start is to be tried again.
    Owner(Owner),
    /// A step is to be performed again.
    Step(StepId),
    /// A batch of a unit's update is over.
    Batch(UnitId),
    /// A wave must be ready.
    Wave(usize),
    /// Everything must be ready.
    Run,
    /// The rollback window is over.
    Window,
}

/// One moment at most for each timer.
#[derive(Debug, Clone, Default)]
pub(super) struct Agenda {
    by_time: BTreeSet<(Elapsed, Timer)>,
    by_timer: BTreeMap<Timer, Elapsed>,
}

impl Agenda {
    /// Sets or clears a timer.
    pub(super) fn set(&mut self, timer: Timer, at: Option<Elapsed>) {
        if let Some(old) = self.by_timer.remove(&timer) {
            self.by_time.remove(&(old, timer));
        }
        if let Some(at) = at {
            self.by_timer.insert(timer, at);
            self.by_time.insert((at, timer));
        }
    }

    /// Takes out what is due at `now`, the earliest first.
    pub(super) fn due(&mut self, now: Elapsed) -> Vec<Timer> {
        let mut due = Vec::new();
        while let Some((at, timer)) = self.by_time.first().copied().filter(|(at, _)| *at <= now) {
            self.by_time.remove(&(at, timer));
            self.by_timer.remove(&timer);
            due.push(timer);
        }
        due
    }

    /// Whether a timer has a moment.
    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.by_timer.contains_key(&timer)
    }

    /// The next moment.
    pub(super) fn next(&self) -> Option<Elapsed> {
        self.by_time.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(ms: u64) -> Elapsed {
        Elapsed::new(Duration::from_millis(ms))
    }

    #[test]
    fn a_timer_has_one_moment_and_is_taken_once() {
        let mut agenda = Agenda::default();
        agenda.set(Timer::Run, Some(at(50)));
        agenda.set(Timer::Wave(0), Some(at(10)));
        agenda.set(Timer::Run, Some(at(5)));
        assert_eq!(agenda.next(), Some(at(5)));
        assert_eq!(agenda.due(at(10)), [Timer::Run, Timer::Wave(0)]);
        assert_eq!(agenda.due(at(100)), []);
        agenda.set(Timer::Run, Some(at(5)));
        agenda.set(Timer::Run, None);
        assert_eq!(agenda.next(), None);
    }
}
