//! What loading reads from outside: files and environment variables, handed in by the caller.

use std::{
    io,
    path::{Path, PathBuf},
};

use indexmap::IndexMap;

/// The files of the machine, as far as loading looks at them. Paths are absolute.
pub trait Files {
    /// A file's bytes.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Everything on standard input (`-f -`).
    fn read_stdin(&self) -> io::Result<Vec<u8>>;

    /// Whether something is there, following symbolic links.
    fn exists(&self, path: &Path) -> bool;

    /// Whether a folder is there.
    fn is_dir(&self, path: &Path) -> bool;

    /// The same place with every symbolic link resolved.
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf>;
}

/// Environment variables that `${…}` is looked up in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(pub IndexMap<String, String>);

impl Environment {
    /// A variable's value; empty text where it is set to nothing.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Sets a variable, whatever it was.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// Adds the variables of `other` that are not set here.
    pub fn add_missing(&mut self, other: &Self) {
        for (name, value) in &other.0 {
            self.0.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// What the command line says about loading.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Absolute current directory.
    pub current_dir: PathBuf,
    /// `-f`, in order; `-` is standard input.
    pub files: Vec<String>,
    /// `--project-directory`.
    pub project_directory: Option<PathBuf>,
    /// `-p`.
    pub project_name: Option<String>,
    /// `--env-file`, in order.
    pub env_files: Vec<PathBuf>,
    /// `--profile`.
    pub profiles: Vec<String>,
    /// Services named on the command line; none means all.
    pub services: Vec<String>,
    /// `--compatibility`.
    pub compatibility: bool,
    /// Stages that are left out.
    pub skip: Skip,
}

/// Stages that `config` can leave out, and limits that other commands lift.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own of the `config` command")]
pub struct Skip {
    /// `--no-interpolate`: `${…}` stays as it is.
    pub interpolation: bool,
    /// `--no-normalize`: nothing is filled in.
    pub normalisation: bool,
    /// `--no-path-resolution`: paths stay relative.
    pub path_resolution: bool,
    /// `--no-consistency`: references are not checked.
    pub consistency: bool,
    /// `--no-env-resolution`: `env_file` stays and is not read.
    pub env_resolution: bool,
    /// `--all-resources`: networks, volumes, … that no service uses are kept.
    pub pruning: bool,
}
