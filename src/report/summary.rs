//! The final words about a run.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::{ReplicaView, RunView, human_duration, text::count};
use crate::event::{Aftermath, Failure, RunFinished, ServiceState, Verdict, WindowEnd};

/// How the final words are put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryOptions {
    /// What the user types before a command: `docker orch -p shop`.
    pub command: String,
    /// The last log lines of what failed are among them.
    pub logs: bool,
}

impl Default for SummaryOptions {
    fn default() -> Self {
        Self { command: "docker orch".to_owned(), logs: true }
    }
}

/// The final words about a finished run, with colours; empty for a run without an end.
pub fn summary(view: &RunView, options: &SummaryOptions) -> String {
    let Some(finished) = &view.finished else { return String::new() };
    let mut text = String::new();
    match finished.verdict {
        Verdict::Succeeded => succeeded(&mut text, view, finished),
        Verdict::Failed => failed(&mut text, view, finished, options),
        Verdict::Cancelled => cancelled(&mut text, view, finished, options),
    }
    text
}

fn succeeded(text: &mut String, view: &RunView, finished: &RunFinished) {
    let green = Style::new().fg_color(Some(AnsiColor::Green.into()));
    let yellow = Style::new().fg_color(Some(AnsiColor::Yellow.into()));
    let what = match view.command.as_str() {
        "up" | "start" | "rollback" => "ready",
        "restart" => "restarted",
        "stop" => "stopped",
        "down" => "removed",
        _ => "done",
    };
    // What a start takes away is none of what is ready.
    let gone = |r: &&ReplicaView| matches!(r.state, ServiceState::Stopped | ServiceState::Removed);
    let shown = view.replicas.iter().filter(|r| what != "ready" || !gone(r));
    let mut services: Vec<&str> = shown.map(|r| r.replica.service.as_str()).collect();
    services.dedup();
    let services = count(services.len(), "service");
    // An attached run goes on after everything is ready.
    let took = human_duration(view.ready_at.filter(|_| what == "ready").unwrap_or(view.at).since_start());
    line(text, &format!("{green}✔{green:#} {}: {services} {what} in {took}", view.project));
    if what == "ready"
        && let Some(slowest) = slowest(view)
    {
        line(text, &format!("  slowest: {slowest}"));
    }
    for degraded in &finished.degraded {
        let why = view
            .replicas
            .iter()
            .find(|r| r.replica.service == *degraded)
            .map(|r| r.cause.as_str())
            .filter(|cause| !cause.is_empty())
            .map_or_else(String::new, |cause| format!(": {cause}"));
        line(text, &format!("{yellow}!{yellow:#} degraded: {degraded}{why}"));
    }
}

/// The containers that took longest, where that tells something.
fn slowest(view: &RunView) -> Option<String> {
    let took = |r: &ReplicaView| Some(r.ready_at?.since(r.began?));
    let mut times: Vec<_> = view.replicas.iter().filter_map(|r| Some((took(r)?, r))).collect();
    if times.len() < 2 {
        return None;
    }
    times.sort_by_key(|(took, _)| std::cmp::Reverse(*took));
    let texts: Vec<String> =
        times.iter().take(3).map(|(took, r)| format!("{} {}", r.replica, human_duration(*took))).collect();
    Some(texts.join(", "))
}

fn failed(text: &mut String, view: &RunView, finished: &RunFinished, options: &SummaryOptions) {
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    let took = human_duration(view.at.since_start());
    line(text, &format!("{red}✘ {} failed{red:#} after {took}", view.command));
    for failure in &finished.failures {
        text.push('\n');
        one_failure(text, failure, options);
    }
    if finished.failures.is_empty() {
        text.push('\n');
        for (action, error) in &view.failed_steps {
            let verb = super::plain::infinitive(action.action);
            line(text, &format!("  failed to {verb} {}: {error}", action.target));
        }
        if let (true, Some((_, reason))) = (view.failed_steps.is_empty(), &view.unwinding) {
            line(text, &format!("  {reason}"));
        }
    }
    text.push('\n');
    what_is_left(text, view, finished);
    next(text, view, finished, options);
}

fn cancelled(text: &mut String, view: &RunView, finished: &RunFinished, options: &SummaryOptions) {
    let yellow = Style::new().bold().fg_color(Some(AnsiColor::Yellow.into()));
    let took = human_duration(view.at.since_start());
    line(text, &format!("{yellow}{} interrupted{yellow:#} after {took}", view.command));
    for failure in &finished.failures {
        text.push('\n');
        one_failure(text, failure, options);
    }
    what_is_left(text, view, finished);
    if finished.aftermath == Aftermath::Stuck {
        next(text, view, finished, options);
    }
}

/// The chain of causes, then the evidence.
fn one_failure(text: &mut String, failure: &Failure, options: &SummaryOptions) {
    let bold = Style::new().bold();
    line(text, &format!("  {bold}{}{bold:#}", chain(failure)));
    if let Some(also) = also(failure) {
        line(text, &format!("    also not started: {also}"));
    }
    if !failure.health.is_empty() {
        line(text, "    last checks:");
        for result in &failure.health {
            line(text, &format!("      {result}"));
        }
    }
    if options.logs && !failure.log.is_empty() {
        line(text, &format!("    last log lines of {}:", failure.service));
        for log in &failure.log {
            line(text, &format!("      | {}", printable(log)));
        }
    }
}

/// `web not started ← api ← db: exited with code 1: "cannot open /data"`, from the service that is farthest away.
fn chain(failure: &Failure) -> String {
    let mut chain = String::new();
    for (n, service) in farthest(failure).into_iter().enumerate() {
        chain.push_str(service);
        chain.push_str(if n == 0 { " not started ← " } else { " ← " });
    }
    // What is about no single service has no name before it.
    let of = if failure.service.is_empty() { String::new() } else { format!("{}: ", failure.service) };
    write!(chain, "{of}{}", failure.reason).expect("writing to a String cannot fail");
    let last =
        failure.log.iter().rev().find(|l| !l.trim().is_empty()).filter(|_| failure.exit_code.is_some());
    if let Some(last) = last {
        write!(chain, ": \"{}\"", printable(last.trim())).expect("writing to a String cannot fail");
    }
    chain
}

/// The way from the service that is farthest away up to the one beside the root.
fn farthest(failure: &Failure) -> Vec<&str> {
    let mut way = Vec::new();
    // They stand nearest first, so the last one is at the end of a longest way.
    let mut next = failure.dependents.last();
    while let Some(dependent) = next {
        way.push(dependent.service.as_str());
        next = failure.dependents.iter().find(|d| d.service == dependent.because);
    }
    way
}

/// Services that were not started either, beside those of the chain.
fn also(failure: &Failure) -> Option<String> {
    let way = farthest(failure);
    let others = failure.dependents.iter().map(|d| d.service.as_str()).filter(|s| !way.contains(s));
    let others: Vec<&str> = others.collect();
    if others.is_empty() { None } else { Some(others.join(", ")) }
}

fn what_is_left(text: &mut String, view: &RunView, finished: &RunFinished) {
    let words = match finished.aftermath {
        Aftermath::Kept => "everything that was started is left as it is",
        Aftermath::RolledBack => "rolled back: the project is as it was before",
        Aftermath::TornDown => "torn down: nothing of the project is left but volumes",
        Aftermath::Stopped => "stopped: the containers are kept",
        Aftermath::Stuck => "not everything could be undone:",
    };
    line(text, &format!("  {words}"));
    for left in &finished.left {
        line(text, &format!("    left: {left}"));
    }
    for path in &view.saved {
        line(text, &format!("  logs, health results and inspect output are saved in {path}"));
    }
}

/// The one command to try next.
fn next(text: &mut String, view: &RunView, finished: &RunFinished, options: &SummaryOptions) {
    let is_run = view.command == "run";
    let cyan = Style::new().fg_color(Some(AnsiColor::Cyan.into()));
    let command = &options.command;
    let root = finished.failures.first();
    let hint = match (finished.aftermath, root) {
        (Aftermath::Stuck, _) => format!("`{command} down` removes what is left"),
        // What to type again is more than this knows: the service, and its command.
        (Aftermath::RolledBack | Aftermath::TornDown, _) if is_run => return,
        (Aftermath::Kept | Aftermath::Stopped, Some(failure)) if !is_run => {
            format!("`{command} logs {}` shows its whole log", failure.service)
        }
        (Aftermath::Kept | Aftermath::Stopped, _) => format!("`{command} ps -a` shows what is there"),
        (Aftermath::RolledBack, _)
            if view.window.as_ref().is_some_and(|w| w.end == Some(WindowEnd::ConditionMet)) =>
        {
            format!("`{command} up --rollback-window 0s` leaves the new containers in place, to look at them")
        }
        (Aftermath::RolledBack | Aftermath::TornDown, Some(failure)) if failure.timed_out => {
            format!("`{command} up --start-timeout 10m` gives it more time")
        }
        (Aftermath::RolledBack | Aftermath::TornDown, _) => {
            format!("`{command} up --on-failure keep` leaves the failed containers in place, to look at them")
        }
    };
    line(text, &format!("  {cyan}try:{cyan:#} {hint}"));
}

/// Log lines are foreign text: no control codes of theirs here.
fn printable(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string().replace(|c: char| c.is_control() && c != '\t', "")
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use insta::assert_snapshot;

    use super::*;
    use crate::{
        event::{Dependent, EventKind},
        report::view::tests::{service, started, view_of},
    };

    fn words(kinds: Vec<(u64, EventKind)>) -> String {
        let colourful =
            summary(&view_of(kinds), &SummaryOptions { command: "docker orch -p shop".into(), logs: true });
        anstream::adapter::strip_str(&colourful).to_string()
    }

    fn finished(verdict: Verdict, aftermath: Aftermath, failures: Vec<Failure>) -> EventKind {
        EventKind::RunFinished(RunFinished { verdict, aftermath, failures, degraded: vec![], left: vec![] })
    }

    fn exited() -> Failure {
        Failure {
            service: "db".into(),
            reason: "exited with code 1".into(),
            exit_code: Some(1),
            dependents: vec![
                Dependent { service: "api".into(), because: "db".into() },
                Dependent { service: "jobs".into(), because: "db".into() },
                Dependent { service: "web".into(), because: "api".into() },
            ],
            log: vec!["starting".into(), "\u{1b}[31mcannot open /data\u{1b}[0m".into(), String::new()],
            health: vec!["tcp 5432: connection refused".into()],
            timed_out: false,
        }
    }

    #[test]
    fn success_says_what_came_up_and_how_long_it_took() {
        assert_snapshot!(words(vec![
            (0, started()),
            (100, service("db", ServiceState::Starting, "")),
            (2_400, service("db", ServiceState::Ready, "")),
            (2_450, service("old", ServiceState::Removed, "")),
            (2_500, service("web", ServiceState::Starting, "")),
            (3_000, service("web", ServiceState::Degraded, "check cache fails")),
            (3_010, EventKind::RunFinished(RunFinished {
                verdict: Verdict::Succeeded,
                aftermath: Aftermath::Kept,
                failures: vec![],
                degraded: vec!["web".into()],
                left: vec![],
            })),
        ]), @"
        ✔ shop: 2 services ready in 3.0s
          slowest: db-1 2.3s, web-1 0.5s
        ! degraded: web: check cache fails
        ");
    }

    #[test]
    fn a_failure_ends_with_causes_evidence_what_is_left_and_what_to_try() {
        assert_snapshot!(words(vec![
            (0, started()),
            (100, EventKind::Saved { path: "/state/shop/r1".into() }),
            (62_300, finished(Verdict::Failed, Aftermath::RolledBack, vec![exited()])),
        ]), @r#"
        ✘ up failed after 1m02s

          web not started ← api ← db: exited with code 1: "cannot open /data"
            also not started: jobs
            last checks:
              tcp 5432: connection refused
            last log lines of db:
              | starting
              | cannot open /data
              | 

          rolled back: the project is as it was before
          logs, health results and inspect output are saved in /state/shop/r1
          try: `docker orch -p shop up --on-failure keep` leaves the failed containers in place, to look at them
        "#);
    }

    #[test]
    fn what_went_wrong_inside_the_rollback_window_is_told() {
        let reason = "inside the rollback window (after 12s of 5m0s): 60% of 20 health checks failed";
        let failure = Failure { reason: reason.into(), ..Failure::default() };
        assert_snapshot!(words(vec![
            (0, started()),
            (100, EventKind::WindowOpened { length: Duration::from_mins(5), kept: vec![] }),
            (12_100, EventKind::WindowClosed { end: WindowEnd::ConditionMet }),
            (13_000, finished(Verdict::Failed, Aftermath::RolledBack, vec![failure])),
        ]), @"
        ✘ up failed after 13.0s

          inside the rollback window (after 12s of 5m0s): 60% of 20 health checks failed

          rolled back: the project is as it was before
          try: `docker orch -p shop up --rollback-window 0s` leaves the new containers in place, to look at them
        ");
    }

    #[test]
    fn what_could_not_be_undone_is_listed() {
        assert_snapshot!(words(vec![
            (0, started()),
            (900, EventKind::RunFinished(RunFinished {
                verdict: Verdict::Cancelled,
                aftermath: Aftermath::Stuck,
                failures: vec![],
                degraded: vec![],
                left: vec!["container shop-web-1: removal is already in progress".into()],
            })),
        ]), @"
        up interrupted after 0.9s
          not everything could be undone:
            left: container shop-web-1: removal is already in progress
          try: `docker orch -p shop down` removes what is left
        ");
    }

    #[test]
    fn a_run_without_an_end_has_no_final_words() {
        assert_eq!(words(vec![(0, started())]), "");
    }
}
