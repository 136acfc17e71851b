//! One command from what is observed to how it ended.
//!
//! *Owns* the sequence: observe, plan, look around, drive, and on failure plan and drive again; what is saved before containers
//! are removed; what a request to end means at which moment; one look at the
//! health of what runs; the bytes and signals between a one-off container and whoever attends it. *Must not know* the
//! command line, terminals (a [`Terminal`] is given to it), or where files are kept: what is to be kept goes to a
//! [`Keep`].

mod begin;
mod end;
mod evidence;
mod examine;
mod look;
mod one_off;
mod preflight;
mod settle;
mod stream;
mod up;
mod watch;

pub use begin::{Ended, RunError, RunLabel, planned, scope};
pub use end::{Ending, end};
pub use evidence::{Keep, KeptContainer};
pub use examine::{CheckSeen, Examined, ExaminedState, examine, examine_by_engine};
pub use look::look;
pub use one_off::{Attention, Gesture, OneOffEnd, Streams, Terminal, one_off};
pub use preflight::{Intended, preflight};
pub use up::{AbortOn, Ask, Nobody, UpRequest, up};
pub use watch::watch;
