//! Commands that look and change nothing.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::{Format, LateProjectFlags, LateProjectFlagsWithoutFile, parse_duration};

/// `ps`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Examples:
  docker orch ps -a                         Stopped containers, too
  docker orch ps --filter status=exited -q  IDs of what has exited
  docker orch ps --format json              One JSON object per line, as Compose prints them")]
#[expect(clippy::struct_excessive_bools, reason = "one switch is one flag")]
pub struct PsArgs {
    /// List only containers of these
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// List stopped and one-off containers, too
    #[arg(short = 'a', long)]
    pub all: bool,
    /// Print only IDs
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Print only the names of services
    #[arg(long = "services", id = "only_services", conflicts_with = "quiet")]
    pub only_services: bool,
    /// Print it this way
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "table")]
    pub format: Format,
    /// List only what this holds for: `status=STATE`
    #[arg(long = "filter", value_name = "KEY=VALUE", value_parser = parse_filter)]
    pub filters: Vec<ContainerStatus>,
    /// List only containers in this state; may be given several times
    #[arg(long, value_name = "STATE", value_enum)]
    pub status: Vec<ContainerStatus>,
    /// Leave out containers of services that the file no longer has
    #[arg(long, value_name = "BOOL", default_value = "true", num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub orphans: bool,
    /// Cut nothing short
    #[arg(long)]
    pub no_trunc: bool,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}

/// A container's state, in the engine's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the engine's words")]
pub enum ContainerStatus {
    Created,
    Running,
    Paused,
    Restarting,
    Exited,
    Removing,
    Dead,
}

fn parse_filter(text: &str) -> Result<ContainerStatus, String> {
    let expected = "expected `status=` with created, running, paused, restarting, exited, removing or dead";
    text.strip_prefix("status=")
        .and_then(|status| ContainerStatus::from_str(status, false).ok())
        .ok_or_else(|| expected.to_owned())
}

/// `health`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Ends with 1 when something critical is not healthy.

Examples:
  docker orch health                  Every service, every stage
  docker orch health --format json    The standard report, for the project and each service")]
pub struct HealthArgs {
    /// Check only these
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Print it this way
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "table")]
    pub format: Format,
    /// Let all checks together take at most this long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "30s")]
    pub timeout: Duration,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}

/// `logs`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Examples:
  docker orch logs -f web                 Go on as `web` goes on
  docker orch logs --since 10m -t         The last ten minutes, with times")]
#[expect(clippy::struct_excessive_bools, reason = "one switch is one flag")]
pub struct LogsArgs {
    /// Show only the logs of these
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Go on with what comes
    #[arg(short = 'f', long)]
    pub follow: bool,
    /// Show this many lines from the end of each log, or `all`
    #[arg(short = 'n', long, value_name = "N", default_value = "all")]
    pub tail: String,
    /// Show what is newer than this: `2026-01-02T13:23:37Z`, or `42m` ago
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Show what is older than this: `2026-01-02T13:23:37Z`, or `42m` ago
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Show the time of each line
    #[arg(short = 't', long)]
    pub timestamps: bool,
    /// Show no colours
    #[arg(long)]
    pub no_color: bool,
    /// Leave out the container's name
    #[arg(long)]
    pub no_log_prefix: bool,
    /// Show only the container of this number
    #[arg(long, value_name = "N")]
    pub index: Option<u32>,
    /// Read this Compose file; may be given several times, later ones override
    #[arg(long = "file", id = "late_files", value_name = "FILE", help_heading = "Project options")]
    pub files: Vec<PathBuf>,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlagsWithoutFile,
}

/// `events`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Examples:
  docker orch events --json     One JSON object per line, as Compose prints them")]
pub struct EventsArgs {
    /// Show only what happens to these
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}

/// `wait`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Ends with 0 when all are as asked, with 1 when one of them cannot become so,
with 4 when the time is over, and with `--for completed` as the first of them
that failed did.

Examples:
  docker orch wait                        Until everything is ready
  docker orch wait --for completed tests  Until `tests` has exited; ends as it did
  docker orch wait web --timeout 60s      For at most a minute")]
pub struct WaitArgs {
    /// Wait only for these
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// What to wait for
    #[arg(long = "for", value_name = "WHAT", value_enum, default_value = "ready")]
    pub until: WaitFor,
    /// Give up after this time
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}

/// What `wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum WaitFor {
    /// It runs and its HEALTHCHECK, where it has one, passes; or it has exited with 0
    #[default]
    Ready,
    /// The container's own HEALTHCHECK passes
    Healthy,
    /// The container has exited
    Completed,
}

/// `config`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Examples:
  docker orch config              The canonical model, as `docker compose config` prints it
  docker orch config -q           Only check the files
  docker orch config --effective  Settings of x-orch, and where each came from")]
#[expect(clippy::struct_excessive_bools, reason = "one switch is one flag")]
pub struct ConfigArgs {
    /// Show only these, and what they depend on
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Print it this way, yaml where nothing is said; variables: in a table
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub format: Option<ConfigFormat>,
    /// Write it to this file
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Check the files and print nothing
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Leave `${…}` as it is
    #[arg(long)]
    pub no_interpolate: bool,
    /// Fill in no defaults
    #[arg(long)]
    pub no_normalize: bool,
    /// Leave relative paths as they are
    #[arg(long)]
    pub no_path_resolution: bool,
    /// Check no references between parts
    #[arg(long)]
    pub no_consistency: bool,
    /// Read no `env_file`
    #[arg(long)]
    pub no_env_resolution: bool,
    /// Put behind each image the digest that its registry has
    #[arg(long)]
    pub resolve_image_digests: bool,
    /// Print only the images with their digests, as a file that overrides the others
    #[arg(long)]
    pub lock_image_digests: bool,
    /// Print the names of services
    #[arg(long = "services", id = "list_services", group = "list")]
    pub list_services: bool,
    /// Print the names of volumes
    #[arg(long, group = "list")]
    pub volumes: bool,
    /// Print the names of networks
    #[arg(long, group = "list")]
    pub networks: bool,
    /// Print the names of models
    #[arg(long, group = "list")]
    pub models: bool,
    /// Print the names of profiles
    #[arg(long, group = "list")]
    pub profiles: bool,
    /// Print the names of images
    #[arg(long, group = "list")]
    pub images: bool,
    /// Print the variables that the files use, and what stands in for them
    #[arg(long, group = "list")]
    pub variables: bool,
    /// Print the environment that they are looked up in
    #[arg(long, group = "list")]
    pub environment: bool,
    /// Print the config hash of these services; `*`: of all
    #[arg(long, value_name = "SERVICES", group = "list")]
    pub hash: Option<String>,
    /// Print the settings of x-orch, and where each came from
    #[arg(long, group = "list")]
    pub effective: bool,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}

/// How `config` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ConfigFormat {
    /// For files
    #[default]
    Yaml,
    /// For programs
    Json,
}

/// `doctor`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Looks at the engine, its machine, its GPU runtimes, the plugins of the Docker
CLI, the files and the images, and at what would be in the way of `up`: ports
and names that others hold, missing files and devices. Nothing is changed. Ends
with 1 when something is broken; warnings alone are no reason.

Examples:
  docker orch doctor                Everything, a line for each check
  docker orch doctor --registry     Missing images: can they be pulled?
  docker orch doctor --format json  For programs")]
pub struct DoctorArgs {
    /// Print it this way
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "table")]
    pub format: Format,
    /// Ask registries whether they have the images that the engine lacks
    #[arg(long)]
    pub registry: bool,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}

/// `gpu`.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(after_help = "\
Asks NVIDIA's library (NVML), else `nvidia-smi`. FREE is what can be had now:
what others and the driver hold is USED. The GPUs are this machine's, also
where the engine is elsewhere. DOCKER_ORCH_GPUS says where to look: auto, nvml,
nvidia-smi, none, or fake:PATH for GPUs that a JSON file makes up.

Examples:
  docker orch gpu                A line for each GPU
  docker orch gpu --watch        The same, every second
  docker orch gpu --format json  One JSON object per line, sizes in bytes")]
pub struct GpuArgs {
    /// Go on, and print them again every second
    #[arg(short = 'w', long)]
    pub watch: bool,
    /// Print them this way
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "table")]
    pub format: Format,
}

/// `schema`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
It is about whole Compose files: what stands outside of `x-orch` is left to
Compose. Editors with the YAML language server complete and check a file whose
first line names it.

Examples:
  docker orch schema > x-orch.schema.json
  sed -i '1i # yaml-language-server: $schema=x-orch.schema.json' compose.yaml")]
pub struct SchemaArgs {}

/// `completion`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
For `docker orch` the Docker CLI's own script is enough: `docker completion bash`.
This one is for the program under its own name, where there is no Docker CLI.

Examples:
  source <(docker-orch completion bash)
  docker-orch completion fish > ~/.config/fish/completions/docker-orch.fish")]
pub struct CompletionArgs {
    /// For this shell
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,
}

/// Shells that can complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// `man`.
#[derive(Debug, Clone, Args)]
pub struct ManArgs {
    /// Write them into this folder
    #[arg(value_name = "DIR")]
    pub folder: std::path::PathBuf,
}

/// `version`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Examples:
  docker orch version                The name and the number
  docker orch version --short        Only the number
  docker orch version --format json  For programs")]
pub struct VersionArgs {
    /// Print it this way
    #[arg(short = 'f', long, value_name = "FORMAT", value_enum, default_value = "pretty")]
    pub format: VersionFormat,
    /// Print only the number
    #[arg(long)]
    pub short: bool,
}

/// How `version` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum VersionFormat {
    /// For people
    #[default]
    Pretty,
    /// For programs
    Json,
}
