//! After a run that was killed: the engine finishes what it was asked for, whether or not anybody waits for it.
//!
//! A plan made from what there is before that would be wrong a moment later: two networks of one name, a container
//! that is about to stop taken for one that runs.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{RunError, scope};
use crate::{
    event::{StepAction, Verb},
    executor::{AskError, Run},
    plan::{ContainerState, Observed},
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// The engine is given this long for most of what it does.
const QUICK: Duration = Duration::from_secs(6);
/// A stop takes as long as a container's grace, mostly the engine's 10 s.
const STOP: Duration = Duration::from_secs(12);

/// Has the project to itself from now on, and waits until what an interrupted run asked for is done, or cannot be
/// expected any more. Whether there was any.
pub(super) async fn settle(run: &mut Run) -> Result<bool, RunError> {
    let mut open = run.lock().await?;
    let began = Instant::now();
    let (engine, scope) = (Arc::clone(run.engine()), scope(run.project()));
    open.retain(|action| patience(action.action).is_some());
    let any = !open.is_empty();
    while !open.is_empty() {
        // An engine that does not answer is dealt with by whoever asks next.
        let observed = match run.ask(|| engine.observe(&scope)).await {
            Ok(observed) => observed,
            Err(AskError::Engine(_)) => return Ok(any),
            Err(ended) => return Err(ended.into()),
        };
        let waited = began.elapsed();
        open.retain(|action| {
            patience(action.action).is_some_and(|most| waited < most) && !is_done(action, &observed)
        });
        if !open.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(any)
}

/// How long to wait for it; `None`: it changes nothing that a plan depends on.
fn patience(verb: Verb) -> Option<Duration> {
    match verb {
        Verb::StopContainer | Verb::KillContainer | Verb::RestartContainer => Some(STOP),
        Verb::CreateNetwork
        | Verb::RemoveNetwork
        | Verb::CreateVolume
        | Verb::RemoveVolume
        | Verb::CreateContainer
        | Verb::TakeNames
        | Verb::ReconnectContainer
        | Verb::StartContainer
        | Verb::RenameContainer
        | Verb::RemoveContainer => Some(QUICK),
        Verb::PullImage
        | Verb::BuildImage
        | Verb::RemoveImage
        | Verb::ProviderUp
        | Verb::ProviderDown
        | Verb::ProviderStop
        | Verb::SetUpModel => None,
    }
}

fn is_done(action: &StepAction, observed: &Observed) -> bool {
    let container = observed.containers.iter().find(|c| c.name == action.target);
    let runs = container.is_some_and(|c| {
        matches!(c.state, ContainerState::Running | ContainerState::Restarting | ContainerState::Paused)
    });
    match action.action {
        Verb::CreateNetwork => observed.networks.contains_key(&action.target),
        Verb::RemoveNetwork => !observed.networks.contains_key(&action.target),
        Verb::CreateVolume => observed.volumes.contains_key(&action.target),
        Verb::RemoveVolume => !observed.volumes.contains_key(&action.target),
        Verb::CreateContainer | Verb::RenameContainer => container.is_some(),
        Verb::RemoveContainer => container.is_none(),
        Verb::StartContainer => container.is_some_and(|c| c.state != ContainerState::Created),
        Verb::StopContainer | Verb::KillContainer => !runs,
        // Nothing tells one that is over from one that has not begun.
        Verb::RestartContainer | Verb::ReconnectContainer | Verb::TakeNames => false,
        Verb::PullImage
        | Verb::BuildImage
        | Verb::RemoveImage
        | Verb::ProviderUp
        | Verb::ProviderDown
        | Verb::ProviderStop
        | Verb::SetUpModel => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Container;

    #[test]
    fn what_was_asked_for_is_seen_in_what_there_is() {
        let is = |verb, target: &str, state| {
            let container = Container { name: "p-a-1".to_owned(), state, ..Container::default() };
            let observed = Observed { containers: vec![container], ..Observed::default() };
            is_done(&StepAction { action: verb, target: target.to_owned(), replica: None }, &observed)
        };
        for (verb, target, state, expected) in [
            (Verb::CreateContainer, "p-a-1", ContainerState::Created, true),
            (Verb::CreateContainer, "p-b-1", ContainerState::Created, false),
            (Verb::StartContainer, "p-a-1", ContainerState::Created, false),
            (Verb::StartContainer, "p-a-1", ContainerState::Exited, true),
            (Verb::StopContainer, "p-a-1", ContainerState::Running, false),
            (Verb::StopContainer, "p-a-1", ContainerState::Exited, true),
            (Verb::StopContainer, "p-b-1", ContainerState::Running, true),
            (Verb::RemoveContainer, "p-a-1", ContainerState::Exited, false),
            (Verb::RemoveContainer, "p-b-1", ContainerState::Exited, true),
            (Verb::CreateNetwork, "p_default", ContainerState::Running, false),
            (Verb::RemoveNetwork, "p_default", ContainerState::Running, true),
        ] {
            assert_eq!(is(verb, target, state), expected, "{verb:?} {target} {state:?}");
        }
    }
}
