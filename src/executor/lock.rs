//! The project lock: commands that change the same project do so one after the other.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{AskError, Run};
use crate::event::{CancelReason, EventKind, Holder, StepAction};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// The lock of a project.
pub trait Lock: Send {
    /// Takes it, unless another command has it. Fine where it is ours already.
    fn take(&mut self) -> Taken;

    /// Lets others have it.
    fn release(&mut self);
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq)]
pub enum Taken {
    /// It is ours.
    Ours {
        /// What commands before this one were killed in: the engine may still be doing it.
        interrupted: Vec<StepAction>,
        /// Another command has had it since this one let it go.
        others: bool,
    },
    /// It is somebody else's.
    Theirs(Holder),
}

/// Why it is not ours.
#[derive(Debug, Clone, PartialEq)]
pub enum LockError {
    /// Another command has had it all the time.
    Busy {
        /// Which.
        holder: Holder,
        /// How long was waited for it.
        waited: Duration,
    },
    /// Somebody asked the run to end.
    Ended(CancelReason),
}

impl Run {
    /// Keeps others from changing the project while this run does; without a lock nobody is kept apart. `at_most`: how
    /// long to wait for another command.
    pub fn set_lock(&mut self, lock: Box<dyn Lock>, at_most: Duration) {
        self.lock = Some((lock, at_most));
    }

    /// Waits for the project lock, and says so where somebody else has it. Answers with what commands before this one
    /// were killed in.
    ///
    /// # Errors
    ///
    /// Another command goes on for too long, or a request to end has come.
    pub async fn lock(&mut self) -> Result<Vec<StepAction>, LockError> {
        let began = Instant::now();
        let mut told = false;
        loop {
            let Some((lock, at_most)) = &mut self.lock else { return Ok(Vec::new()) };
            let (taken, at_most) = (lock.take(), *at_most);
            let holder = match taken {
                Taken::Ours { interrupted, others } => {
                    self.overtaken |= others;
                    return Ok(interrupted);
                }
                Taken::Theirs(holder) => holder,
            };
            let waited = began.elapsed();
            if waited >= at_most {
                return Err(LockError::Busy { holder, waited });
            }
            // One that has just taken it says a moment later who it is.
            if !told && (holder.pid != 0 || waited >= 2 * PAUSE) {
                self.announce(EventKind::Waiting { holder, at_most });
                told = true;
            }
            match self.unless_ended(sleep(PAUSE.min(at_most.saturating_sub(waited)))).await {
                Ok(()) | Err(AskError::Engine(_)) => {}
                Err(AskError::Ended(reason)) => return Err(LockError::Ended(reason)),
            }
        }
    }

    /// The same where something is to be put back or ended: only a second request to end keeps it from that.
    ///
    /// # Errors
    ///
    /// Another command goes on for too long, or a second request to end has come.
    pub async fn lock_to_put_back(&mut self) -> Result<(), LockError> {
        self.putting_back = true;
        let locked = self.lock().await;
        self.putting_back = false;
        locked.map(|_| ())
    }

    /// Whether another command has changed the project since this run let it: then what this run did is not what stands.
    pub fn is_overtaken(&self) -> bool {
        self.overtaken
    }

    /// The same, and whether one is at it now; asked while others may have the lock.
    pub(super) fn is_left_to_others(&mut self) -> bool {
        let Some((lock, _)) = &mut self.lock else { return false };
        match lock.take() {
            Taken::Theirs(_) => return true,
            Taken::Ours { others, .. } => self.overtaken |= others,
        }
        self.unlock();
        self.overtaken
    }

    /// Lets other commands change the project.
    pub fn unlock(&mut self) {
        if let Some((lock, _)) = &mut self.lock {
            lock.release();
        }
    }
}
