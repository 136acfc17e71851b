//! Faults in the user's files, with the place of each.
//!
//! *Owns* [`Diagnostic`], [`Span`] and the [`SourceMap`] that spans point into, and their rendering. *Must not know*
//! Compose, Docker, or terminals (colour is a parameter).

mod render;
mod source;
mod suggestion;

pub use render::{render, render_all};
pub use source::*;
pub use suggestion::*;

/// How bad a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing is refused.
    Warning,
    /// The file cannot be used.
    Error,
}

/// One fault in the user's files.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Stable, in kebab case: `unknown-attribute`.
    pub code: &'static str,
    /// What is wrong, in one line; where it is goes into the labels.
    pub message: String,
    /// Places: the first is where to edit, others explain (the other side of a conflict). Empty where no file is
    /// to blame.
    pub labels: Vec<Label>,
    /// What to do, in one line.
    pub help: Option<String>,
}

/// A place in a file and what is to be said there.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What; may be empty.
    pub text: String,
}

impl Diagnostic {
    /// An error without places yet.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, message: message.into(), labels: Vec::new(), help: None }
    }

    /// A warning without places yet.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Adds a place.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// What is wrong and what to do, in one line without places.
    pub fn sentence(&self) -> String {
        match &self.help {
            Some(help) => format!("{}: {help}", self.message),
            None => self.message.clone(),
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
