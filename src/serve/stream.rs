//! Server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{body::Body, http::StatusCode};
use futures::{Stream, StreamExt as _, stream};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{
    answer::{Answer, answer},
    feed::{Cursor, Feed, News, event_id},
};

/// A reader that is told nothing for so long is told just that: whoever has gone away shows.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events in one part of the body.
const BATCH: usize = 256;

/// One message.
pub(super) fn message(event: &str, id: Option<&str>, data: &str) -> String {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("event: {event}\n{id}data: {data}\n\n")
}

/// A body of messages, which takes one of the places for streams until it ends.
pub(super) fn body(
    parts: impl Stream<Item = String> + Send + 'static,
    place: OwnedSemaphorePermit,
) -> Answer {
    let parts = parts.map(move |part| {
        let _held = &place;
        Ok::<_, Infallible>(part)
    });
    answer(StatusCode::OK, "text/event-stream", Body::from_stream(parts))
}

/// A reader of the feed.
struct Reader {
    feed: Feed,
    cursor: Cursor,
    version: watch::Receiver<u64>,
}

/// What the feed tells from a cursor on, without an end. Of a reader that is slow nothing is kept: it is told later what the
/// feed still has.
pub(super) fn events(feed: Feed, cursor: Cursor) -> impl Stream<Item = String> + Send + 'static {
    let version = feed.subscribe();
    stream::unfold(Reader { feed, cursor, version }, |mut reader| async move {
        loop {
            reader.version.mark_unchanged();
            let news = reader.feed.news(&mut reader.cursor, BATCH);
            if !news.is_empty() {
                return Some((told(&news, &reader.cursor), reader));
            }
            match tokio::time::timeout(HEARTBEAT, reader.version.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some((":\n\n".to_owned(), reader)),
            }
        }
    })
}

fn told(news: &News, cursor: &Cursor) -> String {
    let run = cursor.run.as_deref().unwrap_or_default();
    let mut text = String::new();
    if let Some(run) = &news.run {
        text += &message("run", None, &json!({"run": run}).to_string());
    }
    for line in &news.lines {
        text += &message("event", Some(&event_id(run, line.seq)), &line.json);
    }
    if let Some(mode) = &news.mode {
        text += &message("mode", None, &json!({"mode": mode}).to_string());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;
    use crate::{
        event::{Event, EventKind, Sink as _},
        serve::{Mode, feed::cursor_of},
        time::Elapsed,
    };

    fn warning(seq: u64, message: &str) -> Event {
        Event { seq, at: Elapsed::ZERO, kind: EventKind::Warning { message: message.into() } }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_is_told_what_there_is_and_then_what_comes() {
        let feed = Feed::of("shop");
        let mut sink = feed.begin("r1");
        sink.emit(&warning(0, "a\nb")).unwrap();
        let mut stream = pin!(events(feed.clone(), Cursor::default()));
        insta::assert_snapshot!(stream.next().await.unwrap(), @r#"
        event: run
        data: {"run":"r1"}

        event: event
        id: r1:0
        data: {"seq":0,"at":0.0,"event":"warning","message":"a\nb"}

        event: mode
        data: {"mode":"running"}
        "#);
        // Nothing happens for a while.
        assert_eq!(stream.next().await.unwrap(), ":\n\n");
        sink.emit(&warning(1, "c")).unwrap();
        feed.set_mode(Mode::Down);
        insta::assert_snapshot!(stream.next().await.unwrap(), @r#"
        event: event
        id: r1:1
        data: {"seq":1,"at":0.0,"event":"warning","message":"c"}

        event: mode
        data: {"mode":"down"}
        "#);
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_everything_in_parts() {
        let feed = Feed::of("shop");
        let mut sink = feed.begin("r1");
        for seq in 0..600 {
            sink.emit(&warning(seq, "x")).unwrap();
        }
        let stream = events(feed, cursor_of("r1:99"));
        let parts: Vec<String> = stream.take(2).collect().await;
        let ids: Vec<&str> = parts.iter().flat_map(|part| part.matches("id: ")).collect();
        assert_eq!(ids.len(), 500);
        assert!(parts[0].starts_with("event: event\nid: r1:100\n"), "{}", &parts[0][..50]);
    }
}
