//! A run as a trace for OpenTelemetry: a span for the run, one for each wave and container, and below that of a container
//! its states, its stages and the steps that the engine was asked for.
//!
//! This writes OTLP's JSON itself. The crates that do so would add a hundred others for one kind of request.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    event::{Event, EventKind, RunStarted, ServiceState, StageStatus, StepAction, Verdict},
    project::Replica,
    time::Elapsed,
};

/// What a trace belongs to.
#[derive(Debug, Clone, Default)]
pub struct Resource {
    /// `service.name`, and what the environment adds.
    pub attributes: BTreeMap<String, String>,
    /// The trace and the span that the run is part of, as 32 and 16 hexadecimal digits; `None`: it is its own.
    pub parent: Option<(String, String)>,
}

/// The body of a request that exports a run: `ExportTraceServiceRequest`. `began`: the wall time of its first moment.
/// `None`: the run never began.
pub fn otlp_json(events: &[Event], began: SystemTime, resource: &Resource) -> Option<Value> {
    let mut run = None;
    for event in events {
        if let EventKind::RunStarted(started) = &event.kind {
            run = Some(started);
        }
    }
    let mut spans = Spans::new(run?, began, resource);
    for event in events {
        spans.take(event);
    }
    let attributes: Vec<Value> = resource.attributes.iter().map(|(key, value)| text(key, value)).collect();
    let scope = json!({"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")});
    Some(json!({"resourceSpans": [{
        "resource": {"attributes": attributes},
        "scopeSpans": [{"scope": scope, "spans": spans.finish()}],
    }]}))
}

/// One span.
#[derive(Debug, Clone)]
struct Span {
    id: String,
    parent: Option<String>,
    name: String,
    began: Elapsed,
    ended: Option<Elapsed>,
    attributes: Vec<Value>,
    /// Why it failed.
    failed: Option<String>,
}

struct Spans {
    trace: String,
    /// What makes IDs of this run differ from those of all others.
    seed: String,
    began: SystemTime,
    at: Elapsed,
    all: Vec<Span>,
    waves: BTreeMap<String, usize>,
    replicas: BTreeMap<Replica, Life>,
    steps: BTreeMap<u32, usize>,
}

/// A container's span, and those below it that are open.
#[derive(Debug, Clone, Copy)]
struct Life {
    span: usize,
    state: Option<(ServiceState, usize)>,
    stage: Option<usize>,
}

/// The span of the run is the first.
const RUN: usize = 0;

impl Spans {
    fn new(run: &RunStarted, began: SystemTime, resource: &Resource) -> Self {
        let (trace, parent) = match &resource.parent {
            Some((trace, span)) => (trace.clone(), Some(span.clone())),
            None => (hex(&run.run, 16), None),
        };
        let mut this = Self {
            trace,
            seed: run.run.clone(),
            began,
            at: Elapsed::ZERO,
            all: Vec::new(),
            waves: BTreeMap::new(),
            replicas: BTreeMap::new(),
            steps: BTreeMap::new(),
        };
        let name = format!("docker orch {}", run.command);
        let attributes = vec![
            text("docker_orch.project", &run.project),
            text("docker_orch.run", &run.run),
            text("docker_orch.engine", &run.engine),
        ];
        let span = this.open(name, Elapsed::ZERO, None, attributes);
        this.all[span].parent = parent;
        for info in &run.services {
            for &number in &info.replicas {
                let replica = Replica { service: info.service.clone(), number };
                let mut attributes = vec![
                    text("docker_orch.service", &info.service),
                    json!({"key": "docker_orch.critical", "value": {"boolValue": info.critical}}),
                ];
                attributes.extend(info.wave.iter().map(|wave| text("docker_orch.wave", wave)));
                let span = this.open(replica.to_string(), Elapsed::ZERO, Some(RUN), attributes);
                this.replicas.insert(replica, Life { span, state: None, stage: None });
            }
        }
        this
    }

    fn open(&mut self, name: String, at: Elapsed, parent: Option<usize>, attributes: Vec<Value>) -> usize {
        let id = hex(&format!("{} {}", self.seed, self.all.len()), 8);
        let parent = parent.map(|parent| self.all[parent].id.clone());
        self.all.push(Span { id, parent, name, began: at, ended: None, attributes, failed: None });
        self.all.len() - 1
    }

    fn close(&mut self, span: usize, failed: Option<&str>) {
        let span = &mut self.all[span];
        span.ended = Some(self.at);
        span.failed = failed.map(str::to_owned);
    }

    fn take(&mut self, event: &Event) {
        self.at = event.at;
        match &event.kind {
            EventKind::WaveOpened { wave } => {
                let span = self.open(format!("wave {wave}"), event.at, Some(RUN), Vec::new());
                self.waves.insert(wave.clone(), span);
            }
            EventKind::WaveReady { wave } => self.end_wave(wave, None),
            EventKind::WaveFailed { wave, reason } => self.end_wave(wave, Some(reason)),
            EventKind::StepStarted { step, action, .. } => {
                let parent = action.replica.as_ref().and_then(|replica| self.replicas.get(replica));
                let parent = parent.map_or(RUN, |life| life.span);
                let span = self.open(words(action), event.at, Some(parent), Vec::new());
                self.steps.insert(*step, span);
            }
            EventKind::StepDone { step, .. } => self.end_step(*step, None),
            EventKind::StepFailed { step, error, .. } => self.end_step(*step, Some(error)),
            EventKind::Service { replica, state, cause, .. } => self.enter(replica, *state, cause),
            EventKind::Stage { replica, stage, status, cause, .. } => {
                self.stage(replica, stage, *status, cause);
            }
            EventKind::RunFinished(finished) => {
                let why = finished.failures.first().map(|f| format!("{}: {}", f.service, f.reason));
                let failed = (finished.verdict != Verdict::Succeeded).then(|| why.unwrap_or_default());
                self.close(RUN, failed.as_deref());
            }
            _ => {}
        }
    }

    fn end_wave(&mut self, wave: &str, failed: Option<&str>) {
        if let Some(span) = self.waves.remove(wave) {
            self.close(span, failed);
        }
    }

    fn end_step(&mut self, step: u32, failed: Option<&str>) {
        if let Some(span) = self.steps.remove(&step) {
            self.close(span, failed);
        }
    }

    /// A container's span lasts until it is where it is meant to end up, as far as is known.
    fn enter(&mut self, replica: &Replica, state: ServiceState, cause: &str) {
        let Some(mut life) = self.replicas.get(replica).copied() else { return };
        if life.state.is_some_and(|(before, _)| before == state) {
            return;
        }
        if let Some((_, span)) = life.state.take() {
            self.close(span, None);
        }
        if super::is_settled(state) {
            let failed = matches!(state, ServiceState::Failed | ServiceState::Skipped).then_some(cause);
            self.close(life.span, failed);
        } else {
            let span = self.open(state.word().to_owned(), self.at, Some(life.span), Vec::new());
            life.state = Some((state, span));
        }
        self.replicas.insert(replica.clone(), life);
    }

    fn stage(&mut self, replica: &Replica, stage: &str, status: StageStatus, cause: &str) {
        let Some(mut life) = self.replicas.get(replica).copied() else { return };
        if let Some(span) = life.stage.take() {
            let failed = matches!(status, StageStatus::Failed | StageStatus::Degraded).then_some(cause);
            self.close(span, failed);
        }
        if status == StageStatus::Started {
            let parent = life.state.map_or(life.span, |(_, span)| span);
            life.stage = Some(self.open(format!("stage {stage}"), self.at, Some(parent), Vec::new()));
        }
        self.replicas.insert(replica.clone(), life);
    }

    fn finish(self) -> Vec<Value> {
        let nanos = |at: Elapsed| {
            let at = self.began + at.since_start();
            at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
        };
        let one = |span: &Span| {
            let mut value = json!({
                "traceId": self.trace,
                "spanId": span.id,
                "name": span.name,
                "kind": 1,
                "startTimeUnixNano": nanos(span.began),
                "endTimeUnixNano": nanos(span.ended.unwrap_or(self.at)),
                "attributes": span.attributes,
                "status": match &span.failed {
                    Some(why) => json!({"code": 2, "message": why}),
                    None => json!({}),
                },
            });
            if let Some(parent) = &span.parent {
                value["parentSpanId"] = json!(parent);
            }
            value
        };
        self.all.iter().map(one).collect()
    }
}

fn words(action: &StepAction) -> String {
    let verb = serde_json::to_value(action.action).unwrap_or_default();
    format!("{} {}", verb.as_str().unwrap_or_default(), action.target)
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// So many bytes that are the same for the same text.
fn hex(seed: &str, bytes: usize) -> String {
    Sha256::digest(seed).iter().take(bytes).fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

/// The parent that `TRACEPARENT` names, as W3C Trace Context has it: `00-TRACE-SPAN-01`.
pub fn parent_of(traceparent: &str) -> Option<(String, String)> {
    let mut parts = traceparent.trim().split('-');
    let (version, trace, span, _flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is = |text: &str, digits: usize| {
        text.len() == digits
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            && text.bytes().any(|b| b != b'0')
    };
    let fits = version.len() == 2 && version != "ff" && is(trace, 32) && is(span, 16);
    fits.then(|| (trace.to_owned(), span.to_owned()))
}

/// Names and values of `OTEL_RESOURCE_ATTRIBUTES` and its like: `key=value,key=value`, percent-encoded.
pub fn pairs_of(list: &str) -> BTreeMap<String, String> {
    let decoded =
        |text: &str| percent_encoding::percent_decode_str(text.trim()).decode_utf8_lossy().into_owned();
    let pair = |pair: &str| pair.split_once('=').map(|(key, value)| (decoded(key), decoded(value)));
    list.split(',').filter_map(pair).filter(|(key, _)| !key.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        event::{Aftermath, RunFinished, ServiceState as S, Verb},
        report::view::tests::{events, service, stage, started},
    };

    /// Names of spans with those above them, when they began and ended in milliseconds, and why they failed.
    fn tree(value: &Value) -> String {
        let spans = value["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
        let path = |span: &Value| {
            let mut names = vec![span["name"].as_str().unwrap()];
            let mut parent = &span["parentSpanId"];
            while let Some(above) = spans.iter().find(|s| s["spanId"] == *parent) {
                names.push(above["name"].as_str().unwrap());
                parent = &above["parentSpanId"];
            }
            names.reverse();
            names.join(" / ")
        };
        let millis = |at: &Value| at.as_str().unwrap().parse::<u64>().unwrap() / 1_000_000;
        let line = |span: &Value| {
            let (began, ended) = (millis(&span["startTimeUnixNano"]), millis(&span["endTimeUnixNano"]));
            let why = span["status"]["message"].as_str().unwrap_or_default();
            format!("{} {began}–{ended} {why}\n", path(span)).replace(" \n", "\n")
        };
        spans.iter().map(line).collect()
    }

    #[test]
    fn a_run_is_a_tree_of_spans() {
        let action = StepAction {
            action: Verb::StartContainer,
            target: "shop-db-1".into(),
            replica: Some(Replica { service: "db".into(), number: 1 }),
        };
        let finished = RunFinished {
            verdict: Verdict::Failed,
            aftermath: Aftermath::RolledBack,
            failures: vec![crate::event::Failure {
                service: "web".into(),
                reason: "exited with code 1".into(),
                ..Default::default()
            }],
            degraded: vec![],
            left: vec![],
        };
        let events = events(vec![
            (0, started()),
            (10, service("db", S::Starting, "")),
            (10, EventKind::StepStarted { step: 0, action: action.clone(), cause: String::new() }),
            (80, EventKind::StepDone { step: 0, action, took: Duration::from_millis(70) }),
            (80, service("db", S::Probing, "")),
            (80, stage("db", "ready", 1, 1, StageStatus::Started)),
            (500, stage("db", "ready", 1, 1, StageStatus::Passed)),
            (500, service("db", S::Ready, "")),
            (510, service("web", S::Starting, "")),
            (600, service("web", S::Failed, "exited with code 1")),
            (650, EventKind::RunFinished(finished)),
        ]);
        let value = otlp_json(&events, UNIX_EPOCH, &Resource::default()).unwrap();
        insta::assert_snapshot!(tree(&value), @r"
        docker orch up 0–650 web: exited with code 1
        docker orch up / db-1 0–500
        docker orch up / web-1 0–600 exited with code 1
        docker orch up / db-1 / starting 10–80
        docker orch up / db-1 / start_container shop-db-1 10–80
        docker orch up / db-1 / probing 80–500
        docker orch up / db-1 / probing / stage ready 80–500
        docker orch up / web-1 / starting 510–600
        ");
        let spans = value["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
        let ids: std::collections::BTreeSet<&str> =
            spans.iter().map(|s| s["spanId"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), spans.len());
        assert!(spans.iter().all(|span| span["traceId"] == spans[0]["traceId"]));
        assert_eq!(spans[0]["traceId"].as_str().unwrap().len(), 32);
        assert!(otlp_json(&[], UNIX_EPOCH, &Resource::default()).is_none());
    }

    #[test]
    fn a_run_can_be_part_of_another_trace() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let parent = parent_of(&format!("00-{trace}-{span}-01"));
        assert_eq!(parent, Some((trace.to_owned(), span.to_owned())));
        let zeros = format!("00-{}-{span}-01", "0".repeat(32));
        for wrong in ["", "00", &zeros, &format!("ff-{trace}-{span}-01"), &format!("00-{span}-{trace}-01")] {
            assert_eq!(parent_of(wrong), None, "{wrong}");
        }
        let resource = Resource { parent, ..Resource::default() };
        let value = otlp_json(&events(vec![(0, started())]), UNIX_EPOCH, &resource).unwrap();
        let root = &value["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!((root["traceId"].as_str(), root["parentSpanId"].as_str()), (Some(trace), Some(span)));
    }

    #[test]
    fn attributes_come_as_pairs() {
        let pairs = pairs_of("service.name=shop, docker.cli=docker%20orch,odd,=x");
        let expected = [("docker.cli", "docker orch"), ("service.name", "shop")];
        assert_eq!(pairs, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    }
}
