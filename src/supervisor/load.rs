//! Starting and stopping one service.

use std::{io, net::IpAddr, path::PathBuf, sync::Arc};

use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::memory;
use crate::{
    engine::{Engine, Scope},
    event::{Event, EventKind, Failure, Sink, StageStatus, Verdict},
    executor::{CancelRequest, Followed, Run},
    gpu::{Device, is_meant},
    machine::ThisMachine,
    ondemand::{DeviceId, LoadFailure},
    plan::{Container, ContainerState, Plan, UpOptions},
    probe::Prober,
    project::{OnFailure, Project},
    run::{AbortOn, Keep, KeptContainer, Nobody, RunError, RunLabel, UpRequest, up},
};

/// The project in which a service is loaded: as the file says it, with one container, and without the ports that are
/// listened on in its place.
pub fn loadable(project: &Project, service: &str) -> Arc<Project> {
    let mut project = project.clone();
    project.orch.waves.clear();
    if let Some(service) = project.services.get_mut(service) {
        service.orch.load = None;
        // Whoever has it loaded has seen to its memory.
        service.orch.vram = None;
        service.ports.clear();
        service.scale = Some(1);
        if let Some(deploy) = &mut service.deploy {
            deploy.replicas = None;
        }
    }
    Arc::new(project)
}

/// One load.
pub(super) struct Load {
    pub(super) service: String,
    /// In which only the service and what it depends on is started: see [`super::loadable`].
    pub(super) project: Arc<Project>,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) options: UpOptions,
    pub(super) label: RunLabel,
    pub(super) requests: mpsc::UnboundedReceiver<CancelRequest>,
    /// Told the stages that the service enters.
    pub(super) stages: mpsc::UnboundedSender<String>,
    /// Told what comes up.
    pub(super) followers: Option<mpsc::UnboundedSender<Followed>>,
}

impl Load {
    /// Starts the service as `up` does, and waits until it is ready. Gives its address. A load that fails leaves its
    /// container stopped, to be looked at.
    pub(super) async fn perform(self) -> Result<IpAddr, LoadFailure> {
        let Self { service, project, engine, options, label, requests, stages, followers } = self;
        let requests = futures::stream::unfold(requests, async |mut requests| {
            let request = mpsc::UnboundedReceiver::recv(&mut requests).await?;
            Some((request, requests))
        });
        let prober = Arc::new(Prober::new(Arc::clone(&engine)));
        let mut run = Run::new(Arc::clone(&project), Arc::clone(&engine), prober, requests.boxed());
        run.set_machine(Arc::new(ThisMachine));
        if let Some(followers) = followers {
            run.set_followers(followers);
        }
        run.add_sink(Box::new(Stages { service: service.clone(), stages }));
        let since = memory::ended(engine.as_ref(), &project.name, &service).await;
        let request = UpRequest {
            options,
            on_failure: OnFailure::Stop,
            watch: false,
            abort: AbortOn::Never,
            warnings: Vec::new(),
            label,
            first: false,
        };
        let ended =
            up(&mut run, &request, &Nowhere, &Nobody).await.map_err(|error| failure(&refused(error)))?;
        if ended.finished.verdict != Verdict::Succeeded {
            let told = memory::told(engine.as_ref(), (&project.name, &service), since).await;
            return Err(why(&ended.finished.failures, &service, told.as_deref()));
        }
        let found = containers(engine.as_ref(), &project.name, &service).await;
        let running = found.into_iter().flatten().find(|c| c.state == ContainerState::Running);
        let Some(address) = running.as_ref().and_then(address) else {
            // What was begun of it must not go on unseen; where it does not stop, that is told at the next try.
            unload(engine, &project.name, &service, true).await.ok();
            return Err(failure("it is ready, and has no address on any network"));
        };
        Ok(address)
    }
}

/// What a load came to. `told`: the line in which the service itself told that memory ran out.
fn why(failures: &[Failure], service: &str, told: Option<&str>) -> LoadFailure {
    let Some(first) = failures.first() else { return failure("it was given up") };
    let is_own = first.service == service;
    let whose = if is_own { String::new() } else { format!("{}: ", first.service) };
    let last = told.filter(|_| is_own).or_else(|| first.log.last().map(String::as_str));
    let last = last.map(|line| format!(": {line}")).unwrap_or_default();
    // What a service said itself is known line by line.
    let of_others = failures.iter().filter(|failure| failure.service != service).flat_map(|f| &f.log);
    let mut said = failures.iter().map(|failure| &failure.reason).chain(of_others);
    let out_of_memory = told.is_some() || said.any(|line| memory::is_told(line));
    LoadFailure { out_of_memory, message: format!("{whose}{}{last}", first.reason) }
}

fn failure(message: &str) -> LoadFailure {
    LoadFailure { out_of_memory: false, message: message.to_owned() }
}

pub(super) fn refused(error: RunError) -> String {
    match error {
        RunError::Engine(error) => error.to_string(),
        RunError::Plan(found) => {
            found.first().map_or_else(String::new, crate::diagnostic::Diagnostic::sentence)
        }
        RunError::Ended(_) => "it was given up".to_owned(),
        RunError::Busy { holder, .. } => format!("{holder} is changing the project"),
    }
}

/// The GPUs that a container was given, of these: by what it was made with. All of them where that cannot be told.
pub(super) async fn devices(engine: &dyn Engine, container: &str, known: &[Device]) -> Vec<DeviceId> {
    let all = || known.iter().map(|device| device.id.clone()).collect();
    let Ok(Some(detail)) = engine.inspect(container).await else { return all() };
    let requests = detail.raw["HostConfig"]["DeviceRequests"].as_array().cloned().unwrap_or_default();
    let names =
        requests.iter().flat_map(|request| request["DeviceIDs"].as_array().cloned().unwrap_or_default());
    let names: Vec<String> = names.filter_map(|name| name.as_str().map(str::to_owned)).collect();
    let is_named = |device: &&Device| names.iter().any(|name| is_meant(name, device));
    let given: Vec<DeviceId> = known.iter().filter(is_named).map(|device| device.id.clone()).collect();
    if given.is_empty() { all() } else { given }
}

/// Where a container is reached from this machine.
pub(super) fn address(container: &Container) -> Option<IpAddr> {
    if container.networks.contains_key("host") {
        return Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    }
    container.networks.values().find_map(|endpoint| endpoint.ip_address.parse().ok())
}

/// A service's containers that are no one-off ones; `None`: the engine does not say.
pub(super) async fn containers(engine: &dyn Engine, project: &str, service: &str) -> Option<Vec<Container>> {
    let scope = Scope { project: project.to_owned(), ..Scope::default() };
    let observed = engine.observe(&scope).await.ok()?;
    let of_it = |c: &Container| !c.is_oneoff() && c.compose_label("service") == Some(service);
    Some(observed.containers.into_iter().filter(of_it).collect())
}

/// Stops what runs of a service, at once where it is forced.
///
/// # Errors
///
/// In words: the engine does not say what runs, or does not stop it.
pub(super) async fn unload(
    engine: Arc<dyn Engine>,
    project: &str,
    service: &str,
    force: bool,
) -> Result<(), String> {
    let found = containers(engine.as_ref(), project, service).await;
    let found = found.ok_or_else(|| "the engine does not say what runs".to_owned())?;
    let runs = |c: &&Container| {
        matches!(c.state, ContainerState::Running | ContainerState::Restarting | ContainerState::Paused)
    };
    let stop = |container: &Container| {
        let (engine, id) = (Arc::clone(&engine), container.id.clone());
        let grace = force.then_some(std::time::Duration::ZERO);
        async move { engine.stop(&id, grace).await.map_err(|error| error.to_string()) }
    };
    futures::future::try_join_all(found.iter().filter(runs).map(stop)).await.map(drop)
}

/// Tells the stages of one service.
struct Stages {
    service: String,
    stages: mpsc::UnboundedSender<String>,
}

impl Sink for Stages {
    fn emit(&mut self, event: &Event) -> io::Result<()> {
        if let EventKind::Stage { replica, stage, status: StageStatus::Started, .. } = &event.kind
            && replica.service == self.service
        {
            self.stages.send(stage.clone()).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        }
        Ok(())
    }
}

/// A load keeps its stopped container, and nothing else.
pub(super) struct Nowhere;

impl Keep for Nowhere {
    fn keep(&self, _: &KeptContainer) -> io::Result<PathBuf> {
        Ok(PathBuf::new())
    }

    fn keep_plan(&self, _: &Plan) -> io::Result<()> {
        Ok(())
    }
}
