//! The body of a container-create request.

use bollard::models::{ContainerCreateBody, EndpointSettings, HealthConfig};

use super::{host::host_config, invalid, labels::container_labels, needs, networks};
use crate::{
    engine::{ContainerRequest, EngineError, EngineInfo},
    project::{Service, SignedDuration},
};

/// Everything that makes one container.
#[derive(Debug)]
pub(in crate::engine::docker) struct Creation {
    pub(in crate::engine::docker) body: ContainerCreateBody,
    /// `os/architecture`, or empty.
    pub(in crate::engine::docker) platform: String,
    /// Networks that an API below 1.44 cannot take in the same request.
    pub(in crate::engine::docker) connect_after: Vec<(String, EndpointSettings)>,
}

/// Maps a request; `proxies` are the variables that the Docker CLI's configuration adds.
pub(in crate::engine::docker) fn creation(
    request: &ContainerRequest<'_>,
    info: &EngineInfo,
    proxies: &[(String, String)],
) -> Result<Creation, EngineError> {
    let service = request.service;
    let interactive = request.oneoff.as_ref().is_some_and(|o| o.interactive);
    let placement = networks::placement(request, info)?;
    let exposed = exposed_ports(service);
    let body = ContainerCreateBody {
        hostname: service.hostname.clone(),
        domainname: service.domainname.clone(),
        user: service.user.clone(),
        attach_stdin: Some(interactive),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        exposed_ports: (!exposed.is_empty()).then_some(exposed),
        tty: service.tty.then_some(true),
        open_stdin: (service.stdin_open || interactive).then_some(true),
        stdin_once: interactive.then_some(true),
        env: environment(service, proxies),
        cmd: service.command.clone(),
        healthcheck: healthcheck(service, info)?,
        image: Some(request.project.image_name(service)),
        working_dir: service.working_dir.clone(),
        entrypoint: service.entrypoint.clone(),
        network_disabled: (service.network_mode.as_deref() == Some("disabled")).then_some(true),
        labels: Some(container_labels(request)),
        stop_signal: service.stop_signal.clone(),
        stop_timeout: service.stop_grace_period.map(SignedDuration::whole_seconds),
        host_config: Some(host_config(request, info, placement.mode)?),
        networking_config: placement.config,
        ..ContainerCreateBody::default()
    };
    Ok(Creation {
        body,
        platform: service.platform.clone().unwrap_or_default(),
        connect_after: placement.connect_after,
    })
}

/// `KEY=VALUE` texts, and bare keys for variables without a value; the service's own win over proxy settings.
fn environment(service: &Service, proxies: &[(String, String)]) -> Option<Vec<String>> {
    let from_proxies = proxies
        .iter()
        .filter(|(key, _)| !service.environment.contains_key(key))
        .map(|(key, value)| format!("{key}={value}"));
    let own = service.environment.iter().map(|(key, value)| match value {
        Some(value) => format!("{key}={value}"),
        None => key.clone(),
    });
    let all: Vec<String> = from_proxies.chain(own).collect();
    (!all.is_empty()).then_some(all)
}

/// The targets of published ports, and what `expose` says as the file has it. Compose 5 takes ranges apart there and
/// adds `/tcp`; Compose 2.40 does not, and the engine understands both.
fn exposed_ports(service: &Service) -> Vec<String> {
    let published = service.ports.iter().filter_map(super::host::port_key);
    let mut ports: Vec<String> = service.expose.iter().cloned().chain(published).collect();
    ports.sort();
    ports.dedup();
    ports
}

/// The container's own health check; `None`: the image's.
fn healthcheck(service: &Service, info: &EngineInfo) -> Result<Option<HealthConfig>, EngineError> {
    let Some(check) = &service.healthcheck else { return Ok(None) };
    if check.is_disabled() {
        return Ok(Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }));
    }
    if check.start_interval.is_some() {
        if check.start_period.is_none() {
            return Err(invalid(service, "healthcheck.start_interval needs a healthcheck.start_period"));
        }
        needs(service, info, "healthcheck.start_interval", (1, 44))?;
    }
    let nanos = |d: Option<SignedDuration>| d.map(|d| d.0);
    Ok(Some(HealthConfig {
        test: check.test.clone(),
        interval: nanos(check.interval),
        timeout: nanos(check.timeout),
        retries: check.retries.map(|n| i64::try_from(n).unwrap_or(i64::MAX)),
        start_period: nanos(check.start_period),
        start_interval: nanos(check.start_interval),
    }))
}
