//! One invocation: its clock, its numbered events, and everything a plan needs to be carried out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::stream::BoxStream;
use tokio::{sync::mpsc, time::Instant};

use super::{CancelRequest, Lock, details::Details, watch::Watch};
use crate::{
    engine::Engine,
    event::{Event, EventKind, Sink},
    machine::Machine,
    plan::{Fingerprint, Fingerprints, ImageInfo, Observed},
    probe::Probe,
    project::{Project, Replica},
    time::Elapsed,
    tool::Tools,
};

/// One invocation. It may drive several plans, one after the other: what `up` plans, and what undoes it.
pub struct Run {
    pub(super) project: Arc<Project>,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) prober: Arc<dyn Probe>,
    pub(super) tools: Arc<Tools>,
    machine: Option<Arc<dyn Machine>>,
    sinks: Vec<Box<dyn Sink>>,
    pub(super) requests: BoxStream<'static, CancelRequest>,
    /// Requests to end so far: the second one kills.
    pub(super) requested: u32,
    /// What is driven undoes or ends what was driven before.
    pub(super) putting_back: bool,
    /// Where containers that came up are told to, for whoever shows their logs.
    pub(super) followers: Option<mpsc::UnboundedSender<Followed>>,
    pub(super) watch: Watch,
    /// What is known of containers that run, by ID: what probes need.
    pub(super) details: Details,
    /// Images that this run got, by reference.
    pub(super) images: BTreeMap<String, ImageInfo>,
    /// The project's, and how long to wait for it.
    pub(super) lock: Option<(Box<dyn Lock>, Duration)>,
    /// Another command has had it since this run let it go.
    pub(super) overtaken: bool,
    /// What is known of what containers were made from.
    pub(super) fingerprints: Arc<Fingerprints>,
    ledger: Option<Box<dyn Ledger>>,
    witness: Option<Box<dyn Witness>>,
    pub(super) quiet: Quiet,
    began: Instant,
    seq: u64,
}

/// Whose progress is not told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet {
    /// That of pulls.
    pub pulls: bool,
    /// That of builds.
    pub builds: bool,
}

/// Where it is noted what containers were made from.
pub trait Ledger: Send {
    /// A container was made.
    fn note(&mut self, container: &str, fingerprint: &Fingerprint);

    /// These are all that there are.
    fn keep_only(&mut self, containers: &BTreeSet<String>);
}

/// Is told what stands once everything that a plan asked for is ready, and nothing of it can be undone any more.
pub trait Witness: Send {
    /// `images`: the IDs of the images that its containers run, by service.
    fn stands(&mut self, images: &BTreeMap<String, String>);
}

/// A container that came up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// Which.
    pub replica: Replica,
    /// Its ID.
    pub container: String,
}

impl Run {
    /// An invocation that begins now.
    pub fn new(
        project: Arc<Project>,
        engine: Arc<dyn Engine>,
        prober: Arc<dyn Probe>,
        requests: BoxStream<'static, CancelRequest>,
    ) -> Self {
        Self {
            project,
            engine,
            prober,
            tools: Arc::default(),
            machine: None,
            sinks: Vec::new(),
            requests,
            requested: 0,
            putting_back: false,
            followers: None,
            watch: Watch::default(),
            details: Details::default(),
            images: BTreeMap::new(),
            lock: None,
            overtaken: false,
            fingerprints: Arc::default(),
            ledger: None,
            witness: None,
            quiet: Quiet::default(),
            began: Instant::now(),
            seq: 0,
        }
    }

    /// Hands every event to this sink too.
    pub fn add_sink(&mut self, sink: Box<dyn Sink>) {
        self.sinks.push(sink);
    }

    /// Lets it find the tools of this machine; without, it has none.
    pub fn set_tools(&mut self, tools: Tools) {
        self.tools = Arc::new(tools);
    }

    /// Lets it look around on this machine; without, nothing is known of it.
    pub fn set_machine(&mut self, machine: Arc<dyn Machine>) {
        self.machine = Some(machine);
    }

    /// The machine that it may look around on.
    pub fn machine(&self) -> Option<Arc<dyn Machine>> {
        self.machine.clone()
    }

    /// Goes on with another version of the project: what tools said is part of it.
    pub fn set_project(&mut self, project: Project) {
        self.project = Arc::new(project);
    }

    /// Tells of every container that comes up.
    pub fn set_followers(&mut self, followers: mpsc::UnboundedSender<Followed>) {
        self.followers = Some(followers);
    }

    /// Tells of a container that came up beside what a plan brings up.
    pub fn tell_followers(&self, replica: &Replica, container: &str) {
        if let Some(followers) = &self.followers {
            drop(followers.send(Followed { replica: replica.clone(), container: container.to_owned() }));
        }
    }

    /// What is known of what containers were made from, and where more is noted.
    pub fn set_fingerprints(&mut self, fingerprints: Fingerprints, ledger: Box<dyn Ledger>) {
        self.fingerprints = Arc::new(fingerprints);
        self.ledger = Some(ledger);
    }

    /// What is known of what containers were made from.
    pub fn fingerprints(&self) -> &Fingerprints {
        &self.fingerprints
    }

    /// Tells what stands once everything is ready for good.
    pub fn set_witness(&mut self, witness: Box<dyn Witness>) {
        self.witness = Some(witness);
    }

    pub(super) fn stands(&mut self, images: &BTreeMap<String, String>) {
        if let Some(witness) = &mut self.witness {
            witness.stands(images);
        }
    }

    /// Tells nothing of the progress of these.
    pub fn set_quiet(&mut self, quiet: Quiet) {
        self.quiet = quiet;
    }

    pub(super) fn note_fingerprint(&mut self, container: &str, fingerprint: &Fingerprint) {
        if let Some(ledger) = &mut self.ledger {
            ledger.note(container, fingerprint);
        }
    }

    /// Forgets containers that the engine does not have any more.
    pub fn forget_gone(&mut self, observed: &Observed) {
        if let Some(ledger) = &mut self.ledger {
            ledger.keep_only(&observed.containers.iter().map(|c| c.id.clone()).collect());
        }
    }

    /// The project that it is about.
    pub fn project(&self) -> &Arc<Project> {
        &self.project
    }

    /// The engine that it talks to.
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// How many requests to end have come.
    pub fn requested(&self) -> u32 {
        self.requested
    }

    /// The moment.
    pub fn now(&self) -> Elapsed {
        Elapsed::new(self.began.elapsed())
    }

    pub(super) fn instant(&self, at: Elapsed) -> Instant {
        self.began + at.since_start()
    }

    /// Numbers an event and hands it to every sink. A sink that fails is dropped: nobody reads it any more.
    pub fn announce(&mut self, kind: EventKind) {
        let event = Event { seq: self.seq, at: self.now(), kind };
        self.seq += 1;
        self.sinks.retain_mut(|sink| sink.emit(&event).is_ok());
    }
}
