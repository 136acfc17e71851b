//! Commands about runs of the past.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::{
    ChartFormat, Format, LateProjectFlags, OnFailureArg, StopTimeout, UpArgs, parse_duration,
    parse_stop_timeout,
};

/// `history`.
#[derive(Debug, Clone, Default, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
What is recorded lies in the project's folder below ~/.local/state/docker-orch,
for its user alone. Contents of secrets, values of variables whose names say
that they are secret (PASSWORD, TOKEN, …) and passwords in addresses are
replaced by *** in it.

Examples:
  docker orch history                  What was done, the newest first
  docker orch history show             The last run that failed: why, and what was left
  docker orch history show 20261122T01 A run by the beginning of its ID"
)]
pub struct HistoryArgs {
    /// One run in full.
    #[command(subcommand)]
    pub command: Option<HistoryCommand>,
    /// List at most this many
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Print it this way
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "table")]
    pub format: Format,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}

/// What is to be seen of a history.
#[derive(Debug, Clone, Subcommand)]
pub enum HistoryCommand {
    /// Show one run in full: why it failed, what was done, where the time went, where its files are
    Show(HistoryShowArgs),
}

/// `history show`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Reports can be had of any run that is kept, also of one that was killed: what
was not known any more is told as interrupted.

Examples:
  docker orch history show                    The last run that failed
  docker orch history show --junit junit.xml  And a report of it for a CI server")]
pub struct HistoryShowArgs {
    /// Its ID, or a beginning that no other has [default: the last run that failed, else the last]
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Print it this way
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "table")]
    pub format: Format,
    /// Write a JUnit report of it to this file
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write what came of each service to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}

/// `timeline`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
One row for each container: getting its image, its creation, its start, each
stage of its checks. Between bars it waited. The critical chain is what the
time went along: only what is on it makes the whole faster.

Examples:
  docker orch timeline                    The last start
  docker orch timeline --compare          The same, beside the start before it
  docker orch timeline 20261122T01        A run by the beginning of its ID
  docker orch timeline -o start.html      As a page to look at and to pass on
  docker orch timeline --format json      For programs")]
pub struct TimelineArgs {
    /// Its ID, or a beginning that no other has [default: the last run that started something]
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Say what became slower or faster since this run; without RUN: since the last start before it
    #[arg(long, value_name = "RUN", num_args = 0..=1, default_missing_value = "")]
    pub compare: Option<String>,
    /// Print it this way [default: as the ending of FILE says, else table]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub format: Option<ChartFormat>,
    /// Write it to this file
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}

/// `rollback`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Each `up` that succeeds notes the model and the images that ran. A rollback
starts what was noted before the last one: changed services are recreated,
services that came since are removed, the rest is not touched. It is a run like
any other: a second rollback goes forward again. `docker orch --dry-run rollback`
shows what it would do.

What lies outside the model has no versions: the contents of volumes, of bind
mounts, and of secrets and configs that are files. Volumes are never removed.
The notes lie in the project's folder below ~/.local/state/docker-orch, for its
user alone, and go with `docker orch down`.

Examples:
  docker orch rollback                       What ran before the last `up`
  docker orch rollback --to 20261122T015000  What ran after this run")]
pub struct RollbackArgs {
    /// Go back to what ran after this run: its ID, or a beginning that no other has
    #[arg(long, value_name = "RUN")]
    pub to: Option<String>,
    /// What to do when something critical fails [env: `DOCKER_ORCH_ON_FAILURE`]
    #[arg(long, value_name = "POLICY", value_enum)]
    pub on_failure: Option<OnFailureArg>,
    /// Let the whole start take at most this long [env: `DOCKER_ORCH_TIMEOUT`]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub start_timeout: Option<Duration>,
    /// Let a container take this many seconds to stop; -1: as long as it likes
    #[arg(short = 't', long, value_name = "SECONDS", value_parser = parse_stop_timeout, allow_negative_numbers = true)]
    pub timeout: Option<StopTimeout>,
    /// Write every event to this file, one JSON object per line
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Answer yes to every question
    #[arg(short = 'y', long)]
    pub yes: bool,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}

impl RollbackArgs {
    /// The `up` that it is.
    pub fn up(&self) -> UpArgs {
        UpArgs {
            detach: true,
            on_failure: self.on_failure,
            start_timeout: self.start_timeout,
            timeout: self.timeout,
            events: self.events.clone(),
            yes: self.yes,
            ..UpArgs::default()
        }
    }
}
