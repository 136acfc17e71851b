//! A chart as one HTML page that needs nothing else: no script, no font, no network.

use std::fmt::Write as _;

use super::{
    Chart, Comparison, Difference, Row,
    svg::{Layout, STYLE, escaped, seconds, svg},
};
use crate::{
    event::Until,
    report::{After, Link, Part, human_duration},
    time::Elapsed,
};

/// The page. The chart is on it twice, for wide and narrow windows; one of them is shown.
pub fn page(chart: &Chart, comparison: Option<&Comparison>) -> String {
    let heading = escaped(&chart.heading());
    let mut body = String::new();
    let subtitle = escaped(&chart.subtitle());
    add(&mut body, format_args!("<h1>{heading}</h1>\n<p class=\"sub\">run {subtitle}</p>\n"));
    if let Some(comparison) = comparison {
        let class = if comparison.change().is_some_and(|c| c > 0.0) { "slow" } else { "fast" };
        add(&mut body, format_args!("<p class=\"{class}\">{}</p>\n", escaped(&comparison.heading())));
    }
    key(&mut body, chart, comparison.is_some());
    for (class, layout) in [("wide", Layout::wide(chart)), ("narrow", Layout::NARROW)] {
        add(&mut body, format_args!("<div class=\"{class}\">{}</div>\n", svg(chart, comparison, layout, "")));
    }
    chain(&mut body, chart);
    advice(&mut body, chart);
    if let Some(comparison) = comparison {
        compared(&mut body, comparison);
    }
    figures(&mut body, chart);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{heading}</title>\n<style>\n{STYLE}{}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        include_str!("page.css")
    )
}

fn add(text: &mut String, more: std::fmt::Arguments<'_>) {
    text.write_fmt(more).expect("writing to a String cannot fail");
}

/// What colours and lines mean.
fn key(text: &mut String, chart: &Chart, compared: bool) {
    let has = |wanted: &dyn Fn(&Part) -> bool| {
        chart.rows().flat_map(|row| &row.bars).any(|bar| wanted(&bar.span.part))
    };
    text.push_str("<ul class=\"key\" aria-label=\"Key\">");
    for (class, words, shown) in [
        ("pull", "pull or build", has(&|part| matches!(part, Part::Pull | Part::Build))),
        ("create", "create", has(&|part| matches!(part, Part::Create | Part::Prepare))),
        ("stop", "stop of the old container", has(&|part| *part == Part::Stop)),
        ("held", "held back, though it could have started", has(&|part| *part == Part::Held)),
        ("retry", "tries that failed", has(&|part| *part == Part::Retry)),
        ("start", "start", has(&|part| *part == Part::Start)),
        ("stage", "stages, until ready", has(&|part| matches!(part, Part::Stage(_) | Part::Probe))),
        ("line", "critical chain", chart.chain.links.len() > 1),
        ("dash", "a wave opens", chart.groups.iter().any(|group| group.wave.is_some())),
        ("was", "the run that it is compared with", compared),
    ] {
        if shown {
            add(text, format_args!("<li><i class=\"{class}\"></i>{words}</li>"));
        }
    }
    text.push_str("</ul>\n");
}

fn chain(text: &mut String, chart: &Chart) {
    if chart.chain.links.is_empty() {
        return;
    }
    let took = human_duration(chart.chain.took());
    add(
        text,
        format_args!(
            "<h2>The critical chain</h2>\n<p class=\"sub\">The {took} went along these; whatever else became faster, the whole would not.</p>\n<ol class=\"chain\">\n"
        ),
    );
    for link in &chart.chain.links {
        let parts: Vec<String> = link
            .spans
            .iter()
            .filter(|span| span.took().as_millis() >= 10)
            .map(|span| format!("{} {}", escaped(span.part.words()), seconds(span.took())))
            .collect();
        let name = escaped(&chart.name_of(&link.replica));
        add(
            text,
            format_args!(
                "<li><b>{name}</b> {} <span class=\"sub\">{}<br>{}</span></li>\n",
                seconds(link.took()),
                after(link),
                parts.join(", ")
            ),
        );
    }
    text.push_str("</ol>\n");
}

fn after(link: &Link) -> String {
    match &link.after {
        After::Own => String::new(),
        After::Wave(wave) => format!("when wave {} was ready", escaped(wave)),
        After::Service(on) => {
            let (name, stage) = (escaped(&on.on), escaped(on.stage.as_deref().unwrap_or_default()));
            match on.until {
                Until::Started => format!("when {name} was started"),
                Until::Completed => format!("when {name} had completed"),
                Until::Stage => format!("when {name} had passed {stage}"),
                Until::Ready | Until::Outside | Until::Unknown => format!("when {name} was ready"),
            }
        }
    }
}

fn advice(text: &mut String, chart: &Chart) {
    if chart.advice.is_empty() {
        return;
    }
    text.push_str("<h2>What the time went to</h2>\n<ul class=\"advice\">\n");
    for advice in &chart.advice {
        add(text, format_args!("<li>{}</li>\n", with_code(&advice.text)));
    }
    text.push_str("</ul>\n");
}

/// What stands between backticks is code.
fn with_code(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let part = |(n, part): (usize, &str)| {
        if n % 2 == 1 { format!("<code>{}</code>", escaped(part)) } else { escaped(part) }
    };
    parts.map(part).collect()
}

fn compared(text: &mut String, comparison: &Comparison) {
    let changed: Vec<&Difference> = comparison.rows.iter().filter(|row| !row.is_same()).collect();
    text.push_str("<h2>What changed</h2>\n");
    if !changed.is_empty() {
        let than = escaped(&comparison.run);
        add(
            text,
            format_args!(
                "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"What changed\"><table><caption>From start to ready, compared with run {than}</caption><thead><tr><th scope=\"col\">Service</th><th scope=\"col\" class=\"n\">Was</th><th scope=\"col\" class=\"n\">Now</th><th scope=\"col\" class=\"n\">Change</th><th scope=\"col\">Most in</th></tr></thead><tbody>\n"
            ),
        );
        for row in changed {
            changed_row(text, row);
        }
        text.push_str("</tbody></table></div>\n");
    }
    add(text, format_args!("<p class=\"sub\">{}</p>\n", escaped(&comparison.rest())));
}

fn changed_row(text: &mut String, row: &Difference) {
    let change = row.change();
    let (class, sign) = if change > 0.0 { ("slow", '+') } else { ("fast", '−') };
    let part = row.part.as_ref();
    let part = part.map(|(part, then, now)| format!("{}: {then:.2}s, now {now:.2}s", escaped(part)));
    add(
        text,
        format_args!(
            "<tr><th scope=\"row\">{}</th><td class=\"n\">{:.2}s</td><td class=\"n\">{:.2}s</td><td class=\"n {class}\">{sign}{:.2}s</td><td>{}</td></tr>\n",
            escaped(&row.name),
            row.own.0,
            row.own.1,
            change.abs(),
            part.unwrap_or_default()
        ),
    );
}

/// All figures, for those who read rather than look.
fn figures(text: &mut String, chart: &Chart) {
    let waves = chart.groups.iter().any(|group| group.wave.is_some());
    let wave = if waves { "<th scope=\"col\">Wave</th>" } else { "" };
    add(
        text,
        format_args!(
            "<h2>Figures</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Figures\"><table><caption>Seconds since the run began; ▸ is on the critical chain</caption><thead><tr><th scope=\"col\">Service</th>{wave}<th scope=\"col\" class=\"n\">Started</th><th scope=\"col\" class=\"n\">Ready</th><th scope=\"col\" class=\"n\">Took</th><th scope=\"col\">Where it went</th></tr></thead><tbody>\n"
        ),
    );
    for group in &chart.groups {
        for row in &group.rows {
            let wave = group.wave.as_deref().unwrap_or("–");
            let wave = if waves { format!("<td>{}</td>", escaped(wave)) } else { String::new() };
            figures_of(text, row, &wave);
        }
    }
    text.push_str("</tbody></table></div>\n");
}

fn figures_of(text: &mut String, row: &Row, wave: &str) {
    let at = |at: Option<Elapsed>| at.map_or("–".to_owned(), |at| seconds(at.since_start()));
    let parts: Vec<String> = row
        .bars
        .iter()
        .map(|bar| format!("{} {}", escaped(bar.span.part.words()), seconds(bar.span.took())))
        .collect();
    let class = if row.critical { " class=\"critical\"" } else { "" };
    let took = row.took().map_or_else(|| escaped(&row.words()), seconds);
    add(
        text,
        format_args!(
            "<tr{class}><th scope=\"row\">{}</th>{wave}<td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{took}</td><td>{}</td></tr>\n",
            escaped(&row.name),
            at(row.started),
            at(row.ready),
            parts.join(", ")
        ),
    );
}
