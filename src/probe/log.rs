//! Whether a line of the container's log matches, since its start.

use futures::StreamExt;
use regex::Regex;

use super::prober::Answer;
use crate::{
    engine::{Engine, LogOptions},
    plan::ContainerDetail,
};

/// Follows the log from the container's start until a line matches; the caller's timeout ends it.
pub(super) async fn ask(engine: &dyn Engine, detail: &ContainerDetail, pattern: &str) -> Answer {
    let pattern = match Regex::new(pattern) {
        Ok(pattern) => pattern,
        Err(error) => return Answer::new(false, error.to_string()),
    };
    // Not from `started_at`: the engine notes it after the process has begun, and perhaps after its first lines.
    // Nothing is logged between the end of the run before and that; engines write the year 1 where there was none.
    let ended = Some(&detail.finished_at).filter(|ended| !ended.is_empty() && !ended.starts_with("0001-"));
    let since = ended.cloned();
    let options = LogOptions { follow: true, since, ..LogOptions::default() };
    let mut lines = engine.logs(&detail.id, &options);
    while let Some(line) = lines.next().await {
        match line {
            Ok(line) if pattern.is_match(&line.text) => {
                return Answer::new(true, format!("logged: {}", super::answer::short(&line.text)));
            }
            Ok(_) => {}
            Err(error) => return Answer::new(false, error.to_string()),
        }
    }
    Answer::new(false, "the log ended without a line that matches")
}
