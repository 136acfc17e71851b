//! Whom requests are passed on for: keys, and how many of one tenant's are in flight, over real connections on this
//! machine.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use docker_orch::{
    project::{ColdMode, Protocol},
    proxy::{Entry, Site, Tally, Tenant, Tenants},
    token::Token,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::support::door::{
    Loader, PATIENCE, World, entry, exchange, get, mirror, post, read_all, read_until,
};

const ACME: &str = "Authorization: Bearer key-of-acme-0001\r\n";

/// `acme` may have one request in flight, `lab` as many as it likes; `default`, where it is there, one.
fn tenants(with_default: bool) -> Arc<Tenants> {
    let tenant = |name: &str, inflight, key: Option<&str>| Tenant {
        name: name.to_owned(),
        inflight,
        key: key.map(Token::new),
    };
    let known =
        [tenant("acme", Some(1), Some("key-of-acme-0001")), tenant("lab", None, Some("key-of-the-lab-01"))];
    let default = with_default.then(|| tenant("default", Some(1), None));
    Arc::new(Tenants::new(known.into_iter().chain(default)))
}

/// What is counted of a tenant.
fn tally(tenants: &Tenants, name: &str) -> Tally {
    tenants.tallies().0.into_iter().find(|tally| tally.tenant == name).unwrap()
}

/// Waits until so many of a tenant's requests are in flight.
async fn in_flight(tenants: &Tenants, name: &str, number: u32) {
    let until = Instant::now() + PATIENCE;
    while tally(tenants, name).in_flight != number {
        assert!(Instant::now() < until, "{:?}", tally(tenants, name));
        sleep(Duration::from_millis(5)).await;
    }
}

async fn guarded(world: &mut World, entry: Entry, tenants: &Arc<Tenants>, loader: &Loader) -> SocketAddr {
    let site = Site { entries: vec![Arc::new(entry)], tenants: Some(Arc::clone(tenants)), ..Site::default() };
    world.site(site, loader).await
}

/// A connection that has sent this.
async fn sent(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Answers with half of what it says that it will, and with the rest once it gets another byte.
async fn in_halves(mut stream: TcpStream) {
    let asked = read_until(&mut stream, "\r\n\r\n").await;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf-").await.unwrap();
    // The rest of the body that came with the request.
    let rest = if asked.ends_with("go") { Ok(1) } else { stream.read(&mut [0; 2]).await };
    if rest.is_ok_and(|n| n > 0) {
        stream.write_all(b"done").await.unwrap();
    }
}

#[tokio::test]
async fn only_those_who_have_a_key_are_served() {
    let (mut world, loader, tenants) = (World::new(), Loader::ready(), tenants(false));
    let port = world.service(mirror).await;
    let site = Site {
        entries: vec![Arc::new(entry(port))],
        by_model: true,
        tenants: Some(Arc::clone(&tenants)),
        ..Site::default()
    };
    let router = world.site(site, &loader).await;
    let proxy = guarded(&mut world, entry(port), &tenants, &loader).await;
    for request in [get("/v1/models", ""), post("/v1/chat/completions", r#"{"model":"qwen"}"#)] {
        let answer = exchange(router, &request).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(answer.contains("www-authenticate: Bearer\r\n"), "{answer}");
        assert!(answer.contains(r#"{"error":{"message":"this needs a key:"#), "{answer}");
        assert!(answer.contains(r#""code":"missing_api_key""#), "{answer}");
    }
    let answer = exchange(proxy, &get("/v1/x", "x-api-key: key-of-nobody-01\r\n")).await;
    assert!(
        answer.starts_with("HTTP/1.1 401 ") && answer.contains(r#""code":"invalid_api_key""#),
        "{answer}"
    );
    assert!(answer.contains("www-authenticate: Bearer error=\"invalid_token\"\r\n"), "{answer}");
    // Nobody learns without a key what there is, nor what is closed.
    for path in ["/", "/sleep", "/nothing"] {
        let answer = exchange(proxy, &get(path, "")).await;
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("problem+json"), "{answer}");
    }
    assert_eq!(loader.asked.load(Ordering::Relaxed), 0, "none of them wakes anything");
    for key in [ACME, "x-api-key: key-of-acme-0001\r\n", "authorization: bearer key-of-the-lab-01\r\n"] {
        let answer = exchange(proxy, &get("/v1/x", key)).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let answer = exchange(router, &get("/v1/models", key)).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(r#""id":"qwen""#), "{answer}");
    }
    assert_eq!((tally(&tenants, "acme").admitted, tenants.tallies().1), (2, 6));
}

#[tokio::test]
async fn the_service_gets_no_key_unless_the_file_says_so() {
    let (mut world, loader, tenants) = (World::new(), Loader::ready(), tenants(false));
    let port = world.service(mirror).await;
    let proxy = guarded(&mut world, entry(port), &tenants, &loader).await;
    let both = format!("{ACME}x-api-key: key-of-acme-0001\r\nX-Other: stays\r\n");
    let answer = exchange(proxy, &get("/v1/x", &both)).await;
    assert!(answer.contains("x-other: stays") && !answer.contains("key-of-acme"), "{answer}");
    let passing = Entry { pass_key: true, ..entry(port) };
    let proxy = guarded(&mut world, passing, &tenants, &loader).await;
    let answer = exchange(proxy, &get("/v1/x", &both)).await;
    assert!(answer.contains("authorization: Bearer key-of-acme-0001"), "{answer}");
    assert!(answer.contains("x-api-key: key-of-acme-0001"), "{answer}");
    // Without tenants a key is the service's own.
    let open = world.proxy(entry(port), &loader).await;
    assert!(exchange(open, &get("/v1/x", &both)).await.contains("authorization: Bearer"));
}

#[tokio::test]
async fn a_request_is_in_flight_until_its_last_byte() {
    let (mut world, loader, tenants) = (World::new(), Loader::ready(), tenants(false));
    let port = world.service(in_halves).await;
    let proxy = guarded(&mut world, entry(port), &tenants, &loader).await;
    let upload =
        format!("POST /v1/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{ACME}Content-Length: 2\r\n\r\n");
    let mut first = sent(proxy, &upload).await;
    read_until(&mut first, "half-").await;
    let refused = exchange(proxy, &get("/v1/x", ACME)).await;
    assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("retry-after: 1\r\n"), "{refused}");
    assert!(refused.contains(r#""code":"rate_limit_exceeded""#), "{refused}");
    // Others have places of their own.
    let mut other = sent(proxy, &upload.replace("key-of-acme-0001", "key-of-the-lab-01")).await;
    read_until(&mut other, "half-").await;
    first.write_all(b"go").await.unwrap();
    assert_eq!(read_all(&mut first).await, "done");
    // Whoever has seen the last byte finds the place free.
    let mut second = sent(proxy, &upload).await;
    read_until(&mut second, "half-").await;
    // And whoever goes away leaves it.
    drop(second);
    in_flight(&tenants, "acme", 0).await;
    let expected =
        Tally { tenant: "acme".to_owned(), in_flight: 0, inflight: Some(1), admitted: 2, refused: 1 };
    assert_eq!(tally(&tenants, "acme"), expected);
    assert_eq!(tally(&tenants, "lab").in_flight, 1);
}

#[tokio::test]
async fn who_waits_for_a_service_is_in_flight() {
    let (mut world, loader, tenants) = (World::new(), Loader::new(), tenants(false));
    let port = world.service(mirror).await;
    let held = guarded(&mut world, entry(port), &tenants, &loader).await;
    let streamed = Site {
        entries: vec![Arc::new(Entry { cold: ColdMode::Sse, ..entry(port) })],
        by_model: true,
        tenants: Some(Arc::clone(&tenants)),
        ..Site::default()
    };
    let streamed = world.site(streamed, &loader).await;
    let waits = sent(held, &get("/v1/x", ACME)).await;
    in_flight(&tenants, "acme", 1).await;
    assert!(exchange(streamed, &get("/v1/x", ACME)).await.starts_with("HTTP/1.1 429 "));
    drop(waits);
    in_flight(&tenants, "acme", 0).await;

    let body = r#"{"model":"qwen","stream":true}"#;
    let request = post("/v1/x", body).replace("Host:", &format!("{ACME}Host:"));
    let mut waits = sent(streamed, &request).await;
    read_until(&mut waits, "is being loaded").await;
    assert!(exchange(held, &get("/v1/x", ACME)).await.starts_with("HTTP/1.1 429 "));
    loader.ready.send_replace(Some(Ok(())));
    let answer = read_all(&mut waits).await;
    assert!(answer.contains("POST /v1/x") && !answer.contains("key-of-acme"), "{answer}");
    assert!(exchange(held, &get("/v1/x", ACME)).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_web_socket_is_in_flight_until_it_is_closed() {
    let (mut world, loader, tenants) = (World::new(), Loader::ready(), tenants(false));
    let port = world
        .service(|mut stream| async move {
            read_until(&mut stream, "\r\n\r\n").await;
            let answer =
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
            drop(read_all(&mut stream).await);
        })
        .await;
    let proxy = guarded(&mut world, entry(port), &tenants, &loader).await;
    let request =
        format!("GET /ws HTTP/1.1\r\nHost: a\r\n{ACME}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let mut socket = sent(proxy, &request).await;
    read_until(&mut socket, "\r\n\r\n").await;
    assert!(exchange(proxy, &get("/v1/x", ACME)).await.starts_with("HTTP/1.1 429 "));
    drop(socket);
    in_flight(&tenants, "acme", 0).await;
}

#[tokio::test]
async fn who_sends_no_key_is_the_default_tenant() {
    let (mut world, loader, tenants) = (World::new(), Loader::ready(), tenants(true));
    let port = world.service(in_halves).await;
    let proxy = guarded(&mut world, entry(port), &tenants, &loader).await;
    let mut first = sent(proxy, &get("/v1/x", "")).await;
    read_until(&mut first, "half-").await;
    assert!(exchange(proxy, &get("/v1/x", "")).await.starts_with("HTTP/1.1 429 "));
    let unknown = exchange(proxy, &get("/v1/x", "Authorization: Bearer key-of-nobody-01\r\n")).await;
    assert!(unknown.starts_with("HTTP/1.1 401 "), "{unknown}");
}

#[tokio::test]
async fn plain_tcp_is_for_the_default_tenant_alone() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let echo = |mut stream: TcpStream| async move {
        let said = read_until(&mut stream, "hello").await;
        stream.write_all(said.as_bytes()).await.unwrap();
        drop(read_all(&mut stream).await);
    };
    let port = world.service(echo).await;
    let raw = Entry { protocol: Protocol::Tcp, ..entry(port) };
    let strict = guarded(&mut world, raw.clone(), &tenants(false), &loader).await;
    let mut stream = sent(strict, "hello").await;
    assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)), "it is closed without a word");
    assert_eq!(loader.asked.load(Ordering::Relaxed), 0);

    let tenants = tenants(true);
    let open = guarded(&mut world, raw, &tenants, &loader).await;
    let mut first = sent(open, "hello").await;
    read_until(&mut first, "hello").await;
    let mut second = sent(open, "hello").await;
    assert!(matches!(second.read(&mut [0]).await, Ok(0) | Err(_)), "one at a time");
    drop(first);
    in_flight(&tenants, "default", 0).await;
    let mut third = sent(open, "hello").await;
    read_until(&mut third, "hello").await;
}

#[tokio::test]
async fn who_is_refused_in_the_middle_of_a_long_body_reads_why() {
    let (mut world, loader, tenants) = (World::new(), Loader::ready(), tenants(false));
    let port = world.service(in_halves).await;
    let proxy = guarded(&mut world, entry(port), &tenants, &loader).await;
    let request = post("/v1/x", &"x".repeat(8 << 20));
    for _ in 0..20 {
        let answer = exchange(proxy, &request).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
}
