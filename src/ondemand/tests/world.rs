//! A world around the machine: devices with real memory, processes that start, hang, run out of memory and die, clients
//! that come, are slow and go away, people who interfere, and supervisors that are replaced by new ones.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

use super::{dice::Dice, promises::Promises, *};

/// What kind of world it is.
#[derive(Debug, Clone)]
pub(super) struct Nature {
    /// Everything does what it says: needs are true, nobody interferes, nothing fails.
    pub(super) honest: bool,
    pub(super) measures: bool,
    /// When nothing new happens any more, in milliseconds.
    pub(super) ends: u64,
    pub(super) gpus: GpuRules,
    /// Total memory of each device.
    pub(super) devices: BTreeMap<DeviceId, u64>,
    pub(super) services: BTreeMap<ServiceId, Character>,
}

/// What a service is really like.
#[derive(Debug, Clone)]
pub(super) struct Character {
    pub(super) spec: ServiceSpec,
    /// What it really takes of each of its devices.
    pub(super) takes: u64,
    /// How often something goes wrong, of 100.
    pub(super) bad: u64,
    /// How long it loads, in milliseconds.
    pub(super) loads: u64,
    /// Requests come so far apart on average, in milliseconds.
    pub(super) every: u64,
    /// The longest answer, in milliseconds.
    pub(super) answers: u64,
}

/// What is to happen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Arrives(ServiceId),
    /// A client goes, or its answer is over.
    Leaves(RequestId),
    Measure(DeviceId),
    Poll,
    /// A load gets somewhere: with the number of the process.
    Stage(u64),
    Loaded(u64),
    /// A process ends.
    Ends(u64, End),
    /// Its memory is given back.
    Freed(u64),
    Meddle,
    NewSupervisor,
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Failed,
    OutOfMemory,
    Stopped,
    Died,
}

/// A process of a service.
#[derive(Debug, Clone)]
pub(super) struct Process {
    pub(super) service: ServiceId,
    pub(super) devices: Vec<DeviceId>,
    /// The load that it belongs to, by whoever ordered it.
    load: Option<LoadId>,
    /// What it takes of each device at the moment.
    takes: u64,
    pub(super) ready: bool,
    pub(super) running: bool,
    /// Somebody was told to stop it: whether in time the machine is to be told.
    stopping: bool,
}

/// A request as its client sees it.
#[derive(Debug, Clone)]
struct Client {
    service: ServiceId,
    served: bool,
}

pub(super) struct World {
    pub(super) nature: Nature,
    pub(super) machine: Machine,
    pub(super) now: Elapsed,
    pub(super) dice: Dice,
    pub(super) promises: Promises,
    pub(super) processes: BTreeMap<u64, Process>,
    /// Memory that others hold.
    foreign: BTreeMap<DeviceId, u64>,
    gone: BTreeSet<DeviceId>,
    clients: BTreeMap<RequestId, Client>,
    queue: BinaryHeap<Reverse<(Elapsed, u64, Due)>>,
    count: u64,
    requests: u64,
    pub(super) steps: u64,
    /// What the machine did, for the comparison of two runs.
    pub(super) story: Vec<String>,
    pub(super) keeps_story: bool,
}

impl World {
    pub(super) fn new(nature: Nature, seed: u64) -> Self {
        let mut world = Self {
            promises: Promises::new(&nature),
            machine: Machine::new(),
            now: Elapsed::ZERO,
            dice: Dice::new(seed ^ 0xABCD),
            processes: BTreeMap::new(),
            foreign: BTreeMap::new(),
            gone: BTreeSet::new(),
            clients: BTreeMap::new(),
            queue: BinaryHeap::new(),
            count: 0,
            requests: 0,
            steps: 0,
            story: Vec::new(),
            keeps_story: false,
            nature,
        };
        world.introduce();
        for service in world.nature.services.keys().copied().collect::<Vec<_>>() {
            let pause = world.dice.millis(0, 5000);
            world.after(pause, Due::Arrives(service));
        }
        world.after(Duration::from_secs(1), Due::Poll);
        if !world.nature.honest {
            for _ in 0..world.dice.range(0, 12) {
                let pause = world.dice.millis(0, world.nature.ends);
                world.after(pause, Due::Meddle);
            }
            for _ in 0..world.dice.range(0, 2) {
                let pause = world.dice.millis(0, world.nature.ends);
                world.after(pause, Due::NewSupervisor);
            }
        }
        world
    }

    /// Tells the machine what there is.
    fn introduce(&mut self) {
        self.put(Input::Gpus(self.nature.gpus.clone()));
        for (service, character) in self.nature.services.clone() {
            self.put(Input::Declared { service, spec: Box::new(character.spec) });
        }
        for device in self.nature.devices.keys().cloned().collect::<Vec<_>>() {
            self.measure(&device);
        }
    }

    fn after(&mut self, pause: Duration, due: Due) {
        self.count += 1;
        self.queue.push(Reverse((self.now + pause, self.count, due)));
    }

    /// Lets everything happen until nothing more does.
    pub(super) fn play(&mut self) {
        let end = Elapsed::new(Duration::from_millis(self.nature.ends));
        let patience = end + Duration::from_hours(3);
        loop {
            let deadline = self.machine.next_deadline();
            let next = self.queue.peek().map(|Reverse((at, ..))| *at);
            let Some(at) = deadline.into_iter().chain(next).min() else { break };
            if self.now > patience {
                break;
            }
            self.now = self.now.max(at);
            if next.is_none_or(|next| deadline.is_some_and(|deadline| deadline < next)) {
                self.put(Input::Tick);
                continue;
            }
            if let Some(Reverse((_, _, due))) = self.queue.pop() {
                self.happens(due, self.now < end);
            }
        }
        self.promises
            .at_the_end(&self.machine, self.clients.values().filter(|client| !client.served).count());
    }

    fn happens(&mut self, due: Due, goes_on: bool) {
        match due {
            Due::Arrives(service) if goes_on => self.arrives(service),
            Due::Leaves(request) => self.leaves(request),
            Due::Measure(device) => self.measure(&device),
            Due::Poll => {
                for device in self.nature.devices.keys().cloned().collect::<Vec<_>>() {
                    self.measure(&device);
                }
                let rests = !goes_on && self.machine.status().iter().all(|s| !is_moving(s.state));
                if !rests {
                    self.after(Duration::from_secs(1), Due::Poll);
                }
            }
            Due::Stage(process) => self.stage(process),
            Due::Loaded(process) => self.is_loaded(process),
            Due::Ends(process, end) => self.ends(process, end),
            Due::Freed(process) => {
                self.processes.remove(&process);
            }
            Due::Meddle if goes_on => self.meddle(),
            Due::NewSupervisor if goes_on => self.new_supervisor(),
            Due::Arrives(_) | Due::Meddle | Due::NewSupervisor => {}
        }
    }

    /// Tells the machine, and does what it says.
    pub(super) fn put(&mut self, input: Input) {
        self.steps += 1;
        if self.keeps_story {
            self.story.push(format!("{} > {input:?}", self.now));
        }
        self.promises.before(self.now, &input, &self.machine);
        let effects = self.machine.step(self.now, input);
        if self.keeps_story {
            self.story.extend(effects.iter().map(|effect| format!("{} < {effect:?}", self.now)));
        }
        self.promises.after(self.now, &effects, &self.machine, &self.processes);
        for effect in effects {
            self.does(effect);
        }
    }

    fn does(&mut self, effect: Effect) {
        match effect {
            Effect::Serve { request, service } => {
                let longest = self.nature.services[&service].answers;
                let takes = self.dice.millis(5, longest);
                if let Some(client) = self.clients.get_mut(&request) {
                    client.served = true;
                }
                self.after(takes, Due::Leaves(request));
            }
            Effect::Refuse { request, .. } => {
                self.clients.remove(&request);
            }
            Effect::Load { service, load, devices, adopt } => self.starts(service, load, devices, adopt),
            Effect::Unload { service, force } => self.stops(service, force),
            Effect::Measure { devices } => {
                for device in devices {
                    let soon = self.dice.millis(10, 60);
                    self.after(soon, Due::Measure(device));
                }
            }
            Effect::Tell(_) => {}
        }
    }

    fn arrives(&mut self, service: ServiceId) {
        let character = self.nature.services[&service].clone();
        self.requests += 1;
        let request = RequestId(self.requests);
        let wait = match self.dice.range(0, 20) {
            0 if !self.nature.honest => Wait::ComeAgain,
            1 if !self.nature.honest => Wait::OnlyIfReady,
            2 if !self.nature.honest => Wait::Held(Some(self.dice.millis(0, 60_000))),
            _ => Wait::Held(None),
        };
        self.clients.insert(request, Client { service, served: false });
        self.put(Input::Asked { request, service, wait });
        let unserved = self.clients.get(&request).is_some_and(|client| !client.served);
        if unserved && !self.nature.honest && self.dice.percent(15) {
            let patience = self.dice.millis(0, 40_000);
            self.after(patience, Due::Leaves(request));
        }
        let pause = self.dice.millis(character.every / 10, character.every * 2);
        self.after(pause, Due::Arrives(service));
    }

    fn leaves(&mut self, request: RequestId) {
        if self.clients.remove(&request).is_some() {
            self.put(Input::Ended { request });
        }
    }

    fn free(&self, device: &DeviceId) -> u64 {
        let total = self.nature.devices[device];
        let held = self.processes.values().filter(|process| process.devices.contains(device));
        let held: u64 = held.map(|process| process.takes).sum();
        total.saturating_sub(held + self.foreign.get(device).copied().unwrap_or(0))
    }

    fn measure(&mut self, device: &DeviceId) {
        let free = self.nature.measures.then(|| self.free(device));
        let there = !self.gone.contains(device);
        let memory = there.then(|| Memory { total: self.nature.devices[device], free });
        self.put(Input::Device { device: device.clone(), memory });
    }

    /// The process of a service that runs.
    fn running(&self, service: ServiceId) -> Option<u64> {
        self.processes.iter().find(|(_, p)| p.running && p.service == service).map(|(id, _)| *id)
    }

    fn starts(&mut self, service: ServiceId, load: LoadId, devices: Vec<DeviceId>, adopt: bool) {
        if adopt {
            let found = self.running(service).and_then(|id| self.processes.get_mut(&id));
            match found {
                Some(process) if process.ready => {
                    process.load = Some(load);
                    self.put(Input::Loaded { service, load });
                }
                Some(process) => process.load = Some(load),
                None => {
                    let failure = failure(false);
                    self.put(Input::LoadFailed { service, load, failure });
                }
            }
            return;
        }
        self.begin(service, Some(load), devices);
    }

    fn begin(&mut self, service: ServiceId, load: Option<LoadId>, devices: Vec<DeviceId>) {
        let Character { bad, loads, takes, .. } = self.nature.services[&service];
        self.count += 1;
        let id = self.count;
        let process = Process {
            service,
            devices,
            load,
            takes: takes / 3,
            ready: false,
            running: true,
            stopping: false,
        };
        self.processes.insert(id, process);
        let time = self.dice.millis(loads / 2, loads * 2);
        self.after(time / 2, Due::Stage(id));
        let due = match self.dice.range(0, 3) {
            _ if !self.dice.percent(bad) => Due::Loaded(id),
            0 => Due::Ends(id, End::Failed),
            1 => Due::Ends(id, End::OutOfMemory),
            2 => Due::Ends(id, End::Died),
            // It hangs.
            _ => return,
        };
        self.after(time, due);
    }

    fn stage(&mut self, id: u64) {
        let Some(process) = self.processes.get_mut(&id).filter(|process| process.running) else { return };
        let takes = self.nature.services[&process.service].takes;
        let (before, service, load) = (process.takes, process.service, process.load);
        let devices = process.devices.clone();
        if devices.iter().any(|device| self.free(device) < takes - before) {
            return self.ends(id, End::OutOfMemory);
        }
        if let Some(process) = self.processes.get_mut(&id) {
            process.takes = takes;
        }
        if let Some(load) = load {
            self.put(Input::Stage { service, load, stage: "models_loaded".to_owned() });
        }
    }

    fn is_loaded(&mut self, id: u64) {
        let Some(process) = self.processes.get_mut(&id).filter(|p| p.running && !p.stopping) else { return };
        process.ready = true;
        let (service, load) = (process.service, process.load);
        if let Some(load) = load {
            self.put(Input::Loaded { service, load });
        } else {
            let devices = process.devices.clone();
            self.put(Input::Found { service, devices, ready: true });
        }
        if self.dice.percent(self.nature.services[&service].bad / 2) {
            let lives = self.dice.millis(0, 200_000);
            self.after(lives, Due::Ends(id, End::Died));
        }
    }

    fn ends(&mut self, id: u64, end: End) {
        let Some(process) = self.processes.get_mut(&id).filter(|process| process.running) else { return };
        process.running = false;
        let Process { service, load, ready, stopping, .. } = process.clone();
        let lag = if self.dice.percent(10) { self.dice.millis(0, 12_000) } else { self.dice.millis(0, 800) };
        self.after(lag, Due::Freed(id));
        if end == End::OutOfMemory {
            self.promises.out_of_memory(self.now);
        }
        match (end, load) {
            _ if stopping => self.put(Input::Unloaded { service }),
            (End::Stopped | End::Died, _) if ready => {
                let message = "exit code 137".to_owned();
                self.put(Input::Died { service, message });
            }
            (_, Some(load)) => {
                let failure = failure(end == End::OutOfMemory);
                self.put(Input::LoadFailed { service, load, failure });
            }
            (_, None) => {}
        }
    }

    fn stops(&mut self, service: ServiceId, force: bool) {
        let Some(id) = self.running(service) else {
            return self.put(Input::Unloaded { service });
        };
        let bad = self.nature.services[&service].bad;
        let fails = self.dice.percent(bad / 2);
        let hangs = self.dice.percent(bad / 2);
        if fails {
            let message = "no answer from the engine".to_owned();
            return self.put(Input::UnloadFailed { service, message });
        }
        if let Some(process) = self.processes.get_mut(&id) {
            process.stopping = true;
        }
        if !hangs {
            let takes = if force { self.dice.millis(5, 100) } else { self.dice.millis(50, 4000) };
            self.after(takes, Due::Ends(id, End::Stopped));
        }
    }

    /// Somebody interferes.
    fn meddle(&mut self) {
        let services: Vec<ServiceId> = self.nature.services.keys().copied().collect();
        let devices: Vec<DeviceId> = self.nature.devices.keys().cloned().collect();
        let service = self.dice.pick(&services);
        let running = self.running(service);
        match self.dice.range(0, 9) {
            0 => self.put(Input::Load { service }),
            1 => self.put(Input::Unload { service, force: false }),
            2 => self.put(Input::Unload { service, force: true }),
            3 => self.put(Input::Pin { service, pinned: true }),
            4 => self.put(Input::Pin { service, pinned: false }),
            5 => {
                if let Some(id) = running.filter(|id| self.processes[id].ready) {
                    self.ends(id, End::Stopped);
                }
            }
            6 if running.is_none() && !devices.is_empty() => self.start_by_hand(service, &devices),
            7 if !devices.is_empty() => {
                let device = self.dice.pick(&devices);
                let most = self.nature.devices[&device] / 2;
                let held = self.dice.range(0, most);
                self.foreign.insert(device, held);
            }
            8 if !devices.is_empty() => {
                let device = self.dice.pick(&devices);
                if !self.gone.remove(&device) {
                    self.gone.insert(device.clone());
                }
                self.promises.disturbed();
                self.measure(&device);
            }
            _ => {
                let spec = self.nature.services[&service].spec.clone();
                self.put(Input::Declared { service, spec: Box::new(spec) });
            }
        }
    }

    /// Somebody starts a service without asking the machine, which then is told of it.
    fn start_by_hand(&mut self, service: ServiceId, devices: &[DeviceId]) {
        let Some(status) = self.machine.service(service) else { return };
        // The engine refuses a second container of the same name.
        if matches!(status.state, State::Loading | State::Unloading | State::Stuck) {
            return;
        }
        let device = self.dice.pick(devices);
        self.promises.disturbed();
        self.begin(service, None, vec![device.clone()]);
        self.put(Input::Found { service, devices: vec![device], ready: false });
    }

    /// A new supervisor takes over: it knows what the engine says, and the data plane asks it anew.
    fn new_supervisor(&mut self) {
        self.machine = Machine::new();
        self.promises.restarted();
        for process in self.processes.values_mut() {
            // The engine goes on with what it was asked; nobody waits for its answer any more.
            (process.load, process.stopping) = (None, false);
        }
        self.introduce();
        let running: Vec<Process> = self.processes.values().filter(|p| p.running).cloned().collect();
        for Process { service, devices, ready, .. } in running {
            self.put(Input::Found { service, devices, ready });
        }
        let clients: Vec<(RequestId, Client)> =
            self.clients.iter().map(|(id, client)| (*id, client.clone())).collect();
        for (request, client) in clients {
            if client.served {
                self.put(Input::Serving { request, service: client.service });
            } else {
                let wait = Wait::Held(None);
                self.put(Input::Asked { request, service: client.service, wait });
            }
        }
    }
}

/// Whether something is to become of it without anybody asking.
pub(super) fn is_moving(state: State) -> bool {
    match state {
        State::Cold | State::Ready | State::Failed | State::Blocked | State::Stuck => false,
        State::Waiting
        | State::Loading
        | State::Busy
        | State::Draining
        | State::Unloading
        | State::Settling => true,
    }
}
