//! Bodies that pass through.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::{Serving, limits::Talk, upstream::Busy};

/// Why a body breaks off.
pub(super) type Broken = Box<dyn std::error::Error + Send + Sync>;

/// Any body.
pub(super) type AnyBody = UnsyncBoxBody<Bytes, Broken>;

/// Nothing.
pub(super) fn empty() -> AnyBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// All of it at once.
pub(super) fn whole(bytes: impl Into<Bytes>) -> AnyBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A service's answer: once its last byte has passed, or nobody reads it any more, the service is done with it.
pub(super) struct Answering {
    body: Incoming,
    serving: Option<Serving>,
    /// What it comes over.
    over: Option<Busy>,
    /// What it is a part of.
    talk: Option<Arc<Talk>>,
}

impl Answering {
    pub(super) fn new(body: Incoming, over: Option<Busy>, talk: Option<Arc<Talk>>, serving: Serving) -> Self {
        if let Some(talk) = &talk {
            talk.set_answers(true);
        }
        Self { body, serving: Some(serving), over, talk }
    }
}

impl Body for Answering {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let polled = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &polled {
            Some(Ok(_)) => self.talk.iter().for_each(|talk| talk.moved()),
            Some(Err(_)) => drop((self.serving.take(), self.over.take())),
            None => {
                self.serving = None;
                self.over.take().into_iter().for_each(Busy::over);
            }
        }
        Poll::Ready(polled.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(talk) = &self.talk {
            talk.set_answers(false);
        }
        if self.body.is_end_stream() {
            self.over.take().into_iter().for_each(Busy::over);
        }
    }
}
