//! What earlier runs of a project say of the next, read from their records.

use std::{collections::BTreeSet, path::Path, sync::mpsc, thread};

use super::{Invocation, history::past};
use crate::{
    event::ServiceInfo,
    journal::{runs, state_dir},
    plan::{Action, Forecast, Plan, Step},
    project::Project,
    report::{Expected, Place, Planned},
    run::planned,
    time::Elapsed,
};

/// As many of the newest records are read: enough for the medians of services that not every run starts.
const READ: usize = 12;

/// How long things took in the newest runs; nothing where none is kept.
pub(super) fn expected(invocation: &Invocation, project: &str) -> Expected {
    state_dir(|name| invocation.env(name)).map(|state| of_kept(&state, project)).unwrap_or_default()
}

/// The same, read on the side: a start does not wait for it. `None`: there is no thread, or nothing is kept anywhere.
pub(super) fn expected_later(invocation: &Invocation, project: &str) -> Option<mpsc::Receiver<Expected>> {
    let state = state_dir(|name| invocation.env(name))?;
    let (sender, receiver) = mpsc::sync_channel(1);
    let project = project.to_owned();
    let read = move || {
        // Nobody may want to know it any more.
        drop(sender.send(of_kept(&state, &project)));
    };
    thread::Builder::new().name("expected".to_owned()).spawn(read).ok()?;
    Some(receiver)
}

fn of_kept(state: &Path, project: &str) -> Expected {
    let kept = runs(state, project).unwrap_or_default();
    let over: Vec<_> = kept.iter().filter(|run| !run.is_live()).take(READ).map(past).collect();
    Expected::of(&over)
}

/// What earlier runs say of a plan; `None` where they say nothing of what it starts.
pub(super) fn forecast(expected: &Expected, project: &Project, plan: &Plan) -> Option<Forecast> {
    let infos = planned(plan, project);
    let got = |step: &Step| match &step.action {
        Action::PullImage { image, .. } | Action::BuildImage { image, .. } => Some(image.clone()),
        _ => None,
    };
    let images: BTreeSet<String> = plan.steps.iter().filter_map(got).collect();
    let created = |step: &Step| match &step.action {
        Action::CreateContainer { replica, .. } => Some(replica.service.clone()),
        _ => None,
    };
    let created: BTreeSet<String> = plan.steps.iter().filter_map(created).collect();
    let started = plan.units.iter().filter(|unit| unit.replicas.iter().any(|r| r.start.is_some()));
    let started: BTreeSet<&str> = started.map(|unit| unit.service.as_str()).collect();
    let place = |info: &ServiceInfo| {
        if !started.contains(info.service.as_str()) {
            return Place::Settled;
        }
        Place::ToStart { image: images.contains(&info.image), create: created.contains(&info.service) }
    };
    let services: Vec<Planned<'_>> = infos.iter().map(|info| Planned { info, place: place(info) }).collect();
    let waves: Vec<_> = plan.waves.iter().map(|wave| (wave.name.as_str(), wave.ready_when)).collect();
    let is_known = |service: &Planned<'_>| {
        service.place != Place::Settled && expected.service(&service.info.service).is_some()
    };
    services.iter().any(is_known).then(|| expected.whole(&services, &waves, Elapsed::ZERO))
}
