//! One container in detail.

use std::time::Duration;

use bollard::{
    Docker,
    models::{ContainerInspectResponse, ContainerStateStatusEnum as Status, HealthConfig, HealthStatusEnum},
    query_parameters::InspectContainerOptions,
};

use super::{error::within, observe::endpoints};
use crate::{
    engine::{EngineError, EngineErrorKind},
    plan::{ContainerDetail, ContainerState, EngineHealth},
};

/// Asks for a container; `None`: there is none.
pub(super) async fn inspect(
    docker: &Docker,
    container: &str,
    limit: Duration,
) -> Result<Option<ContainerDetail>, EngineError> {
    let call = docker.inspect_container(container, None::<InspectContainerOptions>);
    match within(limit, "inspect container", call).await {
        Ok(answer) => Ok(Some(detail(&answer))),
        Err(e) if e.kind == EngineErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Maps the engine's answer.
fn detail(answer: &ContainerInspectResponse) -> ContainerDetail {
    let state = answer.state.clone().unwrap_or_default();
    let config = answer.config.clone().unwrap_or_default();
    let health = state.health.unwrap_or_default();
    let networks = answer.network_settings.as_ref().and_then(|s| s.networks.clone()).unwrap_or_default();
    ContainerDetail {
        id: answer.id.clone().unwrap_or_default(),
        name: answer.name.as_deref().unwrap_or_default().trim_start_matches('/').to_owned(),
        state: container_state(state.status),
        exit_code: state.exit_code.unwrap_or_default(),
        oom_killed: state.oom_killed.unwrap_or_default(),
        error: state.error.unwrap_or_default(),
        pid: state.pid.and_then(|p| u32::try_from(p).ok()).unwrap_or_default(),
        started_at: state.started_at.unwrap_or_default(),
        finished_at: state.finished_at.unwrap_or_default(),
        restart_count: answer.restart_count.and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
        health: match health.status {
            Some(HealthStatusEnum::STARTING) => Some(EngineHealth::Starting),
            Some(HealthStatusEnum::HEALTHY) => Some(EngineHealth::Healthy),
            Some(HealthStatusEnum::UNHEALTHY) => Some(EngineHealth::Unhealthy),
            Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) | None => None,
        },
        healthcheck: health_command(config.healthcheck.as_ref()),
        networks: endpoints(networks),
        network_mode: answer.host_config.as_ref().and_then(|h| h.network_mode.clone()).unwrap_or_default(),
        tty: config.tty.unwrap_or_default(),
        last_health_output: health.log.and_then(|log| log.into_iter().next_back()).and_then(|r| r.output),
        stop_timeout: config.stop_timeout.and_then(|s| u64::try_from(s).ok()).map(Duration::from_secs),
        raw: serde_json::to_value(answer).unwrap_or_default(),
    }
}

/// The command of a health check that is one: not absent, not empty, not switched off.
pub(super) fn health_command(check: Option<&HealthConfig>) -> Option<Vec<String>> {
    let test = check?.test.as_ref()?;
    (test.first()? != "NONE").then(|| test.clone())
}

fn container_state(status: Option<Status>) -> ContainerState {
    match status {
        Some(Status::RUNNING | Status::STOPPING) => ContainerState::Running,
        Some(Status::PAUSED) => ContainerState::Paused,
        Some(Status::RESTARTING) => ContainerState::Restarting,
        Some(Status::EXITED) => ContainerState::Exited,
        Some(Status::REMOVING) => ContainerState::Removing,
        Some(Status::DEAD) => ContainerState::Dead,
        Some(Status::CREATED | Status::EMPTY) | None => ContainerState::Created,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_mapped() {
        let answer: ContainerInspectResponse = serde_json::from_value(serde_json::json!({
            "Id": "abc", "Name": "/p-web-1", "RestartCount": 2,
            "State": {"Status": "exited", "ExitCode": 137, "OOMKilled": true, "Pid": 0, "Error": "",
                      "StartedAt": "2026-01-01T00:00:00Z", "FinishedAt": "2026-01-01T00:00:01Z",
                      "Health": {"Status": "unhealthy", "Log": [{"ExitCode": 1, "Output": "one"}, {"ExitCode": 1, "Output": "two"}]}},
            "Config": {"Tty": true, "StopTimeout": 3, "Healthcheck": {"Test": ["CMD", "true"]}},
            "HostConfig": {"NetworkMode": "p_default"},
            "NetworkSettings": {"Networks": {"p_default": {"NetworkID": "n1", "IPAddress": "10.0.0.2"}}},
        }))
        .expect("an answer");
        let detail = detail(&answer);
        assert_eq!((detail.name.as_str(), detail.state), ("p-web-1", ContainerState::Exited));
        assert_eq!((detail.exit_code, detail.oom_killed, detail.restart_count), (137, true, 2));
        assert_eq!(detail.health, Some(EngineHealth::Unhealthy));
        assert_eq!(detail.last_health_output.as_deref(), Some("two"));
        assert_eq!(detail.healthcheck, Some(vec!["CMD".to_owned(), "true".to_owned()]));
        assert_eq!(detail.networks["p_default"].ip_address, "10.0.0.2");
        assert_eq!((detail.tty, detail.stop_timeout), (true, Some(Duration::from_secs(3))));
        assert_eq!(detail.raw["Id"], "abc");
    }

    #[test]
    fn a_check_that_is_switched_off_is_none() {
        let check = |words: &[&str]| HealthConfig {
            test: Some(words.iter().map(|w| (*w).to_owned()).collect()),
            ..HealthConfig::default()
        };
        assert_eq!(health_command(Some(&check(&["NONE"]))), None);
        assert_eq!(health_command(Some(&check(&[]))), None);
        assert_eq!(health_command(Some(&check(&["CMD", "x"]))).map(|t| t.len()), Some(2));
        assert_eq!(health_command(None), None);
    }
}
