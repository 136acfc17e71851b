//! Connections: how many there are at most, and how long one may take to say what it wants.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};

use crate::accept::accept;

/// Connections at the same time; the next one waits until another has ended.
const CONNECTIONS: usize = 128;
/// How long the head of a request may take, and a connection may stand without one.
const HEAD: Duration = Duration::from_secs(30);
/// How long the head of a request may be, in bytes.
const HEAD_SIZE: usize = 16 << 10;

/// Serves until it is dropped, which ends every connection.
pub async fn listen(listener: TcpListener, app: Router) {
    accept(&listener, CONNECTIONS, |(stream, _)| converse(stream, app.clone())).await;
}

async fn converse(stream: TcpStream, app: Router) {
    // What is told is told at once; it works without, too.
    stream.set_nodelay(true).ok();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_SIZE);
    let service = TowerToHyperService::new(app);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!("a connection broke: {error}");
    }
}
