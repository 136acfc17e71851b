//! What can go wrong between us and the engine, in the few kinds that make a difference.

use thiserror::Error;

/// A verb that failed. Reads after "failed to …".
#[derive(Debug, Clone, Error, PartialEq)]
#[error("{message}")]
pub struct EngineError {
    /// What kind of failure.
    pub kind: EngineErrorKind,
    /// The engine's words, or ours where it said nothing.
    pub message: String,
}

impl EngineError {
    /// A failure of this kind.
    pub fn new(kind: EngineErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// The kinds of failure that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineErrorKind {
    /// There is no such thing.
    NotFound,
    /// A name is taken, or the thing is in the wrong state.
    Conflict,
    /// The request itself is wrong, or needs a newer engine.
    Invalid,
    /// Credentials are missing or refused.
    Denied,
    /// The engine cannot be reached.
    Unreachable,
    /// No answer in time: what was asked may have been done.
    TimedOut,
    /// The connection broke after the request went out: what was asked may have been done.
    Ambiguous,
    /// The engine failed at it.
    Failed,
}

impl EngineErrorKind {
    /// Whether the engine may have done what was asked.
    pub fn is_ambiguous(self) -> bool {
        matches!(self, Self::TimedOut | Self::Ambiguous)
    }

    /// Whether it says something about the engine or the way to it rather than about the request, so that the same
    /// request may be answered a moment later.
    pub fn may_pass(self) -> bool {
        self.is_ambiguous() || matches!(self, Self::Unreachable | Self::Failed)
    }
}
