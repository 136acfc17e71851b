//! Projects of any number of services.

use std::fmt::{self, Write as _};

/// How services depend on each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// Each on the one before it.
    Chain,
    /// Layers of a hundred; each service on three of the layer before.
    Layers,
    /// None on any other.
    Wide,
    /// None on any other, in waves of a hundred.
    Waves,
    /// One on all others.
    Star,
    /// Of each something: waves of 25, each service on one of the wave before, the last one on all others.
    Mixed,
}

/// A project.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Kind {
    pub(crate) shape: Shape,
    /// Each service has a health check.
    pub(crate) checked: bool,
    pub(crate) services: usize,
}

impl Shape {
    /// All but the one that has something of each.
    pub(crate) const ALL: [Self; 5] = [Self::Chain, Self::Layers, Self::Wide, Self::Waves, Self::Star];

    /// Services of a layer, or of a wave.
    fn width(self) -> usize {
        if self == Self::Mixed { 25 } else { 100 }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = format!("{:?}", self.shape).to_lowercase();
        write!(f, "{shape}{}", if self.checked { ", checked" } else { "" })
    }
}

impl Kind {
    /// What the service of a number depends on.
    fn below(self, n: usize) -> Vec<usize> {
        let width = self.shape.width();
        match self.shape {
            Shape::Star | Shape::Mixed if n + 1 == self.services => (0..n).collect(),
            Shape::Chain => n.checked_sub(1).into_iter().collect(),
            Shape::Mixed => n.checked_sub(width).into_iter().collect(),
            Shape::Layers if n >= width => {
                let first = (n / width - 1) * width;
                (0..3).map(|k| first + (n + k * 31) % width).collect()
            }
            Shape::Layers | Shape::Wide | Shape::Waves | Shape::Star => Vec::new(),
        }
    }

    /// How often a service waits for another one, or for a wave.
    pub(crate) fn edges(self) -> usize {
        let in_waves = matches!(self.shape, Shape::Waves | Shape::Mixed);
        let wait_for_waves = if in_waves { self.services.saturating_sub(self.shape.width()) } else { 0 };
        wait_for_waves + (0..self.services).map(|n| self.below(n).len()).sum::<usize>()
    }

    /// Its Compose file.
    pub(crate) fn yaml(self) -> String {
        let mut yaml = "name: p\nservices:\n".to_owned();
        let mut line = |text: fmt::Arguments<'_>| writeln!(yaml, "{text}").unwrap();
        for n in 0..self.services {
            line(format_args!("  s{n}:\n    image: app{n}\n    environment: {{NUMBER: '{n}', LEVEL: info}}"));
            if self.checked {
                line(format_args!("    healthcheck: {{test: [CMD, check], interval: 5s}}"));
            }
            let below = self.below(n);
            if !below.is_empty() {
                line(format_args!("    depends_on:"));
            }
            let condition = if self.checked { "service_healthy" } else { "service_started" };
            for on in below {
                line(format_args!("      s{on}: {{condition: {condition}}}"));
            }
        }
        if matches!(self.shape, Shape::Waves | Shape::Mixed) {
            let width = self.shape.width();
            line(format_args!("x-orch:\n  waves:"));
            for first in (0..self.services).step_by(width) {
                let names: Vec<String> =
                    (first..self.services.min(first + width)).map(|n| format!("s{n}")).collect();
                line(format_args!("    - {{name: w{first}, parallel: [{}]}}", names.join(", ")));
            }
        }
        yaml
    }
}
