use std::collections::BTreeSet;

use axum::{
    body::{Body, to_bytes},
    http::{HeaderName, Method, header},
};
use futures::StreamExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;

use super::*;
use crate::{
    engine::sim::{Script, SimEngine},
    event::{Event, EventKind, ServiceState, Sink as _},
    project::Replica,
    serve::Mode,
    time::Elapsed,
    token::Token,
};

const LOOPBACK: (HeaderName, &str) = (header::HOST, "localhost:80");
const GIVEN: (HeaderName, &str) = (header::AUTHORIZATION, "Bearer s3cret");

fn access() -> Access {
    Access { token: Some(Token::new("s3cret")), loopback: true }
}

fn site() -> (Site, Feed) {
    let feed = Feed::of("shop");
    (Site::new("shop", feed.clone(), Arc::new(SimEngine::new(Script::new())), Mask::new(["hunter2"])), feed)
}

fn ready(service: &str) -> Event {
    let replica = Replica { service: service.into(), number: 1 };
    let kind =
        EventKind::Service { replica, state: ServiceState::Ready, cause: String::new(), container: None };
    Event { seq: 0, at: Elapsed::ZERO, kind }
}

async fn ask(app: &Router, method: Method, path: &str, pairs: &[(HeaderName, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in pairs {
        request = request.header(name, *value);
    }
    TowerToHyperService::new(app.clone()).call(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn text(answer: Answer) -> String {
    String::from_utf8(to_bytes(answer.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

/// Paths and methods that the document names.
fn documented() -> BTreeSet<(String, Method)> {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let each = paths.iter().flat_map(|(path, verbs)| {
        let verbs = verbs.as_object().unwrap().keys();
        verbs.map(|verb| (path.clone(), verb.to_uppercase().parse().unwrap()))
    });
    each.collect()
}

#[tokio::test]
async fn the_document_names_every_route_and_no_other() {
    let served: BTreeSet<&str> = open_routes().iter().chain(&routes()).map(|(path, _)| *path).collect();
    let named = documented();
    assert_eq!(named.iter().map(|(path, _)| path.as_str()).collect::<BTreeSet<_>>(), served);
    let app = dashboard(Arc::new(site().0), access());
    for (path, method) in named {
        for other in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            let path = path.replace("{name}", "web").replace("{id}", "r1");
            let status = ask(&app, other.clone(), &path, &[LOOPBACK, GIVEN]).await.status();
            let is_served = status != StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(is_served, other == method, "{other} {path}: {status}");
        }
    }
}

#[tokio::test]
async fn what_shows_the_project_is_guarded_and_what_does_not_is_open() {
    let app = dashboard(Arc::new(site().0), Access { loopback: false, ..access() });
    for (path, _) in open_routes() {
        assert_eq!(ask(&app, Method::GET, path, &[]).await.status(), StatusCode::OK, "{path}");
    }
    for (path, _) in routes() {
        let path = path.replace("{name}", "web").replace("{id}", "r1");
        let method = if path.ends_with("restart") { Method::POST } else { Method::GET };
        let answer = ask(&app, method.clone(), &path, &[LOOPBACK]).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(answer.headers()[header::WWW_AUTHENTICATE], "Bearer");
        assert_ne!(ask(&app, method, &path, &[GIVEN]).await.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn every_answer_tells_browsers_to_be_careful() {
    let app = dashboard(Arc::new(site().0), access());
    for path in ["/", "/api/v1/project", "/nowhere"] {
        let answer = ask(&app, Method::GET, path, &[LOOPBACK]).await;
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{path}: {policy}");
        assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert!(!answer.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    }
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    for file in [PAGE, STYLE, SCRIPT] {
        for elsewhere in ["https://", "src=\"//", "@import", "eval(", "innerHTML", " style=\"", " onclick=\""]
        {
            assert!(!file.contains(elsewhere), "{elsewhere}");
        }
    }
    for named in ["page.css", "page.js", "openapi.json", "metrics", "api/v1/project"] {
        assert!(PAGE.contains(&format!("\"{named}\"")), "{named}");
    }
}

#[tokio::test]
async fn metrics_alone_show_nothing_else() {
    let (site, feed) = site();
    feed.begin("r1").emit(&ready("db")).unwrap();
    let app = figures(Arc::new(site), access());
    let metrics = ask(&app, Method::GET, "/metrics", &[LOOPBACK]).await;
    assert_eq!(metrics.headers()[header::CONTENT_TYPE], metrics::CONTENT_TYPE);
    assert!(text(metrics).await.contains("up{project=\"shop\",service=\"db\"} 1"));
    for path in ["/", "/api/v1/project", "/api/v1/runs"] {
        assert_eq!(ask(&app, Method::GET, path, &[LOOPBACK]).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_restart_is_handed_on_and_its_answer_back() {
    let (site, feed) = site();
    let _sink = feed.begin("r1").emit(&ready("db"));
    let plain = dashboard(Arc::new(site), access());
    let path = "/api/v1/services/db/restart";
    let refused = ask(&plain, Method::POST, path, &[LOOPBACK, GIVEN]).await;
    assert_eq!(refused.status(), StatusCode::CONFLICT);

    let (sender, mut asked) = mpsc::channel::<Restart>(1);
    let (site, feed) = self::site();
    let _sink = feed.begin("r1").emit(&ready("db"));
    let app = dashboard(Arc::new(site.with_restarts(sender)), access());
    assert_eq!(ask(&app, Method::POST, path, &[LOOPBACK]).await.status(), StatusCode::UNAUTHORIZED);
    let unknown = ask(&app, Method::POST, "/api/v1/services/web/restart", &[GIVEN]).await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    for (answer, status) in [(Ok(()), StatusCode::ACCEPTED), (Err("busy".to_owned()), StatusCode::CONFLICT)] {
        let given = [GIVEN];
        let answered = async {
            let restart = asked.recv().await.unwrap();
            assert_eq!(restart.service, "db");
            restart.answer.send(answer).unwrap();
        };
        let (got, ()) = tokio::join!(ask(&app, Method::POST, path, &given), answered);
        assert_eq!(got.status(), status);
    }
}

#[tokio::test]
async fn streams_are_no_more_than_there_are_places_for() {
    let (site, feed) = site();
    feed.begin("r1").emit(&ready("db")).unwrap();
    let app = dashboard(Arc::new(site), access());
    let mut open = Vec::new();
    for _ in 0..STREAMS {
        let answer = ask(&app, Method::GET, "/api/v1/events", &[LOOPBACK]).await;
        assert_eq!(answer.status(), StatusCode::OK);
        open.push(answer);
    }
    let refused = ask(&app, Method::GET, "/api/v1/events", &[LOOPBACK]).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let mut body = open.pop().unwrap().into_body().into_data_stream();
    let first = body.next().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("id: r1:0"));
    drop(body);
    assert_eq!(ask(&app, Method::GET, "/api/v1/events", &[LOOPBACK]).await.status(), StatusCode::OK);
    feed.set_mode(Mode::Down);
}
