//! What ends or puts back is asked for again: left undone it is a mess, and done twice it does no harm.

use std::{sync::Arc, time::Duration};

use super::{FailureKind, Scheduler, StepFailure, agenda::Timer, machine::StepState};
use crate::{
    plan::{Action, Cause, Phase, Step, StepId},
    time::{Backoff, Elapsed},
};

/// How often an engine that fails at it is asked.
const TRIES: u32 = 3;
/// For how long an engine that gives no answer is asked: one that is started again needs a while.
const PATIENCE: Duration = Duration::from_secs(30);
/// The first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// Whether a step ends or puts back, rather than brings about.
pub(super) fn is_ending(step: &Step) -> bool {
    matches!(step.cause, Cause::Undo | Cause::Requested) || step.phase == Phase::Commit
}

impl Scheduler {
    /// Lets a failed step be performed again after a pause, where that is worth it; whether it is.
    pub(super) fn ask_again(&mut self, now: Elapsed, id: StepId, failure: &StepFailure) -> bool {
        let plan = Arc::clone(&self.plan);
        let step = &plan.steps[id.index()];
        let of_tool = matches!(step.action, Action::CallProvider { .. } | Action::SetUpModel { .. });
        // A unit's start has a policy of its own.
        let of_unit = step.unit.is_some() && matches!(step.action, Action::StartContainer { .. });
        if !is_ending(step) || of_tool || of_unit || self.cancel.is_some() {
            return false;
        }
        let run = &mut self.steps[id.index()];
        run.failures += 1;
        let first = *run.failed_first.get_or_insert(now);
        let again = match failure.kind {
            FailureKind::Refused => false,
            FailureKind::Failed => run.failures < TRIES,
            FailureKind::NotAsked | FailureKind::NoAnswer => now.since(first) < PATIENCE,
        };
        if again {
            let pause = Backoff::new(PAUSES.0, PAUSES.1).pause(run.failures - 1);
            self.set_state(id, StepState::Blocked);
            self.agenda.set(Timer::Step(id), Some(now + pause));
        }
        again
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::{ContainerRef, Limits, Observed, Plan},
        scheduler::{AfterReady, Effect, Input, Outcome},
    };

    const SECOND: Elapsed = Elapsed::new(Duration::from_secs(1));

    /// A plan that only removes a container.
    fn removal() -> Scheduler {
        let container = ContainerRef { id: "a".to_owned(), name: "p-a-1".to_owned() };
        let step = Step {
            action: Action::RemoveContainer { replica: None, container, volumes: false },
            after: Vec::new(),
            gate: None,
            awaits: None,
            unit: None,
            cause: Cause::Undo,
            phase: Phase::Run,
        };
        let plan = Plan {
            project: "p".to_owned(),
            steps: vec![step],
            units: Vec::new(),
            waves: Vec::new(),
            limits: Limits { starts: 1, most_starts: None, calls: 1, ends: 1, images: 1, timeout: None },
            window: None,
            warnings: Vec::new(),
        };
        Scheduler::new(Arc::new(plan), &Observed::default(), AfterReady::Finish)
    }

    /// Lets every try fail a second after it began; how many tries there were, and the end.
    fn failing(kind: FailureKind) -> (u32, Outcome) {
        let mut scheduler = removal();
        let (mut now, mut tries, mut input) = (Elapsed::ZERO, 0, Input::Tick);
        loop {
            let mut asked = false;
            for effect in scheduler.step(now, input) {
                match effect {
                    Effect::Perform(_) => asked = true,
                    Effect::Finish(outcome) => return (tries, outcome),
                    _ => {}
                }
            }
            if asked {
                tries += 1;
                now = now + SECOND.since_start();
                let failure = StepFailure { message: "no".to_owned(), kind };
                input = Input::StepFinished { step: StepId(0), result: Err(failure) };
            } else {
                now = scheduler.next_deadline().expect("a moment for the next try");
                input = Input::Tick;
            }
        }
    }

    #[test]
    fn what_ends_is_asked_for_as_long_as_that_may_help() {
        for (kind, tries) in [
            (FailureKind::Refused, 1),
            (FailureKind::Failed, TRIES),
            (FailureKind::NotAsked, 13),
            (FailureKind::NoAnswer, 13),
        ] {
            let (tried, outcome) = failing(kind);
            assert_eq!((tried, outcome.left), (tries, vec!["p-a-1: no".to_owned()]), "{kind:?}");
        }
    }
}
