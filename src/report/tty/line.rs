//! A line of text with colours, of a known width.

use std::fmt::Write as _;

use anstyle::Style;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Stretches of text, each with a style. Holds no control character.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StyledLine {
    parts: Vec<(Style, String)>,
}

impl StyledLine {
    /// Adds text; control characters become spaces.
    #[must_use]
    pub fn with(mut self, style: Style, text: impl AsRef<str>) -> Self {
        let text: String = text.as_ref().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.parts.push((style, text));
        self
    }

    /// Adds text without a style.
    #[must_use]
    pub fn text(self, text: impl AsRef<str>) -> Self {
        self.with(Style::new(), text)
    }

    /// Adds spaces up to this column.
    #[must_use]
    pub fn pad_to(self, column: usize) -> Self {
        let missing = column.saturating_sub(self.width());
        self.text(" ".repeat(missing))
    }

    /// How many columns it takes.
    pub fn width(&self) -> usize {
        self.parts.iter().map(|(_, text)| text.width()).sum()
    }

    /// Cuts it to so many columns, never through a wide character; a cut line ends with `…`.
    #[must_use]
    pub fn cut(self, columns: usize) -> Self {
        if self.width() <= columns {
            return self;
        }
        let mut room = columns.saturating_sub(1);
        let mut cut = Self::default();
        for (style, text) in self.parts {
            let mut kept = String::new();
            let mut full = false;
            for c in text.chars() {
                let width = c.width().unwrap_or(0);
                if width > room {
                    full = true;
                    break;
                }
                room -= width;
                kept.push(c);
            }
            cut.parts.push((style, kept));
            if full {
                break;
            }
        }
        if columns > 0 { cut.text("…") } else { cut }
    }

    /// The text alone.
    pub fn plain(&self) -> String {
        self.parts.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// The text with its colours.
    pub fn ansi(&self) -> String {
        let mut line = String::new();
        for (style, text) in &self.parts {
            write!(line, "{style}{text}{style:#}").expect("writing to a String cannot fail");
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_are_never_cut_in_half() {
        let line = StyledLine::default().text("日本語").text("abc");
        for (columns, text) in
            [(9, "日本語abc"), (8, "日本語a…"), (7, "日本語…"), (6, "日本…"), (5, "日本…"), (1, "…"), (0, "")]
        {
            let cut = line.clone().cut(columns);
            assert_eq!(cut.plain(), text, "{columns}");
            assert!(cut.width() <= columns);
        }
    }

    #[test]
    fn control_characters_cannot_reach_the_terminal() {
        assert_eq!(StyledLine::default().text("a\u{1b}[2Jb\n").plain(), "a [2Jb ");
    }
}
