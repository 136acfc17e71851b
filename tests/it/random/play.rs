//! Plays a world: its commands on the simulated engine, one after the other, each looked at from outside.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use docker_orch::{
    engine::sim::{Request, SimEngine},
    event::{CancelReason, Event, EventKind, Sink},
    executor::{CancelRequest, Lock, Run, Taken},
    journal::{Journal, RunFolder, interrupted, read_events},
    plan::{Container, ContainerState, EndOptions, Recreate, UpOptions},
    project::Project,
    run::{AbortOn, Ended, Ending, RunError, UpRequest, end, up},
};
use tokio::{sync::Notify, time::sleep};

use super::{
    acts::{Act, Command, Jolt, Kill, Up, World},
    invariants::{Broken, Looked},
    project::ms,
    tally::Tally,
};
use crate::support::lab::{Answer, Keeper, Shelf, lab_run, label, project_with};

/// The name of the project; another one's is [`STRANGERS`].
const PROJECT: &str = "p";
/// The project that must not be touched.
const STRANGERS: &str = "q";
/// Longer than any run may take.
const FOREVER: Duration = Duration::from_hours(1);

/// What there is on the engine.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    /// Of the project, by name.
    pub(super) containers: Vec<Container>,
    /// Of others.
    pub(super) strangers: Vec<Container>,
    pub(super) networks: BTreeSet<String>,
    pub(super) volumes: BTreeSet<String>,
}

impl Seen {
    fn now(sim: &SimEngine) -> Self {
        let ours = |c: &Container| c.labels.get("com.docker.compose.project").is_some_and(|p| p == PROJECT);
        let (containers, strangers) = sim.containers().into_iter().partition(ours);
        Self { containers, strangers, networks: sim.networks(), volumes: sim.volumes() }
    }

    /// Names of the project's networks.
    pub(super) fn own_networks(&self) -> Vec<&String> {
        self.networks.iter().filter(|n| !n.starts_with(STRANGERS)).collect()
    }

    /// What is to be the same when things are as they were: names, IDs, and whether they run.
    pub(super) fn essence(&self) -> Vec<(&str, &str, bool)> {
        let running = |c: &Container| c.state == ContainerState::Running;
        self.containers.iter().map(|c| (c.name.as_str(), c.id.as_str(), running(c))).collect()
    }

    /// Containers that an unfinished run has left under names for a while.
    pub(super) fn leftovers(&self) -> Vec<&str> {
        let names = self.containers.iter().map(|c| c.name.as_str());
        names.filter(|n| is_leftover(n)).collect()
    }
}

pub(super) fn is_leftover(name: &str) -> bool {
    name.ends_with(".previous") || !name.starts_with("p-")
}

/// What was told in each run, and what the engine was asked.
#[derive(Debug, PartialEq)]
pub(super) struct Played {
    pub(super) events: Vec<Vec<Event>>,
    pub(super) record: String,
}

/// Where a world is played.
struct Scene<'a> {
    world: &'a World,
    sim: SimEngine,
    /// Where runs are recorded.
    state: &'a Path,
    shelf: Shelf,
    /// The version of the file as the last command found it.
    version: usize,
    /// A run did not come to its end, and nothing has put that right yet.
    untidy: bool,
    /// The daemon may still be away.
    was_away: bool,
    /// Some run of this world did not come to its end.
    ever_untidy: bool,
    events: Vec<Vec<Event>>,
}

/// Plays a world from its beginning to a `down`, and looks whether all is as it must be.
pub(super) async fn play(world: &World, state: &Path, tally: &mut Tally) -> Result<Played, Broken> {
    tally.worlds += 1;
    let sim = SimEngine::new(world.shape.script());
    let shelf = Shelf::default();
    let events = Vec::new();
    let (untidy, was_away, ever_untidy) = (false, false, false);
    let mut scene = Scene { world, sim, state, shelf, version: 0, untidy, was_away, ever_untidy, events };
    if world.strangers {
        scene.strangers().await;
    }
    for act in &world.acts {
        scene.carry_out(act, tally).await?;
    }
    scene.come_to_rest(tally).await?;
    Ok(Played { events: scene.events, record: scene.sim.record() })
}

impl Scene<'_> {
    /// Another project on the same engine.
    async fn strangers(&self) {
        let yaml = format!(
            "name: {STRANGERS}\nservices: {{s0: {{image: 's0:1', volumes: ['data:/data']}}}}\nvolumes: {{data: {{}}}}\n"
        );
        let mut run = lab_run(&self.sim, Arc::new(project_with(&yaml, &[])), &[]);
        let request = up_request(UpOptions::default(), false, run.project());
        let keeper = Keeper(Arc::default());
        up(&mut run, &request, &keeper, &Answer(false)).await.expect("nothing is in its way");
    }

    /// After whatever happened an `up` of a sound version puts everything right, and a `down` leaves nothing.
    async fn come_to_rest(&mut self, tally: &mut Tally) -> Result<(), Broken> {
        if self.ever_untidy {
            let up = Act::calm_up(0);
            self.carry_out(&up, tally).await?.succeeds()?.is_tidy()?;
        }
        let down = Act::calm(Command::End(Ending::Down));
        self.carry_out(&down, tally).await?.succeeds()?.is_gone()
    }

    /// One command from its beginning to its end, or to the moment at which it is killed.
    async fn carry_out(&mut self, act: &Act, tally: &mut Tally) -> Result<Looked, Broken> {
        // What is to end after a run that came to its end does so.
        let at_once = self.untidy && !self.was_away;
        sleep(ms(if at_once { act.pause } else { act.pause.max(10_000) })).await;
        if let Command::Up(up) = act.command {
            self.version = up.version;
        }
        let project = Arc::new(self.project(act.command));
        let before = Seen::now(&self.sim);
        let (began, skipped) = (self.sim.now(), self.sim.requests().len());
        let went = self.run(act, &project).await;
        let now = Seen::now(&self.sim);
        let requests: Vec<Request> = self.sim.requests().split_off(skipped);
        let folder = self.state.join(PROJECT).join(self.run_id());
        let journal = read_events(&folder.join("events.jsonl"))
            .map_err(|e| Broken::new("the journal can be read", e))?;
        tally.count(act, &project, &went, &requests);
        let Went { ended, events, jolted } = went;
        let forced =
            events.iter().any(|e| e.kind == EventKind::CancelRequested { reason: CancelReason::Forced });
        let looked = Looked {
            act: act.clone(),
            version: self.world.shape.version(self.version),
            settings: self.world.shape.settings.clone(),
            yaml: self.world.shape.yaml(self.version),
            open: interrupted(self.state, PROJECT),
            project,
            requests,
            ended,
            events,
            journal: journal.events,
            before,
            now,
            end: self.sim.now(),
            began,
            jolted,
            forced,
            was_untidy: self.untidy,
        };
        self.sim.clear_faults();
        looked.holds().map_err(|broken| self.tell(broken, &looked))?;
        let killed = looked.ended.is_none();
        self.ever_untidy |= killed || forced;
        self.untidy = killed || forced || (self.untidy && !looked.now.leftovers().is_empty());
        self.was_away = act.jolts.iter().any(|(_, jolt)| matches!(jolt, Jolt::Daemon(..)));
        self.events.push(looked.events.clone());
        Ok(looked)
    }

    fn run_id(&self) -> String {
        format!("{:04}", self.events.len())
    }

    /// The project as the command line would make it of the file and the flags.
    fn project(&self, command: Command) -> Project {
        let yaml = format!("name: {PROJECT}\n{}", self.world.shape.yaml(self.version));
        let named = self.named(command);
        let mut project = project_with(&yaml, &named);
        if matches!(command, Command::Up(Up { no_deps: true, .. })) {
            project.services.retain(|name, _| named.contains(name));
        }
        project
    }

    /// Services that are named on the command line.
    fn named(&self, command: Command) -> Vec<String> {
        let Command::Up(Up { only: Some(place), .. }) = command else { return Vec::new() };
        let version = self.world.shape.version(self.version);
        version.get(&place).map(|d| d.name.clone()).into_iter().collect()
    }

    async fn run(&self, act: &Act, project: &Arc<Project>) -> Went {
        for slip in &act.slips {
            self.sim.add_fault(slip.fault());
        }
        let jolted = Arc::new(AtomicBool::new(false));
        let jolts: Vec<_> = act
            .jolts
            .iter()
            .map(|&(at, jolt)| {
                let (sim, jolted) = (self.sim.clone(), Arc::clone(&jolted));
                tokio::spawn(async move {
                    sleep(ms(at)).await;
                    jolted.fetch_or(jolt.happens(&sim), Ordering::Relaxed);
                })
            })
            .collect();
        let mut run = lab_run(&self.sim, Arc::clone(project), &self.cancels(act));
        run.set_fingerprints(self.shelf.fingerprints(project), Box::new(self.shelf.clone()));
        run.set_lock(Box::new(Alone(self.state.to_owned())), Duration::ZERO);
        let tape = Tape::new(self.state, &self.run_id(), act.killed);
        run.add_sink(Box::new(tape.clone()));
        let ended = tokio::select! {
            biased;
            ended = self.command(&mut run, act) => Some(ended),
            () = tape.killed(act.killed) => None,
        };
        drop(run);
        for jolt in jolts {
            jolt.abort();
        }
        let events = tape.told.lock().unwrap().clone();
        // Nobody hears of the end of what was killed a moment before.
        let ended = ended.filter(|_| !tape.is_over());
        Went { ended, events, jolted: jolted.load(Ordering::Relaxed) }
    }

    /// Requests to end. What may go on for ever is ended when somebody has enough.
    fn cancels(&self, act: &Act) -> Vec<(u64, CancelRequest)> {
        let request = |force| if force { CancelRequest::Force } else { CancelRequest::Graceful };
        let mut cancels: Vec<_> = act.cancels.iter().map(|&(at, force)| (at, request(force))).collect();
        let watches = matches!(act.command, Command::Up(Up { watch: true, .. }));
        // A file without `x-orch` gives no deadline.
        if cancels.is_empty() && (watches || self.world.shape.settings.plain) {
            cancels.push((if watches { 40_000 } else { 150_000 }, CancelRequest::Graceful));
        }
        cancels
    }

    async fn command(&self, run: &mut Run, act: &Act) -> Result<Ended, RunError> {
        match act.command {
            Command::Up(flags) => {
                let recreate = if flags.force_recreate { Recreate::Force } else { Recreate::Diverged };
                let options = UpOptions {
                    services: self.named(act.command),
                    recreate,
                    remove_orphans: flags.remove_orphans,
                    no_start: flags.no_start,
                    ..UpOptions::default()
                };
                let request = up_request(options, flags.watch, run.project());
                let keeper = Keeper(Arc::default());
                up(run, &request, &keeper, &Answer(false)).await
            }
            Command::End(ending) => {
                let options =
                    EndOptions { orphans: ending == Ending::Down, cores: 2, ..EndOptions::default() };
                end(run, ending, &options, &label("end")).await
            }
        }
    }

    /// What is wrong, with everything that led to it.
    fn tell(&self, mut broken: Broken, looked: &Looked) -> Broken {
        let told = looked.events.iter().filter(|e| !matches!(e.kind, EventKind::Probed { .. }));
        let told = told.fold(String::new(), |mut text, event| {
            writeln!(text, "{:.3} {:?}", (looked.began + event.at.since_start()).as_secs_f64(), event.kind)
                .unwrap();
            text
        });
        let Looked { act, yaml, ended, before, now, .. } = looked;
        broken.story = format!(
            "{act:#?}\n{yaml}\n{}\nbefore {:?}\nnow {:?} {:?}\n{told}\n{ended:?}",
            self.sim.record(),
            before.essence(),
            now.essence(),
            now.networks
        );
        broken
    }
}

fn up_request(options: UpOptions, watch: bool, project: &Project) -> UpRequest {
    let on_failure = project.orch.on_failure;
    let (abort, warnings, label) = (AbortOn::Never, Vec::new(), label("up"));
    UpRequest { options, on_failure, watch, abort, warnings, label, first: true }
}

/// The lock of a project that nobody else wants; below the folder of the project's records.
struct Alone(PathBuf);

impl Lock for Alone {
    fn take(&mut self) -> Taken {
        Taken::Ours { interrupted: interrupted(&self.0, PROJECT), others: false }
    }

    fn release(&mut self) {}
}

/// How a command went.
pub(super) struct Went {
    /// `None`: it was killed.
    pub(super) ended: Option<Result<Ended, RunError>>,
    pub(super) events: Vec<Event>,
    /// Something happened that nobody asked for.
    pub(super) jolted: bool,
}

/// Writes a run's journal, keeps what was told, and says when the record is written at which the run is killed.
#[derive(Clone)]
struct Tape {
    told: Arc<Mutex<Vec<Event>>>,
    journal: Arc<Mutex<Journal>>,
    last: Option<u64>,
    over: Arc<Notify>,
}

impl Tape {
    fn new(state: &Path, run: &str, killed: Option<Kill>) -> Self {
        let folder = RunFolder::create(state, PROJECT, run).expect("a folder");
        let journal = Arc::new(Mutex::new(Journal::create(&folder).expect("a journal")));
        let last = match killed {
            Some(Kill::AtRecord(n)) => Some(n),
            Some(Kill::After(_)) | None => None,
        };
        Self { told: Arc::default(), journal, last, over: Arc::default() }
    }

    /// Whether the record is written at which the run is killed.
    fn is_over(&self) -> bool {
        let told = self.told.lock().unwrap();
        self.last.is_some_and(|last| told.last().is_some_and(|e| e.seq >= last))
    }

    async fn killed(&self, kill: Option<Kill>) {
        match kill {
            Some(Kill::After(n)) => sleep(ms(n)).await,
            Some(Kill::AtRecord(_)) => self.over.notified().await,
            None => {
                sleep(FOREVER).await;
                panic!("a run must end");
            }
        }
    }
}

impl Sink for Tape {
    fn emit(&mut self, event: &Event) -> io::Result<()> {
        if self.last.is_some_and(|last| event.seq > last) {
            return Ok(());
        }
        self.told.lock().unwrap().push(event.clone());
        self.journal.lock().unwrap().emit(event)?;
        if self.last == Some(event.seq) {
            self.over.notify_one();
        }
        Ok(())
    }
}
