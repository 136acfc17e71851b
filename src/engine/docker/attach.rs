//! A container's streams: what it writes, as it writes it, and its standard input.

use std::time::Duration;

use bollard::{
    Docker,
    container::LogOutput,
    query_parameters::{AttachContainerOptions, ResizeContainerTTYOptions},
};
use futures::StreamExt;

use super::error::{classify, within};
use crate::engine::{AttachRequest, Attached, EngineError, EngineErrorKind, OutputChunk, TerminalSize};

/// Opens the streams. The engine listens when this resolves, so that nothing of a start that follows is lost.
pub(super) async fn attach(
    docker: &Docker,
    container: &str,
    request: &AttachRequest,
    limit: Duration,
) -> Result<Attached, EngineError> {
    let options = AttachContainerOptions {
        detach_keys: request.detach_keys.clone(),
        logs: false,
        stream: true,
        stdin: request.stdin,
        stdout: true,
        stderr: true,
    };
    let streams = within(limit, "attach", docker.attach_container(container, Some(options))).await?;
    let chunk = |output: LogOutput| OutputChunk {
        stderr: matches!(output, LogOutput::StdErr { .. }),
        bytes: output.into_bytes(),
    };
    let output = streams.output.map(move |next| next.map(chunk).map_err(classify)).boxed();
    Ok(Attached { output, input: streams.input })
}

/// Tells a container's terminal its size. One that has ended meanwhile needs none.
pub(super) async fn resize(
    docker: &Docker,
    container: &str,
    size: TerminalSize,
    limit: Duration,
) -> Result<(), EngineError> {
    let options = ResizeContainerTTYOptions { h: size.rows.into(), w: size.columns.into() };
    match within(limit, "resize", docker.resize_container_tty(container, options)).await {
        Err(e) if matches!(e.kind, EngineErrorKind::Conflict | EngineErrorKind::NotFound) => Ok(()),
        other => other,
    }
}
