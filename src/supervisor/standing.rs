//! Activators on the engine: put up in the place of services, and taken down again.

use std::{path::Path, sync::Arc};

use futures::StreamExt as _;

use super::{
    activator::{Activator, LABEL, PROGRAM},
    load::Nowhere,
};
use crate::{
    engine::{Engine, FileUpload, Scope},
    executor::Run,
    machine::ThisMachine,
    plan::UpOptions,
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
}

/// Whether this program has activators: they are built with it, for Linux.
pub fn has_activators() -> bool {
    !BYTES.is_empty()
}

impl Activators {
    /// Puts all of them up, in place of any that an earlier one has left. `folder`: where the socket is. `slug`: makes 64
    /// random hexadecimal digits. What cannot be put up is given with why.
    pub async fn put_up(&self, folder: &Path, slug: impl Fn() -> String) -> Vec<(String, String)> {
        let mut failed = Vec::new();
        self.take_down().await;
        let image = image();
        let made = self.make(&image).await;
        for activator in &self.all {
            let put_up = match &made {
                Ok(()) => self.put_up_one(activator, &image, folder, slug()).await,
                Err(why) => Err(why.clone()),
            };
            if let Err(why) = put_up {
                failed.push((activator.service.clone(), why));
            }
        }
        failed
    }

    /// Takes down all that stand for services of the project. One that stays is replaced by whoever comes next, and
    /// removed with the project.
    pub async fn take_down(&self) {
        let scope = Scope { project: self.project.name.clone(), ..Scope::default() };
        let Ok(observed) = self.engine.observe(&scope).await else { return };
        let standing = observed.containers.iter().filter(|c| c.labels.contains_key(LABEL));
        let ends = standing.map(async |container| {
            self.engine.stop(&container.id, None).await.ok();
            if let Err(error) = self.engine.remove(&container.id, false).await {
                tracing::warn!("{} stays: {error}", container.name);
            }
        });
        futures::future::join_all(ends).await;
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

    async fn put_up_one(
        &self,
        activator: &Activator,
        image: &str,
        folder: &Path,
        slug: String,
    ) -> Result<(), String> {
        let (project, target) = activator.alone(&self.project, image, folder, slug);
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
            Err(error) => Err(super::load::refused(error)),
        }
    }
}

/// The name of the image that this version of the program is in.
fn image() -> String {
    // FNV-1a: two versions of a program are to have two names, and nobody else makes images of this one.
    let hash = BYTES.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("docker-orch-activator:{hash:016x}")
}
