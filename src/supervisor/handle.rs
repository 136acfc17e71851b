//! The way in: for requests, and for what is wanted by hand.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::sync::{mpsc, oneshot, watch};

use super::gate::Gate;
use crate::{
    ondemand::{Refusal, RequestId, ServiceId, ServiceStatus, State, Wait, Why},
    proxy::{Activation, Admission, Serving},
};

/// What the loop is told.
pub(super) enum Message {
    /// A request has come.
    Asked { request: RequestId, service: ServiceId, wait: Wait, answer: oneshot::Sender<Answer> },
    /// Its client is gone, or its last byte has passed.
    Ended(RequestId),
    /// Somebody has come into a service through its gate as the first, or left it as the last.
    Passed(ServiceId),
    /// Something is wanted by hand.
    Wanted(Command),
}

/// Where a service is and how long the request has waited for it, or why it is not passed on.
pub(super) type Answer = Result<(std::net::IpAddr, Duration), Refusal>;

/// What is wanted by hand.
#[derive(Debug)]
pub enum Command {
    /// To be loaded; answered when it is, or cannot be.
    Load(ServiceId, oneshot::Sender<Result<(), Refusal>>),
    /// To be unloaded; `true`: whatever it is answering.
    Unload(ServiceId, bool, oneshot::Sender<()>),
    /// To stay, or not any longer.
    Pin(ServiceId, bool, oneshot::Sender<()>),
    /// What every service is now.
    Status(oneshot::Sender<Vec<ServiceStatus>>),
    /// Why a service is as it is.
    Why(ServiceId, oneshot::Sender<Option<Why>>),
}

/// The way to a supervisor. Clones lead to the same.
#[derive(Clone)]
pub struct Handle {
    pub(super) inbox: mpsc::UnboundedSender<Message>,
    pub(super) states: watch::Receiver<BTreeMap<ServiceId, State>>,
    pub(super) requests: Arc<AtomicU64>,
    /// Of every service, by its number.
    pub(super) gates: Arc<[Arc<Gate>]>,
}

impl Handle {
    /// Hands a wish on. An error of its answer means that the supervisor has ended.
    pub fn want(&self, command: Command) {
        self.inbox.send(Message::Wanted(command)).ok();
    }
}

impl Activation for Handle {
    fn ask(&self, service: ServiceId, wait: Wait) -> BoxFuture<'static, Result<Admission, Refusal>> {
        if let Some((address, serving)) = self.gates.get(service.0 as usize).and_then(Gate::enter) {
            return std::future::ready(Ok(Admission { address, waited: Duration::ZERO, serving })).boxed();
        }
        let request = RequestId(self.requests.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        let inbox = self.inbox.clone();
        async move {
            if inbox.send(Message::Asked { request, service, wait, answer }).is_err() {
                return Err(Refusal::Unloaded);
            }
            // From here on somebody must be told when it is over, also when this future is dropped.
            let over = Serving::until(move || drop(inbox.send(Message::Ended(request))));
            let (address, waited) = answered.await.unwrap_or(Err(Refusal::Unloaded))?;
            Ok(Admission { address, waited, serving: over })
        }
        .boxed()
    }

    fn state(&self, service: ServiceId) -> Option<State> {
        self.states.borrow().get(&service).copied()
    }
}
