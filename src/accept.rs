//! Taking connections: how many at most, and what is done where none can be had.
//!
//! *Owns* the loop around `accept`. *Must not know* what is said on a connection.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinSet,
};

/// Before another try where no connection can be taken. The machine is out of file descriptors or of memory then, and
/// tells so at once again and again until something else has ended.
const PAUSE: Duration = Duration::from_millis(200);

/// Where connections come in.
pub trait Listen {
    /// One of them, with what is known of its other end.
    type Connection;

    /// The next one.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Connection>>;
}

impl Listen for TcpListener {
    type Connection = (TcpStream, SocketAddr);

    async fn accept(&self) -> io::Result<Self::Connection> {
        Self::accept(self).await
    }
}

impl Listen for UnixListener {
    type Connection = UnixStream;

    async fn accept(&self) -> io::Result<Self::Connection> {
        Ok(Self::accept(self).await?.0)
    }
}

/// Has `converse` talk on every connection, on `most` at the same time; the next one waits until another has ended.
/// Dropping the future ends all of them.
pub async fn accept<L: Listen, F>(listener: &L, most: usize, converse: impl Fn(L::Connection) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(most));
    let mut connections = JoinSet::new();
    // It is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok(connection) => {
                let conversation = converse(connection);
                connections.spawn(async move {
                    conversation.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!("no connection can be accepted: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        sync::Notify,
    };

    use super::*;

    #[tokio::test]
    async fn one_more_than_there_are_places_waits_until_another_has_ended() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ends = Arc::new(Notify::new());
        let talk = |(mut stream, _): (TcpStream, SocketAddr)| {
            let ends = Arc::clone(&ends);
            async move {
                stream.write_all(b"x").await.unwrap();
                ends.notified().await;
            }
        };
        let clients = async {
            let mut first = TcpStream::connect(address).await.unwrap();
            let mut second = TcpStream::connect(address).await.unwrap();
            assert_eq!(first.read_u8().await.unwrap(), b'x');
            let mut byte = [0];
            tokio::task::yield_now().await;
            assert!(second.try_read(&mut byte).is_err(), "it has no place yet");
            ends.notify_one();
            assert_eq!(second.read_u8().await.unwrap(), b'x');
        };
        tokio::select! {
            () = accept(&listener, 1, talk) => {}
            () = clients => {}
        }
    }
}
