//! Whether a container is still what the files say.

use super::{Builder, First, Recreate};
use crate::{
    plan::{Cause, Container, ContainerState, is_supplied, service_hash},
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
    let shared = namespaces(service);
    let volumes = service.volumes_from.iter().filter(|f| !f.starts_with("container:"));
    let volumes = volumes.map(|f| f.split(':').next().unwrap_or(f).to_owned());
    let links = service.links.iter().map(|l| l.split(':').next().unwrap_or(l).to_owned());
    shared.chain(volumes).chain(links).collect()
}

/// Services whose namespaces a container shares.
pub(in crate::plan) fn namespaces(service: &Service) -> impl Iterator<Item = String> {
    let modes = [&service.network_mode, &service.ipc, &service.pid];
    modes.into_iter().flatten().filter_map(|mode| mode.strip_prefix("service:").map(str::to_owned))
}

impl Builder<'_> {
    /// Why a container must be recreated; `None` where it can stay.
    pub(super) fn divergence(&self, service: &Service, container: &Container) -> Option<Cause> {
        let named = self.named.is_empty() || self.named.contains(service.name.as_str());
        match self.options.recreate {
            Recreate::Never => return None,
            Recreate::Force if named => return Some(Cause::Forced),
            _ if !named && self.options.recreate_dependencies => return Some(Cause::Forced),
            Recreate::Force | Recreate::Diverged => {}
        }
        // What the engine could not remove can never be started again.
        if container.state == ContainerState::Dead {
            return Some(Cause::NotRunning);
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
            return Some(Cause::ConfigChanged(self.changes(service, &resolved, container)));
        }
        let contents = self.options.fingerprints.content_changes(&container.id, self.project, service);
        if !contents.is_empty() {
            return Some(Cause::ConfigChanged(contents));
        }
        if let Some(network) = self.loses_its_mac_address(service, &container.id) {
            return Some(Cause::NetworkReplaced(network));
        }
        let image = self.observed.images.get(&self.project.image_name(service));
        let labelled = container.compose_label("image");
        if image.is_some_and(|i| labelled.is_some_and(|l| l != i.id)) {
            return Some(Cause::ImageChanged);
        }
        missing_network(self.project, service, container, self)
            .or_else(|| missing_volume(self.project, service, container))
    }

    /// What in a definition is another than what the container was made from; empty where that is not known.
    fn changes(&self, service: &Service, resolved: &Service, container: &Container) -> Vec<String> {
        let fingerprints = &self.options.fingerprints;
        let Some(mut changes) = fingerprints.changes(&container.id, self.project, resolved) else {
            // The list tells the image that was asked for, unless its name was taken over by another one.
            let image = self.project.image_name(service);
            let named = !container.image.starts_with("sha256:") && container.image != image;
            return if named { vec!["image".to_owned()] } else { Vec::new() };
        };
        changes.extend(fingerprints.content_changes(&container.id, self.project, service));
        changes
    }

    /// A service whose namespaces or volumes this one shares and whose container is new.
    fn recreated_reference(&self, service: &Service) -> Option<String> {
        references(service).into_iter().find(|name| {
            !service.links.iter().any(|l| l.split(':').next() == Some(name))
                && self.services.get(name).is_some_and(|o| matches!(o.first, Some(First::Created(_))))
        })
    }
}

/// A network that the container is not on, or that is another than the one it was on: a container that does not run
/// could never start again.
fn missing_network(
    project: &Project,
    service: &Service,
    container: &Container,
    builder: &Builder<'_>,
) -> Option<Cause> {
    if service.network_mode.is_some() {
        return None;
    }
    let mut wanted = service.networks.keys().filter_map(|key| project.networks.get(key));
    let missing = wanted.find(|network| {
        let found = builder.observed.networks.get(&network.name);
        match (found, container.networks.get(&network.name)) {
            // The engine does not say which network it is where the container never ran.
            (Some(found), Some(endpoint)) => {
                !endpoint.network_id.is_empty() && endpoint.network_id != found.id
            }
            (Some(_) | None, None) | (None, Some(_)) => true,
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
