//! The picture of a run at one moment.

use std::time::Duration;

use anstyle::Style;
use unicode_width::UnicodeWidthStr as _;

use super::{
    StyledLine,
    rows::{self, Columns},
};
use crate::{
    event::ServiceState,
    project::go_duration,
    report::{
        Chain, Expected, Link, ReplicaView, RunView, WaveStatus, WaveView, human_duration, is_settled, is_up,
    },
    time::Elapsed,
};

/// The lines of a run at `now`, at most `height - 1` of them, each at most `width` columns wide.
///
/// Under a header stand what is pulled and built, then the containers of no wave, then every wave with its own. A wave
/// that is over, and one that has not begun, is one line. Where the screen is too low, what is ready goes first, then
/// what waits; what failed and what is under way stays.
///
/// `expected`: what earlier runs say, where that is known.
pub fn frame(
    view: &RunView,
    now: Elapsed,
    (width, height): (usize, usize),
    expected: Option<&Expected>,
) -> Vec<StyledLine> {
    let room = height.saturating_sub(1);
    let mut rows: Vec<Row> = Vec::new();
    if !(view.is_settled() && view.open_window().is_some()) {
        let images = view.images.iter().filter_map(|(image, progress)| rows::image(image, progress, now));
        rows.extend(images.map(|line| Row { weight: 3, state: None, line }));
        rows.extend(groups(view, now));
    }
    let mut lines = vec![header(view, now, expected)];
    if room >= CHAIN_FROM && comes_up(view) {
        lines.extend(chain(view, now, width));
    }
    lines.extend(fit(rows, room.saturating_sub(lines.len())));
    lines.truncate(room);
    lines.into_iter().map(|line| line.cut(width)).collect()
}

/// Screens with less room than so many lines do not show the critical chain.
const CHAIN_FROM: usize = 8;

/// Whether the run brings something up, and is still at it.
fn comes_up(view: &RunView) -> bool {
    view.command == "up" && view.unwinding.is_none() && view.cancelled.is_none() && view.waiting.is_none()
}

/// The services that the time so far went along, one after the other; `None`: it is not more than one. Where they are
/// too many for the line, those still to come are left out, then the first.
fn chain(view: &RunView, now: Elapsed, width: usize) -> Option<StyledLine> {
    const LABEL: &str = "   critical chain: ";
    let chain = Chain::of(view, now);
    let link = |link: &Link| {
        let took = link.took();
        let time = if took.is_zero() { String::new() } else { format!(" {}", human_duration(took)) };
        format!("{}{time}", link.replica.service)
    };
    let mut parts: Vec<String> = chain.links.iter().map(link).collect();
    let so_far = parts.len();
    parts.extend(chain.waiting.iter().map(|replica| replica.service.clone()));
    parts.dedup();
    if parts.len() < 2 {
        return None;
    }
    let text = |parts: &[String]| parts.join(" → ");
    let fits = |text: &str| LABEL.width() + text.width() <= width;
    // What is still to come goes first, then what was long ago.
    let ends = (so_far.max(1)..=parts.len()).rev().map(|end| text(&parts[..end]));
    let begins = (1..so_far).map(|begin| format!("… → {}", text(&parts[begin..so_far])));
    let fitting = ends.chain(begins).find(|text| fits(text));
    Some(StyledLine::default().with(rows::dim(), format!("{LABEL}{}", fitting.unwrap_or_default())))
        .filter(|line| line.width() > LABEL.width())
}

/// `, about 12s left`; empty where nobody knows.
fn left(view: &RunView, now: Elapsed, expected: Option<&Expected>) -> String {
    if !comes_up(view) || view.is_settled() {
        return String::new();
    }
    match expected.and_then(|expected| expected.left(view, now)) {
        None => String::new(),
        Some(left) if left < Duration::from_millis(500) => ", longer than usual".to_owned(),
        Some(left) => {
            format!(", about {} left", go_duration(whole_seconds(left)))
        }
    }
}

fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs((time + Duration::from_millis(500)).as_secs())
}

/// A line and how much it matters; lighter ones are left out first.
struct Row {
    weight: u8,
    /// The state of the container that it shows.
    state: Option<ServiceState>,
    line: StyledLine,
}

/// The containers of no wave, and every wave with its containers.
fn groups(view: &RunView, now: Elapsed) -> Vec<Row> {
    let columns = Columns::of(view);
    let is_of_none = |r: &&ReplicaView| !view.waves.iter().any(|wave| r.wave.as_ref() == Some(&wave.name));
    let free: Vec<&ReplicaView> = view.replicas.iter().filter(is_of_none).collect();
    let mut rows = Vec::new();
    if !view.waves.is_empty() && !free.is_empty() && free.iter().all(|r| is_well(r.state)) {
        rows.push(Row { weight: 1, state: None, line: rows::without_wave(free.len()) });
    } else {
        rows.extend(free.iter().map(|replica| replica_row(replica, &columns, now)));
    }
    for wave in &view.waves {
        let members: Vec<&ReplicaView> =
            view.replicas.iter().filter(|r| r.wave.as_ref() == Some(&wave.name)).collect();
        if members.is_empty() {
            continue;
        }
        let (word, arrived) = goal(view);
        let arrived = members.iter().filter(|r| arrived(r.state)).count();
        let is_over = word != "ready" && arrived == members.len();
        let folded = is_over || is_folded(wave, &members);
        let weight = if folded || wave.status == WaveStatus::Closed { 1 } else { 3 };
        rows.push(Row { weight, state: None, line: rows::wave(wave, (word, arrived, members.len()), now) });
        if !folded {
            rows.extend(members.iter().map(|replica| replica_row(replica, &columns, now)));
        }
    }
    rows
}

/// Whether nothing is to be seen in a wave: all is well and over, or nothing has begun.
fn is_folded(wave: &WaveView, members: &[&ReplicaView]) -> bool {
    match wave.status {
        WaveStatus::Ready => members.iter().all(|r| is_well(r.state)),
        WaveStatus::Closed => members.iter().all(|r| waits(r.state)),
        WaveStatus::Open | WaveStatus::Failed => false,
    }
}

fn is_well(state: ServiceState) -> bool {
    is_up(state) && state != ServiceState::Degraded
}

/// Nothing is done for it but what is made ahead of its start.
fn waits(state: ServiceState) -> bool {
    use ServiceState::{Blocked, Building, Created, Creating, Pending, Pulling};
    matches!(state, Pending | Blocked | Pulling | Building | Creating | Created)
}

fn replica_row(replica: &ReplicaView, columns: &Columns, now: Elapsed) -> Row {
    Row { weight: weight(replica), state: Some(replica.state), line: rows::replica(replica, columns, now) }
}

/// Failures first, then what is under way, what waits, what is done.
fn weight(replica: &ReplicaView) -> u8 {
    match replica.state {
        ServiceState::Failed | ServiceState::Unhealthy | ServiceState::Degraded => 5,
        state if rows::is_at_work(state) => 4,
        state if !is_settled(state) => 2,
        _ => 0,
    }
}

/// Keeps the rows that matter most, in their order, and says what is missing.
fn fit(rows: Vec<Row>, room: usize) -> Vec<StyledLine> {
    if rows.len() <= room {
        return rows.into_iter().map(|row| row.line).collect();
    }
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(rows[i].weight));
    let mut left_out = order.split_off(room.saturating_sub(1).min(order.len()));
    left_out.sort_unstable();
    let words = missing(left_out.iter().map(|&i| &rows[i]));
    let kept = rows.into_iter().enumerate().filter(|(i, _)| left_out.binary_search(i).is_err());
    let mut lines: Vec<StyledLine> = kept.map(|(_, row)| row.line).collect();
    if room > 0 {
        lines.push(StyledLine::default().with(rows::dim(), format!("   {words}")));
    }
    lines
}

/// What the lines that are left out would show: `12 more: 9 ready, 3 blocked`.
fn missing<'a>(rows: impl Iterator<Item = &'a Row>) -> String {
    let mut states: Vec<(ServiceState, usize)> = Vec::new();
    let mut lines = 0;
    for row in rows {
        lines += 1;
        let Some(state) = row.state else { continue };
        match states.iter_mut().find(|(known, _)| *known == state) {
            Some((_, number)) => *number += 1,
            None => states.push((state, 1)),
        }
    }
    let words: Vec<String> =
        states.iter().map(|(state, number)| format!("{number} {}", state.word())).collect();
    let colon = if words.is_empty() { "" } else { ": " };
    format!("{lines} more{colon}{}", words.join(", "))
}

/// Where the run is going with every container, in a word and as a question.
fn goal(view: &RunView) -> (&'static str, fn(ServiceState) -> bool) {
    let is_stopped =
        |state| matches!(state, ServiceState::Stopped | ServiceState::Removed | ServiceState::Skipped);
    match (view.command.as_str(), view.cancelled) {
        ("down", _) => ("removed", |state| state == ServiceState::Removed),
        ("stop", _) => ("stopped", is_stopped),
        (_, Some(_)) if view.unwinding.is_none() => ("stopped", is_stopped),
        _ => ("ready", is_up),
    }
}

fn header(view: &RunView, now: Elapsed, expected: Option<&Expected>) -> StyledLine {
    if let Some(waiting) = &view.waiting {
        let line = StyledLine::default().with(rows::blue(), format!("{} ", rows::spinner(now))).text(waiting);
        return line.with(rows::dim(), format!("  {}", human_duration(now.since_start())));
    }
    let doing = match (&view.unwinding, view.cancelled) {
        (Some((policy, _)), _) => policy.clone(),
        (None, Some(_)) => "stopping".to_owned(),
        (None, None) if view.open_window().is_some() => "watching".to_owned(),
        (None, None) => view.command.clone(),
    };
    let total = view.replicas.len();
    let (word, arrived) = goal(view);
    let mut line = StyledLine::default()
        .with(Style::new().bold(), format!("{doing} {}", view.project))
        .text(format!("  {}/{total} {}", view.replicas.iter().filter(|r| arrived(r.state)).count(), word));
    let open = view.waves.iter().enumerate().rfind(|(_, w)| w.status == WaveStatus::Open);
    if let Some((at, wave)) = open.filter(|_| word == "ready") {
        line = line.text(format!("  wave {} ({}/{})", wave.name, at + 1, view.waves.len()));
    }
    if let Some(window) = view.open_window() {
        let left = human_duration(window.until.since(now));
        let then = if window.keeps { "until what ran before is let go" } else { "to go" };
        return line.text(format!("  {left}")).with(rows::dim(), format!(" {then}"));
    }
    let time = human_duration(now.since_start());
    line.with(rows::dim(), format!("  {time}{}", left(view, now, expected)))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::{
        event::{BreakerState, CancelReason, EventKind, RunStarted, ServiceInfo, StageStatus},
        project::Replica,
        report::{
            PastRun,
            view::tests::{events, probed, service, stage, view_of},
        },
    };

    fn text(view: &RunView, millis: u64, width: usize, height: usize) -> String {
        let lines = frame(view, Elapsed::new(Duration::from_millis(millis)), (width, height), None);
        lines.iter().map(StyledLine::plain).collect::<Vec<_>>().join("\n")
    }

    fn started(services: &[&str]) -> EventKind {
        let info = |service: &&str| ServiceInfo {
            service: (*service).into(),
            replicas: vec![1],
            wave: None,
            critical: true,
            stages: vec![],
            depends_on: Vec::new(),
            image: String::new(),
        };
        EventKind::RunStarted(RunStarted {
            format: 1,
            run: "r".into(),
            time: String::new(),
            project: "shop".into(),
            command: "up".into(),
            engine: String::new(),
            waves: vec!["infrastructure".into(), "engine".into()],
            services: services.iter().map(info).collect(),
        })
    }

    fn busy() -> RunView {
        view_of(vec![
            (0, started(&["db", "api", "web", "worker"])),
            (1, EventKind::WaveOpened { wave: "infrastructure".into() }),
            (
                2,
                EventKind::Progress {
                    image: "nginx:1.29".into(),
                    text: "downloading".into(),
                    current: Some(12_345_678),
                    total: Some(45_000_000),
                },
            ),
            (10, service("db", ServiceState::Starting, "")),
            (2_310, service("db", ServiceState::Ready, "")),
            (2_400, service("api", ServiceState::Starting, "")),
            (2_500, service("api", ServiceState::Probing, "")),
            (2_500, stage("api", "models_loaded", 3, 4, StageStatus::Started)),
            (9_000, probed("api", "connection refused")),
            (20, service("web", ServiceState::Blocked, "waits for api")),
            (30, service("worker", ServiceState::Failed, "exited with code 1")),
        ])
    }

    #[test]
    fn a_run_under_way_at_80_by_24() {
        assert_snapshot!(text(&busy(), 12_600, 80, 24), @"
        up shop  1/4 ready  wave infrastructure (1/2)  12.6s
         ⠇ nginx:1.29 pulling 12.3 MB of 45.0 MB (27%)  12.6s
           ✔ db-1      ready        2.3s
           ⠇ api-1     probing     10.1s  3/4 models_loaded: connection refused
           · web-1     blocked            waits for api
           ✘ worker-1  failed             exited with code 1
        ");
    }

    /// Two services in each of three waves, the second wave half-way.
    fn in_waves() -> Vec<(u64, EventKind)> {
        let info = |(service, wave): (&str, &str)| ServiceInfo {
            service: service.into(),
            replicas: vec![1],
            wave: Some(wave.into()),
            critical: true,
            stages: vec![],
            depends_on: Vec::new(),
            image: String::new(),
        };
        let services = [
            ("db", "base"),
            ("cache", "base"),
            ("api", "core"),
            ("auth", "core"),
            ("web", "edge"),
            ("ui", "edge"),
        ];
        let EventKind::RunStarted(mut started) = started(&[]) else { unreachable!("it is how a run starts") };
        started.waves = ["base", "core", "edge"].map(str::to_owned).into();
        started.services = services.map(info).into();
        let ready = |name| service(name, ServiceState::Ready, "");
        let starting = |name| service(name, ServiceState::Starting, "");
        let wave = |wave: &str| wave.to_owned();
        vec![
            (0, EventKind::RunStarted(started)),
            (0, EventKind::WaveOpened { wave: wave("base") }),
            (100, starting("db")),
            (100, starting("cache")),
            (1_100, ready("cache")),
            (2_100, ready("db")),
            (2_100, EventKind::WaveReady { wave: wave("base") }),
            (2_100, EventKind::WaveOpened { wave: wave("core") }),
            (2_110, starting("api")),
            (2_120, service("auth", ServiceState::Blocked, "waits for api ready")),
            (2_300, service("api", ServiceState::Probing, "")),
            (2_300, stage("api", "models_loaded", 2, 4, StageStatus::Started)),
            (2_400, probed("api", "503 Service Unavailable")),
        ]
    }

    #[test]
    fn the_time_left_goes_by_earlier_runs() {
        let mut kinds = in_waves();
        for (name, from, until) in [
            ("api", 2_110, 12_300),
            ("auth", 12_300, 13_300),
            ("web", 13_300, 15_000),
            ("ui", 13_300, 14_000),
        ] {
            kinds.push((from, service(name, ServiceState::Starting, "")));
            kinds.push((until, service(name, ServiceState::Ready, "")));
        }
        kinds.sort_by_key(|(at, _)| *at);
        let earlier = PastRun::of(&events(kinds), false);
        let expected = Expected::of([&earlier]);
        let header = |millis| {
            let now = Elapsed::new(Duration::from_millis(millis));
            frame(&view_of(in_waves()), now, (80, 24), Some(&expected))[0].plain()
        };
        assert_eq!(header(5_200), "up shop  2/6 ready  wave core (2/3)  5.2s, about 9s left");
        assert_eq!(header(11_900), "up shop  2/6 ready  wave core (2/3)  11.9s, about 3s left");
    }

    #[test]
    fn waves_that_are_over_or_to_come_are_one_line_each() {
        assert_snapshot!(text(&view_of(in_waves()), 5_200, 80, 24), @"
        up shop  2/6 ready  wave core (2/3)  5.2s
           critical chain: db 2.1s → api 3.1s → ui
         ✔ base  2/2 ready  2.1s
         ⠦ core  0/2 ready  3.1s
           ⠦ api-1    probing      2.9s  2/4 models_loaded: 503 Service Unavailable
           · auth-1   blocked            waits for api ready
         · edge  2 containers
        ");
    }

    #[test]
    fn a_wave_in_which_something_is_wrong_is_not_folded() {
        let mut kinds = in_waves();
        kinds.push((5_000, service("db", ServiceState::Unhealthy, "became unhealthy")));
        kinds.push((5_100, service("ui", ServiceState::Failed, "no such image")));
        assert_snapshot!(text(&view_of(kinds), 5_200, 80, 24), @"
        up shop  1/6 ready  wave core (2/3)  5.2s
           critical chain: db 2.1s → api 3.1s → web
         ✔ base  1/2 ready  2.1s
           ✘ db-1     unhealthy    0.2s  became unhealthy
           ✔ cache-1  ready        1.0s
         ⠦ core  0/2 ready  3.1s
           ⠦ api-1    probing      2.9s  2/4 models_loaded: 503 Service Unavailable
           · auth-1   blocked            waits for api ready
         · edge  2 containers
           · web-1    pending          
           ✘ ui-1     failed             no such image
        ");
    }

    #[test]
    fn a_run_that_is_stopped_counts_what_has_stopped() {
        let mut kinds = in_waves();
        kinds.push((5_000, EventKind::CancelRequested { reason: CancelReason::Interrupt }));
        kinds.push((5_010, service("api", ServiceState::Stopping, "")));
        for name in ["auth", "web", "ui"] {
            kinds.push((5_020, service(name, ServiceState::Stopped, "")));
        }
        assert_snapshot!(text(&view_of(kinds), 5_200, 80, 24), @"
        stopping shop  3/6 stopped  5.2s
         ⠦ base  0/2 stopped
         ⠦ core  1/2 stopped
           ⠦ api-1    stopping     0.2s
           - auth-1   stopped          
         - edge  2/2 stopped
        ");
    }

    #[test]
    fn what_a_low_screen_leaves_out_is_counted_by_state() {
        assert_snapshot!(text(&view_of(in_waves()), 5_200, 80, 5), @"
        up shop  2/6 ready  wave core (2/3)  5.2s
         ⠦ core  0/2 ready  3.1s
           ⠦ api-1    probing      2.9s  2/4 models_loaded: 503 Service Unavailable
           3 more: 1 blocked
        ");
    }

    #[test]
    fn what_loads_and_what_is_left_alone_is_told() {
        let replica = |name: &str| Replica { service: name.into(), number: 1 };
        let breaker = |check: &str, breaker, seconds| EventKind::Breaker {
            replica: replica("web"),
            check: check.into(),
            breaker,
            open_for: Duration::from_secs(seconds),
            cause: "refused".into(),
        };
        let view = view_of(vec![
            (0, started(&["llm", "web"])),
            (10, service("llm", ServiceState::Probing, "")),
            (10, stage("llm", "models_loaded", 2, 3, StageStatus::Started)),
            (20, probed("llm", "connection refused")),
            (
                30,
                EventKind::StageMoved {
                    replica: replica("llm"),
                    stage: "models_loaded".into(),
                    index: 2,
                    of: 3,
                    text: "loaded 42%".into(),
                },
            ),
            (40, service("web", ServiceState::Blocked, "waits for `db`")),
            (1000, breaker("db.corp:5432", BreakerState::Open, 60)),
            (1000, breaker("cache", BreakerState::Open, 60)),
            (1100, breaker("cache", BreakerState::HalfOpen, 0)),
        ]);
        assert_snapshot!(text(&view, 19_000, 90, 24), @"
        up shop  0/2 ready  19.0s
           ⠇ llm-1  probing     19.0s  2/3 models_loaded: loaded 42%
           · web-1  blocked            waits for `db`  db.corp:5432: open for 42.0s more
        ");
    }

    #[test]
    fn the_rollback_window_is_one_line_that_counts_down() {
        let length = Duration::from_mins(5);
        let window = EventKind::WindowOpened { length, kept: vec!["shop-web-1.previous".into()] };
        let ready = |name| service(name, ServiceState::Ready, "");
        let all =
            vec![(0, started(&["db", "web"])), (10, ready("db")), (2_000, ready("web")), (2_000, window)];
        assert_eq!(
            text(&view_of(all.clone()), 29_500, 80, 24).trim_end(),
            "watching shop  2/2 ready  4m32s until what ran before is let go"
        );
        let restarted = (3_000, service("web", ServiceState::Restarting, "became unhealthy"));
        assert_snapshot!(text(&view_of(all.into_iter().chain([restarted]).collect()), 4_000, 80, 24), @"
        watching shop  1/2 ready  4m58s until what ran before is let go
           ✔ db-1   ready            
           ⠋ web-1  restarting   1.0s  became unhealthy
        ");
    }

    #[test]
    fn a_narrow_terminal_cuts_lines() {
        let text = text(&busy(), 12_600, 30, 24);
        assert!(text.lines().all(|line| line.width() <= 30));
        assert_snapshot!(text, @"
        up shop  1/4 ready  wave infr…
         ⠇ nginx:1.29 pulling 12.3 MB…
           ✔ db-1      ready        2…
           ⠇ api-1     probing     10…
           · web-1     blocked       …
           ✘ worker-1  failed        …
        ");
    }

    #[test]
    fn a_low_terminal_keeps_what_matters_and_counts_the_rest() {
        assert_snapshot!(text(&busy(), 12_600, 80, 5), @"
        up shop  1/4 ready  wave infrastructure (1/2)  12.6s
           ⠇ api-1     probing     10.1s  3/4 models_loaded: connection refused
           ✘ worker-1  failed             exited with code 1
           3 more: 1 ready, 1 blocked
        ");
        assert_eq!(text(&busy(), 0, 80, 1), "");
        assert_eq!(frame(&busy(), Elapsed::ZERO, (80, 0), None), []);
    }
}
