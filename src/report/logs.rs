//! Lines of container logs, with the container's name before each.

use std::collections::BTreeMap;

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr as _;

/// A line of a container's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// The container's name without the project's.
    pub name: String,
    /// Its service; decides the colour.
    pub service: String,
    /// RFC 3339; shown where times are asked for.
    pub timestamp: Option<String>,
    /// Without its line end.
    pub text: String,
}

impl LogRecord {
    /// A line without a time.
    pub fn new(name: impl Into<String>, service: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), service: service.into(), timestamp: None, text: text.into() }
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogStyle {
    /// One colour per service.
    pub colour: bool,
    /// The container's name before each line.
    pub prefix: bool,
    /// The time of each line.
    pub timestamps: bool,
}

impl Default for LogStyle {
    fn default() -> Self {
        Self { colour: false, prefix: true, timestamps: false }
    }
}

/// Writes log lines with aligned prefixes; the column grows when a longer name comes.
#[derive(Debug)]
pub struct LogPrinter {
    style: LogStyle,
    width: usize,
    colours: BTreeMap<String, Style>,
}

/// The order in which services get their colours.
const COLOURS: [AnsiColor; 5] =
    [AnsiColor::Cyan, AnsiColor::Yellow, AnsiColor::Green, AnsiColor::Magenta, AnsiColor::Blue];

impl LogPrinter {
    /// Writes in this style.
    pub fn new(style: LogStyle) -> Self {
        Self { style, width: 0, colours: BTreeMap::new() }
    }

    /// Makes room for a name before its first line comes.
    pub fn expect(&mut self, name: &str) {
        self.width = self.width.max(name.width());
    }

    /// The line as it is written, with its line end.
    pub fn format(&mut self, record: &LogRecord) -> String {
        let mut line = String::new();
        if self.style.prefix {
            self.expect(&record.name);
            let pad = self.width - record.name.width();
            let style = self.colour(&record.service);
            line = format!("{style}{}{:pad$}  | {style:#}", record.name, "");
        }
        if self.style.timestamps
            && let Some(timestamp) = &record.timestamp
        {
            line.push_str(timestamp);
            line.push(' ');
        }
        line.push_str(record.text.trim_end_matches('\r'));
        line.push('\n');
        line
    }

    fn colour(&mut self, service: &str) -> Style {
        if !self.style.colour {
            return Style::new();
        }
        let next = self.colours.len();
        *self.colours.entry(service.to_owned()).or_insert_with(|| {
            let style = Style::new().fg_color(Some(COLOURS[next % COLOURS.len()].into()));
            if next / COLOURS.len() % 2 == 1 { style.bold() } else { style }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_align_and_grow() {
        let mut printer = LogPrinter::new(LogStyle::default());
        assert_eq!(printer.format(&LogRecord::new("db-1", "db", "up\r")), "db-1  | up\n");
        assert_eq!(printer.format(&LogRecord::new("worker-1", "worker", "go")), "worker-1  | go\n");
        assert_eq!(printer.format(&LogRecord::new("db-1", "db", "")), "db-1      | \n");
    }

    #[test]
    fn colours_are_the_services_own() {
        let mut printer = LogPrinter::new(LogStyle { colour: true, ..LogStyle::default() });
        let first = printer.format(&LogRecord::new("a-1", "a", "x"));
        let other = printer.format(&LogRecord::new("b-1", "b", "x"));
        assert_eq!(first, "\u{1b}[36ma-1  | \u{1b}[0mx\n");
        assert_eq!(other, "\u{1b}[33mb-1  | \u{1b}[0mx\n");
        assert!(printer.format(&LogRecord::new("a-2", "a", "x")).starts_with("\u{1b}[36m"));
    }

    #[test]
    fn times_and_bare_lines() {
        let record =
            LogRecord { timestamp: Some("2026-01-02T03:04:05Z".into()), ..LogRecord::new("a-1", "a", "x") };
        let mut bare = LogPrinter::new(LogStyle { prefix: false, ..LogStyle::default() });
        assert_eq!(bare.format(&record), "x\n");
        let mut timed = LogPrinter::new(LogStyle { timestamps: true, ..LogStyle::default() });
        assert_eq!(timed.format(&record), "a-1  | 2026-01-02T03:04:05Z x\n");
    }
}
