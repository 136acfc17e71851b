//! The end of containers and networks: how long it is waited for, and that one after the other goes where it must.

use std::time::Duration;

use bollard::{
    Docker,
    errors::Error,
    query_parameters::{
        InspectNetworkOptions, KillContainerOptions, RemoveContainerOptions, StopContainerOptions,
        WaitContainerOptions,
    },
};
use futures::{FutureExt, StreamExt};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use tracing::Instrument as _;

use super::{
    error::{classify, within},
    inspect::inspect,
};
use crate::engine::{EngineError, EngineErrorKind, EngineInfo};

/// The engine's own grace of a container that names none.
const GRACE: Duration = Duration::from_secs(10);
/// How long a killed process may take to end before the engine kills it once more, in seconds.
const KILLED: i32 = 1;
/// How long a container that stops keeps others from beginning to.
const TURN: Duration = Duration::from_millis(250);

/// Containers begin to stop one after the other.
///
/// Engines before Docker 29 keep a count of a network's endpoints beside the endpoints. When two of them go at the
/// same moment one decrement may be lost (moby/moby#42119): then the network "has active endpoints" that are none, and
/// nobody can remove it until the engine is started again. So the next one waits until this one's endpoints are gone,
/// or, where its process takes its time, until they will hardly go at once. That costs time, so only engines on which it
/// has been seen to happen (20.10, in one of five ends of a project with five networks) are treated so.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<()>);

impl Turns {
    /// Those of an engine that needs them: one before Docker 25.
    pub(super) fn of(info: &EngineInfo) -> Option<Self> {
        (!info.api_at_least(1, 44)).then(Self::default)
    }
}

/// Stops a container and waits as long as it has. An answer that is late may be lost: then the container itself tells.
pub(super) async fn stop(
    docker: &Docker,
    turns: Option<&Turns>,
    (container, grace): (&str, Option<Duration>),
    limit: Duration,
) -> Result<(), EngineError> {
    let seconds = grace.map(|g| i32::try_from(g.as_millis().div_ceil(1000)).unwrap_or(i32::MAX));
    let options = match seconds {
        // Without grace there is no use in asking first, which the engine would do. A kill would do as well, but for what is
        // being started again and again. Engines with turns do not know signals here.
        Some(0) if turns.is_none() => {
            StopContainerOptions { signal: Some("SIGKILL".to_owned()), t: Some(KILLED) }
        }
        _ => StopContainerOptions { signal: None, t: seconds },
    };
    let span = tracing::trace_span!("request", what = "stop container");
    let mut call = Box::pin(docker.stop_container(container, Some(options)).instrument(span));
    if let Some(Turns(turn)) = turns {
        let _turn = turn.lock().await;
        if let Ok(answer) = timeout(TURN, &mut call).await {
            // Its endpoints go after the answer to the stop and before that to any other question; what that is does
            // not matter.
            drop(inspect(docker, container, limit).await);
            return answer.map_err(classify);
        }
    }
    let (began, mut wait) = (Instant::now(), limit);
    loop {
        if let Ok(answer) = timeout(wait, &mut call).await {
            return answer.map_err(classify);
        }
        let Some(detail) = inspect(docker, container, limit).await? else { return Ok(()) };
        if detail.pid == 0 {
            return Ok(());
        }
        let grace = grace.or(detail.stop_timeout).unwrap_or(GRACE);
        let left = grace.saturating_add(limit).saturating_sub(began.elapsed());
        if left.is_zero() {
            let message = format!("it still runs {} s after it was to stop", began.elapsed().as_secs());
            return Err(EngineError::new(EngineErrorKind::TimedOut, message));
        }
        wait = left.min(limit);
    }
}

/// Sends a signal; a container that does not run needs none.
pub(super) async fn kill(
    docker: &Docker,
    container: &str,
    signal: &str,
    limit: Duration,
) -> Result<(), EngineError> {
    let options = KillContainerOptions { signal: signal.to_owned() };
    match within(limit, "kill container", docker.kill_container(container, Some(options))).await {
        Err(e) if e.kind == EngineErrorKind::Conflict => Ok(()),
        other => other,
    }
}

/// Removes a container, running or not, unless it is gone.
pub(super) async fn remove(
    docker: &Docker,
    container: &str,
    volumes: bool,
    limit: Duration,
) -> Result<(), EngineError> {
    let options = RemoveContainerOptions { v: volumes, force: true, link: false };
    match within(limit, "remove container", docker.remove_container(container, Some(options))).await {
        Err(e) if e.kind == EngineErrorKind::NotFound => Ok(()),
        // Somebody else removes it: its name is free only when that is over.
        Err(e) if e.kind == EngineErrorKind::Conflict && e.message.contains("already in progress") => {
            let options = WaitContainerOptions { condition: "removed".to_owned() };
            let mut gone = Box::pin(docker.wait_container(container, Some(options)));
            let end = async { gone.next().await.map_or(Ok(()), |r| r.map(|_| ())) };
            match within(limit, "remove container", end.map(ignore_exit_code)).await {
                Err(e) if e.kind == EngineErrorKind::NotFound => Ok(()),
                other => other,
            }
        }
        other => other,
    }
}

/// A container's exit code is no failure of waiting for it.
fn ignore_exit_code(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(Error::DockerContainerWaitError { .. }) => Ok(()),
        other => other,
    }
}

/// Removes a network. One that is refused although nothing is on it needs another word than the engine's.
pub(super) async fn remove_network(
    docker: &Docker,
    network: &str,
    limit: Duration,
) -> Result<(), EngineError> {
    let Err(refusal) = within(limit, "remove network", docker.remove_network(network)).await else {
        return Ok(());
    };
    if !refusal.message.contains("has active endpoints") {
        return Err(refusal);
    }
    let there = docker.inspect_network(network, None::<InspectNetworkOptions>);
    let used = within(limit, "inspect network", there).await?.containers.unwrap_or_default();
    Err(if used.is_empty() { miscounted(network) } else { refusal })
}

/// What is to be said of a network that the engine keeps for nobody.
fn miscounted(network: &str) -> EngineError {
    let message = format!(
        "network {network} has active endpoints, says the engine, and lists none: Docker before 29 can lose count of \
         them (moby/moby#42119). Nobody can remove it until the engine is started again; `up` uses it as it is"
    );
    EngineError::new(EngineErrorKind::Conflict, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_is_no_error_of_waiting() {
        let waited = Err(Error::DockerContainerWaitError { error: String::new(), code: 3 });
        assert!(ignore_exit_code(waited).is_ok());
        assert!(ignore_exit_code(Err(Error::RequestTimeoutError)).is_err());
    }

    #[test]
    fn engines_that_count_endpoints_by_looking_need_no_turns() {
        let of = |api: &str| {
            Turns::of(&EngineInfo { api_version: api.to_owned(), ..EngineInfo::default() }).is_some()
        };
        assert_eq!(["1.41", "1.43", "1.44"].map(of), [true, true, false]);
    }
}
