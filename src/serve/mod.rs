//! What is seen of a project from outside while a command goes on: a page, the HTTP API behind it, and metrics.
//!
//! *Owns* the events that readers may still ask for ([`Feed`]), who may read what ([`Access`]), the routes, the page, and how
//! many connections there are at most. *Must not know* how a run is made or carried out, nor the command line: it is handed
//! what it shows. Nobody who reads can hold a run up: a sink only adds to the feed, and each reader takes from it what it can.

mod access;
mod answer;
mod feed;
mod history;
mod listen;
mod logs;
mod past;
mod project;
mod routes;
mod stream;

pub use access::Access;
pub use feed::{Feed, FeedSink, Mode};
pub use listen::listen;
pub use routes::{Restart, Routes, Site, dashboard, figures};
