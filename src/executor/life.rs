//! What surrounds the start of a service's container: the files that it is given before, and the hooks after.

use crate::{
    engine::{Engine, EngineError, EngineErrorKind, ExecRequest, docker::file_uploads},
    project::{Hook, Project, Service},
};

/// Writes secrets and configs into a container that is about to start.
///
/// # Errors
///
/// They cannot be had, or the engine does not take them.
pub async fn give_files(
    engine: &dyn Engine,
    project: &Project,
    service: &Service,
    container: &str,
) -> Result<(), EngineError> {
    let files = file_uploads(project, service)?;
    if files.is_empty() { Ok(()) } else { engine.upload(container, &files).await }
}

/// Runs the hooks after a start, one after the other.
///
/// # Errors
///
/// One of them failed.
pub async fn post_start(engine: &dyn Engine, service: &Service, container: &str) -> Result<(), EngineError> {
    for hook in &service.post_start {
        let output = engine.exec(container, &hook_request(hook)).await?;
        if output.code != 0 {
            let words = hook.command.clone().unwrap_or_default().join(" ");
            let said = output.output.trim();
            let message = format!("post_start hook `{words}` exited with {}: {said}", output.code);
            return Err(EngineError::new(EngineErrorKind::Failed, message));
        }
    }
    Ok(())
}

/// A hook, as the engine is asked for it.
pub(super) fn hook_request(hook: &Hook) -> ExecRequest {
    let pair = |(key, value): (&String, &Option<String>)| value.as_ref().map(|v| format!("{key}={v}"));
    ExecRequest {
        command: hook.command.clone().unwrap_or_default(),
        user: hook.user.clone(),
        privileged: hook.privileged,
        working_dir: hook.working_dir.clone(),
        environment: hook.environment.iter().filter_map(pair).collect(),
        timeout: None,
    }
}
