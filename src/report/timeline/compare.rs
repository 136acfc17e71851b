//! Two runs of one project: what became slower or faster.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Chart, Row};
use crate::time::Elapsed;

/// What is less than this is the same: two runs are never quite alike.
const SAME: f64 = 0.1;

/// A run beside an earlier one.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The other run's ID.
    pub run: String,
    /// When it began.
    pub time: String,
    /// How long the whole took then and now, in seconds; what was not ready took no time that can be compared.
    pub whole: (Option<f64>, Option<f64>),
    /// When the last of the other run's containers was ready.
    pub end: Elapsed,
    /// The other chain, in words.
    pub chain: String,
    /// By container started in both, what changed most first.
    pub rows: Vec<Difference>,
    /// Containers that only one of them started and saw ready.
    pub alone: Vec<String>,
}

/// A container in two runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// What it is called.
    pub name: String,
    /// From its start until it was ready, then and now, in seconds.
    pub own: (f64, f64),
    /// When it was started and ready then, since the run began.
    pub then: (Elapsed, Elapsed),
    /// The part that changed most, then and now, where it says more than the whole.
    pub part: Option<(String, f64, f64)>,
}

impl Difference {
    /// How much longer it takes now, in seconds.
    pub fn change(&self) -> f64 {
        self.own.1 - self.own.0
    }

    /// Whether it takes about as long as before.
    pub fn is_same(&self) -> bool {
        self.change().abs() < SAME
    }
}

impl Comparison {
    /// `now` beside `then`.
    pub fn of(now: &Chart, then: &Chart) -> Self {
        let before: BTreeMap<&str, &Row> = then.rows().map(|row| (row.name.as_str(), row)).collect();
        let after: BTreeMap<&str, &Row> = now.rows().map(|row| (row.name.as_str(), row)).collect();
        let difference = |name: &str| {
            let (before, after) = (before.get(name)?, after.get(name)?);
            Some(Difference {
                name: name.to_owned(),
                own: (before.took()?.as_secs_f64(), after.took()?.as_secs_f64()),
                then: (before.started?, before.ready?),
                part: part(before, after),
            })
        };
        let names: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
        let (mut rows, mut alone) = (Vec::new(), Vec::new());
        for name in names {
            match difference(name) {
                Some(row) => rows.push(row),
                None => alone.push(name.to_owned()),
            }
        }
        rows.sort_by(|a, b| b.change().abs().total_cmp(&a.change().abs()));
        let whole = |chart: &Chart| chart.ready.map(|at| at.since_start().as_secs_f64());
        Self {
            run: then.run.clone(),
            time: then.time.clone(),
            whole: (whole(then), whole(now)),
            end: rows.iter().map(|row| row.then.1).max().unwrap_or_default(),
            chain: then.chain_words(),
            rows,
            alone,
        }
    }

    /// How much longer the whole takes now, in seconds.
    pub fn change(&self) -> Option<f64> {
        let (then, now) = self.whole;
        Some(now? - then?)
    }

    /// `2 containers take as long as before; only one of the runs started api`; empty where there is nothing to add.
    pub fn rest(&self) -> String {
        let same = self.rows.iter().filter(|row| row.is_same()).count();
        let same = match same {
            0 => None,
            1 => Some("1 container takes as long as before".to_owned()),
            n => Some(format!("{n} containers take as long as before")),
        };
        let alone = (!self.alone.is_empty())
            .then(|| format!("only one of the runs started {}", self.alone.join(", ")));
        same.into_iter().chain(alone).collect::<Vec<_>>().join("; ")
    }

    /// In one line: `1.2s slower than run … (12.3s, was 11.1s)`.
    pub fn heading(&self) -> String {
        let run = &self.run;
        match (self.whole, self.change()) {
            ((Some(then), Some(now)), Some(change)) if change.abs() < SAME => {
                format!("as fast as run {run} ({now:.1}s, was {then:.1}s)")
            }
            ((Some(then), Some(now)), Some(change)) => {
                let word = if change > 0.0 { "slower" } else { "faster" };
                format!("{:.1}s {word} than run {run} ({now:.1}s, was {then:.1}s)", change.abs())
            }
            ((None, _), _) => format!("run {run} was not ready, so the whole cannot be compared"),
            _ => format!("run {run} was ready, this one was not"),
        }
    }
}

/// The part that changed most, where there is more than one.
fn part(before: &Row, after: &Row) -> Option<(String, f64, f64)> {
    let parts = |row: &Row| {
        let mut all: BTreeMap<String, Duration> = BTreeMap::new();
        for bar in &row.bars {
            *all.entry(bar.span.part.words().to_owned()).or_default() += bar.span.took();
        }
        all
    };
    let (before, after) = (parts(before), parts(after));
    let names = before.keys().chain(after.keys());
    let seconds = |all: &BTreeMap<String, Duration>, name: &str| {
        all.get(name).copied().unwrap_or_default().as_secs_f64()
    };
    let both = names.map(|name| (name.clone(), seconds(&before, name), seconds(&after, name)));
    let most = both.max_by(|a, b| (a.2 - a.1).abs().total_cmp(&(b.2 - b.1).abs()))?;
    ((most.2 - most.1).abs() >= SAME).then_some(most)
}
