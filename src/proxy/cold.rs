//! What a client that does not merely wait gets while a service is not ready: a page that asks again, or a stream of
//! events that says so in comments, which every reader of such streams passes over.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{FutureExt as _, Stream, StreamExt as _, future::BoxFuture, stream::unfold};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;

use super::{
    answer::Problem,
    body::{AnyBody, Broken, whole},
    http::Door,
    pass::{From, pass},
    site::Entry,
    tenant::Place,
};
use crate::ondemand::{Refusal, Wait};

/// Between two comments. Clients and proxies that give up on a silent connection do so after 15 s or more.
const COMMENT: Duration = Duration::from_secs(5);

/// A page that asks again by itself.
pub(super) fn page(service: &str, refusal: &Refusal) -> Response<AnyBody> {
    let seconds = refusal.retry_after().unwrap_or(Duration::from_secs(1)).as_secs().clamp(1, 10);
    let name = escaped(service);
    let text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"refresh\" content=\"{seconds}\">\n<title>{name} is starting</title>\n\
         <style>:root{{color-scheme:light dark}}body{{font:1.1rem system-ui;margin:20vh auto;max-width:30rem;\
         padding:0 1rem}}</style>\n<h1>{name} is starting</h1>\n\
         <p role=\"status\">{}. This page asks again every {seconds} s.</p>\n</html>\n",
        escaped(&refusal.to_string()),
    );
    let mut answer = Response::new(whole(text));
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

type Chunk = Result<Frame<Bytes>, Broken>;

/// Where a stream is.
enum Stage {
    /// The service is not ready. A comment is due at once, so that the client sees the stream begin.
    Waiting {
        answer: BoxFuture<'static, Result<Response<AnyBody>, Problem>>,
        first: bool,
    },
    /// Its answer is passed on.
    Passing(AnyBody),
    Over,
}

/// An answer that begins at once and says that the service is being loaded until it has one of its own.
pub(super) fn stream(
    door: Arc<Door>,
    entry: Arc<Entry>,
    request: Request<AnyBody>,
    from: From,
    place: Option<Place>,
) -> Response<AnyBody> {
    let name = entry.name.clone();
    let mut request = request;
    // Its head is sent before the service's: nothing could say that what follows is compressed.
    request.headers_mut().remove(header::ACCEPT_ENCODING);
    let answer = async move {
        let refused = |refusal| Problem::Refused { service: entry.name.clone(), refusal };
        let mut admission = door.activation.ask(entry.service, Wait::Held(None)).await.map_err(refused)?;
        admission.serving.keep(place);
        pass(&door.upstream, &entry, request, &from, admission).await
    };
    let stages = Stage::Waiting { answer: answer.boxed(), first: true };
    let mut answer = Response::new(StreamBody::new(chunks(name, stages)).boxed_unsync());
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    headers.insert("x-orch-cold-start", HeaderValue::from_static("1"));
    answer
}

fn chunks(name: String, stage: Stage) -> impl Stream<Item = Chunk> + Send {
    unfold((name, stage), |(name, stage)| async move {
        let (chunk, next) = match stage {
            Stage::Waiting { answer, first: true } => {
                (Ok(comment(&name)), Stage::Waiting { answer, first: false })
            }
            Stage::Waiting { mut answer, first: false } => {
                tokio::select! {
                    biased;
                    answered = &mut answer => match begun(answered).await {
                        Ok((chunk, rest)) => (chunk, Stage::Passing(rest)),
                        Err(last) => (Ok(last), Stage::Over),
                    },
                    () = tokio::time::sleep(COMMENT) => (Ok(comment(&name)), Stage::Waiting { answer, first: false }),
                }
            }
            Stage::Passing(mut body) => match body.frame().await? {
                Ok(frame) => (Ok(frame), Stage::Passing(body)),
                Err(error) => (Err(error), Stage::Over),
            },
            Stage::Over => return None,
        };
        Some((chunk, (name, next)))
    })
    .fuse()
}

/// The first part of a service's answer and the rest of it, or the words about why there is none: the status line
/// was sent long ago.
async fn begun(answered: Result<Response<AnyBody>, Problem>) -> Result<(Chunk, AnyBody), Frame<Bytes>> {
    let answer = answered.map_err(|problem| error(&problem.openai().to_string()))?;
    if !answer.status().is_success() {
        return Err(error(&text(answer.into_body()).await));
    }
    let mut body = answer.into_body();
    match body.frame().await {
        Some(frame) => Ok((frame, body)),
        None => Err(data("")),
    }
}

/// The beginning of a body as one line.
async fn text(mut body: AnyBody) -> String {
    const MOST: usize = 64 << 10;
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        bytes.extend(frame.into_data().unwrap_or_default());
        if bytes.len() > MOST {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).replace(['\r', '\n'], " ")
}

fn comment(name: &str) -> Frame<Bytes> {
    data(&format!(": {name} is being loaded\n\n"))
}

fn error(json: &str) -> Frame<Bytes> {
    data(&format!("event: error\ndata: {json}\n\n"))
}

fn data(text: &str) -> Frame<Bytes> {
    Frame::data(Bytes::from(text.to_owned()))
}
