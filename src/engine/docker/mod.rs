//! The Docker adapter: [`DockerEngine`], which is [`Engine`](super::Engine) over bollard.
//!
//! *Owns* how an engine is found (flags, variables, Docker contexts, TLS), the API version, the time limit of every
//! call, the mapping of a service to the engine's own words and back, and the kinds of its errors.
//!
//! *Must not know* policy: when something is asked, how often, or what follows from the answer.
//!
//! Entry point is [`DockerEngine::connect`].

mod about;
mod api_socket;
mod attach;
mod build;
mod connect;
mod context;
mod create;
mod credentials;
mod end;
mod engine;
mod error;
mod events;
mod exec;
mod image;
mod inspect;
mod logs;
mod observe;
mod restore;
mod timestamp;

pub use api_socket::hand_in_api_socket;
pub use context::ConnectOptions;
pub use create::{file_uploads, refused, unsupported};
pub use engine::DockerEngine;
