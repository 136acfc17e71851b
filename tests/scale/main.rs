//! How time and memory grow with the number of services.
//!
//! Projects of any size ([`shapes`]) go through every stage from text to a run in virtual time ([`stages`]). What a
//! stage allocates may grow with services and edges, no faster ([`growth`]), and so may the instructions that it takes
//! ([`instructions`]): a search through everything allocates nothing. Time is never tested, only shown ([`curve`]).

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod curve;
mod growth;
mod instructions;
#[path = "../it/support/lab.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod lab;
mod shapes;
mod stages;
