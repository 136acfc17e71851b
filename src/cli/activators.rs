//! Activators while services are loaded on demand: the socket that they come to, and that they are taken down again.

use std::{cell::RefCell, collections::BTreeMap, fs, os::unix::net::UnixListener, rc::Rc, sync::Arc};

use super::{CliError, Invocation, control, entry::note, random::random};
use crate::{
    engine::Engine,
    ondemand::ServiceId,
    plan::UpOptions,
    project::Project,
    proxy::Activated,
    run::RunLabel,
    supervisor::{Activators, Said, activators, has_activators},
};

/// The name of the socket, which activators know.
const SOCKET: &str = "activate.sock";

/// Activators and the socket that they come to.
pub(super) struct Standing {
    activators: Rc<Activators>,
    listener: UnixListener,
    sites: Arc<Activated>,
}

impl Standing {
    /// Begins to listen. `None`: no service needs one, or none can be had, and is said so. `say`: shows what becomes of
    /// them.
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
        say: &Rc<dyn Fn(&str)>,
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
                let activators = Activators {
                    engine: Arc::clone(engine),
                    project: project.clone(),
                    all,
                    options,
                    label,
                    folder,
                    slug: || random().unwrap_or_default(),
                    say: Rc::clone(say),
                    said: RefCell::new(Said::default()),
                };
                Ok(Some(Self { activators: Rc::new(activators), listener, sites: Arc::new(sites) }))
            }
            Err(why) => {
                let names: Vec<&str> = all.iter().map(|activator| activator.service.as_str()).collect();
                let names = names.join(", ");
                note(&format!("warning: containers reach {names} by name only while it runs: {why}"));
                Ok(None)
            }
        }
    }

    /// Those that stand.
    pub(super) fn activators(&self) -> Rc<Activators> {
        Rc::clone(&self.activators)
    }

    /// Where activators come, and what is behind their ports.
    pub(super) fn door(&self) -> (&UnixListener, &Arc<Activated>) {
        (&self.listener, &self.sites)
    }
}

/// Takes them down.
pub(super) async fn take_down(activators: &Activators) {
    activators.take_down().await;
    // One that could not be taken down is replaced by the next `serve`; it needs the folder no more.
    fs::remove_dir_all(&activators.folder).ok();
}
