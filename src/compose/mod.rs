//! Text of Compose files in, a [`crate::project::Project`] out.
//!
//! *Owns* the loading pipeline: spanned trees, interpolation, merging, `extends`, `include`, profiles, canonical
//! forms, and the `x-orch` language. Files and environment come in through parameters. *Must not know* plans,
//! Docker, or the command line.

mod canonical;
mod casts;
mod check;
mod circle;
mod decode;
mod defaults;
pub mod dotenv;
mod extend;
pub mod extension;
mod files;
mod include;
pub mod interpolate;
mod limits;
mod load;
mod merge;
mod normalise;
mod paths;
mod profiles;
mod resolve;
mod schema;
mod short;
mod source;
pub mod tree;
mod units;
mod variables;
mod words;
pub mod yaml;

pub use decode::to_json as tree_json;
pub use limits::FILE_BYTES;
pub use load::{Loaded, LoadedTree, load, load_tree};
pub use short::{Unread, ports_and_mounts};
pub use source::{Environment, Files, LoadOptions, Skip};
pub use variables::{Variable, variables};
