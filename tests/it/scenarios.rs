//! Whole runs, on the simulated engine and in virtual time.

use std::time::Duration;

use docker_orch::{
    engine::{
        EngineErrorKind as Kind,
        sim::{Behaviour, Effect, Fault, Request, Script, SimEngine, Verb},
    },
    event::{Aftermath, EventKind, Verdict},
    executor::CancelRequest,
    plan::ContainerState,
};

use crate::support::lab::{Asked, up_as, up_of, up_with};

const CHAIN: &str = r#"
services:
  db:
    image: db
    volumes: ["data:/data"]
    x-orch: {health_check: {tcp: 5432, name: accepts}}
  migrate:
    image: migrate
    depends_on: {db: {condition: service_healthy}}
  web:
    image: web
    depends_on: {db: {condition: service_healthy}, migrate: {condition: service_completed_successfully}}
volumes: {data: {}}
"#;

pub(crate) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn chain() -> Script {
    Script::new()
        .service("db", Behaviour::new().ready_after(ms(2000)))
        .service("migrate", Behaviour::new().exits(0, ms(500)))
}

fn started(sim: &SimEngine, service: &str) -> Vec<Request> {
    sim.requests().into_iter().filter(|r| r.verb == Verb::Start && r.service == service).collect()
}

/// Nothing of the project but its volumes.
fn is_clean(sim: &SimEngine) {
    assert!(sim.containers().is_empty(), "left: {:?}\n{}", names(sim), sim.record());
    assert!(sim.networks().is_empty(), "left: {:?}\n{}", sim.networks(), sim.record());
}

fn names(sim: &SimEngine) -> Vec<String> {
    sim.containers().into_iter().map(|c| c.name).collect()
}

#[tokio::test(start_paused = true)]
async fn a_chain_starts_as_soon_as_its_gates_open() {
    let sim = SimEngine::new(chain());
    let ran = up_of(&sim, CHAIN).await;
    assert_eq!(
        (ran.ended.finished.verdict, ran.ended.finished.aftermath),
        (Verdict::Succeeded, Aftermath::Kept)
    );
    let db = started(&sim, "db")[0].ended.unwrap();
    let migrate = &started(&sim, "migrate")[0];
    let web = &started(&sim, "web")[0];
    assert!(migrate.at >= db + ms(2000) && migrate.at < db + ms(2300), "{:?}", migrate.at);
    let done = migrate.ended.unwrap() + ms(500);
    assert!(web.at >= done && web.at < done + ms(50), "{:?} {done:?}", web.at);
    assert!(sim.requests().iter().filter(|r| r.verb == Verb::Create).all(|r| r.at < db));
}

#[tokio::test(start_paused = true)]
async fn the_same_run_has_the_same_record() {
    let one = SimEngine::new(chain());
    let first = up_of(&one, CHAIN).await.events;
    let two = SimEngine::new(chain());
    let second = up_of(&two, CHAIN).await.events;
    assert_eq!(one.record(), two.record());
    assert_eq!(first, second);
}

#[tokio::test(start_paused = true)]
async fn a_second_up_changes_nothing() {
    let sim = SimEngine::new(chain());
    up_of(&sim, CHAIN).await;
    let before = sim.record();
    let ran = up_of(&sim, CHAIN).await;
    assert_eq!(ran.ended.finished.verdict, Verdict::Succeeded);
    assert_eq!(sim.record(), before);
}

#[tokio::test(start_paused = true)]
async fn starts_in_flight_are_limited() {
    let services: Vec<String> = (0..12).map(|n| format!("  s{n}: {{image: s}}\n")).collect();
    let services = services.concat();
    let sim = SimEngine::new(Script::new());
    up_of(&sim, &format!("services:\n{services}x-orch: {{startup: {{max_parallel: 3}}}}\n")).await;
    assert_eq!(sim.max_in_flight(Verb::Start), 3);
    let sim = SimEngine::new(Script::new());
    up_of(&sim, &format!("services:\n{services}x-orch: {{startup: {{mode: sequential}}}}\n")).await;
    assert_eq!(sim.max_in_flight(Verb::Start), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wave_opens_when_the_one_before_is_ready() {
    let yaml = "
services:
  a: {image: a, x-orch: {health_check: {tcp: 1}}}
  b: {image: b, x-orch: {health_check: {tcp: 1}}}
  c: {image: c}
  free: {image: free}
x-orch:
  waves:
    - {name: one, services: [a, b], ready_when: any}
    - {name: two, services: [c]}
";
    let script = Script::new()
        .service("a", Behaviour::new().ready_after(ms(1000)))
        .service("b", Behaviour::new().ready_after(ms(5000)));
    let sim = SimEngine::new(script);
    let ran = up_of(&sim, yaml).await;
    assert_eq!(ran.ended.finished.verdict, Verdict::Succeeded);
    let (a, c) = (started(&sim, "a")[0].ended.unwrap(), started(&sim, "c")[0].at);
    assert!(c >= a + ms(1000) && c < a + ms(1400), "{c:?}");
    assert!(started(&sim, "free")[0].at < a);
    assert!(ran.took > ms(5000));
}

#[tokio::test(start_paused = true)]
async fn a_sequential_wave_waits_for_each() {
    let yaml = "
services:
  a: {image: a, x-orch: {health_check: {tcp: 1}}}
  b: {image: b}
  c: {image: c}
x-orch: {waves: [{name: one, sequential: [a, b], parallel: [c]}]}
";
    let sim = SimEngine::new(Script::new().service("a", Behaviour::new().ready_after(ms(1000))));
    up_of(&sim, yaml).await;
    let a = started(&sim, "a")[0].ended.unwrap();
    assert!(started(&sim, "b")[0].at >= a + ms(1000));
    assert!(started(&sim, "c")[0].at < a);
}

#[tokio::test(start_paused = true)]
async fn a_start_is_tried_again_with_backoff() {
    let yaml = "
services:
  web: {image: web, x-orch: {start: {retries: 2, backoff: 1s}, health_check: {tcp: 1}}}
";
    let flaky = |starts| Behaviour::new().ready_after(ms(500)).exits_times(1, ms(100), starts);
    let sim = SimEngine::new(Script::new().service("web", flaky(2)));
    let ran = up_of(&sim, yaml).await;
    assert_eq!(ran.ended.finished.verdict, Verdict::Succeeded, "{}", sim.record());
    let starts = started(&sim, "web");
    assert_eq!(starts.len(), 3);
    assert!(starts[1].at >= starts[0].ended.unwrap() + ms(1100));
    assert!(starts[2].at >= starts[1].ended.unwrap() + ms(2100));
    let sim = SimEngine::new(Script::new().service("web", flaky(3)));
    assert_eq!(up_of(&sim, yaml).await.ended.finished.verdict, Verdict::Failed);
    is_clean(&sim);
}

#[tokio::test(start_paused = true)]
async fn an_exit_fails_what_waits_for_it_at_once() {
    let db = Behaviour::new().ready_after(ms(2000)).log_error(ms(100), "no space left").exits(1, ms(300));
    let sim = SimEngine::new(chain().service("db", db));
    let ran = up_of(&sim, CHAIN).await;
    let finished = &ran.ended.finished;
    assert_eq!((finished.verdict, finished.aftermath), (Verdict::Failed, Aftermath::RolledBack));
    assert!(ran.took < ms(1500), "{:?}", ran.took);
    assert!(started(&sim, "web").is_empty());
    assert_eq!(finished.failures[0].service, "db");
    assert!(ran.kept.iter().any(|k| k.name == "p-db-1" && k.log.iter().any(|l| l.contains("no space left"))));
    is_clean(&sim);
    assert!(sim.volumes().contains("p_data"));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_critical_only_degrades() {
    let yaml = "
services:
  web: {image: web}
  extra: {image: extra, x-orch: {critical: false, health_check: {tcp: 1}}}
";
    let sim =
        SimEngine::new(Script::new().service("extra", Behaviour::new().never_ready().exits(1, ms(200))));
    let ran = up_of(&sim, yaml).await;
    assert_eq!(ran.ended.finished.verdict, Verdict::Succeeded);
    assert_eq!(ran.ended.finished.degraded, ["extra"]);
    assert_eq!(sim.container("p-web-1").unwrap().state, ContainerState::Running);
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_takes_too_long_fails_the_run() {
    let yaml = "
services:
  web:
    image: web
    x-orch: {health_check: {type: staged, stages: [{name: port, tcp: 1, timeout: 20s}]}}
";
    let sim = SimEngine::new(Script::new().service("web", Behaviour::new().never_ready()));
    let ran = up_of(&sim, yaml).await;
    assert_eq!(ran.ended.finished.verdict, Verdict::Failed);
    assert!(ran.took >= ms(20_000) && ran.took < ms(22_000), "{:?}", ran.took);
    is_clean(&sim);
}

#[tokio::test(start_paused = true)]
async fn every_single_request_may_fail() {
    for effect in [Effect::Fail(Kind::Failed), Effect::Ambiguous, Effect::Late(ms(5000))] {
        let clean = SimEngine::new(chain());
        up_of(&clean, CHAIN).await;
        let requests = clean.requests().iter().filter(|r| r.verb.changes()).count();
        assert!(requests >= 8, "{}", clean.record());
        for k in 1..=u32::try_from(requests).unwrap() {
            let sim = SimEngine::new(chain().fault(Fault::on_change(effect.clone()).nth(k)));
            let ran = up_of(&sim, CHAIN).await;
            match ran.ended.finished.verdict {
                Verdict::Succeeded => {
                    assert_eq!(names(&sim), names(&clean), "{effect:?} {k}\n{}", sim.record());
                }
                Verdict::Failed => {
                    assert_eq!(
                        ran.ended.finished.aftermath,
                        Aftermath::RolledBack,
                        "{effect:?} {k}\n{}",
                        sim.record()
                    );
                    is_clean(&sim);
                }
                Verdict::Cancelled => panic!("{effect:?} {k}: nobody cancelled"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_update_brings_the_very_same_containers_back() {
    let sim = SimEngine::new(chain().running("web:2", Behaviour::new().never_ready().exits(9, ms(200))));
    assert_eq!(up_of(&sim, CHAIN).await.ended.finished.verdict, Verdict::Succeeded);
    let before: Vec<_> = sim.containers().into_iter().map(|c| (c.name, c.id, c.state)).collect();
    let next = CHAIN.replace("image: web", "image: web:2\n    x-orch: {health_check: {tcp: 80}}");
    let ran = up_of(&sim, &next).await;
    assert_eq!(ran.ended.finished.verdict, Verdict::Failed, "{}", sim.record());
    let after: Vec<_> = sim.containers().into_iter().map(|c| (c.name, c.id, c.state)).collect();
    assert_eq!(after, before, "{}", sim.record());
}

#[tokio::test(start_paused = true)]
async fn every_single_request_of_an_update_may_fail() {
    let next = CHAIN.replace("image: web", "image: web:2").replace("image: db", "image: db:2");
    let clean = SimEngine::new(chain());
    up_of(&clean, CHAIN).await;
    let first = clean.requests().iter().filter(|r| r.verb.changes()).count();
    up_of(&clean, &next).await;
    let all = clean.requests().iter().filter(|r| r.verb.changes()).count();
    for k in 1..=u32::try_from(all - first).unwrap() {
        let sim = SimEngine::new(chain());
        up_of(&sim, CHAIN).await;
        let before: Vec<_> = sim.containers().into_iter().map(|c| (c.name, c.id, c.state)).collect();
        sim.add_fault(Fault::on_change(Effect::Fail(Kind::Failed)).nth(k));
        let ran = up_of(&sim, &next).await;
        let after: Vec<_> = sim.containers().into_iter().map(|c| (c.name, c.id, c.state)).collect();
        if ran.ended.finished.verdict == Verdict::Failed {
            assert_eq!(after, before, "{k}\n{}", sim.record());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_interrupt_stops_in_order_and_the_second_kills() {
    let deaf = || chain().service("db", Behaviour::new().ready_after(ms(2000)).ignores_term());
    let sim = SimEngine::new(deaf());
    let ran = up_with(&sim, CHAIN, &[(1000, CancelRequest::Graceful)]).await;
    assert_eq!(ran.ended.finished.verdict, Verdict::Cancelled);
    assert!(ran.took >= ms(11_000) && ran.took < ms(13_000), "{:?}", ran.took);
    assert!(sim.containers().iter().all(|c| c.state != ContainerState::Running), "{}", sim.record());
    let sim = SimEngine::new(deaf());
    let cancels = [(1000, CancelRequest::Graceful), (2000, CancelRequest::Force)];
    let ran = up_with(&sim, CHAIN, &cancels).await;
    assert_eq!(ran.ended.finished.verdict, Verdict::Cancelled);
    assert!(ran.took < ms(3000), "{:?}\n{}", ran.took, sim.record());
    assert!(sim.containers().iter().all(|c| c.state != ContainerState::Running), "{}", sim.record());
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_never_answers_ends_the_run_in_time() {
    for verb in [Verb::CreateNetwork, Verb::Create, Verb::Start] {
        let sim = SimEngine::new(chain().fault(Fault::on(verb, Effect::Hang).nth(1)));
        let ran = up_of(&sim, CHAIN).await;
        assert_eq!(ran.ended.finished.verdict, Verdict::Failed, "{verb}\n{}", sim.record());
        is_clean(&sim);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watched_container_that_the_engine_gives_up_restarting_has_ended() {
    let sim = SimEngine::new(Script::new().service("job", Behaviour::new().exits(3, ms(1000))));
    let yaml = "services: {job: {image: job, restart: 'on-failure:2'}}";
    let ran = up_as(&sim, yaml, &Asked { watch: true, ..Asked::default() }).await;
    let ended = ran.expect("nobody kills it").expect("a beginning").ended;
    let codes: Vec<i64> = ended.exits.into_iter().map(|(_, code)| code).collect();
    assert_eq!(codes, [3, 3, 3]);
    assert_eq!(sim.containers()[0].state, ContainerState::Exited);
}

/// What exits while the last containers are removed is started again, and that is waited for.
#[tokio::test(start_paused = true)]
async fn a_run_does_not_end_while_it_starts_something_again() {
    let yaml = "
services:
  web: {image: 'web:1'}
  job:
    image: job
    x-orch: {start: {retries: 1, backoff: 1ms}, health_check: {tcp: 1}}
";
    let mut again = 0;
    for exit in 1..80 {
        let job = Behaviour::new().ready_after(ms(1)).start_takes(ms(30)).exits_times(1, ms(exit), 2);
        let sim = SimEngine::new(
            Script::new().running("web:2", Behaviour::new().start_takes(ms(30))).service("job", job),
        );
        drop(up_of(&sim, yaml).await);
        let ran = up_of(
            &sim,
            &yaml.replace("web:1", "web:2").replace("image: job", "image: job\n    command: [again]"),
        )
        .await;
        let open: Vec<String> =
            sim.requests().iter().filter(|r| r.ended.is_none()).map(ToString::to_string).collect();
        let open: Vec<&String> = open.iter().filter(|r| r.contains("start")).collect();
        assert!(
            open.is_empty(),
            "exit after {exit} ms, {:?}: {open:?}\n{}",
            ran.ended.finished.verdict,
            sim.record()
        );
        again += usize::from(started(&sim, "job").len() > 2);
    }
    assert!(again > 0, "nothing was started again");
}

#[tokio::test(start_paused = true)]
async fn what_appears_after_its_answer_was_lost_is_undone_too() {
    let created = |time| Fault::on(Verb::Create, Effect::Unheard(ms(time))).of("web");
    let sim = SimEngine::new(chain().fault(created(3000)));
    let ran = up_of(&sim, CHAIN).await;
    assert_eq!(ran.ended.finished.aftermath, Aftermath::RolledBack, "{}", sim.record());
    tokio::time::sleep(ms(10_000)).await;
    is_clean(&sim);
    // Nobody waits for ever: then it is said, and the next command finishes.
    let sim = SimEngine::new(chain().fault(created(8000)));
    let ran = up_of(&sim, CHAIN).await;
    let told = ran.events.iter().any(|event| {
        matches!(&event.kind, EventKind::Warning { message } if message.contains("has not answered to the creation of p-web-1"))
    });
    assert!(told, "{}", sim.record());
}
