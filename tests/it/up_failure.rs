//! Failures at every step of a small stack: what is said, the exit code, and what is left.

use crate::support::stack::{Ran, Seen, Stack, owned};

/// Three services, one behind the other, and a volume; `broken` stands in the middle.
fn stack(test: &str, broken: &str) -> Stack {
    let image = if broken.contains(" image:") { "" } else { "    image: docker-orch-example\n" };
    let health =
        if broken.contains("x-orch:") { "" } else { "    x-orch: {health_check: {container: running}}\n" };
    let yaml = format!(
        "
services:
  db:
    image: docker-orch-example
    command: --log-when-ready 'db is up'
    volumes: [data:/data]
    x-orch: {{health_check: {{log: db is up}}}}
  api:
    depends_on: {{db: {{condition: service_healthy}}}}
{image}{health}{broken}
  web:
    image: docker-orch-example
    depends_on: {{api: {{condition: service_healthy}}}}
volumes:
  data: {{}}
"
    );
    Stack::new(test, &yaml)
}

fn up(stack: &Stack) -> Ran {
    stack.run("up -d")
}

#[test]
fn an_image_that_is_nowhere() {
    let stack = stack("noimage", "    image: localhost:1/orch-no-such-image:1\n");
    up(&stack).code(1).says(&["api", "orch-no-such-image", "rolled back", "try:"]);
    stack.is_gone_but(&["data"]);
}

#[test]
fn a_container_that_the_engine_does_not_create() {
    let stack = stack("nocreate", "    mem_limit: 1k\n");
    up(&stack).code(1).says(&["failed to create container", "memory", "rolled back"]);
    stack.is_gone_but(&["data"]);
}

#[test]
fn a_bind_mount_of_a_folder_that_is_not_there() {
    let mount = "    volumes: [{type: bind, source: /orch/no/such/folder, target: /x, bind: {create_host_path: false}}]\n";
    let stack = stack("nomount", mount);
    stack.run("up -d --no-preflight").code(1).says(&["/orch/no/such/folder", "rolled back"]);
    stack.is_gone_but(&["data"]);
}

#[test]
fn a_port_that_somebody_else_has() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let stack = stack("port", &format!("    ports: ['127.0.0.1:{port}:80']\n"));
    let ran = stack.run("up -d --no-preflight").code(1);
    ran.says(&["api", &port.to_string(), "web not started ← api", "rolled back"]);
    stack.is_gone_but(&["data"]);
}

#[test]
fn a_command_that_is_not_in_the_image() {
    let stack = stack("nocommand", "    entrypoint: [/no/such/program]\n");
    up(&stack).code(1).says(&["web not started ← api", "/no/such/program", "rolled back"]);
    stack.is_gone_but(&["data"]);
}

#[test]
fn an_exit_before_it_is_ready() {
    let broken = "    command: --log 'cannot bind' --exit-after 200ms --exit-code 7\n    x-orch: {health_check: {tcp: 80}}\n";
    let stack = stack("exit", broken);
    let ran = up(&stack).code(1);
    let ran = ran.says(&[
        "web not started ← api: exited with code 7: \"exiting with 7",
        "| cannot bind",
        "rolled back",
    ]);
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    stack.is_gone_but(&["data"]);
    let kept = stack.kept();
    let log = kept.iter().find(|(path, _)| path.ends_with("api-1/log.txt")).expect("its log");
    assert!(log.1.contains("cannot bind"));
}

#[test]
fn never_ready() {
    let broken = "    command: --port 80 --ready-after never
    x-orch: {health_check: {stages: [{name: listening, tcp: 80}, {name: loaded, http: ':80/health', timeout: 1s}]}}
";
    let stack = stack("never", broken);
    let ran = up(&stack).code(4);
    ran.says(&[
        "web not started ← api: stage loaded",
        "last checks:",
        "503",
        "rolled back",
        "--start-timeout",
    ]);
    stack.is_gone_but(&["data"]);
}

#[test]
fn a_whole_start_that_takes_too_long() {
    let stack = stack(
        "slow",
        "    command: --port 80 --ready-after never\n    x-orch: {health_check: {http: ':80/health'}}\n",
    );
    stack.run("up -d --start-timeout 2s").code(4).says(&["api", "rolled back"]);
    stack.is_gone_but(&["data"]);
}

#[test]
fn a_one_shot_that_fails() {
    let stack = stack("oneshot", "    command: --oneshot --exit-code 5\n");
    let yaml = std::fs::read_to_string(stack.folder().join("compose.yaml")).unwrap();
    stack.write(
        "compose.yaml",
        &yaml.replace(
            "{api: {condition: service_healthy}}",
            "{api: {condition: service_completed_successfully}}",
        ),
    );
    up(&stack).code(1).says(&["web not started ← api: exited with code 5", "rolled back"]);
    stack.is_gone_but(&["data"]);
}

#[test]
fn a_start_that_is_tried_again() {
    let broken = "    command: --fail-starts 2 --port 80\n    x-orch: {start: {retries: 2, backoff: 100ms}, health_check: {http: ':80/health'}}\n";
    let stack = stack("again", broken);
    up(&stack).code(0).says(&["3 services ready"]);
    let log = stack.log(&stack.container("api").id);
    assert_eq!(log.iter().filter(|(_, text)| text.contains("failing start")).count(), 2, "{log:?}");
}

#[test]
fn what_is_not_critical_degrades() {
    let broken = "    command: --exit-after 100ms --exit-code 3\n    x-orch: {critical: false, health_check: {tcp: 80}}\n";
    let stack = stack("degrade", broken);
    let yaml = std::fs::read_to_string(stack.folder().join("compose.yaml")).unwrap();
    stack.write(
        "compose.yaml",
        &yaml.replace(
            "{api: {condition: service_healthy}}",
            "{api: {condition: service_healthy, required: false}}",
        ),
    );
    up(&stack).code(0).says(&["degraded: api"]);
    let running: Vec<String> =
        stack.containers().into_iter().filter(|c| c.running).map(|c| c.service).collect();
    assert_eq!(running, ["db", "web"]);
}

/// What each policy leaves of a project in which `api` exits before it is ready.
fn after(test: &str, policy: &str) -> (Stack, Vec<Seen>) {
    let broken = "    command: --exit-after 200ms --exit-code 7\n    x-orch: {health_check: {tcp: 80}}\n";
    let stack = stack(test, broken);
    stack
        .run(&format!("up -d --on-failure {policy}"))
        .code(1)
        .says(&["web not started ← api: exited with code 7"]);
    let containers = stack.containers();
    (stack, containers)
}

#[test]
fn on_failure_keep_leaves_all_as_it_is() {
    let (stack, containers) = after("keep", "keep");
    let seen: Vec<(&str, bool)> = containers.iter().map(|c| (c.service.as_str(), c.running)).collect();
    assert_eq!(seen, [("api", false), ("db", true), ("web", false)]);
    stack.run("down").code(0);
    stack.is_gone_but(&["data"]);
}

#[test]
fn on_failure_stop_stops_and_keeps() {
    let (stack, containers) = after("stop", "stop");
    let seen: Vec<(&str, bool)> = containers.iter().map(|c| (c.service.as_str(), c.running)).collect();
    assert_eq!(seen, [("api", false), ("db", false), ("web", false)]);
    assert_eq!(stack.volumes(), owned(&["data"]));
}

#[test]
fn on_failure_teardown_removes_all_but_volumes() {
    let (stack, _) = after("teardown", "teardown");
    stack.is_gone_but(&["data"]);
    assert!(stack.kept().keys().any(|path| path.ends_with("api-1/log.txt")));
}

#[test]
fn nothing_that_is_saved_holds_a_secret() {
    let broken = "    command: --expect /run/secrets/token=s3cr3t --exit-after 200ms --exit-code 7
    environment: {PASSWORD: 'hunter2-in-the-environment'}
    secrets: [token]
    x-orch: {health_check: {tcp: 80}}
";
    let stack = stack("secret", broken);
    let yaml = std::fs::read_to_string(stack.folder().join("compose.yaml")).unwrap();
    stack.write("compose.yaml", &format!("{yaml}secrets: {{token: {{file: ./token}}}}\n"));
    stack.write("token", "s3cr3t-in-a-file-and-nowhere-else");
    let ran = up(&stack).code(1).says(&["exited with code 7"]);
    let kept = stack.kept();
    assert!(kept.keys().any(|path| path.ends_with("api-1/inspect.json")), "{:?}", kept.keys());
    for secret in ["hunter2-in-the-environment", "s3cr3t-in-a-file-and-nowhere-else"] {
        assert!(!ran.err.contains(secret) && !ran.out.contains(secret));
        let holders: Vec<&String> =
            kept.iter().filter(|(_, text)| text.contains(secret)).map(|(path, _)| path).collect();
        assert_eq!(holders, [""; 0], "{secret}");
    }
}
