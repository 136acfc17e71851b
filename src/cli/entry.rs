//! From the words typed in to an exit code.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{CommandFactory as _, FromArgMatches as _};
use tracing_subscriber::{
    EnvFilter, Layer as _, filter, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use super::{
    CliError, Exit, Invocation,
    args::{Command, DockerFlags, PlanArgs, Root},
    plugin::{self, Call},
    trace::Tracer,
    version,
};
use crate::report::Annotation;

/// Does what was typed in.
pub fn main() -> ExitCode {
    let words = match Call::from_argv(std::env::args_os().collect()) {
        Call::Metadata => return print_line(&plugin::metadata()).into(),
        Call::Complete(words) => return print_line(&super::complete::answer(&words)).into(),
        Call::Command(words) => words,
    };
    let root = match parse(words) {
        Ok(root) => root,
        Err(error) => {
            // clap prints help to standard output, errors to standard error.
            return match error.print() {
                Ok(()) if error.exit_code() == 0 => Exit::Fine,
                Ok(()) | Err(_) => Exit::Usage,
            }
            .into();
        }
    };
    dispatch(root)
        .unwrap_or_else(|error| {
            print_error(&error);
            error.exit()
        })
        .into()
}

/// Reads the command line; the words hold no program name.
fn parse(words: Vec<OsString>) -> Result<Root, clap::Error> {
    let argv = std::iter::once(OsString::from("docker-orch")).chain(words);
    Root::from_arg_matches(&Root::command().try_get_matches_from(argv)?)
}

fn dispatch(root: Root) -> Result<Exit, CliError> {
    if root.version {
        return Ok(print_line(&version::text(&super::args::VersionArgs::default())));
    }
    let tracer = root.project.trace.as_deref().map(Tracer::create).transpose()?;
    log(&root.docker, tracer.clone());
    let invocation = Invocation::read(&root, tracer.clone()).map_err(|e| {
        CliError::failed("failed to find the current folder")
            .caused_by(&e)
            .hint("it may have been removed: change to another folder")
    })?;
    let Some(command) = root.command else {
        return match Root::command().print_help() {
            Ok(()) => Ok(Exit::Fine),
            Err(_) => Ok(Exit::Failed),
        };
    };
    // Everything waits for the engine: more threads would only wake each other.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::failed("failed to get what this machine runs programs with").caused_by(&e))?;
    let result = runtime.block_on(run(&invocation, &command));
    #[cfg(feature = "otel")]
    if let Some(exporter) = &invocation.exporter {
        runtime.block_on(exporter.finish());
    }
    // A read of standard input or a resolver may still hang on a blocking thread: nobody waits for it.
    runtime.shutdown_background();
    if let Some(tracer) = tracer {
        tracer.finish();
    }
    result
}

/// Runs one command.
async fn run(invocation: &Invocation, command: &Command) -> Result<Exit, CliError> {
    match command {
        // What `up` would do is what `plan` shows.
        Command::Up(args) if invocation.project.dry_run => {
            super::plan::run(invocation, &PlanArgs { up: args.clone(), ..PlanArgs::default() }).await
        }
        Command::Down(_)
        | Command::Stop(_)
        | Command::Start(_)
        | Command::Restart(_)
        | Command::Run(_)
        | Command::Serve(_)
        | Command::Bench(_)
            if invocation.project.dry_run =>
        {
            Err(CliError::usage("`--dry-run` is for `up` and `rollback`").hint(
                "what other commands do is plain to see: `docker orch ps -a` lists what they would act on",
            ))
        }
        Command::Up(args) => super::up::run(invocation, args).await,
        Command::Run(args) => super::run::run(invocation, args).await,
        Command::Plan(args) => super::plan::run(invocation, args).await,
        Command::Down(args) => super::ending::down(invocation, args).await,
        Command::Stop(args) => super::ending::stop(invocation, args).await,
        Command::Start(args) => super::ending::start(invocation, args).await,
        Command::Restart(args) => super::ending::restart(invocation, args).await,
        Command::Ps(args) => super::ps::run(invocation, args).await,
        Command::Health(args) => super::health::run(invocation, args).await,
        Command::Logs(args) => super::logs::run(invocation, args).await,
        Command::Events(args) => super::events::run(invocation, args).await,
        Command::Bench(args) => super::bench::run(invocation, args).await,
        Command::Pull(args) => super::images::pull(invocation, args).await,
        Command::Build(args) => super::images::build(invocation, args).await,
        Command::Wait(args) => super::wait::run(invocation, args).await,
        Command::Rollback(args) => super::rollback::run(invocation, args).await,
        Command::Timeline(args) => super::timeline::run(invocation, args),
        Command::Serve(args) => Box::pin(super::serve::run(invocation, args)).await,
        Command::Load(args) => super::control::load(invocation, args).await,
        Command::Unload(args) => super::control::unload(invocation, args).await,
        Command::Pin(args) => super::control::pin(invocation, args, true).await,
        Command::Unpin(args) => super::control::pin(invocation, args, false).await,
        Command::Why(args) => super::control::why(invocation, args).await,
        Command::History(args) => super::history::run(invocation, args),
        Command::Schema(_) => Ok(print(&format!("{:#}\n", crate::compose::extension::json_schema()))),
        Command::Completion(args) => Ok(super::completion::run(args.shell)),
        Command::Man(args) => super::man::run(args),
        Command::Gpu(args) => super::gpu::run(invocation, args).await,
        Command::Doctor(args) => super::doctor::run(invocation, args).await,
        Command::Config(args) => super::config::run(invocation, args).await,
        Command::Version(args) => Ok(print_line(&version::text(args))),
    }
}

/// Messages of libraries and of ours, on standard error: quiet unless asked for. Beside them, what a trace is made of.
fn log(docker: &DockerFlags, tracer: Option<Tracer>) {
    let ours = match docker.log_level.as_deref() {
        _ if docker.debug => "debug",
        Some("debug") => "debug",
        Some("info") => "info",
        Some("error" | "fatal") => "error",
        _ => "warn",
    };
    let filter = std::env::var("DOCKER_ORCH_LOG")
        .ok()
        .and_then(|text| EnvFilter::try_new(text).ok())
        .unwrap_or_else(|| EnvFilter::new(format!("docker_orch={ours},bollard=warn,hyper=warn,warn")));
    // A second subscriber (in tests) changes nothing.
    let messages =
        tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false).with_filter(filter);
    let tracer = tracer.map(|tracer| tracer.with_filter(filter::filter_fn(Tracer::wants)));
    drop(tracing_subscriber::registry().with(messages).with(tracer).try_init());
}

/// The single printer of errors.
fn print_error(error: &CliError) {
    // Nobody is left to tell when standard error is closed.
    drop(anstream::stderr().write_all(error.render().as_bytes()));
    annotate(&error.annotations);
}

/// Lets GitHub Actions put remarks beside files.
pub(super) fn annotate(annotations: &[Annotation]) {
    let commands: String = annotations.iter().map(ToString::to_string).collect();
    // Nobody is left to tell when standard error is closed.
    drop(io::stderr().write_all(commands.as_bytes()));
}

/// Prints a line to standard output.
fn print_line(text: &str) -> Exit {
    print(&format!("{text}\n"))
}

/// Prints text to standard output. A reader that has seen enough is no failure.
pub(super) fn print(text: &str) -> Exit {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Exit::Fine,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Fine,
        Err(_) => Exit::Failed,
    }
}

/// Says something in passing, on standard error.
pub(super) fn note(text: &str) {
    // Nobody is left to tell when standard error is closed.
    drop(writeln!(anstream::stderr(), "{text}"));
}
