//! Everything that is tested from outside the crate: one binary, linked once.

#[macro_use]
mod contract;
mod docker;
mod docker_engine;
mod examples;
mod support;
mod test_service;
