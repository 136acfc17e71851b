//! Which services are loaded, decided from who asks for them and from the memory of the GPUs: a machine without a clock.
//!
//! *Owns* the life of every service that is loaded on demand, the ledger of each device's memory, the choice of devices
//! and of victims, and a reason in words for each decision. *Must not know* how a request is passed on, a container
//! started or memory measured: it is given an [`Input`] and answers with [`Effect`]s. Nothing of its state lasts: after a
//! restart a new one is told what runs.
//!
//! ```text
//!           asked             room and a turn             loaded              bytes
//!  cold ─────────────► waiting ───────────────► loading ─────────────► ready ◄──────► busy
//!   ▲ ▲                 │   ▲                    │   │                  │ ▲             │
//!   │ └── nobody waits ─┘   │ out of memory,     │   │ idle, evicted or │ │ resumed     │ unloaded by hand, or
//!   │                       │ once               │   │ by hand          ▼ │             │ drained for one who has
//!   │                       ├────────────────────┘   │                draining ◄────────┘ waited too long
//!   │                       │       failed, given up │                  │ no bytes in flight, the devices' turn
//!   │   asked meanwhile     │                        ▼                  ▼
//!   └────────────────── settling ◄──────────────── unloading ◄──────────┘
//!                           │                        │ twice over its time
//!                           ▼                        ▼
//!                         failed, for a while      stuck, asked to stop again and again
//!
//!  blocked: it can never fit; every request is answered at once
//! ```
//!
//! Nobody starves: who has waited beyond their patience comes before all priorities, keeps later ones off the devices that
//! they are to get, and may have those drained that are never idle. A drain is given up after twice the patience, so that
//! an answer without end blocks nobody for long; patience then begins anew. Whoever waits has a deadline of their own.
//!
//! Locks are no state of their own: a device is locked while a service on it is loading, unloading or settling. So whatever
//! goes wrong leaves none.
//!
//! Entry points: [`Machine::step`] and [`Machine::next_deadline`]; to look: [`Machine::status`], [`Machine::devices`] and
//! [`Machine::why`]; to foretell: [`Surveyed::survey`].

mod input;
mod ledger;
mod load;
mod machine;
mod request;
mod room;
mod service;
mod spec;
mod status;
mod survey;
mod turn;
mod victims;
mod why;

pub use input::*;
pub use machine::Machine;
pub use spec::*;
pub use status::*;
pub use survey::*;

#[cfg(test)]
mod tests;
