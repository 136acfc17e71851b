//! A chart as SVG: for a wide page with names beside the bars, for a narrow one with names above them.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use unicode_width::UnicodeWidthStr as _;

use super::{Bar, Chart, Comparison, Difference, Row, WaveRows, axis};
use crate::{
    project::Replica,
    report::{Part, human_duration},
    time::Elapsed,
};

/// Colours, light and dark, and what wears them. An SVG file has it inside, a page once for all.
pub(super) const STYLE: &str = include_str!("style.css");

/// Where things stand, in units of the picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    width: f64,
    /// Where bars begin, and what is kept free right of them.
    left: f64,
    right: f64,
    /// Names stand above their bars.
    above: bool,
}

impl Layout {
    /// For a page of some width.
    pub(super) fn wide(chart: &Chart) -> Self {
        let name = chart.rows().map(|row| row.name.width()).max().unwrap_or(0).clamp(8, 32);
        Self { width: 1040.0, left: 30.0 + 7.2 * count(name), right: 62.0, above: false }
    }

    /// For a phone.
    pub(super) const NARROW: Self = Self { width: 390.0, left: 4.0, right: 4.0, above: true };

    fn row(self) -> f64 {
        if self.above { 40.0 } else { 24.0 }
    }

    /// Where in its row a bar lies.
    fn bar(self) -> f64 {
        if self.above { 19.0 } else { 5.0 }
    }

    fn x(self, at: Elapsed, end: Elapsed) -> f64 {
        let whole = end.since_start().as_secs_f64().max(1e-6);
        let share = (at.since_start().as_secs_f64() / whole).min(1.0);
        self.left + share * (self.width - self.left - self.right)
    }
}

const AXIS: f64 = 30.0;
const HEADING: f64 = 28.0;
const BAR: f64 = 14.0;

/// The chart as a file of its own.
pub fn svg_file(chart: &Chart, comparison: Option<&Comparison>) -> String {
    let style = format!("<style>{STYLE}</style>");
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}\n",
        svg(chart, comparison, Layout::wide(chart), &style)
    )
}

/// The chart; `inside` stands before everything else in it.
pub(super) fn svg(chart: &Chart, comparison: Option<&Comparison>, layout: Layout, inside: &str) -> String {
    let then: BTreeMap<&str, &Difference> =
        comparison.iter().flat_map(|c| &c.rows).map(|row| (row.name.as_str(), row)).collect();
    let end = comparison.map_or(chart.end, |comparison| chart.end.max(comparison.end));
    let mut drawing = Drawing {
        chart,
        layout,
        end,
        then,
        y: AXIS,
        text: String::new(),
        labels: String::new(),
        middles: BTreeMap::new(),
    };
    for group in &chart.groups {
        drawing.group(group);
    }
    let body = std::mem::take(&mut drawing.text);
    let height = drawing.y + 8.0;
    let grid = drawing.grid(height);
    drawing.chain();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" role=\"img\" viewBox=\"0 0 {:.0} {height:.0}\" aria-label=\"{}\">{inside}<rect class=\"paper\" width=\"100%\" height=\"100%\"/>{grid}{body}{}{}</svg>",
        layout.width,
        escaped(&format!("{}. Critical chain: {}", chart.heading(), chart.chain_words())),
        drawing.text,
        drawing.labels,
    )
}

struct Drawing<'a> {
    chart: &'a Chart,
    layout: Layout,
    /// Where the axis ends.
    end: Elapsed,
    /// The containers of the other run.
    then: BTreeMap<&'a str, &'a Difference>,
    /// How far down it is.
    y: f64,
    /// Bars and lines.
    text: String,
    /// Words: above everything, so that no line goes through them.
    labels: String,
    /// The middle of each container's bars.
    middles: BTreeMap<&'a Replica, f64>,
}

impl<'a> Drawing<'a> {
    fn x(&self, at: Elapsed) -> f64 {
        self.layout.x(at, self.end)
    }

    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        self.text.write_fmt(text).expect("writing to a String cannot fail");
    }

    fn label(&mut self, text: std::fmt::Arguments<'_>) {
        self.labels.write_fmt(text).expect("writing to a String cannot fail");
    }

    /// The marks of the axis, and their lines.
    fn grid(&self, height: f64) -> String {
        let most = if self.layout.above { 5 } else { 10 };
        let mut text = String::new();
        for (at, words) in axis::marks(self.end.since_start(), most) {
            let x = self.x(Elapsed::new(at));
            if x + 20.0 > self.layout.width {
                continue;
            }
            let anchor = if at.is_zero() { "start" } else { "middle" };
            write!(text, "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.0}\" y2=\"{height:.0}\"/><text class=\"mark\" x=\"{x:.1}\" y=\"16\" text-anchor=\"{anchor}\">{words}</text>", AXIS - 8.0)
                .expect("writing to a String cannot fail");
        }
        text
    }

    fn group(&mut self, group: &'a WaveRows) {
        let top = self.y;
        if let Some(wave) = &group.wave {
            let at = |at: Option<Elapsed>, word: &str| {
                at.map(|at| format!(", {word} at {}", human_duration(at.since_start()))).unwrap_or_default()
            };
            let words = format!("{}{}", at(group.opened, "opened"), at(group.ready, "ready"));
            let (y, words) = (top + 18.0, escaped(&words));
            let width = self.layout.width;
            self.add(format_args!(
                "<line class=\"rule\" x1=\"0\" x2=\"{width:.0}\" y1=\"{top:.1}\" y2=\"{top:.1}\"/>"
            ));
            self.label(format_args!(
                "<text class=\"wave\" x=\"4\" y=\"{y:.1}\">{}<tspan class=\"quiet\">{words}</tspan></text>",
                escaped(wave)
            ));
            self.y += HEADING;
        }
        let rows_from = self.y;
        if let Some(opened) = group.gate(self.chart.end) {
            let x = self.x(opened);
            let bottom = rows_from + self.layout.row() * count(group.rows.len());
            let title = escaped(&format!(
                "wave {} opened at {}",
                group.wave.as_deref().unwrap_or_default(),
                human_duration(opened.since_start())
            ));
            self.add(format_args!("<line class=\"gate\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{bottom:.1}\"><title>{title}</title></line>", top + 8.0));
        }
        for row in &group.rows {
            self.row(row);
        }
    }

    fn row(&mut self, row: &'a Row) {
        let (layout, y) = (self.layout, self.y);
        self.middles.insert(&row.replica, y + layout.bar() + BAR / 2.0);
        let (name_x, anchor, baseline) =
            if layout.above { (4.0, "start", y + 13.0) } else { (layout.left - 10.0, "end", y + 16.0) };
        let class = if row.critical { "name critical" } else { "name" };
        let name = escaped(&row.name);
        self.label(format_args!("<text class=\"{class}\" x=\"{name_x:.1}\" y=\"{baseline:.1}\" text-anchor=\"{anchor}\">{name}</text>"));
        for bar in &row.bars {
            self.bar(row, bar);
        }
        if let Some(&difference) = self.then.get(row.name.as_str()) {
            let (from, until) = (self.x(difference.then.0), self.x(difference.then.1));
            let title = escaped(&then_words(&row.name, difference));
            let width = (until - from).max(1.0);
            let top = y + layout.bar() + BAR + 1.5;
            self.add(format_args!("<rect class=\"then\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"2.5\"><title>{title}</title></rect>"));
        }
        let (took_x, took_y) =
            if layout.above { (layout.width - 4.0, y + 13.0) } else { (layout.width - 6.0, y + 16.0) };
        let class = if row.ready.is_none() {
            "took failed"
        } else if row.critical {
            "took critical"
        } else {
            "took"
        };
        self.label(format_args!(
            "<text class=\"{class}\" x=\"{took_x:.1}\" y=\"{took_y:.1}\" text-anchor=\"end\">{}</text>",
            escaped(&row.words())
        ));
        self.y += layout.row();
    }

    fn bar(&mut self, row: &Row, bar: &Bar) {
        let (from, until) = (self.x(bar.span.from), self.x(bar.span.until));
        let thin = bar.span.part == Part::Held;
        let height = if thin { 4.0 } else { BAR };
        let top = self.y + self.layout.bar() + (BAR - height) / 2.0;
        // What follows keeps a hair's breadth away.
        let width = (until - from - 0.6).max(1.2);
        let class = class(bar);
        let title = escaped(&bar_words(&row.name, bar));
        self.add(format_args!("<rect class=\"bar {class}\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.0}\" rx=\"2\"><title>{title}</title></rect>"));
    }

    /// From each link of the chain to the next.
    fn chain(&mut self) {
        for pair in self.chart.chain.links.windows(2) {
            let (Some(&from), Some(&to)) =
                (self.middles.get(&pair[0].replica), self.middles.get(&pair[1].replica))
            else {
                continue;
            };
            let x = self.x(pair[1].from());
            self.add(format_args!("<path class=\"link\" d=\"M{x:.1} {from:.1}V{to:.1}\"/><circle class=\"knot\" cx=\"{x:.1}\" cy=\"{from:.1}\" r=\"3\"/><circle class=\"knot\" cx=\"{x:.1}\" cy=\"{to:.1}\" r=\"3\"/>"));
        }
    }
}

/// What a bar wears.
pub(super) fn class(bar: &Bar) -> String {
    let kind = match bar.span.part {
        Part::Pull | Part::Build => "pull",
        Part::Prepare | Part::Create => "create",
        Part::Stop => "stop",
        Part::Held => "held",
        Part::Retry => "retry",
        Part::Start => "start",
        Part::Stage(_) | Part::Probe if bar.stage % 2 == 1 => "stage odd",
        Part::Stage(_) | Part::Probe => "stage",
    };
    if bar.critical { format!("{kind} critical") } else { kind.to_owned() }
}

/// `manager, models_loaded: 2.1s, from 2.9s to 5.0s, on the critical chain`.
pub(super) fn bar_words(name: &str, bar: &Bar) -> String {
    let at = |at: Elapsed| format!("{:.2}s", at.since_start().as_secs_f64());
    let span = &bar.span;
    let critical = if bar.critical { ", on the critical chain" } else { "" };
    format!(
        "{name}, {}: {}, from {} to {}{critical}",
        span.part.words(),
        seconds(span.took()),
        at(span.from),
        at(span.until)
    )
}

fn then_words(name: &str, difference: &Difference) -> String {
    format!("{name}, in the run that it is compared with: {:.2}s", difference.own.0)
}

/// `2.13s`, from a minute on `1m05s`.
pub(super) fn seconds(took: Duration) -> String {
    if took < Duration::from_mins(1) { format!("{:.2}s", took.as_secs_f64()) } else { human_duration(took) }
}

/// Text as it stands in XML and HTML, in attributes too; what neither can hold is a space.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[expect(clippy::cast_precision_loss, reason = "a number of rows or letters")]
fn count(n: usize) -> f64 {
    n as f64
}
