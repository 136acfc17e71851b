//! What OpenTelemetry is told: each run as a trace, sent as OTLP's JSON over HTTP to where the environment says.
//!
//! | variable | |
//! | --- | --- |
//! | `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` | where to, as it stands |
//! | `OTEL_EXPORTER_OTLP_ENDPOINT` | where to, with `/v1/traces` behind it |
//! | `OTEL_EXPORTER_OTLP_TRACES_HEADERS`, `OTEL_EXPORTER_OTLP_HEADERS` | what goes with it |
//! | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | what the trace belongs to |
//! | `TRACEPARENT` | the trace that the run is a part of |
//! | `OTEL_SDK_DISABLED` | `true`: nothing is sent |

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use serde_json::Value;
use tokio::task::JoinHandle;

use crate::{
    event::{Event, EventKind, Sink},
    report::{Resource, otlp_json, pairs_of, parent_of},
};

/// A run that goes on when everything is ready is sent so long after: what ends soon is sent once, with its end.
const SOON: Duration = Duration::from_secs(5);
/// How long sending may take: nobody waits for it.
const PATIENCE: Duration = Duration::from_secs(3);

/// Sends runs. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Exporter {
    collector: Arc<Collector>,
    /// Runs that have begun and that nothing was sent of.
    open: Arc<Mutex<Vec<Arc<Mutex<Recorded>>>>>,
}

/// Where to, and with what.
#[derive(Debug)]
struct Collector {
    url: String,
    headers: BTreeMap<String, String>,
    resource: Resource,
}

/// A run so far.
#[derive(Debug)]
struct Recorded {
    began: SystemTime,
    /// `None`: it was sent.
    events: Option<Vec<Event>>,
    /// It will be sent.
    sending: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Where the environment says; `None`: it says nothing.
    pub(super) fn of(env: &BTreeMap<String, String>) -> Option<Self> {
        let variable = |name: &str| env.get(name).map(String::as_str).filter(|value| !value.is_empty());
        if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return None;
        }
        let of_all =
            || Some(format!("{}/v1/traces", variable("OTEL_EXPORTER_OTLP_ENDPOINT")?.trim_end_matches('/')));
        let url = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").map(str::to_owned).or_else(of_all)?;
        let headers =
            variable("OTEL_EXPORTER_OTLP_TRACES_HEADERS").or_else(|| variable("OTEL_EXPORTER_OTLP_HEADERS"));
        let mut attributes = variable("OTEL_RESOURCE_ATTRIBUTES").map(pairs_of).unwrap_or_default();
        let name = variable("OTEL_SERVICE_NAME").map(str::to_owned);
        let name = name.or_else(|| attributes.get("service.name").cloned());
        attributes.insert("service.name".to_owned(), name.unwrap_or_else(|| "docker-orch".to_owned()));
        attributes.insert("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        let resource = Resource { attributes, parent: variable("TRACEPARENT").and_then(parent_of) };
        let headers = headers.map(pairs_of).unwrap_or_default();
        let collector = Collector { url, headers, resource };
        Some(Self { collector: Arc::new(collector), open: Arc::default() })
    }

    /// Takes the events of a run that begins now.
    pub(super) fn sink(&self, now: SystemTime) -> ExporterSink {
        let recorded = Recorded { began: now, events: Some(Vec::new()), sending: None };
        let recorded = Arc::new(Mutex::new(recorded));
        held(&self.open).push(Arc::clone(&recorded));
        ExporterSink { collector: Arc::clone(&self.collector), recorded }
    }

    /// Sends what was not sent yet.
    pub(super) async fn finish(&self) {
        let open = std::mem::take(&mut *held(&self.open));
        for recorded in open {
            let sending = held(&recorded).sending.take();
            if let Some(sending) = sending {
                sending.abort();
                // Cancelled, or over: either is fine.
                drop(sending.await);
            }
            send(&self.collector, &recorded).await;
        }
    }
}

/// The events of one run.
pub(super) struct ExporterSink {
    collector: Arc<Collector>,
    recorded: Arc<Mutex<Recorded>>,
}

impl Sink for ExporterSink {
    fn emit(&mut self, event: &Event) -> io::Result<()> {
        if event.kind.is_droppable() {
            return Ok(());
        }
        let mut recorded = held(&self.recorded);
        // A start is what a trace is about; what is watched afterwards has no end.
        let Some(events) = &mut recorded.events else { return Err(io::ErrorKind::BrokenPipe.into()) };
        events.push(event.clone());
        if matches!(event.kind, EventKind::Ready { .. }) && recorded.sending.is_none() {
            let (collector, own) = (Arc::clone(&self.collector), Arc::clone(&self.recorded));
            recorded.sending = Some(tokio::spawn(async move {
                tokio::time::sleep(SOON).await;
                send(&collector, &own).await;
            }));
        }
        Ok(())
    }
}

/// Sends a run, once. Whoever does not take it is told of in passing.
async fn send(collector: &Collector, recorded: &Mutex<Recorded>) {
    let trace = {
        let mut recorded = held(recorded);
        let Some(events) = recorded.events.take() else { return };
        otlp_json(&events, recorded.began, &collector.resource)
    };
    let Some(trace) = trace else { return };
    if let Err(why) = post(collector, &trace).await {
        tracing::warn!("the trace was not taken by {}: {why}", collector.url);
    }
}

async fn post(collector: &Collector, trace: &Value) -> Result<(), String> {
    // Two clients of one TLS library in one process must agree on its provider; the first to come sets it.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().timeout(PATIENCE).build().map_err(|error| error.to_string())?;
    let mut request = client.post(&collector.url).header("content-type", "application/json");
    for (name, value) in &collector.headers {
        request = request.header(name, value);
    }
    let answer = request.body(trace.to_string()).send().await.map_err(|error| error.to_string())?;
    let status = answer.status();
    if status.is_success() { Ok(()) } else { Err(status.to_string()) }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Option<Exporter> {
        Exporter::of(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn the_environment_says_where_to() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");
        let url = |pairs: &[(&str, &str)]| of(pairs).map(|exporter| exporter.collector.url.clone());
        assert_eq!(url(&[]), None);
        assert_eq!(url(&[endpoint]).as_deref(), Some("http://collector:4318/v1/traces"));
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://other/x");
        assert_eq!(url(&[endpoint, own]).as_deref(), Some("http://other/x"));
        assert_eq!(url(&[endpoint, ("OTEL_SDK_DISABLED", "true")]), None);
    }

    #[test]
    fn the_environment_says_what_the_trace_belongs_to() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        let name = |pairs: &[(&str, &str)]| {
            of(&[pairs, &[endpoint]].concat()).unwrap().collector.resource.attributes["service.name"].clone()
        };
        let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=ci,team=a");
        assert_eq!(name(&[]), "docker-orch");
        assert_eq!(name(&[attributes]), "ci");
        assert_eq!(name(&[attributes, ("OTEL_SERVICE_NAME", "mine")]), "mine");
    }
}
