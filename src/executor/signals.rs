//! Requests to end, from everywhere they can come from, as one stream.
//!
//! What reaches a Docker CLI plugin when somebody wants it to end depends on the terminal: a signal, the end of the
//! socket that the CLI holds open, both within a few milliseconds, or only that the CLI is gone. [`Signals`] makes
//! one request out of each wish.

use std::{io, time::Duration};

use futures::{
    Stream, StreamExt as _,
    stream::{self, BoxStream, SelectAll},
};
use tokio::{
    io::AsyncReadExt as _,
    net::UnixStream,
    signal::unix::{SignalKind, signal},
    time::{Instant, MissedTickBehavior, interval},
};

/// Signs this close together, of different kinds, are one wish.
const ONE_WISH: Duration = Duration::from_millis(250);

/// How often the parent process is looked for.
const PARENT_CHECK: Duration = Duration::from_millis(500);

/// Somebody wants the run to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelRequest {
    /// Stop what runs, in order.
    Graceful,
    /// Do not wait. Comes again with every further signal.
    Force,
}

/// Where signs come from, beside signals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignalSources {
    /// The socket that the Docker CLI holds open (`DOCKER_CLI_PLUGIN_SOCKET`): a path, or an abstract name behind `@`.
    pub socket: Option<String>,
    /// Watch for the end of the parent process: the Docker CLI.
    pub watch_parent: bool,
}

/// Every sign that somebody wants the run to end.
pub struct Signals {
    signs: SelectAll<BoxStream<'static, Sign>>,
    wishes: Wishes,
    began: Instant,
}

/// One sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// A signal, by its number.
    Signal(i32),
    /// The Docker CLI is gone, or wants us to end.
    Closed,
}

impl Signals {
    /// Listens from now on. Must be called in a tokio runtime.
    ///
    /// # Errors
    ///
    /// The signal handlers cannot be installed. A socket that cannot be reached is no error: signals remain.
    pub fn listen(sources: &SignalSources) -> io::Result<Self> {
        let mut signs = SelectAll::new();
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            let mut source = signal(kind)?;
            let number = kind.as_raw_value();
            signs.push(
                stream::poll_fn(move |cx| {
                    source.poll_recv(cx).map(|seen| seen.map(|()| Sign::Signal(number)))
                })
                .boxed(),
            );
        }
        if let Some(address) = &sources.socket {
            match connect(address) {
                Ok(socket) => signs.push(closed(socket).boxed()),
                Err(error) => tracing::debug!("the socket of the Docker CLI cannot be reached: {error}"),
            }
        }
        if sources.watch_parent {
            signs.push(orphaned().boxed());
        }
        Ok(Self { signs, wishes: Wishes::default(), began: Instant::now() })
    }

    /// The next sign, for whoever passes signs on instead of ending because of them. Safe to drop and call again.
    pub async fn sign(&mut self) -> Sign {
        match self.signs.next().await {
            Some(sign) => sign,
            None => std::future::pending().await,
        }
    }

    /// The next request. Safe to drop and call again.
    pub async fn next(&mut self) -> CancelRequest {
        while let Some(sign) = self.signs.next().await {
            if let Some(request) = self.wishes.take(self.began.elapsed(), sign) {
                return request;
            }
        }
        std::future::pending().await
    }
}

/// What has been asked for so far.
#[derive(Debug, Default)]
struct Wishes {
    /// The last sign that counted, and when.
    last: Option<(Duration, Sign)>,
}

impl Wishes {
    /// What a sign at this time asks for; `None` where it belongs to a wish that is already known.
    fn take(&mut self, now: Duration, sign: Sign) -> Option<CancelRequest> {
        let Some((then, before)) = self.last else {
            self.last = Some((now, sign));
            return Some(CancelRequest::Graceful);
        };
        // The CLI closes its socket because of the same Ctrl+C, or because it has ended: nobody asks twice with it.
        if sign == Sign::Closed || (sign != before && now.saturating_sub(then) < ONE_WISH) {
            return None;
        }
        self.last = Some((now, sign));
        Some(CancelRequest::Force)
    }
}

fn connect(address: &str) -> io::Result<UnixStream> {
    let socket = match address.strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt as _;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            std::os::unix::net::UnixStream::connect_addr(&address)?
        }
        #[cfg(not(target_os = "linux"))]
        Some(_) => return Err(io::ErrorKind::Unsupported.into()),
        None => std::os::unix::net::UnixStream::connect(address)?,
    };
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}

/// Yields once, when the other side closes the socket. An error is no wish.
fn closed(mut socket: UnixStream) -> impl Stream<Item = Sign> + Send {
    stream::once(async move {
        let mut buffer = [0; 64];
        loop {
            match socket.read(&mut buffer).await {
                Ok(0) => return Some(Sign::Closed),
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!("the socket of the Docker CLI broke: {error}");
                    return None;
                }
            }
        }
    })
    .filter_map(std::future::ready)
}

/// Yields once, when this process has another parent than now.
fn orphaned() -> impl Stream<Item = Sign> + Send {
    let parent = rustix::process::getppid();
    stream::once(async move {
        let mut ticks = interval(PARENT_CHECK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while rustix::process::getppid() == parent {
            ticks.tick().await;
        }
        Sign::Closed
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_one_wish_are_one_request() {
        use CancelRequest::{Force, Graceful};
        const INT: Sign = Sign::Signal(2);
        const TERM: Sign = Sign::Signal(15);
        const HUP: Sign = Sign::Signal(1);
        const EOF: Sign = Sign::Closed;
        for (name, signs, requests) in [
            ("Ctrl+C", &[(0, INT)][..], &[Graceful][..]),
            ("only the socket", &[(0, EOF)], &[Graceful]),
            ("Ctrl+C behind a pipe", &[(0, INT), (3, EOF)], &[Graceful]),
            ("the same the other way round", &[(0, EOF), (3, INT)], &[Graceful]),
            ("the CLI ends later", &[(0, INT), (5_000, EOF)], &[Graceful]),
            ("Ctrl+C twice", &[(0, INT), (900, INT)], &[Graceful, Force]),
            ("Ctrl+C twice, fast", &[(0, INT), (100, INT)], &[Graceful, Force]),
            ("three times", &[(0, INT), (900, INT), (1800, INT)], &[Graceful, Force, Force]),
            ("behind a pipe, twice", &[(0, INT), (3, EOF), (900, INT)], &[Graceful, Force]),
            ("socket, then a signal much later", &[(0, EOF), (900, TERM)], &[Graceful, Force]),
            ("a terminal is closed", &[(0, HUP), (2, TERM)], &[Graceful]),
        ] {
            let mut wishes = Wishes::default();
            let got: Vec<_> =
                signs.iter().filter_map(|&(at, sign)| wishes.take(Duration::from_millis(at), sign)).collect();
            assert_eq!(got, requests, "{name}");
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_end_of_an_abstract_socket_is_a_graceful_request() {
        use std::os::{linux::net::SocketAddrExt as _, unix::net};
        let name = format!("docker_orch_signals_{}", rustix::process::getpid().as_raw_nonzero());
        let address = net::SocketAddr::from_abstract_name(&name).unwrap();
        let listener = net::UnixListener::bind_addr(&address).unwrap();
        let sources = SignalSources { socket: Some(format!("@{name}")), watch_parent: true };
        let mut signals = Signals::listen(&sources).unwrap();
        let (held, _) = listener.accept().unwrap();
        let mut waiting = Box::pin(signals.next());
        assert_eq!(futures::poll!(&mut waiting), std::task::Poll::Pending);
        drop(held);
        assert_eq!(waiting.await, CancelRequest::Graceful);
    }

    #[tokio::test]
    async fn a_socket_that_is_not_there_leaves_the_signals() {
        let sources =
            SignalSources { socket: Some("@docker_orch_nobody_listens".into()), watch_parent: false };
        assert!(Signals::listen(&sources).is_ok());
    }
}
