//! Figures of a project for Prometheus, folded from its events.
//!
//! *Owns* what is counted ([`Metrics`]) and the text that a scrape reads. *Must not know* who emits events, who scrapes, or
//! any clock: all times are those of the events.
//!
//! The text is Prometheus' own format, 0.0.4. A client library that writes `OpenMetrics` names counters without their
//! `_total` in `# TYPE`, and then `promtool check metrics` and scrapes that ask for the older format lose their types.

mod fold;
mod text;

pub use fold::Metrics;
pub use text::CONTENT_TYPE;
