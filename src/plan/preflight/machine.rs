//! What the engine's machine must have: files, folders, devices, memory, room, GPUs, the right processor.

use std::collections::HashSet;

use super::{intent::Intent, on_machine};
use crate::{
    diagnostic::Diagnostic,
    plan::{EngineFacts, Home, Surroundings},
    project::{DeviceRequest, FileObject, FileReference, Service, Volume, byte_words},
};

/// Every machine with an engine has this much memory, in bytes.
const LITTLE: u64 = 1 << 30;

/// A path that has to be there.
pub(super) struct Need {
    pub(super) path: String,
    code: &'static str,
    /// What it is for: the file of secret `token`.
    what: String,
    help: String,
    places: Vec<String>,
    used: Vec<String>,
}

/// Paths on the engine's machine without which the containers of this plan cannot be.
pub(super) fn needs(intent: &Intent<'_>) -> Vec<Need> {
    let mut needs: Vec<Need> = Vec::new();
    for service in intent.created.values() {
        let (secrets, configs) = (&intent.project.secrets, &intent.project.configs);
        for (index, reference) in service.secrets.iter().enumerate() {
            needs.extend(file(intent, service, ("secret", index), reference, |key| secrets.get(key)));
        }
        for (index, reference) in service.configs.iter().enumerate() {
            needs.extend(file(intent, service, ("config", index), reference, |key| configs.get(key)));
        }
        needs.extend(mounts(intent, service));
    }
    for (service, _) in intent.starting() {
        needs.extend(devices(intent, service));
    }
    // One place is enough for what several services use.
    let mut known: HashSet<(String, Vec<String>)> = HashSet::new();
    needs.retain(|need| known.insert((need.path.clone(), need.places.clone())));
    needs
}

/// The file of a secret or config.
fn file<'a>(
    intent: &Intent<'_>,
    service: &Service,
    (kind, index): (&str, usize),
    reference: &FileReference,
    object: impl Fn(&str) -> Option<&'a FileObject>,
) -> Option<Need> {
    let key = reference.source.as_deref()?;
    let object = object(key).filter(|object| !object.external)?;
    let path = object.file.clone().filter(|path| path.starts_with('/'))?;
    Some(Need {
        path,
        code: "no-such-file",
        what: format!("the file of {kind} `{key}`"),
        help: "create it, or correct `file`".to_owned(),
        places: vec![format!("{kind}s.{key}.file"), format!("{kind}s.{key}")],
        used: intent.item(service, &format!("{kind}s"), index),
    })
}

/// Folders that are to be mounted, and that nobody creates.
fn mounts(intent: &Intent<'_>, service: &Service) -> Vec<Need> {
    let is_absolute = |path: &&String| path.starts_with('/');
    let of_mount = |(index, mount): (usize, &crate::project::ServiceMount)| {
        let source = mount.source.as_ref()?;
        let target = mount.target.as_deref().unwrap_or_default();
        let created = mount.bind.as_ref().is_none_or(|bind| bind.create_host_path);
        let item = intent.item(service, "volumes", index);
        if mount.r#type == "bind" && !created {
            return Some(source).filter(is_absolute).map(|path| Need {
                path: path.clone(),
                code: "no-such-file",
                what: format!("the source of the mount at {target} of service `{}`", service.name),
                help: "create it, or let the engine do so with `bind: {create_host_path: true}`".to_owned(),
                places: item,
                used: Vec::new(),
            });
        }
        let volume = intent.project.volumes.get(source).filter(|_| mount.r#type == "volume")?;
        Some(Need {
            path: bound_device(volume).filter(is_absolute)?.clone(),
            code: "no-such-file",
            what: format!("the device of volume `{source}`"),
            help: "create it, or correct `driver_opts.device`".to_owned(),
            places: vec![format!("volumes.{source}.driver_opts"), format!("volumes.{source}")],
            used: item,
        })
    };
    service.volumes.iter().enumerate().filter_map(of_mount).collect()
}

/// The folder that a volume of the local driver stands for.
fn bound_device(volume: &Volume) -> Option<&String> {
    let is_local = volume.driver.as_deref().is_none_or(|driver| driver == "local") && !volume.external;
    let binds =
        volume.driver_opts.get("o").is_some_and(|o| o.split(',').any(|o| o == "bind" || o == "rbind"));
    volume.driver_opts.get("device").filter(|_| is_local && binds)
}

fn devices(intent: &Intent<'_>, service: &Service) -> Vec<Need> {
    let device = |(index, device): (usize, &crate::project::DeviceMapping)| {
        let path = device.source.clone().filter(|path| path.starts_with('/'))?;
        Some(Need {
            path,
            code: "no-device",
            what: format!("a device of service `{}`", service.name),
            help: "correct `devices`; `ls -l /dev` shows what there is".to_owned(),
            places: intent.item(service, "devices", index),
            used: Vec::new(),
        })
    };
    service.devices.iter().enumerate().filter_map(device).collect()
}

/// What is not there of it.
pub(super) fn missing(intent: &Intent<'_>, around: &Surroundings) -> Vec<Diagnostic> {
    let missing = needs(intent).into_iter().filter(|need| around.machine.missing.contains(&need.path));
    let diagnostic = |need: Need| {
        let message = format!("{}, {}, does not exist", need.what, need.path);
        let error = Diagnostic::error(need.code, message).help(need.help);
        let placed = intent.project.point(error, &need.places, "");
        on_machine(around.home, intent.project.point(placed, &need.used, "used here"))
    };
    missing.filter_map(diagnostic).collect()
}

/// Whether the engine must be asked about itself.
pub(super) fn asks_engine(intent: &Intent<'_>) -> bool {
    intent.created.values().any(|service| {
        let much = memory(service).is_some_and(|(limit, _)| limit > LITTLE);
        much || service.runtime.is_some() || gpu_place(service).is_some()
    })
}

/// What of the containers does not suit the engine.
pub(super) fn engine(intent: &Intent<'_>, around: &Surroundings) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for service in intent.created.values() {
        found.extend(platform(intent, service, &around.platform));
        if let Some(facts) = &around.engine {
            found.extend(runtime(intent, service, facts));
            found.extend(gpu(intent, service, facts));
            found.extend(too_much_memory(intent, service, facts));
        }
    }
    if let (Some(space), Some(facts), Home::Here) = (around.machine.space, &around.engine, around.home)
        && space.is_short()
    {
        let message = format!(
            "only {} are free in {}, where the engine keeps images and volumes",
            byte_words(space.free),
            facts.data_root
        );
        let help = "`docker system df` shows what takes the room";
        found.push(Diagnostic::warning("little-space", message).help(help));
    }
    found
}

fn at(intent: &Intent<'_>, service: &Service, attribute: &str, diagnostic: Diagnostic) -> Diagnostic {
    let own = format!("services.{}", service.name);
    intent.project.point(diagnostic, &[format!("{own}.{attribute}"), own], "")
}

fn runtime(intent: &Intent<'_>, service: &Service, facts: &EngineFacts) -> Option<Diagnostic> {
    let name = service.runtime.as_deref().filter(|name| !name.is_empty())?;
    // Others are found by the name of their program.
    if name.contains(['.', '/']) || facts.runtimes.is_empty() || facts.runtimes.iter().any(|r| r == name) {
        return None;
    }
    let message = format!("the engine has no runtime `{name}`, which service `{}` asks for", service.name);
    let help = format!("it has {}", facts.runtimes.join(", "));
    Some(at(intent, service, "runtime", Diagnostic::error("no-runtime", message).help(help)))
}

/// The attribute by which a service asks for GPUs.
fn gpu_place(service: &Service) -> Option<&'static str> {
    let asks = |request: &DeviceRequest| {
        request.capabilities.iter().any(|c| c == "gpu") || request.driver.as_deref() == Some("nvidia")
    };
    let reserved = service.deploy.as_ref().and_then(|d| d.resources.reservations.as_ref());
    if !service.gpus.is_empty() {
        Some("gpus")
    } else if reserved.is_some_and(|r| r.devices.iter().any(asks)) {
        Some("deploy")
    } else {
        None
    }
}

fn gpu(intent: &Intent<'_>, service: &Service, facts: &EngineFacts) -> Option<Diagnostic> {
    let attribute = gpu_place(service).filter(|_| !facts.has_gpu())?;
    let message = format!(
        "service `{}` asks for a GPU, and the engine names neither NVIDIA's runtime nor a CDI device for one",
        service.name
    );
    let help = "the start fails unless the NVIDIA Container Toolkit is installed on the engine's machine";
    Some(at(intent, service, attribute, Diagnostic::warning("no-gpu-runtime", message).help(help)))
}

/// The limit of its memory, in bytes, and where that stands.
fn memory(service: &Service) -> Option<(u64, &'static str)> {
    let limits = service.deploy.as_ref().and_then(|d| d.resources.limits.as_ref());
    let of = |bytes: Option<crate::project::Bytes>, attribute| {
        bytes.and_then(|b| u64::try_from(b.0).ok()).filter(|b| *b > 0).map(|b| (b, attribute))
    };
    of(limits.and_then(|l| l.memory), "deploy").or(of(service.mem_limit, "mem_limit"))
}

fn too_much_memory(intent: &Intent<'_>, service: &Service, facts: &EngineFacts) -> Option<Diagnostic> {
    let (limit, attribute) =
        memory(service).filter(|(limit, _)| facts.memory > 0 && *limit > facts.memory)?;
    let message = format!(
        "service `{}` may use {} of memory, and the engine's machine has {}",
        service.name,
        byte_words(limit),
        byte_words(facts.memory)
    );
    let help = "the limit never takes effect: the machine runs out of memory first";
    Some(at(intent, service, attribute, Diagnostic::warning("memory-limit", message).help(help)))
}

/// A platform that the engine's processor is not made for.
fn platform(intent: &Intent<'_>, service: &Service, engine: &str) -> Option<Diagnostic> {
    let image = intent.observed.images.get(&intent.project.image_name(service));
    let (wanted, attribute) = match (&service.platform, image) {
        (Some(platform), _) => (platform.as_str(), "platform"),
        (None, Some(image)) => (image.platform.as_str(), "image"),
        (None, None) => return None,
    };
    if engine.is_empty() || wanted.is_empty() || suits(wanted, engine) {
        return None;
    }
    let message = format!("service `{}` is for {wanted}, and the engine runs on {engine}", service.name);
    let help = "it runs under emulation, slowly, where the engine's machine has one (binfmt, QEMU)";
    Some(at(intent, service, attribute, Diagnostic::warning("platform", message).help(help)))
}

fn suits(wanted: &str, engine: &str) -> bool {
    let parts = |text: &str| {
        let text = text.to_ascii_lowercase();
        let (os, arch) = text.split_once('/').map_or(("linux", text.as_str()), |(os, arch)| (os, arch));
        let arch = match arch.split('/').next().unwrap_or_default() {
            "x86_64" | "x86-64" => "amd64",
            "aarch64" => "arm64",
            "i386" => "386",
            other => other,
        };
        (os.to_owned(), arch.to_owned())
    };
    let ((os, arch), (own_os, own_arch)) = (parts(wanted), parts(engine));
    // Processors of 64 bits run what was made for their elder brothers.
    let elder = matches!((arch.as_str(), own_arch.as_str()), ("386", "amd64") | ("arm", "arm64"));
    os == own_os && (arch == own_arch || elder)
}
