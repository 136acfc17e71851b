//! What a container's log says since its start: whether a line matches, and how far it says that it is.

use std::time::Duration;

use futures::{StreamExt, stream::BoxStream};
use regex::Regex;
use tokio::time::{Instant, timeout_at};

use super::prober::Answer;
use crate::{
    engine::{Engine, EngineError, LogLine, LogOptions},
    health::Movement,
    plan::ContainerDetail,
};

/// What follows a movement this closely is taken together with it.
const TOGETHER: Duration = Duration::from_millis(250);

type Lines = BoxStream<'static, Result<LogLine, EngineError>>;

/// The log from the container's start on.
fn lines(engine: &dyn Engine, detail: &ContainerDetail, follow: bool) -> Lines {
    // Not from `started_at`: the engine notes it after the process has begun, and perhaps after its first lines.
    // Nothing is logged between the end of the run before and that; engines write the year 1 where there was none.
    let ended = Some(&detail.finished_at).filter(|ended| !ended.is_empty() && !ended.starts_with("0001-"));
    engine.logs(&detail.id, &LogOptions { follow, since: ended.cloned(), ..LogOptions::default() })
}

/// Follows the log from the container's start until a line matches; the caller's timeout ends it.
pub(super) async fn ask(engine: &dyn Engine, detail: &ContainerDetail, pattern: &str) -> Answer {
    let pattern = match Regex::new(pattern) {
        Ok(pattern) => pattern,
        Err(error) => return Answer::new(false, error.to_string()),
    };
    let mut lines = lines(engine, detail, true);
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

/// How far a container says that it is, as its log says it.
pub struct Movements {
    lines: Lines,
    pattern: Regex,
    last: Option<String>,
}

impl Movements {
    /// Those in the log of a container since its start; `None`: the pattern is none.
    pub fn of(engine: &dyn Engine, detail: &ContainerDetail, pattern: &str) -> Option<Self> {
        let pattern = Regex::new(pattern).ok()?;
        Some(Self { lines: lines(engine, detail, true), pattern, last: None })
    }

    /// The next one that differs from the one before; of several at once the last. `None`: the log has ended.
    pub async fn next(&mut self) -> Option<Movement> {
        let mut movement = self.read().await?;
        let until = Instant::now() + TOGETHER;
        while let Ok(Some(later)) = timeout_at(until, self.read()).await {
            movement = later;
        }
        Some(movement)
    }

    async fn read(&mut self) -> Option<Movement> {
        loop {
            let line = self.lines.next().await?.ok()?;
            if let Some(movement) = said(&self.pattern, &line.text)
                && self.last.as_ref() != Some(&movement.value)
            {
                self.last = Some(movement.value.clone());
                return Some(movement);
            }
        }
    }
}

/// How far a container said last that it is.
pub async fn last_movement(engine: &dyn Engine, detail: &ContainerDetail, pattern: &str) -> Option<Movement> {
    let pattern = Regex::new(pattern).ok()?;
    let lines = lines(engine, detail, false).filter_map(|line| async { line.ok() });
    lines
        .filter_map(|line| std::future::ready(said(&pattern, &line.text)))
        .fold(None, |_, m| async { Some(m) })
        .await
}

/// What a line says: of several matches the last, as where a bar is drawn over and over. Its value is the first group
/// that takes part, or all of it.
fn said(pattern: &Regex, line: &str) -> Option<Movement> {
    let found = pattern.captures_iter(line).last()?;
    let whole = found.get(0)?.as_str();
    let value = found.iter().skip(1).flatten().next().map_or(whole, |group| group.as_str());
    Some(Movement { value: value.to_owned(), text: super::answer::short(whole) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        for (pattern, line, value, text) in [
            (r"loaded (\d+)%", "model loaded 42% so far", "42", "loaded 42%"),
            (r"(\d+)%", "\r 10%|#\r 20%|##", "20", "20%"),
            (r"(\d+)%|took", "it took 3s", "took", "took"),
            ("shard ready", "shard ready", "shard ready", "shard ready"),
        ] {
            let movement = said(&Regex::new(pattern).unwrap(), line).unwrap();
            assert_eq!((movement.value.as_str(), movement.text.as_str()), (value, text), "{line}");
        }
        assert_eq!(said(&Regex::new("x").unwrap(), "y"), None);
    }
}
