//! A Docker Engine in memory, for tests: virtual time, scripted services, scripted faults, and a record of every
//! request.
//!
//! *Owns* [`SimEngine`] and the language of its [`Script`]. *Must not know* what the project does with an engine; it
//! claims only what the contract tests have seen a real engine do. It spawns tasks of its own, because a real engine
//! goes on when nobody waits for its answer. With one script and one caller it always gives the same record.

mod attach;
mod container;
mod daemon;
mod facts;
mod life;
mod record;
mod resources;
mod script;
mod streams;
#[cfg(test)]
mod tests;
mod verbs;
mod world;

pub use daemon::Outage;
pub use record::{Request, Standing, Verb};
pub use script::{Behaviour, Effect, Fault, Script, SimImage};
pub use world::SimEngine;
