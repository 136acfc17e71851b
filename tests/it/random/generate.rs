//! Worlds from random numbers.

use docker_orch::{
    engine::{
        EngineErrorKind as Kind,
        sim::{Effect, Outage, Verb},
    },
    plan::EngineHealth,
    run::Ending,
};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    strategy::{Union, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{
    acts::{Act, Command, Jolt, Kill, Slip, Up, World},
    project::{Change, Check, FATEFUL, Fate, Service, Settings, Shape, ms},
};

fn often(probability: f64) -> impl Strategy<Value = bool> {
    prop::bool::weighted(probability)
}

fn service() -> impl Strategy<Value = Service> {
    let deps = vec((1..4usize, often(0.6), often(0.8), any::<bool>()), 0..3);
    let check = prop_oneof![
        2 => Just(Check::None), 3 => Just(Check::Tcp), 2 => Just(Check::Staged),
        1 => any::<bool>().prop_map(|any| Check::Composite { any }),
        2 => Just(Check::Healthcheck), 2 => Just(Check::OneShot)
    ];
    let fate = prop_oneof![
        8 => Just(Fate::Well),
        1 => Just(Fate::NeverReady),
        1 => (prop_oneof![Just(0), Just(3)], 1..3000u64).prop_map(|(code, after)| Fate::Exits { code, after }),
        1 => (1..3000u64).prop_map(|after| Fate::OutOfMemory { after }),
        1 => (1..3u32).prop_map(|starts| Fate::Flaky { starts }),
        1 => Just(Fate::UnreadyLater),
        1 => Just(Fate::Blinks),
    ];
    let change = prop_oneof![
        4 => Just(Change::None), 3 => Just(Change::Image), 1 => Just(Change::Environment),
        1 => Just(Change::Removed), 1 => Just(Change::Added), 1 => (0..4u32).prop_map(Change::Scale)
    ];
    let restart = prop_oneof![4 => Just(None), 1 => Just(Some("always")), 1 => Just(Some("on-failure"))];
    let wave = (option::weighted(0.7, 0..3usize), any::<bool>());
    let times = (0..3000u64, 1..500u64);
    let looks = (1..4u32, often(0.7), check, 0..3u32, restart);
    let rare = (often(0.3), often(0.2), often(0.1), often(0.05), often(0.1));
    (deps, looks, wave, times, fate, change, rare).prop_map(
        |(deps, looks, wave, times, fate, change, rare)| {
            let (scale, critical, check, retries, restart) = looks;
            let (liveness, shares, outside, profile, deaf) = rare;
            Service {
                deps,
                scale: if shares { 1 } else { scale },
                critical,
                check,
                liveness,
                retries,
                restart,
                wave: wave.0,
                sequential: wave.1,
                shares,
                outside,
                profile,
                deaf,
                ready_after: times.0,
                start_takes: times.1,
                fate,
                change,
            }
        },
    )
}

fn settings() -> impl Strategy<Value = Settings> {
    let policy =
        prop_oneof![4 => Just("rollback"), 1 => Just("teardown"), 1 => Just("stop"), 1 => Just("keep")];
    let ready_when = vec(prop::sample::select(vec!["all", "any", "2", "50%"]), 3);
    let limits = (option::weighted(0.3, 5000..30_000u64), option::weighted(0.4, 1..4u32));
    let kind = (often(0.2), often(0.1), often(0.2), often(0.4));
    let changes = (often(0.25), often(0.1), often(0.3));
    (ready_when, policy, limits, kind, changes).prop_map(|(ready_when, on_failure, limits, kind, changes)| {
        Settings {
            ready_when,
            wave_timeout: limits.0,
            on_failure,
            max_parallel: limits.1,
            plain: kind.0,
            one_by_one: kind.1,
            pull: kind.2,
            fresh: kind.3,
            drift: changes.0,
            renamed: changes.1,
            content: changes.2,
        }
    })
}

fn verb() -> impl Strategy<Value = Verb> {
    use Verb::{
        Create, CreateNetwork, CreateVolume, Events, Inspect, Observe, Pull, Reconnect, Remove,
        RemoveNetwork, Rename, RestoreNetwork, Start, Stop, Users,
    };
    let often = [Create, Inspect, Remove, Rename, Start, Stop];
    let seldom =
        [CreateNetwork, CreateVolume, Events, Observe, Pull, Reconnect, RemoveNetwork, RestoreNetwork, Users];
    prop::sample::select([often.as_slice(), &often, &seldom].concat())
}

fn slips() -> impl Strategy<Value = Vec<Slip>> {
    let effect = prop_oneof![
        Just(Effect::Fail(Kind::Failed)),
        Just(Effect::Fail(Kind::Unreachable)),
        Just(Effect::Hang),
        Just(Effect::Ambiguous),
        Just(Effect::Late(ms(5000))),
    ];
    let one = (option::weighted(0.8, verb()), 1..12u32, effect);
    let one = one.prop_map(|(verb, nth, effect)| Slip { verb, nth, effect });
    let slow = (100..900u64).prop_map(|n| vec![Slip { verb: None, nth: 0, effect: Effect::Late(ms(n)) }]);
    prop_oneof![4 => Just(Vec::new()), 5 => vec(one, 1..3), 1 => slow]
}

fn jolts() -> impl Strategy<Value = Vec<(u64, Jolt)>> {
    let outage = prop_oneof![Just(Outage::LiveRestore), Just(Outage::TakesAll)];
    let health = prop_oneof![Just(EngineHealth::Healthy), Just(EngineHealth::Unhealthy)];
    let jolt = prop_oneof![
        2 => (50..8000u64, outage).prop_map(|(away, outage)| Jolt::Daemon(away, outage)),
        1 => Just(Jolt::BreakEvents),
        1 => Just(Jolt::Deafen),
        2 => (0..20usize, prop_oneof![Just(0), Just(1)]).prop_map(|(place, code)| Jolt::Crash(place, code)),
        1 => (0..20usize).prop_map(Jolt::OutOfMemory),
        1 => (0..20usize, health).prop_map(|(place, health)| Jolt::Claim(place, health)),
    ];
    prop_oneof![4 => Just(Vec::new()), 1 => vec((0..6000u64, jolt), 1..3)]
}

fn command() -> impl Strategy<Value = Command> {
    let version = prop_oneof![6 => Just(FATEFUL), 2 => Just(2), 2 => Just(0)];
    let flags =
        (often(0.2), often(0.08), any::<bool>(), option::weighted(0.1, 0..8usize), often(0.3), often(0.1));
    let up =
        (version, flags).prop_map(|(version, (watch, no_start, remove_orphans, only, no_deps, force))| {
            let (watch, no_deps) = (watch && !no_start, no_deps && only.is_some());
            Command::Up(Up { version, watch, no_start, remove_orphans, only, no_deps, force_recreate: force })
        });
    let end =
        prop::sample::select(vec![Ending::Down, Ending::Stop, Ending::Kill, Ending::Start, Ending::Restart]);
    prop_oneof![3 => up, 1 => end.prop_map(Command::End)]
}

fn act() -> impl Strategy<Value = Act> {
    let cancels = prop_oneof![3 => Just(Vec::new()), 1 => vec((0..9000u64, often(0.2)), 1..3)];
    let kill = prop_oneof![(0..9000u64).prop_map(Kill::After), (0..150u64).prop_map(Kill::AtRecord)];
    let pause = prop_oneof![Just(10_000), 0..3000u64];
    let all = (command(), pause, slips(), jolts(), cancels, option::weighted(0.2, kill));
    all.prop_map(|(command, pause, slips, jolts, mut cancels, killed)| {
        cancels.sort_by_key(|c| c.0);
        Act { command, pause, slips, jolts, cancels, killed }
    })
}

fn world() -> impl Strategy<Value = World> {
    let acts = Union::new_weighted(vec![(2, vec(act(), 1..2)), (3, vec(act(), 2..5))]);
    let shape = (vec(service(), 1..8), settings()).prop_map(|(mut services, settings)| {
        // A file has services.
        services[0].profile = false;
        if matches!(services[0].change, Change::Removed | Change::Added) {
            services[0].change = Change::Image;
        }
        Shape { services, settings }
    });
    (shape, acts, often(0.2)).prop_map(|(shape, mut acts, strangers)| {
        // Most stories begin with a project that runs, or with the first start of one that does not.
        if shape.settings.fresh {
            acts[0].command = match acts[0].command {
                Command::Up(up) => Command::Up(Up { version: FATEFUL, ..up }),
                Command::End(_) => Command::Up(Up { version: FATEFUL, ..Up::default() }),
            };
        } else {
            acts.insert(0, Act::calm_up(0));
        }
        World { shape, acts, strangers }
    })
}

/// What makes the world of this number, and smaller ones like it.
pub(super) fn runner(seed: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// The world of this number, as a tree of smaller and smaller ones.
pub(super) fn tree(runner: &mut TestRunner) -> impl ValueTree<Value = World> + use<> {
    world().new_tree(runner).expect("a world")
}
