//! How much is under way at once.

use std::time::Duration;

use crate::plan::{Action, Limits};

/// Steps of one lane share a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Container starts.
    Starts,
    /// Pulls and builds.
    Images,
    /// Stops with a grace period mostly wait for it: they cost the engine nothing, so all may wait at once.
    Stops,
    /// What ends containers without waiting.
    Ends,
    /// Everything else.
    Calls,
}

impl Lane {
    pub(super) const ALL: [Self; 5] = [Self::Starts, Self::Images, Self::Stops, Self::Ends, Self::Calls];

    /// The lane of an action.
    pub(super) fn of(action: &Action) -> Self {
        match action {
            Action::StartContainer { .. } => Self::Starts,
            Action::PullImage { .. } | Action::BuildImage { .. } => Self::Images,
            Action::StopContainer { grace: Some(Duration::ZERO), .. }
            | Action::KillContainer { .. }
            | Action::RemoveContainer { .. } => Self::Ends,
            Action::StopContainer { .. } => Self::Stops,
            Action::CreateNetwork { .. }
            | Action::RemoveNetwork { .. }
            | Action::RestoreNetwork(_)
            | Action::Reconnect { .. }
            | Action::CreateVolume { .. }
            | Action::RemoveVolume { .. }
            | Action::RemoveImage { .. }
            | Action::CallProvider { .. }
            | Action::SetUpModel { .. }
            | Action::CreateContainer { .. }
            | Action::TakeNames { .. }
            | Action::RenameContainer { .. } => Self::Calls,
        }
    }
}

/// Steps under way, by lane.
#[derive(Debug, Clone)]
pub(super) struct Lanes {
    used: [usize; 5],
    limit: [usize; 5],
    starts: Option<Sustained>,
}

impl Lanes {
    pub(super) fn new(limits: &Limits) -> Self {
        let limit = Lane::ALL.map(|lane| match lane {
            Lane::Starts => limits.starts,
            Lane::Images => limits.images,
            Lane::Stops => usize::MAX,
            Lane::Ends => limits.ends,
            Lane::Calls => limits.calls,
        });
        let starts = limits.most_starts.map(|most| Sustained::new(limits.starts, most));
        Self { used: [0; 5], limit: limit.map(|n| n.max(1)), starts }
    }

    /// Whether one more fits.
    pub(super) fn has_room(&self, lane: Lane) -> bool {
        self.used[lane as usize] < self.limit[lane as usize]
    }

    pub(super) fn enter(&mut self, lane: Lane) {
        self.used[lane as usize] += 1;
    }

    pub(super) fn leave(&mut self, lane: Lane) {
        self.used[lane as usize] -= 1;
    }

    /// A step of this lane was done, and took so long.
    pub(super) fn done(&mut self, lane: Lane, took: Duration) {
        let Some(starts) = self.starts.as_mut().filter(|_| lane == Lane::Starts) else { return };
        // The one that is done was under way too.
        starts.learn(took, self.used[lane as usize] + 1);
        self.limit[lane as usize] = starts.limit();
    }

    /// Steps under way in all lanes.
    pub(super) fn total(&self) -> usize {
        self.used.iter().sum()
    }
}

/// How many starts at once the engine sustains, learned from how long they take.
///
/// As long as a start takes no longer than the fastest one, there is room for more; once it takes half as long again they
/// only wait for each other, and fewer do as well. The rule is that of Netflix's gradient limit
/// (<https://github.com/Netflix/concurrency-limits>): a new limit is the old one times `1.5 × fastest / took`, at most 1
/// and at least ½, plus a queue of its square root.
#[derive(Debug, Clone)]
struct Sustained {
    limit: f64,
    most: f64,
    fastest: Option<Duration>,
}

impl Sustained {
    /// How much longer than the fastest a start may take.
    const TOLERANCE: f64 = 1.5;
    /// Part of what one start says that counts.
    const SMOOTHING: f64 = 0.2;
    /// Below this, a start that waits for something else would hold everything up.
    const LEAST: f64 = 2.0;

    #[expect(clippy::cast_precision_loss, reason = "limits are small")]
    fn new(first: usize, most: usize) -> Self {
        Self { limit: first as f64, most: most as f64, fastest: None }
    }

    #[expect(clippy::cast_precision_loss, reason = "what is under way is not much")]
    fn learn(&mut self, took: Duration, under_way: usize) {
        let fastest = self.fastest.map_or(took, |fastest| fastest.min(took));
        self.fastest = Some(fastest);
        // Starts that had room to themselves say nothing about more of them.
        if (under_way as f64) < self.limit / 2.0 {
            return;
        }
        let took = took.as_secs_f64();
        let gradient =
            if took > 0.0 { (Self::TOLERANCE * fastest.as_secs_f64() / took).clamp(0.5, 1.0) } else { 1.0 };
        let limit = self.limit * gradient + self.limit.sqrt();
        let limit = self.limit * (1.0 - Self::SMOOTHING) + limit * Self::SMOOTHING;
        self.limit = limit.clamp(Self::LEAST.min(self.most), self.most);
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and what is the most, which fits"
    )]
    fn limit(&self) -> usize {
        self.limit as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { starts: 4, most_starts: Some(32), calls: 4, ends: 8, images: 3, timeout: None };

    /// The limit after 100 starts of an engine on which so many at once take no longer than one.
    fn learned(limits: &Limits, sustained: u32) -> usize {
        let mut lanes = Lanes::new(limits);
        // The first one is alone: those after it wait for its image, or depend on it.
        lanes.enter(Lane::Starts);
        lanes.leave(Lane::Starts);
        lanes.done(Lane::Starts, Duration::from_millis(100));
        for _ in 0..100 {
            while lanes.has_room(Lane::Starts) {
                lanes.enter(Lane::Starts);
            }
            let under_way = u32::try_from(lanes.used[Lane::Starts as usize]).unwrap();
            lanes.leave(Lane::Starts);
            lanes.done(Lane::Starts, Duration::from_millis(100) * under_way.max(sustained) / sustained);
        }
        lanes.limit[Lane::Starts as usize]
    }

    #[test]
    fn as_many_start_at_once_as_the_engine_sustains() {
        let limits: Vec<usize> = [1, 2, 4, 8, 64].map(|sustained| learned(&LIMITS, sustained)).into();
        assert_eq!(limits, [4, 5, 9, 16, 32]);
    }

    #[test]
    fn it_backs_off_when_starts_become_slower() {
        let mut lanes = Lanes::new(&LIMITS);
        let mut start = |took| {
            while lanes.has_room(Lane::Starts) {
                lanes.enter(Lane::Starts);
            }
            lanes.leave(Lane::Starts);
            lanes.done(Lane::Starts, Duration::from_millis(took));
            lanes.limit[Lane::Starts as usize]
        };
        let before = (0..20).map(|_| start(100)).last().unwrap();
        let after = (0..60).map(|_| start(1000)).last().unwrap();
        assert!(before > 10 && after <= 6, "{before}, then {after}");
    }

    #[test]
    fn a_number_that_was_given_stays() {
        assert_eq!(learned(&Limits { most_starts: None, ..LIMITS }, 64), 4);
        assert_eq!(learned(&Limits { starts: 1, most_starts: Some(1), ..LIMITS }, 64), 1);
    }

    #[test]
    fn starts_that_have_room_change_nothing() {
        let mut lanes = Lanes::new(&LIMITS);
        for took in [100, 5000, 5000, 5000] {
            lanes.enter(Lane::Starts);
            lanes.leave(Lane::Starts);
            lanes.done(Lane::Starts, Duration::from_millis(took));
        }
        assert_eq!(lanes.limit[Lane::Starts as usize], 4);
    }
}
