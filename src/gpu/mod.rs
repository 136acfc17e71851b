//! The GPUs of this machine: which there are, how much memory of each is free, and how a container is given some.
//!
//! *Owns* the ways to ask for GPUs (NVIDIA's library, `nvidia-smi`, a file that stands in for both) and the words in which
//! an engine is told which ones a container gets. *Must not know* who needs memory, nor what is loaded where. Nothing is
//! looked for until [`find()`] is called.
//!
//! MIG slices are not listed: a GPU that is cut into slices is listed as a whole.

mod error;
mod fake;
mod find;
mod nvml;
mod place;
mod smi;

pub use error::GpuError;
pub use find::{Found, Source, Tried, find};
pub use place::{Way, by_uuid, has_name, is_meant, placed};

use std::fmt::Debug;

use futures::future::BoxFuture;
use serde::Serialize;

use crate::ondemand::{DeviceId, Memory};

/// One way to ask this machine for its GPUs.
pub trait Gpus: Debug + Send + Sync {
    /// What is asked, in a word for users: `NVML`, `nvidia-smi`, …
    fn name(&self) -> String;

    /// Whether they are made up: a container can only be given one where the engine has a device of its name.
    fn are_made_up(&self) -> bool {
        false
    }

    /// Asks again. It takes milliseconds, or seconds where the driver was asleep.
    ///
    /// # Errors
    ///
    /// The driver refuses, does not answer in time, or answers what cannot be read.
    fn measure(&self) -> BoxFuture<'_, Result<Measured, GpuError>>;
}

/// What the GPUs were at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Measured {
    /// The driver's version; empty: not told.
    pub driver: String,
    /// In the driver's order.
    pub devices: Vec<Device>,
}

/// A GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its UUID, as the driver writes it.
    pub id: DeviceId,
    /// Its place in the driver's order, from 0. It changes when a GPU is added: nothing is kept by it.
    pub index: u32,
    /// Its model.
    pub name: String,
    /// Its memory; `None`: the driver does not tell, as where it is the machine's own.
    pub memory: Option<Memory>,
    /// Processes that hold memory of it; `None`: not told.
    pub processes: Option<Vec<Holder>>,
}

/// A process that holds memory of a GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Its number on this machine.
    pub pid: u32,
    /// In bytes; `None`: not told.
    pub memory: Option<u64>,
}
