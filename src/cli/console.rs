//! This program's terminal and signals, lent to a container.

use std::{
    io::{self, Write as _},
    os::fd::AsFd as _,
    time::Duration,
};

use futures::{
    StreamExt as _,
    stream::{self, BoxStream, SelectAll},
};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

use super::{CliError, Terminals, session::Session};
use crate::{
    engine::TerminalSize,
    executor::{Sign, SignalSources, Signals},
    run::{Gesture, Streams, Terminal},
};

/// How long after the Docker CLI went away the signal that it went for may come.
const ONE_WISH: Duration = Duration::from_millis(250);

/// The standard streams of a `run`, as it has them.
pub(super) struct Console<'a> {
    pub(super) session: &'a mut Session,
    pub(super) sources: SignalSources,
    pub(super) terminals: Terminals,
    /// The container has a terminal.
    pub(super) tty: bool,
    /// The container gets input.
    pub(super) interactive: bool,
    /// The keys that detach.
    pub(super) keys: Vec<u8>,
}

impl Terminal for Console<'_> {
    fn listen(&mut self) -> io::Result<BoxStream<'static, Gesture>> {
        let listening = gestures(&self.sources)?;
        self.session.pass_signals_on();
        if !(self.tty && self.terminals.stdout) {
            return Ok(listening);
        }
        let changes = signal_stream(SignalKind::window_change())?;
        let sizes = stream::once(std::future::ready(())).chain(changes);
        let sizes = sizes.filter_map(|()| std::future::ready(size().map(Gesture::Size)));
        Ok(stream::select(sizes, listening).boxed())
    }

    fn open(&mut self) -> io::Result<Streams> {
        self.session.leave_screen();
        let raw = self.tty && self.interactive && self.terminals.stdin;
        let restore: Box<dyn Send> = if raw { Box::new(RawTerminal::begin()?) } else { Box::new(()) };
        Ok(Streams {
            input: self.interactive.then(|| -> std::pin::Pin<Box<dyn tokio::io::AsyncRead + Send>> {
                Box::pin(tokio::io::stdin())
            }),
            out: Box::pin(tokio::io::stdout()),
            err: Box::pin(tokio::io::stderr()),
            detach_keys: if raw { self.keys.clone() } else { Vec::new() },
            restore,
        })
    }
}

/// Standard input without lines, echo and signals; as it was before when this goes out of scope.
struct RawTerminal(Termios);

impl RawTerminal {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin().as_fd(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // A terminal that is gone has nothing to be put back.
        tcsetattr(io::stdin().as_fd(), OptionalActions::Now, &self.0).ok();
        drop(io::stdout().flush());
    }
}

/// How large the terminal of standard output is.
pub(super) fn size() -> Option<TerminalSize> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some(TerminalSize { rows: size.ws_row, columns: size.ws_col })
}

fn signal_stream(kind: SignalKind) -> io::Result<BoxStream<'static, ()>> {
    let mut source = signal(kind)?;
    Ok(stream::poll_fn(move |cx| source.poll_recv(cx)).boxed())
}

/// Every signal that a container should get, from wherever it reaches this program.
fn gestures(sources: &SignalSources) -> io::Result<BoxStream<'static, Gesture>> {
    let mut others = SelectAll::new();
    for (kind, name) in [
        (SignalKind::quit(), "SIGQUIT"),
        (SignalKind::alarm(), "SIGALRM"),
        (SignalKind::user_defined1(), "SIGUSR1"),
        (SignalKind::user_defined2(), "SIGUSR2"),
    ] {
        others.push(signal_stream(kind)?.map(move |()| Gesture::Signal(name)).boxed());
    }
    let ends =
        stream::unfold(Ends { signals: Signals::listen(sources)?, heard: false }, |mut ends| async move {
            let name = ends.next().await;
            Some((Gesture::Signal(name), ends))
        });
    others.push(ends.boxed());
    Ok(others.boxed())
}

/// Signals that end programs, and the end of the Docker CLI, which stands for the one that ended it.
struct Ends {
    signals: Signals,
    heard: bool,
}

impl Ends {
    async fn next(&mut self) -> &'static str {
        loop {
            match self.signals.sign().await {
                Sign::Signal(number) => return self.hear(number),
                // The CLI goes because of a signal that this program has got, too, or gets in a moment.
                Sign::Closed if self.heard => {}
                Sign::Closed => match tokio::time::timeout(ONE_WISH, self.signals.sign()).await {
                    Ok(Sign::Signal(number)) => return self.hear(number),
                    Ok(Sign::Closed) | Err(_) => return "SIGTERM",
                },
            }
        }
    }

    fn hear(&mut self, number: i32) -> &'static str {
        self.heard = true;
        match number {
            1 => "SIGHUP",
            2 => "SIGINT",
            _ => "SIGTERM",
        }
    }
}

/// Keys as the Docker CLI writes them: single characters and `ctrl-` with a letter or one of `@[\]^_`, by commas.
pub(super) fn parse_detach_keys(text: &str) -> Result<Vec<u8>, CliError> {
    let key = |word: &str| match (word.as_bytes(), word.strip_prefix("ctrl-").map(str::as_bytes)) {
        ([one], _) => Some(*one),
        (_, Some([letter @ b'a'..=b'z'])) => Some(letter - b'a' + 1),
        (_, Some([sign @ (b'@' | b'['..=b'_')])) => Some(sign - b'@'),
        _ => None,
    };
    let keys: Option<Vec<u8>> = text.split(',').map(key).collect();
    keys.ok_or_else(|| {
        let error = CliError::usage(format!("`detachKeys: {text}` of Docker's configuration cannot be read"));
        error.hint("keys are single characters or ctrl- and a letter, separated by commas: `ctrl-p,ctrl-q`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_the_docker_cli_reads_them() {
        for (text, keys) in [
            ("ctrl-p,ctrl-q", &[16, 17][..]),
            ("ctrl-a", &[1]),
            ("ctrl-@,a,ctrl-_", &[0, b'a', 31]),
            ("ctrl-[", &[27]),
        ] {
            assert_eq!(parse_detach_keys(text).unwrap(), keys, "{text}");
        }
        for text in ["", "ctrl-", "ctrl-A", "ab", "ctrl-p,,q"] {
            assert!(parse_detach_keys(text).is_err(), "{text}");
        }
    }
}
