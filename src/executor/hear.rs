//! What becomes of one container outside any plan: the engine's events, heard one by one.

use std::sync::Arc;

use super::{
    Run,
    watch::{Reconnected, reconnect},
};
use crate::{
    engine::{EngineAction, EngineEvent},
    plan::ContainerState,
};

/// Something that ends what is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Its process has ended with this code.
    Exited(i64),
    /// It is gone.
    Gone,
}

impl Run {
    /// The next end of a container's process, or of the container. Nothing since [`Run::listen`] is missed, also when
    /// the connection breaks meanwhile. Safe to drop and call again.
    pub async fn hear(&mut self, container: &str) -> Heard {
        loop {
            if !self.watch.is_live() {
                let new = reconnect(Arc::clone(&self.engine), self.project.name.clone()).await;
                let missed = missed(&new, container);
                drop(self.watch.resume(new, &[]));
                if let Some(missed) = missed {
                    return missed;
                }
            }
            let event = self.watch.next().await;
            if let Some(heard) = event.filter(|e| e.container == container).and_then(|e| heard(&e)) {
                return heard;
            }
        }
    }
}

fn heard(event: &EngineEvent) -> Option<Heard> {
    match event.action {
        EngineAction::Died { code } => Some(Heard::Exited(code)),
        EngineAction::Removed => Some(Heard::Gone),
        _ => None,
    }
}

/// What happened while nobody listened.
fn missed(new: &Reconnected, container: &str) -> Option<Heard> {
    let Some(found) = new.containers.iter().find(|c| c.id == container) else { return Some(Heard::Gone) };
    let ended = matches!(found.state, ContainerState::Exited | ContainerState::Dead);
    ended.then(|| Heard::Exited(found.exit_code.unwrap_or(-1)))
}
