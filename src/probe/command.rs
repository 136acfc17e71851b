//! Whether a command in the container exits with 0.

use std::time::Duration;

use super::{
    answer::short,
    prober::{Answer, no_answer},
};
use crate::engine::{Engine, EngineErrorKind, ExecRequest};

/// Runs it, and keeps the last line that it printed.
pub(super) async fn ask(engine: &dyn Engine, container: &str, command: &[String], limit: Duration) -> Answer {
    let request = ExecRequest { command: command.to_vec(), timeout: Some(limit), ..ExecRequest::default() };
    match engine.exec(container, &request).await {
        Ok(output) => {
            let said = last_line(&output.output).map(|line| format!(": {line}")).unwrap_or_default();
            Answer::new(output.code == 0, format!("exit {}{said}", output.code))
        }
        // The engine gives up at the same moment as the prober: the same words, whoever is first.
        Err(error) if error.kind == EngineErrorKind::TimedOut => Answer::new(false, no_answer(limit)),
        Err(error) => Answer::new(false, error.to_string()),
    }
}

/// The last line with something on it, cut to a readable length.
pub(super) fn last_line(output: &str) -> Option<String> {
    output.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(short)
}
