//! What happens to a project from its text to its end, one stage after the other. Nothing waits for real time.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use docker_orch::{
    event::{Event, EventKind, RunStarted, ServiceInfo, Verdict},
    health::ProbeResult,
    plan::{
        Action, Container, ContainerRef, ContainerState, Done, EndOptions, Endpoint, ImageInfo, Observed,
        ObservedNetwork, Plan, StepId, UpOptions, confirmed, down, draft, service_hash, unwind,
    },
    project::Project,
    report::RunView,
    scheduler::{
        AfterReady, ContainerChange, Effect, FailureKind, Input, Outcome, Scheduler, StepFailure, StepOutput,
    },
    time::Elapsed,
};

use crate::{lab, shapes::Kind};

/// A part of the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// From text to a project.
    Load,
    /// The first `up` is planned.
    Plan,
    /// It is carried out.
    Run,
    /// It is carried out, and the first service fails: planned and carried out, that is undone.
    Fail,
    /// Its events are folded into a picture.
    Show,
    /// The next `up` is planned: everything stays.
    Again,
    /// That is carried out.
    RunAgain,
    /// An `up` that replaces everything is planned and carried out.
    Replace,
    /// The first `up` is undone: planned and carried out.
    Undo,
    /// `down`: planned and carried out.
    Down,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Load => "load",
            Self::Plan => "plan",
            Self::Run => "run",
            Self::Fail => "fail",
            Self::Show => "show",
            Self::Again => "plan again",
            Self::RunAgain => "run again",
            Self::Replace => "replace",
            Self::Undo => "undo",
            Self::Down => "down",
        })
    }
}

/// Looks at what a stage costs while it goes on.
pub(crate) trait Gauge {
    fn stage<T>(&mut self, stage: Stage, work: impl FnOnce() -> T) -> T;
}

/// All stages.
pub(crate) fn all(kind: Kind, gauge: &mut impl Gauge) {
    let yaml = kind.yaml();
    let project = gauge.stage(Stage::Load, || lab::project_with(&yaml, &[]));
    assert_eq!(project.services.len(), kind.services);
    let nothing = Observed::default();
    let plan = gauge.stage(Stage::Plan, || planned(&project, &nothing, &UpOptions::default()));
    let first = gauge.stage(Stage::Run, || run(&plan, &nothing));
    gauge.stage(Stage::Fail, || {
        let failed = carried_out(&plan, &nothing, Some("s0"));
        assert_eq!(failed.outcome.failures[0].service, "s0");
        run(&Arc::new(unwind(&plan, &failed.done, None)), &nothing)
    });
    let events = numbered(&plan, first.told);
    let view = gauge.stage(Stage::Show, || {
        let mut view = RunView::default();
        for event in &events {
            view.apply(event);
        }
        view
    });
    assert_eq!(view.ready(), kind.services);
    let running = observed(&project, &plan);
    let same = gauge.stage(Stage::Again, || planned(&project, &running, &UpOptions::default()));
    assert!(same.steps.is_empty(), "{:?}", same.steps);
    gauge.stage(Stage::RunAgain, || run(&same, &running));
    gauge.stage(Stage::Replace, || {
        let recreate = docker_orch::plan::Recreate::Force;
        run(&planned(&project, &running, &UpOptions { recreate, ..UpOptions::default() }), &running)
    });
    gauge.stage(Stage::Undo, || {
        let done = confirmed(&plan, &first.done, &running);
        let back = Arc::new(unwind(&plan, &done, None));
        assert!(back.steps.len() > 2 * kind.services);
        run(&back, &running)
    });
    gauge.stage(Stage::Down, || {
        let end = Arc::new(down(&project, &running, &EndOptions { cores: 2, ..EndOptions::default() }));
        assert!(end.steps.len() > 2 * kind.services);
        run(&end, &running)
    });
}

fn planned(project: &Project, observed: &Observed, options: &UpOptions) -> Arc<Plan> {
    let draft = draft(project, observed, options).unwrap();
    assert!(draft.faults.is_empty(), "{:?}", draft.faults);
    Arc::new(draft.plan)
}

/// What a run left.
struct Ran {
    outcome: Outcome,
    told: Vec<(Elapsed, EventKind)>,
    done: Done,
}

/// How long whatever is asked for takes.
const STEP: Duration = Duration::from_millis(10);

/// Carries a plan out to a good end.
fn run(plan: &Arc<Plan>, observed: &Observed) -> Ran {
    let ran = carried_out(plan, observed, None);
    assert_eq!(ran.outcome.verdict, Verdict::Succeeded, "{:?}", ran.outcome);
    ran
}

/// Carries a plan out: whatever is asked for happens a little later, but for the start of one service.
fn carried_out(plan: &Arc<Plan>, observed: &Observed, failing: Option<&str>) -> Ran {
    let mut scheduler = Scheduler::new(Arc::clone(plan), observed, AfterReady::Finish);
    let mut told = Vec::new();
    // All take the same time: the order in which they begin is the one in which they end.
    let mut due = VecDeque::from([(Elapsed::ZERO, Input::Tick)]);
    loop {
        let deadline = scheduler.next_deadline();
        let first = due.front().map(|(at, _)| *at);
        let (now, input) = match (first, deadline) {
            (Some(at), Some(deadline)) if deadline < at => (deadline, Input::Tick),
            (None, Some(deadline)) => (deadline, Input::Tick),
            _ => due.pop_front().expect("something is under way until the end"),
        };
        for effect in scheduler.step(now, input) {
            match effect {
                Effect::Announce(kind) => told.push((now, kind)),
                Effect::Perform(step) => {
                    let inputs = inputs(&scheduler, plan, step, failing);
                    due.extend(inputs.into_iter().map(|input| (now + STEP, input)));
                }
                Effect::Probe(order) => {
                    let (detail, took) = (String::new(), STEP);
                    let result = ProbeResult { passed: true, detail, took, report: None };
                    due.push_back((now + STEP, Input::Probed { key: order.key, result }));
                }
                Effect::Follow(_) | Effect::Restart(_) => panic!("nothing asks for it"),
                Effect::Finish(outcome) => return Ran { outcome, told, done: scheduler.done() },
            }
        }
    }
}

/// What follows from a step.
fn inputs(scheduler: &Scheduler, plan: &Plan, step: StepId, failing: Option<&str>) -> Vec<Input> {
    let mut inputs = Vec::new();
    let output = match &plan.steps[step.index()].action {
        Action::CreateContainer { name, .. } => {
            StepOutput::Created(ContainerRef { id: id_of(name), name: name.clone() })
        }
        Action::PullImage { .. } => StepOutput::Image(Box::default()),
        Action::StartContainer { replica, .. } if Some(replica.service.as_str()) == failing => {
            let failure = StepFailure { message: "no".to_owned(), kind: FailureKind::Refused };
            return vec![Input::StepFinished { step, result: Err(failure) }];
        }
        Action::StartContainer { replica, existing, .. } => {
            let container = existing.as_ref().or_else(|| scheduler.container(replica)).unwrap();
            inputs.push(Input::Container { id: container.id.clone(), change: ContainerChange::Started });
            StepOutput::Done
        }
        _ => StepOutput::Done,
    };
    inputs.push(Input::StepFinished { step, result: Ok(output) });
    inputs
}

fn id_of(name: &str) -> String {
    format!("{name:0>64}")
}

/// Events as the executor numbers them.
fn numbered(plan: &Plan, told: Vec<(Elapsed, EventKind)>) -> Vec<Event> {
    let services = plan.units.iter().map(|unit| ServiceInfo {
        service: unit.service.clone(),
        replicas: unit.replicas.iter().map(|r| r.number).collect(),
        wave: None,
        critical: true,
        stages: Vec::new(),
        depends_on: Vec::new(),
        image: String::new(),
    });
    let started = EventKind::RunStarted(RunStarted {
        format: 1,
        run: "1".to_owned(),
        time: String::new(),
        project: plan.project.clone(),
        command: "up".to_owned(),
        engine: String::new(),
        waves: Vec::new(),
        services: services.collect(),
    });
    let all = [(Elapsed::ZERO, started)].into_iter().chain(told);
    (0u64..).zip(all).map(|(seq, (at, kind))| Event { seq, at, kind }).collect()
}

/// The engine as it is after the first `up`.
fn observed(project: &Project, plan: &Plan) -> Observed {
    let labelled = |labels: &[(&str, &str)]| -> BTreeMap<String, String> {
        let label = |(key, value): &(&str, &str)| (format!("com.docker.compose.{key}"), (*value).to_owned());
        labels.iter().map(label).collect()
    };
    let (mut containers, mut networks, mut images) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    for step in &plan.steps {
        match &step.action {
            Action::CreateContainer { replica, name, .. } => {
                let service = &project.services[replica.service.as_str()];
                let endpoints = service.networks.keys().map(|key| project.networks[key].name.clone());
                containers.push(Container {
                    id: id_of(name),
                    name: name.clone(),
                    image: project.image_name(service),
                    state: ContainerState::Running,
                    labels: labelled(&[
                        ("project", &project.name),
                        ("service", &replica.service),
                        ("container-number", &replica.number.to_string()),
                        ("oneoff", "False"),
                        ("config-hash", &service_hash(service)),
                    ]),
                    networks: endpoints.map(|name| (name, Endpoint::default())).collect(),
                    ..Container::default()
                });
            }
            Action::CreateNetwork { key, name } => {
                let labels = labelled(&[("project", &project.name), ("network", key)]);
                let network = ObservedNetwork { name: name.clone(), labels, ..ObservedNetwork::default() };
                networks.insert(name.clone(), network);
            }
            Action::PullImage { image, .. } => drop(images.insert(image.clone(), ImageInfo::default())),
            _ => {}
        }
    }
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    Observed { containers, networks, images, ..Observed::default() }
}
