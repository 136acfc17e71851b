//! docker orch: starts a Compose project as fast as its dependencies allow.
pub mod cli;
pub mod compose;
pub mod diagnostic;
pub mod engine;
pub mod event;
pub mod executor;
pub mod health;
pub mod journal;
pub mod plan;
pub mod probe;
pub mod project;
pub mod report;
pub mod run;
pub mod scheduler;
pub mod time;
