//! As much HTTP as health checks need: a server that answers one request per connection, and a probe.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::report::State;

/// Answers requests, one thread for each connection, until the service drains: then it takes what has come, and no more.
pub(crate) fn serve(listener: TcpListener, state: Arc<State>) {
    state.under_way.fetch_add(1, Ordering::SeqCst);
    while let Some(stream) = next(&listener, &state) {
        let state = Arc::clone(&state);
        state.under_way.fetch_add(1, Ordering::SeqCst);
        std::thread::spawn(move || {
            drop(answer(&stream, &state));
            drop(stream);
            state.under_way.fetch_sub(1, Ordering::SeqCst);
        });
    }
    drop(listener);
    state.under_way.fetch_sub(1, Ordering::SeqCst);
}

/// The next connection; `None` once the service drains and none waits.
fn next(listener: &TcpListener, state: &State) -> Option<TcpStream> {
    loop {
        let draining = state.draining.load(Ordering::SeqCst);
        if listener.set_nonblocking(draining).is_err() {
            return None;
        }
        match listener.accept() {
            Ok((stream, _)) if stream.set_nonblocking(false).is_ok() => return Some(stream),
            Err(error) if draining && error.kind() == std::io::ErrorKind::WouldBlock => return None,
            Ok(_) | Err(_) => {}
        }
    }
}

/// Closes the ports as soon as what has come is taken, and waits until all of it is answered.
pub(crate) fn drain(state: &State) {
    state.draining.store(true, Ordering::SeqCst);
    for port in &state.options.ports {
        // Whoever waits for a connection gets one, and looks again.
        drop(TcpStream::connect((state.options.bind.as_str(), *port)));
    }
    while state.under_way.load(Ordering::SeqCst) > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn answer(stream: &TcpStream, state: &State) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    let mut words = first.split_whitespace();
    let (method, target) = (words.next().unwrap_or("GET"), words.next().unwrap_or("/"));
    let path = target.split('?').next().unwrap_or(target);
    if state.is_hanging() && !path.starts_with("/control/") {
        std::thread::sleep(Duration::from_secs(24 * 3600));
    }
    let (code, body) = route(method, path, state);
    let kind = if body.starts_with('{') { "application/json" } else { "text/plain" };
    let reason = match code {
        200 => "OK",
        404 => "Not Found",
        _ => "Service Unavailable",
    };
    let body_sent = if method == "HEAD" { "" } else { body.as_str() };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {code} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body_sent}",
        body.len()
    )
}

fn route(method: &str, path: &str, state: &State) -> (u16, String) {
    if path == "/health" || path == "/health/" {
        return (state.status().code(), state.report());
    }
    let stage = path.strip_prefix("/health/").or_else(|| (path == "/ready").then_some("ready"));
    if let Some(name) = stage {
        return match state.stage(name) {
            Some(true) => (200, format!("{name} ok\n")),
            Some(false) => (503, format!("{name} not yet\n")),
            None => (404, format!("no stage or dependency {name}\n")),
        };
    }
    if let Some(order) = path.strip_prefix("/control/") {
        return control(order, state);
    }
    let code = if state.is_ready() { 200 } else { 503 };
    (code, format!("{} {method} {path}\n", state.options.name))
}

fn control(order: &str, state: &State) -> (u16, String) {
    match order {
        "fail" => state.failing.store(true, Ordering::SeqCst),
        "degrade" => state.degraded.store(true, Ordering::SeqCst),
        "hang" => state.hanging.store(true, Ordering::SeqCst),
        "recover" => {
            state.failing.store(false, Ordering::SeqCst);
            state.degraded.store(false, Ordering::SeqCst);
            state.hanging.store(false, Ordering::SeqCst);
        }
        _ => match order.strip_prefix("exit/").and_then(|code| code.parse().ok()) {
            Some(code) => std::process::exit(code),
            None => return (404, format!("no order {order}\n")),
        },
    }
    (200, "done\n".to_owned())
}

/// Connects to `host:port`, or `:port` on this machine.
pub(crate) fn connect(address: &str, limit: Duration) -> std::io::Result<TcpStream> {
    let address = if address.starts_with(':') { format!("127.0.0.1{address}") } else { address.to_owned() };
    let mut last = std::io::Error::other(format!("{address}: no address found"));
    for found in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&found, limit) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// `probe URL`, `curl -f URL`, `wget -q --spider URL`: flags that only change the output are accepted. Exit code 0 for 2xx,
/// 22 for another status as `curl -f` has it, 1 where no answer came.
pub(crate) fn probe(args: &[String]) -> i32 {
    let (mut url, mut method, mut limit) = (None, "GET".to_owned(), Duration::from_secs(5));
    let mut show = false;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "-X" | "--request" => method = args.next().cloned().unwrap_or(method),
            "-m" | "--max-time" | "--timeout" | "--connect-timeout" | "-T" => {
                if let Some(Ok(time)) = args.next().map(|t| crate::options::duration(t)) {
                    limit = time;
                }
            }
            "-o" | "-O" | "--output" | "-H" | "--header" | "--retry" => drop(args.next()),
            "--show" => show = true,
            flag if flag.starts_with('-') => {}
            word => url = Some(word.to_owned()),
        }
    }
    let Some(url) = url else {
        eprintln!("probe: expected a URL");
        return 2;
    };
    match request(&url, &method, limit) {
        Ok((code, body)) => {
            if show {
                print!("{body}");
            }
            if (200..300).contains(&code) {
                return 0;
            }
            eprintln!("probe: {url}: {code} {}", body.lines().next().unwrap_or_default());
            22
        }
        Err(error) => {
            eprintln!("probe: {url}: {error}");
            1
        }
    }
}

pub(crate) fn request(url: &str, method: &str, limit: Duration) -> std::io::Result<(u16, String)> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let (host, path) = rest.split_once('/').map_or((rest, "/".to_owned()), |(h, p)| (h, format!("/{p}")));
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let mut stream = connect(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let code = answer.split_whitespace().nth(1).and_then(|c| c.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned());
    code.map(|code| (code, body)).ok_or_else(|| std::io::Error::other("not an HTTP answer"))
}
