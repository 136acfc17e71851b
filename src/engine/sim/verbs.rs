//! The trait's methods.

use std::{sync::Arc, time::Duration};

use futures::stream::BoxStream;
use tokio::time::sleep;

use super::{
    container::SimContainer,
    facts,
    record::Verb,
    resources::{described, endpoint},
    script::SimImage,
    world::{Inner, SimEngine, World},
};
use crate::{
    engine::{
        AttachRequest, Attached, BuildRequest, ContainerRequest, Engine, EngineAction, EngineError,
        EngineErrorKind as Kind, EngineEvent, EngineFuture, EngineInfo, EngineProgress, ExecOutput,
        ExecRequest, FileUpload, LogLine, LogOptions, NetworkRequest, ProgressFn, Scope, TerminalSize, Used,
        VolumeRequest,
    },
    plan::{
        Container, ContainerDetail, ContainerState, Endpoint, EngineFacts, ImageInfo, Observed,
        ObservedNetwork,
    },
};

/// What a request takes that the script says nothing about.
const QUICK: Duration = Duration::from_millis(2);

impl SimEngine {
    /// A request that is done in one go after a moment.
    fn quick<T: Send + 'static>(
        &self,
        verb: Verb,
        (subject, detail): (&str, &str),
        takes: Duration,
        act: impl FnOnce(&Arc<Inner>, &mut World) -> Result<T, EngineError> + Send + 'static,
    ) -> EngineFuture<'static, T> {
        let inner = Arc::clone(&self.inner);
        self.ask(verb, subject.to_owned(), detail.to_owned(), async move {
            sleep(takes).await;
            act(&inner, &mut inner.lock())
        })
    }
}

impl Engine for SimEngine {
    fn info(&self) -> &EngineInfo {
        &self.inner.info
    }

    fn about(&self) -> EngineFuture<'_, EngineFacts> {
        self.quick(Verb::About, ("", ""), QUICK, |inner, world| {
            let now = Duration::from_secs(facts::EPOCH) + inner.now();
            let time = i64::try_from(now.as_nanos()).ok();
            Ok(EngineFacts { time, ..world.script.about.clone() })
        })
    }

    fn containers(&self) -> EngineFuture<'_, Vec<Container>> {
        self.quick(Verb::Containers, ("", ""), QUICK, |_, world| {
            let mut all: Vec<Container> = world.containers.values().map(SimContainer::listed).collect();
            all.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(all)
        })
    }

    fn observe<'a>(&'a self, scope: &'a Scope) -> EngineFuture<'a, Observed> {
        let wanted = scope.clone();
        self.quick(Verb::Observe, (&scope.project, ""), QUICK, move |_, world| Ok(world.observed(&wanted)))
    }

    fn image<'a>(
        &'a self,
        reference: &'a str,
        _platform: Option<&'a str>,
    ) -> EngineFuture<'a, Option<ImageInfo>> {
        let name = reference.to_owned();
        self.quick(Verb::Image, (reference, ""), QUICK, move |_, world| Ok(world.image_info(&name)))
    }

    fn registry_digest<'a>(&'a self, reference: &'a str) -> EngineFuture<'a, String> {
        let name = reference.to_owned();
        self.quick(Verb::Image, (reference, ""), QUICK, move |_, _| {
            Ok(format!("sha256:{}", facts::digest(&name)))
        })
    }

    fn pull<'a>(
        &'a self,
        reference: &'a str,
        _platform: Option<&'a str>,
        progress: ProgressFn,
    ) -> EngineFuture<'a, ()> {
        let name = reference.to_owned();
        self.quick(Verb::Pull, (reference, ""), Duration::from_millis(500), move |_, world| {
            if world.script.registry.as_ref().is_some_and(|r| !r.contains(&name)) {
                let words = format!("pull access denied for {name}, repository does not exist");
                return Err(EngineError::new(Kind::Denied, words));
            }
            progress(EngineProgress { text: "Pull complete".to_owned(), current: None, total: None });
            world.images.entry(name).or_default();
            Ok(())
        })
    }

    fn import<'a>(&'a self, reference: &'a str, _files: &'a [FileUpload]) -> EngineFuture<'a, ()> {
        let name = reference.to_owned();
        self.quick(Verb::Import, (reference, ""), QUICK, move |_, world| {
            world.images.entry(name).or_default();
            Ok(())
        })
    }

    fn build<'a>(&'a self, request: &'a BuildRequest<'a>, progress: ProgressFn) -> EngineFuture<'a, ()> {
        let (name, project) = (request.image.clone(), request.project.name.clone());
        self.quick(Verb::Build, (&request.image, ""), Duration::from_secs(2), move |_, world| {
            progress(EngineProgress { text: "built".to_owned(), current: None, total: None });
            let id = format!("sha256:{}", facts::digest(&format!("{project} {name}")));
            world.images.insert(name, SimImage { id, ..SimImage::default() });
            Ok(())
        })
    }

    fn create_network<'a>(&'a self, request: &'a NetworkRequest<'a>) -> EngineFuture<'a, String> {
        let (name, labels) = (request.network.name.clone(), facts::network_labels(request));
        self.quick(
            Verb::CreateNetwork,
            (&request.network.name, ""),
            Duration::from_millis(20),
            move |_, world| {
                if world.networks.contains_key(&name) {
                    let words = format!("network with name {name} already exists");
                    return Err(EngineError::new(Kind::Conflict, words));
                }
                Ok(world.add_network(&name, labels))
            },
        )
    }

    fn remove_network<'a>(&'a self, network: &'a str) -> EngineFuture<'a, ()> {
        let name = network.to_owned();
        self.quick(Verb::RemoveNetwork, (network, ""), QUICK, move |_, world| world.remove_network(&name))
    }

    fn connect_network<'a>(
        &'a self,
        network: &'a str,
        request: &'a ContainerRequest<'a>,
        container: &'a str,
        network_key: &'a str,
    ) -> EngineFuture<'a, ()> {
        let (name, key) = (network.to_owned(), container.to_owned());
        let endpoint = endpoint(request, network_key);
        self.quick(Verb::ConnectNetwork, (container, network), QUICK, move |_, world| {
            let name = world.network_name(&name)?;
            let (id, running) = world.expect(&key).map(|c| (c.id.clone(), c.is_running()))?;
            let Some(container) = world.containers.get_mut(&id) else { return Ok(()) };
            if container.networks.contains_key(&name) {
                let words = format!("endpoint with name {} already exists in network {name}", container.name);
                return Err(EngineError::new(Kind::Conflict, words));
            }
            container.networks.insert(name, endpoint);
            if running {
                world.attach(&id);
            }
            Ok(())
        })
    }

    fn disconnect_network<'a>(&'a self, network: &'a str, container: &'a str) -> EngineFuture<'a, ()> {
        let (name, key) = (network.to_owned(), container.to_owned());
        self.quick(Verb::DisconnectNetwork, (container, network), QUICK, move |_, world| {
            let name = world.network_name(&name)?;
            let id = world.expect(&key)?.id.clone();
            let gone = world.containers.get_mut(&id).and_then(|c| c.networks.remove(&name));
            gone.map(|_| ()).ok_or_else(|| {
                EngineError::new(Kind::Failed, format!("container {key} is not connected to network {name}"))
            })
        })
    }

    fn users<'a>(&'a self, of: Used<'a>) -> EngineFuture<'a, Vec<Container>> {
        let (Used::Network(key) | Used::Volume(key)) = of;
        let (key, is_network) = (key.to_owned(), matches!(of, Used::Network(_)));
        self.quick(Verb::Users, (&key.clone(), ""), QUICK, move |_, world| {
            let name = if is_network { world.network_name(&key)? } else { key };
            let mounts = |c: &&SimContainer| c.mounts.iter().any(|m| m.name == name);
            let is_on = |c: &&SimContainer| c.networks.contains_key(&name);
            let uses = |c: &&SimContainer| if is_network { is_on(c) } else { mounts(c) };
            Ok(world.containers.values().filter(uses).map(SimContainer::listed).collect())
        })
    }

    fn restore_network<'a>(&'a self, network: &'a ObservedNetwork) -> EngineFuture<'a, ()> {
        let network = network.clone();
        let name = network.name.clone();
        self.quick(Verb::RestoreNetwork, (&name, ""), Duration::from_millis(20), move |_, world| {
            match world.networks.get(&network.name) {
                Some(there) if there.id == network.id => {}
                Some(_) => {
                    let words = format!("network with name {} already exists", network.name);
                    return Err(EngineError::new(Kind::Conflict, words));
                }
                None => drop(world.add_network(&network.name, network.labels)),
            }
            Ok(())
        })
    }

    fn reconnect<'a>(
        &'a self,
        network: &'a str,
        container: &'a str,
        endpoint: &'a Endpoint,
    ) -> EngineFuture<'a, ()> {
        let (name, key, mut endpoint) = (network.to_owned(), container.to_owned(), endpoint.clone());
        self.quick(Verb::Reconnect, (container, network), QUICK, move |_, world| {
            let name = world.network_name(&name)?;
            endpoint.network_id.clone_from(&world.networks[&name].id);
            endpoint.ip_address.clear();
            let id = world.expect(&key)?.id.clone();
            if let Some(container) = world.containers.get_mut(&id) {
                container.networks.insert(name, endpoint);
            }
            Ok(())
        })
    }

    fn create_volume<'a>(&'a self, request: &'a VolumeRequest<'a>) -> EngineFuture<'a, ()> {
        let (name, labels) = (request.volume.name.clone(), facts::volume_labels(request));
        self.quick(Verb::CreateVolume, (&request.volume.name, ""), QUICK, move |_, world| {
            world.volumes.entry(name).or_insert(super::container::SimVolume { labels });
            Ok(())
        })
    }

    fn remove_volume<'a>(&'a self, volume: &'a str) -> EngineFuture<'a, ()> {
        let name = volume.to_owned();
        self.quick(Verb::RemoveVolume, (volume, ""), QUICK, move |_, world| world.remove_volume(&name))
    }

    fn remove_image<'a>(&'a self, reference: &'a str) -> EngineFuture<'a, ()> {
        let name = reference.to_owned();
        self.quick(Verb::RemoveImage, (reference, ""), QUICK, move |_, world| world.remove_image(&name))
    }

    fn create_container<'a>(&'a self, request: &'a ContainerRequest<'a>) -> EngineFuture<'a, String> {
        let container = described(&self.inner.lock(), request);
        let (takes, replica) = (container.behaviour.create_takes, container.replica.clone());
        self.quick(Verb::Create, (&request.name, &replica), takes, move |inner, world| {
            inner.make(world, container)
        })
    }

    fn upload<'a>(&'a self, container: &'a str, files: &'a [FileUpload]) -> EngineFuture<'a, ()> {
        let paths = files.iter().map(|f| f.path.as_str()).collect::<Vec<_>>().join(" ");
        let (key, files) = (container.to_owned(), files.to_vec());
        self.quick(Verb::Upload, (container, &paths), QUICK, move |_, world| {
            let id = world.expect(&key)?.id.clone();
            if let Some(container) = world.containers.get_mut(&id) {
                container.files.extend(files.into_iter().map(|f| (f.path, f.content.expose().clone())));
            }
            Ok(())
        })
    }

    fn start<'a>(&'a self, container: &'a str) -> EngineFuture<'a, ()> {
        let work = Arc::clone(&self.inner).start(container.to_owned());
        self.ask(Verb::Start, container.to_owned(), String::new(), work)
    }

    fn stop<'a>(&'a self, container: &'a str, grace: Option<Duration>) -> EngineFuture<'a, ()> {
        let detail = grace.map(|g| format!("{}s", g.as_secs())).unwrap_or_default();
        let work = Arc::clone(&self.inner).stop(container.to_owned(), grace);
        self.ask(Verb::Stop, container.to_owned(), detail, work)
    }

    fn kill<'a>(&'a self, container: &'a str, signal: &'a str) -> EngineFuture<'a, ()> {
        let (key, signal_name) = (container.to_owned(), signal.to_owned());
        self.quick(Verb::Kill, (container, signal), QUICK, move |inner, world| {
            let container = world.expect(&key)?;
            let (id, running) = (container.id.clone(), container.is_running());
            if running {
                if let Some(container) = world.containers.get_mut(&id) {
                    container.stopped = true;
                }
                Inner::signal(inner, world, &id, &signal_name);
            }
            Ok(())
        })
    }

    fn rename<'a>(&'a self, container: &'a str, name: &'a str) -> EngineFuture<'a, ()> {
        let (key, new) = (container.to_owned(), name.to_owned());
        self.quick(Verb::Rename, (container, name), QUICK, move |inner, world| {
            let id = world.expect(&key)?.id.clone();
            if let Some(other) = world.named(&new) {
                let words = format!(
                    "Error when allocating new name: Conflict. The container name \"/{new}\" is already in use \
                     by container \"{}\".",
                    other.id
                );
                return Err(EngineError::new(Kind::Conflict, words));
            }
            let Some(container) = world.containers.get_mut(&id) else { return Ok(()) };
            let old = std::mem::replace(&mut container.name, new.clone());
            let container = container.clone();
            world.names.remove(&old);
            world.names.insert(new, id);
            inner.announce(world, &container, EngineAction::Renamed, &[]);
            Ok(())
        })
    }

    fn remove<'a>(&'a self, container: &'a str, volumes: bool) -> EngineFuture<'a, ()> {
        let key = container.to_owned();
        let detail = if volumes { "with volumes" } else { "" };
        self.quick(Verb::Remove, (container, detail), Duration::from_millis(10), move |inner, world| {
            let Some(id) = world.find(&key).map(|c| c.id.clone()) else { return Ok(()) };
            if let Some(container) = world.containers.get_mut(&id) {
                container.stopped = true;
                // Removed once, below, not a second time by `--rm`.
                container.auto_remove = false;
            }
            if world.containers.get(&id).is_some_and(super::container::SimContainer::is_running) {
                Inner::signal(inner, world, &id, "SIGKILL");
            }
            inner.drop_container(world, &id, volumes);
            Ok(())
        })
    }

    fn inspect<'a>(&'a self, container: &'a str) -> EngineFuture<'a, Option<ContainerDetail>> {
        let key = container.to_owned();
        self.quick(Verb::Inspect, (container, ""), QUICK, move |_, world| {
            Ok(world.find(&key).map(super::container::SimContainer::detail))
        })
    }

    fn events<'a>(
        &'a self,
        project: &'a str,
    ) -> EngineFuture<'a, BoxStream<'static, Result<EngineEvent, EngineError>>> {
        let (inner, name) = (Arc::clone(&self.inner), project.to_owned());
        self.ask(Verb::Events, project.to_owned(), String::new(), async move { Ok(inner.listen(&name)) })
    }

    fn logs(
        &self,
        container: &str,
        options: &LogOptions,
    ) -> BoxStream<'static, Result<LogLine, EngineError>> {
        Arc::clone(&self.inner).log(container.to_owned(), options.clone())
    }

    fn attach<'a>(&'a self, container: &'a str, _request: &'a AttachRequest) -> EngineFuture<'a, Attached> {
        let key = container.to_owned();
        let inner = Arc::clone(&self.inner);
        self.ask(Verb::Attach, container.to_owned(), String::new(), async move { inner.streams(&key) })
    }

    fn resize<'a>(&'a self, container: &'a str, size: TerminalSize) -> EngineFuture<'a, ()> {
        let (key, detail) = (container.to_owned(), format!("{}x{}", size.columns, size.rows));
        self.quick(Verb::Resize, (container, &detail), QUICK, move |_, world| world.expect(&key).map(|_| ()))
    }

    fn exec<'a>(&'a self, container: &'a str, request: &'a ExecRequest) -> EngineFuture<'a, ExecOutput> {
        let (key, request, inner) = (container.to_owned(), request.clone(), Arc::clone(&self.inner));
        self.ask(Verb::Exec, container.to_owned(), request.command.join(" "), async move {
            let takes = inner.lock().expect(&key)?.behaviour.exec_takes;
            let limit = request.timeout.unwrap_or(Duration::MAX);
            sleep(takes.min(limit)).await;
            let now = inner.now();
            let world = inner.lock();
            let container = world.expect(&key)?;
            if container.state != ContainerState::Running {
                let words = format!("container {} is not running", container.id);
                return Err(EngineError::new(Kind::Conflict, words));
            }
            if takes > limit {
                return Err(EngineError::new(Kind::TimedOut, "the command has not ended in time"));
            }
            let (code, output) = container.answer(&request.command, now);
            Ok(ExecOutput { code, output })
        })
    }
}
