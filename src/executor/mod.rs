//! Carries out what the scheduler decides.
//!
//! *Owns* the loop that drives a plan ([`Run::drive`]), the tasks that it spawns, requests to end ([`Signals`]), and
//! the numbering of events. *Must not know* policy: what is done when, and what follows from it. Every task sits in
//! the loop's set and is waited for; the loop's one `select!` listens to requests to end first.

mod ask;
mod details;
mod drive;
mod exit;
mod follow;
mod hear;
mod life;
mod lock;
mod run;
mod signals;
mod task;
mod watch;

pub use ask::AskError;
pub use drive::Driven;
pub use hear::Heard;
pub use life::{give_files, post_start};
pub use lock::{Lock, LockError, Taken};
pub use run::{Followed, Ledger, Quiet, Run, Witness};
pub use signals::{CancelRequest, Sign, SignalSources, Signals};
