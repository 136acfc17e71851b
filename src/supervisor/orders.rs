//! What the machine orders, done beside the loop: a service is loaded, or unloaded.

use std::sync::Arc;

use futures::FutureExt as _;
use tokio::sync::{mpsc, oneshot};

use super::{
    activator::without_names,
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
        // What is only taken over keeps the names that it has.
        let activators = self.activators.clone().filter(|_| !adopt);
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
            if let Some(activators) = activators
                && activators.stand().await.contains(&task.service)
                && let Some(service) = Arc::make_mut(&mut task.project).services.get_mut(&task.service)
            {
                without_names(service);
            }
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

    /// Nothing is loaded before `begins` resolves: what is asked for until then waits, or is told to come again.
    pub fn hold(&mut self, begins: impl Future<Output = ()> + 'static) {
        // Nobody has it yet.
        let turn = Arc::clone(&self.turn).try_acquire_owned().ok();
        let work = async move {
            begins.await;
            drop(turn);
            Done::Inputs(Vec::new())
        };
        self.work.push(work.boxed_local());
    }

    /// Has activators put up where they do not stand, beside all else.
    pub(super) fn stand(&mut self) {
        let Some(activators) = self.activators.clone() else { return };
        self.fallen = false;
        self.rising += 1;
        let turn = Arc::clone(&self.turn);
        let work = async move {
            // Both make networks.
            let _turn = turn.acquire_owned().await;
            activators.stand().await;
            Done::Stood
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::StreamExt as _;

    use super::*;
    use crate::{
        engine::{
            Engine,
            sim::{Script, SimEngine, Verb},
        },
        ondemand::ServiceSpec,
        plan::EngineFacts,
        project::{Load as Loads, Network, Service},
        run::RunLabel,
        supervisor::{Devices, loadable},
    };

    const ONLY: ServiceId = ServiceId(0);

    fn supervisor(sim: &SimEngine) -> Supervisor {
        let mut service = Service { name: "chat".to_owned(), ..Service::default() };
        service.image = Some("chat".to_owned());
        service.scale = Some(0);
        service.orch.load = Some(Loads::OnDemand);
        service.networks.insert("default".to_owned(), None);
        let mut project = Project { name: "p".to_owned(), ..Project::default() };
        let network = Network { name: "p_default".to_owned(), ..Network::default() };
        project.networks.insert("default".to_owned(), network);
        let spec = ServiceSpec::of(&project, &service).unwrap();
        project.services.insert("chat".to_owned(), service);
        let chat = Supervised { name: "chat".to_owned(), spec, project: loadable(&project, "chat") };
        let label = RunLabel { id: "1".to_owned(), time: String::new(), command: "load".to_owned() };
        let devices = Devices { gpus: None, known: Vec::new(), facts: EngineFacts::default() };
        let engine: Arc<dyn Engine> = Arc::new(sim.clone());
        Supervisor::new(
            engine,
            &project,
            vec![chat],
            (UpOptions::default(), label),
            devices,
            Box::new(|_, _| ()),
        )
    }

    /// Until nothing that was ordered goes on.
    async fn done(supervisor: &mut Supervisor) {
        let all = async { while supervisor.work.next().await.is_some() {} };
        tokio::time::timeout(Duration::from_mins(10), all).await.expect("it ends");
    }

    #[tokio::test(start_paused = true)]
    async fn an_unload_that_has_been_overtaken_stops_nothing() {
        let sim = SimEngine::new(Script::new());
        let mut supervisor = supervisor(&sim);
        supervisor.load(ONLY, LoadId(1), &[], false);
        done(&mut supervisor).await;
        let gate = Arc::clone(supervisor.gate(ONLY).unwrap());
        gate.set_address([127, 0, 0, 1].into());
        gate.set_open(true);
        let inside = gate.enter().unwrap();
        // It waits for the one inside; then the container has ended by itself, and there is another load.
        supervisor.unload(ONLY, false);
        assert!(supervisor.work.next().now_or_never().is_none());
        sim.crash("p-chat-1", 1);
        supervisor.load(ONLY, LoadId(2), &[], false);
        while !matches!(supervisor.work.next().await.expect("it is loaded"), Done::Loaded(..)) {}
        drop(inside);
        done(&mut supervisor).await;
        assert!(sim.requests().iter().all(|request| request.verb != Verb::Stop), "{}", sim.record());
    }

    #[tokio::test(start_paused = true)]
    async fn an_unload_waits_for_those_inside_unless_it_is_forced() {
        let sim = SimEngine::new(Script::new());
        let mut supervisor = supervisor(&sim);
        supervisor.load(ONLY, LoadId(1), &[], false);
        done(&mut supervisor).await;
        let gate = Arc::clone(supervisor.gate(ONLY).unwrap());
        gate.set_address([127, 0, 0, 1].into());
        gate.set_open(true);
        let inside = gate.enter().unwrap();
        supervisor.unload(ONLY, false);
        assert!(supervisor.work.next().now_or_never().is_none());
        supervisor.unload(ONLY, true);
        done(&mut supervisor).await;
        let stops = sim.requests().into_iter().filter(|request| request.verb == Verb::Stop);
        assert_eq!(stops.count(), 1, "the one that waited has been overtaken: {}", sim.record());
        drop(inside);
    }
}
