//! Short forms turned into long ones, so that every later stage sees one shape of each attribute.
//!
//! *Owns* the short syntax of ports, volumes, devices, builds and the like. *Must not know* defaults, the project
//! directory, or whether what is referred to exists.

mod build;
mod ports;
mod resources;
mod service;
mod volumes;

pub(crate) use service::canonicalise;
pub(crate) use volumes::volume_target;

/// What is done with a short form that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is an error.
    Refuse,
    /// It stays as it is: variables in it were not replaced.
    Keep,
}
