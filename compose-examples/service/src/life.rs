//! The life of the service: load, listen, become ready, end; and its signals.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::grpc;
use crate::http;
use crate::options::Options;
use crate::report::State;

/// Runs the service; the answer is its exit code.
pub(crate) fn run(options: Options) -> i32 {
    let mut signals = Signals::catch();
    let state = Arc::new(State::new(options));
    let worker = Arc::clone(&state);
    std::thread::spawn(move || std::process::exit(live(&worker)));
    loop {
        let signal = signals.wait();
        if state.options.ignore_term {
            say(&state, &format!("ignoring signal {signal}"));
            continue;
        }
        say(&state, &format!("stopping on signal {signal}"));
        std::thread::sleep(state.options.term_after);
        if state.options.drain {
            http::drain(&state);
        }
        say(&state, "stopped");
        return state.options.term_code;
    }
}

/// Waits, and stops at once when told to.
pub(crate) fn sleep(time: Duration) {
    let mut signals = Signals::catch();
    std::thread::spawn(move || {
        signals.wait();
        std::process::exit(143);
    });
    std::thread::sleep(time);
}

/// Everything up to ready, then for ever, or until the service ends by itself.
fn live(state: &Arc<State>) -> i32 {
    let options = &state.options;
    say(state, "started");
    for line in &options.log {
        println!("{line}");
    }
    if let Err(message) = entry(options) {
        say(state, &message);
        return 1;
    }
    repeat_log(state);
    if let Some(at) = options.exit_after {
        let (state, code) = (Arc::clone(state), options.exit_code);
        std::thread::spawn(move || {
            wait_until(&state, at);
            say(&state, &format!("exiting with {code}"));
            std::process::exit(code);
        });
    }
    burn(options.load);
    let taken = take(options.memory);
    wait_until(state, options.listen_after);
    for port in &options.ports {
        match TcpListener::bind((options.bind.as_str(), *port)) {
            Ok(listener) => {
                let state = Arc::clone(state);
                std::thread::spawn(move || http::serve(listener, state));
            }
            Err(error) => return cannot_listen(state, *port, &error),
        }
    }
    for port in &options.grpc {
        match TcpListener::bind((options.bind.as_str(), *port)) {
            Ok(listener) => {
                let state = Arc::clone(state);
                std::thread::spawn(move || grpc::serve(&listener, &state));
            }
            Err(error) => return cannot_listen(state, *port, &error),
        }
    }
    if !options.ports.is_empty() {
        say(state, "listening");
    }
    let Some(ready_after) = options.ready_after else {
        rest();
    };
    wait_until(state, ready_after);
    for port in &options.tcp {
        match TcpListener::bind((options.bind.as_str(), *port)) {
            Ok(listener) => drop(std::thread::spawn(move || echo(&listener))),
            Err(error) => return cannot_listen(state, *port, &error),
        }
    }
    for (file, text) in &options.write {
        if let Err(error) = std::fs::write(file, format!("{text}\n")) {
            say(state, &format!("cannot write {file}: {error}"));
            return 1;
        }
    }
    state.ready.store(true, Ordering::SeqCst);
    for line in &options.log_when_ready {
        println!("{line}");
    }
    say(state, "ready");
    if options.oneshot {
        return options.exit_code;
    }
    drop(taken);
    rest();
}

/// What must hold before the service does anything.
fn entry(options: &Options) -> Result<(), String> {
    if options.fail_starts > 0 {
        let before: u32 =
            std::fs::read_to_string(&options.state).ok().and_then(|t| t.trim().parse().ok()).unwrap_or(0);
        std::fs::write(&options.state, (before + 1).to_string())
            .map_err(|error| format!("cannot write {}: {error}", options.state))?;
        if before < options.fail_starts {
            return Err(format!("failing start {} of {}", before + 1, options.fail_starts));
        }
    }
    for (file, text) in &options.expect {
        let found = std::fs::read_to_string(file).map_err(|error| format!("expected {file}: {error}"))?;
        if !found.contains(text) {
            return Err(format!("expected '{text}' in {file}"));
        }
    }
    for address in &options.requires {
        http::connect(address, Duration::from_secs(2))
            .map_err(|error| format!("required {address} cannot be reached: {error}"))?;
    }
    Ok(())
}

fn repeat_log(state: &Arc<State>) {
    let Some(pause) = state.options.log_every else { return };
    let state = Arc::clone(state);
    std::thread::spawn(move || {
        for count in 1_u64.. {
            std::thread::sleep(pause.max(Duration::from_millis(1)));
            for line in &state.options.log {
                println!("{line}");
            }
            if state.options.log.is_empty() {
                say(&state, &format!("still here, {count}"));
            }
        }
    });
}

fn cannot_listen(state: &State, port: u16, error: &std::io::Error) -> i32 {
    say(state, &format!("cannot listen on {port}: {error}"));
    1
}

/// Sends back what comes in, connection after connection.
fn echo(listener: &TcpListener) {
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || {
            let (mut reader, mut writer) = (&stream, &stream);
            drop(std::io::copy(&mut reader, &mut writer));
        });
    }
}

fn burn(time: Duration) {
    let until = Instant::now() + time;
    let mut number = 1_u64;
    while Instant::now() < until {
        for _ in 0..10_000 {
            number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    }
}

/// Memory that is really there: each page is written.
fn take(size: usize) -> Vec<u8> {
    let mut memory = Vec::with_capacity(size);
    memory.resize(size, 1);
    std::hint::black_box(memory)
}

fn wait_until(state: &State, at: Duration) {
    std::thread::sleep(at.saturating_sub(state.age()));
}

fn rest() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// One line with the wall clock and the age of the process, both in seconds.
fn say(state: &State, what: &str) {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    let line = format!("{what} (at {:.6}, after {:.3})\n", wall.as_secs_f64(), state.age().as_secs_f64());
    drop(out.write_all(line.as_bytes()));
    drop(out.flush());
}

/// SIGTERM and SIGINT as bytes in a pipe: as the first process of a container the service gets no default action.
pub(crate) struct Signals {
    pipe: std::io::PipeReader,
}

static SIGNAL_PIPE: AtomicI32 = AtomicI32::new(-1);

unsafe extern "C" {
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
    fn write(fd: i32, bytes: *const u8, count: usize) -> isize;
}

extern "C" fn on_signal(number: i32) {
    let byte = u8::try_from(number).unwrap_or(0);
    // SAFETY: write(2) may be called in a signal handler, and the byte outlives the call.
    unsafe {
        write(SIGNAL_PIPE.load(Ordering::SeqCst), &raw const byte, 1);
    }
}

impl Signals {
    pub(crate) fn catch() -> Self {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        debug_assert!(writer.as_raw_fd() >= 0);
        SIGNAL_PIPE.store(writer.into_raw_fd(), Ordering::SeqCst);
        for number in [2, 15] {
            // SAFETY: the handler is async-signal-safe and lives as long as the process.
            unsafe {
                signal(number, on_signal);
            }
        }
        Self { pipe: reader }
    }

    pub(crate) fn wait(&mut self) -> u8 {
        let mut byte = [0];
        match self.pipe.read_exact(&mut byte) {
            Ok(()) => byte[0],
            Err(_) => rest(),
        }
    }
}
