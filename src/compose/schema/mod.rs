//! The shape of a Compose file: which attributes there are, and of which types.
//!
//! *Owns* a table of every attribute of the Compose specification as Docker Compose 2.40 knows it, and the check of
//! a merged tree against it. *Must not know* what attributes mean, or short forms beyond their types.

mod file;
mod parts;
mod service;
mod shape;
mod validate;

pub(crate) use validate::validate;
