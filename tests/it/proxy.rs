//! Requests on their way to services that are not ready yet: over real connections on this machine.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use docker_orch::{
    ondemand::Refusal,
    project::{ColdMode, Protocol, WakeOn},
    proxy::{Entry, Site},
};
use http::Request;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::door::{
    Loader, PATIENCE, World, entry, exchange, get, mirror, post, read_all, read_until, whole,
};

#[tokio::test]
async fn a_request_waits_until_its_service_is_ready_and_is_passed_on() {
    let (mut world, loader) = (World::new(), Loader::new());
    let port = world.service(mirror).await;
    let proxy = world.proxy(entry(port), &loader).await;
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    stream.write_all(post("/v1/x", "{\"a\":1}").as_bytes()).await.unwrap();
    let early = timeout(Duration::from_millis(200), stream.read(&mut [0])).await;
    assert!(early.is_err(), "nothing comes before the service is ready");
    loader.ready.send_replace(Some(Ok(())));
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("x-orch-cold-start: 1\r\nx-orch-waited-ms: 1234\r\n"), "{answer}");
    assert!(answer.contains("POST /v1/x HTTP/1.1\r\n") && answer.ends_with("--\n{\"a\":1}"), "{answer}");
    assert!(answer.contains("x-forwarded-for: 127.0.0.1"), "{answer}");
    loader.serves(0).await;
}

#[tokio::test]
async fn bytes_pass_as_they_come_in_both_directions() {
    let (mut world, loader) = (World::new(), Loader::ready());
    // Sends back each chunk once it has come, before there is another.
    let port = world
        .service(|mut stream| async move {
            let head = read_until(&mut stream, "\r\n\r\n").await;
            assert!(head.to_lowercase().contains("transfer-encoding: chunked"), "{head}");
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
            // A chunk may come with the head, or with another.
            let mut seen = head;
            for chunk in ["3\r\none\r\n", "3\r\ntwo\r\n", "0\r\n\r\n"] {
                if !seen.contains(chunk) {
                    seen += &read_until(&mut stream, chunk).await;
                }
                stream.write_all(chunk.as_bytes()).await.unwrap();
            }
        })
        .await;
    let proxy = world.proxy(entry(port), &loader).await;
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut stream, "3\r\none\r\n").await;
    loader.serves(1).await;
    stream.write_all(b"3\r\ntwo\r\n").await.unwrap();
    read_until(&mut stream, "3\r\ntwo\r\n").await;
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    read_until(&mut stream, "0\r\n\r\n").await;
    loader.serves(0).await;
}

#[tokio::test]
async fn a_client_that_goes_away_frees_the_service() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let port = world
        .service(|mut stream| async move {
            read_until(&mut stream, "\r\n\r\n").await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await.unwrap();
            // Until the proxy hangs up.
            assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
        })
        .await;
    let proxy = world.proxy(entry(port), &loader).await;
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    stream.write_all(get("/", "").as_bytes()).await.unwrap();
    read_until(&mut stream, "half").await;
    loader.serves(1).await;
    drop(stream);
    loader.serves(0).await;
}

#[tokio::test]
async fn a_connection_may_become_a_web_socket() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let port = world
        .service(|mut stream| async move {
            let head = read_until(&mut stream, "\r\n\r\n").await.to_lowercase();
            assert!(
                head.contains("connection: upgrade\r\n") && head.contains("upgrade: websocket\r\n"),
                "{head}"
            );
            let answer =
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
            let said = read_until(&mut stream, "ping").await;
            stream.write_all(said.replace("ping", "pong").as_bytes()).await.unwrap();
        })
        .await;
    let proxy = world.proxy(entry(port), &loader).await;
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    let request = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = read_until(&mut stream, "\r\n\r\n").await;
    assert!(
        head.starts_with("HTTP/1.1 101 ") && head.to_lowercase().contains("upgrade: websocket"),
        "{head}"
    );
    loader.serves(1).await;
    stream.write_all(b"ping").await.unwrap();
    assert_eq!(read_all(&mut stream).await, "pong");
    drop(stream);
    loader.serves(0).await;
}

#[tokio::test]
async fn a_model_in_the_body_says_which_service_is_meant() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let port = world.service(mirror).await;
    let alias = [("gpt".to_owned(), "qwen".to_owned())].into_iter().collect();
    let site = Site { entries: vec![Arc::new(entry(port))], by_model: true, alias, ..Site::default() };
    let proxy = world.site(site, &loader).await;
    let answer = exchange(proxy, &post("/v1/chat/completions", r#"{"model":"gpt","stream":true}"#)).await;
    assert!(answer.ends_with(r#"{"model":"qwen","stream":true}"#), "{answer}");
    let answer = exchange(proxy, &post("/v1/chat/completions", r#"{"model":"llama"}"#)).await;
    assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("model_not_found"), "{answer}");
    let answer = exchange(proxy, &get("/v1/models", "")).await;
    for words in [r#""id":"qwen""#, r#""id":"gpt""#, r#""status":"ready""#] {
        assert!(answer.contains(words), "{answer}");
    }
    let large = "x".repeat(17 << 20);
    let answer = exchange(proxy, &post("/v1/embeddings", &large)).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer:.200}");
}

#[tokio::test]
async fn a_refusal_says_why_and_when_to_come_again() {
    let (mut world, loader) = (World::new(), Loader::new());
    let port = world.service(mirror).await;
    let proxy = world.proxy(Entry { cold: ColdMode::Reject, ..entry(port) }, &loader).await;
    let answer = exchange(proxy, &get("/", "")).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 3\r\n"), "{answer}");
    assert!(answer.contains("application/problem+json") && answer.contains("it is being loaded"), "{answer}");
    let never = Refusal::NeverFits { message: "it needs 40 GiB, and there are 24 GiB".to_owned() };
    loader.ready.send_replace(Some(Err(never)));
    let answer = exchange(proxy, &get("/v1/chat/completions", "")).await;
    assert!(answer.starts_with("HTTP/1.1 507 ") && answer.contains("insufficient_vram"), "{answer}");
    assert!(answer.contains(r#""type":"server_error""#), "{answer}");
}

#[tokio::test]
async fn what_is_for_administrators_is_not_passed_on() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let port = world.service(mirror).await;
    let proxy = world.proxy(entry(port), &loader).await;
    let by_model = Site { entries: vec![Arc::new(entry(port))], by_model: true, ..Site::default() };
    let by_model = world.site(by_model, &loader).await;
    // However it is written: services decode what they are asked for.
    for path in [
        "/sleep?level=2",
        "/sleep/",
        "//sleep",
        "/./sleep",
        "/v1/../sleep",
        "/%73leep",
        "/%2Fsleep",
        "/sl%65%65p/x",
        "/v1/%2e%2E/sleep",
        "/v1/..%2fsleep",
        "/v1/..%5Csleep",
        "http://llm.test/sleep",
        "http://llm.test//%73leep",
    ] {
        for (proxy, body) in [(proxy, ""), (by_model, r#"{"model":"qwen"}"#)] {
            let answer = exchange(proxy, &post(path, body)).await;
            assert!(answer.starts_with("HTTP/1.1 403 "), "{path}: {answer}");
        }
        if path.starts_with('/') {
            let request = Request::post(format!("http://llm.test{path}")).body(whole("")).unwrap();
            let answer = world.http2(proxy).await.send_request(request).await.unwrap();
            assert_eq!(answer.status(), 403, "{path}");
        }
    }
    assert_eq!(loader.asked.load(Ordering::Relaxed), 0);
    let open = exchange(proxy, &post("/sleeping", "")).await;
    assert!(open.starts_with("HTTP/1.1 200 "), "{open}");
}

#[tokio::test]
async fn a_browser_gets_a_page_that_asks_again() {
    let (mut world, loader) = (World::new(), Loader::new());
    let port = world.service(mirror).await;
    let proxy = world.proxy(Entry { cold: ColdMode::Page, ..entry(port) }, &loader).await;
    let page = exchange(proxy, &get("/", "Accept: text/html\r\n")).await;
    assert!(page.starts_with("HTTP/1.1 503 ") && page.contains("<h1>llm is starting</h1>"), "{page}");
    assert!(page.contains("http-equiv=\"refresh\" content=\"2\""), "{page}");
    loader.ready.send_replace(Some(Ok(())));
    let answer = exchange(proxy, &get("/", "Accept: text/html\r\n")).await;
    assert!(answer.contains("GET / HTTP/1.1"), "{answer}");
}

#[tokio::test]
async fn a_stream_begins_with_comments_until_the_service_streams_itself() {
    let (mut world, loader) = (World::new(), Loader::new());
    let port = world
        .service(|mut stream| async move {
            read_until(&mut stream, "}").await;
            let answer =
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: hi\n\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
    let one = Entry { cold: ColdMode::Sse, ..entry(port) };
    let proxy =
        world.site(Site { entries: vec![Arc::new(one)], by_model: true, ..Site::default() }, &loader).await;
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    let body = r#"{"model":"qwen","stream":true}"#;
    stream.write_all(post("/v1/chat/completions", body).as_bytes()).await.unwrap();
    let begun = read_until(&mut stream, ": llm is being loaded\n\n").await;
    assert!(begun.starts_with("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"), "{begun}");
    loader.ready.send_replace(Some(Ok(())));
    assert!(read_all(&mut stream).await.contains("data: hi\n\n"));
    loader.serves(0).await;

    loader.ready.send_replace(None);
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    stream.write_all(post("/v1/chat/completions", body).as_bytes()).await.unwrap();
    read_until(&mut stream, "being loaded").await;
    let failed = Refusal::Failed { message: "exited with code 1".to_owned(), retry_after: Duration::ZERO };
    loader.ready.send_replace(Some(Err(failed)));
    let rest = read_all(&mut stream).await;
    assert!(
        rest.contains("event: error\ndata: {\"error\":{\"message\":\"llm: exited with code 1\""),
        "{rest}"
    );
}

#[tokio::test]
async fn the_first_byte_wakes_a_service_that_speaks_tcp() {
    let (mut world, loader) = (World::new(), Loader::new());
    let echo = |mut stream: TcpStream| async move {
        let all = read_all(&mut stream).await;
        stream.write_all(format!("got {all}").as_bytes()).await.unwrap();
    };
    let port = world.service(echo).await;
    let raw = Entry { protocol: Protocol::Tcp, ..entry(port) };
    let proxy = world.proxy(raw.clone(), &loader).await;
    let scan = TcpStream::connect(proxy).await.unwrap();
    drop(scan);
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(loader.asked.load(Ordering::Relaxed), 0, "a connection alone wakes nothing");
    stream.write_all(b"hello").await.unwrap();
    stream.shutdown().await.unwrap();
    loader.ready.send_replace(Some(Ok(())));
    assert_eq!(read_all(&mut stream).await, "got hello", "each direction ends by itself");
    loader.serves(0).await;

    let greet = |mut stream: TcpStream| async move {
        stream.write_all(b"220 hello\r\n").await.unwrap();
        drop(read_all(&mut stream).await);
    };
    let port = world.service(greet).await;
    let proxy = world.proxy(Entry { wake_on: WakeOn::Connect, port, ..raw }, &loader).await;
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    read_until(&mut stream, "220 hello").await;
}

#[tokio::test]
async fn a_service_that_hangs_up_is_told_as_a_bad_gateway() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let port = world.service(|stream| async move { drop(stream) }).await;
    let proxy = world.proxy(entry(port), &loader).await;
    let began = Instant::now();
    let answer = exchange(proxy, &get("/", "")).await;
    assert!(
        answer.starts_with("HTTP/1.1 502 ") && answer.contains("llm is ready and gave no answer"),
        "{answer}"
    );
    assert!(began.elapsed() < PATIENCE);
    loader.serves(0).await;
}
