//! Commands in containers.

use std::{collections::VecDeque, time::Duration};

use bollard::{
    Docker,
    exec::{StartExecOptions, StartExecResults},
    models::ExecConfig,
};
use futures::StreamExt;

use super::error::within;
use crate::{
    engine::{EngineError, EngineErrorKind, ExecOutput, ExecRequest},
    time::Backoff,
};

/// How much of the output is kept, in bytes.
const KEPT: usize = 4096;

/// Runs a command and waits for it.
pub(super) async fn exec(
    docker: &Docker,
    container: &str,
    request: &ExecRequest,
    limit: Duration,
) -> Result<ExecOutput, EngineError> {
    let config = ExecConfig {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(request.command.clone()),
        user: request.user.clone(),
        privileged: Some(request.privileged),
        working_dir: request.working_dir.clone(),
        env: (!request.environment.is_empty()).then(|| request.environment.clone()),
        ..ExecConfig::default()
    };
    let run = async {
        let id = within(limit, "create exec", docker.create_exec(container, config)).await?.id;
        let options = StartExecOptions { detach: false, tty: false, output_capacity: None };
        let started = within(limit, "start exec", docker.start_exec(&id, Some(options))).await?;
        let mut tail = Tail::default();
        if let StartExecResults::Attached { mut output, input: _input } = started {
            // A stream that breaks is a stream that has ended: the engine tells below what became of the command.
            while let Some(Ok(chunk)) = output.next().await {
                tail.extend(&chunk.into_bytes());
            }
        }
        let code = exit_code(docker, &id, limit).await?;
        Ok(ExecOutput { code, output: tail.text() })
    };
    match request.timeout {
        None => run.await,
        Some(timeout) => tokio::time::timeout(timeout, run).await.unwrap_or_else(|_| {
            let message = format!("the command still ran after {} s", timeout.as_secs_f64());
            Err(EngineError::new(EngineErrorKind::TimedOut, message))
        }),
    }
}

/// The code of a command whose streams have ended: the engine notes it a moment later.
async fn exit_code(docker: &Docker, exec: &str, limit: Duration) -> Result<i64, EngineError> {
    let pauses = Backoff::new(Duration::from_millis(5), Duration::from_millis(250));
    for attempt in 0.. {
        let state = within(limit, "inspect exec", docker.inspect_exec(exec)).await?;
        if state.running != Some(true) {
            // An engine that could not run the command at all gives no code.
            return Ok(state.exit_code.unwrap_or(-1));
        }
        tokio::time::sleep(pauses.pause(attempt)).await;
    }
    Ok(-1)
}

/// The last bytes of a stream.
#[derive(Debug, Default)]
struct Tail(VecDeque<u8>);

impl Tail {
    fn extend(&mut self, bytes: &[u8]) {
        self.0.extend(&bytes[bytes.len().saturating_sub(KEPT)..]);
        self.0.drain(..self.0.len().saturating_sub(KEPT));
    }

    fn text(mut self) -> String {
        String::from_utf8_lossy(self.0.make_contiguous()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_kept() {
        let mut tail = Tail::default();
        tail.extend(&[b'a'; 3000]);
        tail.extend(&[b'b'; 3000]);
        let text = tail.text();
        assert_eq!(text.len(), KEPT);
        assert!(text.starts_with('a') && text.ends_with('b'));
        let mut long = Tail::default();
        long.extend(&[b'c'; 9000]);
        assert_eq!(long.text().len(), KEPT);
    }
}
