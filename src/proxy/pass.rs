//! Passing a request on, and its answer back.

use std::net::IpAddr;

use futures::{FutureExt as _, future::BoxFuture};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{
        CONNECTION, CONTENT_TYPE, COOKIE, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
        TRANSFER_ENCODING, UPGRADE,
    },
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body_util::BodyExt as _;
use hyper::upgrade::OnUpgrade;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::sync::mpsc;

use super::{
    Admission, Serving,
    answer::Problem,
    body::{Answering, AnyBody, empty},
    site::Entry,
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

/// Connections to services, kept between requests.
#[derive(Clone)]
pub(super) struct Passer {
    http1: Client<HttpConnector, AnyBody>,
    /// For gRPC, which HTTP/1.1 cannot carry.
    http2: Client<HttpConnector, AnyBody>,
}

/// The connection that a request came over.
#[derive(Clone)]
pub(super) struct From {
    /// The client's address.
    pub(super) client: IpAddr,
    /// Takes what goes on when the connection has become something else than HTTP.
    pub(super) tunnels: mpsc::UnboundedSender<BoxFuture<'static, ()>>,
}

impl Passer {
    pub(super) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(super::limits::CONNECT));
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(super::limits::KEPT);
        let http1 = builder.build(connector.clone());
        let http2 = builder.http2_only(true).build(connector);
        Self { http1, http2 }
    }

    /// Passes a request on to a service, and gives its answer, the body of which comes as it comes.
    pub(super) async fn pass(
        &self,
        entry: &Entry,
        mut request: Request<AnyBody>,
        from: &From,
        admission: Admission,
    ) -> Result<Response<AnyBody>, Problem> {
        let Admission { address, waited, serving } = admission;
        let failed = |message: String| Problem::BadGateway { service: entry.name.clone(), message };
        let upgrade = upgrade(request.headers());
        let client_side = upgrade.as_ref().map(|_| hyper::upgrade::on(&mut request));
        let client = if is_grpc(&request) { &self.http2 } else { &self.http1 };
        let sent = outgoing(request, entry, address, from, upgrade.as_ref()).map_err(failed)?;
        let mut answer = client.request(sent).await.map_err(|error| failed(chain(&error)))?;
        if !waited.is_zero() {
            let headers = answer.headers_mut();
            headers.insert("x-orch-cold-start", HeaderValue::from_static("1"));
            headers.insert(
                "x-orch-waited-ms",
                HeaderValue::from(waited.as_millis().try_into().unwrap_or(u64::MAX)),
            );
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
        Ok(answer.map(|body| Answering::new(body.map_err(Into::into), serving).boxed_unsync()))
    }
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

/// The request as the service gets it.
fn outgoing(
    request: Request<AnyBody>,
    entry: &Entry,
    address: IpAddr,
    from: &From,
    upgrade: Option<&HeaderValue>,
) -> Result<Request<AnyBody>, String> {
    let (mut head, body) = request.into_parts();
    let host = head.headers.get(HOST).cloned().or_else(|| {
        let authority = head.uri.authority()?;
        HeaderValue::from_str(authority.as_str()).ok()
    });
    let grpc = head.version == Version::HTTP_2
        && head
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let takes_trailers =
        head.headers.get(TE).is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    strip(&mut head.headers);
    if takes_trailers {
        head.headers.insert(TE, HeaderValue::from_static("trailers"));
        if !grpc {
            head.headers.insert(CONNECTION, HeaderValue::from_static("te"));
        }
    }
    if let Some(protocol) = upgrade {
        head.headers.append(CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(UPGRADE, protocol.clone());
    }
    if head.version == Version::HTTP_2 && !grpc {
        join_cookies(&mut head.headers);
    }
    if let (Some(host), false) = (&host, grpc) {
        head.headers.insert(HOST, host.clone());
    }
    forwarded(&mut head.headers, from, host.as_ref());
    head.version = if grpc { Version::HTTP_2 } else { Version::HTTP_11 };
    head.uri = uri(&head.uri, address, entry.port)?;
    Ok(Request::from_parts(head, body))
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

fn uri(asked: &Uri, address: IpAddr, port: u16) -> Result<Uri, String> {
    let authority = std::net::SocketAddr::new(address, port).to_string();
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(Authority::try_from(authority).map_err(|error| error.to_string())?);
    let path = asked.path_and_query().cloned();
    parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    Uri::from_parts(parts).map_err(|error| error.to_string())
}

/// Says whom the request came from; what the client said of that itself comes first.
fn forwarded(headers: &mut HeaderMap, from: &From, host: Option<&HeaderValue>) {
    const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    let before = headers.get(&FOR).and_then(|value| value.to_str().ok()).map(|value| format!("{value}, "));
    if let Ok(value) = HeaderValue::from_str(&format!("{}{}", before.unwrap_or_default(), from.client)) {
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

/// Bytes in both directions, until both sides have ended.
async fn tunnel(client: OnUpgrade, service: OnUpgrade, serving: Serving) {
    let (client, service) = match futures::future::try_join(client, service).await {
        Ok(both) => both,
        Err(error) => return tracing::debug!("a connection could not be changed: {error}"),
    };
    let (mut client, mut service) = (TokioIo::new(client), TokioIo::new(service));
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut service).await {
        tracing::debug!("a changed connection broke: {error}");
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
    use super::{super::site::tests::entry, *};

    fn sent(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Request<AnyBody> {
        let request = build(Request::builder().uri("/v1/x?y=1").header(HOST, "a.test:8080"));
        let request = request.body(empty()).unwrap();
        let from = From { client: [10, 0, 0, 9].into(), tunnels: mpsc::unbounded_channel().0 };
        let upgrade = upgrade(request.headers());
        outgoing(request, &entry(0, None, None), [172, 18, 0, 5].into(), &from, upgrade.as_ref()).unwrap()
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
        assert_eq!(request.uri(), "http://172.18.0.5:80/v1/x?y=1");
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
        let request = sent(|b| b.header("x-forwarded-for", "1.2.3.4").header("x-forwarded-proto", "https"));
        assert_eq!(request.headers()["x-forwarded-for"], "1.2.3.4, 10.0.0.9");
        assert_eq!(request.headers()["x-forwarded-proto"], "https");
    }
}
