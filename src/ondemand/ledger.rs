//! What there is of each device's memory, who holds it, and what of it could be taken.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    input::{DeviceId, Memory, ServiceId},
    machine::Machine,
    service::{Phase, Run, Share},
    spec::Wanted,
    status::DeviceStatus,
};
use crate::project::byte_words;

/// A device, as it was measured last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Device {
    pub(super) memory: Memory,
    /// In which turn that was.
    pub(super) turn: u64,
    /// It told what is free of it, and was asked in vain since.
    pub(super) is_silent: bool,
}

impl Machine {
    /// The most that services may ever take of a device.
    pub(super) fn capacity(&self, device: &DeviceId) -> u64 {
        let total = self.devices.get(device).map_or(0, |device| device.memory.total);
        let budget = self.gpus.budgets.get(device).copied().or(self.gpus.budget).unwrap_or(total);
        budget.min(total.saturating_sub(self.gpus.reserve))
    }

    /// What a service needs of a device. What does not say takes all of it.
    pub(super) fn need(&self, run: &Run, device: &DeviceId) -> u64 {
        let count = match &run.spec.devices {
            Wanted::None => 0,
            Wanted::Any(count) => *count,
            Wanted::All => self.devices.len(),
            Wanted::These(devices) => devices.len(),
        };
        run.spec.vram.map_or_else(|| self.capacity(device), |vram| vram.on_each(count))
    }

    /// What a service needs of each of these devices.
    pub(super) fn share<'a>(&self, run: &Run, devices: impl IntoIterator<Item = &'a DeviceId>) -> Share {
        devices.into_iter().map(|device| (device.clone(), self.need(run, device))).collect()
    }

    /// What a load could take of a device now, in bytes; below 0 where more is held than may be.
    ///
    /// The least of what is not reserved and of what was measured, where those that the measurement does not know of yet
    /// are taken to use all that they have reserved.
    pub(super) fn available(&self, device: &DeviceId) -> i128 {
        let Some(known) = self.devices.get(device) else { return 0 };
        let (mut reserved, mut unseen) = (0_i128, 0_i128);
        for run in self.services.values() {
            let held = i128::from(run.holds(device));
            reserved += held;
            let is_unseen = match &run.phase {
                Phase::Loading(_) => true,
                Phase::Ready(resident) | Phase::Draining(resident, _) => resident.turn >= known.turn,
                _ => false,
            };
            unseen += if is_unseen { held } else { 0 };
        }
        let unreserved = i128::from(self.capacity(device)) - reserved;
        match known.memory.free {
            Some(free) => unreserved.min(i128::from(free) - unseen - i128::from(self.gpus.reserve)),
            None => unreserved,
        }
    }

    /// Who is being loaded or unloaded on a device, or waits there for its memory to come back.
    pub(super) fn holders<'a>(&'a self, device: &'a DeviceId) -> impl Iterator<Item = (ServiceId, &'a Run)> {
        let holds =
            |run: &Run| run.is_critical() && run.share().is_some_and(|share| share.contains_key(device));
        self.services.iter().filter(move |(_, run)| holds(run)).map(|(id, run)| (*id, run))
    }

    /// Whether one more load or unload may go on on a device.
    pub(super) fn is_unlocked(&self, device: &DeviceId) -> bool {
        self.holders(device).count() < self.gpus.loads_per_device
    }

    /// The devices that a service may use, and how many of them it needs.
    pub(super) fn candidates(&self, run: &Run) -> (BTreeSet<DeviceId>, usize) {
        match &run.spec.devices {
            Wanted::None => (BTreeSet::new(), 0),
            Wanted::Any(count) => (self.devices.keys().cloned().collect(), (*count).max(1)),
            Wanted::All => (self.devices.keys().cloned().collect(), self.devices.len().max(1)),
            Wanted::These(named) => (named.iter().cloned().collect(), named.len()),
        }
    }

    /// Why a service could not even be loaded if nothing else were.
    pub(super) fn never_fits(&self, run: &Run) -> Option<String> {
        let (candidates, count) = self.candidates(run);
        if count == 0 {
            return None;
        }
        let known: Vec<&DeviceId> = candidates.iter().filter(|id| self.devices.contains_key(*id)).collect();
        if known.len() < count {
            let missing = candidates.iter().find(|id| !self.devices.contains_key(*id));
            return Some(match missing {
                Some(device) => format!("it needs GPU {device}, which is not there"),
                None if known.is_empty() => "it needs a GPU, and there is none".to_owned(),
                None => format!("it needs {count} GPUs, and there are {}", known.len()),
            });
        }
        let fitting = known.iter().filter(|id| self.need(run, id) <= self.capacity(id)).count();
        let (needed, most) = known
            .iter()
            .map(|id| (self.need(run, id), self.capacity(id)))
            .filter(|(need, most)| need > most)
            .max_by_key(|(_, most)| *most)?;
        (fitting < count).then(|| {
            let (needed, most) = (byte_words(needed), byte_words(most));
            format!("it needs {needed} on {}, and no more than {most} may ever be taken", gpus(count))
        })
    }

    /// What is free of these devices, where the last measurement knows of what runs there.
    pub(super) fn before(&self, share: &Share, turn: u64) -> BTreeMap<DeviceId, u64> {
        let measured = |id: &DeviceId| self.devices.get(id).filter(|device| device.turn > turn)?.memory.free;
        share.keys().filter_map(|id| Some((id.clone(), measured(id)?))).collect()
    }

    /// Every device as it is now.
    pub fn devices(&self) -> Vec<DeviceStatus> {
        let status = |(id, device): (&DeviceId, &Device)| DeviceStatus {
            device: id.clone(),
            total: device.memory.total,
            free: device.memory.free,
            budget: self.capacity(id),
            reserved: (self.services.iter())
                .filter_map(|(service, run)| Some((*service, *run.share()?.get(id)?)))
                .collect(),
            locked_by: self.holders(id).map(|(service, _)| service).collect(),
            available: u64::try_from(self.available(id).max(0)).unwrap_or(u64::MAX),
        };
        self.devices.iter().map(status).collect()
    }
}

/// `a GPU`, `each of 2 GPUs`
pub(super) fn gpus(count: usize) -> String {
    if count == 1 { "a GPU".to_owned() } else { format!("each of {count} GPUs") }
}
