//! `run`.

use std::{path::PathBuf, time::Duration};

use clap::{ArgAction, Args};

use super::{OnFailureArg, ResultsFlags, UpArgs, parse_duration};

/// `run`.
#[derive(Debug, Clone, Default, Args)]
#[command(
    override_usage = "docker orch run [OPTIONS] SERVICE [COMMAND] [ARGS...]",
    after_help = "\
Without COMMAND it is the service's own. What the service depends on is
started first, until it is ready, and goes on afterwards. The exit code is the
container's own; where its program cannot be started 126 or 127, as with
`docker run`. Flags stand before SERVICE, all that follows it is the command's;
project flags such as -p and -f stand before `run`.

ctrl-p ctrl-q (or `detachKeys` of Docker's configuration) leaves a container
with a terminal running. Without a terminal, signals are passed on to the
container; the third Ctrl+C kills it.

Examples:
  docker orch run --rm web sh                A shell in one like those of `web`
  docker orch run --rm tests                 Run the tests, and end as they did
  pg_dump shop | docker orch run -T db psql  Feed a program
  docker orch run -d --name seed db seed.sh  Leave it running"
)]
#[expect(clippy::struct_excessive_bools, reason = "one switch is one flag")]
pub struct RunArgs {
    /// The service, the command and its arguments; without a command the service's own
    #[arg(value_name = "SERVICE", required = true, trailing_var_arg = true, hide = true)]
    pub words: Vec<String>,

    /// Leave the container running and print its ID
    #[arg(short = 'd', long)]
    pub detach: bool,
    /// Remove the container when it exits
    #[arg(long)]
    pub rm: bool,
    /// Give the container this name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Leave out what the service depends on
    #[arg(long)]
    pub no_deps: bool,

    /// Keep standard input open [default: true]
    #[arg(short = 'i', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", help_heading = "Streams")]
    pub interactive: Option<bool>,
    /// Give the container no terminal [default: where standard output is none]
    #[arg(short = 'T', long = "no-TTY", alias = "no-tty", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", help_heading = "Streams")]
    pub no_tty: Option<bool>,
    /// Give the container a terminal
    #[arg(short = 't', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", conflicts_with = "no_tty", help_heading = "Streams")]
    pub tty: Option<bool>,

    /// Replace the entrypoint of the image
    #[arg(long, value_name = "COMMAND", help_heading = "Container")]
    pub entrypoint: Option<String>,
    /// Set an environment variable; without a value it is this environment's
    #[arg(short = 'e', long, value_name = "KEY[=VALUE]", help_heading = "Container")]
    pub env: Vec<String>,
    /// Set environment variables from a file
    #[arg(long, value_name = "FILE", help_heading = "Container")]
    pub env_from_file: Vec<PathBuf>,
    /// Add or replace a label
    #[arg(short = 'l', long, alias = "labels", value_name = "KEY=VALUE", help_heading = "Container")]
    pub label: Vec<String>,
    /// Run as this user
    #[arg(short = 'u', long, value_name = "USER", help_heading = "Container")]
    pub user: Option<String>,
    /// Run in this folder of the container
    #[arg(short = 'w', long, value_name = "DIR", help_heading = "Container")]
    pub workdir: Option<String>,
    /// Mount a volume or a folder, as `volumes` of a service does
    #[arg(short = 'v', long, alias = "volumes", value_name = "VOLUME", help_heading = "Container")]
    pub volume: Vec<String>,
    /// Publish a port, as `ports` of a service does
    #[arg(
        short = 'p',
        long,
        value_name = "PORT",
        conflicts_with = "service_ports",
        help_heading = "Container"
    )]
    pub publish: Vec<String>,
    /// Publish the ports of the service
    #[arg(short = 'P', long, help_heading = "Container")]
    pub service_ports: bool,
    /// Be reached by the names of the service, too
    #[arg(long, help_heading = "Container")]
    pub use_aliases: bool,
    /// Add a capability
    #[arg(long, value_name = "NAME", help_heading = "Container")]
    pub cap_add: Vec<String>,
    /// Take a capability away
    #[arg(long, value_name = "NAME", help_heading = "Container")]
    pub cap_drop: Vec<String>,

    /// What to do when something that the service depends on fails [env: `DOCKER_ORCH_ON_FAILURE`]
    #[arg(long, value_name = "POLICY", value_enum, help_heading = "Start-up")]
    pub on_failure: Option<OnFailureArg>,
    /// Let what the service depends on take at most this long to be ready [env: `DOCKER_ORCH_TIMEOUT`]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "Start-up")]
    pub start_timeout: Option<Duration>,
    /// Start without looking first whether ports, names, files and devices are there
    #[arg(long, help_heading = "Start-up")]
    pub no_preflight: bool,
    /// Write every event to this file, one JSON object per line
    #[arg(long, value_name = "FILE", help_heading = "Start-up")]
    pub events: Option<PathBuf>,
    /// Build images before starting
    #[arg(long, help_heading = "Start-up")]
    pub build: bool,
    /// When to pull images: always, missing, never
    #[arg(long, value_name = "POLICY", value_parser = ["always", "missing", "never"], help_heading = "Start-up")]
    pub pull: Option<String>,
    /// Show no progress
    #[arg(short = 'q', long, help_heading = "Start-up")]
    pub quiet: bool,
    /// Show no progress of builds
    #[arg(long, help_heading = "Start-up")]
    pub quiet_build: bool,
    /// Show no progress of pulls
    #[arg(long, help_heading = "Start-up")]
    pub quiet_pull: bool,
    /// Remove containers of services that the file no longer has, and those of earlier runs that have ended
    #[arg(long, env = "COMPOSE_REMOVE_ORPHANS", hide_env = true, action = ArgAction::SetTrue, help_heading = "Start-up")]
    pub remove_orphans: bool,

    /// What it leaves for CI.
    #[command(flatten)]
    pub results: ResultsFlags,
}

impl RunArgs {
    /// The service.
    pub fn service(&self) -> &str {
        self.words.first().map(String::as_str).unwrap_or_default()
    }

    /// What `up` would be told, for what the service depends on.
    pub fn up(&self) -> UpArgs {
        UpArgs {
            services: vec![self.service().to_owned()],
            detach: true,
            on_failure: self.on_failure,
            start_timeout: self.start_timeout,
            no_preflight: self.no_preflight,
            events: self.events.clone(),
            build: self.build,
            pull: self.pull.clone(),
            quiet_pull: self.quiet_pull,
            quiet_build: self.quiet_build,
            remove_orphans: self.remove_orphans,
            ..UpArgs::default()
        }
    }
}
