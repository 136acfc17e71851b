//! `wait`: until containers are as asked, by the engine's word.

use std::time::Duration;

use futures::StreamExt as _;

use super::{
    CliError, ErrorKind, Exit, Invocation,
    args::{WaitArgs, WaitFor},
    entry::print,
    scope::is_of,
};
use crate::{
    engine::Engine,
    executor::Signals,
    plan::{Container, ContainerState, EngineHealth},
};

/// Longest time between two looks, should an event be lost.
const LOOK: Duration = Duration::from_secs(5);

/// Waits.
///
/// # Errors
///
/// The files are wrong, there is nothing to wait for, time is over, or the engine refuses.
pub(super) async fn run(invocation: &Invocation, args: &WaitArgs) -> Result<Exit, CliError> {
    let subject = invocation.subject()?;
    let engine = invocation.connect().await?;
    let mut signals = Signals::listen(&invocation.signal_sources())
        .map_err(|e| CliError::failed("failed to listen to signals").caused_by(&e))?;
    let limit = async {
        match args.timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        _ = signals.next() => Ok(Exit::Interrupted),
        result = settle(&subject, &*engine, args) => result,
        () = limit => Err(CliError::new(ErrorKind::TimedOut, "time is over before everything is as asked")
            .hint(format!("`{} ps -a` shows the state of each container", invocation.again()))),
    }
}

async fn settle(subject: &super::Subject, engine: &dyn Engine, args: &WaitArgs) -> Result<Exit, CliError> {
    // Before the first look, so that nothing between the two is missed.
    let mut events = engine
        .events(&subject.name)
        .await
        .map_err(|error| CliError::engine("failed to follow what happens", &error))?;
    loop {
        let observed = subject.observe(engine).await?;
        subject.check_services(&args.services, &observed.containers)?;
        let containers: Vec<&Container> =
            observed.containers.iter().filter(|c| is_of(c, &args.services) && !c.is_oneoff()).collect();
        if containers.is_empty() {
            let why = format!("project `{}` has no containers to wait for", subject.name);
            return Err(CliError::failed(why).hint("`docker orch up -d` starts it"));
        }
        match judge(&containers, args.until)? {
            Judgement::Waiting => {}
            Judgement::Arrived => return Ok(Exit::Fine),
            Judgement::Completed(code) => {
                let lines: Vec<String> = containers.iter().map(|c| completed(c)).collect();
                print(&lines.concat());
                return Ok(Exit::of_container(code));
            }
        }
        // Every event is a reason to look again, and so is the passing of time.
        if let Ok(None) = tokio::time::timeout(LOOK, events.next()).await {
            return Err(CliError::new(
                ErrorKind::Engine,
                "the engine closed the stream of its events while it was waited for",
            )
            .hint("was it restarted? call the command again once it answers"));
        }
    }
}

/// Where all of the containers are.
#[derive(Debug, PartialEq)]
enum Judgement {
    Waiting,
    Arrived,
    /// All have exited: the first code that is not 0, else 0.
    Completed(i64),
}

fn judge(containers: &[&Container], until: WaitFor) -> Result<Judgement, CliError> {
    if until == WaitFor::Completed {
        let exited = |c: &&Container| matches!(c.state, ContainerState::Exited | ContainerState::Dead);
        if !containers.iter().all(exited) {
            return Ok(Judgement::Waiting);
        }
        let code = containers.iter().filter_map(|c| c.exit_code).find(|code| *code != 0);
        return Ok(Judgement::Completed(code.unwrap_or(0)));
    }
    let mut arrived = true;
    for container in containers {
        match (container.state, container.health) {
            (ContainerState::Running, Some(EngineHealth::Healthy)) => {}
            (ContainerState::Running, None) if until == WaitFor::Ready => {}
            (ContainerState::Running, None) => {
                return Err(CliError::failed(format!("{} has no HEALTHCHECK", container.name))
                    .hint("`--for ready` takes a container without one for ready when it runs"));
            }
            (ContainerState::Exited, _) if container.exit_code == Some(0) && until == WaitFor::Ready => {}
            (ContainerState::Exited | ContainerState::Dead, _) => {
                let code = container.exit_code.unwrap_or(-1);
                let service = container.service().unwrap_or_default();
                return Err(CliError::failed(format!("{} exited with code {code}", container.name))
                    .hint(format!("`docker orch logs {service}` shows its last words")));
            }
            (
                ContainerState::Running
                | ContainerState::Created
                | ContainerState::Paused
                | ContainerState::Restarting
                | ContainerState::Removing,
                _,
            ) => arrived = false,
        }
    }
    Ok(if arrived { Judgement::Arrived } else { Judgement::Waiting })
}

fn completed(container: &Container) -> String {
    format!("container \"{}\" exited with status code {}\n", container.id, container.exit_code.unwrap_or(-1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(state: ContainerState, health: Option<EngineHealth>, exit_code: Option<i64>) -> Container {
        Container { name: "c".into(), state, health, exit_code, ..Container::default() }
    }

    #[test]
    fn containers_are_judged_by_state_health_and_code() {
        use ContainerState::{Created, Exited, Running};
        use EngineHealth::{Healthy, Starting, Unhealthy};
        use WaitFor::{Completed, Ready};
        for (state, health, code, until, judgement) in [
            (Running, None, None, Ready, Some(Judgement::Arrived)),
            (Running, None, None, WaitFor::Healthy, None),
            (Running, Some(Starting), None, Ready, Some(Judgement::Waiting)),
            // One bad reading is not the end.
            (Running, Some(Unhealthy), None, Ready, Some(Judgement::Waiting)),
            (Running, Some(Healthy), None, WaitFor::Healthy, Some(Judgement::Arrived)),
            (Exited, None, Some(0), Ready, Some(Judgement::Arrived)),
            (Exited, None, Some(0), WaitFor::Healthy, None),
            (Exited, None, Some(1), Ready, None),
            (Created, None, None, Ready, Some(Judgement::Waiting)),
            (Running, None, None, Completed, Some(Judgement::Waiting)),
            (Exited, None, Some(3), Completed, Some(Judgement::Completed(3))),
        ] {
            let one = container(state, health, code);
            assert_eq!(judge(&[&one], until).ok(), judgement, "{state:?} {health:?} {code:?} {until:?}");
        }
    }
}
