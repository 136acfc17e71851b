//! What was measured, and what follows from it: arithmetic alone.

use std::time::Duration;

use crate::cli::args::Way;

/// What is timed, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// From nothing to ready.
    Up,
    /// `up` once more, with nothing to do.
    NoOp,
    /// Stop and remove.
    Down,
}

impl Step {
    pub(super) const ALL: [Self; 3] = [Self::Up, Self::NoOp, Self::Down];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::NoOp => "no-op",
            Self::Down => "down",
        }
    }
}

/// One run of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    /// Of the clock, from its start to its end.
    pub(super) took: Duration,
    /// Of processors; `None` where the system does not tell.
    pub(super) cpu: Option<Duration>,
}

/// A sample of each step, in their order.
pub(super) type Lap = [Sample; 3];

/// What is known of one way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measured {
    pub(super) way: Way,
    pub(super) laps: Vec<Lap>,
    /// Why it was not tried again.
    pub(super) failed: Option<String>,
}

impl Measured {
    pub(super) fn new(way: Way) -> Self {
        Self { way, laps: Vec::new(), failed: None }
    }

    fn samples(&self, step: Step) -> impl Iterator<Item = Sample> {
        self.laps.iter().map(move |lap| lap[step as usize])
    }

    /// The times of a step, in the order of the runs.
    pub(super) fn times(&self, step: Step) -> Vec<Duration> {
        self.samples(step).map(|sample| sample.took).collect()
    }

    /// What its times of a step come to; `None` without any.
    pub(super) fn figures(&self, step: Step) -> Option<Figures> {
        let times = self.times(step);
        Some(Figures {
            median: median(times.clone())?,
            min: *times.iter().min()?,
            max: *times.iter().max()?,
            // Half of them would be another figure.
            cpu: self.samples(step).map(|sample| sample.cpu).collect::<Option<_>>().and_then(median),
        })
    }
}

/// What some times come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) median: Duration,
    pub(super) min: Duration,
    pub(super) max: Duration,
    /// The median, too.
    pub(super) cpu: Option<Duration>,
}

impl Figures {
    /// How many times faster than another this is; `None` where either took no time that shows.
    pub(super) fn faster_than(&self, other: &Self) -> Option<f64> {
        let (own, other) = (self.median.as_secs_f64(), other.median.as_secs_f64());
        (own > 0.0 && other > 0.0).then(|| other / own)
    }
}

/// The one in the middle, or what lies between the two there.
fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    let upper = *times.get(times.len() / 2)?;
    let lower = times[(times.len() - 1) / 2];
    Some((lower + upper) / 2)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A way with these times of `up` in milliseconds; the other steps take a tenth of it.
    pub(in crate::cli::bench) fn measured(way: Way, ups: &[u64]) -> Measured {
        let sample = |millis: u64| Sample {
            took: Duration::from_millis(millis),
            cpu: Some(Duration::from_millis(millis / 50)),
        };
        let lap = |up: &u64| [sample(*up), sample(up / 10), sample(up / 10)];
        Measured { laps: ups.iter().map(lap).collect(), ..Measured::new(way) }
    }

    fn millis(figures: Figures) -> [u128; 3] {
        [figures.median, figures.min, figures.max].map(|time| time.as_millis())
    }

    #[test]
    fn the_median_is_the_middle_or_between_the_two_there() {
        for (ups, expected) in [
            (&[500][..], [500, 500, 500]),
            (&[500, 100], [300, 100, 500]),
            (&[900, 100, 200], [200, 100, 900]),
            (&[400, 100, 900, 200], [300, 100, 900]),
        ] {
            let figures = measured(Way::Orch, ups).figures(Step::Up).unwrap();
            assert_eq!(millis(figures), expected, "{ups:?}");
        }
        assert_eq!(measured(Way::Orch, &[]).figures(Step::Up), None);
    }

    #[test]
    fn a_step_has_its_own_samples() {
        let measured = measured(Way::Orch, &[1000, 3000]);
        assert_eq!(millis(measured.figures(Step::Down).unwrap()), [200, 100, 300]);
        assert_eq!(measured.times(Step::NoOp), [100, 300].map(Duration::from_millis));
    }

    #[test]
    fn processor_time_is_that_of_all_runs_or_none() {
        let mut measured = measured(Way::Orch, &[1000, 3000]);
        assert_eq!(measured.figures(Step::Up).unwrap().cpu, Some(Duration::from_millis(40)));
        measured.laps[1][0].cpu = None;
        assert_eq!(measured.figures(Step::Up).unwrap().cpu, None);
    }

    #[test]
    fn faster_is_the_other_time_over_the_own() {
        let of = |ups: &[u64]| measured(Way::Orch, ups).figures(Step::Up).unwrap();
        assert_eq!(of(&[500]).faster_than(&of(&[2000])), Some(4.0));
        assert_eq!(of(&[2000]).faster_than(&of(&[500])), Some(0.25));
        assert_eq!(of(&[0]).faster_than(&of(&[500])), None);
    }
}
