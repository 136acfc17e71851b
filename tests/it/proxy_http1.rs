//! What HTTP/1.1 says about requests, answers and their connections, through the proxy.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{Mutex, mpsc},
    time::timeout,
};

use crate::support::door::{
    Loader, PATIENCE, World, entry, exchange, get, mirror, read_all, read_until, whole,
};

/// Answers every request with this, word for word, and hangs up.
fn says(answer: &'static str) -> impl Fn(TcpStream) -> futures::future::BoxFuture<'static, ()> + Send {
    move |mut stream| {
        Box::pin(async move {
            read_until(&mut stream, "\r\n\r\n").await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
    }
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_told_to_go_on() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let port = world.service(mirror).await;
    let proxy = world.proxy(entry(port), &loader).await;
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let begun = read_until(&mut stream, "\r\n\r\n").await;
    assert_eq!(begun, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").await.unwrap();
    let answer = read_until(&mut stream, "hello").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("POST / HTTP/1.1"), "{answer}");
}

#[tokio::test]
async fn a_request_that_is_refused_before_its_body_is_not_told_to_go_on() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let port = world.service(mirror).await;
    let proxy = world.proxy(entry(port), &loader).await;
    let head = "POST /sleep HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let answer = exchange(proxy, head).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}

#[tokio::test]
async fn answers_without_a_body_keep_their_connection() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let port = world
        .answers(|request| async move {
            let answer = Response::builder();
            match request.uri().path() {
                "/empty" => answer.status(StatusCode::NO_CONTENT).body(whole("")),
                "/same" => answer.status(StatusCode::NOT_MODIFIED).header("etag", "\"1\"").body(whole("")),
                _ => answer.header("content-length", "5").body(whole(match *request.method() {
                    Method::HEAD => "",
                    _ => "hello",
                })),
            }
            .unwrap()
        })
        .await;
    let proxy = world.proxy(entry(port), &loader).await;
    let mut client = world.http1(proxy).await;
    for (method, path, status, length, body) in [
        (Method::HEAD, "/", 200, Some("5"), ""),
        (Method::GET, "/empty", 204, None, ""),
        (Method::GET, "/same", 304, None, ""),
        (Method::GET, "/", 200, Some("5"), "hello"),
        (Method::HEAD, "/", 200, Some("5"), ""),
    ] {
        let request = Request::builder().method(method).uri(path).header("host", "a");
        let sent = client.send_request(request.body(whole("")).unwrap());
        let answer = timeout(PATIENCE, sent).await.expect("an answer").unwrap();
        let said = answer.headers().get("content-length").map(|length| length.to_str().unwrap().to_owned());
        assert_eq!((answer.status().as_u16(), said.as_deref()), (status, length), "{path}");
        let bytes = timeout(PATIENCE, answer.into_body().collect()).await.expect("its end").unwrap();
        assert_eq!(bytes.to_bytes(), body, "{path}");
        loader.serves(0).await;
    }
}

#[tokio::test]
async fn trailers_of_a_chunked_answer_pass_to_those_who_take_them() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let port = world
        .service(says(
            "HTTP/1.1 200 OK\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n",
        ))
        .await;
    let proxy = world.proxy(entry(port), &loader).await;
    let answer =
        exchange(proxy, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, te\r\nTE: trailers\r\n\r\n").await;
    assert!(answer.to_lowercase().contains("trailer: x-sum\r\n"), "{answer}");
    assert!(answer.ends_with("2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n"), "{answer}");
    let answer = exchange(proxy, &get("/", "")).await;
    assert!(answer.ends_with("2\r\nhi\r\n0\r\n\r\n"), "{answer}");
    let mut http2 = world.http2(proxy).await;
    let request = Request::get("http://a.test/").body(whole("")).unwrap();
    let answer = http2.send_request(request).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(answer.trailers().unwrap()["x-sum"], "7");
}

#[tokio::test]
async fn trailers_of_a_chunked_request_pass() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let port = world
        .service(|mut stream| async move {
            let seen = read_until(&mut stream, "\r\n0\r\n").await;
            let rest = if seen.ends_with("\r\n\r\n") {
                String::new()
            } else {
                read_until(&mut stream, "\r\n\r\n").await
            };
            let seen = seen + &rest;
            assert!(seen.to_lowercase().contains("trailer: x-sum\r\n"), "{seen}");
            let passed = seen.ends_with("2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n");
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{passed:5}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
    let proxy = world.proxy(entry(port), &loader).await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n\
                   2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n";
    let answer = exchange(proxy, request).await;
    assert!(answer.ends_with("\r\n\r\ntrue "), "{answer}");
}

#[tokio::test]
async fn a_body_that_nobody_expects_passes_too() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let port = world
        .service(|mut stream| async move {
            let seen = read_until(&mut stream, "\r\n0\r\n").await;
            let passed = seen.contains("\r\n\r\n2\r\nhi\r\n");
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{passed:5}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
    let proxy = world.proxy(entry(port), &loader).await;
    let head = "GET /_search HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = exchange(proxy, &format!("{head}2\r\nhi\r\n0\r\n\r\n")).await;
    assert!(answer.ends_with("\r\n\r\ntrue "), "{answer}");
}

#[tokio::test]
async fn a_client_of_http10_gets_what_it_can_read() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3\r\n you\r\n0\r\n\r\n";
    let chunked = chunked.replace("3\r\n you", "4\r\n you").leak();
    let port = world.service(says(chunked)).await;
    let proxy = world.proxy(entry(port), &loader).await;
    let answer = exchange(proxy, "GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(!answer.to_lowercase().contains("transfer-encoding"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nhi you"), "{answer}");
    loader.serves(0).await;
}

#[tokio::test]
async fn a_connection_is_closed_when_its_client_wants_that_and_kept_when_the_service_closes_its_own() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let port =
        world.service(says("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi")).await;
    let proxy = world.proxy(entry(port), &loader).await;
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    for _ in 0..2 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let answer = read_until(&mut stream, "\r\n\r\nhi").await.to_lowercase();
        assert!(!answer.contains("connection:"), "{answer}");
    }
    stream.write_all(get("/", "").as_bytes()).await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.to_lowercase().contains("connection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn a_body_that_breaks_off_at_the_service_breaks_off_at_the_client() {
    let (mut world, loader) = (World::new(), Loader::ready());
    for broken in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\nhalf",
    ] {
        let port = world.service(says(broken)).await;
        let proxy = world.proxy(entry(port), &loader).await;
        let (mut http1, mut http2) = (world.http1(proxy).await, world.http2(proxy).await);
        let request = || Request::get("http://a.test/").header("host", "a").body(whole("")).unwrap();
        for answer in [http1.send_request(request()).await, http2.send_request(request()).await] {
            let body = timeout(PATIENCE, answer.unwrap().into_body().collect()).await.expect("an end");
            assert!(body.is_err(), "{broken:?} is not whole");
        }
        let answer = exchange(proxy, &get("/", "")).await;
        assert!(answer.contains("half") && !answer.ends_with("0\r\n\r\n"), "{answer}");
        loader.serves(0).await;
    }
}

#[tokio::test]
async fn a_connection_that_the_service_has_closed_meanwhile_fails_no_request() {
    let (mut world, loader) = (World::new(), Loader::ready());
    // Says that it keeps its connections, and never does.
    let port = world.service(says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")).await;
    let proxy = world.proxy(entry(port), &loader).await;
    let mut client = world.http1(proxy).await;
    for number in 0..300 {
        let method = if number % 2 == 0 { Method::GET } else { Method::POST };
        let request = Request::builder().method(method).uri("/").header("host", "a").body(whole("body"));
        let answer = client.send_request(request.unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "request {number}");
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hi");
    }
}

#[tokio::test]
async fn a_changed_connection_carries_bytes_both_ways_and_each_way_ends_by_itself() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let bytes: Vec<u8> =
        (0..1_000_000_u32).map(|n| n.to_le_bytes()[usize::try_from(n % 3).unwrap()]).collect();
    let sent = bytes.clone();
    let port = world
        .service(move |mut stream| {
            let bytes = sent.clone();
            async move {
                let head = read_until(&mut stream, "\r\n\r\n").await;
                let begun = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n";
                stream.write_all(begun.as_bytes()).await.unwrap();
                let (mut reader, mut writer) = stream.split();
                let mut taken = Vec::new();
                if head.starts_with("GET /first ") {
                    // Ends before its client does.
                    writer.write_all(&bytes).await.unwrap();
                    writer.shutdown().await.unwrap();
                    reader.read_to_end(&mut taken).await.unwrap();
                } else {
                    reader.read_to_end(&mut taken).await.unwrap();
                    writer.write_all(&bytes).await.unwrap();
                }
                assert!(taken == bytes, "{} bytes have come", taken.len());
            }
        })
        .await;
    let proxy = world.proxy(entry(port), &loader).await;
    for path in ["/first", "/last"] {
        let mut stream = TcpStream::connect(proxy).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = vec![];
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(PATIENCE, stream.read_u8()).await.expect("a head").unwrap());
        }
        let mut taken = Vec::new();
        let talk = async {
            if path == "/first" {
                stream.read_to_end(&mut taken).await.unwrap();
                loader.serves(1).await;
                stream.write_all(&bytes).await.unwrap();
                stream.shutdown().await.unwrap();
            } else {
                stream.write_all(&bytes).await.unwrap();
                stream.shutdown().await.unwrap();
                stream.read_to_end(&mut taken).await.unwrap();
            }
        };
        timeout(PATIENCE, talk).await.expect("both ways end");
        assert!(taken == bytes, "{path}: {} bytes have come", taken.len());
        loader.serves(0).await;
    }
}

#[tokio::test]
async fn several_requests_sent_at_once_are_answered_in_their_order() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let port = world
        .answers(|request| async move {
            // The first takes longest.
            let last = request.uri().path() == "/2";
            tokio::time::sleep(Duration::from_millis(if last { 0 } else { 50 })).await;
            Response::new(whole(request.uri().path().to_owned()))
        })
        .await;
    let proxy = world.proxy(entry(port), &loader).await;
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.write_all((one("/1") + &get("/2", "")).as_bytes()).await.unwrap();
    let answers = read_all(&mut stream).await;
    let (first, second) = (answers.find("\r\n\r\n/1"), answers.find("\r\n\r\n/2"));
    assert!(first.is_some() && first < second, "{answers}");
}

#[tokio::test]
async fn a_request_that_may_be_repeated_is_when_a_kept_connection_breaks_under_it() {
    let (mut world, loader) = (World::new(), Loader::ready());
    // Each connection serves one request, and breaks when the second has come.
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let port = world
        .service(move |mut stream| {
            let seen = Arc::clone(&noted);
            async move {
                for number in 0..2 {
                    let head = read_until(&mut stream, "\r\n\r\n").await;
                    seen.lock().await.push(format!("{} {number}", head.split(' ').next().unwrap()));
                    if number == 0 {
                        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
                    }
                }
            }
        })
        .await;
    let proxy = world.proxy(entry(port), &loader).await;
    let mut client = world.http1(proxy).await;
    let mut statuses = Vec::new();
    for method in [Method::GET, Method::GET, Method::POST, Method::GET] {
        let request = Request::builder().method(method).uri("/").header("host", "a").body(whole(""));
        let answer = client.send_request(request.unwrap()).await.unwrap();
        statuses.push(answer.status().as_u16());
        answer.into_body().collect().await.unwrap();
    }
    // Whether the service has done what a POST asks for cannot be known: it is not asked again.
    assert_eq!(statuses, [200, 200, 502, 200]);
    assert_eq!(*seen.lock().await, ["GET 0", "GET 1", "GET 0", "POST 1", "GET 0"]);
    loader.serves(0).await;
}

#[tokio::test]
async fn a_service_learns_at_once_that_its_client_has_left() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let (ended, mut ends) = mpsc::unbounded_channel();
    // Before it has answered, and in the middle of it.
    for answer in ["", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"] {
        let ended = ended.clone();
        let port = world
            .service(move |mut stream| {
                let ended = ended.clone();
                async move {
                    read_until(&mut stream, "\r\n\r\n").await;
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    // Nothing more is sent, so nothing fails to be.
                    let left = stream.read(&mut [0]).await.unwrap_or(0);
                    ended.send(left).unwrap();
                }
            })
            .await;
        let proxy = world.proxy(entry(port), &loader).await;
        let mut stream = TcpStream::connect(proxy).await.unwrap();
        stream.write_all(get("/", "").as_bytes()).await.unwrap();
        loader.serves(1).await;
        if !answer.is_empty() {
            read_until(&mut stream, "half").await;
        }
        drop(stream);
        assert_eq!(timeout(PATIENCE, ends.recv()).await.expect("it learns"), Some(0));
        loader.serves(0).await;
    }
}

#[tokio::test]
async fn nobody_is_led_to_other_hosts() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let port = world.service(mirror).await;
    let proxy = world.proxy(entry(port), &loader).await;
    let answer =
        exchange(proxy, "CONNECT b.test:22 HTTP/1.1\r\nHost: b.test:22\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 501 ") && answer.contains("no_way_through"), "{answer}");
    let request = Request::connect("b.test:22").body(whole("")).unwrap();
    let answer = world.http2(proxy).await.send_request(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_IMPLEMENTED);
    assert_eq!(loader.asked.load(Ordering::Relaxed), 0, "nothing is loaded for it");
}
