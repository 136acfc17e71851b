//! What stands in a plan's way, from what is known around it; and the look around itself, on the simulated engine.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::future::BoxFuture;

use docker_orch::{
    diagnostic::{Diagnostic, Severity},
    engine::sim::{Effect, Fault, Script, SimEngine, SimImage, Verb},
    engine::{Engine, EngineErrorKind},
    event::EventKind,
    machine::Machine,
    plan::{
        Container, ContainerState, EngineFacts, Home, ImageInfo, MachineFacts, NetworkDefinition, Observed,
        ObservedNetwork, Process, PublishedPort, Questions, Socket, Space, Surroundings, UpOptions, draft,
        held, preflight, questions,
    },
    project::Project,
    run::{Intended, RunError, look},
};

use crate::support::lab::{Asked, project, up_as, up_of};

/// Images that the engine has.
fn with_images(project: &Project, mut observed: Observed) -> Observed {
    let image =
        ImageInfo { id: "sha256:1".to_owned(), platform: "linux/amd64".to_owned(), ..ImageInfo::default() };
    for service in project.services.values().filter(|s| s.build.is_none()) {
        observed.images.entry(project.image_name(service)).or_insert_with(|| image.clone());
    }
    observed
}

/// A diagnostic in one line: `error[code] 4:5 message | help`.
fn line(project: &Project, found: &Diagnostic) -> String {
    let severity = if found.severity == Severity::Error { "error" } else { "warning" };
    let place = found.labels.first().map(|label| project.sources.line_column(label.span));
    let place = place.map(|(line, column)| format!(" {line}:{column}")).unwrap_or_default();
    format!(
        "{severity}[{}]{place} {} | {}",
        found.code,
        found.message,
        found.help.as_deref().unwrap_or_default()
    )
}

/// What is found for a first start of these services, on an engine that has their images.
fn found(yaml: &str, around: &Surroundings) -> Vec<String> {
    found_with(yaml, around, &UpOptions::default(), Observed::default())
}

fn found_with(yaml: &str, around: &Surroundings, options: &UpOptions, observed: Observed) -> Vec<String> {
    let project = project(yaml);
    let observed = with_images(&project, observed);
    let draft = draft(&project, &observed, options).expect("an order");
    let found = preflight(&project, &observed, (&draft.plan, options), around);
    found.iter().map(|diagnostic| line(&project, diagnostic)).collect()
}

/// A running container of a project that publishes ports: `127.0.0.1:8080/tcp`.
fn container(project: &str, service: &str, ports: &[&str]) -> Container {
    let label = |name: &str, value: &str| (format!("com.docker.compose.{name}"), value.to_owned());
    let port = |text: &&str| {
        let (address, rest) = text.rsplit_once(':').expect("an address");
        let (public, protocol) = rest.split_once('/').unwrap_or((rest, "tcp"));
        PublishedPort {
            ip: address.to_owned(),
            public: public.parse().expect("a port"),
            private: 80,
            protocol: protocol.to_owned(),
        }
    };
    Container {
        id: format!("{project}-{service}"),
        name: format!("{project}-{service}-1"),
        state: ContainerState::Running,
        labels: [label("project", project), label("service", service), label("container-number", "1")].into(),
        ports: ports.iter().map(port).collect(),
        ..Container::default()
    }
}

fn around(containers: Vec<Container>) -> Surroundings {
    Surroundings {
        containers: Some(containers),
        platform: "linux/amd64".to_owned(),
        home: Home::Here,
        ..Surroundings::default()
    }
}

fn socket(address: &str, port: u16, holder: Option<(u32, &str)>) -> Socket {
    let holder = holder.map(|(pid, name)| Process { pid, name: name.to_owned() });
    Socket { protocol: "tcp".to_owned(), address: address.parse().unwrap(), port, holder }
}

const WEB: &str = "services:\n  web:\n    image: web\n    ports:\n      - \"8080:80\"\n";

#[test]
fn a_port_of_another_container_is_an_error_with_its_place_and_its_holder() {
    let found = found(WEB, &around(vec![container("blog", "web", &["0.0.0.0:8080", ":::8080"])]));
    assert_eq!(
        found,
        [
            "error[port-held] 6:9 host port 8080, for service `web`, is held by container `blog-web-1` of project \
          `blog` | stop it with `docker stop blog-web-1`, or publish another host port"
        ]
    );
}

#[test]
fn only_what_cannot_share_a_port_is_in_its_way() {
    for (port, other, is_held) in [
        ("8080:80", "0.0.0.0:8080", true),
        ("8080:80", "127.0.0.1:8080", true),
        ("8080:80", ":::8080", true),
        ("127.0.0.1:8080:80", "0.0.0.0:8080", true),
        ("127.0.0.1:8080:80", "127.0.0.1:8080", true),
        ("127.0.0.1:8080:80", "127.0.0.2:8080", false),
        ("127.0.0.1:8080:80", ":::8080", false),
        ("8080:80", "0.0.0.0:8081", false),
        ("8080:80/udp", "0.0.0.0:8080", false),
        ("8080:80/udp", "0.0.0.0:8080/udp", true),
        ("80", "0.0.0.0:80", false),
        ("8080-8081:80", "0.0.0.0:8080", false),
        ("8080-8081:80-81", "0.0.0.0:8081", true),
        ("[::1]:8080:80", ":::8080", true),
        ("[::1]:8080:80", "0.0.0.0:8080", false),
    ] {
        let yaml = WEB.replace("8080:80", port);
        let found = found(&yaml, &around(vec![container("blog", "web", &[other])]));
        assert_eq!(!found.is_empty(), is_held, "{port} and {other}: {found:?}");
    }
}

#[test]
fn services_that_bind_no_ports_on_the_host_are_in_nobodys_way() {
    let other = || around(vec![container("blog", "web", &["0.0.0.0:8080"])]);
    for (more, networks, is_held) in [
        ("network_mode: host", "", false),
        ("network_mode: none", "", false),
        ("network_mode: bridge", "", true),
        ("networks: [inner]", "networks: {inner: {internal: true}}", false),
        ("networks: [inner, default]", "networks: {inner: {internal: true}}", true),
        ("networks: [lan]", "networks: {lan: {driver: macvlan}}", false),
    ] {
        let found = found(&format!("{WEB}    {more}\n{networks}\n"), &other());
        assert_eq!(!found.is_empty(), is_held, "{more}: {found:?}");
    }
    // One that exists already is as the engine says.
    let inner = ObservedNetwork {
        name: "inner".to_owned(),
        definition: NetworkDefinition { internal: true, ..NetworkDefinition::default() },
        ..ObservedNetwork::default()
    };
    let observed = Observed { networks: [("inner".to_owned(), inner)].into(), ..Observed::default() };
    let yaml = format!("{WEB}    networks: [inner]\nnetworks: {{inner: {{external: true, name: inner}}}}\n");
    assert_eq!(found_with(&yaml, &other(), &UpOptions::default(), observed), [""; 0]);
}

#[test]
fn a_process_of_this_machine_is_named_as_far_as_it_can_be_seen() {
    let mut here = around(Vec::new());
    here.machine.sockets = vec![socket("0.0.0.0", 8080, Some((4711, "nginx")))];
    let words = "host port 8080, for service `web`, is held by process 4711 (`nginx`) | end it with `kill 4711`, \
                 or publish another host port";
    assert_eq!(found(WEB, &here), [format!("error[port-held] 6:9 {words}")]);
    here.machine.sockets = vec![socket("0.0.0.0", 8080, None)];
    assert!(
        found(WEB, &here)[0]
            .contains("is held by a process of this machine | `sudo ss -lnp 'sport = :8080'`")
    );
    // Nobody asked the engine: it may be elsewhere.
    let unasked = Surroundings { home: Home::Unknown, ..here.clone() };
    assert!(found(WEB, &unasked)[0].starts_with("warning[port-held]"));
    let elsewhere = Surroundings { home: Home::Elsewhere, ..here.clone() };
    assert_eq!(found(WEB, &elsewhere), [""; 0]);
    // The engine's own end of a container's port is no stranger, whatever becomes of the container.
    let own =
        Surroundings { containers: Some(vec![container("p", "web", &["0.0.0.0:8080"])]), ..here.clone() };
    assert!(!found(WEB, &own)[0].contains("process"));
    // Without the containers nobody knows.
    assert_eq!(found(WEB, &Surroundings { containers: None, ..here }), [""; 0]);
}

#[test]
fn containers_that_the_plan_stops_or_replaces_do_not_count() {
    let own = container("p", "web", &["0.0.0.0:8080"]);
    let observed = |own: Container| Observed { containers: vec![own], ..Observed::default() };
    let check = |own: &Container, options: &UpOptions| {
        found_with(WEB, &around(vec![own.clone()]), options, observed(own.clone()))
    };
    // It is not as the file says, and is recreated.
    assert_eq!(check(&own, &UpOptions::default()), [""; 0]);
    // A service that is gone from the file keeps its port, unless orphans are removed.
    let gone = container("p", "old", &["0.0.0.0:8080"]);
    let found = check(&gone, &UpOptions::default());
    assert!(
        found[0].contains("`p-old-1` of project `p` | its service is not in the files any more"),
        "{found:?}"
    );
    assert_eq!(check(&gone, &UpOptions { remove_orphans: true, ..UpOptions::default() }), [""; 0]);
    // What is only created needs no port yet.
    let stranger = container("blog", "web", &["0.0.0.0:8080"]);
    let options = UpOptions { no_start: true, ..UpOptions::default() };
    assert_eq!(found_with(WEB, &around(vec![stranger]), &options, Observed::default()), [""; 0]);
}

#[test]
fn a_service_that_wants_more_ports_than_there_are_is_told_so() {
    let scaled = |ports: &str| format!("{}    scale: 3\n", WEB.replace("8080:80", ports));
    assert_eq!(
        found(&scaled("8080:80"), &around(Vec::new())),
        [
            "error[port-range] 6:9 service `web` is to have 3 containers, and only one can publish host port 8080 | \
          publish a range such as `8080-8082`, or name no host port"
        ]
    );
    assert_eq!(found(&scaled("8080-8082:80"), &around(Vec::new())), [""; 0]);
    let other = around(vec![container("blog", "web", &["0.0.0.0:8081"])]);
    let found = found(&scaled("8080-8082:80"), &other);
    assert!(
        found[0].contains("of the host ports 8080-8082 too few are free: 8081, for service `web`"),
        "{found:?}"
    );
}

#[test]
fn two_services_with_one_port_are_told_unless_one_has_ended_before() {
    let pair =
        |more: &str| format!("{WEB}  other:\n    image: other\n    ports: [\"127.0.0.1:8080:1\"]\n{more}");
    let found_in = |more: &str| found(&pair(more), &around(Vec::new()));
    assert_eq!(
        found_in(""),
        [
            "error[port-twice] 6:9 services `other` and `web` both publish host port 8080 | publish another host port \
          for one of them"
        ]
    );
    let waits = "    depends_on: {web: {condition: service_completed_successfully}}\n";
    assert_eq!(found_in(waits), [""; 0]);
    let third =
        "  then:\n    image: then\n    depends_on: {other: {condition: service_completed_successfully}}\n";
    assert!(found_in(third)[0].starts_with("warning[port-twice]"), "{:?}", found_in(third));
}

#[test]
fn a_name_that_others_have_is_an_error() {
    let yaml = "services:\n  web:\n    image: web\n    container_name: shop\n";
    let other = Container { name: "shop".to_owned(), ..container("blog", "web", &[]) };
    let stopped = Container { state: ContainerState::Exited, ..other.clone() };
    let expected =
        "error[name-held] 5:5 the name `shop`, for a container of service `web`, is held by a container of";
    assert!(found(yaml, &around(vec![stopped]))[0].starts_with(&format!("{expected} project `blog` | ")));
    let nobodys = Container { labels: [].into(), ..other.clone() };
    assert!(found(yaml, &around(vec![nobodys]))[0].starts_with(&format!("{expected} no project | ")));
    // It is recreated: the name goes from the old one to the new one.
    let own = Container { name: "shop".to_owned(), ..container("p", "web", &[]) };
    let observed = Observed { containers: vec![own.clone()], ..Observed::default() };
    assert_eq!(found_with(yaml, &around(vec![own]), &UpOptions::default(), observed), [""; 0]);
}

#[test]
fn what_holds_the_plan_up_is_told_apart_from_what_is_missing() {
    let error = |code| Diagnostic::error(code, "");
    for (codes, expected) in [
        (vec!["port-held", "name-held"], true),
        (vec!["port-held", "no-such-file"], false),
        (vec!["no-device"], false),
        (vec![], false),
    ] {
        let mut found: Vec<Diagnostic> = codes.iter().map(|code| error(code)).collect();
        found.push(Diagnostic::warning("platform", ""));
        assert_eq!(held(&found), expected, "{codes:?}");
    }
}

const THINGS: &str = "services:
  web:
    image: web
    secrets: [token]
    configs: [{source: settings, target: /etc/settings}]
    volumes:
      - {type: bind, source: /srv/data, target: /data, bind: {create_host_path: false}}
      - /srv/made:/made
      - disk:/disk
    devices: [/dev/accel0, vendor.com/class=1]
secrets:
  token: {file: /srv/token}
configs:
  settings: {content: x}
volumes:
  disk: {driver_opts: {type: none, o: bind, device: /srv/disk}}
";

#[test]
fn files_folders_and_devices_that_are_missing_are_each_told_with_their_place() {
    let project = project(THINGS);
    let observed = with_images(&project, Observed::default());
    let plan = draft(&project, &observed, &UpOptions::default()).unwrap().plan;
    let asked = questions(&project, &observed, &plan);
    let paths = ["/dev/accel0", "/srv/data", "/srv/disk", "/srv/token"];
    assert_eq!(asked.paths, paths.map(str::to_owned).into());
    let mut here = around(Vec::new());
    assert_eq!(found(THINGS, &here), [""; 0]);
    here.machine.missing = asked.paths;
    assert_eq!(
        found(THINGS, &here),
        [
            "error[no-such-file] 13:11 the file of secret `token`, /srv/token, does not exist | create it, or correct \
             `file`",
            "error[no-such-file] 8:9 the source of the mount at /data of service `web`, /srv/data, does not exist | \
             create it, or let the engine do so with `bind: {create_host_path: true}`",
            "error[no-such-file] 17:10 the device of volume `disk`, /srv/disk, does not exist | create it, or correct \
             `driver_opts.device`",
            "error[no-device] 11:15 a device of service `web`, /dev/accel0, does not exist | correct `devices`; `ls \
             -l /dev` shows what there is",
        ]
    );
    let unasked = Surroundings { home: Home::Unknown, ..here.clone() };
    assert!(found(THINGS, &unasked).iter().all(|line| line.starts_with("warning")));
    assert_eq!(found(THINGS, &Surroundings { home: Home::Elsewhere, ..here }), [""; 0]);
}

#[test]
fn images_that_nothing_gets_and_builds_from_nothing_are_told() {
    let yaml = "services:\n  web:\n    image: gone\n    pull_policy: never\n";
    let project = project(yaml);
    let plan = draft(&project, &Observed::default(), &UpOptions::default()).unwrap().plan;
    let check = |options: &UpOptions| {
        let found = preflight(&project, &Observed::default(), (&plan, options), &around(Vec::new()));
        found.iter().map(|d| line(&project, d)).collect::<Vec<_>>()
    };
    assert_eq!(
        check(&UpOptions::default()),
        [
            "error[no-image] 5:5 image `gone`, of service `web`, is not on the engine, and `pull_policy: never` forbids \
          to pull it | get it with `docker pull gone`, or change the policy"
        ]
    );
    let asked = UpOptions { pull: Some("never".to_owned()), ..UpOptions::default() };
    assert!(check(&asked)[0].contains("`--pull never` forbids"));
    assert_eq!(check(&UpOptions { offline: true, ..UpOptions::default() }), [""; 0]);

    let built = "services:\n  web:\n    build: {context: /src/web, dockerfile: web.Dockerfile}\n";
    let missing = |paths: &[&str]| {
        let missing = paths.iter().map(|path| (*path).to_owned()).collect();
        let machine = MachineFacts { missing, ..MachineFacts::default() };
        // What is built is here, wherever the engine is.
        found(built, &Surroundings { machine, home: Home::Elsewhere, ..Surroundings::default() })
    };
    let folder = "error[no-such-file] 4:5 the build context of service `web`, /src/web, does not exist | create it, or \
                  correct `build.context`";
    assert_eq!(missing(&["/src/web", "/src/web/web.Dockerfile"]), [folder]);
    let file = missing(&["/src/web/web.Dockerfile"]);
    assert!(
        file[0].contains("the Dockerfile of service `web`, /src/web/web.Dockerfile, does not exist"),
        "{file:?}"
    );
}

#[test]
fn what_does_not_suit_the_engine_is_a_warning_unless_it_is_certain_to_fail() {
    let yaml = "services:
  arm: {image: arm, platform: linux/arm64}
  big: {image: big, mem_limit: 64g}
  gpu: {image: gpu, gpus: all}
  sandbox: {image: sandbox, runtime: runsc}
";
    let facts = EngineFacts {
        memory: 16 << 30,
        runtimes: vec!["runc".to_owned()],
        data_root: "/var/lib/docker".to_owned(),
        ..EngineFacts::default()
    };
    let mut here = Surroundings { engine: Some(facts.clone()), ..around(Vec::new()) };
    here.machine.space = Some(Space { free: 300 << 20, total: 100 << 30 });
    let said = found(yaml, &here);
    let begins = [
        "warning[platform] 3:21 service `arm` is for linux/arm64, and the engine runs on linux/amd64",
        "warning[memory-limit] 4:21 service `big` may use 64 GiB of memory, and the engine's machine has 16 GiB",
        "warning[no-gpu-runtime] 5:21 service `gpu` asks for a GPU, and the engine names neither",
        "error[no-runtime] 6:29 the engine has no runtime `runsc`, which service `sandbox` asks for | it has runc",
        "warning[little-space] only 300 MiB are free in /var/lib/docker, where the engine keeps images and volumes",
    ];
    assert_eq!(said.len(), begins.len(), "{said:#?}");
    for (line, begin) in said.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line}");
    }
    let fit =
        EngineFacts { memory: 128 << 30, runtimes: vec!["nvidia".to_owned(), "runsc".to_owned()], ..facts };
    here = Surroundings { engine: Some(fit), platform: "linux/arm64".to_owned(), ..here };
    here.machine.space = Some(Space { free: 50 << 30, total: 100 << 30 });
    let said = found(&yaml.replace("image: big", "image: big, platform: linux/arm/v7"), &here);
    // The images of the others are for amd64.
    assert!(said.iter().all(|line| line.contains("is for linux/amd64")), "{said:#?}");
}

#[test]
fn a_plan_that_starts_nothing_asks_nothing() {
    let project = project(WEB);
    let observed = Observed {
        containers: vec![Container {
            // As `up` left it.
            labels: {
                let mut labels = container("p", "web", &[]).labels;
                let hash = docker_orch::plan::service_hash(&project.services["web"]);
                labels.insert("com.docker.compose.config-hash".to_owned(), hash);
                labels.insert("com.docker.compose.image".to_owned(), "sha256:1".to_owned());
                labels
            },
            image_id: "sha256:1".to_owned(),
            networks: [("p_default".to_owned(), docker_orch::plan::Endpoint::default())].into(),
            ..container("p", "web", &["0.0.0.0:8080"])
        }],
        networks: [(
            "p_default".to_owned(),
            ObservedNetwork {
                name: "p_default".to_owned(),
                labels: [
                    ("com.docker.compose.project".to_owned(), "p".to_owned()),
                    ("com.docker.compose.network".to_owned(), "default".to_owned()),
                ]
                .into(),
                ..ObservedNetwork::default()
            },
        )]
        .into(),
        ..Observed::default()
    };
    let observed = with_images(&project, observed);
    let plan = draft(&project, &observed, &UpOptions::default()).unwrap().plan;
    assert_eq!(plan.steps, [], "nothing is to be done");
    assert_eq!(questions(&project, &observed, &plan), Questions::default());
}

/// A machine on which this listens, until somebody has looked so often.
struct Busy {
    socket: Socket,
    looks: AtomicUsize,
    until: usize,
    home: bool,
    asked: Mutex<Vec<Questions>>,
}

impl Busy {
    fn new(until: usize, home: bool) -> Self {
        let socket = socket("0.0.0.0", 8080, Some((7, "httpd")));
        Self { socket, looks: AtomicUsize::new(0), until, home, asked: Mutex::default() }
    }
}

impl Machine for Busy {
    fn look(&self, questions: &Questions) -> MachineFacts {
        self.asked.lock().unwrap().push(questions.clone());
        let busy = self.looks.fetch_add(1, Ordering::Relaxed) < self.until;
        MachineFacts {
            sockets: busy.then(|| self.socket.clone()).into_iter().collect(),
            ..MachineFacts::default()
        }
    }

    fn ended<'a>(&'a self, _: u32, _: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(false))
    }

    fn is_home_of(&self, engine: &EngineFacts) -> bool {
        self.home && engine.machine == "sim"
    }

    fn space(&self, _: &str) -> Option<Space> {
        None
    }
}

async fn look_around(sim: &SimEngine, machine: &Busy) -> usize {
    let (project, options) = (project(WEB), UpOptions::default());
    let observed = look(sim, &project).await.unwrap();
    let plan = draft(&project, &observed, &options).unwrap().plan;
    let intended = Intended { project: &project, observed: &observed, options: &options, plan: &plan };
    docker_orch::run::preflight(Some(sim as &dyn Engine), Some(machine), intended).await.len()
}

#[tokio::test(start_paused = true)]
async fn a_port_that_is_let_go_at_once_is_no_fault_and_one_of_another_machine_neither() {
    for (until, home, found) in [(usize::MAX, true, 1), (1, true, 0), (usize::MAX, false, 0)] {
        let (sim, machine) = (SimEngine::new(Script::new()), Busy::new(until, home));
        assert_eq!(look_around(&sim, &machine).await, found, "{until} {home}");
        let asked: BTreeSet<bool> = machine.asked.lock().unwrap().iter().map(|q| q.holders).collect();
        assert_eq!(asked, [false, true].into(), "who it is, is asked only where it matters");
    }
}

#[tokio::test(start_paused = true)]
async fn where_all_is_well_one_question_is_asked() {
    let sim = SimEngine::new(Script::new());
    assert_eq!(look_around(&sim, &Busy::new(0, true)).await, 0);
    let verbs: Vec<Verb> = sim.requests().iter().map(|request| request.verb).collect();
    assert_eq!(verbs, [Verb::Observe, Verb::Containers]);
}

#[tokio::test(start_paused = true)]
async fn an_up_that_is_held_up_changes_nothing_and_tells_everything_at_once() {
    let sim = SimEngine::new(Script::new().image("web", SimImage::default()));
    up_of(&sim, WEB).await;
    let before = sim.record();
    // Its service has another name now: the container of the old one still has the port.
    let yaml = "services:
  www:
    image: gone
    pull_policy: never
    ports: ['8080:80']
networks:
  default: {name: theirs, external: true}
";
    let refused = up_as(&sim, yaml, &Asked::default()).await.unwrap();
    let Err(RunError::Plan(found)) = refused else { panic!("it was not refused") };
    let codes: Vec<&str> = found.iter().map(|diagnostic| diagnostic.code).collect();
    assert_eq!(codes, ["missing-external", "port-held", "no-image"]);
    assert_eq!(sim.record(), before);
}

#[tokio::test(start_paused = true)]
async fn an_up_with_nothing_to_do_asks_no_more_than_before() {
    let sim = SimEngine::new(Script::new());
    up_of(&sim, WEB).await;
    let before = sim.requests().len();
    up_of(&sim, WEB).await;
    let asked: Vec<Verb> = sim.requests()[before..].iter().map(|request| request.verb).collect();
    assert!(!asked.contains(&Verb::Containers) && !asked.contains(&Verb::About), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_found_out_holds_nobody_up() {
    let refuses = |verb| Fault::on(verb, Effect::Fail(EngineErrorKind::Failed));
    let sim = SimEngine::new(Script::new().fault(refuses(Verb::Containers)).fault(refuses(Verb::About)));
    let ran = up_of(&sim, &WEB.replace("image: web\n", "image: web\n    gpus: all\n")).await;
    assert!(ran.events.iter().any(|event| matches!(event.kind, EventKind::RunFinished(_))));
    assert!(sim.container("p-web-1").is_some());
}

#[tokio::test(start_paused = true)]
async fn what_may_fail_is_told_before_it_begins() {
    let sim = SimEngine::new(Script::new());
    let ran = up_of(&sim, &WEB.replace("image: web\n", "image: web\n    gpus: all\n")).await;
    let warned = |kind: &EventKind| matches!(kind, EventKind::Warning { message } if message.contains("asks for a GPU"));
    assert!(ran.events.iter().any(|event| warned(&event.kind)), "{:?}", ran.events);
    let asked =
        Asked { options: UpOptions { no_preflight: true, ..UpOptions::default() }, ..Asked::default() };
    let fresh = SimEngine::new(Script::new());
    let ran = up_as(&fresh, WEB, &asked).await.unwrap().unwrap();
    assert!(!ran.events.iter().any(|event| warned(&event.kind)));
    assert!(!fresh.requests().iter().any(|request| request.verb == Verb::Containers));
}
