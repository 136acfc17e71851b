//! What makes a service ready and what keeps it so, in whole runs on the simulated engine and in virtual time.

use std::time::Duration;

use docker_orch::{
    engine::sim::{Behaviour, Script, SimEngine, Verb},
    event::{Aftermath, BreakerState, EventKind, ServiceState, Verdict},
    executor::CancelRequest,
    plan::ContainerState,
};

use crate::support::lab::{Asked, Ran, up_as, up_of};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn starts(sim: &SimEngine, service: &str) -> Vec<Duration> {
    sim.requests()
        .into_iter()
        .filter(|r| r.verb == Verb::Start && r.service == service)
        .map(|r| r.at)
        .collect()
}

/// An attached `up`, told to end after so many milliseconds.
async fn watched(sim: &SimEngine, yaml: &str, until: u64) -> Ran {
    let asked = Asked { watch: true, cancels: vec![(until, CancelRequest::Graceful)], ..Asked::default() };
    up_as(sim, yaml, &asked).await.expect("nobody kills it").expect("a beginning")
}

/// The states of a service's container, from the first time that it is ready.
fn states(ran: &Ran, service: &str) -> Vec<ServiceState> {
    let states = ran.events.iter().filter_map(|event| match &event.kind {
        EventKind::Service { replica, state, .. } if replica.service == service => Some(*state),
        _ => None,
    });
    states.skip_while(|state| !matches!(state, ServiceState::Ready | ServiceState::Degraded)).collect()
}

fn loading(at_most: &str) -> String {
    format!(
        "
services:
  llm:
    image: llm
    x-orch:
      health_check:
        type: staged
        stages:
          - name: loaded
            tcp: 1
            timeout: 10s
            progress: {{log: 'loaded (\\d+)%', extend: 15s, at_most: {at_most}}}
"
    )
}

/// Says every ten seconds how far it is, `times` times.
fn loads(times: u64) -> Behaviour {
    (0..times).fold(Behaviour::new(), |b, n| b.log(ms(500 + n * 10_000), &format!("loaded {n}% of it")))
}

#[tokio::test(start_paused = true)]
async fn a_deadline_waits_while_the_log_moves() {
    let sim = SimEngine::new(Script::new().service("llm", loads(6).ready_after(ms(55_000))));
    let ran = up_of(&sim, &loading("5m")).await;
    assert_eq!(ran.ended.finished.verdict, Verdict::Succeeded, "{:?}", ran.ended.finished.failures);
    assert!(ran.took > ms(55_000) && ran.took < ms(56_000), "{:?}", ran.took);
    let moved = ran.events.iter().filter_map(|event| match &event.kind {
        EventKind::StageMoved { stage, index: 1, of: 1, text, .. } if stage == "loaded" => {
            Some(text.as_str())
        }
        _ => None,
    });
    let expected = ["loaded 0%", "loaded 1%", "loaded 2%", "loaded 3%", "loaded 4%", "loaded 5%"];
    assert_eq!(moved.collect::<Vec<_>>(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_stands_still_and_one_that_never_ends_fail_the_stage() {
    for (times, at_most, took, reason) in [
        (2, "5m", 25_500, "stage loaded stood still for 15s at `loaded 1%` (connection refused)"),
        (
            90,
            "40s",
            40_000,
            "stage loaded timed out after 40s, the most it may take, at `loaded 3%` (connection refused)",
        ),
        (0, "5m", 10_000, "stage loaded timed out after 10s (connection refused)"),
    ] {
        let sim = SimEngine::new(Script::new().service("llm", loads(times).never_ready()));
        let ran = up_of(&sim, &loading(at_most)).await;
        assert_eq!(ran.ended.finished.failures[0].reason, reason);
        assert!(ran.took >= ms(took) && ran.took < ms(took + 2000), "{:?}", ran.took);
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_elsewhere_is_left_alone_for_a_while() {
    let yaml = "
services:
  web:
    image: web
    x-orch:
      health_check:
        checks:
          - {name: own, tcp: 1}
          - {name: db.corp, tcp: 'db.corp:5432', breaker: {failures: 3, open: 10s}}
";
    let web = Behaviour::new().stage_after("db.corp", ms(12_000));
    let sim = SimEngine::new(Script::new().service("web", web));
    let ran = up_of(&sim, yaml).await;
    assert_eq!(ran.ended.finished.verdict, Verdict::Succeeded);
    let breaker = ran.events.iter().filter_map(|event| match &event.kind {
        EventKind::Breaker { check, breaker, open_for, .. } => {
            Some((check.as_str(), *breaker, open_for.as_secs()))
        }
        _ => None,
    });
    assert_eq!(
        breaker.collect::<Vec<_>>(),
        [
            ("db.corp", BreakerState::Open, 10),
            ("db.corp", BreakerState::HalfOpen, 0),
            ("db.corp", BreakerState::Open, 10),
            ("db.corp", BreakerState::HalfOpen, 0),
            ("db.corp", BreakerState::Closed, 0),
        ]
    );
    let asked = ran
        .events
        .iter()
        .filter(|e| matches!(&e.kind, EventKind::Probed { check, .. } if check == "db.corp"));
    assert_eq!(asked.count(), 5, "three, then one each time");
}

const WATCHED: &str = "
services:
  web:
    image: web
    x-orch:
      start: {retries: 1, backoff: 2s}
      health_check: {tcp: 1, interval: 1s, failure_threshold: 2, success_threshold: 2}
  other: {image: other}
";

#[tokio::test(start_paused = true)]
async fn ill_health_restarts_as_often_as_the_policy_says_then_fails() {
    let sim = SimEngine::new(Script::new().service("web", Behaviour::new().unready(ms(5000), ms(900_000))));
    let ran = watched(&sim, WATCHED, 600_000).await;
    let finished = &ran.ended.finished;
    assert_eq!((finished.verdict, finished.failures[0].service.as_str()), (Verdict::Failed, "web"));
    assert!(finished.failures[0].reason.starts_with("became unhealthy: "), "{:?}", finished.failures);
    assert!(finished.failures[0].health.contains(&"liveness/ready: connection refused".to_owned()));
    let starts = starts(&sim, "web");
    assert_eq!(starts.len(), 2, "{}", sim.record());
    assert!(starts[1] >= starts[0] + ms(5000 + 1000 + 2000), "{starts:?}");
    assert_eq!(
        states(&ran, "web")[..6],
        [
            ServiceState::Ready,
            ServiceState::Unhealthy,
            ServiceState::Restarting,
            ServiceState::Starting,
            ServiceState::Probing,
            ServiceState::Ready
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_running_before_is_restarted_too() {
    let yaml = WATCHED.replace("retries: 1", "retries: 3");
    let sim = SimEngine::new(Script::new().service("web", Behaviour::new().unready(ms(20_000), ms(900_000))));
    assert_eq!(up_of(&sim, &yaml).await.ended.finished.verdict, Verdict::Succeeded);
    let id = sim.container("p-web-1").unwrap().id;
    let ran = watched(&sim, &yaml, 30_000).await;
    assert_eq!(ran.ended.finished.verdict, Verdict::Cancelled, "{:?}", ran.ended.finished.failures);
    assert_eq!(starts(&sim, "web").len(), 2, "{}", sim.record());
    assert_eq!(starts(&sim, "other").len(), 1);
    assert_eq!(sim.container("p-web-1").unwrap().id, id);
    assert!(states(&ran, "web").starts_with(&[
        ServiceState::Ready,
        ServiceState::Unhealthy,
        ServiceState::Restarting,
        ServiceState::Starting,
        ServiceState::Probing,
        ServiceState::Ready
    ]));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_critical_is_left_running_and_recovers() {
    use ServiceState::{Ready, Recovering, Unhealthy};
    let yaml = WATCHED.replace("start: {retries: 1, backoff: 2s}", "critical: false");
    let web = Behaviour::new().unready(ms(5000), ms(12_000));
    let sim = SimEngine::new(Script::new().service("web", web));
    let ran = watched(&sim, &yaml, 20_000).await;
    assert_eq!(ran.ended.finished.verdict, Verdict::Cancelled);
    assert_eq!(starts(&sim, "web").len(), 1);
    assert_eq!(states(&ran, "web")[..4], [Ready, Unhealthy, Recovering, Ready]);
}

#[tokio::test(start_paused = true)]
async fn others_wait_for_a_stage_and_for_what_is_outside() {
    let yaml = "
services:
  llm:
    image: llm
    x-orch: {health_check: {stages: [{name: loaded, tcp: 1}, {name: warm, tcp: 1}]}}
  early:
    image: early
    x-orch: {depends_on: {llm: {stage: loaded}}}
  late:
    image: late
    depends_on: {llm: {condition: service_healthy}}
  ready:
    image: ready
    x-orch: {health_check: {service: llm, stage: loaded}}
  optional:
    image: optional
    x-orch:
      depends_on: {legacy: {check: {tcp: 'nowhere:1', interval: 5s, failure_threshold: 4}, required: false}}
      health_check: {checks: [{name: own, tcp: 1}, {name: cache, tcp: 2, critical: false}]}
x-orch: {startup: {timeout: 60s}}
";
    let llm = Behaviour::new().stage_after("loaded", ms(2000)).stage_after("warm", ms(9000));
    let optional = Behaviour::new().ready_after(ms(100)).stage_after("cache", ms(900_000));
    let sim = SimEngine::new(Script::new().service("llm", llm).service("optional", optional));
    let ran = up_of(&sim, yaml).await;
    let start = starts(&sim, "llm")[0];
    let (early, late) = (starts(&sim, "early")[0], starts(&sim, "late")[0]);
    assert!(early >= start + ms(2000) && early < start + ms(2700), "{early:?}");
    assert!(late >= start + ms(9000) && late < start + ms(9700), "{late:?}");
    let ready = ran.events.iter().find(|event| {
        matches!(&event.kind, EventKind::Service { replica, state: ServiceState::Ready, .. } if replica.service == "ready")
    });
    let ready = ready.expect("it becomes ready").at.since_start();
    assert!(ready >= ms(2000) && ready < ms(3000), "{ready:?}");
    assert_eq!(ran.ended.finished.aftermath, Aftermath::Kept, "{:?}", ran.ended.finished.failures);
    let optional = starts(&sim, "optional")[0];
    assert!(optional >= ms(20_000) && optional < ms(21_000), "{optional:?}");
    assert_eq!(sim.container("p-optional-1").unwrap().state, ContainerState::Running);
    assert_eq!(ran.ended.finished.degraded, ["optional"]);
    let why = ran.events.iter().find_map(|event| match &event.kind {
        EventKind::Service { state: ServiceState::Degraded, cause, .. } => Some(cause.as_str()),
        _ => None,
    });
    let legacy = "`legacy`: start timed out after 20s, in stage legacy (connection refused)";
    assert_eq!(why, Some(format!("cache: connection refused; {legacy}").as_str()));
}

const SERVER_AND_CLIENT: &str = "
services:
  api:
    image: api
    x-orch: {health_check: {tcp: 1}}
  web:
    image: web
    depends_on: {api: {condition: service_healthy}}
    x-orch: {health_check: {tcp: 1}}
";

#[tokio::test(start_paused = true)]
async fn what_serves_may_not_end_while_others_start() {
    let after = |web| {
        let api = Behaviour::new().exits(0, ms(2000));
        SimEngine::new(
            Script::new().service("api", api).service("web", Behaviour::new().ready_after(ms(web))),
        )
    };
    let ran = up_of(&after(9000), SERVER_AND_CLIENT).await;
    assert_eq!(ran.ended.finished.failures[0].reason, "exited with code 0 while others were starting");
    assert_eq!(ran.ended.finished.aftermath, Aftermath::RolledBack);
    assert!(ran.took < ms(5000), "{:?}", ran.took);
    // Once all is ready somebody has stopped it, as far as anybody knows.
    let ran = watched(&after(500), SERVER_AND_CLIENT, 6000).await;
    assert_eq!(states(&ran, "api")[..2], [ServiceState::Ready, ServiceState::Completed]);
    assert_eq!(ran.ended.finished.verdict, Verdict::Cancelled, "{:?}", ran.ended.finished.failures);
    // What has no check may have been a job.
    let plain = SERVER_AND_CLIENT.replace("    x-orch: {health_check: {tcp: 1}}\n  web", "  web");
    let plain = plain.replace("service_healthy", "service_started");
    let ran = up_of(&after(9000), &plain).await;
    assert_eq!(ran.ended.finished.verdict, Verdict::Succeeded, "{:?}", ran.ended.finished.failures);
}

#[tokio::test(start_paused = true)]
async fn what_exits_again_and_again_behind_its_first_stage_fails() {
    let yaml = "
services:
  llm:
    image: llm
    restart: always
    x-orch:
      health_check:
        type: staged
        stages:
          - {name: started, container: running}
          - {name: port, tcp: 1, timeout: 5m}
          - {name: loaded, http: ':1/', timeout: 5m}
";
    let llm = || Behaviour::new().stage_after("port", ms(500)).exits(9, ms(2000));
    let never = llm().never_ready().stage_after("started", ms(0)).stage_after("port", ms(500));
    let ran = up_of(&SimEngine::new(Script::new().service("llm", never)), yaml).await;
    assert_eq!(ran.ended.finished.failures[0].reason, "keeps exiting, last with code 9");
    // The first exit was behind a stage that it had not passed before; the second is a loop.
    assert!(ran.took > ms(4000) && ran.took < ms(8000), "{:?}", ran.took);
    // Twice, and then well: each time it got further.
    let twice = Behaviour::new().stage_after("port", ms(500)).exits_times(9, ms(300), 1);
    let ran = up_of(&SimEngine::new(Script::new().service("llm", twice)), yaml).await;
    assert_eq!(ran.ended.finished.verdict, Verdict::Succeeded, "{:?}", ran.ended.finished.failures);
}
