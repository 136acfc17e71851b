//! The simulated engine itself: its state, its clock, and how a request is taken.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{Instant, sleep},
};

use super::{
    container::{SimContainer, SimNetwork, SimVolume},
    facts,
    record::{Request, Verb},
    script::{Effect, Fault, Script, SimImage, lost},
};
use crate::{
    engine::{EngineAction, EngineError, EngineErrorKind, EngineEvent, EngineFuture, EngineInfo},
    plan::{Container, EngineHealth, ImageInfo},
};

/// How long a caller waits for an engine that hangs, as the Docker adapter does.
const PATIENCE: Duration = Duration::from_mins(2);

/// A Docker Engine in memory. Clones are the same engine.
#[derive(Clone)]
pub struct SimEngine {
    pub(super) inner: Arc<Inner>,
}

/// What all clones and all tasks of one engine share.
pub(super) struct Inner {
    pub(super) info: EngineInfo,
    made: Instant,
    world: Mutex<World>,
    /// Tells of every change of a container. Who waits is woken in order, so that a run always goes the same way.
    pub(super) changed: Notify,
    /// Tells that the daemon goes away: nobody gets an answer to what is under way then.
    pub(super) cut: Notify,
}

/// The engine's state.
pub(super) struct World {
    pub(super) script: Script,
    pub(super) requests: Vec<Request>,
    /// By ID.
    pub(super) containers: BTreeMap<String, SimContainer>,
    /// The IDs of containers, by name.
    pub(super) names: BTreeMap<String, String>,
    pub(super) networks: BTreeMap<String, SimNetwork>,
    pub(super) volumes: BTreeMap<String, SimVolume>,
    /// What was pulled and built beside the script's images.
    pub(super) images: BTreeMap<String, SimImage>,
    /// How often each replica was started.
    pub(super) starts: BTreeMap<String, u32>,
    pub(super) listeners: Vec<(String, mpsc::UnboundedSender<EngineEvent>)>,
    /// Listeners whose connections stay and tell nothing any more.
    pub(super) deaf: Vec<mpsc::UnboundedSender<EngineEvent>>,
    /// Until when the daemon is away.
    pub(super) away_until: Duration,
    serial: u64,
}

impl SimEngine {
    /// A fresh engine that will do what the script says. Its clock, tokio's, starts now.
    pub fn new(script: Script) -> Self {
        let (changed, cut) = (Notify::new(), Notify::new());
        let info = script.info.clone();
        let mut world = World {
            requests: Vec::new(),
            containers: BTreeMap::new(),
            names: BTreeMap::new(),
            networks: BTreeMap::new(),
            volumes: script.volumes.iter().map(|v| (v.clone(), SimVolume::default())).collect(),
            images: BTreeMap::new(),
            starts: BTreeMap::new(),
            listeners: Vec::new(),
            deaf: Vec::new(),
            away_until: Duration::ZERO,
            serial: 0,
            script,
        };
        for name in world.script.networks.clone() {
            world.add_network(&name, BTreeMap::new());
        }
        let inner = Inner { info, made: Instant::now(), world: Mutex::new(world), changed, cut };
        Self { inner: Arc::new(inner) }
    }

    /// Every request so far, in the order in which they came.
    pub fn requests(&self) -> Vec<Request> {
        self.inner.lock().requests.clone()
    }

    /// Every request so far that changed something or tried to, one line each.
    pub fn record(&self) -> String {
        self.requests().iter().filter(|r| r.verb.changes()).fold(String::new(), |mut text, request| {
            // Writing to a String cannot fail.
            writeln!(text, "{request}").ok();
            text
        })
    }

    /// How many requests of this verb were in flight at the same time, at most.
    pub fn max_in_flight(&self, verb: Verb) -> usize {
        let requests: Vec<Request> = self.requests().into_iter().filter(|r| r.verb == verb).collect();
        let at = |t: Duration| requests.iter().filter(|r| r.at <= t && r.ended.is_none_or(|e| e > t)).count();
        requests.iter().map(|r| at(r.at)).max().unwrap_or(0)
    }

    /// All containers, sorted by name.
    pub fn containers(&self) -> Vec<Container> {
        let mut all: Vec<Container> =
            self.inner.lock().containers.values().map(SimContainer::listed).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The container of this name.
    pub fn container(&self, name: &str) -> Option<Container> {
        self.containers().into_iter().find(|c| c.name == name)
    }

    /// Names of all networks.
    pub fn networks(&self) -> BTreeSet<String> {
        self.inner.lock().networks.keys().cloned().collect()
    }

    /// Names of all volumes.
    pub fn volumes(&self) -> BTreeSet<String> {
        self.inner.lock().volumes.keys().cloned().collect()
    }

    /// What was written into a container's file.
    pub fn file(&self, container: &str, path: &str) -> Option<Vec<u8>> {
        let world = self.inner.lock();
        world.find(container)?.files.get(path).cloned()
    }

    /// Whether a check of the container's stage passes now: what a prober sees.
    pub fn probe_ready(&self, container: &str, stage: &str) -> bool {
        let now = self.inner.now();
        self.inner.lock().find(container).is_some_and(|c| c.is_ready(stage, now))
    }

    /// Time since the engine was made.
    pub fn now(&self) -> Duration {
        self.inner.now()
    }

    /// From now on this goes wrong too.
    pub fn add_fault(&self, fault: Fault) {
        self.inner.lock().script.faults.push(fault);
    }

    /// From now on nothing goes wrong.
    pub fn clear_faults(&self) {
        self.inner.lock().script.faults.clear();
    }

    /// From now on containers created for this service behave so.
    pub fn set_behaviour(&self, service: &str, behaviour: super::Behaviour) {
        self.inner.lock().script.services.insert(service.to_owned(), behaviour);
    }

    /// The container's process ends by itself, now.
    pub fn crash(&self, container: &str, code: i64) {
        let mut world = self.inner.lock();
        if let Some(id) = world.find(container).map(|c| c.id.clone()) {
            Inner::die(&self.inner, &mut world, &id, code, false);
        }
    }

    /// The container's HEALTHCHECK says this, now.
    pub fn say_health(&self, container: &str, health: EngineHealth) {
        let mut world = self.inner.lock();
        if let Some(id) = world.find(container).map(|c| c.id.clone()) {
            self.inner.set_health(&mut world, &id, health);
        }
    }

    /// Takes a request: records it, does `work` in a task of its own, and waits for the answer. `work` goes on when
    /// nobody waits any more.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        verb: Verb,
        subject: String,
        detail: String,
        work: impl Future<Output = Result<T, EngineError>> + Send + 'static,
    ) -> EngineFuture<'static, T> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let (number, effect) = inner.begin(verb, subject, detail);
            let (sender, receiver) = oneshot::channel();
            tokio::spawn(async move {
                let mut cut = pin!(inner.cut.notified());
                cut.as_mut().enable();
                let result = if inner.is_away() {
                    sleep(Duration::from_millis(1)).await;
                    Err(EngineError::new(EngineErrorKind::Unreachable, "connection refused"))
                } else {
                    tokio::select! {
                        biased;
                        result = carry_out(verb, effect, work) => result,
                        () = cut => Err(lost()),
                    }
                };
                inner.end(number, result.as_ref().err().map(|e| e.kind));
                // Nobody may wait any more: that is what a dropped future means.
                sender.send(result).ok();
            });
            receiver.await.unwrap_or_else(|_| {
                Err(EngineError::new(EngineErrorKind::Unreachable, "the simulated engine has ended"))
            })
        })
    }
}

/// What is asked for, with what goes wrong.
async fn carry_out<T: Send + 'static>(
    verb: Verb,
    effect: Option<Effect>,
    work: impl Future<Output = Result<T, EngineError>> + Send + 'static,
) -> Result<T, EngineError> {
    let error = effect.as_ref().and_then(|e| e.error(verb));
    match (effect, error) {
        (Some(Effect::Hang), _) => {
            sleep(PATIENCE).await;
            let words = format!("the engine gave no answer to `{verb}` within {} s", PATIENCE.as_secs());
            Err(EngineError::new(EngineErrorKind::TimedOut, words))
        }
        (Some(Effect::Late(time)), _) => {
            let result = work.await;
            sleep(time).await;
            result
        }
        (Some(Effect::Unheard(time)), _) => {
            tokio::spawn(async move {
                sleep(time).await;
                drop(work.await);
            });
            Err(lost())
        }
        (Some(Effect::Ambiguous), Some(error)) => work.await.and(Err(error)),
        (_, Some(error)) => {
            sleep(Duration::from_millis(1)).await;
            Err(error)
        }
        (_, None) => work.await,
    }
}

impl Inner {
    pub(super) fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Duration {
        self.made.elapsed()
    }

    fn begin(&self, verb: Verb, subject: String, detail: String) -> (usize, Option<Effect>) {
        let at = self.now();
        let mut world = self.lock();
        let known = world.find(&subject).map(|c| (c.name.clone(), c.service.clone()));
        let (subject, service) = match known {
            Some(known) => known,
            // A container that is about to be made: `SERVICE NUMBER` stands in the detail.
            None if verb == Verb::Create => {
                (subject, detail.rsplit_once('-').map(|(s, _)| s.to_owned()).unwrap_or_default())
            }
            None => (subject, String::new()),
        };
        let standing = match verb {
            Verb::Start if world.script.keeps_standings => {
                world.containers.values().map(|c| c.standing(at)).collect()
            }
            _ => Vec::new(),
        };
        let (met, standing) = (None, Arc::new(standing));
        let mut request =
            Request { at, verb, subject, service, detail, ended: None, error: None, met, standing };
        // Every fault counts, but only the first that meets happens.
        let met: Vec<Effect> = world
            .script
            .faults
            .iter_mut()
            .filter_map(|f| f.meets(&request).then(|| f.effect.clone()))
            .collect();
        request.met = met.into_iter().next();
        let effect = request.met.clone();
        world.requests.push(request);
        (world.requests.len() - 1, effect)
    }

    fn end(&self, number: usize, error: Option<EngineErrorKind>) {
        let now = self.now();
        if let Some(request) = self.lock().requests.get_mut(number) {
            request.ended = Some(now);
            request.error = error;
        }
    }

    /// Tells the listeners of the container's project, and everybody who waits for a change.
    pub(super) fn announce(
        &self,
        world: &mut World,
        container: &SimContainer,
        action: EngineAction,
        more: &[(&str, String)],
    ) {
        let mut attributes = container.labels.clone();
        attributes.insert("name".to_owned(), container.name.clone());
        attributes.insert("image".to_owned(), container.image.clone());
        attributes.extend(more.iter().map(|(k, v)| ((*k).to_owned(), v.clone())));
        let since_epoch = Duration::from_secs(facts::EPOCH) + self.now();
        let event = EngineEvent {
            container: container.id.clone(),
            attributes,
            action,
            at_nanos: i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX),
        };
        let project = container.labels.get("com.docker.compose.project");
        world.listeners.retain(|(of, sender)| Some(of) != project || sender.send(event.clone()).is_ok());
        self.changed.notify_waiters();
    }
}

impl World {
    /// By ID, name, or the beginning of an ID.
    pub(super) fn find(&self, key: &str) -> Option<&SimContainer> {
        let begins = || {
            let (_, next) = self.containers.range(key.to_owned()..).next()?;
            (key.len() >= 8 && next.id.starts_with(key)).then_some(next)
        };
        self.containers.get(key).or_else(|| self.named(key)).or_else(begins)
    }

    /// By name.
    pub(super) fn named(&self, name: &str) -> Option<&SimContainer> {
        self.containers.get(self.names.get(name)?)
    }

    /// As [`World::find`], or the engine's words.
    pub(super) fn expect(&self, key: &str) -> Result<&SimContainer, EngineError> {
        self.find(key)
            .ok_or_else(|| EngineError::new(EngineErrorKind::NotFound, format!("No such container: {key}")))
    }

    /// An ID that no other thing has.
    pub(super) fn fresh_id(&mut self, kind: &str) -> String {
        self.serial += 1;
        facts::digest(&format!("{kind} {}", self.serial))
    }

    pub(super) fn add_network(&mut self, name: &str, labels: BTreeMap<String, String>) -> String {
        let id = self.fresh_id("network");
        let used: BTreeSet<u8> = self.networks.values().map(|n| n.subnet).collect();
        let subnet = (18..=255).find(|n| !used.contains(n)).unwrap_or(17);
        self.networks
            .insert(name.to_owned(), SimNetwork { id: id.clone(), labels, subnet, ..SimNetwork::default() });
        id
    }

    /// The image of this name, where the engine has it.
    pub(super) fn image_info(&self, reference: &str) -> Option<ImageInfo> {
        let image = self.images.get(reference).cloned().or_else(|| match &self.script.images {
            None => Some(SimImage::default()),
            Some(images) => images.get(reference).cloned(),
        })?;
        let id = if reference.starts_with("sha256:") {
            reference.to_owned()
        } else if image.id.is_empty() {
            format!("sha256:{}", facts::digest(reference))
        } else {
            image.id
        };
        Some(ImageInfo {
            id,
            healthcheck: image.healthcheck,
            volumes: image.volumes,
            tagged: Some(i64::try_from(facts::EPOCH).unwrap_or(0)),
            platform: "linux/amd64".to_owned(),
        })
    }
}
