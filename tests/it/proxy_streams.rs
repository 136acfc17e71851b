//! Bodies that pass through the proxy: every part before there is another one, and every byte.

use std::sync::Arc;

use bytes::Bytes;
use docker_orch::proxy::Site;
use futures::{StreamExt as _, stream::FuturesUnordered};
use http::{Request, Response, Version, header::CONTENT_TYPE};
use hyper::body::{Frame, Incoming};
use tokio::{sync::Semaphore, time::timeout};

use crate::support::{
    chance::Random,
    door::{Body, Loader, PATIENCE, World, entry, next, parts, whole},
};

/// Streams at the same time.
const STREAMS: usize = 64;

/// A body that passes through, known to both ends.
struct Passing {
    parts: Vec<Bytes>,
    /// The parts that have come whole at the other end and of which that is not known yet.
    arrived: Semaphore,
}

impl Passing {
    /// Parts from one byte to what no buffer on the way can hold.
    fn random(random: &mut Random) -> Self {
        let parts = 2 + random.below(8);
        let part = |_| {
            let most = [20, 2_000, 100_000][usize::try_from(random.below(3)).unwrap()];
            let length = 1 + random.below(most);
            (0..length).map(|_| random.below(256).to_le_bytes()[0]).collect()
        };
        Self { parts: (0..parts).map(part).collect(), arrived: Semaphore::new(0) }
    }

    /// Events of a stream as servers send them.
    fn events(random: &mut Random) -> Self {
        let event = |_| format!("data: {{\"token\":\"{}\"}}\n\n", random.below(u64::MAX)).into();
        Self { parts: (0..20).map(event).collect(), arrived: Semaphore::new(0) }
    }

    /// A body of which each part is sent when the one before has come.
    fn begin(self: &Arc<Self>) -> Body {
        let (sender, body) = parts();
        let this = Arc::clone(self);
        tokio::spawn(async move {
            for part in &this.parts {
                // Nobody takes it where a test has failed.
                sender.send(Frame::data(part.clone())).ok();
                this.arrived.acquire().await.unwrap().forget();
            }
        });
        body
    }

    /// Takes it to its end.
    async fn arrive(&self, body: &mut Incoming) {
        for part in &self.parts {
            let mut bytes = Vec::new();
            while bytes.len() < part.len() {
                let frame = next(body).await.expect("there is more to come");
                bytes.extend(frame.into_data().expect("no trailers"));
            }
            assert!(bytes == *part, "{} bytes, and not those that were sent", bytes.len());
            self.arrived.add_permits(1);
        }
        // HTTP/2 may end with a frame of its own.
        while let Some(frame) = next(body).await {
            assert_eq!(frame.into_data().unwrap(), "", "nothing comes that was not sent");
        }
    }
}

fn all(passing: impl Fn(&mut Random) -> Passing) -> Arc<Vec<Arc<Passing>>> {
    let mut random = Random::new();
    Arc::new((0..STREAMS).map(|_| Arc::new(passing(&mut random))).collect())
}

/// The one that a request is about, by its path.
fn of(all: &[Arc<Passing>], path: &str) -> Arc<Passing> {
    Arc::clone(&all[path.trim_start_matches('/').parse::<usize>().unwrap()])
}

/// All of them end, and in time.
async fn ends(streams: impl IntoIterator<Item = impl Future<Output = ()>>) {
    let all: FuturesUnordered<_> = streams.into_iter().collect();
    let number = timeout(PATIENCE * 3, all.count()).await.expect("every stream ends");
    assert_eq!(number, STREAMS);
}

/// Answers with the body that is asked for.
fn sends(all: &Arc<Vec<Arc<Passing>>>) -> impl Fn(Request<Incoming>) -> Answered + Clone + Send + use<> {
    let all = Arc::clone(all);
    move |request| {
        let body = of(&all, request.uri().path()).begin();
        std::future::ready(Response::new(body))
    }
}

type Answered = std::future::Ready<Response<Body>>;

#[tokio::test]
async fn answers_pass_part_by_part_over_many_connections() {
    let (mut world, loader, all) = (World::new(), Loader::ready(), all(Passing::random));
    let port = world.answers(sends(&all)).await;
    let proxy = world.proxy(entry(port), &loader).await;
    let mut clients = Vec::new();
    for (number, passing) in all.iter().enumerate() {
        let mut client = world.http1(proxy).await;
        clients.push(async move {
            let request = Request::builder().uri(format!("/{number}")).header("host", "a");
            let answer = client.send_request(request.body(whole("")).unwrap()).await.unwrap();
            passing.arrive(&mut answer.into_body()).await;
        });
    }
    ends(clients).await;
    loader.serves(0).await;
}

#[tokio::test]
async fn answers_pass_part_by_part_over_one_connection_of_http2() {
    let (mut world, loader, all) = (World::new(), Loader::ready(), all(Passing::random));
    let port = world.answers(sends(&all)).await;
    let proxy = world.proxy(entry(port), &loader).await;
    let client = world.http2(proxy).await;
    ends(all.iter().enumerate().map(|(number, passing)| {
        let mut client = client.clone();
        async move {
            let request = Request::get(format!("http://a.test/{number}")).body(whole("")).unwrap();
            let answer = client.send_request(request).await.unwrap();
            assert_eq!(answer.version(), Version::HTTP_2);
            passing.arrive(&mut answer.into_body()).await;
        }
    }))
    .await;
    loader.serves(0).await;
}

#[tokio::test]
async fn what_clients_send_passes_part_by_part() {
    let (mut world, loader, all) = (World::new(), Loader::ready(), all(Passing::random));
    let known = Arc::clone(&all);
    let takes = move |request: Request<Incoming>| {
        let passing = of(&known, request.uri().path());
        async move {
            passing.arrive(&mut request.into_body()).await;
            Response::new(whole("taken"))
        }
    };
    let port = world.answers(takes).await;
    let proxy = world.proxy(entry(port), &loader).await;
    let (http2, mut clients) = (world.http2(proxy).await, Vec::new());
    for (number, passing) in all.iter().enumerate() {
        let (mut http1, mut http2) = (world.http1(proxy).await, http2.clone());
        clients.push(async move {
            let request = Request::post(format!("http://a.test/{number}")).header("host", "a.test");
            let request = request.body(passing.begin()).unwrap();
            let answer = match number % 2 {
                0 => http1.send_request(request).await,
                _ => http2.send_request(request).await,
            };
            assert_eq!(next(answer.unwrap().body_mut()).await.unwrap().into_data().unwrap(), "taken");
        });
    }
    ends(clients).await;
    loader.serves(0).await;
}

#[tokio::test]
async fn events_of_a_model_pass_one_by_one() {
    let (mut world, loader, all) = (World::new(), Loader::ready(), all(Passing::events));
    let sends = sends(&all);
    let port = world
        .answers(move |request| {
            let answer = sends(request);
            async move {
                let mut answer = answer.await;
                answer.headers_mut().insert(CONTENT_TYPE, "text/event-stream".parse().unwrap());
                answer
            }
        })
        .await;
    let site = Site { entries: vec![Arc::new(entry(port))], by_model: true, ..Site::default() };
    let proxy = world.site(site, &loader).await;
    let mut clients = Vec::new();
    for (number, passing) in all.iter().enumerate() {
        let mut client = world.http1(proxy).await;
        clients.push(async move {
            let request = Request::post(format!("/{number}")).header("host", "a");
            let request = request.body(whole(r#"{"model":"qwen","stream":true}"#)).unwrap();
            let answer = client.send_request(request).await.unwrap();
            assert_eq!(answer.headers()[CONTENT_TYPE], "text/event-stream");
            passing.arrive(&mut answer.into_body()).await;
        });
    }
    ends(clients).await;
    loader.serves(0).await;
}
