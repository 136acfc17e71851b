//! `doctor`: everything that a start needs, looked at one by one, with what to do where something is wrong.
//!
//! A check never stops the others: what keeps it from its answer is what it finds.

mod engine;
mod finding;
mod here;
mod project;

use std::sync::Arc;

use super::{
    CliError, Exit, Invocation,
    args::{DoctorArgs, Format},
    entry::print,
};
use crate::engine::Engine;
use finding::{Finding, Mark, json, text};

/// Looks at everything and says what it finds.
///
/// # Errors
///
/// None: what is wrong is what it finds.
pub(super) async fn run(invocation: &Invocation, args: &DoctorArgs) -> Result<Exit, CliError> {
    let findings = examine(invocation, args).await;
    let is_plain = !invocation.terminals.stdout || invocation.env("NO_COLOR").is_some();
    let is_broken = findings.iter().any(|finding| finding.mark == Mark::Problem);
    print(&match args.format {
        Format::Json => format!("{:#}\n", json(&findings)),
        Format::Table => text(&findings, is_plain),
    });
    Ok(if is_broken { Exit::Failed } else { Exit::Fine })
}

async fn examine(invocation: &Invocation, args: &DoctorArgs) -> Vec<Finding> {
    let connected: Result<Arc<dyn Engine>, CliError> = invocation.connect().await;
    let mut findings = match &connected {
        Ok(engine) => engine::check(&**engine).await,
        Err(error) => vec![engine::unreachable(error)],
    };
    let engine = connected.as_deref().ok();
    findings.extend(here::plugins(&invocation.tools()).await);
    findings.push(here::state_folder(invocation));
    findings.extend(project::check(invocation, engine, args).await);
    findings
}
