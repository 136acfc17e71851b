//! The project as JSON.

use serde_json::{Value, json};

use super::Mode;
use crate::{
    event::{ServiceState, StageStatus},
    report::{ReplicaView, RunView, StageView, WaveStatus, is_up},
    time::Elapsed,
};

/// The project as the run that is shown leaves it. `last`: the ID of the last event in it.
pub(super) fn project_json(project: &str, mode: Mode, view: &RunView, last: Option<&str>) -> Value {
    let wave = |wave: &crate::report::WaveView| {
        let of_it = || view.replicas.iter().filter(|r| r.wave.as_deref() == Some(wave.name.as_str()));
        json!({
            "name": wave.name,
            "status": wave_word(&wave.status),
            "since": seconds(wave.since),
            "ready": of_it().filter(|r| is_up(r.state)).count(),
            "services": of_it().count(),
        })
    };
    json!({
        "project": project,
        "status": status(mode, view),
        "mode": mode,
        "run": view.run,
        "command": view.command,
        "waiting": view.waiting,
        "at": seconds(view.at),
        "ready_at": view.ready_at.map(seconds),
        "ready": view.ready(),
        "services": view.replicas.iter().map(replica).collect::<Vec<_>>(),
        "waves": view.waves.iter().map(wave).collect::<Vec<_>>(),
        "warnings": view.warnings,
        "unwinding": view.unwinding.as_ref().map(|(policy, reason)| json!({"policy": policy, "reason": reason})),
        "finished": view.finished,
        "last_event": last,
    })
}

/// What does not serve, and should.
const BROKEN: [ServiceState; 2] = [ServiceState::Failed, ServiceState::Unhealthy];

/// How the project is, in one word.
fn status(mode: Mode, view: &RunView) -> &'static str {
    let is = |states: &[ServiceState], critical: bool| {
        view.replicas.iter().any(|r| states.contains(&r.state) && (r.critical || !critical))
    };
    match view.command.as_str() {
        _ if mode == Mode::Down || view.replicas.is_empty() => "down",
        _ if is(&BROKEN, true) => "unhealthy",
        _ if view.unwinding.is_some() && view.finished.is_none() => "stopping",
        _ if view
            .replicas
            .iter()
            .all(|r| matches!(r.state, ServiceState::Stopped | ServiceState::Removed)) =>
        {
            "down"
        }
        "down" | "stop" if view.finished.is_none() => "stopping",
        _ if is(&BROKEN, false) || is(&[ServiceState::Degraded, ServiceState::Skipped], false) => "degraded",
        _ if view.replicas.iter().all(|r| is_up(r.state)) => "healthy",
        _ => "starting",
    }
}

fn replica(view: &ReplicaView) -> Value {
    json!({
        "service": view.replica.service,
        "number": view.replica.number,
        "wave": view.wave,
        "critical": view.critical,
        "state": view.state,
        "cause": view.cause,
        "since": seconds(view.since),
        "stage": view.stage.as_ref().map(stage),
        "probe": view.last_probe.as_ref().map(|probe| {
            json!({"check": probe.check, "passed": probe.passed, "detail": probe.detail})
        }),
        "container": view.container,
        "started_at": view.began.map(seconds),
        "ready_at": view.ready_at.map(seconds),
    })
}

fn stage(view: &StageView) -> Value {
    let StageView { name, index, of, status, since, moved } = view;
    let status: &StageStatus = status;
    json!({"name": name, "index": index, "of": of, "status": status, "since": seconds(*since), "progress": moved})
}

fn wave_word(status: &WaveStatus) -> &'static str {
    match status {
        WaveStatus::Closed => "closed",
        WaveStatus::Open => "open",
        WaveStatus::Ready => "ready",
        WaveStatus::Failed => "failed",
    }
}

/// Since the run began, to the millisecond.
fn seconds(at: Elapsed) -> f64 {
    (at.since_start().as_secs_f64() * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        event::{Event, EventKind, RunStarted, ServiceInfo},
        project::Replica,
    };

    /// A run of `db`, and of `cache`, which is not critical.
    fn view(states: &[(&str, ServiceState)]) -> RunView {
        let info = |service: &str| ServiceInfo {
            service: service.into(),
            replicas: vec![1],
            wave: Some("one".into()),
            critical: service == "db",
            stages: vec![],
            depends_on: vec![],
            image: String::new(),
        };
        let started = EventKind::RunStarted(RunStarted {
            format: 1,
            run: "r1".into(),
            time: String::new(),
            project: "shop".into(),
            command: "up".into(),
            engine: String::new(),
            waves: vec!["one".into()],
            services: vec![info("db"), info("cache")],
        });
        let mut view = RunView::default();
        view.apply(&Event { seq: 0, at: Elapsed::ZERO, kind: started });
        for (service, state) in states {
            let replica = Replica { service: (*service).into(), number: 1 };
            let kind = EventKind::Service { replica, state: *state, cause: String::new(), container: None };
            view.apply(&Event { seq: 1, at: Elapsed::new(Duration::from_millis(1500)), kind });
        }
        view
    }

    #[test]
    fn one_word_says_how_the_project_is() {
        use ServiceState::{Completed, Degraded, Failed, Probing, Ready, Stopped, Unhealthy};
        for (db, cache, expected) in [
            (Probing, Ready, "starting"),
            (Ready, Completed, "healthy"),
            (Ready, Degraded, "degraded"),
            (Ready, Failed, "degraded"),
            (Unhealthy, Ready, "unhealthy"),
            (Stopped, Stopped, "down"),
        ] {
            let view = view(&[("db", db), ("cache", cache)]);
            assert_eq!(status(Mode::Running, &view), expected, "{db:?} {cache:?}");
            assert_eq!(status(Mode::Down, &view), "down");
        }
    }

    #[test]
    fn everything_that_is_known_is_told() {
        let view = view(&[("db", ServiceState::Ready)]);
        let json = project_json("shop", Mode::Monitoring, &view, Some("r1:1"));
        insta::assert_snapshot!(format!("{json:#}"), @r#"
        {
          "project": "shop",
          "status": "starting",
          "mode": "monitoring",
          "run": "r1",
          "command": "up",
          "waiting": null,
          "at": 1.5,
          "ready_at": null,
          "ready": 1,
          "services": [
            {
              "service": "db",
              "number": 1,
              "wave": "one",
              "critical": true,
              "state": "ready",
              "cause": "",
              "since": 1.5,
              "stage": null,
              "probe": null,
              "container": null,
              "started_at": null,
              "ready_at": 1.5
            },
            {
              "service": "cache",
              "number": 1,
              "wave": "one",
              "critical": false,
              "state": "pending",
              "cause": "",
              "since": 0.0,
              "stage": null,
              "probe": null,
              "container": null,
              "started_at": null,
              "ready_at": null
            }
          ],
          "waves": [
            {
              "name": "one",
              "status": "closed",
              "since": 0.0,
              "ready": 1,
              "services": 2
            }
          ],
          "warnings": [],
          "unwinding": null,
          "finished": null,
          "last_event": "r1:1"
        }
        "#);
    }
}
