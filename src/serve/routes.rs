//! The routes of the HTTP API, and what answers at them.

use std::{io, path::Path as FilePath, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, StatusCode},
    middleware::{Next, from_fn_with_state},
    routing::{MethodRouter, get, post},
};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::{
    Access, Feed,
    answer::{Answer, answer, document, guarded, json_answer, problem},
    feed::cursor_of,
    logs::{self, Wanted},
    past::Past,
    stream,
};
use crate::{
    engine::{Engine, LogOptions, Scope},
    journal::Mask,
    metrics,
};

/// Streams at the same time: each holds a connection for as long as its reader likes.
const STREAMS: usize = 64;
/// How long the engine may take to say which containers there are.
const LOOK: Duration = Duration::from_secs(10);
/// Lines of a log that are told where nobody says how many.
const TAIL: u64 = 200;
/// Lines of a log that can be asked for.
const MOST_LINES: u64 = 10_000;
/// Runs that are listed where nobody says how many, and at most.
const RUNS: usize = 20;
const MOST_RUNS: usize = 200;

const PAGE: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");
const OPENAPI: &str = include_str!("openapi.json");

/// What is served.
pub struct Site {
    feed: Feed,
    engine: Arc<dyn Engine>,
    project: String,
    mask: Mask,
    past: Option<Past>,
    restarts: Option<mpsc::Sender<Restart>>,
    streams: Arc<Semaphore>,
}

/// That a service is to be restarted, and where to say that it will be, or why it will not.
#[derive(Debug)]
pub struct Restart {
    /// Its key.
    pub service: String,
    /// An error: in words.
    pub answer: oneshot::Sender<Result<(), String>>,
}

impl Site {
    /// A project on an engine. `mask` hides what must not stand in logs.
    pub fn new(project: &str, feed: Feed, engine: Arc<dyn Engine>, mask: Mask) -> Self {
        let streams = Arc::new(Semaphore::new(STREAMS));
        Self { feed, engine, project: project.to_owned(), mask, past: None, restarts: None, streams }
    }

    /// Shows the runs that are recorded in the state folder, too.
    #[must_use]
    pub fn with_past(mut self, state: &FilePath) -> Self {
        self.past = Some(Past::of(state, &self.project));
        self
    }

    /// Takes requests to restart a service, and hands them on.
    #[must_use]
    pub fn with_restarts(mut self, restarts: mpsc::Sender<Restart>) -> Self {
        self.restarts = Some(restarts);
        self
    }

    /// A place for a stream; `None`: all are taken.
    fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.streams).try_acquire_owned().ok()
    }
}

fn crowded() -> Answer {
    problem(StatusCode::SERVICE_UNAVAILABLE, "too many streams are open: close one, or try later")
}

type Shared = Arc<Site>;

/// What anybody may see: it says nothing of the project.
fn open_routes() -> Vec<(&'static str, MethodRouter<Shared>)> {
    let file = |content_type, text: &'static str| {
        get(move || std::future::ready(answer(StatusCode::OK, content_type, text)))
    };
    vec![
        ("/", file("text/html; charset=utf-8", PAGE)),
        ("/page.css", file("text/css; charset=utf-8", STYLE)),
        ("/page.js", file("text/javascript; charset=utf-8", SCRIPT)),
        ("/openapi.json", file("application/json", OPENAPI)),
        ("/healthz", file("application/json", "{\"status\":\"ok\"}")),
    ]
}

fn routes() -> Vec<(&'static str, MethodRouter<Shared>)> {
    vec![
        ("/metrics", get(figures_text)),
        ("/api/v1/project", get(project)),
        ("/api/v1/events", get(events)),
        ("/api/v1/services/{name}/logs", get(service_logs)),
        ("/api/v1/services/{name}/restart", post(restart)),
        ("/api/v1/runs", get(runs)),
        ("/api/v1/runs/{id}", get(run)),
        ("/api/v1/runs/{id}/events", get(run_events)),
        ("/api/v1/runs/{id}/timeline", get(run_timeline)),
    ]
}

/// What is served of a site.
pub type Routes = fn(Arc<Site>, Access) -> Router;

/// The page and all of its API.
pub fn dashboard(site: Arc<Site>, access: Access) -> Router {
    router(open_routes(), routes(), site, access)
}

/// Metrics alone.
pub fn figures(site: Arc<Site>, access: Access) -> Router {
    let only = |names: &'static [&str]| move |(path, _): &(&'static str, _)| names.contains(path);
    let open = open_routes().into_iter().filter(only(&["/healthz"])).collect();
    let rest = routes().into_iter().filter(only(&["/metrics"])).collect();
    router(open, rest, site, access)
}

fn router(
    open: Vec<(&'static str, MethodRouter<Shared>)>,
    rest: Vec<(&'static str, MethodRouter<Shared>)>,
    site: Shared,
    access: Access,
) -> Router {
    let with = |router: Router<Shared>, (path, route)| router.route(path, route);
    let rest = rest.into_iter().fold(Router::new(), with);
    let rest = rest.layer(from_fn_with_state(access, checked));
    let all = open.into_iter().fold(rest, with);
    all.fallback(|| {
        std::future::ready(problem(StatusCode::NOT_FOUND, "there is nothing here: see /openapi.json"))
    })
    .layer(axum::middleware::map_response(|answer: Answer| std::future::ready(guarded(answer))))
    .with_state(site)
}

/// Lets a request through, or says why not.
async fn checked(State(access): State<Access>, request: Request, next: Next) -> Answer {
    match access.check(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => problem(refusal.status(), refusal.words()),
    }
}

async fn figures_text(State(site): State<Shared>) -> Answer {
    answer(StatusCode::OK, metrics::CONTENT_TYPE, site.feed.metrics())
}

async fn project(State(site): State<Shared>) -> Answer {
    let mut project = site.feed.project();
    project["can_restart"] = site.restarts.is_some().into();
    json_answer(&project)
}

async fn events(State(site): State<Shared>, headers: HeaderMap) -> Answer {
    let cursor = last_event(&headers).map(cursor_of).unwrap_or_default();
    let Some(place) = site.place() else { return crowded() };
    stream::body(stream::events(site.feed.clone(), cursor), place)
}

/// The ID of the last message that a reader of a stream has.
fn last_event(headers: &HeaderMap) -> Option<&str> {
    headers.get("last-event-id")?.to_str().ok()
}

/// What is asked of a log.
#[derive(Debug, Deserialize)]
struct LogQuery {
    tail: Option<u64>,
    follow: Option<bool>,
}

async fn service_logs(
    State(site): State<Shared>,
    Path(service): Path<String>,
    Query(query): Query<LogQuery>,
    headers: HeaderMap,
) -> Answer {
    let Some(place) = site.place() else { return crowded() };
    let scope = Scope { project: site.project.clone(), ..Scope::default() };
    let observed = match tokio::time::timeout(LOOK, site.engine.observe(&scope)).await {
        Ok(Ok(observed)) => observed,
        Ok(Err(error)) => return problem(StatusCode::BAD_GATEWAY, &format!("the engine: {}", error.message)),
        Err(_) => return problem(StatusCode::GATEWAY_TIMEOUT, "the engine does not answer"),
    };
    let of_it = |c: &crate::plan::Container| c.service() == Some(service.as_str()) && !c.is_oneoff();
    let containers: Vec<_> = observed.containers.into_iter().filter(of_it).collect();
    if containers.is_empty() && !site.feed.knows(&service) {
        return no_service(&service);
    }
    let since = last_event(&headers).map(str::to_owned);
    let tail = since.is_none().then(|| query.tail.unwrap_or(TAIL).min(MOST_LINES));
    let options =
        LogOptions { follow: query.follow.unwrap_or(true), tail, since, until: None, timestamps: true };
    let wanted = Wanted { service, containers, options };
    stream::body(logs::lines(&site.engine, &site.feed, &site.mask, wanted), place)
}

fn no_service(name: &str) -> Answer {
    problem(StatusCode::NOT_FOUND, &format!("no such service: {name}"))
}

async fn restart(State(site): State<Shared>, Path(service): Path<String>) -> Answer {
    let Some(restarts) = &site.restarts else {
        let words = "only `docker orch serve` restarts services: this is served by another command";
        return problem(StatusCode::CONFLICT, words);
    };
    if !site.feed.knows(&service) {
        return no_service(&service);
    }
    let (answer, answered) = oneshot::channel();
    // One that cannot be sent is dropped, and its answer with it.
    restarts.try_send(Restart { service: service.clone(), answer }).ok();
    match answered.await {
        Ok(Ok(())) => {
            let mut accepted = json_answer(&json!({"service": service, "restart": "begun"}));
            *accepted.status_mut() = StatusCode::ACCEPTED;
            accepted
        }
        Ok(Err(why)) => problem(StatusCode::CONFLICT, &why),
        Err(_) => problem(StatusCode::CONFLICT, "another restart is under way: try again"),
    }
}

/// How many runs.
#[derive(Debug, Deserialize)]
struct RunsQuery {
    limit: Option<usize>,
}

async fn runs(State(site): State<Shared>, Query(query): Query<RunsQuery>) -> Answer {
    let most = query.limit.unwrap_or(RUNS).min(MOST_RUNS);
    read(site, move |past| past.list(most).map(Some), |runs| json_answer(&json!({"runs": runs}))).await
}

async fn run(State(site): State<Shared>, Path(id): Path<String>) -> Answer {
    read(site, move |past| past.run(&id), |run| json_answer(&run)).await
}

async fn run_events(State(site): State<Shared>, Path(id): Path<String>) -> Answer {
    let lines = |lines: Vec<u8>| answer(StatusCode::OK, "application/x-ndjson", lines);
    read(site, move |past| past.events(&id), lines).await
}

async fn run_timeline(State(site): State<Shared>, Path(id): Path<String>) -> Answer {
    read(site, move |past| past.timeline(&id), document).await
}

/// Reads from the record, on a thread where that may take a while.
async fn read<T: Send + 'static>(
    site: Shared,
    what: impl FnOnce(&Past) -> io::Result<Option<T>> + Send + 'static,
    show: impl FnOnce(T) -> Answer,
) -> Answer {
    let read = tokio::task::spawn_blocking(move || site.past.as_ref().map_or(Ok(None), what)).await;
    match read.unwrap_or_else(|_| Err(io::ErrorKind::Other.into())) {
        Ok(Some(found)) => show(found),
        Ok(None) => {
            problem(StatusCode::NOT_FOUND, "there is no such run; /api/v1/runs lists those that are recorded")
        }
        Err(error) => {
            let words = format!("what is recorded cannot be read: {error}");
            problem(StatusCode::INTERNAL_SERVER_ERROR, &words)
        }
    }
}

#[cfg(test)]
mod tests;
