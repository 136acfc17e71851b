//! `bench` on a real engine: what it prints, what it refuses, and that nothing of it is left.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    docker::has_compose,
    stack::{PATIENCE, Ran, Running, Stack},
};

/// A service, a job that it waits for, and a volume of each kind.
const TINY: &str = "
services:
  job: {image: docker-orch-example, command: --oneshot}
  web:
    image: docker-orch-example
    command: --tcp 80
    volumes: ['data:/data', /anonymous]
    depends_on: {job: {condition: service_completed_successfully}}
    x-orch: {health_check: {tcp: 80}}
volumes:
  data: {}
";

/// The name that the project had, from what was said of its progress.
fn name_in(said: &str, stack: &Stack) -> String {
    let start = format!("{}-bench-", stack.name);
    let word = said.split([':', ' ', '\n']).find(|word| word.starts_with(&start));
    word.unwrap_or_else(|| panic!("no {start}…: {said}")).to_owned()
}

/// Nothing on the engine, and no record on this machine, has the name.
fn is_gone(stack: &Stack, name: &str) {
    for listing in [
        &["ps", "-a", "--format", "{{.Names}}"][..],
        &["network", "ls", "--format", "{{.Name}}"],
        &["volume", "ls", "--format", "{{.Name}}"],
        &["image", "ls", "--format", "{{.Repository}}"],
    ] {
        let all = stack.docker(listing);
        assert!(!all.contains(name), "{listing:?}: {all}");
    }
    let folder = std::env::temp_dir().join(format!("docker-orch-{name}"));
    assert!(!folder.exists(), "{}", folder.display());
    assert!(stack.kept().is_empty(), "its runs are not recorded among the user's");
}

/// Names of the volumes that a container mounts and nobody named.
fn anonymous_volumes(stack: &Stack, container: &str) -> Vec<String> {
    let format = "{{range .Mounts}}{{println .Name}}{{end}}";
    let all = stack.docker(&["inspect", "--format", format, container]);
    all.lines().filter(|name| name.len() == 64).map(str::to_owned).collect()
}

/// The name of the container of `web` once it is there, for as long as the comparison goes on.
fn web_of(stack: &Stack) -> String {
    let label = format!("name={}-bench-", stack.name);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let names = stack.docker(&["ps", "--format", "{{.Names}}", "--filter", &label]);
        if let Some(web) = names.lines().find(|name| name.ends_with("-web-1")) {
            return web.to_owned();
        }
        assert!(Instant::now() < deadline, "web does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn ways(ran: &Ran) -> Vec<Value> {
    let said: Value = serde_json::from_str(&ran.out).expect("JSON");
    said["ways"].as_array().expect("ways").clone()
}

#[test]
fn every_way_is_measured_and_nothing_is_left() {
    let stack = Stack::new("bench", TINY);
    // What runs already is left alone.
    stack.run("up -d").code(0);
    let (running, before) = (stack.running(), stack.kept());
    let ran = stack.run("bench -n 1 --format json").code(0);
    assert_eq!(stack.running(), running);
    assert_eq!(stack.kept(), before);
    let measured = ways(&ran);
    let words: Vec<&str> = measured.iter().map(|way| way["way"].as_str().unwrap()).collect();
    let expected: &[&str] =
        if has_compose() { &["sequential", "orch", "compose"] } else { &["sequential", "orch"] };
    assert_eq!(words, expected);
    for way in &measured {
        assert_eq!((&way["failed"], &way["runs"]), (&Value::Null, &Value::from(1)), "{way}");
        let steps: Vec<&str> =
            way["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect();
        assert_eq!(steps, ["up", "no-op", "down"]);
        let up = &way["steps"][0];
        assert!(up["median_seconds"].as_f64().unwrap() > 0.0, "{way}");
    }
    stack.run("down -v").code(0);
    let name = name_in(&ran.err, &stack);
    for listing in [&["ps", "-aq"][..], &["network", "ls", "-q"], &["volume", "ls", "-q"]] {
        let label = format!("label=com.docker.compose.project={name}");
        let mut words = listing.to_vec();
        words.extend(["--filter", &label]);
        assert_eq!(stack.docker(&words), "", "{words:?}");
    }
}

#[test]
fn a_way_that_fails_is_a_row_and_the_end_is_1() {
    let yaml = TINY.replace("--tcp 80\n", "--exit-after 2s --exit-code 3\n");
    let stack = Stack::new("bench-fails", &yaml);
    let mut bench = stack.spawn("bench -n 1 --only sequential,orch");
    bench.until("1 run of each of sequential, orch");
    let volumes = anonymous_volumes(&stack, &web_of(&stack));
    let ran = bench.end().code(1);
    let rows: Vec<&str> = ran.out.lines().collect();
    assert_eq!(rows.len(), 3, "{}", ran.out);
    assert!(rows[0].ends_with("RUNS") && rows[0].contains("AGAINST SEQUENTIAL"), "{}", ran.out);
    for (row, way) in rows[1..].iter().zip(["sequential", "orch"]) {
        assert!(row.starts_with("up") && row.contains(way) && row.contains("failed: web"), "{}", ran.out);
    }
    is_gone(&stack, &name_in(&ran.err, &stack));
    let left = stack.docker(&["volume", "ls", "-q"]);
    assert!(volumes.len() == 1 && !left.contains(&volumes[0]), "{left}");
}

#[test]
fn what_cannot_run_beside_itself_is_refused_before_anything_is_made() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for (line, code, words) in [
        ("container_name: orch-bench-fixed".to_owned(), 2, "container name of its own, `orch-bench-fixed`"),
        (format!("ports: ['127.0.0.1:{port}:80']"), 3, "is held by"),
        ("volumes: ['./data:/data']".to_owned(), 2, "--allow-shared"),
        ("networks: [no-such-network]".to_owned(), 2, "no-such-network"),
    ] {
        let stack = Stack::new(
            "bench-refused",
            &format!("services:\n  web:\n    image: docker-orch-example\n    {line}\n"),
        );
        let ran = stack.run("bench").code(code).says(&[words]);
        assert_eq!(ran.out, "");
        assert!(stack.kept().is_empty() && !stack.folder().join("data").exists());
        let all = stack.docker(&["ps", "-a", "--format", "{{.Names}}"]);
        assert!(!all.contains(&stack.name), "{all}");
    }
    let stack = Stack::new("bench-alone", TINY);
    let mut command = stack.hermetic(env!("CARGO_BIN_EXE_docker-orch"));
    command.args(["bench", "--only", "compose", "compose.yaml"]).env("DOCKER_CONFIG", stack.folder());
    // Without plugins of the user; those for everybody may be there.
    if !has_compose() {
        Running::spawn(command).end().code(1).says(&["Docker Compose is not installed"]);
    }
}

#[test]
fn at_ctrl_c_everything_is_removed_and_the_end_is_130() {
    let yaml = TINY.replace("--tcp 80\n", "--tcp 80 --ready-after 60s\n");
    let stack = Stack::new("bench-interrupted", &yaml);
    let mut bench = stack.spawn("bench -n 1 -t 1 --only orch");
    bench.until("1 run of each of orch");
    let web = web_of(&stack);
    let volumes = anonymous_volumes(&stack, &web);
    assert_eq!(volumes.len(), 1);
    bench.signal("INT");
    let ran = bench.end().code(130);
    assert_eq!(ran.out, "");
    is_gone(&stack, web.strip_suffix("-web-1").unwrap());
    let left = stack.docker(&["volume", "ls", "-q"]);
    assert!(!left.contains(&volumes[0]), "{left}");
}
