//! A plan, as far as something can be in its way.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

use crate::{
    plan::{Action, Observed, Plan},
    project::{Project, Service},
};

/// What a plan will do.
pub(super) struct Intent<'a> {
    pub(super) project: &'a Project,
    pub(super) observed: &'a Observed,
    /// Services that get containers, in the plan's order.
    pub(super) created: IndexMap<&'a str, &'a Service>,
    /// Containers that it starts, by service.
    pub(super) started: BTreeMap<&'a str, usize>,
    /// Services that exit with 0 because that is what they are for.
    pub(super) oneshots: BTreeSet<&'a str>,
    /// Names that it gives to containers, each with the service.
    pub(super) names: Vec<(&'a str, &'a str)>,
    /// IDs of containers that do not run any more then.
    pub(super) stopped: BTreeSet<&'a str>,
    /// IDs of containers that do not have their names any more then.
    pub(super) nameless: BTreeSet<&'a str>,
    /// References of images that it pulls or builds.
    pub(super) images: BTreeSet<&'a str>,
    /// Services that it builds.
    pub(super) built: Vec<&'a Service>,
    /// The service of a one-off container: what it is made of stands on the command line too.
    pub(super) one_off: Option<&'a str>,
}

impl<'a> Intent<'a> {
    pub(super) fn new(project: &'a Project, observed: &'a Observed, plan: &'a Plan) -> Self {
        let oneshots = plan.units.iter().filter(|unit| unit.oneshot).map(|unit| unit.service.as_str());
        let mut intent = Self {
            project,
            observed,
            created: IndexMap::new(),
            started: BTreeMap::new(),
            oneshots: oneshots.collect(),
            names: Vec::new(),
            stopped: BTreeSet::new(),
            nameless: BTreeSet::new(),
            images: BTreeSet::new(),
            built: Vec::new(),
            one_off: None,
        };
        for step in &plan.steps {
            intent.note(&step.action);
        }
        intent
    }

    fn note(&mut self, action: &'a Action) {
        match action {
            Action::CreateContainer { replica, name, one_off, .. } => {
                self.names.push((name, &replica.service));
                if let Some(service) = self.service(&replica.service) {
                    self.created.entry(&service.name).or_insert(service);
                }
                // Whoever attaches to it starts it.
                if one_off.is_some() {
                    self.one_off = Some(&replica.service);
                    *self.started.entry(&replica.service).or_default() += 1;
                }
            }
            Action::StartContainer { replica, .. } => {
                *self.started.entry(&replica.service).or_default() += 1;
            }
            Action::StopContainer { container, .. } | Action::KillContainer { container, .. } => {
                self.stopped.insert(&container.id);
            }
            Action::RemoveContainer { container, .. } => {
                self.stopped.insert(&container.id);
                self.nameless.insert(&container.id);
            }
            Action::RenameContainer { replica, existing, to } => {
                self.nameless.extend(existing.iter().map(|container| container.id.as_str()));
                self.names.push((to, &replica.service));
            }
            Action::PullImage { image, .. } => drop(self.images.insert(image)),
            Action::BuildImage { service, image } => {
                self.images.insert(image);
                self.built.extend(self.service(service));
            }
            Action::TakeNames { .. }
            | Action::CreateNetwork { .. }
            | Action::RemoveNetwork { .. }
            | Action::RestoreNetwork(_)
            | Action::Reconnect { .. }
            | Action::CreateVolume { .. }
            | Action::RemoveVolume { .. }
            | Action::RemoveImage { .. }
            | Action::CallProvider { .. }
            | Action::SetUpModel { .. } => {}
        }
    }

    pub(super) fn service(&self, name: &str) -> Option<&'a Service> {
        self.project.services.get(name)
    }

    /// Services that are started, in the order of their names.
    pub(super) fn starting(&self) -> impl Iterator<Item = (&'a Service, usize)> {
        self.started.iter().filter_map(|(name, count)| Some((self.service(name)?, *count)))
    }

    /// Where an item of a service's list was written, then the list, then the service.
    pub(super) fn item(&self, service: &Service, list: &str, index: usize) -> Vec<String> {
        let own = format!("services.{}", service.name);
        if self.one_off == Some(service.name.as_str()) {
            return vec![own];
        }
        vec![format!("{own}.{list}[{index}]"), format!("{own}.{list}"), own]
    }
}
