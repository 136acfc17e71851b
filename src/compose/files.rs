//! Which files make the project, which directory it lives in, what its environment and its name are.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    dotenv,
    interpolate::{self, TemplateError},
    source::{Environment, Files, LoadOptions},
    tree::Node,
    yaml,
};
use crate::diagnostic::{Diagnostic, FileId, SourceMap, Span};

/// Names of the main file, in order of preference.
const MAIN: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
/// Names of the file that overrides it, in order of preference.
const OVERRIDE: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// A Compose file as it was read.
pub(super) struct ConfigFile {
    /// Absolute; `-` for standard input.
    pub(super) path: PathBuf,
    /// Its documents.
    pub(super) documents: Vec<Node>,
}

/// What a project is made from.
pub(super) struct Found {
    /// Compose files, in the order they are merged.
    pub(super) configs: Vec<ConfigFile>,
    /// Absolute base of relative paths.
    pub(super) directory: PathBuf,
    /// What `${…}` is looked up in.
    pub(super) environment: Environment,
    /// Env files that made it, as far as they were named.
    pub(super) environment_files: Vec<PathBuf>,
    /// The project's name; empty where the files ask for an empty one.
    pub(super) name: String,
}

/// Reads text files into the source map, under names as a user would write them.
pub(super) struct Reader<'a> {
    pub(super) files: &'a dyn Files,
    pub(super) current_dir: &'a Path,
    pub(super) sources: &'a mut SourceMap,
}

impl Reader<'_> {
    /// A path as messages show it: relative to the current directory where it lies below it.
    pub(super) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(self.current_dir).unwrap_or(path).display().to_string()
    }

    /// A file's text.
    pub(super) fn text(&mut self, path: &Path, what: &str) -> Result<FileId, Diagnostic> {
        let shown = self.shown(path);
        let bytes = if path == Path::new("-") { self.files.read_stdin() } else { self.files.read(path) };
        let bytes = bytes.map_err(|error| {
            let reason = match error.kind() {
                _ if self.files.is_dir(path) => "it is a directory".to_owned(),
                io::ErrorKind::NotFound => "it does not exist".to_owned(),
                io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
                _ => error.to_string(),
            };
            Diagnostic::error("unreadable-file", format!("cannot read the {what} `{shown}`: {reason}"))
        })?;
        let name = if path == Path::new("-") { "<stdin>".to_owned() } else { shown };
        match yaml::decode(&bytes) {
            Ok(text) => Ok(self.sources.add(name, text)),
            Err((offset, text)) => {
                let file = self.sources.add(name, text);
                let at = u32::try_from(offset).unwrap_or(u32::MAX);
                Err(Diagnostic::error("not-text", format!("the {what} is not UTF-8 text"))
                    .at(Span { file, start: at, end: at }, "")
                    .help("save it as UTF-8"))
            }
        }
    }

    /// A Compose file's documents.
    pub(super) fn config(&mut self, path: PathBuf) -> Result<ConfigFile, Diagnostic> {
        let file = self.text(&path, "Compose file")?;
        let documents = yaml::documents(file, self.sources)?;
        Ok(ConfigFile { path, documents })
    }

    /// The variables of files of `NAME=value` lines, later files over earlier ones.
    pub(super) fn variables(
        &mut self,
        paths: &[PathBuf],
        environment: &Environment,
        problems: &mut Vec<Diagnostic>,
    ) -> Result<Environment, Diagnostic> {
        let mut variables = Environment::default();
        for path in paths {
            if !self.files.exists(path) {
                let shown = self.shown(path);
                return Err(Diagnostic::error("missing-file", format!("there is no env file `{shown}`"))
                    .help("create it, or name another one with `--env-file`"));
            }
            let file = self.text(path, "env file")?;
            let text = self.sources.text(file);
            let lookup = |name: &str| environment.get(name).map(str::to_owned);
            match dotenv::parse(text, &lookup, &mut variables.0) {
                Ok(unset) => problems.extend(unset_warnings(unset, file)),
                Err(error) => return Err(dotenv_error(&error, file, text)),
            }
        }
        Ok(variables)
    }
}

/// A warning for each variable that a file of variables asks for in vain.
pub(super) fn unset_warnings(unset: Vec<String>, file: FileId) -> impl Iterator<Item = Diagnostic> {
    unset.into_iter().map(move |name| {
        Diagnostic::warning(
            "unset-variable",
            format!("the variable `{name}` is not set; it becomes an empty text"),
        )
        .at(Span { file, start: 0, end: 0 }, "")
    })
}

/// What is wrong in a file of variables, at its line.
pub(super) fn dotenv_error(error: &dotenv::DotenvError, file: FileId, text: &str) -> Diagnostic {
    let length = text.get(error.offset..).and_then(|rest| rest.lines().next()).map_or(0, str::len);
    let byte = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
    let span = Span { file, start: byte(error.offset), end: byte(error.offset + length) };
    Diagnostic::error("env-file-syntax", error.message.clone())
        .at(span, "")
        .help("a line is `NAME=value`; quote values with blanks or `#`")
}

/// Finds and reads everything that a project is made from.
pub(super) fn find(
    reader: &mut Reader<'_>,
    process: &Environment,
    options: &LoadOptions,
    problems: &mut Vec<Diagnostic>,
) -> Result<Found, Diagnostic> {
    let current = &options.current_dir;
    if let Some(path) = options.files.iter().find(|path| is_remote(path)) {
        return Err(remote(path));
    }
    let mut environment = process.clone();
    if environment.get("PWD").is_none() {
        environment.set("PWD", current.display().to_string());
    }
    let mut configs: Vec<PathBuf> =
        options.files.iter().map(|file| absolute(current, Path::new(file))).collect();
    let explicit = explicit_env_files(&environment, options);
    let env_files = |reader: &Reader<'_>, environment: &Environment, directory: &Path| {
        if explicit.is_empty() {
            default_env_file(reader, environment, directory)
        } else {
            Ok(explicit.clone())
        }
    };

    // Settings of Compose in an env file count as if the shell had set them.
    let directory = working_dir(&configs, options);
    let paths = env_files(reader, &environment, &directory)?;
    let early = reader.variables(&paths, &environment, &mut Vec::new())?;
    for (name, value) in early.0.into_iter().filter(|(name, _)| name.starts_with("COMPOSE_")) {
        environment.0.entry(name).or_insert(value);
    }
    let switches = environment.clone();

    let paths = env_files(reader, &switches, &directory)?;
    let variables = reader.variables(&paths, &environment, problems)?;
    environment.add_missing(&variables);
    if configs.is_empty() {
        configs = from_environment(reader, &environment, current)?;
    }
    if configs.is_empty() {
        configs = discover(reader, &directory, problems)?;
    }
    let directory = working_dir(&configs, options);
    let later = env_files(reader, &switches, &directory)?;
    if later != paths {
        let variables = reader.variables(&later, &environment, problems)?;
        environment.add_missing(&variables);
    }

    let configs = configs.into_iter().map(|path| reader.config(path)).collect::<Result<Vec<_>, _>>()?;
    let name = project_name(&configs, &environment, &directory, options)?;
    environment.set("COMPOSE_PROJECT_NAME", name.clone());
    Ok(Found { configs, directory, environment, environment_files: explicit, name })
}

/// Whether a path is an address of another machine: a Git repository or an OCI artifact.
pub(super) fn is_remote(path: &str) -> bool {
    ["oci://", "git://", "git@", "ssh://", "http://", "https://", "github.com/"]
        .iter()
        .any(|start| path.starts_with(start))
}

/// Says that files of other machines are not fetched.
pub(super) fn remote(path: &str) -> Diagnostic {
    Diagnostic::error("remote-file", format!("`{path}` is on another machine; only local files are read"))
        .help(format!("fetch it first: `docker compose -f {path} config > compose.yaml`"))
}

/// A path seen from a directory, without `.` and `..`; `-` stays.
pub(super) fn absolute(directory: &Path, path: &Path) -> PathBuf {
    if path == Path::new("-") {
        return path.to_owned();
    }
    PathBuf::from(super::paths::clean(&directory.join(path).to_string_lossy()))
}

fn explicit_env_files(process: &Environment, options: &LoadOptions) -> Vec<PathBuf> {
    let named: Vec<PathBuf> = if options.env_files.is_empty() {
        let list = process.get("COMPOSE_ENV_FILES").unwrap_or_default();
        list.split(',').filter(|name| !name.is_empty()).map(PathBuf::from).collect()
    } else {
        options.env_files.clone()
    };
    named.into_iter().map(|path| absolute(&options.current_dir, &path)).collect()
}

/// The `.env` of a directory, where there is one and it is wanted.
fn default_env_file(
    reader: &Reader<'_>,
    environment: &Environment,
    directory: &Path,
) -> Result<Vec<PathBuf>, Diagnostic> {
    match environment.get("COMPOSE_DISABLE_ENV_FILE") {
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => return Ok(Vec::new()),
        None | Some("0" | "f" | "F" | "false" | "FALSE" | "False") => {}
        Some(other) => {
            let message = format!("COMPOSE_DISABLE_ENV_FILE is `{other}`, which is neither true nor false");
            return Err(Diagnostic::error("environment-value", message).help("set it to `true` or `false`"));
        }
    }
    let path = directory.join(".env");
    let there = reader.files.exists(&path) && !reader.files.is_dir(&path);
    Ok(if there { vec![path] } else { Vec::new() })
}

/// The project directory, as far as it is known.
fn working_dir(configs: &[PathBuf], options: &LoadOptions) -> PathBuf {
    if let Some(directory) = options.project_directory.as_ref().filter(|given| !given.as_os_str().is_empty())
    {
        return absolute(&options.current_dir, directory);
    }
    let first = configs.iter().find(|path| path.as_path() != Path::new("-"));
    first.and_then(|path| path.parent()).map_or_else(|| options.current_dir.clone(), Path::to_owned)
}

/// The files that `COMPOSE_FILE` names.
fn from_environment(
    reader: &Reader<'_>,
    environment: &Environment,
    current: &Path,
) -> Result<Vec<PathBuf>, Diagnostic> {
    let Some(list) = environment.get("COMPOSE_FILE") else { return Ok(Vec::new()) };
    let separator = environment.get("COMPOSE_PATH_SEPARATOR").filter(|text| !text.is_empty()).unwrap_or(":");
    let mut paths = Vec::new();
    for name in list.split(separator) {
        let path = absolute(current, Path::new(name));
        if name != "-" && !reader.files.exists(&path) {
            let message = format!("COMPOSE_FILE names `{name}`, which does not exist");
            return Err(Diagnostic::error("missing-file", message)
                .help(format!("several files are separated with `{separator}`")));
        }
        paths.push(path);
    }
    Ok(paths)
}

/// The files of the nearest directory upwards that has any.
fn discover(
    reader: &Reader<'_>,
    directory: &Path,
    problems: &mut Vec<Diagnostic>,
) -> Result<Vec<PathBuf>, Diagnostic> {
    for folder in directory.ancestors() {
        let mut found = Vec::new();
        for (names, kind) in [(MAIN, "Compose"), (OVERRIDE, "override")] {
            let mut there =
                names.iter().map(|name| folder.join(name)).filter(|path| reader.files.exists(path));
            let Some(first) = there.next() else { break };
            let others: Vec<String> = there.map(|path| format!("`{}`", reader.shown(&path))).collect();
            if !others.is_empty() {
                let first = reader.shown(&first);
                let message =
                    format!("several {kind} files are here: `{first}` is used, not {}", others.join(", "));
                problems.push(Diagnostic::warning("several-files", message).help("choose with `-f`"));
            }
            found.push(first);
        }
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let message = "no Compose file is here or in a directory above";
    Err(Diagnostic::error("no-compose-file", message)
        .help(format!("name one with `-f`, or create `{}`", MAIN[0])))
}

/// The name from the command line, the environment, the files, or the directory.
fn project_name(
    configs: &[ConfigFile],
    environment: &Environment,
    directory: &Path,
    options: &LoadOptions,
) -> Result<String, Diagnostic> {
    let given = options.project_name.as_deref().filter(|name| !name.is_empty());
    let from_environment = environment.get("COMPOSE_PROJECT_NAME").filter(|name| !name.is_empty());
    if let Some(name) = given.or(from_environment) {
        if normalise_name(name) == name {
            return Ok(name.to_owned());
        }
        let source = if given.is_some() { "`-p`" } else { "COMPOSE_PROJECT_NAME" };
        return Err(invalid_name(name, source));
    }
    let named = |node: &Node| -> Option<(String, Span)> {
        let name = node.get("name")?;
        Some((name.value.scalar_text()?, name.span)).filter(|(text, _)| !text.is_empty())
    };
    let mut given_names = configs.iter().flat_map(|config| config.documents.iter().filter_map(named));
    let is_named = configs.iter().any(|config| config.documents.first().and_then(named).is_some());
    let folder =
        directory.file_name().map(|name| normalise_name(&name.to_string_lossy())).unwrap_or_default();
    let fallback = if is_named { String::new() } else { folder };
    let Some((text, span)) = given_names.by_ref().last() else {
        return not_empty(fallback, None);
    };
    if options.skip.interpolation {
        return not_empty(if options.skip.normalisation { text } else { normalise_name(&text) }, Some(span));
    }
    let lookup = |name: &str| environment.get(name).map(str::to_owned);
    let text = interpolate::substitute(&text, &lookup, &mut Vec::new()).map_err(|error| {
        let message = match error {
            TemplateError::Invalid => "`name` has a `${` that is no variable".to_owned(),
            TemplateError::TooLong => "variables make `name` too long".to_owned(),
            TemplateError::Required { name, .. } => {
                format!("`name` needs the variable `{name}`, which is not set")
            }
        };
        Diagnostic::error("interpolation", message).at(span, "")
    })?;
    let name = normalise_name(&text);
    not_empty(if name.is_empty() { fallback } else { name }, Some(span))
}

fn not_empty(name: String, span: Option<Span>) -> Result<String, Diagnostic> {
    if !name.is_empty() {
        return Ok(name);
    }
    let mut error = Diagnostic::error("project-name", "the project's name is empty")
        .help("give one with `-p` or `name:`: lower-case letters, digits, `-` and `_`");
    if let Some(span) = span {
        error = error.at(span, "no letter or digit is left of this");
    }
    Err(error)
}

fn invalid_name(name: &str, source: &str) -> Diagnostic {
    let message = format!("the project name `{name}` from {source} is not valid");
    let help = "lower-case letters, digits, `-` and `_`, a letter or digit first";
    let normalised = normalise_name(name);
    let near = if normalised.is_empty() { String::new() } else { format!(": for example `{normalised}`") };
    Diagnostic::error("project-name", message).help(format!("{help}{near}"))
}

/// A name with only what names may have: lower-case letters, digits, `-` and `_`, the first a letter or digit.
fn normalise_name(name: &str) -> String {
    let fitting = |letter: &char| matches!(letter, 'a'..='z' | '0'..='9' | '_' | '-');
    let kept: String = name.to_lowercase().chars().filter(fitting).collect();
    kept.trim_start_matches(['_', '-']).to_owned()
}
