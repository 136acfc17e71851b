//! Updates: what stays, what is replaced, and the old containers that come back when the new ones fail.

use crate::support::stack::Stack;

const YAML: &str = "
services:
  db:
    image: docker-orch-example
    command: --tcp 5432
    volumes: [data:/data]
    x-orch: {health_check: {tcp: 5432}}
  api:
    image: docker-orch-example
    command: --port 80 --ready-after 100ms
    environment: {VERSION: '1'}
    networks: {default: {aliases: [backend]}}
    depends_on: {db: {condition: service_healthy}}
    x-orch: {health_check: {http: ':80/health'}}
  web:
    image: docker-orch-example
    depends_on: {api: {condition: service_healthy}}
volumes:
  data: {}
";

/// The three services, up.
fn running(test: &str) -> Stack {
    let stack = Stack::new(test, YAML);
    stack.run("up -d").code(0);
    stack
}

fn with(from: &str, to: &str) -> String {
    assert!(YAML.contains(from));
    YAML.replace(from, to)
}

#[test]
fn what_has_not_changed_is_left_alone() {
    let stack = running("same");
    let before = stack.running();
    stack.run("up -d").code(0).says(&["3 services ready"]);
    assert_eq!(stack.running(), before);
}

#[test]
fn x_orch_alone_recreates_nothing() {
    let stack = running("orchonly");
    let before = stack.running();
    stack.write(
        "compose.yaml",
        &with("{health_check: {http: ':80/health'}}", "{critical: false, health_check: {tcp: 80}}"),
    );
    stack.run("up -d").code(0);
    assert_eq!(stack.running(), before);
}

#[test]
fn a_changed_service_is_replaced_and_nothing_else() {
    let stack = running("change");
    let before = stack.running_ids();
    let web = format!("{}-web-1", stack.name);
    let api = format!("{}-api-1", stack.name);
    stack.write("compose.yaml", &with("VERSION: '1'", "VERSION: '2'"));
    stack.run("up -d").code(0).says(&["environment.VERSION changed"]);
    let after = stack.running_ids();
    assert_eq!(stack.short_names(), ["api-1", "db-1", "web-1"]);
    assert_ne!(before[&api], after[&api]);
    assert_eq!(before[&web], after[&web]);
    let network = format!("{}_default", stack.name);
    let names = stack.container("api").aliases(&network);
    assert!(names.contains("api") && names.contains("backend") && names.contains(&api), "{names:?}");
}

#[test]
fn a_failed_update_brings_the_very_same_containers_back() {
    let stack = running("undo");
    let before = stack.running_ids();
    let network = format!("{}_default", stack.name);
    let aliases = stack.container("api").aliases(&network);
    assert!(aliases.contains("backend"), "{aliases:?}");
    let broken = with("--port 80 --ready-after 100ms", "--exit-after 200ms --exit-code 9");
    stack.write("compose.yaml", &broken);
    stack
        .run("up -d")
        .code(1)
        .says(&["api: exited with code 9", "rolled back: the project is as it was before"]);
    assert_eq!(stack.running_ids(), before);
    assert_eq!(stack.short_names(), ["api-1", "db-1", "web-1"]);
    assert_eq!(stack.container("api").aliases(&network), aliases);
    assert_eq!(
        stack.docker(&[
            "exec",
            &before[&format!("{}-web-1", stack.name)],
            "probe",
            "http://backend:80/health"
        ]),
        ""
    );
    // What runs is what ran before: the old file finds nothing to do.
    let untouched = stack.running();
    stack.write("compose.yaml", YAML);
    stack.run("up -d").code(0);
    assert_eq!(stack.running(), untouched);
}

#[test]
fn an_update_that_cannot_be_created_touches_nothing() {
    let stack = running("undocreate");
    let before = stack.running();
    let mount = "    volumes: [{type: bind, source: /orch/no/such/folder, target: /x, bind: {create_host_path: false}}]\n";
    stack.write("compose.yaml", &with("    environment: {VERSION: '1'}\n", mount));
    stack.run("up -d").code(2).says(&["/orch/no/such/folder"]);
    assert_eq!(stack.running(), before);
    stack.run("up -d --no-preflight").code(1).says(&["/orch/no/such/folder"]);
    assert_eq!(
        stack.running_ids().into_iter().collect::<Vec<_>>(),
        before.into_iter().map(|(name, id, _)| (name, id)).collect::<Vec<_>>()
    );
    assert_eq!(stack.short_names(), ["api-1", "db-1", "web-1"]);
}

#[test]
fn a_failed_update_of_all_services_and_a_new_one() {
    let stack = running("undoall");
    let before = stack.running_ids();
    let text =
        YAML.replace("image: docker-orch-example", "image: docker-orch-example\n    labels: {new: '1'}");
    let late = "  late:\n    image: docker-orch-example\n    command: --exit-after 100ms --exit-code 2\n    networks: [default, other]\n    depends_on: {web: {condition: service_started}}\n    x-orch: {health_check: {tcp: 1}}\n";
    let text = text
        .replace("volumes:\n  data: {}", &format!("{late}networks: {{other: {{}}}}\nvolumes:\n  data: {{}}"));
    stack.write("compose.yaml", &text);
    stack.run("up -d").code(1).says(&["late: exited with code 2", "rolled back"]);
    assert_eq!(stack.running_ids(), before);
    assert_eq!(stack.short_names(), ["api-1", "db-1", "web-1"]);
    assert_eq!(stack.networks(), [format!("{}_default", stack.name)]);
}

#[test]
fn containers_come_and_go_with_the_scale() {
    let stack = running("scale");
    let before = stack.running();
    stack.run("up -d --scale api=3").code(0);
    assert_eq!(stack.short_names(), ["api-1", "api-2", "api-3", "db-1", "web-1"]);
    assert!(stack.running().is_superset(&before));
    stack.run("up -d --scale api=2").code(0);
    assert_eq!(stack.short_names(), ["api-1", "api-2", "db-1", "web-1"]);
    assert!(stack.running().is_superset(&before));
    stack.run("up -d --scale api=0 --no-deps db").code(2);
    stack.run("up -d").code(0);
    assert_eq!(stack.running(), before);
}

#[test]
fn a_service_that_is_no_longer_in_the_file_is_told_of_and_removed_on_request() {
    let stack = running("orphan");
    stack.write(
        "compose.yaml",
        &with(
            "  web:\n    image: docker-orch-example\n    depends_on: {api: {condition: service_healthy}}\n",
            "",
        ),
    );
    stack.run("up -d").code(0).says(&["warning", &format!("{}-web-1", stack.name), "--remove-orphans"]);
    assert_eq!(stack.short_names(), ["api-1", "db-1", "web-1"]);
    stack.run("up -d --remove-orphans").code(0);
    assert_eq!(stack.short_names(), ["api-1", "db-1"]);
    stack.run("down").code(0);
    stack.is_gone_but(&["data"]);
}

#[test]
fn stop_start_and_restart_keep_the_containers() {
    let stack = running("cycle");
    let before = stack.running_ids();
    stack.run("stop").code(0);
    assert!(stack.running().is_empty());
    let stopped: Vec<String> = ["web", "api", "db"].map(|s| stack.container(s).finished).into();
    assert!(stopped.is_sorted(), "dependents stop first: {stopped:?}");
    stack.run("start").code(0);
    assert_eq!(stack.running_ids(), before);
    let started: Vec<String> = ["db", "api", "web"].map(|s| stack.container(s).started).into();
    assert!(started.is_sorted(), "dependencies start first: {started:?}");
    stack.run("restart").code(0);
    assert_eq!(stack.running_ids(), before);
    assert!(stack.container("db").started > started[0]);
}

#[test]
fn a_restart_of_a_dependency_can_take_its_dependents_along() {
    let stack = Stack::new(
        "deprestart",
        &with("{db: {condition: service_healthy}}", "{db: {condition: service_healthy, restart: true}}"),
    );
    stack.run("up -d").code(0);
    let before = stack.running_ids();
    let started = stack.container("api").started;
    stack.run("restart db").code(0);
    assert_eq!(stack.running_ids(), before);
    let (api, db) = (stack.container("api").started, stack.container("db").started);
    assert!(api > started && api > db, "api was not restarted behind db");
    let text =
        with("{db: {condition: service_healthy}}", "{db: {condition: service_healthy, restart: true}}");
    stack.write("compose.yaml", &text.replace("--tcp 5432", "--tcp 5432 --tcp 5433"));
    stack.run("up -d").code(0);
    assert_eq!(stack.container("api").id, before[&format!("{}-api-1", stack.name)]);
    assert!(stack.container("api").started > stack.container("db").started);
}
