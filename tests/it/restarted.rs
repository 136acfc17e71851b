//! Probes that are under way while their container is started again. On the simulated engine, in virtual time.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use docker_orch::{
    engine::{
        Engine,
        sim::{Behaviour, Script, SimEngine},
    },
    event::Verdict,
    executor::Run,
    health::ProbeResult,
    plan::UpOptions,
    probe::{Probe, Target},
    project::Check,
    run::{AbortOn, UpRequest, up},
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};

use crate::support::lab::{Answer, Keeper, label, project};

/// Takes half a second, and passes where the process that it was sent to is the container's, which is ready.
struct Slow(SimEngine);

impl Probe for Slow {
    fn probe<'a>(&'a self, check: &'a Check, target: &'a Target) -> BoxFuture<'a, ProbeResult> {
        async move {
            let took = Duration::from_millis(500);
            tokio::time::sleep(took).await;
            let id = &target.detail.id;
            let is_its_own =
                self.0.inspect(id).await.unwrap().is_some_and(|now| now.pid == target.detail.pid);
            let passed = is_its_own && self.0.probe_ready(id, &check.name);
            let detail = if is_its_own { "not yet" } else { "the process is not the container's" };
            ProbeResult { passed, detail: detail.to_owned(), took, report: None }
        }
        .boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_probe_knew_of_an_earlier_process_is_forgotten() {
    let behaviour =
        Behaviour::new().ready_after(Duration::from_secs(3)).exits_times(1, Duration::from_secs(1), 1);
    let sim = SimEngine::new(Script::new().service("web", behaviour));
    let project = project(
        "
services:
  web:
    image: web
    restart: always
    x-orch: {health_check: {tcp: 80, timeout: 20s}}
",
    );
    let on_failure = project.orch.on_failure;
    let engine: Arc<dyn Engine> = Arc::new(sim.clone());
    let mut run = Run::new(Arc::new(project), engine, Arc::new(Slow(sim)), stream::pending().boxed());
    let request = UpRequest {
        options: UpOptions::default(),
        on_failure,
        watch: false,
        abort: AbortOn::Never,
        warnings: Vec::new(),
        label: label("up"),
        first: true,
    };
    let kept = Keeper(Arc::new(Mutex::new(Vec::new())));
    let began = up(&mut run, &request, &kept, &Answer(true));
    let ended =
        tokio::time::timeout(Duration::from_mins(1), began).await.expect("an end").expect("a beginning");
    assert_eq!(ended.finished.verdict, Verdict::Succeeded, "{:?}", ended.finished.failures);
}
