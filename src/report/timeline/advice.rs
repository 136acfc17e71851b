//! What a run could have been faster by, in words with seconds. Says only what the record shows.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    event::Until,
    project::Require,
    report::{
        After, Chain, Expected, Link, Part, PastRun, Place, Planned, ReplicaView, Span, chain::released,
        human_duration,
    },
    time::Elapsed,
};

/// What is worth less than this share of the whole is not worth a line, nor is what is shorter than [`LEAST`].
const SHARE: f64 = 0.03;
const LEAST: Duration = Duration::from_millis(100);
/// As many services of the chain have a line.
const SERVICES: usize = 3;
/// As many lines are said in all.
const LINES: usize = 7;

/// One thing that could be faster.
#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    /// In words, with names in backticks.
    pub text: String,
    /// How much of the run's time it is about.
    pub seconds: Duration,
}

/// What a run and its chain tell, what is worth most first.
pub(super) fn of(past: &PastRun, chain: &Chain) -> Vec<Advice> {
    let whole = chain.took();
    let worth = |seconds: Duration| seconds >= LEAST && seconds >= whole.mul_f64(SHARE);
    let replay = Replay::of(past);
    let mut links: Vec<&Link> = chain.links.iter().collect();
    links.sort_by_key(|link| std::cmp::Reverse(link.took()));
    let mut all: Vec<Advice> =
        links.iter().take(SERVICES).map(|link| share(link, whole, replay.as_ref())).collect();
    for link in &chain.links {
        all.extend(link.spans.iter().filter_map(|span| about(past, link, span)));
        all.extend(slow_check(past, link));
    }
    all.extend(waves(past, chain, replay.as_ref()));
    all.retain(|advice| worth(advice.seconds));
    all.sort_by_key(|advice| std::cmp::Reverse(advice.seconds));
    all.truncate(LINES);
    all
}

/// How much of the chain is one service's, and of that what most.
fn share(link: &Link, whole: Duration, replay: Option<&Replay<'_>>) -> Advice {
    let (service, took) = (&link.replica.service, link.took());
    let most = link.spans.iter().max_by_key(|span| span.took());
    let most = most.filter(|span| link.spans.len() > 1 && span.took() >= took / 3).map(|span| {
        let what = match &span.part {
            Part::Stage(name) => format!("its stage `{name}`"),
            Part::Probe => "between its start and ready".to_owned(),
            part => format!("its {}", part.words()),
        };
        format!(": {} of it {what}", human_duration(span.took()))
    });
    let saved = replay.map(|replay| replay.saved_without(service)).filter(|saved| *saved >= LEAST);
    let saved = saved.map(|saved| {
        format!(
            "; were it ready as soon as it is started, the whole would take about {} less",
            human_duration(saved)
        )
    });
    let text = format!(
        "`{service}` is on the critical chain for {} of {}{}{}",
        human_duration(took),
        human_duration(whole),
        most.unwrap_or_default(),
        saved.unwrap_or_default()
    );
    Advice { text, seconds: took }
}

/// What is to be said of one stretch.
fn about(past: &PastRun, link: &Link, span: &Span) -> Option<Advice> {
    let (service, took) = (&link.replica.service, span.took());
    let seconds = human_duration(took);
    let image = past.view.services.get(service).map(|info| info.image.as_str()).unwrap_or_default();
    let text = match &span.part {
        Part::Pull => format!(
            "everything waited {seconds} for the pull of `{image}`: `docker orch pull` beforehand takes it out of the start"
        ),
        Part::Build => format!(
            "everything waited {seconds} for the build of `{image}`: `docker orch build` beforehand takes it out of the start"
        ),
        Part::Retry => {
            format!("`{service}` failed and was started again: {seconds} until the try that worked")
        }
        Part::Stop => format!(
            "the old container of `{service}` took {seconds} to stop: a process that ends at its stop signal, or a shorter `stop_grace_period`, saves that"
        ),
        Part::Held => held(past, link, &seconds)?,
        Part::Prepare | Part::Create | Part::Start | Part::Stage(_) | Part::Probe => return None,
    };
    Some(Advice { text, seconds: took })
}

/// A start that was held back; nothing where the record does not say what it waited for.
fn held(past: &PastRun, link: &Link, seconds: &str) -> Option<String> {
    let service = &link.replica.service;
    let info = past.view.services.get(service).filter(|info| !info.image.is_empty())?;
    let outside: Vec<String> = info
        .depends_on
        .iter()
        .filter(|on| on.until == Until::Outside)
        .map(|on| format!("`{}`", on.on))
        .collect();
    Some(if outside.is_empty() {
        format!(
            "`{service}` was held back for {seconds} though all that it waits for was ready: other starts went first (`max_parallel`)"
        )
    } else {
        format!(
            "`{service}` waited {seconds} for {}, outside the project, or for other starts",
            outside.join(", ")
        )
    })
}

/// What waves cost: how long links of the chain waited for nothing else, and what dependencies alone would take.
fn waves(past: &PastRun, chain: &Chain, replay: Option<&Replay<'_>>) -> Option<Advice> {
    let mut waits: Vec<(&str, &str, Duration)> = chain.links.iter().filter_map(|l| wait(past, l)).collect();
    waits.retain(|(_, _, waited)| *waited >= LEAST);
    waits.sort_by_key(|(_, _, waited)| std::cmp::Reverse(*waited));
    let words: Vec<String> = waits
        .iter()
        .take(SERVICES)
        .map(|(service, wave, waited)| {
            format!("`{service}` waited {} for wave `{wave}`", human_duration(*waited))
        })
        .collect();
    let longest = waits.first()?.2;
    let words = format!("{} though all that it depends on was ready", words.join(", "));
    let Some((saved, alone)) = replay.map(Replay::without_waves) else {
        return Some(Advice { text: words, seconds: longest });
    };
    if saved < LEAST {
        return None;
    }
    let (saved_words, alone) = (human_duration(saved), human_duration(alone));
    let text = format!(
        "waves cost about {saved_words}: with dependencies alone (`--mode graph`) everything would be ready after about {alone}; {words}"
    );
    Some(Advice { text, seconds: saved })
}

/// What a link waited for its wave alone: service, wave, how long.
fn wait<'a>(past: &PastRun, link: &'a Link) -> Option<(&'a str, &'a str, Duration)> {
    let After::Wave(wave) = &link.after else { return None };
    let replica = past.view.replica(&link.replica)?;
    // All but the wave.
    let alone = ReplicaView { wave: None, ..replica.clone() };
    let own = replica.moments.created.max(replica.moments.stopped).unwrap_or_default();
    let waited = link.from().since(released(&past.view, &alone).max(own));
    Some((&link.replica.service, wave, waited))
}

/// A check whose answer that made the service ready came slowly.
fn slow_check(past: &PastRun, link: &Link) -> Option<Advice> {
    let of = past.probes.iter().filter(|probe| probe.replica == link.replica && probe.passed);
    let last = of.max_by_key(|probe| probe.at)?;
    let is_part = |span: &&Span| matches!(span.part, Part::Stage(_) | Part::Probe);
    let probing: Duration = link.spans.iter().filter(is_part).map(Span::took).sum();
    let took = last.took.min(probing);
    let (service, check) = (&link.replica.service, &last.check);
    let text = format!(
        "the check `{check}` of `{service}` took {} to answer, of {} until it was ready",
        human_duration(took),
        human_duration(probing)
    );
    (took * 5 >= probing).then_some(Advice { text, seconds: took })
}

/// The run's own figures, put together once more.
struct Replay<'a> {
    expected: Expected,
    planned: Vec<Planned<'a>>,
    waves: Vec<(&'a str, Require)>,
    /// When everything is ready by them.
    whole: Elapsed,
}

impl<'a> Replay<'a> {
    /// Nothing where the record does not say what waits for what, or the run was not ready.
    fn of(past: &'a PastRun) -> Option<Self> {
        let view = &past.view;
        view.ready_at?;
        view.services.values().any(|info| !info.image.is_empty()).then_some(())?;
        let began: BTreeMap<&str, bool> =
            view.replicas.iter().map(|r| (r.replica.service.as_str(), r.began.is_some())).collect();
        let planned = view.services.values().map(|info| {
            let began = began.get(info.service.as_str()).is_some_and(|began| *began);
            let place = if began { Place::ToStart { image: true, create: true } } else { Place::Settled };
            Planned { info, place }
        });
        // As many as were ready when the wave was.
        let need = |wave: &'a crate::report::WaveView| {
            let of = view.replicas.iter().filter(|r| r.critical && r.wave.as_ref() == Some(&wave.name));
            let ready =
                of.filter(|r| wave.ready.is_none() || r.ready_at.is_some_and(|at| Some(at) <= wave.ready));
            (wave.name.as_str(), Require::Count(u32::try_from(ready.count()).unwrap_or(u32::MAX)))
        };
        let mut this = Self {
            expected: Expected::of([past]),
            planned: planned.collect(),
            waves: view.waves.iter().map(need).collect(),
            whole: Elapsed::ZERO,
        };
        this.whole = this.expected.whole(&this.planned, &this.waves, Elapsed::ZERO).ready;
        Some(this)
    }

    /// How much less the whole would take if a service were ready as soon as it is started.
    fn saved_without(&self, service: &str) -> Duration {
        let faster = self.expected.clone().with_instant(service);
        self.whole.since(faster.whole(&self.planned, &self.waves, Elapsed::ZERO).ready)
    }

    /// How much less the whole would take without waves, and how long that would be.
    fn without_waves(&self) -> (Duration, Duration) {
        let alone = self.expected.whole(&self.planned, &[], Elapsed::ZERO).ready;
        (self.whole.since(alone), alone.since_start())
    }
}
