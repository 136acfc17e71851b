//! `down`, `stop`, `kill`, `start` and `restart`: one plan each.

use std::sync::Arc;

use tracing::Instrument as _;

use super::{
    Ended, RunError, RunLabel,
    begin::{announce_start, phase},
    scope,
    settle::settle,
};
use crate::{
    event::{Aftermath, EventKind, RunFinished, Verdict},
    executor::Run,
    plan::{self, EndOptions, Observed, Plan},
    project::Project,
    scheduler::AfterReady,
};

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Stop and remove.
    Down,
    /// Stop.
    Stop,
    /// Kill.
    Kill,
    /// Start what is there.
    Start,
    /// Stop and start what is there.
    Restart,
}

impl Ending {
    fn plan(self, project: &Project, observed: &Observed, options: &EndOptions) -> Plan {
        match self {
            Self::Down => plan::down(project, observed, options),
            Self::Stop => plan::stop(project, observed, options),
            Self::Kill => plan::kill(project, observed, options),
            Self::Start => plan::start(project, observed, options),
            Self::Restart => plan::restart(project, observed, options),
        }
    }
}

/// Carries one of them out.
///
/// # Errors
///
/// Before anything is changed: the engine cannot say what there is, or a request to end has come.
pub async fn end(
    run: &mut Run,
    ending: Ending,
    options: &EndOptions,
    label: &RunLabel,
) -> Result<Ended, RunError> {
    let project = Arc::clone(run.project());
    let mut options = options.clone();
    if ending == Ending::Restart && options.dependents {
        options.services = plan::restarted_with(&project, &options.services);
    }
    let mut scope = scope(&project);
    if options.images.is_none() {
        scope.images.clear();
    }
    let engine = Arc::clone(run.engine());
    let after_killed = settle(run).instrument(phase("lock")).await?;
    let observed = Arc::new(run.ask(|| engine.observe(&scope)).instrument(phase("observe")).await?);
    let plan = Arc::new(ending.plan(&project, &observed, &options));
    let chosen = Observed {
        containers: observed
            .containers
            .iter()
            .filter(|c| {
                options.services.is_empty()
                    || c.service().is_some_and(|s| options.services.iter().any(|o| o == s))
            })
            .cloned()
            .collect(),
        ..Observed::default()
    };
    announce_start(run, label, &plan, &chosen);
    let driven = run.drive(plan, Arc::clone(&observed), AfterReady::Finish).await;
    let outcome = driven.outcome;
    let mut left = outcome.left;
    if after_killed && ending == Ending::Down && outcome.reason.is_none() {
        // What a killed run asked for last may have come up only now.
        let late = Arc::new(run.ask_to_put_back(|| engine.observe(&scope)).await?);
        let plan = Arc::new(ending.plan(&project, &late, &options));
        if !plan.steps.is_empty() {
            left = run.drive(plan, late, AfterReady::Finish).await.outcome.left;
        }
    }
    let verdict = if left.is_empty() || outcome.verdict != Verdict::Succeeded {
        outcome.verdict
    } else {
        Verdict::Failed
    };
    let aftermath = if left.is_empty() { Aftermath::Kept } else { Aftermath::Stuck };
    let finished =
        RunFinished { verdict, aftermath, failures: outcome.failures, degraded: outcome.degraded, left };
    run.announce(EventKind::RunFinished(finished.clone()));
    Ok(Ended { finished, reason: outcome.reason, exits: outcome.exits })
}
