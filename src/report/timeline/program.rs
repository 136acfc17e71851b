//! A chart for programs.

use serde_json::{Value, json};

use super::{Bar, Chart, Comparison, Row};
use crate::{
    report::{After, Link, past::round},
    time::Elapsed,
};

/// Everything in a chart, as one JSON object; times are seconds since the run began.
pub fn chart_json(chart: &Chart, comparison: Option<&Comparison>) -> Value {
    let at = |at: Elapsed| round(at.since_start());
    let waves = chart.groups.iter().filter_map(|group| {
        Some(json!({"name": group.wave.as_ref()?, "opened_at": group.opened.map(at), "ready_at": group.ready.map(at)}))
    });
    let containers = chart.groups.iter().flat_map(|group| {
        group.rows.iter().map(|row| container(row, group.wave.as_deref())).collect::<Vec<_>>()
    });
    let advice = chart.advice.iter();
    json!({
        "run": chart.run,
        "project": chart.project,
        "command": chart.command,
        "time": chart.time,
        "outcome": chart.outcome.words(),
        "ready_at": chart.ready.map(at),
        "seconds": at(chart.end),
        "waves": waves.collect::<Vec<_>>(),
        "containers": containers.collect::<Vec<_>>(),
        "ready_before": chart.untouched,
        "critical_chain": chart.chain.links.iter().map(link).collect::<Vec<_>>(),
        "advice": advice.map(|a| json!({"text": a.text, "seconds": round(a.seconds)})).collect::<Vec<_>>(),
        "compared": comparison.map(compared),
    })
}

fn container(row: &Row, wave: Option<&str>) -> Value {
    let at = |at: Elapsed| round(at.since_start());
    let bar = |bar: &Bar| {
        let (part, stage) = words(&bar.span.part);
        json!({"part": part, "stage": stage, "from": at(bar.span.from), "until": at(bar.span.until), "critical": bar.critical})
    };
    json!({
        "service": row.replica.service,
        "number": row.replica.number,
        "wave": wave,
        "started_at": row.started.map(at),
        "ready_at": row.ready.map(at),
        "critical": row.critical,
        "parts": row.bars.iter().map(bar).collect::<Vec<_>>(),
    })
}

fn link(link: &Link) -> Value {
    let after = match &link.after {
        After::Own => json!(null),
        After::Service(on) => json!({"service": on.on, "until": on.until, "stage": on.stage}),
        After::Wave(wave) => json!({"wave": wave}),
    };
    json!({
        "service": link.replica.service,
        "number": link.replica.number,
        "after": after,
        "from": round(link.from().since_start()),
        "until": round(link.until().since_start()),
    })
}

fn compared(comparison: &Comparison) -> Value {
    let rows = comparison.rows.iter().map(|row| {
        let part = row.part.as_ref().map(
            |(part, then, now)| json!({"part": part, "then": thousandths(*then), "now": thousandths(*now)}),
        );
        json!({
            "container": row.name,
            "then": thousandths(row.own.0),
            "now": thousandths(row.own.1),
            "change": thousandths(row.change()),
            "most": part,
        })
    });
    json!({
        "run": comparison.run,
        "time": comparison.time,
        "then": comparison.whole.0.map(thousandths),
        "now": comparison.whole.1.map(thousandths),
        "change": comparison.change().map(thousandths),
        "containers": rows.collect::<Vec<_>>(),
        "only_in_one": comparison.alone,
    })
}

fn thousandths(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

/// A part's word, and the stage's name where it is one.
fn words(part: &crate::report::Part) -> (&'static str, Option<&str>) {
    use crate::report::Part;
    match part {
        Part::Prepare => ("prepare", None),
        Part::Pull => ("pull", None),
        Part::Build => ("build", None),
        Part::Create => ("create", None),
        Part::Stop => ("stop", None),
        Part::Held => ("held_back", None),
        Part::Retry => ("retry", None),
        Part::Start => ("start", None),
        Part::Stage(name) => ("stage", Some(name)),
        Part::Probe => ("until_ready", None),
    }
}
