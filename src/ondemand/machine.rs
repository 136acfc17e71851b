//! The machine: what comes in, and where it goes.

use std::{collections::BTreeMap, time::Duration};

use super::{
    input::{Change, DeviceId, Effect, Input, LoadId, Memory, RequestId, ServiceId, Told},
    ledger::Device,
    service::{Drain, Phase, Run},
    spec::{GpuRules, ServiceSpec},
};
use crate::time::Elapsed;

/// Decides which services are loaded, does nothing itself.
///
/// One that takes over from another is told first what there is ([`Input::Declared`], [`Input::Device`]), then what runs
/// ([`Input::Found`], [`Input::Serving`]), and only then what is asked for.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    pub(super) now: Elapsed,
    /// Counts inputs: what was measured before something happened does not know of it.
    pub(super) turn: u64,
    pub(super) gpus: GpuRules,
    pub(super) services: BTreeMap<ServiceId, Run>,
    pub(super) devices: BTreeMap<DeviceId, Device>,
    /// Requests that wait or are served, and for what.
    pub(super) requests: BTreeMap<RequestId, ServiceId>,
    pub(super) loads: u64,
    pub(super) out: Vec<Effect>,
}

impl Machine {
    /// A machine that knows of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what has happened at `now`, and says what is to be done, in order. `now` never goes back.
    pub fn step(&mut self, now: Elapsed, input: Input) -> Vec<Effect> {
        self.now = self.now.max(now);
        self.turn += 1;
        self.take(input);
        self.expire();
        self.advance();
        std::mem::take(&mut self.out)
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Tick => {}
            Input::Gpus(rules) => {
                self.gpus = rules;
                self.reconsider();
            }
            Input::Declared { service, spec } => self.declare(service, *spec),
            Input::Forgotten { service } => self.forget(service),
            Input::Device { device, memory } => self.measured(&device, memory),
            Input::Asked { request, service, wait } => self.asked(request, service, wait),
            Input::Ended { request } => self.ended(request),
            Input::Stage { service, load, stage } => self.stage(service, load, stage),
            Input::Loaded { service, load } => self.loaded(service, load),
            Input::LoadFailed { service, load, failure } => self.load_failed(service, load, failure),
            Input::Unloaded { service } => self.unloaded(service),
            Input::UnloadFailed { service, message } => self.unload_failed(service, &message),
            Input::Found { service, devices, ready } => self.found(service, &devices, ready),
            Input::Serving { request, service } => self.serving(request, service),
            Input::Died { service, message } => self.died(service, &message),
            Input::Load { service } => self.load_by_hand(service),
            Input::Unload { service, force } => self.unload_by_hand(service, force),
            Input::Pin { service, pinned } => self.pin(service, pinned),
        }
    }

    fn declare(&mut self, service: ServiceId, spec: ServiceSpec) {
        match self.services.get_mut(&service) {
            Some(run) => run.spec = spec,
            None => {
                self.services.insert(service, Run::new(spec, self.now));
            }
        }
        let run = &self.services[&service];
        let share = run.share().map(|share| self.share(run, share.keys()));
        if let (Some(share), Some(run)) = (share, self.services.get_mut(&service)) {
            // What goes is measured by what it had.
            if !matches!(run.phase, Phase::Unloading(_) | Phase::Settling(_) | Phase::Stuck(_))
                && let Some(held) = run.share_mut()
            {
                *held = share;
            }
        }
        self.reconsider();
    }

    fn forget(&mut self, service: ServiceId) {
        let Some(run) = self.services.get(&service) else { return };
        if matches!(run.phase, Phase::Loading(_)) {
            self.out.push(Effect::Unload { service, force: true });
        }
        self.refuse_all(service, &super::Refusal::Unknown);
        self.drop_plan(service, "it is none of ours any more");
        if let Some(run) = self.services.remove(&service) {
            for request in run.in_flight {
                self.requests.remove(&request);
            }
        }
    }

    fn measured(&mut self, device: &DeviceId, memory: Option<Memory>) {
        let total = |known: Option<&Device>| known.map(|known| known.memory.total);
        let before = total(self.devices.get(device));
        if let Some(memory) = memory {
            self.devices.insert(device.clone(), Device { memory, turn: self.turn, is_silent: false });
        } else {
            self.devices.remove(device);
            for run in self.services.values_mut() {
                run.share_mut().map(|share| share.remove(device));
            }
        }
        if total(self.devices.get(device)) != before {
            self.reconsider();
        }
    }

    /// What could never fit may fit now.
    fn reconsider(&mut self) {
        let blocked = self.services.iter().filter(|(_, run)| matches!(run.phase, Phase::Blocked(_)));
        let fitting = blocked.filter(|(_, run)| self.never_fits(run).is_none());
        for service in fitting.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.enter(service, Phase::Cold, Change::Cold, "it could fit now");
        }
    }

    fn pin(&mut self, service: ServiceId, pinned: bool) {
        let Some(run) = self.services.get_mut(&service) else { return };
        if run.pinned == pinned {
            return;
        }
        run.pinned = pinned;
        let drained = matches!(run.phase, Phase::Draining(_, Drain::For(_) | Drain::Idle));
        let words = if pinned { "it stays, whatever comes" } else { "it stays no longer than others" };
        self.tell(service, Change::Pinned, words);
        if drained && pinned {
            self.resume(service, "it is pinned");
        }
    }

    /// Moves a service on in its life.
    pub(super) fn enter(
        &mut self,
        service: ServiceId,
        phase: Phase,
        change: Change,
        reason: impl Into<String>,
    ) {
        if let Some(run) = self.services.get_mut(&service) {
            run.phase = phase;
            run.since = self.now;
            self.tell(service, change, reason);
        }
    }

    /// Tells of a decision, and remembers it.
    pub(super) fn tell(&mut self, service: ServiceId, change: Change, reason: impl Into<String>) {
        let reason = reason.into();
        if let Some(run) = self.services.get_mut(&service) {
            run.past.insert(change, (self.now, reason.clone()));
            self.out.push(Effect::Tell(Told { service, change, reason }));
        }
    }

    pub(super) fn next_load(&mut self) -> LoadId {
        self.loads += 1;
        LoadId(self.loads)
    }

    /// As a service is shown.
    pub(super) fn name(&self, service: ServiceId) -> &str {
        self.services.get(&service).map_or("a service", |run| run.spec.name.as_str())
    }

    /// When somebody who asks now may come again.
    pub(super) fn retry_after(&self, service: ServiceId) -> Duration {
        let second = Duration::from_secs(1);
        let Some(run) = self.services.get(&service) else { return second };
        let gone = if run.is_critical() { self.now.since(run.since) } else { Duration::ZERO };
        run.load_time().saturating_sub(gone).max(second)
    }
}
