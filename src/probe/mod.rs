//! Runs one probe and answers with what it found.
//!
//! *Owns* how a check is carried out: HTTP, TCP, gRPC, commands, logs, the engine's word, and by which way a container is
//! reached. *Must not know* stages, retries, or the order of services. Entry point is [`Prober::probe`].
//!
//! ```text
//!  the container itself     its address ─(refused)─► inside its network namespace
//!  localhost                inside its network namespace ─(not permitted)─► its address
//!  network_mode: host       localhost
//!  of another container     inside that namespace, through the process
//!  an engine elsewhere      the published port (HTTP and gRPC)
//!  a recognised command     where none of these works: the command itself, in the container
//! ```
//!
//! A published port is never asked on a local engine: the proxy behind it accepts connections before the service
//! does. No probe keeps a connection, follows a redirect, or uses a proxy.

mod answer;
mod command;
mod grpc;
mod http;
mod log;
mod netns;
mod prober;
mod route;
mod tcp;

pub use log::{Movements, last_movement};
pub use prober::*;

use futures::future::BoxFuture;

use crate::{health::ProbeResult, project::Check};

/// Somebody who can run a check: the [`Prober`], or a simulation of it.
pub trait Probe: Send + Sync {
    /// Runs a check once, within its timeout. Whatever goes wrong is a failed result.
    fn probe<'a>(&'a self, check: &'a Check, target: &'a Target) -> BoxFuture<'a, ProbeResult>;
}
