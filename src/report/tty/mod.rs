//! The live display.
//!
//! *Owns* the picture on a terminal: [`frame()`] is pure, [`TtyReport`] paints it. *Must not know* events beyond
//! their view, nor what a terminal is beyond its size and a few control codes.

mod frame;
mod line;
mod painter;
mod rows;

pub use frame::frame;
pub use line::StyledLine;
pub use painter::TtyReport;
