//! A stack that both programs bring up, with what it needs around it.
//!
//! The file says what that is: `x-files` are written beside it; `x-config` is the Docker CLI's configuration;
//! `x-outside` are commands of the Docker CLI that make what the file takes from outside, all named
//! `PROJECT-outside`; `x-cdi` describes devices; `x-api` is the oldest API with its attributes; `x-create-only` says
//! that its containers cannot start everywhere.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use super::seen::{Seen, seen};
use crate::support::stack::{Ran, Running, Stack};

/// Where the stacks are.
pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/stacks")
}

pub(super) struct Bench {
    pub(super) stack: Stack,
    settings: Value,
    config: Option<PathBuf>,
    _images: Images,
    _outside: Outside,
    _devices: Option<Devices>,
}

impl Bench {
    /// The stack of a file; `None`, and it is said why, where this machine cannot bring it up.
    #[expect(clippy::print_stderr, reason = "a test that does not apply says so")]
    pub(super) fn new(file: &str) -> Option<Self> {
        let text = std::fs::read_to_string(folder().join(format!("{file}.yaml"))).unwrap();
        let settings: Value = serde_yaml::from_str(&text).unwrap();
        if let Err(why) = applies(&settings) {
            eprintln!("not tried: {why}");
            return None;
        }
        let stack = Stack::new(&format!("parity-{file}"), &text);
        std::fs::create_dir(stack.folder().join("folder")).unwrap();
        for (name, content) in settings["x-files"].as_object().into_iter().flatten() {
            stack.write(name, content.as_str().unwrap());
        }
        let config = settings["x-config"].as_object().map(|config| {
            let mut config = config.clone();
            config.insert("cliPluginsExtraDirs".to_owned(), json!([cli_config().join("cli-plugins")]));
            stack.write("cli/config.json", &json!(config).to_string());
            stack.folder().join("cli")
        });
        let devices = settings["x-cdi"].is_object().then(|| Devices::describe(&settings["x-cdi"]));
        let outside = Outside::make(&stack, &settings["x-outside"]);
        let images = Images { project: stack.name.clone() };
        Some(Self { stack, settings, config, _images: images, _outside: outside, _devices: devices })
    }

    /// The words that bring it up.
    pub(super) fn up(&self) -> &'static str {
        if self.settings["x-create-only"] == true { "up --no-start" } else { "up -d" }
    }

    /// Calls Docker Compose, to its end.
    #[track_caller]
    pub(super) fn compose(&self, words: &str) -> Ran {
        let mut command = self.stack.hermetic("docker");
        command.args(["compose", "-p", &self.stack.name]).args(words.split_whitespace());
        self.end(command)
    }

    /// Calls our program, to its end.
    #[track_caller]
    pub(super) fn orch(&self, words: &str) -> Ran {
        self.end(self.stack.orch(words))
    }

    #[track_caller]
    fn end(&self, mut command: Command) -> Ran {
        if let Some(config) = &self.config {
            command.env("DOCKER_CONFIG", config);
        }
        Running::spawn(command).end().code(0)
    }

    /// Everything that the project is made of.
    pub(super) fn seen(&self) -> Seen {
        seen(&self.stack)
    }
}

/// The Docker CLI's configuration folder.
fn cli_config() -> PathBuf {
    let home = || Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".docker");
    std::env::var_os("DOCKER_CONFIG").map_or_else(home, PathBuf::from)
}

/// Why a stack cannot be brought up here, if it cannot.
fn applies(settings: &Value) -> Result<(), String> {
    if docker(&["compose", "version"]).is_none() {
        return Err("the Docker CLI here has no `docker compose`".to_owned());
    }
    let number = |version: &str| version.trim().split_once('.').and_then(|(_, n)| n.parse::<u32>().ok());
    if let Some(wanted) = settings["x-api"].as_str() {
        let api = docker(&["version", "--format", "{{.Server.APIVersion}}"]).unwrap();
        if number(&api) < number(wanted) {
            return Err(format!("the engine's API {} is older than {wanted}", api.trim()));
        }
    }
    if settings["x-cdi"].is_object() && !Devices::can_be_described() {
        return Err(format!("{} cannot be written, or the engine does not read it", Devices::FOLDER));
    }
    Ok(())
}

/// What the Docker CLI prints; `None` where it fails.
fn docker(words: &[&str]) -> Option<String> {
    let output = Command::new("docker").args(words).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// The images that were built for a project; removed when it goes out of scope, after its containers.
struct Images {
    project: String,
}

impl Drop for Images {
    fn drop(&mut self) {
        let label = format!("label=com.docker.compose.project={}", self.project);
        let ids = docker(&["image", "ls", "-q", "--filter", &label]).unwrap_or_default();
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if !ids.is_empty() {
            // `-f`: one image has several names.
            docker(&[&["image", "rm", "-f"], ids.as_slice()].concat());
        }
    }
}

/// What a project takes from outside; removed when it goes out of scope.
struct Outside {
    name: String,
    made: Vec<String>,
}

impl Outside {
    fn make(stack: &Stack, commands: &Value) -> Self {
        let mut outside = Self { name: format!("{}-outside", stack.name), made: Vec::new() };
        for command in commands.as_array().into_iter().flatten() {
            let command = command.as_str().unwrap().replace("PROJECT", &stack.name);
            let words: Vec<&str> = command.split_whitespace().collect();
            stack.docker(&words);
            outside.made.push(words[0].to_owned());
        }
        outside
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        // The project first: it uses them. It goes for good with its own `Stack`.
        for kind in self.made.iter().rev() {
            let removal: &[&str] = if kind == "container" { &["rm", "-f", "-v"] } else { &["rm"] };
            Command::new("docker").arg(kind).args(removal).arg(&self.name).output().ok();
        }
    }
}

/// A description of devices that the engine reads; removed when it goes out of scope.
struct Devices(PathBuf);

impl Devices {
    const FOLDER: &str = "/var/run/cdi";

    fn can_be_described() -> bool {
        let read = docker(&["info", "--format", "{{json .CDISpecDirs}}"]).unwrap_or_default();
        let local = docker(&["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]);
        read.contains(Self::FOLDER)
            && local.is_some_and(|host| host.starts_with("unix://"))
            && std::fs::create_dir_all(Self::FOLDER).is_ok()
            && tempfile::tempfile_in(Self::FOLDER).is_ok()
    }

    fn describe(description: &Value) -> Self {
        let path = Path::new(Self::FOLDER).join("docker-orch-test.json");
        std::fs::write(&path, description.to_string()).unwrap();
        Self(path)
    }
}

impl Drop for Devices {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
        // Only where nobody else has anything in it.
        std::fs::remove_dir(Self::FOLDER).ok();
    }
}
