//! What charts of a run look like.

use insta::assert_snapshot;

use super::*;
use crate::{
    event::{Aftermath, EventKind, ServiceInfo, ServiceState, StageStatus, StepAction, Verb, Verdict},
    project::Replica,
    report::{
        PastRun, StyledLine,
        chain::tests::{info, started},
        past::tests::finished,
        view::tests::{events, service, stage},
    },
};
use std::time::Duration;

/// `db` is pulled; `api` waits for it and for wave one, in which `cache` is slow; `web` waits for a stage of `api`.
fn past(cache: u64, verdict: Verdict) -> PastRun {
    use ServiceState::{Blocked, Created, Creating, Failed, Probing, Ready, Starting};
    let services: Vec<ServiceInfo> = vec![
        info("db", Some("one"), &[]),
        info("cache", Some("one"), &[]),
        info("api", Some("two"), &["db"]),
        info("web<1>", None, &["api@loaded"]),
        info("other", None, &[]),
    ];
    let pull = StepAction { action: Verb::PullImage, target: "example/db".into(), replica: None };
    let probed = EventKind::Probed {
        replica: Replica { service: "api".into(), number: 1 },
        check: "http :80/models".into(),
        stage: "loaded".into(),
        passed: true,
        detail: "200 OK".into(),
        took: Duration::from_millis(900),
        dependency: None,
    };
    let at = cache;
    let mut kinds = vec![
        (0, started(&["one", "two"], services)),
        (0, service("other", Ready, "")),
        (0, EventKind::WaveOpened { wave: "one".into() }),
        (50, EventKind::StepStarted { step: 0, action: pull.clone(), cause: String::new() }),
        (50, service("cache", Creating, "")),
        (300, service("cache", Created, "")),
        (300, service("cache", Starting, "")),
        (500, service("cache", Probing, "")),
        (850, EventKind::StepDone { step: 0, action: pull, took: Duration::from_millis(800) }),
        (850, service("db", Creating, "")),
        (950, service("db", Created, "")),
        (1150, service("db", Starting, "")),
        (1350, service("db", Probing, "")),
        (400, service("api", Created, "")),
        (400, service("api", Blocked, "waits for `db` to be ready")),
        (400, service("web<1>", Created, "")),
        (2000, service("db", Ready, "")),
        (at, service("cache", Ready, "")),
        (at, EventKind::WaveReady { wave: "one".into() }),
        (at, EventKind::WaveOpened { wave: "two".into() }),
        (at, service("api", Starting, "")),
        (at + 200, service("api", Probing, "")),
        (at + 200, stage("api", "loaded", 1, 2, StageStatus::Started)),
        (at + 2200, probed),
        (at + 2200, stage("api", "loaded", 1, 2, StageStatus::Passed)),
        (at + 2200, stage("api", "ready", 2, 2, StageStatus::Started)),
        (at + 2200, service("web<1>", Starting, "")),
        (at + 2400, service("web<1>", Probing, "")),
        (at + 2500, stage("api", "ready", 2, 2, StageStatus::Passed)),
        (at + 2500, service("api", Ready, "")),
    ];
    if verdict == Verdict::Failed {
        kinds.push((at + 3000, service("web<1>", Failed, "exited with code 1")));
    } else {
        kinds.push((at + 3000, service("web<1>", Ready, "")));
    }
    kinds.push((at + 3000, finished(verdict, Aftermath::Kept)));
    PastRun::of(&events(kinds), false)
}

fn chart(cache: u64) -> Chart {
    Chart::of(&past(cache, Verdict::Succeeded), "20261122T015000.000-1")
}

fn text(lines: &[StyledLine]) -> String {
    lines.iter().map(|line| line.plain().trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_chart_without_colours_tells_parts_by_their_pattern() {
    assert_snapshot!(text(&terminal(&chart(3000), None, 80, false)), @"
    up of shop: ready after 6.0s
    run 20261122T015000.000-1, 2026-11-22 01:50:00 UTC; 1 container was ready
      already

             0s                   2s                   4s
    ▸ web<1>                                                       ▓▓▓██████    0.8s
    wave one opened at 0.0s, ready at 3.0s
    ▸ cache  ▒▒▒▓▓██████████████████████████▌                                   2.7s
      db     ░░░░░░░░░▒··▓▓███████                                              0.9s
    wave two                                ┆ opened at 3.0s
    ▸ api                                   ▓▓█████████████████████▆▆▆▆         2.5s

      ░░ pull   ▒▒ create   ·· held back   ▓▓ start   ██ stages
      ▸ on the critical chain

    critical chain: cache → api (loaded) → web<1>
    - `cache` is on the critical chain for 3.0s of 6.0s: 2.5s of it between its
      start and ready; were it ready as soon as it is started, the whole would take
      about 1.2s less
    - `api` is on the critical chain for 2.2s of 6.0s: 2.0s of it its stage
      `loaded`; were it ready as soon as it is started, the whole would take about
      2.2s less
    - waves cost about 1.2s: with dependencies alone (`--mode graph`) everything
      would be ready after about 4.8s; `api` waited 1.0s for wave `one` though all
      that it depends on was ready
    - the check `http :80/models` of `api` took 0.9s to answer, of 2.0s until it was
      ready
    - `web<1>` is on the critical chain for 0.8s of 6.0s: 0.6s of it between its
      start and ready; were it ready as soon as it is started, the whole would take
      about 0.5s less
    ");
}

#[test]
fn a_chart_has_the_width_that_it_is_given() {
    for columns in [60, 80, 100, 160, 240] {
        for colours in [false, true] {
            let lines =
                terminal(&chart(3000), Some(&Comparison::of(&chart(3000), &chart(2500))), columns, colours);
            let widest = lines.iter().map(StyledLine::width).max().unwrap();
            assert!(widest <= columns, "{widest} of {columns}:\n{}", text(&lines));
        }
    }
}

#[test]
fn with_colours_two_parts_share_a_column() {
    let lines = terminal(&chart(3000), None, 60, true);
    let row = lines.iter().find(|line| line.plain().starts_with("▸ cache")).unwrap();
    assert_snapshot!(row.ansi().replace('\u{1b}', "^"), @"^[33m▸ ^[0m^[1mcache^[0m  ^[7m^[36m▎^[0m^[36m█^[0m^[36m^[43m▏^[0m^[33m^[42m▌^[0m^[32m█████████████████▌^[0m                         ^[1m2.7s^[0m");
}

#[test]
fn a_run_beside_another_says_what_became_slower() {
    let comparison = Comparison::of(&chart(3000), &chart(2500));
    assert_eq!(comparison.heading(), "0.5s slower than run 20261122T015000.000-1 (6.0s, was 5.5s)");
    let all = text(&terminal(&chart(3000), Some(&comparison), 80, false));
    let table: Vec<&str> = all.lines().skip_while(|line| !line.contains("SERVICE")).collect();
    assert_snapshot!(table.join("\n"), @"
      SERVICE       WAS      NOW    CHANGE   MOST IN
      cache        2.2s     2.7s     +0.5s   until ready: 2.0s, now 2.5s
    3 containers take as long as before
    ");
    assert!(Comparison::of(&chart(3000), &chart(3000)).heading().starts_with("as fast as run"));
}

#[test]
fn programs_get_all_of_it() {
    let value = chart_json(&chart(3000), Some(&Comparison::of(&chart(3000), &chart(2500))));
    for (at, expected) in [
        ("/ready_at", serde_json::json!(6.0)),
        ("/ready_before", serde_json::json!(1)),
        ("/waves/1/opened_at", serde_json::json!(3.0)),
        ("/critical_chain/1/service", serde_json::json!("api")),
        ("/critical_chain/1/after/wave", serde_json::json!("one")),
        ("/critical_chain/2/after/stage", serde_json::json!("loaded")),
        ("/compared/change", serde_json::json!(0.5)),
        ("/compared/containers/0/container", serde_json::json!("cache")),
    ] {
        assert_eq!(value.pointer(at), Some(&expected), "{at}: {value:#}");
    }
}

#[test]
fn pictures_hold_no_text_that_is_not_escaped_and_every_bar_has_a_title() {
    let chart = chart(3000);
    let comparison = Comparison::of(&chart, &self::chart(2500));
    for text in [svg_file(&chart, Some(&comparison)), page(&chart, Some(&comparison))] {
        assert!(text.contains("web&lt;1&gt;") && !text.contains("web<1>"), "{text}");
        let bars = text.matches("class=\"bar ").count();
        let titled = text
            .split("class=\"bar ")
            .skip(1)
            .filter(|bar| bar[..300.min(bar.len())].contains("<title>"))
            .count();
        assert!(bars > 10 && bars == titled, "{titled} of {bars}");
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        assert!(!text.contains("<script") && !text.contains("src=") && !text.contains("url("), "{text}");
    }
}

#[test]
fn a_run_that_failed_has_the_chain_to_what_failed() {
    let chart = Chart::of(&past(3000, Verdict::Failed), "r");
    assert_eq!(chart.heading(), "up of shop: failed after 6.0s");
    assert_eq!(chart.rows().find(|row| row.name == "web<1>").unwrap().words(), "failed");
    let none = Chart::of(&PastRun::of(&[], false), "r");
    assert!(none.is_empty() && none.advice.is_empty());
    // Nothing to show is no reason to fail.
    assert!(terminal(&none, None, 0, true).len() > 1 && svg_file(&none, None).contains("<svg"));
    assert!(page(&none, None).contains("<h1>"));
}
