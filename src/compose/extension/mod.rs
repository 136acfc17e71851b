//! The `x-orch` language: waves, start-up, failure policy, health checks, and what a service says of itself.
//!
//! *Owns* the keys of the language in one table ([`keys`], [`demand_keys`]), which gives the check of a file, the "did you mean" and
//! the JSON Schema; and the lowering of every spelling to [`crate::project`] types. *Must not know* how anything of
//! it is carried out. Entry points: [`apply`] while loading, [`settings::apply`] after it, and [`json_schema`].

mod check;
mod conflict;
mod demand;
mod demand_keys;
mod http;
mod keys;
mod probe;
mod recipe;
mod schema;
mod service;
pub mod settings;
mod shape;
mod tenants;
mod wave;

pub(crate) use service::{apply, keep_active};

pub use schema::json_schema;

#[cfg(test)]
mod tests;
