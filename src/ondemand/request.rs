//! Requests: how each is answered.

use std::{collections::VecDeque, time::Duration};

use super::{
    input::{Change, Effect, Refusal, RequestId, ServiceId, Wait},
    machine::Machine,
    service::{Drain, Phase, Waiter, Waiting, Want},
    spec::Abandon,
};
use crate::project::Load;

impl Machine {
    pub(super) fn asked(&mut self, request: RequestId, service: ServiceId, wait: Wait) {
        if self.requests.contains_key(&request) {
            return;
        }
        let Some(run) = self.services.get(&service) else {
            return self.out.push(Effect::Refuse { request, refusal: Refusal::Unknown });
        };
        match &run.phase {
            Phase::Ready(_) => return self.serve(request, service),
            Phase::Draining(_, Drain::Idle) => {
                self.resume(service, "it was asked again");
                return self.serve(request, service);
            }
            _ => {}
        }
        if let Some(refusal) = self.refused_at_once(service, wait) {
            return self.refuse(request, service, refusal);
        }
        let (now, limit) = (self.now, self.longest_wait(service));
        let Some(run) = self.services.get_mut(&service) else { return };
        match wait {
            Wait::Held(most) => {
                let until = now + most.map_or(limit, |most| most.min(limit));
                run.waiters.push_back(Waiter { request, since: now, until });
                self.requests.insert(request, service);
            }
            Wait::ComeAgain | Wait::OnlyIfReady => {
                let since = run.want.map_or(now, |want| want.since);
                run.want = Some(Want { since, until: now + limit });
                let retry_after = self.retry_after(service);
                self.refuse(request, service, Refusal::Loading { retry_after });
            }
        }
        self.wanted(service, "it was asked for");
    }

    /// Why a request to what is not ready is not even held.
    fn refused_at_once(&mut self, service: ServiceId, wait: Wait) -> Option<Refusal> {
        let run = self.services.get(&service)?;
        if wait == Wait::OnlyIfReady {
            return Some(Refusal::NotLoaded);
        }
        let comes = matches!(run.phase, Phase::Loading(_) | Phase::Waiting(_));
        if !comes {
            if let Some(message) = self.never_fits(run) {
                let refusal = Refusal::NeverFits { message: message.clone() };
                if matches!(run.phase, Phase::Cold | Phase::Failed) {
                    self.enter(service, Phase::Blocked(message.clone()), Change::Blocked, message);
                }
                return Some(refusal);
            }
            if let Phase::Stuck(stuck) = &run.phase {
                let retry_after = stuck.again.since(self.now).max(Duration::from_secs(1));
                let message = "what ran of it does not stop".to_owned();
                return Some(Refusal::Failed { message, retry_after });
            }
            if let Some(trouble) = run.left_alone(self.now) {
                let retry_after = trouble.until.since(self.now);
                return Some(Refusal::Failed { message: trouble.message.clone(), retry_after });
            }
            if run.spec.load == Load::Manual && run.want.is_none() {
                return Some(Refusal::NotLoaded);
            }
        }
        let limit = run.spec.queue;
        (matches!(wait, Wait::Held(_)) && run.waiters.len() >= limit as usize)
            .then(|| Refusal::QueueFull { limit, retry_after: self.retry_after(service) })
    }

    /// A wish ends after this time.
    pub(super) fn longest_wait(&self, service: ServiceId) -> Duration {
        self.services.get(&service).map_or(Duration::ZERO, |run| run.spec.max_wait)
    }

    /// What nobody wanted before waits for room now; else it is as it was.
    pub(super) fn wanted(&mut self, service: ServiceId, reason: &str) {
        let Some(run) = self.services.get(&service) else { return };
        if matches!(run.phase, Phase::Cold | Phase::Failed) {
            let waiting = Waiting { reason: "its turn".to_owned(), ..Waiting::default() };
            self.enter(service, Phase::Waiting(waiting), Change::Waiting, reason);
        }
    }

    pub(super) fn ended(&mut self, request: RequestId) {
        let Some(service) = self.requests.remove(&request) else { return };
        let Some(run) = self.services.get_mut(&service) else { return };
        if run.in_flight.remove(&request) {
            if let Phase::Ready(resident) | Phase::Draining(resident, _) = &mut run.phase {
                resident.idle_since = self.now;
            }
            return;
        }
        run.waiters.retain(|waiter| waiter.request != request);
        self.left_alone(service);
    }

    /// Nobody may want it any more.
    pub(super) fn left_alone(&mut self, service: ServiceId) {
        let Some(run) = self.services.get(&service) else { return };
        if run.is_wanted() {
            return;
        }
        match &run.phase {
            Phase::Waiting(_) => {
                self.drop_plan(service, "nobody wants it any more");
                self.enter(service, Phase::Cold, Change::Cold, "nobody wants it any more");
            }
            Phase::Loading(loading) if run.spec.abandon == Abandon::Cancel && !loading.adopted => {
                self.unload(service, true, "nobody waits for it any more");
            }
            _ => {}
        }
    }

    pub(super) fn serving(&mut self, request: RequestId, service: ServiceId) {
        if self.requests.contains_key(&request) {
            return;
        }
        if let Some(run) = self.services.get_mut(&service)
            && matches!(run.phase, Phase::Ready(_) | Phase::Draining(..))
        {
            run.in_flight.insert(request);
            self.requests.insert(request, service);
        }
    }

    fn serve(&mut self, request: RequestId, service: ServiceId) {
        self.requests.insert(request, service);
        if let Some(run) = self.services.get_mut(&service) {
            run.in_flight.insert(request);
        }
        self.out.push(Effect::Serve { request, service });
    }

    /// Passes on everything that waits for what is ready.
    pub(super) fn serve_all(&mut self, service: ServiceId) {
        let Some(run) = self.services.get_mut(&service) else { return };
        run.want = None;
        for waiter in std::mem::take(&mut run.waiters) {
            self.serve(waiter.request, service);
        }
    }

    /// Answers a request with an error.
    pub(super) fn refuse(&mut self, request: RequestId, service: ServiceId, refusal: Refusal) {
        self.requests.remove(&request);
        if let Some(run) = self.services.get_mut(&service) {
            run.past.insert(Change::Refused, (self.now, refusal.to_string()));
        }
        self.out.push(Effect::Refuse { request, refusal });
    }

    /// Answers everything that waits with an error; nobody wants it any more.
    pub(super) fn refuse_all(&mut self, service: ServiceId, refusal: &Refusal) {
        let Some(run) = self.services.get_mut(&service) else { return };
        run.want = None;
        for waiter in std::mem::take(&mut run.waiters) {
            self.refuse(waiter.request, service, refusal.clone());
        }
    }

    /// Refuses those whose time is over.
    pub(super) fn refuse_late(&mut self, service: ServiceId) {
        let now = self.now;
        let Some(run) = self.services.get_mut(&service) else { return };
        let is_late = |waiter: &Waiter| waiter.until <= now;
        let was_wanted = run.is_wanted();
        if run.want.is_some_and(|want| want.until <= now) {
            run.want = None;
        }
        if run.waiters.iter().any(is_late) {
            let (late, rest): (VecDeque<Waiter>, _) =
                std::mem::take(&mut run.waiters).into_iter().partition(is_late);
            run.waiters = rest;
            let reason = self.waits_for(service);
            let retry_after = self.retry_after(service);
            for Waiter { request, since, .. } in late {
                let waited = now.since(since);
                let refusal = Refusal::TooLate { waited, reason: reason.clone(), retry_after };
                self.refuse(request, service, refusal);
            }
        }
        if was_wanted {
            self.left_alone(service);
        }
    }

    pub(super) fn load_by_hand(&mut self, service: ServiceId) {
        let (now, limit) = (self.now, self.longest_wait(service));
        let Some(run) = self.services.get_mut(&service) else { return };
        if let Some(trouble) = &mut run.trouble {
            trouble.until = now;
        }
        match &mut run.phase {
            Phase::Ready(resident) => resident.idle_since = now,
            Phase::Draining(resident, Drain::Idle | Drain::Hand(_)) => {
                resident.idle_since = now;
                self.resume(service, "it is wanted by hand");
            }
            Phase::Stuck(_) => {}
            Phase::Blocked(_) => {
                let words = self.waits_for(service);
                self.tell(service, Change::Blocked, words);
            }
            _ => {
                let since = run.want.map_or(now, |want| want.since);
                run.want = Some(Want { since, until: now + limit });
                self.wanted(service, "it is wanted by hand");
            }
        }
    }
}
