//! How services would share the GPUs: asked of the machine itself, of services that load at once and are never asked for
//! twice. Nothing is loaded for it.

use std::collections::BTreeSet;

use super::{
    input::{DeviceId, Effect, Input, Memory, ServiceId},
    machine::Machine,
    spec::{GpuRules, ServiceSpec},
    status::State,
};
use crate::{
    project::{Keep, Load},
    time::Elapsed,
};

/// What is surveyed. Services go by their place here.
#[derive(Debug, Clone)]
pub struct Surveyed {
    /// What may be taken of the GPUs.
    pub rules: GpuRules,
    /// The GPUs. Where it is told what is free of one, others hold the rest for good.
    pub devices: Vec<(DeviceId, Memory)>,
    /// Those to be preloaded are there before all others, in this order, and stay.
    pub services: Vec<ServiceSpec>,
}

/// How services would share the GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// The most that services may ever take of each device, in bytes.
    pub budgets: Vec<(DeviceId, u64)>,
    /// What becomes of each service where nothing but those that stay is loaded.
    pub alone: Vec<Fate>,
    /// Who is loaded side by side, those that stay left out: one group for each service that can be loaded, with as many
    /// more as there is room for, in their order. Groups that are the same are there once.
    pub groups: Vec<BTreeSet<usize>>,
    /// Two that are not loaded side by side.
    pub rivals: Vec<Rival>,
}

/// What becomes of a service that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is loaded, on these devices, with so many bytes of each.
    Loaded(Vec<(DeviceId, u64)>),
    /// These are stopped for it.
    MakesWay(BTreeSet<usize>),
    /// It waits, for this.
    Waits(String),
    /// It can never be loaded, for this reason.
    Never(String),
}

/// Two that are not loaded side by side: what becomes of one that is asked for while the other is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rival {
    /// Is loaded.
    pub loaded: usize,
    /// Is asked for.
    pub asked: usize,
    /// What becomes of that; [`Fate::Loaded`] where only the other order fails.
    pub fate: Fate,
}

impl Surveyed {
    /// Asks the machine.
    pub fn survey(&self) -> Survey {
        let stays = |index: &usize| self.services[*index].load == Load::Preload;
        let (staying, others): (Vec<usize>, Vec<usize>) = (0..self.services.len()).partition(stays);
        let mut alone: Vec<Option<Fate>> = vec![None; self.services.len()];
        let mut before = Trial::of(self, &staying);
        for index in &staying {
            alone[*index] = Some(before.load(*index));
        }
        for index in &others {
            alone[*index] = Some(self.beside(&staying, &[], *index));
        }
        let alone: Vec<Fate> = alone.into_iter().flatten().collect();
        let fitting = |index: &usize| matches!(alone[*index], Fate::Loaded(_));
        let fitting: Vec<usize> = others.into_iter().filter(fitting).collect();
        let budgets = before.0.devices().into_iter().map(|device| (device.device, device.budget));
        Survey {
            budgets: budgets.collect(),
            groups: self.groups(&staying, &fitting),
            rivals: self.rivals(&staying, &fitting),
            alone,
        }
    }

    /// What becomes of a service that is asked for while others are loaded.
    fn beside(&self, staying: &[usize], loaded: &[usize], asked: usize) -> Fate {
        let before = [staying, loaded].concat();
        let mut trial = Trial::of(self, &[&before[..], &[asked]].concat());
        for index in before {
            trial.load(index);
        }
        trial.load(asked)
    }

    fn groups(&self, staying: &[usize], fitting: &[usize]) -> Vec<BTreeSet<usize>> {
        let mut empty = Trial::of(self, &[staying, fitting].concat());
        for index in staying {
            empty.load(*index);
        }
        let mut groups: Vec<BTreeSet<usize>> = Vec::new();
        for first in fitting {
            let (mut trial, mut group) = (empty.clone(), BTreeSet::new());
            for index in [first].into_iter().chain(fitting.iter().filter(|index| *index != first)) {
                let mut more = trial.clone();
                if let Fate::Loaded(_) = more.load(*index) {
                    trial = more;
                    group.insert(*index);
                }
            }
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        groups
    }

    fn rivals(&self, staying: &[usize], fitting: &[usize]) -> Vec<Rival> {
        let mut rivals = Vec::new();
        for (place, one) in fitting.iter().enumerate() {
            for other in &fitting[place + 1..] {
                let ways = [(*one, *other), (*other, *one)];
                let fates = ways.map(|(loaded, asked)| self.beside(staying, &[loaded], asked));
                if fates.iter().all(|fate| matches!(fate, Fate::Loaded(_))) {
                    continue;
                }
                let rival = |((loaded, asked), fate)| Rival { loaded, asked, fate };
                rivals.extend(ways.into_iter().zip(fates).map(rival));
            }
        }
        rivals
    }
}

/// A machine in which every load goes well, at once.
#[derive(Debug, Clone)]
struct Trial(Machine);

impl Trial {
    fn of(surveyed: &Surveyed, services: &[usize]) -> Self {
        let mut trial = Self(Machine::new());
        trial.put(Input::Gpus(surveyed.rules.clone()));
        for (device, memory) in &surveyed.devices {
            trial.put(Input::Device { device: device.clone(), memory: Some(*memory) });
        }
        for index in services {
            let mut spec = surveyed.services[*index].clone();
            // No time passes here: what it would bring is there already.
            spec.rules.min_resident = std::time::Duration::ZERO;
            if spec.load == Load::Preload {
                // It is none of those whose number is limited.
                spec.project = String::new();
                spec.keep = Keep::Always;
            }
            trial.put(Input::Declared { service: id(*index), spec: Box::new(spec) });
        }
        trial
    }

    fn put(&mut self, input: Input) -> Vec<Effect> {
        self.0.step(Elapsed::ZERO, input)
    }

    /// Asks for a service.
    fn load(&mut self, index: usize) -> Fate {
        let service = id(index);
        let effects = self.put(Input::Load { service });
        let ordered = effects.iter().find_map(|effect| match effect {
            Effect::Load { load, .. } => Some(*load),
            _ => None,
        });
        if let Some(load) = ordered {
            self.put(Input::Loaded { service, load });
        }
        let victims = effects.iter().filter_map(|effect| match effect {
            Effect::Unload { service, .. } => Some(service.0 as usize),
            _ => None,
        });
        let victims: BTreeSet<usize> = victims.collect();
        let why = || self.0.why(service).map_or_else(String::new, |why| why.now);
        match self.0.service(service) {
            Some(status) if status.state == State::Ready => Fate::Loaded(status.devices),
            Some(status) if status.state == State::Blocked => Fate::Never(why()),
            _ if victims.is_empty() => Fate::Waits(why()),
            _ => Fate::MakesWay(victims),
        }
    }
}

fn id(index: usize) -> ServiceId {
    ServiceId(u32::try_from(index).unwrap_or(u32::MAX))
}
