//! Settings from outside, on top of the project: the command line beats the environment, that the file.

use clap::ValueEnum as _;
use indexmap::IndexMap;
use serde_json::{Value, json};

use super::{
    CliError,
    args::{MaxParallel, UpArgs},
    table::table,
};
use crate::{
    compose::{
        Environment,
        extension::settings::{Origin, Setting, apply},
    },
    diagnostic::{SourceMap, render_all},
    project::{Project, go_duration},
};

/// Settings that the command line gives, by their flags without dashes.
pub(super) type Flags = IndexMap<String, String>;

/// What `up` and `plan` were given.
pub(super) fn flags(args: &UpArgs) -> Flags {
    let word = |value: Option<clap::builder::PossibleValue>| value.map(|value| value.get_name().to_owned());
    let given = [
        ("mode", args.mode.and_then(|mode| word(mode.to_possible_value()))),
        ("on-failure", args.on_failure.and_then(|policy| word(policy.to_possible_value()))),
        (
            "max-parallel",
            args.max_parallel.map(|parallel| match parallel {
                MaxParallel::Auto => "auto".to_owned(),
                MaxParallel::Limit(number) => number.to_string(),
            }),
        ),
        ("start-timeout", args.start_timeout.map(go_duration)),
        ("rollback-window", args.rollback_window.map(go_duration)),
    ];
    given.into_iter().filter_map(|(flag, value)| Some((flag.to_owned(), value?))).collect()
}

/// Puts what comes from outside into the project, and lists every setting with where it came from.
///
/// # Errors
///
/// The environment says something that cannot be read.
pub(super) fn settle(project: &mut Project, flags: &Flags) -> Result<Vec<Setting>, CliError> {
    // The project's own `.env` counts, as it does for Compose's variables.
    let environment = Environment(project.environment.clone());
    apply(project, flags, &environment)
        .map_err(|wrong| CliError::files(render_all(&[wrong], &SourceMap::default(), false)))
}

/// A line for each setting.
pub(super) fn text(settings: &[Setting]) -> String {
    let rows: Vec<Vec<String>> = settings
        .iter()
        .map(|setting| {
            let from = match &setting.origin {
                Origin::Flag(flag) => format!("command line (--{flag})"),
                Origin::Environment(variable) => format!("environment ({variable})"),
                Origin::File => "file".to_owned(),
                Origin::Default => "default".to_owned(),
            };
            vec![setting.name.clone(), setting.value.clone(), from]
        })
        .collect();
    table(&["SETTING", "VALUE", "FROM"], &rows)
}

/// The same for programs.
pub(super) fn json(settings: &[Setting]) -> Value {
    let one = |setting: &Setting| {
        let (from, by) = match &setting.origin {
            Origin::Flag(flag) => ("command line", Some(format!("--{flag}"))),
            Origin::Environment(variable) => ("environment", Some(variable.clone())),
            Origin::File => ("file", None),
            Origin::Default => ("default", None),
        };
        json!({"setting": setting.name, "value": setting.value, "from": from, "by": by})
    };
    settings.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        cli::args::{ModeArg, OnFailureArg},
        project::{Mode, OnFailure},
    };

    fn project(environment: &[(&str, &str)]) -> Project {
        let mut project = Project::default();
        project.orch.startup.timeout = Some(Duration::from_mins(1));
        project.orch.startup.max_parallel = Some(2);
        project.orch.on_failure = OnFailure::Stop;
        project.environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        project
    }

    #[test]
    fn the_command_line_beats_the_environment_beats_the_file() {
        let mut project = project(&[
            ("DOCKER_ORCH_ON_FAILURE", "teardown"),
            ("DOCKER_ORCH_MAX_PARALLEL", "7"),
            ("DOCKER_ORCH_MODE", "sequential"),
        ]);
        let args =
            UpArgs { on_failure: Some(OnFailureArg::Keep), mode: Some(ModeArg::Graph), ..UpArgs::default() };
        let settings = settle(&mut project, &flags(&args)).unwrap();
        assert_eq!(project.orch.on_failure, OnFailure::Keep);
        assert_eq!(project.orch.startup.mode, Some(Mode::Graph));
        assert_eq!(project.orch.startup.max_parallel, Some(7));
        insta::assert_snapshot!(text(&settings), @r"
        SETTING                VALUE     FROM
        startup.mode           graph     command line (--mode)
        startup.max_parallel   7         environment (DOCKER_ORCH_MAX_PARALLEL)
        startup.timeout        1m0s      file
        on_failure             keep      command line (--on-failure)
        rollback.window        0s        default
        ");
        assert_eq!(json(&settings)[1]["by"], "DOCKER_ORCH_MAX_PARALLEL");
    }

    #[test]
    fn every_flag_reaches_its_setting() {
        let args = UpArgs {
            max_parallel: Some(MaxParallel::Auto),
            start_timeout: Some(Duration::from_secs(90)),
            rollback_window: Some(Duration::from_mins(5)),
            ..UpArgs::default()
        };
        let mut project = project(&[]);
        settle(&mut project, &flags(&args)).unwrap();
        assert_eq!(project.orch.startup.max_parallel, None);
        assert_eq!(project.orch.startup.timeout, Some(Duration::from_secs(90)));
        assert_eq!(project.orch.rollback.window, Some(Duration::from_mins(5)));
    }

    #[test]
    fn a_variable_that_cannot_be_read_ends_with_2() {
        let error = settle(&mut project(&[("DOCKER_ORCH_TIMEOUT", "soon")]), &Flags::new()).unwrap_err();
        assert_eq!(error.exit().code(), 2);
        assert!(error.message.contains("DOCKER_ORCH_TIMEOUT: `soon`"), "{}", error.message);
    }
}
