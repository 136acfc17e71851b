//! Questions to the user.

use std::io::{self, BufRead as _, Write as _};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::sync::oneshot;

use super::Invocation;
use crate::run::Ask;

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    /// `--yes`.
    Yes,
    /// The user, at a terminal.
    User,
    /// Nobody: that is a no.
    No,
}

impl Answers {
    /// Who can answer here.
    pub(super) fn of(invocation: &Invocation, yes: bool) -> Self {
        let terminals = &invocation.terminals;
        match (yes, terminals.stdin && terminals.stderr) {
            (true, _) => Self::Yes,
            (false, true) => Self::User,
            (false, false) => Self::No,
        }
    }
}

impl Ask for Answers {
    fn confirm<'a>(&'a self, question: &'a str) -> BoxFuture<'a, Option<bool>> {
        match self {
            Self::Yes => async { Some(true) }.boxed(),
            Self::No => async { Some(false) }.boxed(),
            Self::User => ask(question).boxed(),
        }
    }
}

/// Anything but a clear yes is a no. Ctrl+C is no answer: it ends the run, and nothing more is asked.
async fn ask(question: &str) -> Option<bool> {
    // Nobody is left to ask when standard error is closed.
    drop(write!(io::stderr(), "{question} [y/N] "));
    let (sender, answer) = oneshot::channel();
    // A read of a terminal cannot be given up: its thread must not hold anything up.
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        sender.send(read.is_ok() && is_yes(&line)).ok();
    });
    tokio::select! {
        answer = answer => Some(answer.unwrap_or(false)),
        _ = tokio::signal::ctrl_c() => {
            drop(writeln!(io::stderr()));
            None
        }
    }
}

fn is_yes(line: &str) -> bool {
    ["y", "yes"].contains(&line.trim().to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        for (line, yes) in [("y\n", true), ("YES\n", true), ("\n", false), ("n\n", false), ("yep\n", false)] {
            assert_eq!(is_yes(line), yes, "{line}");
        }
    }

    #[test]
    fn without_a_terminal_the_answer_is_no_unless_it_was_given() {
        let invocation = Invocation::default();
        assert_eq!(Answers::of(&invocation, false), Answers::No);
        assert_eq!(Answers::of(&invocation, true), Answers::Yes);
    }
}
