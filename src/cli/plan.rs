//! `plan`.

use std::io::{self, Write as _};

use super::{
    CliError, Exit, Invocation,
    args::{Format, PlanArgs},
    fingerprints::fingerprints,
    up,
};
use crate::{
    diagnostic::{Diagnostic, SourceMap, render_all},
    plan::{self, Observed, UpOptions, plan_json, plan_text},
    run::look,
};

/// Prints what `up` would do, and does nothing.
///
/// # Errors
///
/// The files are wrong, the project cannot be planned, or the engine cannot be reached.
pub(super) async fn run(invocation: &Invocation, args: &PlanArgs) -> Result<Exit, CliError> {
    let project = up::project(invocation, &args.up).await?;
    let mut options = UpOptions { offline: args.offline, ..up::options(invocation, &args.up) };
    let observed = if args.offline {
        Observed::default()
    } else {
        let engine = invocation.connect().await?;
        up::refuse(&project, engine.info())?;
        if let Some((known, _)) = fingerprints(invocation, &project, &engine.info().host) {
            options.fingerprints = known;
        }
        let observed = look(engine.as_ref(), &project).await;
        observed.map_err(|error| CliError::engine("failed to list what the engine has", &error))?
    };
    let faulty = |faults: Vec<Diagnostic>| CliError::files(render_all(&faults, &SourceMap::default(), false));
    let supply = plan::supply(&project, up::cores()).map_err(faulty)?;
    options.unsupplied = supply.is_some();
    if args.up.yes {
        options.replace_volumes = plan::drift(&project, &observed).volumes.into_iter().collect();
    }
    let mut plan = plan::up(&project, &observed, &options).map_err(faulty)?;
    if let Some(supply) = supply {
        plan.warnings.extend(plan::unsupplied(&project, &plan));
        plan = plan.preceded_by(supply);
    }
    let text = match args.format {
        Format::Table => plan_text(&plan),
        Format::Json => format!("{:#}\n", plan_json(&plan)),
    };
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::failed("failed to write to standard output").caused_by(&error))
        }
        _ => Ok(Exit::Fine),
    }
}
