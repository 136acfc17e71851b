//! What the user wants: a project, its services, networks, volumes, secrets and configs, decoded from canonical
//! Compose files.
//!
//! *Owns* the nouns of the Compose specification under their own names, the `x-orch` nouns beside them, and
//! their canonical text: serialising a [`Service`] gives what `config` prints and what the config hash is made of.
//!
//! *Must not know* YAML, files, environment variables, Docker, or that time passes.

mod bytes;
mod duration;
mod health;
mod image_name;
mod json;
mod ondemand;
mod orch;
mod order;
mod resources;
mod service;
mod service_parts;
mod tenant;
mod test_command;
mod text;

pub use bytes::*;
pub use duration::*;
pub use health::*;
pub use image_name::*;
pub use json::*;
pub use ondemand::*;
pub use orch::*;
pub use order::sort_all;
pub use resources::*;
pub use service::*;
pub use service_parts::*;
pub use tenant::*;
pub use test_command::*;

use std::{path::PathBuf, sync::Arc, time::Duration};

use indexmap::IndexMap;
use serde::Serialize;

use crate::diagnostic::{Diagnostic, SourceMap, Span};

/// Free-form values of extension keys (`x-*`), kept as they are written.
pub type Extensions = IndexMap<String, serde_json::Value>;

/// One Compose project, ready to be planned: every reference resolved, every default filled in.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Project {
    /// Project name; prefixes the names of what is created.
    pub name: String,
    /// Absolute project directory, the base of relative paths.
    #[serde(skip)]
    pub working_dir: PathBuf,
    /// Absolute paths of the Compose files, in the order given.
    #[serde(skip)]
    pub config_files: Vec<PathBuf>,
    /// Absolute paths of env files that were named on the command line.
    #[serde(skip)]
    pub environment_files: Vec<PathBuf>,
    /// The environment that `${…}` was looked up in.
    #[serde(skip)]
    pub environment: IndexMap<String, String>,
    /// Active services, sorted by name.
    pub services: IndexMap<String, Service>,
    /// Services whose profile is not active: known by name, not part of the run.
    #[serde(skip)]
    pub disabled_services: IndexMap<String, Service>,
    /// Networks by key.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub networks: IndexMap<String, Network>,
    /// Volumes by key.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub volumes: IndexMap<String, Volume>,
    /// Secrets by key.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub secrets: IndexMap<String, FileObject>,
    /// Configs by key.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub configs: IndexMap<String, FileObject>,
    /// Models by key. Not part of the JSON text, as in Compose.
    #[serde(skip)]
    pub models: IndexMap<String, Model>,
    /// Top-level extension keys.
    #[serde(flatten)]
    pub extensions: Extensions,
    /// The top-level `x-orch`, decoded.
    #[serde(skip)]
    pub orch: Orch,
    /// Where things were written, by dotted path: `services.web`, `services.web.depends_on.db`.
    #[serde(skip)]
    pub places: IndexMap<String, Span>,
    /// The files that these places are in.
    #[serde(skip)]
    pub sources: Arc<SourceMap>,
    /// `_` instead of `-` between the parts of a container's name (`--compatibility`).
    #[serde(skip)]
    pub compatibility: bool,
}

impl Project {
    /// Between the parts of container and image names: `-`, or `_` in compatibility mode.
    pub fn separator(&self) -> char {
        if self.compatibility { '_' } else { '-' }
    }

    /// Points at the first of some dotted paths that was written down, with these words there.
    #[must_use]
    pub fn point(&self, diagnostic: Diagnostic, paths: &[String], words: &str) -> Diagnostic {
        match paths.iter().find_map(|path| self.places.get(path)) {
            Some(span) => diagnostic.at(*span, words),
            None => diagnostic,
        }
    }

    /// Name of the container number `number` (from 1) of `service`, as Compose names it.
    pub fn container_name(&self, service: &Service, number: u32) -> String {
        if let Some(name) = &service.container_name {
            name.clone()
        } else {
            let s = self.separator();
            format!("{}{s}{}{s}{number}", self.name, service.name)
        }
    }

    /// Lets services that are built, and that name no platform, run on the one that `DOCKER_DEFAULT_PLATFORM` names.
    /// Compose does so before it creates containers or computes hashes, but not for `config`.
    pub fn apply_default_platform(&mut self) {
        let platform =
            self.environment.get("DOCKER_DEFAULT_PLATFORM").filter(|platform| !platform.is_empty());
        for service in self.services.values_mut() {
            if service.build.is_some() && service.platform.is_none() {
                service.platform = platform.cloned();
            }
        }
    }

    /// The image a service runs: its `image`, or the name its build result gets; its ID where it is pinned to one.
    pub fn image_name(&self, service: &Service) -> String {
        let named = service.pinned_image.clone().or_else(|| service.image.clone());
        named.unwrap_or_else(|| format!("{}{}{}", self.name, self.separator(), service.name))
    }

    /// How long the whole start may take where nobody says: 5 minutes, and whatever services say that theirs may take,
    /// so that no deadline in a file is cut short by one that is not.
    pub fn default_start_timeout(&self) -> Duration {
        let stages = |orch: &ServiceOrch| orch.health_check.as_ref().map(HealthSpec::longest);
        let own = |orch: &ServiceOrch| orch.start.timeout.or_else(|| stages(orch)).unwrap_or_default();
        let all = self.services.values().map(|service| own(&service.orch));
        all.fold(Duration::from_mins(5), Duration::saturating_add)
    }
}

/// One container of a service, by its number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize)]
pub struct Replica {
    /// The service's key.
    pub service: String,
    /// From 1; 0 for a one-off container, which has none.
    pub number: u32,
}

impl Replica {
    /// The one-off container of a service.
    pub fn one_off(service: &str) -> Self {
        Self { service: service.to_owned(), number: 0 }
    }
}

impl std::fmt::Display for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.number {
            0 => write!(f, "{}-run", self.service),
            number => write!(f, "{}-{number}", self.service),
        }
    }
}
