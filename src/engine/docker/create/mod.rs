//! A service and a request, as the engine's container-create body.
//!
//! *Owns* the mapping of every Compose attribute to the Engine API (so that `inspect` of what we make equals that of
//! what Compose makes), the API version that an attribute needs, and the list of what the engine ignores.
//!
//! *Must not know* connections: what stands here is computed, apart from a seccomp profile that is read from its file.

mod body;
mod devices;
mod files;
mod host;
mod labels;
mod mounts;
mod networks;
mod security;
mod unsupported;

pub use files::file_uploads;
pub use unsupported::{unsupported, unsupported_files};

pub(super) use body::creation;
pub(super) use labels::{network_labels, volume_labels};
pub(super) use networks::endpoint;

use crate::{
    engine::{EngineError, EngineErrorKind, EngineInfo},
    project::Service,
};

/// A request that cannot be sent as it is.
fn invalid(service: &Service, message: &str) -> EngineError {
    EngineError::new(EngineErrorKind::Invalid, format!("service `{}`: {message}", service.name))
}

/// Refuses an attribute that the engine's API is too old for.
fn needs(
    service: &Service,
    info: &EngineInfo,
    attribute: &str,
    (major, minor): (u32, u32),
) -> Result<(), EngineError> {
    if info.api_at_least(major, minor) {
        return Ok(());
    }
    Err(invalid(
        service,
        &format!(
            "{attribute} needs Engine API {major}.{minor} or newer; this engine speaks {}",
            info.api_version
        ),
    ))
}

#[cfg(test)]
mod tests;
