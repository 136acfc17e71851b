//! One run of a program.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
    process::{ExitStatus, Stdio},
};

use tokio::{
    io::AsyncReadExt as _,
    process::{Child, ChildStdout, Command},
};

use super::{ToolError, Tools};
use crate::project::Project;

/// How much of what a program says about its failure is quoted.
const QUOTED_BYTES: u64 = 2048;
const QUOTED_LINES: usize = 10;

/// By this variable a plugin knows that the Docker CLI called it; a tool is called by us.
const CALLED_BY_DOCKER: &str = "DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND";

/// A program that runs; killed when it is dropped.
pub(super) struct Program {
    name: String,
    child: Child,
    stdout: Option<ChildStdout>,
    complaints: Option<File>,
}

impl Tools {
    /// Starts a program with the project's environment.
    pub(super) fn run(
        &self,
        path: &Path,
        arguments: &[String],
        project: &Project,
    ) -> Result<Program, ToolError> {
        let cannot = |e: std::io::Error| ToolError::before(format!("cannot run {}: {e}", path.display()));
        let mut environment: BTreeMap<&String, &String> = project.environment.iter().collect();
        environment.extend(&self.environment);
        environment.retain(|name, _| *name != CALLED_BY_DOCKER);
        let complaints = complaints();
        let stderr = match &complaints {
            Some(file) => Stdio::from(file.try_clone().map_err(cannot)?),
            None => Stdio::null(),
        };
        let mut command = Command::new(path);
        command.args(arguments).env_clear().envs(environment).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().map_err(cannot)?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Ok(Program { name, stdout: child.stdout.take(), child, complaints })
    }

    /// Runs a program to its end and gives what it printed.
    pub(super) async fn output(
        &self,
        path: &Path,
        arguments: &[String],
        project: &Project,
    ) -> Result<Vec<u8>, ToolError> {
        let mut program = self.run(path, arguments, project)?;
        let mut output = Vec::new();
        while program.read(&mut output).await? {}
        program.end(&format!("{} {}", program.name, arguments.join(" "))).await?;
        Ok(output)
    }
}

impl Program {
    /// Its name, for messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Adds what it prints next; `false`: it will print no more.
    pub(super) async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<bool, ToolError> {
        let Some(stdout) = &mut self.stdout else { return Ok(false) };
        let read = stdout.read_buf(buffer).await;
        let read = read.map_err(|e| ToolError::after(format!("cannot read from `{}`: {e}", self.name)))?;
        Ok(read > 0)
    }

    /// Waits for its end.
    pub(super) async fn end(&mut self, call: &str) -> Result<(), ToolError> {
        self.stdout = None;
        let status = self.child.wait().await;
        let status = status.map_err(|e| ToolError::after(format!("cannot wait for `{call}`: {e}")))?;
        if status.success() {
            return Ok(());
        }
        let words = self.complaints.as_mut().map(last_words).unwrap_or_default();
        let words = if words.is_empty() { words } else { format!(": {words}") };
        Err(ToolError::after(format!("`{call}` {}{words}", ended(status))))
    }
}

fn ended(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exited with {code}"),
        None => format!("ended by {status}"),
    }
}

/// Where its complaints go: memory, not a pipe. What a tool leaves running may go on writing there, and nobody waits
/// for its end.
#[cfg(target_os = "linux")]
fn complaints() -> Option<File> {
    rustix::fs::memfd_create("complaints", rustix::fs::MemfdFlags::CLOEXEC).ok().map(File::from)
}

#[cfg(not(target_os = "linux"))]
fn complaints() -> Option<File> {
    None
}

/// The last lines that were written; empty where there are none.
fn last_words(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let length = file.metadata().map_or(0, |m| m.len());
    let at = SeekFrom::Start(length.saturating_sub(QUOTED_BYTES));
    if file.seek(at).is_err() || file.take(QUOTED_BYTES).read_to_end(&mut bytes).is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(QUOTED_LINES)..].join("\n")
}
