//! Networks and volumes that are replaced, with what is around them: other services, one-off containers, failures.

use docker_orch::{
    engine::{
        EngineErrorKind as Kind,
        sim::{Behaviour, Effect, Fault, Script, SimEngine, Verb},
    },
    event::{Aftermath, Verdict},
    plan::{ContainerState, OneOffTarget, UpOptions},
};

use crate::{
    convergence::{NETWORKED, asked},
    support::lab::{Asked, Ran, up_as, up_of},
};

const fn ms(n: u64) -> std::time::Duration {
    std::time::Duration::from_millis(n)
}

/// The file whose network is another.
fn changed(yaml: &str) -> String {
    yaml.replace("v: '1'", "v: '2'")
}

/// An `up` in which every question is answered with yes.
async fn up_yes(sim: &SimEngine, yaml: &str) -> Ran {
    let asked = Asked { yes: true, ..Asked::default() };
    up_as(sim, yaml, &asked).await.expect("nobody kills it").expect("a beginning")
}

/// Every container's name, ID and state.
fn containers(sim: &SimEngine) -> Vec<(String, String, ContainerState)> {
    sim.containers().into_iter().map(|c| (c.name, c.id, c.state)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_one_off_beside_its_service_does_not_keep_that_from_moving_over() {
    let sim = SimEngine::new(Script::new());
    up_of(&sim, NETWORKED).await;
    let before = containers(&sim);
    let one_off = OneOffTarget { service: "api".to_owned(), ..OneOffTarget::default() };
    let options = UpOptions { one_off: Some(one_off), ..UpOptions::default() };
    let asked = Asked { options, ..Asked::default() };
    let ran = up_as(&sim, &changed(NETWORKED), &asked).await.expect("nobody kills it").expect("a beginning");
    assert_eq!(ran.ended.finished.verdict, Verdict::Succeeded, "{}", sim.record());
    let after = containers(&sim);
    assert!(before.iter().all(|container| after.contains(container)), "{}", sim.record());
}

#[tokio::test(start_paused = true)]
async fn a_rollback_moves_back_what_no_service_of_the_files_has() {
    let broken = Script::new().running("db-broken", Behaviour::new().never_ready().exits(3, ms(500)));
    let sim = SimEngine::new(broken);
    up_of(&sim, NETWORKED).await;
    let (before, networks) = (containers(&sim), sim.networks());
    let without_api = NETWORKED.lines().filter(|l| !l.contains("api:")).collect::<Vec<_>>().join("\n") + "\n";
    let new =
        changed(&without_api).replace("image: db,", "image: db-broken, x-orch: {health_check: {tcp: 1}},");
    let ran = up_of(&sim, &new).await;
    assert_eq!(ran.ended.finished.aftermath, Aftermath::RolledBack, "{}", sim.record());
    assert_eq!((containers(&sim), sim.networks()), (before, networks), "{}", sim.record());
}

#[tokio::test(start_paused = true)]
async fn who_shares_a_network_namespace_moves_over_with_its_owner() {
    let yaml =
        NETWORKED.replace("networks:\n", "  guest: {image: guest, network_mode: 'service:db'}\nnetworks:\n");
    let sim = SimEngine::new(Script::new());
    up_of(&sim, &yaml).await;
    let (before, from) = (containers(&sim), sim.requests().len());
    up_of(&sim, &changed(&yaml)).await;
    assert_eq!(containers(&sim), before);
    let asked = asked(&sim, from);
    let at = |what: &str| asked.iter().position(|a| a == what).unwrap_or_else(|| panic!("{what}: {asked:?}"));
    assert!(at("stop p-guest-1") < at("stop p-db-1"), "{asked:?}");
    assert!(at("start p-db-1") < at("start p-guest-1"), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_stopped_before_the_images_are_there() {
    for (critical, verdict) in [(true, Verdict::Failed), (false, Verdict::Succeeded)] {
        let sim = SimEngine::new(Script::new().no_images());
        up_of(&sim, NETWORKED).await;
        let from = sim.requests().len();
        sim.add_fault(Fault::on(Verb::Pull, Effect::Fail(Kind::Failed)));
        let extra = format!("  extra: {{image: extra, x-orch: {{critical: {critical}}}}}\nnetworks:\n");
        let ran = up_of(&sim, &changed(NETWORKED).replace("networks:\n", &extra)).await;
        assert_eq!(ran.ended.finished.verdict, verdict, "{}", sim.record());
        let stopped = asked(&sim, from).iter().any(|a| a.starts_with("stop"));
        assert_eq!(stopped, !critical, "{}", sim.record());
        assert!(ran.took < ms(60_000), "{:?}", ran.took);
    }
}

const DATA: &str = "
services:
  db: {image: db, volumes: ['data:/data', 'more:/more']}
volumes: {data: {labels: {v: '1'}}, more: {labels: {v: '1'}}}
";

#[tokio::test(start_paused = true)]
async fn a_container_with_two_volumes_that_are_replaced_goes_once() {
    let sim = SimEngine::new(Script::new());
    up_of(&sim, DATA).await;
    let from = sim.requests().len();
    let ran = up_yes(&sim, &changed(DATA)).await;
    assert_eq!(ran.ended.finished.verdict, Verdict::Succeeded, "{}", sim.record());
    let asked = asked(&sim, from);
    for what in ["stop p-db-1", "remove p-db-1", "remove_volume p_data", "remove_volume p_more"] {
        assert_eq!(asked.iter().filter(|a| *a == what).count(), 1, "{what}: {asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_optional_and_cannot_be_made_holds_no_replacement_up() {
    for (critical, verdict) in [(true, Verdict::Failed), (false, Verdict::Succeeded)] {
        let sim = SimEngine::new(Script::new());
        up_of(&sim, DATA).await;
        let from = sim.requests().len();
        sim.add_fault(Fault::on(Verb::Create, Effect::Fail(Kind::Failed)).of("p-extra-1"));
        let extra = format!("  extra: {{image: extra, x-orch: {{critical: {critical}}}}}\nvolumes:");
        let ran = up_yes(&sim, &changed(DATA).replace("volumes: {data:", &format!("{extra} {{data:"))).await;
        assert_eq!(ran.ended.finished.verdict, verdict, "{}", sim.record());
        assert_eq!(
            asked(&sim, from).iter().any(|a| a == "remove_volume p_data"),
            !critical,
            "{}",
            sim.record()
        );
        assert!(ran.took < ms(60_000), "{:?}", ran.took);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_put_back_is_started_without_the_hooks_of_the_files() {
    let broken = Script::new().running("api-broken", Behaviour::new().never_ready().exits(3, ms(10)));
    let sim = SimEngine::new(broken);
    let hooked = NETWORKED.replace("image: db,", "image: db, post_start: [{command: [hello]}],");
    up_of(&sim, &hooked).await;
    let hooks = |sim: &SimEngine| sim.requests().iter().filter(|r| r.verb == Verb::Exec).count();
    let before = hooks(&sim);
    let new = changed(&hooked).replace("image: api, networks", "image: api-broken, networks");
    let new = new.replace("depends_on: [db]", "depends_on: [db], x-orch: {health_check: {tcp: 1}}");
    let ran = up_of(&sim, &new).await;
    assert_eq!(ran.ended.finished.aftermath, Aftermath::RolledBack, "{}", sim.record());
    // Its first start, and the one on the new network.
    assert_eq!((before, hooks(&sim)), (1, 2), "{}", sim.record());
}
