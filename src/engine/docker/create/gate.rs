//! Refusals: attributes that cannot be sent as they are, or not to this engine.

use super::{creation, file_uploads};
use crate::{
    engine::{ContainerRequest, EngineError, EngineErrorKind, EngineInfo},
    project::{Project, Service},
};

/// The Docker Engine that brought each API version, as far as an attribute needs it.
const ENGINES: &[((u32, u32), &str)] = &[
    ((1, 42), "23.0"),
    ((1, 43), "24.0"),
    ((1, 44), "25.0"),
    ((1, 45), "26.0"),
    ((1, 48), "28.0"),
    ((1, 49), "28.1"),
];

/// Why containers of the project cannot be made on this engine, a sentence for each service; empty where they can.
/// Computed as their creation is, so that it is known before anything is changed.
pub fn refused(project: &Project, info: &EngineInfo) -> Vec<String> {
    let wanted = project.services.values().filter(|s| s.provider.is_none() && s.replicas() > 0);
    wanted.filter_map(|service| refusal(project, service, info).err()).map(|error| error.message).collect()
}

fn refusal(project: &Project, service: &Service, info: &EngineInfo) -> Result<(), EngineError> {
    if service.use_api_socket && info.os == "windows" {
        return Err(invalid(service, "use_api_socket needs an engine on Linux"));
    }
    let name = project.container_name(service, 1);
    let request = ContainerRequest {
        project,
        service,
        number: 1,
        final_name: name.clone(),
        name,
        config_hash: String::new(),
        image_id: String::new(),
        replaces: None,
        links: Vec::new(),
        inherited: Vec::new(),
        oneoff: None,
        unnamed: Vec::new(),
    };
    creation(&request, info, &[])?;
    file_uploads(project, service).map(drop)
}

/// A request that cannot be sent as it is.
pub(super) fn invalid(service: &Service, message: &str) -> EngineError {
    EngineError::new(EngineErrorKind::Invalid, format!("service `{}`: {message}", service.name))
}

/// Refuses an attribute that the engine's API is too old for.
pub(super) fn needs(
    service: &Service,
    info: &EngineInfo,
    attribute: &str,
    api: (u32, u32),
) -> Result<(), EngineError> {
    if info.api_at_least(api.0, api.1) {
        return Ok(());
    }
    Err(invalid(service, &format!("{attribute} needs {}", newer(api, info))))
}

/// What an attribute needs, and what there is.
pub(super) fn newer((major, minor): (u32, u32), info: &EngineInfo) -> String {
    let engine = ENGINES.iter().find(|(api, _)| *api == (major, minor));
    let engine = engine.map(|(_, version)| format!(" (Docker Engine {version})")).unwrap_or_default();
    let here = if info.server_version.is_empty() {
        String::new()
    } else {
        format!(" (Docker Engine {})", info.server_version)
    };
    format!("Engine API {major}.{minor}{engine} or newer; this engine speaks {}{here}", info.api_version)
}
