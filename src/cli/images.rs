//! `pull` and `build`: images, several at once.

use std::sync::Arc;

use futures::StreamExt as _;

use super::{
    CliError, Exit, Invocation,
    args::{BuildArgs, PullArgs},
    entry::note,
};
use crate::{
    engine::{BuildRequest, Engine, ProgressFn},
    project::{Build, Project, Service},
    report::ProgressMode,
};

/// Images at once where nothing else is said: enough to fill a line, few enough for a registry.
const AT_ONCE: usize = 8;

/// Pulls images.
///
/// # Errors
///
/// The files are wrong, the engine cannot be reached, or a pull fails.
pub(super) async fn pull(invocation: &Invocation, args: &PullArgs) -> Result<Exit, CliError> {
    let project = load(invocation, &args.services, args.include_deps)?;
    let engine = invocation.connect().await?;
    let mut images: Vec<(String, Option<String>)> = chosen(&project, &args.services, args.include_deps)
        .filter(|service| service.image.is_some() && !(args.ignore_buildable && service.build.is_some()))
        .map(|service| (project.image_name(service), service.platform.clone()))
        .collect();
    images.sort();
    images.dedup();
    let (engine, quiet, missing_only) =
        (&*engine, is_quiet(invocation, args.quiet), args.policy == "missing");
    let results: Vec<_> = futures::stream::iter(images)
        .map(|(image, platform)| async move {
            if missing_only && matches!(engine.image(&image, platform.as_deref()).await, Ok(Some(_))) {
                return (image, Ok(()));
            }
            say(quiet, &format!("pulling {image}"));
            let result = engine.pull(&image, platform.as_deref(), silent()).await;
            if result.is_ok() {
                say(quiet, &format!("pulled  {image}"));
            }
            (image, result)
        })
        .buffer_unordered(at_once(invocation))
        .collect()
        .await;
    let mut first = None;
    for (image, result) in results {
        let Err(error) = result else { continue };
        let error = CliError::engine(format!("failed to pull {image}"), &error);
        if args.ignore_pull_failures {
            note(&format!("warning: {}: {}", error.message, error.causes.join(": ")));
        } else {
            first.get_or_insert(error);
        }
    }
    first.map_or(Ok(Exit::Fine), Err)
}

/// Builds images.
///
/// # Errors
///
/// The files are wrong, the engine cannot be reached, or a build fails.
pub(super) async fn build(invocation: &Invocation, args: &BuildArgs) -> Result<Exit, CliError> {
    let project = load(invocation, &args.services, args.with_dependencies)?;
    let engine = invocation.connect().await?;
    let (engine, project, quiet): (&dyn Engine, _, _) =
        (&*engine, &project, is_quiet(invocation, args.quiet));
    let builds: Vec<_> = chosen(project, &args.services, args.with_dependencies)
        .filter_map(|service| Some((service, with_args(service.build.clone()?, args, invocation))))
        .collect();
    for together in rounds(builds) {
        let builds = futures::stream::iter(together).map(|(service, build)| async move {
            let image = project.image_name(service);
            let request = BuildRequest {
                project,
                service: &service.name,
                build: &build,
                image: image.clone(),
                platform: service.platform.clone(),
                no_cache: args.no_cache,
                pull: args.pull,
            };
            say(quiet, &format!("building {image}"));
            let lines: ProgressFn = if quiet {
                silent()
            } else {
                let service = service.name.clone();
                Arc::new(move |progress| note(&format!("{service}: {}", progress.text)))
            };
            let result = engine.build(&request, lines).await;
            if result.is_ok() {
                say(quiet, &format!("built    {image}"));
            }
            (image, result)
        });
        let results: Vec<_> = builds.buffer_unordered(at_once(invocation)).collect().await;
        for (image, result) in results {
            result.map_err(|error| CliError::engine(format!("failed to build {image}"), &error))?;
        }
    }
    Ok(Exit::Fine)
}

/// Builds that can be done together, after those whose images they are built from.
fn rounds(mut left: Vec<(&Service, Build)>) -> Vec<Vec<(&Service, Build)>> {
    let mut rounds = Vec::new();
    while !left.is_empty() {
        let names: Vec<&str> = left.iter().map(|(service, _)| service.name.as_str()).collect();
        let waits = |build: &Build| build.bases().any(|base| names.contains(&base));
        let (later, now): (Vec<_>, Vec<_>) = left.into_iter().partition(|(_, build)| waits(build));
        if now.is_empty() {
            // They wait for each other: the builder says what it lacks.
            rounds.push(later);
            break;
        }
        rounds.push(now);
        left = later;
    }
    rounds
}

/// The project, with the named services and what they depend on.
fn load(invocation: &Invocation, services: &[String], dependencies: bool) -> Result<Project, CliError> {
    let named = if dependencies { services } else { &[] };
    let project = invocation.load(&invocation.load_options(named))?;
    for service in services {
        if !project.services.contains_key(service) {
            return Err(CliError::no_such_service(service, project.services.keys().map(String::as_str)));
        }
    }
    Ok(project)
}

fn chosen<'a>(
    project: &'a Project,
    services: &'a [String],
    dependencies: bool,
) -> impl Iterator<Item = &'a Service> {
    project
        .services
        .values()
        .filter(move |service| dependencies || services.is_empty() || services.contains(&service.name))
}

/// The file's build with `--build-arg` on top; a name alone takes its value from the environment.
fn with_args(mut build: Build, args: &BuildArgs, invocation: &Invocation) -> Build {
    for arg in &args.build_args {
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (arg.as_str(), invocation.env.get(arg).cloned()),
        };
        build.args.insert(name.to_owned(), value);
    }
    build
}

/// `--parallel`, else `COMPOSE_PARALLEL_LIMIT`; anything below one is no limit.
fn at_once(invocation: &Invocation) -> usize {
    let asked = invocation
        .project
        .parallel
        .or_else(|| invocation.env("COMPOSE_PARALLEL_LIMIT").and_then(|text| text.parse().ok()));
    match asked {
        Some(limit) => usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX >> 1),
        None => AT_ONCE,
    }
}

/// `--quiet`, or the quiet way of showing progress.
fn is_quiet(invocation: &Invocation, quiet: bool) -> bool {
    quiet || invocation.display().progress == ProgressMode::Quiet
}

fn say(quiet: bool, text: &str) {
    if !quiet {
        note(text);
    }
}

fn silent() -> ProgressFn {
    Arc::new(|_| {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_args_override_the_file_and_come_from_the_environment() {
        let mut invocation = Invocation::default();
        invocation.env.insert("TOKEN".into(), "t".into());
        let args = BuildArgs {
            build_args: vec!["A=1=2".into(), "TOKEN".into(), "UNSET".into()],
            ..BuildArgs::default()
        };
        let mut build = Build::default();
        build.args.insert("A".into(), Some("file".into()));
        let args = with_args(build, &args, &invocation).args;
        assert_eq!(args["A"].as_deref(), Some("1=2"));
        assert_eq!(args["TOKEN"].as_deref(), Some("t"));
        assert_eq!(args["UNSET"], None);
    }

    #[test]
    fn an_image_is_built_after_those_it_is_built_from() {
        let build = |bases: &[&str]| Build {
            additional_contexts: bases.iter().map(|b| ((*b).to_owned(), format!("service:{b}"))).collect(),
            ..Build::default()
        };
        let service = |name: &str| Service { name: name.to_owned(), ..Service::default() };
        let services = ["top", "middle", "base", "alone"].map(service);
        let order = |bases: [&[&str]; 4]| {
            let builds = services.iter().zip(bases.map(build)).collect();
            let names =
                |round: Vec<(&Service, Build)>| round.into_iter().map(|(s, _)| s.name.clone()).collect();
            rounds(builds).into_iter().map(names).collect::<Vec<Vec<String>>>()
        };
        let sorted = [vec!["base", "alone"], vec!["middle"], vec!["top"]];
        assert_eq!(order([&["middle", "elsewhere"], &["base"], &[], &[]]), sorted);
        let cycle = [vec!["base", "alone"], vec!["top", "middle"]];
        assert_eq!(order([&["middle"], &["top"], &[], &[]]), cycle);
    }

    #[test]
    fn the_limit_comes_from_the_flag_or_the_environment() {
        let mut invocation = Invocation::default();
        assert_eq!(at_once(&invocation), AT_ONCE);
        invocation.env.insert("COMPOSE_PARALLEL_LIMIT".into(), "3".into());
        assert_eq!(at_once(&invocation), 3);
        invocation.project.parallel = Some(-1);
        assert!(at_once(&invocation) > 1000);
    }
}
