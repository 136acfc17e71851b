//! Traces for OpenTelemetry: what a collector gets of a real run.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    sync::mpsc::channel,
};

use serde_json::Value;

use crate::support::stack::{PATIENCE, Running, Stack, chain_of_three};

#[test]
fn a_collector_gets_one_trace_of_a_run() {
    let collector = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = collector.local_addr().expect("an address");
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in collector.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream);
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|read| read > 0) {}
            for line in head.to_lowercase().lines() {
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.parse().expect("a number");
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
            reader.into_inner().write_all(answer).expect("a reader");
            sender.send((head, body)).ok();
        }
    });
    let stack = Stack::new("otel", &chain_of_three("200ms"));
    let mut up = stack.orch("up -d");
    up.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"));
    up.env("OTEL_EXPORTER_OTLP_HEADERS", "x-team=a%20b");
    Running::spawn(up).end().code(0);
    let (head, body) = receiver.recv_timeout(PATIENCE).expect("a request");
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains("x-team: a b\r\n"), "{head}");
    let trace: Value = serde_json::from_slice(&body).expect("JSON");
    let spans = trace["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().expect("spans");
    let named =
        |name: &str| spans.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    let at =
        |span: &Value, key: &str| span[key].as_str().and_then(|n| n.parse::<u64>().ok()).expect("a time");
    let run = named("docker orch up");
    for name in ["db-1", "api-1", "web-1"] {
        let span = named(name);
        assert_eq!(span["parentSpanId"], run["spanId"]);
        assert!(at(run, "startTimeUnixNano") <= at(span, "startTimeUnixNano"));
        assert!(at(span, "startTimeUnixNano") < at(span, "endTimeUnixNano"));
        assert!(at(span, "endTimeUnixNano") <= at(run, "endTimeUnixNano"));
    }
    assert!(at(named("db-1"), "endTimeUnixNano") < at(named("web-1"), "endTimeUnixNano"));
    assert!(receiver.try_recv().is_err(), "it is sent once");
}
