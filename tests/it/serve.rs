//! What is seen from outside while a command goes on: the HTTP API of `serve` and of `up --dashboard`, metrics.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
};

use serde_json::{Value, json};

use crate::support::stack::{PATIENCE, Running, Stack};

const YAML: &str = "
services:
  db:
    image: docker-orch-example
    command: --tcp 5432
    x-orch: {health_check: {tcp: 5432}}
  web:
    image: docker-orch-example
    command: --port 80 --log 'the password is hunter2-and-more'
    environment: {DB_PASSWORD: hunter2-and-more}
    depends_on: {db: {condition: service_healthy}}
    x-orch:
      start: {retries: 3, backoff: 100ms}
      health_check:
        checks: [{name: own, http: ':80/health'}, {name: store, tcp: 'db:5432'}, {name: base, service: db}]
";

/// Where something is served, as the program prints it, and its token.
struct Served {
    address: String,
    token: String,
}

impl Served {
    #[track_caller]
    fn of(running: &mut Running) -> Self {
        let line = running.until("dashboard: ");
        let (address, token) = line.rsplit_once("/#token=").expect("an address and a token");
        Self { address: address.rsplit('/').next().expect("a host").to_owned(), token: token.to_owned() }
    }

    /// The head of an answer, and the rest of its connection.
    #[track_caller]
    fn ask(&self, request: &str, headers: &str) -> (String, BufReader<TcpStream>) {
        let mut stream = TcpStream::connect(&self.address).expect("somebody who listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let host = if headers.contains("Host:") { "" } else { "Host: localhost\r\n" };
        write!(stream, "{request} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n").expect("a request");
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).expect("a head") > 0, "cut short: {head}");
        }
        (head, reader)
    }

    /// Status and body.
    #[track_caller]
    fn get(&self, path: &str, headers: &str) -> (u32, String) {
        self.whole(&format!("GET {path}"), headers)
    }

    #[track_caller]
    fn whole(&self, request: &str, headers: &str) -> (u32, String) {
        let (head, mut reader) = self.ask(request, headers);
        let mut body = String::new();
        reader.read_to_string(&mut body).expect("a body");
        (head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status"), body)
    }

    #[track_caller]
    fn project(&self) -> Value {
        let (status, body) = self.get("/api/v1/project", "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }

    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}\r\n", self.token)
    }
}

/// A stream of server-sent events.
struct Told {
    reader: BufReader<TcpStream>,
    /// The ID that was told last.
    last: String,
    seen: String,
}

impl Told {
    #[track_caller]
    fn by(served: &Served, path: &str, headers: &str) -> Self {
        let (head, reader) = served.ask(&format!("GET {path}"), headers);
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
        Self { reader, last: String::new(), seen: String::new() }
    }

    /// Reads up to a line of data that has all these words.
    #[track_caller]
    fn until(&mut self, words: &[&str]) -> Value {
        loop {
            let mut line = String::new();
            let read = self.reader.read_line(&mut line);
            assert!(read.is_ok_and(|bytes| bytes > 0), "no {words:?} in:\n{}", self.seen);
            self.seen.push_str(&line);
            if let Some(id) = line.strip_prefix("id: ") {
                id.trim().clone_into(&mut self.last);
            }
            let data = line.strip_prefix("data: ").unwrap_or_default();
            if !data.is_empty() && words.iter().all(|word| data.contains(word)) {
                return serde_json::from_str(data).expect("JSON");
            }
        }
    }
}

/// Lines of the metrics that begin so.
#[track_caller]
fn metrics(served: &Served, begin: &str) -> Vec<String> {
    let (status, text) = served.get("/metrics", "");
    assert_eq!(status, 200, "{text}");
    text.lines().filter(|line| line.starts_with(begin)).map(str::to_owned).collect()
}

#[test]
fn serve_shows_what_others_do_and_keeps_watch_afterwards() {
    let stack = Stack::new("serve", YAML);
    let mut serve = stack.spawn("serve --dashboard 0");
    let served = Served::of(&mut serve);
    serve.until("nothing runs");
    assert_eq!(served.project()["status"], "down");
    let mut events = Told::by(&served, "/api/v1/events", "");

    stack.run("up -d").code(0);
    events.until(&["run_started", r#""command":"up""#]);
    events.until(&[r#""event":"ready""#]);
    events.until(&["monitoring"]);
    events.until(&[r#""event":"ready""#]);
    let project = served.project();
    assert_eq!(
        json!([project["status"], project["ready"], project["command"]]),
        json!(["healthy", 2, "serve"])
    );
    assert_eq!(metrics(&served, "up{").len(), 2);
    assert!(metrics(&served, "up{").iter().all(|line| line.ends_with(" 1")));
    assert_eq!(metrics(&served, "startup_time_seconds{").len(), 2, "of the `up` that was seen");
    assert_eq!(
        metrics(&served, "dependency_check_failures_total").len(),
        metrics(&served, "dependency").len()
    );

    // What exits is started again, and a reader that was away learns of it.
    let last = events.last.clone();
    drop(events);
    stack.docker(&["kill", &stack.container("web").name]);
    let mut events = Told::by(&served, "/api/v1/events", &format!("Last-Event-ID: {last}\r\n"));
    let again = events.until(&[r#""service":"web""#, "restarting"]);
    assert!(again["cause"].as_str().is_some_and(|why| why.starts_with("exited with code 137")), "{again}");
    events.until(&[r#""service":"web""#, r#""state":"ready""#]);
    assert!(!events.seen.contains("run_started"), "{}", events.seen);
    let restarts = metrics(&served, "restart_count_total");
    let exited = restarts.iter().find(|line| line.contains("web") && line.contains("exited"));
    assert!(exited.is_some_and(|line| line.ends_with(" 1")), "{restarts:?}");

    let began = stack.container("web").started;
    let path = "POST /api/v1/services/web/restart";
    assert_eq!(served.whole(path, "").0, 401);
    assert_eq!(served.whole(path, &served.bearer()).0, 202);
    events.until(&["run_started", r#""command":"restart""#]);
    events.until(&["monitoring"]);
    assert!(stack.container("web").started > began);

    let (_, runs) = served.get("/api/v1/runs", "");
    let runs: Value = serde_json::from_str(&runs).expect("JSON");
    let commands: Vec<&Value> =
        runs["runs"].as_array().expect("a list").iter().map(|run| &run["command"]).collect();
    // The watch in which something happened is recorded, the one that goes on too.
    assert_eq!(json!(commands), json!(["serve", "restart", "serve", "up"]));
    let up = runs["runs"][3]["run"].as_str().expect("an ID");
    let (status, lines) = served.get(&format!("/api/v1/runs/{up}/events"), "");
    assert!(status == 200 && lines.contains("run_finished"), "{lines}");
    let (status, chart) = served.get(&format!("/api/v1/runs/{up}/timeline"), "");
    assert!(status == 200 && chart.contains("<svg") && chart.contains("web"), "{chart}");
    assert_eq!(served.get("/api/v1/runs/..%2F..", "").0, 404);

    serve.signal("INT");
    serve.end().code(0);
    assert_eq!(stack.running().len(), 2, "the project goes on");
}

#[test]
fn an_attached_up_shows_itself_with_logs_that_hide_secrets() {
    let stack = Stack::new("upseen", YAML);
    let mut up = stack.spawn("up --dashboard 0 --metrics 0");
    let served = Served::of(&mut up);
    let line = up.until("metrics: http://");
    let scraped =
        Served { address: line.split('/').nth(2).expect("a host").to_owned(), token: String::new() };
    let mut events = Told::by(&served, "/api/v1/events", "");
    events.until(&[r#""event":"ready""#]);
    assert_eq!(json!([served.project()["mode"], served.project()["status"]]), json!(["running", "healthy"]));
    assert_eq!(metrics(&scraped, "project_startup_time_seconds").len(), 1);
    assert_eq!(scraped.get("/api/v1/project", "").0, 404);

    let mut log = Told::by(&served, "/api/v1/services/web/logs", "");
    let line = log.until(&["the password is"]);
    assert_eq!(json!([line["container"], line["text"]]), json!(["web-1", "the password is ***"]));
    // What a reader has is not told again.
    let mut more = Told::by(
        &served,
        "/api/v1/services/web/logs?follow=false",
        &format!("Last-Event-ID: {}\r\n", log.last),
    );
    more.until(&["{}"]);
    assert!(!more.seen.contains("the password is"), "{}", more.seen);
    assert_eq!(served.get("/api/v1/services/none/logs", "").0, 404);
    assert_eq!(served.whole("POST /api/v1/services/web/restart", &served.bearer()).0, 409);

    assert_eq!(served.get("/api/v1/project", "Host: shop.example\r\n").0, 403);
    let header = format!("X-Long: {}\r\n", "x".repeat(40_000));
    assert_eq!(served.get("/healthz", &header).0, 431);
    up.signal("INT");
    up.end().code(130);
    assert!(TcpStream::connect(&served.address).is_err(), "it listens no more");
}

#[test]
fn beyond_this_machine_nothing_is_shown_without_the_token() {
    let stack = Stack::new("token", YAML);
    let mut serve = stack.orch("serve --dashboard 0.0.0.0:0");
    serve.env("DOCKER_ORCH_TOKEN", "a-token-of-our-own");
    let mut serve = Running::spawn(serve);
    let line = serve.until("dashboard: http://0.0.0.0:");
    assert!(!line.contains("a-token"), "{line}");
    let port = line.rsplit(':').next().expect("a port").trim_end_matches('/');
    let served = Served { address: format!("127.0.0.1:{port}"), token: "a-token-of-our-own".to_owned() };
    for (path, headers, status) in [
        ("/", "", 200),
        ("/healthz", "", 200),
        ("/api/v1/project", "", 401),
        ("/metrics", "", 401),
        ("/api/v1/events", "Authorization: Bearer another\r\n", 401),
        ("/metrics", served.bearer().as_str(), 200),
        ("/api/v1/project", format!("{}Host: shop.example\r\n", served.bearer()).as_str(), 200),
    ] {
        assert_eq!(served.get(path, headers).0, status, "{path} {headers}");
    }
    serve.signal("TERM");
    serve.end().code(0);
}

#[test]
fn an_address_that_is_taken_stops_a_command_before_it_begins() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let stack = Stack::new("taken", YAML);
    let words = format!("up -d --metrics {}", taken.local_addr().expect("an address"));
    stack.run(&words).code(1).says(&["failed to listen on 127.0.0.1:", "in use"]);
    assert!(stack.containers().is_empty());
    stack.run("up -d --metrics nowhere").code(2).says(&["expected PORT"]);
}
