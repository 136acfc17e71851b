//! How long a client may stand still. What it has asked for keeps a service loaded, so nobody may do so for ever.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use hyper::body::{Body, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use super::body::Broken;

/// How long the head of a request may take, and how long a connection may be without one.
pub(super) const HEAD: Duration = Duration::from_secs(30);
/// How long the head of a request may be, in bytes.
pub(super) const HEAD_SIZE: usize = 64 << 10;
/// As [`HEAD_SIZE`], in HTTP/2.
pub(super) const HEAD_LIST: u32 = 64 << 10;
/// How long a body that is read whole, to find the model in it, may be, in bytes.
pub(super) const BODY_SIZE: usize = 16 << 20;
/// How long a client may take none of what it is sent, or send nothing of what it has begun to.
pub(super) const STALL: Duration = Duration::from_mins(1);
/// How long both ends of a conversation may be silent, where each could speak. It is theirs to say when it is over; one that
/// nobody remembers must not keep a service loaded.
pub(super) const QUIET: Duration = Duration::from_mins(15);
/// Between two looks at whether something has moved: how much longer than a limit it may take to be seen.
const LOOK: Duration = Duration::from_secs(15);
/// Streams of a connection of HTTP/2 at the same time: as many as RFC 9113 wants there to be at least, and some.
pub(super) const STREAMS: u32 = 128;
/// How long a connection to a service may take to come about.
pub(super) const CONNECT: Duration = Duration::from_secs(10);
/// How long a connection to a service is kept when nobody uses it: less than most servers keep theirs.
pub(super) const KEPT: Duration = Duration::from_secs(4);
/// Connections of one address at the same time; the next one waits until another has ended.
pub(super) const CONNECTIONS: usize = 4096;

/// Has bytes sent at once, and the other side asked whether it is still there when it has been silent for long. A
/// connection works without either, too.
pub(super) fn watch(stream: &tokio::net::TcpStream) {
    use rustix::net::sockopt;
    stream.set_nodelay(true).ok();
    sockopt::set_socket_keepalive(stream, true).ok();
    sockopt::set_tcp_keepidle(stream, STALL).ok();
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(15)).ok();
    sockopt::set_tcp_keepcnt(stream, 4).ok();
}

/// A connection that breaks when the other side takes nothing of what it is sent for [`STALL`].
pub(super) struct Moving<T> {
    inner: T,
    stalls: Option<Pin<Box<Sleep>>>,
}

impl<T> Moving<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, stalls: None }
    }

    fn watched<R>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if polled.is_ready() {
            self.stalls = None;
            return polled;
        }
        let stalls = self.stalls.get_or_insert_with(|| Box::pin(sleep(STALL)));
        ready!(stalls.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing any more")))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Moving<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Moving<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.watched(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(context, parts);
        self.watched(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(context);
        self.watched(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// Something that moves, or does not.
#[derive(Default)]
pub(super) struct Motion(AtomicU64);

impl Motion {
    /// It has.
    pub(super) fn moved(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until it has not moved for as long as it may stand still: `None` as long as it likes.
    pub(super) async fn stops(&self, limit: impl Fn() -> Option<Duration>) {
        let (mut seen, mut still) = (self.0.load(Ordering::Relaxed), Duration::ZERO);
        while limit().is_none_or(|limit| still < limit) {
            sleep(LOOK).await;
            let now = self.0.load(Ordering::Relaxed);
            still = if now == seen { still + LOOK } else { Duration::ZERO };
            seen = now;
        }
    }
}

/// A request and its answer, where each may go on while the other does.
#[derive(Default)]
pub(super) struct Talk {
    motion: Motion,
    /// The service has begun to answer, and has not ended.
    answers: AtomicBool,
    /// The client was waited for in vain.
    is_silent: AtomicBool,
}

impl Talk {
    /// The service begins or ends its answer.
    pub(super) fn set_answers(&self, answers: bool) {
        self.answers.store(answers, Ordering::Relaxed);
        self.motion.moved();
    }

    /// Something has come, from either side.
    pub(super) fn moved(&self) {
        self.motion.moved();
    }

    /// Whether the client has been waited for in vain.
    pub(super) fn is_silent(&self) -> bool {
        self.is_silent.load(Ordering::Relaxed)
    }

    /// Waits until it is the client's turn, and it says nothing.
    async fn stops(self: Arc<Self>) {
        let limit = || Some(if self.answers.load(Ordering::Relaxed) { QUIET } else { STALL });
        self.motion.stops(limit).await;
    }
}

/// A client sends nothing of what it has begun to.
#[derive(Debug, thiserror::Error)]
#[error("the client sends nothing any more")]
pub(super) struct Silent;

/// A body that breaks when its client sends nothing more of it for [`STALL`]; while it is answered, when neither side
/// says anything for [`QUIET`].
pub(super) struct Sent<B> {
    body: B,
    talk: Arc<Talk>,
    /// Only where it has to be waited for.
    stops: Option<BoxFuture<'static, ()>>,
}

impl<B> Sent<B> {
    pub(super) fn new(body: B, talk: Arc<Talk>) -> Self {
        Self { body, talk, stops: None }
    }
}

impl<B: Body<Error: Into<Broken>> + Unpin> Body for Sent<B> {
    type Data = B::Data;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Broken>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(frame) = polled {
            self.talk.moved();
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let this = &mut *self;
        let stops = this.stops.get_or_insert_with(|| Arc::clone(&this.talk).stops().boxed());
        ready!(stops.as_mut().poll(context));
        this.stops = None;
        this.talk.is_silent.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Err(Silent.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
