//! The words for a plan's actions.

use super::{StepAction, Verb};
use crate::plan::{Action, ProviderVerb};

impl From<&Action> for StepAction {
    fn from(action: &Action) -> Self {
        let (verb, target, replica) = match action {
            Action::CreateNetwork { name, .. } => (Verb::CreateNetwork, name, None),
            Action::RemoveNetwork { name, .. } => (Verb::RemoveNetwork, name, None),
            Action::RestoreNetwork(network) => (Verb::CreateNetwork, &network.name, None),
            Action::Reconnect { replica, container, .. } => {
                (Verb::ReconnectContainer, &container.name, replica.as_ref())
            }
            Action::CreateVolume { name, .. } => (Verb::CreateVolume, name, None),
            Action::RemoveVolume { name } => (Verb::RemoveVolume, name, None),
            Action::PullImage { image, .. } => (Verb::PullImage, image, None),
            Action::BuildImage { image, .. } => (Verb::BuildImage, image, None),
            Action::RemoveImage { image } => (Verb::RemoveImage, image, None),
            Action::CallProvider { service, verb: ProviderVerb::Up, .. } => (Verb::ProviderUp, service, None),
            Action::CallProvider { service, verb: ProviderVerb::Down, .. } => {
                (Verb::ProviderDown, service, None)
            }
            Action::CallProvider { service, verb: ProviderVerb::Stop, .. } => {
                (Verb::ProviderStop, service, None)
            }
            Action::SetUpModel { key } => (Verb::SetUpModel, key, None),
            Action::CreateContainer { replica, name, .. } => (Verb::CreateContainer, name, Some(replica)),
            Action::TakeNames { replica, name, .. } => (Verb::TakeNames, name, Some(replica)),
            Action::StartContainer { replica, name, .. } => (Verb::StartContainer, name, Some(replica)),
            Action::StopContainer { replica, container, .. } => {
                (Verb::StopContainer, &container.name, replica.as_ref())
            }
            Action::KillContainer { replica, container } => {
                (Verb::KillContainer, &container.name, replica.as_ref())
            }
            Action::RenameContainer { replica, to, .. } => (Verb::RenameContainer, to, Some(replica)),
            Action::RemoveContainer { replica, container, .. } => {
                (Verb::RemoveContainer, &container.name, replica.as_ref())
            }
        };
        Self { action: verb, target: target.clone(), replica: replica.cloned() }
    }
}
