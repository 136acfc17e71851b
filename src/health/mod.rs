//! What is ready, decided from probe results: a machine without a clock.
//!
//! *Owns* the words of health, [`look()`], which judges one look at a service, and [`Monitor`], which takes one
//! container from its start through its stages and watches it after that. *Must not know* how a probe is executed, nor the order of services.
//!
//! ```text
//!             stage passes, or is not critical          last stage
//!             and its deadline passes: next stage       is over
//!              ┌──┐                              ┌──────────────────► Ready ◄──────► Degraded
//!              ▼  │                              │                      │  ▲  reports,    │
//!  new ──► Starting (stage 0 … n) ───────────────┘                      │  │  non-critical│
//!                 │                                  failure_threshold  ▼  │  checks      ▼
//!                 │ deadline of a critical stage     failures in a row  Unhealthy ◄───────┘
//!                 ▼                                                     │  ▲  ▲
//!               Failed (for good)                           a success   ▼  │ a failure
//!                                                                     Recovering ──► Ready or Degraded
//!                                                                success_threshold successes in a row
//! ```
//!
//! Until it is ready a container is probed eagerly: all checks of the current stage at once, and again after a
//! pause that grows from 20 ms to 100 ms. `interval` counts only from then on. A check on somebody else may have a
//! [`Breaker`], which leaves it alone for a while; a stage's deadline may wait while its log moves ([`Movement`]).

mod breaker;
mod look;
mod monitor;
mod progress;
mod report;
mod result;
mod watch;

pub use breaker::{Breaker, Signal};
pub use look::{Status, look};
pub use monitor::*;
pub use progress::Movement;
pub use report::*;
pub use result::*;
