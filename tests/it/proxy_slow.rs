//! Clients that take their time: none keeps a service loaded, or a connection, for ever. In virtual time.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use docker_orch::{
    project::{Protocol, WakeOn},
    proxy::{Entry, Site},
};
use http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::door::{
    Loader, PATIENCE, World, entry, get, mirror, next, parts, pass, read_all, read_until, whole,
};

/// What the longest wait for bytes of a client is meant to be, with some room, in seconds.
const STALL: u64 = 2 * 60 + 5;
/// How long both ends of a conversation may be silent, with some room, in seconds.
const QUIET: u64 = 17 * 60;

/// What has come over a connection until now; `None`: it is closed.
fn now(stream: &TcpStream) -> Option<usize> {
    match stream.try_read(&mut [0; 1024]) {
        Ok(0) => None,
        Ok(n) => Some(n),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Some(0),
        Err(_) => None,
    }
}

#[tokio::test]
async fn a_client_that_begins_nothing_is_not_waited_for() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let port = world.service(mirror).await;
    let proxy = world.proxy(entry(port), &loader).await;
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // A frame that has only begun.
    let settings = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0\0\0\u{20}\u{1}\u{4}";
    let begun = ["", "P", "PRI * HT", preface, settings, "G", "GET / HTTP/1.1\r\nHost:"];
    let mut streams = Vec::new();
    for words in begun {
        let mut stream = TcpStream::connect(proxy).await.unwrap();
        stream.write_all(words.as_bytes()).await.unwrap();
        streams.push((words, stream));
    }
    pass(25).await;
    for (words, stream) in &mut streams {
        assert!(now(stream).is_some(), "after {words:?} it is waited for a while");
    }
    pass(100).await;
    for (words, stream) in &mut streams {
        let rest = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
        assert!(rest.is_ok(), "after {words:?} nothing more is waited for");
    }
    assert_eq!(loader.served(), 0);
}

#[tokio::test]
async fn a_connection_of_http2_is_closed_once_nothing_is_asked_on_it() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let port = world
        .answers(|_| async {
            let (sender, body) = parts();
            tokio::spawn(async move {
                for _ in 0..30 {
                    tokio::time::sleep(Duration::from_secs(30)).await;
                    sender.send(Frame::data("part".into())).ok();
                }
            });
            Response::new(body)
        })
        .await;
    let proxy = world.proxy(entry(port), &loader).await;
    let mut client = world.http2(proxy).await;
    let request = Request::get("http://a.test/").body(whole("")).unwrap();
    let answer = tokio::spawn(client.send_request(request).await.unwrap().into_body().collect());
    pass(890).await;
    assert!(!client.is_closed() && !answer.is_finished(), "an answer is awaited");
    pass(60).await;
    let answer = answer.await.unwrap().unwrap().to_bytes();
    assert_eq!(answer.len(), 30 * 4);
    pass(100).await;
    assert!(client.is_closed());
}

#[tokio::test]
async fn a_client_that_reads_nothing_frees_the_service() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let port = world
        .service(|mut stream| async move {
            read_until(&mut stream, "\r\n\r\n").await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await.unwrap();
            while stream.write_all(&[b'x'; 10_000]).await.is_ok() {}
        })
        .await;
    let proxy = world.proxy(entry(port), &loader).await;
    let mut http1 = TcpStream::connect(proxy).await.unwrap();
    http1.write_all(get("/", "").as_bytes()).await.unwrap();
    let mut streams = Vec::new();
    for window in [0, 10, 100_000] {
        let stream = TcpStream::connect(proxy).await.unwrap();
        let builder =
            h2::client::Builder::new().initial_window_size(window).handshake::<_, Bytes>(stream).await;
        let (mut client, connection) = builder.unwrap();
        world.tasks.spawn(async move { connection.await.unwrap() });
        let (answer, _) =
            client.send_request(Request::get("http://a.test/").body(()).unwrap(), true).unwrap();
        streams.push((client, answer.await.unwrap()));
    }
    loader.serves(4).await;
    pass(50).await;
    assert_eq!(loader.served(), 4);
    for _ in 0..STALL {
        if loader.served() > 0 {
            pass(1).await;
        }
    }
    assert_eq!(loader.served(), 0);
    for (_, answer) in &mut streams {
        let ended = async {
            while let Some(part) = answer.body_mut().data().await {
                part?;
            }
            Ok::<_, h2::Error>(())
        };
        let error = timeout(PATIENCE, ended).await.expect("it ends").unwrap_err();
        assert_eq!(error.reason(), Some(h2::Reason::CANCEL), "{error}");
    }
    // Only the stream was ended.
    for (client, _) in streams {
        let mut client = timeout(PATIENCE, client.ready()).await.expect("it is ready").unwrap();
        let asked = client.send_request(Request::get("http://a.test/").body(()).unwrap(), true);
        assert_eq!(timeout(PATIENCE, asked.unwrap().0).await.expect("an answer").unwrap().status(), 200);
    }
}

/// Of an answer that takes minutes.
const LENGTH: usize = 500_000;

#[tokio::test]
async fn a_client_that_reads_slowly_gets_everything() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let port = world.answers(|_| async { Response::new(whole(vec![b'x'; LENGTH])) }).await;
    let proxy = world.proxy(entry(port), &loader).await;
    let stream = TcpStream::connect(proxy).await.unwrap();
    let builder = h2::client::Builder::new().initial_window_size(10_000).handshake::<_, Bytes>(stream).await;
    let (mut client, connection) = builder.unwrap();
    world.tasks.spawn(async move { connection.await.unwrap() });
    let (answer, _) = client.send_request(Request::get("http://a.test/").body(()).unwrap(), true).unwrap();
    let mut body = answer.await.unwrap().into_body();
    let mut length = 0;
    while let Some(part) = timeout(PATIENCE, body.data()).await.expect("a part") {
        let taken = part.unwrap().len();
        length += taken;
        // A minute for 20 kB.
        pass(u64::try_from(taken / 333).unwrap()).await;
        body.flow_control().release_capacity(taken).unwrap();
    }
    assert_eq!(length, LENGTH);
    loader.serves(0).await;
}

#[tokio::test]
async fn a_client_that_does_not_send_what_it_has_begun_frees_the_service() {
    let (mut world, loader) = (World::new(), Loader::ready());
    // Answers once it has everything.
    let port = world
        .answers(|request| async move {
            let whole_body = request.into_body().collect().await.is_ok();
            assert!(!whole_body, "it never comes whole");
            Response::new(whole(""))
        })
        .await;
    let proxy = world.proxy(entry(port), &loader).await;
    let mut http1 = TcpStream::connect(proxy).await.unwrap();
    http1.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf").await.unwrap();
    let (http2, mut asked) = (world.http2(proxy).await, Vec::new());
    for request in [
        Request::post("http://a.test/"),
        Request::post("http://a.test/").header(CONTENT_TYPE, "application/grpc"),
    ] {
        let (sender, body) = parts();
        sender.send(Frame::data("half".into())).unwrap();
        let mut client = http2.clone();
        asked.push((sender, tokio::spawn(client.send_request(request.body(body).unwrap()))));
    }
    let site = Site { entries: vec![Arc::new(entry(port))], by_model: true, ..Site::default() };
    let mut by_model = TcpStream::connect(world.site(site, &loader).await).await.unwrap();
    by_model.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf").await.unwrap();
    loader.serves(3).await;
    pass(50).await;
    assert_eq!(loader.served(), 3);
    pass(STALL).await;
    assert_eq!(loader.served(), 0);
    for stream in [&mut http1, &mut by_model] {
        let answer = read_all(stream).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    for (_sender, answer) in asked {
        assert_eq!(answer.await.unwrap().unwrap().status(), 408);
    }
}

#[tokio::test]
async fn a_conversation_goes_on_while_one_side_speaks() {
    let (mut world, loader) = (World::new(), Loader::ready());
    // Speaks for 50 minutes, and is silent then.
    let port = world
        .answers(|request| async move {
            let (sender, body) = parts();
            tokio::spawn(async move {
                let mut said = request.into_body();
                assert_eq!(next(&mut said).await.unwrap().into_data().unwrap(), "hello");
                for _ in 0..10 {
                    sender.send(Frame::data("part".into())).unwrap();
                    tokio::time::sleep(Duration::from_mins(5)).await;
                }
                // To its end.
                while let Some(Ok(_)) = said.frame().await {}
            });
            Response::new(body)
        })
        .await;
    let proxy = world.proxy(entry(port), &loader).await;
    let mut client = world.http2(proxy).await;
    let (sender, body) = parts();
    sender.send(Frame::data("hello".into())).unwrap();
    let request =
        Request::post("http://a.test/").header(CONTENT_TYPE, "application/grpc").body(body).unwrap();
    let mut answer = client.send_request(request).await.unwrap().into_body();
    for _ in 0..10 {
        assert_eq!(next(&mut answer).await.unwrap().into_data().unwrap(), "part");
        pass(300).await;
    }
    assert_eq!(loader.served(), 1, "they may be silent for a while");
    pass(QUIET).await;
    assert_eq!(loader.served(), 0);
    drop(sender);
}

/// A service that greets, reads to the end of what its client sends, and goes on silently for ever.
async fn never_ends(mut stream: TcpStream) {
    stream
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n")
        .await
        .unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_connection_that_only_one_side_has_ended_is_not_kept_for_ever() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let port = world.service(never_ends).await;
    let raw = Entry { protocol: Protocol::Tcp, wake_on: WakeOn::Connect, ..entry(port) };
    for one in [raw, entry(port)] {
        let proxy = world.proxy(one, &loader).await;
        let mut ended = TcpStream::connect(proxy).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n";
        ended.write_all(request).await.unwrap();
        read_until(&mut ended, "\r\n\r\n").await;
        let mut open = TcpStream::connect(proxy).await.unwrap();
        open.write_all(request).await.unwrap();
        read_until(&mut open, "\r\n\r\n").await;
        ended.shutdown().await.unwrap();
        loader.serves(2).await;
        pass(600).await;
        assert_eq!(loader.served(), 2);
        // This one says something.
        open.write_all(b"x").await.unwrap();
        pass(QUIET - 600).await;
        assert_eq!(loader.served(), 1, "one is silent");
        pass(600).await;
        assert_eq!(loader.served(), 0, "both are silent");
        assert_eq!((now(&ended), now(&open)), (None, None));
    }
}

/// `GET http://a.test/` as a frame of HTTP/2.
fn asks(number: u32) -> Vec<u8> {
    [b"\0\0\x0b\x01\x05", &(2 * number + 1).to_be_bytes()[..], b"\x82\x86\x84\x41\x06a.test"].concat()
}

/// That its answer is not wanted any more.
fn resets(number: u32) -> Vec<u8> {
    [b"\0\0\x04\x03\0", &(2 * number + 1).to_be_bytes()[..], &[0, 0, 0, 8]].concat()
}

async fn http2(proxy: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    stream
}

#[tokio::test]
async fn streams_that_are_reset_at_once_leave_nothing_behind() {
    let (mut world, loader) = (World::new(), Loader::new());
    let port = world.service(mirror).await;
    let proxy = world.proxy(entry(port), &loader).await;
    let mut other = world.http2(proxy).await;
    let waits = tokio::spawn(async move {
        other.send_request(Request::get("http://a.test/").body(whole("")).unwrap()).await
    });
    // Faster than they are begun: such a client is hung up on.
    let mut flood = http2(proxy).await;
    for number in 0..1_000 {
        flood.write_all(&[asks(number), resets(number)].concat()).await.ok();
    }
    let ended = timeout(PATIENCE, flood.read_to_end(&mut Vec::new())).await;
    ended.expect("it is hung up on").ok();
    // One after the other, each once it has been asked for.
    let mut calm = http2(proxy).await;
    let asked = || loader.asked.load(Ordering::Relaxed);
    let before = asked();
    for number in 0..1_000 {
        calm.write_all(&asks(number)).await.unwrap();
        let begun = async {
            while asked() - before <= usize::try_from(number).unwrap() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, begun).await.expect("it is asked for");
        calm.write_all(&resets(number)).await.unwrap();
    }
    let forgotten = async {
        while loader.asking() > 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, forgotten).await.expect("only the other one waits");
    loader.ready.send_replace(Some(Ok(())));
    let answer = timeout(PATIENCE, waits).await.expect("others are served").unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    drop(answer);
    loader.serves(0).await;
}

#[tokio::test]
async fn a_client_may_not_open_any_number_of_streams() {
    let (mut world, loader) = (World::new(), Loader::new());
    let port = world.service(mirror).await;
    let proxy = world.proxy(entry(port), &loader).await;
    let mut client = http2(proxy).await;
    for number in 0..1_000 {
        client.write_all(&asks(number)).await.unwrap();
    }
    // All others are refused: RST_STREAM, with REFUSED_STREAM as its reason.
    for _ in 128..1_000 {
        let refused = async {
            loop {
                let mut head = [0; 9];
                client.read_exact(&mut head).await.unwrap();
                let mut frame = vec![0; usize::from(head[2])];
                client.read_exact(&mut frame).await.unwrap();
                if (head[3], frame.as_slice()) == (3, &[0, 0, 0, 7]) {
                    return;
                }
            }
        };
        timeout(PATIENCE, refused).await.expect("it is refused");
    }
    let asked = async {
        while loader.asked.load(Ordering::Relaxed) < 128 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, asked).await.expect("the first are asked for");
    assert_eq!(loader.asked.load(Ordering::Relaxed), 128);
}
