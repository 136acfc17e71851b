//! Updates that start the new container first: whoever asks the service by its name notices nothing.

use crate::support::stack::{Seen, Stack};

/// One that is asked, one that asks it under load, and one that both depend on.
fn file(version: u32, replicas: u32, update: &str) -> String {
    format!(
        "
services:
  db:
    image: docker-orch-example
    command: --tcp 5432
  web:
    image: docker-orch-example
    command: --port 80 --ready-after 300ms --drain
    environment: {{VERSION: '{version}'}}
    depends_on: [db]
    deploy: {{replicas: {replicas}, update_config: {{order: start-first, {update}}}}}
    x-orch: {{health_check: {{http: ':80/health'}}}}
  client:
    image: docker-orch-example
    command: load http://web/ --clients 4
    depends_on: {{web: {{condition: service_healthy}}}}
"
    )
}

fn update(stack: &Stack, yaml: &str) -> crate::support::stack::Ran {
    stack.write("compose.yaml", yaml);
    stack.run("up -d")
}

/// What the clients say when they are stopped.
fn tally(stack: &Stack) -> (u64, String) {
    stack.run("stop client").code(0);
    let log = stack.log(&stack.container("client").id);
    let said = log.into_iter().map(|(_, line)| line).collect::<Vec<_>>().join("\n");
    let answered = said.strip_prefix("answered ").and_then(|rest| rest.split(',').next());
    (answered.expect("a tally").parse().expect("a number"), said)
}

fn aliases(container: &Seen) -> Vec<String> {
    let networks = container.raw["NetworkSettings"]["Networks"].as_object().expect("networks");
    let lists = networks.values().filter_map(|network| network["Aliases"].as_array());
    lists.flatten().filter_map(|alias| alias.as_str().map(str::to_owned)).collect()
}

#[test]
fn no_request_fails_while_containers_are_replaced() {
    // The engine gives the address of a container that has gone to the next one that starts: whoever has just resolved the
    // name must have given that address up, which takes three seconds (an unanswered ARP request). The first container of
    // the next update is such a one too: after the last of an update `monitor` is waited for, and no `delay`.
    let yaml = |version| file(version, 2, "parallelism: 1, delay: 1s, monitor: 4s");
    let stack = Stack::new("startfirst", &yaml(1));
    stack.run("up -d").code(0);
    let before = stack.containers();
    for version in 2..=3 {
        update(&stack, &yaml(version)).code(0);
    }
    let after = stack.containers();
    assert_eq!(after.len(), before.len(), "{after:?}");
    for (new, old) in after.iter().zip(&before) {
        assert_eq!(new.name, old.name);
        assert_eq!(new.id == old.id, new.service != "web", "{}", new.name);
        if new.service == "web" {
            assert!(aliases(new).contains(&"web".to_owned()), "{:?}", aliases(new));
            assert!(aliases(new).contains(&new.name), "{:?}", aliases(new));
        }
    }
    let (answered, said) = tally(&stack);
    assert!(answered > 100 && said.contains("failed 0"), "{said}");
}

#[test]
fn a_new_container_that_fails_is_not_noticed_either() {
    let stack = Stack::new("startfail", &file(1, 1, ""));
    stack.run("up -d").code(0);
    let before = stack.running();
    let broken =
        file(2, 1, "").replace("--ready-after 300ms", "--ready-after never --exit-after 500ms --exit-code 3");
    update(&stack, &broken).code(1).says(&["exited with code 3", "rolled back"]);
    assert_eq!(stack.running(), before);
    let (answered, said) = tally(&stack);
    assert!(answered > 50 && said.contains("failed 0"), "{said}");
}

#[test]
fn a_failure_action_decides_over_the_policy() {
    let stack = Stack::new("pause", &file(1, 2, "failure_action: pause"));
    stack.run("up -d").code(0);
    let before = stack.running_ids();
    let broken = |update: &str| {
        file(2, 2, update)
            .replace("--ready-after 300ms", "--ready-after never --exit-after 500ms --exit-code 3")
    };
    // The first container failed, the second was not touched; both old ones run, and the failed one can be looked at.
    update(&stack, &broken("failure_action: pause")).code(1);
    let kept: Vec<Seen> = stack.containers().into_iter().filter(|c| c.exit_code == 3).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(stack.running_ids(), before);
    // The next run finishes what is half done.
    update(&stack, &file(3, 2, "failure_action: pause")).code(0);
    assert_eq!(stack.short_names(), ["client-1", "db-1", "web-1", "web-2"]);
}
