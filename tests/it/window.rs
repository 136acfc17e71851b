//! The rollback window, on the simulated engine and in virtual time.

use std::{sync::Arc, time::Duration};

use docker_orch::{
    engine::{
        EngineErrorKind as Kind,
        sim::{Behaviour, Effect, Fault, Request, Script, SimEngine, Verb},
    },
    event::{Aftermath, EventKind, Verdict, WindowEnd},
    executor::CancelRequest,
    plan::{ContainerState, EndOptions, EngineHealth},
    run::{Ending, end},
};

use crate::support::lab::{Asked, Ran, lab_run, label, project, up_as, up_of, up_with};

/// A critical service, one that is not, and a window of ten seconds.
const YAML: &str = "
services:
  web:
    image: web
    x-orch: {start: {retries: 3}, health_check: {tcp: 1, interval: 1s, failure_threshold: 1}}
  extra:
    image: extra
    x-orch: {critical: false, start: {retries: 3}, health_check: {tcp: 1, interval: 1s, failure_threshold: 1}}
x-orch: {rollback: {window: 10s}}
";

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// `web` of the new version behaves so.
fn script(web: Behaviour) -> Script {
    Script::new().running("web:2", web)
}

/// Well until three seconds after its start.
fn sick() -> Behaviour {
    Behaviour::new().unready(ms(3000), ms(1_000_000))
}

fn updated(yaml: &str) -> String {
    yaml.replace("image: web", "image: web:2")
}

/// Name, ID and state of every container.
fn containers(sim: &SimEngine) -> Vec<(String, String, ContainerState)> {
    sim.containers().into_iter().map(|c| (c.name, c.id, c.state)).collect()
}

fn names(sim: &SimEngine) -> Vec<String> {
    sim.containers().into_iter().map(|c| c.name).collect()
}

fn requests(sim: &SimEngine, verb: Verb, service: &str) -> Vec<Request> {
    sim.requests().into_iter().filter(|r| r.verb == verb && r.service == service).collect()
}

/// How the window ended; `None`: it was never opened.
fn window(ran: &Ran) -> Option<WindowEnd> {
    let opened = ran.events.iter().filter(|e| matches!(e.kind, EventKind::WindowOpened { .. })).count();
    let mut ends = ran.events.iter().filter_map(|e| match e.kind {
        EventKind::WindowClosed { end } => Some(end),
        _ => None,
    });
    let end = ends.next();
    assert_eq!((usize::from(end.is_some()), ends.next()), (opened, None), "it is closed once");
    end
}

fn how(ran: &Ran) -> (Verdict, Aftermath, Option<WindowEnd>) {
    (ran.ended.finished.verdict, ran.ended.finished.aftermath, window(ran))
}

/// An update inside whose window something goes wrong: what ran before runs again, the very same.
async fn is_rolled_back(yaml: &str, web: Behaviour) -> Ran {
    let sim = SimEngine::new(script(web));
    up_of(&sim, yaml).await;
    let before = containers(&sim);
    let ran = up_of(&sim, &updated(yaml)).await;
    let expected = (Verdict::Failed, Aftermath::RolledBack, Some(WindowEnd::ConditionMet));
    assert_eq!(how(&ran), expected, "{}", sim.record());
    assert_eq!(containers(&sim), before, "{}", sim.record());
    ran
}

#[tokio::test(start_paused = true)]
async fn what_ran_before_is_let_go_when_the_window_is_over() {
    let sim = SimEngine::new(script(Behaviour::new()));
    let first = up_of(&sim, YAML).await;
    assert_eq!(how(&first), (Verdict::Succeeded, Aftermath::Kept, Some(WindowEnd::Passed)));
    assert!(first.took >= ms(10_000) && first.took < ms(11_000), "{:?}", first.took);
    let ran = up_of(&sim, &updated(YAML)).await;
    assert_eq!(how(&ran), (Verdict::Succeeded, Aftermath::Kept, Some(WindowEnd::Passed)));
    let started = requests(&sim, Verb::Start, "web")[1].ended.unwrap();
    let removed = requests(&sim, Verb::Remove, "web")[0].at;
    assert!(removed >= started + ms(10_000) && removed < started + ms(11_000), "{}", sim.record());
    assert_eq!(names(&sim), ["p-extra-1", "p-web-1"]);
    let kept = ran.events.iter().filter_map(|e| match &e.kind {
        EventKind::WindowOpened { length, kept } => Some((*length, kept.clone())),
        _ => None,
    });
    assert_eq!(kept.collect::<Vec<_>>(), [(ms(10_000), vec!["p-web-1.previous".to_owned()])]);
}

#[tokio::test(start_paused = true)]
async fn what_changes_nothing_has_no_window() {
    let sim = SimEngine::new(Script::new());
    up_of(&sim, YAML).await;
    let ran = up_of(&sim, YAML).await;
    assert_eq!(how(&ran), (Verdict::Succeeded, Aftermath::Kept, None));
    assert!(ran.took < ms(500), "{:?}", ran.took);
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_is_not_watched() {
    let yaml = "
services: {seed: {image: seed}, web: {image: web, depends_on: {seed: {condition: service_completed_successfully}}}}
x-orch: {rollback: {window: 10s}}
";
    let script = || Script::new().service("seed", Behaviour::new().exits(0, ms(500)));
    let sim = SimEngine::new(script().service("web", Behaviour::new().exits(0, ms(2000))));
    let ran = up_of(&sim, yaml).await;
    assert_eq!(how(&ran), (Verdict::Succeeded, Aftermath::Kept, Some(WindowEnd::NothingRuns)));
    assert!(ran.took < ms(4000), "{:?}", ran.took);
}

#[tokio::test(start_paused = true)]
async fn a_critical_service_that_becomes_unhealthy_is_not_restarted_but_rolled_back() {
    let ran = is_rolled_back(YAML, sick()).await;
    let failure = &ran.ended.finished.failures[0];
    assert_eq!(failure.service, "web");
    assert!(failure.reason.starts_with("inside the rollback window (after 3"), "{}", failure.reason);
    assert!(
        failure.reason.ends_with("s of 10s): became unhealthy: connection refused"),
        "{}",
        failure.reason
    );
    assert!(ran.took < ms(5000), "{:?}", ran.took);
    let states = ran
        .events
        .iter()
        .filter(|e| matches!(e.kind, EventKind::Service { state, .. } if state.word() == "restarting"));
    assert_eq!(states.count(), 0);
    assert!(ran.kept.iter().any(|kept| kept.name == "p-web-1"), "its logs are kept");
}

#[tokio::test(start_paused = true)]
async fn whatever_on_failure_says_the_window_rolls_back() {
    for policy in ["keep", "stop", "teardown"] {
        let yaml = YAML.replace("x-orch: {rollback", &format!("x-orch: {{on_failure: {policy}, rollback"));
        is_rolled_back(&yaml, sick()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_exit_rolls_back_also_where_the_file_says_nothing_of_it() {
    let yaml = "
services: {web: {image: web}, db: {image: db}}
x-orch: {rollback: {window: 10s}}
";
    let ran = is_rolled_back(yaml, Behaviour::new().exits(9, ms(4000))).await;
    assert_eq!(ran.ended.finished.failures[0].exit_code, Some(9));
    let ran = is_rolled_back(YAML, Behaviour::new().exits(0, ms(4000))).await;
    assert!(ran.ended.finished.failures[0].reason.ends_with("exited with code 0, although it has a check"));
    let restarting = yaml.replace("image: web}", "image: web, restart: always}");
    let ran = is_rolled_back(&restarting, Behaviour::new().exits(9, ms(2000))).await;
    assert!(ran.ended.finished.failures[0].reason.contains("keeps exiting"), "it exited twice");
    let by_engine = yaml.replace("image: web}", "image: web, healthcheck: {test: [CMD, x]}}");
    let web = Behaviour::new().exec("x", 0, "").health(ms(10), EngineHealth::Healthy);
    is_rolled_back(&by_engine, web.health(ms(5000), EngineHealth::Unhealthy)).await;
}

// The container that ran before was the replica's first start.
#[tokio::test(start_paused = true)]
async fn one_restart_by_the_engine_is_forgiven_when_it_is_ready_again() {
    let yaml = YAML.replace("image: web\n", "image: web\n    restart: always\n");
    let sim = SimEngine::new(script(Behaviour::new().exits_times(1, ms(4000), 2)));
    up_of(&sim, &yaml).await;
    let ran = up_of(&sim, &updated(&yaml)).await;
    assert_eq!(how(&ran), (Verdict::Succeeded, Aftermath::Kept, Some(WindowEnd::Passed)), "{}", sim.record());
    assert_eq!(ran.ended.exits.len(), 1);
    // Not so where it is still on its way when the window is over.
    let late = Behaviour::new().ready_after(ms(5000)).exits_times(1, ms(12_000), 2);
    let ran = is_rolled_back(&yaml, late).await;
    assert!(ran.ended.finished.failures[0].reason.contains("not ready again when the window was over"));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_critical_is_restarted_as_ever() {
    let sim = SimEngine::new(Script::new().running("extra:2", Behaviour::new().exits_times(3, ms(2000), 2)));
    up_of(&sim, YAML).await;
    let ran = up_of(&sim, &YAML.replace("image: extra", "image: extra:2")).await;
    assert_eq!(how(&ran), (Verdict::Succeeded, Aftermath::Kept, Some(WindowEnd::Passed)), "{}", sim.record());
    assert_eq!(ran.ended.finished.degraded, Vec::<String>::new());
    assert_eq!(requests(&sim, Verb::Start, "extra").len(), 3);
    assert_eq!(names(&sim), ["p-extra-1", "p-web-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_first_up_leaves_nothing_when_it_goes_wrong_inside_the_window() {
    let sim = SimEngine::new(Script::new().service("web", sick()));
    let ran = up_of(&sim, YAML).await;
    assert_eq!(how(&ran), (Verdict::Failed, Aftermath::RolledBack, Some(WindowEnd::ConditionMet)));
    assert_eq!((names(&sim), sim.networks().len()), (Vec::new(), 0), "{}", sim.record());
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_inside_the_window_rolls_an_update_back_and_stops_a_new_project() {
    let sim = SimEngine::new(script(Behaviour::new()));
    let ran = up_with(&sim, YAML, &[(5000, CancelRequest::Graceful)]).await;
    assert_eq!(how(&ran), (Verdict::Cancelled, Aftermath::Stopped, Some(WindowEnd::RunEnded)));
    assert!(containers(&sim).iter().all(|(_, _, state)| *state == ContainerState::Exited));
    up_of(&sim, YAML).await;
    let before = containers(&sim);
    let ran = up_with(&sim, &updated(YAML), &[(5000, CancelRequest::Graceful)]).await;
    assert_eq!(how(&ran), (Verdict::Cancelled, Aftermath::RolledBack, Some(WindowEnd::RunEnded)));
    assert_eq!(containers(&sim), before, "{}", sim.record());
}

#[tokio::test(start_paused = true)]
async fn an_attached_up_that_is_ended_inside_the_window_loses_nothing() {
    let sim = SimEngine::new(script(Behaviour::new()));
    up_of(&sim, YAML).await;
    let cancels = vec![(5000, CancelRequest::Graceful)];
    let asked = Asked { watch: true, cancels, ..Asked::default() };
    let ran = up_as(&sim, &updated(YAML), &asked).await.unwrap().unwrap();
    assert_eq!(how(&ran), (Verdict::Cancelled, Aftermath::Stopped, Some(WindowEnd::RunEnded)));
    assert_eq!(names(&sim), ["p-extra-1", "p-web-1", "p-web-1.previous"]);
    let told = |e: &docker_orch::event::Event| matches!(&e.kind, EventKind::Warning { message } if message.contains("p-web-1.previous"));
    assert!(ran.events.iter().any(told), "{:?}", ran.events);
    // The next one goes on.
    let ran = up_of(&sim, &updated(YAML)).await;
    assert_eq!(how(&ran), (Verdict::Succeeded, Aftermath::Kept, Some(WindowEnd::Passed)));
    assert_eq!(names(&sim), ["p-extra-1", "p-web-1"]);
}

#[tokio::test(start_paused = true)]
async fn an_attached_up_goes_on_when_the_window_is_over() {
    let late = Behaviour::new().unready(ms(15_000), ms(16_500));
    let sim = SimEngine::new(script(late));
    up_of(&sim, YAML).await;
    let cancels = vec![(40_000, CancelRequest::Graceful)];
    let asked = Asked { watch: true, cancels, ..Asked::default() };
    let ran = up_as(&sim, &updated(YAML), &asked).await.unwrap().unwrap();
    assert_eq!(how(&ran), (Verdict::Cancelled, Aftermath::Stopped, Some(WindowEnd::Passed)));
    assert_eq!(names(&sim), ["p-extra-1", "p-web-1"]);
    assert_eq!(requests(&sim, Verb::Start, "web").len(), 4, "it is restarted with backoff\n{}", sim.record());
}

#[tokio::test(start_paused = true)]
async fn killed_inside_the_window_the_next_command_finishes() {
    let killed = || async {
        let sim = SimEngine::new(script(Behaviour::new()));
        up_of(&sim, YAML).await;
        let asked = Asked { killed_at: Some(6000), ..Asked::default() };
        assert!(up_as(&sim, &updated(YAML), &asked).await.is_none());
        assert_eq!(names(&sim), ["p-extra-1", "p-web-1", "p-web-1.previous"]);
        sim
    };
    let sim = killed().await;
    let new = sim.container("p-web-1").unwrap().id;
    let ran = up_of(&sim, &updated(YAML)).await;
    // Nothing is changed by it, so there is nothing to watch.
    assert_eq!(how(&ran), (Verdict::Succeeded, Aftermath::Kept, None), "{}", sim.record());
    assert_eq!(
        (names(&sim), sim.container("p-web-1").unwrap().id),
        (vec!["p-extra-1".to_owned(), "p-web-1".to_owned()], new)
    );
    // The way back: the file says what ran before.
    let sim = killed().await;
    up_of(&sim, YAML).await;
    assert_eq!(names(&sim), ["p-extra-1", "p-web-1"]);
    let sim = killed().await;
    let mut run = lab_run(&sim, Arc::new(project(YAML)), &[]);
    end(&mut run, Ending::Down, &EndOptions::default(), &label("down")).await.unwrap();
    assert_eq!(names(&sim), [""; 0]);
}

/// Three services, one behind the other.
const LINE: &str = "
services:
  db: {image: 'db:1', x-orch: {health_check: {tcp: 1, interval: 1s}}}
  api: {image: 'api:1', depends_on: {db: {condition: service_healthy}}, x-orch: {health_check: {tcp: 1, interval: 1s}}}
  web: {image: 'web:1', depends_on: {api: {condition: service_healthy}}, x-orch: {health_check: {tcp: 1, interval: 1s}}}
x-orch:
  rollback:
    window: 10s
    conditions: [{condition: critical_service_unhealthy, action: gradual_rollback}]
";

/// What was there before runs again, and each service is ready again before the next one is touched.
#[tokio::test(start_paused = true)]
async fn a_gradual_rollback_takes_one_service_after_another() {
    let slow = || Behaviour::new().ready_after(ms(1500));
    let script = Script::new().service("db", slow()).service("api", slow()).service("web", slow());
    let sim = SimEngine::new(script.running("db:2", Behaviour::new().exits(1, ms(6000))));
    up_of(&sim, LINE).await;
    let before = containers(&sim);
    let first = sim.requests().len();
    let ran = up_of(&sim, &LINE.replace(":1'", ":2'")).await;
    assert_eq!(
        how(&ran),
        (Verdict::Failed, Aftermath::RolledBack, Some(WindowEnd::ConditionMet)),
        "{}",
        sim.record()
    );
    assert_eq!(containers(&sim), before, "{}", sim.record());
    assert_eq!(ran.events.iter().filter(|e| matches!(e.kind, EventKind::Ready { .. })).count(), 1);
    let later: Vec<Request> = sim.requests().into_iter().skip(first).collect();
    let of =
        |verb, service: &str| later.iter().rfind(|r| r.verb == verb && r.service == service).unwrap().clone();
    for (service, next) in [("db", "api"), ("api", "web")] {
        let ready = of(Verb::Start, service).ended.unwrap() + ms(1500);
        assert!(of(Verb::Remove, next).at >= ready, "{next} before {service} was ready\n{}", sim.record());
    }
}

#[tokio::test(start_paused = true)]
async fn a_gradual_rollback_goes_on_when_a_service_does_not_come_back() {
    // The third start of `web` is that of the old one; it is tried three times.
    let refused = |nth| Fault::on(Verb::Start, Effect::Fail(Kind::Failed)).of("web").nth(nth);
    let script = Script::new().running("db:2", Behaviour::new().exits(1, ms(4000)));
    let sim = SimEngine::new(script.fault(refused(3)).fault(refused(4)).fault(refused(5)));
    up_of(&sim, LINE).await;
    let before = containers(&sim);
    let ran = up_of(&sim, &LINE.replace(":1'", ":2'")).await;
    let finished = &ran.ended.finished;
    assert_eq!(
        (finished.verdict, finished.aftermath),
        (Verdict::Failed, Aftermath::Stuck),
        "{}",
        sim.record()
    );
    assert!(finished.left.len() == 1 && finished.left[0].starts_with("web: "), "{:?}", finished.left);
    let after = containers(&sim);
    assert_eq!(after[..2], before[..2], "the others are as they were\n{}", sim.record());
    assert_eq!((&after[2].1, after.len()), (&before[2].1, 3), "it is there, and does not run");
}

#[tokio::test(start_paused = true)]
async fn a_first_up_can_be_rolled_back_gradually_too() {
    let sim = SimEngine::new(Script::new().running("db:1", Behaviour::new().exits(1, ms(4000))));
    let ran = up_of(&sim, LINE).await;
    assert_eq!(how(&ran), (Verdict::Failed, Aftermath::RolledBack, Some(WindowEnd::ConditionMet)));
    assert_eq!((names(&sim), sim.networks().len()), (Vec::new(), 0), "{}", sim.record());
}

#[tokio::test(start_paused = true)]
async fn what_shares_a_namespace_is_rolled_back_at_once() {
    let yaml = LINE.replace("web: {image: 'web:1'", "web: {image: 'web:1', network_mode: 'service:api'");
    let sim = SimEngine::new(Script::new().running("db:2", Behaviour::new().exits(1, ms(4000))));
    up_of(&sim, &yaml).await;
    let before = containers(&sim);
    let ran = up_of(&sim, &yaml.replace(":1'", ":2'")).await;
    assert_eq!(ran.ended.finished.aftermath, Aftermath::RolledBack, "{}", sim.record());
    assert_eq!(containers(&sim), before, "{}", sim.record());
    let told = |e: &docker_orch::event::Event| matches!(&e.kind, EventKind::Warning { message } if message.contains("at once"));
    assert_eq!(ran.events.iter().filter(|e| told(e)).count(), 1);
}
