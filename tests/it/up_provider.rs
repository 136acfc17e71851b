//! Services that come from providers, and models: the tools are small scripts that write down how they are called.

use std::{
    os::unix::fs::{PermissionsExt as _, symlink},
    path::PathBuf,
    process::Command,
};

use crate::support::stack::{Ran, Running, Stack};

/// Services behind a provider and a model, and one that has nothing to do with either.
const YAML: &str = "
services:
  my-db:
    provider: {type: cloud, options: {size: 3, tag: [a, b], unknown: x}}
  api:
    image: docker-orch-example
    command: --tcp 80
    environment: {Z: '1', A: '2'}
    depends_on: [my-db]
    models: [my-llm]
  web:
    image: docker-orch-example
    command: --tcp 80
    depends_on: {api: {condition: service_started}}
    models: {my-llm: {model_var: NAME, endpoint_var: WHERE}}
  other:
    image: docker-orch-example
    command: --tcp 80
models:
  my-llm: {model: ai/smol, context_size: 1024, runtime_flags: [--x, '1']}
";

/// The provider: says what the file `answer` beside it says, else a secret; logs how it is called, and with which
/// environment.
const CLOUD: &str = r#"#!/bin/sh
folder=$(dirname "$0")/..
echo "cloud $*" >> "$folder/calls"
case "$2" in metadata)
  echo '{"description": "A cloud", "up": {"parameters": [{"name": "size", "required": true}, {"name": "tag"}]},'
  echo ' "down": {"parameters": []}, "stop": {"parameters": []}}'
  exit;;
esac
env > "$folder/env"
case "$3" in up)
  echo '{"type": "info", "message": "asking for a database"}{"type": "debug", "message": "?"}'
  if [ -f "$folder/answer" ]; then . "$folder/answer"; else
    echo '{"type": "setenv", "message": "URL=pg://h?a=1&b=<2>"}'
    echo '{"type": "setenv", "message": "A_TOKEN=t"}'
  fi;;
esac
"#;

const MODEL: &str = r#"#!/bin/sh
folder=$(dirname "$0")/..
case "$1" in
docker-cli-plugin-metadata) echo '{"SchemaVersion": "0.1.0", "Vendor": "t", "Version": "v1"}'; exit;;
esac
echo "model $*" >> "$folder/calls"
case "$1" in
ls) if [ -f "$folder/pulled" ]; then echo '[{"id": "1", "tags": ["ai/smol"], "created": 1}]'; else echo '[]'; fi;;
pull) echo "Downloaded 1MB of 2MB"; touch "$folder/pulled";;
status) echo '{"running": true, "endpoint": "http://runner/v1"}';;
esac
"#;

/// A project with these tools in a Docker configuration of its own.
fn stack(test: &str, yaml: &str) -> Stack {
    let stack = Stack::new(test, yaml);
    stack.write("docker/config.json", "{}");
    for (plugin, text) in [("docker-cloud", CLOUD), ("docker-model", MODEL)] {
        let file = format!("docker/cli-plugins/{plugin}");
        stack.write(&file, text);
        let path = stack.folder().join(file);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    stack
}

fn orch(stack: &Stack, words: &str) -> Running {
    let mut command = stack.orch(words);
    command.env("DOCKER_CONFIG", stack.folder().join("docker"));
    Running::spawn(command)
}

fn run(stack: &Stack, words: &str) -> Ran {
    orch(stack, words).end()
}

/// How the tools were called since the last time.
fn calls(stack: &Stack) -> Vec<String> {
    let path = stack.folder().join("docker/calls");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    std::fs::remove_file(path).ok();
    text.lines().map(str::to_owned).collect()
}

/// Calls that change something.
fn deeds(stack: &Stack) -> Vec<String> {
    calls(stack).into_iter().filter(|call| call.starts_with("cloud compose --")).collect()
}

fn environment(stack: &Stack, service: &str) -> Vec<String> {
    let seen = stack.container(service);
    let all = seen.raw["Config"]["Env"].as_array().unwrap().iter();
    all.map(|v| v.as_str().unwrap().to_owned()).filter(|v| !v.starts_with("PATH=")).collect()
}

#[test]
fn services_get_what_providers_and_models_say() {
    let stack = stack("supply", YAML);
    let planned = run(&stack, "plan").code(0).out;
    assert!(planned.contains("up my-db: by its provider `cloud`"), "{planned}");
    assert!(planned.contains("set up model my-llm"), "{planned}");
    assert_eq!(calls(&stack), Vec::<String>::new(), "a plan asks nobody");

    run(&stack, "up -d").code(0).says(&["my-db    asking for a database", "my-db    created in"]);
    let asked = calls(&stack);
    let up = format!("cloud compose --project-name={} up --size=3 --tag=a --tag=b my-db", stack.name);
    for call in [
        "cloud compose metadata",
        &up,
        "model ls --json",
        "model pull ai/smol",
        "model configure --context-size 1024 ai/smol -- --x 1",
        "model status --json",
    ] {
        assert!(asked.iter().any(|asked| asked == call), "no `{call}` in {asked:?}");
    }
    assert_eq!(
        environment(&stack, "api"),
        [
            "A=2",
            "MY-DB_A_TOKEN=t",
            "MY-DB_URL=pg://h?a=1&b=<2>",
            "MY_LLM_MODEL=ai/smol",
            "MY_LLM_URL=http://runner/v1",
            "Z=1"
        ]
    );
    assert_eq!(environment(&stack, "web"), ["NAME=ai/smol", "WHERE=http://runner/v1"]);
    assert!(!run(&stack, "ps -a").code(0).out.contains("my-db"));

    // Another answer: only who got it is made anew.
    let before = stack.running_ids();
    stack.write("docker/answer", r#"echo '{"type": "setenv", "message": "URL=new"}'"#);
    run(&stack, "up -d").code(0);
    let after = stack.running_ids();
    let kept: Vec<&String> = before.keys().filter(|name| before[*name] == after[*name]).collect();
    assert_eq!(kept, [&format!("{}-other-1", stack.name), &format!("{}-web-1", stack.name)]);
    assert!(!calls(&stack).contains(&"model pull ai/smol".to_owned()), "it was there");

    run(&stack, "stop").code(0);
    let verb = |verb: &str| format!("cloud compose --project-name={} {verb} my-db", stack.name);
    assert_eq!(deeds(&stack), [verb("stop")]);
    run(&stack, "down").code(0);
    assert_eq!(deeds(&stack), [verb("down")]);
    stack.is_gone_but(&[]);
}

#[test]
fn a_tool_does_not_take_itself_for_a_plugin_that_docker_called() {
    let stack = stack("supplyenv", YAML);
    stack.write(".env", "FROM_DOTENV=1\n");
    let mut command = stack.orch("down");
    command.env("DOCKER_CONFIG", stack.folder().join("docker")).env("MINE", "2");
    command.env("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", "docker");
    Running::spawn(command).end().code(0);
    let environment = std::fs::read_to_string(stack.folder().join("docker/env")).unwrap();
    let has = |start: &str| environment.lines().any(|line| line.starts_with(start));
    assert!(has("FROM_DOTENV=1") && has("MINE=2") && !has("DOCKER_CLI_PLUGIN_"), "{environment}");
}

#[test]
fn what_goes_wrong_with_a_provider_is_said_and_undone() {
    let stack = stack("supplyfail", YAML);
    for (answer, words) in [
        (r#"echo '{"type": "error", "message": "quota exceeded"}'; exit 1"#, "my-db: quota exceeded"),
        ("echo boom >&2; exit 7", "exited with 7: boom"),
        ("echo hello", "5 bytes, which is no message"),
        (r#"echo '{"type": "what"}'"#, "type `what`"),
        (r#"printf '{"type": "info'"#, "half a message"),
    ] {
        stack.write("docker/answer", answer);
        run(&stack, "up -d").code(1).says(&["rolled back", words]);
        let verbs: Vec<String> =
            deeds(&stack).iter().filter_map(|call| call.split(' ').nth(3).map(str::to_owned)).collect();
        assert_eq!(verbs, ["up", "down"], "{answer}");
        stack.is_gone_but(&[]);
        // Each is a first start: only what that brings up is taken down.
        std::fs::remove_dir_all(stack.folder().join("state")).unwrap();
    }
    for (from, to, words) in [
        ("size: 3, ", "", "needs the option `size`"),
        ("type: cloud", "type: nosuch", "no Docker CLI plugin `docker-nosuch` in"),
        ("type: cloud", "type: ./cloud", "not by a path"),
        ("type: cloud", "type: compose", "Compose itself provides nothing"),
    ] {
        stack.write("compose.yaml", &YAML.replace(from, to));
        let ran = run(&stack, "up -d");
        assert!(ran.err.contains(words), "{}", ran.err);
        assert_eq!(deeds(&stack), Vec::<String>::new(), "{words}");
        stack.is_gone_but(&[]);
    }
    stack.write("compose.yaml", YAML);
    std::fs::remove_file(stack.folder().join("docker/cli-plugins/docker-model")).unwrap();
    run(&stack, "up -d").code(1).says(&["my-llm: models need the Docker CLI plugin `docker-model`"]);
}

#[test]
fn a_failed_start_takes_down_what_was_provided_for_it_and_nothing_else() {
    let fails = "--exit-after 50ms --exit-code 3\n    x-orch: {health_check: {tcp: 81}}\n    environment";
    let broken = YAML.replacen("--tcp 80\n    environment", fails, 1);
    let stack = stack("supplyundo", &broken);
    let verb = |verb: &str| format!("cloud compose --project-name={} {verb}", stack.name);
    run(&stack, "up -d").code(1).says(&["api: exited with code 3", "rolled back"]);
    let done = deeds(&stack);
    assert!(
        done.len() == 2 && done[0].starts_with(&verb("up")) && done[1].starts_with(&verb("down")),
        "{done:?}"
    );
    stack.is_gone_but(&[]);

    // Once the project is there, so may be what is provided, with whatever it holds.
    stack.write("compose.yaml", YAML);
    run(&stack, "up -d").code(0);
    let before = stack.running_ids();
    calls(&stack);
    stack.write("compose.yaml", &broken);
    run(&stack, "up -d").code(1).says(&["rolled back"]);
    assert_eq!(stack.running_ids(), before);
    let done = deeds(&stack);
    assert!(done.len() == 1 && done[0].starts_with(&verb("up")), "{done:?}");
}

#[test]
fn a_provider_that_hangs_is_killed_when_the_run_ends() {
    let stack = stack("supplyhang", YAML);
    stack.write("docker/answer", "echo $$ > \"$folder/pid\"; exec sleep 600");
    let is_gone = || {
        let pid = std::fs::read_to_string(stack.folder().join("docker/pid")).unwrap();
        !std::path::Path::new("/proc").join(pid.trim()).exists()
    };
    let mut up = orch(&stack, "up -d");
    up.until("asking for a database");
    up.signal("INT");
    up.end().code(130);
    assert!(is_gone());
    run(&stack, "up -d --start-timeout 1s").code(4).says(&["waiting for my-db"]);
    assert!(is_gone());
    stack.is_gone_but(&[]);
}

/// The project with Compose beside the tools, where the Docker CLI here has it; else the test says so.
#[expect(clippy::print_stderr, reason = "a test that was skipped says so")]
fn with_compose(stack: &Stack) -> bool {
    let format = r#"{{range .ClientInfo.Plugins}}{{if eq .Name "compose"}}{{.Path}}{{end}}{{end}}"#;
    let asked = Command::new("docker").args(["info", "-f", format]).output();
    let path =
        asked.map(|answer| String::from_utf8_lossy(&answer.stdout).trim().to_owned()).unwrap_or_default();
    if path.is_empty() {
        eprintln!("skipped: the Docker CLI here has no `docker compose`");
        return false;
    }
    symlink(PathBuf::from(path), stack.folder().join("docker/cli-plugins/docker-compose")).unwrap();
    true
}

fn compose(stack: &Stack, words: &str) {
    let mut command = stack.hermetic("docker");
    command.env("DOCKER_CONFIG", stack.folder().join("docker"));
    command.args(["compose", "-p", &stack.name, "-f", "compose.yaml"]).args(words.split_whitespace());
    Running::spawn(command).end().code(0);
}

#[test]
fn compose_and_orch_keep_each_others_containers_also_behind_tools() {
    let stack = stack("supplyboth", YAML);
    if !with_compose(&stack) {
        return;
    }
    compose(&stack, "up -d");
    let by_compose = calls(&stack);
    let before = stack.running();
    assert_eq!(before.len(), 3);
    run(&stack, "up -d").code(0);
    assert_eq!(stack.running(), before);
    let up =
        |calls: &[String]| -> Vec<String> { calls.iter().filter(|c| c.contains(" up ")).cloned().collect() };
    let by_orch = calls(&stack);
    let sorted = |call: &String| {
        let mut words: Vec<String> = call.split(' ').map(str::to_owned).collect();
        words.sort();
        words
    };
    // Compose hands options over in any order.
    assert_eq!(
        up(&by_orch).iter().map(sorted).collect::<Vec<_>>(),
        up(&by_compose).iter().map(sorted).collect::<Vec<_>>()
    );
    run(&stack, "down").code(0);
    stack.is_gone_but(&[]);
    run(&stack, "up -d").code(0);
    let before = stack.running();
    compose(&stack, "up -d");
    assert_eq!(stack.running(), before);
    compose(&stack, "down");
    stack.is_gone_but(&[]);
}
