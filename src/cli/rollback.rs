//! `rollback`: back to what ran before the last `up`.

use std::collections::BTreeSet;

use super::{
    CliError, Exit, Invocation, applied,
    args::RollbackArgs,
    history::{find, kept, past},
    plan,
    up::{self, Asked},
};
use crate::{
    engine::Engine,
    event::Aftermath,
    journal::{Applied, KeptRun, ProjectLock, applied as states_of, state_dir},
    plan::UpOptions,
    project::Project,
    report::{Outcome, PastRun},
};

/// Goes back. Is itself a run of the history, so that a second one goes forward again.
///
/// # Errors
///
/// There is nothing to go back to, something that it needs is gone, or the engine cannot be reached.
pub(super) async fn run(invocation: &Invocation, args: &RollbackArgs) -> Result<Exit, CliError> {
    let subject = invocation.subject()?;
    let engine = invocation.connect().await?;
    // What is being changed decides what there is to go back from.
    let state = state_dir(|name| invocation.env(name));
    let host = &engine.info().host;
    if let Some(holder) = state.and_then(|state| ProjectLock::holder(&state, &subject.name, host)) {
        return Err(CliError::failed(format!("{holder} is changing {}", subject.name))
            .hint("roll back when it has ended, or interrupt it: then it puts back what ran before"));
    }
    let runs = kept(invocation, &subject.name)?;
    let states = states_of(&runs, &engine.info().host);
    let target = match &args.to {
        Some(wanted) => {
            state_of(invocation, find(invocation, &subject.name, &runs, wanted)?, &engine.info().host)?
        }
        None => before_last(invocation, &subject.name, &runs, &states)?,
    };
    if subject.observe(engine.as_ref()).await?.containers.is_empty() {
        return Err(CliError::failed(format!("nothing of {} is there to go back from", subject.name))
            .hint(format!("`{} up` starts it", invocation.again())));
    }
    let mut project = applied::load(invocation, &subject.name, &target)?;
    pin(engine.as_ref(), &mut project, &target).await?;
    let up_args = args.up();
    let options = UpOptions {
        leaving: leaving(&states, &target),
        no_build: true,
        pull: Some("never".to_owned()),
        ..up::options(invocation, &up_args)
    };
    let project = up::prepared(invocation, &up_args, project).await?;
    if invocation.project.dry_run {
        let format = super::args::Format::Table;
        return plan::show(invocation, &project, Some(engine.as_ref()), options, (format.into(), args.yes))
            .await;
    }
    let asked = Asked {
        command: "rollback",
        args: &up_args,
        project,
        applied: (target, applied::Part::Whole),
        recorder: None,
        options,
    };
    up::carry_out(invocation, engine, asked).await
}

/// What stood before the last `up`.
fn before_last(
    invocation: &Invocation,
    project: &str,
    runs: &[KeptRun],
    states: &[(KeptRun, Applied)],
) -> Result<Applied, CliError> {
    let again = invocation.again();
    let Some((last, stands)) = states.first() else {
        let removed = runs.iter().map(past).find(|past| past.outcome == Outcome::Succeeded);
        return Err(match removed {
            Some(past) if past.view.command == "down" => {
                CliError::failed(format!("{project} was removed by `down`: there is nothing to go back to"))
            }
            Some(_) | None => CliError::failed(format!("no `up` of {project} that succeeded is recorded")),
        }
        .hint(format!("`{again} up` starts it")));
    };
    // An `up` since that did not succeed.
    let since = runs.iter().take_while(|run| run.id > last.id);
    let failed = since.map(|run| (run, past(run))).find(|(_, past)| is_start(past));
    match failed {
        Some((run, past)) if is_undone(past.outcome) => {
            let what = format!("the last `{}` (run {}) was rolled back by itself", past.view.command, run.id);
            Err(CliError::failed(format!("{what}: what ran before it runs"))
                .hint(format!("`{again} rollback --to RUN` goes further back; `{again} history` lists runs")))
        }
        Some(_) => Ok(stands.clone()),
        None => match states.get(1) {
            Some((_, before)) => Ok(before.clone()),
            None => Err(CliError::failed(format!(
                "nothing is recorded of {project} before run {}, which is what stands",
                last.id
            ))
            .hint(format!("`{again} down` removes it; `{again} history` lists what was done"))),
        },
    }
}

/// Whether a run changed what the project is to be.
fn is_start(past: &PastRun) -> bool {
    ["up", "rollback"].contains(&past.view.command.as_str()) && past.outcome != Outcome::Running
}

fn is_undone(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Failed(Aftermath::RolledBack) | Outcome::Cancelled(Aftermath::RolledBack))
}

/// What a run of the user's choice made of the project.
fn state_of(invocation: &Invocation, run: &KeptRun, engine: &str) -> Result<Applied, CliError> {
    match Applied::of(run) {
        Some(applied) if applied.engine == engine => Ok(applied),
        Some(applied) => {
            let (there, here) = (&applied.engine, engine);
            Err(CliError::usage(format!("run {} was on the engine at {there}, not at {here}", run.id))
                .hint("`docker --context NAME orch rollback` or DOCKER_HOST leads to the other engine"))
        }
        None => {
            let past = past(run);
            let what = format!("`{}`, {}", past.view.command, past.outcome.words());
            Err(CliError::usage(format!("run {} left nothing that can be gone back to: {what}", run.id))
                .hint(format!(
                    "only an `up` or `rollback` that succeeded does, until `down`; `{} history` lists runs",
                    invocation.again()
                )))
        }
    }
}

/// Services that what stands now has, and what is gone back to has not.
fn leaving(states: &[(KeptRun, Applied)], target: &Applied) -> BTreeSet<String> {
    let wanted: BTreeSet<&String> = target.services().collect();
    let now = states.first().into_iter().flat_map(|(_, applied)| applied.services());
    now.filter(|service| !wanted.contains(service)).cloned().collect()
}

/// Lets services whose image has another name's meaning by now run the one that they ran.
///
/// # Errors
///
/// One of them is gone; nothing was changed yet.
async fn pin(engine: &dyn Engine, project: &mut Project, target: &Applied) -> Result<(), CliError> {
    let mut gone = Vec::new();
    let ask = |error| CliError::engine("failed to look at images", &error);
    for (name, id) in &target.images {
        let Some(service) = project.services.get(name) else { continue };
        let platform = service.platform.clone();
        let named = engine.image(&project.image_name(service), platform.as_deref()).await.map_err(ask)?;
        if named.is_some_and(|image| image.id == *id) {
            continue;
        }
        if engine.image(id, None).await.map_err(ask)?.is_none() {
            gone.push(format!("`{name}` ran {id}, which was {}", project.image_name(service)));
        }
        project.services[name.as_str()].pinned_image = Some(id.clone());
    }
    if gone.is_empty() {
        return Ok(());
    }
    let mut error = CliError::failed("an image that is gone back to is gone; nothing was changed");
    error.causes = gone;
    Err(error.hint("pull or build it again under any name, or go back to another run with `--to`"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::{
        event::{Event, EventKind, RunFinished, RunStarted, Sink as _, Verdict},
        journal::{Journal, RunFolder, runs},
        time::Elapsed,
    };

    /// A run on a day, how it ended, and which version stood after it.
    fn add(state: &Path, day: u32, command: &str, end: Option<(Verdict, Aftermath)>, version: Option<u32>) {
        let folder = RunFolder::create(state, "shop", &format!("202601{day:02}T000000.000-1")).unwrap();
        let mut journal = Journal::create(&folder).unwrap();
        let mut emit = |kind| journal.emit(&Event { seq: 0, at: Elapsed::ZERO, kind }).unwrap();
        emit(EventKind::RunStarted(RunStarted {
            format: 1,
            run: String::new(),
            time: String::new(),
            project: "shop".into(),
            command: command.into(),
            engine: "e".into(),
            waves: Vec::new(),
            services: Vec::new(),
        }));
        if let Some((verdict, aftermath)) = end {
            let (failures, degraded, left) = (Vec::new(), Vec::new(), Vec::new());
            emit(EventKind::RunFinished(RunFinished { verdict, aftermath, failures, degraded, left }));
        }
        if let Some(version) = version {
            let model = json!({"services": {"web": {"scale": version}}});
            Applied::new("e", model).write(folder.path()).unwrap();
        }
    }

    fn target(state: &Path) -> Result<u64, String> {
        let runs = runs(state, "shop").unwrap();
        let states = states_of(&runs, "e");
        let found = before_last(&Invocation::default(), "shop", &runs, &states);
        found
            .map(|applied| applied.model["services"]["web"]["scale"].as_u64().unwrap())
            .map_err(|error| error.message)
    }

    #[test]
    fn it_goes_to_what_stood_before_the_last_up() {
        const FINE: Option<(Verdict, Aftermath)> = Some((Verdict::Succeeded, Aftermath::Kept));
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path();
        assert!(target(state).unwrap_err().contains("no `up` of shop that succeeded"));
        add(state, 1, "up", FINE, Some(1));
        assert!(target(state).unwrap_err().contains("before run 20260101T000000.000-1"));
        add(state, 2, "up", FINE, Some(2));
        assert_eq!(target(state), Ok(1));
        // One that changed nothing, and commands that only stop and start, are no step.
        add(state, 3, "up", FINE, Some(2));
        add(state, 4, "restart", FINE, None);
        assert_eq!(target(state), Ok(1));
        add(state, 5, "up", Some((Verdict::Failed, Aftermath::RolledBack)), None);
        assert!(target(state).unwrap_err().contains("rolled back by itself"));
        // What was left as it is, or killed, is gone back from.
        add(state, 6, "up", Some((Verdict::Failed, Aftermath::Kept)), None);
        assert_eq!(target(state), Ok(2));
        add(state, 7, "up", None, None);
        assert_eq!(target(state), Ok(2));
        add(state, 8, "rollback", FINE, Some(1));
        assert_eq!(target(state), Ok(2), "and forward again");
        Applied::forget_all(state, "shop", "e").unwrap();
        add(state, 9, "down", FINE, None);
        assert!(target(state).unwrap_err().contains("removed by `down`"));
    }

    #[test]
    fn a_run_by_its_id_needs_a_state_on_this_engine() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path();
        add(state, 1, "up", Some((Verdict::Succeeded, Aftermath::Kept)), Some(1));
        add(state, 2, "up", Some((Verdict::Failed, Aftermath::RolledBack)), None);
        let runs = runs(state, "shop").unwrap();
        let of = |run: &KeptRun, engine| state_of(&Invocation::default(), run, engine).map_err(|e| e.message);
        assert!(of(&runs[1], "e").is_ok());
        assert!(of(&runs[1], "other").unwrap_err().contains("on the engine at e, not at other"));
        assert!(of(&runs[0], "e").unwrap_err().contains("`up`, failed, rolled back"));
    }

    #[test]
    fn services_that_only_the_later_state_has_leave() {
        let of = |names: &[&str]| {
            let services: serde_json::Map<_, _> =
                names.iter().map(|n| ((*n).to_owned(), json!({}))).collect();
            Applied::new("e", json!({ "services": services }))
        };
        let run = KeptRun { id: String::new(), folder: std::path::PathBuf::new() };
        let left = leaving(&[(run, of(&["web", "db", "new"]))], &of(&["web", "db"]));
        assert_eq!(left, ["new".to_owned()].into());
    }
}
