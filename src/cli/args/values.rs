//! Values of flags, parsed as they come in.

use std::time::Duration;

use clap::ValueEnum;

use crate::project::{Mode, OnFailure};

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Progress {
    /// `tty` on a terminal, else `plain`
    #[default]
    Auto,
    /// A live display
    Tty,
    /// One line per change
    Plain,
    /// One event per line, as JSON
    Json,
    /// Nothing but failures
    #[value(alias = "none")]
    Quiet,
}

/// `--ansi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Ansi {
    /// On a terminal
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// `--format` of listings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
}

/// `--format` of plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PlanFormat {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
    /// A graph for Graphviz
    Dot,
    /// A flowchart for Mermaid
    Mermaid,
}

impl From<Format> for PlanFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Table => Self::Table,
            Format::Json => Self::Json,
        }
    }
}

/// `--format` of charts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ChartFormat {
    /// For a terminal
    #[default]
    Table,
    /// A picture
    Svg,
    /// A page with the picture, the figures and what they mean
    Html,
    /// For programs
    Json,
}

/// `--on-failure`, in the words of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnFailureArg {
    /// Back to what ran before
    Rollback,
    /// Remove everything of the project, but volumes
    Teardown,
    /// Stop everything, keep it for inspection
    Stop,
    /// Leave everything as it is
    Keep,
}

impl From<OnFailureArg> for OnFailure {
    fn from(arg: OnFailureArg) -> Self {
        match arg {
            OnFailureArg::Rollback => Self::Rollback,
            OnFailureArg::Teardown => Self::Teardown,
            OnFailureArg::Stop => Self::Stop,
            OnFailureArg::Keep => Self::Keep,
        }
    }
}

/// `--mode`, in the words of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// A wave opens when the one before is ready
    Waves,
    /// `depends_on` alone decides
    Graph,
    /// One service at a time
    Sequential,
}

impl From<ModeArg> for Mode {
    fn from(arg: ModeArg) -> Self {
        match arg {
            ModeArg::Waves => Self::Waves,
            ModeArg::Graph => Self::Graph,
            ModeArg::Sequential => Self::Sequential,
        }
    }
}

/// `--max-parallel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxParallel {
    /// Follow what the engine and the machine sustain.
    Auto,
    /// At most this many starts in flight; at least 1.
    Limit(u32),
}

impl std::str::FromStr for MaxParallel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        match text.parse() {
            Ok(limit) if limit > 0 => Ok(Self::Limit(limit)),
            _ => Err("expected a number from 1 on, or `auto`".to_owned()),
        }
    }
}

/// `--scale SERVICE=N`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale {
    /// The service's key.
    pub service: String,
    /// How many containers.
    pub replicas: u32,
}

impl std::str::FromStr for Scale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected `SERVICE=NUMBER`".to_owned();
        let (service, replicas) = text.split_once('=').ok_or_else(expected)?;
        if service.is_empty() {
            return Err(expected());
        }
        Ok(Self { service: service.to_owned(), replicas: replicas.parse().map_err(|_| expected())? })
    }
}

/// A duration as Compose writes it (`1m30s`, `500ms`), or a whole number of seconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a duration such as `90s` or `1m30s`".to_owned();
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(expected)?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(expected()),
        };
        let number: f64 = number.parse().map_err(|_| expected())?;
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| expected())?;
        total = total.checked_add(part).ok_or_else(expected)?;
        rest = tail;
    }
    if text.is_empty() { Err(expected()) } else { Ok(total) }
}

/// Whole seconds, as Compose's `--timeout` takes them, or a duration; -1: wait without end.
pub fn parse_stop_timeout(text: &str) -> Result<StopTimeout, String> {
    match text.parse::<i64>() {
        Ok(-1) => Ok(StopTimeout::Never),
        Ok(seconds) => u64::try_from(seconds)
            .map(|s| StopTimeout::After(Duration::from_secs(s)))
            .map_err(|_| "expected seconds, or -1 for no limit".to_owned()),
        Err(_) => parse_duration(text).map(StopTimeout::After),
    }
}

/// How long a stop waits before it kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopTimeout {
    /// It kills after this time.
    After(Duration),
    /// It never kills.
    Never,
}

impl StopTimeout {
    /// What the engine is given: for [`StopTimeout::Never`] so long that nobody sees the end.
    pub fn grace(self) -> Duration {
        match self {
            Self::After(grace) => grace,
            Self::Never => Duration::from_hours(365 * 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_compose_writes_them() {
        for (text, millis) in [
            ("90", 90_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1.5h", 5_400_000),
            ("0s", 0),
            ("1d", 86_400_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "1x", "-1s", "1m30", "1..5s", "99999999999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn stop_timeouts_are_seconds_or_minus_one() {
        assert_eq!(parse_stop_timeout("5"), Ok(StopTimeout::After(Duration::from_secs(5))));
        assert_eq!(parse_stop_timeout("-1"), Ok(StopTimeout::Never));
        assert!(parse_stop_timeout("-2").is_err());
    }

    #[test]
    fn scales_and_limits_are_checked() {
        assert_eq!("web=3".parse(), Ok(Scale { service: "web".into(), replicas: 3 }));
        assert!("web".parse::<Scale>().is_err());
        assert!("=3".parse::<Scale>().is_err());
        assert_eq!("auto".parse(), Ok(MaxParallel::Auto));
        assert_eq!("4".parse(), Ok(MaxParallel::Limit(4)));
        assert!("0".parse::<MaxParallel>().is_err());
    }
}
