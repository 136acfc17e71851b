//! Bytes on their way: a container's output to this program's, this program's input to the container's.

use std::pin::Pin;

use futures::{StreamExt as _, stream::BoxStream};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::engine::{EngineError, OutputChunk};

/// How passing output on ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pumped {
    /// All of it was passed on.
    Ended,
    /// Nobody reads it any more.
    Unread,
    /// The engine gave no more.
    Broken(EngineError),
}

/// How passing input on ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fed {
    /// It has ended, or the container takes no more.
    Ended,
    /// The user typed the keys that detach.
    Detached,
}

/// Passes a container's output on, as it comes. What waits to be read holds the container up, as a pipe does.
pub(super) async fn pump(
    mut output: BoxStream<'static, Result<OutputChunk, EngineError>>,
    mut out: Pin<Box<dyn AsyncWrite + Send>>,
    mut err: Pin<Box<dyn AsyncWrite + Send>>,
) -> Pumped {
    while let Some(next) = output.next().await {
        let chunk = match next {
            Ok(chunk) => chunk,
            Err(error) => return Pumped::Broken(error),
        };
        let to = if chunk.stderr { &mut err } else { &mut out };
        let written = async {
            to.write_all(&chunk.bytes).await?;
            to.flush().await
        };
        if written.await.is_err() {
            return Pumped::Unread;
        }
    }
    Pumped::Ended
}

/// Passes input on, as it comes; its end is the end of the container's.
pub(super) async fn feed(
    input: Option<Pin<Box<dyn AsyncRead + Send>>>,
    mut container: Pin<Box<dyn AsyncWrite + Send>>,
    detach_keys: Vec<u8>,
) -> Fed {
    let Some(mut input) = input else { return std::future::pending().await };
    let mut keys = Keys { keys: detach_keys, seen: 0 };
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = match input.read(&mut buffer).await {
            // A terminal that is gone gives an error: nothing more comes either way.
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        let (bytes, detached) = keys.pass(&buffer[..read]);
        let written = async {
            container.write_all(&bytes).await?;
            container.flush().await
        };
        // A container that takes no more has closed its input, or has ended: its output tells.
        let taken = written.await.is_ok();
        if detached {
            return Fed::Detached;
        }
        if !taken {
            return Fed::Ended;
        }
    }
    drop(container.shutdown().await);
    Fed::Ended
}

/// Looks for the keys that detach in what is typed.
struct Keys {
    keys: Vec<u8>,
    /// How many of them were just typed; they are held back until it is clear what they are.
    seen: usize,
}

impl Keys {
    /// What is to be passed on of these bytes, and whether the keys were typed.
    fn pass(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        if self.keys.is_empty() {
            return (bytes.to_vec(), false);
        }
        let mut passed = Vec::with_capacity(bytes.len());
        for byte in bytes {
            if *byte != self.keys[self.seen] {
                passed.extend_from_slice(&self.keys[..self.seen]);
                self.seen = 0;
            }
            if *byte == self.keys[self.seen] {
                self.seen += 1;
                if self.seen == self.keys.len() {
                    return (passed, true);
                }
            } else {
                passed.push(*byte);
            }
        }
        (passed, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_detach_are_found_across_reads_and_nothing_else_is_lost() {
        for (reads, passed, detached) in [
            (&["ab"][..], "ab", false),
            (&["a\x10\x11b"], "a", true),
            (&["a\x10", "\x11"], "a", true),
            (&["\x10x\x11"], "\x10x\x11", false),
            (&["\x10\x10\x11"], "\x10", true),
            (&["\x10", "a"], "\x10a", false),
        ] {
            let mut keys = Keys { keys: vec![0x10, 0x11], seen: 0 };
            let mut got = (Vec::new(), false);
            for read in reads {
                let (bytes, end) = keys.pass(read.as_bytes());
                got.0.extend(bytes);
                got.1 |= end;
            }
            assert_eq!(got, (passed.as_bytes().to_vec(), detached), "{reads:?}");
        }
        let mut none = Keys { keys: Vec::new(), seen: 0 };
        assert_eq!(none.pass(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }
}
