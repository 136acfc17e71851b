//! What earlier runs say about how long a start takes: of each service, and of the whole.
//!
//! Plain figures from [`PastRun`]s. Where nothing was recorded nothing is said.

use std::{collections::BTreeMap, time::Duration};

use super::{Outcome, Part, PastRun, ReplicaView, RunView, is_settled, spans};
use crate::{
    event::{DependsOn, ServiceInfo, Until},
    plan::{Due, Forecast},
    project::Require,
    time::Elapsed,
};

/// As many of the newest runs in which something was done count.
const COUNTED: usize = 5;

/// How long things took in earlier runs, by service.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expected {
    services: BTreeMap<String, Figures>,
}

/// How long the parts of a service's start took: medians of the last few runs in which they were done and which succeeded.
/// Of several containers the slowest counts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Figures {
    /// Getting or building its image.
    pub image: Option<Duration>,
    /// Creating its container.
    pub create: Option<Duration>,
    /// From the request to start it until its process runs.
    pub start: Option<Duration>,
    /// From the request to start it until it is ready.
    pub ready: Option<Duration>,
    /// From the request to start it until a stage is passed, by name.
    pub stages: BTreeMap<String, Duration>,
    /// How many runs `ready` comes from.
    pub runs: usize,
}

/// A service that is going to be started, or is there already.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned<'a> {
    /// What the run says of it.
    pub info: &'a ServiceInfo,
    /// How far it is.
    pub place: Place,
}

/// How far a service is on its way to being ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is not started yet.
    ToStart {
        /// Its image has to be pulled or built.
        image: bool,
        /// Its container has to be created.
        create: bool,
    },
    /// It was started.
    Started {
        /// When, since the run's beginning.
        since: Elapsed,
    },
    /// It is ready, or will not be.
    Settled,
}

impl Expected {
    /// What runs tell, the newest first.
    pub fn of<'a>(runs: impl IntoIterator<Item = &'a PastRun>) -> Self {
        let mut samples: BTreeMap<String, Samples> = BTreeMap::new();
        for run in runs {
            if matches!(run.outcome, Outcome::Succeeded | Outcome::Degraded) || run.view.ready_at.is_some() {
                for (service, one) in of_run(run) {
                    samples.entry(service).or_default().add(one);
                }
            }
        }
        let services = samples.into_iter().map(|(service, samples)| (service, samples.medians()));
        Self { services: services.collect() }
    }

    /// What is known of a service.
    pub fn service(&self, name: &str) -> Option<&Figures> {
        self.services.get(name)
    }

    /// Whether nothing is known of any.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// How long it should still take until everything of a run under way is ready; `None` where nothing is known of
    /// something that is not ready yet.
    pub fn left(&self, view: &RunView, now: Elapsed) -> Option<Duration> {
        let place = |info: &ServiceInfo| {
            let replicas: Vec<&ReplicaView> = view.replicas_of(&info.service).collect();
            match replicas.iter().map(|r| r.began).min().flatten() {
                _ if replicas.iter().all(|r| is_settled(r.state)) => Place::Settled,
                Some(since) => Place::Started { since },
                None => {
                    let create = replicas.iter().any(|r| r.moments.created.is_none());
                    Place::ToStart { image: false, create }
                }
            }
        };
        let services: Vec<Planned<'_>> =
            view.services.values().map(|info| Planned { info, place: place(info) }).collect();
        let waves: Vec<(&str, Require)> =
            view.waves.iter().map(|w| (w.name.as_str(), Require::All)).collect();
        let forecast = self.whole(&services, &waves, now);
        forecast.unknown.is_empty().then(|| forecast.ready.since(now))
    }

    /// The same, were a service ready as soon as it is started.
    #[must_use]
    pub fn with_instant(mut self, name: &str) -> Self {
        if let Some(figures) = self.services.get_mut(name) {
            let ready = figures.ready.map(|_| Duration::ZERO);
            (figures.ready, figures.start) = (ready, ready);
            figures.stages.clear();
        }
        self
    }

    /// What is to be expected of a start of these services with these waves, in order. As many starts as may be are
    /// taken to go on at once. Services that wait for each other in a circle are left out. `now`: since the run's
    /// beginning; nothing that is still to come lies before it.
    pub fn whole(&self, services: &[Planned<'_>], waves: &[(&str, Require)], now: Elapsed) -> Forecast {
        let mut forecast = Forecast::default();
        let places: BTreeMap<&str, usize> =
            services.iter().enumerate().map(|(n, service)| (service.info.service.as_str(), n)).collect();
        let mut open: Vec<&Planned<'_>> = services.iter().collect();
        // Each turn settles what waits only for what is settled; in a plan's order that is one turn, or one for each wave.
        loop {
            let before = open.len();
            open.retain(|service| !self.settle(service, &places, (waves, now), &mut forecast));
            let settled = settle_waves(services, waves, &mut forecast);
            if open.is_empty() || (open.len() == before && !settled) {
                break;
            }
        }
        settle_waves(services, waves, &mut forecast);
        let last = forecast.services.iter().max_by_key(|(_, due)| due.ready);
        let Some((last, due)) = last.map(|(name, due)| (name.clone(), due.clone())) else { return forecast };
        forecast.ready = due.ready;
        let mut next = Some(last);
        while let Some(name) = next
            && !forecast.critical.contains(&name)
        {
            next = forecast.services.get(&name).and_then(|due| due.after.clone());
            forecast.critical.push(name);
        }
        forecast.critical.reverse();
        let starts =
            |name: &String| places.get(name.as_str()).is_some_and(|&n| services[n].place != Place::Settled);
        forecast.critical.retain(starts);
        forecast
    }

    /// Settles a service, where what it waits for is settled.
    fn settle(
        &self,
        service: &Planned<'_>,
        places: &BTreeMap<&str, usize>,
        (waves, now): (&[(&str, Require)], Elapsed),
        forecast: &mut Forecast,
    ) -> bool {
        let (info, name) = (service.info, &service.info.service);
        let figures = self.services.get(name).cloned().unwrap_or_default();
        let own = match service.place {
            Place::Settled => {
                forecast.services.insert(name.clone(), Due::default());
                return true;
            }
            Place::Started { since } => {
                let ready = (since + figures.ready.unwrap_or_default()).max(now);
                if figures.ready.is_none() {
                    forecast.unknown.push(name.clone());
                }
                forecast.services.insert(name.clone(), Due { start: since, ready, after: None });
                return true;
            }
            Place::ToStart { image, create } => [(image, figures.image), (create, figures.create)],
        };
        let own: Duration = own.iter().filter(|(done, _)| *done).filter_map(|(_, took)| *took).sum();
        let mut due = Due { start: now + own, ..Due::default() };
        for on in info.depends_on.iter().filter(|on| places.contains_key(on.on.as_str())) {
            let Some(at) = self.far_enough(on, forecast) else { return false };
            if at > due.start {
                (due.start, due.after) = (at, Some(on.on.clone()));
            }
        }
        let wave = info.wave.as_deref().and_then(|wave| waves.iter().position(|(name, _)| *name == wave));
        if let Some(before) = wave.and_then(|wave| wave.checked_sub(1)) {
            let Some((at, by)) = forecast.waves.get(waves[before].0) else { return false };
            if *at > due.start {
                (due.start, due.after) = (*at, by.clone());
            }
        }
        due.ready = due.start + figures.ready.unwrap_or_default();
        if figures.ready.is_none() {
            forecast.unknown.push(name.clone());
        }
        forecast.services.insert(name.clone(), due);
        true
    }

    /// When a dependency is as far as is asked for; `None`: not settled.
    fn far_enough(&self, on: &DependsOn, forecast: &Forecast) -> Option<Elapsed> {
        let due = forecast.services.get(&on.on)?;
        let figures = self.services.get(&on.on);
        let partly = match on.until {
            Until::Started => figures.and_then(|figures| figures.start),
            Until::Stage => {
                on.stage.as_ref().and_then(|stage| figures.and_then(|f| f.stages.get(stage).copied()))
            }
            Until::Ready | Until::Completed | Until::Outside | Until::Unknown => None,
        };
        Some(partly.map_or(due.ready, |took| (due.start + took).min(due.ready)))
    }
}

/// Settles waves of which everything is settled. Whether one was.
fn settle_waves(services: &[Planned<'_>], waves: &[(&str, Require)], forecast: &mut Forecast) -> bool {
    let mut settled = false;
    let mut opened = (Elapsed::ZERO, None);
    for (name, ready_when) in waves {
        if let Some(ready) = forecast.waves.get(*name) {
            opened.clone_from(ready);
            continue;
        }
        let members = || services.iter().filter(|service| service.info.wave.as_deref() == Some(name));
        let critical = members().any(|service| service.info.critical);
        let counted = members().filter(|service| service.info.critical || !critical);
        let due = counted.map(|service| {
            let name = &service.info.service;
            forecast.services.get(name).map(|due| (due.ready, Some(name.clone())))
        });
        let Some(mut due) = due.collect::<Option<Vec<_>>>() else { return settled };
        due.sort_unstable();
        let needed = ready_when.needed(due.len());
        let ready = needed.checked_sub(1).and_then(|n| due.get(n).cloned()).unwrap_or_default();
        // An empty wave is ready with the one before it.
        opened = opened.max(ready);
        forecast.waves.insert((*name).to_owned(), opened.clone());
        settled = true;
    }
    settled
}

/// What runs say of a service, the newest first.
#[derive(Debug, Default)]
struct Samples {
    image: Vec<Duration>,
    create: Vec<Duration>,
    start: Vec<Duration>,
    ready: Vec<Duration>,
    stages: BTreeMap<String, Vec<Duration>>,
}

impl Samples {
    fn add(&mut self, one: Figures) {
        let keep = |all: &mut Vec<Duration>, one: Option<Duration>| {
            all.extend(one.filter(|_| all.len() < COUNTED));
        };
        keep(&mut self.image, one.image);
        keep(&mut self.create, one.create);
        keep(&mut self.start, one.start);
        keep(&mut self.ready, one.ready);
        for (stage, took) in one.stages {
            keep(self.stages.entry(stage).or_default(), Some(took));
        }
    }

    fn medians(self) -> Figures {
        let runs = self.ready.len();
        let stages = self.stages.into_iter().filter_map(|(stage, all)| Some((stage, median(all)?)));
        Figures {
            stages: stages.collect(),
            image: median(self.image),
            create: median(self.create),
            start: median(self.start),
            ready: median(self.ready),
            runs,
        }
    }
}

/// The middle one; of two in the middle their mean.
fn median(mut all: Vec<Duration>) -> Option<Duration> {
    all.sort_unstable();
    let upper = *all.get(all.len() / 2)?;
    let lower = if all.len().is_multiple_of(2) { all[all.len() / 2 - 1] } else { upper };
    Some(lower / 2 + upper / 2)
}

/// What one run says of each service of which it started a container.
fn of_run(run: &PastRun) -> BTreeMap<String, Figures> {
    let mut services: BTreeMap<String, Figures> = BTreeMap::new();
    for replica in &run.view.replicas {
        let (Some(began), Some(ready)) = (replica.began, replica.ready_at) else { continue };
        let figures = services.entry(replica.replica.service.clone()).or_default();
        let of = |wanted: &[Part]| {
            let spans = spans(&run.view, replica, run.view.at);
            spans.iter().find(|span| wanted.contains(&span.part)).map(super::Span::took)
        };
        let moments = &replica.moments;
        figures.image = figures.image.max(of(&[Part::Pull, Part::Build]));
        figures.create = figures.create.max(of(&[Part::Create]));
        figures.start = figures.start.max(moments.ran.map(|ran| ran.since(began)));
        figures.ready = figures.ready.max(Some(ready.since(began)));
        for stage in &moments.stages {
            if let Some(until) = stage.until {
                let took = figures.stages.entry(stage.name.clone()).or_default();
                *took = (*took).max(until.since(began));
            }
        }
    }
    services
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Aftermath, Event, ServiceState, StageStatus, Verdict},
        report::{
            chain::tests::{info, started},
            past::tests::finished,
            view::tests::{events, service, stage},
        },
    };

    /// A run in which `db` is ready after some seconds, and `api` passes `loaded` after one and is ready after two.
    fn run(db: u64, verdict: Verdict) -> PastRun {
        use ServiceState::{Created, Creating, Probing, Ready, Starting};
        let all: Vec<Event> = events(vec![
            (0, started(&[], vec![info("db", None, &[]), info("api", None, &["db"])])),
            (100, service("db", Creating, "")),
            (200, service("db", Created, "")),
            (200, service("db", Starting, "")),
            (400, service("db", Probing, "")),
            (200 + db * 1000, service("db", Ready, "")),
            (200 + db * 1000, service("api", Starting, "")),
            (300 + db * 1000, service("api", Probing, "")),
            (300 + db * 1000, stage("api", "loaded", 1, 1, StageStatus::Started)),
            (1200 + db * 1000, stage("api", "loaded", 1, 1, StageStatus::Passed)),
            (2200 + db * 1000, service("api", Ready, "")),
            (2200 + db * 1000, finished(verdict, Aftermath::Kept)),
        ]);
        let failed = verdict == Verdict::Failed;
        PastRun::of(if failed { &all[..6] } else { &all }, false)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn whole(expected: &Expected, infos: &[ServiceInfo], waves: &[(&str, Require)]) -> Forecast {
        let planned = |info| Planned { info, place: Place::ToStart { image: true, create: true } };
        expected.whole(&infos.iter().map(planned).collect::<Vec<_>>(), waves, Elapsed::ZERO)
    }

    #[test]
    fn figures_are_medians_of_the_last_runs_that_succeeded() {
        let runs: Vec<PastRun> =
            [3, 1, 2, 4, 5, 60, 70].into_iter().map(|db| run(db, Verdict::Succeeded)).collect();
        let expected = Expected::of(&runs);
        let db = expected.service("db").unwrap();
        assert_eq!(
            (db.create, db.start, db.ready, db.runs),
            (Some(ms(100)), Some(ms(200)), Some(ms(3000)), 5)
        );
        assert_eq!(db.image, None);
        assert_eq!(expected.service("api").unwrap().stages["loaded"], ms(1000));
        assert!(Expected::of(&[run(9, Verdict::Failed)]).is_empty());
        let two = Expected::of(&[run(1, Verdict::Succeeded), run(2, Verdict::Succeeded)]);
        assert_eq!(two.service("db").unwrap().ready, Some(ms(1500)));
    }

    #[test]
    fn a_whole_is_added_up_along_dependencies_and_waves() {
        let expected = Expected::of(&[run(3, Verdict::Succeeded)]);
        let infos = [info("db", None, &[]), info("api", None, &["db"])];
        let forecast = whole(&expected, &infos, &[]);
        assert_eq!(forecast.ready, Elapsed::new(ms(5100)));
        assert_eq!(forecast.critical, ["db", "api"]);
        assert_eq!(forecast.services["api"].start, Elapsed::new(ms(3100)));

        // What waits for a start or a stage does not wait for readiness; of what is new nothing is known.
        let infos =
            [info("db", None, &[]), info("api", None, &["db@started"]), info("new", None, &["api@loaded"])];
        let forecast = whole(&expected, &infos, &[]);
        assert_eq!(forecast.services["api"].start, Elapsed::new(ms(300)));
        assert_eq!(forecast.services["new"].start, Elapsed::new(ms(1300)));
        assert_eq!((forecast.ready, forecast.unknown), (Elapsed::new(ms(3100)), vec!["new".to_owned()]));
    }

    #[test]
    fn waves_open_when_as_much_is_ready_as_they_ask_for() {
        let expected = Expected::of(&[run(3, Verdict::Succeeded)]);
        let infos =
            [info("api", Some("one"), &[]), info("db", Some("one"), &[]), info("db", Some("two"), &[])];
        let waves = |ready_when| [("one", ready_when), ("two", Require::All)];
        // Twice the same name: the first is settled in wave one, the second in wave two.
        let infos =
            [infos[0].clone(), infos[1].clone(), ServiceInfo { service: "new".into(), ..infos[2].clone() }];
        let all = whole(&expected, &infos, &waves(Require::All));
        assert_eq!(all.services["new"].start, Elapsed::new(ms(3100)));
        assert_eq!(all.critical, ["db", "new"]);
        let any = whole(&expected, &infos, &waves(Require::Any));
        assert_eq!(any.services["new"].start, Elapsed::new(ms(2000)));
        assert_eq!(any.waves["one"].1.as_deref(), Some("api"));
    }

    #[test]
    fn a_circle_ends() {
        let infos = [info("a", None, &["b"]), info("b", None, &["a"]), info("c", None, &[])];
        let forecast = whole(&Expected::default(), &infos, &[]);
        assert_eq!(forecast.services.keys().collect::<Vec<_>>(), ["c"]);
        assert_eq!(whole(&Expected::default(), &[], &[]), Forecast::default());
    }
}
