//! What must hold however a world goes, looked at from outside: only what went into the machine and came out of it counts.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    world::{Nature, Process, is_moving},
    *,
};

/// What was seen so far.
pub(super) struct Promises {
    honest: bool,
    gpus: GpuRules,
    specs: BTreeMap<ServiceId, ServiceSpec>,
    /// Requests that wait: since when, until when at the latest.
    waiting: BTreeMap<RequestId, (ServiceId, Elapsed, Elapsed)>,
    serving: BTreeMap<RequestId, ServiceId>,
    /// Loads and unloads that were ordered and have not ended: on which devices.
    critical: BTreeMap<ServiceId, Vec<DeviceId>>,
    /// Since when each is ready.
    ready: BTreeMap<ServiceId, Elapsed>,
    /// Nothing new may be passed on to them.
    fenced: BTreeSet<ServiceId>,
    /// Those for which an end by hand, a deadline or a forced stop is under way.
    ordered: BTreeSet<ServiceId>,
    /// What has to come back on a device before the next load: of whom, since when, and from what it has to rise.
    settling: BTreeMap<DeviceId, Vec<Freed>>,
    measured: BTreeMap<DeviceId, u64>,
    /// What is free of a device once a service's memory is back.
    expected: BTreeMap<(ServiceId, DeviceId), u64>,
    last_served: BTreeMap<ServiceId, Elapsed>,
    failed_loads: BTreeMap<ServiceId, LoadFailure>,
    tries: BTreeMap<ServiceId, u32>,
    input: Option<Input>,
    disturbed: bool,
    pub(super) tally: Tally,
    pub(super) broken: Vec<String>,
}

/// Memory that was held and is to come back.
struct Freed {
    since: Elapsed,
    /// Enough is free; `None`: it cannot be known, and only time counts.
    wanted: Option<u64>,
}

/// What was reached.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) counts: BTreeMap<String, u64>,
    pub(super) longest: Duration,
}

impl Tally {
    pub(super) fn count(&mut self, what: impl Into<String>) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: Self) {
        for (what, count) in other.counts {
            *self.counts.entry(what).or_default() += count;
        }
        self.longest = self.longest.max(other.longest);
    }
}

impl Promises {
    pub(super) fn new(nature: &Nature) -> Self {
        Self {
            honest: nature.honest,
            gpus: nature.gpus.clone(),
            specs: nature.services.iter().map(|(id, character)| (*id, character.spec.clone())).collect(),
            waiting: BTreeMap::new(),
            serving: BTreeMap::new(),
            critical: BTreeMap::new(),
            ready: BTreeMap::new(),
            fenced: BTreeSet::new(),
            ordered: BTreeSet::new(),
            settling: BTreeMap::new(),
            measured: BTreeMap::new(),
            expected: BTreeMap::new(),
            last_served: BTreeMap::new(),
            failed_loads: BTreeMap::new(),
            tries: BTreeMap::new(),
            input: None,
            disturbed: false,
            tally: Tally::default(),
            broken: Vec::new(),
        }
    }

    fn ensure(&mut self, now: Elapsed, holds: bool, promise: &str, what: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(format!("at {now}: {promise}: {}", what()));
        }
    }

    /// Somebody took what the machine does not rule over.
    pub(super) fn disturbed(&mut self) {
        self.disturbed = true;
    }

    pub(super) fn out_of_memory(&mut self, now: Elapsed) {
        self.tally.count("ran out of memory");
        self.ensure(now, !self.honest, "nothing runs out of memory", String::new);
    }

    /// A new machine knows only what it is told.
    pub(super) fn restarted(&mut self) {
        self.tally.count("new supervisor");
        self.disturbed = true;
        self.waiting.clear();
        self.serving.clear();
        self.critical.clear();
        self.ready.clear();
        self.fenced.clear();
        self.ordered.clear();
        self.settling.clear();
        self.failed_loads.clear();
        self.tries.clear();
    }

    pub(super) fn before(&mut self, now: Elapsed, input: &Input, machine: &Machine) {
        self.input = Some(input.clone());
        match input {
            Input::Asked { request, service, wait } => {
                let longest = self.specs[service].max_wait;
                let until = match wait {
                    Wait::Held(most) => now + most.map_or(longest, |most| most.min(longest)),
                    Wait::ComeAgain | Wait::OnlyIfReady => now,
                };
                self.waiting.insert(*request, (*service, now, until));
            }
            Input::Serving { request, service }
                if machine
                    .service(*service)
                    .is_some_and(|s| matches!(s.state, State::Ready | State::Busy)) =>
            {
                self.serving.insert(*request, *service);
            }
            Input::Ended { request } => {
                if self.waiting.remove(request).is_some() {
                    self.tally.count("client gone while waiting");
                }
                if let Some(service) = self.serving.remove(request) {
                    self.last_served.insert(service, now);
                }
            }
            Input::Unloaded { service } => {
                self.critical.remove(service);
                self.freed(now, *service, machine);
            }
            // What is being stopped already is told of as it stops.
            Input::LoadFailed { service, .. }
                if machine.service(*service).is_none_or(|s| s.state != State::Loading) => {}
            Input::LoadFailed { service, failure, .. } => {
                self.critical.remove(service);
                self.failed_loads.insert(*service, failure.clone());
                self.freed(now, *service, machine);
            }
            Input::Loaded { service, .. } => {
                self.critical.remove(service);
            }
            Input::Died { service, .. } => {
                self.ready.remove(service);
                self.serving.retain(|_, of| of != service);
                self.freed(now, *service, machine);
            }
            Input::Unload { service, .. } => {
                self.tries.remove(service);
                self.ordered.insert(*service);
            }
            Input::Device { device, memory } => {
                if let Some(free) = memory.and_then(|memory| memory.free) {
                    self.measured.insert(device.clone(), free);
                    if let Some(freed) = self.settling.get_mut(device) {
                        freed.retain(|freed| freed.wanted.is_none_or(|wanted| free < wanted));
                    }
                } else {
                    self.measured.remove(device);
                    self.settling.remove(device);
                }
            }
            _ => {}
        }
    }

    fn freed(&mut self, now: Elapsed, service: ServiceId, machine: &Machine) {
        let Some(status) = machine.service(service) else { return };
        for (device, held) in status.devices {
            if matches!(self.input, Some(Input::Died { .. })) {
                self.expect(service, &device, held);
            }
            let wanted = self.expected.remove(&(service, device.clone()));
            // What nobody can measure is not waited for.
            if !self.measured.contains_key(&device) {
                continue;
            }
            self.settling.entry(device).or_default().push(Freed { since: now, wanted });
        }
    }

    /// Notes what is free once 3/4 of so much more than now is.
    fn expect(&mut self, service: ServiceId, device: &DeviceId, held: u64) {
        if let Some(free) = self.measured.get(device) {
            self.expected.insert((service, device.clone()), free + held / 4 * 3);
        }
    }

    pub(super) fn after(
        &mut self,
        now: Elapsed,
        effects: &[Effect],
        machine: &Machine,
        processes: &BTreeMap<u64, Process>,
    ) {
        for effect in effects {
            match effect {
                Effect::Serve { request, service } => self.serves(now, *request, *service, processes),
                Effect::Refuse { request, refusal } => self.refuses(now, *request, refusal),
                Effect::Load { service, devices, adopt, .. } => {
                    self.loads(now, *service, devices, *adopt, processes);
                    let held = machine.service(*service).into_iter().flat_map(|s| s.devices);
                    for (device, held) in held {
                        if let Some(free) = self.measured.get(&device) {
                            let expected = (free + held / 4 * 3).saturating_sub(held);
                            self.expected.insert((*service, device), expected);
                        }
                    }
                }
                Effect::Unload { service, force } => self.unloads(now, *service, *force, machine),
                Effect::Measure { .. } => {}
                Effect::Tell(told) => self.told(now, told),
            }
        }
        self.ledger(now, machine);
        self.deadlines(now, machine);
        self.failures_answer(now, machine);
    }

    fn serves(
        &mut self,
        now: Elapsed,
        request: RequestId,
        service: ServiceId,
        processes: &BTreeMap<u64, Process>,
    ) {
        let known = self.waiting.remove(&request);
        self.ensure(now, known.is_some(), "a request is answered once", || format!("{request:?}"));
        let Some((of, since, until)) = known else { return };
        self.ensure(now, of == service, "a request goes where it was meant to", || format!("{request:?}"));
        self.ensure(now, now <= until, "a request is answered in time", || {
            format!("{request:?} of {service:?}")
        });
        let up = processes.values().any(|p| p.service == service && p.running && p.ready);
        self.ensure(now, up, "what is passed on goes to what is ready", || format!("{service:?}"));
        let open = !self.fenced.contains(&service);
        self.ensure(now, open, "nothing is passed on to what is to go", || format!("{service:?}"));
        self.serving.insert(request, service);
        self.tally.count("served");
        self.tally.longest = self.tally.longest.max(now - since);
    }

    fn refuses(&mut self, now: Elapsed, request: RequestId, refusal: &Refusal) {
        let known = self.waiting.remove(&request);
        self.ensure(now, known.is_some(), "a request is answered once", || format!("{request:?}"));
        let Some((.., since, until)) = known else { return };
        self.ensure(now, now <= until, "a request is answered in time", || format!("{request:?} {refusal}"));
        self.ensure(now, !refusal.to_string().is_empty(), "a refusal has a reason", String::new);
        if matches!(refusal, Refusal::NeverFits { .. }) && !self.disturbed {
            self.ensure(now, now == since, "what never fits is refused at once", || format!("{request:?}"));
        }
        self.tally.count(format!("refused: {}", word(refusal)));
    }

    fn loads(
        &mut self,
        now: Elapsed,
        service: ServiceId,
        devices: &[DeviceId],
        adopt: bool,
        processes: &BTreeMap<u64, Process>,
    ) {
        self.tally.count(if adopt { "adopted" } else { "load" });
        let again = self.critical.contains_key(&service);
        self.ensure(now, !again, "there is one load of a service at a time", || format!("{service:?}"));
        if !adopt {
            let runs = processes.values().any(|p| p.service == service && p.running);
            self.ensure(now, !runs, "what runs is not started again", || format!("{service:?}"));
            for device in devices {
                let holders = self.critical.values().filter(|held| held.contains(device)).count();
                let locked = !self.disturbed && holders >= self.gpus.loads_per_device;
                self.ensure(now, !locked, "a device is locked while it is loaded or unloaded", || {
                    format!("{service:?} on {device}")
                });
                let settle = self.gpus.settle;
                let early = self.settling.remove(device).into_iter().flatten();
                let early = early.filter(|freed| now.since(freed.since) < settle).count();
                let early = self.gpus.loads_per_device == 1 && !self.disturbed && early > 0;
                self.ensure(now, !early, "memory is back before it is given again", || {
                    format!("{service:?} on {device}")
                });
            }
            let tries = self.tries.entry(service).or_default();
            *tries += 1;
        }
        self.critical.insert(service, devices.to_vec());
    }

    fn unloads(&mut self, now: Elapsed, service: ServiceId, force: bool, machine: &Machine) {
        self.tally.count("unload");
        let served = self.serving.values().filter(|of| **of == service).count();
        let allowed = force && (self.ordered.contains(&service) || !self.ready.contains_key(&service));
        self.ensure(now, served == 0 || allowed, "nothing goes while it is answering", || {
            format!("{service:?} is answering {served}")
        });
        self.serving.retain(|_, of| *of != service);
        let held: Vec<(DeviceId, u64)> =
            machine.service(service).into_iter().flat_map(|s| s.devices).collect();
        if self.ready.remove(&service).is_some() {
            for (device, held) in &held {
                self.expect(service, device, *held);
            }
        }
        if machine.service(service).is_some_and(|s| s.state == State::Stuck) {
            return;
        }
        let devices: Vec<DeviceId> = held.into_iter().map(|(device, _)| device).collect();
        for device in &devices {
            let others =
                self.critical.iter().filter(|(id, held)| **id != service && held.contains(device)).count();
            let locked = !self.disturbed && others >= self.gpus.loads_per_device;
            self.ensure(now, !locked, "a device is locked while it is loaded or unloaded", || {
                format!("{service:?} leaves {device}")
            });
        }
        self.critical.insert(service, devices);
    }

    fn told(&mut self, now: Elapsed, told: &Told) {
        let Told { service, change, reason } = told;
        self.ensure(now, !reason.is_empty(), "every decision has a reason", || {
            format!("{service:?} {change:?}")
        });
        match change {
            Change::Draining => {
                self.fenced.insert(*service);
                let evicted = reason.starts_with("it makes room");
                if evicted {
                    self.tally.count("evicted");
                    let least = self.specs[service].rules.min_resident;
                    let since = self.ready.get(service).copied().unwrap_or_default();
                    self.ensure(
                        now,
                        now.since(since) >= least,
                        "nothing is evicted right after it was loaded",
                        || format!("{service:?} after {:?}", now.since(since)),
                    );
                    let kept = self.specs[service].keep == Keep::Always;
                    self.ensure(now, !kept, "what is always kept is not evicted", || format!("{service:?}"));
                }
                if reason.starts_with("nobody has asked") {
                    self.tally.count("idle");
                    let least = self.specs[service].stop_after.unwrap_or(Duration::MAX);
                    let end = self.last_served.get(service).copied().unwrap_or_default();
                    self.ensure(now, now.since(end) >= least, "idle time starts at the last byte", || {
                        format!("{service:?} after {:?}", now.since(end))
                    });
                }
                if reason.contains("waited long") {
                    self.tally.count("drained for one who waited long");
                }
            }
            Change::Ready => {
                self.fenced.remove(service);
                self.ordered.remove(service);
                self.tries.remove(service);
                self.ready.insert(*service, now);
            }
            Change::Resumed => {
                self.fenced.remove(service);
                self.ordered.remove(service);
            }
            Change::Unloading => {
                self.tries.remove(service);
                self.fenced.insert(*service);
            }
            Change::Stuck => {
                self.critical.remove(service);
            }
            Change::Failed | Change::Cold => {
                self.tries.remove(service);
                self.ordered.remove(service);
            }
            _ => {}
        }
        self.tally.count(format!("{change:?}").to_lowercase());
    }

    /// No more is promised of a device than it has.
    fn ledger(&mut self, now: Elapsed, machine: &Machine) {
        let count = |state: State| state_runs(state);
        for (project, most) in self.limits() {
            let loaded = machine
                .status()
                .iter()
                .filter(|s| count(s.state) && self.specs[&s.service].project == project)
                .count();
            let holds = self.disturbed || loaded <= most;
            self.ensure(now, holds, "no more are loaded than may be", || format!("{loaded} of {project}"));
        }
        if self.disturbed {
            return;
        }
        for device in machine.devices() {
            let reserved: u64 = device.reserved.iter().map(|(_, bytes)| bytes).sum();
            self.ensure(now, reserved <= device.budget, "no more is promised than there is", || {
                format!("{} of {} on {}", reserved >> 30, device.budget >> 30, device.device)
            });
        }
    }

    fn limits(&self) -> BTreeMap<String, usize> {
        let limit = |spec: &ServiceSpec| Some((spec.project.clone(), spec.rules.max_loaded? as usize));
        self.specs.values().filter_map(limit).collect()
    }

    fn deadlines(&mut self, now: Elapsed, machine: &Machine) {
        let deadline = machine.next_deadline();
        self.ensure(now, deadline.is_none_or(|at| at > now || self.is_due(now)), "time goes on", || {
            let moving: Vec<String> =
                machine.status().iter().map(|s| format!("{} {}", s.name, s.state)).collect();
            format!("{deadline:?} {moving:?}")
        });
    }

    /// A request that may not wait at all is refused with the next tick.
    fn is_due(&self, now: Elapsed) -> bool {
        self.waiting.values().any(|(.., until)| *until <= now)
    }

    /// A failed load answers everybody and locks nothing, but for the one more try after it ran out of memory.
    fn failures_answer(&mut self, now: Elapsed, machine: &Machine) {
        for (service, failure) in std::mem::take(&mut self.failed_loads) {
            let Some(status) = machine.service(service) else { continue };
            if status.state == State::Loading
                || (failure.out_of_memory && self.tries.get(&service) == Some(&1))
            {
                continue;
            }
            let settled = !failure.out_of_memory || self.tries.get(&service).is_some_and(|tries| *tries > 1);
            if settled {
                self.ensure(now, status.waiting == 0, "a failed load answers everybody", || {
                    format!("{service:?}")
                });
            }
        }
    }

    pub(super) fn at_the_end(&mut self, machine: &Machine, unanswered: usize) {
        let now = Elapsed::default();
        self.ensure(now, unanswered == 0, "nobody waits for ever", || format!("{unanswered} wait"));
        let waiting = format!("{:?}", self.waiting);
        self.ensure(now, self.waiting.is_empty(), "every request is answered", || waiting);
        let moving: Vec<String> = (machine.status().iter())
            .filter(|s| is_moving(s.state))
            .map(|s| format!("{} is {}: {:?}", s.name, s.state, machine.why(s.service)))
            .collect();
        self.ensure(now, moving.is_empty(), "it comes to rest", || moving.join("; "));
        let locked = machine.devices().iter().any(|device| !device.locked_by.is_empty());
        self.ensure(now, !locked, "no lock is left", String::new);
    }
}

/// Whether something of it runs.
fn state_runs(state: State) -> bool {
    match state {
        State::Loading | State::Ready | State::Busy | State::Draining | State::Unloading | State::Stuck => {
            true
        }
        State::Cold | State::Waiting | State::Settling | State::Failed | State::Blocked => false,
    }
}

fn word(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Unknown => "unknown",
        Refusal::NotLoaded => "not loaded",
        Refusal::Loading { .. } => "come again",
        Refusal::QueueFull { .. } => "queue full",
        Refusal::TooLate { .. } => "too late",
        Refusal::Failed { .. } => "failed",
        Refusal::NeverFits { .. } => "never fits",
        Refusal::Unloaded => "unloaded",
    }
}
