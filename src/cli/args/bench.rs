//! The command that measures.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Format, LateProjectFlags, StopTimeout, parse_stop_timeout};

/// `bench`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
The ways are measured in turn. Each time the project is started, started again with
nothing to do, and taken down, by a program of its own. Before that its images are
pulled or built, and it is started once without being timed. `compose` is left out
where Docker Compose is not installed.

The project runs under a name of its own, beside whatever runs already. All that was
made for it is removed in the end: containers, networks, volumes, images built for it
alone. Images that were pulled stay. Its volumes start empty and are kept between the
runs. A way that fails is not tried again, and bench ends with 1. CPU is what the
program itself uses, without the engine.

Examples:
  docker orch bench                      The project of this folder, three times each way
  docker orch bench -n 10 compose.yaml   Ten times, another file
  docker orch bench --only orch,compose  Leave out what starts one service after the other
  docker orch bench --format json        Every single time, for programs")]
pub struct BenchArgs {
    /// Read these Compose files, as with -f
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Measure each way this many times
    #[arg(short = 'n', long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,
    /// Measure only these ways, separated by commas
    #[arg(long, value_name = "WAY", value_enum, value_delimiter = ',')]
    pub only: Vec<Way>,
    /// Share with the project what a second start of it writes to or joins: folders, external volumes and networks
    #[arg(long)]
    pub allow_shared: bool,
    /// Let a container take this many seconds to stop; -1: as long as it likes
    #[arg(short = 't', long, value_name = "SECONDS", value_parser = parse_stop_timeout, allow_negative_numbers = true)]
    pub timeout: Option<StopTimeout>,
    /// Print it this way
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "table")]
    pub format: Format,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}

/// A way to start a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Way {
    /// docker orch, one service after the other
    Sequential,
    /// docker orch, as the file says
    Orch,
    /// docker compose up --wait
    Compose,
}

impl Way {
    /// As it is written on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Orch => "orch",
            Self::Compose => "compose",
        }
    }
}
