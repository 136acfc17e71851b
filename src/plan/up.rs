//! What `up` does: the project as it is wanted against the engine as it was found.

mod converge;
mod diverge;
mod resources;

pub use diverge::{references, resolve_references};

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::{
    Action, Cause, Container, ContainerRef, Observed, OneOffTarget, Phase, Place, Plan, Step, StepId, Unit,
    UnitId, graph, place,
    unit::{self, UnitIds},
};
use crate::{
    diagnostic::Diagnostic,
    project::{Project, Replica},
};

/// What the user asked of `up` beyond the files.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one switch is one flag of the command")]
pub struct UpOptions {
    /// When containers are recreated.
    pub recreate: Recreate,
    /// Services of the files that are to be built, whatever is there: `--build`.
    pub build: bool,
    /// Never build: `--no-build`.
    pub no_build: bool,
    /// Pull policy for every service: `--pull`.
    pub pull: Option<String>,
    /// Images were pulled or built just before, as their policy asks; only what is missing is still to get.
    pub images_fresh: bool,
    /// Remove containers of services that are not in the files.
    pub remove_orphans: bool,
    /// Recreated containers get new anonymous volumes.
    pub renew_anonymous_volumes: bool,
    /// Create and stop there: `--no-start`.
    pub no_start: bool,
    /// Beside what the files keep running, a one-off container: `run`.
    pub one_off: Option<OneOffTarget>,
    /// Grace for containers that are stopped; `None`: their own.
    pub stop_grace: Option<std::time::Duration>,
    /// No engine was asked: what was observed is nothing.
    pub offline: bool,
    /// Providers and models have not been asked yet: what they add to environments is not known.
    pub unsupplied: bool,
    /// Cores of the machine, for how much is done at once.
    pub cores: usize,
}

impl Default for UpOptions {
    fn default() -> Self {
        Self {
            recreate: Recreate::Diverged,
            build: false,
            no_build: false,
            pull: None,
            images_fresh: false,
            remove_orphans: false,
            renew_anonymous_volumes: false,
            no_start: false,
            one_off: None,
            stop_grace: None,
            offline: false,
            unsupplied: false,
            cores: 2,
        }
    }
}

/// When containers are recreated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recreate {
    /// When they are not what the files say.
    Diverged,
    /// Always.
    Force,
    /// Never.
    Never,
}

/// Plans an `up`.
///
/// # Errors
///
/// What makes the project impossible to start: a dependency cycle, a wait for the health of a service that has no
/// health check, secrets that no file or variable gives.
pub fn up(project: &Project, observed: &Observed, options: &UpOptions) -> Result<Plan, Vec<Diagnostic>> {
    let wanted = wanted(project, options)?;
    Builder::new(project, observed, options, &wanted).build(&wanted)
}

/// Plans the pulls and builds that the policy asks for although an image is there: what the containers must become
/// is known only after them. `None` where there are none.
pub fn refresh(project: &Project, observed: &Observed, options: &UpOptions) -> Option<Plan> {
    let wanted = wanted(project, options).ok()?;
    let mut builder = Builder::new(project, observed, options, &[]);
    for name in &wanted {
        let service = &project.services[name.as_str()];
        if observed.images.contains_key(&project.image_name(service)) {
            builder.image(service);
        }
    }
    if builder.steps.is_empty() { None } else { Some(builder.plan()) }
}

/// Services that this run makes containers for, dependencies first, the one of a one-off container last.
fn wanted(project: &Project, options: &UpOptions) -> Result<Vec<String>, Vec<Diagnostic>> {
    let order = graph::dependency_order(project).map_err(|cycle| vec![cycle_diagnostic(&cycle)])?;
    let order = order.into_iter().filter(|name| is_run(&project.services[name.as_str()]));
    let Some(one_off) = &options.one_off else { return Ok(order.collect()) };
    let others = order.filter(|name| !one_off.no_deps && *name != one_off.service);
    Ok(others.chain([one_off.service.clone()]).collect())
}

/// Whether a service has containers of its own in this run.
fn is_run(service: &crate::project::Service) -> bool {
    service.replicas() > 0 && service.provider.is_none()
}

pub(super) fn cycle_diagnostic(cycle: &graph::Cycle) -> Diagnostic {
    Diagnostic::error("dependency-cycle", format!("services wait for each other: {}", cycle.0.join(" → ")))
        .help("remove one of these dependencies")
}

/// A plan in the making.
struct Builder<'a> {
    project: &'a Project,
    observed: &'a Observed,
    options: &'a UpOptions,
    ids: UnitIds,
    steps: Vec<Step>,
    units: Vec<Unit>,
    /// The step that makes a network, by key.
    networks: BTreeMap<String, StepId>,
    /// The step that makes a volume, by key.
    volumes: BTreeMap<String, StepId>,
    /// The step that gets an image, by reference.
    images: BTreeMap<String, StepId>,
    /// What becomes of each service's containers, in dependency order.
    services: IndexMap<String, Outcome>,
    warnings: Vec<String>,
    errors: Vec<Diagnostic>,
}

/// What becomes of a service's containers.
#[derive(Debug, Default)]
struct Outcome {
    /// The first container, by number: the one whose namespaces others share.
    first: Option<First>,
    /// Some container is recreated or new.
    changed: bool,
    /// Running containers that stay: what stops when a dependency is recreated.
    kept: Vec<(Replica, ContainerRef)>,
    /// Steps that stop containers that are replaced.
    stops: Vec<StepId>,
}

/// The first container of a service.
#[derive(Debug, Clone)]
enum First {
    /// It stays.
    Kept(ContainerRef),
    /// This step creates it.
    Created(StepId),
}

impl<'a> Builder<'a> {
    fn new(project: &'a Project, observed: &'a Observed, options: &'a UpOptions, wanted: &[String]) -> Self {
        Self {
            project,
            observed,
            options,
            ids: unit::number(wanted),
            steps: Vec::new(),
            units: Vec::new(),
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            images: BTreeMap::new(),
            services: IndexMap::new(),
            warnings: Vec::new(),
            errors: Vec::new(),
        }
    }

    fn build(mut self, wanted: &[String]) -> Result<Plan, Vec<Diagnostic>> {
        self.networks();
        self.volumes();
        let mut errors = std::mem::take(&mut self.errors);
        errors.extend(self.check_health_waits(wanted));
        if !errors.is_empty() {
            return Err(errors);
        }
        let one_off = self.options.one_off.as_ref();
        for name in wanted {
            match one_off.filter(|one_off| one_off.service == *name) {
                Some(one_off) => self.one_off(one_off),
                None => self.converge(name),
            }
        }
        if one_off.is_none_or(|one_off| !one_off.no_deps) {
            self.scaled_to_nothing();
        }
        self.restart_dependents();
        self.orphans();
        Ok(self.plan())
    }

    fn plan(self) -> Plan {
        Plan {
            project: self.project.name.clone(),
            waves: self.waves(),
            limits: unit::limits(self.project, self.options.cores),
            steps: self.steps,
            units: self.units,
            warnings: self.warnings,
        }
    }

    /// A one-off container is no part of any wave.
    fn waves(&self) -> Vec<super::Wave> {
        let one_off = self.options.one_off.as_ref().and_then(|one_off| self.ids.get(&one_off.service));
        let mut waves = unit::waves(self.project, &self.ids);
        for wave in &mut waves {
            wave.units.retain(|id| Some(id) != one_off);
        }
        waves
    }

    fn step(&mut self, step: Step) -> StepId {
        let id = StepId(u32::try_from(self.steps.len()).expect("fewer than 2^32 steps"));
        self.steps.push(step);
        id
    }

    /// A step of the run phase without a gate.
    fn plain(&mut self, action: Action, cause: Cause, after: Vec<StepId>, unit: Option<UnitId>) -> StepId {
        self.step(Step { action, after, gate: None, unit, cause, phase: Phase::Run })
    }

    /// Containers of a service that are not one-off, by their place.
    fn containers_of(&self, service: &str, wanted: Place) -> Vec<&Container> {
        let of_service =
            |c: &&Container| c.service() == Some(service) && !c.is_oneoff() && place(c) == wanted;
        self.observed.containers.iter().filter(of_service).collect()
    }

    /// A wait for the health of something that can never be healthy is an error before anything is done.
    fn check_health_waits(&self, wanted: &[String]) -> Vec<Diagnostic> {
        let mut errors = Vec::new();
        for name in wanted {
            for (on, dependency) in &self.project.services[name.as_str()].depends_on {
                let waits = dependency.condition == crate::project::Condition::ServiceHealthy;
                if waits && dependency.required && self.has_no_health(on) {
                    let message =
                        format!("`{name}` waits for `{on}` to be healthy, but `{on}` has no health check");
                    let help =
                        format!("give `{on}` a `healthcheck`, or wait with `condition: service_started`");
                    errors.push(Diagnostic::error("no-health-check", message).help(help));
                }
            }
        }
        errors
    }

    fn has_no_health(&self, service: &str) -> bool {
        let Some(service) = self.project.services.get(service) else { return false };
        if service.orch.health_check.is_some() {
            return false;
        }
        match &service.healthcheck {
            Some(check) if check.is_disabled() => true,
            Some(check) if check.test.is_some() => false,
            // Only an image that is there can be asked.
            _ => {
                let image = self.observed.images.get(&self.project.image_name(service));
                image.is_some_and(|i| i.healthcheck.is_none())
            }
        }
    }
}

impl From<&Container> for ContainerRef {
    fn from(container: &Container) -> Self {
        Self { id: container.id.clone(), name: container.name.clone() }
    }
}
