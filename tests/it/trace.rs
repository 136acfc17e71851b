//! `--trace` on the real engine: what its file tells of a command, whatever becomes of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::Value;

use crate::support::stack::Stack;

const SECRET: &str = "plantedpassword";

/// `web` says its secret wherever it can: in its log, its check, its hooks.
const YAML: &str = "
services:
  db:
    image: docker-orch-example
    command: --tcp 5432 --ready-after 200ms
    x-orch: {health_check: {tcp: 5432}}
  web:
    image: docker-orch-example
    command: --port 80 --log plantedpassword
    environment: {API_PASSWORD: plantedpassword}
    depends_on: {db: {condition: service_healthy}}
    post_start: [{command: [echo, plantedpassword]}]
    pre_stop: [{command: [echo, plantedpassword]}]
    x-orch: {health_check: {exec: [echo, said, plantedpassword]}}
";

/// Something that took time, in whole nanoseconds.
#[derive(Debug)]
struct Slice {
    group: String,
    /// Its process and thread: a row.
    row: (u64, u64),
    name: String,
    began: i64,
    ended: i64,
    args: Value,
}

struct Trace {
    slices: Vec<Slice>,
    /// Names of rows.
    rows: BTreeMap<(u64, u64), String>,
    text: String,
}

#[expect(clippy::cast_possible_truncation, reason = "a test takes less than 292 years")]
fn nanos(micros: &Value) -> i64 {
    (micros.as_f64().expect("a number") * 1000.0).round() as i64
}

impl Trace {
    /// The file of a command; the end of its array may be missing.
    #[track_caller]
    fn read(stack: &Stack, file: &str) -> Self {
        let text = fs::read_to_string(stack.folder().join(file)).expect("the trace");
        let cut = text.trim_end().trim_end_matches(',');
        let whole = if cut.ends_with(']') { cut.to_owned() } else { format!("{cut}]") };
        let records: Vec<Value> =
            serde_json::from_str(&whole).unwrap_or_else(|e| panic!("no array of records: {e}\n{text}"));
        let of = |record: &Value| (record["pid"].as_u64().unwrap(), record["tid"].as_u64().unwrap_or(0));
        let named = |what: &'static str| {
            let names = records.iter().filter(move |r| r["ph"] == "M" && r["name"] == what);
            names.map(|r| (of(r), r["args"]["name"].as_str().unwrap().to_owned()))
        };
        let groups: BTreeMap<u64, String> = named("process_name").map(|((pid, _), n)| (pid, n)).collect();
        let slice = |record: &Value| Slice {
            group: groups[&of(record).0].clone(),
            row: of(record),
            name: record["name"].as_str().expect("a name").to_owned(),
            began: nanos(&record["ts"]),
            ended: nanos(&record["ts"]) + nanos(&record["dur"]),
            args: record["args"].clone(),
        };
        let slices: Vec<Slice> = records.iter().filter(|r| r["ph"] == "X").map(slice).collect();
        let this = Self { slices, rows: named("thread_name").collect(), text };
        this.is_sound();
        this
    }

    /// Nothing ends before it began, and what is in one row never overlaps.
    #[track_caller]
    fn is_sound(&self) {
        let mut rows: BTreeMap<(u64, u64), Vec<&Slice>> = BTreeMap::new();
        for slice in &self.slices {
            assert!(0 <= slice.began && slice.began <= slice.ended, "{slice:?}");
            rows.entry(slice.row).or_default().push(slice);
        }
        for slices in rows.values_mut() {
            slices.sort_by_key(|slice| (slice.began, slice.ended));
            for two in slices.windows(2) {
                assert!(two[0].ended <= two[1].began, "{:?} and {:?}", two[0], two[1]);
            }
        }
    }

    fn of(&self, group: &'static str) -> impl Iterator<Item = &Slice> {
        self.slices.iter().filter(move |slice| slice.group == group)
    }

    fn names(&self, group: &'static str) -> BTreeSet<&str> {
        self.of(group).map(|slice| slice.name.as_str()).collect()
    }

    /// The states of a container, in the order in which it had them.
    #[track_caller]
    fn states(&self, container: &str) -> Vec<&str> {
        let row = self.rows.iter().find(|(_, name)| *name == container);
        let row = *row.unwrap_or_else(|| panic!("no row of {container}: {:?}", self.rows)).0;
        let mut of: Vec<&Slice> = self.of("services").filter(|slice| slice.row == row).collect();
        of.sort_by_key(|slice| (slice.began, slice.ended));
        assert!(of.iter().all(|slice| slice.args["container"] == container), "{of:?}");
        of.into_iter().map(|slice| slice.name.as_str()).collect()
    }

    /// It has all these slices.
    #[track_caller]
    fn has(&self, group: &'static str, wanted: &[&str]) {
        let names = self.names(group);
        for name in wanted {
            assert!(names.contains(name), "no `{name}` in {group}: {names:?}");
        }
    }
}

/// What `wanted` says comes in this order, whatever is between.
#[track_caller]
fn in_order(states: &[&str], wanted: &[&str]) {
    let mut left = states.iter();
    for state in wanted {
        assert!(left.any(|s| s == state), "no `{state}` at its place in {states:?}");
    }
}

#[test]
fn an_up_and_a_down_tell_where_their_time_went() {
    let stack = Stack::new("trace", YAML);
    let container = |service: &str| format!("{}-{service}-1", stack.name);
    let (db, web) = (container("db"), container("web"));

    stack.run("--trace up.json up -d").code(0);
    let up = Trace::read(&stack, "up.json");
    up.has("docker orch", &["load", "connect", "lock", "observe", "plan"]);
    for replica in ["db-1", "web-1"] {
        in_order(&up.states(replica), &["creating", "created", "starting", "probing", "ready"]);
    }
    let steps = |verbs: &[&str]| -> Vec<String> {
        verbs.iter().flat_map(|verb| [format!("{verb} {db}"), format!("{verb} {web}")]).collect()
    };
    let [created, started] = ["create_container", "start_container"].map(|verb| steps(&[verb]));
    for step in created.iter().chain(&started) {
        up.has("steps", &[step.as_str()]);
    }
    for (request, service) in [
        ("create container", &db),
        ("create container", &web),
        ("start container", &db),
        ("start container", &web),
    ] {
        let of = up.of("engine requests").find(|r| r.name == request && r.args["for"] == service.as_str());
        let of = of.unwrap_or_else(|| panic!("no `{request}` for {service}"));
        // It was asked for while its step was under way.
        let step = format!("{} {service}", request.replace(' ', "_"));
        let step = up.of("steps").find(|s| s.name == step).expect("its step");
        let early = step.began.saturating_sub(of.began);
        assert!(early <= 1_000_000 && of.ended <= step.ended, "{of:?} and {step:?}");
    }
    // `web` starts after `db` is ready.
    let began = |name: &str| up.of("steps").find(|s| s.name == name).expect("a step").began;
    assert!(began(&started[0]) < began(&started[1]));
    let checks: Vec<&Slice> = up.of("probes").collect();
    assert!(checks.iter().any(|p| p.name.starts_with("web-1") && p.args["detail"] == "exit 0: said ***"));
    assert!(checks.iter().any(|p| p.name.starts_with("db-1") && p.args["passed"] == false));
    assert!(!up.text.contains(SECRET), "{}", up.text);

    stack.run("down --trace down.json").code(0);
    let down = Trace::read(&stack, "down.json");
    down.has("docker orch", &["load", "connect", "lock", "observe"]);
    for step in steps(&["stop_container", "remove_container"]) {
        down.has("steps", &[step.as_str()]);
    }
    down.has("engine requests", &["stop container", "remove container"]);
    assert!(!down.text.contains(SECRET), "{}", down.text);
    stack.is_gone_but(&[]);
}

#[test]
fn what_fails_is_told_without_its_secrets() {
    let failing = YAML.replace("post_start: [{command: [echo,", "post_start: [{command: [nonsense,");
    let stack = Stack::new("tracefail", &failing);
    stack.run("--trace up.json up -d --on-failure rollback").code(1);
    let up = Trace::read(&stack, "up.json");
    let failed: Vec<&Slice> = up.of("steps").filter(|s| s.args["error"].is_string()).collect();
    assert!(!failed.is_empty() && failed[0].name.starts_with("start_container"), "{failed:?}");
    assert!(failed[0].args["error"].as_str().unwrap().contains("***"), "{failed:?}");
    // What undoes it is there too, in rows that are the containers' own.
    up.has("steps", &[&format!("remove_container {}-db-1", stack.name)]);
    assert!(up.states("web-1").len() > 2);
    assert!(!up.text.contains(SECRET), "{}", up.text);
}

#[test]
fn a_command_that_asks_no_engine_has_a_trace_too() {
    let stack = Stack::new("traceconfig", YAML);
    let plain = stack.run("config").code(0);
    let ran = stack.run("--trace config.json config").code(0);
    assert_eq!((ran.out, ran.err), (plain.out, plain.err));
    let config = Trace::read(&stack, "config.json");
    assert!(!config.text.contains(SECRET));
    assert!(config.of("engine requests").next().is_none());
}

#[test]
fn a_file_that_cannot_be_written_ends_the_command_before_it_begins() {
    let stack = Stack::new("tracenot", YAML);
    for command in ["up -d", "down", "config"] {
        let ran = stack.run(&format!("--trace no/such/folder.json {command}")).code(1);
        assert!(ran.err.contains("failed to write `no/such/folder.json`"), "{command}: {}", ran.err);
        assert!(ran.err.contains("No such file or directory"), "{command}: {}", ran.err);
        assert!(ran.out.is_empty(), "{command}: {}", ran.out);
    }
    stack.is_gone_but(&[]);
    assert!(stack.kept().is_empty(), "{:?}", stack.kept().keys());
}

#[test]
fn what_a_killed_command_wrote_can_be_read() {
    let stack = Stack::new("tracekill", &YAML.replace("--ready-after 200ms", "--ready-after never"));
    let mut up = stack.spawn("--trace up.json up -d");
    up.until("probing");
    up.kill();
    let up = Trace::read(&stack, "up.json");
    up.has("docker orch", &["load", "connect", "observe"]);
    up.has("steps", &[&format!("start_container {}-db-1", stack.name)]);
    stack.run("down").code(0);
}
