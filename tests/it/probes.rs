//! Every kind of probe against real containers: what passes, what fails and in which words, and what one costs.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    sync::Arc,
    time::{Duration, Instant},
};

use docker_orch::{
    engine::{Engine, NetworkRequest},
    health::ProbeResult,
    plan::ContainerDetail,
    probe::{Peer, Prober, Target},
    project::{
        Check, ContainerCondition, Healthcheck, HttpProbe, Network, ProbeSpec, Project, Service,
        ServiceNetwork, TestCommand,
    },
};

use crate::support::{
    docker::{Leftovers, engine},
    world::first_container,
};

/// A project of its own on the engine.
struct Ward {
    engine: Arc<dyn Engine>,
    prober: Prober,
    project: Project,
    _leftovers: Leftovers,
}

impl Ward {
    async fn new(name: &str) -> Self {
        let engine = engine().await;
        let name = format!("probes-{name}-{}", std::process::id());
        let network = Network { name: format!("{name}_default"), ..Network::default() };
        let project =
            Project { networks: [("default".to_owned(), network)].into(), name, ..Project::default() };
        let leftovers = Leftovers::of(&project.name);
        let request = NetworkRequest {
            project: &project,
            key: "default",
            network: &project.networks["default"],
            config_hash: "hash".to_owned(),
        };
        engine.create_network(&request).await.unwrap();
        Self { prober: Prober::new(Arc::clone(&engine)), engine, project, _leftovers: leftovers }
    }

    /// Starts a container; probes of it find no other services.
    async fn start(&self, service: &Service) -> Target {
        let request = first_container(&self.project, service);
        let id = self.engine.create_container(&request).await.unwrap();
        self.engine.start(&id).await.unwrap();
        Target { detail: Arc::new(self.detail(&id).await), peers: Arc::default() }
    }

    async fn detail(&self, id: &str) -> ContainerDetail {
        self.engine.inspect(id).await.unwrap().unwrap()
    }

    async fn probe(&self, target: &Target, probe: ProbeSpec) -> ProbeResult {
        self.prober.probe(&check(probe), target).await
    }

    /// Asks until it passes: a process is not there at once.
    async fn passes(&self, target: &Target, probe: ProbeSpec) -> ProbeResult {
        let began = Instant::now();
        loop {
            let result = self.probe(target, probe.clone()).await;
            if result.passed || began.elapsed() > Duration::from_secs(20) {
                assert!(result.passed, "{probe:?}: {}", result.detail);
                return result;
            }
        }
    }

    /// Asks once; it must fail.
    async fn fails(&self, target: &Target, probe: ProbeSpec) -> String {
        let result = self.probe(target, probe.clone()).await;
        assert!(!result.passed, "{probe:?}: {}", result.detail);
        result.detail
    }
}

/// A check with a short time limit.
fn check(probe: ProbeSpec) -> Check {
    Check {
        name: "check".to_owned(),
        probe,
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(2),
        success_threshold: 1,
        failure_threshold: 1,
        start_period: Duration::ZERO,
        critical: true,
        breaker: None,
    }
}

fn service(name: &str, flags: &[&str]) -> Service {
    Service {
        name: name.to_owned(),
        image: Some("docker-orch-example:latest".to_owned()),
        command: Some(flags.iter().map(|flag| (*flag).to_owned()).collect()),
        networks: [("default".to_owned(), None::<ServiceNetwork>)].into(),
        ..Service::default()
    }
}

fn in_mode(mode: &str, name: &str, flags: &[&str]) -> Service {
    Service { network_mode: Some(mode.to_owned()), networks: [].into(), ..service(name, flags) }
}

fn http(host: Option<&str>, port: u16, path: &str) -> ProbeSpec {
    ProbeSpec::Http(request(host, port, path))
}

fn request(host: Option<&str>, port: u16, path: &str) -> HttpProbe {
    HttpProbe {
        scheme: "http".to_owned(),
        host: host.map(str::to_owned),
        port,
        path: path.to_owned(),
        method: "GET".to_owned(),
        headers: vec![],
        body: None,
        status: vec![],
        body_contains: None,
        json: vec![],
        command: None,
    }
}

fn tcp(host: Option<&str>, port: u16) -> ProbeSpec {
    ProbeSpec::Tcp { host: host.map(str::to_owned), port }
}

fn grpc(port: u16, service: &str) -> ProbeSpec {
    ProbeSpec::Grpc { host: None, port, service: service.to_owned() }
}

fn exec(words: &[&str]) -> ProbeSpec {
    ProbeSpec::Exec { command: words.iter().map(|word| (*word).to_owned()).collect() }
}

fn log(pattern: &str) -> ProbeSpec {
    ProbeSpec::Log { pattern: pattern.to_owned() }
}

#[tokio::test]
async fn a_server_is_reached_by_its_address_and_from_inside() {
    let ward = Ward::new("server").await;
    let web =
        ward.start(&service("web", &["--port", "8080", "--tcp", "5432", "--stage", "models=never"])).await;
    let health = ward.passes(&web, http(None, 8080, "/health/startup")).await;
    assert_eq!(health.detail, "200 OK");
    ward.passes(&web, http(Some("localhost"), 8080, "/health/startup")).await;
    assert!(ward.fails(&web, http(None, 8080, "/health/models")).await.starts_with("503"));
    assert_eq!(ward.fails(&web, tcp(None, 9)).await, "connection refused");
    assert_eq!(ward.fails(&web, http(None, 9, "/")).await, "connection refused");

    let inner = ward.start(&service("inner", &["--bind", "127.0.0.1", "--port", "8081"])).await;
    ward.passes(&inner, http(None, 8081, "/health")).await;
    ward.passes(&inner, tcp(None, 8081)).await;

    // Another service, by its name.
    let peers = BTreeMap::from([
        ("web".to_owned(), Peer { ready: true, stages: vec!["port".to_owned()], ..Peer::of([&*web.detail]) }),
        ("db".to_owned(), Peer::default()),
    ]);
    let inner = Target { peers: Arc::new(peers), ..inner };
    ward.passes(&inner, http(Some("web"), 8080, "/health/startup")).await;
    assert_eq!(ward.fails(&inner, tcp(Some("web"), 9)).await, "connection refused");
    assert_eq!(ward.fails(&inner, tcp(Some("db"), 5432)).await, "service db has no address yet");
    let stage = |stage: &str| ProbeSpec::Service { name: "web".to_owned(), stage: Some(stage.to_owned()) };
    assert_eq!(ward.passes(&inner, stage("port")).await.detail, "web has passed port");
    assert_eq!(ward.fails(&inner, stage("models")).await, "web has not passed models");
}

/// Threads of this program in the network of a container.
fn threads_in(target: &Target) -> Vec<String> {
    let network = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net")).ok();
    let wanted = network(&target.detail.pid.to_string()).expect("a process that is seen");
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let ids = threads.map(|thread| thread.file_name().to_string_lossy().into_owned());
    ids.filter(|id| network(&format!("self/task/{id}")).as_ref() == Some(&wanted)).collect()
}

#[tokio::test]
async fn one_thread_in_a_network_serves_all_its_probes() {
    let ward = Ward::new("thread").await;
    let (mut targets, own) =
        (Vec::new(), |port: &str| ["--bind", "127.0.0.1", "--port", port].map(str::to_owned));
    // Were one probed in the network of the other, nobody would listen at its port.
    for (name, port) in [("one", 8081), ("two", 8082)] {
        let flags = own(&port.to_string());
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let target = ward.start(&service(name, &flags)).await;
        ward.passes(&target, http(None, port, "/health")).await;
        targets.push((target, port));
    }
    let threads: Vec<Vec<String>> = targets.iter().map(|(target, _)| threads_in(target)).collect();
    assert!(threads.iter().all(|of| of.len() == 1) && threads[0] != threads[1], "{threads:?}");
    for _ in 0..20 {
        let probes = targets.iter().flat_map(|(target, port)| {
            let specs = [http(None, *port, "/health"), tcp(None, *port), tcp(None, 8080)];
            specs.map(|spec| ward.probe(target, spec))
        });
        let results = futures::future::join_all(probes).await;
        let passed: Vec<bool> = results.iter().map(|result| result.passed).collect();
        assert_eq!(passed, [true, true, false, true, true, false], "{results:?}");
    }
    let after: Vec<Vec<String>> = targets.iter().map(|(target, _)| threads_in(target)).collect();
    assert_eq!(after, threads);
    // Nobody asks any more: it goes, and another comes when somebody does.
    let limit = Instant::now() + Duration::from_secs(10);
    while targets.iter().any(|(target, _)| !threads_in(target).is_empty()) && Instant::now() < limit {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (target, port) in &targets {
        assert_eq!(threads_in(target), Vec::<String>::new());
        ward.passes(target, tcp(None, *port)).await;
        assert_eq!(threads_in(target).len(), 1);
    }
}

#[tokio::test]
async fn a_container_that_was_restarted_is_probed_in_its_new_network() {
    let ward = Ward::new("again").await;
    let first = ward.start(&service("web", &["--bind", "127.0.0.1", "--port", "8081"])).await;
    ward.passes(&first, http(None, 8081, "/health")).await;
    for _ in 0..2 {
        ward.engine.stop(&first.detail.id, Some(Duration::ZERO)).await.unwrap();
        assert!(!ward.fails(&first, http(None, 8081, "/health")).await.is_empty());
        ward.engine.start(&first.detail.id).await.unwrap();
        let again = Target { detail: Arc::new(ward.detail(&first.detail.id).await), ..first.clone() };
        assert_ne!(again.detail.pid, first.detail.pid);
        ward.passes(&again, http(None, 8081, "/health")).await;
        // What is known of its first life is of no use.
        assert!(!ward.fails(&first, http(None, 8081, "/health")).await.is_empty());
    }
}

#[tokio::test]
async fn what_a_server_answers_is_compared_with_what_is_expected() {
    let ward = Ward::new("answers").await;
    let web = ward.start(&service("web", &["--port", "8080", "--ready-after", "never"])).await;
    let asked = |status: &[(u16, u16)], contains: Option<&str>, json: &[(&str, serde_json::Value)]| {
        ProbeSpec::Http(HttpProbe {
            status: status.to_vec(),
            body_contains: contains.map(str::to_owned),
            json: json.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect(),
            ..request(None, 8080, "/health")
        })
    };
    ward.passes(&web, asked(&[(500, 599)], Some("unhealthy"), &[("status", "unhealthy".into())])).await;
    let said = ward.fails(&web, asked(&[(200, 200), (300, 399)], None, &[])).await;
    assert_eq!(said, "503 Service Unavailable, not 200, 300-399");
    let said = ward.fails(&web, asked(&[(503, 503)], Some("fine"), &[])).await;
    assert_eq!(said, "503 Service Unavailable, but its body does not contain `fine`");
    let said = ward.fails(&web, asked(&[(503, 503)], None, &[("status", "healthy".into())])).await;
    assert_eq!(said, "503 Service Unavailable, but status is \"unhealthy\", not \"healthy\"");
    let said = ward.fails(&web, asked(&[(503, 503)], None, &[("checks.gpu", true.into())])).await;
    assert_eq!(said, "503 Service Unavailable, but its body has no checks.gpu");
}

#[tokio::test]
async fn a_server_without_a_network_or_with_the_hosts_is_reached() {
    let ward = Ward::new("modes").await;
    let alone = ward.start(&in_mode("none", "alone", &["--port", "8080"])).await;
    ward.passes(&alone, http(None, 8080, "/health")).await;
    assert_eq!(ward.fails(&alone, tcp(None, 9)).await, "connection refused");

    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let host = ward.start(&in_mode("host", "host", &["--port", &port.to_string()])).await;
    ward.passes(&host, http(None, port, "/health")).await;
    ward.passes(&host, tcp(Some("localhost"), port)).await;
    let peers = Arc::new(BTreeMap::from([("host".to_owned(), Peer::of([&*host.detail]))]));
    ward.passes(&Target { peers, ..alone }, tcp(Some("host"), port)).await;
}

#[tokio::test]
async fn the_grpc_health_service_is_asked() {
    let ward = Ward::new("grpc").await;
    let flags = ["--name", "shop.Cart", "--port", "8080", "--tcp", "5432", "--grpc", "50051"];
    let web = ward.start(&service("web", &flags)).await;
    assert_eq!(ward.passes(&web, grpc(50051, "")).await.detail, "SERVING");
    assert_eq!(ward.passes(&web, grpc(50051, "shop.Cart")).await.detail, "SERVING");
    assert_eq!(ward.fails(&web, grpc(50051, "shop.Card")).await, "`shop.Card` is not known to it: NOT_FOUND");
    assert_eq!(ward.fails(&web, grpc(9, "")).await, "connection refused");
    // What speaks something else: HTTP/1, nothing that ends, and nothing at all.
    assert!(ward.fails(&web, grpc(8080, "")).await.starts_with("no gRPC server: "));
    assert!(ward.fails(&web, grpc(5432, "")).await.starts_with("no gRPC server: "));
    ward.passes(&web, exec(&["curl", "-X", "POST", "http://localhost:8080/control/hang"])).await;
    assert_eq!(ward.fails(&web, grpc(50051, "")).await, "no answer within 2s");

    // In a namespace that only its own process is in; and not ready.
    let late = ["--bind", "127.0.0.1", "--grpc", "50051", "--ready-after", "never"];
    let late = ward.start(&in_mode("none", "late", &late)).await;
    let limit = Instant::now() + Duration::from_secs(20);
    let mut said = ward.fails(&late, grpc(50051, "")).await;
    while said == "connection refused" && Instant::now() < limit {
        said = ward.fails(&late, grpc(50051, "")).await;
    }
    assert_eq!(said, "the server says NOT_SERVING");
}

#[tokio::test]
async fn a_curl_healthcheck_needs_no_curl() {
    let ward = Ward::new("curl").await;
    let web = ward.start(&service("web", &["--port", "8080"])).await;
    let test = ["CMD", "curl", "-f", "http://localhost:8080/health"].map(str::to_owned);
    let Some(TestCommand { probe: ProbeSpec::Http(probe), .. }) = TestCommand::of(&test) else {
        panic!("a curl command means a request");
    };
    // Were the command run, it would fail: no such program is in the image.
    let missing: Vec<String> = vec!["/usr/bin/curl".to_owned(), "-f".to_owned()];
    ward.fails(&web, ProbeSpec::Exec { command: missing.clone() }).await;
    let probe = ProbeSpec::Http(HttpProbe { command: Some(missing), ..probe });
    assert_eq!(ward.passes(&web, probe).await.detail, "200 OK");
}

#[tokio::test]
async fn commands_logs_and_the_engine_are_asked() {
    let ward = Ward::new("kinds").await;
    let flags = ["--port", "8080", "--log", "model loaded 100%"];
    let healthy = Healthcheck {
        test: Some(["CMD", "true"].map(str::to_owned).to_vec()),
        interval: Some(Duration::from_millis(500).into()),
        ..Healthcheck::default()
    };
    let web = ward.start(&Service { healthcheck: Some(healthy), ..service("web", &flags) }).await;
    assert_eq!(ward.passes(&web, exec(&["echo", "fine"])).await.detail, "exit 0: fine");
    assert!(ward.fails(&web, exec(&["/bin/service", "exit", "3"])).await.starts_with("exit 3"));
    let began = Instant::now();
    assert_eq!(ward.fails(&web, exec(&["sleep", "30"])).await, "no answer within 2s");
    assert!(began.elapsed() < Duration::from_secs(10));

    // The very first line: the engine notes the start of a container only after it.
    assert_eq!(ward.passes(&web, log(r"loaded (\d+)%")).await.detail, "logged: model loaded 100%");
    assert_eq!(ward.fails(&web, log("never said")).await, "no answer within 2s");

    ward.passes(&web, ProbeSpec::Container(ContainerCondition::Running)).await;
    ward.passes(&web, ProbeSpec::Container(ContainerCondition::Healthy)).await;
    assert_eq!(ward.fails(&web, ProbeSpec::Container(ContainerCondition::Exited)).await, "running");

    let job = ward.start(&service("job", &["--oneshot", "--log", "done"])).await;
    ward.passes(&job, ProbeSpec::Container(ContainerCondition::Exited)).await;
    assert_eq!(
        ward.fails(&job, ProbeSpec::Container(ContainerCondition::Running)).await,
        "exited with code 0"
    );
    assert_eq!(ward.fails(&job, log("never said")).await, "the log ended without a line that matches");
    assert!(!ward.fails(&job, http(None, 8080, "/")).await.is_empty());
}

/// Prints what one probe of each kind costs: `cargo test -- probes::costs --nocapture`.
#[tokio::test]
async fn costs_stay_small() {
    let ward = Ward::new("costs").await;
    let web = ward.start(&service("web", &["--port", "8080", "--grpc", "50051", "--log", "hello"])).await;
    let wait = http(None, 8080, "/health");
    ward.passes(&web, wait.clone()).await;
    for (name, probe) in [
        ("http, address", wait),
        ("http, inside", http(Some("localhost"), 8080, "/health")),
        ("tcp, address", tcp(None, 8080)),
        ("tcp, inside", tcp(Some("localhost"), 8080)),
        ("tcp, refused", tcp(None, 9)),
        ("grpc", grpc(50051, "")),
        ("exec", exec(&["true"])),
        ("log", log("hello")),
        ("container", ProbeSpec::Container(ContainerCondition::Running)),
    ] {
        let mut took = Vec::new();
        for _ in 0..50 {
            took.push(ward.probe(&web, probe.clone()).await.took);
        }
        took.sort_unstable();
        println!("{name:<14} {:>8.2?} median, {:>8.2?} at most", took[25], took[49]);
        // A probe that waits for a timeout somewhere on its way would be far above this.
        assert!(took[25] < Duration::from_millis(900), "{name}: {:?}", took[25]);
    }
}
