//! What this machine says of itself: which paths there are, who listens where, how much room there is.
//!
//! *Owns* the reading of `/proc` and of file systems for checks before a start, and the end of processes. Nothing is changed by looking. *Must
//! not know* plans, projects, or whether what it sees matters to anybody. Entry point is [`ThisMachine`].

mod exit;
mod look;
mod sockets;

pub use look::ThisMachine;

use futures::future::BoxFuture;

use crate::plan::{EngineFacts, MachineFacts, Questions, Space};

/// Somebody who can look around on a machine: [`ThisMachine`], or a simulation of it.
pub trait Machine: Send + Sync {
    /// What there is of what was asked for.
    fn look(&self, questions: &Questions) -> MachineFacts;

    /// Whether the engine that says this of itself runs here, and sees the same files and ports.
    fn is_home_of(&self, engine: &EngineFacts) -> bool;

    /// Waits for the end of a container's process, by the engine's number for it. An answer of `false`: it is no process of
    /// this machine, as far as can be seen.
    fn ended<'a>(&'a self, pid: u32, container: &'a str) -> BoxFuture<'a, bool>;

    /// The room on the file system of a path; `None` where nobody can tell.
    fn space(&self, path: &str) -> Option<Space>;
}
