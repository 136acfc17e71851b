//! What stays of a run: one folder with its events, and what was saved of containers before they were removed.
//!
//! *Owns* the state folder, the append-only file of events and its reader, bundles of logs, health results and
//! inspect output with secrets masked, how many runs are kept, the project lock, and the file of containers'
//! fingerprints. *Must not
//! know* the engine, or what is shown to anybody.
//!
//! ```text
//! $XDG_STATE_HOME/docker-orch/<project>/<run>/events.jsonl
//!                                             applied.json: of an `up` that succeeded
//!                                             plan.json, timings.json: of a run that failed
//!                                             containers/<name>/{log.txt,health.json,inspect.json}
//!                                       fingerprints.jsonl, <engine>.lock
//! ```

mod applied;
mod bundle;
mod clock;
mod fingerprints;
mod folder;
mod interrupted;
mod lock;
mod mask;
mod masked;
mod reader;
mod retention;
mod runs;
mod writer;

pub use applied::{Applied, applied};
pub use bundle::{Bundle, SavedContainer, container_folder};
pub use clock::{from_rfc3339, rfc3339, run_id};
pub use fingerprints::FingerprintFile;
pub use folder::{RunFolder, is_first, state_dir};
pub use interrupted::interrupted;
pub use lock::ProjectLock;
pub use mask::Mask;
pub use masked::Masked;
pub use reader::{ReadEvents, Tail, is_written, last_event, read_events};
pub use retention::{KEPT_RUNS, retain};
pub use runs::{KeptRun, runs, short_ids};
pub use writer::Journal;
