//! What the engine says of itself.

use std::time::Duration;

use bollard::{Docker, models::SystemInfo};

use super::{error::within, timestamp};
use crate::{engine::EngineError, plan::EngineFacts};

/// Asks for it.
pub(super) async fn about(docker: &Docker, limit: Duration) -> Result<EngineFacts, EngineError> {
    within(limit, "info", docker.info()).await.map(facts)
}

fn facts(info: SystemInfo) -> EngineFacts {
    let number = |value: Option<i64>| value.and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
    let mut runtimes: Vec<String> = info.runtimes.unwrap_or_default().into_keys().collect();
    runtimes.sort();
    let devices = info.discovered_devices.unwrap_or_default().into_iter();
    let security = info.security_options.unwrap_or_default();
    EngineFacts {
        machine: info.name.unwrap_or_default(),
        system: info.operating_system.unwrap_or_default(),
        cpus: number(info.ncpu),
        memory: number(info.mem_total),
        data_root: info.docker_root_dir.unwrap_or_default(),
        storage_driver: info.driver.unwrap_or_default(),
        cgroup_version: info.cgroup_version.map(|v| v.to_string()).unwrap_or_default(),
        cgroup_driver: info.cgroup_driver.map(|d| d.to_string()).unwrap_or_default(),
        rootless: security.iter().any(|option| option.split(',').any(|part| part == "name=rootless")),
        live_restore: info.live_restore_enabled.unwrap_or_default(),
        runtimes,
        cdi_devices: devices.filter_map(|device| device.id).collect(),
        time: info.system_time.and_then(|time| timestamp::nanos(&time)),
        warnings: info.warnings.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_engines_old_and_new_write_it() {
        let old = r#"{"Name":"vm","NCPU":2,"MemTotal":1024,"Driver":"overlay2","DockerRootDir":"/var/lib/docker",
            "Runtimes":{"runc":{"path":"runc"},"nvidia":{"path":"nvidia-container-runtime"}},
            "SystemTime":"1970-01-01T01:00:01.5+01:00","SecurityOptions":["name=seccomp,profile=default","name=rootless"],"Warnings":null}"#;
        let old = facts(serde_json::from_str(old).unwrap());
        assert_eq!((old.machine.as_str(), old.cpus, old.memory), ("vm", 2, 1024));
        assert_eq!(old.time, Some(1_500_000_000));
        assert_eq!(old.runtimes, ["nvidia", "runc"]);
        assert!(old.rootless && old.cdi_devices.is_empty() && old.warnings.is_empty());
        let new = r#"{"DiscoveredDevices":[{"Source":"cdi","ID":"nvidia.com/gpu=0"}],"CgroupVersion":"2"}"#;
        let new = facts(serde_json::from_str(new).unwrap());
        assert_eq!(
            (new.cdi_devices, new.cgroup_version.as_str()),
            (vec!["nvidia.com/gpu=0".to_owned()], "2")
        );
    }
}
