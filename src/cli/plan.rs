//! `plan`.

use std::io::{self, Write as _};

use super::{
    CliError, Exit, Invocation,
    args::{PlanArgs, PlanFormat},
    expected::{expected, forecast},
    fingerprints::fingerprints,
    up, vram,
};
use crate::{
    diagnostic::{Diagnostic, Severity},
    engine::Engine,
    machine::ThisMachine,
    plan::{self, Draft, Observed, UpOptions, plan_dot, plan_json, plan_mermaid, plan_text},
    project::Project,
    run::{Intended, look, preflight},
};

/// Prints what `up` would do, and does nothing.
///
/// # Errors
///
/// The files are wrong, the project cannot be planned, or the engine cannot be reached.
pub(super) async fn run(invocation: &Invocation, args: &PlanArgs) -> Result<Exit, CliError> {
    let project = up::project(invocation, &args.up).await?;
    if args.vram {
        return vram::run(invocation, args, &project).await;
    }
    let options = UpOptions { offline: args.offline, ..up::options(invocation, &args.up) };
    let engine = if args.offline { None } else { Some(invocation.connect().await?) };
    show(invocation, &project, engine.as_deref(), options, (args.format, args.up.yes)).await
}

/// Prints the plan of a project. `engine`: `None`, as if nothing were there. `yes`: every question is answered so.
///
/// # Errors
///
/// The project cannot be planned, or the engine does not tell what it has.
pub(super) async fn show(
    invocation: &Invocation,
    project: &Project,
    engine: Option<&dyn Engine>,
    mut options: UpOptions,
    (format, yes): (PlanFormat, bool),
) -> Result<Exit, CliError> {
    let colour = invocation.display().err_colour;
    let in_the_way = |found: Vec<Diagnostic>| CliError::in_the_way(&found, &project.sources, colour);
    let observed = match engine {
        None => Observed::default(),
        Some(engine) => {
            up::refuse(project, engine.info())?;
            if let Some((known, _)) = fingerprints(invocation, project, &engine.info().host) {
                options.fingerprints = known;
            }
            let observed = look(engine, project).await;
            observed.map_err(|error| CliError::engine("failed to list what the engine has", &error))?
        }
    };
    let supply = plan::supply(project, up::cores()).map_err(in_the_way)?;
    options.unsupplied = supply.is_some();
    if yes {
        options.replace_volumes = plan::drift(project, &observed).volumes.into_iter().collect();
    }
    let Draft { mut plan, mut faults } = plan::draft(project, &observed, &options).map_err(in_the_way)?;
    let intended = Intended { project, observed: &observed, options: &options, plan: &plan };
    let found = preflight(engine, Some(&ThisMachine), intended).await;
    let (errors, warnings): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|found| found.severity == Severity::Error);
    faults.extend(errors);
    if !faults.is_empty() {
        faults.extend(warnings);
        return Err(in_the_way(faults));
    }
    plan.warnings.extend(warnings.iter().map(Diagnostic::sentence));
    if let Some(supply) = supply {
        plan.warnings.extend(plan::unsupplied(project, &plan));
        plan = plan.preceded_by(supply);
    }
    let forecast = forecast(&expected(invocation, &project.name), project, &plan);
    let forecast = forecast.as_ref();
    let text = match format {
        PlanFormat::Table => plan_text(&plan, forecast),
        PlanFormat::Json => format!("{:#}\n", plan_json(&plan, forecast)),
        PlanFormat::Dot => plan_dot(&plan, forecast),
        PlanFormat::Mermaid => plan_mermaid(&plan, forecast),
    };
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::failed("failed to write to standard output").caused_by(&error))
        }
        _ => Ok(Exit::Fine),
    }
}
