//! Whether the standard gRPC health service says SERVING.
//!
//! One HTTP/2 request, made with h2 alone: the two messages are a text and a number, which need no generated code.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use tokio::net::TcpStream;

use super::{
    Target,
    answer::io_words,
    prober::{Answer, reach},
    tcp,
};
use crate::engine::EngineInfo;

/// An answer is a few bytes; whatever sends more is something else.
const ANSWER_LIMIT: usize = 4096;
/// As servers know it.
const METHOD: &str = "/grpc.health.v1.Health/Check";

/// Tries every way in turn until one reaches the server. Empty `service`: the server as a whole.
pub(super) async fn ask(
    (host, port): (Option<&str>, u16),
    service: &str,
    target: &Target,
    engine: &EngineInfo,
    limit: Duration,
) -> Answer {
    let routes = reach(host, port, target, engine);
    let ways = routes.open.into_iter().chain(routes.published).collect();
    let service = service.to_owned();
    tcp::over(ways, routes.why_none, limit, move |stream| check(stream, service.clone())).await
}

/// What a server that accepted the connection says.
async fn check(stream: TcpStream, service: String) -> Answer {
    match call(stream, &service).await {
        Ok(said) => said.answer(&service),
        Err(error) => Answer::new(false, format!("no gRPC server: {}", h2_words(&error))),
    }
}

/// The answer to a call.
#[derive(Debug, Default)]
struct Said {
    /// Of HTTP.
    http: u16,
    /// Of gRPC; `None`: it gave none.
    code: Option<u16>,
    /// In its words.
    message: String,
    body: Vec<u8>,
}

async fn call(stream: TcpStream, service: &str) -> Result<Said, h2::Error> {
    let (client, connection) = h2::client::handshake(stream).await?;
    let exchange = exchange(client, service);
    tokio::pin!(exchange);
    // The connection goes on only while it is polled; it may end right behind the answer.
    tokio::select! {
        biased;
        said = &mut exchange => said,
        ended = connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(error),
        },
    }
}

async fn exchange(client: h2::client::SendRequest<Bytes>, service: &str) -> Result<Said, h2::Error> {
    let request = Request::post(format!("http://localhost{METHOD}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("constants make a request");
    let mut client = client.ready().await?;
    let (response, mut body) = client.send_request(request, false)?;
    body.send_data(request_message(service).into(), true)?;
    let mut response = response.await?;
    let mut said = Said { http: response.status().as_u16(), ..Said::default() };
    // A server that fails at once says so in the headers.
    said.take(response.headers());
    while let Some(chunk) = response.body_mut().data().await {
        let chunk = chunk?;
        response.body_mut().flow_control().release_capacity(chunk.len())?;
        said.body.extend_from_slice(&chunk);
        if said.body.len() > ANSWER_LIMIT {
            return Ok(said);
        }
    }
    if let Some(trailers) = response.body_mut().trailers().await? {
        said.take(&trailers);
    }
    Ok(said)
}

impl Said {
    fn take(&mut self, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(code) = text("grpc-status").and_then(|code| code.parse().ok()) {
            self.code = Some(code);
            self.message = text("grpc-message").unwrap_or_default().replace("%20", " ");
        }
    }

    fn answer(&self, service: &str) -> Answer {
        let whom = if service.is_empty() { "the server".to_owned() } else { format!("`{service}`") };
        match (self.http, self.code) {
            (200, Some(0)) => match serving_status(&self.body) {
                Some(1) => Answer::new(true, "SERVING"),
                Some(0) => Answer::new(false, format!("{whom} says UNKNOWN")),
                Some(2) => Answer::new(false, format!("{whom} says NOT_SERVING")),
                Some(3) => Answer::new(false, format!("{whom} is not known to it: SERVICE_UNKNOWN")),
                Some(other) => Answer::new(false, format!("{whom} says {other}, which is no status")),
                None => Answer::new(false, "its answer is no health status"),
            },
            (200, Some(5)) => Answer::new(false, format!("{whom} is not known to it: NOT_FOUND")),
            (200, Some(12)) => Answer::new(false, "it has no gRPC health service: UNIMPLEMENTED"),
            (200, Some(code)) => {
                let message = if self.message.is_empty() { "" } else { ": " };
                Answer::new(false, format!("gRPC status {code}{message}{}", self.message))
            }
            (200, None) => Answer::new(false, "it answers HTTP, but not gRPC"),
            (http, _) => Answer::new(false, format!("it answers HTTP {http}, not gRPC")),
        }
    }
}

/// `HealthCheckRequest {string service = 1}`, behind its length.
fn request_message(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        varint(service.len(), &mut message);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut framed = vec![0];
    framed.extend_from_slice(&length.to_be_bytes());
    framed.append(&mut message);
    framed
}

fn varint(mut number: usize, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(0x80 | u8::try_from(number & 0x7f).unwrap_or(0));
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap_or(0));
}

/// The `status = 1` of a `HealthCheckResponse`: 0 where it is left out; `None` where this is none.
fn serving_status(framed: &[u8]) -> Option<u64> {
    let (&[compressed, a, b, c, d], mut message) = framed.split_first_chunk::<5>()?;
    if compressed != 0 || usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()? != message.len() {
        return None;
    }
    let mut status = 0;
    while !message.is_empty() {
        let (key, rest) = read_varint(message)?;
        let (value, after) = read_varint(rest)?;
        message = match key & 7 {
            0 => after,
            1 => rest.get(8..)?,
            2 => after.get(usize::try_from(value).ok()?..)?,
            5 => rest.get(4..)?,
            _ => return None,
        };
        if key == 8 {
            status = value;
        }
    }
    Some(status)
}

fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f).checked_shl(u32::try_from(7 * at).ok()?)?;
        if byte & 0x80 == 0 {
            return Some((number, &bytes[at + 1..]));
        }
    }
    None
}

/// What broke, without the words of HTTP/2 where there are better ones.
fn h2_words(error: &h2::Error) -> String {
    match error.get_io() {
        Some(io) => io_words(io),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        let mut framed = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
        framed.extend_from_slice(message);
        framed
    }

    #[test]
    fn the_question_names_the_service() {
        assert_eq!(request_message(""), framed(b""));
        assert_eq!(request_message("ab.C"), framed(b"\x0a\x04ab.C"));
        let long = request_message(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 0x2f, 0x0a, 0xac, 0x02]);
        assert_eq!(long.len(), 5 + 3 + 300);
    }

    #[test]
    fn the_status_is_found_among_unknown_fields_and_nothing_else_is_taken_for_one() {
        for (message, status) in [
            (&b""[..], Some(0)),
            (b"\x08\x01", Some(1)),
            (b"\x12\x02hi\x08\x02\x19abcdefgh\x25abcd", Some(2)),
            (b"\x08\x81\x01", Some(129)),
            (b"\x08", None),
            (b"\x12\x09hi", None),
            (b"\x0b", None),
        ] {
            assert_eq!(serving_status(&framed(message)), status, "{message:?}");
        }
        assert_eq!(serving_status(b"<html>"), None);
        assert_eq!(serving_status(&[1, 0, 0, 0, 0]), None, "compressed");
        assert_eq!(serving_status(b""), None);
    }

    #[test]
    fn every_answer_has_its_words() {
        let said =
            |http, code, body: &[u8]| Said { http, code, message: "why".to_owned(), body: framed(body) };
        for (said, passed, words) in [
            (said(200, Some(0), b"\x08\x01"), true, "SERVING"),
            (said(200, Some(0), b"\x08\x02"), false, "`s` says NOT_SERVING"),
            (said(200, Some(0), b""), false, "`s` says UNKNOWN"),
            (said(200, Some(0), b"\x08\x03"), false, "`s` is not known to it: SERVICE_UNKNOWN"),
            (said(200, Some(5), b""), false, "`s` is not known to it: NOT_FOUND"),
            (said(200, Some(12), b""), false, "it has no gRPC health service: UNIMPLEMENTED"),
            (said(200, Some(16), b""), false, "gRPC status 16: why"),
            (said(200, None, b"x"), false, "it answers HTTP, but not gRPC"),
            (said(404, None, b""), false, "it answers HTTP 404, not gRPC"),
        ] {
            assert_eq!(said.answer("s"), Answer::new(passed, words));
        }
        assert_eq!(said(200, Some(0), b"\x08\x02").answer("").detail, "the server says NOT_SERVING");
    }
}
