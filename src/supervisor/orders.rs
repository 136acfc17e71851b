//! What the machine orders, done beside the loop: a service is loaded, or unloaded.

use std::sync::Arc;

use futures::FutureExt as _;
use tokio::sync::{mpsc, oneshot};

use super::{
    load::{self, Load},
    stay::{Done, Loading, Supervised, Supervisor},
};
use crate::{
    executor::CancelRequest,
    gpu::{Device, has_name, placed},
    ondemand::{DeviceId, Input, LoadFailure, LoadId, ServiceId},
    plan::{Recreate, UpOptions},
    project::Project,
};

impl Supervisor {
    /// `adopt`: it runs already, and stays as it is.
    pub(super) fn load(&mut self, service: ServiceId, load: LoadId, devices: &[DeviceId], adopt: bool) {
        let Some(known) = self.services.get(service.0 as usize) else { return };
        self.stopping.remove(&service);
        let (cancel, requests) = mpsc::unbounded_channel();
        let (ended, over) = oneshot::channel();
        let (stages, mut entered) = mpsc::unbounded_channel::<String>();
        let before = self.loading.insert(service, Loading { cancel, over });
        let mut task = Load {
            service: known.name.clone(),
            project: self.placed(known, devices),
            engine: Arc::clone(&self.engine),
            options: UpOptions {
                services: vec![known.name.clone()],
                recreate: if adopt { Recreate::Never } else { self.options.recreate },
                ..self.options.clone()
            },
            label: self.label.clone(),
            requests,
            stages,
            followers: self.followers.clone(),
        };
        let (told, turn) = (self.stages.0.clone(), Arc::clone(&self.turn));
        let work = async move {
            let waits = async {
                if let Some(before) = before {
                    // Either way it is over.
                    before.over.await.ok();
                }
                // It is never closed.
                turn.acquire_owned().await.ok()
            };
            let mut turn = tokio::select! {
                biased;
                _ = task.requests.recv() => {
                    // An error means that nobody waits for it.
                    ended.send(()).ok();
                    let failure = LoadFailure { out_of_memory: false, message: "it was given up".to_owned() };
                    return Done::Inputs(vec![Input::LoadFailed { service, load, failure }]);
                }
                turn = waits => turn,
            };
            let tell = async {
                while let Some(stage) = entered.recv().await {
                    // It runs: everything is made.
                    drop(turn.take());
                    told.send(Input::Stage { service, load, stage }).ok();
                }
            };
            let (result, ()) = futures::join!(task.perform(), tell);
            ended.send(()).ok();
            match result {
                Ok(address) => Done::Loaded(service, load, address),
                Err(failure) => Done::Inputs(vec![Input::LoadFailed { service, load, failure }]),
            }
        };
        self.work.push(work.boxed_local());
    }

    /// The project in which a service is loaded, with the devices that it is to use.
    fn placed(&self, service: &Supervised, devices: &[DeviceId]) -> Arc<Project> {
        let chosen = |device: &&Device| devices.contains(&device.id);
        let mut chosen: Vec<Device> = self.devices.known.iter().filter(chosen).cloned().collect();
        if chosen.is_empty() {
            return Arc::clone(&service.project);
        }
        if self.devices.gpus.as_ref().is_some_and(|gpus| gpus.are_made_up()) {
            // They count, and nothing is asked of an engine that cannot have them.
            chosen.retain(|device| has_name(device, &self.devices.facts));
        }
        let mut project = Project::clone(&service.project);
        if let Some(wants) = project.services.get_mut(&service.name) {
            *wants = placed(wants, &chosen, &self.devices.facts);
        }
        Arc::new(project)
    }

    pub(super) fn unload(&mut self, service: ServiceId, force: bool) {
        let Some(known) = self.services.get(service.0 as usize) else { return };
        let (engine, project, name) = (Arc::clone(&self.engine), self.name.clone(), known.name.clone());
        let loading = self.loading.remove(&service);
        if let Some(loading) = &loading {
            let request = if force { CancelRequest::Force } else { CancelRequest::Graceful };
            // An error means that it is over.
            loading.cancel.send(request).ok();
        }
        let gate = self.gate(service).filter(|_| !force).cloned();
        let (stays, superseded) = oneshot::channel();
        self.stopping.insert(service, stays);
        let work = async move {
            let waits = async {
                if let Some(loading) = loading {
                    loading.over.await.ok();
                }
                if let Some(gate) = gate {
                    gate.emptied().await;
                }
            };
            tokio::select! {
                biased;
                () = waits => {}
                // Another unload says what came of it, or it is loaded again.
                _ = superseded => return Done::Inputs(Vec::new()),
            }
            Done::Inputs(vec![match load::unload(engine, &project, &name, force).await {
                Ok(()) => Input::Unloaded { service },
                Err(message) => Input::UnloadFailed { service, message },
            }])
        };
        self.work.push(work.boxed_local());
    }
}
