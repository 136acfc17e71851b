//! HTTP over any stream: for the ways to an engine that bollard does not know, or not as the Docker CLI does them.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use bollard::{BollardRequest, Docker, errors::Error};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, Uri, header::HOST, uri::PathAndQuery};
use hyper::{
    body::{Body, Incoming},
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::oneshot,
};

/// A connection to an engine.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Opens a connection.
pub(super) type Open = Box<dyn Fn() -> BoxFuture<'static, io::Result<Box<dyn Stream>>> + Send + Sync>;

/// An engine behind streams that `open` makes.
pub(super) fn over(open: Open, limit: u64) -> Result<Docker, Error> {
    let streams = Arc::new(Streams { open, idle: Mutex::default() });
    let transport = move |request: BollardRequest| {
        let streams = Arc::clone(&streams);
        async move { streams.send(request).await }
    };
    Docker::connect_with_custom_transport(
        transport,
        Some("http://docker"),
        limit,
        bollard::API_DEFAULT_VERSION,
    )
}

/// Connections: one is used again when its last answer has been read, because opening one may take long.
struct Streams<B> {
    open: Open,
    idle: Mutex<Vec<SendRequest<B>>>,
}

impl<B> Streams<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    async fn send(&self, request: Request<B>) -> Result<Response<Incoming>, Error> {
        let mut request = plain(request);
        while let Some(mut sender) = self.idle() {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(self.keep(sender, response)),
                Err(mut error) => match error.take_message() {
                    // It was closed while nobody looked, and nothing was sent.
                    Some(unsent) => request = unsent,
                    None => return Err(error.into_error().into()),
                },
            }
        }
        let stream = (self.open)().await.map_err(|error| not_connected(&error))?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        let (tell, told) = oneshot::channel();
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                // Whoever waits for an answer is told; nobody else asks.
                tell.send(error).ok();
            }
        });
        match sender.send_request(request).await {
            Ok(response) => Ok(self.keep(sender, response)),
            // It broke before the request was looked at: only the connection knows why.
            Err(canceled) if canceled.is_canceled() => Err(told.await.unwrap_or(canceled).into()),
            Err(error) => Err(error.into()),
        }
    }

    fn idle(&self) -> Option<SendRequest<B>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|sender| !sender.is_closed());
        let position = idle.iter().position(SendRequest::is_ready)?;
        Some(idle.swap_remove(position))
    }

    fn keep(&self, sender: SendRequest<B>, response: Response<Incoming>) -> Response<Incoming> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        response
    }
}

/// That nothing was sent is what callers need to know.
fn not_connected(error: &io::Error) -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, error.to_string())
}

/// As it goes over a connection: the path alone, and the host in its header.
fn plain<B>(mut request: Request<B>) -> Request<B> {
    let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    if let Ok(uri) = path.parse::<Uri>() {
        *request.uri_mut() = uri;
    }
    request.headers_mut().insert(HOST, HeaderValue::from_static("docker"));
    request
}
