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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_older_and_newer_records_can_be_read() {
        let read = |text: &str| serde_json::from_str::<ServiceInfo>(text).unwrap();
        let old = read(r#"{"service":"web","replicas":[1],"critical":true,"stages":[]}"#);
        assert_eq!((old.depends_on, old.image), (Vec::new(), String::new()));
        let new = read(
            r#"{"service":"web","replicas":[1],"critical":true,"stages":[],"depends_on":[
                {"on":"db","until":"stage","stage":"loaded"},{"on":"x","until":"paused","more":1}],"image":"i"}"#,
        );
        let stage = DependsOn { on: "db".into(), until: Until::Stage, stage: Some("loaded".into()) };
        assert_eq!(new.depends_on[0], stage);
        assert_eq!(new.depends_on[1].until, Until::Unknown);
    }
}
