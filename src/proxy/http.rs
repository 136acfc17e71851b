//! HTTP/1.1 and HTTP/2 without TLS: connections, and what becomes of each request.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::{
    body::{Body as _, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};

use super::{
    Activation,
    answer::Problem,
    body::{AnyBody, Broken, empty, whole},
    cold,
    limits::{self, Moving, Sent, Silent, Talk},
    linger::lend,
    model::{Wanted, renamed},
    pass::{From, pass, takes_page},
    site::{Entry, Site},
    streams::{Asked, Streams},
    tenant::{Account, without_key},
    upstream::Upstream,
};
use crate::{
    accept::accept,
    ondemand::{Refusal, State, Wait},
    project::ColdMode,
};

/// What all connections of an address share.
pub(super) struct Door {
    pub(super) site: Arc<Site>,
    pub(super) activation: Arc<dyn Activation>,
    pub(super) upstream: Upstream,
}

impl Door {
    pub(super) fn new(site: Arc<Site>, activation: Arc<dyn Activation>) -> Self {
        Self { site, activation, upstream: Upstream::default() }
    }
}

pub(super) async fn serve(listener: TcpListener, site: Arc<Site>, activation: Arc<dyn Activation>) {
    let door = Arc::new(Door::new(site, activation));
    let converse = |(stream, client): (TcpStream, SocketAddr)| {
        limits::watch(&stream);
        converse(stream, client.ip(), Arc::clone(&door))
    };
    accept(&listener, limits::CONNECTIONS, converse).await;
}

/// Talks on one connection, to its end.
pub(super) async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    client: IpAddr,
    door: Arc<Door>,
) {
    let (tunnels, mut opened) = mpsc::unbounded_channel::<BoxFuture<'static, ()>>();
    let from = From { client, tunnels, talk: None };
    let asked = Arc::new(Asked::default());
    let on_it = Arc::clone(&asked);
    let service = service_fn(move |request: Request<Incoming>| {
        let (door, from, asking) = (Arc::clone(&door), from.clone(), on_it.begin(request.version()));
        async move {
            let path = request.uri().path().to_owned();
            let answer = answer(&door, request, from).await;
            let answer = answer.unwrap_or_else(|problem| problem.answer(&path));
            Ok::<_, Infallible>(match asking {
                Some(asking) => asking.answered(answer),
                None => answer,
            })
        }
    });
    let (stream, owner) = lend(Moving::new(stream));
    let ended = {
        let server = server();
        let mut connection = pin!(server.serve_connection_with_upgrades(TokioIo::new(stream), service));
        tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = asked.stops() => {
                connection.as_mut().graceful_shutdown();
                // What was answered last may not have been read to its end.
                timeout(limits::QUIET, connection).await.unwrap_or(Ok(()))
            }
        }
    };
    match ended {
        Ok(()) => owner.end().await,
        Err(error) => tracing::debug!("a connection broke: {error}"),
    }
    while let Ok(tunnel) = opened.try_recv() {
        tunnel.await;
    }
}

/// How connections of clients are served.
fn server() -> auto::Builder<Streams> {
    let mut server = auto::Builder::new(Streams);
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEAD)
        // Lines: 100, which is what it does not ask the allocator for.
        .max_buf_size(limits::HEAD_SIZE);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(limits::HEAD_LIST)
        .max_concurrent_streams(limits::STREAMS)
        .keep_alive_interval(Some(limits::HEAD))
        .keep_alive_timeout(limits::HEAD);
    server
}

/// What becomes of one request.
async fn answer(
    door: &Arc<Door>,
    request: Request<Incoming>,
    mut from: From,
) -> Result<Response<AnyBody>, Problem> {
    let tenant = match &door.site.tenants {
        Some(tenants) => Some(tenants.who(request.headers()).map_err(Problem::Denied)?),
        None => None,
    };
    if request.method() == Method::CONNECT {
        return Err(Problem::NoWayThrough);
    }
    let path = request.uri().path();
    if door.site.by_model && request.method() == Method::GET && path == "/v1/models" {
        return Ok(models(door));
    }
    // Before its body is read, which takes memory.
    let place = tenant.map(Account::enter).transpose().map_err(Problem::Denied)?;
    let (entry, mut request, wanted) = if door.site.by_model {
        by_model(&door.site, request).await?
    } else {
        let host = request.uri().authority().map(http::uri::Authority::as_str);
        let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let entry = door.site.at(named.or(host).unwrap_or_default(), path).ok_or(Problem::NoRoute)?;
        let entry = Arc::clone(entry);
        if request.body().is_end_stream() {
            (entry, request.map(|_| empty()), Wanted::default())
        } else {
            let talk = Arc::<Talk>::default();
            from.talk = Some(Arc::clone(&talk));
            (entry, request.map(|body| Sent::new(body, talk).boxed_unsync()), Wanted::default())
        }
    };
    if entry.is_closed(request.uri().path()) {
        return Err(Problem::Closed);
    }
    if tenant.is_some() && !entry.pass_key {
        without_key(request.headers_mut());
    }
    let refused = |refusal| Problem::Refused { service: entry.name.clone(), refusal };
    let is_page = entry.cold == ColdMode::Page && takes_page(&request);
    if entry.cold == ColdMode::Sse && wanted.stream == Some(true) && !is_ready(door, &entry) {
        return Ok(cold::stream(Arc::clone(door), entry, request, from, place));
    }
    let wait = if entry.cold == ColdMode::Reject || is_page { Wait::ComeAgain } else { Wait::Held(None) };
    match door.activation.ask(entry.service, wait).await {
        Ok(mut admission) => {
            admission.serving.keep(place);
            pass(&door.upstream, &entry, request, &from, admission).await
        }
        Err(refusal @ Refusal::Loading { .. }) if is_page => Ok(cold::page(&entry.name, &refusal)),
        Err(refusal) => Err(refused(refusal)),
    }
}

fn is_ready(door: &Door, entry: &Entry) -> bool {
    matches!(door.activation.state(entry.service), Some(State::Ready | State::Busy))
}

/// The service whose model a request names in its body, and the request with that body.
async fn by_model(
    site: &Site,
    request: Request<Incoming>,
) -> Result<(Arc<Entry>, Request<AnyBody>, Wanted), Problem> {
    let (mut head, body) = request.into_parts();
    let body = Limited::new(Sent::new(body, Arc::default()), limits::BODY_SIZE).collect().await;
    let mut body: Bytes = body.map_err(|error| unread(&error))?.to_bytes();
    let wanted = Wanted::of(&body);
    let name = wanted.model.clone().unwrap_or_default();
    let (entry, known) = site.model(&name).ok_or_else(|| Problem::NoModel(name.clone()))?;
    if known != name {
        body = renamed(&body, known);
    }
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    Ok((Arc::clone(entry), Request::from_parts(head, whole(body)), wanted))
}

/// Why a body could not be read.
fn unread(error: &Broken) -> Problem {
    if error.is::<http_body_util::LengthLimitError>() {
        Problem::TooLong
    } else if error.is::<Silent>() {
        Problem::Silent
    } else {
        Problem::Unreadable(error.to_string())
    }
}

/// Every model of an address, as OpenAI's clients list them, with the state of its service.
fn models(door: &Door) -> Response<AnyBody> {
    let state = |entry: &Entry| door.activation.state(entry.service).unwrap_or(State::Cold);
    let own = door.site.entries.iter().flat_map(|entry| {
        let known = move |model: &String| json!({"id": model, "object": "model", "owned_by": entry.name, "status": state(entry)});
        entry.models.iter().map(known)
    });
    let alias = door.site.alias.iter().filter_map(|(name, _)| {
        let (entry, known) = door.site.model(name)?;
        Some(json!({"id": name, "object": "model", "owned_by": entry.name, "root": known, "status": state(entry)}))
    });
    let all: Vec<_> = own.chain(alias).collect();
    let mut answer = Response::new(whole(json!({"object": "list", "data": all}).to_string()));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
