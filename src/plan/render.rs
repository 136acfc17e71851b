//! A plan as text and as JSON: what would happen, wave by wave, and why.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
};

use serde_json::{Value, json};

use super::{
    Action, Awaits, Found, Gate, GateOn, Phase, Plan, ProviderVerb, Readiness, Step, StepId, Unit,
    UnitReplica, Update,
    forecast::{Due, Forecast, rounded},
};
use crate::project::{Require, go_duration};

/// What becomes of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Create,
    Recreate,
    Start,
    Keep,
}

impl Fate {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Recreate => "recreate",
            Self::Start => "start",
            Self::Keep => "keep",
        }
    }

    fn sign(self) -> char {
        match self {
            Self::Create => '+',
            Self::Recreate => '~',
            Self::Start => '>',
            Self::Keep => '=',
        }
    }
}

/// A plan with what is looked up in it for each container.
pub(super) struct Shown<'a> {
    plan: &'a Plan,
    /// The step that creates a container, by service and number.
    created: HashMap<(&'a str, u32), &'a Step>,
    /// Services whose new containers are ready before the old ones go.
    start_first: HashSet<&'a str>,
}

impl<'a> Shown<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        let (mut created, mut start_first) = (HashMap::new(), HashSet::new());
        for step in &plan.steps {
            if let Action::CreateContainer { replica, .. } = &step.action {
                created.entry((replica.service.as_str(), replica.number)).or_insert(step);
            }
            if let (Some(Awaits::Ready), Some(replica)) = (step.awaits, step.action.replica()) {
                start_first.insert(replica.service.as_str());
            }
        }
        Self { plan, created, start_first }
    }
}

/// The plan for people: waves, containers with what becomes of them and why, what else is done, and, where earlier
/// runs tell, how long it should take.
pub fn plan_text(plan: &Plan, forecast: Option<&Forecast>) -> String {
    let shown = Shown::new(plan);
    let mut text = format!("{}: {}", plan.project, counts(&shown));
    if let Some(forecast) = forecast {
        write!(text, ", ready in about {}", rounded(forecast.ready.since_start()))
            .expect("writing to a String cannot fail");
    }
    text.push('\n');
    let width = plan.units.iter().map(|u| u.service.len() + 3).max().unwrap_or(0);
    let mut sections: Vec<(String, Vec<&Unit>)> = Vec::new();
    let mut of_waves: Vec<Vec<&Unit>> = vec![Vec::new(); plan.waves.len()];
    let mut free: Vec<&Unit> = Vec::new();
    for unit in &plan.units {
        unit.wave.map_or(&mut free, |wave| &mut of_waves[wave]).push(unit);
    }
    if !free.is_empty() {
        let title =
            if plan.waves.is_empty() { String::new() } else { "as soon as dependencies allow".to_owned() };
        sections.push((title, free));
    }
    for (wave, units) in plan.waves.iter().zip(of_waves) {
        let mut title = format!("wave {}", wave.name);
        if wave.ready_when != Require::All {
            write!(title, ", ready when {}", require(wave.ready_when))
                .expect("writing to a String cannot fail");
        }
        if let Some(timeout) = wave.timeout {
            write!(title, ", within {}", go_duration(timeout)).expect("writing to a String cannot fail");
        }
        sections.push((title, units));
    }
    for (title, units) in sections {
        text.push('\n');
        if !title.is_empty() {
            writeln!(text, "{title}").expect("writing to a String cannot fail");
        }
        for unit in units {
            let takes =
                forecast.map(|forecast| forecast.takes(&unit.service).map(rounded).unwrap_or_default());
            unit_lines(&mut text, &shown, unit, (width, takes));
        }
    }
    other_lines(&mut text, plan);
    if let Some(forecast) = forecast {
        forecast_lines(&mut text, forecast);
    }
    if let Some(window) = plan.window() {
        let length = go_duration(window.length);
        let then = if plan.kept().is_empty() { "" } else { ", before what ran before is let go" };
        writeln!(text, "\nwatched for {length} once everything is ready{then}")
            .expect("writing to a String cannot fail");
    }
    for warning in &plan.warnings {
        writeln!(text, "\nwarning: {warning}").expect("writing to a String cannot fail");
    }
    text
}

/// `takes`: what is written in the column of times; `None`: there is no such column.
fn unit_lines(text: &mut String, shown: &Shown<'_>, unit: &Unit, (width, takes): (usize, Option<String>)) {
    let takes = takes.map(|takes| format!("{takes:>7}  ")).unwrap_or_default();
    for replica in &unit.replicas {
        let (fate, cause) = fate(shown, unit, replica);
        let name = format!("{}-{}", unit.service, replica.number);
        let line = format!("  {} {name:width$} {:9} {takes}{cause}", fate.sign(), fate.word());
        writeln!(text, "{}", line.trim_end()).expect("writing to a String cannot fail");
    }
    if let Some(update) = unit.update.as_ref().map(|update| update_words(shown, unit, update)) {
        writeln!(text, "    {:width$} {update}", "").expect("writing to a String cannot fail");
    }
    if let Some(recipe) = recipe(unit) {
        writeln!(text, "    {:width$} ready by the recipe `{recipe}`", "")
            .expect("writing to a String cannot fail");
    }
    let waits: Vec<String> = unit.gates.iter().filter_map(|g| waits_for(shown.plan, g)).collect();
    if !waits.is_empty() {
        writeln!(text, "    {:width$} waits for {}", "", waits.join(", "))
            .expect("writing to a String cannot fail");
    }
}

/// The chain that takes longest, and what nothing is known of.
fn forecast_lines(text: &mut String, forecast: &Forecast) {
    let link = |service: &String| {
        let takes = forecast.takes(service).map(rounded).unwrap_or_default();
        format!("{service} {takes}").trim_end().to_owned()
    };
    let chain: Vec<String> = forecast.critical.iter().map(link).collect();
    let total = rounded(forecast.ready.since_start());
    writeln!(text, "\ncritical path, going by earlier runs: about {total}\n  {}", chain.join(" → "))
        .expect("writing to a String cannot fail");
    if !forecast.unknown.is_empty() {
        let unknown = forecast.unknown.join(", ");
        writeln!(text, "  not counted, for no earlier run has started it: {unknown}")
            .expect("writing to a String cannot fail");
    }
}

/// How its containers are replaced.
fn update_words(shown: &Shown<'_>, unit: &Unit, update: &Update) -> String {
    let is_start_first = shown.start_first.contains(unit.service.as_str());
    let order = if is_start_first { "start-first" } else { "stop-first" };
    let at_once = update.batches.iter().map(Vec::len).max().unwrap_or(0);
    let mut words = format!("updated {order}, {at_once} at a time");
    for (name, time) in [("delay", update.delay), ("monitor", update.monitor)] {
        if !time.is_zero() {
            write!(words, ", {name} {}", go_duration(time)).expect("writing to a String cannot fail");
        }
    }
    words
}

/// The recipe that makes it ready, where it is a known model server's.
fn recipe(unit: &Unit) -> Option<&'static str> {
    match &unit.readiness {
        Readiness::Spec(spec) => spec.recipe,
        Readiness::Healthcheck(_) | Readiness::Image(_) | Readiness::Running => None,
    }
}

/// Networks, volumes, images, and containers that go.
fn other_lines(text: &mut String, plan: &Plan) {
    let mut lines = Vec::new();
    for step in &plan.steps {
        let (word, what) = match &step.action {
            Action::CallProvider { service, provider, verb } => {
                let word = verb.word();
                lines.push(format!("  {word} {service}: by its provider `{provider}`\n"));
                continue;
            }
            Action::SetUpModel { key } => {
                lines.push(format!("  set up model {key}: by `docker model`\n"));
                continue;
            }
            Action::CreateNetwork { name, .. } => ("create network", name),
            Action::RemoveNetwork { name, .. } => ("remove network", name),
            Action::RestoreNetwork(network) => ("create network", &network.name),
            Action::CreateVolume { name, .. } => ("create volume", name),
            Action::RemoveVolume { name } => ("remove volume", name),
            Action::PullImage { image, .. } => ("pull image", image),
            Action::BuildImage { image, .. } => ("build image", image),
            Action::RemoveImage { image } => ("remove image", image),
            Action::RemoveContainer { container, .. } if step.cause != super::Cause::Replaced => {
                ("remove container", &container.name)
            }
            Action::CreateContainer { .. }
            | Action::TakeNames { .. }
            | Action::Reconnect { .. }
            | Action::StartContainer { .. }
            | Action::StopContainer { .. }
            | Action::KillContainer { .. }
            | Action::RenameContainer { .. }
            | Action::RemoveContainer { .. } => continue,
        };
        lines.push(format!("  {word} {what}: {}\n", step.cause));
    }
    if !lines.is_empty() {
        text.push_str("\nbesides\n");
        text.extend(lines);
    }
}

fn counts(shown: &Shown<'_>) -> String {
    let mut counts = Vec::new();
    for wanted in [Fate::Create, Fate::Recreate, Fate::Start, Fate::Keep] {
        let replicas =
            shown.plan.units.iter().flat_map(|u| u.replicas.iter().map(move |r| fate(shown, u, r).0));
        let n = replicas.filter(|f| *f == wanted).count();
        if n > 0 {
            counts.push(format!("{n} to {}", wanted.word()));
        }
    }
    if counts.is_empty() { "nothing to do".to_owned() } else { counts.join(", ") }
}

/// What becomes of a container, and why.
pub(super) fn fate(shown: &Shown<'_>, unit: &Unit, replica: &UnitReplica) -> (Fate, String) {
    if let Some(step) = shown.created.get(&(unit.service.as_str(), replica.number)) {
        let replaces = matches!(step.action, Action::CreateContainer { replaces: Some(_), .. });
        return (if replaces { Fate::Recreate } else { Fate::Create }, step.cause.to_string());
    }
    match replica.start {
        Some(start) => (Fate::Start, shown.plan.steps[start.index()].cause.to_string()),
        None => match replica.found {
            Found::Completed => (Fate::Keep, "it has done its work".to_owned()),
            Found::ToStart | Found::Running | Found::Healthy => (Fate::Keep, String::new()),
        },
    }
}

/// What a gate waits for, in words; `None` for the order of waves, which the sections show.
fn waits_for(plan: &Plan, gate: &Gate) -> Option<String> {
    let name = |unit: super::UnitId| plan.units[unit.index()].service.clone();
    let text = match &gate.on {
        GateOn::Started(unit) => format!("{} started", name(*unit)),
        GateOn::Ready(unit) => format!("{} ready", name(*unit)),
        GateOn::Completed(unit) => format!("{} completed", name(*unit)),
        GateOn::Stage(unit, stage) => format!("{} past stage {stage}", name(*unit)),
        GateOn::Wave(_) => return None,
        GateOn::Outside { name, .. } => format!("{name} (outside)"),
    };
    Some(if gate.required { text } else { format!("{text} (optional)") })
}

fn require(require: Require) -> String {
    match require {
        Require::All => "all".to_owned(),
        Require::Any => "any".to_owned(),
        Require::Count(n) => n.to_string(),
        Require::Percent(p) => format!("{p}%"),
    }
}

/// The plan for programs.
pub fn plan_json(plan: &Plan, forecast: Option<&Forecast>) -> Value {
    let shown = Shown::new(plan);
    let steps = (0u32..).map(StepId).zip(&plan.steps);
    let due = |unit: &Unit| forecast.and_then(|f| f.services.get(&unit.service));
    let services = plan.units.iter().map(|unit| unit_json(&shown, unit, due(unit)));
    json!({
        "project": plan.project,
        "services": services.collect::<Vec<_>>(),
        "expected_seconds": forecast.map(|f| f.ready.since_start().as_secs_f64()),
        "critical_path": forecast.map(|f| &f.critical),
        "waves": plan.waves.iter().map(|wave| json!({
            "name": wave.name,
            "services": wave.units.iter().map(|u| &plan.units[u.index()].service).collect::<Vec<_>>(),
            "ready_when": require(wave.ready_when),
            "timeout_seconds": wave.timeout.map(|t| t.as_secs_f64()),
        })).collect::<Vec<_>>(),
        "rollback_window_seconds": plan.window().map(|w| w.length.as_secs_f64()),
        "steps": steps.map(|(id, step)| step_json(plan, id, step)).collect::<Vec<_>>(),
        "warnings": plan.warnings,
    })
}

fn unit_json(shown: &Shown<'_>, unit: &Unit, due: Option<&Due>) -> Value {
    let plan = shown.plan;
    let stages: Vec<String> = match &unit.readiness {
        Readiness::Spec(spec) => spec.stages.iter().map(|s| s.name.clone()).collect(),
        Readiness::Healthcheck(_) => vec!["healthcheck".to_owned()],
        Readiness::Image(_) | Readiness::Running => Vec::new(),
    };
    let container = |replica: &UnitReplica| {
        let (fate, cause) = fate(shown, unit, replica);
        json!({ "number": replica.number, "action": fate.word(), "cause": cause })
    };
    json!({
        "service": unit.service,
        "wave": unit.wave.map(|w| &plan.waves[w].name),
        "critical": unit.critical,
        "stages": stages,
        "recipe": recipe(unit),
        "waits_for": unit.gates.iter().filter_map(|g| waits_for(plan, g)).collect::<Vec<_>>(),
        "containers": unit.replicas.iter().map(container).collect::<Vec<_>>(),
        "expected_start_at": due.map(|due| due.start.since_start().as_secs_f64()),
        "expected_ready_at": due.map(|due| due.ready.since_start().as_secs_f64()),
    })
}

fn step_json(plan: &Plan, id: StepId, step: &Step) -> Value {
    let (action, target) = words(&step.action);
    json!({
        "step": id.0,
        "action": action,
        "target": target,
        "cause": step.cause.to_string(),
        "after": step.after.iter().map(|s| s.0).collect::<Vec<_>>(),
        "gated_by": step.gate.map(|u| &plan.units[u.index()].service),
        "awaits": step.awaits.map(awaits),
        "when_ready": step.phase == Phase::Commit,
    })
}

fn awaits(awaits: Awaits) -> String {
    match awaits {
        Awaits::Batch(index) => format!("batch {}", index + 1),
        Awaits::Ready => "ready".to_owned(),
    }
}

fn words(action: &Action) -> (&'static str, String) {
    match action {
        Action::CreateNetwork { name, .. } => ("create_network", name.clone()),
        Action::RemoveNetwork { name, .. } => ("remove_network", name.clone()),
        Action::RestoreNetwork(network) => ("create_network", network.name.clone()),
        Action::Reconnect { container, .. } => ("reconnect_container", container.name.clone()),
        Action::CreateVolume { name, .. } => ("create_volume", name.clone()),
        Action::RemoveVolume { name } => ("remove_volume", name.clone()),
        Action::PullImage { image, .. } => ("pull_image", image.clone()),
        Action::BuildImage { image, .. } => ("build_image", image.clone()),
        Action::RemoveImage { image } => ("remove_image", image.clone()),
        Action::CallProvider { service, verb, .. } => {
            let word = match verb {
                ProviderVerb::Up => "provider_up",
                ProviderVerb::Down => "provider_down",
                ProviderVerb::Stop => "provider_stop",
            };
            (word, service.clone())
        }
        Action::SetUpModel { key } => ("set_up_model", key.clone()),
        Action::CreateContainer { name, .. } => ("create_container", name.clone()),
        Action::TakeNames { name, .. } => ("take_names", name.clone()),
        Action::StartContainer { name, .. } => ("start_container", name.clone()),
        Action::StopContainer { container, .. } => ("stop_container", container.name.clone()),
        Action::KillContainer { container, .. } => ("kill_container", container.name.clone()),
        Action::RenameContainer { to, .. } => ("rename_container", to.clone()),
        Action::RemoveContainer { container, .. } => ("remove_container", container.name.clone()),
    }
}
