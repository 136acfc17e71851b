//! A way into a service that is ready which asks nobody: thousands of requests a second need not pass through one loop.
//!
//! While a gate is open whoever comes is counted and goes on. The loop is told when the first comes in and when the last
//! has left, and stands in between as one request for all of them. It closes the gate before it has the service
//! stopped, and what has come in until then is waited for.

use std::{
    net::IpAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::sync::{Notify, mpsc};

use super::handle::Message;
use crate::{ondemand::ServiceId, proxy::Serving};

/// One service's gate.
pub(super) struct Gate {
    service: ServiceId,
    open: AtomicBool,
    /// How many are inside.
    inside: AtomicUsize,
    /// Where the service is.
    address: RwLock<Option<IpAddr>>,
    left: Notify,
    inbox: mpsc::UnboundedSender<Message>,
}

impl Gate {
    /// A closed one.
    pub(super) fn new(service: ServiceId, inbox: mpsc::UnboundedSender<Message>) -> Self {
        Self {
            service,
            open: AtomicBool::new(false),
            inside: AtomicUsize::new(0),
            address: RwLock::new(None),
            left: Notify::new(),
            inbox,
        }
    }

    /// Goes in; `None`: it is closed.
    pub(super) fn enter(self: &Arc<Self>) -> Option<(IpAddr, Serving)> {
        // Counted first: whoever closes it sees either the count, or nobody who goes in later.
        let before = self.inside.fetch_add(1, Ordering::SeqCst);
        let address = self.address();
        let (true, Some(address)) = (self.open.load(Ordering::SeqCst), address) else {
            self.leave();
            return None;
        };
        if before == 0 {
            self.tell();
        }
        let gate = Arc::clone(self);
        Some((address, Serving::until(move || gate.leave())))
    }

    fn leave(&self) {
        if self.inside.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.tell();
            self.left.notify_waiters();
        }
    }

    /// An error means that the loop has ended.
    fn tell(&self) {
        self.inbox.send(Message::Passed(self.service)).ok();
    }

    /// How many are inside.
    pub(super) fn inside(&self) -> usize {
        self.inside.load(Ordering::SeqCst)
    }

    /// Where the service is, or was last.
    pub(super) fn address(&self) -> Option<IpAddr> {
        *self.address.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_address(&self, address: IpAddr) {
        *self.address.write().unwrap_or_else(PoisonError::into_inner) = Some(address);
    }

    pub(super) fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::SeqCst);
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    /// Waits until nobody is inside any more.
    pub(super) async fn emptied(&self) {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if self.inside() == 0 {
                return;
            }
            left.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn who_is_inside_is_waited_for() {
        let (inbox, mut told) = mpsc::unbounded_channel();
        let gate = Arc::new(Gate::new(ServiceId(3), inbox));
        gate.set_address([127, 0, 0, 1].into());
        assert!(gate.enter().is_none(), "it is closed");
        gate.set_open(true);
        let (first, second) = (gate.enter().unwrap().1, gate.enter().unwrap().1);
        gate.set_open(false);
        assert!(gate.enter().is_none());
        drop(first);
        assert_eq!((gate.inside(), gate.emptied().now_or_never()), (1, None));
        drop(second);
        assert_eq!(gate.emptied().now_or_never(), Some(()));
        drop(gate);
        let mut passed = 0;
        while let Some(Message::Passed(ServiceId(3))) = told.recv().await {
            passed += 1;
        }
        assert!(passed >= 2, "the first to come in and the last to leave are told");
    }
}
