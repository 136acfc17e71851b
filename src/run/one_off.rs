//! `run`: what a one-off container needs is started as `up` starts it; then it runs, attached or not, to its end.

use std::{io, pin::Pin, sync::Arc, time::Duration};

use futures::{
    StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream, FuturesUnordered},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    Ended, Keep, RunError, UpRequest,
    stream::{Fed, Pumped, feed, pump},
    up::{DrivenStart, Nobody, Started, conclude, ended, start},
};
use crate::{
    engine::{AttachRequest, Engine, EngineError, TerminalSize},
    event::{Aftermath, EventKind, Failure, ServiceState, Verdict},
    executor::{Heard, Run, give_files, post_start},
    plan::{ContainerRef, OneOffTarget},
    project::{Replica, Service, SignedDuration},
};

/// How long the engine may take to remove a container that has ended.
const REMOVAL: Duration = Duration::from_secs(10);
/// How long the engine lets a container take to stop where nothing else is said.
const GRACE: Duration = Duration::from_secs(10);

/// Signals that end most programs; one of them for the third time kills.
const ENDING: [&str; 4] = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"];

/// The user's end of an attached container.
pub trait Terminal: Send {
    /// From now on what the user does to this program is meant for the container.
    ///
    /// # Errors
    ///
    /// It cannot be listened to.
    fn listen(&mut self) -> io::Result<BoxStream<'static, Gesture>>;

    /// The container runs: the streams are its own. Whatever this changes is put back when the streams are dropped.
    ///
    /// # Errors
    ///
    /// The terminal cannot be prepared.
    fn open(&mut self) -> io::Result<Streams>;
}

/// What somebody does to this program while a container has its streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gesture {
    /// A signal, by its name.
    Signal(&'static str),
    /// The terminal has this size, now or from now on.
    Size(TerminalSize),
}

/// The standard streams of this program.
pub struct Streams {
    /// `None`: the container gets no input.
    pub input: Option<Pin<Box<dyn AsyncRead + Send>>>,
    /// Standard output.
    pub out: Pin<Box<dyn AsyncWrite + Send>>,
    /// Standard error.
    pub err: Pin<Box<dyn AsyncWrite + Send>>,
    /// Keys that leave the container running; empty where there is no terminal.
    pub detach_keys: Vec<u8>,
    /// Puts the terminal back when it is dropped.
    pub restore: Box<dyn Send>,
}

/// How a one-off container is run.
pub enum Attention<'a> {
    /// To its end, with these streams.
    Attached {
        /// The user's end.
        terminal: &'a mut dyn Terminal,
        /// The keys that detach, as the Docker CLI's configuration writes them.
        detach_keys: Option<String>,
    },
    /// It is left to itself once it runs.
    Detached,
}

/// What came of a one-off container.
#[derive(Debug, Clone, PartialEq)]
pub enum OneOffEnd {
    /// It was not started, because something that it needs was not: why is among the failures.
    NotRun,
    /// The engine did not start it.
    Refused(EngineError),
    /// It has ended with this code.
    Exited(i64),
    /// It goes on without us.
    LeftRunning(ContainerRef),
    /// It was started, and then something went wrong that is not its own doing.
    Lost(String),
}

/// Carries a `run` out.
///
/// # Errors
///
/// Before anything is changed: the engine cannot say what there is, or the project cannot be planned.
pub async fn one_off(
    run: &mut Run,
    request: &UpRequest,
    keep: &dyn Keep,
    attention: Attention<'_>,
) -> Result<(Ended, OneOffEnd), RunError> {
    let mut started = match start(run, request, keep, &Nobody).await? {
        Started::Driven(started) => *started,
        Started::Over(ended) => return Ok((ended, OneOffEnd::NotRun)),
    };
    let target = request.options.one_off.clone().unwrap_or_default();
    let replica = Replica::one_off(&target.service);
    let created = started.driven.done.created.get(&replica).cloned();
    let (Verdict::Succeeded, Some(container)) = (started.driven.outcome.verdict, created) else {
        return Ok((conclude(run, request, keep, started).await, OneOffEnd::NotRun));
    };
    // What it needs is up; it alone is nobody else's concern.
    run.unlock();
    let service = run.project().services[target.service.as_str()].clone();
    let one_off = Running { target, service, container, replica, engine: Arc::clone(run.engine()) };
    let end = match one_off.run(run, attention).await {
        Ok(end) => end,
        Err(error) => {
            fail(&mut started, &one_off, &error.message);
            // Why is said at the end, with the failures.
            one_off.show(run, ServiceState::Failed, "");
            let left = one_off.discard().await;
            return Ok((ended(run, started.driven, Aftermath::Kept, left), OneOffEnd::Refused(error)));
        }
    };
    match &end {
        OneOffEnd::Exited(code) => {
            started.driven.outcome.exits.push((one_off.replica.clone(), *code));
            // Its code is its own affair: what it needed goes on, as with Compose.
            started.driven.outcome.verdict = if *code == 0 { Verdict::Succeeded } else { Verdict::Failed };
        }
        OneOffEnd::Lost(why) => fail(&mut started, &one_off, why),
        OneOffEnd::NotRun | OneOffEnd::Refused(_) | OneOffEnd::LeftRunning(_) => {}
    }
    Ok((ended(run, started.driven, Aftermath::Kept, Vec::new()), end))
}

/// A container that was not started, or was lost, fails the run as any other.
fn fail(started: &mut DrivenStart, one_off: &Running, reason: &str) {
    let outcome = &mut started.driven.outcome;
    outcome.verdict = Verdict::Failed;
    outcome.failures.push(Failure {
        service: one_off.target.service.clone(),
        reason: reason.to_owned(),
        ..Failure::default()
    });
}

/// A one-off container that is there.
struct Running {
    target: OneOffTarget,
    service: Service,
    container: ContainerRef,
    replica: Replica,
    engine: Arc<dyn Engine>,
}

/// Something that goes on beside the container.
type Aside = BoxFuture<'static, Result<(), EngineError>>;

impl Running {
    fn show(&self, run: &mut Run, state: ServiceState, cause: &str) {
        run.announce(EventKind::Service {
            replica: self.replica.clone(),
            state,
            cause: cause.to_owned(),
            container: Some(self.container.id.clone()),
        });
    }

    /// Starts it and stays as long as is asked for. An error: it was not started.
    async fn run(&self, run: &mut Run, attention: Attention<'_>) -> Result<OneOffEnd, EngineError> {
        let id = &self.container.id;
        // Heard again as soon as the engine can be: nothing is missed by it.
        drop(run.listen().await);
        self.show(run, ServiceState::Starting, "");
        let project = Arc::clone(run.project());
        let Attention::Attached { terminal, detach_keys } = attention else {
            give_files(self.engine.as_ref(), &project, &self.service, id).await?;
            self.engine.start(id).await?;
            run.tell_followers(&self.replica, id);
            self.show(run, ServiceState::Ready, "");
            return Ok(match self.hooks().await {
                Ok(()) => OneOffEnd::LeftRunning(self.container.clone()),
                Err(error) => OneOffEnd::Lost(error.message),
            });
        };
        let mut gestures = terminal.listen().map_err(|e| failed("signals cannot be listened to", &e))?;
        let request = AttachRequest { stdin: self.target.container.interactive, detach_keys };
        let begin = async {
            let attached = self.engine.attach(id, &request).await?;
            give_files(self.engine.as_ref(), &project, &self.service, id).await?;
            self.engine.start(id).await.map(|()| attached)
        };
        let (attached, early) = unless_interrupted(begin, &mut gestures).await?;
        let gestures = stream::iter(early).chain(gestures).boxed();
        run.tell_followers(&self.replica, id);
        self.show(run, ServiceState::Ready, "");
        let end = match terminal.open() {
            Ok(streams) => self.attend(run, attached, streams, gestures).await,
            Err(error) => {
                self.abandon().await;
                OneOffEnd::Lost(format!("the terminal cannot be prepared: {error}"))
            }
        };
        match &end {
            OneOffEnd::Exited(0) => self.show(run, ServiceState::Completed, ""),
            OneOffEnd::Exited(code) => {
                self.show(run, ServiceState::Failed, &format!("exited with code {code}"));
            }
            OneOffEnd::Lost(why) => self.show(run, ServiceState::Failed, why),
            OneOffEnd::NotRun | OneOffEnd::Refused(_) | OneOffEnd::LeftRunning(_) => {}
        }
        Ok(end)
    }

    /// Passes everything on, both ways, until the container has ended and all it wrote has been passed on.
    async fn attend(
        &self,
        run: &mut Run,
        attached: crate::engine::Attached,
        streams: Streams,
        mut gestures: BoxStream<'static, Gesture>,
    ) -> OneOffEnd {
        let Streams { input, out, err, detach_keys, restore } = streams;
        let _restored_at_the_end = restore;
        let mut output = std::pin::pin!(pump(attached.output, out, err));
        let mut input = std::pin::pin!(feed(input, attached.input, detach_keys));
        let (mut reading, mut feeding) = (true, true);
        let mut code = None;
        let mut hook_failed = None;
        let mut asides: FuturesUnordered<Aside> = FuturesUnordered::new();
        asides.push(self.hooks());
        let mut endings = 0;
        let mut unread = std::pin::pin!(tokio::time::sleep(self.grace() + REMOVAL));
        let mut stopped = false;
        while reading || code.is_none() {
            tokio::select! {
                Some(gesture) = gestures.next() => {
                    if matches!(gesture, Gesture::Signal(name) if ENDING.contains(&name)) {
                        endings += 1;
                        if code.is_some() || endings > 3 {
                            // Nobody waits for the rest.
                            break;
                        }
                    }
                    asides.push(self.pass_on(gesture, endings));
                }
                pumped = &mut output, if reading => {
                    reading = false;
                    match pumped {
                        Pumped::Ended => {}
                        // Nobody reads what it writes: it ends, as a writer to a closed pipe does.
                        Pumped::Unread => {
                            asides.push(self.stop());
                            unread.as_mut().reset(Instant::now() + self.grace() + REMOVAL);
                            stopped = true;
                        }
                        Pumped::Broken(error) if code.is_none() => {
                            self.abandon().await;
                            return OneOffEnd::Lost(format!("the connection to it broke: {error}"));
                        }
                        Pumped::Broken(error) => {
                            return OneOffEnd::Lost(format!("the end of its output is lost: {error}"));
                        }
                    }
                }
                fed = &mut input, if feeding => {
                    feeding = false;
                    if fed == Fed::Detached {
                        return OneOffEnd::LeftRunning(self.container.clone());
                    }
                }
                heard = run.hear(&self.container.id), if code.is_none() => match heard {
                    Heard::Exited(exit) => code = Some(exit),
                    Heard::Gone => return OneOffEnd::Lost("it was removed before it ended".to_owned()),
                },
                () = &mut unread, if stopped => break,
                Some(done) = asides.next() => {
                    if let Err(error) = done {
                        hook_failed = Some(error.message);
                    }
                }
            }
        }
        let Some(code) = code else {
            return OneOffEnd::Lost("it does not end: left as it is".to_owned());
        };
        self.removed(run).await;
        match hook_failed {
            Some(why) if code == 0 => OneOffEnd::Lost(why),
            _ => OneOffEnd::Exited(code),
        }
    }

    /// What the engine is asked for because of a gesture. It fails only where that is of no interest.
    fn pass_on(&self, gesture: Gesture, endings: u32) -> Aside {
        let (engine, id) = (Arc::clone(&self.engine), self.container.id.clone());
        Box::pin(async move {
            let passed = match gesture {
                Gesture::Signal(name) if ENDING.contains(&name) && endings > 2 => {
                    engine.kill(&id, "SIGKILL").await
                }
                Gesture::Signal(name) => engine.kill(&id, name).await,
                Gesture::Size(size) => engine.resize(&id, size).await,
            };
            if let Err(error) = passed {
                tracing::debug!("{gesture:?} cannot be passed on: {error}");
            }
            Ok(())
        })
    }

    /// Ends it as `stop` does. Whether that succeeds shows in its exit.
    fn stop(&self) -> Aside {
        let (engine, id) = (Arc::clone(&self.engine), self.container.id.clone());
        Box::pin(async move {
            if let Err(error) = engine.stop(&id, None).await {
                tracing::debug!("it cannot be stopped: {error}");
            }
            Ok(())
        })
    }

    /// How long it may take to stop.
    fn grace(&self) -> Duration {
        self.service.stop_grace_period.and_then(SignedDuration::positive).unwrap_or(GRACE)
    }

    /// The hooks after its start. One that a container has not lived to see has not failed.
    fn hooks(&self) -> Aside {
        let (engine, id) = (Arc::clone(&self.engine), self.container.id.clone());
        let service = self.service.clone();
        Box::pin(async move {
            match post_start(engine.as_ref(), &service, &id, &|_| {}).await {
                Err(error) if engine.inspect(&id).await.is_ok_and(|d| d.is_some_and(|d| d.pid > 0)) => {
                    Err(error)
                }
                _ => Ok(()),
            }
        })
    }

    /// Removes a container that was never started. What it needs goes on. What could not be removed.
    async fn discard(&self) -> Vec<String> {
        let removed = self.engine.remove(&self.container.id, true).await;
        removed.err().map(|error| format!("{}: {error}", self.container.name)).into_iter().collect()
    }

    /// A container that goes when it ends must not stay because nobody is attached any more.
    async fn abandon(&self) {
        if self.target.container.auto_remove
            && let Err(error) = self.engine.remove(&self.container.id, true).await
        {
            tracing::warn!("{} cannot be removed: {error}", self.container.name);
        }
    }

    /// Whoever comes next finds it gone.
    async fn removed(&self, run: &mut Run) {
        if self.target.container.auto_remove {
            let gone = async { while run.hear(&self.container.id).await != Heard::Gone {} };
            if tokio::time::timeout(REMOVAL, gone).await.is_err() {
                tracing::warn!("the engine has not removed {} yet", self.container.name);
            }
        }
    }
}

/// Waits for a container to be started, unless the user ends it first. What else was done meanwhile is for it.
async fn unless_interrupted<T>(
    begin: impl Future<Output = Result<T, EngineError>>,
    gestures: &mut BoxStream<'static, Gesture>,
) -> Result<(T, Vec<Gesture>), EngineError> {
    let mut begin = std::pin::pin!(begin);
    let mut early = Vec::new();
    loop {
        tokio::select! {
            done = &mut begin => return done.map(|done| (done, early)),
            Some(gesture) = gestures.next() => match gesture {
                Gesture::Signal(name) if ENDING.contains(&name) => {
                    let message = format!("ended by {name} before it was started");
                    return Err(EngineError::new(crate::engine::EngineErrorKind::Failed, message));
                }
                other => early.push(other),
            },
        }
    }
}

fn failed(what: &str, error: &io::Error) -> EngineError {
    EngineError::new(crate::engine::EngineErrorKind::Failed, format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_done_before_the_start_is_kept_or_ends_it() {
        let size = Gesture::Size(TerminalSize { rows: 1, columns: 2 });
        let others = || vec![Gesture::Signal("SIGUSR1"), size];
        let slow = || async {
            for _ in 0..9 {
                tokio::task::yield_now().await;
            }
            Ok(7)
        };
        let mut gestures = stream::iter(others()).chain(stream::pending()).boxed();
        assert_eq!(unless_interrupted(slow(), &mut gestures).await, Ok((7, others())));
        let mut gestures = stream::iter(others()).chain(stream::iter([Gesture::Signal("SIGTERM")])).boxed();
        let never = std::future::pending::<Result<(), EngineError>>();
        let error = unless_interrupted(never, &mut gestures).await.expect_err("ended");
        assert_eq!(error.message, "ended by SIGTERM before it was started");
    }
}
