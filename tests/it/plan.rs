//! What a plan looks like: for people, as a graph, with what earlier runs say of it.

use std::collections::BTreeMap;

use docker_orch::{
    plan::{Due, Forecast, Observed, Plan, UpOptions, draft, plan_dot, plan_json, plan_mermaid, plan_text},
    time::Elapsed,
};
use insta::assert_snapshot;

use crate::support::lab;

const SHOP: &str = "
services:
  db:
    image: db
  web:
    image: web
    depends_on: {db: {condition: service_healthy}, cache: {condition: service_started, required: false}}
    x-orch: {depends_on: {legacy: {check: {tcp: \"db.corp:5432\"}}}}
  cache:
    image: cache
    scale: 2
x-orch:
  waves:
    - {name: \"base \\\"1\\\"\", services: [db, cache]}
    - {name: front, services: [web]}
";

fn plan() -> Plan {
    draft(&lab::project(SHOP), &Observed::default(), &UpOptions::default()).unwrap().plan
}

/// `db` takes 2.5 s, `web` follows it and takes 1.2 s, `cache` was never started.
fn forecast() -> Forecast {
    let at = |millis| Elapsed::new(std::time::Duration::from_millis(millis));
    let due = |start, ready, after: Option<&str>| Due {
        start: at(start),
        ready: at(ready),
        after: after.map(str::to_owned),
    };
    Forecast {
        services: BTreeMap::from([
            ("db".to_owned(), due(100, 2_600, None)),
            ("cache".to_owned(), due(0, 0, None)),
            ("web".to_owned(), due(2_600, 3_800, Some("db"))),
        ]),
        waves: BTreeMap::new(),
        ready: at(3_800),
        critical: vec!["db".to_owned(), "web".to_owned()],
        unknown: vec!["cache".to_owned()],
    }
}

#[test]
fn a_plan_tells_how_long_it_should_take() {
    assert_snapshot!(plan_text(&plan(), Some(&forecast())), @r#"
    p: 4 to create, ready in about 3.8s

    wave base "1"
      + cache-1  create             there is none yet
      + cache-2  create             there is none yet
      + db-1     create       2.5s  there is none yet

    wave front
      + web-1    create       1.2s  there is none yet
                 waits for cache started (optional), db ready, legacy (outside)

    besides
      create network p_default: there is none yet
      pull image cache: there is none yet
      pull image db: there is none yet
      pull image web: there is none yet

    critical path, going by earlier runs: about 3.8s
      db 2.5s → web 1.2s
      not counted, for no earlier run has started it: cache
    "#);
    let json = plan_json(&plan(), Some(&forecast()));
    assert_eq!((&json["expected_seconds"], &json["critical_path"][1]), (&3.8.into(), &"web".into()));
    assert_eq!(json["services"].as_array().unwrap().len(), 3);
}

#[test]
fn nothing_is_said_of_times_that_nobody_knows() {
    let text = plan_text(&plan(), None);
    assert!(!text.contains("about") && !text.contains("critical path"), "{text}");
    assert!(plan_json(&plan(), None)["expected_seconds"].is_null());
}

#[test]
fn a_plan_is_a_graph_for_graphviz() {
    assert_snapshot!(plan_dot(&plan(), Some(&forecast())), @r#"
    digraph "p" {
      rankdir=LR; compound=true; fontname="sans-serif";
      node [shape=box, style=rounded, fontname="sans-serif"];
      edge [fontname="sans-serif", fontsize=10];
      "cache" [label="cache\n2 create"];
      "db" [label="db\ncreate\nabout 2.5s", penwidth=3];
      "web" [label="web\ncreate\nabout 1.2s", penwidth=3];
      "outside:legacy" [label="legacy", shape=ellipse];
      subgraph cluster_0 {
        label="base \"1\"";
        "db"; "cache";
      }
      subgraph cluster_1 {
        label="front";
        "web";
      }
      "cache" -> "web" [label="started", style=dashed];
      "db" -> "web" [label="ready", penwidth=3];
      "outside:legacy" -> "web" [label="answers"];
      "db" -> "web" [ltail=cluster_0, lhead=cluster_1, style=bold];
    }
    "#);
}

#[test]
fn a_plan_is_a_flowchart_for_mermaid() {
    assert_snapshot!(plan_mermaid(&plan(), Some(&forecast())), @r#"
    flowchart LR
      subgraph w0 ["base #quot;1#quot;"]
        n1["db<br/>create<br/>about 2.5s"]
        n0["cache<br/>2 create"]
      end
      subgraph w1 ["front"]
        n2["web<br/>create<br/>about 1.2s"]
      end
      n3(["legacy"])
      n0 -.->|"started"| n2
      n1 ==>|"ready"| n2
      n3 -->|"answers"| n2
      w0 ==> w1
      classDef critical stroke-width:3px
      class n1,n2 critical
    "#);
}
