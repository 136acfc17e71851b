//! One line per change, without control codes.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use unicode_width::UnicodeWidthStr as _;

use super::{Report, RunView, Streams, human_duration, view::doing};
use crate::{
    event::{BreakerState, CancelReason, Event, EventKind, ServiceState, StageStatus, Verb, WindowEnd},
    project::{Replica, go_duration},
};

/// Writes a line per change: when, what, what it is now, why.
#[derive(Debug, Default)]
pub struct PlainReport {
    /// Columns of the widest subject.
    width: usize,
}

impl Report for PlainReport {
    fn event(&mut self, streams: &mut Streams, view: &RunView, event: &Event) -> io::Result<()> {
        if let EventKind::RunStarted(_) = event.kind {
            self.width =
                view.replicas.iter().map(|r| r.replica.to_string().width()).max().unwrap_or(0).min(40);
        }
        let Some((subject, text)) = line(view, event) else { return Ok(()) };
        let pad = self.width.saturating_sub(subject.width());
        let text = text.replace('\n', " ");
        writeln!(
            streams.err,
            "{:>7}  {subject}{:pad$}  {}",
            human_duration(event.at.since_start()),
            "",
            text.trim_end()
        )?;
        streams.err.flush()
    }
}

/// What is said of an event, and about whom; `None` for what is no change.
fn line(view: &RunView, event: &Event) -> Option<(String, String)> {
    Some(match &event.kind {
        EventKind::Waiting { .. } => ("waiting".to_owned(), view.waiting.clone()?),
        EventKind::RunStarted(run) => (run.project.clone(), run.command.clone()),
        EventKind::WaveOpened { wave } => (format!("wave {wave}"), "open".to_owned()),
        EventKind::WaveReady { wave } => (format!("wave {wave}"), "ready".to_owned()),
        EventKind::WaveFailed { wave, reason } => (format!("wave {wave}"), format!("failed: {reason}")),
        EventKind::StepStarted { action, .. } => (action.target.clone(), doing(action.action)?.to_owned()),
        EventKind::StepDone { action, took, .. } => {
            let done = done(action.action)?;
            (action.target.clone(), format!("{done} in {}", human_duration(*took)))
        }
        EventKind::StepFailed { action, error, .. } => {
            let subject = action.replica.as_ref().map_or_else(|| action.target.clone(), ToString::to_string);
            (subject, format!("failed to {}: {error}", infinitive(action.action)))
        }
        EventKind::Service { replica, state, cause, .. } => {
            (replica.to_string(), service_words(view, event, replica, *state, cause))
        }
        EventKind::Stage { replica, stage, index, of, status, cause } => {
            let status = match status {
                StageStatus::Started => return None,
                StageStatus::Passed => "passed",
                StageStatus::Degraded => "degraded",
                StageStatus::Failed => "failed",
            };
            let cause = if cause.is_empty() { String::new() } else { format!(": {cause}") };
            (replica.to_string(), format!("stage {stage} ({index}/{of}) {status}{cause}"))
        }
        EventKind::StageMoved { replica, stage, index, of, text } => {
            (replica.to_string(), format!("stage {stage} ({index}/{of}) {text}"))
        }
        EventKind::Breaker { replica, check, breaker, open_for, cause } => {
            (replica.to_string(), format!("{check}: {}", breaker_words(*breaker, *open_for, cause)?))
        }
        EventKind::Told { target, text } => (target.clone(), text.clone()),
        EventKind::Hook { replica, text } => (format!("{replica} ->"), text.clone()),
        EventKind::Ready { degraded } if degraded.is_empty() => (view.project.clone(), "ready".to_owned()),
        EventKind::Ready { degraded } => {
            (view.project.clone(), format!("ready, degraded: {}", degraded.join(", ")))
        }
        EventKind::WindowOpened { length, kept } => {
            (view.project.clone(), watching_words(*length, !kept.is_empty()))
        }
        EventKind::ConditionMet { condition, reason, .. } => {
            (view.project.clone(), format!("{condition}: {reason}"))
        }
        EventKind::WindowClosed { end } => (view.project.clone(), closed_words(*end, view)?.to_owned()),
        EventKind::CancelRequested { reason } => (view.project.clone(), cancel_words(*reason).to_owned()),
        EventKind::Unwinding { policy, reason } => (view.project.clone(), format!("{policy}: {reason}")),
        EventKind::Saved { path } => (view.project.clone(), format!("logs saved in {path}")),
        EventKind::Warning { message } => ("warning".to_owned(), message.clone()),
        EventKind::Probed { .. }
        | EventKind::Progress { .. }
        | EventKind::RunFinished(_)
        | EventKind::Unknown => {
            return None;
        }
    })
}

/// What is to be said of a step that is done.
fn done(verb: Verb) -> Option<&'static str> {
    Some(match verb {
        Verb::CreateNetwork => "network created",
        Verb::RemoveNetwork => "network removed",
        Verb::CreateVolume => "volume created",
        Verb::RemoveVolume => "volume removed",
        Verb::PullImage => "pulled",
        Verb::BuildImage => "built",
        Verb::RemoveImage => "image removed",
        Verb::ProviderUp => "created",
        Verb::ProviderDown => "removed",
        Verb::ProviderStop => "stopped",
        Verb::SetUpModel => "model set up",
        // Their services' states say it.
        Verb::CreateContainer
        | Verb::TakeNames
        | Verb::StartContainer
        | Verb::StopContainer
        | Verb::KillContainer
        | Verb::RestartContainer
        | Verb::RenameContainer
        | Verb::ReconnectContainer
        | Verb::RemoveContainer => return None,
    })
}

/// What is said of a container's state.
fn service_words(
    view: &RunView,
    event: &Event,
    replica: &Replica,
    state: ServiceState,
    cause: &str,
) -> String {
    let mut text = state.word().to_owned();
    let known = view.replicas.iter().find(|r| r.replica == *replica);
    if state == ServiceState::Ready
        && let Some(began) = known.and_then(|r| r.began)
    {
        text = format!("{text} after {}", human_duration(event.at.since(began)));
    }
    if cause.is_empty() { text } else { format!("{text}: {cause}") }
}

/// What is said of a check that is left alone, or not any more.
fn breaker_words(breaker: BreakerState, open_for: Duration, cause: &str) -> Option<String> {
    match breaker {
        BreakerState::Open if cause.is_empty() => Some(format!("open for {}", human_duration(open_for))),
        BreakerState::Open => Some(format!("open for {}: {cause}", human_duration(open_for))),
        BreakerState::Closed => Some("closed again".to_owned()),
        BreakerState::HalfOpen => None,
    }
}

/// What is said when the rollback window opens.
pub(super) fn watching_words(length: Duration, keeps: bool) -> String {
    let length = go_duration(length);
    if keeps {
        format!("watching for {length} before what ran before is let go")
    } else {
        format!("watching for {length}: what goes wrong until then is rolled back")
    }
}

/// What is said when it closes; `None`: what follows says it.
pub(super) fn closed_words(end: WindowEnd, view: &RunView) -> Option<&'static str> {
    let keeps = view.window.as_ref().is_some_and(|window| window.keeps);
    match (end, keeps) {
        (WindowEnd::Passed, true) => Some("all went well: what ran before is let go"),
        (WindowEnd::Passed, false) => Some("all went well"),
        (WindowEnd::NothingRuns, true) => Some("nothing is left to watch: what ran before is let go"),
        (WindowEnd::NothingRuns, false) => Some("nothing is left to watch"),
        (WindowEnd::ConditionMet | WindowEnd::RunEnded, _) => None,
    }
}

/// What a request to end is called.
pub(super) fn cancel_words(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::ContainerExited => "stopping: a container exited",
        CancelReason::Failure => "stopping: something critical failed",
        CancelReason::Timeout => "stopping: time is over",
        CancelReason::Interrupt => "stopping: interrupted; interrupt again to kill",
        CancelReason::Forced => "killing: interrupted again",
    }
}

/// What was asked of the engine, after "failed to".
pub(super) fn infinitive(verb: Verb) -> &'static str {
    match verb {
        Verb::CreateNetwork => "create network",
        Verb::RemoveNetwork => "remove network",
        Verb::CreateVolume => "create volume",
        Verb::RemoveVolume => "remove volume",
        Verb::PullImage => "pull image",
        Verb::BuildImage => "build image",
        Verb::RemoveImage => "remove image",
        Verb::ProviderUp => "create service",
        Verb::ProviderDown => "remove service",
        Verb::ProviderStop => "stop service",
        Verb::SetUpModel => "set up model",
        Verb::CreateContainer => "create container",
        Verb::TakeNames => "take the names over",
        Verb::StartContainer => "start container",
        Verb::StopContainer => "stop container",
        Verb::KillContainer => "kill container",
        Verb::RestartContainer => "restart container",
        Verb::RenameContainer => "rename container",
        Verb::RemoveContainer => "remove container",
        Verb::ReconnectContainer => "reconnect container",
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::{
        event::StepAction,
        report::{
            reporter::tests::rendered,
            view::tests::{events, probed, service, stage, started},
        },
    };

    #[test]
    fn every_change_is_one_line() {
        let network =
            StepAction { action: Verb::CreateNetwork, target: "shop_default".into(), replica: None };
        let text = rendered(
            PlainReport::default(),
            &events(vec![
                (0, started()),
                (10, EventKind::StepStarted { step: 0, action: network.clone(), cause: String::new() }),
                (60, EventKind::StepDone { step: 0, action: network, took: Duration::from_millis(50) }),
                (70, service("db", ServiceState::Starting, "")),
                (80, service("web", ServiceState::Blocked, "waits for db")),
                (90, stage("db", "ready", 1, 1, StageStatus::Started)),
                (95, probed("db", "connection refused")),
                (500, stage("db", "ready", 1, 1, StageStatus::Passed)),
                (500, service("db", ServiceState::Ready, "")),
                (900, service("web", ServiceState::Failed, "exited with code 1:\ncannot bind")),
                (910, EventKind::Unwinding { policy: "rollback".into(), reason: "web failed".into() }),
                (920, EventKind::CancelRequested { reason: CancelReason::Interrupt }),
                (930, EventKind::Warning { message: "`x` is ignored".into() }),
                (940, EventKind::WindowOpened { length: Duration::from_mins(5), kept: vec!["a".into()] }),
                (
                    950,
                    EventKind::ConditionMet {
                        condition: "error_rate > 10%".into(),
                        action: "immediate_rollback".into(),
                        after: Duration::from_millis(10),
                        reason: "web: reports an error rate of 12%, more than 10%".into(),
                    },
                ),
                (950, EventKind::WindowClosed { end: WindowEnd::ConditionMet }),
                (960, EventKind::WindowClosed { end: WindowEnd::Passed }),
            ]),
        );
        assert_snapshot!(text, @"
        0.0s  shop   up
        0.1s  shop_default  network created in 0.1s
        0.1s  db-1   starting
        0.1s  web-1  blocked: waits for db
        0.5s  db-1   stage ready (1/1) passed
        0.5s  db-1   ready after 0.4s
        0.9s  web-1  failed: exited with code 1: cannot bind
        0.9s  shop   rollback: web failed
        0.9s  shop   stopping: interrupted; interrupt again to kill
        0.9s  warning  `x` is ignored
        0.9s  shop   watching for 5m0s before what ran before is let go
        1.0s  shop   error_rate > 10%: web: reports an error rate of 12%, more than 10%
        1.0s  shop   all went well: what ran before is let go
        ");
    }
}
