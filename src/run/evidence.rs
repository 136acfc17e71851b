//! What is gathered about containers before it is lost: log lines, inspect output, health results.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use futures::{StreamExt as _, future::join_all};

use crate::{
    engine::{Engine, LogOptions},
    event::{EventKind, Failure, ServiceState},
    executor::{Driven, Run},
    health::{CheckReport, MonitorReport},
    plan::{ContainerRef, Plan},
    project::Replica,
};

/// Log lines of a failed service that are shown.
const SHOWN_LINES: u64 = 20;
/// Log lines of a container that are saved.
const SAVED_LINES: u64 = 100_000;
/// For all that is asked about one container.
const PATIENCE: Duration = Duration::from_secs(10);

/// Keeps what is known of a container that is about to be removed.
pub trait Keep: Send + Sync {
    /// Keeps one container; answers with the folder that holds all of this run.
    fn keep(&self, container: &KeptContainer) -> io::Result<PathBuf>;

    /// Keeps the plan that failed.
    fn keep_plan(&self, plan: &Plan) -> io::Result<()>;

    /// Is told the plan that is about to be carried out.
    fn planned(&self, _: &Plan) -> io::Result<()> {
        Ok(())
    }
}

/// What is known of a container.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptContainer {
    /// Its name.
    pub name: String,
    /// What `inspect` gives; secrets not yet masked.
    pub inspect: serde_json::Value,
    /// Its log, line by line.
    pub log: Vec<String>,
    /// Its last health results; null without any.
    pub health: serde_json::Value,
}

/// Adds to each failure the last log lines, health results and what the engine knows of the exit.
pub(super) async fn fill(run: &Run, plan: &Plan, driven: &mut Driven) {
    let engine = Arc::clone(run.engine());
    for failure in &mut driven.outcome.failures {
        let containers = containers_of(plan, &driven.done.created, &failure.service);
        failure.health = driven
            .health
            .iter()
            .filter(|(replica, ..)| replica.service == failure.service)
            .filter_map(|(.., report)| report.as_ref())
            .flat_map(last_results)
            .collect();
        for container in containers {
            failure.log.extend(log(engine.as_ref(), &container.id, SHOWN_LINES).await);
            note_memory(engine.as_ref(), &container.id, failure).await;
        }
    }
}

async fn note_memory(engine: &dyn Engine, id: &str, failure: &mut Failure) {
    let detail = tokio::time::timeout(PATIENCE, engine.inspect(id)).await;
    let Ok(Ok(Some(detail))) = detail else { return };
    if detail.oom_killed && !failure.reason.contains("out of memory") {
        failure.reason.push_str(" (out of memory)");
    }
    if failure.exit_code.is_none() && detail.exit_code != 0 {
        failure.exit_code = Some(detail.exit_code);
    }
}

/// The last result of every check: after ready those that went on, beside what the start found.
fn last_results(report: &MonitorReport) -> Vec<String> {
    let starting =
        report.stages.iter().flat_map(|stage| stage.checks.iter().map(|c| (stage.name.as_str(), c)));
    let live = report.liveness.iter().map(|check| ("liveness", check));
    let shown = |(stage, check): (&str, &CheckReport)| {
        let last = check.last.as_ref()?;
        let name = if stage == check.name { stage.to_owned() } else { format!("{stage}/{}", check.name) };
        Some(format!("{name}: {}", last.detail))
    };
    starting.chain(live).filter_map(shown).collect()
}

/// Containers of what failed that are not about to be removed: they may be, before anybody looks.
pub(super) fn failed(plan: &Plan, driven: &Driven) -> Vec<ContainerRef> {
    let of = |failure: &Failure| containers_of(plan, &driven.done.created, &failure.service);
    driven.outcome.failures.iter().flat_map(of).collect()
}

/// Keeps the plan. A run without its plan is told all the same.
pub(super) fn keep_plan(keep: &dyn Keep, plan: &Plan) {
    if let Err(error) = keep.keep_plan(plan) {
        tracing::debug!("the plan cannot be saved: {error}");
    }
}

/// Tells the plan. A run whose plan cannot be saved goes on.
pub(super) fn planned(keep: &dyn Keep, plan: &Plan) {
    if let Err(error) = keep.planned(plan) {
        tracing::warn!("the plan cannot be saved: {error}");
    }
}

/// Containers of a service that this plan made, else those that were there.
fn containers_of(
    plan: &Plan,
    created: &std::collections::BTreeMap<Replica, ContainerRef>,
    service: &str,
) -> Vec<ContainerRef> {
    let made: Vec<ContainerRef> =
        created.iter().filter(|(r, _)| r.service == service).map(|(_, c)| c.clone()).collect();
    if !made.is_empty() {
        return made;
    }
    let units = plan.units.iter().filter(|u| u.service == service);
    units.flat_map(|u| u.replicas.iter().filter_map(|r| r.existing.clone())).collect()
}

async fn log(engine: &dyn Engine, id: &str, lines: u64) -> Vec<String> {
    let options = LogOptions { tail: Some(lines), ..LogOptions::default() };
    let read = engine.logs(id, &options).filter_map(|line| async { line.ok().map(|l| l.text) }).collect();
    tokio::time::timeout(PATIENCE, read).await.unwrap_or_default()
}

/// Keeps what is known of containers that are about to be removed, and says where.
pub(super) async fn keep(run: &mut Run, keep: &dyn Keep, containers: &[ContainerRef], driven: &Driven) {
    let engine = Arc::clone(run.engine());
    let gathered = join_all(containers.iter().map(|container| gather(engine.as_ref(), container))).await;
    let mut folder = None;
    for (container, (inspect, log)) in containers.iter().zip(gathered) {
        let report =
            driven.done.created.iter().find(|(_, c)| c.id == container.id).and_then(|(replica, _)| {
                driven
                    .health
                    .iter()
                    .find(|(r, ..)| r == replica)
                    .map(|(_, state, report)| health(*state, report.as_ref()))
            });
        let kept = KeptContainer {
            name: container.name.clone(),
            inspect,
            log,
            health: report.unwrap_or(serde_json::Value::Null),
        };
        match keep.keep(&kept) {
            Ok(path) => folder = Some(path),
            Err(error) => {
                let message = format!("the logs of {} cannot be saved: {error}", container.name);
                run.announce(EventKind::Warning { message });
            }
        }
    }
    if let Some(folder) = folder {
        run.announce(EventKind::Saved { path: folder.display().to_string() });
    }
}

async fn gather(engine: &dyn Engine, container: &ContainerRef) -> (serde_json::Value, Vec<String>) {
    let inspect = tokio::time::timeout(PATIENCE, engine.inspect(&container.id)).await;
    let inspect = inspect.ok().and_then(Result::ok).flatten().map(|d| d.raw).unwrap_or_default();
    (inspect, log(engine, &container.id, SAVED_LINES).await)
}

fn health(state: ServiceState, report: Option<&MonitorReport>) -> serde_json::Value {
    serde_json::json!({ "state": state, "report": report })
}
