//! What several tests need.

pub(crate) mod chance;
pub(crate) mod daemon;
pub(crate) mod docker;
pub(crate) mod door;
pub(crate) mod gguf;
pub(crate) mod http;
pub(crate) mod lab;
pub(crate) mod proxy;
pub(crate) mod pty;
pub(crate) mod stack;
pub(crate) mod world;
