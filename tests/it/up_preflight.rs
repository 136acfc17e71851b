//! What is in the way of a start on a real engine: told before anything is changed, with its place and its holder.

use std::net::TcpListener;

use crate::support::stack::{Ran, Stack};

/// A port that nobody holds at the moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A service with this below it, and more at the top of the file.
fn yaml(below: &str, top: &str) -> String {
    format!("services:\n  web:\n    image: docker-orch-example\n{below}{top}")
}

/// `up` is refused with these words, `plan` too, and there is nothing on the engine.
#[track_caller]
fn is_refused(stack: &Stack, code: i32, words: &[&str]) {
    stack.run("plan").code(code).says(words);
    stack.run("up -d").code(code).says(words);
    stack.is_gone_but(&[]);
}

#[test]
fn a_port_that_a_process_holds() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let stack = Stack::new("pf-process", &yaml(&format!("    ports:\n      - '127.0.0.1:{port}:80'\n"), ""));
    let held =
        format!("host port 127.0.0.1:{port}, for service `web`, is held by process {}", std::process::id());
    is_refused(&stack, 3, &["error[port-held]", "compose.yaml:5:9", &held, "publish another host port"]);
    drop(taken);
    stack.run("up -d").code(0);
}

#[test]
fn a_port_that_a_container_of_another_project_holds() {
    let port = free_port();
    let ports = format!("    ports: ['127.0.0.1:{port}:80']\n");
    let other = Stack::new("pf-holder", &yaml(&ports, ""));
    other.run("up -d").code(0);
    let before = other.running();
    let stack = Stack::new("pf-port", &yaml(&ports, ""));
    let held = format!("is held by container `{0}-web-1` of project `{0}`", other.name);
    let stop = format!("docker stop {}-web-1", other.name);
    is_refused(&stack, 3, &["error[port-held]", "compose.yaml:4:", &held, &stop]);
    assert_eq!(other.running(), before);
    // Of its own port a project that runs, or is recreated, takes no offence.
    let ran = other.run("up -d").code(0);
    assert!(!ran.err.contains("held"), "{}", ran.err);
    other.write("compose.yaml", &yaml(&format!("{ports}    environment: {{A: changed}}\n"), ""));
    other.run("up -d").code(0);
    other.run("up -d --force-recreate").code(0);
}

#[test]
fn a_name_that_another_container_has() {
    let name = format!("orch-pf-taken-{}", std::process::id());
    let named = format!("    container_name: {name}\n");
    let other = Stack::new("pf-namer", &yaml(&named, ""));
    other.run("up -d").code(0);
    other.run("stop").code(0);
    let stack = Stack::new("pf-name", &yaml(&named, ""));
    let held = format!("is held by a container of project `{}`", other.name);
    is_refused(&stack, 3, &["error[name-held]", "compose.yaml:4:5", &name, &held]);
}

#[test]
fn everything_that_is_missing_is_told_at_once() {
    let below = "    pull_policy: never
    secrets: [token]
    configs: [settings]
    networks: [default, theirs]
    devices: [/dev/orch-no-such-device]
    volumes:
      - {type: bind, source: ./no-such-folder, target: /x, bind: {create_host_path: false}}
";
    let top = "secrets: {token: {file: ./no-such-token}}
configs: {settings: {file: ./no-such-settings}}
networks: {default: {}, theirs: {external: true, name: orch-no-such-network}}
volumes: {}
";
    let text = yaml(below, top).replace("image: docker-orch-example", "image: orch-no-such-image");
    let stack = Stack::new("pf-missing", &text);
    let words = [
        "network `orch-no-such-network` is external and does not exist",
        "image `orch-no-such-image`, of service `web`, is not on the engine",
        "the file of secret `token`",
        "no-such-token, does not exist",
        "the file of config `settings`",
        "no-such-folder, does not exist",
        "a device of service `web`, /dev/orch-no-such-device, does not exist",
    ];
    is_refused(&stack, 2, &words);
    // What is found stands in the file, each at its line.
    let ran: Ran = stack.run("plan").code(2);
    for place in [":4:5", ":8:15", ":10:9", ":11:19", ":12:22", ":13:25"] {
        assert!(ran.err.contains(&format!("compose.yaml{place}")), "{place}:\n{}", ran.err);
    }
    // Without an engine much of it is no more than a guess.
    let offline = stack.run("plan --offline").code(0);
    assert!(offline.out.contains("no-such-token, does not exist"), "{}", offline.out);
}

#[test]
fn a_build_without_its_folder() {
    let text = "services:\n  web:\n    build: ./no-such-folder\n";
    let stack = Stack::new("pf-build", text);
    is_refused(&stack, 2, &["the build context of service `web`", "no-such-folder, does not exist", ":3:5"]);
}

#[test]
fn two_services_with_one_port() {
    let port = free_port();
    let other = format!("  other:\n    image: docker-orch-example\n    ports: ['{port}:81']\n");
    let text = yaml(&format!("    ports: ['127.0.0.1:{port}:80']\n"), &other);
    let stack = Stack::new("pf-twice", &text);
    is_refused(&stack, 2, &["services `other` and `web` both publish host port", "also here"]);
}

#[test]
fn a_start_without_a_look_goes_as_far_as_the_engine_lets_it() {
    let stack = Stack::new("pf-skip", &yaml("    devices: [/dev/orch-no-such-device]\n", ""));
    stack.run("up -d --no-preflight").code(1).says(&["orch-no-such-device", "rolled back"]);
    stack.is_gone_but(&[]);
}
