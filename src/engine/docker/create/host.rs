//! `HostConfig`: resources, namespaces, restart policy, ports.

use std::collections::{BTreeSet, HashMap};

use bollard::models::{
    HostConfig, HostConfigCgroupnsModeEnum, HostConfigIsolationEnum, HostConfigLogConfig, PortBinding,
    ResourcesBlkioWeightDevice, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};

use super::{devices, invalid, mounts::mounts, networks::links, security::security};
use crate::{
    engine::{ContainerRequest, EngineError, EngineInfo},
    project::{Bytes, Mapping, Port, Service, ThrottleDevice, Ulimit},
};

/// Maps everything that concerns the host. `network_mode` comes from the service's networks.
pub(super) fn host_config(
    request: &ContainerRequest<'_>,
    info: &EngineInfo,
    network_mode: String,
) -> Result<HostConfig, EngineError> {
    let service = request.service;
    let security = security(service, &request.project.working_dir)?;
    let mounts = mounts(request, info)?;
    let links = links(request);
    let host = HostConfig {
        annotations: map(&service.annotations),
        binds: list(mounts.binds),
        mounts: list(mounts.mounts),
        tmpfs: tmpfs(service),
        volumes_from: list(service.volumes_from.iter().map(|v| volumes_from(v)).collect()),
        network_mode: Some(network_mode),
        links: list(links),
        port_bindings: Some(port_bindings(service)),
        restart_policy: if request.oneoff.is_some() { None } else { restart_policy(service)? },
        auto_remove: request.oneoff.as_ref().filter(|o| o.auto_remove).map(|_| true),
        cap_add: list(capabilities(&service.cap_add)),
        cap_drop: list(capabilities(&service.cap_drop)),
        cgroupns_mode: cgroup_mode(service)?,
        cgroup_parent: service.cgroup_parent.clone(),
        dns: list(service.dns.clone()),
        dns_options: list(service.dns_opt.clone()),
        dns_search: list(service.dns_search.clone()),
        // Compose sends the list even where it is empty.
        extra_hosts: Some(service.extra_hosts.iter().map(|h| h.replacen('=', ":", 1)).collect()),
        group_add: list(service.group_add.clone()),
        init: service.init,
        ipc_mode: service.ipc.clone(),
        isolation: isolation(service)?,
        log_config: service.logging.as_ref().map(|logging| HostConfigLogConfig {
            typ: logging.driver.clone(),
            config: map(&logging.options),
        }),
        oom_kill_disable: Some(service.oom_kill_disable),
        oom_score_adj: service.oom_score_adj,
        pid_mode: service.pid.clone(),
        privileged: service.privileged.then_some(true),
        readonly_rootfs: service.read_only.then_some(true),
        runtime: service.runtime.clone(),
        security_opt: list(security.options),
        masked_paths: security.unconfined_paths.then(Vec::new),
        readonly_paths: security.unconfined_paths.then(Vec::new),
        shm_size: service.shm_size.map(|b| b.0),
        storage_opt: map(&service.storage_opt),
        sysctls: map(&service.sysctls),
        userns_mode: service.userns_mode.clone(),
        uts_mode: service.uts.clone(),
        ..HostConfig::default()
    };
    let device_requests = list(devices::requests(service, info)?);
    Ok(resources(service, HostConfig { device_requests, ..host }))
}

/// Limits and devices; `deploy.resources` wins over its twins at the top of the service.
fn resources(service: &Service, host: HostConfig) -> HostConfig {
    let limits = service.deploy.as_ref().and_then(|d| d.resources.limits.as_ref());
    let reserved = service.deploy.as_ref().and_then(|d| d.resources.reservations.as_ref());
    let blkio = service.blkio_config.clone().unwrap_or_default();
    let cpus = limits.and_then(|l| l.cpus).filter(|c| c.0 != 0.0).or(service.cpus);
    #[expect(clippy::cast_possible_truncation, reason = "as Compose: in 32 bits, then cut off")]
    let nano_cpus = cpus.map(|c| (c.0 * 1e9_f32) as i64);
    #[expect(clippy::cast_possible_truncation, reason = "a percentage, times 100 as Compose sends it")]
    let cpu_percent = service.cpu_percent.map(|p| (p.0 * 100.0) as i64);
    HostConfig {
        blkio_weight: blkio.weight,
        blkio_weight_device: list(
            blkio
                .weight_device
                .iter()
                .map(|d| ResourcesBlkioWeightDevice {
                    path: Some(d.path.clone()),
                    weight: Some(usize::from(d.weight)),
                })
                .collect(),
        ),
        blkio_device_read_bps: throttle(&blkio.device_read_bps),
        blkio_device_read_iops: throttle(&blkio.device_read_iops),
        blkio_device_write_bps: throttle(&blkio.device_write_bps),
        blkio_device_write_iops: throttle(&blkio.device_write_iops),
        cpu_count: service.cpu_count,
        cpu_percent,
        cpu_period: service.cpu_period,
        cpu_quota: service.cpu_quota,
        cpu_realtime_period: service.cpu_rt_period,
        cpu_realtime_runtime: service.cpu_rt_runtime,
        cpu_shares: service.cpu_shares,
        cpuset_cpus: service.cpuset.clone(),
        nano_cpus: nano_cpus.filter(|n| *n != 0),
        memory: limits.and_then(|l| bytes(l.memory)).or(bytes(service.mem_limit)),
        memory_reservation: reserved.and_then(|r| bytes(r.memory)).or(bytes(service.mem_reservation)),
        memory_swap: bytes(service.memswap_limit),
        memory_swappiness: bytes(service.mem_swappiness),
        pids_limit: limits
            .and_then(|l| l.pids)
            .filter(|p| *p != 0)
            .or(service.pids_limit.filter(|p| *p != 0)),
        ulimits: list(
            service
                .ulimits
                .iter()
                .map(|(name, limit)| {
                    let (soft, hard) = match *limit {
                        Ulimit::Single(n) => (n, n),
                        Ulimit::Range { soft, hard } => (soft, hard),
                    };
                    ResourcesUlimits { name: Some(name.clone()), soft: Some(soft), hard: Some(hard) }
                })
                .collect(),
        ),
        devices: list(devices::mappings(service)),
        device_cgroup_rules: list(service.device_cgroup_rules.clone()),
        ..host
    }
}

/// `Some` where there is something: an empty list counts as absent.
pub(super) fn list<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}

/// `Some` where there is something: an empty map counts as absent.
pub(super) fn map(mapping: &Mapping) -> Option<HashMap<String, String>> {
    (!mapping.is_empty()).then(|| mapping.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
}

/// A size; 0 counts as absent.
fn bytes(value: Option<Bytes>) -> Option<i64> {
    value.map(|b| b.0).filter(|b| *b != 0)
}

fn throttle(devices: &[ThrottleDevice]) -> Option<Vec<bollard::models::ThrottleDevice>> {
    list(
        devices
            .iter()
            .map(|d| bollard::models::ThrottleDevice { path: Some(d.path.clone()), rate: Some(d.rate.0) })
            .collect(),
    )
}

/// The full names that the Docker client sends, each once and in order: `NET_ADMIN` is `CAP_NET_ADMIN`.
fn capabilities(names: &[String]) -> Vec<String> {
    let full = |name: &String| {
        let upper = name.to_ascii_uppercase();
        if upper == "ALL" || upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") }
    };
    names.iter().map(full).collect::<BTreeSet<_>>().into_iter().collect()
}

/// `path` or `path:options`.
fn tmpfs(service: &Service) -> Option<HashMap<String, String>> {
    let entries: HashMap<String, String> = service
        .tmpfs
        .iter()
        .map(|entry| {
            let (path, options) = entry.split_once(':').unwrap_or((entry, ""));
            (path.to_owned(), options.to_owned())
        })
        .collect();
    (!entries.is_empty()).then_some(entries)
}

/// The container of a `volumes_from` entry; Compose drops the access mode.
fn volumes_from(entry: &str) -> String {
    let entry = entry.strip_prefix("container:").unwrap_or(entry);
    entry.split_once(':').map_or(entry, |(container, _)| container).to_owned()
}

/// `target/protocol`, the engine's key of a port.
pub(super) fn port_key(port: &Port) -> Option<String> {
    let target = port.target?;
    Some(format!("{target}/{}", port.protocol.as_deref().filter(|p| !p.is_empty()).unwrap_or("tcp")))
}

fn port_bindings(service: &Service) -> HashMap<String, Option<Vec<PortBinding>>> {
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in &service.ports {
        let Some(key) = port_key(port) else { continue };
        bindings.entry(key).or_default().get_or_insert_default().push(PortBinding {
            host_ip: Some(port.host_ip.clone().unwrap_or_default()),
            host_port: Some(port.published.clone().unwrap_or_default()),
        });
    }
    bindings
}

/// `deploy.restart_policy`, else `restart`.
fn restart_policy(service: &Service) -> Result<Option<RestartPolicy>, EngineError> {
    if let Some(policy) = service.deploy.as_ref().and_then(|d| d.restart_policy.as_ref()) {
        let name = restart_name(service, policy.condition.as_deref().unwrap_or_default())?;
        let count = policy.max_attempts.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        return Ok(Some(RestartPolicy { name: Some(name), maximum_retry_count: count }));
    }
    let Some(text) = &service.restart else { return Ok(None) };
    let (name, count) = text.split_once(':').unwrap_or((text, ""));
    let name = restart_name(service, name)?;
    let count = if count.is_empty() {
        None
    } else {
        Some(
            count
                .parse()
                .map_err(|_| invalid(service, &format!("`restart: {text}`: `{count}` is no number")))?,
        )
    };
    Ok(Some(RestartPolicy { name: Some(name), maximum_retry_count: count }))
}

fn restart_name(service: &Service, name: &str) -> Result<RestartPolicyNameEnum, EngineError> {
    Ok(match name {
        "" => RestartPolicyNameEnum::EMPTY,
        "no" | "none" => RestartPolicyNameEnum::NO,
        "always" | "any" => RestartPolicyNameEnum::ALWAYS,
        "unless-stopped" => RestartPolicyNameEnum::UNLESS_STOPPED,
        "on-failure" => RestartPolicyNameEnum::ON_FAILURE,
        other => {
            return Err(invalid(
                service,
                &format!(
                    "`restart: {other}` is unknown: expected no, always, unless-stopped or on-failure[:count]"
                ),
            ));
        }
    })
}

fn cgroup_mode(service: &Service) -> Result<Option<HostConfigCgroupnsModeEnum>, EngineError> {
    match service.cgroup.as_deref() {
        None | Some("") => Ok(None),
        Some("host") => Ok(Some(HostConfigCgroupnsModeEnum::HOST)),
        Some("private") => Ok(Some(HostConfigCgroupnsModeEnum::PRIVATE)),
        Some(other) => {
            Err(invalid(service, &format!("`cgroup: {other}` is unknown: expected host or private")))
        }
    }
}

fn isolation(service: &Service) -> Result<Option<HostConfigIsolationEnum>, EngineError> {
    match service.isolation.as_deref() {
        None | Some("") => Ok(None),
        Some("default") => Ok(Some(HostConfigIsolationEnum::DEFAULT)),
        Some("process") => Ok(Some(HostConfigIsolationEnum::PROCESS)),
        Some("hyperv") => Ok(Some(HostConfigIsolationEnum::HYPERV)),
        Some(other) => Err(invalid(
            service,
            &format!("`isolation: {other}` is unknown: expected default, process or hyperv"),
        )),
    }
}
