//! How a container is given GPUs: written into its service, as if its file had named them.

use super::Device;
use crate::{
    ondemand::DeviceId,
    plan::EngineFacts,
    project::{DeviceRequest, Mapping, Service},
};

/// How an engine is told which GPUs a container gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By their UUIDs.
    Ids,
    /// By their names in the Container Device Interface.
    Cdi,
}

/// The driver that most files name, and its runtime.
const NVIDIA: &str = "nvidia";
/// The driver of requests for names of the Container Device Interface.
const CDI: &str = "cdi";

impl Way {
    /// The way that a service's file asks for, else the one that the engine has: NVIDIA's runtime keeps what the file
    /// says of capabilities and options. An engine that names neither takes UUIDs, or says what it lacks. Files that ask
    /// for the driver `nvidia` want its GPUs, and get them by name where the engine has no such driver.
    pub fn of(service: &Service, facts: &EngineFacts) -> Self {
        let asked = requests(service).next().and_then(|request| request.driver.as_deref());
        let has_runtime = facts.runtimes.iter().any(|name| name == NVIDIA);
        let has_names = facts.cdi_devices.iter().any(|id| id.contains("/gpu="));
        match asked {
            Some(CDI) => Self::Cdi,
            Some(driver) if !matches!(driver, "" | NVIDIA) => Self::Ids,
            _ if has_names && !has_runtime => Self::Cdi,
            _ => Self::Ids,
        }
    }
}

/// The service with exactly these GPUs, in place of the ones that it asks for. Where it asks for none, a request is
/// added. Other devices stay as they are.
#[must_use]
pub fn placed(service: &Service, devices: &[Device], facts: &EngineFacts) -> Service {
    let way = Way::of(service, facts);
    let names: Vec<String> = devices.iter().map(|device| name(device, way, facts)).collect();
    let mut service = service.clone();
    let reserved = service.deploy.as_mut().and_then(|deploy| deploy.resources.reservations.as_mut());
    let mut reserved = reserved.map(|reserved| &mut reserved.devices);
    // The first request for GPUs stands for all of them: a container gets the sum of its requests.
    let is_first_reserved = reserved.as_deref().is_some_and(|requests| requests.iter().any(is_gpu));
    if let Some(requests) = reserved.take() {
        choose(requests, way, &names, is_gpu);
    }
    if is_first_reserved {
        service.gpus.clear();
    } else if service.gpus.is_empty() {
        service.gpus.push(DeviceRequest::default());
    }
    choose(&mut service.gpus, way, &names, |_| true);
    service
}

/// Writes names into the first of these requests and drops the others. Without names, all go.
fn choose(
    requests: &mut Vec<DeviceRequest>,
    way: Way,
    names: &[String],
    is_meant: impl Fn(&DeviceRequest) -> bool,
) {
    let mut is_first = !names.is_empty();
    requests.retain_mut(|request| {
        if !is_meant(request) {
            return true;
        }
        request.count = None;
        request.device_ids = names.to_vec();
        if way == Way::Cdi {
            request.driver = Some(CDI.to_owned());
            // The engine refuses them beside names.
            request.options = Mapping::default();
        }
        std::mem::take(&mut is_first)
    });
}

/// Whether an engine has a device of this UUID in the Container Device Interface.
pub fn has_name(device: &Device, facts: &EngineFacts) -> bool {
    cdi_name(&device.id.0, facts).is_some()
}

/// By what an engine knows a device. A list of names that lacks it is told by its UUID, and the engine says so.
fn name(device: &Device, way: Way, facts: &EngineFacts) -> String {
    match way {
        Way::Ids => device.id.0.clone(),
        Way::Cdi => cdi_name(&device.id.0, facts)
            .or_else(|| cdi_name(&device.index.to_string(), facts))
            .cloned()
            .unwrap_or_else(|| format!("nvidia.com/gpu={}", device.id)),
    }
}

/// The engine's name for a device that it knows by this UUID or place.
fn cdi_name<'a>(end: &str, facts: &'a EngineFacts) -> Option<&'a String> {
    facts.cdi_devices.iter().find(|id| id.ends_with(&format!("/gpu={end}")))
}

/// Whether a name in a file or of a container means a device: its UUID, its place in the driver's order, or a name of the
/// Container Device Interface, which ends with one of them.
pub fn is_meant(name: &str, device: &Device) -> bool {
    let name = name.rsplit('=').next().unwrap_or(name);
    name == device.id.0 || name == device.index.to_string()
}

/// The devices that are meant by these names, by their UUIDs. What means none of the known ones stays as it is.
pub fn by_uuid(names: &[DeviceId], known: &[Device]) -> Vec<DeviceId> {
    let uuid = |name: &DeviceId| {
        let device = known.iter().find(|device| is_meant(&name.0, device));
        device.map_or_else(|| name.clone(), |device| device.id.clone())
    };
    names.iter().map(uuid).collect()
}

fn requests(service: &Service) -> impl Iterator<Item = &DeviceRequest> {
    let reserved = service.deploy.as_ref().and_then(|deploy| deploy.resources.reservations.as_ref());
    let reserved = reserved.into_iter().flat_map(|reserved| &reserved.devices).filter(|r| is_gpu(r));
    reserved.chain(&service.gpus)
}

/// Whether a reservation is for GPUs; what stands in `gpus` always is.
fn is_gpu(request: &DeviceRequest) -> bool {
    request.capabilities.iter().any(|what| what == "gpu")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{Deploy, Resource};

    fn device(index: u32, id: &str) -> Device {
        Device { id: DeviceId(id.into()), index, name: "T".into(), memory: None, processes: None }
    }

    fn with_runtime() -> EngineFacts {
        EngineFacts { runtimes: vec!["nvidia".into(), "runc".into()], ..EngineFacts::default() }
    }

    fn with_names(names: &[&str]) -> EngineFacts {
        let cdi_devices = names.iter().map(|name| (*name).to_owned()).collect();
        EngineFacts { cdi_devices, ..EngineFacts::default() }
    }

    fn gpus(requests: Vec<DeviceRequest>) -> Service {
        Service { gpus: requests, ..Service::default() }
    }

    fn reserved(requests: Vec<DeviceRequest>) -> Service {
        let mut deploy = Deploy::default();
        deploy.resources.reservations = Some(Resource { devices: requests, ..Resource::default() });
        Service { deploy: Some(deploy), ..Service::default() }
    }

    fn count(count: i64) -> DeviceRequest {
        DeviceRequest { count: Some(count), ..DeviceRequest::default() }
    }

    fn capable(what: &str, request: DeviceRequest) -> DeviceRequest {
        DeviceRequest { capabilities: vec![what.into()], ..request }
    }

    /// What the engine would be asked for.
    fn written(service: &Service) -> String {
        let reserved = service.deploy.as_ref().and_then(|d| d.resources.reservations.as_ref());
        let reserved = reserved.map(|r| &r.devices);
        serde_json::json!({"reserved": reserved, "gpus": service.gpus}).to_string()
    }

    #[test]
    fn a_count_becomes_the_chosen_ids() {
        let service = gpus(vec![count(1)]);
        let placed = placed(&service, &[device(1, "GPU-b")], &with_runtime());
        insta::assert_snapshot!(written(&placed), @r#"{"reserved":null,"gpus":[{"device_ids":["GPU-b"]}]}"#);
        assert_eq!(service.gpus[0].count, Some(1));
    }

    #[test]
    fn a_reservation_stays_where_it_is_with_its_driver_and_options() {
        let mut wanted = capable("gpu", count(-1));
        wanted.driver = Some("nvidia".into());
        wanted.options.insert("virtualization".into(), "false".into());
        let mut service = reserved(vec![capable("tpu", count(1)), wanted, capable("gpu", count(2))]);
        service.gpus = vec![count(1)];
        let placed = placed(&service, &[device(0, "GPU-a"), device(1, "GPU-b")], &with_runtime());
        insta::assert_snapshot!(written(&placed), @r#"{"reserved":[{"capabilities":["tpu"],"count":1},{"capabilities":["gpu"],"driver":"nvidia","device_ids":["GPU-a","GPU-b"],"options":{"virtualization":"false"}}],"gpus":[]}"#);
    }

    #[test]
    fn a_service_that_only_says_what_memory_it_needs_gets_a_request() {
        let placed = placed(&Service::default(), &[device(0, "GPU-a")], &EngineFacts::default());
        insta::assert_snapshot!(written(&placed), @r#"{"reserved":null,"gpus":[{"device_ids":["GPU-a"]}]}"#);
    }

    #[test]
    fn names_are_the_engines_own() {
        let facts = with_names(&["nvidia.com/gpu=0", "nvidia.com/gpu=GPU-a", "nvidia.com/gpu=1"]);
        let mut wanted = count(-1);
        wanted.options.insert("virtualization".into(), "false".into());
        let devices = [device(0, "GPU-a"), device(1, "GPU-b"), device(2, "GPU-c")];
        let placed = placed(&gpus(vec![wanted]), &devices, &facts);
        insta::assert_snapshot!(written(&placed), @r#"{"reserved":null,"gpus":[{"driver":"cdi","device_ids":["nvidia.com/gpu=GPU-a","nvidia.com/gpu=1","nvidia.com/gpu=GPU-c"]}]}"#);
    }

    #[test]
    fn an_engine_has_a_device_by_its_uuid() {
        let facts = with_names(&["nvidia.com/gpu=0", "nvidia.com/gpu=GPU-b"]);
        assert!(has_name(&device(1, "GPU-b"), &facts));
        assert!(!has_name(&device(0, "GPU-a"), &facts), "that is another one in the same place");
    }

    #[test]
    fn a_file_names_devices_as_it_likes() {
        let known = [device(0, "GPU-a"), device(1, "GPU-b")];
        let names = ["1", "GPU-a", "nvidia.com/gpu=1", "nvidia.com/gpu=GPU-a", "GPU-z"];
        let uuids = by_uuid(&names.map(|name| DeviceId(name.to_owned())), &known);
        let uuids: Vec<&str> = uuids.iter().map(|id| id.0.as_str()).collect();
        assert_eq!(uuids, ["GPU-b", "GPU-a", "GPU-b", "GPU-a", "GPU-z"]);
    }

    #[test]
    fn the_file_says_by_which_way() {
        let by = |driver: &str| {
            gpus(vec![DeviceRequest { driver: Some(driver.into()), ..DeviceRequest::default() }])
        };
        let (runtime, names) = (with_runtime(), with_names(&["nvidia.com/gpu=0"]));
        assert_eq!(Way::of(&by("cdi"), &runtime), Way::Cdi);
        assert_eq!(Way::of(&by("nvidia"), &runtime), Way::Ids);
        assert_eq!(Way::of(&by("nvidia"), &names), Way::Cdi, "there is no such driver");
        assert_eq!(Way::of(&by("amd"), &names), Way::Ids);
        assert_eq!(Way::of(&by(""), &names), Way::Cdi);
        assert_eq!(Way::of(&by(""), &with_names(&["vendor.com/net=0"])), Way::Ids);
        let both = EngineFacts { cdi_devices: names.cdi_devices, ..runtime };
        assert_eq!(Way::of(&Service::default(), &both), Way::Ids);
    }

    #[test]
    fn without_devices_nothing_is_asked_for() {
        let placed = placed(&gpus(vec![count(1)]), &[], &with_runtime());
        assert_eq!(placed.gpus, []);
    }
}
