//! What stands in a plan's way, found before its first change: what somebody else holds, and what the files name and
//! is not there. Only what this very plan will do is looked at.
//!
//! What is certain to fail is an error; what may fail is a warning. What a machine lacks is certain only where that is
//! the engine's own.

mod intent;
mod machine;
mod names;
mod ports;
mod things;

use intent::Intent;

use super::{Home, Observed, Plan, Questions, Surroundings, UpOptions};
use crate::{
    diagnostic::{Diagnostic, Severity},
    project::Project,
};

/// Codes of what somebody else holds: the files are fine.
const HELD: [&str; 2] = ["port-held", "name-held"];

/// What has to be known before a plan is carried out. Nothing, where no container is created or started.
pub fn questions(project: &Project, observed: &Observed, plan: &Plan) -> Questions {
    let intent = Intent::new(project, observed, plan);
    let mut questions = Questions {
        ports: ports::wishes(&intent).into_iter().map(|wish| wish.range).collect(),
        sources: things::sources(&intent).map(|source| source.path).collect(),
        space: !intent.images.is_empty(),
        ..Questions::default()
    };
    questions.paths = machine::needs(&intent).into_iter().map(|need| need.path).collect();
    questions.containers = !questions.ports.is_empty() || !intent.names.is_empty();
    questions.engine = questions.space || machine::asks_engine(&intent);
    questions
}

/// What stands in the way of a plan: errors and warnings.
pub fn preflight(
    project: &Project,
    observed: &Observed,
    (plan, options): (&Plan, &UpOptions),
    around: &Surroundings,
) -> Vec<Diagnostic> {
    let intent = Intent::new(project, observed, plan);
    let mut found = ports::held(&intent, around);
    found.extend(ports::twice(&intent));
    found.extend(names::held(&intent, around));
    found.extend(things::images(&intent, options));
    found.extend(things::missing_sources(&intent, &around.machine));
    found.extend(machine::missing(&intent, around));
    found.extend(machine::engine(&intent, around));
    found
}

/// Whether nothing is wrong but that others hold what is needed.
pub fn held(found: &[Diagnostic]) -> bool {
    let mut errors = found.iter().filter(|d| d.severity == Severity::Error).peekable();
    errors.peek().is_some() && errors.all(|error| HELD.contains(&error.code))
}

/// What this machine lacks, as the engine will see it; `None` where that says nothing about the engine.
fn on_machine(home: Home, diagnostic: Diagnostic) -> Option<Diagnostic> {
    match home {
        Home::Here => Some(diagnostic),
        Home::Unknown => Some(Diagnostic { severity: Severity::Warning, ..diagnostic }),
        Home::Elsewhere => None,
    }
}
