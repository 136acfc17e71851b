//! What will be done, and why.
//!
//! *Owns* the snapshot of the engine ([`Observed`]), config hashes, what containers were made from
//! ([`Fingerprints`]), the [`Plan`] and every way to make one: [`up()`], [`supply()`], [`down()`], [`stop`],
//! [`start`], [`restart`], [`kill`], [`adopt()`], which changes nothing, and [`unwind()`], which undoes what another plan has
//! done. How long one should take is told by a [`Forecast`].
//! What stands in a plan's way before it begins is found by [`preflight()`] from its [`Surroundings`].
//! Plans are values: they can be printed, compared, and executed by anything that has an engine.
//!
//! *Must not know* async code, bollard, progress.

mod adopt;
mod down;
mod draw;
mod fingerprint;
mod forecast;
mod graph;
mod hash;
mod names;
mod observed;
mod one_off;
mod preflight;
mod render;
mod step;
mod supply;
mod surroundings;
mod unit;
mod unwind;
mod up;

pub use adopt::adopt;
pub use down::*;
pub use draw::{plan_dot, plan_mermaid};
pub use fingerprint::*;
pub use forecast::{Due, Forecast};
pub use graph::*;
pub use hash::*;
pub use names::*;
pub use observed::*;
pub use one_off::*;
pub use preflight::{held, preflight, questions};
pub use render::{plan_json, plan_text};
pub use step::*;
pub use supply::*;
pub use surroundings::*;
pub use unit::{limits, mode};
pub use unwind::*;
pub use up::*;
