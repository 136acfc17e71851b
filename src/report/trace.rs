//! Where the time of a command went, as a file for Perfetto (<https://ui.perfetto.dev>) and `chrome://tracing`.
//!
//! Each line is one record of the Trace Event Format: a JSON array whose end may be missing, so that the file of a
//! command that was killed can be read too. What overlaps in time is laid out in lanes, one below the other.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    event::{Event, EventKind, ServiceState, StepAction},
    project::Replica,
};

/// What a slice of time belongs to: a group of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// What the command itself does, one thing after the other.
    Command,
    /// A row for each container: the states of its life.
    Services,
    /// What the engine is asked to change.
    Steps,
    /// Health checks.
    Probes,
    /// Requests to the engine.
    Requests,
}

impl Group {
    const ALL: [Self; 5] = [Self::Command, Self::Services, Self::Steps, Self::Probes, Self::Requests];

    fn name(self) -> &'static str {
        match self {
            Self::Command => "docker orch",
            Self::Services => "services",
            Self::Steps => "steps",
            Self::Probes => "probes",
            Self::Requests => "engine requests",
        }
    }
}

/// Something that took time.
#[derive(Debug, Clone)]
pub struct Slice {
    /// Where it is shown.
    pub group: Group,
    /// What it was.
    pub name: String,
    /// When it began and ended, since the trace began.
    pub span: (Duration, Duration),
    /// What else is known of it: a JSON object.
    pub args: Value,
}

/// A trace that is being written.
pub struct Trace<W: Write> {
    out: W,
    /// When each lane of a group is free again.
    lanes: BTreeMap<Group, Vec<Duration>>,
    /// The row of each container, its state and since when.
    services: BTreeMap<Replica, Life>,
    /// Steps under way, by their number.
    steps: BTreeMap<u32, Duration>,
}

struct Life {
    row: usize,
    state: ServiceState,
    cause: String,
    since: Duration,
}

impl<W: Write> Trace<W> {
    /// Begins a trace.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(b"[\n")?;
        let mut this =
            Self { out, lanes: BTreeMap::new(), services: BTreeMap::new(), steps: BTreeMap::new() };
        for group in Group::ALL {
            let name = json!({"name": group.name()});
            this.record(&json!({"ph": "M", "pid": group as u32, "name": "process_name", "args": name}))?;
            let order = json!({"sort_index": group as u32});
            this.record(
                &json!({"ph": "M", "pid": group as u32, "name": "process_sort_index", "args": order}),
            )?;
        }
        Ok(this)
    }

    /// Adds what took time, in the first lane that was free.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn slice(&mut self, slice: &Slice) -> io::Result<()> {
        let lanes = self.lanes.entry(slice.group).or_default();
        let lane = lanes.iter().position(|free| *free <= slice.span.0).unwrap_or_else(|| {
            lanes.push(Duration::ZERO);
            lanes.len() - 1
        });
        lanes[lane] = slice.span.1;
        self.write(slice, lane)
    }

    /// Adds what an event tells, which came `offset` later than the run's own clock says.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn event(&mut self, event: &Event, offset: Duration) -> io::Result<()> {
        let at = event.at.since_start() + offset;
        match &event.kind {
            EventKind::StepStarted { step, .. } => {
                self.steps.insert(*step, at);
                Ok(())
            }
            EventKind::StepDone { step, action, .. } => self.step(*step, action, at, &json!({})),
            EventKind::StepFailed { step, action, error } => {
                self.step(*step, action, at, &json!({"error": error}))
            }
            EventKind::Service { replica, state, cause, .. } => self.enter(replica, *state, cause, at),
            EventKind::Probed { replica, check, stage, passed, detail, took, .. } => self.slice(&Slice {
                group: Group::Probes,
                name: format!("{replica} {check}"),
                span: (at.saturating_sub(*took), at),
                args: json!({"stage": stage, "passed": passed, "detail": detail}),
            }),
            EventKind::Ready { .. } => self.mark("ready", at),
            EventKind::WaveOpened { wave } => self.mark(&format!("wave {wave} opened"), at),
            EventKind::WaveReady { wave } => self.mark(&format!("wave {wave} ready"), at),
            EventKind::Unwinding { policy, reason } => self.mark(&format!("{policy}: {reason}"), at),
            EventKind::RunFinished(_) => self.end(at),
            _ => Ok(()),
        }
    }

    /// Writes out what is held back.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Everything that is under way ends here.
    fn end(&mut self, at: Duration) -> io::Result<()> {
        for (replica, life) in std::mem::take(&mut self.services) {
            self.life(&replica, &life, at)?;
        }
        self.mark("end", at)
    }

    fn step(&mut self, step: u32, action: &StepAction, at: Duration, args: &Value) -> io::Result<()> {
        let began = self.steps.remove(&step).unwrap_or(at);
        let verb = serde_json::to_value(action.action)?;
        let name = format!("{} {}", verb.as_str().unwrap_or_default(), action.target);
        self.slice(&Slice { group: Group::Steps, name, span: (began, at), args: args.clone() })
    }

    fn enter(&mut self, replica: &Replica, state: ServiceState, cause: &str, at: Duration) -> io::Result<()> {
        let row = match self.services.remove(replica) {
            // Another cause of the same state.
            Some(life) if life.state == state => {
                self.services.insert(replica.clone(), life);
                return Ok(());
            }
            Some(life) => {
                self.life(replica, &life, at)?;
                life.row
            }
            None => {
                let row = self.services.values().map(|life| life.row + 1).max().unwrap_or(0);
                let name = json!({"name": replica.to_string()});
                let pid = Group::Services as u32;
                self.record(
                    &json!({"ph": "M", "pid": pid, "tid": row, "name": "thread_name", "args": name}),
                )?;
                row
            }
        };
        let life = Life { row, state, cause: cause.to_owned(), since: at };
        self.services.insert(replica.clone(), life);
        Ok(())
    }

    fn life(&mut self, replica: &Replica, life: &Life, until: Duration) -> io::Result<()> {
        let name = life.state.word().to_owned();
        let args = json!({"container": replica.to_string(), "cause": life.cause});
        self.write(&Slice { group: Group::Services, name, span: (life.since, until), args }, life.row)
    }

    fn mark(&mut self, name: &str, at: Duration) -> io::Result<()> {
        let pid = Group::Command as u32;
        self.record(&json!({"ph": "i", "s": "g", "pid": pid, "tid": 0, "name": name, "ts": micros(at)}))
    }

    fn write(&mut self, slice: &Slice, row: usize) -> io::Result<()> {
        let (began, ended) = slice.span;
        self.record(&json!({
            "ph": "X",
            "pid": slice.group as u32,
            "tid": row,
            "name": slice.name,
            "ts": micros(began),
            "dur": micros(ended.saturating_sub(began)),
            "args": slice.args,
        }))
    }

    fn record(&mut self, record: &Value) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, record)?;
        self.out.write_all(b",\n")
    }
}

/// To the nanosecond: what begins when another ends must not seem to begin before it.
fn micros(at: Duration) -> f64 {
    (at.as_secs_f64() * 1e9).round() / 1e3
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::{
        event::Verb,
        report::view::tests::{events, service},
    };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn request(name: &str, began: u64, ended: u64) -> Slice {
        let span = (ms(began), ms(ended));
        Slice { group: Group::Requests, name: name.to_owned(), span, args: json!({"for": "web-1"}) }
    }

    fn step(verb: Verb) -> StepAction {
        StepAction { action: verb, target: "p-web-1".to_owned(), replica: None }
    }

    /// What was written, without the names of groups.
    fn written(trace: &Trace<Vec<u8>>) -> String {
        let text = String::from_utf8(trace.out.clone()).unwrap();
        let whole = format!("{}]", text.trim_end().trim_end_matches(','));
        let records: Vec<Value> = serde_json::from_str(&whole).expect("an array of records");
        let lines = records.iter().skip(2 * Group::ALL.len()).map(Value::to_string);
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_overlaps_lies_in_lanes_of_its_own() {
        let mut trace = Trace::new(Vec::new()).unwrap();
        for slice in [request("a", 0, 10), request("b", 5, 20), request("c", 12, 15), request("d", 15, 30)] {
            trace.slice(&slice).unwrap();
        }
        assert_snapshot!(written(&trace), @r#"
        {"ph":"X","pid":4,"tid":0,"name":"a","ts":0.0,"dur":10000.0,"args":{"for":"web-1"}}
        {"ph":"X","pid":4,"tid":1,"name":"b","ts":5000.0,"dur":15000.0,"args":{"for":"web-1"}}
        {"ph":"X","pid":4,"tid":0,"name":"c","ts":12000.0,"dur":3000.0,"args":{"for":"web-1"}}
        {"ph":"X","pid":4,"tid":0,"name":"d","ts":15000.0,"dur":15000.0,"args":{"for":"web-1"}}
        "#);
    }

    #[test]
    fn what_follows_in_a_lane_begins_where_the_one_before_it_ends_to_the_nanosecond() {
        let mut trace = Trace::new(Vec::new()).unwrap();
        let at = [100_060, 200_140, 5_000_000_123_456_789].map(Duration::from_nanos);
        for span in [(at[0], at[1]), (at[1], at[2])] {
            let slice = Slice { span, ..request("a", 0, 0) };
            trace.slice(&slice).unwrap();
        }
        assert_snapshot!(written(&trace), @r#"
        {"ph":"X","pid":4,"tid":0,"name":"a","ts":100.06,"dur":100.08,"args":{"for":"web-1"}}
        {"ph":"X","pid":4,"tid":0,"name":"a","ts":200.14,"dur":5000000123256.649,"args":{"for":"web-1"}}
        "#);
    }

    #[test]
    fn states_steps_and_probes_have_their_times() {
        let mut trace = Trace::new(Vec::new()).unwrap();
        let probed = EventKind::Probed {
            replica: Replica { service: "web".to_owned(), number: 1 },
            check: "http".to_owned(),
            stage: "ready".to_owned(),
            passed: true,
            detail: "200 OK".to_owned(),
            took: ms(2),
            dependency: None,
        };
        let (action, took) = (step(Verb::StartContainer), ms(80));
        for event in events(vec![
            (10, service("web", ServiceState::Starting, "")),
            (10, EventKind::StepStarted { step: 3, action: action.clone(), cause: "missing".to_owned() }),
            (90, EventKind::StepDone { step: 3, action, took }),
            (90, service("web", ServiceState::Probing, "")),
            (95, probed),
            (95, service("web", ServiceState::Ready, "")),
            (95, EventKind::Ready { degraded: Vec::new() }),
            (99, EventKind::StepStarted { step: 0, action: step(Verb::StopContainer), cause: String::new() }),
            (
                100,
                EventKind::StepFailed { step: 0, action: step(Verb::StopContainer), error: "no".to_owned() },
            ),
        ]) {
            trace.event(&event, ms(1)).unwrap();
        }
        trace.end(ms(200)).unwrap();
        assert_snapshot!(written(&trace), @r#"
        {"ph":"M","pid":1,"tid":0,"name":"thread_name","args":{"name":"web-1"}}
        {"ph":"X","pid":2,"tid":0,"name":"start_container p-web-1","ts":11000.0,"dur":80000.0,"args":{}}
        {"ph":"X","pid":1,"tid":0,"name":"starting","ts":11000.0,"dur":80000.0,"args":{"container":"web-1","cause":""}}
        {"ph":"X","pid":3,"tid":0,"name":"web-1 http","ts":94000.0,"dur":2000.0,"args":{"stage":"ready","passed":true,"detail":"200 OK"}}
        {"ph":"X","pid":1,"tid":0,"name":"probing","ts":91000.0,"dur":5000.0,"args":{"container":"web-1","cause":""}}
        {"ph":"i","s":"g","pid":0,"tid":0,"name":"ready","ts":96000.0}
        {"ph":"X","pid":2,"tid":0,"name":"stop_container p-web-1","ts":100000.0,"dur":1000.0,"args":{"error":"no"}}
        {"ph":"X","pid":1,"tid":0,"name":"ready","ts":96000.0,"dur":104000.0,"args":{"container":"web-1","cause":""}}
        {"ph":"i","s":"g","pid":0,"tid":0,"name":"end","ts":200000.0}
        "#);
    }
}
