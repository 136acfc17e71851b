//! Activators on the simulated engine, in virtual time.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use docker_orch::{
    engine::sim::{Script, SimEngine},
    ondemand::{ServiceId, ServiceSpec},
    plan::{ContainerState, EngineFacts, UpOptions},
    supervisor::{Activators, Devices, Ending, Said, Supervised, Supervisor, activators, loadable},
};

use crate::support::lab::{label, project};

const YAML: &str = "
services:
  chat: {image: chat, scale: 0, expose: ['9090', '53/udp'], x-orch: {load: on_demand, routes: [{port: 80}]}}
";

/// A supervisor of `chat`, and what stands in its place.
fn world(sim: &SimEngine) -> (Supervisor, Rc<Activators>) {
    let project = project(YAML);
    let spec = ServiceSpec::of(&project, &project.services["chat"]).unwrap();
    let chat = Supervised { name: "chat".to_owned(), spec, project: loadable(&project, "chat") };
    let (all, _) = activators(&project, &[("chat".to_owned(), ServiceId(0))].into()).unwrap();
    let standing = Rc::new(Activators {
        engine: Arc::new(sim.clone()),
        project: project.clone(),
        all,
        options: UpOptions::default(),
        label: label("load"),
        folder: "/run/p.activators".into(),
        slug: || "0".repeat(64),
        say: Rc::new(|_| ()),
        said: RefCell::new(Said::default()),
    });
    let devices = Devices { gpus: None, known: Vec::new(), facts: EngineFacts::default() };
    let run = (UpOptions::default(), label("load"));
    let mut supervisor =
        Supervisor::new(Arc::new(sim.clone()), &project, vec![chat], run, devices, Box::new(|_, _| ()));
    supervisor.set_activators(Rc::clone(&standing));
    (supervisor, standing)
}

#[test]
fn one_listens_on_every_port_that_a_file_names() {
    let (all, sites) = activators(&project(YAML), &[("chat".to_owned(), ServiceId(0))].into()).unwrap();
    assert_eq!(all[0].ports.keys().copied().collect::<Vec<_>>(), [80, 9090], "what is TCP");
    assert!(sites[&("chat".to_owned(), 9090)].raw().is_some(), "whatever is spoken there");
}

#[tokio::test(start_paused = true)]
async fn one_stands_until_it_is_taken_down_and_is_left_alone_by_the_next() {
    let sim = SimEngine::new(Script::new());
    let after = async |supervisor: Supervisor| {
        supervisor
            .stay(async {
                tokio::time::sleep(Duration::from_secs(30)).await;
                Ending::Leave
            })
            .await;
    };
    let (supervisor, _) = world(&sim);
    after(supervisor).await;
    let stood = sim.container("p-chat-activator").expect("it stands");
    assert_eq!(stood.state, ContainerState::Running);
    let (supervisor, standing) = world(&sim);
    after(supervisor).await;
    assert_eq!(sim.container("p-chat-activator").map(|c| c.id), Some(stood.id));
    standing.take_down().await;
    assert!(sim.container("p-chat-activator").is_none());
}

/// Whenever it ends: also while one is being put up.
#[tokio::test(start_paused = true)]
async fn none_is_left_behind() {
    for milliseconds in (0..1500).step_by(10) {
        let sim = SimEngine::new(Script::new());
        let (supervisor, standing) = world(&sim);
        let ends = async {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            Ending::Leave
        };
        supervisor.stay(ends).await;
        standing.take_down().await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(sim.container("p-chat-activator").is_none(), "after {milliseconds} ms:\n{}", sim.record());
    }
}
