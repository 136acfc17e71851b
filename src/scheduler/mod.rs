//! What may happen next: the life of one plan, as a pure machine.
//!
//! *Owns* which steps may be performed, when gates and waves open, when a start is tried again, what a failure takes
//! with it, and when the whole is over. *Must not know* tokio, the engine, clocks, or printing: moments come in with
//! each [`Input`], and everything to be done goes out as an [`Effect`].
//!
//! Entry point is [`Scheduler::step`]. One replica's life:
//!
//! ```text
//!  waiting ──gates open, steps done──► starting ──► up ──stages pass──► (ready | degraded)
//!     │                                   │          │ exits 0 ──► completed
//!     │ a required gate breaks            │ fails    │ exits otherwise, deadline
//!     ▼                                   ▼          ▼
//!  skipped                        backoff ◄──tries left──┤
//!                                    └──► starting       └──none left──► failed
//! ```
//!
//! Once everything is ready, the rollback window may open: what ran before is kept for a while longer, and a critical
//! service that fails is not started again but ends the run, to be rolled back.
//!
//! A failure that is critical stops everything that has not begun; what is under way is waited for, never dropped.
//! Undoing is not this machine's business: that is another plan, see [`crate::plan::unwind`].

mod again;
mod agenda;
mod checks;
mod cursor;
mod ended;
mod finish;
mod gate;
mod input;
mod lane;
mod machine;
mod replica;
mod show;
mod update;
mod wave;
mod window;

pub use input::*;
pub use machine::*;
