//! The command line: what was typed in, what is printed out.
//!
//! *Owns* arguments, environment variables, the current folder, terminals, exit codes, and the printing of errors;
//! one file per command. The only place that reads the environment and that prints. *Must not know* how a run
//! is decided or carried out: it builds one from the other folders and gives it sinks.
//!
//! Entry point is [`main`].

mod actions;
mod activators;
mod applied;
pub mod args;
mod ask;
mod attached;
mod bench;
mod complete;
mod completion;
mod config;
mod console;
mod control;
mod digests;
mod doctor;
mod ending;
mod entry;
mod error;
mod events;
mod exit_code;
mod expected;
mod files;
mod fingerprints;
mod follow;
mod gpu;
mod health;
mod history;
mod images;
mod invocation;
mod load;
mod lock;
mod logs;
mod man;
mod mask;
mod ondemand;
#[cfg(feature = "otel")]
mod otlp;
mod plan;
mod plugin;
mod ps;
mod random;
mod results;
mod rollback;
mod run;
mod scope;
mod serve;
mod serving;
mod session;
mod settings;
mod table;
mod tenants;
mod timeline;
mod trace;
mod up;
mod variables;
mod version;
mod vram;
mod wait;

pub use entry::main;
pub use error::{CliError, ErrorKind};
pub use exit_code::Exit;
pub use files::LocalFiles;
pub use invocation::{Invocation, Terminals};
pub use scope::{Subject, is_of};
