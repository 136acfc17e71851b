//! Services that are loaded on demand, for real: what the machine of [`crate::ondemand`] decides is done here.
//!
//! *Owns* the one loop that hands requests, ends of loads, events of the engine and measurements to the machine and
//! carries out what it says; which addresses are listened on ([`doors()`]) and what stands in the place of services in
//! networks ([`Activators`]); how a service is started (as `up` starts it,
//! alone with what it depends on) and stopped. *Must not know* which service should be loaded or evicted, how bytes pass,
//! or the command line.
//!
//! What it has loaded outlives it, unless it is told to end: the next one finds it running, and takes it over.

mod activator;
mod doors;
mod gate;
mod handle;
mod load;
mod memory;
mod orders;
mod standing;
mod stay;

pub use activator::{Activator, activators};
pub use doors::{Door, doors};
pub use handle::{Command, Handle};
pub use load::loadable;
pub use standing::{Activators, Said, has_activators};
pub use stay::{Devices, Ending, Supervised, Supervisor};
