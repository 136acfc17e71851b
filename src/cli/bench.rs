//! `bench`: the same project started in several ways, in turn, and how long each took.
//!
//! What is measured are whole programs, this one among them, as a user would start them. They work on a project with
//! a name of its own, and all that they made for it is removed in the end.

mod beside;
mod calls;
mod child;
mod figures;
mod show;
mod turns;

use std::{os::unix::fs::DirBuilderExt as _, path::PathBuf, sync::Arc, time::SystemTime};

use super::{
    CliError, Exit, Invocation, LocalFiles,
    args::{BenchArgs, Format, UpArgs, Way},
    entry::print,
    up,
};
use crate::{
    compose,
    diagnostic::{Diagnostic, Severity, render_all},
    engine::Engine,
    executor::Signals,
    machine::ThisMachine,
    plan::{self, Draft, Observed, UpOptions},
    project::Project,
    report::ProgressMode,
    run::{Intended, look, preflight},
};
use calls::Calls;
use show::Comparison;
use turns::{Turns, of_engine};

/// Measures and prints the comparison.
///
/// # Errors
///
/// The files are wrong, the project cannot run beside itself, the engine cannot be reached, or not everything could be
/// removed.
pub(super) async fn run(invocation: &Invocation, args: &BenchArgs) -> Result<Exit, CliError> {
    let (invocation, called) = own_name(invocation)?;
    let project = up::project(&invocation, &UpArgs::default()).await?;
    refuse(&invocation, &project, args)?;
    let compose = compose_plugin(&invocation, &args.only).await?;
    let engine = invocation.connect().await?;
    let observed = free(&invocation, &project, &*engine).await?;
    let notes = notes(&project, args, compose.as_ref().map(|(_, version)| version.as_str()));
    let signals = Signals::listen(&invocation.signal_sources())
        .map_err(|e| CliError::failed("failed to listen to signals").caused_by(&e))?;
    let calls = Calls {
        orch: std::env::current_exe()
            .map_err(|e| CliError::failed("failed to find this program").caused_by(&e))?,
        compose: compose.map(|(path, _)| path),
        state: state_folder(&project.name)?,
        start_timeout: project.orch.startup.timeout.unwrap_or_else(|| project.default_start_timeout()),
        stop_timeout: args.timeout,
        invocation: &invocation,
    };
    let ways = ways(args, calls.compose.is_some());
    let quiet = invocation.display().progress == ProgressMode::Quiet;
    let mut turns = Turns::new(&project, Arc::clone(&engine), calls, signals, quiet);
    let measured = turns.measure(&ways, args.runs, &observed).await;
    let cleaned = turns.clean_up().await;
    let measured = match (measured, &cleaned) {
        (Ok(measured), _) => measured,
        (Err(error), Ok(())) => return Err(error),
        (Err(error), Err(left)) => return Err(besides(error, left)),
    };
    let mut exit = Exit::Interrupted;
    if let Some(measured) = &measured {
        let version = &engine.info().server_version;
        let runs = args.runs;
        exit = show(&Comparison { project: &called, engine: version, runs, measured, notes: &notes }, args);
    }
    // What is left is the worse news.
    cleaned.map(|()| exit)
}

/// An error, and what is left of the project.
fn besides(mut error: CliError, left: &CliError) -> CliError {
    let words: Vec<&str> = std::iter::once(&left.message).chain(&left.causes).map(String::as_str).collect();
    error.hints.push(words.join(": "));
    error.hints.extend(left.hints.iter().cloned());
    error
}

fn show(comparison: &Comparison<'_>, args: &BenchArgs) -> Exit {
    let printed = print(&match args.format {
        Format::Table => comparison.text(),
        Format::Json => format!("{:#}\n", comparison.json()),
    });
    let has_failed = comparison.measured.iter().any(|measured| measured.failed.is_some());
    if has_failed { Exit::Failed } else { printed }
}

/// The ways that are asked for and can be measured, in their order.
fn ways(args: &BenchArgs, has_compose: bool) -> Vec<Way> {
    let is_wanted = |way: &Way| args.only.is_empty() || args.only.contains(way);
    let all = [Way::Sequential, Way::Orch, Way::Compose].into_iter();
    all.filter(is_wanted).filter(|way| *way != Way::Compose || has_compose).collect()
}

/// The command line for a project of its own, and the name that the project has otherwise.
fn own_name(invocation: &Invocation) -> Result<(Invocation, String), CliError> {
    if invocation.project.files.iter().any(|file| file.as_os_str() == "-") {
        return Err(CliError::usage("a file from standard input can be read once, and bench reads it often"));
    }
    let loaded = compose::load(&LocalFiles, &invocation.environment(), &invocation.load_options(&[]));
    let Some(project) = loaded.project else {
        return Err(CliError::files(render_all(
            &loaded.diagnostics,
            &loaded.sources,
            invocation.display().err_colour,
        )));
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mark = (now.as_millis() ^ (u128::from(std::process::id()) << 8)) & 0xff_ffff;
    let mut own = invocation.clone();
    own.project.project_name = Some(format!("{}-bench-{mark:06x}", project.name));
    Ok((own, project.name))
}

/// Refuses what would not leave alone what the user has.
fn refuse(invocation: &Invocation, project: &Project, args: &BenchArgs) -> Result<(), CliError> {
    if project.services.is_empty() {
        return Err(CliError::usage("the project has no services"));
    }
    let colour = invocation.display().err_colour;
    let refused = |found: &[Diagnostic]| CliError::files(render_all(found, &project.sources, colour));
    let fixed = beside::fixed_names(project);
    if !fixed.is_empty() {
        return Err(refused(&fixed));
    }
    let shared = beside::shared(project);
    if !shared.is_empty() && !args.allow_shared {
        return Err(refused(&shared).hint(
            "bench starts the project a second time; with `--allow-shared` it uses these things, too",
        ));
    }
    Ok(())
}

/// Docker Compose and its version, where it is to be measured and installed.
async fn compose_plugin(
    invocation: &Invocation,
    only: &[Way],
) -> Result<Option<(PathBuf, String)>, CliError> {
    if !only.is_empty() && !only.contains(&Way::Compose) {
        return Ok(None);
    }
    let tools = invocation.tools();
    let version = tools.plugin_version("compose").await;
    let version = version.map_err(|error| CliError::failed(error.message))?;
    match (tools.find_plugin("compose"), version) {
        (Some(path), Some(version)) => Ok(Some((path, version))),
        _ if only.is_empty() => Ok(None),
        _ => Err(CliError::failed("Docker Compose is not installed: there is no plugin `docker-compose`")),
    }
}

/// What the engine has of the project's images, where nothing is in the way of a start.
async fn free(invocation: &Invocation, project: &Project, engine: &dyn Engine) -> Result<Observed, CliError> {
    up::refuse(project, engine.info())?;
    let colour = invocation.display().err_colour;
    let in_the_way = |found: Vec<Diagnostic>| CliError::in_the_way(&found, &project.sources, colour);
    let observed = look(engine, project).await.map_err(|error| of_engine(&error))?;
    let supply = plan::supply(project, up::cores()).map_err(in_the_way)?;
    let options = UpOptions { unsupplied: supply.is_some(), ..up::options(invocation, &UpArgs::default()) };
    let Draft { plan, mut faults } = plan::draft(project, &observed, &options).map_err(in_the_way)?;
    let intended = Intended { project, observed: &observed, options: &options, plan: &plan };
    faults.extend(preflight(Some(engine), Some(&ThisMachine), intended).await);
    faults.retain(|fault| fault.severity == Severity::Error);
    if faults.is_empty() {
        return Ok(observed);
    }
    let hint = "bench starts the project a second time, beside the first: what that one holds must be free";
    Err(in_the_way(faults).hint(hint))
}

/// What has to be known to read the figures. `compose`: its version.
fn notes(project: &Project, args: &BenchArgs, compose: Option<&str>) -> Vec<String> {
    let is_wanted = args.only.is_empty() || args.only.contains(&Way::Compose);
    let Some(version) = compose.filter(|_| is_wanted) else {
        let missing = "compose is left out: Docker Compose is not installed";
        return is_wanted.then(|| missing.to_owned()).into_iter().collect();
    };
    let mut notes = vec![format!("compose: Docker Compose {version}, up --wait")];
    let is_known_to_us = |service: &&crate::project::Service| {
        service.orch.health_check.is_some() || !service.orch.depends_on.is_empty()
    };
    let ours: Vec<&str> =
        project.services.values().filter(is_known_to_us).map(|service| service.name.as_str()).collect();
    if !ours.is_empty() {
        notes.push(format!(
            "compose does not know the x-orch checks of {}: its `up` ends when these run, or are healthy by their \
             own healthcheck",
            ours.join(", ")
        ));
    }
    if !project.orch.waves.is_empty() {
        notes.push("compose knows no waves: it starts by depends_on alone".to_owned());
    }
    notes
}

/// A folder for records that nobody needs afterwards.
fn state_folder(project: &str) -> Result<PathBuf, CliError> {
    let folder = std::env::temp_dir().join(format!("docker-orch-{project}"));
    let made = std::fs::DirBuilder::new().mode(0o700).create(&folder);
    let failed = |e| CliError::failed(format!("failed to make {}", folder.display())).caused_by(&e);
    made.map_err(failed)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::{EngineError, EngineErrorKind::Failed},
        project::{HealthSpec, Service},
    };

    fn project(services: &[(&str, bool)]) -> Project {
        let mut project = Project::default();
        for (name, checked) in services {
            let mut service = Service { name: (*name).to_owned(), ..Service::default() };
            let test = ["CMD".to_owned(), "true".to_owned()];
            service.orch.health_check = HealthSpec::of_healthcheck(&test, None).filter(|_| *checked);
            project.services.insert((*name).to_owned(), service);
        }
        project
    }

    #[test]
    fn what_is_left_is_told_beside_the_error() {
        let mut left = CliError::failed("failed to remove all of shop").hint("`down` removes the rest");
        left.causes.push("these are left: shop-web-1".to_owned());
        let error = besides(CliError::engine("failed to list", &EngineError::new(Failed, "x")), &left);
        assert_eq!(error.exit(), Exit::Engine);
        let hints = ["failed to remove all of shop: these are left: shop-web-1", "`down` removes the rest"];
        assert_eq!(error.hints, hints);
    }

    #[test]
    fn the_notes_say_what_compose_does_not_wait_for() {
        let plain = project(&[("web", false)]);
        let checked = project(&[("web", true), ("db", false), ("api", true)]);
        let args = BenchArgs::default();
        assert_eq!(notes(&plain, &args, Some("v2.40.3")), ["compose: Docker Compose v2.40.3, up --wait"]);
        let said = notes(&checked, &args, Some("v2.40.3"));
        assert!(said[1].contains("checks of web, api: "), "{said:?}");
        assert_eq!(notes(&plain, &args, None), ["compose is left out: Docker Compose is not installed"]);
        let ours = BenchArgs { only: vec![Way::Orch], ..BenchArgs::default() };
        assert!(notes(&checked, &ours, None).is_empty());
    }

    #[test]
    fn the_name_is_the_projects_and_more() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("compose.yaml"), "name: shop\nservices: {web: {image: x}}")
            .unwrap();
        let mut invocation = Invocation { cwd: folder.path().to_owned(), ..Invocation::default() };
        let (own, called) = own_name(&invocation).unwrap();
        let name = own.project.project_name.unwrap();
        assert_eq!(called, "shop");
        assert!(name.starts_with("shop-bench-") && name.len() == "shop-bench-".len() + 6, "{name}");
        invocation.project.files = vec!["-".into()];
        assert_eq!(own_name(&invocation).unwrap_err().exit(), Exit::Usage);
    }
}
