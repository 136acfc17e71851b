//! A project on an engine, simulated or real, that leaves nothing behind.

use std::{sync::Arc, time::Duration};

use docker_orch::{
    engine::{
        ContainerRequest, Engine, EngineAction, EngineError, EngineEvent, LogOptions, NetworkRequest, Scope,
        VolumeRequest,
        sim::{Behaviour, Script, SimEngine},
    },
    plan::{Container, ContainerState, Observed},
    project::{Network, Project, Service, Volume},
};
use futures::StreamExt;
use indexmap::IndexMap;
use tokio::sync::mpsc;

/// The image that every service here runs.
pub(crate) const IMAGE: &str = "docker-orch-example:latest";

/// Which engine.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Side {
    /// The simulator, in virtual time.
    Sim,
    /// The engine that `DOCKER_HOST` names, else the default one.
    Docker,
}

/// A project with one network, `default`, and one volume, `data`, on an engine.
pub(crate) struct World {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) project: Project,
    _leftovers: Option<super::docker::Leftovers>,
}

/// A service, and how the simulator acts what its flags say.
pub(crate) fn service(name: &str, flags: &str, behaviour: Behaviour) -> (Service, Behaviour) {
    let service = Service {
        name: name.to_owned(),
        image: Some(IMAGE.to_owned()),
        command: Some(flags.split_whitespace().map(str::to_owned).collect()),
        networks: IndexMap::from([("default".to_owned(), None)]),
        ..Service::default()
    };
    (service, behaviour)
}

/// A service that does nothing but run.
pub(crate) fn plain(name: &str) -> (Service, Behaviour) {
    service(name, "", Behaviour::new().log(Duration::from_millis(1), "started"))
}

/// The request for the first container of a service.
pub(crate) fn first_container<'a>(project: &'a Project, service: &'a Service) -> ContainerRequest<'a> {
    let name = project.container_name(service, 1);
    ContainerRequest {
        project,
        service,
        number: 1,
        name: name.clone(),
        final_name: name,
        config_hash: "hash".to_owned(),
        image_id: "sha256:0".to_owned(),
        replaces: None,
        links: Vec::new(),
        inherited: Vec::new(),
        oneoff: None,
        unnamed: Vec::new(),
    }
}

impl World {
    /// With these services, and the network and the volume already there.
    pub(crate) async fn new(side: Side, test: &str, services: Vec<(Service, Behaviour)>) -> Self {
        let name = format!("orch-contract-{}-{}", test.replace('_', "-"), std::process::id());
        let network = Network { name: format!("{name}_default"), ..Network::default() };
        let volume = Volume { name: format!("{name}_data"), ..Volume::default() };
        let engine: Arc<dyn Engine> = match side {
            Side::Sim => {
                let image = docker_orch::engine::sim::SimImage::default();
                let script = services.iter().fold(Script::new().image(IMAGE, image), |script, (s, b)| {
                    script.service(&s.name, b.clone())
                });
                Arc::new(SimEngine::new(script))
            }
            Side::Docker => super::docker::engine().await,
        };
        let project = Project {
            name,
            services: services.into_iter().map(|(s, _)| (s.name.clone(), s)).collect(),
            networks: IndexMap::from([("default".to_owned(), network)]),
            volumes: IndexMap::from([("data".to_owned(), volume)]),
            ..Project::default()
        };
        let leftovers = (side == Side::Docker).then(|| super::docker::Leftovers::of(&project.name));
        let world = Self { engine, project, _leftovers: leftovers };
        world.create_network().await.expect("a network");
        world.create_volume().await.expect("a volume");
        world
    }

    pub(crate) async fn create_network(&self) -> Result<String, EngineError> {
        let network = &self.project.networks["default"];
        let request =
            NetworkRequest { project: &self.project, key: "default", network, config_hash: "n".to_owned() };
        self.engine.create_network(&request).await
    }

    pub(crate) async fn create_volume(&self) -> Result<(), EngineError> {
        let volume = &self.project.volumes["data"];
        let request =
            VolumeRequest { project: &self.project, key: "data", volume, config_hash: "v".to_owned() };
        self.engine.create_volume(&request).await
    }

    pub(crate) fn network(&self) -> &str {
        &self.project.networks["default"].name
    }

    pub(crate) fn volume(&self) -> &str {
        &self.project.volumes["data"].name
    }

    /// The request for the first container of a service.
    pub(crate) fn request(&self, service: &str) -> ContainerRequest<'_> {
        first_container(&self.project, &self.project.services[service])
    }

    pub(crate) async fn create(&self, service: &str) -> String {
        self.engine.create_container(&self.request(service)).await.expect("a container")
    }

    pub(crate) async fn run(&self, service: &str) -> String {
        let id = self.create(service).await;
        self.engine.start(&id).await.expect("a start");
        id
    }

    pub(crate) async fn observe(&self) -> Observed {
        let scope = Scope {
            project: self.project.name.clone(),
            images: vec![(IMAGE.to_owned(), None), ("orch-no-such-image".to_owned(), None)],
            ..Scope::default()
        };
        self.engine.observe(&scope).await.expect("an answer")
    }

    pub(crate) async fn observed(&self, service: &str) -> Container {
        let observed = self.observe().await;
        observed.containers.into_iter().find(|c| c.service() == Some(service)).expect("the container")
    }

    pub(crate) async fn events(&self) -> Events {
        let mut events = self.engine.events(&self.project.name).await.expect("events");
        let (sender, receiver) = mpsc::unbounded_channel();
        // Read at once: a real engine remembers only its last 256 events for a late reader.
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Events(receiver)
    }

    /// Waits until a container has said something: from then on it hears signals.
    pub(crate) async fn spoken(&self, id: &str) {
        let options = LogOptions { follow: true, ..LogOptions::default() };
        let mut lines = self.engine.logs(id, &options);
        let line = tokio::time::timeout(Duration::from_secs(30), lines.next()).await;
        line.expect("a line in time").expect("a line").expect("a log");
    }

    /// Waits until a container has ended; the answer is its exit code.
    pub(crate) async fn ended(&self, id: &str) -> i64 {
        loop {
            let detail = self.engine.inspect(id).await.expect("an answer").expect("the container");
            if detail.state == ContainerState::Exited {
                return detail.exit_code;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The events of a project.
pub(crate) struct Events(mpsc::UnboundedReceiver<Result<EngineEvent, EngineError>>);

impl Events {
    /// All actions up to and with this one, with the signal of a kill.
    pub(crate) async fn until(&mut self, last: &EngineAction) -> Vec<EngineAction> {
        let mut actions = Vec::new();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while actions.last() != Some(last) {
            let next = tokio::time::timeout_at(deadline, self.0.recv()).await;
            let event = next.unwrap_or_else(|_| panic!("no {last:?} after {actions:?}"));
            actions.push(event.expect("a stream that goes on").expect("an event").action);
        }
        actions
    }
}
