//! Container logs beside a run: every container that comes up is followed until it ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::{StreamExt as _, future::select};
use tokio::{sync::mpsc, task::JoinSet, time::Duration};

use super::results::{Records, Source};
use crate::{
    engine::{Engine, LogLine, LogOptions},
    executor::Followed,
    journal::{Mask, from_rfc3339},
    report::{LogRecord, Reporter},
};

/// How long a reader pauses while too much waits to be written.
const PAUSE: Duration = Duration::from_millis(20);
/// Readers are not waited for any longer than this once the run is over.
const PATIENCE: Duration = Duration::from_secs(1);
/// The log of a container that goes on has been read when nothing has come for this long.
const SILENCE: Duration = Duration::from_millis(100);
/// Lines from before the run that are recorded of a container that was there.
const EARLIER: u64 = 100_000;

/// Reads the logs of containers that come up, until the run says that there are no more.
pub(super) struct Follow {
    pub(super) engine: Arc<dyn Engine>,
    /// Where they are shown.
    pub(super) shown: Option<Display>,
    /// Where they are kept.
    pub(super) recorded: Option<Recorded>,
    /// Containers go on when the run is over.
    pub(super) outlived: bool,
}

/// Where log lines are shown.
pub(super) struct Display {
    pub(super) reporter: Reporter,
    /// Services whose logs are left out.
    pub(super) hidden: BTreeSet<String>,
    /// Lines from before this moment are not shown: RFC 3339.
    pub(super) since: String,
}

/// Where log lines are kept.
#[derive(Clone)]
pub(super) struct Recorded {
    pub(super) records: Records,
    /// What must not stand there.
    pub(super) mask: Mask,
}

impl Follow {
    /// Runs until the sender is gone and every log has been read to its end.
    pub(super) async fn run(self, mut followed: mpsc::UnboundedReceiver<Followed>) {
        let outlived = self.outlived;
        let this = Arc::new(self);
        let read = Arc::new(AtomicUsize::new(0));
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
            if !this.is_wanted(&next) || !active.insert(next.container.clone()) {
                continue;
            }
            let since = last.get(&next.container).cloned();
            readers.spawn(Arc::clone(&this).read(next, since, Arc::clone(&read)));
        }
        // What is stopped has said its last words; a reader that still waits is not waited for.
        let all = pin!(async { while readers.join_next().await.is_some() {} });
        let patience = async {
            if outlived {
                drop(tokio::time::timeout(PATIENCE, silence(&read)).await);
            } else {
                tokio::time::sleep(PATIENCE).await;
            }
        };
        select(all, pin!(patience)).await;
    }

    fn is_shown(&self, followed: &Followed) -> bool {
        self.shown.as_ref().is_some_and(|shown| !shown.hidden.contains(&followed.replica.service))
    }

    fn is_wanted(&self, followed: &Followed) -> bool {
        self.recorded.is_some() || self.is_shown(followed)
    }

    /// Follows one container until it ends, from a moment on that it was read to. Which, and the time of its last line.
    async fn read(
        self: Arc<Self>,
        followed: Followed,
        seen: Option<String>,
        read: Arc<AtomicUsize>,
    ) -> (String, Option<String>) {
        let source = self.source(&followed).await;
        let shown = self.shown.as_ref().filter(|_| self.is_shown(&followed));
        let begin = shown.filter(|_| source.is_none()).map(|shown| shown.since.clone());
        let since = seen.clone().or(begin);
        let tail = (source.is_some() && since.is_none()).then_some(EARLIER);
        let options = LogOptions {
            follow: true,
            since: since.clone(),
            tail,
            timestamps: true,
            ..LogOptions::default()
        };
        let mut lines = self.engine.logs(&followed.container, &options);
        let mut last = seen.clone();
        while let Some(Ok(line)) = lines.next().await {
            read.fetch_add(1, Ordering::Relaxed);
            // The engine's `since` includes that very moment.
            if line.timestamp.is_some() && line.timestamp == since {
                continue;
            }
            last.clone_from(&line.timestamp);
            let kept = source.as_ref().is_none_or(|(recorded, source)| recorded.keep(source, &line));
            let told = shown.is_none_or(|shown| shown.tell(&followed, line));
            if !kept && !told {
                break;
            }
            while self.is_crowded() {
                tokio::time::sleep(PAUSE).await;
            }
        }
        (followed.container, last)
    }

    /// Where its lines are kept, and under which name.
    async fn source(&self, followed: &Followed) -> Option<(&Recorded, Arc<Source>)> {
        let recorded = self.recorded.as_ref()?;
        let detail = self.engine.inspect(&followed.container).await.ok().flatten();
        let name = detail.and_then(|detail| Some(detail.raw.get("Name")?.as_str()?.to_owned()));
        let container =
            name.map_or_else(|| followed.container.clone(), |n| n.trim_start_matches('/').to_owned());
        Some((recorded, Arc::new(Source { replica: followed.replica.clone(), container })))
    }

    fn is_crowded(&self) -> bool {
        self.shown.as_ref().is_some_and(|shown| shown.reporter.is_crowded())
            || self.recorded.as_ref().is_some_and(|recorded| recorded.records.is_crowded())
    }
}

impl Display {
    /// Shows a line that is none of an earlier run. False: nobody looks any more.
    fn tell(&self, followed: &Followed, line: LogLine) -> bool {
        let at = line.timestamp.as_deref().and_then(from_rfc3339);
        if let (Some(at), Some(since)) = (at, from_rfc3339(&self.since))
            && at < since
        {
            return true;
        }
        let (name, service) = (followed.replica.to_string(), followed.replica.service.clone());
        let LogLine { timestamp, text, .. } = line;
        self.reporter.log(LogRecord { name, service, timestamp, text }).is_ok()
    }
}

impl Recorded {
    /// Keeps a line. False: nobody keeps any more.
    fn keep(&self, source: &Arc<Source>, line: &LogLine) -> bool {
        let mut text = line.text.clone();
        self.mask.text(&mut text);
        self.records.line(source, text).is_ok()
    }
}

/// Until nothing has come for a while.
async fn silence(read: &AtomicUsize) {
    loop {
        let before = read.load(Ordering::Relaxed);
        tokio::time::sleep(SILENCE).await;
        if read.load(Ordering::Relaxed) == before {
            return;
        }
    }
}
