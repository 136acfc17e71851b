//! Services that are loaded on demand while an attached `up` stays: once what it starts is ready, and until it ends.
//!
//! Their addresses are listened on from the beginning, so that a port that somebody else has is told before anything is
//! started; who comes before all is ready waits. What was loaded ends with everything else.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use futures::FutureExt as _;
use tokio::sync::{mpsc, watch};

use super::{
    CliError, Invocation,
    activators::take_down,
    control::Claim,
    entry::note,
    ondemand::{self, OnDemand},
};
use crate::{
    engine::Engine,
    event::{CancelReason, Event, EventKind, Sink},
    executor::{Followed, Run},
    project::Project,
    report::{LogRecord, Reporter},
    supervisor::Ending,
};

/// Whose name stands before what is said of them.
const NAME: &str = "on demand";

/// How far an `up` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Starts,
    Stays,
    Ends,
    /// At once.
    Breaks,
}

/// What is loaded on demand beside an `up`.
pub(super) struct Attached {
    on_demand: OnDemand,
    /// Where it is said what becomes of them; before there is one, plainly.
    reporter: Arc<OnceLock<Reporter>>,
}

impl Attached {
    /// Begins to listen. `None`: nothing is loaded on demand, or somebody else does that.
    ///
    /// # Errors
    ///
    /// The project does not say how its services are reached, or an address cannot be had.
    pub(super) async fn begin(
        invocation: &Invocation,
        project: &Project,
        engine: &Arc<dyn Engine>,
    ) -> Result<Option<Self>, CliError> {
        if ondemand::services(project).next().is_none() {
            return Ok(None);
        }
        let claim = match Claim::take(invocation, &project.name, &engine.info().host, "up") {
            Ok(claim) => claim,
            Err(holder) => {
                note(&format!("services are loaded on demand by {holder}"));
                return Ok(None);
            }
        };
        let reporter = Arc::new(OnceLock::<Reporter>::new());
        let shown = Arc::clone(&reporter);
        let say = move |line: &str| match shown.get() {
            // An error means that nothing is shown any more.
            Some(reporter) => drop(reporter.log(LogRecord::new(NAME, NAME, line))),
            None => note(line),
        };
        let on_demand = Box::pin(ondemand::begin(invocation, project, engine, claim, say)).await?;
        Ok(on_demand.map(|on_demand| Self { on_demand, reporter }))
    }

    /// What goes on beside a run, to its end.
    pub(super) fn beside(
        mut self,
        run: &mut Run,
        reporter: &Reporter,
        followers: Option<mpsc::UnboundedSender<Followed>>,
    ) -> impl Future<Output = ()> + use<> {
        // It is set once.
        self.reporter.set(reporter.clone()).ok();
        let (phases, phase) = watch::channel(Phase::Starts);
        run.add_sink(Box::new(Phases(phases)));
        if let Some(followers) = followers {
            self.on_demand.set_followers(followers);
        }
        let (begins, breaks) = (phase.clone(), phase.clone());
        // It is never more than begun where the run ends before.
        self.on_demand.hold(reached(begins, Phase::Stays));
        async move {
            let (activators, claim) = (self.on_demand.activators(), self.on_demand.claim());
            tokio::select! {
                () = self.on_demand.stay(reached(phase, Phase::Ends).map(|()| Ending::Unload)) => {}
                () = reached(breaks, Phase::Breaks) => {}
            }
            if let Some(activators) = activators {
                take_down(&activators).await;
            }
            drop(claim);
        }
    }
}

/// Resolves once a run is this far; one that is gone is as far as it gets.
async fn reached(mut phases: watch::Receiver<Phase>, wanted: Phase) {
    // An error means that it is gone.
    phases.wait_for(|phase| *phase >= wanted).await.ok();
}

/// Knows from a run's events how far it is.
struct Phases(watch::Sender<Phase>);

impl Sink for Phases {
    fn emit(&mut self, event: &Event) -> io::Result<()> {
        let phase = match &event.kind {
            EventKind::Ready { .. } => Phase::Stays,
            EventKind::CancelRequested { reason: CancelReason::Forced } => Phase::Breaks,
            EventKind::CancelRequested { .. } | EventKind::Unwinding { .. } | EventKind::RunFinished(_) => {
                Phase::Ends
            }
            _ => return Ok(()),
        };
        // It never goes back.
        self.0.send_if_modified(|known| {
            let is_later = phase > *known;
            *known = phase.max(*known);
            is_later
        });
        Ok(())
    }
}
