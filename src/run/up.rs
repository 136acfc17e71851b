//! `up`: converge, start, watch; and what follows when that fails or is interrupted.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::{
    Ended, Intended, Keep, RunError, RunLabel,
    begin::{announce_start, phase},
    evidence, look, preflight, scope,
    settle::settle,
};
use crate::{
    diagnostic::{Diagnostic, Severity},
    event::{Aftermath, CancelReason, EventKind, Failure, RunFinished, StepAction, Verdict},
    executor::{AskError, Driven, LockError, Run},
    plan::{
        self, Action, ContainerRef, ContainerState, Done, Draft, EndOptions, Observed, Pace, Plan, UpOptions,
    },
    project::OnFailure,
    scheduler::{Abort, AfterReady},
};

/// How long something may take to appear whose creation was asked for without an answer.
const LATE: Duration = Duration::from_secs(5);
/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(100);

/// What is asked of an `up`.
#[derive(Debug, Clone, PartialEq)]
pub struct UpRequest {
    /// What is planned.
    pub options: UpOptions,
    /// What happens when something critical fails.
    pub on_failure: OnFailure,
    /// Whether it goes on watching once everything is ready.
    pub watch: bool,
    /// Which exit ends it, when it watches.
    pub abort: AbortOn,
    /// What the user should know before it begins, beside what the plan says.
    pub warnings: Vec<String>,
    /// Its name in the record.
    pub label: RunLabel,
    /// No run of the project was recorded before: what providers make is made for this one.
    pub first: bool,
}

/// Asks the user before anything is lost.
pub trait Ask: Send + Sync {
    /// Whether the user says yes; `None`: the user says nothing, and wants the run to end.
    fn confirm<'a>(&'a self, question: &'a str) -> BoxFuture<'a, Option<bool>>;
}

/// Nobody is there to say yes: nothing is lost.
pub struct Nobody;

impl Ask for Nobody {
    fn confirm<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Option<bool>> {
        Box::pin(std::future::ready(Some(false)))
    }
}

/// Which exit ends an attached `up`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AbortOn {
    /// Only the last one.
    Never,
    /// Any.
    Exit,
    /// Any with a code other than 0.
    Failure,
    /// That of this service, or any with a code other than 0.
    ExitOf(String),
}

/// Carries an `up` out. Always ends with what the failure policy asks for done, as far as the engine does it.
///
/// # Errors
///
/// Before anything is changed: the engine cannot say what there is, or the project cannot be planned.
pub async fn up(
    run: &mut Run,
    request: &UpRequest,
    keep: &dyn Keep,
    ask: &dyn Ask,
) -> Result<Ended, RunError> {
    match start(run, request, keep, ask).await? {
        Started::Driven(started) => Ok(conclude(run, request, keep, *started).await),
        Started::Over(ended) => Ok(ended),
    }
}

/// How far the starting part of a command came.
pub(super) enum Started {
    /// Its plan was driven, to whatever end.
    Driven(Box<DrivenStart>),
    /// The images could not be had.
    Over(Ended),
}

/// A start that is over.
pub(super) struct DrivenStart {
    pub(super) plan: Arc<Plan>,
    pub(super) driven: Driven,
    /// What tools did before it.
    pub(super) supplied: Option<(Arc<Plan>, Done)>,
    /// Something of the project ran before.
    pub(super) ran_before: bool,
    /// The project had containers before, or may have had something else.
    pub(super) was_there: bool,
}

/// Converges and starts, and watches where that is asked for.
pub(super) async fn start(
    run: &mut Run,
    request: &UpRequest,
    keep: &dyn Keep,
    ask: &dyn Ask,
) -> Result<Started, RunError> {
    let project = Arc::clone(run.project());
    let mut options = request.options.clone();
    settle(run).instrument(phase("lock")).await?;
    let (engine, files) = (Arc::clone(run.engine()), Arc::clone(&project));
    let seen = run.ask_and_listen(|| look(engine.as_ref(), &files));
    let mut observed = Arc::new(seen.instrument(phase("observe")).await?);
    options.fingerprints = run.fingerprints().clone();
    run.forget_gone(&observed);
    for name in plan::drift(&project, &observed).volumes {
        let question =
            format!("volume `{name}` is not as the file says any more: replace it, and lose its data?");
        match ask.confirm(&question).await {
            Some(true) => drop(options.replace_volumes.insert(name)),
            Some(false) => {}
            None => break,
        }
    }
    let ran_before = is_running(&observed);
    let was_there = !request.first || !observed.containers.is_empty();
    let supply = plan::supply(&project, options.cores).map_err(RunError::Plan)?;
    options.unsupplied = supply.is_some();
    let mut plan = checked(run, &observed, &options).instrument(phase("plan")).await?;
    announce_start(run, &request.label, &plan, &observed);
    for message in request.warnings.clone() {
        run.announce(EventKind::Warning { message });
    }
    if let Some(refresh) = plan::refresh(&project, &observed, &options) {
        let driven = run.drive(Arc::new(refresh), Arc::clone(&observed), AfterReady::Finish).await;
        if driven.outcome.verdict != Verdict::Succeeded {
            return Ok(Started::Over(ended(run, driven, Aftermath::Kept, Vec::new())));
        }
        options.images_fresh = true;
    }
    let mut supplied = None;
    if let Some(supply) = supply {
        let supply = Arc::new(supply);
        let driven = run.drive(Arc::clone(&supply), Arc::clone(&observed), AfterReady::Finish).await;
        if driven.outcome.verdict != Verdict::Succeeded {
            let failed = DrivenStart { plan: supply, driven, supplied, ran_before, was_there };
            return Ok(Started::Driven(Box::new(failed)));
        }
        run.set_project(plan::supplied(&project, &driven.said));
        options.unsupplied = false;
        supplied = Some((supply, driven.done));
    }
    if options.images_fresh || supplied.is_some() {
        (observed, plan) = match plan_again(run, &options).await {
            Ok(again) => again,
            Err(error) => return Err(not_planned(run, error)),
        };
    }
    let plan = Arc::new(plan);
    evidence::planned(keep, &plan);
    let after = after_ready(request, &plan);
    let driven = run.drive(Arc::clone(&plan), observed, after).await;
    Ok(Started::Driven(Box::new(DrivenStart { plan, driven, supplied, ran_before, was_there })))
}

/// The plan, where nothing stands in its way; what may do so is among its warnings.
async fn checked(run: &mut Run, observed: &Observed, options: &UpOptions) -> Result<Plan, RunError> {
    let (engine, machine, project) = (Arc::clone(run.engine()), run.machine(), Arc::clone(run.project()));
    let Draft { mut plan, mut faults } = plan::draft(&project, observed, options).map_err(RunError::Plan)?;
    let intended = Intended { project: &project, observed, options, plan: &plan };
    let look_around = || async { Ok(preflight(Some(&*engine), machine.as_deref(), intended).await) };
    let (errors, warnings): (Vec<Diagnostic>, Vec<Diagnostic>) =
        run.ask(look_around).await?.into_iter().partition(|found| found.severity == Severity::Error);
    faults.extend(errors);
    if !faults.is_empty() {
        faults.extend(warnings);
        return Err(RunError::Plan(faults));
    }
    plan.warnings.extend(warnings.iter().map(Diagnostic::sentence));
    Ok(plan)
}

/// Does what follows from how a start went, and ends the record.
pub(super) async fn conclude(
    run: &mut Run,
    request: &UpRequest,
    keep: &dyn Keep,
    started: DrivenStart,
) -> Ended {
    let DrivenStart { plan, mut driven, supplied, ran_before, was_there } = started;
    evidence::fill(run, &plan, &mut driven).await;
    let supplied = supplied.as_ref();
    let start = Start { request, plan: &plan, driven: &driven, supplied, ran_before, was_there, keep };
    let (aftermath, left) = aftermath(run, &start).await;
    ended(run, driven, aftermath, left)
}

/// The plan once images are what the policy asks for, and tools have said what they have to say.
async fn plan_again(run: &mut Run, options: &UpOptions) -> Result<(Arc<Observed>, Plan), RunError> {
    let observed = observe(run).await?;
    let plan = plan::up(run.project(), &observed, options).map_err(RunError::Plan)?;
    Ok((observed, plan))
}

/// Ends the record of a run that got images and could do no more.
fn not_planned(run: &mut Run, error: RunError) -> RunError {
    let reason = match &error {
        RunError::Engine(error) => error.message.clone(),
        RunError::Ended(_) => "interrupted".to_owned(),
        RunError::Plan(diagnostics) => diagnostics.first().map(|d| d.message.clone()).unwrap_or_default(),
        RunError::Busy { holder, .. } => format!("{holder} is changing the project"),
    };
    let failure = Failure { reason, ..Failure::default() };
    let finished = RunFinished {
        verdict: if matches!(error, RunError::Ended(_)) { Verdict::Cancelled } else { Verdict::Failed },
        aftermath: Aftermath::Kept,
        failures: vec![failure],
        degraded: Vec::new(),
        left: Vec::new(),
    };
    run.announce(EventKind::RunFinished(finished));
    error
}

async fn observe(run: &mut Run) -> Result<Arc<Observed>, AskError> {
    let (engine, project) = (Arc::clone(run.engine()), Arc::clone(run.project()));
    run.ask(|| look(engine.as_ref(), &project)).await.map(Arc::new)
}

/// What there is once something has been done: without it nothing can be put back. An error: why nobody knows.
async fn observe_again(run: &mut Run) -> Result<Arc<Observed>, String> {
    let (engine, scope) = (Arc::clone(run.engine()), scope(run.project()));
    let asked = run.ask_to_put_back(|| engine.observe(&scope)).await;
    asked.map(Arc::new).map_err(|error| match error {
        AskError::Engine(error) => error.message,
        AskError::Ended(_) => "interrupted again".to_owned(),
    })
}

/// The same, once containers are there whose creation was asked for without an answer, or a while has passed: the
/// engine may still be at it.
async fn observe_what_was_asked_for(run: &mut Run, done: &Done) -> Result<Arc<Observed>, String> {
    let until = Instant::now() + LATE;
    loop {
        let observed = observe_again(run).await?;
        let missing = plan::unanswered(done, &observed);
        if missing.is_empty() {
            return Ok(observed);
        }
        if Instant::now() >= until {
            let message = format!(
                "the engine has not answered to the creation of {}: should it still appear, the next `up` or `down` takes \
                 care of it",
                missing.join(", ")
            );
            run.announce(EventKind::Warning { message });
            return Ok(observed);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn is_running(observed: &Observed) -> bool {
    observed.containers.iter().any(|c| c.state == ContainerState::Running && !c.is_oneoff())
}

fn after_ready(request: &UpRequest, plan: &Plan) -> AfterReady {
    if !request.watch {
        return AfterReady::Finish;
    }
    AfterReady::Watch(match &request.abort {
        AbortOn::Never => Abort::Never,
        AbortOn::Exit => Abort::OnExit,
        AbortOn::Failure => Abort::OnFailure,
        AbortOn::ExitOf(service) => {
            let index =
                plan.units.iter().position(|u| u.service == *service).and_then(|n| u32::try_from(n).ok());
            index.map_or(Abort::OnFailure, |n| Abort::OnExitOf(plan::UnitId(n)))
        }
    })
}

/// A start that is over, and what it was asked.
struct Start<'a> {
    request: &'a UpRequest,
    plan: &'a Plan,
    driven: &'a Driven,
    /// What tools did before it.
    supplied: Option<&'a (Arc<Plan>, Done)>,
    /// The project had containers before, or may have had something else.
    was_there: bool,
    /// Something of the project ran before.
    ran_before: bool,
    keep: &'a dyn Keep,
}

/// What follows from how the start went: done, and what it could not do.
async fn aftermath(run: &mut Run, start: &Start<'_>) -> (Aftermath, Vec<String>) {
    let Start { request, driven, ran_before, .. } = *start;
    let what = match (driven.outcome.reason, driven.outcome.verdict) {
        (None, Verdict::Succeeded) => return (Aftermath::Kept, Vec::new()),
        (Some(CancelReason::Forced), _) => Follow::Kill,
        // What happens inside the rollback window has a policy of its own.
        _ if driven.outcome.rolls_back.is_some() => Follow::Policy(OnFailure::Rollback),
        // Interrupted on the way: a project that ran before runs again, a new one is stopped, as Compose does.
        // What a one-off container needs is there for it alone.
        (Some(CancelReason::Interrupt), _)
            if (ran_before || request.options.one_off.is_some()) && is_on_its_way(start) =>
        {
            Follow::Policy(OnFailure::Rollback)
        }
        (Some(CancelReason::Interrupt | CancelReason::ContainerExited), _) => Follow::Policy(OnFailure::Stop),
        (Some(CancelReason::Failure | CancelReason::Timeout) | None, _) => {
            let failed = driven.outcome.failures.first();
            let own = failed.and_then(|failure| start.plan.failure_action(&failure.service));
            Follow::Policy(own.unwrap_or(request.on_failure))
        }
    };
    // What follows changes the project again, and an attached run has let others have it.
    if matches!(what, Follow::Policy(OnFailure::Rollback | OnFailure::Teardown | OnFailure::Stop)) {
        let is_asked_for = matches!(
            driven.outcome.reason,
            Some(CancelReason::Interrupt | CancelReason::ContainerExited | CancelReason::Forced)
        );
        match run.lock_to_put_back().await {
            Ok(()) if run.is_overtaken() && !is_asked_for => {
                let message =
                    "another command has changed the project since it was ready: it is left as it is";
                run.announce(EventKind::Warning { message: message.to_owned() });
                return (Aftermath::Kept, Vec::new());
            }
            Ok(()) => {}
            Err(LockError::Ended(_)) => return kill(run, request).await,
            Err(LockError::Busy { holder, .. }) => {
                let why = format!("{holder} is changing the project: it is left as it is");
                return (Aftermath::Stuck, vec![why]);
            }
        }
    }
    match what {
        Follow::Kill => kill(run, request).await,
        Follow::Policy(policy) => {
            if driven.outcome.verdict == Verdict::Failed
                && driven.outcome.reason != Some(CancelReason::ContainerExited)
            {
                evidence::keep_plan(start.keep, start.plan);
                announce_policy(run, policy, driven);
            }
            if policy == OnFailure::Stop && driven.outcome.in_window {
                announce_kept(run, start.plan);
            }
            follow(run, start, policy).await
        }
    }
}

/// Whether it has not done what it was called for: without `-d` that is to watch, as soon as everything is ready.
fn is_on_its_way(start: &Start<'_>) -> bool {
    let outcome = &start.driven.outcome;
    !outcome.was_ready || (outcome.in_window && !start.request.watch)
}

/// Nothing is lost by an end inside the rollback window: whether what is new is good, nobody knows yet.
fn announce_kept(run: &mut Run, plan: &Plan) {
    let kept = plan.kept();
    if !kept.is_empty() {
        let message = format!(
            "what ran before is kept beside what is stopped: {} (the next `up` lets it go once everything is ready, \
             `down` removes it)",
            kept.join(", ")
        );
        run.announce(EventKind::Warning { message });
    }
}

enum Follow {
    Policy(OnFailure),
    Kill,
}

fn announce_policy(run: &mut Run, policy: OnFailure, driven: &Driven) {
    let first = driven.outcome.failures.first();
    let reason = first.map_or_else(String::new, |f| {
        if f.service.is_empty() { f.reason.clone() } else { format!("{}: {}", f.service, f.reason) }
    });
    let policy = match policy {
        OnFailure::Rollback => "rollback",
        OnFailure::Teardown => "teardown",
        OnFailure::Stop => "stop",
        OnFailure::Keep => "keep",
    };
    run.announce(EventKind::Unwinding { policy: policy.to_owned(), reason });
}

async fn follow(run: &mut Run, start: &Start<'_>, policy: OnFailure) -> (Aftermath, Vec<String>) {
    let Start { request, plan, driven, keep, .. } = *start;
    let grace = request.options.stop_grace;
    // A teardown leaves nothing: orphans would keep the networks in use.
    let orphans = policy == OnFailure::Teardown;
    let options = EndOptions { grace, orphans, cores: request.options.cores, ..EndOptions::default() };
    let (next, observed, aftermath) = match policy {
        OnFailure::Keep => {
            evidence::keep(run, keep, &evidence::failed(plan, driven), driven).await;
            return (Aftermath::Kept, Vec::new());
        }
        OnFailure::Rollback if plan::is_past_undoing(plan, &driven.done) => {
            let message = "what ran before is gone for good: nothing is rolled back";
            run.announce(EventKind::Warning { message: message.to_owned() });
            return (Aftermath::Kept, Vec::new());
        }
        OnFailure::Rollback => {
            let observed = match observe_what_was_asked_for(run, &driven.done).await {
                Ok(observed) => observed,
                Err(why) => return (Aftermath::Stuck, not_undone(start, &why)),
            };
            let done = plan::confirmed(plan, &driven.done, &observed);
            let created: Vec<ContainerRef> = done.created.values().cloned().collect();
            evidence::keep(run, keep, &created, driven).await;
            let done = undone(start, plan, &done);
            let next = match driven.outcome.rolls_back.unwrap_or_default() {
                Pace::Immediate if !plan::is_paced(plan, &done) => plan::unwind(plan, &done, grace),
                Pace::Immediate | Pace::Gradual => gradually(run, plan, &done, grace),
            };
            (next, observed, Aftermath::RolledBack)
        }
        OnFailure::Teardown | OnFailure::Stop => {
            let observed = match observe_again(run).await {
                Ok(observed) => observed,
                Err(why) => return (Aftermath::Stuck, vec![why]),
            };
            if policy == OnFailure::Teardown {
                let all: Vec<ContainerRef> = observed.containers.iter().map(ContainerRef::from).collect();
                evidence::keep(run, keep, &all, driven).await;
                (plan::down(run.project(), &observed, &options), observed, Aftermath::TornDown)
            } else {
                evidence::keep(run, keep, &evidence::failed(plan, driven), driven).await;
                (plan::stop(run.project(), &observed, &options), observed, Aftermath::Stopped)
            }
        }
    };
    let undoing = run.put_back(Arc::new(next), observed).await;
    if undoing.outcome.reason == Some(CancelReason::Forced) {
        return kill(run, request).await;
    }
    let mut left = undoing.outcome.left;
    let not_ready = undoing.outcome.failures.into_iter().filter(|_| aftermath == Aftermath::RolledBack);
    left.extend(not_ready.map(|failure| format!("{}: {}", failure.service, failure.reason)));
    let mut interrupted = undoing.outcome.reason.is_some();
    if let (Some((supply, done)), Aftermath::RolledBack) = (start.supplied, &aftermath) {
        let next = plan::unwind(supply, &undone(start, supply, done), grace);
        let undoing = run.put_back(Arc::new(next), Arc::default()).await;
        left.extend(undoing.outcome.left);
        interrupted |= undoing.outcome.reason.is_some();
    }
    if left.is_empty() && !interrupted { (aftermath, left) } else { (Aftermath::Stuck, left) }
}

/// One service after another, where that is possible.
fn gradually(run: &mut Run, plan: &Plan, done: &Done, grace: Option<Duration>) -> Plan {
    plan::unwind_gradually(plan, done, run.project(), grace).unwrap_or_else(|| {
        let message =
            "services that share a namespace, or whose network was replaced, are rolled back at once";
        run.announce(EventKind::Warning { message: message.to_owned() });
        plan::unwind(plan, done, grace)
    })
}

/// Everything that undoing would have been about, where it could not even begin.
fn not_undone(start: &Start<'_>, why: &str) -> Vec<String> {
    let done = undone(start, start.plan, &start.driven.done);
    let steps = plan::unwind(start.plan, &done, None).steps;
    let targets: BTreeSet<String> = steps.iter().map(|step| StepAction::from(&step.action).target).collect();
    targets.into_iter().map(|target| format!("{target}: {why}")).collect()
}

/// What is to be undone of what was done. What providers did is undone only where the project was not there before:
/// else what they take down may have been there before this run too, with whatever it holds.
fn undone(start: &Start<'_>, plan: &Plan, done: &Done) -> Done {
    let mut undone = done.clone();
    let provided = |id: &plan::StepId| matches!(plan.steps[id.index()].action, Action::CallProvider { .. });
    undone.steps.retain(|id| !(start.was_there && provided(id)));
    undone
}

/// The second request to end: nothing is waited for.
async fn kill(run: &mut Run, request: &UpRequest) -> (Aftermath, Vec<String>) {
    let observed = match observe_again(run).await {
        Ok(observed) => observed,
        Err(why) => return (Aftermath::Stuck, vec![why]),
    };
    let options = EndOptions { cores: request.options.cores, ..EndOptions::default() };
    let plan = plan::kill(run.project(), &observed, &options);
    let killed = run.drive(Arc::new(plan), observed, AfterReady::Finish).await;
    let left = killed.outcome.left;
    (if left.is_empty() { Aftermath::Stopped } else { Aftermath::Stuck }, left)
}

pub(super) fn ended(run: &mut Run, driven: Driven, aftermath: Aftermath, mut left: Vec<String>) -> Ended {
    let mut outcome = driven.outcome;
    left.splice(0..0, outcome.left);
    outcome.left = Vec::new();
    let finished = RunFinished {
        verdict: outcome.verdict,
        aftermath,
        failures: outcome.failures,
        degraded: outcome.degraded,
        left,
    };
    run.announce(EventKind::RunFinished(finished.clone()));
    Ended { finished, reason: outcome.reason, exits: outcome.exits }
}
