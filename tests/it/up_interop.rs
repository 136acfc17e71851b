//! One project, two programs: `docker compose` takes over what `docker orch` started, and the other way round.

use crate::support::{
    docker::has_compose,
    stack::{Ran, Running, Stack},
};

/// A file with much of what real stacks use.
const YAML: &str = "
services:
  db:
    image: docker-orch-example
    command: --tcp 5432 --expect /etc/db.conf=cache --expect /run/secrets/password=pass
    env_file: [db.env]
    volumes: [data:/data, './conf:/conf:ro', /scratch]
    configs: [{source: db, target: /etc/db.conf}]
    secrets: [password]
    networks: [back]
    healthcheck: {test: [CMD, connect, 'localhost:5432'], interval: 1s, timeout: 2s, retries: 20}
    restart: unless-stopped
    ulimits: {nofile: {soft: 1024, hard: 2048}}
  api:
    build: ./service
    command: ['--port', '8080']
    environment:
      VERSION: '1'
      EMPTY:
    labels: {tier: backend}
    networks:
      back: {aliases: [backend]}
      front:
    depends_on: {db: {condition: service_healthy, restart: true}}
    healthcheck: {test: curl -f http://localhost:8080/health, interval: 1s, timeout: 2s, retries: 20}
    deploy: {resources: {limits: {cpus: '0.5', memory: 64M}}}
    cap_add: [SYS_NICE]
  web:
    image: docker-orch-example
    command: --port 80
    scale: 2
    ports: ['127.0.0.1::80']
    networks: [front]
    depends_on: {api: {condition: service_healthy}}
    tmpfs: [/run/web]
    stop_grace_period: 3s
    x-orch: {health_check: {http: ':80/health'}}
  migrate:
    image: docker-orch-example
    command: --oneshot
    networks: [back]
    depends_on: [db]
networks:
  back: {internal: true}
  front: {driver: bridge, labels: {side: front}}
volumes:
  data: {labels: {keep: 'yes'}}
configs:
  db: {file: ./db.conf}
secrets:
  password: {file: ./password}
x-orch: {startup: {mode: graph}}
";

/// The project, where the Docker CLI here has the Compose plugin.
fn stack(test: &str) -> Option<Stack> {
    if !has_compose() {
        return None;
    }
    let stack = Stack::new(test, YAML);
    stack.write("db.env", "POSTGRES_DB=shop\nDEBUG='no'\n");
    stack.write("db.conf", "cache = 1\n");
    stack.write("password", "pass\n");
    stack.write("conf/a", "");
    stack.write("service/Dockerfile", "FROM docker-orch-example\nLABEL built=here\n");
    Some(stack)
}

pub(crate) fn compose(stack: &Stack, words: &str) -> Ran {
    let mut command = stack.hermetic("docker");
    command.args(["compose", "-p", &stack.name]).args(words.split_whitespace());
    Running::spawn(command).end().code(0)
}

#[test]
fn compose_sees_and_keeps_what_orch_started() {
    let Some(stack) = stack("interop") else { return };
    stack.run("up -d").code(0);
    let listed = compose(&stack, "ps -a --format {{.Service}}").out;
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_unstable();
    assert_eq!(listed, ["api", "db", "migrate", "web", "web"]);
    let before = stack.running();
    assert_eq!(before.len(), 4);
    let dry = compose(&stack, "--dry-run up -d").err;
    assert!(!dry.contains("Recreate"), "{dry}");
    compose(&stack, "up -d");
    assert_eq!(stack.running(), before);
    assert!(compose(&stack, "logs api").out.contains("ready"));
    compose(&stack, "exec db true");
    compose(&stack, "down -v");
    stack.is_gone_but(&[]);
}

#[test]
fn orch_keeps_and_ends_what_compose_started() {
    let Some(stack) = stack("interop2") else { return };
    compose(&stack, "up -d");
    let before = stack.running();
    assert_eq!(before.len(), 4);
    stack.run("up -d").code(0);
    assert_eq!(stack.running(), before);
    // And once more the other way: nothing that was written on the way makes a difference.
    compose(&stack, "up -d");
    assert_eq!(stack.running(), before);
    stack.run("down -v").code(0);
    stack.is_gone_but(&[]);
}

#[test]
fn both_see_the_same_change() {
    let Some(stack) = stack("interop3") else { return };
    stack.run("up -d").code(0);
    let before = stack.running_ids();
    stack.write("db.env", "POSTGRES_DB=other\n");
    let dry = compose(&stack, "--dry-run up -d").err;
    assert!(dry.contains("db-1") && dry.contains("Recreate"), "{dry}");
    stack.run("up -d").code(0).says(&["db-1", "environment.POSTGRES_DB"]);
    let after = stack.running_ids();
    let same: Vec<&String> =
        before.iter().filter(|(name, id)| after.get(*name) == Some(id)).map(|(name, _)| name).collect();
    let prefix = |n: &str| format!("{}-{n}", stack.name);
    assert_eq!(same, [&prefix("api-1"), &prefix("web-1"), &prefix("web-2")]);
    let running = stack.running();
    compose(&stack, "up -d");
    assert_eq!(stack.running(), running);
    // A container that Compose has replaced is as good as one of ours.
    stack.write("db.env", "POSTGRES_DB=third\n");
    compose(&stack, "up -d");
    let running = stack.running();
    stack.run("up -d").code(0);
    assert_eq!(stack.running(), running);
    stack.run("down -v").code(0);
    stack.is_gone_but(&[]);
}
