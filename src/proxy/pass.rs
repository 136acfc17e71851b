//! Passing a request on, and its answer back.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures::{FutureExt as _, future::BoxFuture};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{
        CONNECTION, CONTENT_TYPE, COOKIE, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
        TRANSFER_ENCODING, UPGRADE,
    },
    request::Parts,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body_util::BodyExt as _;
use hyper::{body::Body as _, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;

use super::{
    Admission, Serving,
    answer::Problem,
    body::{Answering, AnyBody, empty},
    limits::Talk,
    site::Entry,
    tunnel::both_ways,
    upstream::Upstream,
};

/// Lines of a head that belong to one connection (RFC 9110, section 7.6.1), beside those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 7] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    UPGRADE,
];

/// Where a request came from.
#[derive(Clone)]
pub(super) struct From {
    /// The client's address.
    pub(super) client: IpAddr,
    /// Takes what goes on when the connection has become something else than HTTP.
    pub(super) tunnels: mpsc::UnboundedSender<BoxFuture<'static, ()>>,
    /// The request is being sent, and may be for as long as it is answered.
    pub(super) talk: Option<Arc<Talk>>,
}

/// Passes a request on to a service, and gives its answer, the body of which comes as it comes.
pub(super) async fn pass(
    upstream: &Upstream,
    entry: &Entry,
    mut request: Request<AnyBody>,
    from: &From,
    admission: Admission,
) -> Result<Response<AnyBody>, Problem> {
    let Admission { address, waited, serving } = admission;
    let failed = |message: String| Problem::BadGateway { service: entry.name.clone(), message };
    let service = SocketAddr::new(address, entry.port);
    let upgrade = upgrade(request.headers());
    let client_side = upgrade.as_ref().map(|_| hyper::upgrade::on(&mut request));
    let answered = if is_grpc(&request) {
        upstream.http2(service, outgoing_grpc(request, service, from).map_err(failed)?).await
    } else {
        upstream.http1(service, outgoing(request, service, from, upgrade.as_ref())).await
    };
    let (mut answer, busy) = answered.map_err(|error| {
        let is_silent = from.talk.as_ref().is_some_and(|talk| talk.is_silent());
        if is_silent { Problem::Silent } else { failed(chain(error.as_ref())) }
    })?;
    if !waited.is_zero() {
        let headers = answer.headers_mut();
        headers.insert("x-orch-cold-start", HeaderValue::from_static("1"));
        let waited = waited.as_millis().try_into().unwrap_or(u64::MAX);
        headers.insert("x-orch-waited-ms", HeaderValue::from(waited));
    }
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(client_side) = client_side
    {
        let service_side = hyper::upgrade::on(&mut answer);
        // An error means that the connection is gone.
        from.tunnels.send(tunnel(client_side, service_side, serving).boxed()).ok();
        return Ok(answer.map(|_| empty()));
    }
    strip(answer.headers_mut());
    Ok(answer.map(|body| Answering::new(body, busy, from.talk.clone(), serving).boxed_unsync()))
}

/// What a request wants to change its connection to.
fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = named_by_connection(headers).any(|name| name == UPGRADE);
    headers.get(UPGRADE).filter(|_| asks).cloned()
}

fn is_grpc(request: &Request<AnyBody>) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    request.version() == Version::HTTP_2 && kind.is_some_and(|kind| kind.starts_with("application/grpc"))
}

/// The request as a service gets it that speaks HTTP/1.1.
fn outgoing(
    request: Request<AnyBody>,
    service: SocketAddr,
    from: &From,
    upgrade: Option<&HeaderValue>,
) -> Request<AnyBody> {
    let (mut head, body) = request.into_parts();
    let host = asked_host(&head);
    let takes_trailers = takes_trailers(&head.headers);
    strip(&mut head.headers);
    if takes_trailers {
        head.headers.insert(TE, HeaderValue::from_static("trailers"));
        head.headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    if let Some(protocol) = upgrade {
        head.headers.append(CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(UPGRADE, protocol.clone());
    }
    if head.version == Version::HTTP_2 {
        join_cookies(&mut head.headers);
    }
    // HTTP/1.0 need not name one.
    if let Some(host) = host.clone().or_else(|| HeaderValue::from_str(&service.to_string()).ok()) {
        head.headers.insert(HOST, host);
    }
    forwarded(&mut head.headers, from, host.as_ref());
    if !body.is_end_stream() && body.size_hint().exact().is_none() {
        // Nobody takes a GET to have a body, unless it is said.
        head.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    head.version = Version::HTTP_11;
    head.uri = head.uri.path_and_query().cloned().map(Uri::from).unwrap_or_default();
    Request::from_parts(head, body)
}

/// The request as a service gets it that speaks gRPC.
fn outgoing_grpc(
    request: Request<AnyBody>,
    service: SocketAddr,
    from: &From,
) -> Result<Request<AnyBody>, String> {
    let (mut head, body) = request.into_parts();
    let host = asked_host(&head);
    let takes_trailers = takes_trailers(&head.headers);
    strip(&mut head.headers);
    head.headers.remove(HOST);
    if takes_trailers {
        head.headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    forwarded(&mut head.headers, from, host.as_ref());
    let authority = match &host {
        Some(host) => Authority::try_from(host.as_bytes()),
        None => Authority::try_from(service.to_string()),
    };
    let mut parts = std::mem::take(&mut head.uri).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority.map_err(|error| error.to_string())?);
    parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
    head.uri = Uri::from_parts(parts).map_err(|error| error.to_string())?;
    Ok(Request::from_parts(head, body))
}

/// The host that was asked for, with its port where one was named.
fn asked_host(head: &Parts) -> Option<HeaderValue> {
    let named = head.headers.get(HOST).cloned();
    named.or_else(|| HeaderValue::from_str(head.uri.authority()?.as_str()).ok())
}

fn takes_trailers(headers: &HeaderMap) -> bool {
    headers.get(TE).is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"))
}

/// HTTP/2 may send cookies in several lines, which are one in HTTP/1.1 (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let lines: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() > 1
        && let Ok(one) = HeaderValue::from_bytes(&lines.join(&b"; "[..]))
    {
        headers.insert(COOKIE, one);
    }
}

/// Says whom the request came from; what the client said of that itself comes first.
fn forwarded(headers: &mut HeaderMap, from: &From, host: Option<&HeaderValue>) {
    const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    // Each proxy may have added a line of its own.
    let before = headers.get_all(&FOR).iter().filter_map(|value| value.to_str().ok());
    let whole: Vec<String> = before.map(str::to_owned).chain([from.client.to_string()]).collect();
    if let Ok(value) = HeaderValue::from_str(&whole.join(", ")) {
        headers.insert(FOR, value);
    }
    headers.entry("x-forwarded-proto").or_insert(HeaderValue::from_static("http"));
    if let Some(host) = host {
        headers.entry("x-forwarded-host").or_insert_with(|| host.clone());
    }
}

/// Takes away what belongs to one connection.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = named_by_connection(headers).collect();
    for name in named {
        headers.remove(name);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    // A body of known length is sent with it; the other end frames any other anew.
    headers.remove(TRANSFER_ENCODING);
}

fn named_by_connection(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> + '_ {
    let lines = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let names = lines.flat_map(|line| line.split(','));
    names.filter_map(|name| HeaderName::try_from(name.trim().to_ascii_lowercase()).ok())
}

/// A connection that is something else than HTTP from now on.
async fn tunnel(client: OnUpgrade, service: OnUpgrade, serving: Serving) {
    let (client, service) = match futures::future::try_join(client, service).await {
        Ok(both) => both,
        Err(error) => return tracing::debug!("a connection could not be changed: {error}"),
    };
    if let Err(error) = both_ways(TokioIo::new(client), TokioIo::new(service)).await {
        tracing::debug!("a changed connection ended: {error}");
    }
    drop(serving);
}

/// An error with what it came from.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Whether a request may be answered with a page.
pub(super) fn takes_page<B>(request: &Request<B>) -> bool {
    let accepts = request.headers().get(http::header::ACCEPT).and_then(|accept| accept.to_str().ok());
    request.method() == Method::GET && accepts.is_some_and(|accept| accept.contains("text/html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Request<AnyBody> {
        let request = build(Request::builder().uri("/v1/x?y=1").header(HOST, "a.test:8080"));
        let request = request.body(empty()).unwrap();
        let from = From { client: [10, 0, 0, 9].into(), tunnels: mpsc::unbounded_channel().0, talk: None };
        let upgrade = upgrade(request.headers());
        outgoing(request, ([172, 18, 0, 5], 80).into(), &from, upgrade.as_ref())
    }

    #[test]
    fn what_belongs_to_one_connection_is_not_passed_on() {
        let request = sent(|b| {
            b.header("connection", "close, X-Mine")
                .header("x-mine", "1")
                .header("keep-alive", "5")
                .header("te", "gzip")
                .header("upgrade", "h2c")
                .header("authorization", "Bearer k")
        });
        let names: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(
            names,
            ["host", "authorization", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"]
        );
        assert_eq!(request.uri(), "/v1/x?y=1");
        assert_eq!(request.headers()[HOST], "a.test:8080");
    }

    #[test]
    fn a_change_of_protocol_is_asked_for_again() {
        let request = sent(|b| b.header("connection", "keep-alive, Upgrade").header("upgrade", "websocket"));
        assert_eq!(
            (&request.headers()[CONNECTION], &request.headers()[UPGRADE]),
            (&HeaderValue::from_static("upgrade"), &HeaderValue::from_static("websocket"))
        );
    }

    #[test]
    fn whom_it_came_from_is_added_to_what_is_said_already() {
        let request = sent(|b| {
            b.header("x-forwarded-for", "6.6.6.6")
                .header("x-forwarded-for", "1.2.3.4")
                .header("x-forwarded-proto", "https")
        });
        assert_eq!(request.headers()["x-forwarded-for"], "6.6.6.6, 1.2.3.4, 10.0.0.9");
        assert_eq!(request.headers()["x-forwarded-proto"], "https");
    }
}
