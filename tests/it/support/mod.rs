//! What several tests need.

pub(crate) mod docker;
pub(crate) mod world;
