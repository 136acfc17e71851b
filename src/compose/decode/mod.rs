//! The canonical tree turned into [`crate::project`] types.
//!
//! *Owns* the last conversions: sizes, durations, command lines, lists to maps, and what counts as absent.
//! *Must not know* short forms, defaults, files, or whether what is referred to exists.

mod build;
mod deploy;
mod extensions;
mod fields;
mod mount;
mod network;
mod parts;
mod project;
mod resources;
mod service;
mod whole;

pub use extensions::to_json;
pub(crate) use project::project;
