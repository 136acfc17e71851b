//! Commands that change the project.

use std::{path::PathBuf, time::Duration};

use clap::{ArgAction, Args};

use super::{
    LateProjectFlags, MaxParallel, ModeArg, OnFailureArg, ResultsFlags, Scale, SeenFlags, StopTimeout,
    parse_duration, parse_stop_timeout,
};

/// `up`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Without -d the logs of all containers are shown until Ctrl+C, which stops
them in reverse order; a second Ctrl+C kills them.

-t is Compose's: how long a container may take to stop. How long the whole
start may take is --start-timeout.

Examples:
  docker orch up -d                      Return when everything is ready
  docker orch up -d --on-failure keep    Leave a failed start as it is, to look at it
  docker orch up web --scale web=3       Start `web` three times, and what it depends on
  docker orch up --exit-code-from tests  Run until `tests` ends, and end as it did
  docker orch up --exit-code-from tests --artifacts results
                                         The same, and keep logs and reports
  docker orch up -d --events run.jsonl   Keep every event of the run in a file

Ends with 0 when everything is as asked, 1 when a service failed, 2 when the
file or the command line is wrong, 3 when the engine refused, 4 when time was
over, 130 when it was interrupted; with --exit-code-from and
--abort-on-container-… as the container did.")]
#[expect(clippy::struct_excessive_bools, reason = "one switch is one flag")]
pub struct UpArgs {
    /// Start only these, and what they depend on
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,

    /// Return when everything is ready, and leave it running
    #[arg(short = 'd', long)]
    pub detach: bool,
    /// The same as -d: return when everything is ready
    #[arg(long, conflicts_with_all = ["abort_on_container_exit", "abort_on_container_failure", "attach", "attach_dependencies"])]
    pub wait: bool,
    /// Give up when not everything is ready after this time
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub wait_timeout: Option<Duration>,

    /// What to do when something critical fails [env: `DOCKER_ORCH_ON_FAILURE`]
    #[arg(long, value_name = "POLICY", value_enum, help_heading = "Start-up")]
    pub on_failure: Option<OnFailureArg>,
    /// Start at most this many containers at once; `auto` follows what the engine sustains [env: `DOCKER_ORCH_MAX_PARALLEL`]
    #[arg(long, value_name = "N", help_heading = "Start-up")]
    pub max_parallel: Option<MaxParallel>,
    /// Let the whole start take at most this long [env: `DOCKER_ORCH_TIMEOUT`]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "Start-up")]
    pub start_timeout: Option<Duration>,
    /// Go on watching this long after ready, ready to roll back [env: `DOCKER_ORCH_ROLLBACK_WINDOW`]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, help_heading = "Start-up")]
    pub rollback_window: Option<Duration>,
    /// What decides the order of starts [env: `DOCKER_ORCH_MODE`]
    #[arg(long, value_name = "MODE", value_enum, help_heading = "Start-up")]
    pub mode: Option<ModeArg>,
    /// Start without looking first whether ports, names, files and devices are there
    #[arg(long, help_heading = "Start-up")]
    pub no_preflight: bool,
    /// Write every event to this file, one JSON object per line
    #[arg(long, value_name = "FILE", help_heading = "Start-up")]
    pub events: Option<PathBuf>,

    /// Build images before starting
    #[arg(long, conflicts_with = "no_build")]
    pub build: bool,
    /// Never build an image
    #[arg(long)]
    pub no_build: bool,
    /// When to pull images: always, missing, never, build, or policy: as the file says
    #[arg(long, value_name = "POLICY", value_parser = ["always", "missing", "never", "build", "if_not_present", "policy"])]
    pub pull: Option<String>,
    /// Show no progress of pulls
    #[arg(long)]
    pub quiet_pull: bool,
    /// Show no progress of builds
    #[arg(long)]
    pub quiet_build: bool,
    /// Recreate the containers of the named services, or all, changed or not
    #[arg(long, conflicts_with = "no_recreate")]
    pub force_recreate: bool,
    /// Recreate no container
    #[arg(long, conflicts_with_all = ["renew_anon_volumes", "always_recreate_deps"])]
    pub no_recreate: bool,
    /// Recreate the containers of what the named services depend on, changed or not
    #[arg(long)]
    pub always_recreate_deps: bool,
    /// Recreate containers, with fresh anonymous volumes
    #[arg(short = 'V', long)]
    pub renew_anon_volumes: bool,
    /// Create everything and start nothing
    #[arg(long, conflicts_with = "wait")]
    pub no_start: bool,
    /// Leave out what the named services depend on
    #[arg(long)]
    pub no_deps: bool,
    /// Run this many containers of a service
    #[arg(long, value_name = "SERVICE=N")]
    pub scale: Vec<Scale>,
    /// Remove containers of services that the file no longer has
    #[arg(long, env = "COMPOSE_REMOVE_ORPHANS", hide_env = true, action = ArgAction::SetTrue)]
    pub remove_orphans: bool,
    /// Let a container take this many seconds to stop; -1: as long as it likes
    #[arg(short = 't', long, value_name = "SECONDS", value_parser = parse_stop_timeout, allow_negative_numbers = true)]
    pub timeout: Option<StopTimeout>,
    /// Answer yes to every question
    #[arg(short = 'y', long)]
    pub yes: bool,

    /// End when any container exits, with its exit code
    #[arg(long, conflicts_with_all = ["detach", "abort_on_container_failure"], help_heading = "Attached")]
    pub abort_on_container_exit: bool,
    /// End when any container fails, with its exit code
    #[arg(long, conflicts_with = "detach", help_heading = "Attached")]
    pub abort_on_container_failure: bool,
    /// End when this service exits, with its exit code
    #[arg(long, value_name = "SERVICE", conflicts_with_all = ["detach", "wait"], help_heading = "Attached")]
    pub exit_code_from: Option<String>,
    /// Show only the logs of this service; may be given several times
    #[arg(long, value_name = "SERVICE", conflicts_with = "attach_dependencies", help_heading = "Attached")]
    pub attach: Vec<String>,
    /// Leave out the logs of this service; may be given several times
    #[arg(long, value_name = "SERVICE", help_heading = "Attached")]
    pub no_attach: Vec<String>,
    /// Show the logs of what the named services depend on, too
    #[arg(long, help_heading = "Attached")]
    pub attach_dependencies: bool,
    /// Show logs without colours
    #[arg(long, help_heading = "Attached")]
    pub no_color: bool,
    /// Show logs without the container's name
    #[arg(long, help_heading = "Attached")]
    pub no_log_prefix: bool,
    /// Show the time of each log line
    #[arg(long, help_heading = "Attached")]
    pub timestamps: bool,
    /// What is seen from outside.
    #[command(flatten)]
    pub seen: SeenFlags,
    /// Compose's flag; refused with a reason.
    #[arg(short = 'w', long, hide = true)]
    pub watch: bool,
    /// Compose's flag; refused with a reason.
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub menu: Option<bool>,

    /// What it leaves for CI.
    #[command(flatten)]
    pub results: ResultsFlags,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}

impl UpArgs {
    /// Whether the command returns once everything is ready.
    pub fn returns_when_ready(&self) -> bool {
        self.detach || self.wait
    }
}

/// `plan`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Examples:
  docker orch plan                    What `up` would do now
  docker orch plan --offline          The same for an engine that has nothing yet
  docker orch plan --format json      For programs
  docker orch plan --vram             Which services fit on the GPUs, and beside whom")]
pub struct PlanArgs {
    /// Plan GPU memory instead: what each service needs of it, where it is loaded, and beside whom
    #[arg(long, conflicts_with = "offline")]
    pub vram: bool,
    /// Ask no engine: plan as if nothing were there
    #[arg(long)]
    pub offline: bool,
    /// Print it this way
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "table")]
    pub format: super::PlanFormat,
    /// What `up` would be told.
    #[command(flatten)]
    pub up: UpArgs,
}

/// `down`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Examples:
  docker orch down          Stop and remove everything but volumes and images
  docker orch down -v       Remove volumes, too
  docker orch -p shop down  From anywhere, without the Compose file")]
pub struct DownArgs {
    /// Remove only these, and what depends on them
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Remove containers of services that the file no longer has
    #[arg(long, env = "COMPOSE_REMOVE_ORPHANS", hide_env = true, action = ArgAction::SetTrue)]
    pub remove_orphans: bool,
    /// Let a container take this many seconds to stop; -1: as long as it likes
    #[arg(short = 't', long, value_name = "SECONDS", value_parser = parse_stop_timeout, allow_negative_numbers = true)]
    pub timeout: Option<StopTimeout>,
    /// Remove the file's volumes and anonymous ones
    #[arg(short = 'v', long)]
    pub volumes: bool,
    /// Remove images: `local` those without a name of their own, `all` every one
    #[arg(long, value_name = "WHICH", value_parser = ["local", "all"])]
    pub rmi: Option<String>,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}

/// `stop`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Dependents stop before what they depend on. What is stopped is kept, with
everything in it: `docker orch start` goes on with it.

Examples:
  docker orch stop           Everything
  docker orch stop web       Only `web`
  docker orch stop -t 60     Let each container take a minute to stop")]
pub struct StopArgs {
    /// Stop only these
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Let a container take this many seconds to stop; -1: as long as it likes
    #[arg(short = 't', long, value_name = "SECONDS", value_parser = parse_stop_timeout, allow_negative_numbers = true)]
    pub timeout: Option<StopTimeout>,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}

/// `start`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
What is there is started as it is, in order of dependencies, until it is ready.
`docker orch up` also makes what is missing, and follows changes of the file.

Examples:
  docker orch start          Everything that was stopped
  docker orch start web      Only `web`")]
pub struct StartArgs {
    /// Start only these, and what they depend on
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Return when everything is ready
    #[arg(long)]
    pub wait: bool,
    /// Give up when not everything is ready after this time
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub wait_timeout: Option<Duration>,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}

/// `restart`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
The same containers run again: changes of the file are not followed, `docker
orch up` does that. Services that depend on a restarted one with
`restart: true` are restarted with it.

Examples:
  docker orch restart              Everything, in order of dependencies
  docker orch restart db           `db`, and who asked to be restarted with it
  docker orch restart --no-deps db Only `db`")]
pub struct RestartArgs {
    /// Restart only these, and what asks to be restarted with them
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Leave dependents alone
    #[arg(long)]
    pub no_deps: bool,
    /// Let a container take this many seconds to stop; -1: as long as it likes
    #[arg(short = 't', long, value_name = "SECONDS", value_parser = parse_stop_timeout, allow_negative_numbers = true)]
    pub timeout: Option<StopTimeout>,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}
