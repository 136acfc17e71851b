//! The critical chain of a run: what it would have to be faster for the whole to be faster.
//!
//! It is followed backwards: from the container that was ready last to what released its start last (a dependency, its
//! wave, or its own creation), and on from there. Its stretches lie end to end from the run's beginning.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Part, ReplicaView, RunView, Span, is_up,
    moments::{spans, was_brought_up},
    view::is_at_work,
};
use crate::{
    event::{DependsOn, ServiceState, Until},
    project::Replica,
    time::Elapsed,
};

/// The chain that a run's time went along.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Chain {
    /// Its containers, from the run's beginning on.
    pub links: Vec<Link>,
    /// While a run goes on: those that wait for the last link, the nearest first.
    pub waiting: Vec<Replica>,
}

/// A container's part in the chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// Which.
    pub replica: Replica,
    /// What released it last.
    pub after: After,
    /// From its release until it released the next one, or was ready: end to end.
    pub spans: Vec<Span>,
}

/// What released a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// Nothing but what was done for it itself.
    Own,
    /// Another service got so far.
    Service(DependsOn),
    /// A wave opened.
    Wave(String),
}

impl Link {
    /// How much of the chain's time is its own.
    pub fn took(&self) -> Duration {
        self.spans.iter().map(Span::took).sum()
    }

    /// When it was released.
    pub fn from(&self) -> Elapsed {
        self.spans.first().map_or(Elapsed::ZERO, |span| span.from)
    }

    /// When it released the next one, or was ready.
    pub fn until(&self) -> Elapsed {
        self.spans.last().map_or(Elapsed::ZERO, |span| span.until)
    }
}

impl Chain {
    /// The chain of a run as it is `now`. Once everything was ready: the chain that ended there. While the run goes on, and
    /// for one that was killed: the chain of what it waits for. For one that failed: the chain to what failed. Empty where
    /// nothing was started.
    pub fn of(view: &RunView, now: Elapsed) -> Self {
        let mut waiting = Vec::new();
        let Some(last) = last(view, now, &mut waiting) else { return Self::default() };
        let end = last.ready_at.filter(|_| view.ready_at.is_some()).or(last.moments.failed).unwrap_or(now);
        Self { links: back(view, last, end), waiting: waiting.iter().map(|r| r.replica.clone()).collect() }
    }

    /// How long it is: the time until its last container was ready.
    pub fn took(&self) -> Duration {
        self.links.iter().map(Link::took).sum()
    }

    /// The link of a service; of its containers, the last.
    pub fn link(&self, service: &str) -> Option<&Link> {
        self.links.iter().rev().find(|link| link.replica.service == service)
    }
}

/// The moment in which a container was released: when the last of what it waits for had come so far.
pub fn released(view: &RunView, replica: &ReplicaView) -> Elapsed {
    let start = replica.began.unwrap_or(replica.since);
    releases(view, replica, start).map(|(at, _)| at).max().unwrap_or(Elapsed::ZERO)
}

/// Where a run that is over, or goes on, ended up.
fn last<'a>(view: &'a RunView, now: Elapsed, waiting: &mut Vec<&'a ReplicaView>) -> Option<&'a ReplicaView> {
    if let Some(end) = view.ready_at {
        let ready = view.replicas.iter().filter(|r| was_brought_up(r) && r.ready_at <= Some(end));
        return ready.max_by_key(|r| r.ready_at);
    }
    let failures = view.finished.iter().flat_map(|finished| &finished.failures);
    let failed = failures.flat_map(|failure| view.replicas_of(&failure.service));
    if let Some(failed) = failed.filter(|r| was_brought_up(r)).min_by_key(|r| r.moments.failed.unwrap_or(now))
    {
        return Some(failed);
    }
    let last = view.replicas.iter().rev().find(|r| is_held_up(r));
    let mut at = last.or_else(|| at_work(view.replicas.iter()))?;
    let mut seen = BTreeSet::new();
    while is_held_up(at) && seen.insert(&at.replica) {
        waiting.insert(0, at);
        let Some(next) = holding_up(view, at) else { break };
        at = next;
    }
    waiting.retain(|waits| waits.replica != at.replica);
    Some(at)
}

/// Whether it waits for something else.
fn is_held_up(replica: &ReplicaView) -> bool {
    matches!(replica.state, ServiceState::Blocked | ServiceState::Created | ServiceState::Pending)
}

/// The one at work for the longest time.
fn at_work<'a>(replicas: impl Iterator<Item = &'a ReplicaView>) -> Option<&'a ReplicaView> {
    replicas.filter(|r| is_at_work(r.state)).min_by_key(|r| r.began.unwrap_or(r.since))
}

/// One of those that a container waits for: one at work, else one that waits itself.
fn holding_up<'a>(view: &'a RunView, replica: &ReplicaView) -> Option<&'a ReplicaView> {
    let info = view.services.get(&replica.replica.service);
    let depends_on = info.map(|info| info.depends_on.as_slice()).unwrap_or_default();
    let missing = |on: &&DependsOn| far_enough(view, on).is_none();
    let services = depends_on.iter().filter(missing).flat_map(|on| view.replicas_of(&on.on));
    let wave = wave_before(view, replica).filter(|&before| view.waves[before].ready.is_none());
    let wave = wave.map(|before| view.waves[before].name.as_str());
    let members = view.replicas.iter().filter(|r| wave.is_some() && r.wave.as_deref() == wave);
    let open: Vec<&ReplicaView> = services.chain(members).filter(|r| !is_up(r.state)).collect();
    at_work(open.iter().copied()).or_else(|| open.into_iter().rev().find(|r| is_held_up(r)))
}

/// The place of the wave before a container's.
fn wave_before(view: &RunView, replica: &ReplicaView) -> Option<usize> {
    let name = replica.wave.as_ref()?;
    view.waves.iter().position(|wave| wave.name == *name)?.checked_sub(1)
}

/// When a dependency was as far as is asked for, and which of its containers was the last to be.
fn far_enough<'a>(view: &'a RunView, on: &DependsOn) -> Option<(Elapsed, &'a ReplicaView)> {
    let moment = |replica: &ReplicaView| {
        let reached = match on.until {
            Until::Started => replica.moments.ran.or(replica.ready_at),
            Until::Ready | Until::Completed => replica.ready_at,
            Until::Stage => {
                let stage = on.stage.as_deref().and_then(|stage| replica.moments.stage_passed(stage));
                stage.or(replica.ready_at)
            }
            Until::Outside | Until::Unknown => None,
        };
        // What is optional is gone without once it has failed.
        reached.or(replica.moments.failed)
    };
    let moments: Option<Vec<_>> = view.replicas_of(&on.on).map(|r| Some((moment(r)?, r))).collect();
    moments?.into_iter().max_by_key(|(at, _)| *at)
}

/// Everything that released a container until it was started, and when.
fn releases<'a>(
    view: &'a RunView,
    replica: &'a ReplicaView,
    start: Elapsed,
) -> impl Iterator<Item = (Elapsed, After)> + 'a {
    let info = view.services.get(&replica.replica.service);
    let depends_on = info.map(|info| info.depends_on.as_slice()).unwrap_or_default();
    let services = depends_on
        .iter()
        .filter_map(|on| far_enough(view, on).map(|(at, _)| (at, After::Service(on.clone()))));
    let wave = wave_before(view, replica).and_then(|before| {
        let opened = view.waves.get(before + 1)?.opened?;
        Some((opened, After::Wave(view.waves[before].name.clone())))
    });
    services.chain(wave).filter(move |(at, _)| *at <= start)
}

/// The links from the run's beginning to `last`, which ends at `end`.
fn back(view: &RunView, last: &ReplicaView, end: Elapsed) -> Vec<Link> {
    let (mut links, mut seen) = (Vec::new(), BTreeSet::new());
    let mut next = Some((last, end));
    while let Some((replica, end)) = next
        && seen.insert(&replica.replica)
    {
        let (link, before) = link(view, replica, end);
        links.push(link);
        next = before;
    }
    links.reverse();
    links
}

fn link<'a>(
    view: &'a RunView,
    replica: &'a ReplicaView,
    end: Elapsed,
) -> (Link, Option<(&'a ReplicaView, Elapsed)>) {
    let moments = &replica.moments;
    let own = moments.created.max(moments.stopped);
    let start = replica.began.or(moments.up).unwrap_or(end).min(end);
    let gate = releases(view, replica, start).max_by_key(|(at, _)| *at);
    let gate = gate.filter(|(at, _)| Some(*at) >= own && *at > Elapsed::ZERO);
    let before = gate.as_ref().and_then(|(at, after)| {
        let (reached, before) = match after {
            After::Service(on) => far_enough(view, on)?,
            After::Wave(name) => (*at, last_of_wave(view, name, *at)?),
            After::Own => return None,
        };
        was_brought_up(before).then_some((before, reached))
    });
    let (from, after) = match (gate, before) {
        (Some((at, after)), Some(_)) => (at, after),
        _ => (Elapsed::ZERO, After::Own),
    };
    let spans = end_to_end(spans(view, replica, end), from, start, end);
    (Link { replica: replica.replica.clone(), after, spans }, before)
}

/// The container that made a wave ready.
fn last_of_wave<'a>(view: &'a RunView, name: &str, ready: Elapsed) -> Option<&'a ReplicaView> {
    let of = view.replicas.iter().filter(|r| r.wave.as_deref() == Some(name) && r.ready_at <= Some(ready));
    // What is not critical opens a wave only where there is nothing else.
    of.filter(|r| r.ready_at.is_some()).max_by_key(|r| (r.critical, r.ready_at))
}

/// What lies between two moments, with the gaps filled: before the start it was held back, or something was prepared for it.
fn end_to_end(spans: Vec<Span>, from: Elapsed, start: Elapsed, end: Elapsed) -> Vec<Span> {
    let mut filled: Vec<Span> = Vec::new();
    let mut at = from;
    let gap = |part: &Part| match part {
        Part::Pull | Part::Build | Part::Create | Part::Stop | Part::Prepare => Part::Prepare,
        Part::Start | Part::Retry | Part::Held => Part::Held,
        Part::Stage(_) | Part::Probe => Part::Probe,
    };
    for span in spans {
        let (begins, until) = (span.from.max(at), span.until.min(end));
        if until < begins || (until == begins && span.from < span.until) {
            continue;
        }
        if begins > at {
            filled.push(Span { part: gap(&span.part), from: at, until: begins });
        }
        at = until;
        filled.push(Span { from: begins, until, ..span });
    }
    if at < end {
        let part = if end <= start { Part::Held } else { Part::Probe };
        filled.push(Span { part, from: at, until: end });
    }
    filled
}

#[cfg(test)]
pub(super) mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::{
        event::{EventKind, RunStarted, ServiceInfo, StageStatus},
        report::view::tests::{service, stage, view_of},
    };

    /// A service with what it waits for: `db` for readiness, `db@started`, `db@STAGE`.
    pub(in crate::report) fn info(service: &str, wave: Option<&str>, depends_on: &[&str]) -> ServiceInfo {
        let depends_on = depends_on.iter().map(|text| match text.split_once('@') {
            None => DependsOn { on: (*text).into(), until: Until::Ready, stage: None },
            Some((on, "started")) => DependsOn { on: on.into(), until: Until::Started, stage: None },
            Some((on, stage)) => DependsOn { on: on.into(), until: Until::Stage, stage: Some(stage.into()) },
        });
        ServiceInfo {
            service: service.into(),
            replicas: vec![1],
            wave: wave.map(str::to_owned),
            critical: true,
            stages: Vec::new(),
            depends_on: depends_on.collect(),
            image: format!("example/{service}"),
        }
    }

    pub(in crate::report) fn started(waves: &[&str], services: Vec<ServiceInfo>) -> EventKind {
        EventKind::RunStarted(RunStarted {
            format: 1,
            run: "20261122T015000.000-1".into(),
            time: "2026-11-22T01:50:00Z".into(),
            project: "shop".into(),
            command: "up".into(),
            engine: String::new(),
            waves: waves.iter().map(|&wave| wave.to_owned()).collect(),
            services,
        })
    }

    fn words(chain: &Chain) -> String {
        let link = |link: &Link| {
            let after = match &link.after {
                After::Own => String::new(),
                After::Service(on) => format!(" after {}", on.on),
                After::Wave(wave) => format!(" after wave {wave}"),
            };
            let span = |span: &Span| format!("{} {}..{}", span.part.words(), span.from, span.until);
            let spans: Vec<String> = link.spans.iter().map(span).collect();
            format!("{}{after}: {}\n", link.replica, spans.join(", "))
        };
        let text: String = chain.links.iter().map(link).collect();
        let waiting: Vec<String> = chain.waiting.iter().map(ToString::to_string).collect();
        text + &waiting.join(" ← ")
    }

    /// `db` and `cache` in the first wave; `api` waits for `db`, and in the second wave for both; `web` for a stage of it.
    fn run(until: u64) -> RunView {
        use ServiceState::{Blocked, Created, Creating, Probing, Ready, Starting};
        let services = vec![
            info("db", Some("one"), &[]),
            info("cache", Some("one"), &[]),
            info("api", Some("two"), &["db"]),
            info("web", None, &["api@loaded", "db@started"]),
        ];
        let all = vec![
            (0, started(&["one", "two"], services)),
            (0, EventKind::WaveOpened { wave: "one".into() }),
            (200, service("db", Creating, "")),
            (200, service("cache", Creating, "")),
            (300, service("db", Created, "")),
            (300, service("cache", Created, "")),
            (300, service("db", Starting, "")),
            (400, service("api", Created, "")),
            (400, service("api", Blocked, "waits for `db` to be ready")),
            (400, service("web", Created, "")),
            (400, service("web", Blocked, "waits for `api` to pass stage `loaded`")),
            (500, service("db", Probing, "")),
            (700, service("cache", Starting, "")),
            (900, service("cache", Probing, "")),
            (2000, service("db", Ready, "")),
            (3000, service("cache", Ready, "")),
            (3000, EventKind::WaveReady { wave: "one".into() }),
            (3000, EventKind::WaveOpened { wave: "two".into() }),
            (3000, service("api", Starting, "")),
            (3200, service("api", Probing, "")),
            (3200, stage("api", "loaded", 1, 2, StageStatus::Started)),
            (5200, stage("api", "loaded", 1, 2, StageStatus::Passed)),
            (5200, stage("api", "ready", 2, 2, StageStatus::Started)),
            (5200, service("web", Starting, "")),
            (5400, service("web", Probing, "")),
            (5500, stage("api", "ready", 2, 2, StageStatus::Passed)),
            (5500, service("api", Ready, "")),
            (6000, service("web", Ready, "")),
            (6000, EventKind::Ready { degraded: Vec::new() }),
        ];
        view_of(all.into_iter().filter(|(at, _)| *at <= until).collect())
    }

    #[test]
    fn a_chain_goes_back_through_stages_waves_and_what_was_held_back() {
        let view = run(9000);
        let chain = Chain::of(&view, view.at);
        assert_snapshot!(words(&chain), @r"
        cache-1: preparation 0.0s..0.2s, create 0.2s..0.3s, held back 0.3s..0.7s, start 0.7s..0.9s, until ready 0.9s..3.0s
        api-1 after wave one: start 3.0s..3.2s, loaded 3.2s..5.2s
        web-1 after api: start 5.2s..5.4s, until ready 5.4s..6.0s
        ");
        assert_eq!(chain.took(), Duration::from_secs(6));
        assert_eq!(released(&view, &view.replicas[2]), Elapsed::new(Duration::from_secs(3)));
    }

    #[test]
    fn a_run_that_goes_on_has_the_chain_of_what_it_waits_for() {
        for (until, expected) in [
            (500, "db-1: preparation 0.0s..0.2s, create 0.2s..0.3s, start 0.3s..0.5s\napi-1 ← web-1"),
            (
                2500,
                "cache-1: preparation 0.0s..0.2s, create 0.2s..0.3s, held back 0.3s..0.7s, start 0.7s..0.9s, until ready 0.9s..2.5s\napi-1 ← web-1",
            ),
        ] {
            let chain = Chain::of(&run(until), Elapsed::new(Duration::from_millis(until)));
            assert_eq!(words(&chain), expected);
        }
        let chain = Chain::of(&run(5400), Elapsed::new(Duration::from_millis(5450)));
        assert_eq!(chain.links.last().unwrap().replica.service, "api");
        assert_eq!(Chain::of(&RunView::default(), Elapsed::ZERO), Chain::default());
    }

    #[test]
    fn services_that_wait_for_each_other_in_a_record_end_the_chain() {
        let services = vec![info("a", None, &["b"]), info("b", None, &["a"])];
        let mut kinds = vec![(0, started(&[], services))];
        for name in ["a", "b"] {
            kinds.push((5, service(name, ServiceState::Starting, "")));
            kinds.push((5, service(name, ServiceState::Ready, "")));
        }
        let view = view_of(kinds);
        assert!(Chain::of(&view, view.at).links.len() <= 2);
    }

    #[test]
    fn what_was_ready_when_it_was_found_is_no_part_of_it() {
        let found =
            |services| vec![(10, started(&[], services)), (20, service("a", ServiceState::Ready, ""))];
        let view = view_of(found(vec![info("a", None, &[])]));
        assert_eq!(Chain::of(&view, view.at), Chain::default());
        let mut kinds = found(vec![info("a", None, &[]), info("b", None, &["a"])]);
        kinds.push((30, service("b", ServiceState::Starting, "")));
        kinds.push((90, service("b", ServiceState::Ready, "")));
        let view = view_of(kinds);
        assert_snapshot!(words(&Chain::of(&view, view.at)), @"b-1: held back 0.0s..0.0s, start 0.0s..0.1s");
    }
}
