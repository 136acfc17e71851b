//! The end of a connection whose client is still sending: who is refused in the middle of a long body must get to read
//! why. A connection that is closed while bytes come in is reset, and what was sent on it last is lost.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    time::timeout,
};

/// How long a client may go on sending after its last answer.
const LINGER: Duration = Duration::from_secs(30);

/// A connection that comes back to its [`Owner`] once nobody uses it any more.
pub(super) struct Lent<T> {
    /// `None` only while it is dropped.
    inner: Option<T>,
    owner: Arc<Mutex<Option<T>>>,
}

/// Whoever has lent a connection.
pub(super) struct Owner<T>(Arc<Mutex<Option<T>>>);

/// Lends a connection.
pub(super) fn lend<T>(inner: T) -> (Lent<T>, Owner<T>) {
    let owner = Arc::new(Mutex::new(None));
    (Lent { inner: Some(inner), owner: Arc::clone(&owner) }, Owner(owner))
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        *self.owner.lock().unwrap_or_else(PoisonError::into_inner) = self.inner.take();
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Owner<T> {
    /// Ends a connection that has come back: says so to the client, and takes what that still sends, for a while.
    pub(super) async fn end(self) {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut inner) = inner else { return };
        let rest = async {
            inner.shutdown().await?;
            tokio::io::copy(&mut inner, &mut tokio::io::sink()).await
        };
        // However it ends, it is over.
        drop(timeout(LINGER, rest).await);
    }
}

impl<T: Unpin> Lent<T> {
    fn inner(&mut self) -> io::Result<Pin<&mut T>> {
        self.inner.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Lent<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.inner()?.poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Lent<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inner()?.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.inner()?.poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner()?.poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt as _, time::Instant};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_may_finish_what_it_sends_but_not_for_ever() {
        let (mut client, server) = tokio::io::duplex(4);
        let (lent, owner) = lend(server);
        drop(lent);
        let sends = async {
            client.write_all(&[0; 100]).await.unwrap();
            let mut rest = Vec::new();
            assert_eq!(client.read_to_end(&mut rest).await.unwrap(), 0, "nothing more comes");
            drop(client);
        };
        let began = Instant::now();
        tokio::join!(owner.end(), sends);
        assert_eq!(began.elapsed(), Duration::ZERO);

        let (_silent, server) = tokio::io::duplex(4);
        let (lent, owner) = lend(server);
        drop(lent);
        owner.end().await;
        assert_eq!(began.elapsed(), LINGER);
    }
}
