//! Whether a load failed because memory ran out: read from what the server said in it.

use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::timeout;

use super::load::containers;
use crate::engine::{Engine, LogOptions};

/// What a server says when a GPU, or the machine, has not enough memory: that of vLLM, SGLang, llama.cpp, PyTorch.
const OUT_OF_MEMORY: [&str; 6] = [
    "out of memory",
    "no available memory for the cache blocks",
    "less than desired gpu memory utilization",
    "failed to allocate buffer",
    "unable to allocate",
    "not enough memory",
];
/// So many lines are read back: servers tell the cause first, and then each of their processes the way that it took
/// through their code.
const LINES: u64 = 300;
/// For the log of one container.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether a line tells that memory ran out.
pub(super) fn is_told(line: &str) -> bool {
    let line = line.to_lowercase();
    OUT_OF_MEMORY.iter().any(|words| line.contains(words))
}

/// When what there is of a service ended last, as the engine tells time; `None`: nothing of it has.
pub(super) async fn ended(engine: &dyn Engine, project: &str, service: &str) -> Option<String> {
    let mut last = None;
    for container in containers(engine, project, service).await.into_iter().flatten() {
        let detail = engine.inspect(&container.id).await.ok().flatten();
        let ended = detail.map(|detail| detail.finished_at);
        // Engines write the year 1 where there was no end.
        last = last.max(ended.filter(|ended| !ended.is_empty() && !ended.starts_with("0001-")));
    }
    last
}

/// The line in which a service said since then that memory ran out. A container that is started again goes on with its
/// log: what it said before is no news.
pub(super) async fn told(
    engine: &dyn Engine,
    (project, service): (&str, &str),
    since: Option<String>,
) -> Option<String> {
    for container in containers(engine, project, service).await.into_iter().flatten() {
        let options = LogOptions { tail: Some(LINES), since: since.clone(), ..LogOptions::default() };
        let lines =
            engine.logs(&container.id, &options).filter_map(|line| async { line.ok().map(|l| l.text) });
        let mut telling = std::pin::pin!(lines.filter(|line| std::future::ready(is_told(line))));
        if let Ok(Some(line)) = timeout(PATIENCE, telling.next()).await {
            return Some(line);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::{
            ContainerRequest,
            sim::{Behaviour, Script, SimEngine},
        },
        project::{Project, Service},
    };

    /// What is told of a service since a moment.
    async fn since(sim: &SimEngine, since: Option<String>) -> Option<String> {
        told(sim, ("p", "web"), since).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_said_before_the_last_end_is_no_news() {
        let ms = Duration::from_millis;
        let behaviour = Behaviour::new().log(ms(100), "CUDA out of memory").exits(1, ms(200));
        let sim = SimEngine::new(Script::new().service("web", behaviour));
        let service =
            Service { name: "web".to_owned(), image: Some("web:1".to_owned()), ..Service::default() };
        let services = [("web".to_owned(), service)].into();
        let project = Project { name: "p".to_owned(), services, ..Project::default() };
        let request = ContainerRequest {
            project: &project,
            service: &project.services["web"],
            number: 1,
            name: "p-web-1".to_owned(),
            final_name: "p-web-1".to_owned(),
            config_hash: "hash".to_owned(),
            image_id: "sha256:1".to_owned(),
            replaces: None,
            links: Vec::new(),
            inherited: Vec::new(),
            oneoff: None,
            unnamed: Vec::new(),
        };
        assert_eq!(ended(&sim, "p", "web").await, None);
        let id = sim.create_container(&request).await.unwrap();
        assert_eq!(ended(&sim, "p", "web").await, None);
        sim.start(&id).await.unwrap();
        tokio::time::sleep(ms(300)).await;
        assert_eq!(since(&sim, None).await.as_deref(), Some("CUDA out of memory"));

        let before = ended(&sim, "p", "web").await;
        assert!(before.is_some());
        sim.start(&id).await.unwrap();
        assert_eq!(since(&sim, before.clone()).await, None);
        tokio::time::sleep(ms(300)).await;
        assert_eq!(since(&sim, before).await.as_deref(), Some("CUDA out of memory"));
    }

    #[test]
    fn the_words_of_servers_without_memory_are_known() {
        for line in [
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
            "ggml_backend_cuda_buffer_type_alloc_buffer: cudaMalloc failed: out of memory",
            "ValueError: No available memory for the cache blocks.",
            "exited with code 137: out of memory",
        ] {
            assert!(is_told(line), "{line}");
        }
        assert!(!is_told("loaded 12 GiB into memory"));
    }
}
