use super::*;
use crate::event::ServiceInfo;

fn replica(service: &str, number: u32) -> Replica {
    Replica { service: service.into(), number }
}

fn state(service: &str, number: u32, state: ServiceState, cause: &str) -> EventKind {
    EventKind::Service { replica: replica(service, number), state, cause: cause.into(), container: None }
}

fn probed(service: &str, check: &str, millis: u64, passed: bool, dependency: Option<&str>) -> EventKind {
    EventKind::Probed {
        replica: replica(service, 1),
        check: check.into(),
        stage: "ready".into(),
        passed,
        detail: String::new(),
        took: Duration::from_millis(millis),
        dependency: dependency.map(str::to_owned),
    }
}

fn started() -> EventKind {
    let info = |service: &str, critical: bool| ServiceInfo {
        service: service.into(),
        replicas: vec![1],
        wave: (service == "db").then(|| "infrastructure".into()),
        critical,
        stages: vec![],
        depends_on: vec![],
        image: String::new(),
    };
    EventKind::RunStarted(RunStarted {
        format: 1,
        run: "1".into(),
        time: "2026-11-22T01:50:00Z".into(),
        project: "shop".into(),
        command: "up".into(),
        engine: String::new(),
        waves: vec!["infrastructure".into()],
        services: vec![info("db", true), info("web", false)],
    })
}

fn of(kinds: Vec<(u64, EventKind)>) -> Metrics {
    let mut metrics = Metrics::of("shop");
    for ((millis, kind), seq) in kinds.into_iter().zip(0..) {
        metrics.fold(&Event { seq, at: Elapsed::new(Duration::from_millis(millis)), kind });
    }
    metrics
}

/// Lines of the text that begin with these words.
fn lines(metrics: &Metrics, words: &str) -> Vec<String> {
    metrics.text().lines().filter(|line| line.starts_with(words)).map(str::to_owned).collect()
}

#[test]
fn a_start_is_told_in_figures() {
    use ServiceState::{Degraded, Ready, Starting};
    let metrics = of(vec![
        (0, started()),
        (100, state("db", 1, Starting, "")),
        (200, probed("db", "tcp", 2, false, None)),
        (850, probed("db", "tcp", 30, true, None)),
        (850, state("db", 1, Ready, "")),
        (900, state("web", 1, Starting, "")),
        (950, probed("web", "cache", 1, false, Some("redis"))),
        (1400, state("web", 1, Degraded, "cache: connection refused")),
        (1400, EventKind::Ready { degraded: vec!["web".into()] }),
    ]);
    let text = metrics.text();
    let (histogram, others): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.contains("_duration_"));
    let of_db: Vec<&str> = histogram.into_iter().filter(|line| !line.contains("web")).collect();
    insta::assert_snapshot!(of_db.join("\n"), @r#"
    # HELP health_check_duration_seconds How long probes of a health check took, passed or not.
    # TYPE health_check_duration_seconds histogram
    health_check_duration_seconds_bucket{project="shop",service="db",check="tcp",le="0.001"} 0
    health_check_duration_seconds_bucket{project="shop",service="db",check="tcp",le="0.0025"} 1
    health_check_duration_seconds_bucket{project="shop",service="db",check="tcp",le="0.005"} 1
    health_check_duration_seconds_bucket{project="shop",service="db",check="tcp",le="0.01"} 1
    health_check_duration_seconds_bucket{project="shop",service="db",check="tcp",le="0.025"} 1
    health_check_duration_seconds_bucket{project="shop",service="db",check="tcp",le="0.05"} 2
    health_check_duration_seconds_bucket{project="shop",service="db",check="tcp",le="0.1"} 2
    health_check_duration_seconds_bucket{project="shop",service="db",check="tcp",le="0.25"} 2
    health_check_duration_seconds_bucket{project="shop",service="db",check="tcp",le="0.5"} 2
    health_check_duration_seconds_bucket{project="shop",service="db",check="tcp",le="1"} 2
    health_check_duration_seconds_bucket{project="shop",service="db",check="tcp",le="2.5"} 2
    health_check_duration_seconds_bucket{project="shop",service="db",check="tcp",le="10"} 2
    health_check_duration_seconds_bucket{project="shop",service="db",check="tcp",le="+Inf"} 2
    health_check_duration_seconds_sum{project="shop",service="db",check="tcp"} 0.032
    health_check_duration_seconds_count{project="shop",service="db",check="tcp"} 2
    "#);
    insta::assert_snapshot!(others.join("\n"), @r#"
    # HELP docker_orch_build_info Always 1; the version of docker orch is a label.
    # TYPE docker_orch_build_info gauge
    docker_orch_build_info{version="0.1.0"} 1
    # HELP up 1 while every container of a service is ready, degraded, or has completed its work.
    # TYPE up gauge
    up{project="shop",service="db"} 1
    up{project="shop",service="web"} 1
    # HELP degraded 1 while a container of a service serves with something non-critical missing.
    # TYPE degraded gauge
    degraded{project="shop",service="db"} 0
    degraded{project="shop",service="web"} 1
    # HELP service_info Always 1; the wave of a service, and whether its failure fails the project, are labels.
    # TYPE service_info gauge
    service_info{project="shop",service="db",wave="infrastructure",critical="true"} 1
    service_info{project="shop",service="web",wave="",critical="false"} 1
    # HELP startup_time_seconds From the start of a service's container until it was ready, at its last start; of several the longest.
    # TYPE startup_time_seconds gauge
    startup_time_seconds{project="shop",service="db",wave="infrastructure"} 0.75
    startup_time_seconds{project="shop",service="web",wave=""} 0.5
    # HELP project_startup_time_seconds From the beginning of the last run until everything was ready.
    # TYPE project_startup_time_seconds gauge
    project_startup_time_seconds{project="shop"} 1.4
    # HELP health_check_failures_total Probes of a health check that did not pass, also before a service was ready.
    # TYPE health_check_failures_total counter
    health_check_failures_total{project="shop",service="db",check="tcp"} 1
    health_check_failures_total{project="shop",service="web",check="cache"} 1
    # HELP dependency_check_failures_total Probes that did not pass of checks on something that a service depends on.
    # TYPE dependency_check_failures_total counter
    dependency_check_failures_total{project="shop",service="web",dependency="redis"} 1
    # HELP restart_count_total How often containers of a service were started again, and why.
    # TYPE restart_count_total counter
    restart_count_total{project="shop",service="db",reason="exited"} 0
    restart_count_total{project="shop",service="db",reason="out_of_memory"} 0
    restart_count_total{project="shop",service="db",reason="start_failed"} 0
    restart_count_total{project="shop",service="db",reason="unhealthy"} 0
    restart_count_total{project="shop",service="web",reason="exited"} 0
    restart_count_total{project="shop",service="web",reason="out_of_memory"} 0
    restart_count_total{project="shop",service="web",reason="start_failed"} 0
    restart_count_total{project="shop",service="web",reason="unhealthy"} 0
    "#);
}

#[test]
fn a_startup_time_is_that_of_the_last_start_and_of_the_slowest_replica() {
    use ServiceState::{Ready, Starting};
    let mut kinds = vec![
        (0, started()),
        (100, state("web", 1, Starting, "")),
        (100, state("web", 2, Starting, "")),
        (400, state("web", 2, Ready, "")),
        (600, state("web", 1, Ready, "")),
    ];
    assert_eq!(lines(&of(kinds.clone()), "startup_time_seconds")[0].split(' ').next_back(), Some("0.5"));
    kinds.extend([(5000, state("web", 2, Starting, "")), (5200, state("web", 2, Ready, ""))]);
    assert_eq!(lines(&of(kinds), "startup_time_seconds")[0].split(' ').next_back(), Some("0.2"));
}

#[test]
fn a_service_is_up_while_all_of_its_containers_are_and_is_forgotten_with_them() {
    use ServiceState::{Completed, Ready, Removed, Unhealthy};
    let mut kinds =
        vec![(0, started()), (1, state("web", 1, Ready, "")), (1, state("web", 2, Completed, ""))];
    assert_eq!(lines(&of(kinds.clone()), "up"), [r#"up{project="shop",service="web"} 1"#]);
    kinds.push((2, state("web", 2, Unhealthy, "503")));
    assert_eq!(lines(&of(kinds.clone()), "up"), [r#"up{project="shop",service="web"} 0"#]);
    kinds.extend([(3, state("web", 2, Removed, "")), (3, state("web", 1, Removed, ""))]);
    kinds.push((4, state("web", 0, Ready, "")));
    assert_eq!(lines(&of(kinds), "up"), [""; 0]);
}

#[test]
fn restarts_are_counted_by_a_reason_of_few() {
    let again = |cause: &str| (1, state("web", 1, ServiceState::Restarting, cause));
    let metrics = of(vec![
        (0, started()),
        again("exited with code 1"),
        again("keeps exiting, last with code 2; try 2 of 4 in 1s"),
        again("exited with code 137 (out of memory)"),
        again("became unhealthy: 503; try 2 of 4 in 1s"),
        again("stage ready timed out after 5s; try 2 of 4 in 1s"),
        // Counters go on over runs.
        (0, started()),
    ]);
    let counts: Vec<String> = lines(&metrics, r#"restart_count_total{project="shop",service="web""#)
        .iter()
        .map(|line| line.split("reason=").nth(1).unwrap().to_owned())
        .collect();
    let expected = [r#""exited"} 2"#, r#""out_of_memory"} 1"#, r#""start_failed"} 1"#, r#""unhealthy"} 1"#];
    assert_eq!(counts, expected);
}

#[test]
fn the_alerts_beside_the_examples_ask_for_what_there_is() {
    let alerts = include_str!("../../../compose-examples/five-wave/prometheus/alerts.yaml");
    let families = [
        BUILD,
        UP,
        DEGRADED,
        INFO,
        STARTUP,
        PROJECT_STARTUP,
        CHECK_DURATION,
        CHECK_FAILURES,
        DEPENDENCY_FAILURES,
        RESTARTS,
    ];
    let known = |word: &&str| families.iter().any(|family| family.name == word.trim_end_matches("_bucket"));
    let words = alerts
        .split(|c: char| !c.is_ascii_lowercase() && c != '_')
        .filter(|word| ["_total", "_seconds", "_info", "_bucket"].iter().any(|end| word.ends_with(end)));
    let asked: Vec<&str> = words.collect();
    assert!(asked.len() >= 7, "{asked:?}");
    assert_eq!(asked.into_iter().filter(|word| !known(word)).collect::<Vec<_>>(), [""; 0]);
}
