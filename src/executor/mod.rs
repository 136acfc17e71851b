//! Carries out what the scheduler decides.
//!
//! *Owns* requests to end ([`Signals`]). *Must not know* policy: what is done when, and what follows from it.

mod signals;

pub use signals::{CancelRequest, SignalSources, Signals};
