//! Connections to services, kept between requests: each thread that passes requests on has its own.
//!
//! A kept connection may have been closed by the service meanwhile, which is known for certain only once a request was
//! sent on it. What was not sent goes out on another one; what may be repeated does, too.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use http::{Request, Response};
use hyper::{
    body::{Body as _, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::{
    body::{AnyBody, empty},
    limits,
};

/// The kept connections. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Upstream(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    /// By the service's address, those that were used last at the end.
    http1: HashMap<SocketAddr, Vec<(Http1, Instant)>>,
    /// One connection carries many requests; since it was used last.
    http2: HashMap<SocketAddr, (Http2, Instant)>,
    /// Somebody takes away what has been kept for too long.
    is_swept: bool,
}

/// What takes requests on a connection of HTTP/1.1, one after the other.
type Http1 = http1::SendRequest<AnyBody>;
/// The same in HTTP/2, many at the same time.
type Http2 = http2::SendRequest<AnyBody>;

/// A connection while an answer comes over it. It is closed where that does not come to its end.
pub(super) struct Busy {
    connection: Http1,
    service: SocketAddr,
    home: Weak<Mutex<Kept>>,
}

/// An answer, and what it comes over; none in HTTP/2, where many come over one.
type Answered = (Response<Incoming>, Option<Busy>);

/// Why there is no answer.
pub(super) type Failed = Box<dyn std::error::Error + Send + Sync>;

impl Upstream {
    /// Sends a request in HTTP/1.1.
    pub(super) async fn http1(
        &self,
        service: SocketAddr,
        mut request: Request<AnyBody>,
    ) -> Result<Answered, Failed> {
        loop {
            let kept = self.kept().take(service);
            let may_be_stale = kept.is_some();
            let mut connection = match kept {
                Some(connection) => connection,
                None => open_http1(service).await?,
            };
            let again = if may_be_stale { repeated(&request) } else { None };
            match connection.try_send_request(request).await {
                Ok(answer) => {
                    let busy = Busy { connection, service, home: Arc::downgrade(&self.0) };
                    return Ok((answer, Some(busy)));
                }
                // An error with the request means that nothing of it was sent.
                Err(mut error) => match error.take_message().or(again).filter(|_| may_be_stale) {
                    Some(unanswered) => request = unanswered,
                    None => return Err(error.into_error().into()),
                },
            }
        }
    }

    /// Sends a request in HTTP/2.
    pub(super) async fn http2(
        &self,
        service: SocketAddr,
        mut request: Request<AnyBody>,
    ) -> Result<Answered, Failed> {
        loop {
            let kept = self.kept().shared(service);
            let may_be_stale = kept.is_some();
            let mut requests = if let Some(requests) = kept {
                requests
            } else {
                let requests = open_http2(service).await?;
                self.kept().http2.insert(service, (requests.clone(), Instant::now()));
                self.sweep();
                requests
            };
            match requests.try_send_request(request).await {
                Ok(answer) => return Ok((answer, None)),
                Err(mut error) => match error.take_message().filter(|_| may_be_stale) {
                    Some(unsent) => {
                        self.kept().http2.remove(&service);
                        request = unsent;
                    }
                    None => return Err(error.into_error().into()),
                },
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        lock(&self.0)
    }

    fn put(&self, service: SocketAddr, connection: Http1) {
        self.kept().http1.entry(service).or_default().push((connection, Instant::now()));
        self.sweep();
    }

    /// Has somebody take away what is kept for too long, until nothing is.
    fn sweep(&self) {
        if std::mem::replace(&mut self.kept().is_swept, true) {
            return;
        }
        let kept = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            loop {
                sleep(limits::KEPT).await;
                let Some(kept) = kept.upgrade() else { return };
                let mut kept = lock(&kept);
                kept.forget();
                if kept.http1.is_empty() && kept.http2.is_empty() {
                    kept.is_swept = false;
                    return;
                }
            }
        });
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    /// The connection that was used last: the others may grow too old.
    fn take(&mut self, service: SocketAddr) -> Option<Http1> {
        let idle = self.http1.get_mut(&service)?;
        while let Some((connection, since)) = idle.pop() {
            if since.elapsed() < limits::KEPT && connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    fn shared(&mut self, service: SocketAddr) -> Option<Http2> {
        let (requests, used) = self.http2.get_mut(&service).filter(|(requests, _)| !requests.is_closed())?;
        *used = Instant::now();
        Some(requests.clone())
    }

    /// Dropping what asks on a connection closes it once nothing is asked on it any more.
    fn forget(&mut self) {
        let is_fresh = |since: &Instant| since.elapsed() < limits::KEPT;
        for idle in self.http1.values_mut() {
            idle.retain(|(connection, since)| is_fresh(since) && !connection.is_closed());
        }
        self.http1.retain(|_, idle| !idle.is_empty());
        self.http2.retain(|_, (requests, since)| is_fresh(since) && !requests.is_closed());
    }
}

impl Busy {
    /// The answer has come whole: the connection may be used again as soon as the request has gone out whole, too.
    pub(super) fn over(self) {
        let Self { mut connection, service, home } = self;
        let Some(home) = home.upgrade().map(Upstream) else { return };
        if connection.is_ready() {
            home.put(service, connection);
        } else if !connection.is_closed() {
            tokio::spawn(async move {
                if connection.ready().await.is_ok() {
                    home.put(service, connection);
                }
            });
        }
    }
}

async fn connect(service: SocketAddr) -> Result<TokioIo<TcpStream>, Failed> {
    let stream = timeout(limits::CONNECT, TcpStream::connect(service)).await;
    let stream = stream.map_err(|_| format!("{service} does not take the connection"))??;
    limits::watch(&stream);
    Ok(TokioIo::new(stream))
}

async fn open_http1(service: SocketAddr) -> Result<Http1, Failed> {
    let (requests, connection) = http1::handshake(connect(service).await?).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!("a connection to {service} broke: {error}");
        }
    });
    Ok(requests)
}

async fn open_http2(service: SocketAddr) -> Result<Http2, Failed> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new());
    let (requests, connection) = builder.handshake(connect(service).await?).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("a connection to {service} broke: {error}");
        }
    });
    Ok(requests)
}

/// The same request again, where asking twice is the same as asking once (RFC 9110, section 9.2.2), and all of it is
/// known.
fn repeated(request: &Request<AnyBody>) -> Option<Request<AnyBody>> {
    if !request.method().is_idempotent() || !request.body().is_end_stream() {
        return None;
    }
    let mut again = Request::new(empty());
    again.method_mut().clone_from(request.method());
    again.uri_mut().clone_from(request.uri());
    again.headers_mut().clone_from(request.headers());
    Some(again)
}
