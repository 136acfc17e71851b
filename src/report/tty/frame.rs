//! The picture of a run at one moment.

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr as _;

use super::StyledLine;
use crate::{
    event::ServiceState,
    report::{
        ImageView, OpenView, ReplicaView, RunView, WaveStatus, human_bytes, human_duration, is_settled,
        is_up,
        view::{doing, is_at_work},
    },
    time::Elapsed,
};

/// The lines of a run at `now`, at most `height - 1` of them, each at most `width` columns wide.
pub fn frame(view: &RunView, now: Elapsed, width: usize, height: usize) -> Vec<StyledLine> {
    let room = height.saturating_sub(1);
    let mut rows: Vec<Row> = Vec::new();
    let names = name_width(view);
    for (image, progress) in &view.images {
        if let Some(line) = image_line(image, progress, now) {
            rows.push(Row { weight: 2, line });
        }
    }
    for replica in &view.replicas {
        rows.push(Row { weight: weight(replica), line: replica_line(replica, names, now) });
    }
    if view.is_settled() && view.open_window().is_some() {
        rows.clear();
    }
    let mut lines = vec![header(view, now)];
    lines.extend(fit(rows, room.saturating_sub(1)));
    lines.truncate(room);
    lines.into_iter().map(|line| line.cut(width)).collect()
}

/// A line and how much it matters; lighter ones are left out first.
struct Row {
    weight: u8,
    line: StyledLine,
}

/// Keeps the rows that matter most, in their order, and says how many are missing.
fn fit(rows: Vec<Row>, room: usize) -> Vec<StyledLine> {
    if rows.len() <= room {
        return rows.into_iter().map(|row| row.line).collect();
    }
    let keep = room.saturating_sub(1);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(rows[i].weight));
    order.truncate(keep);
    let missing = rows.len() - order.len();
    let mut lines: Vec<StyledLine> =
        rows.into_iter().enumerate().filter(|(i, _)| order.contains(i)).map(|(_, row)| row.line).collect();
    if room > 0 {
        lines.push(StyledLine::default().with(dim(), format!(" +{missing} more")));
    }
    lines
}

fn header(view: &RunView, now: Elapsed) -> StyledLine {
    if let Some(waiting) = &view.waiting {
        let line = StyledLine::default().with(blue(), format!("{} ", spinner(now))).text(waiting);
        return line.with(dim(), format!("  {}", human_duration(now.since_start())));
    }
    let doing = match (&view.unwinding, view.cancelled) {
        (Some((policy, _)), _) => policy.clone(),
        (None, Some(_)) => "stopping".to_owned(),
        (None, None) if view.open_window().is_some() => "watching".to_owned(),
        (None, None) => view.command.clone(),
    };
    let total = view.replicas.len();
    // Where the run is going with every container.
    let (word, arrived): (_, fn(ServiceState) -> bool) = match view.command.as_str() {
        "down" => ("removed", |state| state == ServiceState::Removed),
        "stop" => ("stopped", |state| matches!(state, ServiceState::Stopped | ServiceState::Removed)),
        _ => ("ready", is_up),
    };
    let mut line = StyledLine::default()
        .with(Style::new().bold(), format!("{doing} {}", view.project))
        .text(format!("  {}/{total} {}", view.replicas.iter().filter(|r| arrived(r.state)).count(), word));
    if let Some((at, wave)) = view.waves.iter().enumerate().rfind(|(_, w)| w.status == WaveStatus::Open) {
        line = line.text(format!("  wave {} ({}/{})", wave.name, at + 1, view.waves.len()));
    }
    if let Some(window) = view.open_window() {
        let left = human_duration(window.until.since(now));
        let then = if window.keeps { "until what ran before is let go" } else { "to go" };
        return line.text(format!("  {left}")).with(dim(), format!(" {then}"));
    }
    line.with(dim(), format!("  {}", human_duration(now.since_start())))
}

fn image_line(image: &str, progress: &ImageView, now: Elapsed) -> Option<StyledLine> {
    if progress.ended.is_some() {
        return None;
    }
    let doing = progress.verb.and_then(doing).unwrap_or("pulling");
    let mut line =
        StyledLine::default().with(blue(), format!(" {} ", spinner(now))).text(image).text(" ").text(doing);
    match (progress.current, progress.total) {
        (Some(current), Some(total)) if total > 0 => {
            let percent = (u128::from(current) * 100 / u128::from(total)).min(100);
            line = line.text(format!(" {} of {} ({percent}%)", human_bytes(current), human_bytes(total)));
        }
        _ if !progress.text.is_empty() => line = line.text(format!(" {}", progress.text)),
        _ => {}
    }
    Some(line.with(dim(), format!("  {}", human_duration(now.since(progress.since)))))
}

fn replica_line(replica: &ReplicaView, names: usize, now: Elapsed) -> StyledLine {
    let (symbol, style) = symbol(replica.state, now);
    let name = replica.replica.to_string();
    let mut line = StyledLine::default()
        .with(style, format!(" {symbol} "))
        .text(name)
        .pad_to(3 + names)
        .with(style, format!("  {}", replica.state.word()))
        .pad_to(3 + names + 2 + 10);
    for detail in detail(replica).into_iter().chain(open(replica, now)) {
        line = line.text(format!("  {detail}"));
    }
    match time(replica, now) {
        Some(time) => line.with(dim(), format!("  {time}")),
        None => line,
    }
}

/// What is said beside a state.
fn detail(replica: &ReplicaView) -> Option<String> {
    if replica.state != ServiceState::Probing {
        return (!replica.cause.is_empty()).then(|| replica.cause.clone());
    }
    let stage = replica.stage.as_ref()?;
    let mut text = stage.name.clone();
    if stage.of > 1 {
        text = format!("{text} {}/{}", stage.index, stage.of);
    }
    if let Some(moved) = &stage.moved {
        text = format!("{text}: {moved}");
    } else if let Some(probe) = replica.last_probe.as_ref().filter(|probe| !probe.passed) {
        text = format!("{text}: {}", probe.detail);
    }
    Some(text)
}

/// The checks that are left alone, and for how long.
fn open(replica: &ReplicaView, now: Elapsed) -> Option<String> {
    let left =
        |open: &OpenView| format!("{}: open for {} more", open.check, human_duration(open.until.since(now)));
    let open: Vec<String> = replica.open.iter().filter(|open| open.until > now).map(left).collect();
    (!open.is_empty()).then(|| open.join(", "))
}

/// How long it took, or takes.
fn time(replica: &ReplicaView, now: Elapsed) -> Option<String> {
    if is_up(replica.state) {
        let began = replica.began?;
        return Some(human_duration(replica.ready_at?.since(began)));
    }
    is_at_work(replica.state).then(|| human_duration(now.since(replica.since)))
}

fn symbol(state: ServiceState, now: Elapsed) -> (char, Style) {
    match state {
        ServiceState::Ready | ServiceState::Completed => ('✔', coloured(AnsiColor::Green)),
        ServiceState::Degraded => ('!', coloured(AnsiColor::Yellow)),
        ServiceState::Failed | ServiceState::Unhealthy => ('✘', coloured(AnsiColor::Red)),
        ServiceState::Pending | ServiceState::Blocked | ServiceState::Created => ('·', dim()),
        ServiceState::Stopped | ServiceState::Removed | ServiceState::Skipped => ('-', dim()),
        ServiceState::Pulling
        | ServiceState::Building
        | ServiceState::Creating
        | ServiceState::Starting
        | ServiceState::Probing
        | ServiceState::Recovering
        | ServiceState::Restarting
        | ServiceState::Stopping => (spinner(now), blue()),
    }
}

/// Failures first, then what is under way, what waits, what is done.
fn weight(replica: &ReplicaView) -> u8 {
    match replica.state {
        ServiceState::Failed | ServiceState::Unhealthy => 4,
        state if is_at_work(state) => 3,
        state if !is_settled(state) => 1,
        _ => 0,
    }
}

fn name_width(view: &RunView) -> usize {
    view.replicas.iter().map(|r| r.replica.to_string().width()).max().unwrap_or(0).min(32)
}

fn spinner(now: Elapsed) -> char {
    const SPINNER: [char; 8] = ['⠋', '⠙', '⠸', '⠴', '⠦', '⠧', '⠇', '⠏'];
    let tenths = now.since_start().as_millis() / 100;
    SPINNER[usize::try_from(tenths % SPINNER.len() as u128).unwrap_or(0)]
}

fn coloured(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(colour.into()))
}

fn blue() -> Style {
    coloured(AnsiColor::Blue)
}

fn dim() -> Style {
    Style::new().dimmed()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use insta::assert_snapshot;

    use super::*;
    use crate::{
        event::{BreakerState, EventKind, RunStarted, ServiceInfo, StageStatus},
        project::Replica,
        report::view::tests::{probed, service, stage, view_of},
    };

    fn text(view: &RunView, millis: u64, width: usize, height: usize) -> String {
        let lines = frame(view, Elapsed::new(Duration::from_millis(millis)), width, height);
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
         ✔ db-1      ready       2.3s
         ⠇ api-1     probing     models_loaded 3/4: connection refused  10.1s
         · web-1     blocked     waits for api
         ✘ worker-1  failed      exited with code 1
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
         ⠇ llm-1  probing     models_loaded 2/3: loaded 42%  19.0s
         · web-1  blocked     waits for `db`  db.corp:5432: open for 42.0s more
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
         ⠋ web-1  restarting  became unhealthy  1.0s
        ");
    }

    #[test]
    fn a_narrow_terminal_cuts_lines() {
        let text = text(&busy(), 12_600, 30, 24);
        assert!(text.lines().all(|line| line.width() <= 30));
        assert_snapshot!(text, @"
        up shop  1/4 ready  wave infr…
         ⠇ nginx:1.29 pulling 12.3 MB…
         ✔ db-1      ready       2.3s
         ⠇ api-1     probing     mode…
         · web-1     blocked     wait…
         ✘ worker-1  failed      exit…
        ");
    }

    #[test]
    fn a_low_terminal_keeps_what_matters_and_counts_the_rest() {
        assert_snapshot!(text(&busy(), 12_600, 80, 5), @"
        up shop  1/4 ready  wave infrastructure (1/2)  12.6s
         ⠇ api-1     probing     models_loaded 3/4: connection refused  10.1s
         ✘ worker-1  failed      exited with code 1
         +3 more
        ");
        assert_eq!(text(&busy(), 0, 80, 1), "");
        assert_eq!(frame(&busy(), Elapsed::ZERO, 80, 0), []);
    }
}
