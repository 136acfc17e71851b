//! A chart as lines of a terminal.
//!
//! A column is divided into eighths. With colours what meets inside a column shares it; without, parts are told apart by
//! their pattern, and ends are rounded to whole columns but for the last.

use std::collections::BTreeSet;

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr as _;

use super::{Bar, Chart, Comparison, Difference, Row, WaveRows, axis};
use crate::{
    report::{Part, StyledLine},
    time::Elapsed,
};

/// The least columns for bars; a narrower terminal wraps.
const LEAST: usize = 20;
/// Names are cut to this.
const NAME: usize = 28;
/// What stands right of the bars: a gap and the time.
const TIME: usize = 8;
const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// The chart in so many columns, with its comparison where there is one. `colours`: they can be shown.
pub fn terminal(
    chart: &Chart,
    comparison: Option<&Comparison>,
    columns: usize,
    colours: bool,
) -> Vec<StyledLine> {
    let name = chart.rows().map(|row| row.name.width()).max().unwrap_or(0).clamp(4, NAME);
    let at = name + 3;
    let canvas = Canvas { at, width: columns.saturating_sub(at + TIME).max(LEAST), end: chart.end, colours };
    let mut lines = vec![StyledLine::default().with(Style::new().bold(), chart.heading())];
    lines.extend(wrapped(&format!("run {}", chart.subtitle()), columns, dim()));
    lines.push(StyledLine::default());
    lines.push(canvas.axis());
    for group in &chart.groups {
        lines.extend(canvas.gate(group));
        lines.extend(group.rows.iter().map(|row| canvas.row(row, group)));
    }
    lines.push(StyledLine::default());
    lines.extend(canvas.legend(chart, columns));
    for text in below(chart, comparison) {
        lines.extend(wrapped(&text, columns, Style::new()));
    }
    if let Some(comparison) = comparison {
        lines.push(StyledLine::default());
        lines.extend(compared(comparison, columns));
    }
    lines.into_iter().map(|line| line.cut(columns.max(at + LEAST + TIME))).collect()
}

/// What is said in words below the bars.
fn below(chart: &Chart, comparison: Option<&Comparison>) -> Vec<String> {
    let mut texts = Vec::new();
    if !chart.chain.links.is_empty() {
        texts.push(format!("critical chain: {}", chart.chain_words()));
    }
    texts.extend(chart.advice.iter().map(|advice| format!("- {}", advice.text)));
    if let Some(comparison) = comparison {
        texts.push(String::new());
        texts.push(comparison.heading());
        if comparison.chain != chart.chain_words() && !comparison.chain.is_empty() {
            texts.push(format!("its critical chain: {}", comparison.chain));
        }
    }
    if texts.is_empty() { texts } else { [vec![String::new()], texts].concat() }
}

/// Lines of at most so many columns, broken at spaces; those after the first are indented.
fn wrapped(text: &str, columns: usize, style: Style) -> Vec<StyledLine> {
    let indent = "  ";
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one");
        if line.trim().is_empty() || line.width() + 1 + word.width() <= columns {
            if !line.trim().is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        } else {
            lines.push(format!("{indent}{word}"));
        }
    }
    lines.into_iter().map(|line| StyledLine::default().with(style, line)).collect()
}

/// Where bars are drawn.
struct Canvas {
    /// Their first column.
    at: usize,
    /// How many columns they have.
    width: usize,
    /// The moment at their right end.
    end: Elapsed,
    colours: bool,
}

impl Canvas {
    /// A moment in eighths of a column.
    fn eighths(&self, at: Elapsed) -> usize {
        let whole = self.end.since_start().as_nanos().max(1);
        let eighths = at.since_start().as_nanos().saturating_mul((self.width * 8) as u128) / whole;
        usize::try_from(eighths).unwrap_or(usize::MAX).min(self.width * 8)
    }

    fn column(&self, at: Elapsed) -> usize {
        (self.eighths(at) / 8).min(self.width.saturating_sub(1))
    }

    fn axis(&self) -> StyledLine {
        let mut line = String::new();
        for (at, words) in axis::marks(self.end.since_start(), self.width / 10) {
            let column = self.column(Elapsed::new(at));
            let free = line.width();
            // A mark that would not fit is left out.
            if column < free + usize::from(free > 0) || column + words.width() > self.width {
                continue;
            }
            line.push_str(&" ".repeat(column - free));
            line.push_str(&words);
        }
        StyledLine::default().pad_to(self.at).with(dim(), line)
    }

    /// The line above a wave's rows.
    fn gate(&self, group: &WaveRows) -> Option<StyledLine> {
        let wave = group.wave.as_ref()?;
        let line = StyledLine::default().text(format!("wave {wave}"));
        let Some(opened) = group.opened else {
            return Some(line.text(" ").with(dim(), "never opened"));
        };
        let seconds = |at: Elapsed| crate::report::human_duration(at.since_start());
        let ready = group.ready.map(|at| format!(", ready at {}", seconds(at))).unwrap_or_default();
        let words = format!(" opened at {}{ready}", seconds(opened));
        let column = self.at + self.column(opened);
        let line = line.pad_to(self.at);
        // Right of the gate where that fits, else left of it.
        Some(if line.width() > column || group.gate(self.end).is_none() {
            let words = if line.width() > self.at { words.as_str() } else { words.trim_start() };
            line.with(dim(), words)
        } else if column + 1 + words.width() <= self.at + self.width + TIME {
            line.pad_to(column).with(dim(), "┆").with(dim(), words)
        } else {
            let before = column.saturating_sub(words.width() + 1).max(line.width());
            line.pad_to(before).with(dim(), words.trim_start()).text(" ").pad_to(column).with(dim(), "┆")
        })
    }

    fn row(&self, row: &Row, group: &WaveRows) -> StyledLine {
        let mark = if row.critical { "▸ " } else { "  " };
        let name = if row.critical { Style::new().bold() } else { Style::new() };
        let line = StyledLine::default().with(yellow(), mark).with(name, &row.name).cut(self.at - 1);
        let gate = group.gate(self.end).map(|at| self.column(at));
        let mut cells = if self.colours { self.coloured(row) } else { self.patterned(row) };
        if let Some(cell) = gate.and_then(|gate| cells.get_mut(gate)).filter(|(_, c)| *c == ' ') {
            *cell = (dim(), '┆');
        }
        let mut line = line.pad_to(self.at);
        for run in cells.chunk_by(|a, b| a.0 == b.0) {
            line = line.with(run[0].0, run.iter().map(|(_, c)| *c).collect::<String>());
        }
        let took = row.words();
        let style = match row.ready {
            None => Style::new().fg_color(Some(AnsiColor::Red.into())),
            Some(_) => name,
        };
        line.pad_to(self.at + self.width + TIME - took.width().min(TIME - 1)).with(style, took)
    }

    /// Columns that two parts may share.
    fn coloured(&self, row: &Row) -> Vec<(Style, char)> {
        self.columns(row, 1).chunks(8).map(cell).collect()
    }

    /// Each column for the part that has most of it.
    fn patterned(&self, row: &Row) -> Vec<(Style, char)> {
        let all = self.columns(row, 4);
        all.chunks(8).map(|column| (Style::new(), most(column).unwrap_or(' '))).collect()
    }

    /// What each eighth of a column shows of a row. Of two in one place the later one counts.
    fn columns<'a>(&self, row: &'a Row, least: usize) -> Vec<Option<&'a Bar>> {
        let mut eighths: Vec<Option<&Bar>> = vec![None; self.width * 8];
        for bar in &row.bars {
            let (from, until) = self.stretch(bar, least);
            eighths[from..until].fill(Some(bar));
        }
        eighths
    }

    /// Where a bar begins and ends, in eighths. Nothing is so short that it cannot be seen, nor split where it is short.
    fn stretch(&self, bar: &Bar, least: usize) -> (usize, usize) {
        let all = self.width * 8;
        let from = self.eighths(bar.span.from).min(all - least);
        let until = self.eighths(bar.span.until);
        if until < from + least {
            let from = from.min(from / 8 * 8 + 8 - least);
            return (from, from + least);
        }
        (from, until.min(all))
    }

    /// What bars mean, in as many lines as that needs.
    fn legend(&self, chart: &Chart, columns: usize) -> Vec<StyledLine> {
        let bars = || chart.rows().flat_map(|row| &row.bars);
        let kinds: BTreeSet<(u8, &str)> = bars().map(|bar| kind(&bar.span.part)).collect();
        let mut entries: Vec<(Style, String, &str)> = Vec::new();
        for (order, words) in kinds {
            let Some(bar) = bars().find(|bar| kind(&bar.span.part).0 == order) else { continue };
            let bar = Bar { critical: true, stage: 0, ..bar.clone() };
            let (style, c) =
                if self.colours { (colour(&bar), mark(&bar)) } else { (Style::new(), pattern(&bar)) };
            entries.push((style, c.to_string().repeat(2), words));
        }
        if chart.rows().any(|row| row.critical) {
            entries.push((yellow(), "▸".to_owned(), "on the critical chain"));
        }
        let mut lines = vec![StyledLine::default()];
        for (style, sign, words) in entries {
            let mut line = lines.pop().unwrap_or_default();
            if line.width() > 0 && line.width() + sign.width() + words.width() + 3 > columns {
                lines.push(line);
                line = StyledLine::default();
            }
            let gap = if line.width() > 0 { "   " } else { "  " };
            lines.push(line.text(gap).with(style, sign).text(format!(" {words}")));
        }
        lines
    }
}

/// What fills a column where there are colours.
fn mark(bar: &Bar) -> char {
    if bar.span.part == Part::Held { '·' } else { '█' }
}

/// The pattern of what has most of a column, from its eighths; `None` where that is less than half.
fn most(column: &[Option<&Bar>]) -> Option<char> {
    let share = |bar: &Bar| column.iter().flatten().filter(|other| std::ptr::eq(**other, bar)).count();
    let most = column.iter().flatten().max_by_key(|bar| share(bar))?;
    let filled = column.iter().flatten().count();
    match pattern(most) {
        '█' if filled < 8 && column[0].is_some() => Some(EIGHTHS[filled]),
        pattern => (filled >= 4).then_some(pattern),
    }
}

/// One column from its eighths: at most two of the things in it are shown.
fn cell(column: &[Option<&Bar>]) -> (Style, char) {
    let first = column[0];
    let same = |bar: Option<&Bar>| match (bar, first) {
        (Some(a), Some(b)) => std::ptr::eq(a, b),
        (None, None) => true,
        _ => false,
    };
    let run = column.iter().take_while(|bar| same(**bar)).count();
    let next = column.get(run).copied().flatten().or(column.last().copied().flatten());
    match (first, run) {
        (None, 8) => (Style::new(), ' '),
        (Some(bar), 8) => (colour(bar), mark(bar)),
        (Some(bar), _) => {
            let style = colour(bar);
            let next = next.filter(|next| !std::ptr::eq(*next, bar));
            // What is behind cannot be dimmed: the one that has more of the column gets it.
            if let Some(next) = next.filter(|next| !(bar.critical && next.critical)) {
                let most = if run >= 4 { bar } else { next };
                return (colour(most), mark(most));
            }
            match next.and_then(|next| colour(next).get_fg_color()) {
                Some(behind) => (style.bg_color(Some(behind)), EIGHTHS[run]),
                None => (style, EIGHTHS[run]),
            }
        }
        // What begins inside a column: the part before it is drawn over it in reverse.
        (None, _) => next.map_or((Style::new(), ' '), |bar| (colour(bar).invert(), EIGHTHS[run])),
    }
}

fn colour(bar: &Bar) -> Style {
    let colour = match bar.span.part {
        Part::Pull | Part::Build => AnsiColor::Blue,
        Part::Prepare | Part::Create => AnsiColor::Cyan,
        Part::Stop => AnsiColor::Magenta,
        Part::Held => AnsiColor::BrightBlack,
        Part::Retry => AnsiColor::Red,
        Part::Start => AnsiColor::Yellow,
        Part::Stage(_) | Part::Probe if bar.stage % 2 == 1 => AnsiColor::BrightGreen,
        Part::Stage(_) | Part::Probe => AnsiColor::Green,
    };
    let style = Style::new().fg_color(Some(colour.into()));
    if bar.critical { style } else { style.dimmed() }
}

fn pattern(bar: &Bar) -> char {
    match bar.span.part {
        Part::Pull | Part::Build => '░',
        Part::Prepare | Part::Create => '▒',
        Part::Stop => '-',
        Part::Held => '·',
        Part::Retry => 'x',
        Part::Start => '▓',
        Part::Stage(_) | Part::Probe if bar.stage % 2 == 1 => '▆',
        Part::Stage(_) | Part::Probe => '█',
    }
}

/// A part's place and words in the legend.
fn kind(part: &Part) -> (u8, &'static str) {
    match part {
        Part::Pull => (0, "pull"),
        Part::Build => (1, "build"),
        Part::Prepare | Part::Create => (2, "create"),
        Part::Stop => (3, "stop of the old one"),
        Part::Held => (4, "held back"),
        Part::Retry => (5, "failed tries"),
        Part::Start => (6, "start"),
        Part::Stage(_) | Part::Probe => (7, "stages"),
    }
}

/// The containers of two runs: those that changed.
fn compared(comparison: &Comparison, columns: usize) -> Vec<StyledLine> {
    let changed: Vec<&Difference> = comparison.rows.iter().filter(|row| !row.is_same()).collect();
    let name = changed.iter().map(|row| row.name.width()).max().unwrap_or(0).clamp(7, NAME);
    let mut lines = Vec::new();
    if !changed.is_empty() {
        let line = StyledLine::default().text("  SERVICE").pad_to(name + 5);
        lines.push(line.text(format!("{:>7}{:>9}{:>10}   MOST IN", "WAS", "NOW", "CHANGE")));
    }
    for row in changed {
        let change = row.change();
        let line = StyledLine::default().text("  ").text(&row.name).cut(name + 2).pad_to(name + 5);
        let line = line.text(format!("{:>6.1}s{:>8.1}s", row.own.0, row.own.1));
        let colour = if change > 0.0 { AnsiColor::Red } else { AnsiColor::Green };
        let line = line.with(Style::new().fg_color(Some(colour.into())), format!("{change:>+9.1}s"));
        let part = row.part.as_ref();
        let part = part.map(|(part, then, now)| format!("   {part}: {then:.1}s, now {now:.1}s"));
        lines.push(line.with(dim(), part.unwrap_or_default()));
    }
    lines.extend(wrapped(&comparison.rest(), columns, dim()));
    lines
}

fn dim() -> Style {
    Style::new().dimmed()
}

fn yellow() -> Style {
    Style::new().fg_color(Some(AnsiColor::Yellow.into()))
}
