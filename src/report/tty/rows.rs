//! The lines of a picture: an image, a wave, a container.

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr as _;

use super::StyledLine;
use crate::{
    event::ServiceState,
    report::{
        ImageView, OpenView, ReplicaView, RunView, WaveStatus, WaveView, human_bytes, human_duration, is_up,
        text::count, view::doing,
    },
    time::Elapsed,
};

pub(super) use crate::report::view::is_at_work;

/// Where the parts of a container's line begin.
pub(super) struct Columns {
    /// How wide names are.
    names: usize,
    /// How far containers stand from the left edge.
    indent: usize,
}

impl Columns {
    /// Wide enough for every name, up to a third of the narrowest usual terminal.
    pub(super) fn of(view: &RunView) -> Self {
        const MOST: usize = 32;
        let widest = view.replicas.iter().map(|r| r.replica.to_string().width()).max().unwrap_or(0);
        Self { names: widest.min(MOST), indent: if view.waves.is_empty() { 1 } else { 3 } }
    }
}

/// A pull, a build or a tool; `None`: it is over.
pub(super) fn image(image: &str, progress: &ImageView, now: Elapsed) -> Option<StyledLine> {
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

/// A wave: its name, how many of its containers are where the run is going with them, and how long that took or takes.
pub(super) fn wave(wave: &WaveView, (word, arrived, of): (&str, usize, usize), now: Elapsed) -> StyledLine {
    let comes_up = word == "ready";
    let (symbol, style) = match &wave.status {
        _ if !comes_up && arrived == of => ('-', dim()),
        _ if !comes_up => (spinner(now), blue()),
        WaveStatus::Closed => ('·', dim()),
        WaveStatus::Open => (spinner(now), blue()),
        WaveStatus::Ready => ('✔', coloured(AnsiColor::Green)),
        WaveStatus::Failed => ('✘', coloured(AnsiColor::Red)),
    };
    let waits = comes_up && wave.status == WaveStatus::Closed;
    let name = if waits { dim() } else { Style::new().bold() };
    let line = StyledLine::default().with(style, format!(" {symbol} ")).with(name, &wave.name);
    if waits {
        return line.with(dim(), format!("  {}", count(of, "container")));
    }
    let line = line.text(format!("  {arrived}/{of} {word}"));
    match wave.opened.filter(|_| comes_up) {
        None => line,
        Some(opened) => {
            let until = if wave.status == WaveStatus::Ready { wave.since } else { now };
            line.with(dim(), format!("  {}", human_duration(until.since(opened))))
        }
    }
}

/// The containers of no wave, where all of them are ready.
pub(super) fn without_wave(number: usize) -> StyledLine {
    let line = StyledLine::default().with(coloured(AnsiColor::Green), " ✔ ").with(dim(), "in no wave");
    line.text(format!("  {number}/{number} ready"))
}

/// A container: its state, how long that took or takes, its stage, and what it waits for.
pub(super) fn replica(replica: &ReplicaView, columns: &Columns, now: Elapsed) -> StyledLine {
    const STATES: usize = 11;
    const TIMES: usize = 6;
    let (symbol, style) = symbol(replica.state, now);
    let states = columns.indent + 2 + columns.names + 2;
    let mut line = StyledLine::default()
        .text(" ".repeat(columns.indent))
        .with(style, format!("{symbol} "))
        .text(replica.replica.to_string())
        .pad_to(states - 2)
        .with(style, format!("  {}", replica.state.word()))
        .pad_to(states + STATES);
    let time = time(replica, now).unwrap_or_default();
    line = line.with(dim(), format!("{time:>TIMES$}"));
    for detail in detail(replica).into_iter().chain(open(replica, now)) {
        line = line.text(format!("  {detail}"));
    }
    line
}

/// What is said beside a state.
fn detail(replica: &ReplicaView) -> Option<String> {
    if replica.state != ServiceState::Probing {
        return (!replica.cause.is_empty()).then(|| replica.cause.clone());
    }
    let stage = replica.stage.as_ref()?;
    let mut text = stage.name.clone();
    if stage.of > 1 {
        text = format!("{}/{} {text}", stage.index, stage.of);
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

pub(super) fn spinner(now: Elapsed) -> char {
    const SPINNER: [char; 8] = ['⠋', '⠙', '⠸', '⠴', '⠦', '⠧', '⠇', '⠏'];
    let tenths = now.since_start().as_millis() / 100;
    SPINNER[usize::try_from(tenths % SPINNER.len() as u128).unwrap_or(0)]
}

fn coloured(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(colour.into()))
}

pub(super) fn blue() -> Style {
    coloured(AnsiColor::Blue)
}

pub(super) fn dim() -> Style {
    Style::new().dimmed()
}
