//! Commands about runs of the past.

use clap::{Args, Subcommand};

use super::{Format, LateProjectFlags};

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
pub struct HistoryShowArgs {
    /// Its ID, or a beginning that no other has [default: the last run that failed, else the last]
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Print it this way
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "table")]
    pub format: Format,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}
