//! The loop.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use futures::{
    FutureExt as _, StreamExt as _,
    future::LocalBoxFuture,
    stream::{BoxStream, FuturesUnordered},
};
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    time::{Instant, interval, sleep_until},
};

use super::{
    Handle,
    gate::Gate,
    handle::{Answer, Command, Message},
    load::{self, Load},
};
use crate::{
    engine::{Engine, EngineAction, EngineError, EngineEvent},
    executor::CancelRequest,
    gpu::{Device, Gpus, has_name, placed},
    ondemand::{
        DeviceId, Effect, GpuRules, Input, LoadFailure, LoadId, Machine, Refusal, RequestId, ServiceId,
        ServiceSpec, ServiceStatus, State, Told, Wait,
    },
    plan::{ContainerState, EngineFacts, Recreate, UpOptions},
    project::Project,
    run::RunLabel,
    time::Elapsed,
};

/// Between two looks at the memory of GPUs that nobody asked for.
const MEASURE: Duration = Duration::from_secs(5);
/// Before the engine's events are listened to again after they broke off.
const AGAIN: Duration = Duration::from_secs(1);

/// A service that is loaded on demand.
#[derive(Debug, Clone)]
pub struct Supervised {
    /// Its name in the file.
    pub name: String,
    /// What the machine has to know of it.
    pub spec: ServiceSpec,
    /// The project in which it is loaded: see [`super::loadable`].
    pub project: Arc<Project>,
}

/// The GPUs that services may get.
pub struct Devices {
    /// How to ask for them again; `None`: there are none.
    pub gpus: Option<Arc<dyn Gpus>>,
    /// What they were when they were found.
    pub known: Vec<Device>,
    /// What the engine says of itself: how it gives them to containers.
    pub facts: EngineFacts,
}

/// Is told everything that is decided, with the service's name.
pub(super) type Tell = Box<dyn FnMut(&str, &Told)>;

/// Whoever has services loaded.
pub struct Supervisor {
    engine: Arc<dyn Engine>,
    /// The project's name.
    name: String,
    services: Vec<Supervised>,
    options: UpOptions,
    label: RunLabel,
    devices: Devices,
    /// They are being asked.
    measuring: bool,
    /// Told everything that is decided.
    tell: Tell,
    machine: Machine,
    began: Instant,
    /// The moment that the machine was told last.
    turn_began: Elapsed,
    handle: Handle,
    inbox: mpsc::UnboundedReceiver<Message>,
    states: watch::Sender<BTreeMap<ServiceId, State>>,
    /// Requests that wait for their answer.
    waiting: BTreeMap<RequestId, Waiting>,
    /// The one request that stands for all who are inside a service's gate.
    inside: BTreeMap<ServiceId, RequestId>,
    loading: BTreeMap<ServiceId, Loading>,
    /// Unloads that wait for those inside: one whose place another has taken gives up.
    stopping: BTreeMap<ServiceId, oneshot::Sender<()>>,
    work: FuturesUnordered<LocalBoxFuture<'static, Done>>,
    /// Loads make what they need one after the other: two that make the same network would make it twice. They wait until
    /// services are ready side by side.
    turn: Arc<Semaphore>,
    /// What loads tell while they go on.
    stages: (mpsc::UnboundedSender<Input>, mpsc::UnboundedReceiver<Input>),
}

/// Whom an answer is for.
enum Waiting {
    /// Since when it waits.
    Request(Elapsed, oneshot::Sender<Answer>),
    /// Somebody who wants it loaded by hand, and does nothing with it.
    Hand(oneshot::Sender<Result<(), Refusal>>),
}

/// What the engine tells of containers.
type Events = BoxStream<'static, Result<EngineEvent, EngineError>>;

/// A service's container that runs.
struct Running {
    /// `None`: it is on no network.
    address: Option<IpAddr>,
    /// The GPUs that it has.
    devices: Vec<DeviceId>,
}

/// Something that was ordered is over.
enum Done {
    /// What runs of each service, and the engine's events since before that was looked at.
    Seen(Vec<Option<Running>>, Option<Events>),
    /// What follows from it.
    Inputs(Vec<Input>),
    /// What the GPUs are now; `None`: they do not say.
    Measured(Option<Vec<Device>>),
    /// A service is ready, and this is where.
    Loaded(ServiceId, LoadId, IpAddr),
}

/// A load under way.
struct Loading {
    cancel: mpsc::UnboundedSender<CancelRequest>,
    /// Resolves once nothing of it goes on.
    over: oneshot::Receiver<()>,
}

impl Supervisor {
    /// One for these services of a project; each has the number of its place. `label`: of the runs that load them.
    pub fn new(
        engine: Arc<dyn Engine>,
        project: &Project,
        services: Vec<Supervised>,
        (options, label): (UpOptions, RunLabel),
        devices: Devices,
        tell: Tell,
    ) -> Self {
        let (sender, inbox) = mpsc::unbounded_channel();
        let states = watch::Sender::new(BTreeMap::new());
        let gates = (0..services.len()).map(|index| Arc::new(Gate::new(id(index), sender.clone())));
        let handle = Handle {
            gates: gates.collect(),
            inbox: sender,
            states: states.subscribe(),
            requests: Arc::new(AtomicU64::new(1)),
        };
        let mut this = Self {
            engine,
            name: project.name.clone(),
            services,
            options,
            label,
            devices,
            measuring: false,
            tell,
            machine: Machine::new(),
            began: Instant::now(),
            turn_began: Elapsed::ZERO,
            handle,
            inbox,
            states,
            waiting: BTreeMap::new(),
            inside: BTreeMap::new(),
            loading: BTreeMap::new(),
            stopping: BTreeMap::new(),
            work: FuturesUnordered::new(),
            turn: Arc::new(Semaphore::new(1)),
            stages: mpsc::unbounded_channel(),
        };
        this.step(Input::Gpus(GpuRules::of(&project.orch.gpu)));
        for index in 0..this.services.len() {
            let spec = Box::new(this.services[index].spec.clone());
            this.step(Input::Declared { service: id(index), spec });
        }
        this
    }

    /// The way to it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stays until it is dropped. What is loaded goes on running then: the next supervisor takes it over.
    pub async fn stay(mut self) {
        self.measured(self.devices.known.clone());
        self.look(true);
        // What runs is known before anything is asked for.
        let mut events = loop {
            if let Some(done) = self.work.next().await
                && let Some(events) = self.done(done)
            {
                break events;
            }
        };
        let mut measures = interval(MEASURE);
        loop {
            let deadline = self.machine.next_deadline().map(|at| self.began + at.since_start());
            tokio::select! {
                biased;
                Some(message) = self.inbox.recv() => self.take(message),
                Some(input) = self.stages.1.recv() => self.step(input),
                Some(done) = self.work.next() => {
                    if let Some(anew) = self.done(done) {
                        events = anew;
                    }
                }
                event = events.next() => if let Some(Ok(event)) = event {
                    self.happened(&event);
                } else {
                    events = futures::stream::pending().boxed();
                    self.look(true);
                },
                _ = measures.tick() => self.measure(),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    self.step(Input::Tick);
                }
            }
        }
    }

    /// Looks at what runs, beside all else; with `listen` after it listens to the engine's events anew.
    fn look(&mut self, listen: bool) {
        let (engine, name) = (Arc::clone(&self.engine), self.name.clone());
        let services: Vec<String> = self.services.iter().map(|service| service.name.clone()).collect();
        let known = self.devices.known.clone();
        let look = async move {
            let mut events = None;
            loop {
                if listen && events.is_none() {
                    events = engine.events(&name).await.ok();
                }
                if events.is_some() == listen
                    && let Some(seen) = seen(engine.as_ref(), &name, &services, &known).await
                {
                    return Done::Seen(seen, events);
                }
                tokio::time::sleep(AGAIN).await;
            }
        };
        self.work.push(look.boxed_local());
    }

    /// Tells the machine what runs already, and what does not any more.
    fn adopt(&mut self, seen: Vec<Option<Running>>) {
        for (index, running) in seen.into_iter().enumerate() {
            let service = id(index);
            let Some(state) = self.machine.service(service).map(|status| status.state) else { continue };
            let is_up = matches!(state, State::Ready | State::Busy | State::Draining);
            match running {
                Some(running) if may_be_found(state) => self.is_found(service, running),
                Some(running) if is_up && self.address(service) != running.address => {
                    let message = "it was started anew, and is somewhere else".to_owned();
                    self.step(Input::Died { service, message });
                    self.is_found(service, running);
                }
                None if is_up => {
                    let message = "it does not run any more".to_owned();
                    self.step(Input::Died { service, message });
                }
                Some(_) | None => {}
            }
        }
    }

    fn is_found(&mut self, service: ServiceId, running: Running) {
        if let Some(address) = running.address {
            self.found_at(service, address);
        }
        self.step(Input::Found { service, devices: running.devices, ready: false });
    }

    /// Asks the GPUs, unless they are being asked.
    fn measure(&mut self) {
        let Some(gpus) = self.devices.gpus.clone().filter(|_| !self.measuring) else { return };
        self.measuring = true;
        let ask = async move {
            match gpus.measure().await {
                Ok(measured) => Done::Measured(Some(measured.devices)),
                Err(error) => {
                    tracing::warn!("the GPUs cannot be measured: {error}");
                    Done::Measured(None)
                }
            }
        };
        self.work.push(ask.boxed_local());
    }

    fn measured(&mut self, devices: Vec<Device>) {
        let gone = |device: &Device| !devices.iter().any(|now| now.id == device.id);
        let gone: Vec<DeviceId> =
            self.devices.known.iter().filter(|known| gone(known)).map(|known| known.id.clone()).collect();
        for device in gone {
            self.step(Input::Device { device, memory: None });
        }
        for device in &devices {
            // Of one that does not tell its memory nothing can be promised.
            if let Some(memory) = device.memory {
                self.step(Input::Device { device: device.id.clone(), memory: Some(memory) });
            }
        }
        self.devices.known = devices;
    }

    fn found_at(&mut self, service: ServiceId, address: IpAddr) {
        if let Some(gate) = self.gate(service) {
            gate.set_address(address);
        }
    }

    /// Every service that is supervised has one.
    fn gate(&self, service: ServiceId) -> Option<&Arc<Gate>> {
        self.handle.gates.get(service.0 as usize)
    }

    /// Where a service is, or was last.
    fn address(&self, service: ServiceId) -> Option<IpAddr> {
        self.gate(service)?.address()
    }

    /// What follows from something that is over; the engine's events, where they are listened to anew.
    fn done(&mut self, done: Done) -> Option<Events> {
        match done {
            Done::Inputs(inputs) => inputs.into_iter().for_each(|input| self.step(input)),
            Done::Seen(seen, events) => {
                self.adopt(seen);
                return events;
            }
            Done::Measured(devices) => {
                self.measuring = false;
                if let Some(devices) = devices {
                    self.measured(devices);
                }
            }
            Done::Loaded(service, load, address) => {
                self.found_at(service, address);
                self.step(Input::Loaded { service, load });
            }
        }
        None
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Asked { request, service, wait, answer } => {
                self.waiting.insert(request, Waiting::Request(self.now(), answer));
                self.step(Input::Asked { request, service, wait });
            }
            Message::Ended(request) => {
                self.waiting.remove(&request);
                self.step(Input::Ended { request });
            }
            Message::Passed(service) => self.passed(service),
            Message::Wanted(command) => self.want(command),
        }
    }

    /// Tells the machine whether somebody is inside a service's gate.
    fn passed(&mut self, service: ServiceId) {
        let Some(gate) = self.gate(service) else { return };
        // What is so now counts, not what was so when it was told.
        match (gate.inside() > 0, self.inside.get(&service).copied()) {
            (true, None) => {
                let request = self.handle.next();
                self.inside.insert(service, request);
                self.step(Input::Asked { request, service, wait: Wait::OnlyIfReady });
            }
            (false, Some(request)) => {
                self.inside.remove(&service);
                self.step(Input::Ended { request });
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// An error in sending an answer means that nobody waits for it any more.
    fn want(&mut self, command: Command) {
        match command {
            Command::Load(service, answer) => {
                let request = self.handle.next();
                self.waiting.insert(request, Waiting::Hand(answer));
                self.step(Input::Load { service });
                self.step(Input::Asked { request, service, wait: Wait::Held(None) });
            }
            Command::Unload(service, force, answer) => {
                self.step(Input::Unload { service, force });
                answer.send(()).ok();
            }
            Command::Pin(service, pinned, answer) => {
                self.step(Input::Pin { service, pinned });
                answer.send(()).ok();
            }
            Command::Status(answer) => drop(answer.send(self.status())),
            Command::Why(service, answer) => drop(answer.send(self.machine.why(service))),
        }
    }

    /// What every service is, with those who are inside each counted one by one.
    fn status(&self) -> Vec<ServiceStatus> {
        let counted = |mut status: ServiceStatus| {
            let inside = self.gate(status.service).map_or(0, |gate| gate.inside());
            let as_one = usize::from(self.inside.contains_key(&status.service));
            status.in_flight = status.in_flight.saturating_sub(as_one) + inside;
            status
        };
        self.machine.status().into_iter().map(counted).collect()
    }

    /// Containers that come up or end without the machine's doing.
    fn happened(&mut self, event: &EngineEvent) {
        if event.attributes.get("com.docker.compose.oneoff").is_some_and(|one_off| one_off == "True") {
            return;
        }
        let name = event.attributes.get("com.docker.compose.service");
        let Some(index) = self.services.iter().position(|service| Some(&service.name) == name) else {
            return;
        };
        match event.action {
            EngineAction::Died { code } => {
                let message = format!("exited with code {code}");
                self.step(Input::Died { service: id(index), message });
            }
            // It may be gone again: what runs is looked at.
            EngineAction::Started
                if self.machine.service(id(index)).is_some_and(|status| may_be_found(status.state)) =>
            {
                self.look(false);
            }
            _ => {}
        }
    }

    fn now(&self) -> Elapsed {
        Elapsed::new(self.began.elapsed())
    }

    fn step(&mut self, input: Input) {
        self.turn_began = match &input {
            // It came as it was noted to wait.
            Input::Asked { request, .. } => match self.waiting.get(request) {
                Some(Waiting::Request(since, _)) => *since,
                _ => self.now(),
            },
            _ => self.now(),
        };
        let effects = self.machine.step(self.turn_began, input);
        // Gates are closed before anything is stopped.
        for effect in &effects {
            if let Effect::Tell(told) = effect {
                self.has_changed(told.service);
            }
        }
        let told = |effect: &Effect| if let Effect::Tell(told) = effect { Some(told.service) } else { None };
        let told: Vec<ServiceId> = effects.iter().filter_map(told).collect();
        for effect in effects {
            self.carry_out(effect);
        }
        // Who was inside before something changed is inside still.
        for service in told {
            if self.gate(service).is_some_and(|gate| gate.is_open()) {
                self.passed(service);
            }
        }
    }

    fn has_changed(&mut self, service: ServiceId) {
        let state = self.machine.service(service).map(|status| status.state);
        if let Some(gate) = self.gate(service) {
            gate.set_open(matches!(state, Some(State::Ready | State::Busy)));
        }
        if !matches!(state, Some(State::Ready | State::Busy | State::Draining)) {
            // The machine knows of nobody who asks what does not run.
            self.inside.remove(&service);
        }
        if let Some(state) = state {
            self.states.send_if_modified(|known| known.insert(service, state) != Some(state));
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Serve { request, service } => self.serve(request, service),
            Effect::Refuse { request, refusal } => match self.waiting.remove(&request) {
                Some(Waiting::Request(_, answer)) => drop(answer.send(Err(refusal))),
                Some(Waiting::Hand(answer)) => drop(answer.send(Err(refusal))),
                // Whoever is inside has come in before the gate was closed, and is waited for.
                None => self.inside.retain(|_, inside| *inside != request),
            },
            Effect::Load { service, load, devices, adopt } => self.load(service, load, &devices, adopt),
            Effect::Unload { service, force } => self.unload(service, force),
            Effect::Measure { .. } => self.measure(),
            Effect::Tell(told) => {
                let name = self.services.get(told.service.0 as usize).map(|service| service.name.clone());
                (self.tell)(&name.unwrap_or_default(), &told);
            }
        }
    }

    fn serve(&mut self, request: RequestId, service: ServiceId) {
        let address = self.address(service);
        let none = || Refusal::Failed {
            message: "it has no address on any network".to_owned(),
            retry_after: Duration::from_secs(1),
        };
        match self.waiting.remove(&request) {
            // Where nobody waits any more, that has been said already.
            Some(Waiting::Request(since, answer)) => {
                // What is ready answers in the same turn.
                let waited = self.turn_began.since(since);
                drop(answer.send(address.map(|address| (address, waited)).ok_or_else(none)));
            }
            Some(Waiting::Hand(answer)) => {
                drop(answer.send(Ok(())));
                self.work.push(async move { Done::Inputs(vec![Input::Ended { request }]) }.boxed_local());
            }
            None => {}
        }
    }

    /// `adopt`: it runs already, and stays as it is.
    fn load(&mut self, service: ServiceId, load: LoadId, devices: &[DeviceId], adopt: bool) {
        let Some(known) = self.services.get(service.0 as usize) else { return };
        self.stopping.remove(&service);
        let (cancel, requests) = mpsc::unbounded_channel();
        let (ended, over) = oneshot::channel();
        let (stages, mut entered) = mpsc::unbounded_channel::<String>();
        let before = self.loading.insert(service, Loading { cancel, over });
        let mut task = Load {
            service: known.name.clone(),
            project: self.placed(known, devices),
            engine: Arc::clone(&self.engine),
            options: UpOptions {
                services: vec![known.name.clone()],
                recreate: if adopt { Recreate::Never } else { self.options.recreate },
                ..self.options.clone()
            },
            label: self.label.clone(),
            requests,
            stages,
        };
        let (told, turn) = (self.stages.0.clone(), Arc::clone(&self.turn));
        let work = async move {
            let waits = async {
                if let Some(before) = before {
                    // Either way it is over.
                    before.over.await.ok();
                }
                // It is never closed.
                turn.acquire_owned().await.ok()
            };
            let mut turn = tokio::select! {
                biased;
                _ = task.requests.recv() => {
                    // An error means that nobody waits for it.
                    ended.send(()).ok();
                    let failure = LoadFailure { out_of_memory: false, message: "it was given up".to_owned() };
                    return Done::Inputs(vec![Input::LoadFailed { service, load, failure }]);
                }
                turn = waits => turn,
            };
            let tell = async {
                while let Some(stage) = entered.recv().await {
                    // It runs: everything is made.
                    drop(turn.take());
                    told.send(Input::Stage { service, load, stage }).ok();
                }
            };
            let (result, ()) = futures::join!(task.perform(), tell);
            ended.send(()).ok();
            match result {
                Ok(address) => Done::Loaded(service, load, address),
                Err(failure) => Done::Inputs(vec![Input::LoadFailed { service, load, failure }]),
            }
        };
        self.work.push(work.boxed_local());
    }

    /// The project in which a service is loaded, with the devices that it is to use.
    fn placed(&self, service: &Supervised, devices: &[DeviceId]) -> Arc<Project> {
        let chosen = |device: &&Device| devices.contains(&device.id);
        let mut chosen: Vec<Device> = self.devices.known.iter().filter(chosen).cloned().collect();
        if chosen.is_empty() {
            return Arc::clone(&service.project);
        }
        if self.devices.gpus.as_ref().is_some_and(|gpus| gpus.are_made_up()) {
            // They count, and nothing is asked of an engine that cannot have them.
            chosen.retain(|device| has_name(device, &self.devices.facts));
        }
        let mut project = Project::clone(&service.project);
        if let Some(wants) = project.services.get_mut(&service.name) {
            *wants = placed(wants, &chosen, &self.devices.facts);
        }
        Arc::new(project)
    }

    fn unload(&mut self, service: ServiceId, force: bool) {
        let Some(known) = self.services.get(service.0 as usize) else { return };
        let (engine, project, name) = (Arc::clone(&self.engine), self.name.clone(), known.name.clone());
        let loading = self.loading.remove(&service);
        if let Some(loading) = &loading {
            let request = if force { CancelRequest::Force } else { CancelRequest::Graceful };
            // An error means that it is over.
            loading.cancel.send(request).ok();
        }
        let gate = self.gate(service).filter(|_| !force).cloned();
        let (stays, superseded) = oneshot::channel();
        self.stopping.insert(service, stays);
        let work = async move {
            let waits = async {
                if let Some(loading) = loading {
                    loading.over.await.ok();
                }
                if let Some(gate) = gate {
                    gate.emptied().await;
                }
            };
            tokio::select! {
                biased;
                () = waits => {}
                // Another unload says what came of it, or it is loaded again.
                _ = superseded => return Done::Inputs(Vec::new()),
            }
            Done::Inputs(vec![match load::unload(engine, &project, &name, force).await {
                Ok(()) => Input::Unloaded { service },
                Err(message) => Input::UnloadFailed { service, message },
            }])
        };
        self.work.push(work.boxed_local());
    }
}

impl Handle {
    fn next(&self) -> RequestId {
        RequestId(self.requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }
}

/// Whether a container that runs is news to the machine in this state.
fn may_be_found(state: State) -> bool {
    matches!(state, State::Cold | State::Failed | State::Waiting | State::Blocked | State::Settling)
}

/// What runs of each of these services; `None`: the engine does not say.
async fn seen(
    engine: &dyn Engine,
    project: &str,
    services: &[String],
    known: &[Device],
) -> Option<Vec<Option<Running>>> {
    let mut all = Vec::new();
    for service in services {
        let found = load::containers(engine, project, service).await?;
        let Some(container) = found.iter().find(|c| c.state == ContainerState::Running) else {
            all.push(None);
            continue;
        };
        let devices =
            if known.is_empty() { Vec::new() } else { load::devices(engine, &container.id, known).await };
        all.push(Some(Running { address: load::address(container), devices }));
    }
    Some(all)
}

/// The number of a service, by its place.
fn id(index: usize) -> ServiceId {
    ServiceId(u32::try_from(index).unwrap_or(u32::MAX))
}
