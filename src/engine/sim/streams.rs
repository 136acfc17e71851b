//! Events and logs, as they come.

use std::{pin::pin, sync::Arc};

use futures::{StreamExt as _, stream, stream::BoxStream};
use tokio::sync::mpsc;

use super::{container::SimLine, facts, world::Inner};
use crate::engine::{EngineError, EngineEvent, LogLine, LogOptions};

type LogResult = Result<LogLine, EngineError>;

/// Where a reader of a log stands.
struct Reader {
    inner: Arc<Inner>,
    id: String,
    options: LogOptions,
    next: usize,
}

impl Inner {
    /// What happens to a project's containers from now on.
    pub(super) fn listen(&self, project: &str) -> BoxStream<'static, Result<EngineEvent, EngineError>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.lock().listeners.push((project.to_owned(), sender));
        stream::unfold(receiver, |mut r| async { r.recv().await.map(|event| (Ok(event), r)) }).boxed()
    }

    /// A container's log, read when polled.
    pub(super) fn log(self: Arc<Self>, key: String, options: LogOptions) -> BoxStream<'static, LogResult> {
        let inner = self;
        stream::once(async move { Reader::open(inner, &key, options) })
            .flat_map(|opened| match opened {
                Ok(reader) => stream::unfold(reader, Reader::read).boxed(),
                Err(error) => stream::iter([Err(error)]).boxed(),
            })
            .boxed()
    }
}

impl Reader {
    fn open(inner: Arc<Inner>, key: &str, options: LogOptions) -> Result<Self, EngineError> {
        let (id, next) = {
            let world = inner.lock();
            let container = world.expect(key)?;
            let tail = options.tail.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
            (container.id.clone(), container.log.len().saturating_sub(tail))
        };
        Ok(Self { inner, id, options, next })
    }

    async fn read(mut self) -> Option<(LogResult, Self)> {
        loop {
            let inner = Arc::clone(&self.inner);
            let mut changed = pin!(inner.changed.notified());
            changed.as_mut().enable();
            let (line, running) = {
                let world = self.inner.lock();
                let container = world.containers.get(&self.id);
                let line = container.and_then(|c| c.log.get(self.next).cloned());
                (line, container.is_some_and(super::container::SimContainer::is_running))
            };
            if let Some(line) = line {
                self.next += 1;
                if self.wants(&line) {
                    return Some((Ok(self.shown(line)), self));
                }
            } else if !self.options.follow || !running {
                return None;
            } else {
                changed.await;
            }
        }
    }

    fn wants(&self, line: &SimLine) -> bool {
        let o = &self.options;
        o.since.as_ref().is_none_or(|s| facts::not_before(line.at, s))
            && o.until.as_ref().is_none_or(|u| !facts::not_before(line.at, u))
    }

    fn shown(&self, line: SimLine) -> LogLine {
        let timestamp = self.options.timestamps.then(|| facts::rfc3339(line.at));
        LogLine { stderr: line.stderr, timestamp, text: line.text }
    }
}
