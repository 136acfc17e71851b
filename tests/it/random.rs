//! Random projects with random faults on the simulated engine: what must hold however a run goes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use docker_orch::{
    engine::{
        EngineErrorKind as Kind,
        sim::{Behaviour, Effect, Fault, Request, Script, SimEngine, Verb},
    },
    event::{Aftermath, CancelReason, EventKind, Verdict},
    executor::CancelRequest,
    plan::{Container, ContainerState, EndOptions, UpOptions},
    run::Ending,
};
use proptest::{collection::vec, option, prelude::*};

use crate::support::lab::{Asked, Ran, Shelf, end_of, up_as};

/// How a service is found to be ready.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Check {
    None,
    Tcp,
    Staged,
    Healthcheck,
    /// It is to exit with 0.
    OneShot,
}

/// What a service's containers do.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Well,
    NeverReady,
    Exits { code: i64, after: u64 },
    Flaky { starts: u32 },
    UnreadyLater,
}

#[derive(Debug, Clone)]
struct Service {
    /// The service depended on (by distance), as in the file; `required`, `restart`.
    deps: Vec<(usize, bool, bool, bool)>,
    scale: u32,
    critical: bool,
    check: Check,
    retries: u32,
    restart: Option<&'static str>,
    wave: Option<usize>,
    sequential: bool,
    ready_after: u64,
    start_takes: u64,
    fate: Fate,
    change: Change,
}

/// What is different in the project that ran before.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    None,
    Image,
    /// It is not in the file any more.
    Removed,
    /// It is new.
    Added,
    Scale(u32),
}

#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "switches that are thrown independently of each other")]
struct World {
    services: Vec<Service>,
    ready_when: Vec<&'static str>,
    wave_timeout: Option<u64>,
    on_failure: &'static str,
    max_parallel: Option<u32>,
    plain: bool,
    update: bool,
    remove_orphans: bool,
    watch: bool,
    pull: bool,
    /// The network is another in the new version.
    drift: bool,
    /// What a config contains is another in the new version.
    content: bool,
    no_start: bool,
    faults: Vec<(Option<Verb>, u32, u8)>,
    cancels: Vec<(u64, bool)>,
    killed_at: Option<u64>,
}

fn service() -> impl Strategy<Value = Service> {
    let deps = vec((1..4usize, prop::bool::weighted(0.6), prop::bool::weighted(0.8), any::<bool>()), 0..3);
    let check = prop_oneof![
        2 => Just(Check::None), 3 => Just(Check::Tcp), 2 => Just(Check::Staged),
        2 => Just(Check::Healthcheck), 2 => Just(Check::OneShot)
    ];
    let fate = prop_oneof![
        8 => Just(Fate::Well),
        1 => Just(Fate::NeverReady),
        1 => (prop_oneof![Just(0), Just(3)], 1..3000u64).prop_map(|(code, after)| Fate::Exits { code, after }),
        1 => (1..3u32).prop_map(|starts| Fate::Flaky { starts }),
        1 => Just(Fate::UnreadyLater),
    ];
    let change = prop_oneof![
        4 => Just(Change::None), 3 => Just(Change::Image), 1 => Just(Change::Removed),
        1 => Just(Change::Added), 1 => (0..4u32).prop_map(Change::Scale)
    ];
    let restart = prop_oneof![4 => Just(None), 1 => Just(Some("always")), 1 => Just(Some("on-failure"))];
    let wave = (option::weighted(0.7, 0..3usize), any::<bool>());
    let times = (0..3000u64, 1..500u64);
    let looks = (1..4u32, prop::bool::weighted(0.7), check, 0..3u32, restart);
    (deps, looks, wave, times, fate, change).prop_map(
        |(deps, (scale, critical, check, retries, restart), (wave, sequential), times, fate, change)| {
            Service {
                deps,
                scale,
                critical,
                check,
                retries,
                restart,
                wave,
                sequential,
                ready_after: times.0,
                start_takes: times.1,
                fate,
                change,
            }
        },
    )
}

fn verb() -> impl Strategy<Value = Verb> {
    use Verb::{
        Create, CreateNetwork, CreateVolume, Events, Inspect, Observe, Pull, Reconnect, Remove,
        RemoveNetwork, Rename, Start, Stop, Users,
    };
    prop::sample::select(vec![
        Create,
        CreateNetwork,
        CreateVolume,
        Events,
        Inspect,
        Observe,
        Pull,
        Reconnect,
        Remove,
        RemoveNetwork,
        Rename,
        Start,
        Stop,
        Users,
    ])
}

fn world() -> impl Strategy<Value = World> {
    let policy =
        prop_oneof![4 => Just("rollback"), 1 => Just("teardown"), 1 => Just("stop"), 1 => Just("keep")];
    let ready_when = vec(prop::sample::select(vec!["all", "any", "2", "50%"]), 3);
    let fault = (option::weighted(0.8, verb()), 1..12u32, 0..4u8);
    let cancels = prop_oneof![
        3 => Just(Vec::new()),
        1 => vec((0..9000u64, prop::bool::weighted(0.2)), 1..3),
    ];
    let switches = (
        prop::bool::weighted(0.2),
        any::<bool>(),
        any::<bool>(),
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.2),
    );
    let changes = (prop::bool::weighted(0.3), prop::bool::weighted(0.3), prop::bool::weighted(0.1));
    let limits = (option::weighted(0.3, 5000..30_000u64), option::weighted(0.4, 1..4u32));
    let killed = option::weighted(0.2, 0..9000u64);
    let asked = (limits, switches, changes);
    (vec(service(), 1..8), ready_when, policy, asked, vec(fault, 0..3), cancels, killed).prop_map(
        |(services, ready_when, on_failure, asked, faults, mut cancels, killed_at)| {
            let (limits, switches, changes) = asked;
            cancels.sort_by_key(|c| c.0);
            World {
                services,
                ready_when,
                wave_timeout: limits.0,
                on_failure,
                max_parallel: limits.1,
                plain: switches.0,
                update: switches.1,
                remove_orphans: switches.2,
                watch: switches.3,
                pull: switches.4,
                drift: changes.0,
                content: changes.1,
                no_start: changes.2,
                faults,
                cancels,
                killed_at,
            }
        },
    )
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What a service of one version of the project is.
struct Defined<'a> {
    name: String,
    service: &'a Service,
    image: String,
    scale: u32,
    /// Services it depends on, by place, with condition.
    deps: Vec<(usize, Waits, bool, bool)>,
    wave: Option<usize>,
}

/// What a dependent waits for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Waits {
    Started,
    Ready,
    Completed,
    Stage,
}

/// One version of the project: services by their place.
fn version(world: &World, new: bool) -> BTreeMap<usize, Defined<'_>> {
    let mut defined: BTreeMap<usize, Defined<'_>> = BTreeMap::new();
    // Whatever depends on something, by whatever way, stands in no earlier wave.
    let mut least = vec![0; world.services.len()];
    for (place, service) in world.services.iter().enumerate() {
        let change = if world.update { service.change } else { Change::None };
        let absent = match change {
            Change::Removed => new,
            Change::Added => !new,
            Change::None | Change::Image | Change::Scale(_) => false,
        };
        if absent {
            continue;
        }
        let tag = if !new {
            1
        } else if !world.update || change == Change::Image || change == Change::Added {
            2
        } else {
            1
        };
        let mut deps: Vec<(usize, Waits, bool, bool)> = Vec::new();
        for (distance, strong, required, restart) in &service.deps {
            let Some(on) = place.checked_sub(*distance).filter(|on| defined.contains_key(on)) else {
                continue;
            };
            if deps.iter().any(|d| d.0 == on) {
                continue;
            }
            let waits = match (world.services[on].check, strong) {
                (Check::OneShot, _) => Waits::Completed,
                (Check::None, _) | (_, false) => Waits::Started,
                (Check::Staged, true) if !restart && !world.plain => Waits::Stage,
                // A plain file has no checks of ours to wait for.
                (Check::Tcp | Check::Staged, true) if world.plain => Waits::Started,
                (Check::Tcp | Check::Staged | Check::Healthcheck, true) => Waits::Ready,
            };
            deps.push((on, waits, *required, *restart));
        }
        let floor = deps.iter().map(|d| least[d.0]).max().unwrap_or(0);
        let wave = service.wave.filter(|_| !world.plain).map(|w| w.max(floor));
        least[place] = wave.unwrap_or(floor);
        let scale = match change {
            Change::Scale(n) if new => n,
            _ => service.scale,
        };
        let image = format!("s{place}:{tag}");
        defined.insert(place, Defined { name: format!("s{place}"), service, image, scale, deps, wave });
    }
    defined
}

fn yaml(world: &World, version: &BTreeMap<usize, Defined<'_>>, new: bool) -> String {
    let mut text = String::from("services:\n");
    for d in version.values() {
        let s = d.service;
        let vols = if s.scale == 2 { ", volumes: ['data:/data']" } else { "" };
        let file = if s.start_takes % 2 == 0 { ", configs: [app]" } else { "" };
        let pull = if world.pull { ", pull_policy: always" } else { "" };
        write!(text, "  {}: {{image: '{}', scale: {}{vols}{pull}{file}", d.name, d.image, d.scale).unwrap();
        if let Some(restart) = s.restart.filter(|_| s.check != Check::OneShot) {
            write!(text, ", restart: {restart}").unwrap();
        }
        if s.check == Check::Healthcheck {
            text.push_str(", healthcheck: {test: [CMD, check], interval: 1s, timeout: 2s, retries: 2}");
        }
        let mut staged = String::new();
        if !d.deps.is_empty() {
            text.push_str(", depends_on: {");
            for (on, waits, required, restart) in &d.deps {
                let condition = match waits {
                    Waits::Started => "service_started",
                    Waits::Ready => "service_healthy",
                    Waits::Completed => "service_completed_successfully",
                    Waits::Stage => {
                        write!(staged, "s{on}: {{stage: first, required: {required}}}, ").unwrap();
                        continue;
                    }
                };
                write!(text, "s{on}: {{condition: {condition}, required: {required}, restart: {restart}}}, ")
                    .unwrap();
            }
            text.push('}');
        }
        if !world.plain {
            let check = match s.check {
                Check::Tcp => ", health_check: {tcp: 1, name: port, interval: 1s}",
                Check::Staged => {
                    ", health_check: {type: staged, stages: [{name: first, tcp: 1}, {name: second, tcp: 2, timeout: 20s}]}"
                }
                Check::None | Check::Healthcheck | Check::OneShot => "",
            };
            write!(
                text,
                ", x-orch: {{critical: {}, start: {{retries: {}, backoff: 100ms}}{check}, depends_on: {{{staged}}}}}",
                s.critical, s.retries
            )
            .unwrap();
        }
        text.push_str("}\n");
    }
    let (side, content) = (u8::from(new && world.drift), u8::from(new && world.content));
    writeln!(text, "volumes: {{data: {{}}}}\nnetworks: {{default: {{labels: {{side: '{side}'}}}}}}").unwrap();
    writeln!(text, "configs: {{app: {{content: 'c{content}'}}}}").unwrap();
    if !world.plain {
        write!(text, "x-orch:\n  on_failure: {}\n  startup: {{timeout: 60s", world.on_failure).unwrap();
        if let Some(n) = world.max_parallel {
            write!(text, ", max_parallel: {n}").unwrap();
        }
        text.push_str("}\n  waves:\n");
        for wave in 0..3 {
            let list = |sequential: bool| {
                let in_it =
                    version.values().filter(|d| d.wave == Some(wave) && d.service.sequential == sequential);
                in_it.map(|d| d.name.clone()).collect::<Vec<_>>().join(", ")
            };
            let timeout = world.wave_timeout.map(|t| format!(", timeout: {t}ms")).unwrap_or_default();
            let (line, rest) = (list(true), list(false));
            if line.is_empty() && rest.is_empty() {
                continue;
            }
            let when = world.ready_when[wave];
            writeln!(text, "    - {{name: w{wave}, ready_when: {when}, sequential: [{line}], parallel: [{rest}]{timeout}}}").unwrap();
        }
        text = text.replace(
            "  waves:\n",
            if version.values().any(|d| d.wave.is_some()) { "  waves:\n" } else { "" },
        );
    }
    text
}

fn behaviour(service: &Service, well: bool) -> Behaviour {
    let ready = if well { 100 } else { service.ready_after };
    let fate = if well { Fate::Well } else { service.fate };
    let b = Behaviour::new().start_takes(ms(service.start_takes));
    let b = b.ready_after(ms(ready)).stage_after("first", ms(ready / 2));
    let once = service.check == Check::OneShot;
    match fate {
        Fate::Well | Fate::UnreadyLater if once => b.exits(0, ms(ready)),
        Fate::Well => b,
        Fate::NeverReady => b.never_ready(),
        Fate::Exits { code, after } => b.exits(code, ms(after)),
        Fate::Flaky { starts } => b.exits_times(1, ms(50), starts),
        Fate::UnreadyLater => b.unready(ms(ready + 2000), ms(ready + 60_000)),
    }
}

fn script(world: &World) -> Script {
    world.services.iter().enumerate().fold(Script::new(), |script, (place, s)| {
        script
            .running(&format!("s{place}:1"), behaviour(s, true))
            .running(&format!("s{place}:2"), behaviour(s, false))
    })
}

type Seen = Vec<(String, String, bool)>;

fn seen(sim: &SimEngine) -> Seen {
    let running = |c: &Container| c.state == ContainerState::Running;
    sim.containers().iter().map(|c| (c.name.clone(), c.id.clone(), running(c))).collect()
}

fn is_leftover(name: &str) -> bool {
    name.ends_with(".previous") || !name.starts_with("p-")
}

#[expect(clippy::too_many_lines, reason = "one story, in its order")]
async fn check(world: World) {
    let sim = SimEngine::new(script(&world));
    let (old, new) = (version(&world, false), version(&world, true));
    let (old_yaml, new_yaml) = (yaml(&world, &old, false), yaml(&world, &new, true));
    let shelf = Some(Shelf::default());
    let remembering = || Asked { fingerprints: shelf.clone(), ..Asked::default() };
    if new.is_empty() || old.is_empty() {
        return;
    }
    if world.update {
        let ran = up_as(&sim, &old_yaml, &remembering()).await.unwrap().unwrap();
        let finished = ran.ended.finished;
        assert_eq!(finished.verdict, Verdict::Succeeded, "{finished:?} {old_yaml}\n{}", sim.record());
    }
    // What is to end does so.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let before = seen(&sim);
    let began = sim.now();
    let skipped = sim.requests().len();
    for (verb, nth, effect) in &world.faults {
        let effect = match effect {
            0 => Effect::Fail(Kind::Failed),
            1 => Effect::Hang,
            2 => Effect::Ambiguous,
            _ => Effect::Late(ms(5000)),
        };
        let fault = verb.map_or_else(|| Fault::on_change(effect.clone()), |v| Fault::on(v, effect.clone()));
        sim.add_fault(fault.nth(*nth));
    }
    let request = |force: bool| if force { CancelRequest::Force } else { CancelRequest::Graceful };
    let mut cancels: Vec<_> = world.cancels.iter().map(|(at, force)| (*at, request(*force))).collect();
    // A file without `x-orch` gives no deadline: what is never healthy is waited for until somebody has enough.
    let patience = (600_000, CancelRequest::Graceful);
    if (world.watch || world.plain) && cancels.is_empty() {
        cancels.push(patience);
    }
    let options =
        UpOptions { remove_orphans: world.remove_orphans, no_start: world.no_start, ..UpOptions::default() };
    let watch = world.watch && !world.no_start;
    let asked = Asked { cancels, watch, options, killed_at: world.killed_at, ..remembering() };
    let ran = up_as(&sim, &new_yaml, &asked).await;
    let end = sim.now();
    let seen_now = seen(&sim);
    if let Some(Ok(ran)) = &ran {
        let story = || {
            let events = ran.events.iter().map(|e| format!("{:?} {:?}\n", e.at, e.kind));
            let told = events.filter(|e| !e.contains("Probed")).collect::<String>();
            format!("{new_yaml}\n{:?}\n{}\n{told}\nbegan {began:?}", ran.ended.finished, sim.record())
        };
        let run = Looked {
            world: &world,
            sim: &sim,
            ran,
            new: &new,
            began,
            skipped,
            before: &before,
            now: &seen_now,
        };
        if world.no_start {
            run.nothing_starts(&story);
        }
        run.starts_wait_for_their_gates(&story);
        run.starts_are_limited(&story);
        run.ends_as_it_says(&story);
    }
    // Whatever the engine was still at comes to its end.
    tokio::time::sleep(Duration::from_mins(5)).await;
    sim.clear_faults();
    assert!(sim.now() > end);
    if ran.is_none() || matches!(&ran, Some(Ok(r)) if was_killed(r)) {
        let patient = Asked { cancels: vec![patience], ..remembering() };
        let again = up_as(&sim, &new_yaml, &patient).await.unwrap().unwrap();
        assert!(
            world.plain || again.ended.finished.verdict != Verdict::Cancelled,
            "{new_yaml}\n{}",
            sim.record()
        );
        let healthy = up_as(&sim, &old_yaml, &remembering()).await.unwrap().unwrap();
        let finished = healthy.ended.finished;
        assert_eq!(finished.verdict, Verdict::Succeeded, "{finished:?} {old_yaml}\n{}", sim.record());
        let left: Vec<_> = seen(&sim).into_iter().filter(|s| is_leftover(&s.0)).collect();
        assert!(left.iter().all(|l| !known(&old, &l.0)), "{left:?}\n{old_yaml}\n{}", sim.record());
    }
    let options = EndOptions { orphans: true, ..EndOptions::default() };
    let down = end_of(&sim, &new_yaml, Ending::Down, &options).await;
    assert_eq!(
        down.finished.verdict,
        Verdict::Succeeded,
        "{:?}\n{new_yaml}\n{}",
        down.finished,
        sim.record()
    );
    assert!(sim.containers().is_empty() && sim.networks().is_empty(), "{:?}\n{}", seen(&sim), sim.record());
}

/// Whether somebody would not wait: then the engine may still be at what it was asked for.
fn was_killed(ran: &Ran) -> bool {
    let forced = EventKind::CancelRequested { reason: CancelReason::Forced };
    ran.events.iter().any(|e| e.kind == forced)
}

fn known(version: &BTreeMap<usize, Defined<'_>>, container: &str) -> bool {
    version.values().any(|d| container.contains(&format!("p-{}-", d.name)))
}

/// One run, looked at from outside.
struct Looked<'a> {
    world: &'a World,
    sim: &'a SimEngine,
    ran: &'a Ran,
    new: &'a BTreeMap<usize, Defined<'a>>,
    began: Duration,
    skipped: usize,
    before: &'a Seen,
    now: &'a Seen,
}

impl Looked<'_> {
    fn requests(&self) -> Vec<Request> {
        self.sim.requests().split_off(self.skipped)
    }

    /// When the first thing happened that ends the start.
    fn cancelled(&self) -> Option<Duration> {
        let is_cancel = |e: &&docker_orch::event::Event| matches!(e.kind, EventKind::CancelRequested { .. });
        self.ran.events.iter().find(is_cancel).map(|e| self.began + e.at.since_start())
    }

    /// Whether all of a service's containers can have got there by then.
    fn can_have(&self, on: usize, waits: Waits, by: Duration) -> bool {
        let Some(d) = self.new.get(&on) else { return true };
        let fresh = d.image.ends_with(":2");
        let ready = if fresh { d.service.ready_after } else { 100 };
        let whole = match waits {
            Waits::Started => 0,
            Waits::Ready | Waits::Completed => ready,
            Waits::Stage => ready / 2,
        };
        let takes = match (waits, d.service.fate) {
            // An exit with 0 is as good as ready where nothing else is asked.
            (_, Fate::Exits { after, .. }) if fresh => after.min(whole),
            (Waits::Completed, Fate::Flaky { .. }) if fresh => 0,
            _ => whole,
        };
        let starts: Vec<Request> = self.requests();
        let started = |name: &String| {
            let mut of = starts.iter().filter(|r| r.verb == Verb::Start && r.subject == *name);
            of.any(|r| r.ended.is_some() && r.at + ms(d.service.start_takes + takes) <= by + ms(5))
        };
        let ran_before = |name: &String| self.before.iter().any(|b| b.0 == *name);
        (1..=d.scale).all(|n| {
            let name = format!("p-{}-{n}", d.name);
            started(&name) || ran_before(&name)
        })
    }

    fn starts_wait_for_their_gates(&self, story: &dyn Fn() -> String) {
        let cancelled = self.cancelled().unwrap_or(Duration::MAX);
        for start in self.requests().iter().filter(|r| r.verb == Verb::Start && r.at < cancelled) {
            let Some(d) = self.new.values().find(|d| d.name == start.service) else { continue };
            assert!(!is_leftover(&start.subject), "{start} under a name for a while\n{}", story());
            for (on, waits, required, _) in &d.deps {
                let holds = !required || self.can_have(*on, *waits, start.at);
                assert!(holds, "{start} before s{on} {waits:?}\n{}", story());
            }
            let Some(before) =
                d.wave.and_then(|w| (0..w).rev().find(|b| self.new.values().any(|o| o.wave == Some(*b))))
            else {
                continue;
            };
            if self.world.ready_when[before] == "all" {
                for (on, _) in self
                    .new
                    .iter()
                    .filter(|(_, o)| o.wave == Some(before) && o.service.critical && o.scale > 0)
                {
                    assert!(
                        self.can_have(*on, Waits::Started, start.at),
                        "{start} before wave {before}\n{}",
                        story()
                    );
                }
            }
        }
    }

    /// Nothing but what is put back.
    fn nothing_starts(&self, story: &dyn Fn() -> String) {
        let cancelled = self.cancelled().unwrap_or(Duration::MAX);
        let start = self.requests().into_iter().find(|r| r.verb == Verb::Start && r.at < cancelled);
        let other = |r: &Request| known(self.new, &r.subject);
        assert!(start.as_ref().is_none_or(|r| !other(r)), "{start:?}\n{}", story());
    }

    fn starts_are_limited(&self, story: &dyn Fn() -> String) {
        let limit = self.world.max_parallel.filter(|_| !self.world.plain).map_or(4, |n| n as usize);
        assert!(self.sim.max_in_flight(Verb::Start) <= limit, "{}", story());
    }

    fn ends_as_it_says(&self, story: &dyn Fn() -> String) {
        let finished = &self.ran.ended.finished;
        let orphan = |name: &str| !known(self.new, name);
        let has_orphans = self.now.iter().any(|c| orphan(&c.0));
        match (finished.verdict, finished.aftermath) {
            (Verdict::Succeeded, Aftermath::Kept) => self.everything_runs(story),
            (_, Aftermath::RolledBack) => {
                assert!(finished.left.is_empty(), "{}", story());
                assert_eq!(self.now, self.before, "{}", story());
                if !self.world.update {
                    assert!(self.sim.networks().is_empty(), "{}", story());
                }
            }
            (_, Aftermath::TornDown) => {
                assert!(self.now.iter().all(|c| orphan(&c.0)), "{}", story());
                assert!(has_orphans || self.sim.networks().is_empty(), "{}", story());
            }
            (_, Aftermath::Stopped) if !was_killed(self.ran) => {
                assert!(self.now.iter().all(|c| orphan(&c.0) || !c.2), "{}", story());
            }
            (_, Aftermath::Kept) => {
                let cancelled = self.cancelled().unwrap_or(Duration::MAX);
                // A start that is tried again is a stop and a start: the second may follow when the first was asked.
                let changes = |r: &Request| r.verb.changes() && r.verb != Verb::Start;
                let later = self.requests().into_iter().find(|r| changes(r) && r.at > cancelled);
                assert_eq!(later, None, "{}", story());
            }
            (_, Aftermath::Stopped) => {}
            (_, Aftermath::Stuck) => {
                let faults = !self.world.faults.is_empty();
                let interrupted = !self.world.cancels.is_empty();
                assert!(faults || interrupted || has_orphans, "{}", story());
            }
        }
        assert!(
            finished.verdict != Verdict::Failed || !finished.failures.is_empty() || !finished.left.is_empty(),
            "no reason\n{}",
            story()
        );
    }

    /// Whether a container exited so shortly before the end that nobody can have heard of it.
    fn just_exited(&self, d: &Defined<'_>, container: &Container) -> bool {
        let after = match d.service.fate {
            Fate::Exits { after, .. } => after,
            Fate::Flaky { .. } => 50,
            Fate::Well | Fate::NeverReady | Fate::UnreadyLater => return false,
        };
        let mut starts = self.requests().into_iter().rev();
        let last = starts.find(|r| r.verb == Verb::Start && r.subject == container.name);
        let end = self.began + self.ran.events.last().expect("an end").at.since_start();
        last.is_some_and(|r| r.at + ms(d.service.start_takes + after + 20) >= end)
    }

    fn everything_runs(&self, story: &dyn Fn() -> String) {
        let degraded: BTreeSet<&String> = self.ran.ended.finished.degraded.iter().collect();
        let faulty = !self.world.faults.is_empty();
        for d in self.new.values().filter(|d| !degraded.contains(&d.name)) {
            let of_it = |c: &&Container| c.service() == Some(&d.name);
            let containers: Vec<Container> = self.sim.containers().iter().filter(of_it).cloned().collect();
            let left = containers.iter().find(|c| is_leftover(&c.name));
            assert!(faulty || left.is_none(), "{left:?}\n{}", story());
            let current: Vec<_> = containers.iter().filter(|c| !is_leftover(&c.name)).collect();
            assert!(
                faulty || current.len() == d.scale as usize,
                "{} of {}\n{}",
                current.len(),
                d.name,
                story()
            );
            assert!(current.len() >= d.scale as usize, "{} of {}\n{}", current.len(), d.name, story());
            for c in current.iter().take(d.scale as usize) {
                let done = c.state == ContainerState::Exited && c.exit_code == Some(0);
                let comes_back = c.state == ContainerState::Restarting;
                let plain = self.world.plain || self.world.watch || self.world.no_start;
                let fine = c.state == ContainerState::Running
                    || done
                    || comes_back
                    || plain
                    || self.just_exited(d, c);
                assert!(fine, "{} {:?}\n{}", c.name, c.state, story());
            }
        }
        if self.world.remove_orphans && !faulty {
            assert!(self.now.iter().all(|c| known(self.new, &c.0)), "{}", story());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_a_run_keeps_its_word(world in world()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(check(world));
    }
}
