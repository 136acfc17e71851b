//! `extends`: a service built on another one, of the same file or of a file of its own.

use std::path::{Path, PathBuf};

use super::{
    files::{absolute, is_remote, remote},
    limits,
    load::{Loader, Scope, Stop, wrong},
    merge::{self, Resets},
    tree::{Mapping, Node, Value},
};
use crate::diagnostic::{Diagnostic, Span, did_you_mean};

/// The services a look-up goes through, to notice a circle.
type Chain = Vec<(PathBuf, String, Span)>;

/// The file whose services are being looked at.
struct Within<'a> {
    scope: &'a Scope,
    file: &'a Path,
    resets: &'a Resets,
}

/// Another service that is named under `extends`.
struct Reference {
    service: String,
    file: Option<(String, Span)>,
    at: Span,
}

impl Loader<'_> {
    /// Puts what services extend under them.
    pub(super) fn extend_services(
        &mut self,
        tree: &mut Node,
        file: &Path,
        scope: &Scope,
        resets: &Resets,
    ) -> Result<(), Stop> {
        let Some(services) = tree.get_mut("services") else { return Ok(()) };
        let at = services.span;
        let Value::Mapping(services) = &mut services.value else {
            return Err(wrong(
                "schema",
                format!("`services` must be a mapping, not {}", services.kind()),
                at,
            ));
        };
        let names: Vec<String> = services.keys().map(str::to_owned).collect();
        for name in names {
            let within = Within { scope, file, resets };
            self.extended(&name, services, &within, &mut Chain::new())?;
        }
        Ok(())
    }

    /// Replaces a service by what it is with all that it extends, and returns it.
    fn extended(
        &mut self,
        name: &str,
        services: &mut Mapping,
        within: &Within<'_>,
        chain: &mut Chain,
    ) -> Result<Node, Stop> {
        let Some(service) = services.get(name).cloned() else { return Err(Stop::Reported) };
        if service.is_null() {
            return Ok(service);
        }
        if service.as_mapping().is_none() {
            let message = format!("`services.{name}` must be a mapping, not {}", service.kind());
            return Err(wrong("schema", message, service.span));
        }
        let Some(reference) = reference(name, &service)? else { return Ok(service) };
        let target = match &reference.file {
            Some((file, at)) => Some(self.local(file, *at, within.scope)?),
            None => None,
        };
        let target_file = target.as_deref().unwrap_or(within.file);
        if let Some(first) = chain.iter().position(|(file, known, _)| known == name && file == target_file) {
            return Err(circle(&chain[first..]).into());
        }
        if chain.len() >= limits::EXTENDS_DEPTH {
            let deep = limits::EXTENDS_DEPTH;
            let message = format!("more than {deep} services extend each other, one after the other");
            return Err(wrong("extends-too-deep", message, reference.at));
        }
        chain.push((target_file.to_owned(), name.to_owned(), reference.at));
        let base = match &target {
            None => {
                known(&reference, services, name)?;
                self.extended(&reference.service, services, within, chain)?
            }
            Some(path) => {
                let base = self.base(path, within.scope).map_err(|stop| {
                    at_reference(stop, reference.file.as_ref().map_or(reference.at, |(_, at)| *at))
                })?;
                let Some(Value::Mapping(mut services)) = base.services.clone().map(|services| services.value)
                else {
                    let shown = self.reader.shown(path);
                    return Err(wrong("unknown-service", format!("`{shown}` has no services"), reference.at));
                };
                known(&reference, &services, name)?;
                let within = Within { scope: within.scope, file: path, resets: &base.resets };
                self.extended(&reference.service, &mut services, &within, chain)?
            }
        };
        chain.pop();
        if base.is_null() {
            return Ok(service);
        }
        let mut base = base;
        within.resets.apply_to_service(name, &mut base);
        let mut merged = merge::merge_service(base, service, name)?;
        if let Some(merged) = merged.as_mapping_mut() {
            merged.remove("extends");
        }
        if let Some(slot) = services.get_mut(name) {
            *slot = merged.clone();
        }
        Ok(merged)
    }

    /// A path of the file as an absolute one.
    pub(super) fn local(&self, path: &str, at: Span, scope: &Scope) -> Result<PathBuf, Stop> {
        if is_remote(path) {
            return Err(remote(path).at(at, "").into());
        }
        Ok(match (path.strip_prefix('~'), &self.home) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                PathBuf::from(format!("{home}{rest}"))
            }
            _ => absolute(&scope.directory, Path::new(path)),
        })
    }
}

/// Makes the files that services of an extended file extend themselves absolute, from its own directory.
pub(super) fn rebase_extends(tree: &mut Node, directory: &Path) {
    let Some(services) = tree.get_mut("services") else { return };
    for (_, entry) in services.entries_mut() {
        if let Some(file) = entry.value.at_mut(&["extends", "file"])
            && let Value::String(path) = &mut file.value
            && !path.starts_with('~')
        {
            *path = absolute(directory, Path::new(path)).to_string_lossy().into_owned();
        }
    }
}

/// Whether what is extended is there.
fn known(reference: &Reference, services: &Mapping, name: &str) -> Result<(), Stop> {
    if services.contains_key(&reference.service) {
        return Ok(());
    }
    let file = reference.file.as_ref().map(|(file, _)| format!(" in `{file}`")).unwrap_or_default();
    let message = format!("`services.{name}` extends `{}`, which is no service{file}", reference.service);
    let mut problem = Diagnostic::error("unknown-service", message).at(reference.at, "");
    if let Some(near) = did_you_mean(&reference.service, services.keys()) {
        problem = problem.help(format!("did you mean `{near}`?"));
    }
    Err(problem.into())
}

/// What a service extends.
fn reference(name: &str, service: &Node) -> Result<Option<Reference>, Stop> {
    let Some(extends) = service.get("extends") else { return Ok(None) };
    let at = extends.span;
    if let Some(service) = extends.as_str() {
        return Ok(Some(Reference { service: service.to_owned(), file: None, at }));
    }
    let text = |key: &str| match extends.get(key) {
        None => Ok::<_, Stop>(None),
        Some(value) if value.is_null() => Ok(None),
        Some(value) => {
            let kind = value.kind();
            let message = || format!("`services.{name}.extends.{key}` must be a string, not {kind}");
            let text = value.as_str().ok_or_else(|| wrong("schema", message(), value.span))?;
            Ok(Some((text.to_owned(), value.span)))
        }
    };
    let Some((service, at)) = text("service")? else {
        let problem =
            Diagnostic::error("schema", format!("`services.{name}.extends` does not say which service"));
        return Err(problem.at(at, "").help("write `extends: {service: NAME}`").into());
    };
    Ok(Some(Reference { service, file: text("file")?, at }))
}

fn circle(chain: &[(PathBuf, String, Span)]) -> Diagnostic {
    let names: Vec<&str> = chain.iter().map(|(_, name, _)| name.as_str()).collect();
    let first = names.first().copied().unwrap_or_default();
    let message = format!("services extend each other in a circle: {} -> {first}", names.join(" -> "));
    let problem = Diagnostic::error("extends-cycle", message);
    chain.iter().rev().enumerate().fold(problem, |problem, (position, (_, name, span))| {
        let text = if position == 0 {
            "this closes the circle".to_owned()
        } else {
            format!("`{name}` extends this")
        };
        problem.at(*span, text)
    })
}

/// A problem with a file that has no place of its own is shown where the file is named.
pub(super) fn at_reference(stop: Stop, at: Span) -> Stop {
    match stop {
        Stop::Because(problem) if problem.labels.is_empty() => problem.at(at, "named here").into(),
        other => other,
    }
}
