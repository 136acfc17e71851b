//! Questions to the engine that change nothing. An engine that does not answer is asked again, and nobody who wants
//! the run to end has to wait for it.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::{StreamExt as _, future::join};
use tokio::time::{Instant, sleep};

use super::Run;
use crate::{engine::EngineError, event::CancelReason, scheduler::Input, time::Backoff};

/// For how long an engine in trouble is asked again, where nothing has been changed yet.
const BEFORE: Duration = Duration::from_secs(1);
/// The same where something is to be put back: an engine that is started again needs this long.
const PUTTING_BACK: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq)]
pub enum AskError {
    /// The engine did not answer, or refused.
    Engine(EngineError),
    /// Somebody asked the run to end.
    Ended(CancelReason),
}

impl Run {
    /// Asks the engine something, before anything is changed.
    ///
    /// # Errors
    ///
    /// The engine does not tell, or a request to end has come.
    pub async fn ask<T, A>(&mut self, question: impl Fn() -> A) -> Result<T, AskError>
    where
        A: Future<Output = Result<T, EngineError>>,
    {
        self.ask_for(BEFORE, question).await
    }

    /// Asks the engine something that has to be known to put things back. Only a second request to end keeps it from
    /// that.
    ///
    /// # Errors
    ///
    /// The engine does not tell, or a second request to end has come.
    pub async fn ask_to_put_back<T, A>(&mut self, question: impl Fn() -> A) -> Result<T, AskError>
    where
        A: Future<Output = Result<T, EngineError>>,
    {
        self.putting_back = true;
        let answer = self.ask_for(PUTTING_BACK, question).await;
        self.putting_back = false;
        answer
    }

    async fn ask_for<T, A>(&mut self, patience: Duration, question: impl Fn() -> A) -> Result<T, AskError>
    where
        A: Future<Output = Result<T, EngineError>>,
    {
        let pauses = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let (began, mut tried) = (Instant::now(), 0);
        loop {
            match self.unless_ended(question()).await? {
                Ok(answer) => return Ok(answer),
                // One lost answer is never the end.
                Err(error) if !error.kind.may_pass() || (tried > 0 && began.elapsed() >= patience) => {
                    return Err(AskError::Engine(error));
                }
                Err(error) => tracing::debug!("the engine is asked again: {error}"),
            }
            self.unless_ended(sleep(pauses.pause(tried))).await?;
            tried += 1;
        }
    }

    /// Listens to the engine from now on, so that nothing is missed between a look and a plan's beginning.
    ///
    /// # Errors
    ///
    /// The engine cannot be heard yet, or a request to end has come.
    pub async fn listen(&mut self) -> Result<(), AskError> {
        if self.watch.is_live() {
            return Ok(());
        }
        let (engine, name) = (Arc::clone(&self.engine), self.project.name.clone());
        let stream = self.unless_ended(async move { engine.events(&name).await }).await?;
        self.watch.begin(stream.map_err(AskError::Engine)?);
        Ok(())
    }

    /// Asks the engine something while it begins to [`listen`](Self::listen): what happens after the answer is heard.
    ///
    /// # Errors
    ///
    /// The engine does not tell, or a request to end has come. That it cannot be heard yet is none.
    pub async fn ask_and_listen<T, A>(&mut self, question: impl Fn() -> A) -> Result<T, AskError>
    where
        A: Future<Output = Result<T, EngineError>>,
    {
        if self.watch.is_live() {
            return self.ask(question).await;
        }
        let (engine, name) = (Arc::clone(&self.engine), self.project.name.clone());
        let events = async move { engine.events(&name).await };
        let (stream, answer) = self.unless_ended(join(events, question())).await?;
        match stream {
            Ok(stream) => self.watch.begin(stream),
            // Tried again, and told, when a plan begins.
            Err(error) => tracing::debug!("the engine's events cannot be heard yet: {error}"),
        }
        match answer {
            Ok(answer) => Ok(answer),
            Err(_) => self.ask(question).await,
        }
    }

    /// Waits for something that changes nothing.
    pub(super) async fn unless_ended<T>(
        &mut self,
        something: impl Future<Output = T>,
    ) -> Result<T, AskError> {
        let mut something = pin!(something);
        loop {
            tokio::select! {
                biased;
                Some(request) = self.requests.next() => {
                    if let Input::Cancel(reason) = self.request(request) {
                        return Err(AskError::Ended(reason));
                    }
                }
                done = &mut something => return Ok(done),
            }
        }
    }
}
