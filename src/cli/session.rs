//! A run as the command line sees it: its sinks, its display, its end.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{
    CliError, ErrorKind, Exit, Invocation,
    expected::expected_later,
    follow::Recorded,
    lock::{self, FileLock},
    mask::mask,
    results::Recorder,
};
use crate::{
    diagnostic::SourceMap,
    engine::Engine,
    event::{Aftermath, Sink, Verdict},
    executor::{CancelRequest, Run, Signals},
    journal::{
        Applied, Bundle, Journal, KEPT_RUNS, Mask, Masked, RunFolder, SavedContainer, is_first, read_events,
        retain, rfc3339, run_id, state_dir,
    },
    machine::ThisMachine,
    plan::{Plan, plan_json},
    probe::Prober,
    project::{Project, go_duration},
    report::{
        JsonLines, LogStyle, PastRun, ProgressMode, Report, Reporter, RunView, Streams, SummaryOptions,
        Token, summary,
    },
    run::{Ended, Keep, KeptContainer, RunError, RunLabel},
    serve::Feed,
};

/// What belongs to a run beside the run itself.
pub(super) struct Session {
    /// What names it.
    pub(super) label: RunLabel,
    /// Where it shows what happens.
    pub(super) reporter: Reporter,
    /// `None` once the screen was left.
    thread: Option<JoinHandle<RunView>>,
    /// Signals are not meant for the run any more.
    passed_on: Arc<AtomicBool>,
    folder: Option<RunFolder>,
    /// Old runs are being removed.
    clearing: Option<JoinHandle<()>>,
    /// What its record must not show.
    mask: Mask,
    /// No run of the project was recorded before.
    pub(super) first: bool,
    display: crate::report::Display,
    /// Where what is wrong was written.
    sources: Arc<SourceMap>,
    again: String,
    /// Where its log lines are kept for CI.
    recorded: Option<Recorded>,
    /// Where everything is gathered for CI.
    artifacts: Option<Bundle>,
    /// Only ours are commands to GitHub Actions.
    actions: Option<Token>,
    /// Where faults are put beside files; `None`: not on GitHub Actions.
    github: Option<Invocation>,
}

impl Session {
    /// A run of a command on a project, with every sink it has.
    ///
    /// # Errors
    ///
    /// No thread or signal handler can be had, or the file of events cannot be written.
    pub(super) fn begin(
        invocation: &Invocation,
        command: &str,
        project: Arc<Project>,
        engine: Arc<dyn Engine>,
        shown: &Shown<'_>,
    ) -> Result<(Run, Self), CliError> {
        let passed_on = Arc::new(AtomicBool::new(false));
        let requests = signals(invocation, Arc::clone(&passed_on))?;
        let (run, session) = Self::begin_with(invocation, command, project, engine, shown, requests)?;
        Ok((run, Self { passed_on, ..session }))
    }

    /// The same, ended by these requests alone.
    ///
    /// # Errors
    ///
    /// No thread can be had, or the file of events cannot be written.
    pub(super) fn begin_with(
        invocation: &Invocation,
        command: &str,
        project: Arc<Project>,
        engine: Arc<dyn Engine>,
        shown: &Shown<'_>,
        requests: BoxStream<'static, CancelRequest>,
    ) -> Result<(Run, Self), CliError> {
        let now = SystemTime::now();
        let label =
            RunLabel { id: run_id(now, std::process::id()), time: rfc3339(now), command: command.to_owned() };
        let mut display = invocation.display();
        display.progress = shown.progress.unwrap_or(display.progress);
        let foretells = display.progress == ProgressMode::Tty && command == "up";
        let expected = if foretells { expected_later(invocation, &project.name) } else { None };
        let actions = invocation.actions_token();
        let (report, err): (Box<dyn Report>, Box<dyn io::Write + Send>) = match &actions {
            // One stream: its runner reads two of them in any order.
            Some(token) => {
                (Box::new(invocation.actions_report(token.clone(), &project)), Box::new(io::stdout()))
            }
            None => (display.report(Box::new(terminal_size), expected), Box::new(io::stderr())),
        };
        let streams = Streams { out: Box::new(io::stdout()), err };
        let (reporter, thread) = Reporter::spawn(report, streams, shown.logs)
            .map_err(|e| CliError::failed("failed to start a thread for the display").caused_by(&e))?;
        let patience = lock::patience(invocation)?;
        let prober = Arc::new(Prober::new(Arc::clone(&engine)));
        let (name, sources) = (project.name.clone(), Arc::clone(&project.sources));
        let mask = mask(&project);
        let lock = FileLock::new(invocation, &name, &engine.info().host, command);
        let mut run = Run::new(project, engine, prober, requests);
        if let Some(lock) = lock {
            run.set_lock(Box::new(lock), patience);
        }
        run.set_tools(invocation.tools());
        run.set_machine(Arc::new(ThisMachine));
        let first = state_dir(|name| invocation.env(name)).is_some_and(|state| is_first(&state, &name));
        let folder = journal(invocation, &name, &label.id, &mask, &mut run);
        let clearing = folder.as_ref().and_then(|_| clear_old_runs(invocation, &name));
        if let Some(path) = shown.events {
            run.add_sink(events_file(path, mask.clone())?);
        }
        if let Some(tracer) = &invocation.tracer {
            run.add_sink(Box::new(Masked::new(tracer.clone(), mask.clone())));
        }
        let recorded =
            shown.recorder.map(|recorder| Recorded { records: recorder.records(), mask: mask.clone() });
        if let Some(Recorded { records, mask }) = recorded.clone() {
            run.add_sink(Box::new(Masked::new(records, mask)));
        }
        let artifacts = shown.recorder.and_then(|recorder| recorder.bundle(&mask));
        #[cfg(feature = "otel")]
        if let Some(exporter) = &invocation.exporter {
            run.add_sink(Box::new(Masked::new(exporter.sink(now), mask.clone())));
        }
        run.add_sink(Box::new(reporter.clone()));
        let (thread, again) = (Some(thread), invocation.again());
        let this = Self {
            label,
            reporter,
            thread,
            passed_on: Arc::default(),
            folder,
            clearing,
            mask,
            first,
            display,
            sources,
            again,
            recorded,
            artifacts,
            actions,
            github: invocation.on_github().then(|| invocation.clone()),
        };
        Ok((run, this))
    }

    /// Where this run keeps what it removes.
    pub(super) fn keeper(&self) -> Box<dyn Keep> {
        let record = self.folder.as_ref().map(|folder| Bundle::new(folder, self.mask.clone()));
        Box::new(Keeper { record, artifacts: self.artifacts.clone() })
    }

    /// Where its log lines are kept for CI.
    pub(super) fn recorded(&self) -> Option<Recorded> {
        self.recorded.clone()
    }

    /// Where everything is gathered for CI.
    pub(super) fn artifacts(&self) -> Option<&Bundle> {
        self.artifacts.as_ref()
    }

    /// Where everything of this run is kept.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(RunFolder::path)
    }

    /// Shows the run to those who read a feed, too.
    pub(super) fn show_to(&self, run: &mut Run, feed: &Feed) {
        run.add_sink(Box::new(Masked::new(feed.begin(&self.label.id), self.mask.clone())));
    }

    /// Keeps no record of the run.
    pub(super) fn forget(&self) {
        if let Some(folder) = &self.folder
            && let Err(error) = folder.discard()
        {
            tracing::debug!("{} cannot be removed: {error}", folder.path().display());
        }
    }

    /// From now on signals are somebody else's: they do not end the run.
    pub(super) fn pass_signals_on(&self) {
        self.passed_on.store(true, Ordering::Relaxed);
    }

    /// Ends the display before the run has ended: the screen is somebody else's. Events for programs go on.
    pub(super) fn leave_screen(&mut self) {
        if self.display.progress != ProgressMode::Json {
            self.reporter.finish();
            drop(self.thread.take().map(JoinHandle::join));
        }
    }

    /// Waits until everything is shown, and says nothing more.
    pub(super) fn close(self) {
        self.reporter.finish();
        drop(self.clearing.map(JoinHandle::join));
        drop(self.thread.map(JoinHandle::join));
    }

    /// Waits until everything is shown, says the final words, and gives the exit code.
    pub(super) fn end(mut self, ended: Result<Ended, RunError>) -> Result<Exit, CliError> {
        self.reporter.finish();
        drop(self.clearing.take().map(JoinHandle::join));
        let view = self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if let (Err(_), Some(folder)) = (&ended, &self.folder)
            && let Err(error) = folder.discard_unused()
        {
            tracing::debug!("{} cannot be removed: {error}", folder.path().display());
        }
        let ended = ended.map_err(|error| self.error(error))?;
        if let (Verdict::Failed | Verdict::Cancelled, Some(folder)) = (ended.finished.verdict, &self.folder) {
            save_timings(folder, self.mask);
            forget_undone(folder, ended.finished.aftermath);
        }
        if !matches!(self.display.progress, ProgressMode::Json) {
            let quiet = self.display.progress == ProgressMode::Quiet && ended.finished.failures.is_empty();
            // On GitHub the lines of a log are folded, and were shown.
            let words = summary(&view, &SummaryOptions { command: self.again, logs: self.actions.is_none() });
            if let Some(token) = &self.actions {
                let words = anstream::adapter::strip_str(&words).to_string();
                drop(io::stdout().write_all(token.around(&words).as_bytes()));
            } else if !quiet {
                let words = if self.display.err_colour {
                    words
                } else {
                    anstream::adapter::strip_str(&words).to_string()
                };
                // Nobody is left to tell when standard error is closed.
                drop(io::stderr().write_all(words.as_bytes()));
            }
        }
        Ok(Exit::of_run(&ended.finished, ended.reason))
    }

    /// A run that could not begin.
    fn error(&self, error: RunError) -> CliError {
        match error {
            RunError::Engine(error) => CliError::engine("failed to list what the engine has", &error),
            RunError::Ended(_) => {
                CliError::new(ErrorKind::Interrupted, "interrupted before anything was changed")
            }
            RunError::Plan(found) => {
                let annotations =
                    self.github.as_ref().map(|github| github.annotations(&found, &self.sources));
                CliError::in_the_way(&found, &self.sources, self.display.err_colour)
                    .annotated(annotations.unwrap_or_default())
            }
            RunError::Busy { holder, waited } => {
                let waited = match waited.as_secs() {
                    0 => String::new(),
                    _ => {
                        format!(", and goes on after {}", go_duration(Duration::from_secs(waited.as_secs())))
                    }
                };
                CliError::new(ErrorKind::TimedOut, format!("{holder} is changing the project{waited}"))
                    .hint("`--lock-timeout 5m` waits longer; nothing was changed by this command")
            }
        }
    }
}

/// What a run shows beside its progress.
#[derive(Clone, Copy, Default)]
pub(super) struct Shown<'a> {
    /// How log lines look.
    pub(super) logs: LogStyle,
    /// `--events`.
    pub(super) events: Option<&'a Path>,
    /// What it leaves for CI.
    pub(super) recorder: Option<&'a Recorder>,
    /// Progress is shown this way; `None`: as flags and terminals say.
    pub(super) progress: Option<ProgressMode>,
}

/// Columns and rows of the terminal on standard error; 80 by 24 where it has none.
fn terminal_size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        Ok(_) | Err(_) => (80, 24),
    }
}

/// Requests to end, for the run; the third one ends the program, whatever it waits for.
fn signals(
    invocation: &Invocation,
    passed_on: Arc<AtomicBool>,
) -> Result<BoxStream<'static, CancelRequest>, CliError> {
    let mut signals = Signals::listen(&invocation.signal_sources())
        .map_err(|e| CliError::failed("failed to listen to signals").caused_by(&e))?;
    let (sender, receiver) = mpsc::unbounded_channel();
    let again = invocation.again();
    // On its own: a run that waits for an engine without an answer hears nothing.
    tokio::spawn(async move {
        let mut asked = 0;
        loop {
            let request = signals.next().await;
            if passed_on.load(Ordering::Relaxed) {
                continue;
            }
            asked += 1;
            if asked > 2 {
                give_up(&again);
            }
            // A run that is over needs no request; the words after it may still take a while.
            sender.send(request).ok();
        }
    });
    let next = |mut receiver: mpsc::UnboundedReceiver<_>| async move {
        let request = receiver.recv().await?;
        Some((request, receiver))
    };
    Ok(stream::unfold(receiver, next).boxed())
}

/// Ends at once. What the engine was asked for may still be done; the next `up` or `down` finishes the job.
#[expect(clippy::exit, reason = "the one place that does not wait for what is under way")]
fn give_up(again: &str) -> ! {
    let words = format!(
        "\r\ninterrupted three times: left as it is\nhint: `{again} down` removes what is left, `{again} up` goes on\n"
    );
    // Nobody is left to tell when standard error is closed.
    drop(io::stderr().write_all(words.as_bytes()));
    std::process::exit(Exit::Interrupted.code().into())
}

/// Removes old runs while this one goes on: that is not to be waited for.
fn clear_old_runs(invocation: &Invocation, project: &str) -> Option<JoinHandle<()>> {
    let (state, project) = (state_dir(|name| invocation.env(name))?, project.to_owned());
    let clear = move || {
        if let Err(error) = retain(&state, &project, KEPT_RUNS) {
            tracing::debug!("old runs cannot be removed: {error}");
        }
    };
    std::thread::Builder::new().name("old runs".to_owned()).spawn(clear).ok()
}

/// The record of a run. A run without one goes on, and says so.
fn journal(
    invocation: &Invocation,
    project: &str,
    id: &str,
    mask: &Mask,
    run: &mut Run,
) -> Option<RunFolder> {
    let state = state_dir(|name| invocation.env(name))?;
    let made = RunFolder::create(&state, project, id).and_then(|folder| {
        run.add_sink(Box::new(Masked::new(Journal::create(&folder)?, mask.clone())));
        Ok(folder)
    });
    match made {
        Ok(folder) => Some(folder),
        Err(error) => {
            tracing::warn!("this run is not recorded in {}: {error}", state.display());
            None
        }
    }
}

/// What stood once and was put back or taken down stands no more.
fn forget_undone(folder: &RunFolder, aftermath: Aftermath) {
    match aftermath {
        Aftermath::RolledBack | Aftermath::TornDown => {
            if let Err(error) = Applied::forget(folder.path()) {
                tracing::warn!("`rollback` may take this run for one that stands: {error}");
            }
        }
        Aftermath::Kept | Aftermath::Stopped | Aftermath::Stuck => {}
    }
}

/// Where the time of a failed run went, beside the rest that is known of it.
fn save_timings(folder: &RunFolder, mask: Mask) {
    let saved = read_events(&folder.events()).and_then(|read| {
        let timings = PastRun::of(&read.events, false).timings_json();
        Bundle::new(folder, mask).save_json("timings.json", &timings)
    });
    if let Err(error) = saved {
        tracing::debug!("where the time went cannot be saved: {error}");
    }
}

fn events_file(path: &Path, mask: Mask) -> Result<Box<dyn Sink>, CliError> {
    let file = File::create(path)
        .map_err(|e| CliError::failed(format!("failed to write `{}`", path.display())).caused_by(&e))?;
    Ok(Box::new(Masked::new(JsonLines(BufWriter::new(file)), mask)))
}

/// Keeps what is about to be removed: in the record of the run, and where CI looks.
struct Keeper {
    record: Option<Bundle>,
    artifacts: Option<Bundle>,
}

impl Keep for Keeper {
    fn keep(&self, container: &KeptContainer) -> io::Result<PathBuf> {
        let KeptContainer { name, inspect, log, health } = container.clone();
        let whole = SavedContainer { name, inspect, log, health };
        if let Some(artifacts) = &self.artifacts {
            // Its log was written as it came, its health comes from the events.
            let rest = SavedContainer { log: Vec::new(), health: Value::Null, ..whole.clone() };
            artifacts.save(&rest)?;
        }
        if let Some(record) = &self.record {
            record.save(&whole)?;
        }
        let folder =
            self.record.as_ref().or(self.artifacts.as_ref()).map(|bundle| bundle.folder().to_owned());
        // There is no home to keep anything in.
        folder
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "neither HOME nor XDG_STATE_HOME is set"))
    }

    fn keep_plan(&self, plan: &Plan) -> io::Result<()> {
        self.record.as_ref().map_or(Ok(()), |record| record.save_json("plan.json", &plan_json(plan, None)))
    }

    fn planned(&self, plan: &Plan) -> io::Result<()> {
        self.artifacts.as_ref().map_or(Ok(()), |folder| folder.save_json("plan.json", &plan_json(plan, None)))
    }
}
