//! The streams of a simulated container: its log as it grows, and an input whose lines it repeats.

use std::{
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use tokio::io::AsyncWrite;

use super::{container::SimLine, world::Inner};
use crate::engine::{Attached, EngineError, LogOptions, OutputChunk};

impl Inner {
    /// Opens the streams of a container that runs, or is about to.
    pub(super) fn streams(self: Arc<Self>, key: &str) -> Result<Attached, EngineError> {
        let (id, began) = {
            let world = self.lock();
            let container = world.expect(key)?;
            (container.id.clone(), container.log.len())
        };
        let input = Input { inner: Arc::clone(&self), id: id.clone(), line: Vec::new() };
        let inner = Arc::clone(&self);
        let runs = async move {
            // Streams of a container that has not been started wait for its start.
            let waits = |inner: &Inner| inner.lock().containers.get(&id).is_some_and(|c| c.started.is_none());
            loop {
                let mut changed = pin!(inner.changed.notified());
                changed.as_mut().enable();
                if !waits(&inner) {
                    break;
                }
                changed.await;
            }
            let options = LogOptions { follow: true, ..LogOptions::default() };
            inner.log(id, options).skip(began)
        };
        let chunk = |line: Result<crate::engine::LogLine, EngineError>| {
            line.map(|line| OutputChunk { stderr: line.stderr, bytes: Bytes::from(line.text + "\n") })
        };
        let output = stream::once(runs).flatten().map(chunk).boxed();
        Ok(Attached { output, input: Box::pin(input) })
    }
}

/// What is written to a container.
struct Input {
    inner: Arc<Inner>,
    id: String,
    /// An unfinished line.
    line: Vec<u8>,
}

impl Input {
    /// A container that repeats its input says a line; others do not read theirs.
    fn say(&mut self) {
        let text = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        let at = self.inner.now();
        let mut world = self.inner.lock();
        if let Some(container) = world.containers.get_mut(&self.id).filter(|c| c.behaviour.repeats_input) {
            container.log.push(SimLine { at, stderr: false, text });
        }
        self.inner.changed.notify_waiters();
    }
}

impl AsyncWrite for Input {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        for byte in bytes {
            match byte {
                b'\n' => self.say(),
                other => self.line.push(*other),
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The end of its input is the end of a container that repeats it.
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.line.is_empty() {
            self.say();
        }
        let mut world = self.inner.lock();
        if world.containers.get(&self.id).is_some_and(|c| c.behaviour.repeats_input) {
            Inner::die(&self.inner, &mut world, &self.id, 0, false);
        }
        Poll::Ready(Ok(()))
    }
}
