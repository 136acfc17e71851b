//! What a check found, and how it is shown.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json as value};

use crate::{
    cli::CliError,
    diagnostic::{Diagnostic, Severity, SourceMap},
};

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// What was looked at, in a word or two.
    check: &'static str,
    pub(super) mark: Mark,
    /// What was found, in one line.
    pub(super) words: String,
    /// What to do, a line each.
    pub(super) hints: Vec<String>,
}

/// What a finding means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    /// It does not matter here, or was not looked at.
    Note,
    /// It is as it should be.
    Fine,
    /// Something may go wrong.
    Warning,
    /// Something will go wrong.
    Problem,
}

impl Mark {
    fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Fine => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }

    fn sign(self) -> (&'static str, AnsiColor) {
        match self {
            Self::Note => ("·", AnsiColor::BrightBlack),
            Self::Fine => ("✓", AnsiColor::Green),
            Self::Warning => ("!", AnsiColor::Yellow),
            Self::Problem => ("✗", AnsiColor::Red),
        }
    }
}

impl Finding {
    pub(super) fn new(check: &'static str, mark: Mark, words: impl Into<String>) -> Self {
        Self { check, mark, words: words.into(), hints: Vec::new() }
    }

    pub(super) fn fine(check: &'static str, words: impl Into<String>) -> Self {
        Self::new(check, Mark::Fine, words)
    }

    pub(super) fn note(check: &'static str, words: impl Into<String>) -> Self {
        Self::new(check, Mark::Note, words)
    }

    pub(super) fn warning(check: &'static str, words: impl Into<String>) -> Self {
        Self::new(check, Mark::Warning, words)
    }

    pub(super) fn problem(check: &'static str, words: impl Into<String>) -> Self {
        Self::new(check, Mark::Problem, words)
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Something that a command could not do.
    pub(super) fn of_error(check: &'static str, error: &CliError) -> Self {
        let words: Vec<&str> =
            [error.message.as_str()].into_iter().chain(error.causes.iter().map(String::as_str)).collect();
        let finding = Self::problem(check, words.join(": "));
        Self { hints: error.hints.clone(), ..finding }
    }

    /// Something wrong in the files, or around them, with its place.
    pub(super) fn of_diagnostic(check: &'static str, found: &Diagnostic, sources: &SourceMap) -> Self {
        let mark = if found.severity == Severity::Error { Mark::Problem } else { Mark::Warning };
        let place = found.labels.first().map(|label| {
            let (line, column) = sources.line_column(label.span);
            format!("{}:{line}:{column}: ", sources.name(label.span.file))
        });
        let words = format!("{}{}", place.unwrap_or_default(), found.message);
        Self { hints: found.help.iter().cloned().collect(), ..Self::new(check, mark, words) }
    }
}

/// A line for each finding, and below it what to do; plain: without signs and colours that not everything can show.
pub(super) fn text(findings: &[Finding], is_plain: bool) -> String {
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
    let mut text = String::new();
    for Finding { check, mark, words, hints } in findings {
        let (sign, colour) = mark.sign();
        let style = Style::new().bold().fg_color(Some(colour.into()));
        let (lead, indent) = if is_plain {
            (format!("{:<8}", mark.word()), 8)
        } else {
            (format!("{style}{sign}{style:#} "), 2)
        };
        let margin = " ".repeat(indent + width + 2);
        let words = words.replace('\n', &format!("\n{margin}"));
        line(&mut text, &format!("{lead}{check:<width$}  {words}"));
        for hint in hints {
            line(&mut text, &format!("{margin}hint: {}", hint.replace('\n', &format!("\n{margin}"))));
        }
    }
    let count = |mark| findings.iter().filter(|finding| finding.mark == mark).count();
    let said = [(count(Mark::Problem), "problem"), (count(Mark::Warning), "warning")];
    let said: Vec<String> = said
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}{}", if count == 1 { "" } else { "s" }))
        .collect();
    line(&mut text, "");
    line(&mut text, &if said.is_empty() { "everything is fine".to_owned() } else { said.join(", ") });
    text
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a String cannot fail");
}

/// For programs.
pub(super) fn json(findings: &[Finding]) -> Value {
    let checks = findings.iter().map(|finding| {
        value!({
            "check": finding.check,
            "status": finding.mark.word(),
            "message": finding.words,
            "hints": finding.hints,
        })
    });
    let worst = findings.iter().map(|finding| finding.mark).max().unwrap_or(Mark::Fine).max(Mark::Fine);
    value!({"status": worst.word(), "checks": checks.collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn findings() -> Vec<Finding> {
        vec![
            Finding::fine("engine", "Docker 28.5.2"),
            Finding::note("gpu", "none"),
            Finding::warning("clock", "3 s behind").hint("set it"),
            Finding::problem("file", "two\nlines").hint("mend it").hint("or not"),
        ]
    }

    #[test]
    fn plain_text_has_words_for_signs() {
        let plain = text(&findings(), true);
        assert!(plain.is_ascii());
        assert_snapshot!(plain, @r"
        ok      engine  Docker 28.5.2
        note    gpu     none
        warning clock   3 s behind
                        hint: set it
        problem file    two
                        lines
                        hint: mend it
                        hint: or not

        1 problem, 1 warning
        ");
    }

    #[test]
    fn a_terminal_gets_signs() {
        let signs = text(&findings(), false);
        assert_snapshot!(anstream::adapter::strip_str(&signs), @r"
        ✓ engine  Docker 28.5.2
        · gpu     none
        ! clock   3 s behind
                  hint: set it
        ✗ file    two
                  lines
                  hint: mend it
                  hint: or not

        1 problem, 1 warning
        ");
        assert!(text(&findings()[..2], false).ends_with("\neverything is fine\n"));
    }

    #[test]
    fn programs_get_the_worst_first() {
        let said = json(&findings());
        assert_eq!(said["status"], "problem");
        assert_eq!(said["checks"][2]["status"], "warning");
        assert_eq!(said["checks"][2]["hints"][0], "set it");
        assert_eq!(json(&findings()[1..2])["status"], "ok");
    }
}
