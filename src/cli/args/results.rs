//! What a run leaves for CI.

use std::path::PathBuf;

use clap::Args;

/// Files about a run, written from its beginning on and complete when it has ended, however it ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Results")]
pub struct ResultsFlags {
    /// Write a JUnit report to this file, with a case for each service [env: `DOCKER_ORCH_JUNIT`]
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write what came of each service to this file, as JSON [env: `DOCKER_ORCH_SUMMARY`]
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    /// Gather everything in this folder: whole logs, health, inspect output, plan, events, both reports [env: `DOCKER_ORCH_ARTIFACTS`]
    #[arg(long, value_name = "DIR")]
    pub artifacts: Option<PathBuf>,
}
