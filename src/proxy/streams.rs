//! Streams of HTTP/2: each ends where its client takes nothing of its answer any more, and a connection where nothing is
//! asked on it. HTTP/1.1 has one answer for each connection, which breaks where it is not read.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, Version};
use http_body_util::BodyExt as _;
use hyper::{
    body::{Body, Frame, SizeHint},
    rt::Executor,
};

use super::{
    body::{AnyBody, Broken},
    limits::{HEAD, Motion, STALL},
};

/// No part of an answer is longer, in bytes: a client that has taken as much is seen to move.
const PART: usize = 16 << 10;

tokio::task_local! {
    /// The parts that the stream of this task hands to its client.
    static PARTS: Arc<Parts>;
}

/// The parts of an answer.
#[derive(Default)]
struct Parts {
    motion: Motion,
    /// The client was handed one that it has not taken yet.
    is_handed: AtomicBool,
}

impl Parts {
    fn set_handed(&self, is_handed: bool) {
        self.is_handed.store(is_handed, Ordering::Relaxed);
        self.motion.moved();
    }

    /// Waits until the client does not take what it was handed.
    async fn stops(&self) {
        self.motion.stops(|| self.is_handed.load(Ordering::Relaxed).then_some(STALL)).await;
    }
}

/// Has each stream go on by itself, until it ends or its client takes nothing of it any more: then it is reset.
#[derive(Clone)]
pub(super) struct Streams;

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let parts = Arc::<Parts>::default();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = PARTS.scope(Arc::clone(&parts), stream) => {}
                () = parts.stops() => tracing::debug!("a client takes nothing of an answer any more"),
            }
        });
    }
}

/// What is asked on a connection.
#[derive(Default)]
pub(super) struct Asked {
    motion: Motion,
    /// How much of it has not been answered whole.
    open: AtomicUsize,
    /// In HTTP/1.1: what is asked next is waited for elsewhere.
    is_http1: AtomicBool,
}

impl Asked {
    /// Waits until nothing has been asked for [`HEAD`].
    pub(super) async fn stops(&self) {
        let limit = || {
            let is_idle = !self.is_http1.load(Ordering::Relaxed) && self.open.load(Ordering::Relaxed) == 0;
            is_idle.then_some(HEAD)
        };
        self.motion.stops(limit).await;
    }

    /// Something is asked.
    pub(super) fn begin(self: &Arc<Self>, version: Version) -> Option<Asking> {
        if version != Version::HTTP_2 {
            self.is_http1.store(true, Ordering::Relaxed);
            return None;
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        self.motion.moved();
        Some(Asking(Arc::clone(self)))
    }
}

/// A request of HTTP/2, until the last part of its answer has passed.
pub(super) struct Asking(Arc<Asked>);

impl Asking {
    /// Its answer.
    pub(super) fn answered(self, answer: Response<AnyBody>) -> Response<AnyBody> {
        answer.map(|body| Handed { body, rest: Bytes::new(), _asking: self }.boxed_unsync())
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.motion.moved();
    }
}

/// A body that is handed to a client part by part. It is asked for the next one once the one before is taken.
struct Handed {
    body: AnyBody,
    /// What has come and was not handed on yet.
    rest: Bytes,
    _asking: Asking,
}

impl Body for Handed {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        set_handed(false);
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context))
                .map(|frame| frame.map(Frame::into_data))
            {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        set_handed(true);
        let length = self.rest.len().min(PART);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let mut hint = self.body.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

/// Nobody looks on where an answer is polled by something else than its stream.
fn set_handed(is_handed: bool) {
    PARTS.try_with(|parts| parts.set_handed(is_handed)).ok();
}
