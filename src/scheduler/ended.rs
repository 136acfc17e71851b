//! A process that has ended before the engine has answered to its stop.

use std::sync::Arc;

use super::Scheduler;
use crate::plan::StepId;

impl Scheduler {
    /// What a container depends on may be stopped as soon as its process has ended: those stops wait no longer for the
    /// engine's clean-up. Everything else does.
    pub(super) fn process_ended(&mut self, id: StepId) {
        let plan = Arc::clone(&self.plan);
        let dependents = std::mem::take(&mut self.steps[id.index()].dependents);
        let (stops, others): (Vec<StepId>, Vec<StepId>) =
            dependents.into_iter().partition(|dependent| plan.steps[dependent.index()].action.stops());
        self.steps[id.index()].dependents = others;
        for stop in stops {
            self.hold_no_longer(stop);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        plan::{Action, Cause, ContainerRef, Limits, Observed, Phase, Plan, Step},
        scheduler::{AfterReady, Effect, FailureKind, Input, StepFailure, StepOutput},
        time::Elapsed,
    };

    const WEB: StepId = StepId(0);
    const DB: StepId = StepId(1);
    const WEB_REMOVED: StepId = StepId(2);

    /// `web` stops, then `db` stops and `web` is removed.
    fn scheduler() -> Scheduler {
        let container = |name: &str| ContainerRef { id: name.to_owned(), name: name.to_owned() };
        let stopping =
            |name| Action::StopContainer { replica: None, container: container(name), grace: None };
        let remove = Action::RemoveContainer { replica: None, container: container("web"), volumes: false };
        let step = |action, after: &[StepId]| Step {
            action,
            after: after.to_vec(),
            gate: None,
            awaits: None,
            unit: None,
            cause: Cause::Requested,
            phase: Phase::Run,
        };
        let plan = Plan {
            project: "p".to_owned(),
            steps: vec![step(stopping("web"), &[]), step(stopping("db"), &[WEB]), step(remove, &[WEB])],
            units: Vec::new(),
            waves: Vec::new(),
            limits: Limits { starts: 1, most_starts: None, calls: 1, ends: 1, images: 1, timeout: None },
            window: None,
            warnings: Vec::new(),
        };
        Scheduler::new(Arc::new(plan), &Observed::default(), AfterReady::Finish)
    }

    fn performed(scheduler: &mut Scheduler, input: Input) -> Vec<StepId> {
        let effects = scheduler.step(Elapsed::ZERO, input).into_iter();
        effects.filter_map(|e| if let Effect::Perform(id) = e { Some(id) } else { None }).collect()
    }

    fn done(step: StepId) -> Input {
        Input::StepFinished { step, result: Ok(StepOutput::Done) }
    }

    #[test]
    fn what_a_container_depends_on_stops_when_its_process_has_ended() {
        let mut scheduler = scheduler();
        assert_eq!(performed(&mut scheduler, Input::Tick), [WEB]);
        assert_eq!(performed(&mut scheduler, Input::ProcessEnded { step: WEB }), [DB]);
        assert_eq!(performed(&mut scheduler, Input::ProcessEnded { step: WEB }), []);
        assert_eq!(performed(&mut scheduler, done(WEB)), [WEB_REMOVED]);
        assert_eq!(performed(&mut scheduler, done(DB)), []);
    }

    #[test]
    fn news_that_come_after_the_answer_change_nothing() {
        let mut scheduler = scheduler();
        performed(&mut scheduler, Input::Tick);
        assert_eq!(performed(&mut scheduler, done(WEB)), [DB, WEB_REMOVED]);
        assert_eq!(performed(&mut scheduler, Input::ProcessEnded { step: WEB }), []);
    }

    #[test]
    fn an_engine_that_fails_afterwards_is_asked_again_for_its_own_part_alone() {
        let mut scheduler = scheduler();
        performed(&mut scheduler, Input::Tick);
        assert_eq!(performed(&mut scheduler, Input::ProcessEnded { step: WEB }), [DB]);
        let failure = StepFailure { message: "no".to_owned(), kind: FailureKind::Failed };
        let failed = Input::StepFinished { step: WEB, result: Err(failure) };
        assert_eq!(performed(&mut scheduler, failed), []);
        let again = scheduler.step(Elapsed::new(Duration::from_secs(1)), Input::Tick);
        assert!(again.contains(&Effect::Perform(WEB)) && !again.contains(&Effect::Perform(DB)));
    }
}
