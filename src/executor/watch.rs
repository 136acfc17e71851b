//! The engine's event stream, kept alive.
//!
//! Events that happen while the connection is away are lost, so after each reconnection the containers are listed
//! again and what they are now is told as if it had just happened. A connection that stays and tells nothing is
//! recognised by the start of a container that it does not tell of.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, stream::BoxStream};
use tokio::time::Instant;

use crate::{
    engine::{Engine, EngineAction, EngineError, EngineEvent, Scope},
    plan::{Container, ContainerState, EngineHealth},
    scheduler::{ContainerChange, Exit, Input},
};

/// Between two tries to reach the engine again.
const PAUSE: Duration = Duration::from_millis(250);
/// The engine tells of a start within milliseconds.
const DEAF: Duration = Duration::from_secs(10);

/// An event stream, or none yet.
#[derive(Default)]
pub(super) struct Watch {
    stream: Option<BoxStream<'static, Result<EngineEvent, EngineError>>>,
    /// Somebody is about to bring a new stream.
    pub(super) reconnecting: bool,
    /// Containers whose start was told of, and whose start the engine has not answered yet.
    told: BTreeSet<String>,
    /// Containers whose start the engine answered and has not told of, and since when.
    untold: BTreeMap<String, Instant>,
}

/// A new stream, and what the containers are now.
pub(super) struct Reconnected {
    stream: BoxStream<'static, Result<EngineEvent, EngineError>>,
    pub(super) containers: Vec<Container>,
}

impl Watch {
    /// Listens from now on.
    pub(super) fn begin(&mut self, stream: BoxStream<'static, Result<EngineEvent, EngineError>>) {
        self.told.clear();
        self.untold.clear();
        self.stream = Some(stream);
    }

    /// The engine has started a container: that must be told of, before or after.
    pub(super) fn expect_start(&mut self, container: &str) {
        if !self.told.remove(container) && self.is_live() {
            self.untold.insert(container.to_owned(), Instant::now());
        }
    }

    /// When a stream that has not told of a start is given up.
    pub(super) fn deaf_at(&self) -> Option<Instant> {
        self.untold.values().min().map(|since| *since + DEAF)
    }

    /// Listens to this stream no more.
    pub(super) fn give_up(&mut self) {
        self.untold.clear();
        self.stream = None;
    }

    /// Whether there is a stream to listen to.
    pub(super) fn is_live(&self) -> bool {
        self.stream.is_some()
    }

    /// The next event; `None` when the stream has ended. Safe to drop and call again.
    pub(super) async fn next(&mut self) -> Option<EngineEvent> {
        let next = match &mut self.stream {
            Some(stream) => stream.next().await,
            None => std::future::pending().await,
        };
        if let Some(Ok(event)) = next {
            if event.action == EngineAction::Started && self.untold.remove(&event.container).is_none() {
                self.told.insert(event.container.clone());
            }
            return Some(event);
        }
        self.give_up();
        None
    }

    /// Takes up a new stream: what has changed meanwhile. `known`: containers that were there before it.
    pub(super) fn resume(&mut self, new: Reconnected, known: &[String]) -> Vec<Input> {
        self.begin(new.stream);
        self.reconnecting = false;
        let gone = known.iter().filter(|id| !new.containers.iter().any(|c| c.id == **id));
        let gone = gone.map(|id| Input::Container {
            id: id.clone(),
            change: ContainerChange::Died(Exit { code: -1, told: false }),
        });
        new.containers.iter().flat_map(states).chain(gone).collect()
    }
}

/// Tries until the engine answers.
pub(super) async fn reconnect(engine: Arc<dyn Engine>, project: String) -> Reconnected {
    loop {
        if let Ok(stream) = engine.events(&project).await {
            let scope = Scope { project: project.clone(), ..Scope::default() };
            if let Ok(observed) = engine.observe(&scope).await {
                return Reconnected { stream, containers: observed.containers };
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What a container is now, as changes.
fn states(container: &Container) -> Vec<Input> {
    let change = |change| Input::Container { id: container.id.clone(), change };
    match container.state {
        ContainerState::Running | ContainerState::Restarting | ContainerState::Paused => {
            let health = match container.health {
                Some(EngineHealth::Healthy) => Some(ContainerChange::Healthy),
                Some(EngineHealth::Unhealthy) => Some(ContainerChange::Unhealthy),
                Some(EngineHealth::Starting) | None => None,
            };
            [Some(ContainerChange::Started), health].into_iter().flatten().map(change).collect()
        }
        ContainerState::Exited | ContainerState::Dead => {
            let code = container.exit_code.unwrap_or(-1);
            let exit = Exit { code, told: false };
            vec![change(ContainerChange::Started), change(ContainerChange::Died(exit))]
        }
        ContainerState::Created | ContainerState::Removing => Vec::new(),
    }
}

/// What an event means for the scheduler.
pub(super) fn input(event: &EngineEvent) -> Option<Input> {
    let change = match &event.action {
        EngineAction::Started | EngineAction::Restarted => ContainerChange::Started,
        EngineAction::Died { code } => ContainerChange::Died(Exit { code: *code, told: true }),
        EngineAction::OutOfMemory => ContainerChange::OutOfMemory,
        EngineAction::Health(EngineHealth::Healthy) => ContainerChange::Healthy,
        EngineAction::Health(EngineHealth::Unhealthy) => ContainerChange::Unhealthy,
        EngineAction::Health(EngineHealth::Starting)
        | EngineAction::Created
        | EngineAction::Stopped
        | EngineAction::Paused
        | EngineAction::Unpaused
        | EngineAction::Renamed
        | EngineAction::Removed
        | EngineAction::Other(_) => return None,
    };
    Some(Input::Container { id: event.container.clone(), change })
}
