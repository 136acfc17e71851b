//! The simulator's own promises: virtual time, faults, and the same record every time.

use std::time::Duration;

use futures::StreamExt as _;
use indexmap::IndexMap;

use super::{Behaviour, Effect, Fault, Script, SimEngine, Verb};
use crate::{
    engine::{ContainerRequest, Engine, EngineAction, EngineErrorKind, LogOptions},
    plan::{ContainerState, EngineHealth},
    project::{Healthcheck, Network, Project, Service, ServiceNetwork},
};

const SECOND: Duration = Duration::from_secs(1);

fn project(service: Service) -> Project {
    let network = Network { name: "p_default".to_owned(), ..Network::default() };
    Project {
        name: "p".to_owned(),
        services: IndexMap::from([(service.name.clone(), service)]),
        networks: IndexMap::from([("default".to_owned(), network)]),
        ..Project::default()
    }
}

fn web() -> Service {
    Service {
        name: "web".to_owned(),
        image: Some("web:1".to_owned()),
        networks: IndexMap::from([("default".to_owned(), None::<ServiceNetwork>)]),
        ..Service::default()
    }
}

fn request(project: &Project) -> ContainerRequest<'_> {
    ContainerRequest {
        project,
        service: &project.services["web"],
        number: 1,
        name: "p-web-1".to_owned(),
        final_name: "p-web-1".to_owned(),
        config_hash: "hash".to_owned(),
        image_id: "sha256:1".to_owned(),
        replaces: None,
        links: Vec::new(),
        inherited: Vec::new(),
        oneoff: None,
        unnamed: Vec::new(),
    }
}

fn script() -> Script {
    Script::new().network("p_default")
}

#[tokio::test(start_paused = true)]
async fn the_same_script_gives_the_same_record() {
    let run = || async {
        let sim = SimEngine::new(script().service("web", Behaviour::new().exits(3, SECOND)));
        let project = project(web());
        let id = sim.create_container(&request(&project)).await.unwrap();
        sim.start(&id).await.unwrap();
        tokio::time::sleep(2 * SECOND).await;
        assert_eq!(sim.container("p-web-1").unwrap().exit_code, Some(3));
        sim.remove(&id, false).await.unwrap();
        sim.record()
    };
    let record = run().await;
    assert_eq!(record, run().await);
    insta::assert_snapshot!(record, @r"
    0.000 create p-web-1 web-1
    0.030 start p-web-1
    2.110 remove p-web-1
    ");
}

#[tokio::test(start_paused = true)]
async fn faults_meet_the_request_that_they_name() {
    let fault = |verb, effect| Fault::on(verb, effect).of("web").nth(1);
    let sim = SimEngine::new(
        script()
            .fault(fault(Verb::Create, Effect::Fail(EngineErrorKind::Failed)))
            .fault(fault(Verb::Start, Effect::Ambiguous))
            .fault(fault(Verb::Stop, Effect::Hang)),
    );
    let project = project(web());
    let refused = sim.create_container(&request(&project)).await.unwrap_err();
    assert_eq!(refused.kind, EngineErrorKind::Failed);
    let id = sim.create_container(&request(&project)).await.unwrap();
    assert_eq!(sim.start(&id).await.unwrap_err().kind, EngineErrorKind::Ambiguous);
    assert_eq!(sim.container("p-web-1").unwrap().state, ContainerState::Running);
    assert!(tokio::time::timeout(60 * SECOND, sim.stop(&id, None)).await.is_err());
    sim.stop(&id, None).await.unwrap();
    assert_eq!(sim.container("p-web-1").unwrap().state, ContainerState::Exited);
}

#[tokio::test(start_paused = true)]
async fn a_request_goes_on_when_nobody_waits_for_it() {
    let sim = SimEngine::new(script());
    let project = project(web());
    let id = sim.create_container(&request(&project)).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(10), sim.start(&id)).await.is_err());
    tokio::time::sleep(SECOND).await;
    assert_eq!(sim.container("p-web-1").unwrap().state, ContainerState::Running);
}

#[tokio::test(start_paused = true)]
async fn a_deaf_container_is_killed_when_its_grace_is_over() {
    let sim = SimEngine::new(script().service("web", Behaviour::new().ignores_term()));
    let project = project(Service { stop_grace_period: Some((3 * SECOND).into()), ..web() });
    let id = sim.create_container(&request(&project)).await.unwrap();
    sim.start(&id).await.unwrap();
    let before = sim.now();
    sim.stop(&id, None).await.unwrap();
    assert_eq!(sim.now(), before + 3 * SECOND);
    assert_eq!(sim.container("p-web-1").unwrap().exit_code, Some(137));
}

#[tokio::test(start_paused = true)]
async fn health_and_readiness_follow_the_script() {
    let behaviour = Behaviour::new()
        .ready_after(10 * SECOND)
        .stage_after("early", SECOND)
        .unready(60 * SECOND, 90 * SECOND);
    let sim = SimEngine::new(script().service("web", behaviour));
    let check = Healthcheck {
        test: Some(vec!["CMD".to_owned(), "check".to_owned()]),
        interval: Some((5 * SECOND).into()),
        retries: Some(2),
        start_period: Some((20 * SECOND).into()),
        ..Healthcheck::default()
    };
    let project = project(Service { healthcheck: Some(check), ..web() });
    let mut events = sim.events("p").await.unwrap();
    let id = sim.create_container(&request(&project)).await.unwrap();
    sim.start(&id).await.unwrap();
    tokio::time::sleep(2 * SECOND).await;
    assert!(sim.probe_ready("p-web-1", "early"));
    assert!(!sim.probe_ready("p-web-1", "late"));
    tokio::time::sleep(100 * SECOND).await;
    sim.remove(&id, false).await.unwrap();
    let mut actions = Vec::new();
    while actions.last() != Some(&EngineAction::Removed) {
        actions.push(events.next().await.unwrap().unwrap().action);
    }
    assert_eq!(
        actions,
        [
            EngineAction::Created,
            EngineAction::Started,
            EngineAction::Health(EngineHealth::Healthy),
            EngineAction::Health(EngineHealth::Unhealthy),
            EngineAction::Health(EngineHealth::Healthy),
            EngineAction::Other("kill".to_owned()),
            EngineAction::Died { code: 137 },
            EngineAction::Removed,
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_restart_policy_starts_again_until_a_stop_is_asked_for() {
    let sim = SimEngine::new(script().service("web", Behaviour::new().exits_times(1, SECOND, 2)));
    let project = project(Service { restart: Some("always".to_owned()), ..web() });
    let id = sim.create_container(&request(&project)).await.unwrap();
    sim.start(&id).await.unwrap();
    tokio::time::sleep(5 * SECOND).await;
    let detail = sim.inspect(&id).await.unwrap().unwrap();
    assert_eq!((detail.restart_count, detail.state), (2, ContainerState::Running));
    sim.stop(&id, None).await.unwrap();
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(sim.container("p-web-1").unwrap().state, ContainerState::Exited);
}

#[tokio::test(start_paused = true)]
async fn a_followed_log_ends_with_its_container() {
    let behaviour = Behaviour::new().log(SECOND, "one").log_error(2 * SECOND, "two").exits(0, 3 * SECOND);
    let sim = SimEngine::new(script().service("web", behaviour));
    let project = project(web());
    let id = sim.create_container(&request(&project)).await.unwrap();
    sim.start(&id).await.unwrap();
    let options = LogOptions { follow: true, timestamps: true, ..LogOptions::default() };
    let lines: Vec<_> = sim.logs(&id, &options).map(Result::unwrap).collect().await;
    let texts: Vec<_> = lines.iter().map(|l| (l.stderr, l.text.as_str())).collect();
    assert_eq!(texts, [(false, "one"), (true, "two")]);
    assert_eq!(lines[0].timestamp.as_deref(), Some("2026-01-01T00:00:01.110000000Z"));
}

#[tokio::test(start_paused = true)]
async fn a_taken_port_refuses_the_start() {
    let sim = SimEngine::new(script().taken_port(8080));
    let port = crate::project::Port {
        target: Some(80),
        published: Some("8080".to_owned()),
        ..crate::project::Port::default()
    };
    let project = project(Service { ports: vec![port], ..web() });
    let id = sim.create_container(&request(&project)).await.unwrap();
    let refused = sim.start(&id).await.unwrap_err();
    assert!(refused.message.contains("port is already allocated"), "{refused}");
    assert_eq!(sim.container("p-web-1").unwrap().state, ContainerState::Created);
}
