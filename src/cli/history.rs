//! `history`: the runs of a project, and one of them in full.

use std::{path::PathBuf, time::SystemTime};

use super::{
    CliError, Exit, Invocation,
    args::{Format, HistoryArgs, HistoryCommand, HistoryShowArgs},
    entry::{note, print},
    results::replace,
    table::{human, table},
};
use crate::{
    journal::{KeptRun, from_rfc3339, read_events, runs, short_ids, state_dir},
    report::{Outcome, PastRun, Results, StoryOptions, human_duration, junit, past_json, story, story_json},
};

/// Lists runs, or shows one.
///
/// # Errors
///
/// The files are wrong, the record cannot be read, or there is no such run.
pub(super) fn run(invocation: &Invocation, args: &HistoryArgs) -> Result<Exit, CliError> {
    let project = invocation.subject()?.name;
    let runs = kept(invocation, &project)?;
    match &args.command {
        Some(HistoryCommand::Show(args)) => show(invocation, &project, &runs, args),
        None => Ok(list(invocation, &project, &runs, args)),
    }
}

/// The runs of a project that are kept, the newest first.
///
/// # Errors
///
/// There is no place for them, or it cannot be read.
pub(super) fn kept(invocation: &Invocation, project: &str) -> Result<Vec<KeptRun>, CliError> {
    let state = state_dir(|name| invocation.env(name)).ok_or_else(|| {
        CliError::failed("runs are recorded nowhere").hint("set HOME or XDG_STATE_HOME to a folder")
    })?;
    runs(&state, project)
        .map_err(|e| CliError::failed(format!("failed to read what is recorded of {project}")).caused_by(&e))
}

/// What a run's record tells; one that cannot be read tells nothing.
pub(super) fn past(run: &KeptRun) -> PastRun {
    let read = read_events(&run.events()).unwrap_or_default();
    if read.unread > 0 {
        tracing::debug!("{}: {} lines cannot be read", run.events().display(), read.unread);
    }
    PastRun::of(&read.events, run.is_live())
}

fn list(invocation: &Invocation, project: &str, runs: &[KeptRun], args: &HistoryArgs) -> Exit {
    if runs.is_empty() {
        note(&format!("no run of {project} is recorded; `{} up` makes the first", invocation.again()));
        return Exit::Fine;
    }
    let pasts = runs.iter().zip(short_ids(runs)).take(args.limit.unwrap_or(usize::MAX));
    let pasts: Vec<(&KeptRun, &str, PastRun)> = pasts.map(|(run, short)| (run, short, past(run))).collect();
    match args.format {
        Format::Json => {
            let line = |(run, _, past): &(&KeptRun, _, PastRun)| {
                format!("{}\n", past_json(past, &run.id, &run.folder))
            };
            print(&pasts.iter().map(line).collect::<String>())
        }
        Format::Table => print(&rows(&pasts, SystemTime::now())),
    }
}

fn rows(pasts: &[(&KeptRun, &str, PastRun)], now: SystemTime) -> String {
    let mut engines: Vec<&str> = pasts.iter().map(|(_, _, past)| past.engine.as_str()).collect();
    engines.sort_unstable();
    engines.dedup();
    let several = engines.len() > 1;
    let mut headings = vec!["RUN", "WHEN", "COMMAND", "OUTCOME", "TOOK", "CHANGES"];
    if several {
        headings.push("ENGINE");
    }
    let row = |(_, short, past): &(&KeptRun, &str, PastRun)| {
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        let mut row = vec![
            (*short).to_owned(),
            or_dash(when(past, now)),
            or_dash(past.view.command.clone()),
            past.outcome.words(),
            human_duration(past.took()),
            or_dash(changes(past)),
        ];
        if several {
            row.push(past.engine.clone());
        }
        row
    };
    table(&headings, &pasts.iter().map(row).collect::<Vec<_>>())
}

/// What changed; of a run that failed, why.
fn changes(past: &PastRun) -> String {
    const LONGEST: usize = 60;
    let failure = past.view.finished.iter().flat_map(|finished| &finished.failures).next();
    let Some(failure) = failure else { return past.changes().words() };
    let reason = failure.reason.lines().next().unwrap_or_default();
    let words =
        if failure.service.is_empty() { reason.to_owned() } else { format!("{}: {reason}", failure.service) };
    match words.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

/// `5 minutes ago`; empty where the record does not say.
fn when(past: &PastRun, now: SystemTime) -> String {
    let age = from_rfc3339(&past.time).and_then(|time| now.duration_since(time).ok());
    age.map(|age| format!("{} ago", human(age))).unwrap_or_default()
}

fn show(
    invocation: &Invocation,
    project: &str,
    runs: &[KeptRun],
    args: &HistoryShowArgs,
) -> Result<Exit, CliError> {
    let run = match &args.run {
        Some(wanted) => find(invocation, project, runs, wanted)?,
        None => runs
            .iter()
            .find(|run| matches!(past(run).outcome, Outcome::Failed(_)))
            .or(runs.first())
            .ok_or_else(|| none(invocation, project))?,
    };
    reports(run, args)?;
    let past = past(run);
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let options = StoryOptions {
        id: &run.id,
        project,
        when: when(&past, SystemTime::now()),
        command: invocation.again(),
        folder: &run.folder,
        files: run.files().into_iter().map(text).collect(),
    };
    Ok(match args.format {
        Format::Json => print(&format!("{:#}\n", story_json(&past, &options))),
        Format::Table if invocation.display().out_colour => print(&story(&past, &options)),
        Format::Table => print(&anstream::adapter::strip_str(&story(&past, &options)).to_string()),
    })
}

/// Writes the reports that were asked for.
fn reports(run: &KeptRun, args: &HistoryShowArgs) -> Result<(), CliError> {
    if args.junit.is_none() && args.summary.is_none() {
        return Ok(());
    }
    let events = read_events(&run.events()).unwrap_or_default().events;
    let results = Results::of(&events, run.is_live(), None);
    let write = |path: &Option<PathBuf>, text: String| match path {
        Some(path) => replace(path, &text, true)
            .map_err(|e| CliError::failed(format!("failed to write `{}`", path.display())).caused_by(&e)),
        None => Ok(()),
    };
    write(&args.junit, junit(&results))?;
    write(&args.summary, format!("{:#}\n", results.json()))
}

fn none(invocation: &Invocation, project: &str) -> CliError {
    CliError::failed(format!("no run of {project} is recorded"))
        .hint(format!("`{} up` makes the first", invocation.again()))
}

/// The run whose ID begins so.
///
/// # Errors
///
/// There is none, or more than one.
pub(super) fn find<'a>(
    invocation: &Invocation,
    project: &str,
    runs: &'a [KeptRun],
    wanted: &str,
) -> Result<&'a KeptRun, CliError> {
    if let Some(run) = runs.iter().find(|run| run.id == wanted) {
        return Ok(run);
    }
    let found: Vec<&KeptRun> = runs.iter().filter(|run| run.id.starts_with(wanted)).collect();
    match found[..] {
        [run] => Ok(run),
        [] if runs.is_empty() => Err(none(invocation, project)),
        [] => Err(CliError::usage(format!("no run of {project} has an ID that begins with `{wanted}`"))
            .hint(format!("`{} history` lists them", invocation.again()))),
        [..] => {
            let error = CliError::usage(format!("`{wanted}` is the beginning of {} IDs", found.len()));
            Err(error.hint(found.iter().map(|run| run.id.as_str()).collect::<Vec<_>>().join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use insta::assert_snapshot;

    use super::*;
    use crate::{
        event::{Event, EventKind, RunStarted},
        time::Elapsed,
    };

    fn kept_run(id: &str) -> KeptRun {
        KeptRun { id: id.to_owned(), folder: PathBuf::new() }
    }

    fn past_of(command: &str, engine: &str) -> PastRun {
        let kind = EventKind::RunStarted(RunStarted {
            format: 1,
            run: "r".into(),
            time: "2026-11-22T01:50:00.000Z".into(),
            project: "shop".into(),
            command: command.into(),
            engine: engine.into(),
            waves: Vec::new(),
            services: Vec::new(),
        });
        PastRun::of(&[Event { seq: 0, at: Elapsed::ZERO, kind }], false)
    }

    #[test]
    fn a_record_that_says_nothing_is_a_row_as_well() {
        let run = kept_run("20261122T015000.000-1");
        let now = from_rfc3339("2026-11-22T01:55:00Z").unwrap();
        let known = (&run, "20261122T015000", past_of("up", "unix:///a.sock"));
        let empty = (&run, "20261122T014000", PastRun::of(&[], false));
        assert_snapshot!(rows(std::slice::from_ref(&known), now), @r"
        RUN               WHEN            COMMAND   OUTCOME       TOOK      CHANGES
        20261122T015000   5 minutes ago   up        interrupted   0.0s      -
        ");
        assert_snapshot!(rows(&[known, empty], now), @r"
        RUN               WHEN            COMMAND   OUTCOME       TOOK      CHANGES   ENGINE
        20261122T015000   5 minutes ago   up        interrupted   0.0s      -         unix:///a.sock
        20261122T014000   -               -         interrupted   0.0s      -
        ");
        assert_eq!(when(&past_of("up", ""), now - Duration::from_hours(1)), "");
    }

    #[test]
    fn a_run_is_found_by_a_beginning_that_no_other_has() {
        let invocation = Invocation::default();
        let runs = [kept_run("20261122T015000.000-11"), kept_run("20261122T015000.000-1")];
        let find = |wanted| find(&invocation, "shop", &runs, wanted).map(|run| run.id.as_str());
        assert_eq!(find("20261122T015000.000-11"), Ok("20261122T015000.000-11"));
        assert_eq!(find("20261122T015000.000-1"), Ok("20261122T015000.000-1"));
        let error = find("2026").unwrap_err();
        assert_eq!(error.message, "`2026` is the beginning of 2 IDs");
        assert_eq!(error.exit().code(), 2);
        assert!(find("2025").unwrap_err().message.contains("begins with `2025`"));
        let none = super::find(&invocation, "shop", &[], "2").unwrap_err();
        assert_eq!(none.message, "no run of shop is recorded");
    }
}
