//! A container's log, in whole lines.

use std::collections::VecDeque;

use bollard::{Docker, container::LogOutput, query_parameters::LogsOptions};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream, stream::BoxStream};

use super::{error::classify, timestamp};
use crate::engine::{EngineError, LogLine, LogOptions};

/// Lines as the engine has them. The engine takes whole seconds, so the rest of `since` is compared here.
pub(super) fn logs(
    docker: &Docker,
    container: &str,
    options: &LogOptions,
) -> BoxStream<'static, Result<LogLine, EngineError>> {
    let since = options.since.as_deref().and_then(moment);
    let until = options.until.as_deref().and_then(moment);
    let exact = since.is_some_and(|n| n % 1_000_000_000 != 0);
    let query = LogsOptions {
        follow: options.follow,
        stdout: true,
        stderr: true,
        since: since.map(seconds).unwrap_or_default(),
        until: until.map(|n| seconds(n.saturating_add(999_999_999))).unwrap_or_default(),
        timestamps: options.timestamps || exact,
        tail: options.tail.map_or_else(|| "all".to_owned(), |n| n.to_string()),
    };
    let splitter = Splitter { stamped: query.timestamps, ..Splitter::default() };
    let source = docker.logs(container, Some(query)).boxed();
    let lines = stream::unfold((source, splitter, false), |(mut source, mut splitter, ended)| async move {
        loop {
            if let Some(line) = splitter.ready.pop_front() {
                return Some((Ok(line), (source, splitter, ended)));
            }
            if ended {
                return None;
            }
            match source.next().await {
                Some(Ok(chunk)) => splitter.take(chunk),
                Some(Err(error)) => return Some((Err(classify(error)), (source, splitter, true))),
                None => {
                    splitter.finish();
                    if splitter.ready.is_empty() {
                        return None;
                    }
                    return splitter.ready.pop_front().map(|line| (Ok(line), (source, splitter, true)));
                }
            }
        }
    });
    let keep_stamps = options.timestamps;
    let first = since.filter(|_| exact);
    lines
        .filter_map(move |line| {
            let kept = match line {
                Ok(line) if is_before(&line, first) => None,
                Ok(line) if keep_stamps => Some(Ok(line)),
                Ok(line) => Some(Ok(LogLine { timestamp: None, ..line })),
                Err(error) => Some(Err(error)),
            };
            std::future::ready(kept)
        })
        .boxed()
}

fn is_before(line: &LogLine, first: Option<i64>) -> bool {
    let at = line.timestamp.as_deref().and_then(timestamp::nanos);
    first.zip(at).is_some_and(|(first, at)| at < first)
}

/// RFC 3339 or seconds since the epoch, in nanoseconds.
fn moment(text: &str) -> Option<i64> {
    if let Some(nanos) = timestamp::nanos(text) {
        return Some(nanos);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction: i64 = format!("{:0<9}", fraction.get(..9).unwrap_or(fraction)).parse().ok()?;
    whole.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(fraction)
}

fn seconds(nanos: i64) -> i32 {
    i32::try_from(nanos / 1_000_000_000).unwrap_or(i32::MAX)
}

/// Puts chunks together to lines: a line longer than the engine's buffer comes in several chunks, each with its own
/// time, and only the last one ends in a line end.
#[derive(Debug, Default)]
struct Splitter {
    stamped: bool,
    partial: [Partial; 2],
    ready: VecDeque<LogLine>,
}

/// The beginning of a line.
#[derive(Debug, Default)]
struct Partial {
    text: BytesMut,
    timestamp: Option<String>,
}

impl Splitter {
    fn take(&mut self, chunk: LogOutput) {
        let (stderr, message) = match chunk {
            LogOutput::StdErr { message } => (true, message),
            LogOutput::StdOut { message } | LogOutput::StdIn { message } | LogOutput::Console { message } => {
                (false, message)
            }
        };
        let message = self.unstamp(stderr, message);
        let mut rest = message.as_ref();
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            self.partial[usize::from(stderr)].text.extend_from_slice(&rest[..end]);
            self.emit(stderr);
            rest = &rest[end + 1..];
        }
        self.partial[usize::from(stderr)].text.extend_from_slice(rest);
    }

    /// Takes the time off a chunk's beginning; the line has the time of its first chunk.
    fn unstamp(&mut self, stderr: bool, message: Bytes) -> Bytes {
        if !self.stamped {
            return message;
        }
        let Some(end) = message.iter().position(|b| *b == b' ' || *b == b'\n') else { return message };
        let stamp = String::from_utf8_lossy(&message[..end]).into_owned();
        if timestamp::nanos(&stamp).is_none() {
            return message;
        }
        self.partial[usize::from(stderr)].timestamp.get_or_insert(stamp);
        message.slice(end + usize::from(message[end] == b' ')..)
    }

    fn emit(&mut self, stderr: bool) {
        let Partial { text, timestamp } = std::mem::take(&mut self.partial[usize::from(stderr)]);
        let text = text.strip_suffix(b"\r").unwrap_or(&text);
        self.ready.push_back(LogLine { stderr, timestamp, text: String::from_utf8_lossy(text).into_owned() });
    }

    /// What was begun and never ended is a line too.
    fn finish(&mut self) {
        for stderr in [false, true] {
            if !self.partial[usize::from(stderr)].text.is_empty() {
                self.emit(stderr);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(text: &str) -> LogOutput {
        LogOutput::StdOut { message: Bytes::copy_from_slice(text.as_bytes()) }
    }

    fn err(text: &str) -> LogOutput {
        LogOutput::StdErr { message: Bytes::copy_from_slice(text.as_bytes()) }
    }

    fn split(stamped: bool, chunks: Vec<LogOutput>) -> Vec<(bool, String, Option<String>)> {
        let mut splitter = Splitter { stamped, ..Splitter::default() };
        for chunk in chunks {
            splitter.take(chunk);
        }
        splitter.finish();
        splitter.ready.into_iter().map(|l| (l.stderr, l.text, l.timestamp)).collect()
    }

    #[test]
    fn streams_are_split_into_lines_each_on_its_own() {
        let lines = split(false, vec![out("a\nb"), err("x\r\n"), out("c\n\n"), err("end")]);
        let lines: Vec<(bool, &str)> = lines.iter().map(|(e, t, _)| (*e, t.as_str())).collect();
        assert_eq!(lines, [(false, "a"), (true, "x"), (false, "bc"), (false, ""), (true, "end")]);
    }

    #[test]
    fn a_line_in_several_chunks_has_the_first_ones_time() {
        let chunks = vec![
            out("2026-01-01T00:00:00.000000001Z long "),
            out("2026-01-01T00:00:00.000000002Z line\n"),
            out("2026-01-01T00:00:01Z \n"),
        ];
        let lines = split(true, chunks);
        assert_eq!(
            lines[0],
            (false, "long line".to_owned(), Some("2026-01-01T00:00:00.000000001Z".to_owned()))
        );
        assert_eq!(lines[1].1, "");
    }

    #[test]
    fn moments_are_read_in_both_forms() {
        assert_eq!(moment("12"), Some(12_000_000_000));
        assert_eq!(moment("12.5"), Some(12_500_000_000));
        assert_eq!(moment("1970-01-01T00:00:12.5Z"), Some(12_500_000_000));
        assert_eq!(moment("soon"), None);
    }
}
