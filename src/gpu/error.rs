//! Why GPUs cannot be measured.

use std::{fmt, time::Duration};

/// How long a driver may take to answer. One that has to wake a GPU first takes seconds; one that has lost a GPU, for ever.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Why GPUs cannot be measured, in words for users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuError(String);

impl GpuError {
    pub(super) fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }

    pub(super) fn too_late(who: &str) -> Self {
        Self(format!("{who} did not answer within {} s", PATIENCE.as_secs()))
    }
}

impl fmt::Display for GpuError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for GpuError {}
