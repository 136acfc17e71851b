//! A service as it goes.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use super::{
    input::{Change, DeviceId, LoadId, RequestId, ServiceId},
    spec::ServiceSpec,
    status::State,
};
use crate::time::Elapsed;

/// What a service holds of each of its devices, in bytes.
pub(super) type Share = BTreeMap<DeviceId, u64>;

/// A service as it goes.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) spec: ServiceSpec,
    pub(super) phase: Phase,
    /// Since when it is in that phase.
    pub(super) since: Elapsed,
    /// In the order in which they came.
    pub(super) waiters: VecDeque<Waiter>,
    /// It is wanted by somebody who does not wait for it.
    pub(super) want: Option<Want>,
    pub(super) in_flight: BTreeSet<RequestId>,
    pub(super) pinned: bool,
    pub(super) trouble: Option<Trouble>,
    pub(super) last_load: Option<Duration>,
    /// The last decision of each kind.
    pub(super) past: BTreeMap<Change, (Elapsed, String)>,
}

/// A request that waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiter {
    pub(super) request: RequestId,
    pub(super) since: Elapsed,
    pub(super) until: Elapsed,
}

/// A wish that nobody waits for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Want {
    pub(super) since: Elapsed,
    pub(super) until: Elapsed,
}

/// Failures in a row.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub(super) failures: u32,
    /// It is left alone until then.
    pub(super) until: Elapsed,
    pub(super) message: String,
}

/// Where a service is in its life.
#[derive(Debug, Clone)]
pub(super) enum Phase {
    Cold,
    Waiting(Waiting),
    Loading(Loading),
    Ready(Resident),
    Draining(Resident, Drain),
    Unloading(Unloading),
    Settling(Settling),
    /// As its trouble says.
    Failed,
    /// Why it can never fit.
    Blocked(String),
    Stuck(Stuck),
}

/// It is wanted, and has no room or not its turn.
#[derive(Debug, Clone, Default)]
pub(super) struct Waiting {
    /// What it waits for, in words.
    pub(super) reason: String,
    /// What is done to make room; others keep off these devices.
    pub(super) plan: Option<Plan>,
    /// A plan of it was given up then: its patience begins anew.
    pub(super) gave_up: Option<Elapsed>,
    /// It ran out of memory on these devices, and is tried there once more.
    pub(super) again: Option<Again>,
}

/// Another try after one that ran out of memory.
#[derive(Debug, Clone)]
pub(super) struct Again {
    pub(super) devices: BTreeSet<DeviceId>,
    /// What could be evicted there is being evicted.
    pub(super) cleared: bool,
}

/// How room is made.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    /// Empty where a place among the loaded is all that is missing.
    pub(super) devices: BTreeSet<DeviceId>,
    pub(super) victims: BTreeSet<ServiceId>,
    /// It is given up then; `None`: nobody has to finish an answer first.
    pub(super) until: Option<Elapsed>,
}

/// A load under way.
#[derive(Debug, Clone)]
pub(super) struct Loading {
    pub(super) load: LoadId,
    pub(super) share: Share,
    /// What was free before, less its share.
    pub(super) before: BTreeMap<DeviceId, u64>,
    pub(super) until: Elapsed,
    pub(super) stage: Option<String>,
    /// It ran out of memory once.
    pub(super) again: bool,
    /// It ran already.
    pub(super) adopted: bool,
}

/// What is loaded.
#[derive(Debug, Clone)]
pub(super) struct Resident {
    pub(super) share: Share,
    pub(super) since: Elapsed,
    /// The turn in which it was loaded: measurements up to then know nothing of it.
    pub(super) turn: u64,
    /// Since when no byte is in flight, where none is.
    pub(super) idle_since: Elapsed,
}

/// Why nothing new is passed on to what is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drain {
    /// Nobody asks it.
    Idle,
    /// By hand; whether whatever it is answering.
    Hand(bool),
    /// To make room for this one.
    For(ServiceId),
}

/// An unload under way.
#[derive(Debug, Clone)]
pub(super) struct Unloading {
    pub(super) share: Share,
    /// What was free before, where that was measured.
    pub(super) before: BTreeMap<DeviceId, u64>,
    pub(super) until: Elapsed,
    pub(super) forced: bool,
}

/// Memory that is to come back.
#[derive(Debug, Clone)]
pub(super) struct Settling {
    pub(super) share: Share,
    pub(super) before: BTreeMap<DeviceId, u64>,
    /// Only measurements of later turns count.
    pub(super) turn: u64,
    pub(super) until: Elapsed,
    /// When it is measured next.
    pub(super) measure: Elapsed,
    /// It took too long: what is measured next counts, whatever it is.
    pub(super) is_last: bool,
    /// What is to be loaded again, and where.
    pub(super) again: Option<BTreeSet<DeviceId>>,
}

/// It does not stop.
#[derive(Debug, Clone)]
pub(super) struct Stuck {
    pub(super) share: Share,
    pub(super) before: BTreeMap<DeviceId, u64>,
    /// When it is asked to again.
    pub(super) again: Elapsed,
    /// How often it has been.
    pub(super) tries: u32,
}

impl Run {
    pub(super) fn new(spec: ServiceSpec, now: Elapsed) -> Self {
        Self {
            spec,
            phase: Phase::Cold,
            since: now,
            waiters: VecDeque::new(),
            want: None,
            in_flight: BTreeSet::new(),
            pinned: false,
            trouble: None,
            last_load: None,
            past: BTreeMap::new(),
        }
    }

    /// What it holds of devices.
    pub(super) fn share(&self) -> Option<&Share> {
        match &self.phase {
            Phase::Loading(Loading { share, .. })
            | Phase::Ready(Resident { share, .. })
            | Phase::Draining(Resident { share, .. }, _)
            | Phase::Unloading(Unloading { share, .. })
            | Phase::Settling(Settling { share, .. })
            | Phase::Stuck(Stuck { share, .. }) => Some(share),
            Phase::Cold | Phase::Waiting(_) | Phase::Failed | Phase::Blocked(_) => None,
        }
    }

    pub(super) fn share_mut(&mut self) -> Option<&mut Share> {
        match &mut self.phase {
            Phase::Loading(Loading { share, .. })
            | Phase::Ready(Resident { share, .. })
            | Phase::Draining(Resident { share, .. }, _)
            | Phase::Unloading(Unloading { share, .. })
            | Phase::Settling(Settling { share, .. })
            | Phase::Stuck(Stuck { share, .. }) => Some(share),
            Phase::Cold | Phase::Waiting(_) | Phase::Failed | Phase::Blocked(_) => None,
        }
    }

    /// What it holds of a device, in bytes.
    pub(super) fn holds(&self, device: &DeviceId) -> u64 {
        self.share().and_then(|share| share.get(device)).copied().unwrap_or(0)
    }

    /// Whether its devices are its own until it is through: it is loaded or unloaded on them, or its memory comes back.
    pub(super) fn is_critical(&self) -> bool {
        matches!(self.phase, Phase::Loading(_) | Phase::Unloading(_) | Phase::Settling(_))
    }

    /// Whether something of it runs.
    pub(super) fn runs(&self) -> bool {
        match self.phase {
            Phase::Loading(_)
            | Phase::Ready(_)
            | Phase::Draining(..)
            | Phase::Unloading(_)
            | Phase::Stuck(_) => true,
            Phase::Cold | Phase::Waiting(_) | Phase::Settling(_) | Phase::Failed | Phase::Blocked(_) => false,
        }
    }

    /// Whether it is on its way out.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Draining(..) | Phase::Unloading(_) | Phase::Settling(_))
    }

    /// Whether somebody wants it who has not got it.
    pub(super) fn is_wanted(&self) -> bool {
        !self.waiters.is_empty() || self.want.is_some()
    }

    /// Since when somebody has wanted it.
    pub(super) fn wanted_since(&self) -> Option<Elapsed> {
        self.waiters
            .front()
            .map(|waiter| waiter.since)
            .into_iter()
            .chain(self.want.map(|want| want.since))
            .min()
    }

    /// Until when it is left alone after failures.
    pub(super) fn left_alone(&self, now: Elapsed) -> Option<&Trouble> {
        self.trouble.as_ref().filter(|trouble| trouble.until > now)
    }

    /// How long a load takes.
    pub(super) fn load_time(&self) -> Duration {
        self.last_load.unwrap_or(self.spec.load_guess)
    }

    pub(super) fn plan(&self) -> Option<&Plan> {
        match &self.phase {
            Phase::Waiting(waiting) => waiting.plan.as_ref(),
            _ => None,
        }
    }

    /// In one word.
    pub(super) fn state(&self) -> State {
        match &self.phase {
            Phase::Cold => State::Cold,
            Phase::Waiting(_) => State::Waiting,
            Phase::Loading(_) => State::Loading,
            Phase::Ready(_) if self.in_flight.is_empty() => State::Ready,
            Phase::Ready(_) => State::Busy,
            Phase::Draining(..) => State::Draining,
            Phase::Unloading(_) => State::Unloading,
            Phase::Settling(_) => State::Settling,
            Phase::Failed => State::Failed,
            Phase::Blocked(_) => State::Blocked,
            Phase::Stuck(_) => State::Stuck,
        }
    }
}
