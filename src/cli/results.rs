//! What a run leaves for CI: a JUnit report, a summary for programs, a folder with everything.
//!
//! All of it is begun before anything else is done, and is true at every moment: a command that is killed leaves
//! reports that say `interrupted`, and all that was known until then. One thread writes, so that no disk holds a run up.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};

use super::{CliError, ErrorKind, Exit, Invocation, args::ResultsFlags};
use crate::{
    engine::Engine,
    event::{Event, EventKind, Sink},
    journal::{Bundle, Mask, SavedContainer, container_folder},
    project::{Project, Replica},
    report::{Results, junit, step_summary},
    run::scope,
};

/// Reports are not written again sooner than this after the last time, nor than so many times what that took.
const PAUSE: Duration = Duration::from_secs(1);
const REST: u32 = 20;
/// Waiting messages from which on readers of logs should pause.
const CROWDED: usize = 4096;
/// Last log lines of a container in a report, and what they may come to in bytes.
const LINES: usize = 1000;
const BYTES: usize = 1 << 16;
/// Containers that are inspected at once.
const AT_ONCE: usize = 16;

/// Writes results while a run goes on.
pub(super) struct Recorder {
    records: Records,
    thread: JoinHandle<()>,
    folder: Option<PathBuf>,
}

/// A way in for events and log lines.
#[derive(Debug, Clone)]
pub(super) struct Records {
    messages: mpsc::Sender<Message>,
    waiting: Arc<AtomicUsize>,
}

/// A container as far as its log is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// Which.
    pub(super) replica: Replica,
    /// Its name on the engine.
    pub(super) container: String,
}

#[derive(Debug)]
enum Message {
    Event(Box<Event>),
    Line(Arc<Source>, String),
    End { exit: Exit, error: Option<String> },
}

impl Recorder {
    /// Begins what the command line and the environment ask for; `None`: they ask for nothing. `ends`: the service whose
    /// end is waited for.
    ///
    /// # Errors
    ///
    /// It cannot be written, or the folder holds something else.
    pub(super) fn begin(
        invocation: &Invocation,
        command: &str,
        flags: &ResultsFlags,
        ends: Option<&str>,
    ) -> Result<Option<Self>, CliError> {
        let file = |flag: &Option<PathBuf>, variable: &str| {
            let given = flag.clone().or_else(|| invocation.env(variable).map(PathBuf::from));
            given.map(|path| invocation.cwd.join(path))
        };
        let folder = file(&flags.artifacts, "DOCKER_ORCH_ARTIFACTS");
        let steps = invocation.on_github().then(|| invocation.env("GITHUB_STEP_SUMMARY")).flatten();
        let mut files = Files {
            junit: file(&flags.junit, "DOCKER_ORCH_JUNIT").into_iter().collect(),
            summary: file(&flags.summary, "DOCKER_ORCH_SUMMARY").into_iter().collect(),
            steps: steps.map(PathBuf::from),
            folder: folder.clone(),
        };
        if files == Files::default() {
            return Ok(None);
        }
        if let Some(folder) = &folder {
            clear(folder)?;
            files.junit.push(folder.join("junit.xml"));
            files.summary.push(folder.join("summary.json"));
        }
        let mut writer = Writer::new(command, ends, files);
        writer.write().map_err(|(path, error)| {
            CliError::failed(format!("failed to write `{}`", path.display())).caused_by(&error)
        })?;
        let (messages, receiver) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&waiting);
        let thread = std::thread::Builder::new()
            .name("results".to_owned())
            .spawn(move || writer.run(&receiver, &left))
            .map_err(|e| CliError::failed("failed to start a thread for the results").caused_by(&e))?;
        Ok(Some(Self { records: Records { messages, waiting }, thread, folder }))
    }

    /// A way in.
    pub(super) fn records(&self) -> Records {
        self.records.clone()
    }

    /// Where everything of a run is gathered, where that was asked for.
    pub(super) fn bundle(&self, mask: &Mask) -> Option<Bundle> {
        self.folder.as_ref().map(|folder| Bundle::in_folder(folder, mask.clone()))
    }

    /// Completes everything, once it is known how the program ends.
    pub(super) fn end(self, ended: &Result<Exit, CliError>) {
        let (exit, error) = match ended {
            Ok(exit) => (*exit, None),
            Err(error) => (error.exit(), Some(in_short(error))),
        };
        self.records.send(Message::End { exit, error }).ok();
        if self.thread.join().is_err() {
            tracing::warn!("the results of this run are not whole");
        }
    }
}

impl Records {
    /// Takes a line of a container's log.
    ///
    /// # Errors
    ///
    /// Nobody takes any more.
    pub(super) fn line(&self, source: &Arc<Source>, text: String) -> io::Result<()> {
        self.send(Message::Line(Arc::clone(source), text))
    }

    /// Whether so much waits to be written that readers of logs should pause.
    pub(super) fn is_crowded(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) >= CROWDED
    }

    fn send(&self, message: Message) -> io::Result<()> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.messages.send(message).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Sink for Records {
    fn emit(&mut self, event: &Event) -> io::Result<()> {
        self.send(Message::Event(Box::new(event.clone())))
    }
}

/// What an error says, without lines of files: nobody knows yet which values in them are secret.
fn in_short(error: &CliError) -> String {
    let text = anstream::adapter::strip_str(&error.message).to_string();
    if !matches!(error.kind, ErrorKind::Files | ErrorKind::Held) {
        return std::iter::once(text).chain(error.causes.iter().cloned()).collect::<Vec<_>>().join(": ");
    }
    let told = |line: &&str| {
        let line = line.trim_start();
        ["error", "warning", "--> ", "= help: "].iter().any(|begin| line.starts_with(begin))
    };
    text.lines().filter(told).collect::<Vec<_>>().join("\n")
}

/// Makes the folder, or empties one that an earlier run filled.
fn clear(folder: &Path) -> Result<(), CliError> {
    let shown = folder.display();
    let failed =
        |doing: &str, e: &io::Error| CliError::failed(format!("failed to {doing} `{shown}`")).caused_by(e);
    fs::create_dir_all(folder).map_err(|e| failed("make", &e))?;
    let mut entries = fs::read_dir(folder).map_err(|e| failed("read", &e))?;
    if entries.next().is_none() {
        return Ok(());
    }
    if !folder.join("summary.json").is_file() || !folder.join("events.jsonl").is_file() {
        let error = CliError::usage(format!("`{shown}` holds something else than results of a run"));
        return Err(error.hint("give `--artifacts` a new or an empty folder, or one that it filled before"));
    }
    for name in ["events.jsonl", "plan.json", "timings.json", "health.json", "containers"] {
        let path = folder.join(name);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("empty", &error)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Where results go.
#[derive(Debug, Default, PartialEq, Eq)]
struct Files {
    junit: Vec<PathBuf>,
    summary: Vec<PathBuf>,
    /// The summary of a step of GitHub Actions; appended to, once.
    steps: Option<PathBuf>,
    folder: Option<PathBuf>,
}

/// The last lines of a log.
#[derive(Default)]
struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
    left_out: usize,
}

impl Tail {
    fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > LINES || (self.bytes > BYTES && self.lines.len() > 1) {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.len());
            self.left_out += 1;
        }
    }

    fn lines(&self) -> Vec<String> {
        let more =
            (self.left_out > 0).then(|| format!("({} lines before these are left out)", self.left_out));
        more.into_iter().chain(self.lines.iter().cloned()).collect()
    }
}

/// The thread's own.
struct Writer {
    command: String,
    /// The service whose end is waited for.
    ends: Option<String>,
    files: Files,
    /// Everything but probes, of which the last of each check is enough.
    events: Vec<Event>,
    probes: BTreeMap<(Replica, String, String), Event>,
    tails: BTreeMap<Replica, Tail>,
    all_events: Option<File>,
    logs: BTreeMap<String, File>,
    /// Something could not be written: that is said once.
    broken: bool,
}

impl Writer {
    fn new(command: &str, ends: Option<&str>, files: Files) -> Self {
        let (events, probes, tails, logs) = (Vec::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (command, ends) = (command.to_owned(), ends.map(str::to_owned));
        Self { command, ends, files, events, probes, tails, all_events: None, logs, broken: false }
    }

    fn run(mut self, messages: &mpsc::Receiver<Message>, waiting: &AtomicUsize) {
        let mut next = Instant::now() + PAUSE;
        let mut is_written = true;
        loop {
            // Nothing new: nothing to do before something comes.
            let pause =
                if is_written { REST * PAUSE } else { next.saturating_duration_since(Instant::now()) };
            match messages.recv_timeout(pause) {
                Ok(message) => {
                    waiting.fetch_sub(1, Ordering::Relaxed);
                    is_written = false;
                    match message {
                        Message::Event(event) => self.event(*event),
                        Message::Line(source, text) => self.line(&source, text),
                        Message::End { exit, error } => return self.end(exit, error),
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                // The command is over without a word about how.
                Err(RecvTimeoutError::Disconnected) => return self.end(Exit::Failed, None),
            }
            if !is_written && next <= Instant::now() {
                let began = Instant::now();
                self.try_to(Self::write);
                is_written = true;
                next = Instant::now() + PAUSE.max(REST * began.elapsed());
            }
        }
    }

    fn event(&mut self, event: Event) {
        self.try_to(|this| this.append_event(&event));
        if let EventKind::Probed { replica, check, stage, .. } = &event.kind {
            self.probes.insert((replica.clone(), stage.clone(), check.clone()), event);
        } else if !event.kind.is_droppable() {
            self.events.push(event);
        }
    }

    fn line(&mut self, source: &Source, text: String) {
        self.try_to(|this| this.append_line(source, &text));
        self.tails.entry(source.replica.clone()).or_default().push(text);
    }

    fn end(mut self, exit: Exit, error: Option<String>) {
        self.try_to(|this| this.write_as(Some(exit), error));
    }

    fn try_to(&mut self, act: impl FnOnce(&mut Self) -> Result<(), (PathBuf, io::Error)>) {
        if let Err((path, error)) = act(self)
            && !std::mem::replace(&mut self.broken, true)
        {
            tracing::warn!("results of this run are missing: failed to write {}: {error}", path.display());
        }
    }

    fn append_event(&mut self, event: &Event) -> Result<(), (PathBuf, io::Error)> {
        let Some(folder) = &self.files.folder else { return Ok(()) };
        let path = folder.join("events.jsonl");
        let file = self.all_events.as_mut().map_or_else(|| Err(io::ErrorKind::NotFound.into()), Ok);
        let mut line = serde_json::to_vec(event).map_err(|e| (path.clone(), e.into()))?;
        line.push(b'\n');
        // One write per line: what is killed leaves whole ones.
        file.and_then(|file| file.write_all(&line)).map_err(|e| (path, e))
    }

    fn append_line(&mut self, source: &Source, text: &str) -> Result<(), (PathBuf, io::Error)> {
        let Some(folder) = &self.files.folder else { return Ok(()) };
        let folder = container_folder(folder, &source.container);
        let path = folder.join("log.txt");
        let file = match self.logs.entry(source.container.clone()) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                let file = fs::create_dir_all(&folder)
                    .and_then(|()| File::options().create(true).append(true).open(&path));
                new.insert(file.map_err(|e| (path.clone(), e))?)
            }
        };
        file.write_all(format!("{text}\n").as_bytes()).map_err(|e| (path, e))
    }

    /// Writes what is known so far, as if the command were killed the next moment.
    fn write(&mut self) -> Result<(), (PathBuf, io::Error)> {
        self.write_as(None, None)
    }

    fn write_as(&mut self, exit: Option<Exit>, error: Option<String>) -> Result<(), (PathBuf, io::Error)> {
        let results = self.results(exit, error);
        if let (Some(folder), None) = (&self.files.folder, &self.all_events) {
            let path = folder.join("events.jsonl");
            self.all_events = Some(File::create(&path).map_err(|e| (path, e))?);
        }
        let mut files: Vec<(PathBuf, String)> = Vec::new();
        let pretty = |value: &serde_json::Value| format!("{value:#}\n");
        files.extend(self.files.junit.iter().map(|path| (path.clone(), junit(&results))));
        files.extend(self.files.summary.iter().map(|path| (path.clone(), pretty(&results.json()))));
        if let Some(folder) = &self.files.folder {
            files.push((folder.join("timings.json"), pretty(&results.past.timings_json())));
            files.push((folder.join("health.json"), pretty(&results.health_json())));
        }
        for (path, text) in files {
            replace(&path, &text, exit.is_some()).map_err(|e| (path, e))?;
        }
        if let (Some(path), Some(_)) = (&self.files.steps, exit) {
            let file = File::options().create(true).append(true).open(path);
            file.and_then(|mut file| file.write_all(step_summary(&results).as_bytes()))
                .map_err(|e| (path.clone(), e))?;
        }
        Ok(())
    }

    fn results(&self, exit: Option<Exit>, error: Option<String>) -> Results {
        let mut events: Vec<Event> = self.events.iter().chain(self.probes.values()).cloned().collect();
        events.sort_by_key(|event| event.seq);
        let mut results = Results::of(&events, false, self.ends.as_deref());
        if results.past.view.command.is_empty() {
            results.past.view.command.clone_from(&self.command);
        }
        for case in &mut results.cases {
            if let Some(tail) = self.tails.get(&case.replica) {
                case.log = tail.lines();
            }
        }
        (results.exit_code, results.error) = (exit.map(Exit::code), error);
        results
    }
}

/// Puts a file in the place of what was there, at once: readers never see half of it. What is no file, a pipe say,
/// gets the text only `at_the_end`.
pub(super) fn replace(path: &Path, text: &str, at_the_end: bool) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return if at_the_end {
            File::options().write(true).open(path)?.write_all(text.as_bytes())
        } else {
            Ok(())
        };
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    // Of a bare name the folder is empty: the current one, which is there.
    if !folder.as_os_str().is_empty() {
        fs::create_dir_all(folder)?;
    }
    let new = folder.join(format!(".{}.new", name.to_string_lossy()));
    fs::write(&new, text)?;
    fs::rename(&new, path)
}

/// Inspects what is there once everything is over: what was removed before was saved then.
pub(super) async fn inspect_all(engine: &dyn Engine, project: &Project, bundle: &Bundle) {
    let observed = match engine.observe(&scope(project)).await {
        Ok(observed) => observed,
        Err(error) => return tracing::warn!("containers cannot be inspected for the results: {error}"),
    };
    let inspected = stream::iter(observed.containers)
        .map(|container| async move { (container.name.clone(), engine.inspect(&container.id).await) });
    let mut inspected = inspected.buffer_unordered(AT_ONCE);
    while let Some((name, detail)) = inspected.next().await {
        let Ok(Some(detail)) = detail else { continue };
        let saved = SavedContainer { name, inspect: detail.raw, ..SavedContainer::default() };
        if let Err(error) = bundle.save(&saved) {
            tracing::warn!("results of this run are missing: {}: {error}", bundle.folder().display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::RunStarted, time::Elapsed};

    fn invocation(folder: &Path) -> Invocation {
        Invocation { cwd: folder.to_owned(), ..Invocation::default() }
    }

    fn asked(folder: &Path) -> ResultsFlags {
        ResultsFlags { artifacts: Some(folder.to_owned()), ..ResultsFlags::default() }
    }

    fn began() -> Event {
        let kind = EventKind::RunStarted(RunStarted {
            format: 1,
            run: "r".into(),
            time: "2026-11-22T01:50:00Z".into(),
            project: "shop".into(),
            command: "up".into(),
            engine: String::new(),
            waves: vec![],
            services: vec![],
        });
        Event { seq: 0, at: Elapsed::ZERO, kind }
    }

    fn read(folder: &Path, file: &str) -> String {
        fs::read_to_string(folder.join(file)).unwrap()
    }

    #[test]
    fn results_are_true_before_anything_happens_and_whole_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("a/b");
        let recorder =
            Recorder::begin(&invocation(folder.path()), "up", &asked(&out), None).unwrap().unwrap();
        for file in ["summary.json", "junit.xml"] {
            assert!(read(&out, file).contains("interrupted"), "{file}");
        }
        let mut records = recorder.records();
        records.emit(&began()).unwrap();
        let source =
            Source { replica: Replica { service: "db".into(), number: 1 }, container: "../shop-db-1".into() };
        records.line(&Arc::new(source), "hello".to_owned()).unwrap();
        recorder.end(&Ok(Exit::Container(7)));
        assert_eq!(read(&out, "containers/_shop-db-1/log.txt"), "hello\n");
        assert!(read(&out, "events.jsonl").starts_with("{\"seq\":0"));
        let summary: serde_json::Value = serde_json::from_str(&read(&out, "summary.json")).unwrap();
        assert_eq!((&summary["project"], &summary["exit_code"]), (&"shop".into(), &7.into()));
    }

    #[test]
    fn a_folder_with_something_else_in_it_is_left_alone_and_one_of_an_earlier_run_is_filled_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("containers")).unwrap();
        let begin = || Recorder::begin(&invocation(folder.path()), "up", &asked(folder.path()), None);
        assert_eq!(begin().err().unwrap().exit(), Exit::Usage);
        fs::remove_dir(folder.path().join("containers")).unwrap();
        begin().unwrap().unwrap().end(&Ok(Exit::Fine));
        fs::create_dir(folder.path().join("containers")).unwrap();
        begin().unwrap().unwrap().end(&Ok(Exit::Fine));
        assert!(!folder.path().join("containers").exists());
    }

    #[test]
    fn an_error_in_a_file_is_told_without_its_lines() {
        let rendered = "error[bad]: `x` is no key\n --> compose.yaml:3:5\n  |\n3 | password: hunter2\n  | ^^^\n  = help: remove it\n";
        assert_eq!(
            in_short(&CliError::files(rendered)),
            "error[bad]: `x` is no key\n --> compose.yaml:3:5\n  = help: remove it"
        );
        let cause = io::Error::other("no such host");
        assert_eq!(
            in_short(&CliError::failed("failed to ask").caused_by(&cause)),
            "failed to ask: no such host"
        );
    }

    #[test]
    fn only_the_last_lines_are_in_a_report() {
        let mut tail = Tail::default();
        (0..1100).for_each(|n| tail.push(n.to_string()));
        let lines = tail.lines();
        assert_eq!((lines.len(), lines[0].as_str()), (1001, "(100 lines before these are left out)"));
        tail.push("x".repeat(BYTES + 1));
        assert_eq!(tail.lines().len(), 2);
    }
}
