//! Many who ask at once for more models than there is room for, and a supervisor that is killed under them.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use crate::{
    ondemand::free_ports,
    support::stack::{PATIENCE, Stack},
};

const MODELS: [&str; 5] = ["m0", "m1", "m2", "m3", "m4"];
const CLIENTS: usize = 200;
const REQUESTS_EACH: usize = 5;

/// Five models with room for two of them, behind one address.
fn yaml(router: u16) -> String {
    let service = |name: &str| {
        format!(
            "
  {name}:
    image: docker-orch-example
    command: --port 80
    scale: 0
    stop_grace_period: 1s
    x-orch: {{load: on_demand, routes: [{{port: 80, router: openai}}], cold: {{queue: 1000}}, health_check: {{http: ':80/health', interval: 50ms}}}}"
        )
    };
    let services: String = MODELS.iter().copied().map(service).collect();
    format!(
        "
x-orch:
  on_demand: {{max_loaded: 2, min_resident: 0s}}
  routers: {{openai: {{listen: '127.0.0.1:{router}'}}}}
services:{services}
"
    )
}

/// The status line of an answer; `None`: there was none.
fn ask(port: u16, model: &str) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let body = format!("{{\"model\": \"{model}\"}}");
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.lines().next().map(str::to_owned)
}

#[test]
fn a_thousand_requests_for_five_models_with_room_for_two_are_all_answered() {
    let [router] = free_ports();
    let stack = Stack::new("ondemand-crowd", &yaml(router));
    let mut serve = stack.spawn("serve --dashboard 0");
    serve.until("listens in the project's networks for m0, m1, m2, m3, m4");
    let begin = Arc::new(Barrier::new(CLIENTS));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let begin = Arc::clone(&begin);
            thread::spawn(move || {
                begin.wait();
                let mut answers: BTreeMap<String, usize> = BTreeMap::new();
                for n in 0..REQUESTS_EACH {
                    let answer = ask(router, MODELS[(client + n) % MODELS.len()]);
                    *answers.entry(answer.unwrap_or_else(|| "nothing".to_owned())).or_default() += 1;
                }
                answers
            })
        })
        .collect();
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    for client in clients {
        for (answer, count) in client.join().expect("a client") {
            *answers.entry(answer).or_default() += count;
        }
    }
    let all = [("HTTP/1.1 200 OK".to_owned(), CLIENTS * REQUESTS_EACH)].into();
    assert_eq!(answers, all, "none is lost, none is refused");

    let running = stack.containers().iter().filter(|c| c.running && !c.name.ends_with("-activator")).count();
    assert!(running <= 2, "{running} are loaded, and there is room for two");
    for model in MODELS {
        let why = stack.run(&format!("why {model}")).code(0).out;
        assert!(why.contains("it was asked for") || why.contains("there is room"), "{why}");
        // Of those that went it is said for whom.
        assert!(!why.contains("is cold") || why.contains("it makes room for"), "{why}");
    }
    serve.signal("INT");
    serve.end().code(0);
}

#[test]
fn killed_under_load_the_next_one_takes_over_what_runs() {
    let [router] = free_ports();
    let stack = Stack::new("ondemand-killed", &yaml(router));
    let mut serve = stack.spawn("serve --dashboard 0");
    serve.until("listens in the project's networks");
    let loaded = ["m0", "m1"].map(|model| {
        assert_eq!(ask(router, model).as_deref(), Some("HTTP/1.1 200 OK"));
        stack.container(model).id
    });
    let ends = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..20)
        .map(|client| {
            let (ends, served) = (Arc::clone(&ends), Arc::clone(&served));
            thread::spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    // What was under way when it was killed has no answer; what has one is served.
                    if let Some(answer) = ask(router, MODELS[client % 2]) {
                        assert_eq!(answer, "HTTP/1.1 200 OK");
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    let more = |than: usize| {
        while served.load(Ordering::Relaxed) < than + 200 {
            assert!(!clients.iter().any(thread::JoinHandle::is_finished), "a client has failed");
            thread::yield_now();
        }
    };
    more(0);
    serve.kill();
    let before = served.load(Ordering::Relaxed);
    let mut serve = stack.spawn("serve --dashboard 0");
    serve.until("m0 is ready");
    more(before);
    ends.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("a client");
    }
    assert_eq!(["m0", "m1"].map(|model| stack.container(model).id), loaded, "they went on running");
    serve.signal("INT");
    serve.end().code(0);
}
