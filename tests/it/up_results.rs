//! What a run leaves for CI, however it ends: reports, and a folder with everything.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::stack::{Running, Stack};

/// A service, and tests that end with this code once it is ready; a secret is in the log of one of them.
fn ci(command_of_tests: &str) -> String {
    format!(
        "
services:
  db:
    image: docker-orch-example
    command: --tcp 5432 --log 'opened with hunter2-hunter2'
    environment: {{DB_PASSWORD: hunter2-hunter2}}
    x-orch: {{health_check: {{tcp: 5432}}}}
  tests:
    image: docker-orch-example
    command: {command_of_tests}
    depends_on: {{db: {{condition: service_healthy}}}}
"
    )
}

fn read(stack: &Stack, file: &str) -> String {
    let path = stack.folder().join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn summary(stack: &Stack, file: &str) -> Value {
    serde_json::from_str(&read(stack, file)).unwrap()
}

/// Outcome by service.
fn outcomes(summary: &Value) -> Vec<(&str, &str)> {
    let services = summary["services"].as_array().unwrap().iter();
    services.map(|s| (s["service"].as_str().unwrap(), s["outcome"].as_str().unwrap())).collect()
}

/// Everything below the folder, relative to it.
fn files(stack: &Stack, folder: &str) -> BTreeSet<String> {
    let root = stack.folder().join(folder);
    let (mut found, mut folders) = (BTreeSet::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(&root).unwrap().display().to_string());
            }
        }
    }
    found
}

#[test]
fn a_job_leaves_its_results_whatever_its_tests_say() {
    for (code, verdict, outcome) in [(0, "passed", "succeeded"), (42, "failed", "failed, stopped")] {
        let yaml = ci(&format!("--requires db:5432 --exit-after 300ms --exit-code {code}"));
        let stack = Stack::new(&format!("results{code}"), &yaml);
        let flags = "--artifacts out/all --junit out/junit.xml --summary out/summary.json";
        stack.run(&format!("up --exit-code-from tests {flags}")).code(code);
        assert!(stack.running().is_empty());

        let summary = summary(&stack, "out/summary.json");
        assert_eq!(outcomes(&summary), [("db", "passed"), ("tests", verdict)], "{summary:#}");
        assert_eq!((&summary["exit_code"], &summary["outcome"]), (&code.into(), &outcome.into()));
        let junit = read(&stack, "out/junit.xml");
        let failures = usize::from(code != 0);
        assert!(junit.contains(&format!(r#"tests="2" failures="{failures}" errors="0""#)), "{junit}");
        assert_eq!(junit.contains(r#"<failure type="exited" message="exited with code 42">"#), code != 0);
        assert!(junit.contains("exiting with"), "the log of `tests` is in it: {junit}");

        let container = |service: &str, file: &str| format!("containers/{}-{service}-1/{file}", stack.name);
        let mut expected: BTreeSet<String> =
            ["events.jsonl", "health.json", "junit.xml", "plan.json", "summary.json", "timings.json"]
                .map(str::to_owned)
                .into();
        for service in ["db", "tests"] {
            expected.extend(["log.txt", "inspect.json"].map(|file| container(service, file)));
        }
        assert_eq!(files(&stack, "out/all"), expected);
        for name in &expected {
            assert!(!read(&stack, &format!("out/all/{name}")).contains("hunter2"), "a secret in {name}");
        }
        let of = |service: &str, file: &str| read(&stack, &format!("out/all/{}", container(service, file)));
        assert!(of("db", "log.txt").contains("opened with ***"));
        let inspect: Value = serde_json::from_str(&of("tests", "inspect.json")).unwrap();
        assert_eq!(inspect["State"]["ExitCode"], code);
        assert_eq!(read(&stack, "out/junit.xml"), read(&stack, "out/all/junit.xml"));
    }
}

#[test]
fn what_failed_and_was_rolled_back_is_told_with_its_log() {
    let stack =
        Stack::new("resultsfail", &ci("--oneshot").replace("--tcp 5432", "--exit-code 3 --exit-after 1ms"));
    let mut up = stack.orch("up -d");
    up.env("DOCKER_ORCH_ARTIFACTS", "out");
    Running::spawn(up).end().code(1);
    stack.is_gone_but(&[]);
    let summary = summary(&stack, "out/summary.json");
    assert_eq!(outcomes(&summary), [("db", "failed"), ("tests", "skipped")], "{summary:#}");
    assert_eq!(summary["services"][0]["exit_code"], 3);
    let log = read(&stack, &format!("out/containers/{}-db-1/log.txt", stack.name));
    assert!(log.contains("exiting with 3") && !log.contains("hunter2"), "{log}");
    assert!(files(&stack, "out").contains(&format!("containers/{}-db-1/inspect.json", stack.name)));
    // The same folder is filled again.
    let mut up = stack.orch("up -d");
    up.env("DOCKER_ORCH_ARTIFACTS", "out");
    Running::spawn(up).end().code(1);
    assert_eq!(read(&stack, "out/events.jsonl").matches("run_started").count(), 1);
}

#[test]
fn a_job_that_is_killed_leaves_what_was_known() {
    let stack = Stack::new("resultskill", &ci("--tcp 1"));
    let mut up = stack.spawn("up --artifacts out");
    up.until("opened with");
    up.until(&format!("{}  ready", stack.name));
    up.kill();
    let summary = summary(&stack, "out/summary.json");
    assert_eq!((&summary["outcome"], &summary["exit_code"]), (&"interrupted".into(), &Value::Null));
    assert!(read(&stack, "out/junit.xml").ends_with("</testsuites>\n"));
    assert!(
        files(&stack, "out").iter().all(|name| !name.starts_with('.')),
        "a report that was not put in place"
    );
    // And from its record, as long as the machine has it.
    stack.run("history show --junit late.xml --summary late.json").code(0);
    assert!(read(&stack, "late.xml").contains(r#"name="outcome" value="interrupted""#));
    let late: Value = serde_json::from_str(&read(&stack, "late.json")).unwrap();
    assert_eq!(outcomes(&late), [("db", "passed"), ("tests", "passed")], "{late:#}");
}

#[test]
fn a_job_that_hangs_and_is_ended_cleans_up_and_says_so() {
    let stack = Stack::new("resultsterm", &ci("--tcp 1"));
    let mut up = stack.spawn("up --exit-code-from tests --artifacts out");
    up.until(&format!("{}  ready", stack.name));
    up.signal("TERM");
    up.end().code(130);
    assert!(stack.running().is_empty());
    let summary = summary(&stack, "out/summary.json");
    assert_eq!((&summary["outcome"], &summary["exit_code"]), (&"cancelled, stopped".into(), &130.into()));
    assert_eq!(outcomes(&summary), [("db", "passed"), ("tests", "interrupted")], "{summary:#}");
}

#[test]
fn a_file_that_is_wrong_leaves_results_too() {
    let stack = Stack::new("resultswrong", "services: {web: {imgae: x, environment: {TOKEN: hunter2}}}\n");
    stack.run("up --junit junit.xml --summary summary.json").code(2);
    let junit = read(&stack, "junit.xml");
    assert!(junit.contains("<error type=\"run\"") && junit.contains("imgae"), "{junit}");
    assert!(!junit.contains("hunter2"), "{junit}");
    assert_eq!(summary(&stack, "summary.json")["exit_code"], 2);
    stack.write("taken/file", "");
    stack.run("up --artifacts taken").code(2).says(&["holds something else", "hint: "]);
}

#[test]
fn run_leaves_results_too() {
    let stack = Stack::new("resultsrun", &ci("--requires db:5432 --exit-after 100ms --exit-code 9"));
    stack.run("run --rm --artifacts out -T tests").code(9);
    let summary = summary(&stack, "out/summary.json");
    assert_eq!(outcomes(&summary), [("db", "passed"), ("tests", "failed")], "{summary:#}");
    assert_eq!(summary["exit_code"], 9);
    let logs: Vec<String> =
        files(&stack, "out").into_iter().filter(|name| name.ends_with("log.txt")).collect();
    assert_eq!(logs.len(), 2, "{logs:?}");
    let of_tests = logs.iter().find(|name| name.contains("tests")).unwrap();
    assert!(read(&stack, &format!("out/{of_tests}")).contains("exiting with 9"));
}

#[test]
fn on_github_what_failed_is_annotated_and_containers_give_no_commands() {
    let yaml = ci("--oneshot").replace("opened with hunter2-hunter2", "::error::from a container")
        + "    profiles: []\n";
    let stack = Stack::new("github", &yaml.replace("--tcp 5432", "--exit-code 3 --exit-after 1ms"));
    let mut up = stack.orch("up");
    up.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", "step.md");
    up.env("GITHUB_WORKSPACE", stack.folder().parent().unwrap());
    let ran = Running::spawn(up).end().code(1);
    let folder = stack.folder().file_name().unwrap().to_str().unwrap();
    let annotation = format!("::error file={folder}/compose.yaml,line=3,title=db failed::exited with code 3");
    assert!(ran.out.contains(&annotation), "{}", ran.out);
    let (mut stopped, mut hidden) = (false, 0);
    for line in ran.out.lines() {
        if let Some(token) = line.strip_prefix("::stop-commands::") {
            assert_eq!(token.len(), 64);
            stopped = true;
        } else if line.len() == 68 && line.starts_with("::") && line.ends_with("::") {
            stopped = false;
        } else if line.contains("from a container") {
            assert!(stopped, "{line}\n{}", ran.out);
            hidden += 1;
        }
    }
    assert!(hidden > 0 && !stopped, "{}", ran.out);
    assert!(!ran.err.contains("::"), "{}", ran.err);
    let step = read(&stack, "step.md");
    assert!(step.contains("| db | ❌ failed |") && step.contains("| tests | ⏭️ skipped |"), "{step}");

    stack.write("compose.yaml", "services:\n  web:\n    imgae: x\n");
    let mut up = stack.orch("up");
    up.env("GITHUB_ACTIONS", "true").env("GITHUB_WORKSPACE", stack.folder());
    Running::spawn(up).end().code(2).says(&["::error file=compose.yaml,line=3,title=unknown-attribute::"]);
}
