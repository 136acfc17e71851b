//! What happened: one numbered stream that everything a user sees is made from.
//!
//! *Owns* [`Event`] and its kinds, which are the same live, in `--events` files and in the journal. *Must not know*
//! who emits events or who reads them.

mod kind;
mod step;

pub use kind::*;

use serde::{Deserialize, Serialize};

use crate::time::Elapsed;

/// The version of the event format; grows when a field changes its meaning.
pub const FORMAT_VERSION: u32 = 1;

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// From 0, without gaps.
    pub seq: u64,
    /// When, since the run began.
    #[serde(with = "elapsed_seconds")]
    pub at: Elapsed,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// Takes events as they come. Must not block the run for long.
pub trait Sink: Send {
    /// Takes one event. An `Err` means that this sink can take no more (its reader is gone).
    fn emit(&mut self, event: &Event) -> std::io::Result<()>;
}

mod elapsed_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    use crate::time::Elapsed;

    pub(super) fn serialize<S: Serializer>(at: &Elapsed, serializer: S) -> Result<S::Ok, S::Error> {
        // Whole microseconds: enough to order, short to read.
        serializer.serialize_f64((at.since_start().as_secs_f64() * 1e6).round() / 1e6)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Elapsed, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds).map(Elapsed::new).map_err(serde::de::Error::custom)
    }
}
