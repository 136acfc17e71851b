//! What was reached, counted.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use docker_orch::{
    engine::sim::{Request, Verb},
    event::{Aftermath, Event, EventKind, Verdict},
    project::{OnFailure, Project, Replica},
};

use super::{
    acts::{Act, Command, Kill, name_of},
    play::Went,
};

/// Counts of everything that a set of worlds reached.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) worlds: u64,
    runs: BTreeMap<&'static str, u64>,
    events: u64,
    starts: u64,
    /// Hashes of the states that projects were in while something was done to them: how many containers are in which
    /// state of their life, how many waves are open, ready and failed, and whether the run is ready, is to end and
    /// is being undone.
    states: HashSet<u64>,
    faults: BTreeMap<&'static str, u64>,
    /// By policy of the project and command: how it ended.
    outcomes: BTreeMap<(&'static str, &'static str), BTreeMap<&'static str, u64>>,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.worlds += other.worlds;
        self.events += other.events;
        self.starts += other.starts;
        self.states.extend(other.states);
        for (what, n) in other.runs {
            *self.runs.entry(what).or_default() += n;
        }
        for (what, n) in other.faults {
            *self.faults.entry(what).or_default() += n;
        }
        for (what, ends) in other.outcomes {
            for (end, n) in ends {
                *self.outcomes.entry(what).or_default().entry(end).or_default() += n;
            }
        }
    }

    /// Runs in all.
    pub(super) fn runs(&self) -> u64 {
        self.runs.values().sum()
    }

    pub(super) fn count(&mut self, act: &Act, project: &Project, went: &Went, requests: &[Request]) {
        *self.runs.entry(act.command.word()).or_default() += 1;
        self.events += went.events.len() as u64;
        self.starts += requests.iter().filter(|r| r.verb == Verb::Start).count() as u64;
        self.states(&went.events);
        for met in requests.iter().filter_map(|r| r.met.as_ref()) {
            self.fault(name_of(met));
        }
        for (_, jolt) in act.jolts.iter().filter(|_| went.jolted) {
            self.fault(jolt.name());
        }
        for kind in went.events.iter().map(|e| &e.kind) {
            if let EventKind::CancelRequested { reason } = kind {
                use docker_orch::event::CancelReason as Why;
                match reason {
                    Why::Interrupt => self.fault("Ctrl+C"),
                    Why::Forced => self.fault("Ctrl+C twice"),
                    Why::Timeout => self.fault("time is over"),
                    Why::Failure | Why::ContainerExited => {}
                }
            }
        }
        if went.ended.is_none() {
            self.fault(match act.killed {
                Some(Kill::AtRecord(_)) => "killed at a record",
                Some(Kill::After(_)) | None => "killed at an instant",
            });
        }
        let policy = match (act.command, project.orch.on_failure) {
            (Command::End(_), _) => "",
            (Command::Up(_), OnFailure::Rollback) => "rollback",
            (Command::Up(_), OnFailure::Teardown) => "teardown",
            (Command::Up(_), OnFailure::Stop) => "stop",
            (Command::Up(_), OnFailure::Keep) => "keep",
        };
        let kind = if matches!(act.command, Command::Up(_)) { "up" } else { act.command.word() };
        let ends = self.outcomes.entry((kind, policy)).or_default();
        *ends.entry(outcome(went)).or_default() += 1;
    }

    fn fault(&mut self, name: &'static str) {
        *self.faults.entry(name).or_default() += 1;
    }

    fn states(&mut self, events: &[Event]) {
        let mut lives: BTreeMap<&Replica, u8> = BTreeMap::new();
        let (mut waves, mut course) = ([0u8; 3], (false, None, false));
        for event in events {
            match &event.kind {
                EventKind::Service { replica, state, .. } => drop(lives.insert(replica, *state as u8)),
                EventKind::WaveOpened { .. } => waves[0] += 1,
                EventKind::WaveReady { .. } => waves[1] += 1,
                EventKind::WaveFailed { .. } => waves[2] += 1,
                EventKind::Ready { .. } => course.0 = true,
                EventKind::CancelRequested { reason } => course.1 = Some(*reason as u8),
                EventKind::Unwinding { .. } => course.2 = true,
                _ => continue,
            }
            let mut counts = [0u8; 32];
            for life in lives.values() {
                counts[usize::from(*life)] += 1;
            }
            let mut hasher = DefaultHasher::new();
            (counts, waves, course).hash(&mut hasher);
            self.states.insert(hasher.finish());
        }
    }
}

fn outcome(went: &Went) -> &'static str {
    match &went.ended {
        None => "killed",
        Some(Err(_)) => "not begun",
        Some(Ok(ended)) => match (ended.finished.verdict, ended.finished.aftermath) {
            (Verdict::Succeeded, Aftermath::Stuck) => "done, something left",
            (Verdict::Succeeded, _) => "succeeded",
            (_, Aftermath::RolledBack) => "rolled back",
            (_, Aftermath::TornDown) => "torn down",
            (_, Aftermath::Stopped) => "stopped",
            (_, Aftermath::Kept) => "kept",
            (_, Aftermath::Stuck) => "stuck, said so",
        },
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.runs();
        writeln!(
            f,
            "{runs} simulated runs in {} worlds: {} events, {} starts",
            self.worlds, self.events, self.starts
        )?;
        writeln!(f, "{} distinct states of a project", self.states.len())?;
        writeln!(f, "\n{:<34}{:>8}", "command", "runs")?;
        for (what, n) in &self.runs {
            writeln!(f, "{what:<34}{n:>8}")?;
        }
        writeln!(f, "\n{:<34}{:>8}", "fault", "reached")?;
        for (what, n) in &self.faults {
            writeln!(f, "{what:<34}{n:>8}")?;
        }
        writeln!(f, "\n{:<10}{:<12}{:<22}{:>8}", "command", "on_failure", "end", "runs")?;
        for ((command, policy), ends) in &self.outcomes {
            for (end, n) in ends {
                writeln!(f, "{command:<10}{policy:<12}{end:<22}{n:>8}")?;
            }
        }
        Ok(())
    }
}
