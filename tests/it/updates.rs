//! How containers are replaced where the file says so, on the simulated engine and in virtual time.

use std::{collections::BTreeMap, time::Duration};

use docker_orch::{
    engine::sim::{Behaviour, Request, Script, SimEngine, Verb},
    event::{Aftermath, EventKind, ServiceState, Verdict},
    plan::UpOptions,
};

use crate::{
    scenarios::ms,
    support::lab::{Asked, up_as, up_of},
};

/// Three containers of a service that another one asks by name.
fn file(image: &str, update: &str) -> String {
    format!(
        "
services:
  web:
    image: {image}
    deploy: {{replicas: 3, update_config: {{{update}}}}}
    x-orch: {{health_check: {{tcp: 80}}}}
  client:
    image: client
"
    )
}

/// A running project whose containers of `web:1` are ready at once, and those of `web:2` a second after their start.
async fn ran(update: &str) -> SimEngine {
    let slow = Behaviour::new().ready_after(ms(1000)).start_takes(ms(10)).stop_takes(ms(10));
    ran_with(update, slow).await
}

async fn ran_with(update: &str, second: Behaviour) -> SimEngine {
    let sim = SimEngine::new(Script::new().running("web:2", second));
    assert_eq!(up_of(&sim, &file("web:1", update)).await.ended.finished.verdict, Verdict::Succeeded);
    sim
}

fn since(sim: &SimEngine, from: Duration, verb: Verb) -> Vec<Request> {
    let asked = |r: &Request| r.at >= from && r.verb == verb && r.service == "web";
    sim.requests().into_iter().filter(asked).collect()
}

/// Container names with their IDs, and whether they run.
fn containers(sim: &SimEngine) -> BTreeMap<String, String> {
    sim.containers().into_iter().map(|c| (c.name, format!("{} {:?}", c.id, c.state))).collect()
}

#[tokio::test(start_paused = true)]
async fn one_after_the_other_with_a_pause_between() {
    let update = "delay: 5s, monitor: 2s";
    let sim = ran(update).await;
    let from = sim.now();
    let took = up_of(&sim, &file("web:2", update)).await.took;
    let starts = since(&sim, from, Verb::Start);
    assert_eq!(starts.len(), 3);
    for pair in starts.windows(2) {
        // Ready after one second, watched for two, and five more until the next one.
        let between = pair[1].at.checked_sub(pair[0].ended.unwrap()).unwrap();
        assert!(between >= ms(8000) && between < ms(8500), "{between:?}\n{}", sim.record());
    }
    // The last one is watched too; nothing follows it.
    assert!(took >= ms(3 * 3000 + 2 * 5000) && took < ms(20_500), "{took:?}");
    assert_eq!(containers(&sim).len(), 4, "{}", sim.record());
}

#[tokio::test(start_paused = true)]
async fn as_many_at_a_time_as_the_file_says() {
    for (parallelism, batches) in [(2, vec![2, 1]), (0, vec![3])] {
        let update = format!("parallelism: {parallelism}, delay: 5s");
        let sim = ran(&update).await;
        let from = sim.now();
        up_of(&sim, &file("web:2", &update)).await;
        let mut found = Vec::new();
        let mut last = None;
        for stop in since(&sim, from, Verb::Stop) {
            match last {
                Some(at) if stop.at < at + ms(1000) => *found.last_mut().unwrap() += 1,
                _ => found.push(1),
            }
            last = Some(stop.at);
        }
        assert_eq!(found, batches, "{}", sim.record());
    }
}

#[tokio::test(start_paused = true)]
async fn start_first_stops_the_old_one_when_the_new_one_is_ready_under_its_names() {
    let update = "order: start-first";
    let sim = ran(update).await;
    let from = sim.now();
    let old = containers(&sim);
    let ran = up_of(&sim, &file("web:2", update)).await;
    assert_eq!(ran.ended.finished.verdict, Verdict::Succeeded);
    let of = |verb| since(&sim, from, verb);
    let (starts, names, stops) = (of(Verb::Start), of(Verb::ConnectNetwork), of(Verb::Stop));
    for n in 0..3 {
        assert!(names[n].at >= starts[n].ended.unwrap() + ms(1000), "not ready\n{}", sim.record());
        assert!(stops[n].at >= names[n].ended.unwrap(), "not under its names\n{}", sim.record());
    }
    let new = containers(&sim);
    assert_eq!(old.keys().collect::<Vec<_>>(), new.keys().collect::<Vec<_>>());
    assert!(old.iter().all(|(name, id)| name == "p-client-1" || new[name] != *id));
    let replaced = sim.containers().into_iter().filter(|c| c.name.starts_with("p-web"));
    for container in replaced {
        assert!(container.networks["p_default"].aliases.contains(&"web".to_owned()), "{}", container.name);
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_container_that_is_never_ready_leaves_the_old_one_alone() {
    let update = "order: start-first";
    let sim = ran_with(update, Behaviour::new().never_ready().exits(7, ms(100))).await;
    let (from, before) = (sim.now(), containers(&sim));
    let ran = up_of(&sim, &file("web:2", update)).await;
    assert_eq!(ran.ended.finished.verdict, Verdict::Failed);
    assert_eq!(ran.ended.finished.aftermath, Aftermath::RolledBack);
    assert_eq!(containers(&sim), before, "{}", sim.record());
    let old: Vec<Request> =
        since(&sim, from, Verb::Stop).into_iter().filter(|r| before.contains_key(&r.subject)).collect();
    assert_eq!(old, [], "{}", sim.record());
}

#[tokio::test(start_paused = true)]
async fn what_can_only_be_had_once_is_updated_stop_first_with_a_word() {
    let port = |image: &str| {
        file(image, "order: start-first")
            .replace("replicas: 3, ", "")
            .replace("    x-orch", "    ports: ['80:80']\n    x-orch")
    };
    let sim = SimEngine::new(Script::new());
    up_of(&sim, &port("web:1")).await;
    let from = sim.now();
    let ran = up_of(&sim, &port("web:2")).await;
    assert_eq!(ran.ended.finished.verdict, Verdict::Succeeded, "{}", sim.record());
    assert!(since(&sim, from, Verb::Stop)[0].at < since(&sim, from, Verb::Start)[0].at);
    let warned = ran.events.iter().any(|event| {
        matches!(&event.kind, EventKind::Warning { message }
            if message.contains("only one container at a time can have host port 80"))
    });
    assert!(warned, "{:?}", ran.events);
}

/// The first update fails: how many follow, and what becomes of the project.
#[tokio::test(start_paused = true)]
async fn a_failed_update_does_what_the_file_says() {
    let cases = [
        ("failure_action: pause", Verdict::Failed, Aftermath::Kept, 1),
        ("failure_action: rollback", Verdict::Failed, Aftermath::RolledBack, 1),
        ("max_failure_ratio: 0.34, failure_action: pause", Verdict::Failed, Aftermath::Kept, 2),
    ];
    for (update, verdict, aftermath, creations) in cases {
        let sim = ran_with(update, Behaviour::new().exits(7, ms(100)).never_ready()).await;
        let (from, before) = (sim.now(), containers(&sim));
        let ran = up_of(&sim, &file("web:2", update)).await;
        let finished = ran.ended.finished;
        assert_eq!(
            (finished.verdict, finished.aftermath),
            (verdict, aftermath),
            "{update}\n{}",
            sim.record()
        );
        let begun: Vec<Request> = since(&sim, from, Verb::Start)
            .into_iter()
            .filter(|r| {
                before.values().all(|id| !id.starts_with(&r.subject)) && r.subject.starts_with("p-web")
            })
            .collect();
        let begun = if finished.aftermath == Aftermath::RolledBack { begun.len() - 1 } else { begun.len() };
        assert_eq!(begun, creations, "{update}\n{}", sim.record());
        if finished.aftermath == Aftermath::RolledBack {
            assert_eq!(containers(&sim), before, "{update}\n{}", sim.record());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn continue_goes_on_with_the_others_unless_all_fail() {
    let update = "failure_action: continue";
    let sim = ran_with(update, Behaviour::new().exits(7, ms(100)).never_ready()).await;
    let ran = up_of(&sim, &file("web:2", update)).await;
    assert_eq!(ran.ended.finished.verdict, Verdict::Failed, "all of them failed\n{}", sim.record());
    let tried = ran.events.iter().filter(|event| {
        matches!(&event.kind, EventKind::Service { replica, state: ServiceState::Failed, .. } if replica.service == "web")
    });
    assert_eq!(tried.count(), 3, "{}", sim.record());
}

#[tokio::test(start_paused = true)]
async fn a_policy_from_outside_beats_the_services_own() {
    let update = "failure_action: pause";
    let sim = ran_with(update, Behaviour::new().exits(7, ms(100)).never_ready()).await;
    let before = containers(&sim);
    let options = UpOptions { on_failure_given: true, ..UpOptions::default() };
    let asked = Asked { options, ..Asked::default() };
    let ran = up_as(&sim, &file("web:2", update), &asked).await.unwrap().unwrap();
    assert_eq!(ran.ended.finished.aftermath, Aftermath::RolledBack);
    assert_eq!(containers(&sim), before, "{}", sim.record());
}

/// Two containers of a service whose third version fails when all of them stand: the old ones come back as the file says.
async fn rolled_back(rollback: &str) -> (SimEngine, Duration) {
    let yaml = |image: &str, other: &str| {
        file(image, "parallelism: 0")
            .replace("replicas: 3, ", &format!("replicas: 2, rollback_config: {{{rollback}}}, "))
            + &format!(
                "  last:\n    image: {other}\n    depends_on: [web]\n    x-orch: {{health_check: {{tcp: 1}}}}\n"
            )
    };
    let slow = || Behaviour::new().ready_after(ms(1000));
    let script = Script::new()
        .service("web", slow())
        .running("last:2", Behaviour::new().exits(9, ms(3000)).never_ready());
    let sim = SimEngine::new(script);
    up_of(&sim, &yaml("web:1", "last:1")).await;
    let before = containers(&sim);
    let from = sim.now();
    let ran = up_of(&sim, &yaml("web:2", "last:2")).await;
    let finished = ran.ended.finished;
    assert_eq!(
        (finished.verdict, finished.aftermath),
        (Verdict::Failed, Aftermath::RolledBack),
        "{}",
        sim.record()
    );
    assert_eq!(containers(&sim), before, "{}", sim.record());
    (sim, from)
}

#[tokio::test(start_paused = true)]
async fn containers_are_put_back_a_few_at_a_time() {
    let (sim, from) = rolled_back("parallelism: 1, delay: 4s, monitor: 2s").await;
    // Those of the update come first.
    let starts = since(&sim, from, Verb::Start).split_off(2);
    assert_eq!(starts.len(), 2, "{}", sim.record());
    let between = starts[1].at.checked_sub(starts[0].ended.unwrap()).unwrap();
    assert!(between >= ms(7000) && between < ms(7500), "{between:?}\n{}", sim.record());
    let removed = since(&sim, from, Verb::Remove);
    assert!(removed[1].at >= starts[0].ended.unwrap() + ms(7000), "both gone at once\n{}", sim.record());
}

#[tokio::test(start_paused = true)]
async fn an_old_container_is_ready_before_the_new_one_goes() {
    let (sim, from) = rolled_back("parallelism: 0, order: start-first").await;
    let starts = since(&sim, from, Verb::Start).split_off(2);
    let removed = since(&sim, from, Verb::Remove);
    assert_eq!((starts.len(), removed.len()), (2, 2), "{}", sim.record());
    let ready = starts.iter().map(|r| r.ended.unwrap() + ms(1000)).min().unwrap();
    assert!(removed.iter().all(|r| r.at >= ready), "{}", sim.record());
}

#[tokio::test(start_paused = true)]
async fn what_is_only_created_makes_no_batches() {
    for update in ["delay: 5s", "order: start-first"] {
        let sim = ran(update).await;
        let options = UpOptions { no_start: true, ..UpOptions::default() };
        let asked = Asked { options, ..Asked::default() };
        let ran = up_as(&sim, &file("web:2", update), &asked).await.unwrap().unwrap();
        assert_eq!(ran.ended.finished.verdict, Verdict::Succeeded, "{update}\n{}", sim.record());
        assert!(ran.took < ms(2000), "{update}: {:?}", ran.took);
        let created = sim.containers().into_iter().filter(|c| c.image == "web:2");
        assert_eq!(created.count(), 3, "{update}\n{}", sim.record());
    }
}
