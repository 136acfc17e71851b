//! `down`, `stop`, `start` and `restart`.

use std::sync::Arc;

use super::{
    CliError, Exit, Invocation,
    args::{DownArgs, RestartArgs, StartArgs, StopArgs, StopTimeout},
    session::{Session, Shown},
    up::cores,
};
use crate::{
    event::Verdict,
    journal::{Applied, state_dir},
    plan::{EndOptions, RemoveImages},
    project::{Project, Service},
    run::{Ending, end, scope},
};

/// Stops and removes.
///
/// # Errors
///
/// The files are wrong, or the engine cannot be reached.
pub(super) async fn down(invocation: &Invocation, args: &DownArgs) -> Result<Exit, CliError> {
    let options = EndOptions {
        services: args.services.clone(),
        orphans: args.remove_orphans,
        volumes: args.volumes,
        images: args
            .rmi
            .as_deref()
            .map(|which| if which == "all" { RemoveImages::All } else { RemoveImages::Local }),
        grace: args.timeout.map(StopTimeout::grace),
        cores: cores(),
        dependents: false,
    };
    carry_out(invocation, "down", Ending::Down, options).await
}

/// Stops and keeps.
///
/// # Errors
///
/// The files are wrong, or the engine cannot be reached.
pub(super) async fn stop(invocation: &Invocation, args: &StopArgs) -> Result<Exit, CliError> {
    let grace = args.timeout.map(StopTimeout::grace);
    let options =
        EndOptions { services: args.services.clone(), grace, cores: cores(), ..EndOptions::default() };
    carry_out(invocation, "stop", Ending::Stop, options).await
}

/// Starts what is there.
///
/// # Errors
///
/// The files are wrong, or the engine cannot be reached.
pub(super) async fn start(invocation: &Invocation, args: &StartArgs) -> Result<Exit, CliError> {
    let options = EndOptions { services: args.services.clone(), cores: cores(), ..EndOptions::default() };
    carry_out(invocation, "start", Ending::Start, options).await
}

/// Stops and starts what is there.
///
/// # Errors
///
/// The files are wrong, or the engine cannot be reached.
pub(super) async fn restart(invocation: &Invocation, args: &RestartArgs) -> Result<Exit, CliError> {
    let grace = args.timeout.map(StopTimeout::grace);
    let options = EndOptions {
        services: args.services.clone(),
        dependents: !args.no_deps,
        grace,
        cores: cores(),
        ..EndOptions::default()
    };
    carry_out(invocation, "restart", Ending::Restart, options).await
}

async fn carry_out(
    invocation: &Invocation,
    command: &str,
    ending: Ending,
    options: EndOptions,
) -> Result<Exit, CliError> {
    let subject = invocation.subject()?;
    let engine = invocation.connect().await?;
    let project = match subject.project.clone() {
        Some(project) => project,
        None => from_labels(&subject.name, engine.as_ref()).await?,
    };
    let known: Vec<crate::plan::Container> = Vec::new();
    if subject.project.is_some() {
        subject.check_services(&options.services, &known)?;
    }
    // Without files, what carries the project's labels belongs to it, also what another command is making just now.
    let orphans = options.orphans || (subject.project.is_none() && options.services.is_empty());
    let options = EndOptions { orphans, ..options };
    let shown = Shown::default();
    let (mut run, session) = Session::begin(invocation, command, Arc::new(project), engine, &shown)?;
    let ended = end(&mut run, ending, &options, &session.label).await;
    let gone = ended.as_ref().is_ok_and(|ended| ended.finished.verdict == Verdict::Succeeded);
    if gone && ending == Ending::Down && options.services.is_empty() {
        forget(invocation, run.project(), &run.engine().info().host);
    }
    drop(run);
    session.end(ended)
}

/// There is nothing to go back to where the project is gone.
fn forget(invocation: &Invocation, project: &Project, engine: &str) {
    let Some(state) = state_dir(|name| invocation.env(name)) else { return };
    if let Err(error) = Applied::forget_all(&state, &project.name, engine) {
        tracing::warn!("what was noted for `rollback` cannot be removed: {error}");
    }
}

/// A project as its containers tell it, for when its files are not at hand.
pub(super) async fn from_labels(name: &str, engine: &dyn crate::engine::Engine) -> Result<Project, CliError> {
    let mut project = Project { name: name.to_owned(), ..Project::default() };
    let observed = engine.observe(&scope(&project)).await;
    let observed = observed.map_err(|error| CliError::engine("failed to list containers", &error))?;
    for container in &observed.containers {
        let Some(service) = container.service() else { continue };
        let entry = project.services.entry(service.to_owned()).or_insert_with(|| Service {
            name: service.to_owned(),
            image: Some(container.image.clone()),
            ..Service::default()
        });
        // `NAME:CONDITION:RESTART,…`
        let label = container.compose_label("depends_on").unwrap_or_default();
        for dependency in label.split(',').filter(|entry| !entry.is_empty()) {
            let name = dependency.split(':').next().unwrap_or_default();
            entry.depends_on.entry(name.to_owned()).or_default().restart |= dependency.ends_with(":true");
        }
    }
    let services: Vec<String> = project.services.keys().cloned().collect();
    for service in project.services.values_mut() {
        service.depends_on.retain(|on, _| services.contains(on));
    }
    Ok(project)
}
