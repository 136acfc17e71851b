//! `serve`: to keep watch over what runs, as an attached `up` does once everything is ready.

use std::sync::Arc;

use tracing::Instrument as _;

use super::{
    Ended, Keep, RunError, UpRequest,
    begin::{announce_start, phase},
    evidence, scope,
    up::{DrivenStart, conclude, ended},
};
use crate::{
    event::{Aftermath, CancelReason, EventKind, ServiceState},
    executor::Run,
    plan::{self, Container, ContainerState, Found, Observed, Plan},
    project::{OnFailure, Replica},
    scheduler::{Abort, AfterReady},
};

/// Keeps watch until it is asked to end, which leaves everything as it is, or until something critical fails for good: then
/// the failure policy acts, as far as there is something to stop. Nothing was done that could be undone.
///
/// # Errors
///
/// The engine cannot say what there is, another command is changing the project, or a request to end has come.
pub async fn watch(run: &mut Run, request: &UpRequest, keep: &dyn Keep) -> Result<Ended, RunError> {
    run.lock().instrument(phase("lock")).await?;
    let project = Arc::clone(run.project());
    let (engine, scope) = (Arc::clone(run.engine()), scope(&project));
    let observed = run.ask_and_listen(|| engine.observe(&scope)).instrument(phase("observe")).await?;
    let observed = Arc::new(observed);
    let plan = Arc::new(plan::adopt(&project, &observed).map_err(RunError::Plan)?);
    announce_start(run, &request.label, &plan, &observed);
    show_idle(run, &plan, &observed);
    let mut driven = run.drive(Arc::clone(&plan), observed, AfterReady::Watch(Abort::Never)).await;
    let policy = match driven.outcome.reason {
        Some(CancelReason::Failure) if driven.outcome.was_ready => request.on_failure,
        // It has never seen it in order: that is not for it to end.
        _ => OnFailure::Keep,
    };
    if matches!(policy, OnFailure::Stop | OnFailure::Teardown) {
        let started = DrivenStart { plan, driven, supplied: None, ran_before: true, was_there: true };
        return Ok(conclude(run, request, keep, started).await);
    }
    if !driven.outcome.failures.is_empty() {
        evidence::fill(run, &plan, &mut driven).await;
        evidence::keep(run, keep, &evidence::failed(&plan, &driven), &driven).await;
    }
    Ok(ended(run, driven, Aftermath::Kept, Vec::new()))
}

/// Says of what does not run that it does not.
fn show_idle(run: &mut Run, plan: &Plan, observed: &Observed) {
    for unit in &plan.units {
        for replica in unit.replicas.iter().filter(|replica| replica.found == Found::ToStart) {
            let id = replica.existing.as_ref().map(|existing| existing.id.as_str());
            let container = observed.containers.iter().find(|c| Some(c.id.as_str()) == id);
            run.announce(EventKind::Service {
                replica: Replica { service: unit.service.clone(), number: replica.number },
                state: ServiceState::Stopped,
                cause: container.map(why_idle).unwrap_or_default(),
                container: id.map(str::to_owned),
            });
        }
    }
}

fn why_idle(container: &Container) -> String {
    match (container.state, container.exit_code) {
        (ContainerState::Paused, _) => "paused".to_owned(),
        (ContainerState::Created, _) => "never started".to_owned(),
        (_, Some(code)) => format!("exited with code {code}"),
        (_, None) => String::new(),
    }
}
