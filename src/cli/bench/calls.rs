//! The programs that are measured, and how they are called.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::process::Command;

use super::figures::Step;
use crate::cli::{
    Invocation,
    args::{DockerFlags, ProjectFlags, StopTimeout, Way},
};

/// What a child must not take for its own: how the Docker CLI called this program.
const OURS: [&str; 2] = ["DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", "DOCKER_CLI_PLUGIN_SOCKET"];

/// How each program is called on the project.
pub(super) struct Calls<'a> {
    /// Its project is the one that is measured.
    pub(super) invocation: &'a Invocation,
    /// This program.
    pub(super) orch: PathBuf,
    /// Docker Compose, where it is measured.
    pub(super) compose: Option<PathBuf>,
    /// Where this program keeps its records meanwhile.
    pub(super) state: PathBuf,
    /// How long a start may take.
    pub(super) start_timeout: Duration,
    /// How long a stop may take.
    pub(super) stop_timeout: Option<StopTimeout>,
}

impl Calls<'_> {
    /// A step of a way.
    pub(super) fn step(&self, way: Way, step: Step) -> Command {
        let mut words: Vec<String> = match (step, way) {
            (Step::Down, _) => vec!["down".to_owned()],
            // Pulls are no part of a start here, and a window after it is none. What fails is kept, as Compose keeps it:
            // it is looked at before it is taken down.
            (Step::Up | Step::NoOp, Way::Sequential | Way::Orch) => {
                owned(&["up", "-d", "--pull", "missing", "--rollback-window", "0s", "--on-failure", "keep"])
            }
            (Step::Up | Step::NoOp, Way::Compose) => {
                let limit = self.start_timeout.as_secs().max(1).to_string();
                owned(&["up", "-d", "--wait", "--pull", "missing", "--wait-timeout", &limit])
            }
        };
        if step == Step::Down {
            words.extend(self.stop_words());
        } else if way == Way::Sequential {
            words.extend(owned(&["--mode", "sequential"]));
        }
        match (way, &self.compose) {
            (Way::Compose, Some(compose)) => self.call(compose, &owned(&["--ansi", "never"]), &words),
            _ => self.orch(&words),
        }
    }

    /// Ends everything that was made.
    pub(super) fn clean_up(&self) -> Command {
        let mut words = owned(&["down", "--volumes", "--remove-orphans", "--rmi", "local"]);
        words.extend(self.stop_words());
        self.orch(&words)
    }

    /// This program on the project.
    pub(super) fn orch(&self, words: &[String]) -> Command {
        self.call(&self.orch, &owned(&["--progress", "plain"]), words)
    }

    fn stop_words(&self) -> Vec<String> {
        match self.stop_timeout {
            None => Vec::new(),
            Some(StopTimeout::Never) => owned(&["--timeout", "-1"]),
            Some(StopTimeout::After(time)) => owned(&["--timeout", &time.as_secs().to_string()]),
        }
    }

    fn call(&self, program: &Path, display: &[String], words: &[String]) -> Command {
        let mut command = Command::new(program);
        command.args(docker_words(&self.invocation.docker));
        command.args(display).args(project_words(&self.invocation.project)).args(words);
        // Both programs take it from there, and Compose as no flag.
        if let Some(config) = &self.invocation.docker.config {
            command.env("DOCKER_CONFIG", config);
        }
        // The records of these runs go when they are over, and leave the user's own alone.
        command.env("XDG_STATE_HOME", &self.state).env("COMPOSE_PROGRESS", "plain");
        for name in OURS {
            command.env_remove(name);
        }
        command
    }
}

/// Docker's flags again; those that say how much is told are left out.
fn docker_words(docker: &DockerFlags) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    let mut flag = |name: &str, value: Option<OsString>| {
        words.extend(value.into_iter().flat_map(|value| [OsString::from(name), value]));
    };
    flag("--context", docker.context.clone().map(OsString::from));
    flag("--host", docker.host.last().cloned().map(OsString::from));
    for (name, path) in
        [("--tlscacert", &docker.tlscacert), ("--tlscert", &docker.tlscert), ("--tlskey", &docker.tlskey)]
    {
        flag(name, path.clone().map(OsString::from));
    }
    for (name, value) in [("--tls", docker.tls), ("--tlsverify", docker.tlsverify)] {
        words.extend(value.map(|value| OsString::from(format!("{name}={value}"))));
    }
    words
}

/// Compose's project flags again, which both programs know.
fn project_words(project: &ProjectFlags) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    let mut flag = |name: &str, value: &dyn AsRef<std::ffi::OsStr>| {
        words.extend([OsString::from(name), value.as_ref().to_owned()]);
    };
    for file in &project.files {
        flag("--file", file);
    }
    if let Some(name) = &project.project_name {
        flag("--project-name", name);
    }
    for profile in &project.profiles {
        flag("--profile", profile);
    }
    for file in &project.env_files {
        flag("--env-file", file);
    }
    if let Some(folder) = &project.project_directory {
        flag("--project-directory", folder);
    }
    if let Some(limit) = &project.parallel {
        flag("--parallel", &limit.to_string());
    }
    for (name, given) in
        [("--compatibility", project.compatibility), ("--all-resources", project.all_resources)]
    {
        words.extend(given.then(|| OsString::from(name)));
    }
    words
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(command: &Command) -> String {
        let command = command.as_std();
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_way_is_called_as_a_user_would_on_the_same_project() {
        let mut invocation = Invocation::default();
        invocation.docker.host = vec!["unix:///s".to_owned()];
        invocation.docker.tlsverify = Some(false);
        invocation.docker.config = Some("/c".into());
        invocation.project.files = vec!["a.yaml".into(), "b.yaml".into()];
        invocation.project.project_name = Some("shop-bench-1".to_owned());
        invocation.project.profiles = vec!["x".to_owned()];
        let calls = Calls {
            invocation: &invocation,
            orch: "orch".into(),
            compose: Some("compose".into()),
            state: "/state".into(),
            start_timeout: Duration::from_secs(90),
            stop_timeout: Some(StopTimeout::After(Duration::from_secs(3))),
        };
        let mut all = Vec::new();
        for way in [Way::Sequential, Way::Orch, Way::Compose] {
            all.extend([Step::Up, Step::Down].map(|step| line(&calls.step(way, step))));
        }
        all.push(line(&calls.clean_up()));
        insta::assert_snapshot!(all.join("\n"), @r"
        orch --host unix:///s --tlsverify=false --progress plain --file a.yaml --file b.yaml --project-name shop-bench-1 --profile x up -d --pull missing --rollback-window 0s --on-failure keep --mode sequential
        orch --host unix:///s --tlsverify=false --progress plain --file a.yaml --file b.yaml --project-name shop-bench-1 --profile x down --timeout 3
        orch --host unix:///s --tlsverify=false --progress plain --file a.yaml --file b.yaml --project-name shop-bench-1 --profile x up -d --pull missing --rollback-window 0s --on-failure keep
        orch --host unix:///s --tlsverify=false --progress plain --file a.yaml --file b.yaml --project-name shop-bench-1 --profile x down --timeout 3
        compose --host unix:///s --tlsverify=false --ansi never --file a.yaml --file b.yaml --project-name shop-bench-1 --profile x up -d --wait --pull missing --wait-timeout 90
        compose --host unix:///s --tlsverify=false --ansi never --file a.yaml --file b.yaml --project-name shop-bench-1 --profile x down --timeout 3
        orch --host unix:///s --tlsverify=false --progress plain --file a.yaml --file b.yaml --project-name shop-bench-1 --profile x down --volumes --remove-orphans --rmi local --timeout 3
        ");
        let command = calls.step(Way::Compose, Step::NoOp);
        let environment: Vec<_> = command.as_std().get_envs().collect();
        for (name, value) in [
            ("DOCKER_CONFIG", Some("/c")),
            ("XDG_STATE_HOME", Some("/state")),
            (OURS[0], None),
            (OURS[1], None),
        ] {
            assert!(environment.contains(&(name.as_ref(), value.map(AsRef::as_ref))), "{name}");
        }
    }
}
