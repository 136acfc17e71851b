//! What surrounds the life of a service's container: the files that it is given before its start, the hooks after that
//! and before its stop.

use std::time::Duration;

use crate::{
    engine::{Engine, EngineError, EngineErrorKind, ExecRequest, docker::file_uploads},
    project::{Hook, Project, Service, SignedDuration},
};

/// How many of a hook's last lines its failure quotes.
const QUOTED: usize = 5;
/// Hooks before a stop have at least this long, however short the grace of the stop itself is.
const BEFORE_STOP: Duration = Duration::from_mins(1);

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

/// Runs the hooks after a start, one after the other, each for no longer than the start may take. `listen`: takes
/// what they say, line by line.
///
/// # Errors
///
/// One of them failed.
pub async fn post_start(
    engine: &dyn Engine,
    service: &Service,
    container: &str,
    listen: &(dyn Fn(&str) + Sync),
) -> Result<(), EngineError> {
    for hook in &service.post_start {
        run(engine, ("post_start", hook), container, service.orch.start.timeout, listen).await?;
    }
    Ok(())
}

/// Runs the hooks before a stop. One that fails keeps neither the others from running nor the container from being
/// stopped: what is wrong with each is given. One that does not end is left alone after a minute, or the grace of the
/// stop where that is longer.
pub(super) async fn pre_stop(
    engine: &dyn Engine,
    service: &Service,
    container: &str,
    listen: &(dyn Fn(&str) + Sync),
) -> Vec<String> {
    let grace = service.stop_grace_period.and_then(SignedDuration::positive).unwrap_or_default();
    let mut wrong = Vec::new();
    for hook in &service.pre_stop {
        let limit = Some(grace.max(BEFORE_STOP));
        wrong
            .extend(run(engine, ("pre_stop", hook), container, limit, listen).await.err().map(|e| e.message));
    }
    wrong
}

async fn run(
    engine: &dyn Engine,
    (kind, hook): (&str, &Hook),
    container: &str,
    limit: Option<Duration>,
    listen: &(dyn Fn(&str) + Sync),
) -> Result<(), EngineError> {
    let named =
        |what: &str| format!("{kind} hook `{}` {what}", hook.command.clone().unwrap_or_default().join(" "));
    let request = ExecRequest { timeout: limit, ..hook_request(hook) };
    let output = engine.exec(container, &request).await.map_err(|error| {
        let message = named(&format!("failed: {error}"));
        EngineError { message, ..error }
    })?;
    let lines: Vec<&str> = output.output.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    for line in &lines {
        listen(line);
    }
    if output.code == 0 {
        return Ok(());
    }
    let last = lines[lines.len().saturating_sub(QUOTED)..].join("\n");
    let said = if last.is_empty() { last } else { format!(": {last}") };
    let message = named(&format!("exited with {}{said}", output.code));
    Err(EngineError::new(EngineErrorKind::Failed, message))
}

/// A hook, as the engine is asked for it.
fn hook_request(hook: &Hook) -> ExecRequest {
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
