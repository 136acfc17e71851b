//! Real model servers on demand: two of llama.cpp's, with room for one.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use regex::Regex;
use serde_json::Value;

use crate::{
    ondemand::free_ports,
    support::{
        chance::Random,
        docker::has_llama,
        gguf::{self, WORDS},
        http::ask,
        stack::{PATIENCE, Running, Stack},
    },
};

/// Each has more than half of the one GPU, and so little of the processor that it is seen to load and to speak.
fn yaml(router: SocketAddr) -> String {
    let service = |name: &str| {
        format!(
            "
  {name}:
    image: docker-orch-llama
    command: --model /models/words.gguf --alias {name} --port 8081
    cpus: 0.1
    scale: 0
    stop_grace_period: 2s
    volumes: [./{name}.gguf:/models/words.gguf:ro]
    x-orch:
      load: on_demand
      vram: 600MiB
      routes: [{{port: 8081, router: openai}}]
      health_check: {{recipe: llama.cpp, interval: 100ms}}"
        )
    };
    format!(
        "
x-orch:
  on_demand: {{min_resident: 0s}}
  routers: {{openai: {{listen: '{router}'}}}}
services:{}{}
",
        service("alpha"),
        service("beta")
    )
}

#[test]
fn two_models_take_turns_on_one_gpu() {
    if !has_llama() {
        return;
    }
    let [port] = free_ports();
    let router = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stack = Stack::new("ondemand-llama", &yaml(router));
    stack.write("gpus.json", r#"[{"uuid": "GPU-a", "total": 1073741824}]"#);
    let (of_alpha, of_beta) = WORDS.split_at(WORDS.len() / 2);
    let mut random = Random::new();
    for (name, says) in [("alpha", of_alpha), ("beta", of_beta)] {
        gguf::write(&stack.folder().join(format!("{name}.gguf")), says, &mut random);
    }
    let mut serve = stack.orch("serve --dashboard 0");
    serve.env("DOCKER_ORCH_GPUS", "fake:gpus.json");
    let mut serve = Running::spawn(serve);
    serve.until("nothing runs");

    // It listens long before it has its model; whoever asks by the router waits for that.
    let first = thread::spawn(move || said(router, "alpha"));
    until(&stack, "alpha", "in stage");
    let own = SocketAddr::new(address(&stack, "alpha"), 8081);
    listens(own);
    let loading = ask(own, "GET /health", "").with(503).text();
    assert!(loading.contains("Loading model"), "{loading}");
    first.join().expect("an answer");
    ask(own, "GET /health", "").with(200);
    streams_as_it_does_itself(router, own);

    let clients: Vec<_> = (0..8)
        .map(|client| {
            thread::spawn(move || {
                for request in 0..5 {
                    said(router, if (client + request) % 2 == 0 { "alpha" } else { "beta" });
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("answers");
    }
    let listed = ask(router, "GET /v1/models", "").with(200).json();
    let ids: Vec<_> = listed["data"].as_array().expect("models").iter().map(|model| &model["id"]).collect();
    assert_eq!(ids, ["alpha", "beta"], "{listed}");
    for (name, other) in [("alpha", "beta"), ("beta", "alpha")] {
        let why = stack.run(&format!("why {name}")).code(0).out;
        let makes_room = format!("it makes room for {other}");
        let was_made = format!("{other} makes room");
        for words in [&makes_room, &was_made, "there is room on GPU-a", "it was loaded in"] {
            assert!(why.contains(words), "no `{words}` in:\n{why}");
        }
    }
    // From the one to the other and back.
    serve.signal("INT");
    let served = serve.end().code(0);
    for (name, times) in [("alpha", 2), ("beta", 1)] {
        let loads = served.err.matches(&format!("{name} is being loaded")).count();
        assert!(loads >= times, "{name} was loaded {loads} times:\n{}", served.err);
    }
}

/// Asks a model by the router: it answers, and in its own words.
#[track_caller]
fn said(router: SocketAddr, model: &str) {
    let body = format!(
        r#"{{"model": "{model}", "messages": [{{"role": "user", "content": "hello"}}], "max_tokens": 5}}"#
    );
    let answer = ask(router, "POST /v1/chat/completions", &body).with(200).json();
    assert_eq!(answer["model"], model, "{answer}");
    let content = answer["choices"][0]["message"]["content"].as_str().expect("content");
    let words: Vec<&str> = content.split_whitespace().collect();
    let (of_alpha, of_beta) = WORDS.split_at(WORDS.len() / 2);
    let own = if model == "alpha" { of_alpha } else { of_beta };
    assert!(words.len() == 5 && words.iter().all(|word| own.contains(word)), "{model}: {content}");
}

/// What is streamed by the router is what the server itself streams, and comes as it is said.
fn streams_as_it_does_itself(router: SocketAddr, own: SocketAddr) {
    let body = r#"{"model": "alpha", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 200, "stream": true, "temperature": 0, "seed": 1, "cache_prompt": false}"#;
    let [direct, passed] =
        [own, router].map(|address| ask(address, "POST /v1/chat/completions", body).with(200));
    let text = passed.text();
    assert_eq!(text.matches("data: ").count(), text.matches("\n\n").count(), "{text}");
    assert!(text.ends_with("data: [DONE]\n\n") && text.matches("\"content\":\"").count() >= 200, "{text}");
    // What is another each time: its number, and moments.
    let own = Regex::new(r#""(id|created|timings)":("[^"]*"|\d+|\{[^}]*\})"#).expect("a pattern");
    let same = |text: &str| own.replace_all(text, "").into_owned();
    assert_eq!(same(&text), same(&direct.text()));
    assert!(passed.pieces.len() > 100, "{} pieces", passed.pieces.len());
    // Its end tells how long it took to say: a good part of that passed between the first piece and the last.
    let last = text.lines().rev().find_map(|line| line.strip_prefix("data: {")).expect("an event");
    let last: Value = serde_json::from_str(&format!("{{{last}")).expect(last);
    let took = last["timings"]["predicted_ms"].as_f64().expect("milliseconds");
    let lasted = passed.lasted().as_secs_f64() * 1000.0;
    assert!(lasted > took / 2.0, "{lasted} ms of {took}");
}

/// Waits until `why` says so of a service.
#[track_caller]
fn until(stack: &Stack, service: &str, words: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let why = stack.run(&format!("why {service}")).code(0).out;
        if why.contains(words) {
            return;
        }
        assert!(Instant::now() < deadline, "no `{words}` in:\n{why}");
    }
}

/// Waits until somebody listens there.
#[track_caller]
fn listens(address: SocketAddr) {
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "nobody listens on {address}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Where a service's container is reached from this machine.
#[track_caller]
fn address(stack: &Stack, service: &str) -> IpAddr {
    let networks = &stack.container(service).raw["NetworkSettings"]["Networks"];
    let address = networks.as_object().and_then(|networks| networks.values().next()?["IPAddress"].as_str());
    address.and_then(|address| address.parse().ok()).expect("an address")
}
