//! Requests over HTTP/1.1, each on a connection of its own, and the moment at which each piece of an answer came.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::stack::PATIENCE;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The body as it arrived, without the marks of how it was cut for the way.
    pub(crate) pieces: Vec<(Instant, Bytes)>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        let bytes: Vec<u8> = self.pieces.iter().flat_map(|(_, piece)| piece.iter().copied()).collect();
        String::from_utf8(bytes).expect("text")
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Between its first piece and its last.
    pub(crate) fn lasted(&self) -> Duration {
        match (self.pieces.first(), self.pieces.last()) {
            (Some((first, _)), Some((last, _))) => *last - *first,
            _ => Duration::ZERO,
        }
    }

    /// Its status is this one.
    #[track_caller]
    pub(crate) fn with(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

/// Asks `POST /path` and the like, to the end of the answer.
#[track_caller]
pub(crate) fn ask(address: SocketAddr, line: &str, body: &str) -> Answer {
    let (method, path) = line.split_once(' ').expect("a method and a path");
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .expect("a request");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, exchange(address, request)).await });
    answer.unwrap_or_else(|_| panic!("no whole answer to {line}"))
}

async fn exchange(address: SocketAddr, request: http::Request<Full<Bytes>>) -> Answer {
    let stream = tokio::net::TcpStream::connect(address).await.expect("somebody who listens");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.expect("an answer");
    let status = answer.status().as_u16();
    let (mut body, mut pieces) = (answer.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame.expect("a whole answer").into_data() {
            pieces.push((Instant::now(), piece));
        }
    }
    Answer { status, pieces }
}
