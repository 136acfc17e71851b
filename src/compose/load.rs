//! The order of steps from files to a project.
//!
//! Each file's documents go through the same steps one after the other, over what was merged so far; what follows
//! works on the whole. An `include`d model goes through the steps of files on its own.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use super::{
    Environment, Files, LoadOptions, Skip,
    canonical::{self, Unreadable},
    casts, check, decode, defaults,
    extend::rebase_extends,
    extension,
    files::{self, ConfigFile, Found, Reader},
    interpolate,
    merge::{self, Resets},
    normalise, paths, profiles, resolve, schema,
    tree::{Mapping, Node},
};
use crate::{
    diagnostic::{Diagnostic, Severity, SourceMap, Span},
    project::Project,
};

/// What loading the files ends with, before anything is decoded.
#[derive(Debug)]
pub struct LoadedTree {
    /// The merged tree in canonical form; nothing where a diagnostic is an error.
    pub tree: Option<Node>,
    /// The project's name.
    pub name: String,
    /// Everything found wrong or doubtful, in the order it was found.
    pub diagnostics: Vec<Diagnostic>,
    /// The files that the diagnostics point into.
    pub sources: SourceMap,
}

/// What loading a project ends with.
#[derive(Debug)]
pub struct Loaded {
    /// The project; nothing where a diagnostic is an error.
    pub project: Option<Project>,
    /// Everything found wrong or doubtful, in the order it was found.
    pub diagnostics: Vec<Diagnostic>,
    /// The files that the diagnostics point into.
    pub sources: SourceMap,
}

/// A merged tree and what it was made from.
struct Merged {
    tree: Node,
    name: String,
    directory: PathBuf,
    environment: Environment,
    environment_files: Vec<PathBuf>,
    config_files: Vec<PathBuf>,
}

/// Why a step does not go on.
pub(super) enum Stop {
    /// For a reason that is among the problems.
    Reported,
    /// For this one.
    Because(Box<Diagnostic>),
}

impl From<Diagnostic> for Stop {
    fn from(problem: Diagnostic) -> Self {
        Self::Because(Box::new(problem))
    }
}

/// Where a model lives and what it sees: the project, or something it includes.
pub(super) struct Scope {
    /// Absolute base of relative paths.
    pub(super) directory: PathBuf,
    /// What `${…}` is looked up in.
    pub(super) environment: Environment,
    /// The files on the way here, the including one last; each with the place that includes the next.
    pub(super) included: Vec<PathBuf>,
}

/// The services of a file that others extend, and what it takes back itself.
pub(super) struct BaseFile {
    pub(super) services: Option<Node>,
    pub(super) resets: Resets,
}

/// What the steps work with.
pub(super) struct Loader<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) skip: Skip,
    pub(super) home: Option<String>,
    pub(super) problems: Vec<Diagnostic>,
    /// Files that were extended, by path and including directory.
    pub(super) bases: HashMap<(PathBuf, PathBuf), Rc<BaseFile>>,
    /// How many files were included so far.
    pub(super) included_files: usize,
    /// Values of secrets and configs.
    captured: resolve::Captured,
}

/// What names without a value are given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fill {
    /// The value of the project's environment.
    FromEnvironment,
    /// Nothing: the files are shown as they are written.
    Nothing,
}

/// Which steps a file goes through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Part of a model.
    Part,
    /// Only there to be extended: neither checked nor extended itself.
    Base,
}

/// Loads a project: its files merged, decoded, checked, and narrowed to the services that take part.
pub fn load(files: &dyn Files, process: &Environment, options: &LoadOptions) -> Loaded {
    let mut sources = SourceMap::default();
    let mut loader = Loader::new(files, process, options, &mut sources);
    let project = loader.project(process, options);
    let (mut project, diagnostics) = loader.end(project);
    if let Some(project) = &mut project {
        // What is wrong around the project is found later, and told with its place too.
        project.sources = Arc::new(sources.clone());
    }
    Loaded { project, diagnostics, sources }
}

/// Loads the files of a project into one tree, for those who want to see it as it is written.
pub fn load_tree(files: &dyn Files, process: &Environment, options: &LoadOptions) -> LoadedTree {
    let mut sources = SourceMap::default();
    let mut loader = Loader::new(files, process, options, &mut sources);
    let merged = loader.merged(process, options, Fill::Nothing);
    let (merged, diagnostics) = loader.end(merged);
    let (tree, name) = merged.map(|merged| (merged.tree, merged.name)).unzip();
    LoadedTree { tree, name: name.unwrap_or_default(), diagnostics, sources }
}

impl<'a> Loader<'a> {
    fn new(
        files: &'a dyn Files,
        process: &Environment,
        options: &'a LoadOptions,
        sources: &'a mut SourceMap,
    ) -> Self {
        Self {
            reader: Reader { files, current_dir: &options.current_dir, sources },
            skip: options.skip,
            home: process.get("HOME").map(str::to_owned),
            problems: Vec::new(),
            bases: HashMap::new(),
            included_files: 0,
            captured: resolve::Captured::new(),
        }
    }

    /// What came out, and all that is to be said about it.
    fn end<T>(mut self, result: Result<T, Stop>) -> (Option<T>, Vec<Diagnostic>) {
        let value = match result {
            Ok(value) => Some(value),
            Err(Stop::Reported) => None,
            Err(Stop::Because(problem)) => {
                self.problems.push(*problem);
                None
            }
        };
        let mut said: Vec<Diagnostic> = Vec::new();
        for problem in self.problems {
            if !said.contains(&problem) {
                said.push(problem);
            }
        }
        (value, said)
    }

    fn project(&mut self, process: &Environment, options: &LoadOptions) -> Result<Project, Stop> {
        let merged = self.merged(process, options, Fill::FromEnvironment)?;
        let (mut project, problems) = decode::project(&merged.tree, &merged.name, &merged.environment);
        self.problems.extend(problems);
        self.stop_at_errors()?;
        project.compatibility =
            options.compatibility || is_true(merged.environment.get("COMPOSE_COMPATIBILITY"));
        project.working_dir = merged.directory;
        project.config_files = merged.config_files;
        project.environment_files = merged.environment_files;
        resolve::hand_out(&mut project, std::mem::take(&mut self.captured));
        let active = active_profiles(options, &merged.environment);
        profiles::apply(&mut project, &active);
        if !self.skip.consistency {
            self.problems.extend(check::project(&project));
            self.stop_at_errors()?;
        }
        self.problems.extend(extension::apply(&merged.tree, &mut project));
        self.stop_at_errors()?;
        resolve::label_files(&mut project, &mut self.reader)?;
        profiles::select(&mut project, &options.services, &active)?;
        extension::keep_active(&mut project);
        if !self.skip.pruning {
            profiles::prune(&mut project);
        }
        if !self.skip.consistency {
            self.problems.extend(check::container_names(&project));
        }
        if !self.skip.env_resolution {
            resolve::env_files(&mut project, &mut self.reader, &mut self.problems)?;
        }
        self.stop_at_errors()?;
        Ok(project)
    }

    fn merged(&mut self, process: &Environment, options: &LoadOptions, fill: Fill) -> Result<Merged, Stop> {
        let Found { configs, directory, mut environment, environment_files, name } =
            files::find(&mut self.reader, process, options, &mut self.problems)?;
        if fill == Fill::Nothing {
            environment = Environment::default();
        }
        let config_files = configs.iter().map(|config| config.path.clone()).collect();
        let scope = Scope { directory, environment, included: Vec::new() };
        let mut tree = self.model(configs, &scope)?;
        if tree.as_mapping().is_none_or(Mapping::is_empty) {
            return Err(empty().into());
        }
        if !self.skip.normalisation {
            normalise::normalise(&mut tree, &name, &scope.environment);
        }
        let Scope { directory, environment, .. } = scope;
        Ok(Merged { tree, name, directory, environment, environment_files, config_files })
    }

    /// The steps of files, and what can be done before a model becomes part of a project.
    pub(super) fn model(&mut self, configs: Vec<ConfigFile>, scope: &Scope) -> Result<Node, Stop> {
        let mut tree: Option<Node> = None;
        for config in configs {
            let (merged, _) = self.file(config, scope, tree, Role::Part)?;
            tree = merged;
        }
        let mut tree = tree.ok_or_else(empty)?;
        defaults::fill_in(&mut tree);
        self.problems.extend(check::tree(&tree));
        self.stop_at_errors()?;
        if !self.skip.path_resolution {
            self.resolve_paths(&mut tree, &scope.directory)?;
        }
        resolve::environment(&mut tree, &scope.environment);
        resolve::captured(&tree, &scope.environment, &mut self.captured);
        self.stop_at_errors()?;
        Ok(tree)
    }

    /// A file that services extend, with its own paths made absolute.
    pub(super) fn base(&mut self, path: &Path, scope: &Scope) -> Result<Rc<BaseFile>, Stop> {
        let key = (path.to_owned(), scope.directory.clone());
        if let Some(known) = self.bases.get(&key) {
            return Ok(Rc::clone(known));
        }
        let config = self.reader.config(path.to_owned())?;
        let (tree, resets) = self.file(config, scope, None, Role::Base)?;
        let services = match tree {
            None => None,
            Some(mut tree) => {
                let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
                self.resolve_paths(&mut tree, &directory)?;
                rebase_extends(&mut tree, &directory);
                tree.as_mapping_mut().and_then(|tree| tree.remove("services"))
            }
        };
        let base = Rc::new(BaseFile { services, resets });
        self.bases.insert(key, Rc::clone(&base));
        Ok(base)
    }

    fn file(
        &mut self,
        config: ConfigFile,
        scope: &Scope,
        mut tree: Option<Node>,
        role: Role,
    ) -> Result<(Option<Node>, Resets), Stop> {
        let mut last = Resets::default();
        for mut document in config.documents {
            let resets = Resets::take(&mut document);
            if document.as_mapping().is_none() {
                let message = format!("a Compose file must be a mapping, not {}", document.kind());
                return Err(Diagnostic::error("top-level", message).at(document.span, "").into());
            }
            if !self.skip.interpolation {
                let sources = &*self.reader.sources;
                self.problems.extend(interpolate::interpolate(&mut document, &scope.environment, sources));
                casts::cast(&mut document, &mut self.problems);
                self.stop_at_errors()?;
            }
            if role == Role::Part {
                self.extend_services(&mut document, &config.path, scope, &resets)?;
            }
            if let Some(tree) = &mut tree {
                resets.apply(tree);
            }
            if role == Role::Part {
                self.include(&mut document, &config.path, scope)?;
            }
            let mut merged = match tree.take() {
                Some(base) => merge::merge(base, document)?,
                None => document,
            };
            self.whole(&mut merged, role)?;
            tree = Some(merged);
            last = resets;
        }
        Ok((tree, last))
    }

    /// The steps after each merge, on everything merged so far.
    fn whole(&mut self, tree: &mut Node, role: Role) -> Result<(), Stop> {
        merge::drop_duplicates(tree, &mut self.problems);
        self.stop_at_errors()?;
        if role == Role::Part {
            self.problems.extend(schema::validate(tree));
            self.stop_at_errors()?;
            self.remove_version(tree);
        }
        let unreadable = if self.skip.interpolation { Unreadable::Keep } else { Unreadable::Refuse };
        canonical::canonicalise(tree, unreadable, &mut self.problems);
        self.stop_at_errors()?;
        merge::drop_duplicates(tree, &mut self.problems);
        self.stop_at_errors()
    }

    fn remove_version(&mut self, tree: &mut Node) {
        let Some(tree) = tree.as_mapping_mut() else { return };
        let Some(entry) = tree.0.shift_remove("version") else { return };
        let warning = Diagnostic::warning("obsolete-version", "`version` means nothing any more");
        self.problems.push(warning.at(entry.key, "").help("remove this line"));
    }

    fn resolve_paths(&mut self, tree: &mut Node, directory: &Path) -> Result<(), Stop> {
        let directory = directory.to_string_lossy();
        let base =
            paths::Base { directory: &directory, home: self.home.as_deref(), files: self.reader.files };
        base.resolve(tree, &mut self.problems);
        self.stop_at_errors()
    }

    pub(super) fn stop_at_errors(&self) -> Result<(), Stop> {
        if self.problems.iter().any(|problem| problem.severity == Severity::Error) {
            return Err(Stop::Reported);
        }
        Ok(())
    }
}

/// The profiles of the command line, else those of the environment.
fn active_profiles(options: &LoadOptions, environment: &Environment) -> Vec<String> {
    if !options.profiles.is_empty() {
        return options.profiles.clone();
    }
    let listed = environment.get("COMPOSE_PROFILES").unwrap_or_default();
    listed.split(',').map(|profile| profile.trim().to_owned()).collect()
}

/// Whether a switch in the environment is on.
fn is_true(text: Option<&str>) -> bool {
    text.is_some_and(|text| matches!(text.to_lowercase().as_str(), "1" | "t" | "true" | "y"))
}

fn empty() -> Diagnostic {
    Diagnostic::error("empty-file", "the Compose file is empty").help("it needs at least `services:`")
}

/// An error at a place, for steps that go no further.
pub(super) fn wrong(code: &'static str, message: impl Into<String>, at: Span) -> Stop {
    Diagnostic::error(code, message).at(at, "").into()
}

#[cfg(test)]
mod tests;
