//! Rules on places in the container.

use std::collections::HashMap;

use super::place::{at, on_service};
use crate::{
    diagnostic::Diagnostic,
    project::{Project, Service},
};

/// No two mounts have one target.
pub(super) fn mounts(project: &Project, service: &Service, problems: &mut Vec<Diagnostic>) {
    let tmpfs = service
        .tmpfs
        .iter()
        .enumerate()
        .map(|(index, text)| (text.split(':').next().unwrap_or_default(), format!("tmpfs[{index}]")));
    let volumes = service
        .volumes
        .iter()
        .enumerate()
        .map(|(index, mount)| (mount.target.as_deref().unwrap_or_default(), format!("volumes[{index}]")));
    let mut taken: HashMap<&str, String> = HashMap::new();
    for (target, place) in tmpfs.chain(volumes) {
        if let Some(earlier) = taken.get(target) {
            let message = format!("service `{}` mounts two things on `{target}`", service.name);
            let error = on_service(project, &service.name, &place, "conflict", message);
            let other = format!("services.{}.{earlier}", service.name);
            problems.push(at(error, project, &[other], "already mounted here"));
        } else {
            taken.insert(target, place);
        }
    }
}
