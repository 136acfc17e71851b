//! What is recreated, why, and what is left alone: on the simulated engine, and beside the real Docker Compose.

use std::collections::{BTreeMap, BTreeSet};

use docker_orch::{
    engine::{
        EngineErrorKind as Kind,
        sim::{Behaviour, Effect, Fault, Script, SimEngine, Verb},
    },
    event::{Aftermath, EventKind, Verdict},
    plan::{Container, ContainerState, ImageInfo, Observed, ObservedNetwork, Recreate, UpOptions},
};

use crate::{
    support::{
        docker::has_compose,
        lab::{Asked, Ran, Shelf, project, up_as},
        stack::Stack,
    },
    up_interop::compose,
};

const fn ms(n: u64) -> std::time::Duration {
    std::time::Duration::from_millis(n)
}

/// An `up` that remembers what it makes.
async fn up(sim: &SimEngine, shelf: &Shelf, yaml: &str) -> Ran {
    up_with(sim, shelf, yaml, UpOptions::default()).await
}

async fn up_with(sim: &SimEngine, shelf: &Shelf, yaml: &str, options: UpOptions) -> Ran {
    let asked = Asked { fingerprints: Some(shelf.clone()), options, ..Asked::default() };
    up_as(sim, yaml, &asked).await.expect("nobody kills it").expect("a beginning")
}

/// Why each container was made, as the events tell it.
fn causes(ran: &Ran) -> Vec<String> {
    let made = ran.events.iter().filter_map(|e| match &e.kind {
        EventKind::StepStarted { action, cause, .. }
            if action.action == docker_orch::event::Verb::CreateContainer =>
        {
            Some(format!("{}: {cause}", action.replica.as_ref().expect("a replica")))
        }
        _ => None,
    });
    made.collect()
}

fn ids(sim: &SimEngine) -> Vec<(String, String)> {
    sim.containers().into_iter().map(|c| (c.name, c.id)).collect()
}

const SECRETS: &str = "
services:
  api:
    image: api
    environment: {LEVEL: debug, TOKEN: hush}
    ports: ['8080:80', '8081:81']
    configs: [app]
  migrate: {image: migrate, configs: [app]}
  web: {image: web, depends_on: {migrate: {condition: service_completed_successfully}}}
configs: {app: {content: one}}
";

fn engine() -> SimEngine {
    SimEngine::new(Script::new().service("migrate", Behaviour::new().exits(0, ms(50))))
}

#[tokio::test(start_paused = true)]
async fn what_changed_is_named() {
    let (sim, shelf) = (engine(), Shelf::default());
    up(&sim, &shelf, SECRETS).await;
    let changed =
        SECRETS.replace("debug", "info").replace("8081:81", "9:81").replace("image: web", "image: web2");
    let plan = causes(&up(&sim, &shelf, &changed).await);
    assert_eq!(plan, ["api-1: environment.LEVEL, ports[1].published changed", "web-1: image changed"]);
    let changed = changed.replace("LEVEL: info, TOKEN: hush", "A: 1, B: 2, C: 3, D: 4");
    let plan = causes(&up(&sim, &shelf, &changed).await);
    assert_eq!(plan, ["api-1: environment.A, environment.B, environment.C and 3 more changed"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_record_a_change_is_seen_and_not_named() {
    let (sim, shelf) = (engine(), Shelf::default());
    up(&sim, &Shelf::default(), SECRETS).await;
    let changed = SECRETS.replace("debug", "info").replace("image: web", "image: web2");
    let plan = causes(&up(&sim, &shelf, &changed).await);
    assert_eq!(
        plan,
        [
            "api-1: its definition changed (in what is not known: it was created elsewhere)",
            "web-1: image changed"
        ]
    );
    // Content was not known, so it has not changed.
    let (sim, shelf) = (engine(), Shelf::default());
    up(&sim, &Shelf::default(), SECRETS).await;
    assert!(causes(&up(&sim, &shelf, &SECRETS.replace("one", "two")).await).is_empty());
}

#[tokio::test(start_paused = true)]
async fn changed_content_replaces_its_containers_and_runs_a_one_shot_again() {
    let (sim, shelf) = (engine(), Shelf::default());
    up(&sim, &shelf, SECRETS).await;
    let before = ids(&sim);
    assert!(causes(&up(&sim, &shelf, SECRETS).await).is_empty());
    assert_eq!(ids(&sim), before);
    let ran = up(&sim, &shelf, &SECRETS.replace("one", "two")).await;
    assert_eq!(ran.ended.finished.verdict, Verdict::Succeeded);
    assert_eq!(
        causes(&ran),
        ["api-1: config app: content changed", "migrate-1: config app: content changed"]
    );
    let starts = sim.requests().iter().filter(|r| r.verb == Verb::Start && r.service == "migrate").count();
    assert_eq!(starts, 2);
    // What is gone is forgotten.
    up(&sim, &shelf, &SECRETS.replace("one", "two")).await;
    assert_eq!(shelf.containers(), ids(&sim).into_iter().map(|(_, id)| id).collect());
}

const DEPENDENT: &str = "
services:
  db: {image: db, volumes: [/scratch]}
  web: {image: web, depends_on: [db]}
";

#[tokio::test(start_paused = true)]
async fn recreation_that_is_asked_for_is_of_the_named_services() {
    let named = |recreate, recreate_dependencies| UpOptions {
        services: vec!["web".to_owned()],
        recreate,
        recreate_dependencies,
        ..UpOptions::default()
    };
    for (options, made) in [
        (named(Recreate::Force, false), vec!["web-1"]),
        (named(Recreate::Diverged, true), vec!["db-1"]),
        (named(Recreate::Force, true), vec!["db-1", "web-1"]),
        (UpOptions { recreate: Recreate::Force, ..UpOptions::default() }, vec!["db-1", "web-1"]),
        (UpOptions { recreate_dependencies: true, ..UpOptions::default() }, vec![]),
        (UpOptions { recreate: Recreate::Never, ..UpOptions::default() }, vec![]),
    ] {
        let (sim, shelf) = (engine(), Shelf::default());
        up(&sim, &shelf, DEPENDENT).await;
        let ran = up_with(&sim, &shelf, DEPENDENT, options.clone()).await;
        let asked: Vec<String> = made.iter().map(|m| format!("{m}: recreation was asked for")).collect();
        assert_eq!(causes(&ran), asked, "{options:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn anonymous_volumes_move_on_unless_fresh_ones_are_asked_for() {
    let (sim, shelf) = (engine(), Shelf::default());
    let volume = |sim: &SimEngine| sim.container("p-db-1").expect("a container").mounts[0].name.clone();
    up(&sim, &shelf, DEPENDENT).await;
    let first = volume(&sim);
    let force = UpOptions { recreate: Recreate::Force, ..UpOptions::default() };
    up_with(&sim, &shelf, DEPENDENT, force.clone()).await;
    assert_eq!(volume(&sim), first);
    up_with(&sim, &shelf, DEPENDENT, UpOptions { renew_anonymous_volumes: true, ..force }).await;
    assert_ne!(volume(&sim), first);
}

pub(crate) const NETWORKED: &str = "
services:
  db: {image: db, networks: {back: {aliases: [store]}}}
  api: {image: api, networks: [back], depends_on: [db]}
  web: {image: web, networks: [front]}
networks:
  back: {labels: {v: '1'}}
  front: {}
";

/// Requests that change something, as `verb subject`, from one on.
pub(crate) fn asked(sim: &SimEngine, from: usize) -> Vec<String> {
    let requests = sim.requests().split_off(from);
    requests.iter().filter(|r| r.verb.changes()).map(|r| format!("{} {}", r.verb, r.subject)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_changed_network_is_replaced_and_what_is_on_it_moves_over() {
    let (sim, shelf) = (engine(), Shelf::default());
    up(&sim, &shelf, NETWORKED).await;
    let (before, from) = (ids(&sim), sim.requests().len());
    let web = sim.container("p-web-1").expect("a container");
    let ran = up(&sim, &shelf, &NETWORKED.replace("v: '1'", "v: '2'")).await;
    assert_eq!(ran.ended.finished.verdict, Verdict::Succeeded);
    assert_eq!(ids(&sim), before);
    assert_eq!(sim.container("p-web-1").expect("a container"), web);
    assert_eq!(
        asked(&sim, from),
        [
            "stop p-api-1",
            "stop p-db-1",
            "remove_network p_back",
            "create_network p_back",
            "reconnect p-db-1",
            "reconnect p-api-1",
            "start p-db-1",
            "start p-api-1",
        ]
    );
    let from = sim.requests().len();
    up(&sim, &shelf, &NETWORKED.replace("v: '1'", "v: '2'")).await;
    assert_eq!(asked(&sim, from), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn when_that_fails_the_old_network_and_all_that_was_on_it_come_back() {
    for changed in ["image: api, networks", "image: api-broken, networks"] {
        let broken = Script::new().running("api-broken", Behaviour::new().never_ready().exits(3, ms(10)));
        let (sim, shelf) = (SimEngine::new(broken), Shelf::default());
        up(&sim, &shelf, NETWORKED).await;
        let before = sim.containers();
        let networks = sim.networks();
        if changed == "image: api, networks" {
            sim.add_fault(Fault::on(Verb::Start, Effect::Fail(Kind::Failed)).nth(2));
        }
        let new = NETWORKED.replace("v: '1'", "v: '2'").replace("image: api, networks", changed);
        let new = new.replace("depends_on: [db]", "depends_on: [db], x-orch: {health_check: {tcp: 1}}");
        let ran = up(&sim, &shelf, &new).await;
        assert_eq!(ran.ended.finished.aftermath, Aftermath::RolledBack, "{}", sim.record());
        assert_eq!(sim.networks(), networks);
        let names = |list: &[docker_orch::plan::Container]| {
            list.iter().map(|c| (c.name.clone(), c.id.clone(), c.state)).collect::<Vec<_>>()
        };
        assert_eq!(names(&sim.containers()), names(&before), "{}", sim.record());
        // What runs is what ran before: the old file finds nothing to do.
        let from = sim.requests().len();
        up(&sim, &shelf, NETWORKED).await;
        assert_eq!(asked(&sim, from), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_container_with_a_mac_address_of_its_own_is_made_anew_for_its_new_network() {
    let (sim, shelf) = (engine(), Shelf::default());
    let yaml =
        NETWORKED.replace("image: db, networks", "image: db, mac_address: '02:00:00:00:00:07', networks");
    up(&sim, &shelf, &yaml).await;
    let ran = up(&sim, &shelf, &yaml.replace("v: '1'", "v: '2'")).await;
    assert_eq!(causes(&ran), ["db-1: network `p_back` changed"]);
}

#[test]
fn what_cannot_go_on_is_refused_before_the_first_change() {
    let project = project(NETWORKED);
    let label = |key: &str, value: &str| (format!("com.docker.compose.{key}"), value.to_owned());
    let network = |labels: Vec<(String, String)>, users| ObservedNetwork {
        id: "n".to_owned(),
        name: "p_back".to_owned(),
        labels: labels.into_iter().collect(),
        users,
        ..ObservedNetwork::default()
    };
    let other = Container {
        id: "x".to_owned(),
        name: "other-db-1".to_owned(),
        labels: [label("project", "other")].into(),
        ..Container::default()
    };
    let paused = Container {
        name: "p-db-1".to_owned(),
        state: ContainerState::Paused,
        labels: [label("project", "p"), label("service", "db")].into(),
        ..Container::default()
    };
    let ours = |hash: &str| vec![label("project", "p"), label("network", "back"), label("config-hash", hash)];
    let with =
        |network| Observed { networks: [("p_back".to_owned(), network)].into(), ..Observed::default() };
    for (observed, words) in [
        (
            with(network(Vec::new(), Vec::new())),
            "there is a network `p_back` already, and it was not made for",
        ),
        (
            with(network(vec![label("project", "p"), label("network", "front")], Vec::new())),
            "there is a network `p_back` already, and it is `front` of this project",
        ),
        (with(network(ours("old"), vec![other])), "cannot be replaced: other-db-1 is on it"),
        (Observed { containers: vec![paused], ..Observed::default() }, "container `p-db-1` is paused"),
    ] {
        let refused = docker_orch::plan::up(&project, &observed, &UpOptions::default()).unwrap_err();
        assert!(refused[0].message.contains(words), "{}", refused[0].message);
    }
    // One that another project calls the same is used as it is.
    let shared = vec![label("project", "other"), label("network", "back"), label("config-hash", "old")];
    let observed = with(network(shared, Vec::new()));
    let plan = docker_orch::plan::up(&project, &observed, &UpOptions::default()).unwrap();
    assert!(plan.warnings[0].contains("belongs to project `other`"), "{:?}", plan.warnings);
}

#[test]
fn an_image_is_refreshed_when_its_policy_finds_it_too_old() {
    let image = |tagged| ImageInfo { id: "sha256:1".to_owned(), tagged, ..ImageInfo::default() };
    let refreshed = |policy: &str, tagged| {
        let project = project(&format!("services: {{web: {{image: web, pull_policy: {policy}}}}}"));
        let observed = Observed { images: [("web".to_owned(), image(tagged))].into(), ..Observed::default() };
        let options = UpOptions { now: 1_000_000, ..UpOptions::default() };
        docker_orch::plan::refresh(&project, &observed, &options).is_some()
    };
    assert!(refreshed("daily", Some(1_000_000 - 86_401)) && !refreshed("daily", Some(1_000_000 - 86_399)));
    assert!(refreshed("weekly", None) && !refreshed("weekly", Some(900_000)));
    assert!(refreshed("every_1h30m", Some(990_000)) && !refreshed("every_3h", Some(990_000)));
    assert!(refreshed("always", Some(1_000_000)) && !refreshed("missing", Some(0)));
}

const DATA: &str = "
services:
  db: {image: db, volumes: ['data:/data']}
  api: {image: api, depends_on: [db]}
  web: {image: web}
volumes: {data: {labels: {v: '1'}}}
";

#[tokio::test(start_paused = true)]
async fn a_changed_volume_is_kept_unless_the_user_says_yes() {
    let (sim, shelf) = (engine(), Shelf::default());
    up(&sim, &shelf, DATA).await;
    let (before, from) = (ids(&sim), sim.requests().len());
    let changed = DATA.replace("v: '1'", "v: '2'");
    let ran = up(&sim, &shelf, &changed).await;
    let warned = |ran: &Ran, words: &str| {
        ran.events
            .iter()
            .any(|e| matches!(&e.kind, EventKind::Warning { message } if message.contains(words)))
    };
    assert!(warned(&ran, "volume `p_data` is not as the file says any more, and is kept"));
    assert_eq!((ids(&sim), asked(&sim, from)), (before, vec![]));
    let changed = changed.replace("image: web", "image: web2");
    let yes = || Asked { fingerprints: Some(shelf.clone()), yes: true, ..Asked::default() };
    let ran = up_as(&sim, &changed, &yes()).await.expect("nobody kills it").expect("a beginning");
    assert_eq!(ran.ended.finished.verdict, Verdict::Succeeded, "{}", sim.record());
    assert!(warned(&ran, "its data is lost"));
    let asked = asked(&sim, from);
    let place = |what: &str| {
        asked.iter().position(|a| a.ends_with(what)).unwrap_or_else(|| panic!("{what}: {asked:?}"))
    };
    // What can be made before is made before.
    assert!(place("_p-web-1") < place("stop p-db-1"), "{asked:?}");
    for (first, then) in [
        ("stop p-db-1", "remove p-db-1"),
        ("remove p-db-1", "remove_volume p_data"),
        ("remove_volume p_data", "create_volume p_data"),
        ("create_volume p_data", "create p-db-1"),
        ("create p-db-1", "start p-db-1"),
    ] {
        assert!(place(first) < place(then), "{first} {then}: {asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_before_the_data_goes_loses_nothing() {
    let (sim, shelf) = (engine(), Shelf::default());
    up(&sim, &shelf, DATA).await;
    let before = ids(&sim);
    sim.add_fault(Fault::on(Verb::Create, Effect::Fail(Kind::Failed)).nth(1));
    let changed = DATA.replace("v: '1'", "v: '2'").replace("image: web", "image: web2");
    let asked_for = Asked { fingerprints: Some(shelf.clone()), yes: true, ..Asked::default() };
    let from = sim.requests().len();
    let ran = up_as(&sim, &changed, &asked_for).await.expect("nobody kills it").expect("a beginning");
    assert_eq!(ran.ended.finished.aftermath, Aftermath::RolledBack);
    assert_eq!(ids(&sim), before);
    assert!(asked(&sim, from).iter().all(|a| !a.starts_with("remove")), "{}", sim.record());
}

/// Services, each with what is edited of it, beside what stays: what Compose recreates, we recreate.
const EDITS: &[(&str, &str, &str)] = &[
    ("same", "environment: {A: '1'}", "environment: {A: '1'}"),
    ("environment", "environment: {A: '1'}", "environment: {A: '2'}"),
    ("command", "command: --port 80", "command: --port 81"),
    ("labels", "labels: {a: '1'}", "labels: {b: '1'}"),
    (
        "healthcheck",
        "healthcheck: {test: ['CMD', 'true'], interval: 5s}",
        "healthcheck: {test: ['CMD', 'true'], interval: 6s}",
    ),
    ("restart", "restart: 'no'", "restart: always"),
    ("order", "profiles: []", "depends_on: [same]"),
    ("extension", "x-orch: {critical: true}", "x-orch: {critical: false}"),
    ("pull", "pull_policy: missing", "pull_policy: never"),
    ("alias", "networks: {default: {aliases: [a]}}", "networks: {default: {aliases: [b]}}"),
    ("joined", "networks: [default]", "networks: [default, other]"),
    ("mount", "volumes: [/scratch]", "volumes: [/scratch, 'data:/data']"),
    ("sharer", "network_mode: 'service:environment'", "network_mode: 'service:environment'"),
    ("moved", "networks: {moving: {aliases: [mover]}}", "networks: {moving: {aliases: [mover]}}"),
    ("config", "configs: [app]", "configs: [app]"),
    ("secret", "secrets: [key]", "secrets: [key]"),
];

/// Recreated for a reason that Compose does not see: other contents.
const BETTER: [&str; 2] = ["config", "secret"];

fn edited(after: bool) -> String {
    let service = |(name, old, new): &(&str, &str, &str)| {
        let edit = if after { new } else { old };
        format!("  {name}: {{image: docker-orch-example, stop_grace_period: 1s, {edit}}}\n")
    };
    let (side, content) = if after { ("new", "two") } else { ("old", "one") };
    format!(
        "services:\n{}networks: {{default: {{}}, other: {{}}, moving: {{labels: {{side: {side}}}}}}}
configs: {{app: {{content: {content}}}}}
secrets: {{key: {{file: ./key}}}}
volumes: {{data: {{}}}}
",
        EDITS.iter().map(service).collect::<String>()
    )
}

/// Services whose containers are others after `up` was told to bring the edited file up.
fn recreated(stack: &Stack, up: impl Fn(&Stack)) -> BTreeSet<String> {
    let ids = |stack: &Stack| -> BTreeMap<String, String> {
        stack.containers().into_iter().map(|c| (c.service, c.id)).collect()
    };
    stack.write("key", "one");
    up(stack);
    let before = ids(stack);
    stack.write("compose.yaml", &edited(true));
    stack.write("key", "two");
    up(stack);
    let after = ids(stack);
    assert_eq!(after.len(), EDITS.len());
    before.into_iter().filter(|(service, id)| after[service] != *id).map(|(service, _)| service).collect()
}

#[test]
fn the_same_containers_are_recreated_as_by_compose() {
    let ours = Stack::new("convours", &edited(false));
    let by_us = |stack: &Stack| drop(stack.run("up -d").code(0));
    let theirs = has_compose().then(|| {
        std::thread::spawn(|| {
            let stack = Stack::new("convtheirs", &edited(false));
            recreated(&stack, |stack| drop(compose(stack, "up -d")))
        })
    });
    let mine = recreated(&ours, by_us);
    let better: BTreeSet<String> = BETTER.iter().map(|&s| s.to_owned()).collect();
    assert!(better.is_subset(&mine), "{mine:?}");
    // It is another network, and the same endpoint, of the same container.
    let moved = ours.container("moved");
    assert!(moved.running && moved.aliases(&format!("{}_moving", ours.name)).contains("mover"));
    match theirs {
        Some(theirs) => {
            let theirs = theirs.join().expect("Compose's part");
            assert_eq!(mine.difference(&better).cloned().collect::<BTreeSet<_>>(), theirs);
        }
        None => eprintln!("not compared: the Docker CLI here has no `docker compose`"),
    }
}

#[test]
fn anonymous_volumes_are_inherited_renewed_and_removed_in_the_end() {
    let stack = Stack::new("anonymous", "services: {db: {image: docker-orch-example, volumes: [/scratch]}}");
    let volume = || stack.container("db").raw["Mounts"][0]["Name"].as_str().expect("a volume").to_owned();
    stack.run("up -d").code(0);
    let first = volume();
    stack.run("up -d --force-recreate").code(0).says(&["recreation was asked for"]);
    assert_eq!(volume(), first);
    stack.run("up -d -V").code(0);
    let second = volume();
    assert_ne!(second, first);
    stack.run("up -d --force-recreate").code(0);
    assert_eq!(volume(), second);
    stack.run("down -v").code(0);
    let left = stack.docker(&["volume", "ls", "-q"]);
    // The one that nothing was asked to remove is the user's to remove.
    stack.docker(&["volume", "rm", &first]);
    assert!(left.contains(&first) && !left.contains(&second));
}

#[test]
fn flags_of_compose_that_are_left_out_say_why() {
    let stack = Stack::new("leftout", "services: {web: {image: docker-orch-example}}");
    stack.run("up --watch").code(2).says(&["`--watch` is not offered", "docker compose watch"]);
    stack.run("up --menu").code(2).says(&["`--menu` is not offered"]);
    stack.run("up --attach wbe").code(2).says(&["no such service: wbe", "did you mean `web`?"]);
    stack.run("up --exit-code-from nobody").code(2).says(&["no such service: nobody"]);
}

/// What the first request or a hand loads is neither started nor stopped by `up`, and nobody waits for it.
#[tokio::test(start_paused = true)]
async fn what_is_loaded_on_demand_is_left_alone() {
    let (sim, shelf) = (engine(), Shelf::default());
    let app = "  app: {image: app, depends_on: {llm: {condition: service_started}}, x-orch: {depends_on: {tts: {}}}}\n";
    let asleep = format!(
        "services:\n{app}  llm: {{image: llm, scale: 0, x-orch: {{load: on_demand}}}}\n  \
         tts: {{image: tts, scale: 0, x-orch: {{load: manual}}}}\n  \
         small: {{image: small, scale: 0, x-orch: {{load: preload}}}}\n"
    );
    let ran = up(&sim, &shelf, &asleep).await;
    assert_eq!(ran.ended.finished.verdict, Verdict::Succeeded);
    let names = |sim: &SimEngine| ids(sim).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(&sim), ["p-app-1", "p-small-1"]);
    // Somebody has loaded it meanwhile.
    let awake =
        format!("services:\n{app}  llm: {{image: llm}}\n  tts: {{image: tts}}\n  small: {{image: small}}\n");
    up(&sim, &shelf, &awake).await;
    let before = ids(&sim);
    assert_eq!(before.len(), 4);
    let ran = up(&sim, &shelf, &asleep).await;
    assert_eq!((ran.ended.finished.verdict, ids(&sim)), (Verdict::Succeeded, before));
}
