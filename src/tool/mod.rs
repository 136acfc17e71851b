//! Programs beside Docker that speak for services and models: providers, and Docker's model plugin.
//!
//! *Owns* where they are looked for, how they are called, and what their answers mean. *Must not know* when they are
//! called, or what becomes of their answers. Entry point is [`Tools`]. A call that is dropped kills its program.

mod find;
mod message;
mod model;
mod program;
mod provider;

pub use find::Tools;

use std::sync::Arc;

/// Where a tool's words go while it is at work.
pub type Tell = Arc<dyn Fn(String) + Send + Sync>;

/// Why a tool did not do what it was called for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolError {
    /// What happened, and what can be done.
    pub message: String,
    /// It had begun: part of it may be done.
    pub begun: bool,
}

impl ToolError {
    fn before(message: impl Into<String>) -> Self {
        Self { message: message.into(), begun: false }
    }

    fn after(message: impl Into<String>) -> Self {
        Self { message: message.into(), begun: true }
    }
}
