//! What is counted.

use std::{collections::BTreeMap, time::Duration};

use super::text::{Family, Kind, Labels, Samples, Text, whole};
use crate::{
    event::{Event, EventKind, RunStarted, ServiceState},
    project::Replica,
    time::Elapsed,
};

/// Upper bounds of the durations of checks, in seconds.
const BOUNDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Figures of a project. Counters go on from run to run; the rest is how the last one left it.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    project: String,
    services: BTreeMap<String, Service>,
    /// By service and check.
    checks: BTreeMap<(String, String), Checked>,
    /// Failures, by service and what it depends on.
    dependencies: BTreeMap<(String, String), u64>,
    /// By service and reason.
    restarts: BTreeMap<(String, &'static str), u64>,
    /// From a run's beginning until everything was ready.
    ready_after: Option<Duration>,
}

#[derive(Debug, Clone, Default)]
struct Service {
    wave: String,
    critical: bool,
    replicas: BTreeMap<u32, State>,
    /// Of the replica that took longest in its last start.
    startup: Option<Duration>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    now: Option<ServiceState>,
    /// When it was last started, until it is ready.
    starting: Option<Elapsed>,
}

/// The probes of one check.
#[derive(Debug, Clone, Default)]
struct Checked {
    /// How many took at most as long as each of [`BOUNDS`], and longer than the one before.
    buckets: [u64; BOUNDS.len()],
    seconds: f64,
    probes: u64,
    failures: u64,
}

impl Metrics {
    /// Of a project of which nothing is known yet.
    pub fn of(project: &str) -> Self {
        Self { project: project.to_owned(), ..Self::default() }
    }

    /// Takes the next event in.
    pub fn fold(&mut self, event: &Event) {
        match &event.kind {
            EventKind::RunStarted(started) => self.begin(started),
            EventKind::Service { replica, state, cause, .. } => self.state(replica, *state, cause, event.at),
            EventKind::Probed { replica, check, passed, took, dependency, .. } => {
                self.probed(&replica.service, check, *passed, *took);
                if let (Some(dependency), false) = (dependency, passed) {
                    let key = (replica.service.clone(), dependency.clone());
                    *self.dependencies.entry(key).or_default() += 1;
                }
            }
            EventKind::Ready { .. } => self.ready_after = Some(event.at.since_start()),
            _ => {}
        }
    }

    /// Nothing of the project runs any more: what is known of its containers is forgotten, what was counted is not.
    pub fn nothing_runs(&mut self) {
        for service in self.services.values_mut() {
            service.replicas.clear();
        }
    }

    fn begin(&mut self, started: &RunStarted) {
        self.project.clone_from(&started.project);
        for info in &started.services {
            let service = self.services.entry(info.service.clone()).or_default();
            service.critical = info.critical;
            service.wave = info.wave.clone().unwrap_or_default();
            // A counter that is there from the beginning shows its first increase.
            for reason in REASONS {
                self.restarts.entry((info.service.clone(), reason)).or_default();
            }
        }
    }

    fn state(&mut self, replica: &Replica, state: ServiceState, cause: &str, at: Elapsed) {
        // A one-off container is no part of its service.
        if replica.number == 0 {
            return;
        }
        let service = self.services.entry(replica.service.clone()).or_default();
        if state == ServiceState::Removed {
            service.replicas.remove(&replica.number);
            return;
        }
        let of = service.replicas.entry(replica.number).or_default();
        match state {
            ServiceState::Starting => of.starting = Some(at),
            ServiceState::Ready | ServiceState::Degraded | ServiceState::Completed => {
                if let Some(starting) = of.starting.take() {
                    let others = service.replicas.values().any(|other| other.starting.is_some());
                    let before = service.startup.filter(|_| others).unwrap_or_default();
                    service.startup = Some(before.max(at.since(starting)));
                }
            }
            ServiceState::Restarting => {
                *self.restarts.entry((replica.service.clone(), reason(cause))).or_default() += 1;
            }
            _ => {}
        }
        if let Some(of) = service.replicas.get_mut(&replica.number) {
            of.now = Some(state);
        }
    }

    fn probed(&mut self, service: &str, check: &str, passed: bool, took: Duration) {
        let checked = self.checks.entry((service.to_owned(), check.to_owned())).or_default();
        let seconds = took.as_secs_f64();
        if let Some(place) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            checked.buckets[place] += 1;
        }
        checked.seconds += seconds;
        checked.probes += 1;
        checked.failures += u64::from(!passed);
    }

    /// The text that a scrape reads.
    pub fn text(&self) -> String {
        let mut text = Text::default();
        text.family(BUILD, |s| s.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0));
        let up = |service: &Service| service.is(is_up);
        self.services(&mut text, UP, |service, labels, s| s.sample(labels, flag(up(service))));
        self.services(&mut text, DEGRADED, |service, labels, s| {
            let degraded = service.replicas.values().any(|r| r.now == Some(ServiceState::Degraded));
            s.sample(labels, flag(degraded));
        });
        self.services(&mut text, INFO, |service, labels, s| {
            let critical = if service.critical { "true" } else { "false" };
            s.sample(&[labels, &[("wave", &service.wave), ("critical", critical)]].concat(), 1.0);
        });
        self.services(&mut text, STARTUP, |service, labels, s| {
            if let Some(startup) = service.startup {
                s.sample(&[labels, &[("wave", service.wave.as_str())]].concat(), seconds(startup));
            }
        });
        let project = ("project", self.project.as_str());
        text.family(PROJECT_STARTUP, |s| {
            if let Some(after) = self.ready_after {
                s.sample(&[project], seconds(after));
            }
        });
        text.family(CHECK_DURATION, |s| {
            for ((service, check), checked) in &self.checks {
                let labels = [project, ("service", service.as_str()), ("check", check.as_str())];
                s.histogram(&labels, &checked.upto(), (checked.seconds * 1e6).round() / 1e6, checked.probes);
            }
        });
        text.family(CHECK_FAILURES, |s| {
            for ((service, check), checked) in &self.checks {
                s.sample(&[project, ("service", service), ("check", check)], whole(checked.failures));
            }
        });
        text.family(DEPENDENCY_FAILURES, |s| {
            for ((service, dependency), failures) in &self.dependencies {
                s.sample(&[project, ("service", service), ("dependency", dependency)], whole(*failures));
            }
        });
        text.family(RESTARTS, |s| {
            for ((service, reason), restarts) in &self.restarts {
                s.sample(&[project, ("service", service), ("reason", reason)], whole(*restarts));
            }
        });
        text.0
    }

    /// A metric with samples of every service that has containers.
    fn services(
        &self,
        text: &mut Text,
        family: Family,
        each: impl Fn(&Service, Labels<'_>, &mut Samples<'_>),
    ) {
        text.family(family, |samples| {
            for (name, service) in &self.services {
                let labels = [("project", self.project.as_str()), ("service", name.as_str())];
                if !service.replicas.is_empty() {
                    each(service, &labels, samples);
                }
            }
        });
    }
}

impl Service {
    /// Whether something holds of every replica.
    fn is(&self, of: impl Fn(ServiceState) -> bool) -> bool {
        self.replicas.values().all(|replica| replica.now.is_some_and(&of))
    }
}

impl Checked {
    /// How many took at most as long as each bound.
    fn upto(&self) -> Vec<(f64, u64)> {
        let add = |sum: &mut u64, (bound, own): (&f64, &u64)| {
            *sum += own;
            Some((*bound, *sum))
        };
        BOUNDS.iter().zip(&self.buckets).scan(0, add).collect()
    }
}

/// Serves, or has done its work.
fn is_up(state: ServiceState) -> bool {
    matches!(state, ServiceState::Ready | ServiceState::Degraded | ServiceState::Completed)
}

/// As exact as events are.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e6
}

fn flag(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

/// Why something is started again: few words, so that there are few series.
const REASONS: [&str; 4] = ["exited", "out_of_memory", "unhealthy", "start_failed"];

/// Which of them the words of an event mean.
fn reason(cause: &str) -> &'static str {
    let [exited, out_of_memory, unhealthy, start_failed] = REASONS;
    match cause {
        _ if cause.contains("(out of memory)") => out_of_memory,
        _ if cause.starts_with("exited with") || cause.starts_with("keeps exiting") => exited,
        _ if cause.starts_with("became unhealthy") => unhealthy,
        _ => start_failed,
    }
}

const BUILD: Family = Family {
    name: "docker_orch_build_info",
    kind: Kind::Gauge,
    help: "Always 1; the version of docker orch is a label.",
};
const UP: Family = Family {
    name: "up",
    kind: Kind::Gauge,
    help: "1 while every container of a service is ready, degraded, or has completed its work.",
};
const DEGRADED: Family = Family {
    name: "degraded",
    kind: Kind::Gauge,
    help: "1 while a container of a service serves with something non-critical missing.",
};
const INFO: Family = Family {
    name: "service_info",
    kind: Kind::Gauge,
    help: "Always 1; the wave of a service, and whether its failure fails the project, are labels.",
};
const STARTUP: Family = Family {
    name: "startup_time_seconds",
    kind: Kind::Gauge,
    help: "From the start of a service's container until it was ready, at its last start; of several the longest.",
};
const PROJECT_STARTUP: Family = Family {
    name: "project_startup_time_seconds",
    kind: Kind::Gauge,
    help: "From the beginning of the last run until everything was ready.",
};
const CHECK_DURATION: Family = Family {
    name: "health_check_duration_seconds",
    kind: Kind::Histogram,
    help: "How long probes of a health check took, passed or not.",
};
const CHECK_FAILURES: Family = Family {
    name: "health_check_failures_total",
    kind: Kind::Counter,
    help: "Probes of a health check that did not pass, also before a service was ready.",
};
const DEPENDENCY_FAILURES: Family = Family {
    name: "dependency_check_failures_total",
    kind: Kind::Counter,
    help: "Probes that did not pass of checks on something that a service depends on.",
};
const RESTARTS: Family = Family {
    name: "restart_count_total",
    kind: Kind::Counter,
    help: "How often containers of a service were started again, and why.",
};

#[cfg(test)]
mod tests;
