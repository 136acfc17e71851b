//! Services that run out of memory while they are loaded, on the real engine.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use crate::{
    ondemand::free_ports,
    support::{
        http::ask,
        stack::{Running, Stack},
    },
};

/// No load here takes longer: the ones that fail do so at once, and what they held is not waited for.
const SOON: Duration = Duration::from_secs(20);

/// Two services for which there is room side by side. The large one runs out of memory at its first `fails` starts, and
/// tells of it as servers do: first the cause, then the long way through their code.
fn yaml([small, large]: [u16; 2], fails: u32) -> String {
    let way = " --log 'in its code'".repeat(30);
    format!(
        "
x-orch:
  on_demand: {{min_resident: 0s}}
services:
  small: &model
    image: docker-orch-example
    command: --port 80
    scale: 0
    stop_grace_period: 1s
    ports: ['{small}:80']
    x-orch: {{load: on_demand, vram: 4GiB, routes: [{{port: 80}}], health_check: {{http: ':80/health'}}}}
  large:
    <<: *model
    command: --port 80 --fail-starts {fails} --state /state/starts --log 'CUDA out of memory. Tried 2 GiB'{way}
    ports: ['{large}:80']
    volumes: ['./state:/state']
    x-orch: {{load: on_demand, vram: 10GiB, routes: [{{port: 80}}], health_check: {{http: ':80/health'}}}}
"
    )
}

/// Both behind `serve`, and where they are.
fn served(test: &str, fails: u32) -> (Stack, Running, [SocketAddr; 2]) {
    let ports = free_ports();
    let stack = Stack::new(test, &yaml(ports, fails));
    stack.write("gpus.json", r#"[{"uuid": "GPU-a", "total": 34359738368}]"#);
    stack.write("state/starts", "0");
    let mut serve = stack.orch("serve --dashboard 0");
    serve.env("DOCKER_ORCH_GPUS", "fake:gpus.json");
    let mut serve = Running::spawn(serve);
    serve.until("nothing runs");
    (stack, serve, ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
}

#[track_caller]
fn says(stack: &Stack, service: &str, words: &[&str]) {
    let why = stack.run(&format!("why {service}")).code(0).out;
    for word in words {
        assert!(why.contains(word), "no `{word}` in:\n{why}");
    }
}

/// How often the large one was started.
fn starts(stack: &Stack) -> String {
    fs::read_to_string(stack.folder().join("state/starts")).expect("the count")
}

#[test]
fn who_runs_out_of_memory_is_tried_once_more_alone() {
    let (stack, serve, [small, large]) = served("ondemand-memory", 1);
    ask(small, "GET /health", "").with(200);
    let asked = Instant::now();
    ask(large, "GET /health", "").with(200);
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    assert_eq!(starts(&stack), "2");
    assert!(!stack.container("small").running);
    let it_ran_out = "it ran out of memory, and is tried once more: exited with code 1: CUDA out of memory";
    says(
        &stack,
        "large",
        &["large is ready", it_ran_out, "it ran out of memory: small makes room", "it was loaded in"],
    );
    says(&stack, "small", &["small is cold", "it makes room for large"]);
    serve.signal("INT");
    serve.end().code(0);
}

#[test]
fn who_always_runs_out_of_memory_is_refused_after_one_more_try() {
    let (stack, serve, [small, large]) = served("ondemand-never", 99);
    ask(small, "GET /health", "").with(200);
    let asked = Instant::now();
    let refused = ask(large, "GET /health", "").with(503).text();
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    assert!(
        refused.contains("load_failed") && refused.contains("CUDA out of memory. Tried 2 GiB"),
        "{refused}"
    );
    assert_eq!(starts(&stack), "2");

    // It is left alone for 5 seconds, and nobody waits for that.
    let asked = Instant::now();
    ask(large, "GET /health", "").with(503);
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert_eq!(starts(&stack), "2");
    says(
        &stack,
        "large",
        &[
            "large is failed",
            "CUDA out of memory",
            "it was tried once more, and failed",
            "it is left alone for",
        ],
    );
    // It is in nobody's way.
    ask(small, "GET /health", "").with(200);
    serve.signal("INT");
    serve.end().code(0);
}
