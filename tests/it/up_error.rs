//! What is refused before anything is changed: by which exit code, and in which words.

use crate::support::stack::{Running, Stack};

#[test]
fn a_file_that_compose_refuses_is_refused_with_its_place() {
    for (yaml, place, words) in [
        ("services:\n  web:\n    imagee: a\n", "compose.yaml:3:5", "imagee"),
        ("services:\n  web: {image: a, depends_on: [db]}\n", "compose.yaml:2:32", "db"),
        ("services:\n  web: {image: a, ports: ['x:y']}\n", "compose.yaml:2:27", "x:y"),
        ("services:\n  web: {image: a, networks: [other]}\n", "compose.yaml:2:30", "other"),
        ("services:\n  web: [\n", "compose.yaml:", ""),
        (
            "services:\n  web: {image: a}\nx-orch: {waves: [{name: a, services: [wbe]}]}\n",
            "compose.yaml:3:39",
            "web",
        ),
    ] {
        let stack = Stack::new("refused", yaml);
        for command in ["up -d", "config", "down"] {
            let ran = stack.run(command).code(2).says(&[place, words]);
            assert!(!ran.err.contains("panicked"), "{}", ran.err);
        }
        stack.is_gone_but(&[]);
    }
}

#[test]
fn a_service_that_is_not_in_the_file() {
    let stack = Stack::new("nosuch", "services:\n  web: {image: docker-orch-example}\n");
    for command in ["up -d wbe", "down wbe", "stop wbe", "restart wbe", "up -d --scale wbe=2"] {
        stack.run(command).code(2).says(&["service", "wbe"]);
    }
    stack.is_gone_but(&[]);
}

#[test]
fn an_engine_that_does_not_answer() {
    let stack = Stack::new("noengine", "services:\n  web: {image: docker-orch-example}\n");
    for (host, words) in
        [("unix:///orch/no/such.sock", "/orch/no/such.sock"), ("tcp://127.0.0.1:1", "127.0.0.1:1")]
    {
        for command in ["up -d", "down", "ps"] {
            let mut call = stack.orch(command);
            call.env("DOCKER_HOST", host);
            Running::spawn(call).end().code(3).says(&[words, "hint"]);
        }
    }
}

#[test]
fn no_file_at_all() {
    let stack = Stack::new("nofile", "");
    std::fs::remove_file(stack.folder().join("compose.yaml")).unwrap();
    let mut call = stack.hermetic(env!("CARGO_BIN_EXE_docker-orch"));
    call.args(["up", "-d"]);
    Running::spawn(call).end().code(2).says(&["compose.yaml"]);
}
