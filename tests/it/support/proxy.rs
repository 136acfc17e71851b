//! Between the program and the real engine: a socket that hands requests on, tells what they were, and does one of
//! them harm.
//!
//! One request for each connection: the engine is told to close after its answer, so an answer ends where its
//! connection does, and nothing has to be known of bodies.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// What a stream that does not end has to say comes within this.
const PAUSE: Duration = Duration::from_millis(300);

/// What can be done to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Harm {
    /// The engine never gets it; the answer is 500.
    Fail,
    /// The engine never gets it; there is no answer, and the connection stays.
    Stall,
    /// The engine never gets it; the connection is cut.
    Cut,
    /// The engine does it; the answer is 500.
    DoAndFail,
    /// The engine does it; there is no answer, and the connection stays.
    DoAndStall,
    /// The engine does it; the connection is cut before the answer.
    DoAndCut,
    /// The engine does it; the connection is cut in the middle of the answer.
    CutAnswer,
}

impl Harm {
    pub(crate) const ALL: [Self; 7] = [
        Self::Fail,
        Self::Stall,
        Self::Cut,
        Self::DoAndFail,
        Self::DoAndStall,
        Self::DoAndCut,
        Self::CutAnswer,
    ];
}

/// A request, by what it is: `POST /containers/*/start`, and how often that was asked before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Request {
    pub(crate) shape: String,
    pub(crate) nth: usize,
}

/// The socket; gone when it goes out of scope.
pub(crate) struct Proxy {
    folder: tempfile::TempDir,
    state: Arc<State>,
}

struct State {
    engine: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    counts: BTreeMap<String, usize>,
    requests: Vec<Request>,
    harm: Option<(Request, Harm)>,
    done: bool,
}

impl Proxy {
    /// A socket in front of the engine's, which does no harm yet.
    pub(crate) fn new(engine: PathBuf) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join("docker.sock")).expect("a socket");
        let state = Arc::new(State { engine, seen: Mutex::default() });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                // A connection that breaks is what this is for.
                thread::spawn(move || state.serve(client).ok());
            }
        });
        Self { folder, state }
    }

    /// The value of `DOCKER_HOST` that leads through it.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("docker.sock").display())
    }

    /// Counts from zero again, and does this harm to this request.
    pub(crate) fn arm(&self, harm: Option<(Request, Harm)>) {
        *self.state.seen.lock().unwrap() = Seen { harm, ..Seen::default() };
    }

    /// The requests since it was armed, and whether the harm was done.
    pub(crate) fn requests(&self) -> (Vec<Request>, bool) {
        let seen = self.state.seen.lock().unwrap();
        (seen.requests.clone(), seen.done)
    }
}

impl State {
    fn serve(&self, mut client: UnixStream) -> io::Result<()> {
        let Some((head, rest)) = read_head(&mut client)? else { return Ok(()) };
        let Some(harm) = self.note(&head) else { return self.hand_on(client, &head, &rest) };
        let done = matches!(harm, Harm::DoAndFail | Harm::DoAndStall | Harm::DoAndCut | Harm::CutAnswer);
        let answer = if done { self.ask(&mut client, &head, &rest)? } else { Vec::new() };
        match harm {
            Harm::Fail | Harm::DoAndFail => client.write_all(
                b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n\
                  Content-Length: 35\r\nConnection: close\r\n\r\n{\"message\":\"the test does it harm\"}",
            ),
            Harm::Stall | Harm::DoAndStall => io::copy(&mut client, &mut io::sink()).map(drop),
            Harm::Cut | Harm::DoAndCut => client.shutdown(Shutdown::Both),
            Harm::CutAnswer => {
                client.write_all(&answer[..answer.len() / 2])?;
                client.shutdown(Shutdown::Both)
            }
        }
    }

    /// Counts a request; what is to be done to it.
    fn note(&self, head: &str) -> Option<Harm> {
        let shape = shape(head);
        let mut seen = self.seen.lock().unwrap();
        let count = seen.counts.entry(shape.clone()).or_default();
        let request = Request { shape, nth: *count };
        *count += 1;
        let harm = seen.harm.as_ref().filter(|(target, _)| *target == request).map(|(_, harm)| *harm);
        seen.requests.push(request);
        seen.done |= harm.is_some();
        harm
    }

    /// A connection to the engine on which the request has been begun.
    fn begin(&self, head: &str, rest: &[u8]) -> io::Result<UnixStream> {
        let mut engine = UnixStream::connect(&self.engine)?;
        let upgrades = head.to_ascii_lowercase().contains("\r\nupgrade:");
        let lines = head.trim_end().split("\r\n");
        let kept = lines.filter(|l| upgrades || !l.to_ascii_lowercase().starts_with("connection:"));
        let mut text = kept.collect::<Vec<_>>().join("\r\n");
        text.push_str(if upgrades { "\r\n\r\n" } else { "\r\nConnection: close\r\n\r\n" });
        engine.write_all(text.as_bytes())?;
        engine.write_all(rest)?;
        Ok(engine)
    }

    /// Both ways, until both have ended.
    fn hand_on(&self, client: UnixStream, head: &str, rest: &[u8]) -> io::Result<()> {
        let mut engine = self.begin(head, rest)?;
        let (mut from_client, mut to_engine) = (client.try_clone()?, engine.try_clone()?);
        let upgrades = head.to_ascii_lowercase().contains("\r\nupgrade:");
        thread::spawn(move || {
            // One that has gone away says so to the engine.
            io::copy(&mut from_client, &mut to_engine).ok();
            to_engine.shutdown(if upgrades { Shutdown::Write } else { Shutdown::Both }).ok();
        });
        let mut to_client = client;
        let copied = io::copy(&mut engine, &mut to_client);
        to_client.shutdown(Shutdown::Both).ok();
        copied.map(drop)
    }

    /// The engine's whole answer; of one that does not end, the beginning.
    fn ask(&self, client: &mut UnixStream, head: &str, rest: &[u8]) -> io::Result<Vec<u8>> {
        let mut engine = self.begin(head, rest)?;
        let (mut from_client, mut to_engine) = (client.try_clone()?, engine.try_clone()?);
        thread::spawn(move || io::copy(&mut from_client, &mut to_engine).ok());
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match engine.read(&mut buffer) {
                Ok(0) => return Ok(answer),
                Ok(n) => answer.extend(&buffer[..n]),
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Ok(answer);
                }
                Err(e) => return Err(e),
            }
            // A body that does not end comes with its head.
            engine.set_read_timeout(Some(PAUSE))?;
        }
    }
}

/// The lines up to the empty one, and what has come of the body; `None`: the other side wants nothing.
fn read_head(client: &mut UnixStream) -> io::Result<Option<(String, Vec<u8>)>> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok(Some((String::from_utf8_lossy(&bytes).into_owned(), rest)));
        }
        match client.read(&mut buffer)? {
            0 => return Ok(None),
            n => bytes.extend(&buffer[..n]),
        }
    }
}

/// `POST /v1.51/containers/0123…/start?x` is `POST /containers/*/start`.
fn shape(head: &str) -> String {
    let mut words = head.split(' ');
    let method = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default().split('?').next().unwrap_or_default();
    let verbs = [
        "containers",
        "networks",
        "volumes",
        "images",
        "exec",
        "json",
        "create",
        "start",
        "stop",
        "kill",
        "wait",
        "rename",
        "archive",
        "logs",
        "connect",
        "disconnect",
        "events",
        "info",
        "version",
        "_ping",
        "auth",
    ];
    let parts = path.split('/').filter(|part| !part.is_empty() && !part.starts_with("v1."));
    let parts = parts.map(|part| if verbs.contains(&part) { part } else { "*" });
    format!("{method} /{}", parts.collect::<Vec<_>>().join("/"))
}
