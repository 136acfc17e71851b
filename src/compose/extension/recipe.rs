//! Recipes: how well-known model servers show how far they are.
//!
//! Asked for by name, or by `auto`, which goes by the service's image. A file without `x-orch` never gets one: it is
//! ready when Compose says so.

use std::time::Duration;

use super::{
    check::{Found, count, duration, liveness, progress},
    http::Scope,
    shape::text,
};
use crate::{
    compose::tree::Node,
    diagnostic::Diagnostic,
    project::{
        Check, ContainerCondition, HealthSpec, HttpProbe, ProbeSpec, Progress, Require, Service, Stage,
    },
};

/// How one kind of server is found to be ready.
struct Recipe {
    name: &'static str,
    /// Image names: whole, or after a registry and path of one's own; `*` at the end stands for anything, and what
    /// follows a colon is how the tag begins.
    images: &'static [&'static str],
    /// Where it listens, unless one of `moved_by` says otherwise. Several: at one of these, by its release.
    ports: &'static [u16],
    /// Flags (`--port`) and variables (`PORT`, `HOST:PORT`) that move its port.
    moved_by: &'static [&'static str],
    stages: &'static [Step],
    /// The path that is asked after ready.
    live: &'static str,
    /// What it logs while it loads.
    progress: Option<&'static str>,
}

/// One stage of a recipe.
struct Step {
    name: &'static str,
    minutes: u64,
    /// Any of these is enough for `Any`, else all are needed.
    require: Require,
    checks: &'static [Sign],
}

/// What shows that a stage is over.
#[derive(Clone, Copy)]
enum Sign {
    Running,
    Listens,
    Answers(&'static str),
    Logs(&'static str),
}

use Sign::{Answers, Listens, Logs, Running};

const STARTED: Step = Step { name: "started", minutes: 1, require: Require::All, checks: &[Running] };
const LISTENING: Step = Step { name: "listening", minutes: 5, require: Require::All, checks: &[Listens] };
/// How far the weights and graphs of vLLM and its kin are.
const SHARDS: &str = r"(?:checkpoint shards|CUDA graphs?|graph shapes).*?(\d+)%|Loading (?:model )?weights took|Model loading took|torch\.compile takes|Graph capturing finished|Load weight (?:begin|end)";

const RECIPES: [Recipe; 9] = [
    Recipe {
        name: "vllm",
        images: &["vllm/vllm-openai", "rocm/vllm*"],
        ports: &[8000],
        moved_by: &["--port"],
        // What is logged depends on its log level: that it answers is enough too.
        stages: &[
            STARTED,
            Step {
                name: "models_loaded",
                minutes: 10,
                require: Require::Any,
                checks: &[Logs("(?:Loading (?:model )?weights|Model loading) took"), Answers("/health")],
            },
            Step {
                name: "ready",
                minutes: 10,
                require: Require::All,
                checks: &[Answers("/health"), Answers("/v1/models")],
            },
        ],
        live: "/health",
        progress: Some(SHARDS),
    },
    Recipe {
        name: "llama.cpp",
        images: &["ggml-org/llama.cpp:server", "ggerganov/llama.cpp:server"],
        ports: &[8080, 9931],
        moved_by: &["--port", "LLAMA_ARG_PORT"],
        stages: &[
            LISTENING,
            Step { name: "ready", minutes: 10, require: Require::All, checks: &[Answers("/health")] },
        ],
        live: "/health",
        progress: None,
    },
    Recipe {
        name: "ollama",
        images: &["ollama/ollama"],
        ports: &[11_434],
        moved_by: &["OLLAMA_HOST"],
        // Models are loaded by the requests for them.
        stages: &[Step {
            name: "ready",
            minutes: 2,
            require: Require::All,
            checks: &[Answers("/api/version")],
        }],
        live: "/api/version",
        progress: None,
    },
    Recipe {
        name: "sglang",
        images: &["lmsysorg/sglang"],
        ports: &[30_000],
        moved_by: &["--port"],
        stages: &[
            STARTED,
            Step { name: "ready", minutes: 15, require: Require::All, checks: &[Answers("/health")] },
        ],
        live: "/health",
        progress: Some(SHARDS),
    },
    Recipe {
        name: "tgi",
        images: &["huggingface/text-generation-inference"],
        ports: &[80],
        moved_by: &["--port", "-p", "PORT"],
        stages: &[
            STARTED,
            Step {
                name: "models_loaded",
                minutes: 10,
                require: Require::Any,
                checks: &[Logs("Shard ready"), Answers("/health")],
            },
            Step { name: "ready", minutes: 5, require: Require::All, checks: &[Answers("/health")] },
        ],
        live: "/health",
        progress: Some(r"Waiting for shard to be ready|Download file: (\S+)|Downloaded (\S+)|Shard ready"),
    },
    Recipe {
        name: "tei",
        images: &["huggingface/text-embeddings-inference"],
        ports: &[80],
        moved_by: &["--port", "-p", "PORT"],
        stages: &[
            STARTED,
            Step { name: "ready", minutes: 5, require: Require::All, checks: &[Answers("/health")] },
        ],
        live: "/health",
        progress: Some(
            r"Downloading `?(\S+)|Model artifacts downloaded|Starting model backend|Warming up model",
        ),
    },
    Recipe {
        name: "nim",
        images: &["nvcr.io/nim/*"],
        ports: &[8000],
        moved_by: &["NIM_HTTP_API_PORT", "NIM_SERVER_PORT"],
        stages: &[
            Step {
                name: "started",
                minutes: 5,
                require: Require::All,
                checks: &[Answers("/v1/health/live")],
            },
            Step {
                name: "ready",
                minutes: 30,
                require: Require::All,
                checks: &[Answers("/v1/health/ready")],
            },
        ],
        live: "/v1/health/live",
        progress: Some(SHARDS),
    },
    Recipe {
        name: "triton",
        images: &["nvidia/tritonserver"],
        ports: &[8000],
        moved_by: &["--http-port"],
        stages: &[
            Step {
                name: "started",
                minutes: 5,
                require: Require::All,
                checks: &[Answers("/v2/health/live")],
            },
            Step {
                name: "ready",
                minutes: 10,
                require: Require::All,
                checks: &[Answers("/v2/health/ready")],
            },
        ],
        live: "/v2/health/live",
        progress: Some(r"(?:loading|successfully loaded):? '?([^' ]+)"),
    },
    Recipe {
        name: "localai",
        images: &["localai/localai"],
        ports: &[8080],
        moved_by: &["--address", "LOCALAI_ADDRESS", "ADDRESS"],
        stages: &[
            Step { name: "started", minutes: 10, require: Require::All, checks: &[Answers("/healthz")] },
            Step { name: "ready", minutes: 10, require: Require::All, checks: &[Answers("/readyz")] },
        ],
        live: "/healthz",
        progress: None,
    },
];

/// What a recipe leaves to the file.
const KEYS: [&str; 6] = ["recipe", "port", "timeout", "interval", "progress", "liveness"];
/// A model that loads says so less often than this.
const EXTEND: Duration = Duration::from_mins(5);
/// A server that is busy answers late, and is not asked often.
const PATIENCE: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_secs(30);

/// What may be written for a recipe: `auto`, and the name of each.
pub(super) const WORDS: [&str; RECIPES.len() + 1] = {
    let mut words = ["auto"; RECIPES.len() + 1];
    let mut at = 0;
    while at < RECIPES.len() {
        words[at + 1] = RECIPES[at].name;
        at += 1;
    }
    words
};

/// Reads `health_check: auto`, `health_check: vllm` or `health_check: {recipe: …, port: …}`.
pub(super) fn read(node: &Node, scope: &Scope<'_>, found: &mut Found) -> Option<HealthSpec> {
    let word = text(node.get("recipe").unwrap_or(node));
    if let Some((name, entry)) = node.entries().find(|(name, _)| !KEYS.contains(name)) {
        found.problems.push(
            Diagnostic::error("two-checks", format!("a recipe is no place for `{name}`"))
                .at(entry.key, "")
                .help(format!("beside `recipe` there may be {}", KEYS[1..].join(", "))),
        );
        return None;
    }
    let service = scope.services.get(scope.own)?;
    let image = service.image.as_deref().unwrap_or_default();
    let recipe = RECIPES.iter().find(|recipe| {
        if word == "auto" {
            recipe.images.iter().any(|pattern| is_named(image, pattern))
        } else {
            recipe.name == word
        }
    });
    let Some(recipe) = recipe else {
        let what =
            if image.is_empty() { "what is built here".to_owned() } else { format!("the image `{image}`") };
        found.problems.push(
            Diagnostic::error("unknown-recipe", format!("there is no recipe for {what}"))
                .at(node.span, "`auto` goes by the image's name")
                .help(format!("name what runs in it: {}; or write the checks", WORDS[1..].join(", "))),
        );
        return None;
    };
    let port = count(node, "port").and_then(|port| u16::try_from(port).ok());
    let port = port.or_else(|| moved(recipe, service));
    let ports = port.as_slice();
    let ports = if ports.is_empty() { recipe.ports } else { ports };
    let given = (progress(node, found), duration(node, "timeout"));
    let interval = duration(node, "interval").unwrap_or(INTERVAL);
    let live = node.get("liveness").filter(|live| !live.is_null()).map(|live| liveness(live, scope, found));
    let live = live.unwrap_or_else(|| {
        stage(recipe, ("liveness", Require::All), &[Answers(recipe.live)], ports, interval)
    });
    let step = |step: &Step| {
        let timeout = given.1.filter(|_| step.minutes > 1).unwrap_or(Duration::from_mins(step.minutes));
        let own = recipe.progress.filter(|_| step.minutes > 1).map(|log| Progress {
            log: log.to_owned(),
            extend: EXTEND,
            at_most: timeout.saturating_mul(3),
        });
        let stage = stage(recipe, (step.name, step.require), step.checks, ports, interval);
        Stage { timeout: Some(timeout), progress: given.0.clone().or(own), ..stage }
    };
    let stages = recipe.stages.iter().map(step).collect();
    Some(HealthSpec { stages, liveness: Some(live), recipe: Some(recipe.name) })
}

/// `ports`: where the server may listen; one that shows a sign is enough.
fn stage(
    recipe: &Recipe,
    (name, require): (&str, Require),
    signs: &[Sign],
    ports: &[u16],
    interval: Duration,
) -> Stage {
    let is_single = signs.len() == 1 && ports.len() == 1;
    let check = |(title, probe): (String, ProbeSpec)| Check {
        name: if is_single { name.to_owned() } else { title },
        // A log is followed.
        timeout: if let ProbeSpec::Log { .. } = probe { Duration::from_mins(10) } else { PATIENCE },
        probe,
        interval,
        success_threshold: 1,
        failure_threshold: 3,
        start_period: Duration::ZERO,
        critical: true,
        breaker: None,
    };
    debug_assert!(!signs.is_empty(), "{} has a stage without checks", recipe.name);
    Stage {
        name: name.to_owned(),
        checks: signs.iter().flat_map(|sign| probes(*sign, ports)).map(check).collect(),
        require: if ports.len() == 1 { require } else { Require::Any },
        timeout: None,
        start_period: Duration::ZERO,
        critical: true,
        progress: None,
    }
}

/// What shows a sign at any of these ports, each with its name.
fn probes(sign: Sign, ports: &[u16]) -> Vec<(String, ProbeSpec)> {
    let at = |probe: &dyn Fn(u16) -> (String, ProbeSpec)| ports.iter().map(|port| probe(*port)).collect();
    match sign {
        Running => vec![("running".to_owned(), ProbeSpec::Container(ContainerCondition::Running))],
        Logs(pattern) => vec![("log".to_owned(), ProbeSpec::Log { pattern: pattern.to_owned() })],
        Listens => at(&|port| (format!("tcp {port}"), ProbeSpec::Tcp { host: None, port })),
        Answers(path) => {
            let shown = |port| if ports.len() == 1 { path.to_owned() } else { format!(":{port}{path}") };
            at(&|port| (format!("http {}", shown(port)), ProbeSpec::Http(get(path, port))))
        }
    }
}

fn get(path: &str, port: u16) -> HttpProbe {
    HttpProbe {
        scheme: "http".to_owned(),
        host: None,
        port,
        path: path.to_owned(),
        method: "GET".to_owned(),
        headers: Vec::new(),
        body: None,
        status: vec![(200, 299)],
        body_contains: None,
        json: Vec::new(),
        command: None,
    }
}

/// The port that the service's command or environment gives to the server.
fn moved(recipe: &Recipe, service: &Service) -> Option<u16> {
    let words = || service.entrypoint.iter().chain(&service.command).flatten();
    let of = |name: &&str| -> Option<u16> {
        let value = if name.starts_with('-') {
            let beside =
                words().zip(words().skip(1)).find(|(word, _)| word == name).map(|(_, value)| value.as_str());
            beside.or_else(|| words().find_map(|word| word.strip_prefix(name)?.strip_prefix('=')))
        } else {
            service.environment.get(*name).and_then(|value| value.as_deref())
        };
        value?.rsplit(':').next()?.parse().ok()
    };
    recipe.moved_by.iter().find_map(of)
}

/// Whether an image goes by a name.
fn is_named(image: &str, pattern: &str) -> bool {
    let image = image.split('@').next().unwrap_or_default();
    let (name, tag) = match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        Some(_) | None => (image, ""),
    };
    let (wanted, tag_start) = pattern.split_once(':').unwrap_or((pattern, ""));
    let ends = |name: &str, wanted: &str| {
        name.strip_suffix(wanted).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    };
    let is_it = match wanted.strip_suffix('*') {
        Some(start) => name.starts_with(start) || name.contains(&format!("/{start}")),
        None => ends(name, wanted),
    };
    is_it && tag.starts_with(tag_start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_image(image: &str) -> Option<&'static str> {
        let named = |recipe: &&Recipe| recipe.images.iter().any(|pattern| is_named(image, pattern));
        RECIPES.iter().find(named).map(|recipe| recipe.name)
    }

    #[test]
    fn an_image_is_known_by_its_name_wherever_it_comes_from() {
        for (image, name) in [
            ("vllm/vllm-openai", Some("vllm")),
            ("vllm/vllm-openai:v0.11.0", Some("vllm")),
            ("registry.corp:5000/mirror/vllm/vllm-openai:v0.11.0@sha256:00", Some("vllm")),
            ("ghcr.io/ggml-org/llama.cpp:server-cuda", Some("llama.cpp")),
            ("ghcr.io/ggml-org/llama.cpp:full", None),
            ("ollama/ollama", Some("ollama")),
            ("lmsysorg/sglang:latest", Some("sglang")),
            ("ghcr.io/huggingface/text-generation-inference:3.3.5", Some("tgi")),
            ("ghcr.io/huggingface/text-embeddings-inference:cpu-1.9", Some("tei")),
            ("nvcr.io/nim/meta/llama-3.1-8b-instruct:1.8", Some("nim")),
            ("nvcr.io/nvidia/tritonserver:25.09-py3", Some("triton")),
            ("localai/localai:latest-gpu-nvidia-cuda-12", Some("localai")),
            ("my-vllm/vllm-openai-fork", None),
            ("localhost:5000/nginx", None),
            ("", None),
        ] {
            assert_eq!(by_image(image), name, "{image}");
        }
    }

    #[test]
    fn every_pattern_of_a_recipe_is_one() {
        for recipe in &RECIPES {
            let logs = recipe.stages.iter().flat_map(|step| step.checks).filter_map(|sign| match sign {
                Logs(pattern) => Some(*pattern),
                Running | Listens | Answers(_) => None,
            });
            for pattern in logs.chain(recipe.progress) {
                assert!(regex::Regex::new(pattern).is_ok(), "{}: {pattern}", recipe.name);
            }
            assert!(recipe.stages.iter().all(|step| !step.checks.is_empty() && step.minutes > 0));
            // Any port is enough for a sign: where there are several, no stage can ask for several signs.
            let is_one_sign = recipe.stages.iter().all(|step| step.checks.len() == 1);
            assert!(!recipe.ports.is_empty() && (recipe.ports.len() == 1 || is_one_sign), "{}", recipe.name);
        }
    }

    #[test]
    fn the_words_of_a_model_that_loads_are_progress() {
        let shards = regex::Regex::new(SHARDS).unwrap();
        for (line, value) in [
            (
                "Loading safetensors checkpoint shards:  53% Completed | 46/86 [1:31:04<1:26:49, 130.23s/it]",
                Some("53"),
            ),
            ("Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  42%|####2     | 28/67", Some("42")),
            ("INFO [default_loader.py:267] Loading weights took 1.27 seconds", None),
        ] {
            let found = shards.captures(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(found.get(1).map(|group| group.as_str()), value, "{line}");
        }
        assert!(!shards.is_match("GET /health 200"));
    }
}
