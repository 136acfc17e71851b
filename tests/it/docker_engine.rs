//! Truths about a real Docker Engine: the one that `DOCKER_HOST` and the current context name.
//!
//! Everything runs the examples' own service image, so nothing is pulled.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use docker_orch::{
    engine::{
        BuildRequest, ContainerRequest, Engine, EngineAction, EngineErrorKind, EngineEvent, ExecRequest,
        LogOptions, NetworkRequest, Scope, VolumeRequest,
        docker::{ConnectOptions, DockerEngine, file_uploads},
    },
    plan::{ContainerState, EngineHealth},
    project::{
        Build, FileObject, FileReference, Healthcheck, Network, Project, Sensitive, Service, ServiceMount,
        ServiceNetwork, Volume,
    },
};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};

use crate::support::world::first_container;

const IMAGE: &str = "docker-orch-example:latest";

/// An engine and a project of its own on it, removed with everything it made at the end.
struct Bench {
    engine: DockerEngine,
    project: Project,
}

impl Bench {
    async fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let environment: BTreeMap<String, String> = std::env::vars().collect();
        let home = environment.get("HOME").cloned().unwrap_or_default();
        let config_dir =
            environment.get("DOCKER_CONFIG").map_or_else(|| Path::new(&home).join(".docker"), PathBuf::from);
        let options = ConnectOptions { config_dir, environment, ..ConnectOptions::default() };
        let engine = DockerEngine::connect(&options).await.expect("these tests need a Docker Engine");
        if engine.image(IMAGE, None).await.expect("an answer").is_none() {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/compose-examples/service/build.sh");
            let built = Command::new(script).arg("--image").status().expect("the script runs");
            assert!(built.success(), "the example image is needed");
        }
        let name = format!("it-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let network =
            |key: &str| (key.to_owned(), Network { name: format!("{name}_{key}"), ..Network::default() });
        let project = Project {
            working_dir: std::env::temp_dir(),
            networks: [network("default"), network("back")].into(),
            name,
            ..Project::default()
        };
        Self { engine, project }
    }

    /// Removes everything that carries the project's label.
    async fn close(self) {
        let scope = Scope { project: self.project.name.clone(), ..Scope::default() };
        let left = self.engine.observe(&scope).await.expect("a list");
        for container in left.containers {
            self.engine.remove(&container.id, true).await.expect("removed");
        }
        for name in left.networks.keys() {
            self.engine.remove_network(name).await.expect("removed");
        }
        for name in left.volumes.keys() {
            self.engine.remove_volume(name).await.expect("removed");
        }
        let left = self.engine.observe(&scope).await.expect("a list");
        assert!(
            left.containers.is_empty() && left.networks.is_empty() && left.volumes.is_empty(),
            "{left:?}"
        );
    }

    async fn network(&self, key: &str) -> String {
        let request = NetworkRequest {
            project: &self.project,
            key,
            network: &self.project.networks[key],
            config_hash: "hash".to_owned(),
        };
        self.engine.create_network(&request).await.expect("a network")
    }

    fn request<'a>(&'a self, service: &'a Service) -> ContainerRequest<'a> {
        first_container(&self.project, service)
    }

    async fn create(&self, service: &Service) -> String {
        self.engine.create_container(&self.request(service)).await.expect("a container")
    }

    async fn start(&self, service: &Service) -> String {
        let id = self.create(service).await;
        self.engine.start(&id).await.expect("started");
        id
    }

    async fn lines(&self, container: &str, options: LogOptions) -> Vec<String> {
        let lines = self.engine.logs(container, &options);
        let lines: Vec<_> = lines.try_collect().await.expect("a log");
        lines.into_iter().map(|line| line.text).collect()
    }
}

/// A service without a network that runs the example image with these flags.
fn service(name: &str, flags: &[&str]) -> Service {
    Service {
        name: name.to_owned(),
        image: Some(IMAGE.to_owned()),
        command: Some(flags.iter().map(|f| (*f).to_owned()).collect()),
        network_mode: Some("none".to_owned()),
        ..Service::default()
    }
}

/// The first event of this action, within a time that only a lost event exceeds.
async fn wait_for(
    events: &mut BoxStream<'static, Result<EngineEvent, docker_orch::engine::EngineError>>,
    wanted: &EngineAction,
) -> EngineEvent {
    let find = async {
        loop {
            let event = events.next().await.expect("the stream goes on").expect("an event");
            if event.action == *wanted {
                return event;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), find).await.unwrap_or_else(|_| panic!("no {wanted:?}"))
}

#[tokio::test]
async fn a_container_lives_from_create_to_remove() {
    let bench = Bench::new().await;
    let engine = &bench.engine;
    let mut events = engine.events(&bench.project.name).await.expect("events");
    let mut service = service("web", &["--port", "80", "--term-code", "7"]);
    service.healthcheck = Some(Healthcheck {
        test: Some(["CMD", "probe", "http://localhost:80/health"].map(str::to_owned).to_vec()),
        interval: Some(Duration::from_millis(200).into()),
        ..Healthcheck::default()
    });
    let id = bench.create(&service).await;
    let created = engine.inspect(&id).await.expect("an answer").expect("a container");
    assert_eq!(
        (created.state, created.name),
        (ContainerState::Created, format!("{}-web-1", bench.project.name))
    );
    engine.start(&id).await.expect("started");
    engine.start(&id).await.expect("a second start is fine");
    assert_eq!(
        wait_for(&mut events, &EngineAction::Created).await.container,
        id,
        "created before the first poll"
    );
    wait_for(&mut events, &EngineAction::Started).await;
    let healthy = wait_for(&mut events, &EngineAction::Health(EngineHealth::Healthy)).await;
    assert_eq!(healthy.attributes["com.docker.compose.service"], "web");

    let scope = Scope {
        project: bench.project.name.clone(),
        images: vec![(IMAGE.to_owned(), None), ("no/such:image".to_owned(), None)],
        ..Scope::default()
    };
    let seen = engine.observe(&scope).await.expect("a list");
    let web = &seen.containers[0];
    assert_eq!((web.service(), web.number(), web.is_oneoff()), (Some("web"), 1, false));
    assert_eq!((web.state, web.health), (ContainerState::Running, Some(EngineHealth::Healthy)));
    assert_eq!(seen.images.keys().collect::<Vec<_>>(), [IMAGE]);
    assert_eq!(seen.images[IMAGE].id, web.image_id);

    engine.stop(&id, Some(Duration::from_secs(5))).await.expect("stopped");
    engine.stop(&id, None).await.expect("a second stop is fine");
    engine.kill(&id, "SIGKILL").await.expect("killing what does not run is fine");
    assert_eq!(wait_for(&mut events, &EngineAction::Died { code: 7 }).await.container, id);
    let seen = engine.observe(&scope).await.expect("a list");
    assert_eq!((seen.containers[0].state, seen.containers[0].exit_code), (ContainerState::Exited, Some(7)));

    let kept = format!("{}-old", bench.project.name);
    engine.rename(&id, &kept).await.expect("renamed");
    assert!(engine.inspect(&kept).await.expect("an answer").is_some());
    engine.remove(&id, false).await.expect("removed");
    engine.remove(&id, false).await.expect("a second removal is fine");
    wait_for(&mut events, &EngineAction::Removed).await;
    assert_eq!(engine.inspect(&id).await.expect("an answer"), None);
    bench.close().await;
}

#[tokio::test]
async fn a_name_that_is_taken_is_a_conflict_and_a_missing_image_is_not_found() {
    let bench = Bench::new().await;
    let mut service = service("web", &[]);
    bench.create(&service).await;
    let error = bench.engine.create_container(&bench.request(&service)).await.expect_err("the name is taken");
    assert_eq!(error.kind, EngineErrorKind::Conflict, "{error}");
    service.name = "other".to_owned();
    service.image = Some("no/such:image".to_owned());
    let error = bench.engine.create_container(&bench.request(&service)).await.expect_err("no image");
    assert_eq!(error.kind, EngineErrorKind::NotFound, "{error}");
    let error = bench.engine.stop("no-such-container", None).await.expect_err("no container");
    assert_eq!(error.kind, EngineErrorKind::NotFound, "{error}");
    bench.close().await;
}

#[tokio::test]
async fn a_container_stands_on_all_its_networks() {
    let bench = Bench::new().await;
    let (default, back) = (bench.network("default").await, bench.network("back").await);
    let again = NetworkRequest {
        project: &bench.project,
        key: "back",
        network: &bench.project.networks["back"],
        config_hash: "hash".to_owned(),
    };
    let error = bench.engine.create_network(&again).await.expect_err("the name is taken");
    assert_eq!(error.kind, EngineErrorKind::Conflict, "{error}");

    let mut service = service("web", &["--port", "80"]);
    service.network_mode = None;
    let aliases = ServiceNetwork { aliases: vec!["api".to_owned()], ..ServiceNetwork::default() };
    service.networks = [("default".to_owned(), None), ("back".to_owned(), Some(aliases))].into();
    let id = bench.start(&service).await;
    let detail = bench.engine.inspect(&id).await.expect("an answer").expect("a container");
    let ids: Vec<&str> = detail.networks.values().map(|e| e.network_id.as_str()).collect();
    assert_eq!(ids, [&back, &default]);
    assert!(detail.networks.values().all(|e| !e.ip_address.is_empty()), "{:?}", detail.networks);
    let name = &bench.project.networks["back"].name;
    let told = detail.raw["NetworkSettings"]["Networks"][name]["Aliases"].to_string();
    assert!(told.contains("\"web\"") && told.contains("\"api\""), "{told}");

    let error = bench.engine.remove_network(name).await.expect_err("it is in use");
    assert_eq!(error.kind, EngineErrorKind::Conflict, "{error}");
    bench.engine.disconnect_network(name, &id).await.expect("disconnected");
    bench.engine.connect_network(name, &bench.request(&service), &id, "back").await.expect("connected");
    let detail = bench.engine.inspect(&id).await.expect("an answer").expect("a container");
    let told = detail.raw["NetworkSettings"]["Networks"][name]["Aliases"].to_string();
    assert!(told.contains("\"api\""), "aliases come back: {told}");
    bench.close().await;
}

#[tokio::test]
async fn values_are_written_and_volumes_are_mounted() {
    let mut bench = Bench::new().await;
    let name = &bench.project.name;
    let volume = Volume { name: format!("{name}_data"), ..Volume::default() };
    bench.project.volumes.insert("data".to_owned(), volume);
    let token = FileObject { captured: Some(Sensitive::new("hush".to_owned())), ..FileObject::default() };
    bench.project.secrets.insert("token".to_owned(), token);
    let request = VolumeRequest {
        project: &bench.project,
        key: "data",
        volume: &bench.project.volumes["data"],
        config_hash: "hash".to_owned(),
    };
    bench.engine.create_volume(&request).await.expect("a volume");
    bench.engine.create_volume(&request).await.expect("a second creation is fine");

    let mut service =
        service("job", &["--oneshot", "--expect", "/run/secrets/token=hush", "--write", "/data/x=1"]);
    service.secrets = vec![FileReference { source: Some("token".to_owned()), ..FileReference::default() }];
    service.volumes = vec![ServiceMount {
        r#type: "volume".to_owned(),
        source: Some("data".to_owned()),
        target: Some("/data".to_owned()),
        ..ServiceMount::default()
    }];
    let mut events = bench.engine.events(&bench.project.name).await.expect("events");
    let id = bench.create(&service).await;
    let uploads = file_uploads(&bench.project, &service).expect("uploads");
    bench.engine.upload(&id, &uploads).await.expect("written");
    bench.engine.start(&id).await.expect("started");
    wait_for(&mut events, &EngineAction::Died { code: 0 }).await;

    service.name = "reader".to_owned();
    service.secrets.clear();
    service.command = Some(["--oneshot", "--expect", "/data/x=1"].map(str::to_owned).to_vec());
    bench.start(&service).await;
    let ended = wait_for(&mut events, &EngineAction::Died { code: 0 }).await;
    assert_eq!(ended.attributes["com.docker.compose.service"], "reader");
    bench.close().await;
}

#[tokio::test]
async fn logs_come_in_whole_lines() {
    let bench = Bench::new().await;
    let long = "x".repeat(40_000);
    let service = service("talk", &["--log", "one", "--log", &long, "--log", "three", "--oneshot"]);
    let mut events = bench.engine.events(&bench.project.name).await.expect("events");
    let id = bench.start(&service).await;
    wait_for(&mut events, &EngineAction::Died { code: 0 }).await;
    let all = bench.lines(&id, LogOptions::default()).await;
    assert!(
        all.iter().any(|l| l.ends_with("one")) && all.iter().any(|l| l.ends_with(&long)),
        "{} lines",
        all.len()
    );
    let stamped = LogOptions { timestamps: true, ..LogOptions::default() };
    let stamped: Vec<_> = bench.engine.logs(&id, &stamped).try_collect().await.expect("a log");
    assert_eq!(stamped.iter().map(|l| l.text.clone()).collect::<Vec<_>>(), all);
    let moment = stamped[1].timestamp.clone().expect("a time");
    let since = LogOptions { since: Some(moment), ..LogOptions::default() };
    assert_eq!(bench.lines(&id, since).await, all[1..], "since is exact");
    let tail = LogOptions { tail: Some(1), follow: true, ..LogOptions::default() };
    assert_eq!(bench.lines(&id, tail).await, all[all.len() - 1..], "following ends with the container");
    let mut terminal = self::service("terminal", &["--log", "one", "--log", "two", "--oneshot"]);
    terminal.tty = true;
    let id = bench.start(&terminal).await;
    wait_for(&mut events, &EngineAction::Died { code: 0 }).await;
    let lines = bench.lines(&id, LogOptions::default()).await;
    assert_eq!(lines[1..3], ["one", "two"]);
    let missing =
        bench.engine.logs("no-such-container", &LogOptions::default()).next().await.expect("an item");
    assert_eq!(missing.expect_err("no container").kind, EngineErrorKind::NotFound);
    bench.close().await;
}

#[tokio::test]
async fn commands_give_their_code_and_output() {
    let bench = Bench::new().await;
    let id = bench.start(&service("web", &["--port", "80"])).await;
    let exec = async |words: &[&str], timeout: Option<Duration>| {
        let request = ExecRequest {
            command: words.iter().map(|w| (*w).to_owned()).collect(),
            environment: vec!["GREETING=hello".to_owned()],
            timeout,
            ..ExecRequest::default()
        };
        bench.engine.exec(&id, &request).await
    };
    let said = exec(&["sh", "-c", "echo $GREETING && exit 3"], None).await.expect("an answer");
    assert_eq!((said.code, said.output.trim()), (3, "hello"));
    assert_eq!(exec(&["true"], None).await.expect("an answer").code, 0);
    let slow = exec(&["sleep", "60"], Some(Duration::from_millis(300))).await.expect_err("too slow");
    assert_eq!(slow.kind, EngineErrorKind::TimedOut);
    bench.engine.kill(&id, "SIGKILL").await.expect("killed");
    let error = exec(&["true"], None).await.expect_err("it does not run");
    assert_eq!(error.kind, EngineErrorKind::Conflict, "{error}");
    bench.close().await;
}

#[tokio::test]
async fn an_image_is_built_and_a_failed_build_says_why() {
    let bench = Bench::new().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("file"), "content").expect("a file");
    let build = |dockerfile: &str| Build {
        context: Some(folder.path().display().to_string()),
        dockerfile_inline: Some(dockerfile.to_owned()),
        args: [("TEXT".to_owned(), Some("built".to_owned()))].into(),
        ..Build::default()
    };
    let request = |build| BuildRequest {
        project: &bench.project,
        service: "web",
        build,
        image: format!("{}-web", bench.project.name),
        platform: None,
        no_cache: false,
        pull: false,
    };
    let good = build("FROM scratch\nARG TEXT\nCOPY file /file\nLABEL text=$TEXT\nVOLUME /data\n");
    let said = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = said.clone();
    let count: docker_orch::engine::ProgressFn = std::sync::Arc::new(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let wanted = request(&good);
    bench.engine.build(&wanted, count.clone()).await.expect("built");
    assert!(said.load(Ordering::Relaxed) > 0, "progress is reported");
    let image = bench.engine.image(&wanted.image, None).await.expect("an answer").expect("an image");
    assert_eq!(image.volumes, ["/data"]);
    assert!(image.tagged.is_some());
    let other = bench.engine.image(&wanted.image, Some("windows/amd64")).await.expect("an answer");
    assert_eq!(other, None, "another platform counts as absent");
    let bad = build("FROM scratch\nCOPY nothing /\n");
    let error = bench.engine.build(&request(&bad), count).await.expect_err("no such file");
    assert!(error.message.contains("nothing"), "{error}");
    let removed = Command::new("docker").args(["image", "rm", &wanted.image]).output().expect("docker runs");
    assert!(removed.status.success());
    bench.close().await;
}

#[tokio::test]
async fn a_pull_that_is_refused_says_so() {
    let bench = Bench::new().await;
    let pull = bench.engine.pull("localhost:1/no/such", None, std::sync::Arc::new(|_| {}));
    let error = pull.await.expect_err("nobody listens there");
    assert!(error.message.contains("localhost:1") || error.message.contains("127.0.0.1:1"), "{error}");
    bench.close().await;
}
