//! A stage's log as it moves: what moves its deadline.

use serde::Serialize;

use crate::{project::Progress, time::Elapsed};

/// Something that a stage's log said of how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Movement {
    /// The part of it that changes: `42`.
    pub value: String,
    /// All that matched: `loaded 42%`.
    pub text: String,
}

/// How far a stage's log has come.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Motion {
    pub(super) last: Option<(Elapsed, Movement)>,
    pub(super) reading: Reading,
}

/// Whether somebody reads the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Reading {
    /// The next movement is to be asked for.
    #[default]
    Wanted,
    /// It has been asked for.
    UnderWay,
    /// The log has ended.
    Over,
}

impl Motion {
    /// Takes what the log said; whether it has moved.
    pub(super) fn take(&mut self, now: Elapsed, movement: Option<&Movement>) -> bool {
        let Some(movement) = movement else {
            self.reading = Reading::Over;
            return false;
        };
        self.reading = Reading::Wanted;
        let is_new = self.last.as_ref().is_none_or(|(_, last)| last.value != movement.value);
        if is_new {
            self.last = Some((now, movement.clone()));
        }
        is_new
    }

    /// What matched last.
    pub(super) fn text(&self) -> Option<&str> {
        self.last.as_ref().map(|(_, movement)| movement.text.as_str())
    }

    /// The deadline that the last movement gives to a stage that began at `began`.
    pub(super) fn deadline(&self, progress: &Progress, began: Elapsed) -> Option<Elapsed> {
        let (at, _) = self.last.as_ref()?;
        Some((*at + progress.extend).min(began + progress.at_most))
    }
}
