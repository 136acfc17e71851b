//! `up`.

use std::{collections::BTreeSet, sync::Arc, thread::available_parallelism, time::Duration};

use tokio::sync::mpsc;

use super::{
    CliError, Exit, Invocation,
    args::UpArgs,
    follow::Follow,
    session::{Session, Shown},
    settings,
};
use crate::{
    diagnostic::{Diagnostic, SourceMap, render_all},
    engine::{
        EngineInfo,
        docker::{hand_in_api_socket, refused, unsupported},
    },
    plan::{Recreate, UpOptions},
    project::Project,
    report::LogStyle,
    run::{AbortOn, UpRequest, up},
};

/// How long a whole start may take where nothing says otherwise.
const START_TIMEOUT: Duration = Duration::from_mins(5);

/// Converges, starts, and unless detached shows logs and watches until it is told to end.
///
/// # Errors
///
/// The files are wrong, or the engine cannot be reached.
pub(super) async fn run(invocation: &Invocation, args: &UpArgs) -> Result<Exit, CliError> {
    let project = project(invocation, args)?;
    let engine = invocation.connect().await?;
    refuse(&project, engine.info())?;
    let warnings = unsupported(&project, engine.info());
    let project = Arc::new(project);
    let watch = !args.returns_when_ready() && !args.no_start;
    let logs = LogStyle {
        colour: invocation.display().out_colour && !args.no_color,
        prefix: !args.no_log_prefix,
        timestamps: args.timestamps,
    };
    let shown = Shown { logs, events: args.events.as_deref() };
    let (mut run, session) =
        Session::begin(invocation, "up", Arc::clone(&project), Arc::clone(&engine), &shown)?;
    let request = UpRequest {
        options: options(args),
        on_failure: project.orch.on_failure,
        watch,
        abort: abort(args),
        warnings,
        label: session.label.clone(),
    };
    let follower = watch.then(|| {
        let (sender, receiver) = mpsc::unbounded_channel();
        run.set_followers(sender);
        let follow = Follow {
            engine,
            reporter: session.reporter.clone(),
            hidden: hidden(&project, args),
            since: session.label.time.clone(),
        };
        follow.run(receiver)
    });
    let keeper = session.keeper();
    let ending = async {
        let ended = up(&mut run, &request, keeper.as_ref()).await;
        // Readers of logs end when nobody tells of new containers any more.
        drop(run);
        ended
    };
    let ended = match follower {
        Some(follower) => tokio::join!(ending, follower).0,
        None => ending.await,
    };
    let code = ended.as_ref().ok().and_then(|ended| exit_code(args, &ended.exits));
    let exit = session.end(ended)?;
    Ok(code.unwrap_or(exit))
}

/// The project with what the command line and the environment say on top.
///
/// # Errors
///
/// The files or the environment are wrong, or the command line names a service that they do not have.
pub(super) fn project(invocation: &Invocation, args: &UpArgs) -> Result<Project, CliError> {
    let mut project = invocation.load(&invocation.load_options(&args.services))?;
    project.apply_default_platform();
    hand_in_api_socket(&mut project, &invocation.connect_options().config_dir)
        .map_err(|error| CliError::engine("failed to hand in the engine's socket", &error))?;
    for scale in &args.scale {
        let service = project.services.get_mut(&scale.service);
        let service =
            service.ok_or_else(|| CliError::usage(format!("no such service: {}", scale.service)))?;
        service.scale = Some(scale.replicas);
    }
    if args.no_deps && !args.services.is_empty() {
        project.services.retain(|name, _| args.services.contains(name));
    }
    settings::settle(&mut project, &settings::flags(args))?;
    let startup = &mut project.orch.startup;
    let timeout = startup.timeout.unwrap_or(START_TIMEOUT);
    startup.timeout = Some(args.wait_timeout.map_or(timeout, |wait| wait.min(timeout)));
    Ok(project)
}

/// What is planned, as the command line says.
pub(super) fn options(args: &UpArgs) -> UpOptions {
    UpOptions {
        recreate: match (args.force_recreate, args.no_recreate) {
            (true, _) => Recreate::Force,
            (false, true) => Recreate::Never,
            (false, false) => Recreate::Diverged,
        },
        build: args.build,
        no_build: args.no_build,
        pull: args.pull.clone(),
        images_fresh: false,
        remove_orphans: args.remove_orphans,
        renew_anonymous_volumes: args.renew_anon_volumes,
        no_start: args.no_start,
        one_off: None,
        stop_grace: args.timeout.map(super::args::StopTimeout::grace),
        offline: false,
        unsupplied: false,
        cores: cores(),
    }
}

/// Cores of this machine: how much is done at once follows them.
pub(super) fn cores() -> usize {
    available_parallelism().map_or(2, usize::from)
}

fn abort(args: &UpArgs) -> AbortOn {
    match &args.exit_code_from {
        Some(service) => AbortOn::ExitOf(service.clone()),
        None if args.abort_on_container_exit => AbortOn::Exit,
        None if args.abort_on_container_failure => AbortOn::Failure,
        None => AbortOn::Never,
    }
}

/// A container's own exit code, where that is what was asked for.
fn exit_code(args: &UpArgs, exits: &[(crate::project::Replica, i64)]) -> Option<Exit> {
    let code = match &args.exit_code_from {
        Some(service) => exits.iter().find(|(replica, _)| replica.service == *service)?.1,
        None if args.abort_on_container_exit => exits.first()?.1,
        None if args.abort_on_container_failure => exits.iter().find(|(_, code)| *code != 0)?.1,
        None => return None,
    };
    Some(Exit::of_container(code))
}

/// Services whose logs are not shown.
fn hidden(project: &Project, args: &UpArgs) -> BTreeSet<String> {
    let shown = |name: &str| {
        let named = |list: &[String]| list.iter().any(|s| s == name);
        if named(&args.no_attach) {
            return false;
        }
        if !args.attach.is_empty() {
            return named(&args.attach);
        }
        let chosen = args.services.is_empty() || args.attach_dependencies || named(&args.services);
        chosen && project.services[name].attach != Some(false)
    };
    project.services.keys().filter(|name| !shown(name)).cloned().collect()
}

/// Refuses a project with containers that this engine cannot make, before anything is changed.
///
/// # Errors
///
/// There is one; the error names every service.
pub(super) fn refuse(project: &Project, info: &EngineInfo) -> Result<(), CliError> {
    let faults = refused(project, info).into_iter().map(|why| Diagnostic::error("not-possible-here", why));
    let faults: Vec<Diagnostic> = faults.collect();
    if faults.is_empty() {
        return Ok(());
    }
    Err(CliError::files(render_all(&faults, &SourceMap::default(), false)))
}
