//! `doctor` where all is well, where something is wrong, and where there is nothing to look at.

use std::net::TcpListener;

use serde_json::Value;

use crate::support::stack::{Ran, Running, Stack};

fn checks(ran: &Ran) -> Vec<(String, String, String)> {
    let said: Value = serde_json::from_str(&ran.out).expect("JSON");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let checks = said["checks"].as_array().expect("checks").iter();
    checks.map(|c| (text(&c["check"]), text(&c["status"]), text(&c["message"]))).collect()
}

fn of<'a>(checks: &'a [(String, String, String)], name: &str) -> &'a (String, String, String) {
    checks.iter().find(|(check, ..)| check == name).unwrap_or_else(|| panic!("no {name}: {checks:#?}"))
}

#[test]
fn all_is_well_and_nothing_is_changed() {
    let stack = Stack::new("doctor-well", "services:\n  web:\n    image: docker-orch-example\n");
    let ran = stack.run("doctor").code(0);
    assert!(ran.out.is_ascii(), "plain where it is no terminal:\n{}", ran.out);
    for words in
        ["ok      engine", "1 of 1 are on the engine", "nothing is in the way of `up`", "this machine: "]
    {
        assert!(ran.out.contains(words), "no `{words}`:\n{}", ran.out);
    }
    stack.is_gone_but(&[]);
    assert!(stack.kept().is_empty(), "no run is recorded");
    stack.run("up -d").code(0);
    let up = stack.run("doctor --format json").code(0);
    let checks = checks(&up);
    assert_eq!(of(&checks, "start").2, "everything is up: `up` has nothing to do");
    assert_eq!(of(&checks, "clock").1, "ok");
}

#[test]
fn what_is_wrong_is_a_line_each_with_its_place() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let yaml = format!(
        "services:
  web:
    image: docker-orch-example
    ports: ['127.0.0.1:{port}:80']
    secrets: [token]
  other: {{image: localhost:1/orch-no-such-image}}
secrets: {{token: {{file: ./no-such-token}}}}
"
    );
    let stack = Stack::new("doctor-wrong", &yaml);
    let ran = stack.run("doctor").code(1);
    for words in [
        format!("compose.yaml:4:13: host port 127.0.0.1:{port}, for service `web`, is held by process"),
        "compose.yaml:7:19: the file of secret `token`".to_owned(),
        "1 of 2 are on the engine; to pull: localhost:1/orch-no-such-image".to_owned(),
        "hint: create it, or correct `file`".to_owned(),
        "2 problems".to_owned(),
    ] {
        assert!(ran.out.contains(&words), "no `{words}`:\n{}", ran.out);
    }
    let asked = stack.run("doctor --registry --format json").code(1);
    let said = checks(&asked);
    let refused = |(check, status, words): &&(String, String, String)| {
        check == "images" && status == "problem" && words.contains("cannot be pulled")
    };
    assert!(said.iter().any(|check| refused(&check)), "{said:#?}");
    stack.is_gone_but(&[]);
}

#[test]
fn neither_an_engine_nor_a_file_is_needed() {
    let stack = Stack::new("doctor-none", "services:\n  web:\n    imgae: x\n");
    let mut command = stack.hermetic(env!("CARGO_BIN_EXE_docker-orch"));
    command.args(["doctor", "--format", "json"]).current_dir("/");
    let alone = checks(&Running::spawn(command).end().code(0));
    assert_eq!(of(&alone, "file").1, "note", "{alone:#?}");
    assert!(!alone.iter().any(|(check, ..)| check == "start" || check == "images"));

    let mut command = stack.hermetic(env!("CARGO_BIN_EXE_docker-orch"));
    command.args(["doctor", "--format", "json"]).env("DOCKER_HOST", "unix:///orch/no/such.sock");
    command.env_remove("DOCKER_CONTEXT");
    let without = checks(&Running::spawn(command).end().code(1));
    let engine = of(&without, "engine");
    assert_eq!(engine.1, "problem");
    assert!(engine.2.contains("unix:///orch/no/such.sock"), "{}", engine.2);
    let mistake = |(check, status, words): &(String, String, String)| {
        check == "file"
            && status == "problem"
            && words.contains("compose.yaml:3:5: ")
            && words.contains("imgae")
    };
    assert!(without.iter().any(mistake), "{without:#?}");
}
