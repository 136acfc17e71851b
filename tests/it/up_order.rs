//! `up` of the five-wave example on the real engine: what starts when, by the engine's own times.

use std::collections::BTreeMap;

use serde_yaml::Value;

use crate::support::stack::{Seen, Stack};

/// The example's file, as any reader of YAML sees it.
fn file() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/compose-examples/five-wave/compose.yaml");
    let text = std::fs::read_to_string(path).expect("the example");
    let mut file: Value = serde_yaml::from_str(&text).expect("YAML");
    file.apply_merge().expect("merge keys");
    file
}

fn keys(value: &Value) -> Vec<String> {
    let names = value.as_mapping().into_iter().flat_map(|m| m.keys());
    names.filter_map(|k| k.as_str().map(str::to_owned)).collect()
}

fn waves(file: &Value) -> Vec<Vec<String>> {
    let names = |wave: &Value| {
        let services = wave["services"].as_sequence().expect("a list").iter();
        services.map(|s| s.as_str().expect("a name").to_owned()).collect()
    };
    file["x-orch"]["waves"].as_sequence().expect("a list").iter().map(names).collect()
}

/// When each service says in its log that it is ready.
fn ready_lines(stack: &Stack, containers: &BTreeMap<String, Seen>) -> BTreeMap<String, String> {
    let ready = |c: &Seen| {
        stack.log(&c.id).into_iter().find(|(_, text)| text.split_whitespace().any(|w| w == "ready"))
    };
    let times = containers.iter().map(|(name, c)| (name.clone(), ready(c)));
    times
        .map(|(name, line)| (name.clone(), line.unwrap_or_else(|| panic!("{name} is not ready")).0))
        .collect()
}

#[test]
fn every_container_of_five_waves_starts_after_its_gates() {
    let stack = Stack::of_example("order", "five-wave");
    stack.run("up -d").code(0).says(&["30 services ready"]);
    let containers: BTreeMap<String, Seen> =
        stack.containers().into_iter().map(|c| (c.service.clone(), c)).collect();
    assert_eq!(containers.len(), 30);
    let file = file();
    let ready = ready_lines(&stack, &containers);
    let critical = |name: &str| file["services"][name]["x-orch"]["critical"] != Value::Bool(false);

    let mut gates = 0;
    for (name, container) in &containers {
        let wanted = &file["services"][name.as_str()]["depends_on"];
        for on in keys(wanted).iter().filter(|on| wanted[on.as_str()]["condition"] == "service_healthy") {
            assert!(ready[on] <= container.started, "{name} started before {on} was ready");
            gates += 1;
        }
    }
    assert!(gates >= 18, "only {gates} dependencies were looked at");

    let waves = waves(&file);
    for (before, after) in waves.iter().zip(&waves[1..]) {
        let opened = before.iter().filter(|n| critical(n)).map(|n| &ready[n]).max().unwrap();
        for name in after {
            assert!(
                *opened <= containers[name].started,
                "{name} started before the wave before it was ready"
            );
        }
    }
    // Inside a wave they start together, not one after the other.
    let together = |name: &str| containers[name].started < ready["stt"];
    assert!(["tts", "stt", "face-recognition", "manager"].into_iter().all(together));

    stack.run("down -v").code(0);
    stack.is_gone_but(&[]);
}

#[test]
fn a_failure_in_wave_three_leaves_nothing_but_volumes_and_logs() {
    let stack = Stack::of_example("wave3", "five-wave");
    let mut up = stack.orch("up -d");
    up.env("NLU_FAULT", "--exit-after 300ms --exit-code 3 --log password=hunter2");
    let ran = crate::support::stack::Running::spawn(up).end().code(1);
    ran.says(&["← nlu: keeps exiting, last with code 3", "rolled back", "saved in", "try:"]);
    stack.is_gone_but(&["database", "knowledge", "metrics", "models"]);
    let kept = stack.kept();
    let nlu = kept.iter().find(|(path, _)| path.ends_with("nlu-1/log.txt")).expect("the log of nlu");
    assert!(nlu.1.contains("exiting with 3"), "{nlu:?}");
    // Containers are all made early, whatever their wave.
    assert_eq!(kept.keys().filter(|path| path.ends_with("/log.txt")).count(), 30);
}
