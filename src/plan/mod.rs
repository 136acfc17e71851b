//! What will be done, and why.
//!
//! *Owns* the snapshot nouns ([`Observed`]) and config hashes. *Must not know* async code, bollard, progress.

mod hash;
mod observed;

pub use hash::*;
pub use observed::*;
