//! Refusals: attributes that cannot be sent as they are, or not to this engine.

use crate::{
    engine::{EngineError, EngineErrorKind, EngineInfo},
    project::Service,
};

/// A request that cannot be sent as it is.
pub(super) fn invalid(service: &Service, message: &str) -> EngineError {
    EngineError::new(EngineErrorKind::Invalid, format!("service `{}`: {message}", service.name))
}

/// Refuses an attribute that the engine's API is too old for.
pub(super) fn needs(
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
