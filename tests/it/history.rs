//! `history`: every run is listed, whatever became of it, and told in full without its secrets.

use serde_json::Value;

use crate::support::stack::Stack;

const YAML: &str = "
services:
  db:
    image: docker-orch-example
    command: --tcp 5432
    x-orch: {health_check: {tcp: 5432}}
  web:
    image: docker-orch-example
    command: --port 80
    depends_on: {db: {condition: service_healthy}}
    x-orch: {health_check: {http: ':80/health'}}
";

/// `web` prints every secret that it has, and fails.
const LEAKING: &str = "
services:
  db:
    image: docker-orch-example
    command: --tcp 5432
  web:
    image: docker-orch-example
    command: --log 'keys plantedfile plantedenv planteduser at x://u:plantedurl@h' --log plain-words --exit-after 300ms --exit-code 3
    environment:
      API_TOKEN: plantedenv
      DATABASE: postgres://shop:plantedurl@db/shop
      HIDDEN: plantedhidden
    labels: {deploy.password: plantedlabel}
    healthcheck: {test: [CMD, probe, 'http://plantedurl@localhost'], interval: 100ms}
    build: {context: ., args: {NPM_TOKEN: plantedarg}}
    secrets: [key, inline]
    depends_on: [db]
secrets:
  key: {file: ./key}
  inline: {environment: GIVEN}
";

/// The lines of `history`.
fn rows(stack: &Stack) -> Vec<Value> {
    let listed = stack.run("history --format json").code(0);
    listed.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn texts(rows: &[Value], key: &str) -> Vec<String> {
    rows.iter().map(|row| row[key].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn runs_are_listed_the_newest_first_with_what_they_changed() {
    let stack = Stack::new("historylist", YAML);
    let none = stack.run("history").code(0);
    assert!(none.out.is_empty() && none.err.contains("no run of"), "{}{}", none.out, none.err);
    stack.run("history show").code(1).says(&["no run of", "up` makes the first"]);
    stack.run("up -d").code(0);
    stack.write("compose.yaml", &YAML.replace("--port 80", "--port 80 --ready-after 10ms"));
    stack.run("up -d").code(0);
    let attached = {
        let mut up = stack.spawn("up");
        up.until(&format!("{}  ready", stack.name));
        assert_eq!(texts(&rows(&stack), "outcome")[0], "running");
        up.signal("INT");
        up.end().code(130)
    };
    assert!(attached.err.contains("interrupted"), "{}", attached.err);
    stack.run("down").code(0);
    let rows = rows(&stack);
    assert_eq!(texts(&rows, "command"), ["down", "up", "up", "up"]);
    assert_eq!(texts(&rows, "outcome"), ["succeeded", "cancelled, stopped", "succeeded", "succeeded"]);
    assert_eq!(rows[3]["created"], serde_json::json!(["db", "web"]));
    assert_eq!(rows[2]["recreated"], serde_json::json!(["web"]));
    assert_eq!(rows[0]["removed"], serde_json::json!(["db", "web"]));
    let table = stack.run("history --limit 2").code(0).out;
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.starts_with("RUN ") && table.contains("removed db, web"), "{table}");
    let id = table.lines().nth(1).and_then(|row| row.split_whitespace().next()).expect("an ID").to_owned();
    let shown = stack.run(&format!("history show {id}")).code(0).out;
    assert!(shown.contains(&format!("down of {}", stack.name)) && shown.contains("what was done"), "{shown}");
    stack.run("history show 19").code(2).says(&["no run of", "begins with `19`"]);
}

#[test]
fn a_failed_run_is_told_in_full_and_no_secret_is_in_its_folder() {
    for policy in ["rollback", "keep"] {
        let stack = Stack::new(&format!("history{policy}"), LEAKING);
        stack.write("key", "plantedfile\n");
        let mut up = stack.orch(&format!("up -d --on-failure {policy}"));
        up.env("GIVEN", "planteduser");
        crate::support::stack::Running::spawn(up).end().code(1);
        let kept = stack.kept();
        let names = |file: &str| kept.keys().any(|path| path.ends_with(file));
        for file in ["events.jsonl", "plan.json", "timings.json", "web-1/log.txt", "web-1/inspect.json"] {
            assert!(names(file), "{policy}: no {file} in {:?}", kept.keys());
        }
        for (path, text) in &kept {
            for line in text.lines() {
                assert!(!line.contains("planted"), "{path}: {line}");
            }
        }
        let shown = stack.run("history show").code(0).out;
        for words in
            ["web: exited with code 3", "plain-words", "created in", "plan.json", "containers/", "***"]
        {
            assert!(shown.contains(words), "{policy}: no `{words}` in:\n{shown}");
        }
        let listed = stack.run("history").code(0).out;
        assert!(listed.contains("web: exited with code 3"), "{policy}: why is not in:\n{listed}");
        let json = stack.run("history show --format json").code(0).out;
        let json: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["failures"][0]["exit_code"], 3);
        assert!(!json.to_string().contains("planted") && !shown.contains("planted"));
    }
}

#[test]
fn a_record_that_was_cut_short_or_is_no_record_is_listed_as_interrupted() {
    let stack = Stack::new("historykill", &YAML.replace("--port 80", "--port 80 --ready-after never"));
    let mut up = stack.spawn("up -d");
    up.until("web-1  probing");
    up.kill();
    let project = format!("state/docker-orch/{}", stack.name);
    stack.write(&format!("{project}/20260101T000000.000-1/events.jsonl"), "");
    stack.write(&format!("{project}/20260102T000000.000-1/events.jsonl"), "{\"seq\":0,\"at\":0.0,\"ev");
    let later = "{\"seq\":0,\"at\":0,\"event\":\"run_started\",\"format\":9}\nnonsense\n{\"event\":\"new\",\"seq\":1,\"at\":1}\n";
    stack.write(&format!("{project}/20260103T000000.000-1/events.jsonl"), later);
    stack.write(&format!("{project}/20260104T000000.000-1/notes.txt"), "no journal");
    assert_eq!(texts(&rows(&stack), "outcome"), ["interrupted"; 5]);
    for day in 1..=4 {
        let shown = stack.run(&format!("history show 2026010{day}")).code(0).out;
        assert!(shown.contains("interrupted: its record ends"), "{shown}");
    }
    let shown = stack.run("history show").code(0).out;
    assert!(shown.contains("what was done") && shown.contains("web-1"), "{shown}");
    // Whatever lies there, the next command finishes the job.
    stack.run("down").code(0);
    stack.is_gone_but(&[]);
    assert_eq!(texts(&rows(&stack), "outcome")[0], "succeeded");
}
