//! A run as a chart: what each container's time went to, the critical chain, and what could be faster.
//!
//! *Owns* the model of a chart ([`Chart`]), its comparison with another run, its advice, and how it is written: for a
//! terminal, as SVG, as one HTML page, for programs. *Must not know* where runs are kept, nor what is a terminal.

mod advice;
mod axis;
mod chart;
mod compare;
mod page;
mod program;
mod svg;
mod terminal;

pub use advice::Advice;
pub use chart::{Bar, Chart, Row, WaveRows};
pub use compare::{Comparison, Difference};
pub use page::page;
pub use program::chart_json;
pub use svg::svg_file;
pub use terminal::terminal;

#[cfg(test)]
mod tests;
