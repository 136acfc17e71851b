//! Settings from outside: what the command line and the environment say against the file, and where each came from.
//!
//! The command line beats the environment, the environment beats the file, the file beats the default.

use std::time::Duration;

use indexmap::IndexMap;
use serde::Serialize;

use super::{keys, wave};
use crate::{
    compose::{source::Environment, units},
    diagnostic::{Diagnostic, did_you_mean},
    project::{Mode, OnFailure, Project, Service, StartPolicy, go_duration},
};

/// Before the name of every variable.
const PREFIX: &str = "DOCKER_ORCH_";
/// Between the service's name and the setting in a variable's name.
const SERVICE: &str = "SERVICE_";

/// A setting of the whole project that can be given from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettingKind {
    /// As in the file: `startup.timeout`.
    pub name: &'static str,
    /// Without its dashes.
    pub flag: &'static str,
    /// The whole name of the variable.
    pub variable: &'static str,
    /// Where nobody says anything.
    pub default: &'static str,
}

/// Every setting of the whole project.
pub const SETTINGS: [SettingKind; 5] = [
    setting("startup.mode", "mode", "DOCKER_ORCH_MODE", "graph, or waves where waves are given"),
    setting("startup.max_parallel", "max-parallel", "DOCKER_ORCH_MAX_PARALLEL", "auto"),
    setting("startup.timeout", "start-timeout", "DOCKER_ORCH_TIMEOUT", "5m0s"),
    setting("on_failure", "on-failure", "DOCKER_ORCH_ON_FAILURE", "rollback"),
    setting("rollback.window", "rollback-window", "DOCKER_ORCH_ROLLBACK_WINDOW", "0s"),
];

/// Settings of one service: the end of the variable's name, and the name in the file.
const SERVICE_SETTINGS: [(&str, &str); 5] = [
    ("_TIMEOUT", "start.timeout"),
    ("_RETRIES", "start.retries"),
    ("_MAX_BACKOFF", "start.max_backoff"),
    ("_BACKOFF", "start.backoff"),
    ("_CRITICAL", "critical"),
];

const fn setting(
    name: &'static str,
    flag: &'static str,
    variable: &'static str,
    default: &'static str,
) -> SettingKind {
    SettingKind { name, flag, variable, default }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// This flag, without its dashes.
    Flag(String),
    /// This variable.
    Environment(String),
    /// The file.
    File,
    /// Nobody said anything.
    Default,
}

/// A setting as it is in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// As in the file: `startup.timeout`, `services.web.start.timeout`.
    pub name: String,
    /// As it would be written.
    pub value: String,
    /// Who said it.
    pub origin: Origin,
}

/// Puts what the command line (`flags`, by their names without dashes) and the environment say into the project, and
/// lists every setting with where it came from.
///
/// # Errors
///
/// A value cannot be read, or a variable of a service or setting does not exist.
pub fn apply(
    project: &mut Project,
    flags: &IndexMap<String, String>,
    environment: &Environment,
) -> Result<Vec<Setting>, Diagnostic> {
    let mut settings = Vec::new();
    for kind in SETTINGS {
        let given =
            match (flags.get(kind.flag), environment.get(kind.variable).filter(|text| !text.is_empty())) {
                (Some(text), _) => {
                    Some((text.as_str(), Origin::Flag(kind.flag.to_owned()), format!("--{}", kind.flag)))
                }
                (None, Some(text)) => {
                    Some((text, Origin::Environment(kind.variable.to_owned()), kind.variable.to_owned()))
                }
                (None, None) => None,
            };
        let in_file = read(project, kind.name);
        let origin = match given {
            Some((text, origin, source)) => {
                write(project, kind.name, text).map_err(|wanted| refused(&source, text, &wanted))?;
                origin
            }
            None if in_file.is_some() => Origin::File,
            None => Origin::Default,
        };
        let value = read(project, kind.name).unwrap_or_else(|| default(project, kind));
        settings.push(Setting { name: kind.name.to_owned(), value, origin });
    }
    let mut in_file = of_services(project);
    services(project, environment, &mut settings)?;
    in_file.retain(|known| settings.iter().all(|setting| setting.name != known.name));
    settings.extend(in_file);
    Ok(settings)
}

/// What the file says of services, where it is not the default.
fn of_services(project: &Project) -> Vec<Setting> {
    let plain = StartPolicy::default();
    let mut settings = Vec::new();
    for service in project.services.values() {
        let (start, critical) = (&service.orch.start, service.orch.critical);
        let recipe = service.orch.health_check.as_ref().and_then(|health| health.recipe);
        let said = |differs: bool, text: String| differs.then_some(text);
        for (name, value) in [
            ("start.timeout", start.timeout.map(go_duration)),
            ("start.retries", said(start.retries != plain.retries, start.retries.to_string())),
            ("start.backoff", said(start.backoff != plain.backoff, go_duration(start.backoff))),
            (
                "start.max_backoff",
                said(start.max_backoff != plain.max_backoff, go_duration(start.max_backoff)),
            ),
            ("critical", said(!critical, critical.to_string())),
            ("health_check.recipe", recipe.map(str::to_owned)),
        ] {
            let name = format!("services.{}.{name}", service.name);
            settings.extend(value.map(|value| Setting { name, value, origin: Origin::File }));
        }
    }
    settings
}

/// The settings of services, which only the environment gives.
fn services(
    project: &mut Project,
    environment: &Environment,
    settings: &mut Vec<Setting>,
) -> Result<(), Diagnostic> {
    for (variable, text) in &environment.0 {
        let Some(rest) = variable.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix(SERVICE)) else {
            continue;
        };
        let split = SERVICE_SETTINGS.iter().find_map(|(end, name)| Some((rest.strip_suffix(end)?, *name)));
        let Some((wanted, name)) = split else {
            let ends: Vec<String> =
                SERVICE_SETTINGS.iter().map(|(end, _)| format!("{PREFIX}{SERVICE}<NAME>{end}")).collect();
            return Err(Diagnostic::error(
                "unknown-setting",
                format!("{variable} is no setting of a service"),
            )
            .help(format!("there are {}", ends.join(", "))));
        };
        let found = project.services.values_mut().find(|service| variable_name(&service.name) == wanted);
        let Some(service) = found else {
            let is_off = project.disabled_services.keys().any(|name| variable_name(name) == wanted);
            // A variable that is set for good may name a service that another project has.
            if !is_off && let Some(near) = nearest(project, wanted) {
                return Err(Diagnostic::error("unknown-service", format!("{variable} names no service"))
                    .help(format!("did you mean service `{near}`?")));
            }
            continue;
        };
        let value = write_service(service, name, text).map_err(|wanted| refused(variable, text, &wanted))?;
        let name = format!("services.{}.{name}", service.name);
        settings.push(Setting { name, value, origin: Origin::Environment(variable.clone()) });
    }
    Ok(())
}

/// A service's name in a variable: `model-manager` is `MODEL_MANAGER`.
fn variable_name(service: &str) -> String {
    service.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

fn nearest(project: &Project, wanted: &str) -> Option<String> {
    let names: Vec<(String, &String)> =
        project.services.keys().map(|name| (variable_name(name), name)).collect();
    let near = did_you_mean(wanted, names.iter().map(|(name, _)| name.as_str()))?;
    names.iter().find(|(name, _)| name == near).map(|(_, name)| (*name).clone())
}

fn refused(source: &str, text: &str, wanted: &str) -> Diagnostic {
    Diagnostic::error("wrong-value", format!("{source}: `{text}` is not {wanted}"))
}

/// What the project says now; `None` where it says nothing.
fn read(project: &Project, name: &str) -> Option<String> {
    let orch = &project.orch;
    match name {
        "startup.mode" => orch.startup.mode.map(|mode| {
            match mode {
                Mode::Waves => "waves",
                Mode::Graph => "graph",
                Mode::Sequential => "sequential",
            }
            .to_owned()
        }),
        "startup.max_parallel" => orch.startup.max_parallel.map(|number| number.to_string()),
        "startup.timeout" => orch.startup.timeout.map(go_duration),
        "rollback.window" => orch.rollback.window.map(go_duration),
        // The default is a value like any other: the file cannot be told from silence.
        "on_failure" => match orch.on_failure {
            OnFailure::Rollback => None,
            OnFailure::Teardown => Some("teardown".to_owned()),
            OnFailure::Stop => Some("stop".to_owned()),
            OnFailure::Keep => Some("keep".to_owned()),
        },
        _ => None,
    }
}

fn default(project: &Project, kind: SettingKind) -> String {
    match kind.name {
        "startup.mode" if project.orch.waves.is_empty() => "graph".to_owned(),
        "startup.mode" => "waves".to_owned(),
        "startup.timeout" => go_duration(project.default_start_timeout()),
        _ => kind.default.to_owned(),
    }
}

/// Puts a value in; `Err` says what is wanted.
fn write(project: &mut Project, name: &str, text: &str) -> Result<(), String> {
    let orch = &mut project.orch;
    match name {
        "startup.mode" => orch.startup.mode = Some(wave::mode(text).ok_or_else(|| one_of(keys::MODES))?),
        "startup.max_parallel" if text == "auto" => orch.startup.max_parallel = None,
        "startup.max_parallel" => {
            let number = text.parse().ok().filter(|number| *number > 0);
            orch.startup.max_parallel = Some(number.ok_or("a number from 1 on, or `auto`")?);
        }
        "startup.timeout" => orch.startup.timeout = Some(duration(text)?),
        "rollback.window" => orch.rollback.window = Some(duration(text)?),
        "on_failure" if keys::ON_FAILURE.contains(&text) => orch.on_failure = wave::on_failure(text),
        "on_failure" => return Err(one_of(keys::ON_FAILURE)),
        _ => {}
    }
    Ok(())
}

/// Puts a value into a service; answers with it as it would be written.
fn write_service(service: &mut Service, name: &str, text: &str) -> Result<String, String> {
    let orch = &mut service.orch;
    match name {
        "start.timeout" => {
            orch.start.timeout = Some(duration(text)?);
            // Compose's own checks know no start timeout of ours: this is the one that counts.
            return duration(text).map(go_duration);
        }
        "start.backoff" => orch.start.backoff = duration(text)?,
        "start.max_backoff" => orch.start.max_backoff = duration(text)?,
        "start.retries" => orch.start.retries = text.parse().map_err(|_| "a whole number".to_owned())?,
        "critical" => orch.critical = text.parse().map_err(|_| "`true` or `false`".to_owned())?,
        _ => {}
    }
    Ok(text.to_owned())
}

fn one_of(words: &[&str]) -> String {
    format!("one of {}", words.join(", "))
}

fn duration(text: &str) -> Result<Duration, String> {
    units::duration(text).map_err(|why| format!("a duration such as `1m30s`: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::WaveSpec;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    fn project() -> Project {
        let mut project = Project::default();
        for name in ["model-manager", "web"] {
            let service = Service { name: name.to_owned(), ..Service::default() };
            project.services.insert(name.to_owned(), service);
        }
        project.orch.startup.timeout = Some(Duration::from_mins(2));
        project
    }

    fn shown(flags: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let flags = flags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let settings = apply(&mut project(), &flags, &environment(variables)).map_err(|d| d.message)?;
        Ok(settings.iter().map(|s| format!("{} = {} ({:?})", s.name, s.value, s.origin)).collect())
    }

    #[test]
    fn the_command_line_beats_the_environment_beats_the_file_beats_the_default() {
        let flags = [("max-parallel", "3")];
        let variables = [("DOCKER_ORCH_MAX_PARALLEL", "9"), ("DOCKER_ORCH_ON_FAILURE", "keep")];
        assert_eq!(
            shown(&flags, &variables).unwrap(),
            [
                "startup.mode = graph (Default)",
                "startup.max_parallel = 3 (Flag(\"max-parallel\"))",
                "startup.timeout = 2m0s (File)",
                "on_failure = keep (Environment(\"DOCKER_ORCH_ON_FAILURE\"))",
                "rollback.window = 0s (Default)",
            ]
        );
    }

    #[test]
    fn a_variable_reaches_one_service() {
        let variables = environment(&[("DOCKER_ORCH_SERVICE_MODEL_MANAGER_TIMEOUT", "10m")]);
        let mut project = project();
        project.services["model-manager"].orch.start.timeout = Some(Duration::from_secs(7));
        project.services["web"].orch.critical = false;
        let settings = apply(&mut project, &IndexMap::new(), &variables).unwrap();
        assert_eq!(project.services["model-manager"].orch.start.timeout, Some(Duration::from_mins(10)));
        assert_eq!(project.services["web"].orch.start.timeout, None);
        let of_services: Vec<_> = settings[SETTINGS.len()..]
            .iter()
            .map(|s| format!("{} = {} ({:?})", s.name, s.value, s.origin))
            .collect();
        assert_eq!(
            of_services,
            [
                "services.model-manager.start.timeout = 10m0s \
                 (Environment(\"DOCKER_ORCH_SERVICE_MODEL_MANAGER_TIMEOUT\"))",
                "services.web.critical = false (File)",
            ]
        );
    }

    #[test]
    fn waves_are_the_default_mode_where_there_are_waves() {
        let mut project = project();
        project.orch.waves.push(WaveSpec::default());
        let settings = apply(&mut project, &IndexMap::new(), &Environment::default()).unwrap();
        assert_eq!(settings[0].value, "waves");
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (variable, text, message) in [
            ("DOCKER_ORCH_MODE", "fast", "DOCKER_ORCH_MODE: `fast` is not one of waves, graph, sequential"),
            (
                "DOCKER_ORCH_MAX_PARALLEL",
                "0",
                "DOCKER_ORCH_MAX_PARALLEL: `0` is not a number from 1 on, or `auto`",
            ),
            (
                "DOCKER_ORCH_ON_FAILURE",
                "x",
                "DOCKER_ORCH_ON_FAILURE: `x` is not one of rollback, teardown, stop, keep",
            ),
            ("DOCKER_ORCH_SERVICE_WBE_TIMEOUT", "1s", "DOCKER_ORCH_SERVICE_WBE_TIMEOUT names no service"),
            (
                "DOCKER_ORCH_SERVICE_WEB_SPEED",
                "1s",
                "DOCKER_ORCH_SERVICE_WEB_SPEED is no setting of a service",
            ),
        ] {
            assert_eq!(shown(&[], &[(variable, text)]).unwrap_err(), message);
        }
    }
}
