//! A past run in full, for people and for programs.

use std::{fmt::Write as _, path::Path, time::Duration};

use serde_json::{Value, json};

use super::{
    Outcome, PastRun, PastStep, SummaryOptions, Timing, human_duration, past::round, plain::infinitive,
    summary,
};
use crate::event::{StageStatus, Verb};

/// Where a past run lies, and what to call it.
#[derive(Debug, Clone)]
pub struct StoryOptions<'a> {
    /// The run's ID.
    pub id: &'a str,
    /// The project's name.
    pub project: &'a str,
    /// `5 minutes ago`; empty where nobody knows.
    pub when: String,
    /// What the user types before a command.
    pub command: String,
    /// Where its files lie.
    pub folder: &'a Path,
    /// Its files, relative to the folder.
    pub files: Vec<String>,
}

/// What came of a run, why, what was done and undone, where the time went and where its files are; with colours.
pub fn story(past: &PastRun, options: &StoryOptions<'_>) -> String {
    let mut text = String::new();
    heading(&mut text, past, options);
    let summary = summary(
        &past.view,
        &SummaryOptions { command: options.command.clone(), ..SummaryOptions::default() },
    );
    if summary.is_empty() {
        unfinished(&mut text, past, options);
    } else {
        text.push_str(&summary);
    }
    for warning in &past.view.warnings {
        line(&mut text, &format!("warning: {}", warning.replace('\n', " ")));
    }
    steps(&mut text, "what was done", past.steps.iter().filter(|step| !step.undoing));
    steps(&mut text, "what was undone or ended", past.steps.iter().filter(|step| step.undoing));
    timings(&mut text, past);
    line(&mut text, &format!("\nits record is in {}", options.folder.display()));
    for file in &options.files {
        line(&mut text, &format!("  {file}"));
    }
    text
}

fn heading(text: &mut String, past: &PastRun, options: &StoryOptions<'_>) {
    let command = if past.view.command.is_empty() { "run" } else { &past.view.command };
    line(text, &format!("{command} of {}, run {}", options.project, options.id));
    let engine = if past.engine.is_empty() { String::new() } else { format!(", on {}", past.engine) };
    let time = if past.time.is_empty() { "at an unknown time" } else { &past.time };
    let when = if options.when.is_empty() { String::new() } else { format!(", {}", options.when) };
    line(text, &format!("{time}{when}{engine}\n"));
}

fn unfinished(text: &mut String, past: &PastRun, options: &StoryOptions<'_>) {
    let took = human_duration(past.took());
    if past.outcome == Outcome::Running {
        let ready =
            if past.view.ready_at.is_some() { "everything was ready" } else { "not everything is ready yet" };
        return line(text, &format!("it goes on: {ready} after {took}"));
    }
    line(text, &format!("interrupted: its record ends after {took}, without an end"));
    let command = &options.command;
    line(
        text,
        &format!("  it was killed, or its machine went down; `{command} up` or `{command} down` finishes"),
    );
}

/// What was done to each thing, in order.
fn steps<'a>(text: &mut String, title: &str, steps: impl Iterator<Item = &'a PastStep>) {
    let mut subjects: Vec<(String, Vec<String>)> = Vec::new();
    for step in steps {
        let replica = step.action.replica.as_ref().map(ToString::to_string);
        let subject = replica.unwrap_or_else(|| step.action.target.clone());
        let words = match &step.result {
            Some(Ok(took)) => format!("{} ({})", done(step.action.action), human_duration(*took)),
            Some(Err(error)) => {
                format!("failed to {}: {}", infinitive(step.action.action), error.replace('\n', " "))
            }
            None => format!("asked to {}, its answer is not known", infinitive(step.action.action)),
        };
        match subjects.iter_mut().find(|(known, _)| *known == subject) {
            Some((_, all)) => all.push(words),
            None => subjects.push((subject, vec![words])),
        }
    }
    if subjects.is_empty() {
        return;
    }
    line(text, &format!("\n{title}"));
    let width = subjects.iter().map(|(subject, _)| subject.chars().count()).max().unwrap_or(0);
    for (subject, words) in subjects {
        line(text, &format!("  {subject:width$}  {}", words.join(", ")));
    }
}

fn done(verb: Verb) -> &'static str {
    match verb {
        Verb::CreateNetwork => "network created",
        Verb::RemoveNetwork => "network removed",
        Verb::CreateVolume => "volume created",
        Verb::RemoveVolume => "volume removed",
        Verb::PullImage => "pulled",
        Verb::BuildImage => "built",
        Verb::RemoveImage => "image removed",
        Verb::ProviderUp => "brought up by its provider",
        Verb::ProviderDown => "taken down by its provider",
        Verb::ProviderStop => "stopped by its provider",
        Verb::SetUpModel => "model set up",
        Verb::CreateContainer => "created",
        Verb::StartContainer => "started",
        Verb::StopContainer => "stopped",
        Verb::KillContainer => "killed",
        Verb::RestartContainer => "restarted",
        Verb::RenameContainer => "renamed",
        Verb::RemoveContainer => "removed",
        Verb::ReconnectContainer => "connected",
        Verb::TakeNames => "names handed over",
    }
}

fn timings(text: &mut String, past: &PastRun) {
    let known: Vec<&Timing> =
        past.timings.iter().filter(|t| t.created.is_some() || t.started.is_some()).collect();
    if known.is_empty() {
        return;
    }
    line(text, "\nwhere the time went");
    let width = known.iter().map(|t| t.replica.to_string().chars().count()).max().unwrap_or(0);
    for timing in known {
        let mut parts = Vec::new();
        parts.extend(timing.created.map(|took| format!("created in {}", human_duration(took))));
        parts.extend(timing.started.map(|at| format!("started at {}", human_duration(at.since_start()))));
        parts.extend(match (timing.started, timing.ready) {
            (Some(started), Some(ready)) => {
                Some(format!("ready {} later", human_duration(ready.since(started))))
            }
            (Some(_), None) => Some("never ready".to_owned()),
            (None, _) => None,
        });
        line(text, &format!("  {:width$}  {}", timing.replica.to_string(), parts.join(", ")));
        if timing.stages.len() > 1
            || timing.stages.iter().any(|(_, _, status)| *status != StageStatus::Passed)
        {
            for (stage, took, status) in &timing.stages {
                let word = stage_word(*status);
                line(text, &format!("  {:width$}    {stage} {word} after {}", "", human_duration(*took)));
            }
        }
    }
}

fn stage_word(status: StageStatus) -> &'static str {
    match status {
        StageStatus::Started => "began",
        StageStatus::Passed => "passed",
        StageStatus::Degraded => "degraded",
        StageStatus::Failed => "failed",
    }
}

/// A line of a listing, for programs.
pub fn past_json(past: &PastRun, id: &str, folder: &Path) -> Value {
    let mut value = json!({
        "run": id,
        "time": past.time,
        "command": past.view.command,
        "engine": past.engine,
        "outcome": past.outcome.words(),
        "seconds": round(past.took()),
        "folder": folder,
    });
    for (kind, services) in past.changes().kinds() {
        value[kind] = json!(services);
    }
    value
}

/// A run in full, for programs.
pub fn story_json(past: &PastRun, options: &StoryOptions<'_>) -> Value {
    let mut value = past_json(past, options.id, options.folder);
    value["project"] = json!(options.project);
    let finished = past.view.finished.as_ref();
    value["verdict"] = json!(finished.map(|f| f.verdict));
    value["aftermath"] = json!(finished.map(|f| f.aftermath));
    value["failures"] = json!(finished.map(|f| f.failures.as_slice()).unwrap_or_default());
    value["degraded"] = json!(finished.map(|f| f.degraded.as_slice()).unwrap_or_default());
    value["left"] = json!(finished.map(|f| f.left.as_slice()).unwrap_or_default());
    value["warnings"] = json!(past.view.warnings);
    value["steps"] = past.steps.iter().map(step_json).collect();
    value["timings"] = past.timings_json();
    value["files"] = json!(options.files);
    value
}

fn step_json(step: &PastStep) -> Value {
    let mut value = json!(step.action);
    value["undoing"] = json!(step.undoing);
    let (result, seconds, error): (_, Option<Duration>, _) = match &step.result {
        Some(Ok(took)) => ("done", Some(*took), None),
        Some(Err(error)) => ("failed", None, Some(error)),
        None => ("unknown", None, None),
    };
    value["result"] = json!(result);
    value["seconds"] = json!(seconds.map(round));
    value["error"] = json!(error);
    value
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::{
        event::{Aftermath, EventKind, Failure, RunFinished, ServiceState, Verdict},
        report::{
            past::tests::step,
            view::tests::{events, service, stage, started},
        },
    };

    fn told(kinds: Vec<EventKind>, live: bool) -> (PastRun, StoryOptions<'static>) {
        let past = PastRun::of(&events((0u64..).step_by(500).zip(kinds).collect()), live);
        let options = StoryOptions {
            id: "20261122T015000.000-1",
            project: "shop",
            when: "5 minutes ago".to_owned(),
            command: "docker orch".to_owned(),
            folder: Path::new("/state/shop/20261122T015000.000-1"),
            files: vec!["containers/shop-web-1/log.txt".to_owned(), "events.jsonl".to_owned()],
        };
        (past, options)
    }

    fn words(kinds: Vec<EventKind>, live: bool) -> String {
        let (past, options) = told(kinds, live);
        anstream::adapter::strip_str(&story(&past, &options)).to_string()
    }

    fn failed_run() -> Vec<EventKind> {
        let mut kinds = vec![started()];
        kinds.extend(step(Verb::CreateContainer, "web"));
        kinds.extend(step(Verb::StartContainer, "web"));
        kinds.push(service("web", ServiceState::Starting, ""));
        kinds.push(stage("web", "listening", 1, 2, StageStatus::Started));
        kinds.push(stage("web", "listening", 1, 2, StageStatus::Failed));
        kinds.push(EventKind::Unwinding { policy: "rollback".into(), reason: "web: too late".into() });
        kinds.extend(step(Verb::RemoveContainer, "web"));
        let failure = Failure {
            service: "web".into(),
            reason: "stage listening timed out after 1s".into(),
            log: vec!["loading".into()],
            health: vec!["listening: connection refused".into()],
            timed_out: true,
            ..Failure::default()
        };
        kinds.push(EventKind::RunFinished(RunFinished {
            verdict: Verdict::Failed,
            aftermath: Aftermath::RolledBack,
            failures: vec![failure],
            degraded: vec![],
            left: vec!["volume shop_data: in use".into()],
        }));
        kinds
    }

    #[test]
    fn a_failed_run_is_told_from_its_causes_to_its_files() {
        assert_snapshot!(words(failed_run(), false), @r"
        up of shop, run 20261122T015000.000-1
        2026-11-22T01:50:00Z, 5 minutes ago

        ✘ up failed after 5.5s

          web: stage listening timed out after 1s
            last checks:
              listening: connection refused
            last log lines of web:
              | loading

          rolled back: the project is as it was before
            left: volume shop_data: in use
          try: `docker orch up --start-timeout 10m` gives it more time

        what was done
          web-1  created (0.0s), started (0.0s)

        what was undone or ended
          web-1  removed (0.0s)

        where the time went
          web-1  created in 0.0s, started at 2.5s, never ready
                   listening failed after 0.5s

        its record is in /state/shop/20261122T015000.000-1
          containers/shop-web-1/log.txt
          events.jsonl
        ");
    }

    #[test]
    fn a_killed_run_and_one_that_goes_on_have_no_end() {
        let mut kinds = vec![started()];
        kinds.extend(step(Verb::CreateContainer, "web").into_iter().take(1));
        assert_snapshot!(words(kinds.clone(), false), @r"
        up of shop, run 20261122T015000.000-1
        2026-11-22T01:50:00Z, 5 minutes ago

        interrupted: its record ends after 0.5s, without an end
          it was killed, or its machine went down; `docker orch up` or `docker orch down` finishes

        what was done
          web-1  asked to create container, its answer is not known

        its record is in /state/shop/20261122T015000.000-1
          containers/shop-web-1/log.txt
          events.jsonl
        ");
        assert!(words(kinds, true).contains("it goes on: not everything is ready yet after 0.5s"));
        let empty = words(vec![], false);
        assert!(empty.starts_with("run of shop, run 20261122T015000.000-1\nat an unknown time"), "{empty}");
    }

    #[test]
    fn programs_get_all_of_it() {
        let (past, options) = told(failed_run(), false);
        let value = story_json(&past, &options);
        for (at, expected) in [
            ("/outcome", json!("failed, rolled back")),
            ("/failures/0/health/0", json!("listening: connection refused")),
            ("/left/0", json!("volume shop_data: in use")),
            ("/steps/2/action", json!("remove_container")),
            ("/steps/2/undoing", json!(true)),
            ("/timings/containers/1/stages/0/status", json!("failed")),
            ("/created", json!([])),
            ("/files/1", json!("events.jsonl")),
        ] {
            assert_eq!(value.pointer(at), Some(&expected), "{at}: {value:#}");
        }
    }
}
