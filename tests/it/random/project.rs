//! A random project: its versions as Compose files, and how its containers behave.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use docker_orch::engine::sim::{Behaviour, Script};

/// How a service is found to be ready.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Check {
    None,
    Tcp,
    Staged,
    /// Two checks, of which both or any must pass.
    Composite {
        any: bool,
    },
    Healthcheck,
    /// It is to exit with 0.
    OneShot,
}

/// What a service's containers do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fate {
    Well,
    NeverReady,
    Exits {
        code: i64,
        after: u64,
    },
    OutOfMemory {
        after: u64,
    },
    Flaky {
        starts: u32,
    },
    UnreadyLater,
    /// Its checks pass, fail, and pass again.
    Blinks,
}

/// What is different in the next version of the project.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Change {
    None,
    Image,
    Environment,
    /// It is not in the file any more.
    Removed,
    /// It is new.
    Added,
    Scale(u32),
}

/// A service of the project, in all its versions.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "switches that are thrown independently of each other")]
pub(super) struct Service {
    /// The service depended on (by distance), whether for more than its start, `required`, `restart`.
    pub(super) deps: Vec<(usize, bool, bool, bool)>,
    pub(super) scale: u32,
    pub(super) critical: bool,
    pub(super) check: Check,
    pub(super) liveness: bool,
    pub(super) retries: u32,
    pub(super) restart: Option<&'static str>,
    pub(super) wave: Option<usize>,
    pub(super) sequential: bool,
    /// It is in the network namespace of the first service that it depends on.
    pub(super) shares: bool,
    /// It waits for something outside the project that never answers, and can go without it.
    pub(super) outside: bool,
    /// It is in a profile that nobody asks for.
    pub(super) profile: bool,
    /// It does nothing on TERM.
    pub(super) deaf: bool,
    pub(super) ready_after: u64,
    pub(super) start_takes: u64,
    pub(super) fate: Fate,
    pub(super) change: Change,
}

/// What the file says about the project as a whole, in all its versions.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "switches that are thrown independently of each other")]
pub(super) struct Settings {
    pub(super) ready_when: Vec<&'static str>,
    pub(super) wave_timeout: Option<u64>,
    pub(super) on_failure: &'static str,
    pub(super) max_parallel: Option<u32>,
    /// No `x-orch` at all.
    pub(super) plain: bool,
    /// `mode: sequential`.
    pub(super) one_by_one: bool,
    pub(super) pull: bool,
    /// The first version never ran: what the second says is new.
    pub(super) fresh: bool,
    /// The network has other labels in the second version.
    pub(super) drift: bool,
    /// The network has another name in the second version.
    pub(super) renamed: bool,
    /// What a config contains is another in the second version.
    pub(super) content: bool,
}

/// The services and what surrounds them.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) services: Vec<Service>,
    pub(super) settings: Settings,
}

/// What a dependent waits for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Waits {
    Started,
    Ready,
    Completed,
    Stage,
}

/// A dependency of a service of one version.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dep {
    /// The place of the service depended on.
    pub(super) on: usize,
    pub(super) waits: Waits,
    pub(super) required: bool,
    restart: bool,
}

/// A service of one version of the project.
#[derive(Debug, Clone)]
pub(super) struct Defined {
    pub(super) name: String,
    pub(super) service: Service,
    pub(super) image: String,
    environment: bool,
    pub(super) scale: u32,
    pub(super) deps: Vec<Dep>,
    pub(super) wave: Option<usize>,
    shares: Option<usize>,
}

/// One version of the project: services by their place. There are three: the first, in which all is well; the second,
/// in which what is new meets its fate; and a third that puts that right.
pub(super) type Version = BTreeMap<usize, Defined>;

/// The version in which what is new meets its fate.
pub(super) const FATEFUL: usize = 1;

pub(super) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

impl Shape {
    /// A version of the project, without what is in no active profile.
    pub(super) fn version(&self, number: usize) -> Version {
        let settings = &self.settings;
        let new = number > 0;
        let mut defined = Version::new();
        // Whatever depends on something, by whatever way, stands in no earlier wave.
        let mut least = vec![0; self.services.len()];
        for (place, service) in self.services.iter().enumerate() {
            let change = if settings.fresh { Change::None } else { service.change };
            let absent = match change {
                Change::Removed => new,
                Change::Added => !new,
                Change::None | Change::Image | Change::Environment | Change::Scale(_) => false,
            };
            if absent || service.profile {
                continue;
            }
            let is_new = settings.fresh || matches!(change, Change::Image | Change::Added);
            let tag = if is_new { number + 1 } else { 1 };
            let deps = self.deps(place, &defined);
            let floor = deps.iter().map(|d| least[d.on]).max().unwrap_or(0);
            let wave = service.wave.filter(|_| !settings.plain && !settings.one_by_one).map(|w| w.max(floor));
            least[place] = wave.unwrap_or(floor);
            let shares = deps.first().map(|d| d.on).filter(|on| {
                service.shares && service.scale == 1 && defined[on].scale > 0 && !self.is_oneshot(*on)
            });
            let scale = match change {
                // A namespace is that of a container that is there.
                Change::Scale(n) if new && shares.is_none() => n.max(u32::from(self.is_shared(place))),
                _ => service.scale,
            };
            let wave = wave.filter(|_| !settings.plain);
            let environment = new && change == Change::Environment;
            let (name, image) = (format!("s{place}"), format!("s{place}:{tag}"));
            let service = service.clone();
            defined.insert(place, Defined { name, service, image, environment, scale, deps, wave, shares });
        }
        defined
    }

    fn is_oneshot(&self, place: usize) -> bool {
        self.services[place].check == Check::OneShot
    }

    /// Whether somebody may share its namespaces.
    fn is_shared(&self, place: usize) -> bool {
        let mut others = self.services.iter().enumerate();
        others.any(|(n, s)| s.shares && s.deps.iter().any(|d| n.checked_sub(d.0) == Some(place)))
    }

    fn deps(&self, place: usize, defined: &Version) -> Vec<Dep> {
        let plain = self.settings.plain;
        let mut deps: Vec<Dep> = Vec::new();
        for &(distance, strong, required, restart) in &self.services[place].deps {
            let Some(on) = place.checked_sub(distance).filter(|on| defined.contains_key(on)) else {
                continue;
            };
            if deps.iter().any(|d| d.on == on) {
                continue;
            }
            let waits = match (self.services[on].check, strong) {
                (Check::OneShot, _) => Waits::Completed,
                (Check::None, _) | (_, false) => Waits::Started,
                // A plain file has no checks of ours to wait for.
                (Check::Tcp | Check::Staged | Check::Composite { .. }, true) if plain => Waits::Started,
                (Check::Staged, true) if !restart => Waits::Stage,
                (Check::Tcp | Check::Staged | Check::Composite { .. } | Check::Healthcheck, true) => {
                    Waits::Ready
                }
            };
            deps.push(Dep { on, waits, required, restart });
        }
        deps
    }

    /// The Compose file of a version.
    pub(super) fn yaml(&self, number: usize) -> String {
        let (version, settings) = (self.version(number), &self.settings);
        let mut text = String::from("services:\n");
        for d in version.values() {
            self.service_yaml(&mut text, d);
        }
        for (place, _) in self.services.iter().enumerate().filter(|(_, s)| s.profile) {
            writeln!(text, "  s{place}: {{image: 's{place}:1', profiles: [extra]}}").unwrap();
        }
        let new = number > 0;
        let (side, content) = (u8::from(new && settings.drift), u8::from(new && settings.content));
        let name = if new && settings.renamed { "name: p_new, " } else { "" };
        writeln!(text, "volumes: {{data: {{}}}}").unwrap();
        writeln!(text, "networks: {{default: {{{name}labels: {{side: '{side}'}}}}}}").unwrap();
        writeln!(text, "configs: {{app: {{content: 'c{content}'}}}}").unwrap();
        if !settings.plain {
            self.orch_yaml(&mut text, &version);
        }
        text
    }

    fn service_yaml(&self, text: &mut String, d: &Defined) {
        let s = &d.service;
        write!(text, "  {}: {{image: '{}', scale: {}", d.name, d.image, d.scale).unwrap();
        for (wanted, words) in [
            (s.scale == 2, ", volumes: ['data:/data']"),
            (self.settings.pull, ", pull_policy: always"),
            (s.start_takes.is_multiple_of(2), ", configs: [app]"),
            (d.environment, ", environment: {V: '2'}"),
            (s.deaf, ", stop_grace_period: 1s"),
            (
                s.check == Check::Healthcheck,
                ", healthcheck: {test: [CMD, check], interval: 1s, timeout: 2s, retries: 2}",
            ),
        ] {
            text.push_str(if wanted { words } else { "" });
        }
        if let Some(restart) = s.restart.filter(|_| s.check != Check::OneShot) {
            write!(text, ", restart: {restart}").unwrap();
        }
        if let Some(on) = d.shares {
            write!(text, ", network_mode: 'service:s{on}'").unwrap();
        }
        let mut own = String::new();
        text.push_str(", depends_on: {");
        for Dep { on, waits, required, restart } in &d.deps {
            let condition = match waits {
                Waits::Started => "service_started",
                Waits::Ready => "service_healthy",
                Waits::Completed => "service_completed_successfully",
                Waits::Stage => {
                    write!(own, "s{on}: {{stage: first, required: {required}}}, ").unwrap();
                    continue;
                }
            };
            write!(text, "s{on}: {{condition: {condition}, required: {required}, restart: {restart}}}, ")
                .unwrap();
        }
        text.push('}');
        if !self.settings.plain {
            if s.outside {
                own.push_str("legacy: {check: {tcp: 'legacy.example:5432', interval: 1s, breaker: {failures: 2, open: 1s}}, required: false}");
            }
            let (critical, retries, check) = (s.critical, s.retries, checks(s));
            write!(
                text,
                ", x-orch: {{critical: {critical}, start: {{retries: {retries}, backoff: 100ms}}{check}, depends_on: {{{own}}}}}"
            )
            .unwrap();
        }
        text.push_str("}\n");
    }

    fn orch_yaml(&self, text: &mut String, version: &Version) {
        let settings = &self.settings;
        write!(text, "x-orch:\n  on_failure: {}\n  startup: {{timeout: 60s", settings.on_failure).unwrap();
        if let Some(n) = settings.max_parallel {
            write!(text, ", max_parallel: {n}").unwrap();
        }
        text.push_str(if settings.one_by_one { ", mode: sequential}\n" } else { "}\n" });
        let mut waves = String::new();
        for wave in 0..3 {
            let list = |sequential: bool| {
                let line = in_wave(version, wave).filter(|d| d.service.sequential == sequential);
                line.map(|d| d.name.clone()).collect::<Vec<_>>().join(", ")
            };
            let (line, rest) = (list(true), list(false));
            if line.is_empty() && rest.is_empty() {
                continue;
            }
            let timeout = settings.wave_timeout.map(|t| format!(", timeout: {t}ms")).unwrap_or_default();
            let when = settings.ready_when[wave];
            writeln!(waves, "    - {{name: w{wave}, ready_when: {when}, sequential: [{line}], parallel: [{rest}]{timeout}}}").unwrap();
        }
        if !waves.is_empty() {
            write!(text, "  waves:\n{waves}").unwrap();
        }
    }

    /// How the containers of all versions behave.
    pub(super) fn script(&self) -> Script {
        self.services.iter().enumerate().fold(Script::new().standings(), |script, (place, s)| {
            script
                .running(&format!("s{place}:1"), behaviour(s, Fate::Well, 100))
                .running(&format!("s{place}:2"), behaviour(s, s.fate, s.ready_after))
                .running(&format!("s{place}:3"), behaviour(s, Fate::Well, s.ready_after))
        })
    }
}

/// The services of a wave, in their order.
pub(super) fn in_wave(version: &Version, wave: usize) -> impl Iterator<Item = &Defined> {
    version.values().filter(move |d| d.wave == Some(wave))
}

fn checks(s: &Service) -> String {
    let (first, second) = ("{name: first, tcp: 1, interval: 1s}", "{name: second, tcp: 2, interval: 1s}");
    let alive =
        if s.liveness { ", liveness: {name: alive, tcp: 3, interval: 2s, failure_threshold: 2}" } else { "" };
    match s.check {
        Check::Tcp => format!(", health_check: {{type: staged, stages: [{{name: port, tcp: 1}}]{alive}}}"),
        Check::Staged => format!(
            ", health_check: {{type: staged, stages: [{{name: first, tcp: 1}}, {{name: second, tcp: 2, timeout: 20s}}]{alive}}}"
        ),
        Check::Composite { any } => {
            let require = if any { "any" } else { "all" };
            format!(", health_check: {{type: composite, require: {require}, checks: [{first}, {second}]}}")
        }
        Check::None | Check::Healthcheck | Check::OneShot => String::new(),
    }
}

fn behaviour(service: &Service, fate: Fate, ready: u64) -> Behaviour {
    let b = Behaviour::new().start_takes(ms(service.start_takes));
    let b = if service.deaf { b.ignores_term() } else { b };
    let b = b.ready_after(ms(ready)).stage_after("first", ms(ready / 2));
    let once = service.check == Check::OneShot;
    match fate {
        Fate::Well | Fate::UnreadyLater | Fate::Blinks if once => b.exits(0, ms(ready)),
        Fate::Well => b,
        Fate::NeverReady => b.never_ready(),
        Fate::Exits { code, after } => b.exits(code, ms(after)),
        Fate::OutOfMemory { after } => b.out_of_memory(ms(after)),
        Fate::Flaky { starts } => b.exits_times(1, ms(50), starts),
        Fate::UnreadyLater => b.unready(ms(ready + 2000), ms(ready + 60_000)),
        Fate::Blinks => b.unready(ms(ready + 20), ms(ready + 1500)),
    }
}

impl Fate {
    /// Whether its containers end by themselves at some time.
    pub(super) fn ends(self) -> bool {
        matches!(self, Self::Exits { .. } | Self::OutOfMemory { .. } | Self::Flaky { .. })
    }
}
