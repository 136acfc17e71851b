//! What is shown where.

use std::sync::mpsc::Receiver;

use super::{Expected, JsonReport, PlainReport, QuietReport, Report, TtyReport};

/// What the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressMode {
    /// A live display.
    Tty,
    /// One line per change.
    Plain,
    /// One event per line.
    Json,
    /// Nothing but failures.
    Quiet,
}

impl ProgressMode {
    /// Reads Compose's word; `None` for `auto` and anything unknown.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "tty" => Some(Self::Tty),
            "plain" => Some(Self::Plain),
            "json" => Some(Self::Json),
            "quiet" | "none" => Some(Self::Quiet),
            _ => None,
        }
    }
}

/// Whether control codes are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AnsiMode {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What the decision is made from.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of the surroundings")]
pub struct DisplayFacts {
    /// `--progress`, else `COMPOSE_PROGRESS`; `None`: auto.
    pub progress: Option<ProgressMode>,
    /// `--ansi`, else `COMPOSE_ANSI`.
    pub ansi: AnsiMode,
    /// Standard output is a terminal.
    pub stdout_terminal: bool,
    /// Standard error is a terminal.
    pub stderr_terminal: bool,
    /// `NO_COLOR` is set and not empty.
    pub no_color: bool,
    /// `TERM` is `dumb`.
    pub dumb_terminal: bool,
    /// `CI` is set and not empty.
    pub ci: bool,
    /// Messages of the inside go to standard error, and would tear a live display.
    pub debug: bool,
}

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Display {
    /// How a run is shown.
    pub progress: ProgressMode,
    /// Colours on standard output.
    pub out_colour: bool,
    /// Colours on standard error.
    pub err_colour: bool,
}

impl DisplayFacts {
    /// Decides.
    pub fn decide(self) -> Display {
        let live = self.stderr_terminal
            && !self.dumb_terminal
            && !self.ci
            && !self.debug
            && self.ansi != AnsiMode::Never;
        let progress = self.progress.unwrap_or(if live { ProgressMode::Tty } else { ProgressMode::Plain });
        let colour = |terminal: bool| match self.ansi {
            AnsiMode::Never => false,
            _ if self.no_color => false,
            AnsiMode::Always => true,
            AnsiMode::Auto => terminal && !self.dumb_terminal,
        };
        Display {
            progress,
            out_colour: colour(self.stdout_terminal),
            err_colour: colour(self.stderr_terminal),
        }
    }
}

impl Display {
    /// The report of this display; `size` gives the terminal's columns and rows, `expected` what earlier runs say.
    pub fn report(
        self,
        size: Box<dyn Fn() -> (usize, usize) + Send>,
        expected: Option<Receiver<Expected>>,
    ) -> Box<dyn Report> {
        match self.progress {
            ProgressMode::Tty => Box::new(TtyReport::new(size, self.err_colour).expecting(expected)),
            ProgressMode::Plain => Box::new(PlainReport::default()),
            ProgressMode::Json => Box::new(JsonReport),
            ProgressMode::Quiet => Box::new(QuietReport),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        ProgressMode::{Json, Plain, Tty},
        *,
    };

    #[test]
    fn only_a_real_terminal_gets_a_live_display() {
        let terminal =
            DisplayFacts { stdout_terminal: true, stderr_terminal: true, ..DisplayFacts::default() };
        for (name, facts, progress, out_colour, err_colour) in [
            ("terminal", terminal, Tty, true, true),
            ("pipe", DisplayFacts::default(), Plain, false, false),
            ("only stdout piped", DisplayFacts { stdout_terminal: false, ..terminal }, Tty, false, true),
            ("only stderr piped", DisplayFacts { stderr_terminal: false, ..terminal }, Plain, true, false),
            ("NO_COLOR", DisplayFacts { no_color: true, ..terminal }, Tty, false, false),
            ("TERM=dumb", DisplayFacts { dumb_terminal: true, ..terminal }, Plain, false, false),
            ("CI", DisplayFacts { ci: true, ..terminal }, Plain, true, true),
            ("--debug", DisplayFacts { debug: true, ..terminal }, Plain, true, true),
            ("--ansi never", DisplayFacts { ansi: AnsiMode::Never, ..terminal }, Plain, false, false),
            (
                "--ansi always in a pipe",
                DisplayFacts { ansi: AnsiMode::Always, ..DisplayFacts::default() },
                Plain,
                true,
                true,
            ),
            (
                "NO_COLOR wins",
                DisplayFacts { ansi: AnsiMode::Always, no_color: true, ..terminal },
                Tty,
                false,
                false,
            ),
            ("--progress json", DisplayFacts { progress: Some(Json), ..terminal }, Json, true, true),
            (
                "--progress tty in a pipe",
                DisplayFacts { progress: Some(Tty), ..DisplayFacts::default() },
                Tty,
                false,
                false,
            ),
        ] {
            assert_eq!(facts.decide(), Display { progress, out_colour, err_colour }, "{name}");
        }
    }
}
