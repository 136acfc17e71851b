//! A container's log, read on until it says how far the container is.

use std::sync::Arc;

use crate::{
    engine::Engine, health::Movement, plan::ContainerDetail, probe::Movements, scheduler::FollowOrder,
};

/// The rest of a log; `None`: it could not be opened.
pub(super) type Log = Option<Movements>;

/// A reading, with what it needs.
pub(super) struct FollowTask {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) order: FollowOrder,
    pub(super) detail: Option<Arc<ContainerDetail>>,
    /// Where the last reading stopped; `None`: this is the first.
    pub(super) log: Option<Log>,
}

impl FollowTask {
    /// What the log says next, and the rest of it. Over at the latest when no movement counts any more.
    pub(super) async fn run(self) -> (Option<Movement>, Log) {
        let FollowOrder { progress, container, .. } = &self.order;
        let log = if let Some(log) = self.log {
            log
        } else {
            let detail = match self.detail {
                Some(detail) => Some(detail),
                None => self.engine.inspect(container).await.ok().flatten().map(Arc::new),
            };
            detail.and_then(|detail| Movements::of(self.engine.as_ref(), &detail, &progress.log))
        };
        let Some(mut log) = log else { return (None, None) };
        let movement = tokio::time::timeout(progress.at_most, log.next()).await.ok().flatten();
        (movement, Some(log))
    }
}
