//! The command line, as clap reads it.
//!
//! Docker's own flags stand before the commands (the Docker CLI hands them over in front of the plugin's name),
//! Compose's project flags stand before or after them.

mod bench;
mod images;
mod inspect;
mod lifecycle;
mod ondemand;
mod record;
mod results;
mod run;
mod serve;
mod values;

pub use bench::*;
pub use images::*;
pub use inspect::*;
pub use lifecycle::*;
pub use ondemand::*;
pub use record::*;
pub use results::*;
pub use run::*;
pub use serve::*;
pub use values::*;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

/// What `--help` says beyond flags.
const LONG_HELP: &str = "\
Examples:
  docker orch up -d                 Start everything and return when it is ready
  docker orch up --wait-timeout 60s Give up, and put things back, after a minute
  docker orch plan                  Show what `up` would do, and why
  docker orch run --rm web sh       Run a command beside `web`, with all it depends on
  docker orch health                Run every health check once
  docker orch doctor                See what is in the way of a start
  docker orch down                  Stop and remove the project, keep its volumes

Exit codes:
  0    everything is as asked
  1    a service failed
  2    the file or the command line is wrong, or names something that is not there
  3    the engine cannot be reached, or refused, or somebody else holds a port or name
  4    timed out
  130  interrupted
  For `run`, and with --exit-code-from, the container's own.

Variables, which a flag beats and which beat the file:
  DOCKER_ORCH_ON_FAILURE, DOCKER_ORCH_MODE, DOCKER_ORCH_MAX_PARALLEL,
  DOCKER_ORCH_TIMEOUT, DOCKER_ORCH_ROLLBACK_WINDOW   as the flags of `up`
  DOCKER_ORCH_JUNIT, DOCKER_ORCH_SUMMARY, DOCKER_ORCH_ARTIFACTS
                                                     as the flags of `up` and `run`
  DOCKER_ORCH_LOCK_TIMEOUT                           as --lock-timeout
  DOCKER_ORCH_ENGINE_TIMEOUT                         how long one call to the engine may take [2m]
  DOCKER_ORCH_GPUS                                   where to look for GPUs: see `docker orch gpu --help`
  DOCKER_HOST, DOCKER_CONTEXT, DOCKER_CONFIG, ...    as for `docker`
  COMPOSE_FILE, COMPOSE_PROJECT_NAME, COMPOSE_PROFILES, ...
                                                     as for `docker compose`
  NO_COLOR                                           no colours

Every Compose file works as it is; `x-orch` in it adds waves, staged health checks and failure policies.";

/// Start a Compose project as fast as its dependencies allow, and put things back when something fails
#[derive(Debug, Clone, Parser)]
#[command(
    name = "docker orch",
    bin_name = "docker orch",
    disable_version_flag = true,
    max_term_width = 100,
    propagate_version = false,
    after_help = "\
Examples:
  docker orch up -d                 Start everything and return when it is ready
  docker orch up --wait-timeout 60s Give up, and put things back, after a minute
  docker orch plan                  Show what `up` would do, and why
  docker orch run --rm web sh       Run a command beside `web`, with all it depends on
  docker orch health                Run every health check once
  docker orch doctor                See what is in the way of a start
  docker orch down                  Stop and remove the project, keep its volumes

Every Compose file works as it is; `x-orch` in it adds waves, staged health checks and failure policies.
`docker orch --help` also lists exit codes and variables, `docker orch COMMAND --help` every flag.",
    after_long_help = LONG_HELP
)]
pub struct Root {
    /// Docker's own flags.
    #[command(flatten)]
    pub docker: DockerFlags,
    /// Which project.
    #[command(flatten)]
    pub project: ProjectFlags,
    /// How things are shown.
    #[command(flatten)]
    pub display: DisplayFlags,
    /// Show the version and exit
    #[arg(short = 'v', long = "version")]
    pub version: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags of the Docker CLI, which it takes before the plugin's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Docker options")]
pub struct DockerFlags {
    /// Read Docker's client configuration from this folder
    #[arg(long = "config", value_name = "DIR", env = "DOCKER_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// Connect to the engine of this context
    #[arg(short = 'c', long, value_name = "NAME")]
    pub context: Option<String>,
    /// Tell more about what happens inside
    #[arg(short = 'D', long)]
    pub debug: bool,
    /// Connect to the engine at this address
    #[arg(short = 'H', long, value_name = "ADDRESS")]
    pub host: Vec<String>,
    /// Show messages from this level on
    #[arg(short = 'l', long, value_name = "LEVEL", value_parser = ["debug", "info", "warn", "error", "fatal"])]
    pub log_level: Option<String>,
    /// Use TLS
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub tls: Option<bool>,
    /// Trust only certificates signed by this CA
    #[arg(long, value_name = "FILE")]
    pub tlscacert: Option<PathBuf>,
    /// Show this certificate to the engine
    #[arg(long, value_name = "FILE")]
    pub tlscert: Option<PathBuf>,
    /// Use this key with the certificate
    #[arg(long, value_name = "FILE")]
    pub tlskey: Option<PathBuf>,
    /// Use TLS and verify the engine's certificate
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub tlsverify: Option<bool>,
}

/// Which project, before the command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Project options")]
pub struct ProjectFlags {
    /// Read this Compose file; may be given several times, later ones override
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Use this project name
    #[arg(short = 'p', long, value_name = "NAME")]
    pub project_name: Option<String>,
    /// Enable this profile; may be given several times, `*` enables all
    #[arg(long = "profile", value_name = "NAME")]
    pub profiles: Vec<String>,
    /// Read variables from this file instead of `.env`; may be given several times
    #[arg(long = "env-file", value_name = "FILE")]
    pub env_files: Vec<PathBuf>,
    /// Resolve relative paths from this folder instead of the first Compose file's
    #[arg(long, value_name = "DIR", global = true)]
    pub project_directory: Option<PathBuf>,
    /// Name containers as Compose 1 did, with underscores
    #[arg(long, global = true)]
    pub compatibility: bool,
    /// Include networks, volumes, secrets and configs that no service uses
    #[arg(long, global = true)]
    pub all_resources: bool,
    /// Pull and build at most this many images at once; -1: no limit
    #[arg(long, value_name = "N", global = true, allow_negative_numbers = true)]
    pub parallel: Option<i64>,
    /// Wait this long for another command that is changing the project [default: 30s] [env: `DOCKER_ORCH_LOCK_TIMEOUT`]
    #[arg(long, value_name = "DURATION", global = true, value_parser = parse_duration)]
    pub lock_timeout: Option<Duration>,
    /// Show what would be done, and do nothing
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Write where the time goes to this file, for `https://ui.perfetto.dev` and `chrome://tracing`
    #[arg(long, value_name = "FILE", global = true)]
    pub trace: Option<PathBuf>,
}

/// How things are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Project options")]
pub struct DisplayFlags {
    /// Show progress this way
    #[arg(long, value_name = "MODE", value_enum, global = true)]
    pub progress: Option<Progress>,
    /// Use colours and other control codes
    #[arg(long, value_name = "WHEN", value_enum, global = true)]
    pub ansi: Option<Ansi>,
}

/// Which project, after the command; added to what stands before it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Project options")]
pub struct LateProjectFlags {
    /// Read this Compose file; may be given several times, later ones override
    #[arg(short = 'f', long = "file", id = "late_files", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Which project, in the flags that conflict with no other.
    #[command(flatten)]
    pub rest: LateProjectFlagsWithoutFile,
}

/// [`LateProjectFlags`] of the commands where `-f` means something else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Project options")]
pub struct LateProjectFlagsWithoutFile {
    /// Use this project name
    #[arg(short = 'p', long = "project-name", id = "late_project_name", value_name = "NAME")]
    pub project_name: Option<String>,
    /// Enable this profile; may be given several times, `*` enables all
    #[arg(long = "profile", id = "late_profiles", value_name = "NAME")]
    pub profiles: Vec<String>,
    /// Read variables from this file instead of `.env`; may be given several times
    #[arg(long = "env-file", id = "late_env_files", value_name = "FILE")]
    pub env_files: Vec<PathBuf>,
}

impl ProjectFlags {
    /// Adds what stands after the command.
    #[must_use]
    pub fn with_late(mut self, late: &LateProjectFlags) -> Self {
        self.files.extend(late.files.iter().cloned());
        self.with_late_rest(&late.rest)
    }

    /// Adds what stands after a command where `-f` means something else.
    #[must_use]
    pub fn with_late_rest(mut self, late: &LateProjectFlagsWithoutFile) -> Self {
        if late.project_name.is_some() {
            self.project_name.clone_from(&late.project_name);
        }
        self.profiles.extend(late.profiles.iter().cloned());
        self.env_files.extend(late.env_files.iter().cloned());
        self
    }
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Start the project, or the named services and what they depend on
    Up(UpArgs),
    /// Stop and remove the project's containers and networks
    Down(DownArgs),
    /// Stop containers and keep them
    Stop(StopArgs),
    /// Start containers that are there
    Start(StartArgs),
    /// Restart containers
    Restart(RestartArgs),
    /// Run a command in a container of its own, with all that the service depends on
    Run(Box<RunArgs>),
    /// Show what `up` would do, and why
    Plan(PlanArgs),
    /// List containers
    Ps(PsArgs),
    /// Run every health check once and show what it finds
    Health(HealthArgs),
    /// Show the logs of containers
    Logs(LogsArgs),
    /// Show what happens to containers as it happens
    Events(EventsArgs),
    /// Wait until services are ready, healthy or completed
    Wait(WaitArgs),
    /// List what was done to the project, or show one run in full
    History(HistoryArgs),
    /// Show a run as a chart: where the time went, and what would have to be faster
    Timeline(TimelineArgs),
    /// Go back to what ran before the last `up`
    Rollback(RollbackArgs),
    /// Stay, keep watch over what runs, and show it: a page, an HTTP API, metrics
    Serve(ServeArgs),
    /// Have services loaded by the `serve` that stays, and wait until they are ready
    Load(LoadArgs),
    /// Have services unloaded
    Unload(UnloadArgs),
    /// Keep services loaded, whoever else needs room
    Pin(PinArgs),
    /// Let pinned services go again when others need room
    Unpin(PinArgs),
    /// Show what services that are loaded on demand are doing, and why
    Why(WhyArgs),
    /// Show the project as it is understood
    #[command(alias = "convert")]
    Config(ConfigArgs),
    /// Look at everything that a start needs, and say what is wrong
    Doctor(DoctorArgs),
    /// List the GPUs of this machine and their memory
    Gpu(GpuArgs),
    /// Compare a start one service after the other, in parallel, and with Docker Compose
    Bench(BenchArgs),
    /// Pull images
    Pull(PullArgs),
    /// Build images
    Build(BuildArgs),
    /// Print the JSON Schema of `x-orch`
    Schema(SchemaArgs),
    /// Print what a shell needs to complete commands of `docker-orch`
    Completion(CompletionArgs),
    /// Write a manual page for each command
    #[command(hide = true)]
    Man(ManArgs),
    /// Show the version
    Version(VersionArgs),
}

impl Command {
    /// The project flags with those after the command added.
    pub fn project_flags(&self, before: ProjectFlags) -> ProjectFlags {
        match self {
            Self::Up(args) => before.with_late(&args.late),
            Self::Down(args) => before.with_late(&args.late),
            Self::Stop(args) => before.with_late(&args.late),
            Self::Start(args) => before.with_late(&args.late),
            Self::Restart(args) => before.with_late(&args.late),
            Self::Plan(args) => before.with_late(&args.up.late),
            Self::Ps(args) => before.with_late(&args.late),
            Self::Health(args) => before.with_late(&args.late),
            Self::Logs(args) => before.with_late_rest(&args.late),
            Self::Events(args) => before.with_late(&args.late),
            Self::Wait(args) => before.with_late(&args.late),
            Self::Rollback(args) => before.with_late(&args.late),
            Self::Timeline(args) => before.with_late(&args.late),
            Self::Serve(args) => before.with_late(&args.late),
            Self::Load(args) => before.with_late(&args.late),
            Self::Unload(args) => before.with_late(&args.late),
            Self::Pin(args) | Self::Unpin(args) => before.with_late(&args.late),
            Self::Why(args) => before.with_late(&args.late),
            Self::History(args) => {
                let late = before.with_late(&args.late);
                match &args.command {
                    Some(HistoryCommand::Show(args)) => late.with_late(&args.late),
                    None => late,
                }
            }
            Self::Config(args) => before.with_late(&args.late),
            Self::Doctor(args) => before.with_late(&args.late),
            Self::Bench(args) => {
                let mut all = before.with_late(&args.late);
                all.files.extend(args.files.iter().cloned());
                all
            }
            Self::Pull(args) => before.with_late(&args.late),
            Self::Build(args) => before.with_late(&args.late),
            Self::Run(_)
            | Self::Gpu(_)
            | Self::Schema(_)
            | Self::Completion(_)
            | Self::Man(_)
            | Self::Version(_) => before,
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Up(_) => "up",
            Self::Down(_) => "down",
            Self::Stop(_) => "stop",
            Self::Start(_) => "start",
            Self::Restart(_) => "restart",
            Self::Run(_) => "run",
            Self::Plan(_) => "plan",
            Self::Ps(_) => "ps",
            Self::Health(_) => "health",
            Self::Logs(_) => "logs",
            Self::Events(_) => "events",
            Self::Wait(_) => "wait",
            Self::History(_) => "history",
            Self::Timeline(_) => "timeline",
            Self::Rollback(_) => "rollback",
            Self::Serve(_) => "serve",
            Self::Load(_) => "load",
            Self::Unload(_) => "unload",
            Self::Pin(_) => "pin",
            Self::Unpin(_) => "unpin",
            Self::Why(_) => "why",
            Self::Config(_) => "config",
            Self::Doctor(_) => "doctor",
            Self::Gpu(_) => "gpu",
            Self::Bench(_) => "bench",
            Self::Pull(_) => "pull",
            Self::Build(_) => "build",
            Self::Schema(_) => "schema",
            Self::Completion(_) => "completion",
            Self::Man(_) => "man",
            Self::Version(_) => "version",
        }
    }
}

#[cfg(test)]
mod tests;
