//! Bytes that pass in both directions, whatever they mean.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};

use super::limits::{Motion, QUIET};

/// Carries bytes until both sides have ended, each by itself.
///
/// # Errors
///
/// A side broke, or nothing has moved in either direction for [`QUIET`].
pub(super) async fn both_ways(
    client: impl AsyncRead + AsyncWrite + Unpin,
    service: impl AsyncRead + AsyncWrite + Unpin,
) -> io::Result<()> {
    let motion = Motion::default();
    let mut client = Moving { side: client, motion: &motion };
    let mut service = Moving { side: service, motion: &motion };
    tokio::select! {
        carried = copy_bidirectional(&mut client, &mut service) => carried.map(drop),
        () = motion.stops(|| Some(QUIET)) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, "both sides were silent for too long"))
        }
    }
}

/// One side: what is read from it moves.
struct Moving<'a, T> {
    side: T,
    motion: &'a Motion,
}

impl<T: AsyncRead + Unpin> AsyncRead for Moving<'_, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.side).poll_read(context, buffer))?;
        self.motion.moved();
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Moving<'_, T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.side).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.side).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.side).poll_shutdown(context)
    }
}
