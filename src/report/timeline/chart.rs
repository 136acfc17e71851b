//! What a chart shows, before it is decided how.

use std::time::Duration;

use super::{Advice, advice};
use crate::{
    event::ServiceState,
    project::Replica,
    report::{Chain, Outcome, Part, PastRun, ReplicaView, Span, chain, is_up, spans},
    time::Elapsed,
};

/// A wait shorter than this is none worth a bar or a word.
const NOTED: Duration = Duration::from_millis(50);

/// A run as a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// The run's ID.
    pub run: String,
    /// The project's name.
    pub project: String,
    /// `up`, `start`, …
    pub command: String,
    /// When it began: RFC 3339 in UTC; empty where its record does not say.
    pub time: String,
    /// What came of it.
    pub outcome: Outcome,
    /// When everything was ready.
    pub ready: Option<Elapsed>,
    /// Where the axis ends: with the last bar.
    pub end: Elapsed,
    /// Containers by wave, in order; first those in no wave. Empty where nothing was started.
    pub groups: Vec<WaveRows>,
    /// How many containers were ready already, and have no row.
    pub untouched: usize,
    /// What the time went along.
    pub chain: Chain,
    /// What could be faster, in words; what is worth most comes first.
    pub advice: Vec<Advice>,
}

/// The containers of a wave.
#[derive(Debug, Clone, PartialEq)]
pub struct WaveRows {
    /// The wave's name; `None`: in no wave.
    pub wave: Option<String>,
    /// When it was opened.
    pub opened: Option<Elapsed>,
    /// When as much of it was ready as it asks for.
    pub ready: Option<Elapsed>,
    /// Its containers, the first released first.
    pub rows: Vec<Row>,
}

/// A container.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which.
    pub replica: Replica,
    /// Its service's name, with its number where the service has several.
    pub name: String,
    /// What its time went to, in order; between bars it waited.
    pub bars: Vec<Bar>,
    /// When it was started.
    pub started: Option<Elapsed>,
    /// When it was ready.
    pub ready: Option<Elapsed>,
    /// What became of it, where it was not ready: `failed`, `probing`, …
    pub state: String,
    /// It is part of the critical chain.
    pub critical: bool,
}

/// A stretch of a container's time.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// What it went to, and when.
    pub span: Span,
    /// It is part of the critical chain.
    pub critical: bool,
    /// Its place among the stages of its container, from 0; 0 for what is no stage.
    pub stage: usize,
}

impl Chart {
    /// The chart of a run with this ID.
    pub fn of(past: &PastRun, run: &str) -> Self {
        let view = &past.view;
        let now = view.at;
        let chain = Chain::of(view, now);
        let mut groups = vec![WaveRows { wave: None, opened: None, ready: None, rows: Vec::new() }];
        groups.extend(view.waves.iter().map(|wave| WaveRows {
            wave: Some(wave.name.clone()),
            opened: wave.opened,
            ready: wave.ready,
            rows: Vec::new(),
        }));
        let mut untouched = 0;
        for replica in &view.replicas {
            let row = row(past, replica, &chain, now);
            // What was only looked at and found ready has no row, but where everything waited for it.
            let found = replica.began.is_none() && replica.ready_at.is_some() && !row.critical;
            if row.bars.is_empty() || found {
                untouched += usize::from(replica.ready_at.is_some());
                continue;
            }
            let group = groups.iter().position(|group| group.wave.is_some() && group.wave == replica.wave);
            groups[group.unwrap_or(0)].rows.push(row);
        }
        groups.retain(|group| !group.rows.is_empty());
        for group in &mut groups {
            group.rows.sort_by_key(|row| (row.started.is_none(), row.started, row.ready));
        }
        let bars = groups.iter().flat_map(|group| &group.rows).flat_map(|row| &row.bars);
        let end = bars.map(|bar| bar.span.until).max().unwrap_or_default();
        Self {
            run: run.to_owned(),
            project: view.project.clone(),
            command: view.command.clone(),
            time: past.time.clone(),
            outcome: past.outcome,
            ready: view.ready_at.filter(|_| !chain.links.is_empty()),
            end,
            groups,
            untouched,
            advice: advice::of(past, &chain),
            chain,
        }
    }

    /// Whether nothing was started.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Every row, in order.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.groups.iter().flat_map(|group| &group.rows)
    }

    /// `up of shop: ready after 12.3s`.
    pub fn heading(&self) -> String {
        let took = |at: Elapsed| crate::report::human_duration(at.since_start());
        let outcome = match (self.outcome, self.ready) {
            (Outcome::Succeeded, Some(at)) => format!("ready after {}", took(at)),
            (Outcome::Running, None) => format!("goes on, {} so far", took(self.end)),
            (outcome, Some(at)) => format!("ready after {}, {}", took(at), outcome.words()),
            (outcome, None) => format!("{} after {}", outcome.words(), took(self.end)),
        };
        format!("{} of {}: {outcome}", self.command, self.project)
    }

    /// `20261122T015000.000-1, 2026-11-22 01:50:00 UTC; 2 containers were ready already`.
    pub fn subtitle(&self) -> String {
        let time = match self.time.split_once('T') {
            Some((day, time)) => format!("{day} {} UTC", time.split(['.', 'Z']).next().unwrap_or_default()),
            None => "at an unknown time".to_owned(),
        };
        let untouched = match self.untouched {
            0 => String::new(),
            1 => "; 1 container was ready already".to_owned(),
            n => format!("; {n} containers were ready already"),
        };
        format!("{}, {time}{untouched}", self.run)
    }

    /// The chain in one line: `registry → twin → manager (models_loaded) → vram-optimizer`.
    pub fn chain_words(&self) -> String {
        let links = &self.chain.links;
        let words = |(n, link): (usize, &crate::report::Link)| {
            let stage = links.get(n + 1).and_then(|next| match &next.after {
                crate::report::After::Service(on) => on.stage.clone(),
                crate::report::After::Wave(_) | crate::report::After::Own => None,
            });
            let stage = stage.map(|stage| format!(" ({stage})")).unwrap_or_default();
            format!("{}{stage}", self.name_of(&link.replica))
        };
        links.iter().enumerate().map(words).collect::<Vec<_>>().join(" → ")
    }

    /// What a container is called in this chart.
    pub fn name_of(&self, replica: &Replica) -> String {
        let row = self.rows().find(|row| row.replica == *replica);
        row.map_or_else(|| replica.to_string(), |row| row.name.clone())
    }
}

impl WaveRows {
    /// When the wave opened, where that is worth a line on an axis that ends at `end`: not with the run.
    pub fn gate(&self, end: Elapsed) -> Option<Elapsed> {
        self.wave.as_ref()?;
        self.opened.filter(|at| at.since_start().saturating_mul(100) > end.since_start())
    }
}

impl Row {
    /// From its start until it was ready.
    pub fn took(&self) -> Option<Duration> {
        Some(self.ready?.since(self.started?))
    }

    /// How long it took, or what became of it: `2.3s`, `failed`.
    pub fn words(&self) -> String {
        match (self.ready, self.bars.last()) {
            (Some(ready), _) => {
                let from = self.started.or_else(|| Some(self.bars.first()?.span.from)).unwrap_or(ready);
                crate::report::human_duration(ready.since(from))
            }
            _ => self.state.clone(),
        }
    }
}

fn row(past: &PastRun, replica: &ReplicaView, chain: &Chain, now: Elapsed) -> Row {
    let view = &past.view;
    let link = chain.links.iter().find(|link| link.replica == replica.replica);
    let mut all = spans(view, replica, now);
    all.extend(held(view, replica));
    all.sort_by_key(|span| span.from);
    let is_critical = |span: &Span| {
        link.is_some_and(|link| {
            let whole = span.from >= link.from() && span.until <= link.until();
            whole || (span.from < link.until() && span.until > link.from())
        })
    };
    let mut stage = 0;
    let bars = all.into_iter().map(|span| {
        let place = stage;
        stage += usize::from(matches!(span.part, Part::Stage(_)));
        Bar { critical: is_critical(&span), stage: place, span }
    });
    let several = view.services.get(&replica.replica.service).is_some_and(|info| info.replicas.len() > 1);
    let name = if several { replica.replica.to_string() } else { replica.replica.service.clone() };
    Row {
        replica: replica.replica.clone(),
        name,
        bars: bars.collect(),
        started: replica.began,
        ready: replica.ready_at,
        state: state(past, replica),
        critical: link.is_some(),
    }
}

/// The time in which it could have started and did not.
fn held(view: &crate::report::RunView, replica: &ReplicaView) -> Option<Span> {
    let (began, moments) = (replica.began?, &replica.moments);
    let own = moments.created.max(moments.stopped).unwrap_or_default();
    let from = chain::released(view, replica).max(own);
    // Of what came before this was noted it is not known what it waited for.
    let known = view.services.get(&replica.replica.service).is_some_and(|info| !info.image.is_empty());
    let span = Span { part: Part::Held, from, until: began };
    (known && span.took() >= NOTED).then_some(span)
}

fn state(past: &PastRun, replica: &ReplicaView) -> String {
    let word = match replica.state {
        state if is_up(state) => "",
        _ if replica.moments.failed.is_some() => "failed",
        ServiceState::Skipped => "not started",
        state if past.view.finished.is_none() && past.outcome == Outcome::Running => state.word(),
        _ => "not ready",
    };
    word.to_owned()
}
