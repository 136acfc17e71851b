//! `health`: every check of what runs, once, and what that says of each service.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::future::join_all;
use tokio::time::{Instant, timeout_at};

use crate::{
    engine::{Engine, EngineError},
    health::{ProbeResult, Status, look},
    plan::{ContainerDetail, ContainerState, Observed},
    probe::{Peer, Probe, Target, last_movement},
    project::{
        Check, Condition, ContainerCondition, HealthSpec, OrchDependencyOn, ProbeSpec, Project, Require,
        Service, Stage,
    },
};

/// What one look at a container of a service found.
#[derive(Debug, Clone, PartialEq)]
pub struct Examined {
    /// The service.
    pub service: String,
    /// Its container's number; 0 where the service has no container.
    pub number: u32,
    /// Its failure fails the project.
    pub critical: bool,
    /// How it is.
    pub state: ExaminedState,
    /// Why, where no check says it: `exited with code 3`.
    pub why: String,
    /// Every check that was asked, in order.
    pub checks: Vec<CheckSeen>,
    /// Other services that it depends on, or that its checks are about.
    pub dependencies: BTreeSet<String>,
    /// Its container; `None` where there is none.
    pub container: Option<Arc<ContainerDetail>>,
}

/// How a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExaminedState {
    /// It runs, and its checks say this.
    Up(Status),
    /// It has done its work and exited with 0.
    Completed,
    /// It does not run.
    Down,
    /// There is none.
    Missing,
}

impl ExaminedState {
    /// In the words of a health report.
    pub fn status(self) -> Status {
        match self {
            Self::Up(status) => status,
            Self::Completed => Status::Healthy,
            Self::Down | Self::Missing => Status::Unhealthy,
        }
    }
}

/// One check and its result.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckSeen {
    /// The stage it belongs to; `liveness` for the checks after ready.
    pub stage: String,
    /// Its name.
    pub name: String,
    /// Its failure makes the service unhealthy, not only degraded.
    pub critical: bool,
    /// What it found.
    pub result: ProbeResult,
}

/// Asks every check of every service once, all at the same time, for at most `limit`.
///
/// # Errors
///
/// The engine cannot say how a container is.
pub async fn examine(
    project: &Project,
    engine: &dyn Engine,
    prober: &dyn Probe,
    observed: &Observed,
    limit: Duration,
) -> Result<Vec<Examined>, EngineError> {
    let deadline = Instant::now() + limit;
    let details = details(engine, observed).await?;
    let mut peers: BTreeMap<String, Peer> = project
        .services
        .keys()
        .map(|name| (name.clone(), Peer::of(details.get(name).into_iter().flatten().map(|(_, d)| &**d))))
        .collect();
    let patients = project.services.values().flat_map(|service| {
        let found = details.get(&service.name).map(Vec::as_slice).unwrap_or_default();
        patients(project, service, found)
    });
    let mut patients: Vec<Patient<'_>> = patients.collect();
    let around = Arc::new(peers.clone());
    join_all(patients.iter_mut().map(|patient| patient.ask(prober, &around, deadline))).await;
    join_all(patients.iter_mut().map(|patient| patient.read_logs(engine, deadline))).await;
    // What a service says of another one is known when the other is: as often as one can wait for another.
    for _ in 0..=project.services.len() {
        let before = peers.clone();
        tell(&patients, &mut peers);
        if before == peers {
            break;
        }
        let around = Arc::new(peers.clone());
        for patient in &mut patients {
            patient.ask_peers(prober, &around).await;
        }
    }
    Ok(patients.into_iter().map(Patient::examined).collect())
}

type Found = (u32, Arc<ContainerDetail>);

/// The project's containers in detail, by service, in the order of their numbers.
async fn details(
    engine: &dyn Engine,
    observed: &Observed,
) -> Result<BTreeMap<String, Vec<Found>>, EngineError> {
    let containers = observed.containers.iter().filter(|c| !c.is_oneoff());
    let asked = containers.map(|c| async move { (c, engine.inspect(&c.id).await) });
    let mut details: BTreeMap<String, Vec<Found>> = BTreeMap::new();
    for (container, answer) in join_all(asked).await {
        if let (Some(service), Some(detail)) = (container.service(), answer?) {
            details.entry(service.to_owned()).or_default().push((container.number(), Arc::new(detail)));
        }
    }
    for found in details.values_mut() {
        found.sort_by_key(|(number, _)| *number);
    }
    Ok(details)
}

/// One container, or the place where one should be.
struct Patient<'a> {
    service: &'a Service,
    number: u32,
    detail: Option<Arc<ContainerDetail>>,
    /// What is asked of it; nothing where it does not run.
    stages: Vec<Stage>,
    results: Vec<Vec<ProbeResult>>,
    down: Option<(ExaminedState, String)>,
    dependencies: BTreeSet<String>,
}

fn patients<'a>(project: &Project, service: &'a Service, found: &[Found]) -> Vec<Patient<'a>> {
    let mut patients: Vec<Patient<'a>> =
        found.iter().map(|(number, detail)| Patient::new(project, service, *number, Some(detail))).collect();
    for _ in patients.len()..service.replicas() as usize {
        patients.push(Patient::new(project, service, 0, None));
    }
    patients
}

impl<'a> Patient<'a> {
    fn new(
        project: &Project,
        service: &'a Service,
        number: u32,
        detail: Option<&Arc<ContainerDetail>>,
    ) -> Self {
        let stages = detail.map(|detail| stages(service, detail)).unwrap_or_default();
        let down = match detail {
            None => Some((ExaminedState::Missing, "it has no container".to_owned())),
            Some(detail) => down(project, service, detail, &stages),
        };
        Self {
            service,
            number,
            detail: detail.cloned(),
            dependencies: dependencies(project, service, &stages),
            stages: if down.is_some() { Vec::new() } else { stages },
            results: Vec::new(),
            down,
        }
    }

    /// Asks all of its checks at once.
    async fn ask(&mut self, prober: &dyn Probe, peers: &Arc<BTreeMap<String, Peer>>, deadline: Instant) {
        let target = self.target(peers);
        let stages = self
            .stages
            .iter()
            .map(|stage| join_all(stage.checks.iter().map(|check| one(prober, check, &target, deadline))));
        self.results = join_all(stages).await;
    }

    /// Adds to what fails in a stage that loads how far its log says that it is.
    async fn read_logs(&mut self, engine: &dyn Engine, deadline: Instant) {
        let Some(detail) = &self.detail else { return };
        for (stage, results) in self.stages.iter().zip(&mut self.results) {
            let Some(progress) = &stage.progress else { continue };
            if look(stage, results) == Status::Healthy {
                continue;
            }
            let said = timeout_at(deadline, last_movement(engine, detail, &progress.log)).await;
            if let Ok(Some(movement)) = said {
                for result in results.iter_mut().filter(|result| !result.passed) {
                    result.detail = format!("{}; {}", movement.text, result.detail);
                }
            }
        }
    }

    /// Asks again what is about other services; that needs no time.
    async fn ask_peers(&mut self, prober: &dyn Probe, peers: &Arc<BTreeMap<String, Peer>>) {
        let target = self.target(peers);
        for (stage, results) in self.stages.iter().zip(&mut self.results) {
            for (check, result) in stage.checks.iter().zip(results) {
                if matches!(check.probe, ProbeSpec::Service { .. }) {
                    *result = prober.probe(check, &target).await;
                }
            }
        }
    }

    fn target(&self, peers: &Arc<BTreeMap<String, Peer>>) -> Target {
        Target { detail: self.detail.clone().unwrap_or_default(), peers: Arc::clone(peers) }
    }

    fn statuses(&self) -> impl Iterator<Item = (&Stage, Status)> {
        self.stages.iter().zip(&self.results).map(|(stage, results)| (stage, look(stage, results)))
    }

    fn state(&self) -> ExaminedState {
        if let Some((state, _)) = &self.down {
            return *state;
        }
        let status = self.statuses().map(|(_, status)| status).max().unwrap_or_default();
        let exited = self.detail.as_ref().is_some_and(|d| d.state == ContainerState::Exited);
        if exited && status == Status::Healthy { ExaminedState::Completed } else { ExaminedState::Up(status) }
    }

    fn examined(self) -> Examined {
        let state = self.state();
        let checks = self.stages.iter().zip(&self.results).flat_map(|(stage, results)| {
            stage.checks.iter().zip(results).map(|(check, result)| CheckSeen {
                stage: stage.name.clone(),
                name: check.name.clone(),
                critical: stage.critical && check.critical,
                result: result.clone(),
            })
        });
        Examined {
            checks: checks.collect(),
            service: self.service.name.clone(),
            number: self.number,
            critical: self.service.orch.critical,
            state,
            why: self.down.map(|(_, why)| why).unwrap_or_default(),
            dependencies: self.dependencies,
            container: self.detail,
        }
    }
}

/// How far each service is, as others ask: ready when all of its containers are.
fn tell(patients: &[Patient<'_>], peers: &mut BTreeMap<String, Peer>) {
    for (name, peer) in peers {
        let own = || patients.iter().filter(|patient| patient.service.name == *name);
        peer.ready = own().all(|patient| patient.state().status() != Status::Unhealthy);
        let passed = own().flat_map(Patient::statuses);
        let passed = passed.filter(|(_, status)| *status != Status::Unhealthy);
        peer.stages = passed.map(|(stage, _)| stage.name.clone()).collect();
    }
}

async fn one(prober: &dyn Probe, check: &Check, target: &Target, deadline: Instant) -> ProbeResult {
    let began = Instant::now();
    timeout_at(deadline, prober.probe(check, target)).await.unwrap_or_else(|_| ProbeResult {
        passed: false,
        detail: "no answer in time".to_owned(),
        took: began.elapsed(),
        report: None,
    })
}

/// What is asked of a container: its `x-orch` checks, else its HEALTHCHECK, else that it runs.
fn stages(service: &Service, detail: &ContainerDetail) -> Vec<Stage> {
    if let Some(spec) = &service.orch.health_check {
        let liveness =
            spec.liveness.iter().map(|stage| Stage { name: "liveness".to_owned(), ..stage.clone() });
        return spec.stages.iter().cloned().chain(liveness).collect();
    }
    // The container has the file's or the image's, whichever holds.
    let own = detail.healthcheck.as_deref();
    match own.and_then(|test| HealthSpec::of_healthcheck(test, service.healthcheck.as_ref())) {
        Some(spec) => spec.stages,
        None => vec![engine_says("running", ContainerCondition::Running)],
    }
}

/// The engine's own word as a stage.
fn engine_says(name: &str, condition: ContainerCondition) -> Stage {
    let check = Check {
        name: name.to_owned(),
        probe: ProbeSpec::Container(condition),
        interval: Duration::from_secs(30),
        timeout: Duration::from_secs(30),
        success_threshold: 1,
        failure_threshold: 1,
        start_period: Duration::ZERO,
        critical: true,
        breaker: None,
    };
    Stage {
        name: name.to_owned(),
        checks: vec![check],
        require: Require::All,
        timeout: None,
        start_period: Duration::ZERO,
        critical: true,
        progress: None,
    }
}

/// Why a container cannot be asked: it does not run, or has ended as it should.
fn down(
    project: &Project,
    service: &Service,
    detail: &ContainerDetail,
    stages: &[Stage],
) -> Option<(ExaminedState, String)> {
    let waits_for_exit = stages
        .iter()
        .flat_map(|stage| &stage.checks)
        .any(|check| check.probe == ProbeSpec::Container(ContainerCondition::Exited));
    if detail.state == ContainerState::Running || (waits_for_exit && detail.state == ContainerState::Exited) {
        return None;
    }
    let is_awaited = project.services.values().filter_map(|other| other.depends_on.get(&service.name));
    let oneshot = is_awaited.into_iter().any(|d| d.condition == Condition::ServiceCompletedSuccessfully);
    // What has checks is there to stay, unless something waits for its end.
    let may_end = oneshot || (service.orch.health_check.is_none() && detail.healthcheck.is_none());
    let state = if detail.state == ContainerState::Exited && detail.exit_code == 0 && may_end {
        ExaminedState::Completed
    } else {
        ExaminedState::Down
    };
    Some((state, detail.state_words()))
}

fn dependencies(project: &Project, service: &Service, stages: &[Stage]) -> BTreeSet<String> {
    let asked = stages.iter().flat_map(|stage| &stage.checks).filter_map(|check| match &check.probe {
        ProbeSpec::Http(http) => http.host.as_ref(),
        ProbeSpec::Tcp { host, .. } | ProbeSpec::Grpc { host, .. } => host.as_ref(),
        ProbeSpec::Service { name, .. } => Some(name),
        ProbeSpec::Exec { .. } | ProbeSpec::Log { .. } | ProbeSpec::Container(_) => None,
    });
    let ours = service.orch.depends_on.values().filter_map(|dependency| match &dependency.on {
        OrchDependencyOn::Service { name, .. } => Some(name),
        OrchDependencyOn::Check(_) => None,
    });
    let all = service.depends_on.keys().chain(ours).chain(asked);
    all.filter(|name| project.services.contains_key(*name) && **name != service.name).cloned().collect()
}

/// What the engine itself says of containers whose files are not at hand.
///
/// # Errors
///
/// The engine cannot say how a container is.
pub async fn examine_by_engine(
    engine: &dyn Engine,
    prober: &dyn Probe,
    observed: &Observed,
    limit: Duration,
) -> Result<Vec<Examined>, EngineError> {
    let deadline = Instant::now() + limit;
    let (project, around) = (Project::default(), Arc::default());
    let mut examined = Vec::new();
    for (name, found) in details(engine, observed).await? {
        let service = Service { name, ..Service::default() };
        for (number, detail) in found {
            let mut patient = Patient::new(&project, &service, number, Some(&detail));
            if detail.healthcheck.is_some() && patient.down.is_none() {
                patient.stages = vec![engine_says("healthcheck", ContainerCondition::Healthy)];
            }
            patient.ask(prober, &around, deadline).await;
            examined.push(patient.examined());
        }
    }
    Ok(examined)
}
