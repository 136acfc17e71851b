//! Devices and requests for devices.

use bollard::models::{DeviceMapping, DeviceRequest};

use super::{host::map, needs};
use crate::{
    engine::{EngineError, EngineInfo},
    project::{self, Service},
};

/// Whether a device is a name of the Container Device Interface, such as `vendor.com/class=name`.
fn is_cdi(device: &project::DeviceMapping) -> bool {
    let Some(source) = &device.source else { return false };
    let same = device.target.as_ref().is_none_or(|target| target == source);
    let kind = source.split_once('=').map(|(kind, _)| kind);
    same && !source.starts_with('/')
        && kind.and_then(|k| k.split_once('/')).is_some_and(|(v, c)| !v.is_empty() && !c.is_empty())
}

/// Devices of the host, by path.
pub(super) fn mappings(service: &Service) -> Vec<DeviceMapping> {
    service
        .devices
        .iter()
        .filter(|device| !is_cdi(device))
        .map(|device| DeviceMapping {
            path_on_host: device.source.clone(),
            path_in_container: device.target.clone().or_else(|| device.source.clone()),
            cgroup_permissions: Some(device.permissions.clone().unwrap_or_else(|| "rwm".to_owned())),
        })
        .collect()
}

/// Reservations, then CDI names, then `gpus`.
pub(super) fn requests(service: &Service, info: &EngineInfo) -> Result<Vec<DeviceRequest>, EngineError> {
    let reserved = service.deploy.as_ref().and_then(|d| d.resources.reservations.as_ref());
    let reserved = reserved.map_or(&[][..], |r| r.devices.as_slice());
    let mut requests: Vec<DeviceRequest> = reserved.iter().map(|r| request(r, None)).collect();
    let names: Vec<String> =
        service.devices.iter().filter(|d| is_cdi(d)).filter_map(|d| d.source.clone()).collect();
    if !names.is_empty() {
        needs(service, info, &format!("devices: {} (a CDI name)", names[0]), (1, 44))?;
        requests.push(DeviceRequest {
            driver: Some("cdi".to_owned()),
            device_ids: Some(names),
            ..DeviceRequest::default()
        });
    }
    requests.extend(service.gpus.iter().map(|r| request(r, Some("gpu"))));
    Ok(requests)
}

/// Without count and IDs, all devices are meant.
fn request(wanted: &project::DeviceRequest, further: Option<&str>) -> DeviceRequest {
    let count = wanted.count.or_else(|| wanted.device_ids.is_empty().then_some(-1));
    // Compose adds it to a list that has it, too.
    let capabilities = wanted.capabilities.iter().map(String::as_str).chain(further);
    let capabilities = capabilities.map(str::to_owned).collect();
    DeviceRequest {
        driver: wanted.driver.clone(),
        count,
        device_ids: (!wanted.device_ids.is_empty()).then(|| wanted.device_ids.clone()),
        capabilities: Some(vec![capabilities]),
        options: map(&wanted.options),
    }
}
