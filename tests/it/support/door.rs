//! A proxy in front of services that a test plays itself: over real connections on this machine.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use docker_orch::{
    ondemand::{Refusal, ServiceId, State, Wait},
    project::{ColdMode, Protocol, WakeOn},
    proxy::{Activation, Admission, Entry, Serving, Site, serve},
};
use futures::{FutureExt as _, future::BoxFuture};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};

pub(crate) const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Longer than anything here takes, on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Whoever loads services: they are ready when the test says so.
#[derive(Clone)]
pub(crate) struct Loader {
    pub(crate) ready: watch::Sender<Option<Result<(), Refusal>>>,
    pub(crate) asked: Arc<AtomicUsize>,
    pub(crate) serving: watch::Sender<usize>,
}

impl Loader {
    pub(crate) fn new() -> Self {
        Self { ready: watch::Sender::new(None), asked: Arc::default(), serving: watch::Sender::new(0) }
    }

    pub(crate) fn ready() -> Self {
        let this = Self::new();
        this.ready.send_replace(Some(Ok(())));
        this
    }

    /// How many wait until the service is ready.
    pub(crate) fn asking(&self) -> usize {
        self.ready.receiver_count()
    }

    /// How many are served now.
    pub(crate) fn served(&self) -> usize {
        *self.serving.borrow()
    }

    pub(crate) async fn serves(&self, number: usize) {
        let mut serving = self.serving.subscribe();
        timeout(PATIENCE, serving.wait_for(|now| *now == number)).await.expect("so many are served").unwrap();
    }
}

impl Activation for Loader {
    fn ask(&self, _: ServiceId, wait: Wait) -> BoxFuture<'static, Result<Admission, Refusal>> {
        let (mut ready, serving) = (self.ready.subscribe(), self.serving.clone());
        self.asked.fetch_add(1, Ordering::Relaxed);
        async move {
            let was_ready = ready.borrow().is_some();
            if wait == Wait::ComeAgain && !was_ready {
                return Err(Refusal::Loading { retry_after: Duration::from_millis(2500) });
            }
            ready.wait_for(Option::is_some).await.unwrap().clone().unwrap()?;
            serving.send_modify(|now| *now += 1);
            let waited = if was_ready { Duration::ZERO } else { Duration::from_millis(1234) };
            let serving = Serving::until(move || serving.send_modify(|now| *now -= 1));
            Ok(Admission { address: LOCAL, waited, serving })
        }
        .boxed()
    }

    fn state(&self, _: ServiceId) -> Option<State> {
        Some(if self.ready.borrow().is_some() { State::Ready } else { State::Cold })
    }
}

/// The one service, behind a port of this machine.
pub(crate) fn entry(port: u16) -> Entry {
    Entry {
        service: ServiceId(1),
        name: "llm".to_owned(),
        port,
        protocol: Protocol::Http,
        host: None,
        path: None,
        models: vec!["qwen".to_owned()],
        cold: ColdMode::Hold,
        wake_on: WakeOn::Data,
        closed: vec!["/sleep".to_owned()],
        pass_key: false,
    }
}

/// Any body.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// All of a body at once.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// A body that is sent part by part, until its sender is dropped.
pub(crate) fn parts() -> (mpsc::UnboundedSender<Frame<Bytes>>, Body) {
    let (sender, parts) = mpsc::unbounded_channel();
    let stream = futures::stream::unfold(parts, async |mut parts: mpsc::UnboundedReceiver<_>| {
        let part = parts.recv().await?;
        Some((Ok(part), parts))
    });
    (sender, StreamBody::new(stream).boxed_unsync())
}

/// The next bytes of a body; `None`: it has ended.
pub(crate) async fn next(body: &mut Incoming) -> Option<Frame<Bytes>> {
    let frame = timeout(PATIENCE, body.frame()).await.expect("it comes in time");
    frame.map(|frame| frame.expect("it does not break"))
}

/// Listeners and their connections: all end with it.
pub(crate) struct World {
    pub(crate) tasks: JoinSet<()>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { tasks: JoinSet::new() }
    }

    /// A service that does this with every connection.
    pub(crate) async fn service<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        talk: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> u16 {
        let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        self.tasks.spawn(async move {
            let mut talks = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                talks.spawn(talk(stream));
            }
        });
        port
    }

    /// A service that answers requests, in HTTP/1.1 and in HTTP/2.
    pub(crate) async fn answers<F: Future<Output = Response<Body>> + Send + 'static>(
        &mut self,
        answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    ) -> u16 {
        self.service(move |stream| {
            let answer = answer.clone();
            async move {
                let service = service_fn(move |request| answer(request).map(Ok::<_, Infallible>));
                let server = auto::Builder::new(TokioExecutor::new());
                // A proxy that hangs up is the test's business.
                server.serve_connection(TokioIo::new(stream), service).await.ok();
            }
        })
        .await
    }

    /// A client's connection that speaks HTTP/1.1.
    pub(crate) async fn http1(&mut self, address: SocketAddr) -> http1::SendRequest<Body> {
        let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (requests, connection) = http1::handshake(stream).await.unwrap();
        self.tasks.spawn(connection.map(drop));
        requests
    }

    /// A client's connection that speaks HTTP/2 from the first byte.
    pub(crate) async fn http2(&mut self, address: SocketAddr) -> http2::SendRequest<Body> {
        let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (requests, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        self.tasks.spawn(connection.map(drop));
        requests
    }

    pub(crate) async fn proxy(&mut self, entry: Entry, loader: &Loader) -> SocketAddr {
        self.site(Site { entries: vec![Arc::new(entry)], ..Site::default() }, loader).await
    }

    pub(crate) async fn site(&mut self, site: Site, loader: &Loader) -> SocketAddr {
        let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        self.tasks.spawn(serve(listener, Arc::new(site), Arc::new(loader.clone())));
        address
    }
}

/// Reads until the text holds this.
pub(crate) async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    let read = async {
        while !text.contains(end) {
            let n = stream.read(&mut buffer).await.unwrap();
            assert!(n > 0, "the connection ended after {text:?}");
            text.push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    };
    timeout(PATIENCE, read).await.expect("it comes in time");
    text
}

pub(crate) async fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("it ends in time").unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends a whole request and gives the whole answer.
pub(crate) async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    read_all(&mut stream).await
}

pub(crate) fn get(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: llm.test\r\nConnection: close\r\n{more}\r\n")
}

pub(crate) fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: llm.test\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

/// Answers one request with what it got, head and body.
pub(crate) async fn mirror(mut stream: TcpStream) {
    let head = read_until(&mut stream, "\r\n\r\n").await;
    let (head, mut body) = head.split_once("\r\n\r\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let length = head.lines().find_map(|l| l.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    while body.len() < length.unwrap_or(0) {
        body += &read_until(&mut stream, "").await;
        let mut more = vec![0; length.unwrap_or(0) - body.len()];
        stream.read_exact(&mut more).await.unwrap();
        body += &String::from_utf8(more).unwrap();
    }
    let text = format!("{head}\n--\n{body}");
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    stream.write_all(answer.as_bytes()).await.unwrap();
}

/// Lets so many seconds pass, one by one, with all that happens meanwhile. Time goes on as always before and after.
pub(crate) async fn pass(seconds: u64) {
    // What has come over a connection is seen at the next turn, and has others send something in turn.
    const TURNS: usize = 40;
    tokio::time::pause();
    for _ in 0..seconds {
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    }
    tokio::time::resume();
}
