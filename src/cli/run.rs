//! `run`.

use std::{fs, path::Path, sync::Arc};

use tokio::sync::mpsc;

use super::{
    CliError, Exit, Invocation, LocalFiles,
    args::{Progress, RunArgs},
    console::{Console, parse_detach_keys},
    entry::print,
    fingerprints::fingerprints,
    follow::Follow,
    random::random,
    results::{Recorder, inspect_all},
    session::{Session, Shown},
    up,
};
use crate::{
    compose::{Environment, dotenv, ports_and_mounts},
    diagnostic::render_all,
    engine::{EngineError, docker::unsupported},
    plan::{OneOff, OneOffChanges, OneOffPorts, OneOffTarget, UpOptions},
    project::{Mapping, Project},
    run::{AbortOn, Attention, Ended, OneOffEnd, RunError, UpRequest, one_off},
};

/// Starts what a service depends on, then a container of its own for a command, and ends as that does.
///
/// # Errors
///
/// The command line or the files are wrong, or the engine cannot be reached.
pub(super) async fn run(invocation: &Invocation, args: &RunArgs) -> Result<Exit, CliError> {
    let ends = (!args.detach).then(|| args.service());
    let recorder = Recorder::begin(invocation, "run", &args.results, ends)?;
    let ended = attempt(invocation, args, recorder.as_ref()).await;
    if let Some(recorder) = recorder {
        recorder.end(&ended);
    }
    ended
}

async fn attempt(
    invocation: &Invocation,
    args: &RunArgs,
    recorder: Option<&Recorder>,
) -> Result<Exit, CliError> {
    let streams = StreamsAsked::new(args, invocation)?;
    let mut invocation = invocation.clone();
    if args.quiet {
        invocation.display.progress = Some(Progress::Quiet);
    }
    let mut project = up::project(&invocation, &args.up()).await?;
    let target = target(args, streams.interactive)?;
    if project.services.get(&target.service).is_some_and(|service| service.provider.is_some()) {
        let why = format!("`{}` comes from a provider: it has no container to run", target.service);
        let hint = "`docker orch run` with one of the services that depend on it brings it up";
        return Err(CliError::usage(why).hint(hint));
    }
    let changes = changes(args, &project, &invocation.cwd, streams.tty)?;
    project.become_one_off(&target, &changes);
    let detach_keys = invocation.connect_options().detach_keys();
    let detach_keys =
        detach_keys.map_err(|e| CliError::engine("failed to read Docker's configuration", &e))?;
    let keys = parse_detach_keys(detach_keys.as_deref().unwrap_or("ctrl-p,ctrl-q"))?;
    let engine = invocation.connect().await?;
    up::refuse(&project, engine.info())?;
    let warnings = unsupported(&project, engine.info());
    let shown = Shown { events: args.events.as_deref(), recorder, ..Shown::default() };
    let on_failure = project.orch.on_failure;
    let known = fingerprints(&invocation, &project, &engine.info().host);
    let project = Arc::new(project);
    let (mut run, mut session) =
        Session::begin(&invocation, "run", Arc::clone(&project), Arc::clone(&engine), &shown)?;
    if let Some((known, ledger)) = known {
        run.set_fingerprints(known, Box::new(ledger));
    }
    let request = UpRequest {
        options: UpOptions { one_off: Some(target), ..up::options(&invocation, &args.up()) },
        on_failure,
        watch: false,
        abort: AbortOn::Never,
        warnings,
        label: session.label.clone(),
        // A container of its own never tells whose a provider's doing is.
        first: false,
    };
    let keeper = session.keeper();
    let follower = session.recorded().map(|recorded| {
        let (sender, receiver) = mpsc::unbounded_channel();
        run.set_followers(sender);
        let engine = Arc::clone(&engine);
        Follow { engine, shown: None, recorded: Some(recorded), outlived: true }.run(receiver)
    });
    let artifacts = session.artifacts().cloned();
    let mut console = Console {
        session: &mut session,
        sources: invocation.signal_sources(),
        terminals: invocation.terminals,
        tty: streams.tty,
        interactive: streams.interactive,
        keys,
    };
    let attention = if args.detach {
        Attention::Detached
    } else {
        Attention::Attached { terminal: &mut console, detach_keys }
    };
    let ending = async {
        let ended = one_off(&mut run, &request, keeper.as_ref(), attention).await;
        drop(run);
        ended
    };
    let ended = match follower {
        Some(follower) => tokio::join!(ending, follower).0,
        None => ending.await,
    };
    if let Some(artifacts) = artifacts {
        inspect_all(engine.as_ref(), &project, &artifacts).await;
    }
    conclude(args, session, ended)
}

/// Says what there is to say at the end, and how the program ends.
fn conclude(
    args: &RunArgs,
    session: Session,
    ended: Result<(Ended, OneOffEnd), RunError>,
) -> Result<Exit, CliError> {
    match ended {
        Err(error) => session.end(Err(error)),
        Ok((ended, OneOffEnd::NotRun)) => session.end(Ok(ended)),
        Ok((ended, OneOffEnd::Refused(error))) => session.end(Ok(ended)).map(|_| refused(&error)),
        Ok((_, OneOffEnd::Exited(code))) => {
            session.close();
            Ok(Exit::of_container(code))
        }
        Ok((ended, OneOffEnd::LeftRunning(container))) if args.detach => {
            session.end(Ok(ended))?;
            Ok(print(&format!("{}\n", container.id)))
        }
        Ok((_, OneOffEnd::LeftRunning(container))) => {
            session.close();
            let again = format!("`docker attach {}` comes back to it", container.name);
            super::entry::note(&format!("\r\ndetached: {again}"));
            Ok(Exit::Fine)
        }
        Ok((_, OneOffEnd::Lost(why))) => {
            session.close();
            Err(CliError::failed(format!("{}: {why}", args.service())))
        }
    }
}

/// Which container is made.
fn target(args: &RunArgs, interactive: bool) -> Result<OneOffTarget, CliError> {
    let container =
        OneOff { slug: random()?, auto_remove: args.rm, use_aliases: args.use_aliases, interactive };
    Ok(OneOffTarget { service: args.service().to_owned(), container, no_deps: args.no_deps })
}

/// As `docker run` ends where the engine could not start the program.
fn refused(error: &EngineError) -> Exit {
    let says = |words: &[&str]| words.iter().any(|words| error.message.to_lowercase().contains(words));
    Exit::Container(if says(&["executable file not found", "no such file or directory"]) {
        127
    } else if says(&["permission denied", "is a directory"]) {
        126
    } else {
        125
    })
}

/// What the container's streams are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StreamsAsked {
    tty: bool,
    interactive: bool,
}

impl StreamsAsked {
    /// As Compose decides it: a terminal where standard output is one, unless nothing is said and input is none.
    fn new(args: &RunArgs, invocation: &Invocation) -> Result<Self, CliError> {
        let terminals = invocation.terminals;
        let tty = match (args.tty, args.no_tty) {
            (Some(tty), _) => tty,
            (None, Some(no_tty)) => !no_tty,
            (None, None) => terminals.stdout && (terminals.stdin || args.interactive.is_some()),
        };
        let interactive = args.interactive.unwrap_or(true);
        if tty && interactive && !terminals.stdin {
            let error = CliError::usage("standard input is not a terminal");
            return Err(error.hint("-T runs the container without a terminal"));
        }
        Ok(Self { tty, interactive })
    }
}

/// What the command line says of the container.
fn changes(args: &RunArgs, project: &Project, cwd: &Path, tty: bool) -> Result<OneOffChanges, CliError> {
    let environment = Environment(project.environment.clone());
    let texts = (args.publish.as_slice(), args.volume.as_slice());
    let (ports, volumes) = ports_and_mounts(texts, cwd, &environment, &LocalFiles)
        .map_err(|(problems, sources)| CliError::files(render_all(&problems, &sources, false)))?;
    let entrypoint = args.entrypoint.as_deref().map(|text| {
        let words = shlex::split(text);
        words.ok_or_else(|| CliError::usage(format!("--entrypoint `{text}` has a quote that does not end")))
    });
    Ok(OneOffChanges {
        command: args.words[1..].to_vec(),
        entrypoint: entrypoint.transpose()?,
        environment: environment_of(args, &environment)?,
        labels: labels(&args.label)?,
        name: args.name.clone(),
        user: args.user.clone(),
        working_dir: args.workdir.clone(),
        cap_add: args.cap_add.clone(),
        cap_drop: args.cap_drop.clone(),
        volumes,
        ports: match args.service_ports {
            true => OneOffPorts::Service,
            false if ports.is_empty() => OneOffPorts::None,
            false => OneOffPorts::These(ports),
        },
        tty,
    })
}

/// `--env` and `--env-from-file`; the former wins. A name alone takes this environment's value, if it has one.
fn environment_of(args: &RunArgs, environment: &Environment) -> Result<Mapping, CliError> {
    let mut variables = Mapping::new();
    for text in &args.env {
        match text.split_once('=') {
            Some((key, value)) => variables.insert(key.to_owned(), value.to_owned()),
            None => environment.get(text).and_then(|value| variables.insert(text.clone(), value.to_owned())),
        };
    }
    for file in &args.env_from_file {
        let shown = file.display();
        let text = fs::read_to_string(file)
            .map_err(|e| CliError::usage(format!("failed to read `{shown}`")).caused_by(&e))?;
        let mut of_file = Mapping::new();
        let known = |name: &str| variables.get(name).cloned();
        dotenv::parse(&text, &known, &mut of_file).map_err(|error| {
            let line = text[..error.offset].lines().count().max(1);
            CliError::usage(format!("{shown}:{line}: {}", error.message))
        })?;
        for (key, value) in of_file {
            variables.entry(key).or_insert(value);
        }
    }
    Ok(variables)
}

fn labels(texts: &[String]) -> Result<Mapping, CliError> {
    let pair = |text: &String| match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(CliError::usage(format!("--label `{text}`: expected `KEY=VALUE`"))),
    };
    texts.iter().map(pair).collect()
}
