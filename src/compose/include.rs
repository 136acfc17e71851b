//! `include`: whole models that are loaded on their own and then become part of this one.

use std::path::{Path, PathBuf};

use super::{
    extend::at_reference,
    files::absolute,
    limits,
    load::{Loader, Scope, Stop, wrong},
    tree::{Mapping, Node, Value},
};
use crate::diagnostic::{Diagnostic, Span, did_you_mean};

/// What an included model brings.
const KINDS: [&str; 6] = ["services", "volumes", "networks", "secrets", "configs", "models"];

/// One entry of the list.
struct Include {
    paths: Vec<(String, Span)>,
    project_directory: Option<String>,
    env_files: Vec<(String, Span)>,
    at: Span,
}

impl Loader<'_> {
    /// Takes `include` out of a file's tree and puts in what it names.
    pub(super) fn include(&mut self, tree: &mut Node, file: &Path, scope: &Scope) -> Result<(), Stop> {
        let Some(list) = tree.as_mapping_mut().and_then(|tree| tree.remove("include")) else { return Ok(()) };
        if list.is_null() {
            return Ok(());
        }
        let Some(items) = list.as_sequence() else {
            return Err(wrong("schema", format!("`include` must be a list, not {}", list.kind()), list.span));
        };
        for item in items {
            let include = self.entry(item)?;
            let imported = self.included(&include, file, scope)?;
            for kind in KINDS {
                if let Some(from) = imported.get(kind) {
                    import(tree, kind, from, include.at)?;
                }
            }
        }
        Ok(())
    }

    fn entry(&mut self, item: &Node) -> Result<Include, Stop> {
        let at = item.span;
        if let Some(path) = item.as_str() {
            let paths = vec![(path.to_owned(), at)];
            return Ok(Include { paths, project_directory: None, env_files: Vec::new(), at });
        }
        if item.as_mapping().is_none() {
            let message = format!("an item of `include` must be a path or a mapping, not {}", item.kind());
            return Err(wrong("schema", message, at));
        }
        for (key, entry) in item.entries() {
            let known = ["path", "project_directory", "env_file"];
            if !known.contains(&key) {
                let warning = Diagnostic::warning("unknown-attribute", format!("`include` has no `{key}`"));
                let help = did_you_mean(key, known).map(|near| format!("did you mean `{near}`?"));
                self.problems.push(Diagnostic { help, ..warning.at(entry.key, "it is ignored") });
            }
        }
        let paths = texts(item.get("path"))?;
        if paths.is_empty() {
            return Err(wrong("schema", "an item of `include` has no `path`", at));
        }
        let project_directory = match item.get("project_directory").map(|node| (&node.value, node)) {
            None | Some((Value::Null, _)) => None,
            Some((Value::String(text), _)) => Some(text.clone()),
            Some((Value::Int(number), _)) => Some(number.to_string()),
            Some((_, node)) => {
                let message = format!("`project_directory` must be a path, not {}", node.kind());
                return Err(wrong("schema", message, node.span));
            }
        };
        Ok(Include { paths, project_directory, env_files: texts(item.get("env_file"))?, at })
    }

    /// The model that an entry names.
    fn included(&mut self, include: &Include, file: &Path, scope: &Scope) -> Result<Node, Stop> {
        let mut files = Vec::new();
        for (path, at) in &include.paths {
            files.push((self.local(path, *at, scope)?, *at));
        }
        let mut trail = scope.included.clone();
        trail.push(file.to_owned());
        let Some((main, at)) = files.first() else { return Err(Stop::Reported) };
        if trail.contains(main) {
            let names: Vec<String> = trail.iter().chain([main]).map(|path| self.reader.shown(path)).collect();
            let message = format!("files include each other in a circle: {}", names.join(" -> "));
            return Err(wrong("include-cycle", message, *at));
        }
        if trail.len() > limits::INCLUDE_DEPTH {
            let message = format!("more than {} files include each other", limits::INCLUDE_DEPTH);
            return Err(wrong("include-too-deep", message, *at));
        }
        self.included_files += files.len();
        if self.included_files > limits::INCLUDED_FILES {
            let message = format!("this project includes more than {} files", limits::INCLUDED_FILES);
            let problem = Diagnostic::error("too-many-includes", message).at(*at, "");
            return Err(problem
                .help("a file that is included in several places is loaded in each of them")
                .into());
        }
        let directory = match include.project_directory.as_deref().filter(|given| !given.is_empty()) {
            Some(directory) => absolute(&scope.directory, Path::new(directory)),
            None => main.parent().unwrap_or(Path::new("/")).to_owned(),
        };
        let mut configs = Vec::new();
        for (path, at) in &files {
            let config = self.reader.config(path.clone());
            configs.push(config.map_err(|problem| at_reference(problem.into(), *at))?);
        }
        let env_files = self.env_files(include, &directory, scope)?;
        let variables = self
            .reader
            .variables(&env_files, &scope.environment, &mut self.problems)
            .map_err(|problem| at_reference(problem.into(), include.at))?;
        let mut environment = scope.environment.clone();
        environment.add_missing(&variables);
        self.model(configs, &Scope { directory, environment, included: trail })
    }

    /// The env files of an entry: the ones it names, else the `.env` beside it.
    fn env_files(&self, include: &Include, directory: &Path, scope: &Scope) -> Result<Vec<PathBuf>, Stop> {
        let files = self.reader.files;
        if include.env_files.is_empty() {
            let beside = directory.join(".env");
            return Ok(if files.exists(&beside) && !files.is_dir(&beside) {
                vec![beside]
            } else {
                Vec::new()
            });
        }
        let mut paths = Vec::new();
        for (path, at) in &include.env_files {
            let local = absolute(&scope.directory, Path::new(path));
            if !files.exists(&local) || files.is_dir(&local) {
                return Err(wrong("missing-file", format!("there is no env file `{path}`"), *at));
            }
            paths.push(local);
        }
        Ok(paths)
    }
}

/// One text or a list of texts.
fn texts(node: Option<&Node>) -> Result<Vec<(String, Span)>, Stop> {
    let Some(node) = node.filter(|node| !node.is_null()) else { return Ok(Vec::new()) };
    let items = node.as_sequence().unwrap_or(std::slice::from_ref(node));
    items
        .iter()
        .map(|item| match item.as_str() {
            Some(text) => Ok((text.to_owned(), item.span)),
            None => Err(wrong("schema", format!("a path must be a string, not {}", item.kind()), item.span)),
        })
        .collect()
}

/// Copies definitions of one kind into the including file; what both define must be the same.
fn import(tree: &mut Node, kind: &str, from: &Node, include: Span) -> Result<(), Stop> {
    let Some(tree) = tree.as_mapping_mut() else { return Ok(()) };
    if tree.get(kind).is_none_or(Node::is_null) {
        tree.insert(kind, include, Node::mapping(Mapping::default(), include));
    }
    let Some(into) = tree.get_mut(kind).and_then(Node::as_mapping_mut) else { return Ok(()) };
    for (name, entry) in from.entries() {
        match into.entry(name) {
            Some(own) if own.value.same_as(&entry.value) => {}
            Some(own) => {
                let problem = Diagnostic::error(
                    "include-conflict",
                    format!("`{kind}.{name}` is also included, and differs"),
                );
                return Err(problem
                    .at(own.key, "defined here")
                    .at(entry.key, "and in the included file")
                    .at(include, "included here")
                    .help("rename one of them, or put the changes into a further file of that `include`")
                    .into());
            }
            None => {
                into.insert(name, entry.key, entry.value.clone());
            }
        }
    }
    Ok(())
}
