//! HTTP/2 without TLS through the proxy: to services that speak HTTP/1.1, and gRPC to those that speak HTTP/2.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Version, header::CONTENT_TYPE};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use tokio::{sync::mpsc, time::timeout};

use crate::support::door::{Loader, PATIENCE, World, entry, mirror, next, parts, whole};

fn grpc(path: &str) -> http::request::Builder {
    Request::post(format!("http://llm.test{path}"))
        .header(CONTENT_TYPE, "application/grpc+proto")
        .header("te", "trailers")
}

fn trailers(name: &'static str, value: &str) -> Frame<Bytes> {
    Frame::trailers(HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]))
}

async fn text(answer: Response<Incoming>) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn http2_goes_on_as_http1_with_the_host_that_was_asked_for() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let port = world.service(mirror).await;
    let proxy = world.proxy(entry(port), &loader).await;
    let mut client = world.http2(proxy).await;
    let request = Request::post("http://llm.test:8000/v1/x?y=1").body(whole("{\"a\":1}")).unwrap();
    let answer = client.send_request(request).await.unwrap();
    assert_eq!((answer.version(), answer.status()), (Version::HTTP_2, StatusCode::OK));
    let seen = text(answer).await;
    assert!(seen.starts_with("POST /v1/x?y=1 HTTP/1.1\r\n"), "{seen}");
    assert!(seen.to_lowercase().contains("\r\nhost: llm.test:8000\r\n"), "{seen}");
    assert!(seen.contains("content-length: 7\r\n") && seen.ends_with("--\n{\"a\":1}"), "{seen}");
    // Cookies that HTTP/2 sends in several lines are one line of HTTP/1.1 (RFC 9113, section 8.2.3).
    let request = Request::get("http://a.test/").header("cookie", "a=1").header("cookie", "b=2");
    let answer = client.send_request(request.body(whole("")).unwrap()).await.unwrap();
    let seen = text(answer).await;
    assert!(seen.contains("cookie: a=1; b=2\r\n"), "{seen}");
    loader.serves(0).await;
}

#[tokio::test]
async fn grpc_passes_in_both_directions_at_the_same_time() {
    let (mut world, loader) = (World::new(), Loader::ready());
    // Answers each message before there is another one, and the trailers with trailers.
    let port = world
        .answers(|request| async move {
            assert_eq!((request.version(), request.uri().path()), (Version::HTTP_2, "/llm.Chat/Talk"));
            assert_eq!(request.uri().authority().unwrap(), "llm.test");
            assert_eq!(request.headers()["te"], "trailers");
            assert_eq!(request.headers()[CONTENT_TYPE], "application/grpc+proto");
            let (sender, body) = parts();
            tokio::spawn(async move {
                let mut request = request.into_body();
                while let Some(frame) = next(&mut request).await {
                    match frame.into_data() {
                        Ok(data) => sender.send(Frame::data(data)).unwrap(),
                        Err(frame) => {
                            let said = &frame.trailers_ref().unwrap()["x-said"];
                            assert_eq!(said, "bye");
                            sender.send(trailers("grpc-status", "0")).unwrap();
                        }
                    }
                }
            });
            Response::builder().header(CONTENT_TYPE, "application/grpc+proto").body(body).unwrap()
        })
        .await;
    let proxy = world.proxy(entry(port), &loader).await;
    let mut client = world.http2(proxy).await;
    let (sender, body) = parts();
    let answer = client.send_request(grpc("/llm.Chat/Talk").body(body).unwrap()).await.unwrap();
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));
    let mut answer = answer.into_body();
    for number in 0..100_u32 {
        let message = Bytes::copy_from_slice(&number.to_be_bytes());
        sender.send(Frame::data(message.clone())).unwrap();
        assert_eq!(next(&mut answer).await.unwrap().into_data().unwrap(), message);
    }
    loader.serves(1).await;
    sender.send(trailers("x-said", "bye")).unwrap();
    drop(sender);
    let last = next(&mut answer).await.unwrap().into_trailers().unwrap();
    assert_eq!(last["grpc-status"], "0");
    assert!(next(&mut answer).await.is_none());
    loader.serves(0).await;
}

#[tokio::test]
async fn a_grpc_error_without_a_message_passes() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let port = world
        .answers(|_| async {
            let answer = Response::builder().header(CONTENT_TYPE, "application/grpc");
            answer.header("grpc-status", "5").header("grpc-message", "no such model").body(whole("")).unwrap()
        })
        .await;
    let proxy = world.proxy(entry(port), &loader).await;
    let mut client = world.http2(proxy).await;
    let answer = client.send_request(grpc("/x").body(whole("")).unwrap()).await.unwrap();
    assert_eq!((&answer.headers()["grpc-status"], answer.status()), (&"5".parse().unwrap(), StatusCode::OK));
    assert_eq!(answer.headers()["grpc-message"], "no such model");
    loader.serves(0).await;
}

#[tokio::test]
async fn a_stream_that_its_client_resets_ends_at_the_service() {
    let (mut world, loader) = (World::new(), Loader::ready());
    let (ended, mut ends) = mpsc::unbounded_channel();
    let port = world
        .answers(move |_| {
            let (ended, (sender, body)) = (ended.clone(), parts());
            tokio::spawn(async move {
                sender.send(Frame::data("part".into())).unwrap();
                sender.closed().await;
                ended.send(()).unwrap();
            });
            std::future::ready(Response::new(body))
        })
        .await;
    let proxy = world.proxy(entry(port), &loader).await;
    let mut client = world.http2(proxy).await;
    for request in [grpc("/x"), Request::get("http://a.test/")] {
        let mut answer = client.send_request(request.body(whole("")).unwrap()).await.unwrap().into_body();
        assert_eq!(next(&mut answer).await.unwrap().into_data().unwrap(), "part");
        loader.serves(1).await;
        drop(answer);
        timeout(PATIENCE, ends.recv()).await.expect("it ends").unwrap();
        loader.serves(0).await;
    }
}
