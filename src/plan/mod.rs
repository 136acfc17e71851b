//! What will be done, and why.
//!
//! *Owns* the snapshot nouns ([`Observed`]). *Must not know* async code, bollard, progress.

mod observed;

pub use observed::*;
