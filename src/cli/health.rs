//! `health`: every check once, as a table or as the standard health report.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde_json::{Map, Value, json};

use super::{
    CliError, Exit, Invocation,
    args::{Format, HealthArgs},
    entry::print,
    scope::Subject,
    table::table,
};
use crate::{
    health::Status,
    journal::{from_rfc3339, rfc3339},
    plan::Observed,
    probe::Prober,
    run::{Examined, ExaminedState, examine, examine_by_engine},
};

/// Asks every check of every service once.
///
/// # Errors
///
/// The files are wrong, a service is unknown, the project is not up, or the engine refuses.
pub(super) async fn run(invocation: &Invocation, args: &HealthArgs) -> Result<Exit, CliError> {
    let subject = invocation.subject()?;
    let engine = invocation.connect().await?;
    let observed = subject.observe(&*engine).await?;
    subject.check_services(&args.services, &observed.containers)?;
    let prober = Prober::new(Arc::clone(&engine));
    let examined = match &subject.project {
        Some(project) => examine(project, &*engine, &prober, &observed, args.timeout).await,
        None => examine_by_engine(&*engine, &prober, &observed, args.timeout).await,
    };
    let examined = examined.map_err(|error| CliError::engine("failed to look at a container", &error))?;
    // All are looked at, as one may be about another; only those asked for are shown.
    let is_wanted = |e: &Examined| args.services.is_empty() || args.services.contains(&e.service);
    let shown: Vec<&Examined> = examined.iter().filter(|e| is_wanted(e)).collect();
    if args.format == Format::Json {
        let now = SystemTime::now();
        print(&format!("{:#}\n", project_report(&subject.name, &shown, &examined, now)));
    }
    if is_down(&observed) {
        return Err(not_up(invocation, &subject));
    }
    if args.format == Format::Table {
        print(&text(&shown));
    }
    Ok(if total(&shown) == Status::Unhealthy { Exit::Failed } else { Exit::Fine })
}

/// Whether nothing of the project is there.
fn is_down(observed: &Observed) -> bool {
    !observed.containers.iter().any(|c| !c.is_oneoff())
}

fn not_up(invocation: &Invocation, subject: &Subject) -> CliError {
    CliError::failed(format!("project `{}` is not up: it has no containers", subject.name))
        .hint(format!("`{} up -d` starts it", invocation.again()))
}

/// The project: unhealthy where something critical is, degraded where anything else is not well.
fn total(examined: &[&Examined]) -> Status {
    let of = |e: &&Examined| {
        let status = e.state.status();
        if e.critical { status } else { status.min(Status::Degraded) }
    };
    examined.iter().map(of).max().unwrap_or_default()
}

fn word(state: ExaminedState) -> &'static str {
    match state {
        ExaminedState::Up(status) => status.word(),
        ExaminedState::Completed => "completed",
        ExaminedState::Down => "down",
        ExaminedState::Missing => "missing",
    }
}

/// A line for each check, and one for each container without any.
fn text(examined: &[&Examined]) -> String {
    let mut rows = Vec::new();
    for seen in examined {
        let several = examined.iter().filter(|other| other.service == seen.service).count() > 1;
        let name = match seen.number {
            0 => seen.service.clone(),
            number if several => format!("{}-{number}", seen.service),
            _ => seen.service.clone(),
        };
        let row = |cells: [&str; 4]| {
            let cells = [name.as_str(), word(seen.state)].into_iter().chain(cells);
            cells.map(str::to_owned).collect::<Vec<String>>()
        };
        if seen.checks.is_empty() {
            rows.push(row(["-", "-", &seen.why, "-"]));
        }
        for check in &seen.checks {
            let title = if check.stage == check.name {
                check.name.clone()
            } else {
                format!("{}/{}", check.stage, check.name)
            };
            let result = match (check.result.status(), seen.critical && check.critical) {
                (Status::Healthy, _) => "passed",
                (Status::Degraded, _) => "degraded",
                (Status::Unhealthy, true) => "failed",
                (Status::Unhealthy, false) => "failed, not critical",
            };
            rows.push(row([&title, result, &check.result.why(), &took(check.result.took)]));
        }
    }
    table(&["SERVICE", "STATE", "CHECK", "RESULT", "WHY", "TIME"], &rows)
}

/// `0.8ms`, `12ms`, `1.5s`.
fn took(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    match millis {
        _ if millis < 9.95 => format!("{millis:.1}ms"),
        _ if millis < 999.5 => format!("{millis:.0}ms"),
        _ => format!("{:.1}s", millis / 1000.0),
    }
}

/// The standard health report of the project, with that of each service in it.
fn project_report(name: &str, shown: &[&Examined], all: &[Examined], now: SystemTime) -> Value {
    let mut services = Map::new();
    for seen in shown {
        let status = worst(all, &seen.service);
        services.entry(seen.service.clone()).or_insert_with(|| service_report(seen, status, all, now));
    }
    let oldest = shown.iter().filter_map(|seen| uptime(seen, now)).max();
    let slowest = shown.iter().flat_map(|seen| &seen.checks).map(|check| check.result.took).max();
    let each = services.iter().map(|(name, report)| (name.clone(), report["checks"]["self"].clone()));
    json!({
        "status": total(shown).word(),
        "timestamp": rfc3339(now),
        "service": {"name": name, "uptime_seconds": oldest.unwrap_or_default().as_secs()},
        "checks": {
            "self": {"status": total(shown).word(), "latency_ms": millis(slowest.unwrap_or_default())},
            "dependencies": each.collect::<Map<String, Value>>(),
            "resources": {},
        },
        "metrics": {},
        "services": services,
    })
}

/// How a service is: as the worst of its containers.
fn worst(all: &[Examined], service: &str) -> ExaminedState {
    let own = all.iter().filter(|seen| seen.service == service).map(|seen| seen.state);
    own.max_by_key(|state| state.status()).unwrap_or(ExaminedState::Missing)
}

/// The report of a service: what it says itself of its resources and metrics, and what the checks found.
fn service_report(seen: &Examined, state: ExaminedState, all: &[Examined], now: SystemTime) -> Value {
    let own = seen.checks.iter().find_map(|check| check.result.report.as_ref());
    let of_own = |pointer| own.and_then(|report| report.pointer(pointer)).cloned();
    let latency =
        |seen: &Examined| millis(seen.checks.iter().map(|check| check.result.took).max().unwrap_or_default());
    let mut dependencies =
        of_own("/checks/dependencies").and_then(|d| d.as_object().cloned()).unwrap_or_default();
    for name in &seen.dependencies {
        if let Some(other) = all.iter().find(|other| other.service == *name) {
            let status = worst(all, name).status().word();
            dependencies.insert(name.clone(), json!({"status": status, "latency_ms": latency(other)}));
        }
    }
    let mut service = Map::new();
    service.insert("name".to_owned(), json!(seen.service));
    if let Some(version) = of_own("/service/version") {
        service.insert("version".to_owned(), version);
    }
    service.insert("uptime_seconds".to_owned(), json!(uptime(seen, now).unwrap_or_default().as_secs()));
    let checks = |seen: &Examined| -> Vec<Value> {
        let container = seen.container.as_ref().map(|detail| detail.name.clone());
        let check = |check: &crate::run::CheckSeen| {
            json!({
                "container": container,
                "stage": check.stage,
                "check": check.name,
                "critical": check.critical,
                "status": check.result.status().word(),
                "detail": check.result.why(),
                "latency_ms": millis(check.result.took),
            })
        };
        seen.checks.iter().map(check).collect()
    };
    let mine = || all.iter().filter(|other| other.service == seen.service);
    let whys: Vec<&str> = mine().map(|other| other.why.as_str()).filter(|why| !why.is_empty()).collect();
    json!({
        "status": state.status().word(),
        "timestamp": rfc3339(now),
        "service": service,
        "checks": {
            "self": {"status": state.status().word(), "latency_ms": latency(seen)},
            "dependencies": dependencies,
            "resources": of_own("/checks/resources").unwrap_or_else(|| json!({})),
        },
        "metrics": of_own("/metrics").unwrap_or_else(|| json!({})),
        "state": word(state),
        "critical": seen.critical,
        "detail": whys.join("; "),
        "stages": mine().flat_map(checks).collect::<Vec<Value>>(),
    })
}

fn uptime(seen: &Examined, now: SystemTime) -> Option<Duration> {
    let detail = seen.container.as_ref().filter(|detail| detail.pid > 0)?;
    now.duration_since(from_rfc3339(&detail.started_at)?).ok()
}

/// Milliseconds, to a hundredth.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{health::ProbeResult, run::CheckSeen};

    fn check(stage: &str, name: &str, critical: bool, passed: bool) -> CheckSeen {
        let detail = if passed { "200 OK" } else { "connection refused" }.to_owned();
        let result = ProbeResult { passed, detail, took: Duration::from_micros(1240), report: None };
        CheckSeen { stage: stage.to_owned(), name: name.to_owned(), critical, result }
    }

    fn seen(service: &str, state: ExaminedState, why: &str, checks: Vec<CheckSeen>) -> Examined {
        Examined {
            service: service.to_owned(),
            number: 1,
            critical: true,
            state,
            why: why.to_owned(),
            checks,
            dependencies: [].into(),
            container: None,
        }
    }

    fn project() -> Vec<Examined> {
        use ExaminedState::{Completed, Down, Up};
        let mut down = seen("side", Down, "exited with code 3", vec![]);
        down.critical = false;
        let checks = vec![check("port", "port", true, true), check("models", "cache", false, false)];
        let mut web = seen("web", Up(Status::Degraded), "", checks);
        web.dependencies.insert("job".to_owned());
        vec![seen("job", Completed, "exited with code 0", vec![]), down, web]
    }

    #[test]
    fn every_check_has_a_line() {
        let all = project();
        insta::assert_snapshot!(text(&all.iter().collect::<Vec<_>>()), @r"
        SERVICE   STATE       CHECK          RESULT                 WHY                  TIME
        job       completed   -              -                      exited with code 0   -
        side      down        -              -                      exited with code 3   -
        web       degraded    port           passed                 200 OK               1.2ms
        web       degraded    models/cache   failed, not critical   connection refused   1.2ms
        ");
    }

    #[test]
    fn what_is_not_critical_degrades_the_project() {
        let all = project();
        let shown: Vec<&Examined> = all.iter().collect();
        assert_eq!(total(&shown), Status::Degraded);
        let missing = seen("db", ExaminedState::Missing, "", vec![]);
        assert_eq!(total(&[&missing]), Status::Unhealthy);
        let report = project_report("shop", &shown, &all, SystemTime::UNIX_EPOCH);
        assert_eq!(report["status"], "degraded");
        assert_eq!(report["services"]["web"]["checks"]["dependencies"]["job"]["status"], "healthy");
        assert_eq!(report["services"]["side"]["status"], "unhealthy");
        assert_eq!(report["checks"]["dependencies"]["web"]["latency_ms"], 1.24);
    }
}
