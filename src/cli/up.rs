//! `up`.

use std::{
    collections::BTreeSet,
    sync::Arc,
    thread::available_parallelism,
    time::{SystemTime, UNIX_EPOCH},
};

use futures::{FutureExt as _, future::OptionFuture};
use tokio::sync::mpsc;

use super::{
    CliError, Exit, Invocation,
    applied::{self, Note, Part},
    args::UpArgs,
    ask::Answers,
    attached::Attached,
    fingerprints::fingerprints,
    follow::{Display, Follow},
    ondemand,
    results::{Recorder, inspect_all},
    serving::{Seen, Serving},
    session::{Session, Shown},
    settings,
};
use crate::{
    diagnostic::{Diagnostic, SourceMap, render_all},
    engine::{
        Engine, EngineInfo,
        docker::{hand_in_api_socket, refused, unsupported},
    },
    executor::{Followed, Quiet, Run},
    journal::Applied,
    plan::{Fingerprints, Recreate, UpOptions},
    project::Project,
    report::LogStyle,
    run::{AbortOn, UpRequest, up},
};

/// Converges, starts, and unless detached shows logs and watches until it is told to end.
///
/// # Errors
///
/// The files are wrong, or the engine cannot be reached.
pub(super) async fn run(invocation: &Invocation, args: &UpArgs) -> Result<Exit, CliError> {
    refuse_left_out(args)?;
    let recorder = Recorder::begin(invocation, "up", &args.results, args.exit_code_from.as_deref())?;
    let ended = attempt(invocation, args, recorder.as_ref()).await;
    if let Some(recorder) = recorder {
        recorder.end(&ended);
    }
    ended
}

async fn attempt(
    invocation: &Invocation,
    args: &UpArgs,
    recorder: Option<&Recorder>,
) -> Result<Exit, CliError> {
    let loaded = loaded(invocation, args)?;
    let engine = invocation.connect().await?;
    let applied = applied::of_project(&loaded, &engine.info().host);
    let part = match (args.services.is_empty(), args.no_deps) {
        (true, _) => Part::Whole,
        (false, false) => Part::Some,
        (false, true) => Part::Alone,
    };
    let project = prepared(invocation, args, loaded).await?;
    let options = options(invocation, args);
    let asked = Asked { command: "up", args, project, applied: (applied, part), options, recorder };
    carry_out(invocation, engine, asked).await
}

/// An `up`, or what is one by another name.
pub(super) struct Asked<'a> {
    /// Its name in the record.
    pub(super) command: &'static str,
    /// What it was given.
    pub(super) args: &'a UpArgs,
    /// What is started.
    pub(super) project: Project,
    /// What is noted of it once it stands.
    pub(super) applied: (Applied, Part),
    /// What is planned.
    pub(super) options: UpOptions,
    /// What it leaves for CI.
    pub(super) recorder: Option<&'a Recorder>,
}

/// Carries it out, to its end.
///
/// # Errors
///
/// The engine cannot make the project, or cannot be reached any more.
pub(super) async fn carry_out(
    invocation: &Invocation,
    engine: Arc<dyn Engine>,
    asked: Asked<'_>,
) -> Result<Exit, CliError> {
    let Asked { command, args, project, applied: (applied, part), options, recorder } = asked;
    refuse(&project, engine.info())?;
    let warnings = unsupported(&project, engine.info());
    let project = Arc::new(project);
    let watch = !args.returns_when_ready() && !args.no_start;
    let logs = LogStyle {
        colour: invocation.display().out_colour && !args.no_color,
        prefix: !args.no_log_prefix,
        timestamps: args.timestamps,
    };
    let shown = Shown { logs, events: args.events.as_deref(), recorder, ..Shown::default() };
    let seen = Seen { project: &project, engine: &engine, restarts: None };
    let serving = Serving::begin(invocation, &args.seen, seen).await?;
    let attached = if watch { Attached::begin(invocation, &project, &engine).await? } else { None };
    let (mut run, session) =
        Session::begin(invocation, command, Arc::clone(&project), Arc::clone(&engine), &shown)?;
    if let Some(serving) = &serving {
        session.show_to(&mut run, &serving.feed);
    }
    if let Some((known, ledger)) = fingerprints(invocation, &project, &engine.info().host) {
        run.set_fingerprints(known, Box::new(ledger));
    }
    // What is only created does not stand.
    let folder = session.folder().filter(|_| !args.no_start);
    let note = folder.and_then(|folder| Note::new(invocation, &project.name, folder, applied, part));
    if let Some(note) = note {
        run.set_witness(Box::new(note));
    }
    run.set_quiet(Quiet { pulls: args.quiet_pull, builds: args.quiet_build });
    let request = UpRequest {
        options: UpOptions {
            on_failure_given: args.on_failure.is_some()
                || project.environment.contains_key("DOCKER_ORCH_ON_FAILURE"),
            ..options
        },
        on_failure: project.orch.on_failure,
        watch,
        abort: abort(args),
        warnings,
        label: session.label.clone(),
        first: session.first,
    };
    let (follower, followers) =
        follow(&mut run, &session, Arc::clone(&engine), watch.then(|| hidden(&project, args))).unzip();
    let loads =
        attached.map(|attached| attached.beside(&mut run, &session.reporter, followers).boxed_local());
    let keeper = session.keeper();
    let answers = Answers::of(invocation, args.yes);
    let ending = async {
        let ended = up(&mut run, &request, keeper.as_ref(), &answers).await;
        // Readers of logs end when nobody tells of new containers any more.
        drop(run);
        ended
    };
    let (ended, ..) = tokio::join!(ending, OptionFuture::from(follower), OptionFuture::from(loads));
    if let Some(artifacts) = session.artifacts() {
        inspect_all(engine.as_ref(), &project, artifacts).await;
    }
    let code = ended.as_ref().ok().and_then(|ended| exit_code(args, &ended.exits));
    let exit = session.end(ended)?;
    if !watch && exit == Exit::Fine {
        ondemand::say_who_loads(invocation, &project);
    }
    Ok(code.unwrap_or(exit))
}

/// Reads the logs of what comes up, where they are shown or kept, until the run is over and nobody has the sender any
/// more. `hidden`: whose are not shown; `None`: nobody's are.
fn follow(
    run: &mut Run,
    session: &Session,
    engine: Arc<dyn Engine>,
    hidden: Option<BTreeSet<String>>,
) -> Option<(impl Future<Output = ()> + use<>, mpsc::UnboundedSender<Followed>)> {
    let outlived = hidden.is_none();
    let display =
        |hidden| Display { reporter: session.reporter.clone(), hidden, since: session.label.time.clone() };
    let (shown, recorded) = (hidden.map(display), session.recorded());
    if shown.is_none() && recorded.is_none() {
        return None;
    }
    let (sender, receiver) = mpsc::unbounded_channel();
    run.set_followers(sender.clone());
    Some((Follow { engine, shown, recorded, outlived }.run(receiver), sender))
}

/// The project with what the command line and the environment say on top.
///
/// # Errors
///
/// The files or the environment are wrong, or the command line names a service that they do not have.
pub(super) async fn project(invocation: &Invocation, args: &UpArgs) -> Result<Project, CliError> {
    let loaded = loaded(invocation, args)?;
    prepared(invocation, args, loaded).await
}

/// The project as the files say, and as many containers of each service as the command line says.
fn loaded(invocation: &Invocation, args: &UpArgs) -> Result<Project, CliError> {
    let mut project = invocation.load(&invocation.load_options(&args.services))?;
    project.apply_default_platform();
    for scale in &args.scale {
        let service = project.services.get_mut(&scale.service);
        let Some(service) = service else {
            let names = project.services.keys().map(String::as_str);
            return Err(CliError::no_such_service(&scale.service, names));
        };
        service.scale = Some(scale.replicas);
    }
    Ok(project)
}

/// A project that was loaded, with what the command line and the environment say of this start on top.
///
/// # Errors
///
/// The environment is wrong, or the command line names a service that the project does not have.
pub(super) async fn prepared(
    invocation: &Invocation,
    args: &UpArgs,
    mut project: Project,
) -> Result<Project, CliError> {
    hand_in_api_socket(&mut project, &invocation.connect_options())
        .await
        .map_err(|error| CliError::engine("failed to hand in the engine's socket", &error))?;
    for named in args.exit_code_from.iter().chain(&args.attach).chain(&args.no_attach) {
        if !project.services.contains_key(named) && !project.disabled_services.contains_key(named) {
            return Err(CliError::no_such_service(named, project.services.keys().map(String::as_str)));
        }
    }
    if args.no_deps && !args.services.is_empty() {
        project.services.retain(|name, _| args.services.contains(name));
    }
    settings::settle(&mut project, &settings::flags(args))?;
    let default = project.default_start_timeout();
    let startup = &mut project.orch.startup;
    let timeout = startup.timeout.unwrap_or(default);
    startup.timeout = Some(args.wait_timeout.map_or(timeout, |wait| wait.min(timeout)));
    Ok(project)
}

/// What is planned, as the command line says.
pub(super) fn options(invocation: &Invocation, args: &UpArgs) -> UpOptions {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let ignore_orphans = invocation.env("COMPOSE_IGNORE_ORPHANS").is_some_and(is_true);
    UpOptions {
        services: args.services.clone(),
        recreate: match (args.force_recreate || args.renew_anon_volumes, args.no_recreate) {
            (true, _) => Recreate::Force,
            (false, true) => Recreate::Never,
            (false, false) => Recreate::Diverged,
        },
        recreate_dependencies: args.always_recreate_deps,
        build: args.build,
        no_build: args.no_build,
        pull: args.pull.clone().filter(|policy| policy != "policy"),
        images_fresh: false,
        remove_orphans: args.remove_orphans,
        leaving: BTreeSet::new(),
        ignore_orphans,
        renew_anonymous_volumes: args.renew_anon_volumes,
        no_start: args.no_start,
        one_off: None,
        stop_grace: args.timeout.map(super::args::StopTimeout::grace),
        no_preflight: args.no_preflight,
        offline: false,
        unsupplied: false,
        on_failure_given: false,
        now: i64::try_from(now).unwrap_or(i64::MAX),
        cores: cores(),
        fingerprints: Fingerprints::default(),
        replace_volumes: BTreeSet::new(),
    }
}

/// Whether a variable's text says yes, as Compose reads it.
fn is_true(text: &str) -> bool {
    ["1", "t", "true", "y", "yes"].contains(&text.to_ascii_lowercase().as_str())
}

/// Flags of Compose's `up` that are known and that nothing stands behind here.
///
/// # Errors
///
/// One of them was given.
fn refuse_left_out(args: &UpArgs) -> Result<(), CliError> {
    let refused = |flag: &str, hint: &str| {
        Err(CliError::usage(format!("`{flag}` is not offered by docker orch")).hint(hint.to_owned()))
    };
    if args.watch {
        return refused("--watch", "`docker compose watch` works beside a project that docker orch started");
    }
    if args.menu == Some(true) {
        return refused("--menu", "Ctrl+C ends an attached `up`; `-d` leaves everything running");
    }
    Ok(())
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
