//! Nothing while a run goes on.

use super::Report;

/// Shows nothing; the final words after a failure are the caller's.
#[derive(Debug, Default)]
pub struct QuietReport;

impl Report for QuietReport {}
