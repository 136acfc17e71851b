//! What must hold of every run, looked at from outside: what the engine was asked, what it has, what was told.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use docker_orch::{
    cli::Exit,
    engine::sim::{Request, Standing, Verb},
    event::{
        Aftermath, CancelReason, Event, EventKind, RunFinished, ServiceState, StepAction, Verb as Word,
        Verdict,
    },
    plan::{Container, ContainerState},
    project::Project,
    report::RunView,
    run::{Ended, Ending, RunError},
};

use super::{
    acts::{Act, Command, Up},
    play::{Seen, is_leftover},
    project::{Check, Defined, Fate, Settings, Version, Waits, in_wave, ms},
};

/// Something that must hold and does not.
#[derive(Debug)]
pub(super) struct Broken {
    invariant: &'static str,
    what: String,
    /// What led to it.
    pub(super) story: String,
}

impl Broken {
    pub(super) fn new(invariant: &'static str, what: impl fmt::Display) -> Self {
        Self { invariant, what: what.to_string(), story: String::new() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it does not hold that {}: {}\n{}", self.invariant, self.what, self.story)
    }
}

type Holds = Result<(), Broken>;

/// That `holds`; else what is wrong is told by `what`.
fn ensure<T: fmt::Display>(holds: bool, invariant: &'static str, what: impl FnOnce() -> T) -> Holds {
    if holds { Ok(()) } else { Err(Broken::new(invariant, what())) }
}

/// The steps in which a request may be made; `None`: it changes nothing that a later run depends on.
fn words(verb: Verb) -> Option<&'static [Word]> {
    Some(match verb {
        Verb::Create => &[Word::CreateContainer],
        Verb::Start => &[Word::StartContainer],
        Verb::Stop => &[Word::StopContainer, Word::StartContainer],
        Verb::Kill => &[Word::KillContainer],
        Verb::Remove => &[Word::RemoveContainer],
        Verb::Rename => &[Word::RenameContainer],
        Verb::Reconnect => &[Word::ReconnectContainer],
        Verb::CreateVolume => &[Word::CreateVolume],
        Verb::CreateNetwork | Verb::RestoreNetwork => &[Word::CreateNetwork],
        Verb::RemoveNetwork => &[Word::RemoveNetwork],
        Verb::Pull => &[Word::PullImage],
        _ => return None,
    })
}

/// What makes a service ready for its wave.
fn readiness(d: &Defined) -> Waits {
    match d.service.check {
        Check::None | Check::OneShot => Waits::Started,
        Check::Tcp | Check::Staged | Check::Composite { .. } | Check::Healthcheck => Waits::Ready,
    }
}

fn exits_as_it_ended(ended: &Ended) -> Holds {
    let (finished, code) = (&ended.finished, Exit::of_run(&ended.finished, ended.reason).code());
    let asked = matches!(ended.reason, Some(CancelReason::Interrupt | CancelReason::Forced));
    let late = finished.failures.iter().any(|f| f.timed_out) || ended.reason == Some(CancelReason::Timeout);
    let fits = match finished.verdict {
        Verdict::Succeeded => code == 0,
        Verdict::Cancelled => code == 130 && asked,
        Verdict::Failed if asked => code == 130,
        Verdict::Failed => code == 1 || (code == 4 && late),
    };
    ensure(fits, "the exit code says what happened", || format!("{code}: {ended:?}"))?;
    let reason =
        finished.verdict != Verdict::Failed || !finished.failures.is_empty() || !finished.left.is_empty();
    ensure(reason, "a failure has a reason", || format!("{finished:?}"))
}

/// One run, looked at from outside.
pub(super) struct Looked {
    pub(super) act: Act,
    pub(super) version: Version,
    pub(super) settings: Settings,
    pub(super) yaml: String,
    /// As the command line narrowed it.
    pub(super) project: Arc<Project>,
    /// What the engine was asked while it went.
    pub(super) requests: Vec<Request>,
    /// `None`: it was killed.
    pub(super) ended: Option<Result<Ended, RunError>>,
    pub(super) events: Vec<Event>,
    /// The events as its journal gives them back.
    pub(super) journal: Vec<Event>,
    /// Steps that are under way as its journal tells it.
    pub(super) open: Vec<StepAction>,
    pub(super) before: Seen,
    pub(super) now: Seen,
    /// On the engine's clock.
    pub(super) began: Duration,
    pub(super) end: Duration,
    /// Something happened to containers or the daemon that nobody asked for.
    pub(super) jolted: bool,
    /// Somebody would not wait: the engine may still be at what it was asked for.
    pub(super) forced: bool,
    /// A run before it did not come to its end.
    pub(super) was_untidy: bool,
}

impl Looked {
    /// Everything that must hold of it.
    pub(super) fn holds(&self) -> Holds {
        self.volumes_stay()?;
        self.strangers_are_left_alone()?;
        self.starts_wait_for_their_gates()?;
        self.starts_are_limited()?;
        self.records_come_first()?;
        match &self.ended {
            None => Ok(()),
            Some(Err(error)) => self.nothing_is_changed(error),
            Some(Ok(ended)) => {
                self.ends_once(&ended.finished)?;
                exits_as_it_ended(ended)?;
                self.is_replayed(ended)?;
                self.leaves_what_it_says(&ended.finished)
            }
        }
    }

    /// It has succeeded.
    pub(super) fn succeeds(self) -> Result<Self, Broken> {
        let succeeded = matches!(&self.ended, Some(Ok(e)) if e.finished.verdict == Verdict::Succeeded);
        let tells = || format!("{:?}\n{}\n{:#?}", self.ended, self.yaml, self.events);
        ensure(succeeded, "the next command ends well", tells)?;
        Ok(self)
    }

    /// Nothing has a name for a while, and everything that is wanted is there.
    pub(super) fn is_tidy(&self) -> Holds {
        let known = |name: &str| self.version.values().any(|d| name.contains(&format!("p-{}-", d.name)));
        let left: Vec<&str> = self.now.leftovers().into_iter().filter(|n| known(n)).collect();
        ensure(left.is_empty(), "the next `up` leaves no leftovers", || format!("{left:?}"))
    }

    /// Nothing but volumes is there.
    pub(super) fn is_gone(&self) -> Holds {
        let networks = self.now.own_networks();
        let gone = self.now.containers.is_empty() && networks.is_empty();
        ensure(gone, "`down` leaves nothing but volumes", || format!("{:?} {networks:?}", self.now.essence()))
    }

    fn up(&self) -> Option<Up> {
        match self.act.command {
            Command::Up(up) => Some(up),
            Command::End(_) => None,
        }
    }

    /// When the first thing happened that ends the start.
    fn cancelled(&self) -> Duration {
        let is_cancel = |e: &&Event| matches!(e.kind, EventKind::CancelRequested { .. });
        self.events.iter().find(is_cancel).map_or(Duration::MAX, |e| self.began + e.at.since_start())
    }

    fn wanted(&self) -> impl Iterator<Item = &Defined> {
        self.version.values().filter(|d| d.scale > 0 && self.project.services.contains_key(&d.name))
    }

    fn volumes_stay(&self) -> Holds {
        let asked = self.requests.iter().find(|r| r.verb == Verb::RemoveVolume);
        ensure(asked.is_none(), "volumes are never removed", || format!("{asked:?}"))?;
        let stay = self.before.volumes.is_subset(&self.now.volumes);
        ensure(stay, "volumes are never removed", || format!("{:?}", self.now.volumes))
    }

    fn strangers_are_left_alone(&self) -> Holds {
        let facts = |seen: &Seen| -> Vec<_> {
            let networks = |c: &Container| c.networks.keys().cloned().collect::<Vec<_>>();
            seen.strangers.iter().map(|c| (c.id.clone(), c.name.clone(), networks(c))).collect()
        };
        let (before, now) = (facts(&self.before), facts(&self.now));
        ensure(before == now, "other projects are never touched", || format!("{before:?} {now:?}"))?;
        let touched = self.requests.iter().find(|r| r.verb.changes() && r.subject.starts_with('q'));
        ensure(touched.is_none(), "other projects are never touched", || format!("{touched:?}"))
    }

    /// From how the engine's containers stood when each start was asked for, and what the file says.
    fn starts_wait_for_their_gates(&self) -> Holds {
        let gated =
            self.up().is_some() || matches!(self.act.command, Command::End(Ending::Start | Ending::Restart));
        let cancelled = self.cancelled();
        let starts = self.requests.iter().filter(|r| r.verb == Verb::Start && r.at < cancelled && gated);
        for start in starts {
            // What runs has been let through before: it is only started again.
            if self.ran_before(start) {
                continue;
            }
            if self.up().is_some_and(|up| up.no_start) {
                let ours = self.project.services.contains_key(&start.service);
                ensure(!ours, "`--no-start` starts nothing", || format!("{start}"))?;
            }
            let Some(d) = self.version.values().find(|d| d.name == start.service) else { continue };
            let wanted = self.project.services.contains_key(&d.name);
            let real_name = !is_leftover(&start.subject) || self.up().is_none();
            ensure(real_name, "only what has its own name is started", || format!("{start}"))?;
            for dep in d.deps.iter().filter(|_| wanted) {
                let on = &self.version[&dep.on];
                let here = self.project.services.contains_key(&on.name);
                let open = !dep.required || !here || self.stands(start, on, dep.waits);
                ensure(open, "nothing starts before its gates open", || {
                    format!("{start} before {} {:?}: {:?}", on.name, dep.waits, start.standing)
                })?;
            }
            if wanted && !self.settings.plain && !self.settings.one_by_one {
                self.waves_open(start, d)?;
            }
        }
        Ok(())
    }

    fn ran_before(&self, start: &Request) -> bool {
        let ran = |c: &&Container| c.name == start.subject && c.state == ContainerState::Running;
        let id = self.before.containers.iter().find(ran).map(|c| &c.id);
        let is_it = |s: &Standing| s.name == start.subject && Some(&s.id) == id;
        self.up().is_some() && start.standing.iter().any(is_it)
    }

    /// The waves before are ready as far as they are to be, and so is what stands before it in its own.
    fn waves_open(&self, start: &Request, d: &Defined) -> Holds {
        let Some(own) = d.wave else { return Ok(()) };
        let here = |d: &&Defined| d.scale > 0 && self.project.services.contains_key(&d.name);
        for before in 0..own {
            let critical: Vec<&Defined> =
                in_wave(&self.version, before).filter(here).filter(|d| d.service.critical).collect();
            let ready = critical.iter().filter(|d| self.stands(start, d, readiness(d))).count();
            let all = critical.len();
            let needed = match self.settings.ready_when[before] {
                "any" => all.min(1),
                "2" => all.min(2),
                "50%" => all.div_ceil(2),
                _ => all,
            };
            ensure(ready >= needed, "no wave opens before the one before is ready", || {
                format!("{start}: {ready} of {needed} in wave {before}: {:?}", start.standing)
            })?;
        }
        let line: Vec<&Defined> = in_wave(&self.version, own).filter(|d| d.service.sequential).collect();
        let place = line.iter().position(|o| o.name == d.name).and_then(|n| n.checked_sub(1));
        let before = place.map(|n| line[n]).filter(|d| d.service.critical).filter(here);
        let open = before.is_none_or(|before| self.stands(start, before, readiness(before)));
        ensure(open, "what stands in a line starts one after the other", || format!("{start}"))
    }

    /// Whether all containers that a service is to have had come so far when a start was asked for.
    fn stands(&self, start: &Request, on: &Defined, waits: Waits) -> bool {
        // After a forced recreation the old one has the same image.
        let comparable = self.up().is_some_and(|up| !up.force_recreate);
        let current = |s: &&Standing| {
            s.service == on.name && !is_leftover(&s.name) && (!comparable || s.image == on.image)
        };
        let any = on.service.check == Check::Composite { any: true };
        let first = |s: &Standing| s.stages.contains("first");
        let holds = |s: &&Standing| match waits {
            Waits::Started => s.was_up,
            // An exit with 0 is as good as ready where nothing else is asked.
            Waits::Ready => s.was_ready || s.completed || (any && first(s)),
            Waits::Stage => first(s) || s.completed,
            Waits::Completed => s.completed,
        };
        let held = start.standing.iter().filter(current).filter(holds).count();
        let there = start.standing.iter().filter(current).count();
        // Commands that make nothing are about what is there.
        held >= if self.up().is_some() { on.scale as usize } else { there.min(on.scale as usize) }
    }

    fn starts_are_limited(&self) -> Holds {
        // Without a number they follow what the engine sustains, from 4 to 8 times as many.
        let limit = self.settings.max_parallel.filter(|_| !self.settings.plain).map_or(32, |n| n as usize);
        // What ran before and is started again when it exits is no part of the start.
        let counts = |r: &&Request| r.verb == Verb::Start && !self.ran_before(r);
        let starts: Vec<&Request> = self.requests.iter().filter(counts).collect();
        let at = |t: Duration| starts.iter().filter(|r| r.at <= t && r.ended.is_none_or(|e| e > t)).count();
        let most = starts.iter().map(|r| at(r.at)).max().unwrap_or(0);
        ensure(most <= limit, "no more starts are in flight than allowed", || format!("{most} of {limit}"))
    }

    /// Whatever the engine is asked for stands in the journal before.
    fn records_come_first(&self) -> Holds {
        for request in self.requests.iter().filter(|r| r.verb.changes()) {
            let Some(words) = words(request.verb) else { continue };
            let by_now = |e: &&Event| self.began + e.at.since_start() <= request.at;
            let told = self.journal.iter().take_while(by_now).any(|event| match &event.kind {
                EventKind::StepStarted { action, .. } => {
                    words.contains(&action.action) && self.is_about(request, action)
                }
                // What has been ready and is unhealthy is restarted without a step.
                EventKind::Service { replica, state: ServiceState::Restarting, .. } => {
                    replica.service == request.service && matches!(request.verb, Verb::Stop | Verb::Start)
                }
                _ => false,
            });
            ensure(told, "everything is recorded before it is asked for", || format!("{request}"))?;
        }
        Ok(())
    }

    fn is_about(&self, request: &Request, action: &StepAction) -> bool {
        let of_service = action.replica.as_ref().is_some_and(|r| r.service == request.service);
        // Orphans have no service here, and what is gone already is asked for by its ID.
        let nameless =
            action.replica.is_some() && request.service.is_empty() || !self.is_known(&request.service);
        action.target == request.subject || of_service || nameless
    }

    fn is_known(&self, service: &str) -> bool {
        service.is_empty() || self.version.values().any(|d| d.name == service)
    }

    fn nothing_is_changed(&self, error: &RunError) -> Holds {
        let changed = self.requests.iter().find(|r| r.verb.changes() && r.verb != Verb::Pull);
        ensure(changed.is_none(), "what cannot begin changes nothing", || format!("{error:?} {changed:?}"))
    }

    fn ends_once(&self, finished: &RunFinished) -> Holds {
        let ends = self.events.iter().filter(|e| matches!(e.kind, EventKind::RunFinished(_))).count();
        let last = self.events.last().map(|e| &e.kind) == Some(&EventKind::RunFinished(finished.clone()));
        let first = matches!(self.events.first().map(|e| &e.kind), Some(EventKind::RunStarted(_)));
        let numbered = (0u64..).zip(&self.events).all(|(n, e)| e.seq == n);
        ensure(ends == 1 && last && first && numbered, "a run begins and ends once", || {
            format!("{ends} ends; the last event is the end: {last}; numbered: {numbered}")
        })
    }

    /// The journal alone tells how the run ended and what became of its containers.
    fn is_replayed(&self, ended: &Ended) -> Holds {
        let is = "the journal tells the same as the run";
        ensure(self.journal == self.events, is, || format!("{:?}", self.journal))?;
        ensure(self.open.is_empty() || self.forced, is, || format!("under way: {:?}", self.open))?;
        let mut view = RunView::default();
        self.journal.iter().for_each(|event| view.apply(event));
        ensure(view.finished.as_ref() == Some(&ended.finished), is, || format!("{:?}", view.finished))?;
        for replica in &view.replicas {
            let Some(id) = &replica.container else { continue };
            let there = self.now.containers.iter().any(|c| c.id == *id);
            let agrees = match replica.state {
                ServiceState::Removed => !there,
                ServiceState::Ready | ServiceState::Degraded | ServiceState::Completed => there,
                _ => true,
            };
            ensure(agrees || self.forced, is, || format!("{replica:?} is there: {there}"))?;
        }
        Ok(())
    }

    fn leaves_what_it_says(&self, finished: &RunFinished) -> Holds {
        match self.act.command {
            Command::End(ending) => self.ends(ending, finished),
            Command::Up(_) => self.follows(finished),
        }
    }

    fn ends(&self, ending: Ending, finished: &RunFinished) -> Holds {
        let said = |name: &str| finished.left.iter().any(|l| l.contains(name));
        let interrupted = !self.act.cancels.is_empty();
        if ending == Ending::Down {
            if finished.verdict == Verdict::Succeeded && finished.left.is_empty() {
                self.is_gone()?;
            }
            if finished.verdict == Verdict::Failed {
                let unsaid = self.now.containers.iter().find(|c| !said(&c.name));
                ensure(unsaid.is_none() || interrupted, "what is left is told", || {
                    format!("{unsaid:?} {finished:?}")
                })?;
            }
            return Ok(());
        }
        let ids = |seen: &Seen| seen.containers.iter().map(|c| c.id.clone()).collect::<BTreeSet<_>>();
        let same = ids(&self.before) == ids(&self.now) || self.was_untidy;
        ensure(same, "what only stops or starts makes and removes nothing", || format!("{finished:?}"))?;
        if matches!(ending, Ending::Stop | Ending::Kill)
            && finished.verdict == Verdict::Succeeded
            && !self.jolted
        {
            let up = self.now.containers.iter().find(|c| {
                c.state == ContainerState::Running && c.service().is_some_and(|s| self.is_known(s))
            });
            ensure(up.is_none() || self.was_untidy, "what is stopped does not run", || format!("{up:?}"))?;
        }
        Ok(())
    }

    fn follows(&self, finished: &RunFinished) -> Holds {
        let ours = |c: &&Container| c.service().is_some_and(|s| self.project.services.contains_key(s));
        match (finished.verdict, finished.aftermath) {
            (Verdict::Succeeded, Aftermath::Kept) => self.everything_runs(finished),
            (_, Aftermath::RolledBack) => self.is_as_before(finished),
            (_, Aftermath::TornDown) => self.is_gone(),
            (_, Aftermath::Stopped) if !self.forced && !self.jolted => {
                let up = self.now.containers.iter().filter(ours).find(|c| c.state == ContainerState::Running);
                ensure(up.is_none(), "what is stopped does not run", || format!("{up:?}"))
            }
            (_, Aftermath::Stopped) => Ok(()),
            (_, Aftermath::Kept) => {
                let cancelled = self.cancelled();
                // A start that is tried again is a stop and a start: the second may follow when the first was asked.
                let changes =
                    |r: &&Request| r.verb.changes() && !matches!(r.verb, Verb::Start | Verb::Upload);
                let later = self.requests.iter().filter(changes).find(|r| r.at > cancelled);
                ensure(later.is_none(), "`keep` keeps everything", || format!("{later:?}"))
            }
            (_, Aftermath::Stuck) => self.says_what_is_left(finished),
        }
    }

    fn is_as_before(&self, finished: &RunFinished) -> Holds {
        let is = "after a rollback all is as it was before";
        ensure(finished.left.is_empty(), is, || format!("left {:?}", finished.left))?;
        // What an earlier run left is put right, or taken away.
        if self.was_untidy || !self.before.leftovers().is_empty() {
            return Ok(());
        }
        let essence = |seen: &Seen| -> Vec<(String, String, bool)> {
            // What ends by itself, or is ended by somebody else, may not run any more.
            let ends = |c: &Container| self.jolted || self.is_mortal(c) || self.could_not_be_started(c);
            let up = |c: &Container| c.state == ContainerState::Running && !ends(c);
            seen.containers.iter().map(|c| (c.name.clone(), c.id.clone(), up(c))).collect()
        };
        let (before, now) = (essence(&self.before), essence(&self.now));
        ensure(before == now, is, || format!("before {before:?}\nnow {now:?}"))?;
        let (before, now) = (&self.before.networks, &self.now.networks);
        ensure(before == now, is, || format!("before {before:?}, now {now:?}"))
    }

    /// What was there, was not healthy and could not be started again stays stopped: no step does that, none is undone.
    fn could_not_be_started(&self, container: &Container) -> bool {
        let is_it = |r: &&Request| r.verb == Verb::Start && r.subject == container.name;
        self.requests.iter().filter(is_it).any(|r| r.error.is_some())
    }

    /// Whether a container ends by itself at some time.
    fn is_mortal(&self, container: &Container) -> bool {
        let of_it = |d: &&Defined| container.service() == Some(&d.name);
        let fateful = container.image.ends_with(":2");
        fateful && self.version.values().find(of_it).is_none_or(|d| d.service.fate.ends())
    }

    /// Whatever this run made and did not remove stands among what it says is left.
    fn says_what_is_left(&self, finished: &RunFinished) -> Holds {
        if self.forced || self.was_untidy || self.act.cancels.len() > 1 {
            return Ok(());
        }
        let made = self.now.containers.iter().filter(|c| self.before.containers.iter().all(|b| b.id != c.id));
        let unsaid =
            made.clone().find(|c| !finished.left.iter().any(|l| l.contains(&c.name) || l.contains(&c.id)));
        let about_nothing = finished.left.iter().any(|l| !l.contains("p-") && !l.contains("p_"));
        ensure(unsaid.is_none() || about_nothing, "what is left is told", || {
            format!("{:?} is not in {:?}", unsaid.map(|c| &c.name), finished.left)
        })
    }

    /// Whether a container exited so shortly before the end that nobody can have heard of it.
    fn just_exited(&self, d: &Defined, container: &Container) -> bool {
        let after = match d.service.fate {
            Fate::Exits { after, .. } | Fate::OutOfMemory { after } => after,
            Fate::Flaky { .. } => 50,
            Fate::Well | Fate::NeverReady | Fate::UnreadyLater | Fate::Blinks => return false,
        };
        let mut starts = self.requests.iter().rev();
        let last = starts.find(|r| r.verb == Verb::Start && r.subject == container.name);
        last.is_some_and(|r| r.at + ms(d.service.start_takes + after + 20) >= self.end)
    }

    fn everything_runs(&self, finished: &RunFinished) -> Holds {
        let flags = self.up().unwrap_or_default();
        let is = "after success exactly what is wanted runs";
        let said = |name: &str| finished.left.iter().any(|l| l.contains(name));
        for d in self.wanted().filter(|d| !finished.degraded.contains(&d.name)) {
            let of_it = self.now.containers.iter().filter(|c| c.service() == Some(&d.name) && !said(&c.name));
            let (left, current): (Vec<&Container>, Vec<&Container>) =
                of_it.partition(|c| is_leftover(&c.name));
            ensure(left.is_empty(), is, || format!("left: {left:?}"))?;
            ensure(current.len() == d.scale as usize, is, || format!("{} of {}", current.len(), d.name))?;
            for c in current {
                let done = c.state == ContainerState::Exited && c.exit_code == Some(0);
                let up = matches!(c.state, ContainerState::Running | ContainerState::Restarting);
                // A plain file's containers may exit once they have run; what is watched may have ended since.
                let unwatched = self.settings.plain || flags.watch || flags.no_start || self.jolted;
                let fine = up || done || unwatched || self.just_exited(d, c);
                ensure(fine, is, || format!("{} is {:?}", c.name, c.state))?;
                let fresh = flags.no_start || self.jolted || c.image == d.image;
                ensure(fresh, is, || format!("{} is of {}", c.name, c.image))?;
            }
        }
        if flags.remove_orphans && flags.only.is_none() && finished.left.is_empty() {
            let orphan = self.now.containers.iter().find(|c| c.service().is_some_and(|s| !self.is_known(s)));
            ensure(orphan.is_none(), "orphans go where that is asked for", || format!("{orphan:?}"))?;
        }
        Ok(())
    }
}
