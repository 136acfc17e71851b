//! What the simulated engine and its services will do, said before the run.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::record::{Request, Verb};
use crate::{
    engine::{EngineError, EngineErrorKind, EngineInfo},
    plan::{EngineFacts, EngineHealth},
};

/// Everything that a simulated engine will do by itself.
#[derive(Debug, Clone)]
pub struct Script {
    pub(super) info: EngineInfo,
    /// What it says of itself.
    pub(super) about: EngineFacts,
    /// `None`: every reference is an image that is there.
    pub(super) images: Option<BTreeMap<String, SimImage>>,
    /// What a pull finds; `None`: everything.
    pub(super) registry: Option<BTreeSet<String>>,
    pub(super) services: BTreeMap<String, Behaviour>,
    pub(super) by_image: BTreeMap<String, Behaviour>,
    pub(super) faults: Vec<Fault>,
    pub(super) taken_ports: BTreeSet<u16>,
    pub(super) volumes: BTreeSet<String>,
    pub(super) networks: BTreeSet<String>,
    pub(super) keeps_standings: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            info: EngineInfo {
                api_version: "1.51".to_owned(),
                server_version: "28.5.2".to_owned(),
                os: "linux".to_owned(),
                arch: "amd64".to_owned(),
                host: "sim://".to_owned(),
                local: true,
            },
            about: EngineFacts {
                machine: "sim".to_owned(),
                cpus: 4,
                memory: 16 << 30,
                data_root: "/var/lib/docker".to_owned(),
                storage_driver: "overlay2".to_owned(),
                cgroup_version: "2".to_owned(),
                cgroup_driver: "systemd".to_owned(),
                runtimes: vec!["io.containerd.runc.v2".to_owned(), "runc".to_owned()],
                ..EngineFacts::default()
            },
            images: None,
            registry: None,
            services: BTreeMap::new(),
            by_image: BTreeMap::new(),
            faults: Vec::new(),
            taken_ports: BTreeSet::new(),
            volumes: BTreeSet::new(),
            networks: BTreeSet::new(),
            keeps_standings: false,
        }
    }
}

impl Script {
    /// An engine that has every image, with services that run and are ready at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// Speaks this version of the API.
    #[must_use]
    pub fn api(mut self, version: &str) -> Self {
        version.clone_into(&mut self.info.api_version);
        self
    }

    /// Says this of itself.
    #[must_use]
    pub fn about(mut self, about: EngineFacts) -> Self {
        self.about = about;
        self
    }

    /// The engine has exactly the images that are named, here and by further calls.
    #[must_use]
    pub fn image(mut self, reference: &str, image: SimImage) -> Self {
        self.images.get_or_insert_default().insert(reference.to_owned(), image);
        self
    }

    /// The engine has no images but those named by [`Script::image`].
    #[must_use]
    pub fn no_images(mut self) -> Self {
        self.images.get_or_insert_default();
        self
    }

    /// A pull finds exactly the references that are named, here and by further calls.
    #[must_use]
    pub fn registry(mut self, reference: &str) -> Self {
        self.registry.get_or_insert_default().insert(reference.to_owned());
        self
    }

    /// How the containers of a service behave.
    #[must_use]
    pub fn service(mut self, service: &str, behaviour: Behaviour) -> Self {
        self.services.insert(service.to_owned(), behaviour);
        self
    }

    /// How containers of an image behave, whatever their service's behaviour is.
    #[must_use]
    pub fn running(mut self, image: &str, behaviour: Behaviour) -> Self {
        self.by_image.insert(image.to_owned(), behaviour);
        self
    }

    /// One more thing that goes wrong.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Something outside the engine listens on this host port.
    #[must_use]
    pub fn taken_port(mut self, port: u16) -> Self {
        self.taken_ports.insert(port);
        self
    }

    /// A volume without labels is there from the beginning.
    #[must_use]
    pub fn volume(mut self, name: &str) -> Self {
        self.volumes.insert(name.to_owned());
        self
    }

    /// A network without labels is there from the beginning.
    #[must_use]
    pub fn network(mut self, name: &str) -> Self {
        self.networks.insert(name.to_owned());
        self
    }

    /// Notes with each start how every container stood then. It takes time and memory that grow with their number.
    #[must_use]
    pub fn standings(mut self) -> Self {
        self.keeps_standings = true;
        self
    }
}

/// An image of the simulated engine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SimImage {
    /// `sha256:…`; empty: made from the reference.
    pub id: String,
    /// Its HEALTHCHECK's command.
    pub healthcheck: Option<Vec<String>>,
    /// Paths of its `VOLUME`s.
    pub volumes: Vec<String>,
}

/// What the containers of a service do. Times count from a container's start.
#[derive(Debug, Clone)]
pub struct Behaviour {
    pub(super) create_takes: Duration,
    pub(super) start_takes: Duration,
    pub(super) stop_takes: Duration,
    pub(super) term_exit: Option<i64>,
    pub(super) ready_after: Option<Duration>,
    pub(super) stages: BTreeMap<String, Duration>,
    pub(super) unready: Vec<(Duration, Duration)>,
    pub(super) exit: Option<Exit>,
    pub(super) log: Vec<(Duration, bool, String)>,
    pub(super) health: Vec<(Duration, EngineHealth)>,
    pub(super) exec: Vec<(String, i64, String)>,
    pub(super) exec_takes: Duration,
    pub(super) repeats_input: bool,
}

/// How a container's process ends by itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exit {
    pub(super) code: i64,
    pub(super) after: Duration,
    pub(super) oom: bool,
    /// Only the first starts of each replica; `None`: every start.
    pub(super) starts: Option<u32>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            create_takes: Duration::from_millis(30),
            start_takes: Duration::from_millis(80),
            stop_takes: Duration::from_millis(100),
            term_exit: Some(0),
            ready_after: Some(Duration::ZERO),
            stages: BTreeMap::new(),
            unready: Vec::new(),
            exit: None,
            log: Vec::new(),
            health: Vec::new(),
            exec: Vec::new(),
            exec_takes: Duration::from_millis(5),
            repeats_input: false,
        }
    }
}

impl Behaviour {
    /// Created in 30 ms, started in 80 ms, ready at once, gone 100 ms after TERM with code 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long `create` takes.
    #[must_use]
    pub fn create_takes(mut self, time: Duration) -> Self {
        self.create_takes = time;
        self
    }

    /// How long `start` takes.
    #[must_use]
    pub fn start_takes(mut self, time: Duration) -> Self {
        self.start_takes = time;
        self
    }

    /// How long the process lives on after TERM.
    #[must_use]
    pub fn stop_takes(mut self, time: Duration) -> Self {
        self.stop_takes = time;
        self
    }

    /// TERM does nothing: only KILL ends it.
    #[must_use]
    pub fn ignores_term(mut self) -> Self {
        self.term_exit = None;
        self
    }

    /// With what code it ends on TERM.
    #[must_use]
    pub fn term_exit(mut self, code: i64) -> Self {
        self.term_exit = Some(code);
        self
    }

    /// When its checks begin to pass.
    #[must_use]
    pub fn ready_after(mut self, time: Duration) -> Self {
        self.ready_after = Some(time);
        self
    }

    /// Its checks never pass.
    #[must_use]
    pub fn never_ready(mut self) -> Self {
        self.ready_after = None;
        self
    }

    /// When the checks of one stage begin to pass; other stages go by [`Behaviour::ready_after`].
    #[must_use]
    pub fn stage_after(mut self, stage: &str, time: Duration) -> Self {
        self.stages.insert(stage.to_owned(), time);
        self
    }

    /// Checks fail from the first time until the second.
    #[must_use]
    pub fn unready(mut self, from: Duration, until: Duration) -> Self {
        self.unready.push((from, until));
        self
    }

    /// The process ends by itself.
    #[must_use]
    pub fn exits(mut self, code: i64, after: Duration) -> Self {
        self.exit = Some(Exit { code, after, oom: false, starts: None });
        self
    }

    /// The process ends by itself on the first `starts` starts of each replica.
    #[must_use]
    pub fn exits_times(mut self, code: i64, after: Duration, starts: u32) -> Self {
        self.exit = Some(Exit { code, after, oom: false, starts: Some(starts) });
        self
    }

    /// The kernel ends the process for memory.
    #[must_use]
    pub fn out_of_memory(mut self, after: Duration) -> Self {
        self.exit = Some(Exit { code: 137, after, oom: true, starts: None });
        self
    }

    /// A line on standard output.
    #[must_use]
    pub fn log(mut self, at: Duration, line: &str) -> Self {
        self.log.push((at, false, line.to_owned()));
        self
    }

    /// A line on standard error.
    #[must_use]
    pub fn log_error(mut self, at: Duration, line: &str) -> Self {
        self.log.push((at, true, line.to_owned()));
        self
    }

    /// Every line of its input is a line of its output; it ends with 0 where that ends.
    #[must_use]
    pub fn repeats_input(mut self) -> Self {
        self.repeats_input = true;
        self
    }

    /// The engine's own health changes, whatever the checks say.
    #[must_use]
    pub fn health(mut self, at: Duration, health: EngineHealth) -> Self {
        self.health.push((at, health));
        self
    }

    /// How long a command in it takes.
    #[must_use]
    pub fn exec_takes(mut self, time: Duration) -> Self {
        self.exec_takes = time;
        self
    }

    /// A command whose words, joined by blanks, contain `words` answers so.
    #[must_use]
    pub fn exec(mut self, words: &str, code: i64, output: &str) -> Self {
        self.exec.push((words.to_owned(), code, output.to_owned()));
        self
    }
}

/// Something that goes wrong with one request, or with every request of its kind.
#[derive(Debug, Clone)]
pub struct Fault {
    verb: Option<Verb>,
    subject: Option<String>,
    /// Counting from 1; 0: every one.
    nth: u32,
    pub(super) effect: Effect,
    seen: u32,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Refused with this kind; nothing is done.
    Fail(EngineErrorKind),
    /// Never done; the caller gives up after 120 s.
    Hang,
    /// Done, but the answer is lost.
    Ambiguous,
    /// Done, answered this much later.
    Late(Duration),
    /// The connection breaks at once; done this much later.
    Unheard(Duration),
}

impl Fault {
    /// With every request of this verb.
    pub fn on(verb: Verb, effect: Effect) -> Self {
        Self { verb: Some(verb), subject: None, nth: 0, effect, seen: 0 }
    }

    /// With every request that changes something.
    pub fn on_change(effect: Effect) -> Self {
        Self { verb: None, subject: None, nth: 0, effect, seen: 0 }
    }

    /// Only where this is the thing's name or its service.
    #[must_use]
    pub fn of(mut self, subject: &str) -> Self {
        self.subject = Some(subject.to_owned());
        self
    }

    /// Only the n-th of them, from 1.
    #[must_use]
    pub fn nth(mut self, n: u32) -> Self {
        self.nth = n;
        self
    }

    /// Whether this request is the one; counts it.
    pub(super) fn meets(&mut self, request: &Request) -> bool {
        let verb = self.verb.map_or(request.verb.changes(), |v| v == request.verb);
        let subject = self.subject.as_ref().is_none_or(|s| *s == request.subject || *s == request.service);
        if !(verb && subject) {
            return false;
        }
        self.seen += 1;
        self.nth == 0 || self.nth == self.seen
    }
}

impl Effect {
    /// The error that the caller sees in the end, if any.
    pub(super) fn error(&self, verb: Verb) -> Option<EngineError> {
        match self {
            Self::Fail(kind) => Some(EngineError::new(*kind, format!("{verb} refused by the script"))),
            Self::Ambiguous => Some(lost()),
            Self::Hang | Self::Late(_) | Self::Unheard(_) => None,
        }
    }
}

/// What a caller sees whose connection broke before the answer.
pub(super) fn lost() -> EngineError {
    EngineError::new(EngineErrorKind::Ambiguous, "the connection to the engine broke")
}
