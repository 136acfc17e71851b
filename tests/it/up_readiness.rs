//! What makes a service ready and what keeps it so, on the real engine.

use crate::support::stack::Stack;

#[test]
fn a_deadline_waits_while_the_log_of_a_container_moves() {
    let words =
        "echo loaded 10%; sleep 1; echo loaded 20%; sleep 1; echo loaded 30%; sleep 1; service --port 8080";
    let yaml = format!(
        r"
services:
  llm:
    image: docker-orch-example
    entrypoint: [sh, -c, '{words}']
    x-orch:
      health_check: {{http: ':8080/health', progress: {{log: 'loaded (\d+)%', extend: 2500ms, at_most: 60s}}}}
"
    );
    let stack = Stack::new("progress", &yaml);
    stack.run("up -d --progress plain").code(0).says(&[
        "stage ready (1/1) loaded 10%",
        "stage ready (1/1) loaded 20%",
        "stage ready (1/1) loaded 30%",
        "stage ready (1/1) passed",
    ]);
}

#[test]
fn ill_health_restarts_what_is_ready_and_what_is_elsewhere_is_left_alone() {
    let yaml = "
services:
  web:
    image: docker-orch-example
    command: --port 8080 --fail-health-after 2s
    x-orch:
      start: {retries: 1, backoff: 100ms}
      health_check:
        checks:
          - {name: own, http: ':8080/health', interval: 200ms, failure_threshold: 2}
          - name: elsewhere
            tcp: 127.0.0.9:9
            critical: false
            interval: 100ms
            breaker: {failures: 2, open: 60s}
";
    let stack = Stack::new("livens", yaml);
    let ran = stack.run("up --progress plain").code(1);
    let words = [
        "elsewhere: open for",
        "unhealthy: own: 503",
        "restarting: became unhealthy",
        "try 2 of 2",
        "rolled back",
    ];
    let ran = ran.says(&words);
    assert_eq!(ran.err.matches("web-1  starting").count(), 2, "{}", ran.err);
    stack.is_gone_but(&[]);
}
