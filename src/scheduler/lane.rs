//! How much is under way at once.

use crate::plan::{Action, Limits};

/// Steps of one lane share a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Container starts.
    Starts,
    /// Pulls and builds.
    Images,
    /// Stops mostly wait for a grace period: they cost the engine nothing, so all may wait at once.
    Stops,
    /// Everything else.
    Calls,
}

impl Lane {
    pub(super) const ALL: [Self; 4] = [Self::Starts, Self::Images, Self::Stops, Self::Calls];

    /// The lane of an action.
    pub(super) fn of(action: &Action) -> Self {
        match action {
            Action::StartContainer { .. } => Self::Starts,
            Action::PullImage { .. } | Action::BuildImage { .. } => Self::Images,
            Action::StopContainer { .. } | Action::KillContainer { .. } => Self::Stops,
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
            | Action::RenameContainer { .. }
            | Action::RemoveContainer { .. } => Self::Calls,
        }
    }
}

/// Steps under way, by lane.
#[derive(Debug, Clone)]
pub(super) struct Lanes {
    used: [usize; 4],
    limit: [usize; 4],
}

impl Lanes {
    pub(super) fn new(limits: &Limits) -> Self {
        let limit = Lane::ALL.map(|lane| match lane {
            Lane::Starts => limits.starts,
            Lane::Images => limits.images,
            Lane::Stops => usize::MAX,
            Lane::Calls => limits.calls,
        });
        Self { used: [0; 4], limit: limit.map(|n| n.max(1)) }
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

    /// Steps under way in all lanes.
    pub(super) fn total(&self) -> usize {
        self.used.iter().sum()
    }
}
