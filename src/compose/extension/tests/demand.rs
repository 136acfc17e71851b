//! Services that are loaded on demand: files in, projects and messages out.

use std::time::Duration;

use insta::assert_snapshot;

use super::{good, messages};
use crate::project::{
    Bytes, Cold, ColdMode, Evict, Gpu, Keep, Load, OnDemand, Protocol, Route, RouteBy, Settle, Vram, WakeOn,
};

const FILE: &str = r#"
x-orch:
  gpu:
    budget: { default: 40GiB, "GPU-1b2c": 22GiB }
    reserve: 1GiB
    settle: { timeout: 20s, fraction: 0.5 }
    loads_per_device: 2
  on_demand: { max_loaded: 3, evict: lru, min_resident: 10s, idle_timeout: 15m }
  routers:
    openai: { listen: "127.0.0.1:8080", by: model, alias: { gpt-4o-mini: qwen } }
services:
  qwen:
    image: x
    scale: 0
    x-orch:
      load: on_demand
      vram: { per_gpu: 18GiB }
      routes: [{ router: openai, models: [qwen, qwen3] }, { port: 8000, host: qwen.local, path: /v1 }]
      cold: { mode: page, max_wait: 5m, queue: 64 }
      idle: { stop_after: 30m }
      keep: prefer
      priority: -5
  whisper:
    image: x
    deploy: { replicas: 0 }
    x-orch: { load: manual, vram: 3GiB, idle: 5m, routes: [{ port: 10300, protocol: tcp, wake_on: connect }] }
  small:
    image: x
    scale: 0
    x-orch: { load: preload, keep: always }
"#;

#[test]
fn everything_that_is_said_of_them_is_read() {
    let project = good(FILE);
    let qwen = &project.services["qwen"].orch;
    let per_gpu = Vram::PerGpu(Bytes(18 << 30));
    assert_eq!((qwen.load, qwen.vram, qwen.keep), (Some(Load::OnDemand), Some(per_gpu), Keep::Prefer));
    assert_eq!((qwen.idle.stop_after, qwen.priority), (Some(Duration::from_mins(30)), -5));
    let cold = Cold { mode: ColdMode::Page, max_wait: Duration::from_mins(5), queue: 64 };
    assert_eq!(qwen.cold, cold);
    let http = Route {
        port: Some(8000),
        protocol: Protocol::Http,
        host: Some("qwen.local".to_owned()),
        path: Some("/v1".to_owned()),
        router: None,
        models: vec![],
        wake_on: WakeOn::Data,
        pass_key: false,
    };
    assert_eq!(qwen.routes[1], http);
    assert_eq!(qwen.routes[0].models, ["qwen", "qwen3"]);
    let whisper = &project.services["whisper"].orch;
    let in_all = Vram::InAll(Bytes(3 << 30));
    assert_eq!((whisper.load, whisper.vram), (Some(Load::Manual), Some(in_all)));
    assert_eq!(whisper.idle.stop_after, Some(Duration::from_mins(5)));
    assert_eq!((whisper.routes[0].protocol, whisper.routes[0].wake_on), (Protocol::Tcp, WakeOn::Connect));
    let orch = &project.orch;
    let on_demand = OnDemand {
        max_loaded: Some(3),
        evict: Evict::Lru,
        min_resident: Duration::from_secs(10),
        idle_timeout: Duration::from_mins(15),
    };
    assert_eq!(orch.on_demand, on_demand);
    let gpu = Gpu {
        budget: Some(Bytes(40 << 30)),
        budgets: [("GPU-1b2c".to_owned(), Bytes(22 << 30))].into(),
        reserve: Bytes(1 << 30),
        settle: Settle { timeout: Duration::from_secs(20), fraction: 0.5 },
        loads_per_device: 2,
    };
    assert_eq!(orch.gpu, gpu);
    let router = &orch.routers["openai"];
    assert_eq!((router.listen.to_string().as_str(), router.by), ("127.0.0.1:8080", RouteBy::Model));
    assert_eq!(router.alias["gpt-4o-mini"], "qwen");
}

#[test]
fn up_starts_only_what_is_preloaded() {
    let project = good(FILE);
    let replicas = |name: &str| project.services[name].replicas();
    assert_eq!((replicas("qwen"), replicas("whisper"), replicas("small")), (0, 0, 1));
    assert_eq!(project.services["small"].replicas_in_compose(), 0);
    let plain = good("services: {a: {image: x, scale: 2, x-orch: {load: preload}}}");
    assert_eq!(plain.services["a"].replicas(), 2);
}

#[test]
fn a_budget_may_be_one_for_all_and_a_port_is_one_of_this_machine() {
    let project = good("x-orch: {gpu: {budget: 8GiB}, routers: {a: {listen: 8080}}}\nservices: {}\n");
    assert_eq!(project.orch.gpu.budget, Some(Bytes(8 << 30)));
    assert_eq!(project.orch.routers["a"].listen.to_string(), "127.0.0.1:8080");
}

#[test]
fn values_that_mean_nothing_are_shown_where_they_are() {
    assert_snapshot!(messages(
        "x-orch:
  gpu: {settle: {fraction: 75}, budget: lots}
  on_demand: {max_loaded: 0, evict: lfu}
services:
  a: {image: x, scale: 0, x-orch: {load: demand, vram: {pergpu: 1GiB}, idle: soon, keep: allways, priority: 5000}}
"
    ), @r###"
error[wrong-value]: services.a.x-orch.load must be one of `on_demand`, `preload`, `manual`
 --> compose.yaml:5:42
  |
5 |   a: {image: x, scale: 0, x-orch: {load: demand, vram: {pergpu: 1GiB}, idle: soon, keep: allways, priority: 5000}}
  |                                          ^^^^^^

error[unknown-attribute]: services.a.x-orch.vram has no attribute `pergpu`
 --> compose.yaml:5:57
  |
5 |   a: {image: x, scale: 0, x-orch: {load: demand, vram: {pergpu: 1GiB}, idle: soon, keep: allways, priority: 5000}}
  |                                                         ^^^^^^
  |
  = help: did you mean `per_gpu`?

error[wrong-value]: services.a.x-orch.idle must be a duration such as `1m30s`
 --> compose.yaml:5:78
  |
5 |   a: {image: x, scale: 0, x-orch: {load: demand, vram: {pergpu: 1GiB}, idle: soon, keep: allways, priority: 5000}}
  |                                                                              ^^^^ `soon` is no unit of time

error[wrong-value]: services.a.x-orch.keep must be one of `always`, `prefer`, `never`
 --> compose.yaml:5:90
  |
5 |   a: {image: x, scale: 0, x-orch: {load: demand, vram: {pergpu: 1GiB}, idle: soon, keep: allways, priority: 5000}}
  |                                                                                          ^^^^^^^
  |
  = help: did you mean `always`?

error[wrong-value]: services.a.x-orch.priority must be a whole number from -1000 to 1000
 --> compose.yaml:5:109
  |
5 |   a: {image: x, scale: 0, x-orch: {load: demand, vram: {pergpu: 1GiB}, idle: soon, keep: allways, priority: 5000}}
  |                                                                                                             ^^^^

error[wrong-value]: x-orch.gpu.settle.fraction must be a number above 0 and at most 1, such as `0.75`
 --> compose.yaml:2:28
  |
2 |   gpu: {settle: {fraction: 75}, budget: lots}
  |                            ^^

error[wrong-value]: x-orch.gpu.budget must be a size such as `20GiB`
 --> compose.yaml:2:41
  |
2 |   gpu: {settle: {fraction: 75}, budget: lots}
  |                                         ^^^^ there is no number in it

error[wrong-value]: x-orch.on_demand.max_loaded must be a whole number from 1 on
 --> compose.yaml:3:27
  |
3 |   on_demand: {max_loaded: 0, evict: lfu}
  |                           ^

error[wrong-value]: x-orch.on_demand.evict must be one of `cost`, `lru`, `largest`
 --> compose.yaml:3:37
  |
3 |   on_demand: {max_loaded: 0, evict: lfu}
  |                                     ^^^
  |
  = help: did you mean `lru`?
"###);
}

#[test]
#[expect(clippy::too_many_lines, reason = "every contradiction with its message")]
fn what_contradicts_itself_is_shown_from_both_sides() {
    assert_snapshot!(messages(
        "x-orch:
  routers:
    one: {listen: 8080, alias: {gpt: qwem, qwen: other}}
    two: {listen: '0.0.0.0:8080'}
    three: {}
    four: {listen: somewhere}
services:
  a:
    image: x
    scale: 0
    x-orch: {load: on_demand, vram: 1GiB, resources: {vram: 2GiB}, routes: [{router: one, models: [qwen, other]}, {router: tow}]}
  b:
    image: x
    scale: 0
    x-orch:
      load: on_demand
      vram: {}
      routes: [{router: one, models: [qwen]}, {port: 1, protocol: tcp, host: x}, {port: 2, wake_on: data}, {port: 3, models: [m], path: v1}, {}]
"
    ), @r###"
error[two-sizes]: `vram` is given twice
  --> compose.yaml:11:37
   |
11 |     x-orch: {load: on_demand, vram: 1GiB, resources: {vram: 2GiB}, routes: [{router: one, models: [qwen, other]}, {router: tow}]}
   |                                     ^^^^                    ---- the other one
   |
   = help: keep one of them

error[missing-size]: `vram` does not say how much
  --> compose.yaml:17:13
   |
17 |       vram: {}
   |             ^^
   |
   = help: write `vram: 18GiB`, or `vram: {per_gpu: 18GiB}`

error[misplaced-key]: `host` needs HTTP: over plain TCP nobody says it
  --> compose.yaml:18:78
   |
18 |       routes: [{router: one, models: [qwen]}, {port: 1, protocol: tcp, host: x}, {port: 2, wake_on: data}, {port: 3, models: [m], pa...
   |                                                                              ^
   |
   = help: leave it out, or leave out `protocol: tcp`

error[misplaced-key]: `wake_on` is for plain TCP: an HTTP request loads the service by itself
  --> compose.yaml:18:101
   |
18 |       routes: [{router: one, models: [qwen]}, {port: 1, protocol: tcp, host: x}, {port: 2, wake_on: data}, {port: 3, models: [m], pa...
   |                                                                                                     ^^^^
   |
   = help: leave it out, or write `protocol: tcp` beside it

error[misplaced-key]: `models` needs a router that picks by them
  --> compose.yaml:18:126
   |
18 |       routes: [{router: one, models: [qwen]}, {port: 1, protocol: tcp, host: x}, {port: 2, wake_on: data}, {port: 3, models: [m], pa...
   |                                                                                                                              ^^^
   |
   = help: write `router: NAME` beside it

error[wrong-value]: a path begins with `/`
  --> compose.yaml:18:137
   |
18 | ...st: x}, {port: 2, wake_on: data}, {port: 3, models: [m], path: v1}, {}]
   |                                                                   ^^
   |
   = help: write `/v1`

error[missing-port]: this route says nothing
  --> compose.yaml:18:142
   |
18 | ...}, {port: 2, wake_on: data}, {port: 3, models: [m], path: v1}, {}]
   |                                                                   ^^
   |
   = help: write `{port: 8000}`, or `{router: NAME, models: […]}`

error[port-taken]: two routers listen on 0.0.0.0:8080
 --> compose.yaml:4:19
  |
3 |     one: {listen: 8080, alias: {gpt: qwem, qwen: other}}
  |                   ---- the other one
4 |     two: {listen: '0.0.0.0:8080'}
  |                   ^^^^^^^^^^^^^^

error[missing-address]: router `three` listens nowhere
 --> compose.yaml:5:5
  |
5 |     three: {}
  |     ^^^^^
  |
  = help: write `listen: 127.0.0.1:8080`

error[wrong-value]: `somewhere` is no address
 --> compose.yaml:6:20
  |
6 |     four: {listen: somewhere}
  |                    ^^^^^^^^^
  |
  = help: write `127.0.0.1:8080`, `[::]:8080` or `8080`

error[unknown-router]: there is no router `tow`
  --> compose.yaml:11:124
   |
11 |     x-orch: {load: on_demand, vram: 1GiB, resources: {vram: 2GiB}, routes: [{router: one, models: [qwen, other]}, {router: tow}]}
   |                                                                                                                            ^^^
   |
   = help: did you mean `two`?

error[model-taken]: `qwen` stands for b and for a
  --> compose.yaml:18:39
   |
11 |     x-orch: {load: on_demand, vram: 1GiB, resources: {vram: 2GiB}, routes: [{router: one, models: [qwen, other]}, {router: tow}]}
   |                                                                                                    ---- the other one
...
18 |       routes: [{router: one, models: [qwen]}, {port: 1, protocol: tcp, host: x}, {port: 2, wake_on: data}, {port: 3, models: [m], pa...
   |                                       ^^^^

error[unknown-model]: router `one` has no model `qwem`
 --> compose.yaml:3:38
  |
3 |     one: {listen: 8080, alias: {gpt: qwem, qwen: other}}
  |                                      ^^^^
  |
  = help: did you mean `qwen`?

error[model-taken]: `qwen` is a model of a
  --> compose.yaml:3:44
   |
 3 |     one: {listen: 8080, alias: {gpt: qwem, qwen: other}}
   |                                            ^^^^
...
11 |     x-orch: {load: on_demand, vram: 1GiB, resources: {vram: 2GiB}, routes: [{router: one, models: [qwen, other]}, {router: tow}]}
   |                                                                                                    ---- named here
"###);
}

#[test]
fn who_depends_on_a_sleeper_starts_and_who_is_ready_only_with_it_never_would_be() {
    let sleeper = "  llm: {image: x, scale: 0, x-orch: {load: on_demand, health_check: {tcp: 1}}}";
    good(&format!("services:\n{sleeper}\n  app: {{image: x, x-orch: {{depends_on: {{llm: {{}}}}}}}}\n"));
    assert_snapshot!(messages(&format!(
        "services:\n{sleeper}\n  app: {{image: x, x-orch: {{health_check: {{service: llm}}}}}}\n"
    )), @r###"
error[asks-a-sleeper]: app is ready only with llm, which is `load: on_demand`
 --> compose.yaml:3:52
  |
3 |   app: {image: x, x-orch: {health_check: {service: llm}}}
  |                                                    ^^^ it sleeps until it is asked
  |
  = help: leave the check out, or write `load: preload` in llm
"###);
}

#[test]
fn what_plain_compose_would_start_is_said() {
    assert_snapshot!(messages(
        "services:
  a: {image: x, x-orch: {load: on_demand}}
  b: {image: x, x-orch: {idle: 5m, keep: prefer}}
"
    ), @r###"
warning[starts-in-compose]: `a` is `load: on_demand`, but plain `docker compose up` starts it
 --> compose.yaml:2:32
  |
2 |   a: {image: x, x-orch: {load: on_demand}}
  |                                ^^^^^^^^^
  |
  = help: write `scale: 0` in `a`, beside `x-orch`

warning[no-effect]: services.b.x-orch.idle has no effect without `load`
 --> compose.yaml:3:32
  |
3 |   b: {image: x, x-orch: {idle: 5m, keep: prefer}}
  |                                ^^
  |
  = help: write `load: on_demand`, `load: preload` or `load: manual` beside it

warning[no-effect]: services.b.x-orch.keep has no effect without `load`
 --> compose.yaml:3:42
  |
3 |   b: {image: x, x-orch: {idle: 5m, keep: prefer}}
  |                                          ^^^^^^
  |
  = help: write `load: on_demand`, `load: preload` or `load: manual` beside it
"###);
}
