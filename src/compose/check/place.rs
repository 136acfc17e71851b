//! Places of what a rule speaks about.

use crate::{
    diagnostic::{Diagnostic, did_you_mean},
    project::Project,
};

/// Points at the first of some dotted paths that was written down.
pub(super) fn at(diagnostic: Diagnostic, project: &Project, paths: &[String], text: &str) -> Diagnostic {
    project.point(diagnostic, paths, text)
}

/// An error on an attribute of a service, or on the service where the attribute was not written down.
pub(super) fn on_service(
    project: &Project,
    service: &str,
    attribute: &str,
    code: &'static str,
    message: String,
) -> Diagnostic {
    let own = format!("services.{service}");
    let inner = format!("{own}.{attribute}");
    let whole = inner.split('[').next().unwrap_or_default().to_owned();
    at(Diagnostic::error(code, message), project, &[inner, whole, own], "")
}

/// Says which of the known names may have been meant, or where names come from.
pub(super) fn suggest<'a>(
    diagnostic: Diagnostic,
    written: &str,
    known: impl Iterator<Item = &'a String>,
    otherwise: String,
) -> Diagnostic {
    match did_you_mean(written, known.map(String::as_str)) {
        Some(name) => diagnostic.help(format!("did you mean `{name}`?")),
        None => diagnostic.help(otherwise),
    }
}
