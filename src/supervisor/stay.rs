//! The loop.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    pin::pin,
    rc::Rc,
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
    activator::LABEL as ACTIVATOR,
    gate::Gate,
    handle::{Answer, Command, Message},
    load,
    standing::Activators,
};
use crate::{
    engine::{Engine, EngineAction, EngineError, EngineEvent},
    executor::{CancelRequest, Followed},
    gpu::{Device, Gpus},
    ondemand::{
        DeviceId, Effect, GpuRules, Input, LoadId, Machine, Refusal, RequestId, ServiceId, ServiceSpec,
        ServiceStatus, State, Told, Wait,
    },
    plan::{ContainerState, EngineFacts, UpOptions},
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
    pub(super) engine: Arc<dyn Engine>,
    /// The project's name.
    pub(super) name: String,
    pub(super) services: Vec<Supervised>,
    pub(super) options: UpOptions,
    pub(super) label: RunLabel,
    pub(super) devices: Devices,
    /// They are being asked.
    measuring: bool,
    /// Nothing is loaded any more.
    leaves: bool,
    pub(super) activators: Option<Rc<Activators>>,
    /// One of them stands no more.
    pub(super) fallen: bool,
    /// How often they are being put up.
    pub(super) rising: usize,
    pub(super) followers: Option<mpsc::UnboundedSender<Followed>>,
    /// Told everything that is decided.
    tell: Tell,
    machine: Machine,
    began: Instant,
    /// The moment that the machine was told last.
    turn_began: Elapsed,
    pub(super) handle: Handle,
    inbox: mpsc::UnboundedReceiver<Message>,
    states: watch::Sender<BTreeMap<ServiceId, State>>,
    /// Requests that wait for their answer.
    waiting: BTreeMap<RequestId, Waiting>,
    /// The one request that stands for all who are inside a service's gate.
    inside: BTreeMap<ServiceId, RequestId>,
    pub(super) loading: BTreeMap<ServiceId, Loading>,
    /// Unloads that wait for those inside: one whose place another has taken gives up.
    pub(super) stopping: BTreeMap<ServiceId, oneshot::Sender<()>>,
    pub(super) work: FuturesUnordered<LocalBoxFuture<'static, Done>>,
    /// Loads make what they need one after the other: two that make the same network would make it twice. They wait until
    /// services are ready side by side.
    pub(super) turn: Arc<Semaphore>,
    /// What loads tell while they go on.
    pub(super) stages: (mpsc::UnboundedSender<Input>, mpsc::UnboundedReceiver<Input>),
}

/// Whom an answer is for.
enum Waiting {
    /// Since when it waits.
    Request(Elapsed, oneshot::Sender<Answer>),
    /// Somebody who wants it loaded by hand, and does nothing with it.
    Hand(oneshot::Sender<Result<(), Refusal>>),
}

/// What becomes of what is loaded when a supervisor ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It goes on running: the next supervisor takes it over.
    Leave,
    /// It is unloaded, and that is waited for; nothing is loaded any more.
    Unload,
}

/// What the engine tells of containers.
pub(super) type Events = BoxStream<'static, Result<EngineEvent, EngineError>>;

/// A service's container that runs.
pub(super) struct Running {
    /// `None`: it is on no network.
    address: Option<IpAddr>,
    /// The GPUs that it has.
    devices: Vec<DeviceId>,
}

/// Something that was ordered is over.
pub(super) enum Done {
    /// What runs of each service, and the engine's events since before that was looked at.
    Seen(Vec<Option<Running>>, Option<Events>),
    /// What follows from it.
    Inputs(Vec<Input>),
    /// What the GPUs are now; `None`: they do not say.
    Measured(Option<Vec<Device>>),
    /// Activators stand, as far as they can.
    Stood,
    /// A service is ready, and this is where.
    Loaded(ServiceId, LoadId, IpAddr),
}

/// A load under way.
pub(super) struct Loading {
    pub(super) cancel: mpsc::UnboundedSender<CancelRequest>,
    /// Resolves once nothing of it goes on.
    pub(super) over: oneshot::Receiver<()>,
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
            leaves: false,
            activators: None,
            fallen: false,
            rising: 0,
            followers: None,
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

    /// Tells of every container that a load brings up.
    pub fn set_followers(&mut self, followers: mpsc::UnboundedSender<Followed>) {
        self.followers = Some(followers);
    }

    /// What stands in the place of services in networks.
    pub fn set_activators(&mut self, activators: Rc<Activators>) {
        self.activators = Some(activators);
    }

    /// The way to it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stays until `ends` resolves, which says what becomes of what is loaded. Activators that are being put up are waited
    /// for, so that whoever takes them down finds them.
    pub async fn stay(mut self, ends: impl Future<Output = Ending>) {
        self.measured(self.devices.known.clone());
        self.look(true);
        self.stand();
        // What runs is known before anything is asked for.
        let mut events: Option<Events> = None;
        let mut measures = interval(MEASURE);
        let mut ends = pin!(ends);
        while !(self.leaves && self.is_empty()) {
            let deadline = self.machine.next_deadline().map(|at| self.began + at.since_start());
            tokio::select! {
                biased;
                ending = &mut ends, if !self.leaves => match ending {
                    Ending::Unload => self.leave(),
                    Ending::Leave => break,
                },
                Some(message) = self.inbox.recv(), if events.is_some() => self.take(message),
                Some(input) = self.stages.1.recv() => self.step(input),
                Some(done) = self.work.next() => {
                    if let Some(anew) = self.done(done) {
                        events = Some(anew);
                    }
                }
                event = next(&mut events) => if let Some(Ok(event)) = event {
                    self.happened(&event);
                } else {
                    events = Some(futures::stream::pending().boxed());
                    self.look(true);
                },
                _ = measures.tick() => self.measure(),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    self.step(Input::Tick);
                }
            }
        }
        while self.rising > 0
            && let Some(done) = self.work.next().await
        {
            self.done(done);
        }
    }

    /// Has everything unloaded.
    fn leave(&mut self) {
        self.leaves = true;
        for index in 0..self.services.len() {
            self.step(Input::Pin { service: id(index), pinned: false });
            self.step(Input::Unload { service: id(index), force: false });
        }
    }

    /// Whether nothing is loaded, and nothing is on its way up or down. What does not stop is not waited for.
    fn is_empty(&self) -> bool {
        let is_over = |state| {
            matches!(state, State::Cold | State::Settling | State::Failed | State::Blocked | State::Stuck)
        };
        self.machine.status().iter().all(|status| is_over(status.state))
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
        if self.leaves {
            return;
        }
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
    pub(super) fn gate(&self, service: ServiceId) -> Option<&Arc<Gate>> {
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
            Done::Stood => self.rising -= 1,
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
        self.notice();
        match message {
            // Whoever asked is told by what is dropped here.
            Message::Asked { .. } | Message::Wanted(Command::Load(..)) if self.leaves => {}
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

    /// Tells the machine of everybody who has come in through a gate and of whom that was not told yet: before anything is
    /// decided, so that nothing is stopped under them.
    fn notice(&mut self) {
        let unknown = |&service: &ServiceId| {
            let is_occupied = |gate: &Arc<Gate>| gate.is_open() && gate.inside() > 0;
            !self.inside.contains_key(&service) && self.gate(service).is_some_and(is_occupied)
        };
        let unknown: Vec<ServiceId> = (0..self.services.len()).map(id).filter(unknown).collect();
        for service in unknown {
            self.passed(service);
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
        if event.attributes.contains_key(ACTIVATOR) {
            self.fallen |= matches!(event.action, EngineAction::Died { .. });
            return;
        }
        if event.attributes.get("com.docker.compose.oneoff").is_some_and(|one_off| one_off == "True") {
            return;
        }
        // Not before something of the project is started again: it may just be taken down, with its networks.
        if self.fallen && !self.leaves && matches!(event.action, EngineAction::Started) {
            self.stand();
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
        // What is asked for was noted with its moment, before which nothing else may come.
        if !matches!(input, Input::Asked { .. }) {
            self.notice();
        }
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
        // Whether somebody is inside changes without a word: gates let in whoever comes.
        let state = state.map(|state| if state == State::Busy { State::Ready } else { state });
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
}

impl Handle {
    fn next(&self) -> RequestId {
        RequestId(self.requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }
}

/// What the engine tells next; waits for ever where it is not listened to yet.
async fn next(events: &mut Option<Events>) -> Option<Result<EngineEvent, EngineError>> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
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
