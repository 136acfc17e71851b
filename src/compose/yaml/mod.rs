//! YAML text in, trees of [`Node`](super::tree::Node)s out, with every scalar resolved as Docker Compose resolves it.
//!
//! *Owns* the encoding of files, anchors (which outlive their document), aliases, merge keys, `!reset` and
//! `!override`, and the limits that keep hostile files small. *Must not know* what a Compose file means.
//!
//! Entry point is [`documents`].

mod build;
mod encoding;
mod scalar;
mod write;

pub use build::documents;
pub use encoding::decode;
pub use write::write;
