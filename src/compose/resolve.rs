//! Values that come from the project's environment or from files: bare names in `environment`, `env_file`,
//! `label_file`, secrets and configs.

use std::{collections::HashMap, path::Path};

use indexmap::IndexMap;

use super::{
    dotenv,
    files::{Reader, dotenv_error, unset_warnings},
    source::Environment,
    tree::{Node, Value},
};
use crate::{
    diagnostic::{Diagnostic, Span},
    project::{EnvFile, Project, Sensitive, Service},
};

/// Gives the bare names in lists under `environment` their values, and configs the content they take from a
/// variable.
pub(super) fn environment(tree: &mut Node, environment: &Environment) {
    if let Some(services) = tree.get_mut("services") {
        for (_, entry) in services.entries_mut() {
            let Some(variables) = entry.value.get_mut("environment").and_then(Node::as_sequence_mut) else {
                continue;
            };
            variables.retain(|variable| variable.as_str().is_some());
            for variable in variables {
                if let Value::String(text) = &mut variable.value
                    && let Some(value) = environment.get(text)
                {
                    *text = format!("{text}={value}");
                }
            }
        }
    }
}

/// Keeps the values that secrets and configs take from variables an included model sees and the project does not.
pub(super) fn captured(tree: &Node, environment: &Environment, kept: &mut Captured) {
    for kind in ["secrets", "configs"] {
        for (name, entry) in tree.get(kind).into_iter().flat_map(Node::entries) {
            let variable = entry.value.get("environment").and_then(Node::as_str);
            if let Some(value) = variable.and_then(|variable| environment.get(variable)) {
                kept.entry((kind, name.to_owned())).or_insert_with(|| Sensitive::new(value.to_owned()));
            }
        }
    }
}

/// Values of secrets and configs, by kind and name.
pub(super) type Captured = HashMap<(&'static str, String), Sensitive<String>>;

/// Gives secrets and configs the values that were kept for them.
pub(super) fn hand_out(project: &mut Project, mut kept: Captured) {
    for (kind, objects) in [("secrets", &mut project.secrets), ("configs", &mut project.configs)] {
        for (name, object) in objects {
            if object.captured.is_none() {
                object.captured = kept.remove(&(kind, name.clone()));
            }
        }
    }
}

/// Puts the variables of `env_file` under those of `environment`, for every active service; `env_file` is then
/// empty.
pub(super) fn env_files(
    project: &mut Project,
    reader: &mut Reader<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Result<(), Diagnostic> {
    let variables = &project.environment;
    for (name, service) in &mut project.services {
        for (variable, value) in &mut service.environment {
            if value.is_none() {
                *value = variables.get(variable).cloned();
            }
        }
        let mut merged: IndexMap<String, String> = service
            .environment
            .iter()
            .filter_map(|(variable, value)| Some((variable.clone(), value.clone()?)))
            .collect();
        let lookup = |variable: &str| {
            let own = || service.environment.get(variable).cloned().flatten();
            variables.get(variable).cloned().or_else(own)
        };
        for (index, file) in service.env_file.iter().enumerate() {
            let place = project.places.get(&format!("services.{name}.env_file[{index}]"));
            let place = place.or_else(|| project.places.get(&format!("services.{name}.env_file")));
            read_env_file(file, place.copied(), reader, &lookup, (&mut merged, problems))?;
        }
        let own = std::mem::take(&mut service.environment);
        service.environment = merged.into_iter().map(|(variable, value)| (variable, Some(value))).collect();
        service.environment.extend(own);
        service.environment.sort_unstable_keys();
        service.env_file.clear();
    }
    Ok(())
}

fn read_env_file(
    file: &EnvFile,
    place: Option<Span>,
    reader: &mut Reader<'_>,
    lookup: &dyn Fn(&str) -> Option<String>,
    (variables, problems): (&mut IndexMap<String, String>, &mut Vec<Diagnostic>),
) -> Result<(), Diagnostic> {
    let path = Path::new(&file.path);
    if !reader.files.exists(path) {
        if !file.required {
            return Ok(());
        }
        let message = format!("there is no env file `{}`", reader.shown(path));
        return Err(placed(Diagnostic::error("missing-file", message), place)
            .help("create it, or say `required: false` where it may be missing"));
    }
    let id = reader.text(path, "env file").map_err(|problem| placed(problem, place))?;
    let text = reader.sources.text(id);
    match file.format.as_deref().unwrap_or_default() {
        "" | ".env" => {
            let unset =
                dotenv::parse(text, lookup, variables).map_err(|error| dotenv_error(&error, id, text))?;
            problems.extend(unset_warnings(unset, id));
        }
        "raw" => {
            dotenv::parse_raw(text, lookup, variables).map_err(|error| dotenv_error(&error, id, text))?;
        }
        other => {
            let message = format!("`{other}` is no format of an env file");
            return Err(placed(Diagnostic::error("env-file-format", message), place)
                .help("leave `format` out, or say `raw`"));
        }
    }
    Ok(())
}

/// Puts the labels of `label_file` under those of `labels`, for every active service.
pub(super) fn label_files(project: &mut Project, reader: &mut Reader<'_>) -> Result<(), Diagnostic> {
    for (name, service) in &mut project.services {
        let mut labels = IndexMap::new();
        for file in &service.label_file {
            let path = Path::new(file);
            let place = project.places.get(&format!("services.{name}.label_file")).copied();
            if !reader.files.exists(path) {
                let message = format!("there is no label file `{}`", reader.shown(path));
                return Err(placed(Diagnostic::error("missing-file", message), place));
            }
            let id = reader.text(path, "label file").map_err(|problem| placed(problem, place))?;
            let text = reader.sources.text(id);
            let known = labels.clone();
            let lookup = |label: &str| known.get(label).cloned();
            dotenv::parse(text, &lookup, &mut labels).map_err(|error| dotenv_error(&error, id, text))?;
        }
        override_labels(service, labels);
    }
    Ok(())
}

fn override_labels(service: &mut Service, mut labels: IndexMap<String, String>) {
    labels.extend(std::mem::take(&mut service.labels));
    labels.sort_unstable_keys();
    service.labels = labels;
}

/// A problem with a file of its own is shown where the file is named.
fn placed(problem: Diagnostic, place: Option<Span>) -> Diagnostic {
    match place {
        Some(span) if problem.labels.is_empty() => problem.at(span, "named here"),
        _ => problem,
    }
}
