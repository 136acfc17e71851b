//! Rules that a well-shaped file can still break.
//!
//! *Owns* the rules on single definitions, on references between them, and on attributes that exclude each other;
//! one file for each group. Nothing is fixed here. *Must not know* shapes of files, engines, or plans.

mod cycle;
mod definitions;
mod names;
mod place;
mod quantities;
mod references;
mod rules;
mod runnable;
mod targets;
#[cfg(test)]
mod tests;

pub(crate) use names::container_names;
pub(crate) use rules::{project, tree};
