//! One effect: a step that the engine is asked for, or a probe.

use std::{collections::BTreeMap, sync::Arc};

use futures::FutureExt as _;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::Span;

use super::{
    Quiet,
    life::{give_files, post_start, pre_stop},
};
use crate::{
    engine::{
        BuildRequest, ContainerRequest, Engine, EngineError, EngineErrorKind, EngineProgress,
        InheritedVolume, NetworkRequest, ProgressFn, Scope, VolumeRequest,
    },
    event::{EventKind, StepAction},
    health::ProbeResult,
    plan::{
        Action, Cause, ContainerDetail, ContainerRef, Fingerprint, Fingerprints, ImageInfo, Observed,
        ProviderVerb, Step, network_hash, resolve_references, service_hash, volume_hash,
    },
    probe::{Peer, Probe, Target},
    project::{Mapping, Project, Replica, Service},
    scheduler::{FailureKind, ProbeOrder, StepFailure, StepOutput},
    tool::{Tell, ToolError, Tools},
};

/// What a step needs to be carried out, as it is when the step begins.
pub(super) struct StepTask {
    pub(super) project: Arc<Project>,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) tools: Arc<Tools>,
    /// Becomes true when the plan is to end.
    pub(super) ending: watch::Receiver<bool>,
    pub(super) observed: Arc<Observed>,
    pub(super) step: Step,
    /// The container that a step on a new container is about.
    pub(super) container: Option<ContainerRef>,
    /// First containers of the services that its own service names.
    pub(super) containers: BTreeMap<String, ContainerRef>,
    /// Images as they are known by now.
    pub(super) images: Arc<BTreeMap<String, ImageInfo>>,
    /// Not the first try: what still runs is stopped first.
    pub(super) again: bool,
    pub(super) progress: mpsc::UnboundedSender<EventKind>,
    /// Who wants to know the process that is about to be stopped.
    pub(super) tell_process: Option<oneshot::Sender<u32>>,
    /// What gives the fingerprint of a container that is created.
    pub(super) fingerprints: Arc<Fingerprints>,
    pub(super) quiet: Quiet,
}

/// What came of a step, and what is known of the container that it started.
pub(super) struct StepDone {
    pub(super) result: Result<StepOutput, StepFailure>,
    pub(super) detail: Option<ContainerDetail>,
    /// What the container was made from that it created.
    pub(super) fingerprint: Option<Fingerprint>,
}

impl StepTask {
    /// What a trace says of its requests.
    pub(super) fn span(&self) -> Span {
        tracing::trace_span!("step", of = %StepAction::from(&self.step.action).target)
    }

    /// The container that it stops.
    pub(super) fn stops(&self) -> Option<&ContainerRef> {
        match &self.step.action {
            Action::StopContainer { container, .. } | Action::KillContainer { container, .. } => {
                Some(container)
            }
            _ => None,
        }
    }

    /// Tells the process that is about to be stopped to who wants to know it.
    async fn tell_process(&mut self) {
        let Some(tell) = self.tell_process.take() else { return };
        let Some(container) = self.stops() else { return };
        if let Ok(Some(detail)) = self.engine.inspect(&container.id).await {
            // Where nobody wants to know any more, that is just as well.
            tell.send(detail.pid).ok();
        }
    }

    pub(super) async fn perform(mut self) -> StepDone {
        self.before_stop().await;
        // Not before: a process that a hook ends may be started again.
        self.tell_process().await;
        let mut detail = None;
        let mut fingerprint = None;
        if let Action::CallProvider { .. } | Action::SetUpModel { .. } = &self.step.action {
            return StepDone { result: self.ask_tool().await, detail, fingerprint };
        }
        let result = match self.ask_once_more(&mut fingerprint).await {
            Ok(output) => {
                // Where it is now, for the probes that go on; they ask themselves if this fails.
                if let (Action::TakeNames { .. }, Some(container)) = (&self.step.action, self.target()) {
                    detail = self.engine.inspect(&container.id).await.ok().flatten();
                }
                Ok(output)
            }
            Err(error) => {
                let kind = failure_kind(error.kind);
                Err(StepFailure { message: error.message, kind })
            }
        };
        StepDone { result, detail, fingerprint }
    }

    /// What an earlier try did, whose answer was lost, is done.
    async fn ask_once_more(&self, fingerprint: &mut Option<Fingerprint>) -> Result<StepOutput, EngineError> {
        match self.ask(fingerprint).await {
            Err(error) if self.again && self.is_done(&error).await => Ok(StepOutput::Done),
            other => other,
        }
    }

    async fn is_done(&self, error: &EngineError) -> bool {
        match &self.step.action {
            Action::RemoveNetwork { .. } | Action::RemoveVolume { .. } | Action::RemoveImage { .. } => {
                error.kind == EngineErrorKind::NotFound
            }
            Action::RenameContainer { to, .. } => {
                let Ok(id) = self.id() else { return false };
                self.engine.inspect(&id).await.is_ok_and(|found| found.is_some_and(|c| c.name == *to))
            }
            Action::Reconnect { container, network, .. } => {
                let found = self.engine.inspect(&container.id).await;
                found.is_ok_and(|found| found.is_some_and(|c| c.networks.contains_key(network)))
            }
            Action::RestoreNetwork(network) => {
                let scope = Scope { project: self.project.name.clone(), ..Scope::default() };
                let found = self.engine.observe(&scope).await;
                found.is_ok_and(|found| found.networks.contains_key(&network.name))
            }
            _ => false,
        }
    }

    async fn ask(&self, fingerprint: &mut Option<Fingerprint>) -> Result<StepOutput, EngineError> {
        let engine = &self.engine;
        match &self.step.action {
            Action::CreateNetwork { key, .. } => {
                let network = &self.project.networks[key.as_str()];
                let config_hash = network_hash(network);
                let request = NetworkRequest { project: &self.project, key, network, config_hash };
                engine.create_network(&request).await?;
            }
            Action::RemoveNetwork { name, .. } => match engine.remove_network(name).await {
                // That it is gone is all that is wanted.
                Err(error) if error.kind == EngineErrorKind::NotFound => {}
                removed => removed?,
            },
            Action::RestoreNetwork(network) => engine.restore_network(network).await?,
            Action::Reconnect { container, network, endpoint, .. } => {
                engine.reconnect(network, &container.id, endpoint).await?;
            }
            Action::CreateVolume { key, .. } => {
                let volume = &self.project.volumes[key.as_str()];
                let config_hash = volume_hash(volume);
                let request = VolumeRequest { project: &self.project, key, volume, config_hash };
                engine.create_volume(&request).await?;
            }
            Action::RemoveVolume { name } => engine.remove_volume(name).await?,
            Action::PullImage { image, platform, or_build } => {
                return self.pull(image, platform.as_deref(), or_build.as_deref()).await;
            }
            Action::BuildImage { service, image } => return self.build(service, image).await,
            Action::RemoveImage { image } => engine.remove_image(image).await?,
            Action::CallProvider { .. } | Action::SetUpModel { .. } => {}
            Action::CreateContainer { .. } => return self.create(fingerprint).await,
            Action::TakeNames { replica, networks, .. } => self.take_names(replica, networks).await?,
            Action::StartContainer { replica, .. } => self.start(replica).await?,
            Action::StopContainer { container, grace, .. } => engine.stop(&container.id, *grace).await?,
            Action::KillContainer { container, .. } => engine.kill(&container.id, "SIGKILL").await?,
            Action::RenameContainer { to, .. } => engine.rename(&self.id()?, to).await?,
            Action::RemoveContainer { container, volumes, .. } => {
                engine.remove(&container.id, *volumes).await?;
            }
        }
        Ok(StepOutput::Done)
    }

    /// Calls a tool. One that is at work when the plan is to end is killed.
    async fn ask_tool(&self) -> Result<StepOutput, StepFailure> {
        let mut ending = self.ending.clone();
        let call = match &self.step.action {
            Action::CallProvider { service, verb, .. } => self.provide(service, *verb).boxed(),
            Action::SetUpModel { key } => self.set_up_model(key).boxed(),
            _ => return Ok(StepOutput::Done),
        };
        let said = tokio::select! {
            biased;
            said = call => said,
            _ = ending.wait_for(|ending| *ending) => {
                Err(ToolError { message: "killed before it was done".to_owned(), begun: true })
            }
        };
        let failure = |error: ToolError| StepFailure {
            message: error.message,
            kind: if error.begun { FailureKind::Failed } else { FailureKind::Refused },
        };
        said.map(StepOutput::Said).map_err(failure)
    }

    async fn provide(&self, service: &str, verb: ProviderVerb) -> Result<Mapping, ToolError> {
        let provider = self.project.services[service].provider.clone().unwrap_or_default();
        let target = service.to_owned();
        let tell = self.tell(move |text| EventKind::Told { target: target.clone(), text });
        self.tools.provide(&self.project, service, &provider, verb, &tell).await
    }

    async fn set_up_model(&self, key: &str) -> Result<Mapping, ToolError> {
        let image = key.to_owned();
        let tell = self.tell(move |text| EventKind::Progress {
            image: image.clone(),
            text,
            current: None,
            total: None,
        });
        self.tools.set_up_model(&self.project, &self.project.models[key], &tell).await
    }

    fn tell(&self, event: impl Fn(String) -> EventKind + Send + Sync + 'static) -> Tell {
        let sender = self.progress.clone();
        // The loop has ended: nobody wants to know.
        Arc::new(move |text| drop(sender.send(event(text))))
    }

    /// The container that the step is about, where it is one that starts or gets another name.
    fn target(&self) -> Option<&ContainerRef> {
        match &self.step.action {
            Action::StartContainer { existing, .. } | Action::RenameContainer { existing, .. } => {
                existing.as_ref().or(self.container.as_ref())
            }
            Action::TakeNames { .. } => self.container.as_ref(),
            _ => None,
        }
    }

    fn id(&self) -> Result<String, EngineError> {
        let gone = || EngineError::new(EngineErrorKind::NotFound, "its container was not created");
        self.target().map(|c| c.id.clone()).ok_or_else(gone)
    }

    fn service(&self, replica: &Replica) -> Option<&Service> {
        self.project.services.get(&replica.service)
    }

    fn progress_of(&self, image: &str) -> ProgressFn {
        if self.is_quiet() {
            return Arc::new(|_| {});
        }
        let (sender, image) = (self.progress.clone(), image.to_owned());
        Arc::new(move |EngineProgress { text, current, total }| {
            let kind = EventKind::Progress { image: image.clone(), text, current, total };
            // The loop has ended: nobody wants to know.
            drop(sender.send(kind));
        })
    }

    fn is_quiet(&self) -> bool {
        match self.step.action {
            Action::PullImage { .. } => self.quiet.pulls,
            Action::BuildImage { .. } => self.quiet.builds,
            _ => false,
        }
    }

    async fn pull(
        &self,
        image: &str,
        platform: Option<&str>,
        or_build: Option<&str>,
    ) -> Result<StepOutput, EngineError> {
        match (self.engine.pull(image, platform, self.progress_of(image)).await, or_build) {
            (Ok(()), _) => self.look_up(image, platform).await,
            (Err(_), Some(service)) => self.build(service, image).await,
            (Err(error), None) => Err(EngineError { message: format!("pull {image}: {error}"), ..error }),
        }
    }

    async fn build(&self, service: &str, image: &str) -> Result<StepOutput, EngineError> {
        let definition = &self.project.services[service];
        let missing = || EngineError::new(EngineErrorKind::Invalid, format!("`{service}` has no `build`"));
        let request = BuildRequest {
            project: &self.project,
            service,
            build: definition.build.as_ref().ok_or_else(missing)?,
            image: image.to_owned(),
            platform: definition.platform.clone(),
            no_cache: false,
            pull: false,
        };
        let built = self.engine.build(&request, self.progress_of(image)).await;
        built.map_err(|error| EngineError { message: format!("build {image}: {error}"), ..error })?;
        self.look_up(image, definition.platform.as_deref()).await
    }

    async fn look_up(&self, image: &str, platform: Option<&str>) -> Result<StepOutput, EngineError> {
        let found = self.engine.image(image, platform).await?;
        let gone = || EngineError::new(EngineErrorKind::NotFound, format!("no such image: {image}"));
        found.map(|info| StepOutput::Image(Box::new(info))).ok_or_else(gone)
    }

    async fn create(&self, fingerprint: &mut Option<Fingerprint>) -> Result<StepOutput, EngineError> {
        let Action::CreateContainer { replica, name, replaces, renew_volumes, one_off, unnamed } =
            &self.step.action
        else {
            return Ok(StepOutput::Done);
        };
        let service = &self.project.services[replica.service.as_str()];
        let resolved = self.resolved(service)?;
        let image = self.images.get(&self.project.image_name(service));
        let inherits = replaces.as_ref().filter(|_| !renew_volumes);
        let replaces =
            replaces.as_ref().map(|_| service.container_name.clone().unwrap_or_else(|| replica.to_string()));
        let request = ContainerRequest {
            name: name.clone(),
            replaces,
            inherited: inherits.map(|old| self.inherited(service, old, image)).unwrap_or_default(),
            oneoff: one_off.clone(),
            unnamed: unnamed.clone(),
            ..self.request(&resolved, replica)
        };
        let id = self.engine.create_container(&request).await?;
        // A one-off container is compared with nothing.
        *fingerprint = self.fingerprints.fingerprint(&self.project, &resolved).filter(|_| one_off.is_none());
        Ok(StepOutput::Created(ContainerRef { id, name: request.final_name }))
    }

    /// Puts a container on networks again, under its service's names.
    async fn take_names(&self, replica: &Replica, networks: &[String]) -> Result<(), EngineError> {
        let resolved = self.resolved(&self.project.services[replica.service.as_str()])?;
        let request = self.request(&resolved, replica);
        let id = self.id()?;
        for key in networks {
            let Some(network) = self.project.networks.get(key) else { continue };
            match self.engine.disconnect_network(&network.name, &id).await {
                // An earlier try may have come as far as this.
                Err(error) if !self.again => return Err(error),
                Ok(()) | Err(_) => {}
            }
            self.engine.connect_network(&network.name, &request, &id, key).await?;
        }
        Ok(())
    }

    /// A service whose references name containers.
    fn resolved(&self, service: &Service) -> Result<Service, EngineError> {
        let container_of = |name: &str| {
            let planned = self.containers.get(name).map(|c| c.id.clone());
            planned.or_else(|| self.observed.first_container(name).map(|c| c.id.clone()))
        };
        resolve_references(service, &container_of).map_err(|name| {
            EngineError::new(
                EngineErrorKind::Invalid,
                format!("service `{name}` has no container to share with"),
            )
        })
    }

    /// What makes a container of a service, under its final name, that takes nobody's place.
    fn request<'a>(&'a self, service: &'a Service, replica: &Replica) -> ContainerRequest<'a> {
        let image = self.images.get(&self.project.image_name(service));
        let name = self.project.container_name(service, replica.number);
        ContainerRequest {
            project: &self.project,
            config_hash: service_hash(service),
            number: replica.number,
            name: name.clone(),
            final_name: name,
            image_id: image.map(|i| i.id.clone()).unwrap_or_default(),
            replaces: None,
            links: self.links(service, replica),
            inherited: Vec::new(),
            oneoff: None,
            unnamed: Vec::new(),
            service,
        }
    }

    /// `container:alias` texts for links to services (compose-spec `links`).
    fn links(&self, service: &Service, replica: &Replica) -> Vec<String> {
        let mut links = Vec::new();
        // Compose counts a one-off container as number -1.
        let number = match replica.number {
            0 => -1,
            number => i64::from(number),
        };
        for link in &service.links {
            let (target, alias) = link.split_once(':').unwrap_or((link, link));
            let Some(linked) = self.project.services.get(target) else { continue };
            for n in 1..=linked.replicas() {
                let container = self.project.container_name(linked, n);
                let separator = self.project.separator();
                links.push(format!("{container}:{alias}"));
                links.push(format!("{container}:{target}{separator}{number}"));
                links
                    .push(format!("{container}:{}{separator}{target}{separator}{number}", self.project.name));
            }
        }
        links
    }

    /// Volumes without a name of their own move from a container to the one that takes its place.
    fn inherited(
        &self,
        service: &Service,
        old: &ContainerRef,
        image: Option<&ImageInfo>,
    ) -> Vec<InheritedVolume> {
        let Some(old) = self.observed.containers.iter().find(|c| c.id == old.id) else { return Vec::new() };
        let anonymous = |target: &str| {
            let of_service = service
                .volumes
                .iter()
                .any(|m| m.r#type == "volume" && m.source.is_none() && m.target.as_deref() == Some(target));
            let mounted = service.volumes.iter().any(|m| m.target.as_deref() == Some(target));
            of_service || (!mounted && image.is_some_and(|i| i.volumes.iter().any(|v| v == target)))
        };
        let volumes = old.mounts.iter().filter(|m| m.r#type == "volume" && anonymous(&m.destination));
        let volume = |m: &crate::plan::ContainerMount| InheritedVolume {
            name: m.name.clone(),
            target: m.destination.clone(),
            read_only: !m.rw,
        };
        volumes.map(volume).collect()
    }

    async fn start(&self, replica: &Replica) -> Result<(), EngineError> {
        let id = self.id()?;
        if self.again {
            self.engine.stop(&id, None).await?;
        }
        // What is put back is as it was: it has its files, and the hooks of the files are for what takes its place.
        let service = self.service(replica).filter(|_| self.step.cause != Cause::Undo);
        let Some(service) = service else { return self.engine.start(&id).await };
        give_files(self.engine.as_ref(), &self.project, service, &id).await?;
        self.engine.start(&id).await?;
        let listen = self.listen(replica);
        let mut ending = self.ending.clone();
        tokio::select! {
            biased;
            done = post_start(self.engine.as_ref(), service, &id, &listen) => done,
            // The container goes, or is stopped, and its hook with it.
            _ = ending.wait_for(|ending| *ending) => {
                let message = "its post_start hook was not waited for";
                Err(EngineError::new(EngineErrorKind::Failed, message))
            }
        }
    }

    /// Hands on what a hook says.
    fn listen(&self, replica: &Replica) -> impl Fn(&str) + Sync {
        let (sender, replica) = (self.progress.clone(), replica.clone());
        move |line| {
            let kind = EventKind::Hook { replica: replica.clone(), text: line.to_owned() };
            // The loop has ended: nobody wants to know.
            drop(sender.send(kind));
        }
    }

    /// Hooks before a stop. One that fails keeps nothing from being stopped.
    async fn before_stop(&self) {
        let Action::StopContainer { replica: Some(replica), container, .. } = &self.step.action else {
            return;
        };
        if self.step.cause == Cause::Replaced || self.again {
            return;
        }
        let Some(service) = self.service(replica) else { return };
        let listen = self.listen(replica);
        for wrong in pre_stop(self.engine.as_ref(), service, &container.id, &listen).await {
            let message = format!("{replica}: {wrong}");
            drop(self.progress.send(EventKind::Warning { message }));
        }
    }
}

fn failure_kind(kind: EngineErrorKind) -> FailureKind {
    match kind {
        EngineErrorKind::NotFound
        | EngineErrorKind::Conflict
        | EngineErrorKind::Invalid
        | EngineErrorKind::Denied => FailureKind::Refused,
        EngineErrorKind::Unreachable => FailureKind::NotAsked,
        EngineErrorKind::TimedOut | EngineErrorKind::Ambiguous => FailureKind::NoAnswer,
        EngineErrorKind::Failed => FailureKind::Failed,
    }
}

/// A probe, with what it needs.
pub(super) struct ProbeTask {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) prober: Arc<dyn Probe>,
    pub(super) order: ProbeOrder,
    pub(super) detail: Option<Arc<ContainerDetail>>,
    /// Containers of the service that the check names as its host.
    pub(super) peers: Vec<(String, Vec<String>)>,
}

impl ProbeTask {
    /// What a trace says of its requests.
    pub(super) fn span(&self) -> Span {
        tracing::trace_span!("probe", of = self.order.check.name)
    }

    pub(super) async fn run(self) -> (ProbeOrder, ProbeResult, Option<Arc<ContainerDetail>>) {
        let detail = match (self.detail, &self.order.container) {
            (Some(detail), _) => Some(detail),
            (None, Some(id)) => self.engine.inspect(id).await.ok().flatten().map(Arc::new),
            (None, None) => None,
        };
        let mut peers = BTreeMap::new();
        for (service, ids) in self.peers {
            let mut containers = Vec::new();
            for id in ids {
                containers.extend(self.engine.inspect(&id).await.ok().flatten());
            }
            peers.insert(service, Peer::of(&containers));
        }
        let target = Target { detail: detail.clone().unwrap_or_default(), peers: Arc::new(peers) };
        let result = self.prober.probe(&self.order.check, &target).await;
        (self.order, result, detail)
    }
}
