//! What is wanted by hand of services that are loaded on demand.

use clap::Args;

use super::{Format, LateProjectFlags};

/// `load`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Asks the `docker orch serve` of the project, as a first request would, and returns when the services are ready.

Examples:
  docker orch load chat       Before somebody asks for it
  docker orch why chat        What it waits for meanwhile")]
pub struct LoadArgs {
    /// Load these
    #[arg(value_name = "SERVICE", required = true)]
    pub services: Vec<String>,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}

/// `unload`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  docker orch unload chat           Once it has answered what it is asked
  docker orch unload --force chat   At once")]
pub struct UnloadArgs {
    /// Unload these
    #[arg(value_name = "SERVICE", required = true)]
    pub services: Vec<String>,
    /// Whatever they are answering
    #[arg(long)]
    pub force: bool,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}

/// `pin` and `unpin`.
#[derive(Debug, Clone, Args)]
pub struct PinArgs {
    /// These
    #[arg(value_name = "SERVICE", required = true)]
    pub services: Vec<String>,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}

/// `why`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  docker orch why         Every service that is loaded on demand, in a line
  docker orch why chat    What it waits for, and why it was loaded, stopped or refused last")]
pub struct WhyArgs {
    /// This one; without, all
    #[arg(value_name = "SERVICE")]
    pub service: Option<String>,
    /// Print it this way
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "table")]
    pub format: Format,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}
