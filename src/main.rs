//! The `docker-orch` binary.
fn main() {}
