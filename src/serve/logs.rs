//! Logs of one service, as they are written.

use std::{collections::BTreeSet, sync::Arc};

use futures::{Stream, StreamExt, stream};
use serde_json::json;

use super::{feed::Feed, stream::HEARTBEAT, stream::message};
use crate::{
    engine::{Engine, LogLine, LogOptions},
    journal::Mask,
    plan::Container,
};

/// What is read of which containers.
pub(super) struct Wanted {
    pub(super) service: String,
    pub(super) containers: Vec<Container>,
    pub(super) options: LogOptions,
}

/// Lines as messages whose IDs are their times, and a last one when nothing more comes: every container has ended, or
/// the service has another one now.
pub(super) fn lines(
    engine: &Arc<dyn Engine>,
    feed: &Feed,
    mask: &Mask,
    wanted: Wanted,
) -> impl Stream<Item = String> + Send + 'static {
    let Wanted { service, containers, options } = wanted;
    let after = options.since.clone();
    let logs = containers.iter().map(|container| {
        let name = format!("{service}-{}", container.number());
        let (mask, after) = (mask.clone(), after.clone());
        engine.logs(&container.id, &options).filter_map(move |line| {
            // The engine's `since` includes that very moment.
            let told =
                line.ok().filter(|line| line.timestamp != after).map(|line| line_of(&name, line, &mask));
            std::future::ready(told)
        })
    });
    let logs = stream::select_all(logs.map(StreamExt::boxed));
    let mut known: BTreeSet<String> = containers.into_iter().map(|container| container.id).collect();
    // Those that are gone already are not waited for.
    known.extend(feed.containers(&service));
    let replaced = {
        let (feed, mut version) = (feed.clone(), feed.subscribe());
        async move {
            while feed.containers(&service).is_subset(&known) {
                if version.changed().await.is_err() {
                    break;
                }
            }
        }
    };
    let quiet = stream::unfold((), |()| async {
        tokio::time::sleep(HEARTBEAT).await;
        Some((":\n\n".to_owned(), ()))
    });
    let logs = logs.map(Some).chain(stream::once(std::future::ready(None)));
    // A heartbeat alone keeps nothing going.
    let both = stream::select(logs, quiet.map(Some));
    let end = stream::once(async { message("end", None, "{}") });
    both.take_while(|part| std::future::ready(part.is_some()))
        .filter_map(std::future::ready)
        .take_until(Box::pin(replaced))
        .chain(end)
}

fn line_of(name: &str, line: LogLine, mask: &Mask) -> String {
    let LogLine { stderr, timestamp, mut text } = line;
    mask.text(&mut text);
    let data = json!({"container": name, "time": timestamp, "stderr": stderr, "text": text});
    message("line", timestamp.as_deref(), &data.to_string())
}
