//! How long a client may stand still. What it has asked for keeps a service loaded, so nobody may do so for ever.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::body::{Body, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use super::body::Broken;

/// How long the head of a request may take.
pub(super) const HEAD: Duration = Duration::from_secs(30);
/// How long the head of a request may be, in bytes.
pub(super) const HEAD_SIZE: usize = 64 << 10;
/// As [`HEAD_SIZE`], in HTTP/2.
pub(super) const HEAD_LIST: u32 = 64 << 10;
/// How long a body that is read whole, to find the model in it, may be, in bytes.
pub(super) const BODY_SIZE: usize = 16 << 20;
/// How long a client may take none of what it is sent, or send nothing of what it has begun to.
pub(super) const STALL: Duration = Duration::from_mins(1);
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

/// A body that breaks when its client sends nothing more of it for [`STALL`].
pub(super) struct Sent<B> {
    body: B,
    stalls: Option<Pin<Box<Sleep>>>,
}

impl<B> Sent<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body, stalls: None }
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
            self.stalls = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let stalls = self.stalls.get_or_insert_with(|| Box::pin(sleep(STALL)));
        ready!(stalls.as_mut().poll(context));
        Poll::Ready(Some(Err("the client sends nothing any more".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
