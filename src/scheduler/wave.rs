//! When a wave opens, is ready, or fails.

use super::{Scheduler, agenda::Timer};
use crate::{event::EventKind, plan::UnitId, time::Elapsed};

/// A wave as it goes.
#[derive(Debug, Clone, Default)]
pub(super) struct WaveRun {
    pub(super) opened: bool,
    pub(super) ready: bool,
    /// Why it can never become ready.
    pub(super) failed: Option<String>,
    /// The unit that failed it.
    pub(super) failed_by: Option<UnitId>,
    /// Something in it changed since it was looked at.
    pub(super) dirty: bool,
}

impl Scheduler {
    /// Opens, passes and fails waves, in order.
    pub(super) fn look_at_waves(&mut self, now: Elapsed) {
        for wave in 0..self.waves.len() {
            let before_ready = wave == 0 || self.waves[wave - 1].ready;
            if !self.waves[wave].opened && before_ready {
                self.waves[wave].opened = true;
                self.waves[wave].dirty = true;
                let name = self.plan.waves[wave].name.clone();
                self.announce(EventKind::WaveOpened { wave: name });
                self.agenda.set(Timer::Wave(wave), self.plan.waves[wave].timeout.map(|t| now + t));
            }
            if self.waves[wave].dirty {
                self.waves[wave].dirty = false;
                self.look_at_wave(wave);
            }
        }
    }

    fn look_at_wave(&mut self, wave: usize) {
        if self.waves[wave].ready || self.waves[wave].failed.is_some() {
            return;
        }
        let critical: Vec<UnitId> = self.critical_units(wave);
        let ready = critical.iter().filter(|u| self.units[u.index()].is_ready()).count();
        let failed: Vec<UnitId> =
            critical.iter().copied().filter(|u| self.units[u.index()].is_failed()).collect();
        let needed = self.plan.waves[wave].ready_when.needed(critical.len());
        // Where nothing in it is critical, a wave is over when all of it is settled.
        let settled = self.plan.waves[wave].units.iter().all(|u| self.units[u.index()].is_settled());
        let passed = self.waves[wave].opened && ready >= needed && (!critical.is_empty() || settled);
        let name = self.plan.waves[wave].name.clone();
        if passed {
            self.waves[wave].ready = true;
            self.agenda.set(Timer::Wave(wave), None);
            self.announce(EventKind::WaveReady { wave: name });
            self.wave_changed(wave);
        } else if critical.len() - failed.len() < needed {
            let names: Vec<String> =
                failed.iter().map(|u| format!("`{}`", self.plan.units[u.index()].service)).collect();
            self.fail_wave(wave, format!("{} failed", names.join(", ")), failed.first().copied());
        }
    }

    fn fail_wave(&mut self, wave: usize, reason: String, by: Option<UnitId>) {
        let name = self.plan.waves[wave].name.clone();
        self.agenda.set(Timer::Wave(wave), None);
        self.announce(EventKind::WaveFailed { wave: name, reason: reason.clone() });
        self.waves[wave].failed = Some(reason);
        self.waves[wave].failed_by = by;
        self.wave_changed(wave);
    }

    /// Whoever waits for a wave looks again.
    fn wave_changed(&mut self, wave: usize) {
        if let Some(next) = self.plan.waves.get(wave + 1) {
            self.dirty.extend(next.units.iter().copied());
        }
    }

    pub(super) fn critical_units(&self, wave: usize) -> Vec<UnitId> {
        let units = &self.plan.waves[wave].units;
        units.iter().copied().filter(|u| self.plan.units[u.index()].critical).collect()
    }

    /// The wave's own time is over: what is not ready in it has failed.
    pub(super) fn wave_timed_out(&mut self, wave: usize) {
        if self.waves[wave].ready || self.waves[wave].failed.is_some() {
            return;
        }
        let name = self.plan.waves[wave].name.clone();
        let timeout = self.plan.waves[wave].timeout.unwrap_or_default();
        let text = crate::project::go_duration(timeout);
        let mut by = None;
        let critical = self.critical_units(wave);
        // What is not critical cannot fail a wave, but where there is nothing else its time is over too.
        let late = if critical.is_empty() { self.plan.waves[wave].units.clone() } else { critical };
        for unit in late {
            if !self.units[unit.index()].is_settled() {
                by = by.or(Some(unit));
                self.fail_waiting(unit, &format!("not ready when the {text} of wave `{name}` were over"));
            }
        }
        if !self.critical_units(wave).is_empty() {
            self.fail_wave(wave, format!("not ready within {text}"), by);
        }
    }
}
