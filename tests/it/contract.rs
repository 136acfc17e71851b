//! What an engine does, as tests that the simulator and a real engine pass alike. Where they differ, the simulator
//! is wrong.

use std::time::Duration;

use docker_orch::{
    engine::{
        ContainerRequest, EngineAction as Action, EngineErrorKind as Kind, ExecRequest, FileUpload,
        LogOptions, Used, sim::Behaviour,
    },
    plan::{ContainerState, EngineHealth, OneOff},
    project::{Healthcheck, IpamPool, Port, Sensitive, Service, ServiceMount},
};
use futures::StreamExt;

use crate::support::world::{IMAGE, Side, World, plain, service};

/// Runs a macro with the names of all contract tests.
macro_rules! every_contract {
    ($make:ident) => {
        $make! {
            a_container_is_created_started_and_observed, starting_and_stopping_twice_is_fine,
            an_exit_code_is_seen_everywhere, a_deaf_container_is_killed_after_its_grace,
            without_grace_a_container_ends_at_once, without_grace_what_does_not_run_is_left_alone,
            without_grace_a_restart_loop_ends,
            a_kill_sends_the_signal_that_is_named, a_name_is_held_until_it_is_given_up,
            a_network_in_use_stays, a_container_without_its_network_does_not_start,
            a_running_container_changes_networks, a_container_takes_its_names_later, a_replaced_network_comes_back_with_what_was_on_it, removing_is_final_and_twice_is_fine,
            anonymous_volumes_go_when_asked, a_volume_in_use_stays, logs_are_read_in_parts_and_followed,
            the_log_of_a_container_that_never_ran_is_empty, a_command_runs_in_a_container,
            files_are_written_before_the_start, what_is_missing_is_not_found, a_taken_port_refuses_the_start,
            a_healthcheck_speaks_through_events, a_restart_policy_starts_again,
            streams_are_opened_before_the_start_and_end_with_the_container,
            what_is_written_to_a_container_reaches_it_to_its_end, a_terminal_is_told_its_size,
            a_oneoff_container_removes_itself, a_shared_namespace_needs_a_running_container,
            an_image_is_made_of_files, containers_of_every_project_are_listed, an_engine_tells_of_itself,
        }
    };
}

macro_rules! on_the_simulator {
    ($($name:ident),* $(,)?) => {
        mod sim {
            $(
                #[tokio::test(start_paused = true)]
                async fn $name() {
                    super::$name(crate::support::world::Side::Sim).await;
                }
            )*
        }
    };
}
every_contract!(on_the_simulator);

mod images;
mod streams;
pub(crate) use images::*;
pub(crate) use streams::*;

/// Engines differ in whether `stop` or `die` comes first (28.5: `stop`, 20.10: `die`): `die` first.
fn die_first(mut actions: Vec<Action>) -> Vec<Action> {
    for i in 1..actions.len() {
        if actions[i - 1] == Action::Stopped && matches!(actions[i], Action::Died { .. }) {
            actions.swap(i - 1, i);
        }
    }
    actions
}

fn kill() -> Action {
    Action::Other("kill".to_owned())
}

pub(crate) async fn a_container_is_created_started_and_observed(side: Side) {
    let mut web = plain("web");
    web.0.labels.insert("mine".to_owned(), "1".to_owned());
    let world = World::new(side, "observed", vec![web]).await;
    let id = world.create("web").await;
    let created = world.observed("web").await;
    assert_eq!((created.state, created.exit_code, &created.id), (ContainerState::Created, None, &id));
    assert_eq!(created.name, format!("{}-web-1", world.project.name));
    assert_eq!((created.number(), created.is_oneoff(), created.health), (1, false, None));
    let labels: Vec<String> = created
        .labels
        .iter()
        .filter(|(k, _)| !k.ends_with("version"))
        .map(|(k, v)| format!("{k}={}", v.replace(&world.project.name, "PROJECT")))
        .collect();
    assert_eq!(
        labels,
        [
            "com.docker.compose.config-hash=hash",
            "com.docker.compose.container-number=1",
            "com.docker.compose.depends_on=",
            "com.docker.compose.image=sha256:0",
            "com.docker.compose.oneoff=False",
            "com.docker.compose.project=PROJECT",
            "com.docker.compose.project.config_files=",
            "com.docker.compose.project.working_dir=",
            "com.docker.compose.service=web",
            "mine=1",
        ]
    );
    let before = world.engine.inspect(&id).await.unwrap().unwrap();
    assert_eq!((before.pid, before.state), (0, ContainerState::Created));
    assert!(before.started_at.starts_with("0001-01-01"), "{}", before.started_at);

    world.engine.start(&id).await.unwrap();
    let observed = world.observe().await;
    let running = &observed.containers[0];
    assert_eq!((running.state, running.exit_code), (ContainerState::Running, None));
    let endpoint = &running.networks[world.network()];
    assert_eq!(endpoint.network_id, observed.networks[world.network()].id);
    endpoint.ip_address.parse::<std::net::Ipv4Addr>().expect("an address");
    assert_eq!(observed.networks[world.network()].labels["com.docker.compose.network"], "default");
    assert_eq!(observed.volumes[world.volume()].labels["com.docker.compose.volume"], "data");
    assert_eq!(observed.images.keys().collect::<Vec<_>>(), [IMAGE]);
    let detail = world.engine.inspect(&created.name).await.unwrap().unwrap();
    assert_eq!((detail.id, detail.state), (id, ContainerState::Running));
    assert!(detail.pid > 0 && !detail.started_at.starts_with("0001"));
}

pub(crate) async fn starting_and_stopping_twice_is_fine(side: Side) {
    let world = World::new(side, "twice", vec![plain("web")]).await;
    let mut events = world.events().await;
    let id = world.create("web").await;
    world.engine.stop(&id, None).await.unwrap();
    world.engine.start(&id).await.unwrap();
    world.engine.start(&id).await.unwrap();
    world.spoken(&id).await;
    world.engine.stop(&id, None).await.unwrap();
    world.engine.stop(&id, None).await.unwrap();
    world.engine.remove(&id, false).await.unwrap();
    let seen = die_first(events.until(&Action::Removed).await);
    let wanted = [
        Action::Created,
        Action::Started,
        kill(),
        Action::Died { code: 0 },
        Action::Stopped,
        Action::Removed,
    ];
    assert_eq!(seen, wanted);
}

pub(crate) async fn an_exit_code_is_seen_everywhere(side: Side) {
    let behaviour = Behaviour::new().exits(3, Duration::from_millis(300));
    let world =
        World::new(side, "exit", vec![service("job", "--exit-after 300ms --exit-code 3", behaviour)]).await;
    let mut events = world.events().await;
    let id = world.run("job").await;
    let died = Action::Died { code: 3 };
    assert_eq!(events.until(&died).await, [Action::Created, Action::Started, died]);
    assert_eq!(world.ended(&id).await, 3);
    let listed = world.observed("job").await;
    assert_eq!((listed.state, listed.exit_code), (ContainerState::Exited, Some(3)));
    assert!(listed.status.starts_with("Exited (3)"), "{}", listed.status);
    let detail = world.engine.inspect(&id).await.unwrap().unwrap();
    assert_eq!((detail.pid, detail.oom_killed), (0, false));
    assert!(!detail.finished_at.starts_with("0001"));
}

pub(crate) async fn a_deaf_container_is_killed_after_its_grace(side: Side) {
    let world =
        World::new(side, "deaf", vec![service("deaf", "--ignore-term", Behaviour::new().ignores_term())])
            .await;
    let mut events = world.events().await;
    let id = world.run("deaf").await;
    let began = tokio::time::Instant::now();
    world.engine.stop(&id, Some(Duration::from_secs(1))).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1) && began.elapsed() < Duration::from_secs(5));
    let died = Action::Died { code: 137 };
    world.engine.remove(&id, false).await.unwrap();
    let seen = die_first(events.until(&Action::Removed).await);
    assert_eq!(
        seen,
        [Action::Created, Action::Started, kill(), kill(), died, Action::Stopped, Action::Removed]
    );
}

pub(crate) async fn without_grace_a_container_ends_at_once(side: Side) {
    let deaf = service(
        "deaf",
        "--ignore-term --log started",
        Behaviour::new().ignores_term().log(Duration::ZERO, "started"),
    );
    let world = World::new(side, "at-once", vec![deaf]).await;
    let id = world.run("deaf").await;
    world.spoken(&id).await;
    let began = tokio::time::Instant::now();
    world.engine.stop(&id, Some(Duration::ZERO)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // It has ended when the answer comes.
    let detail = world.engine.inspect(&id).await.unwrap().unwrap();
    assert_eq!((detail.state, detail.exit_code, detail.pid), (ContainerState::Exited, 137, 0));
}

pub(crate) async fn without_grace_what_does_not_run_is_left_alone(side: Side) {
    let behaviour = Behaviour::new().exits(3, Duration::from_millis(100));
    let job = service("job", "--exit-after 100ms --exit-code 3", behaviour);
    let world = World::new(side, "at-rest", vec![job]).await;
    let id = world.create("job").await;
    world.engine.stop(&id, Some(Duration::ZERO)).await.unwrap();
    assert_eq!(world.observed("job").await.state, ContainerState::Created);
    world.engine.start(&id).await.unwrap();
    assert_eq!(world.ended(&id).await, 3);
    world.engine.stop(&id, Some(Duration::ZERO)).await.unwrap();
    let detail = world.engine.inspect(&id).await.unwrap().unwrap();
    assert_eq!((detail.state, detail.exit_code), (ContainerState::Exited, 3));
    let gone = world.engine.stop("no-such-container", Some(Duration::ZERO)).await.unwrap_err();
    assert_eq!(gone.kind, Kind::NotFound, "{gone}");
}

pub(crate) async fn without_grace_a_restart_loop_ends(side: Side) {
    let behaviour = Behaviour::new().exits(4, Duration::from_millis(10));
    let (job, behaviour) = service("job", "--exit-after 10ms --exit-code 4", behaviour);
    let job = Service { restart: Some("always".to_owned()), ..job };
    let world = World::new(side, "loop", vec![(job, behaviour)]).await;
    let mut events = world.events().await;
    let id = world.run("job").await;
    // After the fourth time it is not started again for most of a second.
    for _ in 0..4 {
        events.until(&Action::Died { code: 4 }).await;
    }
    let began = tokio::time::Instant::now();
    world.engine.stop(&id, Some(Duration::ZERO)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(world.observed("job").await.state, ContainerState::Exited);
    let runs = world.engine.inspect(&id).await.unwrap().unwrap().started_at;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let detail = world.engine.inspect(&id).await.unwrap().unwrap();
    assert_eq!((detail.state, detail.started_at), (ContainerState::Exited, runs));
}

pub(crate) async fn a_kill_sends_the_signal_that_is_named(side: Side) {
    let web = service("web", "--term-code 7", Behaviour::new().term_exit(7).log(Duration::ZERO, "started"));
    let world = World::new(side, "kill", vec![web]).await;
    let mut events = world.events().await;
    let id = world.create("web").await;
    world.engine.kill(&id, "SIGKILL").await.unwrap();
    world.engine.start(&id).await.unwrap();
    world.spoken(&id).await;
    world.engine.kill(&id, "SIGTERM").await.unwrap();
    assert_eq!(world.ended(&id).await, 7);
    world.engine.kill(&id, "SIGTERM").await.unwrap();
    world.engine.start(&id).await.unwrap();
    world.engine.kill(&id, "SIGKILL").await.unwrap();
    assert_eq!(world.ended(&id).await, 137);
    let died = Action::Died { code: 137 };
    let seen = events.until(&died).await;
    let wanted =
        [Action::Created, Action::Started, kill(), Action::Died { code: 7 }, Action::Started, kill(), died];
    assert_eq!(seen, wanted);
}

pub(crate) async fn a_name_is_held_until_it_is_given_up(side: Side) {
    let world = World::new(side, "names", vec![plain("web")]).await;
    let mut events = world.events().await;
    let old = world.run("web").await;
    let name = world.request("web").name;
    let taken = world.engine.create_container(&world.request("web")).await.unwrap_err();
    assert_eq!(taken.kind, Kind::Conflict, "{taken}");
    let request = ContainerRequest { name: format!("{name}-new"), ..world.request("web") };
    let new = world.engine.create_container(&request).await.unwrap();
    let taken = world.engine.rename(&new, &name).await.unwrap_err();
    assert_eq!(taken.kind, Kind::Conflict, "{taken}");
    world.engine.rename(&old, &format!("{name}-old")).await.unwrap();
    world.engine.rename(&new, &name).await.unwrap();
    assert_eq!(world.engine.inspect(&name).await.unwrap().unwrap().id, new);
    assert_eq!(world.engine.inspect(&format!("{name}-old")).await.unwrap().unwrap().id, old);
    let seen = events.until(&Action::Renamed).await;
    assert_eq!(seen, [Action::Created, Action::Started, Action::Created, Action::Renamed]);
}

pub(crate) async fn a_network_in_use_stays(side: Side) {
    let world = World::new(side, "network", vec![plain("web")]).await;
    let twice = world.create_network().await.unwrap_err();
    assert_eq!(twice.kind, Kind::Conflict, "{twice}");
    let id = world.run("web").await;
    let used = world.engine.remove_network(world.network()).await.unwrap_err();
    assert_eq!(used.kind, Kind::Conflict, "{used}");
    assert!(used.message.contains("has active endpoints"), "{used}");
    world.engine.stop(&id, None).await.unwrap();
    world.engine.remove_network(world.network()).await.unwrap();
    let gone = world.engine.remove_network(world.network()).await.unwrap_err();
    assert_eq!(gone.kind, Kind::NotFound, "{gone}");
}

pub(crate) async fn a_container_without_its_network_does_not_start(side: Side) {
    let world = World::new(side, "no-network", vec![plain("web")]).await;
    world.engine.remove_network(world.network()).await.unwrap();
    let id = world.create("web").await;
    let refused = world.engine.start(&id).await.unwrap_err();
    assert_eq!(refused.kind, Kind::NotFound, "{refused}");
    let detail = world.engine.inspect(&id).await.unwrap().unwrap();
    assert_eq!((detail.state, detail.error.is_empty()), (ContainerState::Created, false), "{}", detail.error);
    world.create_network().await.unwrap();
    world.engine.start(&id).await.unwrap();
}

pub(crate) async fn a_running_container_changes_networks(side: Side) {
    let world = World::new(side, "connect", vec![plain("web")]).await;
    let id = world.run("web").await;
    let request = world.request("web");
    let twice = world.engine.connect_network(world.network(), &request, &id, "default").await.unwrap_err();
    assert_eq!(twice.kind, Kind::Conflict, "{twice}");
    world.engine.disconnect_network(world.network(), &id).await.unwrap();
    assert_eq!(world.observed("web").await.networks.len(), 0);
    world.engine.connect_network(world.network(), &request, &id, "default").await.unwrap();
    assert!(!world.observed("web").await.networks[world.network()].ip_address.is_empty());
    world.engine.stop(&id, None).await.unwrap();
    let stopped = world.observed("web").await;
    assert_eq!(stopped.networks[world.network()].ip_address, "");
}

pub(crate) async fn a_container_takes_its_names_later(side: Side) {
    let world = World::new(side, "names", vec![plain("web")]).await;
    let request = ContainerRequest { unnamed: vec!["default".to_owned()], ..world.request("web") };
    let id = world.engine.create_container(&request).await.unwrap();
    world.engine.start(&id).await.unwrap();
    let aliases = async || {
        let detail = world.engine.inspect(&id).await.unwrap().unwrap();
        detail.networks[world.network()].aliases.clone()
    };
    let is_name = |alias: &&String| **alias == request.final_name || **alias == request.service.name;
    assert_eq!(aliases().await.iter().filter(is_name).count(), 0);
    world.engine.disconnect_network(world.network(), &id).await.unwrap();
    let named = world.request("web");
    world.engine.connect_network(world.network(), &named, &id, "default").await.unwrap();
    assert_eq!(aliases().await.iter().filter(is_name).count(), 2);
}

pub(crate) async fn a_replaced_network_comes_back_with_what_was_on_it(side: Side) {
    let mut world = World::new(side, "restore", vec![plain("web")]).await;
    // Addresses of its own: others that the engine chooses it may give to the next test once the network is gone.
    world.engine.remove_network(world.network()).await.unwrap();
    let pool = IpamPool { subnet: Some("10.213.77.0/24".to_owned()), ..IpamPool::default() };
    world.project.networks["default"].ipam.config = vec![pool];
    world.create_network().await.unwrap();
    let id = world.run("web").await;
    let seen = async || {
        let endpoint = world.engine.inspect(&id).await.unwrap().unwrap().networks[world.network()].clone();
        let network = world.observe().await.networks[world.network()].clone();
        (endpoint, network)
    };
    let (endpoint, network) = seen().await;
    // Fine if it is still there.
    world.engine.restore_network(&network).await.unwrap();
    assert_eq!(world.engine.users(Used::Network(&network.id)).await.unwrap()[0].id, id);
    world.engine.stop(&id, None).await.unwrap();
    assert_eq!(world.engine.users(Used::Network(&network.id)).await.unwrap()[0].id, id);
    assert_eq!(world.observed("web").await.networks[world.network()].network_id, network.id);
    world.engine.remove_network(world.network()).await.unwrap();
    world.create_network().await.unwrap();
    let refused = world.engine.start(&id).await.unwrap_err();
    assert_eq!(refused.kind, Kind::NotFound, "{refused}");
    world.engine.remove_network(world.network()).await.unwrap();
    world.engine.restore_network(&network).await.unwrap();
    // Twice is fine: the second time is the one that counts.
    for _ in 0..2 {
        world.engine.reconnect(world.network(), &id, &endpoint).await.unwrap();
    }
    world.engine.start(&id).await.unwrap();
    let (endpoint_after, network_after) = seen().await;
    assert_eq!((&network_after.labels, &network_after.definition), (&network.labels, &network.definition));
    assert_ne!(network_after.id, network.id);
    assert_eq!(endpoint_after.ip_address, endpoint.ip_address);
    let sorted = |aliases: &[String]| aliases.iter().cloned().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(sorted(&endpoint_after.aliases), sorted(&endpoint.aliases));
}

pub(crate) async fn removing_is_final_and_twice_is_fine(side: Side) {
    let world = World::new(side, "remove", vec![plain("web")]).await;
    let mut events = world.events().await;
    let id = world.run("web").await;
    world.engine.remove(&id, false).await.unwrap();
    world.engine.remove(&id, false).await.unwrap();
    assert_eq!(world.engine.inspect(&id).await.unwrap(), None);
    let died = Action::Died { code: 137 };
    let seen = events.until(&Action::Removed).await;
    assert_eq!(seen, [Action::Created, Action::Started, kill(), died, Action::Removed]);
    world.create("web").await;
}

pub(crate) async fn anonymous_volumes_go_when_asked(side: Side) {
    let mut web = plain("web");
    web.0.volumes.push(ServiceMount {
        r#type: "volume".to_owned(),
        target: Some("/scratch".to_owned()),
        ..ServiceMount::default()
    });
    let world = World::new(side, "anonymous", vec![web]).await;
    let id = world.create("web").await;
    let kept = world.observed("web").await.mounts[0].clone();
    assert_eq!(
        (kept.r#type.as_str(), kept.destination.as_str(), kept.name.len()),
        ("volume", "/scratch", 64)
    );
    world.engine.remove(&id, false).await.unwrap();
    let id = world.create("web").await;
    let gone = world.observed("web").await.mounts[0].name.clone();
    assert_ne!(gone, kept.name);
    world.engine.remove(&id, true).await.unwrap();
    let scope = docker_orch::engine::Scope {
        project: world.project.name.clone(),
        volumes: vec![kept.name.clone(), gone],
        ..docker_orch::engine::Scope::default()
    };
    let volumes = world.engine.observe(&scope).await.unwrap().volumes;
    world.engine.remove_volume(&kept.name).await.unwrap();
    assert_eq!(volumes.keys().map(String::as_str).collect::<Vec<_>>(), {
        let mut names = vec![kept.name.as_str(), world.volume()];
        names.sort_unstable();
        names
    });
}

pub(crate) async fn a_volume_in_use_stays(side: Side) {
    let mut web = plain("web");
    web.0.volumes.push(ServiceMount {
        r#type: "volume".to_owned(),
        source: Some("data".to_owned()),
        target: Some("/data".to_owned()),
        ..ServiceMount::default()
    });
    let world = World::new(side, "volume", vec![web]).await;
    world.create_volume().await.unwrap();
    let id = world.create("web").await;
    assert_eq!(world.observed("web").await.mounts[0].name, world.volume());
    let used = world.engine.remove_volume(world.volume()).await.unwrap_err();
    assert_eq!(used.kind, Kind::Conflict, "{used}");
    world.engine.remove(&id, true).await.unwrap();
    assert!(world.observe().await.volumes.contains_key(world.volume()));
    world.engine.remove_volume(world.volume()).await.unwrap();
    world.engine.remove_volume(world.volume()).await.unwrap();
    assert!(world.observe().await.volumes.is_empty());
    // A volume that is not there is made with the container, without labels.
    world.create("web").await;
    assert!(world.observe().await.volumes.is_empty());
    let scope = docker_orch::engine::Scope {
        volumes: vec![world.volume().to_owned()],
        ..docker_orch::engine::Scope::default()
    };
    let volumes = world.engine.observe(&scope).await.unwrap().volumes;
    assert!(volumes[world.volume()].labels.is_empty());
}

pub(crate) async fn logs_are_read_in_parts_and_followed(side: Side) {
    let behaviour = Behaviour::new()
        .log(Duration::from_millis(1), "web: started")
        .log(Duration::from_millis(2), "one")
        .log(Duration::from_millis(3), "two")
        .log(Duration::from_millis(400), "web: exiting with 0")
        .exits(0, Duration::from_millis(400));
    let flags = "--name web --log one --log two --exit-after 400ms";
    let world = World::new(side, "logs", vec![service("web", flags, behaviour)]).await;
    let id = world.run("web").await;
    let follow = LogOptions { follow: true, timestamps: true, ..LogOptions::default() };
    let lines: Vec<_> = world.engine.logs(&id, &follow).map(Result::unwrap).collect().await;
    let said = |lines: &[docker_orch::engine::LogLine]| -> Vec<String> {
        lines.iter().map(|l| l.text.clone()).filter(|t| t == "one" || t == "two").collect()
    };
    assert_eq!(said(&lines), ["one", "two"]);
    assert!(lines.iter().all(|l| !l.stderr));
    let since = lines.iter().find(|l| l.text == "two").unwrap().timestamp.clone().unwrap();
    assert_eq!(world.ended(&id).await, 0);
    let tail = LogOptions { tail: Some(1), ..LogOptions::default() };
    let last: Vec<_> = world.engine.logs(&id, &tail).map(Result::unwrap).collect().await;
    assert_eq!((last.len(), &last[0].text), (1, &lines.last().unwrap().text));
    assert_eq!(last[0].timestamp, None);
    let since = LogOptions { since: Some(since), ..LogOptions::default() };
    let late: Vec<_> = world.engine.logs(&id, &since).map(Result::unwrap).collect().await;
    assert!(said(&late).contains(&"two".to_owned()), "{late:?}");
    assert!(late.len() < lines.len(), "{late:?}");
}

pub(crate) async fn the_log_of_a_container_that_never_ran_is_empty(side: Side) {
    let world = World::new(side, "no-log", vec![plain("web")]).await;
    let id = world.create("web").await;
    let all: Vec<_> = world.engine.logs(&id, &LogOptions::default()).collect().await;
    assert_eq!(all, []);
    let missing = world.engine.logs("orch-no-such-container", &LogOptions::default()).next().await;
    assert_eq!(missing.unwrap().unwrap_err().kind, Kind::NotFound);
}

pub(crate) async fn a_command_runs_in_a_container(side: Side) {
    let behaviour = Behaviour::new().exec("echo hello", 0, "hello\n").exec("exit 5", 5, "");
    let world = World::new(side, "exec", vec![service("web", "", behaviour)]).await;
    let id = world.create("web").await;
    let command = |words: &str| ExecRequest {
        command: words.split(' ').map(str::to_owned).collect(),
        ..ExecRequest::default()
    };
    let early = world.engine.exec(&id, &command("echo hello")).await.unwrap_err();
    assert_eq!(early.kind, Kind::Conflict, "{early}");
    world.engine.start(&id).await.unwrap();
    let said = world.engine.exec(&id, &command("echo hello")).await.unwrap();
    assert_eq!((said.code, said.output.as_str()), (0, "hello\n"));
    assert_eq!(world.engine.exec(&id, &command("service exit 5")).await.unwrap().code, 5);
    let nobody = world.engine.exec("orch-no-such-container", &command("true")).await.unwrap_err();
    assert_eq!(nobody.kind, Kind::NotFound, "{nobody}");
}

pub(crate) async fn files_are_written_before_the_start(side: Side) {
    let behaviour = Behaviour::new().exec("cat /run/secrets/key", 0, "hush");
    let world = World::new(side, "upload", vec![service("web", "", behaviour)]).await;
    let id = world.create("web").await;
    let file = FileUpload {
        path: "/run/secrets/key".to_owned(),
        content: Sensitive::new(b"hush".to_vec()),
        mode: 0o444,
        uid: None,
        gid: None,
    };
    world.engine.upload(&id, std::slice::from_ref(&file)).await.unwrap();
    world.engine.start(&id).await.unwrap();
    let command = ["cat", "/run/secrets/key"].map(str::to_owned).to_vec();
    let read = world.engine.exec(&id, &ExecRequest { command, ..ExecRequest::default() }).await.unwrap();
    assert_eq!((read.code, read.output.as_str()), (0, "hush"));
    let nobody = world.engine.upload("orch-no-such-container", &[file]).await.unwrap_err();
    assert_eq!(nobody.kind, Kind::NotFound, "{nobody}");
}

pub(crate) async fn what_is_missing_is_not_found(side: Side) {
    let mut other = plain("other");
    other.0.image = Some("orch-no-such-image".to_owned());
    let world = World::new(side, "missing", vec![other]).await;
    let none = "orch-no-such-thing";
    let e = &world.engine;
    assert_eq!(e.image(none, None).await.unwrap(), None);
    assert!(e.image(IMAGE, None).await.unwrap().is_some_and(|i| i.id.starts_with("sha256:")));
    assert_eq!(e.inspect(none).await.unwrap(), None);
    assert_eq!(e.start(none).await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(e.stop(none, None).await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(e.kill(none, "SIGTERM").await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(e.rename(none, "orch-other").await.unwrap_err().kind, Kind::NotFound);
    e.remove(none, true).await.unwrap();
    assert_eq!(e.remove_network(none).await.unwrap_err().kind, Kind::NotFound);
    e.remove_volume(none).await.unwrap();
    let refused = e.create_container(&world.request("other")).await.unwrap_err();
    assert_eq!(refused.kind, Kind::NotFound, "{refused}");
    assert!(world.observe().await.containers.is_empty());
}

pub(crate) async fn a_taken_port_refuses_the_start(side: Side) {
    let port = |name: &str| {
        let (service, behaviour) = plain(name);
        let port = Port {
            target: Some(80),
            published: Some("38417".to_owned()),
            protocol: Some("tcp".to_owned()),
            ..Port::default()
        };
        (Service { ports: vec![port], ..service }, behaviour)
    };
    let world = World::new(side, "ports", vec![port("one"), port("two")]).await;
    let one = world.run("one").await;
    let listed = world.observed("one").await.ports;
    assert!(listed.iter().any(|p| (p.public, p.private) == (38417, 80) && p.protocol == "tcp"), "{listed:?}");
    let two = world.create("two").await;
    let refused = world.engine.start(&two).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Failed, "{refused}");
    assert!(refused.message.contains("port is already allocated"), "{refused}");
    let detail = world.engine.inspect(&two).await.unwrap().unwrap();
    assert_eq!((detail.state, detail.exit_code), (ContainerState::Created, 128));
    assert!(detail.error.contains("port is already allocated"), "{}", detail.error);
    world.engine.stop(&one, None).await.unwrap();
    world.engine.start(&two).await.unwrap();
}

pub(crate) async fn a_healthcheck_speaks_through_events(side: Side) {
    let behaviour = Behaviour::new()
        .ready_after(Duration::from_millis(500))
        .unready(Duration::from_millis(2500), Duration::from_hours(1));
    let flags = "--ready-after 500ms --fail-health-after 2500ms";
    let (web, behaviour) = service("web", flags, behaviour);
    let test = ["CMD", "probe", "http://localhost:8080/health"].map(str::to_owned).to_vec();
    let check = Healthcheck {
        test: Some(test.clone()),
        interval: Some(Duration::from_millis(400).into()),
        timeout: Some(Duration::from_secs(2).into()),
        retries: Some(4),
        ..Healthcheck::default()
    };
    let flags = web.command.clone().unwrap().into_iter().chain(["--port".to_owned(), "8080".to_owned()]);
    let web = Service { healthcheck: Some(check), command: Some(flags.collect()), ..web };
    let world = World::new(side, "health", vec![(web, behaviour)]).await;
    let mut events = world.events().await;
    let id = world.run("web").await;
    let detail = world.engine.inspect(&id).await.unwrap().unwrap();
    assert_eq!((detail.health, detail.healthcheck), (Some(EngineHealth::Starting), Some(test)));
    assert_eq!(world.observed("web").await.health, Some(EngineHealth::Starting));
    let spoken = |actions: Vec<Action>| -> Vec<Action> {
        actions.into_iter().filter(|a| !matches!(a, Action::Other(_))).collect()
    };
    let healthy = Action::Health(EngineHealth::Healthy);
    let seen = spoken(events.until(&healthy).await);
    assert_eq!(seen, [Action::Created, Action::Started, healthy]);
    assert_eq!(world.observed("web").await.health, Some(EngineHealth::Healthy));
    let unhealthy = Action::Health(EngineHealth::Unhealthy);
    assert_eq!(spoken(events.until(&unhealthy).await), [unhealthy]);
}

pub(crate) async fn a_restart_policy_starts_again(side: Side) {
    let behaviour = Behaviour::new().exits(4, Duration::from_millis(200));
    let (job, behaviour) = service("job", "--exit-after 200ms --exit-code 4", behaviour);
    let job = Service { restart: Some("on-failure:2".to_owned()), ..job };
    let world = World::new(side, "restart", vec![(job, behaviour)]).await;
    let mut events = world.events().await;
    let id = world.run("job").await;
    let died = Action::Died { code: 4 };
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.extend(events.until(&died).await);
    }
    let started = Action::Started;
    assert_eq!(
        seen,
        [Action::Created, started.clone(), died.clone(), started.clone(), died.clone(), started, died]
    );
    assert_eq!(world.ended(&id).await, 4);
    assert_eq!(world.engine.inspect(&id).await.unwrap().unwrap().restart_count, 2);
}

pub(crate) async fn a_oneoff_container_removes_itself(side: Side) {
    let behaviour = Behaviour::new().exits(0, Duration::from_millis(200));
    let world = World::new(side, "oneoff", vec![service("job", "--exit-after 200ms", behaviour)]).await;
    let mut events = world.events().await;
    let oneoff = OneOff { slug: "5".repeat(64), auto_remove: true, ..OneOff::default() };
    let name = format!("{}-job-run-555555555555", world.project.name);
    let request = ContainerRequest {
        name: name.clone(),
        final_name: name,
        oneoff: Some(oneoff),
        ..world.request("job")
    };
    let id = world.engine.create_container(&request).await.unwrap();
    let listed = world.observed("job").await;
    assert_eq!((listed.is_oneoff(), listed.number()), (true, 0));
    assert_eq!(listed.compose_label("slug"), Some("5".repeat(64).as_str()));
    world.engine.start(&id).await.unwrap();
    let seen = events.until(&Action::Removed).await;
    assert_eq!(seen, [Action::Created, Action::Started, Action::Died { code: 0 }, Action::Removed]);
    assert_eq!(world.engine.inspect(&id).await.unwrap(), None);
}

pub(crate) async fn a_shared_namespace_needs_a_running_container(side: Side) {
    let mut world = World::new(side, "namespace", vec![plain("web"), plain("side")]).await;
    let id = world.create("web").await;
    let side_car = &mut world.project.services["side"];
    side_car.networks.clear();
    side_car.network_mode = Some(format!("container:{id}"));
    let side_car = world.create("side").await;
    let refused = world.engine.start(&side_car).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Conflict, "{refused}");
    world.engine.start(&id).await.unwrap();
    world.engine.start(&side_car).await.unwrap();
    let detail = world.engine.inspect(&side_car).await.unwrap().unwrap();
    assert_eq!((detail.network_mode, detail.networks.len()), (format!("container:{id}"), 0));
}

pub(crate) async fn containers_of_every_project_are_listed(side: Side) {
    let (mut web, behaviour) = plain("web");
    let port = Port { target: Some(80), published: Some("38419".to_owned()), ..Port::default() };
    web.ports.push(Port { host_ip: Some("127.0.0.1".to_owned()), protocol: Some("tcp".to_owned()), ..port });
    let world = World::new(side, "all", vec![(web, behaviour), plain("idle")]).await;
    let (web, idle) = (world.run("web").await, world.create("idle").await);
    let all = world.engine.containers().await.unwrap();
    assert!(all.is_sorted_by_key(|c| c.name.clone()));
    let listed = |id: &str| all.iter().find(|c| c.id == id).expect("it is listed");
    assert_eq!(listed(&web), &world.observed("web").await);
    let published: Vec<_> = listed(&web).ports.iter().map(|p| (p.ip.as_str(), p.public, p.private)).collect();
    assert_eq!(published, [("127.0.0.1", 38419, 80)]);
    assert_eq!((listed(&idle).state, listed(&idle).ports.len()), (ContainerState::Created, 0));
    assert_eq!(listed(&idle).compose_label("project"), Some(world.project.name.as_str()));
}

pub(crate) async fn an_engine_tells_of_itself(side: Side) {
    let world = World::new(side, "about", Vec::new()).await;
    let about = world.engine.about().await.unwrap();
    for said in [&about.machine, &about.data_root, &about.storage_driver, &about.cgroup_version] {
        assert!(!said.is_empty(), "{about:?}");
    }
    assert!(about.cpus > 0 && about.memory > 1 << 28, "{about:?}");
    assert!(about.runtimes.iter().any(|name| name == "runc"), "{about:?}");
    let year_2000 = 946_684_800_000_000_000;
    assert!(about.data_root.starts_with('/') && about.time > Some(year_2000), "{about:?}");
    assert!(!world.engine.info().arch.is_empty());
}
