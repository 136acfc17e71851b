//! Tests of the whole crate against its surroundings, in one binary.

mod docker_engine;
mod examples;
mod test_service;
