//! What keeps a command from doing its work, and how it is said.

use std::{error::Error, fmt::Write as _};

use anstyle::{AnsiColor, Style};

use super::Exit;
use crate::{
    diagnostic::{Diagnostic, SourceMap, did_you_mean, render_all},
    engine::{EngineError, EngineErrorKind},
    plan::held,
    report::Annotation,
};

/// Why a command could not do its work. Failures during a run are events instead.
#[derive(Debug, Clone, PartialEq)]
pub struct CliError {
    /// What kind; decides the exit code.
    pub kind: ErrorKind,
    /// In one line, without a full stop. For [`ErrorKind::Files`] and [`ErrorKind::Held`]: everything there is to say, already laid out.
    pub message: String,
    /// What is behind it, the nearest first.
    pub causes: Vec<String>,
    /// What to do about it, one line each.
    pub hints: Vec<String>,
    /// What GitHub Actions puts beside files.
    pub annotations: Vec<Annotation>,
}

/// The kinds of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// What was asked could not be done.
    Failed,
    /// The command line is wrong.
    Usage,
    /// The files are wrong; the message shows where.
    Files,
    /// Somebody else holds what the files ask for; the message shows what, and where it is asked for.
    Held,
    /// The engine cannot be reached, or refused.
    Engine,
    /// Time was over.
    TimedOut,
    /// Somebody interrupted it; nothing needs to be said.
    Interrupted,
}

impl CliError {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), causes: Vec::new(), hints: Vec::new(), annotations: Vec::new() }
    }

    /// What was asked could not be done.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }

    /// The command line is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// The files are wrong; `rendered` shows every fault with its place.
    pub fn files(rendered: impl Into<String>) -> Self {
        Self::new(ErrorKind::Files, rendered)
    }

    /// The command line names a service that the project does not have; `names`: those that it has.
    pub fn no_such_service<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<&str> = names.into_iter().collect();
        let error = Self::usage(format!("no such service: {wanted}"));
        match did_you_mean(wanted, names.iter().copied()) {
            Some(name) => error.hint(format!("did you mean `{name}`?")),
            None if names.is_empty() => error.hint("the project has none"),
            None => error.hint(format!("the project has {}", few(&names))),
        }
    }

    /// What stands in the way of a plan; where nothing is wrong with the files, they are not blamed.
    pub fn in_the_way(found: &[Diagnostic], sources: &SourceMap, colour: bool) -> Self {
        let kind = if held(found) { ErrorKind::Held } else { ErrorKind::Files };
        Self::new(kind, render_all(found, sources, colour))
    }

    /// The engine did not do what `doing` names: `failed to list containers`.
    pub fn engine(doing: impl Into<String>, error: &EngineError) -> Self {
        let kind = match error.kind {
            EngineErrorKind::TimedOut => ErrorKind::TimedOut,
            EngineErrorKind::NotFound
            | EngineErrorKind::Conflict
            | EngineErrorKind::Invalid
            | EngineErrorKind::Denied
            | EngineErrorKind::Unreachable
            | EngineErrorKind::Ambiguous
            | EngineErrorKind::Failed => ErrorKind::Engine,
        };
        let this = Self::new(kind, doing).caused_by(error);
        match error.kind {
            EngineErrorKind::Unreachable => {
                this.hint("is the engine running? `docker version` shows where the Docker CLI looks for it")
            }
            EngineErrorKind::Denied => this.hint("`docker login` gives credentials for a registry"),
            _ => this,
        }
    }

    /// Adds an error and everything behind it to the causes.
    #[must_use]
    pub fn caused_by(mut self, error: &dyn Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            // Some libraries repeat their source in their own text: say it once.
            let said = self.causes.last().unwrap_or(&self.message);
            if !said.contains(&text) {
                self.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds what GitHub Actions puts beside files.
    #[must_use]
    pub fn annotated(mut self, annotations: Vec<Annotation>) -> Self {
        self.annotations = annotations;
        self
    }

    /// How the program ends.
    pub fn exit(&self) -> Exit {
        match self.kind {
            ErrorKind::Failed => Exit::Failed,
            ErrorKind::Usage | ErrorKind::Files => Exit::Usage,
            ErrorKind::Engine | ErrorKind::Held => Exit::Engine,
            ErrorKind::TimedOut => Exit::TimedOut,
            ErrorKind::Interrupted => Exit::Interrupted,
        }
    }

    /// The whole text, with colours; the writer strips them where they are not wanted.
    pub fn render(&self) -> String {
        let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
        let cyan = Style::new().bold().fg_color(Some(AnsiColor::Cyan.into()));
        let bold = Style::new().bold();
        let mut text = String::new();
        match self.kind {
            ErrorKind::Files | ErrorKind::Held => {
                text.push_str(self.message.trim_end());
                text.push('\n');
            }
            ErrorKind::Failed
            | ErrorKind::Usage
            | ErrorKind::Engine
            | ErrorKind::TimedOut
            | ErrorKind::Interrupted => line(&mut text, &format!("{red}error:{red:#} {}", self.message)),
        }
        for cause in &self.causes {
            line(&mut text, &format!("  {bold}caused by:{bold:#} {}", cause.replace('\n', "\n    ")));
        }
        if !self.hints.is_empty() {
            text.push('\n');
        }
        for hint in &self.hints {
            line(&mut text, &format!("{cyan}hint:{cyan:#} {hint}"));
        }
        text
    }
}

/// Names, as many as are read.
fn few(names: &[&str]) -> String {
    const SHOWN: usize = 8;
    let shown = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more: `docker orch config --services` lists them"),
    }
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn plain(error: &CliError) -> String {
        anstream::adapter::strip_str(&error.render()).to_string()
    }

    #[test]
    fn causes_are_said_once_and_hints_come_last() {
        #[derive(Debug, thiserror::Error)]
        #[error("failed to read: permission denied")]
        struct Outer(#[source] Inner);
        #[derive(Debug, thiserror::Error)]
        #[error("permission denied")]
        struct Inner;

        let error = CliError::failed("failed to open `run.jsonl`")
            .caused_by(&Outer(Inner))
            .hint("choose another file with `--events`");
        assert_snapshot!(plain(&error), @r"
        error: failed to open `run.jsonl`
          caused by: failed to read: permission denied

        hint: choose another file with `--events`
        ");
    }

    #[test]
    fn an_engine_that_cannot_be_reached_comes_with_a_hint_and_ends_with_3() {
        let cause = EngineError::new(EngineErrorKind::Unreachable, "no such file: /var/run/docker.sock");
        let error = CliError::engine("failed to list containers", &cause);
        assert_snapshot!(plain(&error), @r"
        error: failed to list containers
          caused by: no such file: /var/run/docker.sock

        hint: is the engine running? `docker version` shows where the Docker CLI looks for it
        ");
        assert_eq!(error.exit(), Exit::Engine);
    }

    #[test]
    fn a_service_that_is_not_there_comes_with_those_that_are() {
        for (names, hint) in [
            (&["web", "db"][..], "did you mean `web`?"),
            (&["cache", "db"], "the project has `cache`, `db`"),
            (&[], "the project has none"),
        ] {
            let error = CliError::no_such_service("wbe", names.iter().copied());
            assert_eq!((error.message.as_str(), error.hints[0].as_str()), ("no such service: wbe", hint));
        }
        let many: Vec<String> = (0..10).map(|n| format!("worker{n}")).collect();
        let error = CliError::no_such_service("x", many.iter().map(String::as_str));
        assert!(error.hints[0].ends_with("`worker7` and 2 more: `docker orch config --services` lists them"));
        assert_eq!(error.exit(), Exit::Usage);
    }

    #[test]
    fn every_kind_ends_with_its_code() {
        for (kind, exit) in [
            (ErrorKind::Failed, Exit::Failed),
            (ErrorKind::Usage, Exit::Usage),
            (ErrorKind::Files, Exit::Usage),
            (ErrorKind::Engine, Exit::Engine),
            (ErrorKind::Held, Exit::Engine),
            (ErrorKind::TimedOut, Exit::TimedOut),
            (ErrorKind::Interrupted, Exit::Interrupted),
        ] {
            assert_eq!(CliError::new(kind, "x").exit(), exit);
        }
    }
}
