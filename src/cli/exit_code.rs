//! The exit code says what happened.

use std::process::ExitCode;

use crate::event::{CancelReason, RunFinished, Verdict};

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: everything is as asked.
    Fine,
    /// 1: a service failed, or what was asked could not be done.
    Failed,
    /// 2: the file or the command line is wrong, or names something that is not there.
    Usage,
    /// 3: the engine cannot be reached, or refused, or somebody else holds a port or name.
    Engine,
    /// 4: time was over.
    TimedOut,
    /// 130: interrupted.
    Interrupted,
    /// A container's own exit code.
    Container(u8),
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Engine => 3,
            Self::TimedOut => 4,
            Self::Interrupted => 130,
            Self::Container(code) => code,
        }
    }

    /// As a container ended; codes beyond a byte count as 255.
    pub fn of_container(code: i64) -> Self {
        Self::Container(u8::try_from(code).unwrap_or(u8::MAX))
    }

    /// As a run ended; `cancelled` is the greatest reason that it was asked to end for.
    pub fn of_run(finished: &RunFinished, cancelled: Option<CancelReason>) -> Self {
        match (finished.verdict, cancelled) {
            (Verdict::Succeeded, _) => Self::Fine,
            (_, Some(CancelReason::Timeout)) => Self::TimedOut,
            (_, Some(CancelReason::Interrupt | CancelReason::Forced)) | (Verdict::Cancelled, _) => {
                Self::Interrupted
            }
            (Verdict::Failed, _)
                if !finished.failures.is_empty() && finished.failures.iter().all(|f| f.timed_out) =>
            {
                Self::TimedOut
            }
            (Verdict::Failed, _) => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Aftermath, Failure};

    #[test]
    fn every_end_has_its_number() {
        for (exit, code) in [
            (Exit::Fine, 0),
            (Exit::Failed, 1),
            (Exit::Usage, 2),
            (Exit::Engine, 3),
            (Exit::TimedOut, 4),
            (Exit::Interrupted, 130),
            (Exit::of_container(42), 42),
            (Exit::of_container(0), 0),
            (Exit::of_container(3_221_225_786), 255),
        ] {
            assert_eq!(exit.code(), code, "{exit:?}");
        }
    }

    #[test]
    fn a_run_ends_as_its_verdict_and_its_failures_say() {
        let run = |verdict, timed_out: &[bool]| RunFinished {
            verdict,
            aftermath: Aftermath::Kept,
            failures: timed_out
                .iter()
                .map(|&timed_out| Failure {
                    service: "db".into(),
                    reason: String::new(),
                    exit_code: None,
                    dependents: vec![],
                    log: vec![],
                    health: vec![],
                    timed_out,
                })
                .collect(),
            degraded: vec![],
            left: vec![],
        };
        for (verdict, timed_out, cancelled, exit) in [
            (Verdict::Succeeded, &[][..], None, Exit::Fine),
            (Verdict::Failed, &[false], None, Exit::Failed),
            (Verdict::Failed, &[true], None, Exit::TimedOut),
            (Verdict::Failed, &[true, false], None, Exit::Failed),
            (Verdict::Failed, &[], Some(CancelReason::Timeout), Exit::TimedOut),
            (Verdict::Failed, &[false], Some(CancelReason::Failure), Exit::Failed),
            (Verdict::Failed, &[false], Some(CancelReason::Interrupt), Exit::Interrupted),
            (Verdict::Cancelled, &[], Some(CancelReason::Interrupt), Exit::Interrupted),
            (Verdict::Cancelled, &[], Some(CancelReason::Forced), Exit::Interrupted),
            (Verdict::Cancelled, &[], Some(CancelReason::Timeout), Exit::TimedOut),
        ] {
            assert_eq!(
                Exit::of_run(&run(verdict, timed_out), cancelled),
                exit,
                "{verdict:?} {timed_out:?} {cancelled:?}"
            );
        }
    }
}
