//! A sink that hides secrets from the one behind it.

use std::io;

use super::Mask;
use crate::event::{Event, Sink};

/// Hands events on with secrets hidden in their free text. Names of services, checks and images stay.
#[derive(Debug)]
pub struct Masked<S> {
    behind: S,
    mask: Mask,
}

impl<S: Sink> Masked<S> {
    /// Hides what the mask hides.
    pub fn new(behind: S, mask: Mask) -> Self {
        Self { behind, mask }
    }
}

impl<S: Sink> Sink for Masked<S> {
    fn emit(&mut self, event: &Event) -> io::Result<()> {
        let mut event = event.clone();
        for text in event.kind.texts_mut() {
            self.mask.text(text);
        }
        self.behind.emit(&event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{EventKind, Failure, RunFinished, Verdict},
        time::Elapsed,
    };

    struct Recorder(Vec<Event>);

    impl Sink for Recorder {
        fn emit(&mut self, event: &Event) -> io::Result<()> {
            self.0.push(event.clone());
            Ok(())
        }
    }

    #[test]
    fn free_text_is_masked_and_names_are_not() {
        let mut sink = Masked::new(Recorder(Vec::new()), Mask::new(["postgres"]));
        let failure = Failure {
            service: "postgres".into(),
            reason: "no role postgres".into(),
            log: vec!["password postgres".into()],
            health: vec!["ready: postgres".into()],
            ..Failure::default()
        };
        let finished = RunFinished {
            verdict: Verdict::Failed,
            aftermath: crate::event::Aftermath::Kept,
            failures: vec![failure],
            degraded: vec!["postgres".into()],
            left: vec!["postgres stays".into()],
        };
        sink.emit(&Event { seq: 0, at: Elapsed::ZERO, kind: EventKind::RunFinished(finished) }).unwrap();
        let EventKind::RunFinished(finished) = &sink.behind.0[0].kind else { panic!("another event") };
        let failure = &finished.failures[0];
        assert_eq!((failure.service.as_str(), finished.degraded[0].as_str()), ("postgres", "postgres"));
        assert_eq!(failure.reason, "no role ***");
        assert_eq!((failure.log[0].as_str(), failure.health[0].as_str()), ("password ***", "ready: ***"));
        assert_eq!(finished.left[0], "*** stays");
    }
}
