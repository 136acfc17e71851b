//! Commands that get images.

use clap::Args;

use super::LateProjectFlags;

/// `pull`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
As many at once as --parallel says. Ends with 3 when a registry refused, unless
--ignore-pull-failures is given.

Examples:
  docker orch pull                   The images of all services
  docker orch pull web               Only that of `web`
  docker orch pull --policy missing  Only what the engine does not have")]
#[expect(clippy::struct_excessive_bools, reason = "one switch is one flag")]
pub struct PullArgs {
    /// Pull only the images of these
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Pull the images of what they depend on, too
    #[arg(long)]
    pub include_deps: bool,
    /// Leave out images that can be built
    #[arg(long)]
    pub ignore_buildable: bool,
    /// Go on when a pull fails
    #[arg(long)]
    pub ignore_pull_failures: bool,
    /// Pull `always`, or only what is `missing`
    #[arg(long, value_name = "POLICY", value_parser = ["always", "missing"], default_value = "always")]
    pub policy: String,
    /// Show no progress
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}

/// `build`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
By the engine's own builder, concurrently; an image that another is built from
comes first.

Examples:
  docker orch build             Every image that the file says how to build
  docker orch build --pull web  That of `web`, from the newest base image")]
#[expect(clippy::struct_excessive_bools, reason = "one switch is one flag")]
pub struct BuildArgs {
    /// Build only the images of these
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Build the images of what they depend on, too
    #[arg(long)]
    pub with_dependencies: bool,
    /// Set a build argument; `KEY` alone takes its value from the environment
    #[arg(long = "build-arg", value_name = "KEY=VALUE")]
    pub build_args: Vec<String>,
    /// Use nothing from the build cache
    #[arg(long)]
    pub no_cache: bool,
    /// Pull newer base images
    #[arg(long)]
    pub pull: bool,
    /// Show no progress
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}
