//! `timeline`: what a start went along, by the engine's own times; beside the start before it; in every form.

use serde_json::Value;

use crate::support::stack::{Running, Stack};

const YAML: &str = "
x-orch: {waves: [{name: base, services: [db, cache]}, {name: front, services: [web]}]}
services:
  db:
    image: docker-orch-example
    command: --tcp 5432 --ready-after 400ms
    x-orch: {health_check: {tcp: 5432}}
  cache:
    image: docker-orch-example
    command: --tcp 6379
    x-orch: {health_check: {tcp: 6379}}
  web:
    image: docker-orch-example
    command: --port 80 --stage model=600ms --ready-after 700ms
    depends_on: {db: {condition: service_healthy}}
    links: [cache]
    x-orch:
      health_check:
        type: staged
        stages: [{name: model, http: ':80/health/model'}, {name: serving, http: ':80/health'}]
";

fn json(stack: &Stack, words: &str) -> Value {
    let out = stack.run(&format!("timeline --format json {words}")).code(0).out;
    serde_json::from_str(&out).expect("JSON")
}

fn seconds(value: &Value, at: &str) -> f64 {
    value.pointer(at).and_then(Value::as_f64).unwrap_or_else(|| panic!("{at}: {value:#}"))
}

#[test]
fn a_start_is_shown_beside_the_one_before_it_in_every_form() {
    let stack = Stack::new("timeline", YAML);
    stack.run("timeline").code(1).says(&["no run of", "up` makes the first"]);
    stack.run("up -d").code(0);
    let first = json(&stack, "");
    let chain: Vec<&str> = first["critical_chain"]
        .as_array()
        .expect("a chain")
        .iter()
        .map(|link| link["service"].as_str().unwrap())
        .collect();
    assert_eq!(chain, ["db", "web"], "{first:#}");
    assert_eq!(first["critical_chain"][1]["from"], first["waves"][1]["opened_at"]);
    let web = first["containers"].as_array().unwrap().iter().find(|c| c["service"] == "web").unwrap();
    let stages: Vec<&str> =
        web["parts"].as_array().unwrap().iter().filter_map(|part| part["stage"].as_str()).collect();
    assert_eq!(stages, ["model", "serving"]);
    // The chain has no gaps: its links are as long as the whole.
    assert!(
        (seconds(&first, "/ready_at") - seconds(&first, "/critical_chain/1/until")).abs() < 0.01,
        "{first:#}"
    );
    stack.run("timeline --compare").code(1).says(&["no run before", "history` lists all"]);

    stack.write(
        "compose.yaml",
        &YAML.replace("--stage model=600ms --ready-after 700ms", "--stage model=1800ms --ready-after 1900ms"),
    );
    stack.run("up -d").code(0);
    let second = json(&stack, "--compare");
    assert!(seconds(&second, "/compared/containers/0/change") > 0.8, "{second:#}");
    assert_eq!(second["compared"]["containers"][0]["container"], "web");
    assert_eq!(second["compared"]["containers"][0]["most"]["part"], "model");
    assert_eq!(second["compared"]["run"], first["run"]);
    assert_eq!(second["ready_before"], 2);
    assert_eq!(second["compared"]["only_in_one"], serde_json::json!(["cache", "db"]));

    let text = stack.run("timeline --compare").code(0).out;
    for words in ["up of ", "▸ web", "critical chain: web", "its stage `model`", "SERVICE", "model: 0."] {
        assert!(text.contains(words), "no `{words}` in:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "{text}");
    for (file, begins) in
        [("a.html", "<!doctype html>"), ("a.svg", "<?xml"), ("a.json", "{"), ("a.txt", "up of ")]
    {
        stack.run(&format!("timeline --compare -o {file}")).code(0).says(&[file]);
        let written = std::fs::read_to_string(stack.folder().join(file)).expect("a file");
        assert!(written.starts_with(begins) && written.contains("web"), "{file}: {written}");
    }
    let id = first["run"].as_str().unwrap().to_owned();
    assert_eq!(json(&stack, &id)["run"], first["run"]);
    let mut complete = stack.hermetic(env!("CARGO_BIN_EXE_docker-orch"));
    complete.args(["__complete", "orch", "-p", &stack.name, "timeline", "2"]);
    let completed = Running::spawn(complete).end().code(0).out;
    assert!(completed.contains("up succeeded"), "{completed}");

    stack.run("down").code(0);
    assert_eq!(json(&stack, "")["run"], second["run"], "what starts nothing has no timeline");
    let down = stack.run("history --limit 1 --format json").code(0).out;
    let down: Value = serde_json::from_str(&down).expect("JSON");
    stack.run(&format!("timeline {}", down["run"].as_str().unwrap())).code(1).says(&["down started nothing"]);
    stack.run("timeline 19").code(2).says(&["begins with `19`"]);
    stack.run("timeline -o no/such/folder/a.svg").code(1).says(&["failed to write `no/such/folder/a.svg`"]);
}
