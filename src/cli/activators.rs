//! Activators while services are loaded on demand: the socket that they come to, when they are put up, and that they are
//! taken down again.

use std::{collections::BTreeMap, fs, os::unix::net::UnixListener, path::PathBuf, sync::Arc};

use super::{CliError, Invocation, control, entry::note, random::random};
use crate::{
    engine::Engine,
    ondemand::ServiceId,
    plan::UpOptions,
    project::Project,
    proxy::Activated,
    run::RunLabel,
    supervisor::{Activators, activators, has_activators},
};

/// The name of the socket, which activators know.
const SOCKET: &str = "activate.sock";

/// Activators and the socket that they come to.
pub(super) struct Standing {
    activators: Activators,
    folder: PathBuf,
    listener: UnixListener,
    sites: Arc<Activated>,
}

impl Standing {
    /// Begins to listen. `None`: no service needs one, or none can be had, and is said so.
    ///
    /// # Errors
    ///
    /// The project does not say at which port a service is reached.
    pub(super) fn begin(
        invocation: &Invocation,
        project: &Project,
        engine: &Arc<dyn Engine>,
        ids: &BTreeMap<String, ServiceId>,
        (options, label): (UpOptions, RunLabel),
    ) -> Result<Option<Self>, CliError> {
        let (all, sites) = activators(project, ids).map_err(CliError::usage)?;
        if all.is_empty() {
            return Ok(None);
        }
        let folder = control::activators_folder(invocation, &project.name);
        let begun = match (has_activators(), engine.info().host.starts_with("unix://"), folder) {
            (false, ..) => Err("this program was built without the one that stands there".to_owned()),
            (_, false, _) => Err("the engine is not on this machine".to_owned()),
            (.., None) => Err("there is no folder for a socket: set `XDG_RUNTIME_DIR` or `HOME`".to_owned()),
            (true, true, Some(folder)) => control::bind(&folder.join(SOCKET))
                .map(|listener| (folder, listener))
                .map_err(|e| e.to_string()),
        };
        match begun {
            Ok((folder, listener)) => {
                let activators =
                    Activators { engine: Arc::clone(engine), project: project.clone(), all, options, label };
                Ok(Some(Self { activators, folder, listener, sites: Arc::new(sites) }))
            }
            Err(why) => {
                let names: Vec<&str> = all.iter().map(|activator| activator.service.as_str()).collect();
                note(&format!(
                    "warning: containers reach {} by name only while it runs: {why}",
                    names.join(", ")
                ));
                Ok(None)
            }
        }
    }

    /// Whether a service has one.
    pub(super) fn is_for(&self, service: &str) -> bool {
        self.activators.all.iter().any(|activator| activator.service == service)
    }

    /// Where activators come, and what is behind their ports.
    pub(super) fn door(&self) -> (&UnixListener, &Arc<Activated>) {
        (&self.listener, &self.sites)
    }

    /// Puts them up; says which stand, and which cannot.
    pub(super) async fn put_up(&self, say: impl Fn(&str)) {
        let slug = || random().unwrap_or_default();
        let failed = self.activators.put_up(&self.folder, slug).await;
        for (service, why) in &failed {
            say(&format!("warning: containers do not reach {service} by its name: {why}"));
        }
        let names = self.activators.all.iter().map(|activator| activator.service.as_str());
        let stand: Vec<&str> =
            names.filter(|name| !failed.iter().any(|(service, _)| service == name)).collect();
        if !stand.is_empty() {
            say(&format!("listens in the project's networks for {}", stand.join(", ")));
        }
    }

    /// Takes them down.
    pub(super) async fn take_down(&self) {
        self.activators.take_down().await;
        // What stays is in nobody's way.
        fs::remove_dir_all(&self.folder).ok();
    }
}
