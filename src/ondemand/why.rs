//! Looking at the machine: what each service is doing, and why.

use super::{
    input::ServiceId,
    machine::Machine,
    service::{Drain, Phase, Run},
    status::{ServiceStatus, Why},
};
use crate::project::go_duration;

impl Machine {
    /// Every service as it is now, by number.
    pub fn status(&self) -> Vec<ServiceStatus> {
        self.services.iter().map(|(id, run)| self.status_of(*id, run)).collect()
    }

    /// One service as it is now; `None` where there is no such service.
    pub fn service(&self, service: ServiceId) -> Option<ServiceStatus> {
        self.services.get(&service).map(|run| self.status_of(service, run))
    }

    fn status_of(&self, service: ServiceId, run: &Run) -> ServiceStatus {
        ServiceStatus {
            service,
            name: run.spec.name.clone(),
            state: run.state(),
            stage: match &run.phase {
                Phase::Loading(loading) => loading.stage.clone(),
                _ => None,
            },
            since: run.since,
            devices: run.share().into_iter().flatten().map(|(id, held)| (id.clone(), *held)).collect(),
            in_flight: run.in_flight.len(),
            waiting: run.waiters.len(),
            idle_left: self.idle_left(run),
            last_load: run.last_load,
            pinned: run.pinned,
        }
    }

    /// Why a service is as it is; `None` where there is no such service.
    pub fn why(&self, service: ServiceId) -> Option<Why> {
        let run = self.services.get(&service)?;
        let mut past: Vec<_> =
            run.past.iter().map(|(change, (at, reason))| (*at, *change, reason.clone())).collect();
        past.sort_unstable_by_key(|(at, change, _)| (*at, *change));
        Some(Why { state: run.state(), now: self.waits_for(service), past })
    }

    /// What a service waits for, or why it is as it is.
    pub(super) fn waits_for(&self, service: ServiceId) -> String {
        let Some(run) = self.services.get(&service) else { return "there is no such service".to_owned() };
        match &run.phase {
            Phase::Cold => "nobody asks for it".to_owned(),
            Phase::Waiting(waiting) => self.waiting_words(service, &waiting.reason),
            Phase::Loading(loading) => {
                let stage =
                    loading.stage.as_deref().map_or_else(String::new, |stage| format!(", in stage {stage}"));
                let since = go_duration(self.now.since(run.since));
                format!("it is being loaded since {since}{stage}")
            }
            Phase::Ready(_) if !run.in_flight.is_empty() => format!("it is {}", answering(run)),
            Phase::Ready(_) if Self::stays(run) => "it is idle, and stays".to_owned(),
            Phase::Ready(_) => match self.idle_left(run) {
                Some(left) => format!("it is idle, and is stopped in {}", go_duration(left)),
                None => "it is idle".to_owned(),
            },
            Phase::Draining(resident, drain) => {
                let why = match drain {
                    Drain::Idle => "nobody asks it".to_owned(),
                    Drain::Hand(_) => "it was unloaded by hand".to_owned(),
                    Drain::For(other) => format!("it makes room for {}", self.name(*other)),
                };
                let mut holders = resident.share.keys().flat_map(|device| self.holders(device).take(1));
                match holders.next() {
                    _ if !run.in_flight.is_empty() => format!("{why}; it is {}", answering(run)),
                    Some((_, holder)) => {
                        format!("{why}; it waits while {} is {}", holder.spec.name, holder.state())
                    }
                    None => why,
                }
            }
            Phase::Unloading(_) => "it is being stopped".to_owned(),
            Phase::Settling(_) => "it is stopped, and its memory is waited for".to_owned(),
            Phase::Failed | Phase::Stuck(_) => run
                .trouble
                .as_ref()
                .map_or_else(|| "it does not stop".to_owned(), |trouble| trouble.message.clone()),
            Phase::Blocked(reason) => reason.clone(),
        }
    }

    /// What a service waits for, with what those who make room are doing.
    fn waiting_words(&self, service: ServiceId, reason: &str) -> String {
        let plan = self.services.get(&service).and_then(Run::plan);
        let victims = plan.into_iter().flat_map(|plan| &plan.victims).filter_map(|victim| {
            let run = self.services.get(victim).filter(|run| run.is_leaving())?;
            Some(format!("{}: {}", run.spec.name, self.waits_for(*victim)))
        });
        let victims: Vec<String> = victims.collect();
        if victims.is_empty() { reason.to_owned() } else { victims.join("; ") }
    }
}

/// What a service in use is doing.
pub(super) fn answering(run: &Run) -> String {
    match run.in_flight.len() {
        1 => "answering 1 request".to_owned(),
        count => format!("answering {count} requests"),
    }
}
