//! Breakers, progress, and recipes for model servers.

use std::time::Duration;

use super::*;
use crate::project::BreakerSpec;

fn llm(image: &str, more: &str, check: &str) -> String {
    format!("services: {{llm: {{{image}{more}, x-orch: {{health_check: {check}}}}}}}\n")
}

fn recipe(text: &str) -> HealthSpec {
    good(text).services["llm"].orch.health_check.clone().expect("a health check")
}

/// Stages with their deadlines, and everything that is asked.
fn shown(spec: &HealthSpec) -> Vec<String> {
    let stages = spec.stages.iter().chain(&spec.liveness).map(|stage| {
        let checks: Vec<String> = stage.checks.iter().map(|check| words(&check.probe)).collect();
        let limit = stage.timeout.map_or("-".to_owned(), |time| format!("{}s", time.as_secs()));
        format!("{} {limit} {:?}: {}", stage.name, stage.require, checks.join(" | "))
    });
    stages.collect()
}

#[test]
fn a_breaker_belongs_to_what_somebody_else_answers() {
    let check = only("{tcp: 'db.corp:5432', failure_threshold: 4, breaker: {open: 30s}}");
    assert_eq!(check.breaker, Some(BreakerSpec { failures: 4, open: Duration::from_secs(30) }));
    let check = only("{service: redis, breaker: {failures: 5}}");
    assert_eq!(check.breaker, Some(BreakerSpec { failures: 5, open: Duration::from_mins(1) }));
    let spec = health(
        "{breaker: {failures: 2}, checks: [{tcp: 1}, {tcp: 'redis:1'}, {tcp: 'x:1', breaker: {failures: 9}}]}",
    );
    let failures = spec.stages[0].checks.iter().map(|check| check.breaker.map(|b| b.failures));
    assert_eq!(failures.collect::<Vec<_>>(), [None, Some(2), Some(9)]);
    let spec = health("{tcp: 1, dependency_checks: [{service: redis, endpoint: /, port: 1, breaker: {}}]}");
    assert!(spec.stages[0].checks[1].breaker.is_some());
    assert_snapshot!(messages(
        "services:
  a: {image: x, x-orch: {health_check: {tcp: 1, breaker: {failures: 5}}}}
  b: {image: x, x-orch: {health_check: {test: curl -f http://localhost:1/, breaker: {failures: 0}}}}
"
    ), @r###"
error[misplaced-breaker]: no check here asks anybody but the service
 --> compose.yaml:2:58
  |
2 |   a: {image: x, x-orch: {health_check: {tcp: 1, breaker: {failures: 5}}}}
  |                                                          ^^^^^^^^^^^^^ a breaker is for a check on another service or on something outside

error[wrong-value]: services.b.x-orch.health_check.breaker.failures must be a whole number from 1 on
 --> compose.yaml:3:96
  |
3 |   b: {image: x, x-orch: {health_check: {test: curl -f http://localhost:1/, breaker: {failures: 0}}}}
  |                                                                                                ^
"###);
}

#[test]
fn what_is_asked_before_the_start_is_not_the_service_itself() {
    let text = "services: {a: {image: x, x-orch: {depends_on: {db: {check: {tcp: 5432}}}}}}\n";
    let (_, problems, _) = load(text);
    assert_eq!(problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["misplaced-check"]);
    good(
        "services: {a: {image: x, x-orch: {depends_on: {db: {check: {tcp: 'db.corp:5432', breaker: {}}}}}}}\n",
    );
}

#[test]
fn progress_has_defaults_and_a_deadline_to_move() {
    let spec = health(
        r"{stages: [{name: a, tcp: 1}, {name: b, tcp: 1, timeout: 2m, progress: {log: '(\d+)%', extend: 30s, at_most: 20m}}], progress: {log: 'x'}}",
    );
    let progress: Vec<_> = spec
        .stages
        .iter()
        .map(|stage| {
            let progress = stage.progress.as_ref().unwrap();
            (
                progress.log.as_str(),
                progress.extend.as_secs(),
                progress.at_most.as_secs(),
                stage.timeout.unwrap().as_secs(),
            )
        })
        .collect();
    assert_eq!(progress, [("x", 60, 900, 60), (r"(\d+)%", 30, 1200, 120)]);
    assert_eq!(health("{tcp: 1, progress: {log: x}}").stages[0].timeout, Some(Duration::from_mins(1)));
    assert_eq!(spec.longest(), Duration::from_mins(15 + 20));
    assert_snapshot!(messages(
        "services:
  a: {image: x, x-orch: {health_check: {tcp: 1, progress: {extend: 5s}}}}
  b: {image: x, x-orch: {health_check: {tcp: 1, progress: {log: '('}}}}
"
    ), @r###"
error[missing-pattern]: progress needs the `log` pattern that shows it
 --> compose.yaml:2:59
  |
2 |   a: {image: x, x-orch: {health_check: {tcp: 1, progress: {extend: 5s}}}}
  |                                                           ^^^^^^^^^^^^
  |
  = help: write `progress: {log: 'loaded (\d+)%'}`

error[bad-pattern]: this is no regular expression
 --> compose.yaml:3:65
  |
3 |   b: {image: x, x-orch: {health_check: {tcp: 1, progress: {log: '('}}}}
  |                                                                 ^^^ unclosed group
"###);
}

#[test]
fn the_default_for_the_whole_start_cuts_no_deadline_of_the_file_short() {
    let text = "services:
  a: {image: x, x-orch: {health_check: {stages: [{name: s, tcp: 1, timeout: 10m}]}}}
  b: {image: x, x-orch: {start: {timeout: 7m}, health_check: {stages: [{name: s, tcp: 1, timeout: 99m}]}}}
  c: {image: x}
";
    assert_eq!(good(text).default_start_timeout(), Duration::from_mins(5 + 10 + 7));
    assert_eq!(good("services: {c: {image: x}}").default_start_timeout(), Duration::from_mins(5));
}

#[test]
fn a_recipe_goes_by_the_image_or_by_its_name() {
    let spec = recipe(&llm("image: 'mirror.corp/vllm/vllm-openai:v0.11'", "", "auto"));
    assert_eq!(spec.recipe, Some("vllm"));
    assert_snapshot!(shown(&spec).join("\n"), @r###"
started 60s All: Container(Running)
models_loaded 600s Any: Log { pattern: "(?:Loading (?:model )?weights|Model loading) took" } | GET http://-:8000/health [(200, 299)]
ready 600s All: GET http://-:8000/health [(200, 299)] | GET http://-:8000/v1/models [(200, 299)]
liveness - All: GET http://-:8000/health [(200, 299)]
"###);
    let own = recipe(&llm("build: {context: .}", "", "{recipe: llama.cpp, port: 9931, timeout: 20m}"));
    assert_snapshot!(shown(&own).join("\n"), @r###"
listening 1200s All: tcp -:9931
ready 1200s All: GET http://-:9931/health [(200, 299)]
liveness - All: GET http://-:9931/health [(200, 299)]
"###);
    let spec =
        recipe(&llm("image: ollama/ollama", "", "{recipe: auto, liveness: {tcp: 11434, interval: 7s}}"));
    assert_eq!(spec.liveness.unwrap().checks[0].interval, Duration::from_secs(7));
    let progress = recipe(&llm("image: lmsysorg/sglang", "", "{recipe: sglang, progress: {log: x}}"));
    assert!(progress.stages.iter().all(|stage| stage.progress.as_ref().unwrap().log == "x"));
}

#[test]
fn a_recipe_follows_the_port_that_the_service_gives() {
    for (more, port) in [
        ("", 8000),
        (", command: [--model, x, --port, '8001']", 8001),
        (", command: --model x --port=8002", 8002),
        (", command: --port", 8000),
    ] {
        let spec = recipe(&llm("image: vllm/vllm-openai", more, "auto"));
        assert!(shown(&spec)[2].contains(&format!(":{port}/health")), "{more}: {:?}", shown(&spec));
    }
    let spec = recipe(&llm("image: ollama/ollama", ", environment: {OLLAMA_HOST: '0.0.0.0:12000'}", "auto"));
    assert!(shown(&spec)[0].contains(":12000/"), "{:?}", shown(&spec));
}

#[test]
fn where_releases_listen_at_different_ports_any_of_them_is_enough() {
    let spec = recipe(&llm("image: ggml-org/llama.cpp:server", "", "auto"));
    assert_snapshot!(shown(&spec).join("\n"), @r###"
listening 300s Any: tcp -:8080 | tcp -:9931
ready 600s Any: GET http://-:8080/health [(200, 299)] | GET http://-:9931/health [(200, 299)]
liveness - Any: GET http://-:8080/health [(200, 299)] | GET http://-:9931/health [(200, 299)]
"###);
    let given =
        recipe(&llm("image: ggml-org/llama.cpp:server", ", environment: {LLAMA_ARG_PORT: '81'}", "auto"));
    assert_eq!(shown(&given)[0], "listening 300s All: tcp -:81");
}

#[test]
fn others_may_wait_for_a_stage_of_a_recipe() {
    good(
        "services: {llm: {image: vllm/vllm-openai, x-orch: {health_check: auto}}, web: {image: x, x-orch: {depends_on: {llm: {stage: models_loaded}}}}}\n",
    );
}

#[test]
fn a_plain_file_has_no_recipe() {
    let project = good(
        "services: {llm: {image: vllm/vllm-openai}, tts: {image: ollama/ollama, x-orch: {critical: false}}}\n",
    );
    assert!(project.services.values().all(|service| service.orch.health_check.is_none()));
}

#[test]
fn what_no_recipe_is_known_for_is_said() {
    assert_snapshot!(messages(
        "services:
  a: {image: nginx, x-orch: {health_check: auto}}
  b: {build: {context: .}, x-orch: {health_check: {recipe: auto}}}
  c: {image: ollama/ollama, x-orch: {health_check: {recipe: auto, http: /}}}
  d: {image: x, x-orch: {health_check: vlm}}
"
    ), @r###"
error[unknown-recipe]: there is no recipe for the image `nginx`
 --> compose.yaml:2:44
  |
2 |   a: {image: nginx, x-orch: {health_check: auto}}
  |                                            ^^^^ `auto` goes by the image's name
  |
  = help: name what runs in it: vllm, llama.cpp, ollama, sglang, tgi, tei, nim, triton, localai; or write the checks

error[unknown-recipe]: there is no recipe for what is built here
 --> compose.yaml:3:51
  |
3 |   b: {build: {context: .}, x-orch: {health_check: {recipe: auto}}}
  |                                                   ^^^^^^^^^^^^^^ `auto` goes by the image's name
  |
  = help: name what runs in it: vllm, llama.cpp, ollama, sglang, tgi, tei, nim, triton, localai; or write the checks

error[two-checks]: a recipe is no place for `http`
 --> compose.yaml:4:67
  |
4 |   c: {image: ollama/ollama, x-orch: {health_check: {recipe: auto, http: /}}}
  |                                                                   ^^^^
  |
  = help: beside `recipe` there may be port, timeout, interval, progress, liveness

error[wrong-value]: services.d.x-orch.health_check must be one of `auto`, `vllm`, `llama.cpp`, `ollama`, `sglang`, `tgi`, `tei`, `nim`, `triton`, `localai`
 --> compose.yaml:5:40
  |
5 |   d: {image: x, x-orch: {health_check: vlm}}
  |                                        ^^^
  |
  = help: did you mean `vllm`?
"###);
}
