//! What `up` does: the project as it is wanted against the engine as it was found.

mod converge;
mod diverge;
mod replace;
mod resources;
mod update;

pub(super) use converge::found;
pub(super) use diverge::namespaces;
pub use diverge::{references, resolve_references};
pub(super) use replace::reconnection;
pub use replace::{Drift, drift};

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
};

use indexmap::IndexMap;

use super::{
    Action, Cause, Container, ContainerRef, Endpoint, Fingerprints, Observed, OneOffTarget, Phase, Place,
    Plan, Step, StepId, Unit, UnitId, Window, graph, place,
    unit::{self, Lineup},
};
use crate::{
    diagnostic::Diagnostic,
    project::{Project, Replica, Service},
};

/// What the user asked of `up` beyond the files.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one switch is one flag of the command")]
pub struct UpOptions {
    /// The services that were named; empty: all.
    pub services: Vec<String>,
    /// When containers of these services are recreated.
    pub recreate: Recreate,
    /// Containers of the other services are recreated, whatever they are: `--always-recreate-deps`.
    pub recreate_dependencies: bool,
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
    /// Services that are not in the files and whose containers go all the same.
    pub leaving: BTreeSet<String>,
    /// Say nothing of them: `COMPOSE_IGNORE_ORPHANS`.
    pub ignore_orphans: bool,
    /// Recreated containers get new anonymous volumes.
    pub renew_anonymous_volumes: bool,
    /// Create and stop there: `--no-start`.
    pub no_start: bool,
    /// Beside what the files keep running, a one-off container: `run`.
    pub one_off: Option<OneOffTarget>,
    /// Grace for containers that are stopped; `None`: their own.
    pub stop_grace: Option<std::time::Duration>,
    /// What is around the project is not looked at before the first change: `--no-preflight`.
    pub no_preflight: bool,
    /// No engine was asked: what was observed is nothing.
    pub offline: bool,
    /// Providers and models have not been asked yet: what they add to environments is not known.
    pub unsupplied: bool,
    /// The failure policy was given for this run: what services say of their own updates does not count.
    pub on_failure_given: bool,
    /// The time, in seconds since the epoch: images grow too old for a pull policy.
    pub now: i64,
    /// Cores of the machine, for how much is done at once.
    pub cores: usize,
    /// What is known of what containers were made from.
    pub fingerprints: Fingerprints,
    /// Volumes, by name on the engine, that may be replaced where they are not as the files say.
    pub replace_volumes: BTreeSet<String>,
}

impl Default for UpOptions {
    fn default() -> Self {
        Self {
            services: Vec::new(),
            recreate: Recreate::Diverged,
            recreate_dependencies: false,
            build: false,
            no_build: false,
            pull: None,
            images_fresh: false,
            remove_orphans: false,
            leaving: BTreeSet::new(),
            ignore_orphans: false,
            renew_anonymous_volumes: false,
            no_start: false,
            one_off: None,
            stop_grace: None,
            no_preflight: false,
            offline: false,
            unsupplied: false,
            on_failure_given: false,
            now: 0,
            cores: 2,
            fingerprints: Fingerprints::default(),
            replace_volumes: BTreeSet::new(),
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
    let draft = draft(project, observed, options)?;
    if draft.faults.is_empty() { Ok(draft.plan) } else { Err(draft.faults) }
}

/// What would be done, and why it cannot be: with both, everything that is wrong is told at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Never to be carried out where there are faults.
    pub plan: Plan,
    /// What makes it impossible.
    pub faults: Vec<Diagnostic>,
}

/// As [`up()`], with the plan beside the faults.
///
/// # Errors
///
/// Without an order of the services there is no plan.
pub fn draft(project: &Project, observed: &Observed, options: &UpOptions) -> Result<Draft, Vec<Diagnostic>> {
    let wanted = wanted(project, options)?;
    Ok(Builder::new(project, observed, options, &wanted).build(&wanted))
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
fn is_run(service: &Service) -> bool {
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
    lineup: Lineup<'a>,
    /// Services that the user named.
    named: HashSet<&'a str>,
    /// Containers that are there, by service.
    found: HashMap<&'a str, Vec<&'a Container>>,
    /// The first service that says how to build an image, by reference.
    built: HashMap<String, &'a Service>,
    /// Of each network, by key, the service on it that comes last in the order of dependencies.
    last_on: OnceCell<HashMap<&'a str, String>>,
    steps: Vec<Step>,
    units: Vec<Unit>,
    /// The step that makes a network, by key.
    networks: BTreeMap<String, StepId>,
    /// The step that makes a volume, by key.
    volumes: BTreeMap<String, StepId>,
    /// The step that gets an image, by reference.
    images: BTreeMap<String, StepId>,
    /// Containers whose network is replaced, by ID.
    detached: BTreeMap<String, Detached>,
    /// Services whose containers go because of a volume: its name, and the steps that remove them.
    vacated: BTreeMap<String, (String, Vec<StepId>)>,
    /// The steps that remove those containers, by ID.
    gone: BTreeMap<String, StepId>,
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

/// A container that is on a network that is replaced, or shares namespaces with one that is.
#[derive(Debug)]
struct Detached {
    container: Container,
    /// The step that stops it, where it runs.
    stop: Option<StepId>,
    /// Steps after which it can be on its networks again, each with the network and what it was there.
    networks: Vec<(StepId, String, Endpoint)>,
    /// The network because of which it is stopped.
    because: String,
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
            lineup: Lineup::new(project, wanted),
            named: options.services.iter().map(String::as_str).collect(),
            found: by_service(&observed.containers),
            built: built(project),
            last_on: OnceCell::new(),
            steps: Vec::new(),
            units: Vec::new(),
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            images: BTreeMap::new(),
            detached: BTreeMap::new(),
            vacated: BTreeMap::new(),
            gone: BTreeMap::new(),
            services: IndexMap::new(),
            warnings: Vec::new(),
            errors: Vec::new(),
        }
    }

    fn build(mut self, wanted: &[String]) -> Draft {
        self.networks();
        self.volumes();
        let mut faults = std::mem::take(&mut self.errors);
        faults.extend(self.check_health_waits(wanted));
        faults.extend(self.check_paused());
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
        self.reconnect_the_rest();
        self.stop_after_images();
        self.hold_data_back();
        self.check_window();
        self.check_vram();
        Draft { plan: self.plan(), faults }
    }

    fn plan(self) -> Plan {
        Plan {
            project: self.project.name.clone(),
            waves: self.waves(),
            limits: unit::limits(self.project, self.options.cores),
            window: self.window(),
            steps: self.steps,
            units: self.units,
            warnings: self.warnings,
        }
    }

    /// What is not started, and what is there for a one-off container alone, is not watched.
    fn window(&self) -> Option<Window> {
        let rollback = &self.project.orch.rollback;
        let length = rollback.window.filter(|length| !length.is_zero())?;
        let watched = !self.options.no_start && self.options.one_off.is_none();
        watched.then(|| Window { length, conditions: rollback.conditions.clone() })
    }

    /// Conditions that nobody will ever look at are a mistake.
    fn check_window(&mut self) {
        let rollback = &self.project.orch.rollback;
        if rollback.window.is_none() && !rollback.conditions.is_empty() {
            let message = "`rollback.conditions` have no effect without `rollback.window`";
            self.warnings.push(message.to_owned());
        }
    }

    /// Only what is loaded on demand waits until there is room on the GPUs.
    fn check_vram(&mut self) {
        let created = self.steps.iter().filter_map(|step| match &step.action {
            Action::CreateContainer { replica, .. } => self.project.services.get(&replica.service),
            _ => None,
        });
        let unseen =
            created.filter(|service| service.orch.vram.is_some()).map(|service| service.name.as_str());
        let unseen: Vec<&str> = unseen.collect::<BTreeSet<&str>>().into_iter().collect();
        if !unseen.is_empty() {
            self.warnings.push(format!(
                "{}: the GPU memory that `vram` names is not looked for before the start, as it is for services with `load: on_demand`; `docker orch plan --vram` tells whether it is there",
                unseen.join(", ")
            ));
        }
    }

    /// A one-off container is no part of any wave.
    fn waves(&self) -> Vec<super::Wave> {
        let one_off = self.options.one_off.as_ref().and_then(|one_off| self.lineup.ids.get(&one_off.service));
        let mut waves = self.lineup.waves();
        for wave in &mut waves {
            wave.units.retain(|id| Some(id) != one_off);
        }
        waves
    }

    fn step(&mut self, step: Step) -> StepId {
        let id = self.next_step();
        self.steps.push(step);
        id
    }

    fn next_step(&self) -> StepId {
        StepId(u32::try_from(self.steps.len()).expect("fewer than 2^32 steps"))
    }

    /// A step of the run phase without a gate.
    fn plain(&mut self, action: Action, cause: Cause, after: Vec<StepId>, unit: Option<UnitId>) -> StepId {
        self.step(Step { action, after, gate: None, awaits: None, unit, cause, phase: Phase::Run })
    }

    /// Containers of a service that are not one-off, by their place.
    fn containers_of(&self, service: &str, wanted: Place) -> Vec<&Container> {
        let is_one = |c: &&Container| !c.is_oneoff() && place(c) == wanted && !self.gone.contains_key(&c.id);
        self.found_of(service).filter(is_one).collect()
    }

    /// All containers of a service that are there.
    fn found_of(&self, service: &str) -> impl Iterator<Item = &'a Container> + use<'a> {
        self.found.get(service).cloned().unwrap_or_default().into_iter()
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
                    let error = Diagnostic::error("no-health-check", message).help(help);
                    let place = format!("services.{name}.depends_on.{on}");
                    errors.push(self.project.point(error, &[place], ""));
                }
            }
        }
        errors
    }

    /// A container that is frozen neither starts nor becomes ready: who froze it decides.
    fn check_paused(&self) -> Vec<Diagnostic> {
        let stays = |c: &&Container| {
            c.state == super::ContainerState::Paused
                && !c.is_oneoff()
                && c.service().is_some_and(|s| self.lineup.ids.contains_key(s))
        };
        let paused = self.observed.containers.iter().filter(stays);
        let error = |c: &Container| {
            let help = format!("let it go on with `docker unpause {}`, or remove it", c.name);
            Diagnostic::error("paused", format!("container `{}` is paused", c.name)).help(help)
        };
        paused.map(error).collect()
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

/// Containers by the service that they belong to, in the order in which they are given.
pub(super) fn by_service<'a>(
    containers: impl IntoIterator<Item = &'a Container>,
) -> HashMap<&'a str, Vec<&'a Container>> {
    let mut of: HashMap<&str, Vec<&Container>> = HashMap::new();
    for container in containers {
        if let Some(service) = container.service() {
            of.entry(service).or_default().push(container);
        }
    }
    of
}

/// Several services may run one image that only one of them says how to build.
fn built(project: &Project) -> HashMap<String, &Service> {
    let mut built = HashMap::new();
    for service in project.services.values().filter(|service| service.build.is_some()) {
        built.entry(project.image_name(service)).or_insert(service);
    }
    built
}

impl From<&Container> for ContainerRef {
    fn from(container: &Container) -> Self {
        Self { id: container.id.clone(), name: container.name.clone() }
    }
}
