//! Services that are loaded on demand on the simulated engine, in virtual time: what the engine does by itself, and what
//! crosses what.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use docker_orch::{
    engine::{
        Engine as _,
        sim::{Behaviour, Outage, Script, SimEngine},
    },
    ondemand::{Refusal, ServiceId, ServiceSpec, State, Told, Wait},
    plan::{ContainerState, EngineFacts, OneOffTarget, UpOptions},
    proxy::{Activation as _, Admission},
    supervisor::{Command, Devices, Handle, Supervised, Supervisor, loadable},
};
use tokio::{sync::oneshot, time::timeout};

use crate::support::lab::{Asked, label, project, project_with, up_as};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_mins(5);

/// Two models, and what the first one depends on.
const YAML: &str = "
services:
  db: {image: db}
  chat: {image: chat, scale: 0, restart: always, depends_on: [db], x-orch: {load: on_demand}}
  speech: {image: speech, scale: 0, x-orch: {load: on_demand}}
";
const CHAT: ServiceId = ServiceId(0);
const SPEECH: ServiceId = ServiceId(1);

/// A supervisor and its engine.
struct World {
    sim: SimEngine,
    handle: Handle,
    told: Arc<Mutex<Vec<String>>>,
}

impl World {
    async fn ask(&self, service: ServiceId) -> Result<Admission, Refusal> {
        timeout(PATIENCE, self.handle.ask(service, Wait::Held(None))).await.expect("an answer")
    }

    /// Where a service is, once it is ready.
    async fn address(&self, service: ServiceId) -> String {
        self.ask(service).await.expect("it is served").address.to_string()
    }

    /// Unloads a service; returns when that is known, not when it is done.
    async fn unload(&self, service: ServiceId) {
        let (answer, answered) = oneshot::channel();
        self.handle.want(Command::Unload(service, false, answer));
        answered.await.unwrap();
    }

    /// Nobody has told of a service that nothing was done with.
    fn state(&self, service: ServiceId) -> State {
        self.handle.state(service).unwrap_or(State::Cold)
    }

    async fn is(&self, service: ServiceId, state: State) {
        let reached = async {
            while self.state(service) != state {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let reached = timeout(PATIENCE, reached).await;
        assert!(reached.is_ok(), "{:?} and not {state:?}: {:#?}", self.state(service), self.told());
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    fn runs(&self, container: &str) -> bool {
        self.sim.container(container).is_some_and(|c| c.state == ContainerState::Running)
    }
}

/// Has a supervisor stay while a test goes on.
async fn supervised(sim: SimEngine, test: impl AsyncFnOnce(&World)) {
    let project = project(YAML);
    let services = ["chat", "speech"].map(|name| Supervised {
        name: name.to_owned(),
        spec: ServiceSpec::of(&project, &project.services[name]).unwrap(),
        project: loadable(&project_with(&format!("name: p\n{YAML}"), &[name.to_owned()]), name),
    });
    let told = Arc::<Mutex<Vec<String>>>::default();
    let notes = Arc::clone(&told);
    let tell = move |service: &str, told: &Told| {
        notes.lock().unwrap().push(format!("{service} {:?}: {}", told.change, told.reason));
    };
    let devices = Devices { gpus: None, known: Vec::new(), facts: EngineFacts::default() };
    let run = (UpOptions::default(), label("load"));
    let engine = Arc::new(sim.clone());
    let supervisor = Supervisor::new(engine, &project, services.into(), run, devices, Box::new(tell));
    let world = World { sim, handle: supervisor.handle(), told };
    tokio::select! {
        () = supervisor.stay(std::future::pending()) => panic!("it stays"),
        () = test(&world) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_comes_back_elsewhere_is_found_there() {
    supervised(SimEngine::new(Script::new()), async |world| {
        let before = world.address(CHAT).await;
        // Nobody hears of it: chat is started again by its policy, db is not, and its address is free.
        world.sim.restart_daemon(Duration::from_millis(2500), Outage::TakesAll);
        tokio::time::sleep(Duration::from_secs(10)).await;
        let moved = world.sim.container("p-chat-1").unwrap().networks["p_default"].ip_address.clone();
        assert_ne!(moved, before, "this is what is tested");
        assert_eq!(world.address(CHAT).await, moved);
        assert!(world.told().iter().any(|told| told.contains("somewhere else")), "{:#?}", world.told());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn events_that_break_off_are_listened_to_again() {
    supervised(SimEngine::new(Script::new()), async |world| {
        world.address(SPEECH).await;
        for _ in 0..3 {
            world.sim.break_events();
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!(world.state(SPEECH), State::Ready, "it runs on");
            world.sim.crash("p-speech-1", 1);
            world.is(SPEECH, State::Failed).await;
            world.is(SPEECH, State::Cold).await;
            world.address(SPEECH).await;
        }
        // What happens before they are heard again is seen, too.
        world.sim.break_events();
        world.sim.crash("p-speech-1", 1);
        world.is(SPEECH, State::Failed).await;
        world.is(SPEECH, State::Cold).await;
        world.address(SPEECH).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_one_off_container_is_not_the_service() {
    let sim = SimEngine::new(Script::new().service("speech", Behaviour::new()));
    let target = OneOffTarget { service: "speech".to_owned(), ..OneOffTarget::default() };
    let services = vec!["speech".to_owned()];
    let options = UpOptions { one_off: Some(target), services, ..UpOptions::default() };
    let yaml = YAML.replace("scale: 0, ", "").replace("{load: on_demand}", "{}");
    let asked = Asked { options, ..Asked::default() };
    up_as(&sim, &yaml, &asked).await.expect("nobody kills it").expect("a beginning");
    let one_off =
        sim.containers().into_iter().find(docker_orch::plan::Container::is_oneoff).expect("one").name;
    sim.start(&one_off).await.unwrap();
    supervised(sim, async |world| {
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(world.state(SPEECH), State::Cold, "{:#?}", world.told());
        world.address(SPEECH).await;
        assert!(world.runs("p-speech-1"));
        world.sim.crash(&one_off, 1);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(world.state(SPEECH), State::Ready, "{:#?}", world.told());
        world.sim.start(&one_off).await.unwrap();
        world.unload(SPEECH).await;
        world.is(SPEECH, State::Cold).await;
        assert!(world.runs(&one_off) && !world.runs("p-speech-1"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_has_just_come_in_is_waited_for() {
    supervised(SimEngine::new(Script::new()), async |world| {
        world.address(SPEECH).await;
        // It comes in before the loop hears of the wish, and is told of after it.
        let (answer, _answered) = oneshot::channel();
        world.handle.want(Command::Unload(SPEECH, false, answer));
        let inside = world.ask(SPEECH).await.unwrap();
        assert!(inside.waited.is_zero());
        tokio::time::sleep(Duration::from_mins(10)).await;
        assert!(world.runs("p-speech-1"), "it is not stopped under anybody: {:#?}", world.told());
        drop(inside);
        world.is(SPEECH, State::Cold).await;
        assert!(!world.runs("p-speech-1"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_load_that_waits_for_its_turn_can_be_given_up() {
    let slow = Behaviour::new().create_takes(Duration::from_mins(1));
    supervised(SimEngine::new(Script::new().service("chat", slow)), async |world| {
        let chat = world.ask(CHAT);
        let test = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let waits = world.handle.ask(SPEECH, Wait::Held(None));
            tokio::time::timeout(Duration::from_secs(1), waits).await.expect_err("chat is being made");
            world.unload(SPEECH).await;
            let began = tokio::time::Instant::now();
            world.is(SPEECH, State::Cold).await;
            assert!(began.elapsed() < Duration::from_secs(5), "it is given up at once: {:#?}", world.told());
            assert!(world.sim.container("p-speech-1").is_none());
            world.address(SPEECH).await;
        };
        let (chat, ()) = futures::join!(chat, test);
        assert!(chat.is_ok() && world.runs("p-chat-1") && world.runs("p-speech-1"));
    })
    .await;
}
