//! Room: where a service is loaded, and who makes way for it.

use std::collections::BTreeSet;

use super::{
    input::{Change, DeviceId, ServiceId},
    ledger::gpus,
    machine::Machine,
    service::{Drain, Phase, Plan, Run, Share},
    victims::{Candidate, fewest},
    why::answering,
};
use crate::{
    project::{Evict, Keep, byte_words, go_duration},
    time::Elapsed,
};

/// What becomes of a service that waits.
#[derive(Debug)]
pub(super) enum Place {
    /// It is loaded on these devices, for this reason.
    Here(Share, String),
    /// Room is made for it.
    Making(Plan, String),
    /// It waits, and others go first where they can.
    Later(String),
    /// It can never fit.
    Never(String),
}

/// How far one goes to make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Those who are idle.
    Idle,
    /// Those who are answering as well: nothing new is passed on to them.
    Busy,
    /// Those who have been loaded only just now as well: it is worth waiting for them.
    Anybody,
}

/// Everything that counts when room is made for a service.
struct Seeker<'a> {
    id: ServiceId,
    run: &'a Run,
    /// It has waited longer than it has patience for.
    aged: bool,
    reach: Reach,
}

impl Machine {
    /// Where a service that waits goes, given the devices that others are making room on.
    pub(super) fn place(&self, id: ServiceId, closed: &BTreeSet<DeviceId>) -> Option<Place> {
        let run = self.services.get(&id)?;
        if let Some(words) = self.never_fits(run) {
            return Some(Place::Never(words));
        }
        let Phase::Waiting(waiting) = &run.phase else { return None };
        let (mut open, count) = self.candidates(run);
        open.retain(|device| self.need(run, device) <= self.capacity(device));
        if let Some(again) = &waiting.again {
            open.retain(|device| again.devices.contains(device));
        }
        let all = open.len();
        open.retain(|device| !closed.contains(device));
        if open.len() < count {
            let words = if all < count { "the GPU that it ran out of memory on" } else { "another service" };
            return Some(Place::Later(format!("room is being made on its GPUs for {words}")));
        }
        if let Some(again) = waiting.again.as_ref().filter(|again| !again.cleared) {
            return Some(self.cleared(id, run, &again.devices));
        }
        let aged = self.is_aged(run);
        let fitting: BTreeSet<&DeviceId> = open.iter().filter(|id| self.lacks(run, id) <= 0).collect();
        let places = self.places_missing(id, run);
        if fitting.len() >= count && places == 0 {
            return Some(self.fitting(run, &fitting, count, aged));
        }
        if let Some(place) = self.coming(run, &open, count, places, aged) {
            return Some(place);
        }
        let mut seeker = Seeker { id, run, aged, reach: Reach::Idle };
        if let Some(plan) = self.plan_for(&seeker, &open, count, places) {
            let words = self.makes_way(&plan);
            return Some(Place::Making(plan, words));
        }
        let short = self.shortage(run, &open, count, places);
        if aged {
            seeker.reach = Reach::Busy;
            if let Some(mut plan) = self.plan_for(&seeker, &open, count, places) {
                plan.until = Some(self.now + Self::drains_within(run));
                let words = format!("it has waited long: {}", self.makes_way(&plan));
                return Some(Place::Making(plan, words));
            }
            seeker.reach = Reach::Anybody;
            if let Some(plan) = self.plan_for(&seeker, &open, count, places) {
                let words = format!("{short}; it is next");
                let plan = Plan { victims: BTreeSet::new(), ..plan };
                return Some(Place::Making(plan, words));
            }
        }
        Some(Place::Later(format!("{short}{}", self.in_the_way(&seeker, &open, places))))
    }

    /// Whether a service has waited longer than it has patience for.
    pub(super) fn is_aged(&self, run: &Run) -> bool {
        Self::patience_ends(run).is_some_and(|end| end <= self.now)
    }

    /// When a service that waits has waited longer than it has patience for.
    pub(super) fn patience_ends(run: &Run) -> Option<Elapsed> {
        let Phase::Waiting(waiting) = &run.phase else { return None };
        let since = run.wanted_since()?.max(waiting.gave_up.unwrap_or_default());
        Some(since + run.spec.rules.patience.min(run.spec.max_wait / 2))
    }

    /// How long somebody who is answering is waited for.
    fn drains_within(run: &Run) -> std::time::Duration {
        run.spec.rules.patience.max(std::time::Duration::from_secs(1)) * 2
    }

    /// What a device lacks for a service, in bytes; 0 and less where it fits.
    fn lacks(&self, run: &Run, device: &DeviceId) -> i128 {
        i128::from(self.need(run, device)) - self.available(device)
    }

    /// There is room: now, or when its turn on the devices has come.
    fn fitting(&self, run: &Run, fitting: &BTreeSet<&DeviceId>, count: usize, aged: bool) -> Place {
        let mut best: Vec<&DeviceId> = fitting.iter().copied().collect();
        best.sort_by_key(|id| (!self.is_unlocked(id), self.available(id)));
        best.truncate(count);
        let locked = best.iter().find(|id| !self.is_unlocked(id));
        if let Some(device) = locked {
            let holder = self.holders(device).next();
            let words = holder.map_or_else(String::new, |(id, run)| {
                format!("{} is {} on {device}", self.name(id), run.state())
            });
            let devices = best.into_iter().cloned().collect();
            let plan = Plan { devices, ..Plan::default() };
            return if aged { Place::Making(plan, words) } else { Place::Later(words) };
        }
        let on = match best.as_slice() {
            [] => String::new(),
            devices => {
                let list: Vec<String> = devices
                    .iter()
                    .map(|id| {
                        let free = u64::try_from(self.available(id)).unwrap_or(0);
                        format!("{id} ({} free)", byte_words(free))
                    })
                    .collect();
                format!(" on {}", list.join(" and "))
            }
        };
        Place::Here(self.share(run, best), format!("there is room{on}"))
    }

    /// There will be room: somebody is on the way out.
    fn coming(
        &self,
        run: &Run,
        open: &BTreeSet<DeviceId>,
        count: usize,
        places: usize,
        aged: bool,
    ) -> Option<Place> {
        let leaves = |other: &Run| matches!(other.phase, Phase::Unloading(_) | Phase::Settling(_));
        let freed = |device: &DeviceId| -> i128 {
            let leaving = self.services.values().filter(|other| leaves(other));
            leaving.map(|other| i128::from(other.holds(device))).sum()
        };
        let devices: BTreeSet<DeviceId> =
            open.iter().filter(|id| self.lacks(run, id) <= freed(id)).take(count).cloned().collect();
        let free_places = self.services.values().filter(|other| is_peer(run, other));
        let leaving = free_places.filter(|other| matches!(other.phase, Phase::Unloading(_))).count();
        if devices.len() < count || leaving < places {
            return None;
        }
        let matters = |other: &Run| {
            leaves(other) && (is_peer(run, other) || devices.iter().any(|device| other.holds(device) > 0))
        };
        let (_, who) = self.services.iter().find(|(_, other)| matters(other))?;
        let words = format!("{} is {}, which makes room", who.spec.name, who.state());
        let plan = Plan { devices, ..Plan::default() };
        Some(if aged { Place::Making(plan, words) } else { Place::Later(words) })
    }

    /// How many of its project have to go before it may be loaded.
    fn places_missing(&self, id: ServiceId, run: &Run) -> usize {
        let Some(most) = run.spec.rules.max_loaded else { return 0 };
        let others = self.services.iter().filter(|(other, peer)| **other != id && is_peer(run, peer));
        let taken = others.filter(|(_, peer)| peer.runs() || peer.plan().is_some()).count();
        (taken + 1).saturating_sub(most.max(1) as usize)
    }

    /// Everything that can be evicted where a service ran out of memory.
    fn cleared(&self, id: ServiceId, run: &Run, devices: &BTreeSet<DeviceId>) -> Place {
        let seeker = Seeker { id, run, aged: self.is_aged(run), reach: Reach::Idle };
        let holds = |other: &Run| devices.iter().any(|device| other.holds(device) > 0);
        let all = self
            .services
            .iter()
            .filter(|(other, peer)| holds(peer) && self.is_evictable(&seeker, **other, peer));
        let plan =
            Plan { devices: devices.clone(), victims: all.map(|(other, _)| *other).collect(), until: None };
        let words = if plan.victims.is_empty() {
            "it ran out of memory, and nobody can make more room".to_owned()
        } else {
            format!("it ran out of memory: {}", self.makes_way(&plan))
        };
        Place::Making(plan, words)
    }

    /// Who makes way on which devices, where that is enough.
    fn plan_for(
        &self,
        seeker: &Seeker<'_>,
        open: &BTreeSet<DeviceId>,
        count: usize,
        places: usize,
    ) -> Option<Plan> {
        let mut ways: Vec<(DeviceId, Vec<Candidate>)> = Vec::new();
        for device in open {
            if seeker.reach != Reach::Anybody && !self.is_unlocked(device) {
                continue;
            }
            let short = self.lacks(seeker.run, device);
            let pool = self.pool(seeker, |other| other.holds(device));
            ways.extend(fewest(&pool, short).map(|victims| (device.clone(), victims)));
        }
        if ways.len() < count {
            return None;
        }
        // The one that costs least, and of those the one that is left fullest.
        ways.sort_by(|(a, mine), (b, others)| {
            Candidate::compare(mine, others).then_with(|| self.available(a).cmp(&self.available(b)))
        });
        ways.truncate(count);
        let mut victims: BTreeSet<ServiceId> =
            ways.iter().flat_map(|(_, victims)| victims).map(|victim| victim.id).collect();
        let gone = victims.iter().filter(|id| is_peer(seeker.run, &self.services[*id])).count();
        let pool = self.pool(seeker, |other| u64::from(is_peer(seeker.run, other)));
        let pool: Vec<Candidate> = pool.into_iter().filter(|peer| !victims.contains(&peer.id)).collect();
        victims.extend(fewest(&pool, places.saturating_sub(gone) as i128)?.iter().map(|victim| victim.id));
        let devices = ways.into_iter().map(|(device, _)| device).collect();
        Some(Plan { devices, victims, until: None })
    }

    /// Those who may be evicted and give something of what is asked for.
    fn pool(&self, seeker: &Seeker<'_>, gives: impl Fn(&Run) -> u64) -> Vec<Candidate> {
        let others = self.services.iter().filter(|(id, other)| self.is_evictable(seeker, **id, other));
        let candidate = |(id, other): (&ServiceId, &Run)| {
            let bytes = gives(other);
            let level = (!other.in_flight.is_empty(), other.spec.keep, other.spec.priority);
            let score = self.score(seeker.run.spec.rules.evict, other);
            (bytes > 0).then_some(Candidate { id: *id, bytes, level, score })
        };
        others.filter_map(candidate).collect()
    }

    fn is_evictable(&self, seeker: &Seeker<'_>, id: ServiceId, other: &Run) -> bool {
        let Phase::Ready(resident) = &other.phase else { return false };
        let is_free = seeker.reach == Reach::Anybody
            || (Self::may_go(other) <= self.now
                && resident.share.keys().all(|device| self.is_unlocked(device)));
        id != seeker.id
            && !other.pinned
            && other.spec.keep != Keep::Always
            && (seeker.aged || other.spec.priority <= seeker.run.spec.priority)
            && (seeker.reach != Reach::Idle || other.in_flight.is_empty())
            && is_free
    }

    /// From when on what is loaded may be evicted.
    pub(super) fn may_go(run: &Run) -> Elapsed {
        match &run.phase {
            Phase::Ready(resident) => resident.since + run.spec.rules.min_resident,
            _ => Elapsed::ZERO,
        }
    }

    /// How gladly something is evicted: the higher, the sooner.
    fn score(&self, evict: Evict, run: &Run) -> f64 {
        let idle = match &run.phase {
            Phase::Ready(resident) if run.in_flight.is_empty() => self.now.since(resident.idle_since),
            _ => std::time::Duration::ZERO,
        };
        match evict {
            Evict::Lru => idle.as_secs_f64(),
            Evict::Cost => idle.as_secs_f64() / run.load_time().as_secs_f64().max(0.001),
            Evict::Largest => {
                let bytes: u64 = run.share().into_iter().flat_map(|share| share.values()).sum();
                #[expect(clippy::cast_precision_loss, reason = "single bytes do not matter")]
                let bytes = bytes as f64;
                bytes
            }
        }
    }

    /// Makes the way free that a plan says.
    pub(super) fn follow(&mut self, id: ServiceId, plan: Plan, reason: String) {
        let name = self.name(id).to_owned();
        for victim in &plan.victims {
            let idle = self.services.get(victim).is_some_and(|run| run.in_flight.is_empty());
            let words = if idle {
                format!("it makes room for {name}")
            } else {
                format!("it makes room for {name}, which has waited long; what it is answering goes on")
            };
            self.drain(*victim, Drain::For(id), words);
        }
        if !plan.victims.is_empty() {
            self.tell(id, Change::Waiting, reason.clone());
        }
        if let Some(Phase::Waiting(waiting)) = self.services.get_mut(&id).map(|run| &mut run.phase) {
            if let Some(again) = &mut waiting.again {
                again.cleared = true;
            }
            waiting.plan = Some(plan);
            waiting.reason = reason;
        }
    }

    /// Gives up the plan of a service that waits: who was only drained for it goes on.
    pub(super) fn drop_plan(&mut self, id: ServiceId, reason: &str) {
        let Some(Phase::Waiting(waiting)) = self.services.get_mut(&id).map(|run| &mut run.phase) else {
            return;
        };
        let Some(plan) = waiting.plan.take() else { return };
        let words = format!("{} needs the room no more: {reason}", self.name(id));
        for victim in plan.victims {
            let is_for_it =
                |run: &Run| matches!(run.phase, Phase::Draining(_, Drain::For(other)) if other == id);
            if self.services.get(&victim).is_some_and(is_for_it) {
                self.resume(victim, words.clone());
            }
        }
    }

    fn makes_way(&self, plan: &Plan) -> String {
        let names: Vec<&str> = plan.victims.iter().map(|victim| self.name(*victim)).collect();
        match names.as_slice() {
            [] => "nobody has to go".to_owned(),
            [one] => format!("{one} makes room"),
            many => format!("{} make room", many.join(" and ")),
        }
    }

    /// What is missing, in words.
    fn shortage(&self, run: &Run, open: &BTreeSet<DeviceId>, count: usize, places: usize) -> String {
        let mut lacks: Vec<(i128, &DeviceId)> = open.iter().map(|id| (self.lacks(run, id), id)).collect();
        lacks.sort();
        match lacks.get(count.wrapping_sub(1)) {
            Some((lack, device)) if *lack > 0 => {
                let lack = byte_words(u64::try_from(*lack).unwrap_or(u64::MAX));
                let need = byte_words(self.need(run, device));
                format!("it needs {need} on {}, and {device} lacks {lack}", gpus(count))
            }
            _ if places > 0 => {
                let most = run.spec.rules.max_loaded.unwrap_or(0);
                format!("{most} of its project are loaded, which is as many as may be")
            }
            _ => "it waits for its turn".to_owned(),
        }
    }

    /// Why those who hold what is missing do not make way.
    fn in_the_way(&self, seeker: &Seeker<'_>, open: &BTreeSet<DeviceId>, places: usize) -> String {
        let holds = |other: &Run| {
            open.iter().any(|device| other.holds(device) > 0) || (places > 0 && is_peer(seeker.run, other))
        };
        let others = self.services.iter().filter(|(id, other)| **id != seeker.id && holds(other));
        let why = |(_, other): (&ServiceId, &Run)| {
            let name = &other.spec.name;
            let left = Self::may_go(other).since(self.now);
            Some(match &other.phase {
                Phase::Ready(_) if other.pinned => format!("{name} is pinned"),
                Phase::Ready(_) if other.spec.keep == Keep::Always => format!("{name} is always kept"),
                Phase::Ready(_) if !left.is_zero() => {
                    format!("{name} was loaded only just now and stays for {}", go_duration(left))
                }
                Phase::Ready(_) if !other.in_flight.is_empty() => {
                    format!("{name} is {}", answering(other))
                }
                Phase::Ready(_) if other.spec.priority > seeker.run.spec.priority => {
                    format!("{name} has a higher priority")
                }
                Phase::Ready(_) => return None,
                _ => format!("{name} is {}", other.state()),
            })
        };
        let reasons: Vec<String> = others.filter_map(why).collect();
        if reasons.is_empty() { String::new() } else { format!("; {}", reasons.join(", ")) }
    }
}

/// Whether another service counts for the same `max_loaded`.
fn is_peer(run: &Run, other: &Run) -> bool {
    run.spec.project == other.spec.project
}
