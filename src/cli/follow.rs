//! Container logs beside a run: every container that comes up is followed until it ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::StreamExt as _;
use tokio::{sync::mpsc, task::JoinSet, time::Duration};

use crate::{
    engine::{Engine, LogLine, LogOptions},
    executor::Followed,
    report::{LogRecord, Reporter},
};

/// How long a reader pauses while too much waits to be written.
const PAUSE: Duration = Duration::from_millis(20);

/// Shows the logs of containers that come up, until the run says that there are no more.
pub(super) struct Follow {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) reporter: Reporter,
    /// Services whose logs are left out.
    pub(super) hidden: BTreeSet<String>,
    /// Lines from before this moment are not shown: RFC 3339.
    pub(super) since: String,
}

impl Follow {
    /// Runs until the sender is gone and every log has been read to its end.
    pub(super) async fn run(self, mut followed: mpsc::UnboundedReceiver<Followed>) {
        let mut readers: JoinSet<(String, Option<String>)> = JoinSet::new();
        let mut last: BTreeMap<String, String> = BTreeMap::new();
        let mut active: BTreeSet<String> = BTreeSet::new();
        while let Some(next) = followed.recv().await {
            while let Some(ended) = readers.try_join_next() {
                if let Ok((container, seen)) = ended {
                    active.remove(&container);
                    last.extend(seen.map(|seen| (container, seen)));
                }
            }
            if self.hidden.contains(&next.replica.service) || !active.insert(next.container.clone()) {
                continue;
            }
            let since = last.get(&next.container).cloned().unwrap_or_else(|| self.since.clone());
            readers.spawn(read(Arc::clone(&self.engine), self.reporter.clone(), next, since));
        }
        // What is stopped has said its last words; a reader that still waits is not waited for.
        drop(
            tokio::time::timeout(Duration::from_secs(1), async {
                while readers.join_next().await.is_some() {}
            })
            .await,
        );
    }
}

/// Follows one container until it ends. Which, and the time of its last line.
async fn read(
    engine: Arc<dyn Engine>,
    reporter: Reporter,
    followed: Followed,
    since: String,
) -> (String, Option<String>) {
    let options =
        LogOptions { follow: true, since: Some(since.clone()), timestamps: true, ..LogOptions::default() };
    let mut lines = engine.logs(&followed.container, &options);
    let name = followed.replica.to_string();
    let mut last = None;
    while let Some(Ok(LogLine { timestamp, text, .. })) = lines.next().await {
        // The engine's `since` includes that very moment.
        if timestamp.as_deref() == Some(since.as_str()) {
            continue;
        }
        last.clone_from(&timestamp);
        let record =
            LogRecord { name: name.clone(), service: followed.replica.service.clone(), timestamp, text };
        if reporter.log(record).is_err() {
            break;
        }
        while reporter.is_crowded() {
            tokio::time::sleep(PAUSE).await;
        }
    }
    (followed.container, last)
}
