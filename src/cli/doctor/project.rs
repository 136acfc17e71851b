//! The project: its files, its images, what an interrupted run left, and what is in the way of `up`.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use tokio::time::timeout;

use super::finding::{Finding, Mark};
use crate::{
    cli::{Invocation, LocalFiles, args::DoctorArgs, fingerprints::fingerprints, tenants, up},
    compose,
    diagnostic::{Diagnostic, Severity, SourceMap},
    engine::{
        Engine,
        docker::{refused, unsupported},
    },
    journal::{ProjectLock, state_dir},
    machine::ThisMachine,
    plan::{self, Draft, Observed, Place, UpOptions},
    project::Project,
    run::{Intended, look, preflight},
};

/// For a registry to say whether it has an image.
const PATIENCE: Duration = Duration::from_secs(20);

/// All of it; where there is no project, only that.
pub(super) async fn check(
    invocation: &Invocation,
    engine: Option<&dyn Engine>,
    args: &DoctorArgs,
) -> Vec<Finding> {
    let loaded = compose::load(&LocalFiles, &invocation.environment(), &invocation.load_options(&[]));
    let mut findings = files(loaded.project.as_ref(), &loaded.diagnostics, &loaded.sources);
    let Some(mut project) = loaded.project else { return findings };
    findings.extend(keys(&project));
    project.apply_default_platform();
    let Some(engine) = engine else {
        findings.extend(start(invocation, None, &project, &Observed::default()).await);
        return findings;
    };
    let of_engine = |words: String, mark| Finding::new("file", mark, words);
    findings.extend(refused(&project, engine.info()).into_iter().map(|w| of_engine(w, Mark::Problem)));
    findings.extend(unsupported(&project, engine.info()).into_iter().map(|w| of_engine(w, Mark::Warning)));
    match look(engine, &project).await {
        Ok(observed) => {
            findings.extend(images(engine, &project, &observed, args).await);
            findings.extend(busy(invocation, &project, &engine.info().host));
            findings.extend(leftovers(invocation, &observed));
            findings.extend(start(invocation, Some(engine), &project, &observed).await);
        }
        Err(error) => findings.push(Finding::problem("project", format!("failed to look at it: {error}"))),
    }
    findings
}

/// Whether the files can be read.
fn files(project: Option<&Project>, said: &[Diagnostic], sources: &SourceMap) -> Vec<Finding> {
    if let [only] = said
        && only.code == "no-compose-file"
    {
        let words = format!("{}: no project was looked at", only.message);
        return vec![Finding::note("file", words)];
    }
    let mut findings: Vec<Finding> =
        said.iter().map(|found| Finding::of_diagnostic("file", found, sources)).collect();
    if let Some(project) = project {
        let files: Vec<String> = project.config_files.iter().map(|file| file.display().to_string()).collect();
        let services = project.services.len();
        let words = format!(
            "{}: project `{}`, {services} service{}",
            files.join(", "),
            project.name,
            if services == 1 { "" } else { "s" }
        );
        findings.insert(0, Finding::fine("file", words));
    }
    findings
}

/// Whether the keys of tenants can be had.
fn keys(project: &Project) -> Vec<Finding> {
    let (tenants, found) = tenants::read(project);
    let words = || format!("those of {} tenants can be read", tenants.len());
    if found.is_empty() {
        return (!tenants.is_empty()).then(|| Finding::fine("keys", words())).into_iter().collect();
    }
    found.iter().map(|found| Finding::of_diagnostic("keys", found, &project.sources)).collect()
}

/// Which images are there, and where the others come from.
async fn images(
    engine: &dyn Engine,
    project: &Project,
    observed: &Observed,
    args: &DoctorArgs,
) -> Vec<Finding> {
    let services = project.services.values().filter(|service| service.provider.is_none());
    let mut wanted: BTreeMap<String, bool> = BTreeMap::new();
    for service in services {
        *wanted.entry(project.image_name(service)).or_default() |= service.build.is_some();
    }
    let missing = |built: bool| {
        let of = wanted.iter().filter(move |(name, b)| **b == built && !observed.images.contains_key(*name));
        of.map(|(name, _)| name.clone()).collect::<Vec<String>>()
    };
    let (to_pull, to_build) = (missing(false), missing(true));
    let there = wanted.len() - to_pull.len() - to_build.len();
    let mut words = format!("{there} of {} are on the engine", wanted.len());
    for (what, names) in [("to pull", &to_pull), ("to build", &to_build)] {
        if !names.is_empty() {
            words = format!("{words}; {what}: {}", names.join(", "));
        }
    }
    let mut findings = vec![Finding::fine("images", words)];
    if args.registry {
        let asked = to_pull.iter().map(|image| can_be_pulled(engine, image));
        findings.extend(join_all(asked).await.into_iter().flatten());
    }
    findings
}

/// Why an image cannot be pulled, where its registry says so.
async fn can_be_pulled(engine: &dyn Engine, image: &str) -> Option<Finding> {
    let why = match timeout(PATIENCE, engine.registry_digest(image)).await {
        Ok(Ok(_)) => return None,
        Ok(Err(error)) => error.message,
        Err(_) => format!("its registry gave no answer within {} s", PATIENCE.as_secs()),
    };
    let finding = Finding::problem("images", format!("{image} cannot be pulled: {why}"));
    Some(finding.hint("is its name right? `docker login` gives credentials for a registry"))
}

/// Who is changing the project at the moment.
fn busy(invocation: &Invocation, project: &Project, engine: &str) -> Option<Finding> {
    let state = state_dir(|name| invocation.env(name))?;
    let holder = ProjectLock::holder(&state, &project.name, engine)?;
    Some(Finding::note("lock", format!("{holder} is changing the project: other commands wait for it")))
}

/// What a run that was killed half-way has left.
fn leftovers(invocation: &Invocation, observed: &Observed) -> Option<Finding> {
    let left: Vec<&str> = observed
        .containers
        .iter()
        .filter(|container| plan::place(container) != Place::Current)
        .map(|container| container.name.as_str())
        .collect();
    if left.is_empty() {
        return None;
    }
    let words = format!("an interrupted run left {}", left.join(", "));
    let again = invocation.again();
    let hint = format!("`{again} up` goes on from there, `{again} down` removes everything");
    Some(Finding::warning("leftovers", words).hint(hint))
}

/// What is in the way of `up`.
async fn start(
    invocation: &Invocation,
    engine: Option<&dyn Engine>,
    project: &Project,
    observed: &Observed,
) -> Vec<Finding> {
    let known = engine.and_then(|engine| fingerprints(invocation, project, &engine.info().host));
    let known = known.map(|(known, _)| known).unwrap_or_default();
    let options = UpOptions {
        offline: engine.is_none(),
        cores: up::cores(),
        fingerprints: known,
        ..UpOptions::default()
    };
    let of = |found: &Diagnostic| Finding::of_diagnostic("start", found, &project.sources);
    let Draft { plan, faults } = match plan::draft(project, observed, &options) {
        Ok(draft) => draft,
        Err(faults) => return faults.iter().map(of).collect(),
    };
    let intended = Intended { project, observed, options: &options, plan: &plan };
    let mut found = faults;
    found.extend(preflight(engine, Some(&ThisMachine), intended).await);
    found.sort_by_key(|found| found.severity != Severity::Error);
    let mut findings: Vec<Finding> = found.iter().map(of).collect();
    findings.extend(plan.warnings.iter().map(|words| Finding::warning("start", words)));
    if findings.is_empty() {
        let words = match (plan.steps.is_empty(), engine) {
            (_, None) => "nothing is known to be in the way of `up`, as far as that shows without an engine",
            (true, Some(_)) => "everything is up: `up` has nothing to do",
            (false, Some(_)) => "nothing is in the way of `up`",
        };
        findings.push(Finding::fine("start", words));
    }
    findings
}
