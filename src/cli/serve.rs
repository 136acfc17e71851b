//! `serve`: stays, keeps watch over the project while it runs, and shows what other commands do to it.
//!
//! ```text
//!              another command begins                     it has ended
//!  monitoring ───────────────────────► following ─────────────────────────► monitoring | waiting | down
//!      │  something fails for good
//!      └──────────────────────────────► waiting ── what runs changes, or a while has passed ──► monitoring
//! ```
//!
//! Other commands are known by their records: what is live there and not its own is another's.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, future::LocalBoxFuture, stream};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    CliError, Exit, Invocation,
    activators::take_down,
    args::{RestartArgs, ServeArgs, UpArgs},
    control::Claim,
    ending,
    entry::note,
    mask::mask,
    ondemand,
    scope::Subject,
    serving::{Seen, Serving},
    session::{Session, Shown},
    settings, up,
};
use crate::{
    engine::{Engine, Scope},
    event::{Event, EventKind, ServiceState, Sink},
    executor::{CancelRequest, Signals},
    journal::{KeptRun, Mask, Tail, runs, state_dir},
    plan::ContainerState,
    project::Project,
    report::ProgressMode,
    run::{AbortOn, RunError, UpRequest, watch},
    serve::{Feed, Mode, Restart},
    supervisor::Ending,
};

/// Between two looks at what other commands record.
const LOOK: Duration = Duration::from_millis(200);
/// Between two looks at what runs, where nobody keeps watch.
const OBSERVE: Duration = Duration::from_secs(2);
/// After something has failed for good: before it is looked at again, though nothing has changed.
const RETRY: Duration = Duration::from_mins(1);

/// Serves until it is asked to end.
///
/// # Errors
///
/// The files are wrong, the engine cannot be reached, or an address cannot be had.
pub(super) async fn run(invocation: &Invocation, args: &ServeArgs) -> Result<Exit, CliError> {
    let subject = invocation.subject()?;
    let engine = invocation.connect().await?;
    let project = project(subject, engine.as_ref()).await?;
    // Before anything is opened: two would load the same services.
    let loads = ondemand::services(&project).next().is_some();
    let claim = loads.then(|| claim(invocation, &project, engine.as_ref())).transpose()?;
    let mut signals = Signals::listen(&invocation.signal_sources())
        .map_err(|e| CliError::failed("failed to listen to signals").caused_by(&e))?;
    let (restarts, asked) = mpsc::channel(1);
    let seen = Seen { project: &project, engine: &engine, restarts: Some(restarts) };
    let Some(serving) = Serving::begin(invocation, &args.seen(), seen).await? else { return Ok(Exit::Usage) };
    let mut watchman = Watchman {
        invocation,
        mask: mask(&project),
        project: Arc::new(project),
        engine,
        feed: serving.feed.clone(),
        state: state_dir(|name| invocation.env(name)),
        asked,
        own: BTreeSet::new(),
        restarting: None,
        said: None,
    };
    let on_demand = match claim {
        Some(claim) => ondemand::begin(invocation, &watchman.project, &watchman.engine, claim, note).await?,
        None => None,
    };
    let stays = pin!(watchman.stay(&mut signals));
    match on_demand {
        None => stays.await,
        // Only the first of the two ever ends.
        Some(on_demand) => {
            let (activators, claim) = (on_demand.activators(), on_demand.claim());
            on_demand.stay(stays.map(|()| Ending::Leave)).await;
            if let Some(activators) = activators {
                take_down(&activators).await;
            }
            drop(claim);
        }
    }
    Ok(Exit::Fine)
}

/// That nobody else loads the project's services on demand.
///
/// # Errors
///
/// Somebody does.
fn claim(invocation: &Invocation, project: &Project, engine: &dyn Engine) -> Result<Claim, CliError> {
    let name = &project.name;
    Claim::take(invocation, name, &engine.info().host, "serve").map_err(|holder| {
        CliError::failed(format!("{holder} loads services of {name} on demand already"))
            .hint("end it first: two would load the same services")
    })
}

/// The project of the files with what the environment says on top, or as its containers tell it.
async fn project(subject: Subject, engine: &dyn Engine) -> Result<Project, CliError> {
    let mut project = match subject.project {
        Some(project) => project,
        None => ending::from_labels(&subject.name, engine).await?,
    };
    settings::settle(&mut project, &settings::flags(&UpArgs::default()))?;
    Ok(project)
}

/// Who stays.
struct Watchman<'a> {
    invocation: &'a Invocation,
    project: Arc<Project>,
    mask: Mask,
    engine: Arc<dyn Engine>,
    feed: Feed,
    /// Where runs are recorded.
    state: Option<PathBuf>,
    asked: mpsc::Receiver<Restart>,
    /// Runs of its own.
    own: BTreeSet<String>,
    /// A restart that goes on; it records itself as any other command.
    restarting: Option<LocalBoxFuture<'a, ()>>,
    /// What was said last of what it does.
    said: Option<Mode>,
}

/// What is to be done next.
enum Next {
    /// A run of another command is shown: this one.
    Follow(KeptRun),
    /// Somebody wants it to end.
    End,
    /// To look again.
    Look,
}

/// What runs, as far as a list of containers tells.
type Running = BTreeSet<(String, String)>;

impl<'a> Watchman<'a> {
    async fn stay(&mut self, signals: &mut Signals) {
        // What was done last is shown first, whatever came of it.
        let mut next = self.newest(|_| true).map_or(Next::Look, Next::Follow);
        let mut failed: Option<(Running, Instant)> = None;
        loop {
            next = match next {
                Next::End => return,
                Next::Follow(run) => {
                    failed = None;
                    self.follow(run, signals).await
                }
                Next::Look => match self.running().await {
                    Some(running) if running.is_empty() => {
                        failed = None;
                        self.rest(Mode::Down, signals).await
                    }
                    Some(running) => match &failed {
                        Some((before, when)) if *before == running && when.elapsed() < RETRY => {
                            self.rest(Mode::Waiting, signals).await
                        }
                        _ => {
                            let (next, is_well) = self.monitor(signals).await;
                            failed = (!is_well).then(|| (running, Instant::now()));
                            next
                        }
                    },
                    None => self.rest(Mode::Waiting, signals).await,
                },
            };
        }
    }

    /// Containers that run; `None`: the engine does not say.
    async fn running(&self) -> Option<Running> {
        let scope = Scope { project: self.project.name.clone(), ..Scope::default() };
        let observed = self.engine.observe(&scope).await.ok()?;
        let runs = observed.containers.iter().filter(|c| {
            !c.is_oneoff() && matches!(c.state, ContainerState::Running | ContainerState::Restarting)
        });
        Some(runs.map(|c| (c.id.clone(), format!("{:?}", c.health))).collect())
    }

    /// The newest run of another command that is as wanted.
    fn newest(&self, wanted: impl Fn(&KeptRun) -> bool) -> Option<KeptRun> {
        let runs = runs(self.state.as_deref()?, &self.project.name).ok()?;
        runs.into_iter().find(|run| !self.own.contains(&run.id) && wanted(run))
    }

    /// Whether another command has begun.
    fn another(&self) -> Option<KeptRun> {
        self.newest(KeptRun::is_live)
    }

    fn set_mode(&mut self, mode: Mode) {
        self.feed.set_mode(mode);
        if self.said == Some(mode) {
            return;
        }
        self.said = Some(mode);
        let name = &self.project.name;
        note(&match mode {
            Mode::Running | Mode::Monitoring => format!("{name}: keeps watch"),
            Mode::Following => format!("{name}: another command is at it"),
            Mode::Waiting => format!("{name}: nobody keeps watch until something changes"),
            Mode::Down => format!("{name}: nothing runs"),
        });
    }

    /// Waits a while, unless something is to be done before.
    async fn rest(&mut self, mode: Mode, signals: &mut Signals) -> Next {
        self.set_mode(mode);
        let until = Instant::now() + OBSERVE;
        let mut looks = looks();
        while Instant::now() < until {
            tokio::select! {
                biased;
                _ = signals.next() => return Next::End,
                Some(restart) = self.asked.recv() => self.restart(restart),
                () = at_work(&mut self.restarting) => {}
                _ = looks.tick() => {
                    if let Some(run) = self.another() {
                        return Next::Follow(run);
                    }
                }
            }
        }
        Next::Look
    }

    /// Shows what another command does, to its end.
    async fn follow(&mut self, run: KeptRun, signals: &mut Signals) -> Next {
        let Ok(mut tail) = Tail::open(&run.events()) else { return Next::Look };
        if run.is_live() {
            self.set_mode(Mode::Following);
        }
        let mut sink = self.feed.begin(&run.id);
        let mut looks = looks();
        loop {
            tokio::select! {
                biased;
                _ = signals.next() => return Next::End,
                Some(restart) = self.asked.recv() => self.restart(restart),
                () = at_work(&mut self.restarting) => {}
                _ = looks.tick() => {
                    // Before it is read: what comes in between is read below.
                    let live = run.is_live();
                    let Ok(events) = tail.read() else { return Next::Look };
                    for mut event in events {
                        for text in event.kind.texts_mut() {
                            self.mask.text(text);
                        }
                        // A feed takes everything.
                        sink.emit(&event).ok();
                    }
                    if !live {
                        return Next::Look;
                    }
                    if let Some(other) = self.another().filter(|other| other.id > run.id) {
                        return Next::Follow(other);
                    }
                }
            }
        }
    }

    /// Keeps watch, as an attached `up` does, until another command begins. Whether all was well to the end.
    async fn monitor(&mut self, signals: &mut Signals) -> (Next, bool) {
        let (stop, requests) = mpsc::unbounded_channel();
        let requests = stream::unfold(requests, async |mut requests: mpsc::UnboundedReceiver<_>| {
            let request: CancelRequest = requests.recv().await?;
            Some((request, requests))
        });
        // Only what is news is said here.
        let shown = Shown { progress: Some(ProgressMode::Quiet), ..Shown::default() };
        let (project, engine) = (Arc::clone(&self.project), Arc::clone(&self.engine));
        let session =
            Session::begin_with(self.invocation, "serve", project, engine, &shown, requests.boxed());
        let (mut run, session) = match session {
            Ok(begun) => begun,
            Err(error) => {
                tracing::warn!("nobody keeps watch: {}", error.message);
                return (Next::Look, false);
            }
        };
        self.own.insert(session.label.id.clone());
        self.set_mode(Mode::Monitoring);
        session.show_to(&mut run, &self.feed);
        let eventful = Arc::new(AtomicBool::new(false));
        run.add_sink(Box::new(News { eventful: Arc::clone(&eventful), was_ready: false }));
        let request = request(&self.project, &session);
        let keeper = session.keeper();
        let (mut next, mut asked) = (Next::Look, false);
        let ended = {
            let mut watching = pin!(watch(&mut run, &request, keeper.as_ref()));
            let mut looks = looks();
            loop {
                tokio::select! {
                    biased;
                    _ = signals.next() => {
                        next = Next::End;
                        // The second one ends at once.
                        stop.send(if asked { CancelRequest::Force } else { CancelRequest::Graceful }).ok();
                        asked = true;
                    }
                    ended = &mut watching => break ended,
                    Some(restart) = self.asked.recv(), if !asked => self.restart(restart),
                    () = at_work(&mut self.restarting) => {}
                    _ = looks.tick(), if !asked => {
                        if let Some(run) = self.another() {
                            next = Next::Follow(run);
                            asked = true;
                            stop.send(CancelRequest::Graceful).ok();
                        }
                    }
                }
            }
        };
        drop(run);
        let is_well = match &ended {
            Ok(ended) => ended.finished.failures.is_empty(),
            // Another command was faster.
            Err(RunError::Busy { .. } | RunError::Ended(_)) => true,
            Err(_) => false,
        };
        if !eventful.load(Ordering::Relaxed) {
            session.forget();
        }
        session.close();
        (next, is_well)
    }

    /// Restarts a service, as the command of that name does. One at a time.
    fn restart(&mut self, restart: Restart) {
        let Restart { service, answer } = restart;
        let known = self.project.services.contains_key(&service);
        let answered = match (&self.restarting, known) {
            (Some(_), _) => Err("another restart is under way".to_owned()),
            (None, false) => Err(format!("no such service: {service}")),
            (None, true) => Ok(()),
        };
        if answered.is_ok() {
            let invocation: &'a Invocation = self.invocation;
            let args = RestartArgs { services: vec![service], ..RestartArgs::default() };
            self.restarting = Some(Box::pin(async move {
                if let Err(error) = ending::restart(invocation, &args).await {
                    tracing::warn!("{}", error.message);
                }
            }));
        }
        // Whoever asked may be gone.
        answer.send(answered).ok();
    }
}

/// What is under way, to its end; without it, for ever.
async fn at_work(work: &mut Option<LocalBoxFuture<'_, ()>>) {
    match work {
        Some(future) => {
            future.await;
            *work = None;
        }
        None => std::future::pending().await,
    }
}

fn looks() -> tokio::time::Interval {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

/// What is asked of a watch: nothing is started, so that most of it means nothing.
fn request(project: &Project, session: &Session) -> UpRequest {
    UpRequest {
        options: crate::plan::UpOptions { cores: up::cores(), ..Default::default() },
        on_failure: project.orch.on_failure,
        watch: true,
        abort: AbortOn::Never,
        warnings: Vec::new(),
        label: session.label.clone(),
        first: false,
    }
}

/// Says what is news once everything was in order, and notes whether there was any: a watch in which nothing happened is worth
/// no record, as each command of others begins a new one.
struct News {
    eventful: Arc<AtomicBool>,
    was_ready: bool,
}

impl Sink for News {
    fn emit(&mut self, event: &Event) -> std::io::Result<()> {
        use ServiceState::{Failed, Recovering, Restarting, Unhealthy};
        let is_news = match &event.kind {
            EventKind::Service { state, .. } => matches!(state, Unhealthy | Restarting | Failed | Recovering),
            EventKind::StepStarted { .. } | EventKind::Unwinding { .. } => true,
            _ => false,
        };
        self.eventful.fetch_or(is_news, Ordering::Relaxed);
        match &event.kind {
            EventKind::Ready { .. } => self.was_ready = true,
            EventKind::Service { replica, state, cause, .. } if self.was_ready || is_news => {
                let why = if cause.is_empty() { String::new() } else { format!(": {cause}") };
                note(&format!("{replica} {}{why}", state.word()));
            }
            EventKind::Unwinding { policy, reason } => note(&format!("{policy}: {reason}")),
            _ => {}
        }
        Ok(())
    }
}
