//! Everything that is tested from outside the crate: one binary, linked once.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod bench;
mod config_digests;
mod connect_ways;
#[macro_use]
mod contract;
mod convergence;
mod docker;
mod docker_engine;
mod doctor;
mod down_order;
mod examples;
mod faults;
mod gpu;
mod history;
mod hooks;
mod inspect_old_api;
mod inspect_parity;
mod lock;
mod ondemand;
mod ondemand_crowd;
mod ondemand_llama;
#[cfg(feature = "otel")]
mod otel;
mod plan;
mod plan_vram;
mod preflight;
mod probes;
mod proxy;
mod proxy_http1;
mod proxy_http2;
mod proxy_slow;
mod proxy_streams;
mod random;
mod readiness;
mod replacement;
mod restarted;
mod rollback;
mod run_one_off;
mod scenarios;
mod serve;
mod support;
mod tenants;
mod test_service;
mod timeline;
mod trace;
mod up_attached;
mod up_daemon;
mod up_error;
mod up_failure;
mod up_interop;
mod up_interrupt;
mod up_kill;
mod up_llama;
mod up_order;
mod up_plugin;
mod up_preflight;
mod up_provider;
mod up_readiness;
mod up_results;
mod up_start_first;
mod up_update;
mod up_window;
mod updates;
mod window;
