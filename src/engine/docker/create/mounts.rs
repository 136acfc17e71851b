//! Volumes: plain ones as `Binds`, everything else as `Mounts`.

use std::collections::HashSet;

use bollard::models::{
    Mount, MountBindOptions, MountBindOptionsPropagationEnum as Propagation, MountImageOptions,
    MountTmpfsOptions, MountType, MountVolumeOptions,
};

use super::{files::file_mounts, host::map, invalid, needs};
use crate::{
    engine::{ContainerRequest, EngineError, EngineInfo},
    project::{BindOptions, Project, Service, ServiceMount, VolumeOptions},
};

/// What a container mounts.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    pub(super) binds: Vec<String>,
    pub(super) mounts: Vec<Mount>,
}

/// Maps volumes, inherited anonymous volumes, and the files of secrets and configs.
pub(super) fn mounts(request: &ContainerRequest<'_>, info: &EngineInfo) -> Result<Mounts, EngineError> {
    let (project, service) = (request.project, request.service);
    let mut result = Mounts::default();
    let inherited: HashSet<&str> = request.inherited.iter().map(|v| v.target.as_str()).collect();
    let mut taken: HashSet<&str> = inherited.clone();
    for volume in &service.volumes {
        let target = volume.target.as_deref().unwrap_or_default();
        taken.insert(target);
        let anonymous = volume.r#type == "volume" && volume.source.is_none();
        if anonymous && inherited.contains(target) {
            continue;
        }
        if let Some(bind) = plain_bind(project, volume) {
            result.binds.push(bind);
        } else {
            result.mounts.push(mount(project, service, volume, info)?);
        }
    }
    result.mounts.extend(request.inherited.iter().map(|volume| Mount {
        typ: Some(MountType::VOLUME),
        source: Some(volume.name.clone()),
        target: Some(volume.target.clone()),
        read_only: volume.read_only.then_some(true),
        ..Mount::default()
    }));
    let files = file_mounts(project, service)?;
    result
        .mounts
        .extend(files.into_iter().filter(|m| m.target.as_deref().is_none_or(|t| !taken.contains(t))));
    Ok(result)
}

/// `source:target:mode` of a mount that needs no options; the engine then creates a missing host folder.
fn plain_bind(project: &Project, volume: &ServiceMount) -> Option<String> {
    let source = volume.source.as_deref()?;
    let target = volume.target.as_deref()?;
    let mode = if volume.read_only { "ro" } else { "rw" };
    match volume.r#type.as_str() {
        "bind" if bind_is_plain(volume.bind.as_ref()) => {
            let selinux = volume.bind.as_ref().and_then(|b| b.selinux.as_deref()).filter(|s| !s.is_empty());
            Some(match selinux {
                Some(flag) => format!("{source}:{target}:{mode},{flag}"),
                None => format!("{source}:{target}:{mode}"),
            })
        }
        // `run --volume` may name a volume that is not in the files.
        "volume" if volume_is_plain(volume.volume.as_ref()) && project.volumes.contains_key(source) => {
            Some(format!("{}:{target}:{mode}", volume_name(project, source)))
        }
        _ => None,
    }
}

/// Whether a bind has nothing that only `Mounts` can say.
pub(super) fn bind_is_plain(bind: Option<&BindOptions>) -> bool {
    bind.is_none_or(|b| b.create_host_path && b.propagation.is_none() && b.recursive.is_none())
}

fn volume_is_plain(volume: Option<&VolumeOptions>) -> bool {
    volume.is_none_or(|v| v.labels.is_empty() && !v.nocopy && v.subpath.as_ref().is_none_or(String::is_empty))
}

/// The engine's name of a volume's key.
fn volume_name(project: &Project, key: &str) -> String {
    project.volumes.get(key).map_or(key, |v| v.name.as_str()).to_owned()
}

fn mount(
    project: &Project,
    service: &Service,
    volume: &ServiceMount,
    info: &EngineInfo,
) -> Result<Mount, EngineError> {
    let mut mount = Mount {
        target: volume.target.clone(),
        source: volume.source.clone(),
        read_only: volume.read_only.then_some(true),
        consistency: volume.consistency.clone().filter(|c| !c.is_empty()),
        ..Mount::default()
    };
    match volume.r#type.as_str() {
        "bind" => {
            mount.typ = Some(MountType::BIND);
            mount.bind_options = volume.bind.as_ref().map(|b| bind_options(service, b, info)).transpose()?;
        }
        "volume" => {
            mount.typ = Some(MountType::VOLUME);
            mount.source = volume.source.as_deref().map(|key| volume_name(project, key));
            if volume.volume.as_ref().is_some_and(|v| v.subpath.as_ref().is_some_and(|s| !s.is_empty())) {
                needs(service, info, "volumes.volume.subpath", (1, 45))?;
            }
            mount.volume_options = volume.volume.as_ref().map(|options| MountVolumeOptions {
                no_copy: options.nocopy.then_some(true),
                labels: map(&options.labels),
                subpath: options.subpath.clone().filter(|s| !s.is_empty()),
                ..MountVolumeOptions::default()
            });
        }
        "tmpfs" => {
            mount.typ = Some(MountType::TMPFS);
            mount.tmpfs_options = volume.tmpfs.as_ref().map(|options| MountTmpfsOptions {
                size_bytes: options.size.map(|s| s.0).filter(|s| *s != 0),
                mode: options.mode.filter(|m| *m != 0).map(i64::from),
                ..MountTmpfsOptions::default()
            });
        }
        "image" => {
            needs(service, info, "a volume of type image", (1, 48))?;
            mount.typ = Some(MountType::IMAGE);
            mount.source = volume.source.as_ref().map(|source| {
                project.services.get(source).map_or_else(|| source.clone(), |s| project.image_name(s))
            });
            mount.image_options =
                volume.image.as_ref().map(|options| MountImageOptions { subpath: options.subpath.clone() });
        }
        "npipe" => mount.typ = Some(MountType::NPIPE),
        "cluster" => mount.typ = Some(MountType::CLUSTER),
        other => {
            return Err(invalid(
                service,
                &format!(
                    "a volume of type `{other}` is unknown: expected bind, volume, tmpfs, image, npipe or cluster"
                ),
            ));
        }
    }
    Ok(mount)
}

fn bind_options(
    service: &Service,
    bind: &BindOptions,
    info: &EngineInfo,
) -> Result<MountBindOptions, EngineError> {
    let propagation = match bind.propagation.as_deref() {
        None | Some("") => None,
        Some("private") => Some(Propagation::PRIVATE),
        Some("rprivate") => Some(Propagation::RPRIVATE),
        Some("shared") => Some(Propagation::SHARED),
        Some("rshared") => Some(Propagation::RSHARED),
        Some("slave") => Some(Propagation::SLAVE),
        Some("rslave") => Some(Propagation::RSLAVE),
        Some(other) => {
            return Err(invalid(
                service,
                &format!("bind.propagation `{other}` is unknown: expected [r]private, [r]shared or [r]slave"),
            ));
        }
    };
    let recursive = bind.recursive.as_deref().unwrap_or_default();
    if recursive == "readonly" {
        needs(service, info, "bind.recursive: readonly", (1, 44))?;
    }
    Ok(MountBindOptions {
        propagation,
        create_mountpoint: bind.create_host_path.then_some(true),
        non_recursive: (recursive == "disabled").then_some(true),
        read_only_non_recursive: (recursive == "writable").then_some(true),
        read_only_force_recursive: (recursive == "readonly").then_some(true),
    })
}
