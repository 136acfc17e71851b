//! One tree over another: how a later file changes an earlier one, and a service the one it extends.
//!
//! *Owns* the merge rules of each attribute, lists whose items have a key, `!reset` and `!override`. *Must not
//! know* where the trees come from, nor what is valid in them.

mod reset;
mod rules;
mod unique;

pub(super) use reset::Resets;
pub(super) use rules::{merge, merge_service};
pub(super) use unique::drop_duplicates;
