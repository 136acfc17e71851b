//! Whether a container is still what the files say.

use super::{Builder, First, Recreate};
use crate::{
    plan::{Cause, Container, is_supplied, service_hash},
    project::{Project, Service},
};

/// Replaces `service:NAME` in namespace modes, and services in `volumes_from`, by containers.
///
/// # Errors
///
/// The name of a service that has no container yet.
pub fn resolve_references(
    service: &Service,
    container_of: &dyn Fn(&str) -> Option<String>,
) -> Result<Service, String> {
    let mut resolved = service.clone();
    for mode in [&mut resolved.network_mode, &mut resolved.ipc, &mut resolved.pid] {
        let Some(name) = mode.as_deref().and_then(|m| m.strip_prefix("service:")) else { continue };
        let id = container_of(name).ok_or_else(|| name.to_owned())?;
        *mode = Some(format!("container:{id}"));
    }
    for from in &mut resolved.volumes_from {
        if let Some(container) = from.strip_prefix("container:") {
            *from = container.split(':').next().unwrap_or(container).to_owned();
            continue;
        }
        let name = from.split(':').next().unwrap_or(from).to_owned();
        *from = container_of(&name).ok_or(name)?;
    }
    Ok(resolved)
}

/// Services whose first container another one must find there when it is created.
pub fn references(service: &Service) -> Vec<String> {
    let modes = [&service.network_mode, &service.ipc, &service.pid];
    let shared = modes.into_iter().flatten().filter_map(|m| m.strip_prefix("service:").map(str::to_owned));
    let volumes = service.volumes_from.iter().filter(|f| !f.starts_with("container:"));
    let volumes = volumes.map(|f| f.split(':').next().unwrap_or(f).to_owned());
    let links = service.links.iter().map(|l| l.split(':').next().unwrap_or(l).to_owned());
    shared.chain(volumes).chain(links).collect()
}

impl Builder<'_> {
    /// Why a container must be recreated; `None` where it can stay.
    pub(super) fn divergence(&self, service: &Service, container: &Container) -> Option<Cause> {
        match self.options.recreate {
            Recreate::Never => return None,
            Recreate::Force => return Some(Cause::Forced),
            Recreate::Diverged => {}
        }
        if let Some(shared) = self.recreated_reference(service) {
            return Some(Cause::SharesWith(shared));
        }
        let container_of = |name: &str| match &self.services.get(name)?.first {
            Some(First::Kept(c)) => Some(c.id.clone()),
            Some(First::Created(_)) | None => None,
        };
        let resolved = resolve_references(service, &container_of).ok()?;
        let known = !self.options.unsupplied || !is_supplied(self.project, service);
        if known && container.compose_label("config-hash") != Some(&service_hash(&resolved)) {
            return Some(Cause::ConfigChanged);
        }
        let image = self.observed.images.get(&self.project.image_name(service));
        let labelled = container.compose_label("image");
        if image.is_some_and(|i| labelled.is_some_and(|l| l != i.id)) {
            return Some(Cause::ImageChanged);
        }
        missing_network(self.project, service, container, self)
            .or_else(|| missing_volume(self.project, service, container))
    }

    /// A service whose namespaces or volumes this one shares and whose container is new.
    fn recreated_reference(&self, service: &Service) -> Option<String> {
        references(service).into_iter().find(|name| {
            !service.links.iter().any(|l| l.split(':').next() == Some(name))
                && self.services.get(name).is_some_and(|o| matches!(o.first, Some(First::Created(_))))
        })
    }
}

/// The engine lists no addresses of containers that do not run: of those only a network that is gone is known, without
/// which they could never start again.
fn missing_network(
    project: &Project,
    service: &Service,
    container: &Container,
    builder: &Builder<'_>,
) -> Option<Cause> {
    if service.network_mode.is_some() {
        return None;
    }
    let runs = container.state == crate::plan::ContainerState::Running;
    let mut wanted = service.networks.keys().filter_map(|key| project.networks.get(key));
    let missing = wanted.find(|network| {
        let found = builder.observed.networks.get(&network.name);
        match (found, container.networks.get(&network.name)) {
            (Some(found), Some(endpoint)) => {
                runs && !endpoint.network_id.is_empty() && endpoint.network_id != found.id
            }
            (Some(_), None) => runs,
            (None, _) => true,
        }
    });
    missing.map(|network| Cause::NetworkMissing(network.name.clone()))
}

fn missing_volume(project: &Project, service: &Service, container: &Container) -> Option<Cause> {
    let named = service.volumes.iter().filter(|m| m.r#type == "volume").filter_map(|m| m.source.as_deref());
    let mut volumes = named.filter_map(|key| project.volumes.get(key));
    let missing = volumes.find(|volume| !container.mounts.iter().any(|m| m.name == volume.name));
    missing.map(|volume| Cause::VolumeMissing(volume.name.clone()))
}
