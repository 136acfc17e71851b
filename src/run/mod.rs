//! One command from what is observed to how it ended.
//!
//! *Owns* the sequence: observe, plan, drive, and on failure plan and drive again; what is saved before containers
//! are removed; what a request to end means at which moment; one look at the
//! health of what runs. *Must not know* the command line, terminals, or where
//! files are kept: what is to be kept goes to a [`Keep`].

mod begin;
mod end;
mod evidence;
mod examine;
mod settle;
mod up;

pub use begin::{Ended, RunError, RunLabel, scope};
pub use end::{Ending, end};
pub use evidence::{Keep, KeptContainer};
pub use examine::{CheckSeen, Examined, ExaminedState, examine, examine_by_engine};
pub use up::{AbortOn, UpRequest, up};
