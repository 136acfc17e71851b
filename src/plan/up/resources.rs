//! Networks, volumes and images: what containers need before they can be created.

use super::Builder;
use crate::{
    diagnostic::Diagnostic,
    plan::{Action, Cause, StepId},
    project::{Build, Service},
};

impl Builder<'_> {
    pub(super) fn networks(&mut self) {
        let project = self.project;
        for (key, network) in &project.networks {
            match self.observed.networks.get(&network.name) {
                None if network.external => self.missing("network", &network.name),
                None => {
                    let action = Action::CreateNetwork { key: key.clone(), name: network.name.clone() };
                    let id = self.plain(action, Cause::Missing, Vec::new(), None);
                    self.networks.insert(key.clone(), id);
                }
                Some(found) if !network.external => {
                    let hash = crate::plan::network_hash(network);
                    let labelled = found.labels.get("com.docker.compose.config-hash");
                    if labelled.is_some_and(|l| *l != hash) {
                        self.warnings.push(format!(
                            "network `{}` is not as the file says any more: it stays as it is until `docker orch down`",
                            network.name
                        ));
                    }
                }
                Some(_) => {}
            }
        }
    }

    pub(super) fn volumes(&mut self) {
        let project = self.project;
        for (key, volume) in &project.volumes {
            if !self.observed.volumes.contains_key(&volume.name) {
                if volume.external {
                    self.missing("volume", &volume.name);
                    continue;
                }
                let action = Action::CreateVolume { key: key.clone(), name: volume.name.clone() };
                let id = self.plain(action, Cause::Missing, Vec::new(), None);
                self.volumes.insert(key.clone(), id);
            }
        }
    }

    /// What is external must be there before anything is done. Where no engine was asked, nobody knows.
    fn missing(&mut self, kind: &str, name: &str) {
        let message = format!("{kind} `{name}` is external and does not exist");
        let help = format!("create it with `docker {kind} create {name}`");
        if self.options.offline {
            self.warnings.push(format!("{kind} `{name}` is external: it must exist"));
        } else {
            self.errors.push(Diagnostic::error("missing-external", message).help(help));
        }
    }

    /// The step that gets a service's image, where one is needed.
    pub(super) fn image(&mut self, service: &Service) -> Option<StepId> {
        self.image_within(service, &[])
    }

    /// `within`: the services whose builds take this one's image.
    fn image_within(&mut self, service: &Service, within: &[&str]) -> Option<StepId> {
        let image = self.project.image_name(service);
        if let Some(id) = self.images.get(&image) {
            return Some(*id);
        }
        // Several services may run one image that only one of them says how to build.
        let project = self.project;
        let builds = |s: &&Service| s.build.is_some() && project.image_name(s) == image;
        let owner = if service.build.is_some() {
            service
        } else {
            project.services.values().find(builds).unwrap_or(service)
        };
        let (action, cause) = self.image_action(owner, &image)?;
        let within = [within, &[owner.name.as_str()]].concat();
        let bases = owner.build.iter().flat_map(Build::bases).filter(|base| !within.contains(base));
        let bases = bases.filter_map(|base| project.services.get(base));
        let after = bases.filter_map(|base| self.image_within(base, &within)).collect();
        let id = self.plain(action, cause, after, None);
        self.images.insert(image, id);
        Some(id)
    }

    /// What is to be done about an image before containers are made of it (compose-spec `pull_policy`).
    pub(super) fn image_action(&self, service: &Service, image: &str) -> Option<(Action, Cause)> {
        let there = self.observed.images.contains_key(image);
        let build = service.build.is_some();
        let policy = self.options.pull.as_deref().or(service.pull_policy.as_deref()).unwrap_or("missing");
        let build_action = || Action::BuildImage { service: service.name.clone(), image: image.to_owned() };
        let pull_action = || Action::PullImage {
            image: image.to_owned(),
            platform: service.platform.clone(),
            or_build: (build && !self.options.no_build).then(|| service.name.clone()),
        };
        if self.options.images_fresh && there {
            return None;
        }
        if build && !self.options.no_build && (self.options.build || policy == "build") {
            return Some((build_action(), Cause::PullPolicy("build".to_owned())));
        }
        match policy {
            "never" if there => None,
            "never" if build => Some((build_action(), Cause::Missing)),
            // Creating the container will say that there is none.
            "never" => None,
            "always" => Some((pull_action(), Cause::PullPolicy("always".to_owned()))),
            _ if there => None,
            // A name that only the build gives cannot be pulled.
            _ if build && service.image.is_none() && !self.options.no_build => {
                Some((build_action(), Cause::Missing))
            }
            _ => Some((pull_action(), Cause::Missing)),
        }
    }
}
