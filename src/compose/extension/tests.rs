//! Files in, projects and messages out.

use insta::assert_snapshot;

use super::*;
use crate::{
    compose::{decode, source::Environment, yaml},
    diagnostic::{Diagnostic, Severity, SourceMap, render_all},
    project::{
        Bytes, Check, ContainerCondition, HealthSpec, OrchDependencyOn, ProbeSpec, Project, Require, Vram,
    },
};

mod demand;
mod readiness;
mod tenants;

fn load(text: &str) -> (Project, Vec<Diagnostic>, SourceMap) {
    let mut sources = SourceMap::default();
    let file = sources.add("compose.yaml", text);
    let tree = yaml::documents(file, &sources).unwrap().remove(0);
    let (mut project, problems) = decode::project(&tree, "p", &Environment::default());
    assert_eq!(problems, []);
    let problems = apply(&tree, &mut project);
    (project, problems, sources)
}

fn good(text: &str) -> Project {
    let (project, problems, sources) = load(text);
    let complaints = problems.iter().filter(|problem| problem.code != "not-acted-on");
    assert_eq!(render_all(complaints, &sources, false), "");
    project
}

fn messages(text: &str) -> String {
    let (_, problems, sources) = load(text);
    render_all(&problems, &sources, false)
}

/// The health check of the only service, which exposes port 8080.
fn health(check: &str) -> HealthSpec {
    let text = format!(
        "services:\n  web:\n    image: x\n    expose: [\"8080\"]\n    x-orch:\n      health_check: {check}\n  redis: {{image: x, expose: [\"6379\"], container_name: cache}}\n"
    );
    good(&text).services["web"].orch.health_check.clone().unwrap()
}

fn only(check: &str) -> Check {
    let spec = health(check);
    assert_eq!((spec.stages.len(), spec.stages[0].checks.len()), (1, 1));
    spec.stages[0].checks[0].clone()
}

fn words(probe: &ProbeSpec) -> String {
    match probe {
        ProbeSpec::Http(p) => {
            let host = p.host.as_deref().unwrap_or("-");
            format!("{} {}://{host}:{}{} {:?}", p.method, p.scheme, p.port, p.path, p.status)
        }
        ProbeSpec::Tcp { host, port } => format!("tcp {}:{port}", host.as_deref().unwrap_or("-")),
        ProbeSpec::Grpc { host, port, service } => {
            format!("grpc {}:{port}/{service}", host.as_deref().unwrap_or("-"))
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn every_spelling_of_a_check_is_read() {
    for (text, expected) in [
        ("{type: http, endpoint: /health, port: 8200}", "GET http://-:8200/health [(200, 299)]"),
        ("{http: /health}", "GET http://-:8080/health [(200, 299)]"),
        ("{http: ':8220/health'}", "GET http://-:8220/health [(200, 299)]"),
        ("{http: 8220}", "GET http://-:8220/ [(200, 299)]"),
        ("{http: 'https://redis:1/p'}", "GET https://redis:1/p [(200, 299)]"),
        ("{http: 'http://web:1/p'}", "GET http://-:1/p [(200, 299)]"),
        ("{http: 'http://cache:1/p'}", "GET http://redis:1/p [(200, 299)]"),
        (
            "{http: {url: /a, method: post, status: [2xx, 401, 500-502]}}",
            "POST http://-:8080/a [(200, 299), (401, 401), (500, 502)]",
        ),
        ("{type: http}", "GET http://-:8080/ [(200, 299)]"),
        ("{tcp: 5432}", "tcp -:5432"),
        ("{tcp: 'redis:6379'}", "tcp redis:6379"),
        ("{tcp: 'db.corp:5432'}", "tcp db.corp:5432"),
        ("{type: tcp}", "tcp -:8080"),
        ("{service: redis, http: /x}", "GET http://redis:6379/x [(200, 299)]"),
        ("{service: redis, tcp: 1}", "tcp redis:1"),
        ("{grpc: 50051}", "grpc -:50051/"),
        ("{grpc: {port: 50051, service: shop.Cart}}", "grpc -:50051/shop.Cart"),
        ("{type: grpc, port: 50051}", "grpc -:50051/"),
        ("{type: grpc}", "grpc -:8080/"),
        ("{service: redis, grpc: 1}", "grpc redis:1/"),
        ("{test: curl -f http://localhost:8200/health}", "GET http://localhost:8200/health [(100, 399)]"),
    ] {
        assert_eq!(words(&only(text).probe), expected, "{text}");
    }
    for (text, expected) in [
        ("{exec: [a, b c]}", ProbeSpec::Exec { command: vec!["a".to_owned(), "b c".to_owned()] }),
        (
            "{type: exec, command: a | b}",
            ProbeSpec::Exec { command: ["/bin/sh", "-c", "a | b"].map(str::to_owned).to_vec() },
        ),
        ("{test: [CMD, a]}", ProbeSpec::Exec { command: vec!["a".to_owned()] }),
        ("{log: 'ready.*'}", ProbeSpec::Log { pattern: "ready.*".to_owned() }),
        ("{container: healthy}", ProbeSpec::Container(ContainerCondition::Healthy)),
        ("{service: redis}", ProbeSpec::Service { name: "redis".to_owned(), stage: None }),
    ] {
        assert_eq!(only(text).probe, expected, "{text}");
    }
}

#[test]
fn times_are_read_and_have_defaults() {
    let check =
        only("{http: /, interval: 7s, timeout: 3s, retries: 4, start_period: 10s, success_threshold: '2'}");
    let times = [check.interval, check.timeout, check.start_period].map(|time| time.as_secs());
    assert_eq!((times, check.failure_threshold, check.success_threshold), ([7, 3, 10], 4, 2));
    let check = only("{http: /}");
    assert_eq!((check.interval.as_secs(), check.timeout.as_secs(), check.failure_threshold), (10, 5, 3));
    assert_eq!(only("{log: x}").timeout.as_secs(), 600, "a log is followed");
}

#[test]
fn a_single_check_is_a_stage_of_one() {
    let spec = health("{http: /, critical: false}");
    assert_eq!(spec.stages[0].name, "ready");
    assert!(!spec.stages[0].critical && spec.stages[0].checks[0].critical);
    assert_eq!(spec.liveness, None);
}

#[test]
fn a_composite_check_is_one_stage_and_gives_its_times_to_its_checks() {
    let spec = health(
        "{type: composite, require: 75%, timeout: 2s, checks: [{http: /a}, {name: b, tcp: 1, timeout: 9s, critical: false}]}",
    );
    let [stage] = spec.stages.as_slice() else { panic!() };
    assert_eq!((stage.require, stage.timeout), (Require::Percent(75), None));
    let checks: Vec<_> =
        stage.checks.iter().map(|c| (c.name.as_str(), c.timeout.as_secs(), c.critical)).collect();
    assert_eq!(checks, [("http /a", 2, true), ("b", 9, false)]);
}

#[test]
fn a_stage_has_a_deadline_of_its_own() {
    let spec = health(
        "{stages: [{name: up, container: running, timeout: 10s}, {name: loaded, start_period: 120s, timeout: 10m, checks: [{http: /m, timeout: 10s}]}, {name: full, tcp: 1, timeout: 60s, critical: false}], liveness: {http: /, interval: 4s}}",
    );
    let stages: Vec<_> = spec
        .stages
        .iter()
        .map(|s| {
            let deadline = s.timeout.map(|t| t.as_secs());
            (s.name.as_str(), deadline, s.checks[0].timeout.as_secs(), s.critical, s.start_period.as_secs())
        })
        .collect();
    assert_eq!(
        stages,
        [("up", Some(10), 5, true, 0), ("loaded", Some(600), 10, true, 120), ("full", Some(60), 5, false, 0)]
    );
    let liveness = spec.liveness.unwrap();
    assert_eq!((liveness.name.as_str(), liveness.checks[0].interval.as_secs()), ("liveness", 4));
}

#[test]
fn dependency_checks_join_the_last_stage() {
    let spec = health("{http: /, dependency_checks: [{service: redis, endpoint: /h}, {service: redis}]}");
    let probes: Vec<String> = spec.stages[0].checks.iter().map(|check| words(&check.probe)).collect();
    assert_eq!(probes[1], "GET http://redis:6379/h [(200, 299)]");
    assert!(probes[2].starts_with("Service"), "{probes:?}");
}

#[test]
fn waves_are_read_as_a_list_as_a_map_and_from_services() {
    let services = "services:\n  a: {image: x}\n  b: {image: x}\n  c: {image: x, x-orch: {wave: two}}\n";
    for waves in [
        "[{name: one, services: [a], timeout: 60s}, {name: two, sequential: [b], ready_when: 80%}]",
        "{one: {parallel: [a], timeout: 1m}, two: {sequential: [b], ready_when: 80%}}",
    ] {
        let project = good(&format!("x-orch:\n  waves: {waves}\n{services}"));
        let [one, two] = project.orch.waves.as_slice() else { panic!() };
        assert_eq!((one.name.as_str(), one.timeout.map(|t| t.as_secs())), ("one", Some(60)));
        assert_eq!(one.parallel, ["a"]);
        assert_eq!(
            (two.parallel.as_slice(), two.sequential.as_slice()),
            (&["c".to_owned()][..], &["b".to_owned()][..])
        );
        assert_eq!(two.ready_when, Require::Percent(80));
    }
    let project = good(&format!("x-orch: {{waves: {{two: [b, a]}}}}\n{services}"));
    assert_eq!(project.orch.waves[0].parallel, ["b", "a", "c"]);
}

#[test]
fn a_services_own_settings_are_read() {
    let project = good(
        "services:
  a: {image: x, x-orch: {health_check: {stages: [{name: up, tcp: 1}]}}}
  b:
    image: x
    x-orch:
      critical: false
      start: {retries: 3, backoff: 500ms, timeout: 10m}
      resources: {vram: 20GiB}
      rerun: always
      depends_on:
        a: {stage: up, required: false}
        db: {check: {tcp: 'db.corp:5432'}}
",
    );
    let orch = &project.services["b"].orch;
    assert!(!orch.critical && orch.rerun_always);
    assert_eq!((orch.start.retries, orch.start.backoff.as_millis()), (3, 500));
    assert_eq!(orch.vram.unwrap(), Vram::InAll(Bytes(20 << 30)));
    assert!(!orch.depends_on["a"].required);
    assert!(
        matches!(&orch.depends_on["a"].on, OrchDependencyOn::Service { stage: Some(s), .. } if s == "up")
    );
    let OrchDependencyOn::Check(check) = &orch.depends_on["db"].on else { panic!() };
    assert_eq!((check.name.as_str(), words(&check.probe).as_str()), ("db", "tcp db.corp:5432"));
}

#[test]
fn what_is_not_acted_on_yet_is_said() {
    let (_, problems, _) = load(
        "x-orch: {rollback: {window: 5m, conditions: [{condition: error_rate > 10%}]}}
services: {a: {image: x, x-orch: {job: {queue: q}, health_check: {tcp: 1}}}}
",
    );
    let said: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    assert!(problems.iter().all(|problem| problem.severity == Severity::Warning));
    assert_eq!(said, ["services.a.x-orch.job is not acted on yet"]);
}

#[test]
fn slips_are_shown_where_they_are() {
    assert_snapshot!(messages(
        "x-orch: {wave: [], startup: {mode: grap, timeout: 5}}\nservices: {a: {image: x, x-orch: {critcal: false}}}\n"
    ), @r###"
error[unknown-attribute]: services.a.x-orch has no attribute `critcal`
 --> compose.yaml:2:35
  |
2 | services: {a: {image: x, x-orch: {critcal: false}}}
  |                                   ^^^^^^^
  |
  = help: did you mean `critical`?

error[unknown-attribute]: x-orch has no attribute `wave`
 --> compose.yaml:1:10
  |
1 | x-orch: {wave: [], startup: {mode: grap, timeout: 5}}
  |          ^^^^
  |
  = help: did you mean `waves`?

error[wrong-value]: x-orch.startup.mode must be one of `waves`, `graph`, `sequential`
 --> compose.yaml:1:36
  |
1 | x-orch: {wave: [], startup: {mode: grap, timeout: 5}}
  |                                    ^^^^
  |
  = help: did you mean `graph`?

error[wrong-value]: x-orch.startup.timeout must be a duration such as `1m30s`
 --> compose.yaml:1:51
  |
1 | x-orch: {wave: [], startup: {mode: grap, timeout: 5}}
  |                                                   ^ `5` has no unit; write `5s` for seconds
"###);
}

#[test]
fn names_must_exist() {
    assert_snapshot!(messages(
        "x-orch:
  waves: [{name: one, services: [databse]}, {name: two}]
services:
  database: {image: x, x-orch: {health_check: {stages: [{name: up, tcp: 1}]}}}
  web: {image: x, x-orch: {wave: oen, depends_on: {database: {stage: upp}, chache: {}}}}
"
    ), @r###"
error[unknown-stage]: service database has no stage `upp`
 --> compose.yaml:5:70
  |
5 |   web: {image: x, x-orch: {wave: oen, depends_on: {database: {stage: upp}, chache: {}}}}
  |                                                                      ^^^
  |
  = help: did you mean `up`?

error[unknown-service]: there is no service `chache`
 --> compose.yaml:5:76
  |
5 |   web: {image: x, x-orch: {wave: oen, depends_on: {database: {stage: upp}, chache: {}}}}
  |                                                                            ^^^^^^
  |
  = help: for something outside the project write `check: {tcp: "host:port"}`

error[unknown-wave]: there is no wave `oen`
 --> compose.yaml:5:34
  |
5 |   web: {image: x, x-orch: {wave: oen, depends_on: {database: {stage: upp}, chache: {}}}}
  |                                  ^^^
  |
  = help: did you mean `one`?

error[unknown-service]: there is no service `databse`
 --> compose.yaml:2:34
  |
2 |   waves: [{name: one, services: [databse]}, {name: two}]
  |                                  ^^^^^^^ in wave `one`
  |
  = help: did you mean `database`?

error[empty-wave]: wave `two` has no services
 --> compose.yaml:2:45
  |
2 |   waves: [{name: one, services: [databse]}, {name: two}]
  |                                             ^^^^^^^^^^^
  |
  = help: name some, or remove the wave
"###);
}

#[test]
fn a_check_must_say_what_it_checks() {
    assert_snapshot!(messages(
        "services:
  a: {image: x, x-orch: {health_check: {http: /health}}}
  b: {image: x, x-orch: {health_check: {http: ':80/', tcp: 1}}}
  c: {image: x, x-orch: {health_check: {interval: 5s}}}
  d: {image: x, x-orch: {health_check: {grpc: {service: shop.Cart}}}}
  e: {image: x, x-orch: {health_check: {log: '('}}}
"
    ), @r###"
error[missing-port]: this check needs a port
 --> compose.yaml:2:47
  |
2 |   a: {image: x, x-orch: {health_check: {http: /health}}}
  |                                               ^^^^^^^ service a publishes and exposes no port
  |
  = help: write `:PORT/path`, or give the check a `port`

error[two-checks]: one check cannot have both `http` and `tcp`
 --> compose.yaml:3:55
  |
3 |   b: {image: x, x-orch: {health_check: {http: ':80/', tcp: 1}}}
  |                                         ----          ^^^
  |                                         |
  |                                         the other one
  |
  = help: write a list of `checks`

error[missing-check]: this check does not say what to check
 --> compose.yaml:4:40
  |
4 |   c: {image: x, x-orch: {health_check: {interval: 5s}}}
  |                                        ^^^^^^^^^^^^^^
  |
  = help: give it one of http, tcp, grpc, exec, test, log, container, service

error[missing-port]: this check needs a port
 --> compose.yaml:5:47
  |
5 |   d: {image: x, x-orch: {health_check: {grpc: {service: shop.Cart}}}}
  |                                               ^^^^^^^^^^^^^^^^^^^^ service d publishes and exposes no port
  |
  = help: write `:PORT/path`, or give the check a `port`

error[bad-pattern]: this is no regular expression
 --> compose.yaml:6:46
  |
6 |   e: {image: x, x-orch: {health_check: {log: '('}}}
  |                                              ^^^ unclosed group
"###);
}

#[test]
fn a_service_stands_in_one_wave() {
    assert_snapshot!(messages(
        "x-orch: {waves: {one: [a], two: [b, a]}}\nservices: {a: {image: x}, b: {image: x}}\n"
    ), @"
    error[service-in-two-waves]: service a stands in two places of the waves
     --> compose.yaml:1:37
      |
    1 | x-orch: {waves: {one: [a], two: [b, a]}}
      |                        -            ^ in wave `two`
      |                        |
      |                        in wave `one`
      |
      = help: a service starts once: keep one of the two
    ");
}

#[test]
fn a_wave_order_that_contradicts_a_dependency_shows_both_sides() {
    assert_snapshot!(messages(
        "x-orch: {waves: {one: [web], two: [db]}}
services:
  db: {image: x}
  web: {image: x, depends_on: {db: {condition: service_started}}}
"
    ), @r###"
error[wave-order]: the order of the waves contradicts what the services wait for
 --> compose.yaml:4:32
  |
1 | x-orch: {waves: {one: [web], two: [db]}}
  |                        ---         -- db is in wave `two`
  |                        |
  |                        web is in wave `one`
...
4 |   web: {image: x, depends_on: {db: {condition: service_started}}}
  |                                ^^ web depends on db
  |
  = help: move one of the services to another wave, or drop the dependency
"###);
}

#[test]
fn services_that_wait_for_each_other_are_refused() {
    assert_snapshot!(messages(
        "services:
  a: {image: x, x-orch: {depends_on: {b: {}}}}
  b: {image: x, x-orch: {health_check: {checks: [{tcp: 1}, {service: a}]}}}
"
    ), @r###"
error[dependency-cycle]: these services wait for each other
 --> compose.yaml:2:39
  |
2 |   a: {image: x, x-orch: {depends_on: {b: {}}}}
  |                                       ^ a waits for b
3 |   b: {image: x, x-orch: {health_check: {checks: [{tcp: 1}, {service: a}]}}}
  |                                                                      - b is ready only with a
"###);
    // Ready together, started apart: fine.
    good(
        "services:
  a: {image: x, depends_on: {b: {condition: service_started}}}
  b: {image: x, x-orch: {health_check: {service: a}}}
",
    );
}

#[test]
fn the_schema_knows_every_key_and_where_it_stands() {
    let schema = json_schema();
    let at = |pointer: &str| schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer}"));
    assert_eq!(at("/$defs/project/properties/on_failure/enum/0"), "rollback");
    assert_eq!(at("/$defs/project/additionalProperties"), false);
    assert_eq!(at("/properties/services/additionalProperties/properties/x-orch/$ref"), "#/$defs/service");
    assert!(
        at("/$defs/service/properties/idle/anyOf/0/properties/sleep_after/description")
            .as_str()
            .unwrap()
            .contains("not acted on yet")
    );
    let health = "/$defs/service/properties/health_check/anyOf";
    let stage = format!("{health}/0/properties/stages/items/properties");
    assert!(
        at(&format!("{stage}/progress/properties/at_most/description")).as_str().unwrap().contains("15m")
    );
    assert_eq!(at(&format!("{health}/1/enum/0")), "auto");
}
