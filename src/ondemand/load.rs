//! Loads and unloads: how each begins, and what comes of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    input::{Change, DeviceId, Effect, LoadFailure, LoadId, Refusal, ServiceId},
    machine::Machine,
    service::{Drain, Loading, Phase, Resident, Settling, Share, Stuck, Trouble, Unloading, Waiting},
};
use crate::{project::go_duration, time::Backoff};

/// What dies sooner than this after it was ready counts as failed.
const STEADY: Duration = Duration::from_mins(1);
/// Between two measurements while memory comes back.
const MEASURE: Duration = Duration::from_millis(250);
/// The last measurement of memory that did not come back is waited for no longer than this.
const LAST_MEASURE: Duration = Duration::from_secs(2);

impl Machine {
    /// Begins a load on these devices.
    pub(super) fn load(&mut self, service: ServiceId, share: Share, reason: String) {
        let (load, now) = (self.next_load(), self.now);
        let Some(run) = self.services.get(&service) else { return };
        let again = matches!(&run.phase, Phase::Waiting(waiting) if waiting.again.is_some());
        let until = now + run.spec.load_within;
        let devices = share.keys().cloned().collect();
        // Where it comes to nothing, so much is free again but for its share.
        let mut before = self.before(&share, 0);
        for (id, free) in &mut before {
            *free = free.saturating_sub(share[id]);
        }
        let loading = Loading { load, share, before, until, stage: None, again, adopted: false };
        self.enter(service, Phase::Loading(loading), Change::Loading, reason);
        self.out.push(Effect::Load { service, load, devices, adopt: false });
    }

    pub(super) fn stage(&mut self, service: ServiceId, load: LoadId, stage: String) {
        let run = self.services.get_mut(&service);
        if let Some(Phase::Loading(loading)) = run.map(|run| &mut run.phase)
            && loading.load == load
        {
            loading.stage = Some(stage);
        }
    }

    /// The load that is meant, where it is the one under way.
    fn current(&self, service: ServiceId, load: LoadId) -> Option<Loading> {
        match &self.services.get(&service)?.phase {
            Phase::Loading(loading) if loading.load == load => Some(loading.clone()),
            _ => None,
        }
    }

    pub(super) fn loaded(&mut self, service: ServiceId, load: LoadId) {
        let Some(loading) = self.current(service, load) else { return };
        let now = self.now;
        if let Some(run) = self.services.get_mut(&service) {
            let took = now.since(run.since);
            run.last_load = if loading.adopted { run.last_load } else { Some(took) };
            if let Some(trouble) = &mut run.trouble {
                trouble.until = now;
            }
            let words = format!("it was loaded in {}", go_duration(in_millis(took)));
            self.is_ready(service, loading.share, words);
        }
    }

    fn is_ready(&mut self, service: ServiceId, share: Share, reason: impl Into<String>) {
        let devices: Vec<DeviceId> = share.keys().cloned().collect();
        let resident = Resident { share, since: self.now, turn: self.turn, idle_since: self.now };
        self.enter(service, Phase::Ready(resident), Change::Ready, reason);
        if !devices.is_empty() {
            self.out.push(Effect::Measure { devices });
        }
        self.serve_all(service);
    }

    pub(super) fn load_failed(&mut self, service: ServiceId, load: LoadId, failure: LoadFailure) {
        let Some(loading) = self.current(service, load) else { return };
        let once_more =
            failure.out_of_memory && !loading.again && !loading.adopted && !loading.share.is_empty();
        if once_more {
            let devices = loading.share.keys().cloned().collect();
            let words = format!("it ran out of memory, and is tried once more: {}", failure.message);
            return self.comes_back(service, loading.share, loading.before, Some(devices), words);
        }
        self.failed(service, failure.message);
        let words = if loading.again { "it was tried once more, and failed" } else { "its load failed" };
        self.comes_back(service, loading.share, loading.before, None, words.to_owned());
    }

    /// Leaves a service alone for a while, and answers everybody who waits for it.
    fn failed(&mut self, service: ServiceId, message: String) {
        let now = self.now;
        let Some(run) = self.services.get_mut(&service) else { return };
        let failures = run.trouble.as_ref().map_or(0, |trouble| trouble.failures).saturating_add(1);
        let pause = Backoff::new(run.spec.rules.backoff, run.spec.rules.max_backoff).pause(failures - 1);
        run.trouble = Some(Trouble { failures, until: now + pause, message: message.clone() });
        let times = if failures == 1 { String::new() } else { format!(", {failures} times in a row") };
        let words = format!("{message}{times}; it is left alone for {}", go_duration(pause));
        self.tell(service, Change::Failed, words);
        self.refuse_all(service, &Refusal::Failed { message, retry_after: pause });
    }

    /// Waits for memory to come back. What uses no device has nothing to wait for.
    fn comes_back(
        &mut self,
        service: ServiceId,
        share: Share,
        before: BTreeMap<DeviceId, u64>,
        again: Option<BTreeSet<DeviceId>>,
        reason: String,
    ) {
        if share.is_empty() {
            return self.is_gone(service, None, &reason);
        }
        let devices = share.keys().cloned().collect();
        let (now, turn) = (self.now, self.turn);
        let (until, measure) = (now + self.gpus.settle, now + MEASURE);
        let settling = Settling { share, before, turn, until, measure, is_last: false, again };
        self.enter(service, Phase::Settling(settling), Change::Settling, reason);
        self.out.push(Effect::Measure { devices });
    }

    /// Nothing of it is left.
    fn is_gone(&mut self, service: ServiceId, again: Option<BTreeSet<DeviceId>>, reason: &str) {
        let Some(run) = self.services.get(&service) else { return };
        if let Some(trouble) = run.left_alone(self.now) {
            let left = go_duration(in_millis(trouble.until.since(self.now)));
            let words = format!("{}; it is left alone for {left}", trouble.message);
            return self.enter(service, Phase::Failed, Change::Failed, words);
        }
        if run.is_wanted() {
            let again = again.map(|devices| super::service::Again { devices, cleared: false });
            let waiting = Waiting { reason: "its turn".to_owned(), again, ..Waiting::default() };
            return self.enter(service, Phase::Waiting(waiting), Change::Waiting, "it is wanted again");
        }
        self.enter(service, Phase::Cold, Change::Cold, reason);
    }

    /// Stops a service, or gives up its load.
    pub(super) fn unload(&mut self, service: ServiceId, force: bool, reason: impl Into<String>) {
        let Some(run) = self.services.get(&service) else { return };
        let (share, before) = match &run.phase {
            Phase::Loading(loading) => (loading.share.clone(), loading.before.clone()),
            Phase::Ready(resident) | Phase::Draining(resident, _) => {
                (resident.share.clone(), self.before(&resident.share, resident.turn))
            }
            _ => return,
        };
        let until = self.now + run.spec.unload_within;
        if let Some(run) = self.services.get_mut(&service)
            && !matches!(run.phase, Phase::Loading(_))
        {
            run.trouble = None;
        }
        self.forget_in_flight(service);
        let unloading = Unloading { share, before, until, forced: force };
        self.enter(service, Phase::Unloading(unloading), Change::Unloading, reason);
        self.out.push(Effect::Unload { service, force });
    }

    /// What was in flight is cut off.
    fn forget_in_flight(&mut self, service: ServiceId) {
        let Some(run) = self.services.get_mut(&service) else { return };
        for request in std::mem::take(&mut run.in_flight) {
            self.requests.remove(&request);
        }
    }

    pub(super) fn unloaded(&mut self, service: ServiceId) {
        let Some(run) = self.services.get(&service) else { return };
        let (share, before) = match &run.phase {
            Phase::Unloading(Unloading { share, before, .. }) | Phase::Stuck(Stuck { share, before, .. }) => {
                (share.clone(), before.clone())
            }
            _ => return,
        };
        let reason = run.past.get(&Change::Unloading).map_or_else(String::new, |(_, reason)| reason.clone());
        self.comes_back(service, share, before, None, reason);
    }

    pub(super) fn unload_failed(&mut self, service: ServiceId, message: &str) {
        let Some(run) = self.services.get(&service) else { return };
        if matches!(run.phase, Phase::Unloading(_)) {
            self.unload_again(service, message);
        }
    }

    /// An unload did not go well: once more without grace, then it is stuck.
    pub(super) fn unload_again(&mut self, service: ServiceId, message: &str) {
        let now = self.now;
        let Some(run) = self.services.get_mut(&service) else { return };
        let (within, pause) = (run.spec.unload_within, run.spec.rules.backoff);
        let Phase::Unloading(unloading) = &mut run.phase else { return };
        if unloading.forced {
            let Unloading { share, before, .. } = unloading.clone();
            let words = format!("it does not stop: {message}");
            let stuck = Stuck { share, before, again: now + pause, tries: 0 };
            self.enter(service, Phase::Stuck(stuck), Change::Stuck, words.clone());
            self.refuse_all(service, &Refusal::Failed { message: words, retry_after: pause });
        } else {
            unloading.forced = true;
            unloading.until = now + within;
            self.tell(service, Change::Unloading, format!("{message}; it is killed"));
            self.out.push(Effect::Unload { service, force: true });
        }
    }

    /// A load, an unload or the wait for memory may have taken its time.
    pub(super) fn expire_phase(&mut self, service: ServiceId) {
        let now = self.now;
        let Some(run) = self.services.get_mut(&service) else { return };
        match &mut run.phase {
            Phase::Loading(loading) if loading.until <= now => {
                let stage = loading.stage.as_ref().map(|stage| format!(", in stage {stage}"));
                let within = go_duration(run.spec.load_within);
                let message = format!("it was not ready within {within}{}", stage.unwrap_or_default());
                self.failed(service, message.clone());
                self.unload(service, true, message);
            }
            Phase::Unloading(unloading) if unloading.until <= now => {
                let words = format!("it was not stopped within {}", go_duration(run.spec.unload_within));
                self.unload_again(service, &words);
            }
            Phase::Stuck(stuck) if stuck.again <= now => {
                stuck.tries = stuck.tries.saturating_add(1);
                let rules = &run.spec.rules;
                stuck.again = now + Backoff::new(rules.backoff, rules.max_backoff).pause(stuck.tries);
                self.out.push(Effect::Unload { service, force: true });
            }
            Phase::Failed if run.trouble.as_ref().is_none_or(|trouble| trouble.until <= now) => {
                self.enter(service, Phase::Cold, Change::Cold, "it may be tried again");
            }
            Phase::Settling(settling) if settling.until <= now && settling.is_last => {
                let share = settling.share.clone();
                // Nobody measures any more: what is reserved counts alone.
                for device in share.keys() {
                    if let Some(device) = self.devices.get_mut(device) {
                        device.is_silent |= device.memory.free.take().is_some();
                    }
                }
            }
            Phase::Settling(settling) if settling.until <= now => {
                (settling.is_last, settling.turn) = (true, self.turn);
                settling.until = now + LAST_MEASURE;
                settling.measure = now + MEASURE;
                let devices = settling.share.keys().cloned().collect();
                self.out.push(Effect::Measure { devices });
            }
            Phase::Settling(settling) if settling.measure <= now => {
                settling.measure = now + MEASURE;
                let devices = settling.share.keys().cloned().collect();
                self.out.push(Effect::Measure { devices });
            }
            _ => {}
        }
    }

    /// Whether the memory of what was stopped is back. What a device has never told need not be waited for.
    pub(super) fn settle(&mut self, service: ServiceId) -> bool {
        let Some(run) = self.services.get(&service) else { return false };
        let Phase::Settling(settling) = &run.phase else { return false };
        let is_back = |(id, held): (&DeviceId, &u64)| {
            let Some(device) = self.devices.get(id) else { return true };
            let Some(free) = device.memory.free else { return settling.is_last || !device.is_silent };
            if device.turn <= settling.turn {
                return false;
            }
            let wanted =
                settling.before.get(id).map(|before| before.saturating_add(part(*held, self.gpus.fraction)));
            settling.is_last || wanted.is_some_and(|wanted| free >= wanted)
        };
        if !settling.share.iter().all(is_back) {
            return false;
        }
        let unseen = |id: &DeviceId| self.devices.get(id).is_some_and(|device| device.memory.free.is_none());
        let (again, took) = (settling.again.clone(), go_duration(in_millis(self.now.since(run.since))));
        let words = if settling.is_last && settling.share.keys().any(unseen) {
            format!("its memory had {took} to come back, which nobody can measure")
        } else if settling.share.keys().all(unseen) {
            "nobody can measure whether its memory is back".to_owned()
        } else if settling.is_last {
            format!("its memory did not all come back within {took}")
        } else {
            format!("its memory came back within {took}")
        };
        self.is_gone(service, again, &words);
        true
    }

    pub(super) fn found(&mut self, service: ServiceId, devices: &[DeviceId], ready: bool) {
        let Some(run) = self.services.get(&service) else { return };
        match run.phase {
            Phase::Cold | Phase::Waiting(_) | Phase::Failed | Phase::Blocked(_) | Phase::Settling(_) => {}
            Phase::Loading(_)
            | Phase::Ready(_)
            | Phase::Draining(..)
            | Phase::Unloading(_)
            | Phase::Stuck(_) => return,
        }
        let there = devices.iter().filter(|device| self.devices.contains_key(*device));
        let share = self.share(run, there);
        let within = run.spec.load_within;
        self.drop_plan(service, "it runs already");
        if let Some(run) = self.services.get_mut(&service) {
            run.trouble = None;
        }
        if ready {
            return self.is_ready(service, share, "it was found running");
        }
        let (load, until) = (self.next_load(), self.now + within);
        let devices = share.keys().cloned().collect();
        let loading =
            Loading { load, share, before: BTreeMap::new(), until, stage: None, again: false, adopted: true };
        self.enter(service, Phase::Loading(loading), Change::Loading, "it was found starting");
        self.out.push(Effect::Load { service, load, devices, adopt: true });
    }

    pub(super) fn died(&mut self, service: ServiceId, message: &str) {
        let Some(run) = self.services.get(&service) else { return };
        let (share, before, since) = match &run.phase {
            Phase::Ready(resident) | Phase::Draining(resident, _) => {
                let before = self.before(&resident.share, resident.turn);
                (resident.share.clone(), before, Some(resident.since))
            }
            Phase::Stuck(stuck) => (stuck.share.clone(), stuck.before.clone(), None),
            _ => return,
        };
        self.forget_in_flight(service);
        if since.is_some_and(|since| self.now.since(since) < STEADY) {
            self.failed(service, format!("it died: {message}"));
        } else if let Some(run) = self.services.get_mut(&service) {
            run.trouble = None;
        }
        self.comes_back(service, share, before, None, format!("it died: {message}"));
    }

    /// Lets what was drained go on.
    pub(super) fn resume(&mut self, service: ServiceId, reason: impl Into<String>) {
        let Some(run) = self.services.get(&service) else { return };
        if let Phase::Draining(resident, _) = &run.phase {
            self.enter(service, Phase::Ready(resident.clone()), Change::Resumed, reason);
            self.serve_all(service);
        }
    }

    pub(super) fn drain(&mut self, service: ServiceId, drain: Drain, reason: impl Into<String>) {
        let Some(run) = self.services.get(&service) else { return };
        if let Phase::Ready(resident) | Phase::Draining(resident, _) = &run.phase {
            let phase = Phase::Draining(resident.clone(), drain);
            self.enter(service, phase, Change::Draining, reason);
        }
    }

    pub(super) fn unload_by_hand(&mut self, service: ServiceId, force: bool) {
        const BY_HAND: &str = "it was unloaded by hand";
        let now = self.now;
        let Some(run) = self.services.get_mut(&service) else { return };
        if let Some(trouble) = &mut run.trouble {
            trouble.until = now;
        }
        match &mut run.phase {
            Phase::Ready(_) | Phase::Draining(..) => self.drain(service, Drain::Hand(force), BY_HAND),
            Phase::Loading(_) => self.unload(service, true, BY_HAND),
            Phase::Waiting(_) => {
                self.drop_plan(service, BY_HAND);
                self.enter(service, Phase::Cold, Change::Cold, BY_HAND);
            }
            Phase::Settling(settling) => settling.again = None,
            Phase::Stuck(stuck) => stuck.again = now,
            Phase::Cold | Phase::Unloading(_) | Phase::Failed | Phase::Blocked(_) => {}
        }
        self.refuse_all(service, &Refusal::Unloaded);
    }
}

/// A fraction of a number of bytes.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a fraction of memory, of which single bytes do not matter"
)]
fn part(bytes: u64, fraction: f64) -> u64 {
    (bytes as f64 * fraction) as u64
}

/// To the millisecond: nobody reads more.
fn in_millis(time: std::time::Duration) -> std::time::Duration {
    std::time::Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
