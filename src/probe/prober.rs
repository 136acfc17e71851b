//! The one entry point: a check and a target in, a result out.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, timeout};

use super::{command, grpc, http::Http, log, tcp};
use crate::{
    engine::{Engine, EngineInfo},
    health::ProbeResult,
    plan::{ContainerDetail, ContainerState, EngineHealth},
    project::{Check, ContainerCondition, ProbeSpec},
};

/// Runs probes against the containers of one engine.
#[derive(Clone)]
pub struct Prober {
    engine: Arc<dyn Engine>,
    http: Http,
}

/// What is probed, as it was found when its container started.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// The container: its ID, addresses, process and start.
    pub detail: Arc<ContainerDetail>,
    /// The other services of the project, by key.
    pub peers: Arc<BTreeMap<String, Peer>>,
}

/// Another service of the project, at this moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Peer {
    /// Of its containers; `127.0.0.1` for `network_mode: host`.
    pub addresses: Vec<IpAddr>,
    /// It is ready.
    pub ready: bool,
    /// Names of the stages that it has passed.
    pub stages: Vec<String>,
}

impl Peer {
    /// A service with these containers: where it is reached, not yet how far it is.
    pub fn of<'a>(containers: impl IntoIterator<Item = &'a ContainerDetail>) -> Self {
        let running = containers.into_iter().filter(|detail| detail.state == ContainerState::Running);
        let addresses = running.flat_map(|detail| {
            let host = (detail.network_mode == "host").then_some(IpAddr::from(Ipv4Addr::LOCALHOST));
            let own = detail.networks.values().filter_map(|e| e.ip_address.parse().ok());
            host.into_iter().chain(own)
        });
        Self { addresses: addresses.collect(), ..Self::default() }
    }
}

/// What one kind of probe found, before it is timed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) passed: bool,
    pub(super) detail: String,
    pub(super) report: Option<serde_json::Value>,
}

impl Answer {
    pub(super) fn new(passed: bool, detail: impl Into<String>) -> Self {
        Self { passed, detail: detail.into(), report: None }
    }
}

/// What came of one way to the service.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Attempt {
    /// It answered: this is the result, whichever it is.
    Answered(Answer),
    /// It was reached, and nothing listens.
    Refused(String),
    /// This way does not lead there.
    Closed(String),
    /// It answered, and only the command that the check was written as can tell what that means.
    Unclear(String),
}

impl super::Probe for Prober {
    fn probe<'a>(
        &'a self,
        check: &'a Check,
        target: &'a Target,
    ) -> futures::future::BoxFuture<'a, ProbeResult> {
        Box::pin(Prober::probe(self, check, target))
    }
}

impl Prober {
    /// For the containers of this engine.
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        Self { engine, http: Http::new() }
    }

    /// Runs a check once, within its timeout. Whatever goes wrong is a failed result.
    pub async fn probe(&self, check: &Check, target: &Target) -> ProbeResult {
        let began = Instant::now();
        let answer = match timeout(check.timeout, self.ask(check, target)).await {
            Ok(answer) => answer,
            Err(_) => Answer::new(false, no_answer(check.timeout)),
        };
        let Answer { passed, detail, report } = answer;
        ProbeResult { passed, detail, took: began.elapsed(), report }
    }

    async fn ask(&self, check: &Check, target: &Target) -> Answer {
        match &check.probe {
            ProbeSpec::Http(probe) => {
                let answer = self.http.ask(probe, target, self.engine.info(), check.timeout).await;
                match (answer, &probe.command) {
                    (Attempt::Answered(answer), _) => answer,
                    (Attempt::Closed(_) | Attempt::Unclear(_), Some(command)) => {
                        command::ask(&*self.engine, &target.detail.id, command, check.timeout).await
                    }
                    (Attempt::Refused(why), _) | (Attempt::Closed(why) | Attempt::Unclear(why), None) => {
                        Answer::new(false, why)
                    }
                }
            }
            ProbeSpec::Tcp { host, port } => {
                tcp::ask(host.as_deref(), *port, target, self.engine.info(), check.timeout).await
            }
            ProbeSpec::Grpc { host, port, service } => {
                let server = (host.as_deref(), *port);
                grpc::ask(server, service, target, self.engine.info(), check.timeout).await
            }
            ProbeSpec::Exec { command } => {
                command::ask(&*self.engine, &target.detail.id, command, check.timeout).await
            }
            ProbeSpec::Log { pattern } => log::ask(&*self.engine, &target.detail, pattern).await,
            ProbeSpec::Container(condition) => self.container(*condition, target).await,
            ProbeSpec::Service { name, stage } => peer(target, name, stage.as_deref()),
        }
    }

    /// What the engine says of the container.
    async fn container(&self, condition: ContainerCondition, target: &Target) -> Answer {
        match self.engine.inspect(&target.detail.id).await {
            Ok(Some(detail)) => standing(condition, &detail),
            Ok(None) => Answer::new(false, "the container is gone"),
            Err(error) => Answer::new(false, error.to_string()),
        }
    }
}

/// Whether a container is as the check wants it.
fn standing(condition: ContainerCondition, detail: &ContainerDetail) -> Answer {
    let state = detail.state_words();
    match condition {
        ContainerCondition::Running => Answer::new(detail.state == ContainerState::Running, state),
        ContainerCondition::Exited => {
            Answer::new(detail.state == ContainerState::Exited && detail.exit_code == 0, state)
        }
        ContainerCondition::Healthy => match detail.health {
            Some(EngineHealth::Healthy) => Answer::new(true, "healthy"),
            Some(EngineHealth::Starting) => Answer::new(false, "health: starting"),
            Some(EngineHealth::Unhealthy) => Answer::new(false, unhealthy(detail)),
            None => Answer::new(false, "the container has no HEALTHCHECK"),
        },
    }
}

/// `unhealthy`, and the last words of its HEALTHCHECK.
fn unhealthy(detail: &ContainerDetail) -> String {
    match detail.last_health_output.as_deref().and_then(command::last_line) {
        Some(line) => format!("unhealthy: {line}"),
        None => "unhealthy".to_owned(),
    }
}

/// Whether another service is as far as the check wants it.
fn peer(target: &Target, name: &str, stage: Option<&str>) -> Answer {
    match (target.peers.get(name), stage) {
        (None, _) => Answer::new(false, format!("service {name} is not started")),
        (Some(peer), None) if peer.ready => Answer::new(true, format!("{name} is ready")),
        (Some(_), None) => Answer::new(false, format!("{name} is not ready")),
        (Some(peer), Some(stage)) if peer.stages.iter().any(|passed| passed == stage) => {
            Answer::new(true, format!("{name} has passed {stage}"))
        }
        (Some(_), Some(stage)) => Answer::new(false, format!("{name} has not passed {stage}")),
    }
}

/// What is said when a probe's time is over.
pub(super) fn no_answer(limit: Duration) -> String {
    format!("no answer within {}", words(limit))
}

/// A timeout in words: `3s`, `0.5s`.
pub(super) fn words(duration: Duration) -> String {
    format!("{}s", (duration.as_secs_f64() * 100.0).round() / 100.0)
}

/// Which ways lead to a port of the target, for every kind that needs one.
pub(super) fn reach(
    host: Option<&str>,
    port: u16,
    target: &Target,
    engine: &EngineInfo,
) -> super::route::Routes {
    super::route::Routes::find(host, port, target, engine)
}
