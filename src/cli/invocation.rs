//! What one call of the program is given from outside, read once.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _},
    path::PathBuf,
};

use super::{
    args::{DisplayFlags, DockerFlags, ProjectFlags, Root},
    trace::Tracer,
};

/// Everything that a command gets beside its own arguments.
#[derive(Debug, Clone, Default)]
pub struct Invocation {
    /// Docker's own flags.
    pub docker: DockerFlags,
    /// Which project, from both sides of the command.
    pub project: ProjectFlags,
    /// How things are shown.
    pub display: DisplayFlags,
    /// Environment variables; those that are no UTF-8 are left out.
    pub env: BTreeMap<String, String>,
    /// The current folder.
    pub cwd: PathBuf,
    /// What the standard streams are.
    pub terminals: Terminals,
    /// Where it is noted what takes time.
    pub(super) tracer: Option<Tracer>,
    /// Where OpenTelemetry is told of runs.
    #[cfg(feature = "otel")]
    pub(super) exporter: Option<super::otlp::Exporter>,
}

/// Which of the standard streams are terminals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terminals {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
}

impl Invocation {
    /// Reads the environment, the current folder and the standard streams.
    ///
    /// # Errors
    ///
    /// The current folder is gone.
    pub(super) fn read(root: &Root, tracer: Option<Tracer>) -> io::Result<Self> {
        let project = match &root.command {
            Some(command) => command.project_flags(root.project.clone()),
            None => root.project.clone(),
        };
        let env: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Ok(Self {
            #[cfg(feature = "otel")]
            exporter: super::otlp::Exporter::of(&env),
            docker: root.docker.clone(),
            project,
            display: root.display,
            env,
            cwd: std::env::current_dir()?,
            terminals: Terminals {
                stdin: io::stdin().is_terminal(),
                stdout: io::stdout().is_terminal(),
                stderr: io::stderr().is_terminal(),
            },
            tracer,
        })
    }

    /// An environment variable's value, where it is set and not empty.
    pub fn env(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}
