//! Which engine and which project a command is about.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tracing::Instrument as _;

use super::{CliError, Invocation, args::parse_duration};
use crate::{
    engine::{
        Engine, Scope,
        docker::{ConnectOptions, DockerEngine},
    },
    plan::{Container, Observed},
    project::Project,
    report::{AnsiMode, Display, DisplayFacts, ProgressMode},
    tool::Tools,
};

/// A project by its name, and by its files where they are at hand.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its name.
    pub name: String,
    /// What its files say; `None` where only a name was given.
    pub project: Option<Project>,
}

impl Invocation {
    /// The project of the files, or where `-p` stands alone, only its name.
    ///
    /// # Errors
    ///
    /// The files are wrong.
    pub fn subject(&self) -> Result<Subject, CliError> {
        let files = &self.project.files;
        if let (true, Some(name)) = (files.is_empty(), &self.project.project_name) {
            return Ok(Subject { name: name.clone(), project: None });
        }
        match self.load(&self.load_options(&[])) {
            Ok(project) => Ok(Subject { name: project.name.clone(), project: Some(project) }),
            Err(error) => match self.env("COMPOSE_PROJECT_NAME") {
                Some(name) if files.is_empty() => Ok(Subject { name: name.to_owned(), project: None }),
                _ => Err(error),
            },
        }
    }

    /// The options of the connection: Docker's flags and environment.
    pub fn connect_options(&self) -> ConnectOptions {
        let docker = &self.docker;
        let home = || self.env("HOME").map(|home| PathBuf::from(home).join(".docker"));
        ConnectOptions {
            context: docker.context.clone(),
            host: docker.host.last().cloned(),
            tls: docker.tls.unwrap_or_default(),
            tls_verify: docker.tlsverify.unwrap_or_default(),
            tls_ca_cert: docker.tlscacert.clone(),
            tls_cert: docker.tlscert.clone(),
            tls_key: docker.tlskey.clone(),
            config_dir: docker.config.clone().or_else(home).unwrap_or_else(|| PathBuf::from(".docker")),
            environment: self.env.clone(),
            limit: None,
        }
    }

    /// `DOCKER_ORCH_ENGINE_TIMEOUT`.
    fn engine_timeout(&self) -> Result<Option<Duration>, CliError> {
        let name = "DOCKER_ORCH_ENGINE_TIMEOUT";
        let Some(text) = self.env(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        let wrong = |why: String| CliError::usage(format!("{name}: `{text}`: {why}"));
        parse_duration(text).map(Some).map_err(wrong)
    }

    /// Connects to the engine that the Docker CLI would talk to.
    ///
    /// # Errors
    ///
    /// It cannot be reached, or the flags contradict each other.
    pub async fn connect(&self) -> Result<Arc<dyn Engine>, CliError> {
        let options = ConnectOptions { limit: self.engine_timeout()?, ..self.connect_options() };
        let phase = tracing::trace_span!("phase", name = "connect");
        match DockerEngine::connect(&options).instrument(phase).await {
            Ok(engine) => Ok(Arc::new(engine)),
            Err(error) => Err(CliError::engine("failed to connect to the engine", &error)),
        }
    }

    /// The tools of this machine. They talk to the engine that the flags choose.
    pub fn tools(&self) -> Tools {
        let options = self.connect_options();
        let chosen = [
            // A context counts only where no host is named.
            ("DOCKER_HOST", options.host.or_else(|| options.context.as_ref().map(|_| String::new()))),
            ("DOCKER_CONTEXT", options.context),
            ("DOCKER_CONFIG", self.docker.config.as_ref().map(|path| path.display().to_string())),
        ];
        let chosen = chosen.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Tools::new(&options.config_dir, self.env("PATH").unwrap_or_default(), chosen.collect())
    }

    /// What is shown how, from flags, environment and terminals.
    pub fn display(&self) -> Display {
        use super::args::{Ansi, Progress};
        let progress = match self.display.progress {
            Some(Progress::Auto) => None,
            Some(Progress::Tty) => Some(ProgressMode::Tty),
            Some(Progress::Plain) => Some(ProgressMode::Plain),
            Some(Progress::Json) => Some(ProgressMode::Json),
            Some(Progress::Quiet) => Some(ProgressMode::Quiet),
            None => self.env("COMPOSE_PROGRESS").and_then(ProgressMode::from_word),
        };
        let ansi = match (self.display.ansi, self.env("COMPOSE_ANSI")) {
            (Some(Ansi::Never), _) | (None, Some("never")) => AnsiMode::Never,
            (Some(Ansi::Always), _) | (None, Some("always")) => AnsiMode::Always,
            (Some(Ansi::Auto) | None, _) => AnsiMode::Auto,
        };
        DisplayFacts {
            progress,
            ansi,
            stdout_terminal: self.terminals.stdout,
            stderr_terminal: self.terminals.stderr,
            no_color: self.env("NO_COLOR").is_some(),
            dumb_terminal: self.env("TERM") == Some("dumb"),
            ci: self.env("CI").is_some(),
            debug: self.docker.debug,
        }
        .decide()
    }

    /// What the user types before a command to mean this project again: `docker orch -p shop`.
    pub fn again(&self) -> String {
        let mut command = match self.env("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND") {
            Some(_) => "docker orch".to_owned(),
            None => "docker-orch".to_owned(),
        };
        let files = self.project.files.iter().map(|file| ("-f", file.to_string_lossy().into_owned()));
        let name = self.project.project_name.iter().map(|name| ("-p", name.clone()));
        for (flag, value) in files.chain(name) {
            let value = shlex::try_quote(&value).map_or_else(|_| value.clone(), std::borrow::Cow::into_owned);
            command = format!("{command} {flag} {value}");
        }
        command
    }
}

impl Subject {
    /// Lists what the engine has of the project.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn observe(&self, engine: &dyn Engine) -> Result<Observed, CliError> {
        let scope = Scope { project: self.name.clone(), ..Scope::default() };
        engine.observe(&scope).await.map_err(|error| CliError::engine("failed to list containers", &error))
    }

    /// Refuses names that are neither in the files nor on the engine.
    ///
    /// # Errors
    ///
    /// One of them is.
    pub fn check_services(&self, services: &[String], containers: &[Container]) -> Result<(), CliError> {
        for service in services {
            let known = match &self.project {
                Some(project) => {
                    project.services.contains_key(service) || project.disabled_services.contains_key(service)
                }
                None => containers.iter().any(|c| c.service() == Some(service)),
            };
            if !known {
                let names = self.service_names(containers);
                return Err(CliError::no_such_service(service, names.iter().map(String::as_str)));
            }
        }
        Ok(())
    }

    /// Names of services, from the files or else from the engine, sorted.
    pub fn service_names(&self, containers: &[Container]) -> Vec<String> {
        let mut names: Vec<String> = match &self.project {
            Some(project) => project.services.keys().cloned().collect(),
            None => containers.iter().filter_map(|c| c.service().map(str::to_owned)).collect(),
        };
        names.sort();
        names.dedup();
        names
    }

    /// A container's name without the project's, as logs and progress show it.
    pub fn short_name<'a>(&self, name: &'a str) -> &'a str {
        name.strip_prefix(self.name.as_str())
            .and_then(|rest| rest.strip_prefix(['-', '_']))
            .filter(|rest| !rest.is_empty())
            .unwrap_or(name)
    }
}

/// Whether a container belongs to one of the services; all do where none is named.
pub fn is_of(container: &Container, services: &[String]) -> bool {
    services.is_empty() || container.service().is_some_and(|service| services.iter().any(|s| s == service))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_leave_the_project_out() {
        let subject = Subject { name: "shop".into(), project: None };
        for (name, short) in
            [("shop-web-1", "web-1"), ("shop_web_1", "web_1"), ("shopping-1", "shopping-1"), ("db", "db")]
        {
            assert_eq!(subject.short_name(name), short);
        }
    }

    #[test]
    fn the_next_command_names_the_same_project() {
        let mut invocation = Invocation::default();
        assert_eq!(invocation.again(), "docker-orch");
        invocation.env.insert("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND".into(), "docker".into());
        invocation.project.files = vec!["a b.yaml".into()];
        invocation.project.project_name = Some("shop".into());
        assert_eq!(invocation.again(), "docker orch -f 'a b.yaml' -p shop");
    }

    #[test]
    fn a_name_alone_needs_no_files() {
        let mut invocation = Invocation { cwd: "/nowhere".into(), ..Invocation::default() };
        invocation.project.project_name = Some("shop".into());
        let subject = invocation.subject().unwrap();
        assert_eq!((subject.name.as_str(), subject.project.is_none()), ("shop", true));
        let error = subject.check_services(&["web".into()], &[]).unwrap_err();
        assert_eq!(error.message, "no such service: web");
    }
}
