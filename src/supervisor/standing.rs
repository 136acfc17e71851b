//! Activators on the engine: put up in the place of services, kept there, and taken down again.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    rc::Rc,
    sync::Arc,
};

use futures::StreamExt as _;

use super::{
    activator::{Activator, LABEL, PROGRAM},
    load::{Nowhere, refused},
};
use crate::{
    engine::{Engine, FileUpload, Scope},
    executor::Run,
    machine::ThisMachine,
    plan::{Container, ContainerState, UpOptions},
    probe::Prober,
    project::{OnFailure, Project, Sensitive},
    run::{AbortOn, Attention, OneOffEnd, RunLabel, UpRequest, one_off},
};

/// The program, without anything else that it would need; empty where it could not be built.
const BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/activator"));

/// Activators of a project.
pub struct Activators {
    /// Where they stand.
    pub engine: Arc<dyn Engine>,
    /// Whose services they stand for.
    pub project: Project,
    /// Which there are.
    pub all: Vec<Activator>,
    /// How they are made.
    pub options: UpOptions,
    /// Of the runs that make them.
    pub label: RunLabel,
    /// Where the socket is that they come to.
    pub folder: PathBuf,
    /// Makes 64 random hexadecimal digits.
    pub slug: fn() -> String,
    /// Shows what becomes of them, a line at a time.
    pub say: Rc<dyn Fn(&str)>,
    /// What was said last.
    pub said: RefCell<Said>,
}

/// What was said last of activators.
#[derive(Debug, Default)]
pub struct Said {
    /// Why each does not stand; `None`: it stands.
    of: BTreeMap<String, Option<String>>,
    /// It was said which stand.
    which: bool,
}

/// Whether this program has activators: they are built with it, for Linux.
pub fn has_activators() -> bool {
    !BYTES.is_empty()
}

impl Activators {
    /// Puts up all that do not stand as they should; those that do are left alone. Gives the services whose activators
    /// stand.
    pub(super) async fn stand(&self) -> BTreeSet<String> {
        let standing = match self.standing().await {
            Ok(standing) => standing,
            Err(error) => {
                tracing::warn!("the engine does not say which activators stand: {error}");
                return self.said_to_stand();
            }
        };
        let image = image();
        let made = self.make(&image).await;
        let mut stand = BTreeSet::new();
        for activator in &self.all {
            let own: Vec<&Container> =
                standing.iter().filter(|c| c.compose_label("service") == Some(&activator.service)).collect();
            let mark = activator.mark(&self.project, &image, &self.folder);
            let is_right =
                |c: &&&Container| c.state == ContainerState::Running && c.labels.get(LABEL) == Some(&mark);
            let result = if own.iter().any(|c| is_right(&c)) {
                Ok(())
            } else {
                futures::future::join_all(own.into_iter().map(|container| self.end(container))).await;
                match &made {
                    Ok(()) => self.put_up(activator, &image, mark).await,
                    Err(why) => Err(why.clone()),
                }
            };
            if result.is_ok() {
                stand.insert(activator.service.clone());
            }
            self.note(&activator.service, result.err());
        }
        self.tell();
        stand
    }

    /// Takes down all that stand for services of the project. One that stays is replaced by whoever comes next, and
    /// removed with the project.
    pub async fn take_down(&self) {
        match self.standing().await {
            Ok(standing) => drop(futures::future::join_all(standing.iter().map(|one| self.end(one))).await),
            Err(error) => tracing::warn!("activators may be left: {error}"),
        }
    }

    async fn standing(&self) -> Result<Vec<Container>, String> {
        let scope = Scope { project: self.project.name.clone(), ..Scope::default() };
        let observed = self.engine.observe(&scope).await.map_err(|error| error.to_string())?;
        Ok(observed.containers.into_iter().filter(|c| c.labels.contains_key(LABEL)).collect())
    }

    async fn end(&self, container: &Container) {
        // What does not run cannot be stopped.
        self.engine.stop(&container.id, None).await.ok();
        if let Err(error) = self.engine.remove(&container.id, false).await {
            tracing::warn!("{} stays: {error}", container.name);
        }
    }

    /// Notes what became of one; `None`: it stands.
    fn note(&self, service: &str, why: Option<String>) {
        let of = &mut self.said.borrow_mut().of;
        if of.get(service) != Some(&why) {
            if let Some(why) = &why {
                (self.say)(&format!("warning: containers do not reach {service} by its name: {why}"));
            }
            // Those that stand are told together.
            of.insert(service.to_owned(), why);
        }
    }

    fn said_to_stand(&self) -> BTreeSet<String> {
        let said = self.said.borrow();
        said.of.iter().filter(|(_, why)| why.is_none()).map(|(service, _)| service.clone()).collect()
    }

    /// Says once which stand.
    fn tell(&self) {
        let stand = self.said_to_stand();
        if !stand.is_empty() && !std::mem::replace(&mut self.said.borrow_mut().which, true) {
            let names: Vec<String> = stand.into_iter().collect();
            (self.say)(&format!("listens in the project's networks for {}", names.join(", ")));
        }
    }

    /// Has the image made, once for each version of the program.
    async fn make(&self, image: &str) -> Result<(), String> {
        let found = self.engine.image(image, None).await.map_err(|error| error.to_string())?;
        if found.is_some() {
            return Ok(());
        }
        let file = FileUpload {
            path: PROGRAM.to_owned(),
            content: Sensitive::new(BYTES.to_vec()),
            mode: 0o755,
            uid: None,
            gid: None,
        };
        self.engine.import(image, &[file]).await.map_err(|error| error.to_string())
    }

    async fn put_up(&self, activator: &Activator, image: &str, mark: String) -> Result<(), String> {
        let (project, target) = activator.alone(&self.project, image, &self.folder, (self.slug)(), mark);
        let prober = Arc::new(Prober::new(Arc::clone(&self.engine)));
        let requests = futures::stream::pending().boxed();
        let mut run = Run::new(Arc::new(project), Arc::clone(&self.engine), prober, requests);
        run.set_machine(Arc::new(ThisMachine));
        let request = UpRequest {
            options: UpOptions { one_off: Some(target), ..self.options.clone() },
            on_failure: OnFailure::Stop,
            watch: false,
            abort: AbortOn::Never,
            warnings: Vec::new(),
            label: self.label.clone(),
            first: false,
        };
        match one_off(&mut run, &request, &Nowhere, Attention::Detached).await {
            Ok((_, OneOffEnd::LeftRunning(_))) => Ok(()),
            Ok((_, OneOffEnd::Refused(error))) => Err(error.to_string()),
            Ok((_, OneOffEnd::Lost(why))) => Err(why),
            Ok((ended, OneOffEnd::NotRun | OneOffEnd::Exited(_))) => {
                let first = ended.finished.failures.first().map(|failure| failure.reason.clone());
                Err(first.unwrap_or_else(|| "it ended at once".to_owned()))
            }
            Err(error) => Err(refused(error)),
        }
    }
}

/// The name of the image that this version of the program is in.
fn image() -> String {
    format!("docker-orch-activator:{:016x}", hash(BYTES))
}

/// FNV-1a: two versions of something are to be told apart, and nobody else makes any.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
