//! Stands in a project's network in the place of a service that may not run, and hands every connection on to the
//! `docker orch` that loads services: through a socket that both see.
//!
//! `activator SERVICE PORT:WAKE…`, where `WAKE` is `data` (a connection is handed on once its client has sent something)
//! or `connect` (at once). What goes over the socket is a line, `SERVICE PORT CLIENT`, and from then on what both sides
//! send. It decides nothing, and needs nothing beside itself: it is the only file of its image.

use std::{
    env,
    io::{self, Read, Write},
    net::{IpAddr, Ipv6Addr, Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Where whoever loads services listens.
const SOCKET: &str = "/run/docker-orch/activate.sock";
/// One that is started anew listens again within this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries to reach it, and after no connection could be accepted.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a client may send nothing.
const SILENT: Duration = Duration::from_mins(5);
/// How long one that has its whole answer may send nothing.
const STALL: Duration = Duration::from_mins(1);
/// Connections at the same time; more are closed at once.
const CONNECTIONS: usize = 1000;
/// Two threads carry a connection; each needs a buffer and little else.
const STACK: usize = 128 << 10;
/// Bytes that are passed on at once.
const BUFFER: usize = 32 << 10;

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let Some(service) = arguments.next() else { return fails("no service is named") };
    let mut listeners = Vec::new();
    for argument in arguments {
        let parsed = argument
            .split_once(':')
            .and_then(|(port, wake)| Some((port.parse::<u16>().ok()?, wake == "data")));
        let Some((port, waits)) = parsed else { return fails(&format!("`{argument}` is no port")) };
        // Both families, where the network has both.
        let any = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
        match any.or_else(|_| TcpListener::bind(("0.0.0.0", port))) {
            Ok(listener) => listeners.push((listener, port, waits)),
            Err(error) => return fails(&format!("port {port}: {error}")),
        }
    }
    // One that nobody could ever hear stands in the way.
    if let Err(error) = reach() {
        return fails(&format!("{SOCKET}: {error}"));
    }
    let threads: Vec<_> = listeners
        .into_iter()
        .map(|(listener, port, waits)| {
            let service = service.clone();
            thread::spawn(move || accept(&listener, &service, port, waits))
        })
        .collect();
    for thread in threads {
        thread.join().ok();
    }
    fails("nothing is listened on")
}

fn fails(why: &str) -> ExitCode {
    eprintln!("activator: {why}");
    ExitCode::FAILURE
}

fn accept(listener: &TcpListener, service: &str, port: u16, waits: bool) {
    loop {
        match listener.accept() {
            Ok((client, from)) => {
                let Some(place) = Place::take() else { continue };
                let head = format!("{service} {port} {}\n", plain(from.ip()));
                // Where there is no thread left the connection is closed.
                spawn(move || {
                    carry(client, &head, waits).ok();
                    drop(place);
                });
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// One of the connections.
struct Place;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

impl Place {
    /// `None`: there are too many.
    fn take() -> Option<Self> {
        let place = (TAKEN.fetch_add(1, Ordering::Relaxed) < CONNECTIONS).then_some(Self);
        if place.is_none() {
            TAKEN.fetch_sub(1, Ordering::Relaxed);
        }
        place
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        TAKEN.fetch_sub(1, Ordering::Relaxed);
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> Option<thread::JoinHandle<()>> {
    thread::Builder::new().stack_size(STACK).spawn(work).ok()
}

/// An address of the older family, where it came as one of the newer.
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Carries one connection to its end.
fn carry(mut client: TcpStream, head: &str, waits: bool) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut first = head.as_bytes().to_vec();
    if waits {
        let mut buffer = vec![0; BUFFER];
        client.set_read_timeout(Some(SILENT))?;
        let count = client.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        first.extend_from_slice(&buffer[..count]);
    }
    client.set_read_timeout(Some(STALL))?;
    let mut loader = reach()?;
    let answered = Arc::new(AtomicBool::new(false));
    let is_answered = Arc::clone(&answered);
    loader.write_all(&first)?;
    let (client_reads, loader_writes) = (client.try_clone()?, loader.try_clone()?);
    let there = spawn(move || {
        pass(client_reads, &loader_writes, &is_answered);
        // An error means that it is closed already.
        loader_writes.shutdown(Shutdown::Write).ok();
    });
    pass(loader, &client, &AtomicBool::new(false));
    client.shutdown(Shutdown::Write).ok();
    answered.store(true, Ordering::Relaxed);
    if let Some(there) = there {
        there.join().ok();
    }
    Ok(())
}

/// Whoever loads services; it may just be started anew.
fn reach() -> io::Result<UnixStream> {
    let began = Instant::now();
    loop {
        match UnixStream::connect(SOCKET) {
            Err(_) if began.elapsed() < PATIENCE => thread::sleep(PAUSE),
            reached => return reached,
        }
    }
}

/// Passes everything on as it comes, until one side has ended; where the other way is `over`, until nothing comes.
fn pass(mut from: impl Read, mut to: impl Write, over: &AtomicBool) {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) if to.write_all(&buffer[..count]).is_ok() => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !over.load(Ordering::Relaxed) => {}
            _ => return,
        }
    }
}
