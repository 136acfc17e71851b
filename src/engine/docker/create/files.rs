//! Secrets and configs: files are bound, values are written into the container before each start.

use bollard::models::{Mount, MountBindOptions, MountType};

use super::invalid;
use crate::{
    engine::{EngineError, FileUpload},
    project::{FileObject, FileReference, Project, Sensitive, Service},
};

/// Secret or config.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Secret,
    Config,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Config => "config",
        }
    }

    /// Where it lies in the container.
    fn target(self, reference: &FileReference) -> String {
        let name = reference.target.as_deref().or(reference.source.as_deref()).unwrap_or_default();
        if name.starts_with('/') {
            return name.to_owned();
        }
        match self {
            Self::Secret => format!("/run/secrets/{name}"),
            Self::Config => format!("/{name}"),
        }
    }
}

/// Every secret and config of the service with what the project says of it.
fn references<'a>(
    project: &'a Project,
    service: &'a Service,
) -> impl Iterator<Item = Result<(Kind, &'a FileReference, &'a FileObject), EngineError>> {
    let secrets = service.secrets.iter().map(|r| (Kind::Secret, r, &project.secrets));
    let configs = service.configs.iter().map(|r| (Kind::Config, r, &project.configs));
    secrets.chain(configs).map(move |(kind, reference, objects)| {
        let name = reference.source.as_deref().unwrap_or_default();
        let object = objects
            .get(name)
            .ok_or_else(|| invalid(service, &format!("{} `{name}` is not defined", kind.word())))?;
        if object.external {
            return Err(invalid(
                service,
                &format!(
                    "{} `{name}` is external: only swarm has those; give it a file, a variable or content",
                    kind.word()
                ),
            ));
        }
        if object.driver.is_some() || object.template_driver.is_some() {
            return Err(invalid(
                service,
                &format!("{} `{name}` has a driver: only swarm has those", kind.word()),
            ));
        }
        Ok((kind, reference, object))
    })
}

/// Read-only binds of the secrets and configs that are files.
pub(super) fn file_mounts(project: &Project, service: &Service) -> Result<Vec<Mount>, EngineError> {
    let mut mounts = Vec::new();
    for entry in references(project, service) {
        let (kind, reference, object) = entry?;
        let Some(file) = &object.file else { continue };
        mounts.push(Mount {
            typ: Some(MountType::BIND),
            source: Some(file.clone()),
            target: Some(kind.target(reference)),
            read_only: Some(true),
            bind_options: (kind == Kind::Secret).then(MountBindOptions::default),
            ..Mount::default()
        });
    }
    Ok(mounts)
}

/// The secrets and configs that must be written into a container of the service before each start: those given by a
/// variable or inline.
///
/// # Errors
/// An unknown, external or driver-made secret or config; an owner that is no number; a value in a read-only service.
pub fn file_uploads(project: &Project, service: &Service) -> Result<Vec<FileUpload>, EngineError> {
    let mut uploads = Vec::new();
    for entry in references(project, service) {
        let (kind, reference, object) = entry?;
        let content = match (&object.file, &object.captured, &object.content) {
            (None, Some(value), _) => value.expose().clone(),
            (None, None, Some(content)) => content.clone(),
            (Some(_), ..) | (None, None, None) => continue,
        };
        // As Compose: what is empty is not written.
        if content.is_empty() {
            continue;
        }
        let name = reference.source.as_deref().unwrap_or_default();
        if service.read_only {
            return Err(invalid(
                service,
                &format!(
                    "{} `{name}` cannot be written into a `read_only` container: give it a `file`",
                    kind.word()
                ),
            ));
        }
        let id = |text: &Option<String>, what: &str| {
            text.as_ref()
                .map(|t| {
                    t.parse::<u64>().map_err(|_| {
                        invalid(service, &format!("{what} `{t}` of {} `{name}` is no number", kind.word()))
                    })
                })
                .transpose()
        };
        uploads.push(FileUpload {
            path: kind.target(reference),
            content: Sensitive::new(content.into_bytes()),
            mode: reference.mode.and_then(|m| u32::try_from(m.0).ok()).unwrap_or(0o444),
            uid: id(&reference.uid, "uid")?,
            gid: id(&reference.gid, "gid")?,
        });
    }
    Ok(uploads)
}

/// Targets of the secrets and configs that are bound, with an owner or mode that a bind cannot have.
pub(super) fn bound_with_owner<'a>(
    project: &'a Project,
    service: &'a Service,
) -> impl Iterator<Item = String> + 'a {
    references(project, service).filter_map(Result::ok).filter_map(|(kind, reference, object)| {
        let owned = reference.uid.is_some() || reference.gid.is_some() || reference.mode.is_some();
        (object.file.is_some() && owned)
            .then(|| format!("{} `{}`", kind.word(), reference.source.as_deref().unwrap_or_default()))
    })
}
