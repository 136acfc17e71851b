//! Services that are loaded at their first request, on the real engine: `serve`, `load`, `unload`, `pin`, `why`.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    thread,
    time::{Duration, Instant},
};

use docker_orch::{ondemand::ServiceId, supervisor::doors};

use crate::support::{
    lab,
    stack::{PATIENCE, Running, Stack},
};

/// Ports of this machine that nobody has just now.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("its address").port())
}

/// Room for one of two models, `chat` and `speech`, each at a port of its own and behind a router; `store` speaks TCP.
fn yaml([chat, speech, router, store]: [u16; 4]) -> String {
    format!(
        "
x-orch:
  on_demand: {{max_loaded: 1, min_resident: 0s}}
  routers: {{openai: {{listen: '127.0.0.1:{router}'}}}}
services:
  db:
    image: docker-orch-example
    command: --tcp 5432 --ready-after 100ms
    x-orch: {{health_check: {{tcp: 5432}}}}
  chat: &model
    image: docker-orch-example
    command: --port 80 --ready-after 200ms
    scale: 0
    stop_grace_period: 1s
    ports: ['{chat}:80']
    depends_on: {{db: {{condition: service_healthy}}}}
    x-orch:
      load: on_demand
      routes: [{{port: 80}}, {{port: 80, router: openai, models: [qwen]}}]
      health_check: {{http: ':80/health'}}
  speech:
    <<: *model
    ports: ['{speech}:80']
    x-orch:
      load: on_demand
      routes: [{{port: 80}}, {{port: 80, router: openai, models: [whisper]}}]
      health_check: {{http: ':80/health'}}
  store:
    image: docker-orch-example
    command: --port 80
    scale: 0
    stop_grace_period: 1s
    ports: ['127.0.0.1:{store}:80']
    x-orch: {{load: on_demand, idle: {{stop_after: 500ms}}, routes: [{{port: 80, protocol: tcp}}], health_check: {{tcp: 80}}}}
"
    )
}

/// The whole answer to a request.
#[track_caller]
fn ask(port: u16, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("somebody who listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let length = body.len();
    write!(
        stream,
        "{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[track_caller]
fn shows(stack: &Stack, command: &str, words: &[&str]) {
    let shown = stack.run(command).code(0).out;
    for word in words {
        assert!(shown.contains(word), "no `{word}` in:\n{shown}");
    }
}

/// Waits until something holds.
#[track_caller]
fn until(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "it does not come to hold");
        thread::sleep(Duration::from_millis(50));
    }
}

#[track_caller]
fn is_served(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn the_first_request_loads_a_service_and_another_one_makes_room() {
    let ports: [u16; 4] = free_ports();
    let [chat, speech, router, store] = ports;
    let stack = Stack::new("ondemand-first", &yaml(ports));
    let up = stack.run("up -d").code(0);
    assert!(stack.containers().iter().all(|c| c.name.contains("-db-")), "{}", up.err);
    stack.run("why").code(1).says(&["nobody loads services of", "`docker orch serve` does, while it stays"]);

    let mut serve = stack.spawn("serve --dashboard 0");
    serve.until("listens on");
    serve.until("keeps watch");
    let first = ask(chat, "GET /health", "");
    is_served(&first);
    assert!(first.contains("x-orch-cold-start: 1"), "{first}");
    assert!(!ask(chat, "GET /health", "").contains("x-orch-cold-start"), "it is loaded already");
    shows(&stack, "why", &["chat      ready", "speech    cold"]);
    is_served(&ask(speech, "GET /health", ""));
    shows(&stack, "why chat", &["chat is cold", "it makes room for", "it was asked for"]);

    // Each waits for its turn, none is lost.
    let models = ["qwen", "whisper"];
    let asked: Vec<_> = (0..40)
        .map(|n| {
            let body = format!("{{\"model\": \"{}\"}}", models[n % 2]);
            thread::spawn(move || ask(router, "POST /v1/x", &body))
        })
        .collect();
    for one in asked {
        is_served(&one.join().expect("an answer"));
    }

    // Raw TCP: the first byte loads it, and it goes again when nobody uses it.
    is_served(&ask(store, "GET /", ""));
    serve.until("store is not loaded");
    assert!(!stack.container("store").running);
    serve.signal("INT");
    serve.end().code(0);
}

#[test]
fn what_runs_is_taken_over_and_what_is_wanted_by_hand_is_done() {
    let ports: [u16; 4] = free_ports();
    let [chat, speech, ..] = ports;
    let stack = Stack::new("ondemand-again", &yaml(ports));
    stack.run("up -d").code(0);
    let mut serve = stack.spawn("serve --dashboard 0");
    serve.until("keeps watch");
    stack.run("load chat").code(0);
    let loaded = stack.container("chat");
    serve.kill();

    let mut serve = stack.spawn("serve --dashboard 0");
    serve.until("chat is ready");
    assert!(!ask(chat, "GET /health", "").contains("x-orch-cold-start"));
    assert_eq!(stack.container("chat").id, loaded.id, "it went on running");
    stack.run("serve --dashboard 0").code(1).says(&[
        "`docker orch serve` (PID ",
        "loads services of",
        "on demand already",
    ]);

    stack.run("pin chat").code(0);
    let refused = thread::spawn(move || ask(speech, "GET /health", ""));
    serve.until("speech waits for room");
    shows(&stack, "why speech", &["speech is waiting"]);
    stack.run("unpin chat").code(0);
    is_served(&refused.join().expect("an answer"));
    stack.run("unload speech").code(0);
    serve.until("speech is not loaded");
    assert!(!stack.container("speech").running);
    stack
        .run("load nothing")
        .code(1)
        .says(&["`nothing` is no service that is loaded on demand", "chat, speech, store"]);

    // Stopped by somebody else: noticed, and loaded again at the next request.
    stack.run("load chat").code(0);
    stack.docker(&["kill", &stack.container("chat").id]);
    serve.until("chat failed");
    stack.run("load chat").code(0);
    is_served(&ask(chat, "GET /health", ""));
    serve.signal("INT");
    serve.end().code(0);
}

#[test]
fn an_attached_up_loads_on_demand_until_it_ends() {
    let ports: [u16; 4] = free_ports();
    let [chat, .., store] = ports;
    let stack = Stack::new("ondemand-attached", &yaml(ports));

    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, chat)).expect("a port");
    stack.run("up").code(1).says(&[&format!("failed to listen on 127.0.0.1:{chat}")]);
    assert_eq!(stack.containers().len(), 0, "it is told before anything is started");
    drop(taken);

    let mut up = stack.spawn("up");
    up.until(&format!("listens on 127.0.0.1:{chat}"));
    // Who comes too early waits.
    let first = ask(chat, "GET /health", "");
    is_served(&first);
    assert!(first.contains("x-orch-cold-start: 1"), "{first}");
    shows(&stack, "why", &["chat      ready"]);
    stack.run("serve --dashboard 0").code(1).says(&["`docker orch up` (PID ", "on demand already"]);
    is_served(&ask(store, "GET /", ""));
    up.until("on demand  | store is ready");
    up.signal("INT");
    let ended = up.end();
    ended.code(130);
    assert!(stack.containers().iter().all(|c| !c.running), "what was loaded ends with the rest");
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, chat)).is_err(), "nobody listens any more");

    stack
        .run("up -d")
        .code(0)
        .says(&["chat, speech, store: loaded at the first request, while `docker orch serve` stays"]);
}

#[test]
fn other_services_reach_one_by_its_name_while_nothing_of_it_runs() {
    let ports: [u16; 4] = free_ports();
    let stack = Stack::new("ondemand-names", &yaml(ports));
    stack.run("up -d").code(0);
    let db = stack.container("db").id;
    let asks = |url: &str| stack.docker(&["exec", &db, "curl", "-fsS", url]);
    let activators = || stack.containers().iter().filter(|c| c.name.ends_with("-activator")).count();

    let mut serve = stack.spawn("serve --dashboard 0");
    serve.until("listens in the project's networks for chat, speech, store");
    // Raw TCP, then HTTP.
    asks("http://store:80/health");
    asks("http://chat:80/health");
    shows(&stack, "why", &["chat      ready"]);
    assert_eq!(activators(), 3);
    // Taken down and started again under it: they stand again, with the new network.
    stack.run("down").code(0);
    assert_eq!(stack.containers().len(), 0);
    stack.run("up -d").code(0);
    let db = stack.container("db").id;
    let asks = |url: &str| stack.docker(&["exec", &db, "curl", "-fsS", url]);
    until(|| activators() == 3);
    asks("http://speech:80/health");
    // Nobody takes one for a container of the project that `up` keeps.
    stack.run("up -d").code(0);
    assert_eq!(activators(), 3);

    // Killed: the next one takes over what runs, and activators come to it.
    let loaded = stack.container("speech").id;
    serve.kill();
    let stood = stack.container_named("speech-activator").started;
    let mut serve = stack.spawn("serve --dashboard 0");
    serve.until("speech is ready");
    asks("http://speech:80/health");
    assert_eq!((stack.container("speech").id, activators()), (loaded, 3));
    assert_eq!(
        stack.container_named("speech-activator").started,
        stood,
        "what stands as it should is left alone"
    );

    serve.signal("INT");
    serve.end().code(0);
    assert_eq!(activators(), 0);

    // One that was killed is in nobody's way.
    let mut serve = stack.spawn("serve --dashboard 0");
    serve.until("listens in the project's networks");
    serve.kill();
    assert_eq!(activators(), 3);
    stack.run("down").code(0);
    assert_eq!(stack.containers().len(), 0);
}

#[test]
fn of_many_that_begin_at_once_one_stays() {
    // Nobody listens anywhere for it: only what they know of each other keeps them apart.
    let stack = Stack::new(
        "ondemand-once",
        "services: {model: {image: docker-orch-example, scale: 0, x-orch: {load: manual}}}",
    );
    let mut all: Vec<_> = (0..16).map(|_| stack.spawn("serve --dashboard 0")).collect();
    let stays: Vec<bool> = all.iter_mut().map(|one| one.let_run(1, Duration::from_millis(500))).collect();
    assert_eq!(stays.iter().filter(|stays| **stays).count(), 1, "{stays:?}");
    shows(&stack, "why", &["model     cold"]);
    let (mut one, others): (Vec<_>, Vec<_>) = all.into_iter().zip(stays).partition(|(_, stays)| *stays);
    for (other, _) in others {
        other.end().code(1).says(&["`docker orch serve` (PID ", "loads services of", "on demand already"]);
    }
    // Who is killed is nobody's hindrance.
    one.remove(0).0.kill();
    let mut next = stack.spawn("serve --dashboard 0");
    next.until("nothing runs");
    shows(&stack, "why", &["model     cold"]);
    next.signal("INT");
    next.end().code(0);
}

#[test]
fn what_can_never_fit_is_refused_at_once() {
    let [port] = free_ports::<1>();
    let stack = Stack::new(
        "ondemand-fit",
        &format!(
            "
services:
  large:
    image: docker-orch-example
    scale: 0
    gpus: [{{device_ids: ['0']}}]
    ports: ['{port}:80']
    x-orch: {{load: on_demand, vram: 40GiB, routes: [{{port: 80}}], health_check: {{http: ':80/health'}}}}
"
        ),
    );
    stack.write("gpus.json", r#"[{"uuid": "GPU-a", "total": 25769803776, "free": 24696061952}]"#);
    let mut serve = stack.orch("serve --dashboard 0");
    serve.env("DOCKER_ORCH_GPUS", format!("fake:{}", stack.folder().join("gpus.json").display()));
    let mut serve = Running::spawn(serve);
    serve.until("nothing runs");
    let answer = ask(port, "GET /", "");
    assert!(answer.starts_with("HTTP/1.1 507 ") && answer.contains("insufficient_vram"), "{answer}");
    shows(&stack, "why large", &["large is blocked", "40 GiB"]);
    assert!(stack.containers().iter().all(|c| c.name.ends_with("-activator")));
    serve.signal("INT");
    serve.end().code(0);
}

#[test]
fn where_services_are_listened_for_follows_from_the_file() {
    let doors = |yaml: &str| {
        let project = lab::project(yaml);
        let ids = (0u32..).zip(project.services.keys()).map(|(n, name)| (name.clone(), ServiceId(n)));
        doors(&project, &ids.collect())
    };
    let service = |name: &str, more: &str| {
        format!(
            "  {name}: {{image: x, scale: 0, {more}, x-orch: {{load: on_demand, health_check: {{http: ':80/'}}}}}}\n"
        )
    };
    let one =
        doors(&format!("services:\n{}", service("a", "ports: ['8000:80', '0.0.0.0:8001:81']"))).unwrap();
    let listen: Vec<String> = one.iter().map(|door| door.listen.to_string()).collect();
    assert_eq!(listen, ["0.0.0.0:8001", "127.0.0.1:8000"], "this machine only, unless an address is named");
    assert_eq!((one[0].site.entries[0].port, one[1].site.entries[0].port), (81, 80));
    let range = doors(&format!("services:\n{}", service("a", "ports: [{target: 80, published: 8000-8010}]")));
    assert!(range.unwrap_err().contains("needs one port"));
    let raw =
        "services:\n  a: &a {image: x, scale: 0, ports: ['8000:80'], x-orch: {load: on_demand}}\n  b: *a\n";
    let shared = doors(raw).unwrap_err();
    assert!(shared.contains("both want 127.0.0.1:8000, and only HTTP can be shared"), "{shared}");
}

#[test]
fn where_the_file_names_tenants_their_keys_are_asked_for() {
    let [port] = free_ports::<1>();
    let yaml = |top: &str| {
        format!(
            "{top}
services:
  chat:
    image: docker-orch-example
    command: --port 80
    scale: 0
    stop_grace_period: 1s
    ports: ['0.0.0.0:{port}:80']
    x-orch: {{load: on_demand, routes: [{{port: 80}}], health_check: {{http: ':80/health'}}}}
"
        )
    };
    let stack = Stack::new("ondemand-keys", &yaml(""));
    let mut serve = stack.spawn("serve --dashboard 0");
    serve.until(&format!("warning: other machines can reach 0.0.0.0:{port}, and nobody needs a key there"));
    serve.signal("INT");
    serve.end().code(0);

    let tenants = "x-orch:\n  tenants:\n    acme: {tier: one, key_file: ./acme.key}\n  tiers: {one: {requests: {inflight: 1}}}";
    stack.write("compose.yaml", &yaml(tenants));
    let missing = "there is no key for tenant `acme`";
    stack.run("serve --dashboard 0").code(2).says(&[missing, "acme.key does not exist", "compose.yaml:3:"]);
    assert!(stack.run("doctor").code(1).out.contains(missing));
    stack.write("acme.key", "key-of-acme-0001\n");
    fs::set_permissions(stack.folder().join("acme.key"), fs::Permissions::from_mode(0o644)).expect("a mode");
    let mut serve = stack.spawn("serve --dashboard 0");
    serve.until("everybody on this machine can read the key of tenant `acme`");
    serve.until("asks for the keys of acme");
    serve.until("nothing runs");
    let answer = ask(port, "GET /v1/models", "");
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("missing_api_key"), "{answer}");
    assert_eq!(stack.containers().len(), 0, "it wakes nothing");
    is_served(&ask(port, "GET /health HTTP/1.1\r\nAuthorization: Bearer key-of-acme-0001\r\nX:", ""));
    shows(&stack, "why", &["acme      0           1         1          0", "refused for want of a key: 1"]);
    serve.signal("INT");
    serve.end().code(0);
}
