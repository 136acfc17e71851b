//! What happens to a project: commands, one after the other, and what goes wrong meanwhile.

use std::time::Duration;

use docker_orch::{
    engine::{
        EngineErrorKind as Kind,
        sim::{Effect, Fault, Outage, SimEngine, Verb},
    },
    plan::{Container, ContainerState, EngineHealth},
    run::Ending,
};

use super::project::{Shape, ms};

/// A project and what happens to it.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) shape: Shape,
    pub(super) acts: Vec<Act>,
    /// There is another project on the engine.
    pub(super) strangers: bool,
}

/// One command, and what goes wrong while it is carried out.
#[derive(Debug, Clone)]
pub(super) struct Act {
    pub(super) command: Command,
    /// How long nothing is done before it, in milliseconds.
    pub(super) pause: u64,
    pub(super) slips: Vec<Slip>,
    /// At these milliseconds after its beginning.
    pub(super) jolts: Vec<(u64, Jolt)>,
    /// Requests to end, at these milliseconds after its beginning; whether by force.
    pub(super) cancels: Vec<(u64, bool)>,
    pub(super) killed: Option<Kill>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Command {
    Up(Up),
    End(Ending),
}

/// An `up` and its flags.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one switch is one flag of the command")]
pub(super) struct Up {
    /// Of the file.
    pub(super) version: usize,
    /// It stays attached.
    pub(super) watch: bool,
    pub(super) no_start: bool,
    pub(super) remove_orphans: bool,
    /// The one service that is named, by its place.
    pub(super) only: Option<usize>,
    pub(super) no_deps: bool,
    pub(super) force_recreate: bool,
}

/// When the process is gone, without a word.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kill {
    /// So many milliseconds after its beginning.
    After(u64),
    /// As soon as the record of this number is written.
    AtRecord(u64),
}

/// Something that goes wrong with one request, or with all of its kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slip {
    /// `None`: whatever changes something.
    pub(super) verb: Option<Verb>,
    /// From 1; 0: every one.
    pub(super) nth: u32,
    pub(super) effect: Effect,
}

/// Something that happens at a moment, whatever is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Jolt {
    Daemon(u64, Outage),
    BreakEvents,
    Deafen,
    /// The process of some container ends with this code.
    Crash(usize, i64),
    OutOfMemory(usize),
    /// The engine says that some container's HEALTHCHECK passes, or does not.
    Claim(usize, EngineHealth),
}

impl Command {
    /// As it is shown.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Up(Up { watch: true, .. }) => "up (attached)",
            Self::Up(_) => "up",
            Self::End(Ending::Down) => "down",
            Self::End(Ending::Stop) => "stop",
            Self::End(Ending::Kill) => "kill",
            Self::End(Ending::Start) => "start",
            Self::End(Ending::Restart) => "restart",
        }
    }
}

impl Act {
    /// A command in which nothing goes wrong.
    pub(super) fn calm(command: Command) -> Self {
        Self { command, pause: 0, slips: Vec::new(), jolts: Vec::new(), cancels: Vec::new(), killed: None }
    }

    /// An `up` of a version in which nothing goes wrong.
    pub(super) fn calm_up(version: usize) -> Self {
        Self::calm(Command::Up(Up { version, ..Up::default() }))
    }
}

impl Slip {
    pub(super) fn fault(&self) -> Fault {
        let effect = self.effect.clone();
        self.verb
            .map_or_else(|| Fault::on_change(effect.clone()), |v| Fault::on(v, effect.clone()))
            .nth(self.nth)
    }
}

/// A kind of trouble that a request meets, in words.
pub(super) fn name_of(effect: &Effect) -> &'static str {
    match effect {
        Effect::Fail(Kind::Unreachable) => "request refused: no connection",
        Effect::Fail(_) => "request fails (500)",
        Effect::Hang => "no answer, not done",
        Effect::Ambiguous => "done, connection lost",
        Effect::Late(time) if *time < Duration::from_secs(1) => "slow engine",
        Effect::Late(_) => "done, late answer",
        Effect::Unheard(_) => "done late, no answer",
    }
}

impl Jolt {
    /// In words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Daemon(_, Outage::LiveRestore) => "daemon restart, live-restore",
            Self::Daemon(_, Outage::TakesAll) => "daemon restart, containers die",
            Self::BreakEvents => "event stream breaks",
            Self::Deafen => "event stream goes deaf",
            Self::Crash(..) => "container exits",
            Self::OutOfMemory(_) => "container out of memory",
            Self::Claim(_, EngineHealth::Healthy) => "engine lies: healthy",
            Self::Claim(..) => "engine lies: unhealthy",
        }
    }

    /// Lets it happen; whether there was anything for it to happen to.
    pub(super) fn happens(self, sim: &SimEngine) -> bool {
        let of_project = |c: &Container| c.labels.get("com.docker.compose.project").is_some_and(|p| p == "p");
        let pick = |place: usize, filter: &dyn Fn(&Container) -> bool| {
            let mut up: Vec<Container> = sim.containers();
            up.retain(|c| c.state == ContainerState::Running && of_project(c) && filter(c));
            let n = place.checked_rem(up.len());
            n.map(|n| up[n].name.clone())
        };
        match self {
            Self::Daemon(away, outage) => sim.restart_daemon(ms(away), outage),
            Self::BreakEvents => sim.break_events(),
            Self::Deafen => sim.deafen(),
            Self::Crash(place, code) => {
                let Some(name) = pick(place, &|_| true) else { return false };
                sim.crash(&name, code);
            }
            Self::OutOfMemory(place) => {
                let Some(name) = pick(place, &|_| true) else { return false };
                sim.out_of_memory(&name);
            }
            Self::Claim(place, health) => {
                let Some(name) = pick(place, &|c| c.health.is_some()) else { return false };
                sim.say_health(&name, health);
            }
        }
        true
    }
}
