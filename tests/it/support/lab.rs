//! Whole runs on the simulated engine, in virtual time.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use docker_orch::{
    compose::{Environment, Files, LoadOptions, load},
    diagnostic::render_all,
    engine::{Engine, sim::SimEngine},
    event::{Event, EventKind, Sink},
    executor::{CancelRequest, Ledger, Run},
    health::ProbeResult,
    plan::{Fingerprint, Fingerprints, Plan, UpOptions},
    probe::{Probe, Prober, Target},
    project::{Check, ProbeSpec, Project},
    run::{AbortOn, Ask, Ended, Keep, KeptContainer, RunError, RunLabel, UpRequest, up},
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};

/// One Compose file, and nothing else on the machine.
struct OneFile(String);

impl Files for OneFile {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if self.exists(path) { Ok(self.0.clone().into_bytes()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn read_stdin(&self) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn exists(&self, path: &Path) -> bool {
        path == Path::new("/p/compose.yaml")
    }

    fn is_dir(&self, path: &Path) -> bool {
        path == Path::new("/p")
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }
}

/// The project of a Compose file.
pub(crate) fn project(yaml: &str) -> Project {
    project_with(&format!("name: p\n{yaml}"), &[])
}

/// What the command line makes of a Compose file where services are named.
pub(crate) fn project_with(yaml: &str, services: &[String]) -> Project {
    let options = LoadOptions {
        current_dir: PathBuf::from("/p"),
        files: vec!["compose.yaml".to_owned()],
        services: services.to_vec(),
        ..LoadOptions::default()
    };
    let loaded = load(&OneFile(yaml.to_owned()), &Environment::default(), &options);
    let complaints = render_all(&loaded.diagnostics, &loaded.sources, false);
    loaded.project.unwrap_or_else(|| panic!("{complaints}"))
}

/// Checks over a network answer as the script says, by the check's name; all others ask the engine.
struct SimProber {
    sim: SimEngine,
    engine: Prober,
}

impl Probe for SimProber {
    fn probe<'a>(&'a self, check: &'a Check, target: &'a Target) -> BoxFuture<'a, ProbeResult> {
        match &check.probe {
            ProbeSpec::Http(_) | ProbeSpec::Tcp { .. } | ProbeSpec::Grpc { .. } => async move {
                let took = Duration::from_millis(1);
                tokio::time::sleep(took).await;
                let passed = self.sim.probe_ready(&target.detail.id, &check.name);
                let detail = if passed { "200 OK" } else { "connection refused" }.to_owned();
                ProbeResult { passed, detail, took, report: None }
            }
            .boxed(),
            _ => Probe::probe(&self.engine, check, target),
        }
    }
}

pub(crate) struct Keeper(pub(crate) Arc<Mutex<Vec<KeptContainer>>>);

impl Keep for Keeper {
    fn keep(&self, container: &KeptContainer) -> io::Result<PathBuf> {
        self.0.lock().unwrap().push(container.clone());
        Ok(PathBuf::from("/kept"))
    }

    fn keep_plan(&self, _: &Plan) -> std::io::Result<()> {
        Ok(())
    }
}

struct Recorder(Arc<Mutex<Vec<Event>>>);

impl Sink for Recorder {
    fn emit(&mut self, event: &Event) -> io::Result<()> {
        self.0.lock().unwrap().push(event.clone());
        Ok(())
    }
}

/// What an `up` left.
pub(crate) struct Ran {
    pub(crate) ended: Ended,
    pub(crate) events: Vec<Event>,
    pub(crate) kept: Vec<KeptContainer>,
    pub(crate) took: Duration,
}

/// What is asked of an `up` beyond its file.
#[derive(Clone, Default)]
pub(crate) struct Asked {
    /// Requests to end, in milliseconds after its beginning.
    pub(crate) cancels: Vec<(u64, CancelRequest)>,
    /// It stays attached.
    pub(crate) watch: bool,
    /// How it is planned.
    pub(crate) options: UpOptions,
    /// Its process is gone at this millisecond, without a word.
    pub(crate) killed_at: Option<u64>,
    /// Every question is answered with yes.
    pub(crate) yes: bool,
    /// What is known of what containers were made from, from one `up` to the next.
    pub(crate) fingerprints: Option<Shelf>,
}

pub(crate) struct Answer(pub(crate) bool);

impl Ask for Answer {
    fn confirm<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Option<bool>> {
        async { Some(self.0) }.boxed()
    }
}

/// Where fingerprints are kept.
#[derive(Clone, Default)]
pub(crate) struct Shelf(Arc<Mutex<BTreeMap<String, Fingerprint>>>);

impl Shelf {
    /// What is known, and what the project's secrets and configs contain now.
    pub(crate) fn fingerprints(&self, project: &Project) -> Fingerprints {
        let mut fingerprints = Fingerprints::new("salt");
        for (container, fingerprint) in self.0.lock().unwrap().iter() {
            fingerprints.insert(container.clone(), fingerprint.clone());
        }
        fingerprints.take_contents(project, |_| None);
        fingerprints
    }

    /// Containers that are known.
    pub(crate) fn containers(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }
}

impl Ledger for Shelf {
    fn note(&mut self, container: &str, fingerprint: &Fingerprint) {
        self.0.lock().unwrap().insert(container.to_owned(), fingerprint.clone());
    }

    fn keep_only(&mut self, containers: &BTreeSet<String>) {
        self.0.lock().unwrap().retain(|container, _| containers.contains(container));
    }
}

/// An `up`; `None` where its process was killed.
pub(crate) async fn up_as(sim: &SimEngine, yaml: &str, asked: &Asked) -> Option<Result<Ran, RunError>> {
    let project = Arc::new(project(yaml));
    let began = tokio::time::Instant::now();
    let on_failure = project.orch.on_failure;
    let known = asked.fingerprints.clone().map(|shelf| (shelf.fingerprints(&project), shelf));
    let mut run = lab_run(sim, project, &asked.cancels);
    if let Some((fingerprints, shelf)) = known {
        run.set_fingerprints(fingerprints, Box::new(shelf));
    }
    let (events, kept) = <(Arc<Mutex<Vec<Event>>>, Arc<Mutex<Vec<KeptContainer>>>)>::default();
    run.add_sink(Box::new(Recorder(Arc::clone(&events))));
    let (options, watch, abort) = (asked.options.clone(), asked.watch, AbortOn::Never);
    let (warnings, label) = (Vec::new(), label("up"));
    let request = UpRequest { options, on_failure, watch, abort, warnings, label, first: true };
    let keeper = Keeper(Arc::clone(&kept));
    let limit = Duration::from_millis(asked.killed_at.unwrap_or(3_600_000));
    let Ok(ended) = tokio::time::timeout(limit, up(&mut run, &request, &keeper, &Answer(asked.yes))).await
    else {
        assert!(asked.killed_at.is_some(), "no end:\n{}", sim.record());
        return None;
    };
    let events = events.lock().unwrap().clone();
    is_sound(&events);
    let kept = kept.lock().unwrap().clone();
    Some(ended.map(|ended| Ran { ended, events, kept, took: began.elapsed() }))
}

/// Names a run.
pub(crate) fn label(command: &str) -> RunLabel {
    RunLabel { id: "1".to_owned(), time: String::new(), command: command.to_owned() }
}

/// A run on the simulated engine that begins now, with requests to end at these times after that.
pub(crate) fn lab_run(sim: &SimEngine, project: Arc<Project>, cancels: &[(u64, CancelRequest)]) -> Run {
    let engine: Arc<dyn Engine> = Arc::new(sim.clone());
    let prober = SimProber { sim: sim.clone(), engine: Prober::new(Arc::clone(&engine)) };
    let began = tokio::time::Instant::now();
    let requests = stream::iter(cancels.to_vec()).then(move |(ms, request)| async move {
        tokio::time::sleep_until(began + Duration::from_millis(ms)).await;
        request
    });
    Run::new(project, engine, Arc::new(prober), requests.chain(stream::pending()).boxed())
}

/// `up -d` of a Compose file. `cancels`: requests to end, at these times after its beginning.
pub(crate) async fn up_with(sim: &SimEngine, yaml: &str, cancels: &[(u64, CancelRequest)]) -> Ran {
    let asked = Asked { cancels: cancels.to_vec(), ..Asked::default() };
    up_as(sim, yaml, &asked).await.expect("nobody kills it").expect("a beginning")
}

/// `up -d` that nobody interrupts.
pub(crate) async fn up_of(sim: &SimEngine, yaml: &str) -> Ran {
    up_with(sim, yaml, &[]).await
}

/// What holds of every run that began: numbers without gaps, one beginning, one end.
pub(crate) fn is_sound(events: &[Event]) {
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event.seq, index as u64);
    }
    let Some(last) = events.last() else { return };
    assert!(matches!(events[0].kind, EventKind::RunStarted(_)));
    let ends = events.iter().filter(|e| matches!(e.kind, EventKind::RunFinished(_))).count();
    assert_eq!(ends, 1);
    assert!(matches!(last.kind, EventKind::RunFinished(_)));
}
