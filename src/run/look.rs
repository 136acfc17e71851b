//! What the engine has, with all that a plan needs to know of it.

use crate::{
    engine::{Engine, EngineError, Used},
    plan::{self, Container, Observed},
    project::Project,
};

use super::scope;

/// Looks at what the engine has of a project. Who uses a network or volume is asked only where that is not as the
/// files say.
///
/// # Errors
///
/// The engine does not answer, or refuses.
pub async fn look(engine: &dyn Engine, project: &Project) -> Result<Observed, EngineError> {
    let mut observed = engine.observe(&scope(project)).await?;
    for name in plan::drift(project, &observed).networks {
        let Some(network) = observed.networks.get_mut(&name) else { continue };
        let mut users = engine.users(Used::Network(&network.id)).await?;
        for user in &mut users {
            whole_endpoints(engine, user).await?;
        }
        network.users = users;
    }
    for name in plan::drift(project, &observed).volumes {
        if let Some(volume) = observed.volumes.get_mut(&name) {
            volume.users = engine.users(Used::Volume(&name)).await?;
        }
    }
    Ok(observed)
}

/// A list leaves out much of what an endpoint is.
async fn whole_endpoints(engine: &dyn Engine, container: &mut Container) -> Result<(), EngineError> {
    if let Some(detail) = engine.inspect(&container.id).await? {
        container.networks = detail.networks;
    }
    Ok(())
}
